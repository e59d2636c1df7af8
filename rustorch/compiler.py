"""`torch.compiler`, as it is without a compiler: functions stay what they are."""

from __future__ import annotations

import contextlib
from typing import Any

from . import compile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "allow_in_graph", "assume_constant_result", "compile", "cudagraph_mark_step_begin", "disable", "is_compiling",
    "is_dynamo_compiling", "is_exporting", "list_backends", "nested_compile_region", "reset", "set_stance",
]  # fmt: skip


def is_compiling() -> bool:
    """False."""
    return False


def is_dynamo_compiling() -> bool:
    """False."""
    return False


def is_exporting() -> bool:
    """False."""
    return False


def disable(fn: Any = None, recursive: bool = True, *, reason: str | None = None) -> Any:
    """`fn` itself; without it, a decorator."""
    return (lambda f: f) if fn is None else fn


def allow_in_graph(fn: Any) -> Any:
    """`fn` itself."""
    return fn


def assume_constant_result(fn: Any) -> Any:
    """`fn` itself."""
    return fn


def nested_compile_region(fn: Any = None) -> Any:
    """`fn` itself; without it, a decorator."""
    return (lambda f: f) if fn is None else fn


def reset() -> None:
    """Nothing to forget: nothing was compiled."""


def cudagraph_mark_step_begin() -> None:
    """Nothing to mark: there are no graphs."""


def list_backends(exclude_tags: Any = ("debug", "experimental")) -> list[str]:
    """None."""
    return []


@contextlib.contextmanager
def set_stance(stance: str = "default", **options: Any) -> Iterator[None]:
    """A context without effect: functions are called as they are."""
    yield
