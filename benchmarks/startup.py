"""What `import` costs, in processes of their own: time beyond Python's start and the resident memory it adds."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from typing import Any

from harness import Row, compare

# Prints seconds and MB. The modules that the measurement itself needs are loaded before it.
SCRIPT = """
import os, sys, time
def resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
have = sys.platform == "linux"
before = resident() if have else 0.0
start = time.process_time()
import {modules}
taken = time.process_time() - start
print(taken, (resident() if have else 0.0) - before, "numpy" in sys.modules)
"""
IN_USE = "rustorch, rustorch.nn, rustorch.optim, rustorch.utils.data"


def measure(modules: str) -> tuple[float, float, bool]:
    """Seconds, MB, and whether numpy was loaded, of one fresh process."""
    command = [sys.executable, "-c", SCRIPT.format(modules=modules)]
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}  # installed code is compiled
    run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    taken, memory, numpy = run.stdout.split()
    return float(taken), float(memory), numpy == "True"


def rows(torch: Any) -> list[Row]:
    """All rows of this file."""
    measure(IN_USE)  # disk caches, byte code
    rounds = 7
    memory: dict[str, list[float]] = {"rustorch": [], "torch": [], IN_USE: []}
    numpy = False

    def timed(modules: str) -> float:
        nonlocal numpy
        taken, megabytes, loaded = measure(modules)
        memory[modules].append(megabytes)
        numpy |= loaded and modules == "rustorch"
        return taken

    theirs = torch and (lambda: timed("torch"))
    table = [
        compare("import, beyond Python's start", 0.05, lambda: timed("rustorch"), theirs, rounds),
        compare("import with nn, optim and utils.data", None, lambda: timed(IN_USE), theirs, rounds),
    ]
    if sys.platform == "linux":
        ours, loaded = statistics.median(memory["rustorch"]), statistics.median(memory[IN_USE])
        theirs_text = f"{statistics.median(memory['torch']):.0f} MB" if torch else "-"
        what = "resident memory that import adds"
        table.append(Row(what, f"{ours:.1f} MB", theirs_text, goal="<= 25 MB", passed=ours <= 25))
        table.append(Row(f"{what}, with nn etc.", f"{loaded:.1f} MB", theirs_text))
    table.append(Row("import loads numpy", "yes" if numpy else "no", goal="no", passed=not numpy))
    return table
