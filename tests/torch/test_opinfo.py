"""PyTorch's own OpInfo samples, run through rustorch and compared with torch: values, dtypes, shapes and gradients."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

import rustorch as rt  # noqa: E402

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "abi"))
from abi_tools import asking  # noqa: E402

TO_RT = {getattr(torch, d._name): d for d in rt.dtypes.ALL}
TO_TORCH = {v: k for k, v in TO_RT.items()}
SAMPLES = int(os.environ.get("RUSTORCH_OPINFO_SAMPLES", "40"))

# Random results, uninitialised results, or things that exist for torch's own machinery: nothing to compare.
NOT_COMPARABLE = {
    "bernoulli", "cauchy", "empty", "empty_like", "empty_permuted", "empty_strided", "exponential", "geometric",
    "log_normal", "multinomial", "new_empty", "new_empty_strided", "normal", "rand_like", "randint", "randint_like",
    "randn", "randn_like", "uniform", "nn.functional.dropout", "nn.functional.dropout2d", "nn.functional.dropout3d",
    "nn.functional.alpha_dropout", "nn.functional.feature_alpha_dropout", "nn.functional.rrelu", "bfloat16", "chalf",
    "nn.functional.scaled_dot_product_attention", "nn.functional.multi_head_attention_forward",
    "nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d",
}  # fmt: skip

# torch rounds intermediate results of these to bfloat16: ours are compared with float64 results that were rounded once.
ROUNDS_HALF = {
    "addbmm", "addr", "div", "gradient", "matrix_exp", "nn.functional.binary_cross_entropy_with_logits",
    "nn.functional.conv_transpose1d", "nn.functional.conv_transpose2d", "nn.functional.conv_transpose3d",
    "grid_sampler_2d", "grid_sampler_3d", "nn.functional.embedding_bag", "nn.functional.grid_sample",
    "nn.functional.hinge_embedding_loss",
    "nn.functional.instance_norm", "nn.functional.interpolate",
}  # fmt: skip

# Among equal elements torch picks any; only the values are compared.
TIES = {"sort", "topk", "kthvalue", "mode", "median", "msort", "cummax", "cummin"}

# Singular vectors and eigenvectors are compared after OpInfo's own function, which takes away their signs.
UP_TO_SIGN = {"linalg.svd", "linalg.eig", "linalg.eigh", "pca_lowrank", "svd", "svd_lowrank"}

# torch's own results are as far from the right ones (by SciPy, or by float64) as this: relative and absolute.
ROUGH = {
    **{f"special.bessel_{name}": {torch.float64: (1e-5, 1e-6)} for name in ("j0", "j1", "y0", "y1")},
    "special.airy_ai": {torch.float64: (1e-7, 1e-7)},
    "matrix_exp": {torch.float32: (5e-3, 1e-3)},
}

# torch's gradients have elements for the triangle that is not read.
READ_IN_PART = {"cholesky_inverse", "cholesky_solve"}

# Every sample needs something that rustorch does not have.
NOTHING_LEFT = {
    "nn.functional.batch_norm.without_cudnn": "no sample is for the CPU",
}

# Differences that are known, with the reason.
KNOWN: dict[str, str] = {
    "as_strided_scatter": "torch's own gradient fails gradcheck on these samples",
    "linspace": "whole-number results are cut off after float32 rounding in torch",
    "nn.functional.hardsigmoid": "torch's derivative uses a float32 constant",
    "polygamma.polygamma_n_0": "computed in float64 here; torch overflows at the poles",
    "polygamma.polygamma_n_1": "computed in float64 here; torch overflows at the poles",
    "polygamma.polygamma_n_2": "computed in float64 here; torch overflows at the poles",
    "polygamma.polygamma_n_3": "computed in float64 here; torch overflows at the poles",
    "polygamma.polygamma_n_4": "computed in float64 here; torch overflows at the poles",
    "special.polygamma.special_polygamma_n_0": "computed in float64 here; torch overflows at the poles",
    "argsort": "torch picks any order among equal elements",
    "unique": "torch's order for sorted=False is not specified",
    "nn.functional.triplet_margin_with_distance_loss": "the samples pass a torch function",
}


def seeded(f: Any, *args: Any, **options: Any) -> Any:
    """With the random numbers that OpInfo's samples take."""
    rt.manual_seed(42)
    return f(*args, **options)


