"""Ops that compute in other dtypes than those of their inputs, while `autocast` is on."""

from __future__ import annotations

import functools
import warnings
from typing import Any

from .._door import check, lib
from ..dtypes import ALL, BY_NAME, dtype, from_python

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["autocast", "custom_bwd", "custom_fwd", "is_autocast_available"]

_LOWER = {"cpu": BY_NAME["bfloat16"], "cuda": BY_NAME["float16"]}
_KINDS = {"cpu", "cuda", "mps", "xpu", "hpu", "mtia", "maia", "xla", "meta", "privateuseone", "ipu"}


def _kind(device_type: Any) -> str:
    if not isinstance(device_type, str):
        raise ValueError(f"Expected `device_type` of type `str`, got: `{type(device_type)}`")
    if device_type not in _KINDS:
        raise RuntimeError(f"User specified an unsupported autocast device_type '{device_type}'")
    return device_type


class autocast:
    """A context manager and decorator within which ops that gain by it compute in a dtype of 16 bits.

    Args:
        device_type: "cpu"; "cuda" is accepted, with a warning, and changes nothing.
        dtype: `bfloat16` (the default on the CPU) or `float16`; another one switches it off, with a warning.
        enabled: False switches it off within.
        cache_enabled: Whether a parameter that is used several times is cast once; None: as before (True at first).

    Example:
        >>> x, w = rt.ones(2, 3), rt.ones(3, 4)
        >>> with rt.autocast("cpu"):
        ...     print((x @ w).dtype, (x + 1).dtype)
        rustorch.bfloat16 rustorch.float32
    """

    def __init__(
        self, device_type: str, dtype: Any = None, enabled: bool = True, cache_enabled: bool | None = None
    ) -> None:
        self.device = _kind(device_type)
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else from_python(dtype)
        self._cache_enabled = lib.rt_autocast_caches() if cache_enabled is None else cache_enabled
        self._before: list[tuple[int, bool]] = []
        if enabled and device_type == "cpu" and self.fast_dtype not in (BY_NAME["bfloat16"], BY_NAME["float16"]):
            warnings.warn(
                "In CPU autocast, but the target dtype is not supported. Disabling autocast.\nCPU Autocast only "
                f"supports dtype of bfloat16, float16 currently, got {self.fast_dtype}.",
                stacklevel=2,
            )
            enabled = False
        elif enabled and device_type != "cpu":
            warnings.warn(
                f"User provided device_type of '{device_type}', but {device_type.upper()} is not available. Disabling",
                stacklevel=2,
            )
            enabled = False
        self._enabled = enabled

    def __enter__(self) -> autocast:
        self._before.append((lib.rt_autocast(), lib.rt_autocast_caches()))
        if self.device == "cpu":
            check(lib.rt_set_autocast(self.fast_dtype._code if self._enabled else -1))
            lib.rt_set_autocast_caches(bool(self._cache_enabled))
        return self

    def __exit__(self, *args: object) -> None:
        lower, caches = self._before.pop()
        check(lib.rt_set_autocast(lower))
        lib.rt_set_autocast_caches(caches)

    def __call__(self, func: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(func)
        def cast(*args: Any, **kwargs: Any) -> Any:
            with self:
                return func(*args, **kwargs)

        return cast


def is_autocast_available(device_type: str) -> bool:
    """True for "cpu"."""
    return _kind(device_type) == "cpu"


def is_autocast_enabled(device_type: str = "cuda") -> bool:
    """True within `autocast("cpu")`, asked for "cpu"; there is no other device."""
    return _kind(device_type) == "cpu" and lib.rt_autocast() >= 0


def set_autocast_enabled(device_type: Any, enabled: bool | None = None) -> None:
    """Switches `autocast` on or off for a kind of device, until told otherwise."""
    if enabled is None:
        device_type, enabled = "cuda", device_type
    if _kind(device_type) == "cpu":
        check(lib.rt_set_autocast(_LOWER["cpu"]._code if enabled else -1))


def is_autocast_cpu_enabled() -> bool:
    """True within `autocast("cpu")`."""
    return is_autocast_enabled("cpu")


def set_autocast_cpu_enabled(enabled: bool) -> None:
    """As `set_autocast_enabled("cpu", enabled)`."""
    set_autocast_enabled("cpu", enabled)


def is_autocast_cache_enabled() -> bool:
    """True if a parameter that is used several times within `autocast` is cast once."""
    return bool(lib.rt_autocast_caches())


def set_autocast_cache_enabled(enabled: bool) -> None:
    """Says whether it is."""
    lib.rt_set_autocast_caches(enabled)


def clear_autocast_cache() -> None:
    """Lets go of the parameters that were cast."""
    now = lib.rt_autocast()
    check(lib.rt_set_autocast(-1))
    check(lib.rt_set_autocast(now))


def get_autocast_dtype(device_type: str) -> dtype:
    """The dtype that `autocast` has now for a kind of device, or would have."""
    now = lib.rt_autocast() if device_type == "cpu" else -1
    return ALL[now] if now >= 0 else _LOWER.get(_kind(device_type), BY_NAME["bfloat16"])


def set_autocast_dtype(device_type: str, dtype: Any) -> None:
    """Sets the dtype that `autocast` has by default for a kind of device."""
    _LOWER[_kind(device_type)] = from_python(dtype)
    if device_type == "cpu" and lib.rt_autocast() >= 0:
        check(lib.rt_set_autocast(from_python(dtype)._code))


def get_autocast_cpu_dtype() -> dtype:
    """As `get_autocast_dtype("cpu")`."""
    return get_autocast_dtype("cpu")


def set_autocast_cpu_dtype(dtype: Any) -> None:
    """As `set_autocast_dtype("cpu", dtype)`."""
    set_autocast_dtype("cpu", dtype)


def get_autocast_gpu_dtype() -> dtype:
    """As `get_autocast_dtype("cuda")`."""
    return get_autocast_dtype("cuda")


def _cast(value: Any, to: Any) -> Any:
    """`value` with the floating-point tensors in it as `to`, but for doubles."""
    if hasattr(value, "_h"):
        return value.to(to) if value.is_floating_point() and value.dtype is not BY_NAME["float64"] else value
    if isinstance(value, dict):
        return {_cast(k, to): _cast(v, to) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(v, to) for v in value)
    return value


def custom_fwd(fwd: Any = None, *, device_type: str, cast_inputs: Any = None) -> Any:
    """A decorator for `forward` of a `rustorch.autograd.Function`: `custom_bwd` has `backward` run as it did.

    With `cast_inputs`, a dtype, it runs with `autocast` off, its inputs cast to that, if `autocast` is on outside.
    """
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def forward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        on = is_autocast_enabled(device_type)
        ctx._dtype, ctx._fwd_used_autocast = get_autocast_dtype(device_type), on and cast_inputs is None
        if cast_inputs is None or not on:
            return fwd(ctx, *args, **kwargs)
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast(args, cast_inputs), **_cast(kwargs, cast_inputs))

    return forward


def custom_bwd(bwd: Any = None, *, device_type: str) -> Any:
    """A decorator for `backward` of a `rustorch.autograd.Function`: it runs with `autocast` as `forward` did."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def backward(ctx: Any, *args: Any, **kwargs: Any) -> Any:
        with autocast(device_type, enabled=ctx._fwd_used_autocast, dtype=ctx._dtype):
            return bwd(ctx, *args, **kwargs)

    return backward
