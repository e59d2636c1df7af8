"""Special functions under the names of `torch.special`."""

from __future__ import annotations

from . import _ops
from ._arguments import into, operand
from ._ops import (
    digamma,
    erf,
    erfc,
    erfinv,
    exp2,
    expm1,
    i0,
    log1p,
    log_softmax,
    logit,
    logsumexp,
    round,
    sinc,
    softmax,
    xlogy,
)
from ._ops import igamma as gammainc
from ._ops import igammac as gammaincc
from ._ops import lgamma as gammaln
from ._ops import mvlgamma as multigammaln
from ._ops import sigmoid as expit
from ._ops import special_airy_ai as airy_ai
from ._ops import special_bessel_j0 as bessel_j0
from ._ops import special_bessel_j1 as bessel_j1
from ._ops import special_bessel_y0 as bessel_y0
from ._ops import special_bessel_y1 as bessel_y1
from ._ops import special_entr as entr
from ._ops import special_erfcx as erfcx
from ._ops import special_i0e as i0e
from ._ops import special_i1 as i1
from ._ops import special_i1e as i1e
from ._ops import special_log_ndtr as log_ndtr
from ._ops import special_modified_bessel_k0 as modified_bessel_k0
from ._ops import special_modified_bessel_k1 as modified_bessel_k1
from ._ops import special_ndtr as ndtr
from ._ops import special_ndtri as ndtri
from ._ops import special_scaled_modified_bessel_k0 as scaled_modified_bessel_k0
from ._ops import special_scaled_modified_bessel_k1 as scaled_modified_bessel_k1
from ._ops import special_spherical_bessel_j0 as spherical_bessel_j0
from .errors import DTypeError
from .words.arithmetic import polygamma

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from ._tensor import Tensor

psi = digamma
modified_bessel_i0 = i0
modified_bessel_i1 = i1


def _one_tensor(name: str, a: Any, b: Any) -> tuple[Any, Any]:
    """Two arguments, of which one at least must be a tensor."""
    if not (hasattr(a, "_h") or hasattr(b, "_h")):
        raise DTypeError(f"special.{name}: one of the arguments must be a Tensor, got {a!r} and {b!r}")
    return operand(a), operand(b)


def _of_two(name: str) -> Callable[..., Tensor]:
    """A function of two numbers, of which one may be a plain one."""
    op = getattr(_ops, f"special_{name}")

    def f(input: Any, other: Any, *, out: Any = None) -> Tensor:
        r = op(*_one_tensor(name, input, other))
        return r if out is None else into(out, r)

    return _named(f, name, op)


def _polynomial(name: str) -> Callable[..., Tensor]:
    """Polynomials of degree `n` at `x`, of which one may be a plain number."""
    op = getattr(_ops, f"special_{name}")

    def f(x: Any, n: Any, *, out: Any = None) -> Tensor:
        r = op(*_one_tensor(name, x, n))
        return r if out is None else into(out, r)

    return _named(f, name, op)


def _named(f: Callable[..., Tensor], name: str, op: Any) -> Callable[..., Tensor]:
    f.__name__ = f.__qualname__ = name
    f.__doc__ = op.__doc__
    return f


xlog1py = _of_two("xlog1py")
zeta = _of_two("zeta")
chebyshev_polynomial_t = _polynomial("chebyshev_polynomial_t")
chebyshev_polynomial_u = _polynomial("chebyshev_polynomial_u")
chebyshev_polynomial_v = _polynomial("chebyshev_polynomial_v")
chebyshev_polynomial_w = _polynomial("chebyshev_polynomial_w")
shifted_chebyshev_polynomial_t = _polynomial("shifted_chebyshev_polynomial_t")
shifted_chebyshev_polynomial_u = _polynomial("shifted_chebyshev_polynomial_u")
shifted_chebyshev_polynomial_v = _polynomial("shifted_chebyshev_polynomial_v")
shifted_chebyshev_polynomial_w = _polynomial("shifted_chebyshev_polynomial_w")
hermite_polynomial_h = _polynomial("hermite_polynomial_h")
hermite_polynomial_he = _polynomial("hermite_polynomial_he")
laguerre_polynomial_l = _polynomial("laguerre_polynomial_l")
legendre_polynomial_p = _polynomial("legendre_polynomial_p")

__all__ = [
    "airy_ai", "bessel_j0", "bessel_j1", "bessel_y0", "bessel_y1", "chebyshev_polynomial_t", "chebyshev_polynomial_u",
    "chebyshev_polynomial_v", "chebyshev_polynomial_w", "digamma", "entr", "erf", "erfc", "erfcx", "erfinv", "exp2",
    "expit", "expm1", "gammainc", "gammaincc", "gammaln", "hermite_polynomial_h", "hermite_polynomial_he", "i0", "i0e",
    "i1", "i1e", "laguerre_polynomial_l", "legendre_polynomial_p", "log1p", "log_ndtr", "log_softmax", "logit",
    "logsumexp", "modified_bessel_i0", "modified_bessel_i1", "modified_bessel_k0", "modified_bessel_k1", "multigammaln",
    "ndtr", "ndtri", "polygamma", "psi", "round", "scaled_modified_bessel_k0", "scaled_modified_bessel_k1",
    "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_u", "shifted_chebyshev_polynomial_v",
    "shifted_chebyshev_polynomial_w", "sinc", "softmax", "spherical_bessel_j0", "xlog1py", "xlogy", "zeta",
]  # fmt: skip
