"""First and second derivatives of every differentiable op of the table against central differences."""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

import pytest

import rustorch as rt
from rustorch import _ops
from rustorch.errors import RustorchError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

TABLE = {op["name"]: op for op in rt.ops.table()}
# Gradients that are not those of the way in which the numbers were drawn, and that have none themselves: see
# test_implicit_gradients in tests/test_distributions.py.
IMPLICIT = {"_standard_gamma", "_standard_gamma_grad", "_sample_dirichlet", "_dirichlet_grad"}
DIFFERENTIABLE = sorted(
    name
    for name, op in TABLE.items()
    if op["differentiable"] and name not in IMPLICIT and any(a["holds"] == "Tensor" for a in op["args"])
)
# Composed of others, and so counted as differentiable, with whole numbers or truth values as results.
WHOLE = {"nonzero_list", "equal", "allclose", "linalg_matrix_rank", "unravel_index"}
# Random numbers: their gradients are zeros, as PyTorch has it, whatever they were drawn with.
RANDOM = {"normal", "normal_tensors", "bernoulli", "bernoulli_p", "bernoulli_tensor"}


class Inputs:
    """What samples are written with. Each evaluation of a sample gets the same leaves, in the order of their making."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)
        self.leaves: list[rt.Tensor] = []
        self.values: Sequence[rt.Tensor] | None = None
        self.at = 0
        self.twice = True

    def _leaf(self, make: Callable[[], Any]) -> rt.Tensor:
        self.at += 1
        if self.values is not None:
            return self.values[self.at - 1]
        self.leaves.append(make().requires_grad_())
        return self.leaves[-1]

    def _numbers(self, draw: Callable[[], float]) -> Callable[..., rt.Tensor]:
        def numbers(*shape: int) -> rt.Tensor:
            count = 1
            for d in shape:
                count *= d
            return self._leaf(lambda: rt.tensor([draw() for _ in range(count)], dtype=rt.float64).reshape(shape))

        return numbers

    def _matrices(self, *shape: int) -> rt.Tensor:
        """Far from singular, with a positive determinant."""
        shape = (*shape, shape[-1])
        return self._numbers(lambda: self.random.uniform(-0.5, 0.5))(*shape) + 2 * rt.eye(shape[-1], dtype=rt.float64)

    def _tied(self, values: Any) -> rt.Tensor:
        """Where the derivative jumps, so that there is no second one."""
        self.twice = False
        return self._leaf(lambda: rt.tensor(values, dtype=rt.float64))

    def names(self) -> dict[str, Any]:
        """Leaves of a shape: `r`eal, `p`ositive, non`z`ero, `u`nit, probability (`q`), `m`atrices; of given values
        (`t`, and `tied`); `c`onstants, `i`ndices, `b`ools; complex numbers of non-zero parts (`z2`).
        """
        draw = self.random
        return {
            "rt": rt, "inf": rt.inf, "nan": rt.nan,
            "r": self._numbers(lambda: draw.gauss(0, 1)),
            "p": self._numbers(lambda: draw.uniform(0.5, 2)),
            "z": self._numbers(lambda: draw.uniform(0.5, 2) * draw.choice([-1, 1])),
            "z2": lambda *shape: rt.complex(self.names()["z"](*shape), self.names()["z"](*shape)),
            "u": self._numbers(lambda: draw.uniform(-0.9, 0.9)),
            "q": self._numbers(lambda: draw.uniform(0.1, 0.9)),
            "m": self._matrices,
            "t": lambda values: self._leaf(lambda: rt.tensor(values, dtype=rt.float64)),
            "tied": self._tied,
            "c": lambda values: rt.tensor(values, dtype=rt.float64),
            "i": lambda values: rt.tensor(values, dtype=rt.int64),
            "b": rt.tensor,
            "sym": lambda a: a + a.mT,
            "spd": lambda a: a @ a.mT,
            "generator": lambda: rt.Generator().manual_seed(1),
        }  # fmt: skip


DOMAINS = {"Real": "r", "Positive": "p", "NonZero": "z", "Unit": "u", "Probability": "q"}


# Places where rules take care, besides the samples of the table.
MORE = {"sinc": ["t([0.0, 0.05, 0.5])"]}


def samples(op: dict[str, Any]) -> list[str]:
    """The op's own samples, or tensors of its domain if these are all that it needs."""
    more = MORE.get(op["name"], [])
    if op["samples"]:
        return [*op["samples"], *more]
    needed = [a for a in op["args"] if a["default"] is None and a["form"] != "Optional"]
    if op["domain"] not in DOMAINS or not all((a["holds"], a["form"]) == ("Tensor", "One") for a in needed):
        return []
    return [", ".join(f"{DOMAINS[op['domain']]}(2, 3)" for _ in needed), *more]


