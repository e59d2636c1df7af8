"""Handles and memory: everything that a workload takes is given back, also when calls fail."""

from __future__ import annotations

import ctypes
import gc

import numpy as np
import pytest
from abi_tools import ffi, lib

import rustorch as rt
from rustorch import errors
from rustorch._door import BY_STATUS


def held() -> tuple[int, int]:
    """Live handles and bytes."""
    gc.collect()
    return lib.rt_live_tensors(), lib.rt_memory_in_use()


@pytest.fixture
def balanced():
    before = held()
    yield
    lib.rt_fail_allocation_after(-1)
    assert held() == before


def forward_and_backward():
    w = rt.randn(20, 30, requires_grad=True)
    x = rt.randn(5, 20)
    (x @ w).tanh().pow(2).sum().backward()
    return w.grad


def errors_of_all_kinds():
    for call in [
        lambda: rt.ones(2, 3) @ rt.ones(4, 5),
        lambda: rt.ones(2, 3) + rt.ones(4),
        lambda: rt.ones(3).sum(dim=4),
        lambda: rt.ones(3).reshape(2, 2),
        lambda: rt.cat([rt.ones(2, 3), rt.ones(3, 2)]),
        lambda: rt.ones(3).backward(),
        lambda: rt.load("/no/such/file.safetensors"),
    ]:
        with pytest.raises((errors.RustorchError, OSError)):
            call()


def lists():
    parts = rt.randn(12, 10).split(5)
    return rt.cat([p * 2 for p in parts]).unbind(0)


