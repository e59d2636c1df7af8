"""`python -m rustorch.as_torch PROGRAM [ARGUMENTS]`, or `-m MODULE [ARGUMENTS]`."""

from __future__ import annotations

import os
import runpy
import sys
import types
from importlib.machinery import SourceFileLoader, SourcelessFileLoader
from typing import Any

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
    # The program's own module stays `__main__` to the end, so that what runs at exit still finds its names there.
    own = types.ModuleType("__main__")
    sys.modules["__main__"] = own
    if module:
        runpy._run_module_as_main(arguments[0])  # type: ignore[attr-defined]
        return
    path = os.path.abspath(arguments[0])
    if os.path.isdir(path) or path.endswith((".zip", ".pyz")):
        sys.path[0] = path
        runpy._run_module_as_main("__main__", alter_argv=False)  # type: ignore[attr-defined]
        return
    sys.path[0] = os.path.dirname(os.path.realpath(path))
    loader = (SourcelessFileLoader if path.endswith(".pyc") else SourceFileLoader)("__main__", path)
    code: Any
    if isinstance(loader, SourceFileLoader):
        code = loader.source_to_code(loader.get_data(path), path)
    else:
        code = loader.get_code("__main__")
    own.__dict__.update(__file__=path, __loader__=loader, __builtins__=__builtins__, __cached__=None)
    exec(code, own.__dict__)


main()
