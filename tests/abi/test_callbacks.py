"""A C program whose callbacks end long calls and find out what handles keep alive."""

import platform
import sys
from pathlib import Path

import pytest
from abi_tools import C, link_flags, run, tool


def test_callbacks(tmp_path):
    program = tmp_path / "program"
    run(tool("gcc"), *C, Path(__file__).with_name("callbacks.c"), *link_flags(), "-lm", "-o", program)
    run(program)


@pytest.mark.skipif((sys.platform, platform.machine()) != ("linux", "x86_64"), reason="the contract promises it there")
@pytest.mark.parametrize("level", ["-O0", "-O2"])
def test_callbacks_that_do_not_return(tmp_path, level):
    """By pthread_exit and by exceptions, out of callbacks of every kind."""
    program = tmp_path / "program"
    run(
        tool("g++"),
        "-std=c++17",
        level,
        Path(__file__).with_name("unwinding.cpp"),
        *link_flags(),
        "-lpthread",
        "-o",
        program,
    )
    run(program)
