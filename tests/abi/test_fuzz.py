"""Calls that mostly make no sense: every op must answer with a result or an error, and the process lives on."""

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("seed", [1, 2])
def test_no_call_panics_or_crashes(seed):
    command = [sys.executable, str(Path(__file__).with_name("fuzz.py")), str(seed), "100"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    last = (done.stdout.splitlines() or [""])[-1]
    assert done.returncode == 0, f"{done.stderr}\nexit status {done.returncode}; the last call was {last}"
