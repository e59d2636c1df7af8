"""Single ops: what a call costs (tiny tensors) and what the kernels do (1000 x 1000)."""

from __future__ import annotations

from typing import Any

from harness import Case


def one(library: Any, requires_grad: bool = False) -> dict[str, Any]:
    """Two tensors with one element."""
    a, b = (library.tensor([v], requires_grad=requires_grad) for v in (1.5, 2.5))
    return {"a": a, "b": b}


def large(library: Any) -> dict[str, Any]:
    """Two matrices, as in the project's first benchmark."""
    library.manual_seed(0)
    return {"rt": library, "a": library.randn(1000, 1000), "b": library.randn(1000, 1000)}


CASES = [
    Case("a + b, 1 element", 0.60, "a + b", one),
    Case("a * 2.0, 1 element", 0.35, "a * 2.0", one),
    Case("a + b, 1 element, requires_grad", 0.60, "a + b", lambda lib: one(lib, True)),
    Case(
        "(x*2+1).sum().backward(), 4 elements",
        0.30,
        "(x * 2 + 1).sum().backward()",
        lambda lib: {"x": lib.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)},
    ),
    Case("matmul 1000x1000 float32", 1.10, "rt.matmul(a, b)", large),
    Case("add 1000x1000 float32", 1.0, "rt.add(a, b)", large),
    Case("sum 1000x1000 float32", 1.0, "rt.sum(a)", large),
]
