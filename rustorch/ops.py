"""The ops by name, and NumPy's universal functions on tensors (`np.exp(t)`, `array + t`), gradients included."""

from __future__ import annotations

from typing import Any

from . import _ops, words
from ._arguments import operand
from ._door import check, elements, lib, sized, text
from ._tensor import Tensor, attach, make
from .interchange import as_tensor

__all__ = ["dispatch_ufunc", "names", "table"]

# NumPy's name -> ours, where they differ.
_UFUNCS = {
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "bitwise_count": "",
    "conjugate": "positive",
    "equal": "eq",
    "fabs": "abs",
    "float_power": "float_power",
    "greater": "gt",
    "greater_equal": "ge",
    "invert": "bitwise_not",
    "left_shift": "bitwise_left_shift",
    "less": "lt",
    "less_equal": "le",
    "mod": "remainder",
    "negative": "neg",
    "not_equal": "ne",
    "power": "pow",
    "right_shift": "bitwise_right_shift",
    "rint": "round",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "true_divide": "div",
    "degrees": "rad2deg",
    "radians": "deg2rad",
}


# What options mean nothing else than to leave them out.
_DEFAULTS = {"casting": "same_kind", "order": "K", "subok": True, "dtype": None, "where": True}


def dispatch_ufunc(ufunc: Any, *inputs: Any, **kwargs: Any) -> Any:
    """Runs the op that a NumPy universal function stands for; arrays among the inputs share their memory with tensors.

    `out`, `where` and `dtype` mean what they mean in NumPy; where `where` is False and there is no `out`, the result
    is 0. Unknown functions and options give NotImplemented, upon which NumPy raises TypeError.
    """
    out = kwargs.pop("out", None)
    where, wanted = kwargs.pop("where", True), kwargs.pop("dtype", None)
    name = _UFUNCS.get(ufunc.__name__, ufunc.__name__)
    op = _COMPOSED.get(name) or (getattr(_ops, name, None) if name else None)
    if op is None or not callable(op) or any(k not in _DEFAULTS or _DEFAULTS[k] != v for k, v in kwargs.items()):
        return NotImplemented
    args = [_operand(v) for v in inputs]
    if wanted is not None:
        args = [a.to(wanted) for a in args]
    result = op(*args)
    if ufunc.nout > 1:
        targets = (None,) * ufunc.nout if out is None else out
        return tuple(_written(r, t, where) for r, t in zip(result, targets))
    return _written(result, out[0] if isinstance(out, tuple) else out, where)


def _written(result: Tensor, target: Any, where: Any) -> Any:
    """The result in the place that was given as `out=`, as far as `where` says so."""
    if where is not True:
        mask = _operand(where)
        if target is None:
            return _ops.where(mask, result, operand(0))
        before = target if isinstance(target, Tensor) else _operand(target)
        result = _ops.where(mask, result.to(before.dtype), before)
    if target is None:
        return result
    if isinstance(target, Tensor):
        return target.copy_(result)
    target[...] = result.detach().numpy()
    return target


def _operand(v: Any) -> Tensor:
    """An input as a tensor; a plain number yields in type promotion."""
    if isinstance(v, Tensor):
        return v
    if isinstance(v, (bool, int, float, complex)):
        return operand(v)
    if getattr(v, "ndim", None) == 0 and hasattr(v, "item"):
        return operand(v.item())
    return as_tensor(v) if hasattr(v, "__array_interface__") else make(v)


def _modf(x: Tensor) -> tuple[Tensor, Tensor]:
    whole = _ops.trunc(x)
    return _ops.where(_ops.isinf(x), _ops.zeros_like(x), _ops.sub(x, whole)), whole


def _heaviside(x: Tensor, values: Tensor) -> Tensor:
    d = words.result_type(x, values)
    return _ops.heaviside(x.to(d), values.to(d))


# Universal functions that are more than one op.
_COMPOSED: dict[str, Any] = {
    "heaviside": _heaviside,
    "divmod": lambda a, b: (_ops.floor_divide(a, b), _ops.remainder(a, b)),
    "modf": _modf,
    "vecdot": lambda a, b: _ops.mul(a, b).sum(-1),
}


@attach
class TensorUfuncs:
    """What makes NumPy's universal functions take tensors."""

    __slots__ = ()

    def __array_ufunc__(self: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        if method != "__call__":
            return NotImplemented
        return dispatch_ufunc(ufunc, *inputs, **kwargs)


def table() -> list[dict[str, Any]]:
    """What the core knows about each op: name, doc, arguments, domain of test inputs, ONNX operator, C text."""
    found = []
    info = sized("rt_op_info")
    for i in range(lib.rt_op_count()):
        check(lib.rt_op_get(i, info))
        args = [
            {
                "name": text(a.name),
                "kind": text(a.kind),
                "default": text(a.default_value) if a.default_value else None,
                "holds": text(a.holds),
                "form": text(a.form),
                "written": bool(a.written),
                "number": bool(a.number),
            }
            for a in elements(info.args, info.args_len)
        ]
        strings = [text(info.refuses[k]) for k in range(info.refuses_len)]
        found.append(
            {
                "name": text(info.name),
                "doc": text(info.doc),
                "module": text(info.module),
                "onnx": text(info.onnx) or None,
                "c": text(info.c_text) or None,
                "domain": text(info.domain),
                "out": text(info.out),
                "class": text(info.op_class),
                "inplace": bool(info.inplace),
                "relayout": bool(info.relayout),
                "differentiable": bool(info.differentiable),
                "args": args,
                "refuses": list(zip(strings[::2], strings[1::2])),
                "samples": [text(info.samples[k]) for k in range(info.samples_len)],
            }
        )
    return found


def names() -> list[str]:
    """Names of all ops."""
    return [op["name"] for op in table()]


def __getattr__(name: str) -> Any:
    for place in (words, _ops):
        if hasattr(place, name):
            return getattr(place, name)
    raise AttributeError(f"module 'rustorch.ops' has no attribute {name!r}")
