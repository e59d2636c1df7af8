"""Numbers at the edges of their types: values here follow from definitions, not from another library."""

from __future__ import annotations

import operator

import pytest

import rustorch as rt
import rustorch.nn.functional as F
from rustorch.errors import InvalidArgumentError

INF, NAN = float("inf"), float("nan")
RANGES = {rt.uint8: (0, 255), rt.int8: (-128, 127), rt.int16: (-(2**15), 2**15 - 1), rt.int32: (-(2**31), 2**31 - 1)}
OVERFLOW = "cannot be converted to type"


def _set(x: rt.Tensor, index: object, value: object) -> rt.Tensor:
    x[index] = value
    return x


def _exact(v: object) -> rt.Tensor:
    return rt.tensor(v, dtype=rt.float64 if isinstance(v, float) else None)


# Every way in which a plain number becomes an element.
WAYS = {
    "tensor": lambda v, d: rt.tensor(v, dtype=d),
    "tensor of a list": lambda v, d: rt.tensor([v], dtype=d),
    "as_tensor": lambda v, d: rt.as_tensor([v], dtype=d),
    "new_tensor": lambda v, d: rt.zeros(1, dtype=d).new_tensor([v]),
    "full": lambda v, d: rt.full((1,), v, dtype=d),
    "full of nothing": lambda v, d: rt.full((0,), v, dtype=d),
    "full_like": lambda v, d: rt.full_like(rt.zeros(1), v, dtype=d),
    "new_full": lambda v, d: rt.zeros(1, dtype=d).new_full((1,), v),
    "fill_": lambda v, d: rt.zeros(1, dtype=d).fill_(v),
    "fill_diagonal_": lambda v, d: rt.zeros(1, 1, dtype=d).fill_diagonal_(v),
    "x[0] =": lambda v, d: _set(rt.zeros(1, dtype=d), 0, v),
    "x[:] = list": lambda v, d: _set(rt.zeros(1, dtype=d), slice(None), [v]),
    "x[mask] =": lambda v, d: _set(rt.zeros(1, dtype=d), rt.tensor([True]), v),
    "x[rows] =": lambda v, d: _set(rt.zeros(1, dtype=d), rt.tensor([0]), v),
    "masked_fill": lambda v, d: rt.zeros(1, dtype=d).masked_fill(rt.tensor([True]), v),
    "masked_fill by a tensor": lambda v, d: rt.zeros(1, dtype=d).masked_fill(rt.tensor([True]), _exact(v)),
    "index_fill": lambda v, d: rt.zeros(1, dtype=d).index_fill(0, rt.tensor([0]), v),
    "index_fill by a tensor": lambda v, d: rt.zeros(1, dtype=d).index_fill(0, rt.tensor([0]), _exact(v)),
    "scatter": lambda v, d: rt.zeros(1, dtype=d).scatter(0, rt.tensor([0]), v),
    "pad": lambda v, d: F.pad(rt.zeros(1, dtype=d), (1, 0), value=v)[:1],
    "threshold": lambda v, d: F.threshold(rt.zeros(1, dtype=d), 0, v),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_number_that_does_not_fit_is_refused(way: str) -> None:
    make = WAYS[way]
    for d, (low, high) in RANGES.items():
        for v in (high, low, float(high), low + 0.0, True):
            if make(1, d).numel():
                assert make(v, d).item() == v, (d, v)
        wrong = [high + 1, low - 1 if low else -high - 1, high + 0.5, low - 0.5, 1e30, NAN, INF, -INF, 2**62]
        for v in wrong:
            with pytest.raises(InvalidArgumentError, match=OVERFLOW):
                make(v, d)
    for v in (NAN, INF, -INF, 1e19, 2.0**63):
        with pytest.raises(InvalidArgumentError, match=OVERFLOW):
            make(v, rt.int64)
    if way not in ("threshold",):
        assert all(make(v, rt.bool).logical_not().logical_not().eq(True).all() for v in (NAN, 2, -1, 0.5))


def test_negatives_of_unsigned_numbers_wrap_around() -> None:
    for way in ("tensor", "tensor of a list", "full", "fill_", "x[0] =", "x[mask] =", "masked_fill", "scatter"):
        assert WAYS[way](-1, rt.uint8).item() == 255
        assert WAYS[way](-255, rt.uint8).item() == 1


def test_floats_beyond_the_range_are_refused_where_they_replace_elements() -> None:
    for way in ("full", "fill_", "masked_fill", "index_fill", "scatter", "pad", "x[rows] =", "threshold"):
        for d, v in ((rt.float16, 1e5), (rt.float32, 1e39), (rt.bfloat16, 1e39)):
            with pytest.raises(InvalidArgumentError, match=OVERFLOW):
                WAYS[way](v, d)
            assert WAYS[way](INF, d).item() == INF
    assert rt.tensor(1e39).item() == INF and rt.tensor([-1e39]).item() == -INF and rt.tensor(1e5, dtype=rt.float16) == INF
    assert rt.full((1,), 65519.0, dtype=rt.float16).item() == 65504  # rounds down


def test_factors_and_bounds_must_fit_too() -> None:
    x = rt.tensor([1, 2], dtype=rt.uint8)
    m = rt.ones(1, 1, dtype=rt.uint8)
    for call in (
        lambda: rt.add(x, x, alpha=256),
        lambda: rt.sub(x, x, alpha=300),
        lambda: rt.addcmul(x, x, x, value=256),
        lambda: rt.addmm(m, m, m, beta=256),
        lambda: rt.addmm(m, m, m, alpha=1e9),
        lambda: x.index_add(0, rt.tensor([0]), x[:1], alpha=256),
        lambda: x.clamp(max=256),
        lambda: x.clamp(max=-1),
        lambda: x.clamp(min=300),
        lambda: x.clamp_min(256),
        lambda: x.clamp_max(256),
        lambda: x**256,
        lambda: rt.where(x > 1, x, 256),
        lambda: rt.linspace(0, 256, 2, dtype=rt.uint8),
        lambda: rt.ones(1).clamp(max=1e39),
        lambda: rt.addcdiv(rt.ones(1), rt.ones(1), rt.ones(1), value=1e39),
    ):
        with pytest.raises(InvalidArgumentError, match=OVERFLOW):
            call()
    assert x.clamp(min=-1).tolist() == [1, 2]
    assert x.tolist() == [1, 2]
    with pytest.raises(InvalidArgumentError, match="unsigned"):
        F.hardtanh(x)


@pytest.mark.parametrize("name", ["lt", "le", "gt", "ge", "eq", "ne"])
def test_small_whole_numbers_are_compared_by_value(name: str) -> None:
    compare = getattr(operator, name)
    for d, (low, high) in RANGES.items():
        elements = [low, 0, 1, high]
        x = rt.tensor(elements, dtype=d)
        for v in (low - 1, low, 0, high, high + 1, 2 * high + 2, low - high - 1, 2**40, -(2**40), high + 0.5, 0.5):
            want = [compare(e, v) for e in elements]
            if isinstance(v, float) and high > 2**20:
                continue  # float32 cannot tell these
            assert compare(x, v).tolist() == want, (d, v)
            assert getattr(rt, name)(x, rt.tensor(v)).tolist() == want, (d, v)
            assert getattr(rt, name)(x, v).tolist() == want
    big = rt.tensor([2**62, 2**62 + 1, -(2**63)])
    for v in (2**62, 2**62 + 1, -(2**63), 2**63 - 1):
        assert compare(big, v).tolist() == [compare(e, v) for e in big.tolist()]


def test_numbers_of_another_size_count_as_true() -> None:
    assert rt.logical_and(rt.tensor([1, 0], dtype=rt.uint8), rt.tensor(256)).tolist() == [True, False]


def test_isclose_of_whole_numbers_is_exact() -> None:
    a, b = rt.tensor([2**62, 2**62, 5, -(2**63)]), rt.tensor([2**62 + 1, 2**62, 4, 2**63 - 1])
    assert rt.isclose(a, b, rtol=0.0, atol=0.0).tolist() == [False, True, False, False]
    assert rt.isclose(a, b, rtol=0.0, atol=1.0).tolist() == [True, True, True, False]
    assert rt.isclose(a, b, rtol=0.25, atol=0.0).tolist() == [True, True, True, False]
    assert not rt.allclose(a, b, rtol=0.0, atol=0.0) and not rt.equal(a, b)
    small = rt.tensor([255, 0], dtype=rt.uint8)
    assert rt.isclose(small, small.flip(0), rtol=0.0, atol=254.0).tolist() == [False, False]
    assert rt.isclose(small, small.flip(0), rtol=0.0, atol=255.0).tolist() == [True, True]


def test_ranges_of_whole_numbers_are_exact() -> None:
    start = 23453245323
    assert rt.linspace(start, start + 8, 5, dtype=rt.int64).tolist() == [start + 2 * i for i in range(5)]
    assert rt.linspace(-(2**63), 2**63 - 1, 2, dtype=rt.int64).tolist() == [-(2**63), 2**63 - 1]
    assert rt.linspace(-(2**63), 2**63 - 1, 4, dtype=rt.int64).tolist() == [-(2**63) + i * (2**64 - 1) // 3 for i in range(4)]
    assert rt.linspace(0, 10, 4, dtype=rt.int64).tolist() == [0, 3, 6, 10]
    assert rt.linspace(0, -10, 4, dtype=rt.int32).tolist() == [0, -3, -6, -10]
    assert rt.linspace(7, 9, 1, dtype=rt.int8).tolist() == [7] and rt.linspace(7, 9, 0, dtype=rt.int8).tolist() == []
    assert rt.logspace(0, 39, 40, base=3, dtype=rt.int64).tolist() == [3**i for i in range(40)]
    assert rt.logspace(0, 62, 63, base=-2, dtype=rt.int64).tolist() == [(-2) ** i for i in range(63)]
    assert rt.arange(2**62, 2**62 + 3).tolist() == [2**62, 2**62 + 1, 2**62 + 2]
    assert rt.arange(2**63 - 3, 2**63 - 1).tolist() == [2**63 - 3, 2**63 - 2]
