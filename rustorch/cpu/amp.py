"""The names that mixed precision had in `cpu.amp`; PyTorch wants those of `amp` in their place."""

from __future__ import annotations

from ..amp.by_device import DeviceAutocast, DeviceGradScaler

__all__ = ["GradScaler", "autocast"]


class autocast(DeviceAutocast):
    """`rustorch.amp.autocast("cpu", dtype, enabled, cache_enabled)`."""

    kind = "cpu"


class GradScaler(DeviceGradScaler):
    """`rustorch.amp.GradScaler("cpu", ...)`."""

    kind = "cpu"
