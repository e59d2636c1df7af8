"""Distributions by their definitions: densities integrate to one, and moments, entropy and divergence are integrals."""

from __future__ import annotations

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import distributions as D
from rustorch import errors

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
    with pytest.raises(NotImplementedError, match="no formula for Normal and Cauchy"):
        D.kl_divergence(D.Normal(1.0, 1.0), D.Cauchy(0.0, 1.0))
    with pytest.raises(NotImplementedError, match="has no rsample"):
        D.Bernoulli(0.5).rsample()
    for ask in ("log_prob", "entropy", "mean", "variance"):
        with pytest.raises(NotImplementedError):
            found = getattr(D.Distribution(validate_args=False), ask)
            found(rt.ones(1)) if ask == "log_prob" else found()
    for p in (D.Bernoulli(0.5), D.Categorical(rt.ones(2))):
        with pytest.raises(AttributeError, match="nothing"):
            _ = p.nothing


NAN, INF = math.nan, math.inf
# A distribution, values of its support, and values outside of it.
SUPPORTS: dict[str, tuple[Any, list[Any], list[Any]]] = {
    "Normal": (lambda v: D.Normal(0.0, 1.0, validate_args=v), [0, -5, INF], [NAN]),
    "Laplace": (lambda v: D.Laplace(0.0, 1.0, validate_args=v), [0, -5, INF], [NAN]),
    "LogNormal": (lambda v: D.LogNormal(0.0, 1.0, validate_args=v), [1e-9, 5], [0, -1, NAN]),
    "Uniform": (lambda v: D.Uniform(1.0, 2.0, validate_args=v), [1, 1.5, 2], [0.99, 2.01, NAN, INF]),
    "Exponential": (lambda v: D.Exponential(1.0, validate_args=v), [0, 5, INF], [-1e-9, NAN]),
    "Bernoulli": (lambda v: D.Bernoulli(0.5, validate_args=v), [0, 1], [0.5, -1, 2, NAN]),
    "Categorical": (lambda v: D.Categorical(rt.ones(3), validate_args=v), [0, 1, 2], [-1, 3, 0.5, NAN]),
    "OneHotCategorical": (
        lambda v: D.OneHotCategorical(rt.ones(2), validate_args=v),
        [[0, 1], [1, 0]],
        [[1, 1], [0, 0], [0.5, 0.5], [NAN, 1], [2, -1]],
    ),
    "Independent": (lambda v: D.Independent(D.Normal(rt.zeros(2), 1.0, validate_args=v), 1), [[0, 1]], [[0, NAN]]),
}


@pytest.mark.parametrize("name", SUPPORTS)
def test_values_outside_of_the_support_are_refused(name: str) -> None:
    make, inside, outside = SUPPORTS[name]
    for v in inside:
        assert not make(True).log_prob(rt.tensor(v).float()).isnan().any()
        make(None).log_prob(rt.tensor(v).float())
    for v in outside:
        for checks in (True, None):  # checks are made unless they are left out
            with pytest.raises(errors.InvalidArgumentError, match="to be within the support"):
                make(checks).log_prob(rt.tensor(v).float())
        if name not in ("Categorical", "OneHotCategorical"):  # whose values are indices
            make(False).log_prob(rt.tensor(v).float())
    with pytest.raises(errors.InvalidArgumentError, match="must be a Tensor"):
        make(True).log_prob(inside[0])


def test_one_value_outside_is_enough() -> None:
    p = D.Normal(rt.zeros(3), 1.0)
    with pytest.raises(errors.InvalidArgumentError):
        p.log_prob(rt.tensor([0.0, NAN, 0.0]))
    with pytest.raises(errors.InvalidArgumentError):
        p.cdf(rt.tensor([0.0, NAN, 0.0]))
    assert p.icdf(rt.tensor([0.5, 2.0, NAN])).isnan().tolist() == [False, True, True]


def test_shapes_of_values() -> None:
    p, rows = D.Normal(rt.zeros(3), 1.0), D.OneHotCategorical(rt.ones(4, 2))
    for good in ((), (3,), (1,), (5, 3), (5, 1), (2, 5, 3)):
        assert p.log_prob(rt.zeros(good)).shape == np.broadcast_shapes(good, (3,))
    for wrong in ((2,), (3, 2), (4,)):
        with pytest.raises(errors.InvalidArgumentError, match=r"must match event_shape|not broadcastable"):
            p.log_prob(rt.zeros(wrong))
    assert rows.log_prob(rt.tensor([0.0, 1.0])).shape == rows.log_prob(rt.tensor([[0.0, 1.0]] * 4)).shape == (4,)
    for wrong_rows in (rt.zeros(3), rt.tensor([[0.0, 1.0]] * 3), rt.tensor(1.0)):
        with pytest.raises(errors.InvalidArgumentError, match=r"must match event_shape|not broadcastable"):
            rows.log_prob(wrong_rows)
    both = D.Independent(D.Normal(rt.zeros(4, 3), 1.0), 1)
    with pytest.raises(errors.InvalidArgumentError, match=r"must match event_shape|not broadcastable"):
        both.log_prob(rt.zeros(4))


PARAMETERS: list[tuple[Any, list[dict[str, Any]]]] = [
    (
        D.Normal,
        [
            {"loc": NAN, "scale": 1.0},
            {"loc": 0.0, "scale": 0.0},
            {"loc": 0.0, "scale": -1.0},
            {"loc": 0.0, "scale": NAN},
        ],
    ),
    (D.Laplace, [{"loc": NAN, "scale": 1.0}, {"loc": 0.0, "scale": 0.0}, {"loc": 0.0, "scale": NAN}]),
    (D.LogNormal, [{"loc": NAN, "scale": 1.0}, {"loc": 0.0, "scale": 0.0}]),
    (
        D.Uniform,
        [{"low": NAN, "high": 1.0}, {"low": 0.0, "high": NAN}, {"low": 1.0, "high": 1.0}, {"low": 2.0, "high": 1.0}],
    ),
    (D.Exponential, [{"rate": 0.0}, {"rate": -1.0}, {"rate": NAN}]),
    (D.Bernoulli, [{"probs": -0.1}, {"probs": 1.1}, {"probs": NAN}, {"logits": NAN}]),
    (D.Categorical, [{"probs": rt.tensor(v)} for v in ([0.0, 0.0], [-1.0, 2.0], [INF, 1.0], [NAN, 1.0])]),
    (D.OneHotCategorical, [{"probs": rt.tensor([0.0, 0.0])}, {"logits": rt.tensor([NAN, 1.0])}]),
]


@pytest.mark.parametrize(("cls", "cases"), PARAMETERS, ids=[p[0].__name__ for p in PARAMETERS])
def test_parameters_are_checked_unless_that_is_left_out(cls: Any, cases: list[dict[str, Any]]) -> None:
    for case in cases:
        for checks in ({}, {"validate_args": True}, {"validate_args": None}):
            with pytest.raises(errors.InvalidArgumentError):
                cls(**case, **checks)
        cls(**case, validate_args=False)
        several = {
            k: rt.stack([v, rt.ones_like(v)]) if isinstance(v, rt.Tensor) else rt.tensor([v, 1.0])
            for k, v in case.items()
        }
        if cls is not D.Uniform:
            with pytest.raises(errors.InvalidArgumentError):  # one of many
                cls(**several)


def test_infinite_parameters_are_numbers() -> None:
    assert D.Normal(INF, 1.0).mean.item() == INF and D.Normal(0.0, INF).stddev.item() == INF
    assert D.Categorical(logits=rt.tensor([-INF, 2.0])).probs.tolist() == [0, 1]
    assert D.Bernoulli(logits=INF).probs.item() == 1


def test_draws_with_a_negative_deviation_are_refused() -> None:
    for mean, std in (
        (rt.zeros(2), -1.0),
        (rt.zeros(2), rt.tensor([1.0, -1.0])),
        (0.0, rt.tensor([1.0, NAN])),
        (rt.zeros(2), NAN),
    ):
        with pytest.raises(errors.InvalidArgumentError, match="std"):
            rt.normal(mean, std)
    with pytest.raises(errors.InvalidArgumentError, match="std"):
        rt.normal(0.0, -1.0, (2,))
    assert rt.normal(rt.ones(2), 0.0).tolist() == [1, 1] and rt.normal(rt.zeros(0), rt.zeros(0)).numel() == 0
    with pytest.raises(errors.InvalidArgumentError, match="std"):
        D.Normal(0.0, -1.0, validate_args=False).sample()


@pytest.mark.parametrize(
    ("cls", "values"),
    [(D.Normal, {"loc": 0.5, "scale": 2.0}), (D.Laplace, {"loc": 0.5, "scale": 2.0}),
     (D.LogNormal, {"loc": 0.5, "scale": 0.7}),
     (D.Uniform, {"low": -1.0, "high": 2.0}), (D.Exponential, {"rate": 1.5})],
    ids=lambda v: v.__name__ if isinstance(v, type) else "",
)  # fmt: skip
def test_gradients_of_samples(cls: Any, values: dict[str, float]) -> None:
    """The gradient of a sample by a parameter is that of the formula that made it, with the same random numbers."""
    assert cls.has_rsample

    def draw(v: dict[str, Any]) -> rt.Tensor:
        rt.manual_seed(3)
        return cls(**v).rsample((50,))

    leaves = {k: rt.tensor(v, dtype=F, requires_grad=True) for k, v in values.items()}
    x = draw(leaves)
    x.sum().backward()
    for k, leaf in leaves.items():
        h = 1e-6
        up, down = ({n: rt.tensor(v + (s if n == k else 0), dtype=F) for n, v in values.items()} for s in (h, -h))
        assert abs((leaf.grad - (draw(up) - draw(down)).sum() / (2 * h)).item()) < 1e-4 * 50
        assert leaf.grad != 0
    rt.manual_seed(3)
    s = cls(**leaves).sample((50,))
    assert not s.requires_grad and s.shape == (50,)


def test_gradients_of_log_prob_and_entropy() -> None:
    loc, scale = t(0.5).requires_grad_(), t(2.0).requires_grad_()
    D.Normal(loc, scale).log_prob(t(1.5)).sum().backward()
    close(loc.grad, t(0.25))  # (x - loc) / scale^2
    close(scale.grad, t(-0.5 + 1 / 8))  # -1 / scale + (x - loc)^2 / scale^3
    scale.grad = None
    D.Normal(loc, scale).entropy().sum().backward()
    close(scale.grad, t(0.5))
    logits = t(0.0, math.log(3.0)).requires_grad_()
    D.Categorical(logits=logits).log_prob(rt.tensor(0)).backward()
    close(logits.grad, t(0.75, -0.75))
    p = t(0.25).requires_grad_()
    D.Bernoulli(p).log_prob(t(1.0)).sum().backward()
    close(p.grad, t(4.0))


def test_divergences_by_their_formulas() -> None:
    close(D.kl_divergence(D.Normal(t(1.0), t(2.0)), D.Normal(t(0.0), t(1.0))), t(2.0 - math.log(2)))
    close(D.kl_divergence(D.Exponential(t(2.0)), D.Exponential(t(1.0))), t(math.log(2) + 0.5 - 1))
    close(D.kl_divergence(D.Bernoulli(t(0.25)), D.Bernoulli(t(0.5))), t(0.25 * math.log(0.5) + 0.75 * math.log(1.5)))
    p, q = D.Categorical(t(0.0, 0.5, 0.5)), D.Categorical(t(0.5, 0.25, 0.25))
    close(D.kl_divergence(p, q), rt.tensor(math.log(2), dtype=F))
    assert D.kl_divergence(q, p).item() == INF
    close(D.kl_divergence(D.Laplace(t(0.0), t(1.0)), D.Laplace(t(0.0), t(2.0))), t(math.log(2) + 0.5 - 1))


def test_sample_shapes_and_dtypes() -> None:
    for p, dtype in (
        (D.Normal(t(0, 1), 1.0), F), (D.Uniform(t(0, 1), t(1, 2)), F), (D.Exponential(t(1, 2)), F),
        (D.Laplace(t(0, 1), 1.0), F), (D.LogNormal(t(0, 1), 1.0), F),
        (D.Bernoulli(t(0.5, 1)), F), (D.Categorical(rt.ones(2, 3)), rt.int64),
    ):  # fmt: skip
        for shape in ((), (3,), (4, 1)):
            s = p.sample(shape)
            assert s.shape == (*shape, 2) and s.dtype is dtype
    assert D.OneHotCategorical(rt.ones(2, 3)).sample((4,)).shape == (4, 2, 3)


