"""Module: registration, state_dict, iteration, hooks, conversion, printing, copying."""

from __future__ import annotations

import copy
import pickle
import re
from collections import OrderedDict
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.scale = nn.Parameter(rt.ones(2))
        self.register_buffer("seen", rt.zeros(1))
        self.register_buffer("cache", rt.zeros(1), persistent=False)
        self.tail = nn.Sequential(nn.Linear(2, 2), nn.Tanh())

    def forward(self, x: Any) -> Any:
        return self.tail(self.fc(x) * self.scale)


def values(t: Any) -> Any:
    return np.asarray(t.detach().tolist())


def same(a: Any, b: Any) -> bool:
    return bool((values(a) == values(b)).all())


# ---- registration ----


def test_names_and_order() -> None:
    net = Net()
    names = [name for name, _ in net.named_parameters()]
    assert names == ["scale", "fc.weight", "fc.bias", "tail.0.weight", "tail.0.bias"]
    assert [name for name, _ in net.named_buffers()] == ["seen", "cache"]
    assert [name for name, _ in net.named_modules()] == ["", "fc", "tail", "tail.0", "tail.1"]
    assert [name for name, _ in net.named_children()] == ["fc", "tail"]
    assert list(net.state_dict()) == ["scale", "seen", "fc.weight", "fc.bias", "tail.0.weight", "tail.0.bias"]
    assert [name for name, _ in net.named_parameters(prefix="net", recurse=False)] == ["net.scale"]
    assert len(list(net.children())) == 2
    assert len(list(net.modules())) == 5
    assert len(list(net.buffers(recurse=False))) == 2
    assert {"fc", "scale", "seen", "forward"} <= set(dir(net))


def test_shared_parts_are_listed_once() -> None:
    layer = nn.Linear(2, 2)
    net = nn.Sequential(layer, layer)
    assert [name for name, _ in net.named_parameters()] == ["0.weight", "0.bias"]
    assert len(list(net.named_parameters(remove_duplicate=False))) == 4
    assert [name for name, _ in net.named_modules()] == ["", "0"]
    assert [name for name, _ in net.named_modules(remove_duplicate=False)] == ["", "0", "1"]
    assert len(list(net.children())) == 1


def test_assignment_moves_between_registries() -> None:
    net = nn.Module()
    net.x = 1
    net.x = nn.Parameter(rt.ones(1))
    assert "x" in net._parameters and "x" not in net.__dict__
    with pytest.raises(TypeError, match=r"cannot assign '.*' as parameter 'x'"):
        net.x = rt.ones(1)
    net.x = None
    assert net.x is None and list(net.parameters()) == []
    del net.x
    assert not hasattr(net, "x")
    net.x = nn.Linear(1, 1)
    with pytest.raises(TypeError, match="child module"):
        net.x = 3
    net.x = nn.Parameter(rt.ones(1))
    assert "x" not in net._modules
    del net.x
    net.register_buffer("b", None)
    net.b = rt.ones(2)
    assert list(net.state_dict()) == ["b"]
    with pytest.raises(TypeError, match="buffer 'b'"):
        net.b = "text"
    del net.b
    net.c = nn.Buffer(rt.ones(2), persistent=False)
    assert list(net.state_dict()) == [] and [n for n, _ in net.named_buffers()] == ["c"]
    net.c = rt.zeros(2)
    assert same(net._buffers["c"], rt.zeros(2))
    net.m = nn.ReLU()
    net.m = None
    assert net.m is None and list(net.children()) == []
    with pytest.raises(AttributeError, match="'Module' object has no attribute 'nothing'"):
        _ = net.nothing


def test_registration_errors() -> None:
    net = nn.Module()
    net.known = 1
    for call in (net.register_buffer, net.register_parameter, net.add_module):
        for name in ("a.b", "", "known"):
            with pytest.raises(KeyError):
                call(name, None)
        with pytest.raises(TypeError):
            call(3, None)
        with pytest.raises(TypeError):
            call("ok", "not a tensor")
    with pytest.raises(ValueError, match="non-leaf"):
        net.register_parameter("p", _FakeNonLeaf(rt.ones(1)))
    with pytest.raises(TypeError, match="data must be a Tensor"):
        nn.Parameter([1.0])
    with pytest.raises(TypeError, match="data must be a Tensor"):
        nn.Buffer([1.0])
    with pytest.raises(TypeError, match="unexpected"):
        nn.Module(3)
    with pytest.raises(TypeError, match="unexpected keyword argument 'wrong'"):
        nn.Module(wrong=3)


class _FakeNonLeaf(nn.Parameter):
    grad_fn = "something"  # a Parameter made by an op cannot exist: this stands for one


def test_init_must_run_first() -> None:
    class Late(nn.Module):
        def __init__(self, part: Any) -> None:
            self.part = part
            super().__init__()

    for part in (nn.Parameter(rt.ones(1)), nn.Identity()):
        with pytest.raises(AttributeError, match="before Module"):
            Late(part)
    assert Late(3) is not None  # plain attributes may come first


