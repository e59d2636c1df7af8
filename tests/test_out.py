"""`out=`: every op that has a kernel writes there, without a copy."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import _ops
from rustorch.errors import RustorchError

sys.path.insert(0, str(Path(__file__).parent / "abi"))
from abi_tools import ffi, lib, listening
from test_values import CALLS, Arguments, as_tensor

TABLE = {op["name"]: op for op in rt.ops.table()}
NAMES = [n for n in TABLE if n in CALLS and "out" in inspect.signature(getattr(_ops, n)).parameters]
#: Their sizes, or the rest of what they hold, come from what is there already.
WITHOUT_VALUES = {"empty", "empty_like", "empty_strided", "new_empty"}


def called(name: str, source: str, **options: Any) -> Any:
    rt.manual_seed(0)
    names = {**Arguments(as_tensor).names(True), "f": lambda *a, **k: getattr(_ops, name)(*a, **k, **options)}
    return eval(f"f({source})".replace("f32(", "single("), names)


def agree(a: Any, b: Any, what: str) -> None:
    assert (a.shape, a.dtype) == (b.shape, b.dtype), what
    np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=what)


@pytest.mark.parametrize("name", NAMES)
def test_out(name: str) -> None:
    """A tensor that fits, one with gaps between its elements, and an empty one, which takes the result's shape."""
    kernel = TABLE[name]["class"] not in ("Composite", "View", "Dynamic")
    for source in CALLS[name]:
        if "dtype=" in source and "dtype" not in inspect.signature(getattr(_ops, name)).parameters:
            continue
        want = called(name, source)
        wanted = want if isinstance(want, tuple) else (want,)
        makers = {
            "fitting": lambda r: rt.full(r.shape, 3, dtype=r.dtype),
            "with gaps": lambda r: rt.full((*r.shape, 2), 3, dtype=r.dtype)[..., 1],
            "empty": lambda r: rt.empty(0, dtype=r.dtype),
        }
        for how, make in makers.items():
            what = f"{name}({source}), {how}"
            outs = tuple(make(r) for r in wanted)
            out = outs if isinstance(want, tuple) else outs[0]
            heard: list[str] = []

            def hear(e: Any, heard: list[str] = heard) -> None:
                if e.depth == 0 and e.phase != lib.RT_EVENT_END:
                    heard.append(ffi.string(e.name).decode())

            with listening(hear):
                result = called(name, source, out=out)
            assert result is out or all(a is b for a, b in zip(result, outs)), what
            if kernel:
                assert heard[-1] == name and "copy_" not in heard, (what, heard)
            for o, w in zip(outs, wanted):
                if name not in WITHOUT_VALUES:
                    agree(o, w, what)


def test_no_memory_is_taken() -> None:
    x, out = rt.rand(1000, 1000), rt.empty(1000, 1000)
    values, places = rt.empty(1000), rt.empty(1000, dtype=rt.int64)
    before, most = lib.rt_memory_in_use(), 0

    def hear(e: Any) -> None:
        nonlocal most
        most = max(most, lib.rt_memory_in_use())

    with listening(hear):
        for f in (rt.add, rt.mul, rt.maximum):
            f(x, x, out=out)
        rt.exp(x, out=out)
        rt.rand(1000, 1000, out=out)
        rt.max(x, 1, out=(values, places))
    assert most - before < x.nbytes / 2


def test_what_is_refused_changes_nothing() -> None:
    x = rt.ones(3)
    for call, message in (
        (lambda out: rt.add(x, rt.ones(2), out=out), "shape"),
        (lambda out: rt.add(x, x, alpha="1", out=out), "'alpha' must be a number"),
        (lambda out: rt.add(x, None, out=out), "'other' must be"),
        (lambda out: rt.exp(x.detach().requires_grad_(), out=out), "automatic differentiation"),
        (lambda out: rt.cat([x, None], out=out), "cat"),
        (lambda out: rt.sum(x, 5, out=out), "out of range"),
    ):
        for out in (rt.full((3,), 7.0), rt.empty(0)):
            shape = out.shape
            with pytest.raises(RustorchError, match=message):
                call(out)
            assert out.shape == shape and out.eq(7).all()
    with pytest.raises(RustorchError, match="wanted 2 tensors as out, got 1"):
        rt.sort(x, out=(rt.empty(3),))
    with pytest.raises(RustorchError, match="is on meta, the result on cpu"):
        rt.add(x, x, out=rt.empty(3, device="meta"))


def test_memory_that_was_taken_twice() -> None:
    """Two tensors over one NumPy array share their elements, though neither knows of the other."""
    a = np.arange(6.0)
    first, second = rt.from_numpy(a[:5]), rt.from_numpy(a[1:])
    with pytest.raises(RustorchError, match="shares memory with an input"):
        rt.add(first, 1, out=second)
    with pytest.raises(RustorchError, match="single memory location"):
        second.add_(first)
    assert a.tolist() == [0, 1, 2, 3, 4, 5]
    same = rt.from_numpy(a[1:])
    assert rt.add(second, 1, out=same) is same and a.tolist() == [0, 2, 3, 4, 5, 6]
    square = np.arange(9.0).reshape(3, 3)
    x, out = rt.from_numpy(square), rt.from_numpy(square)
    expected = square @ square
    assert rt.mm(x, x, out=out) is out and (square == expected).all()


def test_what_is_joined_is_not_written() -> None:
    x, y = rt.zeros(0), rt.ones(4, 6)
    for out in (x, y, y[:2]):
        with pytest.raises(rt.errors.InvalidArgumentError, match="shares memory with an input"):
            rt.cat((x, y), 0, out=out)
    assert y.sum().item() == 24
