"""Parameters as one vector."""

# Functions of the package that are looked up when first used are not typed.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

from collections.abc import Iterable

import rustorch as rt
from rustorch import Tensor

__all__ = ["parameters_to_vector", "vector_to_parameters"]


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All elements in order, [total]."""
    return rt.cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Make the parameters views of their parts of `vec` [total]."""
    if not isinstance(vec, Tensor):
        raise TypeError(f"expected a Tensor, but got: {type(vec).__name__}")
    start = 0
    for p in parameters:
        end = start + p.numel()
        p.data = vec[start:end].view(p.shape).data
        start = end
