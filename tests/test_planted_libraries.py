"""What small faults have shown to be untested in the modules that libraries written for PyTorch ask for.

Most lines of the tables are conditions that hold in PyTorch too (in a build for the CPU, outside of scripts and
traces); where rustorch has nothing behind a name, the line says what it answers.
"""

from __future__ import annotations

import builtins
import collections
import hashlib
import importlib
import json
import math
import os
import pickle
import subprocess
import sys
import typing
from collections import OrderedDict, defaultdict, deque, namedtuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import errors, nn
from rustorch.nn.attention import flex_attention as flex
from rustorch.torch_version import TorchVersion
from rustorch.utils import _foreach_utils
from rustorch.utils import _pytree as pt
from rustorch.utils import checkpoint as ck

ROOT = Path(rt.__file__).parent.parent


def run(*arguments: str, cwd: Any = None) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error"},
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


# ---- as_torch ----

INSTALLED = """
import importlib.metadata, importlib.util, sys, types
import rustorch, rustorch.as_torch

class First:  # whoever is asked first
    @staticmethod
    def find_spec(name, path, target=None):
        assert not name.startswith("torch.") or name == "torch.errors", name

sys.meta_path.insert(0, First)
torch = rustorch.as_torch.install()
before = list(sys.meta_path)
assert rustorch.as_torch.install() is torch and sys.meta_path == before and sys.modules["torch"] is torch
import torch.nn.functional, torch._jit_internal, torch._custom_ops, torch.jit.annotations, torch.autograd.grad_mode
import torch.autograd.variable
assert torch._jit_internal is sys.modules["torch._jit_internal"] is rustorch.jit
assert sys.modules["torch.jit.annotations"] is rustorch.jit and sys.modules["torch._custom_ops"] is rustorch.library
assert sys.modules["torch.autograd.grad_mode"] is sys.modules["torch.autograd.variable"] is rustorch.autograd
assert torch.ops is rustorch.library.all_ops is not rustorch.ops and torch.__config__ is rustorch.__config__
assert torch.__path__ == [] and torch.__file__ == rustorch.__file__ and torch.__doc__ == rustorch.__doc__
assert torch.__spec__.name == "torch" and torch.__spec__.submodule_search_locations == []
assert "relu" in torch.__all__ and not {"ops", "Adam", "SGD", "words", "errors"} & {*torch.__all__, *dir(torch)}
assert {"nn", "hub", "relu", "__version__"} <= set(dir(torch)) and dir(torch) == sorted(set(dir(torch)))
assert "hub" not in vars(torch) and torch.hub is rustorch.hub is vars(torch)["hub"]
for name in ("words", "nothing", "__nothing__", "as_torch"):
    try:
        getattr(torch, name)
    except AttributeError as e:
        assert str(e) == f"torch.{name} is not built in rustorch" and e.__suppress_context__ is (name == "nothing")
    else:
        raise AssertionError(name)
for name, wanted in (("torch.compiler.xyz", "torch.compiler.xyz is not built in rustorch"),
                     ("torchx", "No module named 'torchx'"), ("torch.errors", "torch.errors is not built in rustorch")):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as e:
        assert (str(e), e.name) == (wanted, name)
    else:
        raise AssertionError(name)
assert importlib.util.find_spec("torchx") is importlib.util.find_spec("torch.errors") is None
spec = importlib.util.find_spec("torch.utils")
assert spec.name == "torch.utils" and spec.submodule_search_locations is not None
found = importlib.metadata.distribution("torch")
assert found.metadata["Name"] == "torch" and found.read_text("RECORD") is None and found.version == torch.__version__
assert str(found.locate_file("rustorch/__init__.py")) == rustorch.__file__
assert importlib.metadata.distribution("numpy").metadata["Name"] == "numpy"
assert sum(d.metadata["Name"] == "torch" and "rustorch" in d.version for d in importlib.metadata.distributions()) == 1
assert (repr(torch.strided), repr(torch.device("cpu"))) == ("torch.strided", "device(type='cpu')")
import torch.multiprocessing as mp
assert mp is rustorch.multiprocessing

del sys.modules["torch"]
sys.meta_path[:] = [f for f in sys.meta_path if f is not First and type(f).__module__ != "rustorch.as_torch"]
assert not rustorch.as_torch.is_installed()
for place in (None, "/somewhere/torch.py"):
    sys.modules["torch"] = other = types.ModuleType("torch")
    if place:
        other.__file__ = place
    try:
        rustorch.as_torch.install()
    except rustorch.errors.StateError as e:
        assert f"from {place or 'an unknown place'};" in str(e)
    else:
        raise AssertionError(place)
    assert sys.modules["torch"] is other and not rustorch.as_torch.is_installed()
print("done")
"""


def test_torch_that_is_installed() -> None:
    assert run("-c", INSTALLED) == "done\n"


# Runs the command several times in forks of one process, and shows what each has printed.
DRIVER = """
import io, json, os, runpy, sys, warnings
import rustorch.as_torch
for arguments in json.loads(sys.argv[1]):
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.dup2(write, 1)
        os.close(read)
        sys.argv, code = ["as_torch", *arguments], 0
        sys.path[0], sys.path[1:1] = os.getcwd(), ["second"]
        try:
            runpy.run_module("rustorch.as_torch", run_name="__main__", alter_sys=True)
        except SystemExit as e:
            code = e.code
        except BaseException as e:
            code = repr(e)
        print(json.dumps(code), flush=True)
        os._exit(0)
    os.close(write)
    with open(read) as f:
        text = f.read()
    os.waitpid(pid, 0)
    print(json.dumps(text), flush=True)
"""
SHOWN = '''"""A program."""
import json, os, sys
import torch
import beside
print(json.dumps([
    __name__, __file__, __doc__, sys.argv, sys.path[:2], beside.NAME, torch.__name__, __builtins__ is not None,
    type(__loader__).__name__, getattr(__loader__, "name", ""), "__cached__" in globals() and __cached__,
    sys.modules["__main__"].__dict__ is globals(),
]))
'''


def test_programs_find_what_they_would_find_under_python(tmp_path: Path) -> None:
    """The place of the program is searched first, links followed, as `python` does it."""
    for folder in ("code", "links", "folder"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "beside.py").write_text(f"NAME = {folder!r}")
    (tmp_path / "beside.py").write_text("NAME = 'here'")
    (tmp_path / "code" / "p.py").write_text(SHOWN)
    (tmp_path / "module.py").write_text(SHOWN)
    (tmp_path / "folder" / "__main__.py").write_text(SHOWN)
    (tmp_path / "links" / "p.py").symlink_to(tmp_path / "code" / "p.py")
    run("-c", "import py_compile; py_compile.compile('code/p.py', 'code/q.pyc')", cwd=tmp_path)
    run("-m", "zipfile", "-c", "app.zip", "folder/beside.py", "code/p.py", cwd=tmp_path)
    for name in ("app.zip", "app.pyz"):
        run("-c", f"import zipfile; z = zipfile.ZipFile({name!r}, 'w'); "
            "z.write('folder/__main__.py', '__main__.py'); z.write('folder/beside.py', 'beside.py'); z.close()",
            cwd=tmp_path)  # fmt: skip
    calls = [
        ["code/p.py", "-m", "x"], ["links/p.py"], ["code/q.pyc", "--help"], ["-m", "module", "-h"], ["folder", "a"],
        ["app.zip"], ["app.pyz"], ["-h", "x"], ["--help", "x"], ["--help"], [], ["-x", "code/p.py"], ["-m"],
        ["-m", "-x"], ["missing.py"],
    ]  # fmt: skip
    lines = run("-c", DRIVER, json.dumps(calls[:-1]), cwd=tmp_path).splitlines()
    usage = "usage: python -m rustorch.as_torch (PROGRAM | -m MODULE) [ARGUMENTS]"
    got = [json.loads(line).splitlines() for line in lines]
    here = str(tmp_path)

    def shown(i: int) -> Any:
        assert len(got[i]) == 2 and got[i][1] == "0", got[i]
        return json.loads(got[i][0])

    for i, arguments, file, place, beside, loader in (
        (0, ["code/p.py", "-m", "x"], "code/p.py", "/code", "code", "SourceFileLoader"),
        (1, ["links/p.py"], "links/p.py", "/code", "code", "SourceFileLoader"),
        (2, ["code/q.pyc", "--help"], "code/q.pyc", "/code", "code", "SourcelessFileLoader"),
    ):
        rest = ["torch", True, loader, "__main__", None, True]
        wanted = ["__main__", f"{here}/{file}", "A program.", arguments, [here + place, "second"], beside, *rest]
        assert shown(i) == wanted
    for i, file, place, argv, beside in (
        (3, "module.py", "", [f"{here}/module.py", "-h"], "here"),
        (4, "folder/__main__.py", "/folder", ["folder", "a"], "folder"),
        (5, "app.zip/__main__.py", "/app.zip", ["app.zip"], "folder"),
        (6, "app.pyz/__main__.py", "/app.pyz", ["app.pyz"], "folder"),
    ):
        found = shown(i)
        assert found[:8] == [
            "__main__",
            f"{here}/{file}",
            "A program.",
            argv,
            [here + place, "second"],
            beside,
            "torch",
            True,
        ]
        assert found[-1] is True
    for i in (7, 8, 9):
        assert got[i] == [usage, "0"]
    for i in (10, 11, 12, 13):
        assert got[i] == [json.dumps(usage)]


