"""Trees of containers, under PyTorch's path."""

from __future__ import annotations

from .._trees import *  # noqa: F403
from .._trees import SUPPORTED_NODES as SUPPORTED_NODES
from .._trees import NodeDef as NodeDef
from .._trees import __all__ as __all__
from .._trees import _dict_flatten as _dict_flatten
from .._trees import _dict_flatten_with_keys as _dict_flatten_with_keys
from .._trees import _dict_unflatten as _dict_unflatten
from .._trees import _list_flatten as _list_flatten
from .._trees import _list_unflatten as _list_unflatten
from .._trees import _register_pytree_node as _register_pytree_node
