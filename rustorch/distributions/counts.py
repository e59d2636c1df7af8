"""Distributions of whole numbers: Bernoulli, binomial, geometric, negative binomial, Poisson."""

# An attribute that comes with its first use is Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
from typing import Any

from .. import _ops, words
from .._tensor import Size, Tensor
from ..autograd import no_grad
from ..dtypes import finfo
from ..errors import InvalidArgumentError, UnsupportedError
from . import constraints
from .distribution import Distribution, ExponentialFamily
from .gamma import Gamma
from .utils import _softplus, broadcast_all, lazy_property, logits_to_probs, probs_to_logits

__all__ = ["Bernoulli", "Binomial", "Geometric", "NegativeBinomial", "Poisson"]


def _one_of(probs: Any, logits: Any) -> str:
    """Which one was given."""
    if (probs is None) == (logits is None):
        raise InvalidArgumentError("Either `probs` or `logits` must be specified, but not both.")
    return "logits" if probs is None else "probs"


class _Odds(Distribution):
    """Base of those with a probability, given as it is or as the logarithm of its odds."""

    @lazy_property
    def logits(self) -> Tensor:
        """Logarithm of the odds, `log(probs / (1 - probs))`."""
        return probs_to_logits(self.probs, is_binary=True)

    @lazy_property
    def probs(self) -> Tensor:
        """Probability of a success."""
        return logits_to_probs(self.logits, is_binary=True)

    @property
    def _param(self) -> Tensor:
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.logits

    @property
    def param_shape(self) -> Size:
        """Shape of the parameter."""
        return self._param.shape

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._param.new(*args, **kwargs)


class Bernoulli(_Odds, ExponentialFamily):
    """1 with probability `probs`, else 0.

    Args:
        probs: probability of 1, `[*]`.
        logits: or the logarithm of its odds, `[*]`; one of both.
        validate_args: see `Distribution`.

    Example: `Bernoulli(rt.tensor([0.3])).sample()` is 1 with probability 0.3.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True
    _mean_carrier_measure = 0

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        name = _one_of(probs, logits)
        (self.__dict__[name],) = broadcast_all(logits if probs is None else probs)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(Bernoulli, batch_shape, _instance, probs=0, logits=0)

    @property
    def mean(self) -> Tensor:
        """The probability."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The likelier of 0 and 1; NaN if they are equally likely."""
        p = self.probs
        return (p >= 0.5).to(p.dtype).masked_fill(p == 0.5, math.nan)

    @property
    def variance(self) -> Tensor:
        """p (1 - p)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Zeros and ones, in the dtype of the parameter."""
        with no_grad():
            return _ops.bernoulli(self.probs.expand(self._extended_shape(sample_shape)).contiguous())

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        logits, value = broadcast_all(self.logits, value)
        return value * logits - _softplus(logits)

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        return _softplus(self.logits) - self.probs * self.logits

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 and 1."""
        return self._enumerated(words.arange(2, dtype=self._param.dtype, device=self._param.device), expand)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.logits,)

    def _log_normalizer(self, x: Any) -> Tensor:
        return _softplus(x)


class Binomial(_Odds):
    """The number of successes in `total_count` trials.

    Args:
        total_count: number of trials, `[*]`.
        probs: probability of a success, `[*]`.
        logits: or the logarithm of its odds, `[*]`; one of both.
        validate_args: see `Distribution`.

    Example: `Binomial(100, rt.tensor([0.0, 0.2, 0.8, 1.0])).sample()`.
    """

    arg_constraints = {
        "total_count": constraints.nonnegative_integer,
        "probs": constraints.unit_interval,
        "logits": constraints.real,
    }
    has_enumerate_support = True

    def __init__(
        self, total_count: Any = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name = _one_of(probs, logits)
        count, self.__dict__[name] = broadcast_all(total_count, logits if probs is None else probs)
        self.total_count = count.type_as(self._param)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(Binomial, batch_shape, _instance, total_count=0, probs=0, logits=0)

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """0 to the number of trials."""
        return constraints.integer_interval(0, self.total_count)

    @property
    def mean(self) -> Tensor:
        """n p."""
        return self.total_count * self.probs

    @property
    def mode(self) -> Tensor:
        """(n + 1) p rounded down, at most n."""
        return ((self.total_count + 1) * self.probs).floor().clamp(max=self.total_count)

    @property
    def variance(self) -> Tensor:
        """n p (1 - p)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Whole numbers in the dtype of the parameter."""
        shape = self._extended_shape(sample_shape)
        with no_grad():
            return _ops.binomial(self.total_count.expand(shape), self.probs.expand(shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        ways = _ops.lgamma(n + 1) - _ops.lgamma(value + 1) - _ops.lgamma(n - value + 1)
        return ways + value * self.logits - n * _softplus(self.logits)

    def _count(self, what: str) -> int:
        """The number of trials, if all are equal."""
        most = int(self.total_count.max().item())
        if self.total_count.min().item() != most:
            raise UnsupportedError(f"Inhomogeneous total count not supported by `{what}`.")
        return most

    def entropy(self) -> Tensor:
        """Entropy in nats; only for equal numbers of trials."""
        self._count("entropy")
        log_p = self.log_prob(self.enumerate_support(False))
        return -(log_p.exp() * log_p).sum(0)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 to the number of trials; only for equal ones."""
        n = self._count("enumerate_support")
        return self._enumerated(words.arange(1 + n, dtype=self._param.dtype, device=self._param.device), expand)


