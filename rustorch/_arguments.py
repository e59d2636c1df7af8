"""Arguments and results of ops: what is handed to C, what is made of what comes back, and the errors for the rest."""

from __future__ import annotations

import struct
from collections import namedtuple

from . import _door
from ._device import put, wanted
from ._door import CALLED, NULL, TensorOwner, ffi, lib, made, wrap
from .dtypes import castable, from_python
from .errors import DTypeError, InvalidArgumentError, RustorchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeAlias

    from ._tensor import Tensor

    Number: TypeAlias = int | float | bool | complex

# Kinds of plain numbers.
_NONE, _BOOL, _INT, _FLOAT = lib.RT_SCALAR_NONE, lib.RT_SCALAR_BOOL, lib.RT_SCALAR_INT, lib.RT_SCALAR_FLOAT
_COMPLEX = lib.RT_SCALAR_COMPLEX
# The kinds of arguments, which `_ops` writes here from the table: what each holds, in which form, whether a number will
# do, what a message says is wanted.
KINDS: dict[str, tuple[str, str, bool, str]] = {}


# ---- arguments ----


def number(v: Any) -> tuple[int, int, float]:
    """A plain number as kind, whole number, float; of a complex one bits of the imaginary part, and the real part."""
    cls = v.__class__
    if cls is float:
        return _FLOAT, 0, v
    if cls is int:
        return _INT, v, 0.0
    if cls is bool:
        return _BOOL, v, 0.0
    if isinstance(v, int):
        return _INT, int(v), 0.0
    if isinstance(v, float):
        return _FLOAT, 0, float(v)
    if isinstance(v, complex):
        return _COMPLEX, _bits(v.imag), v.real
    if hasattr(v, "_h"):
        if v.ndim or v.requires_grad:  # whose gradient would be lost
            raise TypeError(f"expected a number, got a Tensor {_kind_of(v)}")
        return number(v.item())
    if hasattr(v, "dtype") and hasattr(v, "item") and getattr(v, "ndim", 0) == 0:  # a NumPy number
        return number(v.item())
    if hasattr(v, "__index__"):
        return _INT, v.__index__(), 0.0
    if hasattr(v, "__float__"):
        return _FLOAT, 0, float(v)
    raise TypeError(f"expected a number, got {type(v).__name__}")


def _bits(v: float) -> int:
    """The bits of a float as a whole number."""
    n: int = struct.unpack("q", struct.pack("d", v))[0]
    return n


def _float_of(bits: int) -> float:
    """The float that has these bits."""
    f: float = struct.unpack("d", struct.pack("q", bits))[0]
    return f


def optional_number(v: Any) -> tuple[int, int, float]:
    """As `number`, or the mark of no number."""
    return (_NONE, 0, 0.0) if v is None else number(v)


def operand(v: Any) -> Tensor:
    """A tensor, or a plain number as one that yields in type promotion."""
    if hasattr(v, "_h"):
        return v  # type: ignore[no-any-return]
    return made(lib.py_tensor_from_number(*number(v), -1))


def ints(v: Any) -> tuple[int, ...]:
    """A list of whole numbers from one or several."""
    if v.__class__ is tuple:
        for i in v:
            if i.__class__ is not int:
                return _wholes(v)
        return v
    if isinstance(v, int):
        return (int_(v),)
    if hasattr(v, "_h"):
        if v.numel() != 1:
            raise TypeError(f"expected whole numbers, got a Tensor {_kind_of(v)}")
        return (_whole(v),)
    if hasattr(v, "__index__"):
        return (v.__index__(),)
    return ints(tuple(v))


def _wholes(v: tuple[Any, ...]) -> tuple[int, ...]:
    """Whole numbers, of which the first is no truth value: so PyTorch knows a list of ints."""
    if isinstance(v[0], bool):
        raise TypeError(f"expected whole numbers, got {v[0]!r}")
    return tuple(i if i.__class__ is int else _whole(i) for i in v)


def _kind_of(v: Any) -> str:
    """What keeps a tensor from being taken for a number."""
    return f"of shape {list(v.shape)}" if v.ndim else "that requires grad"


