"""Sharing memory with NumPy and, through DLPack, with other libraries. NumPy is imported on first use only."""

from __future__ import annotations

from typing import Any

from ._device import check as check_device
from ._device import put, wanted
from ._door import NULL, check, ffi, lib, made
from ._tensor import Tensor, attach, make
from .dtypes import ALL, dtype, from_python
from .errors import AutogradError, DTypeError, InvalidArgumentError

__all__ = ["as_tensor", "asarray", "from_dlpack", "from_numpy", "frombuffer"]

_BY_TYPESTR = {d._typestr: d for d in ALL if d._name != "bfloat16"}


def _numpy_dtype(d: dtype) -> Any:
    if d._name == "bfloat16":
        raise DTypeError("numpy: NumPy has no bfloat16; convert with .float() first")
    return d._typestr


def array_interface(t: Tensor) -> dict[str, Any]:
    """NumPy's array interface, version 3. NumPy asks for it first, so this is where gradients are not to be lost."""
    if t.requires_grad:
        raise AutogradError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
    if t.is_meta:
        raise DTypeError("can't convert meta device type tensor to numpy: it has no elements")
    size = t.element_size()
    return {
        "shape": tuple(t.shape),
        "typestr": _numpy_dtype(t.dtype),
        "data": (t.data_ptr(), False),
        "strides": tuple(s * size for s in t.stride()),
        "version": 3,
    }


def to_numpy(t: Tensor, force: bool = False) -> Any:
    """An array that shares the memory of `t`."""
    import numpy as np

    return np.asarray(_Shared(t.detach() if force else t))


class _Shared:
    """Hands NumPy the array interface of a tensor; the array keeps this object, and it keeps the tensor."""

    __slots__ = ("__array_interface__", "tensor")

    def __init__(self, t: Tensor) -> None:
        self.tensor = t.detach()
        self.__array_interface__ = array_interface(t)


def to_array(t: Tensor, d: Any = None, copy: bool | None = None) -> Any:
    """What `numpy.asarray(t)` gives: shared if the dtype stays and no copy is asked for."""
    import numpy as np

    a = to_numpy(t, force=False)
    if d is not None and a.dtype != np.dtype(d):
        if copy is False:
            raise InvalidArgumentError(f"a copy is needed to convert {a.dtype} to {np.dtype(d)}")
        return a.astype(d)
    return a.copy() if copy else a


