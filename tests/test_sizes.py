"""Loops of every length and layout against NumPy: the ends of vectors, chunks and tiles, and the edges of blocks."""

from __future__ import annotations

import itertools
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import rustorch as rt
import rustorch.nn.functional as F

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Each of many parts, whose sizes have a product that no shape could have.
PARTS: list[tuple[int, Any]] = [(256, 8), (1000, 1), (2000, [2] * 1000), (128, [1] * 64 + [0] * 20 + [64])]


@pytest.mark.parametrize(("n", "parts"), PARTS)
def test_many_parts(n: int, parts: Any) -> None:
    x = rt.arange(n)
    sizes = parts if isinstance(parts, list) else [parts] * (n // parts)
    assert [p.tolist() for p in x.split(parts)] == [p.tolist() for p in np.split(np.arange(n), np.cumsum(sizes)[:-1])]
    assert rt.cat(x.split(parts)).equal(x)
    assert [len(p) for p in x.chunk(n // 2)] == [2] * (n // 2)
    assert [len(p) for p in x.tensor_split(n // 2)] == [2] * (n // 2)


@pytest.mark.parametrize("kind", [rt.nn.RNN, rt.nn.LSTM, rt.nn.GRU])
def test_long_sequences(kind: Any) -> None:
    """The last step of many is that of the same cell, fed with what came before."""
    rt.manual_seed(0)
    net, x = kind(3, 4, bidirectional=True), rt.randn(100, 64, 3)
    whole, _ = net(x)
    assert whole.shape == (100, 64, 8)
    _, state = net(x[:50])
    forward = tuple(s[:1] for s in state) if isinstance(state, tuple) else state[:1]
    one_way = kind(3, 4)
    one_way.load_state_dict({k: v for k, v in net.state_dict().items() if "reverse" not in k})
    rest, _ = one_way(x[50:], forward)
    assert (rest - whole[50:, :, :4]).abs().max().item() < 1e-6


HOLLOW, NONE = rt.empty(2**20, 2**20, 0), rt.zeros(0, dtype=rt.int64)
# Without elements there is no work, however large the other sizes.
EMPTY: dict[str, Any] = {
    "index_select": lambda: HOLLOW.transpose(0, 1).index_select(2, NONE),
    "index": lambda: HOLLOW.transpose(0, 1)[..., NONE],
    "index_add": lambda: HOLLOW.transpose(0, 1).index_add(2, NONE, HOLLOW),
    "pad": lambda: F.pad(rt.empty(0, 2**40), (1, 1)),
    "pad by reflection": lambda: F.pad(rt.empty(0, 1, 2**40), (1, 1), mode="reflect"),
    "interpolate": lambda: F.interpolate(rt.empty(0, 1, 4, 4), size=(2**30, 2**30)),
    "bilinear": lambda: F.interpolate(rt.empty(0, 1, 4, 4), size=(2**30, 2**30), mode="bilinear"),
    "adaptive_avg_pool2d": lambda: F.adaptive_avg_pool2d(rt.empty(0, 1, 4, 4), (2**30, 2**30)),
    "adaptive_max_pool2d": lambda: F.adaptive_max_pool2d(rt.empty(0, 1, 4, 4), (2**30, 2**30)),
    "max_pool2d": lambda: F.max_pool2d(rt.empty(0, 1, 2**40, 4), 2),
    "avg_pool1d": lambda: F.avg_pool1d(rt.empty(0, 1, 2**40), 2),
    "unfold": lambda: F.unfold(rt.empty(0, 1, 2**40, 1), 1),
    "attention": lambda: F.scaled_dot_product_attention(
        rt.empty(0, 2**30, 1), rt.empty(0, 2**30, 1), rt.empty(0, 2**30, 1), is_causal=True),
    "topk": lambda: rt.empty(0, 2**40).topk(3, 1)[0],
    "kthvalue": lambda: rt.empty(0, 2**40).kthvalue(1, 1)[0],
}  # fmt: skip


@pytest.mark.parametrize("what", EMPTY)
def test_work_follows_elements_not_sizes(what: str) -> None:
    start = time.process_time()
    assert EMPTY[what]().numel() == 0
    assert time.process_time() - start < 0.5


# Around lanes, chunks, strips and blocks, and where one way gives place to another.
SIZES = [
    1,
    2,
    3,
    7,
    8,
    9,
    15,
    16,
    17,
    31,
    33,
    63,
    64,
    65,
    127,
    129,
    255,
    256,
    257,
    511,
    513,
    1023,
    1024,
    1025,
    2500,
    8191,
    8193,
    20001,
]
RNG = np.random.default_rng(3)


def numbers(n: int) -> Any:
    """Distinct ones, with a fraction that no half float holds exactly."""
    return RNG.permutation(n) / 8.0 - n / 20.0 + 0.015625


def layouts(a: Any) -> Iterator[tuple[str, rt.Tensor]]:
    """The numbers of a 1-d array as tensors that lie differently in memory."""
    t = rt.from_numpy(a.copy())
    yield "dense", t
    gaps = rt.full((3 * len(a) + 1,), 1e6, dtype=t.dtype)
    gaps[1::3] = t
    yield "gaps", gaps[1::3]
    column = rt.full((len(a), 2), 1e6, dtype=t.dtype)
    column[:, 1] = t
    yield "column", column[:, 1]


def close(got: rt.Tensor, want: Any, what: str) -> None:
    np.testing.assert_allclose(got.to(rt.float64).numpy(), np.asarray(want, float), 1e-9, 1e-9, err_msg=what)


def pairs(got: Any, want: Any) -> list[tuple[Any, Any]]:
    return list(zip(got, want)) if isinstance(got, (tuple, list)) else [(got, want)]


def softmax(a: Any) -> Any:
    e = np.exp(a - a.max())
    return e / e.sum()


def order(a: Any) -> Any:
    i = np.argsort(a, kind="stable")
    return a[i], i


def best(a: Any, k: int) -> Any:
    i = np.argsort(-a, kind="stable")[:k]
    return a[i], i


# Of one row.
ROWS: dict[str, tuple[Callable[[rt.Tensor], Any], Callable[[Any], Any]]] = {
    "sum": (lambda t: t.sum(-1), np.sum),
    "mean": (lambda t: t.mean(-1), np.mean),
    "var": (lambda t: t.var(-1, correction=0), np.var),
    "norm": (lambda t: t.norm(2, -1), np.linalg.norm),
    "norm of order 3": (lambda t: t.norm(3, -1), lambda a: np.linalg.norm(a, 3)),
    "largest": (lambda t: tuple(t.max(-1)), lambda a: (a.max(), a.argmax())),
    "smallest": (lambda t: tuple(t.min(-1)), lambda a: (a.min(), a.argmin())),
    "argmax": (lambda t: t.argmax(-1), np.argmax),
    "logsumexp": (lambda t: (t / 1000).logsumexp(-1), lambda a: np.logaddexp.reduce(a / 1000)),
    "prod": (lambda t: (1 + t / 1e6).prod(-1), lambda a: np.prod(1 + a / 1e6)),
    "positive": (lambda t: (t > 0).sum(-1), lambda a: (a > 0).sum()),
    "any": (lambda t: (t == t.max()).any(-1), lambda a: True),
    "all": (lambda t: (t < t.max()).all(-1), lambda a: False),
    "cumsum": (lambda t: t.cumsum(-1), np.cumsum),
    "cummax": (lambda t: t.cummax(-1)[0], np.maximum.accumulate),
    "softmax": (lambda t: (t / 1000).softmax(-1), lambda a: softmax(a / 1000)),
    "log_softmax": (lambda t: (t / 1000).log_softmax(-1), lambda a: np.log(softmax(a / 1000))),
    "sort": (lambda t: tuple(t.sort(-1)), order),
    "topk": (lambda t: tuple(t.topk(min(3, t.shape[-1]), -1)), lambda a: best(a, 3)),
    "median": (lambda t: t.median(-1)[0], lambda a: np.sort(a)[(len(a) - 1) // 2]),
    "flip": (lambda t: t.flip(-1), np.flip),
    "roll": (lambda t: t.roll(2, -1), lambda a: np.roll(a, 2)),
    "exp": (lambda t: (t / 1000).exp(), lambda a: np.exp(a / 1000)),
    "add": (lambda t: t + t.flip(-1), lambda a: a + a[::-1]),
    "compare": (lambda t: t > t.flip(-1), lambda a: a > a[::-1]),
    "where": (lambda t: rt.where(t > 0, t, -t), np.abs),
    "where true": (lambda t: t[t > 0], lambda a: a[a > 0]),
    "masked_fill": (lambda t: t.masked_fill(t > 0, 1.5), lambda a: np.where(a > 0, 1.5, a)),
    "nonzero": (lambda t: (t > 0).nonzero().squeeze(-1), lambda a: np.flatnonzero(a > 0)),
    "index": (lambda t: t[rt.arange(t.shape[-1] - 1, -1, -1)], np.flip),
    "to float32": (lambda t: t.float(), lambda a: a.astype(np.float32)),
    "to int32 and back": (lambda t: t.to(rt.int32), np.trunc),
    "unique": (lambda t: t.floor().unique(), lambda a: np.unique(np.floor(a))),
    "layer_norm": (lambda t: F.layer_norm(t, (t.shape[-1],)), lambda a: (a - a.mean()) / np.sqrt(a.var() + 1e-5)),
    "mse": (lambda t: F.mse_loss(t, t.flip(-1)), lambda a: ((a - a[::-1]) ** 2).mean()),
    "dot": (lambda t: t.dot(t.flip(-1)), lambda a: a @ a[::-1]),
    "angles": (lambda t: (t * 2.0**40).sin(), lambda a: np.sin(a * 2.0**40)),
    "searched": (lambda t: rt.searchsorted(t.sort()[0].contiguous(), t), lambda a: np.argsort(np.argsort(a))),
    "quantile": (lambda t: t.quantile(0.3), lambda a: np.quantile(a, 0.3)),
    "histc": (lambda t: t.histc(5), lambda a: np.histogram(a, 5)[0] if len(a) > 1 else [0, 0, 1, 0, 0]),
}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_every_length(name: str) -> None:
    ours, reference = ROWS[name]
    for n in SIZES:
        a = numbers(n)
        want = reference(a)
        for layout, t in layouts(a):
            for got, w in pairs(ours(t), want):
                close(got, w, f"{name} of {n}, {layout}")
    # Whole numbers and half floats go through the buffers of casts.
    for d in (rt.int32, rt.float16, rt.bfloat16):
        if name in (
            "sum",
            "largest",
            "positive",
            "cummax",
            "add",
            "compare",
            "flip",
            "sort",
            "topk",
            "masked_fill",
            "median",
        ):
            for n in (1, 9, 65, 257, 300, 1025, 8200):
                a = RNG.permutation(n) % 97 - 48.0
                if name == "sum" and d is not rt.int32:
                    a = np.sign(a)
                want = reference(a)
                for layout, t in layouts(a):
                    for got, w in pairs(
                        ours(t.to(d)), np.asarray(want, dtype=object) if isinstance(want, tuple) else want
                    ):
                        if name == "masked_fill" and d is rt.int32:
                            continue
                        np.testing.assert_array_equal(
                            got.to(rt.float64).numpy(), np.asarray(w, float), f"{name} of {n} {d}, {layout}"
                        )


# Of the columns of a matrix: along dimension 0.
COLUMNS: dict[str, tuple[Callable[[rt.Tensor], Any], Callable[[Any], Any]]] = {
    "sum": (lambda t: t.sum(0), lambda a: a.sum(0)),
    "var": (lambda t: t.var(0, correction=0), lambda a: a.var(0)),
    "largest": (lambda t: tuple(t.max(0)), lambda a: (a.max(0), a.argmax(0))),
    "smallest": (lambda t: t.min(0)[1], lambda a: a.argmin(0)),
    "logsumexp": (lambda t: (t / 1000).logsumexp(0), lambda a: np.logaddexp.reduce(a / 1000, 0)),
    "cumsum": (lambda t: t.cumsum(0), lambda a: a.cumsum(0)),
    "cumsum backward": (lambda t: rt._ops.cumsum_from_end(t, 0), lambda a: a[::-1].cumsum(0)[::-1]),
    "softmax": (lambda t: (t / 1000).softmax(0), lambda a: np.exp(a / 1000) / np.exp(a / 1000).sum(0)),
    "sort": (lambda t: t.sort(0)[1], lambda a: a.argsort(0, kind="stable")),
    "turned": (lambda t: t.t().contiguous(), lambda a: a.T),
    "turned sum": (lambda t: t + t.t().contiguous().t(), lambda a: a + a),
    "plus a row": (lambda t: t + t[0], lambda a: a + a[0]),
    "plus a column": (lambda t: t + t[:, :1], lambda a: a + a[:, :1]),
    "as float32, plus a row": (lambda t: t + t[0].float(), lambda a: a + a[0].astype(np.float32)),
    "triangle": (lambda t: t.tril(1), lambda a: np.tril(a, 1)),
    "padded": (lambda t: F.pad(t, (1, 2, 3, 0)), lambda a: np.pad(a, ((3, 0), (1, 2)))),
    "repeated": (lambda t: t.repeat(2, 3), lambda a: np.tile(a, (2, 3))),
    "rows": (lambda t: t[rt.arange(t.shape[0] - 1, -1, -1)], lambda a: a[::-1]),
    "joined": (lambda t: rt.cat([t, t], 1), lambda a: np.concatenate([a, a], 1)),
    "whole": (lambda t: t.argmax(), lambda a: a.argmax()),
    "norms of rows": (
        lambda t: F.layer_norm(t, t.shape[1:], eps=1.0),
        lambda a: (a - a.mean(1, keepdims=True)) / np.sqrt(a.var(1, keepdims=True) + 1),
    ),
}
SHAPES = [
    (1, 9),
    (3, 5),
    (9, 8),
    (17, 20),
    (20, 64),
    (65, 3),
    (128, 65),
    (129, 257),
    (300, 33),
    (1100, 10),
    (5, 700),
    (2600, 9),
]


@pytest.mark.parametrize("name", COLUMNS)
def test_columns_of_every_length(name: str) -> None:
    ours, reference = COLUMNS[name]
    for m, n in SHAPES:
        a = numbers(m * n).reshape(m, n)
        want = reference(a)
        t = rt.from_numpy(a)
        wide = rt.zeros(m, 2 * n + 1, dtype=rt.float64)
        wide[:, 1::2] = t
        for layout, x in (("dense", t), ("turned", t.t().contiguous().t()), ("gaps", wide[:, 1::2])):
            for got, w in pairs(ours(x), want):
                close(got, w, f"{name} of {m} x {n}, {layout}")


def test_columns_of_every_height() -> None:
    """Whole numbers, added up exactly, in strips of every width around the one that columns are taken in."""
    for w in (1, 3, 255, 256, 257, 300, 513):
        a = RNG.integers(-50, 50, (40, w))
        for n in (*range(1, 36), 40):
            for d in (rt.float32, rt.float64, rt.int64, rt.int8):
                t = rt.from_numpy(a[:n].copy()).to(d)
                np.testing.assert_array_equal(t.sum(0).numpy(), a[:n].sum(0), f"{n} x {w} of {d}")
                if d is rt.float32:
                    np.testing.assert_array_equal(t.abs().norm(1, 0).numpy(), np.abs(a[:n]).sum(0), f"{n} x {w}")
                    np.testing.assert_array_equal(t.amax(0).numpy(), a[:n].max(0), f"{n} x {w}")
            rest = np.abs(a[:n]).sum(0)
            np.testing.assert_array_equal((t != 0).sum(0).numpy(), (a[:n] != 0).sum(0), f"{n} x {w}")
            np.testing.assert_array_equal(rt.from_numpy(np.abs(a[:n]).astype(np.uint8)).sum(0).numpy(), rest)


def test_variances_of_numbers_that_grow() -> None:
    """What is joined from blocks of different means."""
    for n in (5, 300, 1025, 2500, 9000, 70_000):
        a = np.arange(n) * 3.0 - n
        want = (n * n - 1) / 12 * 9
        for d in (rt.float32, rt.float64):
            near = 2e-6 if d is rt.float32 else 1e-12
            t = rt.from_numpy(a).to(d)
            for x, dims in ((t, 0), (t.view(-1, 1).expand(n, 3).contiguous(), 0), (t.view(5, -1), (0, 1))):
                if x.numel() not in (n, 3 * n):
                    continue
                got = x.var(dims, correction=0)
                np.testing.assert_allclose(got.numpy(), np.full(got.shape, want), near)


def test_a_reduction_over_several_dimensions() -> None:
    for shape, dims in (
        ((40, 3, 50), (0, 2)),
        ((3, 40, 5, 60), (1, 3)),
        ((9, 2, 9000), (0, 2)),
        ((2, 3000, 3), (0, 1)),
        ((130, 4, 33), (0, 1)),
    ):
        a = numbers(int(np.prod(shape))).reshape(shape)
        for t in (rt.from_numpy(a), rt.from_numpy(np.ascontiguousarray(a.T)).permute(*range(len(shape) - 1, -1, -1))):
            close(t.sum(dims), a.sum(dims), f"sum of {shape} over {dims}")
            close(t.var(dims, correction=0), a.var(dims), f"var of {shape} over {dims}")
            close(t.amax(dims), a.max(dims), f"amax of {shape} over {dims}")
            assert t.argmax().item() == a.argmax() and t.argmin().item() == a.argmin()


def test_the_first_of_equals_and_any_nan_are_found_anywhere() -> None:
    for n in (5, 40, 300, 1025, 8193, 20001):
        for at, again in ((0, n - 1), (n // 2, n - 1), (n - 1, n - 1)):
            a = np.zeros(n)
            a[at] = a[again] = 3.0
            for layout, t in layouts(a):
                assert t.argmax().item() == at and (-t).argmin().item() == at and t.max(0)[1].item() == at, (
                    n,
                    at,
                    layout,
                )
                assert t.view(-1, 1).expand(n, 9).contiguous().argmax(0).tolist() == [at] * 9
            a[again] = np.nan
            for layout, t in layouts(a):
                for got in (
                    t.max(),
                    t.min(),
                    t.amax(0),
                    t.amin(0),
                    t.sum(),
                    t.aminmax()[0],
                    t.sort()[0][-1],
                    t.topk(1)[0][0],
                ):
                    assert got.isnan(), (n, again, layout)
                assert t.argmax().item() == t.argmin().item() == again
                assert t.unique()[-1].isnan() and rt.nansum(t).item() == (0.0 if at == again else 3.0)


# m, n, k: each way through the products of matrices, and one more and less than its tiles and blocks.
PRODUCTS = [
    (1, 1, 1), (1, 1, 700), (1, 1, 37), (1, 130, 200), (1, 1100, 19), (150, 1, 37), (1, 33, 9), (2, 21, 300),
    (3, 22, 301), (5, 7, 64), (6, 64, 33), (7, 65, 34), (9, 35, 90),
    (12, 33, 1), (13, 31, 5), (50, 70, 20), (97, 101, 33), (100, 24, 410), (110, 100, 390), (31, 17, 129),
    (64, 64, 64), (200, 130, 400),
]  # fmt: skip


@pytest.mark.parametrize("dtype", [rt.float64, rt.float32, rt.int64, rt.int16])
def test_products_of_matrices(dtype: rt.dtype) -> None:
    whole = not dtype.is_floating_point
    for m, n, k in PRODUCTS:
        a, b, c = (RNG.integers(-4, 5, s) if whole else RNG.standard_normal(s) for s in ((m, k), (k, n), (m, n)))
        x, y, z = (rt.from_numpy(np.asarray(v)).to(dtype) for v in (a, b, c))
        tolerance = 0 if whole else 1e-12 if dtype is rt.float64 else 1e-4
        near = dict(rtol=tolerance, atol=tolerance * max(1, k) ** 0.5, err_msg=f"{m} x {n} x {k}")
        for left in (x, x.t().contiguous().t()):
            for right in (y, y.t().contiguous().t()):
                np.testing.assert_allclose((left @ right).numpy(), a @ b, **near)
        np.testing.assert_allclose(rt.addmm(z, x, y, beta=3, alpha=-2).numpy(), 3 * c - 2 * (a @ b), **near)
        # Into memory that lies by columns, and with gaps.
        for into in (z.t().contiguous().clone().t(), rt.zeros(2 * m, 3 * n, dtype=dtype)[::2, 1::3]):
            into.copy_(z)
            np.testing.assert_allclose(into.addmm_(x, y, beta=3, alpha=-2).numpy(), 3 * c - 2 * (a @ b), **near)
        np.testing.assert_allclose((x @ y[:, 0]).numpy(), a @ b[:, 0], **near)
        np.testing.assert_allclose((x[0] @ y).numpy(), a[0] @ b, **near)
        many = x.expand(3, m, k) @ rt.stack([y, y + 1, y + 2])
        np.testing.assert_allclose(many.numpy(), a @ np.stack([b, b + 1, b + 2]), **near)


def test_choices_of_many_rows_and_elements() -> None:
    """What threads share: each begins in the middle."""
    for n, w in ((200_000, 1), (30_000, 7), (3, 90_000)):
        a = np.arange(n * w).reshape(n, w)
        order = RNG.permutation(n)
        for d in (rt.int32, rt.float64, rt.uint8):
            t, want = rt.from_numpy(a).to(d), rt.from_numpy(a[order]).to(d)
            i = rt.from_numpy(order)
            assert rt.equal(t.index_select(0, i), want) and rt.equal(t[i], want)
            assert rt.equal(t.t()[:, i], want.t()) and rt.equal(t.view(1, n, w).expand(3, n, w)[:, i][2], want)
            if w == 1:
                assert rt.equal(t.flatten().take(i), want.flatten()) and rt.equal(
                    t.flatten().gather(0, i), want.flatten()
                )
            into = rt.zeros_like(t)
            assert rt.equal(into.index_copy(0, i, t)[i], t) and rt.equal(into.index_add(0, i, t)[i], t)
    table, many = rt.rand(100, 40), rt.from_numpy(RNG.integers(0, 100, 20_000))
    assert rt.equal(F.embedding(many, table), rt.from_numpy(table.numpy()[many.numpy()]))


def test_products_of_whole_numbers_that_are_very_deep() -> None:
    """Those are added up in pieces: what is there before counts once."""
    k, n, d = 66_001, 256, rt.int8
    a, b, c = RNG.integers(-3, 4, (1, k)), RNG.integers(-3, 4, (k, n)), RNG.integers(0, 9, (1, n))
    x, y, z = (rt.from_numpy(v).to(d) for v in (a, b, c))
    sums = (a.astype(np.float32) @ b.astype(np.float32)).astype(np.int64)
    assert rt.equal(rt.addmm(z, x, y, beta=3, alpha=2), rt.from_numpy(3 * c + 2 * sums).to(d))


def test_factors_of_products_of_whole_numbers() -> None:
    """Of the whole range of each type, wrapping around as the sums do."""
    a, b, c = RNG.integers(-9, 10, (4, 5)), RNG.integers(-9, 10, (5, 3)), RNG.integers(-9, 10, (4, 3))
    for d in (rt.uint8, rt.int8, rt.int16, rt.int32, rt.int64):
        info, x, y, z = rt.iinfo(d), *(rt.from_numpy(v).to(d) for v in (a, b, c))
        u, v, w = (t.to(rt.int64).numpy().astype(object) for t in (x, y, z))
        factors = [info.min, info.max, info.max // 3 + 1, 1, 0, 2] + ([-1, -2] if info.min else [])
        for beta in factors:
            for alpha in factors:
                want = beta * w + alpha * (u @ v)
                want = rt.tensor(((want + 2**63) % 2**64 - 2**63).astype(np.int64).tolist()).to(d)
                assert rt.equal(rt.addmm(z, x, y, beta=beta, alpha=alpha), want), (d, beta, alpha)
                assert rt.equal(rt.addmv(z[:, 0], x, y[:, 0], beta=beta, alpha=alpha), want[:, 0]), (d, beta, alpha)
                got = rt.baddbmm(z[None], x[None], y[None], beta=beta, alpha=alpha)
                assert rt.equal(got, want[None]), (d, beta, alpha)


def unfolded(x: Any, k: int, s: int, p: int) -> Any:
    v = np.lib.stride_tricks.sliding_window_view(np.pad(x, ((0, 0), (0, 0), (p, p), (p, p))), (k, k), (2, 3))
    return v[:, :, ::s, ::s]


# batch, channels, height, width, output channels, kernel, stride, padding, groups
IMAGES = [
    (1, 1, 5, 5, 1, 3, 1, 1, 1), (3, 2, 6, 5, 4, 3, 1, 1, 1), (17, 2, 4, 4, 3, 2, 1, 0, 1),
    (2, 3, 20, 21, 2, 3, 1, 1, 1), (2, 3, 40, 90, 2, 3, 2, 0, 1), (1, 6, 70, 70, 3, 5, 1, 2, 1),
    (2, 3, 20, 21, 4, 1, 1, 0, 1), (9, 3, 4, 4, 4, 1, 1, 0, 1), (2, 4, 9, 50, 8, 3, 1, 1, 4),
    (2, 4, 9, 50, 4, 3, 3, 1, 4), (1, 4, 9, 9, 6, 3, 2, 1, 2), (10, 2, 12, 12, 2, 3, 1, 1, 1),
    (1, 24, 60, 40, 3, 3, 1, 1, 1),
]  # fmt: skip


@pytest.mark.parametrize("image", IMAGES)
def test_convolutions_and_their_gradients(image: tuple[int, ...]) -> None:
    batch, c, h, w, o, k, s, p, groups = image
    x, weight, bias = (
        RNG.standard_normal((batch, c, h, w)),
        RNG.standard_normal((o, c // groups, k, k)),
        RNG.standard_normal(o),
    )
    views = unfolded(x, k, s, p)
    cg, og = c // groups, o // groups
    parts = [(slice(g * cg, (g + 1) * cg), slice(g * og, (g + 1) * og)) for g in range(groups)]
    y = np.concatenate(
        [np.tensordot(views[:, ci], weight[oi], ((1, 4, 5), (1, 2, 3))).transpose(0, 3, 1, 2) for ci, oi in parts], 1
    )
    y = y + bias.reshape(-1, 1, 1)
    tx, tw, tb = (rt.from_numpy(a).requires_grad_() for a in (x, weight, bias))
    out = F.conv2d(tx, tw, tb, s, p, 1, groups)
    close(out.detach(), y, "values")
    g = RNG.standard_normal(y.shape)
    out.backward(rt.from_numpy(g))
    close(tb.grad, g.sum((0, 2, 3)), "bias")
    close(
        tw.grad,
        np.concatenate([np.tensordot(g[:, oi], views[:, ci], ((0, 2, 3), (0, 2, 3))) for ci, oi in parts]),
        "weight",
    )
    padded = np.zeros((batch, c, h + 2 * p, w + 2 * p))
    rows, columns = y.shape[2:]
    for i in range(k):
        for j in range(k):
            for ci, oi in parts:
                padded[:, ci, i : i + s * rows : s, j : j + s * columns : s] += np.einsum(
                    "bohw,oc->bchw", g[:, oi], weight[oi, :, i, j]
                )
    close(tx.grad, padded[:, :, p : p + h, p : p + w], "input")


# batch, channels, output channels, kernel, stride, dilation, padding, groups
LINES = [
    (1, 1, 1, 3, 1, 1, 1, 1), (3, 2, 3, 3, 1, 1, 0, 1), (2, 3, 2, 2, 2, 1, 0, 1), (2, 2, 2, 3, 3, 1, 2, 1),
    (1, 2, 4, 3, 1, 2, 2, 2), (2, 3, 3, 3, 1, 1, 1, 3), (2, 3, 6, 2, 2, 1, 1, 3), (3, 2, 3, 1, 1, 1, 0, 1),
    (2, 2, 2, 2, 4, 3, 1, 1), (17, 2, 3, 3, 1, 1, 1, 1),
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
def test_convolutions_of_every_width(line: tuple[int, ...]) -> None:
    """Whole numbers, which every order of adding gives exactly; each column counts, also one alone at the end."""
    batch, c, o, k, s, dilation, p, groups = line
    reach = dilation * (k - 1) + 1
    for w in range(max(1, reach - 2 * p, reach + s - 2 * p), 52):
        x, weight = RNG.integers(-4, 5, (batch, c, w)), RNG.integers(-4, 5, (o, c // groups, k))
        bias = RNG.integers(-9, 10, o)
        padded = np.pad(x, ((0, 0), (0, 0), (p, p)))
        views = np.lib.stride_tricks.sliding_window_view(padded, reach, 2)[:, :, ::s, ::dilation]
        n, cg, og = views.shape[2], c // groups, o // groups
        g = RNG.integers(-4, 5, (batch, o, n))
        parts = [(slice(i * cg, (i + 1) * cg), slice(i * og, (i + 1) * og)) for i in range(groups)]
        y = np.concatenate([np.einsum("bcnk,ock->bon", views[:, ci], weight[oi]) for ci, oi in parts], 1)
        gw = np.concatenate([np.einsum("bcnk,bon->ock", views[:, ci], g[:, oi]) for ci, oi in parts])
        gx = np.zeros_like(padded)
        for j in range(k):
            for ci, oi in parts:
                gx[:, ci, j * dilation : j * dilation + s * (n - 1) + 1 : s] += np.einsum(
                    "bon,oc->bcn", g[:, oi], weight[oi, :, j]
                )
        gx = gx[:, :, p : p + w]
        for d in (rt.float32, rt.float64):
            tx, tw, tb = (rt.from_numpy(a).to(d).requires_grad_() for a in (x, weight, bias))
            out = F.conv1d(tx, tw, tb, s, p, dilation, groups)
            np.testing.assert_array_equal(out.detach().numpy(), y + bias[:, None], f"width {w}")
            np.testing.assert_array_equal(F.conv1d(tx, tw, None, s, p, dilation, groups).detach().numpy(), y)
            out.backward(rt.from_numpy(g).to(d))
            np.testing.assert_array_equal(tw.grad.numpy(), gw, f"weight, width {w}")
            np.testing.assert_array_equal(tb.grad.numpy(), g.sum((0, 2)), f"bias, width {w}")
            np.testing.assert_array_equal(tx.grad.numpy(), gx, f"input, width {w}")
        np.testing.assert_array_equal(
            F.conv1d(rt.from_numpy(x), rt.from_numpy(weight), rt.from_numpy(bias), s, p, dilation, groups).numpy(),
            y + bias[:, None],
        )
        # The transposed one is the gradient, and more columns of nothing but bias behind it.
        tg, tw = rt.from_numpy(g).float(), rt.from_numpy(weight).float()
        turned = F.conv_transpose1d(tg, tw, None, s, p, 0, groups, dilation)
        np.testing.assert_array_equal(turned.numpy(), gx[:, :, : turned.shape[2]], f"turned, width {w}")


def test_gradients_of_norms_with_many_rows() -> None:
    for rows, n in ((3, 5), (16, 33), (17, 7), (40, 64), (300, 9)):
        a, w, g = RNG.standard_normal((rows, n)), RNG.standard_normal(n), RNG.standard_normal((rows, n))
        x, weight, bias = (rt.from_numpy(v).requires_grad_() for v in (a, w, np.zeros(n)))
        F.layer_norm(x, (n,), weight, bias, 0.1).backward(rt.from_numpy(g))
        std = np.sqrt(a.var(1, keepdims=True) + 0.1)
        unit = (a - a.mean(1, keepdims=True)) / std
        close(weight.grad, (g * unit).sum(0), f"weight, {rows} rows")
        close(bias.grad, g.sum(0), f"bias, {rows} rows")
        slope = g * w
        close(
            x.grad,
            (slope - slope.mean(1, keepdims=True) - unit * (slope * unit).mean(1, keepdims=True)) / std,
            f"input, {rows} rows",
        )


def test_losses_of_many_classes_and_elements() -> None:
    for n, c in ((1, 1), (3, 15), (3, 16), (3, 17), (5, 33), (2, 300)):
        a, t = 5 * RNG.standard_normal((n, c)), RNG.integers(0, c, n)
        # Also where the largest one stands last.
        a[0, -1] = 800.0
        x = rt.from_numpy(a).requires_grad_()
        loss = F.cross_entropy(x, rt.from_numpy(t), reduction="none")
        logs = a - a.max(1, keepdims=True)
        logs = logs - np.log(np.exp(logs).sum(1, keepdims=True))
        close(loss.detach(), -logs[np.arange(n), t], f"{n} x {c}")
        loss.sum().backward()
        close(x.grad, np.exp(logs) - np.eye(c)[t], f"gradient, {n} x {c}")


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Adagrad"])
def test_steps_of_every_length_and_layout(name: str) -> None:
    """What an optimizer does to an element does not depend on its place."""
    options: dict[str, dict[str, Any]] = {
        "SGD": dict(lr=0.1, momentum=0.9), "Adam": dict(lr=0.1, amsgrad=True),
        "RMSprop": dict(lr=0.1, centered=True, momentum=0.5), "Adagrad": dict(lr=0.1),
    }  # fmt: skip
    for n in (1, 31, 32, 33, 64, 100, 1025):
        a, grads = RNG.standard_normal(n), RNG.standard_normal((3, n))
        start = rt.from_numpy(a)
        gaps = rt.zeros(2 * n, dtype=rt.float64)
        gaps[::2] = start
        whole, spaced = start.clone().requires_grad_(), gaps[::2].detach().requires_grad_()
        alone = [start[k : k + 1].clone().requires_grad_() for k in range(0, n, 7)]
        step = getattr(rt.optim, name)([whole, spaced, *alone], **options[name])
        for g in grads:
            for p, values in ((whole, g), (spaced, g), *((p, g[7 * k : 7 * k + 1]) for k, p in enumerate(alone))):
                p.grad = rt.from_numpy(values.copy())
            step.step()
        assert not rt.equal(whole.detach(), start)
        close(spaced.detach(), whole.detach().numpy(), f"{name} of {n}, gaps")
        close(rt.cat([p.detach() for p in alone]), whole.detach()[::7].numpy(), f"{name} of {n}, one by one")


@pytest.mark.filterwarnings("ignore:Casting complex values to real")
def test_casts_between_all_dtypes_at_every_length() -> None:
    small = RNG.integers(0, 100, 2500)
    for source in rt.dtypes.ALL:
        for target in rt.dtypes.ALL:
            want = (small != 0 if rt.bool in (source, target) else small).astype(float)
            for n in (1, 7, 255, 256, 257, 300, 2500):
                for layout, t in layouts(small[:n]):
                    got = t.to(source).to(target)
                    assert got.dtype is target
                    np.testing.assert_array_equal(
                        got.to(rt.float64).numpy(), want[:n], f"{source} to {target}, {n}, {layout}"
                    )
            spread = rt.tensor(3).to(source).expand(400).to(target)
            assert spread.to(rt.float64).eq(1.0 if rt.bool in (source, target) else 3.0).all()


def test_lists_of_nothing_keep_their_nesting() -> None:
    for shape in [s for n in (1, 2, 3) for s in itertools.product((0, 1, 2, 3), repeat=n) if 0 in s]:
        for dtype in (rt.float32, rt.int64, rt.bool):
            assert rt.zeros(shape, dtype=dtype).tolist() == np.zeros(shape).tolist()
