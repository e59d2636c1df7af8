"""Words that make a tensor look at its memory in another way."""

from __future__ import annotations

from .. import _ops
from .._layouts import BY_NAME
from ..errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._tensor import Tensor


def resize_(input: Tensor, *sizes: Any, size: Any = None, memory_format: Any = None) -> Tensor:
    """Gives the tensor another shape, row-major from its first element on in the order of memory; its own shape changes
    nothing. If that does not fit into its memory it gets new memory, which begins with what the old one held; further
    elements are not initialised. Of memory formats there is only the contiguous one.
    """
    if memory_format not in (None, BY_NAME["contiguous_format"]):
        raise UnsupportedError(f"resize_: the elements can only be laid out contiguously, not as {memory_format!r}")
    return _ops.resize_(input, *sizes, size=size)


def resize_as_(input: Tensor, other: Tensor, memory_format: Any = None) -> Tensor:
    """`resize_` to the shape of `other`."""
    kept = None if memory_format is BY_NAME["preserve_format"] else memory_format
    return resize_(input, other.shape, memory_format=kept)
