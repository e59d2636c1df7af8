"""Programs that import torch, run on rustorch: the hook, what it shows, and the modules that libraries ask for."""

from __future__ import annotations

import importlib.util
import os
import pickle
import subprocess
import sys
import warnings
from collections import OrderedDict, defaultdict, deque, namedtuple
from pathlib import Path
from typing import Any, Optional, Union

import pytest

import rustorch as rt
from rustorch import errors, nn
from rustorch.nn.utils import fusion, prune
from rustorch.torch_version import TorchVersion
from rustorch.utils import _pytree as pytree
from rustorch.utils.checkpoint import checkpoint, checkpoint_sequential

ROOT = Path(rt.__file__).parent.parent


def run(*arguments: str, cwd: Any = None, fails: bool = False) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
    )
    assert bool(done.returncode) is fails, done.stderr
    return (done.stderr if fails else done.stdout).strip()


def installed(source: str) -> str:
    return run("-c", f"import rustorch.as_torch\nrustorch.as_torch.install()\n{source}")


# ---- the hook ----


def test_modules_are_the_same() -> None:
    source = """
import torch, rustorch, torch.nn as tnn, torch.nn.functional as F, torch.utils.data
from torch.optim.lr_scheduler import StepLR
from torch.nn.modules.batchnorm import _BatchNorm, BatchNorm2d
from torch.nn.modules.normalization import LayerNorm
import torch.backends.cudnn, torch.cuda.amp, torch.autograd.profiler
assert torch is rustorch.as_torch.install() and rustorch.as_torch.is_installed()
assert tnn is rustorch.nn and torch.nn is rustorch.nn and F is rustorch.nn.functional
assert torch.Tensor is rustorch.Tensor and torch.add is rustorch.add and BatchNorm2d is rustorch.nn.BatchNorm2d
assert torch.utils.data is rustorch.utils.data and LayerNorm is rustorch.nn.LayerNorm
assert torch.backends.cudnn is rustorch.backends.cudnn
import sys
assert sys.modules["rustorch.nn"].__spec__.name == "rustorch.nn"
from torch import *
print(ones(2) + tensor([1, 2]))
"""
    assert installed(source) == "tensor([2., 3.])"


def test_what_libraries_look_at() -> None:
    source = """
import importlib.metadata, importlib.util, torch, rustorch
assert torch.__name__ == "torch" and torch.__version__ == "2.13.0+rustorch" and torch.__version__ >= (2, 4)
assert importlib.metadata.version("torch") == torch.__version__ != rustorch.__version__
assert importlib.util.find_spec("torch") and importlib.util.find_spec("torch.nn")
assert importlib.util.find_spec("torch.xyz") is None and importlib.util.find_spec("torch.distributed.fsdp") is None
assert type(torch.ones(1)).__module__ == "torch" and "torch" in str(type(torch.ones(1)))
assert not hasattr(torch, "PyTensor") and not hasattr(torch, "kernels") and "classic" not in dir(torch)
assert torch.ops.aten.add is torch.add
print(torch.float64, torch.Size([2]), torch.zeros(2, dtype=torch.int32), torch.strided, torch.ones(2).max(0))
"""
    assert installed(source) == (
        "torch.float64 torch.Size([2]) tensor([0, 0], dtype=torch.int32) torch.strided torch.return_types.max(\n"
        "values=tensor(1.),\nindices=tensor(0))"
    )


def test_what_is_missing_is_named() -> None:
    source = """
import torch
for name in ("torch.xyz", "torch.nn.xyz", "torch.backends.xyz", "torch.classic", "torch.fx.passes.x"):
    try:
        __import__(name)
    except ModuleNotFoundError as e:
        print(e, "|", e.name)
try:
    torch.xyz
except AttributeError as e:
    print(e)
try:
    from torch import xyz
except ImportError as e:
    print(e)
for call in (lambda: torch.distributed.all_reduce(torch.ones(1)), lambda: torch.fx.symbolic_trace(torch.nn.ReLU()),
             lambda: torch.jit.load("x"), lambda: torch.profiler.profile(), lambda: torch.cuda.Stream(),
             lambda: torch.onnx.export(), lambda: torch.zeros(1, dtype=torch.float8_e5m2)):
    try:
        call()
    except NotImplementedError as e:
        print(str(e).split(":")[0])
"""
    assert installed(source).splitlines() == [
        "torch.xyz is not built in rustorch | torch.xyz",
        "torch.nn.xyz is not built in rustorch | torch.nn.xyz",
        "torch.backends.xyz is not built in rustorch | torch.backends.xyz",
        "torch.classic is not built in rustorch | torch.classic",
        "torch.fx.passes is not built in rustorch | torch.fx.passes",
        "torch.xyz is not built in rustorch",
        f"cannot import name 'xyz' from 'torch' ({rt.__file__})",
        "distributed.all_reduce",
        "fx.symbolic_trace",
        "jit.load",
        "profiler.profile",
        "cuda.Stream",
        "onnx.export",
        "there are no tensors of dtype torch.float8_e5m2",
    ]


def test_torch_that_is_there_already_is_refused() -> None:
    source = """
import sys, types
sys.modules["torch"] = types.ModuleType("torch")
import rustorch.as_torch
try:
    rustorch.as_torch.install()
except rustorch.errors.StateError as e:
    print(e)
assert not rustorch.as_torch.is_installed() and str(rustorch.float32) == "rustorch.float32"
"""
    assert "imported already" in run("-c", source)


