"""Linear algebra: `rustorch.linalg`, over the ops of the table.

The factorisation of a single matrix runs on one thread and is not interrupted; those of a batch are shared by the
threads, and an interrupt ends them between two matrices.
"""

from __future__ import annotations

from typing import Any

from . import _ops
from ._arguments import flags, into, named_result, several, several_into, whole
from ._tensor import Tensor
from .dtypes import BY_NAME, finfo
from .errors import DTypeError, InvalidArgumentError, ShapeMismatchError
from .errors import InvalidArgumentError as LinAlgError

__all__ = [
    "LinAlgError", "cholesky", "cholesky_ex", "cond", "cross", "det", "diagonal", "eig", "eigh", "eigvals", "eigvalsh",
    "householder_product", "inv", "inv_ex", "ldl_factor", "ldl_factor_ex", "ldl_solve", "lstsq", "lu", "lu_factor",
    "lu_factor_ex", "lu_solve", "matmul", "matrix_exp", "matrix_norm", "matrix_power", "matrix_rank", "multi_dot",
    "norm", "pinv", "qr", "slogdet", "solve", "solve_ex", "solve_triangular", "svd", "svdvals", "tensorinv",
    "tensorsolve", "vander", "vecdot", "vector_norm",
]  # fmt: skip

_QR = named_result("linalg_qr", "Q R")
_SVD = named_result("linalg_svd", "U S Vh")
_Eigh = named_result("linalg_eigh", "eigenvalues eigenvectors")
_Slogdet = named_result("linalg_slogdet", "sign logabsdet")
_Lstsq = named_result("linalg_lstsq", "solution residuals rank singular_values")
_InvEx = named_result("linalg_inv_ex", "inverse info")
_CholeskyEx = named_result("linalg_cholesky_ex", "L info")
_SolveEx = named_result("linalg_solve_ex", "result info")
_LU = named_result("linalg_lu", "P L U")
_LUFactor = named_result("linalg_lu_factor", "LU pivots")
_LUFactorEx = named_result("linalg_lu_factor_ex", "LU pivots info")
_LDLFactor = named_result("linalg_ldl_factor", "LD pivots")
_LDLFactorEx = named_result("linalg_ldl_factor_ex", "LD pivots info")
_Eig = named_result("linalg_eig", "eigenvalues eigenvectors")


def _out(r: Tensor, out: Any) -> Tensor:
    return r if out is None else into(out, r)


def qr(A: Tensor, mode: str = "reduced", *, out: Any = None) -> Any:
    """`A [*, m, n] = Q @ R` by Householder reflections; mode "reduced", "complete" or "r"."""
    return _QR(*_ops.linalg_qr(A, mode, out=out))


def svd(A: Tensor, full_matrices: bool = True, *, out: Any = None) -> Any:
    """`A [*, m, n] = U @ diag(S) @ Vh`, singular values in descending order."""
    return _SVD(*_ops.linalg_svd(A, full_matrices, out=out))


def svdvals(A: Tensor, *, out: Any = None) -> Tensor:
    """Singular values in descending order."""
    return _out(_ops.linalg_svdvals(A), out)


def eigh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Any:
    """Eigenvalues (ascending) and eigenvectors of symmetric matrices; reads the triangle that UPLO names."""
    return _Eigh(*_ops.linalg_eigh(A, UPLO, out=out))


def eigvalsh(A: Tensor, UPLO: str = "L", *, out: Any = None) -> Tensor:
    """Eigenvalues of symmetric matrices, ascending."""
    return _out(_ops.linalg_eigvalsh(A, UPLO), out)


def eig(A: Tensor, *, out: Any = None) -> Any:
    """Eigenvalues and eigenvectors (columns of length 1) of square matrices, as complex numbers in no order."""
    return _Eig(*_ops.linalg_eig(A, out=out))


def eigvals(A: Tensor, *, out: Any = None) -> Tensor:
    """Eigenvalues of square matrices, as complex numbers in no order."""
    return _out(_ops.linalg_eigvals(A), out)


def inv(A: Tensor, *, out: Any = None) -> Tensor:
    """Inverses of square matrices; singular ones are an error."""
    return _ops.inverse(A, out=out)


def det(A: Tensor, *, out: Any = None) -> Tensor:
    """Determinants of square matrices."""
    return _ops.det(A, out=out)


def inv_ex(A: Tensor, *, check_errors: bool = False, out: Any = None) -> Any:
    """As `inv`; a singular matrix is told by a number (the place of the zero, from 1) in the second result."""
    return _InvEx(*_ops.linalg_inv_ex(A, check_errors, out=out))


