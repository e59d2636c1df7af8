"""Helpers around the library; data loading is in :mod:`rustorch.utils.data`."""

from __future__ import annotations

from . import hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import data

__all__ = ["data", "hooks"]


def __getattr__(name: str) -> Any:
    if name == "data":  # loaded on first use
        import rustorch.utils.data as module

        return module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
