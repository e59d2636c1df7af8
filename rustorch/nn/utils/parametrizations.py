"""Weight norm and spectral norm as parametrisations: the module's tensor is recomputed when it is read."""

from __future__ import annotations

from typing import Any

import rustorch as rt
from rustorch import Tensor
from rustorch.errors import InvalidArgumentError

from ..functional import normalize
from ..modules.module import Module
from .parametrize import register_parametrization
from .weight_norm import _norm_except

__all__ = ["spectral_norm", "weight_norm"]


class _WeightNorm(Module):
    """w = g v / |v|; the originals are g and v."""

    def __init__(self, dim: int | None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, g: Tensor, v: Tensor) -> Tensor:
        return v * (g / _norm_except(v, self.dim))

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return _norm_except(weight, self.dim), weight


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Splits a parameter into its norms along `dim` (`original0`) and its direction (`original1`).

    Source: Salimans & Kingma, Weight normalization (2016).
    """
    return register_parametrization(module, name, _WeightNorm(dim), unsafe=True)


class _SpectralNorm(Module):
    """w / sigma(w), sigma the largest singular value by power iteration; the vectors are buffers."""

    def __init__(self, weight: Tensor, n_power_iterations: int, dim: int, eps: float) -> None:
        super().__init__()
        if n_power_iterations <= 0:
            raise InvalidArgumentError(
                f"Expected n_power_iterations to be positive, but got n_power_iterations={n_power_iterations}"
            )
        self.n_power_iterations, self.dim, self.eps = n_power_iterations, dim % max(weight.ndim, 1), eps
        if weight.ndim > 1:
            rows, columns = self._matrix(weight).shape
            with rt.no_grad():
                for buffer, size in (("_u", rows), ("_v", columns)):
                    start: Any = rt.empty(size, dtype=weight.dtype).normal_(0, 1)
                    self.register_buffer(buffer, normalize(start, dim=0, eps=eps))
                self._iterate(self._matrix(weight), 15)

    def _matrix(self, weight: Tensor) -> Tensor:
        return weight.transpose(0, self.dim).flatten(1) if self.dim else weight.flatten(1)

    def _iterate(self, matrix: Tensor, n: int) -> None:
        with rt.no_grad():
            for _ in range(n):
                self._u.copy_(normalize(matrix.mv(self._v), dim=0, eps=self.eps))
                self._v.copy_(normalize(matrix.t().mv(self._u), dim=0, eps=self.eps))

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return normalize(weight, dim=0, eps=self.eps)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        # Backward needs them as they are now, whatever a second read does to the buffers.
        u, v = self._u.clone(), self._v.clone()
        return weight / u.dot(matrix.mv(v))  # type: ignore[no-any-return]

    def right_inverse(self, value: Tensor) -> Tensor:
        return value


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divides a parameter by its largest singular value, which power iteration follows during training.

    Source: Miyato et al., Spectral normalization for generative adversarial networks (2018).
    """
    weight = getattr(module, name)
    if dim is None:
        dim = 1 if getattr(module, "transposed", False) else 0
    return register_parametrization(module, name, _SpectralNorm(weight.detach(), n_power_iterations, dim, eps))
