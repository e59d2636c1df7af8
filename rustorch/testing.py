"""Helpers for tests: `assert_close` and `make_tensor`."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from . import _ops, words
from ._tensor import Tensor
from .dtypes import BY_NAME, finfo
from .errors import DTypeError
from .interchange import as_tensor

__all__ = ["assert_allclose", "assert_close", "make_tensor"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

# Of each dtype: rtol and atol, as in PyTorch.
_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "bfloat16": (1.6e-2, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: float | None = None,
    atol: float | None = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: str | Callable[[str], str] | None = None,
) -> None:
    """Raises an AssertionError unless ``|actual - expected| <= atol + rtol * |expected|`` everywhere.

    Tensors, numbers, arrays, and sequences and mappings of them. The tolerances are given both or not at all; then they
    follow from the dtypes, the wider of two.
    """
    if (rtol is None) != (atol is None):
        raise ValueError("assert_close: rtol and atol must both be specified or both be unspecified")
    options = (rtol, atol, equal_nan, check_device, check_dtype, check_stride, allow_subclasses)
    message = _difference(actual, expected, "", options)
    if message is not None:
        raise AssertionError(message if msg is None else msg(message) if callable(msg) else msg)


def assert_allclose(
    actual: Any, expected: Any, rtol: float | None = None, atol: float | None = None, **options: Any
) -> None:
    """PyTorch's old form of `assert_close`, which does not compare dtypes or devices."""
    actual = actual if isinstance(actual, Tensor) else as_tensor(actual)
    expected = expected if isinstance(expected, Tensor) else as_tensor(expected, dtype=actual.dtype)
    nan = options.get("equal_nan", True)
    assert_close(
        actual, expected, rtol=rtol, atol=atol, equal_nan=nan, check_device=False, check_dtype=False
    )  # fmt: skip


def _difference(actual: Any, expected: Any, place: str, options: tuple[Any, ...]) -> str | None:
    """What the two differ in; None if nothing."""
    if isinstance(actual, Mapping) and isinstance(expected, Mapping):
        if actual.keys() != expected.keys():
            missing, more = (
                sorted(map(str, expected.keys() - actual.keys())),
                sorted(map(str, actual.keys() - expected.keys())),
            )
            return f"The keys of the mappings do not match{place}: missing {missing}, not expected {more}"
        pairs = [(actual[k], expected[k], f"{place}[{k!r}]") for k in expected]
    elif _is_sequence(actual) and _is_sequence(expected):
        if len(actual) != len(expected):
            return f"The length of the sequences mismatch{place}: {len(actual)} != {len(expected)}"
        pairs = [(a, e, f"{place}[{i}]") for i, (a, e) in enumerate(zip(actual, expected))]
    else:
        return _unequal(actual, expected, f" at {place}" if place else "", options)
    return next((d for p in pairs if (d := _difference(*p, options)) is not None), None)


def _is_sequence(v: Any) -> bool:
    return isinstance(v, Sequence) and not isinstance(v, str)


def _number(v: Any) -> Any:
    """A number of NumPy as Python's; all else as it is."""
    np = sys.modules.get("numpy")
    return v.item() if np is not None and isinstance(v, (np.number, np.bool_)) else v


def _as_tensor(v: Any) -> Tensor:
    """A number with all its digits, or an array."""
    for kind, name in ((int, "int64"), (float, "float64"), (complex, "complex128")):
        if isinstance(v, kind) and not hasattr(v, "shape"):
            return as_tensor(v, dtype=BY_NAME[name if kind is not int or abs(v) < 2**63 else "float64"])
    return as_tensor(v)


