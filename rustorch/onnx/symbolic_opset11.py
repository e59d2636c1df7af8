"""How PyTorch exports its ops to version 11 of ONNX's: not built."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    raise AttributeError(f"onnx.symbolic_opset11.{name} is not built in rustorch: models cannot be exported")
