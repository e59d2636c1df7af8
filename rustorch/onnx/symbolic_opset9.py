"""How PyTorch exports its ops to version 9 of ONNX's: not built."""

from __future__ import annotations

from typing import Any


def __getattr__(name: str) -> Any:
    raise AttributeError(f"onnx.symbolic_opset9.{name} is not built in rustorch: models cannot be exported")
