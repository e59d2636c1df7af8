"""The printed form of a tensor against PyTorch's, character by character."""

import itertools
import math
import re

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402
from rustorch._tensor_str import set_printoptions, tensor_str  # noqa: E402

FLOATS = ["float32", "float64", "float16", "bfloat16"]
INTS = ["int8", "int16", "int32", "int64", "uint8"]
VALUES = {
    "whole": [1.0, 2.0, 3.0],
    "one": [4.0],
    "decimal": [1.5, -2.25, 0.125],
    "zeros": [0.0, 0.0, -0.0],
    "wide range": [1.0, 1e-3, 1234.0],
    "whole wide range": [1.0, 20000.0, -3.0],
    "tiny": [1e-5, 2e-5],
    "large": [3e4, 1.0e4],
    "huge": [1e9, 2e9],
    "edge of ratio": [1.0, 1000.0],
    "past ratio": [1.0, 1001.0],
    "inf": [math.inf, 1.0, -math.inf],
    "nan": [math.nan, 0.5, -1.0],
    "only nan": [math.nan, math.nan],
    "nan and zero": [math.nan, 0.0],
    "inf and tiny": [math.inf, 1e-6],
    "negative zero": [-0.0, 1.5],
    "rounding": [0.99999, 9.99995, 2.0],
    "many": [i * 0.37 - 5 for i in range(40)],
    "many whole": [float(i * i) for i in range(31)],
}
SHAPES = [(), (1,), (7,), (40,), (2, 3), (3, 1), (2, 2, 3), (1, 1, 1), (2, 3, 2, 2), (1001,), (40, 40), (7, 8, 30)]
SHAPES += [(1200, 1), (1, 1200), (2, 2, 300), (6, 200), (8, 3, 3, 17), (2000, 2, 1)]
EMPTY = [(0,), (0, 3), (3, 0), (2, 0, 4), (0, 0)]
OPTIONS = [
    {},
    {"precision": 2},
    {"precision": 0},
    {"precision": 8},
    {"sci_mode": True},
    {"sci_mode": False},
    {"threshold": 5},
    {"threshold": 5, "edgeitems": 1},
    {"threshold": 5, "edgeitems": 0},
    {"edgeitems": 5},
    {"linewidth": 30},
    {"linewidth": 200},
    {"linewidth": 5},
    {"profile": "short"},
    {"profile": "full"},
    {"profile": "short", "edgeitems": 4},
]


@pytest.fixture(autouse=True)
def default_options():
    yield
    set_printoptions(profile="default")
    torch.set_printoptions(profile="default")


def compare(make):
    """``make(module)`` builds the tensor in either library."""
    ours, theirs = tensor_str(make(rt)), repr(make(torch))
    if "dtype=" in theirs:  # the name of the package is longer, and may go to a line of its own
        ours, theirs = [re.sub(r",\s+(\w+=)", r", \1", text) for text in (ours, theirs)]
    assert ours.replace("dtype=rustorch.", "dtype=torch.") == theirs


def filled(shape, dtype):
    def make(lib):
        t = lib.arange(math.prod(shape)).reshape(shape)
        if dtype == "bool":
            return t % 3 == 0
        if dtype in FLOATS:
            return (t * 0.37 - 11).to(getattr(lib, dtype))
        return (t % 117).to(getattr(lib, dtype))

    return make


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", VALUES)
def test_values(name, dtype):
    compare(lambda lib: lib.tensor(VALUES[name], dtype=getattr(lib, dtype)))
    for value in VALUES[name][:3]:
        compare(lambda lib, value=value: lib.tensor(value, dtype=getattr(lib, dtype)))


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS, "bool"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(shape, dtype):
    compare(filled(shape, dtype))


@pytest.mark.parametrize("dtype", [*FLOATS, *INTS, "bool"])
@pytest.mark.parametrize("shape", EMPTY, ids=str)
def test_empty(shape, dtype):
    compare(lambda lib: lib.zeros(shape, dtype=getattr(lib, dtype)))


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options(options):
    set_printoptions(**options)
    torch.set_printoptions(**options)
    for shape, dtype in itertools.product(SHAPES, ["float32", "float16", "int32", "bool"]):
        compare(filled(shape, dtype))
    for values in VALUES.values():
        compare(lambda lib, values=values: lib.tensor(values))


@pytest.mark.parametrize("scale", [1e-12, 1e-3, 1.0, 1e3, 1e12])
def test_random(scale):
    for seed in range(20):
        values = (torch.randn(4, 5, generator=torch.Generator().manual_seed(seed)).double() * scale).tolist()
        for dtype in FLOATS:
            compare(lambda lib, values=values, dtype=dtype: lib.tensor(values, dtype=getattr(lib, dtype)))


def test_views():
    compare(lambda lib: filled((5, 7), "float32")(lib).t())
    compare(lambda lib: filled((50, 70), "float32")(lib).t()[::2])
    compare(lambda lib: filled((3,), "float32")(lib).expand(4, 3))


def test_default_dtype():
    rt.set_default_dtype(rt.float64)
    torch.set_default_dtype(torch.float64)
    try:
        for dtype in ("float32", "float64"):
            compare(lambda lib, dtype=dtype: lib.tensor([1.5], dtype=getattr(lib, dtype)))
            compare(lambda lib, dtype=dtype: lib.zeros(0, dtype=getattr(lib, dtype)))
    finally:
        rt.set_default_dtype(rt.float32)
        torch.set_default_dtype(torch.float32)


def test_grad():
    def leaf(lib, n=3):
        return lib.tensor([float(i) for i in range(n)], requires_grad=True)

    for n in (3, 20, 60):
        compare(lambda lib, n=n: leaf(lib, n))
        compare(lambda lib, n=n: leaf(lib, n) * 2 + 1)
    compare(lambda lib: leaf(lib).sum())
    compare(lambda lib: leaf(lib).exp())
    compare(lambda lib: leaf(lib).to(lib.float64) * 2)
    compare(lambda lib: leaf(lib).detach())
    compare(lambda lib: lib.zeros(0, 3, requires_grad=True))


def test_parameter():
    compare(lambda lib: lib.nn.Parameter(lib.tensor([[1.0, 2.5], [3.0, 4.0]])))
    compare(lambda lib: lib.nn.Parameter(lib.ones(2), requires_grad=False))
