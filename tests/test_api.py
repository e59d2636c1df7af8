"""The words of the API: overloads, conversions, autograd functions, interchange, files, the first names."""

from __future__ import annotations

import copy
import io
import pickle
import subprocess
import sys
import weakref
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import autograd, errors


def same(t: Any, a: Any, tolerance: float = 1e-6) -> None:
    np.testing.assert_allclose(np.asarray(t.tolist(), dtype=float), np.asarray(a, dtype=float), tolerance, tolerance)


A = np.arange(12.0).reshape(3, 4) % 5 - 1.5


def x(a: Any = A) -> rt.Tensor:
    return rt.tensor(np.asarray(a).tolist())


def test_extremes() -> None:
    t = x()
    same(t.max(), A.max())
    same(rt.min(t), A.min())
    values, indices = t.max(1)
    same(values, A.max(1))
    same(indices, A.argmax(1))
    same(t.min(dim=0, keepdim=True).values, A.min(0, keepdims=True))
    same(rt.max(t, -t), np.maximum(A, -A))
    same(t.aminmax().max, A.max())
    same(t.median(), np.sort(A.ravel())[5])
    same(t.median(1).values, np.sort(A, 1)[:, 1])
    same(t.argmax(1), A.argmax(1))
    same(rt.argmin(t), A.argmin())
    same(t.topk(2, 1).values, -np.sort(-A, 1)[:, :2])
    same(t.sort(1, True).values, -np.sort(-A, 1))
    same(rt.argsort(t, 1), np.argsort(A, 1, kind="stable"))
    same(t.kthvalue(2, 1).values, np.sort(A, 1)[:, 1])
    same(t.cummax(0).values, np.maximum.accumulate(A, 0))


def test_spread_and_norms() -> None:
    t = x()
    same(t.std(), A.std(ddof=1))
    same(t.var(0, unbiased=False), A.var(0))
    same(t.var(1, correction=0, keepdim=True), A.var(1, keepdims=True))
    same(t.std(False), A.std())
    same(rt.std_mean(t)[1], A.mean())
    same(t.norm(), np.linalg.norm(A))
    same(t.norm(1, 0), np.abs(A).sum(0))
    same(t.norm("nuc"), np.linalg.norm(A, "nuc"))


def test_splitting_and_joining() -> None:
    t = x()
    assert [tuple(p.shape) for p in t.split(3, 1)] == [(3, 3), (3, 1)]
    assert [tuple(p.shape) for p in t.split([1, 3], 1)] == [(3, 1), (3, 3)]
    assert [tuple(p.shape) for p in t.tensor_split(2, 1)] == [(3, 2), (3, 2)]
    assert [tuple(p.shape) for p in rt.tensor_split(t, (1, 2), 1)] == [(3, 1), (3, 1), (3, 2)]
    same(rt.cat(t.chunk(2, 0)), A)
    same(t.repeat_interleave(2, 0), A.repeat(2, 0))
    same(t[0].repeat_interleave(rt.tensor([1, 0, 2, 1])), A[0].repeat([1, 0, 2, 1]))
    same(rt.repeat_interleave(rt.tensor([1, 2])), [0, 1, 1])
    a, b = rt.meshgrid(rt.arange(3), rt.arange(2), indexing="xy")
    same(a, np.meshgrid(np.arange(3), np.arange(2))[0])
    same(b, np.meshgrid(np.arange(3), np.arange(2))[1])
    same(rt.cartesian_prod(rt.arange(2), rt.arange(2)), [[0, 0], [0, 1], [1, 0], [1, 1]])
    same(rt.combinations(rt.arange(3)), [[0, 1], [0, 2], [1, 2]])
    assert [tuple(t.shape) for t in rt.broadcast_tensors(rt.zeros(2, 1), rt.zeros(3))] == [(2, 3), (2, 3)]
    assert rt.broadcast_shapes((2, 1), 3) == (2, 3)
    for shapes in (((0,), (2,)), ((2,), (0,)), ((0, 1), (3, 2))):
        with pytest.raises(errors.ShapeMismatchError):
            rt.broadcast_shapes(*shapes)
    half = rt.tensor(2.5, dtype=rt.float64)
    assert rt.full((2,), half).dtype is rt.float64 and rt.full((2,), half, dtype=rt.int64).tolist() == [2, 2]
    with pytest.raises(errors.ShapeMismatchError):
        rt.broadcast_shapes((2,), (3,))
    same(rt.block_diag(rt.ones(1, 1), rt.ones(1, 2)), [[1, 0, 0], [0, 1, 1]])
    assert rt.atleast_2d(rt.tensor(1.0)).shape == (1, 1)
    assert [t.ndim for t in rt.atleast_3d(rt.tensor(1.0), rt.ones(2))] == [3, 3]


def test_choosing() -> None:
    t = x()
    same(rt.where(t > 0, t, 0.0), np.where(A > 0, A, 0))
    same(rt.where(t > 0)[0], np.where(A > 0)[0])
    same(t.where(t > 0, rt.zeros(())), np.where(A > 0, A, 0))
    same(t.nonzero(), np.argwhere(A))
    assert len(t.nonzero(as_tuple=True)) == 2
    same(t.clamp(-1, 1), A.clip(-1, 1))
    same(rt.clamp(t, min=rt.zeros(4)), A.clip(0))
    same(t.clamp_min(0), A.clip(0))
    same(t.clamp_max(rt.tensor(0.0)), A.clip(None, 0))
    same(t.clone().clamp_(max=0), A.clip(None, 0))
    same(t.clone().clamp_(rt.zeros(4), rt.ones(4)), A.clip(0, 1))
    i = rt.tensor([[0, 1, 2, 0]])
    same(rt.zeros(3, 4).scatter(0, i, t[:1]), np.where(np.arange(3)[:, None] == [0, 1, 2, 0], A[0], 0))
    same(rt.zeros(3, 4).scatter_(0, i, 2.0).sum(), 8)
    same(rt.ones(3, 4).scatter(0, i, t[:1], reduce="add").sum(), 12 + A[0].sum())
    same(rt.zeros(4).index_put_((rt.tensor([1, 1]),), rt.tensor([2.0, 3.0]), accumulate=True), [0, 5, 0, 0])
    same(rt.index_put(rt.zeros(2), (rt.tensor([0]),), rt.tensor(1.0)), [1, 0])
    same(t.index_fill(0, rt.tensor([1]), 9)[1], [9] * 4)
    same(t.clone().index_fill_(0, rt.tensor([1]), rt.tensor(9.0))[1], [9] * 4)
    values, inverse, counts = rt.tensor([3, 1, 3]).unique(return_inverse=True, return_counts=True)
    same(values, [1, 3])
    same(inverse, [1, 0, 1])
    same(counts, [1, 2])
    same(rt.unique(rt.tensor([[1, 2], [0, 1], [1, 2]]), dim=0), [[0, 1], [1, 2]])
    assert rt.equal(t, t) and rt.allclose(t, t + 1e-9) and not rt.equal(t, t[0])


def test_conversions() -> None:
    t = x()
    names = {"double": "float64", "half": "float16", "int": "int32", "long": "int64", "short": "int16", "char": "int8"}
    for name, d in {**names, "bfloat16": "bfloat16", "bool": "bool", "float": "float32"}.items():
        assert getattr(t, name)().dtype is getattr(rt, d)
    assert t.to(rt.float64).dtype is rt.float64 and t.to("cpu") is t and t.to(t.double()).dtype is rt.float64
    assert t.to("cpu", rt.int64, True).dtype is rt.int64 and t.to(dtype=int).dtype is rt.int64
    assert t.to(copy=True) is not t
    assert t.type() == "torch.FloatTensor" and t.type("torch.LongTensor").dtype is rt.int64
    assert t.type(rt.DoubleTensor).dtype is rt.float64 and t.type_as(t.int()).dtype is rt.int32
    assert t.view(4, 3).shape == t.view_as(rt.ones(4, 3)).shape == t.reshape_as(rt.ones(4, 3)).shape == (4, 3)
    assert t.view(rt.int32).dtype is rt.int32
    assert t.view(rt.int64).shape == (3, 2) and t.view(rt.int8).shape == (3, 16)
    with pytest.raises(errors.InvalidArgumentError, match="must be divisible by 2"):
        t[:, :3].view(rt.int64)
    assert rt.ones(3, 1).expand_as(t).shape == (3, 4)
    same(t.sum_to_size(1, 4), A.sum(0, keepdims=True))
    assert t.T.shape == t.mT.shape == (4, 3)
    for error_call in (t.cuda, lambda: t.to("cuda"), lambda: rt.ones(1, device="cuda")):
        with pytest.raises(errors.UnsupportedError, match="CPU"):
            error_call()
    assert t.new_zeros(2).dtype is t.dtype and t.new_ones((2, 2)).shape == (2, 2) and t.new_empty(1).shape == (1,)
    same(t.new_full((2,), 3), [3, 3])
    same(t.new_tensor([1]), [1])
    u = rt.arange(4.0)
    u.resize_(2, 3)
    same(u.reshape(-1)[:4], range(4))
    same(u.set_(rt.ones(2)), [1, 1])
    same(rt.arange(3.0).apply_(lambda v: v + 1), [1, 2, 3])
    assert t.is_shared() is t.is_pinned() is False and t.pin_memory() is t and t.get_device() == -1


