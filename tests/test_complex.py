"""What is particular about complex tensors: parts that share memory, optimizers, numbers."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

import rustorch as rt
from rustorch.errors import AutogradError, InvalidArgumentError


@pytest.mark.parametrize(
    "change",
    [
        lambda y: y.real.mul_(3),
        lambda y: y.imag.add_(1),
        lambda y: rt.view_as_real(y).mul_(2),
        lambda y: rt.view_as_real(y)[:, 0].fill_(3),
        lambda y: rt.view_as_real(y).t().mul_(2),
        lambda y: rt.view_as_complex(rt.view_as_real(y)).mul_(1j),
    ],
)
def test_parts_are_not_changed_behind_gradients(change: Any) -> None:
    z = rt.tensor([1 + 1j, 1.0], requires_grad=True)
    for y in (z * 2, z):
        with pytest.raises(AutogradError, match=r"inplace|in-place"):
            change(y)
    for t in (z.detach() * 1, z):
        before = t.detach().clone()
        with rt.no_grad():
            change(t)
        assert not t.equal(before)


def test_a_part_does_not_take_what_wants_a_gradient() -> None:
    u, r = rt.zeros(2, dtype=rt.complex64), rt.ones(2, requires_grad=True)
    with pytest.raises(AutogradError, match="another dtype"):
        u.real = r * 3
    u.real = r.detach() * 3
    assert u.tolist() == [3, 3]


def test_a_seed_is_complex_as_the_output_is() -> None:
    for value, seed in ((1.0, 1j), (1 + 2j, 1.0)):
        x = rt.tensor([value], requires_grad=True)
        with pytest.raises(AutogradError, match="the gradient has dtype"):
            (x * 1).backward(rt.tensor([seed]))
        assert x.grad is None


@pytest.mark.parametrize("name", ["SGD", "Adam", "NAdam", "Adagrad", "Adadelta", "RMSprop", "Rprop"])
def test_optimizers_step_as_on_pairs(name: str) -> None:
    p = rt.tensor([1 + 2j, 0.5 - 1j], requires_grad=True)
    pair = rt.view_as_real(p.detach().clone()).requires_grad_()
    both = [getattr(rt.optim, name)([t], lr=0.05) for t in (p, pair)]
    both[0] = pickle.loads(pickle.dumps(both[0]))
    (p,) = both[0].param_groups[0]["params"]
    for _ in range(3):
        p.grad = rt.tensor([1j, 2.0 + 0.5j])
        pair.grad = rt.view_as_real(p.grad.clone())
        for optimizer in both:
            optimizer.step()
    assert rt.view_as_real(p.detach()).equal(pair.detach())


def test_a_number_without_an_imaginary_part() -> None:
    assert (float(rt.tensor(2 + 0j)), int(rt.tensor(2 + 0j))) == (2.0, 2)
    for kind in (float, int):
        with pytest.raises(InvalidArgumentError, match="without loss"):
            kind(rt.tensor(2 + 1j))
