"""Transforms of the windows of a signal."""

from __future__ import annotations

from .. import _ops
from ..errors import InvalidArgumentError
from .common import _is_tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._tensor import Tensor


def _is_complex(input: Tensor, window: Any) -> bool:
    return bool(input.is_complex() or (_is_tensor(window) and window.is_complex()))


def stft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    pad_mode: str = "reflect",
    normalized: bool = False,
    onesided: bool | None = None,
    return_complex: bool | None = None,
    align_to_window: bool | None = None,
) -> Tensor:
    """The short-time Fourier transform.

    `y[b, k, m] = sum of window[j] input[b, m hop_length + j] exp(-2 pi i j k / n_fft)`.

    Args:
        input: the signal, `[T]` or `[B, T]`.
        n_fft: elements of a transform.
        hop_length: elements between the begins of two of them, `n_fft // 4` by default.
        win_length: elements of the window, `n_fft` by default; a shorter one stands in the middle of the transform.
        window: `[win_length]`, ones by default.
        center: pad the signal by `n_fft // 2` at both ends, so that transform `m` is that around element
            `m * hop_length`.
        pad_mode: how, as for `nn.functional.pad`.
        normalized: divide by the root of `n_fft`.
        onesided: give the first `n_fft // 2 + 1` frequencies only. The default is True, but False for complex signals
            or windows, for which it may not be True.
        return_complex: give complex numbers; else real and imaginary parts are a last dimension of size 2. Must be
            given, but for complex signals or windows.
        align_to_window: without `center`, let the first window begin where the signal does, not the transform around
            it.

    Returns:
        `[B, frequencies, windows]`, without `B` if the signal has no batch.

    Raises:
        InvalidArgumentError, ShapeMismatchError, DTypeError: sizes that do not fit, a signal of whole numbers.

    Example:
        >>> y = rustorch.stft(rustorch.ones(8), 4, window=rustorch.hann_window(4), return_complex=True)
        >>> y.shape, y[0, 0].item()
        (rustorch.Size([3, 9]), (2+0j))
    """
    if center and align_to_window is not None:
        raise InvalidArgumentError("stft: align_to_window should only be set when center=False")
    is_complex = _is_complex(input, window)
    if return_complex is None:
        if not is_complex:
            raise InvalidArgumentError("stft: return_complex must be given for real inputs")
        return_complex = True
    onesided = not is_complex if onesided is None else onesided
    return _ops.stft(
        input, n_fft, hop_length, win_length, window, center, pad_mode, normalized, onesided, return_complex,
        False if align_to_window is None else align_to_window,
    )  # fmt: skip


def istft(
    input: Tensor,
    n_fft: int,
    hop_length: int | None = None,
    win_length: int | None = None,
    window: Tensor | None = None,
    center: bool = True,
    normalized: bool = False,
    onesided: bool | None = None,
    length: int | None = None,
    return_complex: bool = False,
) -> Tensor:
    """The inverse of `stft`: the signal whose transforms differ least from `input` (Griffin and Lim 1984).

    The inverse transforms, each times the window, are added up and divided by the sum of the squares of the windows,
    which must not vanish anywhere.

    Args:
        input: complex, `[.., frequencies, windows]`: what `stft` gave with these arguments.
        n_fft, hop_length, win_length, window, center, normalized: as for `stft`.
        onesided: whether `input` has `n_fft // 2 + 1` frequencies, or `n_fft`. The default is the former, but the
            latter if the input has `n_fft`.
        length: elements of the result; by default from the middle of the first window to that of the last (with
            `center`), or all that they cover. What no window reaches is zero, with a warning.
        return_complex: the signal is complex; needs `onesided=False`.

    Returns:
        `[B, T]` or `[T]`.

    Raises:
        InvalidArgumentError, ShapeMismatchError, DTypeError: sizes that do not fit, a real input, windows that do not
            overlap.

    Example:
        >>> x, w = rustorch.arange(8.0), rustorch.hann_window(4)
        >>> y = rustorch.stft(x, 4, window=w, return_complex=True)
        >>> rustorch.istft(y, 4, window=w).allclose(x, atol=1e-5)
        True
    """
    if onesided is None:
        onesided = input.ndim < 2 or input.shape[-2] != n_fft
    r = _ops.istft(
        input, n_fft, hop_length, win_length, window, center, normalized, onesided, length, return_complex
    )  # fmt: skip
    if length is not None:
        covered = n_fft + (input.shape[-1] - 1) * (n_fft // 4 if hop_length is None else hop_length)
        if length > covered - (n_fft // 2 if center else 0):
            import warnings

            warnings.warn(
                f"istft: the windows cover {covered} elements; the rest of the {length} asked for is filled with zeros",
                stacklevel=2,
            )
    return r
