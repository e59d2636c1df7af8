"""Size of the wheel and of the installed package. Builds a wheel, or takes the one given: `size.py [WHEEL]`."""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from harness import Row

ROOT = Path(__file__).resolve().parent.parent


def pip(*arguments: str) -> None:
    """Runs pip; its output appears only if it fails."""
    run = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True)
    if run.returncode:
        sys.exit(f"pip {' '.join(arguments)} failed:\n{run.stdout}{run.stderr}")


def megabytes(files: list[Path]) -> float:
    """Total size."""
    return sum(f.stat().st_size for f in files if f.is_file()) / 1e6


def rows(torch: Any, wheel: Path | None = None) -> list[Row]:
    """All rows of this file."""
    with tempfile.TemporaryDirectory() as folder:
        if wheel is None:
            pip("wheel", "--no-deps", "--wheel-dir", folder, str(ROOT))
            (wheel,) = Path(folder).glob("rustorch-*.whl")
        target = Path(folder) / "installed"
        pip("install", "--no-deps", "--target", str(target), str(wheel))
        packed, installed = megabytes([wheel]), megabytes(list(target.rglob("*")))
    theirs = "-"
    if torch:
        files = importlib.metadata.files("torch") or []
        theirs = f"{megabytes([Path(str(f.locate())) for f in files]):.0f} MB"
    return [
        Row("wheel", f"{packed:.2f} MB", goal="<= 8 MB", passed=packed <= 8),
        Row("installed", f"{installed:.2f} MB", theirs, goal="<= 25 MB", passed=installed <= 25),
    ]


if __name__ == "__main__":
    for row in rows(None, Path(sys.argv[1]) if len(sys.argv) > 1 else None):
        print(f"{row.name:10} {row.ours:>10}   goal {row.goal:>9}   reached: {'yes' if row.passed else 'NO'}")
