"""`TorchVersion`: a version that is a text and compares as a version."""

from __future__ import annotations

import math
import operator
import re
from typing import Any

__all__ = ["TorchVersion"]

# PEP 440: epoch, numbers, what comes before a release, after it, on the way to it, and a local name.
_FORM = re.compile(
    r"\s*v?(?:(\d+)!)?(\d+(?:\.\d+)*)"
    r"(?:[-_.]?(alpha|a|beta|b|preview|pre|c|rc)[-_.]?(\d*))?"
    r"(?:-(\d+)|[-_.]?(post|rev|r)[-_.]?(\d*))?"
    r"(?:[-_.]?(dev)[-_.]?(\d*))?"
    r"(?:\+([a-z0-9]+(?:[-_.][a-z0-9]+)*))?\s*",
    re.IGNORECASE,
)


def _key(v: Any) -> tuple[Any, ...]:
    """What versions are compared by."""
    if isinstance(v, (tuple, list)):
        v = ".".join(map(str, v))
    found = _FORM.fullmatch(v) if isinstance(v, str) else None
    if not found:
        raise ValueError(f"Invalid version: {v!r}")
    epoch, release, before, which, after, post, revision, dev, build, local = found.groups()
    numbers = [int(n) for n in release.split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    later = int(after or revision or 0) if after or post else -1
    if before:
        stage = ({"a": 0, "b": 1}.get(before[0].lower(), 2), int(which or 0))
    else:
        stage = (-1, 0) if dev and later < 0 else (3, 0)
    parts = [(1, int(p), "") if p.isdigit() else (0, 0, p.lower()) for p in re.split(r"[-_.]", local)] if local else []
    return int(epoch or 0), numbers, stage, later, int(build or 0) if dev else math.inf, parts


def _compared(name: str) -> Any:
    def compare(self: Any, other: Any) -> Any:
        try:
            return getattr(operator, name)(_key(self), _key(other))
        except ValueError:  # as in PyTorch, what is no version is compared as a text
            return getattr(str, name)(self, other)

    return compare


class TorchVersion(str):
    """A version such as "2.13.0+x", which compares with texts and tuples of numbers as versions do (PEP 440)."""

    __slots__ = ()

    __eq__ = _compared("__eq__")
    __lt__ = _compared("__lt__")
    __le__ = _compared("__le__")
    __gt__ = _compared("__gt__")
    __ge__ = _compared("__ge__")

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__
