"""Layers under the path that they have in PyTorch."""

from __future__ import annotations

from .lazy import LazyBatchNorm1d, LazyBatchNorm2d, LazyBatchNorm3d
from .norm import BatchNorm1d, BatchNorm2d, BatchNorm3d, SyncBatchNorm
from .norm import _BatchNorm as _BatchNorm
from .norm import _NormBase as _NormBase

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "SyncBatchNorm",
]