def test_get_by_path() -> None:
    net = Net()
    assert net.get_submodule("tail.0") is net.tail[0]
    assert net.get_submodule("") is net
    assert net.get_parameter("tail.0.bias") is net.tail[0].bias
    assert net.get_buffer("seen") is net.seen
    for call, path in (
        (net.get_submodule, "tail.5"),
        (net.get_submodule, "scale"),
        (net.get_parameter, "fc.nothing"),
        (net.get_parameter, "seen"),
        (net.get_buffer, "fc.weight"),
        (net.get_buffer, "fc.nothing"),
    ):
        with pytest.raises(AttributeError):
            call(path)
    net.set_submodule("tail.1", nn.ReLU())
    assert isinstance(net.tail[1], nn.ReLU)
    with pytest.raises(ValueError):
        net.set_submodule("", nn.Tanh())
    with pytest.raises(AttributeError):
        net.set_submodule("tail.9", nn.Tanh(), strict=True)


def test_forward_is_required() -> None:
    with pytest.raises(NotImplementedError, match="forward"):
        nn.Module()(1)


# ---- state_dict ----


def test_state_dict_round_trip() -> None:
    a, b = Net(), Net()
    x = rt.randn(4, 3)
    assert not same(a(x), b(x))
    keys = b.load_state_dict(a.state_dict())
    assert str(keys) == "<All keys matched successfully>"
    assert same(a(x), b(x))
    state = a.state_dict()
    assert not any(t.requires_grad for t in state.values())
    assert a.state_dict(keep_vars=True)["scale"] is a.scale
    assert next(iter(a.state_dict(prefix="net."))) == "net.scale"
    state["scale"].fill_(7)  # memory is shared
    assert values(a.scale).tolist() == [7, 7]


def test_load_state_dict_reports() -> None:
    net = Net()
    state = net.state_dict()
    del state["fc.bias"]
    state["extra"] = rt.ones(1)
    state["tail.7.weight"] = rt.ones(1)
    state["scale"] = rt.ones(3)
    with pytest.raises(RuntimeError) as e:
        net.load_state_dict(state)
    text = str(e.value)
    assert text.startswith("Error(s) in loading state_dict for Net:\n\t")
    assert 'Missing key(s) in state_dict: "fc.bias". ' in text
    assert 'Unexpected key(s) in state_dict: "extra", "tail.7.weight". ' in text
    assert re.search(r"size mismatch for scale: copying a param with shape .*\[3\].* from checkpoint", text)
    assert text.index("Missing") < text.index("Unexpected") < text.index("size mismatch")
    state["scale"] = rt.zeros(2)
    keys = net.load_state_dict(state, strict=False)
    assert keys.missing_keys == ["fc.bias"] and keys.unexpected_keys == ["extra", "tail.7.weight"]
    assert "missing_keys" in repr(keys)
    assert same(net.scale, rt.zeros(2))
    with pytest.raises(RuntimeError, match="expected a Tensor"):
        net.load_state_dict({**net.state_dict(), "scale": [1, 2]})
    with pytest.raises(TypeError, match="dict-like"):
        net.load_state_dict([1])


def test_load_state_dict_keeps_parameters_and_converts() -> None:
    net = nn.Linear(2, 2)
    weight = net.weight
    net.load_state_dict({"weight": rt.ones(2, 2, dtype=rt.float64), "bias": rt.zeros(2)})
    assert net.weight is weight and net.weight.dtype == rt.float32 and net.weight.requires_grad
    scalar = nn.Module()
    scalar.s = nn.Parameter(rt.tensor(1.0))
    scalar.load_state_dict({"s": rt.tensor([3.0])})
    assert scalar.s.item() == 3.0


def test_load_state_dict_assign() -> None:
    net = nn.BatchNorm1d(2)
    net.weight.requires_grad_(False)
    state = {k: v.clone() + 1 for k, v in net.state_dict().items()}
    net.load_state_dict(state, assign=True)
    assert isinstance(net.weight, nn.Parameter) and not net.weight.requires_grad and net.bias.requires_grad
    state["running_mean"].fill_(9)
    assert values(net.running_mean).tolist() == [9, 9]
    net.load_state_dict({**state, "bias": nn.Parameter(rt.ones(2))}, assign=True)
    assert values(net.bias).tolist() == [1, 1]


