"""Matrix factorisations by what they promise, for shapes, dtypes, batches, views and elements of every sort."""

from __future__ import annotations

import itertools
import threading
import time
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import errors

SHAPES = [(1, 1), (1, 5), (5, 1), (2, 2), (3, 2), (2, 3), (4, 4), (7, 5), (5, 7), (17, 17), (40, 3), (3, 40), (65, 64),
          (64, 130), (150, 140), (200, 30)]  # fmt: skip
DTYPES = [rt.float32, rt.float64]


def spread(a: np.ndarray, how: str, dtype: Any) -> rt.Tensor:
    """The matrices of `a` in memory in several ways."""
    t = rt.tensor(a, dtype=dtype)
    if how == "transposed":
        return t.mT.contiguous().mT
    if how == "strided":
        wide = rt.zeros(*t.shape[:-1], 2 * t.shape[-1], dtype=dtype)
        wide[..., ::2] = t
        return wide[..., ::2]
    if how == "expanded":
        return t.expand(2, 3, *t.shape)
    if how == "batch":
        return rt.stack([t, -t, 2 * t])
    return t


def near(a: rt.Tensor, b: rt.Tensor, scale: float = 1.0, factor: float = 30.0) -> None:
    """Equal but for rounding of products of such matrices, whose elements are about `scale`."""
    size = max(*a.shape[-2:], 2) if a.ndim > 1 else max(a.shape[-1], 2)
    room = factor * size * scale * rt.finfo(a.dtype).eps
    assert a.shape == b.shape
    assert float((a - b).abs().max()) <= room, f"{float((a - b).abs().max())} > {room}"


def unit(q: rt.Tensor) -> None:
    """Orthonormal columns."""
    near(q.mT @ q, rt.eye(q.shape[-1], dtype=q.dtype).expand(*q.shape[:-2], -1, -1))


