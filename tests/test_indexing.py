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


CUBE = np.arange(24).reshape(2, 3, 4)
MASK = CUBE[..., 0] > 5  # over two dimensions
INDICES: list[Any] = [
    np.s_[MASK], np.s_[MASK, 1], np.s_[MASK, None], np.s_[None, MASK], np.s_[..., CUBE[0] % 2 == 0], np.s_[CUBE > 7],
    np.s_[MASK, 1:3], np.s_[[True, False]], np.s_[[True, False], ..., 2], np.s_[[[True, False, True], [False] * 3],],
    np.s_[0, [True, False, True]], np.s_[:, [True, False, True], 1], np.s_[..., 1], np.s_[1, ...], np.s_[0, ..., 1],
    np.s_[..., None], np.s_[None, ..., None, 0], np.s_[:, None, 1], np.s_[True], np.s_[False], np.s_[None, True],
    np.s_[1, True, 0], np.s_[[0, 1, 1]], np.s_[[-1, 0], [0, -1]], np.s_[:, [2, 0]], np.s_[..., [3, 0]],
    np.s_[[[0], [1]], [0, 2]], np.s_[[0, 1], :, [1, 2]], np.s_[:, 0, [1, 2]], np.s_[1, [0, 2], 1:],
    np.s_[:, [1], [2]], np.s_[[1], None, [0]], np.s_[::2, 1::2, -3:-1], np.s_[5:, 0], np.s_[1:1], np.s_[[]],
    np.s_[:, []], np.s_[-1, -1, -1], np.s_[range(2)], np.s_[(1,)], np.s_[()], np.s_[..., np.array([1, 2])],
    np.s_[np.array(1)], np.s_[np.array([True, False]), :, 0], np.s_[np.int64(1), np.array([0, 2])],
]  # fmt: skip


def as_tensors(index: Any) -> Any:
    """Arrays in it as tensors."""
    if isinstance(index, tuple):
        return tuple(as_tensors(i) for i in index)
    return rt.tensor(index.tolist()) if isinstance(index, np.ndarray) else index


@pytest.mark.parametrize("index", INDICES, ids=repr)
def test_reading_and_writing_as_in_numpy(index: Any) -> None:
    for where in (index, as_tensors(index)):
        t = rt.tensor(CUBE.tolist())
        want = CUBE[index]
        is_view = np.shares_memory(want, CUBE)  # gathered places take values of their dtype only
        assert t[where].tolist() == want.tolist() and t[where].shape == want.shape and t.tolist() == CUBE.tolist()
        for value in (7, -2.0, np.full(want.shape[-1:], 9), np.arange(want.size).reshape(want.shape) + 100):
            changed = CUBE.copy()
            changed[index] = value
            for kind in (value, value.astype(float) if isinstance(value, np.ndarray) else value):
                t = rt.tensor(CUBE.tolist())
                if isinstance(kind, np.ndarray):
                    kind = rt.tensor(kind.tolist(), dtype=None if is_view else rt.int64).reshape(kind.shape)
                t[where] = kind
                assert t.tolist() == changed.tolist(), kind
        t = rt.tensor(CUBE.tolist())
        # Leading dimensions of one are no matter.
        changed = CUBE.copy()
        changed[index] = np.full((1, 1, 1, 1, *want.shape[-1:]), 5)[0, 0, 0, 0]
        t[where] = rt.full((1, 1, 1, 1, *want.shape[-1:]), 5)
        assert t.tolist() == changed.tolist()


def test_bytes_are_masks_and_whole_numbers_of_any_kind_are_places() -> None:
    t = rt.tensor(CUBE.tolist())
    mask = rt.tensor(MASK.tolist())
    assert t[mask.to(rt.uint8)].tolist() == t[mask].tolist() and t[mask.to(rt.uint8), 1].tolist() == t[mask, 1].tolist()
    for kind in (rt.int8, rt.int16, rt.int32, rt.int64):
        assert t[rt.tensor([1, 0], dtype=kind)].tolist() == CUBE[[1, 0]].tolist()
        assert t[0, rt.tensor(-1, dtype=kind), 1:].tolist() == CUBE[0, -1, 1:].tolist()
        assert t[rt.tensor(1, dtype=kind), 0].tolist() == CUBE[1, 0].tolist()
    for wrong in (rt.tensor([1.0]), rt.tensor(1.0)):
        with pytest.raises(errors.IndexOutOfRangeError, match="long, int, byte or bool"):
            t[wrong]
    for wrong in (np.s_[0, 0, 0, 0], np.s_[MASK, 0, 0], np.s_[CUBE > 7, 0], np.s_[..., ...]):
        with pytest.raises(errors.IndexOutOfRangeError):
            t[wrong]
        with pytest.raises(errors.IndexOutOfRangeError):
            t[as_tensors(wrong)] = 1
    assert t.tolist() == CUBE.tolist()
    # A number chooses before lists do, as in PyTorch; in NumPy it counts as a list, and its dimension goes first.
    assert t[0, :, [1, 2]].tolist() == CUBE[0][:, [1, 2]].tolist()
    for view in (t[0], t[:, 1], t[..., 1:], t[None], t[...], t[()], t[:]):
        assert view._is_view() and view is not t
    for copied in (t[[0, 1]], t[mask], t[True]):
        copied.fill_(0)
    assert t.tolist() == CUBE.tolist()


