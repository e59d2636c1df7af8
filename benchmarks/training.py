"""Training: a perceptron at batch size 1, optimizers alone, an epoch of the demo, 10,000 steps in a row."""

from __future__ import annotations

import gc
import os
import sys
import time
from pathlib import Path
from typing import Any

from harness import Case, Row, compare

import rustorch as rt

os.environ.setdefault("TQDM_DISABLE", "1")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples" / "python"))


def mlp(library: Any, optimizer: str = "SGD") -> dict[str, Any]:
    """784-128-10 with one picture of noise; gradients are there already."""
    nn = library.nn
    library.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))
    names = {
        "model": model,
        "criterion": nn.CrossEntropyLoss(),
        "optimizer": getattr(library.optim, optimizer)(model.parameters(), lr=1e-4),
        "x": library.randn(1, 784),
        "y": library.tensor([3]),
    }
    names["criterion"](model(names["x"]), names["y"]).backward()
    return names


def six_tiny(library: Any, optimizer: str) -> dict[str, Any]:
    """An optimizer over six tensors of four elements."""
    params = [library.ones(4, requires_grad=True) for _ in range(6)]
    for p in params:
        p.grad = library.ones(4)
    return {"optimizer": getattr(library.optim, optimizer)(params, lr=1e-4)}


STEP = "optimizer.zero_grad(); criterion(model(x), y).backward(); optimizer.step()"
CASES = [
    Case("MLP 784-128-10, batch 1: forward + backward", 0.60, "criterion(model(x), y).backward()", mlp),
    Case("MLP 784-128-10: SGD step", 0.30, "optimizer.step()", mlp),
    Case("MLP 784-128-10: Adam step", 0.30, "optimizer.step()", lambda lib: mlp(lib, "Adam")),
    Case("6 tensors of 4: SGD step", 0.30, "optimizer.step()", lambda lib: six_tiny(lib, "SGD")),
    Case("6 tensors of 4: Adam step", 0.30, "optimizer.step()", lambda lib: six_tiny(lib, "Adam")),
    Case("MLP 784-128-10, batch 1: whole SGD training step", None, STEP, mlp),
    Case("MLP 784-128-10, batch 1: whole Adam training step", None, STEP, lambda lib: mlp(lib, "Adam")),
]


def demo_epoch(torch: Any) -> Row:
    """One epoch of examples/python/digits.py, data loading included."""
    import digits

    data = digits.load()

    def epoch(library: Any) -> float:
        start = time.process_time()
        digits.train(library, data, epochs=1, batch_size=32, seed=0)
        return time.process_time() - start

    return compare("the demo's training epoch", 1.0, lambda: epoch(rt), torch and (lambda: epoch(torch)), rounds=7)


def resident() -> float:
    """Resident memory of this process in MB (Linux); elsewhere the highest value so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak / (1e6 if sys.platform == "darwin" else 1e3)


def many_steps(steps: int = 10_000) -> list[Row]:
    """What a long training run leaves behind."""

    def train(count: int, names: dict[str, Any]) -> None:
        for _ in range(count):
            names["optimizer"].zero_grad()
            names["criterion"](names["model"](names["x"]), names["y"]).backward()
            names["optimizer"].step()

    gc.collect()
    live = rt.live_tensors()
    names = mlp(rt, "Adam")
    train(steps // 10, names)
    before = resident()
    train(steps, names)
    grown = resident() - before
    del names
    gc.collect()
    left = rt.live_tensors() - live
    what = f"{steps:,} training steps"
    return [
        Row(f"{what}: resident memory grows by", f"{grown:.2f} MB", goal="<= 1 MB", passed=grown <= 1.0),
        Row(f"{what}: live handles left over", f"{left}", goal="0", passed=left == 0),
    ]


def rows(torch: Any) -> list[Row]:
    """All rows of this file."""
    return [case.row(torch) for case in CASES] + [demo_epoch(torch), *many_steps()]
