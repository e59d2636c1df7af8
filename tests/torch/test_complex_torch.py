"""complex64 and complex128 beside PyTorch's: making, casts, promotion, printing, exchange, refusals, gradients."""

from __future__ import annotations

import copy
import io
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402

# In the words of both libraries: `t` is the library, `z` and `w` are complex, `x` is real.
SAME = """
t.tensor([1 + 2j]) | t.tensor(1j) | t.tensor([1, 2.5, 3j]) | t.tensor([[1j, 2], [3, 4]])
t.tensor([1, 2], dtype=t.complex128) | t.zeros(2, dtype=t.cfloat) | t.ones(2, dtype=t.cdouble)
t.full((2,), 1 - 2j) | t.full((2,), 3, dtype=t.complex64) | t.eye(2, dtype=t.complex64)
t.empty(3, dtype=t.complex64).fill_(2j) | t.linspace(0, 1 + 1j, 5) | t.zeros_like(z)
z.item() if z.numel() == 1 else z[0].item() | z.tolist() | z.dtype | z.is_complex() | x.is_complex()
z.is_floating_point() | z.real | z.imag | t.view_as_real(z) | t.view_as_complex(t.ones(3, 2)) | t.complex(x, x + 1)
t.polar(x.abs(), x) | z.conj() | t.conj(x) | t.conj_physical(z) | z.is_conj() | z.angle() | x.angle() | z.abs()
z.sgn() | t.real(x) | t.isreal(z) | z.resolve_conj() | z + w | z - w | z * w | z / w | z + 1 | z * 2.5 | z * 1j
1j - z | 1j / z | x + 1j | x * 1j | x.double() * z | z**2 | z**0.5 | z**w | z == w | z != w | z == 1 | x == z
z.exp() | z.log() | z.sqrt() | z.sin() | z.tanh() | z.reciprocal() | z.square() | -z | +z | z.sum() | z.mean()
z.prod() | z.cumsum(0) | z.cumprod(0) | z.std() | z.var() | z.norm() | z.any() | z.all() | z @ w | t.dot(z, w)
t.vdot(z, w) | t.outer(z, w) | z.reshape(3, 1).mH | z.reshape(3, 1) @ w.reshape(1, 3) | t.einsum("i,j->ij", z, w)
t.add(z, w, alpha=2j) | t.addcmul(z, z, w, value=1j)
t.addmm(t.ones(3, 3, dtype=z.dtype), z.reshape(3, 1), w.reshape(1, 3), beta=1j, alpha=2 - 1j) | t.where(x > 0, z, w)
t.where(x > 0, z, 0) | z.masked_fill(x > 0, 1j) | z[x > 0] | z[[2, 0]] | z.flip(0) | t.cat([z, x]) | t.stack([z, w])
z.to(t.complex128) | z.real.double() | x.to(t.complex64) | z.bool() | t.result_type(z, 1.0) | t.result_type(x, 1j)
t.promote_types(t.complex64, t.float64) | t.promote_types(t.int64, t.complex64)
t.promote_types(t.bfloat16, t.complex64) | t.result_type(x, t.tensor(1j, dtype=t.complex128))
t.result_type(t.tensor([1]), 1j) | t.result_type(x.double(), 1j) | t.can_cast(t.complex64, t.float32)
t.can_cast(t.float32, t.complex64) | t.finfo(t.complex64).eps | t.complex64.is_complex | t.complex64.to_real()
t.float64.to_complex() | z.type() | z.element_size() | t.isfinite(z) | t.isnan(z / 0) | t.allclose(z, z + 1e-9)
z.real.stride() | t.view_as_real(z).shape | z.nonzero() | z.count_nonzero() | t.equal(z, z.clone())
z.to(t.float32) | z.float() | z.int() | t.tensor([complex("nan"), complex("inf"), 1]) == 1 | z.repeat(2)
z.unsqueeze(0).mT | t.nn.functional.pad(z, (1, 1)) | z.new_tensor([1, 2])
"""
REFUSED = """
z < w | z > 1 | z.max() | z.min() | z.sort() | z.argmax() | z.floor() | z.round() | z.clamp(0, 1) | t.maximum(z, w)
z % 2 | z // 2 | z.topk(1) | z.median() | z.relu() | t.atan2(z, w) | z.erf() | t.sign(z) | x.fill_(1j) | x.add_(z)
x.add_(1j) | t.imag(x) | t.complex(x, x.double()) | t.view_as_complex(t.ones(3)) | t.view_as_real(x)
t.tensor([1j], dtype=t.float32) | float(z[0]) | int(z[0]) | t.histc(z) | t.bincount(z) | z & w | ~z | t.gcd(z, w)
t.cummax(z, 0) | t.ones(3)[z] | t.trunc(z) | z.hypot(w) | t.searchsorted(x, z) | t.add(x, x, alpha=1j)
t.arange(3, dtype=t.complex64).sort() | t.set_default_dtype(t.complex64)
"""
PRINTED = [
    [1 + 2j],
    [1.5 - 2.25j, -3 + 0.125j],
    [1e-6 + 1j, 3e4 - 2j],
    [complex("nan"), complex("inf"), -1j],
    [0j, -0.0 - 0.0j],
    [[1 + 1j, 2], [3, -4j]],
    [100000 + 1j, 1],
    [],
    [1j] * 30,
    [[1.123456789 + 2j] * 12] * 2,
    [[2j] * 40] * 40,
]


