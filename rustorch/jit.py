"""`torch.jit`, as it is without a compiler: what was to be compiled is the Python function or module itself.

Results are the same, for Python is what a script says. There are no files of scripts: `save` and `load` raise.
"""

from __future__ import annotations

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
    """Python's, of containers' types without their parameters."""
    import builtins
    import typing

    kinds = target_type if builtins.isinstance(target_type, tuple) else (target_type,)
    plain: Any = tuple(typing.get_origin(k) or k for k in kinds)
    return builtins.isinstance(obj, plain)


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
