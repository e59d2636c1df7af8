"""Transforms of variables: maps with an inverse and the logarithm of their Jacobian's determinant.

`t(x)` maps, `t.inv(y)` maps back, `t.log_abs_det_jacobian(x, y)` has one number per event. `domain` and `codomain` are
constraints, whose `event_dim` says how many dimensions on the right one value has.
"""

# What a subclass computes is Any here.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
import operator
import weakref
from functools import reduce
from typing import Any

from .. import _ops, words
from .._tensor import Size
from ..dtypes import finfo
from ..errors import InvalidArgumentError
from . import constraints
from .utils import LOG_2, _softplus, _sum_rightmost, broadcast_all, tril_matrix_to_vec, vec_to_tril_matrix

__all__ = [
    "AbsTransform", "AffineTransform", "CatTransform", "ComposeTransform", "CorrCholeskyTransform",
    "CumulativeDistributionTransform", "ExpTransform", "IndependentTransform", "LowerCholeskyTransform",
    "PositiveDefiniteTransform", "PowerTransform", "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform",
    "SoftplusTransform", "StackTransform", "StickBreakingTransform", "TanhTransform", "Transform", "identity_transform",
]  # fmt: skip


def _padded(t: Any, value: float, after: bool = False) -> Any:
    """One more element in the last dimension: before the others, or after them."""
    return _ops.pad(t, (0, 1) if after else (1, 0), value=value)


class Transform:
    """Base of the transforms.

    Args:
        cache_size: 1 keeps the last pair of value and image, so that going back gives the very tensor that came in, and
            needs no inverse that is inexact or not there; 0 keeps nothing.

    A subclass says its `domain` and `codomain`, `bijective` and, if it is bijective and of numbers, `sign` (1 where it
    grows, -1 where it falls), and has `_call`, and if there are such things `_inverse` and `log_abs_det_jacobian`.
    """

    bijective = False
    domain: Any
    codomain: Any

    def __init__(self, cache_size: int = 0) -> None:
        if cache_size not in (0, 1):
            raise InvalidArgumentError("cache_size must be 0 or 1")
        self._cache_size = cache_size
        self._inv: Any = None
        self._cached_x_y: tuple[Any, Any] = (None, None)
        super().__init__()

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__.copy()
        state["_inv"] = None  # a weak reference, which is made anew
        return state

    @property
    def event_dim(self) -> int:
        """Dimensions of one value, where those are the same on both sides."""
        if self.domain.event_dim == self.codomain.event_dim:
            return int(self.domain.event_dim)
        raise InvalidArgumentError("Please use either .domain.event_dim or .codomain.event_dim")

    @property
    def inv(self) -> Any:
        """The inverse, whose inverse is this transform."""
        inverse = None if self._inv is None else self._inv()
        if inverse is None:
            inverse = _InverseTransform(self)
            self._inv = weakref.ref(inverse)
        return inverse

    @property
    def sign(self) -> Any:
        """1 or -1: the sign of the derivative, of transforms of single numbers."""
        raise NotImplementedError

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with that size of its cache."""
        if self._cache_size == cache_size:
            return self
        if type(self).__init__ is Transform.__init__:
            return type(self)(cache_size=cache_size)
        raise NotImplementedError(f"{type(self)}.with_cache is not implemented")

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __call__(self, x: Any) -> Any:
        """The image of `x`."""
        if self._cache_size == 0:
            return self._call(x)
        known, image = self._cached_x_y
        if x is known:
            return image
        y = self._call(x)
        self._cached_x_y = x, y
        return y

    def _inv_call(self, y: Any) -> Any:
        if self._cache_size == 0:
            return self._inverse(y)
        origin, known = self._cached_x_y
        if y is known:
            return origin
        x = self._inverse(y)
        self._cached_x_y = x, y
        return x

    def _call(self, x: Any) -> Any:
        raise NotImplementedError

    def _inverse(self, y: Any) -> Any:
        raise NotImplementedError

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """`log |det dy/dx|` of the value `x` with the image `y`, one number for each event."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def forward_shape(self, shape: Any) -> Any:
        """The shape of the image of a tensor of shape `shape`."""
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        """The shape of a tensor whose image has the shape `shape`."""
        return shape


