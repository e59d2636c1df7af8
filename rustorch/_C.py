"""The few names of PyTorch's C++ module that libraries read. There is no such module; others raise."""

from __future__ import annotations

import contextlib
import enum
from typing import Any

from ._device import CPU, device
from ._tensor import Size, Tensor
from ._tensor import _disabled_torch_function_impl as _disabled_torch_function_impl
from .dtypes import dtype
from .errors import InvalidArgumentError as _LinAlgError
from .errors import UnsupportedError
from .overrides import DisableTorchFunction as DisableTorchFunction
from .overrides import DisableTorchFunctionSubclass as DisableTorchFunctionSubclass
from .overrides import _len_torch_function_stack as _len_torch_function_stack
from .random import Generator

__all__ = ["Generator", "Size", "_LinAlgError", "device", "dtype"]

TensorBase = Tensor
_TensorMeta = type(Tensor)


class DispatchKey(enum.Flag):
    """Names of layers of PyTorch's dispatcher, of which there is none."""

    CPU = enum.auto()
    CUDA = enum.auto()
    Meta = enum.auto()
    AutogradCPU = enum.auto()
    AutogradCUDA = enum.auto()
    AutocastCPU = enum.auto()
    AutocastCUDA = enum.auto()
    AutocastXPU = enum.auto()


def DispatchKeySet(key: DispatchKey) -> DispatchKey:
    """Keys together: `|` joins them."""
    return key


class _ExcludeDispatchKeyGuard(contextlib.nullcontext[None]):
    """A context without effect: there is nothing to leave out."""


class PyTorchFileReader:
    """Raises: `load` reads files."""

    def __init__(self, *args: Any) -> None:
        raise UnsupportedError("PyTorchFileReader is not built in rustorch: load reads safetensors files")


def _get_tracing_state() -> None:
    """None: nothing is traced."""


def _is_tracing() -> bool:
    return False


def _are_functorch_transforms_active() -> bool:
    return False


def _log_api_usage_once(event: str) -> None:
    """Nothing is counted."""


def _get_accelerator(check: bool | None = None) -> Any:
    return CPU


def _get_privateuse1_backend_name() -> str:
    return "privateuseone"


def _jit_set_profiling_executor(on: bool) -> bool:
    """There is no compiler; gives what was set before."""
    return False


_jit_set_profiling_mode = _jit_override_can_fuse_on_cpu = _jit_override_can_fuse_on_gpu = _jit_set_profiling_executor
_jit_set_texpr_fuser_enabled = _jit_set_nvfuser_enabled = _jit_set_profiling_executor


def _jit_can_fuse_on_cpu() -> bool:
    return False


_jit_can_fuse_on_gpu = _jit_can_fuse_on_cpu


def __getattr__(name: str) -> Any:
    raise AttributeError(f"_C.{name} is not built in rustorch: it belongs to PyTorch's C++ module")
