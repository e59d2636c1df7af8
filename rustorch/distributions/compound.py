"""Distributions made of others: dimensions as one event, transformed variables, mixtures."""

# What the parts compute is Any here.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any

from .. import _ops
from .._tensor import Size, Tensor
from ..autograd import no_grad
from ..errors import InvalidArgumentError, UnsupportedError
from . import constraints
from .classes import Categorical
from .distribution import Distribution
from .transforms import ComposeTransform, Transform
from .utils import _sum_rightmost

__all__ = ["Independent", "MixtureSameFamily", "TransformedDistribution"]


class Independent(Distribution):
    """`base_distribution` with its last batch dimensions as dimensions of one event.

    Args:
        base_distribution: the distribution.
        reinterpreted_batch_ndims: how many.
        validate_args: see `Distribution`.

    Example: `Independent(Normal(rt.zeros(5, 3), 1.0), 1)` are five normal vectors: `log_prob` has the shape [5].
    """

    arg_constraints: dict[str, Any] = {}

    def __init__(
        self, base_distribution: Any, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        n, batch = reinterpreted_batch_ndims, base_distribution.batch_shape
        if not 0 <= n <= len(batch):
            raise InvalidArgumentError(
                f"Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual {n} vs {len(batch)}"
            )
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, n
        cut = len(batch) - n
        super().__init__(batch[:cut], (*batch[cut:], *base_distribution.event_shape), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._get_checked_instance(Independent, _instance)
        batch, n = Size(batch_shape), self.reinterpreted_batch_ndims
        new.base_dist = self.base_dist.expand((*batch, *self.event_shape[:n]))
        new.reinterpreted_batch_ndims = n
        Distribution.__init__(new, batch, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """As the base."""
        return bool(self.base_dist.has_rsample)

    @property
    def has_enumerate_support(self) -> bool:  # type: ignore[override]
        """As the base, of single dimensions only."""
        return self.reinterpreted_batch_ndims == 0 and bool(self.base_dist.has_enumerate_support)

    @constraints.dependent_property
    def support(self) -> Any:
        """That of the base, for all dimensions together."""
        n = self.reinterpreted_batch_ndims
        return constraints.independent(self.base_dist.support, n) if n else self.base_dist.support

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

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Samples of the base."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Samples of the base, with gradients."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """Sum over the event."""
        return _sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self) -> Tensor:
        """Sum over the event."""
        return _sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def enumerate_support(self, expand: bool = True) -> Tensor:
        """That of the base; only without dimensions of an event."""
        if self.reinterpreted_batch_ndims:
            raise UnsupportedError("Enumeration over cartesian product is not implemented")
        return self.base_dist.enumerate_support(expand=expand)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_dist}, {self.reinterpreted_batch_ndims})"


