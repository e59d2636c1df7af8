"""`rustorch.cuda`: says that there is no GPU, in PyTorch's words."""

from __future__ import annotations

from typing import Any

from ..errors import UnsupportedError
from ..random import Generator, manual_seed
from . import amp

__all__ = ["amp", "device_count", "empty_cache", "is_available", "manual_seed", "manual_seed_all", "synchronize"]


def is_available() -> bool:
    """False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def manual_seed_all(seed: int) -> Generator | None:
    """Nothing to seed: there is no GPU."""
    return None


def empty_cache() -> None:
    """Nothing to give back: there is no GPU."""


def synchronize(device: Any = None) -> None:
    """Nothing to wait for: there is no GPU."""


def is_initialized() -> bool:
    """False."""
    return False


def is_current_stream_capturing() -> bool:
    """False."""
    return False


def memory_allocated(device: Any = None) -> int:
    """0 bytes: there is no GPU."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated


def reset_peak_memory_stats(device: Any = None) -> None:
    """Nothing to forget: there is no GPU."""


reset_max_memory_allocated = ipc_collect = reset_accumulated_memory_stats = reset_peak_memory_stats


def get_rng_state_all() -> list[Any]:
    """The states of the GPUs' generators: none."""
    return []


def set_rng_state_all(new_states: Any) -> None:
    """Sets none."""


default_generators: tuple[Any, ...] = ()


class _Absent:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedError(f"cuda.{type(self).__name__}: rustorch runs on the CPU")


class Stream(_Absent):
    """Raises: there is no GPU."""


class StreamContext(_Absent):
    """Raises: there is no GPU."""


class graph(_Absent):
    """Raises: there is no GPU."""


class Event(_Absent):
    """Raises: there is no GPU."""


class CUDAGraph(_Absent):
    """Raises: there is no GPU."""


class device(_Absent):
    """Raises: there is no GPU."""


def set_device(device: Any) -> None:
    """Raises: there is no GPU."""
    raise UnsupportedError(f"cuda.set_device: rustorch runs on the CPU; there is no device {device!r} here")


def current_device() -> int:
    """Raises: there is no GPU."""
    raise UnsupportedError("cuda.current_device: rustorch runs on the CPU")


def get_device_name(device: Any = None) -> str:
    """Raises: there is no GPU."""
    raise UnsupportedError("cuda.get_device_name: rustorch runs on the CPU")


def _refused(name: str) -> Any:
    def f(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(f"cuda.{name}: rustorch runs on the CPU")

    f.__name__ = f.__qualname__ = name
    f.__doc__ = "Raises: there is no GPU."
    return f


get_device_capability = _refused("get_device_capability")
get_device_properties = _refused("get_device_properties")
current_stream = _refused("current_stream")
default_stream = _refused("default_stream")
stream = _refused("stream")
get_rng_state = _refused("get_rng_state")
set_rng_state = _refused("set_rng_state")
