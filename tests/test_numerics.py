"""Numbers at the edges of their types: values here follow from definitions, not from another library."""

from __future__ import annotations

import decimal
import functools
import math
import operator
import os
import platform
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import _ops
from rustorch.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

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
    assert (
        rt.tensor(1e39).item() == INF and rt.tensor([-1e39]).item() == -INF and rt.tensor(1e5, dtype=rt.float16) == INF
    )
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
    assert rt.linspace(-(2**63), 2**63 - 1, 4, dtype=rt.int64).tolist() == [
        -(2**63) + i * (2**64 - 1) // 3 for i in range(4)
    ]
    assert rt.linspace(0, 10, 4, dtype=rt.int64).tolist() == [0, 3, 6, 10]
    assert rt.linspace(0, -10, 4, dtype=rt.int32).tolist() == [0, -3, -6, -10]
    assert rt.linspace(7, 9, 1, dtype=rt.int8).tolist() == [7] and rt.linspace(7, 9, 0, dtype=rt.int8).tolist() == []
    assert rt.logspace(0, 39, 40, base=3, dtype=rt.int64).tolist() == [3**i for i in range(40)]
    assert rt.logspace(0, 62, 63, base=-2, dtype=rt.int64).tolist() == [(-2) ** i for i in range(63)]
    assert rt.arange(2**62, 2**62 + 3).tolist() == [2**62, 2**62 + 1, 2**62 + 2]
    assert rt.arange(2**63 - 3, 2**63 - 1).tolist() == [2**63 - 3, 2**63 - 2]


def test_angles_of_any_size() -> None:
    far = [1e22, 3e14, 2.0**45, 2.0**46 + 1, -1e30, 1e300, 6381956970095103 * 2.0**797, 35184372088833.0, 5.0, -0.5]
    exact = {"sin": math.sin, "cos": math.cos, "tan": math.tan}
    for name, f in exact.items():
        got = getattr(rt, name)(rt.tensor(far, dtype=rt.float64)).tolist()
        assert got == pytest.approx([f(v) for v in far], rel=3e-15, abs=1e-300), name
        singles = rt.tensor([v for v in far if abs(v) < 3e38])
        got = getattr(rt, name)(singles).tolist()
        assert got == pytest.approx([f(v) for v in singles.tolist()], rel=3e-7), name
        # In place, in the middle of a long tensor and in a view, where the neighbours must not notice.
        long = rt.linspace(-3, 3, 2001, dtype=rt.float64)
        near = getattr(rt, name)(long)
        long[700] = 1e22
        got = getattr(long.clone(), name + "_")()
        assert got[700].item() == pytest.approx(f(1e22), rel=1e-15)
        got[700] = near[700]
        assert rt.equal(got, near)
        assert getattr(rt, name)(long.view(3, 667).t())[33, 1].item() == pytest.approx(f(1e22), rel=1e-15)
        assert getattr(rt, name)(rt.tensor([INF, -INF, NAN])).isnan().all()
    x = rt.tensor([1e22, 2.0**60], dtype=rt.float64, requires_grad=True)
    x.sin().sum().backward()
    assert x.grad.tolist() == pytest.approx([math.cos(1e22), math.cos(2.0**60)], rel=1e-15)
    assert rt.sin(rt.tensor([2**62])).item() == pytest.approx(math.sin(2.0**62), rel=1e-6)


