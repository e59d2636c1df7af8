"""Data types. The list comes from the core: a new row there appears here by itself."""

from __future__ import annotations

import math
import sys

from . import _door
from ._door import check, ffi, lib, sized, text
from .errors import DTypeError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["dtype", "finfo", "get_default_dtype", "iinfo", "promote_types", "set_default_dtype"]


class dtype:
    """A data type of tensor elements, such as `rustorch.float32`."""

    __slots__ = ("_code", "_eps", "_max", "_min", "_name", "_typestr", "is_complex", "is_floating_point", "itemsize")

    _code: int

    def __init__(self, code: int) -> None:
        info = sized("rt_dtype_info")
        check(lib.rt_dtype_get(code, info))
        self._code = code
        self._name = text(info.name)
        self._typestr = text(info.typestr)
        self._min, self._max, self._eps = info.min, info.max, info.eps
        self.itemsize: int = info.itemsize
        self.is_floating_point: bool = info.category == 2
        self.is_complex: bool = info.category == 3

    @property
    def is_signed(self) -> bool:
        """True if the type has negative numbers."""
        return bool(self._min < 0)

    def to_real(self) -> dtype:
        """The type of the real part: itself unless it is complex."""
        return BY_NAME[f"float{self.itemsize * 4}"] if self.is_complex else self

    def to_complex(self) -> dtype:
        """The complex type whose parts hold this one's numbers."""
        wide = self._name in ("float64", "complex128")
        return BY_NAME["complex128" if wide else "complex64"]

    def __repr__(self) -> str:
        return f"{_door.shown_as}.{self._name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _by_name, (self._name,)

    def __copy__(self) -> dtype:
        return self

    def __deepcopy__(self, memo: Any) -> dtype:
        return self


ALL: tuple[dtype, ...] = tuple(dtype(code) for code in range(lib.rt_dtype_count()))
BY_NAME: dict[str, dtype] = {d._name: d for d in ALL}
for _short, _long in {
    "half": "float16",
    "float": "float32",
    "double": "float64",
    "short": "int16",
    "int": "int32",
    "long": "int64",
    "cfloat": "complex64",
    "cdouble": "complex128",
}.items():
    BY_NAME[_short] = BY_NAME[_long]


def _by_name(name: str) -> dtype:
    return BY_NAME[name]


def from_python(v: Any) -> dtype:
    """The dtype that a word for one stands for: a dtype, a builtin type (as in PyTorch), NumPy's types and dtypes.

    Every function that takes a dtype takes these. Strings are none, as in PyTorch.
    """
    if isinstance(v, dtype):
        return v
    name = _PLAIN.get(v) if isinstance(v, type) else None
    numpy = sys.modules.get("numpy")
    if name is None and numpy is not None:
        if isinstance(v, type) and issubclass(v, numpy.number | numpy.bool_) and v not in _abstract(numpy):
            v = numpy.dtype(v)
        if isinstance(v, numpy.dtype):
            name = v.name
    if name in BY_NAME:
        return BY_NAME[name]
    if name is not None:
        raise DTypeError(f"expected a dtype, got {v!r}: there is no {name} dtype")
    raise DTypeError(f"expected a dtype, got {v!r}")


def is_word(v: Any) -> bool:
    """True for what `from_python` takes, or refuses as a dtype that does not exist."""
    if isinstance(v, dtype) or (isinstance(v, type) and v in _PLAIN):
        return True
    numpy = sys.modules.get("numpy")
    return numpy is not None and (isinstance(v, numpy.dtype) or (isinstance(v, type) and issubclass(v, numpy.generic)))


_PLAIN: dict[type, str] = {float: "float64", int: "int64", bool: "bool", complex: "complex128"}


def _abstract(numpy: Any) -> Any:
    """NumPy's classes that stand for several types."""
    return (
        numpy.number, numpy.integer, numpy.signedinteger, numpy.unsignedinteger, numpy.inexact, numpy.floating,
        numpy.complexfloating,
    )  # fmt: skip


