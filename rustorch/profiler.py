"""`torch.profiler`: there is no profiler yet. Marks in programs are accepted, profiling raises."""

from __future__ import annotations

import enum
from contextlib import ContextDecorator
from typing import Any

from .errors import UnsupportedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["ProfilerAction", "ProfilerActivity", "profile", "record_function", "schedule"]


class ProfilerActivity(enum.Enum):
    """What can be profiled in PyTorch."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What a schedule says about a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """A function that says what to do in a step: skip some, then wait, warm up and record, again and again.

    With `skip_first_wait` it does not wait the first time.
    """
    if min(wait, warmup, repeat, skip_first) < 0 or active <= 0:
        raise ValueError("schedule: the numbers of steps must not be negative, and active must be positive")

    def action(step: int) -> ProfilerAction:
        step -= skip_first
        if step < 0:
            return ProfilerAction.NONE
        if skip_first_wait:
            step += wait
        period = wait + warmup + active
        if repeat and step // period >= repeat:
            return ProfilerAction.NONE
        place = step % period
        if place < wait:
            return ProfilerAction.NONE
        if place < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if place < period - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


class record_function(ContextDecorator):
    """Names a part of a program for a profiler, as a context manager or a decorator. Nobody listens yet."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name
        self.args = args

    def __enter__(self) -> record_function:
        return self

    def __exit__(self, *args: object) -> None:
        pass


class profile:
    """Raises: there is no profiler."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise UnsupportedError("profiler.profile: there is no profiler in rustorch; cProfile sees the Python side")
