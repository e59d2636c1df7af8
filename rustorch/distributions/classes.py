"""Distributions over k classes: one of them as a number or as a row with a single 1, and counts of several."""

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
from .counts import Binomial, _one_of
from .distribution import Distribution
from .utils import lazy_property, logits_to_probs, probs_to_logits

__all__ = ["Categorical", "Multinomial", "OneHotCategorical", "OneHotCategoricalStraightThrough"]


class Categorical(Distribution):
    """Whole numbers below k.

    Args:
        probs: weights of the numbers, not negative, `[*, k]`; scaled to sum 1.
        logits: or the logarithms of such weights, `[*, k]`; one of both.
        validate_args: see `Distribution`.

    Example: `Categorical(rt.tensor([0.25, 0.25, 0.25, 0.25])).sample()` is 0, 1, 2 or 3.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        name = _one_of(probs, logits)
        value = logits if probs is None else probs
        if value.ndim < 1:
            raise InvalidArgumentError(f"`{name}` parameter must be at least one-dimensional.")
        scaled = value - value.logsumexp(-1, keepdim=True) if probs is None else value / value.sum(-1, keepdim=True)
        self.__dict__[name] = scaled
        self._num_events = value.shape[-1]
        super().__init__(value.shape[:-1], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._expanded(Categorical, batch_shape, _instance, probs=1, logits=1)
        new._num_events = self._num_events
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=0)
    def support(self) -> Any:
        """0 to k - 1."""
        return constraints.integer_interval(0, self._num_events - 1)

    @lazy_property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return probs_to_logits(self.probs)

    @lazy_property
    def probs(self) -> Tensor:
        """Probabilities of the numbers."""
        return logits_to_probs(self.logits)

    @property
    def _param(self) -> Tensor:
        return self.__dict__["probs"] if "probs" in self.__dict__ else self.logits

    @property
    def param_shape(self) -> Size:
        """Shape of the parameter."""
        return self._param.shape

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._param.new(*args, **kwargs)

    @property
    def mean(self) -> Tensor:
        """Undefined: NaN."""
        return _ops.full(self._extended_shape(), math.nan, dtype=self.probs.dtype, device=self.probs.device)

    @property
    def mode(self) -> Tensor:
        """The most likely number."""
        return self.probs.argmax(-1)

    @property
    def variance(self) -> Tensor:
        """Undefined: NaN."""
        return self.mean

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """int64 numbers."""
        with no_grad():
            rows = self.probs.reshape(-1, self._num_events)
            drawn = _ops.multinomial(rows, Size(sample_shape).numel(), True)
            return drawn.t().reshape((*sample_shape, *self._batch_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability; `value` holds whole numbers."""
        if self._validate_args:
            self._validate_sample(value)
        index, logits = words.broadcast_tensors(value.long().unsqueeze(-1), self.logits)
        return logits.gather(-1, index[..., :1]).squeeze(-1)

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        logits = self.logits.clamp(min=finfo(self.logits.dtype).min)  # 0 log 0 is 0
        return -(logits * self.probs).sum(-1)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """0 to k - 1."""
        return self._enumerated(words.arange(self._num_events, device=self._param.device), expand)


class _OverClasses(Distribution):
    """Base of those that hold a categorical distribution."""

    _categorical: Categorical

    @property
    def logits(self) -> Tensor:
        """Logarithms of the probabilities."""
        return self._categorical.logits

    @property
    def probs(self) -> Tensor:
        """Probabilities of the classes."""
        return self._categorical.probs

    @property
    def _param(self) -> Tensor:
        return self._categorical._param

    @property
    def param_shape(self) -> Size:
        """Shape of the parameter."""
        return self._categorical.param_shape

    def _new(self, *args: Any, **kwargs: Any) -> Tensor:
        return self._categorical._new(*args, **kwargs)


