"""Jacobians, Hessians and custom functions beside PyTorch's."""

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
