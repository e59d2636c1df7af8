"""Losses over reductions and dtypes: values, dtypes and gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

RNG = np.random.default_rng(11)
X, Y, Z = (RNG.standard_normal((4, 5)) for _ in range(3))
POSITIVE, CHANCES = RNG.uniform(0.5, 3.0, (4, 5)), RNG.uniform(0.1, 0.9, (4, 5))
SIGNS, LABELS = np.array([1, -1, -1, 1]), np.array([0, 4, 2, 2])
LISTS = np.array([[0, 3, -1, 1, 2], [-1, 0, 0, 0, 0], [4, 4, 1, -1, 0], [0, 1, 2, 3, 4]])
# Name, floats that are differentiated by, other arguments, options.
CASES: list[tuple[str, tuple[Any, ...], tuple[Any, ...], dict[str, Any]]] = [
    ("mse_loss", (X, Y), (), {}),
    ("l1_loss", (X, Y), (), {}),
    ("smooth_l1_loss", (X, Y), (), {"beta": 0.7}),
    ("smooth_l1_loss", (X, Y), (), {"beta": 0.0}),
    ("huber_loss", (X, Y), (), {"delta": 0.7}),
    ("kl_div", (X, CHANCES), (), {}),
    ("kl_div", (X, Y), (), {"log_target": True}),
    ("poisson_nll_loss", (X, POSITIVE), (), {"full": True}),
    ("poisson_nll_loss", (POSITIVE, POSITIVE), (), {"log_input": False, "eps": 1e-3}),
    ("gaussian_nll_loss", (X, Y, POSITIVE), (), {}),
    ("gaussian_nll_loss", (X, Y, POSITIVE[:, 0]), (), {"full": True}),
    ("gaussian_nll_loss", (X, Y, POSITIVE[:, :1]), (), {"eps": 1.0}),
    ("gaussian_nll_loss", (X, Y), (0.5,), {}),
    ("hinge_embedding_loss", (X,), (SIGNS[:, None],), {"margin": 0.5}),
    ("cosine_embedding_loss", (X, Y), (SIGNS,), {"margin": -0.3}),
    ("cosine_embedding_loss", (X[0], Y[0]), (SIGNS[1],), {}),
    ("margin_ranking_loss", (X, Y), (SIGNS[:, None],), {"margin": 0.5}),
    ("soft_margin_loss", (X,), (SIGNS[:, None],), {}),
    ("multilabel_soft_margin_loss", (X,), (CHANCES,), {}),
    ("multi_margin_loss", (X,), (LABELS,), {}),
    ("multi_margin_loss", (X,), (LABELS,), {"p": 2, "margin": 0.5}),
    ("multi_margin_loss", (X[0],), (LABELS[1],), {}),
    ("multilabel_margin_loss", (X,), (LISTS,), {}),
    ("multilabel_margin_loss", (X[0],), (LISTS[2],), {}),
    ("triplet_margin_loss", (X, Y, Z), (), {"swap": True}),
    ("triplet_margin_loss", (X, Y, Z), (), {"p": 3.0, "eps": 1e-3, "margin": 2.0}),
]
TYPES = {"float64": 1e-9, "float32": 1e-5, "float16": 4e-3, "bfloat16": 4e-2}


def outcome(lib: Any, case: Any, dtype: str, reduction: str) -> tuple[Any, ...]:
    """Dtype, value and gradients; or that it is refused."""
    name, floats, others, options = case

    def given(a: Any, d: str | None = None) -> Any:
        if not isinstance(a, (np.ndarray, np.generic)):
            return a
        t = lib.tensor(np.asarray(a).tolist(), dtype=lib.int64 if np.asarray(a).dtype.kind == "i" else lib.float64)
        return t if d is None else t.to(getattr(lib, d)).requires_grad_()

    leaves = [given(a, dtype) for a in floats]
    rest = [given(a) for a in others]
    rest = [t.to(getattr(lib, dtype)) if getattr(t, "is_floating_point", lambda: False)() else t for t in rest]
    try:
        r = getattr(lib.nn.functional, name)(*leaves, *rest, reduction=reduction, **options)
    except (RuntimeError, NotImplementedError, TypeError) as e:
        return ("refused", str(e))
    r.sum().backward()
    return str(r.dtype).split(".")[-1], *(t.double().detach().numpy() for t in (r, *(x.grad for x in leaves)))


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c[0]}-{c[3]}")
@pytest.mark.parametrize("dtype", TYPES)
def test_losses(case: Any, dtype: str) -> None:
    for reduction in ("none", "mean", "sum"):
        want = outcome(torch, case, dtype, reduction)
        if want[0] == "refused":  # kernels that PyTorch lacks for half floats
            assert dtype in ("float16", "bfloat16"), want
            continue
        got = outcome(rt, case, dtype, reduction)
        assert got[0] == want[0], (reduction, got)
        for a, b in zip(got[1:], want[1:], strict=True):
            np.testing.assert_allclose(a, b, TYPES[dtype], TYPES[dtype] * max(1.0, np.abs(b).max()), err_msg=reduction)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("targets", ["int32", "int64"])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_ctc_of_random_batches(dtype: str, targets: str, reduction: str) -> None:
    rng = np.random.default_rng(5)
    for times, batch, classes, width in ((1, 1, 2, 1), (12, 3, 5, 4), (30, 4, 3, 9), (7, 2, 4, 0)):
        x = rng.standard_normal((times, batch, classes)) * 3
        blank = int(rng.integers(classes))
        labels = rng.integers(0, classes - 1, (batch, width))
        labels += labels >= blank
        inputs, sizes = rng.integers(1, times + 1, batch), rng.integers(0, width + 1, batch)
        weights = rng.standard_normal(batch)
        for zero in (True, False):
            for joined in (False, True):
                found = []
                for lib in (rt, torch):
                    leaf = lib.tensor(x.tolist(), dtype=getattr(lib, dtype)).requires_grad_()
                    flat = [v for row, n in zip(labels.tolist(), sizes) for v in row[:n]]
                    rows = lib.tensor(flat if joined else labels.tolist(), dtype=getattr(lib, targets))
                    rows = rows if joined else rows.reshape(batch, width)
                    lengths = [lib.tensor(n.tolist(), dtype=lib.int64) for n in (inputs, sizes)]
                    f = lib.nn.functional
                    r = f.ctc_loss(leaf.log_softmax(2), rows, *lengths, blank, reduction, zero)
                    total = r if reduction != "none" else r * lib.tensor(weights.tolist(), dtype=r.dtype)
                    total.sum().backward()
                    found.append((r.detach().double().numpy(), leaf.grad.double().numpy()))
                tolerance = 1e-9 if dtype == "float64" else 2e-4
                for a, b in zip(*found, strict=True):
                    np.testing.assert_allclose(a, b, tolerance, tolerance, err_msg=f"{times} {zero} {joined}")