def test_a_module_that_fails_says_why(tmp_path: Path) -> None:
    """Where one of rustorch's modules wants a package that is not installed, that is what the error names."""
    source = "import sys; sys.modules['tensorboardX'] = None\nimport torch.utils.tensorboard"
    with pytest.raises(AssertionError, match="tensorboardX"):
        installed(source)


def test_without_it_nothing_has_changed() -> None:
    source = (
        "import sys, rustorch.as_torch; assert 'torch' not in sys.modules; print(rustorch.float32, rustorch.Size([1]))"
    )
    assert run("-c", source) == "rustorch.float32 rustorch.Size([1])"


PROGRAM = """
import sys
import torch
from torch import nn
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset
import helper

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1))
x = torch.randn(32, 2)
y = x.sum(1, keepdim=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(20):
    for a, b in DataLoader(TensorDataset(x, y), batch_size=8, shuffle=True):
        optimizer.zero_grad()
        loss = F.mse_loss(model(a), b)
        loss.backward()
        optimizer.step()
print(__name__, sys.argv[1:], helper.half(torch.tensor(3.0)), loss.item() < 0.1)
"""


def test_programs_run(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import torch\ndef half(t):\n    return torch.div(t, 2)\n")
    (tmp_path / "program.py").write_text(PROGRAM)
    wanted = "__main__ ['a', '-b'] tensor(1.5000) True"
    assert run("-m", "rustorch.as_torch", str(tmp_path / "program.py"), "a", "-b") == wanted
    assert run("-m", "rustorch.as_torch", "-m", "program", "a", "-b", cwd=tmp_path) == wanted


def test_programs_stay_main(tmp_path: Path) -> None:
    source = """
import atexit, os, pickle, sys
class Kept: pass
atexit.register(lambda: print(type(pickle.loads(pickle.dumps(Kept()))) is Kept, sys.modules['__main__'].Kept is Kept))
print(__name__, os.path.isabs(__file__), os.path.isabs(sys.path[0]), os.path.basename(sys.argv[0]))
"""
    (tmp_path / "folder").mkdir()
    for place in ("kept.py", "folder/__main__.py"):
        (tmp_path / place).write_text(source)
    for arguments, name in ((["kept.py"], "kept.py"), (["-m", "kept"], "kept.py"), (["folder"], "folder")):
        got = run("-m", "rustorch.as_torch", *arguments, cwd=tmp_path)
        assert got == f"__main__ True True {name}\nTrue True"


def test_misuse_of_the_command(tmp_path: Path) -> None:
    assert run("-m", "rustorch.as_torch", fails=True).startswith("usage:")
    assert run("-m", "rustorch.as_torch", "--help").startswith("usage:")
    (tmp_path / "p.py").write_text("import sys\nsys.exit(3)")
    assert run("-m", "rustorch.as_torch", str(tmp_path / "p.py"), fails=True) == ""
    assert "No such file" in run("-m", "rustorch.as_torch", str(tmp_path / "q.py"), fails=True)


def test_versions() -> None:
    v = TorchVersion("2.13.0+rustorch")
    assert v > "2.4" and v >= (2, 13) and v < "2.14.0.dev1" and v <= TorchVersion("2.13.1") and v != "2.13.0"
    assert TorchVersion("2.0") == "2.0.0" and TorchVersion("2.0.0a1") < "2.0.0rc1" and TorchVersion("2.0rc1") < "2.0"
    assert v.startswith("2.13") and v != "nonsense" and hash(v) == hash(str(v))
    assert v < "nonsense" and not v > "nonsense"  # as texts


# ---- the modules ----


def test_compilers_leave_things_as_they_are() -> None:
    def f(x: Any) -> Any:
        return x + 1

    m = nn.Linear(2, 2)
    assert rt.jit.script(f) is f and rt.jit.trace(m, rt.ones(1, 2)) is m and rt.jit.freeze(m) is m
    assert rt.jit.ignore(f) is f and rt.jit.ignore(drop=True)(f) is f and rt.jit.unused(f) is f
    assert rt.jit.annotate(int, 3) == 3 and not rt.jit.is_scripting() and not rt.jit.is_tracing()
    assert rt.jit.isinstance([1], list[int]) and not rt.jit.isinstance((1,), list[int])
    for value, kind, wanted in (
        ([1, "a"], list[int], False),
        ((1, 2), tuple[int, int], True),
        ((1, 2, 3), tuple[int, int], False),
        ({"a": [1]}, dict[str, list[int]], True),
        ({"a": ["b"]}, dict[str, list[int]], False),
        (None, Optional[int], True),  # noqa: UP045
        ("a", Optional[int], False),  # noqa: UP045
        ("a", Union[int, str], True),  # noqa: UP007
        ([1], (str, list[int]), True),
    ):
        assert rt.jit.isinstance(value, kind) is wanted
    with pytest.raises(RuntimeError, match="without contained types"):
        rt.jit.isinstance([1], list)
    assert rt.jit.wait(rt.jit.fork(f, 2)) == 3 and not isinstance(m, rt.jit.ScriptModule)
    assert rt.compiler.disable(f) is f and rt.compiler.disable()(f) is f and not rt.compiler.is_compiling()
    with rt.compiler.set_stance("force_eager"):
        assert rt.compile(f) is f
    assert rt.fx.wrap(f) is f and rt.fx.wrap("len") == "len"
    with pytest.raises(TypeError):
        rt.fx.wrap(3)


def test_one_process() -> None:
    d = rt.distributed
    assert not d.is_available() and not d.is_initialized() and d.group.WORLD is None and d.ReduceOp.SUM
    with pytest.raises(ValueError, match="not been initialized"):
        d.get_rank()
    with pytest.raises(errors.UnsupportedError, match="all_gather"):
        d.all_gather([], rt.ones(1))
    with pytest.raises(AttributeError, match="nonsense"):
        _ = d.nonsense
    with pytest.raises(errors.UnsupportedError):
        nn.parallel.DistributedDataParallel(nn.ReLU())


def test_checks() -> None:
    rt._assert(True, "")
    rt._check(True)
    with pytest.raises(AssertionError, match="no"):
        rt._assert(False, "no")
    for name, kind in (("", RuntimeError), ("_value", ValueError), ("_index", IndexError), ("_type", TypeError)):
        with pytest.raises(kind, match="no"):
            getattr(rt, f"_check{name}")(False, lambda: "no")
    with pytest.raises(RuntimeError):
        rt._check_tensor_all(rt.tensor([True, False]))
    with pytest.raises(RuntimeError):
        rt._assert_async(rt.tensor(0))
    assert rt.sym_max(1, 2.0) == 2.0 and rt.sym_min(1, 2) == 1 and rt.sym_not(False) and rt.sym_int(2.5) == 2
    assert not isinstance(3, rt.SymInt)


def test_storages() -> None:
    t = rt.arange(6, dtype=rt.int32)
    s = t[2:].untyped_storage()
    assert s.nbytes() == len(s) == 24 and s.data_ptr() == t.data_ptr() and sys.getsizeof(s) > 24
    s[0] = 7
    assert t[0] == 7 and s[4] == 1 and s[4:8].tolist() == [1, 0, 0, 0]
    assert t.storage().tolist() == [7, 1, 2, 3, 4, 5] and t.storage().size() == 6 and t.storage()[1] == 1
    c = s.clone().fill_(0)
    assert t[0] == 7 and c.tolist() == [0] * 24 and t.untyped_storage().copy_(c).tolist() == c.tolist() and t[1] == 0
    assert pickle.loads(pickle.dumps(rt.UntypedStorage([1, 2]))).tolist() == [1, 2]
    assert rt.asarray(rt.UntypedStorage([1, 2])).tolist() == [1, 2]
    with pytest.raises(errors.UnsupportedError):
        s.resize_(100)
    with pytest.raises(errors.UnsupportedError):
        rt.empty(2, device="meta").untyped_storage()


def test_storages_of_files(tmp_path: Path) -> None:
    f = tmp_path / "bytes"
    f.write_bytes(bytes(range(8)))
    s = rt.UntypedStorage.from_file(str(f), False, 6)
    s[0] = 9
    assert s.tolist() == [9, 1, 2, 3, 4, 5] and f.read_bytes() == bytes(range(8))
    s = rt.UntypedStorage.from_file(str(f), True, 10)
    s[1] = 9
    assert f.read_bytes() == bytes([0, 9, *range(2, 8), 0, 0])
    with pytest.raises(errors.InvalidArgumentError):
        rt.UntypedStorage.from_file(str(f), False, 100)


def test_layouts() -> None:
    assert rt.ones(1).layout is rt.strided and isinstance(rt.strided, rt.layout)
    assert isinstance(rt.channels_last, rt.memory_format) and pickle.loads(pickle.dumps(rt.strided)) is rt.strided
    assert pickle.loads(pickle.dumps(rt.float8_e4m3fn)) is rt.float8_e4m3fn and rt.finfo(rt.float8_e4m3fn).max == 448
    with pytest.raises(errors.UnsupportedError, match="float8"):
        rt.ones(2).to(rt.float8_e4m3fn)


Point = namedtuple("Point", "x y")
TREE = {"b": [1, (2, 3)], "a": Point(4, OrderedDict(k=5)), "d": deque([6], 3), "e": defaultdict(list, z=7), "n": None}


def test_trees() -> None:
    leaves, spec = pytree.tree_flatten(TREE)
    assert leaves == [1, 2, 3, 4, 5, 6, 7, None] and pytree.tree_unflatten(leaves, spec) == TREE
    assert spec.num_leaves == 8 and pytree.tree_structure(TREE) == spec != pytree.tree_structure([1])
    doubled = pytree.tree_map_only(int, lambda v: 2 * v, TREE)
    assert doubled["a"] == Point(8, OrderedDict(k=10)) and doubled["d"].maxlen == 3 and doubled["n"] is None
    assert pytree.tree_map(lambda a, b: a + b, [1, {"k": 2}], [10, {"k": 20}]) == [11, {"k": 22}]
    assert pytree.tree_leaves([1, [2]], is_leaf=lambda v: v == [2]) == [1, [2]]
    paths = [pytree.keystr(p) for p, _ in pytree.tree_flatten_with_path({"b": [1, 2], "a": Point(3, 4)})[0]]
    assert paths == ["['b'][0]", "['b'][1]", "['a'].x", "['a'].y"]
    assert pytree.tree_any(lambda v: v == 7, TREE) and not pytree.tree_all(lambda v: v == 7, TREE)
    plain = pytree.tree_structure({"a": [1, (2,)]})
    assert pytree.treespec_loads(pytree.treespec_dumps(plain)) == plain
    with pytest.raises(ValueError):
        spec.unflatten([1])
    with pytest.raises(ValueError):
        pytree.tree_map(lambda a, b: a, [1, [2]], [1, 2])


def test_registered_trees() -> None:
    class Pair:
        def __init__(self, a: Any, b: Any) -> None:
            self.a, self.b = a, b

    pytree.register_pytree_node(Pair, lambda p: ([p.a, p.b], "c"), lambda v, c: Pair(*v))
    try:
        made = pytree.tree_map(lambda v: -v, Pair(1, [2]))
        assert isinstance(made, Pair) and (made.a, made.b) == (-1, [-2])
        with pytest.raises(ValueError, match="already"):
            pytree.register_pytree_node(Pair, lambda p: ([], None), lambda v, c: Pair(1, 2))
    finally:
        del pytree.SUPPORTED_NODES[Pair]


def test_checkpoints_compute_again() -> None:
    calls = []
    m = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(0.5), nn.Linear(8, 3))
    m.register_forward_hook(lambda *_: calls.append(1))
    x = rt.randn(4, 3, requires_grad=True)

    def gradients(f: Any) -> Any:
        rt.manual_seed(3)
        y = f()
        return [y.detach(), *rt.autograd.grad(y.sum(), [x, *m.parameters()])]

    wanted = gradients(lambda: m(x))
    for options in ({}, {"use_reentrant": False}, {"use_reentrant": True}):
        calls.clear()
        got = gradients(lambda options=options: checkpoint(m, x, **options))
        assert all(rt.equal(a, b) for a, b in zip(wanted, got)) and calls
    got = gradients(lambda: checkpoint_sequential(m, 2, x, use_reentrant=False))
    assert all(rt.equal(a, b) for a, b in zip(wanted, got))
    with rt.no_grad():
        assert not checkpoint(m, x).requires_grad


