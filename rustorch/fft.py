"""Discrete Fourier transforms: `rustorch.fft`, over the ops of the table.

All take whole numbers (as the default dtype), float32, float64, complex64 and complex128, and give numbers of the same
precision; half floats are refused. They are differentiable as often as wanted. The arguments that they share:

* `n` (`s`, one for each dimension): the size of the signal. The input is cut off there, or filled up with zeros. The
  default is its size (for `s`, -1 stands for that too); for the functions whose results are real, twice that without
  the ends, `2 * (m - 1)`: give `n` where it is odd.
* `dim`: the dimension (or dimensions) that is transformed. Those of several by default transform the last two (names
  with 2), the last ones, as many as `s` has sizes, or all.
* `norm`: what the sums are divided by. "backward", as None: nothing, and the inverse by `n`; "forward": by `n`, and the
  inverse by nothing; "ortho": both by the root of `n`. With several dimensions `n` is the product of their sizes.
* `out`: a tensor for the result; then no gradient is recorded.

Rows of a batch are shared by the threads, and so are the parts of one that is long; an interrupt ends a call between
them.

Raises:
    InvalidArgumentError: no elements along a dimension, an unknown `norm`, a dimension that is named twice.
    DTypeError: a half float, or a complex input where a real one is needed.
    IndexOutOfRangeError: there is no such dimension.
    ShapeMismatchError: `s` and `dim` of different lengths, or more sizes than dimensions.
"""

from __future__ import annotations

from typing import Any

from . import _ops
from ._arguments import into
from ._tensor import Tensor
from .errors import DTypeError

__all__ = [
    "fft",
    "fft2",
    "fftfreq",
    "fftn",
    "fftshift",
    "hfft",
    "hfft2",
    "hfftn",
    "ifft",
    "ifft2",
    "ifftn",
    "ifftshift",
    "ihfft",
    "ihfft2",
    "ihfftn",
    "irfft",
    "irfft2",
    "irfftn",
    "rfft",
    "rfft2",
    "rfftfreq",
    "rfftn",
]


def _out(name: str, input: Tensor, r: Tensor, out: Any) -> Tensor:
    if out is None:
        return r
    if isinstance(out, Tensor) and out.is_complex() and not r.is_complex():
        raise DTypeError(f"{name} expects a floating point output tensor, but got {out.dtype}")
    return into(out, r, name, input)


def fft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Tensor:
    """The discrete Fourier transform: `y[k] = sum of input[j] exp(-2 pi i j k / n)`, complex, `n` numbers.

    Args:
        input: a tensor of any shape.
        n: the size of the signal, that of the input by default.
        dim: the dimension.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with `n` elements along `dim`.

    Example:
        >>> rustorch.fft.fft(rustorch.tensor([0.0, 1.0, 2.0, 3.0])).tolist()
        [(6+0j), (-2+2j), (-2+0j), (-2-2j)]
    """
    return _out("fft_fft", input, _ops.fft_fft(input, n, dim, norm), out)


def ifft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Tensor:
    """The inverse of `fft`: `y[k] = sum of input[j] exp(2 pi i j k / n) / n`.

    Args:
        input: a tensor of any shape.
        n: the size of the signal, that of the input by default.
        dim: the dimension.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with `n` elements along `dim`.

    Example:
        >>> rustorch.fft.ifft(rustorch.tensor([6, -2 + 2j, -2, -2 - 2j])).tolist()
        [0j, (1+0j), (2+0j), (3+0j)]
    """
    return _out("fft_ifft", input, _ops.fft_ifft(input, n, dim, norm), out)


def rfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Tensor:
    """The transform of a real input, of which only the first `n // 2 + 1` numbers are given: `y[n - k]` is the
    conjugate of `y[k]`.

    Args:
        input: a real tensor.
        n: the size of the signal, that of the input by default.
        dim: the dimension.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with `n // 2 + 1` elements along `dim`.

    Example:
        >>> rustorch.fft.rfft(rustorch.tensor([0.0, 1.0, 2.0, 3.0])).tolist()
        [(6+0j), (-2+2j), (-2+0j)]
    """
    return _out("fft_rfft", input, _ops.fft_rfft(input, n, dim, norm), out)


def irfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Tensor:
    """The inverse of `rfft`: `n` real numbers of `n // 2 + 1` complex ones. The imaginary part of `input[0]`, and
    for even `n` that of the last one, do not count.

    Args:
        input: a tensor with (by default) `n // 2 + 1` elements along `dim`.
        n: the size of the signal, `2 * (m - 1)` for `m` elements of the input by default.
        dim: the dimension.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Real, with `n` elements along `dim`.

    Example:
        >>> rustorch.fft.irfft(rustorch.tensor([6, -2 + 2j, -2])).tolist()
        [0.0, 1.0, 2.0, 3.0]
    """
    return _out("fft_irfft", input, _ops.fft_irfft(input, n, dim, norm), out)


def hfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Tensor:
    """The transform, `n` real numbers, of a signal whose elements from the middle on are conjugates of those before:
    `input` holds the first `n // 2 + 1`.

    Args:
        input: a tensor with (by default) `n // 2 + 1` elements along `dim`.
        n: the size of the signal, `2 * (m - 1)` for `m` elements of the input by default.
        dim: the dimension.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Real, with `n` elements along `dim`.

    Example:
        >>> rustorch.fft.hfft(rustorch.tensor([1.5, -0.5 - 0.5j, -0.5])).tolist()
        [0.0, 1.0, 2.0, 3.0]
    """
    return _out("fft_hfft", input, _ops.fft_hfft(input, n, dim, norm), out)


def ihfft(input: Tensor, n: int | None = None, dim: int = -1, norm: str | None = None, *, out: Any = None) -> Tensor:
    """The inverse of `hfft`: the first `n // 2 + 1` numbers of the inverse transform of a real input.

    Args:
        input: a real tensor.
        n: the size of the signal, that of the input by default.
        dim: the dimension.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with `n // 2 + 1` elements along `dim`.

    Example:
        >>> rustorch.fft.ihfft(rustorch.tensor([0.0, 1.0, 2.0, 3.0])).tolist()
        [(1.5-0j), (-0.5-0.5j), (-0.5-0j)]
    """
    return _out("fft_ihfft", input, _ops.fft_ihfft(input, n, dim, norm), out)


def fft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Tensor:
    """`fft` along two dimensions: `y[k, l] = sum of input[i, j] exp(-2 pi i (i k / m + j l / n))`.

    Args:
        input: a tensor of any shape.
        s: the sizes of the signal along `dim`, those of the input by default.
        dim: the two dimensions.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with the sizes `s` along `dim`.

    Example:
        >>> rustorch.fft.fft2(rustorch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
        [[(10+0j), (-2+0j)], [(-4+0j), 0j]]
    """
    return _out("fft_fft2", input, _ops.fft_fft2(input, s, dim, norm), out)