def test_making() -> None:
    rt.manual_seed(0)
    same(rt.arange(3), [0, 1, 2])
    same(rt.arange(1, 4, 2), [1, 3])
    same(rt.arange(start=1, end=3), [1, 2])
    same(rt.full((2,), rt.tensor(2.0)), [2, 2])
    assert rt.full((1,), True).dtype is rt.bool and rt.full((1,), 1).dtype is rt.int64
    assert (
        rt.randint(5, (9,)).max() < 5 and rt.randint(3, 5, (9,)).min() >= 3 and rt.randint(high=2, size=(1,)).ndim == 1
    )
    assert rt.randint_like(rt.ones(2), 3).shape == (2,)
    assert rt.normal(0.0, 1.0, (2, 3)).shape == (2, 3) and rt.normal(rt.zeros(2), rt.ones(2)).shape == (2,)
    assert rt.bernoulli(rt.ones(3)).sum() == 3 and rt.empty(3).bernoulli_(0.0).sum() == 0
    assert rt.empty(5).random_(2).max() < 2 and rt.empty(5).uniform_(1, 2).min() >= 1
    assert rt.empty_strided((2, 3), (1, 2)).stride() == (1, 2)
    assert rt.result_type(rt.ones(1, dtype=rt.int32), 1.0) is rt.float32 and rt.can_cast(rt.int32, rt.float32)
    assert rt.is_tensor(rt.ones(1)) and rt.is_floating_point(rt.ones(1)) and not rt.is_complex(rt.ones(1))
    assert rt.numel(rt.ones(2, 2)) == 4 and rt.is_nonzero(rt.ones(1))
    same(rt.einsum("ij->ji", x()), A.T)
    same(rt.tensordot(x(), x(A.T), 1), A @ A.T)
    same(rt.tensordot(x(), x(), ([0, 1], [0, 1])), (A * A).sum())
    out = rt.empty(0)
    rt.add(rt.ones(2), 1, out=out)
    same(out, [2, 2])
    g = rt.Generator()
    g.manual_seed(3)
    state = g.get_state()
    first = rt.rand(4, generator=g)
    assert rt.equal(rt.rand(4, generator=g.set_state(state)), first)
    assert pickle.loads(pickle.dumps(g)).initial_seed() == g.clone_state().initial_seed()
    with rt.random.fork_rng():
        rt.manual_seed(9)
        assert rt.initial_seed() == 9
    assert rt.seed() == rt.initial_seed()
    assert rt.get_rng_state().numel() == 5056
    for bad in ([[1], [2, 3]], "text", [object()], {}):
        with pytest.raises((errors.RustorchError, TypeError)):
            rt.tensor(bad)
    assert rt.tensor([]).shape == (0,) and rt.tensor([[]]).shape == (1, 0) and rt.tensor(np.float32(2)).item() == 2
    assert rt.tensor([rt.tensor(1.0), 2]).tolist() == [1, 2] and rt.tensor(np.eye(2)).dtype is rt.float64
    assert (
        rt.FloatTensor([1]).dtype is rt.float32
        and isinstance(rt.ones(1), rt.FloatTensor)
        and rt.LongTensor(2).numel() == 2
    )
    for name, dtype in (
        ("Float", rt.float32), ("Double", rt.float64), ("Half", rt.float16), ("BFloat16", rt.bfloat16),
        ("Long", rt.int64), ("Int", rt.int32), ("Short", rt.int16), ("Char", rt.int8), ("Byte", rt.uint8),
        ("Bool", rt.bool),
    ):  # fmt: skip
        cls = getattr(rt, f"{name}Tensor")
        for t, shape in ((cls(2, 3), (2, 3)), (cls(), (0,)), (cls([[1]]), (1, 1)), (cls(rt.Size([2])), (2,))):
            assert t.dtype is dtype and t.shape == shape and isinstance(t, cls) and type(t) is rt.Tensor
        assert isinstance(rt.ones(1), cls) is (dtype is rt.float32)
    assert rt.Tensor(2, 3).shape == (2, 3) and rt.Tensor([1, 2]).tolist() == [1, 2] and rt.Tensor().numel() == 0


def test_the_words_of_the_random_stream() -> None:
    """The generator is MT19937 with its first seeding, as NumPy's old one is: the same words, however they are asked
    for, across the ends of its blocks of 624 words, and after its state was taken and put back in any place."""
    old = np.random.RandomState(2**31 + 5)
    words = old._bit_generator.random_raw(9000).astype(np.int64)  # type: ignore[attr-defined]

    def draw(g: rt.Generator, n: int) -> list[int]:
        return (rt.rand(n, generator=g, dtype=rt.float32) * 2**24).to(rt.int64).tolist()

    g, at = rt.Generator().manual_seed(2**31 + 5), 0
    low = (words & (2**24 - 1)).tolist()
    for n in (1, 622, 1, 1, 623, 624, 625, 2, 255, 256, 257, 1247, 1248, 1249, 312):
        assert draw(g, n) == low[at : at + n], (at, n)
        at += n
    # 64-bit numbers take two words, and may begin at the last one of a block.
    for start in (0, 1, 622, 623, 624):
        g.manual_seed(2**31 + 5)
        draw(g, start)
        pairs = words[start : start + 1000].reshape(-1, 2).tolist()
        got = (rt.rand(500, generator=g, dtype=rt.float64) * 2**53).to(rt.int64).tolist()
        assert got == [((a << 32) | b) & (2**53 - 1) for a, b in pairs]
        assert rt.randint(0, 1000, (700,), generator=g).tolist() == (words[start + 1000 : start + 1700] % 1000).tolist()
    for place in (0, 1, 311, 622, 623, 624, 625, 1247, 1248):
        g.manual_seed(2**31 + 5)
        draw(g, place)
        state = g.get_state()
        raw = bytes(state.tolist())
        assert int.from_bytes(raw[:8], "little") == 2**31 + 5
        left, following = int.from_bytes(raw[8:12], "little"), int.from_bytes(raw[16:24], "little")
        assert left - 1 + following in (0, 624)
        first = draw(g, 700)
        assert first == low[place : place + 700]
        other = rt.Generator()
        other.set_state(state)
        assert draw(other, 700) == first and other.initial_seed() == 2**31 + 5
        assert rt.equal(other.get_state(), g.get_state())
        # Normal numbers come in pairs, of which the second one waits: it is part of the state.
        g.manual_seed(place)
        draw(g, place)
        rt.randn(3, generator=g, dtype=rt.float64)
        other.set_state(g.get_state())
        assert rt.equal(rt.randn(5, generator=other), rt.randn(5, generator=g))
    # Shuffles: Fisher and Yates, from the front.
    for n in (2, 255, 256, 257, 258, 1000, 3000):
        g.manual_seed(2**31 + 5)
        want = list(range(n))
        for i, w in zip(range(n - 1), words.tolist()):
            j = i + w % (n - i)
            want[i], want[j] = want[j], want[i]
        assert rt.randperm(n, generator=g).tolist() == want


