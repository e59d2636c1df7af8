"""The header: up to date, complete, stable, and accepted by strict compilers."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import abi_tools
import pytest
from abi_tools import CPP, HEADER, INCLUDE, LIBRARY, ROOT, C, ffi, lib, run, tool

SNAPSHOT = Path(__file__).with_name("symbols.txt")
GENERATED = [
    "rust-core/include/rustorch.h",
    "rust-core/include/rustorch_ops.hpp",
    "rust-core/src/capi/ops.rs",
    "rustorch/_ops.py",
    "docs/ops.md",
]


def test_generated_files_are_what_the_table_says(tmp_path):
    tool("cargo")
    ignore = shutil.ignore_patterns("target", "__pycache__")
    for part in ["rust-core", "rustorch", "docs"]:
        shutil.copytree(ROOT / part, tmp_path / part, ignore=ignore)
    shutil.copy(ROOT / "cbindgen.toml", tmp_path)
    # The build is shared with `make gen`; only the output goes elsewhere.
    command = "cargo run --quiet --no-default-features --features gen --bin gen --"
    run(*command.split(), tmp_path, cwd=ROOT / "rust-core", env=os.environ | {"RUSTORCH_QUICK": "1"})
    stale = [f for f in GENERATED if (tmp_path / f).read_text() != (ROOT / f).read_text()]
    assert not stale, "run `make gen`"


def test_every_function_is_bound():
    names = [f.name for f in abi_tools.functions()]
    assert len(names) > 300 and len(names) == len(set(names))
    assert [n for n in names if n not in dir(lib)] == []


def test_every_function_is_documented():
    lines = HEADER.read_text().splitlines()
    starts = [i for i, line in enumerate(lines) if re.match(r"(const )?(struct )?\w+ \**rt_\w+\(", line)]
    assert [lines[i] for i in starts if not lines[i - 1].startswith("//")] == []


def test_only_our_symbols_are_exported():
    tool("nm")
    library = next(LIBRARY.glob("librustorch.*"))
    symbols = [line.split()[-1] for line in run("nm", "-D", "--defined-only", library).splitlines()]
    assert [s for s in symbols if not s.startswith("rt_")] == []
    assert sorted(symbols) == sorted(f.name for f in abi_tools.functions())


def test_no_function_was_removed_or_changed():
    known = set(SNAPSHOT.read_text().splitlines())
    gone = sorted(known - {str(f) for f in abi_tools.functions()})
    assert not gone, f"the ABI has changed; if that is wanted: python {Path(__file__).name} --update"


@pytest.mark.parametrize("compiler,flags", [("gcc", C), ("clang", C), ("g++", CPP), ("clang++", CPP)])
@pytest.mark.parametrize("header", ["rustorch.h", "rustorch.hpp"])
def test_strict_compilers_accept_the_headers(compiler, flags, header, tmp_path):
    if header.endswith("hpp") and flags is C:
        pytest.skip("C++ only")
    source = tmp_path / ("twice.c" if flags is C else "twice.cpp")
    source.write_text(f'#include "{header}"\n#include "{header}"\nint main(void) {{ return 0; }}\n')
    run(tool(compiler), *flags, "-fsyntax-only", f"-I{INCLUDE}", source)


def test_header_in_two_translation_units(tmp_path):
    for name, body in [("a.cpp", "int f() { return 0; }"), ("b.cpp", "int f(); int main() { return f(); }")]:
        (tmp_path / name).write_text(f'#include "rustorch.hpp"\n{body}\n')
    program = tmp_path / "program"
    run(tool("g++"), *CPP, tmp_path / "a.cpp", tmp_path / "b.cpp", *abi_tools.link_flags(), "-o", program)
    run(program)


def dtypes() -> dict[str, int]:
    info = abi_tools.sized("rt_dtype_info")
    found = {}
    for code in range(lib.rt_dtype_count()):
        assert lib.rt_dtype_get(code, info) == lib.RT_OK
        found[ffi.string(info.name).decode()] = code
    return found


def test_dtype_codes():
    for name, code in dtypes().items():
        assert getattr(lib, f"RT_{name.upper()}") == code
    words = {"bool": "Bool", "uint8": "U8", "bfloat16": "BF16", "float16": "F16", "float32": "F32", "float64": "F64"}
    words |= {f"int{n}": f"I{n}" for n in (8, 16, 32, 64)}
    words |= {f"uint{n}": f"U{n}" for n in (16, 32, 64)} | {"complex64": "C64", "complex128": "C128"}
    enum = (INCLUDE / "rustorch_ops.hpp").read_text().split("enum class DType", 1)[1].split("}", 1)[0]
    written = dict(re.findall(r"(\w+) = (-?\d+),", enum))
    assert written.pop("None") == "-1"
    assert {words[n]: str(c) for n, c in dtypes().items()} == written


def test_constants_of_the_errors_are_distinct():
    codes = [getattr(lib, n) for n in dir(lib) if n.startswith("RT_ERR_")]
    assert len(set(codes)) == len(codes) == 13 and lib.RT_OK == 0 not in codes


def test_version():
    assert lib.rt_abi_version() == lib.RT_ABI_VERSION
    assert re.fullmatch(rb"\d+\.\d+\.\d+", ffi.string(lib.rt_version()))


def test_rules_of_the_folders():
    """Only the door and these tests know the C functions."""
    users = set()
    for path in itertools.chain((ROOT / "rustorch").rglob("*.py"), (ROOT / "tests").rglob("*.py")):
        if re.search(r"^\s*(from|import) .*\b_ffi\b", path.read_text(), flags=re.M):
            users.add(path.relative_to(ROOT).as_posix())
    assert {u for u in users if not u.startswith("tests/abi/")} <= {"rustorch/_door.py"}


if __name__ == "__main__" and sys.argv[1:] == ["--update"]:
    SNAPSHOT.write_text("".join(f"{line}\n" for line in sorted(str(f) for f in abi_tools.functions())))
    subprocess.run(["git", "diff", "--stat", "--", SNAPSHOT], check=False)