def from_numpy(a: Any) -> Tensor:
    """A tensor that shares the memory of a NumPy array.

    A read-only array is copied, with a warning; negative strides are refused.
    """
    import numpy as np

    if isinstance(a, np.generic) or not hasattr(a, "__array_interface__"):
        raise DTypeError(f"from_numpy(): expected np.ndarray (got {type(a).__name__})")
    # An array keeps whatever its elements lie in; another object may only say where they are at present.
    a = np.asarray(a)
    interface = a.__array_interface__
    d = _BY_TYPESTR.get(interface["typestr"])
    if d is None:
        raise DTypeError(f"from_numpy(): can't convert np.ndarray of type {a.dtype}")
    pointer, read_only = interface["data"]
    if read_only:
        import warnings

        warnings.warn("from_numpy(): the array is read-only, so its elements are copied", UserWarning, stacklevel=2)
        return copy_array(a)
    shape = interface["shape"]
    strides = interface.get("strides")
    if strides is not None:
        if any(s < 0 and n > 1 for s, n in zip(strides, shape)):
            raise InvalidArgumentError("from_numpy(): negative strides are not supported; pass a copy (array.copy())")
        if any(s % d.itemsize and n > 1 for s, n in zip(strides, shape)):
            raise InvalidArgumentError("from_numpy(): strides must be whole elements; pass a copy (array.copy())")
        strides = [max(s, 0) // d.itemsize for s in strides]
    t = lib.py_from_object(
        id(a), ffi.cast("void *", pointer), shape, NULL if strides is None else strides, len(shape), d._code
    )
    return made(t)


def copy_array(a: Any) -> Tensor:
    """A tensor with a copy of an array."""
    import numpy as np

    a = np.array(a, order="C")
    if a.dtype.str not in _BY_TYPESTR and a.dtype.isnative is False:
        a = a.astype(a.dtype.newbyteorder("="))
    return from_numpy(a)


def frombuffer(buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False) -> Tensor:
    """A flat tensor that shares the memory of a writable buffer.

    It has `count` elements from byte `offset` on; all if `count` is negative, and then they must fill the buffer. The
    first must lie at a multiple of its size. A read-only buffer is copied, with a warning.
    """
    d = from_python(dtype)
    try:
        view = memoryview(buffer).cast("B")
    except TypeError as e:
        raise DTypeError(
            f"frombuffer: wanted a buffer with its bytes in a row, got {type(buffer).__name__} ({e})"
        ) from None
    size = view.nbytes
    if size == 0 or count == 0:
        raise InvalidArgumentError(f"frombuffer: both buffer length ({size}) and count ({count}) must not be 0")
    if not 0 <= offset < size:
        raise InvalidArgumentError(
            f"frombuffer: offset ({offset} bytes) must be non-negative and no greater than buffer length "
            f"({size} bytes) minus 1"
        )
    room = size - offset
    if count < 0 and room % d.itemsize:
        raise InvalidArgumentError(
            f"frombuffer: buffer length ({size} bytes) after offset ({offset} bytes) must be a multiple of element "
            f"size ({d.itemsize})"
        )
    n = room // d.itemsize if count < 0 else count
    if n * d.itemsize > room:
        raise InvalidArgumentError(
            f"frombuffer: requested buffer length ({n} * {d.itemsize} bytes) after offset ({offset} bytes) must not be "
            f"greater than actual buffer length ({size} bytes)"
        )
    if view.readonly:
        import warnings

        warnings.warn("frombuffer: the buffer is read-only, so its elements are copied", UserWarning, stacklevel=2)
        view, offset = memoryview(bytearray(view[offset : offset + n * d.itemsize])), 0
    shared = ffi.from_buffer("char[]", view, require_writable=True)
    if int(ffi.cast("uintptr_t", shared + offset)) % d.itemsize:
        raise InvalidArgumentError(
            f"frombuffer: the bytes at offset {offset} are not aligned for {d}; pass a copy of them"
        )
    t = made(lib.py_from_object(id(shared), shared + offset, (n,), NULL, 1, d._code))
    return t.requires_grad_(requires_grad) if requires_grad else t


# ---- DLPack ----


def to_capsule(t: Tensor, max_version: Any, dl_device: Any, copy: Any) -> Any:
    """A DLPack capsule that shares the memory of `t`."""
    import ctypes

    if t.requires_grad:
        raise AutogradError("Can't export tensors that require gradient, use tensor.detach()")
    if dl_device is not None and dl_device[0] != 1:
        raise InvalidArgumentError(f"__dlpack__: only the CPU (1, 0) can be exported to, got {dl_device}")
    if copy:
        t = t.clone()
    versioned = max_version is not None and max_version[0] >= 1
    out = ffi.new("void *[1]")
    check(lib.rt_tensor_to_dlpack(t._h, versioned, out))
    new = ctypes.pythonapi.PyCapsule_New
    new.restype, new.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
    name = b"dltensor_versioned" if versioned else b"dltensor"
    return new(int(ffi.cast("uintptr_t", out[0])), _name(name), lib.py_capsule_destructor())


_NAMES: dict[bytes, Any] = {}


def _name(n: bytes) -> Any:
    """A C string that lives for ever, as capsules demand of their names."""
    import ctypes

    if n not in _NAMES:
        _NAMES[n] = ctypes.create_string_buffer(n)
    return ctypes.addressof(_NAMES[n]) and ctypes.cast(_NAMES[n], ctypes.c_char_p)


def from_dlpack(source: Any) -> Tensor:
    """A tensor that shares the memory of an object with `__dlpack__` (or of a capsule)."""
    import ctypes

    if isinstance(source, Tensor):
        return source.detach()
    capsule = source
    if hasattr(source, "__dlpack__"):
        try:
            capsule = source.__dlpack__(max_version=(1, 0))
        except TypeError:
            capsule = source.__dlpack__()
    api = ctypes.pythonapi
    api.PyCapsule_IsValid.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_GetPointer.argtypes = [ctypes.py_object, ctypes.c_char_p]
    api.PyCapsule_GetPointer.restype = ctypes.c_void_p
    api.PyCapsule_SetName.argtypes = [ctypes.py_object, ctypes.c_char_p]
    if type(capsule).__name__ != "PyCapsule":
        raise DTypeError(f"from_dlpack(): expected an object with __dlpack__, got {type(source).__name__}")
    for name, versioned in ((b"dltensor_versioned", True), (b"dltensor", False)):
        if api.PyCapsule_IsValid(capsule, name):
            pointer = api.PyCapsule_GetPointer(capsule, name)
            t = made(lib.py_tensor_from_dlpack(ffi.cast("void *", pointer), versioned))
            api.PyCapsule_SetName(capsule, _name(b"used_" + name))
            return t
    raise InvalidArgumentError("from_dlpack(): the capsule has been consumed already")


# ---- as_tensor ----


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """`data` as a tensor, sharing memory where that is possible."""
    if isinstance(data, Tensor):
        data = data if device is None else put(data, device)
        r: Tensor = data if dtype is None else data.to(dtype)
        return r
    device = wanted(device)
    if device is not None and check_device(device).type != "cpu":
        there: Tensor = put(make(data, dtype), device)
        return there
    if hasattr(data, "__array_interface__"):
        import numpy as np

        a = np.asarray(data)
        shared = not isinstance(data, np.generic) and a.dtype.str in _BY_TYPESTR and a.flags.writeable
        if shared and all(s >= 0 and s % a.itemsize == 0 for s in a.strides):
            t = from_numpy(a)
            return t if dtype is None else t.to(dtype)
    return make(data, dtype)


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: bool | None = None, requires_grad: bool | None = None
) -> Tensor:
    """`obj` as a tensor; `copy` forces a copy, or makes it an error (None: only where one is needed).

    A tensor stays part of its graph, and other data asks for no gradient, unless `requires_grad` says otherwise.
    """
    if isinstance(obj, Tensor) and device is not None:
        obj = put(obj, device)
    elif device is not None and check_device(device).type != "cpu":
        return put(asarray(obj, dtype=dtype, copy=copy, requires_grad=requires_grad), device)
    t = as_tensor(obj, dtype) if isinstance(obj, Tensor) or not copy else make(obj, dtype)
    shared = t.data_ptr() == _address(obj) or (not t.numel() and not copy)
    if copy is False and not shared:
        raise InvalidArgumentError(
            f"asarray: a {type(obj).__name__} cannot be made a tensor of {t.dtype} without a copy"
        )
    if copy and shared:
        t = t.clone()
    if requires_grad is None or t.requires_grad is requires_grad:
        return t
    detached: Tensor = t.detach().requires_grad_(requires_grad)
    return detached


