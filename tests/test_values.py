"""Values of every op of the table, with every option, against NumPy and formulas."""

from __future__ import annotations

import decimal
import inspect
import itertools
import math
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import _ops
from rustorch._door import CALLED
from rustorch.errors import RustorchError

if TYPE_CHECKING:
    from collections.abc import Collection

TABLE = {op["name"]: op for op in rt.ops.table()}
# Whose values are seen elsewhere: gradients of other ops (tests/test_gradients.py), random numbers
# (rust-core/src/random.rs
# and tests/test_distributions.py), optimizers (tests/test_optim.py), and what has no values.
ELSEWHERE = {
    "conv_input_grad", "conv_weight_grad", "max_pool_grad", "avg_pool_grad", "adaptive_avg_pool_grad",
    "max_pool_values", "restride", "empty", "empty_like", "empty_strided", "dropout",
}  # fmt: skip
NAMES = sorted(
    n
    for n, op in TABLE.items()
    if op["module"] not in ("random", "optim") and not n.endswith("_backward") and n not in ELSEWHERE
)
# Options that change nothing in a value, or that are checked in tests of their own.
NO_CASE = {
    ("sort", "stable"), ("argsort", "stable"), ("topk", "sorted"), ("unique_flat", "sorted"), ("isin", "assume_unique"),
    ("gather", "sparse_grad"), ("embedding", "padding_idx"), ("scaled_dot_product_attention", "dropout_p"),
    ("multi_head_attention_forward", "dropout_p"), ("multi_head_attention_forward", "training"),
    ("multi_head_attention_forward", "is_causal"), ("rnn_layer", "keep"),
    ("linalg_lu", "pivot"), ("linalg_lu_factor_ex", "pivot"),
}  # fmt: skip

inf, nan = math.inf, math.nan
REFERENCE: dict[str, Any] = {}


def reference(f: Any) -> Any:
    REFERENCE[f.__name__.rstrip("_")] = f
    return f


def axes(dim: Any, ndim: int) -> Any:
    """NumPy's axis for a dim that may be missing, empty, one or several."""
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        return None
    return tuple(d % max(ndim, 1) for d in dim) if isinstance(dim, (tuple, list)) else dim


def each(f: Any) -> Any:
    return np.vectorize(f, otypes=[np.float64])


# ---- making ----

REFERENCE.update(
    zeros=lambda size, dtype=np.float32: np.zeros(size, dtype),
    ones=lambda size, dtype=np.float32: np.ones(size, dtype),
    full=lambda size, fill_value, dtype=None: np.full(size, fill_value, dtype),
    zeros_like=lambda x, dtype=None: np.zeros(x.shape, dtype or x.dtype),
    ones_like=lambda x, dtype=None: np.ones(x.shape, dtype or x.dtype),
    full_like=lambda x, fill_value, dtype=None: np.full(x.shape, fill_value, dtype or x.dtype),
    linspace=lambda a, b, n, dtype=None: np.linspace(a, b, n, dtype=np.float64).astype(dtype or np.float32),
    logspace=lambda a, b, n, base=10.0, dtype=None: np.logspace(a, b, n, base=base).astype(dtype or np.float32),
    eye=lambda n, m=None, dtype=np.float32: np.eye(n, m, dtype=dtype),
    tril_indices=lambda r, c, offset=0, dtype=np.int64: np.stack(np.tril_indices(r, offset, c)).astype(dtype),
    triu_indices=lambda r, c, offset=0, dtype=np.int64: np.stack(np.triu_indices(r, offset, c)).astype(dtype),
)


def divided(x: Any, y: Any, rounding_mode: str | None = None) -> Any:
    q = x / y
    if rounding_mode is None:
        return q
    if np.asarray(x).dtype.kind == "f":
        return np.trunc(q) if rounding_mode == "trunc" else np.floor(q)
    return x // y + ((x % y != 0) & ((x < 0) != (y < 0)) if rounding_mode == "trunc" else 0)


@reference
def arange(start: Any, end: Any, step: Any = 1, dtype: Any = None) -> Any:
    whole = all(isinstance(v, int) for v in (start, end, step))
    n = math.ceil((end - start) / step)
    return np.array([start + k * step for k in range(n)]).astype(dtype or (np.int64 if whole else np.float32))


@reference
def combination_indices(n: int, r: int, with_replacement: bool = False) -> Any:
    pick = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return np.array(list(pick(range(n), r)), np.int64).reshape(-1, r)


REFERENCE["range"] = lambda start, end, step=1, dtype=np.float32: np.array(
    [start + k * step for k in range(int((end - start) / step) + 1)]
).astype(dtype)


def window(f: Any) -> Any:
    def values(n: int, periodic: bool = True, *options: float, dtype: Any = np.float32, **named: float) -> Any:
        last = n if periodic else n - 1
        return np.array([f(k / last, *options, **named) if n > 1 else 1.0 for k in range(n)]).astype(dtype)

    return values


TAU = 2 * math.pi
REFERENCE.update(
    hann_window=window(lambda x: 0.5 - 0.5 * math.cos(TAU * x)),
    hamming_window=window(lambda x, alpha=0.54, beta=0.46: alpha - beta * math.cos(TAU * x)),
    blackman_window=window(lambda x: 0.42 - 0.5 * math.cos(TAU * x) + 0.08 * math.cos(2 * TAU * x)),
    bartlett_window=window(lambda x: 1 - abs(2 * x - 1)),
    kaiser_window=window(lambda x, beta=12.0: np.i0(beta * math.sqrt(max(0, 1 - (2 * x - 1) ** 2))) / np.i0(beta)),
)


def around(f: Any) -> Any:
    def values(n: int, *options: float, sym: bool, center: float | None = None, dtype: Any) -> Any:
        center = (n - sym) / 2 if center is None else center
        return np.array([f(k - center, *options) for k in range(n)]).astype(dtype)

    return values


REFERENCE.update(
    signal_windows_cosine=lambda n, sym=True, dtype=np.float32: np.array(
        [math.sin(math.pi * (k + 0.5) / (n + (not sym))) for k in range(n)]
    ).astype(dtype),
    signal_windows_exponential=lambda n, center=None, tau=1.0, sym=True, dtype=np.float32: around(
        lambda x: math.exp(-abs(x) / tau)
    )(n, sym=sym, center=center, dtype=dtype),
    signal_windows_gaussian=lambda n, std=1.0, sym=True, dtype=np.float32: around(
        lambda x: math.exp(-((x / std) ** 2) / 2)
    )(n, sym=sym, dtype=dtype),
    signal_windows_general_cosine=lambda n, a, sym=True, dtype=np.float32: window(
        lambda x: sum((-1) ** k * v * math.cos(TAU * k * x) for k, v in enumerate(a))
    )(n, not sym, dtype=dtype),
)

# ---- elementwise ----

SAME_NAME = """
    hypot copysign logaddexp logaddexp2 sinc signbit square sqrt exp exp2 expm1 log log2 log10 log1p sin cos tan sinh
    cosh tanh deg2rad rad2deg ceil floor trunc maximum minimum fmax fmin isnan isinf isfinite isposinf isneginf isreal
    logical_and logical_or logical_xor logical_not bitwise_and bitwise_or bitwise_xor gcd lcm isclose
    positive reciprocal abs sign
""".split()
REFERENCE.update({n: getattr(np, n) for n in SAME_NAME})
REFERENCE.update(
    allclose=lambda *args, **options: np.array(np.allclose(*args, **options)),
    equal=lambda x, y: np.array(np.array_equal(x, y)),
)
OTHER_NAME = {
    "asin": "arcsin", "acos": "arccos", "atan": "arctan", "atan2": "arctan2", "asinh": "arcsinh", "acosh": "arccosh",
    "atanh": "arctanh", "eq": "equal", "ne": "not_equal", "lt": "less", "le": "less_equal", "gt": "greater",
    "ge": "greater_equal", "neg": "negative", "mul": "multiply", "bitwise_not": "invert", "where": "where",
    "float_power": "float_power", "floor_divide": "floor_divide", "remainder": "remainder", "fmod": "fmod",
}  # fmt: skip
REFERENCE.update({n: getattr(np, m) for n, m in OTHER_NAME.items()})


def psi(x: float) -> float:
    return math.log(x + 200) - 0.5 / (x + 200) - 1 / (12 * (x + 200) ** 2) - sum(1 / (x + k) for k in range(200))


def zeta(s: float, x: float) -> float:
    n = x + 200
    return sum((x + k) ** -s for k in range(200)) + n ** (1 - s) / (s - 1) + n**-s / 2 + s * n ** (-s - 1) / 12


def inverse_of_erf(y: float) -> float:
    low, high = -6.0, 6.0
    for _ in range(80):
        low, high = ((low + high) / 2, high) if math.erf((low + high) / 2) < y else (low, (low + high) / 2)
    return low


def power(x: Any, y: Any) -> Any:
    if not (np.issubdtype(np.asarray(x).dtype, np.integer) and np.issubdtype(np.asarray(y).dtype, np.integer)):
        return np.power(x, y)
    whole = np.vectorize(lambda a, b: int(a) ** int(b) if b >= 0 else (int(a) ** int(b % 2) if abs(a) == 1 else 0))
    return whole(x, y)


def log_of(x: Any) -> Any:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.log(x)


sigmoid = each(lambda v: 1 / (1 + math.exp(-v)) if v > -700 else 0.0)
REFERENCE.update(
    add=lambda x, y, alpha=1: x + alpha * y,
    sub=lambda x, y, alpha=1: x - alpha * y,
    rsub=lambda x, y, alpha=1: y - alpha * x,
    div=divided,
    heaviside=lambda x, y: np.select([x < 0, x == 0], [0 * y, y], np.where(x == x, 1 + 0 * y, x)).astype(x.dtype),
    nan_to_num=lambda x, nan=0.0, posinf=None, neginf=None: np.nan_to_num(x, nan=nan, posinf=posinf, neginf=neginf),
    addcmul=lambda x, a, b, value=1: x + value * a * b,
    addcdiv=lambda x, a, b, value=1: x + value * a / b,
    lerp=lambda x, end, weight: x + weight * (end - x),
    pow=power,
    rsqrt=lambda x: 1 / np.sqrt(x),
    xlogy=lambda x, y: np.where((x == 0) & ~np.isnan(y), 0, x * log_of(y)),
    logit=lambda x, eps=None: (lambda y: np.log(y / (1 - y)))(x if eps is None else np.clip(x, eps, 1 - eps)),
    round=lambda x, decimals=0: np.round(x, decimals),
    frac=lambda x: x - np.trunc(x),
    erf=each(math.erf),
    erfc=each(math.erfc),
    erfinv=each(inverse_of_erf),
    lgamma=each(math.lgamma),
    digamma=each(psi),
    polygamma=lambda n, x: each(lambda v: psi(v) if n == 0 else (-1) ** (n + 1) * math.factorial(n) * zeta(n + 1, v))(
        x
    ),
    clamp=lambda x, min=None, max=None: np.minimum(
        np.maximum(x, -inf if min is None else min), inf if max is None else max
    ),
    clamp_min=np.maximum,
    clamp_max=np.minimum,
    clamp_tensor=lambda x, min=None, max=None: np.minimum(
        x if min is None else np.maximum(x, min), inf if max is None else max
    ),
    bitwise_left_shift=np.vectorize(lambda a, b: (int(a) << int(b)) if 0 <= b < 64 else 0, otypes=[np.int64]),
    bitwise_right_shift=np.vectorize(lambda a, b: int(a) >> (int(b) if 0 <= b < 64 else 63), otypes=[np.int64]),
    fill=lambda x, value: np.full_like(x, value),
    zero=np.zeros_like,
    ldexp=lambda x, y: x * 2.0**y,
    sigmoid=sigmoid,
    # activations
    relu=lambda x: np.maximum(x, 0),
    threshold=lambda x, threshold, value: np.where(x > threshold, x, value),
    relu6=lambda x: np.clip(x, 0, 6),
    hardtanh=lambda x, min_val=-1, max_val=1: np.clip(x, min_val, max_val),
    leaky_relu=lambda x, negative_slope=0.01: np.where(x > 0, x, negative_slope * x),
    prelu=lambda x, w: np.where(x > 0, x, x * w.reshape((-1,) + (1,) * (x.ndim - 2) if x.ndim > 1 else (-1,))),
    prelu_channels=lambda x, w: np.where(x > 0, x, x * w),
    elu=lambda x, alpha=1, scale=1, input_scale=1: np.where(
        x > 0, scale * x, scale * alpha * np.expm1(input_scale * x)
    ),
    selu=lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x)),
    celu=lambda x, alpha=1.0: np.where(x > 0, x, alpha * np.expm1(x / alpha)),
    silu=lambda x: x * sigmoid(x),
    mish=lambda x: x * np.tanh(np.log1p(np.exp(x))),
    softplus=lambda x, beta=1, threshold=20: np.where(beta * x > threshold, x, np.log1p(np.exp(beta * x)) / beta),
    logsigmoid=lambda x: -np.logaddexp(0, -x),
    hardsigmoid=lambda x: np.clip(x + 3, 0, 6) / 6,
    hardswish=lambda x: x * np.clip(x + 3, 0, 6) / 6,
    hardshrink=lambda x, lambd=0.5: np.where(np.abs(x) > lambd, x, 0),
    softshrink=lambda x, lambd=0.5: np.sign(x) * np.maximum(np.abs(x) - lambd, 0),
    tanhshrink=lambda x: x - np.tanh(x),
    softsign=lambda x: x / (1 + np.abs(x)),
)


@reference
def gelu(x: Any, approximate: str = "none") -> Any:
    if approximate == "none":
        return x * 0.5 * (1 + each(math.erf)(x / math.sqrt(2)))
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@reference
def glu(x: Any, dim: int = -1) -> Any:
    a, b = np.split(x, 2, dim)
    return a * sigmoid(b)


@reference
def log_softmax(x: Any, dim: int, dtype: Any = None) -> Any:
    x = x.astype(dtype or x.dtype)
    with np.errstate(invalid="ignore"):
        e = x - x.max(dim, keepdims=True)
        return e - np.log(np.exp(e).sum(dim, keepdims=True))


REFERENCE.update(
    softmax=lambda x, dim, dtype=None: np.exp(log_softmax(x, dim, dtype)),
    softmin=lambda x, dim, dtype=None: np.exp(log_softmax(-x, dim, dtype)),
    safe_softmax=lambda x, dim, dtype=None: np.nan_to_num(np.exp(log_softmax(x, dim, dtype)), nan=0.0),
)

# ---- reductions ----


