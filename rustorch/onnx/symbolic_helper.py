"""Decorators of functions that say how PyTorch would export an op."""

from __future__ import annotations

from typing import Any

__all__ = ["parse_args"]


def parse_args(*arg_descriptors: Any) -> Any:
    """The function itself: it is not called."""
    return lambda fn: fn
