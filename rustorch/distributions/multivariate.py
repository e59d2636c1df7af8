"""Normal vectors, random covariance matrices (Wishart) and correlation matrices (LKJ)."""

# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
import warnings
from typing import Any

from .. import _ops, words
from .._tensor import Size, Tensor
from ..autograd import no_grad
from ..dtypes import finfo
from ..errors import InvalidArgumentError
from . import constraints
from .distribution import Distribution, ExponentialFamily
from .gamma import Beta, Chi2
from .utils import LOG_2, LOG_PI, _standard_normal, lazy_property

__all__ = ["LKJCholesky", "LowRankMultivariateNormal", "MultivariateNormal", "Wishart"]


def _solve_lower(L: Tensor, B: Tensor) -> Tensor:
    """X with `L @ X = B`."""
    return _ops.linalg_solve_triangular(L, B, False, True, False)


def _eye_like(m: Tensor) -> Tensor:
    return _ops.eye(m.shape[-1], dtype=m.dtype, device=m.device)


def _batch_mv(bmat: Tensor, bvec: Tensor) -> Tensor:
    """Products of matrices [*, n, m] with vectors [*, m]."""
    return _ops.matmul(bmat, bvec.unsqueeze(-1)).squeeze(-1)


def _batch_mahalanobis(bL: Tensor, bx: Tensor) -> Tensor:
    """`x^T M^-1 x` for `M = L @ L.mT`, of L [*, n, n] and x [*, n], whose batches broadcast."""
    n = bx.shape[-1]
    if bL.shape[:-2].numel() == 1:  # one matrix for all: solve for all at once
        L = bL.reshape(n, n)
        batch = words.broadcast_shapes(bL.shape[:-2], bx.shape[:-1])
        return _solve_lower(L, bx.reshape(-1, n).mT).pow(2).sum(-2).reshape(batch)
    batch = words.broadcast_shapes(bL.shape[:-2], bx.shape[:-1])
    L, x = bL.expand((*batch, n, n)), bx.expand((*batch, n)).unsqueeze(-1)
    return _solve_lower(L, x).squeeze(-1).pow(2).sum(-1)


def _precision_to_scale_tril(P: Tensor) -> Tensor:
    """The Cholesky factor of the inverse of P: `P = U @ U.mT` for an upper triangular U; the inverse of `U.mT`."""
    turned = _ops.cholesky(_ops.flip(P, (-2, -1)))
    upper = _ops.flip(turned, (-2, -1))
    return _solve_lower(upper.mT, _eye_like(P))


def _inverse_of_factor(L: Tensor) -> Tensor:
    """The inverse of `L @ L.mT`."""
    inverse = _solve_lower(L, _eye_like(L).expand(L.shape))
    return inverse.mT @ inverse


def _log_diagonal(L: Tensor) -> Tensor:
    """The sum of the logarithms of the diagonal."""
    return L.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def _given(covariance: Any, precision: Any, tril: Any) -> tuple[str, Tensor]:
    """Which of three matrices was given."""
    named = {"covariance_matrix": covariance, "scale_tril": tril, "precision_matrix": precision}
    given = [(k, v) for k, v in named.items() if v is not None]
    if len(given) != 1:
        raise InvalidArgumentError(
            "Exactly one of covariance_matrix or precision_matrix or scale_tril may be specified."
        )
    name, value = given[0]
    if value.ndim < 2:
        matrix = "scale_tril matrix" if name == "scale_tril" else name
        raise InvalidArgumentError(f"{matrix} must be at least two-dimensional, with optional leading batch dimensions")
    return name, value


