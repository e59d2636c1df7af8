"""Probability distributions with sampling, log-probabilities and gradients through samples.

Parameters broadcast to the batch shape. `sample(shape)` and `rsample(shape)` give `shape + batch_shape + event_shape`;
`rsample` is differentiable. The random streams are PyTorch's.
"""

# A softmax, or an attribute that comes with its first use, is Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
import sys
from typing import Any

from . import _constraints as constraints
from . import _ops, words
from ._tensor import Size, Tensor
from .autograd import enable_grad, no_grad
from .dtypes import finfo, get_default_dtype
from .errors import InvalidArgumentError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "Bernoulli",
    "Categorical",
    "Distribution",
    "Exponential",
    "Independent",
    "Laplace",
    "LogNormal",
    "Normal",
    "OneHotCategorical",
    "Uniform",
    "constraints",
    "kl_divergence",
    "register_kl",
]


def _broadcast(*values: Any) -> list[Tensor]:
    """Numbers and tensors as tensors of one shape."""
    like = next((v for v in values if isinstance(v, Tensor)), None)
    d = get_default_dtype() if like is None else like.dtype
    return list(words.broadcast_tensors(*(v if isinstance(v, Tensor) else words.tensor(v, dtype=d) for v in values)))


class Distribution:
    """Base of the distributions.

    Args:
        batch_shape: shape of the parameters; one distribution each.
        event_shape: shape of one sample.
        validate_args: False leaves out the checks of parameters and values.
    """

    has_rsample = False
    # Parameter -> whether it must be positive (True), a probability ("p"), or anything (False).
    _parameters: dict[str, Any] = {}

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None) -> None:
        self.batch_shape, self.event_shape = Size(batch_shape), Size(event_shape)
        self._validates = validate_args is not False
        if self._validates:
            for name, kind in self._parameters.items():
                value = self.__dict__.get(name)
                if value is None:
                    continue
                good = value > 0 if kind is True else (value >= 0) & (value <= 1) if kind == "p" else value == value
                if not bool(good.all()):
                    wanted = {True: "greater than 0", "p": "between 0 and 1"}.get(kind, "real numbers")
                    raise InvalidArgumentError(
                        f"{type(self).__name__}: parameter {name} must be {wanted}, but it is {value}"
                    )

    def _shape(self, sample_shape: Any) -> Size:
        return Size((*sample_shape, *self.batch_shape, *self.event_shape))

    def _inside(self, value: Tensor) -> Tensor:
        """True where a value is in the support: for the base, any real number, which NaN is not."""
        return value == value

    def _check(self, value: Any) -> None:
        """Refuses what is no sample of this distribution, or cannot be broadcast with its batch."""
        if not self._validates:
            return
        name = type(self).__name__
        if not isinstance(value, Tensor):
            raise InvalidArgumentError(f"{name}: the value must be a Tensor, not {type(value).__name__}")
        shape, wanted = value.shape, (*self.batch_shape, *self.event_shape)
        n = len(self.event_shape)
        fits = all(1 in (a, b) or a == b for a, b in zip(reversed(shape), reversed(wanted)))
        if not fits or (n and shape[-n:] != self.event_shape):
            raise InvalidArgumentError(
                f"{name}: a value of shape {list(shape)} does not fit batch and event shape {list(wanted)}"
            )
        if not bool(self._inside(value).all()):
            raise InvalidArgumentError(f"{name}: the value {value} is outside of the support")

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples through which gradients flow to the parameters."""
        raise UnsupportedError(f"{type(self).__name__} has no rsample: its samples are not differentiable")

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability (density) of `value`."""
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """Mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The likeliest value."""
        raise NotImplementedError

    @property
    def variance(self) -> Tensor:
        """Variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """Standard deviation."""
        return self.variance.sqrt()

    def perplexity(self) -> Tensor:
        """Exponential of the entropy."""
        return self.entropy().exp()

    def __repr__(self) -> str:
        shown = [(k, self.__dict__[k]) for k in self._parameters if k in self.__dict__]
        inside = ", ".join(f"{k}: {v if v.numel() == 1 else v.size()}" for k, v in shown)
        return f"{type(self).__name__}({inside})"


class _LocationScale(Distribution):
    """Base of those with a location and a scale."""

    has_rsample = True
    _parameters = {"loc": False, "scale": True}

    def __init__(self, loc: Any, scale: Any, validate_args: bool | None = None) -> None:
        self.loc, self.scale = _broadcast(loc, scale)
        super().__init__(self.loc.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """The location."""
        return self.loc


class Normal(_LocationScale):
    """The normal distribution with mean `loc` and standard deviation `scale`."""

    @property
    def mode(self) -> Tensor:
        """The location."""
        return self.loc

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
        shape = self._shape(sample_shape)
        with no_grad():
            return words.normal(self.loc.expand(shape), self.scale.expand(shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """`loc + scale * e` with standard normal e."""
        shape = self._shape(sample_shape)
        e = words.normal(_ops.zeros(shape, dtype=self.loc.dtype), _ops.ones(shape, dtype=self.loc.dtype))
        return self.loc + e * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        self._check(value)
        z = (value - self.loc) / self.scale
        return -(z * z) / 2 - self.scale.log() - math.log(math.sqrt(2 * math.pi))

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of less than `value`."""
        self._check(value)
        return 0.5 * (1 + _ops.erf((value - self.loc) / (self.scale * math.sqrt(2))))

    def icdf(self, value: Tensor) -> Tensor:
        """Inverse of `cdf`."""
        return self.loc + self.scale * _ops.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        """(1 + log 2 pi) / 2 + log scale."""
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()


