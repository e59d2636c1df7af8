"""What views, shared memory and in-place writes may and may not do with memory."""

from __future__ import annotations

import ctypes
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any

import numpy as np
import pytest

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import _ops
from rustorch.errors import AutogradError, InternalError, RustorchError

HUGE = 2**62


@pytest.mark.parametrize(
    "make",
    [
        lambda: rt.ones(1).expand(HUGE, 8),
        lambda: rt.ones(1).expand(4, 2**63 - 2, 2**63 - 1),
        lambda: rt.ones(1, 1).expand(HUGE, 8).max(1),
        lambda: rt.ones(1).expand_as(rt.ones(1).expand(HUGE)).expand(8, HUGE),
        lambda: rt.broadcast_to(rt.ones(1), (2**32, 2**32)),
        lambda: rt.broadcast_tensors(rt.ones(1, 1).expand(2**40, 1), rt.ones(1, 1).expand(1, 2**40)),
        lambda: rt.meshgrid(rt.ones(1).expand(2**40), rt.ones(1).expand(2**40), indexing="ij"),
        lambda: rt.ones(1).expand(HUGE).unfold(0, 2**61, 1),
        lambda: rt.ones(1, 1).expand(2**40, 1) + rt.ones(1, 1).expand(1, 2**40),
        lambda: rt.ones(4).as_strided((2**32, 2**32), (0, 0)),
        lambda: rt.ones(4).as_strided((2, 2), (2**62, 2**62)),
        lambda: rt.ones(4).as_strided((2,), (1,), 2**63 - 1),
        lambda: rt.empty(0, HUGE, HUGE),
        lambda: rt.zeros(0, 2**40, 2**40),
        lambda: rt.empty(0).view(0, 2**40, 2**40),
        lambda: rt.empty(0).reshape(2**40, 0, 2**40),
        lambda: rt.ones(1).expand(HUGE).repeat(8),
        lambda: rt.empty(2**63 - 1),
        lambda: rt.cat([rt.zeros(1).expand(HUGE)] * 4),
        lambda: rt.stack([rt.zeros(1).expand(HUGE)] * 4),
        lambda: rt.zeros(1).expand(HUGE).clone(),
        lambda: rt.zeros(1).expand(2**61).to(rt.float64),
        lambda: rt.zeros(1).expand(HUGE).flatten().contiguous(),
        lambda: rt.ones(1).expand(2**62).diag_embed(),
        lambda: rt.ones(1).expand(2**62).repeat_interleave(8),
        lambda: F.pad(rt.ones(1).expand(2**63 - 1), (1, 1)),
        lambda: F.pixel_unshuffle(rt.ones(3, 0, 0), 2**40),
        lambda: rt.ones(1).expand(2**62).outer(rt.ones(8)),
        lambda: rt.block_diag(rt.ones(1).expand(2**62), rt.ones(1).expand(2**62)),
        lambda: rt.ones(1).expand(2**62).repeat_interleave(rt.tensor([8])),
        lambda: rt.ones(1).expand(2**62).repeat_interleave(rt.tensor(3)),
    ],
)
def test_sizes_that_overflow_are_refused(make):
    with pytest.raises(RustorchError) as caught:
        make()
    assert not isinstance(caught.value, InternalError)


def test_large_views_that_can_be_counted():
    x = rt.zeros(1).expand(HUGE)
    assert x.numel() == HUGE and x.stride() == (0,) and x[5:7].tolist() == [0.0, 0.0]
    assert rt.empty(0, HUGE).stride() == (HUGE, 1)
    assert x.view(2**31, 2**31)[3, 4].item() == 0.0


# ---- bools are bytes ----


def dirty_masks():
    """Masks that are true where `i % 3` is not 0, made of bytes other than 0 and 1 in every way there is."""
    n = 40_000
    raw = (np.arange(n) % 3 * 85).astype(np.uint8)
    yield "from_numpy", rt.from_numpy(raw.view(np.bool_))
    yield "strided", rt.from_numpy(np.stack([raw, raw], 1).view(np.bool_))[:, 1]
    yield "frombuffer", rt.frombuffer(bytearray(raw.tobytes()), dtype=rt.bool)
    yield "view", rt.from_numpy(raw.copy()).view(rt.bool)
    yield "dlpack", rt.from_dlpack(raw.copy()).view(rt.bool)
    yield "changed later", changed_later(raw)


def same(a, b):
    return rt.equal(a, b) and a.dtype == b.dtype and a.shape == b.shape


def changed_later(raw):
    block = np.zeros_like(raw)
    t = rt.from_numpy(block.view(np.bool_))
    block[:] = raw
    return t


