"""`rustorch.amp`: automatic mixed precision is accepted and changes nothing; ops compute in their tensors' dtypes."""

from __future__ import annotations

from contextlib import ContextDecorator
from typing import Any

from .dtypes import BY_NAME, dtype

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._tensor import Tensor

__all__ = ["GradScaler", "autocast"]


class autocast(ContextDecorator):
    """A context manager and decorator without effect."""

    def __init__(
        self, device_type: Any = "cpu", dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        pass

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *args: object) -> None:
        pass


def is_autocast_available(device_type: str) -> bool:
    """False: there is no automatic mixed precision."""
    return False


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """False: there is no automatic mixed precision."""
    return False


def is_autocast_cpu_enabled() -> bool:
    """False: there is no automatic mixed precision."""
    return False


def is_autocast_cache_enabled() -> bool:
    """False: there is nothing to cache."""
    return False


def get_autocast_dtype(device_type: str) -> dtype:
    """The dtype that PyTorch's mixed precision has for a kind of device."""
    return BY_NAME["bfloat16" if device_type == "cpu" else "float16"]


def get_autocast_cpu_dtype() -> dtype:
    """`bfloat16`."""
    return BY_NAME["bfloat16"]


def get_autocast_gpu_dtype() -> dtype:
    """`float16`."""
    return BY_NAME["float16"]


def custom_fwd(fwd: Any = None, *, device_type: str = "cuda", cast_inputs: Any = None) -> Any:
    """The `forward` of a custom function itself: ops compute in their tensors' dtypes anyway."""
    return (lambda f: f) if fwd is None else fwd


def custom_bwd(bwd: Any = None, *, device_type: str = "cuda") -> Any:
    """The `backward` of a custom function itself."""
    return (lambda f: f) if bwd is None else bwd


class GradScaler:
    """What a scaler of gradients is on a machine without a GPU: switched off. Losses and gradients stay as they are."""

    def __init__(self, device: str = "cuda", *args: Any, enabled: bool = True, **kwargs: Any) -> None:
        pass

    def scale(self, outputs: Tensor) -> Tensor:
        """The loss itself."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Nothing to take back."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """Calls `optimizer.step()`."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Nothing to adapt."""

    def get_scale(self) -> float:
        """1."""
        return 1.0

    def is_enabled(self) -> bool:
        """False."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Empty."""
        return {}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Nothing to take over."""
