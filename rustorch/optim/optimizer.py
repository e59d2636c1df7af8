"""The base of all optimizers: parameter groups, state, hooks, state dicts.

Two kinds build on it. The fused optimizers (SGD, Adam, AdamW, RMSprop, Adagrad) make one call of an in-place step op
per parameter group; the others (:class:`ComposedOptimizer`) are written as tensor operations.

What all step ops of ``rustorch._ops`` have in common:

- Tensor arguments are Python lists of tensors. ``params`` and ``grads`` have the same length ``n >= 1``, and so has
  each list of state tensors; a list that the options make unused is empty. Entry ``i`` of each list has the shape and
  dtype of ``params[i]``; dtypes may differ between entries; half precision is computed in float32.
- ``params`` and the state tensors are changed in place, gradients are only read.
- Nothing is recorded for autograd, whatever the grad mode, and leaves that require grad are accepted. Version counters
  go up.
- Options are Python numbers and bools; ``step`` is the number of this step, counted from 1, as a float.
"""

from __future__ import annotations

from collections import defaultdict

import rustorch as rt

from ..errors import InvalidArgumentError
from ..utils.hooks import RemovableHandle

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any, TypeAlias

    Params: TypeAlias = Iterable[rt.Tensor] | Iterable[tuple[str, rt.Tensor]] | Iterable[dict[str, Any]]
    Group: TypeAlias = dict[str, Any]
    State: TypeAlias = dict[str, Any]

_global_pre_hooks: dict[int, Any] = {}
_global_post_hooks: dict[int, Any] = {}


class _Required:
    def __repr__(self) -> str:
        return "<required parameter>"


#: Default of an option that each parameter group must give itself.
required = _Required()


def nonnegative(what: str, value: Any) -> None:
    """Refuses an option that is no number, is negative or NaN."""
    if isinstance(value, rt.Tensor) and value.numel() != 1:
        raise InvalidArgumentError(f"Invalid {what}: a tensor must have 1 element, got shape {list(value.shape)}")
    try:
        good = bool(value >= 0)
    except TypeError:
        raise TypeError(f"Invalid {what}: expected a number, got {type(value).__name__}") from None
    if not good:
        raise InvalidArgumentError(f"Invalid {what}: {value}")


def checked_betas(betas: Iterable[Any]) -> tuple[float, float]:
    """The two decay rates as a tuple of floats, each in [0, 1)."""
    values = tuple(betas)
    if len(values) != 2:
        raise InvalidArgumentError(f"Invalid betas: expected 2 values, got {len(values)}")
    for i, beta in enumerate(values):
        if not 0.0 <= beta < 1.0:
            raise InvalidArgumentError(f"Invalid beta parameter at index {i}: {beta}")
    return float(values[0]), float(values[1])


def buffers(name: str, params: list[rt.Tensor], states: list[State], fill: float = 0.0) -> list[rt.Tensor]:
    """The state tensors called ``name``; one that is not there yet is made, like its parameter and full of ``fill``."""
    try:
        return [state[name] for state in states]
    except KeyError:
        for p, state in zip(params, states):
            if name not in state:
                state[name] = rt.full_like(p, fill)
        return [state[name] for state in states]


def split(keys: list[Any], *lists: list[Any]) -> Iterable[tuple[Any, ...]]:
    """For each distinct key, ``(key, *lists)`` with the entries of ``lists`` that have it; all lists have one
    length."""
    if not keys:
        return []
    if keys.count(keys[0]) == len(keys):
        return [(keys[0], *lists)]
    rows: dict[Any, list[tuple[Any, ...]]] = {}
    for key, *row in zip(keys, *lists):
        rows.setdefault(key, []).append(tuple(row))
    return [(key, *map(list, zip(*same))) for key, same in rows.items()]


def _with_hooks(step: Callable[..., Any]) -> Callable[..., Any]:
    """``step`` with the registered hooks around it."""

    def hooked(self: Optimizer, *args: Any, **kwargs: Any) -> Any:
        self._opt_called = True  # the schedulers warn if they are stepped first
        if not (self._step_pre_hooks or self._step_post_hooks or _global_pre_hooks or _global_post_hooks):
            return step(self, *args, **kwargs)
        if self._in_hooked_step:  # super().step() of a subclass: the hooks have run
            return step(self, *args, **kwargs)
        self._in_hooked_step = True
        try:
            for hook in [*_global_pre_hooks.values(), *self._step_pre_hooks.values()]:
                changed = hook(self, args, kwargs)
                if changed is not None:
                    if not (isinstance(changed, tuple) and len(changed) == 2):
                        raise RuntimeError(
                            f"step: a pre-hook must return None or a tuple (new_args, new_kwargs), got {changed!r}"
                        )
                    args, kwargs = changed
            result = step(self, *args, **kwargs)
            for hook in [*self._step_post_hooks.values(), *_global_post_hooks.values()]:
                hook(self, args, kwargs)
            return result
        finally:
            self._in_hooked_step = False

    hooked.__name__, hooked.__qualname__, hooked.__doc__ = step.__name__, step.__qualname__, step.__doc__
    hooked.__wrapped__ = step  # type: ignore[attr-defined]
    return hooked


