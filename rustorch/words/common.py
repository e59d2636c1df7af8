"""What the words share: named results, arguments that are not given, NumPy's names."""

from __future__ import annotations

from functools import wraps

from .._arguments import check_into, into, named_result
from ..errors import DTypeError, InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._tensor import Tensor


return_max = named_result("max")
return_min = named_result("min")
return_median = named_result("median")
return_nanmedian = named_result("nanmedian")
return_mode = named_result("mode")
return_sort = named_result("sort")
return_topk = named_result("topk")
return_kthvalue = named_result("kthvalue")
return_cummax = named_result("cummax")
return_cummin = named_result("cummin")
return_svd = named_result("svd", "U S V")
return_histogram = named_result("histogram", "hist bin_edges")
return_histogramdd = named_result("histogramdd", "hist bin_edges")
return_frexp = named_result("frexp", "mantissa exponent")
return_aminmax = named_result("aminmax", "min max")


def _is_tensor(v: Any) -> bool:
    return hasattr(v, "_h") and hasattr(v, "requires_grad")


def _numpy_names(f: Callable[..., Any]) -> Callable[..., Any]:
    """Lets `axis` and `keepdims` stand for `dim` and `keepdim`, as in NumPy and as the generated ops do."""

    @wraps(f)
    def named(*args: Any, **kwargs: Any) -> Any:
        for theirs, ours in (("axis", "dim"), ("keepdims", "keepdim")):
            if theirs in kwargs:
                v = kwargs.pop(theirs)
                if v is not None:  # NumPy's word for all dimensions
                    kwargs[ours] = v
        return f(*args, **kwargs)

    return named


def _none_for_all(f: Callable[..., Any], name: str, place: int) -> Callable[..., Any]:
    """Lets None stand for no dimensions in the argument `name`, the one at `place`: all of them, that is."""

    @wraps(f)
    def op(*args: Any, **kwargs: Any) -> Any:
        if len(args) > place:
            if args[place] is None:
                args = (*args[:place], (), *args[place + 1 :])
        elif name in kwargs and kwargs[name] is None:
            kwargs[name] = ()
        return f(*args, **kwargs)

    return op


# In place of what was not given, where None is nothing to give, as in PyTorch.
class _NotGiven:
    __slots__ = ()

    def __repr__(self) -> str:
        return "None"


_MISSING: Any = _NotGiven()


def _pair(result: Any, make: Any, out: Any, input: Tensor) -> Any:
    if out is None:
        return make(*result)
    op = make.__name__
    if len(out) != len(result):
        raise InvalidArgumentError(f"{op}: wanted {len(result)} tensors as out, got {len(out)}")
    # Both or none: what is refused is refused before the first is written to.
    for o, r in zip(out, result):
        if o.dtype != r.dtype and not r.is_floating_point() and o is out[-1]:
            raise DTypeError(f"{op}: expected out for indices of dtype {r.dtype}, got {o.dtype}")
        check_into(o, r, op, input)
    return make(*(into(o, r, op, input) for o, r in zip(out, result)))
