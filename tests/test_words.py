"""Every option of the functions that are more than one op of the table, against NumPy or numbers written here.

A case is a name, arguments, options and the result. Without any one of the options the result must be another (so that
the case can fail). `test_every_option_is_tried` walks the signatures.
"""

from __future__ import annotations

import enum
import inspect
import math
import pickle
from typing import Any

import numpy as np
import pytest

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import errors, linalg, words

A = np.array([[0.5, -1.5, 2.0, 0.5], [3.5, 0.25, -1.5, 2.0], [1.0, 1.0, -2.0, 4.0]])
B = np.array([[1.0, -1.0, 2.5, 0.25], [3.0, 0.5, -1.0, 1.0], [0.0, 1.5, -3.0, 5.0]])
ROW = A[1]
WHOLE = np.array([[3, 1, 3, 0], [1, 1, 3, 0], [3, 1, 3, 0]])
S = np.array([[4.0, 1.0, 0.5], [1.0, 3.0, -1.0], [0.5, -1.0, 2.0]])
LOW = np.tril(S) + np.triu(np.full((3, 3), 7.0), 1)
TALL = A.T
INF, NAN = math.inf, math.nan
CASES: list[tuple[Any, ...]] = []
# Options that change nothing here, each for a reason: another machine's, or done in any case.
NOTHING = {
    "device", "layout", "pin_memory", "memory_format", "non_blocking", "stable", "output_size", "requires_grad", "out",
    "generator", "dtype",  # the last five have tests of their own
    "assume_unique", "pivot", "check_errors",
    "_",
}  # fmt: skip
ALSO = {"sort.descending", "unique.sorted"}


def case(name: str, args: Any, options: dict[str, Any], want: Any, place: Any = rt) -> None:
    CASES.append((place, name, args if isinstance(args, tuple) else (args,), options, want))


KINDS = {"b": rt.bool, "i": rt.int64, "c": rt.complex128}


def tensors(v: Any) -> Any:
    if isinstance(v, np.ndarray):
        dtype = rt.int32 if v.dtype == np.int32 else KINDS.get(v.dtype.kind, rt.float64)
        return rt.tensor(v.tolist(), dtype=dtype).reshape(v.shape)
    if isinstance(v, (list, tuple)):
        return type(v)([tensors(e) for e in v])
    return v


def leaves(v: Any) -> list[Any]:
    if isinstance(v, tuple) or (isinstance(v, list) and any(isinstance(e, (rt.Tensor, np.ndarray)) for e in v)):
        return [leaf for e in v for leaf in leaves(e)]
    return [np.asarray(v.tolist()).reshape(tuple(v.shape)) if isinstance(v, rt.Tensor) else np.asarray(v)]


def agree(a: Any, b: Any) -> bool:
    a, b = leaves(a), leaves(b)
    return len(a) == len(b) and all(
        x.shape == y.shape and np.allclose(x, y, rtol=1e-6, atol=1e-9, equal_nan=True) for x, y in zip(a, b)
    )


case("pow", (abs(A), B), {}, abs(A) ** B)
case("pow", (2, B), {}, 2.0**B)
case("pow", (A, 3), {}, A**3)

case("frexp", np.array([0.75, -8.0, 0.0]), {}, (np.array([0.75, -0.5, 0.0]), np.array([0, 4, 0])))
case("unravel_index", (np.array([5, 0]), (2, 3)), {}, (np.array([1, 0]), np.array([2, 0])))

# ---- reductions ----
for word, whole, at in (("max", np.max, np.argmax), ("min", np.min, np.argmin)):
    case(word, A, {}, whole(A))
    case(word, A, {"dim": 1}, (whole(A, 1), at(A, 1)))
    case(word, A, {"dim": 0, "keepdim": True}, (whole(A, 0)[None], at(A, 0)[None]))
    case(word, (A, 1, True), {}, (whole(A, 1)[:, None], at(A, 1)[:, None]))
    case(word, A, {"other": B}, (np.maximum if word == "max" else np.minimum)(A, B))
    case(word, (A, B), {}, (np.maximum if word == "max" else np.minimum)(A, B))
    case("arg" + word, A, {}, at(A))
    case("arg" + word, A, {"dim": 1}, at(A, 1))
    case("arg" + word, A, {"dim": 0, "keepdim": True}, at(A, 0)[None])
case("prod", A, {}, A.prod())
case("prod", A, {"dim": 1}, A.prod(1))
case("prod", A, {"dim": 0, "keepdim": True}, A.prod(0)[None])
case("median", A, {}, np.sort(A.ravel())[5])
case("median", A, {"dim": 1}, (np.sort(A, 1)[:, 1], np.argsort(A, 1, kind="stable")[:, 1]))
case("median", A[:, :3], {"dim": 1, "keepdim": True}, (np.sort(A[:, :3], 1)[:, 1:2], [[0], [1], [0]]))
case("aminmax", A, {}, (A.min(), A.max()))
case("aminmax", A, {"dim": 0}, (A.min(0), A.max(0)))
case("aminmax", A, {"dim": 1, "keepdim": True}, (A.min(1)[:, None], A.max(1)[:, None]))
for word, spread in (("var", np.var), ("std", np.std)):
    for name in (word, f"{word}_mean"):
        both = name != word

        def found(ddof: int, axis: Any = None, keep: bool = False, f: Any = spread, both: bool = both) -> Any:
            value = f(A, axis=axis, ddof=ddof, keepdims=keep)
            return (value, A.mean(axis=axis, keepdims=keep)) if both else value

        case(name, A, {}, found(1))
        case(name, (A, False), {}, found(0))
        case(name, (A, True), {}, found(1))
        case(name, A, {"unbiased": False}, found(0))
        case(name, A, {"dim": 1}, found(1, 1))
        case(name, (A, (0, 1)), {}, found(1))
        case(name, (A, 0, False), {}, found(0, 0))
        case(name, (A, 0, True, True), {}, found(1, 0, True))
        case(name, A, {"dim": 0, "keepdim": True, "correction": 2}, found(2, 0, True))
        case(name, A, {"correction": 0}, found(0))
case("norm", A, {}, np.linalg.norm(A))
for p in (1, 2.5, INF, -INF, 0):
    case("norm", A, {"p": p}, (abs(A) ** p).sum() ** (1 / p) if 0 < p < INF else
         {INF: abs(A).max(), -INF: abs(A).min(), 0: float((A != 0).sum())}[p])  # fmt: skip
case("norm", (A, None), {}, np.linalg.norm(A))
case("norm", A, {"p": "nuc"}, np.linalg.svd(A)[1].sum())
case("norm", A, {"p": "nuc", "keepdim": True}, np.linalg.svd(A)[1].sum().reshape(1, 1))
case("norm", np.stack([A, B]), {"p": "nuc", "dim": (0, 2)},
     [np.linalg.svd(np.stack([A, B])[:, i])[1].sum() for i in range(3)])  # fmt: skip
case("norm", A, {"p": 1, "dim": 0}, abs(A).sum(0))
case("norm", A, {"p": "fro", "dim": (0, 1), "keepdim": True}, np.linalg.norm(A).reshape(1, 1))
CASES.pop()  # "fro" is the default, and (0, 1) are all dimensions
case("norm", A, {"dim": 1, "keepdim": True}, np.linalg.norm(A, axis=1, keepdims=True))

# ---- order ----
for down in (False, True):
    key = -A if down else A
    o = {"descending": True} if down else {}
    by_column, by_row = np.argsort(key, 0, kind="stable"), np.argsort(key, 1, kind="stable")
    case("argsort", A, o, by_row)
    case("argsort", A, {**o, "dim": 0}, by_column)
    case("sort", A, o, (np.take_along_axis(A, by_row, 1), by_row))
    case("sort", A, {**o, "dim": 0}, (np.take_along_axis(A, by_column, 0), by_column))
case("topk", (ROW, 2), {}, ([3.5, 2.0], [0, 3]))
case("topk", (ROW, 2), {"largest": False}, ([-1.5, 0.25], [2, 1]))
case("topk", (A, 1), {"dim": 0}, (A.max(0)[None], A.argmax(0)[None]))
case("kthvalue", (A, 2), {}, (np.sort(A, 1)[:, 1], np.argsort(A, 1, kind="stable")[:, 1]))
case("kthvalue", (A, 2), {"dim": 0, "keepdim": True}, (np.sort(A, 0)[1:2], np.argsort(A, 0, kind="stable")[1:2]))
case("mode", WHOLE[0], {}, (3, 2))
case("mode", WHOLE, {"dim": 0, "keepdim": True}, ([[3, 1, 3, 0]], [[2, 2, 2, 2]]))
case("cummax", (A, 1), {}, (np.maximum.accumulate(A, 1), [[0, 0, 2, 2], [0, 0, 0, 0], [0, 1, 1, 3]]))
case("cummin", (A, 1), {}, (np.minimum.accumulate(A, 1), [[0, 1, 1, 1], [0, 1, 2, 2], [0, 1, 2, 2]]))
case("unique", WHOLE, {}, [0, 1, 3])
case("unique", WHOLE, {"return_inverse": True}, ([0, 1, 3], [[2, 1, 2, 0], [1, 1, 2, 0], [2, 1, 2, 0]]))
case("unique", WHOLE, {"return_counts": True}, ([0, 1, 3], [3, 4, 5]))
case("unique", WHOLE, {"dim": 0}, np.array([[1, 1, 3, 0], [3, 1, 3, 0]]))
case("unique", WHOLE, {"dim": 1, "return_inverse": True, "return_counts": True},
     (np.array([[0, 1, 3, 3], [0, 1, 1, 3], [0, 1, 3, 3]]), [2, 1, 3, 0], [1, 1, 1, 1]))  # fmt: skip
RUNS = np.array([2, 2, 1, 1, 1, 2])
case("unique_consecutive", RUNS, {}, [2, 1, 2])
case("unique_consecutive", RUNS, {"return_inverse": True}, ([2, 1, 2], [0, 0, 1, 1, 1, 2]))
case("unique_consecutive", RUNS, {"return_counts": True}, ([2, 1, 2], [2, 3, 1]))
TWICE = np.array([[1, 1, 2], [1, 1, 2], [0, 0, 2]])
case("unique_consecutive", TWICE, {"dim": 0, "return_inverse": True, "return_counts": True},
     (np.array([[1, 1, 2], [0, 0, 2]]), [0, 0, 1], [2, 1]))  # fmt: skip
case("unique_consecutive", TWICE, {"dim": 1, "return_counts": True}, (np.array([[1, 2], [1, 2], [0, 2]]), [2, 1]))
case("unique_consecutive", np.zeros((0, 2)), {"dim": 0, "return_counts": True}, (np.zeros((0, 2)), np.zeros(0)))

