"""Distributions of real numbers with a formula of their own."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from typing import Any

from .. import _ops, words
from .._tensor import Tensor
from ..autograd import no_grad
from ..dtypes import BY_NAME, finfo
from ..errors import InvalidArgumentError
from . import constraints
from .counts import _Odds, _one_of
from .distribution import Distribution, ExponentialFamily
from .gamma import Chi2
from .utils import LOG_2, LOG_PI, _softplus, _standard_normal, broadcast_all, clamp_probs, lazy_property

__all__ = [
    "Cauchy", "ContinuousBernoulli", "Exponential", "GeneralizedPareto", "Laplace", "Normal", "StudentT", "Uniform",
    "VonMises",
]  # fmt: skip

_LOC_SCALE = {"loc": constraints.real, "scale": constraints.positive}


def _rand(shape: Any, like: Tensor) -> Tensor:
    return _ops.rand(shape, dtype=like.dtype, device=like.device)


class _LocationScale(Distribution):
    """Base of those with a location and a scale."""

    arg_constraints = _LOC_SCALE
    support = constraints.real
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = broadcast_all(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The location."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The location."""
        return self.loc

    def _standard(self, value: Tensor) -> Tensor:
        """The checked value in units of the scale from the location."""
        if self._validate_args:
            self._validate_sample(value)
        return (value - self.loc) / self.scale


class Normal(_LocationScale, ExponentialFamily):
    """The normal distribution.

    Args:
        loc: the mean, `[*]`.
        scale: the standard deviation > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `Normal(rt.tensor([0.0]), rt.tensor([1.0])).sample()`.
    """

    _mean_carrier_measure = 0

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(Normal, batch_shape, _instance, loc=0, scale=0)

    @property
    def variance(self) -> Tensor:
        """Square of the scale."""
        return self.scale.pow(2)

    @property
    def stddev(self) -> Tensor:
        """The scale."""
        return self.scale

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples without gradients."""
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return words.normal(self.loc.expand(shape), self.scale.expand(shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """`loc + scale * e` with standard normal e."""
        e = _standard_normal(self._extended_shape(sample_shape), self.loc.dtype, self.loc.device)
        return self.loc + e * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        z = self._standard(value)
        return -(z * z) / 2 - self.scale.log() - (LOG_2 + LOG_PI) / 2

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of less than `value`."""
        return 0.5 * (1 + _ops.erf(self._standard(value) / math.sqrt(2)))

    def icdf(self, value: Tensor) -> Tensor:
        """Inverse of `cdf`."""
        return self.loc + self.scale * _ops.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        """(1 + log 2 pi) / 2 + log scale."""
        return (1 + LOG_2 + LOG_PI) / 2 + self.scale.log()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        square = self.scale.pow(2)
        return self.loc / square, -0.5 * square.reciprocal()

    def _log_normalizer(self, x: Any, y: Any) -> Tensor:
        return -0.25 * x.pow(2) / y + 0.5 * (-math.pi / y).log()


