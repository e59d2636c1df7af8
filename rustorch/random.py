"""Random generators: PyTorch's CPU stream (mt19937)."""

from __future__ import annotations

from ._arguments import refused, whole
from ._device import CPU, device
from ._device import check as check_device
from ._door import NULL, GeneratorOwner, check, error, ffi, lib
from ._tensor import Tensor, from_bytes
from .errors import InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]


class Generator(GeneratorOwner):
    """A random generator whose streams are those of PyTorch's CPU generator."""

    __slots__ = ("__weakref__",)

    def __init__(self, device: Any = "cpu") -> None:
        self._h: Any = NULL
        check_device(device)
        self._h = lib.py_generator_new(67280421310721)
        if not self._h:
            raise error()

    @property
    def device(self) -> device:
        """The CPU."""
        return CPU

    def manual_seed(self, seed: int) -> Generator:
        """Starts the stream of `seed` (negative ones count from 2**64)."""
        lib.rt_manual_seed(self._h, _seed(whole("manual_seed", "seed", seed)))
        return self

    def initial_seed(self) -> int:
        """The seed of the present stream."""
        return int(lib.rt_initial_seed(self._h))

    def seed(self) -> int:
        """Starts a stream from a seed that nobody can foresee; returns the seed."""
        return int(lib.rt_seed(self._h))

    def get_state(self) -> Tensor:
        """The state as a tensor of 5056 bytes, in PyTorch's layout."""
        buf = ffi.new("uint8_t[]", lib.RT_GENERATOR_STATE_BYTES)
        check(lib.rt_generator_get_state(self._h, buf, len(buf)))
        return from_bytes(bytes(ffi.buffer(buf)), "uint8")

    def set_state(self, new_state: Tensor) -> Generator:
        """Restores a state that `get_state` gave."""
        raw = new_state._bytes()
        check(lib.rt_generator_set_state(self._h, ffi.from_buffer("uint8_t[]", raw), len(raw)))
        return self

    def clone_state(self) -> Generator:
        """A generator of its own at the same place of the stream."""
        return Generator().set_state(self.get_state())

    def __reduce__(self) -> tuple[Any, ...]:
        return _restore, (self.get_state(),)


def _restore(state: Tensor) -> Generator:
    return Generator().set_state(state)


def _seed(seed: Any) -> int:
    try:
        value = int(seed)
    except (TypeError, ValueError):
        raise refused("manual_seed", "seed", "Int", seed) from None
    if not -(2**63) <= value < 2**64:
        raise InvalidArgumentError(f"manual_seed: the seed must lie in [-2**63, 2**64), got {value}")
    return value % 2**64


class _Default(Generator):
    """The generator that is used where none is given."""

    __slots__ = ()

    def __init__(self) -> None:
        self._h = NULL


default_generator: Generator = _Default()
# As in PyTorch, an unseeded program draws other numbers each time.
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Starts the default generator's stream of `seed`."""
    return default_generator.manual_seed(_seed(seed))


def seed() -> int:
    """Seeds the default generator from a source that nobody can foresee; returns the seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The default generator's seed."""
    return default_generator.initial_seed()


def get_rng_state() -> Tensor:
    """The default generator's state."""
    return default_generator.get_state()


def set_rng_state(new_state: Tensor) -> None:
    """Restores the default generator's state."""
    default_generator.set_state(new_state)


class fork_rng:
    """A context that leaves the default generator as it found it."""

    def __init__(self, devices: Any = None, enabled: bool = True, **_: Any) -> None:
        self.enabled = enabled

    def __enter__(self) -> None:
        if self.enabled:
            self.state = get_rng_state()

    def __exit__(self, *args: object) -> None:
        if self.enabled:
            set_rng_state(self.state)
