"""Words that reduce, order, and count along dimensions."""

from __future__ import annotations

from .. import _ops
from .._arguments import flags, into, refused, several_into, whole
from ..dtypes import BY_NAME, from_python
from ..errors import DTypeError, ShapeMismatchError
from .common import (
    _MISSING,
    _is_tensor,
    _none_for_all,
    _numpy_names,
    return_aminmax,
    return_cummax,
    return_cummin,
    return_histogram,
    return_histogramdd,
    return_kthvalue,
    return_max,
    return_median,
    return_min,
    return_mode,
    return_nanmedian,
    return_sort,
    return_topk,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._tensor import Tensor


def _extreme(name: str, make: Any) -> Any:
    def f(input: Tensor, dim: Any = _MISSING, keepdim: bool = False, *, other: Any = None, out: Any = None) -> Any:
        if other is None and _is_tensor(dim):
            other, dim = dim, None
        if other is not None:
            return getattr(_ops, f"{name}imum")(input, other, out=out)
        if dim is _MISSING:
            return getattr(_ops, f"{name}_all")(input, out=out)
        return make(*getattr(_ops, f"{name}_dim")(input, dim, keepdim, out=out))

    f.__name__ = f.__qualname__ = name
    f.__doc__ = (
        f"The {name}imum: of all elements; over `dim` as (values, indices), its size becoming 1 with `keepdim`; or, "
        "given another tensor, elementwise."
    )
    return f


amax = _none_for_all(_ops.amax, "dim", 1)
amin = _none_for_all(_ops.amin, "dim", 1)
max = _numpy_names(_extreme("max", return_max))
min = _numpy_names(_extreme("min", return_min))


@_numpy_names
def median(input: Tensor, dim: Any = _MISSING, keepdim: bool = False, *, out: Any = None) -> Any:
    """The lower median of all elements, or over `dim` as (values, indices)."""
    if dim is _MISSING:
        return _ops.median_all(input, out=out)
    return return_median(*_ops.median_dim(input, dim, keepdim, out=out))


@_numpy_names
def nanmedian(input: Tensor, dim: Any = _MISSING, keepdim: bool = False, *, out: Any = None) -> Any:
    """The lower median of the elements that are not NaN, of all or over `dim` as (values, indices)."""
    if dim is _MISSING:
        r = _ops.nanmedian_all(input)
        return r if out is None else into(out, r)
    return return_nanmedian(*_ops.nanmedian_dim(input, dim, keepdim, out=out))


@_numpy_names
def prod(input: Tensor, dim: Any = _MISSING, keepdim: bool = False, dtype: Any = None, *, out: Any = None) -> Tensor:
    """Product of all elements, or over `dim`; whole numbers become int64."""
    if dim is None:
        raise refused("prod", "dim", "Int", dim)
    return _ops.prod(input, None if dim is _MISSING else dim, keepdim, dtype, out=out)


def _named_pair(name: str, make: Any) -> Any:
    op = getattr(_ops, name)

    def f(input: Tensor, *args: Any, out: Any = None, **kwargs: Any) -> Any:
        return make(*op(input, *args, out=out, **kwargs))

    f.__name__ = f.__qualname__ = name
    f.__doc__ = op.__doc__
    return f


topk = _named_pair("topk", return_topk)
kthvalue = _named_pair("kthvalue", return_kthvalue)
mode = _named_pair("mode", return_mode)
cummax = _named_pair("cummax", return_cummax)
cummin = _named_pair("cummin", return_cummin)


@_numpy_names
def sort(
    input: Tensor, dim: int = -1, descending: bool = False, stable: bool | None = False, *, out: Any = None
) -> Any:
    """Sorted values along `dim` and the indices they came from. Equal elements keep their order."""
    if stable is not None:
        flags("sort", stable=stable)
    return return_sort(*_ops.sort(input, dim, descending, True, out=out))


@_numpy_names
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = False) -> Tensor:
    """The indices that sort `input` along `dim`."""
    flags("argsort", stable=stable)
    return _ops.argsort(input, dim, descending, True)


@_numpy_names
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> Any:
    """Minimum and maximum as one pair."""
    return return_aminmax(*_ops.aminmax(input, None if dim is None else whole("aminmax", "dim", dim), keepdim))


