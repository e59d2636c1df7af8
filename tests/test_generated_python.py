"""Every generated Python function: what it says to arguments that C could not be given, and to those that C refuses."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

import rustorch as rt
from rustorch import _ops, errors
from rustorch._door import CALLED, NULL, lib

FUNCTIONS = sorted(
    {f for f in vars(_ops).values() if inspect.isfunction(f) and hasattr(lib, f"py_{f.__name__}")},
    key=lambda f: f.__name__,
)


def required(f: Any) -> list[inspect.Parameter]:
    parameters = inspect.signature(f).parameters.values()
    return [p for p in parameters if p.default is p.empty and p.kind is not p.VAR_POSITIONAL]


def numpys_names(f: Any) -> dict[str, Any]:
    return {k: v for k, v in (("axis", 0), ("keepdims", False)) if k in inspect.signature(f).parameters}


@pytest.mark.parametrize("f", FUNCTIONS, ids=lambda f: f.__name__)
def test_wrong_arguments_are_named(f: Any) -> None:
    if not required(f):
        with pytest.raises(TypeError):
            f(no_such_argument=1)
        return
    with pytest.raises((errors.DTypeError, errors.InvalidArgumentError)) as e:
        f(*[object()] * len(required(f)), **numpys_names(f))
    assert str(e.value).startswith(CALLED.get(f.__name__, f.__name__) + "(") and "object" in str(e.value)


def a_tensor_without_elements_of_its_own() -> rt.Tensor:
    t = object.__new__(rt.Tensor)
    t._h = NULL
    return t


VALUES = {
    "Tensor": a_tensor_without_elements_of_its_own,
    "Sequence[Tensor": lambda: [a_tensor_without_elements_of_its_own()],
    "int | Sequence": lambda: (0,),
    "Sequence[int": lambda: (0,),
    "int": lambda: 0,
    "float": lambda: 0.5,
    "bool": lambda: False,
    "str": lambda: "mean",
    "dtype_": lambda: rt.float32,
    "Number": lambda: 1,
}


def value_for(p: inspect.Parameter) -> Any:
    kinds = [k for k in VALUES if str(p.annotation).startswith(k)]
    return VALUES[max(kinds, key=len)]()


TAKE_TENSORS = [f for f in FUNCTIONS if any("Tensor" in str(p.annotation) for p in required(f))]


@pytest.mark.parametrize("f", TAKE_TENSORS, ids=lambda f: f.__name__)
def test_what_c_refuses_is_raised(f: Any) -> None:
    with pytest.raises(errors.RustorchError, match=r"NULL|never initialised") as e:
        f(*[value_for(p) for p in required(f)], **numpys_names(f))
    assert e.value.op in [CALLED.get(name, name) for name in (f.__name__, f.__name__.removesuffix("_"))]
