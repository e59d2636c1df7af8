"""Layers under the path that they have in PyTorch."""

from __future__ import annotations

from .flatten import Fold, Unfold

__all__ = ["Fold", "Unfold"]