@pytest.mark.parametrize("d", [rt.float32, rt.float64])
def test_the_normal_numbers_of_the_random_stream(d: rt.dtype) -> None:
    """Box and Muller in blocks of 16: eight radii, then eight angles; what is left over draws its last 16 anew."""
    old = np.random.RandomState(11)
    words = old._bit_generator.random_raw(8000).astype(np.uint64)  # type: ignore[attr-defined]
    bits = 24 if d is rt.float32 else 53
    all_of = words if d is rt.float32 else words[::2] << np.uint64(32) | words[1::2]
    uniform = (all_of & np.uint64(2**bits - 1)).astype(float) * 2.0**-bits

    def blocks(u: Any) -> Any:
        u = u.reshape(-1, 2, 8)
        radius, angle = np.sqrt(-2 * np.log1p(-u[:, 0])), 2 * np.pi * u[:, 1]
        return np.concatenate([radius * np.cos(angle), radius * np.sin(angle)], 1).reshape(-1)

    for n in (16, 17, 31, 32, 255, 256, 257, 300, 512, 624, 625, 1300, 2049):
        want = blocks(uniform[: n // 16 * 16])
        if n % 16:
            want = np.concatenate([want[: n - 16], blocks(uniform[n : n + 16])])
        got = rt.randn(n, generator=rt.Generator().manual_seed(11), dtype=d)
        near = 1e-5 if d is rt.float32 else 1e-13
        np.testing.assert_allclose(got.numpy(), want, near, near)


@pytest.mark.parametrize(
    "d",
    [rt.uint8, rt.int8, rt.int16, rt.int32, rt.int64, rt.float16, rt.bfloat16, rt.float32, rt.float64],
)
def test_whole_numbers_of_the_random_stream(d: rt.dtype) -> None:
    """From 0 to the largest number up to which the dtype has them all, by the remainder of one word or of two."""
    most = round(2 / rt.finfo(d).eps) if d.is_floating_point else rt.iinfo(d).max
    words = np.random.RandomState(5)._bit_generator.random_raw(2000).tolist()  # type: ignore[attr-defined]
    if most + 1 > 2**32:
        words = [(a << 32) | b for a, b in zip(words[::2], words[1::2])]
    for n in (1, 15, 16, 17, 700):
        got = rt.empty(n, dtype=d).random_(generator=rt.Generator().manual_seed(5))
        assert got.to(rt.int64).tolist() == [w % (most + 1) for w in words[:n]], n
    if most < 3000 and d is not rt.bfloat16:  # which rounds, as in PyTorch
        assert rt.randperm(most, dtype=d).sort()[0].tolist() == list(range(most))
        with pytest.raises(errors.RustorchError, match="too large for result tensor type"):
            rt.randperm(most + 1, dtype=d)


def test_dtypes_and_devices() -> None:
    assert rt.finfo(rt.float32).eps == np.finfo(np.float32).eps and "eps" in repr(rt.finfo())
    assert rt.iinfo(rt.int8).min == -128 and rt.iinfo(rt.uint8).max == 255 and "max" in repr(rt.iinfo(rt.int64))
    for wrong in (lambda: rt.finfo(rt.int8), lambda: rt.iinfo(rt.float32), lambda: rt.set_default_dtype(rt.int8)):
        with pytest.raises(errors.DTypeError):
            wrong()
    assert pickle.loads(pickle.dumps(rt.float16)) is rt.float16 and copy.deepcopy(rt.float16) is rt.float16
    assert rt.float32.to_real() is rt.float32 and rt.int8.is_signed and rt.promote_types(rt.uint8, rt.int8) is rt.int16
    rt.set_default_dtype(rt.float64)
    assert rt.tensor(1.0).dtype is rt.float64
    rt.set_default_dtype(rt.float32)
    d = rt.device("cuda:1")
    assert (d.type, d.index, str(d)) == ("cuda", 1, "cuda:1") and d == rt.device("cuda", 1) and hash(d) is not None
    assert rt.device(d) == d and rt.device(0).type == "cuda" and pickle.loads(pickle.dumps(d)) == d
    assert repr(rt.device("cpu")) == "device(type='cpu')"
    for bad in ("nowhere", "cpu:x"):
        with pytest.raises(errors.RustorchError):
            rt.device(bad)
    with rt.device("cpu"):
        assert rt.ones(1).device == rt.device("cpu")
    assert not rt.cuda.is_available() and rt.cuda.device_count() == 0 and rt.cuda.manual_seed_all(1) is None
    rt.cuda.empty_cache()
    rt.cuda.synchronize()
    for call in (rt.cuda.current_device, rt.cuda.get_device_name, lambda: rt.cuda.set_device(0)):
        with pytest.raises(errors.UnsupportedError):
            call()
    rt.backends.cudnn.deterministic = True
    assert not rt.backends.mps.is_available() and not rt.backends.cuda.is_built()
    rt.set_num_threads(rt.get_num_threads())
    rt.set_num_interop_threads(1)
    rt.use_deterministic_algorithms(True)
    rt.set_default_device("cpu")
    rt.set_float32_matmul_precision("high")
    assert rt.are_deterministic_algorithms_enabled() and rt.get_default_device().type == "cpu"
    assert rt.compile(len, mode="default") is len and rt.compile(mode="default")(len) is len
    assert rt.compile(len) is len and rt.compile()(len) is len and rt.typename(1) == "builtins.int"
    assert rt.typename(rt.ones(1)) == "torch.FloatTensor" and "nn" in dir(rt)
    with pytest.raises(AttributeError):
        _ = rt.no_such_name


def test_tensor_protocol() -> None:
    t = x()
    assert len(t) == 3 and [r.shape for r in t] == [(4,)] * 3 and 0.5 in t and t.size(-1) == 4 and t.dim() == 2
    assert float(t[0, 0]) == -1.5 and int(t[0, 0]) == -1 and complex(t[0, 0]) == -1.5 and bool(t[0, 0])
    assert [10, 20][rt.tensor(1)] == 20 and f"{t[0, 0]:.1f}" == "-1.5" and t.nbytes == 48 and t.element_size() == 4
    for bad in (lambda: len(rt.tensor(1)), lambda: iter(rt.tensor(1)), lambda: [1][rt.tensor(1.0)]):
        with pytest.raises(TypeError):
            bad()
    with pytest.raises(errors.InvalidArgumentError, match="ambiguous"):
        bool(t)
    with pytest.raises(IndexError):
        t.size(5)
    same(2 - t, 2 - A)
    same(2 / (t + 0.25), 2 / (A + 0.25))
    same(2**t, 2**A)
    same(t % 2, A % 2)
    same(7 % rt.tensor([4, 3]), [3, 1])
    same(t // 2, A // 2)
    same(-t, -A)
    same(+t, A)
    same(abs(t), abs(A))
    same(~rt.tensor([True]), [False])
    same(rt.tensor([6]) & 3, [2])
    same(rt.tensor([6]) | 1, [7])
    same(rt.tensor([6]) ^ 3, [5])
    same(rt.tensor([1]) << 2, [4])
    same(t @ t.T, A @ A.T)
    same(np.eye(3, dtype=np.float32) @ t, A)
    u = t.clone()
    u += 1
    u *= 2
    u -= 1
    u /= 2
    same(u, ((A + 1) * 2 - 1) / 2)
    assert t.__add__("text") is NotImplemented
    assert (
        t.shape.numel() == 12 and t.shape.__add__((1,)) == (3, 4, 1) and pickle.loads(pickle.dumps(t.shape)) == (3, 4)
    )
    assert t.stride() == (4, 1) and t.stride(0) == 4 and t.storage_offset() == 0 and t[1:].storage_offset() == 4
    assert t[0]._is_view() and t[0]._base is not None and t._base is None and not t.is_inference()
    p = pickle.loads(pickle.dumps(t.requires_grad_()))
    assert p.requires_grad and rt.equal(p.detach(), t.detach())
    t.grad = rt.ones(3, 4)
    d = copy.deepcopy(t)
    same(d.grad, np.ones((3, 4)))
    assert copy.copy(t).requires_grad
    del t.grad
    assert t.grad is None
    y = t * 2
    for bad in (lambda: copy.deepcopy(y), lambda: pickle.dumps(y)):
        with pytest.raises(errors.AutogradError):
            bad()
    t.data = rt.zeros(2)
    assert t.shape == (2,) and t.requires_grad


def test_hooks_of_a_leaf_see_the_whole_gradient() -> None:
    """A leaf that is used twice gets one gradient: hooks that are not linear must not see its parts."""
    x = rt.ones(2, requires_grad=True)
    x.register_hook(lambda g: g.clamp(max=4.0))
    ((x * 2) * x + x).sum().backward()
    assert x.grad.tolist() == [4.0, 4.0]
    assert autograd.grad((x * 3 + x * 3).sum(), x)[0].tolist() == [4.0, 4.0]


def test_hooks_after_accumulation() -> None:
    x = rt.ones(2, requires_grad=True)
    seen: list[Any] = []
    handle = x.register_post_accumulate_grad_hook(lambda p: seen.append((p is x, p.grad.tolist())) or p * 0)
    (x * 2 + x).sum().backward()
    (x * 2).sum().backward(inputs=[x])
    assert seen == [(True, [3.0, 3.0]), (True, [5.0, 5.0])]
    autograd.grad((x * 2).sum(), x)
    x.data = rt.zeros(3)  # the hook follows the tensor
    x.grad = None
    x.backward(rt.full((3,), 7.0))
    assert seen[2:] == [(True, [7.0, 7.0, 7.0])] and x.grad.tolist() == [7.0, 7.0, 7.0]
    handle.remove()
    (x * 2).sum().backward()
    assert len(seen) == 3
    with pytest.raises(errors.AutogradError, match="non-leaf tensors"):
        (x * 1).register_post_accumulate_grad_hook(print)
    with pytest.raises(errors.AutogradError, match="doesn't require gradient"):
        rt.ones(1).register_post_accumulate_grad_hook(print)


def test_a_step_inside_of_backward() -> None:
    """The optimizer runs as soon as a gradient is complete, and the gradient goes before the next one is made."""
    model = rt.nn.Sequential(rt.nn.Linear(3, 3), rt.nn.Tanh(), rt.nn.Linear(3, 1))
    model.append(rt.nn.Linear(1, 1))
    steps = {p: rt.optim.SGD([p], lr=0.1) for p in model.parameters()}
    before = [p.detach().clone() for p in model.parameters()]
    alive: list[int] = []

    def step(p: rt.Tensor) -> None:
        alive.append(sum(q.grad is not None for q in steps))
        steps[p].step()
        p.grad = None

    for p in steps:
        p.register_post_accumulate_grad_hook(step)
    model(rt.ones(2, 3)).sum().backward()
    assert alive == [1] * 6
    for p, old in zip(steps, before):
        assert p.grad is None and not rt.equal(p, old)


def test_errors_in_hooks_after_accumulation() -> None:
    x = rt.ones(2, requires_grad=True)

    def fail(p: rt.Tensor) -> None:
        raise KeyError("from the hook")

    x.register_post_accumulate_grad_hook(fail)
    with pytest.raises(KeyError, match="from the hook") as caught:
        (x * 2).sum().backward()
    assert caught.traceback[-1].name == "fail"
    assert x.grad.tolist() == [2.0, 2.0]


def test_errors_of_every_kind_of_hook_come_through() -> None:
    """From inner nodes and leaves, before and after; what was to come behind it does not come."""

    def fail(*_: Any) -> None:
        raise KeyError("from the hook")

    def graph() -> tuple[rt.Tensor, rt.Tensor, rt.Tensor]:
        x = rt.ones(2, requires_grad=True)
        y = x * 2
        return x, y, (y * 3).sum()

    def leaf(x: rt.Tensor) -> Any:
        return (x * 1).grad_fn.next_functions[0][0]

    places: dict[str, tuple[Any, bool]] = {
        "a leaf": (lambda x, y: x.register_hook(fail), False),
        "an inner tensor": (lambda x, y: y.register_hook(fail), False),
        "after a node": (lambda x, y: y.grad_fn.register_hook(fail), False),
        "before a node": (lambda x, y: y.grad_fn.register_prehook(fail), False),
        "before a leaf": (lambda x, y: leaf(x).register_prehook(fail), False),
        "after a leaf": (lambda x, y: leaf(x).register_hook(fail), True),
        "after accumulation": (lambda x, y: x.register_post_accumulate_grad_hook(fail), True),
    }
    for place, (register, collected) in places.items():
        for retain in (False, True):
            x, y, root = graph()
            handle = register(x, y)
            with pytest.raises(KeyError, match="from the hook"):
                root.backward(retain_graph=retain)
            assert (x.grad is not None) == collected, place
            if retain:
                handle.remove()
                x.grad = None
                root.backward()
                assert x.grad.tolist() == [6.0, 6.0], place

    # A hook that has put something in the place of gradients before it failed has failed all the same.
    def wrong(*_: Any) -> Any:
        return (rt.ones(5),)

    for register in (lambda n: n.register_prehook(wrong), lambda n: n.register_hook(wrong)):
        x, y, root = graph()
        register(y.grad_fn)
        with pytest.raises(errors.RustorchError):
            root.backward()
        assert x.grad is None


def test_hooks_after_accumulation_own_nothing() -> None:
    """The tensor owns its hook, and its object goes with its last name; a graph keeps what the hook gets."""
    seen = []

    class Mark:
        def __call__(self, p: rt.Tensor) -> None:
            seen.append((p.tolist(), p.grad.tolist()))

    mark = Mark()
    gone = weakref.ref(mark)
    x = rt.ones(2, requires_grad=True)
    x.register_post_accumulate_grad_hook(mark)
    tensor, y = weakref.ref(x), (x * 2).sum()
    del x, mark
    assert tensor() is None
    y.backward()
    assert seen == [([1.0, 1.0], [2.0, 2.0])]
    del y
    assert gone() is None


def test_inference_tensors() -> None:
    w = rt.ones(3, requires_grad=True)
    n = rt.ones(3)
    with rt.inference_mode():
        a = rt.ones(3) * 2
        assert not n.add_(1).is_inference() and not n[:2].is_inference() and not n.detach().is_inference()
        assert n.clone().is_inference() and (w * 2).is_inference() and rt.tensor([1.0]).is_inference()
        assert rt.ones(1, requires_grad=True).is_inference()
        with rt.enable_grad():
            assert not (w * 2).requires_grad
        with rt.inference_mode(False):
            assert (w * 2).requires_grad and not a.clone().is_inference()
        a.add_(1)
        places = rt.tensor([0, 1])

    class Times(autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: rt.Tensor, y: rt.Tensor) -> rt.Tensor:
            ctx.save_for_backward(y)
            return x * y

    assert n.tolist() == [2.0] * 3
    assert a.is_inference() and a[1:].is_inference() and a.detach().is_inference() and a.view(3, 1).is_inference()
    assert not (a + 1).is_inference() and not a.clone().is_inference() and not copy.deepcopy(a).is_inference()
    assert (w + a).sum().requires_grad and (w * (a * 1)).requires_grad
    with rt.no_grad():
        assert (w * a).tolist() == [3.0] * 3
    saves = [
        lambda: w * a,
        lambda: w @ a,
        lambda: (w * 1).mul_(a),
        lambda: w.gather(0, places),
        lambda: Times.apply(w, a),
    ]
    for save in saves:
        with pytest.raises(errors.AutogradError, match="cannot be saved for backward"):
            save()
    changes = [
        lambda: a.add_(1),
        lambda: a[:1].zero_(),
        lambda: a.copy_(n),
        lambda: a.__setitem__(0, 1.0),
        lambda: a.uniform_(),
        lambda: rt.add(n, n, out=a),
    ]
    for change in changes:
        with pytest.raises(errors.AutogradError, match="Inplace update to inference tensor"):
            change()
        with rt.no_grad(), pytest.raises(errors.AutogradError, match="Inplace update to inference tensor"):
            change()
    assert a.tolist() == [3.0] * 3
    for ask in (a.requires_grad_, lambda: rt.nn.Parameter(a)):
        with pytest.raises(errors.AutogradError, match="requires_grad=True on inference tensor"):
            ask()
    assert not a.requires_grad_(False).requires_grad
    with pytest.raises(errors.AutogradError, match="version counter"):
        _ = a._version


def test_numbers_of_inference_mode_leave_no_trace() -> None:
    """A plain number that an op has wrapped serves again: not as an inference tensor."""
    w = rt.ones(3, requires_grad=True)
    with rt.inference_mode():
        w.pow(2.5)
        rt.where(w > 0, 2.5, w)
        _ = w * 2.5
    (w * 2.5).pow(2.5).sum().backward()
    assert rt.allclose(w.grad, rt.full((3,), 2.5 * 2.5**2.5))


def test_autograd_words() -> None:
    a = rt.tensor([2.0], requires_grad=True)
    seen: list[float] = []
    handle = a.register_hook(lambda g: seen.append(g.item()) or g * 2)
    (a * 3).backward()
    assert seen == [3.0] and a.grad.item() == 6
    handle.remove()
    b = a * a
    b.retain_grad()
    b.register_hook(lambda g: None)
    (b * 1).sum().backward()
    assert b.grad.item() == 1 and "MulBackward0" in repr(b.grad_fn)
    assert b.grad_fn.next_functions[0][0].name() == "AccumulateGrad"
    with rt.no_grad():
        assert not (a * 1).requires_grad
        with rt.enable_grad():
            assert (a * 1).requires_grad
    with rt.set_grad_enabled(False):
        assert not rt.is_grad_enabled()
    with rt.inference_mode():
        assert rt.is_inference_mode_enabled() and not (a * 1).requires_grad

    @rt.no_grad()
    def f() -> bool:
        return (a * 1).requires_grad

    @rt.no_grad
    def g() -> Any:
        yield (a * 1).requires_grad

    assert f() is False and list(g()) == [False] and rt.is_grad_enabled()
    (first,) = autograd.grad((a**3).sum(), a, create_graph=True)
    (second,) = autograd.grad(first, a)
    assert second.item() == 12
    c = rt.ones(1, requires_grad=True)
    with pytest.raises(errors.AutogradError, match="not have been used"):
        autograd.grad((a * 1).sum(), c)
    assert autograd.grad((a * 1).sum(), c, allow_unused=True) == (None,)
    assert autograd.grad((a * 1).sum(), c, materialize_grads=True)[0].item() == 0
    a.grad = None
    autograd.backward([a * 1, a * 2], [rt.ones(1), rt.ones(1)])
    assert a.grad.item() == 3
    (a * 5).backward(inputs=[a])
    assert a.grad.item() == 8
    with pytest.raises(errors.AutogradError, match="second time"):
        z = (a * a).sum()
        z.backward()
        z.backward()
    with pytest.raises(errors.AutogradError, match="leaf"):
        a.add_(1)
    w = rt.ones(1, requires_grad=True) * 1
    v = (w * w).sum()
    w.add_(1)
    with pytest.raises(errors.AutogradError, match="modified by an inplace"):
        v.backward()
    assert autograd.Variable(rt.ones(1), requires_grad=True).requires_grad


def test_anomalies() -> None:
    def root_of(x: float) -> None:
        rt.tensor([x], requires_grad=True).sqrt().sum().backward()

    root_of(-1.0)  # unnoticed
    with autograd.detect_anomaly():
        root_of(2.0)
        with pytest.raises(
            errors.AutogradError, match="Function 'SqrtBackward0' returned nan values in its 0th output"
        ):
            root_of(-1.0)
    root_of(-1.0)
    with autograd.set_detect_anomaly(True):
        with autograd.set_detect_anomaly(True, check_nan=False):
            root_of(-1.0)
        with pytest.raises(errors.AutogradError, match="nan values"):
            root_of(-1.0)
    root_of(-1.0)


def test_numpys_names_for_dimensions() -> None:
    x = rt.tensor([[1.0, 5.0], [4.0, 2.0]])
    assert x.sum(axis=0).tolist() == [5.0, 7.0] and x.mean(axis=1, keepdims=True).shape == (2, 1)
    assert rt.cat([x, x], axis=1).shape == (2, 4) and rt.stack([x, x], axis=2).shape == (2, 2, 2)
    assert x.max(axis=0).values.tolist() == [4.0, 5.0] and x.argmax(axis=0, keepdims=True).tolist() == [[1, 0]]
    assert x.std(axis=0).shape == (2,) and x.sort(axis=0).values[0].tolist() == [1.0, 2.0]
    assert x.softmax(axis=1).shape == (2, 2) and rt.cumsum(x, axis=0)[1].tolist() == [5.0, 7.0]
    assert x.unsqueeze(axis=0).shape == (1, 2, 2) and x.squeeze(axis=0).shape == (2, 2)
    assert rt.any(x > 4, axis=1).tolist() == [True, False] and rt.median(x, axis=0).values.tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="argument 'dim' must be an int, not NoneType"):
        rt.cumsum(x)


def test_messages_about_arguments() -> None:
    for call, message in [
        (lambda: rt.zeros("a"), "zeros"),
        (lambda: rt.nn.Linear(2.5, 2), "2.5"),
        (lambda: rt.zeros((2, 1.5)), "float 1.5"),
        (lambda: rt.ones(2).view(1.0), "1.0"),
    ]:
        with pytest.raises((TypeError, ValueError), match=message):
            call()


class Square(autograd.Function):
    @staticmethod
    def forward(ctx: Any, input: rt.Tensor) -> rt.Tensor:
        ctx.save_for_backward(input)
        return input**2

    @staticmethod
    def backward(ctx: Any, grad_output: rt.Tensor) -> rt.Tensor:
        (input,) = ctx.saved_tensors
        return 2 * input * grad_output


class Failing(Square):
    @staticmethod
    def backward(ctx: Any, grad_output: rt.Tensor) -> Any:
        raise KeyError("from backward")


def test_custom_functions() -> None:
    a = rt.tensor([3.0], requires_grad=True, dtype=rt.float64)
    Square.apply(a).backward()
    assert a.grad.item() == 6
    assert autograd.gradcheck(Square.apply, (a,)) and autograd.gradgradcheck(Square.apply, (a,))
    with pytest.raises(KeyError, match="from backward"):
        Failing.apply(a).backward()
    with pytest.raises(errors.AutogradError, match="Jacobian"):
        autograd.gradcheck(lambda t: Square.apply(t.detach()) + t, (a,))
    for name in ("forward", "backward", "setup_context"):
        with pytest.raises(NotImplementedError):
            getattr(autograd.Function, name)(None, None, None)


def test_numpy_and_dlpack() -> None:
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    t = rt.from_numpy(a)
    t[0, 0] = 9
    assert a[0, 0] == 9
    b = t.numpy()
    b[1, 1] = 7
    assert t[1, 1] == 7 and np.asarray(t).shape == (2, 3) and np.asarray(t, dtype=np.int64).dtype == np.int64
    assert rt.from_numpy(a.T).stride() == (1, 3) and rt.as_tensor(a).data_ptr() == t.data_ptr()
    assert (
        rt.asarray(a, copy=True).data_ptr() != t.data_ptr()
        and rt.as_tensor([1.0], dtype=rt.float64).dtype is rt.float64
    )
    frozen = a.copy()
    frozen.flags.writeable = False
    with pytest.warns(UserWarning, match="read-only"):
        thawed = rt.from_numpy(frozen)
    thawed.add_(1)
    same(thawed, frozen + 1)
    for bad in (a[::-1], np.array(["x"]), [1]):
        with pytest.raises(errors.RustorchError):
            rt.from_numpy(bad)
    with pytest.raises(errors.DTypeError):
        rt.ones(1, dtype=rt.bfloat16).numpy()
    with pytest.raises(errors.AutogradError):
        rt.ones(1, requires_grad=True).numpy()
    assert rt.ones(1, requires_grad=True).numpy(force=True).shape == (1,)
    back = np.from_dlpack(t)
    assert back.shape == (2, 3) and t.__dlpack_device__() == (1, 0)
    assert rt.from_dlpack(a).data_ptr() == t.data_ptr() and rt.from_dlpack(t).data_ptr() == t.data_ptr()
    capsule = t.__dlpack__()
    rt.from_dlpack(capsule)
    with pytest.raises(errors.InvalidArgumentError):
        rt.from_dlpack(capsule)
    with pytest.raises(errors.DTypeError):
        rt.from_dlpack(3)
    same(rt.frombuffer(bytearray(a.tobytes()), dtype=rt.float32, offset=4, count=2), a.ravel()[1:3])
    g = rt.tensor([0.5], requires_grad=True)
    np.exp(g).backward()
    same(g.grad, np.exp([0.5]))
    same(np.ones(3, np.float32) + rt.ones(3), [2, 2, 2])
    same(np.float32(2) * rt.ones(2), [2, 2])
    same(np.add(a, t), a + a)
    target = np.empty(3)
    np.multiply(rt.ones(3), 2.0, out=target)
    same(rt.tensor(target), [2, 2, 2])
    with pytest.raises(TypeError):
        np.spacing(rt.ones(1))
    assert "relu" in rt.ops.names() and rt.ops.relu(rt.ones(1)).item() == 1


def test_files(tmp_path: Any) -> None:
    state = {"b": rt.ones(2), "a": rt.arange(3)}
    for obj in (
        state,
        rt.ones(2),
        [1, 2.5, float("inf"), None, True, "s", (rt.zeros(1),)],
        {"x": {1: rt.ones(1, requires_grad=True)}},
    ):
        rt.save(obj, tmp_path / "f")
        assert str(rt.load(tmp_path / "f")) == str(obj)
    buffer = io.BytesIO()
    rt.save(state, buffer)
    buffer.seek(0)
    assert list(rt.load(buffer, map_location="cpu")) == ["b", "a"]
    (tmp_path / "bad").write_bytes(b"nonsense")
    with pytest.raises(errors.SerializationError):
        rt.load(tmp_path / "bad")
    with pytest.raises(FileNotFoundError, match="missing"):
        rt.load(tmp_path / "missing")
    rt.save({"best": np.float32(0.5), "n": np.int64(3)}, tmp_path / "f")
    assert rt.load(tmp_path / "f") == {"best": 0.5, "n": 3}
    for wrong in (object(), {1.5: rt.ones(1)}):
        with pytest.raises(errors.DTypeError):
            rt.save(wrong, tmp_path / "f")


def test_linalg() -> None:
    la = rt.linalg
    m = np.array([[4.0, 1.0], [1.0, 3.0]])
    t = rt.tensor(m.tolist(), dtype=rt.float64)
    q, r = la.qr(t)
    same(q @ r, m)
    same(la.svdvals(t), np.linalg.svd(m)[1])
    u, s, vh = la.svd(t)
    same(u @ rt.diag(s) @ vh, m)
    same(la.eigh(t).eigenvalues, np.linalg.eigvalsh(m))
    same(la.eigvalsh(t), np.linalg.eigvalsh(m))
    same(la.inv(t), np.linalg.inv(m))
    same(la.pinv(t), np.linalg.inv(m))
    same(la.det(t), np.linalg.det(m))
    same(la.slogdet(t).logabsdet, np.linalg.slogdet(m)[1])
    same(la.cholesky(t), np.linalg.cholesky(m))
    b = rt.ones(2, 1, dtype=rt.float64)
    same(la.solve(t, b), np.linalg.solve(m, np.ones((2, 1))))
    same(la.lstsq(t, b).solution, np.linalg.solve(m, np.ones((2, 1))))
    same(la.solve_triangular(la.cholesky(t), b, upper=False), np.linalg.solve(np.linalg.cholesky(m), np.ones((2, 1))))
    same(la.matrix_power(t, 3), np.linalg.matrix_power(m, 3))
    same(la.multi_dot([t, t, t]), m @ m @ m)
    same(la.multi_dot([t, t, t, t]), m @ m @ m @ m)
    same(la.matmul(t, t), m @ m)
    same(la.vecdot(t, t), (m * m).sum(-1))
    same(la.diagonal(t), np.diag(m))
    same(la.cross(rt.eye(3)[0], rt.eye(3)[1]), [0, 0, 1])
    same(la.vector_norm(t), np.linalg.norm(m))
    for order in ("fro", "nuc", 1, -1, 2, -2, np.inf, -np.inf):
        same(la.norm(t, order), np.linalg.norm(m, order))
    assert la.matrix_norm(t, 2, keepdim=True).shape == (1, 1) and la.norm(t, 1, 0).shape == (2,)
    for wrong in (lambda: la.matrix_norm(t, 7), lambda: la.multi_dot([t]), lambda: la.matrix_norm(t, dim=(0,))):
        with pytest.raises(errors.RustorchError):
            wrong()


def test_first_names() -> None:
    t = rt.PyTensor([1.0, 2.0, 3.0, 4.0], [2, 2])
    assert t.reshape([4, 1]).shape == (4, 1) and rt.PyTensor.from_numpy(np.ones(2, np.float32)).shape == (2,)
    with pytest.raises(errors.ShapeMismatchError) as e:
        rt.PyTensor([1.0], [2])
    assert e.value.shape2 == (2,)
    for bad in ([], [0]):
        with pytest.raises(errors.InvalidArgumentError):
            rt.PyTensor([1.0], bad)
    v = rt.PyVariable.from_data([2.0, 3.0], [2], requires_grad=True)
    result = v.pow(2.0).exp().log().sqrt()
    result.sum().backward()
    same(v.grad(), [1, 1], 1e-4)
    v.grad = None
    v.backward()
    same(v.grad(), [1, 1])
    v.grad = None
    assert v.grad is None
    with pytest.raises(errors.ShapeMismatchError) as e2:
        rt.ones(2, 3).matmul(rt.ones(2, 3))
    assert (e2.value.shape1, e2.value.shape2) == ((2, 3), (2, 3))
    for wrong in (lambda: rt.SGD([v], lr=-1), lambda: rt.Adam([v], betas=[1.5, 0.9]), lambda: rt.Adam([v], eps=-1)):
        with pytest.raises(errors.InvalidArgumentError):
            wrong()
    rt.Adam([v], lr=0.001, betas=[0.9, 0.999]).step()


def test_config(capsys: Any) -> None:
    from rustorch import config

    assert config.main(["--cflags", "--libs"]) == 0 and "-lrustorch" in capsys.readouterr().out
    assert config.main(["--nonsense"]) == 2 and config.main([]) == 2


def test_fancy_indexing() -> None:
    t, a = rt.arange(24).reshape(2, 3, 4), np.arange(24).reshape(2, 3, 4)
    for index in (
        np.s_[..., 1], np.s_[0, ..., None], np.s_[[0, 1], [2, 0]], np.s_[:, [0, 2], 1:3], np.s_[[1], :, [0]],
        np.s_[None, 1], np.s_[True], np.s_[:, [[0, 1], [1, 2]]], (a > 5), np.s_[a[..., 0] > 5, 1],
        np.s_[0, [True, False, True]],
    ):  # fmt: skip
        same(t[index], a[index])
        u, b = t.clone(), a.copy()
        u[index] = -1
        b[index] = -1
        same(u, b)
    same(t[rt.tensor(1)], a[1])
    same(t[rt.tensor([0, 1]), 0], a[[0, 1], 0])
    t[0] = rt.ones(3, 4)
    t[1, 0] = [1, 2, 3, 4]
    t[:, 1] = np.zeros(4)
    same(t[1, 0], [1, 2, 3, 4])
    for bad in (
        lambda: t[5],
        lambda: t[0, 0, 0, 0],
        lambda: t["x"],
        lambda: t[rt.tensor([9])],
        lambda: t[..., ...],
        lambda: t[1.0],
    ):
        with pytest.raises((IndexError, TypeError)):
            bad()
    with pytest.raises(ValueError):
        t[::-1]


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        ([np.float64(1), 2], "float64"),
        ([np.float32(1), 2], "float32"),
        ([np.float32(1), np.float64(1)], "float64"),
        ([np.int32(1), np.int32(2)], "int32"),
        ([np.int32(1), 2], "int64"),
        ([np.bool_(True), 2], "int64"),
        ([np.int64(1), 2.5], "float32"),
        ([np.ones(2), np.zeros(2)], "float64"),
        ([[np.ones(2, np.float16)], [np.zeros(2, np.float16)]], "float16"),
        ([np.arange(2, dtype=np.int16), np.arange(2, dtype=np.uint8)], "int16"),
        ([rt.tensor(1), rt.tensor(2.5)], "float32"),
        ([rt.tensor(1.0, dtype=rt.float64), 2], "float64"),
        ([np.zeros(0), np.zeros(0)], "float64"),
    ],
)
def test_numbers_that_know_their_dtype_keep_it(data, dtype):
    assert str(rt.tensor(data).dtype) == f"rustorch.{dtype}"


