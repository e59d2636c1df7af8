"""`torch.library`: ops that programs define in Python, found at `torch.ops.NAMESPACE.NAME`.

Libraries that are compiled for PyTorch cannot be loaded.
"""

from __future__ import annotations

import types
from typing import Any

from . import _ops, words
from ._tensor import Tensor
from ._trees import tree_leaves
from .autograd import Function, enable_grad, is_grad_enabled
from .errors import StateError

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


class CustomOpDef:
    """An op that a program defines: a function, one for tensors without elements, and a derivative."""

    def __init__(self, name: str, fn: Callable[..., Any] | None) -> None:
        self._qualname = name
        self._name = name.rpartition("::")[2]
        self._fn, self._fake = fn, None
        self._backward: Any = None
        self._setup: Any = None
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
        meta = self._fake is not None and any(t.is_meta for t in tree_leaves(args) if isinstance(t, Tensor))
        f: Any = self._fake if meta else self._fn
        if f is None:
            raise StateError(f"{self._qualname}: the op has been declared, but no function for the CPU has been given")
        return f(*args, **kwargs)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        wanted = is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in tree_leaves(args))
        if self._backward is None or not wanted:
            return self._call(args, kwargs)
        op = self

        class Recorded(Function):
            @staticmethod
            def forward(ctx: Any, *inputs: Any) -> Any:
                output = op._call(inputs, kwargs)
                if op._setup is not None:
                    op._setup(ctx, inputs, output)
                return output

            @staticmethod
            def backward(ctx: Any, *gradients: Any) -> Any:
                with enable_grad():
                    return op._backward(ctx, *gradients)

        return Recorded.apply(*args)

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
        op._fn = f
        return op

    return make if fn is None else make(fn)


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> None:
    """Declares an op, whose functions are given later."""
    _declared(qualname)


def impl(qualname: Any, types: Any, func: Any = None, *, lib: Any = None) -> Any:
    """Sets the function of an op for devices. A decorator, without `func`."""
    return _declared(qualname).register_kernel(None if types == "default" else types, func)


register_kernel = impl


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
        """Sets the function of an op: for a key of the CPU, or of meta; others are not asked."""
        name = op_name._name if isinstance(op_name, CustomOpDef) else str(op_name).rpartition("::")[2]
        op = _declared(f"{self.ns}::{name}")
        key = dispatch_key or self.dispatch_key
        if key == "Meta":
            op.register_fake(fn)
        elif key in ("", "CPU", "CompositeExplicitAutograd", "CompositeImplicitAutograd"):
            op._fn = fn

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
