"""Distributions by their definitions: densities integrate to one, and moments, entropy and divergence are integrals."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import distributions as D

F = rt.float64


def t(*values: float) -> rt.Tensor:
    return rt.tensor(values, dtype=F)


# Distributions with two batch elements, and a range that holds nearly all of each.
CONTINUOUS: dict[str, tuple[Any, Any, tuple[float, float]]] = {
    "Normal": (lambda: D.Normal(t(0.5, -1), t(0.5, 2)), lambda: D.Normal(t(0, 0), t(1, 3)), (-25, 25)),
    "Laplace": (lambda: D.Laplace(t(0.5, -1), t(0.5, 1)), lambda: D.Laplace(t(0, 0), t(1, 2)), (-40, 40)),
    "LogNormal": (lambda: D.LogNormal(t(0.1, 0.2), t(0.3, 0.4)), None, (1e-6, 30)),
    "Uniform": (lambda: D.Uniform(t(0, 1), t(2, 4)), None, (-1, 5)),
    "Exponential": (lambda: D.Exponential(t(1, 3)), lambda: D.Exponential(t(2, 0.7)), (0, 40)),
}
DISCRETE: dict[str, tuple[Any, Any]] = {
    "Bernoulli": (lambda: D.Bernoulli(t(0.2, 0.7)), lambda: D.Bernoulli(logits=t(0.3, -1))),
    "Categorical": (
        lambda: D.Categorical(rt.tensor([[1, 2, 1], [0.5, 0.2, 0.3]], dtype=F)),
        lambda: D.Categorical(logits=rt.tensor([[0.1, 0.2, 1], [0, 2, 1.0]], dtype=F)),
    ),
}


def points(low: float, high: float) -> tuple[rt.Tensor, float]:
    """Midpoints of many cells, one column per batch element, and the width of a cell."""
    n = 400_000
    width = (high - low) / n
    return ((rt.arange(n, dtype=F) + 0.5) * width + low).unsqueeze(1).expand(n, 2), width


def close(a: rt.Tensor, b: rt.Tensor, tolerance: float = 1e-4) -> None:
    np.testing.assert_allclose(a.tolist(), b.tolist(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous(name: str) -> None:
    make, other, ends = CONTINUOUS[name]
    p = make()
    x, width = points(*ends)
    inside = x
    if name == "Uniform":  # values outside are refused: look at each support from within
        inside = rt.minimum(rt.maximum(x, p.low), p.high - 1e-9)
    log_p = p.log_prob(inside)
    density = log_p.exp() * (inside == x) * width
    mean = (density * x).sum(0)
    close(density.sum(0), rt.ones(2, dtype=F))
    close(p.mean, mean)
    close(p.variance, (density * (x - mean) ** 2).sum(0), 1e-3)
    close(p.stddev, p.variance.sqrt())
    close(p.entropy(), -(density * log_p).sum(0))
    close(p.perplexity(), p.entropy().exp())
    if other is not None:
        q = other()
        close(D.kl_divergence(p, q), (density * (log_p - q.log_prob(x))).sum(0))
    rt.manual_seed(0)
    close(p.sample((200_000,)).mean(0), mean, 0.03)
    assert p.rsample((3,)).shape == (3, 2) and p.has_rsample


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete(name: str) -> None:
    make, other = DISCRETE[name]
    p, q = make(), other()
    n = 2 if name == "Bernoulli" else 3
    k = rt.arange(n, dtype=F).unsqueeze(1).expand(n, 2)
    log_p, log_q = p.log_prob(k), q.log_prob(k)
    close(log_p.exp().sum(0), rt.ones(2, dtype=F))
    close(p.entropy(), -(log_p.exp() * log_p).sum(0))
    close(D.kl_divergence(p, q), (log_p.exp() * (log_p - log_q)).sum(0))
    rt.manual_seed(0)
    close(p.sample((100_000,)).to(F).mean(0), (log_p.exp() * k).sum(0), 0.02)
    if name == "Bernoulli":
        close(p.mean, log_p.exp()[1])
        close(p.variance, p.mean * (1 - p.mean))
    else:
        assert p.mode.tolist() == [1, 0] and math.isnan(p.variance[0].item())


def test_rows_with_a_single_one() -> None:
    p = D.OneHotCategorical(t(1, 3))
    s = p.sample((1000,))
    assert s.sum(1).eq(1).all() and abs(s.mean(0)[1].item() - 0.75) < 0.05
    close(p.log_prob(t(0, 1)).exp(), p.mean[1])
    close(p.variance, p.mean * (1 - p.mean))
    assert str(p) == "OneHotCategorical()"


def test_dimensions_as_one_event() -> None:
    base, x = D.Normal(rt.zeros(2, 3), rt.ones(2, 3)), rt.ones(2, 3)
    p = D.Independent(base, 1)
    assert (p.batch_shape, p.event_shape) == ((2,), (3,))
    close(p.log_prob(x), base.log_prob(x).sum(1))
    close(p.entropy(), base.entropy().sum(1))
    close(D.kl_divergence(p, D.Independent(D.Normal(x, 1.0), 1)), rt.full((2,), 1.5))
    assert p.sample().shape == p.rsample().shape == (2, 3) and p.mean is base.mean
    close(p.variance, x)
    assert str(p) == "Independent(Normal(loc: rustorch.Size([2, 3]), scale: rustorch.Size([2, 3])), 1)"
    with pytest.raises(NotImplementedError):
        D.kl_divergence(p, D.Independent(base, 2))


def test_normal_quantiles() -> None:
    p = D.Normal(1.0, 2.0)
    assert p.cdf(p.mode).item() == 0.5
    close(p.icdf(p.cdf(rt.tensor([-1.0, 2.0]))), rt.tensor([-1.0, 2.0]))


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: D.Normal(0.0, -1.0),
        lambda: D.Uniform(1.0, 0.0),
        lambda: D.Categorical(),
        lambda: D.Categorical(rt.tensor(1.0)),
        lambda: D.Categorical(rt.tensor([-1.0, 1.0])),
        lambda: D.Bernoulli(0.5).log_prob(rt.tensor(0.5)),
        lambda: D.Independent(D.Normal(0.0, 1.0), 1),
    ],
)
def test_what_is_outside_is_refused(wrong: Any) -> None:
    with pytest.raises(ValueError):
        wrong()


def test_own_divergences() -> None:
    class Mine(D.Normal):
        pass

    @D.register_kl(Mine, D.Uniform)
    def kl(p: Any, q: Any) -> rt.Tensor:
        return p.loc * 0

    assert D.kl_divergence(Mine(1.0, 1.0), D.Uniform(0.0, 1.0)).item() == 0
    with pytest.raises(NotImplementedError, match="no formula for Normal and Uniform"):
        D.kl_divergence(D.Normal(1.0, 1.0), D.Uniform(0.0, 1.0))
    with pytest.raises(NotImplementedError, match="has no rsample"):
        D.Bernoulli(0.5).rsample()
    for ask in ("log_prob", "entropy", "mean", "variance"):
        with pytest.raises(NotImplementedError):
            found = getattr(D.Distribution(), ask)
            found(rt.ones(1)) if ask == "log_prob" else found()
    for p in (D.Bernoulli(0.5), D.Categorical(rt.ones(2))):
        with pytest.raises(AttributeError, match="nothing"):
            _ = p.nothing
