"""Parametrised modules beside PyTorch's: values, state dicts, training, printing, removal, errors."""

import copy
import importlib

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402


def symmetric(lib):
    class Symmetric(lib.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, x):
            return x.triu()

    return Symmetric()


def doubled(lib):
    class Doubled(lib.nn.Module):
        def forward(self, x):
            return x * 2

        def right_inverse(self, x):
            return x / 2

    return Doubled()


def tools(lib):
    return [importlib.import_module(f"{lib.__name__}.nn.utils.{name}") for name in ("parametrize", "parametrizations")]


def own(lib, layer):
    parametrize, _ = tools(lib)
    parametrize.register_parametrization(layer, "weight", symmetric(lib))
    return parametrize.register_parametrization(layer, "weight", doubled(lib))


CASES = {
    "own": lambda lib: own(lib, lib.nn.Linear(3, 3)),
    "weight norm": lambda lib: tools(lib)[1].weight_norm(lib.nn.Linear(3, 3)),
    "weight norm, whole": lambda lib: tools(lib)[1].weight_norm(lib.nn.Linear(3, 3), dim=None),
    "spectral norm": lambda lib: tools(lib)[1].spectral_norm(lib.nn.Linear(3, 3), n_power_iterations=2),
    "spectral norm of a vector": lambda lib: tools(lib)[1].spectral_norm(lib.nn.Linear(3, 3), "bias"),
}


def facts(lib, name):
    lib.manual_seed(0)
    m = CASES[name](lib)
    parametrize, _ = tools(lib)
    tensor = "bias" if "vector" in name else "weight"
    assert parametrize.is_parametrized(m) and parametrize.is_parametrized(m, tensor)
    assert parametrize.type_before_parametrizations(m) is lib.nn.Linear
    words = [repr(m).replace("rustorch", "torch"), type(m).__name__, list(m.state_dict()), len(list(m.parameters()))]
    opt, x = lib.optim.SGD(m.parameters(), lr=0.1), lib.randn(5, 3)
    numbers = []
    for _ in range(3):
        opt.zero_grad()
        loss = m(x).pow(2).sum()
        loss.backward()
        opt.step()
        numbers.append(loss.item())
    twin = CASES[name](lib)
    twin.load_state_dict(m.state_dict())
    with parametrize.cached():
        assert getattr(m, tensor) is getattr(m, tensor)
    numbers += [twin.eval()(x).tolist(), copy.deepcopy(m.eval())(x).tolist(), getattr(m, tensor).tolist()]
    if name == "own":
        m.weight = lib.eye(3)
        numbers.append(m.weight.tolist())
    parametrize.remove_parametrizations(m, tensor)
    assert type(m) is lib.nn.Linear and not parametrize.is_parametrized(m)
    words.append(sorted(m.state_dict()))
    numbers.append(m(x).tolist())
    return words, numbers


@pytest.mark.parametrize("name", CASES)
def test_parametrizations(name):
    (words, ours), (their_words, theirs) = facts(rt, name), facts(torch, name)
    assert words == their_words
    for a, b in zip(ours, theirs):
        torch.testing.assert_close(torch.tensor(a), torch.tensor(b), rtol=1e-4, atol=1e-5)


def test_originals_can_be_left():
    for lib in (rt, torch):
        parametrize, _ = tools(lib)
        m = lib.nn.Linear(2, 2)
        m.register_buffer("b", lib.ones(2))
        before = m.weight.tolist()
        parametrize.register_parametrization(m, "weight", symmetric(lib), unsafe=True)
        parametrize.register_parametrization(m, "b", doubled(lib))
        assert m.b.tolist() == [1, 1] and list(dict(m.named_buffers())) == ["parametrizations.b.original"]
        parametrize.remove_parametrizations(m, "weight", leave_parametrized=False)
        assert m.weight.tolist() == [before[0], [0, before[1][1]]]
        parametrize.remove_parametrizations(m, "b")
        assert list(dict(m.named_buffers())) == ["b"]


def test_misuse():
    for lib in (rt, torch):
        parametrize, parametrizations = tools(lib)
        for wrong in (
            lambda p=parametrize, lib=lib: p.register_parametrization(lib.nn.Linear(2, 2), "nothing", symmetric(lib)),
            lambda p=parametrize, lib=lib: p.register_parametrization(lib.nn.Linear(2, 2), "weight", lib.nn.Flatten(0)),
            lambda p=parametrize, lib=lib: p.remove_parametrizations(lib.nn.Linear(2, 2), "weight"),
            lambda p=parametrizations, lib=lib: p.spectral_norm(lib.nn.Linear(2, 2), n_power_iterations=0),
        ):
            with pytest.raises(ValueError):
                wrong()
    with pytest.raises(ValueError, match="several"):
        tools(rt)[0].remove_parametrizations(CASES["weight norm"](rt), "weight", leave_parametrized=False)