# ---- parts ----
LONG = np.arange(10.0).reshape(2, 5)
case("split", (LONG, 1), {}, (LONG[:1], LONG[1:]))
case("split", (LONG, 2), {"dim": 1}, (LONG[:, :2], LONG[:, 2:4], LONG[:, 4:]))
case("split", (LONG, [1, 4]), {"dim": 1}, (LONG[:, :1], LONG[:, 1:]))
case("split", (LONG, 2), {"split_size": 1}, (LONG[:1], LONG[1:]))
case("unsafe_split", (LONG, 2), {"dim": 1}, (LONG[:, :2], LONG[:, 2:4], LONG[:, 4:]))
case("unsafe_split", (LONG, 1), {}, (LONG[:1], LONG[1:]))
case("unsafe_chunk", (LONG, 2), {"dim": 1}, (LONG[:, :3], LONG[:, 3:]))
case("unsafe_chunk", (LONG, 2), {}, (LONG[:1], LONG[1:]))
case("tensor_split", (LONG, 2), {}, (LONG[:1], LONG[1:]))
case("tensor_split", (LONG, 2), {"dim": 1}, (LONG[:, :3], LONG[:, 3:]))
case("tensor_split", (LONG, [1, 3]), {"dim": 1}, (LONG[:, :1], LONG[:, 1:3], LONG[:, 3:]))
case("tensor_split", (LONG, np.array([1, 3])), {"dim": 1}, (LONG[:, :1], LONG[:, 1:3], LONG[:, 3:]))
case("tensor_split", (LONG, np.array(2)), {"dim": 1}, (LONG[:, :3], LONG[:, 3:]))
CUBE = np.arange(16.0).reshape(2, 2, 4)
for word, axis in (("hsplit", 1), ("vsplit", 0), ("dsplit", 2)):
    case(word, (CUBE, 2), {}, tuple(np.split(CUBE, 2, axis)))
    case(word, (CUBE, [1]), {}, tuple(np.split(CUBE, [1], axis)))
case("hsplit", (np.arange(4.0), 2), {}, ([0.0, 1.0], [2.0, 3.0]))
for word in ("narrow", "narrow_copy"):
    case(word, (A, 1, 1, 2), {}, A[:, 1:3])
    case(word, (A, 0, -2, 2), {}, A[1:])
case("narrow", (A, 1, np.array(2), 1), {}, A[:, 2:3])
case("unflatten", (A, 1, (2, -1)), {}, A.reshape(3, 2, 2))
case("unflatten", (A, -2, (3, 1)), {}, A.reshape(3, 1, 4))
case("block_diag", (A[:1, :2], B[:2, :1]), {}, np.array([[0.5, -1.5, 0], [0, 0, 1], [0, 0, 3]]))
for k, shapes in ((1, ((1,), (3,), (2, 3))), (2, ((1, 1), (1, 3), (2, 3))), (3, ((1, 1, 1), (1, 3, 1), (2, 3, 1)))):
    given = (np.array(2.0), np.arange(3.0), np.ones((2, 3)))
    case(f"atleast_{k}d", given, {}, tuple(v.reshape(n) for v, n in zip(given, shapes)))
    case(f"atleast_{k}d", (list(given),), {}, tuple(v.reshape(n) for v, n in zip(given, shapes)))
    case(f"atleast_{k}d", given[1], {}, given[1].reshape(shapes[1]))

# ---- choice ----
MASK = A > 0.75
case("where", (MASK, A, B), {}, np.where(MASK, A, B))
case("where", (MASK, 1.0, B), {}, np.where(MASK, 1.0, B))
case("where", MASK, {"input": A, "other": B}, np.where(MASK, A, B))
case("where", MASK, {}, np.nonzero(MASK))
case("nonzero", MASK, {}, np.argwhere(MASK))
case("nonzero", MASK, {"as_tuple": True}, np.nonzero(MASK))
case("clamp", A, {"min": 0.3}, A.clip(0.3))
case("clamp", A, {"max": 0.3}, A.clip(None, 0.3))
case("clamp", (A, -1, 1.5), {}, A.clip(-1, 1.5))
case("clamp", A, {"min": B, "max": 2.5}, np.minimum(np.maximum(A, B), 2.5))
case("clamp", A, {"min": -0.5, "max": B[0]}, np.minimum(np.maximum(A, -0.5), B[0]))
case("clamp", A, {"max": B}, np.minimum(A, B))
case("clamp_min", (A, 0.3), {}, A.clip(0.3))
case("clamp_min", (A, B), {}, np.maximum(A, B))
case("clamp_max", (A, 0.3), {}, A.clip(None, 0.3))
case("clamp_max", (A, B), {}, np.minimum(A, B))
case("repeat_interleave", np.array([2, 0, 1]), {}, [0, 0, 2])
case("repeat_interleave", (WHOLE, 2), {}, WHOLE.ravel().repeat(2))
case("repeat_interleave", WHOLE[0], {"repeats": 3}, WHOLE[0].repeat(3))
case("repeat_interleave", (A, 2), {"dim": 0}, A.repeat(2, 0))
case("repeat_interleave", (A, [1, 0, 2]), {"dim": 0}, A.repeat([1, 0, 2], 0))
case("repeat_interleave", (A, np.array([1, 0, 2, 1])), {"dim": 1}, A.repeat([1, 0, 2, 1], 1))
case("repeat_interleave", (A[:2, :2], [1, 0, 2, 1]), {}, A[:2, :2].ravel().repeat([1, 0, 2, 1]))
AT = np.array([[0, 2], [1, 1]])
case("scatter", (np.zeros((3, 2)), 0, AT, A[:2, :2]), {}, np.array([[0.5, 0], [3.5, 0.25], [0, -1.5]]))
case("scatter", (np.zeros((2, 3)), 1, AT), {"value": 4.0}, np.array([[4.0, 0, 4], [0, 4, 0]]))
case("scatter", (np.zeros((2, 3)), 1, AT, 5), {}, np.array([[5.0, 0, 5], [0, 5, 0]]))
case("scatter", (np.zeros((2, 3)), 1, AT), {"src": A[:2, :2]}, np.array([[0.5, 0, -1.5], [0, 0.25, 0]]))
case("scatter", (np.full((2, 3), 2.0), 1, AT, A[:2, :2]), {"reduce": "add"}, np.array([[2.5, 2, 0.5], [2, 5.75, 2]]))
case("scatter", (np.full((2, 3), 2.0), 1, AT, A[:2, :2]), {"reduce": "multiply"},
     np.array([[1.0, 2, -3], [2, 1.75, 2]]))  # fmt: skip
case("scatter", (np.full((2, 3), 2.0), 1, AT, 3.0), {"reduce": "add"}, np.array([[5.0, 2, 5], [2, 8, 2]]))
case("scatter", (np.full((2, 3), 2.0), 1, AT), {"value": 3.0, "reduce": "multiply"},
     np.array([[6.0, 2, 6], [2, 18, 2]]))  # fmt: skip
WHERE = (np.array([1, 1, 0]),)
case("index_put", (np.zeros(3), WHERE, np.array([1.0, 2.0, 3.0])), {"accumulate": True}, [3.0, 3.0, 0.0])
case("index_put", (np.zeros(3), (np.array([2, 0]),), np.array([1.0, 2.0])), {}, [2.0, 0.0, 1.0])

# ---- comparison ----
NEAR = np.array([1.0, 100.0])
case("allclose", (NEAR, NEAR * 1.001), {}, False)
case("allclose", (NEAR, NEAR + 5e-6), {}, True)
case("allclose", (NEAR, NEAR * 1.001), {"rtol": 0.01}, True)
case("allclose", (NEAR, NEAR + 0.01), {"atol": 0.1}, True)
case("allclose", (NEAR * 0 + 1e-9, NEAR * 0), {}, True)
case("allclose", (NEAR * 0 + 1e-7, NEAR * 0), {}, False)
case("allclose", (np.array([10.0]), np.array([11.0])), {"rtol": 0.0925}, True)  # relative to the second
case("allclose", (np.array([11.0]), np.array([10.0])), {"rtol": 0.0925, "atol": 0.0}, False)
CASES.pop()
case("allclose", (np.array([NAN]), np.array([NAN])), {}, False)
case("allclose", (np.array([NAN]), np.array([NAN])), {"equal_nan": True}, True)
case("isclose", (NEAR, NEAR + np.array([5e-6, 1.0])), {}, [True, False])
case("isclose", (NEAR, NEAR + np.array([5e-6, 1.0])), {"rtol": 0.01}, [True, True])
case("isclose", (NEAR, NEAR + np.array([5e-3, 1.0])), {"atol": 0.1}, [True, False])
case("isclose", (np.array([NAN, 1.0]), np.array([NAN, 2.0])), {"equal_nan": True}, [True, False])
case("isin", (WHOLE, np.array([1, 3])), {}, np.isin(WHOLE, [1, 3]))
case("isin", (WHOLE, 3), {"invert": True}, WHOLE != 3)
for other, same in ((A + 0, True), (A[:, :3], False), (A[:1], False), (B, False), (A.T, False)):
    case("equal", (A, other), {}, same)

