"""Calls that an argument, or a mode, answers instead: `__torch_function__`.

A class that defines it is asked by every op that gets an object of it, and by the methods and properties of a tensor
that is one. Functions that consist of ops are seen as these. Plain tensors pay nothing: objects of such classes show
their handle to all but the ops, which then go the way of an argument that does not fit.
"""

from __future__ import annotations

import functools
import inspect
import sys
import threading
import types
from typing import Any

from . import _door, _ops
from ._door import TensorOwner
from ._tensor import Tensor, _disabled_torch_function_impl, attach

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = [
    "BaseTorchFunctionMode", "TorchFunctionMode", "get_default_nowrap_functions", "get_overridable_functions",
    "handle_torch_function", "has_torch_function", "has_torch_function_unary", "has_torch_function_variadic",
    "is_tensor_like", "is_tensor_method_or_property", "resolve_name", "wrap_torch_function",
]  # fmt: skip

_OPS = vars(_ops)
_handle = TensorOwner.__dict__["_h"]


class _State(threading.local):
    """What this thread is in."""

    off = 0  # contexts in which subclasses are not asked
    modes: tuple[TorchFunctionMode, ...] = ()


_state = _State()


class DisableTorchFunctionSubclass:
    """A context in which `__torch_function__` of arguments is not looked for; modes are still asked."""

    def __enter__(self) -> None:
        _state.off += 1

    def __exit__(self, *args: object) -> None:
        _state.off -= 1


class DisableTorchFunction(DisableTorchFunctionSubclass):
    """A context in which neither arguments nor modes are asked."""

    def __enter__(self) -> None:
        super().__enter__()
        self._modes, _state.modes = _state.modes, ()

    def __exit__(self, *args: object) -> None:
        super().__exit__()
        _state.modes = self._modes


# ---- who is asked ----


def _answers(v: Any) -> bool:
    """Whether the class of `v` has a `__torch_function__` of its own."""
    if type(v) is Tensor:
        return False
    own = getattr(type(v), "__torch_function__", None)
    return own is not None and own is not _disabled_torch_function_impl


def _asked(args: Iterable[Any]) -> list[Any]:
    """One argument of each class that answers, in the order of PyTorch: classes before those they are derived from."""
    found: list[Any] = []
    if _state.off:
        return found
    for a in args:
        if not _answers(a) or any(type(a) is type(b) for b in found):
            continue
        place = next((i for i, b in enumerate(found) if isinstance(a, type(b))), len(found))
        found.insert(place, a)
    return found


def _flat(args: Iterable[Any]) -> Iterator[Any]:
    for a in args:
        if isinstance(a, (list, tuple)):
            yield from a
        else:
            yield a


def has_torch_function(relevant_args: Iterable[Any]) -> bool:
    """True if the class of an argument has a `__torch_function__` of its own, or a mode is on."""
    return bool(_state.modes or _asked(relevant_args))


def has_torch_function_unary(obj: Any) -> bool:
    """`has_torch_function` of one argument."""
    return has_torch_function((obj,))


def has_torch_function_variadic(*args: Any) -> bool:
    """`has_torch_function` of several arguments."""
    return has_torch_function(args)


def handle_torch_function(
    public_api: Callable[..., Any], relevant_args: Iterable[Any], *args: Any, **kwargs: Any
) -> Any:
    """What the innermost mode, or else the first of the arguments that knows, gives for a call.

    Args:
        public_api: the function that was called.
        relevant_args: those of its arguments that may answer.
        args: its arguments.
        kwargs: those by name.

    Raises:
        TypeError: all gave NotImplemented.
    """
    asked = _asked(relevant_args)
    kinds = tuple(type(a) for a in asked)
    modes = _state.modes
    if modes:
        _state.modes = modes[:-1]
        try:
            result = modes[-1].__torch_function__(public_api, kinds, args, kwargs)
        finally:
            _state.modes = modes
        if result is not NotImplemented:
            return result
    for a in asked:
        result = a.__torch_function__(public_api, kinds, args, kwargs)
        if result is not NotImplemented:
            return result
    name = resolve_name(public_api) or getattr(public_api, "__name__", repr(public_api))
    mode = f" nor in mode {modes[-1]}" if modes else ""
    raise TypeError(
        f"no implementation found for '{name}' on types that implement __torch_function__: {list(kinds)}{mode}"
    )


