"""Deep copies: what shared memory before shares it afterwards, and only with its fellows."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import rustorch as rt
from rustorch import nn


def test_views_in_one_structure_still_share() -> None:
    x = rt.arange(12.0).view(3, 4)
    for order in ([x, x[:2], x.t(), x.detach(), x[1:, 2]], [x[1:, 2], x[:2], x], [x[:1], x[2:]]):
        old: Any = {"list": order, "again": order[0]}
        new = copy.deepcopy(old)
        assert new["again"] is new["list"][0]
        for a, b in zip(order, new["list"]):
            assert a.tolist() == b.tolist() and a.stride() == b.stride() and a.storage_offset() == b.storage_offset()
        before = x.clone()
        for i, t in enumerate(new["list"]):
            t.add_(i + 1)
        assert rt.equal(x, before)  # the copies share nothing with the originals
        for i, t in enumerate(order):
            t.add_(i + 1)
        assert [a.tolist() for a in order] == [b.tolist() for b in new["list"]]  # but all with each other
        x.copy_(before)


def test_copies_made_one_by_one_are_apart() -> None:
    x = rt.arange(4.0)
    a, b = copy.deepcopy(x), copy.deepcopy(x[:2])
    a.zero_()
    assert b.tolist() == [0, 1] and x.tolist() == [0, 1, 2, 3]
    assert copy.deepcopy(rt.ones(1).expand(3)).stride() == (0,)
    assert copy.deepcopy(rt.zeros(0, 3)).shape == (0, 3)
    assert copy.deepcopy(rt.tensor(5)).item() == 5


def test_modules_with_buffers_that_are_views() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("all", rt.arange(6.0))
            self.register_buffer("part", self.all[:3])
            self.weight = nn.Parameter(rt.ones(2, 2))
            self.row = nn.Parameter(self.weight.detach()[0])

    old = Tied()
    new = copy.deepcopy(old)
    new.all.mul_(10)
    assert new.part.tolist() == [0, 10, 20] and old.part.tolist() == [0, 1, 2]
    with rt.no_grad():
        new.weight.fill_(7)
    assert new.row.tolist() == [7, 7] and old.row.tolist() == [1, 1]
    assert isinstance(new.row, nn.Parameter) and new.row.requires_grad and new.row.is_leaf


def test_gradients_and_attributes_are_copied() -> None:
    x = rt.ones(3, requires_grad=True)
    (x * 2).sum().backward()
    x.note = [1]
    y = copy.deepcopy(x)
    assert y.grad.tolist() == [2, 2, 2] and y.note == [1] and y.note is not x.note
    y.grad.zero_()
    assert x.grad.tolist() == [2, 2, 2]


def test_attributes_of_copies() -> None:
    """Those of shallow copies are the same objects in a dict of their own; deep copies know each other."""
    x = rt.ones(2, requires_grad=True)
    x.note, x.grad = [1], rt.ones(2)
    shallow = copy.copy(x)
    shallow.other = 2
    assert shallow.note is x.note and not hasattr(x, "other") and shallow.data_ptr() == x.data_ptr()
    assert shallow.requires_grad and type(copy.copy(nn.Parameter(x.detach()))) is nn.Parameter
    x.twin = y = rt.zeros(2)
    y.twin = x
    a, b, c = copy.deepcopy([x, y, x.grad])
    assert a.twin is b and b.twin is a and a.note == [1] and a.note is not x.note
    c.add_(1)
    assert a.grad.tolist() == c.tolist() == [2, 2] and x.grad.tolist() == [1, 1]  # still one gradient
    for old in (nn.Parameter(rt.ones(1)), nn.Parameter(rt.ones(1), requires_grad=False), rt.ones(1), x.detach()):
        old.note = ["n"]
        for new in (pickle.loads(pickle.dumps(old)), copy.deepcopy(old)):
            assert type(new) is type(old) and new.requires_grad is old.requires_grad
            assert new.note == ["n"] and new.note is not old.note and new.tolist() == old.tolist()
