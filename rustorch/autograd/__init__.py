"""Automatic differentiation: grad modes, `grad`, hooks, custom functions, gradcheck."""

from __future__ import annotations

import functools
import threading

from .. import _ops
from .._device import like_on
from .._door import NULL, NodeOwner, check, error, ffi, handles, lib, new, pending, text, wrap
from .._tensor import Tensor, attach
from ..errors import AutogradError, DTypeError, RustorchError, UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from . import function, functional, graph

__all__ = [
    "Function",
    "Variable",
    "backward",
    "enable_grad",
    "function",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


# ---- modes ----


class _Mode:
    """A context manager and decorator that sets one flag of the thread."""

    __slots__ = ("_before", "_on")

    _set: Any = None

    def __init__(self, on: bool) -> None:
        self._on = on
        self._before: list[bool] = []

    def __enter__(self) -> None:
        self._before.append(type(self)._set(self._on))

    def __exit__(self, *args: object) -> None:
        type(self)._set(self._before.pop())

    def clone(self) -> _Mode:
        """Another context of the same kind."""
        m: _Mode = new(type(self))
        m._on, m._before = self._on, []
        return m

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]:
        if isinstance(f, type):
            f.__init__ = self(f.__init__)  # type: ignore[misc]
            return f
        import types

        code = getattr(f, "__code__", None)
        if code is not None and code.co_flags & 0x20:  # a generator function: the mode holds while it runs

            @functools.wraps(f)
            def generator(*args: Any, **kwargs: Any) -> Any:
                g: types.GeneratorType[Any, Any, Any] = f(*args, **kwargs)
                step, value = g.send, None
                while True:
                    with self.clone():
                        try:
                            v = step(value)
                        except StopIteration as e:
                            return e.value
                    try:
                        step, value = g.send, (yield v)
                    except GeneratorExit:
                        with self.clone():
                            g.close()
                        raise
                    except BaseException as e:
                        step, value = g.throw, e

            return generator

        @functools.wraps(f)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            with self.clone():
                return f(*args, **kwargs)

        return wrapper


class no_grad(_Mode):
    """Ops inside are not recorded. A context manager and a decorator."""

    __slots__ = ()
    _set = staticmethod(lib.rt_set_grad_enabled)

    def __init__(self) -> None:
        super().__init__(False)

    def __new__(cls, f: Any = None) -> Any:
        return new(cls) if f is None else cls()(f)


class enable_grad(_Mode):
    """Ops inside are recorded again. A context manager and a decorator."""

    __slots__ = ()
    _set = staticmethod(lib.rt_set_grad_enabled)

    def __init__(self) -> None:
        super().__init__(True)

    def __new__(cls, f: Any = None) -> Any:
        return new(cls) if f is None else cls()(f)


class set_grad_enabled(_Mode):
    """Switches recording at once; as a context manager it switches back at the end."""

    __slots__ = ()
    _set = staticmethod(lib.rt_set_grad_enabled)

    def __init__(self, mode: bool) -> None:
        super().__init__(mode)
        self._before = [lib.rt_set_grad_enabled(mode)]

    def __enter__(self) -> None:
        lib.rt_set_grad_enabled(self._on)
        if not self._before:
            self._before.append(not self._on)

    def __call__(self, f: Callable[..., Any]) -> Callable[..., Any]:
        lib.rt_set_grad_enabled(self._before[0])
        return (enable_grad if self._on else no_grad)()(f)


class inference_mode(_Mode):
    """Like `no_grad`, for code that will never need gradients.

    The tensors that ops make inside are inference tensors. Outside, autograd refuses to save one, and it can neither be
    changed in place nor ask for a gradient; `clone` gives a normal tensor. With `mode=False` ops are recorded again.
    """

    __slots__ = ()
    _set = staticmethod(lib.rt_set_inference_enabled)

    def __init__(self, mode: bool = True) -> None:
        super().__init__(mode)

    def __new__(cls, mode: Any = True) -> Any:
        return new(cls) if isinstance(mode, bool) else cls()(mode)

    def __enter__(self) -> None:
        self._before.append(lib.rt_set_inference_enabled(self._on))
        self._before.append(lib.rt_set_grad_enabled(not self._on))

    def __exit__(self, *args: object) -> None:
        lib.rt_set_grad_enabled(self._before.pop())
        lib.rt_set_inference_enabled(self._before.pop())


