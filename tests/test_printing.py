"""The printed form of tensors, as literal texts."""

import math

import pytest

import rustorch as rt
from rustorch._tensor_str import get_printoptions, printoptions, set_printoptions, tensor_str

CASES = [
    (4.0, {}, "tensor(4.)"),
    (3, {}, "tensor(3)"),
    (True, {}, "tensor(True)"),
    ([4.0], {}, "tensor([4.])"),
    ([], {}, "tensor([])"),
    ([1, -20, 3], {}, "tensor([  1, -20,   3])"),
    ([True, False], {}, "tensor([ True, False])"),
    ([1.0, -2.5], {}, "tensor([ 1.0000, -2.5000])"),
    ([1.0, 1e-5], {}, "tensor([1.0000e+00, 1.0000e-05])"),
    ([1e9], {}, "tensor([1.0000e+09])"),
    ([math.inf, -math.inf, math.nan, 1.0], {}, "tensor([inf, -inf, nan, 1.])"),
    ([math.nan, 0.5], {}, "tensor([   nan, 0.5000])"),
    ([-0.0, 0.0], {}, "tensor([-0., 0.])"),
    ([[1.0, 2.0], [3.0, 4.0]], {}, "tensor([[1., 2.],\n        [3., 4.]])"),
    ([[[1], [2]], [[3], [4]]], {}, "tensor([[[1],\n         [2]],\n\n        [[3],\n         [4]]])"),
    ([1.5], {"dtype": "float64"}, "tensor([1.5000], dtype={}.float64)"),
    ([1.5], {"dtype": "float16"}, "tensor([1.5000], dtype={}.float16)"),
    ([1], {"dtype": "uint8"}, "tensor([1], dtype={}.uint8)"),
    ([], {"dtype": "int64"}, "tensor([], dtype={}.int64)"),
    ([1.0], {"requires_grad": True}, "tensor([1.], requires_grad=True)"),
]


@pytest.fixture(autouse=True)
def default_options():
    yield
    set_printoptions(profile="default")


@pytest.mark.parametrize(("data", "kwargs", "text"), CASES, ids=[c[2] for c in CASES])
def test_literal(data, kwargs, text):
    kwargs = {k: getattr(rt, v) if k == "dtype" else v for k, v in kwargs.items()}
    package = str(rt.float32).split(".")[0]
    assert tensor_str(rt.tensor(data, **kwargs)) == text.replace("{}", package)


def test_empty_shows_its_size():
    assert tensor_str(rt.zeros(0, 3)) == "tensor([], size=(0, 3))"


def test_long_vector_is_summarised():
    assert tensor_str(rt.arange(1001)) == "tensor([   0,    1,    2,  ...,  998,  999, 1000])"
    assert "..." not in tensor_str(rt.arange(1000))


def test_large_matrix_is_summarised():
    text = tensor_str(rt.arange(10000).reshape(100, 100))
    assert text.splitlines()[0] == "tensor([[   0,    1,    2,  ...,   97,   98,   99],"
    assert text.splitlines()[3] == "        ...,"
    assert len(text.splitlines()) == 7


def test_style_is_chosen_from_the_visible_values():
    x = rt.zeros(2000)
    x[1000] = 0.5
    assert tensor_str(x) == "tensor([0., 0., 0.,  ..., 0., 0., 0.])"


def test_lines_are_broken_at_80_columns():
    lines = tensor_str(rt.arange(60)).splitlines()
    assert lines[0] == "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,  8,  9, 10, 11, 12, 13, 14, 15, 16, 17,"
    assert all(len(line) <= 80 and line.startswith("        ") for line in lines[1:])


def test_grad_fn():
    x = rt.ones(2, requires_grad=True)
    assert tensor_str(x + 1) == "tensor([2., 2.], grad_fn=<AddBackward0>)"
    assert tensor_str((x + 1).detach()) == "tensor([2., 2.])"


def test_suffix_moves_to_its_own_line():
    x = rt.ones(18, requires_grad=True)
    assert tensor_str(x).endswith("1.],\n       requires_grad=True)")


def test_parameter_and_repr():
    assert repr(rt.nn.Parameter(rt.ones(1))) == "Parameter containing:\ntensor([1.], requires_grad=True)"
    assert repr(rt.ones(1)) == str(rt.ones(1)) == "tensor([1.])"


def test_subclass_shows_its_name():
    class Mine(rt.Tensor):
        pass

    assert tensor_str(rt.ones(1).as_subclass(Mine)) == "Mine([1.])"


def test_options():
    x = rt.tensor([1.23456, 2.0])
    set_printoptions(precision=2)
    assert tensor_str(x) == "tensor([1.23, 2.00])"
    set_printoptions(precision=2, sci_mode=True)
    assert tensor_str(x) == "tensor([1.23e+00, 2.00e+00])"
    set_printoptions(profile="short", threshold=3)
    assert tensor_str(rt.arange(6)) == "tensor([0, 1,  ..., 4, 5])"
    set_printoptions(threshold=3, edgeitems=0)
    assert tensor_str(rt.arange(6)) == "tensor([...], size=(6,))"
    set_printoptions(profile="full")
    assert "..." not in tensor_str(rt.arange(3000))


def test_options_context():
    before = get_printoptions()
    with printoptions(precision=1, sci_mode=False):
        assert get_printoptions() == {**before, "precision": 1, "sci_mode": False}
        assert tensor_str(rt.tensor([1e-7, 1.0])) == "tensor([0.0, 1.0])"
    assert get_printoptions() == before


def test_unknown_profile():
    with pytest.raises(ValueError, match="profile must be one of default, short, full, got 'tall'"):
        set_printoptions(profile="tall")


def test_formats_of_single_numbers() -> None:
    """As in PyTorch, a format string shows the number of a tensor without dimensions, and `str` the tensor."""
    t = rt.tensor(1.5, requires_grad=True)
    assert f"{t}" == "1.5" and f"{t:.2f}" == "1.50" and f"{rt.tensor(3):d}" == "3" and f"{rt.tensor(True)}" == "True"
    assert str(t) == "tensor(1.5000, requires_grad=True)" and f"{t!s}" == str(t)
    assert f"{rt.ones(1)}" == "tensor([1.])"