class TransformedDistribution(Distribution):
    """The distribution of transformed samples: `t(x)` with x from `base_distribution`, for bijective `t`
    `p(y) = p_base(x) / |det dy/dx|`.

    Args:
        base_distribution: the distribution of x; expanded to the shape that the transforms ask for.
        transforms: a transform, or a list of them, the first one first.
        validate_args: see `Distribution`.

    Example: the logistic distribution is
    `TransformedDistribution(Uniform(0.0, 1.0), [SigmoidTransform().inv, AffineTransform(loc, scale)])`.
    """

    arg_constraints: dict[str, Any] = {}

    def __init__(self, base_distribution: Any, transforms: Any, validate_args: bool | None = None) -> None:
        if isinstance(transforms, Transform):
            self.transforms = [transforms]
        elif not isinstance(transforms, list):
            raise InvalidArgumentError(f"transforms must be a Transform or list, but was {transforms}")
        elif not all(isinstance(t, Transform) for t in transforms):
            raise InvalidArgumentError("transforms must be a Transform or a list of Transforms")
        else:
            self.transforms = transforms
        base_shape = Size((*base_distribution.batch_shape, *base_distribution.event_shape))
        base_event = len(base_distribution.event_shape)
        transform: Any = ComposeTransform(self.transforms)
        if len(base_shape) < transform.domain.event_dim:
            raise InvalidArgumentError(
                f"base_distribution needs to have shape with size at least {transform.domain.event_dim}, "
                f"but got {base_shape}."
            )
        shape = transform.forward_shape(base_shape)
        wanted = Size(transform.inverse_shape(shape))
        if base_shape != wanted:
            base_distribution = base_distribution.expand(wanted[: len(wanted) - base_event])
        if transform.domain.event_dim > base_event:
            base_distribution = Independent(base_distribution, transform.domain.event_dim - base_event)
        self.base_dist = base_distribution
        n = transform.codomain.event_dim + max(base_event - transform.domain.event_dim, 0)
        cut = len(shape) - n
        super().__init__(shape[:cut], shape[cut:], validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._get_checked_instance(TransformedDistribution, _instance)
        batch = Size(batch_shape)
        shape = Size((*batch, *self.event_shape))
        for t in reversed(self.transforms):
            shape = t.inverse_shape(shape)
        new.base_dist = self.base_dist.expand(shape[: len(shape) - len(self.base_dist.event_shape)])
        new.transforms = self.transforms
        Distribution.__init__(new, batch, self.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property(is_discrete=False)
    def support(self) -> Any:
        """Where the last transform leads."""
        if not self.transforms:
            return self.base_dist.support
        support: Any = self.transforms[-1].codomain
        n = len(self.event_shape)
        return constraints.independent(support, n - support.event_dim) if n > support.event_dim else support

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        """As the base."""
        return bool(self.base_dist.has_rsample)

    def _forward(self, x: Tensor) -> Tensor:
        for t in self.transforms:
            x = t(x)
        return x

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Transformed samples of the base."""
        with no_grad():
            return self._forward(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Transformed samples of the base, with gradients."""
        return self._forward(self.base_dist.rsample(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """That of the base at the inverse, less the logarithms of the Jacobians."""
        if self._validate_args:
            self._validate_sample(value)
        n: int = len(self.event_shape)
        total: Any = 0.0
        y = value
        for t in reversed(self.transforms):
            x = t.inv(y)
            n += t.domain.event_dim - t.codomain.event_dim
            total = total - _sum_rightmost(t.log_abs_det_jacobian(x, y), n - t.domain.event_dim)
            y = x
        return total + _sum_rightmost(self.base_dist.log_prob(y), n - len(self.base_dist.event_shape))

    def _monotonize_cdf(self, value: Any) -> Any:
        """`value`, or what it lacks to 1 where the transforms fall."""
        sign: Any = 1
        for t in self.transforms:
            sign = sign * t.sign
        return value if isinstance(sign, int) and sign == 1 else sign * (value - 0.5) + 0.5

    def cdf(self, value: Tensor) -> Tensor:
        """That of the base at the inverse; for transforms of single numbers."""
        for t in reversed(self.transforms):
            value = t.inv(value)
        if self._validate_args:
            self.base_dist._validate_sample(value)
        return self._monotonize_cdf(self.base_dist.cdf(value))

    def icdf(self, value: Tensor) -> Tensor:
        """The transformed quantile of the base."""
        return self._forward(self.base_dist.icdf(self._monotonize_cdf(value)))


class MixtureSameFamily(Distribution):
    """One of several distributions of a family, chosen at random for each sample.

    Args:
        mixture_distribution: a `Categorical` over the components, of batch shape `[*]`.
        component_distribution: the components: their number is the last dimension of its batch shape `[*, k]`.
        validate_args: see `Distribution`.

    Example: `MixtureSameFamily(Categorical(rt.ones(5)), Normal(rt.randn(5), rt.ones(5)))`.
    """

    arg_constraints: dict[str, Any] = {}
    has_rsample = False

    def __init__(
        self, mixture_distribution: Any, component_distribution: Any, validate_args: bool | None = None
    ) -> None:
        self._mixture_distribution, self._component_distribution = mixture_distribution, component_distribution
        if not isinstance(mixture_distribution, Categorical):
            raise InvalidArgumentError("The Mixture distribution needs to be an instance of Categorical")
        if not isinstance(component_distribution, Distribution):
            raise InvalidArgumentError("The Component distribution needs to be an instance of Distribution")
        mixed, parts = mixture_distribution.batch_shape, component_distribution.batch_shape[:-1]
        for a, b in zip(reversed(mixed), reversed(parts)):
            if a != 1 and b != 1 and a != b:
                raise InvalidArgumentError(
                    f"`mixture_distribution.batch_shape` ({mixed}) is not compatible with "
                    f"`component_distribution.batch_shape`({parts})"
                )
        k = mixture_distribution._num_events
        if not component_distribution.batch_shape or k != component_distribution.batch_shape[-1]:
            found = component_distribution.batch_shape[-1] if component_distribution.batch_shape else None
            raise InvalidArgumentError(
                f"`mixture_distribution component` ({k}) does not equal "
                f"`component_distribution.batch_shape[-1]` ({found})"
            )
        self._num_component = k
        self._event_ndims = len(component_distribution.event_shape)
        super().__init__(parts, component_distribution.event_shape, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        batch = Size(batch_shape)
        new = self._get_checked_instance(MixtureSameFamily, _instance)
        new._component_distribution = self._component_distribution.expand((*batch, self._num_component))
        new._mixture_distribution = self._mixture_distribution.expand(batch)
        new._num_component, new._event_ndims = self._num_component, self._event_ndims
        Distribution.__init__(new, batch, new._component_distribution.event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    @constraints.dependent_property
    def support(self) -> Any:
        """That of the components."""
        return constraints.MixtureSameFamilyConstraint(self._component_distribution.support)

    @property
    def mixture_distribution(self) -> Any:
        """The choice of a component."""
        return self._mixture_distribution

    @property
    def component_distribution(self) -> Any:
        """The components."""
        return self._component_distribution

    def _weights(self) -> Tensor:
        """The probabilities, with dimensions for an event."""
        p = self._mixture_distribution.probs
        return p.reshape((*p.shape, *[1] * self._event_ndims))

    def _pad(self, x: Tensor) -> Tensor:
        return x.unsqueeze(-1 - self._event_ndims)

    @property
    def mean(self) -> Tensor:
        """The weighted mean of the means."""
        return (self._weights() * self._component_distribution.mean).sum(-1 - self._event_ndims)

    @property
    def variance(self) -> Tensor:
        """The mean of the variances, and the variance of the means."""
        p, dim = self._weights(), -1 - self._event_ndims
        inside = (p * self._component_distribution.variance).sum(dim)
        return inside + (p * (self._component_distribution.mean - self._pad(self.mean)).pow(2)).sum(dim)

    def cdf(self, value: Tensor) -> Tensor:
        """The weighted sum of the components'."""
        return (self._component_distribution.cdf(self._pad(value)) * self._mixture_distribution.probs).sum(-1)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the weighted sum of the densities."""
        if self._validate_args:
            self._validate_sample(value)
        log_p = self._component_distribution.log_prob(self._pad(value))
        return (log_p + self._mixture_distribution.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Of samples of all components, one by the choice."""
        with no_grad():
            n, dim = len(self.event_shape), len(sample_shape) + len(self.batch_shape)
            choice = self._mixture_distribution.sample(sample_shape)
            drawn = self._component_distribution.sample(sample_shape)
            index = choice.reshape((*choice.shape, *[1] * (n + 1)))
            shape = (*drawn.shape[:dim], 1, *drawn.shape[dim + 1 :])
            return _ops.gather(drawn, dim, index.expand(shape)).squeeze(dim)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """Raises: the choice is not differentiable."""
        raise UnsupportedError("MixtureSameFamily has no rsample: its samples are not differentiable")

    def __repr__(self) -> str:
        return f"MixtureSameFamily(\n  {self.mixture_distribution},\n  {self.component_distribution})"