# OpInfo hands these their arguments in an order of its own.
ADAPTED: dict[str, Any] = {
    "where": lambda x, c, o: rt.where(c, x, o),
    "einsum": lambda ts, eq: rt.einsum(eq, *ts),
    "nn.functional.embedding": lambda w, i, **k: rt.nn.functional.embedding(i, w, **k),
    "nn.functional.embedding_bag": lambda w, i, **k: rt.nn.functional.embedding_bag(i, w, **k),
    "polygamma": lambda x, n, **k: rt.polygamma(n, x, **k),
    "zero_": lambda x: x.clone().zero_(),
    "linalg.lstsq.grad_oriented": lambda a, b, **k: rt.linalg.lstsq(a, b, **k)[:2],
    "linalg.pinv.singular": lambda a, b: rt.linalg.pinv(a @ b.mT),
    "svd_lowrank": lambda a, b, **k: seeded(rt.svd_lowrank, a @ b.mT, **k),
    "pca_lowrank": lambda a, b, **k: seeded(rt.pca_lowrank, a @ b.mT, **k),
    "block_diag": lambda *ts: rt.block_diag(*ts),
    "special.polygamma.special_polygamma_n_0": lambda x, n, **k: rt.special.polygamma(n, x, **k),
    **{name: lambda x, name=name: getattr(x, name) for name in ("H", "T", "mH", "mT")},
    **{
        name: lambda x, name=name, **k: getattr(x, name)(**k)
        for name in ("bool", "cdouble", "cfloat", "double", "float", "half", "int", "long", "short")
    },
}


def resolve(name: str) -> Any:
    """The rustorch function that an OpInfo name stands for; None if there is none."""
    if name in ADAPTED:
        return ADAPTED[name]
    target: Any = rt
    for part in name.split("."):
        try:
            target = getattr(target, part, None)
        except Exception:
            return None
        if target is None:
            break
    if target is None and "." not in name:
        target = getattr(rt.Tensor, name, None)
    return target if callable(target) else None


class Unsupported(Exception):
    """The sample uses something that rustorch does not have (sparse tensors, ...)."""


def convert(v: Any, leaves: list[Any]) -> Any:
    if isinstance(v, torch.Tensor):
        if v.dtype not in TO_RT or v.layout is not torch.strided or v.is_conj() or v.is_neg():
            raise Unsupported(str(v.dtype))
        d = TO_RT[v.dtype]
        # With all of its storage: as_strided looks beyond the tensor.
        n = v.untyped_storage().nbytes() // v.element_size()
        data = v.detach().as_strided((n,), (1,), 0)
        t = rt.from_numpy((data.float() if data.dtype is torch.bfloat16 else data).numpy().copy()).to(d)
        t = rt.as_strided(t, tuple(v.shape), v.stride(), v.storage_offset())
        if v.requires_grad:
            t.requires_grad_()
            leaves.append(t)
        return t
    if isinstance(v, torch.dtype):
        if v not in TO_RT:
            raise Unsupported(str(v))
        return TO_RT[v]
    if isinstance(v, torch.device):
        return "cpu"
    if isinstance(v, torch.memory_format) and v in (torch.preserve_format, torch.contiguous_format):
        return getattr(rt, str(v).removeprefix("torch."))
    if isinstance(v, (torch.layout, torch.memory_format, torch.Generator)):
        raise Unsupported(str(v))
    if isinstance(v, torch.Size):
        return tuple(v)
    if isinstance(v, (list, tuple)):
        return type(v)(convert(x, leaves) for x in v)
    if isinstance(v, dict):
        return {k: convert(x, leaves) for k, x in v.items()}
    return v