def test_checkpoints_notice_other_computations() -> None:
    sizes = iter([3, 4])
    x = rt.randn(4, requires_grad=True)
    y = checkpoint(lambda t: t[: next(sizes)].exp().sum(), x)
    with pytest.raises(errors.RustorchError, match="different metadata"):
        y.backward()
    x = rt.randn(4, requires_grad=True)
    b = rt.ones(4)
    y = checkpoint(lambda t, u: (t * u).exp().sum(), x, b)
    b.mul_(2)
    with pytest.raises(errors.AutogradError, match="modified by an inplace operation"):
        y.backward()
    for early, wanted in ((True, 3), (False, 4)):
        calls: list[int] = []

        def f(t: Any, calls: list[int] = calls) -> Any:
            calls.append(1)
            y = t.exp()
            calls.append(2)
            return y.sum()

        checkpoint(f, x, early_stop=early).backward()
        assert len(calls) == wanted
    more = iter([False, True, False, True])
    for early in (True, False):
        y = checkpoint(lambda t: (t.exp().sin() if next(more) else t.exp()).sum(), x, early_stop=early)
        if early:
            y.backward()
        else:
            with pytest.raises(errors.AutogradError, match="save more tensors"):
                y.backward()


def test_vmap_refuses() -> None:
    a = rt.arange(6.0).reshape(3, 2)
    for wrong in (
        lambda: rt.vmap(lambda r: r * 2, out_dims=None)(a),
        lambda: rt.vmap(lambda r: (r, r), out_dims=(0, None))(a),
        lambda: rt.vmap(lambda r, n: r * n)(a, 2),
        lambda: rt.vmap(lambda r, n: r * n, (0, 0))(a, 2.0),
        lambda: rt.vmap(lambda r: 1)(a),
        lambda: rt.vmap(lambda r: (r, "x"))(a),
        lambda: rt.vmap(rt.exp, chunk_size=0),
        lambda: rt.vmap(rt.exp, chunk_size=-1),
    ):
        with pytest.raises(ValueError, match="vmap"):
            wrong()
    assert rt.vmap(lambda r, n: r * n, (0, None))(a, 2).tolist() == (a * 2).tolist()
    nan = rt.tensor([1.0, float("nan")])
    doubled, same, word = rt.vmap(lambda r: (r * 2, nan * 1, "x"), out_dims=(0, None, None))(a)
    assert doubled.shape == a.shape and same[0] == 1 and word == "x"
    w = rt.ones(2, requires_grad=True)
    assert rt.func.jvp(lambda x: (x, w * 2), (nan,), (nan,))[1][1].tolist() == [0.0, 0.0]
    with pytest.raises(errors.AutogradError, match="independent"):
        rt.func.jvp(lambda x: (x, w * 2), (nan,), (nan,), strict=True)
    assert rt.func.jvp(lambda x: x * 3, (w,), (w,), strict=True)[1].tolist() == [3.0, 3.0]


