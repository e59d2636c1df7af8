"""Kullback-Leibler divergences: the mean over p of log p - log q.

`register_kl` adds formulas for pairs of classes; a pair of subclasses uses that of the nearest bases.
"""

# What a formula gives is Any.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
import warnings
from typing import Any

from .. import _ops, autograd, words
from ..errors import DTypeError, UnsupportedError
from .classes import Categorical, OneHotCategorical
from .compound import Independent, TransformedDistribution
from .continuous import Cauchy, ContinuousBernoulli, Exponential, Laplace, Normal, Uniform
from .counts import Bernoulli, Binomial, Geometric, Poisson
from .distribution import Distribution, ExponentialFamily
from .gamma import Beta, Dirichlet, Gamma
from .multivariate import (
    LowRankMultivariateNormal,
    MultivariateNormal,
    _batch_lowrank_logdet,
    _batch_lowrank_mahalanobis,
    _batch_mahalanobis,
    _log_diagonal,
    _solve_lower,
)
from .transformed import Gumbel, HalfNormal, Pareto
from .utils import LOG_2, LOG_PI, _softplus, _sum_rightmost, euler_constant

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .._tensor import Tensor

__all__ = ["kl_divergence", "register_kl"]

_KL_REGISTRY: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}
# What was found for pairs of classes.
_KL_MEMOIZE: dict[tuple[type, type], Callable[[Any, Any], Any]] = {}


def register_kl(type_p: type, type_q: type) -> Callable[[Any], Any]:
    """Decorates a function f(p, q) that gives the divergence of two kinds of distributions."""
    for kind in (type_p, type_q):
        if not (isinstance(kind, type) and issubclass(kind, Distribution)):
            raise DTypeError(f"register_kl: expected a subclass of Distribution, but got {kind}")

    def register(f: Any) -> Any:
        _KL_REGISTRY[type_p, type_q] = f
        _KL_MEMOIZE.clear()
        return f

    return register


def _dispatch_kl(type_p: type, type_q: type) -> Any:
    """The formula whose classes are nearest to `type_p` and `type_q`, the first one counting first, if there is one."""
    above = [(p, q) for p, q in _KL_REGISTRY if issubclass(type_p, p) and issubclass(type_q, q)]
    if not above:
        return None

    def near(pair: tuple[type, type], first: int) -> tuple[int, int]:
        places = type_p.__mro__.index(pair[0]), type_q.__mro__.index(pair[1])
        return places[first], places[1 - first]

    left, right = min(above, key=lambda k: near(k, 0)), min(above, key=lambda k: near(k, 1))
    if _KL_REGISTRY[left] is not _KL_REGISTRY[right]:
        warnings.warn(
            f"Ambiguous kl_divergence({type_p.__name__}, {type_q.__name__}). Please register_kl({left[0].__name__}, "
            f"{right[1].__name__})",
            RuntimeWarning,
            stacklevel=3,
        )
    return _KL_REGISTRY[left]


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """The divergence of q from p, of the batch shape.

    Raises:
        UnsupportedError: no formula is known (a `NotImplementedError`).
    """
    pair = type(p), type(q)
    f = _KL_MEMOIZE.get(pair)
    if f is None:
        f = _dispatch_kl(*pair)
        if f is None:
            raise UnsupportedError(
                f"kl_divergence: no formula for {pair[0].__name__} and {pair[1].__name__}; see register_kl"
            )
        _KL_MEMOIZE[pair] = f
    return f(p, q)


def _infinite_like(t: Tensor) -> Tensor:
    return _ops.full_like(t.detach(), math.inf)


def _x_log_x(t: Tensor) -> Tensor:
    return _ops.xlogy(t, t)


# ---- Of one kind ----


@register_kl(Bernoulli, Bernoulli)
def _kl_bernoulli_bernoulli(p: Any, q: Any) -> Any:
    first = p.probs * (_softplus(-q.logits) - _softplus(-p.logits))
    first = first.masked_fill(q.probs == 0, math.inf).masked_fill(p.probs == 0, 0)
    second = (1 - p.probs) * (_softplus(q.logits) - _softplus(p.logits))
    second = second.masked_fill(q.probs == 1, math.inf).masked_fill(p.probs == 1, 0)
    return first + second


def _kl_beta_function(p: Any, q: Any) -> Any:
    """What the normalisers of beta distributions differ by."""
    total_p, total_q = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    of_q = _ops.lgamma(q.concentration1) + _ops.lgamma(q.concentration0) + _ops.lgamma(total_p)
    of_p = _ops.lgamma(p.concentration1) + _ops.lgamma(p.concentration0) + _ops.lgamma(total_q)
    return of_q - of_p


