"""Windows, of `M` elements, over the ops of the table.

All are 1 at their middle. With `sym` (the default) they are symmetric, as filters want them; without it they are the
first `M` elements of the symmetric one of `M + 1`, which is periodic, as transforms want them. `dtype` is float32 or
float64, by default the default dtype; `device` is where the window is made, `requires_grad` whether operations on it
are to be recorded, and `layout` is accepted for compatibility.

Raises:
    InvalidArgumentError: a negative `M`, another dtype, a `std` or `tau` that is not positive.
"""

from __future__ import annotations

from typing import Any

from .. import _ops
from .._tensor import Tensor
from ..dtypes import BY_NAME, from_python, get_default_dtype
from ..errors import DTypeError, InvalidArgumentError

__all__ = [
    "bartlett",
    "blackman",
    "cosine",
    "exponential",
    "gaussian",
    "general_cosine",
    "general_hamming",
    "hamming",
    "hann",
    "kaiser",
    "nuttall",
]


def _dtype(name: str, dtype: Any) -> Any:
    d = get_default_dtype() if dtype is None else from_python(dtype)
    if d not in (BY_NAME["float32"], BY_NAME["float64"]):
        raise InvalidArgumentError(f"{name} expects float32 or float64 dtypes, got: {d}")
    return d


def bartlett(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The triangular window, `1 - |2 i / (M - 1) - 1|`.

    Example:
        >>> rustorch.signal.windows.bartlett(5).tolist()
        [0.0, 0.5, 1.0, 0.5, 0.0]
    """
    d = _dtype("bartlett", dtype)
    return _ops.bartlett_window(M, not sym, dtype=d, device=device, requires_grad=requires_grad)


def blackman(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The Blackman window, `0.42 - 0.5 cos(2 pi i / (M - 1)) + 0.08 cos(4 pi i / (M - 1))`.

    Example:
        >>> rustorch.signal.windows.blackman(5).abs().mul(100).round().tolist()
        [0.0, 34.0, 100.0, 34.0, 0.0]
    """
    d = _dtype("blackman", dtype)
    return _ops.blackman_window(M, not sym, dtype=d, device=device, requires_grad=requires_grad)


def cosine(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The sine window, `sin(pi (i + 1/2) / M)`.

    Example:
        >>> rustorch.signal.windows.cosine(3).tolist()
        [0.5, 1.0, 0.5]
    """
    d = _dtype("cosine", dtype)
    return _ops.signal_windows_cosine(M, sym, dtype=d, device=device, requires_grad=requires_grad)


def exponential(
    M: int,
    *,
    center: float | None = None,
    tau: float = 1.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The exponential window, `exp(-|i - center| / tau)`; a `center` other than the middle needs `sym=False`.

    Example:
        >>> rustorch.signal.windows.exponential(3, tau=2.0).mul(100).round().tolist()
        [61.0, 100.0, 61.0]
    """
    d = _dtype("exponential", dtype)
    return _ops.signal_windows_exponential(M, center, tau, sym, dtype=d, device=device, requires_grad=requires_grad)


def gaussian(
    M: int,
    *,
    std: float = 1.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The Gaussian window, `exp(-((i - (M - 1) / 2) / std)^2 / 2)`.

    Example:
        >>> rustorch.signal.windows.gaussian(3).mul(100).round().tolist()
        [61.0, 100.0, 61.0]
    """
    d = _dtype("gaussian", dtype)
    return _ops.signal_windows_gaussian(M, std, sym, dtype=d, device=device, requires_grad=requires_grad)


def general_cosine(
    M: int,
    *,
    a: Any,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """A sum of cosines, `sum of (-1)^k a[k] cos(2 pi k i / (M - 1))`.

    Example:
        >>> rustorch.signal.windows.general_cosine(5, a=[0.5, 0.5]).mul(100).round().tolist()
        [0.0, 50.0, 100.0, 50.0, 0.0]
    """
    d = _dtype("general_cosine", dtype)
    if not isinstance(a, (list, tuple)):
        raise DTypeError(f"general_cosine: coefficients must be a list or a tuple, got {type(a).__name__}")
    if not a:
        raise InvalidArgumentError("general_cosine: coefficients cannot be empty")
    of = Tensor([float(v) for v in a], dtype=BY_NAME["float64"])
    return _ops.signal_windows_general_cosine(M, of, sym, dtype=d, device=device, requires_grad=requires_grad)


def general_hamming(
    M: int,
    *,
    alpha: float = 0.54,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The Hamming window with a coefficient of one's own, `alpha - (1 - alpha) cos(2 pi i / (M - 1))`.

    Example:
        >>> rustorch.signal.windows.general_hamming(3, alpha=0.75).tolist()
        [0.5, 1.0, 0.5]
    """
    d = _dtype("general_hamming", dtype)
    return _ops.hamming_window(M, not sym, alpha, 1 - alpha, dtype=d, device=device, requires_grad=requires_grad)


def hamming(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The Hamming window, `0.54 - 0.46 cos(2 pi i / (M - 1))`.

    Example:
        >>> rustorch.signal.windows.hamming(3).mul(100).round().tolist()
        [8.0, 100.0, 8.0]
    """
    d = _dtype("hamming", dtype)
    return _ops.hamming_window(M, not sym, dtype=d, device=device, requires_grad=requires_grad)


def hann(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """The Hann window, `(1 - cos(2 pi i / (M - 1))) / 2`.

    Example:
        >>> rustorch.signal.windows.hann(4, sym=False).mul(100).round().tolist()
        [0.0, 50.0, 100.0, 50.0]
    """
    d = _dtype("hann", dtype)
    return _ops.hann_window(M, not sym, dtype=d, device=device, requires_grad=requires_grad)


def kaiser(
    M: int,
    *,
    beta: float = 12.0,
    sym: bool = True,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The Kaiser window, `I0(beta sqrt(1 - (2 i / (M - 1) - 1)^2)) / I0(beta)`, `I0` being a modified Bessel function.

    Example:
        >>> rustorch.signal.windows.kaiser(3, beta=0.0).tolist()
        [1.0, 1.0, 1.0]
    """
    d = _dtype("kaiser", dtype)
    if beta < 0:
        raise InvalidArgumentError(f"kaiser: beta must be non-negative, got {beta}")
    return _ops.kaiser_window(M, not sym, beta, dtype=d, device=device, requires_grad=requires_grad)


def nuttall(
    M: int, *, sym: bool = True, dtype: Any = None, layout: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """Nuttall's window, a sum of four cosines with the least side lobes (Nuttall 1981).

    Example:
        >>> rustorch.signal.windows.nuttall(5).mul(100).round().tolist()
        [0.0, 23.0, 100.0, 23.0, 0.0]
    """
    a = [0.3635819, 0.4891775, 0.1365995, 0.0106411]
    return general_cosine(M, a=a, sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad)
