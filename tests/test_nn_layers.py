"""Layers and functions against plain NumPy, and what they refuse."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pytest

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import nn


def arr(t: Any) -> Any:
    return np.asarray(t.detach().tolist())


def tensor(a: Any, grad: bool = False) -> Any:
    return rt.tensor(np.asarray(a).tolist(), dtype=rt.float64, requires_grad=grad)


def close(t: Any, want: Any, tol: float = 1e-6) -> None:
    want = np.asarray(want)
    assert tuple(t.shape) == want.shape
    np.testing.assert_allclose(arr(t), want, rtol=tol, atol=tol)


@pytest.fixture
def rng() -> Any:
    rt.manual_seed(0)
    return np.random.default_rng(0)


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


ACTIVATIONS: list[tuple[Any, Any]] = [
    (nn.ReLU(), lambda x: np.maximum(x, 0)),
    (nn.ReLU6(), lambda x: np.clip(x, 0, 6)),
    (nn.LeakyReLU(0.2), lambda x: np.where(x > 0, x, 0.2 * x)),
    (nn.ELU(0.5), lambda x: np.where(x > 0, x, 0.5 * np.expm1(x))),
    (nn.CELU(0.5), lambda x: np.maximum(x, 0) + np.minimum(0, 0.5 * np.expm1(x / 0.5))),
    (nn.SELU(), lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
    (nn.GELU(), lambda x: x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))),
    (nn.GELU("tanh"), lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))),
    (nn.SiLU(), lambda x: x * sigmoid(x)),
    (nn.Mish(), lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    (nn.Sigmoid(), sigmoid),
    (nn.Tanh(), np.tanh),
    (nn.Softplus(2.0, 3.0), lambda x: np.where(2 * x > 3, x, np.log1p(np.exp(2 * x)) / 2)),
    (nn.Softsign(), lambda x: x / (1 + abs(x))),
    (nn.LogSigmoid(), lambda x: np.log(sigmoid(x))),
    (nn.Tanhshrink(), lambda x: x - np.tanh(x)),
    (nn.Hardtanh(-0.5, 0.7), lambda x: np.clip(x, -0.5, 0.7)),
    (nn.Hardsigmoid(), lambda x: np.clip(x / 6 + 0.5, 0, 1)),
    (nn.Hardswish(), lambda x: x * np.clip(x / 6 + 0.5, 0, 1)),
    (nn.Hardshrink(0.3), lambda x: np.where(abs(x) > 0.3, x, 0)),
    (nn.Softshrink(0.3), lambda x: np.sign(x) * np.maximum(abs(x) - 0.3, 0)),
    (nn.Threshold(0.1, 2.0), lambda x: np.where(x > 0.1, x, 2.0)),
    (nn.RReLU().eval(), lambda x: np.where(x > 0, x, x * (1 / 8 + 1 / 3) / 2)),
    (nn.Identity("anything", wrong=1), lambda x: x),
]


@pytest.mark.parametrize(
    ("layer", "want"), ACTIVATIONS, ids=lambda v: type(v).__name__ if hasattr(v, "forward") else ""
)
def test_activation(layer: Any, want: Any, rng: Any) -> None:
    x = rng.standard_normal((3, 4)) * 2
    close(layer(tensor(x)), want(x))
    if getattr(layer, "inplace", None) is False:
        t = tensor(x)
        layer.inplace = True
        assert layer(t) is t or isinstance(layer, nn.RReLU)
        close(t, want(x))
        layer.inplace = False


def test_softmaxes(rng: Any) -> None:
    x = rng.standard_normal((2, 3, 4, 5))
    e = np.exp(x)
    close(nn.Softmax(1)(tensor(x)), e / e.sum(1, keepdims=True))
    close(nn.Softmax2d()(tensor(x)), e / e.sum(1, keepdims=True))
    close(nn.LogSoftmax(-1)(tensor(x)), x - np.log(e.sum(-1, keepdims=True)))
    close(nn.Softmin(2)(tensor(x)), 1 / e / (1 / e).sum(2, keepdims=True))
    with pytest.warns(UserWarning, match="Implicit dimension"):
        close(F.softmax(tensor(x)), e / e.sum(1, keepdims=True))
    with pytest.raises(ValueError, match="3D or 4D"):
        nn.Softmax2d()(tensor(x[0, 0]))


def test_glu_and_prelu(rng: Any) -> None:
    x = rng.standard_normal((3, 4))
    close(nn.GLU()(tensor(x)), x[:, :2] * sigmoid(x[:, 2:]))
    prelu = nn.PReLU(4).double()
    close(prelu(tensor(x)), np.where(x > 0, x, 0.25 * x))
    prelu.weight.data.fill_(7)
    prelu.reset_parameters()
    assert arr(prelu.weight).tolist() == [0.25] * 4
    with pytest.raises(RuntimeError, match="scalars"):
        F.glu(rt.tensor(1.0))
    with pytest.raises(ValueError, match="larger"):
        nn.Hardtanh(1.0, 0.0)
    with pytest.warns(FutureWarning):
        assert nn.Hardtanh(min_value=-2.0, max_value=3.0).max_val == 3.0


def test_linear(rng: Any) -> None:
    layer = nn.Linear(4, 3).double()
    x = rng.standard_normal((2, 5, 4))
    close(layer(tensor(x)), x @ arr(layer.weight).T + arr(layer.bias))
    assert nn.Linear(4, 3, bias=False).bias is None
    bound = 1 / math.sqrt(1000)
    w = arr(nn.Linear(1000, 50).weight)
    assert abs(w).max() <= bound and abs(w).max() > 0.99 * bound and abs(w.mean()) < bound / 50
    b = nn.Bilinear(4, 4, 2).double()
    x1, x2 = x[0], x[1]
    close(b(tensor(x1), tensor(x2)), np.einsum("ni,oij,nj->no", x1, arr(b.weight), x2) + arr(b.bias))
    with pytest.raises(ValueError):
        nn.Bilinear(0, 1, 1)


def conv(x: Any, w: Any, stride: int = 1, pad: int = 0, dilation: int = 1, groups: int = 1) -> Any:
    """Cross-correlation of [N, C, H, W] by loops."""
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    n, _, h, width = x.shape
    out, per, kh, kw = w.shape
    oh, ow = ((s - dilation * (k - 1) - 1) // stride + 1 for s, k in ((h, kh), (width, kw)))
    y = np.zeros((n, out, oh, ow))
    for o in range(out):
        first = o // (out // groups) * per
        for i in range(oh):
            for j in range(ow):
                rows = slice(i * stride, i * stride + dilation * (kh - 1) + 1, dilation)
                cols = slice(j * stride, j * stride + dilation * (kw - 1) + 1, dilation)
                y[:, o, i, j] = (x[:, first : first + per, rows, cols] * w[o]).sum((1, 2, 3))
    return y


def test_conv2d(rng: Any) -> None:
    x = rng.standard_normal((2, 4, 7, 6))
    layer = nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2, groups=2).double()
    want = conv(x, arr(layer.weight), 2, 1, 2, 2) + arr(layer.bias)[:, None, None]
    close(layer(tensor(x)), want)
    close(layer(tensor(x[0])), want[0])
    same = nn.Conv2d(4, 2, 3, padding="same", bias=False).double()
    close(same(tensor(x)), conv(x, arr(same.weight), pad=1))
    assert list(nn.Conv2d(4, 2, (2, 4), padding="same").double()(tensor(x)).shape) == [2, 2, 7, 6]
    valid = nn.Conv2d(4, 2, 3, padding="valid", bias=False).double()
    close(valid(tensor(x)), conv(x, arr(valid.weight)))
    for mode, np_mode in (("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")):
        layer = nn.Conv2d(4, 2, 3, padding=1, padding_mode=mode, bias=False).double()
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), mode=np_mode)
        close(layer(tensor(x)), conv(padded, arr(layer.weight)))


def test_conv1d_is_a_flat_conv2d(rng: Any) -> None:
    x = rng.standard_normal((2, 3, 9))
    layer = nn.Conv1d(3, 4, 3, stride=2, bias=False).double()
    want = conv(np.repeat(x[:, :, None], 1, 2), arr(layer.weight)[:, :, None], 1)[:, :, 0, ::2]
    close(layer(tensor(x)), want)


def test_conv3d_is_a_sum_of_conv2d(rng: Any) -> None:
    x = rng.standard_normal((1, 2, 4, 5, 5))
    layer = nn.Conv3d(2, 3, 2, bias=False).double()
    w = arr(layer.weight)
    want = np.stack([conv(x[:, :, d], w[:, :, 0]) + conv(x[:, :, d + 1], w[:, :, 1]) for d in range(3)], 2)
    close(layer(tensor(x)), want)
    close(layer(tensor(x[0])), want[0])
    assert list(nn.Conv3d(2, 3, 3, padding=1)(rt.zeros(2, 4, 5, 5)).shape) == [3, 4, 5, 5]
    with pytest.raises(RuntimeError, match="conv3d"):
        nn.Conv3d(2, 3, 5)(rt.zeros(1, 2, 4, 5, 5))
    with pytest.raises(RuntimeError, match="conv3d"):
        nn.Conv3d(2, 3, 1)(rt.zeros(5, 5))


@pytest.mark.parametrize(
    ("n", "cls", "back"),
    [(1, nn.Conv1d, nn.ConvTranspose1d), (2, nn.Conv2d, nn.ConvTranspose2d), (3, nn.Conv3d, nn.ConvTranspose3d)],
)
def test_conv_transpose_is_the_gradient_of_conv(n: int, cls: Any, back: Any, rng: Any) -> None:
    x = tensor(rng.standard_normal((2, 4, *(8,) * n)), grad=True)
    forward = cls(4, 6, 3, stride=2, padding=1, groups=2, bias=False).double()
    y = forward(x)
    g = tensor(rng.standard_normal(tuple(y.shape)))
    y.backward(g)
    layer = back(6, 4, 3, stride=2, padding=1, groups=2, bias=False, output_padding=1).double()
    with rt.no_grad():
        layer.weight.copy_(forward.weight)
    close(layer(g), arr(x.grad))
    layer.output_padding = (0,) * n
    close(layer(g, output_size=[8] * n), arr(x.grad))
    with pytest.raises(ValueError, match="valid sizes"):
        layer(g, output_size=[20] * n)
    with pytest.raises(ValueError, match="elements"):
        layer(g, output_size=[20] * 9)


def test_conv_refuses() -> None:
    for call in (
        lambda: nn.Conv2d(3, 4, 3, groups=2),
        lambda: nn.Conv2d(4, 3, 3, groups=2),
        lambda: nn.Conv2d(4, 4, 3, groups=0),
        lambda: nn.Conv2d(4, 4, 3, padding="full"),
        lambda: nn.Conv2d(4, 4, 3, padding="same", stride=2),
        lambda: nn.Conv2d(4, 4, 3, padding_mode="mirror"),
        lambda: nn.ConvTranspose2d(4, 4, 3, padding_mode="reflect"),
        lambda: F.conv2d(rt.zeros(1, 1, 3, 3), rt.zeros(1, 1, 1, 1), padding="full"),
    ):
        with pytest.raises(ValueError):
            call()


def test_batch_norm(rng: Any) -> None:
    x = rng.standard_normal((6, 3, 4, 2)) * 2 + 1
    layer = nn.BatchNorm2d(3).double()
    mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
    shape = (1, 3, 1, 1)
    close(layer(tensor(x)), (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + 1e-5))
    n = x.size / 3
    close(layer.running_mean, 0.1 * mean)
    close(layer.running_var, 0.9 + 0.1 * var * n / (n - 1))
    assert layer.num_batches_tracked.item() == 1
    layer.eval()
    m, v = arr(layer.running_mean).reshape(shape), arr(layer.running_var).reshape(shape)
    close(layer(tensor(x)), (x - m) / np.sqrt(v + 1e-5))
    layer.reset_running_stats()
    assert arr(layer.running_mean).tolist() == [0, 0, 0]
    average = nn.BatchNorm1d(3, momentum=None, affine=False)
    average(rt.zeros(2, 3)), average(rt.ones(2, 3) * 3)
    assert arr(average.running_mean).tolist() == [1.5] * 3
    bare = nn.BatchNorm1d(3, track_running_stats=False, bias=False).eval()
    assert bare.running_mean is None and bare.bias is None
    close(bare(rt.tensor([[0.0] * 3, [2.0] * 3])), [[-1] * 3, [1] * 3], 1e-4)
    off = nn.BatchNorm1d(3)
    off.track_running_stats = False
    off(rt.ones(2, 3))
    assert arr(off.running_mean).tolist() == [0] * 3
    for call in (lambda: nn.BatchNorm1d(3)(rt.ones(3)), lambda: nn.BatchNorm2d(3)(rt.ones(2, 3))):
        with pytest.raises(ValueError, match="expected"):
            call()
    with pytest.raises(ValueError, match="more than 1 value"):
        nn.BatchNorm1d(3)(rt.ones(1, 3))
    with pytest.raises(ValueError, match="positive"):
        F.batch_norm(rt.ones(2, 3), None, None, training=True, eps=0.0)
    with pytest.raises(ValueError, match="non-negative"):
        F.batch_norm(rt.ones(2, 3), rt.ones(3), rt.ones(3), eps=-1.0)
    state = nn.BatchNorm1d(2).state_dict()
    del state["num_batches_tracked"]
    with pytest.raises(RuntimeError, match="num_batches_tracked"):
        nn.BatchNorm1d(2).load_state_dict(state)
    nn.BatchNorm1d(2).load_state_dict(dict(state))  # of no known version: the counter is new


def test_other_norms(rng: Any) -> None:
    x = rng.standard_normal((2, 4, 5))

    def norm(v: Any, axes: Any) -> Any:
        return (v - v.mean(axes, keepdims=True)) / np.sqrt(v.var(axes, keepdims=True) + 1e-5)

    close(nn.LayerNorm(5).double()(tensor(x)), norm(x, (2,)))
    close(nn.LayerNorm([4, 5], elementwise_affine=False)(tensor(x)), norm(x, (1, 2)))
    assert nn.LayerNorm(5, bias=False).bias is None
    close(nn.GroupNorm(2, 4).double()(tensor(x)), norm(x.reshape(2, 2, -1), (2,)).reshape(x.shape))
    close(nn.InstanceNorm1d(4).double()(tensor(x)), norm(x, (2,)))
    close(nn.InstanceNorm1d(4)(tensor(x[0])), norm(x, (2,))[0])
    close(nn.RMSNorm(5, eps=1e-5).double()(tensor(x)), x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5))
    half = nn.RMSNorm(5).half()(rt.ones(2, 5, dtype=rt.float16))
    assert half.dtype == rt.float16 and abs(arr(half).max() - 1) < 1e-3
    square = np.pad(x**2, ((0, 0), (1, 0), (0, 0)))
    lrn = x / (1 + 0.1 * (square[:, 1:] + square[:, :-1]) / 2) ** 0.75
    close(nn.LocalResponseNorm(2, alpha=0.1)(tensor(x)), lrn)
    assert F.local_response_norm(rt.zeros(0, 2, 3), 2).numel() == 0
    tracked = nn.InstanceNorm1d(4, track_running_stats=True).double()
    tracked(tensor(x))
    close(tracked.running_mean, 0.1 * x.mean((0, 2)))
    tracked.eval()
    m, v = (arr(t)[None, :, None] for t in (tracked.running_mean, tracked.running_var))
    close(tracked(tensor(x)), (x - m) / np.sqrt(v + 1e-5))
    for call in (
        lambda: nn.GroupNorm(3, 4),
        lambda: nn.InstanceNorm1d(4)(rt.ones(2, 4, 1)),
        lambda: nn.InstanceNorm2d(4)(rt.ones(4, 1)),
        lambda: nn.InstanceNorm1d(4, affine=True)(rt.ones(2, 3, 5)),
        lambda: F.local_response_norm(rt.ones(2, 2), 2),
    ):
        with pytest.raises(ValueError):
            call()
    for call in (lambda: F.group_norm(rt.ones(3), 1), lambda: nn.RMSNorm(4)(rt.ones(2, 5))):
        with pytest.raises(RuntimeError):
            call()


def windows(x: Any, k: int, s: int) -> Any:
    n = (x.shape[-1] - k) // s + 1
    return np.stack([x[..., i * s : i * s + k] for i in range(n)], -2)


def test_pooling(rng: Any) -> None:
    x = rng.standard_normal((2, 3, 8))
    close(nn.MaxPool1d(3, 2)(tensor(x)), windows(x, 3, 2).max(-1))
    close(nn.AvgPool1d(3, 2)(tensor(x)), windows(x, 3, 2).mean(-1))
    close(nn.LPPool1d(2, 3, 2)(tensor(abs(x))), np.sqrt((windows(x, 3, 2) ** 2).sum(-1)))
    values, at = nn.MaxPool1d(2, return_indices=True)(tensor(x))
    assert (np.take_along_axis(x, arr(at), 2) == arr(values)).all()
    back = nn.MaxUnpool1d(2)(values, at)
    assert (arr(back) != 0).sum() == 24 and np.isclose(arr(back).sum(), arr(values).sum())
    y = rng.standard_normal((2, 3, 4, 6))
    blocks = y.reshape(2, 3, 2, 2, 3, 2)
    close(nn.MaxPool2d(2)(tensor(y)), blocks.max((3, 5)))
    close(nn.AvgPool2d(2)(tensor(y)), blocks.mean((3, 5)))
    close(nn.AdaptiveAvgPool2d((2, 3))(tensor(y)), blocks.mean((3, 5)))
    close(nn.AdaptiveMaxPool2d((2, 3))(tensor(y)), blocks.max((3, 5)))
    close(nn.AdaptiveAvgPool2d(1)(tensor(y)), y.mean((2, 3), keepdims=True))
    close(nn.AdaptiveAvgPool2d((None, 1))(tensor(y)), y.mean(3, keepdims=True))
    close(nn.AdaptiveAvgPool1d(4)(tensor(x)), x.reshape(2, 3, 4, 2).mean(-1))
    close(nn.AdaptiveMaxPool1d(4)(tensor(x)), x.reshape(2, 3, 4, 2).max(-1))
    close(nn.LPPool2d(1, 2)(tensor(abs(y))), abs(blocks).sum((3, 5)))
    values, at = nn.MaxPool2d(2, return_indices=True)(tensor(y))
    close(nn.MaxUnpool2d(2)(values, at).sum(), arr(values).sum())
    values, at = nn.AdaptiveMaxPool2d(2, return_indices=True)(tensor(y))
    assert (
        np.take_along_axis(y.reshape(2, 3, -1), arr(at).reshape(2, 3, -1), 2) == arr(values).reshape(2, 3, -1)
    ).all()
    z = rng.standard_normal((2, 3, 4, 4, 6))
    cubes = z.reshape(2, 3, 2, 2, 2, 2, 3, 2)
    close(nn.MaxPool3d(2)(tensor(z)), cubes.max((3, 5, 7)))
    close(nn.AvgPool3d(2)(tensor(z)), cubes.mean((3, 5, 7)))
    close(nn.LPPool3d(1, 2)(tensor(abs(z))), abs(cubes).sum((3, 5, 7)))
    close(nn.AdaptiveAvgPool3d((2, 2, 3))(tensor(z)), cubes.mean((3, 5, 7)))
    close(nn.AdaptiveMaxPool3d((2, 2, 3))(tensor(z)), cubes.max((3, 5, 7)))
    values, at = nn.MaxPool3d(2, return_indices=True)(tensor(z))
    close(nn.MaxUnpool3d(2)(values, at).sum(), arr(values).sum())
    with pytest.raises(ValueError, match="entries"):
        F.adaptive_avg_pool2d(tensor(y), (1, 2, 3))
    with pytest.raises(RuntimeError, match="divisor_override"):
        F.avg_pool3d(tensor(z), 2, divisor_override=0)


def test_embedding(rng: Any) -> None:
    layer = nn.Embedding(5, 3, padding_idx=-1)
    assert layer.padding_idx == 4 and arr(layer.weight)[4].tolist() == [0, 0, 0]
    idx = rt.tensor([[0, 4], [2, 2]])
    out = layer(idx)
    close(out, arr(layer.weight)[[[0, 4], [2, 2]]])
    out.sum().backward()
    close(layer.weight.grad, np.array([1, 0, 2, 0, 0])[:, None] * np.ones(3))
    short = nn.Embedding(5, 3, max_norm=0.5)
    assert (np.linalg.norm(arr(short(rt.arange(5))), axis=1) <= 0.5 + 1e-6).all()
    fixed = nn.Embedding.from_pretrained(rt.ones(4, 2))
    assert not fixed.weight.requires_grad and fixed.num_embeddings == 4
    assert repr(nn.Embedding(3, 2, norm_type=1.0, padding_idx=0, sparse=False)) == (
        "Embedding(3, 2, padding_idx=0, norm_type=1.0)"
    )
    for call in (
        lambda: nn.Embedding(3, 2, padding_idx=3),
        lambda: nn.Embedding(3, 2, _weight=rt.ones(2, 2)),
        lambda: nn.Embedding.from_pretrained(rt.ones(3)),
        lambda: nn.EmbeddingBag.from_pretrained(rt.ones(3)),
        lambda: F.embedding(rt.tensor([0]), rt.ones(3, 2), padding_idx=7),
    ):
        with pytest.raises(AssertionError):
            call()
    for option in ("sparse", "scale_grad_by_freq"):
        with pytest.raises(NotImplementedError, match=option):
            nn.Embedding(3, 2, **{option: True})(rt.tensor([0]))


def test_embedding_bag() -> None:
    table = np.arange(10.0).reshape(5, 2)
    for mode, want in (("sum", np.sum), ("mean", np.mean), ("max", np.max)):
        bag = nn.EmbeddingBag.from_pretrained(tensor(table), mode=mode)
        close(bag(rt.tensor([[0, 2], [3, 3]])), [want(table[[0, 2]], 0), want(table[[3, 3]], 0)])
        flat = bag(rt.tensor([0, 2, 4]), rt.tensor([0, 2, 2]))
        close(flat, [want(table[[0, 2]], 0), [0, 0], table[4]])
    last = nn.EmbeddingBag.from_pretrained(tensor(table), include_last_offset=True, mode="sum")
    close(last(rt.tensor([0, 2, 4]), rt.tensor([0, 1, 3])), [table[0], table[2] + table[4]])
    w = rt.tensor([[1.0, 10.0]], dtype=rt.float64)
    close(last(rt.tensor([[1, 2]]), per_sample_weights=w), [table[1] + 10 * table[2]])
    skip = nn.EmbeddingBag(5, 2, padding_idx=0)
    assert repr(skip) == "EmbeddingBag(5, 2, mode='mean', padding_idx=0)" and arr(skip.weight)[0].tolist() == [0, 0]
    close(skip(rt.tensor([[0, 3]])), arr(skip.weight)[[3]])
    for call in (
        lambda: F.embedding_bag(rt.tensor([0]), rt.ones(2, 2)),
        lambda: F.embedding_bag(rt.tensor([0]), rt.ones(2, 2), rt.tensor([1])),
        lambda: F.embedding_bag(rt.tensor([[0]]), rt.ones(2, 2), rt.tensor([0])),
        lambda: F.embedding_bag(rt.tensor([[[0]]]), rt.ones(2, 2)),
        lambda: F.embedding_bag(rt.tensor([[0]]), rt.ones(2, 2), mode="median"),
    ):
        with pytest.raises(ValueError):
            call()
    with pytest.raises(NotImplementedError, match="needs mode"):
        F.embedding_bag(rt.tensor([[0]]), rt.ones(2, 2), per_sample_weights=rt.ones(1, 1))


@pytest.mark.parametrize(
    "cls", [nn.Dropout, nn.AlphaDropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.FeatureAlphaDropout]
)
def test_dropout(cls: Any, rng: Any) -> None:
    dims = {nn.Dropout1d: 1, nn.Dropout2d: 2, nn.Dropout3d: 3}.get(cls, 1)
    x = rt.ones(8, 50, *(4,) * dims, requires_grad=True)
    layer = cls(0.4)
    y = layer(x)
    dropped = arr(y) != arr(y).max()
    assert 0.25 < dropped.mean() < 0.55
    if cls not in (nn.Dropout, nn.AlphaDropout):  # whole channels
        per_channel = dropped.reshape(8, 50, -1)
        assert (per_channel == per_channel[:, :, :1]).all()
    if "Alpha" not in cls.__name__:
        assert np.allclose(np.unique(arr(y)), [0, 1 / 0.6])
        y.sum().backward()
        close(x.grad, arr(y))
    assert layer.eval()(x) is x or (arr(layer(x)) == 1).all()
    z = rt.ones(8, 50, *(4,) * dims)
    assert cls(0.4, inplace=True)(z) is z and (arr(z) != 1).any()
    assert not arr(cls(1.0)(rt.ones(8, 5, *(4,) * dims))).any()
    with pytest.raises(ValueError, match="between 0 and 1"):
        cls(-0.1)
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.alpha_dropout(z, 1.5)


def test_dropout_shapes() -> None:
    with pytest.raises(RuntimeError, match="2D or 3D"):
        F.dropout1d(rt.ones(3))
    with pytest.raises(RuntimeError, match="at least 2"):
        F.feature_alpha_dropout(rt.ones(3), training=True)
    for call in (
        lambda: F.dropout2d(rt.ones(2, 3)),
        lambda: F.dropout2d(rt.ones(2, 3, 4)),
        lambda: F.dropout3d(rt.ones(2, 3)),
    ):
        with pytest.warns(UserWarning):
            call()
    for f, dims in ((F.dropout1d, 2), (F.dropout3d, 4)):
        x = rt.ones(*(3,) * dims)
        assert f(x).shape == x.shape and f(x, inplace=True) is x


def test_shape_layers(rng: Any) -> None:
    x = rng.standard_normal((2, 3, 4))
    close(nn.Flatten()(tensor(x)), x.reshape(2, 12))
    close(nn.Flatten(0, 1)(tensor(x)), x.reshape(6, 4))
    close(nn.Unflatten(-1, (2, -1))(tensor(x)), x.reshape(2, 3, 2, 2))
    for bad in (lambda: nn.Unflatten("name", (1,)), lambda: nn.Unflatten(1, 3), lambda: nn.Unflatten(1, (1.0,))):
        with pytest.raises(TypeError):
            bad()
    image = rng.standard_normal((1, 8, 2, 3))
    up = nn.PixelShuffle(2)(tensor(image))
    assert list(up.shape) == [1, 2, 4, 6]
    assert arr(up)[0, 1, 3, 4] == image[0, 1 * 4 + 1 * 2 + 0, 1, 2]
    close(nn.PixelUnshuffle(2)(up), image)
    close(nn.ChannelShuffle(2)(tensor(image)), image[:, [0, 4, 1, 5, 2, 6, 3, 7]])
    y = rng.standard_normal((2, 3, 5, 6))
    cols = nn.Unfold((2, 3), padding=1, stride=2)(tensor(y))
    assert list(cols.shape) == [2, 18, 9]
    w = rng.standard_normal((4, 3, 2, 3))
    padded = np.pad(y, ((0, 0), (0, 0), (1, 1), (1, 1)))
    close(tensor(w.reshape(4, -1)).matmul(cols).reshape(2, 4, 3, 3), conv(padded, w, 2))
    ones = nn.Unfold(2)(rt.ones(1, 4, 4))
    close(nn.Fold((4, 4), 2)(ones), [[[1, 2, 2, 1], [2, 4, 4, 2], [2, 4, 4, 2], [1, 2, 2, 1]]])
    for call in (
        lambda: F.pixel_shuffle(rt.ones(3), 2),
        lambda: F.pixel_shuffle(rt.ones(3, 2, 2), 2),
        lambda: F.pixel_unshuffle(rt.ones(3), 2),
        lambda: F.pixel_unshuffle(rt.ones(3, 3, 3), 2),
        lambda: F.channel_shuffle(rt.ones(3, 2), 2),
        lambda: F.channel_shuffle(rt.ones(3, 3, 2), 2),
        lambda: F.unfold(rt.ones(3), 2),
        lambda: F.unfold(rt.ones(1, 1, 1), 2),
        lambda: F.fold(rt.ones(3), 2, 2),
        lambda: F.fold(rt.ones(5, 1), 2, 2),
    ):
        with pytest.raises(RuntimeError):
            call()


def test_padding(rng: Any) -> None:
    x = rng.standard_normal((2, 3, 4, 5))
    sides = ((0, 0), (0, 0), (3, 0), (1, 2))
    for layer, mode in ((nn.ReflectionPad2d, "reflect"), (nn.ReplicationPad2d, "edge"), (nn.CircularPad2d, "wrap")):
        close(layer((1, 2, 3, 0))(tensor(x)), np.pad(x, sides, mode=mode))
    close(nn.ZeroPad2d((1, 2, 3, 0))(tensor(x)), np.pad(x, sides))
    close(nn.ConstantPad2d((1, 2, 3, 0), 7.0)(tensor(x)), np.pad(x, sides, constant_values=7))
    close(nn.ConstantPad1d(2, 1.0)(tensor(x[0])), np.pad(x[0], ((0, 0), (0, 0), (2, 2)), constant_values=1))
    close(nn.ZeroPad1d((-1, 1))(tensor(x[0])), np.pad(x[0], ((0, 0), (0, 0), (0, 1)))[..., 1:])
    assert repr(nn.ConstantPad3d(1, 2.0)) == "ConstantPad3d(padding=(1, 1, 1, 1, 1, 1), value=2.0)"
    with pytest.raises(NotImplementedError, match="value"):
        F.pad(tensor(x), (1, 1), "reflect", 2.0)


def test_upsample(rng: Any) -> None:
    x = rng.standard_normal((1, 2, 3, 4))
    close(nn.Upsample(scale_factor=2)(tensor(x)), x.repeat(2, 2).repeat(2, 3))
    close(nn.UpsamplingNearest2d(size=(6, 8))(tensor(x)), x.repeat(2, 2).repeat(2, 3))
    line = np.arange(4.0).reshape(1, 1, 4)
    close(nn.Upsample(7, mode="linear", align_corners=True)(tensor(line)), np.linspace(0, 3, 7).reshape(1, 1, 7))
    close(nn.Upsample(8, mode="linear")(tensor(line)), [[[0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3]]])
    close(nn.UpsamplingBilinear2d(5)(rt.ones(1, 1, 2, 2)), np.ones((1, 1, 5, 5)))
    close(F.interpolate(tensor(x), (6, 8), mode="bicubic").mean(), x.mean(), 0.2)
    close(F.upsample(tensor(x), 3, mode="area"), F.adaptive_avg_pool2d(tensor(x), 3).tolist())
    assert nn.Upsample(scale_factor=(2, 3)).scale_factor == (2.0, 3.0)
    for kwargs in (
        {},
        {"size": 2, "scale_factor": 2},
        {"size": (1, 2, 3)},
        {"size": 2, "align_corners": True},
        {"size": 2, "recompute_scale_factor": True},
    ):
        with pytest.raises(ValueError):
            F.interpolate(tensor(x), **kwargs)
    for call in (
        lambda: F.interpolate(rt.ones(2, 2), 3),
        lambda: F.interpolate(tensor(x), 3, mode="linear"),
    ):
        with pytest.raises(NotImplementedError):
            call()
    with pytest.raises(ValueError, match="restricted to bilinear and bicubic"):
        F.interpolate(tensor(x), 3, mode="nearest", antialias=True)


def test_grids(rng: Any) -> None:
    x = rng.standard_normal((2, 3, 4, 5))
    identity = rt.tensor([[[1.0, 0, 0], [0, 1, 0]]] * 2, dtype=rt.float64)
    for corners in (False, True):
        grid = F.affine_grid(identity, (2, 3, 4, 5), align_corners=corners)
        for mode in ("bilinear", "nearest"):
            close(F.grid_sample(tensor(x), grid, mode=mode, align_corners=corners), x)
    far = rt.full((2, 1, 1, 2), 5.0, dtype=rt.float64)
    assert not arr(F.grid_sample(tensor(x), far)).any()
    close(F.grid_sample(tensor(x), far, padding_mode="border"), x[:, :, -1:, -1:])
    assert list(F.grid_sample(tensor(x[:, :, :1, :1]), far, padding_mode="reflection", align_corners=True).shape) == [
        2,
        3,
        1,
        1,
    ]
    for call in (
        lambda: F.affine_grid(identity, (2, 3, 4)),
        lambda: F.grid_sample(tensor(x), far[0]),
        lambda: F.grid_sample(rt.ones(1, 1, 2, 2, 2), rt.ones(1, 1, 1, 1, 3), mode="bicubic"),
    ):
        with pytest.raises(NotImplementedError):
            call()
    with pytest.raises(ValueError):
        F.grid_sample(tensor(x), far, padding_mode="wrap")


def test_distances(rng: Any) -> None:
    a, b = rng.standard_normal((2, 4, 5))
    cos = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    close(nn.CosineSimilarity()(tensor(a), tensor(b)), cos)
    close(nn.PairwiseDistance(p=1.0)(tensor(a), tensor(b)), abs(a - b + 1e-6).sum(1))
    close(F.normalize(tensor(a)), a / np.linalg.norm(a, axis=1, keepdims=True))
    out = rt.zeros(4, 5, dtype=rt.float64)
    assert F.normalize(tensor(a), dim=0, out=out) is out
    pairs = [np.linalg.norm(a[i] - a[j]) for i in range(4) for j in range(i + 1, 4)]
    close(F.pdist(tensor(a)), pairs)
    with pytest.raises(RuntimeError):
        F.pdist(rt.ones(3))
    close(F.one_hot(rt.tensor([0, 2])), [[1, 0, 0], [0, 0, 1]])


def test_losses(rng: Any) -> None:
    x, t = rng.standard_normal((2, 4, 3))
    d = x - t
    y = np.array([0, 2, 1, 1])
    logp = x - np.log(np.exp(x).sum(1, keepdims=True))
    p, q = sigmoid(x), sigmoid(t)
    sign = np.where(t > 0, 1.0, -1.0)
    w = np.array([1.0, 2.0, 0.5])
    picked = -logp[np.arange(4), y]
    T = tensor
    Y = rt.tensor(y.tolist())
    table: list[tuple[Any, Any]] = [
        (nn.L1Loss()(T(x), T(t)), abs(d).mean()),
        (nn.MSELoss(reduction="sum")(T(x), T(t)), (d**2).sum()),
        (nn.SmoothL1Loss(beta=0.5)(T(x), T(t)), np.where(abs(d) < 0.5, d**2, abs(d) - 0.25).mean()),
        (nn.SmoothL1Loss(beta=0.0)(T(x), T(t)), abs(d).mean()),
        (nn.HuberLoss(delta=0.5)(T(x), T(t)), np.where(abs(d) < 0.5, d**2 / 2, 0.5 * (abs(d) - 0.25)).mean()),
        (nn.CrossEntropyLoss()(T(x), Y), picked.mean()),
        (nn.CrossEntropyLoss(weight=T(w))(T(x), Y), (picked * w[y]).sum() / w[y].sum()),
        (nn.CrossEntropyLoss(ignore_index=1)(T(x), Y), picked[:2].mean()),
        (nn.CrossEntropyLoss()(T(x), T(np.eye(3)[y])), picked.mean()),
        (
            nn.CrossEntropyLoss(label_smoothing=0.3)(T(x), Y),
            (0.7 * picked - 0.3 * logp.mean(1)).mean(),
        ),
        (nn.NLLLoss(reduction="none")(T(logp), Y), picked),
        (nn.BCELoss()(T(p), T(q)), -(q * np.log(p) + (1 - q) * np.log(1 - p)).mean()),
        (nn.BCEWithLogitsLoss()(T(x), T(q)), -(q * np.log(p) + (1 - q) * np.log(1 - p)).mean()),
        (
            nn.BCEWithLogitsLoss(pos_weight=T(w))(T(x), T(q)),
            -(w * q * np.log(p) + (1 - q) * np.log(1 - p)).mean(),
        ),
        (nn.KLDivLoss(reduction="batchmean")(T(logp), T(q)), (q * (np.log(q) - logp)).sum() / 4),
        (nn.KLDivLoss(reduction="sum", log_target=True)(T(logp), T(t)), (np.exp(t) * (t - logp)).sum()),
        (nn.PoissonNLLLoss()(T(x), T(q)), (np.exp(x) - q * x).mean()),
        (nn.PoissonNLLLoss(log_input=False, full=True)(T(p), T(q)), (p - q * np.log(p + 1e-8)).mean()),
        (nn.GaussianNLLLoss()(T(x), T(t), T(q)), 0.5 * (np.log(q) + d**2 / q).mean()),
        (F.gaussian_nll_loss(T(x), T(t), 2.0), 0.5 * (np.log(2) + d**2 / 2).mean()),
        (F.gaussian_nll_loss(T(x), T(t), T(q[:, 0])), 0.5 * (np.log(q[:, :1]) + d**2 / q[:, :1]).mean()),
        (nn.HingeEmbeddingLoss(0.5)(T(x), T(sign)), np.where(sign == 1, x, np.maximum(0, 0.5 - x)).mean()),
        (nn.MarginRankingLoss(0.1)(T(x), T(t), T(sign)), np.maximum(0, -sign * d + 0.1).mean()),
        (nn.SoftMarginLoss()(T(x), T(sign)), np.log1p(np.exp(-sign * x)).mean()),
        (
            nn.MultiLabelSoftMarginLoss()(T(x), T(np.round(q))),
            -(np.round(q) * np.log(p) + (1 - np.round(q)) * np.log(1 - p)).mean(),
        ),
        (
            nn.MultiMarginLoss()(T(x), Y),
            np.mean([sum(max(0, 1 - x[i, y[i]] + x[i, j]) for j in range(3) if j != y[i]) / 3 for i in range(4)]),
        ),
        (
            nn.MultiLabelMarginLoss()(T(x[0]), rt.tensor([2, -1, 0])),
            sum(max(0, 1 - x[0, 2] + x[0, j]) for j in (0, 1)) / 3,
        ),
        (F.mse_loss(T(x), T(t), weight=T(q)), (d**2 * q).sum() / q.sum()),
        (F.huber_loss(T(x), T(t), weight=T(q), reduction="none"), np.where(abs(d) < 1, d**2 / 2, abs(d) - 0.5) * q),
    ]
    for got, want in table:
        close(got, want)
    cos = (x * t).sum(1) / np.linalg.norm(x, axis=1) / np.linalg.norm(t, axis=1)
    s = sign[:, 0]
    close(nn.CosineEmbeddingLoss(0.1)(T(x), T(t), T(s)), np.where(s == 1, 1 - cos, np.maximum(0, cos - 0.1)).mean())
    n = rng.standard_normal((4, 3))
    ap, an, pn = (np.linalg.norm(u - v + 1e-6, axis=1) for u, v in ((x, t), (x, n), (t, n)))
    close(nn.TripletMarginLoss(swap=True)(T(x), T(t), T(n)), np.maximum(0, 1 + ap - np.minimum(an, pn)).mean())
    own = nn.TripletMarginWithDistanceLoss(distance_function=lambda u, v: (u - v).abs().sum(-1))
    close(own(T(x), T(t), T(n)), np.maximum(0, 1 + abs(x - t).sum(1) - abs(x - n).sum(1)).mean())


def test_losses_refuse_and_warn(rng: Any) -> None:
    x = rt.ones(4, 3)
    with pytest.warns(UserWarning, match="reduction='sum'"):
        assert nn.L1Loss(size_average=False).reduction == "sum"
    with pytest.warns(UserWarning, match="reduction='none'"):
        assert F.mse_loss(x, x, reduce=False).shape == x.shape
    for call in (F.l1_loss, F.smooth_l1_loss, F.huber_loss):
        with pytest.warns(UserWarning, match="different to the input size"):
            call(x, rt.ones(3))
    with pytest.warns(UserWarning, match="batchmean"):
        F.kl_div(x, x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in ("smooth_l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits", "kl_div", "l1_loss"):
            assert list(getattr(F, name)(x, x, size_average=True).shape) == []
        assert list(F.cross_entropy(x, rt.tensor([0, 1, 2, 0]), size_average=True).shape) == []
        assert list(F.nll_loss(x, rt.tensor([0, 1, 2, 0]), reduce=False).shape) == [4]
        assert list(F.soft_margin_loss(x, x, size_average=False).shape) == []
    one = rt.ones(4)
    for bad in (
        lambda: F.soft_margin_loss(x, x, reduction="average"),
        lambda: F.huber_loss(x, x, weight=x, reduction="average"),
        lambda: F.huber_loss(x, x, weight=one),
        lambda: F.binary_cross_entropy(x, one),
        lambda: F.binary_cross_entropy_with_logits(x, one),
        lambda: F.gaussian_nll_loss(x, x, -1.0),
        lambda: F.gaussian_nll_loss(x, x, rt.ones(2)),
        lambda: F.multi_margin_loss(x, rt.tensor([0, 0, 0, 0]), p=3),
        lambda: nn.MultiMarginLoss(p=3),
        lambda: nn.MultiMarginLoss(weight=x),
        lambda: nn.TripletMarginLoss(margin=0),
        lambda: nn.TripletMarginWithDistanceLoss(margin=0),
        lambda: F.triplet_margin_loss(x, x, x, margin=0),
    ):
        with pytest.raises(ValueError):
            bad()
    for bad in (
        lambda: F.smooth_l1_loss(x, x, beta=-1.0),
        lambda: F.cosine_embedding_loss(x, x, x),
        lambda: F.margin_ranking_loss(x, one, x),
        lambda: F.triplet_margin_loss(x, x, one),
        lambda: F.ctc_loss(rt.zeros(3, 1, 2), rt.tensor([[1]]), [3, 3], [1, 1]),
        lambda: F.ctc_loss(rt.zeros(3, 1, 2), rt.tensor([[1]]), [4], [1]),
    ):
        with pytest.raises(RuntimeError):
            bad()


def test_ctc_sums_over_alignments(rng: Any) -> None:
    x = rng.standard_normal((4, 3))
    logp = x - np.log(np.exp(x).sum(1, keepdims=True))

    def collapse(path: Any) -> Any:
        kept = [k for i, k in enumerate(path) if i == 0 or path[i - 1] != k]
        return [k for k in kept if k != 0]

    total = sum(
        math.exp(sum(logp[t, k] for t, k in enumerate(path)))
        for path in np.ndindex(3, 3, 3, 3)
        if collapse(path) == [1, 2]
    )
    loss = nn.CTCLoss(reduction="none")
    close(loss(tensor(logp), rt.tensor([1, 2]), rt.tensor(4), rt.tensor(2)), -math.log(total))
    assert loss(tensor(logp[:, None]), rt.tensor([[1, 1, 2, 2]]), [4], [4]).item() == math.inf
    zero = nn.CTCLoss(zero_infinity=True)
    assert zero(tensor(logp[:, None]), rt.tensor([[1, 1, 2, 2]]), [4], [4]).item() == 0


def test_gumbel_softmax() -> None:
    rt.manual_seed(0)
    hard = F.gumbel_softmax(rt.zeros(50, 4, requires_grad=True), hard=True)
    assert set(np.unique(arr(hard)).round(6)) == {0.0, 1.0} and (arr(hard).sum(1) == 1).all() and hard.requires_grad
    soft = F.gumbel_softmax(rt.zeros(50, 4), tau=2.0)
    assert np.allclose(arr(soft).sum(1), 1, atol=1e-6)


def test_inplace_without_a_twin(monkeypatch: Any) -> None:
    monkeypatch.setattr(F, "_ops", type("Table", (), {"silu": staticmethod(rt._ops.silu)}))
    leaf = rt.tensor([1.0, -2.0], requires_grad=True)
    x = leaf * 1
    y = F.silu(x, inplace=True)
    assert y is x
    y.sum().backward()
    s = sigmoid(np.array([1.0, -2.0]))
    close(leaf.grad, s + np.array([1.0, -2.0]) * s * (1 - s))


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_places_that_are_no_numbers_are_read_at_the_border(mode: str) -> None:
    x = np.arange(1.0, 13).reshape(1, 1, 3, 4)
    grid = rt.tensor([[[[math.nan, math.nan], [math.nan, 1.0], [1.0, math.nan]]]])
    for padding in ("border", "reflection"):
        got = F.grid_sample(rt.tensor(x.tolist()), grid, mode, padding, True)
        assert arr(got).tolist() == [[[[x[0, 0, 0, 0], x[0, 0, 2, 0], x[0, 0, 0, 3]]]]]


def test_slopes_are_drawn_at_zero_too() -> None:
    x = tensor(np.zeros(50), True)
    F.rrelu(x, 0.2, 0.3, training=True).sum().backward()
    slopes = arr(x.grad)
    assert ((slopes >= 0.2) & (slopes <= 0.3)).all() and len(set(slopes)) > 40
    y = tensor(np.ones(5), True)
    F.rrelu(y, 0.2, 0.3, training=True).sum().backward()
    assert arr(y.grad).tolist() == [1] * 5


def test_probabilities_are_numbers() -> None:
    for name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"):
        x = rt.ones(1, 2, 2) if name == "dropout1d" else rt.ones(1, 2, 2, 2)
        for p in (math.nan, -0.1, 1.1, -math.inf, math.inf):
            for training in (True, False):
                with pytest.raises(ValueError, match="between 0 and 1"):
                    getattr(F, name)(x, p, training)


def test_sizes_that_a_transposed_convolution_can_have() -> None:
    """From the least on, as many as the stride has; all others are refused."""
    for stride, padding, dilation in ((1, 0, 1), (2, 0, 1), (3, 1, 1), (3, 0, 2)):
        net = nn.ConvTranspose1d(1, 1, 3, stride, padding, dilation=dilation)
        least = 4 * stride - 2 * padding + dilation * 2 + 1
        for size in range(least - 2, least + stride + 2):
            for given in ([size], [1, 1, size]):
                if least <= size < least + stride:
                    assert net(rt.ones(1, 1, 5), given).shape == (1, 1, size)
                else:
                    with pytest.raises(ValueError, match="output size"):
                        net(rt.ones(1, 1, 5), given)


def test_strides_have_no_place_in_padding_that_keeps_the_size() -> None:
    for stride in (2, (1, 2), (2, 1), (2, 2)):
        with pytest.raises(ValueError, match="strided"):
            nn.Conv2d(1, 1, 3, stride, "same")
        with pytest.raises(RuntimeError, match="strided"):
            F.conv2d(rt.ones(1, 1, 4, 4), rt.ones(1, 1, 3, 3), stride=stride, padding="same")
    assert nn.Conv2d(1, 1, 3, (1, 1), "same")(rt.ones(1, 1, 4, 5)).shape == (1, 1, 4, 5)


@pytest.mark.parametrize(
    "name", ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]
)
def test_lazy_convolutions_take_their_arguments_in_the_same_order(name: str) -> None:
    n = int(name[-2])
    x = rt.ones(2, 4, *(5,) * n, dtype=rt.float64)
    if "Transpose" in name:
        arguments: tuple[Any, ...] = (3, 3, 1, 2, 2, False, 4, "zeros", None, rt.float64)
    else:
        arguments = (3, 3, 1, 2, 2, False, "circular", None, rt.float64)
    for count in range(1, len(arguments) + 1):
        lazy, plain = getattr(nn, f"Lazy{name}")(6, *arguments[:count]), getattr(nn, name)(4, 6, *arguments[:count])
        given = x if count == len(arguments) else x.float()
        for unbatched in (False, True):
            lazy(given[0] if unbatched else given)
        lazy.load_state_dict(plain.state_dict())
        assert type(lazy) is type(plain) and repr(lazy) == repr(plain)
        assert rt.equal(lazy(given), plain(given)) and lazy.weight.dtype is plain.weight.dtype


@pytest.mark.parametrize("kind", ["avg", "max"])
@pytest.mark.parametrize("size", [(3, 0), (0, 2), (2, 2)])
def test_adaptive_pools_to_nothing(kind: str, size: tuple[int, int]) -> None:
    x = rt.ones(2, 3, 5, 7, requires_grad=True)
    y = getattr(F, f"adaptive_{kind}_pool2d")(x, size)
    assert y.shape == (2, 3, *size)
    y.sum().backward()
    assert x.grad.sum().item() == pytest.approx(y.numel())