def test_shapes_and_words_of_each() -> None:
    for p, batch, event, draws_back in (
        (D.Normal(t(0, 1), 1.0), (2,), (), True), (D.Normal(0.0, 1.0), (), (), True),
        (D.Laplace(rt.zeros(2, 1), rt.ones(3)), (2, 3), (), True), (D.LogNormal(0.0, t(1, 2)), (2,), (), True),
        (D.Uniform(t(0), t(1, 2)), (2,), (), True), (D.Exponential(t(1, 2, 3)), (3,), (), True),
        (D.Bernoulli(t(0.5, 1)), (2,), (), False), (D.Bernoulli(logits=rt.zeros(2, 2)), (2, 2), (), False),
        (D.Categorical(rt.ones(2, 3)), (2,), (), False), (D.OneHotCategorical(rt.ones(2, 3)), (2,), (3,), False),
        (D.Independent(D.Normal(rt.zeros(4, 2, 3), 1.0), 2), (4,), (2, 3), True),
        (D.Independent(D.Normal(rt.zeros(2), 1.0), 0), (2,), (), True),
        (D.Independent(D.OneHotCategorical(rt.ones(2, 3)), 1), (), (2, 3), False),
    ):  # fmt: skip
        assert (p.batch_shape, p.event_shape, p.has_rsample) == (batch, event, draws_back)
        assert p.sample((5,)).shape == (5, *batch, *event) and p.sample().shape == (*batch, *event)
        assert p.log_prob(p.sample((5,))).shape == (5, *batch) and p.entropy().shape == batch
        if draws_back:
            assert p.rsample((5, 1)).shape == (5, 1, *batch, *event)
        else:
            with pytest.raises(errors.UnsupportedError, match="rsample"):
                p.rsample()
        if not isinstance(p, D.Categorical) or event:
            assert p.mean.shape == p.variance.shape == p.stddev.shape == (*batch, *event)
    for n in (-1, 3):
        with pytest.raises(errors.InvalidArgumentError, match="reinterpreted"):
            D.Independent(D.Normal(rt.zeros(2, 2), 1.0), n)


def test_moments_of_samples() -> None:
    """All moments of draws, without and with gradients, are those of the formulas."""
    for make, mean, variance in (
        (lambda: D.Normal(t(1), t(2)), 1, 4), (lambda: D.Laplace(t(1), t(2)), 1, 8),
        (lambda: D.LogNormal(t(0.2), t(0.5)), math.exp(0.325), math.expm1(0.25) * math.exp(0.65)),
        (lambda: D.Uniform(t(-1), t(3)), 1, 16 / 12), (lambda: D.Exponential(t(4)), 0.25, 1 / 16),
        (lambda: D.Bernoulli(t(0.3)), 0.3, 0.21), (lambda: D.Bernoulli(logits=t(math.log(3))), 0.75, 0.1875),
    ):  # fmt: skip
        p = make()
        for draw in (p.sample, p.rsample) if p.has_rsample else (p.sample,):
            rt.manual_seed(1)
            x = draw((100_000,))
            assert abs(x.mean().item() - mean) < 0.03 * variance**0.5
            assert abs(x.var().item() / variance - 1) < 0.06
        close(p.mean, t(mean), 1e-9)
        close(p.variance, t(variance), 1e-9)
    rt.manual_seed(0)
    shares = D.Categorical(logits=t(0.0, math.log(3.0), math.log(4.0))).sample((40_000,)).bincount() / 40_000
    close(shares, rt.tensor([0.125, 0.375, 0.5]), 0.02)
    rows = D.OneHotCategorical(rt.tensor([[1.0, 3.0], [3.0, 1.0]])).sample((10_000,)).mean(0)
    close(rows, rt.tensor([[0.25, 0.75], [0.75, 0.25]]), 0.02)


def test_probabilities_at_the_ends() -> None:
    low, high = t(1.0), t(3.0)
    p = D.Uniform(low, high, validate_args=False)
    close(p.log_prob(t(1, 2.999)), t(-math.log(2), -math.log(2)))
    assert p.log_prob(t(0.999, 3.0, 4.0)).tolist() == [-INF] * 3
    for kind, eps in ((rt.float32, 2.0**-23), (F, 2.0**-52)):
        p = D.Bernoulli(rt.tensor([0.0, 1.0], dtype=kind))
        ends = math.log(eps) - math.log1p(-eps)
        np.testing.assert_allclose(p.logits.tolist(), [ends, -ends], rtol=1e-4)
        p = D.Categorical(rt.tensor([0.0, 1.0], dtype=kind))
        np.testing.assert_allclose(p.logits.tolist(), [math.log(eps), -eps], rtol=1e-4)
        assert p.entropy().item() == pytest.approx(0, abs=1e-5) and p.log_prob(rt.tensor(0)).item() < -15
    certain = D.Bernoulli(logits=t(800.0, -800.0))
    assert certain.log_prob(t(1, 0)).tolist() == [0, 0] and certain.log_prob(t(0, 1)).tolist() == [-800, -800]
    assert certain.entropy().tolist() == [0, 0] and certain.probs.tolist() == [1, 0]
    assert D.Categorical(logits=t(0.0, -INF)).entropy().item() == 0
    close(D.Categorical(t(2, 6)).probs, t(0.25, 0.75))
    close(D.Categorical(logits=t(5, 5 + math.log(3))).probs, t(0.25, 0.75))
    close(D.Categorical(logits=t(5, 5 + math.log(3))).logits.exp().sum(), rt.tensor(1.0, dtype=F))
    assert D.Categorical(t(1, 3, 2)).mode.item() == 1 and D.Normal(t(2), t(1)).mode.item() == 2
    # What is made of the parameters with its first use has their gradient, whoever asks first.
    for cls in (D.Bernoulli, D.Categorical):
        for name, other in (("probs", "logits"), ("logits", "probs")):
            leaf = t(0.25, 0.75).requires_grad_()
            p = cls(**{name: leaf})
            with rt.no_grad():
                getattr(p, other)
            assert getattr(p, other).requires_grad
    normal = D.Normal(t(1), t(2))
    close(normal.cdf(t(3)), t(0.8413447460685429))
    close(normal.icdf(t(0.8413447460685429)), t(3))
    for wrong in (lambda: D.Bernoulli(), lambda: D.Bernoulli(0.5, 0.1), lambda: D.Categorical(t(1, 1), t(0, 0))):
        with pytest.raises(errors.InvalidArgumentError, match="but not both"):
            wrong()


def test_options_are_handed_down() -> None:
    for cls, n in ((D.Normal, 2), (D.Laplace, 2), (D.LogNormal, 2), (D.Uniform, 2), (D.Exponential, 1)):
        args = [t(1.0), t(2.0)][:n]
        assert cls(*args)._validate_args and cls(*args, True)._validate_args and not cls(*args, False)._validate_args
    mixed = D.Normal(t(0, 0), 2)  # numbers become tensors of the tensor's dtype
    assert mixed.scale.dtype is F and mixed.scale.tolist() == [2, 2] and D.Normal(0, 1).loc.dtype is rt.float32
    base = D.Normal(rt.zeros(2, 3), rt.full((2, 3), 2.0))
    p = D.Independent(base, 2)
    assert p.stddev.tolist() == [[2.0] * 3] * 2 and p.log_prob(rt.zeros(2, 3)).shape == ()
    close(p.entropy(), base.entropy().sum())
    close(D.kl_divergence(p, D.Independent(D.Normal(rt.ones(2, 3), rt.full((2, 3), 2.0)), 2)), rt.tensor(6 / 8))
    assert not D.Independent(base, 1, validate_args=False)._validate_args
    rt.manual_seed(2)
    drawn = p.rsample((2,))
    rt.manual_seed(2)
    assert rt.equal(drawn, base.rsample((2,)))


def test_independent_events_of_events() -> None:
    base = D.OneHotCategorical(rt.tensor([0.1, 0.2, 0.7]).expand(5, 2, 3))
    for n, batch, event in ((0, (5, 2), (3,)), (1, (5,), (2, 3)), (2, (), (5, 2, 3))):
        d = D.Independent(base, n)
        assert (tuple(d.batch_shape), tuple(d.event_shape)) == (batch, event)
        value = d.sample((4,))
        assert tuple(value.shape) == (4, *batch, *event) and value.sum(-1).eq(1).all()
        logs = (np.asarray(value.tolist()) * np.log([0.1, 0.2, 0.7])).sum(-1)
        want = logs.sum(tuple(range(logs.ndim - n, logs.ndim))) if n else logs
        np.testing.assert_allclose(np.asarray(d.log_prob(value).tolist()), want, rtol=1e-5)


def test_each_sample_is_drawn_anew() -> None:
    rt.manual_seed(0)
    for d in (
        D.Bernoulli(rt.full((3,), 0.5)), D.Normal(rt.zeros(3), 1.0), D.Uniform(rt.zeros(3), 1.0),
        D.Laplace(rt.zeros(3), 1.0), D.Exponential(rt.ones(3)), D.LogNormal(rt.zeros(3), 1.0),
        D.Categorical(rt.ones(3, 5)), D.OneHotCategorical(rt.ones(3, 5)), D.Independent(D.Normal(rt.zeros(3), 1.0), 1),
    ):  # fmt: skip
        rows = d.sample((60,)).reshape(60, -1).tolist()
        assert len({tuple(row) for row in rows}) > 5, d
        columns = d.sample((60,)).reshape(60, 3, -1).unbind(1)
        assert len({tuple(c.reshape(-1).tolist()) for c in columns}) == 3, d


@pytest.mark.parametrize(
    ("dtype", "eps"), [(rt.float16, 2**-10), (rt.bfloat16, 2**-7), (rt.float32, 2**-23), (rt.float64, 2**-52)]
)
def test_certainties_have_finite_logarithms(dtype: Any, eps: float) -> None:
    """They are as far from 0 and 1 as the dtype can tell apart."""
    p = rt.tensor([0.0, 1.0], dtype=dtype)
    odds = math.log((1 - eps) / eps)
    near = max(4 * eps, 1e-7)
    assert D.Bernoulli(p).logits.tolist() == pytest.approx([-odds, odds], rel=near)
    assert D.Categorical(p).logits.tolist() == pytest.approx([math.log(eps), math.log1p(-eps)], rel=near, abs=near)
    rt.manual_seed(0)
    drawn = D.Laplace(rt.tensor(1.0, dtype=dtype), 2.0).sample((4000,))
    assert drawn.dtype is dtype and drawn.isfinite().all()
    rt.manual_seed(0)
    u = np.asarray(rt.rand(4000, dtype=dtype).tolist()) * (2 - eps) + eps - 1
    want = 1 - 2 * np.sign(u) * np.log1p(-abs(u))
    if eps < 2**-20:
        np.testing.assert_allclose(np.asarray(drawn.tolist()), want, rtol=1e-4 if dtype is rt.float32 else 1e-9)


def test_modes() -> None:
    for d, want in (
        (D.Laplace(rt.tensor([1.0]), 2.0), [1.0]),
        (D.LogNormal(rt.tensor([1.0]), 2.0), [math.exp(-3.0)]),
        (D.Bernoulli(rt.tensor([0.2, 0.5, 0.7])), [0.0, math.nan, 1.0]),
        (D.Bernoulli(logits=rt.tensor([0.2, -0.7])), [1.0, 0.0]),
        (D.Exponential(rt.tensor([0.2, 3.0])), [0.0, 0.0]),
        (D.Uniform(rt.tensor([1.0]), 2.0), [math.nan]),
        (D.Independent(D.Normal(rt.tensor([1.0, 2.0]), 1.0), 1), [1.0, 2.0]),
    ):
        assert np.allclose(d.mode.numpy(), want, equal_nan=True)


def test_divergences_within_a_kind() -> None:
    parts = rt.tensor([1.0, 3.0])
    for p, q in ((D.Categorical, D.OneHotCategorical), (D.OneHotCategorical, D.Categorical)):
        with pytest.raises(rt.errors.UnsupportedError, match="Categorical"):
            D.kl_divergence(p(parts), q(parts))
        want = 0.25 * math.log(0.25 / 0.5) + 0.75 * math.log(0.75 / 0.5)
        assert D.kl_divergence(p(parts), p(rt.ones(2))).item() == pytest.approx(want)
    of = [D.kl_divergence(kind(0.0, 1.0), kind(1.0, 2.0)).item() for kind in (D.LogNormal, D.Normal)]
    assert of[0] == of[1] == pytest.approx(math.log(2) + 2 / 8 - 0.5)
    assert D.kl_divergence(D.Uniform(0.0, 1.0), D.Uniform(-1.0, 2.0)).item() == pytest.approx(math.log(3))
    assert D.kl_divergence(D.Uniform(0.0, 1.0), D.Uniform(0.5, 2.0)).item() == math.inf


# ---- against SciPy, and by definitions ----