# ---- making ----
case("arange", 3, {}, [0, 1, 2])
case("linspace", (1, 2, 3), {}, np.linspace(1, 2, 3))
case("logspace", (1, 2, 3), {}, np.logspace(1, 2, 3))
case("logspace", (1, 2, 3), {"base": 2.0}, np.logspace(1, 2, 3, base=2.0))
case("arange", (1, 4), {}, [1, 2, 3])
case("arange", (1, 4, 2), {}, [1, 3])
case("arange", (5, 0, -2), {}, [5, 3, 1])
case("arange", (), {"end": 3}, [0, 1, 2])
case("arange", 1, {"end": 3}, [1, 2])
case("arange", (), {"start": 1, "end": 6, "step": 2}, [1, 3, 5])
case("arange", (0, 1, 0.25), {}, [0, 0.25, 0.5, 0.75])
case("full", ((2, 1), 3), {}, np.full((2, 1), 3))
case("full", ((2,), np.array(2.5)), {}, [2.5, 2.5])
case("tensor", [[1, 2]], {}, np.array([[1, 2]]))
case("broadcast_tensors", (np.ones((2, 1)), np.arange(3.0)), {}, (np.ones((2, 3)), np.arange(6.0).reshape(2, 3) % 3))
case("broadcast_shapes", ((2, 1), (3,), 1), {}, (2, 3))
case("broadcast_shapes", ((0,), (1,)), {}, (0,))
case("broadcast_shapes", ((2, 1), (0,), (1, 0)), {}, (2, 0))
ONE, TWO = np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0])
case("meshgrid", (ONE, TWO), {}, tuple(np.meshgrid(ONE, TWO, indexing="ij")))
case("meshgrid", ([ONE, TWO],), {"indexing": "xy"}, tuple(np.meshgrid(ONE, TWO)))
case("meshgrid", (ONE, TWO, TWO), {"indexing": "xy"}, tuple(np.meshgrid(ONE, TWO, TWO)))
case("cartesian_prod", (ONE, TWO), {}, np.array([[a, b] for a in ONE for b in TWO]))
case("cartesian_prod", ONE, {}, ONE)
case("combinations", ONE, {}, np.array([[1.0, 2], [1, 3], [2, 3]]))
case("combinations", ONE, {"r": 3}, np.array([[1.0, 2, 3]]))
case("combinations", TWO, {"with_replacement": True}, np.array([[4.0, 4], [4, 5], [5, 5]]))
case("combinations", TWO, {"r": 3}, np.zeros((0, 3)))
case("einsum", ("ij,kj->ik", A, B), {}, A @ B.T)
case("einsum", ("ij->j", [A]), {}, A.sum(0))
C = np.arange(24.0).reshape(2, 3, 4)
case("tensordot", (C, C.transpose(1, 2, 0)), {}, np.tensordot(C, C.transpose(1, 2, 0), 2))
case("tensordot", (C, A.T), {"dims": 1}, np.tensordot(C, A.T, 1))
case("tensordot", (A, B), {"dims": ([1], [1])}, A @ B.T)
case("tensordot", (A, B), {"dims": np.array([[0], [0]])}, A.T @ B)
case("tensordot", (TWO, ONE), {"dims": 0}, np.outer(TWO, ONE))
case("spmm", (A, B.T), {}, A @ B.T)
case("diff", A, {}, np.diff(A))
case("diff", A, {"n": 0}, A)
case("diff", A, {"n": 2, "dim": 0}, np.diff(A, 2, 0))
case("diff", A, {"n": 9}, np.zeros((3, 0)))
case("diff", A, {"prepend": B, "append": B[:, :1]}, np.diff(A, prepend=B, append=B[:, :1]))
case("diff", A, {"n": 5, "prepend": B}, np.diff(A, 5, prepend=B))
case("diff", MASK, {}, np.diff(MASK))
X = np.array([0.0, 1.0, 3.0, 4.0])
case("trapezoid", A, {}, np.trapezoid(A))
case("trapezoid", (A, X), {}, np.trapezoid(A, X))
case("trapezoid", A, {"x": np.sort(B)}, np.trapezoid(A, np.sort(B)))
case("trapezoid", A, {"dx": 0.5, "dim": 0}, np.trapezoid(A, dx=0.5, axis=0))
case("trapezoid", A, {"x": X[:3], "dim": 0}, np.trapezoid(A, X[:3], axis=0))
case("trapezoid", A, {"x": np.sort(B, 0), "dim": 0}, np.trapezoid(A, np.sort(B, 0), axis=0))
case("trapezoid", C, {"x": X[:3], "dim": -2}, np.trapezoid(C, X[:3], axis=-2))
case("bernoulli", (np.array([0.0, 1.0, 1.0])), {}, [0.0, 1.0, 1.0])
case("bernoulli", np.array([0.0, 0.0]), {"p": 1.0}, [1.0, 1.0])
case("polygamma", (1, np.array([1.0, 2.0])), {}, [math.pi**2 / 6, math.pi**2 / 6 - 1])
case("is_tensor", A, {}, True)
case("is_tensor", ([1],), {}, False)
case("is_floating_point", A, {}, True)
case("is_floating_point", WHOLE, {}, False)
case("is_complex", A, {}, False)
case("is_complex", A + 1j, {}, True)
case("is_conj", A + 1j, {}, False)
case("is_neg", A, {}, False)
case("adjoint", A + 1j * A[::-1], {}, (A - 1j * A[::-1]).T)
case("is_nonzero", np.array([2.0]), {}, True)
case("is_nonzero", np.array([0.0]), {}, False)
case("numel", A, {}, 12)
case("clone", A, {}, A)

# ---- linear algebra ----


def la(name: str, args: Any, options: dict[str, Any], want: Any) -> None:
    case(name, args, options, want, linalg)


STACK = np.stack([A[:, :3], B[:, :3]])
la("vector_norm", A, {}, np.linalg.norm(A))
la("vector_norm", A, {"ord": 1}, abs(A).sum())
la("vector_norm", A, {"ord": INF, "dim": 0}, abs(A).max(0))
la("vector_norm", A, {"ord": 3, "dim": 1, "keepdim": True}, ((abs(A) ** 3).sum(1) ** (1 / 3))[:, None])
for order in ("fro", "nuc", 1, -1, 2, -2, INF, -INF):
    o = {} if order == "fro" else {"ord": order}
    la("matrix_norm", A, o, np.linalg.norm(A, order))
    la("matrix_norm", STACK, o, [np.linalg.norm(m, order) for m in STACK])
    la("matrix_norm", STACK, {**o, "keepdim": True}, np.array([np.linalg.norm(m, order) for m in STACK])[:, None, None])
    la("matrix_norm", STACK, {**o, "dim": (1, 0)}, [np.linalg.norm(STACK[:, :, i].T, order) for i in range(3)])
    la("matrix_norm", STACK, {**o, "dim": (0, 2), "keepdim": True},
       np.array([[np.linalg.norm(STACK[:, i], order)] for i in range(3)])[None])  # fmt: skip
    la("matrix_norm", STACK, {**o, "dim": (-1, 0), "keepdim": True},
       np.array([[np.linalg.norm(STACK[:, i].T, order)] for i in range(3)])[None])  # fmt: skip
    la("norm", A, {"ord": order} if order != "fro" else {}, np.linalg.norm(A, order))
la("norm", STACK, {}, np.linalg.norm(STACK))
la("norm", A, {"dim": 1, "keepdim": True}, np.linalg.norm(A, axis=1, keepdims=True))
la("norm", ROW, {"ord": 1}, abs(ROW).sum())
la("norm", A, {"ord": 1, "dim": 1}, abs(A).sum(1))
la("norm", STACK, {"ord": 1, "dim": (0, 2), "keepdim": True},
   np.array([[np.linalg.norm(STACK[:, i], 1)] for i in range(3)])[None])  # fmt: skip
la("norm", STACK, {"ord": 3, "dim": (1,)}, (abs(STACK) ** 3).sum(1) ** (1 / 3))
la("norm", STACK, {"ord": "nuc", "dim": (1, 2)}, [np.linalg.norm(m, "nuc") for m in STACK])
la("cholesky", S, {}, np.linalg.cholesky(S))
la("cholesky", S, {"upper": True}, np.linalg.cholesky(S).T)
la("solve", (S, TALL[:3]), {}, np.linalg.solve(S, TALL[:3]))
la("solve", (S, B[:, :3]), {"left": False}, np.linalg.solve(S.T, B[:, :3].T).T)
R = np.triu(S) + np.eye(3)
SQUARE = B[:, :3]
la("solve_triangular", (R, SQUARE), {"upper": True}, np.linalg.solve(R, SQUARE))
la("solve_triangular", (LOW, SQUARE), {"upper": False}, np.linalg.solve(np.tril(LOW), SQUARE))
la("solve_triangular", (R, SQUARE), {"upper": True, "left": False}, np.linalg.solve(R.T, SQUARE.T).T)
ONES = np.triu(R, 1) + np.eye(3)
la("solve_triangular", (R, SQUARE), {"upper": True, "unitriangular": True}, np.linalg.solve(ONES, SQUARE))
la("eigvalsh", LOW, {}, np.linalg.eigvalsh(S))
la("eigvalsh", LOW.T, {"UPLO": "U"}, np.linalg.eigvalsh(S))
la("svdvals", A, {}, np.linalg.svd(A)[1])
la("inv", S, {}, np.linalg.inv(S))
la("det", S, {}, np.linalg.det(S))
la("slogdet", -S, {}, tuple(np.linalg.slogdet(-S)))
FLAT = np.diag([4.0, 1.0, 0.01])
la("pinv", A, {}, np.linalg.pinv(A))
la("pinv", FLAT, {"rcond": 0.1}, np.diag([0.25, 1, 0]))
la("pinv", FLAT, {"rtol": 0.3}, np.diag([0.25, 0, 0]))
la("pinv", FLAT, {"atol": 0.1}, np.diag([0.25, 1, 0]))
la("pinv", FLAT, {"atol": 2.0}, np.diag([0.25, 0, 0]))
la("pinv", FLAT, {"rcond": 0.0001, "rtol": 0.3}, np.diag([0.25, 0, 0]))
CASES.pop()  # rtol goes before rcond, which then changes nothing
la("pinv", LOW, {"hermitian": True}, np.linalg.inv(S))
la("lstsq", (TALL, B.T[:, :1]), {}, (np.linalg.lstsq(TALL, B.T[:, :1])[0], np.zeros(0), 3, np.zeros(0)))
X3, RESIDUAL, _, VALUES = np.linalg.lstsq(TALL, B.T)
la("lstsq", (TALL, B.T), {"driver": "gels"}, (X3, RESIDUAL, np.zeros(0), np.zeros(0)))
la("lstsq", (TALL, B.T), {"driver": "gelsd"}, (X3, RESIDUAL, 3, VALUES))
la("lstsq", (TALL, B.T), {"driver": "gelss"}, (X3, RESIDUAL, 3, VALUES))
la("lstsq", (A, B[:, :1]), {"driver": "gelsd"}, (np.linalg.pinv(A) @ B[:, :1], np.zeros(0), 3, np.linalg.svd(A)[1]))
la("lstsq", (FLAT, SQUARE), {"rcond": 0.1}, (np.diag([0.25, 1, 0]) @ SQUARE, np.zeros(0), 2, np.zeros(0)))
la("lstsq", (np.vstack([FLAT, FLAT]), np.vstack([SQUARE, SQUARE])), {"rcond": 0.1, "driver": "gelsd"},
   (np.diag([0.25, 1, 0]) @ SQUARE, np.zeros(0), 2, np.sqrt(2) * np.diag(FLAT)))  # fmt: skip
