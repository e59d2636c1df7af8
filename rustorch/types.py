"""Names for type annotations."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from typing import Any, TypeAlias

from ._device import device
from ._tensor import Size, Tensor
from .dtypes import dtype
from .storage import UntypedStorage as Storage

__all__ = ["Device", "FileLike", "Number", "Storage"]

Device: TypeAlias = device | str | int | None
Number: TypeAlias = int | float | bool
FileLike: TypeAlias = Any
_TensorOrTensors: TypeAlias = Tensor | Sequence[Tensor]
_size: TypeAlias = Size | list[int] | tuple[int, ...]
_dtype: TypeAlias = dtype
_device: TypeAlias = device
_int, _float, _bool, _complex = builtins.int, builtins.float, builtins.bool, builtins.complex