def reduction(f: Any) -> Any:
    def values(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
        if dtype is not None:
            x = x.astype(dtype)
        elif x.dtype == np.bool_:
            x = x.astype(np.int64)
        return f(x, axis=axes(dim, x.ndim), keepdims=keepdim)

    return values


def truth(f: Any) -> Any:
    def values(x: Any, dim: Any = None, keepdim: bool = False) -> Any:
        return f(x, axis=axes(dim, x.ndim), keepdims=keepdim).astype(np.uint8 if x.dtype == np.uint8 else np.bool_)

    return values


def extreme(f: Any) -> Any:
    return lambda x, dim=(), keepdim=False: f(x, axis=axes(dim, x.ndim), keepdims=keepdim)


def chosen(f: Any, place: Any) -> Any:
    def values(x: Any, dim: int, keepdim: bool = False) -> Any:
        i = place(x, dim)
        value = np.take_along_axis(x, np.expand_dims(i, dim), dim)
        return (value, np.expand_dims(i, dim)) if keepdim else (value.squeeze(dim), i)

    return values


def spread(root: bool, with_mean: bool) -> Any:
    def values(x: Any, dim: Any = None, correction: Any = 1, keepdim: bool = False) -> Any:
        a = axes(dim, x.ndim)
        v = x.var(axis=a, ddof=correction, keepdims=keepdim)
        v = np.sqrt(v) if root else v
        return (v, x.mean(axis=a, keepdims=keepdim)) if with_mean else v

    return values


def line_median(v: Any, skip: bool) -> int:
    there = np.flatnonzero(~np.isnan(v)) if skip else np.arange(v.size)
    if not there.size or (not skip and np.isnan(v).any()):
        return int(np.flatnonzero(np.isnan(v))[0])
    return int(there[np.argsort(v[there], kind="stable")[(there.size - 1) // 2]])


def median(skip: bool, whole: bool) -> Any:
    if whole:
        return lambda x: x.ravel()[line_median(x.ravel(), skip)]
    return chosen(None, lambda x, dim: np.apply_along_axis(line_median, dim, x, skip))


def norm(x: Any, ord: float = 2, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    x, a = np.abs(x.astype(dtype or x.dtype)), axes(dim, x.ndim)
    if abs(ord) == inf:
        return (np.max if ord > 0 else np.min)(x, axis=a, keepdims=keepdim)
    if ord == 0:
        return (x != 0).sum(axis=a, keepdims=keepdim).astype(x.dtype)
    return (x**ord).sum(axis=a, keepdims=keepdim) ** (1 / ord)


def running(compare: Any) -> Any:
    """The extreme so far and the place of the latest element that reached it."""

    def values(x: Any, dim: int) -> Any:
        lines = np.moveaxis(x, dim, 0)
        value, place = lines.copy(), np.zeros(lines.shape, np.int64)
        for k in range(1, len(lines)):
            take = np.isnan(lines[k]) | (~np.isnan(value[k - 1]) & compare(lines[k], value[k - 1]))
            value[k] = np.where(take, lines[k], value[k - 1])
            place[k] = np.where(take, k, place[k - 1])
        return np.moveaxis(value, 0, dim), np.moveaxis(place, 0, dim)

    return values


REFERENCE.update(
    sum=reduction(np.sum),
    mean=reduction(np.mean),
    prod=lambda x, dim=None, keepdim=False, dtype=None: reduction(np.prod)(x, dim, keepdim, dtype),
    nansum=reduction(np.nansum),
    nanmean=reduction(np.nanmean),
    amax=extreme(np.max),
    amin=extreme(np.min),
    max_all=np.max,
    min_all=np.min,
    max_dim=chosen(None, lambda x, dim: np.argmax(x, dim)),
    min_dim=chosen(None, lambda x, dim: np.argmin(x, dim)),
    argmax=lambda x, dim=None, keepdim=False: np.argmax(x, dim, keepdims=keepdim),
    argmin=lambda x, dim=None, keepdim=False: np.argmin(x, dim, keepdims=keepdim),
    aminmax=lambda x, dim=None, keepdim=False: (np.min(x, dim, keepdims=keepdim), np.max(x, dim, keepdims=keepdim)),
    any=truth(np.any),
    all=truth(np.all),
    var=spread(False, False),
    std=spread(True, False),
    var_mean=spread(False, True),
    std_mean=spread(True, True),
    logsumexp=lambda x, dim, keepdim=False: np.logaddexp.reduce(x, axis=axes(dim, x.ndim), keepdims=keepdim),
    vector_norm=norm,
    linalg_matrix_norm=lambda x, ord=None, dim=(-2, -1), keepdim=False, dtype=None, named="fro": np.linalg.norm(
        x.astype(dtype or x.dtype), ord or named, dim, keepdim
    ),
    dist=lambda x, y, p=2: norm(x - y, p),
    euclidean_distances=lambda x, y: norm(x[:, :, None] - y[:, None], 2, -1),
    pdist=lambda x, p=2.0: norm(x[:, None] - x, p, -1)[np.triu_indices(len(x), 1)],
    diff=lambda x, n=1, dim=-1, prepend=None, append=None: np.diff(
        x, n, dim, **{k: v for k, v in (("prepend", prepend), ("append", append)) if v is not None}
    ),
    trapezoid=lambda y, x=None, dx=1, dim=-1: np.trapezoid(y, x, dx, dim),
    cdist=lambda x, y, p=2.0, compute_mode="": norm(x[..., :, None, :] - y[..., None, :, :], p, -1),
    cov=lambda x, correction=1, fweights=None, aweights=None: np.cov(
        x, ddof=correction, fweights=fweights, aweights=aweights
    ),
    corrcoef=np.corrcoef,
    count_nonzero=lambda x, dim=None: np.asarray(np.count_nonzero(x, axis=axes(dim, x.ndim))),
    bincount=lambda x, weights=None, minlength=0: np.bincount(x, weights, minlength),
    cumsum=lambda x, dim, dtype=None: np.cumsum(x, dim, dtype=dtype),
    cumsum_from_end=lambda x, dim: np.flip(np.cumsum(np.flip(x, dim), dim), dim),
    cumprod=lambda x, dim, dtype=None: np.cumprod(x, dim, dtype=dtype),
    cummax=running(np.greater_equal),
    cummin=running(np.less_equal),
    logcumsumexp=lambda x, dim: np.logaddexp.accumulate(x, dim),
    trace=np.trace,
    median_all=median(False, True),
    median_dim=median(False, False),
    nanmedian_all=median(True, True),
    nanmedian_dim=median(True, False),
)


@reference
def histc(x: Any, bins: int = 100, min: float = 0, max: float = 0) -> Any:
    bounds = (min, max) if min != max else (x.min(), x.max())
    return np.histogram(x, bins, bounds)[0].astype(x.dtype)


# ---- sorting ----


@reference
def argsort(x: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    if not descending:
        return np.argsort(x, dim, kind="stable")
    # Stable, from the far end: equal elements keep their order.
    n = x.shape[dim] if x.ndim else 1
    return np.flip(n - 1 - np.argsort(np.flip(x, dim), dim, kind="stable"), dim)


@reference
def sort(x: Any, dim: int = -1, descending: bool = False, stable: bool = False) -> Any:
    i = argsort(x, dim, descending)
    return np.take_along_axis(x, i, dim), i


def first(pair: Any, k: int, dim: int) -> Any:
    return tuple(np.take(t, np.arange(k), dim) for t in pair)


@reference
def kthvalue(x: Any, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    pair = tuple(np.take(t, [k - 1], dim) for t in sort(x, dim))
    return pair if keepdim else tuple(t.squeeze(dim) for t in pair)


def most_frequent(v: Any) -> Any:
    values, counts = np.unique(v, return_counts=True)
    return values[np.argmax(counts)]


@reference
def mode(x: Any, dim: int = -1, keepdim: bool = False) -> Any:
    value = np.expand_dims(np.apply_along_axis(most_frequent, dim, x), dim)
    # The last one of them.
    n = x.shape[dim]
    place = n - 1 - np.argmax(np.flip(x == value, dim), dim, keepdims=True)
    return (value, place) if keepdim else (value.squeeze(dim), place.squeeze(dim))


@reference
def unique_flat(x: Any, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False) -> Any:
    v, i, c = np.unique(x, return_inverse=True, return_counts=True, equal_nan=False)
    return v, i.reshape(x.shape) if return_inverse else i[:0], c if return_counts else c[:0]


@reference
def unique_consecutive_flat(x: Any, return_inverse: bool = False, return_counts: bool = False) -> Any:
    groups = [list(g) for _, g in itertools.groupby(x.ravel().tolist())]
    inverse = np.array([k for k, g in enumerate(groups) for _ in g]).reshape(x.shape)
    counts = np.array([len(g) for g in groups])
    return (
        np.array([g[0] for g in groups], x.dtype),
        inverse if return_inverse else np.zeros(0, np.int64),
        counts if return_counts else np.zeros(0, np.int64),
    )


def unique_consecutive_dim(x: Any, dim: int) -> Any:
    rows = np.moveaxis(np.asarray(x), dim, 0)
    new: Any = [i for i in range(len(rows)) if i == 0 or (rows[i] != rows[i - 1]).any()]
    inverse = np.array([sum(i <= k for i in new) - 1 for k in range(len(rows))])
    return np.moveaxis(rows[np.array(new, int)], 0, dim), inverse.astype(np.int64), np.diff([*new, len(rows)])


@reference
def searchsorted(
    seq: Any, x: Any, out_int32: bool = False, right: bool = False, side: Any = None, sorter: Any = None
) -> Any:
    side = side or ("right" if right else "left")
    x = np.asarray(x)
    if seq.ndim == 1:
        found = np.searchsorted(seq, x, side, sorter)
    else:
        rows = seq.reshape(-1, seq.shape[-1])
        orders = [None] * len(rows) if sorter is None else sorter.reshape(rows.shape)
        found = np.stack([np.searchsorted(r, v, side, o) for r, v, o in zip(rows, x.reshape(len(rows), -1), orders)])
    return np.asarray(found).reshape(x.shape).astype(np.int32 if out_int32 else np.int64)


def quantiles(f: Any) -> Any:
    def values(x: Any, q: Any, dim: Any = None, keepdim: bool = False, interpolation: str = "linear") -> Any:
        return f(x, q, axis=dim, keepdims=keepdim, method=interpolation)

    return values


REFERENCE.update(
    msort=lambda x: np.sort(x, 0),
    topk=lambda x, k, dim=-1, largest=True, sorted=True: first(sort(x, dim, largest), k, dim),
    unique_consecutive_dim=unique_consecutive_dim,
    unique_dim=lambda x, dim: np.unique(x, return_inverse=True, return_counts=True, axis=dim),
    bucketize=lambda x, boundaries, out_int32=False, right=False: searchsorted(boundaries, x, out_int32, right),
    isin=lambda x, test, assume_unique=False, invert=False: np.isin(x, test, invert=invert),
    quantile=quantiles(np.quantile),
    nanquantile=quantiles(np.nanquantile),
)

# ---- shapes ----


def cut(start: Any, end: Any, step: int) -> slice:
    return slice(start, end, step)


def along(dim: int, ndim: int, what: Any) -> Any:
    return tuple(what if d == dim % ndim else slice(None) for d in range(ndim))


def written(x: Any, place: Any, src: Any) -> Any:
    x = x.copy()
    x[place] = src
    return x


def strided(x: Any, size: Any, stride: Any, offset: int) -> Any:
    return np.lib.stride_tricks.as_strided(x.ravel()[offset:], size, [s * x.itemsize for s in stride], writeable=True)


@reference
def as_strided_scatter(x: Any, src: Any, size: Any, stride: Any, storage_offset: int = 0) -> Any:
    flat = x.ravel().copy()
    places = sum(
        np.arange(n).reshape((-1,) + (1,) * (len(size) - 1 - d)) * s for d, (n, s) in enumerate(zip(size, stride))
    )
    places = places + storage_offset
    flat[places] = 0
    np.add.at(flat, places, src)
    return flat.reshape(x.shape)


@reference
def diagonal_scatter(x: Any, src: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    x = x.copy()
    d = np.diagonal(x, offset, dim1, dim2)
    d.flags.writeable = True
    d[...] = src
    return x


@reference
def diag_embed(x: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    n = x.shape[-1] + abs(offset)
    out = np.zeros((*x.shape[:-1], n, n), x.dtype)
    k = np.arange(x.shape[-1])
    out[..., k + max(-offset, 0), k + max(offset, 0)] = x
    return np.moveaxis(out, (-2, -1), (dim1, dim2))


@reference
def pad(x: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    pairs = [(0, 0)] * (x.ndim - len(pad) // 2) + list(zip(pad[::2], pad[1::2]))[::-1]
    kept = x[tuple(slice(max(-a, 0), n - max(-b, 0)) for (a, b), n in zip(pairs, x.shape))]
    more = [(max(a, 0), max(b, 0)) for a, b in pairs]
    if mode == "constant":
        return np.pad(kept, more, constant_values=value or 0)
    return np.pad(kept, more, {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode])


@reference
def pixel_shuffle(x: Any, r: int) -> Any:
    *b, c, h, w = x.shape
    x = x.reshape(*b, c // r**2, r, r, h, w)
    n = len(b)
    return x.transpose(*range(n), n, n + 3, n + 1, n + 4, n + 2).reshape(*b, c // r**2, h * r, w * r)


@reference
def pixel_unshuffle(x: Any, r: int) -> Any:
    c = x.shape[-3]
    parts = [x[..., k, i::r, j::r] for k in range(c) for i in range(r) for j in range(r)]
    return np.stack(parts, -3)


@reference
def block_diag(tensors: Any) -> Any:
    all_ = [np.atleast_2d(t) for t in tensors]
    out = np.zeros([sum(t.shape[k] for t in all_) for k in (0, 1)])
    r = c = 0
    for t in all_:
        out[r : r + t.shape[0], c : c + t.shape[1]] = t
        r, c = r + t.shape[0], c + t.shape[1]
    return out


def fill_diagonal(x: Any, fill_value: Any, wrap: bool = False) -> Any:
    x = np.array(x)
    np.fill_diagonal(x, fill_value, wrap)
    return x


REFERENCE.update(
    clone=np.copy,
    copy=lambda x, src: np.broadcast_to(src, x.shape).astype(x.dtype),
    cast=lambda x, dtype: x.astype(dtype),
    contiguous=np.copy,
    contiguous_copy=np.copy,
    view=np.reshape,
    view_dtype=lambda x, dtype: x.view(dtype),
    reshape=np.reshape,
    expand=lambda x, size: np.broadcast_to(x, [x.shape[d - len(size)] if n == -1 else n for d, n in enumerate(size)]),
    transpose=np.swapaxes,
    unsqueeze=np.expand_dims,
    resize=lambda x, size: x.ravel()[: math.prod(size)].reshape(size),
    set=lambda x, source=None, offset=0, size=None, stride=None: (
        (x[:0] if source is None else source)
        if size is None
        else strided(source, size, stride or np.empty(size, np.int8).strides, offset)
    ),
    as_strided=lambda x, size, stride, storage_offset=0: strided(x, size, stride, storage_offset),
    permute=np.transpose,
    movedim=np.moveaxis,
    t=np.transpose,
    matrix_transpose=lambda x: np.swapaxes(x, -1, -2),
    squeeze=lambda x, dim=None: (
        x.squeeze() if dim is None else x.squeeze(tuple(d for d in np.atleast_1d(dim) if x.shape[d] == 1))
    ),
    flatten=lambda x, start_dim=0, end_dim=-1: x.reshape(
        *x.shape[: start_dim % x.ndim], -1, *x.shape[end_dim % x.ndim + 1 :]
    ),
    unflatten=lambda x, dim, sizes: x.reshape(*x.shape[: dim % x.ndim], *sizes, *x.shape[dim % x.ndim + 1 :]),
    ravel=np.ravel,
    narrow=lambda x, dim, start, length: x[
        along(dim, x.ndim, slice(start % x.shape[dim], start % x.shape[dim] + length))
    ],
    select=lambda x, dim, index: x[along(dim, x.ndim, index)],
    slice=lambda x, dim=0, start=None, end=None, step=1: x[along(dim, x.ndim, cut(start, end, step))],
    slice_scatter=lambda x, src, dim=0, start=None, end=None, step=1: written(
        x, along(dim, x.ndim, cut(start, end, step)), src
    ),
    select_scatter=lambda x, src, dim, index: written(x, along(dim, x.ndim, index), src),
    unfold=lambda x, dimension, size, step: np.lib.stride_tricks.sliding_window_view(x, size, dimension)[
        along(dimension, x.ndim, slice(None, None, step))
    ],
    diagonal=lambda x, offset=0, dim1=0, dim2=1: np.diagonal(x, offset, dim1, dim2),
    diag=np.diag,
    diagflat=np.diagflat,
    cat=lambda tensors, dim=0: np.concatenate(tensors, dim),
    stack=np.stack,
    hstack=np.hstack,
    vstack=np.vstack,
    dstack=np.dstack,
    column_stack=np.column_stack,
    split_with_sizes=lambda x, split_sizes, dim=0: np.split(x, np.cumsum(split_sizes)[:-1], dim),
    split=lambda x, n, dim=0: np.split(x, range(n, x.shape[dim], n), dim),
    chunk=lambda x, chunks, dim=0: (lambda n: np.split(x, range(n, x.shape[dim], n), dim))(-(-x.shape[dim] // chunks)),
    tensor_split_sections=np.array_split,
    tensor_split_indices=np.array_split,
    unbind=lambda x, dim=0: list(np.moveaxis(x, dim, 0)),
    repeat=np.tile,
    tile=np.tile,
    repeat_interleave_int=lambda x, repeats, dim=None, output_size=None: np.repeat(x, repeats, dim),
    repeat_interleave_tensor=lambda x, repeats, dim=None, output_size=None: np.repeat(x, repeats, dim),
    repeat_interleave_indices=lambda repeats, output_size=None: np.repeat(np.arange(len(repeats)), repeats),
    narrow_copy=lambda x, dim, start, length: np.take(x, range(start, start + length), dim),
    fill_diagonal=fill_diagonal,
    combinations=lambda x, r=2, with_replacement=False: x[combination_indices(len(x), r, with_replacement)],
    sum_to_size=lambda x, size: x.sum(tuple(range(x.ndim - len(size))), keepdims=False).sum(
        tuple(i for i, n in enumerate(size) if n == 1), keepdims=True
    ),
    roll=lambda x, shifts, dims=(): np.roll(x, shifts, dims or None) if dims else np.roll(x, shifts[0]),
    flip=np.flip,
    fliplr=np.fliplr,
    flipud=np.flipud,
    rot90=lambda x, k=1, dims=(0, 1): np.rot90(x, k, dims),
    tril=np.tril,
    triu=np.triu,
    broadcast_to=np.broadcast_to,
    broadcast_tensors=lambda tensors: list(np.broadcast_arrays(*tensors)),
    atleast_1d=np.atleast_1d,
    atleast_2d=np.atleast_2d,
    atleast_3d=np.atleast_3d,
    meshgrid=lambda tensors, indexing="ij": list(np.meshgrid(*tensors, indexing=indexing)),
    cartesian_prod=lambda tensors: np.array(list(itertools.product(*tensors))).squeeze(-1 if len(tensors) == 1 else ()),
    one_hot=lambda x, num_classes=-1: np.eye(num_classes if num_classes > 0 else x.max() + 1, dtype=np.int64)[x],
)

# ---- indexing ----


def places(index: Any, dim: int) -> Any:
    """The places that an index of gather and scatter names, with those that they are read from."""
    for at in np.ndindex(*index.shape):
        to = list(at)
        if to:
            to[dim] = index[at]
        yield tuple(to), at


def scattered(x: Any, dim: int, index: Any, src: Any, f: Any) -> Any:
    x = x.copy()
    for to, at in places(index, dim):
        x[to] = f(x[to], src[at])
    return x


def least(a: Any, b: Any) -> Any:
    return np.minimum(a, b)


@reference
def scatter_reduce(x: Any, dim: int, index: Any, src: Any, reduce: str, include_self: bool = True) -> Any:
    out = x.copy()
    groups: dict[Any, list[Any]] = {}
    for to, at in places(index, dim):
        groups.setdefault(to, [x[to]] if include_self else []).append(src[at])
    whole = np.issubdtype(x.dtype, np.integer)
    mean = (lambda v: sum(int(e) for e in v) // len(v)) if whole else np.mean
    f = {"sum": np.sum, "prod": np.prod, "mean": mean, "amax": np.max, "amin": np.min}[reduce]
    for to, values in groups.items():
        out[to] = f(values)
    return out


def spread_index(x: Any, dim: int, index: Any) -> Any:
    shape = list(x.shape)
    shape[dim] = index.size
    return np.broadcast_to(index.reshape([-1 if d == dim % x.ndim else 1 for d in range(x.ndim)]), shape)


def picked(indices: Any) -> Any:
    return tuple(slice(None) if i is None else i for i in indices)


@reference
def index_put(x: Any, values: Any, indices: Any, accumulate: bool = False) -> Any:
    x = x.copy()
    if accumulate:
        np.add.at(x, picked(indices), values)
    else:
        x[picked(indices)] = values
    return x


@reference
def masked_scatter(x: Any, mask: Any, source: Any) -> Any:
    x, mask = (t.copy() for t in np.broadcast_arrays(x, mask))
    x[mask] = source.ravel()[: mask.sum()]
    return x


@reference
def gather(x: Any, dim: int, index: Any, sparse_grad: bool = False) -> Any:
    return np.array([x[to] for to, _ in places(index, dim)], x.dtype).reshape(index.shape)


REFERENCE.update(
    index=lambda x, indices: x[picked(indices)],
    scatter=lambda x, dim, index, src: scattered(x, dim, index, src, lambda a, b: b),
    scatter_value=lambda x, dim, index, value: scattered(x, dim, index, np.full(index.shape, value), lambda a, b: b),
    scatter_add=lambda x, dim, index, src: scattered(x, dim, index, src, lambda a, b: a + b),
    index_select=lambda x, dim, index: np.take(x, index, dim),
    index_add=lambda x, dim, index, source, alpha=1: scattered(
        x, dim, spread_index(x, dim, index), source, lambda a, b: a + alpha * b
    ),
    index_copy=lambda x, dim, index, source: scattered(x, dim, spread_index(x, dim, index), source, lambda a, b: b),
    index_fill=lambda x, dim, index, value: written(x, along(dim, x.ndim, index), value),
    masked_fill=lambda x, mask, value: np.where(mask, np.asarray(value).astype(x.dtype), x),
    masked_select=lambda x, mask: (lambda a, m: a[m])(*np.broadcast_arrays(x, mask)),
    take=lambda x, index: x.ravel()[index],
    put=lambda x, index, source, accumulate=False: index_put(
        x.ravel(), source.ravel(), [index.ravel()], accumulate
    ).reshape(x.shape),
    take_along_dim=lambda x, index, dim=None: np.take_along_axis(x, index, dim),
    nonzero=np.argwhere,
    nonzero_list=lambda x: list(np.nonzero(x)),
    embedding=lambda i, weight, padding_idx=None: weight[i],
    scatter_value_reduce=lambda x, dim, index, value, reduce: scatter_reduce(
        x, dim, index, np.full(index.shape, value), reduce
    ),
    index_reduce=lambda x, dim, index, source, reduce, include_self=True: scatter_reduce(
        x, dim, spread_index(x, dim, index), source, reduce, include_self
    ),
)

# ---- products and linear algebra ----


@reference
def tensordot(x: Any, y: Any, dims_self: Any, dims_other: Any) -> Any:
    for i, j in zip(dims_self, dims_other):
        if x.shape[i] == 1:
            y = y.sum(j, keepdims=True)
        elif y.shape[j] == 1:
            x = x.sum(i, keepdims=True)
    return np.tensordot(x, y, (dims_self, dims_other))


@reference
def scaled_dot_product_attention(
    q: Any, k: Any, v: Any, attn_mask: Any = None, dropout_p: float = 0.0, is_causal: bool = False, scale: Any = None,
    enable_gqa: bool = False,
) -> Any:  # fmt: skip
    if enable_gqa:
        k, v = (t.repeat(q.shape[-3] // t.shape[-3], -3) for t in (k, v))
    scores = q @ np.swapaxes(k, -1, -2) * (1 / math.sqrt(q.shape[-1]) if scale is None else scale)
    if is_causal:
        attn_mask = np.tril(np.ones(scores.shape[-2:], bool))
    if attn_mask is not None:
        scores = np.where(attn_mask, scores, -inf) if attn_mask.dtype == bool else scores + attn_mask
    return np.nan_to_num(np.exp(log_softmax(scores, -1)), nan=0.0) @ v


@reference
def multi_head_attention_forward(
    q: Any, k: Any, v: Any, embed: int, heads: int, in_weight: Any, in_bias: Any, bias_k: Any, bias_v: Any,
    add_zero_attn: bool, dropout_p: float, out_weight: Any, out_bias: Any, training: bool = True,
    key_padding_mask: Any = None, need_weights: bool = True, attn_mask: Any = None,
    use_separate_proj_weight: bool = False, q_proj_weight: Any = None, k_proj_weight: Any = None,
    v_proj_weight: Any = None, static_k: Any = None, static_v: Any = None, average_attn_weights: bool = True,
    is_causal: bool = False,
) -> Any:  # fmt: skip
    alone = q.ndim == 2
    if alone:
        q, k, v = q[:, None], k[:, None], v[:, None]
        key_padding_mask = None if key_padding_mask is None else key_padding_mask[None]
    weights = (q_proj_weight, k_proj_weight, v_proj_weight) if use_separate_proj_weight else np.split(in_weight, 3)
    biases = np.zeros((3, embed)) if in_bias is None else in_bias.reshape(3, embed)
    n, head = q.shape[1], embed // heads
    q, k, v = (t @ w.T + b for t, w, b in zip((q, k, v), weights, biases))
    source = len(k) if static_k is None else static_k.shape[1]
    hidden = np.zeros((n, heads, len(q), source))
    for mask in (
        None if attn_mask is None else attn_mask.reshape(-1, attn_mask.shape[0] // n, *attn_mask.shape[1:])
        if attn_mask.ndim == 3 else attn_mask,
        None if key_padding_mask is None else key_padding_mask[:, None, None],
    ):  # fmt: skip
        if mask is not None:
            hidden = hidden + (np.where(mask, -inf, 0.0) if mask.dtype == bool else mask)
    if bias_k is not None:
        k, v = (np.concatenate([t, np.broadcast_to(b, (1, n, embed))]) for t, b in ((k, bias_k), (v, bias_v)))
    q, k, v = (t.reshape(len(t), n, heads, head).transpose(1, 2, 0, 3) for t in (q, k, v))
    k = k if static_k is None else static_k.reshape(n, heads, -1, head)
    v = v if static_v is None else static_v.reshape(n, heads, -1, head)
    if add_zero_attn:
        k, v = (np.pad(t, [(0, 0), (0, 0), (0, 1), (0, 0)]) for t in (k, v))
    scores = q @ np.swapaxes(k, -1, -2) / math.sqrt(head)
    scores[..., :source] += hidden
    shares = np.exp(log_softmax(scores, -1))
    out = (shares @ v).transpose(2, 0, 1, 3).reshape(-1, n, embed) @ out_weight.T
    out = out if out_bias is None else out + out_bias
    shares = shares.mean(1) if average_attn_weights else shares
    out, shares = (out[:, 0], shares[0]) if alone else (out, shares)
    return (out, shares) if need_weights else (out,)


# ---- recurrent layers ----


def recurrent_step(mode: str, x: Any, h: Any, c: Any, w: Any, b: Any, w_hr: Any) -> Any:
    """The new state and cells, and what is kept for backward."""
    y = h @ w.T + (0 if b is None else b)
    if mode == "lstm":
        i, f, g, o = (np.tanh(t) if k == 2 else sigmoid(t) for k, t in enumerate(np.split(x + y, 4, -1)))
        kept = (i, f, g, o, c, h)
        c = f * c + i * g
        h = o * np.tanh(c)
        return h if w_hr is None else h @ w_hr.T, c, kept
    if mode == "gru":
        (xr, xz, xn), (yr, yz, yn) = np.split(x, 3, -1), np.split(y, 3, -1)
        r, z = sigmoid(xr + yr), sigmoid(xz + yz)
        n = np.tanh(xn + r * yn)
        return (1 - z) * n + z * h, None, (r, z, n, yn, h)
    new = np.tanh(x + y) if mode == "rnn_tanh" else np.maximum(x + y, 0)
    return new, None, (new, h)


def recurrent_layer(x: Any, h: Any, c: Any, w: Any, b: Any, w_hr: Any, sizes: Any, mode: str, reverse: bool) -> Any:
    h, c = h.copy(), None if c is None else c.copy()
    steps, at = [], 0
    for n in np.full(len(x) // len(h), len(h)) if sizes is None else sizes:
        steps.append(x[at : at + n])
        at += n
    outs, kept = [], []
    for part in reversed(steps) if reverse else steps:
        n = len(part)
        new, cells, parts = recurrent_step(mode, part, h[:n], None if c is None else c[:n], w, b, w_hr)
        kept.append(np.concatenate(parts, -1))
        outs.append(new)
        h[:n] = new
        if c is not None:
            c[:n] = cells
    order = -1 if reverse else 1
    return np.concatenate(outs[::order]), h, c, np.concatenate(kept[::order])


@reference
def rnn_layer(
    x: Any, h: Any, c: Any, w: Any, b: Any, w_hr: Any, sizes: Any, mode: str, reverse: bool = False, keep: bool = True
) -> Any:
    out, last, cells, kept = recurrent_layer(x, h, c, w, b, w_hr, sizes, mode, reverse)
    return tuple(t for t in (out, last, cells, kept if keep else kept[:0]) if t is not None)


def network(mode: str) -> Any:
    def values(
        x: Any, hx: Any, cx: Any, sizes: Any, params: Any, has_biases: bool, num_layers: int, dropout: float,
        train: bool, bidirectional: bool, batch_first: bool = False,
    ) -> Any:  # fmt: skip
        alone, packed = x.ndim == 2 and sizes is None, sizes is not None
        if alone:
            x, hx, cx = x[:, None], hx[:, None], None if cx is None else cx[:, None]
        elif batch_first:
            x = x.swapaxes(0, 1)
        length = len(x)
        x = x if packed else x.reshape(-1, x.shape[-1])
        rows = num_layers * (1 + bidirectional)
        per = len(params) // rows
        hs, cs = [], []
        for first in range(0, rows, 1 + bidirectional):
            outs = []
            for k in range(first, first + 1 + bidirectional):
                w = params[k * per : (k + 1) * per]
                b_ih, b_hh = w[2:4] if has_biases else (0, None)
                w_hr = w[-1] if per in (3, 5) else None
                out, h, c, _ = recurrent_layer(
                    x @ w[0].T + b_ih, hx[k], None if cx is None else cx[k], w[1], b_hh, w_hr, sizes, mode, k > first
                )
                outs.append(out)
                hs.append(h)
                cs.append(c)
            x = np.concatenate(outs, -1)
        x = x if packed else x.reshape(length, -1, x.shape[-1])
        results = [x.swapaxes(0, 1) if batch_first and not alone else x, np.stack(hs)]
        results += [np.stack(cs)] if mode == "lstm" else []
        return tuple(r[:, 0] if alone else r for r in results)

    return values


def cell(mode: str) -> Any:
    def values(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
        new, cells, _ = recurrent_step(mode, x @ w_ih.T + (0 if b_ih is None else b_ih), h, c, w_hh, b_hh, None)
        return (new, cells) if mode == "lstm" else new

    return values


def without_cells(f: Any) -> Any:
    return lambda x, hx, *rest: f(x, hx, None, *rest)


REFERENCE.update(lstm=network("lstm"), lstm_cell=cell("lstm"))
for each_mode in ("gru", "rnn_tanh", "rnn_relu"):
    REFERENCE[each_mode] = without_cells(network(each_mode))
    REFERENCE[f"{each_mode}_cell"] = without_cells(cell(each_mode))


@reference
def _pack_padded_sequence(x: Any, lengths: Any, batch_first: bool) -> Any:
    x = x.swapaxes(0, 1) if batch_first else x
    sizes = np.array([(lengths > t).sum() for t in range(lengths[0])])
    return np.concatenate([x[t, :n] for t, n in enumerate(sizes)]), sizes


@reference
def _pad_packed_sequence(x: Any, sizes: Any, batch_first: bool, padding_value: Any, total_length: int = -1) -> Any:
    out = np.full((max(len(sizes), total_length), sizes[0], *x.shape[1:]), padding_value, x.dtype)
    for t, part in enumerate(np.split(x, np.cumsum(sizes)[:-1])):
        out[t, : len(part)] = part
    return out.swapaxes(0, 1) if batch_first else out, np.array([(sizes > b).sum() for b in range(sizes[0])])


@reference
def pad_sequence(xs: Any, batch_first: bool = False, padding_value: Any = 0.0, padding_side: str = "right") -> Any:
    longest = max(map(len, xs))
    gaps = [(0, longest - len(x)) if padding_side == "right" else (longest - len(x), 0) for x in xs]
    padded = [np.pad(x, [g] + [(0, 0)] * (x.ndim - 1), constant_values=padding_value) for x, g in zip(xs, gaps)]
    return np.stack(padded, 0 if batch_first else 1)


@reference
def linalg_lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    rcond = max(a.shape[-2:]) * np.finfo(a.dtype).eps if rcond is None else rcond
    sizes = np.linalg.svd(a, compute_uv=False)
    return np.linalg.pinv(a, rcond=rcond) @ b, (sizes > rcond * sizes[..., :1]).sum(-1)


@reference
def linalg_pinv(x: Any, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    if hermitian:
        x = np.tril(x) + np.swapaxes(np.tril(x, -1), -1, -2)
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    rtol = (max(x.shape[-2:]) * np.finfo(x.dtype).eps if atol is None else 0) if rtol is None else rtol
    s = np.where(
        s > np.maximum(0 if atol is None else np.asarray(atol)[..., None], np.asarray(rtol)[..., None] * s[..., :1]),
        1 / s,
        0,
    )
    return np.swapaxes(vh, -1, -2) @ (s[..., None] * np.swapaxes(u, -1, -2))


def triangle(a: Any, upper: bool, unit: bool) -> Any:
    a = np.triu(a) if upper else np.tril(a)
    if unit:
        a = a - np.eye(a.shape[-1]) * a + np.eye(a.shape[-1])
    return a


REFERENCE.update(
    {n: np.matmul for n in ("matmul", "mm", "bmm", "mv", "dot", "vdot")},
    outer=np.outer,
    addmm=lambda x, a, b, beta=1, alpha=1: (0 if beta == 0 else beta * x) + alpha * (a @ b),
    addmv=lambda x, a, b, beta=1, alpha=1: (0 if beta == 0 else beta * x) + alpha * (a @ b),
    addr=lambda x, a, b, beta=1, alpha=1: (0 if beta == 0 else beta * x) + alpha * np.outer(a, b),
    baddbmm=lambda x, a, b, beta=1, alpha=1: (0 if beta == 0 else beta * x) + alpha * (a @ b),
    addbmm=lambda x, a, b, beta=1, alpha=1: (0 if beta == 0 else beta * x) + alpha * (a @ b).sum(0),
    linear=lambda x, w, bias=None: x @ w.T + (0 if bias is None else bias),
    bilinear=lambda a, b, w, bias=None: np.einsum("...i,oij,...j->...o", a, w, b) + (0 if bias is None else bias),
    kron=np.kron,
    multi_dot=lambda tensors: np.linalg.multi_dot(tensors),
    inner=np.inner,
    einsum=lambda equation, operands: np.einsum(equation, *operands),
    cross=lambda x, y, dim=None: np.cross(x, y, axis=x.shape.index(3) if dim is None else dim),
    inverse=np.linalg.inv,
    det=np.linalg.det,
    slogdet=lambda x: tuple(np.linalg.slogdet(x)),
    logdet=lambda x: np.where(np.linalg.det(x) < 0, nan, np.linalg.slogdet(x)[1]),
    matrix_power=np.linalg.matrix_power,
    cholesky=lambda x, upper=False: np.swapaxes(np.linalg.cholesky(np.swapaxes(x, -1, -2)), -1, -2)
    if upper
    else np.linalg.cholesky(x),
    linalg_qr=lambda x, mode="reduced": np.linalg.qr(x, mode) if mode != "r" else (np.zeros(0), np.linalg.qr(x, mode)),
    linalg_svd=lambda x, full_matrices=True: tuple(np.linalg.svd(x, full_matrices)),
    linalg_eigh=lambda x, UPLO="L": tuple(np.linalg.eigh(x, UPLO)),
    linalg_svdvals=lambda A: np.linalg.svd(A, compute_uv=False),
    linalg_eigvalsh=lambda x, UPLO="L": np.linalg.eigvalsh(x, UPLO),
    linalg_solve=lambda a, b, left=True: np.linalg.inv(a) @ b if left else b @ np.linalg.inv(a),
    solve_matrices=lambda a, b: np.linalg.inv(a) @ b,
    linalg_solve_triangular=lambda a, b, upper, left=True, unitriangular=False: REFERENCE["linalg_solve"](
        triangle(a, upper, unitriangular), b, left
    ),
)  # fmt: skip


def gram(x: Any) -> Any:
    return np.swapaxes(x, -1, -2) @ x


# What of the results is unique.
UNIQUE: dict[str, Any] = {
    "linalg_svd": lambda u, s, vh: (
        s, gram(u), gram(vh), (u[..., :, : s.shape[-1]] * s[..., None, :]) @ vh[..., : s.shape[-1], :],
    ),
    "linalg_eigh": lambda w, v: (w, gram(v), (v * w[..., None, :]) @ np.swapaxes(v, -1, -2)),
    "linalg_qr": lambda q, r: (gram(q), q @ r) if q.size else (gram(r),),
}  # fmt: skip

# ---- factors ----


def permuted(pivots: Any, m: int) -> Any:
    """The order of rows after exchanges that are counted from 1."""
    rows = list(range(m))
    for i, j in enumerate(pivots):
        rows[i], rows[j - 1] = rows[j - 1], rows[i]
    return np.array(rows)


def eliminated(a: Any) -> Any:
    """LU with exchanges of rows."""
    a, pivots, (m, n) = a.copy(), [], a.shape
    for k in range(min(m, n)):
        p = k + int(np.argmax(np.abs(a[k:, k])))
        a[[k, p]] = a[[p, k]]
        pivots.append(p + 1)
        if a[k, k]:
            a[k + 1 :, k] /= a[k, k]
            a[k + 1 :, k + 1 :] -= np.outer(a[k + 1 :, k], a[k, k + 1 :])
    return a, np.array(pivots, np.int32)


def batched(f: Any, outs: int) -> Any:
    """`f` of each matrix of a batch, whose results are stacked."""

    def all_of(x: Any, *args: Any) -> Any:
        if x.ndim == 2:
            return f(x, *args)
        found = [all_of(a, *args) for a in x]
        return tuple(np.stack([r[k] for r in found]) for k in range(outs))

    return all_of


@reference
def linalg_lu_factor_ex(x: Any, pivot: bool = True, check_errors: bool = False) -> Any:
    lu, pivots = batched(eliminated, 2)(x)
    zero = np.diagonal(lu, axis1=-2, axis2=-1) == 0
    return lu, pivots, np.where(zero.any(-1), zero.argmax(-1) + 1, 0).astype(np.int32)


@reference
def lu_unpack(lu: Any, pivots: Any, unpack_data: bool = True, unpack_pivots: bool = True) -> Any:
    m, n = lu.shape[-2:]
    k, none = min(m, n), np.zeros(0)
    p = np.eye(m)[:, permuted(pivots, m)] if unpack_pivots else none
    if not unpack_data:
        return p, none, none
    return p, np.tril(lu[:, :k], -1) + np.eye(m, k), np.triu(lu[:k])


@reference
def linalg_lu_solve(lu: Any, pivots: Any, b: Any, left: bool = True, adjoint: bool = False) -> Any:
    p, lower, upper = lu_unpack(lu, pivots)
    a = np.linalg.inv((p @ lower @ upper).T if adjoint else p @ lower @ upper)
    return a @ b if left else b @ a


def reflected(a: Any, tau: Any) -> Any:
    """The product of reflections."""
    q = np.eye(len(a))
    for k, t in enumerate(tau):
        v = np.concatenate([np.zeros(k), [1.0], a[k + 1 :, k]])
        q = q @ (np.eye(len(a)) - t * np.outer(v, v))
    return q


@reference
def geqrf(a: Any) -> Any:
    a, taus = a.copy(), []
    for k in range(min(a.shape)):
        x = a[k:, k].copy()
        beta = -np.copysign(np.linalg.norm(x), x[0]) if np.any(x[1:]) else x[0]
        taus.append((beta - x[0]) / beta if np.any(x[1:]) else 0.0)
        v = np.concatenate([[1.0], x[1:] / (x[0] - beta)]) if np.any(x[1:]) else np.eye(len(x))[0]
        a[k:, k:] -= taus[-1] * np.outer(v, v @ a[k:, k:])
        a[k + 1 :, k] = v[1:]
    return a, np.array(taus)


@reference
def ormqr(a: Any, tau: Any, b: Any, left: bool = True, transpose: bool = False) -> Any:
    q = reflected(a, tau)
    q = q.T if transpose else q
    return q @ b if left else b @ q


@reference
def linalg_matrix_rank(x: Any, atol: Any = None, rtol: Any = None, hermitian: bool = False) -> Any:
    if hermitian:
        s = np.sort(np.abs(np.linalg.eigvalsh(x)))[..., ::-1]
    else:
        s = np.linalg.svd(x, compute_uv=False)
    usual = max(x.shape[-2:]) * np.finfo(x.dtype).eps
    rtol = (0 if atol is not None and atol > 0 else usual) if rtol is None else rtol
    return (s > np.maximum(0 if atol is None else atol, rtol * s[..., :1])).sum(-1)


@reference
def matrix_exp(x: Any) -> Any:
    halved = x / 2.0**20
    e = np.eye(x.shape[-1]) + halved + halved @ halved / 2 + halved @ halved @ halved / 6
    # Without the 1, so that no digits get lost.
    e = e - np.eye(x.shape[-1])
    for _ in range(20):
        e = 2 * e + e @ e
    return e + np.eye(x.shape[-1])


def squared(factor: Any, upper: bool) -> Any:
    """The matrix with this Cholesky factor."""
    return np.triu(factor).T @ np.triu(factor) if upper else np.tril(factor) @ np.tril(factor).T


def low_rank(x: Any, q: int) -> Any:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    return u[..., :q], s[..., :q], np.swapaxes(vh, -1, -2)[..., :q]


def failing(f: Any, test: Any) -> Any:
    """The result, and a number that says what is wrong, if anything: then the result is not a number."""

    def checked(x: Any, *args: Any) -> Any:
        info = np.vectorize(test, signature="(m,n)->()")(x).astype(np.int32)
        good = np.where(info[..., None, None] > 0, np.eye(x.shape[-1]), x)
        result = f(good, *args)
        bad = info[..., None, None] if result.ndim > info.ndim + 1 else info[..., None]
        return np.where(bad > 0, nan, result), info

    return checked


def zero_pivot(a: Any) -> int:
    return int(linalg_lu_factor_ex(a)[2])


def bad_minor(a: Any) -> int:
    minors = [k for k in range(1, len(a) + 1) if np.linalg.det(a[:k, :k]) <= 0]
    return minors[0] if minors else 0


@reference
def svd(x: Any, some: bool = True, compute_uv: bool = True) -> Any:
    u, s, vh = np.linalg.svd(x, not some)
    if not compute_uv:
        u, vh = (np.zeros((*x.shape[:-2], k, k)) for k in x.shape[-2:])
    return u, s, np.swapaxes(vh, -1, -2)


REFERENCE.update(
    linalg_vecdot=lambda x, y, dim=-1: (x * y).sum(dim),
    linalg_inv_ex=lambda x, check_errors=False: failing(np.linalg.inv, zero_pivot)(x),
    linalg_cholesky_ex=lambda x, upper=False, check_errors=False: failing(REFERENCE["cholesky"], bad_minor)(x, upper),
    linalg_solve_ex=lambda a, b, left=True, check_errors=False: failing(REFERENCE["linalg_solve"], zero_pivot)(
        a, b, left
    ),
    solve_matrices_ex=lambda a, b, check_errors=False: failing(REFERENCE["linalg_solve"], zero_pivot)(a, b),
    linalg_lu=lambda x, pivot=True: batched(lambda a: lu_unpack(*eliminated(a)), 3)(x),
    pivots_to_rows=lambda p, m, inverse=False: np.argsort(permuted(p, m)) if inverse else permuted(p, m),
    linalg_ldl_factor_ex=lambda x, hermitian=False, check_errors=False: (x, np.zeros(len(x), np.int32), np.int32(0)),
    linalg_ldl_solve=lambda ld, pivots, b, hermitian=False: np.linalg.solve(
        (np.tril(ld, -1) + np.eye(len(ld))) @ np.diag(np.diag(ld)) @ (np.tril(ld, -1) + np.eye(len(ld))).T, b
    ),
    linalg_householder_product=lambda a, tau: reflected(a, tau)[:, : a.shape[1]],
    linalg_eig=lambda x: tuple(np.linalg.eig(x)),
    linalg_eigvals=np.linalg.eigvals,
    linalg_cond=lambda x, ord="", p=None: np.linalg.cond(x, ord or p),
    linalg_tensorinv=np.linalg.tensorinv,
    linalg_tensorsolve=lambda a, b, dims=None: np.linalg.tensorsolve(a, b, dims),
    linalg_vander=lambda x, n=None: np.stack([x**k for k in range(x.shape[-1] if n is None else n)], -1),
    vander=np.vander,
    cholesky_solve=lambda b, factor, upper=False: np.linalg.inv(squared(factor, upper)) @ b,
    cholesky_inverse=lambda factor, upper=False: np.linalg.inv(squared(factor, upper)),
    triangular_solve=lambda b, a, upper=True, transpose=False, unitriangular=False: (
        np.linalg.solve(triangle(a, upper, unitriangular).T if transpose else triangle(a, upper, unitriangular), b), a,
    ),
    svd_lowrank=lambda x, q=6, niter=2, M=None: low_rank(x if M is None else x - M, q),
    pca_lowrank=lambda x, q=None, center=True, niter=2: low_rank(
        x - x.mean(-2, keepdims=True) if center else x, min(6, *x.shape[-2:]) if q is None else q
    ),
)  # fmt: skip


def order_of(values: Any) -> Any:
    """An order of complex numbers that rounding does not change."""
    return np.lexsort((values.imag.round(6), values.real.round(6)))


def by_size(values: Any) -> Any:
    return values[order_of(values)]


UNIQUE |= {
    "linalg_eigvals": lambda w: (by_size(w),),
    "linalg_eig": lambda w, v: (by_size(w), (v * w) @ np.linalg.inv(v), np.abs(v).T[order_of(w)]),
    "svd": lambda u, s, v: (
        s, gram(u), gram(v), (u[..., : s.shape[-1]] * s[..., None, :]) @ np.swapaxes(v[..., : s.shape[-1]], -1, -2),
    ),
    "svd_lowrank": lambda u, s, v: (s, gram(u), gram(v), (u * s) @ v.T),
    "pca_lowrank": lambda u, s, v: (s, gram(u), gram(v), (u * s) @ v.T),
    "linalg_ldl_factor_ex": lambda ld, pivots, info: (whole_of(ld, pivots), info),
}  # fmt: skip


def whole_of(ld: Any, pivots: Any) -> Any:
    """The matrix that factors stand for; of a whole one itself."""
    if not pivots.any():
        return np.tril(ld) + np.tril(ld, -1).T
    n = len(ld)
    # As the solutions with unit vectors, which are known by another way.
    columns = [_ops.linalg_ldl_solve(*map(rt.from_numpy, (ld, pivots)), rt.eye(n, dtype=rt.float64))]
    return np.linalg.inv(columns[0].numpy())


# ---- images ----


def several(v: Any, n: int) -> tuple[int, ...]:
    return (
        tuple(v) * n
        if isinstance(v, (tuple, list)) and len(v) == 1
        else tuple(v)
        if isinstance(v, (tuple, list))
        else (v,) * n
    )


def windows(x: Any, kernel: Any, stride: Any, dilation: Any) -> Any:
    """`[..., out, kernel]` of the last dimensions."""
    n = len(kernel)
    reach = [(k - 1) * d + 1 for k, d in zip(kernel, dilation)]
    v = np.lib.stride_tricks.sliding_window_view(x, reach, tuple(range(x.ndim - n, x.ndim)))
    lead = (slice(None),) * (x.ndim - n)
    return v[lead + tuple(slice(None, None, s) for s in stride) + tuple(slice(None, None, d) for d in dilation)]


def convolution(n: int) -> Any:
    def values(
        x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
    ) -> Any:
        single = x.ndim == n + 1
        x = x[None] if single else x
        p = several(padding, n)
        x = np.pad(x, [(0, 0), (0, 0)] + [(k, k) for k in p])
        v = windows(x, w.shape[2:], several(stride, n), several(dilation, n))
        out, kernel = "xyz"[:n], "ijk"[:n]
        parts = []
        for g in range(groups):
            c, o = x.shape[1] // groups, w.shape[0] // groups
            parts.append(
                np.einsum(
                    f"bc{out}{kernel},oc{kernel}->bo{out}",
                    v[:, g * c : (g + 1) * c],
                    w[g * o : (g + 1) * o],
                    optimize=True,
                )
            )
        y = np.concatenate(parts, 1)
        y = y if bias is None else y + bias.reshape(-1, *(1,) * n)
        return y[0] if single else y

    return values


def convolution_by_word(n: int) -> Any:
    def values(
        x: Any, w: Any, bias: Any = None, stride: Any = 1, padding: str = "valid", dilation: Any = 1, groups: int = 1
    ) -> Any:
        if padding == "same":
            around = [d * (k - 1) for d, k in zip(several(dilation, n), w.shape[2:])]
            x = np.pad(x, [(0, 0)] * (x.ndim - n) + [(a // 2, a - a // 2) for a in around])
        return convolution(n)(x, w, bias, stride, 0, dilation, groups)

    return values


def transposed(n: int) -> Any:
    def values(
        x: Any,
        w: Any,
        bias: Any = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Any:
        single = x.ndim == n + 1
        x = x[None] if single else x
        s, p, e, d = (several(v, n) for v in (stride, padding, output_padding, dilation))
        full = [(i - 1) * a + b * (k - 1) + 1 + max(0, c) for i, a, b, k, c in zip(x.shape[2:], s, d, w.shape[2:], e)]
        c, o = x.shape[1] // groups, w.shape[1]
        y = np.zeros((len(x), o * groups, *full))
        for at in np.ndindex(*x.shape[2:]):
            for tap in np.ndindex(*w.shape[2:]):
                to = tuple(i * a + t * b for i, a, t, b in zip(at, s, tap, d))
                for g in range(groups):
                    y[(slice(None), slice(g * o, (g + 1) * o), *to)] += (
                        x[(slice(None), slice(g * c, (g + 1) * c), *at)]
                        @ w[(slice(g * c, (g + 1) * c), slice(None), *tap)]
                    )
        y = y[(slice(None), slice(None), *(slice(k, m - k) for k, m in zip(p, full)))]
        y = y if bias is None else y + bias.reshape(-1, *(1,) * n)
        return y[0] if single else y

    return values


def pooled(n: int, x: Any, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool, f: Any) -> Any:
    """`f(plane, window)` for each window: the places inside of the plane, and those with the padding."""
    k, p, d = several(kernel, n), several(padding, n), several(dilation, n)
    s = several(stride, n) if stride not in (None, ()) else k
    size = x.shape[-n:]
    counts = []
    for i in range(n):
        room = size[i] + 2 * p[i] - d[i] * (k[i] - 1) - 1
        count = (-(-room // s[i]) if ceil else room // s[i]) + 1
        counts.append(count - (1 if ceil and (count - 1) * s[i] >= size[i] + p[i] else 0))
    results = []
    for plane in x.reshape(-1, *size):
        for at in np.ndindex(*counts):
            taps = [[o * s[i] - p[i] + t * d[i] for t in range(k[i])] for i, o in enumerate(at)]
            inside = [[t for t in line if 0 <= t < size[i]] for i, line in enumerate(taps)]
            wide = math.prod(sum(t < size[i] + p[i] for t in line) for i, line in enumerate(taps))
            results.append(f(plane, list(itertools.product(*inside)), wide))
    shape = (*x.shape[:-n], *counts)
    if isinstance(results[0], tuple):
        return tuple(np.array(r).reshape(shape) for r in zip(*results))
    return np.array(results).reshape(shape)


def largest(plane: Any, window: Any, wide: int) -> Any:
    best = max(window, key=lambda t: plane[t])
    return plane[best], np.ravel_multi_index(best, plane.shape)


def max_pool(n: int, indices: bool) -> Any:
    def values(
        x: Any, kernel: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: bool = False
    ) -> Any:
        pair = pooled(n, x, kernel, stride, padding, dilation, ceil_mode, largest)
        return pair if indices else pair[0]

    return values


@reference
def pool_gather(x: Any, indices: Any, rank: int) -> Any:
    lead = x.shape[: x.ndim - rank]
    return np.take_along_axis(x.reshape(*lead, -1), indices.reshape(*lead, -1), -1).reshape(indices.shape)


def avg_pool(n: int) -> Any:
    def values(
        x: Any, kernel: Any, stride: Any = None, padding: Any = 0, ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: Any = None,
    ) -> Any:  # fmt: skip
        def mean(plane: Any, window: Any, wide: int) -> Any:
            return sum(plane[t] for t in window) / (divisor_override or (wide if count_include_pad else len(window)))

        return pooled(n, x, kernel, stride, padding, 1, ceil_mode, mean)

    return values


def adaptive(n: int, f: Any) -> Any:
    def values(x: Any, output_size: Any) -> Any:
        out, size = several(output_size, n), x.shape[-n:]
        results = []
        for plane in x.reshape(-1, *size):
            for at in np.ndindex(*out):
                spans = [range(o * i // c, -(-(o + 1) * i // c)) for o, i, c in zip(at, size, out)]
                results.append(f(plane, list(itertools.product(*spans)), 0))
        shape = (*x.shape[:-n], *out)
        if isinstance(results[0], tuple):
            return tuple(np.array(r).reshape(shape) for r in zip(*results))
        return np.array(results).reshape(shape)

    return values


def mean_of(plane: Any, window: Any, wide: int) -> Any:
    return sum(plane[t] for t in window) / len(window)


def keys(x: float, a: float) -> float:
    """The cubic of Keys (1981)."""
    x = abs(x)
    if x <= 1:
        return ((a + 2) * x - (a + 3)) * x * x + 1
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a if x < 2 else 0.0


def resizing(n: int, count: int, kind: str, align: bool, scale: float | None) -> Any:
    """The matrix that makes `count` elements of `n`."""
    ratio = (n - 1) / max(count - 1, 1) if align else 1 / scale if scale else n / count
    if (kind == "linear" or kind.endswith("aa")) and n == count:
        return np.eye(n)
    matrix = np.zeros((count, n))
    for o in range(count):
        at = o * ratio if align else (o + 0.5) * ratio - 0.5
        low = math.floor(at)
        if kind.startswith("nearest"):
            matrix[o, min(int((o + (0.5 if kind == "nearest_exact" else 0)) * ratio), n - 1)] = 1
        elif kind == "linear":
            at = max(at, 0)
            matrix[o] = np.maximum(1 - abs(np.arange(n) - min(at, n - 1)), 0)
        elif kind == "cubic":
            for i in range(low - 1, low + 3):
                matrix[o, min(max(i, 0), n - 1)] += keys(at - i, -0.75)
        else:
            wide = max(ratio, 1)
            far = (np.arange(n) + 0.5 - (o + 0.5) * ratio) / wide
            row = np.maximum(1 - abs(far), 0) if kind == "linear_aa" else np.array([keys(x, -0.5) for x in far])
            matrix[o] = row / row.sum()
    return matrix


def upsample(n: int, kind: str) -> Any:
    def values(x: Any, output_size: Any, *options: Any, **named: Any) -> Any:
        names = ["scales"] if n == 1 else [f"scales_{d}" for d in "dhw"[3 - n :]]
        names = names if kind.startswith("nearest") else ["align_corners", *names]
        given = {**dict(zip(names, options)), **named}
        scales = [given.get(name) for name in names[-n:]]
        for d, (count, scale) in enumerate(zip(several(output_size, n), scales)):
            matrix = resizing(x.shape[d - n], count, kind, given.get("align_corners", False), scale)
            x = np.moveaxis(np.tensordot(matrix, x, (1, x.ndim - n + d)), 0, x.ndim - n + d)
        return x

    return values


def grid_sampler(n: int) -> Any:
    def values(x: Any, grid: Any, mode: int, padding: int, align: bool) -> Any:
        def place(v: float, size: int) -> float:
            return (v + 1) / 2 * (size - 1) if align else ((v + 1) * size - 1) / 2

        def inside(at: float, size: int) -> float:
            low, span = (0.0, size - 1) if align else (-0.5, size)
            if padding == 2:
                off = abs(at - low) % (2 * span) if span else 0.0
                at = low + (2 * span - off if off > span else off)
            return at if padding == 0 else min(max(at, 0), size - 1)

        def line(v: float, size: int) -> list[tuple[int, float]]:
            at = place(v, size)
            if mode == 1:
                return [(int(np.rint(inside(at, size))), 1.0)]
            if mode == 0:
                at = inside(at, size)
                return [(math.floor(at), math.floor(at) + 1 - at), (math.floor(at) + 1, at - math.floor(at))]
            return [(int(inside(i, size)), keys(at - i, -0.75)) for i in range(math.floor(at) - 1, math.floor(at) + 3)]

        out = np.zeros((*x.shape[:2], *grid.shape[1:-1]))
        for b, *where in np.ndindex(*grid.shape[:-1]):
            lines = [line(v, size) for v, size in zip(grid[(b, *where)][::-1], x.shape[2:])]
            for taps in itertools.product(*lines):
                at = tuple(i for i, _ in taps)
                if all(0 <= i < size for i, size in zip(at, x.shape[2:])):
                    out[(b, slice(None), *where)] += math.prod(w for _, w in taps) * x[(b, slice(None), *at)]
        return out

    return values


@reference
def affine_grid_generator(theta: Any, size: Any, align: bool) -> Any:
    lines = [np.linspace(-1, 1, n) * (1 if align else (n - 1) / n) if n > 1 else np.zeros(1) for n in size[2:]]
    places = np.stack([*np.meshgrid(*lines, indexing="ij")[::-1], np.ones(size[2:])], -1)
    return np.einsum("...k,nik->n...i", places, theta)


def unpool(n: int) -> Any:
    def values(x: Any, indices: Any, output_size: Any) -> Any:
        size, lead = several(output_size, n), x.shape[: x.ndim - n]
        out = np.zeros((*lead, math.prod(size)))
        np.put_along_axis(out, indices.reshape(*lead, -1), x.reshape(*lead, -1), -1)
        return out.reshape(*lead, *size)

    return values


def lp_pool(n: int) -> Any:
    def values(x: Any, p: float, kernel: Any, stride: Any = None, ceil_mode: bool = False) -> Any:
        if math.isinf(p):
            sign = 1 if p > 0 else -1
            return sign * max_pool(n, False)(sign * abs(x), kernel, stride, ceil_mode=ceil_mode)
        mean = avg_pool(n)(x**p, kernel, stride, 0, ceil_mode)
        return (mean * math.prod(several(kernel, n))) ** (1 / p)

    return values


@reference
def local_response_norm(x: Any, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Any:
    out = np.empty_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(c - size // 2, 0) : c + (size - 1) // 2 + 1]
        out[:, c] = x[:, c] / (k + alpha * (near**2).sum(1) / size) ** beta
    return out


def bags(name: str) -> Any:
    def values(
        weight: Any, indices: Any, offsets: Any = None, mode: int = 0, per_sample_weights: Any = None,
        include_last_offset: bool = False, padding_idx: int | None = None,
    ) -> Any:  # fmt: skip
        if offsets is None:
            ends = np.arange(len(indices) + 1) * indices.shape[1]
        else:
            ends = offsets if include_last_offset else np.append(offsets, len(indices))
        flat, d = indices.reshape(-1), weight.shape[1]
        each = np.ones(flat.size) if per_sample_weights is None else per_sample_weights.reshape(-1)
        out, best = np.zeros((len(ends) - 1, d)), np.full((len(ends) - 1, d), -1)
        for b in range(len(ends) - 1):
            left_out = None if padding_idx is None else padding_idx % len(weight)
            rows = [i for i in range(ends[b], ends[b + 1]) if flat[i] != left_out]
            members = weight[flat[rows]] * each[rows, None]
            if rows:
                out[b] = [members.sum(0), members.mean(0), members.max(0)][mode]
                best[b] = flat[rows][members.argmax(0)]
        return out, best if mode == 2 else np.zeros((0, d), np.int64)

    def weighted(weight: Any, indices: Any, offsets: Any, each: Any, mode: int, last: bool, padding: Any) -> Any:
        return values(weight, indices, offsets, mode, each, last, padding)

    def unweighted(weight: Any, indices: Any, offsets: Any, mode: int, last: bool, padding: Any) -> Any:
        return values(weight, indices, offsets, mode, None, last, padding)

    return {"": values, "_weighted": weighted, "_unweighted": unweighted}[name]


@reference
def embedding_renorm(table: Any, indices: Any, max_norm: float, norm_type: float = 2.0) -> Any:
    out = table.copy()
    for row in set(indices.reshape(-1).tolist()):
        norm = np.linalg.norm(table[row], norm_type)
        out[row] *= max_norm / (norm + 1e-7) if norm > max_norm else 1
    return out


@reference
def channel_shuffle(x: Any, groups: int) -> Any:
    return x.reshape(len(x), groups, -1, *x.shape[2:]).swapaxes(1, 2).reshape(x.shape)


@reference
def normalize(x: Any, p: float = 2.0, dim: Any = None, eps: float = 1e-12) -> Any:
    norm = (abs(x) ** p).sum(axes(dim, x.ndim), keepdims=True) ** (1 / p)
    return x / np.maximum(norm, eps)


@reference
def im2col(x: Any, kernel: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    k, d, p, s = (several(v, 2) for v in (kernel, dilation, padding, stride))
    v = windows(np.pad(x, [(0, 0), (0, 0), (p[0],) * 2, (p[1],) * 2]), k, s, d)
    return v.transpose(0, 1, 4, 5, 2, 3).reshape(len(x), x.shape[1] * k[0] * k[1], -1)


@reference
def col2im(col: Any, output_size: Any, kernel: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1) -> Any:
    k = several(kernel, 2)
    shape = (col.shape[0], col.shape[1] // (k[0] * k[1]), *several(output_size, 2))
    numbers = np.arange(1, math.prod(shape) + 1).reshape(shape)
    out = np.zeros(math.prod(shape) + 1)
    np.add.at(out, im2col(numbers, kernel, dilation, padding, stride), col)
    return out[1:].reshape(shape)


REFERENCE.update(
    {f"conv{n}d": convolution(n) for n in (1, 2, 3)},
    **{f"conv{n}d_padding": convolution_by_word(n) for n in (1, 2, 3)},
    **{f"conv_transpose{n}d": transposed(n) for n in (1, 2, 3)},
    **{f"max_pool{n}d": max_pool(n, False) for n in (1, 2, 3)},
    **{f"max_pool{n}d_with_indices": max_pool(n, True) for n in (1, 2, 3)},
    **{f"avg_pool{n}d": avg_pool(n) for n in (1, 2, 3)},
    **{f"adaptive_avg_pool{n}d": adaptive(n, mean_of) for n in (1, 2, 3)},
    **{f"adaptive_max_pool{n}d": adaptive(n, largest) for n in (1, 2, 3)},
    **{f"max_unpool{n}d": unpool(n) for n in (1, 2, 3)},
    **{f"lp_pool{n}d": lp_pool(n) for n in (1, 2, 3)},
    **{f"upsample_{kind}{n}d": upsample(n, kind) for n in (1, 2, 3) for kind in ("nearest", "nearest_exact")},
    **{f"upsample_{name}{n}d": upsample(n, "linear") for n, name in enumerate(("linear", "bilinear", "trilinear"), 1)},
    upsample_bicubic2d=upsample(2, "cubic"),
    upsample_bilinear2d_aa=upsample(2, "linear_aa"),
    upsample_bicubic2d_aa=upsample(2, "cubic_aa"),
    **{f"grid_sampler_{n}d": grid_sampler(n) for n in (2, 3)},
    **{f"embedding_bag{name}": bags(name) for name in ("", "_weighted", "_unweighted")},
)

# ---- normalisation ----


def normalised(x: Any, axis: Any, eps: float, centered: bool = True) -> Any:
    d = x - x.mean(axis, keepdims=True) if centered else x
    return d / np.sqrt((d * d).mean(axis, keepdims=True) + eps)


def affine(y: Any, weight: Any, bias: Any, channels: bool = True) -> Any:
    shape = (-1,) + (1,) * (y.ndim - 2) if channels else None
    scale, shift = (None if t is None else t.reshape(shape) if channels else t for t in (weight, bias))
    return y * (1 if scale is None else scale) + (0 if shift is None else shift)


def groups_of(x: Any, n: int, eps: float) -> Any:
    return normalised(x.reshape(len(x), n, -1), 2, eps).reshape(x.shape)


def by_channel(t: Any, ndim: int) -> Any:
    return t.reshape((-1,) + (1,) * (ndim - 2))


@reference
def batch_norm_eval(x: Any, mean: Any, var: Any, weight: Any, bias: Any, eps: float) -> Any:
    return affine((x - by_channel(mean, x.ndim)) / np.sqrt(by_channel(var, x.ndim) + eps), weight, bias)


@reference
def batch_norm_train(x: Any, weight: Any, bias: Any, eps: float) -> Any:
    a = tuple(d for d in range(x.ndim) if d != 1)
    return affine(normalised(x, a, eps), weight, bias), x.mean(a), x.var(a)


@reference
def batch_norm(
    x: Any,
    mean: Any,
    var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    if not training:
        return batch_norm_eval(x, mean, var, weight, bias, eps)
    y, m, v = batch_norm_train(x, weight, bias, eps)
    n = x.size // x.shape[1]
    if mean is not None:
        mean += momentum * (m - mean)
        var += momentum * (v * n / (n - 1) - var)
    return y


@reference
def instance_norm(
    x: Any, mean: Any = None, var: Any = None, weight: Any = None, bias: Any = None, use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:  # fmt: skip
    if not use_input_stats:
        return batch_norm_eval(x, mean, var, weight, bias, eps)
    a = tuple(range(2, x.ndim))
    if mean is not None:
        n = math.prod(x.shape[2:])
        mean += momentum * (x.mean(a).mean(0) - mean)
        var += momentum * (x.var(a).mean(0) * n / (n - 1) - var)
    return affine(normalised(x, a, eps), weight, bias)


REFERENCE.update(
    layer_norm=lambda x, shape, weight=None, bias=None, eps=1e-5: affine(
        normalised(x, tuple(range(x.ndim - len(shape), x.ndim)), eps), weight, bias, False
    ),
    rms_norm=lambda x, shape, weight=None, eps=None: affine(
        normalised(x, tuple(range(x.ndim - len(shape), x.ndim)), np.finfo(x.dtype).eps if eps is None else eps, False),
        weight,
        None,
        False,
    ),
    group_norm=lambda x, groups, weight=None, bias=None, eps=1e-5: affine(groups_of(x, groups, eps), weight, bias),
)

# ---- losses ----


def reduced(losses: Any, reduction: str) -> Any:
    return {"none": lambda v: v, "mean": np.mean, "sum": np.sum}[reduction](losses)


def huber(x: Any, t: Any, reduction: str = "mean", delta: float = 1.0) -> Any:
    d = np.abs(x - t)
    return reduced(np.where(d <= delta, d * d / 2, delta * (d - delta / 2)), reduction)


@reference
def nll_loss(x: Any, target: Any, weight: Any = None, ignore_index: int = -100, reduction: str = "mean") -> Any:
    weight = np.ones(x.shape[1 if x.ndim > 1 else 0]) if weight is None else weight
    seen = target != ignore_index
    t = np.where(seen, target, 0)
    w = np.where(seen, weight[t], 0.0)
    losses = -w * (np.take_along_axis(x, t[:, None], 1)[:, 0] if x.ndim > 1 else x[t])
    return losses.sum() / w.sum() if reduction == "mean" else reduced(losses, reduction)


@reference
def cross_entropy(
    x: Any,
    target: Any,
    weight: Any = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Any:
    classes = x.shape[1]
    weight = np.ones(classes) if weight is None else weight
    w = by_channel(weight, x.ndim)
    logs = log_softmax(x, 1)
    if target.dtype != np.int64:
        t = target * (1 - label_smoothing) + label_smoothing / classes
        losses = -(logs * t * w).sum(1)
        return losses.sum() / (x.size / classes) if reduction == "mean" else reduced(losses, reduction)
    seen = target != ignore_index
    nll = nll_loss(logs, target, weight, ignore_index, "none")
    smooth = np.where(seen, -(logs * w).sum(1), 0)
    losses = (1 - label_smoothing) * nll + label_smoothing / classes * smooth
    counted = np.where(seen, weight[np.where(seen, target, 0)], 0.0).sum()
    return losses.sum() / counted if reduction == "mean" else reduced(losses, reduction)


@reference
def bce_each(x: Any, t: Any) -> Any:
    return -(t * np.maximum(log_of(x), -100) + (1 - t) * np.maximum(log_of(1 - x), -100))


@reference
def kl_div(x: Any, t: Any, reduction: str = "mean", log_target: bool = False) -> Any:
    losses = np.exp(t) * (t - x) if log_target else np.where(t == 0, 0, t * log_of(t)) - t * x
    return losses.sum() / len(x) if reduction == "batchmean" else reduced(losses, reduction)


@reference
def cosine_similarity(x: Any, y: Any, dim: int = 1, eps: float = 1e-8) -> Any:
    def unit(t: Any) -> Any:
        return t / np.maximum(np.sqrt((t * t).sum(dim, keepdims=True)), eps)

    x, y = np.broadcast_arrays(x, y)
    return (unit(x) * unit(y)).sum(dim)


REFERENCE.update(
    mse_loss=lambda x, t, reduction="mean": reduced((x - t) ** 2, reduction),
    l1_loss=lambda x, t, reduction="mean": reduced(np.abs(x - t), reduction),
    smooth_l1_loss=lambda x, t, reduction="mean", beta=1.0: (
        huber(x, t, reduction, beta) / beta if beta else reduced(np.abs(x - t), reduction)
    ),
    huber_loss=huber,
    softmax_nll=lambda x, t, ignore_index, reduction: cross_entropy(x, t, None, ignore_index, reduction),
    binary_cross_entropy=lambda x, t, weight=None, reduction="mean": reduced(
        bce_each(x, t) * (1 if weight is None else weight), reduction
    ),
    bce_logits_each=lambda x, t: bce_each(sigmoid(x), t),
    binary_cross_entropy_with_logits=lambda x, t, weight=None, pos_weight=None, reduction="mean": reduced(
        (-log_of(sigmoid(x)) * t * (1 if pos_weight is None else pos_weight) - (1 - t) * log_of(1 - sigmoid(x)))
        * (1 if weight is None else weight),
        reduction,
    ),
)


def negative(t: Any, near: Any, far: Any) -> Any:
    """What targets of 1 and of -1 stand for."""
    return np.where(t == 1, near, 0) + np.where(t == -1, far, 0)


@reference
def poisson_nll_loss(
    x: Any, t: Any, log_input: bool = True, full: bool = False, eps: float = 1e-8, reduction: str = "mean"
) -> Any:
    losses = np.exp(x) - t * x if log_input else x - t * np.log(x + eps)
    stirling = t * np.log(t) - t + 0.5 * np.log(TAU * t)
    return reduced(losses + (np.where(t > 1, stirling, 0) if full else 0), reduction)


@reference
def gaussian_nll_loss(x: Any, t: Any, var: Any, full: bool = False, eps: float = 1e-6, reduction: str = "mean") -> Any:
    var = np.maximum(var if np.ndim(var) in (0, x.ndim) else var[..., None], eps)
    return reduced(0.5 * (np.log(var) + (x - t) ** 2 / var) + (0.5 * np.log(TAU) if full else 0), reduction)


@reference
def cosine_embedding_loss(x: Any, y: Any, t: Any, margin: float = 0.0, reduction: str = "mean") -> Any:
    cos = (x * y).sum(-1) / np.sqrt(((x * x).sum(-1) + 1e-12) * ((y * y).sum(-1) + 1e-12))
    return reduced(negative(t, 1 - cos, np.maximum(cos - margin, 0)), reduction)


@reference
def multilabel_soft_margin_loss(x: Any, t: Any, weight: Any = None, reduction: str = "mean") -> Any:
    return reduced((bce_each(sigmoid(x), t) * (1 if weight is None else weight)).mean(-1), reduction)


@reference
def multi_margin_loss(
    x: Any, t: Any, p: int = 1, margin: float = 1.0, weight: Any = None, reduction: str = "mean"
) -> Any:
    weight = np.ones(x.shape[-1]) if weight is None else weight
    each = [
        sum(weight[k] * max(0.0, margin - row[k] + v) ** p for i, v in enumerate(row) if i != k) / len(row)
        for row, k in zip(np.atleast_2d(x), np.atleast_1d(t))
    ]
    return reduced(np.array(each).reshape(np.shape(t)), reduction)


def listed(row: Any) -> list[int]:
    """The targets before the first -1."""
    return list(itertools.takewhile(lambda k: k >= 0, row.tolist()))


@reference
def multilabel_targets(t: Any, classes: int) -> Any:
    before = np.array([np.arange(t.shape[1]) < len(listed(row)) for row in t]).reshape(t.shape)
    return before, np.array([[k in listed(row) for k in range(classes)] for row in t])


@reference
def multilabel_margin_loss(x: Any, t: Any, reduction: str = "mean") -> Any:
    each = [
        sum(max(0.0, 1 - row[k] + v) for k in listed(ks) for i, v in enumerate(row) if i not in listed(ks)) / len(row)
        for row, ks in zip(np.atleast_2d(x), np.atleast_2d(t))
    ]
    return reduced(np.array(each).reshape(x.shape[:-1]), reduction)


@reference
def pairwise_distance(x: Any, y: Any, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Any:
    return norm(x - y + eps, p, -1, keepdim)


@reference
def triplet_margin_loss(
    a: Any, near: Any, far: Any, margin: float = 1.0, p: float = 2.0, eps: float = 1e-6, swap: bool = False,
    reduction: str = "mean",
) -> Any:  # fmt: skip
    apart = norm(a - far + eps, p, -1)
    if swap:
        apart = np.minimum(apart, norm(near - far + eps, p, -1))
    return reduced(np.maximum(norm(a - near + eps, p, -1) - apart + margin, 0), reduction)


@reference
def ctc_losses(x: Any, targets: Any, inputs: Any, sizes: Any, blank: int, zero_infinity: bool) -> Any:
    """From all paths there are."""
    ends, losses = np.cumsum(sizes), []
    for n, (long, size) in enumerate(zip(inputs, sizes)):
        labels = (targets[n, :size] if targets.ndim == 2 else targets[ends[n] - size : ends[n]]).tolist()
        total = 0.0
        for path in itertools.product(range(x.shape[2]), repeat=int(long)):
            spelt = [c for c, _ in itertools.groupby(path) if c != blank]
            total += math.exp(sum(x[t, n, c] for t, c in enumerate(path))) if spelt == labels else 0.0
        losses.append(-math.log(total) if total else 0.0 if zero_infinity else inf)
    return np.array(losses)


@reference
def ctc_loss(
    x: Any, targets: Any, inputs: Any, sizes: Any, blank: int = 0, reduction: str = "mean", zero_infinity: bool = False
) -> Any:
    batch = x if x.ndim == 3 else x[:, None]
    losses = ctc_losses(batch, targets, np.atleast_1d(inputs), np.atleast_1d(sizes), blank, zero_infinity)
    if reduction == "mean":
        return (losses / np.maximum(sizes, 1)).mean()
    return reduced(losses if x.ndim == 3 else losses[0], reduction)


@reference
def ctc_states(targets: Any, sizes: Any, blank: int) -> Any:
    width, ends = 2 * targets.shape[-1] + 1, np.cumsum(sizes)
    path, skips = np.full((len(sizes), width), blank), np.zeros((len(sizes), width), bool)
    for n, size in enumerate(sizes):
        labels = targets[n, :size] if targets.ndim == 2 else targets[ends[n] - size : ends[n]]
        path[n, 1 : 2 * size : 2] = labels
        skips[n, 3 : 2 * size : 2] = (labels[1:] != labels[:-1]) & (labels[1:] != blank)
    return path, skips


def times(losses: Any, weight: Any, reduction: str) -> Any:
    total = (losses * weight).sum() / weight.sum() if reduction == "mean" else None
    return reduced(losses * weight, reduction) if total is None else total


REFERENCE.update(
    mse_loss_weighted=lambda x, t, w, reduction="mean": times((x - t) ** 2, w, reduction),
    l1_loss_weighted=lambda x, t, w, reduction="mean": times(np.abs(x - t), w, reduction),
    huber_loss_weighted=lambda x, t, w, reduction="mean", delta=1.0: reduced(huber(x, t, "none", delta) * w, reduction),
    variance_floor=np.maximum,
    hinge_embedding_loss=lambda x, t, margin=1.0, reduction="mean": reduced(
        negative(t, x, np.maximum(margin - x, 0)), reduction
    ),
    margin_ranking_loss=lambda x, y, t, margin=0.0, reduction="mean": reduced(
        np.maximum(margin - t * (x - y), 0), reduction
    ),
    soft_margin_loss=lambda x, t, reduction="mean": reduced(np.log1p(np.exp(-t * x)), reduction),
)

REFERENCE.update(
    complex=lambda re, im: re + 1j * im,
    polar=lambda r, angle: r * np.exp(1j * angle),
    view_as_real=lambda z: np.stack([z.real, z.imag], -1),
    view_as_complex=lambda a: a[..., 0] + 1j * a[..., 1],
    real=np.real,
    imag=np.imag,
    conj=np.conj,
    conj_physical=np.conj,
    resolve_conj=np.positive,
    resolve_neg=np.positive,
    angle=np.angle,
    sgn=lambda z: np.where(z == 0, 0, z / np.where(z == 0, 1, np.abs(z))),
)

# ---- special functions ----


def integral(f: Any, low: float, high: float) -> float:
    """By Gauss and Legendre, in pieces."""
    x, w = np.polynomial.legendre.leggauss(60)
    edges = np.linspace(low, high, 41)
    middle, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    return float((f(middle[:, None] + half[:, None] * x) * w * half[:, None]).sum())


def bessel_i(n: int, scaled: bool) -> Any:
    """DLMF 10.32.3."""

    def value(x: float) -> float:
        if math.isinf(x) or math.isnan(x):
            return math.copysign(0.0 if scaled else inf, x if n else 1.0) if not math.isnan(x) else nan
        top = abs(x) if scaled else 0.0
        return integral(lambda t: np.exp(x * np.cos(t) - top) * np.cos(n * t), 0, math.pi) / math.pi

    return each(value)


def bessel_k(n: int, scaled: bool) -> Any:
    """DLMF 10.32.9."""

    def value(x: float) -> float:
        if math.isnan(x) or x < 0:
            return nan
        if x == 0:
            return inf
        if math.isinf(x):
            return 0.0
        top = math.acosh(1 + 800 / x)
        e = integral(lambda t: np.exp(-x * (np.cosh(t) - 1)) * np.cosh(n * t), 0, top)
        return e if scaled else e * math.exp(-x)

    return each(value)


def bessel_j(n: int) -> Any:
    """DLMF 10.9.2."""

    def value(x: float) -> float:
        if math.isinf(x):
            return 0.0
        return integral(lambda t: np.cos(n * t - x * np.sin(t)), 0, math.pi) / math.pi

    return each(value)


def bessel_y(n: int) -> Any:
    """DLMF 10.9.7."""

    def value(x: float) -> float:
        if math.isnan(x) or x < 0:
            return nan
        if x == 0:
            return -inf
        if math.isinf(x):
            return 0.0
        wave = integral(lambda t: np.sin(x * np.sin(t) - n * t), 0, math.pi)
        top = math.asinh(800 / x)
        rest = integral(lambda t: (np.exp(n * t) + (-1) ** n * np.exp(-n * t)) * np.exp(-x * np.sinh(t)), 0, top)
        return (wave - rest) / math.pi

    return each(value)


def airy(x: float) -> float:
    """The power series (DLMF 9.4.1) in many digits."""
    if not math.isfinite(x):
        return 0.0 if x == inf else nan
    with decimal.localcontext() as context:
        context.prec = 60
        d = decimal.Decimal
        x = d(x)
        f, g, a, b, k = d(1), x, d(1), x, d(0)
        for _ in range(400):
            k += 3
            a *= x**3 / (k * (k - 1))
            b *= x**3 / (k * (k + 1))
            f, g = f + a, g + b
        first = d("0.35502805388781723926006318600418317639797917419917752405833")
        slope = d("0.25881940379280679840518356018920396347909113835493458221000")
        return float(first * f - slope * g)


def hurwitz(s: float, q: float) -> float:
    """Many terms, and the rest by Euler and Maclaurin."""
    if math.isnan(s) or math.isnan(q):
        return nan
    if s <= 1:
        return inf if s == 1 else nan
    if q <= 0 and q == math.floor(q):
        return inf
    if q <= 0 and s != math.floor(s):
        return nan
    k = np.arange(20000.0)
    end = q + 20000
    rest = end ** (1 - s) / (s - 1) + 0.5 * end**-s + s / 12 * end ** (-s - 1)
    return math.fsum(np.sign(q + k) ** int(s) * np.abs(q + k) ** -s) + rest


def lower_gamma(a: float, x: float) -> float:
    """DLMF 8.11.4."""
    if math.isnan(a) or math.isnan(x) or a < 0 or x < 0:
        return nan
    if a == 0:
        return 1.0 if x > 0 else nan
    if math.isinf(a) or math.isinf(x):
        return nan if a == x else float(math.isinf(x))
    if x == 0:
        return 0.0
    start = math.exp(a * math.log(x) - x - math.lgamma(a + 1))
    total, term = 0.0, 1.0
    for k in range(1, 2000):
        total += term
        term *= x / (a + k)
    return start * total


def normal_quantile(p: float) -> float:
    if p in (0, 1):
        return inf if p else -inf
    return statistics.NormalDist().inv_cdf(p) if 0 < p < 1 else nan


def chebyshev(kind: str) -> Any:
    def value(x: float, n: float) -> float:
        n = int(n)
        if n < 0:
            return 0.0
        first = {"t": x, "u": 2 * x, "v": 2 * x - 1, "w": 2 * x + 1}[kind]
        p, q = 1.0, first
        for _ in range(n):
            p, q = q, 2 * x * q - p
        return p

    return each(value)


def polynomial(series: Any) -> Any:
    """A polynomial of NumPy, of one degree."""
    return each(lambda x, n: float(series(x, [0.0] * int(n) + [1.0])) if n >= 0 else 0.0)


def shifted(kind: str) -> Any:
    return lambda x, n: chebyshev(kind)(2 * np.asarray(x) - 1, n)


REFERENCE.update(
    i0=bessel_i(0, False),
    special_i0e=bessel_i(0, True),
    special_i1=bessel_i(1, False),
    special_i1e=bessel_i(1, True),
    special_modified_bessel_k0=bessel_k(0, False),
    special_modified_bessel_k1=bessel_k(1, False),
    special_scaled_modified_bessel_k0=bessel_k(0, True),
    special_scaled_modified_bessel_k1=bessel_k(1, True),
    special_bessel_j0=bessel_j(0),
    special_bessel_j1=bessel_j(1),
    special_bessel_y0=bessel_y(0),
    special_bessel_y1=bessel_y(1),
    special_spherical_bessel_j0=each(lambda x: 0.0 if math.isinf(x) else math.sin(x) / x if x else 1.0),
    special_airy_ai=each(airy),
    special_erfcx=each(
        lambda x: x if x != x else math.exp(x * x) * math.erfc(x) if abs(x) < 20 else inf if x < 0 else 0.0 if x == inf
        else integral(lambda t: np.exp(-t * t - 2 * x * t), 0, 20 / x) * 2 / math.sqrt(math.pi)
    ),
    special_ndtr=each(lambda x: math.erfc(-x / math.sqrt(2)) / 2),
    special_log_ndtr=each(
        lambda x: math.log(math.erfc(-x / math.sqrt(2)) / 2) if x > -30 or x != x else -inf if x == -inf else
        -x * x / 2 + math.log(integral(lambda t: np.exp(x * t - t * t / 2), 0, -40 / x) / math.sqrt(2 * math.pi))
    ),
    special_ndtri=each(normal_quantile),
    special_entr=each(lambda x: x if x != x else -inf if x < 0 or x == inf else 0.0 if x == 0 else -x * math.log(x)),
    special_xlog1py=lambda x, y: np.where((x == 0) & ~np.isnan(y), 0.0, x * np.log1p(y)),
    special_zeta=each(hurwitz),
    igamma=each(lower_gamma),
    igammac=each(lambda a, x: 1 - lower_gamma(a, x)),
    mvlgamma=each(
        lambda x, p: p * (p - 1) / 4 * math.log(math.pi) + sum(math.lgamma(x - k / 2) for k in range(p))
    ),
    special_chebyshev_polynomial_t=chebyshev("t"),
    special_chebyshev_polynomial_u=chebyshev("u"),
    special_chebyshev_polynomial_v=chebyshev("v"),
    special_chebyshev_polynomial_w=chebyshev("w"),
    special_shifted_chebyshev_polynomial_t=shifted("t"),
    special_shifted_chebyshev_polynomial_u=shifted("u"),
    special_shifted_chebyshev_polynomial_v=shifted("v"),
    special_shifted_chebyshev_polynomial_w=shifted("w"),
    special_hermite_polynomial_h=polynomial(np.polynomial.hermite.hermval),
    special_hermite_polynomial_he=polynomial(np.polynomial.hermite_e.hermeval),
    special_laguerre_polynomial_l=polynomial(np.polynomial.laguerre.lagval),
    special_legendre_polynomial_p=polynomial(np.polynomial.legendre.legval),
    nextafter=np.nextafter,
    frexp=lambda x: tuple(np.frexp(x)),
)  # fmt: skip


@reference
def renorm(x: Any, p: float, dim: int, most: float) -> Any:
    others = tuple(d for d in range(x.ndim) if d != dim % x.ndim)
    norms = (np.abs(x) ** p).sum(others, keepdims=True) ** (1 / p)
    return np.where(norms > most, x * most / (norms + 1e-7), x)


@reference
def gradient(x: Any, spacing: Any, dim: Any = None, edge_order: int = 1) -> Any:
    dims = tuple(range(x.ndim)) if dim is None else (dim,) if isinstance(dim, int) else tuple(dim)
    found = np.gradient(x, *(spacing or [1.0] * len(dims)), axis=dims, edge_order=edge_order)
    return found if isinstance(found, (list, tuple)) else [found]


@reference
def cumulative_trapezoid(y: Any, x: Any = None, dx: float = 1, dim: int = -1) -> Any:
    y = np.moveaxis(y, dim, -1)
    steps = dx if x is None else np.diff(x if x.ndim == 1 else np.moveaxis(x, dim, -1))
    return np.moveaxis(np.cumsum((y[..., 1:] + y[..., :-1]) / 2 * steps, -1), -1, dim)


def bounds_of(ranges: Any) -> Any:
    return None if ranges is None else np.reshape(ranges, (-1, 2))


@reference
def nonzero_static(x: Any, size: int, fill_value: int = -1) -> Any:
    rows = np.argwhere(x)[:size]
    return np.concatenate([rows, np.full((size - len(rows), x.ndim), fill_value)])


def fractional_pool(n: int) -> Any:
    def pool(x: Any, kernel: Any, size: Any, random: Any) -> Any:
        kernel, size = (v if isinstance(v, (tuple, list)) else [v] * n for v in (kernel, size))
        random = random.reshape(*x.shape[:-n], n)
        out, index = np.zeros(x.shape[:-n] + tuple(size)), np.zeros(x.shape[:-n] + tuple(size), np.int64)
        for plane in np.ndindex(*x.shape[:-n]):
            drawn = random[plane][::-1] if n == 2 else random[plane]
            starts = []
            for d in range(n):
                room = x.shape[len(plane) + d] - kernel[d]
                alpha = room / (size[d] - 1) if size[d] > 1 else 0.0
                first = [int((i + drawn[d]) * alpha) - int(drawn[d] * alpha) for i in range(size[d] - 1)]
                starts.append([*first, room])
            for at in np.ndindex(*size):
                corner = [starts[d][at[d]] for d in range(n)]
                window = x[plane][tuple(slice(c, c + k) for c, k in zip(corner, kernel))]
                place = np.unravel_index(np.argmax(window), window.shape)
                out[plane + at] = window.max()
                index[plane + at] = np.ravel_multi_index([c + p for c, p in zip(corner, place)], x.shape[-n:])
        return out, index

    return pool


REFERENCE.update(
    histogramdd_from_bin_cts=lambda x, bins, ranges=None, weight=None, density=False: np.histogramdd(
        x, bins, bounds_of(ranges), density, weight)[0],
    histogramdd_bin_edges=lambda x, bins, ranges=None: np.histogramdd(x, bins, bounds_of(ranges))[1],
    histogramdd_from_bin_tensors=lambda x, weight, bins, density=False: np.histogramdd(
        x, bins, weights=weight, density=density)[0],
    unravel_index=lambda x, shape: np.unravel_index(x, shape),
    fractional_max_pool2d=fractional_pool(2),
    fractional_max_pool3d=fractional_pool(3),
    alias_copy=np.array,
    detach_copy=np.array,
    as_strided_copy=REFERENCE["as_strided"],
    diagonal_copy=REFERENCE["diagonal"],
    expand_copy=REFERENCE["expand"],
    permute_copy=REFERENCE["permute"],
    select_copy=REFERENCE["select"],
    slice_copy=REFERENCE["slice"],
    split_copy=REFERENCE["split"],
    split_with_sizes_copy=REFERENCE["split_with_sizes"],
    squeeze_copy=REFERENCE["squeeze"],
    t_copy=np.transpose,
    transpose_copy=REFERENCE["transpose"],
    unbind_copy=REFERENCE["unbind"],
    unfold_copy=REFERENCE["unfold"],
    unsqueeze_copy=REFERENCE["unsqueeze"],
    view_copy=lambda x, size: x.reshape(size),
)  # fmt: skip

# ---- calls ----


# ---- Fourier transforms ----

#: The word for what the three kernels do, for sums that NumPy leaves as they are and for those that it divides.
WORDS = [("backward", "forward"), ("ortho", "ortho"), ("forward", "backward")]
SWAPPED = {"": "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def transforms(f: Any, conjugates: str = "") -> Any:
    """A function of NumPy under PyTorch's arguments; of one that it lacks, what is conjugated to make it of another."""

    def along(x: Any, n: Any = None, dim: Any = None, norm: str = "") -> Any:
        x = np.asarray(x)
        if isinstance(n, (tuple, list)) and dim is None:
            dim = tuple(range(-len(n), 0))
        norm = SWAPPED[norm] if conjugates else norm or "backward"
        x = np.conj(x) if conjugates == "before" else x
        y = f(x, n, dim, norm=norm)
        return np.conj(y) if conjugates == "after" else y

    return along


for _n in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    _one = transforms(getattr(np.fft, _n))
    REFERENCE[f"fft_{_n}"] = lambda x, n=None, dim=-1, norm="", f=_one: f(x, n, dim, norm)
for _n in ("fft", "ifft", "rfft", "irfft"):
    REFERENCE[f"fft_{_n}n"] = transforms(getattr(np.fft, f"{_n}n"))
REFERENCE["fft_hfftn"] = transforms(np.fft.irfftn, "before")
REFERENCE["fft_ihfftn"] = transforms(np.fft.rfftn, "after")
for _n in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    _all = REFERENCE[f"fft_{_n}n"]
    REFERENCE[f"fft_{_n}2"] = lambda x, s=None, dim=(-2, -1), norm="", f=_all: f(x, s, dim, norm)


@reference
def fft_c2c(x: Any, dim: Any, normalization: int, forward: bool) -> Any:
    x = np.asarray(x)
    if not dim:
        return x
    return (np.fft.fftn if forward else np.fft.ifftn)(x, axes=dim, norm=WORDS[normalization][not forward])


@reference
def fft_r2c(x: Any, dim: Any, normalization: int, onesided: bool) -> Any:
    return (np.fft.rfftn if onesided else np.fft.fftn)(np.asarray(x), axes=dim, norm=WORDS[normalization][0])


@reference
def fft_c2r(x: Any, dim: Any, normalization: int, n: int) -> Any:
    sizes = [*(x.shape[d] for d in dim[:-1]), n]
    return np.fft.irfftn(np.asarray(x), sizes, dim, norm=WORDS[normalization][1])


REFERENCE.update(
    fft_fftfreq=lambda n, d=1.0, dtype=np.float32: np.fft.fftfreq(n, d).astype(dtype),
    fft_rfftfreq=lambda n, d=1.0, dtype=np.float32: np.fft.rfftfreq(n, d).astype(dtype),
    fft_fftshift=lambda x, dim=None: np.fft.fftshift(x, dim),
    fft_ifftshift=lambda x, dim=None: np.fft.ifftshift(x, dim),
)


def whole_window(n: int, win_length: Any, w: Any) -> Any:
    m = n if win_length is None else win_length
    left = (n - m) // 2
    return np.pad(np.ones(m) if w is None else np.asarray(w), (left, n - m - left))


@reference
def stft(
    x: Any, n_fft: int, hop_length: Any = None, win_length: Any = None, w: Any = None, center: bool = True,
    pad_mode: str = "reflect", normalized: bool = False, onesided: bool = True, return_complex: bool = True,
    align_to_window: bool = False, window: Any = None,
) -> Any:  # fmt: skip
    hop, w = hop_length or n_fft // 4, whole_window(n_fft, win_length, w if window is None else window)
    pads = [(0, 0)] * (np.ndim(x) - 1)
    if center:
        x = np.pad(x, [*pads, (n_fft // 2, n_fft // 2)], pad_mode)
    elif align_to_window:
        left = (n_fft - win_length) // 2
        x = np.pad(x, [*pads, (left, n_fft - win_length - left)])
    x = np.asarray(x)
    parts = [x[..., k : k + n_fft] * w for k in range(0, x.shape[-1] - n_fft + 1, hop)]
    y = np.stack([(np.fft.rfft if onesided else np.fft.fft)(p, norm=WORDS[normalized][0]) for p in parts], -1)
    return y if return_complex else np.stack([y.real, y.imag], -1)


@reference
def istft(
    y: Any, n_fft: int, hop_length: Any = None, win_length: Any = None, w: Any = None, center: bool = True,
    normalized: bool = False, onesided: bool = True, length: Any = None, return_complex: bool = False,
    window: Any = None,
) -> Any:  # fmt: skip
    hop, w = hop_length or n_fft // 4, whole_window(n_fft, win_length, w if window is None else window)
    y = np.asarray(y)
    total = n_fft + hop * (y.shape[-1] - 1)
    x, weights = np.zeros((*y.shape[:-2], total), complex), np.zeros(total)
    for k in range(y.shape[-1]):
        if onesided or not return_complex:
            part = np.fft.irfft(y[..., : n_fft // 2 + 1, k], n_fft, norm="ortho" if normalized else None)
        else:
            part = np.fft.ifft(y[..., k], norm="ortho" if normalized else None)
        x[..., k * hop : k * hop + n_fft] += part * w
        weights[k * hop : k * hop + n_fft] += w**2
    start = n_fft // 2 if center else 0
    end = start + length if length is not None else total - start
    x = x[..., start:end] / weights[start:end]
    x = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, max(0, end - total))])
    return x if return_complex else x.real


def read_calls() -> dict[str, list[str]]:
    """The calls of each op, as tests/calls.txt has them."""
    calls: dict[str, list[str]] = {}
    names: list[str] = []
    taken = True
    for line in (Path(__file__).parent / "calls.txt").read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        if line.startswith(" "):
            taken = True
            for n in names:
                calls.setdefault(n, []).append(line.strip())
        else:
            names = line.split() if taken else names + line.split()
            taken = False
    return calls


CALLS = read_calls()


class Arguments:
    """What calls are written with: the same numbers for every evaluation, as arrays or as tensors."""

    def __init__(self, wrap: Any) -> None:
        self.rng, self.wrap = np.random.default_rng(7), wrap

    def names(self, ours: bool) -> dict[str, Any]:
        rng, wrap = self.rng, self.wrap

        def real(f: Any) -> Any:
            return lambda *shape: wrap(f(shape))

        def matrices(*shape: int) -> Any:
            return rng.uniform(-0.5, 0.5, (*shape, shape[-1])) + 2 * np.eye(shape[-1])

        def definite(*shape: int) -> Any:
            a = matrices(*shape)
            return a @ np.swapaxes(a, -1, -2)

        types = {"f32": "float32", "f64": "float64", "i32": "int32", "i64": "int64", "bool_": "bool"}
        words = {
            k: getattr(rt if ours else np, "bool" if ours and k == "bool_" else k if k == "bool_" else v)
            for k, v in types.items()
        }
        typed = {
            k: lambda v, d=d: wrap(np.array(v, d))
            for k, d in (("u8", np.uint8), ("single", np.float32), ("pivots", np.int32))
        }
        return {
            "r": real(rng.standard_normal), "p": real(lambda s: rng.uniform(0.5, 2, s)),
            "z": real(lambda s: rng.uniform(0.5, 2, s) * rng.choice([-1.0, 1.0], s)),
            "u": real(lambda s: rng.uniform(-0.9, 0.9, s)),
            "q": real(lambda s: rng.uniform(0.1, 0.9, s)), "w": real(lambda s: rng.integers(-4, 5, s)),
            "truth": real(lambda s: rng.integers(0, 2, s).astype(bool)), "ones": real(np.ones), "zeros": real(np.zeros),
            "m": lambda *s: wrap(matrices(*s)), "spd": lambda *s: wrap(definite(*s)), "A": lambda v: wrap(np.array(v)),
            "no": lambda t: t.detach() if ours else t,
            "E": wrap(np.array([nan, inf, -inf, 0.0, -0.0, 1.5, -2.5, 2.5, 0.5, -0.3])), "inf": inf, "nan": nan,
            **words, **typed,
        }  # fmt: skip


class Array(np.ndarray):
    """An array with the words of tensors that calls use."""

    def flip(self, dim: int) -> Any:
        return np.flip(self, dim)


def as_tensor(a: Any) -> rt.Tensor:
    return rt.from_numpy(np.array(a))


def as_array(a: Any) -> Any:
    return np.array(a).view(Array)


def evaluated(name: str, source: str) -> tuple[Any, Any]:
    """Our results and the reference's, with the tensors that a call may have changed."""
    changed: list[Any] = []

    def kept(wrap: Any) -> Any:
        def made(a: Any) -> Any:
            changed.append(wrap(a))
            return changed[-1]

        return made

    source = source.replace("f32(", "single(")
    results = []
    for ours, wrap, f in ((True, as_tensor, getattr(_ops, name)), (False, as_array, REFERENCE[name])):
        changed.clear()
        names = Arguments(kept(wrap)).names(ours)
        with np.errstate(all="ignore"):
            out = eval(f"f({source})", {**names, "f": f})
        outs = list(out) if isinstance(out, (list, tuple)) else [out]
        if ours:
            outs = [t.numpy() if t.dtype is not rt.bfloat16 else t for t in outs]
            extra = [t.numpy() for t in changed]
        else:
            outs, extra = [np.asarray(a) for a in outs], [np.asarray(a) for a in changed]
        if name in UNIQUE:
            outs = list(UNIQUE[name](*outs))
        results.append(outs + extra)
    return results[0], results[1]


def same(ours: Any, theirs: Any, what: str) -> None:
    assert ours.shape == theirs.shape, f"{what}: shape {ours.shape} for {theirs.shape}"
    assert ours.dtype.kind == theirs.dtype.kind or {ours.dtype.kind, theirs.dtype.kind} <= set("iu"), (
        f"{what}: {ours.dtype} for {theirs.dtype}"
    )
    tolerance = 1e-5 if np.float32 in (ours.dtype, theirs.dtype) else 1e-9
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance, err_msg=what)


@pytest.mark.parametrize("name", NAMES)
def test_values(name: str) -> None:
    assert CALLS.get(name), f"{name} has no calls"
    for source in CALLS[name]:
        what = f"{name}({source})"
        ours, theirs = evaluated(name, source)
        assert len(ours) == len(theirs) > 0, what
        for a, b in zip(ours, theirs):
            same(a, b, what)


def poison(byte: int) -> None:
    """Leaves blocks of every size behind that are full of `byte`: the next small results lie in them."""
    sizes = [n + 32 for k in range(6, 13) for n in range(2**k, 2 ** (k + 1), 2 ** (k - 2))]
    kept = [rt.full((n,), byte, dtype=rt.uint8) for n in (*sizes, *sizes, *sizes)]
    kept.clear()


@pytest.mark.parametrize("name", NAMES)
def test_every_byte_of_a_result_is_written(name: str) -> None:
    """What stood in its memory before does not show, neither in results nor in gradients."""
    for source in CALLS[name]:
        found = []
        for byte in (0, 255):
            leaves: list[rt.Tensor] = []

            def leaf(a: Any, leaves: list[rt.Tensor] = leaves) -> rt.Tensor:
                t = as_tensor(a)
                if (t.dtype.is_floating_point or t.dtype.is_complex) and TABLE[name]["differentiable"]:
                    leaves.append(t.requires_grad_())
                return t

            names = {**Arguments(leaf).names(True), "f": getattr(_ops, name)}
            rt.manual_seed(0)
            poison(byte)
            try:
                out = eval(f"f({source})".replace("f32(", "single("), names)
                outs = list(out) if isinstance(out, (list, tuple)) else [out]
                roots = [o for o in outs if o.requires_grad]
                poison(byte)
                if roots:
                    rt.autograd.backward(roots, [rt.ones_like(o) for o in roots])
            except RustorchError as e:
                assert any(why in str(e) for why in ("leaf Variable", "not implemented when mode", "is singular")), e
                continue
            found.append([*outs, *(x.grad for x in leaves if x.grad is not None)])
        for a, b in zip(*found):
            a, b = (rt.view_as_real(t.detach()) if t.dtype.is_complex else t.double() for t in (a, b))
            assert rt.allclose(a, b, 0, 0, equal_nan=True), f"{name}({source})"


def test_every_option_is_tried() -> None:
    """Each optional argument gets another value than its default in some call."""
    missing = []
    for name in NAMES:
        f = getattr(_ops, name)
        given: set[str] = set()
        for source in CALLS[name]:
            names = Arguments(as_tensor).names(True)
            bound = eval(f"bind({source})".replace("f32(", "single("), {**names, "bind": inspect.signature(f).bind})
            given |= {
                k
                for k, v in bound.arguments.items()
                if isinstance(v, rt.Tensor) or (v is not None and v != inspect.signature(f).parameters[k].default)
            }
        optional = [a["name"] for a in TABLE[name]["args"] if a["default"] is not None]
        missing += [(name, k) for k in optional if k not in given and (name, k) not in NO_CASE]
    assert not missing


# Whose results are unique only in part, or whose input has to stay symmetric; tests/test_gradients.py knows how.
GAUGED = {
    "linalg_eigh", "linalg_eigvalsh", "linalg_svd", "linalg_qr", "slogdet", "cholesky", "linalg_pinv", "linalg_eig",
    "linalg_cholesky_ex", "svd", "svd_lowrank", "pca_lowrank",
}  # fmt: skip
# Whose statistics of earlier batches are constants.
RUNNING = {"batch_norm", "batch_norm_eval", "instance_norm"}


class Moved:
    """The sum of a call's results, with weights, where its floats have moved by `step` along some direction."""

    def __init__(self, name: str, source: str, step: float, still: Collection[int] = ()) -> None:
        self.leaves: list[rt.Tensor] = []
        self.ways: list[Any] = []
        self.step, self.still = step, still
        names = {**Arguments(self.moved).names(True), "A": lambda v: rt.from_numpy(np.array(v))}
        out = eval(f"f({source})".replace("f32(", "single("), {**names, "f": getattr(_ops, name)})
        outs = [o for o in (out if isinstance(out, (list, tuple)) else [out]) if o.dtype is rt.float64]
        weights = [rt.linspace(0.5, 2.0, o.numel() + 1, dtype=rt.float64)[: o.numel()] for o in outs]
        self.value = sum([(o.reshape(-1) * w).sum() for o, w in zip(outs, weights)], rt.zeros((), dtype=rt.float64))

    def moved(self, a: Any) -> rt.Tensor:
        a = np.array(a)
        if a.dtype != np.float64:
            return rt.from_numpy(a)
        self.ways.append(np.random.default_rng(len(self.ways)).standard_normal(a.shape))
        step = 0 if len(self.leaves) in self.still else self.step
        self.leaves.append(rt.from_numpy(np.asarray(a + step * self.ways[-1])).requires_grad_())
        return self.leaves[-1]


@pytest.mark.parametrize("name", [n for n in NAMES if TABLE[n]["differentiable"] and n not in GAUGED])
def test_slopes(name: str) -> None:
    """The gradient of each call, along some direction, against a difference."""
    for source in CALLS[name]:
        if any(word in source for word in ("E", "inf", "nan")):
            continue
        here = Moved(name, source, 0.0)
        if not here.value.requires_grad or not here.value.isfinite():
            continue
        here.value.backward()
        slope = sum(float((x.grad.numpy() * way).sum()) for x, way in zip(here.leaves, here.ways) if x.grad is not None)
        still = {k for k, x in enumerate(here.leaves) if x.grad is None} if name in RUNNING else set()
        numeric = (
            Moved(name, source, 1e-6, still).value.item() - Moved(name, source, -1e-6, still).value.item()
        ) / 2e-6
        assert slope == pytest.approx(numeric, rel=1e-5, abs=1e-6), f"{name}({source})"


WRAPPING = [
    "add", "sub", "mul", "neg", "abs", "sign", "square", "floor_divide", "remainder", "fmod", "maximum", "minimum",
    "fmax", "fmin", "gcd", "lcm",
    "bitwise_and", "bitwise_or", "bitwise_xor", "bitwise_not", "eq", "ne", "lt", "le", "gt", "ge", "logical_and",
    "logical_or", "logical_xor",
    "logical_not", "heaviside", "clamp_min", "clamp_max", "relu",
]  # fmt: skip
INTEGERS = [rt.uint8, rt.int8, rt.int16, rt.int32, rt.int64]


@pytest.mark.parametrize("name", WRAPPING)
def test_whole_numbers_of_every_dtype(name: str) -> None:
    """At the ends of their range too, where they wrap around."""
    f, binary = getattr(_ops, name), len([a for a in TABLE[name]["args"] if a["default"] is None]) == 2
    for d in INTEGERS:
        info = rt.iinfo(d)
        values = sorted(
            {info.min, info.min + 1, -7, -2, -1, 0, 1, 2, 3, 7, info.max - 1, info.max}
            - ({-7, -2, -1} if d is rt.uint8 else set())
        )
        pairs = [(a, b) for a in values for b in values if b or name not in ("floor_divide", "remainder", "fmod")]
        if name in ("gcd", "lcm"):
            pairs = [(a, b) for a, b in pairs if info.min not in (a, b) and abs(a * b) <= info.max]
        x, y = (np.array(v, rt.tensor(0, dtype=d).numpy().dtype) for v in zip(*pairs))
        if name in ("clamp_min", "clamp_max"):
            got, want = f(rt.from_numpy(x), 2), REFERENCE[name](x, x.dtype.type(2))
        elif binary:
            with np.errstate(all="ignore"):
                got, want = f(rt.from_numpy(x), rt.from_numpy(y)), REFERENCE[name](x, y)
            if name in ("floor_divide", "fmod", "remainder"):
                # The one quotient that does not fit wraps around, and leaves nothing.
                over = (x == info.min) & (y == -1) & (info.min < 0)
                want = np.where(over, info.min if name == "floor_divide" else 0, want)
        else:
            with np.errstate(all="ignore"):
                got, want = f(rt.from_numpy(x)), REFERENCE[name](x)
        np.testing.assert_array_equal(got.numpy(), want, f"{name} of {d}")


HALF = [
    n for n in NAMES
    if TABLE[n]["module"] in ("arithmetic", "comparison", "functions", "logic", "activation") and n in CALLS
    and TABLE[n]["domain"] in ("Real", "Positive", "NonZero", "Unit", "Probability")
    and not TABLE[n]["refuses"] and all(a["kind"] == "Tensor" for a in TABLE[n]["args"])
]  # fmt: skip


@pytest.mark.parametrize("name", HALF)
def test_half_floats_are_rounded_once(name: str) -> None:
    count = len(TABLE[name]["args"])
    rng = np.random.default_rng(5)
    low, high = {"Positive": (0.5, 2), "Unit": (-0.9, 0.9), "Probability": (0.1, 0.9)}.get(
        TABLE[name]["domain"], (-2, 2)
    )
    for d in (rt.float16, rt.bfloat16):
        args = [rt.from_numpy(rng.uniform(low, high, 700)).to(d) for _ in range(count)]
        f = getattr(_ops, name)
        got, want = f(*args), f(*(a.float() for a in args))
        assert got.dtype is (d if want.dtype is rt.float32 else want.dtype)
        assert rt.equal(got, want.to(got.dtype)), f"{name} of {d}"


@pytest.mark.parametrize("d", [rt.float16, rt.bfloat16])
def test_what_is_made_of_several_steps_is_rounded_once(d: rt.dtype) -> None:
    rng = np.random.default_rng(9)

    def some(*shape: int) -> rt.Tensor:
        return rt.from_numpy(rng.standard_normal(shape)).to(d)

    def chances(*shape: int) -> rt.Tensor:
        return rt.from_numpy(rng.uniform(0.1, 0.9, shape)).to(d)

    for f, args in (
        (lambda x, a, b: _ops.addr(x, a, b, beta=0.7, alpha=1.3), (some(30, 20), some(30), some(20))),
        (_ops.conv_transpose1d, (some(2, 3, 30), some(3, 4, 3), some(4))),
        (_ops.conv_transpose2d, (some(2, 3, 6, 5), some(3, 4, 3, 2), some(4))),
        (lambda x, t: _ops.binary_cross_entropy_with_logits(x, t, reduction="none"), (some(400), chances(400))),
        (
            lambda x, t, w, p: _ops.binary_cross_entropy_with_logits(x, t, w, p, reduction="none"),
            (some(400), chances(400), chances(400), chances(400)),
        ),
        (lambda x, w, b: _ops.linear(x, w, b), (some(20, 9), some(8, 9), some(8))),
        (lambda x, w, b: _ops.conv1d(x, w, b), (some(2, 3, 30), some(4, 3, 3), some(4))),
        (lambda x, w, b: _ops.layer_norm(x, (9,), w, b), (some(20, 9), some(9), some(9))),
        (lambda x, w: _ops.rms_norm(x, (9,), w), (some(20, 9), some(9))),
        (lambda x, w, b: _ops.group_norm(x, 2, w, b), (some(3, 4, 9), some(4), some(4))),
        (lambda x: _ops.softmax(x, 1), (some(20, 9),)),
        (lambda x: _ops.log_softmax(x, 1), (some(20, 9),)),
        (lambda x: _ops.softmin(x, 1), (some(20, 9),)),
        (lambda x: _ops.logsumexp(x, 1), (some(20, 9),)),
        (lambda x: _ops.var(x, 1), (some(20, 9),)),
        (lambda x: _ops.std(x, 1), (some(20, 9),)),
        (lambda x: _ops.vector_norm(x, 3, 1), (some(20, 9),)),
        (lambda x, y: _ops.cdist(x, y), (some(6, 9), some(7, 9))),
    ):
        got, want = f(*args), f(*(a.float() for a in args)).to(d)  # type: ignore[operator]
        # Sums may be taken in another order, which moves few of them by the last place.
        assert got.dtype is d and (got != want).float().mean().item() <= 0.02, (d, args[0].shape, len(args))
        assert rt.allclose(got.float(), want.float(), 2 * rt.finfo(d).eps, rt.finfo(d).eps)


def as_odd_truth(a: Any) -> rt.Tensor:
    """Truth that is shared with others may be any byte but 0."""
    a = np.array(a)
    return rt.from_numpy((a * np.uint8(3)).view(bool) if a.dtype == bool else a)


@pytest.mark.parametrize("name", [n for n in NAMES if any("truth(" in source for source in CALLS[n])])
def test_truth_of_any_byte(name: str) -> None:
    for source in (s for s in CALLS[name] if "truth(" in s):
        got, want = (
            eval(f"f({source})".replace("f32(", "single("), {**Arguments(wrap).names(True), "f": getattr(_ops, name)})
            for wrap in (as_odd_truth, as_tensor)
        )
        for a, b in zip(*(list(x) if isinstance(x, (list, tuple)) else [x] for x in (got, want)), strict=True):
            same(a.clone().numpy(), b.clone().numpy(), f"{name}({source})")
            assert rt.equal(a, b), f"{name}({source})"


BINARY = """add sub rsub mul floor_divide fmod remainder maximum minimum fmax fmin bitwise_and bitwise_or bitwise_xor
    gcd lcm""".split()


@pytest.mark.parametrize("name", BINARY)
def test_a_wider_number_wraps_around(name: str) -> None:
    """A 0-d tensor of the same kind counts as if it had the dtype of the elements."""
    f = getattr(_ops, name)
    for d, wide, value in (
        (rt.uint8, rt.int64, 259), (rt.int8, rt.int64, 257), (rt.int16, rt.int64, 65539),
        (rt.int32, rt.int64, 2**32 + 3), (rt.uint8, rt.int16, 257),
    ):  # fmt: skip
        x, y = rt.tensor([1, 2, 5], dtype=d), rt.tensor(value, dtype=wide)
        got = f(x, y)
        assert got.dtype is d
        assert got.tolist() == f(x, y.to(d)).tolist(), f"{name} of {d} and {wide}"


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_with_a_wider_number(name: str) -> None:
    f = getattr(_ops, name)
    for d in (rt.float16, rt.bfloat16, rt.float32):
        x, y = rt.tensor([0.1, 0.25, -3.0], dtype=d), rt.tensor(0.1, dtype=rt.float64)
        assert f(x, y).tolist() == f(x, y.to(d)).tolist(), f"{name} of {d}"


# Where a formula would be off by a rounding.
EXACT = [
    ("lerp", "A([0.1, 1e16]), A([0.3, 1.0]), A([1.0, 1.0])", [0.3, 1.0]),
    ("lerp", "A([0.1, 1e16]), A([0.3, 1.0]), A([0.0, 0.0])", [0.1, 1e16]),
    ("lgamma", "A([1.0, 2.0])", [0.0, 0.0]),
    ("lgamma", "single([1.0, 2.0])", [0.0, 0.0]),
]


@pytest.mark.parametrize("name, source, expected", EXACT)
def test_exact(name: str, source: str, expected: list[float]) -> None:
    got = eval(f"f({source})", {**Arguments(as_tensor).names(True), "f": getattr(_ops, name)}).tolist()
    # The sign of a zero does not count.
    assert got == expected


NUMBERS = """sum mean prod amax amin any all logsumexp argmax argmin cumsum cumprod cummax logcumsumexp softmax
    log_softmax sort argsort max_dim min_dim nansum vector_norm""".split()


@pytest.mark.parametrize("name", NUMBERS)
def test_a_number_has_the_dims_of_one_element(name: str) -> None:
    f, x = getattr(_ops, name), rt.tensor(2.5, dtype=rt.float64)
    options = (2,) if name == "vector_norm" else ()
    want = f(x.reshape(1), *options, 0)
    for dim in (0, -1):
        got = f(x, *options, dim)
        for a, b in zip(*(r if isinstance(r, tuple) else (r,) for r in (got, want)), strict=True):
            assert a.shape == ()
            assert (a.dtype, a.item()) == (b.dtype, b.item()), f"{name} over {dim}"
    for dim in (1, -2):
        with pytest.raises(RustorchError, match="out of range"):
            f(x, *options, dim)


def test_nothing_of_something() -> None:
    """Results of no elements, or made of none."""
    u, singular, vh = _ops.linalg_svd(rt.zeros(2, 0, 3))
    assert u.shape == (2, 0, 0) and singular.shape == (2, 0)
    assert rt.equal(vh, rt.eye(3).expand(2, 3, 3))
    u, singular, vh = _ops.linalg_svd(rt.zeros(2, 3, 0))
    assert vh.shape == (2, 0, 0) and singular.shape == (2, 0)
    assert rt.equal(u, rt.eye(3).expand(2, 3, 3))
    assert _ops.group_norm(rt.zeros(2, 0, 3), 2).shape == (2, 0, 3)


REFUSALS = [
    line.split(" | ", 2) if line.count(" | ") == 2 else [*line.rstrip("| ").split(" | "), ""]
    for line in (Path(__file__).parent / "refusals.txt").read_text().splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize("name, source, message", REFUSALS)
def test_refusals(name: str, source: str, message: str) -> None:
    names = {**Arguments(as_tensor).names(True), "f": getattr(_ops, name)}
    with pytest.raises(RustorchError) as e:
        eval(f"f({source})", names)
    assert message in str(e.value)
    assert CALLED.get(name, name) in str(e.value)


# ---- corners ----


def test_variances_of_huge_and_tiny_numbers() -> None:
    a = np.array([1.0, 2.0, 4.0, 7.0, -3.0])
    for scale in (1e-150, 1e150, 1e153):
        np.testing.assert_allclose(_ops.var(rt.from_numpy(a * scale)).item() / scale**2, a.var(ddof=1), 1e-12)
    for scale in (1e-250, 1e200, 1e300):
        np.testing.assert_allclose(_ops.std(rt.from_numpy(a * scale)).item() / scale, a.std(ddof=1), 1e-12)


@pytest.mark.parametrize("name", ["sinh", "cosh", "tanh", "asinh", "expm1"])
def test_hyperbolic_functions_of_both_signs(name: str) -> None:
    a = np.array([1e-12, 1e-3, 0.3, 1.0, 5.0, 20.0, 100.0, 700.0])
    a = np.concatenate([-a, a])
    with np.errstate(all="ignore"):
        want = getattr(np, name.replace("asinh", "arcsinh"))(a)
        np.testing.assert_allclose(getattr(_ops, name)(rt.from_numpy(a)).numpy(), want, 1e-13)
        a = a[np.abs(a) < 80].astype(np.float32)
        want = getattr(np, name.replace("asinh", "arcsinh"))(a.astype(float))
        np.testing.assert_allclose(getattr(_ops, name)(rt.from_numpy(a)).numpy(), want, 2e-7)


LOSSES = """mse_loss l1_loss smooth_l1_loss huber_loss binary_cross_entropy binary_cross_entropy_with_logits kl_div
    nll_loss cross_entropy""".split()


@pytest.mark.parametrize("name", LOSSES)
def test_losses_have_the_dtype_of_the_input(name: str) -> None:
    for d in (rt.float16, rt.bfloat16, rt.float32, rt.float64):
        x = rt.full((2, 3), 0.25, dtype=d)
        t = rt.tensor([0, 2]) if name in ("nll_loss", "cross_entropy") else rt.full((2, 3), 0.5, dtype=d)
        for reduction in ("none", "sum", "mean"):
            assert getattr(_ops, name)(x, t, reduction=reduction).dtype is d, (d, reduction)


def test_dtypes_of_results() -> None:
    assert _ops.randint(0, 5, (2,)).dtype is rt.int64
    assert _ops.bincount(rt.tensor([1, 2]), rt.tensor([0.5, 1.0])).dtype is rt.float32
    assert _ops.bincount(rt.tensor([1, 2]), rt.tensor([0.5, 1.0], dtype=rt.float16)).dtype is rt.float64


def test_unique_numbers_that_are_none() -> None:
    assert rt.tensor([nan, 1.0, nan]).unique().isnan().tolist() == [False, True, True]


def test_half_products_with_factors() -> None:
    rng = np.random.default_rng(4)
    for d in (rt.float16, rt.bfloat16):
        x, a, b = (rt.from_numpy(rng.standard_normal(s)).to(d) for s in ((4, 6), (4, 5), (5, 6)))
        got = _ops.addmm(x, a, b, beta=0.5, alpha=2.0)
        want = 0.5 * x.double() + 2 * (a.double() @ b.double())
        assert got.dtype is d
        np.testing.assert_allclose(got.double().numpy(), want.numpy(), rtol=2.0**-7, atol=2.0**-7)


def test_statistics_that_do_not_fit_change_nothing() -> None:
    mean = rt.zeros(3)
    with pytest.raises(RustorchError):
        _ops.batch_norm(rt.rand(4, 3), None, None, mean, rt.ones(2), True)
    assert mean.tolist() == [0.0, 0.0, 0.0]


def test_places_of_what_wins_a_window() -> None:
    x = rt.full((1, 4, 4), -inf)
    x[0, 3, 1] = nan
    values, places = rt.nn.functional.max_pool2d(x, 2, return_indices=True)
    assert places.tolist() == [[[0, 2], [13, 10]]]
    assert values.isnan().tolist() == [[[False, False], [True, False]]]