@pytest.mark.parametrize("name,mask", list(dirty_masks()), ids=lambda v: v if isinstance(v, str) else "")
def test_bools_are_true_where_their_byte_is_not_zero(name, mask):
    n = mask.numel()
    clean = rt.arange(n) % 3 != 0
    wanted = clean.nonzero().flatten()
    x = rt.arange(n)
    assert same(x[mask], wanted) and same(x.masked_select(mask), wanted) and same(mask.nonzero().flatten(), wanted)
    assert mask.tolist() == clean.tolist() and [v for v in mask[:4]] == [False, True, True, False]
    assert (
        mask[1].item() is True and mask.sum().item() == len(wanted) and mask.sum(dtype=rt.int32).item() == len(wanted)
    )
    assert mask.count_nonzero().item() == len(wanted) and mask.float().sum().item() == len(wanted)
    assert abs(mask.float().mean().item() - len(wanted) / n) < 1e-6
    assert mask.to(rt.int64).max().item() == 1 and mask.to(rt.uint8).max().item() == 1
    assert same(mask.to(rt.float16), clean.to(rt.float16)) and same(mask.double(), clean.double())
    assert same(mask + 1, clean + 1) and same(mask & clean, clean) and same(mask | False, clean)
    assert (
        same(~mask, ~clean)
        and same(mask ^ clean, rt.zeros(n, dtype=rt.bool))
        and same(mask == clean, rt.ones(n, dtype=rt.bool))
    )
    assert same(mask.logical_not(), ~clean) and rt.equal(mask, clean) and same(mask != True, ~clean)  # noqa: E712
    assert same(rt.where(mask, x, 0), rt.where(clean, x, 0)) and same(x.masked_fill(mask, 7), x.masked_fill(clean, 7))
    assert same(x.masked_scatter(mask, x), x.masked_scatter(clean, x)) and mask.any().item() and not mask.all().item()
    assert same(mask.sort()[0], clean.sort()[0]) and same(mask.sort(stable=True)[1], clean.sort(stable=True)[1])
    assert same(mask.cumsum(0), clean.cumsum(0)) and same(mask.prod(dtype=rt.int64), clean.prod(dtype=rt.int64))
    assert mask.unique().tolist() == [False, True] and mask.unique(return_counts=True)[1].tolist() == [
        n - len(wanted),
        len(wanted),
    ]
    assert mask[:7].unique_consecutive().tolist() == clean[:7].unique_consecutive().tolist()
    assert mask.max().item() is True and mask[:1].max().item() is False and mask.max(0).indices.item() == 1
    assert mask.sort(descending=True)[0][:3].tolist() == [True] * 3
    assert (
        same(mask.clone(), clean)
        and same(rt.cat([mask, mask]), rt.cat([clean, clean]))
        and same(mask.flip(0), clean.flip(0))
    )
    assert same(rt.zeros(n).index_put((mask,), rt.tensor(1.0)), clean.float())
    assert _ops.isin(mask.to(rt.uint8), rt.tensor([1], dtype=rt.uint8)).sum().item() == len(wanted)
    y = rt.zeros(n)
    y[mask] = 1.0
    assert same(y, clean.float())
    assert str(mask[:3]) == "tensor([False,  True,  True])"
    assert same(rt.matmul(mask[:6].reshape(2, 3).to(rt.int64), rt.ones(3, dtype=rt.int64)), rt.tensor([2, 2]))
    back = rt.zeros(n, dtype=rt.uint8)
    back.copy_(mask)
    assert back.max().item() == 1
    with tempfile.TemporaryDirectory() as d:
        rt.save({"m": mask}, f"{d}/m.safetensors")
        assert same(rt.load(f"{d}/m.safetensors")["m"], clean)


# ---- writing where elements overlap ----


INPLACE = {
    "add_": lambda x: x.add_(1),
    "mul_": lambda x: x.mul_(rt.ones(4)),
    "relu_": lambda x: x.relu_(),
    "copy_": lambda x: x.copy_(rt.arange(4.0)),
    "setitem": lambda x: x.__setitem__(slice(None), rt.arange(4.0)),
    "uniform_": lambda x: x.uniform_(),
    "normal_": lambda x: x.normal_(),
    "bernoulli_": lambda x: x.bernoulli_(0.5),
    "clamp_": lambda x: x.clamp_(0, 1),
    "cumsum_": lambda x: x.cumsum_(0),
    "scatter_": lambda x: x.scatter_(0, rt.tensor([0]), 1.0),
    "scatter_add_": lambda x: x.scatter_add_(0, rt.tensor([0]), rt.ones(1)),
    "index_add_": lambda x: x.index_add_(0, rt.tensor([0]), rt.ones(1)),
    "index_copy_": lambda x: x.index_copy_(0, rt.tensor([0]), rt.ones(1)),
    "index_put_": lambda x: x.index_put_((rt.tensor([0]),), rt.ones(1)),
    "masked_scatter_": lambda x: x.masked_scatter_(rt.tensor([True] * 4), rt.ones(4)),
    "addmv_": lambda x: x.addmv_(rt.ones(4, 4), rt.ones(4)),
    "out=": lambda x: rt.add(rt.ones(4), 1, out=x),
    "exp out=": lambda x: rt.exp(rt.ones(4), out=x),
    "sgd": lambda x: step(rt.optim.SGD, x),
    "sgd momentum": lambda x: step(rt.optim.SGD, x, momentum=0.9),
    "adam": lambda x: step(rt.optim.Adam, x),
    "rmsprop": lambda x: step(rt.optim.RMSprop, x),
    "adagrad": lambda x: step(rt.optim.Adagrad, x),
}


