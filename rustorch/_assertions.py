"""Checks that raise, and PyTorch's numbers that are not known yet: here all sizes are known, so they are plain."""

from __future__ import annotations

import math
from typing import Any

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ._tensor import Tensor

__all__ = ["SymBool", "SymFloat", "SymInt", "sym_float", "sym_int", "sym_max", "sym_min", "sym_not", "sym_sqrt"]


def _assert(condition: Any, message: Any) -> None:
    """Python's `assert`, as a function."""
    assert condition, message


def _assert_async(condition: Tensor, assert_msg: str = "") -> None:
    """Raises unless the only element is true."""
    if not condition.item():
        raise RuntimeError(assert_msg or "Expected Tensor with single nonzero value, but got zero")


def _check_with(error_type: type[Exception], cond: Any, message: Callable[[], str] | None = None) -> None:
    """Raises an `error_type` with the text that `message` gives, unless `cond`."""
    if not cond:
        raise error_type("Expected cond to be True, but got False" if message is None else str(message()))


def _check(cond: Any, message: Callable[[], str] | None = None) -> None:
    """Raises a RuntimeError unless `cond`."""
    _check_with(RuntimeError, cond, message)


def _check_index(cond: Any, message: Callable[[], str] | None = None) -> None:
    """Raises an IndexError unless `cond`."""
    _check_with(IndexError, cond, message)


def _check_value(cond: Any, message: Callable[[], str] | None = None) -> None:
    """Raises a ValueError unless `cond`."""
    _check_with(ValueError, cond, message)


def _check_type(cond: Any, message: Callable[[], str] | None = None) -> None:
    """Raises a TypeError unless `cond`."""
    _check_with(TypeError, cond, message)


def _check_not_implemented(cond: Any, message: Callable[[], str] | None = None) -> None:
    """Raises a NotImplementedError unless `cond`."""
    _check_with(NotImplementedError, cond, message)


def _check_tensor_all(cond: Tensor, message: Callable[[], str] | None = None) -> None:
    """Raises a RuntimeError unless all elements are true."""
    _check_with(RuntimeError, bool(cond.all()), message)


def _check_is_size(i: int, message: Callable[[], str] | None = None, *, max: int | None = None) -> None:
    """Raises a RuntimeError unless `i` can be a size (of at most `max`)."""
    _check(i >= 0 and (max is None or i <= max), message)


class _Symbolic:
    def __init__(self, *args: Any) -> None:
        raise TypeError(f"{type(self).__name__}: sizes are plain numbers here")


class SymInt(_Symbolic):
    """Nothing is one: sizes are plain whole numbers."""


class SymFloat(_Symbolic):
    """Nothing is one."""


class SymBool(_Symbolic):
    """Nothing is one."""


def sym_int(a: Any) -> int:
    """`int(a)`."""
    return int(a)


def sym_float(a: Any) -> float:
    """`float(a)`."""
    return float(a)


def sym_not(a: Any) -> bool:
    """`not a`."""
    return not a


def sym_sqrt(a: Any) -> float:
    """`math.sqrt(a)`."""
    return math.sqrt(a)


def sym_max(a: Any, b: Any) -> Any:
    """The greater number, a float if one of them is."""
    return float(max(a, b)) if isinstance(a, float) or isinstance(b, float) else max(a, b)


def sym_min(a: Any, b: Any) -> Any:
    """The smaller number, a float if one of them is."""
    return float(min(a, b)) if isinstance(a, float) or isinstance(b, float) else min(a, b)
