"""Fourier transforms against NumPy and formulas: lengths, layouts, dtypes, norms; symmetries, refusals, gradients."""

from __future__ import annotations

import doctest
import importlib
import math
import warnings
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch.errors import (
    DTypeError,
    IndexOutOfRangeError,
    InvalidArgumentError,
    OutOfMemoryError,
    RustorchError,
    ShapeMismatchError,
)

RNG = np.random.default_rng(0)
NAMES = [n for n in rt.fft.__all__ if not n.endswith(("freq", "shift"))]
REAL_INPUT = ("rfft", "ihfft")


def numbers(*shape: int) -> Any:
    return RNG.standard_normal(shape) + 1j * RNG.standard_normal(shape)


def near(ours: rt.Tensor, theirs: Any, eps: float = 1e-12) -> None:
    theirs = np.asarray(theirs)
    assert tuple(ours.shape) == theirs.shape
    assert ours.is_complex() == np.iscomplexobj(theirs)
    if theirs.size:
        assert np.abs(ours.numpy() - theirs).max() <= eps * (1 + np.abs(theirs).max())


# Short ones, products of small primes and prime ones; then those that are longer than a plan: a power of two, a product
# of two factors, a prime number, and one times two.
LENGTHS = [*range(1, 40), 97, 127, 128, 255, 256, 1000, 1021, 4099, 65521, 65536]
LONG = [1 << 17, 66000, 65537, 2 * 65537, 131 * 521]