def test_vmap() -> None:
    a, b = rt.randn(5, 3), rt.randn(3, 4)
    assert rt.vmap(rt.dot)(a, a).shape == (5,)
    rt.testing.assert_close(rt.vmap(lambda r, m: r @ m, (0, None))(a, b), a @ b)
    rt.testing.assert_close(rt.vmap(lambda c: c.sum(), 1)(a), a.sum(0))
    rt.testing.assert_close(rt.vmap(lambda r: (r, {"k": r * 2}), out_dims=(1, 0))(a)[0], a.T)
    nested = rt.vmap(rt.vmap(lambda p, q: p * q, (None, 0)), (0, None))(a[:, 0], b[0])
    rt.testing.assert_close(nested, rt.outer(a[:, 0], b[0]))
    x = a.clone().requires_grad_()
    rt.vmap(lambda r: r.pow(2).sum())(x).sum().backward()
    rt.testing.assert_close(x.grad, 2 * a)
    per_sample = rt.vmap(rt.func.grad(lambda w, r: (w * r).sum()), (None, 0))(rt.ones(3), a)
    rt.testing.assert_close(per_sample, a)
    with pytest.raises(errors.AutogradError, match="random"):
        rt.vmap(rt.rand_like)(a)
    same = rt.vmap(rt.rand_like, randomness="same")(a)
    assert rt.equal(same[0], same[1]) and not rt.equal(*rt.vmap(rt.rand_like, randomness="different")(a)[:2])
    for wrong in (lambda: rt.vmap(rt.add)(a, b), lambda: rt.vmap(rt.exp, 5)(a), lambda: rt.vmap(rt.exp)(a[:0])):
        with pytest.raises(errors.RustorchError):
            wrong()