def cholesky_ex(A: Tensor, *, upper: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """As `cholesky`; a matrix that is not positive definite is told by the order of the minor that is not."""
    return _CholeskyEx(*_ops.linalg_cholesky_ex(A, upper, check_errors, out=out))


def solve_ex(A: Tensor, B: Tensor, *, left: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """As `solve`; a singular matrix is told by a number (the place of the zero, from 1) in the second result."""
    return several_into(out, _ops.linalg_solve_ex(A, B, left, check_errors), _SolveEx)


def lu(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """`A = P @ L @ U` with a permutation, a lower triangle with ones on its diagonal, and an upper triangle."""
    return several_into(out, _ops.linalg_lu(A, pivot), _LU)


def lu_factor(A: Tensor, *, pivot: bool = True, out: Any = None) -> Any:
    """The factors of `lu` in one matrix, and the exchanges of rows (from 1); singular matrices are an error."""
    return several_into(out, _ops.linalg_lu_factor_ex(A, pivot, True)[:2], _LUFactor)


def lu_factor_ex(A: Tensor, *, pivot: bool = True, check_errors: bool = False, out: Any = None) -> Any:
    """As `lu_factor`; a singular matrix is told by a number (the place of the zero, from 1) in the third result."""
    return _LUFactorEx(*_ops.linalg_lu_factor_ex(A, pivot, check_errors, out=out))


def lu_solve(
    LU: Tensor, pivots: Tensor, B: Tensor, *, left: bool = True, adjoint: bool = False, out: Any = None
) -> Tensor:
    """X with `A @ X = B` (`X @ A = B` if not `left`; `A.mH` with `adjoint`), from the results of `lu_factor(A)`."""
    return _out(_ops.linalg_lu_solve(LU, pivots, B, left, adjoint), out)


def ldl_factor(A: Tensor, *, hermitian: bool = False, out: Any = None) -> Any:
    """`A = L @ D @ L.mT` (`L.mH` with `hermitian`) in one matrix, from the lower triangle, and LAPACK's pivots."""
    return several_into(out, _ops.linalg_ldl_factor_ex(A, hermitian, True)[:2], _LDLFactor)


def ldl_factor_ex(A: Tensor, *, hermitian: bool = False, check_errors: bool = False, out: Any = None) -> Any:
    """As `ldl_factor`; a singular matrix is told by a number (the place of the zero, from 1) in the third result."""
    return _LDLFactorEx(*_ops.linalg_ldl_factor_ex(A, hermitian, check_errors, out=out))


def ldl_solve(LD: Tensor, pivots: Tensor, B: Tensor, *, hermitian: bool = False, out: Any = None) -> Tensor:
    """X with `A @ X = B`, from the results of `ldl_factor(A)`."""
    return _out(_ops.linalg_ldl_solve(LD, pivots, B, hermitian), out)


def householder_product(A: Tensor, tau: Tensor, *, out: Any = None) -> Tensor:
    """The first columns of the product of the reflections that `geqrf` gives."""
    return _out(_ops.linalg_householder_product(A, tau), out)


def tensorinv(A: Tensor, ind: int = 2, *, out: Any = None) -> Tensor:
    """The inverse of a tensor whose first `ind` dimensions are taken as rows and the others as columns."""
    return _out(_ops.linalg_tensorinv(A, ind), out)


def tensorsolve(A: Tensor, B: Tensor, dims: Any = None, *, out: Any = None) -> Tensor:
    """X with `tensordot(A, X, X.ndim) = B`; the dimensions `dims` of A are moved to its end first."""
    return _out(_ops.linalg_tensorsolve(A, B, dims), out)


def vander(x: Tensor, N: int | None = None) -> Tensor:
    """The powers 0 to N - 1 of the elements, along a new last dimension."""
    return _ops.linalg_vander(x, N)


def matrix_exp(A: Tensor) -> Tensor:
    """The exponential of square matrices."""
    return _ops.matrix_exp(A)


def cond(A: Tensor, p: Any = None, *, out: Any = None) -> Tensor:
    """A norm of matrices times that of their inverses: p is None (2), 2, -2, 1, -1, inf, -inf, "fro" or "nuc"."""
    word, number = (p, None) if isinstance(p, str) else (None, p)
    return _out(_ops.linalg_cond(A, word, number), out)


def matrix_rank(
    A: Tensor, tol: Any = None, hermitian: bool = False, *, atol: Any = None, rtol: Any = None, out: Any = None
) -> Tensor:
    """How many singular values exceed `max(atol, rtol * the largest)`; `tol` is `atol` with an `rtol` of 0."""
    if tol is not None:
        atol, rtol = tol, 0.0
    return _out(_ops.linalg_matrix_rank(A, _tolerance(atol), _tolerance(rtol), hermitian), out)


def slogdet(A: Tensor, *, out: Any = None) -> Any:
    """Sign and logarithm of the absolute value of determinants."""
    return _Slogdet(*_ops.slogdet(A, out=out))


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
    """Dot products along `dim`, of the conjugates of x with y; the other dimensions broadcast."""
    return _out(_ops.linalg_vecdot(x, y, whole("vecdot", "dim", dim)), out)


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
