"""The handle that a hook registration returns."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class RemovableHandle:
    """Removes a registered hook: by :meth:`remove`, or on leaving a ``with`` block."""

    _count = 0

    def __init__(self, hooks_dict: dict[int, Any]) -> None:
        self.id = RemovableHandle._count
        RemovableHandle._count += 1
        self._hooks = hooks_dict

    def remove(self) -> None:
        """Takes the hook out; a second call does nothing."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()
