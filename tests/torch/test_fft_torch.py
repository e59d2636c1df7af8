"""Fourier transforms, stft, istft and windows against torch: random arguments, refusals, results and gradients."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

NAMES = [n for n in rt.fft.__all__ if not n.endswith(("freq", "shift"))]
#: What a program may catch where torch raises the first: our own errors are RuntimeErrors and what their name says.
FAMILY = {RuntimeError: RuntimeError, IndexError: IndexError, TypeError: TypeError, ValueError: ValueError}


def outcome(m: Any, call: Any) -> Any:
    """The result, or the kind of error."""
    try:
        return call(m)
    except (RuntimeError, IndexError, TypeError, ValueError) as e:
        return e


#: Where torch fails by accident: transforms of no rows in MKL, results without elements, and windows that are to be
#: aligned where an odd number of elements is to be filled up.
ACCIDENTS = ("MKL FFT error", "min(): Expected reduction dim", "setStorage: sizes", "`shifts` required")


def same(ours: Any, theirs: Any, what: Any, eps: float = 1e-10) -> None:
    if isinstance(theirs, Exception):
        if str(theirs).startswith(ACCIDENTS):
            if str(theirs).startswith(ACCIDENTS[:2]):
                # Of transforms of one element torch takes the end, 0 before the last one, for the first.
                assert not isinstance(ours, Exception), f"{what}: {ours}"
                assert ours.numel() == 0 or "'n_fft': 1," in what, what
            return
        assert isinstance(ours, Exception), f"{what}: torch says {theirs}"
        wanted = FAMILY.get(type(theirs), RuntimeError)
        assert isinstance(ours, wanted), f"{what}: {ours!r}, torch {theirs!r}"
        return
    assert not isinstance(ours, Exception), f"{what}: {ours}"
    assert tuple(ours.shape) == tuple(theirs.shape), f"{what}: {ours.shape}, torch {theirs.shape}"
    assert str(ours.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1], what
    a, b = ours.detach().numpy(), theirs.detach().resolve_conj().numpy()
    if a.size:
        eps = 3e-5 if a.dtype in (np.float32, np.complex64) else eps
        assert np.allclose(a, b, eps, eps, equal_nan=True), f"{what}: {np.abs(a - b).max()}"


def both(name: str, args: Any, options: dict[str, Any], dtype: str | None, eps: float) -> None:
    """Both make something of a dtype, or refuse it."""

    def call(m: Any) -> Any:
        f = m
        for part in name.split("."):
            f = getattr(f, part)
        return f(*args, **options, **({"dtype": getattr(m, dtype)} if dtype else {}))

    ours, theirs = outcome(rt, call), outcome(torch, call)
    same(ours, theirs, (name, args, options, dtype), 2e-3 if dtype == "float16" else eps)


def pair(*shape: int, dtype: str, seed: int) -> dict[Any, Any]:
    g = np.random.default_rng(seed)
    a = g.standard_normal(shape)
    if dtype.startswith("complex"):
        a = a + 1j * g.standard_normal(shape)
    elif not dtype.startswith("float"):
        a = g.integers(0, 3, shape)
    a = np.asarray(a).astype(dtype)
    return {rt: rt.from_numpy(a.copy()), torch: torch.from_numpy(a.copy())}


def gradients(x: dict[Any, Any], call: Any, what: Any) -> None:
    """First derivatives, and those of them, of sums with fixed weights."""
    found: dict[Any, list[Any]] = {}
    for m in (rt, torch):
        leaf = x[m].clone().requires_grad_()
        y = call(m, leaf)
        y = m.view_as_real(y.resolve_conj()) if y.is_complex() else y
        w = m.linspace(0.5, 1.5, y.numel(), dtype=y.dtype).reshape(y.shape)
        (g,) = m.autograd.grad((y * y * w).sum(), leaf, create_graph=True)
        flat = m.view_as_real(g.resolve_conj()) if g.is_complex() else g
        v = m.linspace(-1.0, 1.0, flat.numel(), dtype=flat.dtype).reshape(flat.shape)
        (h,) = m.autograd.grad((flat * flat * v).sum(), leaf)
        found[m] = [g, h]
    for k, (ours, theirs) in enumerate(zip(found[rt], found[torch])):
        same(ours, theirs, f"{what}, derivative {k + 1}", 1e-8)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(60))
def test_transforms(name: str, seed: int) -> None:
    r = random.Random(f"{name} {seed}")
    several = name.endswith(("2", "n")) and name not in ("fft",)
    ndim = r.choice([0, 1, 1, 2, 2, 3, 3, 4])
    shape = [r.choice([0, 1, 2, 3, 4, 5, 6, 8]) if r.random() < 0.9 else r.choice([7, 11, 16, 17]) for _ in range(ndim)]
    dtype = r.choice(["float64", "float64", "float32", "complex128", "complex64", "int64", "uint8", "bool", "float16"])
    x = pair(*shape, dtype=dtype, seed=seed)
    options: dict[str, Any] = {}
    if r.random() < 0.6:
        options["norm"] = r.choice([None, "backward", "ortho", "forward", "forward", "ortho", "wrong"])
    place = lambda: r.randint(-ndim - (r.random() < 0.1), max(ndim - 1, 0) + (r.random() < 0.1))  # noqa: E731
    size = lambda: r.choice([1, 2, 3, 4, 5, 7, 8, 9, -1, 0]) if r.random() < 0.3 else r.randint(1, 9)  # noqa: E731
    if several:
        k = r.randint(0, ndim + 1)
        if r.random() < 0.5:
            dims = r.sample(range(-ndim, 0), min(k, ndim)) if r.random() < 0.8 else [place() for _ in range(k)]
            options["dim"] = tuple(dims)
        if r.random() < 0.5:
            n = len(options["dim"]) if "dim" in options else 2 if name.endswith("2") else k
            options["s"] = tuple(size() for _ in range(n + (r.random() < 0.1)))
    else:
        if r.random() < 0.5:
            options["n"] = size()
        if r.random() < 0.7:
            options["dim"] = place()
    transposed = ndim >= 2 and r.random() < 0.3

    def call(m: Any, t: Any) -> Any:
        return getattr(m.fft, name)(t.transpose(0, 1) if transposed else t, **options)

    what = f"{name}({dtype}{shape}, {options}, transposed={transposed})"
    theirs = outcome(torch, lambda m: call(m, x[m]))
    same(outcome(rt, lambda m: call(m, x[m])), theirs, what)
    if not isinstance(theirs, Exception) and theirs.numel() and dtype in ("float64", "complex128"):
        gradients(x, call, what)


def sizes_of_windows(r: random.Random) -> dict[str, Any]:
    n = r.choice([1, 2, 4, 5, 6, 7, 8, 9, 12, 16])
    options: dict[str, Any] = {"n_fft": n}
    if r.random() < 0.7:
        options["hop_length"] = r.choice([1, 2, 3, max(n // 2, 1), n, 0, n + 1] if r.random() < 0.3 else [1, 2, 3])
    if r.random() < 0.5:
        options["win_length"] = r.choice([n, max(n - 1, 1), max(n - 2, 1), max(n // 2, 1), n + (r.random() < 0.2)])
    return options


@pytest.mark.parametrize("seed", range(500))
def test_stft(seed: int) -> None:
    r = random.Random(seed)
    options = sizes_of_windows(r)
    n, dtype = options["n_fft"], r.choice(["float64", "float64", "complex128", "float32", "int64"])
    shape = r.choice([(20,), (2, 20), (3, 31), (9,), (1, 17), (2, 2, 9) if r.random() < 0.2 else (2, 24)])
    x = pair(*shape, dtype=dtype, seed=seed)
    w: dict[Any, Any] = {rt: None, torch: None}
    if r.random() < 0.7:
        length = options.get("win_length", n) + (r.random() < 0.05)
        w = pair(length, dtype="complex128" if r.random() < 0.15 else r.choice([dtype, "float64"]), seed=seed + 1)
    for key, values in {
        "center": [True, False], "pad_mode": ["reflect", "constant", "replicate", "circular"],
        "normalized": [True, False], "onesided": [True, False, None], "return_complex": [True, True, True, False, None],
        "align_to_window": [True, False, None],
    }.items():  # fmt: skip
        if key == "return_complex" or r.random() < (0.15 if key == "align_to_window" else 0.5):
            options[key] = r.choice(values)
    if options.get("center") is False and r.random() < 0.4:
        options["align_to_window"] = True
    what = f"stft({dtype}{list(shape)}, {options}, window={w[torch] is not None and (w[torch].dtype, len(w[torch]))})"
    call = lambda m, t: m.stft(t, window=w[m], **options)  # noqa: E731
    theirs = outcome(torch, lambda m: call(m, x[m]))
    same(outcome(rt, lambda m: call(m, x[m])), theirs, what)
    if not isinstance(theirs, Exception) and theirs.dtype in (torch.float64, torch.complex128) and dtype in (
        "float64", "complex128",
    ):  # fmt: skip
        gradients(x, call, what)
        if w[torch] is not None and w[torch].dtype in (torch.float64, torch.complex128):
            gradients(w, lambda m, v: m.stft(x[m], window=v, **options), what + " window")


@pytest.mark.parametrize("seed", range(500))
def test_istft(seed: int) -> None:
    r = random.Random(seed)
    options = sizes_of_windows(r)
    n = options["n_fft"]
    dtype = r.choice(["complex128", "complex128", "complex64", "float64"] if seed % 5 else ["complex128"])
    for key, values in {
        "center": [True, False], "normalized": [True, False], "onesided": [True, False, None],
        "return_complex": [True, False], "length": [5, 9, 14, 40, 1, 0],
    }.items():  # fmt: skip
        if r.random() < 0.5:
            options[key] = r.choice(values)
    onesided = options.get("onesided", r.random() < 0.5)
    frequencies = n // 2 + 1 if onesided else n
    shape = (frequencies + (r.random() < 0.05), r.randint(1, 9))
    shape = r.choice([shape, (2, *shape), (2, *shape), (1, 1, *shape) if r.random() < 0.1 else shape])
    x = pair(*shape, dtype=dtype, seed=seed)
    w: dict[Any, Any] = {rt: None, torch: None}
    if r.random() < 0.7:
        length = options.get("win_length", n) + (r.random() < 0.05)
        kind = "float32" if dtype == "complex64" else "float64"
        w = pair(length, dtype="complex128" if r.random() < 0.1 else kind, seed=seed + 1)
    what = f"istft({dtype}{list(shape)}, {options}, window={w[torch] is not None and (w[torch].dtype, len(w[torch]))})"
    call = lambda m, t: m.istft(t, window=w[m], **options)  # noqa: E731
    theirs = outcome(torch, lambda m: call(m, x[m]))
    ours = outcome(rt, lambda m: call(m, x[m]))
    if not isinstance(theirs, Exception) and theirs.dtype is torch.float32:
        assert tuple(ours.shape) == tuple(theirs.shape), what
        scale = float(theirs.abs().max()) if theirs.numel() else 0
        assert np.allclose(ours.numpy(), theirs.numpy(), 1e-3, 1e-5 * (1 + scale)), what
        return
    same(ours, theirs, what, 1e-8)
    if not isinstance(theirs, Exception) and theirs.numel() and dtype == "complex128":
        gradients(x, call, what)
        if w[torch] is not None:
            gradients(w, lambda m, v: m.istft(x[m], window=v, **options), what + " window")


WINDOWS: dict[str, list[dict[str, Any]]] = {
    "hann_window": [{}], "bartlett_window": [{}], "blackman_window": [{}],
    "hamming_window": [{}, {"alpha": 0.6}, {"alpha": 0.7, "beta": 0.1}],
    "kaiser_window": [{}, {"beta": 3.5}, {"beta": 0.0}],
}  # fmt: skip


@pytest.mark.parametrize("name", WINDOWS)
def test_windows(name: str) -> None:
    for options in WINDOWS[name]:
        for n in (0, 1, 2, 3, 8, 13, -1):
            for periodic in (None, True, False):
                for dtype in (None, "float32", "float64", "float16", "int64"):
                    if options and periodic is None:
                        continue  # torch wants both
                    given = dict(options) | ({} if periodic is None else {"periodic": periodic})
                    both(name, (n,), given, dtype, 1e-7)


SIGNAL: dict[str, list[dict[str, Any]]] = {
    "bartlett": [{}], "blackman": [{}], "cosine": [{}], "hamming": [{}], "hann": [{}], "nuttall": [{}],
    "exponential": [{}, {"tau": 2.5}, {"tau": 0.0}, {"tau": -1.0}, {"center": 1.5}, {"center": 0.0, "tau": 3.0}],
    "gaussian": [{}, {"std": 2.0}, {"std": 0.0}, {"std": -1.0}],
    "general_cosine": [{}, {"a": [0.5, 0.3, 0.2]}, {"a": (1.0,)}, {"a": []}, {"a": 0.5}, {"a": [1, 2]}],
    "general_hamming": [{}, {"alpha": 0.7}],
    "kaiser": [{}, {"beta": 2.0}, {"beta": 0.0}, {"beta": -1.0}],
}  # fmt: skip


@pytest.mark.parametrize("name", SIGNAL)
def test_signal_windows(name: str) -> None:
    assert sorted(SIGNAL) == sorted(torch.signal.windows.__all__) == sorted(rt.signal.windows.__all__)
    for options in SIGNAL[name]:
        for n in (0, 1, 2, 3, 8, 13, -1):
            for sym in (None, True, False):
                for dtype in (None, "float32", "float64", "float16", "int64"):
                    if n < 2 and options.get("a") in ([], 0.5):
                        continue  # torch does not look at them
                    given = dict(options) | ({} if sym is None else {"sym": sym})
                    both(f"signal.windows.{name}", (n,), given, dtype, 1e-6 if dtype else 1e-5)


def test_everything_is_there() -> None:
    assert {n for n in dir(torch.fft) if "fft" in n and not n.startswith("_")} == set(rt.fft.__all__)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float32", "complex64", "complex128", "float64", "int64"])
def test_out(name: str, dtype: str) -> None:
    x = pair(3, 4, dtype="float32", seed=1)

    def call(m: Any) -> Any:
        out = m.empty(0, dtype=getattr(m, dtype))
        assert getattr(m.fft, name)(x[m], out=out) is out
        return out

    if dtype == "complex128" and name in ("ifft", "ihfft"):
        return  # torch takes such a tensor from the other functions only
    same(outcome(rt, call), outcome(torch, call), (name, dtype), 1e-5)


@pytest.mark.parametrize("name", ["fftfreq", "rfftfreq"])
@pytest.mark.parametrize("args", [(5,), (8,), (1,), (0,), (-1,), (6, 0.5), (6, 2), (6, -1.5), (3, 0.0)])
def test_frequencies(name: str, args: Any) -> None:
    if name == "rfftfreq" and args == (-1,):
        return  # torch finds one frequency there
    for dtype in (None, "float64", "float32", "int64", "complex64"):
        both(f"fft.{name}", args, {}, dtype, 1e-6)


@pytest.mark.parametrize("name", ["fftshift", "ifftshift"])
@pytest.mark.parametrize("dim", [None, 0, -1, (0, 1), (1,), (), 2, (0, 0)])
def test_shifts(name: str, dim: Any) -> None:
    x = pair(3, 4, dtype="int64", seed=0)
    same(*(outcome(m, lambda m: getattr(m.fft, name)(x[m], dim)) for m in (rt, torch)), (name, dim))
