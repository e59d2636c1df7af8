"""`rustorch.backends`: PyTorch's switches, which programs set whether or not there is such a backend."""

from __future__ import annotations


class _Backend:
    """A backend that is not there; its switches can be set and have no effect."""

    deterministic = True
    benchmark = False
    enabled = False
    allow_tf32 = False

    @staticmethod
    def is_available() -> bool:
        """False."""
        return False

    @staticmethod
    def is_built() -> bool:
        """False."""
        return False


cudnn = _Backend()
mps = _Backend()
cuda = _Backend()
cuda.matmul = _Backend()  # type: ignore[attr-defined]
mkl = _Backend()
mkldnn = _Backend()
