"""Parametrisations: a parameter of a module becomes a function of other tensors, computed when it is read."""

from __future__ import annotations

import contextlib
from typing import Any

from rustorch import Tensor
from rustorch.errors import InvalidArgumentError

from ..modules.container import ModuleDict, ModuleList
from ..modules.module import Module
from ..parameter import Parameter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = [
    "ParametrizationList",
    "cached",
    "is_parametrized",
    "register_parametrization",
    "remove_parametrizations",
    "type_before_parametrizations",
]

# Values kept while `cached()` is active: (id of the list) -> tensor. None outside.
_cache: dict[int, Tensor] | None = None


@contextlib.contextmanager
def cached() -> Iterator[None]:
    """Inside, each parametrised tensor is computed once and kept."""
    global _cache
    before, _cache = _cache, {} if _cache is None else _cache
    try:
        yield
    finally:
        _cache = before


class ParametrizationList(ModuleList):
    """The parametrisations of one tensor, applied one after the other to `original` (or `original0`, `original1`, ...).

    The originals come from the modules' `right_inverse(tensor)`, where there is one, else they are the tensor itself.
    """

    def __init__(self, modules: list[Module], original: Tensor) -> None:
        super().__init__(modules)
        first = self._inverse(original)
        self.is_tensor = isinstance(first, Tensor)
        for name, value in zip(self._names(1 if self.is_tensor else len(first)), [first] if self.is_tensor else first):
            if isinstance(original, Parameter):
                self.register_parameter(name, Parameter(value.detach(), original.requires_grad))
            else:
                self.register_buffer(name, value)

    def _names(self, n: int) -> list[str]:
        return ["original"] if self.is_tensor else [f"original{i}" for i in range(n)]

    def _inverse(self, value: Tensor) -> Any:
        for module in reversed(list(self)):
            if hasattr(module, "right_inverse"):
                value = module.right_inverse(value)
        return value

    def originals(self) -> list[Tensor]:
        """The tensors that are learned."""
        own = {**self._parameters, **self._buffers}
        return [t for name, t in own.items() if name.startswith("original") and t is not None]

    def right_inverse(self, value: Tensor) -> None:
        """Sets the originals so that the parametrised tensor becomes `value`, as far as the modules allow."""
        found = self._inverse(value)
        for old, new in zip(self.originals(), [found] if isinstance(found, Tensor) else found):
            old.data.copy_(new.detach())

    def forward(self) -> Tensor:
        """The parametrised tensor."""
        modules = iter(self)
        value: Tensor = next(modules)(*self.originals())
        for module in modules:
            value = module(value)
        return value


def _property(name: str) -> property:
    def get(self: Any) -> Tensor:
        parametrization = self.parametrizations[name]
        if _cache is None:
            return parametrization()  # type: ignore[no-any-return]
        if id(parametrization) not in _cache:
            _cache[id(parametrization)] = parametrization()
        return _cache[id(parametrization)]

    def set_(self: Any, value: Tensor) -> None:
        self.parametrizations[name].right_inverse(value)

    return property(get, set_)


def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """True if the module (or its tensor of that name) has a parametrisation."""
    parametrizations = module._modules.get("parametrizations")
    if not isinstance(parametrizations, ModuleDict):
        return False
    return len(parametrizations) > 0 if tensor_name is None else tensor_name in parametrizations


def type_before_parametrizations(module: Module) -> type[Module]:
    """The module's class without its parametrisations."""
    cls = type(module)
    return cls.__bases__[0] if is_parametrized(module) else cls


def register_parametrization(
    module: Module, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> Module:
    """Makes `module.<tensor_name>` the result of `parametrization(original)`, or of one more step of it.

    `parametrization.right_inverse(tensor)`, if there is one, gives the original (or originals) for a wanted value;
    a further step leaves the originals as they are.

    Raises:
        InvalidArgumentError: there is no such tensor; or, unless `unsafe`, shape or dtype would change.
    """
    if not is_parametrized(module, tensor_name):
        original: Tensor | None = module._parameters.get(tensor_name)
        original = module._buffers.get(tensor_name) if original is None else original
        if original is None:
            raise InvalidArgumentError(
                f"Module '{module}' does not have a parameter, a buffer, or a parametrized element "
                f"with name '{tensor_name}'"
            )
        chain = ParametrizationList([parametrization], original)
        if not unsafe:
            _same_kind(chain.forward(), original, parametrization)
        if not is_parametrized(module):
            cls = type(module)
            module.__class__ = type(f"Parametrized{cls.__name__}", (cls,), {"__module__": cls.__module__})
            module.parametrizations = ModuleDict()
        module._parameters.pop(tensor_name, None)
        module._buffers.pop(tensor_name, None)
        module.parametrizations[tensor_name] = chain
        setattr(type(module), tensor_name, _property(tensor_name))
        return module
    chain = module.parametrizations[tensor_name]
    if not unsafe:
        before = chain.forward()
        _same_kind(parametrization(before), before, parametrization)
    chain.append(parametrization)
    return module


def _same_kind(new: Tensor, old: Tensor, parametrization: Module) -> None:
    if (new.shape, new.dtype) != (old.shape, old.dtype):
        raise InvalidArgumentError(
            f"{type(parametrization).__name__}: a parametrization must keep shape and dtype, unless unsafe=True; "
            f"the tensor has shape {list(old.shape)} and dtype {old.dtype}, "
            f"the result {list(new.shape)} and {new.dtype}"
        )


def remove_parametrizations(module: Module, tensor_name: str, leave_parametrized: bool = True) -> Module:
    """Takes the parametrisations of a tensor away: it keeps its present value, or else its original.

    Raises:
        InvalidArgumentError: the tensor has no parametrisation, or several originals and `leave_parametrized` is False.
    """
    if not is_parametrized(module, tensor_name):
        raise InvalidArgumentError(f"Module {module} does not have a parametrization on {tensor_name}")
    parametrizations: Any = module.parametrizations
    chain = parametrizations[tensor_name]
    originals = chain.originals()
    if leave_parametrized:
        value = chain.forward().detach()
    elif chain.is_tensor:
        value = originals[0].detach()
    else:
        raise InvalidArgumentError(f"leave_parametrized=False needs a single original, {tensor_name} has several")
    del parametrizations[tensor_name]
    delattr(type(module), tensor_name)
    if not len(parametrizations):
        module.__class__ = type(module).__bases__[0]
        del module._modules["parametrizations"]
    if isinstance(originals[0], Parameter):
        module.register_parameter(tensor_name, Parameter(value, originals[0].requires_grad))
    else:
        module.register_buffer(tensor_name, value)
    return module
