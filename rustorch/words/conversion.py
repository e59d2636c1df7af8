"""Words that convert and copy tensors, and answer small questions about them."""

from __future__ import annotations

from .. import _ops
from .._arguments import flags, operand
from .._device import CPU, put
from .._device import check as check_device
from .._door import check, ffi, lib
from .._tensor import Tensor, make
from ..autograd import no_grad
from ..dtypes import ALL, BY_NAME, castable, from_python, is_word
from ..dtypes import dtype as dtype_
from ..errors import InvalidArgumentError
from .common import _is_tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def to(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """The tensor with another dtype and on another device (from ``cpu`` to ``meta``), or like another tensor."""
    d = kwargs.get("dtype")
    place = kwargs.get("device")
    copy = kwargs.get("copy", False)
    other = kwargs.get("other")
    if "copy" in kwargs or "non_blocking" in kwargs:
        flags("to", copy=copy, non_blocking=kwargs.get("non_blocking", False))
    given = 0  # non_blocking, copy
    for a in args:
        if is_word(a):
            d = a
        elif _is_tensor(a):
            other = a
        elif isinstance(a, bool):
            given += 1
            copy = a if given == 2 else copy
        elif a is not None:
            place = a
    if other is not None:
        d, place = other.dtype, other.device
    if place is not None:
        moved = put(input, place)
        copy, input = copy and moved is input, moved
    if d is not None and d.__class__ is not dtype_:
        d = from_python(d)
    if d is None or d is input.dtype:
        return input.clone() if copy else input
    return _cast(input, d)


def _cast(input: Tensor, d: dtype_) -> Tensor:
    _note_lost_parts(input, d)
    return _ops.cast(input, d)


def _note_lost_parts(input: Tensor, d: dtype_) -> None:
    """Warns of a cast that keeps the real parts only."""
    if input.dtype.is_complex and not d.is_complex and d._name != "bool":
        import warnings

        warnings.warn("Casting complex values to real discards the imaginary part", UserWarning, stacklevel=4)


def _conversion(name: str, target: str) -> Callable[..., Tensor]:
    d = BY_NAME[target]

    def f(input: Tensor, memory_format: Any = None) -> Tensor:
        return input if input.dtype is d else _cast(input, d)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"The elements as {target}."
    return f


def cpu(input: Tensor, memory_format: Any = None) -> Tensor:
    """The tensor itself, if it is on the CPU."""
    return put(input, CPU)


def cuda(input: Tensor, device: Any = None, non_blocking: bool = False, memory_format: Any = None) -> Tensor:
    """Raises: rustorch runs on the CPU."""
    check_device("cuda" if device is None else device)
    return input


_TYPE_NAMES = {
    "FloatTensor": "float32",
    "DoubleTensor": "float64",
    "HalfTensor": "float16",
    "BFloat16Tensor": "bfloat16",
    "LongTensor": "int64",
    "IntTensor": "int32",
    "ShortTensor": "int16",
    "CharTensor": "int8",
    "ByteTensor": "uint8",
    "BoolTensor": "bool",
    "UInt16Tensor": "uint16",
    "UInt32Tensor": "uint32",
    "UInt64Tensor": "uint64",
    "ComplexFloatTensor": "complex64",
    "ComplexDoubleTensor": "complex128",
}


def type(input: Tensor, dtype: Any = None, non_blocking: bool = False, **_: Any) -> Any:
    """The tensor's type as a string such as "torch.FloatTensor", or the tensor converted to a dtype or type."""
    if dtype is None:
        return "torch." + next(k for k, v in _TYPE_NAMES.items() if v == input.dtype._name)
    if isinstance(dtype, str):
        name = _TYPE_NAMES.get(dtype.rpartition(".")[2])
        if name is None:
            raise InvalidArgumentError(f"type: invalid type: {dtype!r}")
        dtype = BY_NAME[name]
    return to(input, getattr(dtype, "_tensor_dtype", dtype))


def type_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` with the dtype of `other`, on its device."""
    return to(input, other)


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy with its own memory."""
    return _ops.clone(input)


def contiguous(input: Tensor, memory_format: Any = None) -> Tensor:
    """`input` if it is row-major without gaps, else a copy that is."""
    return input if lib.rt_tensor_is_contiguous(input._h) else _ops.contiguous(input)


def copy_(input: Tensor, src: Any, non_blocking: bool = False) -> Tensor:
    """Overwrites `input` with `src`, broadcast and cast."""
    src = src if _is_tensor(src) else operand(src)
    _note_lost_parts(src, input.dtype)
    return _ops.copy_(input, src)


def apply_(input: Tensor, callable: Any) -> Tensor:
    """Replaces each element by `callable(element)`; slow."""
    flat = [callable(v) for v in input.reshape(-1).tolist()]
    with no_grad():
        return input.copy_(make(flat, input.dtype).reshape(input.shape))


def is_tensor(obj: Any) -> bool:
    """True for tensors."""
    return isinstance(obj, Tensor)


def is_floating_point(input: Tensor) -> bool:
    """True for floating-point dtypes."""
    return input.dtype.is_floating_point


def is_complex(input: Tensor) -> bool:
    """True for complex dtypes."""
    return input.dtype.is_complex


def is_conj(input: Tensor) -> bool:
    """False: a conjugate is a tensor of its own here."""
    return False


def is_neg(input: Tensor) -> bool:
    """False: a negative is a tensor of its own here."""
    return False


def is_nonzero(input: Tensor) -> bool:
    """The truth value of a tensor with one element."""
    return bool(input)


def numel(input: Tensor) -> int:
    """Number of elements."""
    return input.numel()


def result_type(tensor1: Any, tensor2: Any) -> dtype_:
    """The dtype of an operation on both (tensors or numbers)."""
    ts = [operand(tensor1), operand(tensor2)]
    out = ffi.new("int32_t *")
    check(lib.rt_result_type([t._h for t in ts], 2, out))
    code: int = out[0]
    return ALL[code]


def can_cast(from_: Any, to: Any) -> bool:
    """True if results of the first dtype may be written into tensors of the second."""
    return castable(from_python(from_), from_python(to))


def share_memory_(input: Tensor) -> Tensor:
    """The tensor itself: memory is shared between threads, not processes."""
    return input


def pin_memory(input: Tensor, device: Any = None) -> Tensor:
    """The tensor itself: there is no device to pin for."""
    return input


def is_pinned(input: Tensor, device: Any = None) -> bool:
    """False."""
    return False


def is_shared(input: Tensor) -> bool:
    """False."""
    return False


def get_device(input: Tensor) -> int:
    """-1: the CPU."""
    return -1
