"""Jacobians, Hessians and custom functions beside PyTorch's."""

import warnings

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402
import rustorch.autograd.functional  # noqa: E402

A = [[0.5, -1.0, 2.0], [1.5, 0.25, -0.75]]
B = [0.3, -0.7, 1.1]


def plain(v):
    return tuple(plain(e) for e in v) if isinstance(v, (tuple, list)) else v.detach().tolist()


def both(f):
    """What `f(library, its functional module, two tensors)` gives in both libraries."""
    ours, theirs = (
        plain(f(lib, lib.autograd.functional, lib.tensor(A, dtype=lib.float64), lib.tensor(B, dtype=lib.float64)))
        for lib in (rt, torch)
    )
    return ours, theirs


def several(a, b):
    return a @ b, a.sum(0) * b


def cubes(a, b):
    return ((a @ b) ** 3).sum()


CASES = {
    "jacobian of several": lambda lib, f, a, b: f.jacobian(several, (a, b)),
    "jacobian of one": lambda lib, f, a, b: f.jacobian(lambda t: t.exp().sum(1), a),
    "jacobian of a number": lambda lib, f, a, b: f.jacobian(lambda t: t.sum(), b),
    "jacobian of a constant": lambda lib, f, a, b: f.jacobian(lambda t: lib.ones(2, dtype=lib.float64), b),
    "hessian": lambda lib, f, a, b: f.hessian(lambda t: (t**3).sum(), b),
    "hessian of several": lambda lib, f, a, b: f.hessian(cubes, (a, b)),
    "vjp": lambda lib, f, a, b: f.vjp(several, (a, b), (lib.ones(2, dtype=b.dtype), b)),
    "vjp of a number": lambda lib, f, a, b: f.vjp(cubes, (a, b)),
    "jvp": lambda lib, f, a, b: f.jvp(several, (a, b), (a + 1, b * 2)),
    "hvp": lambda lib, f, a, b: f.hvp(cubes, (a, b), (a + 1, b * 2)),
    "vhp": lambda lib, f, a, b: f.vhp(lambda t: (t**3).sum(), b, b + 1),
}


def flat(v):
    return [e for part in v for e in flat(part)] if isinstance(v, (tuple, list)) else [v]


def structure(v):
    return [structure(e) for e in v] if isinstance(v, (tuple, list)) else 0


@pytest.mark.parametrize("name", CASES)
def test_functional(name):
    ours, theirs = both(CASES[name])
    assert structure(ours) == structure(theirs)
    assert flat(ours) == pytest.approx(flat(theirs), rel=1e-12, abs=1e-12)


def test_results_that_can_be_differentiated():
    def f(lib, functional, a, b):
        b = b.requires_grad_()
        functional.jacobian(lambda t: t**3, b, create_graph=True).sum().backward()
        return b.grad

    ours, theirs = both(f)
    assert ours == pytest.approx(theirs)


@pytest.mark.parametrize(
    ("call", "error"),
    [
        (lambda f, b: f.jacobian(lambda t: b * 1, b, strict=True), RuntimeError),
        (lambda f, b: f.vjp(lambda t: t, b), RuntimeError),
        (lambda f, b: f.vjp(lambda t: t, b, b[:2]), RuntimeError),
        (lambda f, b: f.hessian(lambda t: t, b), RuntimeError),
        (lambda f, b: f.jacobian(lambda t: 3, b), TypeError),
    ],
)
def test_misuse(call, error):
    for lib in (rt, torch):
        with pytest.raises(error):
            call(lib.autograd.functional, lib.tensor(B))


def test_every_output_of_a_function_has_its_gradient():
    """Zeros for tensors without one (None if not materialized), None for what is no tensor."""

    def f(lib, functional, a, b, materialize=True):
        seen = []

        class Several(lib.autograd.Function):
            @staticmethod
            def forward(ctx, t):
                whole = (t > 0).long()
                ctx.mark_non_differentiable(whole)
                ctx.set_materialize_grads(materialize)
                return t * 2, whole, "text", t * 3

            @staticmethod
            @lib.autograd.function.once_differentiable
            def backward(ctx, *grads):
                seen.extend("None" if g is None else (str(g.dtype).split(".")[-1], g.tolist()) for g in grads)
                return grads[0] * 2

        b = b.requires_grad_()
        Several.apply(b)[0].sum().backward()
        return seen, b.grad.tolist()

    for materialize in (True, False):
        ours, theirs = (f(lib, None, None, lib.tensor(B), materialize) for lib in (rt, torch))
        assert ours == theirs


def test_nodes_have_classes_of_their_names():
    names = []
    for lib in (rt, torch):
        node = (lib.tensor(B).requires_grad_() * 2).exp().grad_fn
        below = node.next_functions[0][0]
        names.append([type(node).__name__, node.name(), type(below).__name__, below.name()])
    assert names[0] == names[1]