def is_grad_enabled() -> bool:
    """True if ops are recorded on this thread."""
    return lib.rt_grad_enabled()  # type: ignore[no-any-return]


def is_inference_mode_enabled() -> bool:
    """True inside `inference_mode`."""
    return lib.rt_inference_enabled()  # type: ignore[no-any-return]


class set_detect_anomaly:
    """From now on, or as a context: backward fails at the first op whose gradient has NaN in it, naming the op.

    Every gradient is searched, so this is slow. Without `check_nan` nothing is searched: errors always name their op.
    """

    def __init__(self, mode: bool = True, check_nan: bool = True) -> None:
        self._before = lib.rt_set_detect_anomaly(mode and check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *args: object) -> None:
        lib.rt_set_detect_anomaly(self._before)


class detect_anomaly:
    """A context in which backward fails at the first op whose gradient has NaN in it; see `set_detect_anomaly`."""

    def __init__(self, check_nan: bool = True) -> None:
        self._check = check_nan

    def __enter__(self) -> None:
        self._mode = set_detect_anomaly(True, self._check)

    def __exit__(self, *args: object) -> None:
        self._mode.__exit__()


# ---- backward and grad ----


def _list(v: Any) -> list[Any]:
    return [v] if isinstance(v, Tensor) else list(v)