@pytest.mark.parametrize("d", [rt.float32, rt.float64])
def test_one_large_angle_in_any_place(d: rt.dtype) -> None:
    """Angles are looked at in parts; one that is too large for the quick way is found wherever it stands."""
    for name, f in (("sin", math.sin), ("cos", math.cos), ("tan", math.tan)):
        op = getattr(_ops, name)
        for n in (1, 2, 7, 8, 511, 512, 513, 1024, 1025, 1500):
            x = rt.linspace(-3, 3, n, dtype=d)
            near = op(x)
            for at in {0, 1, n // 2, 510, 511, 512, 1023, 1024, n - 2, n - 1}:
                if not 0 <= at < n:
                    continue
                for far in (2.0**46 + 2**24, -3e30):
                    y = x.clone()
                    y[at] = far
                    for got in (op(y), getattr(_ops, name + "_")(y.clone())):
                        want = rt.tensor(f(y[at].item()), dtype=d)
                        assert rt.allclose(got[at], want, rtol=4 * rt.finfo(d).eps, atol=0), (name, n, at)
                        got[at] = near[at]
                        assert rt.equal(got, near)


def test_sinc_of_whole_numbers_is_zero() -> None:
    for d in (rt.float32, rt.float64):
        x = rt.tensor([0.0, 1.0, -2.0, 3.0, 2.0**24, 1e22, 0.5, -1.5, 2.5, 1e-3], dtype=d, requires_grad=True)
        y = x.sinc()
        want = [1.0, 0, 0, 0, 0, 0, 2 / math.pi, -2 / (3 * math.pi), 2 / (5 * math.pi), 1 - (math.pi * 1e-3) ** 2 / 6]
        assert y.tolist() == pytest.approx(want, rel=1e-6, abs=0)
        y.sum().backward()
        slopes = x.grad.tolist()
        assert slopes[:4] == pytest.approx([0, -1, -1 / 2, -1 / 3], rel=1e-6)
        assert slopes[4:6] == pytest.approx([2.0**-24, 1e-22], rel=1e-6)
        assert slopes[6:9] == pytest.approx([-4 / math.pi, -4 / (9 * math.pi), -4 / (25 * math.pi)], rel=1e-5)


SIZES = [(rt.float32, 1e30), (rt.float32, 1e-30), (rt.float32, 3e37), (rt.bfloat16, 1e30), (rt.float64, 1e200)]
SIZES += [(rt.float64, 1e-200), (rt.float64, 1e307), (rt.float32, 1.0), (rt.float64, 1.0)]


@pytest.mark.parametrize(("d", "unit"), SIZES)
def test_spread_of_numbers_of_any_size(d: rt.dtype, unit: float) -> None:
    tolerance = 2e-2 if d == rt.bfloat16 else 1e-6
    near = functools.partial(pytest.approx, rel=tolerance, abs=0)
    rows = [[1.0, 3.0, 2.0], [-1.0, 2.0, 4.0]]
    x = (rt.tensor(rows, dtype=rt.float64) * unit).to(d)

    def spread(v: list[float]) -> float:
        mean = sum(v) / len(v)
        return math.sqrt(sum((e - mean) ** 2 for e in v) / (len(v) - 1))

    whole, across, down = spread(rows[0] + rows[1]), [spread(r) for r in rows], [spread(list(c)) for c in zip(*rows)]
    assert x.std().item() == near(whole * unit)
    assert x.std(1).tolist() == near([v * unit for v in across])
    assert x.std(0).tolist() == near([v * unit for v in down])
    assert x.t().std(0, keepdim=True).tolist() == [near([v * unit for v in across])]
    assert x.std(0, correction=0).tolist() == near([v * unit * math.sqrt(0.5) for v in down])
    std, mean = rt.std_mean(x, 1)
    assert std.tolist() == near([v * unit for v in across])
    assert mean.tolist() == near([2 * unit, 5 / 3 * unit])
    square = unit * unit
    if math.isfinite(float(rt.tensor(square, dtype=d))) and float(rt.tensor(square, dtype=d)) != 0:
        assert x.var(1).tolist() == near([v * v * square for v in across])
    else:
        assert x.var(1).tolist() == [INF, INF] if unit > 1 else [0.0, 0.0]
    x.requires_grad_()
    x.std().backward()
    flat = rows[0] + rows[1]
    want = [(e - sum(flat) / 6) / (5 * whole) for e in flat]
    assert x.grad.flatten().tolist() == pytest.approx(want, rel=tolerance, abs=tolerance)


@pytest.mark.parametrize(("d", "unit"), SIZES)
@pytest.mark.parametrize("p", [2, 3, 1.5, 0.5, -2, 10])
def test_norms_of_numbers_of_any_size(d: rt.dtype, unit: float, p: float) -> None:
    rows = [[1.0, 3.0, 2.0], [-1.0, 2.0, 4.0]]
    want = [sum(abs(v) ** p for v in r) ** (1 / p) * unit for r in rows]
    if max(want) > (1.7e308 if d == rt.float64 else 1e38):
        return
    x = (rt.tensor(rows, dtype=rt.float64) * unit).to(d).requires_grad_()
    tolerance = 3e-2 if d == rt.bfloat16 else 1e-5
    near = functools.partial(pytest.approx, rel=tolerance, abs=0)
    y = rt.linalg.vector_norm(x, p, dim=1)
    assert y.tolist() == near(want)
    assert rt.linalg.vector_norm(x.detach().t(), p, dim=0, keepdim=True).tolist() == [near(want)]
    y.sum().backward()
    for row, r, grads in zip(rows, want, x.grad.tolist()):
        assert grads == near([math.copysign((abs(v) * unit / r) ** (p - 1), v) for v in row])


def test_norms_of_nothing_and_of_infinities() -> None:
    assert rt.zeros(3, dtype=rt.float64).norm().item() == 0 and rt.zeros(0, dtype=rt.float64).norm().item() == 0
    assert rt.tensor([INF, 1e300], dtype=rt.float64).norm().item() == INF
    assert rt.tensor([NAN, 1e300], dtype=rt.float64).norm().isnan()
    assert rt.tensor([1e-320, 0], dtype=rt.float64).norm().item() == 1e-320
    assert rt.tensor([INF, 1.0]).std().isnan() and rt.zeros(0).std().isnan() and rt.zeros(1).std().isnan()
    assert rt.full((5,), 1e30).std().item() == pytest.approx(0, abs=1e24)
    x = rt.zeros(3, dtype=rt.float64, requires_grad=True)
    x.norm().backward()
    assert x.grad.tolist() == [0, 0, 0]


@pytest.mark.parametrize("unit", [1e30, 1e-30])
def test_normalisation_of_numbers_of_any_size(unit: float) -> None:
    rows = [1.0, 3.0, 2.0, -4.0]
    x = rt.tensor([rows]) * unit
    mean = sum(rows) / 4
    std = math.sqrt(sum((v - mean) ** 2 for v in rows) / 4)
    want = [(v - mean) / std for v in rows]
    eps = 0.0 if unit < 1 else 1e-5
    assert F.layer_norm(x, (4,), eps=eps)[0].tolist() == pytest.approx(want, rel=1e-5)
    assert F.group_norm(x.view(1, 2, 2), 1, eps=eps).flatten().tolist() == pytest.approx(want, rel=1e-5)
    root = math.sqrt(sum(v * v for v in rows) / 4)
    assert F.rms_norm(x, (4,), eps=eps)[0].tolist() == pytest.approx([v / root for v in rows], rel=1e-5)


def test_distances_do_not_cancel() -> None:
    x = rt.arange(90.0).view(30, 3) + 1e4
    for mode in ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"):
        d = rt.cdist(x, x, compute_mode=mode)
        assert d[0, 1].item() == pytest.approx(math.sqrt(27)) and d[0, 29].item() == pytest.approx(29 * math.sqrt(27))
        assert d.diagonal().eq(0).all() and rt.equal(d, d.t())
    assert rt.cdist(rt.tensor([[1e30, 0.0]]), rt.tensor([[0.0, 1e30]])).item() == pytest.approx(math.sqrt(2) * 1e30)
    far = rt.tensor([[1e200, 0.0]], dtype=rt.float64)
    assert rt.cdist(far, -far).item() == 2e200 and rt.cdist(far / 1e390, -far / 1e390).item() == pytest.approx(2e-190)
    assert (
        rt.cdist(rt.tensor([[NAN]]), rt.zeros(1, 1)).isnan().all()
        and rt.cdist(rt.tensor([[INF]]), rt.zeros(1, 1)) == INF
    )
    assert rt.cdist(rt.zeros(2, 0), rt.zeros(3, 0)).tolist() == [[0.0] * 3] * 2
    assert rt.cdist(rt.zeros(4, 1, 2, 3), rt.zeros(5, 6, 3)).shape == (4, 5, 2, 6)
    a = rt.randn(2, 3, 4, dtype=rt.float64, requires_grad=True)
    b = rt.randn(5, 4, dtype=rt.float64, requires_grad=True)
    assert rt.autograd.gradcheck(rt.cdist, (a, b)) and rt.autograd.gradgradcheck(rt.cdist, (a, b))
    c = rt.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    rt.cdist(c, c).sum().backward()
    s = 2 / math.sqrt(2)
    assert c.grad.flatten().tolist() == pytest.approx([-s, -s, s, s])
    z = rt.zeros(0, 4, requires_grad=True)
    rt.cdist(z, b.float()).sum().backward()
    assert z.grad.shape == (0, 4)


def test_slopes_at_the_origin() -> None:
    for unit in (1.0, 1e30, 1e-30):
        x, y = (
            rt.tensor([0.0, 3 * unit, 0.0], requires_grad=True),
            rt.tensor([0.0, 4 * unit, 2 * unit], requires_grad=True),
        )
        rt.atan2(y, x).sum().backward()
        assert y.grad.tolist() == pytest.approx([0, 0.12 / unit, 0], rel=1e-6)
        assert x.grad.tolist() == pytest.approx([0, -0.16 / unit, -0.5 / unit], rel=1e-6)


def test_the_rest_has_the_sign_of_the_divisor() -> None:
    for d in (rt.float32, rt.float64, rt.float16):
        for a, b in ((-1.0, 1.0), (1.0, -1.0), (-0.0, 2.0), (0.0, -2.0), (-6.0, 3.0), (7.0, -3.0), (-7.0, 3.0)):
            got = rt.remainder(rt.tensor(a, dtype=d), rt.tensor(b, dtype=d)).item()
            assert (got, math.copysign(1, got)) == (a % b, math.copysign(1, a % b)), (a, b)


def test_queries_that_may_look_nowhere() -> None:
    q, k, v = (rt.randn(2, 3, 4, dtype=rt.float64, requires_grad=True) for _ in "qkv")
    for dtype in (rt.float64, rt.bool):
        mask = rt.zeros(2, 3, 3, dtype=rt.float64)
        mask[0, 1] = -INF
        mask[1, 0, :2] = -INF
        hidden = mask == 0 if dtype == rt.bool else mask.requires_grad_()
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=hidden)
        assert out[0, 1].tolist() == [0.0] * 4
        usual = (q @ k.transpose(-2, -1) / 2 + mask.detach()).softmax(-1) @ v
        seen = rt.tensor([[True, False, True], [True, True, True]])
        assert rt.allclose(out[seen], usual[seen])
        for t in (q, k, v):
            t.grad = None
        out.sum().backward()
        assert all(t.grad.isfinite().all() for t in (q, k, v)) and q.grad[0, 1].eq(0).all() and q.grad[0, 0].ne(0).any()
        assert dtype == rt.bool or mask.grad.isfinite().all()
    # A score that is not a number is not hidden.
    bad = q.detach().clone()
    bad[0, 0, 0] = NAN
    assert F.scaled_dot_product_attention(bad, k, v, attn_mask=rt.ones(3, 3, dtype=rt.bool))[0, 0].isnan().all()
    wide = rt.full((2, 3, 70), -INF)
    wide[0, 0, 5] = 1.0
    for dim in (0, 1, 2):
        got = rt._ops.safe_softmax(wide, dim)
        assert got.sum() == 1 and got[0, 0, 5] == 1
    assert rt.softmax(wide, 2)[1].isnan().all()


def test_padded_samples_do_not_spoil_attention() -> None:
    rt.manual_seed(0)
    m = rt.nn.MultiheadAttention(4, 2, batch_first=True)
    x = rt.randn(2, 3, 4)
    padding = rt.zeros(2, 3)
    padding[0] = -INF
    out, _ = m(x, x, x, key_padding_mask=padding, need_weights=False)
    assert out.isfinite().all() and rt.allclose(out[0], m.out_proj.bias.expand(3, 4))
    out.sum().backward()
    assert m.in_proj_weight.grad.isfinite().all() and m.in_proj_bias.grad.isfinite().all()


def test_ctc_at_its_ends() -> None:
    probs = rt.randn(3, 1, 3, dtype=rt.float64).log_softmax(2)
    target = rt.tensor([[1, 2]])

    def loss(n: object, s: object, x: rt.Tensor = probs, **options: object) -> tuple[float, rt.Tensor]:
        x = x.clone().requires_grad_()
        r = F.ctc_loss(x, options.pop("targets", target), n, s, reduction="none", **options)
        r.sum().backward()
        return r.item(), x.grad

    value, grad = loss((0,), (0,))
    assert (value, math.copysign(1, value)) == (0.0, 1.0) and grad.eq(0).all()
    assert loss((0,), (1,))[0] == INF and loss((0,), (1,))[1].eq(0).all()
    assert loss((0,), (1,), zero_infinity=True)[0] == 0.0
    assert loss((3,), (0,))[0] == pytest.approx(-probs[:, 0, 0].sum().item())
    assert loss((1,), (1,))[0] == pytest.approx(-probs[0, 0, 1].item())
    dead = probs.clone()
    dead[1] = -INF
    value, grad = loss((3,), (1,), dead)
    assert value == INF and grad.isnan().all()
    value, grad = loss((1,), (2,))  # too short an input; what lies behind it takes no part
    assert value == INF and grad[0].isnan().all() and grad[1:].eq(0).all()
    value, grad = loss((1,), (2,), zero_infinity=True)
    assert value == 0 and grad.eq(0).all()
    value, grad = loss((3,), (1,), dead, zero_infinity=True)
    assert value == 0.0 and grad.eq(0).all()
    partly = probs.clone()
    partly[1, 0, 0] = -INF  # no blank there: 1 1 1, 0 1 1, 1 1 0, 0 1 0
    e = partly.exp()[:, 0]
    paths = (
        e[0, 1] * e[1, 1] * e[2, 1]
        + e[0, 0] * e[1, 1] * e[2, 1]
        + e[0, 1] * e[1, 1] * e[2, 0]
        + e[0, 0] * e[1, 1] * e[2, 0]
    )
    value, grad = loss((3,), (1,), partly)
    assert value == pytest.approx(-paths.log().item()) and grad.isfinite().all()
    wrong: list[tuple[object, object]] = [((-1,), (1,)), ((3,), (-1,)), ((4,), (1,)), ((3,), (3,)), ((3, 3), (1,))]
    wrong += [(rt.tensor([3.0]), (1,)), ((3,), rt.tensor([1.0])), ((2.5,), (1,)), ((True,), (1,))]
    for n, s in wrong:
        with pytest.raises((RuntimeError, TypeError), match="ctc_loss"):
            loss(n, s)
    for bad in (rt.tensor([[5, 1]]), rt.tensor([[-1, 1]]), rt.tensor([[1.0, 2.0]]), rt.tensor([1, 2, 1])):
        with pytest.raises((RuntimeError, TypeError), match="ctc_loss"):
            loss((3,), (1,), targets=bad)
    with pytest.raises(RuntimeError, match="blank"):
        loss((3,), (1,), blank=3)