def step(kind, x, **options):
    p = x.detach()
    p.requires_grad_(True)
    p.grad = rt.ones(4)
    kind([p], lr=1.0, **options).step()


@pytest.mark.parametrize("name", INPLACE)
@pytest.mark.parametrize("view", ["expanded", "windows", "windows of foreign memory"])
def test_writing_to_elements_that_share_a_place_is_refused(name, view):
    if view == "expanded":
        base = rt.zeros(1)
        x = base.expand(4)
    else:
        base = rt.zeros(5) if view == "windows" else rt.from_numpy(np.zeros(5, np.float32))
        x = base.as_strided((4,), (0,), 2)
    before, version = base.clone(), base._version
    with pytest.raises(RuntimeError, match=r"single memory location|share a place"):
        INPLACE[name](x)
    assert rt.equal(base, before) and base._version == version


def test_windows_that_overlap_are_refused_and_others_are_not():
    x = rt.zeros(9)
    for size, stride in [((3, 2), (1, 1)), ((7, 3), (1, 1)), ((4, 3), (2, 1)), ((2, 2, 2), (2, 1, 1))]:
        with pytest.raises(RuntimeError, match="single memory location"):
            x.as_strided(size, stride).add_(1)
    with pytest.raises(RuntimeError, match="single memory location"):
        x.unfold(0, 3, 1).mul_(2)
    x.unfold(0, 3, 3).add_(1)
    x.as_strided((3, 2), (2, 3)).add_(1)
    assert x.tolist() == [2, 1, 2, 2, 2, 2, 1, 2, 1]
    rt.zeros(1).expand(1).add_(1)
    rt.zeros(0, 1).expand(0, 4).add_(1)


def test_fills_of_repeated_elements_write_them_once():
    x = rt.zeros(3, 1)
    assert x.expand(3, 4).fill_(2).sum().item() == 24 and x.flatten().tolist() == [2, 2, 2]
    x.expand(2**40, 3, 1).zero_()
    assert x.flatten().tolist() == [0, 0, 0]
    x.expand(3, 2**40)[1] = 5
    assert x.flatten().tolist() == [0, 5, 0]


def fresh():
    return rt.arange(1.0, 10.0)


PARTIAL = {
    "x[:4] = x[1:5]": lambda x: x.__setitem__(slice(0, 4), x[1:5]),
    "x[1:] = x[:-1]": lambda x: x.__setitem__(slice(1, None), x[:-1]),
    "copy_": lambda x: x[:4].copy_(x[3:7]),
    "add_": lambda x: x[:4].add_(x[1:5]),
    "mul_ one": lambda x: x.mul_(x[1]),
    "sub_ one": lambda x: x.sub_(x[:1]),
    "transposed": lambda x: x.view(3, 3).add_(x.view(3, 3).t()),
    "transposed copy": lambda x: x.view(3, 3).copy_(x.view(3, 3).t()),
    "row": lambda x: x.view(3, 3).add_(x.view(3, 3)[0]),
    "lerp_": lambda x: x.lerp_(rt.ones(9), x[0]),
    "addcmul_": lambda x: x.addcmul_(x[0], x[1]),
    "index_add_": lambda x: x.index_add_(0, rt.arange(9), x),
    "index_copy_": lambda x: x.index_copy_(0, rt.arange(9), x),
    "index_put_": lambda x: x.index_put_((rt.arange(8, -1, -1),), x),
    "scatter_": lambda x: x.scatter_(0, rt.arange(8, -1, -1), x),
    "x[i] = x": lambda x: x.__setitem__(rt.arange(8, -1, -1), x),
    "other dtype": lambda x: x.view(rt.int32).copy_(x),
}


@pytest.mark.parametrize("name", PARTIAL)
def test_reading_what_is_being_overwritten_is_refused(name):
    x = fresh()
    with pytest.raises(RuntimeError, match="single memory location"):
        PARTIAL[name](x)
    assert rt.equal(x, fresh()) and x._version == 0


def test_indices_and_masks_in_the_tensor_they_index():
    i = rt.arange(4)
    for write in [lambda: i.scatter_(0, i, 1), lambda: i.index_fill_(0, i, 9), lambda: i.__setitem__(i, 1)]:
        with pytest.raises(RuntimeError, match="single memory location"):
            write()
    m = rt.tensor([True, False, True])
    with pytest.raises(RuntimeError, match="single memory location"):
        m[:2].masked_fill_(m[1:], False)
    assert m.masked_fill_(m, False).tolist() == [False] * 3 and i.tolist() == [0, 1, 2, 3]