class LogNormal(_LocationScale):
    """The distribution of the exponential of a normal variable with mean `loc` and standard deviation `scale`."""

    @property
    def mode(self) -> Tensor:
        """exp(loc - scale^2)."""
        return (self.loc - self.scale.pow(2)).exp()

    @property
    def _base(self) -> Normal:
        return Normal(self.loc, self.scale, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """exp(loc + scale^2 / 2)."""
        return (self.loc + self.scale.pow(2) / 2).exp()

    @property
    def variance(self) -> Tensor:
        """(exp(scale^2) - 1) exp(2 loc + scale^2)."""
        square = self.scale.pow(2)
        return square.expm1() * (2 * self.loc + square).exp()

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Exponential of a normal sample."""
        return self._base.rsample(sample_shape).exp()

    def _inside(self, value: Tensor) -> Tensor:
        return value > 0

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        self._check(value)
        return self._base.log_prob(value.log()) - value.log()

    def entropy(self) -> Tensor:
        """Entropy of the normal variable, plus its mean."""
        return self._base.entropy() + self.loc

    def __repr__(self) -> str:
        return "LogNormal()"


class Laplace(_LocationScale):
    """The two-sided exponential distribution around `loc`, falling by e within `scale`."""

    @property
    def mode(self) -> Tensor:
        """The location."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """2 scale^2."""
        return 2 * self.scale.pow(2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """From a uniform sample in (-1, 1)."""
        u = _ops.empty(self._shape(sample_shape), dtype=self.loc.dtype).uniform_(finfo(self.loc.dtype).eps - 1, 1)
        return self.loc - self.scale * u.sign() * (-u.abs()).log1p()

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        self._check(value)
        return -(2 * self.scale).log() - (value - self.loc).abs() / self.scale

    def entropy(self) -> Tensor:
        """1 + log 2 scale."""
        return 1 + (2 * self.scale).log()


class Uniform(Distribution):
    """The uniform distribution on [low, high)."""

    has_rsample = True
    _parameters = {"low": False, "high": False}

    def __init__(self, low: Any, high: Any, validate_args: bool | None = None) -> None:
        self.low, self.high = _broadcast(low, high)
        super().__init__(self.low.shape, validate_args=validate_args)
        if self._validates and not bool((self.low < self.high).all()):
            raise InvalidArgumentError("Uniform is not defined when low>= high")

    @property
    def mean(self) -> Tensor:
        """The middle."""
        return (self.high + self.low) / 2

    @property
    def mode(self) -> Tensor:
        """Undefined: NaN."""
        return self.high * math.nan

    @property
    def variance(self) -> Tensor:
        """(high - low)^2 / 12."""
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """low + u (high - low)."""
        return self.low + _ops.rand(self._shape(sample_shape), dtype=self.low.dtype) * (self.high - self.low)

    def _inside(self, value: Tensor) -> Tensor:
        return (value >= self.low) & (value <= self.high)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density; minus infinity outside."""
        self._check(value)
        inside = (self.low <= value) & (self.high > value)
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def entropy(self) -> Tensor:
        """log(high - low)."""
        return (self.high - self.low).log()


class Exponential(Distribution):
    """The exponential distribution with mean 1 / rate."""

    has_rsample = True
    _parameters = {"rate": True}

    def __init__(self, rate: Any, validate_args: bool | None = None) -> None:
        (self.rate,) = _broadcast(rate)
        super().__init__(self.rate.shape, validate_args=validate_args)

    @property
    def mean(self) -> Tensor:
        """1 / rate."""
        return self.rate.reciprocal()

    @property
    def mode(self) -> Tensor:
        """Zero."""
        return _ops.zeros_like(self.rate)

    @property
    def variance(self) -> Tensor:
        """1 / rate^2."""
        return self.rate.pow(-2)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """A sample of rate 1, divided by the rate."""
        return _ops.empty(self._shape(sample_shape), dtype=self.rate.dtype).exponential_() / self.rate

    def _inside(self, value: Tensor) -> Tensor:
        return value >= 0

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        self._check(value)
        return self.rate.log() - self.rate * value

    def entropy(self) -> Tensor:
        """1 - log rate."""
        return 1 - self.rate.log()


def _one_of(cls: str, probs: Any, logits: Any) -> None:
    if (probs is None) == (logits is None):
        raise InvalidArgumentError(f"{cls}: either `probs` or `logits` must be specified, but not both")


class Bernoulli(Distribution):
    """1 with probability `probs` (or sigmoid of `logits`), else 0."""

    probs: Any
    logits: Any
    _parameters = {"probs": "p", "logits": False}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        _one_of("Bernoulli", probs, logits)
        (value,) = _broadcast(logits if probs is None else probs)
        self.__dict__["logits" if probs is None else "probs"] = value
        super().__init__(value.shape, validate_args=validate_args)

    def __getattr__(self, name: str) -> Any:
        with enable_grad():  # whoever asks first
            if name == "probs":
                self.probs = _ops.sigmoid(self.logits)
            elif name == "logits":
                p = _clamped(self.probs)
                self.logits = p.log() - (-p).log1p()
            else:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.__dict__[name]

    @property
    def mean(self) -> Tensor:
        """The probability."""
        p: Tensor = self.probs
        return p

    @property
    def mode(self) -> Tensor:
        """The likelier of 0 and 1; NaN if they are equally likely."""
        p: Tensor = self.probs
        return (p >= 0.5).to(p.dtype).masked_fill(p == 0.5, math.nan)

    @property
    def variance(self) -> Tensor:
        """p (1 - p)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Zeros and ones, in the dtype of the parameter."""
        with no_grad():
            return _ops.bernoulli(self.probs.expand(self._shape(sample_shape)).contiguous())

    def _inside(self, value: Tensor) -> Tensor:
        return (value == 0) | (value == 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability."""
        self._check(value)
        logits, value = words.broadcast_tensors(self.logits, value)
        return value * logits - _softplus(logits)

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        return _softplus(self.logits) - self.probs * self.logits


def _softplus(x: Tensor) -> Tensor:
    """log(1 + exp x), without overflow."""
    return x.clamp(min=0) + (-x.abs()).exp().log1p()


def _clamped(p: Tensor) -> Tensor:
    """Probabilities that have a finite logarithm."""
    eps = finfo(p.dtype).eps
    return p.clamp(eps, 1 - eps)


class Categorical(Distribution):
    """Whole numbers below K, with probabilities in the last dimension: `probs` (scaled to sum 1) or `logits`."""

    probs: Any
    logits: Any
    _parameters = {"probs": "p", "logits": False}

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        _one_of(type(self).__name__, probs, logits)
        value = logits if probs is None else probs
        if value.ndim < 1:
            raise InvalidArgumentError(f"{type(self).__name__}: the parameter must be at least one-dimensional.")
        if probs is None:
            self.logits = logits - logits.logsumexp(-1, keepdim=True)
        else:
            if validate_args is not False and not bool((probs >= 0).all()):
                raise InvalidArgumentError(f"{type(self).__name__}: probs must not be negative, but they are {probs}")
            self.probs = probs / probs.sum(-1, keepdim=True)
        super().__init__(value.shape[:-1], self._event(value.shape[-1]), validate_args)
        self._num_events = value.shape[-1]

    @staticmethod
    def _event(k: int) -> tuple[int, ...]:
        return ()

    def __getattr__(self, name: str) -> Any:
        with enable_grad():  # whoever asks first
            if name == "probs":
                self.probs = self.logits.softmax(-1)
            elif name == "logits":
                self.logits = _clamped(self.probs).log()
            else:
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return self.__dict__[name]

    @property
    def mean(self) -> Tensor:
        """Undefined: NaN."""
        return _ops.full(self.batch_shape, math.nan, dtype=self.probs.dtype)

    @property
    def variance(self) -> Tensor:
        """Undefined: NaN."""
        return self.mean

    @property
    def mode(self) -> Tensor:
        """The most likely number."""
        return self.probs.argmax(-1)

    def _indices(self, sample_shape: Any) -> Tensor:
        shape = Size((*sample_shape, *self.batch_shape))
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            return _ops.multinomial(rows, Size(sample_shape).numel(), True).t().reshape(shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """int64 numbers."""
        return self._indices(sample_shape)

    def _inside(self, value: Tensor) -> Tensor:
        return (value >= 0) & (value < self._num_events) & (value == value.floor())

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability; `value` holds whole numbers."""
        self._check(value)
        return self._log_prob_of(value)

    def _log_prob_of(self, value: Tensor) -> Tensor:
        index, logits = words.broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logits.gather(-1, index[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        logits = self.logits.clamp(min=-3.4028234663852886e38)  # 0 log 0 is 0
        return -(logits * self.probs).sum(-1)


class OneHotCategorical(Categorical):
    """Like `Categorical`, with samples as rows that hold a single 1."""

    @staticmethod
    def _event(k: int) -> tuple[int, ...]:
        return (k,)

    @property
    def mean(self) -> Tensor:
        """The probabilities."""
        p: Tensor = self.probs
        return p

    @property
    def variance(self) -> Tensor:
        """p (1 - p)."""
        return self.probs * (1 - self.probs)

    @property
    def mode(self) -> Tensor:
        """The row of the most likely category."""
        p: Tensor = self.probs
        return _ops.one_hot(p.argmax(-1), self._num_events).to(p.dtype)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Rows in the dtype of the parameter."""
        return _ops.one_hot(self._indices(sample_shape), self._num_events).to(self.probs.dtype)

    def _inside(self, value: Tensor) -> Tensor:
        return ((value == 0) | (value == 1)) & (value.sum(-1, keepdim=True) == 1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability."""
        self._check(value)
        return self._log_prob_of(value.argmax(-1))

    def __repr__(self) -> str:
        return "OneHotCategorical()"


class Independent(Distribution):
    """`base` with its last `reinterpreted_batch_ndims` batch dimensions as dimensions of one event."""

    def __init__(self, base: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None) -> None:
        n = reinterpreted_batch_ndims
        if not 0 <= n <= len(base.batch_shape):
            raise InvalidArgumentError(
                f"Independent: expected 0 <= reinterpreted_batch_ndims <= {len(base.batch_shape)}, got {n}"
            )
        self.base_dist, self.reinterpreted_batch_ndims = base, n
        self.has_rsample = base.has_rsample
        cut = len(base.batch_shape) - n
        super().__init__(base.batch_shape[:cut], (*base.batch_shape[cut:], *base.event_shape), validate_args)

    def _sum(self, t: Tensor) -> Tensor:
        return t.sum(tuple(range(-self.reinterpreted_batch_ndims, 0))) if self.reinterpreted_batch_ndims else t

    @property
    def mean(self) -> Tensor:
        """Mean of the base."""
        return self.base_dist.mean

    @property
    def mode(self) -> Tensor:
        """Mode of the base."""
        return self.base_dist.mode

    @property
    def variance(self) -> Tensor:
        """Variance of the base."""
        return self.base_dist.variance

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples of the base."""
        return self.base_dist.rsample(sample_shape)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples of the base."""
        return self.base_dist.sample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Sum over the event."""
        return self._sum(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        """Sum over the event."""
        return self._sum(self.base_dist.entropy())

    def __repr__(self) -> str:
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


# ---- Kullback-Leibler divergence ----

_KL: dict[tuple[type, type], Callable[[Any, Any], Tensor]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """Decorates a function f(p, q) that gives the divergence of two kinds of distributions."""

    def register(f: Any) -> Any:
        _KL[type_p, type_q] = f
        return f

    return register


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The Kullback-Leibler divergence of q from p: the mean over p of log p - log q."""
    mixed = isinstance(p, OneHotCategorical) != isinstance(q, OneHotCategorical)
    for a in type(p).__mro__:
        for b in type(q).__mro__:
            if (a, b) in _KL and not (mixed and _KL[a, b] is _kl_categorical):  # whose values are not of one kind
                return _KL[a, b](p, q)
    raise UnsupportedError(f"kl_divergence: no formula for {type(p).__name__} and {type(q).__name__}; see register_kl")


@register_kl(Normal, Normal)
def _kl_normal(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(LogNormal, LogNormal)
def _kl_log_normal(p: LogNormal, q: LogNormal) -> Tensor:
    return _kl_normal(p._base, q._base)


@register_kl(Uniform, Uniform)
def _kl_uniform(p: Uniform, q: Uniform) -> Tensor:
    t = ((q.high - q.low) / (p.high - p.low)).log()
    return t.masked_fill((q.low > p.low) | (q.high < p.high), math.inf)


@register_kl(Categorical, Categorical)
def _kl_categorical(p: Categorical, q: Categorical) -> Tensor:
    t = p.probs * (p.logits - q.logits)
    t = t.masked_fill((q.probs == 0).expand_as(t), math.inf)
    return t.masked_fill((p.probs == 0).expand_as(t), 0).sum(-1)


@register_kl(Bernoulli, Bernoulli)
def _kl_bernoulli(p: Bernoulli, q: Bernoulli) -> Tensor:
    return p.probs * (p.logits - q.logits) + _softplus(q.logits) - _softplus(p.logits)


@register_kl(Exponential, Exponential)
def _kl_exponential(p: Exponential, q: Exponential) -> Tensor:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(Laplace, Laplace)
def _kl_laplace(p: Laplace, q: Laplace) -> Tensor:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * (-distance / p.scale).exp() - 1


@register_kl(Independent, Independent)
def _kl_independent(p: Independent, q: Independent) -> Tensor:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise UnsupportedError("kl_divergence: the two Independents have different numbers of event dimensions")
    return p._sum(kl_divergence(p.base_dist, q.base_dist))


sys.modules[f"{__name__}.constraints"] = constraints
# PyTorch has a module for each: `from rustorch.distributions.normal import Normal`.
for _name in (
    "bernoulli", "categorical", "distribution", "exponential", "independent", "kl", "laplace", "log_normal", "normal",
    "one_hot_categorical", "uniform",
):  # fmt: skip
    sys.modules[f"{__name__}.{_name}"] = globals()[_name] = sys.modules[__name__]
