"""Plants small faults, one at a time, and counts how many the tests notice.

    python tests/mutants.py [--sample 60] [--seed 0] [--rust 0] [--only PATTERN] [--jobs 2]

A sample of fixed seed is drawn from the sources: comparisons, arithmetic, logic, constants, defaults, options that are
ignored or not handed on, branches and checks that are never taken, statements, copies, `with`, `finally`. Python
mutants run in a copy of the package, so nothing here is touched. First the tests run once without a fault and say which
of them come by which function, and how long each takes; a mutant is then met by those tests only, the quick ones first.
Rust mutants (each a build) change a copy of the crate. Printed are what each mutant was and whether it was noticed.

tests/mutants_equivalent.txt lists mutants that change nothing that a program can see, each with the reason. They are
left out of the score, and counted.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import copy
import multiprocessing
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import defaultdict
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
# Left out of the runs: comparisons with torch, tests of the C interface, and those that build or measure.
WITHOUT = ["torch", "abi", "mutants.py", "test_examples.py", "test_interrupts.py", "test_generated_python.py"]
# Sources that run where the first run cannot see them (in processes of their own): the tests that are about them.
UNSEEN = {
    "rustorch/utils/data/": ["tests/test_data.py"],
    "rustorch/multiprocessing.py": ["tests/test_data.py"],
    "rustorch/as_torch/": ["tests/test_as_torch.py", "tests/test_planted_libraries.py::test_torch_that_is_installed",
                           "tests/test_planted_libraries.py::test_programs_find"],
}  # fmt: skip
SWAPS: dict[type, type] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.In: ast.NotIn, ast.NotIn: ast.In,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv, ast.Pow: ast.Mult, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
WORDS = {"mean": "sum", "sum": "mean", "zeros": "reflect", "none": "tanh", "nearest": "bilinear", "constant": "reflect",
         "min": "max", "max": "min", "rel": "abs", "triangular": "triangular2", "cos": "linear", "fan_in": "fan_out",
         "leaky_relu": "linear", "relu": "gelu", "cycle": "iterations"}  # fmt: skip
COPIES = {"clone", "detach", "copy", "deepcopy", "contiguous", "list", "dict", "tuple"}


def skipped(node: Any) -> bool:
    """What says nothing to a program: messages, representations, annotations."""
    if isinstance(node, (ast.Raise, ast.JoinedStr, ast.AnnAssign, ast.Import, ast.ImportFrom)):
        return True
    if isinstance(node, ast.FunctionDef):
        overloaded = any("overload" in ast.unparse(d) for d in node.decorator_list)
        return overloaded or node.name in ("extra_repr", "__repr__", "_warn", "__dir__")
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func)
        return name in ("warnings.warn", "_warn", "TypeVar", "cast") or name.endswith("Error")
    if isinstance(node, ast.If):
        return ast.unparse(node.test) == "TYPE_CHECKING"
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def walk(node: Any, path: tuple[Any, ...] = ()) -> Any:
    """Nodes with the way to them, what is skipped left out."""
    yield path, node
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns", "type_comment"):
            continue
        for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(child, ast.AST) and not skipped(child):
                yield from walk(child, (*path, (field, i)))


def defaults(node: ast.FunctionDef) -> list[tuple[str, Any]]:
    """Parameters with their defaults."""
    names = [*node.args.posonlyargs, *node.args.args]
    pairs = list(zip(names[len(names) - len(node.args.defaults) :], node.args.defaults))
    return [(a.arg, d) for a, d in [*pairs, *zip(node.args.kwonlyargs, node.args.kw_defaults)] if d is not None]


def changes(node: Any) -> list[tuple[str, Any]]:
    """Faults at a node: a word, and a function that makes the faulty node of a copy."""

    def put(name: str, value: Any) -> Any:
        def change(n: Any) -> Any:
            setattr(n, name, value(getattr(n, name)))
            return n

        return change

    def ignoring(name: str, default: Any) -> Any:
        def change(n: Any) -> Any:
            has_doc = isinstance(n.body[0], ast.Expr) and isinstance(n.body[0].value, ast.Constant)
            n.body.insert(int(has_doc), ast.Assign([ast.Name(name, ast.Store())], copy.deepcopy(default)))
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
    elif isinstance(node, ast.Constant) and node.value in WORDS:
        found.append(("word", put("value", lambda v: WORDS[v])))
    elif isinstance(node, (ast.If, ast.IfExp)):
        checks = isinstance(node, ast.If) and all(isinstance(s, ast.Raise) for s in node.body)
        if not checks:  # one that always raises is noticed anyway
            found.append(("always", put("test", lambda t: ast.Constant(True))))
        found.append(("check left out" if checks else "never", put("test", lambda t: ast.Constant(False))))
    elif isinstance(node, ast.Call) and node.keywords and node.keywords[-1].arg:
        found.append(("option left out", put("keywords", lambda k: k[:-1])))
    elif isinstance(node, ast.Call) and len(node.args) > 2 and not isinstance(node.args[-1], ast.Starred):
        found.append(("argument left out", put("args", lambda a: a[:-1])))
    elif isinstance(node, ast.Call) and not node.keywords and isinstance(node.func, ast.Attribute) and not node.args:
        if node.func.attr in COPIES:
            found.append(("copy left out", lambda n: n.func.value))
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in COPIES
        and len(node.args) == 1
    ):
        if not isinstance(node.args[0], (ast.GeneratorExp, ast.Starred)):
            found.append(("copy left out", lambda n: n.args[0]))
    elif isinstance(node, ast.Expr) and isinstance(node.value, (ast.Call, ast.Await)):
        found.append(("statement left out", lambda n: ast.Pass()))
    elif isinstance(node, (ast.AugAssign, ast.Delete)):
        found.append(("statement left out", lambda n: ast.Pass()))
    elif isinstance(node, ast.Assign) and isinstance(node.targets[0], (ast.Attribute, ast.Subscript)):
        found.append(("statement left out", lambda n: ast.Pass()))
    elif isinstance(node, ast.With):
        found.append(("with left out", lambda n: ast.If(ast.Constant(True), n.body, [])))
    elif isinstance(node, ast.Try) and node.finalbody and not node.handlers:
        found.append(("finally left out", lambda n: ast.If(ast.Constant(True), n.body, [])))
        found.append(("not in finally", lambda n: ast.If(ast.Constant(True), [*n.body, *n.finalbody], [])))
    elif isinstance(node, (ast.Break, ast.Continue)):
        found.append(("statement left out", lambda n: ast.Pass()))
    elif isinstance(node, ast.FunctionDef):  # what is accepted and never read, as for other devices, is ignored anyway
        read = {n.id for s in node.body for n in ast.walk(s) if isinstance(n, ast.Name)}
        found += [("option ignored", ignoring(name, default)) for name, default in defaults(node) if name in read]
    return found


def faulty(tree: Any, path: Any, change: Any) -> Any:
    tree = copy.deepcopy(tree)
    parent = nodes(tree, path[:-1])[-1]
    field, i = path[-1]
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


def owner(tree: Any, path: Any) -> str:
    """The function that a fault is in, as `Class.function`; of what is in none, the class; or "" for the module."""
    way = [n for n in nodes(tree, path) if isinstance(n, (ast.FunctionDef, ast.ClassDef))]
    return ".".join(n.name for n in way)


def places(tree: Any, prefix: str = "") -> Any:
    """Names of functions and classes, and the lines that run when they are called (of classes all lines)."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            name = f"{prefix}{node.name}"
            yield name, range(node.body[0].lineno, node.end_lineno + 1)
            yield from places(node, name + ".")
        else:
            yield from places(node, prefix)