# Name -> ours, SciPy's, and values of the support.
SCIPY: dict[str, tuple[Any, Any, list[float]]] = {
    "Beta": (lambda: D.Beta(t(0.6, 3), t(2.5, 0.9)), lambda s: s.beta([0.6, 3], [2.5, 0.9]), [0.01, 0.3, 0.99]),
    "Cauchy": (lambda: D.Cauchy(t(0.5, -1), t(2, 0.3)), lambda s: s.cauchy([0.5, -1], [2, 0.3]), [-9, 0.1, 4]),
    "Chi2": (lambda: D.Chi2(t(0.7, 9)), lambda s: s.chi2([0.7, 9]), [0.01, 2, 30]),
    "Exponential": (lambda: D.Exponential(t(0.5, 3)), lambda s: s.expon(0, [2, 1 / 3]), [0, 0.2, 9]),
    "FisherSnedecor": (lambda: D.FisherSnedecor(t(3, 8), t(5, 9)), lambda s: s.f([3, 8], [5, 9]), [0.1, 1, 6]),
    "Gamma": (lambda: D.Gamma(t(0.3, 40), t(2, 0.5)), lambda s: s.gamma([0.3, 40], 0, [0.5, 2]), [0.01, 1, 70]),
    "GeneralizedPareto": (
        lambda: D.GeneralizedPareto(t(0, 1), t(1, 2), t(0.2, -0.3)),
        lambda s: s.genpareto([0.2, -0.3], [0, 1], [1, 2]),
        [1.1, 2, 5],
    ),
    "GeneralizedPareto, exponential": (
        lambda: D.GeneralizedPareto(t(0, 1), t(1, 2), t(0, 0)), lambda s: s.expon([0, 1], [1, 2]), [1.1, 2, 5]
    ),
    "Gumbel": (lambda: D.Gumbel(t(0.5, -1), t(2, 0.3)), lambda s: s.gumbel_r([0.5, -1], [2, 0.3]), [-1.4, 0.1, 4]),
    "HalfCauchy": (lambda: D.HalfCauchy(t(2, 0.3)), lambda s: s.halfcauchy(0, [2, 0.3]), [0, 0.1, 4]),
    "HalfNormal": (lambda: D.HalfNormal(t(2, 0.3)), lambda s: s.halfnorm(0, [2, 0.3]), [0, 0.1, 2]),
    "InverseGamma": (
        lambda: D.InverseGamma(t(3.5, 7), t(2, 5)), lambda s: s.invgamma([3.5, 7], 0, [2, 5]), [0.2, 1, 7]
    ),
    "Laplace": (lambda: D.Laplace(t(0.5, -1), t(2, 0.3)), lambda s: s.laplace([0.5, -1], [2, 0.3]), [-3, 0.1, 4]),
    "LogNormal": (
        lambda: D.LogNormal(t(0.5, -1), t(1, 0.3)), lambda s: s.lognorm([1, 0.3], 0, np.exp([0.5, -1])), [0.1, 3]
    ),
    "Normal": (lambda: D.Normal(t(0.5, -1), t(2, 0.3)), lambda s: s.norm([0.5, -1], [2, 0.3]), [-2, 0.1, 2]),
    "Pareto": (lambda: D.Pareto(t(1, 0.3), t(2.5, 4)), lambda s: s.pareto([2.5, 4], 0, [1, 0.3]), [1, 2, 9]),
    "StudentT": (lambda: D.StudentT(t(2.5, 9), 1, t(2, 0.3)), lambda s: s.t([2.5, 9], 1, [2, 0.3]), [-3, 0.1, 4]),
    "Uniform": (lambda: D.Uniform(t(0, -1), t(2, 3)), lambda s: s.uniform([0, -1], [2, 4]), [0, 0.7, 1.9]),
    "VonMises": (lambda: D.VonMises(t(0.5, 0), t(0.2, 9)), lambda s: s.vonmises([0.2, 9], [0.5, 0]), [-3, 0.1, 2]),
    "Weibull": (lambda: D.Weibull(t(2, 0.3), t(1.5, 4)), lambda s: s.weibull_min([1.5, 4], 0, [2, 0.3]), [0.1, 0.4, 1]),
    "Bernoulli": (lambda: D.Bernoulli(t(0.2, 0.7)), lambda s: s.bernoulli([0.2, 0.7]), [0, 1]),
    "Binomial": (lambda: D.Binomial(20, t(0.2, 0.7)), lambda s: s.binom(20, [0.2, 0.7]), [0, 7, 20]),
    "Geometric": (lambda: D.Geometric(t(0.2, 0.7)), lambda s: s.geom([0.2, 0.7], -1), [0, 3, 9]),
    "NegativeBinomial": (
        lambda: D.NegativeBinomial(t(2.5, 6), t(0.2, 0.7)), lambda s: s.nbinom([2.5, 6], [0.8, 0.3]), [0, 4]
    ),
    "Poisson": (lambda: D.Poisson(t(0.4, 30)), lambda s: s.poisson([0.4, 30]), [0, 5, 40]),
}  # fmt: skip
NO_CDF = {"Beta", "FisherSnedecor", "StudentT", "VonMises", "Bernoulli", "Binomial", "Geometric", "NegativeBinomial",
          "Poisson"}  # fmt: skip
NO_QUANTILES = NO_CDF | {"Chi2", "Gamma", "InverseGamma"}
NO_ENTROPY = {"FisherSnedecor", "NegativeBinomial", "Poisson", "VonMises"}
NO_MOMENTS = {"Cauchy", "HalfCauchy", "VonMises"}


def mean_cosine(k: float) -> float:
    """The mean of the cosine of an angle with density exp(k cos x), by integrals."""
    x = np.linspace(0, math.pi, 100_001)
    w = np.exp(k * (np.cos(x) - 1))
    w[[0, -1]] /= 2
    return float((w * np.cos(x)).sum() / w.sum())


@pytest.mark.parametrize("name", SCIPY)
def test_against_scipy(name: str) -> None:
    make, theirs, values = SCIPY[name]
    p, q = make(), theirs(pytest.importorskip("scipy.stats"))
    x = np.asarray(values, dtype=float)[:, None]
    v = rt.tensor(values, dtype=F).unsqueeze(1)
    tolerance = 1e-6 if name == "VonMises" else 1e-9
    log_p = q.logpmf(x) if p.support.is_discrete else q.logpdf(x)
    np.testing.assert_allclose(p.log_prob(v).numpy(), log_p, rtol=tolerance, atol=tolerance)
    if name not in NO_MOMENTS:
        np.testing.assert_allclose(p.mean.numpy(), q.mean(), rtol=1e-7)
        np.testing.assert_allclose(p.variance.numpy(), q.var(), rtol=1e-6)
        np.testing.assert_allclose(p.stddev.numpy(), q.std(), rtol=1e-6)
    elif name == "VonMises":
        np.testing.assert_allclose(p.variance.numpy(), [1 - mean_cosine(k) for k in (0.2, 9.0)], rtol=1e-5)
    if name not in NO_ENTROPY:
        np.testing.assert_allclose(p.entropy().numpy(), q.entropy(), rtol=1e-6, atol=1e-9)
    if name not in NO_CDF:
        np.testing.assert_allclose(p.cdf(v).numpy(), q.cdf(x), rtol=1e-8, atol=1e-12)
    u = rt.tensor([[0.05], [0.5], [0.9]], dtype=F)
    if name not in NO_QUANTILES:
        np.testing.assert_allclose(p.icdf(u).numpy(), q.ppf(u.numpy()), rtol=1e-7, atol=1e-9)
        close(p.cdf(p.icdf(u)), u.expand(3, 2), 1e-9)
    for kind, names in (("entropy", NO_ENTROPY), ("cdf", NO_CDF), ("icdf", NO_QUANTILES)):
        if name in names:
            with pytest.raises(NotImplementedError):
                getattr(p, kind)(*[] if kind == "entropy" else [u if kind == "icdf" else v])


@pytest.mark.parametrize("name", SCIPY)
def test_samples_against_scipy(name: str) -> None:
    """No quantile of many samples is off (Kolmogorov and Smirnov), in both kinds of floats."""
    make, theirs, _ = SCIPY[name]
    q, n = theirs(pytest.importorskip("scipy.stats")), 20_000
    for dtype in (rt.float32, F):
        rt.manual_seed(7)
        p = make()
        names = [k for k in p.arg_constraints if k in p.__dict__]
        if names and dtype is not F and name not in ("Gumbel", "Kumaraswamy", "Pareto", "Weibull", "StudentT"):
            p = type(p)(**{k: p.__dict__[k].to(dtype) for k in names})
        sample = p.sample((n,))
        s = sample.to(F).numpy()
        for k in range(2):
            if p.support.is_discrete:
                points = np.arange(60.0)
                found = (np.sort(s[:, k])[:, None] <= points).mean(0)
            else:
                points = np.sort(s[:, k])
                found = (np.arange(n) + 0.5) / n
            want = q.cdf(points[:, None].repeat(2, 1))[:, k]
            if name == "VonMises":  # SciPy's begins half a turn below the middle
                want = want - q.cdf(-math.pi)[k]
            assert abs(want - found).max() < 1.8 / n**0.5, (dtype, k)


def test_implicit_gradients() -> None:
    """Samples move with the parameters so that their quantile stays."""
    special = pytest.importorskip("scipy.special")
    for shape in (0.05, 0.4, 1.0, 3.0, 25.0, 700.0, 3e4):
        u = np.asarray([1e-3, 0.2, 0.5, 0.8, 0.999])
        x, h = special.gammaincinv(shape, u), 1e-5 * shape
        want = (special.gammaincinv(shape + h, u) - special.gammaincinv(shape - h, u)) / (2 * h)
        known = x > 1e-250
        found = rt._standard_gamma_grad(rt.tensor(shape, dtype=F), rt.from_numpy(x)).numpy()
        np.testing.assert_allclose(found[known], want[known], rtol=2e-4 if shape < 0.1 else 2e-5)
    for a, b in ((0.3, 0.2), (0.05, 3.0), (3.0, 0.05), (2.0, 5.0), (30.0, 0.7), (60.0, 80.0), (500.0, 3.0), (1.0, 1.0)):
        u = np.asarray([0.01, 0.2, 0.5, 0.8, 0.99])
        x, h = special.betaincinv(a, b, u), 1e-5 * a
        change = (special.betaincinv(a + h, b, u) - special.betaincinv(a - h, b, u)) / (2 * h)
        want = change / np.maximum(1 - x, 1e-300)
        known = (x > 1e-100) & (x < 1 - 1e-9)
        found = rt._dirichlet_grad(rt.from_numpy(x), rt.tensor(a, dtype=F), rt.tensor(a + b, dtype=F)).numpy()
        np.testing.assert_allclose(found[known], want[known], rtol=5e-4)
    with pytest.raises(NotImplementedError, match="derivative is not implemented"):
        a = t(2.0).requires_grad_()
        (g,) = rt.autograd.grad(D.Gamma(a, t(1.0)).rsample().sum(), a, create_graph=True)
        g.backward()


@pytest.mark.parametrize(
    ("make", "mean"),
    [
        (lambda a, b: D.Gamma(a, b), lambda a, b: a / b),
        (lambda a, b: D.Gamma(a * 40, b), lambda a, b: 40 * a / b),
        (lambda a, b: D.Beta(a, b), lambda a, b: a / (a + b)),
        (
            lambda a, b: D.Dirichlet(rt.stack([a, b, a + b], -1)),
            lambda a, b: rt.stack([a, b, a + b], -1) / (2 * (a + b)),
        ),
        (lambda a, b: D.InverseGamma(a + 2, b), lambda a, b: b / (a + 1)),
        (lambda a, b: D.FisherSnedecor(b + 5, a + 6), lambda a, b: (a + 6) / (a + 4)),
        (lambda a, b: D.StudentT(a + 4, b, 2.0), lambda a, b: b),
        (lambda a, b: D.Weibull(a, b + 1), lambda a, b: D.Weibull(a, b + 1).mean),
        (lambda a, b: D.Kumaraswamy(a, b), lambda a, b: D.Kumaraswamy(a, b).mean),
        (lambda a, b: D.GeneralizedPareto(a, b, a / 4), lambda a, b: a + b / (1 - a / 4)),
        (lambda a, b: D.Gumbel(a, b), lambda a, b: a + b * 0.5772156649),
    ],
)  # fmt: skip
def test_gradients_of_samples_are_those_of_the_mean(make: Any, mean: Any) -> None:
    leaves = [t(0.7).requires_grad_(), t(1.6).requires_grad_()]
    rt.manual_seed(11)
    s = make(*leaves).rsample((60_000,)).mean(0)
    weights = rt.arange(s.numel(), dtype=F).reshape(s.shape) + 1
    found = rt.autograd.grad((s * weights).sum(), leaves, allow_unused=True)
    want = rt.autograd.grad((mean(*leaves) * weights).sum(), leaves, allow_unused=True)
    for a, b in zip(found, want):
        got, exact = (0.0 if g is None else g.item() for g in (a, b))
        assert got == pytest.approx(exact, rel=0.05, abs=0.03)


# ---- several numbers ----

COVARIANCE = rt.tensor([[2.0, 0.5, 0.1], [0.5, 1.5, -0.3], [0.1, -0.3, 1.0]], dtype=F)