@register_kl(Beta, Beta)
def _kl_beta_beta(p: Any, q: Any) -> Any:
    total_p, total_q = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    first = (p.concentration1 - q.concentration1) * _ops.digamma(p.concentration1)
    second = (p.concentration0 - q.concentration0) * _ops.digamma(p.concentration0)
    return _kl_beta_function(p, q) + first + second + (total_q - total_p) * _ops.digamma(total_p)


@register_kl(Binomial, Binomial)
def _kl_binomial_binomial(p: Any, q: Any) -> Any:
    # Of more trials than the other has none is possible; fewer have no formula.
    if bool((p.total_count < q.total_count).any()):
        raise UnsupportedError("KL between Binomials where q.total_count > p.total_count is not implemented")
    found = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return words.where(p.total_count > q.total_count, math.inf, found)


@register_kl(Categorical, Categorical)
def _kl_categorical_categorical(p: Any, q: Any) -> Any:
    t = p.probs * (p.logits - q.logits)
    t = t.masked_fill((q.probs == 0).expand_as(t), math.inf)
    return t.masked_fill((p.probs == 0).expand_as(t), 0).sum(-1)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _kl_continuous_bernoulli_continuous_bernoulli(p: Any, q: Any) -> Any:
    of_p = p._cont_bern_log_norm() + (-p.probs).log1p()
    of_q = -q._cont_bern_log_norm() - (-q.probs).log1p()
    return p.mean * (p.logits - q.logits) + of_p + of_q


