"""The import rules of CONTRIBUTING.md: who may use whom, in Rust and in Python."""

from __future__ import annotations

import ast
import graphlib
import inspect
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

import rustorch as rt
from rustorch import _ops, nn, words
from rustorch._door import CALLED

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests" / "abi"))
from abi_tools import ffi, lib, listening  # noqa: E402

RUST = ROOT / "rust-core" / "src"
PYTHON = ROOT / "rustorch"

# ---- Rust ----

BASE = {
    "blocks", "callback", "device", "dtype", "error", "fork", "memory", "parallel", "random", "shape", "simd",
    "storage", "thread",
}  # fmt: skip
# The folders (or files) of rust-core/src from the bottom to the top: each may name those below it.
LAYERS = ["kernels", "tensor", "engine", "table", "autograd", "funnel", "ops"]
BELOW = {layer: BASE | set(LAYERS[: k + 1]) for k, layer in enumerate(LAYERS)}
# Folder (or file) of rust-core/src -> the modules of the crate that it may name.
ALLOWED = {
    **{module: BASE for module in BASE},
    **BELOW,
    "autograd": BELOW["autograd"] - {"kernels"},
    "funnel": BELOW["funnel"] - {"kernels"},
    "io": BASE | {"tensor", "io"},
    "operators": BASE | {"tensor", "autograd"},
    "convenience": BASE | {"tensor"},
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
    "at_level": "simd",
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


def test_only_simd_knows_instruction_sets() -> None:
    for path in (RUST / "kernels").rglob("*.rs"):
        found = re.findall(
            r"\bLevel::(?!ALL\b)\w+|\btarget_arch\b|\btarget_feature\b|\b(?:std|core)::arch\b", code(path)
        )
        assert not found, path


def paths(text: str) -> set[str]:
    """The paths that a file names (`crate::a::b`, `super::c`), in its code and in `use`, its braces taken apart."""
    found = set(re.findall(r"\b(?:crate|super|self)(?:::\w+)+", text))
    for use in re.findall(r"\buse ([^;]+);", text):
        stems, name = [""], ""
        for c in use + ",":
            if c == "{":
                stems.append(stems[-1] + name)
                name = ""
            elif c in ",}":
                found.add(stems[-1] + name.split(" as ")[0])
                name = ""
                if c == "}":
                    stems.pop()
            elif not c.isspace() or name:
                name += c
    return found


def blocks_lifted(text: str) -> str:
    """Blocks `mod x { .. }` are a part of their file: what is `super` there is the file itself."""
    for block in re.finditer(r"\bmod \w+ \{", text):
        depth, end = 1, block.end()
        while depth and end < len(text):
            depth += (text[end] == "{") - (text[end] == "}")
            end += 1
        inside = text[block.end() : end]
        # As long as before, so that the blocks that follow stay where they are.
        text = text[: block.end()] + re.sub(r"\bsuper::", "self ::", inside) + text[end:]
    return text.replace("self ::", "self::")


def module_graph(root: Path) -> dict[str, set[str]]:
    """Module -> the modules that it names. Unit tests do not count; a macro stands for the file that exports it."""
    files = {p.relative_to(root): p for p in root.rglob("*.rs") if "bin" not in p.relative_to(root).parts}
    modules = {".".join(p.with_suffix("").parts).removesuffix(".mod"): code(f) for p, f in files.items()}
    modules = {m: blocks_lifted(t.split("#[cfg(test)]\nmod tests")[0]) for m, t in modules.items() if m != "lib"}
    homes = {n: m for m, text in modules.items() for n in re.findall(r"macro_export\]\nmacro_rules! (\w+)", text)}
    homes |= REEXPORTED

    def module(path: str, within: str) -> str:
        """The longest beginning of a path that is a module."""
        parts, at = path.split("::"), within.split(".")
        if parts[0] == "crate":
            at, parts = [], [homes.get(parts[1], parts[1]), *parts[2:]]
        while parts and parts[0] in ("self", "super"):
            at = at[: len(at) - (parts.pop(0) == "super")]
        full = ".".join(at + parts)
        while full and full not in modules:
            full = full.rpartition(".")[0]
        return full

    return {m: {module(path, m) for path in paths(text)} - {m, ""} for m, text in modules.items()}


def circles(graph: dict[str, set[str]]) -> list[set[str]]:
    """Sets of modules that can all reach each other."""
    reach: dict[str, set[str]] = {}
    for start in graph:
        seen: set[str] = set()
        work = list(graph[start])
        while work:
            m = work.pop()
            if m not in seen:
                seen.add(m)
                work += graph[m]
        reach[start] = seen
    found = [frozenset(n for n in reach[m] if m in reach[n]) for m in graph if m in reach[m]]
    return [set(c) for c in dict.fromkeys(found)]


def test_no_circles_between_rust_modules() -> None:
    assert circles(module_graph(RUST)) == []


def test_circles_are_noticed(tmp_path: Path) -> None:
    """In whichever way the modules name each other."""
    tree = {
        "lib.rs": "mod a; mod b; mod c; mod d;",
        "a.rs": "use crate::{b::{self, X}, d};\n#[cfg(test)]\nmod tests { use crate::c::Y; }",
        "b/mod.rs": "pub mod deep;\npub use deep::X;",
        "b/deep.rs": "fn f() { crate::c::Y::new() } // crate::a",
        "c.rs": "pub struct Y;",
        "d.rs": "#[macro_export]\nmacro_rules! made { () => {} }\nmod inner { use super::f; mod x { use super::g; } }",
    }
    for name, text in tree.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    graph = module_graph(tmp_path)
    assert graph == {"a": {"b", "d"}, "b": {"b.deep"}, "b.deep": {"c"}, "c": set(), "d": set()}
    assert circles(graph) == []
    for planted in ("use crate::a;", "use crate::{d::{e}, a::Z as W};", "fn f(_: &crate::a::Z) {}"):
        (tmp_path / "c.rs").write_text(planted)
        assert circles(module_graph(tmp_path)) == [{"a", "b", "b.deep", "c"}]
    (tmp_path / "c.rs").write_text("")
    for planted in ("use super::X;", "use super::{self};", "fn f() -> super::X { crate::c::Y }"):
        (tmp_path / "b" / "deep.rs").write_text(planted)
        assert circles(module_graph(tmp_path)) == [{"b", "b.deep"}]
    (tmp_path / "b" / "deep.rs").write_text("")
    (tmp_path / "d.rs").write_text(tree["d.rs"] + "\nuse crate::c;")
    (tmp_path / "c.rs").write_text("use crate::made;")
    assert circles(module_graph(tmp_path)) == [{"c", "d"}]


def test_entries_speak_of_each_other_by_methods_only() -> None:
    """A file of the table names no other one: what several need lies below."""
    for module, named in module_graph(RUST).items():
        if module.startswith("ops.") and module != "ops.macros":
            assert not {m for m in named if m.startswith("ops")}, module


def test_capi_has_no_unwrap_and_no_dtype_of_its_own() -> None:
    """The C ABI turns pointers into values; what may fail is an error there, and dtypes are a matter of the ops."""
    for path in (RUST / "capi").rglob("*.rs"):
        text = code(path).split("#[cfg(test)]")[0]
        assert not re.search(r"\.unwrap\(\)|\.expect\(|\bdispatch!|\bDType::[A-Z]\w*\s*=>", text), path


# ---- Python ----

# The modules that call C. Everything else is written in terms of tensors.
DOORS = {
    "__init__", "_arguments", "_device", "_door", "_ops", "_tensor", "amp.autocast_mode", "autograd.__init__",
    "autograd.graph", "classic", "dtypes", "indexing", "interchange", "ops", "random", "serialization",
    "words.conversion",
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
    depth = len(path.relative_to(PYTHON).parts)  # fewer dots than that stay inside of the folder
    outside = {m for m in imported(parse(path)) if not m.startswith(".") or len(m) - len(m.lstrip(".")) >= depth}
    names = {module.removeprefix("rustorch").lstrip(".").split(".")[0] for module in outside}
    assert "torch" not in names
    # kernels.py only gives a second name to a function of nn.
    if path.relative_to(PYTHON).parts[0] not in ("amp", "ao", "nn", "optim", "utils", "kernels.py"):
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


# ---- one op, one word ----


F = nn.functional
TABLE = {name for op in rt.ops.table() for name in [op["name"]] + [op["name"] + "_"] * op["inplace"]}


def functions(module: object) -> dict[str, object]:
    """The public functions that a module gives, but for those that look at arguments."""
    return {
        name: f
        for name, f in vars(module).items()
        if inspect.isfunction(f) and not name.startswith("_") and f.__module__ != "rustorch._arguments"
    }


def outermost(call: object) -> list[str]:
    """The ops that a call consists of, without what those are made of."""
    heard: list[str] = []

    def hear(e: object) -> None:
        if e.depth == 0 and e.phase in (lib.RT_EVENT_CALL, lib.RT_EVENT_BEGIN):
            heard.append(ffi.string(e.name).decode())

    with warnings.catch_warnings(), listening(hear):
        warnings.simplefilter("ignore")
        call()
    return heard


VALUES = {
    "X": rt.tensor([[0.5, -1.0, 2.0, 1.0], [1.5, 0.25, -0.5, 0.75]]), "P": rt.full((2, 4), 0.25),
    "SIGNS": rt.tensor([[1.0, -1.0, 1.0, -1.0]] * 2), "SIGN": rt.tensor([1.0, -1.0]), "LABELS": rt.tensor([1, 0]),
    "LISTS": rt.tensor([[0, -1, 1, 1], [2, 1, -1, 3]]), "IMAGE": rt.ones(4, 4, 4), "IMAGES": rt.ones(2, 4, 4, 4),
    "VOLUMES": rt.ones(2, 4, 4, 4, 4),
    "OUT": (rt.ones(4, 4), rt.ones(4)),
    "PLACES": rt.arange(0, 8, 2).expand(4, 4, 4), "STEPS": rt.zeros(4, 2, 3),
    "TARGETS": rt.tensor([[1, 2], [1, 1]]), "ones": rt.ones, "tensor": rt.tensor,
}  # fmt: skip
# Calls of the functions of `nn.functional`, in all their overloads: names, then the arguments of a call.
CALLS = [
    (name, args)
    for line in """
        relu relu6 leaky_relu elu selu celu silu mish sigmoid tanh hardtanh hardsigmoid hardswish gelu softplus: X
        softsign logsigmoid tanhshrink hardshrink softshrink softmax softmin log_softmax relu_ leaky_relu_ elu_: X
        selu_ celu_ hardtanh_ glu pdist: X
        threshold threshold_: X, 0.1, 20.0
        mse_loss l1_loss smooth_l1_loss huber_loss kl_div binary_cross_entropy: P, P
        binary_cross_entropy_with_logits poisson_nll_loss soft_margin_loss hinge_embedding_loss: P, P
        multilabel_soft_margin_loss pairwise_distance cosine_similarity: P, P
        mse_loss l1_loss huber_loss binary_cross_entropy: P, P, weight=P
        mse_loss l1_loss smooth_l1_loss kl_div soft_margin_loss: P, P, reduction="none"
        mse_loss l1_loss smooth_l1_loss kl_div soft_margin_loss: P, P, size_average=False
        kl_div: X, P, reduction="batchmean"
        smooth_l1_loss: X, P, beta=0.0
        binary_cross_entropy_with_logits: X, P, P, pos_weight=P
        multilabel_soft_margin_loss: X, P, ones(4)
        poisson_nll_loss: X, P, False, True
        gaussian_nll_loss: X, P, P
        gaussian_nll_loss: X, P, 0.5, True
        cosine_embedding_loss: X, P, SIGN
        margin_ranking_loss: X, P, SIGNS
        cross_entropy nll_loss multi_margin_loss: X, LABELS
        cross_entropy nll_loss multi_margin_loss: X, LABELS, weight=ones(4)
        cross_entropy: X, P
        multilabel_margin_loss: X, LISTS
        triplet_margin_loss triplet_margin_with_distance_loss: X, P, P
        triplet_margin_loss triplet_margin_with_distance_loss: X, P, P, swap=True
        ctc_loss: STEPS, TARGETS, tensor([4, 3]), tensor([2, 1])
        ctc_loss: STEP, TARGET, tensor(4), tensor(2), 0, "none", True
        linear: X, ones(3, 4)
        bilinear: X, X, ones(3, 4, 4)
        embedding: LABELS, X
        one_hot: LABELS, 3
        prelu: X, ones(1)
        layer_norm rms_norm: X, (4,)
        group_norm: IMAGES, 2
        conv_transpose1d: IMAGE, ones(4, 2, 2)
        conv_transpose2d: IMAGES, ones(4, 2, 2, 2)
        conv_transpose3d: IMAGES, ones(2, 2, 2, 2, 2)
        pixel_shuffle pixel_unshuffle adaptive_avg_pool2d max_pool2d max_pool2d_with_indices: IMAGES, 2
        adaptive_avg_pool1d max_pool1d max_pool1d_with_indices: IMAGE, 2
        max_pool1d: IMAGE, 2, return_indices=True
        max_pool2d: IMAGES, 2, return_indices=True
        max_pool3d max_pool3d_with_indices avg_pool3d adaptive_avg_pool3d adaptive_max_pool3d: VOLUMES, 2
        adaptive_max_pool3d_with_indices: VOLUMES, 2
        max_pool3d adaptive_max_pool3d: VOLUMES, 2, return_indices=True
        fractional_max_pool2d fractional_max_pool2d_with_indices: IMAGES, 2, 2, _random_samples=ones(2, 4, 2) / 2
        fractional_max_pool3d fractional_max_pool3d_with_indices: VOLUMES, 2, 2, _random_samples=ones(2, 4, 3) / 2
        adaptive_max_pool1d adaptive_max_pool1d_with_indices avg_pool1d: IMAGE, 2
        adaptive_max_pool2d adaptive_max_pool2d_with_indices avg_pool2d: IMAGES, 2
        lp_pool1d: IMAGE, 2.0, 2
        lp_pool2d: IMAGES, 2.0, 2
        lp_pool3d: VOLUMES, 2.0, 2
        max_unpool1d: IMAGE, PLACES, 2
        max_unpool2d: IMAGES, PLACES.expand(2, 4, 4, 4), 2
        max_unpool3d: VOLUMES, PLACES.expand(2, 4, 4, 4, 4), 2
        conv1d: IMAGE, ones(2, 4, 2)
        conv1d: IMAGE, ones(2, 4, 3), padding="same"
        conv2d: IMAGES, ones(2, 4, 2, 2)
        conv3d: VOLUMES, ones(2, 4, 2, 2, 2)
        batch_norm: X, None, None, None, None, True
        instance_norm: IMAGES
        local_response_norm channel_shuffle: IMAGES, 2
        normalize gumbel_softmax dropout alpha_dropout rrelu rrelu_: X
        dropout1d feature_alpha_dropout: IMAGE
        dropout2d: IMAGES
        dropout3d: VOLUMES
        embedding_bag: LABELS.view(1, 2), X
        embedding_bag: LABELS, X, tensor([0, 1]), mode="sum", per_sample_weights=ones(2)
        unfold: IMAGES, 2
        fold: ones(1, 4, 9), (4, 4), 2
        pad: X, (1, 1)
        pad: IMAGES, (1, 1, 1, 1), "reflect"
        interpolate: IMAGES, 8
        interpolate: IMAGES, scale_factor=2.0, mode="bilinear", align_corners=True
        interpolate: IMAGES, 2, mode="area"
        interpolate: IMAGES, 2, mode="bicubic", antialias=True
        interpolate: IMAGE, 8, mode="linear"
        interpolate: VOLUMES, 8, mode="trilinear"
        upsample upsample_nearest upsample_bilinear: IMAGES, 8
        affine_grid: ones(2, 2, 3), (2, 3, 4, 4)
        grid_sample: IMAGES, ones(2, 3, 3, 2)
        grid_sample: VOLUMES, ones(2, 3, 3, 3, 3)
        scaled_dot_product_attention: IMAGES, IMAGES, IMAGES
        multi_head_attention_forward: IMAGE, IMAGE, IMAGE, 4, 2, ones(12, 4), ones(12), None, None, False, 0.0, *OUT
    """.strip().splitlines()
    for names, _, args in [line.partition(": ")]
    for name in names.split()
]
# Functions that stand for ops of other names in some calls.
OTHER = {
    "triplet_margin_with_distance_loss": "triplet_margin_loss",
    "smooth_l1_loss": "l1_loss",
    "max_pool1d": "max_pool1d_with_indices",
    "max_pool2d": "max_pool2d_with_indices",
    "max_pool3d": "max_pool3d_with_indices",
    "adaptive_max_pool1d_with_indices": "adaptive_max_pool1d",
    "adaptive_max_pool2d_with_indices": "adaptive_max_pool2d",
    "adaptive_max_pool3d_with_indices": "adaptive_max_pool3d",
    "fractional_max_pool2d_with_indices": "fractional_max_pool2d",
    "fractional_max_pool3d_with_indices": "fractional_max_pool3d",
    "dropout1d": "feature_dropout",
    "dropout2d": "feature_dropout",
    "dropout3d": "feature_dropout",
    "unfold": "im2col",
    "fold": "col2im",
    "affine_grid": "affine_grid_generator",
}
# Those that choose among ops by the number of dimensions, or by a word.
CHOOSING = {
    "interpolate": "upsample_",
    "upsample": "upsample_",
    "upsample_nearest": "upsample_",
    "upsample_bilinear": "upsample_",
    "grid_sample": "grid_sampler_",
}


def test_all_functions_of_nn_are_called() -> None:
    assert {name for name, _ in CALLS} == functions(F).keys()


@pytest.mark.parametrize("name, args", CALLS)
def test_a_function_of_nn_is_one_op(name: str, args: str) -> None:
    values = {k: v.clone() if isinstance(v, rt.Tensor) else v for k, v in VALUES.items()}
    values |= {"STEP": values["STEPS"][:, 0], "TARGET": values["TARGETS"][0], "f": getattr(F, name)}
    given, options = eval(f"(lambda *a, **k: (a, k))({args})", values)
    heard = outermost(lambda: values["f"](*given, **options))
    assert len(heard) == 1, heard
    called = CALLED.get(heard[0], heard[0])
    chosen = name in CHOOSING and called.startswith((CHOOSING[name], "adaptive_avg_pool"))
    assert chosen or called in (name, name.rstrip("_"), OTHER.get(name))


def methods() -> dict[str, object]:
    return {n: f for n, f in vars(words.TensorWords).items() if inspect.isfunction(f)}


WORDS = {**methods(), **{n: getattr(words, n) for n in words.__all__}}


@pytest.mark.parametrize("name", sorted(n for n in WORDS if n in TABLE))
def test_a_word_with_the_name_of_an_op_calls_it(name: str) -> None:
    """Beside its overloads."""
    f = inspect.unwrap(WORDS[name])
    if f is getattr(_ops, name):
        return
    source = inspect.getsource(f)
    made_by_name = re.search(r"getattr\(_ops, ", source) or f.__name__ != f.__code__.co_name
    calls = {CALLED.get(op, op) for op in re.findall(r"\b_ops\.(\w+)", source)}
    assert made_by_name or name in calls, source


# Calls of words in all their overloads.
SPOKEN = """
    aminmax(A) M.aminmax(dim=1) clamp_min(A,2) clamp_min(A,A) clamp_max(A,2) clamp_max(A,A) clamp(A,1,2) clamp(A,A,A)
    A.clamp_(1) A.clamp_(A) A.clamp_min_(A) A.clamp_max_(2) normal(A,A) normal(0.0,A) normal(A,1.0)
    normal(0.0,1.0,(2,3)) randint_like(A,5) randint(5,(2,)) bernoulli(P) bernoulli(M,0.5) bernoulli(M,P)
    M.bernoulli_(P) M.bernoulli_(0.5) M.random_(5) M.normal_() M.uniform_() broadcast_tensors(A,M) meshgrid(A,A)
    cartesian_prod(A,A) block_diag(M,M) combinations(A,2) combinations(A,0) narrow(A,0,1,1) narrow_copy(A,0,1,1)
    A.repeat_interleave(2) A.repeat_interleave(I) M.repeat_interleave(I[:2],0,output_size=1) repeat_interleave(I)
    split(A,2) split(A,[1,2]) A.tensor_split(2) A.tensor_split((1,)) unsafe_split(A,2) unsafe_chunk(A,2) M.hsplit(3)
    M.vsplit(2) atleast_2d(A) isclose(A,A) isin(A,1) isin(1,A) equal(A,A) allclose(A,A) unique(A) unique(M,dim=0)
    unique_consecutive(A) unique_consecutive(M,dim=1) A.std() var(M,0) std_mean(M,0) A.norm() A.norm(1,0)
    A.sum_to_size(1) diff(A,2) diff(A,prepend=A) trapezoid(A) trapezoid(A,A) tensordot(M,M,([0,1],[0,1]))
    tensordot(A,A,1) einsum("ij,kj->ik",M,M) range(0,4) arange(4) linspace(0,1,5) logspace(0,1,5) full((2,),1)
    empty_strided((2,3),(1,2)) A.new_zeros(2) polygamma(1,A) pow(A,2) pow(2,A) D.float_power_(2) A.cumsum_(0)
    A.scatter(0,I[:1],A) A.scatter(0,I[:1],1.0) A.scatter(0,I[:1],1.0,reduce="multiply")
    A.scatter(0,I[:1],A,reduce="add") A.scatter_(0,I[:1],1.0,reduce="add") A.index_put((I,),A,True)
    A.index_put_((I,),R) A.nonzero() A.nonzero(as_tuple=True) where(B) where(B,A,1.0) A.prod() A.prod(0) A.median()
    M.median(1) A.max() M.max(1) A.max(A) A.min() A.sort() A.argsort() A.topk(2) A.kthvalue(2) A.mode() A.cummax(0)
    A.argmax() A.argmin(0) M.fill_diagonal_(2) A.view(3,1) A.view_as(A) A.reshape_as(A) A.expand_as(M) A.double()
    A.clone() M.T.contiguous() A.copy_(A) A.to(I) A.unflatten(0,(3,1)) spmm(M,M.T)
""".split()


@pytest.mark.parametrize("source", SPOKEN)
def test_a_word_is_one_op(source: str) -> None:
    values = {
        "A": rt.tensor([3.0, 1.0, 2.0]), "M": rt.ones(2, 3), "P": rt.full((2, 3), 0.5), "I": rt.tensor([1, 0, 2]),
        "D": rt.ones(2, dtype=rt.float64), "R": rt.zeros(3), "B": rt.tensor([True, False, True]),
    }  # fmt: skip
    parts = {"I[:1]": values["I"][:1], "I[:2]": values["I"][:2], "M.T": values["M"].T}
    for k, (part, value) in enumerate(parts.items()):
        source, values[f"part{k}"] = source.replace(part, f"part{k}"), value
    heard = outermost(lambda: eval(source, {**vars(rt), **values}))
    assert len(heard) == 1, heard


# ---- tests ----


def test_only_the_abi_tests_know_the_c_module() -> None:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        if "abi" not in path.parts:
            assert not any("_ffi" in module.split(".") for module in imported(parse(path))), path


def test_torch_is_wanted_only_by_its_own_tests() -> None:
    for path in sorted((ROOT / "tests").glob("*.py")) + sorted((ROOT / "tests" / "abi").glob("*.py")):
        assert not any(module.split(".")[0] == "torch" for module in imported(parse(path))), path


# ---- circles among the Python modules ----


def running(node: ast.AST) -> Iterator[ast.AST]:
    """What stands below and is run at some time, inside functions too; what only type checkers read is not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING"):
            child = ast.Module(child.orelse, [])
        yield child
        yield from running(child)


def dependencies(root: Path) -> dict[str, set[str]]:
    """Of each module of a package: those that it imports, and the packages that are run for their sake."""
    files = {}
    for path in root.rglob("*.py"):
        parts = [root.name, *path.relative_to(root).with_suffix("").parts]
        files[".".join(parts).removesuffix(".__init__")] = path
    found: dict[str, set[str]] = {module: set() for module in files}
    for module, path in files.items():
        around = (module + ".x" if path.name == "__init__.py" else module).split(".")
        for node in running(parse(path)):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                start = around[: len(around) - node.level] if node.level else []
                stem = ".".join([*start, node.module] if node.module else start)
                names = [n if (n := f"{stem}.{alias.name}") in files else stem for alias in node.names]
            for name in names:
                parts = name.split(".")
                packages = {".".join(parts[:k]) for k in range(1, len(parts))}
                found[module] |= {name} | {p for p in packages if not f"{module}.".startswith(f"{p}.")}
    return {module: (names & files.keys()) - {module} for module, names in found.items()}


def circle(root: Path) -> list[str]:
    """Modules of a package that import each other round about, the first again at the end; none if there is no such."""
    try:
        graphlib.TopologicalSorter(dependencies(root)).prepare()
    except graphlib.CycleError as e:
        found: list[str] = e.args[1]
        return found
    return []


def test_no_python_module_imports_itself_round_about() -> None:
    """A module below calls those above as methods that they attach to Tensor, or not at all: see CONTRIBUTING.md."""
    assert circle(PYTHON) == []


@pytest.mark.parametrize(
    "files, there_is_one",
    [
        ({"__init__": "from . import a", "a": "from .b import f", "b": "import sys\nfrom . import c", "c": ""}, False),
        ({"a": "from . import b", "b": "def f():\n    from .a import g"}, True),
        ({"a": "import p.b", "b": "class B:\n    def f(self):\n        with x:\n            import p.a"}, True),
        ({"__init__": "from . import a", "a": "import p"}, True),
        ({"a": "from .b import f", "b": "try:\n    from .c import f\nexcept ImportError:\n    from .a import g"}, True),
        ({"a": "from .s.t import f", "s/__init__": "from ..a import g", "s/t": ""}, True),
        ({"s/__init__": "from .t import f", "s/t": "from .u import g", "s/u": "from ..a import h", "a": ""}, False),
        ({"a": "from .b import f", "b": "if TYPE_CHECKING:\n    from .a import T\nelse:\n    T = None"}, False),
        ({"a": "from .b import f", "b": "if not TYPE_CHECKING:\n    from .a import T"}, True),
        ({"a": "from .b import f", "b": "if TYPE_CHECKING:\n    T = None\nelse:\n    from .a import T"}, True),
    ],
)
def test_planted_circles_are_found(tmp_path: Path, files: dict[str, str], there_is_one: bool) -> None:
    for name, source in {"__init__": "", "b": "", "c": "", **files}.items():
        path = tmp_path / "p" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(source, encoding="utf-8")
    assert bool(circle(tmp_path / "p")) is there_is_one


def test_only_packages_import_by_name() -> None:
    """Modules of theirs, when these are first used."""
    for path in python_files():
        by_name = [n for n in ast.walk(parse(path)) if isinstance(n, ast.Attribute) and n.attr == "import_module"]
        by_name += [
            n for n in ast.walk(parse(path)) if isinstance(n, ast.Name) and n.id in ("__import__", "import_module")
        ]
        assert not by_name or path.name == "__init__.py", path


def test_what_is_attached_later_is_listed() -> None:
    """Each module attaches what the package says that it will, and nothing that was there before."""
    source = (
        "import importlib, rustorch\n"
        "for module, names in rustorch._ATTACHED_LATER.items():\n"
        "    before = dict(vars(rustorch.Tensor))\n"
        "    assert 'rustorch.' + module not in __import__('sys').modules or module == 'interchange'\n"
        "    importlib.import_module('rustorch.' + module)\n"
        "    print(*sorted({*names} ^ {n for n, v in vars(rustorch.Tensor).items() if before.get(n) is not v}))\n"
    )
    assert run(source) == ""


def test_the_package_may_be_loaded_again() -> None:
    """Methods that are attached already stay; a class that overrides one reaches it in the first call of all."""
    source = (
        "import importlib, rustorch; x = rustorch.arange(3); x[1]; importlib.reload(rustorch)\n"
        "class Loud(rustorch.Tensor):\n"
        "    def __repr__(self): return super().__repr__().upper()\n"
        "print(x[2].item(), rustorch.Tensor.numpy.__qualname__, x.as_subclass(Loud))"
    )
    assert run(source) == "2 Tensor.numpy LOUD([0, 1, 2])"
