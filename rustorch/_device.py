"""Devices. There is one: the CPU."""

from __future__ import annotations

from typing import Any

from .errors import DTypeError, RustorchError, UnsupportedError

__all__ = ["device"]

_KNOWN = ("cpu", "cuda", "mps", "xpu", "meta", "mtia", "hpu", "xla", "privateuseone")


class device:
    """A device such as `device("cpu")`. Others can be named, but tensors cannot be put there."""

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
            if not number.isdigit():
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
        check(self)
        return self

    def __exit__(self, *args: object) -> None:
        pass


CPU = device("cpu")


def check(d: Any) -> device:
    """The device, if tensors can be put there; else an error."""
    place: device = d if isinstance(d, device) else device(d)
    if place.type != "cpu":
        raise UnsupportedError(f"rustorch runs on the CPU; there is no device '{place}' here")
    return place