def test_state_dict_hooks() -> None:
    net = nn.Linear(1, 1)
    log: list[str] = []
    net.register_state_dict_pre_hook(lambda m, prefix, keep: log.append(f"pre {prefix!r}"))
    net.register_state_dict_post_hook(lambda m, state, prefix, meta: state.pop("bias") and None)
    assert list(net.state_dict()) == ["weight"] and log == ["pre ''"]

    other = nn.Linear(1, 1)
    other._register_state_dict_hook(lambda m, state, prefix, meta: OrderedDict(only=state["weight"]))
    assert list(other.state_dict()) == ["only"]

    bad = nn.Linear(1, 1)
    bad.register_state_dict_post_hook(lambda m, state, prefix, meta: state)
    with pytest.raises(RuntimeError, match="must return None"):
        bad.state_dict()

    def rename(module: Any, state: Any, prefix: str, *rest: Any) -> None:
        assert isinstance(module, nn.Linear)
        state[prefix + "weight"] = state.pop(prefix + "kernel")

    late = nn.Sequential(nn.Linear(1, 1))
    handle = late[0].register_load_state_dict_pre_hook(rename)
    late.load_state_dict({"0.kernel": rt.ones(1, 1), "0.bias": rt.ones(1)})
    assert late[0].weight.item() == 1
    handle.remove()
    with pytest.raises(RuntimeError, match="Missing"):
        late.load_state_dict({"0.kernel": rt.ones(1, 1), "0.bias": rt.ones(1)})
    late.register_load_state_dict_post_hook(lambda m, keys: keys.missing_keys.clear())
    late.load_state_dict({"0.weight": rt.zeros(1, 1)})
    assert late[0].weight.item() == 0
    late.register_load_state_dict_post_hook(lambda m, keys: keys)
    with pytest.raises(RuntimeError, match="must return None"):
        late.load_state_dict(late.state_dict())


def test_extra_state() -> None:
    class Counter(nn.Module):
        count = 0

        def get_extra_state(self) -> Any:
            return {"count": self.count}

        def set_extra_state(self, state: Any) -> None:
            self.count = state["count"]

    net = nn.Sequential(Counter())
    net[0].count = 5
    state = net.state_dict()
    assert state["0._extra_state"] == {"count": 5}
    other = nn.Sequential(Counter())
    other.load_state_dict(state)
    assert other[0].count == 5
    with pytest.raises(RuntimeError, match="Missing"):
        other.load_state_dict({})
    with pytest.raises(RuntimeError, match="Unexpected"):
        nn.Linear(1, 1).load_state_dict({**nn.Linear(1, 1).state_dict(), "_extra_state": 1})
    for call in (nn.Module().get_extra_state, lambda: nn.Module().set_extra_state(1)):
        with pytest.raises(RuntimeError, match="override"):
            call()


# ---- modes, conversions ----


def test_train_and_eval() -> None:
    net = Net()
    assert net.training and net.tail[1].training
    assert net.eval() is net and not net.tail[1].training
    net.train()
    assert net.tail[0].training
    with pytest.raises(ValueError, match="boolean"):
        net.train(1)


def test_conversions() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    weight = net[0].weight
    net.double()
    assert net[0].weight is weight and weight.dtype == rt.float64 and net[1].running_mean.dtype == rt.float64
    assert net[1].num_batches_tracked.dtype == rt.int64
    assert net(rt.ones(3, 2, dtype=rt.float64)).dtype == rt.float64
    for call, dtype in ((net.half, rt.float16), (net.bfloat16, rt.bfloat16), (net.float, rt.float32)):
        assert call() is net and weight.dtype == dtype
    assert net.to(rt.float64) is net and weight.dtype == rt.float64
    net.to("cpu", rt.float32, non_blocking=True)
    assert weight.dtype == rt.float32
    net.to(device=rt.device("cpu"), dtype=rt.float64)
    net.to(rt.ones(1))
    assert weight.dtype == rt.float32 and weight.requires_grad
    assert net.cpu() is net and net.share_memory() is net
    assert net.to(None) is net
    with pytest.raises(RuntimeError, match="CPU"):
        net.cuda()
    with pytest.raises(TypeError, match="floating point"):
        net.to(rt.int64)
    with pytest.raises(TypeError, match="invalid argument"):
        net.to([1])
    with pytest.raises(TypeError, match="unexpected keyword"):
        net.to(wrong=1)


def test_conversion_takes_gradients_along() -> None:
    net = nn.Linear(2, 1)
    net(rt.ones(1, 2)).sum().backward()
    net.double()
    assert net.weight.grad.dtype == rt.float64 and values(net.weight.grad).tolist() == [[1, 1]]


def test_to_empty() -> None:
    net = nn.BatchNorm1d(3).to_empty(device="cpu")
    assert list(net.weight.shape) == [3] and isinstance(net.weight, nn.Parameter)


def test_zero_grad_and_requires_grad() -> None:
    net = Net()
    net(rt.ones(1, 3)).sum().backward()
    grad = net.scale.grad
    net.zero_grad(set_to_none=False)
    assert net.scale.grad is not None and not values(grad).any()
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert net.requires_grad_(False) is net and not any(p.requires_grad for p in net.parameters())


