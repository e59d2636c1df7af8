"""Names, order and defaults of arguments are PyTorch's, as literal data: `signatures.txt` and `signatures_more.txt`."""

import ast
import importlib
import inspect
import math
from pathlib import Path

import pytest

import rustorch as rt

HERE = Path(__file__).parent
# signatures_more.txt has what torch does not say to `inspect`: functions written in C++, overloaded constructors.
LINES = [line for n in ("signatures", "signatures_more") for line in (HERE / f"{n}.txt").read_text().splitlines()]

# Where rustorch takes less, on purpose or not yet: name -> arguments.
WITHOUT = {
    "autograd.backward": {"grad_variables"},
    "autograd.gradgradcheck": None,
    "nn.utils.parametrize.ParametrizationList.__init__": {"unsafe"},
    "autograd.graph.RemovableHandle.__init__": None,
    "autograd.set_detect_anomaly.__init__": None,
    "compiler.nested_compile_region": {"options", "max_reuse_entries", "reuse_hash_fn"},
    "func.jacfwd": {"has_aux", "randomness"},
    "func.jacrev": {"has_aux", "chunk_size", "_preallocate_and_copy"},
    "func.vjp": {"has_aux"},
    "library.CustomOpDef.__init__": None,
    "library.custom_op": None,
    "library.impl": None,
    "library.impl_abstract": None,
    "storage.TypedStorage.__init__": None,
    "testing.make_tensor": None,
    "utils.hooks.RemovableHandle.__init__": {"extra_dict"},
}


def find(dotted):
    value = rt
    for part in dotted.split("."):
        try:
            value = getattr(value, part)
        except AttributeError:
            value = importlib.import_module(f"{value.__name__}.{part}")
    return value


def named(value):
    if callable(value):
        return getattr(value, "__name__", None)
    return math.inf if value == math.inf else value


@pytest.mark.parametrize("line", LINES, ids=[line.partition("(")[0] for line in LINES])
def test_signature(line):
    name, _, rest = line.partition("(")
    less = WITHOUT.get(name, set())
    if less is None:
        return
    want = ast.parse(f"def f({rest}: pass").body[0].args
    positional = [a.arg for a in want.args]
    defaults = dict(zip(positional[len(positional) - len(want.defaults) :], map(ast.literal_eval, want.defaults)))
    positional = [n for n in positional if n not in less]
    only = [a.arg for a in want.kwonlyargs if a.arg not in less]
    defaults |= {a.arg: ast.literal_eval(d) for a, d in zip(want.kwonlyargs, want.kw_defaults) if d is not None}

    f = find(name)
    own = inspect.signature(f).parameters
    bound = name.rsplit(".", 1)[-1] == "from_pretrained" or not inspect.isclass(find(name.rpartition(".")[0]))
    mine = [p for p in list(own.values())[0 if bound else 1 :] if not p.name.startswith("*")]
    takes = [p.name for p in mine if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    kinds = {p.kind for p in own.values()}
    if inspect.Parameter.VAR_POSITIONAL in kinds:  # handed on to the class that it becomes
        positional = positional[: len(takes)]
    if inspect.Parameter.VAR_KEYWORD in kinds:  # taken without being named
        names = {p.name for p in mine}
        positional, only = ([n for n in some if n in names] for some in (positional, only))
    assert takes[: len(positional)] == positional
    by_name = {p.name: p for p in mine}
    assert not [n for n in only if n not in by_name]
    for n in positional + only:
        default = by_name[n].default
        if n not in defaults:
            assert default is inspect.Parameter.empty, f"{n} has a default, {default!r}"
        elif n != "generator":
            assert named(default) == defaults[n] and default is not inspect.Parameter.empty, (
                f"{n}={default!r}, PyTorch has {defaults[n]!r}"
            )
            assert isinstance(default, bool) == isinstance(defaults[n], bool)
