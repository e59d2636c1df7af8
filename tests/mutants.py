"""Plants small faults, one at a time, and counts how many the tests notice.

    python tests/mutants.py [--sample 60] [--seed 0] [--rust 0] [--only PATTERN]

A sample of fixed seed is drawn from the sources: comparisons, arithmetic, logic, constants, defaults, options that are
handed on, conditions, statements. Python mutants run in a copy of the package, so nothing here is touched; Rust mutants
(each a build) change a copy of the crate. Printed are the mutants that no test noticed, and the score.
"""

from __future__ import annotations

import argparse
import ast
import copy
import random
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
NN = [
    "options_nn",
    "nn_layers",
    "nn_recurrent",
    "nn_module",
    "nn_containers",
    "nn_utils",
    "signatures",
    "options_training",
]
TRAINING = ["options_training", "optim", "lr_scheduler", "signatures"]
# Sources -> the test files that are about them; the quick ones first.
TESTS = {
    "rustorch/nn/utils": ["options_training", "nn_utils", "nn_recurrent", "signatures"],
    "rustorch/nn/init.py": ["options_training", "nn_utils", "nn_layers", "signatures"],
    "rustorch/nn": NN,
    "rustorch/optim": TRAINING,
    "rustorch/autograd": ["options_training", "api", "memory", "rules", "signatures"],
    "rustorch/utils/data": ["data"],
    "rustorch/utils": ["nn_module", "api"],
}
SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip


def skipped(node: Any) -> bool:
    """What says nothing to a program: messages, representations, annotations."""
    if isinstance(node, (ast.Raise, ast.JoinedStr, ast.AnnAssign, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(node, ast.FunctionDef) and node.name in ("extra_repr", "__repr__", "_warn"):
        return True
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        return name in ("warnings.warn", "_warn", "TypeVar") or name.endswith("Error")
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def walk(node: Any, path: tuple[Any, ...] = ()) -> Any:
    """Nodes with the way to them, what is skipped left out; of assignments with a type only the value."""
    yield path, node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "decorator_list", "type_comment"):
            continue
        for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not skipped(child):
                yield from walk(child, (*path, (field, i)))


def changes(node: Any) -> list[tuple[str, Any]]:
    """Faults at a node: a word, and a function that makes the faulty node of a copy."""

    def put(name: str, value: Any) -> Any:
        def change(n: Any) -> Any:
            setattr(n, name, value(getattr(n, name)))
            return n

        return change

    found: list[tuple[str, Any]] = []
    if isinstance(node, (ast.BinOp, ast.BoolOp, ast.AugAssign)) and type(node.op) in SWAPS:
        found.append(("operator", put("op", lambda op: SWAPS[type(op)]())))
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        found.append(("comparison", put("ops", lambda ops: [SWAPS[type(ops[0])](), *ops[1:]])))
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.USub)):
        found.append(("sign", lambda n: n.operand))
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        found.append(("constant", put("value", lambda v: not v)))
    elif isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        found.append(("constant", put("value", lambda v: v + 1 if isinstance(v, int) else v * 2 or 1.0)))
    elif isinstance(node, (ast.If, ast.IfExp)):
        found.append(("condition", put("test", lambda t: ast.UnaryOp(ast.Not(), t))))
    elif isinstance(node, ast.Call) and node.keywords and node.keywords[-1].arg:
        found.append(("option left out", put("keywords", lambda k: k[:-1])))
    elif isinstance(node, ast.Call) and len(node.args) > 2 and not isinstance(node.args[-1], ast.Starred):
        found.append(("argument left out", put("args", lambda a: a[:-1])))
    elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        found.append(("statement left out", lambda n: ast.Pass()))
    return found


def faulty(tree: Any, path: Any, change: Any) -> Any:
    tree = copy.deepcopy(tree)
    parent, last = tree, path[-1]
    for field, i in path[:-1]:
        parent = getattr(parent, field) if i is None else getattr(parent, field)[i]
    field, i = last
    if i is None:
        setattr(parent, field, change(getattr(parent, field)))
    else:
        getattr(parent, field)[i] = change(getattr(parent, field)[i])
    return ast.fix_missing_locations(tree)


def nodes(tree: Any, path: Any) -> list[Any]:
    """The nodes on the way."""
    found = [tree]
    for field, i in path:
        value = getattr(found[-1], field)
        found.append(value if i is None else value[i])
    return found


def python_mutants(only: str) -> list[Any]:
    """File, line, a word, how to make the faulty source, and the tests that are about it."""
    found = []
    for file in sorted((ROOT / "rustorch").rglob("*.py")):
        name = str(file.relative_to(ROOT))
        tests = next((t for place, t in TESTS.items() if name.startswith(place)), None)
        if tests is None or not re.search(only, name):
            continue
        tree = ast.parse(file.read_text())
        for path, node in walk(tree):
            for word, change in changes(node) if path else []:
                found.append((name, getattr(node, "lineno", 0), word, (tree, path, change), tests))
    return found


