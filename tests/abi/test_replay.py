"""The proof of the funnel: a listener writes down the calls of one training step; a C program repeats them through the
door by name and must get the same bits everywhere. What changed a tensor without passing the funnel would show."""

from __future__ import annotations

import struct
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from abi_tools import C, ffi, lib, link_flags, run, tool

import rustorch as rt
from rustorch import _ops, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from test_gradients import TABLE, Inputs, samples

SEED = 20
recorder: Recorder | None = None


@ffi.def_extern(onerror=lambda kind, error, trace: recorder.errors.append(error))
def py_on_call(ctx, name, inputs, inputs_len, attrs, attrs_len, outputs, outputs_len):
    recorder.call(
        ffi.string(name),
        [inputs[i] for i in range(inputs_len)],
        [attrs[i] for i in range(attrs_len)],
        [outputs[i] for i in range(outputs_len)],
    )


def raw(handle) -> bytes:
    """The elements in row-major order."""
    dtype, info = lib.rt_tensor_dtype(handle), ffi.new("rt_dtype_info *")
    assert lib.rt_dtype_get(dtype, info) == lib.RT_OK
    place = ffi.new("char[]", lib.rt_tensor_numel(handle) * info.size)
    assert lib.rt_tensor_copy_to(handle, dtype, place, len(place)) == lib.RT_OK
    return bytes(ffi.buffer(place))


class Recorder:
    """Writes a trace. A tensor is known by the memory that it looks at: further handles of it are the same tensor."""

    def __init__(self):
        self.records = bytearray()
        self.ids: dict[tuple, int] = {}
        self.storages: set[int] = set()
        self.handles = []  # kept: memory that is given back would come again as another tensor
        self.errors: list[BaseException] = []
        self.calls: list[str] = []
        self.late: list[tuple[str, bytes]] = []  # constants that appear during the step, with the call that reads them

    def whole(self, *values: int) -> None:
        self.records += struct.pack(f"={len(values)}q", *values)

    def block(self, data: bytes) -> None:
        self.whole(len(data))
        self.records += data

    def numbers(self, values) -> None:
        self.whole(len(values), *values)

    def key(self, h) -> tuple:
        n = lib.rt_tensor_ndim(h)
        place = int(ffi.cast("uintptr_t", lib.rt_tensor_data(h)))
        return place, tuple(lib.rt_tensor_shape(h)[0:n]), tuple(lib.rt_tensor_strides(h)[0:n]), lib.rt_tensor_dtype(h)

    def keep(self, h) -> int:
        """A new id."""
        self.handles.append(ffi.gc(lib.rt_tensor_retain(h), lib.rt_tensor_free))
        self.storages.add(int(ffi.cast("uintptr_t", lib.rt_tensor_storage_data(h))))
        return self.ids.setdefault(self.key(h), len(self.ids) + 1)

    def constant(self, h) -> int:
        """Writes a tensor that no recorded call has made."""
        _, shape, strides, dtype = self.key(h)
        storage = int(ffi.cast("uintptr_t", lib.rt_tensor_storage_data(h)))
        assert storage not in self.storages, "a view made past the funnel"
        number = ffi.new("rt_scalar *")
        if not shape and self.yields(h, dtype):
            assert lib.rt_tensor_item(h, number) == lib.RT_OK
            self.records += b"N"
            i = self.keep(h)
            self.whole(i, number.kind)
            self.records += bytes(ffi.buffer(ffi.addressof(number, "value")))
            return i
        info = ffi.new("rt_dtype_info *")
        assert lib.rt_dtype_get(dtype, info) == lib.RT_OK
        span = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, strides))
        self.records += b"C"
        i = self.keep(h)
        self.whole(i, dtype)
        self.numbers(shape)
        self.numbers(strides)
        self.block(bytes(ffi.buffer(lib.rt_tensor_data(h), span * info.size)) if span else b"")
        return i

    def yields(self, h, dtype: int) -> bool:
        """True for plain numbers: beside the smallest tensor of their kind they do not decide the dtype."""
        beside = {lib.RT_FLOAT64: rt.float16, lib.RT_INT64: rt.uint8}.get(dtype)
        if beside is None:
            return False
        code = ffi.new("int32_t *")
        other = rt.zeros((), dtype=beside)
        assert lib.rt_result_type([h, other._h], 2, code) == lib.RT_OK
        return code[0] != dtype

    def call(self, name: bytes, inputs, attrs, outputs) -> None:
        changed = outputs or inputs  # ops without results change their inputs
        for i, h in enumerate(inputs):
            if h and self.key(h) not in self.ids:
                changes = not outputs or (i == 0 and name.endswith(b"_"))
                assert not changes, f"{name.decode()} changes a tensor that was never seen"
                self.constant(h)
                self.late.append((name.decode(), raw(h)))
        self.calls.append(name.decode())
        self.records += b"O"
        self.block_text(name)
        self.numbers([self.ids[self.key(h)] if h else 0 for h in inputs])
        self.whole(len(attrs))
        for a in attrs:
            self.whole(a.kind, a.i)
            self.records += struct.pack("=d", a.f)
            self.numbers(list(a.ints[0 : a.len]) if a.len else [])
            self.block_text(ffi.string(a.str) if a.str else b"")
        self.numbers([self.ids.get(self.key(h)) or self.keep(h) for h in outputs])
        changed = [h for h in changed if h]
        self.whole(len(changed))
        for h in changed:
            self.whole(self.ids[self.key(h)])
            self.block(raw(h))

    def block_text(self, text: bytes) -> None:
        self.whole(len(text))
        self.records += text + b"\0"

    def final(self, t: rt.Tensor) -> None:
        self.records += b"F"
        self.whole(self.ids[self.key(t._h)])
        self.block(raw(t._h))

    def write(self, path: Path) -> None:
        path.write_bytes(b"rttrace1" + struct.pack("=qq", len(self.ids) + 1, SEED) + self.records)


