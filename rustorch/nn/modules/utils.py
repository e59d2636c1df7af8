"""Spreading an int over the spatial dimensions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["_pair", "_quadruple", "_single", "_triple"]


def _ntuple(value: Any, n: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Iterable) else (value,) * n


def _single(value: Any) -> tuple[Any, ...]:
    return _ntuple(value, 1)


def _pair(value: Any) -> tuple[Any, ...]:
    return _ntuple(value, 2)


def _triple(value: Any) -> tuple[Any, ...]:
    return _ntuple(value, 3)


def _quadruple(value: Any) -> tuple[Any, ...]:
    return _ntuple(value, 4)
