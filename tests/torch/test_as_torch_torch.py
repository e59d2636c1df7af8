"""Numbers as first operands, old forms, and the modules for libraries, beside PyTorch."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch.nn.utils import prune as their_prune
from torch.utils import _pytree as their_trees

import rustorch as rt
from rustorch.nn.utils import prune
from rustorch.utils import _pytree as trees


def shown(r: Any) -> Any:
    if hasattr(r, "tolist") and hasattr(r, "dtype"):
        return str(r.dtype).split(".")[1], tuple(r.shape), r.tolist()
    return [shown(v) for v in r] if isinstance(r, (tuple, list)) else r


def outcome(lib: Any, call: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return shown(call(lib))
        except Exception:
            return "error"


NAMES = (
    "add sub subtract mul multiply div divide true_divide floor_divide remainder pow float_power xlogy bitwise_and "
    "bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift"
).split()


@pytest.mark.parametrize("name", NAMES)
def test_numbers_first(name: str) -> None:
    for number in (2, -3, 2.5, True, 2j):
        for d in ("float32", "float16", "float64", "int64", "uint8", "bool"):
            values = [1, 3, 2] if name != "bitwise_left_shift" else [1, 3, 5]

            def call(lib: Any, number: Any = number, d: str = d, values: Any = values) -> Any:
                return getattr(lib, name)(number, lib.tensor(values, dtype=getattr(lib, d)))

            if isinstance(number, complex) and d == "float16":
                continue  # complex64 for us: there is no complex32
            ours, theirs = outcome(rt, call), outcome(torch, call)
            if ours == "error" or theirs == "error":
                assert ours == theirs, (number, d)
            else:
                assert ours[:2] == theirs[:2], (number, d)
                assert str(ours[2]) == str(theirs[2]) or ours[2] == pytest.approx(
                    theirs[2], 2e-3 if d == "float16" else 1e-5, 1e-6
                ), (number, d)


OLD_FORMS = """
x.add(2,a) x.add_(2,a) m.add(x,2,a) x.sub(2,a) x.sub_(2,a) m.sub(x,2,a) x.addcmul(2,a,b) x.addcmul_(2,a,b)
m.addcmul(x,2,a,b) x.addcdiv(2,a,b) x.addcdiv_(2.0,a,b) m.addcdiv(x,2,a,b) I.addmm(2,I,M) I.addmm(2,3,I,M)
I.addmm_(2,M,M) m.addmm(2,I,I,M) m.addmm(2,I,3,I,M) x.addmv_(2,M3,a) x.addmv(2,3,M3,a) M3.addr(2,a,b)
M3.addr_(2,3,a,b) m.addbmm(2,I,2,I[None],M[None]) I[None].baddbmm(2,I[None],M[None]) x.add(a,2) x.add(2,a,alpha=3)
x.addcmul(a,2,b) x.add(2,3) x.add_(2,3) m.add(2,x,3) m.amax(M,None) m.amin(M,None) M.amax(dim=None,keepdim=True)
m.roll(x,1,None) x.roll(1,dims=None) m.tensor([o,o]) m.tensor([x,x]) m.tensor([[o],[o]]) m.tensor([o,2])
m.asarray([1,2],copy=False) m.asarray(x,copy=False) m.asarray(x,dtype=m.float64,copy=False) m.finfo(x)
m.argmax(M,axis=1) m.trapz(x) m.scalar_tensor(3) x.new(2,2).shape[0] x.new([1,2]) m.get_device(x)
m.svd(M3).S.round(decimals=3) m.svd(M,compute_uv=False)[0]
""".split()


@pytest.mark.parametrize("source", OLD_FORMS)
def test_old_forms(source: str) -> None:
    def call(m: Any) -> Any:
        values = {
            "m": m, "x": m.tensor([1.0, 2.0, 3.0]), "a": m.tensor([2.0, 3.0, 4.0]), "b": m.tensor([5.0, 6.0, 8.0]),
            "o": m.tensor([1.0]), "I": m.eye(2), "M": m.arange(4.0).reshape(2, 2), "M3": m.arange(9.0).reshape(3, 3),
        }  # fmt: skip
        return eval(source, values)

    assert outcome(rt, call) == outcome(torch, call)


def test_svd_takes_the_same_arguments() -> None:
    a = torch.randn(2, 4, 3)
    for some in (True, False):
        for ours, theirs in zip(rt.svd(rt.tensor(a.tolist()), some), torch.svd(a, some)):
            assert tuple(ours.shape) == tuple(theirs.shape)
    u, s, v = rt.svd(rt.tensor(a.tolist()))
    torch.testing.assert_close(torch.tensor((u * s.unsqueeze(-2) @ v.mT).tolist()), a, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("d", ["float32", "float64", "int64", "uint8", "bool", "complex64"])
def test_make_tensor_draws_the_same(d: str) -> None:
    for options in ({}, {"low": 1, "high": 5} if d != "bool" else {}, {"noncontiguous": True}, {"exclude_zero": True}):
        both = []
        for lib in (rt, torch):
            lib.manual_seed(0)
            both.append(shown(lib.testing.make_tensor(3, 4, dtype=getattr(lib, d), device="cpu", **options)))
        assert both[0] == both[1], options


def test_trees() -> None:
    from collections import OrderedDict, namedtuple

    point = namedtuple("point", "x y")
    for tree in ([1, (2, {"b": 3, "a": [4]})], point(1, [2, None]), OrderedDict(z=1, a=(2,)), 5, [], {"a": ()}):
        assert trees.tree_leaves(tree) == their_trees.tree_leaves(tree)
        assert trees.tree_map(str, tree) == their_trees.tree_map(str, tree)
        ours, theirs = trees.tree_structure(tree), their_trees.tree_structure(tree)
        assert (ours.num_leaves, ours.num_nodes) == (theirs.num_leaves, theirs.num_nodes)
        paths = [their_trees.keystr(p) for p, _ in their_trees.tree_flatten_with_path(tree)[0]]
        assert [trees.keystr(p) for p, _ in trees.tree_flatten_with_path(tree)[0]] == paths


def test_vmap() -> None:
    def call(lib: Any) -> Any:
        x = lib.arange(12.0).reshape(3, 4)
        y = lib.arange(8.0).reshape(4, 2)
        f = lib.func
        return [
            f.vmap(lambda r, m: r @ m, (0, None))(x, y),
            f.vmap(lambda r: (r.sum(), r.flip(0)), 1, (0, 1))(x),
            f.vmap(lambda d: d["a"] * d["b"], ({"a": 0, "b": None},))({"a": x, "b": y[:, 0]}),
            f.vmap(f.grad(lambda r: (r**3).sum()))(x),
            f.vmap(f.vmap(lambda a, b: a - b, (0, None)), (None, 0))(x[0], y[:, 1]),
            f.jvp(lambda r: (r * r).sum(0), (x,), (lib.ones_like(x),)),
        ]

    assert outcome(rt, call) == outcome(torch, call) != "error"


@pytest.mark.parametrize(
    "steps",
    [
        ["l1_unstructured(m, 'weight', 5)"],
        ["l1_unstructured(m, 'weight', 0.3)", "ln_structured(m, 'weight', 1, 2, 0)"],
        ["ln_structured(m, 'weight', 1, 1, 1)", "l1_unstructured(m, 'weight', 3)", "remove(m, 'weight')"],
        ["identity(m, 'bias')", "l1_unstructured(m, 'bias', 1)"],
        ["global_unstructured([(m, 'weight'), (m, 'bias')], p.L1Unstructured, amount=0.4)"],
        ["ln_structured(m, 'weight', 1, float('inf'), -1)", "ln_structured(m, 'weight', 1, 2, -1)"],
        ["l1_unstructured(m, 'weight', 2, importance_scores=s)"],
    ],
)
def test_pruning(steps: list[str]) -> None:
    both = []
    for lib, p in ((rt, prune), (torch, their_prune)):
        lib.manual_seed(0)
        m = lib.nn.Linear(4, 3)
        s = (7 * lib.arange(12.0)).reshape(3, 4) % 12
        for step in steps:
            eval(f"p.{step}", {"p": p, "m": m, "s": s})
        both.append(
            ({k: shown(v.detach()) for k, v in m.state_dict().items()}, shown(m.weight.detach()), p.is_pruned(m))
        )
    assert both[0] == both[1]


def test_schedules() -> None:
    for options in (
        {"wait": 1, "warmup": 1, "active": 2},
        {"wait": 0, "warmup": 1, "active": 1, "repeat": 2, "skip_first": 3},
    ):
        ours, theirs = rt.profiler.schedule(**options), torch.profiler.schedule(**options)
        assert [ours(i).name for i in range(12)] == [theirs(i).name for i in range(12)]
