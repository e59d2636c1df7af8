"""Attention with masks and scores that programs compute: not built. Names of types can be asked for."""

from __future__ import annotations

from typing import Any, NamedTuple

import rustorch as rt

from ...errors import UnsupportedError

__all__ = [
    "AuxOutput",
    "AuxRequest",
    "BlockMask",
    "and_masks",
    "create_block_mask",
    "create_mask",
    "flex_attention",
    "noop_mask",
    "or_masks",
]

_DEFAULT_SPARSE_BLOCK_SIZE = 128


class AuxRequest(NamedTuple):
    """What `flex_attention` is to give beside its output."""

    lse: bool = False
    max_scores: bool = False


class AuxOutput(NamedTuple):
    """What `flex_attention` gives beside its output."""

    lse: Any = None
    max_scores: Any = None


class BlockMask:
    """A mask by blocks: nothing is one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedError("flex_attention.BlockMask is not built in rustorch")


def flex_attention(*args: Any, **kwargs: Any) -> Any:
    """Raises: not built; `scaled_dot_product_attention` takes masks and biases that are tensors."""
    raise UnsupportedError(
        "flex_attention is not built in rustorch; scaled_dot_product_attention takes masks and biases that are tensors"
    )


def create_block_mask(*args: Any, **kwargs: Any) -> Any:
    """Raises: not built; `create_mask` makes a tensor."""
    raise UnsupportedError("flex_attention.create_block_mask is not built in rustorch; create_mask makes a tensor")


def noop_mask(batch: Any, head: Any, token_q: Any, token_kv: Any) -> Any:
    """True everywhere."""
    return batch.new_ones((), dtype=rt.bool)


def and_masks(*mask_mods: Any) -> Any:
    """The mask where all are true."""

    def mask(b: Any, h: Any, q: Any, kv: Any) -> Any:
        result = noop_mask(b, h, q, kv)
        for mod in mask_mods:
            result = result & mod(b, h, q, kv)
        return result

    return mask


def or_masks(*mask_mods: Any) -> Any:
    """The mask where one is true."""

    def mask(b: Any, h: Any, q: Any, kv: Any) -> Any:
        result = ~noop_mask(b, h, q, kv)
        for mod in mask_mods:
            result = result | mod(b, h, q, kv)
        return result

    return mask


def create_mask(mod_fn: Any, B: int | None, H: int | None, Q_LEN: int, KV_LEN: int, device: Any = None) -> Any:
    """The mask [B, H, Q_LEN, KV_LEN] that `mod_fn(batch, head, query, key)` says, called once with all places."""
    places = [rt.arange(n, device=device) for n in (B or 1, H or 1, Q_LEN, KV_LEN)]
    shaped = [p.view([-1 if i == k else 1 for i in range(4)]) for k, p in enumerate(places)]
    return mod_fn(*shaped).expand([len(p) for p in places])
