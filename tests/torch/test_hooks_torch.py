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


def linear_in_3d(lib, seen):
    x, w, b = leaves(lib, seen, x=(2, 5, 3), w=(4, 3), b=(4,))
    return F[lib].linear(x, w, b)


def linear_in_1d(lib, seen):
    x, w, b = leaves(lib, seen, x=(3,), w=(4, 3), b=(4,))
    return F[lib].linear(x, w, b)


def linear_in_3d_without_bias(lib, seen):
    x, w = leaves(lib, seen, x=(2, 5, 3), w=(4, 3))
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


def after_collecting(lib, seen):
    m = lib.nn.Sequential(lib.nn.Conv2d(1, 2, 2), lib.nn.BatchNorm2d(2), lib.nn.Flatten(), lib.nn.Linear(2, 2))
    for name, p in m.named_parameters():
        p.register_post_accumulate_grad_hook(lambda p, name=name: seen.append((name, 0.0)))
    return m(lib.ones(2, 1, 2, 2))


def convolution_without_batch(lib, seen):
    x, w, b = leaves(lib, seen, x=(2, 4, 4), w=(3, 2, 2, 2), b=(3,))
    return F[lib].conv2d(x, w, b)


def products_of_many_shapes(lib, seen):
    total = 0
    for i, (a, b) in enumerate([((3,), (3, 2)), ((2, 3), (3,)), ((4, 2, 3), (3, 2)), ((4, 2, 3), (3,)), ((3,), (3,)),
                                ((2, 3), (4, 3, 2)), ((4, 2, 3), (4, 3, 2)), ((3,), (4, 3, 2))]):  # fmt: skip
        x, y = leaves(lib, seen, **{f"a{i}": a, f"b{i}": b})
        total = total + (x @ y).sum()
    return total


def root_mean_square(lib, seen):
    x, w = leaves(lib, seen, x=(2, 3), w=(3,))
    return F[lib].rms_norm(x, (3,), w)


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
    linear_in_3d,
    linear_in_1d,
    linear_in_3d_without_bias,
    two_layers,
    modules,
    after_collecting,
    convolution,
    convolution_without_batch,
    products_of_many_shapes,
    root_mean_square,
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


def leaf_that_is_gone(lib, keep):
    """What the hooks of a leaf see whose object was dropped before backward."""
    seen = []
    p = lib.nn.Parameter(lib.ones(3))
    p.note = "mine"
    p.register_hook(lambda g: seen.append(("hook", g.tolist())))
    y = (p * 2 + p).sum()  # recorded before the hook is there
    p.register_post_accumulate_grad_hook(
        lambda p: seen.append((type(p).__name__, p.note, p.tolist(), p.grad.tolist(), p.is_leaf))
    )
    kept = p if keep else None
    del p
    gc.collect()
    y.backward(retain_graph=True)
    y.backward()
    del kept
    return seen


@pytest.mark.parametrize("keep", [False, True])
def test_leaves_that_are_gone(keep):
    ours, theirs = (leaf_that_is_gone(lib, keep) for lib in (rt, torch))
    assert ours == theirs
    assert ours[1] == ("Parameter", "mine", [1.0] * 3, [3.0] * 3, True)


@pytest.mark.parametrize("lib", [rt, torch])
def test_the_hook_of_a_leaf_sees_new_data(lib):
    seen = []
    p = lib.ones(2, requires_grad=True)
    y = (p * 2).sum()
    p.data = lib.full((2,), 7.0)
    p.register_post_accumulate_grad_hook(lambda p: seen.append((p.tolist(), p.grad.tolist())))
    y.backward()
    assert seen == [([7.0, 7.0], [2.0, 2.0])]


def hooks_of_nodes(lib):
    x, w = lib.ones(3, requires_grad=True), lib.full((3,), 2.0, requires_grad=True)
    seen = []

    def sums(gs):
        return [None if g is None else g.sum().item() for g in gs]

    y = x * w
    node = y.grad_fn
    leaf = node.next_functions[0][0]
    node.register_prehook(lambda gs: (seen.append(("before", sums(gs))), (gs[0] * 2,))[1])
    node.register_hook(lambda gi, go: (seen.append(("after", sums(gi), sums(go))), (gi[0] * 10, None))[1])
    node.register_hook(lambda gi, go: seen.append(("then", sums(gi), sums(go))))
    leaf.register_prehook(lambda gs: (seen.append(("before leaf", sums(gs))), (gs[0] + 1,))[1])
    leaf.register_hook(lambda gi, go: seen.append(("after leaf", gi, sums(go), x.grad.tolist())))
    x.register_hook(lambda g: seen.append(("leaf", g.sum().item())))
    x.register_post_accumulate_grad_hook(lambda p: seen.append(("collected", p.grad.tolist())))
    y.register_hook(lambda g: (seen.append(("tensor", g.sum().item())), g * 3)[1])
    y.retain_grad()
    gone = node.register_hook(lambda gi, go: seen.append("removed"))
    gone.remove()
    (y.sum() + x.sum()).backward()
    seen.append((y.grad.tolist(), x.grad.tolist(), None if w.grad is None else w.grad.tolist()))
    v, w = lib.ones(3, requires_grad=True), lib.ones(3, requires_grad=True)
    y = v * w
    y.grad_fn.register_prehook(lambda gs: (None,))
    y.sum().backward()
    seen.append((v.grad is None, w.grad is None))
    y = x * w
    y.grad_fn.register_prehook(lambda gs: seen.append("not run"))
    y.register_hook(lambda g: seen.append("captured"))
    seen.append([g.tolist() for g in lib.autograd.grad(y.sum(), [y])])
    return seen


