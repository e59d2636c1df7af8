"""PyTorch's place of `OptimizedModule`."""

from __future__ import annotations

from . import OptimizedModule

__all__ = ["OptimizedModule"]