@pytest.mark.parametrize(
    ("data", "error", "text"),
    [
        ([None], TypeError, "cannot make numbers of a NoneType"),
        ([1, "a"], TypeError, "cannot make numbers of a str"),
        (2**70, ValueError, "does not fit 64 bits"),
        ([np.datetime64("2020-01-01")], TypeError, "cannot make numbers of a date"),
    ],
)
def test_what_is_no_number_is_refused(data, error, text):
    with pytest.raises(error, match=text) as e:
        rt.tensor(data)
    assert isinstance(e.value, RuntimeError)


def test_numpy_does_not_lose_gradients_silently():
    x = rt.ones(2, requires_grad=True)
    for read in (np.array, np.asarray, lambda t: np.concatenate([t, t]), lambda t: t.numpy()):
        with pytest.raises(RuntimeError, match="requires grad"):
            read(x)
    assert np.array(x.detach()).sum() == 2 and x.numpy(force=True).sum() == 2


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        (lambda t: setattr(t, "grad", 3), "grad: wanted a Tensor or None, got int"),
        (lambda t: setattr(t, "data", [1]), "data: wanted a Tensor, got list"),
        (lambda t: f"{t:.2f}", r"shape \[2\]"),
        (lambda t: rt.randint(5), r"randint\(high, size\)"),
    ],
)
def test_misuse_says_what_was_wanted(wrong, text):
    with pytest.raises(TypeError, match=text):
        wrong(rt.ones(2))