def matrices(kind: str, m: int, n: int) -> np.ndarray:
    g = np.random.default_rng(m * 1000 + n)
    a = g.standard_normal((m, n))
    k = min(m, n)
    if kind == "deficient":
        r = max(k // 2, 1)
        a = g.standard_normal((m, r)) @ g.standard_normal((r, n))
    elif kind == "repeated":
        u, v = np.linalg.qr(g.standard_normal((m, k)))[0], np.linalg.qr(g.standard_normal((n, k)))[0]
        a = u @ np.diag(np.repeat([3.0, 1.0], [k - k // 2, k // 2])) @ v.T
    elif kind == "zeros":
        a = np.zeros((m, n))
    elif kind == "identity":
        a = np.eye(m, n)
    elif kind == "graded":
        a = a * np.logspace(0, -6, n)
    elif kind == "a zero column":
        a[:, n // 2] = 0
    return a


KINDS = ["any", "deficient", "repeated", "zeros", "identity", "graded", "a zero column"]
CASES = [(s, d, "any", how) for s in SHAPES for d in DTYPES for how in ("plain", "transposed")]
CASES += [((6, 4), d, "any", how) for d in DTYPES for how in ("strided", "expanded", "batch")]
CASES += [(s, d, k, "plain") for s in [(4, 4), (9, 5), (5, 9), (40, 40), (150, 140)] for d in DTYPES for k in KINDS[1:]]
every_case = pytest.mark.parametrize(("shape", "dtype", "kind", "how"), CASES)


@every_case
def test_svd(shape: tuple[int, int], dtype: Any, kind: str, how: str) -> None:
    (m, n), k = shape, min(shape)
    a = spread(matrices(kind, m, n), how, dtype)
    scale = max(float(a.abs().max()), 1e-30) * max(m, n) ** 0.5
    for full in (False, True):
        u, s, vh = rt.linalg.svd(a, full_matrices=full)
        assert u.shape[-2:] == (m, m if full else k) and vh.shape[-2:] == (n if full else k, n)
        unit(u)
        unit(vh.mT)
        assert (s >= 0).all() and (s.diff(dim=-1) <= 0).all()
        near((u[..., :k] * s.unsqueeze(-2)) @ vh[..., :k, :], a, scale)
        near(rt.linalg.svdvals(a), s, scale)


@every_case
def test_qr(shape: tuple[int, int], dtype: Any, kind: str, how: str) -> None:
    (m, n), k = shape, min(shape)
    a = spread(matrices(kind, m, n), how, dtype)
    scale = max(float(a.abs().max()), 1e-30) * max(m, n) ** 0.5
    for mode, cols in (("reduced", k), ("complete", m)):
        q, r = rt.linalg.qr(a, mode)
        assert q.shape[-2:] == (m, cols) and r.shape[-2:] == (cols, n)
        unit(q)
        assert (r.tril(-1) == 0).all()
        near(q @ r, a, scale)
    q, only = rt.linalg.qr(a, "r")
    assert q.numel() == 0 and only.equal(rt.linalg.qr(a).R)


@every_case
def test_eigh(shape: tuple[int, int], dtype: Any, kind: str, how: str) -> None:
    n = shape[0]
    a = matrices(kind, n, n)
    a = (a + a.T) / 2
    low = spread(np.tril(a) + np.triu(np.full((n, n), 1e4), 1), how, dtype)
    whole = low.tril() + low.tril(-1).mT
    scale = max(float(whole.abs().max()), 1e-30) * n**0.5
    w, v = rt.linalg.eigh(low)
    assert (w.diff(dim=-1) >= 0).all()
    unit(v)
    near((v * w.unsqueeze(-2)) @ v.mT, whole, scale)
    near(rt.linalg.eigvalsh(low), w, scale)
    # The other triangle, by itself.
    other = rt.linalg.eigh(low.mT, UPLO="U")
    assert other.eigenvalues.equal(w) and other.eigenvectors.equal(v)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 9, 40, 130])
def test_square_systems(n: int, dtype: Any) -> None:
    g = np.random.default_rng(n)
    a, b = g.standard_normal((3, n, n)) + 3 * np.sqrt(n) * np.eye(n), g.standard_normal((3, n, 5))
    t, y = rt.tensor(a, dtype=dtype), rt.tensor(b, dtype=dtype)
    eye = rt.eye(n, dtype=dtype).expand(3, n, n)
    near(t @ rt.linalg.solve(t, y), y, 10)
    near(rt.linalg.solve(t, y.mT, left=False) @ t, y.mT, 10)
    near(t @ rt.linalg.inv(t), eye)
    np.testing.assert_allclose(
        rt.linalg.det(t).numpy(),
        rt.tensor(np.linalg.det(a), dtype=dtype).numpy(),
        rtol=n * (1e-4 if dtype == rt.float32 else 1e-12),
    )
    sign, log = rt.linalg.slogdet(t)
    assert np.array_equal(sign.numpy(), np.linalg.slogdet(a)[0])
    np.testing.assert_allclose(log.numpy(), np.linalg.slogdet(a)[1], rtol=1e-4 if dtype == rt.float32 else 1e-12)
    p = t @ t.mT
    for upper in (False, True):
        f = rt.linalg.cholesky(p, upper=upper)
        assert (f.tril(-1) if upper else f.triu(1)).abs().max() == 0
        near(f.mT @ f if upper else f @ f.mT, p, float(p.abs().max()))
        for left in (True, False):
            for unitriangular in (True, False):
                small = f / f.diagonal(dim1=-2, dim2=-1).unsqueeze(-1) if unitriangular else f
                rhs = y if left else y.mT
                x = rt.linalg.solve_triangular(f * 0 + small, rhs, upper=upper, left=left, unitriangular=unitriangular)
                near(small @ x if left else x @ small, rhs, 1e3 * max(float(x.abs().max()), 1))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(1, 1), (3, 3), (6, 4), (4, 6), (80, 50), (50, 80)])
@pytest.mark.parametrize("kind", ["any", "deficient"])
def test_pinv_and_lstsq(shape: tuple[int, int], kind: str, dtype: Any) -> None:
    a = matrices(kind, *shape)
    t = rt.tensor(a, dtype=dtype)
    close = {"rtol": 1e-2, "atol": 1e-3} if dtype == rt.float32 else {"rtol": 1e-8, "atol": 1e-9}
    rtol = 1e-5
    want = np.linalg.pinv(a, rcond=rtol)
    np.testing.assert_allclose(rt.linalg.pinv(t, rtol=rtol).numpy(), want, **close)
    b = np.random.default_rng(0).standard_normal((shape[0], 3))
    x = rt.linalg.lstsq(t, rt.tensor(b, dtype=dtype), rcond=rtol).solution
    np.testing.assert_allclose(x.numpy(), want @ b, **close)
    assert int(rt.linalg.lstsq(t, rt.tensor(b, dtype=dtype), rcond=rtol).rank) == np.linalg.matrix_rank(a)


def kahan(n: int) -> np.ndarray:
    """Its smallest singular value is far below what the diagonal of its triangular factor tells."""
    c, s = np.cos(1.2), np.sin(1.2)
    return np.diag(s ** np.arange(n)) @ (np.eye(n) - c * np.triu(np.ones((n, n)), 1))


DECEPTIVE = {
    "kahan": kahan(30),
    "kahan's transpose": kahan(30).T,
    "vandermonde": np.vander(np.linspace(0.1, 1, 14)),
    "one small column": np.vstack([np.eye(8), np.ones((3, 8))]) * np.array([1.0] * 4 + [1e-9] + [1.0] * 3),
    "far apart": np.diag(10.0 ** -np.arange(12)),
    "chain": np.eye(40) - np.diag(np.ones(39) * 2, 1),
    "alternating": np.fft.fft(np.eye(16)).real + np.fft.fft(np.eye(16)).imag,
}


def decided(kind: str, dtype: Any, rcond: float | None) -> bool:
    """That rounding cannot decide about the rank."""
    a = DECEPTIVE[kind]
    eps = max(a.shape) * rt.finfo(dtype).eps
    sizes = np.linalg.svd(a, compute_uv=False)
    return (abs(sizes / sizes[0] - (eps if rcond is None else rcond)) > 20 * eps).all()


RANKS = [c for c in itertools.product(DECEPTIVE, DTYPES, [None, 1e-3, 1e-8]) if decided(*c)]


@pytest.mark.parametrize(("kind", "dtype", "rcond"), RANKS)
def test_rank_of_lstsq(kind: str, dtype: Any, rcond: float | None) -> None:
    """As the singular values say, also where QR alone is no guide."""
    a = DECEPTIVE[kind]
    t, b = rt.tensor(a, dtype=dtype), np.ones((a.shape[0], 2))
    sizes = np.linalg.svd(a, compute_uv=False)
    result = rt.linalg.lstsq(t, rt.tensor(b, dtype=dtype), rcond)
    limit = max(a.shape) * rt.finfo(dtype).eps if rcond is None else rcond
    assert int(result.rank) == (sizes > limit * sizes[0]).sum()
    if rcond == 1e-3:
        near(result.solution, rt.tensor(np.linalg.pinv(a, rcond=rcond) @ b, dtype=dtype), 1e4)


@pytest.mark.parametrize(("a", "b"), [((0, 3), (0, 2)), ((3, 0), (3, 2)), ((2, 3), (2, 0)), ((0, 2, 3), (0, 2, 1)),
                                      ((2, 4, 3), (2, 4)), ((4, 3), (4,))])  # fmt: skip
def test_shapes_of_lstsq(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal(a), rng.standard_normal(b)
    result = rt.linalg.lstsq(rt.tensor(x), rt.tensor(y))
    vector = b == a[:-1]
    want = (np.linalg.pinv(x) @ (y[..., None] if vector else y))[..., 0] if vector else np.linalg.pinv(x) @ y
    assert result.solution.shape == want.shape
    np.testing.assert_allclose(result.solution.numpy(), want, rtol=1e-10, atol=1e-12)
    assert (result.rank == min(a[-2:])).all() and result.rank.shape == a[:-2]


# Scales at which squares overflow or vanish, and where subnormals begin.
SCALES = [(rt.float32, 1e30), (rt.float32, 1e-30), (rt.float32, 1e38), (rt.float32, 1e-38), (rt.float64, 1e300),
          (rt.float64, 1e-300), (rt.float64, 1e307), (rt.float64, 1e-307)]  # fmt: skip


@pytest.mark.parametrize(("dtype", "size"), SCALES)
@pytest.mark.parametrize("shape", [(4, 3), (3, 4), (30, 30), (150, 20)])
def test_extreme_scales(shape: tuple[int, int], dtype: Any, size: float) -> None:
    a = rt.tensor(np.random.default_rng(1).uniform(-1, 1, shape), dtype=dtype) / max(shape)
    eps = rt.finfo(dtype).eps
    # Elements around the smallest normal number have fewer digits.
    room = 1e-3 if size < 1e-37 and dtype == rt.float32 else 30 * eps * max(shape)
    big = a * size
    u, s, vh = rt.linalg.svd(big, full_matrices=False)
    unit(u), unit(vh.mT)
    assert np.allclose((s.double() / size).numpy(), rt.linalg.svdvals(a.double()).numpy(), rtol=0, atol=room)
    assert np.allclose((rt.linalg.svdvals(big).double() / size).numpy(), (s.double() / size).numpy(), rtol=0, atol=room)
    q, r = rt.linalg.qr(big)
    unit(q)
    assert np.allclose((q.double() @ (r.double() / size)).numpy(), a.double().numpy(), rtol=0, atol=room)
    n = min(shape)
    sym = big[:n, :n]
    w, v = rt.linalg.eigh(sym)
    unit(v)
    low = a[:n, :n].double()
    want = rt.linalg.eigvalsh(low)
    assert np.allclose((w.double() / size).numpy(), want.numpy(), rtol=0, atol=room)
    assert np.allclose((rt.linalg.eigvalsh(sym).double() / size).numpy(), want.numpy(), rtol=0, atol=room)


def test_not_a_number_and_infinity() -> None:
    for dtype in DTYPES:
        a = rt.eye(3, dtype=dtype)
        nan, inf = a.clone(), a.clone()
        nan[1, 0], inf[1, 0] = float("nan"), float("inf")
        both = inf.clone()
        both[2, 2] = float("nan")
        for bad in (nan, both):
            for f in (rt.linalg.svd, rt.linalg.svdvals, rt.linalg.pinv):
                with pytest.raises(errors.RustorchError, match=r"batch element 1.*non-finite"):
                    f(rt.stack([a, bad]))
        assert rt.linalg.svdvals(inf).isnan().all()
        for bad in (nan, inf):
            assert rt.linalg.eigh(bad).eigenvalues.isnan().any()
            assert rt.linalg.eigvalsh(bad).isnan().any()
            # Only the triangle that is named is read.
            assert rt.linalg.eigvalsh(bad, UPLO="U").equal(rt.ones(3, dtype=dtype))
            assert rt.linalg.qr(bad).R.isnan().any() and rt.linalg.qr(bad).Q.isnan().any()
            with pytest.raises(errors.RustorchError, match="not positive-definite"):
                rt.linalg.cholesky(bad)
        assert rt.linalg.det(nan).isnan() and rt.linalg.inv(nan).isnan().any()


def test_singular_matrices() -> None:
    for dtype in DTYPES:
        a = rt.stack([rt.eye(3, dtype=dtype), rt.ones(3, 3, dtype=dtype), rt.zeros(3, 3, dtype=dtype)])
        assert rt.linalg.det(a).tolist() == [1, 0, 0]
        sign, log = rt.linalg.slogdet(a)
        assert sign.tolist() == [1, 0, 0] and log.tolist() == [0, -float("inf"), -float("inf")]
        for f in (rt.linalg.inv, lambda x: rt.linalg.solve(x, x)):
            with pytest.raises(errors.RustorchError, match=r"batch element 1.*diagonal element 2"):
                f(a)
        with pytest.raises(errors.RustorchError, match=r"batch element 2.*order 1"):
            rt.linalg.cholesky(a * rt.eye(3, dtype=dtype))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (2, 0, 4), (0, 4, 3), (0, 3, 3), (1 << 40, 0)])
