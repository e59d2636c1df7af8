"""Hooks, saved tensors and retained gradients beside PyTorch's: what fires, in which order, and what it sees."""

import gc
import weakref

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402

F = {rt: rt.nn.functional, torch: torch.nn.functional}


def leaves(lib, seen, **shapes):
    """Leaves that note their names when their gradients come."""
    made = []
    for name, shape in shapes.items():
        t = lib.full(shape, 0.5, requires_grad=True)
        t.register_hook(lambda g, name=name: seen.append((name, g.sum().item())))
        made.append(t)
    return made


def linear(lib, seen):
    x, w, b = leaves(lib, seen, x=(2, 3), w=(4, 3), b=(4,))
    return F[lib].linear(x, w, b)


def linear_without_bias(lib, seen):
    x, w = leaves(lib, seen, x=(2, 3), w=(4, 3))
    return F[lib].linear(x, w)


def two_layers(lib, seen):
    x, w, b, v, c = leaves(lib, seen, x=(2, 3), w=(4, 3), b=(4,), v=(2, 4), c=(2,))
    return F[lib].linear(F[lib].linear(x, w, b).tanh(), v, c)


def modules(lib, seen):
    m = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.ReLU(), lib.nn.LayerNorm(4), lib.nn.Linear(4, 2))
    for name, p in m.named_parameters():
        lib.nn.init.constant_(p, 0.25)
        p.register_hook(lambda g, name=name: seen.append((name, 0.0)))
    return m(lib.ones(2, 3))


def convolution(lib, seen):
    x, w, b = leaves(lib, seen, x=(1, 2, 4, 4), w=(3, 2, 2, 2), b=(3,))
    return F[lib].conv2d(x, w, b)


def products(lib, seen):
    a, b, c = leaves(lib, seen, a=(2, 3), b=(3, 2), c=(2,))
    return (a @ b) * c + a.sum()


def shared(lib, seen):
    a, b = leaves(lib, seen, a=(3,), b=(3,))
    return (a * b).exp() + b * 2 + a


def addmm(lib, seen):
    a, b, c = leaves(lib, seen, c=(2, 2), a=(2, 3), b=(3, 2))
    return lib.addmm(a, b, c)


def layer_norm(lib, seen):
    x, w, b = leaves(lib, seen, x=(2, 3), w=(3,), b=(3,))
    return F[lib].layer_norm(x, (3,), w, b)


def embedding_bag_of_words(lib, seen):
    e, w = leaves(lib, seen, e=(5, 3), w=(2, 3))
    return F[lib].linear(F[lib].embedding(lib.tensor([1, 2]), e), w)


def branches(lib, seen):
    a, b, c = leaves(lib, seen, a=(3,), b=(3,), c=(3,))
    y = a * b
    y.register_hook(lambda g: seen.append(("y", g.sum().item())))
    z = y + c
    z.register_hook(lambda g: seen.append(("z", g.sum().item())))
    return z * y


PROGRAMS = [
    linear,
    linear_without_bias,
    two_layers,
    modules,
    convolution,
    products,
    shared,
    addmm,
    layer_norm,
    embedding_bag_of_words,
    branches,
]


@pytest.mark.parametrize("program", PROGRAMS)
def test_order(program):
    orders = []
    for lib in (rt, torch):
        seen = []
        program(lib, seen).sum().backward()
        orders.append(seen)
    ours, theirs = orders
    assert [n for n, _ in ours] == [n for n, _ in theirs]
    assert [v for _, v in ours] == pytest.approx([v for _, v in theirs], abs=1e-5)


