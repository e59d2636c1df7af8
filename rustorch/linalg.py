"""Linear algebra: `rustorch.linalg`, over the ops of the table.

The factorisation of a single matrix runs on one thread and is not interrupted; those of a batch are shared by the
threads, and an interrupt ends them between two matrices.
"""

from __future__ import annotations

from typing import Any

from . import _ops
from ._arguments import flags, into, named_result, several, whole
from ._tensor import Tensor
from .dtypes import BY_NAME, finfo
from .errors import DTypeError, InvalidArgumentError, ShapeMismatchError

__all__ = [
    "cholesky",
    "cross",
    "det",
    "diagonal",
    "eigh",
    "eigvalsh",
    "inv",
    "lstsq",
    "matmul",
    "matrix_norm",
    "matrix_power",
    "multi_dot",
    "norm",
    "pinv",
    "qr",
    "slogdet",
    "solve",
    "solve_triangular",
    "svd",
    "svdvals",
    "vecdot",
    "vector_norm",
]

_QR = named_result("linalg_qr", "Q R")
_SVD = named_result("linalg_svd", "U S Vh")
_Eigh = named_result("linalg_eigh", "eigenvalues eigenvectors")
_Slogdet = named_result("linalg_slogdet", "sign logabsdet")
_Lstsq = named_result("linalg_lstsq", "solution residuals rank singular_values")


def _out(r: Tensor, out: Any) -> Tensor:
    return r if out is None else into(out, r)


def qr(A: Tensor, mode: str = "reduced") -> Any:
    """`A [*, m, n] = Q @ R` by Householder reflections; mode "reduced", "complete" or "r"."""
    return _QR(*_ops.linalg_qr(A, mode))


def svd(A: Tensor, full_matrices: bool = True) -> Any:
    """`A [*, m, n] = U @ diag(S) @ Vh`, singular values in descending order."""
    return _SVD(*_ops.linalg_svd(A, full_matrices))


def svdvals(A: Tensor) -> Tensor:
    """Singular values in descending order."""
    return _ops.linalg_svdvals(A)


def eigh(A: Tensor, UPLO: str = "L") -> Any:
    """Eigenvalues (ascending) and eigenvectors of symmetric matrices; reads the triangle that UPLO names."""
    return _Eigh(*_ops.linalg_eigh(A, UPLO))


def eigvalsh(A: Tensor, UPLO: str = "L") -> Tensor:
    """Eigenvalues of symmetric matrices, ascending."""
    return _ops.linalg_eigvalsh(A, UPLO)


def inv(A: Tensor, *, out: Any = None) -> Tensor:
    """Inverses of square matrices; singular ones are an error."""
    return _ops.inverse(A, out=out)


def det(A: Tensor, *, out: Any = None) -> Tensor:
    """Determinants of square matrices."""
    return _ops.det(A, out=out)


def slogdet(A: Tensor) -> Any:
    """Sign and logarithm of the absolute value of determinants."""
    return _Slogdet(*_ops.slogdet(A))


def cholesky(A: Tensor, *, upper: bool = False, out: Any = None) -> Tensor:
    """`A = L @ L.T` of symmetric positive definite matrices."""
    return _ops.cholesky(A, upper, out=out)


def solve(A: Tensor, B: Tensor, *, left: bool = True, out: Any = None) -> Tensor:
    """X with `A @ X = B` (or `X @ A = B` if not `left`)."""
    return _out(_ops.linalg_solve(A, B, left), out)


def solve_triangular(
    A: Tensor,
    B: Tensor,
    *,
    upper: bool,
    left: bool = True,
    unitriangular: bool = False,
    out: Any = None,
) -> Tensor:
    """X with `A @ X = B` for triangular A."""
    return _ops.linalg_solve_triangular(A, B, upper, left, unitriangular, out=out)


def _tolerance(v: Any) -> Tensor | None:
    return v if v is None or isinstance(v, Tensor) else _ops.full((), float(v), dtype=BY_NAME["float64"])


def pinv(
    A: Tensor, rcond: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None
) -> Tensor:
    """The Moore-Penrose inverse. Singular values of at most `max(atol, rtol * the largest)` count as zero (numbers, or
    tensors with one for each matrix; `rcond` is `rtol`); of `hermitian` matrices the lower triangle is read.
    """
    return _ops.linalg_pinv(A, _tolerance(atol), _tolerance(rcond if rtol is None else rtol), hermitian, out=out)