def _spread(name: str) -> Any:
    def f(
        input: Tensor,
        dim: Any = None,
        unbiased: Any = None,
        keepdim: bool = False,
        *,
        correction: Any = None,
        out: Any = None,
    ) -> Any:
        if (isinstance(dim, bool) or correction is not None) and unbiased is not None:
            raise DTypeError(f"{name}(): wanted one of unbiased and correction, got {unbiased!r} besides another")
        if isinstance(dim, bool):
            dim, unbiased = None, dim
        if unbiased is not None:
            flags(name, unbiased=unbiased)
        if correction is None:
            correction = 1 if unbiased is None or unbiased else 0
        return getattr(_ops, name)(input, dim, correction, keepdim, out=out)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = (
        f"`{name}` over `dim` (all by default) with `correction` degrees of freedom taken off (1; 0 if not `unbiased`)."
    )
    return f


std = _numpy_names(_spread("std"))
var = _numpy_names(_spread("var"))
std_mean = _numpy_names(_spread("std_mean"))
var_mean = _numpy_names(_spread("var_mean"))


def norm(
    input: Tensor, p: Any = "fro", dim: Any = None, keepdim: bool = False, out: Any = None, dtype: Any = None
) -> Tensor:
    """The `p`-norm of the elements over `dim` (all by default); "fro" is the 2-norm, "nuc" the nuclear norm."""
    if p is None or p == "fro":
        if p is not None and not isinstance(dim, int) and dim is not None and len(dim) > 2:
            raise ShapeMismatchError(f"norm: for 'fro' dim must hold at most two dimensions, got {dim}")
        p = 2.0
    elif p == "nuc":
        from ..linalg import matrix_norm

        return matrix_norm(
            input, "nuc", tuple(range(input.ndim)) if dim is None else dim, keepdim, dtype=dtype, out=out
        )
    return _ops.vector_norm(input, float(p), dim, keepdim, dtype, out=out)


def _cumulative(name: str) -> Any:
    op = getattr(_ops, name)

    def f(input: Tensor, dim: int, *, dtype: Any = None) -> Tensor:
        if dtype is not None and from_python(dtype) is not input.dtype:
            raise DTypeError(f"{name}: the tensor has dtype {input.dtype}, which must be the result's, got {dtype}")
        return op(input, dim)  # type: ignore[no-any-return]

    f.__name__ = f.__qualname__ = name
    f.__doc__ = op.__doc__
    return _numpy_names(f)


cumsum_ = _cumulative("cumsum_")
cumprod_ = _cumulative("cumprod_")


def unique(
    input: Tensor, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False, dim: Any = None
) -> Any:
    """The distinct elements in ascending order, on demand with each element's place among them and their counts."""
    if dim is None:
        values, inverse, counts = _ops.unique_flat(input, sorted, return_inverse, return_counts)
    else:
        flags("unique", sorted=sorted, return_inverse=return_inverse, return_counts=return_counts)
        values, inverse, counts = _ops.unique_dim(input, dim)
    return _chosen(values, inverse, counts, return_inverse, return_counts)


def _chosen(values: Tensor, inverse: Any, counts: Any, want_inverse: bool, want_counts: bool) -> Any:
    if not want_inverse and not want_counts:
        return values
    return (values, *([inverse] if want_inverse else []), *([counts] if want_counts else []))