def test_empty(shape: tuple[int, ...]) -> None:
    a = rt.zeros(*shape)
    *batch, m, n = shape
    k = min(m, n)
    u, s, vh = rt.linalg.svd(a, full_matrices=False)
    assert (u.shape, s.shape, vh.shape) == ((*batch, m, k), (*batch, k), (*batch, k, n))
    assert rt.linalg.svdvals(a).shape == (*batch, k)
    q, r = rt.linalg.qr(a)
    assert (q.shape, r.shape) == ((*batch, m, k), (*batch, k, n))
    assert rt.linalg.pinv(a).shape == (*batch, n, m)
    if m == n:
        assert rt.linalg.eigh(a).eigenvalues.shape == rt.linalg.eigvalsh(a).shape == (*batch, n)
        assert rt.linalg.inv(a).shape == rt.linalg.cholesky(a).shape == shape
        assert rt.linalg.det(a).shape == tuple(batch)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 6, 9, 16, 33])
def test_one_pivot_that_is_zero(n: int, dtype: Any) -> None:
    """Wherever it stands, the first and the last one too."""
    for k in {0, 1, n // 2, n - 2, n - 1} & set(range(n)):
        a = rt.ones(n, n, dtype=dtype).triu()
        a[k, k] = 0
        if k < n - 1:
            a[k, k + 1 :] = 0
        b = rt.ones(n, 2, dtype=dtype)
        for call in (lambda a=a: rt.linalg.inv(a), lambda a=a, b=b: rt.linalg.solve(a, b)):
            with pytest.raises(errors.RustorchError, match="singular"):
                call()
        assert rt.linalg.det(a) == 0
        sign, log = rt.linalg.slogdet(a)
        assert sign == 0 and log == -rt.inf
        # Twice itself and half a definite matrix: of the order k + 1 the minor is 0, or below.
        for value in (0.0, -1.0, rt.nan):
            d = 4.0 * rt.eye(n, dtype=dtype)
            d[k, k] = value
            with pytest.raises(errors.RustorchError, match=f"minor of order {k + 1} is not positive-definite"):
                rt.linalg.cholesky(d)
            with pytest.raises(errors.RustorchError, match=f"minor of order {k + 1} is not positive-definite"):
                rt.linalg.cholesky(rt.stack([4 * rt.eye(n, dtype=dtype), d]), upper=True)
        if k:
            tied = rt.eye(n, dtype=dtype)
            tied[k, 0] = tied[0, k] = 1
            with pytest.raises(errors.RustorchError, match=f"minor of order {k + 1} is not positive-definite"):
                rt.linalg.cholesky(tied)


def test_one_bad_matrix_of_many_is_named() -> None:
    """Wherever it stands among those that threads share; the first one, if there are several."""
    for n, count in ((1, 4000), (2, 1000), (3, 700), (6, 300), (40, 9)):
        good = rt.eye(n).expand(count, n, n)
        b = rt.ones(count, n, 1)
        for k in {0, 1, count // 3, count // 2, count - 2, count - 1}:
            a = good.clone()
            a[k, -1, -1] = a[-1, -1, -1] = 0
            calls = (
                lambda a=a: rt.linalg.inv(a),
                lambda a=a, b=b: rt.linalg.solve(a, b),
                lambda a=a: rt.linalg.cholesky(a),
            )
            for call in calls:
                with pytest.raises(errors.RustorchError, match=rf"\(batch element {k}\)"):
                    call()


def test_determinants_of_permutations() -> None:
    rng = np.random.default_rng(4)
    for n in (*range(1, 14), 20, 33):
        for _ in range(6):
            order = rng.permutation(n)
            swaps = sum(int(order[i] > order[j]) for i in range(n) for j in range(i + 1, n))
            for dtype in DTYPES:
                a = 2 * rt.eye(n, dtype=dtype)[rt.tensor(order)]
                want = (-1.0) ** swaps * 2.0**n
                assert rt.linalg.det(a).item() == pytest.approx(want, rel=1e-6)
                sign, log = rt.linalg.slogdet(a)
                assert sign.item() == (-1.0) ** swaps and log.item() == pytest.approx(n * np.log(2), rel=1e-6)


def test_batches_without_matrices_cost_nothing() -> None:
    for n in (1 << 20, 1 << 30):
        assert rt.linalg.svd(rt.empty(0, n, 1)).U.shape == (0, n, n)
        assert rt.linalg.svdvals(rt.empty(0, n, n)).shape == (0, n)
        assert rt.linalg.eigvalsh(rt.empty(0, n, n)).shape == (0, n)
        assert rt.linalg.qr(rt.empty(0, n, n)).R.shape == (0, n, n)
        assert rt.linalg.inv(rt.empty(0, n, n)).shape == (0, n, n)
        assert rt.linalg.cholesky(rt.empty(0, n, n)).shape == (0, n, n)


def factors(a: rt.Tensor) -> list[rt.Tensor]:
    sym = a @ a.mT
    eye = rt.eye(a.shape[-2], dtype=a.dtype)
    return [
        *rt.linalg.svd(a), rt.linalg.svdvals(a), *rt.linalg.qr(a), *rt.linalg.eigh(sym), rt.linalg.eigvalsh(sym),
        rt.linalg.det(sym), rt.linalg.inv(sym + eye), rt.linalg.cholesky(sym + eye), rt.linalg.pinv(a),
    ]  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(5, 4), (70, 30), (150, 150)])