# ---- ops ----


@functools.cache
def _public(op: Any) -> Any:
    """The function by which users know an op: that of the same name, if it takes the same arguments."""
    package = sys.modules[__package__]
    wanted = list(inspect.signature(op).parameters)
    for where in ("", "nn.functional", "linalg", "special"):
        module = sys.modules.get(f"{__package__}.{where}".rstrip("."), package)
        name = op.__name__.removeprefix(f"{where}_")
        f = vars(module).get(name)
        if f is op:
            return op
        if callable(f) and [p for p in inspect.signature(f).parameters if p in wanted] == wanted:
            return f
    return op


def answered(op: Any, arguments: dict[str, Any]) -> tuple[Any] | None:
    """What a mode or an argument gives for a call of an op, alone in a tuple; None if nobody is to be asked."""
    relevant = list(_flat(arguments.values()))
    if not has_torch_function(relevant):
        return None
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    parameters = inspect.signature(op).parameters
    sizes = False  # whether the parameter is what `*sizes` are given as by name
    for place, (name, p) in enumerate(parameters.items()):
        if p.kind is p.VAR_POSITIONAL:
            sizes = name == "sizes"
            continue
        v = arguments.get(name, p.default)
        positional = sizes or (p.kind is p.POSITIONAL_OR_KEYWORD and len(args) == place)
        sizes = False
        if v is p.default or (type(v) is type(p.default) and v == p.default):
            continue
        if positional:
            args.append(v)
        else:
            kwargs[name] = v
    return (handle_torch_function(_public(op), relevant, *args, **kwargs),)


# ---- classes derived from Tensor ----


def _shown(self: Any) -> Any:
    if not _state.off and sys._getframe(1).f_globals is _OPS:
        raise AttributeError(f"{type(self).__name__} answers for itself")
    return _handle.__get__(self)


_hidden = property(_shown, _handle.__set__, _handle.__delete__)

#: What an operator is called as; others go by their own name.
_CALLED = {
    "__add__": "add", "__radd__": "add", "__sub__": "sub", "__mul__": "mul", "__rmul__": "mul", "__truediv__": "div",
    "__div__": "div", "__mod__": "remainder", "__pow__": "pow", "__matmul__": "matmul", "__neg__": "neg",
    "__pos__": "positive", "__abs__": "abs", "__ne__": "ne", "__lt__": "lt", "__le__": "le", "__gt__": "gt",
    "__ge__": "ge", "__iadd__": "add_", "__isub__": "sub_", "__imul__": "mul_", "__itruediv__": "div_",
    "__imod__": "remainder_", "__ipow__": "pow_",
}  # fmt: skip
_REFLECTED = {"__radd__": "add", "__rmul__": "mul", "__rsub__": "sub", "__rtruediv__": "div", "__rmatmul__": "matmul"}
_STAY = {
    "__array_priority__", "__iter__", "__class_getitem__", "__del__", "__dir__", "__dlpack__", "__dlpack_device__",
    "__hash__",
    "__init__", "__init_subclass__", "__new__", "__reduce__", "__reduce_ex__", "__setstate__", "__getstate__",
    "__torch_function__", "__array__", "__array_ufunc__", "__array_namespace__", "as_subclass",
}  # fmt: skip


def _method(name: str, f: Any) -> Any:
    seen = getattr(Tensor, _CALLED[name]) if name in _CALLED else None
    turned = getattr(Tensor, _REFLECTED[name]) if name in _REFLECTED else None

    @functools.wraps(f)
    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        asked = (self, *_flat(args), *kwargs.values())
        if not has_torch_function(asked):
            return f(self, *args, **kwargs)
        if turned is not None and isinstance(args[0], Tensor):
            return handle_torch_function(turned, asked, args[0], self)
        # While a mode is on, the class holds what asks: the next mode is to be asked by the call of this one.
        return handle_torch_function(seen or (method if _state.modes else f), asked, self, *args, **kwargs)

    return method


