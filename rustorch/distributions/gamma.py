"""The gamma distribution and what is made of gamma variables: chi-squared, F, Dirichlet, beta."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from typing import Any

from .. import _ops, words
from .._tensor import Size, Tensor
from ..dtypes import finfo
from ..errors import InvalidArgumentError
from . import constraints
from .distribution import Distribution, ExponentialFamily
from .utils import broadcast_all

__all__ = ["Beta", "Chi2", "Dirichlet", "FisherSnedecor", "Gamma"]


def _at_least_tiny(value: Tensor) -> Tensor:
    """Lifts zeros, outside of the graph."""
    value.detach().clamp_(min=finfo(value.dtype).tiny)
    return value


class Gamma(ExponentialFamily):
    """The gamma distribution: density `rate^a x^(a - 1) exp(-rate x) / gamma(a)` for x > 0.

    Args:
        concentration: the shape a > 0, `[*]`.
        rate: the inverse scale > 0, `[*]`.
        validate_args: see `Distribution`.

    Samples are drawn as Marsaglia and Tsang (2000) say, and their gradients are implicit (Figurnov et al. 2018).

    Example: `Gamma(rt.tensor([1.0]), rt.tensor([2.0])).sample()`.
    """

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(self, concentration: Any, rate: Any, validate_args: bool | None = None) -> None:
        self.concentration, self.rate = broadcast_all(concentration, rate)
        super().__init__(self.concentration.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(Gamma, batch_shape, _instance, concentration=0, rate=0)

    @property
    def mean(self) -> Tensor:
        """a / rate."""
        return self.concentration / self.rate

    @property
    def mode(self) -> Tensor:
        """(a - 1) / rate, at least 0."""
        return ((self.concentration - 1) / self.rate).clamp(min=0)

    @property
    def variance(self) -> Tensor:
        """a / rate^2."""
        return self.concentration / self.rate.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples with implicit gradients by the concentration."""
        shape = self._extended_shape(sample_shape)
        return _at_least_tiny(_ops._standard_gamma(self.concentration.expand(shape)) / self.rate.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        value = words.as_tensor(value, dtype=self.rate.dtype) if not isinstance(value, Tensor) else value
        if self._validate_args:
            self._validate_sample(value)
        a, rate = self.concentration, self.rate
        return _ops.xlogy(a, rate) + _ops.xlogy(a - 1, value) - rate * value - _ops.lgamma(a)

    def entropy(self) -> Tensor:
        """a - log rate + log gamma(a) + (1 - a) digamma(a)."""
        a = self.concentration
        return a - self.rate.log() + _ops.lgamma(a) + (1.0 - a) * _ops.digamma(a)

    def cdf(self, value: Tensor) -> Tensor:
        """The incomplete gamma function of a and `rate * value`."""
        if self._validate_args:
            self._validate_sample(value)
        return _ops.igamma(self.concentration, self.rate * value)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration - 1, -self.rate

    def _log_normalizer(self, x: Any, y: Any) -> Tensor:
        return _ops.lgamma(x + 1) + (x + 1) * (-y.reciprocal()).log()


class Chi2(Gamma):
    """The chi-squared distribution: that of the sum of `df` squares of standard normal variables.

    Args:
        df: degrees of freedom > 0, `[*]`.
        validate_args: see `Distribution`.

    Example: `Chi2(rt.tensor([1.0])).sample()`.
    """

    arg_constraints = {"df": constraints.positive}

    def __init__(self, df: Any, validate_args: bool | None = None) -> None:
        super().__init__(0.5 * df, 0.5, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return super().expand(batch_shape, self._get_checked_instance(Chi2, _instance))

    @property
    def df(self) -> Tensor:
        """Degrees of freedom."""
        return self.concentration * 2


class FisherSnedecor(Distribution):
    """The F distribution: that of the quotient of two chi-squared variables, each divided by its degrees of freedom.

    Args:
        df1: degrees of freedom > 0 of the numerator, `[*]`.
        df2: degrees of freedom > 0 of the denominator, `[*]`.
        validate_args: see `Distribution`.

    Example: `FisherSnedecor(rt.tensor([1.0]), rt.tensor([2.0])).sample()`.
    """

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def __init__(self, df1: Any, df2: Any, validate_args: bool | None = None) -> None:
        self.df1, self.df2 = broadcast_all(df1, df2)
        self._gamma1, self._gamma2 = Gamma(self.df1 * 0.5, self.df1), Gamma(self.df2 * 0.5, self.df2)
        super().__init__(self.df1.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._expanded(FisherSnedecor, batch_shape, _instance, df1=0, df2=0)
        new._gamma1, new._gamma2 = self._gamma1.expand(batch_shape), self._gamma2.expand(batch_shape)
        return new

    @property
    def mean(self) -> Tensor:
        """df2 / (df2 - 2) for df2 > 2, else NaN."""
        heavy = self.df2 <= 2
        df2 = self.df2.masked_fill(heavy, 3)
        return (df2 / (df2 - 2)).masked_fill(heavy, math.nan)

    @property
    def mode(self) -> Tensor:
        """(df1 - 2) / df1 * df2 / (df2 + 2) for df1 > 2, else NaN."""
        return ((self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)).masked_fill(self.df1 <= 2, math.nan)

    @property
    def variance(self) -> Tensor:
        """2 df2^2 (df1 + df2 - 2) / (df1 (df2 - 2)^2 (df2 - 4)) for df2 > 4, else NaN."""
        heavy = self.df2 <= 4
        df1, df2 = self.df1, self.df2.masked_fill(heavy, 5)
        found = 2 * df2.pow(2) * (df1 + df2 - 2) / (df1 * (df2 - 2).pow(2) * (df2 - 4))
        return found.masked_fill(heavy, math.nan)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The quotient of two gamma variables."""
        shape = self._extended_shape(sample_shape)
        above = self._gamma1.rsample(sample_shape).view(shape)
        below = _at_least_tiny(self._gamma2.rsample(sample_shape).view(shape))
        return _at_least_tiny(above / below)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        a, b = self.df1 * 0.5, self.df2 * 0.5
        ratio = self.df1 / self.df2
        front = _ops.lgamma(a + b) - _ops.lgamma(a) - _ops.lgamma(b)
        return front + a * ratio.log() + (a - 1) * value.log() - (a + b) * (ratio * value).log1p()


class Dirichlet(ExponentialFamily):
    """The Dirichlet distribution on vectors of k positive numbers of sum 1: density proportional to the product of
    `x_i^(concentration_i - 1)`.

    Args:
        concentration: positive, `[*, k]`.
        validate_args: see `Distribution`.

    Samples have implicit gradients (Jankowiak and Obermeyer 2018).

    Example: `Dirichlet(rt.tensor([0.5, 0.5])).sample()`.
    """

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration: Tensor, validate_args: bool | None = None) -> None:
        if concentration.ndim < 1:
            raise InvalidArgumentError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(Dirichlet, batch_shape, _instance, concentration=1)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Gamma variables divided by their sum."""
        return _ops._sample_dirichlet(self.concentration.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        a = self.concentration
        return _ops.xlogy(a - 1.0, value).sum(-1) + _ops.lgamma(a.sum(-1)) - _ops.lgamma(a).sum(-1)

    @property
    def mean(self) -> Tensor:
        """The concentration, scaled to sum 1."""
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self) -> Tensor:
        """The concentration less 1, scaled to sum 1; a corner if all are below 1."""
        above = (self.concentration - 1).clamp(min=0.0)
        mode = above / above.sum(-1, True)
        corner = _ops.one_hot(mode.argmax(-1), mode.shape[-1]).to(mode.dtype)
        return words.where((self.concentration < 1).all(-1).unsqueeze(-1), corner, mode)

    @property
    def variance(self) -> Tensor:
        """m (1 - m) / (sum + 1) for the mean m."""
        total, mean = self.concentration.sum(-1, True), self.mean
        return mean * (1 - mean) / (total + 1)

    def entropy(self) -> Tensor:
        """log B(a) + (sum - k) digamma(sum) - sum of (a - 1) digamma(a)."""
        a, k = self.concentration, self.concentration.shape[-1]
        total = a.sum(-1)
        normalizer = _ops.lgamma(a).sum(-1) - _ops.lgamma(total)
        return normalizer - (k - total) * _ops.digamma(total) - ((a - 1.0) * _ops.digamma(a)).sum(-1)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.concentration,)

    def _log_normalizer(self, x: Any) -> Tensor:
        return _ops.lgamma(x).sum(-1) - _ops.lgamma(x.sum(-1))


class Beta(ExponentialFamily):
    """The beta distribution on [0, 1]: density proportional to `x^(concentration1 - 1) (1 - x)^(concentration0 - 1)`.

    Args:
        concentration1: positive, `[*]`; often called alpha.
        concentration0: positive, `[*]`; often called beta.
        validate_args: see `Distribution`.

    Example: `Beta(rt.tensor([0.5]), rt.tensor([0.5])).sample()`.
    """

    arg_constraints = {
        "concentration1": constraints.positive,
        "concentration0": constraints.positive,
    }
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, concentration1: Any, concentration0: Any, validate_args: bool | None = None) -> None:
        both = broadcast_all(concentration1, concentration0)
        self._dirichlet = Dirichlet(_ops.stack(list(both), -1), validate_args=validate_args)
        super().__init__(self._dirichlet.batch_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._expanded(Beta, batch_shape, _instance)
        new._dirichlet = self._dirichlet.expand(Size(batch_shape))
        return new

    @property
    def concentration1(self) -> Tensor:
        """Of x."""
        return self._dirichlet.concentration[..., 0]

    @property
    def concentration0(self) -> Tensor:
        """Of 1 - x."""
        return self._dirichlet.concentration[..., 1]

    @property
    def mean(self) -> Tensor:
        """a / (a + b)."""
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self) -> Tensor:
        """(a - 1) / (a + b - 2), between 0 and 1."""
        return self._dirichlet.mode[..., 0]

    @property
    def variance(self) -> Tensor:
        """a b / ((a + b)^2 (a + b + 1))."""
        a, b = self.concentration1, self.concentration0
        total = a + b
        return a * b / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """The first of two numbers of a Dirichlet sample."""
        return self._dirichlet.rsample(sample_shape).select(-1, 0)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        return self._dirichlet.log_prob(_ops.stack([value, 1.0 - value], -1))

    def entropy(self) -> Tensor:
        """That of the Dirichlet distribution of both numbers."""
        return self._dirichlet.entropy()

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return self.concentration1, self.concentration0

    def _log_normalizer(self, x: Any, y: Any) -> Tensor:
        return _ops.lgamma(x) + _ops.lgamma(y) - _ops.lgamma(x + y)
