"""Measures one statement with rustorch and with PyTorch, turn by turn; results are rows of a table.

Times are CPU times of the process, which on one thread are what a clock shows on an idle machine, and on a busy one are
disturbed far less.
"""

from __future__ import annotations

import gc
import importlib.util
import statistics
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import rustorch

THREADS = 1
ROUNDS = 15
SECONDS_PER_SAMPLE = 0.02


def find_torch() -> Any:
    """The torch module, or None."""
    if importlib.util.find_spec("torch") is None:
        return None
    import torch

    torch.set_num_threads(THREADS)
    return torch


@dataclass
class Row:
    """One line of the table. Times are medians; `ratio` is the median of the rounds' ratios (ours / torch's), `noise`
    the spread of the middle half of them, as a part of the ratio."""

    name: str
    ours: str
    torch: str = "-"
    ratio: float | None = None
    noise: float | None = None
    goal: str = "-"
    passed: bool | None = None

    def cells(self) -> list[str]:
        """The row as text."""
        return [
            self.name,
            self.ours,
            self.torch,
            "-" if self.ratio is None else f"{self.ratio:.3f}" if self.ratio < 0.1 else f"{self.ratio:.2f}",
            "-" if self.noise is None else f"{self.noise:.0%}",
            self.goal,
            {True: "yes", False: "NO", None: "-"}[self.passed],
        ]


HEADINGS = ["what", "rustorch", "torch", "ratio", "noise", "goal", "reached"]


def seconds(t: float) -> str:
    """A time with a unit that suits it."""
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if t >= scale:
            return f"{t / scale:.3g} {unit}"
    return f"{t / 1e-9:.0f} ns"


def compare(
    name: str,
    goal: float | None,
    ours: Callable[[], float],
    torchs: Callable[[], float] | None,
    rounds: int = ROUNDS,
) -> Row:
    """A row from two functions that each give one time in seconds. They take turns, ours first in every other round."""
    goal_text = "-" if goal is None else f"<= {goal:.2f}"
    if torchs is None:
        return Row(name, seconds(statistics.median(ours() for _ in range(rounds))), goal=goal_text)
    pairs = []
    for i in range(rounds):
        first, second = (ours, torchs) if i % 2 == 0 else (torchs, ours)
        a, b = first(), second()
        pairs.append((a, b) if i % 2 == 0 else (b, a))
    ratios = [a / b for a, b in pairs]
    ratio = statistics.median(ratios)
    low, _, high = statistics.quantiles(ratios, n=4)
    return Row(
        name,
        seconds(statistics.median(a for a, _ in pairs)),
        seconds(statistics.median(b for _, b in pairs)),
        ratio,
        (high - low) / ratio,
        goal_text,
        None if goal is None else ratio <= goal,
    )


def statement(code: str, names: dict[str, Any], sample: float = SECONDS_PER_SAMPLE) -> Callable[[], float]:
    """A function that times `code` once: seconds per execution, over as many as fill `sample` seconds."""
    timer = timeit.Timer(code, timer=time.process_time, globals=names)
    timer.timeit(2)
    number = 1
    while (taken := timer.timeit(number)) < sample / 4:
        number *= 4
    number = max(1, round(number * sample / taken))

    def measure() -> float:
        gc.collect(0)
        return timer.timeit(number) / number

    return measure


@dataclass
class Case:
    """A statement, and a function that makes its names from a library."""

    name: str
    goal: float | None
    code: str
    names: Callable[[Any], dict[str, Any]]

    def row(self, torch: Any) -> Row:
        """Measures it."""
        ours = statement(self.code, self.names(rustorch))
        return compare(self.name, self.goal, ours, torch and statement(self.code, self.names(torch)))
