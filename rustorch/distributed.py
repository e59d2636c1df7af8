"""`torch.distributed`, as it is in a build without it: one process. What would need others raises."""

from __future__ import annotations

import enum
from typing import Any

from .errors import UnsupportedError

_ALONE = "there is one process; process groups are not built in rustorch"


def is_available() -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def is_backend_available(backend: str) -> bool:
    """False."""
    return False


def is_torchelastic_launched() -> bool:
    """False."""
    return False


def is_nccl_available() -> bool:
    """False."""
    return False


is_gloo_available = is_mpi_available = is_ucc_available = is_xccl_available = is_nccl_available


def _uninitialized(group: Any = None) -> Any:
    """Raises, as PyTorch does before `init_process_group`."""
    raise ValueError(f"Default process group has not been initialized: {_ALONE}")


get_rank = get_world_size = get_backend = _uninitialized


class ReduceOp(enum.Enum):
    """Names of the reductions among processes."""

    SUM = 0
    AVG = 1
    PRODUCT = 2
    MIN = 3
    MAX = 4
    BAND = 5
    BOR = 6
    BXOR = 7


class _Absent:
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedError(f"distributed.{type(self).__name__}: {_ALONE}")


class ProcessGroup(_Absent):
    """A group of processes: there is none."""


class Work(_Absent):
    """A communication that goes on: there is none."""


class Store(_Absent):
    """A store that processes share: there is none."""


class TCPStore(Store):
    """Likewise."""


class FileStore(Store):
    """Likewise."""


class HashStore(Store):
    """Likewise."""


class group:
    """The group of all processes: none before `init_process_group`."""

    WORLD: Any = None


class GroupMember:
    """Likewise."""

    WORLD: Any = None
    NON_GROUP_MEMBER = -100


_FUNCTIONS = (
    "all_gather", "all_gather_into_tensor", "all_gather_object", "all_reduce", "all_to_all", "all_to_all_single",
    "barrier",
    "batch_isend_irecv", "broadcast", "broadcast_object_list", "destroy_process_group", "gather", "gather_object",
    "get_process_group_ranks", "init_device_mesh", "init_process_group", "irecv", "isend", "monitored_barrier",
    "new_group",
    "recv", "reduce", "reduce_scatter", "reduce_scatter_tensor", "scatter", "scatter_object_list", "send",
)  # fmt: skip


def _absent(name: str) -> Any:
    def f(*args: Any, **kwargs: Any) -> Any:
        raise UnsupportedError(f"distributed.{name}: {_ALONE}")

    f.__name__ = f.__qualname__ = name
    f.__doc__ = "Raises: there is one process."
    return f


globals().update({_name: _absent(_name) for _name in _FUNCTIONS})


def __getattr__(name: str) -> Any:
    raise AttributeError(f"distributed.{name} is not built in rustorch: there is one process")