class _InverseTransform(Transform):
    """The inverse of a transform, which it holds."""

    def __init__(self, transform: Transform) -> None:
        super().__init__(cache_size=transform._cache_size)
        self._inv: Any = transform

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__.copy()

    @property
    def domain(self) -> Any:
        """Where the other one leads."""
        return self._inv.codomain

    @property
    def codomain(self) -> Any:
        """Where the other one begins."""
        return self._inv.domain

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """As the other one."""
        return bool(self._inv.bijective)

    @property
    def sign(self) -> Any:
        """As that of the other one."""
        return self._inv.sign

    @property
    def inv(self) -> Any:
        """The other one."""
        return self._inv

    def with_cache(self, cache_size: int = 1) -> Any:
        """The inverse of the other one with that size of its cache."""
        return self._inv.with_cache(cache_size).inv

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _InverseTransform) and bool(self._inv == other._inv)

    __hash__ = Transform.__hash__

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._inv!r})"

    def __call__(self, x: Any) -> Any:
        return self._inv._inv_call(x)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """That of the other one, with the other sign."""
        return -self._inv.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape: Any) -> Any:
        """The other one's inverse shape."""
        return self._inv.inverse_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        """The other one's shape."""
        return self._inv.forward_shape(shape)


class ComposeTransform(Transform):
    """Several transforms, the first one first.

    Args:
        parts: the transforms.
        cache_size: see `Transform`; the parts get it too.
    """

    def __init__(self, parts: Any, cache_size: int = 0) -> None:
        self.parts = [p.with_cache(cache_size) for p in parts] if cache_size else list(parts)
        super().__init__(cache_size=cache_size)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_inv": None}

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ComposeTransform) and self.parts == other.parts

    __hash__ = Transform.__hash__

    @constraints.dependent_property
    def domain(self) -> Any:
        """That of the first part, with as many event dimensions as the parts ask for."""
        if not self.parts:
            return constraints.real
        domain = self.parts[0].domain
        # From the end to the beginning: how many dimensions a value has before each part.
        n = self.parts[-1].codomain.event_dim
        for part in reversed(self.parts):
            n += part.domain.event_dim - part.codomain.event_dim
            n = max(n, part.domain.event_dim)
        return domain if n == domain.event_dim else constraints.independent(domain, n - domain.event_dim)

    @constraints.dependent_property
    def codomain(self) -> Any:
        """That of the last part, with as many event dimensions as the parts ask for."""
        if not self.parts:
            return constraints.real
        codomain = self.parts[-1].codomain
        n = self.parts[0].domain.event_dim
        for part in self.parts:
            n += part.codomain.event_dim - part.domain.event_dim
            n = max(n, part.codomain.event_dim)
        return codomain if n == codomain.event_dim else constraints.independent(codomain, n - codomain.event_dim)

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """True if all parts are."""
        return all(p.bijective for p in self.parts)

    @property
    def sign(self) -> Any:
        """The product of the parts'."""
        return reduce(operator.mul, (p.sign for p in self.parts), 1)

    @property
    def inv(self) -> Any:
        """The inverses in the other order."""
        inverse = None if self._inv is None else self._inv()
        if inverse is None:
            inverse = ComposeTransform([p.inv for p in reversed(self.parts)])
            self._inv, inverse._inv = weakref.ref(inverse), weakref.ref(self)
        return inverse

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with that size of its cache."""
        return self if self._cache_size == cache_size else ComposeTransform(self.parts, cache_size=cache_size)

    def __call__(self, x: Any) -> Any:
        for part in self.parts:
            x = part(x)
        return x

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """The sum of the parts'."""
        if not self.parts:
            return _ops.zeros_like(x)
        values = [x]
        for part in self.parts[:-1]:
            values.append(part(values[-1]))
        values.append(y)
        terms, n = [], self.domain.event_dim
        for part, a, b in zip(self.parts, values, values[1:]):
            terms.append(_sum_rightmost(part.log_abs_det_jacobian(a, b), n - part.domain.event_dim))
            n += part.codomain.event_dim - part.domain.event_dim
        return reduce(operator.add, terms)

    def forward_shape(self, shape: Any) -> Any:
        """One part after the other."""
        for part in self.parts:
            shape = part.forward_shape(shape)
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        """One part after the other, from the last one."""
        for part in reversed(self.parts):
            shape = part.inverse_shape(shape)
        return shape

    def __repr__(self) -> str:
        inside = ",\n    ".join(repr(p) for p in self.parts)
        return f"{type(self).__name__}(\n    {inside}\n)"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform whose last batch dimensions are dimensions of the event, so that their Jacobians add up.

    Args:
        base_transform: the transform.
        reinterpreted_batch_ndims: how many more dimensions on the right make one value.
        cache_size: see `Transform`.
    """

    def __init__(self, base_transform: Transform, reinterpreted_batch_ndims: int, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.base_transform = base_transform.with_cache(cache_size)
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with that size of its cache."""
        if self._cache_size == cache_size:
            return self
        return IndependentTransform(self.base_transform, self.reinterpreted_batch_ndims, cache_size=cache_size)

    @constraints.dependent_property
    def domain(self) -> Any:
        """That of the base, for all dimensions together."""
        return constraints.independent(self.base_transform.domain, self.reinterpreted_batch_ndims)

    @constraints.dependent_property
    def codomain(self) -> Any:
        """That of the base, for all dimensions together."""
        return constraints.independent(self.base_transform.codomain, self.reinterpreted_batch_ndims)

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """As the base."""
        return bool(self.base_transform.bijective)

    @property
    def sign(self) -> Any:
        """As that of the base."""
        return self.base_transform.sign

    def _call(self, x: Any) -> Any:
        if x.ndim < self.domain.event_dim:
            raise InvalidArgumentError("Too few dimensions on input")
        return self.base_transform(x)

    def _inverse(self, y: Any) -> Any:
        if y.ndim < self.codomain.event_dim:
            raise InvalidArgumentError("Too few dimensions on input")
        return self.base_transform.inv(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """The sum of the base's."""
        return _sum_rightmost(self.base_transform.log_abs_det_jacobian(x, y), self.reinterpreted_batch_ndims)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.base_transform!r}, {self.reinterpreted_batch_ndims})"

    def forward_shape(self, shape: Any) -> Any:
        """As that of the base."""
        return self.base_transform.forward_shape(shape)

    def inverse_shape(self, shape: Any) -> Any:
        """As that of the base."""
        return self.base_transform.inverse_shape(shape)