def retained_then_changed(lib):
    x = lib.ones(3, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.mul_(5)
    y.sum().backward()
    return y.grad, x.grad


def retained_in_a_view(lib):
    x = lib.ones(4, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y[:2].mul_(5)
    (y * y).sum().backward()
    return y.grad, x.grad


def retained_view_of_a_changed_base(lib):
    x = lib.ones(4, requires_grad=True)
    y = x * 2
    v = y[:2]
    v.retain_grad()
    y.mul_(3)
    (v * v).sum().backward()
    return v.grad, x.grad


def retained_twice(lib):
    x = lib.ones(3, requires_grad=True)
    y = x * 2
    y.retain_grad()
    y.retain_grad()
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    return y.grad, x.grad


def retained_beside_hooks(lib):
    x = lib.ones(3, requires_grad=True)
    y = x * 2
    y.register_hook(lambda g: g * 3)
    y.retain_grad()
    y.register_hook(lambda g: g + 1)
    y.sum().backward()
    return y.grad, x.grad


def hook_then_changed(lib):
    x = lib.ones(3, requires_grad=True)
    y = x * 2
    seen = []
    y.register_hook(lambda g: seen.append(g))
    y.mul_(5)
    y.register_hook(lambda g: seen.append(g))
    y.sum().backward()
    return *seen, x.grad


@pytest.mark.parametrize(
    "program",
    [
        retained_then_changed,
        retained_in_a_view,
        retained_view_of_a_changed_base,
        retained_twice,
        retained_beside_hooks,
        hook_then_changed,
    ],
)
def test_retained(program):
    ours, theirs = ([t.tolist() for t in program(lib)] for lib in (rt, torch))
    assert ours == theirs


def saves(lib, seen):
    class Keep(lib.autograd.Function):
        @staticmethod
        def forward(ctx, x, w, n):
            y = x * w
            z = x + 1
            ctx.save_for_backward(x, w, n, y, z, None)
            ctx.mark_non_differentiable(z)
            seen["saved"] = (x, w, n, y, z)
            return y, z

        @staticmethod
        def backward(ctx, g, _):
            x, w, n, y, z, nothing = ctx.saved_tensors
            seen["flags"] = [t.requires_grad for t in (x, w, n, y, z)]
            seen["same"] = [a is b for a, b in zip((x, w, n, z), [seen["saved"][i] for i in (0, 1, 2, 4)])]
            seen["output"] = y is seen["saved"][3], y.grad_fn is not None, y.is_leaf
            seen["leaf"] = x.is_leaf, w.is_leaf
            seen["nothing"] = nothing is None
            return g * w.detach(), g * x.detach(), None

    return Keep


@pytest.mark.parametrize("create_graph", [False, True])
def test_saved_tensors_keep_their_history(create_graph):
    found = []
    for lib in (rt, torch):
        seen = {}
        x, w = lib.ones(3, requires_grad=True), lib.ones(3, requires_grad=True)
        y, _ = saves(lib, seen).apply(x * 2, w, lib.ones(3))
        lib.autograd.grad(y.sum(), (x, w), create_graph=create_graph)
        found.append({k: v for k, v in seen.items() if k != "saved"})
    assert found[0] == found[1]


def test_a_saved_tensor_that_changed_is_refused():
    for lib in (rt, torch):
        w = lib.ones(3)
        y, _ = saves(lib, {}).apply(lib.ones(3, requires_grad=True) * 1, lib.ones(3, requires_grad=True), w)
        w.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()


def test_saved_tensors_are_freed_by_backward():
    for lib in (rt, torch):
        x = lib.ones(3, requires_grad=True)
        h = x * 2
        seen = {}
        y, _ = saves(lib, seen).apply(h, x, lib.ones(3))
        y.sum().backward(retain_graph=True)
        y.sum().backward()
        gone = weakref.ref(h)
        del h
        seen.clear()
        gc.collect()
        assert gone() is None
        with pytest.raises(RuntimeError, match="second time"):
            y.sum().backward()


def adjoint(lib):
    """The pattern of the adjoint method for differential equations: Euler's, walked backwards with local graphs."""

    class Solve(lib.autograd.Function):
        @staticmethod
        def forward(ctx, f, steps, h, y0, *parameters):
            ctx.f, ctx.steps, ctx.h = f, steps, h
            with lib.no_grad():
                y = y0
                for _ in range(steps):
                    y = y + h * f(y)
            ctx.save_for_backward(y, *parameters)
            return y

        @staticmethod
        def backward(ctx, g):
            y, *parameters = ctx.saved_tensors
            parameters = tuple(parameters)
            sums = [lib.zeros_like(p) for p in parameters]
            for _ in range(ctx.steps):
                with lib.enable_grad():
                    y = y.detach().requires_grad_(True)
                    v = ctx.f(y)
                    gy, *gp = lib.autograd.grad(v, (y, *parameters), g, allow_unused=True, retain_graph=True)
                y = y.detach() - ctx.h * v.detach()
                g = g + ctx.h * gy
                sums = [s if p is None else s + ctx.h * p for s, p in zip(sums, gp)]
            return None, None, None, g, *sums

    m = lib.nn.Linear(3, 3)
    with lib.no_grad():
        m.weight.copy_(lib.arange(9.0).view(3, 3) / 10 - 0.4)
        m.bias.fill_(0.1)
    unused = lib.ones(2, requires_grad=True)
    y0 = lib.tensor([1.0, -1.0, 0.5], requires_grad=True)
    y = Solve.apply(lambda t: m(t).tanh(), 5, 0.1, y0, *m.parameters(), unused)
    y.square().sum().backward()
    return [t.grad.flatten().tolist() for t in (y0, m.weight, m.bias, unused)]


def test_adjoint():
    for ours, theirs in zip(adjoint(rt), adjoint(torch)):
        assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)