def test_jvp_and_stacked_modules() -> None:
    x, v = rt.randn(4), rt.randn(4)
    value, product = rt.func.jvp(lambda t: (t.sin(), t.sum()), (x,), (v,))
    rt.testing.assert_close(value[0], x.sin())
    rt.testing.assert_close(product, (x.cos() * v, v.sum()))
    assert not product[0].requires_grad
    assert rt.func.jvp(lambda t: (t * 2, "aux"), (x,), (v,), has_aux=True)[2] == "aux"
    w = rt.randn(4, requires_grad=True)
    (g,) = rt.autograd.grad(rt.func.jvp(lambda t: (w * t * t).sum(), (x,), (v,))[1], w)
    rt.testing.assert_close(g, 2 * x * v)
    rt.testing.assert_close(rt.func.jacfwd(rt.sin)(x), rt.diag(x.cos()))
    models = [nn.Linear(2, 3) for _ in range(4)]
    params, buffers = rt.func.stack_module_state(models)
    assert params["weight"].shape == (4, 3, 2) and params["weight"].requires_grad and not buffers
    out = rt.vmap(lambda p, t: rt.func.functional_call(models[0], p, (t,)), (0, None))(params, rt.ones(2))
    rt.testing.assert_close(out[3], models[3](rt.ones(2)))


def test_assert_close() -> None:
    close = rt.testing.assert_close
    close(rt.ones(2), rt.ones(2) + 1e-6)
    close({"a": [rt.ones(1), 1.0]}, {"a": [rt.ones(1), 1.0 + 1e-9]})
    close(rt.tensor([float("nan")]), rt.tensor([float("nan")]), equal_nan=True)
    close(rt.ones(1), rt.ones(1, dtype=rt.float64), check_dtype=False)
    for actual, expected, text in (
        (rt.ones(2), rt.tensor([1.0, 2.0]), r"Mismatched elements: 1 / 2[\s\S]*difference: 1.0 at index \(1,\)"),
        (rt.ones(2), rt.ones(3), "shape"),
        (rt.ones(2), rt.ones(2).double(), "dtype"),
        ([rt.ones(1)], [], "length"),
        ({"a": 1}, {"b": 1}, "keys"),
        (1.0, 1.1, "Scalars are not close"),
        (rt.tensor([float("nan")]), rt.tensor([float("nan")]), "not close"),
        ([rt.ones(1), rt.ones(2)], [rt.ones(1), rt.zeros(2)], r"\[1\]"),
    ):
        with pytest.raises(AssertionError, match=text):
            close(actual, expected)
    with pytest.raises(AssertionError, match="my words"):
        close(1, 2, msg="my words")
    with pytest.raises(ValueError):
        close(1, 1, rtol=0.1)
    for actual, expected in ((1, 1.0), (1.0, 1 + 0j), (True, False), (None, 1)):
        with pytest.raises(AssertionError, match=r"do not match|mismatch"):
            close(actual, expected)
    close(1, 1.0, check_dtype=False)
    close(True, True)
    for actual, expected in ((True, 1), (1.0, True)):
        with pytest.raises(TypeError, match="bool"):
            close(actual, expected, check_dtype=False)


def test_make_tensor() -> None:
    for d in (rt.float32, rt.int64, rt.uint8, rt.bool, rt.complex64):
        t = rt.testing.make_tensor(3, 4, dtype=d)
        assert t.shape == (3, 4) and t.dtype is d
    t = rt.testing.make_tensor((50,), dtype=rt.int64, low=0, high=3, exclude_zero=True)
    assert set(t.tolist()) <= {1, 2}
    assert not rt.testing.make_tensor(3, 4, dtype=rt.float32, noncontiguous=True).is_contiguous()
    assert rt.testing.make_tensor(2, dtype=rt.float32, requires_grad=True).requires_grad


