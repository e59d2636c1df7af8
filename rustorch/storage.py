"""The memory behind tensors: `UntypedStorage`, its bytes, and `TypedStorage`, its elements."""

from __future__ import annotations

from typing import Any

from . import _ops
from ._tensor import Tensor, attach
from .dtypes import BY_NAME, dtype
from .errors import InvalidArgumentError, UnsupportedError
from .interchange import frombuffer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["TypedStorage", "UntypedStorage"]


class UntypedStorage:
    """The bytes that tensors share. Parts of it (`storage[a:b]`) share them too.

    Args:
        data: the number of bytes (not initialised), or whole numbers from 0 to 255.
    """

    def __init__(self, data: Any = 0, *, device: Any = None) -> None:
        byte = BY_NAME["uint8"]
        if isinstance(data, Tensor):
            self._bytes = data
        elif isinstance(data, int):
            self._bytes = _ops.empty(data, dtype=byte, device=device)
        else:
            self._bytes = frombuffer(bytearray(data), dtype=byte) if len(data) else _ops.empty(0, dtype=byte)

    @classmethod
    def from_file(cls, filename: str, shared: bool = False, nbytes: int = 0) -> UntypedStorage:
        """The first `nbytes` bytes of a file, which are read when they are first needed.

        `shared`: what is written goes to the file, which becomes longer if need be.
        """
        import mmap
        import os

        with open(filename, "r+b" if shared else "rb") as f:
            size = os.fstat(f.fileno()).st_size
            if size < nbytes and shared:
                f.truncate(nbytes)
            elif size < nbytes:
                raise InvalidArgumentError(f"from_file: {filename} has {size} bytes, wanted {nbytes}")
            if not nbytes:
                return cls(0)
            area = mmap.mmap(f.fileno(), nbytes, access=mmap.ACCESS_WRITE if shared else mmap.ACCESS_COPY)
        return cls(frombuffer(area, dtype=BY_NAME["uint8"]))

    def nbytes(self) -> int:
        """Number of bytes."""
        return self._bytes.numel()

    size = __len__ = nbytes

    def data_ptr(self) -> int:
        """Address of the first byte."""
        return self._bytes.data_ptr()

    @property
    def device(self) -> Any:
        """Where the bytes lie."""
        return self._bytes.device

    is_cuda = False

    def element_size(self) -> int:
        """1."""
        return 1

    def is_shared(self) -> bool:
        """False: no other process sees these bytes."""
        return False

    def __getitem__(self, index: Any) -> Any:
        part = self._bytes[index]
        return type(self)(part) if isinstance(index, slice) else part.item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._bytes[index] = value

    def __iter__(self) -> Iterator[int]:
        return iter(self.tolist())

    def tolist(self) -> list[int]:
        """The bytes as numbers."""
        return self._bytes.tolist()  # type: ignore[no-any-return]

    def clone(self) -> UntypedStorage:
        """A copy."""
        return type(self)(self._bytes.clone())

    def copy_(self, source: Any, non_blocking: bool | None = None) -> UntypedStorage:
        """Takes over the bytes of another storage of the same size."""
        self._bytes.copy_(source.untyped()._bytes)
        return self

    def fill_(self, value: int) -> UntypedStorage:
        """Sets all bytes."""
        self._bytes.fill_(value)
        return self

    def untyped(self) -> UntypedStorage:
        """Itself."""
        return self

    def cpu(self) -> UntypedStorage:
        """Itself."""
        return self

    def resize_(self, size: int) -> UntypedStorage:
        """Raises, unless it has this size: tensors keep the memory that they have."""
        if size != self.nbytes():
            raise UnsupportedError(f"UntypedStorage.resize_: it has {self.nbytes()} bytes, which stay, wanted {size}")
        return self

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.nbytes()

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        return self._bytes.__array__(*args, **kwargs)

    @property
    def __array_interface__(self) -> Any:
        return self._bytes.__array_interface__

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._bytes,)

    def __repr__(self) -> str:
        shown = "".join(f" {v}\n" for v in self.tolist())
        return f"{shown}[{type(self).__module__}.{type(self).__name__}(device={self.device}) of size {len(self)}]"


class TypedStorage:
    """The elements that tensors share, in the order of memory: PyTorch's old form of `UntypedStorage`."""

    def __init__(self, *, wrap_storage: UntypedStorage, dtype: dtype) -> None:
        self._untyped_storage = wrap_storage
        self.dtype = dtype

    @property
    def _elements(self) -> Tensor:
        return self._untyped_storage._bytes.view(self.dtype)

    def untyped(self) -> UntypedStorage:
        """The bytes."""
        return self._untyped_storage

    def size(self) -> int:
        """Number of elements."""
        return self.nbytes() // self.element_size()

    __len__ = size

    def nbytes(self) -> int:
        """Number of bytes."""
        return self._untyped_storage.nbytes()

    def element_size(self) -> int:
        """Bytes per element."""
        return self.dtype.itemsize

    def data_ptr(self) -> int:
        """Address of the first element."""
        return self._untyped_storage.data_ptr()

    @property
    def device(self) -> Any:
        """Where the elements lie."""
        return self._untyped_storage.device

    is_cuda = False

    def __sizeof__(self) -> int:
        return object.__sizeof__(self) + self.nbytes()

    def is_shared(self) -> bool:
        """False: no other process sees them."""
        return False

    def tolist(self) -> list[Any]:
        """The elements as numbers."""
        return self._elements.tolist()  # type: ignore[no-any-return]

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            raise InvalidArgumentError("TypedStorage: parts have to be taken of a tensor, or of the untyped storage")
        return self._elements[index].item()

    def __setitem__(self, index: Any, value: Any) -> None:
        self._elements[index] = value

    def __iter__(self) -> Iterator[Any]:
        return iter(self.tolist())


@attach
class TensorStorage:
    """Storages as methods of tensors."""

    __slots__ = ()

    def untyped_storage(self: Any) -> UntypedStorage:
        """The bytes behind the tensor, which other tensors may share."""
        return UntypedStorage(self._whole_storage())

    def storage(self: Any) -> TypedStorage:
        """The elements behind the tensor."""
        return TypedStorage(wrap_storage=self.untyped_storage(), dtype=self.dtype)