class ReshapeTransform(Transform):
    """Gives the dimensions on the right another shape.

    Args:
        in_shape: shape of a value.
        out_shape: shape of its image, with as many elements.
        cache_size: see `Transform`.
    """

    bijective = True

    def __init__(self, in_shape: Any, out_shape: Any, cache_size: int = 0) -> None:
        self.in_shape, self.out_shape = Size(in_shape), Size(out_shape)
        if self.in_shape.numel() != self.out_shape.numel():
            raise InvalidArgumentError("in_shape, out_shape have different numbers of elements")
        super().__init__(cache_size=cache_size)

    @constraints.dependent_property
    def domain(self) -> Any:
        """Real numbers."""
        return constraints.independent(constraints.real, len(self.in_shape))

    @constraints.dependent_property
    def codomain(self) -> Any:
        """Real numbers."""
        return constraints.independent(constraints.real, len(self.out_shape))

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with that size of its cache."""
        if self._cache_size == cache_size:
            return self
        return ReshapeTransform(self.in_shape, self.out_shape, cache_size=cache_size)

    def _call(self, x: Any) -> Any:
        return x.reshape((*x.shape[: x.ndim - len(self.in_shape)], *self.out_shape))

    def _inverse(self, y: Any) -> Any:
        return y.reshape((*y.shape[: y.ndim - len(self.out_shape)], *self.in_shape))

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """Zero."""
        return _ops.zeros(x.shape[: x.ndim - len(self.in_shape)], dtype=x.dtype, device=x.device)

    @staticmethod
    def _other(shape: Any, old: Size, new: Size) -> Size:
        if len(shape) < len(old):
            raise InvalidArgumentError("Too few dimensions on input")
        cut = len(shape) - len(old)
        if tuple(shape[cut:]) != tuple(old):
            raise InvalidArgumentError(f"Shape mismatch: expected {shape[cut:]} but got {old}")
        return Size((*shape[:cut], *new))

    def forward_shape(self, shape: Any) -> Any:
        """With `out_shape` in place of `in_shape`."""
        return self._other(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape: Any) -> Any:
        """With `in_shape` in place of `out_shape`."""
        return self._other(shape, self.out_shape, self.in_shape)


class _Plain(Transform):
    """Base of transforms without options: all of a kind are equal."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    __hash__ = Transform.__hash__