class _Covariance(Distribution):
    """Base of those with a covariance matrix, a precision matrix or a Cholesky factor; the others follow from one."""

    _unbroadcasted_scale_tril: Tensor

    def _matrix_shape(self) -> Size:
        n = self._event_shape[-1]
        return Size((*self._batch_shape, n, n))

    @staticmethod
    def _factor(name: str, value: Tensor) -> Tensor:
        if name == "scale_tril":
            return value
        return _ops.cholesky(value) if name == "covariance_matrix" else _precision_to_scale_tril(value)

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The lower triangular L with a positive diagonal and `L @ L.mT` = the covariance matrix."""
        return self._unbroadcasted_scale_tril.expand(self._matrix_shape())

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance matrix."""
        L = self._unbroadcasted_scale_tril
        return (L @ L.mT).expand(self._matrix_shape())

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance matrix."""
        return _inverse_of_factor(self._unbroadcasted_scale_tril).expand(self._matrix_shape())


class MultivariateNormal(_Covariance):
    """Normal vectors of n numbers.

    Args:
        loc: the mean, `[*, n]`.
        covariance_matrix: positive definite, `[*, n, n]`; or one of
        precision_matrix: its inverse, `[*, n, n]`,
        scale_tril: its lower triangular factor L with a positive diagonal, `[*, n, n]`: the cheapest one.
        validate_args: see `Distribution`.

    Example: `MultivariateNormal(rt.zeros(2), rt.eye(2)).sample()`.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "covariance_matrix": constraints.positive_definite,
        "precision_matrix": constraints.positive_definite,
        "scale_tril": constraints.lower_cholesky,
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        loc: Tensor,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        if loc.ndim < 1:
            raise InvalidArgumentError("loc must be at least one-dimensional.")
        name, value = _given(covariance_matrix, precision_matrix, scale_tril)
        batch, n = words.broadcast_shapes(value.shape[:-2], loc.shape[:-1]), loc.shape[-1]
        self.__dict__[name] = value.expand((*batch, *value.shape[-2:]))
        self.loc = loc.expand((*batch, n))
        super().__init__(batch, (n,), validate_args=validate_args)
        self._unbroadcasted_scale_tril = self._factor(name, value)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        matrices = dict.fromkeys(("covariance_matrix", "scale_tril", "precision_matrix"), 2)
        new = self._expanded(MultivariateNormal, batch_shape, _instance, loc=1, **matrices)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        return new

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """The diagonal of the covariance matrix."""
        squares = self._unbroadcasted_scale_tril.pow(2).sum(-1)
        return squares.expand((*self._batch_shape, *self._event_shape))

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """`loc + L @ e` with standard normal e."""
        e = _standard_normal(self._extended_shape(sample_shape), self.loc.dtype, self.loc.device)
        return self.loc + _batch_mv(self._unbroadcasted_scale_tril, e)

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        L = self._unbroadcasted_scale_tril
        distance = _batch_mahalanobis(L, value - self.loc)
        return -0.5 * (self._event_shape[0] * (LOG_2 + LOG_PI) + distance) - _log_diagonal(L)

    def entropy(self) -> Tensor:
        """n (1 + log 2 pi) / 2 + log det L."""
        n = self._event_shape[0]
        entropy = 0.5 * n * (1.0 + LOG_2 + LOG_PI) + _log_diagonal(self._unbroadcasted_scale_tril)
        return entropy.expand(self._batch_shape)


def _batch_capacitance_tril(W: Tensor, D: Tensor) -> Tensor:
    """The Cholesky factor of `1 + W^T D^-1 W`, for W [*, n, m] and the diagonal D [*, n]."""
    return _ops.cholesky(W.mT @ (W / D.unsqueeze(-1)) + _ops.eye(W.shape[-1], dtype=W.dtype, device=W.device))


def _batch_lowrank_logdet(W: Tensor, D: Tensor, capacitance_tril: Tensor) -> Tensor:
    """`log det (W W^T + D)`, by the matrix determinant lemma."""
    return 2 * _log_diagonal(capacitance_tril) + D.log().sum(-1)


def _batch_lowrank_mahalanobis(W: Tensor, D: Tensor, x: Tensor, capacitance_tril: Tensor) -> Tensor:
    """`x^T (W W^T + D)^-1 x`, by Woodbury's identity."""
    scaled = x / D
    inner = _batch_mv(W.mT, scaled)
    return (x * scaled).sum(-1) - _batch_mahalanobis(capacitance_tril, inner)


