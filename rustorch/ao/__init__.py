"""`torch.ao`: of quantisation there are only the layers that mark where it would begin and end."""

from __future__ import annotations

from . import quantization

__all__ = ["quantization"]