def tensors(x: Any) -> Iterator[rt.Tensor]:
    if isinstance(x, rt.Tensor):
        if x.dtype.is_floating_point:
            yield x
        elif x.dtype.is_complex:
            yield rt.view_as_real(x)
    elif isinstance(x, (list, tuple)):
        for y in x:
            yield from tensors(y)


def numbers(source: random.Random, count: int) -> rt.Tensor:
    return rt.tensor([source.gauss(0, 1) for _ in range(count)], dtype=rt.float64)


def weighted(outs: Sequence[rt.Tensor], weights: Sequence[rt.Tensor]) -> rt.Tensor:
    """One number that depends on all finite elements."""
    total = rt.zeros((), dtype=rt.float64)
    for out, weight in zip(outs, weights):
        total = total + (rt.where(rt.isfinite(out), out, 0.0) * weight).sum()
    return total


def differences(f: Callable[..., rt.Tensor], xs: Sequence[rt.Tensor], eps: float) -> Iterator[tuple[int, int, float]]:
    """The derivative of `f` by each element of each input."""
    for k, x in enumerate(xs):
        for j in range(x.numel()):
            ends = []
            for step in (eps, -eps):
                moved = x.detach().clone()
                moved.view(-1)[j : j + 1].add_(step)
                ends.append(f(*(moved.requires_grad_() if i == k else y for i, y in enumerate(xs))).item())
            yield k, j, (ends[0] - ends[1]) / (2 * eps)


def compare(
    what: str,
    f: Callable[..., rt.Tensor],
    xs: Sequence[rt.Tensor],
    gradients: Sequence[Any],
    eps: float,
    tolerance: float,
) -> None:
    exact = [None if g is None else g.reshape(-1).tolist() for g in gradients]
    for k, j, numeric in differences(f, xs, eps):
        g = exact[k]
        analytic = 0.0 if g is None else g[j]
        assert abs(analytic - numeric) <= tolerance * max(1.0, abs(numeric)), (
            f"{what} by element {j} of input {k}: {analytic} by the rule, {numeric} by differences"
        )


def check(name: str, source: str) -> None:
    inputs = Inputs(name + source)
    names = inputs.names()
    op = getattr(_ops, name)

    def call(*values: rt.Tensor) -> list[rt.Tensor]:
        inputs.values, inputs.at = values or None, 0
        rt.manual_seed(0)
        return list(tensors(eval(f"op({source})", {**names, "op": op})))

    call()
    leaves = inputs.leaves
    outs = call(*leaves)
    if name in WHOLE:
        assert not outs and (leaves or name == "unravel_index")
        return
    assert outs and leaves, "nothing to differentiate"
    if name in RANDOM:
        for g in rt.autograd.grad(outs, leaves, [rt.ones_like(o) for o in outs]):
            assert not g.any(), "a gradient of random numbers that is not zero"
        return
    weights = [numbers(inputs.random, o.numel()).reshape(o.shape).requires_grad_() for o in outs]

    def value(*xs: rt.Tensor) -> rt.Tensor:
        return weighted(call(*xs), weights)

    total = value(*leaves)
    # Rules may take a shorter way where no second derivative is wanted.
    gradients = rt.autograd.grad(total, leaves, retain_graph=True, allow_unused=True)
    compare("first derivative", value, leaves, gradients, 1e-6, 1e-5)
    gradients = rt.autograd.grad(total, leaves, create_graph=True, allow_unused=True)
    compare("first derivative (recorded)", value, leaves, gradients, 1e-6, 1e-5)
    if not inputs.twice:
        return
    cotangents = [None if g is None else numbers(inputs.random, g.numel()) for g in gradients]

    def slope(*xs: rt.Tensor) -> rt.Tensor:
        found = rt.autograd.grad(value(*xs), xs, create_graph=True, allow_unused=True)
        total = rt.zeros((), dtype=rt.float64)
        for g, c in zip(found, cotangents):
            if g is not None and c is not None:
                total = total + (g.reshape(-1) * c).sum()
        return total

    total = slope(*leaves)
    none = [None] * len(leaves)
    second = rt.autograd.grad(total, leaves, allow_unused=True) if total.requires_grad else none
    compare("second derivative", slope, leaves, second, 1e-5, 1e-4)


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_derivatives(name: str) -> None:
    found = samples(TABLE[name])
    assert found, f"{name} is differentiable and has no samples"
    for source in found:
        try:
            check(name, source)
        except (AssertionError, RustorchError) as e:
            raise AssertionError(f"{name}({source}): {e}") from e