def test_lists_of_more_than_numbers_are_tuples() -> None:
    x = rt.arange(27.0).view(3, 3, 3)
    n = x.numpy()
    one = rt.tensor(1)
    assert x[[one, 2]].tolist() == n[1, 2].tolist()
    assert x[[rt.tensor([0, 1]), rt.tensor([1, 2])]].tolist() == n[[0, 1], [1, 2]].tolist()
    assert x[[0, [1, 2]]].tolist() == n[0, [1, 2]].tolist()
    assert x[[[0, 1], [1, 2]]].tolist() == n[[0, 1], [1, 2]].tolist()
    assert x[[0, 2]].tolist() == n[[0, 2]].tolist() and x[[one.item()]].shape == (1, 3, 3)
    assert x[[0] * 40].shape == (40, 3, 3)
    z = rt.zeros(3, 3)
    z[[[0, 1], [1, 2]]] = 1
    assert z.tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("value", [1.5, [1.5], [1.5, 2.5]])
def test_gathered_places_take_values_of_their_dtype(value: Any) -> None:
    z = rt.zeros(3, dtype=rt.int64)
    with pytest.raises(errors.DTypeError, match=r"same dtype, got .*float32 and .*int64"):
        z[[0, 1]] = rt.tensor(value)
    with pytest.raises(errors.DTypeError, match="same dtype"):
        rt.zeros(3)[rt.tensor([0, 1])] = rt.tensor(value, dtype=rt.float64)
    assert z.tolist() == [0, 0, 0]


def test_masked_places_take_one_value_of_any_dtype() -> None:
    mask = rt.tensor([True, False, True])
    z = rt.zeros(3, 2, dtype=rt.int64)
    z[mask] = rt.tensor([1.5])
    assert z.tolist() == [[1, 1], [0, 0], [1, 1]]
    small = rt.zeros(3, dtype=rt.uint8)
    for value in (300, float("inf"), float("nan")):
        with pytest.raises(errors.RustorchError, match="cannot be converted to type"):
            small[mask] = rt.tensor(value)
    assert small.tolist() == [0, 0, 0]
    with pytest.raises(errors.DTypeError, match="same dtype"):
        small[mask] = rt.tensor([1.0, 2.0])


def test_indices_that_pick_everything_give_a_view() -> None:
    """Another tensor that looks at the same elements, also where the index does nothing."""
    x = rt.zeros(2, 3, requires_grad=True)
    for index in (..., (), slice(None), (slice(None), ...), (..., slice(None), slice(None))):
        y = x[index]
        assert y is not x and y.shape == (2, 3) and y.data_ptr() == x.data_ptr() and not y.is_leaf
    t = rt.zeros(())
    assert t[()] is not t and t[...] is not t and t[()].data_ptr() == t.data_ptr()


def test_values_that_are_too_many() -> None:
    """Leading dimensions of what is assigned may be left out only if their size is 1."""
    for index in (..., slice(None), slice(0, 2), [0, 1], rt.tensor([True, True])):
        t = rt.zeros(2, 3)
        t[index] = rt.ones(1, 1, 2, 3) * 5
        assert t.eq(5).all()
        for shape in ((2, 2, 3), (3, 2, 3), (2, 1, 3), (0, 2, 3)):
            with pytest.raises(errors.RustorchError):
                t[index] = rt.ones(shape)
            assert t.eq(5).all()


@pytest.mark.parametrize("index", [[True, False, True], ..., 0, slice(0, 2)])
def test_gradients_of_values_of_another_dtype(index: Any) -> None:
    base = np.arange(9.0).reshape(3, 3)
    value = rt.tensor(2.0, requires_grad=True)
    x = rt.tensor(base) * 1
    x[index] = value
    (x * rt.tensor(base)).sum().backward()
    assert value.grad is not None and value.grad.item() == base[index].sum() and value.grad.dtype is rt.float32


def test_masks_given_as_lists_take_up_all_their_dimensions() -> None:
    a = np.arange(24.0).reshape(2, 3, 4)
    mask = [[True, False, True, False], [False] * 4, [False, True, True, True]]
    x = rt.tensor(a)
    assert x[..., mask].tolist() == a[..., np.array(mask)].tolist()
    assert x[0, mask].tolist() == a[0][np.array(mask)].tolist() and x[0][mask,].tolist() == x[0, mask].tolist()
    for index in ((mask, 0), (0, mask, 0), (..., mask, 0, 0)):
        with pytest.raises(errors.IndexOutOfRangeError):
            x[0][index] if index == (mask, 0) else x[index]