def test_normal_vectors() -> None:
    stats = pytest.importorskip("scipy.stats")
    loc = t(1, 2, 3)
    q = stats.multivariate_normal(loc.numpy(), COVARIANCE.numpy())
    L = rt.linalg.cholesky(COVARIANCE)
    x = rt.tensor([[0.0, 1.0, 2.0], [3.0, 1.0, 4.0]], dtype=F)
    for given in ({"covariance_matrix": COVARIANCE}, {"precision_matrix": rt.inverse(COVARIANCE)}, {"scale_tril": L}):
        p = D.MultivariateNormal(loc, **given)
        close(p.log_prob(x), rt.from_numpy(q.logpdf(x.numpy())), 1e-9)
        close(p.entropy(), rt.tensor(float(q.entropy()), dtype=F), 1e-9)
        close(p.covariance_matrix, COVARIANCE, 1e-9)
        close(p.precision_matrix @ COVARIANCE, rt.eye(3, dtype=F), 1e-9)
        close(p.scale_tril, L, 1e-9)
        close(p.variance, COVARIANCE.diagonal(), 1e-9)
        rt.manual_seed(0)
        s = p.rsample((50_000,))
        close(s.mean(0), loc, 0.03)
        close(rt.cov(s.T), COVARIANCE, 0.05)
    W, d = rt.tensor([[0.5, -0.2], [1.0, 0.3], [0.1, 0.8]], dtype=F), t(0.5, 1, 2)
    low, full = D.LowRankMultivariateNormal(loc, W, d), D.MultivariateNormal(loc, W @ W.T + d.diag())
    for f in ("covariance_matrix", "precision_matrix", "scale_tril", "variance"):
        close(getattr(low, f), getattr(full, f), 1e-9)
    close(low.log_prob(x), full.log_prob(x), 1e-9)
    close(low.entropy(), full.entropy(), 1e-9)
    rt.manual_seed(0)
    close(rt.cov(low.sample((50_000,)).T), full.covariance_matrix, 0.05)
    other = D.MultivariateNormal(t(0, 1, 1), COVARIANCE)
    for p, q in ((low, other), (other, low), (full, other)):
        s = p.sample((100_000,))
        mean = (p.log_prob(s) - q.log_prob(s)).mean()
        close(D.kl_divergence(p, q), mean, 0.02)
    close(D.kl_divergence(low, full), rt.tensor(0.0, dtype=F), 1e-9)
    close(D.kl_divergence(low, D.LowRankMultivariateNormal(loc, W, d)), rt.tensor(0.0, dtype=F), 1e-9)


def test_random_matrices() -> None:
    stats = pytest.importorskip("scipy.stats")
    p, q = D.Wishart(rt.tensor(5.5, dtype=F), COVARIANCE), stats.wishart(5.5, COVARIANCE.numpy())
    x = rt.stack([COVARIANCE, 2 * COVARIANCE + rt.eye(3, dtype=F)])
    close(p.log_prob(x), rt.tensor([float(q.logpdf(m)) for m in x.numpy()], dtype=F), 1e-9)
    close(p.entropy(), rt.tensor(float(q.entropy()), dtype=F), 1e-9)
    close(p.mean, rt.from_numpy(q.mean()), 1e-9)
    close(p.variance, rt.from_numpy(q.var()), 1e-9)
    close(p.mode, rt.from_numpy(q.mode()), 1e-9)
    rt.manual_seed(0)
    s = p.rsample((20_000,))
    close(s.mean(0), p.mean, 0.2)
    assert ((s.var(0) / p.variance).log().abs() < 0.08).all()
    # The only correlation of LKJ's matrices of size 2 is 2 b - 1 for a beta variable b.
    for c in (0.6, 3.0):
        L = D.LKJCholesky(2, t(c)).sample((20_000,))
        assert D.constraints.corr_cholesky.check(L).all() and L.shape == (20_000, 1, 2, 2)
        r = np.sort(L[:, 0, 1, 0].numpy())
        want = stats.beta(c, c).cdf((r + 1) / 2)
        assert abs(want - (np.arange(20_000) + 0.5) / 20_000).max() < 1.8 / 20_000**0.5
    # The factors' density, by the map from real numbers: an integral over them is 1.
    for c in (0.8, 2.0):
        line = rt.linspace(-12, 12, 1201, dtype=F)
        to = D.transform_to(D.constraints.corr_cholesky)
        points = line.unsqueeze(-1)
        y = to(points)
        density = (
            D.LKJCholesky(2, t(c)).log_prob(y.unsqueeze(1)).squeeze(-1) + to.log_abs_det_jacobian(points, y)
        ).exp()
        assert (density.sum() * 0.02).item() == pytest.approx(1, abs=2e-4)


def test_mixtures() -> None:
    p = D.MixtureSameFamily(D.Categorical(t(0.3, 0.7)), D.Normal(t(-1, 2), t(0.5, 1)))
    x = rt.linspace(-9, 9, 20_001, dtype=F)
    density = p.log_prob(x).exp() * (18 / 20_000)
    close(density.sum(), rt.tensor(1.0, dtype=F), 1e-6)
    close(p.mean, (density * x).sum(), 1e-6)
    close(p.variance, (density * (x - p.mean) ** 2).sum(), 1e-6)
    close(p.cdf(x[::5000]), density.cumsum(0)[::5000], 1e-3)
    rt.manual_seed(0)
    s = p.sample((40_000,))
    close(s.mean(), p.mean, 0.03)
    close((s < 0.3).to(F).mean(), p.cdf(rt.tensor(0.3, dtype=F)), 0.01)


# ---- divergences as integrals ----

LINE = (-60.0, 60.0)
PAIRS: list[tuple[Any, Any, tuple[float, float]]] = [
    (lambda: D.Beta(2.0, 3.0), lambda: D.Gamma(1.5, 2.0), (0, 1)),
    (lambda: D.Beta(2.0, 3.0), lambda: D.Beta(1.5, 2.0), (0, 1)),
    (lambda: D.Beta(2.0, 3.0), lambda: D.Exponential(1.5), (0, 1)),
    (lambda: D.Beta(2.0, 3.0), lambda: D.Normal(0.3, 0.7), (0, 1)),
    (lambda: D.Beta(2.0, 3.0), lambda: D.Uniform(0.0, 1.0), (0, 1)),
    (lambda: D.Beta(2.0, 3.0), lambda: D.ContinuousBernoulli(0.3), (0, 1)),
    (lambda: D.ContinuousBernoulli(0.3), lambda: D.ContinuousBernoulli(0.8), (0, 1)),
    (lambda: D.ContinuousBernoulli(0.3), lambda: D.Uniform(0.0, 1.0), (0, 1)),
    (lambda: D.ContinuousBernoulli(0.5), lambda: D.Normal(0.4, 0.6), (0, 1)),
    (lambda: D.ContinuousBernoulli(0.7), lambda: D.Exponential(2.0), (0, 1)),
    (lambda: D.Uniform(0.0, 1.0), lambda: D.ContinuousBernoulli(0.3), (0, 1)),
    (lambda: D.Uniform(0.2, 0.9), lambda: D.Beta(2.0, 3.0), (0.2, 0.9)),
    (lambda: D.Uniform(0.2, 0.9), lambda: D.Gamma(2.0, 3.0), (0.2, 0.9)),
    (lambda: D.Uniform(0.2, 0.9), lambda: D.Exponential(2.0), (0.2, 0.9)),
    (lambda: D.Uniform(0.2, 0.9), lambda: D.Gumbel(2.0, 1.5), (0.2, 0.9)),
    (lambda: D.Uniform(0.2, 0.9), lambda: D.Normal(2.0, 1.5), (0.2, 0.9)),
    (lambda: D.Uniform(0.2, 0.9), lambda: D.Pareto(0.1, 1.5), (0.2, 0.9)),
    (lambda: D.Gamma(2.0, 3.0), lambda: D.Gamma(1.5, 1.0), (0, 30)),
    (lambda: D.Gamma(2.0, 3.0), lambda: D.Exponential(1.0), (0, 30)),
    (lambda: D.Gamma(2.0, 3.0), lambda: D.Normal(1.5, 1.0), (0, 30)),
    (lambda: D.Gamma(2.0, 3.0), lambda: D.Gumbel(1.5, 1.0), (0, 30)),
    (lambda: D.Exponential(2.0), lambda: D.Gamma(1.5, 1.0), (0, 30)),
    (lambda: D.Exponential(2.0), lambda: D.Gumbel(1.5, 1.0), (0, 30)),
    (lambda: D.Exponential(2.0), lambda: D.Normal(1.5, 1.0), (0, 30)),
    (lambda: D.Gumbel(0.5, 1.0), lambda: D.Gumbel(1.5, 2.0), (-10, 60)),
    (lambda: D.Gumbel(0.5, 1.0), lambda: D.Normal(1.5, 2.0), (-10, 60)),
    (lambda: D.Laplace(0.5, 1.0), lambda: D.Normal(1.5, 2.0), LINE),
    (lambda: D.Normal(0.5, 1.0), lambda: D.Laplace(1.5, 2.0), (-20, 20)),
    (lambda: D.Normal(0.5, 1.0), lambda: D.Gumbel(1.5, 2.0), (-20, 20)),
    (lambda: D.HalfNormal(0.5), lambda: D.HalfNormal(1.5), (0, 9)),
    (lambda: D.Pareto(1.0, 6.0), lambda: D.Pareto(0.5, 2.0), (1, 300)),
    (lambda: D.Pareto(1.0, 6.0), lambda: D.Exponential(2.0), (1, 300)),
    (lambda: D.Pareto(1.0, 6.0), lambda: D.Gamma(2.0, 1.0), (1, 300)),
    (lambda: D.Pareto(1.0, 6.0), lambda: D.Normal(2.0, 1.5), (1, 300)),
    (lambda: D.Cauchy(0.5, 1.0), lambda: D.Cauchy(1.5, 2.0), (-1e4, 1e4)),
]


@pytest.mark.parametrize(("p", "q", "ends"), PAIRS)
def test_divergences_of_pairs_are_integrals(p: Any, q: Any, ends: tuple[float, float]) -> None:
    rt.set_default_dtype(F)
    try:
        p, q = p(), q()
        low, high = ends
        n = 2_000_000
        x = low + (high - low) * (rt.arange(n, dtype=F) + 0.5) / n
        log_p = p.log_prob(x)
        value = (log_p.exp() * (log_p - q.log_prob(x))).sum() * (high - low) / n
        close(D.kl_divergence(p, q), value, 2e-3 if isinstance(p, (D.Cauchy, D.Pareto)) else 1e-4)
    finally:
        rt.set_default_dtype(rt.float32)


def test_divergences_of_counts_are_sums() -> None:
    k = rt.arange(400, dtype=F)
    for p, q in (
        (D.Poisson(t(3.0)), D.Poisson(t(5.0))), (D.Geometric(t(0.3)), D.Geometric(t(0.6))),
    ):  # fmt: skip
        log_p = p.log_prob(k)
        close(D.kl_divergence(p, q), (log_p.exp() * (log_p - q.log_prob(k))).sum().unsqueeze(0), 1e-8)
    p, q = D.Binomial(7, t(0.3)), D.Binomial(7, t(0.6))
    k = p.enumerate_support()
    log_p = p.log_prob(k)
    close(D.kl_divergence(p, q), (log_p.exp() * (log_p - q.log_prob(k))).sum(0), 1e-8)
    close(p.entropy(), -(log_p.exp() * log_p).sum(0), 1e-12)
    b, q = D.Bernoulli(t(0.3)), D.Poisson(t(0.6))
    close(D.kl_divergence(b, q), sum(b.log_prob(t(v)).exp() * (b.log_prob(t(v)) - q.log_prob(t(v))) for v in (0, 1)))
    assert D.kl_divergence(D.Binomial(4, t(0.3)), D.Binomial(3, t(0.3))).item() == math.inf
    for p, q in (
        (D.Normal(0.0, 1.0), D.Gamma(1.0, 1.0)), (D.Exponential(1.0), D.Uniform(0.0, 1.0)),
        (D.Poisson(1.0), D.Bernoulli(0.5)), (D.Uniform(0.5, 2.0), D.Beta(1.0, 1.0)),
    ):  # fmt: skip
        assert D.kl_divergence(p, q).item() == math.inf
    # Where a mean of p is infinite, or p has values that q has not.
    heavy = D.Pareto(1.0, 0.5)
    for p, q in (
        (D.Pareto(1.0, 1.5), D.Normal(0.0, 1.0)), (heavy, D.Exponential(1.0)), (heavy, D.Gamma(2.0, 1.0)),
        (D.Pareto(1.0, 3.0), D.Pareto(2.0, 3.0)), (D.Beta(1.0, 2.0), D.Uniform(0.1, 1.0)),
        (D.Beta(1.0, 2.0), D.Uniform(0.0, 0.9)), (D.ContinuousBernoulli(0.3), D.Uniform(0.1, 1.0)),
        (D.ContinuousBernoulli(0.3), D.Uniform(0.0, 0.9)), (D.Uniform(-0.1, 0.5), D.Beta(1.0, 1.0)),
        (D.Uniform(0.5, 1.1), D.ContinuousBernoulli(0.3)), (D.Uniform(-0.1, 0.5), D.ContinuousBernoulli(0.3)),
        (D.Uniform(-0.1, 0.5), D.Exponential(1.0)), (D.Uniform(-0.1, 0.5), D.Gamma(2.0, 1.0)),
        (D.Uniform(0.5, 2.0), D.Pareto(1.0, 3.0)), (D.Bernoulli(0.5), D.Bernoulli(0.0)),
        (D.Bernoulli(0.5), D.Bernoulli(1.0)), (D.Poisson(1.0), D.Binomial(3, 0.5)),
        *((p, q) for p in (D.Gumbel(0.0, 1.0), D.Laplace(0.0, 1.0), D.Normal(0.0, 1.0))
          for q in (D.Beta(1.0, 1.0), D.ContinuousBernoulli(0.3), D.Exponential(1.0), D.Gamma(1.0, 1.0),
                    D.Pareto(1.0, 1.0), D.Uniform(0.0, 1.0))),
        *((p, q) for p in (D.Exponential(1.0), D.Gamma(1.0, 1.0), heavy)
          for q in (D.Beta(1.0, 1.0), D.ContinuousBernoulli(0.3), D.Uniform(0.0, 1.0))),
        *((p, D.Pareto(1.0, 1.0)) for p in (D.Beta(1.0, 1.0), D.ContinuousBernoulli(0.3), D.Exponential(1.0),
                                            D.Gamma(1.0, 1.0))),
    ):  # fmt: skip
        assert D.kl_divergence(p, q).item() == math.inf, (p, q)
    assert D.kl_divergence(D.Bernoulli(0.0), D.Bernoulli(0.0)).item() == 0
    assert D.kl_divergence(D.Bernoulli(1.0), D.Bernoulli(1.0)).item() == 0
    assert D.kl_divergence(D.Pareto(1.0, 2.1), D.Normal(0.0, 1.0)).isfinite()
    # The sum over all counts of three classes.
    m = D.Multinomial(4, t(0.2, 0.3, 0.5))
    counts = rt.tensor([[i, j, 4 - i - j] for i in range(5) for j in range(5 - i)], dtype=F)
    log_p = m.log_prob(counts)
    close(log_p.exp().sum(), rt.tensor(1.0, dtype=F), 1e-12)
    close(m.entropy(), -(log_p.exp() * log_p).sum(), 1e-12)
    rt.manual_seed(0)
    s = m.sample((20_000,))
    assert (s.sum(-1) == 4).all()
    close(s.mean(0), m.mean, 0.03)
    close(s.var(0), m.variance, 0.03)


