"""The import rules of CONTRIBUTING.md: who may use whom, in Rust and in Python."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
RUST = ROOT / "rust-core" / "src"
PYTHON = ROOT / "rustorch"

# ---- Rust ----

BASE = {"callback", "device", "fork", "error", "memory", "dtype", "shape", "storage", "parallel", "random", "simd"}
# Folder (or file) of rust-core/src -> the modules of the crate that it may name. `ops` and `autograd` know each other:
# the funnel of `ops` records, and the backward walk of `autograd` calls ops.
ALLOWED = {
    **{module: BASE for module in BASE},
    "kernels": BASE | {"kernels"},
    "tensor": BASE | {"kernels", "tensor", "autograd"},
    "ops": BASE | {"kernels", "tensor", "ops", "autograd"},
    "autograd": BASE | {"tensor", "ops", "autograd"},
    "io": BASE | {"tensor", "io"},
    "operators": BASE | {"tensor", "ops", "autograd"},
    "convenience": BASE | {"tensor", "ops", "autograd"},
    "capi": BASE | {"tensor", "ops", "autograd", "io", "capi"},
    "lib": None,  # the root names everything
    "bin": None,  # programs see the crate from outside
}
# Macros live at the crate's root; this is where they belong.
MACROS = {
    "with_complex": "kernels",
    "complex_loops": "kernels",
    "by_parts": "kernels",
    "bail": "error",
    "err": "error",
    "kernel": "kernels",
    "elementwise_loop": "kernels",
    "simd_fn": "simd",
}
# The crate's root offers these names again.
REEXPORTED = {"Tensor": "tensor", "DType": "dtype", "Scalar": "dtype", "Error": "error", "Result": "error"}


def rust_files() -> list[Path]:
    return sorted(RUST.rglob("*.rs"))


def code(path: Path) -> str:
    """The file without comments."""
    return re.sub(r"//[^\n]*", "", path.read_text(encoding="utf-8"))


def named_modules(text: str) -> set[str]:
    """The modules that stand behind `crate::`, also in `use crate::{a, b::{c, d}}`."""
    names = set(re.findall(r"\bcrate::(\w+)", text))
    for found in re.finditer(r"\bcrate::\{", text):
        depth, name = 1, ""
        for c in text[found.end() :]:
            depth += (c == "{") - (c == "}")
            if depth == 0 or (depth == 1 and c == ","):
                names.update(re.findall(r"^\s*(\w+)", name))
                name = ""
            else:
                name += c
            if depth == 0:
                break
    return {MACROS.get(name, REEXPORTED.get(name, name)) for name in names}


def test_named_modules_reads_nested_imports() -> None:
    text = "use crate::dtype::DType;\nuse crate::{bail, ops::{self, lang}, shape};\nlet x = $crate::tensor::f();"
    assert named_modules(text) == {"dtype", "error", "ops", "shape", "tensor"}


@pytest.mark.parametrize("path", rust_files(), ids=lambda p: str(p.relative_to(RUST)))
def test_rust_imports(path: Path) -> None:
    place = path.relative_to(RUST).parts[0].removesuffix(".rs")
    assert place in ALLOWED, f"{place} is new: say in ALLOWED what it may use"
    allowed = ALLOWED[place]
    if allowed is not None:
        assert named_modules(code(path)) <= allowed


def test_tensor_knows_only_the_state_of_autograd() -> None:
    """A tensor carries autograd's state and nothing else of it."""
    for path in (RUST / "tensor").rglob("*.rs"):
        assert set(re.findall(r"\bautograd::(\w+|\{[^}]*\})", code(path))) <= {"Meta"}


def test_capi_has_no_unwrap_and_no_dtype_of_its_own() -> None:
    """The C ABI turns pointers into values; what may fail is an error there, and dtypes are a matter of the ops."""
    for path in (RUST / "capi").rglob("*.rs"):
        text = code(path).split("#[cfg(test)]")[0]
        assert not re.search(r"\.unwrap\(\)|\.expect\(|\bdispatch!|\bDType::[A-Z]\w*\s*=>", text), path


# ---- Python ----

# The modules that call C. Everything else is written in terms of tensors.
DOORS = {
    "__init__", "_device", "_door", "_ops", "_tensor", "autograd.__init__", "autograd.graph", "classic", "dtypes",
    "indexing", "interchange", "ops", "random", "serialization", "words",
}  # fmt: skip


def imported(tree: ast.AST) -> set[str]:
    """Modules that a file imports, `from . import a` giving `.a`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            stem = "." * node.level + (node.module or "")
            names.update({stem} | {f"{stem.rstrip('.')}.{alias.name}" for alias in node.names})
    return names


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def python_files() -> list[Path]:
    return sorted(PYTHON.rglob("*.py"))


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(PYTHON)))
def test_only_the_door_calls_c(path: Path) -> None:
    tree = parse(path)
    name = ".".join(path.relative_to(PYTHON).with_suffix("").parts)
    uses_lib = any(isinstance(node, ast.Name) and node.id == "lib" for node in ast.walk(tree))
    assert not uses_lib or name in DOORS
    touches_ffi = any(module.split(".")[-1] == "_ffi" for module in imported(tree))
    assert not touches_ffi or name == "_door"


@pytest.mark.parametrize("path", python_files(), ids=lambda p: str(p.relative_to(PYTHON)))
def test_foundations_do_not_know_what_is_built_on_them(path: Path) -> None:
    """The tensor's side never imports nn, optim or data; nobody imports torch."""
    names = {module.removeprefix("rustorch").lstrip(".").split(".")[0] for module in imported(parse(path))}
    assert "torch" not in names
    # kernels.py only gives a second name to a function of nn.
    if path.relative_to(PYTHON).parts[0] not in ("nn", "optim", "utils", "kernels.py"):
        assert not names & {"nn", "optim", "utils"}


def run(source: str) -> str:
    return subprocess.run([sys.executable, "-c", source], capture_output=True, text=True, check=True).stdout.strip()


def test_import_loads_neither_numpy_nor_torch() -> None:
    source = (
        "import sys, rustorch, rustorch.nn, rustorch.optim, rustorch.utils.data\n"
        "print([m for m in ('numpy', 'torch', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    assert run(source) == "[]"


def test_import_is_lazy() -> None:
    """nn, optim and data load when they are first used."""
    source = (
        "import sys, rustorch; print(sorted(m for m in sys.modules if m.startswith(('rustorch.nn', 'rustorch.opt'))))"
    )
    assert run(source) == "[]"


# ---- tests ----


def test_only_the_abi_tests_know_the_c_module() -> None:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if "abi" not in path.parts:
            assert not any("_ffi" in module.split(".") for module in imported(parse(path))), path


def test_torch_is_wanted_only_by_its_own_tests() -> None:
    for path in sorted((ROOT / "tests").glob("*.py")) + sorted((ROOT / "tests" / "abi").glob("*.py")):
        assert not any(module.split(".")[0] == "torch" for module in imported(parse(path))), path