def test_hooks_of_nodes():
    ours, theirs = hooks_of_nodes(rt), hooks_of_nodes(torch)
    assert ours == theirs


def test_nodes_are_as_in_torch():
    found = []
    for lib in (rt, torch):
        x = lib.ones(3, requires_grad=True)
        a, b = (x * 2).reshape(3, 1).expand(3, 2).unbind(1)
        y = a * b
        node, leaf = y.grad_fn, (x * 1).grad_fn.next_functions[0][0]
        node.metadata["note"] = 1
        edge = lib.autograd.graph.get_gradient_edge
        found.append(
            [
                node is y.grad_fn,
                y.grad_fn.metadata,
                [k for _, k in node.next_functions],
                node.next_functions[0][0] is node.next_functions[1][0],
                (y + 1).grad_fn.next_functions[0][0] is node,
                type(leaf).__name__,
                leaf.variable.data_ptr() == x.data_ptr(),
                leaf.next_functions,
                leaf is (x + 1).grad_fn.next_functions[0][0],
                edge(b).output_nr,
                edge(b).node is b.grad_fn,
                edge(x).node is leaf,
                (x * 2).grad_fn.next_functions[1],
            ]
        )
        with pytest.raises(RuntimeError, match="does not require grad"):
            edge(lib.ones(1))
    assert found[0] == found[1]


BAD_HOOKS = [
    ("register_hook", lambda gi, go: (gi[0],)),
    ("register_hook", lambda gi, go: 3),
    ("register_hook", lambda gi, go: (gi[0], 3)),
    ("register_hook", lambda gi, go: gi[0]),
    ("register_hook", lambda gi, go: 1 / 0),
    ("register_prehook", lambda go: ()),
    ("register_prehook", lambda go: 3),
    ("register_prehook", lambda go: go[0]),
    ("register_prehook", lambda go: 1 / 0),
]


@pytest.mark.parametrize("kind,hook", BAD_HOOKS)
def test_node_hooks_that_are_wrong(kind, hook):
    messages = []
    for lib in (rt, torch):
        x = lib.ones(3, requires_grad=True)
        y = x * lib.full((3,), 2.0, requires_grad=True)
        getattr(y.grad_fn, kind)(hook)
        with pytest.raises((RuntimeError, TypeError, ZeroDivisionError)) as e:
            y.sum().backward()
        messages.append(str(e.value))
        assert x.grad is None
    assert messages[0] == messages[1]


# ---- what is saved ----


class Noted:
    """Pairs of hooks that note what they see and keep tensors as lists."""

    def __init__(self, lib):
        self.lib, self.seen = lib, []
        self.hooks = lib.autograd.graph.saved_tensors_hooks(self.pack, self.unpack)

    def pack(self, t):
        self.seen.append(("pack", t.tolist(), t.requires_grad, self.lib.is_grad_enabled()))
        return t.tolist()

    def unpack(self, values):
        self.seen.append(("unpack", values, self.lib.is_grad_enabled()))
        return self.lib.tensor(values)


def saved_by_ops(lib):
    noted = Noted(lib)
    x, w = lib.full((3,), 0.5, requires_grad=True), lib.full((3,), 2.0, requires_grad=True)
    with noted.hooks:
        y = (x * w + 1) * w.detach()
        z = y.square().sum()
    z.backward(retain_graph=True)
    z.backward()
    # In which order the two factors of a product are saved is nobody's business.
    return sorted(map(str, noted.seen)), x.grad.tolist(), w.grad.tolist()


def saved_by_a_function(lib):
    noted, seen = Noted(lib), {}
    x, w = lib.full((3,), 0.5, requires_grad=True), lib.full((3,), 2.0, requires_grad=True)
    with noted.hooks:
        y, _ = saves(lib, seen).apply(x, w, lib.ones(3))
    y.sum().backward()
    noted.seen = [n if n[0] == "unpack" else n[:2] for n in noted.seen]
    return noted.seen, seen["flags"], seen["same"], seen["leaf"], x.grad.tolist(), w.grad.tolist()


def saved_in_place(lib):
    noted = Noted(lib)
    x = lib.full((3,), 0.5, requires_grad=True)
    with noted.hooks:
        y = x * 1
        y.exp_()
        y[:1].mul_(y[1:2].detach())
    y.sum().backward()
    return sorted(n[1] for n in noted.seen), x.grad.tolist()