def test_relaxed_samples() -> None:
    """What is relaxed is a sample of the classes where it is rounded, and its density integrates to 1."""
    p = D.RelaxedBernoulli(t(0.5), t(0.3))
    x = rt.linspace(-30, 30, 20_001, dtype=F).sigmoid()  # the density is infinite at the ends
    assert (p.log_prob(x) + x.log() + (-x).log1p()).exp().sum().item() * 0.003 == pytest.approx(1, abs=1e-5)
    x = (rt.arange(200_000, dtype=F) + 0.5) / 200_000
    rt.manual_seed(0)
    assert (p.sample((20_000,)) > 0.5).to(F).mean().item() == pytest.approx(0.3, abs=0.015)
    q = D.RelaxedOneHotCategorical(t(0.5), t(0.2, 0.3, 0.5))
    s = q.sample((20_000,))
    close(s.sum(-1), rt.ones_like(s[..., 0]), 1e-9)
    close(D.constraints.one_hot.check((s == s.amax(-1, True)).to(F)).to(F).mean(), rt.tensor(1.0))
    close((s == s.amax(-1, True)).to(F).mean(0), t(0.2, 0.3, 0.5), 0.015)
    # The density of two classes is that of one number.
    two = D.RelaxedOneHotCategorical(rt.tensor(0.5, dtype=F), t(0.3, 0.7))
    close(two.log_prob(rt.stack([x[5::997], 1 - x[5::997]], -1)), p.log_prob(x[5::997]), 1e-6)
    straight = D.OneHotCategoricalStraightThrough(t(0.2, 0.8).requires_grad_())
    r = straight.rsample((4,))
    assert r.requires_grad and (r.sum(-1) == 1).all()


# ---- transforms ----

TRANSFORMS: dict[str, tuple[Any, rt.Tensor]] = {
    "exp": (lambda c: D.ExpTransform(c), t(-1, 0.5, 2)),
    "power": (lambda c: D.PowerTransform(t(2.0), c), t(0.3, 0.5, 2)),
    "root": (lambda c: D.PowerTransform(t(-0.5), c), t(0.3, 0.5, 2)),
    "sigmoid": (lambda c: D.SigmoidTransform(c), t(-1, 0.5, 2)),
    "softplus": (lambda c: D.SoftplusTransform(c), t(-1, 0.5, 2)),
    "tanh": (lambda c: D.TanhTransform(c), t(-1, 0.5, 2)),
    "affine": (lambda c: D.AffineTransform(1.0, -2.0, cache_size=c), t(-1, 0.5, 2)),
    "affine, vector": (lambda c: D.AffineTransform(t(1, 2, 3), t(-2, 1, 3), 1, c), t(-1, 0.5, 2)),
    "affine of numbers, vector": (lambda c: D.AffineTransform(1.0, -2.0, 1, c), t(-1, 0.5, 2)),
    "compose": (lambda c: D.ComposeTransform([D.ExpTransform(), D.AffineTransform(1.0, 2.0)], c), t(-1, 0.5, 2)),
    "compose, vector": (
        lambda c: D.ComposeTransform([D.AffineTransform(0.5, 2.0), D.StickBreakingTransform()], c), t(-1, 0.5, 2)
    ),
    "independent": (lambda c: D.IndependentTransform(D.ExpTransform(), 1, c), t(-1, 0.5, 2)),
    "reshape": (lambda c: D.ReshapeTransform((2, 3), (6,), c), rt.arange(6, dtype=F).reshape(2, 3)),
    "stick": (lambda c: D.StickBreakingTransform(c), t(-1, 0.5, 2)),
    "correlations": (lambda c: D.CorrCholeskyTransform(c), t(-1, 0.5, 0.2, 0.7, -0.3, 0.1)),
    "cat": (lambda c: D.CatTransform([D.ExpTransform(), D.TanhTransform()], -1, [1, 2], c), t(-1, 0.5, 2)),
    "stack": (
        lambda c: D.StackTransform([D.ExpTransform(), D.TanhTransform()], 0, c),
        rt.tensor([[0.1, 2], [0.5, 1.0]], dtype=F),
    ),
    "cdf": (lambda c: D.CumulativeDistributionTransform(D.Normal(t(0.5), 2.0), c), t(-1, 0.5, 2)),
    "inverse": (lambda c: D.SigmoidTransform(c).inv, t(0.1, 0.5, 0.8)),
    "lower": (lambda c: D.LowerCholeskyTransform(c), rt.tensor([[0.5, 0.0], [1.0, -1.0]], dtype=F)),
    "definite": (lambda c: D.PositiveDefiniteTransform(c), rt.tensor([[0.5, 0.0], [1.0, -1.0]], dtype=F)),
}  # fmt: skip


def inputs_of(name: str, y: rt.Tensor) -> rt.Tensor:
    """Of an image, the elements that are free."""
    if name in ("stick", "compose, vector"):
        return y[..., :-1]
    return y[rt.tril(rt.ones(y.shape[-2:]), -1).bool()] if name == "correlations" else y


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name: str) -> None:
    make, x = TRANSFORMS[name]
    for cache in (0, 1):
        f = make(cache)
        y = f(x)
        assert f.domain.check(x).all() and f.codomain.check(y).all()
        back = f.inv(y)
        assert (back is x) == bool(cache) and f.inv.inv is f
        close(f.inv(y.clone()), x, 1e-9)
        assert f.forward_shape(x.shape) == y.shape and f.inverse_shape(y.shape) == x.shape
        assert f.with_cache(cache) is f and f.with_cache(1 - cache)._cache_size == 1 - cache
        assert f.inv.domain is not None and repr(f.inv.domain) == repr(f.codomain)
        copied = pickle.loads(pickle.dumps(f))
        close(copied(x), y, 0)
        assert f == f and f != D.AbsTransform()
        if name not in ("independent", "reshape", "cat", "stack", "cdf", "correlations"):
            assert f == make(cache) and (f == copied) == (f == make(cache))
    if not f.bijective:
        assert name in ("lower", "definite")
        with pytest.raises(NotImplementedError):
            f.log_abs_det_jacobian(x, y)
        return
    f = make(0)
    jacobian = rt.autograd.functional.jacobian(lambda v: inputs_of(name, f(v)), x).reshape(x.numel(), x.numel())
    total = f.log_abs_det_jacobian(x, y).sum()
    close(total, jacobian.det().abs().log(), 1e-7)
    close(f.inv.log_abs_det_jacobian(y, x).sum(), -total, 1e-9)
    batch = x.unsqueeze(0).expand(3, *x.shape)
    if name != "stack":
        assert f.log_abs_det_jacobian(batch, f(batch)).shape == (3, *x.shape)[: x.ndim + 1 - f.domain.event_dim]
        close(f(batch)[1], y, 1e-12)
    if x.ndim == 1 and f.codomain.event_dim == 0 and name != "cat":
        step = (f(x + 1e-6) - y).sign()
        assert (step == f.sign).all()


def test_parts_of_transforms() -> None:
    assert D.ComposeTransform([])(t(1.0)).tolist() == [1.0] and D.identity_transform.bijective
    both = D.ComposeTransform([D.ExpTransform(), D.AffineTransform(0, 2)])
    assert [type(p).__name__ for p in both.inv.parts] == ["_InverseTransform", "_InverseTransform"] and both.sign == 1
    assert D.ExpTransform().inv == D.ExpTransform().inv != D.TanhTransform().inv
    assert D.AffineTransform(0, 2) == D.AffineTransform(0, 2) != D.AffineTransform(0, 3)
    assert D.AffineTransform(0, t(2)) != D.AffineTransform(0, t(3)) and D.PowerTransform(t(2)) != D.PowerTransform(t(3))
    with pytest.raises(errors.InvalidArgumentError, match="event_dim"):
        _ = D.ReshapeTransform((2,), (1, 2)).event_dim
    for wrong in (
        lambda: D.ReshapeTransform((2,), (3,)), lambda: D.ReshapeTransform((2,), (1, 2)).forward_shape((3,)),
        lambda: D.CorrCholeskyTransform().forward_shape((2,)), lambda: D.CorrCholeskyTransform()(t(1, 2)),
        lambda: D.CorrCholeskyTransform().inverse_shape((2, 3)), lambda: D.StickBreakingTransform().forward_shape(()),
        lambda: D.SoftmaxTransform().forward_shape(()), lambda: D.IndependentTransform(D.ExpTransform(), 2)(t(1)),
        lambda: D.ExpTransform(cache_size=2),
    ):  # fmt: skip
        with pytest.raises(ValueError):
            wrong()
    for wrong in (lambda: D.CatTransform([3]), lambda: D.CatTransform([D.ExpTransform()], lengths=[1, 2]),
                  lambda: D.StackTransform([D.ExpTransform()])(t(1, 2))):  # fmt: skip
        with pytest.raises(AssertionError):
            wrong()
    mixed = D.CatTransform([D.StickBreakingTransform(), D.IndependentTransform(D.ExpTransform(), 1)], -1, [2, 1])
    assert mixed.bijective and mixed.length == 3
    softmax = D.SoftmaxTransform()
    close(softmax(t(1, 2, 3)), t(1, 2, 3).softmax(-1), 1e-12)
    close(softmax(softmax.inv(t(0.2, 0.8))), t(0.2, 0.8), 1e-12)
    # A cache keeps the last value only.
    f = D.TanhTransform(cache_size=1)
    a, b = t(20.0), t(1.0)
    y = f(a)
    assert f.inv(y) is a and f(b) is not y and f.inv(y).isinf().all()


CONSTRAINTS = D.constraints
REACHED = [
    CONSTRAINTS.real, CONSTRAINTS.positive, CONSTRAINTS.nonnegative, CONSTRAINTS.greater_than(2.0),
    CONSTRAINTS.greater_than_eq(t(2.0)), CONSTRAINTS.less_than(-1.0), CONSTRAINTS.unit_interval,
    CONSTRAINTS.interval(-1.0, 2.0), CONSTRAINTS.half_open_interval(t(-1.0), t(2.0)), CONSTRAINTS.simplex,
    CONSTRAINTS.lower_cholesky, CONSTRAINTS.positive_definite, CONSTRAINTS.positive_semidefinite,
    CONSTRAINTS.corr_cholesky, CONSTRAINTS.real_vector, CONSTRAINTS.independent(CONSTRAINTS.positive, 1),
    CONSTRAINTS.cat([CONSTRAINTS.positive, CONSTRAINTS.unit_interval], -1, [2, 4]),
    CONSTRAINTS.stack([CONSTRAINTS.positive, CONSTRAINTS.unit_interval], -2),
]  # fmt: skip


