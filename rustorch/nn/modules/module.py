"""Module: the base of every layer and network."""

from __future__ import annotations

import warnings
from collections import OrderedDict, namedtuple
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import rustorch as rt
from rustorch import Tensor
from rustorch.dtypes import from_python, is_word
from rustorch.errors import DTypeError
from rustorch.utils.hooks import RemovableHandle

from ..parameter import Buffer, Parameter, is_lazy
from ._hooks import BackwardHooks, add_hook

if TYPE_CHECKING:
    from typing import TypeVar

    from ..common_types import Device, DType

    M = TypeVar("M", bound="Module")

__all__ = [
    "Module",
    "register_module_forward_hook",
    "register_module_forward_pre_hook",
    "register_module_full_backward_hook",
    "register_module_full_backward_pre_hook",
]


class _IncompatibleKeys(namedtuple("IncompatibleKeys", ["missing_keys", "unexpected_keys"])):
    """What `load_state_dict` could not match."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "<All keys matched successfully>" if not self.missing_keys and not self.unexpected_keys else self._text()

    def _text(self) -> str:
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"

    __str__ = __repr__


# Hooks that run for every module. `_any_global` keeps the common call free of looking at them.
_global_forward_pre_hooks: OrderedDict[int, Any] = OrderedDict()
_global_forward_hooks: OrderedDict[int, Any] = OrderedDict()
_global_forward_hooks_with_kwargs: OrderedDict[int, Any] = OrderedDict()
_global_forward_hooks_always_called: OrderedDict[int, Any] = OrderedDict()
_global_backward_pre_hooks: OrderedDict[int, Any] = OrderedDict()
_global_backward_hooks: OrderedDict[int, Any] = OrderedDict()
_any_global = False


def _add_global(hooks: OrderedDict[int, Any], hook: Any, **flags: Any) -> RemovableHandle:
    global _any_global
    _any_global = True
    return add_hook(hooks, hook, **flags)


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, args)` before the forward of every module."""
    return _add_global(_global_forward_pre_hooks, hook)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Call `hook(module, args, [kwargs,] output)` after the forward of every module."""
    flags = (
        (with_kwargs, _global_forward_hooks_with_kwargs),
        (always_call, _global_forward_hooks_always_called),
    )
    return _add_global(_global_forward_hooks, hook, flags=flags)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_output)` in the backward of every module."""
    return _add_global(_global_backward_pre_hooks, hook)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Call `hook(module, grad_input, grad_output)` in the backward of every module."""
    return _add_global(_global_backward_hooks, hook)


def _forward_unimplemented(self: Module, *input: Any) -> None:
    raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')


def _addindent(text: str, spaces: int) -> str:
    """Indent every line of `text` but the first."""
    return ("\n" + " " * spaces).join(text.split("\n"))


def _named_tensors(
    pairs: Callable[[Module], Any], root: Module, prefix: str, recurse: bool, remove_duplicate: bool
) -> Iterator[tuple[str, Any]]:
    """(full name, tensor) over the dicts that `pairs` picks from `root` and, with `recurse`, its descendants."""
    seen: set[int] = set()
    modules = root.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, root)]
    for module_prefix, module in modules:
        dot = module_prefix + "." if module_prefix else ""
        for name, tensor in pairs(module).items():
            if tensor is None or id(tensor) in seen:
                continue
            if remove_duplicate:
                seen.add(id(tensor))
            yield dot + name, tensor


class Module:
    """Base class of layers: holds parameters, buffers and submodules by attribute name; call it to run `forward`.

    Subclasses call `super().__init__()` first, assign parts as attributes, and define `forward`.
    """

    training: bool
    call_super_init = False
    dump_patches = False
    _version = 1
    # Set on an instance by its first hook: calls of a module that never had one skip looking for any.
    _hooked = False

    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _non_persistent_buffers_set: set[str]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if not self.call_super_init and (args or kwargs):
            what = f"keyword argument '{next(iter(kwargs))}'" if kwargs else f"{len(args)} positional arguments"
            raise TypeError(f"{type(self).__name__}.__init__() got an unexpected {what}")
        # Straight into __dict__: __setattr__ has nothing to look for here.
        self.__dict__.update(
            training=True,
            _parameters={},
            _buffers={},
            _non_persistent_buffers_set=set(),
            _backward_pre_hooks=OrderedDict(),
            _backward_hooks=OrderedDict(),
            _forward_hooks=OrderedDict(),
            _forward_hooks_with_kwargs=OrderedDict(),
            _forward_hooks_always_called=OrderedDict(),
            _forward_pre_hooks=OrderedDict(),
            _forward_pre_hooks_with_kwargs=OrderedDict(),
            _state_dict_hooks=OrderedDict(),
            _state_dict_pre_hooks=OrderedDict(),
            _load_state_dict_pre_hooks=OrderedDict(),
            _load_state_dict_post_hooks=OrderedDict(),
            _modules={},
        )
        if self.call_super_init:
            super().__init__(*args, **kwargs)

    forward: Callable[..., Any] = _forward_unimplemented

    # ---- registration -------------------------------------------------------------------------------------------

    def _check_name(self, what: str, name: Any, own: dict[str, Any]) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {what} before Module.__init__() call")
        if not isinstance(name, str):
            raise TypeError(f"{what} name should be a string, got {type(name).__name__}")
        if "." in name:
            raise KeyError(f'{what} name can\'t contain ".", got: {name}')
        if name == "":
            raise KeyError(f'{what} name can\'t be empty string ""')
        if name not in own and hasattr(self, name):
            raise KeyError(f"attribute '{name}' already exists")

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is state but no parameter; it is in the state_dict if `persistent`."""
        self._check_name("buffer", name, self.__dict__.get("_buffers", {}))
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(
                f"cannot assign '{type(tensor).__name__}' object to buffer '{name}' (Tensor or None required)"
            )
        self._buffers[name] = tensor
        if persistent:
            self._non_persistent_buffers_set.discard(name)
        else:
            self._non_persistent_buffers_set.add(name)

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter; None reserves the name (it then is not in the state_dict)."""
        self._check_name("parameter", name, self.__dict__.get("_parameters", {}))
        if param is not None:
            if not isinstance(param, Parameter):
                raise TypeError(
                    f"cannot assign '{type(param).__name__}' object to parameter '{name}' (Parameter or None required)"
                )
            if param.grad_fn is not None:
                raise ValueError(
                    f"cannot assign a non-leaf Tensor to parameter '{name}': parameters are created by the user; "
                    "to express it as a function of another tensor, compute it in forward()"
                )
        self._parameters[name] = param

    def add_module(self, name: str, module: Module | None) -> None:
        """Add a child module."""
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"{type(module).__name__} is not a Module subclass")
        self._check_name("module", name, self.__dict__.get("_modules", {}))
        self._modules[name] = module

    def register_module(self, name: str, module: Module | None) -> None:
        """Alias of `add_module`."""
        self.add_module(name, module)

    def get_submodule(self, target: str) -> Module:
        """The descendant named by the dotted path `target`; "" is the module itself."""
        module: Module = self
        for name in target.split(".") if target else ():
            if not hasattr(module, name):
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            found = getattr(module, name)
            if not isinstance(found, Module):
                raise AttributeError(f"`{name}` is not an nn.Module")
            module = found
        return module

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Replace (or, unless `strict`, add) the descendant named by the dotted path `target`."""
        if not target:
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, Module):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{type(parent).__name__} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), Module):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    def get_parameter(self, target: str) -> Parameter:
        """The parameter named by the dotted path `target`."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        found = getattr(module, name) if hasattr(module, name) else None
        if found is None:
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer named by the dotted path `target`."""
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        if not hasattr(module, name):
            raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
        found = module._buffers.get(name)
        if found is None:
            raise AttributeError(f"`{name}` is not a buffer")
        return found

    def get_extra_state(self) -> Any:
        """Override to store more than tensors in the state_dict; called when overridden."""
        raise RuntimeError("get_extra_state: override it to have extra state in the state_dict")

    def set_extra_state(self, state: Any) -> None:
        """Override to take back what `get_extra_state` gave."""
        raise RuntimeError("set_extra_state: override it to load extra state from the state_dict")

    # ---- attributes ---------------------------------------------------------------------------------------------

    def __getattr__(self, name: str) -> Any:
        # Only reached when ordinary lookup fails; submodules are by far the most frequent case.
        own = self.__dict__
        if "_modules" in own:
            modules = own["_modules"]
            if name in modules:
                return modules[name]
            params = own["_parameters"]
            if name in params:
                return params[name]
            buffers = own["_buffers"]
            if name in buffers:
                return buffers[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        own = self.__dict__
        if isinstance(value, Parameter):
            if "_parameters" not in own:
                raise AttributeError("cannot assign parameters before Module.__init__() call")
            self._forget(name, own["_buffers"], own["_modules"])
            self.register_parameter(name, value)
            return
        if isinstance(value, Module):
            if "_modules" not in own:
                raise AttributeError("cannot assign module before Module.__init__() call")
            if name in own["_parameters"]:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as parameter '{name}' (nn.Parameter or None expected)"
                )
            self._forget(name, own["_buffers"])
            own["_modules"][name] = value
            return
        if "_parameters" in own:
            params, modules, buffers = own["_parameters"], own["_modules"], own["_buffers"]
            if name in params:
                if value is not None:
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as parameter '{name}' (nn.Parameter or None expected)"
                    )
                params[name] = None
                return
            if name in modules:
                if value is not None:
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as child module '{name}' (nn.Module or None expected)"
                    )
                modules[name] = None
                return
            if isinstance(value, Buffer):
                self.register_buffer(name, value, value.persistent)
                return
            if name in buffers:
                if value is not None and not isinstance(value, Tensor):
                    raise TypeError(
                        f"cannot assign '{type(value).__name__}' as buffer '{name}' (Tensor or None expected)"
                    )
                buffers[name] = value
                return
        super().__setattr__(name, value)

    def _forget(self, name: str, *registries: dict[str, Any]) -> None:
        """Drop `name` wherever else it lives, before it is registered anew."""
        self.__dict__.pop(name, None)
        self._non_persistent_buffers_set.discard(name)
        for registry in registries:
            registry.pop(name, None)

    def __delattr__(self, name: str) -> None:
        for registry in (self._parameters, self._buffers, self._modules):
            if name in registry:
                del registry[name]
                self._non_persistent_buffers_set.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        keys = {*dir(type(self)), *self.__dict__, *self._parameters, *self._modules, *self._buffers}
        return sorted(k for k in keys if not k[0].isdigit())

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)

    # ---- calling ------------------------------------------------------------------------------------------------

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooked or _any_global:
            return self._call_with_hooks(args, kwargs)
        return self.forward(*args, **kwargs)

    __call__: Callable[..., Any] = _call_impl

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        own = self._forward_hooks or self._forward_pre_hooks or self._backward_hooks or self._backward_pre_hooks
        if not own:
            self.__dict__["_hooked"] = False  # the last one was removed
            if not _any_global:
                return self.forward(*args, **kwargs)
        called: set[int] = set()
        always = {**_global_forward_hooks_always_called, **self._forward_hooks_always_called}
        with_kwargs = {**_global_forward_hooks_with_kwargs, **self._forward_hooks_with_kwargs}
        result = None
        try:
            for hook_id, hook in (*_global_forward_pre_hooks.items(), *self._forward_pre_hooks.items()):
                if hook_id in self._forward_pre_hooks_with_kwargs:
                    new = hook(self, args, kwargs)
                    if new is not None:
                        if not (isinstance(new, tuple) and len(new) == 2):
                            raise RuntimeError(
                                f"forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got {new}"
                            )
                        args, kwargs = new
                else:
                    new = hook(self, args)
                    if new is not None:
                        args = new if isinstance(new, tuple) else (new,)

            backward = None
            post = [*_global_backward_hooks.values(), *self._backward_hooks.values()]
            pre = [*_global_backward_pre_hooks.values(), *self._backward_pre_hooks.values()]
            if post or pre:
                backward = BackwardHooks(self, post, pre)
                args = backward.inputs(args)

            result = self.forward(*args, **kwargs)

            for hook_id, hook in (*_global_forward_hooks.items(), *self._forward_hooks.items()):
                called.add(hook_id)
                new = hook(self, args, kwargs, result) if hook_id in with_kwargs else hook(self, args, result)
                if new is not None:
                    result = new
            return result if backward is None else backward.outputs(result)
        except Exception:
            for hook_id, hook in (*_global_forward_hooks.items(), *self._forward_hooks.items()):
                if hook_id in always and hook_id not in called:
                    try:
                        new = hook(self, args, kwargs, result) if hook_id in with_kwargs else hook(self, args, result)
                        if new is not None:
                            result = new
                    except Exception as e:
                        warnings.warn(f"module forward hook with always_call=True raised {e!r}", stacklevel=2)
            raise

    def _add_hook(self, hooks: OrderedDict[int, Any], hook: Any, **options: Any) -> RemovableHandle:
        self.__dict__["_hooked"] = True
        return add_hook(hooks, hook, **options)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Call `hook(module, args)` before forward; it may return new args.

        With `with_kwargs`: `hook(module, args, kwargs)`, returning None or (args, kwargs).
        """
        flags = ((with_kwargs, self._forward_pre_hooks_with_kwargs),)
        return self._add_hook(self._forward_pre_hooks, hook, prepend=prepend, flags=flags)

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Call `hook(module, args, output)` after forward (`(module, args, kwargs, output)` with `with_kwargs`).

        It may return a new output. With `always_call` it also runs when forward raises.
        """
        flags = ((with_kwargs, self._forward_hooks_with_kwargs), (always_call, self._forward_hooks_always_called))
        return self._add_hook(self._forward_hooks, hook, prepend=prepend, flags=flags)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_output)` when the output's gradient is known; it may return a new one."""
        return self._add_hook(self._backward_pre_hooks, hook, prepend=prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Call `hook(module, grad_input, grad_output)` when both are known; it may return a new grad_input."""
        return self._add_hook(self._backward_hooks, hook, prepend=prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """The old name of `register_full_backward_hook`."""
        return self.register_full_backward_hook(hook)

    # ---- state --------------------------------------------------------------------------------------------------

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, local_metadata)` at the end of `state_dict`."""
        hook._from_public_api = True  # type: ignore[attr-defined]
        return add_hook(self._state_dict_hooks, hook)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        return add_hook(self._state_dict_hooks, hook)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, prefix, keep_vars)` before `state_dict` collects."""
        return add_hook(self._state_dict_pre_hooks, hook)

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., Any], with_module: bool = False
    ) -> RemovableHandle:
        return add_hook(self._load_state_dict_pre_hooks, _LoadHook(hook, self if with_module else None))

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, state_dict, prefix, metadata, strict, missing, unexpected, errors)` before loading."""
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Call `hook(module, incompatible_keys)` after loading; it may change the two lists in place."""
        return add_hook(self._load_state_dict_post_hooks, hook)

    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        for name, param in self._parameters.items():
            if param is not None:
                destination[prefix + name] = param if keep_vars else param.detach()
        for name, buf in self._buffers.items():
            if buf is not None and name not in self._non_persistent_buffers_set:
                destination[prefix + name] = buf if keep_vars else buf.detach()
        if type(self).get_extra_state is not Module.get_extra_state:
            destination[prefix + "_extra_state"] = self.get_extra_state()

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> dict[str, Any]:
        """Parameters and persistent buffers by dotted name, sharing memory; detached unless `keep_vars`."""
        if args:  # the old positional form
            destination = args[0]
            prefix = args[1] if len(args) > 1 else prefix
            keep_vars = args[2] if len(args) > 2 else keep_vars
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()
        metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = metadata
        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, module in self._modules.items():
            if module is not None:
                module.state_dict(destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            new = hook(self, destination, prefix, metadata)
            if getattr(hook, "_from_public_api", False):
                if new is not None:
                    raise RuntimeError("state_dict post-hook must return None")
            elif new is not None:
                destination = new
        out: dict[str, Any] = destination
        return out

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Any],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Take this module's own entries (not its children's) out of `state_dict`, and report into the three lists."""
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)
        assign = local_metadata.get("assign_to_params_buffers", False)
        buffers = {k: v for k, v in self._buffers.items() if k not in self._non_persistent_buffers_set}
        own = {k: v for k, v in (*self._parameters.items(), *buffers.items()) if v is not None}
        for name, param in own.items():
            key = prefix + name
            if key not in state_dict:
                if strict:
                    missing_keys.append(key)
                continue
            value = state_dict[key]
            error = self._load_tensor(name, param, value, assign)
            if error:
                error_msgs.append(error.replace("<key>", key))

        extra_key = prefix + "_extra_state"
        has_extra = type(self).set_extra_state is not Module.set_extra_state
        if has_extra or type(self).get_extra_state is not Module.get_extra_state:
            if extra_key in state_dict:
                self.set_extra_state(state_dict[extra_key])
            elif strict:
                missing_keys.append(extra_key)
        elif strict and extra_key in state_dict:
            unexpected_keys.append(extra_key)

        if strict:
            for key in state_dict:
                if key.startswith(prefix) and key != extra_key:
                    first, dot, _ = key[len(prefix) :].partition(".")
                    if first not in (self._modules if dot else own):
                        unexpected_keys.append(key)

    def _load_tensor(self, name: str, param: Tensor, value: Any, assign: bool) -> str | None:
        """Copy `value` into `param`, or put it in its place; the error text, if it does not fit."""
        if not isinstance(value, Tensor):
            return (
                f'While copying the parameter named "<key>", expected a Tensor from the checkpoint, got {type(value)}'
            )
        if len(param.shape) == 0 and tuple(value.shape) == (1,):
            value = value[0]  # scalars were once saved with one dimension
        if tuple(value.shape) != tuple(param.shape):
            return (
                f"size mismatch for <key>: copying a param with shape {value.shape} from checkpoint, "
                f"the shape in current model is {param.shape}."
            )
        try:
            with rt.no_grad():
                if not assign:
                    param.copy_(value)
                elif isinstance(param, Parameter):
                    if not isinstance(value, Parameter):
                        value = Parameter(value, requires_grad=param.requires_grad)
                    else:
                        value.requires_grad_(param.requires_grad)
                    setattr(self, name, value)
                else:
                    setattr(self, name, value)
        except Exception as e:
            return (
                f'While copying the parameter named "<key>", whose dimensions in the model are {param.shape} and whose '
                f"dimensions in the checkpoint are {value.shape}, an exception occurred : {e.args}."
            )
        return None

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy the tensors of `state_dict` into the module's (with `assign`: put them in their place).

        With `strict`, missing or unexpected names are a RuntimeError, as differing shapes always are.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        missing: list[str] = []
        unexpected: list[str] = []
        errors: list[str] = []
        metadata = getattr(state_dict, "_metadata", None) or {}
        keys = _IncompatibleKeys(missing, unexpected)

        def load(module: Module, entries: dict[str, Any], prefix: str) -> None:
            local = dict(metadata.get(prefix[:-1], {}))
            if assign:
                local["assign_to_params_buffers"] = True
            module._load_from_state_dict(entries, prefix, local, True, missing, unexpected, errors)
            for name, child in module._modules.items():
                if child is not None:
                    start = prefix + name + "."
                    load(child, {k: v for k, v in entries.items() if k.startswith(start)}, start)
            for hook in module._load_state_dict_post_hooks.values():
                if hook(module, keys) is not None:
                    raise RuntimeError("load_state_dict post-hooks must return None; change the lists in place")

        load(self, OrderedDict(state_dict), "")
        if strict:
            for what, names in (("Unexpected", unexpected), ("Missing", missing)):
                if names:
                    quoted = ", ".join(f'"{k}"' for k in names)
                    errors.insert(0, f"{what} key(s) in state_dict: {quoted}. ")
        if errors:
            raise RuntimeError(f"Error(s) in loading state_dict for {type(self).__name__}:\n\t" + "\n\t".join(errors))
        return keys

    # ---- iteration ----------------------------------------------------------------------------------------------

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(dotted name, parameter) pairs."""
        return _named_tensors(lambda m: m._parameters, self, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once."""
        for _, buf in self.named_buffers(recurse=recurse):
            yield buf

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """(dotted name, buffer) pairs."""
        return _named_tensors(lambda m: m._buffers, self, prefix, recurse, remove_duplicate)

    def children(self) -> Iterator[Module]:
        """The direct submodules, each once."""
        for _, module in self.named_children():
            yield module

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) pairs of the direct submodules, each module once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def modules(self, remove_duplicate: bool = True) -> Iterator[Module]:
        """The module itself and all its descendants, each once."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(dotted name, module) pairs, the module itself (named `prefix`) first."""
        if memo is None:
            memo = set()
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        dot = prefix + "." if prefix else ""
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, dot + name, remove_duplicate)

    # ---- modes and conversions ----------------------------------------------------------------------------------

    def train(self: M, mode: bool = True) -> M:
        """Training mode for the module and its descendants (dropout, batch norm ... behave accordingly)."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self: M) -> M:
        """Evaluation mode: `train(False)`."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Set `requires_grad` of every parameter."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients of every parameter (or fill them with zeros)."""
        for p in self.parameters():
            if set_to_none:
                p.grad = None
            elif p.grad is not None:
                if p.grad.grad_fn is not None:
                    p.grad.detach_()
                else:
                    p.grad.requires_grad_(False)
                p.grad.zero_()

    def apply(self: M, fn: Callable[[Module], None]) -> M:
        """Call `fn` on every descendant, children before parents, and on the module itself."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    def _apply(self: M, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> M:
        """Replace the values of all tensors by `fn` of them; parameters stay the same objects: optimizers hold them."""
        if recurse:
            for module in self.children():
                module._apply(fn)
        for name, param in list(self._parameters.items()):
            if param is None:
                continue
            grad = param.grad
            with rt.no_grad():
                old = param.data
                new = fn(old)
                if new.device != old.device:
                    # On another device it is another parameter, as its elements are others.
                    kind: Any = type(param)
                    made = (
                        kind(param.requires_grad, device=new.device, dtype=new.dtype)
                        if is_lazy(param)
                        else kind(new, param.requires_grad)
                    )
                    param = self._parameters[name] = made
                elif new is not old:
                    param.data = new
                if grad is not None:
                    param.grad = fn(grad.detach()).requires_grad_(grad.requires_grad)
        for name, buf in self._buffers.items():
            if is_lazy(buf):
                buf.data = fn(buf.data)  # type: ignore[union-attr]
            elif buf is not None:
                self._buffers[name] = fn(buf)
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Move or cast: `to(device, dtype, non_blocking)`, `to(dtype)` or `to(tensor)`; whole numbers are not cast."""
        device, dtype = _parse_to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )

        def convert(t: Tensor) -> Tensor:
            if dtype is not None and (t.is_floating_point() or t.is_complex()):
                return t.to(dtype=dtype) if device is None else t.to(device=device, dtype=dtype)
            return t if device is None else t.to(device=device)

        return self._apply(convert)

    def _cast(self: M, dtype: Any) -> M:
        return self._apply(lambda t: t.to(dtype=dtype) if t.is_floating_point() else t)

    def float(self: M) -> M:
        """Cast floating point parameters and buffers to float32."""
        return self._cast(rt.float32)

    def double(self: M) -> M:
        """Cast floating point parameters and buffers to float64."""
        return self._cast(rt.float64)

    def half(self: M) -> M:
        """Cast floating point parameters and buffers to float16."""
        return self._cast(rt.float16)

    def bfloat16(self: M) -> M:
        """Cast floating point parameters and buffers to bfloat16."""
        return self._cast(rt.bfloat16)

    def type(self: M, dst_type: Any) -> M:
        """Cast all parameters and buffers to `dst_type`."""
        return self._apply(lambda t: t.type(dst_type))

    def cpu(self: M) -> M:
        """Move all parameters and buffers to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self: M, device: Device = None) -> M:
        """Always an error: there is no CUDA device."""
        raise RuntimeError("Module.cuda: rustorch computes on the CPU only; use .to('cpu') or leave the call out")

    def to_empty(self: M, *, device: Device, recurse: bool = True) -> M:
        """Give every parameter and buffer fresh memory on `device`, its values undefined."""
        return self._apply(lambda t: rt.empty_like(t, device=device), recurse=recurse)

    def share_memory(self: M) -> M:
        """The module itself: threads share its tensors already."""
        return self

    # ---- printing -----------------------------------------------------------------------------------------------

    def _get_name(self) -> str:
        return self.__class__.__name__

    def extra_repr(self) -> str:
        """Override: the arguments to show in the module's printed form."""
        return ""

    def __repr__(self) -> str:
        extra = self.extra_repr()
        extra_lines = extra.split("\n") if extra else []
        child_lines = [f"({name}): {_addindent(repr(module), 2)}" for name, module in self._modules.items()]
        lines = extra_lines + child_lines
        if not lines:
            return f"{self._get_name()}()"
        if len(extra_lines) == 1 and not child_lines:
            return f"{self._get_name()}({extra})"
        return f"{self._get_name()}(\n  " + "\n  ".join(lines) + "\n)"


class _LoadHook:
    """A load_state_dict pre-hook that gets its module only if asked for; a class, so that modules pickle."""

    def __init__(self, hook: Callable[..., Any], module: Module | None) -> None:
        self.hook = hook
        self.module = module

    def __call__(self, *args: Any) -> Any:
        return self.hook(*args) if self.module is None else self.hook(self.module, *args)


def _parse_to(*args: Any, **kwargs: Any) -> tuple[Any, DType]:
    """(device or None, dtype or None) out of the call forms of `to`."""
    device = kwargs.pop("device", None)
    dtype = kwargs.pop("dtype", None)
    other = kwargs.pop("tensor", kwargs.pop("other", None))
    for name in ("non_blocking", "copy", "memory_format"):
        kwargs.pop(name, None)
    if kwargs:
        raise TypeError(f"to() got an unexpected keyword argument '{next(iter(kwargs))}'")
    for arg in args:
        if isinstance(arg, Tensor):
            other = arg
        elif is_word(arg):
            dtype = arg
        elif isinstance(arg, bool):
            pass  # non_blocking
        elif isinstance(arg, (str, rt.device)):
            device = arg
        elif isinstance(arg, int):
            device = f"cuda:{arg}"  # a bare number means an accelerator: let `to` refuse it
        elif arg is not None:
            raise DTypeError(f"to() received an invalid argument of type {type(arg).__name__}")
    if other is not None:
        device, dtype = other.device, other.dtype
    return None if device is None else rt.device(device), None if dtype is None else from_python(dtype)