def test_results_depend_on_the_elements_alone(shape: tuple[int, int], dtype: Any) -> None:
    """Not on the number of threads, nor on where in memory or in a batch a matrix lies."""
    a = rt.tensor(np.random.default_rng(3).standard_normal(shape), dtype=dtype)
    want = factors(a)
    before = rt.get_num_threads()
    try:
        for threads in (1, 2, 3):
            rt.set_num_threads(threads)
            for shift in (0, 1, 3):
                room = rt.zeros(shift + 5 * a.numel(), dtype=dtype)
                batch = room[shift:].view(5, *shape)
                batch.copy_(a)
                for got, w in zip(factors(batch), want):
                    for g in got.unbind(0):
                        assert g.equal(w)
    finally:
        rt.set_num_threads(before)


def test_factorisations_on_many_threads() -> None:
    a = rt.tensor(np.random.default_rng(4).standard_normal((60, 40)))
    want, wrong = factors(a), []

    def work() -> None:
        for _ in range(5):
            wrong.extend(i for i, (g, w) in enumerate(zip(factors(a), want)) if not g.equal(w))

    threads = [threading.Thread(target=work) for _ in range(4)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert not wrong


def test_gradients_of_values_alone_are_those_of_whole_factorisations() -> None:
    g = np.random.default_rng(5)
    for shape in [(4, 3), (3, 4), (2, 5, 5)]:
        a = rt.tensor(g.standard_normal(shape), requires_grad=True)
        weight = rt.tensor(g.standard_normal((*shape[:-2], min(shape[-2:]))))
        (one,) = rt.autograd.grad((rt.linalg.svdvals(a) * weight).sum(), a)
        (two,) = rt.autograd.grad((rt.linalg.svd(a, full_matrices=False).S * weight).sum(), a)
        near(one, two)
        if shape[-1] == shape[-2]:
            for uplo in "LU":
                (one,) = rt.autograd.grad((rt.linalg.eigvalsh(a, UPLO=uplo) * weight).sum(), a)
                (two,) = rt.autograd.grad((rt.linalg.eigh(a, UPLO=uplo).eigenvalues * weight).sum(), a)
                near(one, two)


def test_time_grows_with_the_work() -> None:
    """Completing the left vectors of a tall matrix takes no time with the fourth power of its rows: seconds here."""
    a = rt.tensor(np.random.default_rng(6).standard_normal((400, 3)))
    rt.linalg.svd(a)
    start = time.perf_counter()
    rt.linalg.svd(a)
    rt.linalg.qr(a, "complete")
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss"])
def test_least_squares_of_batches(driver: str | None) -> None:
    """Vectors as right sides are told from matrices; residuals need full rank of all."""
    source = np.random.default_rng(0)
    full, sides = source.normal(size=(2, 4, 3)), source.normal(size=(2, 4))
    short = full.copy()
    short[1, :, 2] = short[1, :, 1]
    for a in (full, short)[: 1 if driver == "gels" else 2]:
        want = np.stack([np.linalg.lstsq(m, b, rcond=None)[0] for m, b in zip(a, sides)])
        left = ((np.einsum("bmn,bn->bm", a, want) - sides) ** 2).sum(1, keepdims=True)
        ranks = np.linalg.matrix_rank(a)
        for b, vector in ((sides, True), (sides[..., None], False)):
            given = rt.tensor(a.tolist(), dtype=rt.float64).requires_grad_()
            x, residuals, rank, values = rt.linalg.lstsq(given, rt.tensor(b.tolist(), dtype=rt.float64), driver=driver)
            np.testing.assert_allclose(x.detach().numpy(), want if vector else want[..., None], rtol=1e-6)
            none = driver in (None, "gelsy") or a is short
            np.testing.assert_allclose(residuals.detach().numpy(), np.zeros(0) if none else left, rtol=1e-6)
            assert residuals.requires_grad
            assert rank.tolist() == ([] if driver == "gels" else ranks.tolist())
            sizes = np.linalg.svd(a)[1] if driver in ("gelsd", "gelss") else np.zeros(0)
            np.testing.assert_allclose(values.numpy(), sizes, atol=1e-9)
            assert not values.requires_grad


# ---- factors as LAPACK leaves them ----

ALL = [rt.float32, rt.float64, rt.complex64, rt.complex128]


def some(*shape: int, dtype: Any, seed: int = 0) -> rt.Tensor:
    g = np.random.default_rng(seed + sum(shape))
    a = g.standard_normal(shape)
    return rt.tensor(a + 1j * g.standard_normal(shape) if dtype.is_complex else a, dtype=dtype)


def close(a: rt.Tensor, b: rt.Tensor, scale: float = 1.0) -> None:
    size = max(a.shape[-2:]) if a.ndim > 1 else a.shape[-1]
    room = 60 * max(size, 2) * scale * rt.finfo(a.dtype).eps
    assert a.shape == b.shape and a.dtype is b.dtype
    assert a.numel() == 0 or float((a - b).abs().max()) <= room, f"{float((a - b).abs().max())} > {room}"


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize(
    "shape", [(1, 1), (3, 3), (5, 2), (2, 5), (3, 4, 4), (2, 0, 3), (33, 20), (20, 33), (130, 130)]
)
def test_lu(shape: tuple[int, ...], dtype: Any) -> None:
    a = some(*shape, dtype=dtype)
    p, lower, upper = rt.linalg.lu(a)
    close(p @ lower @ upper, a)
    assert rt.equal(lower, lower.tril()) and rt.equal(upper, upper.triu())
    # The greatest of complex pivots by the sum of their parts, as LAPACK has it.
    most = 2**0.5 if dtype.is_complex else 1.0
    assert float(lower.abs().max() if lower.numel() else 0) <= most + 1e-6
    factors, pivots, info = rt.linalg.lu_factor_ex(a)
    assert pivots.dtype is info.dtype is rt.int32 and not info.any()
    assert rt.equal(rt.lu_unpack(factors, pivots).U, upper)
    if shape[-1] == shape[-2]:
        b = some(*shape[:-1], 3, dtype=dtype, seed=5)
        close(a @ rt.linalg.lu_solve(factors, pivots, b), b, 100.0)
        close(a.mH @ rt.linalg.lu_solve(factors, pivots, b, adjoint=True), b, 100.0)
        close(rt.linalg.lu_solve(factors, pivots, b.mT, left=False) @ a, b.mT, 100.0)
        close(rt.linalg.lu_solve(factors, pivots, b.mT, left=False, adjoint=True) @ a.mH, b.mT, 100.0)


def test_what_is_singular_is_told_by_a_number() -> None:
    a = rt.tensor([[[1.0, 2.0], [2.0, 4.0]], [[0.0, 1.0], [2.0, 3.0]], [[0.0, 1.0], [0.0, 3.0]]])
    for b in (a, a.to(rt.complex64)):
        assert rt.linalg.lu_factor_ex(b).info.tolist() == [2, 0, 1]
        inverse, info = rt.linalg.inv_ex(b)
        assert info.tolist() == [2, 0, 1] and inverse.isnan().all((1, 2)).tolist() == [True, False, True]
        close(inverse[1] @ b[1], rt.eye(2, dtype=b.dtype))
        x, info = rt.linalg.solve_ex(b, rt.ones(3, 2, 1, dtype=b.dtype))
        assert info.tolist() == [2, 0, 1] and x.isnan().all((1, 2)).tolist() == [True, False, True]
        assert rt.linalg.solve_ex(b[0], rt.ones(4, 2, 1, dtype=b.dtype)).info.shape == ()
        factor, info = rt.linalg.cholesky_ex(rt.stack([b[0], rt.eye(2, dtype=b.dtype)]))
        assert info.tolist() == [2, 0] and factor.isnan().any((1, 2)).tolist() == [True, False]
        for f in (rt.linalg.inv_ex, rt.linalg.lu_factor_ex, rt.linalg.cholesky_ex):
            with pytest.raises(errors.RustorchError, match="batch element 0"):
                f(b, check_errors=True)
    with pytest.raises(errors.RustorchError, match="without pivoting"):
        rt.linalg.lu(a, pivot=False)


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("n", [1, 2, 5, 30])
@pytest.mark.parametrize("hermitian", [False, True])
def test_ldl(n: int, hermitian: bool, dtype: Any) -> None:
    a = some(2, n, n, dtype=dtype)
    a = a + (a.mH if hermitian else a.mT)
    # Small on the diagonal, so that pivots of order 2 are taken.
    a = a - 0.99 * rt.diag_embed(a.diagonal(0, -2, -1))
    ld, pivots = rt.linalg.ldl_factor(a.tril(), hermitian=hermitian)
    if n == 30:
        assert (pivots < 0).any() and (pivots > 0).any()
    b = some(2, n, 3, dtype=dtype, seed=9)
    close(a @ rt.linalg.ldl_solve(ld, pivots, b, hermitian=hermitian), b, 3000.0)
    with pytest.raises(errors.RustorchError, match="no pivots"):
        rt.linalg.ldl_solve(ld, pivots * 0, b)


def test_ldl_by_hand() -> None:
    ld, pivots = rt.linalg.ldl_factor(rt.tensor([[1.0, 5.0, 6.0], [2.0, -1.0, 7.0], [3.0, 4.0, 2.0]], dtype=rt.float64))
    assert pivots.tolist() == [-3, -3, 3]
    want = [[1.0, 0.0, 0.0], [3.0, 2.0, 0.0], [8 / 7, 2 / 7, -31 / 7]]
    assert rt.allclose(ld, rt.tensor(want, dtype=rt.float64), 1e-14, 1e-14)


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("shape", [(1, 1), (4, 3), (3, 4), (2, 5, 5), (40, 33)])
def test_reflections(shape: tuple[int, ...], dtype: Any) -> None:
    a = some(*shape, dtype=dtype)
    m, k = shape[-2], min(shape[-2:])
    factors, tau = rt.geqrf(a)
    want = rt.linalg.qr(a)
    close(factors[..., :k, :].triu(), want.R)
    q = rt.linalg.householder_product(factors[..., :k], tau)
    close(q, want.Q)
    whole = rt.linalg.householder_product(rt.cat([factors[..., :k], factors.new_zeros(*shape[:-1], m - k)], -1), tau)
    b = some(*shape[:-2], m, 2, dtype=dtype, seed=3)
    close(rt.ormqr(factors, tau, b), whole @ b)
    close(rt.ormqr(factors, tau, b, transpose=True), whole.mH @ b)
    close(rt.ormqr(factors, tau, b.mT, left=False), b.mT @ whole)
    close(rt.ormqr(factors, tau, b.mT, left=False, transpose=True), b.mT @ whole.mH)


@pytest.mark.parametrize("dtype", ALL)
@pytest.mark.parametrize("n", [0, 1, 2, 3, 7, 60, 150])
def test_eig(n: int, dtype: Any) -> None:
    a = some(2, n, n, dtype=dtype)
    values, vectors = rt.linalg.eig(a)
    assert values.dtype is vectors.dtype is (dtype if dtype.is_complex else dtype.to_complex())
    close(a.to(vectors.dtype) @ vectors, vectors * values.unsqueeze(-2), 10.0)
    assert rt.allclose(vectors.abs().square().sum(-2), rt.ones(2, n, dtype=dtype.to_real()), 1e-5)
    by_size = lambda v: sorted(map(complex, v.tolist()), key=lambda z: (round(z.real, 3), z.imag))  # noqa: E731
    for k in range(2):
        mine = np.array(by_size(rt.linalg.eigvals(a)[k]))
        assert np.abs(mine - np.array(by_size(values[k]))).max(initial=0) < 1e-3
    if not dtype.is_complex:
        assert all(complex(z).conjugate() in values[0].tolist() for z in values[0].tolist())


def test_gradients_of_complex_eigenvectors() -> None:
    """Of what does not depend on their phases, against differences."""
    weights = some(4, 4, dtype=rt.float64, seed=3)

    def f(a: rt.Tensor) -> rt.Tensor:
        values, vectors = rt.linalg.eig(a)
        return (vectors.abs().square() * weights).sum() + values.abs().sum() + (values.imag.square()).sum()

    for dtype in (rt.float64, rt.complex128):
        a, way = some(4, 4, dtype=dtype, seed=1), some(4, 4, dtype=dtype, seed=2)
        assert rt.linalg.eigvals(a).imag.any()
        x = a.clone().requires_grad_()
        f(x).backward()
        assert x.grad is not None and x.grad.dtype is dtype
        slope = float((x.grad.conj() * way).sum().real)
        numeric = float(f(a + 1e-6 * way) - f(a - 1e-6 * way)) / 2e-6
        assert slope == pytest.approx(numeric, rel=1e-6)


@pytest.mark.parametrize("dtype", ALL)
def test_eig_of_what_is_not_usual(dtype: Any) -> None:
    # Rotations, a block that cannot be diagonalised, zeros, numbers of all sizes.
    for rows in ([[0, 1], [-1, 0]], [[2, 1, 0], [0, 2, 1], [0, 0, 2]], [[0, 0], [0, 0]], [[1e-20, 1e20], [0, 1]],
                 [[0, 0, 1], [1, 0, 0], [0, 1, 0]]):  # fmt: skip
        a = rt.tensor(rows, dtype=dtype)
        values, vectors = rt.linalg.eig(a)
        size = float(a.abs().max()) or 1.0
        close(a.to(vectors.dtype) @ vectors, vectors * values.unsqueeze(-2), size)
    want = [complex(w) for w in np.roots([1, 0, 0, -1])]
    assert all(min(abs(w - z) for z in values.tolist()) < 1e-5 for w in want)
    with pytest.raises(errors.RustorchError, match="non-finite"):
        rt.linalg.eig(rt.full((2, 2), np.inf, dtype=dtype))


@pytest.mark.parametrize("dtype", ALL)
def test_matrix_exp(dtype: Any) -> None:
    a = rt.tensor([[0.0, -1.0], [1.0, 0.0]], dtype=dtype)
    for angle in (0.0, 1e-9, 1.0, 30.0):
        want = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        close(rt.matrix_exp(a * angle), rt.tensor(want, dtype=dtype), 1 + angle)
    shift = rt.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]], dtype=dtype)
    close(rt.linalg.matrix_exp(shift), rt.tensor([[1.0, 1.0, 0.5], [0.0, 1.0, 1.0], [0.0, 0.0, 1.0]], dtype=dtype))
    batch = rt.stack([a * 40, a * 0.1])
    assert rt.equal(rt.matrix_exp(batch)[1], rt.matrix_exp(a * 0.1))
    assert rt.matrix_exp(rt.zeros(2, 0, 0, dtype=dtype)).shape == (2, 0, 0)
    assert rt.matrix_exp(rt.full((2, 2), np.nan, dtype=dtype)).isnan().all()


