"""Random streams against PyTorch's: after the same seed, the same calls give the same values and the same state.

A case is a function of the module (torch or rustorch) and a size. Arithmetic on the stream must agree to the last
bit; values that go through log and cos may differ by 1e-6.
"""

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402

SEEDS = [0, 1, 42, 2**31, 2**32 + 5, 2**63 + 11]
SIZES = [1, 5, 15, 16, 17, 20, 33, 312, 625, 2053]
FLOATS = ["float32", "float64", "float16", "bfloat16"]
Case = Callable[[Any, int], Any]


def empty(m: Any, n: int, dtype: str = "float32") -> Any:
    return m.empty(n, dtype=getattr(m, dtype))


def probabilities(m: Any, n: int, dtype: str = "float32") -> Any:
    return m.tensor([(i * 37 % 101) / 101 for i in range(n)], dtype=getattr(m, dtype))


def table(m: Any, n: int) -> Any:
    return m.tensor([[(i * 7 + row) % 13 + 1.0 for i in range(n)] for row in range(3)])


EXACT: dict[str, Case] = {
    "rand": lambda m, n: m.rand(n),
    "rand 2-d": lambda m, n: m.rand(3, n),
    "rand_like": lambda m, n: m.rand_like(m.zeros(n)),
    "randint": lambda m, n: m.randint(0, 10, (n,)),
    "randint negative": lambda m, n: m.randint(-5, 3, (n,)),
    "randint below 2^28": lambda m, n: m.randint(0, 2**28 - 1, (n,)),
    "randint from 2^28": lambda m, n: m.randint(0, 2**28, (n,)),
    "randint 64 bit": lambda m, n: m.randint(-(2**40), 2**50, (n,)),
    "randperm": lambda m, n: m.randperm(n),
    "bernoulli_ float64": lambda m, n: empty(m, n, "float64").bernoulli_(1 / 3),
    "bernoulli_ bool": lambda m, n: empty(m, n, "bool").bernoulli_(0.7),
    "bernoulli float32": lambda m, n: m.bernoulli(probabilities(m, n)),
    "bernoulli float64": lambda m, n: m.bernoulli(probabilities(m, n, "float64")),
    "dropout": lambda m, n: m.nn.functional.dropout(m.ones(n), 0.3, training=True),
    "dropout eval": lambda m, n: m.nn.functional.dropout(m.ones(n), 0.3, training=False),
    "multinomial": lambda m, n: m.multinomial(probabilities(m, n + 1), 1),
    "multinomial several": lambda m, n: m.multinomial(probabilities(m, n + 3), min(n, 50)),
    "multinomial replacement": lambda m, n: m.multinomial(probabilities(m, n + 1), 20, replacement=True),
    "multinomial 2-d": lambda m, n: m.multinomial(table(m, n), 1, replacement=True),
    "multinomial 2-d replacement": lambda m, n: m.multinomial(table(m, n), 4, replacement=True),
    **{f"uniform_ {t}": lambda m, n, t=t: empty(m, n, t).uniform_(-0.3, 0.7) for t in FLOATS},
    **{f"bernoulli_ {p}": lambda m, n, p=p: empty(m, n).bernoulli_(p) for p in (0.0, 0.1, 0.5, 1.0)},
}
CLOSE: dict[str, Case] = {
    "randn": lambda m, n: m.randn(n),
    "randn 2-d": lambda m, n: m.randn(n, 3),
    "randn_like": lambda m, n: m.randn_like(m.zeros(n)),
    "normal_ transposed": lambda m, n: m.empty(n, 4).t().normal_(),
    "cached sample": lambda m, n: m.cat([m.randn(5), m.randn(n), m.rand(3), m.randn(2), m.randn(n)]),
    **{f"normal_ {t}": lambda m, n, t=t: empty(m, n, t).normal_(1.5, 0.3) for t in FLOATS},
}


def run(m: Any, case: Case, n: int, seed: int) -> tuple[list[Any], Any]:
    """The values of the case and one more draw, which shows that both streams stand at the same place."""
    m.manual_seed(seed)
    return case(m, n).tolist(), m.rand(1).tolist()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", EXACT)
def test_same_bits(name: str, n: int) -> None:
    for seed in SEEDS:
        assert run(rt, EXACT[name], n, seed) == run(torch, EXACT[name], n, seed)


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("name", CLOSE)
def test_close(name: str, n: int) -> None:
    # A value that sits between two f16 or bf16 numbers may be rounded to either.
    rel = {"normal_ float16": 1e-3, "normal_ bfloat16": 8e-3}.get(name, 1e-6)
    for seed in SEEDS:
        (mine, mine_next), (theirs, theirs_next) = run(rt, CLOSE[name], n, seed), run(torch, CLOSE[name], n, seed)
        torch.testing.assert_close(torch.tensor(mine), torch.tensor(theirs), rtol=rel, atol=1e-6)
        assert mine_next == theirs_next


@pytest.mark.parametrize("warm_up", [0, 3, 623, 700])
def test_states_are_exchangeable(warm_up: int) -> None:
    mine, theirs = rt.Generator(), torch.Generator()
    assert mine.initial_seed() == theirs.initial_seed()
    for g, m in ((mine.manual_seed(7), rt), (theirs.manual_seed(7), torch)):
        m.rand(warm_up, generator=g)
        m.randn(3, generator=g)
    assert mine.get_state().tolist() == theirs.get_state().tolist()
    want = torch.randn(5, generator=theirs).tolist()
    theirs.set_state(torch.tensor(mine.get_state().tolist(), dtype=torch.uint8))
    assert torch.randn(5, generator=theirs).tolist() == want
    assert rt.randn(5, generator=mine).tolist() == pytest.approx(want, rel=1e-6)
    mine.set_state(rt.tensor(theirs.get_state().tolist(), dtype=rt.uint8))
    assert mine.get_state().tolist() == theirs.get_state().tolist()


def test_bad_state_is_refused() -> None:
    g = rt.Generator()
    for state in (g.get_state()[1:], rt.zeros(5056, dtype=rt.uint8)):
        with pytest.raises(RuntimeError, match="set_state"):
            g.set_state(state)