class Geometric(_Odds):
    """The number of failures before the first success.

    Args:
        probs: probability of a success, in (0, 1], `[*]`.
        logits: or the logarithm of its odds, `[*]`; one of both.
        validate_args: see `Distribution`.

    Example: `Geometric(rt.tensor([0.3])).sample()`; rustorch's `geometric_()` counts the trials, one more.
    """

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        name = _one_of(probs, logits)
        (self.__dict__[name],) = broadcast_all(logits if probs is None else probs)
        super().__init__(self._param.shape, validate_args=validate_args)
        if self._validate_args and probs is not None:
            value = self.probs
            if not bool((value > 0).all()):
                raise InvalidArgumentError(
                    f"Expected parameter probs ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to be positive but found invalid values:\n{value[value <= 0]}"
                )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(Geometric, batch_shape, _instance, probs=0, logits=0)

    @property
    def mean(self) -> Tensor:
        """1 / p - 1."""
        return 1.0 / self.probs - 1.0

    @property
    def mode(self) -> Tensor:
        """Zero."""
        return _ops.zeros_like(self.probs)

    @property
    def variance(self) -> Tensor:
        """(1 / p - 1) / p."""
        return (1.0 / self.probs - 1.0) / self.probs

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """log u / log(1 - p) rounded down, for a uniform u."""
        p, shape = self.probs, self._extended_shape(sample_shape)
        with no_grad():
            u = _ops.empty(shape, dtype=p.dtype, device=p.device).uniform_(finfo(p.dtype).tiny, 1)
            return (u.log() / (-p).log1p()).floor()

    def log_prob(self, value: Tensor) -> Tensor:
        """value log(1 - p) + log p."""
        if self._validate_args:
            self._validate_sample(value)
        value, p = broadcast_all(value, self.probs)
        certain = p.masked_fill((p == 1) & (value == 0), 0)  # 0 log 0 is 0
        return value * (-certain).log1p() + self.probs.log()

    def entropy(self) -> Tensor:
        """That of a trial times the mean number of trials."""
        return (_softplus(self.logits) - self.probs * self.logits) / self.probs


class NegativeBinomial(_Odds):
    """The number of successes before `total_count` failures.

    Args:
        total_count: number of failures at which the trials end, positive, need not be whole, `[*]`.
        probs: probability of a success, in [0, 1), `[*]`.
        logits: or the logarithm of its odds, `[*]`; one of both.
        validate_args: see `Distribution`.

    Example: `NegativeBinomial(5, rt.tensor([0.3])).sample()`.
    """

    arg_constraints = {
        "total_count": constraints.greater_than_eq(0),
        "probs": constraints.half_open_interval(0.0, 1.0),
        "logits": constraints.real,
    }
    support = constraints.nonnegative_integer

    def __init__(
        self, total_count: Any, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        name = _one_of(probs, logits)
        count, self.__dict__[name] = broadcast_all(total_count, logits if probs is None else probs)
        self.total_count = count.type_as(self._param)
        super().__init__(self._param.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(NegativeBinomial, batch_shape, _instance, total_count=0, probs=0, logits=0)

    @property
    def mean(self) -> Tensor:
        """n p / (1 - p)."""
        return self.total_count * self.logits.exp()

    @property
    def mode(self) -> Tensor:
        """(n - 1) p / (1 - p) rounded down, at least 0."""
        return ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0.0)

    @property
    def variance(self) -> Tensor:
        """n p / (1 - p)^2."""
        return self.mean / _ops.sigmoid(-self.logits)

    @lazy_property
    def _gamma(self) -> Gamma:
        return Gamma(self.total_count, (-self.logits).exp(), validate_args=False)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Poisson numbers with gamma rates."""
        with no_grad():
            return _ops.poisson(self._gamma.sample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        n = self.total_count
        tries = n * _ops.logsigmoid(-self.logits) + value * _ops.logsigmoid(self.logits)
        ways = _ops.lgamma(n + value) - _ops.lgamma(1.0 + value) - _ops.lgamma(n)
        return tries + ways.masked_fill(n + value == 0.0, 0.0)


class Poisson(ExponentialFamily):
    """The Poisson distribution: `rate^k exp(-rate) / k!`.

    Args:
        rate: the mean, not negative, `[*]`.
        validate_args: see `Distribution`.

    Example: `Poisson(rt.tensor([4.0])).sample()`.
    """

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = broadcast_all(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        return self._expanded(Poisson, batch_shape, _instance, rate=0)

    @property
    def mean(self) -> Tensor:
        """The rate."""
        return self.rate

    @property
    def mode(self) -> Tensor:
        """The rate rounded down."""
        return self.rate.floor()

    @property
    def variance(self) -> Tensor:
        """The rate."""
        return self.rate

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Whole numbers in the dtype of the rate."""
        with no_grad():
            return _ops.poisson(self.rate.expand(self._extended_shape(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """value log rate - rate - log value!."""
        if self._validate_args:
            self._validate_sample(value)
        rate, value = broadcast_all(self.rate, value)
        return _ops.xlogy(value, rate) - rate - _ops.lgamma(value + 1)

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return (self.rate.log(),)

    def _log_normalizer(self, x: Any) -> Tensor:
        return x.exp()
