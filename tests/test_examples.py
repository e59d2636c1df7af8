"""The Python examples run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = ROOT / "examples" / "python"
# Arguments that make an example quick; examples without an entry run as they are.
QUICK = {"digits.py": ["--epochs", "2", "--no-twin", "--no-goal", "--out", "out"]}


def run(name: str, folder: Path) -> str:
    environment = {**os.environ, "TQDM_DISABLE": "1", "MPLCONFIGDIR": str(folder)}
    command = [sys.executable, str(EXAMPLES / name), *QUICK.get(name, [])]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_all_examples_are_tested_here() -> None:
    assert {p.name for p in EXAMPLES.glob("*.py")} == {"digits.py"}


def test_digits(tmp_path: Path) -> None:
    """The demo, two epochs of it: pictures, weights, and a reloaded model that predicts the same."""
    output = run("digits.py", tmp_path)
    assert "predicts the same" in output
    accuracy = float(output.split("test accuracy: ")[1].split("%")[0])
    assert accuracy > 90
    for picture in ("loss.png", "predictions.png"):
        assert (tmp_path / "out" / picture).read_bytes().startswith(b"\x89PNG")

    from safetensors.numpy import load_file

    weights = load_file(tmp_path / "out" / "digits.safetensors")
    assert weights["0.weight"].shape == (16, 1, 3, 3)
    assert not (tmp_path / "out" / "twin.png").exists()
