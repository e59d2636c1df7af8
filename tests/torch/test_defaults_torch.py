"""`tests/signatures.txt`, which the tests without torch read, is what torch's own signatures say.

`python tests/torch/test_defaults_torch.py` writes it anew.
"""

from __future__ import annotations

import importlib
import inspect
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402

FILE = Path(__file__).parent.parent / "signatures.txt"
PLACES = [
    "nn", "nn.functional", "nn.init", "nn.utils", "nn.utils.rnn", "nn.utils.parametrize", "nn.utils.parametrizations",
    "optim", "optim.lr_scheduler", "optim.swa_utils", "autograd", "autograd.functional", "autograd.graph",
    "amp", "compiler", "cuda", "distributed", "func", "fx", "hub", "jit", "library", "linalg", "nn.attention",
    "nn.attention.flex_attention", "nn.parallel", "nn.parameter", "nn.utils.fusion", "nn.utils.prune", "onnx",
    "overrides", "profiler", "random", "serialization", "storage", "testing", "utils._pytree", "utils.checkpoint",
    "utils.data", "utils.hooks", "signal.windows",
]  # fmt: skip


def at(package: Any, dotted: str) -> Any:
    return importlib.import_module(f"{package.__name__}.{dotted}")


def word(value: Any) -> str:
    if value is torch.strided:  # the only one there is
        return "None"
    if callable(value):
        return repr(getattr(value, "__name__", type(value).__name__))
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"
    return repr(value)


def written(signature: inspect.Signature, skip: int) -> str:
    """The parameters as a call would be declared, without annotations."""
    parts, star = [], False
    for p in list(signature.parameters.values())[skip:]:
        if p.kind is p.VAR_POSITIONAL:
            parts.append("*" + p.name)
            star = True
            continue
        if p.kind is p.VAR_KEYWORD:
            parts.append("**" + p.name)
            continue
        if p.kind is p.KEYWORD_ONLY and not star:
            parts.append("*")
            star = True
        parts.append(p.name if p.default is p.empty else f"{p.name}={word(p.default)}")
    return ", ".join(parts)


def methods(kind: type, place: str) -> list[str]:
    """Those of a class whose parameters have to be PyTorch's; of one from elsewhere only the constructor's."""
    found = ["__init__", "forward"]
    if kind.__module__.startswith(f"rustorch.{place}"):
        found += [
            n for n, v in vars(kind).items() if not n.startswith("_") and inspect.isfunction(v) and n != "forward"
        ]
    return found


def lines() -> list[str]:
    found = []
    for place in PLACES:
        ours, theirs = at(rt, place), at(torch, place)
        for name in sorted(n for n in dir(ours) if not n.startswith("_")):
            mine, other = getattr(ours, name), getattr(theirs, name, None)
            if not callable(mine) or not callable(other) or "rustorch" not in (getattr(mine, "__module__", "") or ""):
                continue
            if isinstance(mine, type) and issubclass(mine, (Warning, Exception)):
                continue
            if mine is rt.Tensor:
                continue
            for method in methods(mine, place) if isinstance(other, type) else ("",):
                f = getattr(other, method, None) if method else other
                try:
                    signature = inspect.signature(f)
                except (TypeError, ValueError):
                    continue
                text = written(signature, 1 if method else 0)
                if f is None or text == "*args, **kwargs" or (method not in ("", "__init__") and "=" not in text):
                    continue
                if "<" in text:  # an object, of which there is no literal
                    continue
                found.append(f"{place}.{name}{'.' + method if method else ''}({text})")
    return found


def test_the_list_is_what_torch_says() -> None:
    assert FILE.read_text().splitlines() == lines()


if __name__ == "__main__":
    FILE.write_text("\n".join(lines()) + "\n")
