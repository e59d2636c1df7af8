"""A C program whose callbacks end long calls and find out what handles keep alive."""

from pathlib import Path

from abi_tools import C, link_flags, run, tool


def test_callbacks(tmp_path):
    program = tmp_path / "program"
    run(tool("gcc"), *C, Path(__file__).with_name("callbacks.c"), *link_flags(), "-lm", "-o", program)
    run(program)