@pytest.mark.parametrize("constraint", REACHED, ids=lambda c: type(c).__name__)
def test_transforms_into_sets(constraint: Any) -> None:
    rt.manual_seed(0)
    kind = type(constraint).__name__
    matrices = kind in ("_LowerCholesky", "_PositiveDefinite", "_PositiveSemidefinite")
    x = rt.randn(*{"_Stack": (2, 3)}.get(kind, (5, 3, 3) if matrices else (5, 6)), dtype=F)
    for registry in (D.transform_to, D.biject_to):
        if registry is D.biject_to and matrices:
            with pytest.raises(NotImplementedError, match="Cannot transform"):
                registry(constraint)
            continue
        f = registry(constraint)
        y = f(x)
        assert constraint.check(y).all() and f.codomain.event_dim == constraint.event_dim
        if f.bijective:
            close(f.inv(y), x, 1e-6)
            f.log_abs_det_jacobian(x, y)
        assert f.bijective or registry is D.transform_to
    with pytest.raises(NotImplementedError, match="Cannot transform"):
        D.transform_to(CONSTRAINTS.boolean)


def test_own_sets() -> None:
    class Even(CONSTRAINTS.Constraint):
        pass

    registry = D.constraint_registry.ConstraintRegistry()

    @registry.register(Even)
    def make(constraint: Any) -> Any:
        return D.AffineTransform(0, 2)

    assert registry(Even()).scale == 2 and registry.register(Even(), make) is make
    with pytest.raises(TypeError, match="Expected constraint"):
        registry.register(3, make)
    with pytest.raises(TypeError, match="subclass"):
        D.register_kl(3, D.Normal)


def test_tools() -> None:
    u = D.utils
    for n in (1, 2, 4):
        for diag in range(-n + 1, n):
            m = rt.arange(n * n, dtype=F).reshape(n, n) + 1
            vec = u.tril_matrix_to_vec(m.expand(2, n, n), diag)
            assert vec[0].tolist() == m.numpy()[np.tril_indices(n, diag)].tolist()
            close(u.vec_to_tril_matrix(vec, diag), m.tril(diag).expand(2, n, n), 0)
    for wrong in (lambda: u.tril_matrix_to_vec(rt.ones(2, 2), 2), lambda: u.vec_to_tril_matrix(rt.ones(2)),
                  lambda: u.broadcast_all("a", 1.0)):  # fmt: skip
        with pytest.raises(ValueError):
            wrong()
    assert [v.dtype for v in u.broadcast_all(1, t(2.0))] == [F, F] and u.broadcast_all(1, 2)[0].dtype is rt.float32
    close(u.logits_to_probs(u.probs_to_logits(t(0.2, 0.8))), t(0.2, 0.8))
    close(u.logits_to_probs(u.probs_to_logits(t(0.2, 0.8), True), True), t(0.2, 0.8))

    class Holder:
        asked = 0

        @u.lazy_property
        def value(self) -> rt.Tensor:
            """Docs."""
            self.asked += 1
            return t(1.0).requires_grad_() * 2

    h = Holder()
    with rt.no_grad():
        assert h.value is h.value and h.asked == 1 and h.value.requires_grad
    assert isinstance(Holder.value, property) and Holder.value.__doc__ == "Docs."


def test_defaults_of_checks() -> None:
    assert D.Distribution._validate_args
    D.Distribution.set_default_validate_args(False)
    try:
        D.Normal(0.0, -1.0)
        with pytest.raises(ValueError):
            D.Normal(0.0, -1.0, validate_args=True)
    finally:
        D.Distribution.set_default_validate_args(True)
    with pytest.raises(ValueError):
        D.Distribution.set_default_validate_args(3)  # type: ignore[arg-type]

    class Bare(D.Distribution):
        def rsample(self, sample_shape: Any = ()) -> rt.Tensor:
            return rt.zeros(sample_shape)

    with pytest.warns(UserWarning, match="arg_constraints"):
        bare = Bare()
    with pytest.warns(UserWarning, match="support"):
        bare._validate_sample(rt.ones(()))
    with pytest.warns(FutureWarning, match="sample_n"):
        assert bare.sample_n(3).shape == (3,)

    class Sub(D.Normal):
        def __init__(self) -> None:
            super().__init__(0.0, 1.0)

    with pytest.raises(NotImplementedError, match="must also"):
        Sub().expand((2,))
    assert type(D.Chi2(t(1, 2)).expand((3, 2))) is D.Chi2


def test_nearest_formula() -> None:
    class A(D.Normal):
        pass

    class B(D.Normal):
        pass

    D.register_kl(A, D.Normal)(lambda p, q: "left")
    D.register_kl(D.Normal, B)(lambda p, q: "right")
    a, b = A(0.0, 1.0), B(0.0, 1.0)
    assert D.kl_divergence(a, a) == "left" and D.kl_divergence(b, b) == "right"  # type: ignore[comparison-overlap]
    with pytest.warns(RuntimeWarning, match="Ambiguous"):
        assert D.kl_divergence(a, b) == "left"  # type: ignore[comparison-overlap]


# ---- what all have ----

# A maker of each class with a batch shape of (2,), by its validate_args where it has one.
ALL: dict[str, Any] = {
    "Bernoulli": lambda v: D.Bernoulli(t(0.2, 0.7), validate_args=v),
    "Bernoulli by logits": lambda v: D.Bernoulli(logits=t(0.2, -0.7), validate_args=v),
    "Beta": lambda v: D.Beta(t(1.5, 2), t(2.5, 3), validate_args=v),
    "Binomial": lambda v: D.Binomial(5, t(0.2, 0.7), validate_args=v),
    "Categorical": lambda v: D.Categorical(rt.tensor([[1, 2, 1], [0.5, 0.2, 0.3]], dtype=F), validate_args=v),
    "Cauchy": lambda v: D.Cauchy(t(0.5, -1), t(2, 0.3), validate_args=v),
    "Chi2": lambda v: D.Chi2(t(3, 9), validate_args=v),
    "ContinuousBernoulli": lambda v: D.ContinuousBernoulli(t(0.2, 0.7), lims=(0.4, 0.6), validate_args=v),
    "Dirichlet": lambda v: D.Dirichlet(rt.tensor([[1, 2, 1], [3, 2, 1]], dtype=F), validate_args=v),
    "Exponential": lambda v: D.Exponential(t(0.5, 3), validate_args=v),
    "FisherSnedecor": lambda v: D.FisherSnedecor(t(3, 8), t(5, 9), validate_args=v),
    "Gamma": lambda v: D.Gamma(t(1.3, 4), t(2, 0.5), validate_args=v),
    "GeneralizedPareto": lambda v: D.GeneralizedPareto(t(0, 1), t(1, 2), t(0.2, -0.3), validate_args=v),
    "Geometric": lambda v: D.Geometric(t(0.2, 0.7), validate_args=v),
    "Gumbel": lambda v: D.Gumbel(t(0.5, -1), t(2, 0.3), validate_args=v),
    "HalfCauchy": lambda v: D.HalfCauchy(t(2, 0.3), validate_args=v),
    "HalfNormal": lambda v: D.HalfNormal(t(2, 0.3), validate_args=v),
    "Independent": lambda v: D.Independent(D.Normal(rt.zeros(2, 3, dtype=F), 1.0, validate_args=v), 1, v),
    "InverseGamma": lambda v: D.InverseGamma(t(3.5, 7), t(2, 5), validate_args=v),
    "Kumaraswamy": lambda v: D.Kumaraswamy(t(1.5, 7), t(2, 5), validate_args=v),
    "LKJCholesky": lambda v: D.LKJCholesky(3, t(1.5, 7), validate_args=v),
    "Laplace": lambda v: D.Laplace(t(0.5, -1), t(2, 0.3), validate_args=v),
    "LogNormal": lambda v: D.LogNormal(t(0.5, -1), t(2, 0.3), validate_args=v),
    "LogisticNormal": lambda v: D.LogisticNormal(rt.zeros(2, 3, dtype=F), 1.0, validate_args=v),
    "LowRankMultivariateNormal": lambda v: D.LowRankMultivariateNormal(
        rt.zeros(2, 3, dtype=F), rt.arange(3, dtype=F).view(3, 1), t(1, 2, 3), validate_args=v
    ),
    "MixtureSameFamily": lambda v: D.MixtureSameFamily(
        D.Categorical(t(0.3, 0.7).expand(2, 2)), D.Normal(rt.tensor([[-1.0, 2], [0, 1]], dtype=F), 1.0), v
    ),
    "Multinomial": lambda v: D.Multinomial(4, rt.tensor([[1, 2, 1], [0.5, 0.2, 0.3]], dtype=F), validate_args=v),
    "MultivariateNormal": lambda v: D.MultivariateNormal(rt.zeros(2, 3, dtype=F), COVARIANCE, validate_args=v),
    "NegativeBinomial": lambda v: D.NegativeBinomial(t(2.5, 6), t(0.2, 0.7), validate_args=v),
    "Normal": lambda v: D.Normal(t(0.5, -1), t(2, 0.3), validate_args=v),
    "OneHotCategorical": lambda v: D.OneHotCategorical(
        rt.tensor([[1, 2, 1], [0.5, 0.2, 0.3]], dtype=F), validate_args=v
    ),
    "OneHotCategoricalStraightThrough": lambda v: D.OneHotCategoricalStraightThrough(
        logits=rt.tensor([[1, 2, 1], [0.5, 0.2, 0.3]], dtype=F), validate_args=v
    ),
    "Pareto": lambda v: D.Pareto(t(1, 0.3), t(2.5, 4), validate_args=v),
    "Poisson": lambda v: D.Poisson(t(0.4, 30), validate_args=v),
    "RelaxedBernoulli": lambda v: D.RelaxedBernoulli(t(0.5), t(0.3, 0.6), validate_args=v),
    "RelaxedOneHotCategorical": lambda v: D.RelaxedOneHotCategorical(
        rt.tensor(0.5, dtype=F), rt.tensor([[0.1, 0.9], [0.5, 0.5]], dtype=F), validate_args=v
    ),
    "StudentT": lambda v: D.StudentT(t(2.5, 9), 1, t(2, 0.3), validate_args=v),
    "TransformedDistribution": lambda v: D.TransformedDistribution(
        D.Normal(t(0.5, -1), t(2, 0.3), validate_args=v), [D.ExpTransform(), D.AffineTransform(1.0, 2.0)], v
    ),
    "Uniform": lambda v: D.Uniform(t(0, -1), t(2, 3), validate_args=v),
    "VonMises": lambda v: D.VonMises(t(0.5, 0), t(0.2, 9), validate_args=v),
    "Weibull": lambda v: D.Weibull(t(2, 0.3), t(1.5, 4), validate_args=v),
    "Wishart": lambda v: D.Wishart(t(5.5, 7), COVARIANCE, validate_args=v),
}
EVENTS = {
    "Dirichlet": (3,), "Independent": (3,), "LKJCholesky": (3, 3), "LogisticNormal": (4,), "Multinomial": (3,),
    "LowRankMultivariateNormal": (3,), "MultivariateNormal": (3,), "OneHotCategorical": (3,),
    "OneHotCategoricalStraightThrough": (3,), "RelaxedOneHotCategorical": (2,), "Wishart": (3, 3),
}  # fmt: skip
NOT_DIFFERENTIABLE = {
    "Bernoulli", "Bernoulli by logits", "Binomial", "Categorical", "Geometric", "LKJCholesky", "MixtureSameFamily",
    "Multinomial", "NegativeBinomial", "OneHotCategorical", "Poisson", "VonMises",
}  # fmt: skip
COUNTABLE = {
    "Bernoulli", "Bernoulli by logits", "Binomial", "Categorical", "OneHotCategorical",
    "OneHotCategoricalStraightThrough",
}  # fmt: skip
WHOLE = COUNTABLE | {"Geometric", "Multinomial", "NegativeBinomial", "Poisson"}
WITH_CDF = {
    "Cauchy", "Chi2", "ContinuousBernoulli", "Exponential", "Gamma", "GeneralizedPareto", "HalfCauchy", "HalfNormal",
    "InverseGamma", "Laplace", "LogNormal", "Normal", "Pareto", "TransformedDistribution", "Uniform", "Weibull",
}  # fmt: skip


def test_all_are_there() -> None:
    classes = {n for n in D.__all__ if isinstance(getattr(D, n), type) and issubclass(getattr(D, n), D.Distribution)}
    assert classes - {"Distribution", "ExponentialFamily"} == {n.split()[0] for n in ALL}


