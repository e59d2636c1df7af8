"""PyTorch's old place of `hub.load_state_dict_from_url`."""

from __future__ import annotations

from ..hub import load_state_dict_from_url, tqdm

__all__ = ["load_state_dict_from_url", "load_url", "tqdm"]

load_url = load_state_dict_from_url