@pytest.mark.parametrize("n", LENGTHS + LONG)
def test_lengths(n: int) -> None:
    z = numbers(n)
    x, half = z.real.copy(), z[: n // 2 + 1].copy()
    t, r, h = rt.from_numpy(z), rt.from_numpy(x), rt.from_numpy(half)
    near(rt.fft.fft(t), np.fft.fft(z))
    near(rt.fft.ifft(t), np.fft.ifft(z))
    near(rt.fft.fft(r), np.fft.fft(x))
    near(rt.fft.ifft(r), np.fft.ifft(x))
    near(rt.fft.rfft(r), np.fft.rfft(x))
    near(rt.fft.ihfft(r), np.fft.ihfft(x))
    near(rt.fft.irfft(h, n), np.fft.irfft(half, n))
    near(rt.fft.hfft(h, n), np.fft.hfft(half, n))
    near(rt.fft.fft(t.to(rt.complex64)), np.fft.fft(z), 2e-6)
    near(rt.fft.rfft(r.float()), np.fft.rfft(x), 2e-6)
    near(rt.fft.irfft(h.to(rt.complex64), n), np.fft.irfft(half, n), 2e-6)


@pytest.mark.parametrize("shape", [(3, 4, 5), (8, 6), (2, 33, 17), (1, 7, 130), (40, 3)])
@pytest.mark.parametrize("norm", [None, "backward", "ortho", "forward"])
def test_dimensions_and_norms(shape: tuple[int, ...], norm: Any) -> None:
    z = numbers(*shape)
    x = z.real.copy()
    t, r = rt.from_numpy(z), rt.from_numpy(x)
    for d in range(-len(shape), len(shape)):
        near(rt.fft.fft(t, dim=d, norm=norm), np.fft.fft(z, axis=d, norm=norm))
        near(rt.fft.rfft(r, dim=d, norm=norm), np.fft.rfft(x, axis=d, norm=norm))
        near(rt.fft.irfft(t, 7, d, norm), np.fft.irfft(z, 7, d, norm))
        near(rt.fft.irfft(t, 8, d, norm), np.fft.irfft(z, 8, d, norm))
        near(rt.fft.fft(r, dim=d, norm=norm), np.fft.fft(x, axis=d, norm=norm))
        near(rt.fft.ihfft(r, dim=d, norm=norm), np.fft.ihfft(x, axis=d, norm=norm))
    near(rt.fft.fftn(t, norm=norm), np.fft.fftn(z, norm=norm))
    near(rt.fft.ifftn(t, norm=norm), np.fft.ifftn(z, norm=norm))
    near(rt.fft.rfftn(r, norm=norm), np.fft.rfftn(x, norm=norm))
    near(rt.fft.irfftn(t, norm=norm), np.fft.irfftn(z, norm=norm))
    near(rt.fft.fft2(r, (5, 2), (1, 0), norm), np.fft.fft2(x, (5, 2), (1, 0), norm))
    other = {"forward": "backward", "ortho": "ortho"}.get(norm, "forward")
    for names, axes in ((("fftn", "ifftn", "rfftn", "irfftn", "hfftn", "ihfftn"), (0, -1)),
                        (("fft2", "ifft2", "rfft2", "irfft2", "hfft2", "ihfft2"), (-1, 0))):  # fmt: skip
        s = (3, 6)
        wanted = [
            np.fft.fftn(z, s, axes, norm), np.fft.ifftn(z, s, axes, norm), np.fft.rfftn(x, s, axes, norm),
            np.fft.irfftn(z, s, axes, norm), np.fft.irfftn(z.conj(), s, axes, other),
            np.fft.rfftn(x, s, axes, other).conj(),
        ]  # fmt: skip
        for name, want in zip(names, wanted):
            given = r if name.startswith(REAL_INPUT) else t
            near(getattr(rt.fft, name)(given, s, axes, norm), want)
            near(getattr(rt.fft, name)(given, s=s, dim=axes, norm=norm), want)


def test_views_are_read_as_they_lie() -> None:
    z = numbers(6, 8, 5)
    t = rt.from_numpy(z)
    near(rt.fft.fft(t.permute(2, 0, 1)), np.fft.fft(z.transpose(2, 0, 1)))
    near(rt.fft.fft(t[::2, 1:7:3], dim=1), np.fft.fft(z[::2, 1:7:3], axis=1))
    near(rt.fft.rfft(t.real, dim=0), np.fft.rfft(z.real, axis=0))
    near(rt.fft.fft(t[:1, 0].expand(4, 5)), np.fft.fft(np.repeat(z[:1, 0], 4, 0)))
    near(rt.fft.irfft(t.mT, dim=1), np.fft.irfft(z.swapaxes(1, 2), axis=1))
    assert np.array_equal(t.numpy(), z)


def test_known_values() -> None:
    n = 12
    impulse, constant = rt.zeros(n, dtype=rt.float64), rt.ones(n, dtype=rt.float64)
    impulse[0] = 1
    assert rt.equal(rt.fft.fft(impulse).real, constant)
    near(rt.fft.fft(constant), n * np.eye(n)[0] + 0j)
    wave = rt.cos(2 * math.pi * 3 * rt.arange(n, dtype=rt.float64) / n)
    near(rt.fft.rfft(wave), np.eye(n)[3][:7] * n / 2 + 0j)
    moved = rt.fft.fft(rt.from_numpy(np.eye(n)[2].copy()))
    near(moved, np.exp(-2j * np.pi * 2 * np.arange(n) / n))


@pytest.mark.parametrize("n", [1, 2, 7, 8, 30, 65537])
def test_theorems(n: int) -> None:
    z, w = rt.from_numpy(numbers(n)), rt.from_numpy(numbers(n))
    energy = float(z.abs().square().sum())
    assert float(rt.fft.fft(z, norm="ortho").abs().square().sum()) == pytest.approx(energy)  # Parseval
    near(rt.fft.ifft(rt.fft.fft(z)), z.numpy())
    near(rt.fft.fft(2 * z + 1j * w), (2 * rt.fft.fft(z) + 1j * rt.fft.fft(w)).numpy())
    x = z.real.contiguous()
    full = rt.fft.fft(x)
    near(full[1:].flip(0), full[1:].conj().numpy())  # Hermitian symmetry
    near(rt.fft.rfft(x), full[: n // 2 + 1].numpy())
    near(rt.fft.irfft(rt.fft.rfft(x), n), x.numpy())
    near(rt.fft.hfft(rt.fft.ihfft(x), n), x.numpy())
    # Imaginary parts that must be zero do not count.
    y = rt.fft.rfft(x)
    y.imag[0] += 3.0
    if n % 2 == 0:
        y.imag[-1] += 3.0
    near(rt.fft.irfft(y, n), x.numpy())


@pytest.mark.parametrize("name", NAMES)
def test_dtypes(name: str) -> None:
    f, real = getattr(rt.fft, name), name.startswith(("irfft", "hfft"))
    values = [[1, 2, 3], [3, 1, 0], [2, 2, 1]]
    for d in (rt.bool, rt.uint8, rt.int16, rt.int64, rt.float32, rt.float64):
        got = f(rt.tensor(values).to(d))
        wide = d is rt.float64
        assert got.dtype is ([rt.complex64, rt.float32], [rt.complex128, rt.float64])[wide][real], d
        want = f(rt.tensor(values).to(d).double())
        assert np.allclose(got.numpy(), want.numpy(), rtol=1e-5, atol=1e-5)
    for d in (rt.complex64, rt.complex128):
        if name.startswith(REAL_INPUT):
            with pytest.raises(DTypeError, match="expects a real input"):
                f(rt.tensor(values).to(d))
        else:
            assert f(rt.tensor(values).to(d)).dtype is (d.to_real() if real else d)
    for d in (rt.float16, rt.bfloat16):
        with pytest.raises(DTypeError, match="unsupported dtype"):
            f(rt.ones(3, 3, dtype=d))
    rt.set_default_dtype(rt.float64)
    try:
        assert f(rt.tensor(values)).dtype is (rt.float64 if real else rt.complex128)
    finally:
        rt.set_default_dtype(rt.float32)


@pytest.mark.parametrize("name", NAMES)
def test_no_elements(name: str) -> None:
    f = getattr(rt.fft, name)
    with pytest.raises(InvalidArgumentError, match=r"data points \(0\)|data points \(-2\)"):
        f(rt.ones(2, 0))
    empty = f(rt.ones(0, 3, 4) if name.endswith(("2", "n")) else rt.ones(0, 4), **_last_two(name))
    assert empty.numel() == 0 and empty.shape[0] == 0
    if not name.startswith(("irfft", "hfft")):  # what there is not is filled up with zeros
        size = {"s": (2, 3)} if name.endswith(("2", "n")) else {"n": 3}
        assert not f(rt.ones(2, 0), **size).abs().any()


def _last_two(name: str) -> dict[str, Any]:
    return {"dim": (1, 2)} if name.endswith("n") else {}


def test_refusals() -> None:
    x = rt.ones(3, 4)
    for call, error, message in [
        (lambda: rt.fft.fft(x, 0), InvalidArgumentError, "data points"),
        (lambda: rt.fft.fft(x, -3), InvalidArgumentError, "data points"),
        (lambda: rt.fft.fft(x, dim=2), IndexOutOfRangeError, "out of range"),
        (lambda: rt.fft.fft(rt.tensor(1.0)), IndexOutOfRangeError, "0-dim"),
        (lambda: rt.fft.fft(x, norm="both"), InvalidArgumentError, "normalization mode"),
        (lambda: rt.fft.fft2(rt.ones(3)), IndexOutOfRangeError, "out of range"),
        (lambda: rt.fft.fftn(x, (1, 2, 3)), ShapeMismatchError, "only 2 dimensions"),
        (lambda: rt.fft.fftn(x, (1, 2), (0,)), ShapeMismatchError, "same length"),
        (lambda: rt.fft.fftn(x, dim=(0, -2)), InvalidArgumentError, "unique"),
        (lambda: rt.fft.rfftn(x, dim=()), InvalidArgumentError, "at least one"),
        (lambda: rt.fft.irfftn(rt.tensor(1.0)), InvalidArgumentError, "at least one"),
        (lambda: rt.fft.irfft(x[:, :1]), InvalidArgumentError, "data points"),
        (lambda: rt.fft.fftfreq(-1), InvalidArgumentError, "non-negative"),
        (lambda: rt.fft.fftfreq(3, dtype=rt.int64), DTypeError, "floating point"),
        (lambda: rt.fft.fft([1.0, 2.0]), DTypeError, "must be a Tensor"),
        (lambda: rt.fft.fft(x, 2.5), DTypeError, "must be an int"),
    ]:
        with pytest.raises(error, match=message):
            call()


@pytest.mark.parametrize("n", [2**40, 2**62, 2**63 - 1])
def test_absurd_sizes(n: int) -> None:
    for call in (
        lambda: rt.fft.fft(rt.ones(3), n),
        lambda: rt.fft.rfft(rt.ones(3), n),
        lambda: rt.fft.irfft(rt.ones(3), n),
        lambda: rt.fft.hfft(rt.ones(3), n),
        lambda: rt.fft.fftn(rt.ones(3, 3), (n, 2)),
        lambda: rt.fft.irfftn(rt.ones(3, 3), (n, n)),
        lambda: rt.fft.fftfreq(n),
        lambda: rt.stft(rt.ones(9), n, return_complex=True),
        lambda: rt.istft(rt.ones(3, 3) + 0j, 4, length=n) if n > 2**40 else rt.empty(2**60),
    ):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises(RustorchError):
                call()
    with pytest.raises((OutOfMemoryError, InvalidArgumentError)):
        rt.fft.fft(rt.ones(3), n)


def test_meta_costs_nothing() -> None:
    x = rt.empty(10**12, device="meta")
    assert rt.fft.rfft(x).shape == (5 * 10**11 + 1,) and rt.fft.fft(x).dtype is rt.complex64
    y = rt.stft(x, 1000, 250, window=rt.empty(1000, device="meta"), return_complex=True)
    assert y.shape == (501, 4 * 10**9 + 1)
    assert rt.istft(y, 1000, 250, window=rt.empty(1000, device="meta")).shape == (10**12,)


def test_out() -> None:
    x, out = rt.randn(4), rt.empty(0, dtype=rt.complex64)
    assert rt.fft.fft(x, out=out) is out
    assert rt.equal(out, rt.fft.fft(x))
    z = rt.randn(4, dtype=rt.complex64)
    want = rt.fft.ifft(z)
    rt.fft.ifft(z, out=z)
    assert rt.equal(z, want)
    with pytest.raises(DTypeError, match="can't be cast"):
        rt.fft.fft(x, out=rt.empty(4))
    with pytest.raises(DTypeError, match="floating point output"):
        rt.fft.irfft(z, out=rt.empty(6, dtype=rt.complex64))
    f = rt.empty(4, dtype=rt.float64)
    assert rt.fft.fftfreq(4, out=f) is f and f.tolist() == [0, 0.25, -0.5, -0.25]


def test_frequencies() -> None:
    for n in (1, 2, 5, 8):
        assert np.allclose(rt.fft.fftfreq(n, 0.5).numpy(), np.fft.fftfreq(n, 0.5))
        assert np.allclose(rt.fft.rfftfreq(n, 0.5).numpy(), np.fft.rfftfreq(n, 0.5))
        x = rt.arange(n)
        assert rt.equal(rt.fft.ifftshift(rt.fft.fftshift(x)), x)
        assert (rt.fft.fftshift(rt.fft.fftfreq(n)).diff() > 0).all()
    assert rt.fft.fftfreq(0).shape == (0,) and rt.fft.rfftfreq(0).shape == (1,)
    assert rt.fft.fftfreq(4, requires_grad=True).requires_grad


def test_results_do_not_depend_on_threads() -> None:
    z = rt.from_numpy(numbers(3, 66000))
    threads = rt.get_num_threads()
    try:
        found = []
        for k in (1, 3):
            rt.set_num_threads(k)
            found.append((rt.fft.fft(z), rt.fft.fft(z[:1]), rt.fft.fft(z, dim=0), rt.fft.rfft(z.real)))
    finally:
        rt.set_num_threads(threads)
    assert all(rt.equal(a, b) for a, b in zip(*found))


# ---- gradients ----


def _tensors(*shape: int) -> tuple[rt.Tensor, rt.Tensor]:
    z = rt.from_numpy(numbers(*shape))
    return z.real.contiguous().requires_grad_(), z.requires_grad_()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("norm", [None, "ortho", "forward"])
@pytest.mark.parametrize("size", [3, 4])
def test_gradients(name: str, norm: Any, size: int) -> None:
    f = getattr(rt.fft, name)
    x, z = _tensors(2, 3)
    inputs = (x,) if name.startswith(REAL_INPUT) else (x, z)
    options: dict[str, Any] = {"s": (2, size)} if name.endswith(("2", "n")) else {"n": size}
    for t in inputs:
        assert rt.autograd.gradcheck(lambda v: f(v, norm=norm, **options), (t,))
        assert rt.autograd.gradgradcheck(lambda v: f(v, norm=norm, **options), (t,))


def test_complex_gradients_are_conjugates() -> None:
    """Of L = |sum of c y|^2 with PyTorch's convention: dL / d conj(z), times two."""
    _, z = _tensors(5)
    c = rt.from_numpy(numbers(5))
    rt.fft.fft(z).mul(c).sum().abs().square().backward()
    matrix = np.exp(-2j * np.pi * np.outer(np.arange(5), np.arange(5)) / 5)
    row = c.numpy() @ matrix
    near(z.grad, 2 * np.conj(row) * (row @ z.detach().numpy()))


# ---- windows of a signal ----


@pytest.mark.parametrize("n_fft,hop,win", [(8, 2, 8), (8, 3, 6), (7, 2, 7), (16, 4, 9)])
@pytest.mark.parametrize("normalized", [False, True])
def test_istft_is_the_inverse(n_fft: int, hop: int, win: int, normalized: bool) -> None:
    x, z = (t.detach() for t in _tensors(2, 60))
    w = rt.hann_window(win, dtype=rt.float64) + 0.1
    options: Any = {"hop_length": hop, "win_length": win, "window": w, "normalized": normalized}
    length = {"length": 50}
    y = rt.stft(x, n_fft, return_complex=True, **options)
    near(rt.istft(y, n_fft, **length, **options), x.numpy()[:, :50])
    near(rt.istft(y[0], n_fft, **length, **options), x.numpy()[0, :50])
    y = rt.stft(x, n_fft, onesided=False, return_complex=True, **options)
    near(rt.istft(y, n_fft, onesided=False, **length, **options), x.numpy()[:, :50])
    y = rt.stft(z, n_fft, **options)
    near(rt.istft(y, n_fft, onesided=False, return_complex=True, **length, **options), z.numpy()[:, :50])
    parts = x.stft(n_fft, return_complex=False, **options)
    near(parts, rt.view_as_real(x.stft(n_fft, return_complex=True, **options)).numpy())


def test_options_of_stft() -> None:
    """Each, also by its place, and the defaults that are not the op's."""
    x, z = numbers(20).real.copy(), numbers(20)
    w = RNG.random(5) + 0.5
    whole = np.pad(w, (1, 2))
    t, window = rt.from_numpy(x), rt.from_numpy(w)

    def want(x: Any, by: Any, hop: int = 3) -> Any:
        return np.stack([by(x[k : k + 8] * whole) for k in range(0, len(x) - 7, hop)], -1)

    padded = {m: np.pad(x, 4, mode=m) for m in ("constant", "reflect", "edge", "wrap")}
    for mode, m in {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}.items():
        y = rt.stft(t, 8, 3, 5, window, True, mode, return_complex=True)
        near(y, want(padded[m], np.fft.rfft))
    near(rt.stft(t, 8, None, 5, window, return_complex=True), want(padded["reflect"], np.fft.rfft, 2))
    near(rt.stft(t, 8, 3, 5, window, False, return_complex=True), want(x, np.fft.rfft))
    near(rt.stft(t, 8, 3, 5, window, False, "reflect", True, return_complex=True), want(x, np.fft.rfft) / 8**0.5)
    near(rt.stft(t, 8, 3, 5, window, False, "reflect", False, False, True), want(x, np.fft.fft))
    near(rt.stft(rt.from_numpy(z), 8, 3, 5, window, False), want(z, np.fft.fft))
    y = rt.stft(t, 8, 3, 5, window, False, return_complex=True, align_to_window=True)
    near(y, want(np.pad(x, (1, 2)), np.fft.rfft))
    assert rt.stft(t, 8, return_complex=False).shape == (5, 11, 2)


def test_options_of_istft() -> None:
    w = RNG.random(8) + 0.5
    window = rt.from_numpy(w)
    for by, frequencies in ((np.fft.irfft, 5), (lambda v: np.fft.ifft(v), 8)):
        y = numbers(frequencies, 4)
        whole = np.zeros(17, np.result_type(by(np.ones(8))))
        weights = np.zeros(17)
        for m in range(4):
            part = by(y[:, m])
            whole[3 * m : 3 * m + 8] += part * w
            weights[3 * m : 3 * m + 8] += w**2
        whole /= weights
        real = frequencies == 5
        more: dict[str, Any] = {} if real else {"onesided": False, "return_complex": True}
        t = rt.from_numpy(y)
        near(rt.istft(t, 8, 3, 8, window, False, **more), whole)
        near(rt.istft(t, 8, 3, 8, window, **more), whole[4:-4])
        near(rt.istft(t, 8, 3, 8, window, True, True, **more), whole[4:-4] * 8**0.5)
        near(rt.istft(t, 8, 3, 8, window, length=6, **more), whole[4:10])
    # As many frequencies as elements are all of them.
    y = np.fft.fft(numbers(8, 3).real, axis=0)
    assert rt.equal(rt.istft(rt.from_numpy(y), 8), rt.istft(rt.from_numpy(y[:5].copy()), 8))


def test_stft_of_a_wave() -> None:
    """A wave of 1/8 of the rate is found at frequency 2 of 16, in every window."""
    x = rt.sin(2 * math.pi * rt.arange(200, dtype=rt.float64) / 8)
    y = rt.stft(x, 16, 4, window=rt.hann_window(16, dtype=rt.float64), center=False, return_complex=True).abs()
    assert y.shape == (9, 47) and (y.argmax(0) == 2).all()
    near(y[2], np.full(47, 4.0))


def test_stft_gradients() -> None:
    x, _ = _tensors(2, 20)
    w = rt.rand(6, dtype=rt.float64) + 0.5
    w.requires_grad_()
    assert rt.autograd.gradcheck(lambda x, w: rt.stft(x, 8, 3, 6, w, return_complex=True), (x, w))
    assert rt.autograd.gradgradcheck(lambda x, w: rt.stft(x, 8, 3, 6, w, return_complex=True), (x, w))
    _, y = _tensors(2, 5, 6)
    v = (rt.rand(8, dtype=rt.float64) + 0.5).requires_grad_()
    assert rt.autograd.gradcheck(lambda y, v: rt.istft(y, 8, 2, window=v), (y, v))
    assert rt.autograd.gradgradcheck(lambda y, v: rt.istft(y, 8, 2, window=v), (y, v))


def test_stft_refusals() -> None:
    x, y = rt.ones(20), rt.ones(5, 4) + 0j
    for call, error, message in [
        (lambda: rt.stft(x, 8), InvalidArgumentError, "return_complex must be given"),
        (lambda: rt.stft(x, 0, return_complex=True), InvalidArgumentError, "n_fft > 0"),
        (lambda: rt.stft(x, 3, return_complex=True), InvalidArgumentError, "hop_length > 0"),
        (lambda: rt.stft(x, 8, 2, 9, return_complex=True), InvalidArgumentError, "win_length <= n_fft"),
        (lambda: rt.stft(x, 21, center=False, return_complex=True), InvalidArgumentError, "n_fft <= 20"),
        (lambda: rt.stft(x, 50, return_complex=True), RustorchError, "adding"),
        (lambda: rt.stft(x, 8, window=rt.ones(7), return_complex=True), ShapeMismatchError, "win_length=8"),
        (lambda: rt.stft(x.long(), 8, return_complex=True), DTypeError, "floating point or complex"),
        (lambda: rt.stft(rt.ones(2, 2, 9), 4, return_complex=True), ShapeMismatchError, "1D or 2D"),
        (lambda: rt.stft(x + 0j, 8, onesided=True), InvalidArgumentError, "onesided"),
        (lambda: rt.stft(x, 8, return_complex=True, align_to_window=True), InvalidArgumentError, "center=False"),
        (lambda: rt.stft(x, 8, return_complex=True, align_to_window=False), InvalidArgumentError, "center=False"),
        (lambda: rt.stft(x, 8, pad_mode="mirror", return_complex=True), RustorchError, "mode must be"),
        (lambda: rt.istft(y.real, 8), DTypeError, "complex-valued"),
        (lambda: rt.istft(y, 10), ShapeMismatchError, "frequency dimension"),
        (lambda: rt.istft(y, 8, onesided=False), ShapeMismatchError, "size 8"),
        (lambda: rt.istft(y[:, :0], 8), InvalidArgumentError, "cannot be empty"),
        (lambda: rt.istft(y[0], 8), ShapeMismatchError, "2 or 3 dimensions"),
        (lambda: rt.istft(y, 8, 9), InvalidArgumentError, "hop_length <= win_length"),
        (lambda: rt.istft(y, 8, window=rt.ones(6)), ShapeMismatchError, "win_length=8"),
        (lambda: rt.istft(y, 8, return_complex=True), InvalidArgumentError, "onesided"),
        (lambda: rt.istft(y, 8, window=rt.ones(8) + 0j), InvalidArgumentError, "complex windows"),
        (lambda: rt.istft(y, 8, window=rt.hann_window(8), center=False), InvalidArgumentError, "overlap"),
        (lambda: rt.istft(y, 8, length=-1), InvalidArgumentError, "length must be"),
    ]:
        with pytest.raises(error, match=message):
            call()


def test_istft_says_what_it_fills_up() -> None:
    y = rt.ones(5, 4) + 0j
    with pytest.warns(UserWarning, match="filled with zeros"):
        x = rt.istft(y, 8, length=12)
    assert x.shape == (12,) and not x[10:].any()


def test_signal_windows() -> None:
    windows = rt.signal.windows
    for name in windows.__all__:
        f = getattr(windows, name)
        options: dict[str, Any] = {"a": [0.5, 0.5]} if name == "general_cosine" else {}
        for m in (2, 7, 8):
            w = f(m, dtype=rt.float64, **options)
            near(w.flip(0), w.numpy())
            near(f(m, sym=False, dtype=rt.float64, **options), f(m + 1, dtype=rt.float64, **options).numpy()[:m])
        assert f(9, **options)[4].item() == pytest.approx(1, abs=1e-6)
        assert f(1, **options).tolist() == [1] and f(0, **options).shape == (0,)
        assert f(3, requires_grad=True, **options).requires_grad
        with pytest.raises(RustorchError, match="non-negative"):
            f(-1, **options)
        with pytest.raises(InvalidArgumentError, match="float32 or float64"):
            f(3, dtype=rt.float16, **options)
    assert rt.equal(windows.hann(8, sym=False), rt.hann_window(8))
    with pytest.raises(InvalidArgumentError, match="symmetric"):
        windows.exponential(3, center=1.0)
    with pytest.raises(InvalidArgumentError, match="cannot be empty"):
        windows.general_cosine(3, a=[])
    with pytest.raises(DTypeError, match="list or a tuple"):
        windows.general_cosine(3, a=0.5)


@pytest.mark.parametrize("name", ["fft", "signal.windows", "words.spectral"])
def test_examples_run(name: str) -> None:
    module = importlib.import_module(f"rustorch.{name}")
    failed, tried = doctest.testmod(module, extraglobs={"rustorch": rt})
    assert tried >= 2 and not failed
