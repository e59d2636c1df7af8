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


# Where the style changes: how large and how far apart values may be, whole numbers, precision, width, edges.
STYLES = [
    ([1e8], {}, "tensor([100000000.])"),
    ([1.5e8], {}, "tensor([1.5000e+08])"),
    ([100000001.0], {}, "tensor([100000000.])"),
    ([1.0, 1000.0], {}, "tensor([   1., 1000.])"),
    ([1.0, 1001.0], {}, "tensor([1.0000e+00, 1.0010e+03])"),
    ([1.5, 1500.0], {}, "tensor([   1.5000, 1500.0000])"),
    ([1.5, 1600.0], {}, "tensor([1.5000e+00, 1.6000e+03])"),
    ([1e-4, 0.05], {}, "tensor([1.0000e-04, 5.0000e-02])"),
    ([9e-5, 0.05], {}, "tensor([9.0000e-05, 5.0000e-02])"),
    ([0.0001], {}, "tensor([1.0000e-04])"),
    ([1e-5], {"sci_mode": False}, "tensor([0.0000])"),
    ([1.5, 2.0], {"sci_mode": True, "precision": 1}, "tensor([1.5e+00, 2.0e+00])"),
    ([[1.5, -22.25], [3.0, 4.0]], {"precision": 1}, "tensor([[  1.5, -22.2],\n        [  3.0,   4.0]])"),
    (
        list(range(30)),
        {"linewidth": 40},
        "tensor([ 0,  1,  2,  3,  4,  5,  6,  7,\n         8,  9, 10, 11, 12, 13, 14, 15,\n        16, 17, 18, 19, 20, 21, 22, 23,\n        24, 25, 26, 27, 28, 29])",  # noqa: E501
    ),
    (
        [[float(i) for i in range(30)]] * 2,
        {"linewidth": 40},
        "tensor([[ 0.,  1.,  2.,  3.,  4.,  5.,\n          6.,  7.,  8.,  9., 10., 11.,\n         12., 13., 14., 15., 16., 17.,\n         18., 19., 20., 21., 22., 23.,\n         24., 25., 26., 27., 28., 29.],\n        [ 0.,  1.,  2.,  3.,  4.,  5.,\n          6.,  7.,  8.,  9., 10., 11.,\n         12., 13., 14., 15., 16., 17.,\n         18., 19., 20., 21., 22., 23.,\n         24., 25., 26., 27., 28., 29.]])",  # noqa: E501
    ),
    (
        [[[1, 2], [3, 4]], [[5, 6], [7, 8]]],
        {"threshold": 4, "edgeitems": 1},
        "tensor([[[1, 2],\n         [3, 4]],\n\n        [[5, 6],\n         [7, 8]]])",
    ),
    (
        [[i * 10 + j for j in range(8)] for i in range(8)],
        {"threshold": 10, "edgeitems": 2},
        "tensor([[ 0,  1,  ...,  6,  7],\n        [10, 11,  ..., 16, 17],\n        ...,\n        [60, 61,  ..., 66, 67],\n        [70, 71,  ..., 76, 77]])",  # noqa: E501
    ),
    (
        [[i * 10 + j for j in range(8)] for i in range(3)],
        {"threshold": 10, "edgeitems": 2},
        "tensor([[ 0,  1,  ...,  6,  7],\n        [10, 11,  ..., 16, 17],\n        [20, 21,  ..., 26, 27]])",
    ),
    (
        [[i * 10 + j for j in range(4)] for i in range(8)],
        {"threshold": 10, "edgeitems": 2},
        "tensor([[ 0,  1,  2,  3],\n        [10, 11, 12, 13],\n        ...,\n        [60, 61, 62, 63],\n        [70, 71, 72, 73]])",  # noqa: E501
    ),
    ([0.0, 0.0], {}, "tensor([0., 0.])"),
    ([2.0, 3.5], {"profile": "short"}, "tensor([2.00, 3.50])"),
    (list(range(9)), {"profile": "short", "threshold": 5}, "tensor([0, 1,  ..., 7, 8])"),
    ([1.23456789], {"profile": "full", "precision": 7}, "tensor([1.2345679])"),
    ([True, False], {}, "tensor([ True, False])"),
    (1.5, {}, "tensor(1.5000)"),
    (123456789.0, {}, "tensor(1.2346e+08)"),
    ([math.nan], {}, "tensor([nan])"),
    ([math.inf, 1e9], {}, "tensor([       inf, 1.0000e+09])"),
    ([-math.inf, 2.0], {}, "tensor([-inf, 2.])"),
    ([1] * 18, {"linewidth": 62}, "tensor([1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1])"),
    (
        [1.5] * 9,
        {"linewidth": 72},
        "tensor([1.5000, 1.5000, 1.5000, 1.5000, 1.5000, 1.5000, 1.5000, 1.5000,\n        1.5000])",
    ),
    ([[]], {}, "tensor([], size=(1, 0))"),
    (list(range(7)), {"threshold": 6}, "tensor([0, 1, 2,  ..., 4, 5, 6])"),
    (list(range(6)), {"threshold": 6}, "tensor([0, 1, 2, 3, 4, 5])"),
    (
        [[1, 2, 3, 4]] * 4,
        {"threshold": 5, "edgeitems": 1},
        "tensor([[1,  ..., 4],\n        ...,\n        [1,  ..., 4]])",
    ),
    ([1, -2, 30], {}, "tensor([ 1, -2, 30])"),
    ([-1.5, 22.0], {}, "tensor([-1.5000, 22.0000])"),
    ([1e-9, 1.0], {"sci_mode": False, "precision": 10}, "tensor([0.0000000010, 1.0000000000])"),
]


@pytest.mark.parametrize(("data", "options", "text"), STYLES)
def test_styles(data, options, text):
    set_printoptions(profile="default")
    set_printoptions(**options)
    assert repr(rt.tensor(data)) == text
    set_printoptions(profile="default")
    assert get_printoptions() == {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80, "sci_mode": None}


def test_options_come_back_after_an_error():
    before = get_printoptions()
    with pytest.raises(KeyError), printoptions(precision=1):
        raise KeyError
    assert get_printoptions() == before
    set_printoptions(profile="full", linewidth=50)
    assert get_printoptions() == {**before, "threshold": math.inf, "linewidth": 50}
    set_printoptions(profile="short")
    assert get_printoptions() == {**before, "precision": 2, "edgeitems": 2}


def test_notes_go_to_the_next_line_where_the_width_ends():
    x = rt.ones(2, dtype=rt.float64, requires_grad=True)
    whole = "tensor([1., 1.], dtype=rustorch.float64, requires_grad=True)"
    for width, text in (
        (61, whole), (60, whole.replace(" requires", "\n       requires")), (41, whole.replace(" requires", "\n       requires")),  # noqa: E501
        (40, "tensor([1., 1.],\n       dtype=rustorch.float64,\n       requires_grad=True)"),
    ):  # fmt: skip
        with printoptions(linewidth=width):
            assert repr(x) == text, width
    assert repr(rt.zeros(0, 2, dtype=rt.int32)) == "tensor([], size=(0, 2), dtype=rustorch.int32)"
    assert repr(rt.tensor(1, dtype=rt.int32)) == "tensor(1, dtype=rustorch.int32)"
    assert repr(rt.tensor(1.5, requires_grad=True) * 1) == "tensor(1.5000, grad_fn=<MulBackward0>)"