@contextmanager
def recording(*initial: rt.Tensor):
    global recorder
    recorder = Recorder()
    for t in initial:
        recorder.constant(t._h)
    lib.rt_set_listener(lib.py_on_call, ffi.NULL)
    try:
        yield recorder
    finally:
        lib.rt_set_listener(ffi.NULL, ffi.NULL)
    assert recorder.errors == []


@pytest.fixture(scope="module")
def replay(tmp_path_factory):
    program = tmp_path_factory.mktemp("replay") / "replay"
    run(tool("gcc"), *C, Path(__file__).with_name("replay.c"), *link_flags(), "-o", program)
    return program


def mlp():
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 3)), (4, 8)


def cnn():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Dropout(0.25),
        nn.Linear(24, 3),
    ), (4, 1, 8, 8)


OPTIMIZERS = {
    "sgd": lambda p: rt.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3, nesterov=True),
    "adam": lambda p: rt.optim.Adam(p, lr=0.01),
    "adamw": lambda p: rt.optim.AdamW(p, lr=0.01, amsgrad=True),
    "rmsprop": lambda p: rt.optim.RMSprop(p, lr=0.01, centered=True, momentum=0.9),
    "adagrad": lambda p: rt.optim.Adagrad(p, lr=0.01),
}


@pytest.mark.parametrize("network,optimizer", [(mlp, "sgd"), *((cnn, o) for o in OPTIMIZERS)])
def test_a_training_step_replayed_in_c(network, optimizer, replay, tmp_path):
    rt.manual_seed(1)
    model, shape = network()
    opt = OPTIMIZERS[optimizer](model.parameters())
    x, y = rt.randn(*shape), rt.randint(0, 3, (shape[0],))
    start = [p.detach().clone() for p in model.parameters()]
    rt.manual_seed(SEED)
    with recording(x, y, *model.parameters(), *model.buffers(), *opt_state(opt)) as trace:
        for _ in range(2):  # the second step meets old gradients and the optimizer's state
            opt.zero_grad(set_to_none=False)
            loss = nn.functional.cross_entropy(model(x), y)
            loss.backward()
            opt.step()
    for t in [loss, *model.parameters(), *model.buffers(), *(p.grad for p in model.parameters())]:
        trace.final(t)
    assert all(not rt.equal(a, b) for a, b in zip(start, model.parameters()))
    # What appears from nowhere during the step may only be plain numbers, such as the 1 that backward starts from.
    assert [name for name, data in trace.late if len(data) > 8] == []
    path = tmp_path / "trace"
    trace.write(path)
    assert run(replay, path).startswith(f"{len(trace.calls)} calls")


class Names:
    """Writes the names of calls down."""

    def __init__(self):
        self.errors: list[BaseException] = []
        self.names: list[str] = []

    def call(self, name: bytes, *_) -> None:
        self.names.append(name.decode())


