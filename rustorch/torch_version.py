"""`TorchVersion`: a version that is a text and compares as a version."""

from __future__ import annotations

import re
from typing import Any

__all__ = ["TorchVersion"]


def _key(v: Any) -> tuple[Any, ...]:
    """What versions are compared by: the numbers, then before them what is not released yet."""
    if isinstance(v, (tuple, list)):
        v = ".".join(map(str, v))
    found = re.match(r"\s*v?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|c|rc|alpha|beta|dev|post)[-_.]?(\d*))?", str(v))
    if not found:
        raise ValueError(f"Invalid version: {v!r}")
    numbers = [int(n) for n in found[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    stages = {"dev": -4, "a": -3, "alpha": -3, "b": -2, "beta": -2, "c": -1, "rc": -1, None: 0, "post": 1}
    local = str(v).partition("+")[2]
    return numbers, stages[found[2]], int(found[3] or 0), local


class TorchVersion(str):
    """A version such as "2.13.0+x", which compares with texts and tuples of numbers as versions do (PEP 440)."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        try:
            return _key(self) == _key(other)
        except ValueError:
            return False

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __lt__(self, other: Any) -> bool:
        return _key(self) < _key(other)

    def __le__(self, other: Any) -> bool:
        return _key(self) <= _key(other)

    def __gt__(self, other: Any) -> bool:
        return _key(self) > _key(other)

    def __ge__(self, other: Any) -> bool:
        return _key(self) >= _key(other)

    __hash__ = str.__hash__
