"""Registering hooks, and the identity functions that let a module see the gradients of its inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import rustorch as rt
from rustorch.autograd import Function
from rustorch.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from collections import OrderedDict

    Hooks = OrderedDict[int, Any]

__all__ = ["BackwardHooks", "add_hook"]


def add_hook(
    hooks: Hooks, hook: Any, *, prepend: bool = False, flags: tuple[tuple[bool, dict[int, Any]], ...] = ()
) -> RemovableHandle:
    """Put `hook` last in `hooks` (first with `prepend`) and note its id in each dict whose flag is set.

    The handle removes it from `hooks` only: an id is never used twice, so what stays in the others means nothing.
    """
    handle = RemovableHandle(hooks)
    while handle.id in hooks:  # hooks that came out of a pickle have the numbers of another process
        handle = RemovableHandle(hooks)
    hooks[handle.id] = hook
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    for on, ids in flags:
        if on:
            ids[handle.id] = True
    return handle


class _Tap(Function):
    """Identity whose backward passes the gradients through a callback."""

    @staticmethod
    def forward(ctx: Any, callback: Callable[[Any], Any], *tensors: Any) -> Any:
        ctx.callback = callback
        ctx.set_materialize_grads(False)
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        return (None, *ctx.callback(grads))


def _tap(values: tuple[Any, ...], callback: Callable[[tuple[Any, ...]], Any]) -> tuple[Any, ...]:
    """Send the differentiable tensors among `values` through a `_Tap`; its callback sees one grad per value."""
    at = [i for i, v in enumerate(values) if isinstance(v, rt.Tensor) and v.requires_grad]
    if not at or not rt.is_grad_enabled():
        return values

    def spread(grads: Any) -> tuple[Any, ...]:
        full: list[Any] = [None] * len(values)
        for i, g in zip(at, grads):
            full[i] = g
        full = callback(tuple(full))
        return tuple(full[i] for i in at)

    tapped = _Tap.apply(spread, *(values[i] for i in at))
    out = list(values)
    for i, t in zip(at, tapped if isinstance(tapped, tuple) else (tapped,)):
        out[i] = t
    return tuple(out)


class BackwardHooks:
    """One forward call's worth of full backward hooks of one module."""

    def __init__(self, module: Any, hooks: list[Any], pre_hooks: list[Any]) -> None:
        self.module = module
        self.hooks = hooks
        self.pre_hooks = pre_hooks
        self.grad_outputs: tuple[Any, ...] | None = None
        self.n_inputs = 0
        self.has_input_grad = False

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments for forward, their gradients watched."""
        self.n_inputs = len(args)
        tapped = _tap(args, self._on_input_grads) if self.hooks else args
        self.has_input_grad = tapped is not args
        return tapped

    def outputs(self, result: Any) -> Any:
        """The result of forward, its gradients watched."""
        if isinstance(result, tuple):
            return _tap(result, self._on_output_grads)
        return _tap((result,), self._on_output_grads)[0]

    def _on_output_grads(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook in self.pre_hooks:
            new = hook(self.module, grads)
            if new is not None:
                grads = _checked(new, len(grads), "full_backward_pre_hook")
        if self.has_input_grad:
            self.grad_outputs = grads
        else:
            for hook in self.hooks:
                new = hook(self.module, (None,) * self.n_inputs, grads)
                if new is not None and not (isinstance(new, tuple) and all(g is None for g in new)):
                    raise RuntimeError("full_backward_hook: no input requires grad, so the hook must return None")
        return grads

    def _on_input_grads(self, grads: tuple[Any, ...]) -> tuple[Any, ...]:
        if self.grad_outputs is not None:
            for hook in self.hooks:
                new = hook(self.module, grads, self.grad_outputs)
                if new is not None:
                    grads = _checked(new, len(grads), "full_backward_hook")
            self.grad_outputs = None
        return grads


def _checked(grads: Any, n: int, what: str) -> tuple[Any, ...]:
    grads = grads if isinstance(grads, tuple) else (grads,)
    if len(grads) != n:
        raise RuntimeError(f"{what}: the hook must return {n} gradients, it returned {len(grads)}")
    return tuple(grads)
