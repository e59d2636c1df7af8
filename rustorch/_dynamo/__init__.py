"""The names of PyTorch's compiler that libraries use beside `compiler`. Nothing is compiled."""

from __future__ import annotations

from typing import Any

from ..compiler import allow_in_graph, assume_constant_result, disable, is_compiling, reset
from ..errors import UnsupportedError

__all__ = [
    "OptimizedModule", "allow_in_graph", "assume_constant_result", "disable", "graph_break", "is_compiling",
    "mark_dynamic", "mark_static", "mark_static_address", "reset",
]  # fmt: skip


class OptimizedModule:
    """A compiled module. There are none, so nothing is one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedError("_dynamo.OptimizedModule: nothing is compiled; give the module itself")


def mark_dynamic(t: Any, index: Any, **_: Any) -> None:
    """Accepted: sizes are read when they are needed."""


def mark_static(t: Any, index: Any = None) -> None:
    """Accepted: sizes are read when they are needed."""


def mark_static_address(t: Any, guard: bool = True) -> None:
    """Accepted: addresses are read when they are needed."""


def graph_break(msg: str = "") -> None:
    """Nothing to break."""
