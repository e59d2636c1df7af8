"""PyTorch's old place of the names of `rustorch.profiler`."""

from __future__ import annotations

from ..profiler import profile, record_function

__all__ = ["profile", "record_function"]