def test_lists_of_tensors() -> None:
    a, b = [rt.ones(2), rt.arange(3.0)], [rt.full((2,), 2.0), rt.ones(3)]
    assert [t.tolist() for t in rt._foreach_add(a, b, alpha=2)] == [[5.0, 5.0], [2.0, 3.0, 4.0]]
    assert rt._foreach_mul_(a, [3.0, 2.0]) is None and a[1].tolist() == [0.0, 2.0, 4.0]
    rt._foreach_addcdiv_(a, b, b, 2.0)
    assert a[0].tolist() == [5.0, 5.0]
    assert [t.tolist() for t in rt._foreach_addcmul(a, b, b, scalars=[1.0, 0.0])] == [[9.0, 9.0], a[1].tolist()]
    rt._foreach_lerp_(a, b, 1.0)
    assert a[0].tolist() == [2.0, 2.0] and [float(n) for n in rt._foreach_norm([rt.tensor([3.0, 4.0])])] == [5.0]
    rt._foreach_zero_(a)
    rt._foreach_copy_(a, b)
    rt._foreach_neg_(a)
    assert a[0].tolist() == [-2.0, -2.0] and rt._foreach_maximum(a, 0.0)[0].tolist() == [0.0, 0.0]
    assert rt._foreach_sqrt(b)[1].tolist() == [1.0, 1.0, 1.0]
    assert rt._foreach_pow(2.0, [rt.tensor([3.0])])[0].tolist() == [8.0]
    with pytest.raises(errors.InvalidArgumentError):
        rt._foreach_add(a, [1.0])
    groups = rt.utils._foreach_utils._group_tensors_by_device_and_dtype([[*a, rt.ones(1).double()], [1, 2, 3]], True)
    assert [indices for _, indices in groups.values()] == [[0, 1], [2]]


def test_ops_of_programs() -> None:
    library = rt.library

    @library.custom_op("mine::triple", mutates_args=())
    def triple(x: Any) -> Any:
        return x * 3

    triple.register_fake(rt.empty_like)
    triple.register_autograd(lambda ctx, g: g * 3, setup_context=lambda ctx, inputs, output: None)
    x = rt.ones(2, requires_grad=True)
    library.all_ops.mine.triple(x).sum().backward()
    assert x.grad.tolist() == [3.0, 3.0] and triple(rt.ones(2, device="meta")).is_meta
    ns = library.Library("mine", "FRAGMENT")
    ns.define("half(Tensor x) -> Tensor")
    with pytest.raises(errors.StateError):
        library.all_ops.mine.half(x)
    ns.impl("half", lambda t: t / 2, "CPU")
    assert library.all_ops.mine.half.default(rt.ones(1)).item() == 0.5
    with pytest.raises(AttributeError):
        _ = library.all_ops.mine.other
    with pytest.raises(OSError, match="cannot be loaded"):
        library.all_ops.load_library("x.so")


def test_ops_of_programs_see_all_arguments() -> None:
    library, seen = rt.library, []

    @library.custom_op("mine::scaled", mutates_args=())
    def scaled(x: Any, y: float = 2.0, *, z: float = 3.0) -> Any:
        return x * y * z

    x = rt.ones(2, requires_grad=True)
    with pytest.raises(errors.AutogradError, match="no autograd formula was registered"):
        scaled(x).sum().backward()
    assert not scaled(x.detach()).requires_grad

    def setup(ctx: Any, inputs: Any, keyword_only_inputs: Any, output: Any) -> None:
        seen.append((inputs[1:], keyword_only_inputs, ctx.needs_input_grad))

    scaled.register_autograd(lambda ctx, g: (g * 6, None), setup_context=setup)
    scaled(x=x).sum().backward()
    assert x.grad.tolist() == [6.0, 6.0] and seen == [((2.0,), {"z": 3.0}, (True, False))]

    total = library.custom_op("mine::total", lambda ts: ts[0] + ts[1], mutates_args=())
    total.register_autograd(lambda ctx, g: ([g, g * 2],), setup_context=lambda ctx, inputs, output: None)
    a, b = rt.ones(1, requires_grad=True), rt.ones(1, requires_grad=True)
    total([a, b]).backward()
    assert (a.grad.item(), b.grad.item()) == (1.0, 2.0)

    ns = library.Library("mine", "FRAGMENT")
    ns.define("third(Tensor x) -> Tensor")
    for key in ("Autograd", "BackendSelect"):
        with pytest.raises(errors.UnsupportedError, match=key):
            ns.impl("third", lambda t: t / 3, key)
    with pytest.raises(errors.UnsupportedError):
        library.Library("aten", "IMPL").impl("exp", lambda t: t, "CPU")

    @library.impl(ns, "third", "CPU")
    def third(t: Any) -> Any:
        return t / 3

    assert library.all_ops.mine.third(rt.ones(1) * 6).item() == third(rt.ones(1) * 6).item() == 2.0


def test_pruning() -> None:
    m = nn.Linear(4, 3)
    with rt.no_grad():
        m.weight.copy_(rt.arange(12.0).reshape(3, 4) - 5)
    original = m.weight.clone()
    prune.l1_unstructured(m, "weight", 3)
    assert prune.is_pruned(m) and set(dict(m.named_parameters())) == {"bias", "weight_orig"}
    assert ((m.weight == 0) == (original.abs() <= 1)).all()
    prune.ln_structured(m, "weight", 1, 2, 0)
    assert m.weight_mask[1].sum() == 0 and m.weight_mask.sum() == 8
    m(rt.ones(1, 4)).sum().backward()
    assert (m.weight_orig.grad[1] == 0).all()
    prune.remove(m, "weight")
    assert not prune.is_pruned(m) and isinstance(m.weight, nn.Parameter) and m.weight[1].abs().sum() == 0
    with pytest.raises(ValueError, match="has to be pruned"):
        prune.remove(m, "weight")
    a, b = nn.Linear(4, 4), nn.Linear(4, 4)
    prune.global_unstructured([(a, "weight"), (b, "weight")], prune.L1Unstructured, amount=0.25)
    assert a.weight_mask.sum() + b.weight_mask.sum() == 24
    prune.random_unstructured(a, "bias", 2)
    prune.random_structured(b, "weight", 1, 1)
    assert a.bias_mask.sum() == 2 and (b.weight_mask.sum(0) == 0).sum() >= 1
    for amount, kind in ((-1, ValueError), (1.5, ValueError), ("x", TypeError), (100, ValueError)):
        with pytest.raises(kind):
            prune.l1_unstructured(nn.Linear(2, 2), "weight", amount)