def _register(hooks: dict[int, Any], hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
    handle = RemovableHandle(hooks)
    later = dict(hooks) if prepend else {}
    if prepend:
        hooks.clear()
    hooks[handle.id] = hook
    hooks.update(later)
    return handle


def register_optimizer_step_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls ``hook(optimizer, args, kwargs)`` before each step of every optimizer."""
    return _register(_global_pre_hooks, hook)


def register_optimizer_step_post_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Calls ``hook(optimizer, args, kwargs)`` after each step of every optimizer."""
    return _register(_global_post_hooks, hook)


class Optimizer:
    """Base of the optimizers.

    Args:
        params: the tensors to optimize, ``(name, tensor)`` pairs of them, or dicts, one per parameter group, each with
            the entry ``"params"`` and options of its own.
        defaults: the options of a group that does not give its own.

    A subclass implements :meth:`_update` (or :meth:`step`).
    """

    #: State entries kept as Python floats; a state dict holds them as 0-d tensors.
    _scalars: tuple[str, ...] = ()
    _opt_called = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "step" in cls.__dict__:
            cls.step = _with_hooks(cls.__dict__["step"])  # type: ignore[method-assign]

    def _patch_step_function(self) -> None:
        """What subclasses call in PyTorch. There is nothing to do: `step` has its hooks since the class was made."""

    #: True if there may be complex parameters.
    _complex = False

    def __init__(self, params: Params, defaults: dict[str, Any]) -> None:
        name = type(self).__name__
        if defaults.get("differentiable"):
            raise InvalidArgumentError(f"{name}: differentiable=True is not supported")
        if defaults.get("fused") and defaults.get("foreach"):
            raise RuntimeError(f"{name}: `fused` and `foreach` cannot be `True` together.")
        if isinstance(params, rt.Tensor):
            raise TypeError(
                "params argument given to the optimizer should be an iterable of Tensors or dicts, "
                f"but got {type(params).__name__}"
            )
        self.defaults = defaults
        self.state: defaultdict[Any, State] = defaultdict(dict)
        self.param_groups: list[Group] = []
        self._init_hooks()
        groups: list[Any] = list(params)
        if not groups:
            raise InvalidArgumentError("optimizer got an empty parameter list")
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        for group in groups:
            self.add_param_group(group)

    def _init_hooks(self) -> None:
        self._in_hooked_step = False
        self._step_pre_hooks: dict[int, Any] = {}
        self._step_post_hooks: dict[int, Any] = {}
        self._state_dict_pre_hooks: dict[int, Any] = {}
        self._state_dict_post_hooks: dict[int, Any] = {}
        self._load_pre_hooks: dict[int, Any] = {}
        self._load_post_hooks: dict[int, Any] = {}

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "state": self.state, "param_groups": self.param_groups}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if "_step_pre_hooks" not in self.__dict__:
            self._init_hooks()
        for group in self.param_groups:  # saved by a version with fewer options
            for key, value in self.defaults.items():
                group.setdefault(key, value)
        self._look_for_complex()

    def __repr__(self) -> str:
        lines = [type(self).__name__ + " ("]
        for i, group in enumerate(self.param_groups):
            lines.append(f"Parameter Group {i}")
            lines += [f"    {key}: {group[key]}" for key in sorted(group) if key != "params"]
        return "\n".join(lines) + "\n)"

    def add_param_group(self, param_group: Group) -> None:
        """Adds a group: a dict with ``"params"`` and the options in which it differs from the defaults.

        Raises:
            TypeError: ``params`` has no order (a set) or holds something else than tensors.
            InvalidArgumentError: a tensor is no leaf, is already in a group, or a required option is missing.
        """
        if not isinstance(param_group, dict):
            raise TypeError(f"param_group must be a dict, but got {type(param_group)}")
        params = param_group["params"]
        if isinstance(params, set):
            raise TypeError("optimizer parameters must be in an ordered collection such as a list, but got a set")
        entries: list[Any] = [params] if isinstance(params, rt.Tensor) else list(params)
        names = [entry[0] for entry in entries if isinstance(entry, tuple)]
        if names and len(names) != len(entries):
            raise InvalidArgumentError(
                "all optimizer params should be with/without names. Some param names are missing"
            )
        params = [entry[1] for entry in entries] if names else entries
        for p in params:
            if not isinstance(p, rt.Tensor):
                raise TypeError(f"optimizer can only optimize Tensors, but one of the params is {type(p).__name__}")
            if not (p.is_leaf or getattr(p, "retains_grad", False)):
                raise InvalidArgumentError("can't optimize a non-leaf Tensor")

        for key, value in self.defaults.items():
            if value is required and key not in param_group:
                raise InvalidArgumentError(
                    f"parameter group didn't specify a value of required optimization parameter {key}"
                )
        seen = {id(p) for group in self.param_groups for p in group["params"]}
        if any(id(p) in seen for p in params):
            raise InvalidArgumentError("some parameters appear in more than one parameter group")
        if any(bool(names) != ("param_names" in group) for group in self.param_groups):
            raise InvalidArgumentError(
                "all optimizer param groups should be with/without names. cannot add param group "
                f"{'with' if names else 'without'} names to the optimizer"
            )
        if len({id(p) for p in params}) != len(params):
            import warnings

            warnings.warn("optimizer contains a parameter group with duplicate parameters", stacklevel=3)

        param_group["params"] = params
        if names:
            param_group["param_names"] = names
        for key, value in self.defaults.items():
            param_group.setdefault(key, value)
        self.param_groups.append(param_group)
        self._look_for_complex()

    def _look_for_complex(self) -> None:
        if any(p.is_complex() for group in self.param_groups for p in group["params"]):
            self._complex = True

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drops the gradients of all parameters, or fills them with zeros in place if ``set_to_none`` is False."""
        for group in self.param_groups:
            for p in group["params"]:
                if set_to_none:
                    p.grad = None
                elif p.grad is not None:
                    grad = p.grad
                    if grad.grad_fn is not None:
                        grad.detach_()
                    else:
                        grad.requires_grad_(False)
                    grad.zero_()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Updates the parameters that have a gradient.

        Args:
            closure: evaluates the model anew, computes the gradients and returns the loss.

        Returns:
            What ``closure`` returned, else None.
        """
        loss = None
        if closure is not None:
            with rt.enable_grad():
                loss = closure()
        for group in self.param_groups:
            self._update(group)
        return loss

    step = _with_hooks(step)

    def _update(self, group: Group) -> None:
        """Updates the parameters of one group."""
        raise NotImplementedError(f"{type(self).__name__} implements neither step nor _update")

    def _active(self, group: Group) -> tuple[list[State], list[rt.Tensor], list[rt.Tensor]]:
        """States of the parameters of a group that have a gradient, these parameters, and their gradients.

        Complex ones are seen as pairs of real numbers, as in PyTorch.
        """
        state = self.state
        states, params, grads = [], [], []
        for p in group["params"]:
            grad = p.grad
            if grad is not None:
                states.append(state[p])
                params.append(p)
                grads.append(grad)
        if self._complex:
            params, grads = as_real(params), as_real(grads)
        return states, params, grads

    def _next_step(self, group: Group) -> Iterable[tuple[Any, ...]]:
        """Adds one to the step counts and gives ``(step, params, grads, states)`` for each distinct count.

        Counts differ only if some parameter had no gradient in an earlier step.
        """
        states, params, grads = self._active(group)
        counts = []
        for state in states:
            state["step"] = step = state.get("step", 0.0) + 1.0
            counts.append(step)
        return split(counts, params, grads, states)

    def state_dict(self) -> dict[str, Any]:
        """The state in PyTorch's layout: ``{"state": {i: {...}, ...}, "param_groups": [{..., "params": [i, ...]}]}``.

        Parameters are numbered through all groups. State tensors are the live ones, not copies.
        """
        for hook in self._state_dict_pre_hooks.values():
            hook(self)
        index: dict[int, int] = {}
        for group in self.param_groups:
            for p in group["params"]:
                index.setdefault(id(p), len(index))
        dtype = rt.float64 if rt.get_default_dtype() == rt.float64 else rt.float32

        def packed(state: Any) -> Any:
            if not isinstance(state, dict):
                return state
            return {k: rt.tensor(v, dtype=dtype) if k in self._scalars else v for k, v in state.items()}

        groups = []
        for group in self.param_groups:
            groups.append({k: v for k, v in group.items() if k != "params"})
            groups[-1]["params"] = [index[id(p)] for p in group["params"]]
        states = {index[id(k)] if isinstance(k, rt.Tensor) else k: packed(v) for k, v in self.state.items()}
        result: dict[str, Any] = {"state": states, "param_groups": groups}
        for hook in self._state_dict_post_hooks.values():
            changed = hook(self, result)
            result = result if changed is None else changed
        return result

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over a state from :meth:`state_dict`, of this library or of PyTorch's layout.

        Tensors are copied, and cast to the dtype of their parameter.

        Raises:
            InvalidArgumentError: the number of groups, or of parameters in a group, differs.
        """
        state_dict = dict(state_dict)
        for hook in self._load_pre_hooks.values():
            changed = hook(self, state_dict)
            state_dict = state_dict if changed is None else changed
        saved = state_dict["param_groups"]
        if len(saved) != len(self.param_groups):
            raise InvalidArgumentError(
                "loaded state dict has a different number of parameter groups: "
                f"expected {len(self.param_groups)}, got {len(saved)}"
            )
        params: dict[Any, rt.Tensor] = {}
        for i, (old, new) in enumerate(zip(self.param_groups, saved)):
            if len(old["params"]) != len(new["params"]):
                raise InvalidArgumentError(
                    "loaded state dict contains a parameter group that doesn't match the size of optimizer's group: "
                    f"group {i} has {len(old['params'])} parameters, got {len(new['params'])}"
                )
            params.update(zip(new["params"], old["params"]))

        from copy import deepcopy

        state: defaultdict[Any, State] = defaultdict(dict)
        for key, value in state_dict["state"].items():
            state[params.get(key, key)] = self._adopted(value, params[key]) if key in params else value
        groups = []
        for old, new in zip(self.param_groups, saved):
            group = deepcopy({k: v for k, v in new.items() if k != "params"})
            group["params"] = old["params"]
            if "param_names" in old:
                group.setdefault("param_names", old["param_names"])
            groups.append(group)
        self.__setstate__({"state": state, "param_groups": groups})
        for hook in self._load_post_hooks.values():
            hook(self)

    def _adopted(self, value: Any, p: rt.Tensor, key: Any = None) -> Any:
        """A copy of a loaded state entry, in the form in which the optimizer of ``p`` keeps it."""
        if key in self._scalars:
            return float(value)
        if isinstance(value, rt.Tensor):
            # Steps that a program counts itself are no numbers like the parameter's.
            cast = key != "step" and p.is_floating_point() and value.dtype != p.dtype
            return value.to(p.dtype) if cast else value.clone()
        if isinstance(value, dict):
            return {k: self._adopted(v, p, k) for k, v in value.items() if v is not None}
        if isinstance(value, (list, tuple)):
            return type(value)([self._adopted(v, p) for v in value])
        return value

    def register_step_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls ``hook(optimizer, args, kwargs)`` before each step; it may return new ``(args, kwargs)``."""
        return _register(self._step_pre_hooks, hook)

    def register_step_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Calls ``hook(optimizer, args, kwargs)`` after each step."""
        return _register(self._step_post_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(optimizer)`` before :meth:`state_dict` collects anything."""
        return _register(self._state_dict_pre_hooks, hook, prepend)

    def register_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(optimizer, state_dict)`` after :meth:`state_dict`; it may return another dict."""
        return _register(self._state_dict_post_hooks, hook, prepend)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(optimizer, state_dict)`` before :meth:`load_state_dict`; it may return another dict."""
        return _register(self._load_pre_hooks, hook, prepend)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Calls ``hook(optimizer)`` after :meth:`load_state_dict`."""
        return _register(self._load_post_hooks, hook, prepend)


def as_real(tensors: list[rt.Tensor]) -> list[rt.Tensor]:
    """The tensors, complex ones as pairs of real numbers in the same memory."""
    return [rt.view_as_real(t.detach()) if t.is_complex() else t for t in tensors]


class ComposedOptimizer(Optimizer):
    """Base of the optimizers written as tensor operations, one parameter at a time."""

    _complex = True  # it has the time to look each time
    _scalars: tuple[str, ...] = ("step",)

    def _update(self, group: Group) -> None:
        lr, decay = float(group["lr"]), group["weight_decay"]
        with rt.no_grad():
            for state, p, grad in zip(*self._active(group)):
                if group["maximize"]:
                    grad = -grad
                if decay and group.get("decoupled_weight_decay"):
                    p.mul_(1 - lr * decay)
                elif decay:
                    grad = grad.add(p, alpha=decay)
                state["step"] = state.get("step", 0.0) + 1.0
                self._update_one(p, grad, state, group, lr)

    def _update_one(self, p: rt.Tensor, grad: rt.Tensor, state: State, group: Group, lr: float) -> None:
        """Updates ``p`` by a gradient to which ``maximize`` and weight decay have been applied."""
        raise NotImplementedError


def moving_average(name: str, state: State, new: rt.Tensor, decay: float) -> rt.Tensor:
    """The running mean ``decay * old + (1 - decay) * new`` kept in ``state[name]``, which begins at zero."""
    if name not in state:
        state[name] = rt.zeros_like(new)
    average: rt.Tensor = state[name]
    average.mul_(decay).add_(new, alpha=1 - decay)
    return average
