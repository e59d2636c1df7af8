"""The first names of rustorch's Python API: thin aliases of the classes of today."""

from __future__ import annotations

from typing import Any

from . import _ops, words
from ._door import lib
from ._tensor import Tensor, _disabled_torch_function_impl
from .dtypes import BY_NAME
from .errors import InvalidArgumentError, ShapeMismatchError
from .interchange import from_numpy as _from_numpy

__all__ = ["PyTensor", "PyVariable", "validate_dimensions"]


def validate_dimensions(dims: Any) -> tuple[int, ...]:
    """Sizes as a tuple; each must be a positive int."""
    out = tuple(int(d) for d in dims)
    if not out:
        raise InvalidArgumentError("dimensions must not be empty")
    if any(d <= 0 for d in out):
        raise InvalidArgumentError(f"dimensions must be positive, got {list(out)}")
    return out


class PyTensor(Tensor):
    """`PyTensor(data, shape)`: a float32 tensor from flat numbers and a shape."""

    __torch_function__ = _disabled_torch_function_impl

    def __new__(cls, data: Any, shape: Any = None) -> Any:
        t = words.tensor(data, dtype=None if isinstance(data, Tensor) else BY_NAME["float32"])
        if shape is not None:
            dims = validate_dimensions(shape)
            count = 1
            for d in dims:
                count *= d
            if count != t.numel():
                e = ShapeMismatchError(f"PyTensor: {t.numel()} numbers do not fill the shape {list(dims)}")
                e.op, e.shape1, e.shape2 = "PyTensor", tuple(t.shape), dims
                raise e
            t = t.reshape(dims)
        return Tensor._make_subclass(cls, t)

    def __init__(self, data: Any, shape: Any = None) -> None:
        """`__new__` did everything."""

    @staticmethod
    def from_numpy(array: Any) -> Any:
        """A tensor that shares the memory of an array."""
        return Tensor._make_subclass(PyTensor, _from_numpy(array))


class _Gradient:
    """`v.grad` is the gradient (None before backward), and `v.grad()` is too."""

    def __get__(self, v: Any, owner: Any = None) -> Any:
        g = Tensor.grad.__get__(v)
        return _Callable._of(g)

    def __set__(self, v: Any, g: Any) -> None:
        Tensor.grad.__set__(v, g)  # type: ignore[attr-defined]


class _Callable(Tensor):
    """A gradient that gives itself when called."""

    __torch_function__ = _disabled_torch_function_impl

    @staticmethod
    def _of(g: Tensor | None) -> Any:
        return None if g is None else g.as_subclass(_Callable)

    def __call__(self) -> Tensor:
        return self.as_subclass(Tensor)  # type: ignore[no-any-return]


class PyVariable(Tensor):
    """A tensor that takes part in automatic differentiation; `v.grad()` gives its gradient."""

    __torch_function__ = _disabled_torch_function_impl
    grad = _Gradient()

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        t = data if isinstance(data, Tensor) else words.tensor(data, dtype=BY_NAME["float32"])
        own = lib.py_retain(t._h)
        lib.py_swap(id(self), id(own))
        if requires_grad:
            self.requires_grad_()

    @staticmethod
    def from_data(data: Any, shape: Any, requires_grad: bool = False) -> PyVariable:
        """A variable from flat numbers and a shape."""
        return PyVariable(PyTensor(data, shape).detach(), requires_grad)

    def backward(self, gradient: Any = None, *args: Any, **kwargs: Any) -> None:
        """Gradients of the sum of this variable, if no gradient is given."""
        super().backward(_ops.ones_like(self.detach()) if gradient is None else gradient, *args, **kwargs)
