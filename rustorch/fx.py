"""`torch.fx`: graphs of programs are not built; what marks functions for them is accepted."""

from __future__ import annotations

from typing import Any

from .errors import UnsupportedError

__all__ = ["Graph", "GraphModule", "Interpreter", "Node", "Proxy", "Tracer", "Transformer", "symbolic_trace", "wrap"]


def wrap(fn_or_name: Any) -> Any:
    """Says that tracing does not go into a function: the function, or its name, itself."""
    if not callable(fn_or_name) and not isinstance(fn_or_name, str):
        raise TypeError(f"fx.wrap: wanted a function or its name, got {type(fn_or_name).__name__}")
    return fn_or_name


def symbolic_trace(root: Any, concrete_args: Any = None) -> Any:
    """Raises: graphs of programs are not built."""
    raise UnsupportedError(f"fx.symbolic_trace: graphs of programs are not built in rustorch ({type(root).__name__})")


class _Absent:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedError(f"fx.{type(self).__name__}: graphs of programs are not built in rustorch")


class Graph(_Absent):
    """A graph: nothing is one."""


class GraphModule(_Absent):
    """A module made from a graph: nothing is one."""


class Node(_Absent):
    """A node of a graph: nothing is one."""


class Proxy(_Absent):
    """What stands for a value while a graph is made: nothing does."""


class Tracer(_Absent):
    """What makes a graph: nothing does."""


class Interpreter(_Absent):
    """What runs a graph: nothing does."""


class Transformer(Interpreter):
    """What rewrites a graph: nothing does."""