def lstsq(A: Tensor, B: Tensor, rcond: float | None = None, *, driver: str | None = None) -> Any:
    """The `X` with least `|A @ X - B|` (of several the one of least norm), and what LAPACK's drivers add to it.

    What a driver does not give is empty: squared residuals (not from "gelsy", only for full rank and more rows than
    columns), the rank (not from "gels"), the singular values (from "gelsd" and "gelss"). The default is "gelsy"; all
    compute the solution in the same way here.
    """
    if driver not in (None, "gels", "gelsy", "gelsd", "gelss"):
        raise InvalidArgumentError(f"lstsq: driver must be one of gels, gelsy, gelsd and gelss, got {driver!r}")
    # What LAPACK's drivers take for the precision of the machine.
    if isinstance(rcond, (int, float)) and driver == "gelsd" and (rcond <= 0 or rcond >= 1):
        rcond = finfo(A.dtype).eps / 2
    elif isinstance(rcond, (int, float)) and driver == "gelss" and rcond < 0:
        rcond = finfo(A.dtype).eps
    x, rank = _ops.linalg_lstsq(A, B, rcond)
    *_, m, n = A.shape
    residuals = x.reshape(-1)[:0]  # empty, but with a history, as PyTorch's
    residuals = residuals.abs() if x.is_complex() else residuals
    full = driver == "gels" or bool((rank == n).all())
    if driver == "gels":
        rank = rank.reshape(-1)[:0]
    values = svdvals(A.detach()) if driver in ("gelsd", "gelss") else _ops.empty(0, dtype=A.dtype.to_real())
    if driver not in (None, "gelsy") and full and m > n:
        vector = B.ndim == 1 or (B.ndim + 1 == A.ndim and B.shape == A.shape[:-1])
        rest = A @ x.unsqueeze(-1) - B.unsqueeze(-1) if vector else A @ x - B
        residuals = (rest.abs() if x.is_complex() else rest).square().sum(-2)
    return _Lstsq(x, residuals, rank, values)


def matrix_power(A: Tensor, n: int, *, out: Any = None) -> Tensor:
    """`A` to the power `n`; negative powers invert."""
    return _ops.matrix_power(A, n, out=out)


def multi_dot(tensors: Any, *, out: Any = None) -> Tensor:
    """The product of two or more matrices in the cheapest order (the ends may be vectors)."""
    if isinstance(tensors, Tensor):
        raise DTypeError("multi_dot(): argument 'tensors' must be a sequence of Tensors, not a Tensor")
    return _ops.multi_dot(several(tensors), out=out)


def matmul(input: Tensor, other: Tensor, *, out: Any = None) -> Tensor:
    """See `rustorch.matmul`."""
    return _ops.matmul(input, other, out=out)


def vecdot(x: Tensor, y: Tensor, *, dim: int = -1, out: Any = None) -> Tensor:
    """Dot products along `dim`."""
    if x.dtype != y.dtype or not (x.is_floating_point() or x.is_complex()):
        raise DTypeError(f"vecdot: expected two floating point tensors of one dtype, got {x.dtype} and {y.dtype}")
    return _ops.sum(_ops.conj(x) * y, whole("vecdot", "dim", dim), out=out)


def cross(input: Tensor, other: Tensor, *, dim: int = -1, out: Any = None) -> Tensor:
    """Cross products along a dimension of size 3."""
    return _ops.cross(input, other, whole("cross", "dim", dim), out=out)


def diagonal(A: Tensor, *, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Tensor:
    """A view of the diagonals."""
    return _ops.diagonal(A, offset, dim1, dim2)


def vector_norm(
    x: Tensor, ord: Any = 2, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Tensor:
    """The `ord`-norm of the elements over `dim` (all by default)."""
    return _ops.vector_norm(x, ord, dim, keepdim, dtype, out=out)


def matrix_norm(
    A: Tensor,
    ord: Any = "fro",
    dim: Any = (-2, -1),
    keepdim: bool = False,
    *,
    dtype: Any = None,
    out: Any = None,
) -> Tensor:
    """Norms of matrices: "fro", "nuc", 1, -1, 2, -2, inf, -inf."""
    flags("matrix_norm", keepdim=keepdim)
    ord, word = (None, ord) if isinstance(ord, str) else (ord, None)
    return _out(_ops.linalg_matrix_norm(A, ord, dim, keepdim, dtype, word or "fro"), out)


def norm(
    A: Tensor, ord: Any = None, dim: Any = None, keepdim: bool = False, *, dtype: Any = None, out: Any = None
) -> Tensor:
    """`vector_norm` or `matrix_norm`, as PyTorch chooses: two dimensions or a word mean matrices."""
    if dim is not None and not isinstance(dim, int) and len(dim) not in (1, 2):
        raise ShapeMismatchError(f"norm: dim must hold one or two dimensions, got {dim}")
    if ord is None:
        return vector_norm(A, 2, dim, keepdim, dtype=dtype, out=out)
    if dim is None and A.ndim not in (1, 2):
        raise ShapeMismatchError(f"norm: with ord but without dim, A must have one or two dimensions, got {A.ndim}")
    if isinstance(ord, str) or (dim is None and A.ndim == 2) or (isinstance(dim, (tuple, list)) and len(dim) == 2):
        return matrix_norm(A, ord, (-2, -1) if dim is None else dim, keepdim, dtype=dtype, out=out)
    return vector_norm(A, ord, dim, keepdim, dtype=dtype, out=out)
