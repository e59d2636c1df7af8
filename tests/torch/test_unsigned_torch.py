"""uint16, uint32 and uint64: what PyTorch gives, and what it refuses."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402

# In the words of both libraries: `t` is the library, `a` and `b` are vectors of the dtype `d`.
SAME = """
a * b | a / b | a & b | t.bitwise_or(a, b) | a ^ b | a == b | a != b | a.sum() | a.prod() | a.sort() | a.argsort()
a.unique() | a.cumsum(0) | a.any() | a.all() | t.where(a == b, a, b) | a.sin() | a.exp() | a.sqrt() | a + 1.5
a * 2.5 | a * 2 | a.mul_(2) | a.float() | a[1] | a[a == 2] | a[[1, 0]] | t.cat([a, b]) | t.stack([a, b]) | a.roll(1)
a.repeat(2) | a.fill_(3) | t.zeros(3, dtype=d) | t.full((2,), 7, dtype=d) | t.empty(2, dtype=d).fill_(3.7)
a.bool() | a.tolist() | a[0].item() | t.equal(a, b) | t.result_type(a, 1) | t.result_type(a, 1.0)
t.promote_types(d, t.float16) | t.can_cast(d, t.int64) | a.type() | t.isnan(a) | t.isfinite(a) | a.float().to(d)
t.tensor([-1.5, 70000.0]).to(d) | t.tensor([-1, 2**40]).to(d) | a.copysign(b) | t.nn.functional.pad(a, (1, 1))
t.ones(4) + a | t.iinfo(d).max | d.is_signed | t.zeros(4).copy_(a) | a.nan_to_num() | a.round() | a.floor()
a.diag() | t.outer(a, b) | a.new_ones(2) | t.ones_like(a) | a.sum(dtype=t.int64) | t.allclose(a, b)
t.isclose(a, b) | t.tensor([1, 2], dtype=d) | repr(a) | a.view(2, 2).t() | a.long() | t.tensor([60000], dtype=d)
a.clone() | a.reshape(2, 2) | a.int() | a.double() | a.unbind() | a.is_signed()
"""
REFUSED = """
a + b | a - b | a + 1 | a + (-1) | a // b | a % b | a**2 | a**b | -a | ~a | a << b | a >> b | a < b | a.max()
a.max(0) | a.amax() | a.mean() | a.argmax() | t.maximum(a, b) | a.abs() | a.sign() | a.clamp(2, 3) | a.long() + b
a + b.int() | a + b.to(t.uint8) | a == b.long() | a < b.long() | a.gather(0, t.tensor([0, 1]))
a.index_select(0, t.tensor([0, 1])) | a.masked_fill(a == 2, 7) | a.scatter(0, t.tensor([0, 1]), b)
a.masked_select(a == 2) | a.flip(0) | t.arange(5, dtype=d) | t.eye(2, dtype=d) | t.linspace(0, 4, 5, dtype=d)
a.nonzero() | t.isin(a, b) | a.dot(b) | a @ b | a.logical_not() | t.gcd(a, b) | a.logical_and(b)
a.view(2, 2).tril() | t.promote_types(d, t.uint8) | t.promote_types(d, t.int64) | t.promote_types(d, t.bool)
a.square() | a.std() | t.median(a) | a.topk(2) | t.bincount(a) | t.searchsorted(a, b) | a.addcmul(b, b) | a.add_(b)
a.lerp(b, 0.5) | t.nn.functional.one_hot(a) | t.ones(9)[a] | t.ones(9).index_select(0, a) | a.count_nonzero()
a.aminmax() | a.cummax(0) | a.sum(dtype=d) | a.fmod(b) | a.mode() | a.kthvalue(1) | a.softmax(0) | t.bernoulli(a)
a.requires_grad_() | t.cat([a, b.int()]) | t.promote_types(d, t.uint16 if d != t.uint16 else t.uint32)
"""


def listed(text: str) -> list[str]:
    return [w.strip() for line in text.strip().splitlines() for w in line.split(" | ")]


def plain(v: Any) -> Any:
    if hasattr(v, "tolist") and hasattr(v, "dtype"):
        return str(v.dtype).split(".")[-1], tuple(v.shape), [complex(x) for x in np.ravel(v.tolist())]
    if isinstance(v, (tuple, list)):
        return [plain(x) for x in v]
    return str(v).replace("rustorch", "torch")


def run(t: Any, kind: str, words: str) -> Any:
    d = getattr(t, kind)
    a, b = t.tensor([1, 2, 3, 7], dtype=d), t.tensor([2, 2, 5, 3], dtype=d)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return eval(words, {"t": t, "a": a, "b": b, "d": d})


def near(ours: Any, theirs: Any) -> bool:
    if isinstance(ours, (list, tuple)) and isinstance(theirs, (list, tuple)):
        return len(ours) == len(theirs) and all(near(x, y) for x, y in zip(ours, theirs))
    return bool(np.isclose(ours, theirs, rtol=1e-6)) if isinstance(ours, complex) else bool(ours == theirs)


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64"])
@pytest.mark.parametrize("words", listed(SAME))
def test_as_torch(words: str, kind: str) -> None:
    ours, theirs = plain(run(rt, kind, words)), plain(run(torch, kind, words))
    assert near(ours, theirs), f"{ours} != {theirs}"


@pytest.mark.parametrize("kind", ["uint16", "uint32", "uint64"])
@pytest.mark.parametrize("words", listed(REFUSED))
def test_refused_as_torch(words: str, kind: str) -> None:
    with pytest.raises((RuntimeError, IndexError, TypeError, ValueError)):
        run(torch, kind, words)
    with pytest.raises(rt.errors.RustorchError):
        run(rt, kind, words)


def test_all_of_uint64() -> None:
    values = [0, 1, 2**63 - 1, 2**63, 2**64 - 1]
    a = np.array(values, dtype=np.uint64)
    for t in (rt.tensor(a), rt.from_numpy(a), rt.tensor(values, dtype=rt.uint64), rt.from_dlpack(a), rt.as_tensor(a)):
        assert t.dtype is rt.uint64 and t.tolist() == values and [x.item() for x in t] == values
        assert t.numpy().dtype == np.uint64 and (t.numpy() == a).all()
        assert (
            repr(t).replace("rustorch", "torch") == repr(torch.tensor(a))
            and t.unique().tolist() == values
            and t.sort(descending=True)[0].tolist() == values[::-1]
        )
        assert t.double().tolist() == torch.tensor(a).double().tolist()
        assert (t == t).all() and t.sin().tolist() == pytest.approx(torch.tensor(a).sin().tolist(), rel=1e-4, abs=1e-4)
    assert rt.tensor(2**64 - 1, dtype=rt.uint64).item() == 2**64 - 1
    assert rt.tensor([1e19]).to(rt.uint64).item() == torch.tensor([1e19]).to(torch.uint64).item()
    with pytest.raises(rt.errors.RustorchError):
        rt.tensor(2**64, dtype=rt.uint64)


def test_files_and_pickles(tmp_path: Any) -> None:
    import copy
    import pickle

    for kind in ("uint16", "uint32", "uint64"):
        t = rt.tensor([1, 2, 65535], dtype=getattr(rt, kind))
        rt.save({"t": t}, tmp_path / "a.safetensors")
        for u in (rt.load(tmp_path / "a.safetensors")["t"], pickle.loads(pickle.dumps(t)), copy.deepcopy(t)):
            assert u.dtype is t.dtype and u.tolist() == t.tolist()
        assert torch.from_numpy(t.numpy()).tolist() == t.tolist()
        assert rt.from_dlpack(torch.tensor([1, 2], dtype=getattr(torch, kind))).tolist() == [1, 2]