def test_accelerators_are_asked_for_and_absent() -> None:
    import rustorch.backends.cudnn as cudnn

    from rustorch.cuda.amp import GradScaler, autocast

    script = (
        "import rustorch.backends as b\n"
        "print(*[getattr(b.cudnn, n) for n in ('deterministic', 'benchmark', 'enabled', 'allow_tf32')],"
        "b.cuda.matmul.allow_tf32, b.mkldnn.enabled, b.cudnn.is_available(), b.cuda.is_built())"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout.split() == ["False", "False", "True", "True", "False", "True", "False", "False"]
    cudnn.benchmark = True
    assert rt.backends.cudnn.benchmark and not cudnn.is_available()
    assert not rt.accelerator.is_available() and rt.accelerator.current_accelerator() is None
    assert rt.accelerator.device_count() == 0 and not rt.cuda.is_bf16_supported()
    rt.accelerator.synchronize()
    p = rt.ones(1, requires_grad=True)
    opt = rt.optim.SGD([p], lr=0.5)
    with pytest.warns(Warning) as warned:
        scaler, context = GradScaler(), autocast()
    assert {w.category for w in warned} == {FutureWarning, UserWarning}
    with context:
        loss = (p * 2).sum()
    scaler.scale(loss).backward()
    scaler.unscale_(opt)
    scaler.step(opt)
    assert scaler.step(opt, closure=lambda: p.grad.zero_() is None or 7) == scaler.step(opt, lambda: 7) == 7
    scaler.update()
    scaler.load_state_dict(scaler.state_dict())
    assert p.item() == 0 and not scaler.is_enabled() and scaler.get_scale() == 1


def test_data_parallel_is_the_module_one_level_down() -> None:
    class Adds(rt.nn.Module):
        def forward(self, *args: Any, more: float = 0.0) -> Any:
            return sum(args) + more

    two = rt.tensor(2.0)
    for inputs, kwargs, want in ((two, None, 2), ((two, two), {}, 4), (two, {"more": 0.5}, 2.5)):
        assert rt.nn.parallel.data_parallel(Adds(), inputs, module_kwargs=kwargs).item() == want
        args = inputs if isinstance(inputs, tuple) else (inputs,)
        assert rt.nn.DataParallel(Adds())(*args, **(kwargs or {})).item() == want
    inner = rt.nn.Linear(2, 1)
    model = rt.nn.DataParallel(inner)
    assert list(model.state_dict()) == ["module.weight", "module.bias"]
    same(model(rt.ones(1, 2)), inner(rt.ones(1, 2)).tolist())
    same(rt.nn.parallel.data_parallel(inner, rt.ones(1, 2)), inner(rt.ones(1, 2)).tolist())


def test_old_way_to_set_the_default_dtype() -> None:
    try:
        for t in (rt.DoubleTensor, "rustorch.DoubleTensor"):
            rt.set_default_tensor_type(t)
            assert rt.zeros(1).dtype is rt.float64
            rt.set_default_tensor_type(rt.FloatTensor)
            assert rt.zeros(1).dtype is rt.float32
    finally:
        rt.set_default_dtype(rt.float32)


def test_results_with_names_print_as_pytorch_prints_them() -> None:
    r = rt.max(rt.tensor([[1, 2]]), 1)
    assert repr(r) == "rustorch.return_types.max(\nvalues=tensor([2]),\nindices=tensor([1]))"
    assert str(rt.Tensor) == "<class 'rustorch.Tensor'>" and pickle.loads(pickle.dumps(rt.Tensor)) is rt.Tensor


def test_functional_calls() -> None:
    from rustorch.func import functional_call, grad, grad_and_value, hessian, jacrev, vjp

    m = rt.nn.Sequential(rt.nn.Linear(2, 2), rt.nn.BatchNorm1d(2))
    before = {k: v.clone() for k, v in m.state_dict().items()}
    given = {"0.weight": rt.eye(2), "0.bias": rt.zeros(2), "1.running_mean": rt.zeros(2)}
    a = rt.tensor([[1.0, 2.0]])
    same(functional_call(m.eval(), given, (a,)), a.tolist(), 1e-4)
    assert all(rt.equal(v, before[k]) for k, v in m.state_dict().items())
    with pytest.raises(RuntimeError, match=r"missing .*unexpected"):
        functional_call(m, {"0.nothing": a}, (a,), strict=True)

    def loss(parameters: Any, t: Any) -> Any:
        return functional_call(m, parameters, t).pow(2).sum()

    parameters = dict(m.named_parameters())
    gradient, value = grad_and_value(loss)(parameters, a)
    loss(parameters, a).backward()
    same(value, loss(parameters, a).item())
    for k, p in m.named_parameters():
        same(gradient[k], p.grad.tolist())
    t = rt.tensor([1.0, 2.0])
    same(grad(lambda u, v: (u * v).sum(), argnums=1)(t, t), [1, 2])
    same(grad(grad(lambda u: u**3))(rt.tensor(2.0)), 12)
    assert grad(lambda u: (u.sum(), "aux"), has_aux=True)(t)[1] == "aux"
    same(jacrev(lambda u: u**2)(t), [[2, 0], [0, 4]])
    same(hessian(lambda u, v: (u**3).sum() + v.sum())(t, t), [[6, 0], [0, 12]])
    out, product = vjp(lambda u: u.exp(), t)
    same(product(rt.ones(2))[0], out.tolist())
    for wrong in (lambda: grad(lambda u: u)(t), lambda: grad(lambda u: u)(3.0)):
        with pytest.raises(RuntimeError):
            wrong()


def _put_double(i: int, queue: Any, t: Any) -> None:
    queue.put((i, t * 2))


def _fail(i: int) -> None:
    raise SystemExit(3)


def test_processes() -> None:
    mp = rt.multiprocessing
    queue = mp.get_context("fork").SimpleQueue()
    mp.spawn(_put_double, (queue, rt.ones(2)), nprocs=2, start_method="fork")
    found = sorted(queue.get() for _ in range(2))
    assert [i for i, _ in found] == [0, 1] and all(t.tolist() == [2, 2] for _, t in found)
    (p,) = mp.spawn(_fail, join=False, start_method="fork")
    p.join()
    assert p.exitcode == 3
    with pytest.raises(RuntimeError, match="process 0 terminated with exit code 3"):
        mp.spawn(_fail, start_method="fork")


def test_jacobians_and_hessians() -> None:
    from rustorch.autograd import functional

    m, u = rt.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), rt.tensor([1.0, -2.0])
    same(functional.jacobian(lambda v: m @ v, u), m.tolist())
    by_m, by_u = functional.jacobian(lambda a, v: a @ v, (m, u))
    same(by_m[1], [[0, 0], [1, -2], [0, 0]])
    same(by_u, m.tolist())
    same(functional.jacobian(lambda v: rt.ones(2), u), np.zeros((2, 2)))
    assert functional.jacobian(lambda v: v[:0], u).shape == (0, 2)
    same(functional.hessian(lambda v: (v**3).sum(), u), [[6, 0], [0, -12]])
    value, product = functional.vjp(lambda v: m @ v, u, rt.tensor([1.0, 0.0, 1.0]))
    same(value, (m @ u).tolist())
    same(product, [6, 8])
    same(functional.jvp(lambda v: m @ v, u, rt.tensor([1.0, 1.0]))[1], [3, 7, 11])
    same(functional.hvp(lambda v: (v**3).sum(), u, rt.tensor([1.0, 1.0]))[1], [6, -12])
    same(functional.vjp(lambda v: v.sum(), u)[1], [1, 1])
    v = u.clone().requires_grad_()
    functional.jacobian(lambda w: w**2, v, create_graph=True).sum().backward()
    same(v.grad, [2, 2])
    for wrong in (
        lambda: functional.jacobian(lambda w: rt.ones(1, requires_grad=True), u, strict=True),
        lambda: functional.vjp(lambda w: w, u),
        lambda: functional.vjp(lambda w: w, u, rt.ones(3)),
        lambda: functional.hessian(lambda w: w, u),
        lambda: functional.jacobian(lambda w: 3, u),
    ):
        with pytest.raises(errors.RustorchError):
            wrong()