def saved_twice_over(lib):
    """Gradients of gradients, through hooks."""
    noted = Noted(lib)
    x = lib.full((3,), 0.5, requires_grad=True)
    with noted.hooks:
        y = (x * x * x).sum()
    (g,) = lib.autograd.grad(y, x, create_graph=True)
    g.sum().backward()
    return g.tolist(), x.grad.tolist()


def saved_by_the_innermost(lib):
    seen = []
    hooks = lib.autograd.graph.saved_tensors_hooks
    x, w = lib.ones(3, requires_grad=True), lib.ones(3, requires_grad=True)
    with hooks(lambda t: ("outer", t), lambda p: (seen.append(p[0]), p[1])[1]):
        with hooks(lambda t: ("inner", t), lambda p: (seen.append(p[0]), p[1])[1]):
            a = x * w
        b = (x * w).sum()
    c = x * w
    a.sum().backward()
    b.backward()
    c.sum().backward()
    return seen


def unpacked_otherwise(lib):
    """Backward reads what the hook gives."""
    x, w = lib.ones(3, requires_grad=True), lib.full((3,), 2.0, requires_grad=True)
    with lib.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t * 10):
        y = x * w
    y.sum().backward()
    return x.grad.tolist(), w.grad.tolist()


def changed_after_it_was_saved(lib):
    x = lib.full((3,), 0.5, requires_grad=True)
    with lib.autograd.graph.allow_mutation_on_saved_tensors():
        y = x * 2
        z = (y * y).sum()
        y.mul_(3)
        (z + y.sum()).backward()
    return x.grad.tolist()


def kept_on_the_cpu(lib):
    x = lib.full((3,), 0.5, requires_grad=True)
    with lib.autograd.graph.save_on_cpu(pin_memory=False):
        y = x.exp() * x
    y.sum().backward()
    return [round(v, 5) for v in x.grad.tolist()]


SAVED = [
    saved_by_ops,
    saved_by_a_function,
    saved_in_place,
    saved_twice_over,
    saved_by_the_innermost,
    unpacked_otherwise,
    changed_after_it_was_saved,
    kept_on_the_cpu,
]


@pytest.mark.parametrize("program", SAVED)
def test_saved_tensors_hooks(program):
    ours, theirs = program(rt), program(torch)
    assert ours == theirs


def test_saved_tensors_hooks_that_fail():
    for lib in (rt, torch):
        x, w = lib.ones(3, requires_grad=True), lib.ones(3, requires_grad=True)
        graph = lib.autograd.graph
        with pytest.raises(ZeroDivisionError), graph.saved_tensors_hooks(lambda t: 1 / 0, lambda p: p):
            x * w
        with graph.saved_tensors_hooks(lambda t: 1, lambda p: p):
            y = (x * w).sum()
        with pytest.raises(TypeError, match="unpack_hook expected to be a Tensor but got result of type int"):
            y.backward()
        with pytest.raises(RuntimeError, match="in place"), graph.saved_tensors_hooks(lambda t: t.add_(1), lambda p: p):
            x * (w * 2)
        with (
            graph.disable_saved_tensors_hooks("not here"),
            pytest.raises(RuntimeError, match="not here"),
            graph.saved_tensors_hooks(lambda t: t, lambda p: p),
        ):
            pass
        with (
            graph.saved_tensors_hooks(lambda t: t, lambda p: p),
            pytest.raises(RuntimeError, match="not here"),
            graph.disable_saved_tensors_hooks("not here"),
        ):
            pass
        (x * w).sum().backward()
        assert x.grad.tolist() == w.tolist()


def multi_grad_hooks(lib, mode):
    seen = []
    a, b, c = (lib.full((2,), v, requires_grad=True) for v in (1.0, 2.0, 3.0))

    def note(gs):
        seen.append([None if g is None else g.tolist() for g in gs] if isinstance(gs, (list, tuple)) else gs.tolist())

    handle = lib.autograd.graph.register_multi_grad_hook((a, b, c), note, mode=mode)
    (a * b).sum().backward()
    (a * b * c).sum().backward()
    a.sum().backward()
    handle.remove()
    (a * b * c).sum().backward()
    return seen


@pytest.mark.parametrize("mode", ["all", "any"])
def test_multi_grad_hooks(mode):
    ours, theirs = (multi_grad_hooks(lib, mode) for lib in (rt, torch))
    assert len(ours) == 3 and ours == theirs


@pytest.mark.parametrize("lib", [rt, torch])
def test_removed_hooks_of_results_that_are_gone(lib):
    """A handle works when only the graph holds what the hook was registered on, also after an in-place op."""
    seen = []
    x = lib.ones(3, requires_grad=True)
    y = x * 2
    h = y.register_hook(lambda g: seen.append("y"))
    z = y.sum()
    del y
    h.remove()
    v = x * 2
    h = v.register_hook(lambda g: seen.append("v"))
    v.mul_(2)
    h.remove()
    (z + v.sum()).backward()
    assert seen == []


def test_increment_version():
    for lib in (rt, torch):
        w = lib.ones(3)
        y = (lib.ones(3, requires_grad=True) * w).sum()
        lib.autograd.graph.increment_version(w)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()


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
