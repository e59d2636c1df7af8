"""What the distributions share: parameters as tensors, probabilities and their logarithms, triangles as vectors."""

# An attribute that comes with its first use is Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from functools import update_wrapper
from typing import Any

from .. import _ops, words
from .._tensor import Tensor
from ..autograd import enable_grad
from ..dtypes import finfo, get_default_dtype
from ..errors import InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "broadcast_all", "clamp_probs", "euler_constant", "lazy_property", "logits_to_probs", "probs_to_logits",
    "tril_matrix_to_vec", "vec_to_tril_matrix",
]  # fmt: skip

euler_constant = 0.57721566490153286060
LOG_2 = 0.6931471805599453
LOG_PI = 1.1447298858494002


def broadcast_all(*values: Any) -> tuple[Tensor, ...]:
    """Numbers and tensors as tensors of one shape; numbers get the dtype of the first tensor, or the default one.

    Raises:
        InvalidArgumentError: what is neither a number nor a tensor.
    """
    if not all(isinstance(v, (Tensor, int, float)) for v in values):
        raise InvalidArgumentError("Input arguments must all be instances of Number or Tensor")
    like = next((v for v in values if isinstance(v, Tensor)), None)
    d, device = (get_default_dtype(), None) if like is None else (like.dtype, like.device)
    made = (v if isinstance(v, Tensor) else words.tensor(v, dtype=d, device=device) for v in values)
    return tuple(words.broadcast_tensors(*made))


def _standard_normal(shape: Any, dtype: Any, device: Any = None) -> Tensor:
    """Standard normal numbers, drawn as those of `normal(mean, std)`."""
    return words.normal(_ops.zeros(shape, dtype=dtype, device=device), _ops.ones(shape, dtype=dtype, device=device))


def _sum_rightmost(value: Any, dim: int) -> Any:
    """The sum over the last `dim` dimensions."""
    if dim == 0:
        return value
    return value.reshape((*value.shape[: value.ndim - dim], -1)).sum(-1)


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp x), with a derivative at 0."""
    return -_ops.logsigmoid(-x)


def logits_to_probs(logits: Tensor, is_binary: bool = False) -> Tensor:
    """`sigmoid` of log-odds if `is_binary`, else `softmax` over the last dimension."""
    return _ops.sigmoid(logits) if is_binary else logits.softmax(-1)


def clamp_probs(probs: Tensor) -> Tensor:
    """Probabilities at least `eps` away from 0 and 1, so that their logarithms are finite."""
    eps = finfo(probs.dtype).eps
    return probs.clamp(eps, 1 - eps)


def probs_to_logits(probs: Tensor, is_binary: bool = False) -> Tensor:
    """Logarithms of (clamped) probabilities; log-odds if `is_binary`."""
    p = clamp_probs(probs)
    return p.log() - (-p).log1p() if is_binary else p.log()


class lazy_property:
    """A property that is computed once, with gradients whoever asks first, and then kept as an attribute."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        self.wrapped = wrapped
        update_wrapper(self, wrapped)  # type: ignore[arg-type]

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if instance is None:
            return _lazy_property_and_property(self.wrapped)
        with enable_grad():
            value = self.wrapped(instance)
        setattr(instance, self.wrapped.__name__, value)
        return value


class _lazy_property_and_property(lazy_property, property):
    """What the class shows for it: a property, for tools that read documentation."""

    def __init__(self, wrapped: Callable[[Any], Any]) -> None:
        property.__init__(self, wrapped)


def tril_matrix_to_vec(mat: Tensor, diag: int = 0) -> Tensor:
    """The lower triangles of matrices [*, n, n] as vectors, row by row; `diag` shifts the diagonal that ends them."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise InvalidArgumentError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    rows, columns = _ops.tril_indices(n, n, diag).unbind(0)
    return mat[..., rows, columns]


def vec_to_tril_matrix(vec: Tensor, diag: int = 0) -> Tensor:
    """Matrices [*, n, n] whose lower triangles hold the vectors [*, d]; `d` must be such that there is an `n`."""
    d, b = vec.shape[-1], 1 + 2 * diag
    # A triangle of side n has (n^2 + b n - |diag| (diag + 1)) / 2 elements.
    size = round((-b + max(b * b + 8 * d + 4 * abs(diag) * (diag + 1), 0) ** 0.5) / 2)
    if size < 1 or size * size + b * size - abs(diag) * (diag + 1) != 2 * d:
        raise InvalidArgumentError(
            f"The size of last dimension is {d} which cannot be expressed as "
            "the lower triangular part of a square D x D matrix."
        )
    mat = _ops.zeros((*vec.shape[:-1], size, size), dtype=vec.dtype, device=vec.device)
    rows, columns = _ops.tril_indices(size, size, diag).unbind(0)
    flat = (rows * size + columns).expand(vec.shape)
    return mat.flatten(-2).scatter(-1, flat, vec).unflatten(-1, (size, size))