def python_mutants(only: str) -> list[Any]:
    """File, line, a word, the function that it is in, and how to make the faulty source."""
    found = []
    for file in sorted((ROOT / "rustorch").rglob("*.py")):
        name = str(file.relative_to(ROOT))
        if name == "rustorch/_ops.py" or not re.search(only, name):
            continue
        tree = ast.parse(file.read_text())
        for path, node in walk(tree):
            for word, change in changes(node) if path else []:
                found.append((name, getattr(node, "lineno", 0), word, owner(tree, path), (tree, path, change)))
    return found


def line_of(name: str, line: int) -> str:
    return (ROOT / name).read_text().splitlines()[line - 1].strip()


def equivalent() -> dict[tuple[str, str, str], str]:
    """File, word and line of the mutants that change nothing -> the reason."""
    found, reason = {}, ""
    for entry in (ROOT / "tests" / "mutants_equivalent.txt").read_text().splitlines():
        if entry.startswith("#"):
            reason = entry[1:].strip()
        elif entry:
            name, word, line = entry.split(" | ", 2)
            found[name, word, line] = reason
    return found


def copied(place: Path) -> None:
    """A tree in which a source may be exchanged."""
    for name in ("tests", "pyproject.toml", "README.md", "docs", "examples", "rust-core", "CONTRIBUTING.md"):
        (place / name).symlink_to(ROOT / name)
    for file in (ROOT / "rustorch").rglob("*"):
        if file.is_file() and "__pycache__" not in file.parts:
            to = place / file.relative_to(ROOT)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, to)


