"""`rustorch.masked` against NumPy, one slice after the other, with those elements taken out that do not count."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import errors, masked

X = np.array([[0.5, -1.5, 2.0, 0.75], [3.5, 0.25, -1.0, 2.5], [1.0, 1.25, -2.0, 4.0]])
# A row of which nothing counts, one of which all does.
MASK = np.array([[True, False, True, True], [True, True, True, True], [False, False, False, False]])
INF, NAN = math.inf, math.nan


def t(v: Any) -> rt.Tensor:
    return rt.from_numpy(np.array(v))


def agree(ours: rt.Tensor, right: Any) -> bool:
    right = np.asarray(right)
    return tuple(ours.shape) == right.shape and np.allclose(ours.numpy(), right, 1e-12, 1e-12, equal_nan=True)


def lower_median(v: Any) -> float:
    return float(np.sort(v)[(len(v) - 1) // 2]) if len(v) else NAN


def entropy_sum(v: Any) -> float:
    return float(np.logaddexp.reduce(v)) if len(v) else -INF


REDUCED = {
    "sum": np.sum,
    "prod": np.prod,
    "amax": lambda v: np.max(v, initial=-INF),
    "amin": lambda v: np.min(v, initial=INF),
    "mean": np.mean,
    "logsumexp": entropy_sum,
    "var": lambda v: np.var(v, ddof=1) if len(v) > 1 else NAN,
    "std": lambda v: np.std(v, ddof=1) if len(v) > 1 else NAN,
    "norm": lambda v: np.sqrt((v * v).sum()),
}


def along(f: Any, x: Any, mask: Any, dim: int) -> Any:
    x, mask = np.moveaxis(x, dim, -1), np.moveaxis(np.broadcast_to(mask, x.shape), dim, -1)
    return np.array([f(row[kept]) for row, kept in zip(x.reshape(-1, x.shape[-1]), mask.reshape(-1, x.shape[-1]))])


@pytest.mark.parametrize("name", REDUCED)
def test_reductions(name: str) -> None:
    f, right = getattr(masked, name), REDUCED[name]
    options = {"ord": 2.0} if name == "norm" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dim in (0, 1, -1):
            want = along(right, X, MASK, dim)
            assert agree(f(t(X), dim=dim, mask=t(MASK), **options), want)
            assert agree(f(t(X), dim=dim, mask=t(MASK), keepdim=True, **options), np.expand_dims(want, dim))
            assert agree(f(t(X), dim=dim, mask=t(MASK[:1]), **options), along(right, X, MASK[:1], dim))
            assert agree(f(t(X), dim=dim, **options), along(right, X, True, dim))
        assert agree(f(t(X), mask=t(MASK), **options), right(X[MASK]))
    assert f(t(X), dim=0, mask=t(MASK), dtype=rt.float32, **options).dtype is rt.float32


def test_other_options() -> None:
    row, kept = X[1], MASK[0]
    for order, right in ((1, np.abs(row[kept]).sum()), (INF, 3.5), (-INF, 1.0), (0, 3.0)):
        assert float(masked.norm(t(row), order, mask=t(kept))) == pytest.approx(right)
    for correction, f in ((0, "correction"), (2, "correction"), (False, "unbiased")):
        want = np.var(row[kept], ddof=int(correction))
        assert float(masked.var(t(row), 0, **{f: correction}, mask=t(kept))) == pytest.approx(want)
        assert float(masked.std(t(row), 0, **{f: correction}, mask=t(kept))) == pytest.approx(math.sqrt(want))
    assert agree(masked.median(t(X), mask=t(MASK)), along(lower_median, X, MASK, -1))
    assert agree(masked.median(t(X), 0, keepdim=True, mask=t(MASK)), along(lower_median, X, MASK, 0)[None])
    for name in ("sum", "prod", "amax", "amin"):
        r = getattr(masked, name)(t(np.array([3, -4, 5])), mask=t([True, False, True]))
        assert int(r) == {"sum": 8, "prod": 15, "amax": 5, "amin": 3}[name] and r.dtype is rt.int64
    assert int(masked.amax(t(np.array([3, 4], np.int8)), mask=t([False, False]))) == -128
    for name in ("mean", "median"):
        with pytest.raises(errors.DTypeError, match=f"{name}: expected a floating point"):
            getattr(masked, name)(t(np.array([1, 2])), 0)


def test_places() -> None:
    for name, f, otherwise in (("argmax", np.argmax, -INF), ("argmin", np.argmin, INF)):
        for dim in (0, 1):
            want = f(np.where(MASK, X, otherwise), dim)
            assert agree(getattr(masked, name)(t(X), dim, mask=t(MASK)), want)
            assert agree(getattr(masked, name)(t(X), dim, keepdim=True, mask=t(MASK)), np.expand_dims(want, dim))
        assert int(getattr(masked, name)(t(X), mask=t(MASK))) == f(np.where(MASK, X, otherwise))


def test_what_keeps_the_shape() -> None:
    mask = MASK[:2]
    x = X[:2]
    for dim in (0, 1):
        for name, f, otherwise in (("cumsum", np.cumsum, 0), ("cumprod", np.cumprod, 1)):
            assert agree(getattr(masked, name)(t(x), dim, mask=t(mask)), f(np.where(mask, x, otherwise), dim))
        for sign, name in ((1, "softmax"), (-1, "softmin")):
            e = np.where(mask, np.exp(sign * x), 0)
            assert agree(getattr(masked, name)(t(x), dim, mask=t(mask)), e / e.sum(dim, keepdims=True))
        e = np.where(mask, np.exp(x), 0)
        with np.errstate(divide="ignore"):
            assert agree(masked.log_softmax(t(x), dim, mask=t(mask)), np.log(e / e.sum(dim, keepdims=True)))
        length = np.sqrt((np.where(mask, x, 0) ** 2).sum(dim, keepdims=True))
        assert agree(masked.normalize(t(x), 2.0, dim, mask=t(mask)), np.where(mask, x / length, 0))
    assert agree(masked.normalize(t(x), 2.0, 1, eps=100.0), x / 100)
    found = masked.logaddexp(t(x), t(x * 2), input_mask=t(mask), other_mask=t(~mask))
    assert agree(found, np.where(mask, x, 2 * x))
    assert agree(masked.logaddexp(t(x), t(x * 2)), np.logaddexp(x, 2 * x))


def test_gradients_pass_where_elements_count() -> None:
    for name in ("sum", "mean", "prod", "logsumexp", "norm", "var"):
        x = t(X[:2]).requires_grad_()
        options = {"ord": 2.0} if name == "norm" else {}
        getattr(masked, name)(x, dim=1, mask=t(MASK[:2]), **options).sum().backward()
        assert x.grad is not None and ((x.grad != 0).numpy() == MASK[:2]).all(), name
