"""Words of the API that OpInfo does not reach: in-place layout changes, resizing, old names, edges of losses."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402

NUMBERS = [[[math.sin(12 * i + 4 * j + k) for k in range(4)] for j in range(3)] for i in range(2)]
LAYOUTS: list[tuple[str, tuple[Any, ...]]] = [
    ("unsqueeze_", (0,)),
    ("unsqueeze_", (-1,)),
    ("squeeze_", ()),
    ("squeeze_", (1,)),
    ("transpose_", (0, 1)),
    ("swapaxes_", (0, -1)),
    ("swapdims_", (1, 2)),
    ("as_strided_", ((2, 2), (1, 2), 1)),
]


def close(ours: Any, theirs: Any) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape)
    mine = torch.tensor(ours.tolist(), dtype=torch.float64).reshape(theirs.shape)
    torch.testing.assert_close(mine, theirs.detach().double(), rtol=1e-6, atol=1e-6, equal_nan=True)


def both(f: Any, **options: Any) -> None:
    """Runs `f(module, tensor)` with both libraries; what it returns must be equal."""
    ours = f(rt, rt.tensor(NUMBERS, dtype=rt.float64, **options))
    theirs = f(torch, torch.tensor(NUMBERS, dtype=torch.float64, **options))
    for a, b in zip(ours, theirs, strict=True):
        if hasattr(b, "dtype"):
            close(a, b)
        else:
            assert a == b


@pytest.mark.parametrize("name,args", LAYOUTS)
@pytest.mark.parametrize("start", ["plain", "view", "history"])
def test_layout_changes_in_place(name: str, args: tuple[Any, ...], start: str) -> None:
    def f(lib: Any, x: Any) -> tuple[Any, ...]:
        base = {"plain": x, "view": x[:, 1:2], "history": x * 2}[start]
        before = base.data_ptr()
        assert getattr(base, name)(*args) is base
        moved = (base.data_ptr() - before) // 8
        seen = (moved, base.stride(), base.storage_offset(), base.clone())
        base.mul_(3)
        return (*seen, base, x, base.is_contiguous())

    both(f)


@pytest.mark.parametrize("name,args", LAYOUTS)
def test_gradients_through_layout_changes(name: str, args: tuple[Any, ...]) -> None:
    def f(lib: Any, x: Any) -> tuple[Any, ...]:
        y = x * x
        early = y.sum()
        getattr(y, name)(*args)
        y.mul_(y.detach() + 1)
        (early + (y * 3).sum()).backward()
        return x.grad, y.requires_grad, y.is_leaf

    both(f, requires_grad=True)

    def through_a_view(lib: Any, x: Any) -> tuple[Any, ...]:
        y = x * x
        v = y[:, 1:2]
        getattr(v, name)(*args)
        v.mul_(2)
        (y * y).sum().backward()
        return x.grad, y

    if name != "as_strided_":
        both(through_a_view, requires_grad=True)


def test_t_in_place() -> None:
    both(lambda lib, x: (x[0].t_(), x[0, 0].t_()))


@pytest.mark.parametrize("name,args", LAYOUTS)
def test_leaves_that_require_grad_keep_their_layout(name: str, args: tuple[Any, ...]) -> None:
    for lib in (rt, torch):
        x = lib.tensor(NUMBERS, requires_grad=True)
        with pytest.raises(RuntimeError, match="leaf"):
            getattr(x, name)(*args)
        with lib.no_grad():
            getattr(x, name)(*args)
        assert x.is_leaf and x.requires_grad
        (x * x).sum().backward()
        assert x.grad.shape == x.shape


def test_resizing() -> None:
    def f(lib: Any, x: Any) -> tuple[Any, ...]:
        alias = x.view(-1)
        x.resize_(3, 2)
        x.fill_(7)
        kept = alias.clone()
        x.resize_(4, 6)
        again = x.clone()
        x.resize_(10, 10)
        return kept, again, x.reshape(-1)[:24].clone(), x.stride(), x.resize_(0, 3), x.resize_(()).clone()

    both(f)
    for lib in (rt, torch):
        with pytest.raises(RuntimeError, match=r"requires? grad"):
            lib.ones(2, requires_grad=True).resize_(3)


def test_range() -> None:
    for args in [(3,), (1, 4), (0, 1, 0.3), (2, -2, -1), (1.5, 1.5), (0, 1, 0.1)]:
        if len(args) == 1:
            args = (0, *args)
        with pytest.warns(UserWarning, match="deprecated"):
            theirs = torch.range(*args)
        with pytest.warns(UserWarning, match="deprecated"):
            ours = rt.range(*args)
        close(ours, theirs)
        assert ours.dtype is rt.float32
    with pytest.warns(UserWarning, match="deprecated"):
        assert rt.range(1, 3, dtype=rt.int64).tolist() == [1, 2, 3]
    with pytest.warns(UserWarning, match="deprecated"), pytest.raises(rt.errors.RustorchError, match="range"):
        rt.range(1, 3, -1)


def test_spmm_is_mm() -> None:
    both(lambda lib, x: (lib.spmm(x[0], x[1].t()),))


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "int64", "int32", "uint8", "int8"])
def test_open_ended_random_numbers(dtype: str) -> None:
    def f(lib: Any, *args: Any, **named: Any) -> Any:
        lib.manual_seed(3)
        return lib.empty(50, dtype=getattr(lib, dtype)).random_(*args, **named).tolist()

    for args, named in [
        ((2, None), {}),
        ((7,), {}),
        ((), {"from": 2, "to": None}),
        ((2,), {"to": 9}),
        ((), {"to": 9}),
        ((), {}),
    ]:
        assert f(rt, *args, **named) == f(torch, *args, **named), (args, named)


@pytest.mark.parametrize("driver", [None, "gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize(
    "shapes", [((4, 3), (4, 2)), ((3, 4), (3, 2)), ((2, 4, 3), (2, 4)), ((4, 3), (4,)), ((0, 3), (0, 2))]
)
def test_least_squares(driver: str | None, shapes: Any) -> None:
    torch.manual_seed(0)
    a, b = (torch.randn(s, dtype=torch.float64) for s in shapes)
    ours = rt.linalg.lstsq(rt.from_numpy(a.numpy()), rt.from_numpy(b.numpy()), driver=driver)
    theirs = torch.linalg.lstsq(a, b, driver=driver)
    for name in ("solution", "residuals", "rank", "singular_values"):
        close(getattr(ours, name), getattr(theirs, name))


def test_least_squares_of_deficient_rank() -> None:
    a = torch.tensor([[1.0, 2, 2], [0, 1, 1], [3, 1, 1], [1, 1, 1]], dtype=torch.float64)
    b = torch.tensor([[1.0], [2], [0], [4]], dtype=torch.float64)
    for driver in ("gelsy", "gelsd", "gelss"):
        ours = rt.linalg.lstsq(rt.from_numpy(a.numpy()), rt.from_numpy(b.numpy()), driver=driver)
        for mine, other in zip(ours, torch.linalg.lstsq(a, b, driver=driver), strict=True):
            close(mine, other)
    with pytest.raises(rt.errors.RustorchError, match="driver"):
        rt.linalg.lstsq(rt.ones(2, 2), rt.ones(2, 2), driver="qr")


def test_pinv_with_tolerances() -> None:
    def f(lib: Any, x: Any) -> tuple[Any, ...]:
        batch = x[:, :, :3]
        pinv = lib.linalg.pinv
        tolerance = lib.tensor([0.1, 1.0], dtype=lib.float64)
        return (
            pinv(batch, rtol=0.5),
            pinv(batch, atol=0.8),
            pinv(batch, atol=tolerance, rtol=tolerance * 0.1),
            pinv(batch, 0.5),
            pinv(batch, hermitian=True),
            pinv(batch, 0.5, True),
        )

    both(f)


@pytest.mark.parametrize("reduction,zero", [*itertools.product(["none", "mean", "sum"], [False, True])])
@pytest.mark.parametrize("lengths", [((3, 3), (2, 4)), ((2, 3), (2, 0)), ((3, 1), (1, 2))])
def test_ctc_loss_of_targets_that_do_not_fit(reduction: str, zero: bool, lengths: Any) -> None:
    def f(lib: Any, _: Any) -> tuple[Any, ...]:
        scores = [[[math.cos(7 * t + 3 * n + c) for c in range(4)] for n in range(2)] for t in range(3)]
        x = lib.tensor(scores, dtype=lib.float64).log_softmax(-1).detach().requires_grad_()
        targets = lib.tensor([[1, 2, 3, 1], [1, 1, 2, 2]])
        loss = lib.nn.functional.ctc_loss(x, targets, *lengths, reduction=reduction, zero_infinity=zero)
        loss.sum().backward()
        return loss, x.grad

    both(f)


@pytest.mark.parametrize("n", [3, 30])
@pytest.mark.parametrize("mode", ["use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist"])
def test_distances_of_equal_rows_have_no_gradient(n: int, mode: str) -> None:
    def f(lib: Any, x: Any) -> tuple[Any, ...]:
        a = lib.cat([x[0]] * (n // 3)).detach().requires_grad_()
        d = lib.cdist(a, x[1], compute_mode=mode)
        d.sum().backward()
        # Integers, whose distance is 0 exactly.
        w = (x[0] * 10).round().detach().requires_grad_()
        lib.cdist(w, w.detach(), compute_mode=mode).sum().backward()
        return d, a.grad, w.grad

    both(f)


def test_as_strided_beyond_its_input() -> None:
    def f(lib: Any, x: Any) -> tuple[Any, ...]:
        t = x[0].t()[1:, 1:]
        y = t.as_strided((3, 3), (1, 2), 2)
        (g,) = lib.autograd.grad((y * y).sum(), t)
        e = x[0, 0].expand(3, 4)
        (h,) = lib.autograd.grad(e.as_strided((2, 2), (1, 1)).pow(3).sum(), e)
        return y, g, h

    both(f, requires_grad=True)


@pytest.mark.parametrize(
    "pool", ["avg_pool3d", "max_pool3d", "lp_pool3d", "adaptive_avg_pool3d", "adaptive_max_pool3d"]
)
def test_pools_of_an_empty_batch(pool: str) -> None:
    for lib in (rt, torch):
        f = getattr(lib.nn.functional, pool)
        assert f(lib.ones(0, 2, 4, 4, 4), *([2, 2] if pool == "lp_pool3d" else [2])).shape == (0, 2, 2, 2, 2)


def test_sum_to_size_refuses_what_does_not_fit() -> None:
    for lib, size in itertools.product((rt, torch), [(3, 2, 3), (2, 2), (4,)]):
        with pytest.raises(RuntimeError, match="expand"):
            lib.ones(2, 3).sum_to_size(*size)
    assert rt.ones(2, 3).sum_to_size((3,)).tolist() == [2, 2, 2]


def test_out_decides_the_dtype_of_what_is_made() -> None:
    def f(lib: Any, _: Any) -> tuple[Any, ...]:
        lib.manual_seed(1)
        whole, wide = (lib.empty(0, dtype=d) for d in (lib.int64, lib.float64))
        return (
            lib.arange(3.5, out=whole),
            lib.full((2,), 1.5, out=lib.empty(0, dtype=lib.int64)),
            lib.randint(9, (4,), out=wide),
            lib.arange(0, 1, 0.1, out=lib.empty(0, dtype=lib.float64)),
        )

    both(f)