def _whole(v: Any) -> int:
    if hasattr(v, "_h"):
        v = v.item()
    if not hasattr(v, "__index__"):
        raise TypeError(f"expected whole numbers, got {v!r}")
    return v.__index__()  # type: ignore[no-any-return]


def int_(v: Any) -> int:
    """A whole number: floats are not cut off, and truth values are not counted."""
    if isinstance(v, bool) or not hasattr(v, "__index__"):
        raise TypeError(f"expected an int, got {v!r}")
    return v.__index__()  # type: ignore[no-any-return]


def shape_(sizes: tuple[Any, ...]) -> Any:
    """Sizes that were given one by one or as one sequence."""
    if len(sizes) == 1:
        return ints(sizes[0])
    for s in sizes:
        if s.__class__ is not int:
            return _wholes(sizes)
    return sizes


def several(v: Any) -> Any:
    """Several tensors as a sequence. One tensor is none, as in PyTorch: its parts are `t.unbind(0)`."""
    if v.__class__ is list or v.__class__ is tuple:
        return v
    if hasattr(v, "_h"):
        raise TypeError("expected a sequence of Tensors, got a Tensor")
    return list(v)


def bool_(v: Any) -> bool:
    """A truth value, perhaps NumPy's; numbers are none, as in PyTorch."""
    if v is True or v is False:
        return v
    if v.__class__.__name__ in ("bool_", "bool"):
        return bool(v)
    raise TypeError(f"expected a bool, got {type(v).__name__}")


#: The types of plain numbers.
NUMBERS = (int, float, complex)


def old_form(f: Any, input: Any, *others: Any, alpha: Any, **options: Any) -> Tensor:
    """`add(input, alpha, other)`, as in old versions of PyTorch: deprecated there, with this warning."""
    if len(others) != 2 or not hasattr(input, "_h") or hasattr(others[0], "_h") or alpha != 1:
        raise TypeError(f"{f.__name__}() takes 2 positional arguments but {1 + len(others)} were given")
    import warnings

    warnings.warn(f"This overload of {f.__name__} is deprecated: give alpha={others[0]!r} by name", stacklevel=3)
    return f(input, others[1], alpha=others[0], **options)  # type: ignore[no-any-return]


def refused(op: str, name: str, kind: str, v: Any) -> DTypeError:
    """The error for an argument that is no `kind`."""
    e = DTypeError(f"{op}(): argument '{name}' must be {_row(kind)[3]}, not {_described(kind, v)}")
    e.op = op
    return e


def flags(op: str, **named: Any) -> None:
    """Refuses arguments that are no truth values."""
    for name, v in named.items():
        if v is not True and v is not False and v.__class__.__name__ not in ("bool_", "bool"):
            raise refused(op, name, "Bool", v)


def whole(op: str, name: str, v: Any) -> int:
    """An argument that is a whole number."""
    if v.__class__ is int:
        return v
    if not _fits("Int", v) or (name == "dim" and hasattr(v, "_h") and v.ndim):
        raise refused(op, name, "Int", v)
    return int(v.__index__())


def dtype_code(v: Any) -> int:
    """Code of a dtype; the builtin types mean what they mean in PyTorch."""
    try:
        return v._code  # type: ignore[no-any-return]
    except AttributeError:
        return from_python(v)._code


_words: dict[str | None, bytes] = {None: b"", "mean": b"mean", "sum": b"sum", "none": b"none"}


def word(v: str | None) -> bytes:
    """A word for C."""
    w = _words.get(v)
    if w is None:
        if not isinstance(v, str):
            raise TypeError(f"expected a str, got {type(v).__name__}")
        if not v or "\0" in v:
            raise ValueError(f"expected a word, got {v!r}")
        w = v.encode()
    return w


# ---- results ----


def _extent(t: Tensor) -> tuple[int, int]:
    """Addresses of the first byte and of the one after the last."""
    start, size = t.data_ptr(), t.itemsize
    reach = sum((n - 1) * s for n, s in zip(t.shape, t.stride()))
    return start, start + (reach + 1) * size if t.numel() else start


def _memory(t: Tensor) -> tuple[int, int]:
    """The same of the memory that it is in."""
    start = int(ffi.cast("uintptr_t", lib.rt_tensor_storage_data(t._h)))
    return start, start + lib.rt_tensor_storage_nbytes(t._h)