class _NamedOnly(dtype):
    """A dtype that programs name and compare, and of which there are no tensors."""

    __slots__ = ()

    def __init__(self, name: str, itemsize: int, high: float = 0.0, eps: float = 0.0) -> None:
        self._name, self.itemsize = name, itemsize
        self.is_floating_point, self.is_complex = name.startswith("float"), name.startswith("complex")
        self._min, self._max, self._eps = -high, high, eps

    @property
    def _code(self) -> int:  # type: ignore[override]
        raise UnsupportedError(f"there are no tensors of dtype {self}")

    def __reduce__(self) -> tuple[Any, ...]:
        return _named_only, (self._name,)


NAMED_ONLY: dict[str, dtype] = {
    name: _NamedOnly(name, *numbers)
    for name, *numbers in (
        ("float8_e4m3fn", 1, 448.0, 0.125),
        ("float8_e4m3fnuz", 1, 240.0, 0.125),
        ("float8_e5m2", 1, 57344.0, 0.25),
        ("float8_e5m2fnuz", 1, 57344.0, 0.125),
        ("float8_e8m0fnu", 1, 2.0**127, 1.0),
        ("float4_e2m1fn_x2", 1),
        ("complex32", 4, 65504.0, 2.0**-10),
    )
}


def _named_only(name: str) -> dtype:
    return NAMED_ONLY[name]


def get_default_dtype() -> dtype:
    """The dtype of floating-point tensors made without one."""
    code: int = lib.rt_default_dtype()
    return ALL[code]


def set_default_dtype(d: Any) -> None:
    """Sets the dtype of floating-point tensors made without one; it must be a floating-point type."""
    check(lib.rt_set_default_dtype(from_python(d)._code))


def promote_types(type1: Any, type2: Any) -> dtype:
    """The smallest dtype that holds both."""
    out = ffi.new("int32_t *")
    check(lib.rt_promote_types(from_python(type1)._code, from_python(type2)._code, out))
    code: int = out[0]
    return ALL[code]


def castable(d: dtype, target: dtype) -> bool:
    """True if results of dtype `d` may be written into tensors of `target`."""
    return _rank(d) <= _rank(target)


def _rank(d: dtype) -> int:
    return 0 if d._name == "bool" else 3 if d.is_complex else 2 if d.is_floating_point else 1


# Of the smallest normal numbers.
_LEAST = {
    "float16": -14, "bfloat16": -126, "float32": -126, "float8_e4m3fn": -6, "float8_e4m3fnuz": -7, "float8_e5m2": -14,
    "float8_e5m2fnuz": -15, "float8_e8m0fnu": -127,
}  # fmt: skip


class finfo:
    """Limits of a floating-point type: `eps`, `max`, `min`, `tiny`, `bits`, `resolution`."""

    def __init__(self, type: Any = None) -> None:
        d = (from_python(type) if type is not None else get_default_dtype()).to_real()
        if not d.is_floating_point:
            raise DTypeError(f"finfo: wanted a floating-point dtype, got {d}")
        self.dtype = d._name
        self.bits = d.itemsize * 8
        self.eps: float = d._eps
        self.max: float = d._max
        self.min: float = d._min if d._name != "float8_e8m0fnu" else 2.0**-127
        exponent = _LEAST.get(d._name, -1022)
        self.tiny = self.smallest_normal = 2.0**exponent
        self.resolution = 10.0 ** -int(-math.log10(d._eps))

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of a whole-number type: `max`, `min`, `bits`."""

    def __init__(self, type: Any) -> None:
        type = from_python(type)
        if type.is_floating_point or type.is_complex or type._name == "bool":
            raise DTypeError(f"iinfo: wanted a whole-number dtype, got {type}")
        self.dtype = type._name
        self.bits = type.itemsize * 8
        signed = type.is_signed
        self.max = 2 ** (self.bits - signed) - 1
        self.min = -(2 ** (self.bits - 1)) if signed else 0

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
