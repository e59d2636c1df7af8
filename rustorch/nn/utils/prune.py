"""Pruning: parameters are multiplied with masks of zeros and ones before each call.

A pruned parameter `name` of a module becomes `name_orig`, which is trained, and the buffer `name_mask`; `name` itself
is their product, computed by a hook before `forward`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

import rustorch as rt

__all__ = [
    "BasePruningMethod", "CustomFromMask", "Identity", "L1Unstructured", "LnStructured", "PruningContainer",
    "RandomStructured", "RandomUnstructured", "custom_from_mask", "global_unstructured", "identity", "is_pruned",
    "l1_unstructured", "ln_structured", "random_structured", "random_unstructured", "remove",
]  # fmt: skip


class BasePruningMethod(ABC):
    """A way to choose what is pruned: a class with `compute_mask`, called before each `forward` of the module."""

    PRUNING_TYPE: str
    _tensor_name: str

    def __call__(self, module: Any, inputs: Any) -> None:
        setattr(module, self._tensor_name, self.apply_mask(module))

    @abstractmethod
    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask of a tensor: zeros where it is pruned, also where `default_mask` is 0."""

    def apply_mask(self, module: Any) -> Any:
        """The pruned parameter."""
        mask = getattr(module, self._tensor_name + "_mask")
        original = getattr(module, self._tensor_name + "_orig")
        return mask.to(dtype=original.dtype) * original

    @classmethod
    def apply(cls, module: Any, name: str, *args: Any, importance_scores: Any = None, **kwargs: Any) -> Any:
        """Prunes the parameter `name` of a module; what was pruned before stays so."""
        old = next((h for h in _methods(module) if h._tensor_name == name), None)
        if old is not None:
            key = next(k for k, h in module._forward_pre_hooks.items() if h is old)
            del module._forward_pre_hooks[key]
        method: Any = cls(*args, **kwargs)
        method._tensor_name = name
        original = getattr(module, name)
        scores = original if importance_scores is None else importance_scores
        if scores.shape != original.shape:
            raise ValueError(f"importance_scores must have the shape of parameter {name} of {type(module).__name__}")
        if old is not None:
            container = old if isinstance(old, PruningContainer) else PruningContainer(old)
            container.add_pruning_method(method)
            method = container
            default = getattr(module, name + "_mask")
        else:
            default = rt.ones_like(original)
            del module._parameters[name]
            module.register_parameter(name + "_orig", original)
        try:
            with rt.no_grad():
                mask = method.compute_mask(scores.detach(), default)
            module.register_buffer(name + "_mask", mask)
            setattr(module, name, method.apply_mask(module))
            module.register_forward_pre_hook(method)
        except Exception:
            if old is None:
                del module._parameters[name + "_orig"]
                module.register_parameter(name, original)
            raise
        return method

    def prune(self, t: Any, default_mask: Any = None, importance_scores: Any = None) -> Any:
        """A pruned copy of a tensor."""
        scores = t if importance_scores is None else importance_scores
        if scores.shape != t.shape:
            raise ValueError("importance_scores must have the shape of the tensor")
        default = rt.ones_like(t) if default_mask is None else default_mask
        return t * self.compute_mask(scores, default_mask=default)

    def remove(self, module: Any) -> None:
        """Makes the pruned parameter a parameter again. What was pruned is lost."""
        weight = self.apply_mask(module)
        name = self._tensor_name
        if hasattr(module, name):
            delattr(module, name)
        original = module._parameters.pop(name + "_orig")
        del module._buffers[name + "_mask"]
        original.data = weight.data
        setattr(module, name, original)


def _methods(module: Any) -> list[Any]:
    return [h for h in module._forward_pre_hooks.values() if isinstance(h, BasePruningMethod)]