@register_kl(Dirichlet, Dirichlet)
def _kl_dirichlet_dirichlet(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    total = a.sum(-1)
    front = _ops.lgamma(total) - _ops.lgamma(b.sum(-1)) + (_ops.lgamma(b) - _ops.lgamma(a)).sum(-1)
    return front + ((a - b) * (_ops.digamma(a) - _ops.digamma(total).unsqueeze(-1))).sum(-1)


@register_kl(Exponential, Exponential)
def _kl_exponential_exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return ratio - 1 - ratio.log()


@register_kl(ExponentialFamily, ExponentialFamily)
def _kl_expfamily_expfamily(p: Any, q: Any) -> Any:
    """The Bregman divergence of the natural parameters (Nielsen and Nock 2010)."""
    if type(p) is not type(q):
        raise UnsupportedError(
            "The cross KL-divergence between different exponential families cannot be computed using Bregman "
            "divergences"
        )
    of_p = [t.detach().requires_grad_() for t in p._natural_params]
    of_q = q._natural_params
    with autograd.enable_grad():
        normalizer = p._log_normalizer(*of_p)
        slopes = autograd.grad(normalizer.sum(), of_p, create_graph=True)
    result = q._log_normalizer(*of_q) - normalizer
    for a, b, slope in zip(of_p, of_q, slopes):
        term = (b - a) * slope
        result = result - _sum_rightmost(term, term.ndim - len(p.batch_shape))
    return result


@register_kl(Gamma, Gamma)
def _kl_gamma_gamma(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    rates = b * (p.rate / q.rate).log() + (q.rate - p.rate) * (a / p.rate)
    return rates + _ops.lgamma(b) - _ops.lgamma(a) + (a - b) * _ops.digamma(a)


@register_kl(Gumbel, Gumbel)
def _kl_gumbel_gumbel(p: Any, q: Any) -> Any:
    ratio = p.scale / q.scale
    moved_p, moved_q = p.loc / q.scale, q.loc / q.scale
    front = -ratio.log() - moved_q + moved_p
    return front + ratio * euler_constant + (moved_q + _ops.lgamma(1 + ratio) - moved_p).exp() - (1 + euler_constant)


@register_kl(Geometric, Geometric)
def _kl_geometric_geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(HalfNormal, HalfNormal)
def _kl_halfnormal_halfnormal(p: Any, q: Any) -> Any:
    return _kl_normal_normal(p.base_dist, q.base_dist)


@register_kl(Laplace, Laplace)
def _kl_laplace_laplace(p: Any, q: Any) -> Any:
    ratio, distance = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + distance / q.scale + ratio * (-distance / p.scale).exp() - 1


def _same_size(p: Any, q: Any) -> None:
    if p.event_shape != q.event_shape:
        raise ValueError(f"KL-divergence between two {type(p).__name__} with different event shapes cannot be computed")


def _trace_of_product(L: Tensor, M: Tensor) -> Tensor:
    """The trace of `(L L^T)^-1 M M^T`: the squares of `L^-1 M`."""
    batch = words.broadcast_shapes(L.shape[:-2], M.shape[:-2])
    solved = _solve_lower(L.expand((*batch, *L.shape[-2:])), M.expand((*batch, *M.shape[-2:])))
    return solved.pow(2).sum((-2, -1))


@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _kl_lowrankmultivariatenormal_lowrankmultivariatenormal(p: Any, q: Any) -> Any:
    _same_size(p, q)
    Wp, Dp, Lp = p._unbroadcasted_cov_factor, p._unbroadcasted_cov_diag, p._capacitance_tril
    Wq, Dq, Lq = q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag, q._capacitance_tril
    front = _batch_lowrank_logdet(Wq, Dq, Lq) - _batch_lowrank_logdet(Wp, Dp, Lp)
    distance = _batch_lowrank_mahalanobis(Wq, Dq, q.loc - p.loc, Lq)
    # The trace of (Wq Wq^T + Dq)^-1 (Wp Wp^T + Dp), by Woodbury's identity.
    scaled = Wq.mT / Dq.unsqueeze(-2)
    plain = (Dp / Dq).sum(-1) + (Wp * Dq.rsqrt().unsqueeze(-1)).pow(2).sum((-2, -1))
    less = _trace_of_product(Lq, scaled * Dp.sqrt().unsqueeze(-2)) + _trace_of_product(Lq, scaled @ Wp)
    return 0.5 * (front + plain - less + distance - p.event_shape[0])


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
def _kl_multivariatenormal_lowrankmultivariatenormal(p: Any, q: Any) -> Any:
    _same_size(p, q)
    Wq, Dq, Lq = q._unbroadcasted_cov_factor, q._unbroadcasted_cov_diag, q._capacitance_tril
    L = p._unbroadcasted_scale_tril
    front = _batch_lowrank_logdet(Wq, Dq, Lq) - 2 * _log_diagonal(L)
    distance = _batch_lowrank_mahalanobis(Wq, Dq, q.loc - p.loc, Lq)
    scaled = Wq.mT / Dq.unsqueeze(-2)
    trace = (L * Dq.rsqrt().unsqueeze(-1)).pow(2).sum((-2, -1)) - _trace_of_product(Lq, scaled @ L)
    return 0.5 * (front + trace + distance - p.event_shape[0])


@register_kl(LowRankMultivariateNormal, MultivariateNormal)
def _kl_lowrankmultivariatenormal_multivariatenormal(p: Any, q: Any) -> Any:
    _same_size(p, q)
    W, D = p._unbroadcasted_cov_factor, p._unbroadcasted_cov_diag
    L = q._unbroadcasted_scale_tril
    front = 2 * _log_diagonal(L) - _batch_lowrank_logdet(W, D, p._capacitance_tril)
    distance = _batch_mahalanobis(L, q.loc - p.loc)
    trace = _trace_of_product(L, W) + _trace_of_product(L, D.sqrt().diag_embed())
    return 0.5 * (front + trace + distance - p.event_shape[0])


@register_kl(MultivariateNormal, MultivariateNormal)
def _kl_multivariatenormal_multivariatenormal(p: Any, q: Any) -> Any:
    _same_size(p, q)
    Lp, Lq = p._unbroadcasted_scale_tril, q._unbroadcasted_scale_tril
    front = _log_diagonal(Lq) - _log_diagonal(Lp)
    rest = _trace_of_product(Lq, Lp) + _batch_mahalanobis(Lq, q.loc - p.loc)
    return front + 0.5 * (rest - p.event_shape[0])


@register_kl(Normal, Normal)
def _kl_normal_normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(OneHotCategorical, OneHotCategorical)
def _kl_onehotcategorical_onehotcategorical(p: Any, q: Any) -> Any:
    return _kl_categorical_categorical(p._categorical, q._categorical)


@register_kl(Pareto, Pareto)
def _kl_pareto_pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    found = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return found.masked_fill(p.support.lower_bound < q.support.lower_bound, math.inf)


@register_kl(Poisson, Poisson)
def _kl_poisson_poisson(p: Any, q: Any) -> Any:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(TransformedDistribution, TransformedDistribution)
def _kl_transformed_transformed(p: Any, q: Any) -> Any:
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise UnsupportedError("kl_divergence: no formula for different transforms")
    return kl_divergence(p.base_dist, q.base_dist)


@register_kl(Uniform, Uniform)
def _kl_uniform_uniform(p: Any, q: Any) -> Any:
    t = ((q.high - q.low) / (p.high - p.low)).log()
    return t.masked_fill((q.low > p.low) | (q.high < p.high), math.inf)


@register_kl(Independent, Independent)
def _kl_independent_independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise UnsupportedError("kl_divergence: the two Independents have different numbers of event dimensions")
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)


@register_kl(Cauchy, Cauchy)
def _kl_cauchy_cauchy(p: Any, q: Any) -> Any:
    """Chyzak and Nielsen 2019."""
    sums = (p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)
    return sums.log() - (4 * p.scale * q.scale).log()


# ---- Of different kinds ----


@register_kl(Beta, ContinuousBernoulli)
def _kl_beta_continuous_bernoulli(p: Any, q: Any) -> Any:
    return -p.entropy() - p.mean * q.logits - (-q.probs).log1p() - q._cont_bern_log_norm()


@register_kl(Bernoulli, Poisson)
def _kl_bernoulli_poisson(p: Any, q: Any) -> Any:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Beta, Exponential)
def _kl_beta_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(Beta, Gamma)
def _kl_beta_gamma(p: Any, q: Any) -> Any:
    logs = _ops.digamma(p.concentration1) - _ops.digamma(p.concentration1 + p.concentration0)
    front = _ops.lgamma(q.concentration) - q.concentration * q.rate.log()
    return -p.entropy() + front - (q.concentration - 1) * logs + q.rate * p.mean