# What they see is the memory.
LAYOUT = {"as_strided", "as_strided_copy", "as_strided_scatter", "restride", "view", "view_copy", "view_as_complex"}


def test_every_sample_is_looked_at() -> None:
    """Samples stand with ops that are differentiated, each once, and each makes a leaf that moves the result."""
    assert sorted(n for n, op in TABLE.items() if op["samples"] and n not in DIFFERENTIABLE) == []
    for name, op in TABLE.items():
        assert len(set(op["samples"])) == len(op["samples"]), name


@pytest.mark.parametrize("name", DIFFERENTIABLE)
def test_samples_do_not_depend_on_layouts_and_modes(name: str) -> None:
    """The same values for elements with gaps between them, without gradients, and in place; close ones in float32."""
    op = getattr(_ops, name)
    for source in samples(TABLE[name]):

        def run(change: Callable[[rt.Tensor], rt.Tensor], f: Any = op, source: str = source) -> list[rt.Tensor]:
            inputs = Inputs(name + source)
            names = inputs.names()
            leaf = inputs._leaf
            inputs._leaf = lambda make: change(leaf(make))  # type: ignore[method-assign]
            rt.manual_seed(0)
            return list(tensors(eval(f"op({source})", {**names, "op": f})))

        def gaps(t: rt.Tensor) -> rt.Tensor:
            if not t.ndim:
                return t
            turned = rt.full((*reversed(t.shape), 2), 7.0, dtype=t.dtype)
            turned = turned[..., 1].permute(*range(t.ndim - 1, -1, -1))
            with rt.no_grad():
                turned.copy_(t)
            return turned.requires_grad_()

        want = run(lambda t: t)
        for how in (lambda t: t.detach(), *(() if name in LAYOUT else (gaps,))):
            for a, b in zip(run(how), want, strict=True):
                assert a.shape == b.shape and rt.allclose(a, b, 1e-12, 1e-12, equal_nan=True), source
        if TABLE[name]["inplace"] and source[0] not in "-0123456789":

            def in_place(x: rt.Tensor, *a: Any, **k: Any) -> rt.Tensor:
                x = x.clone()
                try:
                    return getattr(_ops, name + "_")(x, *a, **k)
                except RustorchError as e:
                    assert "does not fit" in str(e)  # the result is wider
                    return op(x, *a, **k)

            for a, b in zip(run(lambda t: t, in_place), want, strict=True):
                assert a.dtype is b.dtype and rt.allclose(a, b, 1e-12, 1e-12, equal_nan=True), source