class PruningContainer(BasePruningMethod):
    """Several ways, one after the other, for one parameter."""

    def __init__(self, *args: Any) -> None:
        self._pruning_methods: tuple[Any, ...] = ()
        if len(args) == 1 and isinstance(args[0], BasePruningMethod):
            self._tensor_name = args[0]._tensor_name
        elif len(args) == 1 and isinstance(args[0], Iterable):
            args = tuple(args[0])
        for method in args:
            self.add_pruning_method(method)

    def add_pruning_method(self, method: Any) -> None:
        """Adds one at the end."""
        if not isinstance(method, BasePruningMethod):
            raise TypeError(f"{type(method)} is not a BasePruningMethod subclass")
        if self._pruning_methods and self._tensor_name != method._tensor_name:
            raise ValueError(
                f"Can only add pruning methods acting on the parameter named '{self._tensor_name}', "
                f"found '{method._tensor_name}'"
            )
        self._pruning_methods += (method,)

    def __len__(self) -> int:
        return len(self._pruning_methods)

    def __iter__(self) -> Any:
        return iter(self._pruning_methods)

    def __getitem__(self, i: Any) -> Any:
        return self._pruning_methods[i]

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask before, further pruned by the last way, which only sees what is left."""
        method = self._pruning_methods[-1]
        mask = default_mask.to(dtype=t.dtype)
        if method.PRUNING_TYPE == "unstructured":
            part: Any = mask == 1
        elif method.PRUNING_TYPE == "structured":
            dim = method.dim % t.ndim
            left = mask.sum(dim=[d for d in range(t.ndim) if d != dim]) != 0
            part = [slice(None)] * t.ndim
            part[dim] = left
            part = tuple(part)
        elif method.PRUNING_TYPE == "global":
            part = tuple([slice(None)] * t.ndim)
        else:
            raise ValueError(f"Unrecognized PRUNING_TYPE {method.PRUNING_TYPE}")
        new = mask.clone()
        new[part] = method.compute_mask(t[part], default_mask=mask[part]).to(new.dtype)
        return new


class Identity(BasePruningMethod):
    """Prunes nothing."""

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask as it was."""
        return default_mask


class RandomUnstructured(BasePruningMethod):
    """Prunes elements at random: a fraction of them, or a number."""

    PRUNING_TYPE = "unstructured"

    def __init__(self, amount: Any) -> None:
        _check_amount(amount)
        self.amount = amount

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask with so many more zeros."""
        n = _number(self.amount, t.numel())
        mask = default_mask.clone()
        if n:
            mask.view(-1)[rt.rand_like(t).view(-1).topk(n).indices] = 0
        return mask


class L1Unstructured(RandomUnstructured):
    """Prunes the elements of the least absolute values."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask with so many more zeros."""
        n = _number(self.amount, t.numel())
        mask = default_mask.clone()
        if n:
            mask.view(-1)[t.abs().reshape(-1).topk(n, largest=False).indices] = 0
        return mask


class _Structured(BasePruningMethod):
    PRUNING_TYPE = "structured"

    def __init__(self, amount: Any, dim: int = -1) -> None:
        _check_amount(amount)
        self.amount, self.dim = amount, dim

    def _scores(self, t: Any) -> Any:
        raise NotImplementedError

    def _mask(self, t: Any, default_mask: Any, kept: Any) -> Any:
        shape = [1] * t.ndim
        shape[self.dim] = -1
        return default_mask * kept.reshape(shape).to(default_mask.dtype)