def _attribute(v: property) -> property:
    get, put = v.__get__, v.__set__

    def getter(self: Any) -> Any:
        return handle_torch_function(get, (self,), self) if has_torch_function((self,)) else get(self)

    def setter(self: Any, value: Any) -> None:
        if has_torch_function((self, value)):
            handle_torch_function(put, (self, value), self, value)
        else:
            put(self, value)

    return property(getter, setter if v.fset else None, doc=v.__doc__)


@functools.cache
def _asking() -> dict[str, tuple[Any, Any]]:
    """Methods and properties of Tensor that are no ops, each with one that asks first."""
    for v in list(vars(Tensor).values()):
        if hasattr(v, "module"):  # to be attached when it is first asked for
            v.__get__(None, Tensor)
    made: dict[str, tuple[Any, Any]] = {}
    for cls in reversed(Tensor.__mro__[:-1]):
        for name, v in vars(cls).items():
            if name in _STAY or (name[0] == "_" and not name.endswith("__")):
                continue
            if isinstance(v, types.FunctionType) and v.__globals__ is not _OPS:
                made[name] = v, _method(name, v)
            elif isinstance(v, property):
                made[name] = v, _attribute(v)
            else:
                made.pop(name, None)
    return made


def prepare(cls: type[Any]) -> None:
    """Has the objects of a class derived from Tensor asked. Classes say themselves that they were derived."""
    cls._h = _hidden
    for name, (plain, asks) in _asking().items():
        if inspect.getattr_static(cls, name, None) is plain:
            setattr(cls, name, asks)


def convert(result: Any, cls: type[Any]) -> Any:
    """The tensors of a result as objects of `cls`: what `Tensor.__torch_function__` does, by default."""
    if isinstance(result, Tensor):
        return result if isinstance(result, cls) else result.as_subclass(cls)
    if isinstance(result, (tuple, list)):
        parts = [convert(r, cls) for r in result]
        return type(result)(*parts) if hasattr(result, "_fields") else type(result)(parts)
    return result