def test_resize_keeps_the_order_of_memory() -> None:
    x = rt.arange(6.0).view(2, 3)
    turned = x.clone().t()
    assert turned.resize_(3, 2).tolist() == [[0, 3], [1, 4], [2, 5]] and turned.stride() == (1, 3)
    assert x.clone().t().resize_(2, 2).tolist() == [[0, 1], [2, 3]]
    assert x.clone().t().resize_(6).tolist() == [0, 1, 2, 3, 4, 5]
    assert x.clone().t().resize_(2, 5).flatten()[:6].tolist() == [0, 1, 2, 3, 4, 5]
    tail = rt.arange(6.0)[2:]
    assert tail.resize_(5)[:4].tolist() == [2, 3, 4, 5] and tail.storage_offset() == 2
    base = rt.arange(6.0)
    part = base[2:4].resize_(4)
    part[3] = 9.0
    assert base.tolist() == [0, 1, 2, 3, 4, 9]  # still its memory
    assert rt.arange(6.0).resize_(0).shape == (0,) and rt.arange(6.0).resize_(()).item() == 0
    assert x.clone().t().resize_as_(rt.zeros(3, 2)).stride() == (1, 3)
    for bad in ((-1,), (2, -3), (2**62, 8)):
        with pytest.raises((RuntimeError, MemoryError)):
            base.resize_(*bad)
    assert base.shape == (6,)
    y = rt.zeros(2)
    assert y.set_(base, 1, (2, 2), (2, 1)).tolist() == [[1, 2], [3, 4]]
    y[0, 0] = 7
    assert base[1].item() == 7 and y.set_().shape == (0,)
    for args in ((rt.arange(3),), (base, -1, (2,), (1,)), (base, 0, (2,), (1, 1))):
        with pytest.raises((RuntimeError, TypeError)):
            y.set_(*args)


def test_parameters_of_random_numbers() -> None:
    half = rt.zeros(2, dtype=rt.float16)
    wrong = {
        "normal of tensors": lambda: rt.normal(rt.zeros(2), -1.0),
        "normal of two tensors": lambda: rt.normal(rt.zeros(2), rt.tensor([1.0, NAN])),
        "normal_": lambda: half.normal_(0, -1),
        "uniform_ beyond the type": lambda: half.uniform_(0, 1e6),
        "uniform_ below it": lambda: half.uniform_(-1e6, 0),
        "uniform_ of too wide a range": lambda: half.uniform_(-65504, 65504),
        "uniform_ downwards": lambda: half.uniform_(1, 0),
        "uniform_ of nan": lambda: half.uniform_(NAN, 1),
        "exponential_": lambda: half.exponential_(0.0),
        "exponential_ negative": lambda: half.exponential_(-1.0),
        "geometric_ 0": lambda: half.geometric_(0.0),
        "geometric_ 1": lambda: half.geometric_(1.0),
        "geometric_ nan": lambda: half.geometric_(NAN),
        "cauchy_": lambda: half.cauchy_(0, 0),
        "log_normal_": lambda: half.log_normal_(0, -1),
        "bernoulli_": lambda: half.bernoulli_(1.5),
        "bernoulli": lambda: rt.bernoulli(rt.tensor([NAN])),
        "multinomial": lambda: rt.multinomial(rt.tensor([-1.0, 2.0]), 1),
        "multinomial of zeros": lambda: rt.multinomial(rt.zeros(3), 1),
        "multinomial of nan": lambda: rt.multinomial(rt.tensor([NAN, 1.0]), 1),
        "random_": lambda: rt.zeros(1, dtype=rt.uint8).random_(0, 257),
        "random_ negative": lambda: rt.zeros(1, dtype=rt.uint8).random_(-1, 2),
        "random_ of nothing": lambda: rt.zeros(1, dtype=rt.int32).random_(3, 3),
        "randint": lambda: rt.randint(0, 300, (1,), dtype=rt.uint8),
    }
    for name, call in wrong.items():
        with pytest.raises(RuntimeError):
            call()
            pytest.fail(name)
    assert half.tolist() == [0, 0]


def test_losses_of_nothing() -> None:
    none, rows, classes = rt.zeros(0), rt.zeros(0, 3), rt.zeros(0, dtype=rt.int64)
    sums = {
        "mse": lambda r: F.mse_loss(none, none, reduction=r),
        "l1": lambda r: F.l1_loss(none, none, reduction=r),
        "smooth_l1": lambda r: F.smooth_l1_loss(none, none, reduction=r),
        "huber": lambda r: F.huber_loss(none, none, reduction=r),
        "bce": lambda r: F.binary_cross_entropy(none, none, reduction=r),
        "bce_with_logits": lambda r: F.binary_cross_entropy_with_logits(none, none, reduction=r),
        "kl_div": lambda r: F.kl_div(none, none, reduction=r),
        "nll": lambda r: F.nll_loss(rows, classes, reduction=r),
        "nll of ignored": lambda r: F.nll_loss(rt.zeros(2, 3), rt.full((2,), -100), reduction=r),
        "cross_entropy": lambda r: F.cross_entropy(rows, classes, reduction=r),
        "cross_entropy of ignored": lambda r: F.cross_entropy(rt.zeros(2, 3), rt.full((2,), -100), reduction=r),
        "cross_entropy of probabilities": lambda r: F.cross_entropy(rows, rows, reduction=r),
        "cross_entropy, smoothed": lambda r: F.cross_entropy(rows, classes, reduction=r, label_smoothing=0.1),
        "hinge_embedding": lambda r: F.hinge_embedding_loss(none, none, reduction=r),
        "cosine_embedding": lambda r: F.cosine_embedding_loss(rows, rows, none, reduction=r),
        "margin_ranking": lambda r: F.margin_ranking_loss(none, none, none, reduction=r),
        "soft_margin": lambda r: F.soft_margin_loss(none, none, reduction=r),
        "multilabel_soft_margin": lambda r: F.multilabel_soft_margin_loss(rows, rows, reduction=r),
        "triplet_margin": lambda r: F.triplet_margin_loss(rows, rows, rows, reduction=r),
        "poisson_nll": lambda r: F.poisson_nll_loss(none, none, reduction=r),
        "gaussian_nll": lambda r: F.gaussian_nll_loss(none, none, none, reduction=r),
    }
    for name, loss in sums.items():
        value = loss("sum").item()
        assert (value, math.copysign(1, value)) == (0.0, 1.0), name
        assert name == "kl_div" or math.isnan(loss("mean").item()), name


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN"])
@pytest.mark.parametrize("options", [{}, {"bidirectional": True, "num_layers": 2}, {"batch_first": True}])
def test_recurrent_layers_of_an_empty_batch(kind: str, options: dict[str, object]) -> None:
    m = getattr(rt.nn, kind)(3, 4, **options)
    x = rt.zeros(*((0, 5, 3) if options.get("batch_first") else (5, 0, 3)), requires_grad=True)
    out, state = m(x)
    width = 8 if options.get("bidirectional") else 4
    assert out.shape == ((0, 5, width) if options.get("batch_first") else (5, 0, width))
    assert (state[0] if kind == "LSTM" else state).shape == ((4 if width == 8 else 1), 0, 4)
    out.sum().backward()
    assert x.grad.shape == x.shape and all(p.grad is None or p.grad.eq(0).all() for p in m.parameters())
    with pytest.raises(RuntimeError, match="sequence length"):
        getattr(rt.nn, kind)(3, 4)(rt.zeros(0, 2, 3))