def hooks_and_functions():
    class Double(rt.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * 2

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2 + 0 * x

    x = rt.randn(50, requires_grad=True)
    y = Double.apply(x)
    y.register_hook(lambda g: g + 1)
    y.sum().backward()
    assert x.grad[0].item() == 4.0


def graph_that_is_dropped():
    x = rt.randn(40, requires_grad=True)
    y = x
    for _ in range(100):
        y = (y * 1.01).sin()
    return y


def double_backward():
    x = rt.randn(33, requires_grad=True)
    (g,) = rt.autograd.grad((x.sin() * x).sum(), [x], create_graph=True)
    g.sum().backward()


def numpy_both_ways():
    a = np.arange(24.0).reshape(4, 6)
    t = rt.from_numpy(a)
    view = t[1:, ::2]
    b = view.numpy()
    b[0, 0] = 99
    assert a[1, 0] == 99 and np.asarray(rt.ones(3, 3)).sum() == 9


@pytest.mark.parametrize(
    "workload",
    [
        forward_and_backward,
        errors_of_all_kinds,
        lists,
        hooks_and_functions,
        graph_that_is_dropped,
        double_backward,
        numpy_both_ways,
    ],
    ids=lambda f: f.__name__,
)
def test_a_workload_gives_everything_back(workload, balanced):
    for _ in range(3):
        workload()


def test_memory_of_every_size_is_counted_and_given_back(balanced):
    """Bytes in use: those of each tensor while it lives, however small or large; what fits into its header is free."""
    before = lib.rt_memory_in_use()
    sizes = [0, 1, 31, 32, 33, 64, 65, 1000, 65_535, 65_537, 1 << 20, (1 << 20) + 1, 3_000_001, 9 << 20]
    for n in sizes:
        t = rt.zeros(n, dtype=rt.uint8)
        assert lib.rt_memory_in_use() - before == (n if n > 32 else 0), n
        view = t[1:]
        del t
        assert lib.rt_memory_in_use() - before == (n if n > 32 else 0), n
        del view
        assert lib.rt_memory_in_use() == before, n
    kept = [rt.zeros(n, dtype=rt.uint8) for n in sizes]
    assert lib.rt_memory_in_use() - before == sum(n for n in sizes if n > 32)
    while kept:
        kept.pop()
        assert lib.rt_memory_in_use() - before == sum(t.numel() for t in kept if t.numel() > 32)


def test_archives(balanced, tmp_path):
    path = tmp_path / "a.safetensors"
    rt.save({"w": rt.randn(30, 3), "b": rt.zeros(3)}, path)
    archive = ffi.new("rt_archive **")
    assert lib.rt_load(str(path).encode(), archive) == lib.RT_OK
    t = ffi.new("rt_tensor **")
    assert lib.rt_archive_len(archive[0]) == 2
    assert lib.rt_archive_tensor(archive[0], 0, t) == lib.RT_OK
    assert lib.rt_archive_tensor(archive[0], 2, t) == lib.RT_ERR_INDEX
    lib.rt_archive_free(archive[0])
    assert lib.rt_tensor_numel(t[0]) in (3, 90)  # the tensor outlives its archive
    lib.rt_tensor_free(t[0])
    data = path.read_bytes()
    for broken in [b"", data[:7], data[:20], data[:-1], b"\xff" * 64, data[:8] + b"!" + data[9:]]:
        assert lib.rt_load_bytes(broken, len(broken), archive) in (lib.RT_ERR_IO, lib.RT_ERR_VALUE)


WRITER = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


def contents(tensors, metadata=()):
    """Arguments of the functions that save. The tensors must live as long."""
    names = [ffi.new("char[]", n) for n in tensors]
    keys, values = ([ffi.new("char[]", m[i]) for m in metadata] for i in (0, 1))
    return [names, [t._h for t in tensors.values()], len(names), keys, values, len(keys)]


def test_bytes_of_a_file(balanced, tmp_path):
    tensors = {b"w": rt.arange(6.0).view(2, 3).t(), b"b": rt.zeros(0, dtype=rt.int8)}
    what = contents(tensors, [(b"k", b"v")])
    out = ffi.new("rt_bytes **")
    assert lib.rt_save_bytes(*what, out) == lib.RT_OK
    data, n = lib.rt_bytes_data(out[0]), lib.rt_bytes_len(out[0])
    path = str(tmp_path / "f").encode()
    assert lib.rt_save(path, *what) == lib.RT_OK
    raw = ffi.buffer(data, n)[:]
    assert raw == (tmp_path / "f").read_bytes()
    pieces = []
    write = WRITER(lambda ctx, p, size: pieces.append(ctypes.string_at(p, size)) or 0)
    writer = ffi.cast("rt_writer", ctypes.cast(write, ctypes.c_void_p).value)
    assert lib.rt_save_to(writer, ffi.NULL, *what) == lib.RT_OK and b"".join(pieces) == raw

    at = [0]

    def give(ctx, p, size):
        if at[0] + size > n:
            return 1
        ctypes.memmove(p, raw[at[0] : at[0] + size], size)
        at[0] += size
        return 0

    read = WRITER(give)
    reader = ffi.cast("rt_reader", ctypes.cast(read, ctypes.c_void_p).value)
    archives = [ffi.new("rt_archive **") for _ in range(3)]
    assert lib.rt_load_from(reader, ffi.NULL, archives[0]) == lib.RT_OK and at[0] == n
    assert lib.rt_load_bytes(data, n, archives[1]) == lib.RT_OK
    assert lib.rt_load(path, archives[2]) == lib.RT_OK
    lib.rt_bytes_free(out[0])  # the archives hold copies
    for archive in archives:
        assert [ffi.string(lib.rt_archive_name(archive[0], i)) for i in range(2)] == [b"w", b"b"]
        assert ffi.string(lib.rt_archive_metadata_value(archive[0], 0)) == b"v"
        t = ffi.new("rt_tensor **")
        assert lib.rt_archive_tensor(archive[0], 0, t) == lib.RT_OK
        got = ffi.new("float[6]")
        assert lib.rt_tensor_copy_to(t[0], lib.RT_FLOAT32, got, 24) == lib.RT_OK and list(got) == [0, 3, 1, 4, 2, 5]
        lib.rt_tensor_free(t[0])
        lib.rt_archive_free(archive[0])
    # The reader has nothing more; a writer refuses; nothing is given then.
    archive = ffi.new("rt_archive **")
    assert lib.rt_load_from(reader, ffi.NULL, archive) == lib.RT_ERR_CALLBACK and archive[0] == ffi.NULL
    refuse = WRITER(lambda ctx, p, size: 9)
    writer = ffi.cast("rt_writer", ctypes.cast(refuse, ctypes.c_void_p).value)
    assert lib.rt_save_to(writer, ffi.NULL, *what) == lib.RT_ERR_CALLBACK
    assert b"status 9" in ffi.string(lib.rt_last_error())


def test_saving_of_nothing_and_of_what_is_missing(balanced, tmp_path):
    out = ffi.new("rt_bytes **")
    assert lib.rt_save_bytes(ffi.NULL, ffi.NULL, 0, ffi.NULL, ffi.NULL, 0, out) == lib.RT_OK
    assert ffi.buffer(lib.rt_bytes_data(out[0]), lib.rt_bytes_len(out[0]))[8:10] == b"{}"
    lib.rt_bytes_free(out[0])
    out[0] = ffi.NULL
    lib.rt_bytes_free(ffi.NULL)
    assert lib.rt_bytes_data(ffi.NULL) == ffi.NULL and lib.rt_bytes_len(ffi.NULL) == 0
    t = rt.ones(1)
    one, path = contents({b"a": t}), str(tmp_path / "f").encode()
    no = ffi.NULL
    for wrong in (
        [no, one[1], 1, no, no, 0],
        [one[0], no, 1, no, no, 0],
        [one[0], [no], 1, no, no, 0],
        [*one[:3], no, one[0], 1],
    ):
        assert lib.rt_save_bytes(*wrong, out) == lib.rt_save(path, *wrong) == lib.RT_ERR_NULL
    assert lib.rt_save_bytes(*one, no) == lib.rt_save(no, *one) == lib.rt_save_to(no, no, *one) == lib.RT_ERR_NULL
    assert lib.rt_load_from(no, no, ffi.new("rt_archive **")) == lib.RT_ERR_NULL
    for bad in ({b"__metadata__": t}, {b"\xff": t}):
        assert lib.rt_save_bytes(*contents(bad), out) == lib.RT_ERR_VALUE
    twice = contents({b"a": t, b"b": t})
    twice[0][1] = twice[0][0]
    assert lib.rt_save_bytes(*twice, out) == lib.RT_ERR_VALUE
    assert lib.rt_save_bytes(*contents({b"a": t}, [(b"k", b"1"), (b"k", b"2")]), out) == lib.RT_ERR_VALUE
    assert out[0] == ffi.NULL and list(tmp_path.iterdir()) == []


# ---- memory of others ----

RELEASE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


def blob(data, release, shape=(4,), status=lib.RT_OK, dtype=lib.RT_FLOAT32):
    out = ffi.new("rt_tensor **")
    pointer = ffi.cast("void(*)(void *)", ctypes.cast(release, ctypes.c_void_p).value)
    got = lib.rt_tensor_from_blob(data, list(shape), ffi.NULL, len(shape), dtype, pointer, ffi.NULL, out)
    assert got == status
    return out[0]


def test_release_is_called_once_after_the_last_user(balanced):
    calls = []
    release = RELEASE(lambda ctx: calls.append(ctx))
    data = ffi.new("float[4]", [1, 2, 3, 4])
    t = blob(data, release)
    view, size, stride, out = ffi.new("rt_tensor **"), [2], [1], ffi.new("rt_tensor **")
    assert lib.rt_as_strided(t, size, 1, stride, 1, ffi.NULL, view) == lib.RT_OK
    assert lib.rt_neg(t, out) == lib.RT_OK
    second = lib.rt_tensor_retain(t)
    for h in [t, out[0], second]:
        lib.rt_tensor_free(h)
        assert calls == []
    lib.rt_tensor_free(view[0])
    assert calls == [None]


def test_release_is_not_called_on_failure(balanced):
    calls = []
    release = RELEASE(lambda ctx: calls.append(ctx))
    data = ffi.new("float[4]")
    blob(data, release, dtype=99, status=lib.RT_ERR_DTYPE)
    blob(data, release, shape=(-4,), status=lib.RT_ERR_SHAPE)
    blob(ffi.NULL, release, status=lib.RT_ERR_NULL)
    assert calls == []


def test_release_comes_after_backward_has_let_go(balanced):
    calls = []
    release = RELEASE(lambda ctx: calls.append(ctx))
    data = ffi.new("float[4]", [1, 2, 3, 4])
    x = blob(data, release)
    w, y = rt.ones(4, requires_grad=True), ffi.new("rt_tensor **")
    assert lib.rt_mul(w._h, x, y) == lib.RT_OK
    lib.rt_tensor_free(x)
    assert calls == []  # the graph still needs it
    lib.rt_tensor_free(y[0])
    assert calls == [None]


@pytest.mark.parametrize("versioned", [True, False])
def test_dlpack_out_is_given_back_once(versioned, balanced):
    managed = ffi.new("void **")
    t = rt.randn(100)
    assert lib.rt_tensor_to_dlpack(t._h, versioned, managed) == lib.RT_OK
    del t
    gc.collect()
    assert lib.rt_memory_in_use() >= 400
    lib.rt_dlpack_free(managed[0], versioned)
    lib.rt_dlpack_free(ffi.NULL, versioned)


@pytest.mark.parametrize("versioned", [True, False])
def test_dlpack_round_trip(versioned, balanced):
    managed, back = ffi.new("void **"), ffi.new("rt_tensor **")
    t = rt.randn(10, 12)[1:, ::3]
    assert lib.rt_tensor_to_dlpack(t._h, versioned, managed) == lib.RT_OK
    assert lib.rt_tensor_from_dlpack(managed[0], versioned, back) == lib.RT_OK
    assert lib.rt_tensor_data(back[0]) == lib.rt_tensor_data(t._h)
    assert [lib.rt_tensor_strides(back[0])[i] for i in range(2)] == [12, 3]
    lib.rt_tensor_free(back[0])


class DlTensor(ctypes.Structure):
    """As the protocol has it, for tensors that come from elsewhere."""

    _fields_ = [
        ("data", ctypes.c_void_p),
        ("device_type", ctypes.c_int32),
        ("device_id", ctypes.c_int32),
        ("ndim", ctypes.c_int32),
        ("code", ctypes.c_uint8),
        ("bits", ctypes.c_uint8),
        ("lanes", ctypes.c_uint16),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("strides", ctypes.POINTER(ctypes.c_int64)),
        ("byte_offset", ctypes.c_uint64),
    ]


class Managed(ctypes.Structure):
    _fields_ = [("dl", DlTensor), ("ctx", ctypes.c_void_p), ("deleter", RELEASE)]


class ManagedVersioned(ctypes.Structure):
    _fields_ = [
        ("major", ctypes.c_uint32),
        ("minor", ctypes.c_uint32),
        ("ctx", ctypes.c_void_p),
        ("deleter", RELEASE),
        ("flags", ctypes.c_uint64),
        ("dl", DlTensor),
    ]


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize(
    "change,status",
    [
        ({}, lib.RT_OK),
        ({"strides": None}, lib.RT_OK),
        ({"byte_offset": 4}, lib.RT_OK),
        ({"device_type": 2}, lib.RT_ERR_UNSUPPORTED),
        ({"bits": 7}, lib.RT_ERR_DTYPE),
        ({"lanes": 4}, lib.RT_ERR_DTYPE),
        ({"strides": (ctypes.c_int64 * 2)(-3, 1)}, lib.RT_ERR_VALUE),
        ({"strides": (ctypes.c_int64 * 2)(2**61, 2**61)}, lib.RT_ERR_VALUE),
        ({"shape": (ctypes.c_int64 * 2)(-2, 3)}, lib.RT_ERR_SHAPE),
        ({"flags": 1}, lib.RT_ERR_VALUE),
        ({"major": 9}, lib.RT_ERR_UNSUPPORTED),
    ],
)
def test_dlpack_in(versioned, change, status, balanced):
    numbers, shape, strides = (ctypes.c_float * 8)(*range(8)), (ctypes.c_int64 * 2)(2, 3), (ctypes.c_int64 * 2)(3, 1)
    m = ManagedVersioned(major=1) if versioned else Managed()
    m.dl = DlTensor(ctypes.addressof(numbers), 1, 0, 2, 2, 32, 1, shape, strides, 0)
    calls = []
    m.deleter = RELEASE(calls.append)
    for name, value in change.items():
        if name in ("flags", "major"):
            if not versioned:
                pytest.skip("only in the versioned struct")
            setattr(m, name, value)
        else:
            setattr(m.dl, name, value)
    out = ffi.new("rt_tensor **")
    place = ctypes.addressof(m)
    assert lib.rt_tensor_from_dlpack(ffi.cast("void *", place), versioned, out) == status
    assert calls == []
    if status == lib.RT_OK:
        twice = ffi.new("rt_tensor **")
        assert lib.rt_add(out[0], out[0], ffi.new("rt_scalar *", {"kind": 2, "value": {"i": 1}})[0], twice) == lib.RT_OK
        got, first = ffi.new("float[6]"), m.dl.byte_offset // 4
        assert lib.rt_tensor_copy_to(twice[0], lib.RT_FLOAT32, got, 24) == lib.RT_OK
        assert list(got) == [2.0 * (first + i) for i in range(6)]
        lib.rt_tensor_free(twice[0])
        lib.rt_tensor_free(out[0])
        assert calls == [place]


def test_capsules(balanced):
    a = np.from_dlpack(rt.arange(50, dtype=rt.float32))
    assert a.sum() == 1225
    unused = rt.ones(50).__dlpack__()
    del a, unused
    source = np.arange(60.0)
    t = rt.from_dlpack(source)
    t += 1
    assert source[0] == 1


# ---- allocation failures ----


def grown(f):
    """A call that needs gradients, too."""

    def call():
        x = SQUARE.clone().requires_grad_()
        f(x).sum().backward()

    call.__name__ = f"{f.__name__}_backward"
    return call


SQUARE, LONG = rt.randn(16, 16), rt.randn(3000)


def add():
    return SQUARE + 1


def matmul(x=SQUARE):
    return x @ x.t()


def large_matmul():
    return WIDE @ WIDE


WIDE = rt.randn(150, 150)


def concatenation(x=SQUARE):
    return rt.cat([x, x * 2])


def sorting():
    return LONG.sort()


def reduction(x=SQUARE):
    return x.var(0) + x.sum(1)


def softmax(x=SQUARE):
    return x.softmax(1).log()


def strided():
    return SQUARE.t()[1:, ::2].contiguous().exp_()


def indexing(x=SQUARE):
    return x[rt.tensor([1, 2, 3, 4, 5])][:, rt.ones(16, dtype=rt.bool)]


def cast():
    return SQUARE.double().half().int()


def random():
    return rt.randn(100).bernoulli_(0.5), rt.randperm(50)


def linear(x=SQUARE):
    return rt.nn.functional.linear(x, WIDE[:20, :16], WIDE[0, :20])


def convolution(x=SQUARE):
    return rt.nn.functional.conv2d(x.reshape(1, 1, 16, 16), WIDE[0, :18].reshape(2, 1, 3, 3))


def pooling(x=SQUARE):
    return rt.nn.functional.max_pool2d(x.reshape(1, 1, 16, 16), 2)


def normalisation(x=SQUARE):
    return rt.nn.functional.layer_norm(x, (16,)) + rt.nn.functional.batch_norm(x, None, None, training=True)


def loss(x=SQUARE):
    return rt.nn.functional.cross_entropy(x, rt.arange(16))


def in_place():
    x = SQUARE.clone()
    x[2:5] = 7
    return x.add_(SQUARE.t()).mul_(2).masked_fill_(x > 3, 0)


PLAIN = [add, large_matmul, sorting, strided, cast, random, in_place]
BOTH = [matmul, concatenation, reduction, softmax, indexing, linear, convolution, pooling, normalisation, loss]


@pytest.mark.parametrize("call", [*PLAIN, *BOTH, *map(grown, BOTH)], ids=lambda f: f.__name__)
def test_a_failed_allocation_is_an_error_and_leaks_nothing(call, balanced):
    call()
    for n in range(1000):
        before = held()
        lib.rt_fail_allocation_after(n)
        try:
            call()
        except MemoryError as e:
            assert isinstance(e, errors.RustorchError) and "allocate" in str(e)
            e.__traceback__ = None
        else:
            break
        finally:
            lib.rt_fail_allocation_after(-1)
        assert held() == before
    assert 0 < n < 999
    call()


def test_memory_error_has_its_status():
    assert BY_STATUS[lib.RT_ERR_MEMORY] is not errors.RustorchError
    assert issubclass(BY_STATUS[lib.RT_ERR_MEMORY], MemoryError)


@pytest.mark.parametrize("call", [
    lambda: rt.zeros(2**45),
    lambda: rt.ones(2**30, 2**30),
    lambda: rt.empty(2**62, 8),
    lambda: rt.ones(3, 1).expand(3, 2**50).contiguous(),
    lambda: rt.ones(1).repeat(2**50),
    lambda: rt.eye(2**31),
    lambda: rt.arange(2**50),
    lambda: rt.randn(2**50),
    lambda: rt.ones(1, 1).expand(2**40, 1) @ rt.ones(1, 1).expand(1, 2**20),
])  # fmt: skip
def test_absurd_sizes(call, balanced):
    with pytest.raises(MemoryError):
        call()
