"""Distributions by their definitions: densities integrate to one, and moments, entropy and divergence are integrals."""

from __future__ import annotations

import math
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
            with pytest.raises(errors.InvalidArgumentError, match="outside of the support"):
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
        with pytest.raises(errors.InvalidArgumentError, match="does not fit"):
            p.log_prob(rt.zeros(wrong))
    assert rows.log_prob(rt.tensor([0.0, 1.0])).shape == rows.log_prob(rt.tensor([[0.0, 1.0]] * 4)).shape == (4,)
    for wrong_rows in (rt.zeros(3), rt.tensor([[0.0, 1.0]] * 3), rt.tensor(1.0)):
        with pytest.raises(errors.InvalidArgumentError, match="does not fit"):
            rows.log_prob(wrong_rows)
    both = D.Independent(D.Normal(rt.zeros(4, 3), 1.0), 1)
    with pytest.raises(errors.InvalidArgumentError, match="does not fit"):
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
        assert cls(*args)._validates and cls(*args, True)._validates and not cls(*args, False)._validates
    mixed = D.Normal(t(0, 0), 2)  # numbers become tensors of the tensor's dtype
    assert mixed.scale.dtype is F and mixed.scale.tolist() == [2, 2] and D.Normal(0, 1).loc.dtype is rt.float32
    base = D.Normal(rt.zeros(2, 3), rt.full((2, 3), 2.0))
    p = D.Independent(base, 2)
    assert p.stddev.tolist() == [[2.0] * 3] * 2 and p.log_prob(rt.zeros(2, 3)).shape == ()
    close(p.entropy(), base.entropy().sum())
    close(D.kl_divergence(p, D.Independent(D.Normal(rt.ones(2, 3), rt.full((2, 3), 2.0)), 2)), rt.tensor(6 / 8))
    assert not D.Independent(base, 1, validate_args=False)._validates
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
