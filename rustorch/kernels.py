"""Compute-heavy functions for direct use."""

from __future__ import annotations

from .nn.functional import scaled_dot_product_attention

__all__ = ["scaled_dot_product_attention"]
