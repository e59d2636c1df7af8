"""Arguments that an op writes: what the table says holds in the header, the versions, the locks and the events."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from abi_tools import ffi, lib
from test_listeners import seen

import rustorch as rt
from rustorch import _ops
from rustorch._door import wrap
from rustorch.errors import AutogradError, InvalidArgumentError, RustorchError
from rustorch.ops import table

ROOT = Path(__file__).resolve().parents[2]
HEADER = (ROOT / "rust-core" / "include" / "rustorch.h").read_text(encoding="utf-8")
TABLE = {op["name"]: op for op in table()}
WRITING = [name for name, op in TABLE.items() if any(a["written"] for a in op["args"])]


def parameters(function: str) -> dict[str, str]:
    """The C parameters of a function by name, as they are declared."""
    found = re.search(rf"\brt_status {function}\(([^;]*)\);", HEADER)
    assert found, function
    parts = [" ".join(p.split()) for p in found[1].split(",")]
    return {re.split(r"[\s*]", p)[-1]: p for p in parts}


def test_some_ops_write() -> None:
    assert {"batch_norm", "instance_norm", "sgd_step", "adam_step", "rmsprop_step", "adagrad_step"} <= set(WRITING)


@pytest.mark.parametrize("name", TABLE)
def test_c_takes_what_is_written_without_const(name: str) -> None:
    declared = parameters(f"rt_{name}")
    for a in TABLE[name]["args"]:
        if a["holds"] == "Tensor":
            p = declared.get(a["name"]) or declared[a["name"] + "_"]
            assert p.startswith("const ") != a["written"], p
        if a["holds"] == "Generator":
            assert not declared[a["name"]].startswith("const ")
    if TABLE[name]["inplace"]:
        first = next(iter(parameters(f"rt_{name}_").values()))
        assert first.startswith("const ") == TABLE[name]["relayout"]


@pytest.mark.parametrize("norm", [_ops.batch_norm, _ops.instance_norm])
def test_statistics_are_written_only_in_training(norm: Any) -> None:
    x, mean, var = rt.randn(4, 3, 5), rt.zeros(3), rt.ones(3)
    before = mean._version, var._version
    norm(x, mean, var, None, None, False, 0.5)
    assert (mean._version, var._version) == before and mean.tolist() == [0, 0, 0]
    events = [e for e in seen(lambda: norm(x, mean, var, None, None, False, 0.5)) if e.name == norm.__name__]
    assert events and all(not f & lib.RT_INPUT_WRITTEN for e in events for f in e.flags)
    norm(x, mean, var, None, None, True, 0.5)
    assert mean._version > before[0] and var._version > before[1] and mean.tolist() != [0, 0, 0]
    events = [e for e in seen(lambda: norm(x, mean, var, None, None, True, 0.5)) if e.name == norm.__name__]
    assert [[bool(f & lib.RT_INPUT_WRITTEN) for f in e.flags] for e in events] == 2 * [
        [False, True, True, False, False]
    ]


STEPS = {
    "sgd_step": lambda p, g, s: _ops.sgd_step(p, g, s[0], 0.1, 0.9),
    "adam_step": lambda p, g, s: _ops.adam_step(p, g, s[0], s[1], s[2], 0.1, amsgrad=True),
    "rmsprop_step": lambda p, g, s: _ops.rmsprop_step(p, g, s[0], s[1], s[2], 0.1, momentum=0.5, centered=True),
    "adagrad_step": lambda p, g, s: _ops.adagrad_step(p, g, s[0], 0.1),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_step_writes_all_but_the_gradients(name: str) -> None:
    params, grads = [rt.ones(3), rt.ones(2)], [rt.ones(3), rt.ones(2)]
    states = [[rt.zeros(3), rt.zeros(2)] for _ in range(3)]
    lists = 1 + sum(a["written"] for a in TABLE[name]["args"])
    (event,) = (e for e in seen(lambda: STEPS[name](params, grads, states)) if e.name == name)
    expected = [k != 1 for k in range(lists) for _ in range(2)]
    assert [bool(f & lib.RT_INPUT_WRITTEN) for f in event.flags] == expected
    assert all(g._version == 0 and g.tolist() == [1.0] * len(g) for g in grads)
    assert all(t._version > 0 for t in params) and all(t._version > 0 for s in states[: lists - 2] for t in s)


@pytest.mark.parametrize("name", STEPS)
def test_a_step_is_noticed_by_backward(name: str) -> None:
    p = rt.ones(3, requires_grad=True)
    y = (p * p).sum()
    STEPS[name]([p], [rt.ones(3)], [[rt.zeros(3)] for _ in range(3)])
    with pytest.raises(AutogradError, match="modified by an inplace operation"):
        y.backward()


@pytest.mark.parametrize("name", STEPS)
def test_a_step_leaves_inference_tensors_alone(name: str) -> None:
    with rt.inference_mode():
        p = rt.ones(3)
    with pytest.raises(AutogradError, match="inference"):
        STEPS[name]([p], [rt.ones(3)], [[rt.zeros(3)] for _ in range(3)])
    assert p.tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", STEPS)
def test_a_step_takes_collected_gradients(name: str) -> None:
    with_grad, without, given = (rt.ones(3, requires_grad=True) for _ in range(3))
    with_grad.grad = rt.full((3,), 2.0)
    alone = rt.ones(3)
    STEPS[name]([alone], [rt.full((3,), 2.0)], [[rt.zeros(3)] for _ in range(3)])
    params = [without, with_grad, given]
    STEPS[name](params, [None, None, rt.full((3,), 2.0)], [[rt.zeros(3) for _ in params] for _ in range(3)])
    assert without.tolist() == [1, 1, 1]
    assert with_grad.tolist() == given.tolist() == alone.tolist() != [1, 1, 1]


def test_a_missing_tensor_is_named() -> None:
    for args, message in (
        (([rt.ones(2)], [rt.ones(2)], [None], [rt.ones(2)], []), "exp_avgs"),
        (([None], [rt.ones(2)], [rt.ones(2)], [rt.ones(2)], []), "params"),
    ):
        with pytest.raises(RustorchError, match=message):
            _ops.adam_step(*args, 0.1)


def relaid(function: str, t: rt.Tensor, *args: Any) -> rt.Tensor:
    """What `t` becomes, as C sees it: a handle beside the old one."""
    out = ffi.new("rt_tensor **")
    assert getattr(lib, function)(t._h, *args, out) == lib.RT_OK, ffi.string(lib.rt_last_error())
    return wrap(ffi.gc(out[0], lib.rt_tensor_free))


def test_a_new_layout_is_a_new_handle() -> None:
    x = rt.arange(6.0).reshape(2, 3)
    y = relaid("rt_transpose_", x, 0, 1)
    assert x.shape == (2, 3) and y.shape == (3, 2)
    y[0, 1] = 7
    assert x[1, 0] == 7 and x._version == y._version > 0
    assert relaid("rt_resize_", x, [2], 1).tolist() == [0, 1] and x.shape == (2, 3)
    grown = relaid("rt_resize_", x, [8], 1)
    assert grown[:6].tolist() == x.reshape(-1).tolist() and grown.data_ptr() != x.data_ptr()
    assert relaid("rt_set_", rt.ones(1), x._h, 1, [2], 1, [3], 1).tolist() == [1, 4]


def test_a_new_layout_keeps_history_and_gradient() -> None:
    a = rt.arange(6.0).reshape(2, 3).requires_grad_()
    b = a * 2
    c = relaid("rt_unsqueeze_", b, 0)
    c.square().sum().backward()
    assert a.grad.tolist() == (8 * a).tolist()
    out = ffi.new("rt_tensor **")
    for call in (
        lambda: lib.rt_squeeze_(a._h, ffi.NULL, 0, out),
        lambda: lib.rt_resize_(b._h, [2], 1, out),
        lambda: lib.rt_set_(a._h, b._h, 0, ffi.NULL, 0, ffi.NULL, 0, out),
    ):
        assert call() == lib.RT_ERR_AUTOGRAD and out[0] == ffi.NULL
    with rt.no_grad():
        d = relaid("rt_t_", a)
    assert d.shape == (3, 2) and d.requires_grad and d.is_leaf and d.grad is not None


def test_what_is_saved_knows_of_writes_through_a_new_layout() -> None:
    a = rt.ones(2, 3, requires_grad=True)
    b = a * 1
    y = (b * b).sum()
    with rt.no_grad():
        relaid("rt_t_", b.detach()).zero_()
    with pytest.raises(AutogradError, match="modified by an inplace operation"):
        y.backward()


def test_a_new_layout_is_one_event() -> None:
    x = rt.arange(6.0).reshape(2, 3)
    (e,) = seen(lambda: x.unsqueeze_(0))
    assert e.name == "unsqueeze_" and e.flags == [0] and len(e.outputs) == 1 and x.shape == (1, 2, 3)
    (e,) = seen(lambda: x.resize_(2))
    assert e.name == "resize_" and x.tolist() == [0, 1]


def test_an_empty_layout_lies_nowhere() -> None:
    x = rt.ones(3)
    assert x.set_(x, 5, (0,), (1,)).shape == (0,)
    assert x.resize_(size=(2,)).shape == (2,)


@pytest.mark.parametrize("args", [(1,), (0, None, (7,)), (3, (2,))])
def test_set_wants_what_belongs_together(args: tuple[Any, ...]) -> None:
    x = rt.ones(3)
    source = None if len(args) == 2 else rt.ones(4)
    with pytest.raises(InvalidArgumentError):
        x.set_(source, *args)
    assert x.tolist() == [1, 1, 1]


def test_lists_that_are_one_list_overlap() -> None:
    """The same array twice, as C can give it."""
    p, g = [rt.ones(3)], [rt.ones(3)]
    handles, grads = ffi.new("rt_tensor *[]", [p[0]._h]), ffi.new("rt_tensor *[]", [g[0]._h])
    status = lib.rt_sgd_step(handles, 1, grads, 1, handles, 1, 0.1, 0.9, 0.0, 0.0, False, False, False)
    assert status == lib.RT_ERR_VALUE and p[0].tolist() == [1, 1, 1]


def test_history_goes_on_in_inference_mode() -> None:
    x = rt.ones(2, 3, requires_grad=True)
    y = x * 2
    y.retain_grad()
    with rt.inference_mode():
        y.t_()
    assert y.requires_grad and not y.is_leaf and y.retains_grad
    (y * 5).sum().backward()
    assert x.grad.tolist() == [[10.0] * 3] * 2 and y.grad.tolist() == [[5.0] * 2] * 3


@pytest.mark.parametrize("norm", [_ops.batch_norm, _ops.instance_norm])
@pytest.mark.parametrize("training", [False, True])
def test_statistics_take_no_part_in_graphs(norm: Any, training: bool) -> None:
    mean, var = rt.zeros(3, requires_grad=True), rt.ones(3)
    with pytest.raises(AutogradError, match="running_mean"):
        norm(rt.randn(4, 3, 5), mean, var, None, None, training, 0.5)
    assert mean.tolist() == [0, 0, 0] and var._version == 0