def test_grid_sample_of_an_empty_batch() -> None:
    x, grid = rt.zeros(0, 2, 4, 4, requires_grad=True), rt.zeros(0, 3, 3, 2, requires_grad=True)
    for mode in ("bilinear", "nearest"):
        out = F.grid_sample(x, grid, mode=mode, align_corners=False)
        assert out.shape == (0, 2, 3, 3)
    F.grid_sample(x, grid, align_corners=False).sum().backward()
    assert x.grad.shape == x.shape and grid.grad.shape == grid.shape
    assert F.grid_sample(rt.zeros(1, 2, 4, 4), rt.zeros(1, 0, 3, 2)).shape == (1, 2, 0, 3)
    with pytest.raises(RuntimeError, match="non-empty"):
        F.grid_sample(rt.zeros(1, 2, 0, 4), rt.zeros(1, 3, 3, 2))


def test_resizing_that_keeps_the_size() -> None:
    line, plane = rt.arange(4.0).view(1, 1, 4), rt.arange(16.0).view(1, 1, 4, 4)
    for x, mode in ((plane, "nearest"), (plane, "bilinear"), (plane, "area"), (line, "linear"), (line, "area")):
        assert rt.equal(F.interpolate(x, scale_factor=1.2, mode=mode), x), mode
    assert F.interpolate(plane.byte(), scale_factor=0.5).tolist() == [[[[0, 2], [8, 10]]]]
    assert F.interpolate(plane.byte(), size=(2, 8)).tolist() == [
        [[[0, 0, 1, 1, 2, 2, 3, 3], [8, 8, 9, 9, 10, 10, 11, 11]]]
    ]
    assert F.interpolate(line.byte(), scale_factor=0.5).dtype == rt.uint8
    assert F.interpolate(plane.byte(), scale_factor=0.5, mode="bilinear").tolist() == [[[[3, 5], [11, 13]]]]
    assert F.interpolate(rt.zeros(0, 1, 4, 4), scale_factor=2).shape == (0, 1, 8, 8)
    with pytest.raises(NotImplementedError):
        F.interpolate(plane.int(), scale_factor=0.5, mode="bilinear")
    with pytest.raises(RuntimeError, match="greater than 0"):
        F.interpolate(plane, size=0)


def test_nan_among_order_statistics() -> None:
    x = rt.tensor([NAN, NAN, 1.0])
    values, places = rt.mode(x)
    assert values.isnan() and places == 1
    assert rt.mode(rt.tensor([NAN, 1.0, 1.0])).values == 1 and rt.mode(rt.tensor([NAN])).values.isnan()
    assert rt.median(x).isnan() and rt.max(x).isnan() and rt.min(x).isnan()
    assert rt.argmax(x) == 0 and rt.argmin(x) == 0 and rt.amax(x, 0).isnan() and rt.amin(x, 0).isnan()
    assert (
        rt.sort(x).values[0] == 1 and rt.sort(x, descending=True).values[2] == 1 and rt.topk(x, 2).values.isnan().all()
    )
    assert rt.kthvalue(x, 1).values == 1 and rt.kthvalue(x, 2).values.isnan()


def _under(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ, **environment}
    )


LEVELS = {"x86_64": ["portable", "avx2", "avx512"], "aarch64": ["portable", "neon"]}.get(
    platform.machine(), ["portable"]
)


def test_unknown_levels_of_simd_are_an_error() -> None:
    words = " or ".join([", ".join(LEVELS[:-1]), LEVELS[-1]] if LEVELS[1:] else LEVELS)
    for word in ("avx", "AVX2", "2", ""):
        r = _under("import rustorch as rt; print(rt.ones(2).sum())", RUSTORCH_CPU=word)
        assert r.returncode == 1 and f"RUSTORCH_CPU must be {words}, got" in r.stderr, (word, r)
    assert _under("import rustorch as rt; print(rt.ones(2).sum())", RUSTORCH_CPU="portable").returncode == 0


_BITS = """
import hashlib, rustorch as rt
rt.manual_seed(0)
x = rt.randn(37, 1031)
outs = [x.exp(), x.sin(), x.tanh(), x.erf(), x.abs().log(), x.sum(0), x.sum(1), x.sum(), x.mean(1), x.std(0), x.std(1),
        x.norm(), x.softmax(1), x.softmax(0), x.logsumexp(1), x.cumsum(1), x.sort(1).values, x.half().float(),
        x.double().exp(), x.double().cos(), rt.nn.functional.layer_norm(x, (1031,)), rt.nn.functional.gelu(x), x % 0.3]
products = [x @ x.t(), rt.nn.functional.conv2d(x[:32, :1024].reshape(2, 4, 64, 64), x[:8, :36].reshape(8, 4, 3, 3))]
for part in (outs, products):
    print(hashlib.sha256(b"".join(bytes(t.numpy().tobytes()) for t in part)).hexdigest())
"""


def test_bits_of_one_level_do_not_depend_on_threads_and_elementwise_ones_not_on_the_level() -> None:
    bits = {}
    for level in LEVELS:
        for threads in ("1", "3"):
            r = _under(_BITS, RUSTORCH_CPU=level, RUSTORCH_NUM_THREADS=threads)
            assert r.returncode == 0, r.stderr
            bits[level, threads] = r.stdout.split()
        assert bits[level, "1"] == bits[level, "3"], level
    assert len({b[0] for b in bits.values()}) == 1


@pytest.mark.parametrize("d", [rt.float32, rt.float64])
def test_sums_of_many_numbers_keep_their_digits(d: rt.dtype) -> None:
    n = 16 * 1024 * 1024
    x = rt.full((n,), 0.1, dtype=d)
    one = x[0].item()  # what 0.1 is in this type
    # Equal numbers are the worst case, as all roundings go one way. A lane adds up 16 numbers in float32 before float64
    # takes over: two units in the last place. (Lanes in float64 would be exact, at half the width; norm has them.)
    assert x.sum().item() == pytest.approx(n * one, rel=2e-7)
    assert x.mean().item() == pytest.approx(one, rel=2e-7)
    assert x.norm().item() == pytest.approx(math.sqrt(n) * one, rel=2e-7)
    assert x.norm(1).item() == pytest.approx(n * one, rel=2e-7)
    assert x.view(-1, 16).sum(0).tolist() == pytest.approx([n / 16 * one] * 16, rel=2e-7)
    assert x.view(16, -1).sum(1).tolist() == pytest.approx([n / 16 * one] * 16, rel=2e-7)
    # Numbers of all sizes: the neighbour of the exact sum.
    some = rt.rand(1 << 20, dtype=d, generator=rt.Generator().manual_seed(1))
    values = some.tolist()
    assert some.sum().item() == pytest.approx(math.fsum(values), rel=6e-8)
    assert some.norm().item() == pytest.approx(math.sqrt(math.fsum(v * v for v in values)), rel=6e-8)
    assert x.var().item() == pytest.approx(0, abs=1e-14)
    x[::2] = -0.1
    assert abs(x.sum().item()) < 1e-6 and x.std().item() == pytest.approx(one, rel=1e-6)


def test_membership_beside_nan() -> None:
    x = rt.tensor([NAN, 1.0, 2.0])
    assert rt.isin(x, rt.tensor([NAN, 1.0, -3.0])).tolist() == [False, True, False]
    assert rt.isin(x, rt.tensor([NAN, 1.0]), invert=True).tolist() == [True, False, True]
    edges = rt.tensor([0.0, 1.0, NAN])
    # As in PyTorch an edge that is no number is below everything that comes to it.
    assert rt.searchsorted(edges, rt.tensor([1.0, 0.5, INF])).tolist() == [1, 1, 3]
    assert rt.searchsorted(edges, rt.tensor([1.0, NAN, INF]), right=True).tolist() == [3, 3, 3]
    assert rt.bucketize(rt.tensor([NAN, INF, -INF]), rt.tensor([0.0, 1.0])).tolist() == [2, 2, 0]


def test_powers_of_two_reach_every_number() -> None:
    x, e = rt.tensor([1e-30, 1e30, 0.0, 1.0, -3.0]), rt.tensor([200.0, -200.0, 1000.0, -149.0, 2.0])
    assert rt.ldexp(x, e).tolist() == pytest.approx(
        [math.ldexp(a, int(b)) for a, b in zip(x.tolist(), e.tolist())], rel=1e-6
    )
    assert rt.ldexp(rt.tensor([1.0]), rt.tensor([INF])).item() == INF and rt.ldexp(rt.ones(1), rt.tensor([-INF])) == 0


def test_results_beyond_half_floats_are_infinite() -> None:
    a, b = rt.tensor([300.0], dtype=rt.float16), rt.tensor([-300.0], dtype=rt.float16)
    assert F.mse_loss(a, b).item() == INF and F.cross_entropy(a.view(1, 1) * 200, rt.tensor([0])).item() == 0
    assert rt.ones(70000, dtype=rt.float16).sum().item() == INF


