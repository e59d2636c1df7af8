"""`torch.overrides`: functions do not look for `__torch_function__`, so no argument overrides one."""

from __future__ import annotations

from typing import Any

from ._tensor import Tensor
from .errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

__all__ = [
    "TorchFunctionMode", "handle_torch_function", "has_torch_function", "has_torch_function_unary",
    "has_torch_function_variadic", "is_tensor_like", "is_tensor_method_or_property",
]  # fmt: skip


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """False: functions take their arguments as they are."""
    return False


def has_torch_function_unary(obj: Any) -> bool:
    """False."""
    return False


def has_torch_function_variadic(*args: Any) -> bool:
    """False."""
    return False


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """Calls the `__torch_function__` of the arguments, one after the other, until one knows what to do."""
    given = [a for a in relevant_args if hasattr(a, "__torch_function__")]
    for a in given:
        result = a.__torch_function__(public_api, tuple(type(b) for b in given), args, kwargs)
        if result is not NotImplemented:
            return result
    name = f"{public_api.__module__}.{public_api.__name__}"
    raise TypeError(f"no implementation found for '{name}' on types that implement __torch_function__: {given}")


def is_tensor_like(inp: Any) -> bool:
    """True for tensors, and for what has a `__torch_function__`."""
    return isinstance(inp, Tensor) or hasattr(inp, "__torch_function__")


def is_tensor_method_or_property(func: Any) -> bool:
    """True for what a tensor's class holds. Properties are given as their `__get__`."""
    if getattr(func, "__name__", "") == "__get__":
        return True
    held = [v for k in Tensor.__mro__ for v in vars(k).values()]
    return any(v is func or (isinstance(v, property) and v.fget is func) for v in held)


class TorchFunctionMode:
    """A mode that sees all calls: not built."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __enter__(self) -> Any:
        raise UnsupportedError("overrides.TorchFunctionMode: functions of rustorch cannot be overridden")

    def __exit__(self, *args: object) -> None:
        pass
