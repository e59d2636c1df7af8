"""The C++ header, tested by a C++ program."""

from pathlib import Path

import pytest
from abi_tools import CPP, link_flags, run, tool


@pytest.mark.parametrize("compiler", ["g++", "clang++"])
def test_cpp(compiler, tmp_path):
    program = tmp_path / "api"
    run(tool(compiler), *CPP, "-pthread", Path(__file__).with_name("api.cpp"), *link_flags(), "-o", program)
    run(program, tmp_path / "file.safetensors")