def test_composed_words() -> None:
    t = x()
    same(t.diff(), np.diff(A))
    same(rt.diff(t, 2, 0), np.diff(A, 2, 0))
    same(rt.diff(t, dim=0, prepend=rt.zeros(1, 4)), np.diff(A, axis=0, prepend=np.zeros((1, 4))))
    assert rt.diff(t > 0).tolist() == np.diff(A > 0).tolist()
    same(rt.trapezoid(t, dx=2), ((A[:, 1:] + A[:, :-1]) / 2 * 2).sum(1))
    same(rt.trapezoid(t, rt.tensor([0.0, 1.0, 3.0]), dim=0), (A[0] + A[1]) / 2 + (A[1] + A[2]))
    same(rt.cdist(t, t + 1), np.sqrt(((A[:, None] - A[None] - 1) ** 2).sum(-1)))
    same(rt.histc(t, 4, -1, 2), np.histogram(A, 4, (-1, 2))[0])
    same(t.histc(3), np.histogram(A, 3)[0])
    values, inverse, counts = rt.unique_consecutive(rt.tensor([1, 1, 2, 1]), True, True)
    assert (values.tolist(), inverse.tolist(), counts.tolist()) == ([1, 2, 1], [0, 0, 1, 2], [2, 1, 1])
    assert rt.unique_consecutive(rt.tensor([[1, 1, 2]]), dim=1).tolist() == [[1, 2]]
    for name in ("hsplit", "vsplit"):
        for parts in (1, [1, 2]):
            for ours, theirs in zip(getattr(rt, name)(t, parts), getattr(np, name)(A, parts), strict=True):
                same(ours, theirs)
    assert [p.shape[2] for p in rt.dsplit(rt.ones(1, 1, 4), 2)] == [2, 2]
    u = t.clone()
    assert u.t_() is u and u.shape == (4, 3) and u.unsqueeze_(0).shape == (1, 4, 3) and u.squeeze_().shape == (4, 3)
    same(u.transpose_(0, 1), A)
    for shape, wrap in (((3, 3), False), ((2, 4), False), ((8, 3), True), ((8, 3), False), ((2, 2, 2), False)):
        a = np.zeros(shape)
        np.fill_diagonal(a, 5, wrap)
        same(rt.zeros(shape).fill_diagonal_(5, wrap), a)
    leaf = rt.ones(2, requires_grad=True)
    product = leaf * rt.tensor([1.0, 2.0])
    product.unsqueeze_(0).sum().backward()
    same(leaf.grad, [1, 2])
    for wrong in (
        lambda: leaf.unsqueeze_(0),
        lambda: rt.zeros(2).fill_diagonal_(1),
        lambda: rt.hsplit(t, 3),
        lambda: rt.vsplit(t[0], 1),
        lambda: rt.cdist(t, t[:, :2]),
        lambda: rt.histc(t, 0),
    ):
        with pytest.raises(errors.RustorchError):
            wrong()
    same(t[range(2), [0, 1]], A[[0, 1], [0, 1]])


