"""Transforms of functions within each other, and beside tensors that the functions have captured."""

from __future__ import annotations

from typing import Any

import pytest

import rustorch as rt
from rustorch import func, nn

W, X = rt.tensor([2.0, 3.0]), rt.tensor([1.0, 2.0])


def leaf() -> rt.Tensor:
    return W.clone().requires_grad_()


def test_gradients_of_gradients_by_what_is_captured() -> None:
    outer = func.grad(lambda w: func.grad(lambda x: (w * x * x).sum())(X).sum())(W)
    assert outer.tolist() == (2 * X).tolist() and not outer.requires_grad
    value = func.grad_and_value(lambda w: func.grad_and_value(lambda x: (w * x * x).sum())(X)[1])(W)
    assert value[0].tolist() == (X * X).tolist() and not value[1].requires_grad


def test_jacobians_of_jacobians_by_what_is_captured() -> None:
    outer = func.jacrev(lambda w: func.jacrev(lambda x: w * x * x)(X))(W)
    want = rt.zeros(2, 2, 2)
    want[0, 0, 0], want[1, 1, 1] = 2 * X
    assert outer.tolist() == want.tolist() and not outer.requires_grad
    mixed = func.grad(lambda w: func.hessian(lambda x: (w * x**3).sum())(X).sum())(W)
    assert mixed.tolist() == (6 * X).tolist()


def test_captured_parameters_are_trained() -> None:
    """As for a differential equation: the derivative by the input is part of the loss."""
    w = leaf()
    derivative = func.grad(lambda t: (w * t * t).sum())(X)
    assert derivative.requires_grad
    ((derivative - 1) ** 2).sum().backward()
    want = 2 * (2 * W * X - 1) * 2 * X
    assert w.grad.tolist() == want.tolist() and X.grad is None


@pytest.mark.parametrize("argnums", [0, (0, 1)])
def test_several_arguments_and_what_is_beside(argnums: Any) -> None:
    w = leaf()
    grads, aux = func.grad(lambda x, y: ((w * x * y).sum(), {"twice": 2 * w * x}), argnums, has_aux=True)(X, X + 1)
    first = grads if argnums == 0 else grads[0]
    (first.sum() + aux["twice"].sum()).backward()
    assert w.grad.tolist() == (X + 1 + 2 * X).tolist()
    free = func.grad(lambda x: ((x * x).sum(), x * 2), has_aux=True)(X)
    assert not free[0].requires_grad and not free[1].requires_grad


def test_products_within_gradients() -> None:
    def f(w: rt.Tensor) -> Any:
        out, product = func.vjp(lambda x: x**3, w)
        return (out + product(rt.ones(2))[0]).sum()

    assert func.grad(f)(W).tolist() == (3 * W**2 + 6 * W).tolist()
    out, product = func.vjp(lambda x: x**3, X)
    assert not out.requires_grad and not product(rt.ones(2))[0].requires_grad


def test_modules_with_given_parameters() -> None:
    net, x = nn.Linear(2, 1), rt.tensor([[1.0, 2.0]])
    given = {k: v.detach() for k, v in net.named_parameters()}
    grads = func.grad(lambda p: func.functional_call(net, p, (x,)).sum())(given)
    assert grads["weight"].tolist() == [[1.0, 2.0]] and grads["bias"].tolist() == [1.0]
    assert not any(g.requires_grad for g in grads.values())
    slope = func.grad(lambda t: net(t).sum())(x)
    slope.sum().backward()
    assert net.weight.grad.tolist() == [[1.0, 1.0]] and net.bias.grad is None
    with rt.no_grad():
        assert not func.grad(lambda t: net(t).sum())(x).requires_grad