la("lstsq", (TALL, B.T[:, 0]), {"driver": "gels"}, (X3[:, 0], RESIDUAL[:1], np.zeros(0), np.zeros(0)))
# ---- factors ----
BAD = np.array([[1.0, 2.0], [2.0, 4.0]])
GOOD = np.array([[0.5, -1.0], [2.0, 3.0]])
BOTH = np.stack([BAD, GOOD])
NANS = np.full((2, 2), NAN)
la("inv_ex", BOTH, {}, (np.stack([NANS, np.linalg.inv(GOOD)]), np.array([2, 0])))
la("inv_ex", GOOD, {}, (np.linalg.inv(GOOD), 0))
la("solve_ex", (BOTH, np.stack([GOOD, GOOD])), {}, (np.stack([NANS, np.eye(2)]), np.array([2, 0])))
la("solve_ex", (GOOD, BAD), {"left": False}, (BAD @ np.linalg.inv(GOOD), 0))
la("cholesky_ex", S, {}, (np.linalg.cholesky(S), 0))
la("cholesky_ex", S, {"upper": True}, (np.linalg.cholesky(S).T, 0))
# Rows 2 and 1 change places, then none do.
SWAPPED = np.array([[0.0, 1.0], [1.0, 0.0]])
LU = np.array([[2.0, 3.0], [0.25, -1.75]])
LOWER, UPPER = np.array([[1.0, 0.0], [0.25, 1.0]]), np.triu(LU)
PIVOTS = np.array([2, 2], np.int32)
la("lu", GOOD, {}, (SWAPPED, LOWER, UPPER))
la("lu_factor", GOOD, {}, (LU, PIVOTS))
la("lu_factor_ex", GOOD, {}, (LU, PIVOTS, 0))
la("lu_factor_ex", BAD, {}, (np.array([[2.0, 4.0], [0.5, 0.0]]), PIVOTS, 2))
la("lu_solve", (LU, PIVOTS, BAD), {}, np.linalg.solve(GOOD, BAD))
la("lu_solve", (LU, PIVOTS, SQUARE[:2, :2]), {"left": False}, SQUARE[:2, :2] @ np.linalg.inv(GOOD))
la("lu_solve", (LU, PIVOTS, SQUARE[:2, :2]), {"adjoint": True}, np.linalg.solve(GOOD.T, SQUARE[:2, :2]))
case("lu", GOOD, {}, (LU, PIVOTS))
case("lu", BAD, {"get_infos": True}, (np.array([[2.0, 4.0], [0.5, 0.0]]), PIVOTS, 2))
case("lu_unpack", (LU, PIVOTS), {}, (SWAPPED, LOWER, UPPER))
case("lu_unpack", (LU, PIVOTS), {"unpack_data": False}, (SWAPPED, np.zeros(0), np.zeros(0)))
case("lu_unpack", (LU, PIVOTS), {"unpack_pivots": False}, (np.zeros(0), LOWER, UPPER))
case("lu_solve", (BAD, LU, PIVOTS), {}, np.linalg.solve(GOOD, BAD))
LDL = np.array([[4.0, 0.0], [0.5, 2.0]])
la("ldl_factor", np.array([[4.0, 9.0], [2.0, 3.0]]), {}, (LDL, np.array([1, 2], np.int32)))
la("ldl_factor_ex", np.array([[4.0, 9.0], [2.0, 3.0]]), {}, (LDL, np.array([1, 2], np.int32), 0))
la("ldl_factor_ex", np.zeros((2, 2)), {}, (np.zeros((2, 2)), np.array([1, 2], np.int32), 1))
IMAGINARY = np.array([[4.0, 0.0], [2.0j, 3.0]])
la("ldl_factor", IMAGINARY, {"hermitian": True}, (np.array([[4.0, 0.0], [0.5j, 2.0]]), np.array([1, 2], np.int32)))
la("ldl_factor_ex", IMAGINARY, {"hermitian": True}, (np.array([[4.0, 0], [0.5j, 2.0]]), np.array([1, 2], np.int32), 0))
la("ldl_solve", (LDL, np.array([1, 2], np.int32), GOOD), {}, np.linalg.solve([[4.0, 2.0], [2.0, 3.0]], GOOD))
la("ldl_solve", (np.array([[4.0, 0.0], [0.5j, 2.0]]), np.array([1, 2], np.int32), GOOD + 0j), {"hermitian": True},
   np.linalg.solve([[4.0, -2.0j], [2.0j, 3.0]], GOOD))  # fmt: skip
# A reflection of (3, 4) to -5: the factor is 1 + 3/5, the vector (1, 4/8).
MIRROR = np.array([[-5.0], [0.5]])
case("geqrf", np.array([[3.0], [4.0]]), {}, (MIRROR, np.array([1.6])))
for word, place in (("orgqr", rt), ("householder_product", linalg)):
    case(word, (MIRROR, np.array([1.6])), {}, np.array([[-0.6], [-0.8]]), place)
case("qr", np.array([[3.0], [4.0]]), {}, (np.array([[-0.6], [-0.8]]), np.array([[-5.0]])))
case("qr", np.array([[3.0], [4.0]]), {"some": False},
     (np.array([[-0.6, -0.8], [-0.8, 0.6]]), np.array([[-5.0], [0.0]])))  # fmt: skip
la("eig", np.diag([2.0 + 1j, 3.0]), {}, (np.array([2.0 + 1j, 3.0]), np.eye(2)))
la("eigvals", np.diag([2.0 + 1j, 3.0]), {}, np.array([2.0 + 1j, 3.0]))
la("matrix_exp", np.diag([0.5, -1.0, 2.0]), {}, np.diag(np.exp([0.5, -1.0, 2.0])))
la("cond", A, {}, np.linalg.cond(A))
la("cond", S, {"p": "fro"}, np.linalg.cond(S, "fro"))
la("cond", S, {"p": -INF}, np.linalg.cond(S, -INF))
la("matrix_rank", FLAT, {}, 3)
la("matrix_rank", FLAT, {"tol": 0.1}, 2)
la("matrix_rank", FLAT, {"tol": 2.0}, 1)
la("matrix_rank", FLAT, {"atol": 0.1}, 2)
la("matrix_rank", FLAT, {"rtol": 0.3}, 1)
la("matrix_rank", np.array([[0.0, 5.0], [0.0, 0.0]]), {"hermitian": True}, 0)
FOUR = np.arange(1.0, 17.0).reshape(4, 4) + np.diag([9.0, -7.0, 5.0, 8.0])
la("tensorinv", FOUR.reshape(2, 2, 4), {}, np.linalg.inv(FOUR).reshape(4, 2, 2))
la("tensorinv", FOUR.reshape(4, 2, 2), {"ind": 1}, np.linalg.inv(FOUR).reshape(2, 2, 4))
la("tensorsolve", (FOUR.reshape(2, 2, 4), GOOD), {}, np.linalg.tensorsolve(FOUR.reshape(2, 2, 4), GOOD))
la("tensorsolve", (FOUR.reshape(4, 4), np.arange(4.0)), {"dims": [0]}, np.linalg.solve(FOUR.T, np.arange(4.0)))
la("vander", ROW, {}, np.vander(ROW, increasing=True))
la("vander", ROW, {"N": 2}, np.vander(ROW, 2, increasing=True))
case("vander", ROW, {}, np.vander(ROW))
case("vander", ROW, {"N": 2}, np.vander(ROW, 2))
case("vander", ROW, {"increasing": True}, np.vander(ROW, increasing=True))
case("slogdet", -S, {}, tuple(np.linalg.slogdet(-S)))
case("pinverse", A, {}, np.linalg.pinv(A))
case("pinverse", FLAT, {"rcond": 0.1}, np.diag([0.25, 1, 0]))
case("chain_matmul", (A, B.T, A), {}, A @ B.T @ A)
case("triangular_solve", (SQUARE, R), {}, (np.linalg.solve(R, SQUARE), R))
case("triangular_solve", (SQUARE, LOW), {"upper": False}, (np.linalg.solve(np.tril(LOW), SQUARE), LOW))
case("triangular_solve", (SQUARE, R), {"transpose": True}, (np.linalg.solve(R.T, SQUARE), R))
case("triangular_solve", (SQUARE, R), {"unitriangular": True}, (np.linalg.solve(ONES, SQUARE), R))
la("matrix_power", (S, 3), {}, S @ S @ S)
la("matrix_power", (S, -2), {}, np.linalg.inv(S @ S))
la("multi_dot", ([A, B.T, A],), {}, A @ B.T @ A)
la("matmul", (A, B.T), {}, A @ B.T)
la("vecdot", (A, B), {}, (A * B).sum(1))
la("vecdot", (A, B), {"dim": 0}, (A * B).sum(0))
la("cross", (A[:, :3], B[:, :3]), {}, np.cross(A[:, :3], B[:, :3]))
la("cross", (A, B), {"dim": 0}, np.cross(A, B, axis=0))
la("diagonal", C, {}, np.diagonal(C, 0, -2, -1))
la("diagonal", C, {"offset": 1}, np.diagonal(C, 1, -2, -1))
la("diagonal", C, {"dim1": 0}, np.diagonal(C, 0, 0, -1))
la("diagonal", C, {"dim1": 0, "dim2": 1, "offset": -1}, np.diagonal(C, -1, 0, 1))


# ---- integrals, slopes, histograms ----
HOLES = np.where(A > 3, NAN, A)
case("nanmedian", HOLES, {}, 0.5)
case("nanmedian", HOLES, {"dim": 1}, (np.array([0.5, 0.25, 1.0]), np.array([0, 1, 0])))
case("nanmedian", HOLES, {"dim": 1, "keepdim": True}, (np.array([[0.5], [0.25], [1.0]]), np.array([[0], [1], [0]])))
CASES.pop()  # of the two ones either may be named
case("nanmedian", HOLES[:2], {"dim": 1, "keepdim": True}, (np.array([[0.5], [0.25]]), np.array([[0], [1]])))
MEANS = (A[:, 1:] + A[:, :-1]) / 2
PLACES = np.array([0.0, 1.0, 3.0, 3.5])
case("cumulative_trapezoid", A, {}, MEANS.cumsum(1))
case("cumulative_trapezoid", A, {"x": PLACES}, (MEANS * np.diff(PLACES)).cumsum(1))
case("cumulative_trapezoid", A, {"dx": 0.5}, MEANS.cumsum(1) * 0.5)
case("cumulative_trapezoid", A, {"dim": 0}, ((A[1:] + A[:-1]) / 2).cumsum(0))
case("gradient", A, {}, tuple(np.gradient(A)))
case("gradient", A, {"dim": 1}, (np.gradient(A, axis=1),))
case("gradient", A, {"edge_order": 2}, tuple(np.gradient(A, edge_order=2)))
case("gradient", A, {"spacing": 2}, tuple(np.gradient(A, 2.0)))
case("gradient", A, {"spacing": 2, "dim": 0}, (np.gradient(A, 2.0, axis=0),))
case("gradient", A, {"spacing": (PLACES,), "dim": (1,)}, (np.gradient(A, PLACES, axis=1),))
case("gradient", A, {"spacing": [0.5, 2.0], "dim": (1, 0)}, tuple(np.gradient(A, 0.5, 2.0, axis=(1, 0))))
MASS = np.arange(1.0, 13.0).reshape(3, 4)
EDGES = np.array([-1.5, 0.0, 0.5, 4.0])