class ExpTransform(_Plain):
    """`y = exp(x)`."""

    domain = constraints.real
    codomain = constraints.positive
    bijective = True
    sign = 1

    def _call(self, x: Any) -> Any:
        return x.exp()

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """`x`."""
        return x


class PowerTransform(Transform):
    """`y = x^exponent` of positive numbers.

    Args:
        exponent: number or tensor, not 0.
        cache_size: see `Transform`.
    """

    domain = constraints.positive
    codomain = constraints.positive
    bijective = True

    def __init__(self, exponent: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        (self.exponent,) = broadcast_all(exponent)

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with that size of its cache."""
        return self if self._cache_size == cache_size else PowerTransform(self.exponent, cache_size=cache_size)

    @property
    def sign(self) -> Any:
        """The exponent's."""
        return self.exponent.sign()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PowerTransform) and bool(self.exponent.eq(other.exponent).all().item())

    __hash__ = Transform.__hash__

    def _call(self, x: Any) -> Any:
        return x.pow(self.exponent)

    def _inverse(self, y: Any) -> Any:
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """`log |exponent y / x|`."""
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape: Any) -> Any:
        """Broadcast with the exponent."""
        return words.broadcast_shapes(shape, self.exponent.shape)

    def inverse_shape(self, shape: Any) -> Any:
        """Broadcast with the exponent."""
        return words.broadcast_shapes(shape, self.exponent.shape)


class SigmoidTransform(_Plain):
    """`y = 1 / (1 + exp(-x))`, at least `eps` away from 1 and `tiny` from 0."""

    domain = constraints.real
    codomain = constraints.unit_interval
    bijective = True
    sign = 1

    def _call(self, x: Any) -> Any:
        f = finfo(x.dtype)
        return _ops.sigmoid(x).clamp(f.tiny, 1 - f.eps)

    def _inverse(self, y: Any) -> Any:
        f = finfo(y.dtype)
        y = y.clamp(f.tiny, 1 - f.eps)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """`-log(1 + exp(-x)) - log(1 + exp(x))`."""
        return -_softplus(-x) - _softplus(x)


class SoftplusTransform(_Plain):
    """`y = log(1 + exp(x))`, and `x` itself above 20."""

    domain = constraints.real
    codomain = constraints.positive
    bijective = True
    sign = 1

    def _call(self, x: Any) -> Any:
        return _ops.softplus(x)

    def _inverse(self, y: Any) -> Any:
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """`-log(1 + exp(-x))`."""
        return -_ops.softplus(-x)


class TanhTransform(_Plain):
    """`y = tanh(x)`. The inverse is inexact near -1 and 1: a cache avoids it."""

    domain = constraints.real
    codomain = constraints.interval(-1.0, 1.0)
    bijective = True
    sign = 1

    def _call(self, x: Any) -> Any:
        return x.tanh()

    def _inverse(self, y: Any) -> Any:
        return y.atanh()

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """`log(1 - y^2)`, from `x`."""
        return 2.0 * (LOG_2 - x - _ops.softplus(-2.0 * x))


class AbsTransform(_Plain):
    """`y = |x|`, of which the inverse takes the positive number."""

    domain = constraints.real
    codomain = constraints.positive

    def _call(self, x: Any) -> Any:
        return x.abs()

    def _inverse(self, y: Any) -> Any:
        return y