def noticed(place: Path, tests: list[str], limit: float, *options: str) -> bool:
    """Whether a test fails (or none ends in time)."""
    files = [f"tests/test_{t}.py" for t in tests]
    command = [sys.executable, "-m", "pytest", "-q", "-x", "--no-header", "-p", "no:cacheprovider", *options, *files]
    try:
        done = subprocess.run(command, cwd=place, capture_output=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return True
    return done.returncode not in (0, 5)  # 5: no test was chosen


def run_python(args: Any) -> tuple[int, int]:
    every = python_mutants(args.only)
    sample = random.Random(args.seed).sample(every, min(args.sample, len(every)))
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        for name in ("tests", "pyproject.toml", "README.md", "docs"):
            (place / name).symlink_to(ROOT / name)
        shutil.copytree(ROOT / "rustorch", place / "rustorch", ignore=shutil.ignore_patterns("__pycache__"))
        used = sorted({t for _, _, _, _, tests in sample for t in tests if not re.search(args.without or "$^", t)})
        if noticed(place, used, args.limit * 4, "-n2"):
            sys.exit("the tests fail without any fault")
        print(f"{len(every)} possible faults, {len(sample)} of them tried", flush=True)
        caught = 0
        for name, line, word, (tree, path, change), tests in sample:
            source = (ROOT / name).read_text()
            text = ast.unparse(faulty(tree, path, change))
            if text == ast.unparse(tree):
                caught += 1
                continue
            (place / name).write_text(text)
            tests = [t for t in tests if not re.search(args.without or "$^", t)]
            owner = next((n.name for n in nodes(tree, path) if isinstance(n, ast.ClassDef)), None)
            # The tests that bear the name of the class are quick, and most often enough.
            found = bool(owner and tests) and noticed(place, tests, args.limit, "-k", str(owner).strip("_"))
            found = found or noticed(place, tests, args.limit, "-n2")
            (place / name).write_text(source)
            caught += found
            before = source.splitlines()[line - 1].strip()
            print(f"{'noticed ' if found else 'SURVIVED'} {name}:{line} {word}: {before[:110]}", flush=True)
    return caught, len(sample)


# Each a pattern in a line of Rust, and what takes its place.
RUST = [
    (r" < ", " <= "), (r" >= ", " > "), (r" == ", " != "), (r" \+ ", " - "), (r" - ", " + "), (r" \* ", " / "),
    (r"\.min\(", ".max("), (r"\.max\(", ".min("), (r" && ", " || "), (r"\b1\.0\b", "2.0"), (r"\b0\.5\b", "0.25"),
]  # fmt: skip


def run_rust(args: Any) -> tuple[int, int]:
    every = []
    for folder in ("ops", "kernels", "autograd"):
        for file in sorted((ROOT / "rust-core" / "src" / folder).rglob("*.rs")):
            text = file.read_text().partition("#[cfg(test)]")[0]
            for i, line in enumerate(text.splitlines()):
                code = line.partition("//")[0]
                if re.search(r"bail!|err!|format!|assert|where |->|impl|fn |\"", code):
                    continue
                every += [(file.relative_to(ROOT), i, p, to) for p, to in RUST if re.search(p, code)]
    sample = random.Random(args.seed).sample(every, min(args.rust, len(every)))
    caught = tried = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "tree"
        ignore = shutil.ignore_patterns(".git", ".venv", "target", "out", "__pycache__")
        shutil.copytree(ROOT, place, ignore=ignore, symlinks=True)
        for name, i, pattern, to in sample:
            lines = (ROOT / name).read_text().splitlines(keepends=True)
            lines[i] = re.sub(pattern, to, lines[i], count=1)
            (place / name).write_text("".join(lines))
            build = subprocess.run(
                ["cargo", "build", "--quiet", "--target-dir", str(Path(folder) / "target")],
                cwd=place / "rust-core", capture_output=True, check=False,
            )  # fmt: skip
            if build.returncode == 0:
                tried += 1
                library = next((Path(folder) / "target" / "debug").glob("librustorch.[sd]*"))
                shutil.copy(library, place / "rustorch" / "lib" / library.name)
                found = noticed(place, ["op_table", "rules", "api", "nn_layers", "options_nn", "optim"], args.limit)
                caught += found
                print(f"{'noticed ' if found else 'SURVIVED'} {name}:{i + 1} {lines[i].strip()[:110]}", flush=True)
            shutil.copy(ROOT / name, place / name)
    return caught, tried


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, default=60, help="Python mutants")
    parser.add_argument("--rust", type=int, default=0, help="Rust mutants, each of which is a build")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=900, help="seconds that a run of the tests may take")
    parser.add_argument("--only", default="", help="regular expression for the names of the Python files")
    parser.add_argument("--without", default="", help="regular expression for test files that are left out")
    args = parser.parse_args()
    for what, run, wanted in (("Python", run_python, args.sample), ("Rust", run_rust, args.rust)):
        if wanted:
            caught, tried = run(args)
            print(f"{what}: {caught} of {tried} faults noticed ({100 * caught / max(tried, 1):.0f} %)")


if __name__ == "__main__":
    main()
