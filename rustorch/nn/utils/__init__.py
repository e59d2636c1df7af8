"""Helpers around modules and gradients."""

from __future__ import annotations

from typing import Any

from . import parametrizations, parametrize, rnn
from .clip_grad import clip_grad_norm, clip_grad_norm_, clip_grad_value_, clip_grads_with_norm_, get_total_norm
from .convert_parameters import parameters_to_vector, vector_to_parameters
from .weight_norm import remove_spectral_norm, remove_weight_norm, spectral_norm, weight_norm

__all__ = [
    "clip_grad_norm",
    "clip_grad_norm_",
    "clip_grad_value_",
    "clip_grads_with_norm_",
    "get_total_norm",
    "parameters_to_vector",
    "parametrizations",
    "parametrize",
    "remove_spectral_norm",
    "remove_weight_norm",
    "rnn",
    "spectral_norm",
    "vector_to_parameters",
    "weight_norm",
]

# What few programs use: loaded on first use.
_LATER = {
    "fusion": "",
    "fuse_conv_bn_eval": "fusion",
    "fuse_conv_bn_weights": "fusion",
    "fuse_linear_bn_eval": "fusion",
    "fuse_linear_bn_weights": "fusion",
    "prune": "",
    "skip_init": "init",
    "stateless": "",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        import importlib

        module = importlib.import_module(f".{_LATER[name] or name}", __name__)
        return getattr(module, name) if _LATER[name] else module
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
