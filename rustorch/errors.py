"""The errors that rustorch raises: one class per status code of the C ABI.

Each is a `RustorchError` (a `RuntimeError`, which PyTorch programs catch) and also the builtin that people expect.
"""

from __future__ import annotations

__all__ = [
    "AutogradError",
    "CallbackError",
    "DTypeError",
    "IndexOutOfRangeError",
    "InternalError",
    "InvalidArgumentError",
    "NullError",
    "OutOfMemoryError",
    "RustorchError",
    "SerializationError",
    "ShapeMismatchError",
    "StateError",
    "UnsupportedError",
]


class RustorchError(RuntimeError):
    """Base of all errors of rustorch. `op` names the operation, or is ""."""

    op: str = ""


class ShapeMismatchError(RustorchError, ValueError):
    """Shapes do not fit each other. `shape1` and `shape2` are both shapes, where the error is about two."""

    shape1: tuple[int, ...] | None = None
    shape2: tuple[int, ...] | None = None


class DTypeError(RustorchError, TypeError):
    """A dtype, or the type of an argument, is not accepted."""


class IndexOutOfRangeError(RustorchError, IndexError):
    """An index or a dimension is out of range."""


class InvalidArgumentError(RustorchError, ValueError):
    """An argument has a value that is not allowed."""


class NullError(RustorchError, ValueError):
    """Something that is required is missing."""


class OutOfMemoryError(RustorchError, MemoryError):
    """Memory could not be had."""


class StateError(RustorchError):
    """The object is not in a state that allows this, or is in use by another thread."""


class AutogradError(RustorchError):
    """The autograd graph does not allow this."""


class SerializationError(RustorchError, OSError):
    """Reading or writing a file failed."""


class UnsupportedError(RustorchError, NotImplementedError):
    """Known, but not built."""


class CallbackError(RustorchError):
    """A callback of the caller failed."""


class InternalError(RustorchError):
    """A bug in rustorch."""
