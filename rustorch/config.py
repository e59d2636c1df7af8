"""Where the C and C++ headers and the library are: `python -m rustorch.config --cflags --libs --cmakedir`."""

from __future__ import annotations

import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parent
OPTIONS = {
    "--cflags": lambda: f"-I{PACKAGE / 'include'}",
    "--libs": lambda: f"-L{PACKAGE / 'lib'} -lrustorch -Wl,-rpath,{PACKAGE / 'lib'}",
    "--includedir": lambda: str(PACKAGE / "include"),
    "--libdir": lambda: str(PACKAGE / "lib"),
    "--cmakedir": lambda: str(PACKAGE / "cmake"),
    "--pkgconfigdir": lambda: str(PACKAGE / "pkgconfig"),
}


def main(arguments: list[str]) -> int:
    """Prints what the options ask for, on one line."""
    unknown = [a for a in arguments if a not in OPTIONS]
    if unknown or not arguments:
        print(f"usage: python -m rustorch.config {' '.join(f'[{o}]' for o in OPTIONS)}", file=sys.stderr)
        return 2
    print(" ".join(OPTIONS[a]() for a in arguments))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
