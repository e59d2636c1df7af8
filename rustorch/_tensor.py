"""`Tensor`, the class people see: a handle of a core tensor. Its ops come from the table: `_ops.TensorOps`."""

from __future__ import annotations

import functools
import math

from . import _door, _ops
from ._arguments import flags, number, shape_, whole
from ._device import CPU, META, device
from ._device import check as check_device
from ._door import NULL, TensorOwner, bind, check, error, ffi, lib, made, new, wrap
from ._layouts import BY_NAME as LAYOUTS
from .dtypes import ALL, BY_NAME, dtype, from_python, get_default_dtype, promote_types
from .errors import (
    AutogradError,
    DTypeError,
    IndexOutOfRangeError,
    InvalidArgumentError,
    UnsupportedError,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, SupportsIndex, TypeVar, overload

    from ._tensor_str import TensorPrinting
    from .autograd import TensorGraph
    from .indexing import TensorIndexing
    from .interchange import TensorInterchange
    from .ops import TensorUfuncs
    from .overrides import TensorOverrides
    from .words import TensorWords

    T = TypeVar("T")

    class Operations(  # type: ignore[misc]  # words go before ops of the same name
        TensorWords,
        TensorGraph,
        TensorIndexing,
        TensorPrinting,
        TensorInterchange,
        TensorUfuncs,
        TensorOverrides,
        _ops.TensorOps,
    ):
        """The ops of the table, and what the modules above this one attach."""
else:
    Operations = _ops.TensorOps

__all__ = ["Size", "Tensor"]

_ndim = lib.rt_tensor_ndim
_grad = lib.py_tensor_grad
_shape = lib.rt_tensor_shape
_dtype = lib.rt_tensor_dtype
_device = lib.rt_tensor_device
_requires_grad = lib.rt_tensor_requires_grad
_unpack = ffi.unpack
_BOOL = BY_NAME["bool"]
_STRIDED = LAYOUTS["strided"]
_UINT64 = BY_NAME["uint64"]
_LARGEST = (1 << 64) - 1
_INT64 = BY_NAME["int64"]
_UINT8 = BY_NAME["uint8"]


class Size(tuple[int, ...]):
    """Sizes of a tensor: a tuple with `numel()`."""

    __slots__ = ()

    def numel(self) -> int:
        """Product of the sizes."""
        n = 1
        for d in self:
            n *= d
        return n

    def __repr__(self) -> str:
        return f"{_door.shown_as}.Size({list(self)})"

    def __add__(self, other: Any) -> Size:
        return Size(tuple(self) + tuple(other))

    if TYPE_CHECKING:

        @overload
        def __getitem__(self, i: SupportsIndex) -> int: ...

        @overload
        def __getitem__(self, i: slice) -> Size: ...

    def __getitem__(self, i: Any) -> Any:
        v = tuple.__getitem__(self, i)
        return Size(v) if isinstance(i, slice) else v

    def __reduce__(self) -> tuple[Any, ...]:
        return Size, (tuple(self),)


def _arithmetic(with_tensor: Any, with_float: Any, op: Any) -> Callable[[Tensor, Any], Tensor]:
    """An arithmetic operator. Tensors and floats go straight to their C functions: the cost of a small op is mostly
    that of getting there.
    """

    def operator(self: Tensor, other: Any) -> Tensor:
        cls = type(other)
        if cls is Tensor:
            t = with_tensor(self._h, other._h)
        elif cls is float:
            t = with_float(self._h, other)
        elif isinstance(other, Tensor):
            t = with_tensor(self._h, other._h)
        else:
            return _operator(op, self, other)
        if t is None:
            raise error()
        return t  # type: ignore[no-any-return]

    return operator


def _disabled(func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
    """As `__torch_function__` of a class derived from Tensor: its objects are taken as plain tensors."""
    return Tensor._unanswered(func, args, kwargs)


_disabled.__name__ = "_disabled_torch_function_impl"
_disabled_torch_function_impl: Any = _disabled


class Tensor(Operations, TensorOwner):  # type: ignore[misc]  # the words need Tensor for their own types
    """An n-dimensional array that can record operations for automatic differentiation.

    `Tensor(2, 3)` is uninitialised float32 of that shape, `Tensor([1, 2])` holds the given numbers as float32;
    `tensor()` is the better way to make one from data.
    """

    __slots__ = ("__dict__", "__weakref__")
    __module__ = "rustorch"

    _h: Any

    # ---- life ----

    def __init__(self, *args: Any, device: Any = None, dtype: Any = None) -> None:
        self._h = NULL
        if device is not None and check_device(device).type != "cpu":
            raise UnsupportedError(f"legacy constructor expects device type: cpu but device type: {device} was passed")
        if len(args) == 1 and not isinstance(args[0], (int, Size)):
            t = (
                args[0].detach()
                if isinstance(args[0], Tensor)
                else make(args[0], BY_NAME["float32"] if dtype is None else dtype)
            )
        elif not args:
            t = _ops.empty(0, device=CPU)
        else:
            t = _ops.empty(shape_(args), dtype=dtype, device=CPU)
        own = lib.py_retain(t._h)
        lib.py_swap(id(self), id(own))

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.__torch_function__ is not _disabled_torch_function_impl:
            cls._prepare(cls)

    @staticmethod
    def _make_subclass(cls: type[Any], data: Tensor, require_grad: bool = False) -> Any:
        """A `cls` that shares the elements of `data`, without its history."""
        t, own = new(cls), made(lib.py_tensor_detach(data._h))
        lib.py_swap(id(t), id(own))
        if require_grad:
            check(lib.rt_tensor_set_requires_grad(t._h, True))
        return t

    def as_subclass(self, cls: type[Any]) -> Any:
        """The same tensor as a `cls`."""
        t, own = new(cls), lib.py_retain(self._h)
        lib.py_swap(id(t), id(own))
        return t

    def _replace(self, data: Tensor) -> None:
        """Other elements, the same autograd state: what assigning to `.data` means."""
        other = made(lib.py_tensor_with_data(self._h, data._h))
        lib.py_swap(id(self), id(other))

    # ---- what it is ----

    @property
    def shape(self) -> Size:
        """Sizes."""
        h = self._h
        return Size(_unpack(_shape(h), _ndim(h)))

    @property
    def dtype(self) -> dtype:
        """Data type of the elements."""
        return ALL[_dtype(self._h)]  # type: ignore[no-any-return]

    @property
    def device(self) -> device:
        """Where the elements lie: the CPU, or nowhere (``meta``)."""
        return META if _device(self._h) else CPU

    @property
    def layout(self) -> Any:
        """Dense and strided, always."""
        return _STRIDED

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return _ndim(self._h)  # type: ignore[no-any-return]

    def dim(self) -> int:
        """Number of dimensions."""
        return _ndim(self._h)  # type: ignore[no-any-return]

    ndimension = dim

    def size(self, dim: int | None = None) -> Any:
        """All sizes, or that of dimension `dim`."""
        s = self.shape
        if dim is None:
            return s
        try:
            return s[dim if dim.__class__ is int else whole("size", "dim", dim)]
        except IndexError:
            n = max(len(s), 1)
            raise IndexOutOfRangeError(
                f"size: Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {dim})"
            ) from None

    def stride(self, dim: int | None = None) -> Any:
        """Steps in elements."""
        s = tuple(_unpack(lib.rt_tensor_strides(self._h), self.ndim))
        return s if dim is None else s[whole("stride", "dim", dim)]

    def numel(self) -> int:
        """Number of elements."""
        return lib.rt_tensor_numel(self._h)  # type: ignore[no-any-return]

    nelement = numel

    def element_size(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def itemsize(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes of all elements."""
        return self.numel() * self.dtype.itemsize

    def storage_offset(self) -> int:
        """Place of the first element in the storage."""
        return lib.rt_tensor_storage_offset(self._h)  # type: ignore[no-any-return]

    def data_ptr(self) -> int:
        """Address of the first element."""
        return int(ffi.cast("uintptr_t", lib.rt_tensor_data(self._h)))

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """True if the elements lie in row-major order without gaps."""
        return lib.rt_tensor_is_contiguous(self._h)  # type: ignore[no-any-return]

    def is_floating_point(self) -> bool:
        """True for floating-point dtypes."""
        return self.dtype.is_floating_point

    def is_complex(self) -> bool:
        """True for complex dtypes."""
        return self.dtype.is_complex

    def is_signed(self) -> bool:
        """True if the dtype has negative numbers."""
        return self.dtype.is_signed

    def is_set_to(self, tensor: Tensor) -> bool:
        """True if both look at the same elements in the same way."""
        if self.is_meta or tensor.is_meta:
            return self is tensor
        return (self.data_ptr(), self.shape, self.stride()) == (tensor.data_ptr(), tensor.shape, tensor.stride())

    is_cuda = is_sparse = is_quantized = is_mps = is_xpu = is_nested = False
    is_sparse_csr = is_mkldnn = is_vulkan = is_xla = is_ipu = is_mtia = is_maia = False

    @property
    def is_cpu(self) -> bool:
        """True unless the device is ``meta``."""
        return not self.is_meta

    def _whole_storage(self) -> Tensor:
        """All bytes of the memory behind the tensor."""
        if self.is_meta:
            raise UnsupportedError("storage: a tensor on the device meta has no memory")
        n = lib.rt_tensor_storage_nbytes(self._h) // self.itemsize
        return _ops.as_strided(self.detach(), (n,), (1,), 0).view(BY_NAME["uint8"])

    @property
    def is_meta(self) -> bool:
        """True if the tensor has no elements: its device is ``meta``."""
        return bool(_device(self._h))

    @property
    def _version(self) -> int:
        if self.is_inference():
            raise AutogradError("Inference tensors do not track version counter.")
        return lib.rt_tensor_version(self._h)  # type: ignore[no-any-return]

    def _is_view(self) -> bool:
        return lib.rt_tensor_is_view(self._h)  # type: ignore[no-any-return]

    @property
    def _base(self) -> Tensor | None:
        out = ffi.new("struct rt_tensor *[1]")
        check(lib.rt_tensor_base(self._h, out))
        return wrap(out[0]) if out[0] else None

    # ---- autograd ----

    @property
    def requires_grad(self) -> bool:
        """True if gradients flow to or through this tensor."""
        return _requires_grad(self._h)  # type: ignore[no-any-return]

    @requires_grad.setter
    def requires_grad(self, on: bool) -> None:
        flags("requires_grad", requires_grad=on)
        check(lib.rt_tensor_set_requires_grad(self._h, bool(on)))

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Makes a leaf ask for gradients, or stop asking."""
        if requires_grad is not True:
            flags("requires_grad_", requires_grad=requires_grad)
        check(lib.rt_tensor_set_requires_grad(self._h, bool(requires_grad)))
        return self

    @property
    def is_leaf(self) -> bool:
        """True if no recorded op made this tensor."""
        return lib.rt_tensor_is_leaf(self._h)  # type: ignore[no-any-return]

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward has collected; None if there is none."""
        return _grad(self._h)  # type: ignore[no-any-return]

    @grad.setter
    def grad(self, g: Tensor | None) -> None:
        if g is not None and not isinstance(g, Tensor):
            raise DTypeError(f"grad: wanted a Tensor or None, got {type(g).__name__}")
        if g is not None and lib.rt_tensor_is_same(g._h, self._h):
            raise AutogradError("grad: a Tensor cannot be its own gradient")
        check(lib.rt_tensor_set_grad(self._h, NULL if g is None else g._h))

    @grad.deleter
    def grad(self) -> None:
        check(lib.rt_tensor_set_grad(self._h, NULL))

    @property
    def data(self) -> Tensor:
        """The same elements without autograd history.

        Unlike those of `detach()`, in-place changes of it are not noticed by backward, which may then give gradients of
        elements that were not there.
        """
        return made(lib.py_tensor_get_data(self._h))

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise DTypeError(f"data: wanted a Tensor, got {type(value).__name__}")
        self._replace(value)

    def detach(self) -> Tensor:
        """The same elements without autograd history."""
        return made(lib.py_tensor_detach(self._h))

    def detach_(self) -> Tensor:
        """Cuts this tensor from its history."""
        check(lib.rt_tensor_detach_(self._h))
        return self

    def backward(
        self,
        gradient: Tensor | None = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Adds the gradients of this tensor to the leaves it was made from.

        `gradient` (same shape) is needed unless the tensor has one element.
        """
        if gradient is not None and not isinstance(gradient, Tensor):
            raise DTypeError(f"backward(): argument 'gradient' must be a Tensor or None, not {type(gradient).__name__}")
        if inputs is not None:
            inputs = [t._h for t in ([inputs] if isinstance(inputs, Tensor) else inputs)]
            if not inputs:
                raise InvalidArgumentError("backward(): 'inputs' argument to backward() cannot be empty.")
        status = lib.rt_backward(
            [self._h],
            NULL if gradient is None else [gradient._h],
            1,
            NULL if inputs is None else inputs,
            0 if inputs is None else len(inputs),
            create_graph if retain_graph is None else retain_graph,
            create_graph,
        )
        if status:
            raise error()

    @property
    def retains_grad(self) -> bool:
        """True for a tensor that is no leaf and whose gradient backward keeps."""
        return lib.rt_tensor_retains_grad(self._h)  # type: ignore[no-any-return]

    def retain_grad(self) -> None:
        """Makes backward keep the gradient of a tensor that is no leaf."""
        check(lib.rt_tensor_retain_grad(self._h))

    def is_inference(self) -> bool:
        """True if it was made in `inference_mode`, or is a view of a tensor that was."""
        return lib.rt_tensor_is_inference(self._h)  # type: ignore[no-any-return]

    # ---- reading ----

    def item(self) -> Any:
        """The only element as a Python number."""
        s = ffi.new("struct rt_scalar *")
        if lib.rt_tensor_item(self._h, s):
            raise error()
        kind = s.kind
        if kind == 3:
            return s.value.f
        if kind == 4:
            return complex(s.value.c.re, s.value.c.im)
        if kind == 2:
            return s.value.i & _LARGEST if s.value.i < 0 and self.dtype is _UINT64 else s.value.i
        return bool(s.value.i)

    def _bytes(self) -> bytearray:
        """The elements in row-major order."""
        raw = bytearray(self.nbytes)
        if raw:
            check(lib.rt_tensor_copy_to(self._h, self.dtype._code, ffi.from_buffer(raw), len(raw)))
        return raw

    def tolist(self) -> Any:
        """The elements as (nested) Python numbers."""
        if self.ndim == 0:
            return self.item()
        n = self.numel()
        d = self.dtype
        if d.is_floating_point:
            buf, code = ffi.new("double[]", n), BY_NAME["float64"]._code
        elif d.is_complex:
            buf, code = ffi.new("double _Complex[]", n), BY_NAME["complex128"]._code
        elif d is _BOOL:
            buf, code = ffi.new("bool[]", n), d._code
        elif d is _UINT64:
            buf, code = ffi.new("uint64_t[]", n), d._code
        else:
            buf, code = ffi.new("int64_t[]", n), _INT64._code
        check(lib.rt_tensor_copy_to(self._h, code, buf, n * ffi.sizeof(ffi.typeof(buf).item)))
        flat: list[Any] = (list(buf) if d.is_complex else ffi.unpack(buf, n)) if n else []
        for size in reversed(self.shape[1:]):
            count = len(flat) // size if size else _rows(self.shape, size)
            flat = [flat[i * size : (i + 1) * size] for i in range(count)]
        return flat if self.shape[0] else []

    def __len__(self) -> int:
        if self.ndim == 0:
            raise DTypeError("len() of a 0-d tensor")
        return self.shape[0]

    def __bool__(self) -> bool:
        if self.numel() != 1:
            raise InvalidArgumentError(
                f"Boolean value of Tensor with {'no' if self.numel() == 0 else 'more than one'} values is ambiguous"
            )
        return bool(self.item())

    def __int__(self) -> int:
        return int(_real(self.item()))

    def __float__(self) -> float:
        return float(_real(self.item()))

    def __complex__(self) -> complex:
        return complex(self.item())

    def __index__(self) -> int:
        if self.dtype.is_floating_point or self.dtype.is_complex or self.numel() != 1:
            raise DTypeError("only integer tensors of a single element can be converted to an index")
        return int(self.item())

    def __iter__(self) -> Iterator[Tensor]:
        if self.ndim == 0:
            raise DTypeError("iteration over a 0-d tensor")
        return iter(self.unbind(0))

    def __contains__(self, v: Any) -> bool:
        if not isinstance(v, (Tensor, int, float, complex)) and type(v).__module__ != "numpy":
            raise DTypeError(f"Tensor.__contains__ only supports Tensor or scalar, but you passed in a {type(v)}.")
        return bool((self == v).any())

    def __format__(self, spec: str) -> str:
        if not self.ndim and not self.is_meta:
            return format(self.item(), spec)
        if spec:
            raise DTypeError(
                f"format: a format specification such as {spec!r} wants a tensor without dimensions, "
                f"this one has shape {list(self.shape)}; pass .item() or print the tensor as it is"
            )
        return str(self)

    __hash__ = object.__hash__

    # ---- operators ----

    __array_priority__ = 1000  # NumPy leaves to us what has a tensor in it

    __add__ = _arithmetic(lib.op_add, lib.op_add_float, _ops.add)
    __sub__ = _arithmetic(lib.op_sub, lib.op_sub_float, _ops.sub)
    __mul__ = _arithmetic(lib.op_mul, lib.op_mul_float, _ops.mul)
    __truediv__ = _arithmetic(lib.op_div, lib.op_div_float, _ops.div)
    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> Tensor:
        return _operator(_ops.rsub, self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return _reflected(_ops.div, self, other)

    __div__ = __truediv__

    def __neg__(self) -> Tensor:
        return _ops.neg(self)

    def __pos__(self) -> Tensor:
        return _ops.positive(self)

    def __abs__(self) -> Tensor:
        return _ops.abs(self)

    def __invert__(self) -> Tensor:
        return _ops.bitwise_not(self)

    def __matmul__(self, other: Any) -> Tensor:
        return _operator(_ops.matmul, self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return _reflected(_ops.matmul, self, other)

    if TYPE_CHECKING:  # set in the loop below the class

        def __eq__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __ne__(self, other: Any) -> Tensor: ...  # type: ignore[override]
        def __lt__(self, other: Any) -> Tensor: ...
        def __le__(self, other: Any) -> Tensor: ...
        def __gt__(self, other: Any) -> Tensor: ...
        def __ge__(self, other: Any) -> Tensor: ...
        def __pow__(self, other: Any) -> Tensor: ...
        def __rpow__(self, other: Any) -> Tensor: ...
        def __mod__(self, other: Any) -> Tensor: ...
        def __rmod__(self, other: Any) -> Tensor: ...
        def __floordiv__(self, other: Any) -> Tensor: ...
        def __rfloordiv__(self, other: Any) -> Tensor: ...
        def __and__(self, other: Any) -> Tensor: ...
        def __rand__(self, other: Any) -> Tensor: ...
        def __or__(self, other: Any) -> Tensor: ...
        def __ror__(self, other: Any) -> Tensor: ...
        def __xor__(self, other: Any) -> Tensor: ...
        def __rxor__(self, other: Any) -> Tensor: ...
        def __lshift__(self, other: Any) -> Tensor: ...
        def __rlshift__(self, other: Any) -> Tensor: ...
        def __rshift__(self, other: Any) -> Tensor: ...
        def __rrshift__(self, other: Any) -> Tensor: ...

    # ---- copies, pickling ----

    def __copy__(self) -> Any:
        t = self.as_subclass(type(self))
        t.__dict__.update(self.__dict__)
        return t

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) in memo:
            return memo[id(self)]
        if not self.is_leaf:
            raise AutogradError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol "
                "at the moment."
            )
        t = Tensor._make_subclass(type(self), _copied(self, memo), self.requires_grad)
        g = self.grad
        if g is not None:
            t.grad = g.__deepcopy__(memo) if g.is_leaf else g.detach().clone()
        memo[id(self)] = t
        if self.__dict__:
            import copy

            t.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return t

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if not self.is_leaf:
            raise AutogradError("only leaf tensors can be pickled; use detach()")
        raw = None if self.is_meta else bytes(self._bytes())
        # As torch.Tensor this class has another name: a pickle does without.
        cls = None if type(self) is Tensor else type(self)
        return _rebuild, (cls, raw, tuple(self.shape), self.dtype, self.requires_grad, dict(self.__dict__))


def _real(v: Any) -> Any:
    """The number itself, or a complex one without an imaginary part as a real one."""
    if v.__class__ is complex:
        if v.imag:
            raise InvalidArgumentError(f"value cannot be converted to a real number without loss, got {v}")
        return v.real
    return v


def _plain(v: Any) -> Any:
    """Numbers of classes that build on Python's (such as members of an IntEnum) as Python's."""
    for kind in (int, float):
        if isinstance(v, kind) and not isinstance(v, bool):
            return kind(v)
    return v


def _copied(t: Tensor, memo: dict[Any, Any]) -> Tensor:
    """A copy of `t` for `copy.deepcopy`: tensors that share a storage get one copy of it and still share."""
    n = lib.rt_tensor_storage_nbytes(t._h) // t.itemsize
    if not t.numel() or not n or t.is_meta:
        return t.detach().clone()
    key = (Tensor, int(ffi.cast("uintptr_t", lib.rt_tensor_storage_data(t._h))), t.dtype)
    whole = memo.get(key)
    if whole is None:
        whole = memo[key] = _ops.as_strided(t.detach(), (n,), (1,), 0).clone()
    return _ops.as_strided(whole, t.shape, t.stride(), t.storage_offset())


def _rows(shape: Sequence[int], size: int) -> int:
    n = 1
    for d in shape:
        if d == size:
            break
        n *= d
    return n


def _rebuild(
    cls: type[Tensor] | None,
    raw: bytes | None,
    shape: tuple[int, ...],
    d: dtype,
    requires_grad: bool,
    attributes: dict[str, Any],
) -> Any:
    data = _ops.empty(shape, dtype=d, device=META) if raw is None else from_raw(raw, shape, d)
    t = Tensor._make_subclass(cls or Tensor, data, requires_grad)
    t.__dict__.update(attributes)
    return t


def _operator(op: Callable[..., Tensor], self: Tensor, other: Any) -> Tensor:
    """A binary operator on something that is neither a tensor nor a float."""
    if isinstance(other, (int, float, complex)):
        return op(self, other)
    other = _foreign(other)
    return other if other is NotImplemented else op(self, other)


def _reflected(op: Callable[..., Tensor], self: Tensor, other: Any) -> Tensor:
    if isinstance(other, (int, float, complex)):
        return op(made(lib.py_tensor_from_number(*number(other), -1)), self)
    other = _foreign(other)
    return other if other is NotImplemented else op(other, self)


def _foreign(v: Any) -> Any:
    """A NumPy array or number as an operand, what answers itself as it is; NotImplemented for anything else."""
    if isinstance(v, Tensor):
        return v
    if hasattr(type(v), "__torch_function__"):
        return v
    module = type(v).__module__
    if module == "numpy":
        if getattr(v, "ndim", 0) == 0:
            return made(lib.py_tensor_from_number(*number(v), -1))
        return Tensor._of_array(v)
    return NotImplemented


def _binary(name: str, op: Any, reflected: bool = False) -> Any:
    def method(self: Tensor, other: Any) -> Any:
        if isinstance(other, Tensor):
            return op(self, other)
        return _operator(op, self, other)

    def reflected_method(self: Tensor, other: Any) -> Any:
        if not isinstance(self, Tensor):
            raise TypeError(f"{name}: expected a Tensor, got {type(self).__name__}")
        if isinstance(other, Tensor):
            return op(other, self)
        return _reflected(op, self, other)

    method = reflected_method if reflected else method
    method.__name__ = name
    return method


def _inplace(name: str, op: Any) -> Any:
    def method(self: Tensor, other: Any) -> Any:
        if not isinstance(other, (Tensor, int, float, complex)):
            other = _foreign(other)
            if other is NotImplemented:
                return other
        return op(self, other)

    method.__name__ = name
    return method


for _name, _op in {
    "eq": "eq",
    "ne": "ne",
    "lt": "lt",
    "le": "le",
    "gt": "gt",
    "ge": "ge",
    "pow": "pow",
    "mod": "remainder",
    "floordiv": "floor_divide",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
}.items():
    _f = getattr(_ops, _op)
    setattr(Tensor, f"__{_name}__", _binary(f"__{_name}__", _f))
    if _name not in ("eq", "ne", "lt", "le", "gt", "ge"):
        setattr(Tensor, f"__r{_name}__", _binary(f"__r{_name}__", _f, reflected=True))
        if hasattr(_ops, _op + "_"):
            setattr(Tensor, f"__i{_name}__", _inplace(f"__i{_name}__", getattr(_ops, _op + "_")))
for _name, _op in {"add": "add_", "sub": "sub_", "mul": "mul_", "truediv": "div_"}.items():
    setattr(Tensor, f"__i{_name}__", _inplace(f"__i{_name}__", getattr(_ops, _op)))

bind(Tensor)
_ops.bind(Tensor)


# ---- what builds on Tensor ----


class _Nothing:
    """What every class holds."""

    __slots__ = ()


def attach(methods: type[T]) -> type[T]:
    """Gives Tensor what a class holds: so modules that build on Tensor add methods to it.

    A decorator. Modules below one that attaches, this one too, may call what it attaches; they do not import it.
    """
    for name, v in vars(methods).items():
        if name in vars(_Nothing):
            continue
        f = getattr(v, "fget", None) or getattr(v, "__func__", v)
        if getattr(f, "__qualname__", "") == f"{methods.__name__}.{name}":
            f.__qualname__ = f"Tensor.{name}"
            f.__annotations__.pop("self", None)  # `Any`, for type checkers
        setattr(Tensor, name, v)
    return methods


# ---- making tensors from data ----


def from_raw(raw: Any, shape: Sequence[int], d: dtype) -> Tensor:
    """A tensor with a copy of `raw`: row-major elements of `d`."""
    data, shape = ffi.from_buffer(raw), tuple(shape)
    if len(data) != math.prod(shape) * d.itemsize:
        raise InvalidArgumentError(f"tensor: {len(data)} bytes are no tensor of shape {shape} and dtype {d}")
    return made(lib.py_tensor_from_data(data if len(data) else NULL, shape, len(shape), d._code))


def from_bytes(raw: bytes, name: str) -> Tensor:
    """A flat tensor with a copy of `raw`."""
    d = BY_NAME[name]
    return from_raw(raw, (len(raw) // d.itemsize,), d)


def _infer(v: Any) -> dtype:
    if isinstance(v, bool):
        return _BOOL
    if isinstance(v, int):
        return _INT64
    if isinstance(v, float):
        return get_default_dtype()
    if isinstance(v, complex):
        return get_default_dtype().to_complex()
    if hasattr(v, "__index__"):
        return _INT64
    if hasattr(v, "__float__"):
        return get_default_dtype()
    raise DTypeError(f"tensor: could not infer a dtype from {type(v).__name__}")


_CTYPES = {3: "double[]", 2: "int64_t[]", 1: "bool[]"}


def make(data: Any, d: Any = None) -> Tensor:
    """A new tensor from numbers, (nested) sequences, tensors or arrays; `d` is inferred if None."""
    if d is not None and not isinstance(d, dtype):
        d = from_python(d)
    if isinstance(data, Tensor):
        t = data.detach().clone()
        return t if d is None else t.to(d)
    if isinstance(data, (bool, int, float, complex)) and not hasattr(data, "dtype"):  # NumPy's float64 is a float
        d = d or _infer(data)
        try:
            if d is _UINT64 and isinstance(data, int):
                data = _wrapped(data)
            if d.is_floating_point:
                data = float(data)
            return made(lib.py_tensor_from_number(*number(data), d._code))
        except OverflowError:
            raise InvalidArgumentError(f"tensor: {data} does not fit 64 bits") from None
    if not isinstance(data, (list, tuple, range)):
        if any(hasattr(data, name) for name in ("__array_interface__", "__array__", "__dlpack__")):
            t = Tensor._copy_of(data)
            return t if d is None else t.to(d)
        if not hasattr(data, "__len__"):
            d = d or _infer(data)
            return made(lib.py_tensor_from_number(*number(data), d._code))
    shape: list[int] = []
    flat, inferred = _flatten(data, shape, d)
    d = d or inferred
    if d.is_complex:
        t = _complex_numbers(flat, shape)
        return t if d is t.dtype else t.to(d)
    if d.is_floating_point:
        buf, code = ffi.new("double[]", len(flat)), BY_NAME["float64"]
        values: Any = flat
    elif d is _BOOL:
        buf, code, values = ffi.new("bool[]", len(flat)), _BOOL, [bool(v) for v in flat]
    else:
        buf, code = ffi.new("int64_t[]", len(flat)), _INT64
        values = _whole_numbers(flat, d)
    if flat:
        try:
            buf[0 : len(flat)] = values
        except TypeError as e:
            raise DTypeError(f"tensor: {e}") from None
        except OverflowError as e:
            raise InvalidArgumentError(f"tensor: a number does not fit 64 bits ({e})") from None
    t = made(lib.py_tensor_from_data(buf, shape, len(shape), code._code))
    return t if d is code else t.to(d)


def _whole_numbers(flat: list[Any], d: dtype) -> list[int]:
    """Numbers as those of a whole-number dtype, which must hold them. Negative ints wrap around in unsigned types."""
    high = (1 << (8 * d.itemsize - d.is_signed)) - 1
    low = -high - d.is_signed
    least = low if d.is_signed else 0  # of floats, which do not wrap
    for v in flat:
        if not (least if isinstance(v, float) else low) <= v <= high:  # NaN is not either
            raise InvalidArgumentError(f"tensor: value {v} cannot be converted to type {d._name} without overflow")
    return [_wrapped(int(v)) for v in flat] if d is _UINT64 else [int(v) for v in flat]


def _wrapped(v: int) -> int:
    """A whole number of 64 bits as the signed one with these bits."""
    if v > _LARGEST:
        raise InvalidArgumentError(f"tensor: {v} does not fit 64 bits")
    return v - _LARGEST - 1 if v > _LARGEST >> 1 else v


def _complex_numbers(flat: list[Any], shape: list[int]) -> Tensor:
    """A tensor of complex128."""
    buf = ffi.new("double[]", 2 * len(flat))
    buf[0 : 2 * len(flat)] = [part for v in map(complex, flat) for part in (v.real, v.imag)]
    return made(lib.py_tensor_from_data(buf, shape, len(shape), BY_NAME["complex128"]._code))


def _flatten(data: Any, shape: list[int], wanted: dtype | None = None) -> tuple[list[Any], dtype]:
    """The numbers of a nested sequence in row-major order, its shape, and the dtype they want."""
    level: list[Any] = [data]
    declared: dtype | None = None  # what arrays, tensors and NumPy's numbers ask for
    # Where a list begins with a tensor, it holds numbers: tensors of one element.
    while level and _is_sequence(level[0]) and not (shape and isinstance(level[0], Tensor)):
        n = len(level[0])
        following: list[Any] = []
        for v in level:
            if not _is_sequence(v) or len(v) != n:
                got = len(v) if _is_sequence(v) else type(v).__name__
                raise InvalidArgumentError(f"tensor: expected sequence of length {n} at dim {len(shape)} (got {got})")
            following.extend(v.tolist() if hasattr(v, "tolist") else v)
        if len(following) != n * len(level) or len(shape) == 64:  # changed meanwhile, or without an end
            kind = "holds itself, or too many others" if len(shape) == 64 else "has another length than it says"
            raise InvalidArgumentError(f"tensor: a sequence at dim {len(shape)} {kind}")
        if declared is None and all(hasattr(v, "dtype") for v in level):
            declared = _common_dtype(level)
        shape.append(n)
        level = following
    kinds = {type(v) for v in level}
    if not kinds:
        return [], declared or get_default_dtype()
    flat = level
    if not kinds <= {bool, int, float, complex}:
        for v in level:
            if isinstance(v, Tensor) and v.numel() != 1:
                raise InvalidArgumentError(
                    f"tensor: only tensors of one element can be numbers of a list, got shape {list(v.shape)}; "
                    "stack() joins others"
                )
            if not isinstance(v, Tensor) and _is_sequence(v):
                raise InvalidArgumentError(f"tensor: the nesting is not regular at dim {len(shape)}")
        flat = [_plain(v.item() if hasattr(v, "item") else v) for v in level]
        for v, plain in zip(level, flat):
            if wanted is not None and not wanted.is_floating_point and plain is not v and isinstance(plain, float):
                if not isinstance(v, float):  # as NumPy's float64 is
                    raise DTypeError(f"tensor: a {v.dtype} {type(v).__name__} is no number for dtype {wanted}")
        for v in flat:
            if not isinstance(v, (bool, int, float, complex)) and not hasattr(v, "__float__"):
                raise DTypeError(f"tensor: cannot make numbers of a {type(v).__name__}")
        declared = declared or _common_dtype(level)
        kinds = {type(v) for v in flat}
    if declared is not None:
        return flat, declared
    if complex in kinds:
        if wanted is not None and not wanted.is_complex:
            raise DTypeError(f"tensor: can't convert complex to {wanted}")
        return flat, _infer(1j)
    if float in kinds:
        return flat, _infer(1.0)
    if kinds == {bool}:
        return flat, _BOOL
    if kinds <= {bool, int}:
        return flat, _INT64
    bad = next(v for v in flat if not isinstance(v, (bool, int, float)))
    return [float(v) if not isinstance(v, int) else v for v in flat], _infer(bad)


def _common_dtype(values: list[Any]) -> dtype | None:
    """The dtype of tensors, arrays, NumPy's and Python's numbers together; None if no value has one of its own."""
    own = {v.dtype if isinstance(v.dtype, dtype) else _from_numpy(v.dtype) for v in values if hasattr(v, "dtype")}
    if not own:
        return None
    plain = {_infer(v) for v in values if not hasattr(v, "dtype")}
    return functools.reduce(promote_types, own | plain)


def _from_numpy(d: Any) -> dtype:
    try:
        return from_python(d)
    except DTypeError:
        raise DTypeError(f"tensor: can't convert NumPy's {d}") from None


def _is_sequence(v: Any) -> bool:
    if isinstance(v, (list, tuple, range)):
        return True
    if isinstance(v, (str, bytes, dict, set)):
        raise DTypeError(f"tensor: cannot make numbers of a {type(v).__name__}")
    return hasattr(v, "__len__") and getattr(v, "ndim", 1) != 0
