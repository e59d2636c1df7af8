"""What a dtype may be called, in every function that takes one."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import errors, nn

X = rt.tensor([[1.0, 2.0], [3.0, 4.0]])
ROW = X[0]

# word -> dtype. All of these mean the same to NumPy.
WORDS: list[tuple[Any, rt.dtype]] = [
    (float, rt.float64),
    (int, rt.int64),
    (bool, rt.bool),
    (np.float32, rt.float32),
    (np.float64, rt.float64),
    (np.float16, rt.float16),
    (np.int8, rt.int8),
    (np.uint8, rt.uint8),
    (np.int16, rt.int16),
    (np.int32, rt.int32),
    (np.int64, rt.int64),
    (np.bool_, rt.bool),
    (np.longlong, rt.int64),
    (np.dtype("int16"), rt.int16),
    (np.dtype(">f4"), rt.float32),
    (np.dtype(bool), rt.bool),
    (np.ones(1).dtype, rt.float64),
    (rt.bfloat16, rt.bfloat16),
]
# Those that few functions take.
RARE: list[tuple[Any, rt.dtype]] = [
    (complex, rt.complex128), (np.complex64, rt.complex64), (np.dtype("complex128"), rt.complex128),
    (np.uint16, rt.uint16),    (np.dtype("uint64"), rt.uint64), (np.uint32, rt.uint32),
    (rt.cfloat, rt.complex64), (rt.cdouble, rt.complex128),
]  # fmt: skip
WRONG: list[Any] = [
    np.clongdouble, np.dtype("datetime64[s]"),
    np.dtype("U3"), np.str_, np.object_, np.floating, np.integer, np.number, np.generic, "float32", "float", b"f4",
    5, 1.0, True, object, str, type, X, np.ones(1), [], (float,), type("float32", (), {}),
]  # fmt: skip


def deprecated(f: Any, *args: Any, **kwargs: Any) -> Any:
    with pytest.warns(UserWarning, match="deprecated"):
        return f(*args, **kwargs)


# Every function with an argument `dtype`: a call with it.
CALLS: dict[str, Any] = {
    "Tensor": lambda d: rt.Tensor([1], dtype=d),
    "arange": lambda d: rt.arange(3, dtype=d),
    "as_tensor": lambda d: rt.as_tensor([1], dtype=d),
    "asarray": lambda d: rt.asarray([1], dtype=d),
    "bartlett_window": lambda d: rt.bartlett_window(3, dtype=d),
    "blackman_window": lambda d: rt.blackman_window(3, dtype=d),
    "cumprod": lambda d: rt.cumprod(X, 0, dtype=d),
    "cumsum": lambda d: rt.cumsum(X, 0, dtype=d),
    "empty": lambda d: rt.empty(2, dtype=d),
    "empty_like": lambda d: rt.empty_like(X, dtype=d),
    "empty_strided": lambda d: rt.empty_strided((2,), (1,), dtype=d),
    "eye": lambda d: rt.eye(2, dtype=d),
    "frombuffer": lambda d: rt.frombuffer(bytearray(8), dtype=d),
    "full": lambda d: rt.full((2,), 1, dtype=d),
    "scalar_tensor": lambda d: rt.scalar_tensor(1, dtype=d),
    "full_like": lambda d: rt.full_like(X, 1, dtype=d),
    "hamming_window": lambda d: rt.hamming_window(3, dtype=d),
    "hann_window": lambda d: rt.hann_window(3, dtype=d),
    "fft.fftfreq": lambda d: rt.fft.fftfreq(3, dtype=d),
    "fft.rfftfreq": lambda d: rt.fft.rfftfreq(3, dtype=d),
    "kaiser_window": lambda d: rt.kaiser_window(3, dtype=d),
    "linspace": lambda d: rt.linspace(0, 3, 4, dtype=d),
    "log_softmax": lambda d: rt.log_softmax(X, 0, dtype=d),
    "logspace": lambda d: rt.logspace(0, 1, 2, dtype=d),
    "mean": lambda d: rt.mean(X, dtype=d),
    "nanmean": lambda d: rt.nanmean(X, dtype=d),
    "nansum": lambda d: rt.nansum(X, dtype=d),
    "norm": lambda d: rt.norm(X, dtype=d),
    "normal": lambda d: rt.normal(0.0, 1.0, (2,), dtype=d),
    "ones": lambda d: rt.ones(2, dtype=d),
    "ones_like": lambda d: rt.ones_like(X, dtype=d),
    "prod": lambda d: rt.prod(X, dtype=d),
    "rand": lambda d: rt.rand(2, dtype=d),
    "rand_like": lambda d: rt.rand_like(X, dtype=d),
    "randint": lambda d: rt.randint(0, 2, (2,), dtype=d),
    "randint_like": lambda d: rt.randint_like(X, 0, 2, dtype=d),
    "randn": lambda d: rt.randn(2, dtype=d),
    "randn_like": lambda d: rt.randn_like(X, dtype=d),
    "randperm": lambda d: rt.randperm(2, dtype=d),
    "range": lambda d: deprecated(rt.range, 0, 2, dtype=d),
    "softmax": lambda d: rt.softmax(X, 0, dtype=d),
    "sum": lambda d: rt.sum(X, dtype=d),
    "tensor": lambda d: rt.tensor([1], dtype=d),
    "tril_indices": lambda d: rt.tril_indices(2, 2, dtype=d),
    "triu_indices": lambda d: rt.triu_indices(2, 2, dtype=d),
    "zeros": lambda d: rt.zeros(2, dtype=d),
    "zeros_like": lambda d: rt.zeros_like(X, dtype=d),
    "Tensor.cumprod": lambda d: X.cumprod(0, dtype=d),
    "Tensor.cumsum": lambda d: X.cumsum(0, dtype=d),
    "Tensor.log_softmax": lambda d: X.log_softmax(0, dtype=d),
    "Tensor.mean": lambda d: X.mean(dtype=d),
    "Tensor.nanmean": lambda d: X.nanmean(dtype=d),
    "Tensor.nansum": lambda d: X.nansum(dtype=d),
    "Tensor.new_empty": lambda d: X.new_empty((2,), dtype=d),
    "Tensor.new_full": lambda d: X.new_full((2,), 1, dtype=d),
    "Tensor.new_ones": lambda d: X.new_ones((2,), dtype=d),
    "Tensor.new_tensor": lambda d: X.new_tensor([1], dtype=d),
    "Tensor.new_zeros": lambda d: X.new_zeros((2,), dtype=d),
    "Tensor.norm": lambda d: X.norm(dtype=d),
    "Tensor.prod": lambda d: X.prod(dtype=d),
    "Tensor.softmax": lambda d: X.softmax(0, dtype=d),
    "Tensor.sum": lambda d: X.sum(dtype=d),
    "Tensor.type": lambda d: X.type(d),
    "F.log_softmax": lambda d: F.log_softmax(X, 0, dtype=d),
    "F.softmax": lambda d: F.softmax(X, 0, dtype=d),
    "F.softmin": lambda d: F.softmin(X, 0, dtype=d),
    "linalg.matrix_norm": lambda d: rt.linalg.matrix_norm(X, dtype=d),
    "linalg.norm": lambda d: rt.linalg.norm(X, dtype=d),
    "linalg.vector_norm": lambda d: rt.linalg.vector_norm(X, dtype=d),
    "to": lambda d: X.to(d),
    "to(dtype=)": lambda d: X.to(dtype=d),
    "to(cpu, dtype)": lambda d: X.to("cpu", d),
    "Linear": lambda d: nn.Linear(2, 2, dtype=d).weight,
    "BatchNorm1d": lambda d: nn.BatchNorm1d(2, dtype=d).running_mean,
    "Module.to": lambda d: nn.Linear(2, 2).to(d).weight,
    "Module.to(dtype=)": lambda d: nn.Linear(2, 2).to(dtype=d).weight,
}
# They exist, but show nothing new, or only some dtypes have a meaning (tested below).
OTHERS = {
    "cumprod_",
    "cumsum_",
    "Tensor.cumprod_",
    "Tensor.cumsum_",
    "TypedStorage",
    "autocast",
    "set_autocast_cpu_dtype",
    "set_autocast_dtype",
    "Tensor.view",
    "save",
    "load",
}
FLOATS_ONLY = {
    "bartlett_window", "blackman_window", "hamming_window", "hann_window", "kaiser_window", "log_softmax", "mean",
    "fft.fftfreq", "fft.rfftfreq", "nanmean",
    "norm", "normal", "rand", "rand_like", "randn", "randn_like", "softmax", "Tensor.log_softmax", "Tensor.mean",
    "Tensor.nanmean", "Tensor.norm", "Tensor.softmax", "F.log_softmax", "F.softmax", "F.softmin", "linalg.matrix_norm",
    "linalg.norm", "linalg.vector_norm", "Linear", "BatchNorm1d", "Module.to", "Module.to(dtype=)",
}  # fmt: skip


def test_every_function_with_a_dtype_is_here() -> None:
    found = set()
    for prefix, place in (("", rt), ("Tensor.", rt.Tensor), ("F.", F), ("linalg.", rt.linalg)):
        for name in dir(place):
            f = getattr(place, name)
            if name.startswith("_") or not callable(f) or (prefix and inspect.isclass(f)):
                continue
            try:
                parameters = inspect.signature(f).parameters
            except ValueError:
                continue
            if "dtype" in parameters:
                found.add(prefix + name)
    assert found - OTHERS <= set(CALLS), sorted(found - OTHERS - set(CALLS))


@pytest.mark.parametrize("name", CALLS)
def test_words_for_dtypes(name: str) -> None:
    call = CALLS[name]
    for word, d in WORDS:
        if d.is_floating_point or name not in FLOATS_ONLY:
            try:
                expected = call(d)
            except errors.DTypeError:  # the function has no such dtype, whatever it is called
                with pytest.raises(errors.DTypeError):
                    call(word)
                continue
            assert expected.dtype is d and call(word).dtype is d, (word, d)


@pytest.mark.parametrize("name", CALLS)
def test_what_is_no_dtype_is_refused(name: str) -> None:
    for word in WRONG:
        # A name of a device or of a type, a tensor to be like, a flag: `to` and `type` take more than dtypes.
        if name in ("to", "to(cpu, dtype)", "Module.to", "Tensor.type") and not isinstance(word, (type, np.dtype)):
            continue
        with pytest.raises((errors.DTypeError, errors.InvalidArgumentError)):
            CALLS[name](word)


def test_words_for_complex_and_unsigned_dtypes() -> None:
    for word, d in RARE:
        assert rt.zeros(1, dtype=word).dtype is d and rt.tensor([1]).to(word).dtype is d
    with pytest.raises(errors.DTypeError, match=r"there is no complex256 dtype|there is no clongdouble dtype"):
        rt.zeros(1, dtype=np.clongdouble)


def test_words_in_functions_about_dtypes() -> None:
    assert rt.finfo(float).bits == 64 and rt.finfo(np.float32).bits == 32 and rt.finfo(np.dtype("f2")).max == 65504
    assert rt.iinfo(int).max == 2**63 - 1 and rt.iinfo(np.uint8).max == 255
    assert rt.promote_types(float, int) is rt.float64 and rt.promote_types(np.int8, np.int16) is rt.int16
    assert rt.can_cast(int, float) and not rt.can_cast(float, int)
    assert X.view(np.int32).dtype is rt.int32 and X.view(dtype=np.dtype("int32")).dtype is rt.int32
    assert rt.zeros(2, dtype=rt.float64).view(int).dtype is rt.int64
    before = rt.get_default_dtype()
    try:
        rt.set_default_dtype(float)
        assert rt.ones(1).dtype is rt.float64 and rt.tensor(1.0).dtype is rt.float64
        assert rt.ones(1, dtype=np.float32).dtype is rt.float32
    finally:
        rt.set_default_dtype(before)
    for f in (rt.finfo, rt.iinfo, rt.set_default_dtype, lambda d: rt.promote_types(d, float)):
        for word in ("float32", object()):
            with pytest.raises(errors.DTypeError):
                f(word)
    # The default dtype does not decide what `float` is.
    assert rt.zeros(1, dtype=float).dtype is rt.float64 and X.to(float).dtype is rt.float64


def test_the_argument_that_is_wrong_is_named() -> None:
    with pytest.raises(errors.DTypeError, match="argument 'dim'"):
        rt.cumsum(X, "x", dtype=float)


def test_to_a_word_that_is_its_dtype_copies_nothing() -> None:
    x = rt.zeros(2, dtype=rt.float64)
    assert (
        x.to(float) is x
        and x.to(np.float64) is x
        and x.to(dtype=np.dtype("f8")) is x
        and x.to(float, copy=True) is not x
    )


def test_limits_of_types() -> None:
    for dtype, like in ((rt.float16, np.float16), (rt.float32, np.float32), (rt.float64, np.float64)):
        ours, theirs = rt.finfo(dtype), np.finfo(like)
        for name in ("eps", "max", "min", "tiny", "smallest_normal", "bits"):
            assert float(getattr(ours, name)) == float(getattr(theirs, name)), name
        assert ours.resolution == pytest.approx(float(theirs.resolution), rel=1e-3)
    short = rt.finfo(rt.bfloat16)
    assert (short.bits, short.eps, short.tiny, short.resolution) == (16, 2**-7, 2**-126, 0.01)
    assert short.max == -short.min == (2 - 2**-7) * 2.0**127
    for dtype in (rt.uint8, rt.int8, rt.int16, rt.int32, rt.int64):
        ours, theirs = rt.iinfo(dtype), np.iinfo(str(dtype).partition(".")[2])
        assert (ours.min, ours.max, ours.bits, ours.dtype) == (theirs.min, theirs.max, theirs.bits, str(theirs.dtype))
    rt.set_default_dtype(rt.float64)
    try:
        assert rt.finfo().dtype == "float64"
    finally:
        rt.set_default_dtype(rt.float32)
    assert rt.finfo().dtype == "float32"
