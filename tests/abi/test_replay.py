"""The proof of the funnel: a listener writes down the calls of one training step; a C program repeats them through the
door by name and must get the same bits everywhere. What changed a tensor without passing the funnel would show."""

from __future__ import annotations

import struct
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
from abi_tools import C, elements, ffi, lib, link_flags, listening, run, sized, tool

import rustorch as rt
from rustorch import _ops, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from test_gradients import TABLE, Inputs, samples

SEED = 20


def raw(handle) -> bytes:
    """The elements in row-major order."""
    dtype, info = lib.rt_tensor_dtype(handle), sized("rt_dtype_info")
    assert lib.rt_dtype_get(dtype, info) == lib.RT_OK
    place = ffi.new("char[]", lib.rt_tensor_numel(handle) * info.itemsize)
    assert lib.rt_tensor_copy_to(handle, dtype, place, len(place)) == lib.RT_OK
    return bytes(ffi.buffer(place))


class Recorder:
    """Writes a trace. A tensor is known by the memory that it looks at: further handles of it are the same tensor."""

    def __init__(self, whole: bool = False):
        self.composites = whole  # repeated as they were called, not part by part
        self.records = bytearray()
        self.ids: dict[tuple, int] = {}
        self.storages: set[int] = set()
        self.handles = []  # kept: memory that is given back would come again as another tensor
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

    def constant(self, h, flags: int = 0) -> int:
        """Writes a tensor that no recorded call has made."""
        _, shape, strides, dtype = self.key(h)
        storage = int(ffi.cast("uintptr_t", lib.rt_tensor_storage_data(h)))
        assert storage not in self.storages, "a view made past the funnel"
        if flags & lib.RT_INPUT_NUMBER:
            number = ffi.new("rt_scalar *")
            assert lib.rt_tensor_item(h, number) == lib.RT_OK
            self.records += b"N"
            i = self.keep(h)
            self.whole(i, number.kind)
            self.records += bytes(ffi.buffer(ffi.addressof(number, "value")))[:8]
            return i
        info = sized("rt_dtype_info")
        assert lib.rt_dtype_get(dtype, info) == lib.RT_OK
        span = 0 if 0 in shape else 1 + sum((n - 1) * s for n, s in zip(shape, strides))
        self.records += b"C"
        i = self.keep(h)
        self.whole(i, dtype)
        self.numbers(shape)
        self.numbers(strides)
        self.block(bytes(ffi.buffer(lib.rt_tensor_data(h), span * info.itemsize)) if span else b"")
        return i

    def heard(self, e) -> None:
        if self.composites:
            if e.depth or e.phase not in (lib.RT_EVENT_CALL, lib.RT_EVENT_END):
                return
        elif e.phase != lib.RT_EVENT_CALL:
            return
        name, attrs = ffi.string(e.name), elements(e.attrs, e.attrs_len)
        inputs, flags = ffi.unpack(e.inputs, e.inputs_len), ffi.unpack(e.input_flags, e.inputs_len)
        outputs = ffi.unpack(e.outputs, e.outputs_len)
        changed = outputs + [h for h, f in zip(inputs, flags) if f & lib.RT_INPUT_WRITTEN]
        for h, f in zip(inputs, flags):
            if h and self.key(h) not in self.ids:
                assert not f & lib.RT_INPUT_WRITTEN, f"{name.decode()} changes a tensor that was never seen"
                self.constant(h, f)
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
def recording(*initial: rt.Tensor, whole: bool = False):
    recorder = Recorder(whole)
    for t in initial:
        recorder.constant(t._h)
    with listening(recorder.heard):
        yield recorder


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


def told(call, *args, **options) -> list[str]:
    """Names of the ops that are called, without their parts."""
    names: list[str] = []

    def heard(e):
        if e.depth == 0 and e.phase in (lib.RT_EVENT_CALL, lib.RT_EVENT_BEGIN):
            names.append(ffi.string(e.name).decode())

    with listening(heard):
        call(*args, **options)
    return names


CALLED = sorted(name for name, op in TABLE.items() if samples(op))


@pytest.mark.parametrize("name", CALLED)
def test_one_call_is_one_event(name):
    """What an op does inside is told as its parts or not at all, whatever the layout of its inputs, also in place."""
    op, f, twin = TABLE[name], getattr(_ops, name), getattr(_ops, name + "_", None)

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
        # One wants its input row by row, one wants the parts of a number side by side.
        for given in (args,) if name in ("as_strided_scatter", "view_as_complex") else (args, gaps):
            with rt.no_grad():
                assert told(f, *given, **options) == [name], source
            assert told(f, *given, **options) == [name], source
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
                # Where gradients read what was there before, it is copied first; a replay needs to know it.
                assert events[-1:] == [name + "_"] and events[:-1] in ([], ["clone"] if grad else []), source


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