class Laplace(_LocationScale):
    """The two-sided exponential distribution, whose density falls by e within `scale`.

    Args:
        loc: the mean, `[*]`.
        scale: > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `Laplace(rt.tensor([0.0]), rt.tensor([1.0])).sample()`.
    """

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(Laplace, batch_shape, _instance, loc=0, scale=0)

    @property
    def variance(self) -> Tensor:
        """2 scale^2."""
        return 2 * self.scale.pow(2)

    @property
    def stddev(self) -> Tensor:
        """sqrt(2) scale."""
        return math.sqrt(2) * self.scale

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """From a uniform sample in (-1, 1)."""
        shape, loc = self._extended_shape(sample_shape), self.loc
        u = _ops.empty(shape, dtype=loc.dtype, device=loc.device).uniform_(finfo(loc.dtype).eps - 1, 1)
        return loc - self.scale * u.sign() * (-u.abs()).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        return -(2 * self.scale).log() - self._standard(value).abs()

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of less than `value`."""
        z = self._standard(value)
        return 0.5 - 0.5 * z.sign() * (-z.abs()).expm1()

    def icdf(self, value: Tensor) -> Tensor:
        """Inverse of `cdf`."""
        term = value - 0.5
        return self.loc - self.scale * term.sign() * (-2 * term.abs()).log1p()

    def entropy(self) -> Tensor:
        """1 + log 2 scale."""
        return 1 + (2 * self.scale).log()


class Cauchy(_LocationScale):
    """The Cauchy distribution: that of the quotient of two normal variables of mean 0.

    Args:
        loc: the median, `[*]`.
        scale: half of the width at half of the greatest density, > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `Cauchy(rt.tensor([0.0]), rt.tensor([1.0])).sample()`.
    """

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(Cauchy, batch_shape, _instance, loc=0, scale=0)

    @property
    def mean(self) -> Tensor:
        """Undefined: NaN."""
        return _ops.full_like(self.loc.detach(), math.nan)

    @property
    def variance(self) -> Tensor:
        """Infinite."""
        return _ops.full_like(self.loc.detach(), math.inf)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """`loc + scale * e` with a standard e."""
        loc = self.loc
        e = _ops.empty(self._extended_shape(sample_shape), dtype=loc.dtype, device=loc.device).cauchy_()
        return loc + e * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        return -LOG_PI - self.scale.log() - self._standard(value).pow(2).log1p()

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of less than `value`."""
        return self._standard(value).atan() / math.pi + 0.5

    def icdf(self, value: Tensor) -> Tensor:
        """Inverse of `cdf`."""
        return (math.pi * (value - 0.5)).tan() * self.scale + self.loc

    def entropy(self) -> Tensor:
        """log(4 pi scale)."""
        return 2 * LOG_2 + LOG_PI + self.scale.log()