def _dense(t: Tensor) -> bool:
    low, high = _extent(t)
    return high - low == t.numel() * t.itemsize


#: What they give is picked from an input, or is a place.
_PICKING = {"gather", "take", "index_select", "masked_select", "multinomial"}
#: What these give is not converted.
_EXACT = {*_PICKING, "complex", "polar"}


def into(out: Tensor, result: Tensor, op: str = "", *inputs: Any) -> Tensor:
    """Copies a result of `op` into the tensor given as `out=`, resizing it as PyTorch does.

    It may be one of the `inputs`, if it has the result's shape already, but not share a part of its memory with one.
    """
    check_into(out, result, op, inputs, result.device)
    _resized(out, result.shape)
    return out.copy_(result)


def several_into(out: Any, results: Any, make: Any) -> Any:
    """Several results under their names (`make`), copied into the tensors `out` if given."""
    if out is None:
        return make(*results)
    if len(out) != len(results):
        raise InvalidArgumentError(f"{make.__name__}: wanted {len(results)} tensors as out, got {len(out)}")
    for o, r in zip(out, results):
        check_into(o, r, make.__name__, (), r.device)
    return make(*(into(o, r, make.__name__) for o, r in zip(out, results)))


def write_into(out: Any, op: str, kinds: str, *arguments: Any) -> Any:
    """Calls an op that has a kernel, which writes what it makes into `out`: a tensor, or as many as it has results.

    `arguments` are those of the table, of these `kinds`. None if C has refused.
    """
    alone = isinstance(out, TensorOwner)
    outs: Any = (out,) if alone else tuple(out)
    inputs: list[Any] = []
    lists: list[Any] = []
    attributes = []
    for kind, v in zip(kinds.split(), arguments):
        holds, form, number_too, _ = _row(kind)
        if holds != "Tensor":
            attributes.append((holds, form, v))
        elif form in ("List", "Optionals"):
            lists += v
        else:
            inputs.append(operand(v) if number_too else v)
    inputs += lists
    attrs = ffi.new("struct rt_attr[]", len(attributes))
    kept = [_fill(a, *of) for a, of in zip(attrs, attributes)]
    handles = ffi.new("const struct rt_tensor *[]", [NULL if t is None else t._h for t in inputs])
    name, call = op.encode(), (handles, len(inputs), attrs, len(attrs))
    # What it will be, before anything has changed.
    places, n = ffi.new("struct rt_tensor *[3]"), ffi.new("size_t *")
    if lib.rt_op_infer(name, *call, places, 3, n):
        return None
    results = [wrap(h) for h in places[0 : n[0]]]
    if len(outs) != len(results):
        raise InvalidArgumentError(f"{op}: wanted {len(results)} tensors as out, got {len(outs)}")
    present = [t for t in inputs if t is not None]
    device = next((t.device for t in present if t.is_meta), present[0].device if present else outs[0].device)
    for o, r in zip(outs, results):
        if not alone and o is outs[-1] and o.dtype != r.dtype and not r.is_floating_point():
            raise DTypeError(f"{op}: expected out for indices of dtype {r.dtype}, got {o.dtype}")
        check_into(o, r, op, present, device)
        if any(t is o or (t is not None and t.data_ptr() == o.data_ptr() != 0) for t in lists):
            raise InvalidArgumentError(f"{op}: unsupported operation: `out` shares memory with an input")
    for o, r in zip(outs, results):
        _resized(o, r.shape)
    status = lib.rt_op_call_into(name, *call, ffi.new("struct rt_tensor *[]", [o._h for o in outs]), len(outs))
    del kept
    return None if status else out if alone else outs