def test_attention_without_features() -> None:
    q, v = rt.zeros(1, 2, 0), rt.tensor([[[1.0], [3.0]]])
    assert F.scaled_dot_product_attention(q, q, v).tolist() == [[[2.0], [2.0]]]


@pytest.mark.parametrize("d", [rt.float32, rt.float64])
@pytest.mark.parametrize("p", [100.0, 127.5, 1000.0, 2.0**31, 1e300])
@pytest.mark.parametrize("sign", [1, -1])
def test_norms_of_high_powers(d: rt.dtype, p: float, sign: int) -> None:
    """Of the largest number (of negative powers, the smallest) there is as good as nothing beside it."""
    x = rt.tensor([[30.0, 4.0, 20.0], [0.003, 5e-4, 0.002]], dtype=d)
    want = [30.0, 0.003] if sign > 0 else [4.0, 5e-4]
    assert rt.linalg.vector_norm(x, sign * p, dim=1).tolist() == pytest.approx(want, rel=1e-6)
    assert rt.linalg.vector_norm(x.T, sign * p, dim=0).tolist() == pytest.approx(want, rel=1e-6)
    if sign > 0:
        assert rt.dist(x[0], rt.zeros(3, dtype=d), p).item() == pytest.approx(30.0, rel=1e-6)
        assert rt.cdist(x[:1], rt.zeros(1, 3, dtype=d), p).item() == pytest.approx(30.0, rel=1e-6)
        assert F.normalize(x, p, dim=1).max().item() == pytest.approx(1.0, rel=1e-6)
        same = rt.full((4,), 3.0, dtype=d)
        assert rt.linalg.vector_norm(same, p).item() == pytest.approx(3.0 * 4.0 ** (1 / p), rel=1e-6)
    else:
        assert rt.linalg.vector_norm(rt.tensor([0.0, 3.0], dtype=d), -p).item() == 0.0


@pytest.mark.parametrize("name", ["sum", "prod"])
def test_reductions_to_truth_values(name: str) -> None:
    """Each number is a truth value first; fractions are not cut off."""
    x = rt.tensor([[0.3, 0.2, -0.4], [0.0, 0.5, 0.1]])
    reduce = getattr(rt, name)
    truth = x.ne(0)
    want = truth.any(1) if name == "sum" else truth.all(1)
    assert reduce(x, 1, dtype=rt.bool).tolist() == want.tolist()
    assert reduce(x, dtype=rt.bool).item() == (name == "sum")


# ---- every digit: references of 60 decimal digits, from exponentials, logarithms and series ----

_DIGITS = decimal.Context(prec=60, Emin=-(10**8), Emax=10**8)
Dec = decimal.Decimal


def _atan(x: Dec) -> Dec:
    if x < 0:
        return -_atan(-x)
    if x > 1:
        return PI / 2 - _atan(1 / x)
    halvings = 0
    while x > Dec("0.05"):
        x, halvings = x / (1 + (1 + x * x).sqrt()), halvings + 1
    return 2**halvings * sum(((-1) ** k * x ** (2 * k + 1) / (2 * k + 1) for k in range(24)), Dec(0))


def _sin_cos(x: Dec) -> tuple[Dec, Dec]:
    turns = int((x / (PI / 2)).to_integral_value())
    x -= turns * PI / 2
    s, c, term = Dec(0), Dec(0), Dec(1)
    for k in range(0, 48, 2):
        c, s = c + term, s + term * x / (k + 1)
        term *= -x * x / ((k + 1) * (k + 2))
    return [(s, c), (c, -s), (-s, -c), (-c, s)][turns % 4]


def _erf(x: Dec) -> Dec:
    with decimal.localcontext(_DIGITS) as context:
        context.prec = 90  # the terms of the series are as large as e^(x²)
        term = total = x
        k = 0
        while abs(term) > abs(total) * Dec("1e-50"):
            k += 1
            term *= -x * x / k
            total += term / (2 * k + 1)
        return 2 * total / PI.sqrt()


def _digamma(x: Dec) -> Dec:
    total = Dec(0)
    while x < 40:
        total, x = total - 1 / x, x + 1
    b = ["1/12", "-1/120", "1/252", "-1/240", "1/132", "-691/32760", "1/12", "-3617/8160", "43867/14364"]
    series = sum((Dec(int(n)) / int(m) / x ** (2 * k + 2) for k, (n, m) in enumerate(s.split("/") for s in b)), Dec(0))
    return total + x.ln() - 1 / (2 * x) - series


def _lgamma(x: Dec) -> Dec:
    product = Dec(1)
    while x < 40:
        product, x = product * x, x + 1
    b = ["1/12", "-1/360", "1/1260", "-1/1680", "1/1188", "-691/360360", "1/156", "-3617/122400", "43867/244188"]
    series = sum((Dec(int(n)) / int(m) / x ** (2 * k + 1) for k, (n, m) in enumerate(s.split("/") for s in b)), Dec(0))
    return -product.ln() + (x - Dec("0.5")) * x.ln() - x + (2 * PI).ln() / 2 + series


with decimal.localcontext(_DIGITS):
    PI = 16 * sum((Dec((-1) ** k) / (2 * k + 1) / 5 ** (2 * k + 1) for k in range(44)), Dec(0)) - 4 * sum(
        (Dec((-1) ** k) / (2 * k + 1) / 239 ** (2 * k + 1) for k in range(14)), Dec(0)
    )
    LN2, LN10 = Dec(2).ln(), Dec(10).ln()


def _sigmoid(x: Dec) -> Dec:
    return 1 / (1 + (-x).exp())


# Function, the kind of its arguments, and how many units in the last place it may be off, in float64 and in float32.
DIGITS: dict[str, tuple[Callable[[Dec], Dec], str, float, float]] = {
    "exp": (lambda x: x.exp(), "any", 1.1, 1.1),
    "exp2": (lambda x: (x * LN2).exp(), "any", 1.2, 1.0),
    "expm1": (lambda x: x.exp() - 1, "any", 1.6, 1.6),
    "log": (lambda x: x.ln(), "positive", 1.0, 1.0),
    "log2": (lambda x: x.ln() / LN2, "positive", 1.2, 0.51),
    "log10": (lambda x: x.ln() / LN10, "positive", 1.6, 0.51),
    "log1p": (lambda x: (1 + x).ln(), "above -1", 1.2, 1.5),
    "sqrt": (lambda x: x.sqrt(), "positive", 0.5, 0.5),
    "rsqrt": (lambda x: 1 / x.sqrt(), "positive", 1.5, 1.5),
    "sin": (lambda x: _sin_cos(x)[0], "any", 0.8, 0.51),
    "cos": (lambda x: _sin_cos(x)[1], "any", 0.8, 0.51),
    "tan": (lambda x: _sin_cos(x)[0] / _sin_cos(x)[1], "any", 1.8, 0.51),
    "asin": (lambda x: _atan(x / (1 - x * x).sqrt()), "unit", 2.0, 0.51),
    "acos": (lambda x: PI / 2 - _atan(x / (1 - x * x).sqrt()), "unit", 2.0, 0.51),
    "atan": (_atan, "any", 1.6, 0.51),
    "sinh": (lambda x: (x.exp() - (-x).exp()) / 2, "any", 2.0, 0.51),
    "cosh": (lambda x: (x.exp() + (-x).exp()) / 2, "any", 1.5, 0.51),
    "tanh": (lambda x: 1 - 2 / ((2 * x).exp() + 1), "any", 2.2, 1.5),
    "asinh": (lambda x: (abs(x) + (x * x + 1).sqrt()).ln().copy_sign(x), "any", 2.0, 0.51),
    "acosh": (lambda x: (x + (x * x - 1).sqrt()).ln(), "above 1", 2.2, 0.51),
    "atanh": (lambda x: ((1 + x) / (1 - x)).ln() / 2, "unit", 2.0, 0.51),
    "erf": (_erf, "small", 1.2, 1.2),
    "erfc": (lambda x: 1 - _erf(x), "small", 3.0, 0.51),
    "sinc": (lambda x: _sin_cos(PI * x)[0] / (PI * x), "fraction", 2.2, 2.0),
    "lgamma": (_lgamma, "gamma", 2.0, 1.5),
    "digamma": (_digamma, "gamma", 12.0, 0.6),
    "sigmoid": (_sigmoid, "any", 2.0, 2.0),
    "silu": (lambda x: x * _sigmoid(x), "any", 3.5, 3.5),
    "mish": (lambda x: x * (1 - 2 / ((1 + x.exp()) ** 2 + 1)), "any", 4.0, 4.0),
    "softplus": (lambda x: (1 + x.exp()).ln() if x <= 20 else x, "any", 1.6, 1.8),
    "logsigmoid": (lambda x: -(1 + (-x).exp()).ln(), "any", 2.0, 1.6),
    "softsign": (lambda x: x / (1 + abs(x)), "any", 1.6, 1.6),
}