def _address(obj: Any) -> int | None:
    """Where the elements of a tensor or array lie; None of other data."""
    if isinstance(obj, Tensor):
        return obj.data_ptr()
    place = getattr(obj, "__array_interface__", {}).get("data")
    return int(place[0]) if isinstance(place, tuple) else None


# ---- methods of Tensor ----


@attach
class TensorInterchange:
    """The methods of Tensor that share memory with others, and those that `_tensor` takes foreign data with."""

    __slots__ = ()

    def numpy(self: Any, *, force: bool = False) -> Any:
        """A NumPy array that shares the memory (`force=True` also accepts tensors that require gradients)."""
        return to_numpy(self, force)

    def __array__(self: Any, dtype: Any = None, copy: bool | None = None) -> Any:
        return to_array(self, dtype, copy)

    @property
    def __array_interface__(self: Any) -> dict[str, Any]:
        return array_interface(self)

    def __dlpack__(
        self: Any, *, stream: Any = None, max_version: Any = None, dl_device: Any = None, copy: Any = None
    ) -> Any:
        return to_capsule(self, max_version, dl_device, copy)

    def __dlpack_device__(self: Any) -> tuple[int, int]:
        if self.is_meta:
            raise ValueError("Unknown device type meta for DLPack")
        return 1, 0

    @staticmethod
    def _of_array(a: Any) -> Tensor:
        return from_numpy(a)

    @staticmethod
    def _copy_of(data: Any) -> Tensor:
        if hasattr(data, "__array_interface__") or hasattr(data, "__array__"):
            return copy_array(data)
        return from_dlpack(data).clone()