def _fill(a: Any, holds: str, form: str, v: Any) -> Any:
    """Writes an attribute of a call by name; what is given back must live as long as it."""
    a.size = ffi.sizeof("struct rt_attr")
    if v is None and form == "Optional":
        a.kind = lib.RT_ATTR_NONE
    elif holds == "Scalar":
        kind, i, f = number(v)
        if kind == _COMPLEX:
            a.kind, a.f, a.im = lib.RT_ATTR_COMPLEX, f, _float_of(i)
        elif kind == _FLOAT:
            a.kind, a.f = lib.RT_ATTR_FLOAT, f
        else:
            a.kind, a.i = lib.RT_ATTR_INT if kind == _INT else lib.RT_ATTR_BOOL, i
    elif holds == "Float":
        a.kind, a.f = lib.RT_ATTR_FLOAT, v
    elif holds == "Int":
        a.kind, a.i = lib.RT_ATTR_INT, int_(v)
    elif holds == "Bool":
        a.kind, a.i = lib.RT_ATTR_BOOL, bool_(v)
    elif holds == "DType":
        a.kind, a.i = lib.RT_ATTR_DTYPE, dtype_code(v)
    elif holds == "Ints":
        a.kind, a.len = lib.RT_ATTR_INTS, len(v)
        a.ints = sizes = ffi.new("int64_t[]", v)
        return sizes
    elif holds == "Str":
        a.kind = lib.RT_ATTR_STR
        a.str = letters = ffi.new("char[]", word(v))
        return letters
    else:
        a.kind, a.generator = lib.RT_ATTR_GENERATOR, v._h
    return None


def _resized(out: Tensor, shape: Any) -> None:
    if out.shape != shape:
        if out.numel():
            import warnings

            warnings.warn(
                f"An output with one or more elements was resized: it had shape {tuple(out.shape)}, the result has "
                f"shape {tuple(shape)}. Reuse a tensor by first resizing it to nothing: out.resize_(0).",
                UserWarning,
                stacklevel=4,
            )
        out.resize_(shape)


def check_into(out: Tensor, result: Tensor, op: str, inputs: Any, device: Any) -> None:
    """Refuses what cannot take a `result` (or what it will be) on `device`, before anything has changed."""
    if out.device != device:
        raise InvalidArgumentError(f"{op}: `out` is on {out.device}, the result on {device}")
    if op in _EXACT and out.dtype != result.dtype:
        raise DTypeError(f"{op}: expected out of dtype {result.dtype}, got {out.dtype}")
    if 0 in out.stride() and any(n > 1 and s == 0 for n, s in zip(out.shape, out.stride())):
        raise InvalidArgumentError(
            f"{op}: unsupported operation: several elements of `out` share a place in memory, clone it first"
        )
    a, b = _memory(out)
    for t in inputs:
        if not hasattr(t, "_h"):
            continue
        c, d = _memory(t)
        if (b <= c or d <= a) or not (_dense(t) and _dense(out)):
            continue
        (i, j), (k, end) = _extent(t), _extent(out)
        if out.shape != result.shape:  # what it will have when it has been resized
            end = min(k + result.numel() * out.itemsize, b)
        the_same = (
            (i, t.shape, t.stride()) == (k, out.shape, out.stride())
            and out.shape == result.shape
            and op not in _PICKING
        )
        if (i < end and k < j and not the_same) or (t is out and out.shape != result.shape):
            raise InvalidArgumentError(f"{op}: unsupported operation: `out` shares memory with an input")
    if lib.rt_grad_enabled() and (out.requires_grad or result.requires_grad):
        raise InvalidArgumentError("functions with out=... arguments don't support automatic differentiation")
    if not castable(result.dtype, out.dtype):
        raise DTypeError(f"result type {result.dtype} can't be cast to the desired output type {out.dtype}")


def named_result(op: str, fields: str = "values indices") -> Any:
    """The class of the results of an op that gives several tensors: a tuple whose parts have names."""

    def show(self: Any) -> str:
        return (
            f"{_door.shown_as}.return_types.{op}(\n" + ",\n".join(f"{k}={v!r}" for k, v in self._asdict().items()) + ")"
        )

    cls = namedtuple(op, fields.split(), module="rustorch.return_types")  # type: ignore[misc]
    cls.__repr__ = show  # type: ignore[method-assign]
    return cls


def created(t: Tensor, device: Any, requires_grad: bool) -> Tensor:
    """The last steps of a function that makes a tensor of data."""
    device = wanted(device)
    if device is not None:
        t = put(t, device)
    if requires_grad is not False:
        t.requires_grad_(requires_grad)
    return t


def _row(kind: str) -> tuple[str, str, bool, str]:
    """What a kind of argument holds, in which form, whether a number will do, and what a message says is wanted."""
    return KINDS.get(kind) or (kind, "One", False, kind)


