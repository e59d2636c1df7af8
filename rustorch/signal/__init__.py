"""Signals: the module of windows, `rustorch.signal.windows`."""

from . import windows

__all__ = ["windows"]
