"""Which algorithm attention takes: there is one. A choice that excludes it raises."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterable, Iterator

from ...errors import UnsupportedError

__all__ = ["SDPBackend", "sdpa_kernel"]


class SDPBackend(enum.IntEnum):
    """Names of PyTorch's algorithms. Ours is `MATH`: what `scaled_dot_product_attention` computes is that."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends: SDPBackend | Iterable[SDPBackend], set_priority: bool = False) -> Iterator[None]:
    """A context for some algorithms only.

    Raises:
        UnsupportedError: `MATH` is not among them.
    """
    given = [backends] if isinstance(backends, SDPBackend) else list(backends)
    if SDPBackend.MATH not in given:
        raise UnsupportedError(f"sdpa_kernel: there is only {SDPBackend.MATH!r}, not {given}")
    yield