class AffineTransform(Transform):
    """`y = loc + scale * x`.

    Args:
        loc: number or tensor.
        scale: number or tensor, not 0.
        event_dim: dimensions of one value: 0, 1 or 2.
        cache_size: see `Transform`.
    """

    bijective = True

    def __init__(self, loc: Any, scale: Any, event_dim: int = 0, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    @property
    def event_dim(self) -> int:
        """Dimensions of one value."""
        return self._event_dim

    def _set(self) -> Any:
        n = self.event_dim
        return constraints.real if n == 0 else constraints.independent(constraints.real, n)

    @constraints.dependent_property(is_discrete=False)
    def domain(self) -> Any:
        """Real numbers."""
        return self._set()

    @constraints.dependent_property(is_discrete=False)
    def codomain(self) -> Any:
        """Real numbers."""
        return self._set()

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with that size of its cache."""
        if self._cache_size == cache_size:
            return self
        return AffineTransform(self.loc, self.scale, self.event_dim, cache_size=cache_size)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AffineTransform):
            return False

        def same(a: Any, b: Any) -> bool:
            if isinstance(a, (int, float)) and isinstance(b, (int, float)):
                return a == b
            return bool((a == b).all().item())

        return same(self.loc, other.loc) and same(self.scale, other.scale)

    __hash__ = Transform.__hash__

    @property
    def sign(self) -> Any:
        """The scale's."""
        if isinstance(self.scale, (int, float)):
            return 1 if self.scale > 0 else -1 if self.scale < 0 else 0
        return self.scale.sign()

    def _call(self, x: Any) -> Any:
        return self.loc + self.scale * x

    def _inverse(self, y: Any) -> Any:
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """`log |scale|`, summed over the event."""
        scale, n = self.scale, self.event_dim
        if isinstance(scale, (int, float)):
            result = _ops.full_like(x, math.log(abs(scale)))
        else:
            result = scale.abs().log()
        if n:
            result = result.expand(words.broadcast_shapes(result.shape, x.shape))
            result = _sum_rightmost(result, n)
        return result.expand(x.shape[: x.ndim - n]) if result.ndim <= x.ndim - n else result

    def _wide(self, shape: Any) -> Any:
        return words.broadcast_shapes(shape, getattr(self.loc, "shape", ()), getattr(self.scale, "shape", ()))

    def forward_shape(self, shape: Any) -> Any:
        """Broadcast with the parameters."""
        return self._wide(shape)

    def inverse_shape(self, shape: Any) -> Any:
        """Broadcast with the parameters."""
        return self._wide(shape)


class CorrCholeskyTransform(Transform):
    """Vectors of `d (d - 1) / 2` real numbers to Cholesky factors of `d x d` correlation matrices.

    `tanh` makes canonical partial correlations of the numbers, which fill the lower triangle row by row; each row is
    then what stick breaking gives for their squares, with their signs (Lewandowski, Kurowicka and Joe 2009).
    """

    domain = constraints.real_vector
    codomain = constraints.corr_cholesky
    bijective = True

    def _call(self, x: Any) -> Any:
        eps = finfo(x.dtype).eps
        r = vec_to_tril_matrix(x.tanh().clamp(-1 + eps, 1 - eps), diag=-1)
        left = (1 - r.square()).sqrt().cumprod(-1)  # of each stick, after each piece
        r = r + _ops.eye(r.shape[-1], dtype=r.dtype, device=r.device)
        return r * _padded(left[..., :-1], 1.0)

    def _inverse(self, y: Any) -> Any:
        # Of the unit sum of squares in a row, what is left before each element.
        left = _padded((1 - y.square().cumsum(-1))[..., :-1], 1.0)
        t = tril_matrix_to_vec(y, diag=-1) / tril_matrix_to_vec(left, diag=-1).sqrt()
        return (t.log1p() - (-t).log1p()) / 2  # atanh

    def log_abs_det_jacobian(self, x: Any, y: Any, intermediates: Any = None) -> Any:
        """The derivatives of `tanh`, and those of the elements by the partial correlations of their rows."""
        left = 1 - y.square().cumsum(-1)
        rows = tril_matrix_to_vec(left, diag=-2).log().sum(-1) / 2
        slopes = -2 * (x + _softplus(-2 * x) - LOG_2)
        return rows + slopes.sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        """`[*, d (d - 1) / 2]` to `[*, d, d]`."""
        if len(shape) < 1:
            raise InvalidArgumentError("Too few dimensions on input")
        n = shape[-1]
        d = round((0.25 + 2 * n) ** 0.5 + 0.5)
        if d * (d - 1) // 2 != n:
            raise InvalidArgumentError("Input is not a flattened lower-diagonal number")
        return Size((*shape[:-1], d, d))

    def inverse_shape(self, shape: Any) -> Any:
        """`[*, d, d]` to `[*, d (d - 1) / 2]`."""
        if len(shape) < 2:
            raise InvalidArgumentError("Too few dimensions on input")
        if shape[-2] != shape[-1]:
            raise InvalidArgumentError("Input is not square")
        d = shape[-1]
        return Size((*shape[:-2], d * (d - 1) // 2))


class SoftmaxTransform(_Plain):
    """`y = exp(x)` scaled to sum 1; the inverse is the logarithm. Not bijective: see `StickBreakingTransform`."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x: Any) -> Any:
        y = (x - x.amax(-1, True)).exp()
        return y / y.sum(-1, True)

    def _inverse(self, y: Any) -> Any:
        return y.log()

    def forward_shape(self, shape: Any) -> Any:
        """The same."""
        if len(shape) < 1:
            raise InvalidArgumentError("Too few dimensions on input")
        return shape

    def inverse_shape(self, shape: Any) -> Any:
        """The same."""
        return self.forward_shape(shape)


class StickBreakingTransform(_Plain):
    """Vectors of `k - 1` real numbers to `k` positive ones of sum 1: a stick is broken piece by piece, each time at the
    fraction `sigmoid(x - log(number of pieces that follow))`.
    """

    domain = constraints.real_vector
    codomain = constraints.simplex
    bijective = True

    @staticmethod
    def _offset(x: Any) -> Any:
        n = x.shape[-1]
        return words.arange(n, 0, -1, dtype=x.dtype, device=x.device).log()

    def _call(self, x: Any) -> Any:
        f = finfo(x.dtype)
        z = _ops.sigmoid(x - self._offset(x)).clamp(f.tiny, 1 - f.eps)
        left = (1 - z).cumprod(-1)
        return _padded(z, 1.0, after=True) * _padded(left, 1.0)

    def _inverse(self, y: Any) -> Any:
        head = y[..., :-1]
        left = (1 - head.cumsum(-1)).clamp(min=finfo(y.dtype).tiny)
        return head.log() - left.log() + self._offset(head)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """The sum of `log y - softplus(x - offset)` and of what makes fractions of the rest."""
        x = x - self._offset(x)
        return (-x + _ops.logsigmoid(x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape: Any) -> Any:
        """One more element."""
        if len(shape) < 1:
            raise InvalidArgumentError("Too few dimensions on input")
        return Size((*shape[:-1], shape[-1] + 1))

    def inverse_shape(self, shape: Any) -> Any:
        """One element less."""
        if len(shape) < 1:
            raise InvalidArgumentError("Too few dimensions on input")
        return Size((*shape[:-1], shape[-1] - 1))


class LowerCholeskyTransform(_Plain):
    """Matrices to lower triangular ones with a positive diagonal: the exponential of the diagonal, zeros above it."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.lower_cholesky

    def _call(self, x: Any) -> Any:
        return x.tril(-1) + x.diagonal(dim1=-2, dim2=-1).exp().diag_embed()

    def _inverse(self, y: Any) -> Any:
        return y.tril(-1) + y.diagonal(dim1=-2, dim2=-1).log().diag_embed()


class PositiveDefiniteTransform(_Plain):
    """Matrices to positive definite ones: `L @ L.mT` for the L of `LowerCholeskyTransform`."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x: Any) -> Any:
        factor = LowerCholeskyTransform()(x)
        return factor @ factor.mT

    def _inverse(self, y: Any) -> Any:
        return LowerCholeskyTransform().inv(_ops.cholesky(y))


class _Several(Transform):
    """Base of transforms of parts of a value along `dim`."""

    transforms: list[Any]

    @property
    def bijective(self) -> bool:  # type: ignore[override]
        """True if all of them are."""
        return all(t.bijective for t in self.transforms)

    @staticmethod
    def _checked(tseq: Any, cache_size: int) -> list[Any]:
        if not all(isinstance(t, Transform) for t in tseq):
            raise AssertionError("All elements of tseq must be Transform instances")
        return [t.with_cache(cache_size) for t in tseq] if cache_size else list(tseq)


class CatTransform(_Several):
    """Transforms of the parts of a value that follow each other along `dim`.

    Args:
        tseq: the transforms.
        dim: the dimension.
        lengths: sizes of the parts; 1 each by default.
        cache_size: see `Transform`.
    """

    def __init__(self, tseq: Any, dim: int = 0, lengths: Any = None, cache_size: int = 0) -> None:
        self.transforms = self._checked(tseq, cache_size)
        super().__init__(cache_size=cache_size)
        self.lengths = [1] * len(self.transforms) if lengths is None else list(lengths)
        if len(self.lengths) != len(self.transforms):
            raise AssertionError(f"got {len(self.lengths)} lengths for {len(self.transforms)} transforms")
        self.dim = dim

    @property
    def event_dim(self) -> int:
        """The most that one of them has."""
        return max(t.event_dim for t in self.transforms)

    @property
    def length(self) -> int:
        """Size of the whole."""
        return sum(self.lengths)

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with that size of its cache."""
        if self._cache_size == cache_size:
            return self
        return CatTransform(self.transforms, self.dim, self.lengths, cache_size)

    def _parts(self, *values: Any) -> Any:
        for v in values:
            if not -v.ndim <= self.dim < v.ndim or v.shape[self.dim] != self.length:
                raise AssertionError(f"expected {self.length} elements along {self.dim}, got shape {tuple(v.shape)}")
        start = 0
        for t, n in zip(self.transforms, self.lengths):
            yield t, *(v.narrow(self.dim, start, n) for v in values)
            start += n

    def _call(self, x: Any) -> Any:
        return _ops.cat([t(a) for t, a in self._parts(x)], self.dim)

    def _inverse(self, y: Any) -> Any:
        return _ops.cat([t.inv(b) for t, b in self._parts(y)], self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """Those of the parts side by side, or their sum if `dim` is a dimension of the event."""
        found = []
        for t, a, b in self._parts(x, y):
            one = t.log_abs_det_jacobian(a, b)
            found.append(_sum_rightmost(one, self.event_dim - t.event_dim) if t.event_dim < self.event_dim else one)
        dim = self.dim - x.ndim if self.dim >= 0 else self.dim
        dim += self.event_dim
        return _ops.cat(found, dim) if dim < 0 else reduce(operator.add, found)

    @constraints.dependent_property
    def domain(self) -> Any:
        """Those of the parts."""
        return constraints.cat([t.domain for t in self.transforms], self.dim, self.lengths)

    @constraints.dependent_property
    def codomain(self) -> Any:
        """Those of the parts."""
        return constraints.cat([t.codomain for t in self.transforms], self.dim, self.lengths)


class StackTransform(_Several):
    """Transforms of the slices of a value along `dim`.

    Args:
        tseq: the transforms.
        dim: the dimension.
        cache_size: see `Transform`.
    """

    def __init__(self, tseq: Any, dim: int = 0, cache_size: int = 0) -> None:
        self.transforms = self._checked(tseq, cache_size)
        super().__init__(cache_size=cache_size)
        self.dim = dim

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with that size of its cache."""
        return self if self._cache_size == cache_size else StackTransform(self.transforms, self.dim, cache_size)

    def _slices(self, *values: Any) -> Any:
        for v in values:
            if not -v.ndim <= self.dim < v.ndim or v.shape[self.dim] != len(self.transforms):
                n = len(self.transforms)
                raise AssertionError(f"expected {n} elements along {self.dim}, got shape {tuple(v.shape)}")
        return zip(self.transforms, *(v.unbind(self.dim) for v in values))

    def _call(self, x: Any) -> Any:
        return _ops.stack([t(a) for t, a in self._slices(x)], self.dim)

    def _inverse(self, y: Any) -> Any:
        return _ops.stack([t.inv(b) for t, b in self._slices(y)], self.dim)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """Those of the slices."""
        return _ops.stack([t.log_abs_det_jacobian(a, b) for t, a, b in self._slices(x, y)], self.dim)

    @constraints.dependent_property
    def domain(self) -> Any:
        """Those of the slices."""
        return constraints.stack([t.domain for t in self.transforms], self.dim)

    @constraints.dependent_property
    def codomain(self) -> Any:
        """Those of the slices."""
        return constraints.stack([t.codomain for t in self.transforms], self.dim)


class CumulativeDistributionTransform(Transform):
    """The cumulative distribution function of a distribution of numbers: `y = cdf(x)`, uniform for its samples.

    Args:
        distribution: one with `cdf`, `icdf` and `log_prob`.
        cache_size: see `Transform`.
    """

    bijective = True
    codomain = constraints.unit_interval
    sign = 1

    def __init__(self, distribution: Any, cache_size: int = 0) -> None:
        super().__init__(cache_size=cache_size)
        self.distribution = distribution

    @property
    def domain(self) -> Any:
        """The support of the distribution."""
        return self.distribution.support

    def _call(self, x: Any) -> Any:
        return self.distribution.cdf(x)

    def _inverse(self, y: Any) -> Any:
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x: Any, y: Any) -> Any:
        """The logarithm of the density."""
        return self.distribution.log_prob(x)

    def with_cache(self, cache_size: int = 1) -> Any:
        """The same transform with that size of its cache."""
        if self._cache_size == cache_size:
            return self
        return CumulativeDistributionTransform(self.distribution, cache_size=cache_size)
