"""Padding layers: (before, after) of the last dimension first; an int pads all sides alike."""

from __future__ import annotations

from typing import Any

from rustorch import Tensor

from .. import functional as F
from .module import Module
from .utils import _ntuple

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "CircularPad3d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReflectionPad3d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ReplicationPad3d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _PadNd(Module):
    """A subclass says how many spatial dimensions, and the mode."""

    _n = 0
    _mode = "constant"
    padding: tuple[int, ...]

    def __init__(self, padding: Any) -> None:
        super().__init__()
        self.padding = _ntuple(padding, 2 * self._n)

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.pad`."""
        return F.pad(input, self.padding, self._mode)

    def extra_repr(self) -> str:
        """The constructor's argument."""
        return f"{self.padding}"


class _ConstantPadNd(_PadNd):
    value: float

    def __init__(self, padding: Any, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.pad`."""
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return f"padding={self.padding}, value={self.value}"


class _ZeroPadNd(_ConstantPadNd):
    def __init__(self, padding: Any) -> None:
        super().__init__(padding, 0.0)

    def extra_repr(self) -> str:
        """The constructor's argument."""
        return f"{self.padding}"


class ConstantPad1d(_ConstantPadNd):
    """Pad [N, C, L] with a constant."""

    _n = 1


class ConstantPad2d(_ConstantPadNd):
    """Pad [N, C, H, W] with a constant."""

    _n = 2


class ConstantPad3d(_ConstantPadNd):
    """Pad [N, C, D, H, W] with a constant."""

    _n = 3


class ZeroPad1d(_ZeroPadNd):
    """Pad [N, C, L] with zeros."""

    _n = 1


class ZeroPad2d(_ZeroPadNd):
    """Pad [N, C, H, W] with zeros."""

    _n = 2


class ZeroPad3d(_ZeroPadNd):
    """Pad [N, C, D, H, W] with zeros."""

    _n = 3


class ReflectionPad1d(_PadNd):
    """Pad [N, C, L] with the input mirrored at its edge."""

    _n = 1
    _mode = "reflect"


class ReflectionPad2d(_PadNd):
    """Pad [N, C, H, W] with the input mirrored at its edge."""

    _n = 2
    _mode = "reflect"


class ReplicationPad1d(_PadNd):
    """Pad [N, C, L] with the edge's values."""

    _n = 1
    _mode = "replicate"


class ReplicationPad2d(_PadNd):
    """Pad [N, C, H, W] with the edge's values."""

    _n = 2
    _mode = "replicate"


class _CircularPadNd(_PadNd):
    _mode = "circular"

    def forward(self, input: Tensor) -> Tensor:
        """See `functional.pad`."""
        if input.dim() not in (self._n + 1, self._n + 2):
            raise ValueError(f"expected {self._n + 1}D or {self._n + 2}D input (got {input.dim()}D input)")
        return super().forward(input)


class CircularPad1d(_CircularPadNd):
    """Pad [N, C, L] with the other side's values."""

    _n = 1


class CircularPad2d(_CircularPadNd):
    """Pad [N, C, H, W] with the other side's values."""

    _n = 2


class ReflectionPad3d(_PadNd):
    """Pad [N, C, D, H, W] with the input mirrored at its edge."""

    _n = 3
    _mode = "reflect"


class ReplicationPad3d(_PadNd):
    """Pad [N, C, D, H, W] with the edge's values."""

    _n = 3
    _mode = "replicate"


class CircularPad3d(_CircularPadNd):
    """Pad [N, C, D, H, W] with the other side's values."""

    _n = 3