def _fits(kind: str, v: Any) -> bool:
    holds, form, number_too, _ = _row(kind)
    if form == "Optional" and v is None:
        return True
    if holds == "Tensor" and form in ("List", "Optionals"):
        return isinstance(v, (tuple, list)) and all(i is None or isinstance(i, TensorOwner) for i in v)
    if holds == "Tensor" and (hasattr(v, "_h") or not number_too):
        return hasattr(v, "_h")
    if holds in ("Scalar", "Float", "Tensor"):
        try:
            number(v)
            return True
        except Exception:
            return False
    if holds == "Int":
        return not isinstance(v, bool) and hasattr(v, "__index__") and not (hasattr(v, "_h") and v.numel() != 1)
    if holds == "Ints":
        if isinstance(v, (tuple, list)):
            return all(hasattr(i, "__index__") for i in v) and not (v and isinstance(v[0], bool))
        return _fits("Int", v) or (hasattr(v, "_h") and v.numel() == 1)
    if holds == "Bool":
        return isinstance(v, bool)
    if holds == "Str":
        return v is None or isinstance(v, str)
    if holds == "DType":
        try:
            return hasattr(from_python(v), "_code")
        except DTypeError:
            return False
    return v is None or hasattr(v, "_h")


def _described(kind: str, v: Any) -> str:
    """What came in place of a `kind`: the entry that does not fit, a text itself, or a type."""
    holds = _row(kind)[0]
    if isinstance(v, (tuple, list)) and holds == "Tensor":
        wrong = [e for e in v if e is not None and not isinstance(e, TensorOwner)]
        return f"{type(v).__name__} with {_described('', wrong[0])}" if wrong else type(v).__name__
    if isinstance(v, (tuple, list)) and holds == "Ints":
        wrong = [e for i, e in enumerate(v) if not hasattr(e, "__index__") or (i == 0 and isinstance(e, bool))]
        return f"{type(v).__name__} with {_described('', wrong[0])}" if wrong else type(v).__name__
    if hasattr(v, "_h") and hasattr(v, "ndim") and holds in ("Int", "Ints", "Scalar", "Float"):
        return f"a Tensor of dtype {v.dtype} {_kind_of(v) if v.ndim or v.requires_grad else ''}".rstrip()
    if isinstance(v, (str, bytes, int, float)):
        return f"{type(v).__name__} {v!r}"
    if type(v).__name__ in ("Tensor", "Parameter"):
        return f"{type(v).__module__}.{type(v).__name__}"
    return type(v).__name__


def _may_answer(v: Any) -> bool:
    """Whether the class of `v` may have a `__torch_function__` of its own."""
    return type(v) is not _door._tensor_class and hasattr(type(v), "__torch_function__")


def astray(op: Any, name: str, e: Exception, kinds: str, **arguments: Any) -> Any:
    """What a call gives whose arguments C could not be given: what one of them, or a mode, answers. Or it raises."""
    several = (v if isinstance(v, (tuple, list)) else (v,) for v in arguments.values())
    if _door.modes or any(_may_answer(v) for vs in several for v in vs):
        answer = _door._tensor_class._answered(op, arguments)
        if answer is not None:
            return answer[0]
    raise misuse(name, e, kinds, **arguments) from None


def misuse(op: str, e: Exception, kinds: str, **arguments: Any) -> Exception:
    """The error for arguments that C could not be given: names the op, the argument, what was wanted and what came."""
    if isinstance(e, RustorchError):
        return e
    op = CALLED.get(op, op)
    for kind, (name, v) in zip(kinds.split(), arguments.items()):
        if _row(kind)[0] == "Ints" and isinstance(v, tuple) and len(v) == 1 and isinstance(v[0], (tuple, list)):
            v = v[0]  # sizes given as one sequence
        if not _fits(kind, v):
            what = _described(kind, v)
            err = DTypeError(f"{op}(): argument '{name}' must be {_row(kind)[3]}, not {what}")
            err.op = op
            return err
    cls = InvalidArgumentError if isinstance(e, (OverflowError, ValueError)) else DTypeError
    err2 = cls(f"{op}(): {e}")
    err2.op = op
    return err2
