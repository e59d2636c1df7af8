"""Saves and loads of one path from many processes, and savers that are killed: what must never be seen is a torn file.

The tests run it for seconds; `make soak` runs it for minutes and prints the figures.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ELEMENTS = 40_000


def state(i: int) -> dict[str, Any]:
    """Tensors that all say `i`: a file with two numbers in it is torn."""
    import rustorch as rt

    return {"a": rt.full((ELEMENTS,), float(i)), "b": rt.full((3,), i), "i": i}


def whole(path: Path) -> bool:
    """True if the file holds one state."""
    import rustorch as rt

    s = rt.load(path)
    return bool((s["a"] == s["i"]).all()) and s["b"].tolist() == [s["i"]] * 3 and s["a"].numel() == ELEMENTS


def stale(folder: Path) -> int:
    """Temporary files in the folder."""
    return sum(p.name != "f" for p in folder.iterdir())


def run(path: Path, what: str, times: int) -> int:
    """Saves or loads again and again; the number of times that it failed or saw a torn file."""
    import rustorch as rt

    bad = 0
    for i in range(times):
        try:
            if what == "save":
                rt.save(state(os.getpid() * 1000 + i), path)
            else:
                bad += not whole(path)
        except Exception as e:
            print(what, type(e).__name__, e, file=sys.stderr)
            bad += 1
    return bad


def concurrent(folder: Path, savers: int, loaders: int, times: int) -> dict[str, int]:
    """Processes that save to one path while others load it."""
    import rustorch as rt

    path = folder / "f"
    rt.save(state(0), path)
    command = [sys.executable, __file__, str(path)]
    processes = [
        subprocess.Popen([*command, what, str(times)], stdout=subprocess.PIPE, text=True)
        for what in ["save"] * savers + ["load"] * loaders
    ]
    bad = [int(p.communicate()[0] or times) for p in processes]
    return {
        "saves": savers * times,
        "loads": loaders * times,
        "failed": sum(bad[:savers]),
        "torn": sum(bad[savers:]) + (not whole(path)),
        "stale": stale(folder),
    }


def killed(folder: Path, times: int, seed: int = 0) -> dict[str, int]:
    """Savers that are killed in the middle. Children are forked by a process without other threads."""
    import rustorch as rt

    path = folder / "f"
    rt.save(state(0), path)
    p = subprocess.run(
        [sys.executable, __file__, str(path), "kill", str(times), str(seed)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    torn, left = map(int, p.stdout.split())
    rt.save(state(1), path)
    return {"kills": times, "torn": torn + (not whole(path)), "left by the killed": left, "stale": stale(folder)}


def kill(path: Path, times: int, seed: int) -> None:
    """What `killed` runs: forks a saver, kills it, looks at the file."""
    import rustorch as rt

    chance = random.Random(seed)
    rt.save(state(0), path)
    torn = left = 0
    for _ in range(times):
        child = os.fork()
        if child == 0:
            i = 0
            while True:
                i += 1
                rt.save(state(i), path)
        time.sleep(chance.uniform(0.0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        left += stale(path.parent)
        try:
            torn += not whole(path)
        except Exception as e:
            print(type(e).__name__, e, file=sys.stderr)
            torn += 1
    print(torn, left)


def main() -> None:
    """`make soak`."""
    with tempfile.TemporaryDirectory() as folder:
        print("concurrent:", concurrent(Path(folder), 6, 6, 300))
    with tempfile.TemporaryDirectory() as folder:
        print("kill -9:", killed(Path(folder), 500))


if __name__ == "__main__":
    if len(sys.argv) == 1:
        main()
    elif sys.argv[2] == "kill":
        kill(Path(sys.argv[1]), int(sys.argv[3]), int(sys.argv[4]))
    else:
        print(run(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])))
