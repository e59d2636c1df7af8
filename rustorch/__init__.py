"""rustorch: PyTorch's Python API on a small Rust core behind a flat C ABI.

Shapes, dtypes, defaults and random streams are PyTorch's; errors are `rustorch.errors.RustorchError`s.
"""

from __future__ import annotations

import builtins
import importlib

from . import _arguments, _device, _layouts, _ops, words
from ._device import device
from ._door import check, lib, text
from ._layouts import layout, memory_format
from ._tensor import Size, Tensor
from .dtypes import BY_NAME, NAMED_ONLY, dtype, finfo, get_default_dtype, iinfo, promote_types, set_default_dtype

# isort: split
from . import autograd, errors, random
from .autograd import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from .random import (
    Generator,
    default_generator,
    get_rng_state,
    initial_seed,
    manual_seed,
    seed,
    set_rng_state,
)

__version__ = text(lib.rt_version())

globals().update({name: getattr(_ops, name) for name in _ops.__all__})
globals().update({name: getattr(words, name) for name in words.__all__})
globals().update(BY_NAME)
globals().update(_layouts.BY_NAME)
globals().update(NAMED_ONLY)
TYPE_CHECKING = False
if TYPE_CHECKING:  # the same names for type checkers, which keep the first of two
    from typing import Any

    from .words import *  # noqa: F403

    # isort: split
    from ._ops import *  # type: ignore[assignment]  # noqa: F403

    uint8: dtype
    int8: dtype
    int16: dtype
    int32: dtype
    int64: dtype
    float16: dtype
    bfloat16: dtype
    float32: dtype
    float64: dtype
    uint16: dtype
    uint32: dtype
    uint64: dtype
    complex64: dtype
    complex128: dtype
    cfloat: dtype
    cdouble: dtype
    half: dtype
    double: dtype
    short: dtype
    long: dtype
    bool: dtype
    int: dtype
    float: dtype
    strided: layout
    contiguous_format: memory_format
    preserve_format: memory_format
    channels_last: memory_format

inf = builtins.float("inf")
nan = builtins.float("nan")
pi = 3.141592653589793
e = 2.718281828459045
newaxis = None

