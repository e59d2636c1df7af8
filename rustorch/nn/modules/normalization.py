"""Layers under the path that they have in PyTorch."""

from __future__ import annotations

from .norm import GroupNorm, LayerNorm, LocalResponseNorm, RMSNorm

__all__ = ["GroupNorm", "LayerNorm", "LocalResponseNorm", "RMSNorm"]
