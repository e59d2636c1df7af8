"""Helpers around the library; data loading is in :mod:`rustorch.utils.data`."""

from __future__ import annotations

from . import hooks

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from . import data

# Modules that are loaded on first use.
_LATER = ("_foreach_utils", "_pytree", "checkpoint", "data", "dlpack", "model_zoo", "tensorboard")

__all__ = ["data", "hooks"]


def __getattr__(name: str) -> Any:
    if name in _LATER:
        import importlib

        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
