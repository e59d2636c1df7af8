"""Automatic differentiation: grad modes, `grad`, hooks, custom functions, gradcheck."""

from __future__ import annotations

import functools
import threading
from typing import Any

from .._door import NULL, NodeOwner, check, error, ffi, handles, lib, new, pending, text, wrap
from .._tensor import Tensor
from ..errors import AutogradError, DTypeError, RustorchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from . import function, functional

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
                sent = None
                while True:
                    with self.clone():
                        try:
                            v = g.send(sent)
                        except StopIteration as e:
                            return e.value
                    sent = yield v

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
    grads = None if grad_tensors is None else handles(_list(grad_tensors))
    ins = None if inputs is None else handles(_list(inputs))
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
        from .._ops import zeros_like

        found = [zeros_like(t) if g is None else g for t, g in zip(ins, found)]
    elif not allow_unused and any(g is None for g in found):
        raise AutogradError(
            "One of the differentiated Tensors appears to not have been used in the graph. "
            "Set allow_unused=True if this is the desired behavior."
        )
    return tuple(found)


class Node(NodeOwner):
    """A recorded op. `name()` says which; `next_functions` are the nodes that its gradients go to.

    Its class has the same name: programs that draw graphs print `type(node).__name__`.
    """

    __slots__ = ("__weakref__",)

    def __new__(cls, handle: Any) -> Node:
        return new(_node_class(text(lib.rt_node_name(handle))))

    def __init__(self, handle: Any) -> None:
        self._h = handle

    def name(self) -> str:
        """Such as "AddBackward0"."""
        return text(lib.rt_node_name(self._h))

    @property
    def next_functions(self) -> tuple[tuple[Any, int], ...]:
        """One pair per input: a node, `AccumulateGrad` for a leaf, or None."""
        found: list[tuple[Any, int]] = []
        leaf, out = ffi.new("bool *"), ffi.new("struct rt_node *[1]")
        for i in range(lib.rt_node_next_count(self._h)):
            check(lib.rt_node_next(self._h, i, leaf, out))
            found.append((Node(out[0]) if out[0] else AccumulateGrad() if leaf[0] else None, 0))
        return tuple(found)

    def __repr__(self) -> str:
        return f"<{self.name()} object at {hex(int(ffi.cast('uintptr_t', self._h)))}>"


@functools.cache
def _node_class(name: str) -> type[Node]:
    return type(name, (Node,), {"__slots__": (), "__module__": Node.__module__})


class AccumulateGrad:
    """Where the gradient of a leaf goes."""

    def name(self) -> str:
        """Its name."""
        return "AccumulateGrad"


# ---- callbacks ----


def _object(ctx: Any) -> Any:
    import ctypes

    return ctypes.cast(int(ffi.cast("uintptr_t", ctx)), ctypes.py_object).value


def _failed(exc_type: Any, exc: BaseException, tb: Any) -> int:
    """An exception in a callback waits until the C call that ran it has returned, and is raised there."""
    pending[threading.get_ident()] = exc.with_traceback(tb)
    return 11


def _share(h: Any) -> Any:
    return wrap(lib.rt_tensor_retain(h)) if h else None


def _hand(t: Tensor | None) -> Any:
    return NULL if t is None else lib.rt_tensor_retain(t._h)


class RemovableHandle:
    """Takes a hook away again."""

    __slots__ = ("_id", "_tensor")

    def __init__(self, tensor: Tensor, number: int) -> None:
        import weakref

        self._tensor = weakref.ref(tensor)
        self._id = number

    def remove(self) -> None:
        """Removes the hook."""
        t = self._tensor()
        if t is not None:
            check(lib.rt_tensor_remove_hook(t._h, self._id))

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *args: object) -> None:
        self.remove()


@ffi.def_extern(error=11, onerror=_failed)  # type: ignore[untyped-decorator]
def py_on_hook(ctx: Any, grad: Any, replacement: Any) -> int:
    result = _object(ctx)(_share(grad))
    if result is not None:
        if not isinstance(result, Tensor):
            raise DTypeError(f"a hook must return a Tensor or None, got {type(result).__name__}")
        replacement[0] = _hand(result)
    return 0


def register_hook(t: Tensor, hook: Any, after: bool = False) -> RemovableHandle:
    """See `Tensor.register_hook`; with `after`, `Tensor.register_post_accumulate_grad_hook`."""
    number = ffi.new("uint64_t *")
    check(lib.py_register(t._h, id(hook), after, number))
    return RemovableHandle(t, number[0])


def register_post_accumulate_grad_hook(t: Tensor, hook: Any) -> RemovableHandle:
    """See `Tensor.register_post_accumulate_grad_hook`."""
    import weakref

    ref = weakref.ref(t)

    def call(same: Tensor) -> None:
        own = ref()
        hook(same if own is None else own)

    return register_hook(t, call, after=True)


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
    if known is not None:
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
        from .._ops import zeros

        gs = [zeros(o[0], dtype=o[1]) if g is None and o is not None else g for g, o in zip(gs, frame.outputs)]
    c._saved = tuple(map(_unpacked, ffi.unpack(saved, n_saved) if n_saved else (), frame.saved))
    try:
        result = cls.backward(c, *gs)
    finally:
        c._saved = ()
    results = result if isinstance(result, (tuple, list)) else (result,)
    if len(results) > n_out and any(r is not None for r in results[n_out:]):
        raise RustorchError(
            f"function {cls.__name__}Backward returned an incorrect number of gradients "
            f"(expected {n_out}, got {len(results)})"
        )
    if len(results) < n_out:
        raise RustorchError(
            f"function {cls.__name__}Backward returned an incorrect number of gradients "
            f"(expected {n_out}, got {len(results)})"
        )
    for i, r in enumerate(results[:n_out]):
        if r is not None and not isinstance(r, Tensor):
            raise DTypeError(
                f"{cls.__name__}.backward: expected a Tensor or None for input {i}, got {type(r).__name__}"
            )
        out[i] = _hand(r)
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

        known = [None if s is None or any(s is o for o in outputs) else (weakref.ref(s), _address(s._h)) for s in saved]
        frame = _Frame(cls, ctx, described, known)
        check(
            lib.py_record(
                f"{cls.__name__}Backward".encode(),
                id(frame),
                handles(tensors),
                len(tensors),
                handles(outputs),
                len(outputs),
                handles(saved),
                len(saved),
            )
        )
        return type(result)(results) if several else results[0]


def Variable(data: Tensor, requires_grad: bool = False, volatile: bool = False) -> Tensor:
    """A tensor; PyTorch's old name for one that takes part in autograd."""
    t = data if isinstance(data, Tensor) else wrap(NULL)
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
    """Compares the gradients of `func` at `inputs` (float64) with central differences of step `eps`.

    Raises (or returns False) where |analytic - numeric| > atol + rtol * |numeric|.
    """
    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    with no_grad():
        pass
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
            from .._ops import zeros

            for m in range(o.numel()):
                seed = zeros(o.numel(), dtype=o.dtype)
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


def gradgradcheck(func: Any, inputs: Any, grad_outputs: Any = None, **options: Any) -> bool:
    """`gradcheck` of the gradients of `func`: second derivatives."""
    from .._ops import randn

    args = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    out = func(*args)
    outs = [o for o in ([out] if isinstance(out, Tensor) else list(out)) if isinstance(o, Tensor) and o.requires_grad]
    if grad_outputs is None:
        seeds = [randn(o.shape, dtype=o.dtype).requires_grad_() for o in outs]
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


def __getattr__(name: str) -> Any:
    if name in ("function", "functional"):  # loaded on first use
        import importlib

        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
