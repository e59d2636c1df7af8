"""RNN, LSTM, GRU against loops in NumPy; attention and transformers; packed sequences."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import nn
from rustorch.nn.utils import rnn


def arr(t: Any) -> Any:
    return np.asarray(t.detach().tolist())


def sigmoid(x: Any) -> Any:
    return 1 / (1 + np.exp(-x))


def step(kind: str, x: Any, state: Any, w: Any) -> Any:
    """One step of one layer; `w` are weight_ih, weight_hh, bias_ih, bias_hh (and weight_hr)."""
    h = state[0]
    gi, gh = x @ w[0].T + w[2], h @ w[1].T + w[3]
    if kind == "LSTM":
        i, f, g, o = np.split(gi + gh, 4, -1)
        c = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
        return (h @ w[4].T if len(w) > 4 else h), c
    if kind == "GRU":
        (ir, iz, i_n), (hr, hz, hn) = np.split(gi, 3, -1), np.split(gh, 3, -1)
        n = np.tanh(i_n + sigmoid(ir + hr) * hn)
        z = sigmoid(iz + hz)
        return ((1 - z) * n + z * h,)
    return (np.tanh(gi + gh) if kind == "RNN" else np.maximum(gi + gh, 0),)


def run(kind: str, net: Any, x: Any, state: Any) -> Any:
    """The whole net over x [L, N, in]; state a tuple of [layers * D, N, *]."""
    final = []
    k = 0
    for _ in range(net.num_layers):
        outs = []
        for direction in range(2 if net.bidirectional else 1):
            w = [arr(p) for p in net.all_weights[k]]
            s = tuple(v[k] for v in state)
            ys = []
            for t in reversed(range(len(x))) if direction else range(len(x)):
                s = step(kind, x[t], s, w)
                ys.append(s[0])
            outs.append(np.stack(ys[::-1] if direction else ys))
            final.append(s)
            k += 1
        x = np.concatenate(outs, -1)
    return x, tuple(np.stack([s[i] for s in final]) for i in range(len(state)))


@pytest.mark.parametrize("kind", ["RNN", "RELU", "LSTM", "GRU", "PROJ"])
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (2, True)])
def test_recurrent(kind: str, layers: int, bidirectional: bool) -> None:
    rt.manual_seed(0)
    make: Any = {"RNN": nn.RNN, "RELU": nn.RNN, "LSTM": nn.LSTM, "GRU": nn.GRU, "PROJ": nn.LSTM}[kind]
    extra: dict[str, Any] = {"RELU": {"nonlinearity": "relu"}, "PROJ": {"proj_size": 2}}.get(kind, {})
    net = make(3, 4, layers, bidirectional=bidirectional, **extra).double()
    x = rt.randn(5, 2, 3, dtype=rt.float64)
    rows = layers * (2 if bidirectional else 1)
    sizes = {"PROJ": (2, 4), "LSTM": (4, 4)}.get(kind, (4,))
    state = [rt.randn(rows, 2, size, dtype=rt.float64) for size in sizes]
    lstm = kind in ("LSTM", "PROJ")
    out, final = net(x, tuple(state) if lstm else state[0])
    want, last = run("LSTM" if lstm else kind, net, arr(x), tuple(arr(s) for s in state))
    assert np.allclose(arr(out), want)
    for a, b in zip(final if lstm else (final,), last, strict=True):
        assert np.allclose(arr(a), b)
    zeros = tuple(s * 0 for s in state)
    assert np.allclose(arr(net(x)[0]), arr(net(x, zeros if lstm else zeros[0])[0]))
    single, _ = net(x[:, 0])
    assert np.allclose(arr(single), arr(net(x)[0])[:, 0])
    given, _ = net(x[:, 0], tuple(s[:, 0] for s in state) if lstm else state[0][:, 0])
    assert np.allclose(arr(given), want[:, 0])
    net.batch_first = True
    swapped, _ = net(x.transpose(0, 1))
    net.batch_first = False
    assert np.allclose(arr(swapped).swapaxes(0, 1), arr(net(x)[0]))

    lengths = [3, 5]
    packed = rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
    y, final = net(packed, tuple(state) if lstm else state[0])
    y, n = rnn.pad_packed_sequence(y)
    assert arr(n).tolist() == lengths
    for b, length in enumerate(lengths):
        want, last = run(
            "LSTM" if lstm else kind, net, arr(x)[:length, b : b + 1], tuple(arr(s)[:, b : b + 1] for s in state)
        )
        assert np.allclose(arr(y)[:length, b], want[:, 0]) and not arr(y)[length:, b].any()
        for state_, right in zip(final if lstm else (final,), last, strict=True):
            assert np.allclose(arr(state_)[:, b], right[:, 0])
    out.sum().backward()
    assert all(p.grad is not None for p in net.parameters())


def test_recurrent_options() -> None:
    net = nn.LSTM(3, 4, 2, bias=False, dropout=0.5, batch_first=True)
    assert [n for n, _ in net.named_parameters()] == ["weight_ih_l0", "weight_hh_l0", "weight_ih_l1", "weight_hh_l1"]
    assert repr(net) == "LSTM(3, 4, num_layers=2, bias=False, batch_first=True, dropout=0.5)"
    x = rt.randn(2, 6, 3)
    assert not np.allclose(arr(net(x)[0]), arr(net(x)[0]))
    net.eval()
    assert np.allclose(arr(net(x)[0]), arr(net(x)[0]))
    net.flatten_parameters()
    with pytest.warns(UserWarning, match="num_layers greater than 1"):
        nn.GRU(1, 1, dropout=0.1)
    for kwargs, error in (
        ({"dropout": 2}, ValueError),
        ({"dropout": True}, ValueError),
        ({"num_layers": 0}, ValueError),
        ({"proj_size": -1}, ValueError),
        ({"proj_size": 4}, ValueError),
        ({"input_size": 0}, ValueError),
        ({"hidden_size": 1.5}, TypeError),
    ):
        with pytest.raises(error):
            nn.LSTM(**{"input_size": 3, "hidden_size": 4, **kwargs})
    with pytest.raises(ValueError, match="nonlinearity"):
        nn.RNN(1, 1, nonlinearity="sin")
    with pytest.raises(ValueError, match="mode"):
        nn.RNNBase("GATED", 1, 1)
    gru = nn.GRU(3, 4)
    for call, error in (
        (lambda: gru(rt.ones(3)), ValueError),
        (lambda: gru(rt.ones(2, 3, 5)), RuntimeError),
        (lambda: gru(rt.ones(0, 2, 3)), RuntimeError),
        (lambda: gru(rt.ones(2, 2, 3), rt.ones(1, 3, 4)), RuntimeError),
        (lambda: net(rt.ones(2, 2, 3), (rt.ones(2, 2, 4),)), RuntimeError),
    ):
        with pytest.raises(error):
            call()


def test_cells() -> None:
    rt.manual_seed(0)
    x, h, c = (rt.randn(2, n, dtype=rt.float64) for n in (3, 4, 4))
    for kind, cell in (
        ("RNN", nn.RNNCell(3, 4)),
        ("RELU", nn.RNNCell(3, 4, nonlinearity="relu")),
        ("GRU", nn.GRUCell(3, 4)),
    ):
        cell.double()
        w = [arr(p) for p in (cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh)]
        assert np.allclose(arr(cell(x, h)), step(kind, arr(x), (arr(h),), w)[0])
        assert np.allclose(arr(cell(x)), arr(cell(x, h * 0))) and list(cell(x[0]).shape) == [4]
    lstm = nn.LSTMCell(3, 4).double()
    w = [arr(p) for p in (lstm.weight_ih, lstm.weight_hh, lstm.bias_ih, lstm.bias_hh)]
    for got, want in zip(lstm(x, (h, c)), step("LSTM", arr(x), (arr(h), arr(c)), w), strict=True):
        assert np.allclose(arr(got), want)
    assert len(lstm(x)) == 2
    assert repr(nn.RNNCell(1, 2, bias=False, nonlinearity="relu")) == "RNNCell(1, 2, bias=False, nonlinearity=relu)"
    with pytest.raises(ValueError):
        lstm(rt.ones(1, 1, 3))
    with pytest.raises(ValueError):
        nn.GRUCell(3, 4)(rt.ones(1, 3), rt.ones(1, 1, 4))
    with pytest.raises(RuntimeError, match="nonlinearity"):
        nn.RNNCell(3, 4, nonlinearity="sin")(rt.ones(1, 3))


def test_packing() -> None:
    parts = [rt.arange(n * 2, dtype=rt.float32).reshape(n, 2) + n for n in (3, 1, 4)]
    padded = rnn.pad_sequence(parts, batch_first=True, padding_value=-1.0)
    assert list(padded.shape) == [3, 4, 2] and arr(padded)[1, 1:].tolist() == [[-1, -1]] * 3
    left = rnn.pad_sequence(parts, padding_side="left")
    assert list(left.shape) == [4, 3, 2] and arr(left)[:3, 1].tolist() == [[0, 0]] * 3
    for a, b in zip(rnn.unpad_sequence(padded, rt.tensor([3, 1, 4]), batch_first=True), parts, strict=True):
        assert arr(a).tolist() == arr(b).tolist()
    packed = rnn.pack_sequence(parts, enforce_sorted=False)
    assert arr(packed.batch_sizes).tolist() == [3, 2, 2, 1] and arr(packed.sorted_indices).tolist() == [2, 0, 1]
    for a, b in zip(rnn.unpack_sequence(packed), parts, strict=True):
        assert arr(a).tolist() == arr(b).tolist()
    full, _ = rnn.pad_packed_sequence(packed, total_length=6, padding_value=7.0)
    assert list(full.shape) == [6, 3, 2] and (arr(full)[4:] == 7).all()
    assert packed.to(rt.float64).data.dtype == rt.float64
    for call, error in (
        (lambda: rnn.pad_sequence([]), RuntimeError),
        (lambda: rnn.pad_sequence(parts, padding_side="top"), RuntimeError),
        (lambda: rnn.pack_sequence(parts), RuntimeError),
        (lambda: rnn.pack_padded_sequence(padded, [3, 1, 4]), RuntimeError),
        (lambda: rnn.pack_padded_sequence(padded, [4, 3, 0], batch_first=True), RuntimeError),
        (lambda: rnn.pack_padded_sequence(padded, [5, 3, 1], batch_first=True), RuntimeError),
        (lambda: rnn.pad_packed_sequence(packed, total_length=2), ValueError),
    ):
        with pytest.raises(error):
            call()


# ---- attention ----


def softmax(x: Any) -> Any:
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_attention() -> None:
    rt.manual_seed(0)
    q, k, v = rt.randn(2, 3, 4), rt.randn(2, 5, 4), rt.randn(2, 5, 6)
    weights = softmax(arr(q) @ arr(k).swapaxes(1, 2) / 2)
    assert np.allclose(arr(F.scaled_dot_product_attention(q, k, v)), weights @ arr(v), atol=1e-6)
    mask = rt.tensor([[True, False, True, True, True]] * 3)
    got = F.scaled_dot_product_attention(q, k, v, mask)
    less = softmax(np.where(arr(mask), arr(q) @ arr(k).swapaxes(1, 2) / 2, -np.inf))
    assert np.allclose(arr(got), less @ arr(v), atol=1e-6)
    assert not np.allclose(arr(F.scaled_dot_product_attention(q, k, v, dropout_p=0.5)), arr(got))
    with pytest.raises(RuntimeError, match="is_causal"):
        F.scaled_dot_product_attention(q, k, v, mask, is_causal=True)


def test_multihead_attention() -> None:
    rt.manual_seed(0)
    net = nn.MultiheadAttention(8, 2).double()
    with rt.no_grad():
        net.in_proj_bias.normal_()
    x = rt.randn(5, 3, 8, dtype=rt.float64)
    out, weights = net(x, x, x)
    w, b = arr(net.in_proj_weight), arr(net.in_proj_bias)
    q, k, v = (
        (arr(x) @ w[i * 8 : i * 8 + 8].T + b[i * 8 : i * 8 + 8]).reshape(5, 3, 2, 4).transpose(1, 2, 0, 3)
        for i in range(3)
    )
    p = softmax(q @ k.swapaxes(2, 3) / 2)
    want = (p @ v).transpose(2, 0, 1, 3).reshape(5, 3, 8) @ arr(net.out_proj.weight).T + arr(net.out_proj.bias)
    assert np.allclose(arr(out), want) and np.allclose(arr(weights), p.mean(1))
    assert np.allclose(arr(net(x, x, x, average_attn_weights=False)[1]), p)
    fast, none = net(x, x, x, need_weights=False)
    assert none is None and np.allclose(arr(fast), want)
    assert np.allclose(arr(net(x, x * 1, x * 1)[0]), want)
    single, sw = net(x[:, 0], x[:, 0], x[:, 0])
    assert np.allclose(arr(single), want[:, 0]) and list(sw.shape) == [5, 5]
    net.batch_first = True
    y = x.transpose(0, 1)
    assert np.allclose(arr(net(y, y, y)[0]), want.swapaxes(0, 1))
    assert np.allclose(arr(net(y, y * 1, y)[0]), want.swapaxes(0, 1))

    causal = nn.Transformer.generate_square_subsequent_mask(5, dtype=rt.float64)
    later = y.clone()
    later[:, 4] = 0
    a, b = (net(t, t, t, attn_mask=causal)[0] for t in (y, later))
    assert np.allclose(arr(a)[:, :4], arr(b)[:, :4])
    padding = rt.tensor([[False] * 4 + [True]] * 3)
    a, b = (net(t, t, t, key_padding_mask=padding)[0] for t in (y, later))
    assert np.allclose(arr(a)[:, :4], arr(b)[:, :4])
    one = padding[0]
    assert np.allclose(
        arr(net(y[0], y[0], y[0], key_padding_mask=one)[0]), arr(net(y, y, y, key_padding_mask=padding)[0])[0]
    )

    other = nn.MultiheadAttention(8, 2, kdim=3, vdim=5, add_bias_kv=True, add_zero_attn=True, bias=False)
    assert [n for n, _ in other.named_parameters()] == [
        "q_proj_weight", "k_proj_weight", "v_proj_weight", "bias_k", "bias_v", "out_proj.weight",
    ]  # fmt: skip
    keys = rt.zeros(2, 4, dtype=rt.bool)
    out, weights = other(
        rt.ones(6, 2, 8), rt.ones(4, 2, 3), rt.ones(4, 2, 5), keys, attn_mask=rt.zeros(6, 4, dtype=rt.bool)
    )
    assert list(out.shape) == [6, 2, 8] and list(weights.shape) == [2, 6, 6]
    dropped = nn.MultiheadAttention(8, 2, dropout=0.5)
    z = rt.randn(5, 3, 8)
    assert not np.allclose(arr(dropped(z, z, z)[0]), arr(dropped(z, z, z)[0]))
    for call, error in (
        (lambda: nn.MultiheadAttention(0, 2), ValueError),
        (lambda: nn.MultiheadAttention(8, 3), AssertionError),
        (lambda: dropped(rt.ones(2, 2, 4), z, z), AssertionError),
        (lambda: dropped(z, z, z, attn_mask=rt.ones(2, 2)), RuntimeError),
        (lambda: dropped(z, z, z, is_causal=True), RuntimeError),
    ):
        with pytest.raises(error):
            call()


def attention_calls() -> list[Any]:
    """Every way to hand a mask over: name, whether it is a padding mask, the call."""
    net = nn.MultiheadAttention(8, 2)
    encoder = nn.TransformerEncoderLayer(8, 2, 8)
    decoder = nn.TransformerDecoderLayer(8, 2, 8)
    whole = nn.Transformer(8, 2, 1, 1, 8)
    x = rt.ones(5, 3, 8)
    return [
        ("MultiheadAttention", True, lambda m: net(x, x, x, key_padding_mask=m)),
        ("MultiheadAttention fast", True, lambda m: net(x, x, x, key_padding_mask=m, need_weights=False)),
        ("MultiheadAttention mask", False, lambda m: net(x, x, x, attn_mask=m)),
        ("encoder layer", True, lambda m: encoder(x, src_key_padding_mask=m)),
        ("encoder layer mask", False, lambda m: encoder(x, src_mask=m)),
        ("encoder", True, lambda m: nn.TransformerEncoder(encoder, 1)(x, src_key_padding_mask=m)),
        ("encoder mask", False, lambda m: nn.TransformerEncoder(encoder, 1)(x, mask=m)),
        ("decoder layer", True, lambda m: decoder(x, x, tgt_key_padding_mask=m)),
        ("decoder layer memory", True, lambda m: decoder(x, x, memory_key_padding_mask=m)),
        ("decoder layer mask", False, lambda m: decoder(x, x, tgt_mask=m)),
        ("decoder layer memory mask", False, lambda m: decoder(x, x, memory_mask=m)),
        ("decoder", True, lambda m: nn.TransformerDecoder(decoder, 1)(x, x, memory_key_padding_mask=m)),
        ("transformer", True, lambda m: whole(x, x, src_key_padding_mask=m)),
        ("transformer mask", False, lambda m: whole(x, x, memory_mask=m)),
    ]


@pytest.mark.parametrize(("name", "padding", "call"), attention_calls(), ids=[c[0] for c in attention_calls()])
def test_masks_that_do_not_fit_are_refused(name: str, padding: bool, call: Any) -> None:
    right = (3, 5) if padding else (5, 5)
    call(rt.zeros(right, dtype=rt.bool)), call(rt.zeros(right))
    for dtype in (rt.int64, rt.uint8, rt.int32):
        with pytest.raises(AssertionError, match="only bool and floating"):
            call(rt.zeros(right, dtype=dtype))
    transposed = [(5, 3), (15,), (3,), (5,), (3, 1), (1, 5), (3, 4), (1, 3, 5)]
    for shape in transposed if padding else [(4, 5), (25,), (1, 5), (5, 1), (3, 5, 5), (6, 5)]:
        with pytest.raises((AssertionError, RuntimeError), match="mask"):
            call(rt.zeros(shape, dtype=rt.bool))


def test_attention_refuses_what_does_not_fit_together() -> None:
    net = nn.MultiheadAttention(8, 2)
    x, row = rt.randn(5, 3, 8), rt.randn(5, 8)
    for q, k, v in (
        (x, row, row),
        (row, x, x),
        (x, x, x[:4]),
        (x, x[:, :2], x[:, :2]),
        (x[None], x[None], x[None]),
        (x[0, 0],) * 3,
    ):
        with pytest.raises((AssertionError, RuntimeError)):
            net(q, k, v)
    with pytest.raises(AssertionError, match="key_padding_mask"):
        net(row, row, row, key_padding_mask=rt.zeros(1, 5, dtype=rt.bool))
    with pytest.warns(UserWarning, match="mismatched"):
        net(x, x, x, key_padding_mask=rt.zeros(3, 5, dtype=rt.bool), attn_mask=rt.zeros(5, 5))
    q, k, v = rt.randn(2, 3, 4, 6), rt.randn(2, 3, 5, 6), rt.randn(2, 3, 5, 2)
    for shape in ((5, 4), (5,), (20,), (), (2, 4, 5), (7, 2, 3, 4, 5), (1, 2, 3, 4, 5)):
        for dtype in (rt.float32, rt.bool):
            with pytest.raises(RuntimeError, match="attn_mask of shape"):
                F.scaled_dot_product_attention(q, k, v, rt.zeros(shape, dtype=dtype))
    for dtype in (rt.int64, rt.uint8, rt.float64, rt.float16):
        with pytest.raises(TypeError, match="attn_mask must be bool"):
            F.scaled_dot_product_attention(q, k, v, rt.zeros(4, 5, dtype=dtype))
    with pytest.raises(ValueError, match="between 0 and 1"):
        F.scaled_dot_product_attention(q, k, v, dropout_p=-0.5)
    with pytest.raises(RuntimeError, match="divide"):
        F.scaled_dot_product_attention(q, k[:, :2], v[:, :2], enable_gqa=True)
    # A float32 mask goes with any query; alike everywhere, it changes nothing.
    wide = F.scaled_dot_product_attention(q.double(), k.double(), v.double(), rt.ones(4, 5))
    scores = softmax(arr(q) @ arr(k).swapaxes(2, 3) / math.sqrt(6))
    assert np.allclose(arr(wide), scores @ arr(v), atol=1e-6)
    shared = F.scaled_dot_product_attention(q, k[:, :1], v[:, :1], enable_gqa=True)
    scores = softmax(arr(q) @ arr(k)[:, :1].swapaxes(2, 3) / math.sqrt(6))
    assert np.allclose(arr(shared), scores @ arr(v)[:, :1], atol=1e-6)
    scaled = F.scaled_dot_product_attention(q, k, v, scale=0.7)
    assert np.allclose(arr(scaled), softmax(arr(q) @ arr(k).swapaxes(2, 3) * 0.7) @ arr(v), atol=1e-6)
    later = np.where(np.triu(np.ones((4, 5), bool), 1), -np.inf, arr(q) @ arr(k).swapaxes(2, 3) / math.sqrt(6))
    causal = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    assert np.allclose(arr(causal), softmax(later) @ arr(v), atol=1e-6)


@pytest.mark.parametrize("norm_first", [False, True])
def test_transformer_layers(norm_first: bool) -> None:
    rt.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, norm_first=norm_first, activation="gelu")
    x = rt.randn(5, 3, 8)
    attention = layer.self_attn
    if norm_first:
        n = layer.norm1(x)
        y = x + attention(n, n, n)[0]
        want = y + layer.linear2(F.gelu(layer.linear1(layer.norm2(y))))
    else:
        y = layer.norm1(x + attention(x, x, x)[0])
        want = layer.norm2(y + layer.linear2(F.gelu(layer.linear1(y))))
    assert np.allclose(arr(layer(x)), arr(want), atol=1e-6)
    stack = nn.TransformerEncoder(layer, 2, nn.LayerNorm(8))
    assert np.allclose(arr(stack(x)), arr(stack.norm(layer(layer(x)))), atol=1e-6)
    assert stack.layers[0].linear1.weight is not layer.linear1.weight
    with pytest.raises(RuntimeError, match="relu/gelu"):
        nn.TransformerEncoderLayer(8, 2, activation="sin")


def test_transformer() -> None:
    rt.manual_seed(0)
    net = nn.Transformer(8, 2, 1, 2, 16, dropout=0.0, batch_first=True, activation=F.silu)
    src, tgt = rt.randn(3, 6, 8), rt.randn(3, 4, 8)
    mask = nn.Transformer.generate_square_subsequent_mask(4)
    assert arr(mask)[0].tolist() == [0.0, -math.inf, -math.inf, -math.inf]
    out = net(src, tgt, tgt_mask=mask, tgt_is_causal=True)
    changed = tgt.clone()
    changed[:, 3] = 1
    assert np.allclose(arr(out)[:, :3], arr(net(src, changed, tgt_mask=mask))[:, :3], atol=1e-6)
    out.sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    with pytest.raises(RuntimeError, match="d_model"):
        net(rt.ones(1, 1, 4), tgt)
    with pytest.raises(RuntimeError, match="batch"):
        net(src[:2], tgt)
    bare = nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 16, norm_first=True), 1)
    assert list(bare(tgt, src[:, :4]).shape) == [3, 4, 8]
    custom = nn.Transformer(8, 2, custom_encoder=nn.Identity(), custom_decoder=nn.Identity())
    assert type(custom.encoder) is nn.Identity


def test_layers_of_stacks_are_copies() -> None:
    for stack, layer in (
        (nn.TransformerEncoder, nn.TransformerEncoderLayer(4, 1, 4)),
        (nn.TransformerDecoder, nn.TransformerDecoderLayer(4, 1, 4)),
    ):
        made = stack(layer, 3)
        layers = [layer, *made.layers]
        assert len({id(p) for m in layers for p in m.parameters()}) == sum(len([*m.parameters()]) for m in layers)
        start = [p.tolist() for p in layer.parameters()]
        for m in layers[1:]:
            assert [p.tolist() for p in m.parameters()] == start
            with rt.no_grad():
                m.linear1.weight.add_(1)
        assert [p.tolist() for p in layer.parameters()] == start


def test_hints_of_causality_want_their_masks() -> None:
    """Each is handed on to the attention that it is about: that one asks for its mask."""
    x = rt.ones(3, 1, 4)
    mask = nn.Transformer.generate_square_subsequent_mask(3)
    sizes = {"dim_feedforward": 4, "dropout": 0.0}
    layer = {"encoder": nn.TransformerEncoderLayer(4, 1, **sizes), "decoder": nn.TransformerDecoderLayer(4, 1, **sizes)}
    decode = (layer["decoder"], nn.TransformerDecoder(layer["decoder"], 2))
    whole = nn.Transformer(4, 1, 1, 1, **sizes)
    for net, inputs, hint, name in (
        (layer["encoder"], (x,), "is_causal", "src_mask"),
        (nn.TransformerEncoder(layer["encoder"], 2), (x,), "is_causal", "mask"),
        *((net, (x, x), f"{part}_is_causal", f"{part}_mask") for net in decode for part in ("tgt", "memory")),
        *((whole, (x, x), f"{part}_is_causal", f"{part}_mask") for part in ("src", "tgt", "memory")),
    ):
        with pytest.raises(RuntimeError, match="attn_mask"):
            net(*inputs, **{hint: True})
        masked = net(*inputs, **{name: mask})
        assert rt.equal(net(*inputs, **{name: mask, hint: True}), masked)
        assert net(*inputs, **{hint: False}).shape == x.shape


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU"])
@pytest.mark.parametrize("lengths", [(1, 3, 2), (2, 4, 3, 1), (3, 2, 1)])
def test_sequences_of_a_batch_do_not_know_each_other(kind: str, lengths: tuple[int, ...]) -> None:
    """Each has the outputs, first and last states that it has alone, in whatever order they are sorted."""
    rt.manual_seed(0)
    net = getattr(nn, kind)(2, 3, 2, bidirectional=True, dtype=rt.float64)
    rows = [rt.randn(n, 2, dtype=rt.float64) for n in lengths]
    first = [rt.randn(4, len(rows), 3, dtype=rt.float64) for _ in range(2 if kind == "LSTM" else 1)]
    for given in (False, True):
        packed = nn.utils.rnn.pack_sequence(rows, enforce_sorted=False)
        together = net(packed, (tuple(first) if kind == "LSTM" else first[0]) if given else None)
        outs, sizes = nn.utils.rnn.pad_packed_sequence(together[0])
        last = together[1] if kind == "LSTM" else (together[1],)
        assert sizes.tolist() == [*lengths]
        for i, row in enumerate(rows):
            own = [h[:, i].contiguous() for h in first]
            alone = net(row, (tuple(own) if kind == "LSTM" else own[0]) if given else None)
            assert rt.allclose(outs[: len(row), i], alone[0]) and not outs[len(row) :, i].any()
            for a, b in zip(last, alone[1] if kind == "LSTM" else (alone[1],), strict=True):
                assert rt.allclose(a[:, i], b)


@pytest.mark.parametrize("kind", ["lstm", "gru", "rnn_tanh", "rnn_relu"])
@pytest.mark.parametrize("bias", [True, False])
def test_networks_as_words(kind, bias):
    """`rt.lstm` and its like, of whole and of packed sequences, give what the modules give."""
    options = {"nonlinearity": kind[4:]} if kind.startswith("rnn") else {}
    cls = nn.LSTM if kind == "lstm" else nn.GRU if kind == "gru" else nn.RNN
    net = cls(3, 4, num_layers=2, bidirectional=True, bias=bias, **options)
    word, states = getattr(rt, kind), [rt.randn(4, 2, 4) for _ in range(2 if kind == "lstm" else 1)]
    hx = tuple(states) if kind == "lstm" else states[0]
    x, params = rt.randn(5, 2, 3), list(net.parameters())
    out, state = net(x, hx)
    ends = list(state) if kind == "lstm" else [state]
    for first, given in ((False, x), (True, x.transpose(0, 1))):
        found = word(given, hx, params, bias, 2, 0.0, False, True, first)
        assert rt.equal(found[0].transpose(0, 1) if first else found[0], out)
        assert len(found) == 1 + len(ends) and all(rt.equal(a, b) for a, b in zip(found[1:], ends))
    packed = nn.utils.rnn.pack_padded_sequence(x, rt.tensor([5, 3]))
    out, state = net(packed, hx)
    ends = list(state) if kind == "lstm" else [state]
    found = word(packed.data, packed.batch_sizes, hx, params, bias, 2, 0.0, False, True)
    assert rt.equal(found[0], out.data) and all(rt.equal(a, b) for a, b in zip(found[1:], ends))
    if kind == "lstm":
        with pytest.raises(rt.errors.InvalidArgumentError, match="two hidden states"):
            word(x, states[:1], params, bias, 2, 0.0, False, True, False)


def test_a_cell_as_word():
    cell = nn.LSTMCell(3, 4)
    x, h, c = rt.randn(2, 3), rt.randn(2, 4), rt.randn(2, 4)
    found, want = rt.lstm_cell(x, (h, c), *cell.parameters()), cell(x, (h, c))
    assert all(rt.equal(a, b) for a, b in zip(found, want)) and len(found) == 2
    with pytest.raises(rt.errors.InvalidArgumentError, match="two hidden states"):
        rt.lstm_cell(x, (h,), *cell.parameters())