@attach
class TensorOverrides:
    """What modules below this one ask for."""

    __slots__ = ()
    _answered = staticmethod(answered)
    _prepare = staticmethod(prepare)

    @staticmethod
    def _unanswered(func: Any, args: Any, kwargs: Any) -> Any:
        with DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_function__(cls: Any, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What a call gives whose arguments are of derived classes: the result as this class.

        Args:
            func: the function that was called.
            types: classes of the arguments that have a `__torch_function__` of their own.
            args: the arguments.
            kwargs: those by name, or None.

        Returns:
            NotImplemented if one of them is not a base of this class.
        """
        if not all(issubclass(cls, kind) for kind in types):
            return NotImplemented
        result = cls._unanswered(func, args, kwargs)
        return result if func in get_default_nowrap_functions() else convert(result, cls)


# ---- modes ----


class _Diverted:
    """An entry of the binding while a mode is on, in any thread: not to be had in those that have one."""

    def __init__(self, own: Any) -> None:
        self.own = own

    def __call__(self, *args: Any) -> Any:
        if _state.modes:
            raise TypeError("a mode answers")
        return self.own(*args)


_lock = threading.Lock()


def _divert(on: bool) -> None:
    """Has ops and methods look for modes, from the first mode to the last one."""
    with _lock:
        before = _door.modes
        _door.modes = before + (1 if on else -1)
        if bool(before) == bool(_door.modes):
            return
        for name, v in list(_OPS.items()):
            if name.startswith("_py_") or name == "write_into":
                _OPS[name] = _Diverted(v) if on else v.own
        for name, (plain, asks) in _asking().items():
            if isinstance(plain, types.FunctionType):
                setattr(Tensor, name, asks if on else plain)


class TorchFunctionMode:
    """A context in which `__torch_function__` answers every call of an op or of a method of a tensor in this thread.

    Example:
        >>> class Count(TorchFunctionMode):
        ...     calls = 0
        ...     def __torch_function__(self, func, types, args=(), kwargs=None):
        ...         self.calls += 1
        ...         return func(*args, **(kwargs or {}))
        >>> with Count() as count:
        ...     y = rt.ones(2).exp()
        >>> count.calls
        2
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What a call gives.

        Args:
            func: the function that was called.
            types: classes of the arguments that have a `__torch_function__`.
            args: the arguments.
            kwargs: those by name, or None.
        """
        raise NotImplementedError

    def __enter__(self) -> Any:
        _asking()
        _divert(True)
        _state.modes = (*_state.modes, self)
        return self

    def __exit__(self, *args: object) -> None:
        if not _state.modes or _state.modes[-1] is not self:
            raise RuntimeError(f"{type(self).__name__} is not the innermost mode of this thread")
        _state.modes = _state.modes[:-1]
        _divert(False)

    @classmethod
    def push(cls, *args: Any, **kwargs: Any) -> Any:
        """Another name of the constructor."""
        return cls(*args, **kwargs)


class BaseTorchFunctionMode(TorchFunctionMode):
    """A mode that calls everything as it is."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What the call gives without the mode."""
        return func(*args, **(kwargs or {}))


def _get_current_function_mode() -> Any:
    return _state.modes[-1] if _state.modes else None


def _get_current_function_mode_stack() -> list[Any]:
    return list(_state.modes)


def _len_torch_function_stack() -> int:
    return len(_state.modes)


# ---- about functions ----


def is_tensor_like(inp: Any) -> bool:
    """True for tensors, and for what has a `__torch_function__`."""
    return isinstance(inp, Tensor) or hasattr(inp, "__torch_function__")


def is_tensor_method_or_property(func: Any) -> bool:
    """True for what a tensor's class holds. Properties are given as their `__get__`."""
    if getattr(func, "__name__", "") == "__get__":
        return True
    held = [v for k in Tensor.__mro__ for v in vars(k).values()]
    return any(v is func or (isinstance(v, property) and v.fget is func) for v in held)


@functools.cache
def get_default_nowrap_functions() -> set[Any]:
    """Functions whose results `Tensor.__torch_function__` leaves as they are: those that give `grad` and the base."""
    return {Tensor.grad.__get__, Tensor._base.__get__}


def get_overridable_functions() -> dict[Any, list[Any]]:
    """Modules and classes with their functions that look for `__torch_function__`."""
    package: Any = sys.modules[__package__]
    ops = [v for v in vars(package).values() if isinstance(v, types.FunctionType) and v.__globals__ is _OPS]
    methods: list[Any] = [v for v in vars(_ops.TensorOps).values() if isinstance(v, types.FunctionType)]
    methods += [plain.__get__ if isinstance(plain, property) else plain for plain, _ in _asking().values()]
    return {package: ops, Tensor: methods}


def resolve_name(f: Any) -> str | None:
    """The full name of a function: "rustorch.add", "rustorch.Tensor.exp"; None if it is not found."""
    f = f.__self__ if isinstance(getattr(f, "__self__", None), property) else f
    for name in (getattr(f, "__name__", None), getattr(getattr(f, "fget", None), "__name__", None)):
        if name is None:
            continue
        for where, prefix in (
            (sys.modules[__package__], ""),
            (sys.modules.get(f"{__package__}.nn.functional"), "nn.functional."),
            (sys.modules.get(f"{__package__}.linalg"), "linalg."),
            (Tensor, "Tensor."),
        ):
            if where is not None and inspect.getattr_static(where, name, None) is f:
                return f"{_door.shown_as}.{prefix}{name}"
    return None


def wrap_torch_function(dispatcher: Callable[..., Iterable[Any]]) -> Callable[[Any], Any]:
    """A decorator for a function of one's own: it asks those of its arguments that `dispatcher` gives.

    Args:
        dispatcher: takes the same arguments as the function, and gives those that may answer.
    """

    def decorator(func: Any) -> Any:
        @functools.wraps(func)
        def asking(*args: Any, **kwargs: Any) -> Any:
            relevant = dispatcher(*args, **kwargs)
            if has_torch_function(relevant):
                return handle_torch_function(asking, relevant, *args, **kwargs)
            return func(*args, **kwargs)

        return asking

    return decorator