def test_the_same_elements_on_both_sides_and_mingled_ones():
    x = fresh()
    x.add_(x)
    x.copy_(x)
    x.view(3, 3).t().mul_(x.view(3, 3).t())
    assert rt.equal(x, (2 * fresh()) ** 2)
    x = fresh()
    x[:8:2].add_(x[1::2])
    assert x[:8:2].tolist() == [3, 7, 11, 15]
    # Elements in between, some of them met: as if all were read before.
    x = fresh()
    x[0:8:2].copy_(x[2:9:2])
    assert x.tolist() == [3, 2, 5, 4, 7, 6, 9, 8, 9]
    m = fresh().view(3, 3)
    m[0].add_(m[:, 0])
    assert m[0].tolist() == [2, 6, 10]


def test_parameters_and_states_that_share_memory():
    block = rt.zeros(8)
    p = block[:4].detach().requires_grad_(True)
    p.grad = block[2:6].detach()
    with pytest.raises(RuntimeError, match="single memory location"):
        rt.optim.SGD([p], lr=1.0).step()
    q = rt.zeros(4, requires_grad=True)
    q.grad = rt.ones(4)
    bad = rt.zeros(1).expand(4).detach().requires_grad_(True)
    bad.grad = rt.ones(4)
    for kind in [rt.optim.SGD, rt.optim.Adam]:
        with pytest.raises(RuntimeError, match="single memory location"):
            kind([q, bad], lr=1.0).step()
        assert q.tolist() == [0] * 4


# ---- view(dtype) ----


def test_view_of_another_dtype_is_seen_by_backward():
    x = rt.ones(3, requires_grad=True)
    y = x * 2
    z = y * y
    y.detach().view(rt.int32).zero_()
    with pytest.raises(AutogradError, match="modified by an inplace operation"):
        z.sum().backward()
    v = y.detach().view(rt.int32)
    assert v._version == y._version and v.data_ptr() == y.data_ptr()
    assert not y.view(rt.int32).requires_grad and not y.view(rt.float32).view(rt.int32).requires_grad


def test_view_of_another_dtype_by_the_rules():
    x = rt.arange(6, dtype=rt.int32).view(2, 3)
    b = x.view(rt.uint8)
    assert b.shape == (2, 12) and b[1, 4].item() == 4 and rt.equal(b.view(rt.int32), x)
    assert x.view(rt.int16)[:, ::2].tolist() == x.tolist() and x.t().view(rt.float32).stride() == (1, 3)
    assert x[1:].view(rt.uint8).storage_offset() == 12 and rt.zeros(0, 4).view(rt.int8).shape == (0, 16)
    b[0, 0] = 7
    assert x[0, 0].item() == 7
    for refused in [
        lambda: rt.tensor(1.0).view(rt.int8),
        lambda: x.t().view(rt.int16),
        lambda: x.view(rt.int64),
        lambda: b[:, :6].view(rt.int32),
        lambda: b[:, 2:10].view(rt.int32),
        lambda: b[0].as_strided((2, 4), (6, 1)).view(rt.int32),
        lambda: rt.frombuffer(bytearray(17), dtype=rt.uint8, offset=1).view(rt.int64),
    ]:
        with pytest.raises(RuntimeError):
            refused()


# ---- memory of others ----


class Dl(ctypes.Structure):
    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
        ("byte_offset", ctypes.c_uint64),
    ]


class Old(ctypes.Structure):
    _fields_ = [("dl", Dl), ("ctx", ctypes.c_void_p), ("deleter", ctypes.c_void_p)]


class Versioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("ctx", ctypes.c_void_p),
        ("deleter", ctypes.c_void_p),
        ("flags", ctypes.c_uint64),
        ("dl", Dl),
    ]


def imported(versioned=False, shape=(2, 3), strides=None, head=(), **fields):
    """A tensor over a managed tensor that is made by hand, and what must stay alive."""
    block = (ctypes.c_float * 16)(*range(16))
    sizes = (ctypes.c_int64 * len(shape))(*shape)
    steps = None if strides is None else (ctypes.c_int64 * len(strides))(*strides)
    m = (Versioned if versioned else Old)()
    values = dict(data=ctypes.addressof(block), device_type=1, ndim=len(shape), code=2, bits=32, lanes=1)
    values.update(shape=ctypes.addressof(sizes), strides=None if steps is None else ctypes.addressof(steps))
    for k, v in {**values, **fields}.items():
        setattr(m.dl, k, v)
    for k, v in (dict(major=1) | dict(head)).items() if versioned else ():
        setattr(m, k, v)
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    name = ctypes.create_string_buffer(b"dltensor_versioned" if versioned else b"dltensor")
    keep.append((block, sizes, steps, m, name))
    return rt.from_dlpack(new(ctypes.addressof(m), ctypes.cast(name, ctypes.c_char_p), None))


keep: list = []


