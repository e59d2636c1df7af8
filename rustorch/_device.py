"""Devices: the CPU, and ``meta``, where tensors have a shape, a dtype and strides, but no elements."""

from __future__ import annotations

from _thread import _local

from ._door import error, ffi, lib, made
from .errors import DTypeError, RustorchError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ._tensor import Tensor

__all__ = ["device"]

_KNOWN = ("cpu", "cuda", "mps", "xpu", "meta", "mtia", "hpu", "xla", "privateuseone")


class device:
    """A device such as ``device("cpu")``.

    Tensors can be put on ``cpu`` and on ``meta``: there they have a shape, a dtype and strides, but no elements, and
    ops on them only say what would come out. Other devices can be named. As a context manager
    (``with device("meta"):``) it is where functions that make tensors put them, on this thread.

    Args:
        type: ``"cpu"``, ``"meta"`` or the name of another device, perhaps with a number: ``"cuda:0"``; or a device.
        index: the number, if ``type`` has none.

    Raises:
        RustorchError: for names that stand for no device.
        DTypeError: for what is no name, number or device.
        UnsupportedError: when a device is entered where tensors cannot be put.
    """

    __slots__ = ("index", "type")

    def __init__(self, type: str | device | int = "cpu", index: int | None = None) -> None:
        name: str
        if isinstance(type, device):
            name, index = type.type, type.index if index is None else index
        elif isinstance(type, int):
            name, index = "cuda", type
        elif not isinstance(type, str):
            raise DTypeError(f"device: wanted a name such as 'cpu', got {type!r}")
        elif ":" in type:
            name, _, number = type.partition(":")
            if not (number.isascii() and number.isdigit()) or index is not None:
                raise RustorchError(f"Invalid device string: '{type}'")
            index = int(number)
        else:
            name = type
        if name not in _KNOWN:
            raise RustorchError(f"Expected one of {', '.join(_KNOWN)} device type at start of device string: {name}")
        self.type: str = name
        self.index: int | None = index

    def __repr__(self) -> str:
        return f"device(type='{self.type}'" + (f", index={self.index})" if self.index is not None else ")")

    def __str__(self) -> str:
        return self.type if self.index is None else f"{self.type}:{self.index}"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, device) and (self.type, self.index) == (other.type, other.index)

    def __hash__(self) -> int:
        return hash((self.type, self.index))

    def __reduce__(self) -> tuple[Any, ...]:
        return device, (self.type, self.index)

    def __enter__(self) -> device:
        place = check(self)
        _entered.__dict__.setdefault("before", []).append(_set(_CODES[place.type]))
        _note(place)
        return self

    def __exit__(self, *args: object) -> None:
        _set(_entered.before.pop())


CPU = device("cpu")
META = device("meta")
_CODES = {"cpu": lib.RT_DEVICE_CPU, "meta": lib.RT_DEVICE_META}
#: True once another device than the CPU was asked for: until then nobody needs to look.
_used = False


def _set(code: int) -> int:
    """Sets where this thread makes tensors; gives what it was before."""
    before = ffi.new("int32_t *")
    if lib.rt_set_device(code, before):
        raise error()
    return int(before[0])


def _note(place: device) -> None:
    global _used
    _used = _used or place.type != "cpu"


def current() -> device:
    """Where functions that make tensors put them, on this thread."""
    return META if lib.rt_device() == lib.RT_DEVICE_META else CPU


def wanted(d: Any) -> Any:
    """The device asked for; that of the context, if none is and it is not the CPU."""
    return current() if d is None and _used and lib.rt_device() else d


#: The devices that this thread will go back to when it leaves the contexts that it has entered.
_entered = _local()


def check(d: Any) -> device:
    """The device, if tensors can be put there; else an error."""
    place: device = d if isinstance(d, device) else device(d)
    if place.type not in _CODES:
        raise UnsupportedError(f"rustorch runs on the CPU; there is no device '{place}' here")
    return place


def at(d: Any) -> device:
    """A context in which tensors are made on a device."""
    return check(d)


def away(d: Any) -> bool:
    """True if tensors are at present made elsewhere."""
    return bool(lib.rt_device() != _CODES[check(d).type])


def set_default(d: Any) -> None:
    """Sets where this thread makes tensors."""
    place = CPU if d is None else check(d)
    _set(_CODES[place.type])
    _note(place)


def of(t: Tensor) -> device:
    """Where a tensor is."""
    return META if lib.rt_tensor_device(t._h) == lib.RT_DEVICE_META else CPU


def like_on(t: Tensor, d: Any) -> Tensor:
    """A tensor with the shape, dtype and strides of another one, whose elements are not copied."""
    return made(lib.py_tensor_like_on(t._h, _CODES[check(d).type]))


def moved(t: Tensor, d: Any) -> Tensor:
    """What ops that take only shape and dtype from ``t`` are to see on a device."""
    return t if of(t).type == check(d).type else like_on(t, d)


def put(t: Tensor, d: Any) -> Tensor:
    """A tensor on a device; itself if it is there."""
    place = check(d)
    if of(t).type == place.type:
        return t
    if place.type == "cpu":
        raise UnsupportedError(
            "Cannot copy out of meta tensor; no data! Please use Module.to_empty() instead of Module.to() when "
            "moving a module from meta to a different device."
        )
    if not (t.requires_grad and lib.rt_grad_enabled()):
        return like_on(t, place)
    return t._leave(place)
