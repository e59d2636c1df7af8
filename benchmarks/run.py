"""Prints rustorch's figures beside PyTorch's (if it is installed), on one thread.

Times are CPU times. Ratios are ours / torch's: medians over rounds in which the two take turns, so that a busy machine
disturbs both alike.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

import ops
import size
import startup
import training
from harness import HEADINGS, THREADS, Row, find_torch

import rustorch

GROUPS: dict[str, Callable[[Any], list[Row]]] = {
    "startup": startup.rows,
    "size": size.rows,
    "ops": lambda torch: [case.row(torch) for case in ops.CASES],
    "training": training.rows,
}


def cpu() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def machine(torch: Any) -> dict[str, Any]:
    """Where and with what the figures were measured."""
    return {
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        "rustorch": rustorch.__version__,
        "torch": torch.__version__ if torch else None,
    }


def table(rows: list[Row]) -> str:
    """A Markdown table with aligned columns."""
    cells = [HEADINGS] + [row.cells() for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(HEADINGS))]
    lines = ["| " + " | ".join(text.ljust(width) for text, width in zip(line, widths)) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def main() -> int:
    """Exit status 1 if a goal was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("groups", nargs="*", help=f"which groups: {', '.join(GROUPS)} (all)")
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    options = parser.parse_args()
    for group in options.groups:
        if group not in GROUPS:
            parser.error(f"unknown group {group!r}: choose from {', '.join(GROUPS)}")
    torch = find_torch()
    rustorch.set_num_threads(THREADS)
    where = machine(torch)
    print(", ".join(f"{key}: {value}" for key, value in where.items()))
    rows = []
    for name, measure in GROUPS.items():
        if not options.groups or name in options.groups:
            print(f"measuring {name} ...", file=sys.stderr, flush=True)
            rows += measure(torch)
    print(table(rows))
    if options.json:
        options.json.write_text(json.dumps({"machine": where, "rows": [asdict(row) for row in rows]}, indent=2) + "\n")
    return 1 if any(row.passed is False for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
