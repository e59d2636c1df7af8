"""`nn.functional` and `nn.init` against PyTorch's: values, gradients, random streams, errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import rustorch as rt
import rustorch.nn.functional as F

torch = pytest.importorskip("torch")
TF = torch.nn.functional


class Arr:
    """A tensor argument, made anew in each library."""

    def __init__(self, *shape: int, kind: str = "normal", grad: bool = True, high: int = 5) -> None:
        rng = np.random.default_rng(sum(shape) + 7 * len(shape) + len(kind))
        self.grad = grad and kind not in ("int", "bool", "sign")
        if kind == "normal":
            self.value: Any = rng.standard_normal(shape).astype(np.float32)
        elif kind == "unit":
            self.value = rng.uniform(0.05, 0.95, shape).astype(np.float32)
        elif kind == "int":
            self.value = rng.integers(0, high, shape)
        elif kind == "sign":
            self.value = np.where(rng.random(shape) < 0.5, -1.0, 1.0).astype(np.float32)
        elif kind == "bool":
            self.value = rng.random(shape) < 0.7
        else:
            raise AssertionError(kind)

    def to(self, lib: Any) -> Any:
        return lib.tensor(self.value.tolist(), dtype=getattr(lib, self.value.dtype.name)).requires_grad_(self.grad)


def build(value: Any, lib: Any) -> Any:
    if isinstance(value, Arr):
        return value.to(lib)
    if isinstance(value, (list, tuple)):
        return type(value)(build(v, lib) for v in value)
    return value


def flat(value: Any, lib: Any) -> list[Any]:
    if isinstance(value, lib.Tensor):
        return [value]
    return [t for v in value for t in flat(v, lib)] if isinstance(value, (list, tuple)) else []


def close(a: Any, b: Any, what: str) -> None:
    assert tuple(a.shape) == tuple(b.shape), f"{what}: {a.shape} {b.shape}"
    np.testing.assert_allclose(
        np.asarray(a.detach().tolist()), np.asarray(b.detach().tolist()), rtol=3e-5, atol=3e-5, err_msg=what
    )


N, K, S, U = Arr(4, 5), Arr(4, kind="int"), Arr(4, kind="sign"), Arr(4, 5, kind="unit")
V = Arr(2, 3, 7, 6)
T1 = Arr(2, 3, 9)
V5 = Arr(2, 2, 5, 6, 4)
BINARY = Arr(4, 5, kind="int", high=2)

CASES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("linear", (N, Arr(3, 5), Arr(3)), {}),
    ("linear", (Arr(5), Arr(3, 5)), {}),
    ("bilinear", (N, Arr(4, 6), Arr(2, 5, 6), Arr(2)), {}),
    ("bilinear", (Arr(2, 4, 5), Arr(2, 4, 6), Arr(2, 5, 6)), {}),
    ("embedding", (Arr(3, 4, kind="int"), Arr(5, 2)), {"padding_idx": -2}),
    ("embedding", (Arr(3, 4, kind="int"), Arr(5, 2, grad=False)), {"max_norm": 0.8}),
    ("embedding_bag", (Arr(3, 4, kind="int"), Arr(5, 2)), {}),
    ("embedding_bag", (Arr(3, 4, kind="int"), Arr(5, 2)), {"mode": "max"}),
    ("embedding_bag", (Arr(3, 4, kind="int"), Arr(5, 2)), {"mode": "sum", "per_sample_weights": Arr(3, 4)}),
    ("embedding_bag", (Arr(3, 4, kind="int"), Arr(5, 2)), {"padding_idx": 2}),
    ("one_hot", (K,), {"num_classes": 6}),
    ("conv1d", (T1, Arr(4, 3, 3), Arr(4)), {"stride": 2, "padding": 1, "dilation": 2}),
    ("conv1d", (T1, Arr(4, 3, 4)), {"padding": "same"}),
    ("conv2d", (V, Arr(4, 3, 3, 2), Arr(4)), {"stride": (2, 1), "padding": (1, 0)}),
    ("conv2d", (V, Arr(6, 1, 3, 3)), {"groups": 3, "padding": "same", "dilation": 2}),
    ("conv2d", (V, Arr(6, 3, 2, 4)), {"padding": "same"}),
    ("conv2d", (Arr(3, 7, 6), Arr(6, 3, 2, 4)), {"padding": "valid"}),
    ("conv3d", (V5, Arr(4, 2, 3, 2, 2), Arr(4)), {"stride": (2, 1, 1), "padding": (1, 0, 1), "dilation": (1, 2, 1)}),
    ("conv3d", (V5, Arr(4, 1, 2, 3, 2)), {"groups": 2, "padding": "same"}),
    ("conv_transpose1d", (T1, Arr(3, 4, 3), Arr(4)), {"stride": 3, "padding": 1, "output_padding": 2}),
    ("conv_transpose2d", (V, Arr(3, 2, 3, 2), Arr(6)), {"stride": 2, "groups": 3, "dilation": (2, 1)}),
    ("conv_transpose2d", (Arr(3, 7, 6), Arr(3, 2, 3, 3)), {"padding": 1}),
    ("conv_transpose3d", (V5, Arr(2, 3, 2, 3, 2), Arr(3)), {"stride": (2, 1, 2), "padding": (0, 1, 0)}),
    ("unfold", (V, (3, 2)), {"padding": (1, 0), "stride": 2, "dilation": (1, 2)}),
    ("fold", (Arr(2, 12, 12), (4, 5), (2, 2)), {}),
    ("fold", (Arr(12, 12), (5, 7), (3, 2)), {"padding": 1, "stride": 2}),
    ("max_pool1d", (T1, 3), {"stride": 2, "padding": 1, "return_indices": True}),
    ("max_pool1d", (T1, 3), {"ceil_mode": True}),
    ("max_pool2d", (V, (3, 2)), {"stride": 2, "return_indices": True, "ceil_mode": True}),
    ("max_pool2d", (V, 3), {"stride": 1, "padding": 1, "dilation": 2}),
    ("max_pool3d", (V5, 2), {"stride": 1, "return_indices": True, "padding": 1}),
    ("max_pool3d", (V5, (2, 3, 2)), {"ceil_mode": True}),
    ("avg_pool1d", (T1, 3), {"padding": 1, "count_include_pad": False}),
    ("avg_pool2d", (V, (3, 2)), {"stride": 2, "padding": 1, "divisor_override": 5}),
    ("avg_pool2d", (V, 2), {"ceil_mode": True}),
    ("avg_pool3d", (V5, 2), {"stride": (2, 1, 1), "padding": 1}),
    ("avg_pool3d", (V5, 2), {"divisor_override": 3}),
    ("adaptive_avg_pool1d", (T1, 4), {}),
    ("adaptive_avg_pool2d", (V, (3, None)), {}),
    ("adaptive_avg_pool3d", (V5, (2, None, 3)), {}),
    ("adaptive_max_pool1d", (T1, 4), {"return_indices": True}),
    ("adaptive_max_pool2d", (V, (None, 4)), {"return_indices": True}),
    ("adaptive_max_pool3d", (V5, (2, 3, 3)), {"return_indices": True}),
    ("lp_pool1d", (T1, 2, 3), {"stride": 2}),
    ("lp_pool2d", (V, 3, (2, 3)), {}),
    ("lp_pool2d", (V, float("inf"), 2), {}),
    ("lp_pool2d", (V, -float("inf"), 2), {}),
    ("lp_pool3d", (V5, 2, 2), {}),
    ("batch_norm", (V, None, None, Arr(3), Arr(3)), {"training": True}),
    ("batch_norm", (N, Arr(5, grad=False), Arr(5, kind="unit", grad=False)), {"eps": 0.1}),
    ("instance_norm", (V,), {"weight": Arr(3), "bias": Arr(3)}),
    ("layer_norm", (V, (7, 6), Arr(7, 6), Arr(7, 6)), {}),
    ("layer_norm", (N, (5,)), {"eps": 0.1}),
    ("group_norm", (Arr(2, 6, 4), 3, Arr(6), Arr(6)), {}),
    ("rms_norm", (V, (7, 6), Arr(7, 6)), {}),
    ("rms_norm", (N, (5,)), {"eps": 0.1}),
    ("local_response_norm", (V, 2), {"alpha": 0.5}),
    ("local_response_norm", (T1, 3), {}),
    ("normalize", (V,), {"p": 1.0, "dim": 2}),
    ("relu", (N,), {}),
    ("relu6", (N,), {}),
    ("leaky_relu", (N, 0.2), {}),
    ("prelu", (V, Arr(3)), {}),
    ("rrelu", (N,), {}),
    ("elu", (N, 0.7), {}),
    ("selu", (N,), {}),
    ("celu", (N, 0.7), {}),
    ("gelu", (N,), {}),
    ("gelu", (N,), {"approximate": "tanh"}),
    ("silu", (N,), {}),
    ("mish", (N,), {}),
    ("sigmoid", (N,), {}),
    ("tanh", (N,), {}),
    ("softplus", (N, 3.0, 2.0), {}),
    ("softsign", (N,), {}),
    ("logsigmoid", (N,), {}),
    ("tanhshrink", (N,), {}),
    ("hardtanh", (N, -0.5, 0.7), {}),
    ("hardsigmoid", (N,), {}),
    ("hardswish", (N,), {}),
    ("hardshrink", (N, 0.3), {}),
    ("softshrink", (N, 0.3), {}),
    ("threshold", (N, 0.1, 2.0), {}),
    ("glu", (Arr(4, 6),), {"dim": 1}),
    ("softmax", (V,), {"dim": 1}),
    ("softmax", (N,), {}),
    ("softmin", (V,), {"dim": -1}),
    ("log_softmax", (T1,), {}),
    ("cosine_similarity", (N, Arr(1, 5)), {"dim": -1}),
    ("pairwise_distance", (N, U, 3.0), {"keepdim": True}),
    ("pdist", (N,), {}),
    ("pdist", (N, 1.0), {}),
    ("cross_entropy", (N, K), {"label_smoothing": 0.1, "weight": Arr(5, kind="unit", grad=False)}),
    ("cross_entropy", (Arr(2, 5, 3), Arr(2, 3, kind="int")), {"ignore_index": 2, "reduction": "none"}),
    ("cross_entropy", (N, U), {"reduction": "sum"}),
    ("nll_loss", (N, K), {"weight": Arr(5, kind="unit", grad=False), "ignore_index": 1}),
    ("mse_loss", (N, U), {}),
    ("mse_loss", (N, U), {"weight": Arr(4, 5, kind="unit", grad=False)}),
    ("mse_loss", (N, U), {"size_average": False}),
    ("l1_loss", (N, U), {"weight": Arr(4, 5, kind="unit", grad=False), "reduction": "sum"}),
    ("l1_loss", (N, U), {"reduce": False}),
    ("smooth_l1_loss", (N, U), {"beta": 0.5}),
    ("smooth_l1_loss", (N, U), {"beta": 0.0}),
    ("huber_loss", (N, U), {"delta": 0.5}),
    ("huber_loss", (N, U), {"weight": Arr(4, 5, kind="unit", grad=False)}),
    ("binary_cross_entropy", (U, Arr(4, 5, kind="unit", grad=False)), {"weight": Arr(5, kind="unit", grad=False)}),
    ("binary_cross_entropy_with_logits", (N, U), {"pos_weight": Arr(5, kind="unit", grad=False)}),
    ("kl_div", (N, Arr(4, 5, kind="unit", grad=False)), {"reduction": "batchmean"}),
    ("kl_div", (N, Arr(4, 5, grad=False)), {"log_target": True, "reduction": "none"}),
    ("poisson_nll_loss", (N, U), {"full": True}),
    ("poisson_nll_loss", (U, Arr(4, 5, kind="int")), {"full": True, "log_input": False}),
    ("gaussian_nll_loss", (N, U, Arr(4, kind="unit")), {"full": True}),
    ("gaussian_nll_loss", (N, U, 0.3), {"reduction": "sum"}),
    ("hinge_embedding_loss", (Arr(4), S), {"margin": 0.5}),
    ("cosine_embedding_loss", (N, U, S), {"margin": 0.1}),
    ("cosine_embedding_loss", (Arr(5), Arr(5, kind="unit"), Arr(kind="sign")), {}),
    ("margin_ranking_loss", (Arr(4), Arr(4, kind="unit"), S), {"margin": 0.2}),
    ("soft_margin_loss", (Arr(4), S), {}),
    ("multilabel_soft_margin_loss", (N, BINARY), {"weight": Arr(5, kind="unit", grad=False)}),
    ("multi_margin_loss", (N, K), {"p": 2, "weight": Arr(5, kind="unit", grad=False)}),
    ("multi_margin_loss", (Arr(5), Arr(kind="int")), {}),
    ("triplet_margin_loss", (N, U, Arr(4, 5, kind="unit")), {"swap": True, "p": 1.0}),
    ("triplet_margin_with_distance_loss", (N, U, Arr(4, 5, kind="unit")), {"reduction": "none"}),
    ("pad", (N, (1, 2)), {"value": 3.0}),
    ("pad", (N, (-1, 2, 1, 0)), {}),
    ("pad", (V, (1, 2, 0, 3)), {"mode": "reflect"}),
    ("pad", (T1, (3, 1)), {"mode": "replicate"}),
    ("pad", (V, (1, 2, 3, 0)), {"mode": "circular"}),
    ("pixel_shuffle", (Arr(2, 8, 3, 2), 2), {}),
    ("pixel_unshuffle", (Arr(2, 2, 4, 6), 2), {}),
    ("channel_shuffle", (Arr(2, 6, 3), 3), {}),
    ("interpolate", (T1,), {"size": 13}),
    ("interpolate", (V,), {"scale_factor": (1.7, 0.6)}),
    ("interpolate", (V,), {"scale_factor": 2, "mode": "nearest-exact"}),
    ("interpolate", (V5,), {"size": (3, 9, 2)}),
    ("interpolate", (T1,), {"scale_factor": 1.6, "mode": "linear"}),
    ("interpolate", (V,), {"size": (4, 11), "mode": "bilinear"}),
    ("interpolate", (V,), {"scale_factor": 1.7, "mode": "bilinear", "recompute_scale_factor": True}),
    ("interpolate", (V,), {"size": (4, 11), "mode": "bilinear", "align_corners": True}),
    ("interpolate", (V,), {"size": (1, 1), "mode": "bilinear", "align_corners": True}),
    ("interpolate", (V,), {"size": (10, 3), "mode": "bicubic"}),
    ("interpolate", (V,), {"scale_factor": 2.5, "mode": "bicubic", "align_corners": True}),
    ("interpolate", (V5,), {"size": 7, "mode": "trilinear"}),
    ("interpolate", (V,), {"size": (3, 4), "mode": "area"}),
    ("interpolate", (V,), {"scale_factor": 0.5, "mode": "area"}),
    ("upsample", (V,), {"scale_factor": 2}),
    ("upsample_nearest", (V,), {"size": 9}),
    ("upsample_bilinear", (V,), {"size": 9}),
    ("affine_grid", (Arr(2, 2, 3), (2, 3, 4, 5)), {"align_corners": False}),
    ("affine_grid", (Arr(2, 2, 3), (2, 3, 4, 1)), {"align_corners": True}),
    *(
        ("grid_sample", (V, Arr(2, 4, 5, 2)), {"mode": m, "padding_mode": p, "align_corners": a})
        for m in ("bilinear", "nearest", "bicubic")
        for p in ("zeros", "border", "reflection")
        for a in (False, True)
    ),
    *(
        ("grid_sample", (V5, Arr(2, 4, 5, 3, 3)), {"mode": m, "padding_mode": p, "align_corners": a})
        for m in ("bilinear", "nearest")
        for p in ("zeros", "border", "reflection")
        for a in (False, True)
    ),
    ("affine_grid", (Arr(2, 3, 4), (2, 3, 4, 5, 2)), {"align_corners": False}),
    ("affine_grid", (Arr(2, 3, 4), (2, 3, 4, 1, 2)), {"align_corners": True}),
    *(
        ("interpolate", (V,), {**size, "mode": m, "align_corners": a, "antialias": True})
        for m in ("bilinear", "bicubic")
        for a in (False, True)
        for size in ({"size": (3, 9)}, {"size": (1, 2)}, {"scale_factor": (0.45, 1.3)})
    ),
    ("scaled_dot_product_attention", (Arr(2, 3, 4, 6), Arr(2, 3, 5, 6), Arr(2, 3, 5, 2)), {}),
    ("scaled_dot_product_attention", (Arr(2, 4, 6), Arr(2, 4, 6), Arr(2, 4, 6)), {"is_causal": True, "scale": 0.3}),
    ("scaled_dot_product_attention", (Arr(3, 6), Arr(3, 6), Arr(3, 6)), {"attn_mask": Arr(3, 3, grad=False)}),
    (
        "scaled_dot_product_attention",
        (Arr(2, 4, 3, 6), Arr(2, 2, 3, 6), Arr(2, 2, 3, 6)),
        {"enable_gqa": True, "attn_mask": Arr(1, 1, 3, 3, kind="bool")},
    ),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), CASES, ids=[f"{i}-{c[0]}" for i, c in enumerate(CASES)])
def test_function(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    out, leaves = [], []
    for lib, functions in ((rt, F), (torch, TF)):
        a = build(args, lib)
        k = {key: build(value, lib) for key, value in kwargs.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            result = getattr(functions, name)(*a, **k)
        results = flat(result, lib)
        grown = [t for t in results if t.requires_grad]
        if grown:
            lib.autograd.backward(grown, [weights(t, lib) for t in grown])
        out.append(results)
        leaves.append(flat([*a, *k.values()], lib))
    assert len(out[0]) == len(out[1])
    for a, b in zip(out[0], out[1], strict=True):
        close(a, b, name)
        assert a.requires_grad == b.requires_grad
    for a, b in zip(leaves[0], leaves[1], strict=True):
        if a.grad is None:  # no gradient stands for one of zeros
            assert b.grad is None or not b.grad.any(), name
        else:
            close(a.grad, b.grad, f"gradient of {name}")


def weights(like: Any, lib: Any) -> Any:
    """A cotangent that is not constant."""
    value = np.cos(np.arange(like.numel(), dtype=np.float32)).reshape(tuple(like.shape))
    return lib.tensor(value.tolist(), dtype=lib.float32)


INPLACE = "relu relu6 elu selu celu silu mish leaky_relu hardtanh hardsigmoid hardswish rrelu threshold"


@pytest.mark.parametrize("name", INPLACE.split())
def test_inplace(name: str) -> None:
    extra = (0.1, 0.4) if name == "threshold" else ()
    grads, values = [], []
    for lib, functions in ((rt, F), (torch, TF)):
        leaf = N.to(lib)
        x = leaf * 1.5
        y = getattr(functions, name)(x, *extra, inplace=True)
        assert y is x
        y.sum().backward()
        grads.append(leaf.grad)
        values.append(x)
    close(values[0], values[1], name)
    close(grads[0], grads[1], name)


@pytest.mark.parametrize(
    ("name", "kwargs", "shape"),
    [
        ("dropout", {"p": 0.3}, (4, 5)),
        ("dropout", {"p": 0.3}, (40, 50)),
        ("dropout", {"p": 1.0}, (4, 5)),
        ("alpha_dropout", {"p": 0.4, "training": True}, (8, 5)),
        ("dropout1d", {"p": 0.4}, (3, 8, 5)),
        ("dropout1d", {"p": 0.4}, (8, 5)),
        ("dropout2d", {"p": 0.4}, (3, 8, 5, 2)),
        ("dropout3d", {"p": 0.4}, (3, 8, 5, 2, 2)),
        ("feature_alpha_dropout", {"p": 0.4, "training": True}, (3, 8, 5)),
        ("rrelu", {"training": True}, (8, 5)),
        ("gumbel_softmax", {"tau": 0.5}, (4, 5)),
        ("gumbel_softmax", {"hard": True}, (4, 5)),
    ],
)
@pytest.mark.parametrize("inplace", [False, True])
def test_random_function(name: str, kwargs: dict[str, Any], shape: tuple[int, ...], inplace: bool) -> None:
    if inplace and name == "gumbel_softmax":
        pytest.skip("has no in-place form")
    if inplace:
        kwargs = {**kwargs, "inplace": True}
    got = []
    for lib, functions in ((rt, F), (torch, TF)):
        leaf = Arr(*shape).to(lib)
        lib.manual_seed(5)
        y = getattr(functions, name)(leaf * 1.0, **kwargs)
        y.backward(weights(y, lib))
        got.append((y, leaf.grad))
    close(got[0][0], got[1][0], name)
    close(got[0][1], got[1][1], f"gradient of {name}")


@pytest.mark.parametrize("zero_infinity", [False, True])
@pytest.mark.parametrize("reduction", ["none", "mean", "sum"])
def test_ctc_loss(reduction: str, zero_infinity: bool) -> None:
    got = []
    for lib, functions in ((rt, F), (torch, TF)):
        x = Arr(9, 3, 5).to(lib)
        targets = lib.tensor([[1, 2, 2, 3], [4, 4, 1, 0], [3, 1, 0, 0]])
        args = (lib.tensor([9, 7, 8]), lib.tensor([4, 3, 0]))
        loss = functions.ctc_loss(functions.log_softmax(x, -1), targets, *args, reduction=reduction)
        loss.sum().backward()
        joined = lib.tensor([1, 2, 2, 3, 4, 4, 1])
        same = functions.ctc_loss(functions.log_softmax(x, -1), joined, *args, reduction=reduction)
        close(same, loss, "flat targets")
        short = functions.ctc_loss(
            functions.log_softmax(x, -1), targets, (9, 2, 8), (4, 3, 1), zero_infinity=zero_infinity, reduction="none"
        )
        got.append((loss, x.grad, short))
    for a, b in zip(got[0], got[1], strict=True):
        close(a, b, "ctc_loss")


def test_multilabel_margin_loss() -> None:
    got = []
    for lib, functions in ((rt, F), (torch, TF)):
        x = N.to(lib)
        target = lib.tensor([[1, 3, -1, 2, 0], [0, -1, 4, 4, 4], [-1, 1, 1, 1, 1], [4, 3, 2, 1, 0]])
        loss = functions.multilabel_margin_loss(x, target, reduction="none")
        loss.sum().backward()
        got.append((loss, x.grad, functions.multilabel_margin_loss(x[0], target[0])))
    for a, b in zip(got[0], got[1], strict=True):
        close(a, b, "multilabel_margin_loss")


@pytest.mark.parametrize("n", [1, 2, 3])
def test_max_unpool(n: int) -> None:
    got = []
    for lib, functions in ((rt, F), (torch, TF)):
        x = Arr(2, 3, *(8,) * n).to(lib)
        y, at = getattr(functions, f"max_pool{n}d")(x, 2, return_indices=True)
        z = getattr(functions, f"max_unpool{n}d")(y, at, 2)
        z.backward(weights(z, lib))
        odd = getattr(functions, f"max_unpool{n}d")(y.detach(), at, 2, output_size=[9] * n)
        got.append((z, x.grad, odd))
    for a, b in zip(got[0], got[1], strict=True):
        close(a, b, "max_unpool")


def test_instance_norm_running_statistics() -> None:
    got = []
    for lib, functions in ((rt, F), (torch, TF)):
        mean, var = lib.zeros(3), lib.ones(3)
        y = functions.instance_norm(V.to(lib), mean, var, momentum=0.3)
        z = functions.instance_norm(V.to(lib), mean, var, use_input_stats=False)
        got.append((y, mean, var, z))
    for a, b in zip(got[0], got[1], strict=True):
        close(a, b, "instance_norm")


INIT: list[tuple[str, tuple[int, ...], dict[str, Any]]] = [
    ("uniform_", (5, 3), {"a": -1.0, "b": 2.0}),
    ("uniform_", (50, 30), {}),
    ("normal_", (3, 4), {"mean": 1.0, "std": 2.0}),
    ("normal_", (50, 30), {}),
    ("trunc_normal_", (30, 20), {}),
    ("trunc_normal_", (30, 20), {"mean": 1.0, "std": 0.5, "a": 0.4, "b": 1.2}),
    ("trunc_normal_", (30, 20), {"a": 1.0, "b": 1.5}),
    ("constant_", (3,), {"val": 0.3}),
    ("ones_", (3,), {}),
    ("zeros_", (3,), {}),
    ("eye_", (3, 5), {}),
    ("dirac_", (6, 2, 3), {"groups": 2}),
    ("dirac_", (3, 4, 3, 2), {}),
    ("dirac_", (3, 4, 3, 2, 5), {}),
    ("xavier_uniform_", (7, 5, 3), {"gain": 2.0}),
    ("xavier_normal_", (7, 5), {}),
    ("kaiming_uniform_", (7, 5, 3, 3), {"a": 0.2, "mode": "fan_out"}),
    ("kaiming_uniform_", (7, 5), {"nonlinearity": "relu"}),
    ("kaiming_normal_", (7, 5), {"nonlinearity": "tanh"}),
    ("kaiming_normal_", (7, 5), {"nonlinearity": "selu", "mode": "fan_out"}),
    ("sparse_", (10, 4), {"sparsity": 0.35}),
]


@pytest.mark.parametrize(("name", "shape", "kwargs"), INIT)
def test_init(name: str, shape: tuple[int, ...], kwargs: dict[str, Any]) -> None:
    got = []
    for lib in (rt, torch):
        lib.manual_seed(3)
        t = lib.empty(*shape, requires_grad=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert getattr(lib.nn.init, name)(t, **kwargs) is t
        got.append((t, lib.rand(3)))
    close(got[0][0], got[1][0], name)
    close(got[0][1], got[1][1], f"the stream after {name}")


def test_init_takes_a_generator() -> None:
    got = []
    for lib in (rt, torch):
        g = lib.Generator()
        g.manual_seed(9)
        got.append(lib.nn.init.kaiming_uniform_(lib.empty(4, 5), generator=g))
    close(got[0], got[1], "generator")


def has_qr() -> bool:
    try:
        return callable(rt.linalg.qr)
    except (ImportError, AttributeError):
        return False


def test_orthogonal_matches_or_says_what_is_missing() -> None:
    if not has_qr():
        with pytest.raises(NotImplementedError, match="qr"):
            rt.nn.init.orthogonal_(rt.empty(3, 4))
        return
    for shape in ((3, 4), (6, 2, 3), (5, 5)):
        got = []
        for lib in (rt, torch):
            lib.manual_seed(3)
            got.append(lib.nn.init.orthogonal_(lib.empty(*shape), gain=2.0))
        close(got[0], got[1], "orthogonal_")


@pytest.mark.parametrize("nonlinearity", ["linear", "conv2d", "sigmoid", "tanh", "relu", "leaky_relu", "selu"])
def test_calculate_gain(nonlinearity: str) -> None:
    assert rt.nn.init.calculate_gain(nonlinearity) == torch.nn.init.calculate_gain(nonlinearity)
    assert rt.nn.init.calculate_gain("leaky_relu", 0.3) == torch.nn.init.calculate_gain("leaky_relu", 0.3)


ERRORS: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("dropout", (N,), {"p": 1.5}),
    ("dropout1d", (Arr(2),), {}),
    ("softmax", (N,), {"dim": 5}),
    ("mse_loss", (N, U), {"reduction": "average"}),
    ("binary_cross_entropy", (U, Arr(4, kind="unit")), {}),
    ("binary_cross_entropy_with_logits", (N, Arr(4, kind="unit")), {}),
    ("gaussian_nll_loss", (N, U, -1.0), {}),
    ("gaussian_nll_loss", (N, U, Arr(2, 2, kind="unit")), {}),
    ("cosine_embedding_loss", (N, U, Arr(4, 1, 1, kind="sign")), {}),
    ("margin_ranking_loss", (N, Arr(4), S), {}),
    ("triplet_margin_loss", (N, U, Arr(4)), {}),
    ("batch_norm", (Arr(1, 3), None, None), {"training": True}),
    ("batch_norm", (N, None, None), {"training": True, "eps": 0.0}),
    ("instance_norm", (Arr(2, 3, 1),), {}),
    ("interpolate", (V,), {}),
    ("interpolate", (V,), {"size": 3, "scale_factor": 2}),
    ("interpolate", (V,), {"size": (3, 4, 5)}),
    ("interpolate", (V,), {"size": 3, "mode": "linear"}),
    ("interpolate", (V,), {"size": 3, "align_corners": True}),
    ("interpolate", (N,), {"size": 3}),
    ("conv2d", (V, Arr(4, 3, 3, 3)), {"padding": "same", "stride": 2}),
    ("conv_transpose2d", (V, Arr(3, 2, 3, 3)), {"output_padding": 1}),
    ("pixel_shuffle", (Arr(2, 3, 4, 4), 2), {}),
    ("embedding", (Arr(3, kind="int"), Arr(5, 2)), {"padding_idx": 5}),
    ("embedding_bag", (Arr(3, kind="int"), Arr(5, 2)), {}),
    ("embedding_bag", (Arr(3, 2, kind="int"), Arr(5, 2)), {"mode": "median"}),
    ("multi_margin_loss", (N, K), {"p": 3}),
    ("glu", (Arr(4, 5),), {}),
    ("hardtanh", (N, 1.0, -1.0), {}),
    ("fold", (Arr(2, 11, 12), (4, 5), (2, 2)), {}),
    ("max_unpool2d", (Arr(1, 1, 2, 2), Arr(1, 1, 2, 2, kind="int"), 2), {"output_size": (9, 9)}),
    ("affine_grid", (Arr(2, 2, 2), (2, 3, 4, 5)), {}),
    ("grid_sample", (V, Arr(2, 4, 5, 2)), {"padding_mode": "wrap"}),
    ("scaled_dot_product_attention", (N, N, N), {"is_causal": True, "attn_mask": Arr(4, 4)}),
]


@pytest.mark.parametrize(("name", "args", "kwargs"), ERRORS, ids=[f"{i}-{c[0]}" for i, c in enumerate(ERRORS)])
def test_both_refuse(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for lib, functions in ((rt, F), (torch, TF)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with pytest.raises((ValueError, RuntimeError, TypeError, IndexError, AssertionError)):
                getattr(functions, name)(*build(args, lib), **{k: build(v, lib) for k, v in kwargs.items()})


RESIZED: list[dict[str, Any]] = [
    {"size": (3, 9)},
    {"size": (14, 12)},
    {"size": (7, 4)},
    {"scale_factor": (0.55, 1.7)},
    {"scale_factor": (2.15, 1.05)},
    {"scale_factor": (1.7, 0.6), "recompute_scale_factor": True},
]


@pytest.mark.parametrize("dtype", ["float64", "float16", "bfloat16", "uint8"])
@pytest.mark.parametrize(
    "mode", ["nearest", "nearest-exact", "area", "bilinear", "bicubic", "bilinear corners", "bilinear aa", "bicubic aa"]
)
def test_resized_dtypes(mode: str, dtype: str) -> None:
    if dtype == "uint8" and mode == "area":
        pytest.skip("torch has no means of bytes")
    if mode.endswith("aa") and dtype.endswith("float16"):
        pytest.skip("torch does not smooth half floats")
    mode, *words = mode.split()
    options = {"mode": mode, "antialias": words == ["aa"], **({"align_corners": True} if "corners" in words else {})}
    source = np.random.default_rng(3).uniform(0, 255, (2, 3, 7, 6)).astype(int).tolist()
    for size in RESIZED:
        ours, theirs = (
            functions.interpolate(lib.tensor(source, dtype=getattr(lib, dtype)), **size, **options)
            for lib, functions in ((rt, F), (torch, TF))
        )
        assert tuple(ours.shape) == tuple(theirs.shape)
        a, b = np.array(ours.tolist()), np.array(theirs.tolist())
        # Torch counts the weights of bytes in steps, and rounds half floats in between.
        far = {"float64": 1e-4, "float16": 0.3, "bfloat16": 2.0, "uint8": 1.0}[dtype]
        np.testing.assert_allclose(a, b, rtol=0, atol=0 if mode.startswith("nearest") else far)


BAGS: list[dict[str, Any]] = [
    {"offsets": [0, 3, 3, 5]},
    {"offsets": [0, 3, 3, 10], "include_last_offset": True},
    {"offsets": [0, 3, 3, 5], "padding_idx": 2},
    {"offsets": [0, 3, 3, 10], "padding_idx": -1, "include_last_offset": True},
    {},
    {"padding_idx": 0},
]


@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "bfloat16"])
@pytest.mark.parametrize("mode", ["sum", "mean", "max", "weighted"])
@pytest.mark.parametrize("given", BAGS, ids=[str(i) for i in range(len(BAGS))])
def test_bags(given: dict[str, Any], mode: str, dtype: str) -> None:
    found = []
    for lib, functions in ((rt, F), (torch, TF)):
        d = getattr(lib, dtype)
        rows = np.array([0, 4, 2, 2, 1, 4, 0, 3, 3, 0])
        rows = rows if "offsets" in given else rows.reshape(2, 5)
        table = Arr(5, 3).to(lib).detach().to(d).requires_grad_()
        options = {k: lib.tensor(v) if k == "offsets" else v for k, v in given.items()}
        leaves = [table]
        if mode == "weighted":
            options["per_sample_weights"] = Arr(*rows.shape).to(lib).detach().to(d).requires_grad_()
            leaves.append(options["per_sample_weights"])
        word = "sum" if mode == "weighted" else mode
        out = functions.embedding_bag(lib.tensor(rows.tolist()), table, mode=word, **options)
        out.backward(weights(out, lib).to(d))
        found.append([out.detach(), *(leaf.grad for leaf in leaves)])
    for a, b in zip(*found, strict=True):
        assert str(a.dtype).split(".")[-1] == str(b.dtype).split(".")[-1]
        far = {"float16": 6e-3, "bfloat16": 6e-2}.get(dtype, 1e-6)
        np.testing.assert_allclose(np.array(a.tolist()), np.array(b.tolist()), rtol=far, atol=far)


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0, float("inf")])
def test_tables_of_bounded_norm(norm_type: float) -> None:
    found = []
    for lib, functions in ((rt, F), (torch, TF)):
        table = Arr(5, 3).to(lib).detach()
        out = functions.embedding(lib.tensor([[0, 4], [2, 2]]), table, max_norm=0.8, norm_type=norm_type)
        bag = functions.embedding_bag(lib.tensor([[1, 4]]), table, max_norm=0.5, norm_type=norm_type)
        found.append((out, bag, table))
    for a, b in zip(*found, strict=True):
        close(a, b, "table")


@pytest.mark.parametrize("kind", ["max_pool3d", "avg_pool3d", "adaptive_avg_pool3d", "adaptive_max_pool3d"])
@pytest.mark.parametrize("shape", [(2, 3, 5, 6, 7), (3, 5, 6, 7), (0, 3, 5, 6, 7)])
def test_pools_in_three_dimensions(kind: str, shape: tuple[int, ...]) -> None:
    sizes = [1, (2, 3, 4), (5, 6, 7)] if kind.startswith("adaptive") else [2, (1, 2, 3), 3]
    for size in sizes:
        padded = {"stride": 2, "padding": (0, 1, 1), "ceil_mode": True}
        for options in [{}] if kind.startswith("adaptive") else [{}, padded]:
            if "padding" in options and size == (1, 2, 3):
                options = {"stride": (2, 1, 3), "padding": (0, 1, 1)}
            found = []
            for lib, functions in ((rt, F), (torch, TF)):
                x = lib.tensor(Arr(*shape).value.reshape(-1).tolist()).reshape(shape).requires_grad_()
                extra = {"return_indices": True} if "max" in kind else {}
                out = getattr(functions, kind)(x, size, **options, **extra)
                outs = list(out) if extra else [out]
                outs[0].backward(weights(outs[0], lib).reshape(outs[0].shape))
                found.append([*outs, x.grad])
            for a, b in zip(*found, strict=True):
                close(a, b, kind)
