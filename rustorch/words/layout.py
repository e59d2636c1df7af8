"""Words that make a tensor look at its memory in another way, or at other memory."""

from __future__ import annotations

from typing import Any

from .. import _ops
from .._door import lib, shape_
from ..errors import AutogradError, DTypeError, InvalidArgumentError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from .._tensor import Tensor


def _layout_change(name: str) -> Callable[..., Tensor]:
    view = getattr(_ops, name)

    def f(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        recording = lib.rt_grad_enabled()
        if input.requires_grad and (recording or not input.is_leaf):
            if input.is_leaf:
                raise AutogradError(
                    f"{name}_: a leaf tensor that requires grad cannot be changed in place (outside of no_grad)"
                )
            # Recorded even under no_grad: the history has to know the shape.
            with _enable_grad():
                seen = view(input, *args, **kwargs)
        elif input._is_view() and not input.requires_grad:
            seen = view(input, *args, **kwargs)
        else:
            input._replace(view(input.detach(), *args, **kwargs))
            return input
        # From here on this is the new view; what was made from the old one still points there.
        input._h, seen._h = seen._h, input._h
        return input

    f.__name__ = f.__qualname__ = f"{name}_"
    f.__doc__ = f"In-place form of {name}: this tensor looks at the same elements in the new way."
    return f


unsqueeze_ = _layout_change("unsqueeze")
squeeze_ = _layout_change("squeeze")
t_ = _layout_change("t")
transpose_ = _layout_change("transpose")
as_strided_ = _layout_change("as_strided")


def _no_history(op: str, input: Tensor) -> None:
    if input.requires_grad:
        raise AutogradError(f"{op}: a tensor that requires grad cannot get other elements")


def resize_(input: Tensor, *sizes: Any, memory_format: Any = None) -> Tensor:
    """Gives the tensor another shape, row-major from its first element on in the order of memory; its own shape changes
    nothing. If that does not fit into its memory it gets new memory, which begins with what the old one held; further
    elements are not initialised. Of memory formats there is only the contiguous one.
    """
    _no_history("resize_", input)
    if memory_format not in (None, "rustorch.contiguous_format"):
        raise UnsupportedError(f"resize_: the elements can only be laid out contiguously, not as {memory_format!r}")
    s = shape_(sizes)
    if any(d < 0 for d in s):
        raise InvalidArgumentError(f"resize_: sizes must not be negative, got {list(s)}")
    if tuple(s) != tuple(input.shape):
        _resized(input, s)
    return input


def _resized(input: Tensor, s: Any, steps: Any = None, offset: Any = None) -> None:
    """Other sizes, steps (row-major if None) and offset (its own if None) in `input`'s memory, or in more of it."""
    if steps is None:
        steps, n = [], 1
        for d in reversed(s):
            steps.insert(0, n)
            n *= d
    offset = input.storage_offset() if offset is None else offset
    need = offset + 1 + sum((d - 1) * t for d, t in zip(s, steps)) if all_positive(s) else 0
    have, memory = input._room(), input.detach()
    if need > have:
        memory = _ops.empty(need, dtype=input.dtype, device=input.device)
        memory[:have].copy_(_ops.as_strided(input.detach(), (have,), (1,), 0))
    input._replace(_ops.as_strided(memory, s, steps, offset).detach())


def set_(input: Tensor, source: Any = None, storage_offset: int = 0, size: Any = None, stride: Any = None) -> Tensor:
    """Makes `input` look into the memory of `source`: as that does, or, if `size` is given, with these sizes, strides
    (row-major if None) and offset, for which the memory grows if need be. Without `source` it becomes empty.
    """
    _no_history("set_", input)
    if source is None:
        source = _ops.empty(0, dtype=input.dtype, device=input.device)
    if source.device != input.device:
        raise InvalidArgumentError(f"set_: could not set a tensor on {input.device} to one on {source.device}")
    if source.dtype is not input.dtype:
        raise DTypeError(f"set_: could not set tensor of type {source.dtype} to a tensor of type {input.dtype}")
    if size is None:
        input._replace(source.detach())
        return input
    numbers = [storage_offset, *size, *(stride or ())]
    if any(v < 0 for v in numbers) or (stride is not None and len(stride) != len(size)):
        raise InvalidArgumentError(
            f"set_: wanted sizes and strides of one length, not negative as the offset, got {size}, {stride} and "
            f"{storage_offset}"
        )
    view = source.detach()
    _resized(view, size, stride, storage_offset)
    input._replace(view)
    return input


def resize_as_(input: Tensor, other: Tensor, memory_format: Any = None) -> Tensor:
    """`resize_` to the shape of `other`."""
    kept = None if memory_format == "rustorch.preserve_format" else memory_format
    return resize_(input, other.shape, memory_format=kept)


def _enable_grad() -> Any:
    from ..autograd import enable_grad

    return enable_grad()


def all_positive(v: Any) -> bool:
    """True if no number is zero."""
    return all(i > 0 for i in v)
