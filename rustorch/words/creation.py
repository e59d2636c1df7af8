"""Words that make tensors, of data or of numbers."""

from __future__ import annotations

from functools import wraps

from .. import _device, _ops
from .._arguments import created, shape_
from .._tensor import Size, Tensor, make
from ..dtypes import get_default_dtype
from ..errors import DTypeError
from .common import _MISSING, _is_tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


def _new(name: str) -> Callable[..., Tensor]:
    def f(
        input: Tensor,
        *sizes: Any,
        size: Any = None,
        dtype: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        **_: Any,
    ) -> Any:
        s = shape_(sizes) if size is None else size
        return getattr(_ops, name)(
            s,
            dtype=input.dtype if dtype is None else dtype,
            device=input.device if device is None else device,
            requires_grad=requires_grad,
        )

    f.__name__ = f.__qualname__ = f"new_{name}"
    f.__doc__ = f"`{name}` of the given sizes with the dtype of `input`."
    return f


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **_: Any) -> Tensor:
    """A number as a tensor without dimensions, of the default dtype unless one is given."""
    return tensor(s, dtype=get_default_dtype() if dtype is None else dtype, device=device, requires_grad=requires_grad)


def new(input: Tensor, *args: Any, device: Any = None) -> Tensor:
    """PyTorch's old word for `new_empty(*sizes)` and `new_tensor(data)`."""
    if len(args) == 1 and isinstance(args[0], Size):
        args = tuple(args[0])
    if all(isinstance(a, int) for a in args):
        return _ops.empty(args or (0,), dtype=input.dtype, device=input.device if device is None else device)
    if len(args) != 1:
        raise DTypeError(f"new: wanted sizes or data, got {len(args)} arguments")
    return tensor(args[0], dtype=input.dtype, device=input.device if device is None else device)


def new_full(
    input: Tensor, size: Any, fill_value: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of the given sizes filled with a number, with the dtype of `input`."""
    return _ops.full(
        size,
        fill_value,
        dtype=input.dtype if dtype is None else dtype,
        device=input.device if device is None else device,
        requires_grad=requires_grad,
    )


def new_tensor(
    input: Tensor, data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False
) -> Tensor:
    """A tensor from data, with the dtype of `input`."""
    dtype, device = input.dtype if dtype is None else dtype, input.device if device is None else device
    return tensor(data, dtype=dtype, device=device, requires_grad=requires_grad)


def _made_as(dtype: Any, out: Any) -> Any:
    """The dtype to make: that of the tensor given as `out=`, if none is asked for."""
    return out.dtype if dtype is None and out is not None else dtype


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Tensor:
    """A new tensor with a copy of `data`: numbers, nested sequences, arrays. The dtype is inferred if not given."""
    t = make(data, dtype)
    if device is not None or requires_grad or _device._used:
        return created(t, device, requires_grad)
    return t


def arange(
    *args: Any,
    start: Any = _MISSING,
    end: Any = _MISSING,
    step: Any = _MISSING,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """`arange(end)`, `arange(start, end)` or `arange(start, end, step)`: start, start + step, ... below end."""
    if len(args) == 1:
        end = args[0] if end is _MISSING else end
        if end is not args[0]:
            start = args[0]
    elif len(args) >= 2:
        start, end = args[:2]
        if len(args) > 2:
            step = args[2]
    if len(args) > 3 or start is None or end is None or end is _MISSING or step is None:
        raise DTypeError("arange(): wanted (end), (start, end) or (start, end, step), all of them numbers")
    start, step = 0 if start is _MISSING else start, 1 if step is _MISSING else step
    return _ops.arange(
        start, end, step, dtype=_made_as(dtype, out), device=device, requires_grad=requires_grad, out=out
    )


def _spaced(name: str) -> Callable[..., Tensor]:
    op = getattr(_ops, name)

    @wraps(op)
    def f(*args: Any, **kwargs: Any) -> Any:
        # The ends may be tensors; through them no gradient flows.
        ends = {k: v.detach() if k in ("start", "end") and _is_tensor(v) else v for k, v in kwargs.items()}
        return op(*(v.detach() if _is_tensor(v) else v for v in args), **ends)

    return f


linspace = _spaced("linspace")
logspace = _spaced("logspace")


def range(start: Any = 0, end: Any = None, step: Any = 1, *, dtype: Any = None, **options: Any) -> Tensor:
    """`arange` with `end` among the numbers and a float dtype; deprecated in PyTorch too."""
    import warnings

    warnings.warn("range is deprecated: use arange, whose end is not among the numbers", UserWarning, stacklevel=2)
    if end is None:
        start, end = 0, start
    out = options.pop("out", None)
    return _ops.range(start, end, step, dtype=_made_as(dtype, out), **options, out=out)


def full(
    size: Any,
    fill_value: Any,
    *,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """A tensor of the given sizes filled with a number, whose type decides the dtype if none is given."""
    if _is_tensor(fill_value):
        dtype = fill_value.dtype if dtype is None else dtype
    return _ops.full(size, fill_value, dtype=_made_as(dtype, out), device=device, requires_grad=requires_grad, out=out)


def empty_strided(
    size: Any, stride: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, **_: Any
) -> Tensor:
    """An uninitialised tensor with the given strides."""
    return _ops.empty_strided(size, stride, dtype=dtype, device=device, requires_grad=requires_grad)