def ifft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Tensor:
    """`ifft` along two dimensions: the inverse of `fft2`.

    Args:
        input: a tensor of any shape.
        s: the sizes of the signal along `dim`, those of the input by default.
        dim: the two dimensions.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with the sizes `s` along `dim`.

    Example:
        >>> rustorch.fft.ifft2(rustorch.tensor([[10, -2], [-4, 0j]])).real.tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    return _out("fft_ifft2", input, _ops.fft_ifft2(input, s, dim, norm), out)


def rfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Tensor:
    """`rfft` along the last of two dimensions, and `fft` along the others.

    Args:
        input: a real tensor.
        s: the sizes of the signal along `dim`, those of the input by default.
        dim: the two dimensions.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with the sizes `s` along `dim`, but `s[-1] // 2 + 1` along the last.

    Example:
        >>> rustorch.fft.rfft2(rustorch.ones(2, 4)).real.tolist()
        [[8.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return _out("fft_rfft2", input, _ops.fft_rfft2(input, s, dim, norm), out)


def irfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Tensor:
    """The inverse of `rfft2`: `ifft` along all of two dimensions but the last, and `irfft` along that.

    Args:
        input: a tensor with (by default) `n // 2 + 1` elements along the last of `dim`.
        s: the sizes of the signal along `dim`, those of the input (of the last one `2 * (m - 1)`) by default.
        dim: the two dimensions.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Real, with the sizes `s` along `dim`.

    Example:
        >>> rustorch.fft.irfft2(rustorch.tensor([[8, 0, 0], [0, 0, 0j]])).tolist()
        [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    return _out("fft_irfft2", input, _ops.fft_irfft2(input, s, dim, norm), out)


def hfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Tensor:
    """`fft` along all of two dimensions but the last, and `hfft` along that.

    Args:
        input: a tensor with (by default) `n // 2 + 1` elements along the last of `dim`.
        s: the sizes of the signal along `dim`, those of the input (of the last one `2 * (m - 1)`) by default.
        dim: the two dimensions.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Real, with the sizes `s` along `dim`.

    Example:
        >>> rustorch.fft.hfft2(rustorch.tensor([[1, 0, 0], [0, 0, 0j]])).tolist()
        [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    return _out("fft_hfft2", input, _ops.fft_hfft2(input, s, dim, norm), out)


def ihfft2(input: Tensor, s: Any = None, dim: Any = (-2, -1), norm: str | None = None, *, out: Any = None) -> Tensor:
    """The inverse of `hfft2`: `ihfft` along the last of two dimensions, and `ifft` along the others.

    Args:
        input: a real tensor.
        s: the sizes of the signal along `dim`, those of the input by default.
        dim: the two dimensions.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with the sizes `s` along `dim`, but `s[-1] // 2 + 1` along the last.

    Example:
        >>> rustorch.fft.ihfft2(rustorch.ones(2, 4)).real.tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return _out("fft_ihfft2", input, _ops.fft_ihfft2(input, s, dim, norm), out)


def fftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Tensor:
    """`fft` along several dimensions: `y[k, l] = sum of input[i, j] exp(-2 pi i (i k / m + j l / n))`.

    Args:
        input: a tensor of any shape.
        s: the sizes of the signal along `dim`, those of the input by default.
        dim: the dimensions; by default the last ones, as many as `s` has sizes, or all.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with the sizes `s` along `dim`.

    Example:
        >>> rustorch.fft.fftn(rustorch.tensor([[1.0, 2.0], [3.0, 4.0]])).tolist()
        [[(10+0j), (-2+0j)], [(-4+0j), 0j]]
    """
    return _out("fft_fftn", input, _ops.fft_fftn(input, s, dim, norm), out)


def ifftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Tensor:
    """`ifft` along several dimensions: the inverse of `fftn`.

    Args:
        input: a tensor of any shape.
        s: the sizes of the signal along `dim`, those of the input by default.
        dim: the dimensions; by default the last ones, as many as `s` has sizes, or all.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with the sizes `s` along `dim`.

    Example:
        >>> rustorch.fft.ifftn(rustorch.tensor([[10, -2], [-4, 0j]])).real.tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    return _out("fft_ifftn", input, _ops.fft_ifftn(input, s, dim, norm), out)


def rfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Tensor:
    """`rfft` along the last of several dimensions, and `fft` along the others.

    Args:
        input: a real tensor.
        s: the sizes of the signal along `dim`, those of the input by default.
        dim: the dimensions; by default the last ones, as many as `s` has sizes, or all.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with the sizes `s` along `dim`, but `s[-1] // 2 + 1` along the last.

    Example:
        >>> rustorch.fft.rfftn(rustorch.ones(2, 4)).real.tolist()
        [[8.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return _out("fft_rfftn", input, _ops.fft_rfftn(input, s, dim, norm), out)


def irfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Tensor:
    """The inverse of `rfftn`: `ifft` along all of several dimensions but the last, and `irfft` along that.

    Args:
        input: a tensor with (by default) `n // 2 + 1` elements along the last of `dim`.
        s: the sizes of the signal along `dim`, those of the input (of the last one `2 * (m - 1)`) by default.
        dim: the dimensions; by default the last ones, as many as `s` has sizes, or all.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Real, with the sizes `s` along `dim`.

    Example:
        >>> rustorch.fft.irfftn(rustorch.tensor([[8, 0, 0], [0, 0, 0j]])).tolist()
        [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    return _out("fft_irfftn", input, _ops.fft_irfftn(input, s, dim, norm), out)


def hfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Tensor:
    """`fft` along all of several dimensions but the last, and `hfft` along that.

    Args:
        input: a tensor with (by default) `n // 2 + 1` elements along the last of `dim`.
        s: the sizes of the signal along `dim`, those of the input (of the last one `2 * (m - 1)`) by default.
        dim: the dimensions; by default the last ones, as many as `s` has sizes, or all.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Real, with the sizes `s` along `dim`.

    Example:
        >>> rustorch.fft.hfftn(rustorch.tensor([[1, 0, 0], [0, 0, 0j]])).tolist()
        [[1.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    """
    return _out("fft_hfftn", input, _ops.fft_hfftn(input, s, dim, norm), out)


def ihfftn(input: Tensor, s: Any = None, dim: Any = None, norm: str | None = None, *, out: Any = None) -> Tensor:
    """The inverse of `hfftn`: `ihfft` along the last of several dimensions, and `ifft` along the others.

    Args:
        input: a real tensor.
        s: the sizes of the signal along `dim`, those of the input by default.
        dim: the dimensions; by default the last ones, as many as `s` has sizes, or all.
        norm: "backward" (None), "forward" or "ortho"; see the module.
        out: where to put the result.

    Returns:
        Complex, with the sizes `s` along `dim`, but `s[-1] // 2 + 1` along the last.

    Example:
        >>> rustorch.fft.ihfftn(rustorch.ones(2, 4)).real.tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """
    return _out("fft_ihfftn", input, _ops.fft_ihfftn(input, s, dim, norm), out)


def fftfreq(
    n: int,
    d: float = 1.0,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The frequencies that the results of `fft` belong to: `[0, 1, .., -2, -1] / (n * d)`.

    Args:
        n: the size of the signal.
        d: the time between two of its elements.
        out: where to put the result.
        dtype: a floating-point dtype, by default the default one (or that of `out`).
        layout: accepted for compatibility.
        device: where the result is made.
        requires_grad: whether operations on it are to be recorded.

    Returns:
        Real, `[n]`.

    Example:
        >>> rustorch.fft.fftfreq(4).tolist()
        [0.0, 0.25, -0.5, -0.25]
    """
    if dtype is None and out is not None:
        dtype = out.dtype
    r = _ops.fft_fftfreq(n, d, dtype=dtype, device=device, requires_grad=requires_grad)
    return r if out is None else into(out, r)


def rfftfreq(
    n: int,
    d: float = 1.0,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """The frequencies that the results of `rfft` belong to: `[0, 1, .., n // 2] / (n * d)`.

    Args:
        n: the size of the signal.
        d: the time between two of its elements.
        out: where to put the result.
        dtype: a floating-point dtype, by default the default one (or that of `out`).
        layout: accepted for compatibility.
        device: where the result is made.
        requires_grad: whether operations on it are to be recorded.

    Returns:
        Real, `[n // 2 + 1]`.

    Example:
        >>> rustorch.fft.rfftfreq(4).tolist()
        [0.0, 0.25, 0.5]
    """
    if dtype is None and out is not None:
        dtype = out.dtype
    r = _ops.fft_rfftfreq(n, d, dtype=dtype, device=device, requires_grad=requires_grad)
    return r if out is None else into(out, r)


def fftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The order of the elements, as `fft` and `fftfreq` give them, changed so that zero is in the middle.

    Args:
        input: a tensor of any shape.
        dim: the dimensions, all by default.

    Returns:
        A tensor like `input`.

    Example:
        >>> rustorch.fft.fftshift(rustorch.tensor([0, 1, 2, -2, -1])).tolist()
        [-2, -1, 0, 1, 2]
    """
    return _ops.fft_fftshift(input, dim)


def ifftshift(input: Tensor, dim: Any = None) -> Tensor:
    """The inverse of `fftshift`.

    Args:
        input: a tensor of any shape.
        dim: the dimensions, all by default.

    Returns:
        A tensor like `input`.

    Example:
        >>> rustorch.fft.ifftshift(rustorch.tensor([-2, -1, 0, 1, 2])).tolist()
        [0, 1, 2, -2, -1]
    """
    return _ops.fft_ifftshift(input, dim)