# What PyTorch settles on where the derivative jumps, or where a rule divides nothing by nothing.
SETTLED = """
pow: t([0.0, 0.0, 2.0]), t([0.0, 2.0, 0.0]) -> [[0, 0, 0], [0, 0, log(2)]]
pow: t([0.0, 2.0]), 0.0 -> [[0, 0]]
pow: t([0.0, -1.0]), 2.0 -> [[0, -2]]
xlogy: t([0.0, 0.0, 2.0]), t([0.0, 3.0, 1.0]) -> [[0, log(3), 0], [nan, 0, 2]]
atan2: t([0.0, 1.0]), t([0.0, 0.0]) -> [[0, 0], [0, -1]]
maximum: t([1.0, 2.0, nan, 0.0]), t([1.0, 0.0, 0.0, nan]) -> [[0.5, 1, 1, 1], [0.5, 0, 1, 1]]
minimum: t([1.0, 2.0, nan, 0.0]), t([1.0, 0.0, 0.0, nan]) -> [[0.5, 0, 1, 1], [0.5, 1, 1, 1]]
fmax: t([1.0, 2.0, nan, 0.0]), t([1.0, 0.0, 0.0, nan]) -> [[1, 1, 0, 1], [0, 0, 1, 0]]
fmin: t([1.0, 2.0, nan, 0.0]), t([1.0, 0.0, 0.0, nan]) -> [[1, 0, 0, 1], [0, 1, 1, 0]]
clamp: t([-1.0, 1.0, 2.0, nan]), -1.0, 1.0 -> [[1, 1, 0, 0]]
clamp_min: t([-1.0, 1.0, nan]), 1.0 -> [[0, 1, 0]]
clamp_max: t([-1.0, 1.0, nan]), 1.0 -> [[1, 1, 0]]
abs: t([0.0, -0.0, nan]) -> [[0, 0, 0]]
relu: t([0.0, -0.0, nan]) -> [[0, 0, 1]]
relu6: t([0.0, 6.0, 3.0]) -> [[0, 0, 1]]
hardtanh: t([-1.0, 1.0, 0.0]) -> [[0, 0, 1]]
hardsigmoid: t([-3.0, 3.0, 0.0]) -> [[0, 0, 1 / 6]]
hardshrink: t([-0.5, 0.5, 0.6]) -> [[0, 0, 1]]
softshrink: t([-0.5, 0.5, 0.6]) -> [[0, 0, 1]]
threshold: t([0.0, 1.0]), 0.0, 7.0 -> [[0, 1]]
leaky_relu: t([0.0, -1.0]), 0.25 -> [[0.25, 0.25]]
prelu: t([0.0, -1.0]), t([0.25]) -> [[0.25, 0.25], [-1]]
sqrt: t([0.0]) -> [[inf]]
sinc: t([0.0]) -> [[0]]
cosine_similarity: t([[0.0, 0.0]]), t([[0.0, 0.0]]) -> [[[0, 0]], [[0, 0]]]
std: t([2.0, 2.0, 2.0]) -> [[0, 0, 0]]
vector_norm: t([0.0, 0.0]) -> [[0, 0]]
vector_norm: t([0.0, 0.0]), 1 -> [[0, 0]]
vector_norm: t([0.0, 0.0]), 3 -> [[0, 0]]
vector_norm: t([0.0, 3.0]), 0 -> [[0, 0]]
vector_norm: t([0.0, 0.0]), inf -> [[0, 0]]
vector_norm: t([2.0, -2.0, 1.0]), inf -> [[0.5, -0.5, 0]]
vector_norm: t([2.0, -1.0, 1.0]), -inf -> [[0, -0.5, 0.5]]
amax: t([1.0, 3.0, 3.0]) -> [[0, 0.5, 0.5]]
amin: t([1.0, 1.0, 3.0]) -> [[0.5, 0.5, 0]]
max_dim: t([1.0, 3.0, 3.0]), 0 -> [[0, 1, 0]]
min_dim: t([1.0, 1.0, 3.0]), 0 -> [[1, 0, 0]]
max_dim: t([1.0, nan, 3.0]), 0 -> [[0, 1, 0]]
max_all: t([1.0, nan, 3.0, nan]) -> [[0, 0.5, 0, 0.5]]
max_all: t([1.0, 3.0, 3.0]) -> [[0, 0.5, 0.5]]
min_all: t([1.0, 1.0, 3.0]) -> [[0.5, 0.5, 0]]
cummax: t([1.0, 3.0, 3.0, 2.0]), 0 -> [[1, 1, 2, 0]]
prod: t([0.0, 2.0, 3.0]) -> [[6, 0, 0]]
prod: t([0.0, 2.0, 0.0]) -> [[0, 0, 0]]
prod: t([[0.0, 2.0], [3.0, 4.0]]), 1 -> [[[2, 0], [4, 3]]]
cumprod: t([0.0, 2.0, 3.0]), 0 -> [[9, 0, 0]]
cumprod: t([2.0, 0.0, 0.0, 3.0]), 0 -> [[1, 2, 0, 0]]
logcumsumexp: t([-inf, -inf, 1.0]), 0 -> [[0, 0, 1]]
softmax: t([-inf, 1.0]), 0 -> [[0, 0]]
log_softmax: t([-inf, 1.0]), 0 -> [[1, -1]]
cdist: t([[1.0, 2.0]]), t([[1.0, 2.0]]) -> [[[0, 0]], [[0, 0]]]
cdist: t([[1.0, 2.0]]), t([[1.0, 2.0]]), 1.0 -> [[[0, 0]], [[0, 0]]]
cdist: t([[1.0, 2.0]]), t([[1.0, 2.0]]), inf -> [[[0, 0]], [[0, 0]]]
dist: t([1.0, 2.0]), t([1.0, 2.0]) -> [[0, 0], [0, 0]]
l1_loss: t([1.0, 2.0]), t([1.0, 3.0]) -> [[0, -0.5], [0, 0.5]]
smooth_l1_loss: t([1.0, 2.0]), t([1.0, 3.0]) -> [[0, -0.5], [0, 0.5]]
huber_loss: t([1.0, 2.0]), t([1.0, 3.0]) -> [[0, -0.5], [0, 0.5]]
binary_cross_entropy: t([0.0, 1.0]), c([1.0, 1.0]) -> [[-5e11, 0]]
kl_div: t([0.0, 1.0]), c([0.0, 1.0]) -> [[0, -0.5]]
nan_to_num: t([nan, inf, 1.0]) -> [[0, 0, 1]]
where: b([True, False]), t([1.0, nan]), t([nan, 2.0]) -> [[1, 0], [0, 1]]
masked_fill: t([1.0, nan]), b([False, True]), 0.0 -> [[1, 0]]
logit: t([0.0, 0.5, 1.0]), 0.1 -> [[0, 4, 0]]
fmod: t([4.0, 5.0]), t([2.0, 3.0]) -> [[1, 1], [-2, -1]]
remainder: t([4.0, -5.0]), t([2.0, 3.0]) -> [[1, 1], [-2, 2]]
copysign: t([0.0, 1.0]), t([-1.0, 0.0]) -> [[0, 1], [0, 0]]
scatter_reduce: t([1.0, 2.0]), 0, i([0, 0, 1]), t([3.0, 3.0, 0.0]), "amax" -> [[0, 1], [0.5, 0.5, 0]]
scatter_reduce: t([3.0, 2.0]), 0, i([0, 0, 1]), t([3.0, 3.0, 2.0]), "amax" -> [[1 / 3, 0.5], [1 / 3, 1 / 3, 0.5]]
scatter_reduce: t([3.0, 2.0]), 0, i([0, 0, 1]), t([3.0, 3.0, 2.0]), "amin", False -> [[0, 0], [0.5, 0.5, 1]]
scatter_reduce: t([3.0, 2.0]), 0, i([0, 0, 1]), t([0.0, 3.0, 2.0]), "prod" -> [[0, 2], [9, 0, 2]]
scatter_reduce: t([3.0, 2.0]), 0, i([0, 0, 1]), t([5.0, 3.0, 2.0]), "mean" -> [[1 / 3, 0.5], [1 / 3, 1 / 3, 0.5]]
embedding: i([0, 1, 1]), t([[1.0], [2.0]]), 1 -> [[[1], [0]]]
""".strip().splitlines()


@pytest.mark.parametrize("line", SETTLED)
def test_where_there_is_no_derivative(line: str) -> None:
    call, expected = line.split(" -> ")
    name, source = call.split(": ", 1)
    inputs = Inputs(call)
    outs = tensors(eval(f"{name}({source})", {**inputs.names(), name: getattr(_ops, name)}))
    rt.autograd.backward([o.sum() for o in outs])
    wanted = eval(expected, {"log": math.log, "inf": math.inf, "nan": math.nan})
    for leaf, values in zip(inputs.leaves, wanted, strict=True):
        assert leaf.grad is not None
        want = rt.tensor(values, dtype=rt.float64)
        assert rt.allclose(leaf.grad, want, 1e-12, 1e-12, equal_nan=True), f"{leaf.grad.tolist()} for {values}"
