"""The base of all distributions, and that of exponential families."""

# What a subclass computes is Any here.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import warnings
from typing import Any

from .. import autograd
from .._tensor import Size, Tensor
from ..autograd import no_grad
from ..errors import InvalidArgumentError, UnsupportedError
from . import constraints
from .utils import lazy_property

__all__ = ["Distribution", "ExponentialFamily"]


class Distribution:
    """Base of the distributions.

    Args:
        batch_shape: shape of the parameters: that many independent distributions, which need not be equal.
        event_shape: shape of one sample of one of them.
        validate_args: whether parameters and values are checked; None takes the default, which is to check unless
            Python runs with ``-O``.

    `sample(shape)` has the shape `shape + batch_shape + event_shape`, and `log_prob` of it `shape + batch_shape`.
    """

    has_rsample = False
    has_enumerate_support = False
    _validate_args = __debug__

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Says whether distributions made from now on check their arguments if they are not told."""
        if value not in (True, False):
            raise InvalidArgumentError(f"set_default_validate_args: wanted True or False, got {value!r}")
        Distribution._validate_args = value

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: bool | None = None) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            self._check_parameters()
        super().__init__()

    def _check_parameters(self) -> None:
        try:
            wanted = self.arg_constraints
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `arg_constraints`. Please set `arg_constraints = {{}}` or initialize "
                "the distribution with `validate_args=False` to turn off validation.",
                stacklevel=4,
            )
            return
        for name, constraint in wanted.items():
            if constraints.is_dependent(constraint):
                continue
            if name not in self.__dict__ and isinstance(getattr(type(self), name), lazy_property):
                continue  # it follows from the one that was given
            value = getattr(self, name)
            if not bool(constraint.check(value).all()):
                raise InvalidArgumentError(
                    f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                    f"{self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n{value}"
                )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution with its parameters expanded to `batch_shape`, without copying them.

        `_instance` is for subclasses with another constructor: what they have made is filled in.
        """
        raise NotImplementedError

    def _expanded(self, cls: type, batch_shape: Any, _instance: Any, **parameters: int) -> Any:
        """What `expand` of `cls` gives: the attributes `parameters` expanded, whose numbers of event dimensions
        are given.
        """
        new = self._get_checked_instance(cls, _instance)
        batch = Size(batch_shape)
        for name, dims in parameters.items():
            if name in self.__dict__:
                value = self.__dict__[name]
                new.__dict__[name] = value.expand((*batch, *value.shape[value.ndim - dims :]))
        Distribution.__init__(new, batch, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _get_checked_instance(self, cls: type, _instance: Any = None) -> Any:
        if _instance is not None:
            return _instance
        if type(self).__init__ is not cls.__init__:  # type: ignore[misc]
            raise NotImplementedError(
                f"Subclass {type(self).__name__} of {cls.__name__} that defines a custom __init__ method must also "
                "define a custom .expand() method."
            )
        return self.__new__(type(self))

    @property
    def batch_shape(self) -> Size:
        """Shape of the parameters."""
        return self._batch_shape

    @property
    def event_shape(self) -> Size:
        """Shape of one sample."""
        return self._event_shape

    @property
    def arg_constraints(self) -> dict[str, Any]:
        """Name of a parameter -> the set that it must lie in."""
        raise NotImplementedError

    @property
    def support(self) -> Any:
        """The set of the values that can be drawn."""
        raise NotImplementedError

    @property
    def mean(self) -> Tensor:
        """Mean."""
        raise NotImplementedError

    @property
    def mode(self) -> Tensor:
        """The likeliest value."""
        raise NotImplementedError(f"{type(self)} does not implement mode")

    @property
    def variance(self) -> Tensor:
        """Variance."""
        raise NotImplementedError

    @property
    def stddev(self) -> Tensor:
        """Standard deviation."""
        return self.variance.sqrt()

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples of shape `sample_shape + batch_shape + event_shape`, without gradients."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples through which gradients flow to the parameters, where `has_rsample` is true."""
        raise UnsupportedError(f"{type(self).__name__} has no rsample: its samples are not differentiable")

    def sample_n(self, n: int) -> Tensor:
        """Deprecated: `sample((n,))`."""
        warnings.warn("`sample_n(n)` will be deprecated. Use `sample((n,))` instead.", FutureWarning, stacklevel=2)
        return self.sample((n,))

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the probability (density) of `value`."""
        raise NotImplementedError

    def cdf(self, value: Tensor) -> Tensor:
        """Probability of a sample of at most `value`."""
        raise NotImplementedError

    def icdf(self, value: Tensor) -> Tensor:
        """The inverse of `cdf`: quantiles of the probabilities `value`."""
        raise NotImplementedError

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """All values of a discrete distribution, `[n, *batch_shape, *event_shape]`; with sizes of 1 in place of
        `batch_shape` if not `expand`.
        """
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        raise NotImplementedError

    def perplexity(self) -> Tensor:
        """Exponential of the entropy."""
        return self.entropy().exp()

    def _extended_shape(self, sample_shape: Any = ()) -> Size:
        return Size((*sample_shape, *self._batch_shape, *self._event_shape))

    def _enumerated(self, values: Tensor, expand: bool) -> Tensor:
        """Values [n] as those of all batches."""
        values = values.view((-1, *[1] * len(self._batch_shape)))
        return values.expand((-1, *self._batch_shape)) if expand else values

    def _validate_sample(self, value: Any) -> None:
        """Refuses what is no sample of this distribution, or cannot be broadcast with its batch."""
        if not isinstance(value, Tensor):
            raise InvalidArgumentError("The value argument to log_prob must be a Tensor")
        shape, wanted = value.shape, Size((*self._batch_shape, *self._event_shape))
        n = len(self._event_shape)
        if n and shape[-n:] != self._event_shape:
            raise InvalidArgumentError(
                f"The right-most size of value must match event_shape: {shape} vs {self._event_shape}."
            )
        if not all(1 in (a, b) or a == b for a, b in zip(reversed(shape), reversed(wanted))):
            raise InvalidArgumentError(f"Value is not broadcastable with batch_shape+event_shape: {shape} vs {wanted}.")
        try:
            support = self.support
        except NotImplementedError:
            warnings.warn(
                f"{type(self)} does not define `support` to enable sample validation. Please initialize the "
                "distribution with `validate_args=False` to turn off validation.",
                stacklevel=3,
            )
            return
        if not bool(support.check(value).all()):
            raise InvalidArgumentError(
                f"Expected value argument ({type(value).__name__} of shape {tuple(shape)}) to be within the support "
                f"({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
            )

    def __repr__(self) -> str:
        shown = [(k, self.__dict__[k]) for k in self.arg_constraints if k in self.__dict__]
        inside = ", ".join(f"{k}: {v if v.numel() == 1 else v.size()}" for k, v in shown)
        return f"{type(self).__name__}({inside})"


class ExponentialFamily(Distribution):
    """Base of the families with densities `exp(<t(x), theta> - F(theta) + k(x))`.

    A subclass gives the natural parameters theta (`_natural_params`), F (`_log_normalizer`) and the mean of k
    (`_mean_carrier_measure`): entropies and divergences follow from the gradient of F (Nielsen and Nock 2010).
    """

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        raise NotImplementedError

    def _log_normalizer(self, *natural_params: Any) -> Tensor:
        raise NotImplementedError

    @property
    def _mean_carrier_measure(self) -> Any:
        raise NotImplementedError

    def entropy(self) -> Tensor:
        """`F - <grad F, theta> - mean of k`."""
        carrier = self._mean_carrier_measure
        parameters = [p.detach().requires_grad_() for p in self._natural_params]
        with autograd.enable_grad():
            normalizer = self._log_normalizer(*parameters)
            slopes = autograd.grad(normalizer.sum(), parameters, create_graph=True)
        result = normalizer - carrier
        for p, slope in zip(parameters, slopes):
            result = result - (p * slope).reshape((*self._batch_shape, -1)).sum(-1)
        return result
