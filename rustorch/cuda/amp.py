"""The names that mixed precision had in `cuda.amp`; PyTorch wants those of `amp` in their place."""

from __future__ import annotations

from typing import Any

from .. import amp
from ..amp.by_device import DeviceAutocast, DeviceGradScaler, deprecated

__all__ = ["GradScaler", "autocast", "custom_bwd", "custom_fwd"]


class autocast(DeviceAutocast):
    """`rustorch.amp.autocast("cuda", dtype, enabled, cache_enabled)`."""

    kind = "cuda"


class GradScaler(DeviceGradScaler):
    """`rustorch.amp.GradScaler("cuda", ...)`."""

    kind = "cuda"


def custom_fwd(fwd: Any = None, *, cast_inputs: Any = None) -> Any:
    """`rustorch.amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)`."""
    deprecated("cuda", "custom_fwd")
    return amp.custom_fwd(fwd, device_type="cuda", cast_inputs=cast_inputs)


def custom_bwd(bwd: Any) -> Any:
    """`rustorch.amp.custom_bwd(bwd, device_type="cuda")`."""
    deprecated("cuda", "custom_bwd")
    return amp.custom_bwd(bwd, device_type="cuda")
