"""Composed words of the API beside PyTorch's."""

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402

A = [[1.0, 4.0, 2.0], [7.0, 0.0, 3.0]]


def plain(v):
    if isinstance(v, (tuple, list)):
        return [plain(e) for e in v]
    return [v.tolist(), str(v.dtype).split(".")[-1], list(v.shape)] if hasattr(v, "tolist") else v


CASES = {
    "diff": lambda t, a: [a.diff(), t.diff(a, n=2), t.diff(a, dim=0), (a > 1).diff(), t.diff(a, n=5)],
    "diff at ends": lambda t, a: t.diff(a, dim=0, prepend=t.zeros(1, 3), append=t.ones(2, 3)),
    "trapezoid": lambda t, a: [
        t.trapezoid(a),
        t.trapezoid(a, dx=2),
        t.trapezoid(a, t.tensor([0.0, 1.0, 3.0])),
        t.trapezoid(a, t.tensor([0.0, 2.0]), dim=0),
    ],
    "cdist": lambda t, a: [t.cdist(a, a + 1), t.cdist(a[None], a, p=1.0), t.cdist(a, a + 1, p=float("inf"))],
    "histc": lambda t, a: [t.histc(a, 4, 0, 8), a.histc(3), t.histc(t.ones(3), 5), t.histc(a.double(), 2, -5, 2)],
    "unique_consecutive": lambda t, a: [
        t.unique_consecutive(t.tensor([1, 1, 2, 2, 3, 1, 1]), return_inverse=True, return_counts=True),
        t.unique_consecutive(t.tensor([[1, 1], [1, 2]]), return_inverse=True, return_counts=True),
        t.unique_consecutive(t.tensor([[1, 2], [1, 2], [3, 4]]), dim=0, return_counts=True),
        t.unique_consecutive(a[:, :0]),
    ],
    "parts": lambda t, a: [
        t.hsplit(a, 3),
        t.hsplit(a[0], [1]),
        a.vsplit(2),
        t.dsplit(a[None], [1, 2]),
    ],
    "other shapes in place": lambda t, a: [
        a.clone().t_(),
        a.clone().unsqueeze_(1),
        a[None].clone().squeeze_(),
        a[None].clone().squeeze_(0),
        a.clone().transpose_(0, 1).add_(1),
        t.ones(6).resize_as_(a).shape,
    ],
    "diagonals": lambda t, a: [
        t.zeros(3, 3).fill_diagonal_(5),
        t.zeros(2, 4).fill_diagonal_(5),
        t.zeros(8, 3).fill_diagonal_(5),
        t.zeros(8, 3).fill_diagonal_(5, wrap=True),
        t.zeros(2, 2, 2).fill_diagonal_(1),
    ],
    "ranges as indices": lambda t, a: [a[range(2), [0, 2]], a[:, range(1, 3)], a[range(1)]],
    "gradients": lambda t, a: [
        t.autograd.grad(f(x), x)[0]
        for f in (
            lambda x: t.cdist(x, x * x).sum(),
            lambda x: x.diff(dim=0).pow(2).sum(),
            lambda x: t.trapezoid(x).pow(2).sum(),
            lambda x: (x * 2).t_().unsqueeze_(0).pow(2).sum(),
        )
        for x in [a.clone().requires_grad_()]
    ],
}


def same(ours, theirs):
    """Equal structures, with numbers that are close."""
    if isinstance(theirs, list):
        assert len(ours) == len(theirs)
        for a, b in zip(ours, theirs):
            same(a, b)
    else:
        assert ours == (pytest.approx(theirs, rel=1e-5, abs=1e-6) if isinstance(theirs, float) else theirs)


@pytest.mark.parametrize("name", CASES)
def test_words(name):
    same(plain(CASES[name](rt, rt.tensor(A))), plain(CASES[name](torch, torch.tensor(A))))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t, a: t.zeros(3).fill_diagonal_(1),
        lambda t, a: t.zeros(2, 2, 3).fill_diagonal_(1),
        lambda t, a: t.hsplit(a, 2),
        lambda t, a: t.vsplit(a[0], 1),
        lambda t, a: t.dsplit(a, 1),
        lambda t, a: t.cdist(a, a[:, :2]),
        lambda t, a: t.histc(a, 0),
        lambda t, a: t.histc(a, 3, 2, 1),
        lambda t, a: a.requires_grad_().unsqueeze_(0),
    ],
)
def test_misuse(wrong):
    for lib in (rt, torch):
        with pytest.raises(RuntimeError):
            wrong(lib, lib.tensor(A))


def test_shapes_of_leaves_change_in_place_without_recording():
    for lib in (rt, torch):
        a = lib.tensor(A, requires_grad=True)
        with lib.no_grad():
            a.t_()
        assert tuple(a.shape) == (3, 2) and a.requires_grad and a.is_leaf
