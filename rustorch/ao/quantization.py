"""Marks for quantisation in models: the identity, as in PyTorch until a model is converted. That is not built."""

from __future__ import annotations

from typing import Any

from ..nn import Module

__all__ = ["DeQuantStub", "QuantStub"]


class QuantStub(Module):
    """Where quantised numbers would begin: the identity."""

    def __init__(self, qconfig: Any = None) -> None:
        super().__init__()
        if qconfig:
            self.qconfig = qconfig

    def forward(self, x: Any) -> Any:
        """The input."""
        return x


class DeQuantStub(QuantStub):
    """Where quantised numbers would end: the identity."""


def __getattr__(name: str) -> Any:
    raise AttributeError(f"ao.quantization.{name} is not built in rustorch: models cannot be quantised")
