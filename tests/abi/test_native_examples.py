"""The examples, built in every way that their pages show, and run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from abi_tools import CPP, ROOT, C, run, tool

import rustorch.config

EXAMPLES = [("c", "gcc", C, ["-lm"]), ("cpp", "g++", CPP, [])]


def source(language: str) -> Path:
    return next((ROOT / "examples" / language).glob("train.c*"))


def config(*options: str) -> list[str]:
    return shlex.split(run(sys.executable, "-m", "rustorch.config", *options, cwd=ROOT))


def check_run(program: Path, folder: Path) -> None:
    assert re.search(r"final loss 0\.0\d+ ", run(program, cwd=folder))


def test_config_options():
    for option, make in rustorch.config.OPTIONS.items():
        assert config(option) == shlex.split(make())
    for option in ["--includedir", "--libdir", "--cmakedir", "--pkgconfigdir"]:
        (folder,) = config(option)
        assert Path(folder).is_dir() and any(Path(folder).iterdir()), option
    assert config("--cflags", "--libs") == [*config("--cflags"), *config("--libs")]
    for bad in [[], ["--nonsense"]]:
        done = subprocess.run([sys.executable, "-m", "rustorch.config", *bad], capture_output=True, text=True, cwd=ROOT)
        assert done.returncode == 2 and "usage" in done.stderr


@pytest.mark.parametrize("language,compiler,flags,more", EXAMPLES)
def test_with_rustorch_config(language, compiler, flags, more, tmp_path):
    program = tmp_path / "train"
    run(tool(compiler), *flags, source(language), *config("--cflags", "--libs"), *more, "-o", program)
    check_run(program, tmp_path)


@pytest.mark.parametrize("language,compiler,flags,more", EXAMPLES)
def test_with_pkg_config(language, compiler, flags, more, tmp_path):
    env = os.environ | {"PKG_CONFIG_PATH": config("--pkgconfigdir")[0]}
    found = shlex.split(run(tool("pkg-config"), "--cflags", "--libs", "rustorch", env=env))
    version = run("pkg-config", "--modversion", "rustorch", env=env).strip()
    assert version == rustorch.__version__
    program = tmp_path / "train"
    run(tool(compiler), *flags, source(language), *found, *more, "-o", program)
    check_run(program, tmp_path)


@pytest.mark.parametrize("language", [e[0] for e in EXAMPLES])
def test_with_cmake(language, tmp_path):
    build = tmp_path / "build"
    folder = source(language).parent
    run(tool("cmake"), "-S", folder, "-B", build, f"-Drustorch_DIR={config('--cmakedir')[0]}")
    run("cmake", "--build", build)
    check_run(build / "train", tmp_path)


@pytest.mark.parametrize("version,found", [("0.1", True), (rustorch.__version__ + " EXACT", True), ("99", False)])
def test_cmake_minds_the_version(version, found, tmp_path):
    (tmp_path / "CMakeLists.txt").write_text(
        f"cmake_minimum_required(VERSION 3.16)\nproject(p C)\nfind_package(rustorch {version} REQUIRED)\n"
    )
    command = [tool("cmake"), "-S", tmp_path, "-B", tmp_path / "build", f"-Drustorch_DIR={config('--cmakedir')[0]}"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode == 0) is found, done.stderr


def test_the_saved_weights_are_readable_in_python(tmp_path):
    program = tmp_path / "train"
    run(tool("g++"), *CPP, source("cpp"), *config("--cflags", "--libs"), "-o", program)
    run(program, tmp_path / "w.safetensors", cwd=tmp_path)
    weights = rustorch.load(tmp_path / "w.safetensors")
    assert {k: tuple(v.shape) for k, v in weights.items()} == {
        "0.weight": (32, 2),
        "0.bias": (32,),
        "1.weight": (32, 32),
        "1.bias": (32,),
        "2.weight": (1, 32),
        "2.bias": (1,),
    }


@pytest.mark.slow
def test_the_rust_example():
    target = {"CARGO_TARGET_DIR": str(ROOT / "rust-core" / "target"), "RUSTORCH_QUICK": "1"}
    out = run(tool("cargo"), "run", "--quiet", cwd=ROOT / "examples" / "rust", env=os.environ | target)
    assert "final loss" in out