class LowRankMultivariateNormal(Distribution):
    """Normal vectors of n numbers whose covariance matrix is a diagonal one plus one of low rank, `W @ W.mT + diag(D)`.

    Args:
        loc: the mean, `[*, n]`.
        cov_factor: W, `[*, n, m]`; costs are those of m x m matrices.
        cov_diag: D > 0, `[*, n]`.
        validate_args: see `Distribution`.

    Example: `LowRankMultivariateNormal(rt.zeros(2), rt.tensor([[1.0], [0.0]]), rt.ones(2)).sample()`.
    """

    arg_constraints = {
        "loc": constraints.real_vector,
        "cov_factor": constraints.independent(constraints.real, 2),
        "cov_diag": constraints.independent(constraints.positive, 1),
    }
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc: Tensor, cov_factor: Tensor, cov_diag: Tensor, validate_args: bool | None = None) -> None:
        if loc.ndim < 1:
            raise InvalidArgumentError("loc must be at least one-dimensional.")
        event = loc.shape[-1:]
        if cov_factor.ndim < 2:
            raise InvalidArgumentError(
                "cov_factor must be at least two-dimensional, with optional leading batch dimensions"
            )
        if cov_factor.shape[-2:-1] != event:
            raise InvalidArgumentError(f"cov_factor must be a batch of matrices with shape {event[0]} x m")
        if cov_diag.shape[-1:] != event:
            raise InvalidArgumentError(f"cov_diag must be a batch of vectors with shape {event}")
        try:
            batch = words.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        except RuntimeError as e:
            raise InvalidArgumentError(
                f"Incompatible batch shapes: loc {loc.shape}, cov_factor {cov_factor.shape}, cov_diag {cov_diag.shape}"
            ) from e
        self.loc, self.cov_diag = loc.expand((*batch, *event)), cov_diag.expand((*batch, *event))
        self.cov_factor = cov_factor.expand((*batch, *cov_factor.shape[-2:]))
        self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag = cov_factor, cov_diag
        self._capacitance_tril = _batch_capacitance_tril(cov_factor, cov_diag)
        super().__init__(batch, event, validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._expanded(LowRankMultivariateNormal, batch_shape, _instance, loc=1, cov_factor=2, cov_diag=1)
        for name in ("_unbroadcasted_cov_factor", "_unbroadcasted_cov_diag", "_capacitance_tril"):
            setattr(new, name, getattr(self, name))
        return new

    @property
    def mean(self) -> Tensor:
        """The mean."""
        return self.loc

    @property
    def mode(self) -> Tensor:
        """The mean."""
        return self.loc

    @lazy_property
    def variance(self) -> Tensor:
        """The diagonal of the covariance matrix."""
        found = self._unbroadcasted_cov_factor.pow(2).sum(-1) + self._unbroadcasted_cov_diag
        return found.expand((*self._batch_shape, *self._event_shape))

    def _matrix_shape(self) -> Size:
        return Size((*self._batch_shape, *self._event_shape, *self._event_shape))

    @lazy_property
    def scale_tril(self) -> Tensor:
        """The Cholesky factor of the covariance matrix, `D^1/2 chol(1 + D^-1/2 W W^T D^-1/2)`."""
        root = self._unbroadcasted_cov_diag.sqrt().unsqueeze(-1)
        scaled = self._unbroadcasted_cov_factor / root
        inner = scaled @ scaled.mT
        return (root * _ops.cholesky(inner + _eye_like(inner))).expand(self._matrix_shape())

    @lazy_property
    def covariance_matrix(self) -> Tensor:
        """The covariance matrix."""
        W = self._unbroadcasted_cov_factor
        return (W @ W.mT + self._unbroadcasted_cov_diag.diag_embed()).expand(self._matrix_shape())

    @lazy_property
    def precision_matrix(self) -> Tensor:
        """The inverse of the covariance matrix, by Woodbury's identity."""
        W, D = self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag
        scaled = (W / D.unsqueeze(-1)).mT
        batch = words.broadcast_shapes(self._capacitance_tril.shape[:-2], scaled.shape[:-2])
        L = self._capacitance_tril.expand((*batch, *self._capacitance_tril.shape[-2:]))
        part = _solve_lower(L, scaled.expand((*batch, *scaled.shape[-2:])))
        return (D.reciprocal().diag_embed() - part.mT @ part).expand(self._matrix_shape())

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        """`loc + W @ e + D^1/2 f` with standard normal e and f."""
        shape = self._extended_shape(sample_shape)
        W, D, loc = self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag, self.loc
        e = _standard_normal((*shape[:-1], self.cov_factor.shape[-1]), loc.dtype, loc.device)
        f = _standard_normal(shape, loc.dtype, loc.device)
        return loc + _batch_mv(W, e) + D.sqrt() * f

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        W, D, L = self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag, self._capacitance_tril
        distance = _batch_lowrank_mahalanobis(W, D, value - self.loc, L)
        return -0.5 * (self._event_shape[0] * (LOG_2 + LOG_PI) + _batch_lowrank_logdet(W, D, L) + distance)

    def entropy(self) -> Tensor:
        """(n (1 + log 2 pi) + log det of the covariance matrix) / 2."""
        W, D, L = self._unbroadcasted_cov_factor, self._unbroadcasted_cov_diag, self._capacitance_tril
        n = self._event_shape[0]
        return (0.5 * (n * (1.0 + LOG_2 + LOG_PI) + _batch_lowrank_logdet(W, D, L))).expand(self._batch_shape)


def _steps_down(x: Tensor, p: int) -> Tensor:
    """`[*, p]`: x, x - 1/2, x - 1, ..."""
    return x.unsqueeze(-1) - words.arange(p, dtype=x.dtype, device=x.device) / 2


def _mvdigamma(x: Tensor, p: int) -> Tensor:
    """The derivative of `_mvlgamma`."""
    return _ops.digamma(_steps_down(x, p)).sum(-1)


def _mvlgamma(x: Tensor, p: int) -> Tensor:
    """Logarithm of the multivariate gamma function of dimension p."""
    return _ops.lgamma(_steps_down(x, p)).sum(-1) + p * (p - 1) / 4 * LOG_PI


class Wishart(_Covariance, ExponentialFamily):
    """The Wishart distribution on positive definite n x n matrices: for whole `df` that of `sum x_i x_i^T` of `df`
    normal vectors of mean 0.

    Args:
        df: degrees of freedom > n - 1, `[*]`.
        covariance_matrix: of the vectors, positive definite, `[*, n, n]`; or one of
        precision_matrix: its inverse, `[*, n, n]`,
        scale_tril: its lower triangular factor with a positive diagonal, `[*, n, n]`.
        validate_args: see `Distribution`.

    Example: `Wishart(rt.tensor([2.0]), covariance_matrix=rt.eye(2)).sample()`.
    """

    support = constraints.positive_definite
    has_rsample = True
    _mean_carrier_measure = 0

    def __init__(
        self,
        df: Any,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        validate_args: bool | None = None,
    ) -> None:
        name, value = _given(covariance_matrix, precision_matrix, scale_tril)
        if not isinstance(df, Tensor):
            df = words.tensor(df, dtype=value.dtype, device=value.device)
        batch, n = words.broadcast_shapes(value.shape[:-2], df.shape), value.shape[-1]
        self.df, self.__dict__[name] = df.expand(batch), value.expand((*batch, n, n))
        if bool((self.df <= n - 1).any()):
            raise InvalidArgumentError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        self._batch_shape, self._event_shape = Size(batch), Size((n, n))
        super().__init__(batch, (n, n), validate_args=validate_args)
        if bool((self.df < n).any()):
            warnings.warn("Low df values detected. Singular samples are highly likely to occur.", stacklevel=2)
        self._unbroadcasted_scale_tril = self._factor(name, value)
        self._dist_chi2 = self._squares()

    @property
    def arg_constraints(self) -> dict[str, Any]:
        """`df` is greater than n - 1."""
        return {
            "covariance_matrix": constraints.positive_definite,
            "precision_matrix": constraints.positive_definite,
            "scale_tril": constraints.lower_cholesky,
            "df": constraints.greater_than(self._event_shape[-1] - 1),
        }

    def _squares(self) -> Chi2:
        """Squares of the diagonal in Bartlett's decomposition."""
        n = self._event_shape[-1]
        return Chi2(self.df.unsqueeze(-1) - words.arange(n, dtype=self.df.dtype, device=self.df.device))

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        matrices = dict.fromkeys(("covariance_matrix", "scale_tril", "precision_matrix"), 2)
        new = self._get_checked_instance(Wishart, _instance)
        new._event_shape = self._event_shape
        new = self._expanded(Wishart, batch_shape, new, df=0, **matrices)
        new._unbroadcasted_scale_tril = self._unbroadcasted_scale_tril
        new._dist_chi2 = new._squares()
        return new

    @property
    def mean(self) -> Tensor:
        """df times the covariance matrix."""
        return self.df.view((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def mode(self) -> Tensor:
        """(df - n - 1) times the covariance matrix; NaN for df <= n + 1."""
        factor = self.df - self.covariance_matrix.shape[-1] - 1
        return factor.masked_fill(factor <= 0, math.nan).view((*self._batch_shape, 1, 1)) * self.covariance_matrix

    @property
    def variance(self) -> Tensor:
        """df (V_ij^2 + V_ii V_jj) for the covariance matrix V."""
        V = self.covariance_matrix
        d = V.diagonal(dim1=-2, dim2=-1)
        return self.df.view((*self._batch_shape, 1, 1)) * (V.pow(2) + d.unsqueeze(-1) * d.unsqueeze(-2))

    def _bartlett_sampling(self, sample_shape: Any = ()) -> Tensor:
        """Bartlett's decomposition: `L A A^T L^T`, A lower triangular with chi variables on the diagonal and normal
        ones below it.
        """
        n = self._event_shape[-1]
        diagonal = self._dist_chi2.rsample(sample_shape).clamp(min=finfo(self.df.dtype).tiny).sqrt()
        below = _ops.randn(
            (*sample_shape, *self._batch_shape, n * (n - 1) // 2), dtype=diagonal.dtype, device=diagonal.device
        )
        rows, columns = _ops.tril_indices(n, n, -1).unbind(0)
        places = (rows * n + columns).expand(below.shape)
        noise = diagonal.diag_embed().flatten(-2).scatter(-1, places, below).unflatten(-1, (n, n))
        factor = self._unbroadcasted_scale_tril @ noise
        return factor @ factor.mT

    def rsample(self, sample_shape: Any = (), max_try_correction: int | None = None) -> Tensor:
        """Samples; singular ones are drawn again, `max_try_correction` times at most (10 if it is None).

        PyTorch draws again what is not singular, once: its samples for a seed are these for `max_try_correction=0`.
        """
        if max_try_correction is None:
            max_try_correction = 10
        sample_shape = Size(sample_shape)
        sample = self._bartlett_sampling(sample_shape)
        singular = self.support.check(sample).logical_not()
        if bool(singular.any()):
            warnings.warn("Singular sample detected.", stacklevel=2)
        for _ in range(max_try_correction):
            if not bool(singular.any()):
                break
            again = self._bartlett_sampling(sample_shape)
            sample = words.where(singular.unsqueeze(-1).unsqueeze(-1), again, sample)
            singular = self.support.check(sample).logical_not()
        return sample

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density."""
        if self._validate_args:
            self._validate_sample(value)
        nu, p, L = self.df, self._event_shape[-1], self._unbroadcasted_scale_tril
        batch = words.broadcast_shapes(value.shape[:-2], L.shape[:-2])
        inner = _solve_lower(L.expand((*batch, p, p)), value.expand((*batch, p, p)))
        inner = _solve_lower(L.expand((*batch, p, p)), inner.mT)  # L^-1 value L^-T, transposed
        trace = inner.diagonal(dim1=-2, dim2=-1).sum(-1)
        front = -nu * (p * LOG_2 / 2 + _log_diagonal(L)) - _mvlgamma(nu / 2, p)
        return front + (nu - p - 1) / 2 * _ops.logdet(value) - trace / 2

    def entropy(self) -> Tensor:
        """Entropy in nats."""
        nu, p = self.df, self._event_shape[-1]
        front = (p + 1) * (p * LOG_2 / 2 + _log_diagonal(self._unbroadcasted_scale_tril)) + _mvlgamma(nu / 2, p)
        return front - (nu - p - 1) / 2 * _mvdigamma(nu / 2, p) + nu * p / 2

    @property
    def _natural_params(self) -> tuple[Tensor, ...]:
        return -self.precision_matrix / 2, (self.df - self._event_shape[-1] - 1) / 2

    def _log_normalizer(self, x: Any, y: Any) -> Tensor:
        p = self._event_shape[-1]
        a = y + (p + 1) / 2
        return a * (-_ops.logdet(-2 * x) + LOG_2 * p) + _mvlgamma(a, p)


class LKJCholesky(Distribution):
    """Cholesky factors of random correlation matrices, whose density is proportional to the power
    `concentration - 1` of their determinant (Lewandowski, Kurowicka and Joe 2009).

    Args:
        dim: size of the matrices, at least 2.
        concentration: > 0, `[*]`; with 1 all matrices are equally likely, larger ones prefer small correlations.
        validate_args: see `Distribution`.

    Samples are lower triangular with rows of norm 1, drawn by the onion method.

    Example: `L = LKJCholesky(3, 0.5).sample()`; `L @ L.mT` is a correlation matrix.
    """

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim: int, concentration: Any = 1.0, validate_args: bool | None = None) -> None:
        if dim < 2:
            raise InvalidArgumentError(f"Expected dim to be an integer greater than or equal to 2. Found dim={dim}.")
        self.dim = dim
        if not isinstance(concentration, Tensor):
            concentration = words.tensor(float(concentration))
        self.concentration = concentration
        c = concentration.detach()
        # Row i > 0 holds a point in a ball of i dimensions: the square of its norm is a beta variable.
        before = words.arange(dim - 1, dtype=c.dtype, device=c.device)
        before = _ops.cat([_ops.zeros(1, dtype=c.dtype, device=c.device), before])
        marginal = self.concentration + 0.5 * (dim - 2)
        self._beta = Beta(before + 0.5, marginal.unsqueeze(-1) - 0.5 * before)
        super().__init__(concentration.shape, (dim, dim), validate_args=validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """See `Distribution.expand`."""
        new = self._expanded(LKJCholesky, batch_shape, _instance, concentration=0)
        new.dim, new._beta = self.dim, self._beta.expand((*batch_shape, self.dim))
        return new

    def sample(self, sample_shape: Any = ()) -> Tensor:
        """Rows as points in balls; the diagonal completes their norm."""
        shape = self._extended_shape(sample_shape)
        with no_grad():
            y = self._beta.sample(sample_shape).unsqueeze(-1)
            directions = _ops.randn(shape, dtype=y.dtype, device=y.device).tril(-1)
            directions = directions / _ops.vector_norm(directions, 2, -1, True)
            first = words.arange(self.dim, device=y.device).eq(0).unsqueeze(-1)
            w = y.sqrt() * directions.masked_fill(first, 0.0)
            rest = (1 - w.square().sum(-1)).clamp(min=finfo(w.dtype).tiny)
            return w + rest.sqrt().diag_embed()

    def log_prob(self, value: Tensor) -> Tensor:
        """Logarithm of the density of the factors."""
        if self._validate_args:
            self._validate_sample(value)
        n = self.dim - 1
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        c = self.concentration
        order = 2 * (c - 1).unsqueeze(-1) + self.dim - words.arange(2, self.dim + 1, dtype=c.dtype, device=c.device)
        alpha = c + 0.5 * n
        normalizer = 0.5 * n * LOG_PI + _mvlgamma(alpha - 0.5, n) - _ops.lgamma(alpha) * n
        return (order * diagonal.log()).sum(-1) - normalizer