def test_apply_visits_children_first() -> None:
    seen: list[str] = []
    net = Net()
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Linear", "Linear", "Tanh", "Sequential", "Net"]


# ---- hooks ----


def test_forward_hooks() -> None:
    net = nn.Identity()
    log: list[Any] = []
    first = net.register_forward_hook(lambda m, args, out: log.append("first"))
    net.register_forward_hook(lambda m, args, out: log.append("before"), prepend=True)
    net.register_forward_hook(lambda m, args, kwargs, out: out + 1, with_kwargs=True)
    assert net(rt.zeros(1)).item() == 1 and log == ["before", "first"]
    first.remove()
    first.remove()
    net(rt.zeros(1))
    assert log == ["before", "first", "before"]
    with net.register_forward_pre_hook(lambda m, args: args[0] * 10):
        assert net(rt.ones(1)).item() == 11
    assert net(rt.ones(1)).item() == 2


def test_forward_pre_hooks_with_kwargs() -> None:
    class Add(nn.Module):
        def forward(self, x: Any, *, y: Any) -> Any:
            return x + y

    net = Add()
    h = net.register_forward_pre_hook(lambda m, args, kwargs: (args, {"y": kwargs["y"] * 2}), with_kwargs=True)
    assert net(rt.ones(1), y=rt.ones(1)).item() == 3
    h.remove()
    assert net(rt.ones(1), y=rt.ones(1)).item() == 2 and not net._hooked
    net.register_forward_pre_hook(lambda m, args, kwargs: 3, with_kwargs=True)
    with pytest.raises(RuntimeError, match="new_args, new_kwargs"):
        net(rt.ones(1), y=rt.ones(1))


def test_always_call() -> None:
    class Fails(nn.Module):
        def forward(self) -> None:
            raise KeyError("inside")

    net = Fails()
    log: list[str] = []
    net.register_forward_hook(lambda m, args, out: log.append("always"), always_call=True)
    net.register_forward_hook(lambda m, args, out: log.append("never"))
    with pytest.raises(KeyError, match="inside"):
        net()
    assert log == ["always"]

    def broken(*args: Any) -> None:
        raise ValueError("in the hook")

    net.register_forward_hook(broken, always_call=True)
    with pytest.warns(UserWarning, match="in the hook"), pytest.raises(KeyError, match="inside"):
        net()


def test_backward_hooks() -> None:
    net = nn.Linear(2, 2, bias=False)
    with rt.no_grad():
        net.weight.copy_(rt.tensor([[1.0, 2.0], [3.0, 4.0]]))
    log: list[Any] = []

    def look(module: Any, grad_input: Any, grad_output: Any) -> None:
        log.append((values(grad_input[0]).tolist(), values(grad_output[0]).tolist()))

    handle = net.register_full_backward_hook(look)
    x = rt.ones(1, 2, requires_grad=True)
    net(x).sum().backward()
    assert log == [([[4.0, 6.0]], [[1.0, 1.0]])]
    assert values(net.weight.grad).tolist() == [[1, 1], [1, 1]] and values(x.grad).tolist() == [[4, 6]]

    net.register_full_backward_pre_hook(lambda m, grad_output: (grad_output[0] * 10,))
    net.register_full_backward_hook(lambda m, grad_input, grad_output: (grad_input[0] * 0 + 5,))
    x = rt.ones(1, 2, requires_grad=True)
    net.zero_grad()
    net(x).sum().backward()
    assert log[-1] == ([[40.0, 60.0]], [[10.0, 10.0]])
    assert values(x.grad).tolist() == [[5, 5]] and values(net.weight.grad).tolist() == [[10, 10], [10, 10]]
    handle.remove()
    with rt.no_grad():
        net(x)
    assert len(log) == 2


def test_backward_hook_without_input_grad() -> None:
    net = nn.Linear(2, 1)
    log: list[Any] = []
    net.register_full_backward_hook(lambda m, gi, go: log.append((gi, values(go[0]).tolist())))
    net(rt.ones(1, 2)).sum().backward()
    assert log == [((None,), [[1.0]])]
    net.register_backward_hook(lambda m, gi, go: (rt.ones(1),))
    with pytest.raises(RuntimeError, match="must return None"):
        net(rt.ones(1, 2)).sum().backward()


def test_backward_hook_of_several() -> None:
    class Two(nn.Module):
        def forward(self, a: Any, k: int, b: Any) -> Any:
            return a * k, "text", b * 3

    net = Two()
    log: list[Any] = []
    net.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)))
    a, b = rt.ones(1, requires_grad=True), rt.ones(1, requires_grad=True)
    out = net(a, 2, b)
    (out[0] + out[2] * 10).sum().backward()
    (gi, go) = log[0]
    assert gi[0].item() == 2 and gi[1] is None and gi[2].item() == 30
    assert go[0].item() == 1 and go[1] is None and go[2].item() == 10
    net.register_full_backward_hook(lambda m, gi, go: (gi[0],))
    with pytest.raises(RuntimeError, match="must return 3 gradients"):
        (net(a, 2, b)[0]).sum().backward()