def test_hooks_of_nodes() -> None:
    """Gradients of a product: those of its two inputs from the one that came to its output."""
    a = rt.tensor([2.0, 3.0], requires_grad=True)
    b = rt.tensor([5.0, 7.0], requires_grad=True)
    seen: list[Any] = []

    def product(hook: Any, before: bool = False) -> Any:
        y = a * b
        handle = y.grad_fn.register_prehook(hook) if before else y.grad_fn.register_hook(hook)
        return (y * rt.tensor([1.0, 10.0])).sum(), handle

    def note(*groups: Any) -> None:
        seen.append([[g.tolist() for g in group] for group in groups])

    def gradients(y: Any) -> Any:
        return [g.tolist() for g in autograd.grad(y, (a, b))]

    plain = [[5.0, 70.0], [2.0, 30.0]]
    assert gradients(product(note)[0]) == plain and seen == [[plain, [[1.0, 10.0]]]]
    assert gradients(product(note, True)[0]) == plain and seen[1:] == [[[[1.0, 10.0]]]]
    assert gradients(product(lambda i, o: (i[0] + 1, None))[0] + b.sum()) == [[6.0, 71.0], [1.0, 1.0]]
    assert gradients(product(lambda o: (o[0] * 2,), True)[0]) == [[10.0, 140.0], [4.0, 60.0]]
    y, handle = product(lambda i, o: (i[0] * 0, i[1] * 0))
    handle.remove()
    assert gradients(y) == plain
    for hook, before, text in (
        (lambda i, o: (o[0],), False, "got 1, but expected 2"),
        (lambda o: (o[0], o[0]), True, "got 2, but expected 1"),
        (lambda i, o: [i[0], i[1]], False, "expected tuple"),
        (lambda i, o: (i[0], 1.0), False, "expected Variable"),
    ):
        with pytest.raises(errors.RustorchError, match=text):
            product(hook, before)[0].backward()
    leaf = autograd.graph.get_gradient_edge(a).node
    with leaf.register_hook(note):
        (a * 4).sum().backward()
    assert seen[2:] == [[[], [[4.0, 4.0]]]] and leaf.name() == "AccumulateGrad" and leaf.variable is not None
    assert leaf.variable.tolist() == [2.0, 3.0]
    (a * 4).sum().backward()
    assert len(seen) == 3


def test_places_of_nodes_and_notes_at_them() -> None:
    x = rt.arange(6.0, requires_grad=True)
    parts = x.split([1, 2, 3])
    edges = [autograd.graph.get_gradient_edge(p) for p in parts]
    assert [e.output_nr for e in edges] == [0, 1, 2] and len({e.node for e in edges}) == 1
    ((below, number),) = edges[0].node.next_functions
    assert number == 0 and below is autograd.graph.get_gradient_edge(x).node
    total = parts[1].sum() * parts[2].sum()
    (left, _), (right, _) = total.grad_fn.next_functions
    assert [n.next_functions[0][1] for n in (left, right)] == [1, 2]
    left.metadata["a"] = 1
    left.metadata["b"] = 2
    assert total.grad_fn.next_functions[0][0].metadata == {"a": 1, "b": 2} and right.metadata == {}
    with pytest.raises(AttributeError, match="variable"):
        _ = left.variable
    with pytest.raises(errors.AutogradError, match="does not require"):
        autograd.graph.get_gradient_edge(rt.ones(1))


def test_hooks_of_saved_tensors() -> None:
    graph = autograd.graph
    log: list[Any] = []

    def kept(name: str) -> Any:
        def pack(t: rt.Tensor) -> Any:
            log.append((name, t.tolist()))
            return name, np.array(t.tolist())

        def unpack(packed: Any) -> rt.Tensor:
            log.append(packed[0])
            return rt.tensor(packed[1], dtype=rt.float32)

        return graph.saved_tensors_hooks(pack, unpack)

    x = rt.tensor([3.0], requires_grad=True)
    with kept("outer"):
        with kept("inner"):
            y = x * x
        z = y.exp() * 0
    w = x * x  # outside of both
    assert {name for name, _ in log} == {"outer", "inner"} and ("inner", [3.0]) in log
    packed = len(log)
    (y + z + w).backward()
    assert x.grad.tolist() == [12.0] and set(log[packed:]) == {"outer", "inner"}
    with graph.saved_tensors_hooks(lambda t: None, lambda p: 1):
        bad = x * x
    with pytest.raises(errors.DTypeError, match="expected to be a Tensor"):
        bad.backward()
    # Refused inside of the one, and the other way round; both end with their blocks.
    with graph.disable_saved_tensors_hooks("not here"):
        with graph.disable_saved_tensors_hooks("nor here"), pytest.raises(errors.AutogradError, match="nor here"):
            kept("").__enter__()
        with pytest.raises(errors.AutogradError, match="not here"):
            kept("").__enter__()
        assert (x * x).item() == 9
    with kept(""), pytest.raises(errors.AutogradError, match="too late"):
        with graph.disable_saved_tensors_hooks("too late"):
            pass
    with graph.disable_saved_tensors_hooks("in time"):
        pass
    with kept("again"):
        pass
    for inside, result in ((graph.save_on_cpu(), [6.0]), (graph.allow_mutation_on_saved_tensors(), [6.0])):
        x.grad = None
        with inside:
            t = x * 1
            (t * t).backward()
            assert x.grad.tolist() == result
    x.grad = None
    with graph.allow_mutation_on_saved_tensors():
        t = x * 1
        square = t * t
        t.mul_(100)
        square.backward()
        assert x.grad.tolist() == [6.0]
    c = rt.ones(1)
    for several in (c, [c, rt.ones(1)]):
        before = c._version
        y = x * c
        graph.increment_version(several)
        assert c._version == before + 1
        with pytest.raises(errors.AutogradError, match="modified"):
            y.backward()