def _run(status: int) -> None:
    if status:
        raise error()


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Adds the gradients of several tensors to the leaves they were made from."""
    roots = _list(tensors)
    seeds = None if grad_tensors is None else _list(grad_tensors)
    if seeds is not None and len(seeds) != len(roots):
        raise AutogradError(f"backward: got {len(roots)} tensors and {len(seeds)} gradients")
    grads = None if seeds is None else handles(seeds)
    targets = None if inputs is None else _list(inputs)
    ins = None if targets is None else handles(targets)
    _run(
        lib.rt_backward(
            handles(roots),
            NULL if grads is None else grads,
            len(roots),
            NULL if ins is None else ins,
            0 if ins is None else len(ins),
            create_graph if retain_graph is None else retain_graph,
            create_graph,
        )
    )


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Any, ...]:
    """Gradients of `outputs` (summed) with respect to `inputs`, one per input, without touching `.grad`.

    An input that the outputs do not depend on is an error, unless `allow_unused` (then None) or `materialize_grads`
    (then zeros).
    """
    if is_grads_batched is not False:
        raise UnsupportedError(
            "grad: is_grads_batched is not supported; call grad once for each gradient, with retain_graph=True"
        )
    roots, ins = _list(outputs), _list(inputs)
    if not ins:
        raise AutogradError("grad requires non-empty inputs.")
    grads = None if grad_outputs is None else handles(_list(grad_outputs))
    if grads is not None and len(grads) != len(roots):
        raise AutogradError(f"got {len(roots)} tensors and {len(grads)} gradients")
    out = ffi.new("struct rt_tensor *[]", len(ins))
    _run(
        lib.rt_grad(
            handles(roots),
            NULL if grads is None else grads,
            len(roots),
            handles(ins),
            len(ins),
            create_graph if retain_graph is None else retain_graph,
            create_graph,
            out,
        )
    )
    found = [wrap(h) if h else None for h in out]
    if materialize_grads:
        found = [_ops.zeros_like(t) if g is None else g for t, g in zip(ins, found)]
    elif not allow_unused and any(g is None for g in found):
        raise AutogradError(
            "One of the differentiated Tensors appears to not have been used in the graph. "
            "Set allow_unused=True if this is the desired behavior."
        )
    return tuple(found)


# Handles of one node give one object as long as that lives, so that what a program notes at it is found again. The
# references have no callback: an interrupt that struck one would be lost. Dead ones are swept out when there are many.
_nodes: dict[int, Any] = {}
_many = 64


def node(handle: Any) -> Any:
    """The object of a node, which owns `handle`; None for NULL."""
    global _nodes, _many
    if not handle:
        return None
    number = lib.rt_node_id(handle)
    known = _nodes.get(number)
    known = None if known is None else known()
    if known is not None:
        lib.rt_node_free(handle)
        return known
    import weakref

    n = new(_node_class(text(lib.rt_node_name(handle))))
    n._h, n._metadata = handle, None
    if len(_nodes) >= _many:
        _nodes = {k: r for k, r in list(_nodes.items()) if r() is not None}
        _many = 2 * len(_nodes) + 64
    _nodes[number] = weakref.ref(n)
    return n


class Node(NodeOwner):
    """A recorded op, or the place where a leaf collects its gradient ("AccumulateGrad").

    Its class has the same name: programs that draw graphs print `type(node).__name__`.
    """

    __slots__ = ("__weakref__", "_metadata")

    _metadata: dict[Any, Any] | None

    def name(self) -> str:
        """Such as "AddBackward0"."""
        return text(lib.rt_node_name(self._h))

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """One pair per input of the op: the node its gradient goes to (or None), and which output of that it is."""
        found: list[tuple[Any, int]] = []
        output, out = ffi.new("size_t *"), ffi.new("struct rt_node *[1]")
        for i in range(lib.rt_node_next_count(self._h)):
            check(lib.rt_node_next_edge(self._h, i, output, out))
            found.append((node(out[0]), output[0]))
        return tuple(found)

    @property
    def metadata(self) -> dict[Any, Any]:
        """A place for notes about this object."""
        if self._metadata is None:
            self._metadata = {}
        return self._metadata

    @property
    def variable(self) -> Tensor:
        """The leaf of an AccumulateGrad."""
        out = ffi.new("struct rt_tensor *[1]")
        check(lib.rt_node_leaf(self._h, out))
        if not out[0]:
            raise AttributeError(f"'{self.name()}' object has no attribute 'variable'")
        return wrap(out[0])

    def _register(self, hook: Any, before: bool) -> RemovableHandle:
        number = ffi.new("uint64_t *")
        kept = _Hook(hook)
        check(lib.py_register_node(self._h, id(kept), before, number))
        return RemovableHandle(self, number[0], kept, lib.rt_node_remove_hook)

    def register_hook(self, fn: Callable[[tuple[Any, ...], tuple[Any, ...]], Any]) -> RemovableHandle:
        """Calls `fn(grad_inputs, grad_outputs)` whenever the node has run in backward.

        `grad_outputs` came to the outputs of the op, `grad_inputs` go to its inputs (None where none does). A tuple
        that `fn` returns takes the place of `grad_inputs`. For an AccumulateGrad it is called when the gradient is
        added, with no inputs.
        """
        return self._register(fn, False)

    def register_prehook(self, fn: Callable[[tuple[Any, ...]], Any]) -> RemovableHandle:
        """Calls `fn(grad_outputs)` before the node runs; a tuple that it returns takes their place."""
        return self._register(fn, True)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {hex(id(self))}>"


@functools.cache
def _node_class(name: str) -> type[Node]:
    return type(name, (Node,), {"__slots__": (), "__module__": Node.__module__})


# ---- callbacks ----


def _object(ctx: Any) -> Any:
    import ctypes

    return ctypes.cast(int(ffi.cast("uintptr_t", ctx)), ctypes.py_object).value


def _failed(exc_type: Any, exc: BaseException, tb: Any) -> int:
    """An exception in a callback waits until the C call that ran it has returned, and is raised there."""
    pending[threading.get_ident()] = exc.with_traceback(tb)
    return 11


def _share(h: Any) -> Any:
    return lib.py_retain(h)


def _hand(t: Tensor | None, to: Any) -> None:
    if t is not None:
        lib.py_hand(t._h, to)


class _Hook:
    """A registered callable. Once removed it calls nothing, wherever a graph still holds it."""

    __slots__ = ("__weakref__", "f")

    def __init__(self, f: Any) -> None:
        self.f = f


class RemovableHandle:
    """Takes a hook away again."""

    __slots__ = ("_hook", "_id", "_owner", "_remove")

    def __init__(self, owner: Any, number: int, hook: _Hook, remove: Any) -> None:
        import weakref

        self._owner, self._hook = weakref.ref(owner), weakref.ref(hook)
        self._id, self._remove = number, remove

    @property
    def id(self) -> int:
        """The number of the hook."""
        return self._id

    def remove(self) -> None:
        """Removes the hook."""
        owner, hook = self._owner(), self._hook()
        if hook is not None:
            hook.f = None
        if owner is not None:
            check(self._remove(owner._h, self._id))

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *args: object) -> None:
        self.remove()


@ffi.def_extern(error=11, onerror=_failed)  # type: ignore[untyped-decorator]
def py_on_hook(ctx: Any, grad: Any, replacement: Any) -> int:
    f = _object(ctx).f
    result = None if f is None else f(_share(grad))
    if result is not None:
        if not isinstance(result, Tensor):
            raise DTypeError(f"a hook must return a Tensor or None, got {type(result).__name__}")
        _hand(result, replacement)
    return 0


def register_hook(t: Tensor, hook: Any, after: bool = False) -> RemovableHandle:
    """See `Tensor.register_hook`; with `after`, `Tensor.register_post_accumulate_grad_hook`."""
    number = ffi.new("uint64_t *")
    kept = _Hook(hook)
    check(lib.py_register(t._h, id(kept), after, number))
    return RemovableHandle(t, number[0], kept, lib.rt_tensor_remove_hook)


def register_post_accumulate_grad_hook(t: Tensor, hook: Any) -> RemovableHandle:
    """See `Tensor.register_post_accumulate_grad_hook`."""
    import weakref

    ref, cls, attributes = weakref.ref(t), type(t), t.__dict__

    def call(same: Tensor) -> None:
        own = ref()
        if own is None:  # the graph has kept the leaf: an object like the one that is gone
            own = same.as_subclass(cls)
            own.__dict__ = attributes
        hook(own)

    return register_hook(t, call, after=True)


def _tensors(handles: Any, n: int) -> tuple[Any, ...]:
    return tuple(_share(handles[i]) for i in range(n))


@ffi.def_extern(error=11, onerror=_failed)  # type: ignore[untyped-decorator]
def py_on_node(ctx: Any, ins: Any, n_ins: int, outs: Any, n_outs: int, replaced: Any, replacements: Any) -> int:
    f = _object(ctx).f
    if f is None:
        return 0
    before = ins == NULL
    expected = n_outs if before else n_ins
    result = f(_tensors(outs, n_outs)) if before else f(_tensors(ins, n_ins), _tensors(outs, n_outs))
    if result is None:
        return 0
    name = getattr(f, "__name__", type(f).__name__)
    if not isinstance(result, tuple):
        raise DTypeError(f"expected tuple, but hook returned '{type(result).__name__}'")
    result = (*result,)  # of a subclass, what it holds and not what it says
    if len(result) != expected:
        raise AutogradError(
            f"hook '{name}' has returned an incorrect number of values (got {len(result)}, but expected {expected})"
        )
    for r in result:
        if r is not None and not isinstance(r, Tensor):
            raise DTypeError(f"expected Variable, but hook returned '{type(r).__name__}'")
    for i, r in enumerate(result):
        _hand(r, replacements + i)
    replaced[0] = True
    return 0


class _Packed:
    """What a pack hook has made of a tensor."""

    __slots__ = ("unpack", "value")

    def __init__(self, unpack: Any, value: Any) -> None:
        self.unpack, self.value = unpack, value


@ffi.def_extern(error=11, onerror=_failed)  # type: ignore[untyped-decorator]
def py_on_pack(ctx: Any, tensor: Any, packed: Any) -> int:
    hooks = _object(ctx)
    kept = _Packed(hooks.unpack_hook, hooks.pack_hook(_share(tensor)))
    packed[0] = ffi.cast("void *", lib.py_keep(id(kept)))
    return 0


@ffi.def_extern(error=11, onerror=_failed)  # type: ignore[untyped-decorator]
def py_on_unpack(packed: Any, out: Any) -> int:
    kept = _object(packed)
    t = kept.unpack(kept.value)
    if not isinstance(t, Tensor):
        raise DTypeError(
            f"Output of saved tensor unpack_hook expected to be a Tensor but got result of type {type(t).__name__}"
        )
    _hand(t, out)
    return 0


# ---- custom functions ----


class FunctionCtx:
    """What a custom function's `forward` leaves for its `backward`. Other attributes may be set freely."""

    def __init__(self) -> None:
        self._save: tuple[Any, ...] = ()
        self._saved: Any = None
        self._dirty: tuple[Any, ...] = ()
        self._non_differentiable: tuple[Any, ...] = ()
        self._materialize = True
        self.needs_input_grad: tuple[bool, ...] = ()

    def save_for_backward(self, *tensors: Any) -> None:
        """Keeps tensors (or None) for backward, which refuses them if they were changed in place meanwhile."""
        self._save = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` got."""
        return self._save if self._saved is None else self._saved

    def mark_dirty(self, *args: Tensor) -> None:
        """Says which inputs `forward` changed in place."""
        self._dirty = args

    def mark_non_differentiable(self, *args: Tensor) -> None:
        """Says which outputs carry no gradient."""
        self._non_differentiable = args

    def set_materialize_grads(self, value: bool) -> None:
        """False: `backward` gets None instead of zeros where no gradient came."""
        self._materialize = value


class _Frame:
    """The state that one recorded call keeps.

    `outputs` has an entry for everything that `forward` returned: None for what is no tensor, else shape, dtype and
    whether a gradient can come back to it. `saved` has one for each saved tensor: None for an output, else a weak
    reference to the object and the core tensor that this stood for. The core keeps the tensors themselves, and frees
    them when backward has been.
    """

    def __init__(
        self,
        cls: Any,
        ctx: FunctionCtx,
        outputs: list[tuple[Any, Any, bool] | None],
        saved: list[tuple[Any, int] | None],
    ) -> None:
        self.cls, self.ctx, self.outputs, self.saved = cls, ctx, outputs, saved


def _address(h: Any) -> int:
    return int(ffi.cast("uintptr_t", h))


def _unpacked(h: Any, known: tuple[Any, int] | None) -> Any:
    """A saved tensor: the very object that was saved, if it still is what it was."""
    if known is not None:  # (a hook of saved tensors decides what comes back, if there was one)
        t = known[0]()
        if t is not None and _address(t._h) == known[1]:
            return t
    return _share(h)


@ffi.def_extern(error=11, onerror=_failed)  # type: ignore[untyped-decorator]
def py_on_backward(ctx: Any, grads: Any, n_grads: int, saved: Any, n_saved: int, out: Any, n_out: int) -> int:
    frame = _object(ctx)
    c, cls = frame.ctx, frame.cls
    came = iter([_share(grads[i]) for i in range(n_grads)])
    gs: list[Any] = [next(came) if o is not None and o[2] else None for o in frame.outputs]
    if c._materialize:
        gs = [_ops.zeros(o[0], dtype=o[1]) if g is None and o is not None else g for g, o in zip(gs, frame.outputs)]
    c._saved = tuple(map(_unpacked, ffi.unpack(saved, n_saved) if n_saved else (), frame.saved))
    try:
        result = cls.backward(c, *gs)
    finally:
        c._saved = ()
    results = (*result,) if isinstance(result, (tuple, list)) else (result,)
    if len(results) < n_out or any(r is not None for r in results[n_out:]):
        raise RustorchError(
            f"function {cls.__name__}Backward returned an incorrect number of gradients "
            f"(expected {n_out}, got {len(results)})"
        )
    for i, r in enumerate(results[:n_out]):
        if r is not None and not isinstance(r, Tensor):
            raise DTypeError(
                f"{cls.__name__}.backward: expected a Tensor or None for input {i}, got {type(r).__name__}"
            )
        _hand(r, out + i)
    return 0


class Function:
    """A custom differentiable function: subclass it with static `forward(ctx, ...)` and `backward(ctx, *grad_outputs)`.

    Or `forward(...)` without ctx beside `setup_context(ctx, inputs, output)`. Call it with `apply`.
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Computes the outputs; its ops are not recorded."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Saves what backward needs, where `forward` takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Gradients for the arguments of forward, given those of its outputs."""
        raise NotImplementedError(
            "You must implement either the backward or vjp method for your custom autograd.Function."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Runs `forward` and records the call."""
        ctx: Any = FunctionCtx()
        tensors = [a if isinstance(a, Tensor) else None for a in args]
        ctx.needs_input_grad = tuple(t is not None and t.requires_grad for t in tensors)
        record = lib.rt_grad_enabled() and not lib.rt_inference_enabled() and any(ctx.needs_input_grad)
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                result = cls.forward(*args, **kwargs)
                cls.setup_context(ctx, args, result)
            else:
                result = cls.forward(ctx, *args, **kwargs)
        if not record:
            return result
        if any(d.is_leaf and d.requires_grad for d in ctx._dirty):
            raise AutogradError("a leaf Variable that requires grad has been used in an in-place operation.")
        several = isinstance(result, (tuple, list))
        results: list[Any] = list(result) if several else [result]
        outputs: list[Tensor] = []
        described: list[tuple[Any, Any, bool] | None] = []
        for i, r in enumerate(results):
            tracked = isinstance(r, Tensor) and not any(r is n for n in ctx._non_differentiable)
            described.append((tuple(r.shape), r.dtype, tracked) if isinstance(r, Tensor) else None)
            if tracked:
                # An input that comes back unchanged gets a handle of its own.
                if any(r is t for t in tensors) and not any(r is d for d in ctx._dirty):
                    results[i] = r = r.detach()
                outputs.append(r)
        saved, ctx._save = ctx._save, ()
        for s in saved:
            if s is not None and not isinstance(s, Tensor):
                raise DTypeError(
                    f"save_for_backward can only save variables, but argument is of type {type(s).__name__}"
                )
        import weakref

        known = [
            None
            if s is None or lib.rt_saved_hooks_active() or any(s is o for o in outputs)
            else (weakref.ref(s), _address(s._h))
            for s in saved
        ]
        frame = _Frame(cls, ctx, described, known)
        check(
            lib.py_record(
                f"{cls.__name__}Backward".encode(),
                id(frame),
                tensors,
                outputs,
                saved,
            )
        )
        return type(result)(results) if several else results[0]


def Variable(data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Tensor:
    """A tensor; PyTorch's old name for one that takes part in autograd."""
    if not isinstance(data, Tensor):
        raise DTypeError(f"Variable(): argument 'data' must be a Tensor, not {type(data).__name__}")
    t = data
    return t.requires_grad_() if requires_grad else t


# ---- gradcheck ----


def _numeric(f: Any, inputs: Sequence[Any], i: int, eps: float) -> list[list[list[float]]]:
    """Central differences: for each output, rows of d out[k] / d inputs[i][j]."""
    x = inputs[i].detach().clone().contiguous()
    args = [x if k == i else a for k, a in enumerate(inputs)]
    flat = x.view(-1)
    columns = []
    for j in range(flat.numel()):
        before = flat[j].item()
        values = []
        for step in (eps, -eps):
            flat[j] = before + step
            out = f(*args)
            outs = [out] if isinstance(out, Tensor) else list(out)
            values.append([o.detach().reshape(-1).tolist() for o in outs if o.dtype.is_floating_point])
        flat[j] = before
        columns.append([[(a - b) / (2 * eps) for a, b in zip(p, m)] for p, m in zip(*values)])
    return columns


def gradcheck(
    func: Any,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    nondet_tol: float = 0.0,
    check_undefined_grad: bool = True,
    check_grad_dtypes: bool = False,
    check_batched_grad: bool = False,
    check_batched_forward_grad: bool = False,
    check_forward_ad: bool = False,
    check_backward_ad: bool = True,
    fast_mode: bool = False,
    masked: bool | None = None,
) -> bool:
    """Compares the gradients of `func` at `inputs` (float64 or complex128) with central differences of step `eps`.

    Real and imaginary parts count as numbers of their own.

    Raises (or returns False) where |analytic - numeric| > atol + rtol * |numeric|.
    """
    func, args = _of_parts(func, [inputs] if isinstance(inputs, Tensor) else list(inputs))
    out = func(*args)
    outs = [
        o
        for o in ([out] if isinstance(out, Tensor) else list(out))
        if isinstance(o, Tensor) and o.dtype.is_floating_point
    ]
    for i, x in enumerate(args):
        if not isinstance(x, Tensor) or not x.requires_grad:
            continue
        with no_grad():
            numeric = _numeric(func, args, i, eps)
        for k, o in enumerate(outs):
            if not o.requires_grad:
                continue
            for m in range(o.numel()):
                seed = _ops.zeros(o.numel(), dtype=o.dtype, device=o.device)
                seed[m] = 1
                (g,) = grad(o, x, seed.view(o.shape), retain_graph=True, allow_unused=True)
                analytic = [0.0] * x.numel() if g is None else g.reshape(-1).tolist()
                for j, a in enumerate(analytic):
                    n = numeric[j][k][m]
                    if not abs(a - n) <= atol + rtol * abs(n):
                        if raise_exception:
                            raise AutogradError(
                                f"Jacobian mismatch for output {k} with respect to input {i}: element ({j}, {m}) is "
                                f"{a} analytically and {n} numerically"
                            )
                        return False
    return True


def _of_parts(func: Any, args: list[Any]) -> tuple[Any, list[Any]]:
    """The function and its arguments with real and imaginary parts in the place of complex numbers."""

    def parts(v: Any) -> Any:
        return _ops.view_as_real(v) if isinstance(v, Tensor) and v.is_complex() else v

    def real(*values: Any) -> Any:
        out = func(*(_ops.view_as_complex(v) if c else v for v, c in zip(values, given)))
        return parts(out) if isinstance(out, Tensor) else tuple(map(parts, out))

    given = [isinstance(a, Tensor) and a.is_complex() for a in args]
    leaves = [parts(a.detach()).clone().requires_grad_(a.requires_grad) if c else a for a, c in zip(args, given)]
    return real, leaves


def gradgradcheck(func: Any, inputs: Any, grad_outputs: Any = None, **options: Any) -> bool:
    """`gradcheck` of the gradients of `func`: second derivatives."""
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    out = func(*args)
    outs = [o for o in ([out] if isinstance(out, Tensor) else list(out)) if isinstance(o, Tensor) and o.requires_grad]
    if grad_outputs is None:
        seeds = [_ops.randn(o.shape, dtype=o.dtype, device=o.device).requires_grad_() for o in outs]
    else:
        seeds = _list(grad_outputs)
    options.pop("gen_non_contig_grad_outputs", None)

    def first(*values: Any) -> tuple[Any, ...]:
        # The numeric side calls this under no_grad, with perturbed copies that have lost their flag.
        with enable_grad():
            xs = tuple(x.detach().requires_grad_() if _leaf_wanted(x, a) else x for x, a in zip(values, args))
            gs = values[len(args) :]
            result = func(*xs)
            results = [o for o in ([result] if isinstance(result, Tensor) else list(result)) if o.requires_grad]
            wanted = [x for x in xs if isinstance(x, Tensor) and x.requires_grad]
            return grad(results, wanted, gs, create_graph=True, materialize_grads=True)

    return gradcheck(first, (*args, *seeds), **options)


def _leaf_wanted(x: Any, original: Any) -> bool:
    """Under numeric differentiation the perturbed copy has lost its flag: give it back."""
    return isinstance(x, Tensor) and original.requires_grad and not x.requires_grad


# ---- methods of Tensor ----


class ToMeta(Function):
    """Takes a tensor with a gradient to meta, whence no gradient comes back."""

    @staticmethod
    def forward(ctx: Any, t: Tensor, place: Any) -> Tensor:
        return like_on(t, place)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        raise UnsupportedError("a gradient on meta has no elements that could go back to a tensor on the CPU")


@attach
class TensorGraph:
    """The methods of Tensor that show, change or extend the graph."""

    __slots__ = ()

    @property
    def grad_fn(self: Any) -> Any:
        """The node of the op that made this tensor; None for a leaf."""
        return node(lib.py_tensor_grad_fn(self._h))

    def register_hook(self: Any, hook: Callable[[Tensor], Tensor | None]) -> Any:
        """Calls `hook(grad)` in backward; what it returns (if not None) takes the gradient's place."""
        return register_hook(self, hook)

    def register_post_accumulate_grad_hook(self: Any, hook: Callable[[Tensor], Any]) -> Any:
        """Calls `hook(self)` whenever backward has added all of a gradient to `.grad`; the hook may use and remove it.

        The tensor must be a leaf that requires a gradient. What the hook returns is ignored.
        """
        return register_post_accumulate_grad_hook(self, hook)

    def _leave(self: Any, place: Any) -> Tensor:
        """A tensor on meta in place of this one, which requires a gradient."""
        return ToMeta.apply(self, place)  # type: ignore[no-any-return]


def __getattr__(name: str) -> Any:
    if name in ("function", "functional", "graph", "profiler"):  # loaded on first use
        import importlib

        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
