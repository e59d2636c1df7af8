"""`torch.onnx`: models cannot be exported. What says how PyTorch would export an op is accepted and not used."""

from __future__ import annotations

from typing import Any

from ..errors import UnsupportedError

__all__ = ["export", "is_in_onnx_export", "register_custom_op_symbolic", "unregister_custom_op_symbolic"]


def is_in_onnx_export() -> bool:
    """False."""
    return False


def register_custom_op_symbolic(symbolic_name: str, symbolic_fn: Any, opset_version: int) -> None:
    """Accepted: nothing is exported."""


def unregister_custom_op_symbolic(symbolic_name: str, opset_version: int) -> None:
    """Accepted: nothing is exported."""


def export(*args: Any, **kwargs: Any) -> Any:
    """Raises: models cannot be exported."""
    raise UnsupportedError("onnx.export: graphs of programs are not built in rustorch")
