"""Generic tests: they read the live op table through the ABI and try every entry."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import rustorch as rt
from rustorch import _ops
from rustorch._door import CALLED
from rustorch.errors import RustorchError

TABLE = {op["name"]: op for op in rt.ops.table()}
# NumPy's name where it differs from ours.
NUMPY = {
    "acos": "arccos", "acosh": "arccosh", "asin": "arcsin", "asinh": "arcsinh", "atan": "arctan", "atan2": "arctan2",
    "atanh": "arctanh", "bitwise_not": "invert", "div": "divide", "eq": "equal", "ge": "greater_equal", "gt": "greater",
    "le": "less_equal", "lt": "less", "mul": "multiply", "ne": "not_equal", "neg": "negative", "pow": "power",
    "sub": "subtract", "sgn": "sign",
}  # fmt: skip
# Same name, another meaning in NumPy.
NOT_NUMPY = {"round", "where", "copy", "fill", "ldexp"}
# Optional arguments without which an op refuses to work, and ops that want special inputs.
EXTRA: dict[str, tuple[Any, ...]] = {"clamp": (-0.5, 0.5)}
SPECIAL = {"clamp_tensor", "fill"}


def required(op: dict[str, Any]) -> list[dict[str, Any]]:
    return [a for a in op["args"] if a["default"] is None and not a["form"].startswith("Opt")]


def is_simple(op: dict[str, Any]) -> bool:
    """True if one or more plain tensors are all that the op needs."""
    return (
        op["domain"] != "Special"
        and op["name"] not in SPECIAL
        and op["out"] in ("Tensor", "Pair", "Triple")
        and op["module"] != "random"
        and bool(required(op))
        and all((a["holds"], a["form"]) == ("Tensor", "One") for a in required(op))
    )


SIMPLE = sorted(name for name, op in TABLE.items() if is_simple(op))
BY_ELEMENT = ("arithmetic", "comparison", "functions", "logic", "activation")
ELEMENTWISE = sorted(n for n in SIMPLE if TABLE[n]["module"] in BY_ELEMENT and TABLE[n]["out"] == "Tensor")


def sample(domain: str, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    if domain == "Real":
        return np.asarray(rng.standard_normal(shape))
    if domain == "Positive":
        return np.asarray(rng.uniform(0.5, 2.0, shape))
    if domain == "NonZero":
        return np.asarray(rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape))
    if domain == "Unit":
        return np.asarray(rng.uniform(-0.9, 0.9, shape))
    if domain == "Probability":
        return np.asarray(rng.uniform(0.1, 0.9, shape))
    if domain == "Integer":
        return np.asarray(rng.integers(0, 8, shape))
    if domain == "Boolean":
        return np.asarray(rng.integers(0, 2, shape).astype(bool))
    raise ValueError(domain)


def inputs(op: dict[str, Any], shape: tuple[int, ...], seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [sample(op["domain"], shape, rng) for _ in required(op)]


def tensors(arrays: list[np.ndarray]) -> list[rt.Tensor]:
    return [rt.tensor(a.tolist(), dtype=rt.dtypes.BY_NAME[a.dtype.name]).reshape(a.shape) for a in arrays]


def call(name: str, *args: Any) -> tuple[rt.Tensor, ...]:
    r = getattr(_ops, name)(*args, *EXTRA.get(name, ()))
    return r if isinstance(r, tuple) else (r,)


def close(a: rt.Tensor, b: Any, tolerance: float = 1e-9) -> None:
    kind = complex if a.is_complex() else float
    ours = np.array(a.detach().tolist(), dtype=kind).reshape(a.shape)
    np.testing.assert_allclose(ours, np.asarray(b, dtype=kind).reshape(np.shape(b) or a.shape), tolerance, tolerance)


def square(name: str) -> tuple[int, ...]:
    """A shape that fits: matrices for products and linear algebra."""
    module = TABLE[name]["module"]
    if name in ("dot", "outer", "ger", "inner", "vdot"):
        return (4,)
    if name == "bmm":
        return (2, 3, 3)
    if name == "mv":
        return (3, 3)
    return (3, 3) if module in ("matmul", "linalg") else (2, 3)


def fits(name: str, arrays: list[np.ndarray]) -> list[np.ndarray]:
    if name == "mv":
        return [arrays[0], arrays[1][0]]
    if name in ("bincount", "repeat_interleave_tensor"):
        return [arrays[0].reshape(-1)]
    return arrays


def test_the_table_is_there() -> None:
    assert len(TABLE) >= 150
    for op in TABLE.values():
        assert op["doc"], op["name"]
        assert op["domain"]
        assert callable(getattr(_ops, op["name"]))


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if hasattr(np, NUMPY.get(n, n)) and n not in NOT_NUMPY])
def test_values_equal_numpy(name: str) -> None:
    op = TABLE[name]
    arrays = inputs(op, (3, 5))
    reference = getattr(np, NUMPY.get(name, name))(*arrays)
    (ours,) = call(name, *tensors(arrays))
    close(ours, reference)


@pytest.mark.parametrize("name", SIMPLE)
def test_views_give_the_same(name: str) -> None:
    op = TABLE[name]
    arrays = fits(name, inputs(op, square(name)))
    plain = call(name, *tensors(arrays))
    moved = []
    for t in tensors(arrays):
        # Every second element of a larger, transposed block.
        big = rt.zeros([2 * d for d in reversed(t.shape)], dtype=t.dtype)
        view = big[tuple(slice(1, None, 2) for _ in t.shape)].permute(*range(t.ndim - 1, -1, -1)) if t.ndim else t
        view.copy_(t)
        moved.append(view)
    strided = call(name, *moved)
    for a, b in zip(plain, strided):
        assert a.shape == b.shape
        close(b, a.detach().tolist(), 1e-12)


@pytest.mark.parametrize("name", ELEMENTWISE)
@pytest.mark.parametrize("shape", [(), (1,), (0,), (2, 0, 3), (1, 1, 1)])
def test_odd_shapes(name: str, shape: tuple[int, ...]) -> None:
    (out,) = call(name, *tensors(inputs(TABLE[name], shape)))
    assert tuple(out.shape) == shape


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if len(required(TABLE[n])) == 2])
def test_broadcasting(name: str) -> None:
    op = TABLE[name]
    a, b = inputs(op, (4, 1, 3)), inputs(op, (2, 1), seed=5)
    x, y = tensors([a[0]])[0], tensors([b[1]])[0]
    if name == "prelu":
        with pytest.raises(RustorchError, match="prelu"):
            call(name, x, y)
        return
    (out,) = call(name, x, y)
    wide_x, wide_y = x.expand(4, 2, 3).contiguous(), y.expand(4, 2, 3).contiguous()
    close(out, call(name, wide_x, wide_y)[0].tolist())


WHOLE = ["uint8", "int8", "int16", "int32", "int64"]
FLOATS = ["float16", "bfloat16", "float32", "float64"]
REFUSED = {
    **dict.fromkeys("abs ceil floor neg positive pow relu round rsub sub trunc".split(), ("bool",)),
    "hardtanh": ("bool", "uint8"),
    **dict.fromkeys("relu6 tanhshrink".split(), ("bool",)),
    **dict.fromkeys("bitwise_and bitwise_not bitwise_or bitwise_xor".split(), tuple(FLOATS)),
    **dict.fromkeys("bitwise_left_shift bitwise_right_shift gcd lcm".split(), ("bool", *FLOATS)),
    **dict.fromkeys("floor_divide fmod remainder".split(), ("bool",)),
    **dict.fromkeys(
        """addcdiv celu clamp_backward elu extreme_backward frac gelu gelu_backward hardshrink hardsigmoid hardswish
        hardswish_backward hypot igamma igammac leaky_relu lerp logaddexp logaddexp2 logit_backward logsigmoid mish
        mish_backward
        prelu_channels selu silu silu_backward softplus softshrink""".split(),
        ("bool", *WHOLE),
    ),
}


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_every_dtype_works_or_is_refused(name: str) -> None:
    op = TABLE[name]
    for d in rt.dtypes.ALL:
        args = [
            t.abs().clamp(1 if op["domain"] == "NonZero" else 0, 5).to(d) if d is not rt.bool else (t.abs() > 0.5)
            for t in (x.to(rt.float64) for x in tensors(inputs(op, (7,))))
        ]
        if str(d).removeprefix("rustorch.") in REFUSED.get(name, ()):
            with pytest.raises(RustorchError, match=f"^{name}"):
                call(name, *args)
            continue
        if d.is_complex or d in (rt.uint16, rt.uint32, rt.uint64):
            # Few ops take these; values are compared with torch's.
            try:
                (out,) = call(name, *args)
            except RustorchError as e:
                assert str(e).startswith(name), e
                continue
            assert out.shape == (7,)
            continue
        (out,) = call(name, *args)
        assert out.shape == (7,)
        if d in (rt.float16, rt.bfloat16) and out.dtype is d:
            # One rounding; sums of products may take the last place the other way.
            wide = call(name, *(a.to(rt.float32) for a in args))[0].to(d)
            near = 2.0 ** (-7 if d is rt.bfloat16 else -10)
            np.testing.assert_allclose(out.to(rt.float64).tolist(), wide.to(rt.float64).tolist(), near, near**2)


@pytest.mark.parametrize("name", [n for n in ELEMENTWISE if TABLE[n]["inplace"]])
def test_in_place_twins(name: str) -> None:
    op = TABLE[name]
    args = tensors(inputs(op, (3, 4)))
    (expected,) = call(name, *args)
    twin = getattr(_ops, name + "_")
    target = args[0].clone()
    version = target._version
    assert twin(target, *args[1:], *EXTRA.get(name, ())) is target
    assert target._version > version
    close(target, expected.to(target.dtype).tolist())
    # Through a view: the base changes too, and only there.
    base = rt.cat([args[0], args[0]]).clone()
    twin(base[:3], *args[1:], *EXTRA.get(name, ()))
    close(base[:3], expected.to(target.dtype).tolist())
    close(base[3:], args[0].tolist())


@pytest.mark.parametrize("name", sorted(n for n, op in TABLE.items() if op["refuses"]))
def test_refusals(name: str) -> None:
    for source, message in TABLE[name]["refuses"]:
        with pytest.raises(RustorchError) as e:
            eval(f"f({source})", {"f": getattr(_ops, name), "rt": rt, "inf": rt.inf, "nan": rt.nan})
        assert message in str(e.value), f"{name}({source}): {e.value}"
        assert CALLED.get(name, name) in str(e.value)


@pytest.mark.parametrize("name", SIMPLE)
def test_wrong_types_are_named(name: str) -> None:
    for bad in ("text", [1, 2], object()):
        with pytest.raises(RustorchError) as e:
            call(name, bad, *([bad] * (len(required(TABLE[name])) - 1)))
        assert CALLED.get(name, name) in str(e.value)


shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)


@settings(max_examples=60, deadline=None)
@given(shapes, st.integers(0, 3), st.booleans())
def test_sums_of_any_shape(shape: tuple[int, ...], dim: int, keepdim: bool) -> None:
    a = np.random.default_rng(1).standard_normal(shape)
    t = rt.tensor(a.tolist(), dtype=rt.float64).reshape(shape)
    close(t.sum(), a.sum())
    if dim < len(shape):
        close(t.sum(dim, keepdim), a.sum(dim, keepdims=keepdim))
        close(t.sum(dim - len(shape), keepdim), a.sum(dim, keepdims=keepdim))


@settings(max_examples=60, deadline=None)
@given(shapes, st.data())
def test_broadcast_of_any_shape(shape: tuple[int, ...], data: st.DataObject) -> None:
    other = tuple(1 if data.draw(st.booleans()) else d for d in shape)[data.draw(st.integers(0, len(shape))) :]
    a, b = np.arange(int(np.prod(shape))).reshape(shape) + 0.5, np.arange(int(np.prod(other))).reshape(other) - 1.5
    x = rt.tensor(a.tolist(), dtype=rt.float64).reshape(shape).requires_grad_()
    y = rt.tensor(b.tolist(), dtype=rt.float64).reshape(other).requires_grad_()
    z = x * y
    close(z, a * b)
    z.sum().backward()
    close(x.grad, np.broadcast_to(b, shape))
    lead = len(shape) - len(other)
    expected = a.sum(tuple(range(lead))) if lead else a
    close(
        y.grad,
        expected.sum(tuple(i for i, d in enumerate(other) if d == 1 and expected.shape[i] != 1), keepdims=True).reshape(
            other
        ),
    )


@settings(max_examples=60, deadline=None)
@given(shapes, st.data())
def test_basic_indexing_of_any_shape(shape: tuple[int, ...], data: st.DataObject) -> None:
    a = np.arange(int(np.prod(shape)), dtype=np.float64).reshape(shape)
    t = rt.tensor(a.tolist(), dtype=rt.float64).reshape(shape)
    index = []
    for d in shape[: data.draw(st.integers(0, len(shape)))]:
        kind = data.draw(st.integers(0, 2))
        if kind == 0 and d:
            index.append(data.draw(st.integers(-d, d - 1)))
        elif kind == 1:
            bound = st.none() | st.integers(-6, 6)
            index.append(slice(data.draw(bound), data.draw(bound), data.draw(st.integers(1, 3))))
        else:
            index.extend([None, slice(None)])
    np.testing.assert_array_equal(np.asarray(t[tuple(index)].tolist()).reshape(a[tuple(index)].shape), a[tuple(index)])
    t2, a2 = t.clone(), a.copy()
    t2[tuple(index)] = -1.0
    a2[tuple(index)] = -1.0
    np.testing.assert_array_equal(np.asarray(t2.tolist()).reshape(shape), a2)