def listed(text: str) -> list[str]:
    return [w.strip() for line in text.strip().splitlines() for w in line.split(" | ")]


def plain(v: Any) -> Any:
    if hasattr(v, "tolist") and hasattr(v, "dtype"):
        return (
            str(v.dtype).split(".")[-1],
            tuple(v.shape),
            [complex(x) for x in np.ravel(np.array(v.tolist(), dtype=complex))],
        )
    if isinstance(v, (tuple, list)):
        return [plain(x) for x in v]
    return v if isinstance(v, (float, complex)) else str(v).replace("rustorch", "torch")


def run(t: Any, words: str) -> Any:
    z = t.tensor([1 + 2j, -0.5 + 0.25j, 0.75 - 3j], dtype=t.complex64)
    w = t.tensor([0.5 - 1j, 2 + 0j, -1.5 + 0.5j], dtype=t.complex64)
    x = t.tensor([1.5, -2.0, 0.25])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(words, {"t": t, "z": z, "w": w, "x": x})


def near(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(near(x, y) for x, y in zip(ours, theirs))
    if isinstance(ours, (complex, float)):
        return bool(np.isclose(ours, theirs, rtol=1e-5, atol=1e-6, equal_nan=True))
    return bool(ours == theirs)


@pytest.mark.parametrize("words", listed(SAME))
def test_as_torch(words: str) -> None:
    ours, theirs = plain(run(rt, words)), plain(run(torch, words))
    assert near(ours, theirs), f"{ours} != {theirs}"


@pytest.mark.parametrize("words", listed(REFUSED))
def test_refused_as_torch(words: str) -> None:
    with pytest.raises((RuntimeError, IndexError, TypeError, ValueError)):
        run(torch, words)
    with pytest.raises((rt.errors.RustorchError, TypeError)):
        run(rt, words)


@pytest.mark.parametrize("values", PRINTED)
def test_printing(values: Any) -> None:
    for kind in ("complex64", "complex128"):
        ours, theirs = (t.tensor(values, dtype=getattr(t, kind)) for t in (rt, torch))
        assert repr(ours).replace("rustorch", "torch") == repr(theirs)


def test_casts_to_real_warn() -> None:
    z = rt.tensor([1 + 2j])
    for f in (
        lambda: z.to(rt.float32),
        lambda: z.float(),
        lambda: z.int(),
        lambda: z.type(rt.float64),
        lambda: rt.ones(1).copy_(z),
    ):
        with pytest.warns(UserWarning, match="discards the imaginary part"):
            assert f().item() == 1


def test_exchange_and_files(tmp_path: Any) -> None:
    for kind in ("complex64", "complex128"):
        a = np.array([[1 + 2j, 3], [4j, -5]], dtype=kind)
        for t in (
            rt.from_numpy(a),
            rt.tensor(a),
            rt.as_tensor(a),
            rt.from_dlpack(a),
            rt.tensor(a.tolist(), dtype=getattr(rt, kind)),
        ):
            assert t.dtype is getattr(rt, kind) and (t.numpy() == a).all() and t.numpy().dtype == a.dtype
            assert (t.t().numpy() == a.T).all() and torch.from_dlpack(t).tolist() == a.tolist()
        shared = rt.from_numpy(a)
        shared.mul_(2)
        assert a[0, 0] == 2 + 4j
        shared.real[0, 0] = 7
        shared.imag.fill_(1)
        assert a[0, 0] == 7 + 1j
        t = rt.tensor(a)
        rt.save({"t": t}, tmp_path / "a.safetensors")
        for u in (rt.load(tmp_path / "a.safetensors")["t"], pickle.loads(pickle.dumps(t)), copy.deepcopy(t)):
            assert u.dtype is t.dtype and u.tolist() == t.tolist()
        buffer = io.BytesIO()
        rt.save(t, buffer)
        buffer.seek(0)
        assert rt.load(buffer).tolist() == t.tolist()
        assert rt.frombuffer(bytearray(a.tobytes()), dtype=getattr(rt, kind)).tolist() == a.ravel().tolist()


def test_random_numbers() -> None:
    for f in ("randn", "rand"):
        for kind in ("complex64", "complex128"):
            rt.manual_seed(3)
            torch.manual_seed(3)
            ours = getattr(rt, f)(5, 4, dtype=getattr(rt, kind))
            theirs = getattr(torch, f)(5, 4, dtype=getattr(torch, kind))
            assert np.allclose(ours.numpy(), theirs.numpy(), rtol=1e-6)


GRADIENTS = [
    "(z * w).real.sum()",
    "(z / w).abs().sum()",
    "z.exp().imag.sum()",
    "(z @ w).abs()",
    "t.vdot(z, w).real",
    "z.abs().sum()",
    "(z.angle() * x).sum()",
    "z.sgn().real.sum()",
    "(z * x).abs().sum()",
    "(x * w).imag.sum()",
    "t.polar(x.abs(), x).real.sum()",
    "t.complex(x, x * 2).abs().sum()",
    "z.conj().mul(w).imag.sum()",
    "(z**2 + w**3).abs().sum()",
    "(z**w).real.sum()",
    "t.view_as_real(z).square().sum()",
    "z.norm()",
    "z.var()",
    "z.prod().abs()",
    "z.cumprod(0).real.sum()",
    "z[[0, 0, 2]].abs().sum()",
    "t.cat([z, w]).log().real.sum()",
    "z.sqrt().tanh().sigmoid().real.sum()",
    "t.where(x > 0, z, w).imag.sum()",
    "t.add(z, w, alpha=2 - 1j).abs().sum()",
    "(z.reshape(3, 1) @ w.reshape(1, 3)).abs().sum()",
    "z.std() + w.mean().abs()",
    "t.einsum('i,j->ij', z, w.conj()).imag.sum()",
    "z.logsumexp(0).real",
    "t.lerp(z, w, 0.25).abs().sum()",
    "z.imag.square().sum()",
    "(z.real * x).sum() + z.imag.sum()",
    "z.reciprocal().abs().sum()",
    "z.masked_fill(x > 0, 1j).abs().sum()",
]


@pytest.mark.parametrize("words", GRADIENTS)
def test_gradients(words: str) -> None:
    found = []
    for t in (rt, torch):
        z = t.tensor([1 + 2j, -0.5 + 0.25j, 0.75 - 3j], dtype=t.complex128, requires_grad=True)
        w = t.tensor([0.5 - 1j, 2 + 0j, -1.5 + 0.5j], dtype=t.complex128, requires_grad=True)
        x = t.tensor([1.5, -2.0, 0.25], dtype=t.float64, requires_grad=True)
        y = eval(words, {"t": t, "z": z, "w": w, "x": x})
        grads = t.autograd.grad(y, (z, w, x), create_graph=True, allow_unused=True)
        there = [g for g in grads if g is not None]
        second = sum((g.abs() ** 2).sum() for g in there)
        again = t.autograd.grad(second, (z, w, x), allow_unused=True) if second.requires_grad else ()
        found.append([None if g is None else g.detach().resolve_conj().numpy() for g in (*grads, *again)])
    assert len(found[0]) == len(found[1])
    for ours, theirs in zip(*found):
        if ours is None or theirs is None:
            assert not np.any(ours if theirs is None else theirs)
        else:
            assert ours.dtype == theirs.dtype and np.allclose(ours, theirs, rtol=1e-9, atol=1e-9), (words, ours, theirs)


def test_backward_of_complex_results() -> None:
    z = rt.tensor([1 + 2j], requires_grad=True)
    with pytest.raises(RuntimeError, match="real scalar outputs"):
        (z * 2).backward()
    (z * 2j).backward(rt.tensor([1 + 1j]))
    other = torch.tensor([1 + 2j], requires_grad=True)
    (other * 2j).backward(torch.tensor([1 + 1j]))
    assert z.grad.tolist() == other.grad.tolist() and z.grad.dtype is rt.complex64


OPTIMIZERS = [
    ("SGD", {"lr": 0.05}), ("SGD", {"lr": 0.05, "momentum": 0.9, "weight_decay": 0.1}), ("Adam", {"lr": 0.05}),
    ("Adam", {"lr": 0.05, "amsgrad": True}), ("AdamW", {"lr": 0.05}), ("RMSprop", {"lr": 0.05}),
    ("RMSprop", {"lr": 0.05, "centered": True, "momentum": 0.5}), ("Adagrad", {"lr": 0.05}), ("Adadelta", {"lr": 1.0}),
    ("Adamax", {"lr": 0.05}), ("NAdam", {"lr": 0.05}), ("RAdam", {"lr": 0.05}), ("ASGD", {"lr": 0.05}),
    ("Rprop", {"lr": 0.05}),
]  # fmt: skip


@pytest.mark.parametrize("name,options", OPTIMIZERS)
def test_optimizers_of_complex_parameters(name: str, options: dict[str, Any]) -> None:
    """They step as on pairs of real numbers, beside real ones."""

    def stepped(m: Any) -> list[complex]:
        p = m.tensor([1 + 2j, 0.5 - 1j], dtype=m.complex128, requires_grad=True)
        q = m.tensor([1.0, 2.0], dtype=m.float64, requires_grad=True)
        optimizer = getattr(m.optim, name)([p, q], **options)
        for _ in range(12):
            optimizer.zero_grad()
            loss = (p.abs() ** 2).sum() + (p * (2 - 1j)).imag.sum() + (q**2).sum() + (p * p).real.sum() * 0.1
            loss.backward()
            optimizer.step()
        return [*p.detach().tolist(), *q.detach().tolist()]

    assert stepped(rt) == pytest.approx(stepped(torch), rel=1e-6)


def test_seeds_are_complex_as_the_output_is() -> None:
    for real, seed in ((1.0, 1j), (1 + 2j, 1.0)):
        for m in (rt, torch):
            x = m.tensor([real], requires_grad=True)
            with pytest.raises(RuntimeError):
                (x * 1).backward(m.tensor([seed]))
