"""PyTorch's place of `TransformGetItemToIndex`."""

from __future__ import annotations

import contextlib

__all__ = ["TransformGetItemToIndex"]


class TransformGetItemToIndex(contextlib.nullcontext[None]):
    """A context without effect: functions under `vmap` get plain tensors, with which tensors can be indexed anyway."""
