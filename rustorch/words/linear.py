"""PyTorch's older words for linear algebra, and those that give several results."""

from __future__ import annotations

from .. import _ops
from .._arguments import into, named_result, several, several_into

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._tensor import Tensor

_Slogdet = named_result("slogdet", "sign logabsdet")
_Geqrf = named_result("geqrf", "a tau")
_Qr = named_result("qr", "Q R")
_TriangularSolve = named_result("triangular_solve", "solution cloned_coefficient")
_LuUnpack = named_result("lu_unpack", "P L U")
_LuWithInfo = named_result("_lu_with_info", "LU pivots info")


def slogdet(input: Tensor, *, out: Any = None) -> Any:
    """Signs of the determinants of square matrices, and logarithms of their absolute values."""
    return _Slogdet(*_ops.slogdet(input, out=out))


def geqrf(input: Tensor, *, out: Any = None) -> Any:
    """The reflections of a QR factorization, as LAPACK leaves them: `R` and below it the vectors; and their factors."""
    return _Geqrf(*_ops.geqrf(input, out=out))


def orgqr(input: Tensor, input2: Tensor, *, out: Any = None) -> Tensor:
    """`linalg.householder_product`."""
    r = _ops.linalg_householder_product(input, input2)
    return r if out is None else into(out, r)


def qr(input: Tensor, some: bool = True, *, out: Any = None) -> Any:
    """PyTorch's old word for `linalg.qr`: reduced, or complete if not `some`."""
    return _Qr(*_ops.linalg_qr(input, "reduced" if some else "complete", out=out))


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """PyTorch's old word for `linalg.pinv`."""
    from ..linalg import pinv

    return pinv(input, rcond)


def triangular_solve(
    input: Tensor,
    A: Tensor,
    upper: bool = True,
    transpose: bool = False,
    unitriangular: bool = False,
    *,
    out: Any = None,
) -> Any:
    """X with `A @ X = input` (`A.mT` with `transpose`) for triangular matrices, and a copy of A."""
    return several_into(out, _ops.triangular_solve(input, A, upper, transpose, unitriangular), _TriangularSolve)


def lu(A: Tensor, pivot: bool = True, get_infos: bool = False, out: Any = None) -> Any:
    """PyTorch's old word for `linalg.lu_factor_ex`; singular matrices are no error."""
    results: tuple[Tensor, ...] = _ops.linalg_lu_factor_ex(A, pivot)
    if out is not None:
        results = tuple(into(o, r) for o, r in zip(out, results))
    return _LuWithInfo(*results) if get_infos else tuple(results[:2])


def _lu_method(input: Tensor, pivot: bool = True, get_infos: bool = False) -> Any:
    return lu(input, pivot, get_infos)


def lu_unpack(
    LU_data: Tensor, LU_pivots: Tensor, unpack_data: bool = True, unpack_pivots: bool = True, *, out: Any = None
) -> Any:
    """P, L and U from the results of `linalg.lu_factor`; what is not unpacked is empty."""
    return several_into(out, _ops.lu_unpack(LU_data, LU_pivots, unpack_data, unpack_pivots), _LuUnpack)


def lu_solve(input: Tensor, LU_data: Tensor, LU_pivots: Tensor, *, out: Any = None) -> Tensor:
    """PyTorch's old word for `linalg.lu_solve`, the right-hand sides coming first."""
    r = _ops.linalg_lu_solve(LU_data, LU_pivots, input)
    return r if out is None else into(out, r)


def svd_lowrank(A: Tensor, q: int | None = 6, niter: int | None = 2, M: Tensor | None = None) -> Any:
    """About the `q` largest singular values of A (less M), and their vectors, as columns: U, S and V."""
    return _ops.svd_lowrank(A, 6 if q is None else q, 2 if niter is None else niter, M)


def pca_lowrank(A: Tensor, q: int | None = None, center: bool = True, niter: int = 2) -> Any:
    """As `svd_lowrank`, of rows from which with `center` their mean is taken away: V holds principal directions."""
    return _ops.pca_lowrank(A, q, center, niter)


def vander(x: Tensor, N: int | None = None, increasing: bool = False) -> Tensor:
    """The powers N - 1 to 0 of the elements of a vector, one per column; from 0 up with `increasing`."""
    return _ops.vander(x, N, increasing)


def chain_matmul(*matrices: Tensor, out: Any = None) -> Tensor:
    """The product of matrices in the cheapest order."""
    ts = several(matrices[0] if len(matrices) == 1 and isinstance(matrices[0], (list, tuple)) else matrices)
    r = ts[0] if len(ts) == 1 else _ops.multi_dot(ts)
    return r if out is None else into(out, r)