class RandomStructured(_Structured):
    """Prunes whole slices along `dim` at random."""

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask with so many more slices of zeros."""
        _check_structure(t, self.dim)
        n = _number(self.amount, t.shape[self.dim])
        if not n:
            return default_mask
        draws = rt.rand(t.shape[self.dim])
        return self._mask(t, default_mask, draws > draws.kthvalue(n).values)


class LnStructured(_Structured):
    """Prunes the slices along `dim` of the least norm, the `n`-norm."""

    def __init__(self, amount: Any, n: Any, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n = n

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """The mask with so many more slices of zeros."""
        _check_structure(t, self.dim)
        size = t.shape[self.dim]
        n = _number(self.amount, size)
        if not n:
            return default_mask
        others = [d for d in range(t.ndim) if d != self.dim % t.ndim]
        kept = rt.zeros(size, dtype=t.dtype)
        kept[rt.norm(t, p=self.n, dim=others).topk(size - n).indices] = 1
        return self._mask(t, default_mask, kept)


class CustomFromMask(BasePruningMethod):
    """Prunes by a given mask."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Any) -> None:
        self.mask = mask

    def compute_mask(self, t: Any, default_mask: Any) -> Any:
        """Both masks together."""
        return default_mask * self.mask.to(dtype=default_mask.dtype)


def _check_amount(amount: Any) -> None:
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise TypeError(f"Invalid type for amount: {amount}. Must be int or float.")
    if amount < 0 or (isinstance(amount, float) and amount > 1.0):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")


def _number(amount: Any, size: int) -> int:
    """How many of `size` are pruned."""
    n = amount if isinstance(amount, int) else round(amount * size)
    if n > size:
        raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={size}")
    return n


def _check_structure(t: Any, dim: int) -> None:
    if t.ndim <= 1:
        raise ValueError(f"Structured pruning can only be applied to multidimensional tensors, got {t.ndim} dimensions")
    if not -t.ndim <= dim < t.ndim:
        raise IndexError(f"Invalid index {dim} for tensor of size {t.shape}")


def identity(module: Any, name: str) -> Any:
    """Makes a parameter a pruned one of which nothing is pruned yet."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Any, name: str, amount: Any) -> Any:
    """Prunes elements at random: a fraction (a float), or a number."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Any, name: str, amount: Any, importance_scores: Any = None) -> Any:
    """Prunes the elements of the least absolute values, or of the least absolute scores."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Any, name: str, amount: Any, dim: int) -> Any:
    """Prunes whole slices along `dim` at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(module: Any, name: str, amount: Any, n: Any, dim: int, importance_scores: Any = None) -> Any:
    """Prunes the slices along `dim` of the least `n`-norm."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Any, name: str, mask: Any) -> Any:
    """Prunes by a mask."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(parameters: Any, pruning_method: Any, importance_scores: Any = None, **kwargs: Any) -> None:
    """Prunes elements of several parameters, given as (module, name), as though they were one tensor."""
    parameters = list(parameters)
    given = importance_scores or {}
    tensors = [getattr(module, name) for module, name in parameters]
    scores = [given.get(p, t).reshape(-1) for p, t in zip(parameters, tensors)]
    masks = [
        getattr(module, name + "_mask", rt.ones_like(t)).reshape(-1) for (module, name), t in zip(parameters, tensors)
    ]
    container = PruningContainer()
    container._tensor_name = "temp"
    method = pruning_method(**kwargs)
    method._tensor_name = "temp"
    if method.PRUNING_TYPE != "unstructured":
        raise TypeError('Only "unstructured" PRUNING_TYPE supported for global_unstructured')
    container.add_pruning_method(method)
    final = container.compute_mask(rt.cat(scores).detach(), rt.cat(masks))
    for (module, name), t, mask in zip(parameters, tensors, final.split([t.numel() for t in tensors])):
        custom_from_mask(module, name, mask.view_as(t))


def remove(module: Any, name: str) -> Any:
    """Makes a pruned parameter, as it is now, a parameter again."""
    for key, hook in module._forward_pre_hooks.items():
        if isinstance(hook, BasePruningMethod) and hook._tensor_name == name:
            hook.remove(module)
            del module._forward_pre_hooks[key]
            return module
    raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")


def is_pruned(module: Any) -> bool:
    """True if a parameter of the module, or of one in it, is pruned."""
    return any(_methods(m) for m in module.modules())
