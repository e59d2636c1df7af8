"""Activations that are computed again in the backward pass instead of being kept."""

from __future__ import annotations

import contextlib
from typing import Any

import rustorch as rt

from ..autograd.graph import saved_tensors_hooks
from ..errors import AutogradError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["checkpoint", "checkpoint_sequential", "get_device_states", "noop_context_fn", "set_checkpoint_early_stop"]


def noop_context_fn() -> tuple[Any, Any]:
    """Contexts without effect for the first and for the second run."""
    return contextlib.nullcontext(), contextlib.nullcontext()


class _Found(Exception):
    """All that is wanted has been computed again."""


class _Place:
    """Stands for a tensor that an op has saved."""

    __slots__ = ("__weakref__", "index")

    def __init__(self, index: int) -> None:
        self.index = index


class _Region:
    """One call of `checkpoint`: counts what is saved in it, and computes that again when it is wanted."""

    def __init__(
        self, run: Callable[[], Any], inputs: list[rt.Tensor], preserve: bool, context: Any, stops: bool
    ) -> None:
        self.run, self.context, self.stops = run, context, stops
        self.inputs = [(t, t._version) for t in inputs]
        self.complete = False
        self.state = rt.get_rng_state() if preserve else None
        on = rt.is_autocast_enabled("cpu")
        self.cast: Any = rt.autocast("cpu", dtype=rt.get_autocast_dtype("cpu")) if on else contextlib.nullcontext()
        self.count = 0
        self.shapes: list[tuple[Any, Any]] = []
        self.again: dict[int, Any] = {}

    def pack(self, t: rt.Tensor) -> _Place:
        place = _Place(self.count)
        self.count += 1
        self.shapes.append((t.shape, t.dtype))
        return place

    def unpack(self, place: _Place) -> rt.Tensor:
        if place.index not in self.again:
            self._compute()
        t = self.again.pop(place.index)
        if (t.shape, t.dtype) != self.shapes[place.index]:
            shape, dtype = self.shapes[place.index]
            raise AutogradError(
                f"checkpoint: Recomputed values have different metadata than during the forward pass: shape "
                f"{list(shape)} and {dtype}, now {list(t.shape)} and {t.dtype}"
            )
        return t  # type: ignore[no-any-return]

    def _compute(self) -> None:
        found = 0
        for t, version in self.inputs:
            if t._version != version:
                raise AutogradError(
                    f"checkpoint: one of the variables needed for gradient computation has been modified by an inplace "
                    f"operation: an argument of shape {list(t.shape)} is at version {t._version}; expected version "
                    f"{version} instead"
                )

        def keep(t: rt.Tensor) -> rt.Tensor:
            nonlocal found
            if found == self.count:
                if self.complete:
                    raise AutogradError(
                        "checkpoint: trying to save more tensors during recomputation than during the original forward "
                        f"pass: {self.count}, and then more"
                    )
                return t
            self.again[found] = t.detach()
            found += 1
            if found == self.count and self.stops:
                raise _Found
            return t

        before = rt.get_rng_state() if self.state is not None else None
        try:
            if self.state is not None:
                rt.set_rng_state(self.state)
            with rt.enable_grad(), saved_tensors_hooks(keep, lambda t: t), self.cast, self.context:
                self.run()
        except _Found:
            pass
        finally:
            if before is not None:
                rt.set_rng_state(before)
        if found < self.count:
            raise AutogradError(
                f"checkpoint: A different number of tensors was saved during the original forward and recomputation: "
                f"{self.count}, then {found}"
            )


_stops_early: bool | None = None


@contextlib.contextmanager
def set_checkpoint_early_stop(enable: bool) -> Iterator[None]:
    """Says whether computing again ends with the last tensor that is wanted or runs to the end, for all calls."""
    global _stops_early
    before, _stops_early = _stops_early, enable
    try:
        yield
    finally:
        _stops_early = before


def get_device_states(*args: Any) -> tuple[list[int], list[Any]]:
    """Devices other than the CPU, and the states of their generators: none."""
    return [], []


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    context_fn: Any = noop_context_fn,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """`function(*args, **kwargs)`, of which backward computes again what its ops saved.

    Random draws are repeated if `preserve_rng_state`. The work is done by hooks of saved tensors for every value of
    `use_reentrant`. `context_fn` gives the contexts of both runs. Without `early_stop` the second run
    goes to its end.
    """
    first, second = context_fn()
    if not rt.is_grad_enabled():
        with first:
            return function(*args, **kwargs)
    inputs = [t for t in (*args, *kwargs.values()) if isinstance(t, rt.Tensor)]
    stops = early_stop if _stops_early is None else _stops_early
    region = _Region(lambda: function(*args, **kwargs), inputs, preserve_rng_state, second, stops)
    with saved_tensors_hooks(region.pack, region.unpack), first:
        result = function(*args, **kwargs)
    region.complete = True
    return result


def checkpoint_sequential(
    functions: Any, segments: int, input: Any, use_reentrant: bool | None = None, **kwargs: Any
) -> Any:
    """Runs modules one after the other in `segments` parts of which all but the last are checkpointed."""
    modules = list(functions.children()) if isinstance(functions, rt.nn.Sequential) else list(functions)

    def run(start: int, end: int) -> Callable[[Any], Any]:
        def forward(x: Any) -> Any:
            for module in modules[start:end]:
                x = module(x)
            return x

        return forward

    size = len(modules) // segments
    for start in range(0, size * (segments - 1), size) if size else ():
        input = checkpoint(run(start, start + size), input, use_reentrant=use_reentrant, **kwargs)
    return run(size * (segments - 1), len(modules))(input)
