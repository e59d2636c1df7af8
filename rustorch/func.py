"""Functional transforms: calling a module with other parameters, and gradients of functions."""

from __future__ import annotations

import functools
from typing import Any

from . import _ops, _trees, autograd
from ._tensor import Tensor
from .autograd import functional, graph
from .errors import AutogradError, DTypeError
from .random import get_rng_state, set_rng_state

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "functional_call", "grad", "grad_and_value", "hessian", "jacfwd", "jacrev", "jvp", "stack_module_state",
    "vjp", "vmap",
]  # fmt: skip


def _owner(module: Any, name: str) -> tuple[Any, str]:
    """The submodule that holds the tensor, and its name there."""
    path, _, last = name.rpartition(".")
    return module.get_submodule(path), last


def functional_call(
    module: Any,
    parameter_and_buffer_dicts: Any,
    args: Any = None,
    kwargs: dict[str, Any] | None = None,
    *,
    tie_weights: bool = True,
    strict: bool = False,
) -> Any:
    """`module(*args, **kwargs)` with the given tensors, by name, in the place of its parameters and buffers.

    `strict` makes it an error to leave one out or to name one that is not there. The module is as before afterwards.
    """
    dicts = parameter_and_buffer_dicts
    given: dict[str, Any] = {}
    for part in dicts if isinstance(dicts, (tuple, list)) else (dicts,):
        given.update(part)
    own = dict(module.named_parameters(remove_duplicate=False))
    own.update(module.named_buffers(remove_duplicate=False))
    if strict and given.keys() != own.keys():
        missing, unexpected = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
        raise AutogradError(f"functional_call: missing {missing}, unexpected {unexpected}")
    if tie_weights:
        new = {id(own[k]): v for k, v in given.items() if k in own}
        given.update({k: new[id(t)] for k, t in own.items() if k not in given and id(t) in new})
    places = []
    try:
        for name, value in given.items():
            holder, last = _owner(module, name)
            table = next((d for d in (holder._parameters, holder._buffers) if last in d), None)
            if table is None:
                continue
            places.append((table, last, table[last]))
            table[last] = value
        return module(*(args if isinstance(args, tuple) else () if args is None else (args,)), **(kwargs or {}))
    finally:
        for table, last, value in reversed(places):
            table[last] = value