def _arguments(name: str, kind: str) -> list[float]:
    """Of all sizes, and on both sides of where a formula may give way to another."""
    rng = random.Random(name)
    v = [rng.uniform(1, 2) * 2.0 ** rng.randint(*r) for _ in range(60) for r in ((-30, 6), (-6, 3))]
    v += [10.0**-k * f for k in (17, 9, 8, 7, 6, 5, 4, 3, 2) for f in (0.5, 0.9, 1.1)]
    v += [e * f for e in (0.25, 0.5, 1, 2, 4, 8, 0.75, 0.85, 1.5, 20, 22) for f in (1, 1 - 2**-20, 1 + 2**-20)]
    v += [e * f for e in (2**0.5, 2**-0.5, math.log(2) / 2, math.tan(math.pi / 8)) for f in (0.999, 1.001)]
    inside = [x if x < 1 else 1 - x / 256 for x in v if x < 200 and x != 1]
    return {
        "positive": v + [rng.uniform(1, 2) * 2.0 ** rng.randint(-120, 120) for _ in range(60)],
        "above 1": [1 + x for x in v if x > 1e-5],
        "above -1": v + [-x for x in inside],
        "unit": inside + [-x for x in inside],
        "small": [s * x for x in v if x < 5 for s in (1, -1)],
        "gamma": [x for x in v if 1e-3 < x < 60 and min(abs(x - r) for r in (1, 1.4616, 2)) > 0.05],
        "fraction": [s * x for x in v if x < 30 and abs(x - round(x)) > 1e-3 * x for s in (1, -1)],
        "any": [s * x for x in v if x < 80 for s in (1, -1)],
    }[kind]


def _spacing(v: Dec, d: rt.dtype) -> float:
    return math.ulp(float(v)) if d is rt.float64 else 2.0 ** max(math.frexp(float(v))[1] - 24, -149)


def _off(got: float, want: Dec, d: rt.dtype) -> float:
    """How far apart the two are, in units in the last place."""
    return abs(float((Dec(got) - want) / Dec(_spacing(want, d))))


@pytest.mark.parametrize("name", DIGITS)
def test_functions_are_right_to_the_last_digits(name: str) -> None:
    f, kind, *limits = DIGITS[name]
    with decimal.localcontext(_DIGITS):
        for d, limit in zip((rt.float64, rt.float32), limits):
            x = rt.tensor(_arguments(name, kind), dtype=d)
            if kind == "unit":
                x = x[x.abs() < 1]
            got = getattr(_ops, name)(x).tolist()
            worst = max((_off(y, f(Dec(v)), d), v) for v, y in zip(x.tolist(), got))
            assert worst[0] <= limit, f"{name} of {d}: {worst[0]} units at {worst[1]}"


def test_inverse_of_erf_is_right_to_the_last_digits() -> None:
    """Each value is what erf leads back from; all along, and close to where one formula gives way to another."""
    rng = random.Random(2)
    some = [rng.uniform(-1, 1) for _ in range(60)] + [1 - 2.0**-k for k in range(1, 24)]
    some += [0.5 + 0.01 * k for k in range(45)] + [0.99 + 0.0002 * k for k in range(50)]
    with decimal.localcontext(_DIGITS):
        for d, limit in ((rt.float64, 3.0), (rt.float32, 0.6)):
            x = rt.tensor(some, dtype=d)
            x = x[x.abs() < 1]
            for v, y in zip(x.tolist(), _ops.erfinv(x).tolist()):
                step = (_erf(Dec(y)) - Dec(v)) * PI.sqrt() / 2 * (Dec(y) * Dec(y)).exp()
                assert abs(float(step / Dec(_spacing(Dec(y), d)))) <= limit, f"erfinv({v}) of {d} is {y}"
    for low, high in ((0.4999, 0.5001), (0.699, 0.701), (0.9955, 0.9975), (0.9998, 0.9999)):
        x = rt.linspace(low, high, 8000)
        exact = _ops.erfinv(x.double())
        off = (_ops.erfinv(x).double() - exact).abs() / rt.exp2(exact.log2().floor() - 23)
        assert off.max().item() <= 0.528, (low, off.max())


PAIRS: dict[str, tuple[Callable[[Dec, Dec], Dec], float, float]] = {
    "atan2": (lambda y, x: _atan(y / x) + (PI.copy_sign(y) if x < 0 else 0), 2.0, 0.51),
    "hypot": (lambda x, y: (x * x + y * y).sqrt(), 1.5, 0.51),
    "logaddexp": (lambda x, y: max(x, y) + (1 + (-abs(x - y)).exp()).ln(), 2.2, 2.2),
    "logaddexp2": (lambda x, y: max(x, y) + (1 + (-abs(x - y) * LN2).exp()).ln() / LN2, 2.6, 2.6),
    "pow": (lambda x, y: abs(x) ** y, 1.0, 0.6),
    "xlogy": (lambda x, y: x * abs(y).ln(), 1.6, 1.6),
}


@pytest.mark.parametrize("name", PAIRS)
def test_functions_of_two_numbers_are_right_to_the_last_digits(name: str) -> None:
    f, *limits = PAIRS[name]
    rng = random.Random(name)
    draw = lambda: rng.uniform(1, 2) * 2.0 ** rng.randint(-9, 4) * rng.choice((-1, 1))  # noqa: E731
    both = [(draw(), draw()) for _ in range(200)]
    both += [(a, a * b) for a, _ in both[:40] for b in (1, 1 + 2**-12, -1, 2)]
    with decimal.localcontext(_DIGITS):
        for d, limit in zip((rt.float64, rt.float32), limits):
            x, y = rt.tensor(both, dtype=d).unbind(1)
            x, y = (x.abs() if name == "pow" else x, y.abs() if name == "xlogy" else y)
            got = getattr(_ops, name)(x, y).tolist()
            for a, b, v in zip(x.tolist(), y.tolist(), got):
                want = f(Dec(a), Dec(b))
                if name == "pow" and abs(want.adjusted()) > 30:
                    continue
                # Where two terms cancel, what counts is the larger one.
                size = max(abs(want), abs(Dec(a)), abs(Dec(b))) if name.startswith("logaddexp") else want
                assert abs(float((Dec(v) - want) / Dec(_spacing(size, d)))) <= limit, (
                    f"{name}({a}, {b}) of {d}: {v} for {want}"
                )


def test_logarithms_inside_of_other_functions_are_right_to_the_last_digits() -> None:
    rng = random.Random(5)
    with decimal.localcontext(_DIGITS):
        for d, near in ((rt.float64, 4e-16), (rt.float32, 2.4e-7)):
            for n in (2, 7, 40):
                x = rt.tensor([rng.gauss(0, 3) for _ in range(n)], dtype=d)
                v = [Dec(a) for a in x.tolist()]
                total = sum((a.exp() for a in v), Dec(0)).ln()
                size = float(max(abs(a) for a in (*v, total)))
                for got in (x.logsumexp(0), x.view(-1, 1).expand(n, 20).logsumexp(0)[3], x.logcumsumexp(0)[-1]):
                    assert abs(got.item() - float(total)) <= 2 * near * size
                for got in (x.log_softmax(0), x.view(-1, 1).expand(n, 20).contiguous().log_softmax(0)[:, 3]):
                    assert got.tolist() == pytest.approx([float(a - total) for a in v], rel=0, abs=2 * near * size)
                loss = F.cross_entropy(x.view(1, -1), rt.tensor([n - 1])).item()
                assert abs(loss - float(total - v[-1])) <= 2 * near * size
            p = rt.tensor([rng.uniform(0.01, 0.99) for _ in range(50)], dtype=d)
            t = rt.tensor([rng.uniform(0, 1) for _ in range(50)], dtype=d)
            q, r = [Dec(a) for a in p.tolist()], [Dec(a) for a in t.tolist()]
            want = [float(-(b * a.ln() + (1 - b) * (1 - a).ln())) for a, b in zip(q, r)]
            assert F.binary_cross_entropy(p, t, reduction="none").tolist() == pytest.approx(want, rel=4 * near)
            want = [float((1 + a.exp()).ln() - b * a) for a, b in zip(q, r)]
            assert F.binary_cross_entropy_with_logits(p, t, reduction="none").tolist() == pytest.approx(
                want, rel=4 * near
            )
            want = [float((a / (1 - a)).ln()) for a in q]
            assert p.logit().tolist() == pytest.approx(want, rel=2 * near, abs=2 * near)
            want = [float(b * (b.ln() - a)) for a, b in zip(q, r)]
            assert F.kl_div(p, t, reduction="none").tolist() == pytest.approx(want, rel=8 * near, abs=near)
            half = Dec(2).sqrt()
            want = [float(a * (1 + _erf(a / half)) / 2) for a in q]
            assert F.gelu(p).tolist() == pytest.approx(want, rel=4 * near)
            # Gradients with the logarithm of a plain number.
            x = (4 * p).detach().requires_grad_()
            for base in (2.0, 10.0, 0.3, 1.0001):
                (slope,) = rt.autograd.grad((base**x).sum(), x)
                want = [float(Dec(base).ln() * (Dec(a) * Dec(base).ln()).exp()) for a in x.tolist()]
                assert slope.tolist() == pytest.approx(want, rel=6 * near), (d, base)


