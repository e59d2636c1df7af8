"""Training by several processes, which is not built: modules can be asked whether they are of this class."""

from __future__ import annotations

from typing import Any

from ...errors import UnsupportedError
from ..modules.module import Module

__all__ = ["DistributedDataParallel"]


class DistributedDataParallel(Module):
    """Raises: there is one process."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedError(
            "DistributedDataParallel: there is one process; process groups are not built in rustorch"
        )
