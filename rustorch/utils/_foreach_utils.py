"""What optimizers ask before they work on lists of tensors."""

from __future__ import annotations

from typing import Any

import rustorch as rt

__all__ = ["Indices"]

Indices = list[int]


def _get_foreach_kernels_supported_devices() -> list[str]:
    """Where lists are worth their while: nowhere, for each tensor is a call of its own."""
    return []


def _get_fused_kernels_supported_devices() -> list[str]:
    return []


def _has_foreach_support(tensors: list[Any], device: Any) -> bool:
    return False


def _device_has_foreach_support(device: Any) -> bool:
    return False


def _group_tensors_by_device_and_dtype(
    tensorlistlist: list[list[Any]], with_indices: bool = False
) -> dict[tuple[Any, Any], tuple[list[list[Any]], Indices]]:
    """Lists of tensors that belong together (of one length; the others may hold None), parted by the first's dtype and
    device.
    """
    groups: dict[tuple[Any, Any], tuple[list[list[Any]], Indices]] = {}
    for i, row in enumerate(zip(*tensorlistlist, strict=True)):
        first: rt.Tensor = row[0]
        lists, indices = groups.setdefault((first.device, first.dtype), ([[] for _ in tensorlistlist], []))
        for one, t in zip(lists, row):
            one.append(t)
        if with_indices:
            indices.append(i)
    return groups
