"""What custom autograd functions are made of."""

from __future__ import annotations

import functools
from typing import Any

from . import Function, FunctionCtx, no_grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


def once_differentiable(f: Callable[..., Any]) -> Callable[..., Any]:
    """Decorates a `backward` that is not to be differentiated itself: its ops are not recorded."""

    @functools.wraps(f)
    def backward(ctx: Any, *grads: Any) -> Any:
        with no_grad():
            return f(ctx, *grads)

    return backward