def after_accumulation(lib):
    """What hooks of a leaf see, in which order, on all the ways of a gradient to it."""
    x = lib.ones(3, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(("before", g.tolist())) or g.clamp(max=4))
    x.register_post_accumulate_grad_hook(
        lambda p: seen.append(("first", p is x, p.grad.tolist(), lib.is_grad_enabled()))
    )
    handle = x.register_post_accumulate_grad_hook(lambda p: seen.append(("second", p.grad.tolist())))
    (x * 2 * x + x).sum().backward()
    y = x.exp().log() * x
    (y + y * 2).sum().backward(inputs=[x])
    seen.append(lib.autograd.grad((x * 2 + x).sum(), x)[0].tolist())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch's, of the cycle that x and its gradient now are
        (x * 2).sum().backward(create_graph=True)
    x.backward(lib.ones(3))
    handle.remove()
    x.grad = None
    lib.autograd.backward([(x * 2).sum(), x.sum()])
    x.register_post_accumulate_grad_hook(lambda p: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        (x * 2).sum().backward()
    return seen


def test_hooks_after_accumulation():
    ours, theirs = after_accumulation(rt), after_accumulation(torch)
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs):
        assert str(a) == str(b)


def inference(lib):
    """Of each call: which refusal it met, or whether the result is an inference tensor and requires a gradient."""
    w, n = lib.ones(3, requires_grad=True), lib.ones(3)
    found = {}
    refusals = [
        "saved for backward",
        "Inplace update to inference tensor outside InferenceMode",
        "Setting requires_grad=True on inference tensor outside InferenceMode",
        "do not track version counter",
        "does not require grad",
    ]

    def note(where, calls):
        for i, f in enumerate(calls):
            try:
                t = f()
                found[where, i] = (t.is_inference(), t.requires_grad) if isinstance(t, lib.Tensor) else t
            except RuntimeError as e:
                found[where, i] = [r for r in refusals if r in str(e)] or str(e)

    with lib.inference_mode():
        a, i = lib.ones(3), lib.tensor([0, 2])
        v, nv = (a * 2)[:2], n[:2]
        note(
            "inside",
            [
                lambda: a,
                lambda: v,
                lambda: nv,
                lambda: i,
                lambda: n.add_(1),
                lambda: w * 2,
                lambda: lib.ones(2).requires_grad_(),
                lambda: lib.tensor([1.0], requires_grad=True),
                lambda: n.detach(),
                lambda: n.data,
                lambda: n.contiguous(),
                lambda: n.to(lib.float64),
                lambda: n.clone(),
                lambda: w.add_(1),
                lambda: lib.add(a, a, out=n),
                lambda: lib.nn.Linear(2, 2).weight,
                lambda: a.detach(),
                lambda: a.split(2)[0],
                lambda: (w * 2).sum().backward(),
                lib.is_grad_enabled,
            ],
        )
        with lib.enable_grad():
            note("enabled", [lambda: w * 2, lib.is_grad_enabled])
        with lib.inference_mode(False):
            note("left", [lambda: w * 2, lambda: a.clone(), lambda: w * a, lib.is_grad_enabled])
    with lib.no_grad():
        with lib.inference_mode(False):
            note("not entered", [lib.is_grad_enabled])
        note("without gradients", [lambda: w * a, lambda: a.add_(1), lambda: a[:2].zero_()])
    note(
        "outside",
        [
            lambda: a[:2],
            lambda: a.detach(),
            lambda: a.data,
            lambda: a.clone(),
            lambda: a + 1,
            lambda: a.view(3, 1),
            lambda: a.contiguous(),
            lambda: a.to(lib.float32),
            lambda: a.to(lib.float64),
            lambda: a.expand(2, 3),
            lambda: w * a,
            lambda: w + a,
            lambda: a * n,
            lambda: w @ a,
            lambda: w[i],
            lambda: w.gather(0, i),
            lambda: lib.cat([w, a]),
            lambda: (w * 1).mul_(a),
            lambda: (w * 1).add_(a),
            lambda: n.add_(a),
            lambda: n.copy_(a),
            lambda: nv.add_(1),
            lambda: a.add_(1),
            lambda: v.mul_(2),
            lambda: a.copy_(n),
            lambda: a.zero_(),
            lambda: a.__setitem__(0, 1.0),
            lambda: lib.add(n, n, out=a),
            lambda: a.requires_grad_(),
            lambda: a.requires_grad_(False),
            lambda: lib.nn.Parameter(a),
            lambda: (w * 2).backward(a),
            lambda: lib.as_tensor(a),
            lambda: a._version,
        ],
    )
    w.data = a
    w.grad = None
    note("afterwards", [lambda: w, lambda: w * 1, lambda: w * n])
    w.grad = a
    note("a gradient", [lambda: (w * 1).sum().backward()])
    return found


def test_inference_tensors():
    ours, theirs = inference(rt), inference(torch)
    assert {k: (v, theirs[k]) for k, v in ours.items() if v != theirs[k]} == {}