@pytest.mark.parametrize("versioned", [False, True])
def test_dlpack_of_others(versioned):
    assert imported(versioned).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert imported(versioned, strides=(1, 2)).tolist() == [[0, 2, 4], [1, 3, 5]]
    assert imported(versioned, byte_offset=8).tolist() == [[2, 3, 4], [5, 6, 7]]
    assert imported(versioned, shape=()).item() == 0.0
    assert imported(versioned, shape=(1, 2), strides=(-(2**63), 1)).tolist() == [[0, 1]]
    assert imported(versioned, shape=(1, 2), strides=(2**63 - 1, 1)).tolist() == [[0, 1]]
    assert imported(versioned, shape=(0, 2), data=None).shape == (0, 2)
    assert imported(versioned, shape=(3,), strides=(0,)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    "wrong",
    [
        dict(data=None),
        dict(data=None, byte_offset=8),
        dict(ndim=-1),
        dict(ndim=-(2**31)),
        dict(ndim=2**31 - 1),
        dict(shape=(-1, 2)),
        dict(shape=(2**62, 2**62)),
        dict(shape=(0, 2**63 - 1, 2**63 - 1)),
        dict(strides=(-3, 1)),
        dict(strides=(2**62, 1)),
        dict(strides=(2**61, 2**61)),
        dict(strides=(-(2**63), 1)),
        dict(byte_offset=2**64 - 1),
        dict(byte_offset=2**63),
        dict(byte_offset=2),
        dict(lanes=0),
        dict(lanes=2),
        dict(bits=24),
        dict(bits=0),
        dict(code=17),
        dict(device_type=2),
        dict(device_type=0),
    ],
    ids=str,
)
@pytest.mark.parametrize("versioned", [False, True])
def test_dlpack_that_cannot_be_is_refused(wrong, versioned):
    with pytest.raises(RuntimeError):
        imported(versioned, **wrong)


def test_dlpack_without_shape_or_of_another_version_is_refused():
    for m in [dict(major=2), dict(major=0), dict(flags=1)]:
        with pytest.raises(RuntimeError):
            imported(True, head=m)
    block = Old()
    block.dl.ndim, block.dl.device_type, block.dl.code, block.dl.bits, block.dl.lanes = 2, 1, 2, 32, 1
    block.dl.data = ctypes.addressof(block)
    keep.append(block)
    new = ctypes.pythonapi.PyCapsule_New
    name = ctypes.create_string_buffer(b"dltensor")
    keep.append(name)
    with pytest.raises(RuntimeError):
        rt.from_dlpack(new(ctypes.addressof(block), ctypes.cast(name, ctypes.c_char_p), None))


def test_memory_that_does_not_lie_at_whole_elements_is_refused():
    raw = np.zeros(17, np.uint8)
    odd = raw[1:].view(np.float32)
    with pytest.raises(RuntimeError, match="whole elements"):
        rt.from_numpy(odd)
    with pytest.raises(RuntimeError, match="aligned"):
        rt.frombuffer(bytearray(17), dtype=rt.float64, offset=1)
    assert rt.tensor(odd).tolist() == [0.0] * 4


# ---- work goes with the elements ----


def along(word, x, d):
    """A function along one dimension."""
    if word == "flip":
        return x.flip(d)
    return rt.roll(x, 1, d) if word == "roll" else getattr(rt, word, getattr(F, word, None))(x, dim=d)


WORDS = """cumsum cumprod cummax cummin logcumsumexp sort argsort softmax log_softmax logsumexp sum prod mean amax amin
argmax any all median mode norm var std flip roll nansum count_nonzero softmin""".split()


