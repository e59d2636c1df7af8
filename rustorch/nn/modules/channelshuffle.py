"""Layers under the path that they have in PyTorch."""

from __future__ import annotations

from .flatten import ChannelShuffle

__all__ = ["ChannelShuffle"]
