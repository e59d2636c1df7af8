"""Words that draw random numbers."""

from __future__ import annotations

from .. import _ops
from .._arguments import whole
from ..errors import DTypeError, InvalidArgumentError
from .common import _is_tensor
from .creation import _made_as

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._tensor import Tensor


def bernoulli_(input: Tensor, p: Any = 0.5, *, generator: Any = None) -> Tensor:
    """Ones with probability `p` (a number, or a tensor of them), else zeros."""
    if _is_tensor(p):
        return _ops.bernoulli_tensor_(input, p, generator=generator)
    return _ops.bernoulli_p_(input, p, generator=generator)


def bernoulli(input: Tensor, p: Any = None, *, generator: Any = None, out: Any = None) -> Tensor:
    """Ones with the probabilities in `input` (or with probability `p`), else zeros."""
    if p is None:
        return _ops.bernoulli(input, generator=generator, out=out)
    op = _ops.bernoulli_tensor if _is_tensor(p) else _ops.bernoulli_p
    return op(input, p, generator=generator, out=out)


def random_(input: Tensor, *limits: Any, generator: Any = None, **named: Any) -> Tensor:
    """Whole numbers: `random_()` of the dtype's whole range, `random_(to)` from [0, to), `random_(from, to)` from
    [from, to); `to` = None stands for the end of that range.
    """
    only_to = len(limits) + len(named) == 1 and not {"from", "from_"} & named.keys()
    limits += tuple(named.pop(k) for k in ("from", "from_", "to") if k in named)
    if only_to:
        limits = (0, *limits)
    if len(limits) not in (0, 2) or named:
        raise DTypeError(f"random_(): expected (), (to) or (from, to), got {limits} and {[*named]}")
    low, high = limits or (None, None)
    return _ops.random_(input, low, high, generator=generator)


def _range_method(name: str) -> Callable[..., Tensor]:
    def f(input: Tensor, *args: Any, generator: Any = None, **kwargs: Any) -> Any:
        if "from" in kwargs:
            kwargs["from_"] = kwargs.pop("from")
        return getattr(_ops, name)(input, *args, generator=generator, **kwargs)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"Fills the tensor from a {name.rstrip('_')} distribution."
    return f


def normal(
    mean: Any,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Tensor:
    """Normal numbers; mean and standard deviation are numbers (then `size` says how many) or tensors."""
    tensors = [v for v in (mean, std) if _is_tensor(v)]
    if tensors and size is not None:
        if not all(v.ndim == 0 and not v.requires_grad for v in tensors):
            raise DTypeError("normal(): size goes with a mean and std that are numbers, not with Tensors of their own")
        dtype = tensors[0].dtype if dtype is None else dtype
        mean, std, tensors = float(mean), float(std), []
    if tensors and (dtype is not None or device is not None or requires_grad):
        raise DTypeError("normal(): dtype, device and requires_grad go with a mean and std that are numbers")
    if not tensors:
        if size is None and out is None:
            raise InvalidArgumentError("normal(): size is wanted when mean and std are numbers")
        size = tuple(out.shape) if size is None else size
        options = {"dtype": _made_as(dtype, out), "device": device, "requires_grad": requires_grad}
        return _ops.normal_float(float(mean), float(std), size=size, generator=generator, **options, out=out)
    return _ops.normal_tensors(mean, std, generator=generator, out=out)


def randint(
    *args: Any,
    low: Any = None,
    high: Any = None,
    size: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    out: Any = None,
    layout: Any = None,
    pin_memory: bool = False,
) -> Tensor:
    """Whole numbers from [low, high): `randint(high, size)` or `randint(low, high, size)`."""
    a = list(args)
    if size is None and a:
        size = a.pop()
    for v in a:
        whole("randint", "high" if v is a[-1] else "low", v)
    if len(a) == 2:
        low, high = a
    elif len(a) == 1:
        if high is None:
            high = a[0]
        else:
            low = a[0]
    if high is None or size is None:
        raise DTypeError("randint(): wanted randint(high, size) or randint(low, high, size)")
    made = _made_as(dtype, out)
    low, high = 0 if low is None else whole("randint", "low", low), whole("randint", "high", high)
    return _ops.randint(
        low, high, size, generator=generator, dtype=made, device=device, requires_grad=requires_grad, out=out
    )


def randint_like(
    input: Tensor,
    *args: Any,
    low: Any = 0,
    high: Any = None,
    generator: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    **_: Any,
) -> Tensor:
    """Whole numbers from [low, high) in the shape of `input`."""
    if len(args) == 2:
        low, high = args
    elif args:
        high = args[0]
    return _ops.randint_like(
        input, low, high, generator=generator, dtype=dtype, device=device, requires_grad=requires_grad
    )