def _to_normal(mean: Any, variance: Any, q: Any) -> Any:
    """The mean of -log q for a normal q, of which only mean and variance of p matter."""
    square = variance + (mean - q.loc).pow(2)
    return q.scale.log() + 0.5 * (LOG_2 + LOG_PI) + square / (2 * q.scale.pow(2))


@register_kl(Beta, Normal)
@register_kl(ContinuousBernoulli, Normal)
@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Laplace, Normal)
@register_kl(Uniform, Normal)
def _kl_to_normal(p: Any, q: Any) -> Any:
    return -p.entropy() + _to_normal(p.mean, p.variance, q)


def _finite_mean(p: Any) -> Any:
    """That of a Pareto distribution by the formula of those that have one: what is masked has a gradient of 0 then."""
    return p.alpha * p.scale / (p.alpha - 1)


@register_kl(Pareto, Normal)
def _kl_pareto_normal(p: Any, q: Any) -> Any:
    variance = _finite_mean(p) * p.scale / ((p.alpha - 1) * (p.alpha - 2))
    found = -p.entropy() + _to_normal(_finite_mean(p), variance, q)
    return found.masked_fill(p.alpha <= 2, math.inf)


@register_kl(Beta, Uniform)
def _kl_beta_uniform(p: Any, q: Any) -> Any:
    found = -p.entropy() + (q.high - q.low).log()
    return found.masked_fill((q.low > p.support.lower_bound) | (q.high < p.support.upper_bound), math.inf)


@register_kl(ContinuousBernoulli, Exponential)
def _kl_continuous_bernoulli_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@register_kl(ContinuousBernoulli, Uniform)
def _kl_continuous_bernoulli_uniform(p: Any, q: Any) -> Any:
    found = -p.entropy() + (q.high - q.low).log()
    return found.masked_fill((q.low > p.support.lower_bound) | (q.high < p.support.upper_bound), math.inf)


@register_kl(Exponential, Gamma)
def _kl_exponential_gamma(p: Any, q: Any) -> Any:
    ratio, a = q.rate / p.rate, q.concentration
    return -a * ratio.log() + ratio + _ops.lgamma(a) + a * euler_constant - (1 + euler_constant)


@register_kl(Exponential, Gumbel)
def _kl_exponential_gumbel(p: Any, q: Any) -> Any:
    product = p.rate * q.scale
    moved = q.loc / q.scale
    return product.log() - 1 + product.reciprocal() - moved + moved.exp() * product / (product + 1)


@register_kl(Gamma, Exponential)
def _kl_gamma_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Gamma, Gumbel)
def _kl_gamma_gumbel(p: Any, q: Any) -> Any:
    product, moved = p.rate * q.scale, q.loc / q.scale
    a = p.concentration
    front = (a - 1) * _ops.digamma(a) - _ops.lgamma(a) - a + product.log()
    return front + a / product - moved + moved.exp() * (1 + product.reciprocal()).pow(-a)


@register_kl(Normal, Gumbel)
def _kl_normal_gumbel(p: Any, q: Any) -> Any:
    moved = (p.loc - q.loc) / q.scale
    spread = 0.5 * (p.scale / q.scale).pow(2)
    return -(p.scale / q.scale).log() + moved + (spread - moved).exp() - 0.5 * (1 + LOG_2 + LOG_PI)


