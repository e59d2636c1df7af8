"""`distributions.constraints` beside PyTorch's."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import rustorch as rt
from rustorch.distributions import constraints as ours

theirs = torch.distributions.constraints
VALUES = [
    [0.0, 1.0, -1.0, 2.5, float("nan")],
    [[0.25, 0.75], [0.5, 0.25], [1.0, 0.0]],
    [[2.0, 0.5], [0.5, 1.0]],
    [[1.0, 0.0], [0.6, 0.8]],
    [[1.0, 2.0], [2.0, 1.0]],
    [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
    [[1.0, 0.0], [0.0, 0.0]],
]
SETS = [
    "boolean", "one_hot", "nonnegative_integer", "positive_integer", "integer_interval(0, 2)", "real", "real_vector",
    "positive", "nonnegative", "greater_than(0.5)", "greater_than_eq(1.0)", "less_than(1.0)", "multinomial(1)",
    "unit_interval", "interval(-1.0, 1.0)", "half_open_interval(0.0, 1.0)", "simplex", "lower_triangular",
    "lower_cholesky", "corr_cholesky", "square", "symmetric", "positive_semidefinite", "positive_definite",
    "independent(c.positive, 1)", "independent(c.real, 2)", "cat([c.positive, c.boolean], -1, [1, 1])",
    "stack([c.positive, c.boolean], -1)", "MixtureSameFamilyConstraint(c.simplex)",
]  # fmt: skip


def outcome(c: Any, lib: Any, source: str, value: Any) -> Any:
    made = eval(f"c.{source}", {"c": c})
    try:
        return made.check(lib.tensor(value)).tolist()
    except Exception:
        return "error"


@pytest.mark.parametrize("source", SETS)
def test_sets(source: str) -> None:
    for value in VALUES:
        assert outcome(ours, rt, source, value) == outcome(theirs, torch, source, value), value
    mine, its = eval(f"c.{source}", {"c": ours}), eval(f"c.{source}", {"c": theirs})
    assert (mine.event_dim, mine.is_discrete) == (its.event_dim, its.is_discrete)
    assert repr(mine) == repr(its) or "object at" in repr(its)


def test_names() -> None:
    assert set(theirs.__all__) <= set(ours.__all__)


def test_dependent() -> None:
    assert ours.is_dependent(ours.dependent) and not ours.is_dependent(ours.real)
    with pytest.raises(ValueError, match="dependent"):
        ours.dependent.check(rt.ones(1))
    with pytest.raises(NotImplementedError):
        _ = ours.dependent.event_dim
    assert ours.dependent(event_dim=1).event_dim == 1

    class D:
        @ours.dependent_property(is_discrete=False, event_dim=0)
        def support(self) -> Any:
            return ours.positive

    assert D().support is ours.positive
    assert ours.is_dependent(D.support) and D.support.event_dim == 0
