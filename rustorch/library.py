"""`torch.library`: ops that programs define in Python, found at `torch.ops.NAMESPACE.NAME`.

Libraries that are compiled for PyTorch cannot be loaded.
"""

from __future__ import annotations

import inspect
import types
from typing import Any

from . import _ops, words
from ._tensor import Tensor
from ._trees import tree_leaves
from .autograd import Function, enable_grad, is_grad_enabled, no_grad
from .errors import AutogradError, StateError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "CustomOpDef",
    "Library",
    "custom_op",
    "define",
    "impl",
    "register_autograd",
    "register_fake",
    "register_kernel",
]

_defined: dict[str, CustomOpDef] = {}

#: Keys under which the dispatcher calls a function for any tensor there is, and devices of which there are none.
_CALLED = ("", "CPU", "CompositeExplicitAutograd", "CompositeImplicitAutograd")
_ABSENT = ("CUDA", "HIP", "XLA", "MPS", "IPU", "XPU", "HPU", "VE", "Lazy", "MTIA", "PrivateUse1")


class CustomOpDef:
    """An op that a program defines: a function, one for tensors without elements, and a derivative."""

    def __init__(self, name: str, fn: Callable[..., Any] | None) -> None:
        self._qualname = name
        self._name = name.rpartition("::")[2]
        self._fn, self._fake = fn, None
        self._backward: Any = None
        self._setup: Any = None
        self._opaque = False  # made by `custom_op`: no derivative but a registered one
        self.default = self  # its only overload
        self.__name__ = self._name

    def register_fake(self, fn: Any, /) -> Any:
        """Sets the function for tensors on the device meta."""
        self._fake = fn
        return fn

    register_abstract = register_fake

    def register_kernel(self, device_types: Any, fn: Any = None, /) -> Any:
        """Sets the function itself, if it is for the CPU (or all devices); others are not asked."""
        kinds = [device_types] if isinstance(device_types, str) else device_types

        def register(f: Any) -> Any:
            if kinds is None or "cpu" in [str(k).lower() for k in kinds]:
                self._fn = f
            return f

        return register if fn is None else register(fn)

    def register_autograd(self, backward: Any, /, *, setup_context: Any = None) -> None:
        """Sets the derivative: `setup_context(ctx, inputs, output)`, then `backward(ctx, *gradients)`."""
        self._backward, self._setup = backward, setup_context

    def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        meta = self._fake is not None and any(t.is_meta for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor))
        f: Any = self._fake if meta else self._fn
        if f is None:
            raise StateError(f"{self._qualname}: the op has been declared, but no function for the CPU has been given")
        return f(*args, **kwargs)

    def _bound(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """All arguments, with defaults; only those that have to be are given by keyword."""
        f = self._fn or self._fake
        if f is None:
            return args, kwargs
        try:
            signature = inspect.signature(f)
        except (TypeError, ValueError):  # one that does not tell
            return args, kwargs
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound.args, bound.kwargs

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        args, kwargs = self._bound(args, kwargs)
        wanted = is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in tree_leaves(args))
        if self._backward is None and not self._opaque:
            return self._call(args, kwargs)
        if not wanted:
            with no_grad():
                return self._call(args, kwargs)
        op = self
        # A list of tensors is given to the recorded function as so many arguments.
        lists = [list(a) if isinstance(a, (list, tuple)) else None for a in args]
        flat = [t for a, several in zip(args, lists) for t in ([a] if several is None else several)]

        def nested(values: Any) -> tuple[Any, ...]:
            found = iter(values)
            return tuple([next(found) if several is None else [next(found) for _ in several] for several in lists])

        class Recorded(Function):
            @staticmethod
            def forward(ctx: Any, *_: Any) -> Any:
                ctx.needs_input_grad = nested(ctx.needs_input_grad)
                output = op._call(args, kwargs)
                if op._setup is not None:
                    more = {"keyword_only_inputs": kwargs} if kwargs else {}
                    op._setup(ctx=ctx, inputs=args, output=output, **more)
                return output

            @staticmethod
            def backward(ctx: Any, *gradients: Any) -> Any:
                if op._backward is None:
                    raise AutogradError(
                        f"Trying to backward through {op._qualname} but no autograd formula was registered for it. "
                        "Please use register_autograd to add one."
                    )
                with enable_grad():
                    got = op._backward(ctx, *gradients)
                got = got if isinstance(got, tuple) else (got,)
                if len(got) != len(args):
                    raise AutogradError(f"{op._qualname}: backward gave {len(got)} gradients for {len(args)} arguments")
                parts = [[g] if s is None else [None] * len(s) if g is None else list(g) for g, s in zip(got, lists)]
                return tuple([g for part in parts for g in part])

        return Recorded.apply(*flat)

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"


