"""Results that an op puts into tensors of the caller (`rt_op_call_into`) are those that it gives."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from abi_tools import ffi, lib, listening

import rustorch as rt
from rustorch import _ops
from rustorch._door import check, wrap
from rustorch.errors import AutogradError, InvalidArgumentError, RustorchError, ShapeMismatchError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from test_values import CALLS, NAMES, Arguments

TABLE = {op["name"]: op for op in rt.ops.table()}
# Their results are not written, or not twice the same.
UNSTABLE = {name for name, op in TABLE.items() if any(a["holds"] == "Generator" for a in op["args"])} | {
    "empty", "empty_like", "empty_strided", "resize", "svd_lowrank", "pca_lowrank",
}  # fmt: skip


def kept(handle) -> rt.Tensor:
    return wrap(ffi.gc(lib.rt_tensor_retain(handle), lib.rt_tensor_free))


def raw(t: rt.Tensor) -> bytes:
    return np.ascontiguousarray(rt.Tensor.numpy(t.detach().clone())).tobytes()


def call_into(name: str, inputs: list[rt.Tensor], outs: list[rt.Tensor], attrs=ffi.NULL, n: int = 0) -> None:
    handles = [t._h for t in inputs]
    check(lib.rt_op_call_into(name.encode(), handles, len(handles), attrs, n, [t._h for t in outs], len(outs)))


class Placed:
    """Makes each call that it hears once more, into tensors of its own."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.count = 0

    def heard(self, e) -> None:
        name = ffi.string(e.name).decode()
        op = TABLE.get(name)
        changed = any(e.input_flags[i] & lib.RT_INPUT_WRITTEN for i in range(e.inputs_len))
        if e.phase in (lib.RT_EVENT_BEGIN, lib.RT_EVENT_FAIL) or op is None or changed or name in UNSTABLE:
            return
        given = [kept(e.outputs[i]) for i in range(e.outputs_len)]
        # As the results lie; in another order of memory; in a part of a larger block.
        ways = [
            [rt.empty_strided(t.shape, t.stride(), dtype=t.dtype) for t in given if 0 not in t.stride()],
            [rt.empty(tuple(t.shape)[::-1], dtype=t.dtype).permute(*range(t.ndim)[::-1]) for t in given],
            [rt.empty((2, *t.shape, 2), dtype=t.dtype)[1, ..., 1] for t in given],
        ]
        for k, outs in enumerate(ways):
            if len(outs) < len(given) or (k == 0 and (op["class"] == "View" or op["relayout"])):
                continue  # a view may lie in ways that nothing can be written in
            handles = [t._h for t in outs]
            with rt.no_grad():
                status = lib.rt_op_call_into(
                    e.name, e.inputs, e.inputs_len, e.attrs, e.attrs_len, handles, len(handles)
                )
            if status:
                self.wrong.append(f"{name} {k}: {ffi.string(lib.rt_last_error()).decode()}")
            elif [raw(t) for t in outs] != [raw(t) for t in given]:
                self.wrong.append(f"{name} {k}: {outs} instead of {given}")
            self.count += 1


@pytest.mark.parametrize("name", NAMES)
def test_placed_is_what_comes_out(name: str) -> None:
    for source in CALLS[name]:
        placed = Placed()
        names = {**Arguments(lambda a: rt.from_numpy(np.array(a))).names(True), "f": getattr(_ops, name)}
        with listening(placed.heard):
            try:
                eval(f"f({source})".replace("f32(", "single("), names)
            except RustorchError as e:
                assert any(w in str(e) for w in ("not implemented when mode", "is singular")), e
        assert not placed.wrong, (source, placed.wrong[:3])
        assert placed.count or name in UNSTABLE or TABLE[name]["out"] == "Nothing", source


def test_memory_of_the_caller_is_written() -> None:
    block = np.full(64, -1.0, np.float32)
    out = rt.from_numpy(block)[10:19].view(3, 3)
    a, b = rt.randn(3, 4), rt.randn(4, 3)
    call_into("mm", [a, b], [out])
    assert block[10:19].reshape(3, 3).tolist() == (a @ b).tolist()
    assert (block[:10] == -1).all() and (block[19:] == -1).all()
    assert out._version == 1
    wide = rt.empty(3, 3, dtype=rt.float64)
    call_into("mm", [a, b], [wide])
    assert wide.tolist() == (a @ b).double().tolist()


@pytest.mark.parametrize("name", ["relu", "cumsum", "mm", "flip"])
def test_a_result_that_meets_an_input(name: str) -> None:
    block = rt.randn(4, 3)
    source, out = block[:3], block[1:]
    attrs, n = ffi.NULL, 0
    inputs = [source, rt.eye(3)] if name == "mm" else [source]
    if name in ("cumsum", "flip"):
        attrs = ffi.new("rt_attr[]", 2)
        for a in attrs:
            a.size, a.kind = ffi.sizeof("rt_attr"), lib.RT_ATTR_NONE
        dims = ffi.new("int64_t[]", [0])
        if name == "flip":
            attrs[0].kind, attrs[0].ints, attrs[0].len, n = lib.RT_ATTR_INTS, dims, 1, 1
        else:
            attrs[0].kind, n = lib.RT_ATTR_INT, 2
    expected = {
        "relu": rt.relu,
        "cumsum": lambda x: x.cumsum(0),
        "mm": lambda x: x @ rt.eye(3),
        "flip": lambda x: x.flip(0),
    }
    want = expected[name](source.clone())
    call_into(name, inputs, [out], attrs, n)
    assert raw(out) == raw(want)


def test_what_is_refused_changes_nothing() -> None:
    a = rt.arange(4.0)
    grown = a.clone().requires_grad_()
    inference = None
    with rt.inference_mode():
        inference = rt.zeros(4)
    for inputs, outs, error in (
        ([a], [rt.zeros(3)], ShapeMismatchError),
        ([a], [rt.zeros(4, dtype=rt.int64)], rt.errors.DTypeError),
        ([a], [rt.zeros(1).expand(4)], InvalidArgumentError),
        ([a], [], InvalidArgumentError),
        ([a], [rt.zeros(4), rt.zeros(4)], InvalidArgumentError),
        ([grown], [rt.zeros(4)], AutogradError),
        ([a], [rt.zeros(4, requires_grad=True)], AutogradError),
        ([a], [inference], AutogradError),
        ([a], [rt.zeros(4, device="meta")], rt.errors.UnsupportedError),
        ([a.to("meta")], [rt.zeros(4)], rt.errors.UnsupportedError),
    ):
        with pytest.raises(error):
            call_into("exp", inputs, outs)
        assert all(t.is_meta or (t.detach() == 0).all() for t in outs)
    with pytest.raises(rt.errors.UnsupportedError, match="no op named"):
        call_into("exp_", [a], [rt.zeros(4)])
    both = rt.zeros(4, 4)
    pair = next(n for n, op in TABLE.items() if op["out"] == "Pair" and [a["kind"] for a in op["args"]] == ["Tensor"])
    with pytest.raises(InvalidArgumentError, match="one place"):
        call_into(pair, [rt.eye(4)], [both, both])
    assert lib.rt_op_call_into(b"exp", [a._h], 1, ffi.NULL, 0, ffi.NULL, 1) == lib.RT_ERR_NULL
    assert lib.rt_op_call_into(b"exp", [a._h], 1, ffi.NULL, 0, [ffi.NULL], 1) == lib.RT_ERR_NULL
    with rt.no_grad():
        out = rt.zeros(4)
        call_into("exp", [grown], [out])
        assert out.tolist() == a.exp().tolist()