def counted(x: Any, bins: Any, **options: Any) -> Any:
    return tuple(np.histogram(x, bins, **options))


case("histogram", (A, 5), {}, counted(A, 5))
case("histogram", A, {"bins": 3}, counted(A, 3))
case("histogram", A, {"bins": EDGES}, counted(A, EDGES))
case("histogram", (A, 5), {"range": (-1.0, 2.0)}, counted(A, 5, range=(-1.0, 2.0)))
case("histogram", (A, 5), {"weight": MASS}, counted(A, 5, weights=MASS))
case("histogram", (A, 5), {"density": True}, counted(A, 5, density=True))
PAIRS = A.reshape(6, 2)


def counted_points(bins: Any, **options: Any) -> Any:
    count, edges = np.histogramdd(PAIRS, bins, **options)
    return count, tuple(edges)


case("histogramdd", (PAIRS, 3), {}, counted_points(3))
case("histogramdd", (PAIRS, [3, 2]), {}, counted_points([3, 2]))
case("histogramdd", (PAIRS.reshape(3, 2, 2), 3), {}, counted_points(3))
case("histogramdd", (PAIRS, (EDGES, EDGES[1:])), {}, counted_points((EDGES, EDGES[1:])))
case("histogramdd", (PAIRS, 3), {"range": (-1.0, 2.0, 0.0, 3.0)}, counted_points(3, range=((-1, 2), (0, 3))))
case("histogramdd", (PAIRS, 3), {"weight": MASS.reshape(-1)[:6]}, counted_points(3, weights=MASS.reshape(-1)[:6]))
case("histogramdd", (PAIRS, 3), {"density": True}, counted_points(3, density=True))


@pytest.mark.parametrize("name", list(dict.fromkeys((c[0].__name__, c[1]) for c in CASES)), ids=".".join)
def test_options(name: tuple[str, str]) -> None:
    for place, word, args, options, want in CASES:
        if (place.__name__, word) != name:
            continue
        f = getattr(place, word)
        given, by_name = tensors(args), {k: tensors(v) for k, v in options.items()}
        before = [leaf.copy() for leaf in leaves(given)]
        calls = {"function": lambda f=f, a=given, o=by_name: f(*a, **o)}
        method = getattr(rt.Tensor, word, None)
        if place is rt and method is not None and given and isinstance(given[0], rt.Tensor):
            if word == "where":  # of the values, not of the condition
                if len(given) == 3 and isinstance(given[1], rt.Tensor):
                    calls["method"] = lambda a=given: a[1].where(a[0], a[2])
            else:
                calls["method"] = lambda a=given, o=by_name, w=word: getattr(a[0], w)(*a[1:], **o)
        for kind, call in calls.items():
            got = call()
            assert agree(got, want), f"{kind} {word} {args} {options}: {leaves(got)}, right is {leaves(want)}"
        assert all(repr(a) == repr(b) for a, b in zip(before, leaves(given), strict=True)), "an input changed"
        if "out" in inspect.signature(f).parameters and isinstance(f(*given, **by_name), rt.Tensor):
            r = f(*given, **by_name)
            out = rt.zeros_like(r)
            assert f(*given, **by_name, out=out) is out and agree(out, want) and out.dtype is r.dtype
        for option in options:
            less = {k: v for k, v in by_name.items() if k != option}
            try:
                other = f(*given, **less)
            except (RuntimeError, ValueError, TypeError):
                continue
            assert not agree(other, want), f"{word}: {option}={options[option]} changes nothing here"


def test_every_option_is_tried() -> None:
    tried: dict[str, set[str]] = {}
    for place, word, _, options, _ in CASES:
        tried.setdefault(f"{place.__name__}.{word}", set()).update(options)
    elsewhere = {
        "normal", "randint", "randint_like", "empty_strided", "range", "result_type", "can_cast", "index_put_",
        "clamp_", "clip_", "clamp_min_", "clamp_max_", "gru", "lstm", "lstm_cell", "rnn_relu", "rnn_tanh",
        "get_device", "scalar_tensor", "svd", "trapz", "svd_lowrank", "pca_lowrank", "stft", "istft",
    }  # fmt: skip
    # Ops of the table that take more than it says, whose options are the table's.
    elsewhere |= {n for n in words.__all__ if inspect.unwrap(getattr(words, n)) is getattr(rt._ops, n, None)}
    missing = []
    for place, names in (
        (words, set(words.__all__) - elsewhere),
        (linalg, set(linalg.__all__) - {"qr", "svd", "eigh", "LinAlgError"}),
    ):
        for name in sorted(names):
            key = f"{linalg.__name__ if place is linalg else 'rustorch'}.{name}"
            if key not in tried:
                missing.append(name)
                continue
            for p in inspect.signature(getattr(place, name)).parameters.values():
                optional = p.default is not p.empty and p.name not in NOTHING and f"{name}.{p.name}" not in ALSO
                if optional and p.name not in tried[key]:
                    missing.append(f"{name}.{p.name}")
    assert not missing


def test_numpys_names_mean_the_same() -> None:
    a = tensors(A)
    for name in ("max", "min", "median", "argmax", "argmin", "aminmax", "std", "var", "std_mean", "var_mean"):
        f = getattr(rt, name)
        for axis in (0, 1):
            theirs, ours = f(a, axis=axis, keepdims=True), f(a, dim=axis, keepdim=True)
            assert agree(theirs, ours) and leaves(ours)[0].ndim == 2 and not agree(theirs, f(a, dim=axis))
    for name, args in (("sort", ()), ("argsort", ()), ("diff", ()), ("tensor_split", (2,)), ("unflatten", ((1, -1),))):
        f = getattr(rt, name)
        want = f(a, *args, dim=0) if name != "unflatten" else f(a, 0, *args)
        got = f(a, *args, axis=0) if name != "unflatten" else f(a, axis=0, sizes=args[0])
        assert agree(got, want)
    assert agree(rt.repeat_interleave(a, 2, axis=1), A.repeat(2, 1))


# ---- results in pairs, given tensors, memory ----


@pytest.mark.parametrize(
    ("name", "args"),
    [("max", (1,)), ("min", (1,)), ("median", (1,)), ("sort", ()), ("topk", (2,)), ("kthvalue", (2,)), ("mode", ()),
     ("cummax", (1,)), ("cummin", (1,))],
)  # fmt: skip
def test_pairs_into_given_tensors(name: str, args: Any) -> None:
    f = getattr(rt, name)
    want = f(tensors(A), *args)
    values, indices = rt.empty(0, dtype=rt.float64), rt.empty(0, dtype=rt.int64)
    got = f(tensors(A), *args, out=(values, indices))
    assert got[0] is values and got[1] is indices and agree(got, want)
    assert type(want).__name__ == name and want._fields == ("values", "indices")
    assert agree(want.values, want[0]) and agree(want.indices, want[1]) and want.indices.dtype is rt.int64
    assert repr(want).startswith(f"rustorch.return_types.{name}(\nvalues=tensor(")


def test_what_shares_memory() -> None:
    def shares(f: Any) -> bool:
        t = tensors(A)
        part = f(t)
        before = part.tolist()
        t.add_(1)
        return bool(part.tolist() != before)

    views = {
        "split": lambda t: t.split(2)[0],
        "split sizes": lambda t: t.split([1, 2])[1],
        "tensor_split": lambda t: t.tensor_split(2)[1],
        "hsplit": lambda t: t.hsplit(2)[1],
        "vsplit": lambda t: rt.vsplit(t, 3)[1],
        "unsafe_chunk": lambda t: t.unsafe_chunk(2)[1],
        "narrow": lambda t: t.narrow(0, 1, 1),
        "unflatten": lambda t: t.unflatten(1, (2, 2)),
        "T": lambda t: t.T,
        "mT": lambda t: t.mT,
        "H": lambda t: t.H,
        "view": lambda t: t.view(12),
        "view dtype": lambda t: t.view(rt.int64),
        "view_as": lambda t: t.view_as(rt.ones(12)),
        "expand_as": lambda t: t.expand_as(rt.ones(2, 3, 4)),
        "reshape_as": lambda t: t.reshape_as(rt.ones(12)),
        "contiguous": lambda t: t.contiguous(),
        "to": lambda t: t.to(rt.float64),
        "double": lambda t: t.double(),
        "cpu": lambda t: t.cpu(),
        "detach": lambda t: t.detach(),
        "data": lambda t: t.data,
        "broadcast_tensors": lambda t: rt.broadcast_tensors(t, rt.ones(2, 3, 4))[0],
        "index": lambda t: t[1:],
        "whole": lambda t: t[:],
        "ellipsis": lambda t: t[...],
        "as_tensor": rt.as_tensor,
        "asarray": rt.asarray,
        "squeeze": lambda t: t.squeeze(),
        "real": lambda t: t.real,
        "unbind": lambda t: next(iter(t)),
        "Tensor": rt.Tensor,
        "as_subclass": lambda t: t.as_subclass(rt.Tensor),
    }
    copies = {
        "narrow_copy": lambda t: rt.narrow_copy(t, 0, 1, 1),
        "clone": lambda t: t.clone(),
        "to copy": lambda t: t.to(rt.float64, copy=True),
        "to copy positional": lambda t: t.to(rt.float64, False, True),
        "float": lambda t: t.float(),
        "contiguous of a transposed": lambda t: t.T.contiguous(),
        "tensor": lambda t: rt.tensor(t),
        "new_tensor": lambda t: t.new_tensor(t),
        "diff of nothing": lambda t: rt.diff(t, 0),
        "clamp": lambda t: t.clamp(-9, 9),
        "index list": lambda t: t[[0, 1]],
        "mask": lambda t: t[t > -9],
        "asarray copy": lambda t: rt.asarray(t, copy=True),
        "sort": lambda t: t.sort().values,
        "repeat_interleave": lambda t: t.repeat_interleave(1, 0),
        "repeat_interleave of one": lambda t: t[:1].repeat_interleave(4, 0),
        "repeat": lambda t: t.repeat(1, 1),
        "tile": lambda t: t.tile((1,)),
        "roll": lambda t: t.roll(0, 0),
        "flip": lambda t: t.flip(()),
        "rot90": lambda t: rt.rot90(t, 4),
        "cat": lambda t: rt.cat([t]),
        "pad": lambda t: F.pad(t, (0, 0)),
        "pixel_shuffle": lambda t: F.pixel_shuffle(t[None, None], 1),
        "pixel_unshuffle": lambda t: F.pixel_unshuffle(t[None, None], 1),
        "pixel_unshuffle of rows": lambda t: F.pixel_unshuffle(t.view(1, 1, 6, 2), 2),
        "channel_shuffle": lambda t: F.channel_shuffle(t[None, ..., None], 1),
        "interpolate": lambda t: F.interpolate(t[None, None], scale_factor=1),
        "matrix_power": lambda t: linalg.matrix_power(t[:, :3], 1),
        "sum of one": lambda t: t[:1].sum(0),
        "index_select": lambda t: t.index_select(0, rt.tensor([0, 1, 2])),
        "masked_fill": lambda t: t.masked_fill(t > 99, 0),
        "embedding": lambda t: F.embedding(rt.tensor([0, 1]), t),
        "index_put": lambda t: t.index_put((rt.tensor([0]),), t[0]),
        "scatter": lambda t: t.scatter(0, rt.tensor([[0]]), 1.0),
        "scatter add": lambda t: t.scatter(0, rt.tensor([[0]]), 1.0, reduce="add"),
        "sum_to_size": lambda t: t.sum_to_size(1, 4),
        "pinv": lambda t: rt.linalg.pinv(t),
        "unique": lambda t: t.unique(dim=0),
    }
    assert [k for k, f in views.items() if not shares(f)] == []
    assert [k for k, f in copies.items() if shares(f)] == []


