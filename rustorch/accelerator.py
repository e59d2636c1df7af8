"""`rustorch.accelerator`: says that there is no accelerator, in PyTorch's words."""

from __future__ import annotations

from typing import Any

from ._device import device

__all__ = ["current_accelerator", "device_count", "is_available", "synchronize"]


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def current_accelerator(check_available: bool = False) -> device | None:
    """None: tensors live on the CPU."""
    return None


def synchronize(device: Any = None) -> None:
    """Nothing to wait for."""
