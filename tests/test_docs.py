"""Every code block of the README and of docs/ runs.

Python: the blocks of a page run one after the other in one process; `print(...)  # text` must print the text.
C and C++: a block with `main` is compiled, strictly, and run; a `text` block after it is its output.
Rust: the blocks of the README are doctests of the crate. A `diff` block must apply to the tree.
"""

from __future__ import annotations

import ast
import io
import re
import shutil
import subprocess
import sys
import tokenize
from collections.abc import Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = sorted(p for p in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")])


class Block(NamedTuple):
    """A fenced block: its language, its text, the line of the page where the text begins, and the block after it."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    found = re.finditer(r"^```([\w+-]*)[^\n]*\n(.*?)^```$", text, flags=re.M | re.S)
    return [Block(m[1], m[2], text[: m.start(2)].count("\n")) for m in found]


def pages_with(*languages: str) -> list[Path]:
    return [p for p in PAGES if any(b.language in languages for b in blocks(p))]


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def expected_prints(source: str) -> dict[int, str]:
    """Line number -> the comment on a line that ends a `print(...)`."""
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    comments = {t.start[0]: t.string.removeprefix("#").strip() for t in tokens if t.type == tokenize.COMMENT}
    return comments


def statements(source: str) -> Iterator[tuple[ast.stmt, str | None]]:
    """The statements, each with what it must print, if that is said."""
    comments = expected_prints(source)
    for statement in ast.parse(source).body:
        call = statement.value if isinstance(statement, ast.Expr) else None
        is_print = isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print"
        yield statement, comments.get(statement.end_lineno or 0) if is_print else None


@pytest.mark.parametrize("page", pages_with("python"), ids=name)
def test_python(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": page.stem}
    for block in blocks(page):
        if block.language != "python":
            continue
        for statement, expected in statements(block.text):
            module = ast.Module([statement], type_ignores=[])
            ast.increment_lineno(module, block.line)
            printed = io.StringIO()
            with redirect_stdout(printed):
                exec(compile(module, str(page), "exec"), names)
            if expected is not None:
                assert " ".join(printed.getvalue().split()) == expected, f"{name(page)}:{statement.lineno}"


def programs() -> list[Any]:
    """Pages' C and C++ blocks with what they print."""
    found = []
    for page in pages_with("c", "cpp"):
        all_blocks = blocks(page)
        for i, block in enumerate(all_blocks):
            if block.language in ("c", "cpp") and "main(" in block.text:
                after = all_blocks[i + 1] if i + 1 < len(all_blocks) else None
                output = after.text if after and after.language == "text" else None
                found.append(pytest.param(block, output, id=f"{name(page)}:{block.line}"))
    return found


@pytest.mark.parametrize(("block", "output"), programs())
def test_c_and_cpp(block: Block, output: str | None, tmp_path: Path) -> None:
    compiler, standard = {"c": ("cc", "c99"), "cpp": ("c++", "c++17")}[block.language]
    if shutil.which(compiler) is None:
        pytest.skip(f"there is no {compiler}")
    source = tmp_path / f"example.{block.language}"
    source.write_text(block.text)
    config = [sys.executable, "-m", "rustorch.config"]
    flags, libraries = (
        subprocess.run([*config, option], capture_output=True, text=True, check=True).stdout.split()
        for option in ("--cflags", "--libs")
    )
    strict = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"]
    command = [compiler, f"-std={standard}", *strict, *flags, str(source), "-o", str(tmp_path / "example"), *libraries]
    built = subprocess.run(command, capture_output=True, text=True)
    assert built.returncode == 0, built.stderr
    ran = subprocess.run([tmp_path / "example"], capture_output=True, text=True, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    if output is not None:
        assert ran.stdout == output


def test_rust_blocks_of_the_readme_are_doctests() -> None:
    """`cargo test` runs them."""
    assert "README.md" in (ROOT / "rust-core" / "src" / "lib.rs").read_text()


@pytest.mark.skipif(shutil.which("git") is None, reason="there is no git")
@pytest.mark.parametrize("page", pages_with("diff"), ids=name)
def test_diffs_apply(page: Path, tmp_path: Path) -> None:
    """The worked examples still fit the sources they change. Each diff is tried alone."""
    for block in blocks(page):
        if block.language == "diff":
            patch = tmp_path / "change.diff"
            patch.write_text(block.text)
            check = subprocess.run(
                ["git", "apply", "--check", "--unidiff-zero", str(patch)], cwd=ROOT, capture_output=True, text=True
            )
            assert check.returncode == 0, f"{name(page)}:{block.line}: {check.stderr}"


@pytest.mark.parametrize("page", [p for p in PAGES if p.name != "ops.md"], ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    """Links inside the repository name files that exist."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), f"{name(page)}: {target}"