def test_nothing_takes_long_where_there_are_no_elements():
    n = 2**40
    shapes = [(0, n), (n, 0), (0, n, 1), (1, 0, n), (5, 0, n), (n, 5, 0), (0, n, 3)]
    calls = [
        *((w, lambda x, d, w=w: along(w, x, d)) for w in WORDS),
        ("kthvalue", lambda x, d: x.kthvalue(1, d)),
        ("topk", lambda x, d: x.topk(0, d)),
        ("diff", lambda x, d: x.diff(dim=d)),
        ("group_norm", lambda x, d: F.group_norm(x, n)),
        ("group_norm 1", lambda x, d: F.group_norm(x, 1)),
        ("layer_norm", lambda x, d: F.layer_norm(x, x.shape[-1:])),
        ("rms_norm", lambda x, d: F.rms_norm(x, x.shape[-1:])),
        ("batch_norm", lambda x, d: F.batch_norm(x, None, None, training=True)),
        ("instance_norm", lambda x, d: F.instance_norm(x)),
        ("matmul", lambda x, d: x @ x.mT),
        ("matmul t", lambda x, d: x.mT @ x),
        ("cdist", lambda x, d: rt.cdist(x, x)),
        ("tril", lambda x, d: x.tril()),
        ("index_select", lambda x, d: x.index_select(d, rt.tensor([], dtype=rt.int64))),
        ("gather", lambda x, d: x.gather(d, rt.zeros(x.shape, dtype=rt.int64))),
        ("relu", lambda x, d: x.relu() + x),
        ("copy", lambda x, d: x.mT.clone().contiguous()),
        ("permute", lambda x, d: x.transpose(0, -1) * x.transpose(0, -1)),
        ("cat", lambda x, d: rt.cat([x, x], d)),
        ("pad", lambda x, d: F.pad(x, (0, 0))),
        ("glu", lambda x, d: F.glu(x, d)),
        ("normalize", lambda x, d: F.normalize(x, dim=d)),
        ("embedding", lambda x, d: F.embedding(rt.zeros(0, dtype=rt.int64), x.reshape(n, 0))),
        ("avg_pool1d", lambda x, d: F.avg_pool1d(x, 1)),
        ("max_pool1d", lambda x, d: F.max_pool1d(x, 1)),
        ("interpolate", lambda x, d: F.interpolate(x, 3)),
        ("conv1d", lambda x, d: F.conv1d(x, rt.zeros(2, x.shape[1], 1))),
        ("linear", lambda x, d: F.linear(x, rt.zeros(2, x.shape[-1]))),
        ("mse_loss", lambda x, d: F.mse_loss(x, x)),
        ("cross_entropy", lambda x, d: F.cross_entropy(x, x)),
        ("nonzero", lambda x, d: x.nonzero()),
        ("searchsorted", lambda x, d: rt.searchsorted(x, x)),
        ("einsum", lambda x, d: rt.einsum("...i,...i->...", x, x)),
        ("repeat", lambda x, d: x.repeat(*[1] * x.ndim)),
        ("unfold", lambda x, d: x.unfold(d, 0, 1)),
        ("as_strided", lambda x, d: x.as_strided(x.shape, x.stride()).sum()),
        ("tolist", lambda x, d: None if x.shape[0] else x.tolist()),
        ("numpy", lambda x, d: x.numpy()),
        ("dropout", lambda x, d: F.dropout(x)),
        ("rand_like", lambda x, d: rt.rand_like(x)),
        ("bernoulli", lambda x, d: x.uniform_().bernoulli()),
        ("scatter", lambda x, d: x.scatter(d, rt.zeros(x.shape, dtype=rt.int64), 1.0)),
        ("det", lambda x, d: rt.linalg.inv(rt.empty(0, 3, 3)[:, :, :0][:, :0])),
    ]
    started = time.monotonic()
    for name, call in calls:
        for shape in shapes:
            for d in range(len(shape)):
                x = rt.empty(shape)
                for grad in [False, True]:
                    x.requires_grad_(grad)
                    try:
                        y = call(x, d)
                        if grad and isinstance(y, rt.Tensor) and y.requires_grad:
                            y.sum().backward()
                    except (RuntimeError, ValueError, IndexError, TypeError) as e:
                        assert not isinstance(e, InternalError), (name, shape, d, e)
                    took, started = time.monotonic() - started, time.monotonic()
                    assert took < 5, (name, shape, d)


def test_repeating_takes_as_long_as_its_result():
    x = rt.zeros(1).expand(2**40)
    started = time.monotonic()
    assert x.repeat_interleave(rt.tensor([0])).shape == (0,)
    assert x.repeat_interleave(0).shape == (0,)
    assert x[:, None].expand(2**40, 2).repeat_interleave(rt.tensor([0]), 0).shape == (0, 2)
    assert time.monotonic() - started < 5
    assert rt.tensor([1, 2, 3]).repeat_interleave(rt.tensor([2])).tolist() == [1, 1, 2, 2, 3, 3]
    assert rt.tensor([1, 2, 3]).repeat_interleave(rt.tensor([2, 0, 1])).tolist() == [1, 1, 3]


