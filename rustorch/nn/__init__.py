"""Neural networks: layers, their functional forms, initialisers and helpers."""

from __future__ import annotations

from typing import Any

from . import functional, init, modules, parallel, parameter, utils
from .modules import *  # noqa: F403
from .parallel import DataParallel
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

__all__ = [
    "Buffer",
    "DataParallel",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "functional",
    "init",
    "modules",
    "parallel",
    "parameter",
    "utils",
]
__all__ += modules.__all__


def __getattr__(name: str) -> Any:
    if name == "attention":  # loaded on first use
        import importlib

        return importlib.import_module(".attention", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