def test_powers_between_whole_exponents() -> None:
    for base in (2, 3, 5, 7, 10, -2, -3):
        for d in (rt.uint8, rt.int8, rt.int16, rt.int32, rt.int64):
            info = rt.iinfo(d)
            last = max(k for k in range(63) if all(info.min <= base**i <= info.max for i in range(k + 1)))
            if base > 0 or d is not rt.uint8:
                assert rt.logspace(0, last, last + 1, base=base, dtype=d).tolist() == [base**k for k in range(last + 1)]
                assert rt.logspace(last, 0, last + 1, base=base, dtype=d).tolist() == [
                    base**k for k in range(last, -1, -1)
                ]
                assert rt.logspace(last, last, 1, base=base, dtype=d).tolist() == [base**last]
        for d in (rt.float32, rt.float64):
            got = rt.logspace(-9, 9, 19, base=base, dtype=d).tolist()
            want = rt.tensor([float(base) ** k for k in range(-9, 10)], dtype=d).tolist()
            assert got == pytest.approx(want, rel=2e-16 if d is rt.float64 else 1e-7)
            assert got[9] == 1 and got[10] == base and rt.logspace(3, 3, 1, base=base, dtype=d).item() == base**3
    assert rt.logspace(0, 3, 7, base=4, dtype=rt.int64).tolist() == [1, 2, 4, 8, 16, 32, 64]
    assert rt.logspace(-2, 2, 5, base=2, dtype=rt.float64).tolist() == [0.25, 0.5, 1, 2, 4]


def _wrapped(v: int) -> int:
    """As int64 holds it."""
    return (v + 2**63) % 2**64 - 2**63