@pytest.mark.parametrize("name", ALL)
def test_expanded(name: str) -> None:
    """Every copy of an expanded distribution is the first one, drawn anew."""
    make, event = ALL[name], EVENTS.get(name, ())
    for checks in (True, False):
        p = make(checks)
        assert (p.batch_shape, p.event_shape, p._validate_args) == ((2,), event, checks), checks
        assert p.has_rsample == (name not in NOT_DIFFERENTIABLE) and p.has_enumerate_support == (name in COUNTABLE)
        e = p.expand((3, 2))
        assert type(e) is type(p) and (e.batch_shape, e.event_shape) == ((3, 2), event)
        assert e._validate_args == checks and e.has_rsample == p.has_rsample
        rt.manual_seed(0)
        s = e.sample((4,))
        assert s.shape == (4, 3, 2, *event) and not s.requires_grad
        if p.has_rsample:
            assert e.rsample((4, 1)).shape == (4, 1, 3, 2, *event)
        flat = s.reshape(-1, *event)
        assert p.support.check(s).all() and len({str(v.tolist()) for v in flat}) > 1
        assert (p.support.is_discrete, p.support.event_dim) == (name in WHOLE, len(event))
        for at in (s, s[0], s[0, 0]):
            log_p = e.log_prob(at)
            assert log_p.shape == (*((4,) if at is s else ()), 3, 2)
            close(log_p, p.log_prob(at).expand(log_p.shape), 1e-9)
        for moment in ("mean", "variance", "stddev", "mode"):
            try:
                one = getattr(p, moment)
            except NotImplementedError:
                with pytest.raises(NotImplementedError):
                    getattr(e, moment)
                continue
            found = getattr(e, moment)
            assert found.shape == (3, 2, *event)
            np.testing.assert_allclose(found.numpy(), one.expand(found.shape).numpy(), rtol=1e-9)
        try:
            entropy = p.entropy()
        except NotImplementedError:
            pass
        else:
            assert entropy.shape == (2,)
            close(e.entropy(), entropy.expand(3, 2), 1e-9)
        for other in (pickle.loads(pickle.dumps(e)), copy.deepcopy(e)):
            assert repr(other) == repr(e)
            close(other.log_prob(s), e.log_prob(s), 0)
        if hasattr(p, "base_dist") and name not in ("HalfCauchy", "HalfNormal", "RelaxedBernoulli"):
            assert p.base_dist._validate_args == e.base_dist._validate_args == checks or name == "LogisticNormal"
        if name in COUNTABLE:
            for d, batch in ((p, (2,)), (e, (3, 2))):
                every = d.enumerate_support()
                assert every.shape == (len(every), *batch, *event)
                close(d.log_prob(every).exp().sum(0), rt.ones(batch, dtype=F), 1e-9)
                few = d.enumerate_support(expand=False)
                assert few.shape == (len(every), *[1] * len(batch), *event)
                assert rt.equal(few.expand(every.shape), every)
        else:
            with pytest.raises(NotImplementedError):
                p.enumerate_support()


@pytest.mark.parametrize("name", ALL)
def test_checks_of_each(name: str) -> None:
    """What is no number is refused as a value, by default and on demand only."""
    if name in ("Categorical", "OneHotCategorical", "OneHotCategoricalStraightThrough"):
        return  # see above: values are indices
    event = EVENTS.get(name, ())
    bad = rt.full((2, *event), NAN, dtype=F)
    for checks in (True, None):
        p = ALL[name](checks)
        assert p._validate_args
        with pytest.raises(errors.InvalidArgumentError, match="to be within the support"):
            p.log_prob(bad)
        with pytest.raises(errors.InvalidArgumentError, match=r"must match event_shape|not broadcastable"):
            p.log_prob(rt.ones((5, *event[:-1], event[-1] + 1) if event else (5,), dtype=F))
        if name in WITH_CDF:
            with pytest.raises(errors.InvalidArgumentError, match="to be within the support"):
                p.cdf(bad)
    unchecked = ALL[name](False)
    if name not in ("Independent", "MixtureSameFamily", "TransformedDistribution", "RelaxedBernoulli"):
        assert unchecked.log_prob(bad).shape == (2,)
    if name in WITH_CDF:
        assert unchecked.cdf(bad).shape == (2,)


@pytest.mark.parametrize(
    ("cls", "right", "wrong"),
    [
        (D.Beta, (1.0, 2.0), {0: [0.0, -1.0, NAN], 1: [0.0, -1.0, NAN]}),
        (D.Binomial, (3, 0.5), {0: [-1, 0.5], 1: [-0.1, 1.1, NAN]}),
        (D.Cauchy, (0.0, 1.0), {0: [NAN], 1: [0.0, -1.0]}),
        (D.Chi2, (2.0,), {0: [0.0, -1.0, NAN]}),
        (D.ContinuousBernoulli, (0.5,), {0: [-0.1, 1.1, NAN]}),
        (D.FisherSnedecor, (2.0, 3.0), {0: [0.0, -1.0], 1: [0.0, -1.0]}),
        (D.Gamma, (2.0, 3.0), {0: [0.0, -1.0, NAN], 1: [0.0, -1.0, NAN]}),
        (D.GeneralizedPareto, (0.0, 1.0, 0.1), {0: [NAN], 1: [0.0, -1.0], 2: [NAN]}),
        (D.Geometric, (0.5,), {0: [0.0, -0.1, 1.1, NAN]}),
        (D.Gumbel, (0.0, 1.0), {0: [NAN], 1: [0.0, -1.0]}),
        (D.HalfCauchy, (1.0,), {0: [0.0, -1.0, NAN]}),
        (D.HalfNormal, (1.0,), {0: [0.0, -1.0, NAN]}),
        (D.InverseGamma, (2.0, 3.0), {0: [0.0, -1.0], 1: [0.0, -1.0]}),
        (D.Kumaraswamy, (2.0, 3.0), {0: [0.0, -1.0], 1: [0.0, -1.0]}),
        (D.LKJCholesky, (3, 1.0), {0: [1], 1: [0.0, -1.0]}),
        (D.NegativeBinomial, (2.0, 0.5), {0: [-1.0], 1: [1.0, -0.1]}),
        (D.Pareto, (1.0, 2.0), {0: [0.0, -1.0], 1: [0.0, -1.0]}),
        (D.Poisson, (1.0,), {0: [-1.0, NAN]}),
        (D.StudentT, (1.0, 0.0, 1.0), {0: [0.0, -1.0], 1: [NAN], 2: [0.0, -1.0]}),
        (D.VonMises, (0.0, 1.0), {0: [NAN], 1: [0.0, -1.0]}),
        (D.Weibull, (1.0, 2.0), {0: [0.0, -1.0], 1: [0.0, -1.0]}),
    ],
    ids=lambda v: v.__name__ if isinstance(v, type) else "",
)
def test_every_parameter_is_checked(cls: Any, right: tuple[Any, ...], wrong: dict[int, list[Any]]) -> None:
    cls(*right)
    for k, values in wrong.items():
        for v in values:
            args = [v if n == k else a for n, a in enumerate(right)]
            # PyTorch lifts odd probabilities of this one unless it is told to check, or not to.
            told: list[dict[str, Any]] = [{"validate_args": True}]
            for checks in told if cls is D.ContinuousBernoulli else [{}, *told]:
                with pytest.raises(errors.InvalidArgumentError):
                    cls(*args, **checks)
            if cls not in (D.LKJCholesky, D.StudentT, D.FisherSnedecor, D.ContinuousBernoulli):
                assert not cls(*args, validate_args=False)._validate_args


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: D.MultivariateNormal(rt.zeros(3)), "Exactly one"),
        (lambda: D.MultivariateNormal(rt.zeros(3), rt.eye(3), scale_tril=rt.eye(3)), "Exactly one"),
        (lambda: D.MultivariateNormal(rt.zeros(3), rt.ones(3)), "two-dimensional"),
        (lambda: D.MultivariateNormal(rt.tensor(1.0), rt.eye(1)), "one-dimensional"),
        (lambda: D.MultivariateNormal(rt.zeros(3), -rt.eye(3)), "covariance_matrix"),
        (lambda: D.MultivariateNormal(rt.zeros(2), rt.tensor([[1.0, 0.5], [0.0, 1.0]])), "covariance_matrix"),
        (lambda: D.MultivariateNormal(rt.zeros(2), scale_tril=rt.ones(2, 2)), "scale_tril"),
        (lambda: D.MultivariateNormal(rt.zeros(2), precision_matrix=-rt.eye(2)), "precision_matrix"),
        (lambda: D.LowRankMultivariateNormal(rt.zeros(3), rt.ones(2, 1), rt.ones(3)), "3 x m"),
        (lambda: D.LowRankMultivariateNormal(rt.zeros(3), rt.ones(3, 1), rt.ones(2)), "cov_diag"),
        (lambda: D.LowRankMultivariateNormal(rt.zeros(3), rt.ones(3), rt.ones(3)), "two-dimensional"),
        (lambda: D.LowRankMultivariateNormal(rt.zeros(2, 3), rt.ones(4, 3, 1), rt.ones(3)), "Incompatible"),
        (lambda: D.LowRankMultivariateNormal(rt.zeros(3), rt.zeros(3, 1), -rt.ones(3)), "cov_diag"),
        (lambda: D.Wishart(rt.tensor(1.0), rt.eye(3)), "greater than ndim - 1 = 2"),
        (lambda: D.Wishart(rt.tensor(5.0), -rt.eye(3)), "covariance_matrix"),
        (lambda: D.Dirichlet(rt.tensor(1.0)), "one-dimensional"),
        (lambda: D.Dirichlet(rt.tensor([1.0, 0.0])), "concentration"),
        (lambda: D.Dirichlet(rt.ones(2)).log_prob(rt.tensor([0.5, 0.6])), "support"),
        (lambda: D.Multinomial(3, rt.ones(2)).log_prob(rt.tensor([2.0, 2.0])), "support"),
        (lambda: D.Multinomial(3, rt.ones(2)).log_prob(rt.tensor([-1.0, 2.0])), "support"),
        (lambda: D.Binomial(3, 0.5).log_prob(rt.tensor(4.0)), "support"),
        (lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), 3), "Transform or list"),
        (lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), [3]), "list of Transforms"),
        (lambda: D.TransformedDistribution(D.Normal(0.0, 1.0), D.StickBreakingTransform()), "size at least 1"),
        (lambda: D.MixtureSameFamily(D.Normal(0.0, 1.0), D.Normal(rt.zeros(2), 1.0)), "instance of Categorical"),
        (lambda: D.MixtureSameFamily(D.Categorical(rt.ones(2)), 3), "instance of Distribution"),
        (lambda: D.MixtureSameFamily(D.Categorical(rt.ones(2)), D.Normal(rt.zeros(3), 1.0)), "does not equal"),
        (lambda: D.MixtureSameFamily(D.Categorical(rt.ones(2)), D.Normal(0.0, 1.0)), "does not equal"),
        (lambda: D.MixtureSameFamily(D.Categorical(rt.ones(3, 2)), D.Normal(rt.zeros(4, 2), 1.0)), "not compatible"),
        (lambda: D.Pareto(1.0, 1.0).log_prob(rt.tensor(0.5)), "support"),
        (lambda: D.GeneralizedPareto(0.0, 1.0, -0.5).log_prob(rt.tensor(3.0)), "support"),
        (lambda: D.VonMises(0.0, 1.0).log_prob(rt.tensor(NAN)), "support"),
    ],
)
def test_wrong_arguments_of_several_numbers(wrong: Any, message: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match=message):
        wrong()


def test_divergences_of_transformed() -> None:
    def of(loc: float, *transforms: Any) -> Any:
        return D.TransformedDistribution(D.Normal(t(loc), t(1.0)), list(transforms))

    exp, wide = D.ExpTransform(), D.AffineTransform(0.0, 2.0)
    close(D.kl_divergence(of(1.0, exp, wide), of(3.0, exp, wide)), t(2.0))
    for other in ((wide, exp), (exp,), (exp, D.AffineTransform(0.0, 3.0))):
        with pytest.raises(NotImplementedError, match="different transforms"):
            D.kl_divergence(of(1.0, exp, wide), of(3.0, *other))


def test_what_has_no_formula() -> None:
    many = D.Binomial(t(3, 4), t(0.5, 0.5))
    for ask in (
        many.entropy, many.enumerate_support, lambda: D.Multinomial(rt.tensor([1, 2]), rt.ones(2)),  # type: ignore[arg-type]
        D.Independent(D.Bernoulli(t(0.5, 0.5)), 1).enumerate_support,
        lambda: D.kl_divergence(D.Binomial(3, 0.5), D.Binomial(4, 0.5)),
        lambda: D.kl_divergence(D.MultivariateNormal(rt.zeros(2), rt.eye(2)), D.Normal(0.0, 1.0)),
    ):  # fmt: skip
        with pytest.raises(NotImplementedError):
            ask()
    with pytest.raises(ValueError, match="different event shapes"):
        D.kl_divergence(*(D.MultivariateNormal(rt.zeros(n), rt.eye(n)) for n in (2, 3)))