class OneHotCategorical(_OverClasses):
    """Rows of k numbers of which one is 1 and the others 0.

    Args:
        probs: weights of the classes, not negative, `[*, k]`; scaled to sum 1.
        logits: or the logarithms of such weights, `[*, k]`; one of both.
        validate_args: see `Distribution`.

    Example: `OneHotCategorical(rt.ones(4)).sample()`.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True

    def __init__(self, probs: Any = None, logits: Any = None, validate_args: bool | None = None) -> None:
        self._categorical = Categorical(probs, logits, validate_args=validate_args)
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._expanded(OneHotCategorical, batch_shape, _instance)
        new._categorical = self._categorical.expand(batch_shape)
        return new

    @property
    def mean(self) -> Tensor:
        """The probabilities."""
        return self.probs

    @property
    def mode(self) -> Tensor:
        """The row of the most likely class."""
        p = self.probs
        return _ops.one_hot(p.argmax(-1), p.shape[-1]).to(p.dtype)

    @property
    def variance(self) -> Tensor:
        """p (1 - p)."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Rows in the dtype of the parameter."""
        p = self.probs
        return _ops.one_hot(self._categorical.sample(sample_shape), p.shape[-1]).to(p.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability."""
        if self._validate_args:
            self._validate_sample(value)
        return self._categorical.log_prob(value.argmax(-1))

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        return self._categorical.entropy()

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All k rows."""
        k = self.event_shape[0]
        values = _ops.eye(k, dtype=self._param.dtype, device=self._param.device)
        values = values.view((k, *[1] * len(self.batch_shape), k))
        return values.expand((k, *self.batch_shape, k)) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """`OneHotCategorical` whose samples have the gradient of the probabilities (Bengio, Léonard and Courville 2013)."""

    has_rsample = True

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Rows with a single 1, with the gradient of the probabilities."""
        p = self._categorical.probs
        return self.sample(sample_shape) + (p - p.detach())


class Multinomial(_OverClasses):
    """How often each of k classes comes in `total_count` draws.

    Args:
        total_count: number of draws.
        probs: weights of the classes, not negative, `[*, k]`; scaled to sum 1.
        logits: or the logarithms of such weights, `[*, k]`; one of both.
        validate_args: see `Distribution`.

    `log_prob` takes counts of any sum.

    Example: `Multinomial(100, rt.tensor([1.0, 1.0, 1.0, 1.0])).sample()`.
    """

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}

    def __init__(
        self, total_count: int = 1, probs: Any = None, logits: Any = None, validate_args: bool | None = None
    ) -> None:
        if not isinstance(total_count, int):
            raise UnsupportedError("inhomogeneous total_count is not supported")
        self.total_count = total_count
        self._categorical = Categorical(probs, logits, validate_args=validate_args)
        self._binomial = Binomial(total_count, probs=self.probs, validate_args=validate_args)
        shape = self._categorical.param_shape
        super().__init__(self._categorical.batch_shape, shape[-1:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._expanded(Multinomial, batch_shape, _instance)
        new.total_count = self.total_count
        new._categorical = self._categorical.expand(batch_shape)
        new._binomial = self._binomial.expand((*batch_shape, *self.event_shape))
        return new

    @constraints.dependent_property(is_discrete=True, event_dim=1)
    def support(self) -> Any:
        """Counts with at most the sum of all draws."""
        return constraints.multinomial(self.total_count)

    @property
    def mean(self) -> Tensor:
        """n p."""
        return self.probs * self.total_count

    @property
    def variance(self) -> Tensor:
        """n p (1 - p)."""
        return self.total_count * self.probs * (1 - self.probs)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Counts in the dtype of the parameter."""
        drawn = self._categorical.sample((self.total_count, *sample_shape)).movedim(0, -1)
        counts = _ops.zeros(self._extended_shape(sample_shape), dtype=drawn.dtype, device=drawn.device)
        return counts.scatter_add(-1, drawn, _ops.ones_like(drawn)).to(self.probs.dtype)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability among counts of the same sum."""
        if self._validate_args:
            self._validate_sample(value)
        logits, value = words.broadcast_tensors(self.logits, value)
        logits = logits.masked_fill((value == 0) & (logits == -math.inf), 0)
        ways = _ops.lgamma(value.sum(-1) + 1) - _ops.lgamma(value + 1).sum(-1)
        return ways + (logits * value).sum(-1)

    def entropy(self) -> Tensor:
        """n times that of a draw, less the mean logarithm of the number of orders of the draws."""
        n = self.total_count
        counts = self._binomial.enumerate_support(False)[1:]
        orders = (self._binomial.log_prob(counts).exp() * _ops.lgamma(counts + 1)).sum(0).sum(-1)
        return n * self._categorical.entropy() - math.lgamma(n + 1) + orders