MAKERS: dict[str, Any] = {
    "arange": lambda **o: rt.arange(3.0, **o),
    "full": lambda **o: rt.full((2,), 1.5, **o),
    "full of a tensor": lambda **o: rt.full((2,), rt.tensor(1.5), **o),
    "tensor": lambda **o: rt.tensor([1.0, 2.0], **o),
    "tensor of a number": lambda **o: rt.tensor(1.0, **o),
    "empty_strided": lambda **o: rt.empty_strided((2, 3), (1, 2), **o),
    "normal": lambda **o: rt.normal(0.0, 1.0, (3,), **o),
    "zeros": lambda **o: rt.zeros(2, **o),
    "rand": lambda **o: rt.rand(2, **o),
    "eye": lambda **o: rt.eye(2, **o),
    "linspace": lambda **o: rt.linspace(0, 1, 3, **o),
    "ones_like": lambda **o: rt.ones_like(rt.zeros(2), **o),
    "new_zeros": lambda **o: rt.zeros(2).new_zeros(3, **o),
    "new_ones": lambda **o: rt.zeros(2).new_ones(3, **o),
    "new_empty": lambda **o: rt.zeros(2).new_empty(3, **o),
    "new_full": lambda **o: rt.zeros(2).new_full((3,), 2.0, **o),
    "new_tensor": lambda **o: rt.zeros(2).new_tensor([1.0], **o),
    "randint": lambda **o: rt.randint(0, 9, (3,), **{"dtype": rt.float32, **o}),
    "randint_like": lambda **o: rt.randint_like(rt.zeros(2), 0, 9, **o),
    "as_tensor": lambda **o: rt.as_tensor([1.0], **{k: v for k, v in o.items() if k != "requires_grad"}),
}


@pytest.mark.parametrize("name", MAKERS)
def test_options_of_what_makes_tensors(name: str) -> None:
    make = MAKERS[name]
    assert make().dtype is rt.float32 and not make().requires_grad and make().is_leaf
    assert make(dtype=rt.float64).dtype is rt.float64 and make(device="cpu").device == rt.device("cpu")
    if name != "as_tensor":
        asking = make(requires_grad=True)
        assert asking.requires_grad and asking.is_leaf and not make(requires_grad=False).requires_grad
        assert make(device="cpu", requires_grad=True).requires_grad
    with pytest.raises(errors.UnsupportedError, match="CPU"):
        make(device="cuda")


def test_new_tensors_are_like_the_one_asked() -> None:
    t = rt.zeros(2, dtype=rt.float64)
    for new in (t.new_zeros(2, 3), t.new_zeros((2, 3)), t.new_zeros(size=(2, 3))):
        assert new.tolist() == [[0] * 3] * 2 and new.dtype is rt.float64
    assert t.new_ones(2).tolist() == [1, 1] and t.new_ones(2).dtype is rt.float64
    assert t.new_full((2,), 3).tolist() == [3, 3] and t.new_full((2,), 3).dtype is rt.float64
    assert t.new_tensor([1]).dtype is rt.float64 and t.new_tensor([1], dtype=rt.int32).dtype is rt.int32
    assert t.new_empty(2, 3).shape == (2, 3) and t.new_empty(2).dtype is rt.float64
    assert rt.randint_like(t, 5).dtype is rt.float64 and rt.full((1,), 2, dtype=rt.float64).dtype is rt.float64
    s = rt.empty_strided((2, 3), (4, 1))
    assert s.shape == (2, 3) and s.stride() == (4, 1) and s.as_strided((7,), (1,)).numel() == 7 and not s._is_view()
    assert rt.empty_strided((0, 3), (4, 1)).shape == (0, 3)


def test_ranges() -> None:
    for args, want in (
        ((3,), [0, 1, 2, 3]), ((1, 3), [1, 2, 3]), ((1, 2, 0.5), [1, 1.5, 2]), ((3, 1, -1), [3, 2, 1]),
        ((2, 2), [2]), ((0, 1, 0.3), [0, 0.3, 0.6, 0.9]),
    ):  # fmt: skip
        with pytest.warns(UserWarning, match="deprecated"):
            got = rt.range(*args)
        assert got.tolist() == pytest.approx(want) and got.dtype is rt.float32
    with pytest.warns(UserWarning, match="deprecated"):
        assert rt.range(0, 2, dtype=rt.int64, requires_grad=False).dtype is rt.int64
    with pytest.warns(UserWarning, match="deprecated"):
        assert rt.range(0, 2, requires_grad=True).requires_grad
    out = rt.empty(0, dtype=rt.float64)
    with pytest.warns(UserWarning, match="deprecated"):
        assert rt.range(0, 2, out=out) is out and out.tolist() == [0, 1, 2]
    for args in ((0, 3, 0), (0, 3, -1), (3, 0)):
        with pytest.warns(UserWarning, match="deprecated"), pytest.raises(errors.InvalidArgumentError):
            rt.range(*args)


def seeded(seed: int) -> rt.Generator:
    return rt.Generator().manual_seed(seed)


DRAWS: dict[str, Any] = {
    "rand": lambda g: rt.rand(40, generator=g),
    "randn": lambda g: rt.randn(40, generator=g),
    "randperm": lambda g: rt.randperm(40, generator=g),
    "randint": lambda g: rt.randint(0, 99, (40,), generator=g),
    "normal numbers": lambda g: rt.normal(0.0, 1.0, (40,), generator=g),
    "normal tensors": lambda g: rt.normal(rt.zeros(40), rt.ones(40), generator=g),
    "normal out": lambda g: rt.normal(0.0, 1.0, out=rt.empty(40), generator=g),
    "bernoulli": lambda g: rt.bernoulli(rt.full((40,), 0.5), generator=g),
    "bernoulli p": lambda g: rt.bernoulli(rt.zeros(40), 0.5, generator=g),
    "bernoulli_": lambda g: rt.zeros(40).bernoulli_(generator=g),
    "bernoulli_ tensor": lambda g: rt.zeros(40).bernoulli_(rt.full((40,), 0.5), generator=g),
    "random_": lambda g: rt.zeros(40).random_(generator=g),
    "random_ to": lambda g: rt.zeros(40).random_(9, generator=g),
    "random_ from to": lambda g: rt.zeros(40).random_(3, 9, generator=g),
    "uniform_": lambda g: rt.zeros(40).uniform_(generator=g),
    "normal_": lambda g: rt.zeros(40).normal_(generator=g),
    "exponential_": lambda g: rt.zeros(40).exponential_(generator=g),
    "multinomial": lambda g: rt.multinomial(rt.ones(9), 40, True, generator=g),
}


@pytest.mark.parametrize("name", DRAWS)
def test_draws_come_from_the_given_generator(name: str) -> None:
    draw = DRAWS[name]
    rt.manual_seed(0)
    first = draw(seeded(7)).tolist()
    assert rt.initial_seed() == 0
    state = rt.get_rng_state()
    assert draw(seeded(7)).tolist() == first != draw(seeded(8)).tolist()
    assert rt.equal(rt.get_rng_state(), state)
    rt.manual_seed(7)
    assert draw(None).tolist() == first and not rt.equal(rt.get_rng_state(), state)


