"""Runs programs and libraries that import torch, on rustorch.

`python -m rustorch.as_torch PROGRAM [ARGUMENTS]` (or `-m MODULE [ARGUMENTS]`) runs a program as `python` would; in it
`import torch` gives rustorch, and `import torch.nn.functional` the module of rustorch at this path. `install()` does
the same for a program that is running. Submodules and names of torch that rustorch has not got raise a
ModuleNotFoundError or an AttributeError that says so.

What libraries look at is as they expect it: `torch.__name__` is "torch", `torch.__version__` and the metadata of the
package say `VERSION`, dtypes, sizes and types are shown as torch's. `rustorch.__version__` stays as it is.
"""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.metadata
import sys
import types
from typing import Any

import rustorch

from .. import _door
from .._tensor import Tensor
from ..errors import StateError
from ..torch_version import TorchVersion

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["VERSION", "install", "is_installed"]

#: The version of torch whose API this is.
VERSION = TorchVersion("2.13.0+rustorch")

# What rustorch calls by these names is not in torch, or something else there.
_OURS = {
    "Adam", "PyTensor", "PyVariable", "SGD", "as_torch", "classic", "config", "errors", "indexing", "interchange",
    "kernels", "live_tensors", "ops", "words",
}  # fmt: skip
# Where torch keeps modules that are found elsewhere here.
_ELSEWHERE = {
    "_custom_ops": "library",
    "_jit_internal": "jit",
    "jit.annotations": "jit",
    "autograd.grad_mode": "autograd",
    "autograd.variable": "autograd",
}


def _missing(name: str) -> str:
    return f"{name} is not built in rustorch"


class _Torch(types.ModuleType):
    """The module `torch`: the names of rustorch under torch's."""

    def __getattr__(self, name: str) -> Any:
        if name == "ops":
            return importlib.import_module("rustorch.library").all_ops
        if name in _OURS or (name.startswith("__") and name != "__config__"):
            raise AttributeError(_missing(f"torch.{name}"))
        try:
            value = getattr(rustorch, name)
        except AttributeError:
            raise AttributeError(_missing(f"torch.{name}")) from None
        self.__dict__[name] = value
        return value

    def __dir__(self) -> list[str]:
        return sorted({*self.__dict__, *dir(rustorch)} - _OURS)


def _found(name: str) -> types.ModuleType | None:
    """The module of rustorch that stands for `name` of torch."""
    path = name.partition(".")[2]
    if path.split(".")[0] in _OURS:
        return None
    path = f"rustorch.{_ELSEWHERE.get(path, path)}"
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as e:
        if not e.name or not f"{path}.".startswith(f"{e.name}."):  # the module is there and wants another
            raise
        return None
    if not hasattr(module, "__path__"):  # so that modules below it are asked for here, and their lack is told
        module.__path__ = []
    return module


class _Loader(importlib.abc.Loader):
    def __init__(self, module: types.ModuleType) -> None:
        self.module = module

    def create_module(self, spec: Any) -> types.ModuleType | None:
        return None  # the module has been loaded, under its own name: a specification would mark it as another

    def exec_module(self, module: types.ModuleType) -> None:
        sys.modules[module.__name__] = self.module


class _Finder(importlib.abc.MetaPathFinder):
    """Answers for `torch` and all below it."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if fullname != "torch" and not fullname.startswith("torch."):
            return None
        module = _torch if fullname == "torch" else _found(fullname)
        if module is not None:
            return importlib.machinery.ModuleSpec(fullname, _Loader(module), is_package=hasattr(module, "__path__"))
        # Who only asks whether there is such a module (`importlib.util.find_spec`) is told that there is none.
        if sys._getframe(2).f_code.co_name == "_find_and_load_unlocked":
            raise ModuleNotFoundError(_missing(fullname), name=fullname)
        return None

    def find_distributions(self, context: Any = None) -> Iterable[importlib.metadata.Distribution]:
        """The metadata of torch, for `importlib.metadata.version("torch")`."""
        if context is None or context.name in (None, "torch"):
            yield _Distribution()


class _Distribution(importlib.metadata.Distribution):
    def read_text(self, filename: str) -> str | None:
        return f"Metadata-Version: 2.1\nName: torch\nVersion: {VERSION}\n" if filename == "METADATA" else None

    def locate_file(self, path: Any) -> Any:
        from pathlib import Path

        return Path(rustorch.__file__).parent.parent / path


def _make() -> _Torch:
    module = _Torch("torch", rustorch.__doc__)
    module.__path__ = []  # a package
    module.__file__ = rustorch.__file__
    module.__spec__ = importlib.machinery.ModuleSpec("torch", _Loader(module), is_package=True)
    module.__dict__.update(
        {name: value for name, value in vars(rustorch).items() if not name.startswith("__") and name not in _OURS}
    )
    module.__dict__.update(__version__=VERSION, __all__=[name for name in rustorch.__all__ if name not in _OURS])
    return module


_torch = _make()
_finder = _Finder()


def is_installed() -> bool:
    """True if `import torch` gives rustorch."""
    return _finder in sys.meta_path


def install() -> types.ModuleType:
    """Makes `import torch` give rustorch from now on, in this process; gives the module. Again, it changes nothing.

    Raises:
        StateError: PyTorch itself has been imported already.
    """
    if is_installed():
        return _torch
    there = sys.modules.get("torch")
    if there is not None:
        place = getattr(there, "__file__", None) or "an unknown place"
        raise StateError(f"as_torch.install: torch is imported already, from {place}; install() goes first")
    sys.meta_path.insert(0, _finder)
    sys.modules["torch"] = _torch
    _door.shown_as = "torch"
    Tensor.__module__ = "torch"  # libraries choose by the name of the package that a tensor's type is of
    return _torch
