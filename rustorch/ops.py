"""The ops by name, and NumPy's universal functions on tensors (`np.exp(t)`, `array + t`), gradients included."""

from __future__ import annotations

from typing import Any

from . import _ops, words
from ._door import check, ffi, lib, operand, text
from ._tensor import Tensor, make

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


def dispatch_ufunc(ufunc: Any, *inputs: Any, **kwargs: Any) -> Any:
    """Runs the op that a NumPy universal function stands for; arrays among the inputs share their memory with tensors.

    Unknown functions and options give NotImplemented, upon which NumPy raises TypeError.
    """
    out = kwargs.pop("out", None)
    name = _UFUNCS.get(ufunc.__name__, ufunc.__name__)
    op = getattr(_ops, name, None) if name else None
    if kwargs or op is None or not callable(op):
        return NotImplemented
    args = [_operand(v) for v in inputs]
    # Plain numbers are fine in the second place only.
    if not isinstance(args[0], Tensor):
        args[0] = operand(args[0])
    result = op(*args)
    if out is None:
        return result
    target = out[0] if isinstance(out, tuple) else out
    if isinstance(target, Tensor):
        return target.copy_(result)
    target[...] = result.detach().numpy()
    return target


def _operand(v: Any) -> Any:
    if isinstance(v, (Tensor, bool, int, float)):
        return v
    if getattr(v, "ndim", None) == 0 and hasattr(v, "item"):
        return v.item()
    from .interchange import as_tensor

    return as_tensor(v) if hasattr(v, "__array_interface__") else make(v)


def table() -> list[dict[str, Any]]:
    """What the core knows about each op: name, doc, arguments, domain of test inputs, ONNX operator, C text."""
    found = []
    info = ffi.new("struct rt_op_info *")
    for i in range(lib.rt_op_count()):
        check(lib.rt_op_get(i, info))
        args = [
            {"name": text(a.name), "kind": text(a.kind), "default": text(a.default_value) if a.default_value else None}
            for a in (info.args[k] for k in range(info.args_len))
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