def widened(v: Any) -> Any:
    """A sample with float64 in place of bfloat16."""
    if isinstance(v, torch.Tensor):
        return v.double() if v.dtype is torch.bfloat16 else v
    if isinstance(v, (list, tuple)):
        return type(v)(widened(x) for x in v)
    if isinstance(v, dict):
        return {k: widened(x) for k, x in v.items()}
    return torch.float64 if v is torch.bfloat16 else v


def exact(op: Any, sample: Any) -> Any:
    """The results of a bfloat16 sample as if each was rounded once."""
    wide = op(widened(sample.input), *widened(tuple(sample.args)), **widened(sample.kwargs))
    return [t.bfloat16() if t.dtype is torch.float64 else t for t in flat(wide, torch.Tensor)]


def torch_leaves(v: Any, found: list[Any]) -> list[Any]:
    if isinstance(v, torch.Tensor):
        if v.requires_grad:
            found.append(v)
    elif isinstance(v, (list, tuple)):
        for x in v:
            torch_leaves(x, found)
    elif isinstance(v, dict):
        for x in v.values():
            torch_leaves(x, found)
    return found


def flat(v: Any, kind: type) -> list[Any]:
    if isinstance(v, kind):
        return [v]
    if isinstance(v, (list, tuple)):
        return [x for y in v for x in flat(y, kind)]
    return []


TOLERANCE = {
    torch.float32: (2e-5, 2e-5),
    torch.float64: (1e-9, 1e-9),
    torch.float16: (4e-3, 4e-3),
    torch.bfloat16: (2e-2, 2e-2),
    torch.complex64: (4e-5, 4e-5),
    torch.complex128: (1e-9, 1e-9),
}


def same(name: str, ours: Any, theirs: Any, what: str, tolerance: tuple[float, float] | None = None) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape), (
        f"{name} {what}: shape {tuple(ours.shape)}, torch {tuple(theirs.shape)}"
    )
    assert TO_TORCH[ours.dtype] is theirs.dtype, f"{name} {what}: dtype {ours.dtype}, torch {theirs.dtype}"
    rough = ROUGH.get(name.partition("[")[0], {}).get(theirs.dtype)
    rtol, atol = tolerance or rough or TOLERANCE.get(theirs.dtype, (0, 0))
    wide = torch.complex128 if ours.dtype.is_complex else torch.float64 if ours.dtype.is_floating_point else None
    mine = torch.tensor(ours.detach().tolist(), dtype=wide)
    mine = mine.to(theirs.dtype).reshape(theirs.shape)
    torch.testing.assert_close(
        mine, theirs.detach(), rtol=rtol, atol=atol, equal_nan=True, msg=lambda m: f"{name} {what}: {m}"
    )