class StudentT(Distribution):
    """Student's t distribution: that of a normal variable divided by the root of a chi-squared one over its degrees of
    freedom, moved and scaled.

    Args:
        df: degrees of freedom > 0, `[*]`.
        loc: the middle, `[*]`; 0 by default.
        scale: > 0, `[*]`; 1 by default.
        validate_args: see `Distribution`.

    Example: `StudentT(rt.tensor([2.0])).sample()`.
    """

    arg_constraints = {"df": constraints.positive, **_LOC_SCALE}
    support = constraints.real
    has_rsample = True

    def __init__(self, df: Any, loc: Any = 0.0, scale: Any = 1.0, validate_args: bool | None = None) -> None:
        self.df, self.loc, self.scale = broadcast_all(df, loc, scale)
        self._chi2 = Chi2(self.df)
        super().__init__(self.df.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._expanded(StudentT, batch_shape, _instance, df=0, loc=0, scale=0)
        new._chi2 = self._chi2.expand(batch_shape)
        return new

    @property
    def mean(self) -> Tensor:
        """The location for df > 1, else NaN."""
        return self.loc.masked_fill(self.df <= 1, math.nan)

    @property
    def mode(self) -> Tensor:
        """The location."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """scale^2 df / (df - 2) for df > 2, infinite for df > 1, else NaN."""
        heavy = self.df <= 2
        df = self.df.masked_fill(heavy, 3)
        found = self.scale.pow(2) * df / (df - 2)
        return found.masked_fill(heavy, math.inf).masked_fill(self.df <= 1, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """From a normal and a chi-squared sample."""
        x = _standard_normal(self._extended_shape(sample_shape), self.df.dtype, self.df.device)
        z = self._chi2.rsample(sample_shape)
        return self.loc + self.scale * (x * _ops.rsqrt(z / self.df))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        df, y = self.df, (value - self.loc) / self.scale
        front = self.scale.log() + 0.5 * (df.log() + LOG_PI) + _ops.lgamma(0.5 * df) - _ops.lgamma(0.5 * (df + 1.0))
        return -0.5 * (df + 1.0) * (y**2.0 / df).log1p() - front

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        df = self.df
        log_beta = _ops.lgamma(0.5 * df) + 0.5 * LOG_PI - _ops.lgamma(0.5 * (df + 1))
        slopes = _ops.digamma(0.5 * (df + 1)) - _ops.digamma(0.5 * df)
        return self.scale.log() + 0.5 * (df + 1) * slopes + 0.5 * df.log() + log_beta


class Uniform(Distribution):
    """The uniform distribution on [low, high).

    Args:
        low: the least value, `[*]`.
        high: the end, greater than `low`, `[*]`.
        validate_args: see `Distribution`.

    Example: `Uniform(rt.tensor([0.0]), rt.tensor([5.0])).sample()`.
    """

    has_rsample = True

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = broadcast_all(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)

    @property
    def arg_constraints(self) -> dict[str, Any]:
        """`low` is less than `high`."""
        return {"low": constraints.less_than(self.high), "high": constraints.greater_than(self.low)}

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(Uniform, batch_shape, _instance, low=0, high=0)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """The interval."""
        return constraints.interval(self.low, self.high)

    @property
    def mean(self) -> Tensor:
        """The middle."""
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        """Undefined: NaN."""
        return math.nan * self.high

    @property
    def stddev(self) -> Tensor:
        """(high - low) / sqrt(12)."""
        return (self.high - self.low) / math.sqrt(12)

    @property
    def variance(self) -> Tensor:
        """(high - low)^2 / 12."""
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """low + u (high - low)."""
        return self.low + _rand(self._extended_shape(sample_shape), self.low) * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density; minus infinity outside."""
        if self._validate_args:
            self._validate_sample(value)
        inside = (self.low <= value) & (self.high > value)
        return inside.type_as(self.low).log() - (self.high - self.low).log()

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of less than `value`."""
        if self._validate_args:
            self._validate_sample(value)
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def icdf(self, value: Tensor) -> Tensor:
        """Inverse of `cdf`."""
        return value * (self.high - self.low) + self.low

    def entropy(self) -> Tensor:
        """log(high - low)."""
        return (self.high - self.low).log()


class Exponential(ExponentialFamily):
    """The exponential distribution: density `rate exp(-rate x)` for x >= 0.

    Args:
        rate: > 0, `[*]`; the mean is its inverse.
        validate_args: see `Distribution`.

    Example: `Exponential(rt.tensor([1.0])).sample()`.
    """

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(Exponential, batch_shape, _instance, rate=0)

    @property
    def mean(self) -> Tensor:
        """1 / rate."""
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        """Zero."""
        return _ops.zeros_like(self.rate)

    @property
    def stddev(self) -> Tensor:
        """1 / rate."""
        return self.rate.reciprocal()

    @property
    def variance(self) -> Tensor:
        """1 / rate^2."""
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """A sample of rate 1, divided by the rate."""
        shape, rate = self._extended_shape(sample_shape), self.rate
        return _ops.empty(shape, dtype=rate.dtype, device=rate.device).exponential_() / rate

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        return self.rate.log() - self.rate * value

    def cdf(self, value: Tensor) -> Tensor:
        """1 - exp(-rate value)."""
        if self._validate_args:
            self._validate_sample(value)
        return 1 - (-self.rate * value).exp()

    def icdf(self, value: Tensor) -> Tensor:
        """Inverse of `cdf`."""
        return -(-value).log1p() / self.rate

    def entropy(self) -> Tensor:
        """1 - log rate."""
        return 1.0 - self.rate.log()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (-self.rate,)

    def _log_normalizer(self, x: Any) -> Tensor:
        return -(-x).log()


class GeneralizedPareto(Distribution):
    """The generalised Pareto distribution, that of what goes beyond a high threshold (Pickands 1975):
    `1 - cdf = (1 + k (x - loc) / scale)^(-1 / k)`, and `exp(-(x - loc) / scale)` for k = 0.

    Args:
        loc: the least value, `[*]`.
        scale: > 0, `[*]`.
        concentration: the shape k, `[*]`; negative ones end the support at `loc - scale / k`.
        validate_args: see `Distribution`.

    Example: `GeneralizedPareto(rt.tensor([0.1]), rt.tensor([2.0]), rt.tensor([0.4])).sample()`.
    """

    arg_constraints = {**_LOC_SCALE, "concentration": constraints.real}
    has_rsample = True

    def __init__(self, loc: Any, scale: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale, self.concentration = broadcast_all(loc, scale, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(GeneralizedPareto, batch_shape, _instance, loc=0, scale=0, concentration=0)

    @constraints.dependent_property(is_discrete=False, event_dim=0)
    def support(self) -> Any:
        """From `loc` to `loc - scale / k` for negative k, else without an end."""
        end = self.loc - self.scale / self.concentration
        return constraints.interval(self.loc, words.where(self.concentration < 0, end, math.inf))

    def _shape(self) -> tuple[Tensor, Tensor]:
        """Where k is 0, as far as numbers go, and a k without zeros."""
        flat = _ops.isclose(self.concentration, _ops.zeros_like(self.concentration))
        return flat, self.concentration.masked_fill(flat, 1.0)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Quantiles of uniform numbers."""
        return self.icdf(_rand(self._extended_shape(sample_shape), self.loc))

    def log_survival_function(self, value: Tensor) -> Tensor:
        """Logarithm of the probability of more than `value`."""
        if self._validate_args:
            self._validate_sample(value)
        z, (flat, k) = (value - self.loc) / self.scale, self._shape()
        return words.where(flat, -z, -(k * z).log1p() / k)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        z, (flat, k) = (value - self.loc) / self.scale, self._shape()
        return -self.scale.log() + words.where(flat, -z, -(1 + 1 / k) * (k * z).log1p())

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of at most `value`."""
        return 1 - self.log_survival_function(value).exp()

    def log_cdf(self, value: Tensor) -> Tensor:
        """Logarithm of `cdf`."""
        return (-self.log_survival_function(value).exp()).log1p()

    def icdf(self, value: Tensor) -> Tensor:
        """Inverse of `cdf`."""
        flat, k = self._shape()
        gone = (-value).log1p()
        return self.loc + self.scale * words.where(flat, -gone, (-k * gone).expm1() / k)

    @property
    def mean(self) -> Tensor:
        """loc + scale / (1 - k) for k < 1, else NaN."""
        far = self.concentration >= 1
        mean = self.loc + self.scale / (1 - self.concentration.masked_fill(far, 0))
        return mean.masked_fill(far, math.nan)

    @property
    def variance(self) -> Tensor:
        """scale^2 / ((1 - k)^2 (1 - 2 k)) for k < 1/2, else NaN."""
        far = self.concentration >= 0.5
        k = self.concentration.masked_fill(far, 0)
        return (self.scale.pow(2) / ((1 - k).pow(2) * (1 - 2 * k))).masked_fill(far, math.nan)

    @property
    def mode(self) -> Tensor:
        """The least value."""
        return self.loc

    def entropy(self) -> Tensor:
        """log scale + k + 1."""
        return (self.scale.log() + self.concentration + 1).expand(self._batch_shape)


class ContinuousBernoulli(_Odds, ExponentialFamily):
    """The continuous Bernoulli distribution on [0, 1]: density proportional to `probs^x (1 - probs)^(1 - x)`
    (Loaiza-Ganem and Cunningham 2019).

    Args:
        probs: in (0, 1), `[*]`.
        logits: or the logarithm of its odds, `[*]`; one of both.
        lims: between these numbers, near 1/2, where formulas have a gap, Taylor series take their place.
        validate_args: see `Distribution`.

    Example: `ContinuousBernoulli(rt.tensor([0.3])).sample()`.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    _mean_carrier_measure = 0
    has_rsample = True

    def __init__(
        self,
        probs: Any = None,
        logits: Any = None,
        lims: tuple[float, float] = (0.499, 0.501),
        validate_args: bool | None = None,
    ) -> None:
        name = _one_of(probs, logits)
        (value,) = broadcast_all(logits if probs is None else probs)
        if probs is not None:
            if validate_args is not None and not bool(self.arg_constraints["probs"].check(value).all()):
                raise InvalidArgumentError("The parameter probs has invalid values")
            value = clamp_probs(value)
        self.__dict__[name] = value
        self._lims = lims
        super().__init__(value.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._expanded(ContinuousBernoulli, batch_shape, _instance, probs=0, logits=0)
        new._lims = self._lims
        return new

    @lazy_property
    def probs(self) -> Tensor:
        """The parameter, away from 0 and 1."""
        return clamp_probs(_ops.sigmoid(self.logits))

    def _outside_unstable_region(self) -> Tensor:
        return (self.probs <= self._lims[0]) | (self.probs > self._lims[1])

    def _cut_probs(self) -> Tensor:
        """The parameter, and some number outside of the gap where it lies inside."""
        return words.where(self._outside_unstable_region(), self.probs, self._lims[0])

    def _cont_bern_log_norm(self) -> Tensor:
        """log(2 artanh(1 - 2 p) / (1 - 2 p)), its limit log 2 at p = 1/2."""
        p = self._cut_probs()
        low, high = words.where(p <= 0.5, p, 0.0), words.where(p >= 0.5, p, 1.0)
        above = ((-p).log1p() - p.log()).abs().log()
        below = words.where(p <= 0.5, (-2.0 * low).log1p(), (2.0 * high - 1.0).log())
        x = (self.probs - 0.5).pow(2)
        taylor = LOG_2 + (4.0 / 3.0 + 104.0 / 45.0 * x) * x
        return words.where(self._outside_unstable_region(), above - below, taylor)

    @property
    def mean(self) -> Tensor:
        """p / (2 p - 1) + 1 / (2 artanh(1 - 2 p))."""
        p, x = self._cut_probs(), self.probs - 0.5
        mean = p / (2.0 * p - 1.0) + 1.0 / ((-p).log1p() - p.log())
        return words.where(self._outside_unstable_region(), mean, 0.5 + (1.0 / 3.0 + 16.0 / 45.0 * x.pow(2)) * x)

    @property
    def stddev(self) -> Tensor:
        """Standard deviation."""
        return self.variance.sqrt()

    @property
    def variance(self) -> Tensor:
        """p (p - 1) / (1 - 2 p)^2 + 1 / (2 artanh(1 - 2 p))^2."""
        p, x = self._cut_probs(), (self.probs - 0.5).pow(2)
        found = p * (p - 1.0) / (1.0 - 2.0 * p).pow(2) + 1.0 / ((-p).log1p() - p.log()).pow(2)
        taylor = 1.0 / 12.0 - (1.0 / 15.0 - 128.0 / 945.0 * x) * x
        return words.where(self._outside_unstable_region(), found, taylor)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Quantiles of uniform numbers."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Quantiles of uniform numbers, with gradients."""
        return self.icdf(_rand(self._extended_shape(sample_shape), self.probs))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return value * logits - _softplus(logits) + self._cont_bern_log_norm()

    def cdf(self, value: Tensor) -> Tensor:
        """(p^x (1 - p)^(1 - x) + p - 1) / (2 p - 1)."""
        if self._validate_args:
            self._validate_sample(value)
        p = self._cut_probs()
        found = (p.pow(value) * (1.0 - p).pow(1.0 - value) + p - 1.0) / (2.0 * p - 1.0)
        inside = words.where(self._outside_unstable_region(), found, value)
        return inside.masked_fill(value <= 0.0, 0.0).masked_fill(value >= 1.0, 1.0)

    def icdf(self, value: Tensor) -> Tensor:
        """Inverse of `cdf`."""
        p = self._cut_probs()
        found = ((-p + value * (2.0 * p - 1.0)).log1p() - (-p).log1p()) / (p.log() - (-p).log1p())
        return words.where(self._outside_unstable_region(), found, value)

    def entropy(self) -> Tensor:
        """-(mean logits + log(1 - p) + log of the normaliser)."""
        low, high = (-self.probs).log1p(), self.probs.log()
        return self.mean * (low - high) - self._cont_bern_log_norm() - low

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Any) -> Tensor:
        """log |exp(x) - 1| - log |x|, by its series near 0."""
        outside = (x <= self._lims[0] - 0.5) | (x > self._lims[1] - 0.5)
        cut = words.where(outside, x, self._lims[0] - 0.5)
        found = (cut.exp() - 1).abs().log() - cut.abs().log()
        return words.where(outside, found, 0.5 * x + x.pow(2) / 24.0 - x.pow(4) / 2880.0)


# Polynomials of the modified Bessel functions of orders 0 and 1: those in (x / 3.75)^2 up to 3.75, and beyond those in
# 3.75 / x for `sqrt(x) exp(-x) I(x)` (Abramowitz and Stegun 9.8.1 to 9.8.4).
_BESSEL_NEAR = (
    (1.0, 3.5156229, 3.0899424, 1.2067492, 0.2659732, 0.0360768, 0.0045813),
    (0.5, 0.87890594, 0.51498869, 0.15084934, 0.02658733, 0.00301532, 0.00032411),
)
_BESSEL_FAR = (
    (0.39894228, 0.01328592, 0.00225319, -0.00157565, 0.00916281, -0.02057706, 0.02635537, -0.01647633, 0.00392377),
    (0.39894228, -0.03988024, -0.00362018, 0.00163801, -0.01031555, 0.02282967, -0.02895312, 0.01787654, -0.00420059),
)


def _polynomial(x: Tensor, coefficients: tuple[float, ...]) -> Tensor:
    result: Any = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        result = c + x * result
    return result


def _log_modified_bessel_fn(x: Tensor, order: int = 0) -> Tensor:
    """Logarithm of I of order 0 or 1 of positive numbers."""
    near = _polynomial((x / 3.75).pow(2), _BESSEL_NEAR[order])
    near = x.abs().log() + near.log() if order == 1 else near.log()
    far = x - 0.5 * x.log() + _polynomial(3.75 / x, _BESSEL_FAR[order]).log()
    return words.where(x < 3.75, near, far)


class VonMises(Distribution):
    """The von Mises distribution of angles: density proportional to `exp(concentration cos(x - loc))`.

    Args:
        loc: the middle, in radians, `[*]`.
        concentration: > 0, `[*]`; for large ones the distribution is nearly normal with the variance 1 / concentration.
        validate_args: see `Distribution`.

    Samples lie in [-pi, pi); values of `log_prob` may be any angles.

    Example: `VonMises(rt.tensor([1.0]), rt.tensor([1.0])).sample()`.
    """

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    has_rsample = False

    def __init__(self, loc: Any, concentration: Any, validate_args: bool | None = None) -> None:
        self.loc, self.concentration = broadcast_all(loc, concentration)
        super().__init__(self.loc.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        try:
            return self._expanded(VonMises, batch_shape, _instance, loc=0, concentration=0)
        except NotImplementedError:
            args = (self.loc.expand(batch_shape), self.concentration.expand(batch_shape))
            return type(self)(*args, validate_args=self._validate_args)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        front = LOG_2 + LOG_PI + _log_modified_bessel_fn(self.concentration)
        return self.concentration * (value - self.loc).cos() - front

    @lazy_property
    def _proposal_r(self) -> Tensor:
        """The parameter of the wrapped Cauchy distribution that samples are proposed from, in float64."""
        k = self.concentration.detach().to(BY_NAME["float64"])
        tau = 1 + (1 + 4 * k.pow(2)).sqrt()
        rho = (tau - (2 * tau).sqrt()) / (2 * k)
        return words.where(k < 1e-5, 1 / k + k, (1 + rho.pow(2)) / (2 * rho))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Rejection from a wrapped Cauchy distribution (Best and Fisher 1979), in float64."""
        shape = self._extended_shape(sample_shape)
        with no_grad():
            double = BY_NAME["float64"]
            r, k, loc = self._proposal_r, self.concentration.to(double), self.loc.to(double)
            x = _ops.zeros(shape, dtype=double, device=loc.device)
            done = x != 0
            while not bool(done.all()):
                u1, u2, u3 = _ops.rand((3, *shape), dtype=double, device=loc.device).unbind()
                z = (math.pi * u1).cos()
                f = (1 + r * z) / (r + z)
                c = k * (r - f)
                accept = (c * (2 - c) - u2 > 0) | ((c / u2).log() + 1 - c >= 0)
                x = words.where(accept, (u3 - 0.5).sign() * f.acos(), x)
                done = done | accept
            return ((x + math.pi + loc) % (2 * math.pi) - math.pi).to(self.loc.dtype)

    @property
    def mean(self) -> Tensor:
        """The mean direction."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The middle."""
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:
        """The circular variance, 1 - I1(concentration) / I0(concentration)."""
        k = self.concentration
        return 1 - (_log_modified_bessel_fn(k, order=1) - _log_modified_bessel_fn(k)).exp()