# ---- conditions that hold ----

NAMES = {
    "rt": rt, "nn": nn, "np": np, "errors": errors, "flex": flex, "pt": pt, "ck": ck, "math": math, "typing": typing,
    "jit": rt.jit, "d": rt.distributed, "cuda": rt.cuda, "P": rt.profiler, "lib": rt.library,
    "C": rt._C, "hub": rt.hub, "over": rt.overrides, "V": TorchVersion, "inf": math.inf, "fu": _foreach_utils,
    "builtins": builtins, "OrderedDict": OrderedDict, "defaultdict": defaultdict, "deque": deque, "pickle": pickle,
    "collections": collections, "close": rt.testing.assert_close, "f": lambda x: x + 1, "m": nn.ReLU(),
    "importlib": importlib, "prune": nn.utils.prune, "types": rt.types, "FA": nn.attention, "sys": sys,
    "make": rt.testing.make_tensor, "Pair": namedtuple("Pair", "a b"), "Triple": namedtuple("Triple", "a b"),
}  # fmt: skip

HOLDS = {
    "jit": """
jit.script(m, None, 0, None, None) is m and jit.trace_module(m, {}) is m and jit.script_method(f) is f
jit.script_if_tracing(f) is f and jit._script_if_tracing(f) is f and jit.export(f) is f and jit.interface(f) is f
jit.ignore(f) is f and jit.ignore()(f) is f and jit.ignore(True)(f) is f and jit.ignore(drop=False)(f) is f
jit._overload(f) is f and jit._overload_method(f) is f and jit.Attribute(3, int) == 3 and jit.annotate(int, 4) == 4
jit.is_scripting() is False and jit.is_tracing() is False and jit.onednn_fusion_enabled() is False
jit.optimize_for_inference(m) is m and jit.run_frozen_optimizations(m) is None
jit.set_fusion_strategy([("STATIC", 2)]) == [] and jit.enable_onednn_fusion(True) is None
jit.fork(lambda a, b: a - b, 5, b=3).value() == 2 and jit.fork(f, 1).done() is True and jit.wait(jit.fork(f, 1)) == 2
jit.save.__name__ == jit.save.__qualname__ == "save" and "state_dict" in jit.save.__doc__ and "Raises" in jit.load.__doc__
jit.BroadcastingList2[int] is typing.Any and jit.List is typing.List and jit.Optional is typing.Optional
jit.isinstance({1}, set) and not jit.isinstance([1], set) and jit.isinstance(1, int) and not jit.isinstance("a", int)
jit.isinstance((1, "a"), tuple[int, str]) and not jit.isinstance((1, 2), tuple[int, str])
not jit.isinstance([1, 2], tuple[int, int]) and not jit.isinstance([1], dict[str, int])
not jit.isinstance({1: 2}, dict[str, int]) and jit.isinstance({1: 2}, dict[int, int])
not jit.isinstance({"a": "b"}, dict[str, int]) and not jit.isinstance(((1, 2),), list[int])
not jit.isinstance("a", typing.Union[int, float]) and jit.isinstance(2.0, typing.Union[int, float])
jit.isinstance(None, typing.Union[int, str]) and jit.isinstance(2, int | None) and jit.isinstance([1], list[int] | None)
not jit.isinstance([1], typing.Union[list[str], list[int]]) and not jit.isinstance(1, (str, list[int]))
jit.isinstance([[1], [2]], list[list[int]]) and not jit.isinstance([[1], ["a"]], list[list[int]])
jit.isinstance({1}, typing.Set[int]) is False
""",  # noqa: E501
    "distributed": """
[d.is_available(), d.is_initialized(), d.is_backend_available("gloo"), d.is_torchelastic_launched()] == [False] * 4
[d.is_nccl_available(), d.is_gloo_available(), d.is_mpi_available(), d.is_ucc_available()] == [False] * 4
d.group.WORLD is d.GroupMember.WORLD is None and d.GroupMember.NON_GROUP_MEMBER == -100
[r.name for r in d.ReduceOp] == ["SUM", "AVG", "PRODUCT", "MIN", "MAX", "BAND", "BOR", "BXOR"]
[r.value for r in d.ReduceOp] == list(range(8))
d.all_reduce.__name__ == d.all_reduce.__qualname__ == "all_reduce" and "one process" in d.barrier.__doc__
""",
    "cuda, accelerator, backends": """
[cuda.is_available(), cuda.is_bf16_supported(), cuda.is_initialized(), cuda.is_current_stream_capturing()] == [False] * 4
cuda.device_count() == 0 and cuda.memory_allocated("cuda") == cuda.max_memory_allocated() == cuda.memory_reserved() == 0
cuda.max_memory_reserved() == 0 and cuda.get_rng_state_all() == [] and cuda.default_generators == ()
cuda.manual_seed_all(1) is None and cuda.empty_cache() is None and cuda.synchronize() is None
cuda.reset_peak_memory_stats() is None and cuda.ipc_collect() is None and cuda.set_rng_state_all([]) is None
cuda.manual_seed is rt.manual_seed and sys.modules["rustorch.cuda.amp"] is cuda.amp
cuda.current_stream.__name__ == cuda.current_stream.__qualname__ == "current_stream" and "no GPU" in cuda.stream.__doc__
rt.accelerator.is_available() is False and rt.accelerator.device_count() == 0
rt.accelerator.current_accelerator() is None and rt.accelerator.synchronize() is None
[rt.backends.cudnn.deterministic, rt.backends.cudnn.benchmark, rt.backends.mkl.is_available()] == [False] * 3
rt.backends.cudnn.enabled is True and rt.backends.cudnn.allow_tf32 is True and rt.backends.mps.is_built() is False
rt.backends.cuda.matmul.allow_tf32 is False and rt.backends.cuda.is_built() is False
""",  # noqa: E501
    "compiler, fx, _dynamo, onnx, ao": """
[rt.compiler.is_compiling(), rt.compiler.is_dynamo_compiling(), rt.compiler.is_exporting()] == [False] * 3
rt.compiler.disable(f) is f and rt.compiler.disable(recursive=False)(f) is f and rt.compiler.allow_in_graph(f) is f
rt.compiler.assume_constant_result(f) is f and rt.compiler.nested_compile_region(f) is f
rt.compiler.nested_compile_region()(f) is f and rt.compiler.list_backends() == [] and rt.compiler.reset() is None
rt.compiler.cudagraph_mark_step_begin() is None and rt.compile(f) is f and rt.compile(mode="default")(f) is f
rt.fx.wrap("len") == "len" and rt.onnx.is_in_onnx_export() is False
rt.onnx.register_custom_op_symbolic("a::b", f, 9) is None
importlib.import_module("rustorch.onnx.symbolic_helper").parse_args("v", "i")(f) is f
importlib.import_module("rustorch._dynamo.utils").is_compile_supported("cpu") is False
rt._dynamo.is_compiling is rt.compiler.is_compiling and rt._dynamo.graph_break() is None
rt._dynamo.mark_dynamic(rt.ones(1), 0) is rt._dynamo.mark_static(rt.ones(1)) is rt._dynamo.mark_static_address(1) is None
rt.ao.quantization.QuantStub().forward(7) == rt.ao.quantization.DeQuantStub(None)(7) == 7
rt.ao.quantization.QuantStub("q").qconfig == "q" and not hasattr(rt.ao.quantization.QuantStub(), "qconfig")
""",  # noqa: E501
    "profiler": """
[a.value for a in P.ProfilerActivity] == [0, 1, 2, 3, 4, 5] and [a.value for a in P.ProfilerAction] == [0, 1, 2, 3]
[P.schedule(wait=1, warmup=2, active=2, skip_first=2)(i).value for i in range(12)] == [0, 0, 0, 1, 1, 2, 3, 0, 1, 1, 2, 3]
[P.schedule(wait=0, warmup=0, active=1)(i).value for i in range(3)] == [3, 3, 3]
[P.schedule(wait=0, warmup=1, active=1, repeat=2)(i).value for i in range(6)] == [1, 3, 1, 3, 0, 0]
[P.schedule(wait=2, warmup=0, active=3, repeat=1)(i).value for i in range(7)] == [0, 0, 2, 2, 3, 0, 0]
[P.schedule(wait=2, warmup=0, active=1, skip_first=1, skip_first_wait=1)(i).value for i in range(6)] == [0, 3, 0, 0, 3, 0]
P.record_function("a", "b").name == "a" and P.record_function("a", "b").args == "b" and P.record_function("a").args is None
P.record_function("a")(f)(1) == 2 and P.record_function("a").__enter__().name == "a"
""",  # noqa: E501
    "_C, overrides, _foreach_utils, versions, types": """
C._LinAlgError is errors.InvalidArgumentError and C.TensorBase is rt.Tensor and C._TensorMeta is type(rt.Tensor)
[k.value for k in C.DispatchKey] == [1, 2, 4, 8, 16, 32, 64, 128] and C.DispatchKeySet(C.DispatchKey.CPU) is C.DispatchKey.CPU
C._is_tracing() is C._are_functorch_transforms_active() is C._jit_can_fuse_on_cpu() is False
C._jit_set_profiling_mode(True) is C._jit_set_texpr_fuser_enabled(True) is C._jit_can_fuse_on_gpu() is False
C._get_accelerator() == rt.device("cpu") and C._get_privateuse1_backend_name() == "privateuseone"
C._log_api_usage_once("x") is None and C._get_tracing_state() is None
over.has_torch_function([m]) is over.has_torch_function_unary(m) is over.has_torch_function_variadic(m, m) is False
over.is_tensor_like(rt.ones(1)) and not over.is_tensor_like([1]) and over.is_tensor_like(type("T", (), {"__torch_function__": 1}))
over.is_tensor_method_or_property(rt.Tensor.add) and over.is_tensor_method_or_property(rt.Tensor.is_leaf.fget)
over.is_tensor_method_or_property(rt.Tensor.is_leaf.__get__)
not over.is_tensor_method_or_property(f) and not over.is_tensor_method_or_property(rt.nn.functional.relu)
fu._get_foreach_kernels_supported_devices() == fu._get_fused_kernels_supported_devices() == []
fu._has_foreach_support([rt.ones(1)], rt.device("cpu")) is fu._device_has_foreach_support(rt.device("cpu")) is False
rt.version.debug is False and rt.version.cuda is rt.version.hip is rt.version.xpu is rt.version.git_version is None
types.Storage is rt.UntypedStorage and types._dtype is rt.dtype and types._int is int and types._bool is bool
rt.is_deterministic_algorithms_warn_only_enabled() is False and rt.get_deterministic_debug_mode() == 2
rt.are_deterministic_algorithms_enabled() is True and rt.get_num_interop_threads() == 1
rt.get_float32_matmul_precision() == "highest" and rt.typename(m) == "rustorch.nn.modules.activation.ReLU"
""",  # noqa: E501
    "TorchVersion": """
V("1.2") == "1.2.0" == V("1.2.0.0") and V("1.2") == (1, 2) == V("1.2") and V("1.2") == [1, 2, 0] and not V("1.2") == (1, 3)
V("1.2") != "1.3" and V("1.2") != (1,) and not V("1.2") != "1.2.0" and not V("1.2") == "x" and V("1.2") != "x"
V("1.10") > "1.9" and V("1.9") < (1, 10) and V("2") >= "2.0" and V("2") <= "2.0" and not V("2") < "2.0" and not V("2") > "2.0"
V("2.0.dev1") < V("2.0a1") < V("2.0b1") < V("2.0rc1") < V("2.0") < V("2.0.post1") < V("2.0.1")
V("2.0.alpha1") == "2.0a1" and V("2.0beta2") == "2.0b2" and V("2.0c1") == "2.0rc1" and V("v2.0") == "2.0"
V("2.0a1") < "2.0a2" < V("2.0a10") and V("2.0a") == "2.0a0" and V("2.0-rc.1") == "2.0_rc1" and V(" 2.0") == "2.0"
V("2.0+cpu") > "2.0" and V("2.0+a") < "2.0+b" and V("2.0+cpu") != "2.0" and V("2.0.1") > V("2.0+cpu")
V("1!1.0") > "2.0" and V("2.0.post1.dev2") < "2.0.post1" and V("2.0a1.dev1") < "2.0a1" and V("2.0.dev1") < "2.0a1.dev1"
V("2.0.r1") == "2.0.post1" == V("2.0-1") == V("2.0rev1") and V("2.0pre1") == "2.0rc1" == V("2.0PREVIEW1") and V("2.0.post") == "2.0.post0"
V("2.0.dev") == "2.0.dev0" < V("2.0.dev1") and V("2.0.post1") > V("2.0.post0") > V("2.0") and V("1.0.post2.dev1") > V("1.0.post1")
V("2.0+cpu") < "2.0+2" and V("2.0+2") < "2.0+10" and V("2.0+a.1") == "2.0+A-1" and V("2.0+a") < "2.0+a.1"
V("2.0") < "nonsense" and not V("2.0") > "nonsense" and V("2.0") != "2.0xyz" and V("nonsense") == "nonsense" and V("nonsense") > "2"
V("2.0") != 3 and not V("2.0") == None and V("2.0") < "a" and V("2.0") <= "a" and not V("2.0") >= "a"
V("2.0") + "x" == "2.0x" and {V("2.0"): 1}["2.0"] == 1 and not V("2.1") <= "2.0" and not V("2.0") >= "2.1" and V("0") == "0.0"
""",  # noqa: E501
    "trees": """
[str(k) for k in (pt.SequenceKey(3), pt.MappingKey("a"), pt.MappingKey(2), pt.GetAttrKey("b"))] == ["[3]", "['a']", "[2]", ".b"]
pt.tree_structure([1, (2, {"k": 3})]).num_nodes == 6 and pt.tree_structure([1, (2, {"k": 3})]).num_leaves == 3
pt.tree_structure([1, (2, 3)]).num_children == 2 and pt.tree_structure(1).num_children == 0
pt.tree_structure(1).is_leaf() is True and pt.tree_structure([1]).is_leaf() is False and pt.tree_structure([]).num_leaves == 0
pt.tree_structure([1, (2,)]).child(1) == pt.tree_structure((2,)) and pt.tree_structure([1, 2]).children()[0].is_leaf()
pt.tree_structure([1, 2]).children() is not pt.tree_structure([1, 2]).children_specs
[s := pt.tree_structure([1, 2]), s.children().clear()] and len(s.children()) == 2
pt.tree_structure([1]) != pt.tree_structure((1,)) and pt.tree_structure([1]) != [1] and pt.tree_structure([1]) != pt.tree_structure([1, 2])
pt.tree_structure({"a": 1}) != pt.tree_structure({"b": 1}) and hash(pt.tree_structure([1])) == hash(pt.tree_structure([2]))
hash(pt.tree_structure([1])) != hash(pt.tree_structure((1,))) and len({pt.tree_structure([1]), pt.tree_structure([2])}) == 1
repr(pt.tree_structure({"a": [1]})) == "TreeSpec(dict, ['a'], [TreeSpec(list, None, [*])])"
list(pt.tree_iter({"a": 1, "b": [2]})) == [1, 2] and next(pt.tree_iter([5])) == 5
list(pt.tree_iter([1, [2]], lambda v: v == [2])) == [1, [2]] and pt.tree_structure([1, [2]], lambda v: v == [2]) == pt.tree_structure([1, 2])
pt.tree_flatten([[1], 2], is_leaf=lambda v: v == [1])[0] == [[1], 2]
pt.tree_map(lambda v: v, [[1], 2], is_leaf=lambda v: v == [1]) == [[1], 2]
pt.tree_map(len, [[1], [2, 3]], is_leaf=lambda v: v != [[1], [2, 3]]) == [1, 2]
pt.tree_map(lambda a, b: (a, b), [1, 2], [[3], (4, 5)]) == [(1, [3]), (2, (4, 5))]
pt.tree_map(lambda a, b: a + b, {"a": 1, "b": 2}, {"b": 20, "a": 10}) == {"a": 11, "b": 22}
pt.tree_map(lambda a, b: a + b, {"a": 1}, OrderedDict(a=10)) == {"a": 11}
pt.tree_map(lambda a, b: a + b, OrderedDict(a=1), defaultdict(int, a=10)) == OrderedDict(a=11)
pt.tree_map(lambda a, b: a + b, defaultdict(int, a=1, b=2), {"b": 20, "a": 10}) == {"a": 11, "b": 22}
pt.tree_map(lambda a, b: a + b, Pair(1, 2), Pair(10, 20)) == Pair(11, 22)
pt.tree_map(lambda a, b: a + b, deque([1], 2), deque([10], 5)) == deque([11])
type(pt.tree_map(f, Pair(1, 2))).__name__ == "Pair" and pt.tree_map(f, defaultdict(list, a=1)).default_factory is list
pt.tree_map(f, deque([1, 2], 2)).maxlen == 2 and type(pt.tree_map(f, OrderedDict(a=1))) is OrderedDict
list(pt.tree_map(f, {"b": 1, "a": 2})) == ["b", "a"]
[t := [1, [2]], seen := [], pt.tree_map_(seen.append, t) is t] and seen == [1, 2]
[t := [1, 2], seen := [], pt.tree_map_(lambda *v: seen.append(v), t, [3, 4])] and seen == [(1, 3), (2, 4)]
[t := [1, [2]], seen := [], pt.tree_map_(seen.append, t, is_leaf=lambda v: v == [2])] and seen == [1, [2]]
pt.tree_map_only(int, f, [1, "a", 2.0]) == [2, "a", 2.0] and pt.tree_map_only((int, float), f, [1, "a", 2.0]) == [2, "a", 3.0]
pt.tree_map_only(lambda v: v == 1, f, [1, 2]) == [2, 2]
pt.tree_map_only(list, len, [1, [2, 3]], is_leaf=lambda v: v == [2, 3]) == [1, 2]
pt.tree_all(bool, [1, [2]]) and not pt.tree_all(bool, [1, [0]]) and pt.tree_any(bool, [0, [1]]) and not pt.tree_any(bool, [0])
pt.tree_all(lambda v: v == [2], [[2]], is_leaf=lambda v: v == [2]) and pt.tree_any(lambda v: v == [2], [[2]], lambda v: v == [2])
not pt.tree_all(lambda v: v == [2], [[2]]) and not pt.tree_any(lambda v: v == [2], [[2]])
pt.tree_flatten_with_path([5, [6]], lambda v: v == [6]) == ([((pt.SequenceKey(0),), 5), ((pt.SequenceKey(1),), [6])], pt.tree_structure([1, 2]))
pt.tree_flatten_with_path([1, [2]])[1] == pt.tree_structure([1, [2]])
[p for p, _ in pt.tree_flatten_with_path({"k": deque([1])})[0]] == [(pt.MappingKey("k"), pt.SequenceKey(0))]
[pt.keystr(p) for p, _ in pt.tree_flatten_with_path(OrderedDict(a=defaultdict(int, b=1)))[0]] == ["['a']['b']"]
[pt.keystr(p) for p, _ in pt.tree_flatten_with_path((1, Pair(2, 3)))[0]] == ["[0]", "[1].a", "[1].b"]
pt.tree_map_with_path(lambda p, v: (pt.keystr(p), v), {"a": [1]}) == {"a": [("['a'][0]", 1)]}
pt.tree_map_with_path(lambda p, v, w: (pt.keystr(p), v, w), [1, 2], [3, 4]) == [("[0]", 1, 3), ("[1]", 2, 4)]
pt.tree_map_with_path(lambda p, v: (len(p), v), [[1], 2], is_leaf=lambda v: v == [1]) == [(1, [1]), (1, 2)]
pt.tree_unflatten(iter([1, 2]), pt.tree_structure((0, [0]))) == (1, [2])
pt.tree_structure([1, (2, 3)]).flatten_up_to([[7], (8, {9: 9})]) == [[7], 8, {9: 9}]
pt.treespec_loads(pt.treespec_dumps(pt.tree_structure(7))).is_leaf()
pt.treespec_loads(pt.treespec_dumps(pt.tree_structure(OrderedDict(a=[1, 2])))) == pt.tree_structure(OrderedDict(a=[1, 2]))
pt.tree_leaves(3) == [3] and pt.tree_leaves([]) == [] and pt.tree_leaves(None) == [None] and pt.tree_leaves("ab") == ["ab"]
""",  # noqa: E501
    "flex_attention, attention": """
flex.create_mask(flex.noop_mask, None, None, 2, 3).tolist() == [[[[True] * 3] * 2]]
flex.create_mask(lambda b, h, q, k: q >= k, 1, 1, 2, 3).tolist() == [[[[True, False, False], [True, True, False]]]]
flex.create_mask(lambda b, h, q, k: (b + h).bool(), 2, 2, 1, 1).flatten().tolist() == [False, True, True, True]
flex.create_mask(lambda b, h, q, k: q == k, 2, 3, 4, 5).shape == (2, 3, 4, 5)
flex.create_mask(lambda b, h, q, k: q == k, 2, 3, 4, 5, device="meta").is_meta
flex.create_mask(flex.and_masks(lambda b, h, q, k: q >= k, lambda b, h, q, k: k > 0), None, None, 3, 3).sum() == 3
flex.create_mask(flex.and_masks(lambda b, h, q, k: q >= k, lambda b, h, q, k: q + k < 3), None, None, 3, 3).int().tolist()[0][0] == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]
flex.create_mask(flex.or_masks(lambda b, h, q, k: q > k, lambda b, h, q, k: k == 2), None, None, 3, 3).int().tolist()[0][0] == [[0, 0, 1], [1, 0, 1], [1, 1, 1]]
flex.and_masks()(rt.arange(2), 0, 0, 0).item() is True and flex.or_masks()(rt.arange(2), 0, 0, 0).item() is False
flex.noop_mask(rt.arange(2), 0, 0, 0).dtype is rt.bool and flex.noop_mask(rt.arange(2), 0, 0, 0).shape == ()
flex.AuxRequest() == (False, False) and flex.AuxOutput() == (None, None) and flex._DEFAULT_SPARSE_BLOCK_SIZE == 128
[b.value for b in FA.SDPBackend] == [-1, 0, 1, 2, 3, 4] and FA.SDPBackend.MATH == 0
""",  # noqa: E501
    "parallel": """
list(nn.DataParallel(nn.Linear(2, 3)).state_dict()) == ["module.weight", "module.bias"]
nn.DataParallel(nn.Bilinear(2, 2, 1))(rt.ones(1, 2), input2=rt.ones(1, 2)).shape == (1, 1)
nn.parallel.data_parallel(f, 3) == 4 and nn.parallel.data_parallel(lambda a, b: a - b, (5, 3)) == 2
nn.parallel.data_parallel(lambda a, b: a - b, 5, module_kwargs={"b": 1}) == 4
nn.utils.skip_init(nn.Linear, 2, 3).weight.device == rt.device("cpu")
nn.utils.skip_init(nn.Linear, 2, 3, device="meta").weight.is_meta and nn.utils.skip_init(nn.Linear, 2, 3, False).bias is None
nn.utils.skip_init(nn.Linear, in_features=2, out_features=3, dtype=rt.float64).weight.dtype is rt.float64
""",  # noqa: E501
    "checks": """
rt._check_is_size(0) is rt._check_is_size(3, max=3) is None and rt._check_with(KeyError, 1) is None
rt._check_tensor_all(rt.tensor([True, True])) is None and rt._assert_async(rt.tensor(2)) is None
[rt.sym_max(1, 2), rt.sym_max(2, 1.0), rt.sym_max(1.0, 2), rt.sym_min(1, 2), rt.sym_min(1, 2.0), rt.sym_min(2.0, 1)] == [2, 2.0, 2.0, 1, 1.0, 1.0]
[type(v) for v in (rt.sym_max(1, 2), rt.sym_max(2, 1.0), rt.sym_max(1.0, 2))] == [int, float, float]
[type(v) for v in (rt.sym_min(1, 2), rt.sym_min(1, 2.0), rt.sym_min(2.0, 1), rt.sym_float(2), rt.sym_int(2.9))] == [int, float, float, float, int]
rt.sym_sqrt(9) == 3.0 and rt.sym_not(True) is False and rt.sym_not(0) is True and rt.sym_float("2.5") == 2.5
""",  # noqa: E501
    "hub": """
hub.HASH_REGEX.search("resnet18-f37072fd.pth")[1] == "f37072fd" and hub.HASH_REGEX.search("resnet18.pth") is None
list(hub._Quiet([1, 2])) == [1, 2] and list(hub._Quiet()) == []
[q := hub._Quiet([1], total=3), q.update(), q.update(5)] and q.n == 6 and q.__enter__() is q and q.close() is None
""",
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:The inner type")
@pytest.mark.parametrize("about", HOLDS)
def test_what_holds(about: str) -> None:
    for line in HOLDS[about].strip().splitlines():
        assert eval(line, dict(NAMES)), line


# ---- what is refused ----

REFUSED = """
! RuntimeError: must be a type or a tuple
jit.isinstance(1, [int])
jit.isinstance(1, {int: int})
jit.isinstance(1, "int")
! RuntimeError: without contained types
jit.isinstance([1], typing.List)
jit.isinstance({}, dict)
jit.isinstance((1,), typing.Tuple)
jit.isinstance([[1]], list[typing.List])
jit.isinstance(None, typing.Optional)
! UnsupportedError: jit.ScriptModule: nothing is compiled
jit.ScriptModule()
! UnsupportedError: jit.RecursiveScriptModule
jit.RecursiveScriptModule(1)
! UnsupportedError: jit.ScriptFunction
jit.ScriptFunction()
! UnsupportedError: jit.save
jit.save(m, "x")
! AttributeError: jit.nothing is not built
jit.nothing
! UnsupportedError: distributed.ProcessGroup
d.ProcessGroup()
! UnsupportedError: distributed.TCPStore
d.TCPStore("a", 1)
! UnsupportedError: distributed.init_process_group
d.init_process_group("gloo")
! ValueError: Default process group has not been initialized
d.get_world_size()
d.get_backend(None)
! UnsupportedError: fx.GraphModule
rt.fx.GraphModule(m, 1)
! UnsupportedError: fx.Transformer
rt.fx.Transformer(m)
! UnsupportedError: fx.symbolic_trace: .*ReLU
rt.fx.symbolic_trace(m)
! TypeError: fx.wrap: wanted a function or its name, got int
rt.fx.wrap(3)
! UnsupportedError: OptimizedModule
rt._dynamo.OptimizedModule(m)
! AttributeError: onnx.symbolic_opset11.add
importlib.import_module("rustorch.onnx.symbolic_opset11").add
! AttributeError: onnx.symbolic_opset9.add
importlib.import_module("rustorch.onnx.symbolic_opset9").add
! AttributeError: ao.quantization.prepare
rt.ao.quantization.prepare
! AttributeError: _C.nothing
C.nothing
! UnsupportedError: PyTorchFileReader
rt.PyTorchFileReader("x")
! UnsupportedError: profiler.profile
P.profile()
! ValueError: must not be negative
P.schedule(wait=-1, warmup=0, active=1)
P.schedule(wait=0, warmup=-1, active=1)
P.schedule(wait=0, warmup=0, active=1, repeat=-1)
P.schedule(wait=0, warmup=0, active=1, skip_first=-1)
P.schedule(wait=0, warmup=0, active=0)
! UnsupportedError: cuda.set_device: .*'cuda:1'
cuda.set_device("cuda:1")
! UnsupportedError: cuda.current_device
cuda.current_device()
! UnsupportedError: cuda.get_device_name
cuda.get_device_name(0)
! UnsupportedError: cuda.current_stream
cuda.current_stream()
! UnsupportedError: cuda.Event
cuda.Event(enable_timing=True)
! UnsupportedError: cuda.device
cuda.device(0)
! UnsupportedError: flex_attention is not built
flex.flex_attention(1, 2, 3)
! UnsupportedError: create_block_mask
flex.create_block_mask(f, 1, 1, 2, 2)
! UnsupportedError: BlockMask
flex.BlockMask()
! UnsupportedError: sdpa_kernel
FA.sdpa_kernel([FA.SDPBackend.FLASH_ATTENTION]).__enter__()
! UnsupportedError: DistributedDataParallel
nn.parallel.DistributedDataParallel(m)
! RuntimeError: Module must support a 'device' arg
nn.utils.skip_init(nn.ReLU)
! ValueError: already registered
pt.register_pytree_node(list, lambda v: (v, None), lambda v, c: v)
! ValueError: wanted 2 leaves, got 3
pt.tree_structure([1, 2]).unflatten([1, 2, 3])
! ValueError: Type mismatch
pt.tree_map(lambda a, b: a, [1], (1,))
pt.tree_map(lambda a, b: a, [1], 1)
pt.tree_map(lambda a, b: a, (1, 2), Pair(1, 2))
pt.tree_map(lambda a, b: a, Pair(1, 2), (1, 2))
pt.tree_map(lambda a, b: a, {"a": 1}, [1])
pt.tree_map(lambda a, b: a, [1], {"a": 1})
! ValueError: Node arity mismatch: wanted 2, got 3
pt.tree_map(lambda a, b: a, [1, 2], [1, 2, 3])
pt.tree_map_(lambda a, b: a, [1, 2], [1, 2, 3])
pt.tree_map_with_path(lambda p, a, b: a, [1, 2], [1, 2, 3])
! ValueError: Node keys mismatch
pt.tree_map(lambda a, b: a, {"a": 1}, {"b": 1})
pt.tree_map(lambda a, b: a, defaultdict(int, a=1), OrderedDict(b=1))
! ValueError: Node context mismatch
pt.tree_map(lambda a, b: a, Pair(1, 2), Triple(1, 2))
! TypeError: tree_map_only
pt.tree_map_only(int, f)
! AssertionError: my words
rt._assert(0, "my words")
! RuntimeError: Expected cond to be True
rt._check(False)
! NotImplementedError: my words
rt._check_not_implemented(False, lambda: "my words")
! RuntimeError: Expected cond
rt._check_is_size(-1)
rt._check_is_size(4, max=3)
! RuntimeError: single nonzero value
rt._assert_async(rt.tensor(0.0))
! RuntimeError: my words
rt._assert_async(rt.tensor(0.0), "my words")
rt._check_tensor_all(rt.tensor([True, False]), lambda: "my words")
rt._check_is_size(-1, lambda: "my words")
! TypeError: SymInt: sizes are plain
rt.SymInt(3)
! ValueError: wanted a name such as 'mylib::op', got 'op'
lib.custom_op("op", f)
lib.define("op", "() -> Tensor")
! TypeError: impl: wanted the name of an op and types of devices
lib.impl("planted::x")
lib.impl("planted::x", "cpu", f, tags=1)
! UnsupportedError: exp of PyTorch itself
lib.Library("aten", "IMPL").impl("exp", f)
lib.Library("aten", "IMPL").impl("aten::exp", f, "CPU")
! UnsupportedError: dispatch key 'Autograd'
lib.Library("planted", "DEF", "Autograd").impl("x", f)
! AttributeError: torch.ops.aten.nothing is not built
lib.all_ops.aten.nothing
! AttributeError: torch.ops.planted has no op 'nothing'
lib.all_ops.planted.nothing
! AttributeError: __wrapped__
lib.all_ops.__wrapped__
! OSError: x.so is compiled for PyTorch
lib.all_ops.load_library("x.so")
! UnsupportedError: hub.list: only directories
hub.list("a/b")
! UnsupportedError: hub.help
hub.help("a/b", "c", source="github")
! AttributeError: has no attribute 'nothing'
hub.nothing
! InvalidArgumentError: parts have to be taken of a tensor
rt.ones(3).storage()[0:2]
! UnsupportedError: UntypedStorage.resize_: it has 12 bytes
rt.ones(3).untyped_storage().resize_(13)
rt.ones(3).untyped_storage().resize_(11)
! ValueError: rtol and atol must both
close(1, 1, rtol=0.1)
close(1, 1, atol=0.1)
! ValueError: make_tensor: low must be less than high, got 3 and 3
make(2, dtype=rt.float32, low=3, high=3)
! ValueError: make_tensor: low must be less than high, got 10 and 9
make(2, dtype=rt.float32, low=10)
! TypeError: No comparison pair
close(rt.ones(1), "a")
close("a", rt.ones(1))
close(nn.Parameter(rt.ones(1)), rt.ones(1), allow_subclasses=False)
"""  # fmt: skip


def cases() -> list[Any]:
    found, error = [], ""
    for line in REFUSED.strip().splitlines():
        if line.startswith("! "):
            error = line[2:]
        else:
            found.append(pytest.param(*error.split(": ", 1), line, id=line))
    return found


@pytest.mark.parametrize(("error", "text", "line"), cases())
def test_what_is_refused(error: str, text: str, line: str) -> None:
    kind = getattr(errors, error, None) or getattr(builtins, error)
    with pytest.raises(kind, match=text):
        eval(line, dict(NAMES))


# ---- ops of programs ----


def test_functions_of_ops_by_device() -> None:
    lib, ops = rt.library, rt.library.all_ops.planted
    x = rt.ones(2)

    @lib.custom_op("planted::one(Tensor x)".partition("(")[0], mutates_args=(), device_types="cpu")
    def one(x: Any) -> Any:
        return x + 1

    assert ops.one is one is one.default and one(x).tolist() == [2.0, 2.0] and one.__name__ == one._name == "one"
    assert repr(one) == "<CustomOpDef(planted::one)>" and lib.custom_op("planted::one.default", one._fn) is one

    def plain(x: Any) -> Any:
        return x * 7

    def minus(x: Any) -> Any:
        return -x

    def size(x: Any) -> Any:
        return x.abs()

    def alike(x: Any) -> Any:
        return rt.empty_like(x)

    assert one.register_kernel("cuda", plain) is plain and one(x)[0] == 2
    assert one.register_kernel(["cuda", "CPU"])(plain) is plain and one(x)[0] == 7
    assert one.register_kernel(None, minus) is minus and one(x)[0] == -1
    assert lib.register_kernel("planted::one", None, plain) is plain and one(x)[0] == 7
    assert lib.register_kernel(one, "cpu")(size) is size and one(x)[0] == 1
    assert lib.register_kernel(one, "cuda", plain) is plain and one(x)[0] == 1
    assert lib.impl(one, "default", plain) is plain and one(x)[0] == 7
    assert lib.impl("planted::one", "cpu")(minus) is minus and one(x)[0] == -1
    meta = rt.ones(2, device="meta")
    assert one(meta).shape == (2,)
    assert one.register_fake(lambda x: x.new_empty(5)) and one(meta).shape == (5,) and one(x).shape == (2,)
    assert lib.register_fake(one, alike) is alike and one(meta).shape == (2,)

    def three(x: Any) -> Any:
        return x.new_empty(3)

    assert lib.register_fake("planted::one")(three) is three and one(meta).shape == (3,)
    assert one.register_abstract(alike) and one(meta).shape == (2,) and lib.impl_abstract is lib.register_fake

    ns = lib.Library("planted", "DEF")
    assert (ns.ns, ns.kind, ns.dispatch_key) == ("planted", "DEF", "")
    assert ns.define("two(Tensor x, float y=2.0) -> Tensor") == "two"
    lib.define("planted::three", "(Tensor x) -> Tensor")
    with pytest.raises(errors.StateError, match="planted::three: the op has been declared"):
        ops.three(x)
    for key in ("", "CPU", "CompositeExplicitAutograd", "CompositeImplicitAutograd"):
        ns.impl("planted::two", lambda x, y=2.0, key=key: x * y + len(key), key)
        assert ops.two(x)[0] == 2 + len(key) and ops.two(x, 3)[0] == ops.two(x, y=3)[0] == 3 + len(key)
    for key in ("CUDA", "XLA", "PrivateUse1"):
        ns.impl("two", minus, key)
        assert ops.two(x)[0] > 0
    ns.impl(ops.two, minus)
    assert ops.two(x)[0] == -1
    lib.Library("planted", "IMPL", "Meta").impl("two", lambda x: x.new_empty(4))
    assert ops.two(meta).shape == (4,) and ops.two(x).shape == (2,)
    lib.Library("planted", "IMPL", "Meta").impl("two", size, "CPU")
    assert ops.two(x)[0] == 1 and ops.two(meta).shape == (4,)
    ns._register_fake("two", lambda x: x.new_empty(6))
    assert ops.two(meta).shape == (6,)
    for arguments, options in (((ns, "two", "CUDA"), {}), ((ns, "two"), {"dispatch_key": "XLA"})):
        assert lib.impl(*arguments, **options)(minus) is minus and ops.two(x)[0] == 1
    assert lib.impl(ns, "two")(minus) is minus and ops.two(x)[0] == -1
    assert lib.impl(ns, name="two", dispatch_key="CPU")(size) is size and ops.two(x)[0] == 1
    only_fake = lib.custom_op("planted::fake", None, mutates_args=())
    assert callable(only_fake)
    assert lib.all_ops.aten.relu is rt.relu and lib.all_ops.aten.tensor is rt.tensor
    assert lib.all_ops.planted is lib.all_ops.planted and lib.all_ops.planted.__name__ == "torch.ops.planted"


def test_derivatives_of_ops() -> None:
    lib = rt.library
    x = rt.tensor([1.0, 2.0], requires_grad=True)

    def twice(x: Any, k: float = 2.0) -> Any:
        return x * k

    op = lib.custom_op("planted::twice", twice)
    lib.register_autograd("planted::twice", lambda ctx, g: (g * 10, None))
    op(x).sum().backward()
    assert x.grad.tolist() == [10.0, 10.0]
    seen = []

    def setup(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.k = inputs[1]
        seen.append((len(inputs), output.tolist()))

    lib.register_autograd(op, lambda ctx, g: (g * ctx.k, None), setup_context=setup)
    (g,) = rt.autograd.grad(op(x, k=3.0).sum(), x)
    assert g.tolist() == [3.0, 3.0] and seen == [(2, [3.0, 6.0])]
    # What is not recorded does not prepare for backward, and gives what asks for no gradient.
    assert op(x.detach()).tolist() == [2.0, 4.0] and len(seen) == 1
    with rt.no_grad():
        assert not op(x).requires_grad and len(seen) == 1
    # The derivative is a program that is recorded, so there is a second one.
    op.register_autograd(
        lambda ctx, g: (g * ctx.x * 2, None), setup_context=lambda ctx, inputs, output: setattr(ctx, "x", inputs[0])
    )
    (g,) = rt.autograd.grad(op(x).sum(), x, create_graph=True)
    assert rt.autograd.grad(g.sum(), x)[0].tolist() == [2.0, 2.0]
    op.register_autograd(lambda ctx, g: g)
    with pytest.raises(errors.AutogradError, match="planted::twice: backward gave 1 gradients for 2 arguments"):
        op(x).sum().backward()
    # Without a derivative, an op that `custom_op` made has none; one of a Library is made of what its function calls.
    alone = lib.custom_op("planted::alone", lambda x: x * 2)
    with pytest.raises(errors.AutogradError, match=r"through planted::alone but no autograd formula"):
        alone(x).sum().backward()
    ns = lib.Library("planted", "DEF")
    ns.define("square(Tensor x) -> Tensor")
    ns.impl("square", lambda x: x * x)
    assert rt.autograd.grad(lib.all_ops.planted.square(x).sum(), x)[0].tolist() == [2.0, 4.0]
    # Lists of tensors: their gradients are lists, or None for all.
    join = lib.custom_op("planted::join", lambda ts, y: ts[0] * 2 + ts[1] * 3 + y)
    needs = []
    join.register_autograd(
        lambda ctx, g: ([g * 2, g * 3], g), setup_context=lambda ctx, inputs, output: needs.append(ctx.needs_input_grad)
    )
    a, b, c = (rt.ones(2, requires_grad=wanted) for wanted in (True, False, True))
    join([a, b], c).sum().backward()
    assert (a.grad.tolist(), b.grad, c.grad.tolist()) == ([2.0, 2.0], None, [1.0, 1.0])
    assert needs == [([True, False], True)]
    join.register_autograd(lambda ctx, g: (None, g * 5))
    a.grad = c.grad = None
    join((a, b), c).sum().backward()
    assert a.grad is None and c.grad.tolist() == [5.0, 5.0]


# ---- hub ----


def test_files_from_the_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = rt.hub
    rt.save({"w": rt.ones(2)}, tmp_path / "w.safetensors")
    data = (tmp_path / "w.safetensors").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    monkeypatch.setattr(hub, "_dir", None)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for names, wanted in (
        ({}, "home/.cache/torch/hub"),
        ({"XDG_CACHE_HOME": str(tmp_path / "cache")}, "cache/torch/hub"),
        ({"TORCH_HOME": "~/mine"}, "home/mine/hub"),
    ):
        for name in ("XDG_CACHE_HOME", "TORCH_HOME"):
            monkeypatch.delenv(name, raising=False)
        for name, value in names.items():
            monkeypatch.setenv(name, value)
        assert hub.get_dir() == str(tmp_path / wanted)
    hub.set_dir("~/set")
    assert hub.get_dir() == str(tmp_path / "home" / "set")
    right, wrong = f"w-{digest[:8]}.safetensors", "w-00000000.safetensors"
    for name in (right, wrong):
        (tmp_path / name).write_bytes(data)
    url, bad = ((tmp_path / name).as_uri() for name in (right, wrong))
    kept = tmp_path / "home" / "set" / "checkpoints"
    assert hub.load_state_dict_from_url(url, check_hash=True)["w"].tolist() == [1.0, 1.0]
    assert hub.load_state_dict_from_url(url + "?download=1", progress=False)["w"].tolist() == [1.0, 1.0]
    with pytest.raises(RuntimeError, match='expected "00000000", got'):
        hub.load_state_dict_from_url(bad, check_hash=True)
    assert [p.name for p in kept.iterdir()] == [right]
    assert hub.load_state_dict_from_url(bad)["w"].tolist() == [1.0, 1.0] and len(list(kept.iterdir())) == 2
    # What is there already is not fetched again.
    (tmp_path / wrong).unlink()
    assert hub.load_state_dict_from_url(bad, check_hash=True, map_location="cpu")["w"].tolist() == [1.0, 1.0]
    with pytest.raises(errors.UnsupportedError, match="runs on the CPU"):
        hub.load_state_dict_from_url(bad, map_location="cuda")
    hub.load_state_dict_from_url(url, str(tmp_path / "other"), file_name="x.safetensors", check_hash=True)
    hub.load_state_dict_from_url(url, str(tmp_path / "other"), file_name="x.safetensors")
    assert [p.name for p in (tmp_path / "other").iterdir()] == ["x.safetensors"]
    with pytest.raises(OSError):
        hub.load_state_dict_from_url(bad, str(tmp_path / "other"))
    assert len(list((tmp_path / "other").iterdir())) == 1
    hub.download_url_to_file(url, "~/set/copy", digest)
    assert (tmp_path / "home" / "set" / "copy").read_bytes() == data
    monkeypatch.setitem(sys.modules, "tqdm.auto", None)
    assert hub.tqdm is hub._Quiet


def test_directories_of_models(tmp_path: Path) -> None:
    hub, here = rt.hub, str(tmp_path)
    (tmp_path / "beside.py").write_text("N = 4")
    (tmp_path / "hubconf.py").write_text(
        'from beside import N\nNUMBER = 3\ndef model(a, *, b=N):\n    "Adds."\n    return a + b\ndef _own(): pass\n'
    )
    before = list(sys.path)
    try:
        assert hub.load(here, "model", 1, source="local") == 5 and hub.load(here, "model", 1, source="local", b=2) == 3
        assert hub.list(here, source="local") == ["model"] and hub.help(here, "model", source="local") == "Adds."
        for name in ("NUMBER", "nothing"):
            with pytest.raises(RuntimeError, match=f"Cannot find callable {name} in hubconf"):
                hub.load(here, name, source="local")
        (tmp_path / "hubconf.py").write_text("import sys; assert sys.path[0].endswith('none')")
        with pytest.raises(AssertionError):
            hub.list(here, source="local")
        assert sys.path == before
    finally:
        sys.modules.pop("beside", None)


# ---- storages ----


def test_bytes_of_storages(tmp_path: Path) -> None:
    S = rt.UntypedStorage
    t = rt.arange(6, dtype=rt.int16)
    s = t[2:].untyped_storage()
    assert len(s) == s.size() == s.nbytes() == 12 and s.element_size() == 1 and s.is_cuda is s.is_shared() is False
    assert s.device == rt.device("cpu") and s.untyped() is s.cpu() is s.resize_(12) is s
    assert sys.getsizeof(s) - object.__sizeof__(s) >= 12 and list(s) == s.tolist() == [
        0,
        0,
        1,
        0,
        2,
        0,
        3,
        0,
        4,
        0,
        5,
        0,
    ]
    part = s[2:4]
    assert type(part) is S and part.fill_(1) is part and t.tolist() == [0, 257, 2, 3, 4, 5] and s[2] == 1
    assert type(s[2]) is int and s[-2] == 5
    s[0:2] = rt.tensor([9, 0], dtype=rt.uint8)
    assert t[0] == 9 and np.asarray(s).tolist() == s.tolist() and np.array(s, dtype=np.int64).dtype == np.int64
    assert np.shares_memory(np.asarray(s), t.numpy()) and s.__array_interface__["shape"] == (12,)
    assert repr(S([1, 2])) == " 1\n 2\n[rustorch.storage.UntypedStorage(device=cpu) of size 2]"
    assert len(S()) == len(S(0)) == len(S([])) == 0 and len(S(5)) == 5 and S(b"ab").tolist() == [97, 98]
    assert len(S(5, device="cpu")) == 5 and S(5, device="meta").device == rt.device("meta")
    copied = s.clone()
    assert copied.tolist() == s.tolist() and copied.data_ptr() != s.data_ptr() and type(copied) is S
    assert s.copy_(S(12).fill_(0), False) is s and t.sum() == 0
    typed = rt.tensor([1.5, 2.5])[1:].storage()
    assert len(typed) == typed.size() == 2 and typed.nbytes() == 8 and typed.element_size() == 4
    assert typed.dtype is rt.float32 and typed.tolist() == list(typed) == [1.5, 2.5] and typed[1] == 2.5
    assert typed.is_cuda is typed.is_shared() is False and typed.device == rt.device("cpu")
    assert typed.data_ptr() == typed.untyped().data_ptr() and sys.getsizeof(typed) - object.__sizeof__(typed) >= 8
    typed[0] = 7.0
    assert (
        typed.tolist() == [7.0, 2.5]
        and type(typed[0]) is float
        and S(8).copy_(typed).tolist() == typed.untyped().tolist()
    )
    f = tmp_path / "bytes"
    f.write_bytes(bytes(range(8)))
    assert len(S.from_file(str(f))) == len(S.from_file(str(f), True)) == 0 and f.stat().st_size == 8
    assert S.from_file(str(f), False, 8).tolist() == S.from_file(str(f), True, 8).tolist() == list(range(8))
    assert S.from_file(str(f), nbytes=3).tolist() == [0, 1, 2] and f.stat().st_size == 8
    with pytest.raises(errors.InvalidArgumentError, match=r"has 8 bytes, wanted 9"):
        S.from_file(str(f), False, 9)
    assert S.from_file(str(f), True, 4).tolist() == [0, 1, 2, 3] and f.stat().st_size == 8


# ---- lists of tensors ----

LISTS = """
[t.tolist() for t in rt._foreach_add(A(), 1)] == [[2, 3], [4]] and type(rt._foreach_add(A(), 1)) is tuple
[t.tolist() for t in rt._foreach_sub(A(), B(), alpha=2)] == [[-19, -38], [-57]]
[t.tolist() for t in rt._foreach_mul(A(), rt.tensor(3.0))] == [[3, 6], [9]]
[t.tolist() for t in rt._foreach_div(B(), [2.0, 3.0])] == [[5, 10], [10]]
[t.tolist() for t in rt._foreach_pow(A(), 2)] == [[1, 4], [9]] and [t.tolist() for t in rt._foreach_pow(2.0, A())] == [[2, 4], [8]]
[t.tolist() for t in rt._foreach_clamp_min(A(), 2.0)] == [[2, 2], [3]] == [t.tolist() for t in rt._foreach_maximum(A(), 2.0)]
[t.tolist() for t in rt._foreach_clamp_max(A(), 1.5)] == [[1, 1.5], [1.5]] == [t.tolist() for t in rt._foreach_minimum(A(), 1.5)]
[t.tolist() for t in rt._foreach_maximum(A(), [rt.tensor([0.0, 5.0]), rt.tensor([4.0])])] == [[1, 5], [4]]
[a := A(), rt._foreach_maximum_(a, 2.0)][1] is None and a[0].tolist() == [2, 2]
[a := A(), rt._foreach_clamp_max_(a, 2.0)][1] is None and a[1].tolist() == [2]
[a := A(), rt._foreach_sub_(a, B(), alpha=0.1)][1] is None and a[1].tolist() == [0]
[a := A(), rt._foreach_pow_(a, [3.0, 2.0])][1] is None and [t.tolist() for t in a] == [[1, 8], [9]]
[a := A(), rt._foreach_neg_(a)][1] is None and [t.tolist() for t in a] == [[-1, -2], [-3]]
type(rt._foreach_neg(A())) is tuple and [t.tolist() for t in rt._foreach_neg(A())] == [[-1, -2], [-3]]
[t.tolist() for t in rt._foreach_addcmul(A(), A(), B())] == [[11, 42], [93]]
[t.tolist() for t in rt._foreach_addcmul(A(), A(), B(), 2)] == [[21, 82], [183]]
[t.tolist() for t in rt._foreach_addcdiv(A(), B(), A(), rt.tensor([1.0, 2.0]))] == [[11, 12], [23]]
[t.tolist() for t in rt._foreach_addcdiv(A(), B(), A(), rt.tensor(2.0))] == [[21, 22], [23]]
[t.tolist() for t in rt._foreach_addcdiv(A(), B(), A(), 5, scalars=(1.0, 2.0))] == [[11, 12], [23]]
[a := A(), rt._foreach_addcdiv_(a, B(), A())][1] is None and [t.tolist() for t in a] == [[11, 12], [13]]
[t.tolist() for t in rt._foreach_lerp(A(), B(), 0.5)] == [[5.5, 11], [16.5]]
[t.tolist() for t in rt._foreach_lerp(A(), B(), [rt.tensor([0.0, 1.0]), rt.tensor(1.0)])] == [[1, 20], [30]]
[a := A(), rt._foreach_lerp_(a, B(), 1.0)][1] is None and [t.tolist() for t in a] == [[10, 20], [30]]
[a := A(), rt._foreach_zero_(a)] and [t.tolist() for t in a] == [[0, 0], [0]]
[a := A(), rt._foreach_copy_(a, B())] and [t.tolist() for t in a] == [[10, 20], [30]]
[n.item() for n in rt._foreach_norm([rt.tensor([3.0, -4.0]), rt.tensor([[2.0]])])] == [5, 2]
[n.item() for n in rt._foreach_norm([rt.tensor([3.0, -4.0])], 1)] == [7] and rt._foreach_norm(A(), ord=1, dtype=rt.float64)[0].dtype is rt.float64
[n.item() for n in rt._foreach_max(A())] == [2, 3] and type(rt._foreach_max(A())) is type(rt._foreach_norm(A())) is tuple
rt._foreach_add_.__name__ == rt._foreach_add_.__qualname__ == "_foreach_add_" and rt._foreach_lerp.__name__ == "_foreach_lerp"
rt._foreach_exp.__doc__ == "`exp` of each tensor." and rt._foreach_exp_.__doc__ == "`exp` of each tensor, in place."
not hasattr(rt, "_foreach_nothing") and rt._foreach_addcmul_.__name__ == "_foreach_addcmul_"
[g[1] for g in fu._group_tensors_by_device_and_dtype([A()]).values()] == [[]]
[g[0] for g in fu._group_tensors_by_device_and_dtype([A(), [7, None]]).values()][0][1] == [7, None]
"""  # noqa: E501


@pytest.mark.parametrize("line", LISTS.strip().splitlines())
def test_one_op_on_lists(line: str) -> None:
    def A() -> Any:
        return [rt.tensor([1.0, 2.0]), rt.tensor([3.0])]

    def B() -> Any:
        return [rt.tensor([10.0, 20.0]), rt.tensor([30.0])]

    assert eval(line, {**NAMES, "A": A, "B": B})


def test_lists_that_do_not_fit() -> None:
    a, b = [rt.ones(1)], [rt.ones(1), rt.ones(1)]
    for call in (
        lambda: rt._foreach_add(a, b), lambda: rt._foreach_add([], 1), lambda: rt._foreach_neg([]),
        lambda: rt._foreach_lerp(a, b, 1.0), lambda: rt._foreach_lerp(a, a, [1.0, 2.0]),
        lambda: rt._foreach_addcmul(a, a, b), lambda: rt._foreach_addcmul(a, a, a, [1.0, 2.0]),
        lambda: rt._foreach_copy_(a, b), lambda: rt._foreach_zero_([]), lambda: rt._foreach_norm([]),
        lambda: rt._foreach_max([]),
    ):  # fmt: skip
        with pytest.raises(errors.InvalidArgumentError, match="_foreach_"):
            call()
    with pytest.raises(TypeError):
        rt._foreach_mul(a, 2.0, alpha=2)
    with pytest.raises(ValueError):
        fu = _foreach_utils
        fu._group_tensors_by_device_and_dtype([a, b])


# ---- checkpoints ----


def test_contexts_and_draws_of_checkpoints() -> None:
    class Seen:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            events.append(self.name)

        def __exit__(self, *args: object) -> None:
            events.append(f"end of {self.name}")

    events: list[str] = []
    x = rt.ones(3, requires_grad=True)

    def f(t: Any, *, k: float = 1.0) -> Any:
        events.append("run")
        return (t.exp() * k).sum()

    y = ck.checkpoint(f, x, context_fn=lambda: (Seen("first"), Seen("second")), k=2.0)
    assert events == ["first", "run", "end of first"]
    y.backward()
    assert events[3:] == ["second", "run", "end of second"] and x.grad.tolist() == pytest.approx([2 * math.e] * 3)
    events.clear()
    with rt.no_grad():
        ck.checkpoint(f, x, context_fn=lambda: (Seen("first"), Seen("second")))
    assert events == ["first", "run", "end of first"]
    first, second = ck.noop_context_fn()
    with first, second:
        pass
    assert ck.get_device_states(x) == ([], [])

    # Draws are repeated, and those of others are not disturbed; unless that is not wanted.
    for keep in (True, False):
        factors: list[Any] = []

        def draw(t: Any, factors: list[Any] = factors) -> Any:
            factors.append(rt.rand(3).tolist())
            return (t * t * factors[-1][0]).sum()

        rt.manual_seed(1)
        y = ck.checkpoint(draw, x, preserve_rng_state=keep)
        state = rt.get_rng_state()
        y.backward()
        assert (factors[0] == factors[1]) is keep and rt.equal(state, rt.get_rng_state()) is keep


def test_when_computing_again_ends() -> None:
    x = rt.ones(2, requires_grad=True)
    for set_to, early, ran in ((None, True, 1), (None, False, 2), (False, True, 2), (True, False, 1)):
        calls: list[int] = []

        def f(t: Any, calls: list[int] = calls) -> Any:
            y = t.exp()
            calls.append(1)
            return y.sum()

        if set_to is None:
            y = ck.checkpoint(f, x, early_stop=early)
        else:
            with ck.set_checkpoint_early_stop(set_to), ck.set_checkpoint_early_stop(set_to):
                y = ck.checkpoint(f, x, early_stop=early)
        y.backward()
        assert len(calls) == ran
    with pytest.raises(ValueError), ck.set_checkpoint_early_stop(False):
        raise ValueError
    assert ck._stops_early is None
    # Keyword arguments are watched too; and an argument may be used twice, and the graph kept.
    b = rt.ones(2)
    y = ck.checkpoint(lambda t, *, u: (t * u).exp().sum(), x, u=b)
    b.add_(1)
    with pytest.raises(errors.AutogradError, match="is at version 1; expected version 0 instead"):
        y.backward()
    y = ck.checkpoint(lambda t: t.exp().sum(), x)
    x.grad = None
    y.backward(retain_graph=True)
    y.backward()
    assert x.grad.tolist() == pytest.approx([2 * math.e] * 2)
    less = iter([False, True])
    y = ck.checkpoint(lambda t: (t * 2 if next(less) else t.exp()).sum(), x)
    with pytest.raises(errors.AutogradError, match=r"A different number of tensors .*: 1, then 0"):
        y.backward()
    kinds = iter([rt.float32, rt.float64])
    y = ck.checkpoint(lambda t: t.to(next(kinds)).exp().sum().float(), x)
    with pytest.raises(errors.AutogradError, match="different metadata"):
        y.backward()
    state = rt.get_rng_state()

    def fails(t: Any, calls: list[int] = []) -> Any:  # noqa: B006
        calls.append(rt.rand(1).item())
        if len(calls) > 1:
            raise KeyError("broken")
        return t.exp().sum()

    y = ck.checkpoint(fails, x)
    state = rt.get_rng_state()
    with pytest.raises(KeyError, match="broken"):
        y.backward()
    assert rt.equal(state, rt.get_rng_state())


@pytest.mark.parametrize(
    ("count", "segments", "again"), [(5, 2, 2), (4, 2, 2), (3, 3, 2), (2, 3, 0), (4, 1, 0), (6, 4, 3)]
)
@pytest.mark.parametrize("kind", [list, tuple, lambda v: nn.Sequential(*v)])
def test_segments_of_checkpoints(count: int, segments: int, again: int, kind: Any) -> None:
    """All but the last segment, of which each has `count // segments` modules, are computed again."""
    calls: list[int] = []

    class Step(nn.Module):
        def __init__(self, n: int) -> None:
            super().__init__()
            self.n = n

        def forward(self, t: Any) -> Any:
            calls.append(self.n)
            return (t * t).sin()

    x = rt.tensor([0.5], requires_grad=True)
    steps = [Step(i) for i in range(count)]
    y = ck.checkpoint_sequential(
        kind(steps), segments, x, use_reentrant=False, early_stop=False, preserve_rng_state=False
    )
    assert calls == list(range(count))
    want = x.detach()
    for step in steps:
        want = step(want)
    assert y.item() == want.item()
    calls.clear()
    y.backward()
    assert sorted(calls) == list(range(again))


# ---- pytrees of programs ----


def test_trees_of_programs() -> None:
    class Box:
        def __init__(self, *parts: Any) -> None:
            self.parts = parts

    def keyed(b: Box) -> Any:
        return [(pt.SequenceKey(9), p) for p in b.parts], len(b.parts)

    pt.register_pytree_node(
        Box, lambda b: (list(b.parts), len(b.parts)), lambda v, c: Box(*v), serialized_type_name="box",
        to_dumpable_context=lambda c: {"n": c}, from_dumpable_context=lambda c: c["n"], flatten_with_keys_fn=keyed,
    )  # fmt: skip
    try:
        spec = pt.tree_structure([Box(1, (2,))])
        text = pt.treespec_dumps(spec)
        assert '["box", {"n": 2}' in text and pt.treespec_loads(text) == spec
        assert pt.keystr(pt.tree_flatten_with_path(Box(1))[0][0][0]) == "[9]"
        for other, why in ((Box(1), "arity"), ([1, 2], "Type"), (Pair(1, 2), "Type")):
            with pytest.raises(ValueError, match=why):
                pt.tree_map(lambda a, b: a, Box(1, 2), other)
        assert pt.tree_map(lambda a, b: a + b, Box(1, 2), Box(3, 4)).parts == (4, 6)
    finally:
        del pt.SUPPORTED_NODES[Box]
    importlib.import_module("rustorch._trees").SERIALIZED.pop("box")

    class Plain(Box):
        pass

    pt.register_pytree_node(Plain, lambda b: (list(b.parts), None), lambda v, c: Plain(*v))
    try:
        with pytest.raises(ValueError, match="flatten_with_keys_fn"):
            pt.tree_flatten_with_path(Plain(1))
        spec = pt.tree_structure(Plain(1))
        assert (
            "test_planted_libraries" in pt.treespec_dumps(spec) and pt.treespec_loads(pt.treespec_dumps(spec)) == spec
        )
    finally:
        del pt.SUPPORTED_NODES[Plain]


Pair = NAMES["Pair"]


def test_functions_of_others_are_called() -> None:
    class Mine:
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return NotImplemented if cls.no else (cls.__name__, func, types, args, kwargs)

        no = True

    class Theirs(Mine):
        no = False

    def call(*objects: Any) -> Any:
        return rt.overrides.handle_torch_function(rt.relu, objects, 1, k=2)

    assert call(Mine(), 3, Theirs()) == ("Theirs", rt.relu, (Theirs, Mine), (1,), {"k": 2})
    assert call(Theirs(), Mine())[2] == (Theirs, Mine)
    with pytest.raises(TypeError, match="no implementation found for"):
        call(Mine())
    for fine in (rt.jit.optimized_execution(True), rt.jit.fuser("fuser1"),
                 rt.jit.strict_fusion(), rt._C._ExcludeDispatchKeyGuard(), rt.DisableTorchFunctionSubclass(),
                 rt.amp.autocast("cpu"), rt.compiler.set_stance("default"),
                 rt.profiler.record_function("x")):  # fmt: skip
        with pytest.raises(KeyError), fine:  # errors go through
            raise KeyError
    for backends in (rt.nn.attention.SDPBackend.MATH, [rt.nn.attention.SDPBackend.MATH]):
        with rt.nn.attention.sdpa_kernel(backends, set_priority=True):
            pass