# Names that are looked up when they are first used, so that importing rustorch stays cheap: name -> module.
_LAZY = {
    "nn": "",
    "optim": "",
    "utils": "",
    "ops": "",
    "fft": "",
    "linalg": "",
    "cpu": "",
    "signal": "",
    "masked": "",
    "cuda": "",
    "backends": "",
    "interchange": "",
    "special": "",
    "accelerator": "",
    "ao": "",
    "amp": "",
    "autocast": "amp",
    "distributions": "",
    "func": "",
    "multiprocessing": "",
    "kernels": "",
    "config": "",
    "_C": "",
    "_dynamo": "",
    "DisableTorchFunctionSubclass": "_C",
    "PyTorchFileReader": "_C",
    "__config__": "",
    "_assert": "_assertions",
    "_assert_async": "_assertions",
    "_check": "_assertions",
    "_check_index": "_assertions",
    "_check_is_size": "_assertions",
    "_check_not_implemented": "_assertions",
    "_check_tensor_all": "_assertions",
    "_check_type": "_assertions",
    "_check_value": "_assertions",
    "_check_with": "_assertions",
    "SymBool": "_assertions",
    "SymFloat": "_assertions",
    "SymInt": "_assertions",
    "sym_float": "_assertions",
    "sym_int": "_assertions",
    "sym_max": "_assertions",
    "sym_min": "_assertions",
    "sym_not": "_assertions",
    "sym_sqrt": "_assertions",
    "compiler": "",
    "distributed": "",
    "fx": "",
    "hub": "",
    "jit": "",
    "library": "",
    "onnx": "",
    "overrides": "",
    "profiler": "",
    "storage": "",
    "TypedStorage": "storage",
    "UntypedStorage": "storage",
    "testing": "",
    "torch_version": "",
    "types": "",
    "version": "",
    "vmap": "func",
    "GradScaler": "amp",
    "get_autocast_cpu_dtype": "amp",
    "get_autocast_dtype": "amp",
    "get_autocast_gpu_dtype": "amp",
    "is_autocast_available": "amp",
    "is_autocast_cache_enabled": "amp",
    "is_autocast_cpu_enabled": "amp",
    "is_autocast_enabled": "amp",
    "set_autocast_cache_enabled": "amp",
    "set_autocast_cpu_dtype": "amp",
    "set_autocast_cpu_enabled": "amp",
    "set_autocast_dtype": "amp",
    "set_autocast_enabled": "amp",
    "clear_autocast_cache": "amp",
    "save": "serialization",
    "load": "serialization",
    "serialization": "",
    "from_numpy": "interchange",
    "from_dlpack": "interchange",
    "as_tensor": "interchange",
    "asarray": "interchange",
    "frombuffer": "interchange",
    "set_printoptions": "_tensor_str",
    "get_printoptions": "_tensor_str",
    "printoptions": "_tensor_str",
    "PyTensor": "classic",
    "PyVariable": "classic",
    "SGD": "optim",
    "Adam": "optim",
    "classic": "",
}
# Methods of Tensor whose modules are likewise imported when one of them is first used: module -> methods.
_ATTACHED_LATER = {
    "_tensor_str": ("__repr__",),
    "indexing": ("__getitem__", "__setitem__"),
    "interchange": (
        "numpy", "__array__", "__array_interface__", "__dlpack__", "__dlpack_device__", "_of_array", "_copy_of",
    ),
    "ops": ("__array_ufunc__",),
    "storage": ("untyped_storage", "storage"),
    "overrides": ("__torch_function__", "_answered", "_prepare", "_unanswered"),
}  # fmt: skip
_TYPED = {
    "FloatTensor": "float32",
    "DoubleTensor": "float64",
    "HalfTensor": "float16",
    "BFloat16Tensor": "bfloat16",
    "LongTensor": "int64",
    "IntTensor": "int32",
    "ShortTensor": "int16",
    "CharTensor": "int8",
    "ByteTensor": "uint8",
    "BoolTensor": "bool",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        where = _LAZY[name]
        module = importlib.import_module(f".{where or name}", __name__)
        value = getattr(module, name) if where else module
    elif name in _TYPED:
        value = _typed(name, BY_NAME[_TYPED[name]])
    elif name.startswith("_foreach_"):
        value = getattr(importlib.import_module("._foreach", __name__), name)
    else:
        raise AttributeError(f"module 'rustorch' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY, *_TYPED})


class _Later:
    """Stands for a method of Tensor until it is first asked for: then its module is imported, which attaches it."""

    __slots__ = ("module", "name")

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __get__(self, tensor: Any, owner: Any = None) -> Any:
        importlib.import_module(f".{self.module}", __name__)
        return vars(Tensor)[self.name].__get__(tensor, owner)


for _module, _names in _ATTACHED_LATER.items():
    for _name in _names:
        if _name not in vars(Tensor):  # as when this module is loaded once more
            setattr(Tensor, _name, _Later(_module, _name))
del _module, _names, _name


class _TypedMeta(type):
    """`isinstance(t, FloatTensor)` asks for the dtype."""

    _tensor_dtype: dtype

    def __instancecheck__(cls, instance: Any) -> builtins.bool:
        return isinstance(instance, Tensor) and instance.dtype is cls._tensor_dtype

    def __call__(cls, *args: Any) -> Tensor:
        if len(args) == 1 and not isinstance(args[0], (builtins.int, Size)):
            return words.tensor(args[0], dtype=cls._tensor_dtype)
        return _ops.empty(*(args or (0,)), dtype=cls._tensor_dtype)


def _typed(name: str, d: dtype) -> Any:
    return _TypedMeta(name, (), {"_tensor_dtype": d, "dtype": d, "__doc__": f"Makes {d} tensors; PyTorch's old style."})


def set_num_threads(n: builtins.int) -> None:
    """Sets the number of threads that ops use. Results do not depend on it."""
    check(lib.rt_set_num_threads(_arguments.whole("set_num_threads", "n", n)))


def get_num_threads() -> builtins.int:
    """Number of threads that ops use."""
    return lib.rt_num_threads()  # type: ignore[no-any-return]


def set_num_interop_threads(n: builtins.int) -> None:
    """Accepted for compatibility: ops run one after the other."""


def use_deterministic_algorithms(mode: builtins.bool, *, warn_only: builtins.bool = False) -> None:
    """Accepted for compatibility: all algorithms are deterministic."""


def are_deterministic_algorithms_enabled() -> builtins.bool:
    """True: all algorithms are deterministic."""
    return True


def set_default_device(device: Any) -> None:
    """Sets where this thread's functions that make tensors put them.

    Args:
        device: ``"cpu"`` (or None) or ``"meta"``.

    Raises:
        UnsupportedError: for other devices.
    """
    _device.set_default(device)


def get_default_device() -> device:
    """Where this thread's functions that make tensors put them."""
    return _device.current()


def set_default_tensor_type(t: Any) -> None:
    """PyTorch's old form of `set_default_dtype`, such as `set_default_tensor_type(rustorch.DoubleTensor)`."""
    t = getattr(__import__(__name__), t.rpartition(".")[2]) if isinstance(t, str) else t
    set_default_dtype(t._tensor_dtype if isinstance(t, _TypedMeta) else t)


def is_deterministic_algorithms_warn_only_enabled() -> builtins.bool:
    """False: nothing is done otherwise."""
    return False


def get_deterministic_debug_mode() -> builtins.int:
    """2: all algorithms are deterministic."""
    return 2


def set_deterministic_debug_mode(debug_mode: builtins.int | str) -> None:
    """Accepted for compatibility: all algorithms are deterministic."""


def get_num_interop_threads() -> builtins.int:
    """1: ops run one after the other."""
    return 1


def set_float32_matmul_precision(precision: str) -> None:
    """Accepted for compatibility: products are computed in full float32."""


def get_float32_matmul_precision() -> str:
    """The word for "highest": products are computed in full float32."""
    return "highest"


def live_tensors() -> builtins.int:
    """Number of tensor handles that exist."""
    return lib.rt_live_tensors()  # type: ignore[no-any-return]


def compile(model: Any = None, **options: Any) -> Any:
    """Returns the model unchanged: there is nothing to compile."""
    return (lambda f: f) if model is None else model


def typename(obj: Any) -> str:
    """Module and name of an object's type."""
    if isinstance(obj, Tensor):
        return words.type(obj)  # type: ignore[no-any-return]
    return f"{obj.__class__.__module__}.{obj.__class__.__qualname__}"


__all__ = [
    "Generator", "Size", "Tensor", "autograd", "default_generator", "device", "dtype", "enable_grad", "errors", "finfo",
    "get_default_dtype", "get_rng_state", "iinfo", "inference_mode", "initial_seed", "is_grad_enabled",
    "is_inference_mode_enabled", "layout", "manual_seed", "memory_format", "no_grad", "promote_types", "random",
    "seed", "set_default_dtype",
    "set_grad_enabled", "set_rng_state", *_ops.__all__, *words.__all__, *BY_NAME,
]  # fmt: skip