def test_global_hooks() -> None:
    from rustorch.nn.modules import module

    log: list[str] = []
    handles = [
        module.register_module_forward_pre_hook(lambda m, args: log.append("pre " + type(m).__name__)),
        module.register_module_forward_hook(lambda m, args, out: log.append("post " + type(m).__name__)),
        module.register_module_full_backward_pre_hook(lambda m, go: log.append("back pre " + type(m).__name__)),
        module.register_module_full_backward_hook(lambda m, gi, go: log.append("back " + type(m).__name__)),
    ]
    try:
        nn.Sequential(nn.Identity())(rt.ones(1, requires_grad=True)).sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    assert log[:4] == ["pre Sequential", "pre Identity", "post Identity", "post Sequential"]
    assert log[4:] == ["back pre Sequential", "back pre Identity", "back Identity", "back Sequential"]
    nn.Identity()(1)
    assert len(log) == 8


# ---- printing, copying ----


def test_repr() -> None:
    assert repr(Net()) == (
        "Net(\n"
        "  (fc): Linear(in_features=3, out_features=2, bias=True)\n"
        "  (tail): Sequential(\n"
        "    (0): Linear(in_features=2, out_features=2, bias=True)\n"
        "    (1): Tanh()\n"
        "  )\n"
        ")"
    )

    class Both(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.part = nn.ReLU()

        def extra_repr(self) -> str:
            return "one\ntwo"

    assert repr(Both()) == "Both(\n  one\n  two\n  (part): ReLU()\n)"
    assert repr(nn.Parameter(rt.zeros(1))).startswith("Parameter containing:\ntensor([0.]")


def _scale(module: Any, args: Any, out: Any) -> Any:
    return out * 2


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_are_independent_and_whole(clone: Any) -> None:
    net = Net()
    net.tied = net.fc
    net.fc.register_forward_hook(_scale)
    net.fc.weight.tag = "kept"
    net.eval()
    twin = clone(net)
    x = rt.randn(2, 3)
    assert same(net(x), twin(x)) and not twin.training
    assert twin.tied is twin.fc and twin.fc.weight.tag == "kept"
    assert isinstance(twin.scale, nn.Parameter) and twin.scale.requires_grad
    with rt.no_grad():
        twin.scale.fill_(5)
    assert values(net.scale).tolist() == [1, 1]
    twin.fc.register_forward_hook(_scale)
    assert not same(net(x), twin(x))
    assert list(twin.state_dict()) == list(net.state_dict())


@pytest.mark.parametrize("clone", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_parameters_copy_alone(clone: Any) -> None:
    p = nn.Parameter(rt.ones(2), requires_grad=False)
    q = clone(p)
    assert type(q) is nn.Parameter and not q.requires_grad and same(p, q)
    both = clone([p, p])
    assert both[0] is both[1]
    b = clone(nn.Buffer(rt.ones(2), persistent=False))
    assert type(b) is nn.Buffer and not b.persistent
    u = nn.UninitializedParameter(requires_grad=False)
    v = clone([u, u])
    assert type(v[0]) is nn.UninitializedParameter and v[0] is v[1] and not v[0].requires_grad


def test_parameter_shares_memory() -> None:
    data = rt.ones(2)
    p = nn.Parameter(data)
    data.fill_(3)
    assert values(p).tolist() == [3, 3] and p.requires_grad and p.is_leaf
    assert type(p * 1) is rt.Tensor and not isinstance(p.detach(), nn.Parameter)
    assert list(nn.Parameter().shape) == [0] and list(nn.Buffer().shape) == [0]


# ---- lazy modules ----


def test_lazy_modules() -> None:
    u = nn.UninitializedParameter()
    assert repr(u) == "<UninitializedParameter>"
    for call in (lambda: u.shape, u.size, u.share_memory_):
        with pytest.raises(RuntimeError, match="not known yet"):
            call()
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.Flatten(), nn.LazyLinear(2))
    assert "LazyConv2d(0, 4" in repr(net)
    assert net[0].has_uninitialized_params()
    state = net.state_dict()
    assert isinstance(state["3.weight"], nn.UninitializedParameter)
    net.double()
    out = net(rt.ones(2, 3, 5, 5, dtype=rt.float64))
    assert list(out.shape) == [2, 2] and out.dtype == rt.float64
    assert type(net[0]) is nn.Conv2d and type(net[1]) is nn.BatchNorm2d and type(net[3]) is nn.Linear
    assert net[3].in_features == 36 and type(net[3].weight) is nn.Parameter
    assert not net[3]._hooked or net(rt.ones(2, 3, 5, 5, dtype=rt.float64)) is not None
    out.sum().backward()
    assert net[0].weight.grad is not None


def test_lazy_linear_draws_what_linear_draws() -> None:
    rt.manual_seed(4)
    a = nn.Linear(3, 2)
    lazy = nn.LazyLinear(2)
    rt.manual_seed(4)
    lazy(rt.ones(1, 3))
    assert same(a.weight, lazy.weight) and same(a.bias, lazy.bias)


def test_lazy_loads_a_sized_state() -> None:
    net = nn.LazyLinear(2, bias=False)
    net.load_state_dict(nn.Linear(5, 2, bias=False).state_dict())
    assert list(net.weight.shape) == [2, 5]
    assert list(net(rt.ones(1, 5)).shape) == [1, 2] and net.in_features == 5
    twin = copy.deepcopy(nn.LazyConv1d(2, 3, 1, bias=False))
    assert list(twin(rt.ones(1, 4, 6)).shape) == [1, 2, 4]


def test_lazy_errors() -> None:
    with pytest.raises(RuntimeError, match="Expected 3D"):
        nn.LazyConv2d(1, 1)(rt.ones(1))
    with pytest.raises(ValueError, match="divisible by groups"):
        nn.LazyConv1d(2, 1, groups=2)(rt.ones(1, 3, 4))

    class Never(nn.modules.lazy.LazyModuleMixin):
        def __init__(self) -> None:
            super().__init__()
            self.p = nn.UninitializedParameter()

    with pytest.raises(NotImplementedError):
        Never()(1)
    Never.initialize_parameters = lambda self, x: None  # type: ignore[method-assign]
    with pytest.raises(RuntimeError, match="not been fully initialized"):
        Never()(1)


def test_words_that_nothing_else_uses():
    m = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assert m.type(rt.float64) is m and {t.dtype for t in m.state_dict().values()} == {rt.float64}
    m.type(rt.FloatTensor)
    assert m[0].weight.dtype is rt.float32 and isinstance(m[0].weight, nn.Parameter)
    m.register_module("more", nn.ReLU())
    assert isinstance(m.more, nn.ReLU) and "more" in dict(m.named_children()) and m.cpu() is m
    with pytest.raises(RuntimeError, match="CPU only"):
        m.cuda()
    assert nn.LSTM(2, 2).flatten_parameters() is None
    from rustorch.nn.modules.utils import _pair, _quadruple, _single, _triple

    for n, f in enumerate((_single, _pair, _triple, _quadruple), 1):
        assert f(7) == (7,) * n and f([1, 2]) == (1, 2)
    from rustorch.nn.parameter import UninitializedBuffer, UninitializedParameter

    for made in (
        UninitializedBuffer(dtype=rt.float64, persistent=False), UninitializedBuffer(),
        UninitializedParameter(dtype=rt.float64), UninitializedParameter(requires_grad=False),
    ):  # fmt: skip
        for twin in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
            assert type(twin) is type(made) and twin.requires_grad is made.requires_grad
            assert twin.data.dtype is made.data.dtype and getattr(twin, "persistent", 0) == getattr(
                made, "persistent", 0
            )
        with pytest.raises(RuntimeError, match="not known yet"):
            _ = made.shape
        made.materialize((2, 3))
        assert made.shape == (2, 3) and not type(made).__name__.startswith("Uninit")
    for options, kind in (({}, rt.float64), ({"dtype": rt.float16}, rt.float16), ({"device": "cpu"}, rt.float64)):
        made = UninitializedParameter(dtype=rt.float64)
        made.materialize((2,), **options)
        assert type(made) is nn.Parameter and made.dtype is kind and made.requires_grad
    assert copy.copy(rt.float32) is rt.float32 and copy.deepcopy([rt.int8])[0] is rt.int8


def test_hooks_of_tensors_end_with_their_block():
    x = rt.ones(1, requires_grad=True)
    with x.register_hook(lambda g: g * 10) as handle:
        (x * 2).sum().backward()
        assert x.grad.item() == 20 and handle is not None
    x.grad = None
    (x * 2).sum().backward()
    assert x.grad.item() == 2
    handle.remove()
    eye = rt.eye(2, dtype=rt.float64)
    assert rt.Tensor.__rmatmul__(eye * 3, eye * 2).tolist() == [[6, 0], [0, 6]]
    assert rt.tensor([1.0]).polygamma(1).item() == pytest.approx(1.6449340668)


def test_hooks_that_run_always_run_once() -> None:
    """Also if one of them is what fails; those of all modules are called like the module's own."""

    class Adds(nn.Module):
        def forward(self, x: rt.Tensor, y: int = 0) -> rt.Tensor:
            return x + y

    net = Adds()
    log: list[Any] = []

    def fails(module: Any, args: Any, kwargs: Any, out: Any) -> None:
        log.append((kwargs, out.item()))
        raise KeyError("in the hook")

    hook = nn.modules.module.register_module_forward_hook
    with net.register_forward_hook(fails, with_kwargs=True, always_call=True), pytest.raises(KeyError):
        net(rt.ones(1), y=2)
    assert log == [({"y": 2}, 3.0)]
    with hook(fails, with_kwargs=True, always_call=True), pytest.raises(KeyError):
        net(rt.ones(1), y=4)
    assert log[1:] == [({"y": 4}, 5.0)]
    assert net(rt.ones(1), y=6).item() == 7 and len(log) == 2


def test_old_form_of_state_dict() -> None:
    net = nn.Linear(1, 1)
    for more, prefix, kept in (((), "", False), (("a.",), "a.", False), (("b.", False), "b.", False),
                               (("c.", True), "c.", True)):  # fmt: skip
        into: dict[str, Any] = {"old": 1}
        assert net.state_dict(into, *more) is into
        assert [*into] == ["old", f"{prefix}weight", f"{prefix}bias"]
        assert into[f"{prefix}weight"].requires_grad is kept and (into[f"{prefix}bias"] is net.bias) is kept


def test_names_of_buffers_that_are_not_saved() -> None:
    """What is said of a name ends with the buffer that has it."""
    net = nn.Module()
    net.register_buffer("a", rt.ones(1), persistent=False)
    assert [*net.state_dict()] == []
    net.register_buffer("a", rt.ones(1))
    assert [*net.state_dict()] == ["a"]
    net.register_buffer("a", rt.ones(1), persistent=False)
    del net.a
    net.register_buffer("a", rt.ones(1), persistent=False)
    net.a = nn.Parameter(rt.ones(1))
    assert [*net.state_dict()] == ["a"] and [*dict(net.named_buffers())] == []
    del net.a
    net.a = nn.Buffer(rt.ones(1))
    assert [*net.state_dict()] == ["a"]
    net.b = nn.Buffer(rt.ones(1), persistent=False)
    del net.b
    net._buffers["b"] = rt.ones(1)
    assert [*net.state_dict()] == ["a", "b"]


def test_hooks_of_loading_see_their_own_part() -> None:
    """Also if one name begins like another."""
    net = nn.ModuleDict({"a": nn.Linear(1, 1), "ab": nn.Linear(1, 1, bias=False), "b": nn.Sequential(nn.Linear(1, 1))})
    seen: dict[str, Any] = {}

    def look(module: Any, state: Any, prefix: str, metadata: Any, strict: bool, *lists: Any) -> None:
        seen[prefix] = ([*state], metadata["version"], strict)

    for m in net.modules():
        m.register_load_state_dict_pre_hook(look)
    net.load_state_dict(net.state_dict())
    a, b = ["a.weight", "a.bias"], ["b.0.weight", "b.0.bias"]
    assert seen == {
        "": ([*a, "ab.weight", *b], 1, True), "a.": (a, 1, True), "ab.": (["ab.weight"], 1, True),
        "b.": (b, 1, True), "b.0.": (b, 1, True),
    }  # fmt: skip


def test_lazy_modules_keep_their_dtype() -> None:
    wide = nn.Linear(3, 2).double().state_dict()
    for made, dtype in ((nn.LazyLinear(2), rt.float32), (nn.LazyLinear(2, dtype=rt.float16), rt.float16)):
        made.load_state_dict(wide)
        assert made.weight.dtype is made.bias.dtype is dtype and made.weight.shape == (2, 3)
    norm = nn.LazyBatchNorm1d(dtype=rt.float64)
    norm(rt.ones(2, 3, dtype=rt.float64))
    assert {t.dtype for t in norm.state_dict().values()} == {rt.float64, rt.int64}


@pytest.mark.parametrize("freeze", [None, True, False])
def test_tables_from_given_weights(freeze: Any) -> None:
    """They are frozen unless that is refused, whatever else is asked for, and share the memory."""
    weight = rt.arange(6.0).view(3, 2)
    options = {} if freeze is None else {"freeze": freeze}
    for cls in (nn.Embedding, nn.EmbeddingBag):
        for more in ({}, {"padding_idx": 0}, {"max_norm": 9.0}, {"norm_type": 1.0}):
            made = cls.from_pretrained(weight, **options, **more)
            assert made.weight.requires_grad is (freeze is False) and made.weight.data_ptr() == weight.data_ptr()
            assert made.num_embeddings == 3 and made.embedding_dim == 2
            assert all(getattr(made, name) == value for name, value in more.items())


def test_weights_of_losses_are_buffers() -> None:
    w = rt.ones(2)
    for loss, names in (
        (nn.BCEWithLogitsLoss(w, pos_weight=w), ["weight", "pos_weight"]), (nn.BCELoss(w), ["weight"]),
        (nn.CrossEntropyLoss(w), ["weight"]), (nn.NLLLoss(w), ["weight"]), (nn.MultiMarginLoss(weight=w), ["weight"]),
        (nn.MultiLabelSoftMarginLoss(w), ["weight"]), (nn.BCEWithLogitsLoss(), []), (nn.CrossEntropyLoss(), []),
    ):  # fmt: skip
        assert [*loss.state_dict()] == names and not [*loss.parameters()]
        assert all(getattr(loss.double(), name).dtype is rt.float64 for name in names)


def test_buffers_ask_for_gradients_if_their_data_does() -> None:
    for wanted in (False, True):
        data = rt.ones(1).requires_grad_(wanted)
        for made in (nn.Buffer(data), nn.Buffer(data, persistent=False)):
            assert made.requires_grad is wanted and made.is_leaf and made.data_ptr() == data.data_ptr()
    assert nn.Parameter(rt.ones(1)).requires_grad and not nn.Parameter(rt.ones(1), False).requires_grad


def test_gradients_keep_what_they_are() -> None:
    """Conversions of a module take the gradients along, and those that ask for gradients go on asking."""
    for wanted in (False, True):
        net = nn.Linear(2, 1)
        net.weight.grad = rt.ones(1, 2).requires_grad_(wanted)
        weight = net.weight
        assert net.double().weight is weight and weight.dtype is weight.grad.dtype is rt.float64
        assert weight.grad.requires_grad is wanted and weight.grad.tolist() == [[1, 1]] and net.bias.grad is None
        before = weight.grad.data_ptr()
        net.zero_grad(set_to_none=False)
        assert weight.grad.data_ptr() == before and weight.grad.tolist() == [[0, 0]]
        assert not weight.grad.requires_grad


def test_assigned_parameters_are_learned_if_the_old_ones_were() -> None:
    for learned in (True, False):
        for make in (lambda t: t, nn.Parameter, lambda t: nn.Parameter(t, requires_grad=False)):
            net = nn.Linear(1, 1).requires_grad_(learned)
            given = {"weight": make(rt.tensor([[5.0]])), "bias": make(rt.tensor([6.0], dtype=rt.float64))}
            net.load_state_dict(given, assign=True)
            assert net.weight.requires_grad is net.bias.requires_grad is learned
            assert net.bias.dtype is rt.float64 and net.weight.data_ptr() == given["weight"].data_ptr()
            assert all(isinstance(p, nn.Parameter) for p in net.parameters()) and len([*net.parameters()]) == 2


def test_backward_hooks_see_which_outputs_were_used() -> None:
    class Two(nn.Module):
        def forward(self, x: rt.Tensor, y: rt.Tensor) -> Any:
            return x * 2, y * 3

    log: list[Any] = []

    def note(*gradients: Any) -> None:
        log.append([[None if g is None else g.item() for g in part] for part in gradients])

    net = Two()
    net.register_full_backward_pre_hook(lambda m, outputs: note(outputs))
    net.register_full_backward_hook(lambda m, inputs, outputs: note(inputs, outputs))
    for use, want in (((1, 0), [2.0, None]), ((0, 1), [None, 3.0]), ((1, 1), [2.0, 3.0])):
        x, y = rt.ones(1, requires_grad=True), rt.ones(1, requires_grad=True)
        log.clear()
        sum(out for out, used in zip(net(x, y), use) if used).backward()
        outputs = [1.0 if used else None for used in use]
        assert log[0] == [outputs] and log[1] == [want, outputs]
        assert [t.grad is not None for t in (x, y)] == [bool(used) for used in use]


# ---- what may be assigned to a name that is taken ----


@pytest.mark.parametrize("value", [None, rt.zeros(1)])
def test_a_module_does_not_take_the_place_of_a_parameter(value):
    net = nn.Module()
    net.register_parameter("x", None if value is None else nn.Parameter(value))
    with pytest.raises(TypeError, match="as parameter 'x'"):
        net.x = nn.Linear(2, 2)
    assert list(net.children()) == [] and "x" in net._parameters


@pytest.mark.parametrize("old", ["buffer", "passing", "none"])
@pytest.mark.parametrize("persistent", [True, False])
def test_an_assigned_buffer_says_itself_whether_it_is_saved(old, persistent):
    net = nn.Module()
    net.register_buffer("x", None if old == "none" else rt.zeros(1), persistent=old != "passing")
    net.x = nn.Buffer(rt.ones(3), persistent=persistent)
    assert list(net.state_dict()) == (["x"] if persistent else [])
    assert [b.tolist() for b in net.buffers()] == [[1, 1, 1]]
    net.x = rt.ones(2)  # a tensor says nothing about it
    assert list(net.state_dict()) == (["x"] if persistent else [])


@pytest.mark.parametrize("value", [5, None, rt.zeros(1)])
def test_a_buffer_does_not_take_the_place_of_an_attribute(value):
    net = nn.Module()
    net.x = value
    with pytest.raises(KeyError, match="attribute 'x' already exists"):
        net.x = nn.Buffer(rt.ones(3))
    assert list(net.buffers()) == []
