"""What `cpu.amp` and `cuda.amp` share: names of mixed precision from before those of `amp` took their place."""

from __future__ import annotations

import warnings
from typing import Any

from .autocast_mode import autocast
from .grad_scaler import GradScaler

__all__ = ["DeviceAutocast", "DeviceGradScaler", "deprecated"]


def deprecated(kind: str, name: str) -> None:
    """Warns, where the caller was called, of a name of `cpu.amp` or `cuda.amp`."""
    warnings.warn(
        f"`torch.{kind}.amp.{name}(args...)` is deprecated. Please use `torch.amp.{name}('{kind}', args...)` instead.",
        FutureWarning,
        stacklevel=3,
    )


class DeviceAutocast(autocast):
    """`rustorch.amp.autocast(kind, dtype, enabled, cache_enabled)`, of one kind of device."""

    kind = ""

    def __init__(self, enabled: bool = True, dtype: Any = None, cache_enabled: bool = True) -> None:
        deprecated(self.kind, "autocast")
        super().__init__(self.kind, dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)


class DeviceGradScaler(GradScaler):
    """`rustorch.amp.GradScaler(kind, ...)`, of one kind of device."""

    kind = ""

    def __init__(
        self,
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        deprecated(self.kind, "GradScaler")
        super().__init__(self.kind, init_scale, growth_factor, backoff_factor, growth_interval, enabled)