@pytest.mark.parametrize("d", [rt.uint8, rt.int8, rt.int16, rt.int32, rt.int64])
def test_shifts_by_any_count(d: rt.dtype) -> None:
    """They are made in int64 and then cut; by less than nothing, or more bits than there are, only the sign is left."""
    info = rt.iinfo(d)
    values = sorted(
        {info.min, info.min + 1, info.min // 3, -2, -1, 0, 1, 2, 100, info.max // 3, info.max - 1, info.max}
    )
    values = [v for v in values if info.min <= v <= info.max]
    counts = [c for c in (*range(-3, 70), 100, 127, 128, 255, 1000, 2**31, info.max) if info.min <= c <= info.max]
    pairs = [(v, c) for v in values for c in counts]
    x, y = rt.tensor(pairs, dtype=rt.int64).to(d).unbind(1)
    right = [v >> c if 0 <= c < 64 else -1 if v < 0 else 0 for v, c in pairs]
    left = rt.tensor([_wrapped(v << c) if 0 <= c < 64 else 0 for v, c in pairs])
    for got in (x >> y, x.clone().bitwise_right_shift_(y)):
        assert got.dtype is d and got.tolist() == right
    for got in (x << y, x.clone().bitwise_left_shift_(y)):
        assert got.dtype is d and rt.equal(got, left.to(d))


def test_powers_of_ones_and_of_whole_numbers() -> None:
    for d in (rt.int8, rt.int16, rt.int32, rt.int64):
        e = rt.tensor([-5, -4, -3, -2, -1, 0, 1, 2, 3], dtype=d)
        for base in (-3, -2, -1, 0, 1, 2, 3):
            want = [int(base**k) if k >= 0 else int(base) ** (k % 2) if base in (-1, 1) else 0 for k in range(-5, 4)]
            assert rt.full((9,), base, dtype=d).pow(e).tolist() == want, (d, base)
            assert rt.full((9,), base, dtype=d).pow_(e).tolist() == want, (d, base)
    assert rt.tensor([3, -3]).pow(rt.tensor([41, 41])).tolist() == [_wrapped(3**41), _wrapped(-(3**41))]


def test_variances_of_fewer_numbers_than_are_taken_off() -> None:
    x = rt.tensor([[1.0, 2.0, 4.0], [3.0, 3.0, 3.0]])
    for correction in (3, 4, 5, 100):
        for t in (x[0], x[0].view(3, 1).expand(3, 300).contiguous()):
            for f in (rt.var, rt.std):
                assert f(t, 0, correction=correction).eq(INF).all(), (f, correction)
            spread, mean = rt.var_mean(t, 0, correction=correction)
            assert spread.eq(INF).all() and mean.mean().item() == pytest.approx(7 / 3)
        assert x[1].var(correction=correction).isnan() and x[1].std(correction=correction).isnan()
    assert x[0].var(correction=2).item() == pytest.approx(14 / 3) and rt.ones(1).var().isnan()


@pytest.mark.parametrize("d", [rt.float16, rt.bfloat16, rt.float32, rt.float64])
def test_zeros_of_both_signs_are_equal(d: rt.dtype) -> None:
    """Wherever elements are put into an order, the first of equals stays the first."""
    for n in (4, 40, 1500):
        x = rt.zeros(n, dtype=d)
        x[::2] = -0.0
        x[n // 2] = 1
        rest = [i for i in range(n) if i != n // 2]
        for stable in (True, False):
            values, order = x.sort(stable=stable)
            assert order.tolist() == [*rest, n // 2], (n, stable)
            assert rt.equal(values.signbit(), x[order].signbit())
            assert x.sort(descending=True, stable=stable)[1].tolist() == [n // 2, *rest]
        assert x.topk(3)[1].tolist() == [n // 2, *rest[:2]] and x.topk(2, largest=False)[1].tolist() == rest[:2]
        assert x.kthvalue(2)[1].item() == rest[1] and x.median(0)[1].item() == rest[(n - 1) // 2]
        assert x.unique().tolist() == [0, 1] and x.unique(return_counts=True)[1].tolist() == [n - 1, 1]
        assert x.unique_consecutive().numel() == 3 and x.mode()[0].item() == 0
        assert x.argmin().item() == 0 and x.min(0)[1].item() == 0 and (-x).argmax().item() == 0
        assert rt.searchsorted(rt.zeros(3, dtype=d), rt.tensor([-0.0], dtype=d)).item() == 0


def test_windows_that_see_nothing() -> None:
    """Their largest element is -inf, stands nowhere, and gets no gradient."""
    x = rt.tensor([[[3.0]]], requires_grad=True)
    value, place = F.max_pool1d(x, 2, 1, 1, 2, return_indices=True)
    assert value.tolist() == [[[-INF]]] and place.tolist() == [[[-1]]]
    value.sum().backward()
    assert x.grad.tolist() == [[[0.0]]]
    y = rt.tensor([[[[3.0, 1.0], [2.0, 7.0]]]], requires_grad=True)
    value, place = F.max_pool2d(y, (1, 2), 1, (0, 1), (1, 3), return_indices=True)
    assert value.flatten().tolist() == [-INF, -INF] and place.flatten().tolist() == [-1, -1]
    value.sum().backward()
    assert not y.grad.any() and F.max_pool2d(y, (1, 2), 1, (0, 1), (1, 3)).flatten().tolist() == [-INF, -INF]
    value, place = F.max_pool2d(y, (2, 1), 1, (1, 0), (3, 1), return_indices=True)
    assert value.flatten().tolist() == [-INF, -INF] and place.flatten().tolist() == [-1, -1]


@pytest.mark.parametrize("d", [rt.float16, rt.bfloat16, rt.float32, rt.float64])
def test_draws_without_replacement_follow_the_stream(d: rt.dtype) -> None:
    """The largest quotients of weights and exponential numbers, each rounded as the dtype wants."""
    w = rt.rand(60, generator=rt.Generator().manual_seed(1), dtype=rt.float64).add(0.1).to(d)
    for seed in range(60):
        u = rt.rand(60, generator=rt.Generator().manual_seed(seed), dtype=rt.float64)
        e = -(-u).log1p()
        q = w / e.to(d) if d is rt.float64 else (w.float() / e.float().to(d).float()).to(d)
        order = sorted(range(60), key=lambda i: -q[i].item())  # the first of equals first
        for n in (1, 2, 30, 60):
            assert rt.multinomial(w, n, generator=rt.Generator().manual_seed(seed)).tolist() == order[:n], (seed, n)


@pytest.mark.parametrize("d", [rt.float32, rt.float64])
def test_angles_of_zeros_and_infinities(d: rt.dtype) -> None:
    """Each with its sign, as C has it; in float32 the neighbour of what C gives."""
    values = [0.0, -0.0, INF, -INF, NAN, 1.0, -1.0, 0.25, -3.0, 1e-30, -1e-30, 1e30, -1e30]
    pairs = [(a, b) for a in values for b in values]
    x, y = rt.tensor(pairs, dtype=d).unbind(1)
    for f, op in ((math.atan2, rt.atan2), (math.hypot, rt.hypot), (math.copysign, rt.copysign)):
        want = rt.tensor([f(a, b) for a, b in pairs], dtype=rt.float64).to(d)
        for got in (op(x, y), *(op(a.view(()), b.view(1)) for a, b in ((x[5], y[18]),))):
            if got.numel() == 1:
                continue
            assert rt.allclose(got, want, rtol=4 * rt.finfo(d).eps, atol=0, equal_nan=True), f
            real = ~want.isnan()
            assert rt.equal(got[real].signbit(), want[real].signbit()), f
    # Odd functions keep the sign of a zero, and of what is too small for a formula.
    tiny = rt.tensor([0.0, -0.0, rt.finfo(d).tiny, -rt.finfo(d).tiny], dtype=d)
    for name in """sin tan asin atan sinh tanh asinh atanh expm1 log1p sqrt erf erfinv sign trunc round floor_divide
        neg square softsign tanhshrink relu6 deg2rad rad2deg""".split():
        if name in ("floor_divide", "square", "sqrt", "neg", "relu6", "tanhshrink", "sign"):
            continue
        got = getattr(_ops, name)(tiny)
        assert got.signbit().tolist() == [False, True, False, True], name
        if name not in ("trunc", "round", "erf", "erfinv", "deg2rad", "rad2deg"):
            assert rt.equal(got, tiny), name
    zero = rt.tensor([-0.0], dtype=d)
    assert (-tiny).signbit().tolist() == [True, False, True, False] and rt.sqrt(zero).signbit().item()
    for a, b in ((-0.0, 3.0), (0.0, -3.0), (0.0, 3.0), (-0.0, -3.0), (0.0, INF), (-0.0, INF), (0.0, -INF)):
        quotient = rt.tensor([a], dtype=d).floor_divide(rt.tensor([b], dtype=d))
        assert quotient.item() == 0 and quotient.signbit().item() == (math.copysign(1, a) != math.copysign(1, b)), (
            a,
            b,
        )


def test_windows_to_the_last_digits() -> None:
    """Of signals: sums of cosines, and Bessel functions by their series."""

    def bessel(x: float) -> float:
        return math.fsum((x / 2) ** (2 * k) / math.factorial(k) ** 2 for k in range(60))

    for n in (1, 2, 3, 8, 33):
        for periodic in (True, False):
            last = max(n if periodic else n - 1, 1)
            at = [i / last for i in range(n)]
            shapes = {
                "hann": [0.5 - 0.5 * math.cos(2 * math.pi * x) for x in at],
                "hamming": [0.54 - 0.46 * math.cos(2 * math.pi * x) for x in at],
                "blackman": [0.42 - 0.5 * math.cos(2 * math.pi * x) + 0.08 * math.cos(4 * math.pi * x) for x in at],
                "bartlett": [1 - abs(2 * x - 1) for x in at],
            }
            for name, want in shapes.items():
                got = getattr(rt, name + "_window")(n, periodic, dtype=rt.float64).tolist()
                assert got == pytest.approx(want if n > 1 else [1.0], rel=1e-15, abs=1e-16), (name, n, periodic)
            for beta in (0.0, 1.0, 5.0, 12.0, 20.0):
                want = [bessel(beta * math.sqrt(max(0.0, 1 - (2 * x - 1) ** 2))) / bessel(beta) for x in at]
                got = rt.kaiser_window(n, periodic, beta, dtype=rt.float64).tolist()
                assert got == pytest.approx(want if n > 1 else [1.0], rel=2e-15), (n, periodic, beta)


def test_targets_that_are_smoothed_altogether() -> None:
    x = rt.tensor([[0.5, -1.0, 2.0], [0.0, 3.0, 1.0]], dtype=rt.float64)
    even = -x.log_softmax(1).mean(1)
    for smoothing in (0.0, 0.3, 1.0):
        for target in (rt.tensor([2, 0]), rt.tensor([[0.0, 0, 1], [1, 0, 0]], dtype=rt.float64)):
            own = -x.log_softmax(1)[[0, 1], [2, 0]]
            got = F.cross_entropy(x, target, label_smoothing=smoothing, reduction="none")
            assert rt.allclose(got, (1 - smoothing) * own + smoothing * even, 1e-14, 1e-14)


def test_functions_at_their_thresholds() -> None:
    """On which side the point itself lies, for values and slopes."""
    e = math.exp
    cases: list[tuple[Callable[[rt.Tensor], rt.Tensor], float, float, float]] = [
        (lambda x: F.softplus(x, 2, 1), 0.5, math.log1p(e(1)) / 2, e(1) / (1 + e(1))),
        (lambda x: F.softplus(x, 4, 2), 0.5, math.log1p(e(2)) / 4, e(2) / (1 + e(2))),
        (lambda x: F.softplus(x, 2, 1), 0.75, 0.75, 1),
        (lambda x: F.softplus(x), 20.0, 20 + math.log1p(e(-20)), 1 / (1 + e(-20))),
        (lambda x: F.softplus(x), 20.5, 20.5, 1),
        (lambda x: F.hardshrink(x, 0.25), 0.25, 0, 0),
        (lambda x: F.hardshrink(x, 0.25), -0.25, 0, 0),
        (lambda x: F.softshrink(x, 0.25), 0.25, 0, 0),
        (lambda x: F.softshrink(x, 0.25), -0.25, 0, 0),
        (lambda x: F.threshold(x, 0.25, 7.0), 0.25, 7, 0),
        (lambda x: F.hardtanh(x, -0.5, 0.25), 0.25, 0.25, 0),
        (lambda x: F.hardtanh(x, -0.5, 0.25), -0.5, -0.5, 0),
        (lambda x: F.relu6(x), 6.0, 6, 0),
        (lambda x: F.hardsigmoid(x), 3.0, 1, 0),
        (lambda x: F.hardswish(x), -3.0, 0, 0),
        (lambda x: F.elu(x, 0.5), 0.0, 0, 0.5),
        (lambda x: F.celu(x, 0.5), 0.0, 0, 1),
        (lambda x: F.leaky_relu(x, 0.5), 0.0, 0, 0.5),
        (lambda x: F.smooth_l1_loss(x, rt.zeros(1, dtype=rt.float64), beta=0.5), 0.5, 0.25, 1),
        (lambda x: F.huber_loss(x, rt.zeros(1, dtype=rt.float64), delta=0.5), 0.5, 0.125, 0.5),
        (lambda x: F.huber_loss(x, rt.zeros(1, dtype=rt.float64), delta=0.5), -0.5, 0.125, -0.5),
        (lambda x: x.clamp(-0.5, 0.25), 0.25, 0.25, 1),
        (lambda x: x.clamp(-0.5, 0.25), -0.5, -0.5, 1),
    ]
    for f, at, value, slope in cases:
        x = rt.tensor([at], dtype=rt.float64, requires_grad=True)
        y = f(x)
        y.sum().backward()
        assert (y.item(), x.grad.item()) == pytest.approx((value, slope), rel=1e-15, abs=1e-16), (at, value)


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
@pytest.mark.parametrize("odd", [0.0, NAN, INF, 1e200, 1e-200])
def test_slices_beside_an_odd_one_in_any_order_of_memory(order: tuple[int, ...], odd: float) -> None:
    """Where one slice wants another scale, the others keep theirs."""
    x = rt.tensor([[[1.0, 9], [2, 7], [5, 4]], [[1, 2], [3, 6], [4, 8]]], dtype=rt.float64)
    x[1, 2] = odd
    y = x.permute(order).contiguous().permute([order.index(i) for i in range(3)])
    assert y.equal(x) or math.isnan(odd)
    for f in (
        lambda t: t.std(2), lambda t: t.var(2), lambda t: rt.var_mean(t, 2)[1],
        lambda t: rt.std_mean(t, (2,), keepdim=True)[0],
        lambda t: t.norm(dim=2), lambda t: t.norm(3, dim=2), lambda t: rt.linalg.vector_norm(t, 0.5, dim=0),
        lambda t: F.normalize(t, dim=2), lambda t: t.float().norm(3, dim=2), lambda t: t.unsqueeze(3).norm(3, dim=3),
    ):  # fmt: skip
        assert f(y).reshape(-1).tolist() == near_all(f(x).reshape(-1).tolist())
    pairs = x[0].tolist()
    assert y.var(2)[0].tolist() == near_all([(a - b) ** 2 / 2 for a, b in pairs])
    assert y.norm(3, dim=2)[0].tolist() == near_all([(a**3 + b**3) ** (1 / 3) for a, b in pairs])


def near_all(values: list[float]) -> object:
    return pytest.approx(values, rel=1e-12, nan_ok=True)