def grad_and_value(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """A function that gives the gradient of `func` by argument `argnums` (a number, or several), and its value.

    `func` returns a tensor without dimensions, with `has_aux` also something else. An argument is a tensor, or a dict,
    list or tuple of tensors; its gradient is built likewise.
    """

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        wanted = argnums if isinstance(argnums, (tuple, list)) else (argnums,)
        leaves: list[Tensor] = []
        values = list(args)
        with autograd.enable_grad():
            for i in wanted:
                values[i] = _mapped(args[i], lambda t: _collected(t, leaves))
            result = func(*values, **kwargs)
            value, aux = result if has_aux else (result, None)
            if not isinstance(value, Tensor) or value.ndim:
                got = f"shape {list(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
                raise AutogradError(f"grad: the function must return a tensor without dimensions, got {got}")
            computed = _gradients([value], leaves, None, create_graph=True)
        keep = _close(leaves, [value, *computed])
        found = iter(computed)
        grads = tuple(_mapped(values[i], lambda _: _result(next(found), keep)) for i in wanted)
        gradient = grads if isinstance(argnums, (tuple, list)) else grads[0]
        value = _result(value, keep)
        return (gradient, (value, _beside(aux, keep))) if has_aux else (gradient, value)

    return wrapper


def grad(func: Callable[..., Any], argnums: Any = 0, has_aux: bool = False) -> Callable[..., Any]:
    """Like `grad_and_value`, without the value."""

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        gradient, value = grad_and_value(func, argnums, has_aux)(*args, **kwargs)
        return (gradient, value[1]) if has_aux else gradient

    return wrapper


def _mapped(v: Any, f: Callable[[Tensor], Any]) -> Any:
    if isinstance(v, Tensor):
        return f(v)
    if isinstance(v, dict):
        return {k: _mapped(e, f) for k, e in v.items()}
    if isinstance(v, (list, tuple)):
        return type(v)([_mapped(e, f) for e in v])
    raise DTypeError(f"grad: wanted tensors, or dicts, lists and tuples of them, got {type(v).__name__}")


def _beside(aux: Any, keep: bool) -> Any:
    """What a function gives beside its value; only the tensors in it have a history to be cut."""
    if isinstance(aux, dict):
        return {k: _beside(v, keep) for k, v in aux.items()}
    if isinstance(aux, (list, tuple)):
        parts = [_beside(v, keep) for v in aux]
        return type(aux)(*parts) if hasattr(aux, "_fields") else type(aux)(parts)
    return _result(aux, keep) if isinstance(aux, Tensor) else aux


def _flat(v: Any) -> list[Tensor]:
    found: list[Tensor] = []
    _mapped(v, found.append)
    return found


def _collected(t: Tensor, leaves: list[Tensor]) -> Tensor:
    """The tensor to call the function with: connected to the caller's graph if there is one."""
    leaves.append(t.view_as(t) if t.requires_grad else t.detach().requires_grad_())
    return leaves[-1]


def _close(leaves: list[Tensor], results: list[Tensor]) -> bool:
    """Ends a transform: its own leaves ask for no gradients any more. True if something else still does, so that the
    results keep their graph: a tensor that the function has captured, or an argument of a transform around this one.
    """
    for t in leaves:
        if t.is_leaf:
            t.requires_grad_(False)
    return autograd.is_grad_enabled() and _asked_for(results, [])


def _asked_for(results: list[Tensor], own: list[Tensor]) -> bool:
    """True if a leaf that is none of `own` asks for gradients of `results`."""

    # The set also holds the nodes, so that each is one object.
    seen = {graph.get_gradient_edge(t).node for t in own if t.is_leaf and t.requires_grad}
    nodes = [graph.get_gradient_edge(t).node for t in results if t.requires_grad]
    while nodes:
        n = nodes.pop()
        if n in seen:
            continue
        seen.add(n)
        if n.name() == "AccumulateGrad" and n.variable.requires_grad:
            return True
        nodes += [following for following, _ in n.next_functions if following is not None]
    return False


def _gradients(
    outputs: list[Tensor], leaves: list[Tensor], seeds: list[Tensor] | None, **options: Any
) -> tuple[Tensor, ...]:
    """By `autograd.grad`; zeros where nothing depends on a leaf."""
    if seeds is not None and len(seeds) != len(outputs):
        raise AutogradError(f"vjp: got {len(outputs)} results and {len(seeds)} vectors")
    tracked = [i for i, t in enumerate(outputs) if t.requires_grad]
    if not tracked:
        return tuple([_ops.zeros_like(t) for t in leaves])
    weights = None if seeds is None else [seeds[i] for i in tracked]
    return autograd.grad([outputs[i] for i in tracked], leaves, weights, materialize_grads=True, **options)


def _result(t: Tensor, keep: bool) -> Tensor:
    return t if keep or not t.requires_grad else t.detach()


def vjp(func: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """`func(*primals)`, and the function that multiplies a vector with the Jacobian there: it gives a tuple."""
    leaves: list[Tensor] = []
    with autograd.enable_grad():
        result = func(*[_mapped(p, lambda t: _collected(t, leaves)) for p in primals])

    outputs = _flat(result)
    keep = autograd.is_grad_enabled() and _asked_for(outputs, leaves)

    def product(*cotangents: Any) -> tuple[Any, ...]:
        seeds = _flat(list(cotangents))
        # What others ask for goes through the product too.
        further = keep or (autograd.is_grad_enabled() and any(t.requires_grad for t in seeds))
        return _gradients(outputs, leaves, seeds, retain_graph=True, create_graph=further)

    return _mapped(result, lambda t: t if keep and t.requires_grad else t.detach()), product


def jacrev(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The Jacobian of `func` by one argument, as a function."""
    return _by_one(functional.jacobian, func, argnums)


def hessian(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The Hessian of `func` by one argument, as a function."""
    return _by_one(functional.hessian, func, argnums)


def _by_one(transform: Any, func: Callable[..., Any], argnums: int) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        def of_one(x: Tensor) -> Any:
            return func(*args[:argnums], x, *args[argnums + 1 :])

        leaves: list[Tensor] = []
        wanted = autograd.is_grad_enabled()
        with autograd.enable_grad():
            x = _collected(args[argnums], leaves)
            result = transform(of_one, x, create_graph=wanted)
        parts = _flat(result)
        keep = _close(leaves, parts)
        return _mapped(result, lambda t: _result(t, keep))

    return wrapper


def _depends(y: Tensor, leaves: list[Tensor]) -> bool:
    """Whether a gradient of `y` reaches one of the leaves."""
    if not y.requires_grad:
        return False
    got = autograd.grad([y], leaves, [_ops.ones_like(y)], retain_graph=True, allow_unused=True)
    return any(g is not None for g in got)


def jvp(func: Callable[..., Any], primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """`func(*primals)`, and the product of its Jacobian there with `tangents`, by differentiating twice.

    With `strict` an output that does not depend on them is an error.
    """
    if not isinstance(primals, tuple) or not isinstance(tangents, tuple) or len(primals) != len(tangents):
        raise AutogradError("jvp: wanted two tuples of one length, the arguments and their tangents")
    leaves: list[Tensor] = []
    with autograd.enable_grad():
        result = func(*[_mapped(p, lambda t: _collected(t, leaves)) for p in primals])
        result, aux = result if has_aux else (result, None)
        outputs, vectors = _flat(result), _flat(list(tangents))
        if strict and not all(_depends(y, leaves) for y in outputs):
            raise AutogradError("jvp: an output is independent of the inputs, which strict=True does not allow")
        seeds = [_ops.zeros_like(y).requires_grad_() for y in outputs]
        backward = list(_gradients(outputs, leaves, seeds, create_graph=True))
        computed = _gradients(backward, seeds, vectors, create_graph=True)
    keep = _close(leaves, outputs) or (autograd.is_grad_enabled() and any(t.requires_grad for t in vectors))
    found = iter(computed)
    products = _mapped(result, lambda _: _result(next(found), keep))
    result = _mapped(result, lambda t: _result(t, keep))
    return (result, products, _beside(aux, keep)) if has_aux else (result, products)


def jacfwd(func: Callable[..., Any], argnums: int = 0) -> Callable[..., Any]:
    """The Jacobian of `func` by one argument, as a function: that of `jacrev`."""
    return jacrev(func, argnums)


def stack_module_state(models: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The parameters and the buffers of modules of one kind, each stacked along a new first dimension."""
    models = list(models)
    if not models:
        raise AutogradError("stack_module_state: wanted at least one module")
    if any(type(m) is not type(models[0]) for m in models):
        raise AutogradError("stack_module_state: the modules must all be of one class")
    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]

    def stacked(k: str) -> Tensor:
        t = _ops.stack([p[k] for p in parameters]).detach()
        return t.requires_grad_(parameters[0][k].requires_grad)  # type: ignore[no-any-return]

    return {k: stacked(k) for k in parameters[0]}, {k: _ops.stack([b[k] for b in buffers]) for k in buffers[0]}


def vmap(
    func: Callable[..., Any],
    in_dims: Any = 0,
    out_dims: Any = 0,
    randomness: str = "error",
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """Calls `func` on each slice of its arguments along `in_dims` and stacks the results along `out_dims`.

    `in_dims` is a number for all, or a tuple with one for each argument (a number, None for what every call gets whole,
    or a tree like the argument's). The calls are made one after the other, so `func` may do whatever it likes; with
    `randomness="different"` each draws its own random numbers, with "same" all draw the same, with "error" drawing
    raises.
    """
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(f"vmap: chunk_size should be None or greater than 0. (got {chunk_size})")
    if randomness not in ("error", "different", "same"):
        raise AutogradError(f"vmap: randomness must be 'error', 'different' or 'same', got {randomness!r}")

    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = _trees.tree_flatten(args)
        dims = _dims(in_dims, args, "in_dims")
        for leaf, d in zip(leaves, dims):
            if d is not None and not isinstance(leaf, Tensor):
                raise ValueError(f"vmap: got in_dim={d} for an input of type {type(leaf).__name__}: it has to be None")
        sizes = {t.shape[_dim(d, t.ndim)] for t, d in zip(leaves, dims) if d is not None}
        if len(sizes) != 1:
            what = f"one size along the mapped dimensions, got {sorted(sizes)}" if sizes else "an argument to map over"
            raise AutogradError(f"vmap: wanted {what}")
        n = sizes.pop()
        if not n:
            raise AutogradError("vmap: the mapped dimension has size 0, so there is nothing to call the function with")
        slices = [t.unbind(_dim(d, t.ndim)) if d is not None else (t,) * n for t, d in zip(leaves, dims)]
        state = get_rng_state() if randomness != "different" else None
        results = []
        for parts in zip(*slices):
            if state is not None and randomness == "same":
                set_rng_state(state)
            results.append(_trees.tree_flatten(func(*spec.unflatten(parts), **kwargs)))
        if state is not None and randomness == "error" and not _ops.equal(state, get_rng_state()):
            raise AutogradError("vmap: the function drew random numbers; say randomness='different' or 'same'")
        shape = results[0][1]
        places = _dims(out_dims, shape.unflatten(results[0][0]), "out_dims")
        return shape.unflatten(
            [_stacked([leaves[i] for leaves, _ in results], place) for i, place in enumerate(places)]
        )

    return wrapper


def _dims(dims: Any, tree: Any, what: str) -> list[Any]:
    """Which dimension of each leaf is meant."""
    if dims is None or isinstance(dims, int):
        return [dims for _ in _trees.tree_leaves(tree)]
    if isinstance(dims, list) and isinstance(tree, tuple):
        dims = tuple(dims)
    parts = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, (tuple, list)) else [tree]
    given = [dims[k] for k in tree] if isinstance(tree, dict) else list(dims)
    if len(given) != len(parts):
        raise AutogradError(f"vmap: {what} has {len(given)} entries, wanted {len(parts)}")
    return [d for g, part in zip(given, parts) for d in _dims(g, part, what)]


def _dim(d: int, ndim: int) -> int:
    if not -ndim <= d < ndim:
        raise AutogradError(f"vmap: dimension {d} is out of range of a tensor with {ndim} dimensions")
    return d


def _stacked(values: list[Any], place: Any) -> Any:
    if place is None:
        if isinstance(values[0], Tensor) and not all(_same(values[0], v) for v in values[1:]):
            raise ValueError("vmap: an output that differs from call to call cannot have out_dims=None")
        return values[0]
    if not isinstance(values[0], Tensor):
        raise ValueError(
            f"vmap: the function must only return Tensors, got {type(values[0])}. Did you mean to set out_dims= to "
            "None for output?"
        )
    return _ops.stack(values, place)


def _same(a: Tensor, b: Tensor) -> bool:
    """Whether two results are one: the same values, or NaN in the same places."""
    if a is b:
        return True
    a, b = a.detach(), b.detach()
    return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
