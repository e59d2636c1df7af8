"""Data types. The list comes from the core: a new row there appears here by itself."""

from __future__ import annotations

from typing import Any

from ._door import check, ffi, lib, text
from .errors import DTypeError

__all__ = ["dtype", "finfo", "get_default_dtype", "iinfo", "promote_types", "set_default_dtype"]


class dtype:
    """A data type of tensor elements, such as `rustorch.float32`."""

    __slots__ = ("_code", "_eps", "_max", "_min", "_name", "_typestr", "is_complex", "is_floating_point", "itemsize")

    _code: int

    def __init__(self, code: int) -> None:
        info = ffi.new("struct rt_dtype_info *")
        check(lib.rt_dtype_get(code, info))
        self._code = code
        self._name = text(info.name)
        self._typestr = text(info.typestr)
        self._min, self._max, self._eps = info.min, info.max, info.eps
        self.itemsize: int = info.size
        self.is_floating_point: bool = info.category == 2
        self.is_complex = False

    @property
    def is_signed(self) -> bool:
        """True if the type has negative numbers."""
        return bool(self._min < 0)

    def to_real(self) -> dtype:
        """The type itself: there are no complex types."""
        return self

    def __repr__(self) -> str:
        return f"rustorch.{self._name}"

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
}.items():
    BY_NAME[_short] = BY_NAME[_long]


def _by_name(name: str) -> dtype:
    return BY_NAME[name]


def from_python(v: Any) -> dtype:
    """The dtype that a builtin type or a NumPy dtype stands for."""
    if isinstance(v, dtype):
        return v
    if v is float:
        return get_default_dtype()
    if v is int:
        return BY_NAME["int64"]
    if v is bool:
        return BY_NAME["bool"]
    name = getattr(v, "name", None) or getattr(v, "__name__", None)
    if name in BY_NAME and not isinstance(v, str):
        return BY_NAME[name]
    raise DTypeError(f"expected a dtype, got {v!r}")


def get_default_dtype() -> dtype:
    """The dtype of floating-point tensors made without one."""
    code: int = lib.rt_default_dtype()
    return ALL[code]


def set_default_dtype(d: dtype) -> None:
    """Sets the dtype of floating-point tensors made without one; it must be a floating-point type."""
    check(lib.rt_set_default_dtype(d._code))


def promote_types(type1: dtype, type2: dtype) -> dtype:
    """The smallest dtype that holds both."""
    out = ffi.new("int32_t *")
    check(lib.rt_promote_types(type1._code, type2._code, out))
    code: int = out[0]
    return ALL[code]


class finfo:
    """Limits of a floating-point type: `eps`, `max`, `min`, `tiny`, `bits`, `resolution`."""

    def __init__(self, type: dtype | None = None) -> None:
        d = type if type is not None else get_default_dtype()
        if not d.is_floating_point:
            raise DTypeError(f"finfo: wanted a floating-point dtype, got {d}")
        self.dtype = d._name
        self.bits = d.itemsize * 8
        self.eps: float = d._eps
        self.max: float = d._max
        self.min: float = d._min
        exponent = {"float16": -14, "bfloat16": -126, "float32": -126}.get(d._name, -1022)
        self.tiny = self.smallest_normal = 2.0**exponent
        self.resolution = 10.0 ** -int(-__import__("math").log10(d._eps))

    def __repr__(self) -> str:
        return (
            f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, eps={self.eps:g}, "
            f"smallest_normal={self.tiny:g}, tiny={self.tiny:g}, dtype={self.dtype})"
        )


class iinfo:
    """Limits of a whole-number type: `max`, `min`, `bits`."""

    def __init__(self, type: dtype) -> None:
        if type.is_floating_point or type._name == "bool":
            raise DTypeError(f"iinfo: wanted a whole-number dtype, got {type}")
        self.dtype = type._name
        self.bits = type.itemsize * 8
        signed = type.is_signed
        self.max = 2 ** (self.bits - signed) - 1
        self.min = -(2 ** (self.bits - 1)) if signed else 0

    def __repr__(self) -> str:
        return f"iinfo(min={self.min}, max={self.max}, dtype={self.dtype})"
