"""Distributions that are those of transformed variables."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from typing import Any

from .. import _ops, words
from .._tensor import Tensor
from ..dtypes import finfo
from . import constraints
from .classes import Categorical, _OverClasses
from .compound import TransformedDistribution
from .continuous import Cauchy, Exponential, Normal, Uniform, _rand
from .counts import _Odds, _one_of
from .distribution import Distribution
from .gamma import Gamma
from .transforms import (
    AbsTransform,
    AffineTransform,
    ExpTransform,
    PowerTransform,
    SigmoidTransform,
    StickBreakingTransform,
)
from .utils import LOG_2, broadcast_all, clamp_probs, euler_constant

__all__ = [
    "ExpRelaxedCategorical", "Gumbel", "HalfCauchy", "HalfNormal", "InverseGamma", "Kumaraswamy", "LogNormal",
    "LogisticNormal", "LogitRelaxedBernoulli", "Pareto", "RelaxedBernoulli", "RelaxedOneHotCategorical", "Weibull",
]  # fmt: skip

_LOC_SCALE = {"loc": constraints.real, "scale": constraints.positive}


class Gumbel(TransformedDistribution):
    """The Gumbel distribution, that of the greatest of many: `cdf = exp(-exp(-(x - loc) / scale))`.

    Args:
        loc: the mode, `[*]`.
        scale: > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `Gumbel(rt.tensor([1.0]), rt.tensor([2.0])).sample()`.
    """

    arg_constraints = _LOC_SCALE
    support = constraints.real

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        f = finfo(self.loc.dtype)
        low, high = _ops.full_like(self.loc.detach(), f.tiny), _ops.full_like(self.loc.detach(), 1 - f.eps)
        super().__init__(
            Uniform(low, high, validate_args=validate_args), self._parts(self.loc, self.scale), validate_args
        )

    @staticmethod
    def _parts(loc: Any, scale: Any) -> list[Any]:
        minus_log = [ExpTransform().inv, AffineTransform(0, -_ops.ones_like(scale))]
        return [*minus_log, ExpTransform().inv, AffineTransform(loc, -scale)]

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._get_checked_instance(Gumbel, _instance)
        new.loc, new.scale = self.loc.expand(batch_shape), self.scale.expand(batch_shape)
        return super().expand(batch_shape, _instance=new)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        y = (self.loc - value) / self.scale
        return y - y.exp() - self.scale.log()

    @property
    def mean(self) -> Tensor:
        """loc + 0.5772 scale."""
        return self.loc + self.scale * euler_constant

    @property
    def mode(self) -> Tensor:
        """The location."""
        return self.loc

    @property
    def stddev(self) -> Tensor:
        """pi scale / sqrt(6)."""
        return (math.pi / math.sqrt(6)) * self.scale

    @property
    def variance(self) -> Tensor:
        """pi^2 scale^2 / 6."""
        return self.stddev.pow(2)

    def entropy(self) -> Tensor:
        """log scale + 1.5772."""
        return self.scale.log() + (1 + euler_constant)


class _Half(TransformedDistribution):
    """Base of the absolute values of variables that are symmetric around 0."""

    arg_constraints = {"scale": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _whole: Any

    def __init__(self, scale: Any, validate_args: bool | None = None) -> None:
        super().__init__(self._whole(0, scale, validate_args=False), AbsTransform(), validate_args=validate_args)

    @property
    def scale(self) -> Tensor:
        """The scale of the whole."""
        return self.base_dist.scale

    @property
    def mode(self) -> Tensor:
        """Zero."""
        return _ops.zeros_like(self.scale)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density; minus infinity below 0."""
        value = words.as_tensor(value, dtype=self.scale.dtype) if not isinstance(value, Tensor) else value
        if self._validate_args:
            self._validate_sample(value)
        return words.where(value >= 0, self.base_dist.log_prob(value) + LOG_2, -math.inf)

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of less than `value`."""
        if self._validate_args:
            self._validate_sample(value)
        return 2 * self.base_dist.cdf(value) - 1

    def icdf(self, value: Tensor) -> Tensor:
        """Inverse of `cdf`."""
        return self.base_dist.icdf((value + 1) / 2)

    def entropy(self) -> Tensor:
        """That of the whole, less log 2."""
        return self.base_dist.entropy() - LOG_2


class HalfCauchy(_Half):
    """The absolute value of a Cauchy variable around 0.

    Args:
        scale: of the whole distribution, > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `HalfCauchy(rt.tensor([1.0])).sample()`.
    """

    _whole = Cauchy

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return super().expand(batch_shape, _instance=self._get_checked_instance(HalfCauchy, _instance))

    @property
    def mean(self) -> Tensor:
        """Infinite."""
        return _ops.full_like(self.scale.detach(), math.inf)

    @property
    def variance(self) -> Tensor:
        """Infinite."""
        return self.base_dist.variance


class HalfNormal(_Half):
    """The absolute value of a normal variable around 0.

    Args:
        scale: standard deviation of the whole distribution, > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `HalfNormal(rt.tensor([1.0])).sample()`.
    """

    _whole = Normal

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return super().expand(batch_shape, _instance=self._get_checked_instance(HalfNormal, _instance))

    @property
    def mean(self) -> Tensor:
        """scale sqrt(2 / pi)."""
        return self.scale * math.sqrt(2 / math.pi)

    @property
    def variance(self) -> Tensor:
        """scale^2 (1 - 2 / pi)."""
        return self.scale.pow(2) * (1 - 2 / math.pi)


class LogNormal(TransformedDistribution):
    """The exponential of a normal variable.

    Args:
        loc: mean of the logarithm, `[*]`.
        scale: standard deviation of the logarithm, > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `LogNormal(rt.tensor([0.0]), rt.tensor([1.0])).sample()`.
    """

    arg_constraints = _LOC_SCALE
    support = constraints.positive
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base = Normal(loc, scale, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return super().expand(batch_shape, _instance=self._get_checked_instance(LogNormal, _instance))

    @property
    def loc(self) -> Tensor:
        """Mean of the logarithm."""
        return self.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """Standard deviation of the logarithm."""
        return self.base_dist.scale

    @property
    def mean(self) -> Tensor:
        """exp(loc + scale^2 / 2)."""
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def mode(self) -> Tensor:
        """exp(loc - scale^2)."""
        return (self.loc - self.scale.square()).exp()

    @property
    def variance(self) -> Tensor:
        """(exp(scale^2) - 1) exp(2 loc + scale^2)."""
        square = self.scale.pow(2)
        return square.expm1() * (2 * self.loc + square).exp()

    def entropy(self) -> Tensor:
        """Entropy of the normal variable, plus its mean."""
        return self.base_dist.entropy() + self.loc


class LogisticNormal(TransformedDistribution):
    """Vectors of k positive numbers of sum 1 from k - 1 normal variables, by `StickBreakingTransform`.

    Args:
        loc: means of the variables, `[*, k - 1]`.
        scale: their standard deviations, > 0, `[*, k - 1]`.
        validate_args: see `Distribution`.

    Example: `LogisticNormal(rt.zeros(3), rt.ones(3)).sample()` are four numbers of sum 1.
    """

    arg_constraints = _LOC_SCALE
    support = constraints.simplex
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        base: Any = Normal(loc, scale, validate_args=validate_args)
        if not base.batch_shape:
            base = base.expand([1])
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return super().expand(batch_shape, _instance=self._get_checked_instance(LogisticNormal, _instance))

    @property
    def loc(self) -> Tensor:
        """Means of the normal variables."""
        return self.base_dist.base_dist.loc

    @property
    def scale(self) -> Tensor:
        """Standard deviations of the normal variables."""
        return self.base_dist.base_dist.scale


class InverseGamma(TransformedDistribution):
    """The inverse of a gamma variable.

    Args:
        concentration: the shape a > 0, `[*]`.
        rate: that of the gamma variable, the scale of its inverse, > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `InverseGamma(rt.tensor([2.0]), rt.tensor([3.0])).sample()`.
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        base = Gamma(concentration, rate, validate_args=validate_args)
        minus_one = -_ops.ones((), dtype=base.rate.dtype, device=base.rate.device)
        super().__init__(base, PowerTransform(minus_one), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return super().expand(batch_shape, _instance=self._get_checked_instance(InverseGamma, _instance))

    @property
    def concentration(self) -> Tensor:
        """The shape."""
        return self.base_dist.concentration

    @property
    def rate(self) -> Tensor:
        """The rate of the gamma variable."""
        return self.base_dist.rate

    @property
    def mean(self) -> Tensor:
        """rate / (a - 1) for a > 1, else infinite."""
        heavy = self.concentration <= 1
        return (self.rate / (self.concentration.masked_fill(heavy, 2) - 1)).masked_fill(heavy, math.inf)

    @property
    def mode(self) -> Tensor:
        """rate / (a + 1)."""
        return self.rate / (self.concentration + 1)

    @property
    def variance(self) -> Tensor:
        """rate^2 / ((a - 1)^2 (a - 2)) for a > 2, else infinite."""
        heavy = self.concentration <= 2
        a = self.concentration.masked_fill(heavy, 3)
        return (self.rate.square() / ((a - 1).square() * (a - 2))).masked_fill(heavy, math.inf)

    def entropy(self) -> Tensor:
        """a + log rate + log gamma(a) - (1 + a) digamma(a)."""
        a = self.concentration
        return a + self.rate.log() + _ops.lgamma(a) - (1 + a) * _ops.digamma(a)


class Kumaraswamy(TransformedDistribution):
    """Kumaraswamy's distribution on [0, 1], near to the beta distribution: `cdf = 1 - (1 - x^a)^b`.

    Args:
        concentration1: a > 0, `[*]`.
        concentration0: b > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `Kumaraswamy(rt.tensor([1.0]), rt.tensor([1.0])).sample()`.
    """

    arg_constraints = {"concentration1": constraints.positive, "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        self.concentration1, self.concentration0 = broadcast_all(concentration1, concentration0)
        b = self.concentration0.detach()
        base = Uniform(_ops.full_like(b, 0), _ops.full_like(b, 1), validate_args=validate_args)
        transforms = [
            PowerTransform(self.concentration0.reciprocal()),
            AffineTransform(1.0, -1.0),
            PowerTransform(self.concentration1.reciprocal()),
        ]
        super().__init__(base, transforms, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._get_checked_instance(Kumaraswamy, _instance)
        new.concentration1 = self.concentration1.expand(batch_shape)
        new.concentration0 = self.concentration0.expand(batch_shape)
        return super().expand(batch_shape, _instance=new)

    def _moment(self, n: int) -> Tensor:
        """The mean of x^n, b B(1 + n / a, b)."""
        a, b = self.concentration1, self.concentration0
        first = 1 + n / a
        return (b.log() + _ops.lgamma(first) + _ops.lgamma(b) - _ops.lgamma(first + b)).exp()

    @property
    def mean(self) -> Tensor:
        """b B(1 + 1 / a, b)."""
        return self._moment(1)

    @property
    def mode(self) -> Tensor:
        """((a - 1) / (a b - 1))^(1 / a) for a, b >= 1, else NaN."""
        a, b = self.concentration1, self.concentration0
        none = (a < 1) | (b < 1)
        a, b = a.masked_fill(none, 2), b.masked_fill(none, 2)
        return ((a - 1) / (a * b - 1)).pow(a.reciprocal()).masked_fill(none, math.nan)

    @property
    def variance(self) -> Tensor:
        """The second moment, less the square of the mean."""
        return self._moment(2) - self.mean.pow(2)

    def entropy(self) -> Tensor:
        """1 - 1/b + (1 - 1/a) (digamma(b + 1) + 0.5772) - log a - log b."""
        a, b = self.concentration1, self.concentration0
        harmonic = _ops.digamma(b + 1) + euler_constant
        return (1 - b.reciprocal()) + (1 - a.reciprocal()) * harmonic - a.log() - b.log()


class Pareto(TransformedDistribution):
    """The Pareto distribution of type 1: `1 - cdf = (scale / x)^alpha` for x >= scale.

    Args:
        scale: the least value > 0, `[*]`.
        alpha: the exponent > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `Pareto(rt.tensor([1.0]), rt.tensor([1.0])).sample()`.
    """

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}

    def __init__(self, scale: Any, alpha: Any, validate_args: bool | None = None) -> None:
        self.scale, self.alpha = broadcast_all(scale, alpha)
        base = Exponential(self.alpha, validate_args=validate_args)
        super().__init__(base, [ExpTransform(), AffineTransform(0, self.scale)], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._get_checked_instance(Pareto, _instance)
        new.scale, new.alpha = self.scale.expand(batch_shape), self.alpha.expand(batch_shape)
        return super().expand(batch_shape, _instance=new)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From the scale on."""
        return constraints.greater_than_eq(self.scale)

    @property
    def mean(self) -> Tensor:
        """alpha scale / (alpha - 1) for alpha > 1, else infinite."""
        heavy = self.alpha <= 1
        a = self.alpha.masked_fill(heavy, 2)
        return (a * self.scale / (a - 1)).masked_fill(heavy, math.inf)

    @property
    def mode(self) -> Tensor:
        """The scale."""
        return self.scale

    @property
    def variance(self) -> Tensor:
        """scale^2 alpha / ((alpha - 1)^2 (alpha - 2)) for alpha > 2, else infinite."""
        heavy = self.alpha <= 2
        a = self.alpha.masked_fill(heavy, 3)
        return (self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))).masked_fill(heavy, math.inf)

    def entropy(self) -> Tensor:
        """log(scale / alpha) + 1 + 1 / alpha."""
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class Weibull(TransformedDistribution):
    """The Weibull distribution: `cdf = 1 - exp(-(x / scale)^concentration)`.

    Args:
        scale: > 0, `[*]`.
        concentration: the shape > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `Weibull(rt.tensor([1.0]), rt.tensor([1.0])).sample()`.
    """

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive

    def __init__(self, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.scale, self.concentration = broadcast_all(scale, concentration)
        self.concentration_reciprocal = self.concentration.reciprocal()
        base = Exponential(_ops.ones_like(self.scale.detach()), validate_args=validate_args)
        super().__init__(base, self._parts(self), validate_args=validate_args)

    @staticmethod
    def _parts(d: Any) -> list[Any]:
        return [PowerTransform(d.concentration_reciprocal), AffineTransform(0, d.scale)]

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._get_checked_instance(Weibull, _instance)
        new.scale, new.concentration = self.scale.expand(batch_shape), self.concentration.expand(batch_shape)
        new.concentration_reciprocal = new.concentration.reciprocal()
        new.base_dist, new.transforms = self.base_dist.expand(batch_shape), self._parts(new)
        Distribution.__init__(new, batch_shape, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def mean(self) -> Tensor:
        """scale gamma(1 + 1 / k) for the shape k."""
        return self.scale * _ops.lgamma(1 + self.concentration_reciprocal).exp()

    @property
    def mode(self) -> Tensor:
        """scale ((k - 1) / k)^(1 / k)."""
        k = self.concentration
        return self.scale * ((k - 1) / k) ** k.reciprocal()

    @property
    def variance(self) -> Tensor:
        """scale^2 (gamma(1 + 2 / k) - gamma(1 + 1 / k)^2)."""
        i = self.concentration_reciprocal
        return self.scale.pow(2) * (_ops.lgamma(1 + 2 * i).exp() - (2 * _ops.lgamma(1 + i)).exp())

    def entropy(self) -> Tensor:
        """0.5772 (1 - 1 / k) + log(scale / k) + 1."""
        i = self.concentration_reciprocal
        return euler_constant * (1 - i) + (self.scale * i).log() + 1


class LogitRelaxedBernoulli(_Odds):
    """The logarithm of the odds of a `RelaxedBernoulli` variable: a logistic variable around `logits`, divided by the
    temperature (Maddison, Mnih and Teh 2017).

    Args:
        temperature: > 0.
        probs: probability of 1, `[*]`.
        logits: or the logarithm of its odds, `[*]`; one of both.
        validate_args: see `Distribution`.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self.temperature = temperature
        name = _one_of(probs, logits)
        (self.__dict__[name],) = broadcast_all(logits if probs is None else probs)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._expanded(LogitRelaxedBernoulli, batch_shape, _instance, probs=0, logits=0)
        new.temperature = self.temperature
        return new

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Differences of log-odds of uniform numbers and those of the distribution, over the temperature."""
        shape = self._extended_shape(sample_shape)
        p = clamp_probs(self.probs.expand(shape))
        u = clamp_probs(_rand(shape, p))
        return (u.log() - (-u).log1p() + p.log() - (-p).log1p()) / self.temperature

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        difference = logits - value * self.temperature
        t = self.temperature
        log = t.log() if isinstance(t, Tensor) else math.log(t)
        return log + difference - 2 * difference.exp().log1p()


class RelaxedBernoulli(TransformedDistribution):
    """Numbers in (0, 1) that come near to 0 or 1 with falling temperature, and have gradients (Maddison, Mnih and Teh
    2017; Jang, Gu and Poole 2017).

    Args:
        temperature: > 0.
        probs: probability of 1, `[*]`.
        logits: or the logarithm of its odds, `[*]`; one of both.
        validate_args: see `Distribution`.

    Example: `RelaxedBernoulli(rt.tensor([2.2]), rt.tensor([0.1, 0.2, 0.3, 0.99])).sample()`.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        base = LogitRelaxedBernoulli(temperature, probs, logits)
        super().__init__(base, SigmoidTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return super().expand(batch_shape, _instance=self._get_checked_instance(RelaxedBernoulli, _instance))

    @property
    def temperature(self) -> Any:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """Logarithm of the odds."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """Probability of 1 at temperature 0."""
        return self.base_dist.probs


class ExpRelaxedCategorical(_OverClasses):
    """The logarithm of a `RelaxedOneHotCategorical` variable: normalised sums of logits and Gumbel variables, divided
    by the temperature (Maddison, Mnih and Teh 2017).

    Args:
        temperature: > 0.
        probs: weights of the classes, `[*, k]`.
        logits: or the logarithms of such weights, `[*, k]`; one of both.
        validate_args: see `Distribution`.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        self._categorical = Categorical(probs, logits, validate_args=validate_args)
        self.temperature = temperature
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._expanded(ExpRelaxedCategorical, batch_shape, _instance)
        new.temperature = self.temperature
        new._categorical = self._categorical.expand(batch_shape)
        return new

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Scores of the classes, less the logarithm of the sum of their exponentials."""
        u = clamp_probs(_rand(self._extended_shape(sample_shape), self.logits))
        scores = (self.logits - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(-1, keepdim=True)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        k = self._categorical._num_events
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        t = self.temperature
        log = t.log() if isinstance(t, Tensor) else math.log(t)
        score = logits - value * t
        score = (score - score.logsumexp(-1, keepdim=True)).sum(-1)
        return score + (math.lgamma(k) + log * (k - 1))


class RelaxedOneHotCategorical(TransformedDistribution):
    """Vectors of k positive numbers of sum 1 that come near to a single 1 with falling temperature, and have gradients
    (Maddison, Mnih and Teh 2017; Jang, Gu and Poole 2017).

    Args:
        temperature: > 0.
        probs: weights of the classes, `[*, k]`.
        logits: or the logarithms of such weights, `[*, k]`; one of both.
        validate_args: see `Distribution`.

    Example: `RelaxedOneHotCategorical(rt.tensor([2.2]), rt.tensor([0.1, 0.2, 0.3, 0.4])).sample()`.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.simplex
    has_rsample = True

    def __init__(
        self, temperature: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        base = ExpRelaxedCategorical(temperature, probs, logits, validate_args=validate_args)
        super().__init__(base, ExpTransform(), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return super().expand(batch_shape, _instance=self._get_checked_instance(RelaxedOneHotCategorical, _instance))

    @property
    def temperature(self) -> Any:
        """The temperature."""
        return self.base_dist.temperature

    @property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return self.base_dist.logits

    @property
    def probs(self) -> Tensor:
        """Probabilities of the classes at temperature 0."""
        return self.base_dist.probs
