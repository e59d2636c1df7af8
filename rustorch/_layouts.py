"""`layout` and `memory_format`, and their values. Tensors are dense and strided; the others can be named."""

from __future__ import annotations

from . import _door

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = ["BY_NAME", "layout", "memory_format"]


class _Word:
    """A value that is its name."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"{_door.shown_as}.{self._name}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _by_name, (self._name,)

    def __copy__(self) -> _Word:
        return self

    def __deepcopy__(self, memo: Any) -> _Word:
        return self


class layout(_Word):
    """How a tensor keeps its elements: all have `strided`."""

    __slots__ = ()


class memory_format(_Word):
    """An order of the dimensions in memory. Where one is asked for it is accepted and changes nothing."""

    __slots__ = ()


BY_NAME: dict[str, Any] = {
    **{
        n: layout(n)
        for n in ("strided", "sparse_coo", "sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc", "jagged")
    },
    **{n: memory_format(n) for n in ("contiguous_format", "preserve_format", "channels_last", "channels_last_3d")},
}


def _by_name(name: str) -> Any:
    return BY_NAME[name]