def pytest_run(place: Path, limit: float, *options: str, first: bool = False, **env: str) -> int | None:
    """Runs tests in `place`, where what they print goes to `log`; None if they do not end in time.

    A child of this process, so that pytest is there already. Of a fault no bytecode is written, or it would be taken
    for that of another of the same second and size.
    """
    child = os.fork()
    if child == 0:
        code = 99
        try:
            os.setsid()
            os.chdir(place)
            log = os.open("log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(log, 1)
            os.dup2(log, 2)
            os.environ.update(env, PYTHONPATH=str(place))
            if not first:
                os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
            sys.dont_write_bytecode = not first
            sys.path.insert(0, str(place))
            parallel = ["-n2"] if first else ["-p", "no:xdist"]
            code = int(pytest.main(["-q", "--no-header", "-p", "no:cacheprovider", *parallel, *options]))
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    end = time.monotonic() + limit
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        late = time.monotonic() > end
        if pid or late:
            with contextlib.suppress(ProcessLookupError):  # also what it started
                os.killpg(child, signal.SIGKILL)
            if not pid:
                os.waitpid(child, 0)
            return os.waitstatus_to_exitcode(status) if pid else None
        time.sleep(0.01)


def first_run(folder: Path, files: list[str]) -> tuple[Any, Any]:
    """Tests that come by each function of each file, and the seconds that each test takes."""
    import coverage

    copied(folder)
    out = folder / "took"
    (folder / "timing.py").write_text(
        "import pickle, collections\n"
        "took, failed = collections.Counter(), set()\n"
        "def pytest_runtest_logreport(report):\n"
        "    took[report.nodeid] += report.duration\n"
        "    if report.failed: failed.add(report.nodeid)\n"
        "def pytest_sessionfinish():\n"
        f"    if took:\n        with open({str(out)!r}, 'wb') as f: pickle.dump((dict(took), failed), f)\n"
    )
    code = pytest_run(
        folder, 3600, "-p", "timing", "--cov=rustorch", "--cov-context=test", "--cov-report=",
        *(f"--ignore=tests/{name}" for name in WITHOUT), *files,
        first=True, COVERAGE_FILE=str(folder / "coverage"),
    )  # fmt: skip
    if code not in (0, 1):
        sys.exit((folder / "log").read_text()[-5000:] + f"\nthe tests did not run ({code})")
    took, failed = pickle.loads(out.read_bytes())
    for test in sorted(failed):
        print(f"left out, as it fails without any fault: {test}")
        del took[test]
    data = coverage.CoverageData(str(folder / "coverage"))
    data.read()
    tests: dict[tuple[str, str], set[str]] = {}
    for file in data.measured_files():
        by = {n: {c.rpartition("|")[0] for c in which} for n, which in data.contexts_by_lineno(file).items()}
        name = str(Path(file).relative_to(folder.resolve()))
        for place, lines in [("", range(10**6)), *places(ast.parse(Path(file).read_text()))]:
            tests.setdefault((name, place), set()).update(*(which for n, which in by.items() if n in lines))
    return {key: found & took.keys() for key, found in tests.items()}, took


def known(args: Any) -> tuple[Any, Any]:
    """What the run without a fault says: as it was kept, or once more, of all tests or those of some files."""
    kept = Path(args.first) if args.first else None
    tests: dict[Any, set[str]] = {}
    took: dict[str, float] = {}
    if kept and kept.exists():
        tests, took = pickle.loads(kept.read_bytes())
    if args.again or not took:
        files = args.again or ["tests"]
        with tempfile.TemporaryDirectory() as folder:
            new, times = first_run(Path(folder), files)
        took = {t: s for t, s in took.items() if not t.startswith(tuple(files))} | times
        for key in tests.keys() | new.keys():
            tests[key] = (tests.get(key, set()) | new.get(key, set())) & took.keys()
    if kept:
        kept.write_bytes(pickle.dumps((tests, took)))
    return tests, took


def tests_of(mutant: Any, tests: Any, took: Any) -> list[str]:
    """Those that come by the fault, the quick ones first."""
    name, _, _, place, (_, path, _) = mutant
    chosen: set[str] = set()
    while not (chosen := tests.get((name, place), set())) and place:
        place = place.rpartition(".")[0]
    about = tuple(f for start, files in UNSEEN.items() if name.startswith(start) for f in files)
    if any(field in ("defaults", "kw_defaults") for field, _ in path):  # no call is needed to see them
        about = (*about, "tests/test_signatures.py")
    return sorted(chosen | {t for t in took if t.startswith(about)}, key=lambda t: (took[t], t))


def tried(n: int) -> str:
    """In a process of the pool, which is a copy of this one and has a tree of its own."""
    name, line, word, _, (tree, path, change) = STATE["sample"][n]
    chosen = tests_of(STATE["sample"][n], *STATE["first"])
    took = STATE["first"][1]
    if (name, word, line_of(name, line)) in STATE["known"]:
        return "equivalent"
    place = STATE["folder"] / str(os.getpid())
    if not place.exists():
        place.mkdir()
        copied(place)
        # The bytecode of all that is not exchanged.
        subprocess.run([sys.executable, "-m", "compileall", "-q", "rustorch"], cwd=place, check=True)
    file = place / name
    try:
        file.write_text(ast.unparse(faulty(tree, path, change)))
        # Most are noticed by a few tests of the file of which most come by here: only that has to be imported.
        share = {file: sum(t.startswith(file) for t in chosen) / sum(t.startswith(file) for t in took)
                 for file in {t.partition("::")[0] for t in chosen}}  # fmt: skip
        best = max(share, key=lambda file: share[file], default="")
        quick = [t for t in chosen if t.startswith(best)][:40]
        for part in (quick, [t for t in chosen if t not in set(quick)]):
            if part:
                (place / "chosen").write_text("\n".join(part))
                limit = STATE["patience"] * (20 + 5 * sum(took[t] for t in part) + len(part) / 100)
                if pytest_run(place, limit, "-x", "@chosen") not in (0, 5):  # 5: no test was chosen
                    return "noticed"
        return "SURVIVED"
    finally:
        shutil.copy(ROOT / name, file)


STATE: dict[str, Any] = {}


def run_python(args: Any) -> tuple[int, int]:
    every = python_mutants(args.only)
    sample = random.Random(args.seed).sample(every, min(args.sample, len(every)))
    first = known(args)
    print(f"{len(every)} possible faults, {len(sample)} of them tried", flush=True)
    counts: dict[str, int] = defaultdict(int)
    with tempfile.TemporaryDirectory() as folder:
        STATE.update(sample=sample, first=first, known=equivalent(), folder=Path(folder), patience=args.patience)
        with ProcessPoolExecutor(args.jobs, multiprocessing.get_context("fork")) as pool:
            for (name, line, word, *_), result in zip(sample, pool.map(tried, range(len(sample)))):
                counts[result] += 1
                print(f"{result:10} {name}:{line} {word}: {line_of(name, line)[:110]}", flush=True)
    print(f"{counts['equivalent']} change nothing (tests/mutants_equivalent.txt)")
    return counts["noticed"], counts["noticed"] + counts["SURVIVED"]


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
                files = [f"tests/test_{t}.py" for t in ("op_table", "rules", "api", "nn_layers", "options_nn", "optim")]
                found = pytest_run(place, args.limit, "-x", *files) != 0
                caught += found
                print(f"{'noticed ' if found else 'SURVIVED'} {name}:{i + 1} {lines[i].strip()[:110]}", flush=True)
            shutil.copy(ROOT / name, place / name)
    return caught, tried


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--sample", type=int, default=60, help="Python mutants")
    parser.add_argument("--rust", type=int, default=0, help="Rust mutants, each of which is a build")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--limit", type=float, default=900, help="seconds that the tests of a Rust mutant may take")
    parser.add_argument("--only", default="", help="regular expression for the names of the Python files")
    parser.add_argument("--jobs", type=int, default=2, help="processes for Python mutants")
    parser.add_argument("--patience", type=float, default=1, help="factor of time limits, on a machine that is busy")
    parser.add_argument("--first", default="", help="file that keeps what the run without a fault says")
    parser.add_argument("--again", nargs="*", help="test files (or tests) that are new since then, or changed")
    args = parser.parse_args()
    for what, run, wanted in (("Python", run_python, args.sample), ("Rust", run_rust, args.rust)):
        if wanted:
            caught, tried = run(args)
            print(f"{what}: {caught} of {tried} faults noticed ({100 * caught / max(tried, 1):.0f} %)")


if __name__ == "__main__":
    main()
