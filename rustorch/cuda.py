"""`rustorch.cuda`: says that there is no GPU, in PyTorch's words."""

from __future__ import annotations

import sys
from typing import Any

from . import amp
from .errors import UnsupportedError
from .random import Generator, manual_seed

__all__ = ["amp", "device_count", "empty_cache", "is_available", "manual_seed", "manual_seed_all", "synchronize"]

# So that `from rustorch.cuda.amp import autocast` finds it.
sys.modules[f"{__name__}.amp"] = amp


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


def set_device(device: Any) -> None:
    """Raises: there is no GPU."""
    raise UnsupportedError(f"cuda.set_device: rustorch runs on the CPU; there is no device {device!r} here")


def current_device() -> int:
    """Raises: there is no GPU."""
    raise UnsupportedError("cuda.current_device: rustorch runs on the CPU")


def get_device_name(device: Any = None) -> str:
    """Raises: there is no GPU."""
    raise UnsupportedError("cuda.get_device_name: rustorch runs on the CPU")
