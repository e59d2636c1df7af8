"""`torch.jit`, as it is without a compiler: what was to be compiled is the Python function or module itself.

Results are the same, for Python is what a script says. There are no files of scripts: `save` and `load` raise.
"""

from __future__ import annotations

import types
import typing
import warnings
from typing import Any, Final

from .errors import UnsupportedError

__all__ = [
    "Attribute",
    "Error",
    "Final",
    "RecursiveScriptModule",
    "ScriptFunction",
    "ScriptModule",
    "TracerWarning",
    "annotate",
    "enable_onednn_fusion",
    "export",
    "fork",
    "freeze",
    "fuser",
    "ignore",
    "interface",
    "is_scripting",
    "is_tracing",
    "isinstance",
    "load",
    "onednn_fusion_enabled",
    "optimize_for_inference",
    "optimized_execution",
    "run_frozen_optimizations",
    "save",
    "script",
    "script_if_tracing",
    "script_method",
    "set_fusion_strategy",
    "strict_fusion",
    "trace",
    "trace_module",
    "unused",
    "wait",
]

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


class Error(RuntimeError):
    """What scripts raise in PyTorch; nothing raises it here."""


class TracerWarning(Warning):
    """What tracing warns with in PyTorch; nothing does here."""


class ScriptModule:
    """A compiled module. There are none, so nothing is one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedError(f"jit.{type(self).__name__}: nothing is compiled; give the module itself")


class RecursiveScriptModule(ScriptModule):
    """Likewise."""


class ScriptFunction:
    """A compiled function. There are none, so nothing is one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedError("jit.ScriptFunction: nothing is compiled; give the function itself")


def script(obj: Any, optimize: Any = None, _frames_up: int = 0, _rcb: Any = None, example_inputs: Any = None) -> Any:
    """`obj` itself, a function, a class or a module."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **options: Any) -> Any:
    """`func` itself: nothing is recorded, so it is not fixed to the path that the examples take."""
    return func


def trace_module(mod: Any, inputs: Any, *args: Any, **options: Any) -> Any:
    """`mod` itself."""
    return mod


def script_method(fn: Any) -> Any:
    """`fn` itself."""
    return fn


def script_if_tracing(fn: Any) -> Any:
    """`fn` itself."""
    return fn


_script_if_tracing = script_if_tracing


def export(fn: Any) -> Any:
    """`fn` itself: all methods can be called."""
    return fn


def interface(obj: Any) -> Any:
    """`obj` itself."""
    return obj


def unused(fn: Any) -> Any:
    """`fn` itself."""
    return fn


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The function itself; with and without parentheses."""
    return drop if callable(drop) else lambda fn: fn


def _overload(func: Any) -> Any:
    return func


_overload_method = _overload


def is_scripting() -> bool:
    """False."""
    return False


def is_tracing() -> bool:
    """False."""
    return False


def annotate(the_type: Any, the_value: Any) -> Any:
    """The value."""
    return the_value


def Attribute(value: Any, type: Any = None) -> Any:
    """The value."""
    return value


def isinstance(obj: Any, target_type: Any) -> bool:
    """Whether `obj` is of a type (or one of a tuple of types); what containers hold is checked too."""
    import builtins

    if builtins.isinstance(target_type, tuple):
        return any([isinstance(obj, k) for k in target_type])
    if builtins.isinstance(target_type, (list, dict, set, str)):
        raise RuntimeError("The second argument to `torch.jit.isinstance` must be a type or a tuple of types")
    if not typing.get_origin(target_type):
        _wants_parameters(target_type)
    return _matches(obj, target_type)


def _wants_parameters(kind: Any) -> None:
    if kind in (list, dict, tuple, typing.List, typing.Dict, typing.Tuple, typing.Optional):  # noqa: UP006
        raise RuntimeError(f"Attempted to use {kind} without contained types. Please add them, such as list[int]")


def _matches(obj: Any, kind: Any) -> bool:
    import builtins

    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if kind in (typing.List, typing.Dict, typing.Tuple):  # noqa: UP006
        _wants_parameters(kind)
    if origin is None:
        return builtins.isinstance(obj, kind)
    if origin in (list, dict, tuple) and builtins.isinstance(obj, (list, dict, tuple)) and not obj:
        warnings.warn(
            "The inner type of a container is lost when calling torch.jit.isinstance in eager mode. For example, "
            "List[int] would become list and therefore falsely return True for List[float] or List[str].",
            stacklevel=3,
        )
    if origin is list:
        return builtins.isinstance(obj, list) and all(_matches(v, inner[0]) for v in obj)
    if origin is dict:
        return builtins.isinstance(obj, dict) and all(
            _matches(k, inner[0]) and _matches(v, inner[1]) for k, v in obj.items()
        )
    if origin is tuple:
        same = builtins.isinstance(obj, tuple) and len(obj) == len(inner)
        return same and all(_matches(v, k) for v, k in zip(obj, inner))
    if origin is typing.Union or origin is getattr(types, "UnionType", None):
        if obj is None:
            return True
        for k in inner:
            # As in PyTorch, the first type of a container decides.
            if typing.get_origin(k):
                return _matches(obj, k)
            if builtins.isinstance(obj, k):
                return True
    return False


def freeze(mod: Any, *args: Any, **options: Any) -> Any:
    """`mod` itself."""
    return mod


def optimize_for_inference(mod: Any, other_methods: Any = None) -> Any:
    """`mod` itself."""
    return mod


def run_frozen_optimizations(mod: Any, *args: Any, **options: Any) -> None:
    """Nothing to do."""


def set_fusion_strategy(strategy: Any) -> list[Any]:
    """Accepted; there is no compiler. Gives what was set before: nothing."""
    return []


def enable_onednn_fusion(enabled: bool) -> None:
    """Accepted; there is no compiler."""


def onednn_fusion_enabled() -> bool:
    """False."""
    return False


class _Without:
    """A context manager without effect."""

    def __init__(self, *args: Any) -> None:
        pass

    def __enter__(self) -> None:
        return None

    def __exit__(self, *args: object) -> None:
        return None


class fuser(_Without):
    """Accepted; there is no compiler."""


class strict_fusion(_Without):
    """Accepted; there is no compiler."""


class optimized_execution(_Without):
    """Accepted; there is no compiler."""


class _Lists:
    """`BroadcastingList2[int]` and its like: types of annotations."""

    def __getitem__(self, kind: Any) -> Any:
        return Any


BroadcastingList1 = BroadcastingList2 = BroadcastingList3 = _Lists()


def __getattr__(name: str) -> Any:
    if name in ("Dict", "List", "Optional", "Tuple", "Union"):  # what `torch.jit.annotations` has of Python's
        import typing

        return getattr(typing, name)
    raise AttributeError(f"jit.{name} is not built in rustorch: nothing is compiled")


class _Await:
    """What `fork` gives: the result, which is there."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def wait(self) -> Any:
        """The result."""
        return self._value

    value = wait

    def done(self) -> bool:
        """True."""
        return True


def fork(func: Callable[..., Any], *args: Any, **kwargs: Any) -> _Await:
    """Calls `func` at once, as in PyTorch outside of scripts; `wait` gives the result."""
    return _Await(func(*args, **kwargs))


def wait(future: Any) -> Any:
    """The result of what `fork` gave."""
    return future.wait()


def _no_files(name: str, doc: str) -> Any:
    def f(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(f"jit.{name}: {doc}")

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"Raises: {doc}"
    return f


save = _no_files("save", "scripts are Python here and have no files; save the state_dict")
load = _no_files("load", "there is no interpreter of TorchScript files")