def test_limits_of_draws() -> None:
    rt.manual_seed(0)
    n = 3000

    def ends(t: Any) -> tuple[float, float]:
        return t.min().item(), t.max().item()

    assert ends(rt.empty(n).random_(5)) == (0, 4) and ends(rt.empty(n).random_(to=5)) == (0, 4)
    assert ends(rt.empty(n).random_(2, 5)) == (2, 4) and ends(rt.empty(n).random_(**{"from": 2, "to": 5})) == (2, 4)
    assert ends(rt.empty(n).random_(2, to=5)) == (2, 4) and ends(rt.empty(n).random_(from_=-3, to=0)) == (-3, -1)
    assert ends(rt.empty(n, dtype=rt.int8).random_()) == (0, 127)
    assert ends(rt.empty(n, dtype=rt.int8).random_(-128, None)) == (-128, 127)
    assert ends(rt.empty(n, dtype=rt.bool).random_()) == (False, True)
    for wrong in ((1, 2, 3), (5, 5), (0,)):
        with pytest.raises(errors.RustorchError):
            rt.empty(2).random_(*wrong)
    with pytest.raises(errors.DTypeError):
        rt.empty(2).random_(high=3)
    low, high = ends(rt.empty(n).uniform_())
    assert 0 <= low < 0.01 and 0.99 < high < 1
    for t in (rt.empty(n).uniform_(2, 3), rt.empty(n).uniform_(**{"from": 2.0, "to": 3.0})):
        low, high = ends(t)
        assert 2 <= low < 2.01 and 2.99 < high < 3
    for t, mean, std in (
        (rt.empty(n).normal_(), 0, 1), (rt.empty(n).normal_(2, 0.5), 2, 0.5), (rt.empty(n).normal_(std=3), 0, 3),
        (rt.normal(2.0, 0.5, (n,)), 2, 0.5), (rt.normal(2.0, size=(n,)), 2, 1),
        (rt.normal(rt.full((n,), 2.0), 0.5), 2, 0.5), (rt.normal(2.0, rt.full((n,), 0.5)), 2, 0.5),
        (rt.normal(rt.full((n,), 2.0), rt.full((1,), 0.5)), 2, 0.5), (rt.normal(rt.full((n,), 2.0)), 2, 1),
    ):  # fmt: skip
        assert t.shape == (n,) and abs(t.mean().item() - mean) < 0.1 * std and abs(t.std().item() / std - 1) < 0.1
    for t, p in (
        (rt.empty(n).bernoulli_(), 0.5), (rt.empty(n).bernoulli_(0.2), 0.2), (rt.bernoulli(rt.ones(n), 0.2), 0.2),
        (rt.empty(n).bernoulli_(rt.full((n,), 0.8)), 0.8), (rt.empty(n).bernoulli_(rt.tensor(0.8)), 0.8),
    ):  # fmt: skip
        assert abs(t.mean().item() - p) < 0.05 and set(t.tolist()) == {0.0, 1.0}
    for call, want in (
        (lambda: rt.randint(5, (n,)), (0, 4)), (lambda: rt.randint(2, 5, (n,)), (2, 4)),
        (lambda: rt.randint(low=2, high=5, size=(n,)), (2, 4)), (lambda: rt.randint(high=5, size=(n,)), (0, 4)),
        (lambda: rt.randint(2, high=5, size=(n,)), (2, 4)), (lambda: rt.randint(5, size=(n,)), (0, 4)),
        (lambda: rt.randint(2, 5, size=(n,)), (2, 4)), (lambda: rt.randint(rt.tensor(2), 5, (n,)), (2, 4)),
        (lambda: rt.randint_like(rt.zeros(n), 5), (0, 4)), (lambda: rt.randint_like(rt.zeros(n), 2, 5), (2, 4)),
        (lambda: rt.randint_like(rt.zeros(n), low=2, high=5), (2, 4)),
    ):  # fmt: skip
        assert ends(call()) == want
    assert rt.randint(5, (2,)).dtype is rt.int64 and rt.randint(5, (2,), dtype=rt.int8).dtype is rt.int8
    out = rt.empty(0, dtype=rt.float64)
    assert rt.randint(5, (4,), out=out) is out and out.shape == (4,)
    out = rt.empty(4, dtype=rt.float64)
    assert (
        rt.normal(0.0, 1.0, out=out) is out
        and out.any()
        and rt.normal(0.0, 1.0, (3,), dtype=rt.float64).dtype is rt.float64
    )
    assert rt.normal(rt.zeros(4, dtype=rt.float64), rt.ones(4), out=out) is out
    assert (
        rt.normal(rt.zeros(2, dtype=rt.float64), 1.0).dtype
        is rt.normal(0.0, rt.ones(2, dtype=rt.float64)).dtype
        is rt.float64
    )
    for wrong_call in (lambda: rt.normal(0.0, 1.0), lambda: rt.randint(5), lambda: rt.randint(0.5, 3, (2,)),
                       lambda: rt.randint(size=(2,)), lambda: rt.randint(high=3)):  # fmt: skip
        with pytest.raises((errors.InvalidArgumentError, errors.DTypeError)):
            wrong_call()


def test_in_place_words_return_their_tensor() -> None:
    index, two = rt.tensor([[0, 1]]), rt.tensor([1.0, 2.0])
    for f, want in (
        (lambda t: t.clamp_(1, 2), [[1, 1], [2, 2]]), (lambda t: t.clip_(max=1), [[0, 1], [1, 1]]),
        (lambda t: t.clamp_(min=two), [[1, 2], [2, 3]]), (lambda t: t.clamp_(max=two), [[0, 1], [1, 2]]),
        (lambda t: t.scatter_(0, index, 9.0), [[9, 1], [2, 9]]),
        (lambda t: t.scatter_(0, index, value=9.0), [[9, 1], [2, 9]]),
        (lambda t: t.scatter_(0, index, rt.tensor([[7.0, 8.0]])), [[7, 1], [2, 8]]),
        (lambda t: t.scatter_(0, index, 5.0, reduce="add"), [[5, 1], [2, 8]]),
        (lambda t: t.scatter_(0, index, rt.full((1, 2), 5.0), reduce="multiply"), [[0, 1], [2, 15]]),
        (lambda t: t.index_put_((rt.tensor([0, 0]),), rt.tensor(1.0), True), [[2, 3], [2, 3]]),
        (lambda t: t.index_put_((rt.tensor([0]),), rt.tensor(7.0)), [[7, 7], [2, 3]]),
        (lambda t: t.copy_(two), [[1, 2], [1, 2]]), (lambda t: t.copy_(3), [[3, 3], [3, 3]]),
        (lambda t: t.fill_diagonal_(9), [[9, 1], [2, 9]]), (lambda t: t.apply_(lambda v: v * 2), [[0, 2], [4, 6]]),
        (lambda t: t.t_(), [[0, 2], [1, 3]]), (lambda t: t.transpose_(0, 1), [[0, 2], [1, 3]]),
        (lambda t: t.swapaxes_(0, 1), [[0, 2], [1, 3]]), (lambda t: t.unsqueeze_(1), [[[0, 1]], [[2, 3]]]),
        (lambda t: t.as_strided_((2,), (3,), 0), [0, 3]), (lambda t: t.resize_(3), [0, 1, 2]),
        (lambda t: t.resize_((1, 2)), [[0, 1]]), (lambda t: t.resize_as_(two), [0, 1]),
        (lambda t: t.set_(two), [1, 2]), (lambda t: t.set_(two, 1, (1,), (1,)), [2]),
        (lambda t: t.set_(rt.arange(6.0), 1, (2, 2)), [[1, 2], [3, 4]]), (lambda t: t.set_(), []),
        (lambda t: t.set_(rt.arange(6.0), size=(2, 2), stride=(1, 2)), [[0, 2], [1, 3]]),
    ):  # fmt: skip
        t = rt.arange(4.0).view(2, 2).clone()
        assert f(t) is t and t.tolist() == want and not t.requires_grad


def test_sizes_for_sums() -> None:
    c = tensors(C)
    for size, want in (
        ((3, 4), C.sum(0)), ((1, 4), C.sum((0, 1))[None]), ((2, 1, 4), C.sum(1, keepdims=True)), ((4,), C.sum((0, 1))),
        ((1,), C.sum().reshape(1)), ((), C.sum()), ((2, 3, 4), C),
    ):  # fmt: skip
        assert agree(c.sum_to_size(size), want) and c.sum_to_size(size).shape == np.shape(want)
        assert agree(c.sum_to_size(*size), want)
    for wrong in ((2, 2, 4), (5, 2, 3, 4), (1, 3), (1, 2, 3, 4)):
        with pytest.raises(errors.ShapeMismatchError, match="cannot be expanded"):
            c.sum_to_size(wrong)


def test_dtypes_of_results_and_casts() -> None:
    f64, f32, i32, i64, u8, b = rt.float64, rt.float32, rt.int32, rt.int64, rt.uint8, rt.bool
    for x, y, want in (
        (rt.ones(1, dtype=f32), rt.ones(1, dtype=f64), f64), (rt.ones(1, dtype=f32), rt.tensor(1.0, dtype=f64), f32),
        (rt.ones(1, dtype=i32), 1.5, f32), (rt.ones(1, dtype=i32), 1, i32), (rt.ones(1, dtype=u8), True, u8),
        (1, 2, i64), (1, 2.0, f32), (True, False, b), (rt.tensor(1, dtype=i32), 1, i32),
        (2.0, rt.ones(1, dtype=b), f32),
        (rt.ones(1, dtype=u8), rt.ones(1, dtype=rt.int8), rt.int16),
    ):  # fmt: skip
        assert rt.result_type(x, y) is want
    kinds = [[b], [u8, rt.int8, i32, i64], [rt.float16, rt.bfloat16, f32, f64]]
    for low, group in enumerate(kinds):
        for high, others in enumerate(kinds):
            for x in group:
                for y in others:
                    assert rt.can_cast(x, y) is (low <= high)


def test_conversions() -> None:
    t = tensors(A)
    for name, d in (
        ("float", rt.float32), ("double", rt.float64), ("half", rt.float16), ("bfloat16", rt.bfloat16),
        ("int", rt.int32), ("long", rt.int64), ("short", rt.int16), ("char", rt.int8), ("byte", rt.uint8),
        ("bool", rt.bool),
    ):  # fmt: skip
        got = getattr(abs(t), name)()
        assert got.dtype is d and getattr(got, name)() is got
        kind = {rt.bool: bool, rt.uint8: np.uint8}.get(d, np.int64 if not d.is_floating_point else np.float64)
        assert agree(got.double(), abs(A).astype(kind).astype(float))
        assert abs(t).type(d).dtype is d and abs(t).type(f"torch.{rt.typename(got).rpartition('.')[2]}").dtype is d
        assert got.type() == {
            rt.float32: "torch.FloatTensor", rt.float64: "torch.DoubleTensor", rt.float16: "torch.HalfTensor",
            rt.bfloat16: "torch.BFloat16Tensor", rt.int32: "torch.IntTensor", rt.int64: "torch.LongTensor",
            rt.int16: "torch.ShortTensor", rt.int8: "torch.CharTensor", rt.uint8: "torch.ByteTensor",
            rt.bool: "torch.BoolTensor",
        }[d]  # fmt: skip
    like = rt.ones(1, dtype=rt.int32)
    for got in (
        t.to(like), t.to(other=like), t.type_as(like), t.to("cpu", rt.int32), t.to(rt.device("cpu"), rt.int32),
        t.to(dtype=rt.int32), t.to(device="cpu", dtype=rt.int32), t.to(rt.int32, True), t.to(like, True, True),
    ):  # fmt: skip
        assert got.dtype is rt.int32 and got.tolist() == A.astype(int).tolist()
    assert (
        t.to() is t and t.to("cpu") is t and t.to(None) is t and t.to(rt.float64) is t and t.to(rt.float64, True) is t
    )
    assert t.to(rt.float64, False, True) is not t and t.to("cpu", rt.float64, False, True) is not t
    assert t.to(t, copy=True) is not t and t.to(device="cpu", copy=True) is not t
    for wrong in (lambda: t.to("cuda"), lambda: t.to(device="cuda:0"), lambda: t.cuda(), lambda: t.cuda(0),
                  lambda: t.to("cuda", rt.float32)):  # fmt: skip
        with pytest.raises(errors.UnsupportedError, match="CPU"):
            wrong()
    with pytest.raises(errors.InvalidArgumentError, match="invalid type"):
        t.type("torch.NoTensor")