def test_conditions_and_ranks() -> None:
    a = rt.tensor([[1.0, 2.0], [2.0, 4.0]], dtype=rt.float64)
    assert [float(rt.linalg.cond(a, p)) == np.inf for p in (1, np.inf, "fro", "nuc", -1)] == [True] * 5
    d = rt.diag(rt.tensor([4.0, 2.0, 1e-3], dtype=rt.float64))
    for p, want in ((None, 4000.0), (2, 4000.0), (-2, 2.5e-4), (1, 4000.0), (-np.inf, 2.5e-4)):
        assert float(rt.linalg.cond(d, p)) == pytest.approx(want)
    assert [int(rt.linalg.matrix_rank(d, t)) for t in (None, 1e-2, 3.0, 5.0)] == [3, 2, 1, 0]
    assert int(rt.linalg.matrix_rank(d, rtol=0.6)) == 1 and int(rt.linalg.matrix_rank(d, atol=0.0)) == 3
    assert rt.linalg.matrix_rank(rt.stack([d, d]), rt.tensor([1e-2, 3.0])).tolist() == [2, 1]
    assert rt.linalg.matrix_rank(rt.zeros(2, 0, 3)).tolist() == [0, 0]
    assert int(rt.linalg.matrix_rank(-d, hermitian=True)) == 3


@pytest.mark.parametrize("dtype", ALL)
def test_few_singular_values(dtype: Any) -> None:
    rt.manual_seed(0)
    a = some(2, 30, 4, dtype=dtype) @ some(2, 4, 20, dtype=dtype)
    for x in (a, a.mT):
        u, s, v = rt.svd_lowrank(x, 5)
        close((u * s.unsqueeze(-2)) @ v.mH, x, 30.0)
        assert u.shape[-1] == s.shape[-1] == v.shape[-1] == 5
    u, s, v = rt.pca_lowrank(a)
    close((u * s.unsqueeze(-2)) @ v.mH, a - a.mean(-2, keepdim=True), 30.0)