@pytest.mark.parametrize("dtype", [rt.int64, rt.int32, rt.uint8, rt.float32])
def test_products_deeper_than_their_bytes_can_be_counted(dtype):
    # The bytes of so many elements, wrapped around, are few: those of a buffer that the columns were once packed into.
    asked = []

    def ask(signum, frame):
        asked.append(signum)
        raise InterruptedError

    for n in [2**61 + 8, 2**62 + 16, 2**62, 2**63 - 1]:
        row = rt.ones(1, dtype=dtype).expand(n)
        for left, right in [
            (row, row),
            (row[None], row[:, None]),
            (row[: n // 2].expand(2, n // 2), row[: n // 2, None].expand(n // 2, 2)),
        ]:
            old = signal.signal(signal.SIGALRM, ask)
            try:
                with pytest.raises((InterruptedError, RuntimeError)) as caught:
                    signal.setitimer(signal.ITIMER_REAL, 0.05)
                    left @ right
                assert not isinstance(caught.value, InternalError), (n, caught.value)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, old)
    assert asked


def test_integer_products_in_parts():
    # With 256 columns the parts have 65,536 rows.
    k = 3 * 2**16 + 5
    a, b = rt.arange(k) % 7, (rt.arange(k)[:, None] + rt.arange(256)) % 5
    want = (a.numpy()[None] @ b.numpy())[0]
    assert (a @ b).tolist() == want.tolist()
    assert (a[None].expand(2, k) @ b.T.contiguous().T)[1].tolist() == want.tolist()


def test_gradients_of_strided_views_count_from_either_offset():
    base = rt.arange(8.0, requires_grad=True)
    # The places 3 5, 5 7 of the storage, through views that begin at 2 and at 4: before and behind the result.
    for start in [2, 4]:
        base.grad = None
        base[start:].as_strided((2, 2), (2, 2), 3).sum().backward()
        assert base.grad.tolist() == [0.0, 0.0, 0.0, float(start < 4), 0.0, 2.0, 0.0, 1.0]
    for offset in [0, 1, 2**62, 2**63 - 1]:
        for own in [0, 1, -1, -(2**63), 2**62, 2**63 - 1]:
            x = rt.zeros(0, requires_grad=True)
            try:
                _ops.restride(x, [0], [1], offset, [1], own).sum().backward()
                assert x.grad.shape == (0,)
            except RustorchError as e:
                assert not isinstance(e, InternalError), (offset, own, e)


@pytest.mark.parametrize(
    ("batch", "channels", "outputs", "kernel"), [(0, 2, 3, 3), (2, 0, 3, 3), (2, 2, 0, 3), (0, 0, 0, 1), (2, 2, 3, 5)]
)
@pytest.mark.parametrize("dtype", [rt.float32, rt.float64, rt.bfloat16])
def test_weight_gradients_of_convolutions_without_elements(batch, channels, outputs, kernel, dtype):
    x, grad = rt.ones(batch, channels, 5, dtype=dtype), rt.ones(batch, outputs, 6 - kernel, dtype=dtype)
    got = _ops.conv_weight_grad(grad, x, [outputs, channels, kernel])
    assert got.dtype == dtype and got.shape == (outputs, channels, kernel)
    assert (got == batch * (6 - kernel)).all()


# ---- forks ----

FORK = """
import os, sys, threading, time
import rustorch as rt
rt.set_num_threads(1)
x, g, out = rt.zeros(2_000_000), rt.Generator(), rt.zeros(3)
small = rt.zeros(300_000)
stop = False
def write():
    while not stop:
        x.normal_(generator=g)
        small.exp_()
        rt.empty(5_000_000)
threads = [threading.Thread(target=write) for _ in range(3)]
for t in threads:
    t.start()
time.sleep(0.05)
slowest = 0
for i in range(25):
    pid = os.fork()
    if pid == 0:
        started = time.monotonic()
        x.add_(1)
        x.sum().item()
        small.mul_(2)
        small[:5].tolist()
        rt.empty(5_000_000)
        g.manual_seed(1)
        rt.rand(3, generator=g)
        rt.rand(3)
        os._exit(0 if time.monotonic() - started < 5 else 1)
    slowest = max(slowest, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
    time.sleep(0.003)
stop = True
for t in threads:
    t.join()
x.add_(1)
sys.exit(slowest)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_child_finds_nothing_locked():
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", FORK], capture_output=True, timeout=120)
    assert done.returncode == 0, done.stderr.decode()


# ---- nothing half done ----


def test_in_place_calls_that_fail_change_nothing():
    x = rt.arange(6.0)
    i = rt.tensor([0, 1, 9])
    for call in [
        lambda: x.scatter_(0, i, 1.0),
        lambda: x.scatter_(0, i, rt.ones(3)),
        lambda: x.scatter_add_(0, i, rt.ones(3)),
        lambda: x.index_add_(0, i, rt.ones(3)),
        lambda: x.index_copy_(0, i, rt.ones(3)),
        lambda: x.index_fill_(0, i, 1.0),
        lambda: x.index_put_((i,), rt.ones(3)),
        lambda: x.__setitem__(i, 1.0),
        lambda: x.masked_scatter_(rt.ones(6) > 0, rt.ones(3)),
        lambda: x.add_(rt.ones(2, 6)),
        lambda: rt.arange(6).add_(0.5),
        lambda: x.copy_(rt.ones(7)),
        lambda: x.put_(i, rt.ones(3)),
        lambda: x.uniform_(1.0, 0.0),
        lambda: x.bernoulli_(1.5),
        lambda: x.normal_(0.0, -1.0),
        lambda: x.scatter_reduce_(0, i, rt.ones(3), "sum"),
    ]:
        with pytest.raises((RuntimeError, IndexError)):
            call()
        assert rt.equal(x, rt.arange(6.0)) and x._version == 0
    m, v = rt.zeros(3), rt.ones(1).expand(3)
    with pytest.raises(RuntimeError):
        F.batch_norm(rt.randn(4, 3), m, v, training=True)
    assert m.tolist() == [0.0] * 3


def test_neighbours_in_memory_are_no_matter() -> None:
    """What has no room where it is moves away, and does not touch what lies behind it."""
    buffer = bytearray(20)
    out = rt.frombuffer(buffer, dtype=rt.float32, count=1)
    x = rt.frombuffer(buffer, dtype=rt.float32, offset=4)
    x.fill_(3)
    with pytest.warns(UserWarning, match="resized"):
        rt.add(x, x, out=out)
    assert out.tolist() == [6.0] * 4 and x.tolist() == [3.0] * 4


def test_leaves_are_not_changed_through_their_views() -> None:
    """Of every kind, also where a single number is left."""
    views: dict[str, Any] = {
        "select": lambda x: x[0], "a number": lambda x: x[0, 0], "a number of a row": lambda x: x[1][2],
        "slice": lambda x: x[:, 1:], "transpose": lambda x: x.t(), "diagonal": lambda x: x.diagonal(),
        "view": lambda x: x.view(-1), "unsqueeze": lambda x: x.unsqueeze(0), "split": lambda x: x.split(1)[1],
        "unbind": lambda x: x.unbind(1)[0], "unfold": lambda x: x.unfold(1, 2, 2), "expand": lambda x: x[0].expand(3),
        "as_strided": lambda x: x.as_strided((2,), (1,)), "squeeze": lambda x: x[:1].squeeze(0),
        "nothing": lambda x: x[:0], "chunk": lambda x: x.chunk(3, 1)[2],
        "permute": lambda x: x.permute(1, 0), "itself": lambda x: x,
    }  # fmt: skip
    for name, view in views.items():
        x = rt.arange(6.0).view(2, 3).clone().requires_grad_()
        for change in (lambda v: v.add_(1), lambda v: v.zero_(), lambda v: v.fill_(2), lambda v: v.mul_(2)):
            with pytest.raises(rt.errors.AutogradError, match="leaf Variable that requires grad"):
                change(view(x))
        assert x.tolist() == [[0, 1, 2], [3, 4, 5]] and x._version == 0, name
        with rt.no_grad():
            if name != "expand":
                view(x).add_(1)
        assert x.tolist() == [[0, 1, 2], [3, 4, 5]] or x._version == 1, name
        y = x * 1
        if name != "expand":
            view(y).mul_(3)
            y.sum().backward()
            assert x.grad is not None and set(x.grad.flatten().tolist()) <= {1.0, 3.0}, name


def test_neighbours_do_not_overlap() -> None:
    """Parts of one tensor that touch, in either order; one element more, and they do."""
    for n in (1, 2, 5, 40):
        for first, second in ((slice(0, n), slice(n, 2 * n)), (slice(n, 2 * n), slice(0, n))):
            x = rt.arange(2.0 * n + 1)
            want = x.clone()
            want[first] = want[first] * 3 + want[second].clone()
            x[first].mul_(3).add_(x[second])
            assert rt.equal(x, want)
            x[first].copy_(x[second])
            assert rt.equal(x[first], x[second])
            m = rt.arange(4.0 * n).view(2, 2 * n)
            m[:, first].sub_(m[:, second])
            assert rt.equal(m[:, first], rt.full((2, n), -float(n) if first.start == 0 else float(n)))
            row = rt.ones(2, n)
            row[0].addcmul_(row[1], row[1])
            assert row.tolist() == [[2.0] * n, [1.0] * n]
        if n > 1:
            x = rt.arange(2.0 * n + 1)
            for target, other in ((x[:n], x[n - 1 : 2 * n - 1]), (x[n - 1 : 2 * n - 1], x[:n])):
                with pytest.raises(RustorchError, match="refer to a single memory location"):
                    target.add_(other)


@pytest.mark.parametrize("size", [(1, 0, 1, 2**63 - 1), (1, 0, 2**62, 1)])
def test_rearranged_sizes_that_overflow(size):
    wide = rt.empty(1, 0, 1, 1).expand(size)
    with pytest.raises((MemoryError, RustorchError), match="grow"):
        rt.nn.functional.pixel_shuffle(wide, 3)


def test_data_counts_its_changes_itself() -> None:
    """As PyTorch: backward notices what is changed through `detach()`, not what is changed through `data`."""
    x = rt.tensor([1.0, 2.0], requires_grad=True)
    y = x * 1
    z = y.exp()
    for change in (lambda t: t.data.mul_(3), lambda t: t.data[:1].zero_(), lambda t: t.data.detach().add_(1)):
        change(z)
        assert z._version == 0
    z.sum().backward()
    assert rt.allclose(x.grad, z.detach())  # of the elements that are there now
    assert z.tolist() == pytest.approx([1.0, 3 * math.exp(2) + 1])

    data = y.data
    assert (data._version, data.requires_grad, data.is_leaf, data.data_ptr()) == (0, False, True, y.data_ptr())
    data[0].fill_(5)
    data.detach().fill_(6)
    assert (data._version, data[1]._version, y._version, y.data._version) == (2, 2, 0, 0) and y.tolist() == [6, 6]
    y.detach().fill_(7)
    assert (data._version, y._version, data.tolist()) == (2, 1, [7, 7])

    w = (x * x).exp()
    w.detach().mul_(2)
    with pytest.raises(AutogradError, match="modified by an inplace operation"):
        w.sum().backward()