def _declared(name: str) -> CustomOpDef:
    if "::" not in name:
        raise ValueError(f"library: wanted a name such as 'mylib::op', got {name!r}")
    return _defined.setdefault(name.partition(".")[0], CustomOpDef(name, None))


def custom_op(name: str, fn: Any = None, /, *, mutates_args: Any = (), device_types: Any = None, **_: Any) -> Any:
    """Makes a function an op. A decorator, without `fn`."""

    def make(f: Any) -> CustomOpDef:
        op = _declared(name)
        op._fn, op._opaque = f, True
        return op

    return make if fn is None else make(fn)


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> None:
    """Declares an op, whose functions are given later."""
    _declared(qualname)


def impl(qualname: Any, types: Any = None, func: Any = None, *, lib: Any = None, **key: Any) -> Any:
    """Sets the function of an op for devices. A decorator, without `func`.

    PyTorch's old form is a decorator too: the library, the op's name and a dispatch key.
    """
    if isinstance(qualname, Library):
        library, name, key_given = qualname, key.pop("name", types), key.pop("dispatch_key", func) or ""

        def wrap(f: Any) -> Any:
            library.impl(name, f, key_given, **key)
            return f

        return wrap
    if key or types is None:
        raise TypeError(
            f"impl: wanted the name of an op and types of devices, got {qualname!r}, {types!r} and {[*key]}"
        )
    return (qualname if isinstance(qualname, CustomOpDef) else _declared(qualname)).register_kernel(
        None if types == "default" else types, func
    )


def register_kernel(op: Any, device_types: Any, func: Any = None, /, *, lib: Any = None) -> Any:
    """Sets the function of an op for devices (None: for all). A decorator, without `func`."""
    return (op if isinstance(op, CustomOpDef) else _declared(op)).register_kernel(device_types, func)


def register_fake(op: Any, func: Any = None, /, *, lib: Any = None, _stacklevel: int = 1, **_: Any) -> Any:
    """Sets the function for tensors on the device meta. A decorator, without `func`."""
    target = op if isinstance(op, CustomOpDef) else _declared(op)
    return target.register_fake if func is None else target.register_fake(func)


impl_abstract = register_fake


def register_autograd(op: Any, backward: Any, /, *, setup_context: Any = None, lib: Any = None) -> None:
    """Sets the derivative of an op."""
    (op if isinstance(op, CustomOpDef) else _declared(op)).register_autograd(backward, setup_context=setup_context)


class Library:
    """Ops of one namespace, declared and given functions one by one."""

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Declares an op by its signature, "name(Tensor x) -> Tensor"."""
        name = schema.partition("(")[0]
        _declared(f"{self.ns}::{name}")
        return name

    def impl(self, op_name: Any, fn: Any, dispatch_key: str = "", **_: Any) -> None:
        """Sets the function of an op: for a key of the CPU, or of meta. Those of other devices are never asked for."""
        name = op_name._name if isinstance(op_name, CustomOpDef) else str(op_name).rpartition("::")[2]
        key = dispatch_key or self.dispatch_key
        if self.ns == "aten":
            raise UnsupportedError(f"Library.impl: {name} of PyTorch itself cannot be replaced")
        op = _declared(f"{self.ns}::{name}")
        if key == "Meta":
            op.register_fake(fn)
        elif key in _CALLED:
            op._fn = fn
        elif key not in _ABSENT:
            raise UnsupportedError(f"Library.impl: a function of {self.ns}::{name} for the dispatch key {key!r}")

    def _register_fake(self, op_name: str, fn: Any, **_: Any) -> None:
        _declared(f"{self.ns}::{op_name}").register_fake(fn)


class _Namespace(types.ModuleType):
    """The ops of a namespace; `aten` is the table."""

    def __getattr__(self, name: str) -> Any:
        op = _defined.get(f"{self.__name__.rpartition('.')[2]}::{name}")
        if op is None:
            raise AttributeError(f"{self.__name__} has no op {name!r}: none has been defined in Python")
        return op


class _Aten(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        for place in (words, _ops):
            if name in place.__all__:
                return getattr(place, name)
        raise AttributeError(f"torch.ops.aten.{name} is not built in rustorch")


class _AllOps(types.ModuleType):
    """`torch.ops`."""

    aten = _Aten("torch.ops.aten")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        self.__dict__[name] = namespace = _Namespace(f"torch.ops.{name}")
        return namespace

    @staticmethod
    def load_library(path: Any) -> None:
        """Raises: what is compiled for PyTorch needs its libraries."""
        raise OSError(f"torch.ops.load_library: {path} is compiled for PyTorch and cannot be loaded by rustorch")


#: What `torch.ops` is, by `as_torch`: `rustorch.ops` is the list of rustorch's own.
all_ops = _AllOps("torch.ops")
