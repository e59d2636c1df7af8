"""Gradients that are kept belong to their tensor alone, and have its shape and dtype, whatever hooks and rules do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import rustorch as rt
from rustorch import errors

if TYPE_CHECKING:
    from collections.abc import Callable


def leaves(n: int = 2) -> list[rt.Tensor]:
    return [rt.ones(2, requires_grad=True) for _ in range(n)]


def by_backward(root: rt.Tensor, tensors: list[rt.Tensor], **options: Any) -> None:
    root.backward(**options)


def by_inputs(root: rt.Tensor, tensors: list[rt.Tensor], **options: Any) -> None:
    root.backward(inputs=tensors, **options)


WAYS = [by_backward, by_inputs]


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_no_gradient_shares_memory(way: Callable[..., None], graph: bool) -> None:
    a, b = leaves()
    for k in (1, 2):
        way(((a + b) * 2).sum(), [a, b], create_graph=graph)
        assert a.grad.tolist() == b.grad.tolist() == [2.0 * k] * 2
    with rt.no_grad():
        a.grad.mul_(5)
    assert b.grad.tolist() == [4.0] * 2


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_gradients_can_be_written_to(way: Callable[..., None], graph: bool) -> None:
    """A gradient that was spread from a number gets memory of its own."""
    (a,) = leaves(1)
    way((a + 1).sum(), [a], create_graph=graph)
    assert a.grad.is_contiguous()
    way((a + 1).sum(), [a], create_graph=graph)
    rt.nn.utils.clip_grad_norm_([a], 1.0)
    assert a.grad.norm().item() == pytest.approx(1.0)


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_what_the_caller_gave_is_not_kept(way: Callable[..., None], graph: bool) -> None:
    (a,) = leaves(1)
    g = rt.tensor([3.0, 4.0])
    way(a, [a], gradient=g, create_graph=graph)
    with rt.no_grad():
        a.grad.mul_(7)
    assert g.tolist() == [3.0, 4.0]


def test_an_input_named_twice_counts_once() -> None:
    a, b = leaves()
    (a * 3 + b).sum().backward(inputs=[a, b, a])
    assert (a.grad.tolist(), b.grad.tolist()) == ([3.0] * 2, [1.0] * 2)


@pytest.mark.parametrize("graph", [False, True])
def test_retained_gradients_are_copies(graph: bool) -> None:
    (a,) = leaves(1)
    x, y = a * 1, a * 1
    x.retain_grad()
    y.retain_grad()
    (x + y).sum().backward(create_graph=graph)
    with rt.no_grad():
        x.grad.mul_(5)
    assert y.grad.tolist() == [1.0] * 2


def test_a_kept_gradient_with_a_graph_can_be_derived() -> None:
    (a,) = leaves(1)
    (a**3).sum().backward(create_graph=True)
    assert a.grad.requires_grad and not a.grad.is_leaf
    (second,) = rt.autograd.grad(a.grad.sum(), a)
    assert second.tolist() == [6.0] * 2


WRONG: list[tuple[Any, str]] = [
    (lambda g: g[:1], "size"),
    (lambda g: g.unsqueeze(0), "size"),
    (lambda g: g.expand(2, 2), "size"),
    (lambda g: g.sum(), "size"),
    (lambda g: g.double(), "type"),
    (lambda g: g.long(), "type"),
]


@pytest.mark.parametrize(("hook", "what"), WRONG)
@pytest.mark.parametrize("inner", [False, True])
@pytest.mark.parametrize("way", [*WAYS, lambda root, tensors: rt.autograd.grad(root, tensors)])
def test_hooks_keep_shape_and_dtype(way: Callable[..., Any], inner: bool, hook: Any, what: str) -> None:
    (a,) = leaves(1)
    x = a * 2
    (x if inner else a).register_hook(hook)
    with pytest.raises(errors.AutogradError, match=f"a hook has changed the {what} of value"):
        way((x * x).sum(), [a])
    assert a.grad is None


def test_gradients_of_functions_have_a_fitting_shape() -> None:
    class Wrong(rt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: rt.Tensor, y: rt.Tensor) -> rt.Tensor:
            return x + y

        @staticmethod
        def backward(ctx: Any, g: rt.Tensor) -> Any:
            return g, g[:1]

    a, b = leaves()
    message = r"Function WrongBackward returned an invalid gradient at index 1 - got \[1\] but expected .* \[2\]"
    with pytest.raises(errors.AutogradError, match=message):
        Wrong.apply(a, b).sum().backward()


@pytest.mark.parametrize("offset", [0, 2])
def test_places_of_a_gradient_that_is_a_part_of_another(offset: int) -> None:
    """What `cat` sends back is a view with an offset of its own."""
    x0 = rt.ones(6, requires_grad=True)
    w = rt.full((2,), 3.0, requires_grad=True)
    x = x0 * 1
    x[1:3].mul_(w)
    g = rt.arange(6.0 + offset)
    rt.cat([rt.zeros(offset), x]).backward(g)
    want = g[offset:].tolist()
    assert x0.grad.tolist() == [want[0], 3 * want[1], 3 * want[2], *want[3:]]
    assert w.grad.tolist() == want[1:3]


@pytest.mark.parametrize("needs", ["base", "operand", "leaf"])
def test_views_of_no_grad_are_not_changed_where_gradients_are_wanted(needs: str) -> None:
    x = rt.ones(3, requires_grad=needs != "operand")
    x = x if needs == "leaf" else x * 1
    w = rt.full((2,), 3.0, requires_grad=needs == "operand")
    with rt.no_grad():
        y = x[:2]
        z = y.view(2, 1)
        y.mul_(1)
    for change in (
        lambda: y.mul_(w),
        lambda: z.squeeze(1).mul_(w),
        lambda: rt.relu_(y) if needs != "operand" else y.add_(w),
    ):
        with pytest.raises(errors.AutogradError, match="A view was created in no_grad mode"):
            change()
    assert x.tolist() == [1.0] * 3
    rt.ones(3)[:2].mul_(2)


def test_graphs_that_saved_nothing_can_be_walked_again() -> None:
    x = rt.ones(2, requires_grad=True)
    y = (x + 2).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == [2.0, 2.0]
    z = (x * x + 1).sum()
    z.backward()
    with pytest.raises(errors.AutogradError, match="a second time"):
        z.backward()
    assert x.grad.tolist() == [4.0, 4.0]


def test_who_retains_its_gradient() -> None:
    (a,) = leaves(1)
    x = a * 1
    assert not x.retains_grad and not a.retains_grad
    x.retain_grad()
    a.retain_grad()  # a leaf keeps its own anyway
    assert x.retains_grad and not a.retains_grad and not (x * 1).retains_grad
    x.mul_(2)
    assert x.retains_grad
    rt.optim.SGD([x], lr=0.1)
    with pytest.raises(errors.RustorchError):
        rt.optim.SGD([x * 1], lr=0.1)


def test_frozen_leaves_get_nothing() -> None:
    a, b = leaves()
    y = (a * b).sum()
    a.requires_grad_(False)
    y.backward()
    assert a.grad is None and b.grad.tolist() == [1.0, 1.0]


def test_leaves_that_have_become_results() -> None:
    a, b = leaves()
    y = (a * 3).sum()
    a.requires_grad_(False)
    a.mul_(b)
    with pytest.raises(errors.AutogradError, match="moved into the graph interior"):
        y.backward()


@pytest.mark.parametrize("shape", [(4, 1), (3, 1, 2), (2, 1, 2, 2), (4, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_changes_of_parts_of_normalised_batches(shape: tuple[int, ...], training: bool) -> None:
    """With one channel, results come from memory that was turned around."""
    x = rt.arange(float(rt.Size(shape).numel()), dtype=rt.float64).reshape(shape).sin().requires_grad_()
    stats = [rt.zeros(shape[1], dtype=rt.float64), rt.ones(shape[1], dtype=rt.float64)]

    def f(x: rt.Tensor) -> rt.Tensor:
        y = rt.nn.functional.batch_norm(x, *[s.clone() for s in stats], training=training)
        y[0].mul_(3)
        y.unsqueeze(0)[..., -1].exp_()
        return (y * y).sum()

    assert rt.autograd.gradcheck(f, (x,))


VIEWS: list[Any] = [
    lambda: rt.arange(4.0).reshape(2, 2),
    lambda: rt.ones(3, 2)[1:],
    lambda: rt.ones(2, 2).t(),
    lambda: rt.ones(4, 2).chunk(2)[0],
]


@pytest.mark.parametrize("make", VIEWS)
def test_leaves_that_are_views_stay_leaves(make: Callable[[], rt.Tensor]) -> None:
    x = make().requires_grad_()

    def assign() -> None:
        x[0] = 5.0

    for change in (assign, lambda: x[0].mul_(2), lambda: x.diagonal().zero_(), lambda: x.mul_(2)):
        with pytest.raises(errors.AutogradError, match="leaf Variable that requires grad"):
            change()
    (x * 2).sum().backward()
    assert x.is_leaf and x.grad.tolist() == [[2.0, 2.0], [2.0, 2.0]]


@pytest.mark.parametrize("op", ["exp_", "sigmoid_", "tanh_", "sqrt_", "reciprocal_", "relu_"])
def test_second_derivatives_through_changes_of_views(op: str) -> None:
    x = rt.tensor([0.5, 1.5, 2.5], dtype=rt.float64, requires_grad=True)

    def f(x: rt.Tensor) -> rt.Tensor:
        b = x * 1
        getattr(b[:2], op)()
        return (b * b).sum()

    (g,) = rt.autograd.grad(f(x), x, create_graph=True)
    (second,) = rt.autograd.grad(g.sum(), x)
    h = 1e-6
    slopes = [rt.autograd.grad(f(x + s * h), x)[0] for s in (1, -1)]
    assert second.tolist() == pytest.approx(((slopes[0] - slopes[1]) / (2 * h)).tolist(), rel=1e-6)


def test_no_tensor_is_its_own_gradient() -> None:
    x = rt.ones(2, requires_grad=True)
    seen: list[rt.Tensor] = []
    handle = x.register_post_accumulate_grad_hook(lambda t: seen.append(t))
    (x * 2).sum().backward()
    handle.remove()
    for same in (x, *seen):
        with pytest.raises(errors.AutogradError, match="its own gradient"):
            x.grad = same
    x.grad = x.detach()
    assert x.grad.tolist() == [1.0, 1.0]