@register_kl(Normal, Laplace)
def _kl_normal_laplace(p: Any, q: Any) -> Any:
    distance = p.loc - q.loc
    z = distance / p.scale
    # The mean of |x - q.loc| (that of a folded normal variable).
    mean = math.sqrt(2 / math.pi) * p.scale * (-0.5 * z.pow(2)).exp() + distance * _ops.erf(math.sqrt(0.5) * z)
    return -p.entropy() + (2 * q.scale).log() + mean / q.scale


@register_kl(Pareto, Exponential)
def _kl_pareto_exponential(p: Any, q: Any) -> Any:
    found = -p.entropy() - q.rate.log() + q.rate * _finite_mean(p)
    return found.masked_fill(p.alpha <= 1, math.inf)


@register_kl(Pareto, Gamma)
def _kl_pareto_gamma(p: Any, q: Any) -> Any:
    logs = p.scale.log() + p.alpha.reciprocal()
    front = _ops.lgamma(q.concentration) - q.concentration * q.rate.log()
    found = -p.entropy() + front - (q.concentration - 1) * logs + q.rate * _finite_mean(p)
    return found.masked_fill(p.alpha <= 1, math.inf)


def _mean_log_of_uniform(p: Any) -> Any:
    return (_x_log_x(p.high) - _x_log_x(p.low)) / (p.high - p.low) - 1


@register_kl(Uniform, Beta)
def _kl_uniform_beta(p: Any, q: Any) -> Any:
    a, b = q.concentration1, q.concentration0
    width = p.high - p.low
    logs = _mean_log_of_uniform(p)
    rest = (_x_log_x(1 - p.low) - _x_log_x(1 - p.high)) / width - 1
    front = _ops.lgamma(a) + _ops.lgamma(b) - _ops.lgamma(a + b) - width.log()
    found = front - (a - 1) * logs - (b - 1) * rest
    outside = (p.high > q.support.upper_bound) | (p.low < q.support.lower_bound)
    return found.masked_fill(outside, math.inf)


@register_kl(Uniform, ContinuousBernoulli)
def _kl_uniform_continuous_bernoulli(p: Any, q: Any) -> Any:
    found = -p.entropy() - p.mean * q.logits - (-q.probs).log1p() - q._cont_bern_log_norm()
    outside = (p.high > q.support.upper_bound) | (p.low < q.support.lower_bound)
    return found.masked_fill(outside, math.inf)


@register_kl(Uniform, Exponential)
def _kl_uniform_exponential(p: Any, q: Any) -> Any:
    found = q.rate * p.mean - ((p.high - p.low) * q.rate).log()
    return found.masked_fill(p.low < q.support.lower_bound, math.inf)


@register_kl(Uniform, Gamma)
def _kl_uniform_gamma(p: Any, q: Any) -> Any:
    a = q.concentration
    front = -p.entropy() + _ops.lgamma(a) - a * q.rate.log()
    found = front + (1 - a) * _mean_log_of_uniform(p) + q.rate * p.mean
    return found.masked_fill(p.low < q.support.lower_bound, math.inf)


@register_kl(Uniform, Gumbel)
def _kl_uniform_gumbel(p: Any, q: Any) -> Any:
    width = (p.high - p.low) / q.scale
    high, low = (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    return 0.5 * (high + low) - ((-high).exp() - (-low).exp()) / width - width.log()


@register_kl(Uniform, Pareto)
def _kl_uniform_pareto(p: Any, q: Any) -> Any:
    front = -p.entropy() - q.alpha.log() - q.alpha * q.scale.log()
    found = front + (q.alpha + 1) * _mean_log_of_uniform(p)
    return found.masked_fill(p.low < q.support.lower_bound, math.inf)


# ---- Where p has values that q has not ----


def _never(kind_p: type, kinds_q: tuple[type, ...], parameter: str) -> None:
    """The divergence is infinite, in the shape of p's parameter."""

    def infinite(p: Any, q: Any) -> Any:
        return _infinite_like(getattr(p, parameter))

    for kind_q in kinds_q:
        register_kl(kind_p, kind_q)(infinite)


_never(Beta, (Pareto,), "concentration1")
_never(ContinuousBernoulli, (Pareto,), "probs")
_never(Exponential, (Beta, ContinuousBernoulli, Pareto, Uniform), "rate")
_never(Gamma, (Beta, ContinuousBernoulli, Pareto, Uniform), "concentration")
_never(Gumbel, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform), "loc")
_never(Laplace, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform), "loc")
_never(Normal, (Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform), "loc")
_never(Pareto, (Beta, ContinuousBernoulli, Uniform), "scale")
_never(Poisson, (Bernoulli, Binomial), "rate")
