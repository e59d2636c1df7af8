"""`python -m rustorch.as_torch PROGRAM [ARGUMENTS]`, or `-m MODULE [ARGUMENTS]`."""

from __future__ import annotations

import os
import runpy
import sys

from . import install

USAGE = "usage: python -m rustorch.as_torch (PROGRAM | -m MODULE) [ARGUMENTS]"


def main() -> None:
    """Runs a program as `python` would, with rustorch in the place of torch."""
    arguments = sys.argv[1:]
    if arguments[:1] in (["-h"], ["--help"]):
        print(USAGE)
        return
    module = arguments[:1] == ["-m"]
    arguments = arguments[module:]
    if not arguments or arguments[0].startswith("-"):
        sys.exit(USAGE)
    install()
    sys.argv[:] = arguments
    if module:
        runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        return
    if not os.path.isdir(arguments[0]) and not arguments[0].endswith((".zip", ".pyz")):
        sys.path[0] = os.path.dirname(os.path.abspath(arguments[0]))
    runpy.run_path(arguments[0], run_name="__main__")


main()
