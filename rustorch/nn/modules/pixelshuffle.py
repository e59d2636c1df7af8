"""Layers under the path that they have in PyTorch."""

from __future__ import annotations

from .flatten import PixelShuffle, PixelUnshuffle

__all__ = ["PixelShuffle", "PixelUnshuffle"]
