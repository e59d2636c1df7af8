"""Training leaves nothing behind: resident memory stays flat and every handle comes back."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import rustorch as rt
from rustorch import nn


def resident() -> float:
    """Resident memory in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


@pytest.fixture
def all_handles_come_back() -> Iterator[None]:
    gc.collect()
    before = rt.live_tensors()
    yield
    gc.collect()
    assert rt.live_tensors() == before


def perceptron(optimizer: str, **options: Any) -> tuple[Any, ...]:
    rt.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
    return model, getattr(rt.optim, optimizer)(model.parameters(), **options), rt.randn(8, 16), rt.arange(8) % 4


def train(steps: int, model: Any, optimizer: Any, x: Any, y: Any) -> None:
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()


@pytest.mark.usefixtures("all_handles_come_back")
@pytest.mark.parametrize(
    ("optimizer", "options"), [("SGD", {"lr": 0.01, "momentum": 0.9}), ("Adam", {"lr": 1e-3})], ids=["SGD", "Adam"]
)
def test_training(optimizer: str, options: dict[str, Any]) -> None:
    parts = perceptron(optimizer, **options)
    train(200, *parts)
    live = rt.live_tensors()
    before = resident() if sys.platform == "linux" else 0.0
    train(2000, *parts)
    if sys.platform == "linux":
        assert resident() - before < 1.0
    assert rt.live_tensors() == live


@pytest.mark.usefixtures("all_handles_come_back")
def test_a_graph_that_is_never_walked() -> None:
    """Results that are dropped without backward take their history with them."""
    w = rt.ones(4, requires_grad=True)
    for _ in range(100):
        y = w
        for _ in range(20):
            y = (y * 2 + 1).tanh()
    del y, w


@pytest.mark.usefixtures("all_handles_come_back")
def test_retained_graph() -> None:
    w = rt.ones(4, requires_grad=True)
    y = (w * w).sum()
    for _ in range(10):
        y.backward(retain_graph=True)
    (g,) = rt.autograd.grad((w**3).sum(), [w], create_graph=True)
    g.sum().backward()
    del w, y, g


@pytest.mark.usefixtures("all_handles_come_back")
def test_custom_function() -> None:
    """A function that saves its input and its output leaves no cycle."""

    class Square(rt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any) -> Any:
            y = x * x
            ctx.save_for_backward(x, y)
            return y

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            x, _ = ctx.saved_tensors
            return 2 * x * g

    for walked in (True, False):
        x = rt.ones(4, requires_grad=True)
        y = Square.apply(x).sum()
        if walked:
            y.backward()
        del x, y


@pytest.mark.usefixtures("all_handles_come_back")
def test_failed_calls() -> None:
    """An error keeps no tensor."""
    a, b = rt.ones(2, 3), rt.ones(4, 5)
    for _ in range(50):
        with pytest.raises(rt.errors.ShapeMismatchError):
            a @ b
        with pytest.raises(rt.errors.RustorchError):
            rt.cat([a, b])
    del a, b


@pytest.mark.usefixtures("all_handles_come_back")
def test_views_and_numpy() -> None:
    """Arrays and views share the memory and give it back."""
    t = rt.ones(1000)
    views = [t[i:].numpy() for i in range(10)]
    back = [rt.from_numpy(v) for v in views]
    del t, views, back
