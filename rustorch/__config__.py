"""How the library was built and runs."""

from __future__ import annotations

from . import __version__, get_num_threads

__all__ = ["parallel_info", "show"]


def show() -> str:
    """The library in words."""
    return f"rustorch {__version__}\n  - CPU only\n  - threads: {get_num_threads()}\n"


def parallel_info() -> str:
    """The threads in words."""
    return f"threads: {get_num_threads()}\n"