def test_modes_are_the_likeliest() -> None:
    """No value near to a mode is likelier; and modes at ends and between."""
    for name, make in ALL.items():
        p = make(False)
        if EVENTS.get(name) or p.support.is_discrete:
            continue
        try:
            mode = p.mode
        except NotImplementedError:
            continue
        at = p.log_prob(mode + 1e-9 * (mode == 0))
        for step in (1e-3, -1e-3):
            x = mode + step
            inside = p.support.check(x)
            assert (p.log_prob(x.where(inside, mode + 1e-9)) <= at + 1e-6).all(), name
    for name in ("Binomial", "Geometric", "NegativeBinomial", "Poisson"):
        p = ALL[name](False)
        k = rt.arange(100 if name != "Binomial" else 6, dtype=F).unsqueeze(-1)
        log_p = p.log_prob(k)
        close(log_p.amax(0), p.log_prob(p.mode), 1e-12)
    assert D.Binomial(3, t(1.0)).mode.item() == 3 and D.Gamma(t(0.5), t(1.0)).mode.item() == 0
    assert D.FisherSnedecor(t(1.0), t(1.0)).mode.isnan().all() and D.Kumaraswamy(t(0.5), t(2.0)).mode.isnan().all()
    close(D.Dirichlet(t(2, 3, 1)).mode, t(1 / 3, 2 / 3, 0))
    assert sorted(D.Dirichlet(t(0.2, 0.3, 0.1)).mode.tolist()) == [0, 0, 1]  # one of the corners
    assert D.OneHotCategorical(t(1, 3, 2)).mode.tolist() == [0, 1, 0]
    assert D.Wishart(t(4.0), COVARIANCE).mode.isnan().all()
    close(D.Beta(t(2.0), t(3.0)).mode, t(1 / 3))
    m = D.MultivariateNormal(t(1, 2, 3), COVARIANCE)
    assert m.mode.tolist() == m.mean.tolist() == [1, 2, 3]
    low = D.LowRankMultivariateNormal(t(1, 2), rt.ones(2, 1, dtype=F), t(1, 1))
    assert low.mode.tolist() == low.mean.tolist() == [1, 2]


def test_moments_that_are_not_there() -> None:
    for d, mean, variance in (
        (D.StudentT(t(1, 2, 3)), [NAN, 0, 0], [NAN, INF, 3]), (D.Cauchy(t(0.0), t(1.0)), [NAN], [INF]),
        (D.HalfCauchy(t(1.0)), [INF], [INF]), (D.Pareto(t(1, 1, 1), t(1, 2, 3)), [INF, 2, 1.5], [INF, INF, 0.75]),
        (D.InverseGamma(t(1, 2, 3), t(1, 1, 1)), [INF, 1, 0.5], [INF, INF, 0.25]),
        (D.FisherSnedecor(t(2, 2, 2), t(2, 4, 6)), [NAN, 2, 1.5], [NAN, NAN, 6.75]),
        (D.GeneralizedPareto(t(0, 0, 0), t(1, 1, 1), t(1, 0.5, 0.25)), [NAN, 2, 4 / 3], [NAN, NAN, 32 / 9]),
    ):  # fmt: skip
        np.testing.assert_allclose(d.mean.numpy(), mean, rtol=1e-9)
        np.testing.assert_allclose(d.variance.numpy(), variance, rtol=1e-9)


def test_defaults() -> None:
    s = D.StudentT(t(3.0))
    assert (s.loc.item(), s.scale.item()) == (0, 1)
    assert D.Binomial(probs=t(0.5)).total_count.item() == 1 and D.Multinomial(probs=t(1, 1)).total_count == 1
    assert D.LKJCholesky(3).concentration.item() == 1
    c = D.ContinuousBernoulli(t(0.4991, 0.4989))
    assert c._lims == (0.499, 0.501) and c._outside_unstable_region().tolist() == [False, True]
    assert ALL["ContinuousBernoulli"](None).expand((3, 2))._lims == (0.4, 0.6)
    # The series near a half agrees with the formulas further out.
    p = t(0.45, 0.55)
    for f in ("mean", "variance", "entropy"):
        one, other = (getattr(D.ContinuousBernoulli(p, lims=v), f) for v in ((0.499, 0.501), (0.4, 0.6)))
        close(*(v() if f == "entropy" else v for v in (one, other)), 1e-5)
    a = D.AffineTransform(0.0, 2.0)
    assert a.event_dim == 0 and D.CatTransform([a]).dim == D.StackTransform([a]).dim == 0
    assert D.CatTransform([a, a]).lengths == [1, 1] and a._cache_size == 0 and a.with_cache()._cache_size == 1
    assert D.constraints.cat([D.constraints.real]).dim == D.constraints.stack([D.constraints.real]).dim == 0
    wishart = D.Wishart(5.0, covariance_matrix=COVARIANCE)
    assert wishart.df.dtype is F


def test_sets() -> None:
    """What lies in each set, how many dimensions a value has, and whether it is one of single points."""
    c = D.constraints
    eye, skew = [[1.0, 0.0], [0.0, 1.0]], [[1.0, 0.5], [0.0, 1.0]]
    root = 0.5**0.5
    for found, discrete, event, inside, outside in (
        (c.boolean, True, 0, [0, 1], [0.5, -1, NAN]), (c.one_hot, True, 1, [[0, 1]], [[1, 1], [0, 0], [0.5, 0.5]]),
        (c.nonnegative_integer, True, 0, [0, 3], [-1, 0.5, NAN]), (c.positive_integer, True, 0, [1, 3], [0, 1.5]),
        (c.integer_interval(-1, 2), True, 0, [-1, 0, 2], [-2, 3, 0.5]), (c.real, False, 0, [0, INF], [NAN]),
        (c.real_vector, False, 1, [[0, 1]], [[0, NAN]]), (c.positive, False, 0, [1e-9, INF], [0, -1, NAN]),
        (c.nonnegative, False, 0, [0, 1], [-1e-9, NAN]), (c.greater_than(2), False, 0, [3], [2, 1, NAN]),
        (c.greater_than_eq(2), False, 0, [2, 3], [1, NAN]), (c.less_than(2), False, 0, [1], [2, 3, NAN]),
        (c.multinomial(2), True, 1, [[0, 1], [1, 1]], [[-1, 1], [2, 1]]),
        (c.unit_interval, False, 0, [0, 0.5, 1], [-0.1, 1.1, NAN]), (c.interval(1, 2), False, 0, [1, 2], [0.9, 2.1]),
        (c.half_open_interval(1, 2), False, 0, [1, 1.9], [0.9, 2]),
        (c.simplex, False, 1, [[0.25, 0.75], [0, 1]], [[0.5, 0.6], [-0.5, 1.5]]),
        (c.lower_triangular, False, 2, [eye, [[-1, 0], [2, 0]]], [skew]),
        (c.lower_cholesky, False, 2, [eye, [[1, 0], [2, 3]]], [skew, [[0, 0], [1, 1]]]),
        (c.corr_cholesky, False, 2, [eye, [[1, 0], [root, root]]], [skew, [[1, 0], [1, 1]], [[1, 0], [1, 0]]]),
        (c.square, False, 2, [eye, skew], [[[1.0, 2.0]]]), (c.symmetric, False, 2, [eye, [[1, 2], [2, 1]]], [skew]),
        (c.positive_semidefinite, False, 2, [eye, [[0, 0], [0, 1]]], [skew, [[-1, 0], [0, 1]]]),
        (c.positive_definite, False, 2, [eye, [[2, 1], [1, 2]]], [skew, [[0, 0], [0, 1]], [[1, 2], [2, 1]]]),
        (c.independent(c.boolean, 2), True, 2, [eye], [skew]),
        (c.cat([c.positive, c.boolean], 0, [1, 2]), True, 0, [], []),
    ):  # fmt: skip
        assert (found.is_discrete, found.event_dim) == (discrete, event), found
        for v in inside:
            assert found.check(t(v) if not isinstance(v, list) else rt.tensor(v, dtype=F)).all(), (found, v)
        for v in outside:
            assert not found.check(t(v) if not isinstance(v, list) else rt.tensor(v, dtype=F)).any(), (found, v)
    both = c.cat([c.positive, c.boolean], 0, [1, 2])
    assert both.check(t(0.5, 1, 0.5)).tolist() == [True, True, False]
    side = c.stack([c.positive, c.boolean], -1)
    assert side.check(rt.tensor([[0.5, 1], [-1, 0.5]], dtype=F)).tolist() == [[True, True], [False, False]]
    assert (side.event_dim, c.stack([c.real_vector, c.real_vector], -2).event_dim) == (1, 2)
    assert c.stack([c.real, c.real_vector], 0).event_dim == 1
    with pytest.raises(ValueError, match="dependent"):
        c.dependent.check(t(1.0))
    for ask in (lambda: c.dependent.is_discrete, lambda: c.dependent.event_dim):
        with pytest.raises(NotImplementedError):
            ask()
    known = c.dependent(is_discrete=True, event_dim=1)
    assert c.is_dependent(known) and not c.is_dependent(c.real) and (known.is_discrete, known.event_dim) == (True, 1)
    with pytest.raises(ValueError, match=r"value\.dim\(\) >= 1"):
        c.real_vector.check(rt.tensor(1.0))


def test_dimensions_of_events_in_transforms() -> None:
    x = t(1, 2, 3).expand(4, 3)
    affine = D.AffineTransform(t(1, 2, 3), t(-2, 1, 3), event_dim=1)
    several = D.IndependentTransform(D.ExpTransform(), 1)
    for f, want in ((affine, math.log(6)), (several, 6.0)):
        for g in (f, f.with_cache()):
            assert g.event_dim == g.domain.event_dim == g.codomain.event_dim == 1
            close(g.log_abs_det_jacobian(x, g(x)), t(want).expand(4), 1e-9)
    for dim, lengths in ((-1, [1, 2]), (0, [1, 3])):
        mixed = D.CatTransform([D.ExpTransform(), several], dim, lengths)
        assert mixed.event_dim == 1
        close(mixed.log_abs_det_jacobian(x, mixed(x)), t(6, 6, 6, 6), 1e-9)
        cached = mixed.with_cache()
        assert (cached.dim, cached.lengths, cached.transforms[1].event_dim) == (dim, lengths, 1)
    stack = D.StackTransform([D.ExpTransform(), D.TanhTransform()], -2).with_cache()
    assert stack.dim == -2 and [f._cache_size for f in stack.transforms] == [1, 1]
    shaped = D.ReshapeTransform((2, 3), (6,)).with_cache()
    assert (shaped.in_shape, shaped.out_shape) == ((2, 3), (6,))
    assert D.PowerTransform(t(3.0)).with_cache().exponent.item() == 3
    normal = D.Normal(t(0.5), 2.0)
    assert D.CumulativeDistributionTransform(normal).with_cache().distribution is normal
    both = D.ComposeTransform([D.ExpTransform(), affine]).with_cache()
    assert both.domain.event_dim == both.codomain.event_dim == 1 and [f._cache_size for f in both.parts] == [1, 1]


def test_what_is_certain() -> None:
    """0 log 0 is 0, and sets do not take what is only near to them."""
    assert D.Geometric(t(1.0)).log_prob(t(0, 1)).tolist() == [0, -INF]
    assert D.NegativeBinomial(t(0.0), t(0.5)).log_prob(t(0.0)).item() == 0
    never = D.Multinomial(2, logits=t(0, -INF))
    assert never.log_prob(t(2, 0)).item() == 0 and never.log_prob(t(1, 1)).item() == -INF
    near = rt.tensor([[0.5, 0.5 + 1e-8], [0.5, 0.5 + 1e-5]], dtype=F)
    assert D.constraints.simplex.check(near).tolist() == [True, False]


@pytest.mark.parametrize(("tries", "wrong", "calls"), [(None, 3, 4), (None, 99, 11), (1, 3, 2), (0, 1, 1), (2, 0, 1)])
def test_singular_samples_are_drawn_again(
    tries: int | None, wrong: int, calls: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    p, found = D.Wishart(t(5.0), COVARIANCE), []

    def draw(shape: Any) -> rt.Tensor:
        found.append(shape)
        good = COVARIANCE * len(found)
        return rt.stack([good, rt.zeros(3, 3, dtype=F) if len(found) <= wrong else good]).unsqueeze(1)

    monkeypatch.setattr(p, "_bartlett_sampling", draw)
    if wrong:
        with pytest.warns(UserWarning, match="Singular sample"):
            s = p.rsample((2,), tries)
    else:
        s = p.rsample((2,), tries)
    assert found == [(2,)] * calls
    assert rt.equal(s[0, 0], COVARIANCE)  # what is fine stays
    assert rt.equal(s[1, 0], COVARIANCE * (calls if calls > wrong else 0))


def test_formulas_that_come_later() -> None:
    """A formula is used from its registration on, though another one was found before."""

    class Own(D.Normal):
        pass

    p = Own(t(1.0), t(1.0))
    close(D.kl_divergence(p, Own(t(0.0), t(1.0))), t(0.5))
    D.register_kl(Own, Own)(lambda a, b: a.loc * 7)
    assert D.kl_divergence(p, p).item() == 7


def test_logistic_normal_of_numbers() -> None:
    p = D.LogisticNormal(0.0, 1.0)
    assert (p.batch_shape, p.event_shape, p.sample((5,)).shape) == ((), (2,), (5, 2))
    assert p.loc.tolist() == [0] and p.scale.tolist() == [1]
