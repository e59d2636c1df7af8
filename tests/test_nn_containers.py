"""Sequential, ModuleList, ModuleDict, ParameterList, ParameterDict."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest

import rustorch as rt
from rustorch import nn


def kinds(modules: Any) -> str:
    return " ".join(type(m).__name__ for m in modules)


def test_sequential() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Tanh())
    assert len(net) == 3 and kinds(net) == "Linear ReLU Tanh"
    assert kinds(net[1:]) == "ReLU Tanh" and type(net[-1]) is nn.Tanh and list(net[1:]._modules) == ["1", "2"]
    net[1] = nn.GELU()
    del net[0]
    assert kinds(net) == "GELU Tanh" and list(net._modules) == ["0", "1"]
    assert net.append(nn.ReLU()) is net and kinds(net.insert(0, nn.SiLU())) == "SiLU GELU Tanh ReLU"
    assert kinds(net.extend([nn.ELU()])) == "SiLU GELU Tanh ReLU ELU"
    assert type(net.pop(-1)) is nn.ELU and type(net.pop(0)) is nn.SiLU
    del net[1:]
    assert kinds(net + nn.Sequential(nn.ELU())) == "GELU ELU"
    net += nn.Sequential(nn.ELU())
    assert kinds(net * 2) == kinds(2 * net) == "GELU ELU GELU ELU"
    net *= 2
    assert len(net) == 4
    assert repr(nn.Sequential()) == "Sequential()" and nn.Sequential()(3) == 3
    for bad in (4, -5):
        with pytest.raises(IndexError):
            net[bad]
    for call in (lambda: net.__add__([1]), lambda: net * 0, lambda: net.__iadd__([1]), lambda: net.insert(9, nn.ELU())):
        with pytest.raises((ValueError, IndexError)):
            call()
    with pytest.raises(TypeError):
        net * "x"
    with pytest.raises(AssertionError):
        net.insert(0, 3)
    with pytest.raises(TypeError, match="not a Module subclass"):
        nn.Sequential(3)


def test_sequential_with_names() -> None:
    net = nn.Sequential(OrderedDict(first=nn.Linear(1, 1), second=nn.ReLU()))
    assert type(net.first) is nn.Linear and list(net.state_dict()) == ["first.weight", "first.bias"]
    assert list(net[:1]._modules) == ["first"]


def test_module_list() -> None:
    net = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1), nn.ReLU()])
    assert repr(net) == ("ModuleList(\n  (0-1): 2 x Linear(in_features=1, out_features=1, bias=True)\n  (2): ReLU()\n)")
    assert repr(nn.ModuleList()) == "ModuleList()"
    assert len(net) == 3 and kinds(net[1:]) == "Linear ReLU" and type(net[-1]) is nn.ReLU
    net[-1] = nn.Tanh()
    net.insert(0, nn.ELU())
    net.append(nn.GELU())
    net.extend(m for m in [nn.SiLU()])
    net += [nn.ReLU()]
    assert kinds(net) == "ELU Linear Linear Tanh GELU SiLU ReLU"
    del net[1:3]
    assert type(net.pop(0)) is nn.ELU and kinds(net) == "Tanh GELU SiLU ReLU"
    del net[-1]
    assert kinds(net.__add__([nn.ELU()])) == "Tanh GELU SiLU ELU" and list(net._modules) == ["0", "1", "2"]
    net.extend(net)
    assert len(net) == 6
    with pytest.raises(TypeError):
        net.extend(3)
    with pytest.raises(IndexError):
        net[6]
    with pytest.raises(NotImplementedError):
        net(1)


def test_module_dict() -> None:
    net = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
    assert list(net) == list(net.keys()) == ["a", "b"] and "a" in net and len(net) == 2
    net["c"] = nn.ELU()
    assert kinds(net.values()) == "ReLU Tanh ELU" and [k for k, _ in net.items()] == ["a", "b", "c"]
    assert type(net.pop("b")) is nn.Tanh
    del net["a"]
    net.update([("d", nn.SiLU())])
    net.update(nn.ModuleDict({"e": nn.GELU()}))
    assert list(net) == ["c", "d", "e"] and type(net["e"]) is nn.GELU
    net.clear()
    assert len(net) == 0
    with pytest.raises(TypeError):
        net.update(3)
    with pytest.raises(TypeError):
        net.update([3])
    with pytest.raises(ValueError):
        net.update([("a", nn.ReLU(), 3)])
    with pytest.raises(KeyError):
        net["a"]


def test_parameter_list() -> None:
    net = nn.ParameterList([rt.zeros(2), nn.Parameter(rt.ones(3)), "text"])
    assert len(net) == 3 and isinstance(net[0], nn.Parameter) and net[2] == "text"
    assert [n for n, _ in net.named_parameters()] == ["0", "1"]
    net.append(rt.ones(1))
    net += [rt.ones(4)]
    assert len(net) == 5 and list(net[-1].shape) == [4] and len(net[1:3]) == 2
    net[0] = nn.Parameter(rt.ones(7))
    assert list(net[0].shape) == [7] and len(list(net)) == 5
    lines = repr(net).split("\n")
    assert (
        lines[0] == "ParameterList("
        and lines[1].strip() == "(0): Parameter containing: [" + str(rt.float32) + " of size 7]"
    )
    assert "(2): Object of type: str" in repr(net)
    assert not any(k.isdigit() for k in dir(net))
    for call in (lambda: net.extend(3), lambda: net.extend(rt.ones(2))):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(RuntimeError, match="should not be called"):
        net()


def test_parameter_dict() -> None:
    net = nn.ParameterDict({"b": rt.zeros(2), "a": nn.Parameter(rt.ones(3))})
    assert list(net) == ["a", "b"] and isinstance(net["b"], nn.Parameter) and "a" in net and len(net) == 2
    net["c"] = 5
    assert list(net.keys()) == ["a", "b", "c"] and net.get("x", 1) == 1 and net.get("c") == 5
    assert list(reversed(net)) == ["c", "b", "a"] and [k for k, _ in net.items()] == ["a", "b", "c"]
    assert len(list(net.values())) == 3
    assert net.setdefault("d", rt.ones(1)).item() == 1 and net.setdefault("d", 3) is net["d"]
    assert net.pop("c") == 5 and net.popitem()[0] == "d"
    twin = net.copy()
    del twin["a"]
    assert "a" in net and list(twin) == ["b"]
    merged = twin | nn.ParameterDict({"z": rt.ones(1)})
    assert list(merged) == ["b", "z"]
    merged |= nn.ParameterDict([("y", rt.ones(1))])
    assert list(merged) == ["b", "z", "y"]
    assert list(merged.__ror__(net)) == ["a", "b", "z", "y"]
    assert list(net.fromkeys(["u", "v"], 1)) == ["u", "v"]
    assert "(a): Parameter containing:" in repr(net)
    merged.clear()
    assert len(merged) == 0
    for call in (lambda: net.update(3), lambda: net.__setitem__(3, 1)):
        with pytest.raises(TypeError):
            call()
    with pytest.raises(ValueError):
        net.update([("a", 1, 2)])
    with pytest.raises(KeyError):
        net["nothing"]
    with pytest.raises(RuntimeError, match="should not be called"):
        net()


@pytest.mark.parametrize("kind", [nn.Sequential, nn.ModuleList, nn.ParameterList])
def test_sequences_do_what_lists_do(kind: Any) -> None:
    def new(n: int) -> list[Any]:
        return [nn.Parameter(rt.ones(1)) if kind is nn.ParameterList else nn.Identity() for _ in range(n)]

    def made(parts: list[Any]) -> Any:
        return kind(*parts) if kind is nn.Sequential else kind(parts)

    def same(net: Any, parts: list[Any]) -> None:
        assert len(net) == len(parts) and all(a is b for a, b in zip(net, parts, strict=True))

    ends = (None, 0, 1, 2, 4, 5, 9, -1, -3, -5, -9)
    parts = new(5)
    for start in ends:
        for stop in ends:
            for step in (None, 1, 2, 3, -1, -2):
                cut = made(parts)[start:stop:step]
                same(cut, parts[start:stop:step])
                assert type(cut) is kind
                if kind is nn.Sequential:  # which keeps the names
                    assert [*cut._modules] == [str(i) for i in range(5)][start:stop:step]
    for i in range(-5, 5):
        net, parts = made(now := new(5)), [*now]
        assert net[i] is parts[i]
        parts[i] = net[i] = new(1)[0]
        same(net, parts)
    for wrong in (5, -6):
        with pytest.raises(IndexError):
            made(new(5))[wrong]
    net, parts = made(now := new(2)), [*now]
    net.extend(net)  # by what it holds at the beginning
    parts.extend(parts)
    same(net, parts)
    net += new(1) * 2 if kind is not nn.Sequential else nn.Sequential(*new(1) * 2)
    assert len(net) == 6 and net[-1] is net[-2]
    if kind is not nn.ParameterList:
        for i in (-3, -1, 0, 1, 3):
            net, parts, (more,) = made(now := new(3)), [*now], new(1)
            net.insert(i, more)
            parts.insert(i, more)
            same(net, parts)
            assert [*net._modules] == ["0", "1", "2", "3"]
            assert net.pop(i) is parts.pop(i)
            same(net, parts)
        for cut in (slice(1, 3), slice(None, None, 2), slice(0, 0)):
            net, parts = made(now := new(5)), [*now]
            del net[cut], parts[cut]
            same(net, parts)
            assert [*net._modules] == [str(i) for i in range(len(parts))]
    if kind is nn.Sequential:
        net, parts = made(now := new(2)), [*now]
        same(net * 3, parts * 3)
        same(2 * net, parts * 2)
        same(net + net, parts * 2)
        same(net, parts)
        net *= 4
        same(net, parts * 4)


def test_runs_of_equal_entries_are_written_once() -> None:
    a, b = nn.ReLU(), nn.Tanh()
    for parts, want in (
        ([a, a, b, b, b, a], ["(0-1): 2 x ReLU()", "(2-4): 3 x Tanh()", "(5): ReLU()"]),
        ([a, b, a, b], ["(0): ReLU()", "(1): Tanh()", "(2): ReLU()", "(3): Tanh()"]),
        ([a, b, b], ["(0): ReLU()", "(1-2): 2 x Tanh()"]),
    ):
        assert repr(nn.ModuleList(parts)) == "ModuleList(\n  " + "\n  ".join(want) + "\n)"