def run(op: Any, f: Any, dtype: Any, grad: bool) -> tuple[int, list[str]]:
    done, failed = 0, []
    one_rounding = dtype is torch.bfloat16 and op.name in ROUNDS_HALF
    for n, sample in enumerate(op.sample_inputs("cpu", dtype, requires_grad=grad)):
        if n >= SAMPLES:
            break
        leaves: list[Any] = []
        try:
            x = convert(sample.input, leaves)
            args = convert(tuple(sample.args), leaves)
            kwargs = convert(sample.kwargs, leaves)
        except Unsupported:
            continue
        described = f"{op.name}[{n}] {dtype} {str(sample.summary())[:300] if hasattr(sample, 'summary') else ''}"
        try:
            theirs = op(sample.input, *sample.args, **sample.kwargs)
            if one_rounding:
                theirs = exact(op, sample)
        except Exception:
            continue
        if any(t.dtype not in TO_RT for t in flat(theirs, torch.Tensor)):
            continue
        try:
            with asking() as asked:
                ours = f(x, *args, **kwargs)
            assert not asked.wrong and not asked.refused, f"{described}: {asked.wrong or asked.refused}"
            if op.name in UP_TO_SIGN:
                ours, theirs = sample.output_process_fn_grad(ours), sample.output_process_fn_grad(theirs)
            mine, other = flat(ours, rt.Tensor), flat(theirs, torch.Tensor)
            if op.name in TIES:
                pairs = [(a, b) for a, b in zip(mine, other) if b.dtype.is_floating_point or len(other) == 1]
                mine, other = [a for a, _ in pairs], [b for _, b in pairs]
            assert len(mine) == len(other), f"{described}: {len(mine)} results, torch has {len(other)}"
            for k, (a, b) in enumerate(zip(mine, other)):
                # One unit in the last place of bfloat16.
                same(described, a, b, f"result {k}", (2**-7, 2**-7) if one_rounding and b.is_floating_point() else None)
            if not mine and not other and op.name not in TIES:
                assert ours == theirs, f"{described}: {ours} != {theirs}"
            roots = [(a, b) for a, b in zip(mine, other) if b.requires_grad]
            if grad and roots:
                wanted = torch_leaves((sample.input, sample.args, sample.kwargs), [])
                seeds = [torch.linspace(0.5, 1.5, b.numel(), dtype=b.dtype).reshape(b.shape) for _, b in roots]
                expected = torch.autograd.grad([b for _, b in roots], wanted, seeds, allow_unused=True)
                own = [convert(s, []) for s in seeds]
                got = rt.autograd.grad([a for a, _ in roots], leaves, own, allow_unused=True)
                for k, (a, b) in enumerate(zip(got, expected)):
                    if b is None and wanted[k]._is_view():
                        continue  # a part of another sample, cut off without a graph: torch passes its gradient by
                    if a is None or b is None:
                        zero = a if b is None else b
                        assert zero is None or not bool((zero != 0).any()), (
                            f"{described}: gradient {k} is missing on one side"
                        )
                        continue
                    if op.name in READ_IN_PART:
                        b = torch.where(torch.tensor((a == 0).tolist(), dtype=torch.bool).reshape(b.shape), 0, b)
                    same(described, a, b, f"gradient {k}")
            done += 1
        except NotImplementedError:
            continue
        except (Exception, AssertionError) as e:
            failed.append(f"{described}: {type(e).__name__}: {str(e)[:400]}")
    return done, failed


CASES = sorted({(op.name, op.variant_test_name): op for op in op_db}.items())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("key,op", CASES, ids=[f"{n}{'-' + v if v else ''}" for (n, v), _ in CASES])
def test_opinfo(key: tuple[str, str], op: Any) -> None:
    name = ".".join(k for k in key if k)
    f = ADAPTED.get(name) or resolve(op.name)
    if f is None:
        pytest.skip(f"rustorch has no {op.name}")
    if op.name in NOT_COMPARABLE:
        pytest.skip("nothing to compare")
    if name in KNOWN:
        pytest.skip(KNOWN[name])
    if all(d.is_complex for d in op.supported_dtypes("cpu")):
        pytest.skip("for complex numbers only")
    torch.manual_seed(0)
    total, failures = 0, []
    for dtype in (torch.float64, torch.float32, torch.int64, torch.bool, torch.bfloat16):
        if dtype not in op.supported_dtypes("cpu"):
            continue
        grad = dtype is torch.float64 and op.supports_autograd and torch.float64 in op.supported_backward_dtypes("cpu")
        done, failed = run(op, f, dtype, grad)
        total += done
        failures += failed
    assert total or failures or name in NOTHING_LEFT, "no sample was compared"
    assert not failures, f"{len(failures)} of {total + len(failures)} samples differ:\n" + "\n".join(failures[:6])