def test_fused_normalisation() -> None:
    for layer, bn, x in (
        (nn.Conv2d(2, 3, 3), nn.BatchNorm2d(3), rt.randn(2, 2, 5, 5)),
        (nn.Linear(4, 3), nn.BatchNorm1d(3), rt.randn(5, 4)),
        (nn.ConvTranspose2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), rt.randn(2, 2, 5, 5)),
    ):
        bn(layer(x))
        layer.eval(), bn.eval()
        fuse = fusion.fuse_linear_bn_eval if isinstance(layer, nn.Linear) else fusion.fuse_conv_bn_eval
        fused = fuse(layer, bn, True) if isinstance(layer, nn.ConvTranspose2d) else fuse(layer, bn)
        rt.testing.assert_close(fused(x), bn(layer(x)), rtol=1e-4, atol=1e-5)
    with pytest.raises(AssertionError):
        fusion.fuse_linear_bn_eval(nn.Linear(2, 2), nn.BatchNorm1d(2))


def test_sync_batch_norm() -> None:
    m = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    m(rt.randn(4, 2))
    wanted = m.eval()(rt.ones(3, 2))
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(m)
    assert isinstance(converted[1], nn.SyncBatchNorm) and rt.equal(converted(rt.ones(3, 2)), wanted)
    with pytest.raises(errors.UnsupportedError):
        converted.train()(rt.ones(3, 2))
    x = rt.randn(3, 2)
    for options in ({"eps": 0.5}, {"affine": False}, {"track_running_stats": False}, {"momentum": 0.5}):
        plain, sync = nn.BatchNorm1d(2, **options).eval(), nn.SyncBatchNorm(2, **options, process_group="g").eval()
        assert rt.equal(plain(x), sync(x)) and sync.process_group == "g" and sync.momentum == plain.momentum
    with pytest.raises(errors.ShapeMismatchError):
        nn.SyncBatchNorm(2).eval()(rt.ones(2))


def test_small_names() -> None:
    with nn.attention.sdpa_kernel([nn.attention.SDPBackend.MATH, nn.attention.SDPBackend.FLASH_ATTENTION]):
        pass
    with pytest.raises(errors.UnsupportedError), nn.attention.sdpa_kernel(nn.attention.SDPBackend.FLASH_ATTENTION):
        pass
    assert nn.utils.skip_init(nn.Linear, 2, 3).weight.shape == (3, 2)
    assert nn.utils.stateless.functional_call is rt.func.functional_call
    with rt.profiler.record_function("x"), rt.autograd.profiler.record_function("y"):
        pass
    plan = rt.profiler.schedule(wait=1, warmup=1, active=2, repeat=1)
    assert [plan(i).name for i in range(6)] == ["NONE", "WARMUP", "RECORD", "RECORD_AND_SAVE", "NONE", "NONE"]
    assert rt.version.cuda is None and rt.version.__version__ == rt.__version__ and "CPU" in rt.__config__.show()
    assert not rt.is_autocast_enabled() and rt.get_autocast_dtype("cpu") is rt.bfloat16
    assert not rt.overrides.has_torch_function((rt.ones(1),)) and rt.overrides.is_tensor_like(rt.ones(1))
    assert rt.cuda.memory_allocated() == 0 and rt._C._get_tracing_state() is None
    assert rt.from_dlpack(rt.utils.dlpack.to_dlpack(rt.ones(2))).tolist() == [1.0, 1.0]
    assert rt.scalar_tensor(2).dtype is rt.float32 and rt.ones(2).new(3, 4).shape == (3, 4)
    assert rt.ones(1, dtype=rt.int32).new([1]).dtype is rt.int32 and rt.trapz is rt.trapezoid
    with pytest.raises(errors.DTypeError, match="__contains__"):
        _ = [1] in rt.ones(1)


def test_safe_globals() -> None:
    kept = rt.serialization
    kept.add_safe_globals([int, int])
    with kept.safe_globals([str]):
        assert kept.get_safe_globals() == [int, str]
    assert kept.get_safe_globals() == [int]
    kept.clear_safe_globals()
    assert kept.get_safe_globals() == []


