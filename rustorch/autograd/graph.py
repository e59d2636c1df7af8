"""Looking at a recorded graph, and deciding how it keeps what backward needs."""

from __future__ import annotations

import contextlib
import threading
from typing import Any, Literal, NamedTuple

from .._door import check, ffi, handles, lib
from .._tensor import Tensor
from ..errors import AutogradError, InvalidArgumentError
from . import Node, RemovableHandle, node

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class _State(threading.local):
    """Of this thread: how many hooks are in force, and why there may be none."""

    depth = 0
    refused: str | None = None


_state = _State()


class saved_tensors_hooks:
    """Inside, what ops save for backward is kept as `pack_hook(tensor)`; backward reads `unpack_hook(packed)`.

    `pack_hook` is called once for each tensor that an op saves, and must not change it; an output is shown without its
    history. `unpack_hook` must give a tensor of the same shape, dtype and values, whenever backward asks. Of nested
    contexts the innermost counts. Errors of `pack_hook` are raised by the op (one that works in place and saves its
    result has written then), those of `unpack_hook` by backward.
    """

    def __init__(self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        if _state.refused is not None:
            raise AutogradError(_state.refused)
        check(lib.py_push_saved_hooks(id(self)))
        _state.depth += 1

    def __exit__(self, *args: object) -> None:
        check(lib.rt_saved_hooks_pop())
        _state.depth -= 1


class save_on_cpu(saved_tensors_hooks):
    """Inside, what ops save for backward is kept in the memory of the CPU, where all tensors are.

    `pin_memory` and `device_type` are accepted and change nothing.
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cuda") -> None:
        super().__init__(lambda t: t, lambda t: t)


@contextlib.contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Iterator[None]:
    """Inside, `saved_tensors_hooks` is refused with `error_message`; so is this, if hooks are in force already."""
    if _state.depth:
        raise AutogradError(error_message)
    before, _state.refused = _state.refused, error_message
    try:
        yield
    finally:
        _state.refused = before


@contextlib.contextmanager
def allow_mutation_on_saved_tensors() -> Iterator[None]:
    """Inside, tensors may be changed in place after ops have saved them: backward reads what they were.

    Each saved tensor is copied when it is saved, so this takes memory and time for every one, changed later or not.
    """
    with saved_tensors_hooks(lambda t: t.detach().clone(), lambda t: t):
        yield


class GradientEdge(NamedTuple):
    """Where a gradient goes: output `output_nr` of `node`."""

    node: Node
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """Where the gradient of a tensor goes: the node that made it, or for a leaf its AccumulateGrad."""
    output, out = ffi.new("size_t *"), ffi.new("struct rt_node *[1]")
    check(lib.rt_tensor_gradient_edge(tensor._h, output, out))
    if not out[0]:
        raise AutogradError("It is not possible to get the gradient edge for a Tensor that does not require gradients")
    return GradientEdge(node(out[0]), output[0])


def increment_version(tensor: Tensor | Sequence[Tensor]) -> None:
    """Tells autograd that the elements of one or several tensors were changed without an op of rustorch."""
    for t in [tensor] if isinstance(tensor, Tensor) else tensor:
        if t.is_inference():
            raise AutogradError("increment_version: inference tensors do not track a version")
        check(lib.rt_tensor_bump_version(t._h))


class _Handles:
    """Takes several hooks away at once."""

    def __init__(self, all_: list[RemovableHandle]) -> None:
        self._all = all_

    def remove(self) -> None:
        """Removes the hooks."""
        for h in self._all:
            h.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *args: object) -> None:
        self.remove()


def register_multi_grad_hook(
    tensors: Sequence[Tensor], fn: Callable[[Any], None], *, mode: Literal["all", "any"] = "all"
) -> Any:
    """Calls `fn` in each backward that brings gradients to some of `tensors`; what it returns is ignored.

    With `mode="all"` once all of them have come that will come in this backward, with the list of the gradients (None
    for a tensor that gets none); with `mode="any"` with the first one. Gives a handle with `remove()`.
    """
    if mode not in ("all", "any"):
        raise InvalidArgumentError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    tensors = list(tensors)
    lock = threading.Lock()
    if mode == "any":
        called: list[int] = []

        def first(grad: Tensor) -> None:
            walk = lib.rt_walk_id()
            with lock:
                if called == [walk]:
                    return
                called[:] = [walk]
            fn(grad)

        return _Handles([t.register_hook(first) for t in tensors])

    walks: dict[int, tuple[int, list[Any]]] = {}

    def inner(i: int, grad: Tensor) -> None:
        walk = lib.rt_walk_id()
        with lock:
            if walk not in walks:
                reached = ffi.new("bool[]", len(tensors))
                check(lib.rt_will_reach(handles(tensors), len(tensors), reached))
                # What an earlier walk of this thread has left behind, because it failed, is forgotten.
                walks.clear()
                walks[walk] = sum(reached), [None] * len(tensors)
            left, grads = walks[walk]
            grads[i] = grad
            walks[walk] = left - 1, grads
            if left > 1:
                return
            del walks[walk]
        fn(grads)

    import functools

    return _Handles([t.register_hook(functools.partial(inner, i)) for i, t in enumerate(tensors)])