def test_one_hook_for_several_gradients() -> None:
    a, b, c = (rt.tensor([v], requires_grad=True) for v in (2.0, 3.0, 5.0))
    seen: list[Any] = []

    def note(grads: Any) -> None:
        seen.append([g if g is None else g.item() for g in grads] if isinstance(grads, list) else grads.item())

    hook = autograd.graph.register_multi_grad_hook
    handle = hook([a, b, c], note)
    (a * b * c).backward()
    (a * b).backward()
    assert seen == [[15.0, 10.0, 6.0], [3.0, 2.0, None]]

    def fail(g: rt.Tensor) -> None:
        raise ValueError("stop")

    with a.register_hook(fail):  # one of the gradients has come, or none, when backward ends
        for _ in range(2):
            with pytest.raises(ValueError, match="stop"):
                (a * b).backward()
    (a * b).backward()
    assert seen[2:] == [[3.0, 2.0, None]]
    handle.remove()
    (a * b).backward()
    assert len(seen) == 3
    with hook(iter([a, b]), note, mode="any"):
        (a * b).backward()
        (a * c).backward()
    assert len(seen) == 5 and seen[3] in (3.0, 2.0) and seen[4] == 5.0
    (a * b).backward()
    assert len(seen) == 5
    with pytest.raises(errors.InvalidArgumentError, match="mode"):
        hook([a], note, mode="some")


def test_the_rest_of_what_tensors_can() -> None:
    x = rt.ones(2, requires_grad=True)
    y = x * 2
    assert y.detach_() is y and not y.requires_grad and y.grad_fn is None and y.is_leaf
    (y * x).sum().backward()
    assert x.grad is not None and x.grad.tolist() == [2, 2]
    del x.grad
    assert x.grad is None
    with pytest.raises(errors.AutogradError, match="views"):
        (x * 1)[:1].detach_()
    t = rt.tensor([[1, 2], [3, 4]])
    assert 3 in t and 5 not in t and complex(rt.tensor(2.5)) == 2.5 + 0j
    assert f"{rt.tensor(3.14159):.2f} {rt.tensor(True)} {rt.tensor([1])}" == "3.14 True tensor([1])"
    with pytest.raises(errors.DTypeError, match="format"):
        f"{t:.2f}"
    assert "abc"[rt.tensor(1)] == "abc"[rt.tensor([[2]])[0, 0] - 1] == "b"
    for wrong in (rt.tensor(1.0), t):
        with pytest.raises(errors.DTypeError, match="index"):
            _ = "abc"[wrong]
    # The same elements in the same way: place, sizes and steps.
    assert t.is_set_to(t.detach()) and t.is_set_to(t.view(2, 2))
    for other in (t.t(), t.view(4), t.clone(), t[:, :1]):
        assert not t.is_set_to(other)
    size = t.shape
    for part in (size.__add__((5,)), size[:1], size + size[1:], pickle.loads(pickle.dumps(size))):
        assert type(part) is rt.Size
    assert size.numel() == 4 and (size + size).numel() == 16 and rt.Size().numel() == 1 and type(size[0]) is int


def test_numbers_and_arrays_on_the_left() -> None:
    """Each operator with its operands in either order, as NumPy has them."""
    import operator as o

    whole, real = np.array([1, 2, 5]), np.array([1.5, 2.0, 5.0])
    both = (o.add, o.sub, o.mul, o.truediv, o.pow, o.mod, o.floordiv)
    bits = (o.and_, o.or_, o.xor, o.lshift, o.rshift)
    for a, left, ops in (
        (real, (7.0, 7, np.float64(7), np.array([7.0, 8.0, 9.0])), both),
        (whole, (7, np.int64(7), np.array([7, 8, 9])), both + bits),
        (whole > 1, (True, np.array([True, False, True])), bits[:3]),
    ):
        t = rt.tensor(a.tolist(), dtype=rt.float64 if a is real else None)
        for v in left:
            for op in ops:
                if not (op is o.pow and a is whole):
                    np.testing.assert_allclose(op(v, t).numpy(), op(v, a), rtol=1e-6, err_msg=f"{op} {v!r}")
                np.testing.assert_allclose(op(t, v).numpy(), op(a, v), rtol=1e-6, err_msg=f"{op} {v!r}")
                if isinstance(v, np.ndarray):
                    assert isinstance(op(v, t), rt.Tensor)
                    other = rt.tensor(v.tolist(), dtype=t.dtype)
                    name = f"__r{op.__name__.rstrip('_')}__"
                    if hasattr(t, name) and op not in (o.add, o.mul, o.sub, o.truediv):
                        np.testing.assert_allclose(getattr(t, name)(other).numpy(), op(v, a), rtol=1e-6)
    assert (rt.ones(2).__iadd__("x"), rt.ones(2).__imul__(None)) == (NotImplemented, NotImplemented)


def test_removed_hooks_do_not_run_for_what_is_still_to_come() -> None:
    """Whoever else still holds the graph, and whether or not the tensor is still there."""
    seen: list[float] = []
    for gone in (False, True):
        for remove in (True, False):
            x = rt.ones(1, requires_grad=True)
            y = x * 2
            handle = y.register_hook(lambda g: seen.append(g.item()))
            node = y.grad_fn.register_hook(lambda i, o: seen.append(-o[0].item()))
            z = y * 3
            if gone:
                del y
            if remove:
                handle.remove()
                node.remove()
                node.remove()  # once more is no harm
            z.backward()
            assert x.grad is not None and x.grad.item() == 6
            assert seen == ([] if remove else [3.0, -3.0])
        seen.clear()


def test_hooks_of_leaves_that_are_gone_see_their_attributes() -> None:
    seen: list[Any] = []
    for make in (lambda: rt.ones(1, requires_grad=True), lambda: rt.nn.Parameter(rt.ones(1))):
        x = make()
        x.tag = "here"
        x.register_post_accumulate_grad_hook(lambda t: seen.append((type(t), t.tag, t.grad.item())))
        y, kind = x * 2, type(x)
        del x
        y.backward()
        assert seen.pop() == (kind, "here", 2.0)


def test_devices_are_equal_if_type_and_index_are() -> None:
    names = [("cpu", None), ("cpu", 0), ("cuda", None), ("cuda", 0), ("cuda", 1)]
    devices = [rt.device(*name) for name in names]
    for i, a in enumerate(devices):
        for j, b in enumerate(devices):
            assert (a == b) is (i == j) and (a != b) is (i != j)
            assert rt.device(b) == b and rt.device(str(b)) == b and hash(rt.device(b)) == hash(b)
    assert len({*devices, *map(rt.device, devices)}) == 5 and rt.device("cpu") != "cpu"
    for place in devices[:2]:
        with place as entered:
            assert entered is place
    for place in devices[2:]:
        with pytest.raises(errors.UnsupportedError, match="no device"), place:
            pass


def test_calls_with_tensors_that_have_two_names() -> None:
    """A module under two names is as before in the end, whatever came under which of them."""
    net = rt.nn.ModuleDict({"a": rt.nn.Linear(1, 1, bias=False)})
    net["b"] = net["a"]
    net.forward = lambda x: net["a"](x)
    weight, one, two = net["a"].weight, rt.tensor([[3.0]]), rt.tensor([[5.0]])
    for given in ({"a.weight": one, "b.weight": two}, {"b.weight": one, "a.weight": two}, {"a.weight": one}):
        assert rt.func.functional_call(net, given, rt.ones(1)).item() == [*given.values()][-1].item()
        assert net["a"].weight is weight is net["b"].weight


def test_transforms_record_only_where_that_is_wanted() -> None:
    x = rt.tensor([2.0], requires_grad=True)

    def cube(t: rt.Tensor) -> rt.Tensor:
        return (t**3).sum()

    for on in (True, False):
        with rt.set_grad_enabled(on):
            for transform in (rt.func.grad, lambda f: lambda t: rt.func.grad_and_value(f)(t)[0]):
                g = transform(cube)(x)
                assert g.item() == 12 and g.requires_grad is on
                assert not transform(cube)(x.detach()).requires_grad
    # Results that do not depend on the argument have their place among the vectors.
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        parts = [lambda t: t * 2, lambda t: rt.ones(1), lambda t: t * t]
        _, product = rt.func.vjp(lambda t, o=order, p=parts: tuple(p[i](t) for i in o), x.detach())
        weights = {0: 10.0, 1: 100.0, 2: 1000.0}
        (g,) = product(*(rt.tensor([weights[i]]) for i in order))
        assert g.item() == 2 * 10 + 4 * 1000
