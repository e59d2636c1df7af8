"""Special functions under the names of `torch.special`."""

from __future__ import annotations

from ._ops import (
    digamma,
    erf,
    erfc,
    erfinv,
    exp2,
    expm1,
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
from ._ops import sigmoid as expit

psi = digamma

__all__ = [
    "digamma", "erf", "erfc", "erfinv", "exp2", "expit", "expm1", "gammainc", "gammaincc", "gammaln", "log1p",
    "log_softmax", "logit", "logsumexp", "psi", "round", "sinc", "softmax", "xlogy",
]  # fmt: skip
