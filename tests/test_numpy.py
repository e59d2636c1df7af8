"""NumPy's numbers, buffers and universal functions."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import errors

FLOATS = (np.array([0.3, -0.7, 1.2, 2.0]), np.array([1.0, 2.0, -1.5, 0.5]))
SMALL = (np.array([0.3, 0.7, 0.9, 0.5]), np.array([1.0, 2.0, 1.5, 0.5]))
INTS = (np.array([3, 5, 6, 1]), np.array([2, 1, 1, 3]))
BOOLS = (np.array([True, False, True]), np.array([True, True, False]))
UFUNCS = {n: getattr(np, n) for n in dir(np) if isinstance(getattr(np, n), np.ufunc)}
# No op stands for these.
MISSING = {"bitwise_count", "cbrt", "spacing", "isnat", "matvec", "vecmat"}
# Where PyTorch, and so we, compute a float from whole numbers, or refuse them.
FLOAT_OF_INTS = {"reciprocal", "hypot", "logaddexp", "logaddexp2"}
LOGICAL = {
    "equal", "not_equal", "logical_and", "logical_or", "logical_xor", "logical_not", "bitwise_and", "bitwise_or",
    "bitwise_xor", "invert", "bitwise_not", "bitwise_invert", "less", "greater", "maximum", "minimum",
}  # fmt: skip


def results(v: Any) -> list[Any]:
    return [np.asarray(x.tolist() if isinstance(x, rt.Tensor) else x) for x in (v if isinstance(v, tuple) else (v,))]


def cases(f: np.ufunc) -> list[tuple[Any, ...]]:
    """Arrays, and a number in either place."""
    out: list[tuple[Any, ...]] = []
    for values in (FLOATS, SMALL, INTS, BOOLS):
        if (values is BOOLS and f.__name__ not in LOGICAL) or (values is INTS and f.__name__ in FLOAT_OF_INTS):
            continue
        out.append(values[: f.nin])
        if f.nin == 2:
            number = values[1][1]
            out += [(values[0], number.item()), (number.item(), values[0]), (values[0], number), (number, values[0])]
    return out


@pytest.mark.parametrize("name", sorted(UFUNCS.keys() - MISSING))
def test_universal_functions(name: str) -> None:
    f = UFUNCS[name]
    tried = 0
    for inputs in cases(f):
        with np.errstate(all="ignore"):
            try:
                expected = f(*inputs)
            except (TypeError, ValueError):
                continue
        tried += 1
        tensors = [rt.tensor(v) if isinstance(v, np.ndarray) else v for v in inputs]
        if name in ("frexp", "nextafter") and not all(np.asarray(v).dtype.kind == "f" for v in inputs):
            with pytest.raises((TypeError, RuntimeError)):  # refused, as in PyTorch
                f(*tensors)
            continue
        got = f(*tensors)
        for e, g in zip(results(expected), results(got), strict=True):
            np.testing.assert_allclose(g, e, rtol=1e-6, err_msg=f"{inputs}")
        mixed = [inputs[0], *tensors[1:]]
        if isinstance(mixed[-1], rt.Tensor) and len(mixed) == 2:  # an array first
            for e, g in zip(results(expected), results(f(*mixed)), strict=True):
                np.testing.assert_allclose(g, e, rtol=1e-6)
    assert tried


@pytest.mark.parametrize("name", sorted(MISSING & UFUNCS.keys()))
def test_functions_that_are_missing_say_so(name: str) -> None:
    f = UFUNCS[name]
    with pytest.raises(TypeError):
        f(*[rt.ones(2, 2)] * f.nin)


@pytest.mark.parametrize(
    ("name", "number"),
    [("maximum", 2), ("minimum", 2), ("fmax", 2), ("fmin", 2), ("hypot", 2.0), ("arctan2", 2), ("logaddexp", 1.0),
     ("logaddexp2", 1.0), ("copysign", -1), ("fmod", 2), ("remainder", 2), ("power", 3), ("add", 2), ("multiply", 2),
     ("subtract", 2), ("divide", 2), ("float_power", 2), ("heaviside", 1)],
)  # fmt: skip
def test_gradients_with_a_number_in_either_place(name: str, number: Any) -> None:
    f = UFUNCS[name]
    x = np.array([1.25, 3.5])
    for first in (False, True):

        def call(v: Any, first: bool = first) -> Any:
            return f(number, v) if first else f(v, number)

        t = rt.tensor(x, requires_grad=True)
        y = call(t)
        if name == "heaviside":
            assert y.tolist() == call(x).tolist()
            continue
        y.sum().backward()
        h = 1e-6
        np.testing.assert_allclose(t.grad.tolist(), (call(x + h) - call(x - h)) / (2 * h), rtol=1e-6, atol=1e-7)


def test_options_of_universal_functions() -> None:
    x, mask = np.array([1.0, 4.0, 9.0]), np.array([True, False, True])
    t = rt.tensor(x)
    for m in (mask, rt.tensor(mask), mask.tolist()):
        assert np.sqrt(t, where=m).tolist() == [1, 0, 3]
        out = rt.full((3,), 7.0, dtype=rt.float64)
        assert np.sqrt(t, out=out, where=m) is out and out.tolist() == [1, 7, 3]
        a = np.full(3, 7.0)
        assert np.add(t, 1, out=a, where=m) is a and a.tolist() == [2, 7, 10]
    whole = rt.zeros(3, dtype=rt.int64)
    assert np.add(t, 1, out=(whole,)).tolist() == [2, 5, 10]
    assert np.add(t, 1, dtype=np.float32).dtype is rt.float32 and np.add(rt.tensor([1]), 0.5, dtype=int).tolist() == [1]
    first, second = rt.empty(3, dtype=rt.float64), np.empty(3)
    assert np.divmod(t, 2, out=(first, second)) == (first, second)
    assert first.tolist() == [0, 2, 4] and second.tolist() == [1, 0, 1]
    g = rt.tensor(x, requires_grad=True)
    np.multiply(g, 2, where=mask).sum().backward()
    assert g.grad is not None and g.grad.tolist() == [2, 0, 2]
    array = np.ones(3)
    array += t
    assert array.tolist() == [2, 5, 10]
    assert np.add(t, 1, casting="same_kind", order="K", subok=True).tolist() == [2, 5, 10]
    for wrong in ({"casting": "unsafe"}, {"order": "F"}, {"signature": "dd->d"}):
        with pytest.raises(TypeError):
            np.add(t, 1, **wrong)
    with pytest.raises(TypeError):
        np.add.reduce(t)


def test_numbers_of_numpy_keep_their_dtype() -> None:
    for kind in ("float16", "float32", "float64", "int8", "uint8", "int16", "int32", "int64", "bool"):
        v = np.dtype(kind).type(1)
        d = getattr(rt, kind)
        for t in (rt.tensor(v), rt.as_tensor(v), rt.asarray(v), rt.tensor([v]), rt.tensor([[v], [v]])):
            assert t.dtype is d and set(np.ravel(t.tolist())) == {1}
        assert rt.tensor(v, dtype=rt.float32).dtype is rt.float32 and rt.ones(1).new_tensor(v).dtype is rt.float32
    assert rt.tensor(np.float64(16777217.0)).item() == 16777217.0
    assert rt.tensor([np.float64(16777217.0), 1.0]).tolist() == [16777217.0, 1.0]
    assert rt.tensor([np.float32(1), 2.0]).dtype is rt.float32 and rt.tensor([np.int16(1), 2]).dtype is rt.int64
    for wrong in (np.str_("x"), np.datetime64("2020-01-01")):
        with pytest.raises(errors.RustorchError):
            rt.tensor(wrong)
        with pytest.raises(errors.RustorchError):
            rt.tensor([wrong])


def test_numbers_of_numpy_lend_no_memory() -> None:
    with pytest.raises(errors.DTypeError, match=r"expected np\.ndarray"):
        rt.from_numpy(np.float64(1))
    tensors = [rt.as_tensor(np.float64(i)) for i in range(100)]
    gc.collect()
    assert [t.item() for t in tensors] == list(range(100))

    class Fleeting:
        """Its interface describes an array that nobody else keeps."""

        @property
        def __array_interface__(self) -> Any:
            self.a = np.arange(1000.0)
            interface = dict(self.a.__array_interface__)
            interface["keep"] = self.a
            return interface

    for make in (rt.from_numpy, rt.as_tensor):
        t = make(np.asarray(np.arange(1000.0)))
        gc.collect()
        assert t.tolist() == list(range(1000))
        f = Fleeting()
        assert make(f).tolist() == list(range(1000))


@pytest.mark.parametrize(
    "make", [rt.tensor, rt.as_tensor, rt.asarray, lambda v, dtype: rt.ones(1).new_tensor(v, dtype=dtype)]
)
def test_numbers_that_do_not_fit_are_refused(make: Any) -> None:
    for d, low, high in [(rt.uint8, -255, 255), (rt.int8, -128, 127), (rt.int16, -(2**15), 2**15 - 1),
                         (rt.int32, -(2**31), 2**31 - 1),
                         (rt.int64, -(2**63), 2**63 - 1)]:  # fmt: skip
        for good in (low, high):
            assert make([good], dtype=d).tolist() == [good % 256 if d is rt.uint8 else good]
        for wrong in (low - 1, high + 1, 2**70, -(2**70), float("nan"), float("inf"), float("-inf"), 1e30):
            for data in ([wrong], [[1], [wrong]], [0.5, wrong]):
                with pytest.raises(errors.InvalidArgumentError):
                    make(data, dtype=d)
        if d is rt.uint8:  # whole negative numbers wrap around, others do not
            with pytest.raises(errors.InvalidArgumentError):
                make([1.75, -0.5], dtype=d)
        else:
            assert make([1.75, -0.5], dtype=d).tolist() == [1, 0]
    assert make([float("nan"), 0.0, 300], dtype=rt.bool).tolist() == [True, False, True]
    assert make([2**70], dtype=rt.float64).tolist() == [2.0**70] and make(2**70, dtype=rt.float64).item() == 2.0**70
    assert make([1e40], dtype=rt.float32).item() == float("inf")
    for wrong in ([2**63], [10**400], 2**63, -(2**63) - 1):
        with pytest.raises(errors.InvalidArgumentError):
            make(wrong, dtype=rt.int64)
    with pytest.raises(errors.InvalidArgumentError):
        make(10**400, dtype=rt.float64)


def test_frombuffer() -> None:
    raw = bytearray(range(16))
    t = rt.frombuffer(raw, dtype=rt.int16, count=2, offset=4)
    raw[4] = 255
    assert t.tolist() == [255 + 5 * 256, 6 + 7 * 256]
    with pytest.raises(BufferError):
        raw.append(1)  # the tensor uses it
    assert rt.frombuffer(raw, dtype=rt.uint8).tolist() == list(raw)
    assert rt.frombuffer(raw, dtype=rt.uint8, count=-5, offset=15).tolist() == [15]
    assert rt.frombuffer(memoryview(np.arange(6.0).reshape(2, 3)), dtype=float).tolist() == [0, 1, 2, 3, 4, 5]
    g = rt.frombuffer(bytearray(8), dtype=rt.float32, requires_grad=True)
    assert g.requires_grad and g.shape == (2,)
    wrong: list[dict[str, Any]] = [
        {"buffer": bytearray(3), "dtype": rt.int16}, {"buffer": bytearray(0), "dtype": rt.int16},
        {"buffer": raw, "dtype": rt.int64, "offset": 1}, {"buffer": raw, "dtype": rt.int64, "offset": 1, "count": 1},
        {"buffer": raw, "dtype": rt.int64, "count": 3}, {"buffer": raw, "dtype": rt.int64, "count": 0},
        {"buffer": raw, "dtype": rt.uint8, "offset": 16}, {"buffer": raw, "dtype": rt.uint8, "offset": -1},
        {"buffer": raw, "dtype": rt.int64, "offset": 8, "count": 2}, {"buffer": raw, "dtype": rt.int64, "count": 2**62},
    ]  # fmt: skip
    for arguments in wrong:
        with pytest.raises(errors.InvalidArgumentError, match="frombuffer"):
            rt.frombuffer(arguments.pop("buffer"), **arguments)
    with pytest.warns(UserWarning, match="read-only"):
        frozen = rt.frombuffer(b"abcd", dtype=rt.int16, offset=2)
    assert frozen.tolist() == [25699]
    for none in (5, "text", None, np.arange(8)[::2]):
        with pytest.raises(errors.DTypeError):
            rt.frombuffer(none, dtype=rt.uint8)


def test_copies_that_are_forced_or_forbidden() -> None:
    a, t = np.ones(2), rt.ones(2)
    leaf = rt.ones(2, requires_grad=True)
    made = leaf * 2
    for obj in (a, t, leaf, made, np.zeros((0, 2))):
        for copy in (None, False):
            got = rt.asarray(obj, copy=copy)
            place = obj.data_ptr() if isinstance(obj, rt.Tensor) else obj.__array_interface__["data"][0]
            assert got.data_ptr() == place or not got.numel()
            assert got.requires_grad is (obj is leaf or obj is made) and (got is obj or not isinstance(obj, rt.Tensor))
        got = rt.asarray(obj, copy=True)
        assert got.data_ptr() != place or not got.numel()
        assert got.shape == obj.shape and got.tolist() == obj.tolist()
    assert rt.asarray(made, copy=True).grad_fn is not None and not rt.asarray(made, requires_grad=False).requires_grad
    assert rt.asarray([1.0], requires_grad=True).is_leaf and rt.asarray([1.0], requires_grad=True).requires_grad
    assert rt.asarray(t, dtype=rt.float64).dtype is rt.asarray([1], dtype=rt.float64, copy=True).dtype is rt.float64
    for obj, options in (
        ([1], {}), (3.0, {}), (np.float64(3), {}), (a, {"dtype": rt.float32}), (t, {"dtype": rt.int64}), (a[::-1], {}),
    ):  # fmt: skip
        with pytest.raises(errors.InvalidArgumentError, match="without a copy"):
            rt.asarray(obj, copy=False, **options)
        assert rt.asarray(obj, **options).tolist() == np.asarray(obj.tolist() if obj is t else obj).tolist()
    for make in (rt.asarray, rt.as_tensor, lambda v, device: rt.asarray(v, device=device, copy=True)):
        with pytest.raises(errors.UnsupportedError, match="CPU"):
            make([1], device="cuda")
        assert make([1], device="cpu").tolist() == [1]


def test_arrays_share_memory_unless_asked() -> None:
    t = rt.arange(6.0).view(2, 3)
    for view in (t, t.t(), t[:, 1:], t[1], t[1, 2]):
        for array in (view.numpy(), np.asarray(view), view.__array__(), np.array(view, copy=False)):
            assert array.shape == view.shape and array.tolist() == view.tolist()
            assert array.strides == tuple(4 * s for s in view.stride())
            array += 1
            assert array.tolist() == view.tolist()
        for array in (
            np.array(view),
            view.__array__(copy=True),
            view.__array__(np.float64),
            view.numpy(force=True).copy(),
        ):
            before = view.tolist()
            array += 1
            assert view.tolist() == before
    with pytest.raises(ValueError, match="copy is needed"):
        t.__array__(np.float64, copy=False)
    assert t.__array__(np.float32, copy=False).dtype == np.float32 and np.asarray(t, np.int8).dtype == np.int8
    raw = bytearray(np.arange(4, dtype=np.int16).tobytes())
    shared = rt.frombuffer(raw, dtype=rt.int16, count=2, offset=2)
    assert shared.tolist() == [1, 2] and rt.frombuffer(raw, dtype=rt.int16).tolist() == [0, 1, 2, 3]
    shared.fill_(7)
    assert np.frombuffer(raw, np.int16).tolist() == [0, 7, 7, 3]
    floats = bytearray(8)
    assert rt.frombuffer(floats, dtype=rt.float32, requires_grad=True).requires_grad
    assert not rt.frombuffer(floats, dtype=rt.float32).requires_grad
    with pytest.warns(UserWarning, match="read-only"):
        copied = rt.frombuffer(bytes(floats), dtype=rt.float32, offset=4)
    assert copied.tolist() == [0.0]
    for wrong in ({"offset": 8}, {"offset": -1}, {"count": 0}, {"count": 3}, {"offset": 1}, {"offset": 1, "count": 1}):
        with pytest.raises(errors.InvalidArgumentError):
            rt.frombuffer(floats, dtype=rt.float32, **wrong)
    capsule = t.__dlpack__(copy=True)
    apart = rt.from_dlpack(capsule)
    apart.add_(1)
    assert apart.tolist() == (t + 1).tolist() and rt.from_dlpack(t.__dlpack__()).data_ptr() == t.data_ptr()
    with pytest.raises(errors.InvalidArgumentError, match="CPU"):
        t.__dlpack__(dl_device=(2, 0))
    with pytest.raises(errors.AutogradError):
        rt.ones(1, requires_grad=True).__dlpack__()
    with pytest.raises(errors.InvalidArgumentError, match="consumed"):
        rt.from_dlpack(capsule)


def test_arrays_that_are_read_only_are_copied_in_silence() -> None:
    a = np.arange(3.0)
    a.flags.writeable = False
    for make in (rt.as_tensor, rt.asarray, rt.tensor):
        t = make(a)
        t.add_(1)
        assert t.tolist() == [1, 2, 3] and a.tolist() == [0, 1, 2]
    with pytest.warns(UserWarning, match="read-only"):
        rt.from_numpy(a).add_(1)
    assert a.tolist() == [0, 1, 2]


def test_parts_of_numbers_that_are_not_finite() -> None:
    x = np.array([np.inf, -np.inf, 1.5, -1.5, np.nan, 0.0])
    for ours, theirs in zip(np.modf(rt.tensor(x)), np.modf(x), strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs)


def test_what_is_masked_keeps_its_value() -> None:
    """Also one that the dtype of the result could not hold."""
    large = 2**40 + 1
    for target in (rt.tensor([large, large]), np.array([large, large])):
        result = np.add(rt.tensor([1.0, 2.0]), 1.5, out=target, where=np.array([True, False]), casting="same_kind")
        assert result is target and target.tolist() == [2, large]
