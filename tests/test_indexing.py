"""Slices and indices at and beyond the ends, as Python's lists have them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import errors

ENDS = [None, 0, 1, 4, 5, 6, -1, -5, -6, 2**31, 2**63 - 1, 2**63, -(2**63), -(2**63) - 1, 10**20, -(10**20)]


class Whole:
    def __init__(self, i: int) -> None:
        self.i = i

    def __index__(self) -> int:
        return self.i


@pytest.mark.parametrize("step", [None, 1, 2, 5, 2**63 - 1, 2**63, 10**20])
def test_slices_are_those_of_lists(step: Any) -> None:
    values = list(range(5))
    t, column = rt.tensor(values), rt.tensor(values).view(5, 1)
    for start in ENDS:
        for stop in ENDS:
            expected = values[start:stop:step]
            s = slice(start, stop, step)
            assert t[s].tolist() == expected, s
            assert column[s, 0].tolist() == column[..., s, 0].tolist() == expected, s
            wrapped = slice(*(None if i is None else Whole(i) for i in (start, stop, step)))
            assert t[wrapped].tolist() == expected, s
            changed, target = list(values), t.clone()
            changed[s] = [9] * len(expected)
            target[s] = 9
            assert target.tolist() == changed, s


def test_indices_beyond_the_ends() -> None:
    t = rt.zeros(5, 3)
    for i in (5, -6, 2**62, 2**63 - 1, 2**63, -(2**63) - 1, 10**20, -(10**20)):
        for index in (i, Whole(i), (i, 0), (slice(None), i), (..., i)):
            with pytest.raises(errors.IndexOutOfRangeError):
                t[index]
            with pytest.raises(errors.IndexOutOfRangeError):
                t[index] = 1
    for i in (5, -6, 2**62):
        for index in ([i], rt.tensor([i]), np.array([i]), rt.tensor(i)):
            with pytest.raises(errors.IndexOutOfRangeError):
                t[index]
    for wrong in ([10**20], [[10**20]]):
        with pytest.raises(errors.InvalidArgumentError):
            t[wrong]
    for wrong in (0, -1, -(10**20)):
        with pytest.raises(errors.InvalidArgumentError, match="step must be positive"):
            t[::wrong]
    for wrong in (1.0, "x", slice(1.0, None), slice(None, "x")):
        with pytest.raises(errors.DTypeError):
            t[wrong]
    assert not t.any()