def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements (or slices along `dim`) that differ from the one before, on demand with each element's place among
    them and the lengths of the runs.
    """
    if dim is None:
        values, inverse, counts = _ops.unique_consecutive_flat(input, return_inverse, return_counts)
    else:
        flags("unique_consecutive", return_inverse=return_inverse, return_counts=return_counts)
        values, inverse, counts = _ops.unique_consecutive_dim(input, dim)
    return _chosen(values, inverse, counts, return_inverse, return_counts)


def trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = 1, dim: int = -1) -> Tensor:
    """Integral along `dim` by the trapezoidal rule, with points `x` or steps `dx`."""
    return _ops.trapezoid(y, x, dx, dim)


trapz = trapezoid


def cumulative_trapezoid(y: Tensor, x: Tensor | None = None, *, dx: Any = 1, dim: int = -1) -> Tensor:
    """The integrals of `trapezoid` up to each point but the first."""
    return _ops.cumulative_trapezoid(y, x, dx, dim)


def _spacing(input: Tensor, v: Any) -> Tensor:
    """A number in the precision of the input."""
    if _is_tensor(v):
        return v  # type: ignore[no-any-return]
    wide = input.dtype in (BY_NAME["float64"], BY_NAME["complex128"])
    kind = ("complex128" if wide else "complex64") if isinstance(v, complex) else "float64" if wide else "float32"
    return _ops.full((), v, dtype=BY_NAME[kind])


def gradient(input: Tensor, *, spacing: Any = None, dim: Any = None, edge_order: int = 1) -> Any:
    """Slopes along `dim` (each by default) by differences of neighbours, as a tuple.

    `spacing` is the distance of neighbours, one for each dimension, or tensors with the places of the elements.
    """
    if spacing is None:
        given = []
    elif isinstance(spacing, (tuple, list)):
        for s in spacing:
            if _is_tensor(s) and s.ndim != 1:
                raise ShapeMismatchError(f"gradient: expected places as a 1-D tensor, got shape {list(s.shape)}")
        given = [_spacing(input, s) for s in spacing]
    else:
        if _is_tensor(spacing):
            raise DTypeError("gradient(): argument 'spacing' must be a number or a sequence, not a Tensor")
        count = input.ndim if dim is None else 1 if isinstance(dim, int) else len(dim)
        given = [_spacing(input, spacing)] * count
    return _ops.gradient(input, given, dim, edge_order)


def _edges_or_counts(op: str, input: Tensor, bins: Any, range: Any, weight: Any, density: bool) -> tuple[Tensor, Any]:
    """A histogram of points, and its edges, for numbers of bins or for edges."""
    flags(op, density=density)
    if any(_is_tensor(b) for b in bins):
        if range is not None:
            raise DTypeError(f"{op}(): the range follows from the edges, got {range!r}")
        edges = [b.detach().clone() for b in bins]
        return _ops.histogramdd_from_bin_tensors(input, weight, edges, density), tuple(edges)
    counts = [whole(op, "bins", b) for b in bins]
    bounds = None if range is None else _ops.full((len(range),), 0, dtype=BY_NAME["float64"])
    if bounds is not None:
        for i, v in enumerate(range):
            bounds.select(0, i).fill_(float(v))
    hist = _ops.histogramdd_from_bin_cts(input, counts, bounds, weight, density)
    return hist, tuple(_ops.histogramdd_bin_edges(input, counts, bounds))


def histogram(
    input: Tensor, bins: Any = 100, *, range: Any = None, weight: Any = None, density: bool = False, out: Any = None
) -> Any:
    """How many elements lie in each of `bins` intervals of one width over `range` (that of the elements by default), or
    between the edges `bins`; `weight` counts elements several times, `density` gives an integral of 1. And the edges.
    """
    if weight is not None and weight.shape != input.shape:
        raise ShapeMismatchError(
            f"histogram: if weight tensor is provided it should have the shape of input, {list(input.shape)}, "
            f"got {list(weight.shape)}"
        )
    weight = None if weight is None else weight.reshape(-1)
    if not _is_tensor(bins):
        bins = whole("histogram", "bins", bins)
    hist, edges = _edges_or_counts("histogram", input.reshape(-1, 1), [bins], range, weight, density)
    return several_into(out, (hist, edges[0]), return_histogram)


def histogramdd(input: Tensor, bins: Any, range: Any = None, weight: Any = None, density: bool = False) -> Any:
    """As `histogram`, of points `[..., d]`: the histogram has `d` dimensions, and there are edges for each; one number
    of bins, or one (or edges) for each dimension.
    """
    if input.ndim < 2:
        raise ShapeMismatchError(f"histogramdd: expected at least two dimensions, got shape {list(input.shape)}")
    d = input.shape[-1]
    if weight is not None:
        if weight.shape != input.shape[:-1]:
            raise ShapeMismatchError(
                f"histogramdd: expected weight of shape {list(input.shape[:-1])}, got {list(weight.shape)}"
            )
        weight = weight.reshape(-1)
    bins = list(bins) if isinstance(bins, (tuple, list)) else [bins] * d
    hist, edges = _edges_or_counts("histogramdd", input.reshape(-1, d), bins, range, weight, density)
    return return_histogramdd(hist, edges)


@_numpy_names
def argmax(input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """Index of the greatest element, of all or over `dim`."""
    return _ops.argmax(input, dim, keepdim, out=out)


@_numpy_names
def argmin(input: Tensor, dim: Any = None, keepdim: bool = False, *, out: Any = None) -> Tensor:
    """Index of the least element, of all or over `dim`."""
    return _ops.argmin(input, dim, keepdim, out=out)