def test_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    umask = os.umask(0o022)
    os.umask(umask)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert rt.hub.get_dir() == str(tmp_path / "hub")
    rt.save({"w": rt.ones(2)}, tmp_path / "w.safetensors")
    url = (tmp_path / "w.safetensors").as_uri()
    assert rt.hub.load_state_dict_from_url(url)["w"].tolist() == [1.0, 1.0]
    assert (tmp_path / "hub" / "checkpoints" / "w.safetensors").exists()
    with pytest.raises(RuntimeError, match="invalid hash"):
        rt.hub.download_url_to_file(url, str(tmp_path / "x"), "0000000000")
    assert not (tmp_path / "x").exists() and len(list(tmp_path.iterdir())) == 2
    assert (tmp_path / "hub" / "checkpoints" / "w.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask
    (tmp_path / "hubconf.py").write_text('def model(n):\n    "Doubles."\n    return 2 * n\n')
    assert rt.hub.load(str(tmp_path), "model", 3, source="local") == 6
    assert rt.hub.list(str(tmp_path), source="local") == ["model"]
    assert rt.hub.help(str(tmp_path), "model", source="local") == "Doubles."
    with pytest.raises(errors.UnsupportedError, match="local"):
        rt.hub.load("someone/something", "model")


# ---- numbers first, and forms of old versions ----


@pytest.mark.parametrize(
    "name, wanted",
    [
        ("add", [6, 8]), ("sub", [4, 2]), ("subtract", [4, 2]), ("mul", [5, 15]), ("div", [5, 5 / 3]),
        ("true_divide", [5, 5 / 3]), ("floor_divide", [5, 1]), ("remainder", [0, 2]), ("pow", [5, 125]),
        ("float_power", [5, 125]), ("bitwise_and", [1, 1]), ("bitwise_or", [5, 7]), ("bitwise_xor", [4, 6]),
        ("bitwise_left_shift", [10, 40]), ("bitwise_right_shift", [2, 0]),
    ],
)  # fmt: skip
def test_numbers_first(name: str, wanted: list[float]) -> None:
    rt.testing.assert_close(
        getattr(rt, name)(5, rt.tensor([1, 3])).double(), rt.tensor(wanted, dtype=rt.float64), rtol=1e-6, atol=0
    )


def test_numbers_first_yield_in_promotion() -> None:
    assert rt.mul(2.5, rt.ones(1, dtype=rt.float16)).dtype is rt.float16
    assert rt.add(1, rt.ones(1, dtype=rt.uint8)).dtype is rt.uint8 and rt.div(1.0, rt.ones(1)).dtype is rt.float32
    with pytest.raises(errors.DTypeError, match="input"):
        rt.mul("2", rt.ones(1))
    x = rt.ones(2, requires_grad=True)
    rt.sub(1, x, alpha=3).sum().backward()
    assert x.grad.tolist() == [-3.0, -3.0]


def test_factors_among_the_tensors() -> None:
    x, a, b = (rt.full((2,), v) for v in (1.0, 2.0, 4.0))
    m = rt.eye(2)
    for call, wanted in (
        (lambda: x.add(3, a), 7.0),
        (lambda: rt.sub(x, 3, a), -5.0),
        (lambda: x.clone().add_(3, a), 7.0),
        (lambda: x.clone().sub_(3, a), -5.0),
        (lambda: x.addcmul(3, a, b), 25.0),
        (lambda: x.clone().addcmul_(3, a, b), 25.0),
        (lambda: rt.addcdiv(x, 3, a, b), 2.5),
        (lambda: x.clone().addcdiv_(3, a, b), 2.5),
        (lambda: x.addmv(3, m, a), 5.0),
        (lambda: x.clone().addmv_(3, 4, m, a), 11.0),
    ):
        with pytest.warns(UserWarning, match="deprecated"):
            assert call().tolist() == [wanted, wanted]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert x.add(a, alpha=3).tolist() == [7.0, 7.0] and x.addcmul(a, b, value=3).tolist() == [25.0, 25.0]
    with pytest.raises(TypeError):
        x.add(3, a, alpha=2)
    with pytest.raises(TypeError):
        x.add(a, b, 3)


def test_none_for_all_dimensions() -> None:
    m = rt.arange(6.0).reshape(2, 3)
    assert m.amax(None) == 5 and rt.amin(m, None) == 0 and m.amax(dim=None, keepdim=True).shape == (1, 1)
    assert rt.roll(m, 1, None).tolist() == rt.roll(m, 1).tolist() and m.roll(1, dims=None)[0, 0] == 5
    assert m.amax(axis=0).tolist() == [3.0, 4.0, 5.0]


# ---- libraries, where they are installed ----


def with_library(name: str, source: str) -> str:
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    return installed(source)


def test_einops() -> None:
    source = """
import torch
from einops import rearrange, reduce
from einops.layers.torch import Rearrange
x = torch.arange(12.0).reshape(2, 2, 3)
print(rearrange(x, 'a b c -> c (a b)').tolist() == x.reshape(4, 3).T.tolist(), reduce(x, 'a b c -> c', 'max').tolist())
print(Rearrange('a b c -> (a b) c')(x).shape)
"""
    assert with_library("einops", source) == "True [9.0, 10.0, 11.0]\ntorch.Size([4, 3])"


def test_opt_einsum() -> None:
    source = """
import torch, opt_einsum
a, b, c = torch.randn(3, 4), torch.randn(4, 5), torch.randn(5, 2)
torch.testing.assert_close(opt_einsum.contract('ij,jk,kl->il', a, b, c), a @ b @ c)
"""
    assert with_library("opt_einsum", source) == ""


def test_torchdiffeq() -> None:
    source = """
import math, torch
from torchdiffeq import odeint
with torch.no_grad():
    y = odeint(lambda t, y: -y, torch.ones(1), torch.tensor([0.0, 1.0]))
print(abs(y[-1].item() - math.exp(-1)) < 1e-5)
"""
    assert with_library("torchdiffeq", source) == "True"
