"""Jacobians, Hessians and their products with vectors, of functions of tensors.

`func` takes the tensors of `inputs` (one, or a tuple) and returns a tensor or a tuple of tensors. Results are tuples
where inputs or outputs are. With `create_graph` the results can be differentiated; `strict` makes it an error that an
output does not depend on an input, where the answer is otherwise zero.
"""

from __future__ import annotations

from typing import Any

from .._ops import stack, zeros_like
from .._tensor import Tensor
from ..errors import AutogradError, DTypeError, ShapeMismatchError
from . import enable_grad, grad

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["hessian", "hvp", "jacobian", "jvp", "vhp", "vjp"]


def _tuple(v: Any, what: str) -> tuple[Tensor, ...]:
    ts = v if isinstance(v, (tuple, list)) else (v,)
    for t in ts:
        if not isinstance(t, Tensor):
            raise DTypeError(f"{what} must be a Tensor or a tuple of Tensors, got {type(t).__name__}")
    return tuple(ts)


def _like(structure: Any, values: tuple[Any, ...]) -> Any:
    """A tuple if `structure` is one, else its only element."""
    return values if isinstance(structure, (tuple, list)) else values[0]


def _called(func: Callable[..., Any], inputs: Any, create_graph: bool) -> tuple[tuple[Tensor, ...], Any]:
    """Inputs that record, and what `func` makes of them."""
    xs = tuple(
        x.view_as(x) if create_graph and x.requires_grad else x.detach().requires_grad_()
        for x in _tuple(inputs, "inputs")
    )
    return xs, func(*xs)


def _vectors(v: Any, like: tuple[Tensor, ...], what: str) -> tuple[Tensor, ...]:
    if v is None:
        if len(like) != 1 or like[0].numel() != 1:
            raise AutogradError(f"{what}: the vector v can only be None for a single element")
        return (like[0].detach().clone().fill_(1),)
    vs = _tuple(v, "v")
    if [t.shape for t in vs] != [t.shape for t in like]:
        raise ShapeMismatchError(
            f"{what}: v must have the shapes {[tuple(t.shape) for t in like]}, got {[tuple(t.shape) for t in vs]}"
        )
    return vs


def _grads(
    outputs: tuple[Tensor, ...], inputs: tuple[Tensor, ...], seeds: Any, create_graph: bool, strict: bool = False
) -> tuple[Tensor, ...]:
    """Gradients, zeros where there is no way from an output to an input."""
    pairs = [(o, s) for o, s in zip(outputs, seeds or [None] * len(outputs)) if o.requires_grad]
    found: tuple[Any, ...] = (None,) * len(inputs)
    if pairs:
        roots, weights = zip(*pairs)
        found = grad(
            roots,
            inputs,
            None if seeds is None else weights,
            retain_graph=True,
            create_graph=create_graph,
            allow_unused=True,
        )
    if strict and any(g is None for g in found):
        raise AutogradError("the outputs do not depend on some of the inputs, which strict=True does not allow")
    return tuple(zeros_like(x) if g is None else g for x, g in zip(inputs, found))


def _done(value: Any, create_graph: bool) -> Any:
    if isinstance(value, tuple):
        return tuple(_done(v, create_graph) for v in value)
    return value if create_graph else value.detach()


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """`func(inputs)` and the product of `v` (shaped as the outputs) with the Jacobian."""
    with enable_grad():
        xs, result = _called(func, inputs, create_graph)
        ys = _tuple(result, "the outputs of func")
        products = _grads(ys, xs, _vectors(v, ys, "vjp"), create_graph, strict)
    return _done(_like(result, ys), create_graph), _done(_like(inputs, products), create_graph)


def jvp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """`func(inputs)` and the product of the Jacobian with `v` (shaped as the inputs), by differentiating twice."""
    with enable_grad():
        xs, result = _called(func, inputs, create_graph)
        ys = _tuple(result, "the outputs of func")
        seeds = tuple(zeros_like(y).requires_grad_() for y in ys)
        backward = _grads(ys, xs, seeds, True, strict)
        products = _grads(backward, seeds, _vectors(v, xs, "jvp"), create_graph)
    return _done(_like(result, ys), create_graph), _done(_like(result, products), create_graph)


def jacobian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """Derivatives of every output element by every input element: shape `output.shape + input.shape`.

    For tuples `result[i][j]` is that of output i by input j. `vectorize` and `strategy` change nothing.
    """
    with enable_grad():
        xs, result = _called(func, inputs, create_graph)
        ys = _tuple(result, "the outputs of func")
        blocks = []
        for y in ys:
            rows = [_grads((e,), xs, None, create_graph, strict) for e in y.reshape(-1)]
            blocks.append(
                tuple(
                    stack(column).reshape((*y.shape, *x.shape)) if column else x.new_zeros((*y.shape, *x.shape))
                    for x, column in zip(xs, zip(*rows) if rows else [()] * len(xs))
                )
            )
    return _done(_like(result, tuple(_like(inputs, block) for block in blocks)), create_graph)


def _gradient(func: Callable[..., Any], strict: bool = False) -> Callable[..., Any]:
    """The gradient of a function with one element as its result, as a function of the same inputs."""

    def gradient(*xs: Tensor) -> tuple[Tensor, ...]:
        y = func(*xs)
        if not isinstance(y, Tensor) or y.numel() != 1:
            raise AutogradError("the function must return a single Tensor with a single element")
        return _grads((y,), xs, None, True, strict)

    return gradient


def hessian(
    func: Callable[..., Any],
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    outer_jacobian_strategy: str = "reverse-mode",
) -> Any:
    """Second derivatives of a function with one element as its result: shape `input.shape + input.shape`.

    For a tuple of inputs `result[i][j]` belongs to inputs i and j.
    """
    blocks = jacobian(_gradient(func, strict), inputs, create_graph)
    return _like(inputs, blocks)


def vhp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, Any]:
    """`func(inputs)` (one element) and the product of `v` (shaped as the inputs) with the Hessian."""
    with enable_grad():
        xs, result = _called(func, inputs, create_graph)
        first = _gradient(lambda *_: result, strict)(*xs)
        products = _grads(first, xs, _vectors(v, xs, "vhp"), create_graph)
    return _done(result, create_graph), _done(_like(inputs, products), create_graph)


# The Hessian is symmetric.
hvp = vhp
