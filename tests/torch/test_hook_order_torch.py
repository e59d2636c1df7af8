"""The order in which hooks of leaves fire, over PyTorch's own samples of every op with several inputs."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from test_opinfo import ADAPTED, CASES, NOT_COMPARABLE, Unsupported, convert, flat, resolve, torch_leaves  # noqa: E402

import rustorch as rt  # noqa: E402

# Ops that are made of others here, of other ones than in torch: their parts decide.
COMPOSED = {
    "addbmm", "addr", "block_diag", "cdist", "cross", "cumulative_trapezoid", "index_fill",
    "linalg.householder_product",
    "ormqr", "triangular_solve", "linalg.cross", "linalg.lstsq",
    "linalg.lstsq.grad_oriented", "linalg.multi_dot", "nn.functional.bilinear", "nn.functional.conv_transpose1d",
    "nn.functional.conv_transpose2d", "nn.functional.conv_transpose3d", "nn.functional.cosine_embedding_loss",
    "nn.functional.cosine_similarity", "nn.functional.embedding_bag", "nn.functional.grid_sample",
    "nn.functional.instance_norm", "nn.functional.kl_div", "nn.functional.triplet_margin_loss", "trapezoid", "trapz",
}  # fmt: skip


def orders(op: Any, f: Any, sample: Any) -> list[list[int]] | None:
    leaves: list[Any] = []
    try:
        x, args, kwargs = (convert(v, leaves) for v in (sample.input, tuple(sample.args), sample.kwargs))
        wanted = torch_leaves((sample.input, sample.args, sample.kwargs), [])
        distinct = len({id(t) for t in wanted})
        if distinct < 2 or distinct != len(leaves) or distinct != len(wanted):
            return None
        theirs, ours = op(sample.input, *sample.args, **sample.kwargs), f(x, *args, **kwargs)
    except (Unsupported, NotImplementedError):
        return None
    found = []
    for inputs, outputs, kind in ((wanted, theirs, torch.Tensor), (leaves, ours, rt.Tensor)):
        seen: list[int] = []
        handles = [t.register_hook(lambda g, i=i, seen=seen: seen.append(i)) for i, t in enumerate(inputs)]
        roots = [t for t in flat(outputs, kind) if t.requires_grad]
        if not roots:
            return None
        sum(t.sum() for t in roots).backward()
        for h in handles:
            h.remove()
        found.append(seen)
    return found


@pytest.mark.filterwarnings("ignore")
def test_hooks_of_leaves_fire_in_torchs_order() -> None:
    compared, wrong = 0, set()
    for key, op in CASES:
        name = ".".join(k for k in key if k)
        f = ADAPTED.get(name) or resolve(op.name)
        if f is None or op.name in NOT_COMPARABLE or not op.supports_autograd:
            continue
        if torch.float64 not in op.supported_dtypes("cpu"):
            continue
        for n, sample in enumerate(op.sample_inputs("cpu", torch.float64, requires_grad=True)):
            if n >= 12:
                break
            try:
                found = orders(op, f, sample)
            except Exception:  # values and errors are compared in test_opinfo
                continue
            if found is not None:
                compared += 1
                if found[0] != found[1]:
                    wrong.add(name)
    assert compared > 500
    assert wrong <= COMPOSED, wrong - COMPOSED
