"""Softmax over clusters of classes, and pools of windows at random distances."""

from __future__ import annotations

import math

import numpy as np
import pytest

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import errors, nn


def made(**options: object) -> nn.AdaptiveLogSoftmaxWithLoss:
    rt.manual_seed(0)
    return nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], div_value=2.0, dtype=rt.float64, **options)


@pytest.mark.parametrize("bias", [False, True])
def test_adaptive_log_softmax(bias: bool) -> None:
    layer = made(head_bias=bias)
    assert [tuple(p.shape) for p in layer.head.parameters()] == [(5, 8), (5,)][: 1 + bias]
    assert [[tuple(p.shape) for p in tail.parameters()] for tail in layer.tail] == [[(4, 8), (4, 4)], [(2, 8), (5, 2)]]
    x = rt.randn(40, 8, dtype=rt.float64)

    def log_softmax(v: np.ndarray) -> np.ndarray:
        return v - np.log(np.exp(v).sum(-1, keepdims=True))

    values = x.numpy()
    head = log_softmax(
        values @ layer.head.weight.detach().numpy().T + (layer.head.bias.detach().numpy() if bias else 0)
    )
    parts = [head[:, :3]]
    for i, (first, second) in enumerate(layer.tail):
        inner = values @ first.weight.detach().numpy().T @ second.weight.detach().numpy().T
        parts.append(log_softmax(inner) + head[:, 3 + i : 4 + i])
    want = np.concatenate(parts, 1)
    log = layer.log_prob(x)
    assert np.allclose(log.detach().numpy(), want) and np.allclose(np.exp(want).sum(1), 1)
    target = rt.arange(40) % 12
    found = layer(x, target)
    assert np.allclose(found.output.detach().numpy(), want[np.arange(40), np.arange(40) % 12])
    assert math.isclose(float(found.loss), -float(found.output.mean()), rel_tol=1e-12)
    assert np.array_equal(layer.predict(x).numpy(), want.argmax(1)) or not bias
    one = layer(x[5], target[5])
    assert one.output.shape == () and math.isclose(float(one.output), float(found.output[5]), rel_tol=1e-12)
    found.loss.backward()
    assert all(p.grad is not None and bool(p.grad.any()) for p in layer.parameters())
    before = layer.head.weight.detach().clone()
    layer.reset_parameters()
    assert not rt.equal(before, layer.head.weight)


def test_predictions_come_from_the_head_or_a_cluster() -> None:
    layer = made()
    x = rt.randn(60, 8, dtype=rt.float64) * 30
    head, log = layer.head(x).argmax(1), layer.log_prob(x)
    want = rt.where(head < 3, head, log.argmax(1))
    assert rt.equal(layer.predict(x), want) and bool((want >= 3).any()) and bool((want < 3).any())


def test_what_the_adaptive_softmax_refuses() -> None:
    for cutoffs in ([], [3, 3], [5, 3], [0, 3], [3, 12], [2.5]):
        with pytest.raises(errors.InvalidArgumentError, match="cutoffs should be"):
            nn.AdaptiveLogSoftmaxWithLoss(8, 12, cutoffs)
    layer = made()
    x = rt.randn(2, 8, dtype=rt.float64)
    for bad in (rt.tensor([0, 12]), rt.tensor([-1, 0])):
        with pytest.raises(errors.InvalidArgumentError, match="Target values should be in"):
            layer(x, bad)
    for input, target in ((x, rt.tensor([1])), (x, rt.tensor(1)), (x, rt.zeros(2, 1, dtype=rt.int64))):
        with pytest.raises(errors.ShapeMismatchError):
            layer(input, target)


@pytest.mark.parametrize("n", [2, 3])
def test_fractional_pools(n: int) -> None:
    rt.manual_seed(0)
    layer_of = nn.FractionalMaxPool2d if n == 2 else nn.FractionalMaxPool3d
    pool = F.fractional_max_pool2d if n == 2 else F.fractional_max_pool3d
    indexed = F.fractional_max_pool2d_with_indices if n == 2 else F.fractional_max_pool3d_with_indices
    x = rt.randn(2, 3, *(9, 8, 7)[:n])
    drawn = rt.rand(2, 3, n)
    size = (4, 3, 5)[:n]
    want, at = indexed(x, 2, size, _random_samples=drawn)
    assert want.shape == (2, 3, *size)
    assert rt.equal(x.flatten(2).gather(2, at.flatten(2)).reshape(want.shape), want)
    assert rt.equal(layer_of(2, size, _random_samples=drawn)(x), want)
    both = layer_of(2, size, return_indices=True, _random_samples=drawn)(x)
    assert rt.equal(both[0], want) and rt.equal(both[1], at)
    assert rt.equal(pool(x, 2, size, return_indices=True, _random_samples=drawn)[1], at)
    assert layer_of(2, output_ratio=0.5)(x).shape == (2, 3, *(4, 4, 3)[:n])
    assert pool(x, 2, output_ratio=(0.5, 0.25, 0.5)[:n]).shape == (2, 3, *(4, 2, 3)[:n])
    assert pool(x[0], 2, size).shape == (3, *size)
    # Other numbers, other windows; each element of the result is one of the input.
    assert not rt.equal(pool(x, 2, size), pool(x, 2, size))
    ones = x.clone().requires_grad_()
    layer_of(2, size)(ones).sum().backward()
    assert float(ones.grad.sum()) == want.numel()
    for call in (lambda: layer_of(2), lambda: layer_of(2, size, 0.5), lambda: layer_of(2, output_ratio=1.5)):
        with pytest.raises(errors.InvalidArgumentError, match="ratio"):
            call()
    with pytest.raises(errors.InvalidArgumentError, match="output_ratio"):
        pool(x, 2)
    with pytest.raises(errors.RustorchError, match="too large"):
        pool(x, 2, 9)
    with pytest.raises(errors.RustorchError, match="between 0 and 1"):
        pool(x, 2, size, _random_samples=drawn + 1)