def test_quick_questions() -> None:
    t = rt.ones(2)
    assert not (t.is_shared() or t.is_pinned() or t.is_complex() or rt.is_complex(t)) and t.get_device() == -1
    assert t.share_memory_() is t and t.pin_memory() is t and t.cpu() is t and t.layout is rt.strided
    assert t.is_signed() and not rt.ones(1, dtype=rt.uint8).is_signed() and t.element_size() == t.itemsize == 4
    assert not (t.is_cuda or t.is_sparse or t.is_quantized or t.is_meta or t.is_mps or t.is_xpu or t.is_nested)
    assert t.ndim == t.dim() == t.ndimension() == 1 and t.nelement() == 2 and t.nbytes == 8
    assert t.is_set_to(t.detach()) and not t.is_set_to(t.clone()) and not t.is_set_to(t.view(1, 2))
    assert rt.ones(3, 2).t().is_contiguous() is False and rt.ones(3, 2).is_contiguous() is True
    with pytest.raises(errors.InvalidArgumentError):
        rt.is_nonzero(t)


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (lambda t: rt.narrow(t, 0, rt.tensor(True), 1), errors.DTypeError),
        (lambda t: rt.hsplit(rt.tensor(1.0), 1), errors.ShapeMismatchError),
        (lambda t: rt.vsplit(t[0], 1), errors.ShapeMismatchError),
        (lambda t: rt.dsplit(t, 1), errors.ShapeMismatchError),
        (lambda t: rt.hsplit(t, 3), errors.InvalidArgumentError),
        (lambda t: rt.hsplit(t, 0), errors.InvalidArgumentError),
        (lambda t: rt.diff(t, -1), errors.InvalidArgumentError),
        (lambda t: rt.meshgrid(t[0], indexing="yx"), errors.InvalidArgumentError),
        (lambda t: rt.tensordot(t, t, 3), errors.InvalidArgumentError),
        (lambda t: rt.tensordot(t, t, -1), errors.InvalidArgumentError),
        (lambda t: rt.broadcast_tensors(t, t[:, :3]), errors.ShapeMismatchError),
        (lambda t: rt.arange(), errors.DTypeError),
        (lambda t: t.resize_(-1), errors.InvalidArgumentError),
        (lambda t: t.requires_grad_().resize_(2), errors.AutogradError),
        (lambda t: t.requires_grad_().set_(rt.ones(1, dtype=rt.float64)), errors.AutogradError),
        (lambda t: t.set_(rt.ones(1)), errors.DTypeError),
        (lambda t: t.set_(t.clone(), 0, (-1,)), errors.InvalidArgumentError),
        (lambda t: t.set_(t.clone(), -1, (1,)), errors.InvalidArgumentError),
        (lambda t: t.set_(t.clone(), 0, (1, 2), (1,)), errors.InvalidArgumentError),
        (lambda t: t.requires_grad_().unsqueeze_(0), errors.AutogradError),
        (lambda t: t[0].fill_diagonal_(1), errors.InvalidArgumentError),
        (lambda t: rt.zeros(2, 2, 3).fill_diagonal_(1), errors.InvalidArgumentError),
        (lambda t: linalg.matrix_norm(t, 3), errors.InvalidArgumentError),
        (lambda t: linalg.matrix_norm(t, dim=(0, 1, 0)), errors.ShapeMismatchError),
        (lambda t: linalg.lstsq(t, t, driver="x"), errors.InvalidArgumentError),
        (lambda t: t.cuda(), errors.UnsupportedError),
    ],
)
def test_refusals(wrong: Any, error: Any) -> None:
    t = tensors(A)
    with pytest.raises(error):
        wrong(t)
    assert agree(t, A)
    with rt.no_grad():  # unless nobody records
        assert rt.ones(2, requires_grad=True).unsqueeze_(0).shape == (1, 2)


def test_generators_and_their_states() -> None:
    g = rt.Generator()
    assert g.initial_seed() == 67280421310721 and g.device == rt.device("cpu") == rt.Generator("cpu").device
    assert g.manual_seed(-1) is g and g.initial_seed() == 2**64 - 1
    for wrong in (2**64, -(2**63) - 1):
        with pytest.raises(errors.InvalidArgumentError, match="seed must lie"):
            g.manual_seed(wrong)
    with pytest.raises(errors.UnsupportedError):
        rt.Generator("cuda")
    assert g.manual_seed(2**64 - 1).initial_seed() == 2**64 - 1 and g.manual_seed(3).initial_seed() == 3
    rt.rand(5, generator=g)
    state, twin, read = g.get_state(), g.clone_state(), pickle.loads(pickle.dumps(g))
    first = rt.rand(3, generator=g).tolist()
    for same in (twin, read, rt.Generator().set_state(state), g.set_state(state)):
        assert same.initial_seed() == 3 and rt.rand(3, generator=same).tolist() == first
        assert rt.rand(3, generator=same).tolist() != first
    assert state.dtype is rt.uint8 and state.shape == (5056,)
    for broken in (state[1:], rt.zeros(3, dtype=rt.uint8)):
        with pytest.raises(errors.RustorchError):
            g.set_state(broken)
    assert g.seed() == g.initial_seed() != g.seed()
    assert rt.manual_seed(5) is rt.random.default_generator and rt.initial_seed() == 5
    kept = rt.get_rng_state()
    after = rt.rand(3).tolist()
    rt.set_rng_state(kept)
    assert rt.rand(3).tolist() == after
    rt.set_rng_state(kept)
    with rt.random.fork_rng():
        assert rt.rand(3).tolist() == after
    assert rt.rand(3).tolist() == after
    rt.set_rng_state(kept)
    with pytest.raises(KeyError), rt.random.fork_rng():
        rt.manual_seed(9)
        raise KeyError
    assert rt.equal(rt.get_rng_state(), kept)
    with rt.random.fork_rng(enabled=False):
        rt.manual_seed(9)
    assert rt.initial_seed() == 9
    assert rt.seed() == rt.initial_seed() != rt.seed()


@pytest.mark.parametrize("name", ["max", "min", "sort", "topk", "kthvalue", "median", "mode", "cummax"])
def test_pairs_of_out_are_written_both_or_neither(name: str) -> None:
    x = rt.tensor([[3.0, 1.0, 2.0], [6.0, 5.0, 4.0]])
    arguments = (2, 1) if name in ("topk", "kthvalue") else (1,)
    f = getattr(rt, name)
    want = f(x, *arguments)
    for wrong in (rt.zeros(1, dtype=rt.int64).expand(9), rt.zeros(2), rt.zeros(2, dtype=rt.int32)):
        values = rt.full((2,), 7.0)
        with pytest.raises(errors.RustorchError):
            f(x, *arguments, out=(values, wrong))
        assert values.tolist() == [7.0, 7.0]
    with pytest.raises(errors.InvalidArgumentError, match="wanted 2 tensors as out, got 1"):
        f(x, *arguments, out=(rt.zeros(0),))
    values, places = rt.zeros(0), rt.zeros(0, dtype=rt.int64)
    result = f(x, *arguments, out=(values, places))
    assert result[0] is values and result[1] is places
    assert values.equal(want[0]) and places.equal(want[1])


def test_what_is_converted_and_what_is_copied() -> None:
    """Positional flags are `non_blocking` and then `copy`; a copy is part of the graph."""
    t = rt.tensor([1.0, 2.0], requires_grad=True)
    for target in ((rt.float32,), ("cpu", rt.float32), (rt.ones(1),)):
        for flags, copied in (((), False), ((True,), False), ((False, False), False), ((False, True), True)):
            assert (t.to(*target, *flags) is not t) is copied, (target, flags)
        for name in ("copy", "non_blocking"):
            assert (t.to(*target, **{name: True}) is not t) is (name == "copy")
    for copy in (t.to(rt.float32, False, True), t.to(copy=True), t.clone(), t.double(), rt.asarray(t, copy=True)):
        assert copy.data_ptr() != t.data_ptr()
        t.grad = None
        (copy * rt.tensor([3.0, 4.0])).sum().backward()
        assert t.grad is not None and t.grad.tolist() == [3.0, 4.0]


def test_what_is_picked_is_not_converted_for_its_place() -> None:
    x, index = rt.arange(6.0).view(2, 3), rt.tensor([[0, 1]])
    for pick in (
        lambda out: rt.gather(x, 1, index, out=out), lambda out: rt.take(x, index, out=out),
        lambda out: rt.index_select(x, 0, index[0], out=out), lambda out: rt.masked_select(x, x > 2, out=out),
    ):  # fmt: skip
        out = rt.empty(0)
        assert pick(out) is out and out.numel() > 0
        for dtype in (rt.float64, rt.float16, rt.int64):
            with pytest.raises(errors.DTypeError):
                pick(rt.empty(0, dtype=dtype))


def test_places_for_results_take_no_part_in_graphs() -> None:
    for word, args in (("add", 2), ("exp", 1), ("matmul", 2), ("sum", 1), ("std", 1), ("clamp_min", 1), ("pow", 2)):
        for x_wants, out_wants in ((True, False), (False, True), (True, True), (False, False)):
            x, out = rt.ones(2, 2, requires_grad=x_wants), rt.ones(2, 2)
            given = [x] * args if word != "clamp_min" else [x, 0.5]
            out = out[0, 0].clone() if word in ("sum", "std") else out
            out.requires_grad_(out_wants)
            if x_wants or out_wants:
                with pytest.raises(errors.InvalidArgumentError, match="automatic differentiation"):
                    getattr(rt, word)(*given, out=out)
            with rt.no_grad():
                assert getattr(rt, word)(*given, out=out) is out and out.requires_grad is out_wants


class Color(enum.IntEnum):
    RED = 1
    BLUE = 2


class Share(float):
    pass


def test_lists_of_numbers_of_other_classes():
    assert rt.tensor([Color.RED, Color.BLUE]).tolist() == [1, 2]
    assert rt.tensor([Color.RED, Color.BLUE]).dtype is rt.int64
    assert rt.tensor([[Share(1.5)], [Share(2.5)]]).tolist() == [[1.5], [2.5]]
    assert rt.tensor([Color.RED, True]).dtype is rt.int64
    assert rt.as_tensor([Color.BLUE, Share(0.5)], dtype=rt.float64).tolist() == [2.0, 0.5]


@pytest.mark.parametrize("name", ["t_", "squeeze_", "transpose_", "unsqueeze_"])
@pytest.mark.parametrize("view", [True, False])
def test_a_leaf_whose_layout_changes_still_wants_its_gradient(name, view):
    args = {"transpose_": (0, 1), "unsqueeze_": (0,)}.get(name, ())
    w = (rt.arange(6.0).reshape(2, 3) if view else rt.ones(2, 3)).requires_grad_()
    with rt.no_grad():
        getattr(w, name)(*args)
    assert w.requires_grad and w.is_leaf
    (w * 2).sum().backward()
    assert w.grad.shape == w.shape


def test_words_that_take_tensors_say_what_came():
    with pytest.raises(TypeError, match="must be a Tensor or None, not float"):
        rt.diff(rt.ones(3), prepend=1.0)
    out = rt.empty(0)
    assert rt.nn.functional.normalize(rt.ones(2, 2), out=out) is out
    assert out.shape == (2, 2)
