"""The door to C: the library, the classes that own its handles, and its errors as Python's."""

from __future__ import annotations

import sys
from _thread import get_ident

if sys.platform == "win32":
    import os

    os.add_dll_directory(os.path.join(os.path.dirname(__file__), "lib"))

from . import errors
from ._ffi import ffi as ffi  # type: ignore[import-not-found]
from ._ffi import lib as lib
from .errors import DTypeError, InvalidArgumentError, RustorchError, ShapeMismatchError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from ._tensor import Tensor

#: What dtypes, sizes and others call the package when they are shown; `as_torch` makes it "torch".
shown_as = "rustorch"

#: How many `TorchFunctionMode`s are on, in all threads.
modes = 0

NULL: Any = ffi.NULL
new = object.__new__
if lib.rt_abi_version() != lib.RT_ABI_VERSION:
    raise ImportError(f"librustorch has ABI version {lib.rt_abi_version()}, this package wants {lib.RT_ABI_VERSION}")

# The classes whose objects own a handle `_h` and free it.
_classes: list[Any] = []
_names = ("rt_tensor", "rt_node", "rt_generator", "py_tensor", "py_tensors", "py_list")
_ctypes = [ffi.typeof(f"struct {name} *") for name in _names]
if not lib.py_start(id(_classes), id(NULL), *map(id, _ctypes)):
    raise ImportError("the classes of rustorch._ffi could not be made")
if TYPE_CHECKING:

    class TensorOwner:
        """Base of Tensor."""

        __slots__ = ("_h",)
        _h: Any

    class NodeOwner:
        """Base of Node."""

        __slots__ = ("_h",)
        _h: Any

    class GeneratorOwner:
        """Base of Generator."""

        __slots__ = ("_h",)
        _h: Any

else:
    TensorOwner, NodeOwner, GeneratorOwner = _classes

# Status code of the C ABI -> class.
BY_STATUS: dict[int, type[RustorchError]] = {
    lib.RT_ERR_NULL: errors.NullError,
    lib.RT_ERR_SHAPE: ShapeMismatchError,
    lib.RT_ERR_DTYPE: DTypeError,
    lib.RT_ERR_INDEX: errors.IndexOutOfRangeError,
    lib.RT_ERR_VALUE: InvalidArgumentError,
    lib.RT_ERR_MEMORY: errors.OutOfMemoryError,
    lib.RT_ERR_STATE: errors.StateError,
    lib.RT_ERR_AUTOGRAD: errors.AutogradError,
    lib.RT_ERR_IO: errors.SerializationError,
    lib.RT_ERR_UNSUPPORTED: UnsupportedError,
    lib.RT_ERR_CALLBACK: errors.CallbackError,
    lib.RT_ERR_PANIC: errors.InternalError,
}
_INTERRUPTED = lib.RT_ERR_INTERRUPTED
_tensor_class: type[Tensor]
# Exceptions that Python callbacks raised, by thread, until the C call that ran them has returned.
pending: dict[int, BaseException] = {}


# Ops that are a part of one word of Python's: the word that was called.
CALLED = {
    "bernoulli_p": "bernoulli",
    "bernoulli_p_": "bernoulli_",
    "bernoulli_tensor": "bernoulli",
    "bernoulli_tensor_": "bernoulli_",
    "clamp_tensor": "clamp",
    "clamp_tensor_": "clamp_",
    "conv1d_padding": "conv1d",
    "conv2d_padding": "conv2d",
    "conv3d_padding": "conv3d",
    "huber_loss_weighted": "huber_loss",
    "l1_loss_weighted": "l1_loss",
    "linalg_matrix_norm": "matrix_norm",
    "max_all": "max",
    "max_dim": "max",
    "median_all": "median",
    "median_dim": "median",
    "min_all": "min",
    "min_dim": "min",
    "mse_loss_weighted": "mse_loss",
    "nonzero_list": "nonzero",
    "normal_float": "normal",
    "normal_tensors": "normal",
    "repeat_interleave_indices": "repeat_interleave",
    "repeat_interleave_int": "repeat_interleave",
    "repeat_interleave_tensor": "repeat_interleave",
    "scatter_value": "scatter",
    "scatter_value_": "scatter_",
    "scatter_value_reduce": "scatter",
    "scatter_value_reduce_": "scatter_",
    "tensor_split_indices": "tensor_split",
    "tensor_split_sections": "tensor_split",
    "unique_consecutive_dim": "unique_consecutive",
    "unique_consecutive_flat": "unique_consecutive",
    "unique_dim": "unique",
    "unique_flat": "unique",
}


def text(p: Any) -> str:
    """A C string."""
    return ffi.string(p).decode() if p else ""


def sized(name: str) -> Any:
    """A C struct that says how large it is, to be filled."""
    p = ffi.new(f"struct {name} *")
    p.size = ffi.sizeof(f"struct {name}")
    return p


def elements(array: Any, n: int) -> list[Any]:
    """The structs of a C array; they lie as far apart as the first one says, which may be more than we know of them."""
    start, kind = ffi.cast("char *", array), ffi.typeof(array)
    return [ffi.cast(kind, start + i * array.size)[0] for i in range(n)]


def error() -> BaseException:
    """This thread's last error as an exception (or the one that a Python callback has raised)."""
    status = lib.rt_last_error_status()
    if pending:
        caught = pending.pop(get_ident(), None)
        if caught is not None:
            return caught
    if status == _INTERRUPTED:
        raised: list[BaseException] = []
        lib.py_raised(id(raised))
        return raised[0] if raised else KeyboardInterrupt()
    cls = BY_STATUS.get(status, RustorchError)
    op, what = text(lib.rt_last_error_op()), text(lib.rt_last_error())
    called = CALLED.get(op, op)
    if called is not op:
        what = called + what.removeprefix(op) if what.startswith(op) else what
    e = cls(what)
    e.op = called
    if isinstance(e, ShapeMismatchError):
        sizes = ffi.new("const int64_t *[1]")
        shapes = []
        for which in (0, 1):
            n = lib.rt_last_error_shape(which, sizes)
            shapes.append(tuple(ffi.unpack(sizes[0], n)) if n > 0 else () if n == 0 else None)
        e.shape1, e.shape2 = shapes
    return e


def check(status: int) -> None:
    """Raises if a call failed."""
    if status:
        raise error()


def made(result: Any) -> Tensor:
    """The tensor that a `py_` function gave; None raises the last error."""
    if result is None:
        raise error()
    return result  # type: ignore[no-any-return]


def bind(tensor: type[Tensor]) -> None:
    """Tells C and `wrap` which class tensors have."""
    global _tensor_class
    _tensor_class = tensor
    lib.py_tensor_class(id(tensor))


def wrap(handle: Any) -> Tensor:
    """A tensor that owns `handle`."""
    t = new(_tensor_class)
    t._h = handle
    return t


def handles(ts: Sequence[Any]) -> list[Any]:
    """Handles of tensors, NULL for None. They live as long as `ts`."""
    return [NULL if t is None else t._h for t in ts]
