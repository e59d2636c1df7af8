"""Tensors a module owns: parameters (learned) and buffers (carried along), and their not yet sized forms."""

# Functions of the package that are looked up when first used are not typed.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from typing import Any

import rustorch as rt
from rustorch import Tensor
from rustorch._arguments import flags
from rustorch._tensor import _disabled_torch_function_impl

__all__ = ["Buffer", "Parameter", "UninitializedBuffer", "UninitializedParameter", "is_lazy"]


def _checked(what: str, data: Any) -> Tensor:
    if data is None:
        return rt.empty(0)
    if not isinstance(data, Tensor):
        raise TypeError(f"{what}: data must be a Tensor, got {type(data).__name__}")
    return data


class Parameter(Tensor):
    """A tensor that registers itself when assigned to a `Module`; shares memory with `data` and requires grad."""

    __torch_function__ = _disabled_torch_function_impl

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Any:
        if requires_grad is not True:
            flags("Parameter", requires_grad=requires_grad)
        return Tensor._make_subclass(cls, _checked("Parameter", data), requires_grad)

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        """`__new__` did everything; the base class would make an own tensor here."""


class Buffer(Tensor):
    """A tensor that registers itself as a buffer when assigned to a `Module`; in its state_dict if `persistent`."""

    __torch_function__ = _disabled_torch_function_impl
    persistent: bool = True

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        data = _checked("Buffer", data)
        return _persist(Tensor._make_subclass(cls, data, data.requires_grad), persistent)

    def __init__(self, data: Tensor | None = None, *, persistent: bool = True) -> None:
        """`__new__` did everything; the base class would make an own tensor here."""


def _persist(buffer: Any, persistent: bool) -> Any:
    if not persistent:
        buffer.persistent = False
    return buffer


class _Uninitialized:
    """What a tensor of unknown shape can do: take a dtype or device, and be materialized once."""

    __slots__ = ()
    cls_to_become: type[Any]
    data: Any
    requires_grad: bool

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Give the tensor its shape, its values undefined; it becomes an ordinary one from here on."""
        now = self.data
        self.data = rt.empty(shape, device=device or now.device, dtype=now.dtype if dtype is None else dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            f"{type(self).__name__}: the shape is not known yet; run a forward pass first, or call materialize(shape)"
        )

    def size(self, dim: int | None = None) -> Any:
        """Same error as `shape`."""
        return self.shape

    def share_memory_(self) -> Any:
        """Same error as `shape`."""
        return self.shape

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            make, args = self.__reduce_ex__(2)
            memo[id(self)] = make(*args)
        return memo[id(self)]

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return type(self), (self.requires_grad, self.data.device, self.data.dtype)


class UninitializedParameter(_Uninitialized, Parameter):  # type: ignore[misc]
    """A parameter whose shape the first forward pass of a lazy module will tell."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return Tensor._make_subclass(cls, rt.empty(0, device=device, dtype=dtype), requires_grad)

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        """`__new__` did everything."""


class UninitializedBuffer(_Uninitialized, Buffer):  # type: ignore[misc]
    """A buffer whose shape the first forward pass of a lazy module will tell."""

    cls_to_become = Buffer

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> Any:
        data = rt.empty(0, device=device, dtype=dtype)
        return _persist(Tensor._make_subclass(cls, data, requires_grad), persistent)

    def __init__(
        self, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> None:
        """`__new__` did everything."""

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        make, args = super().__reduce_ex__(protocol)
        return make, (*args, self.persistent)


def is_lazy(param: Any) -> bool:
    """Whether `param` still waits for its shape."""
    return isinstance(param, _Uninitialized)
