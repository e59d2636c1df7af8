"""Exchange with other libraries by DLPack."""

from __future__ import annotations

from typing import Any

import rustorch as rt

__all__ = ["from_dlpack", "to_dlpack"]

from_dlpack = rt.from_dlpack


def to_dlpack(tensor: rt.Tensor) -> Any:
    """The tensor as a capsule, which shares its memory and is to be taken once."""
    return tensor.__dlpack__()
