"""What the words share: named results, arguments that are not given, NumPy's names."""

from __future__ import annotations

from functools import wraps

from .._arguments import named_result

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


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