def told(call, *args, **options) -> list[str]:
    global recorder
    recorder = Names()
    lib.rt_set_listener(lib.py_on_call, ffi.NULL)
    try:
        call(*args, **options)
    finally:
        lib.rt_set_listener(ffi.NULL, ffi.NULL)
    assert recorder.errors == []
    return recorder.names


CALLED = sorted(name for name, op in TABLE.items() if samples(op))


@pytest.mark.parametrize("name", CALLED)
def test_one_call_is_one_event(name):
    """What an op does inside is its own business, whatever the layout of its inputs, also in place."""
    op, f, twin = TABLE[name], getattr(_ops, name), getattr(_ops, name + "_", None)
    parts = op["class"] == "Composite"

    def turned(t):
        """The same elements with gaps between them."""
        if not isinstance(t, rt.Tensor) or not t.ndim:
            return t
        wide = rt.stack([t.detach(), t.detach()], -1)[..., 1]
        return wide.requires_grad_(t.requires_grad)

    for source in samples(op):
        names = {**Inputs(name + source).names(), "given": lambda *a, **k: (a, k)}
        args, options = eval(f"given({source})", names)
        gaps = [[turned(t) for t in a] if isinstance(a, (list, tuple)) else turned(a) for a in args]
        floats = [a for a in args if isinstance(a, rt.Tensor) and a.dtype.is_floating_point]
        # One wants its input row by row.
        for given in (args,) if name == "as_strided_scatter" else (args, gaps):
            with rt.no_grad():
                assert told(f, *given, **options) == [name], source
            events = told(f, *given, **options)
            if not parts:
                assert events == [name], source
            elif floats:
                assert name not in events, source
            if not op["inplace"] or not isinstance(given[0], rt.Tensor):
                continue
            for grad in (False, True):
                with rt.set_grad_enabled(grad):
                    x = given[0].clone() if given is args else turned(given[0].detach()) * 1
                    try:
                        events = told(twin, x, *given[1:], **options)
                    except rt.errors.RustorchError as e:
                        assert "does not fit" in str(e), source  # the result is wider
                        continue
                if not (parts and grad):
                    # Where gradients read what was there before, it is copied first; a replay needs to know it.
                    assert events[-1:] == [name + "_"] and events[:-1] in ([], ["clone"] if grad else []), source


def test_parts_are_told_where_gradients_are_wanted_and_nowhere_else():
    x, w, b = rt.rand(2, 3), rt.rand(4, 3), rt.rand(2, 3, requires_grad=True)
    first, classes = rt.zeros(2, 1, dtype=rt.int64), rt.tensor([0, 2])
    outs = {
        "take_along_dim": lambda a: _ops.take_along_dim(a, first, 1),
        "tensordot": lambda a: _ops.tensordot(a, w, [1], [1]),
        "cdist": lambda a: _ops.cdist(a, w),
        "cross_entropy": lambda a: _ops.cross_entropy(a, classes),
    }
    for name, call in outs.items():
        assert told(call, x) == [name]
        parts = told(call, b)
        assert parts and name not in parts, name
        with rt.no_grad():
            assert told(call, b) == [name]
    assert told(lambda: None) == []
    y = b * 2
    assert "mul" in told(lambda: y.sum().backward())
    names = []
    for _ in range(3):
        p = rt.rand(3, requires_grad=True)
        p.grad = rt.rand(3)
        names.append(told(rt.optim.SGD([p], lr=0.1).step))
    assert names == [["sgd_step"]] * 3


def opt_state(opt) -> list[rt.Tensor]:
    """State that an optimizer holds before its first step."""
    return [v for s in opt.state.values() for v in s.values() if isinstance(v, rt.Tensor)]


def test_a_changed_trace_is_noticed(replay, tmp_path):
    """The replay really compares: one bit in a constant, and it fails."""
    a = rt.ones(16)
    with recording(a) as trace:
        b = (a * 3).exp()
    trace.final(b)
    path = tmp_path / "trace"
    trace.write(path)
    run(replay, path)
    data = bytearray(path.read_bytes())
    where = data.index(struct.pack("=16f", *[1.0] * 16))
    data[where] ^= 1
    path.write_bytes(data)
    with pytest.raises(AssertionError, match="a result differs"):
        run(replay, path)