def _unequal(actual: Any, expected: Any, place: str, options: tuple[Any, ...]) -> str | None:
    rtol, atol, equal_nan, check_device, check_dtype, check_stride, allow_subclasses = options
    if actual is None or expected is None:
        return None if actual is expected else f"None mismatch{place}: {actual!r} is not {expected!r}"
    plain = [_number(v) for v in (actual, expected)]
    numbers = all(isinstance(v, (int, float, complex)) for v in plain)
    if numbers:
        actual, expected = plain
        allow_subclasses = True
        if isinstance(actual, bool) and isinstance(expected, bool):
            return None if actual is expected else f"Booleans mismatch{place}: {actual} is not {expected}"
        if isinstance(actual, bool) or isinstance(expected, bool):
            raise DTypeError(f"assert_close: a bool and another number cannot be compared: {actual}, {expected}{place}")
        if check_dtype and type(actual) is not type(expected):
            return f"The (d)types do not match{place}: {type(actual)} != {type(expected)}."
    if not numbers and not (hasattr(actual, "shape") and hasattr(expected, "shape")):
        if type(actual) is type(expected) and not isinstance(actual, Tensor):
            return None if actual == expected else f"None mismatch{place}: {actual!r} is not {expected!r}"
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")
    if not allow_subclasses and type(actual) is not type(expected):
        raise TypeError(f"No comparison pair was able to handle inputs of type {type(actual)} and {type(expected)}.")
    kind = "Scalars" if numbers else "Tensor-likes"
    a, e = (v.detach() if isinstance(v, Tensor) else _as_tensor(v) for v in (actual, expected))
    if a.shape != e.shape:
        return f"The values for attribute 'shape' do not match{place}: {a.shape} != {e.shape}."
    if check_device and a.device != e.device:
        return f"The values for attribute 'device' do not match{place}: {a.device} != {e.device}."
    if check_dtype and not numbers and a.dtype != e.dtype:
        return f"The values for attribute 'dtype' do not match{place}: {a.dtype} != {e.dtype}."
    if check_stride and a.stride() != e.stride():
        return f"The values for attribute 'stride()' do not match{place}: {a.stride()} != {e.stride()}."
    if rtol is None:
        both = [_TOLERANCES.get(v.dtype._name, (0.0, 0.0)) for v in (a, e)]
        rtol, atol = max(r for r, _ in both), max(t for _, t in both)
    wide = words.result_type(a, e)
    a, e = a.to(wide), e.to(wide)
    if wide is BY_NAME["bool"]:
        a, e = a.to(BY_NAME["uint8"]), e.to(BY_NAME["uint8"])
    if a.is_meta:
        return None
    close = _ops.isclose(a, e, rtol, atol, equal_nan)
    if bool(close.all()):
        return None
    wrong, count = int((~close).sum()), close.numel()
    apart = _ops.abs(a - e) if wide.is_floating_point or wide.is_complex else _ops.abs(a.double() - e.double())
    apart = _ops.where(close, _ops.zeros_like(apart), apart)
    relative = _ops.where(close, _ops.zeros_like(apart), apart / _ops.abs(e))
    what = f"{kind} are not {'close' if rtol or atol else 'equal'}{place}!"
    if numbers:
        return (
            f"{what}\n\nExpected {expected} but got {actual}.\n"
            f"Absolute difference: {apart.item()} (up to {atol} allowed)\n"
            f"Relative difference: {relative.item()} (up to {rtol} allowed)"
        )
    return (
        f"{what}\n\nMismatched elements: {wrong} / {count} ({100 * wrong / count:.1f}%)\n"
        f"Greatest absolute difference: {_most(apart)} (up to {atol} allowed)\n"
        f"Greatest relative difference: {_most(relative)} (up to {rtol} allowed)"
    )


def _most(t: Tensor) -> str:
    """The greatest element and where it is."""
    i = int(t.nan_to_num(math.inf).argmax())
    place = []
    for n in reversed(t.shape):
        place.append(i % n)
        i //= n
    index = tuple(reversed(place))
    return f"{t[index].item()}" + (f" at index {index}" if index else "")


def make_tensor(
    *shape: Any,
    dtype: Any,
    device: Any = "cpu",
    low: float | None = None,
    high: float | None = None,
    requires_grad: bool = False,
    noncontiguous: bool = False,
    exclude_zero: bool = False,
    memory_format: Any = None,
) -> Tensor:
    """A tensor of random numbers from [low, high), of any dtype: by default -9 to 9 (0 to 9 of uint8, 0 and 1 of bool).

    `exclude_zero` puts the smallest positive number in the place of zeros; `noncontiguous` takes every other element.
    """
    sizes = tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], Sequence) else shape
    spread = noncontiguous and math.prod(sizes) > 1
    room = (*sizes[:-1], 2 * sizes[-1]) if spread else sizes
    least: Any
    most: Any
    if dtype is BY_NAME["bool"]:
        least, most = (0, 2)
    elif dtype._name.startswith("uint"):
        least, most = (0, 10)
    else:
        least, most = (-9, 10) if not (dtype.is_floating_point or dtype.is_complex) else (-9, 9)
    least, most = (least if low is None else low), (most if high is None else high)
    if not least < most:
        raise ValueError(f"make_tensor: low must be less than high, got {least} and {most}")
    if dtype.is_floating_point:
        t = _ops.empty(room, dtype=dtype, device=device).uniform_(least, most)
    elif dtype.is_complex:
        t = _ops.empty(room, dtype=dtype, device=device)
        _ops.view_as_real(t).uniform_(least, most)
    else:
        t = words.randint(math.ceil(least), math.ceil(most), room, dtype=dtype, device=device)
    if spread:
        t = t[..., 1::2]
    if exclude_zero:
        t[t == 0] = finfo(dtype).tiny if dtype.is_floating_point or dtype.is_complex else 1
    return t.requires_grad_(requires_grad) if requires_grad else t
