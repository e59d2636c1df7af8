"""`rustorch.backends`: PyTorch's switches, which programs set whether or not there is such a backend."""

from __future__ import annotations

import sys
import types


class _Backend(types.ModuleType):
    """A backend that is not there; its switches can be set and have no effect."""

    deterministic = False
    benchmark = False
    enabled = True
    allow_tf32 = True

    @staticmethod
    def is_available() -> bool:
        """False."""
        return False

    @staticmethod
    def is_built() -> bool:
        """False."""
        return False


def _backend(name: str) -> _Backend:
    """A backend that can also be imported, as in `import rustorch.backends.cudnn as cudnn`."""
    path = f"{__name__}.{name}"
    sys.modules[path] = found = _Backend(path)
    return found


cudnn = _backend("cudnn")
mps = _backend("mps")
cuda = _backend("cuda")
cuda.matmul = _Backend("matmul")  # type: ignore[attr-defined]
cuda.matmul.allow_tf32 = False
mkl = _backend("mkl")
mkldnn = _backend("mkldnn")
