"""What the ABI tests share: the header as data, compilers, and calls with chosen arguments."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

import rustorch.config
import rustorch.ops
from rustorch import _ffi

ffi, lib = _ffi.ffi, _ffi.lib
ROOT = Path(__file__).resolve().parents[2]
INCLUDE = ROOT / "rust-core" / "include"
HEADER = INCLUDE / "rustorch.h"
LIBRARY = Path(rustorch.config.PACKAGE) / "lib"
C = ["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]
CPP = ["-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]


@dataclass(frozen=True)
class Param:
    """A parameter as the header spells it."""

    type: str
    name: str

    @property
    def is_output(self) -> bool:
        """True if the function writes there on success."""
        if re.fullmatch(r"(struct )?rt_\w+ \*\*", self.type):
            return True
        return re.fullmatch(r"(size_t|bool|u?int\d+_t|struct rt_(scalar|op_info|dtype_info)) \*", self.type) is not None


@dataclass(frozen=True)
class Function:
    """A function of the header."""

    result: str
    name: str
    params: tuple[Param, ...]

    @property
    def fallible(self) -> bool:
        return self.result == "rt_status" and self.name != "rt_last_error_status"

    def __str__(self) -> str:
        return f"{self.result} {self.name}({', '.join(p.type for p in self.params) or 'void'})"


def _param(text: str) -> Param:
    text = " ".join(text.split())
    pointer = re.fullmatch(r"(.*\(\*)(\w+)(\).*)", text)
    if pointer:
        return Param(f"{pointer[1]}{pointer[3]}", pointer[2])
    match = re.fullmatch(r"(.*?[\s*])(\w+)", text)
    assert match, text
    return Param(match[1].strip(), match[2])


def functions() -> list[Function]:
    """The functions of the header, in order."""
    text = "\n".join(line for line in HEADER.read_text().splitlines() if not line.startswith(("//", "#", "typedef")))
    found = []
    for result, name, params in re.findall(r"^((?:const )?(?:struct )?\w+ \**)(rt_\w+)\(([^;]*)\);", text, flags=re.M):
        inner = re.sub(r"\(\*(\w+)\)\(([^()]*)\)", lambda m: f"(*{m[1]})({m[2].replace(',', ';')})", params)
        parts = [p.replace(";", ",") for p in inner.split(",")]
        found.append(Function(result.strip(), name, () if params == "void" else tuple(_param(p) for p in parts)))
    return found


def sized(struct: str):
    """A struct that knows its size, to be filled."""
    p = ffi.new(f"{struct} *")
    p.size = ffi.sizeof(struct)
    return p


def attributes(*attrs: dict):
    """An array of `rt_attr`, or NULL."""
    return ffi.new("rt_attr[]", [{"size": ffi.sizeof("rt_attr")} | a for a in attrs]) if attrs else ffi.NULL


def elements(array, n: int):
    """The structs of an array, which lie as far apart as the first one says."""
    start, kind = ffi.cast("char *", array), ffi.typeof(array)
    return [ffi.cast(kind, start + i * array.size)[0] for i in range(n)]


@ffi.def_extern()
def py_on_call(ctx, event):
    ffi.from_handle(ctx)(event)


@contextmanager
def listening(callback):
    """Has the function hear each `rt_event` of this thread. What it raises is raised at the end."""
    errors: list[BaseException] = []

    def heard(event):
        try:
            callback(event)
        except BaseException as e:
            errors.append(e)

    handle = ffi.new_handle(heard)
    assert lib.rt_listener_push(lib.py_on_call, handle) == lib.RT_OK
    try:
        yield
    finally:
        assert lib.rt_listener_pop() == lib.RT_OK
    if errors:
        raise errors[0]


def described(handle) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    n = lib.rt_tensor_ndim(handle)
    shape, strides = (
        ffi.unpack(p, n) if n else [] for p in (lib.rt_tensor_shape(handle), lib.rt_tensor_strides(handle))
    )
    # The step through a dimension of one element, or of none, leads nowhere.
    steps = [s if d > 1 and 0 not in shape else 0 for d, s in zip(shape, strides)]
    return tuple(shape), tuple(steps), lib.rt_tensor_dtype(handle)


ROOM = 64


@cache
def dynamic() -> set[str]:
    """Ops whose results depend on the elements."""
    return {op["name"] for op in rustorch.ops.table() if op["class"] == "Dynamic"}


class Asked:
    """Compares each call that it hears with what is inferred for it."""

    def __init__(self) -> None:
        self.wrong: list[str] = []
        self.refused: list[str] = []
        self.count = 0

    def heard(self, e) -> None:
        if e.phase in (lib.RT_EVENT_BEGIN, lib.RT_EVENT_FAIL):
            return
        word = ffi.string(e.name).decode()
        outs, n = ffi.new("struct rt_tensor *[]", ROOM), ffi.new("size_t *")
        if lib.rt_op_infer(e.name, e.inputs, e.inputs_len, e.attrs, e.attrs_len, outs, ROOM, n):
            if word not in dynamic():
                self.refused.append(f"{word}: {ffi.string(lib.rt_last_error()).decode()}")
            return
        self.count += 1
        found = [described(outs[i]) for i in range(n[0])]
        devices = {lib.rt_tensor_device(outs[i]) for i in range(n[0])}
        for i in range(n[0]):
            lib.rt_tensor_free(outs[i])
        given = [described(e.outputs[i]) for i in range(e.outputs_len)]
        if found != given or devices - {lib.RT_DEVICE_META}:
            self.wrong.append(f"{word}: inferred {found}, got {given}")


@contextmanager
def asking():
    asked = Asked()
    with listening(asked.heard):
        yield asked


def tool(name: str) -> str:
    """The path of a program; without it the test is skipped."""
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def run(*command: str | Path, **options: object) -> str:
    """Runs a command that must succeed; gives what it printed."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=1800, **options)  # type: ignore[call-overload]
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return str(done.stdout)


def run_python(code: str, *arguments: str | Path) -> str:
    """Runs Python code in a process of its own, so that a crash is only that process's."""
    return run(sys.executable, "-c", code, *arguments, cwd=ROOT)


def link_flags() -> list[str]:
    """How to link against the library that the package uses."""
    return [f"-I{INCLUDE}", f"-L{LIBRARY}", "-lrustorch", f"-Wl,-rpath,{LIBRARY}", "-lm"]
