"""Dropout layers: nothing in evaluation mode."""

from __future__ import annotations

from rustorch import Tensor

from .. import functional as F
from .module import Module

__all__ = ["AlphaDropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"]


class _DropoutNd(Module):
    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        if p < 0 or p > 1:
            raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
        self.p = p
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The constructor's arguments."""
        return f"p={self.p}, inplace={self.inplace}"


class Dropout(_DropoutNd):
    """Zero each element with probability `p`, scale the rest by 1 / (1 - p) (Srivastava et al. 2014)."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.dropout(input, self.p, self.training, self.inplace)


class Dropout1d(_DropoutNd):
    """Zero whole channels of [N, C, L] or [C, L]."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.dropout1d(input, self.p, self.training, self.inplace)


class Dropout2d(_DropoutNd):
    """Zero whole channels of [N, C, H, W] (Tompson et al. 2015)."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.dropout2d(input, self.p, self.training, self.inplace)


class Dropout3d(_DropoutNd):
    """Zero whole channels of [N, C, D, H, W] or [C, D, H, W]."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.dropout3d(input, self.p, self.training, self.inplace)


class AlphaDropout(_DropoutNd):
    """Dropout that keeps the mean and variance of SELU networks (Klambauer et al. 2017)."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.alpha_dropout(input, self.p, self.training, self.inplace)


class FeatureAlphaDropout(_DropoutNd):
    """`AlphaDropout` of whole channels of [N, C, *]."""

    def forward(self, input: Tensor) -> Tensor:
        """Same shape."""
        return F.feature_alpha_dropout(input, self.p, self.training, self.inplace)
