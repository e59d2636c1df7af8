"""Recurrent ops, packed sequences and attention against PyTorch's: values, gradients, gradients of gradients."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import rustorch as rt

torch = pytest.importorskip("torch")

pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN")

TOLERANCE = {"float64": 1e-9, "float32": 2e-5, "float16": 5e-3, "bfloat16": 4e-2}
SIZES = [3, 2, 2, 1]


@pytest.fixture(autouse=True)
def twice_differentiable() -> Any:
    """Attention by the way that PyTorch can differentiate twice."""
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):
        yield


def both(dtype: str, *shapes: Any) -> tuple[list[Any], list[Any]]:
    """Tensors of one content, ours and theirs, that want gradients."""
    rng = np.random.default_rng(len(shapes))
    values = [rng.standard_normal(s) * 0.5 for s in shapes]
    return tuple(
        [m.tensor(v.tolist(), dtype=getattr(m, dtype)).reshape(v.shape).requires_grad_() for v in values]
        for m in (rt, torch)
    )  # type: ignore[return-value]


def same(ours: Any, theirs: Any, dtype: str, what: str) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape), what
    a, b = (np.asarray(t.detach().tolist(), float) for t in (ours, theirs))
    scale = max(1.0, float(np.abs(b).max(initial=0)))
    np.testing.assert_allclose(a, b, rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype] * scale, err_msg=what)


def compare(run: Any, dtype: str, shapes: Any) -> None:
    """Results, gradients, and in float64 the gradients of those."""
    inputs = both(dtype, *shapes)
    results = []
    for m, xs in zip((rt, torch), inputs):
        outs = run(m, xs)
        loss = sum((o.to(m.float64) * (k + 1)).cos().sum() for k, o in enumerate(outs))
        second = dtype == "float64"
        grads = m.autograd.grad(loss, xs, create_graph=second)
        more = m.autograd.grad(sum(g.sin().sum() for g in grads), xs) if second else ()
        results.append((outs, grads, more))
        if second:  # the way without a graph
            plain = m.autograd.grad(sum((o * (k + 1)).cos().sum() for k, o in enumerate(run(m, xs))), xs)
            for a, b in zip(plain, grads):
                assert m.allclose(a, b)
    for what, ours, theirs in zip(("result", "gradient", "second gradient"), *results):
        for k, (a, b) in enumerate(zip(ours, theirs, strict=True)):
            same(a, b, dtype, f"{what} {k}")


NETWORKS = [
    (mode, layers, bidirectional, biases, proj)
    for mode, gates in (("lstm", 4), ("gru", 3), ("rnn_tanh", 1), ("rnn_relu", 1))
    for layers, bidirectional, biases in ((1, False, True), (2, True, False), (2, False, True), (1, True, True))
    for proj in ((0, 2) if mode == "lstm" else (0,))
]


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("form", ["time first", "batch first", "packed"])
@pytest.mark.parametrize(("mode", "layers", "bidirectional", "biases", "proj"), NETWORKS)
def test_networks(mode: str, layers: int, bidirectional: bool, biases: bool, proj: int, form: str, dtype: str) -> None:
    gates, hidden, inner = {"lstm": 4, "gru": 3}.get(mode, 1) * 4, 4, 3
    out, directions = proj or hidden, 1 + bidirectional
    shapes: list[Any] = [(8, 3) if form == "packed" else (3, 5, 3) if form == "batch first" else (5, 3, 3)]
    shapes += [(layers * directions, 3, out)] + ([(layers * directions, 3, hidden)] if mode == "lstm" else [])
    states = len(shapes) - 1
    for layer in range(layers):
        for _ in range(directions):
            shapes += [(gates, inner if layer == 0 else out * directions), (gates, out)]
            shapes += [(gates,), (gates,)] if biases else []
            shapes += [(proj, hidden)] if proj else []

    def run(m: Any, xs: Any) -> Any:
        hx = xs[1 : 1 + states] if mode == "lstm" else xs[1]
        rest = xs[1 + states :], biases, layers, 0.0, True, bidirectional
        f = getattr(m, mode)
        if form == "packed":
            return f(xs[0], m.tensor(SIZES), hx, *rest)
        return f(xs[0], hx, *rest, form == "batch first")

    compare(run, dtype, shapes)


@pytest.mark.parametrize("dtype", ["float64", "float32", "bfloat16"])
@pytest.mark.parametrize("biases", [True, False])
@pytest.mark.parametrize("mode", ["lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell"])
def test_cells(mode: str, biases: bool, dtype: str) -> None:
    lstm = mode == "lstm_cell"
    gates = {"lstm_cell": 16, "gru_cell": 12}.get(mode, 4)
    shapes: list[Any] = [(2, 3), (2, 4), *([(2, 4)] if lstm else []), (gates, 3), (gates, 4)]
    shapes += [(gates,), (gates,)] if biases else []

    def run(m: Any, xs: Any) -> Any:
        f = getattr(m, mode)
        return f(xs[0], xs[1:3], *xs[3:]) if lstm else (f(*xs),)

    compare(run, dtype, shapes)


def test_half_the_way_needs_no_gradient() -> None:
    """Only some of the arguments want gradients."""
    for wanted in range(6):
        ours, theirs = both("float64", (5, 2, 3), (1, 2, 4), (1, 2, 4), (16, 3), (16, 4), (16,), (16,))
        grads = []
        for m, xs in ((rt, ours), (torch, theirs)):
            for k, x in enumerate(xs):
                x.requires_grad_(k == wanted)
            _, h, _ = m.lstm(xs[0], xs[1:3], xs[3:], True, 1, 0.0, False, False, False)
            grads.append(m.autograd.grad(h.sum(), xs[wanted])[0])
        same(*grads, "float64", str(wanted))


@pytest.mark.parametrize("batch_first", [True, False])
def test_packing(batch_first: bool) -> None:
    for total in (-1, 6):

        def run(m: Any, xs: Any, total: int = total) -> Any:
            data, sizes = m._pack_padded_sequence(xs[0], m.tensor([4, 2, 2]), batch_first)
            assert sizes.tolist() == [3, 3, 1, 1]
            return data, m._pad_packed_sequence(data * data, sizes, batch_first, 0.5, total)[0]

        compare(run, "float64", [(3, 5, 2) if batch_first else (5, 3, 2)])


@pytest.mark.parametrize("enforce_sorted", [True, False])
def test_packed_sequences(enforce_sorted: bool) -> None:
    lengths = [4, 3, 1] if enforce_sorted else [1, 4, 3]
    ours, theirs = both("float64", (4, 3, 2))
    seen = []
    for m, (x,) in ((rt, ours), (torch, theirs)):
        u = m.nn.utils.rnn
        packed = u.pack_padded_sequence(x, lengths, enforce_sorted=enforce_sorted)
        padded, back = u.pad_packed_sequence(packed, padding_value=7.0, total_length=5)
        assert back.tolist() == lengths
        order = [packed.sorted_indices, packed.unsorted_indices]
        seen.append((packed.data, packed.batch_sizes, padded, [None if o is None else o.tolist() for o in order]))
    for a, b in zip(seen[0][:3], seen[1][:3]):
        same(a, b, "float64", "packed")
    assert seen[0][3] == seen[1][3]


ATTENTION: list[dict[str, Any]] = [
    {}, {"need_weights": False}, {"average_attn_weights": False}, {"attn_mask": "2D"}, {"attn_mask": "3D"},
    {"attn_mask": "bool"}, {"key_padding_mask": "bool"}, {"key_padding_mask": "bool", "attn_mask": "bool"},
    {"key_padding_mask": "float", "attn_mask": "2D", "need_weights": False}, {"extra": True}, {"add_zero_attn": True},
    {"extra": True, "add_zero_attn": True, "attn_mask": "2D", "key_padding_mask": "float"}, {"separate": True},
    {"static": True}, {"alone": True}, {"alone": True, "key_padding_mask": "bool"}, {"itself": True},
    {"itself": True, "need_weights": False}, {"bias": False}, {"attn_mask": "2D", "is_causal": True},
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("options", ATTENTION, ids=str)
def test_multi_head_attention(options: dict[str, Any], dtype: str) -> None:
    options = dict(options)
    extra, separate, static, alone, itself = (
        options.pop(n, False) for n in ("extra", "separate", "static", "alone", "itself")
    )
    bias = options.pop("bias", True)
    n = () if alone else (2,)
    named = {"query": (3, *n, 4), "out_proj_weight": (4, 4), "out_proj_bias": (4,)}
    if not itself:
        named |= {"key": (5, *n, 3 if separate else 4), "value": (5, *n, 2 if separate else 4)}
    if separate:
        named |= {"q_proj_weight": (4, 4), "k_proj_weight": (4, 3), "v_proj_weight": (4, 2)}
    else:
        named |= {"in_proj_weight": (12, 4)}
    if bias:
        named |= {"in_proj_bias": (12,)}
    if extra:
        named |= {"bias_k": (1, 1, 4), "bias_v": (1, 1, 4)}
    if static:
        named |= {"static_k": (4, 5, 2), "static_v": (4, 5, 2)}
    keys = 3 if itself else 5
    masks = {k: options.pop(k) for k in ("attn_mask", "key_padding_mask") if k in options}
    rng = np.random.default_rng(3)
    for name, kind in masks.items():
        shape = (2 if kind != "3D" else 4, 3, keys)[kind != "3D" :] if name == "attn_mask" else (*n, keys)
        value = rng.standard_normal(shape) if kind not in ("bool",) else rng.random(shape) < 0.3
        if kind == "bool":
            value[..., 0] = False
        masks[name] = value

    def run(m: Any, xs: Any) -> Any:
        given = dict.fromkeys(("in_proj_weight", "in_proj_bias", "bias_k", "bias_v", "out_proj_bias"))
        given |= dict(zip(named, xs)) | options
        for name, v in masks.items():
            given[name] = m.tensor(v.tolist(), dtype=m.bool if v.dtype == bool else getattr(m, dtype))
        if itself:
            given["key"] = given["value"] = given["query"]
        given.setdefault("add_zero_attn", False)
        outs = m.nn.functional.multi_head_attention_forward(
            embed_dim_to_check=4, num_heads=2, dropout_p=0.0, use_separate_proj_weight=separate, **given
        )
        return [o for o in outs if o is not None]

    if static:  # keys and values have no influence
        named = {k: v for k, v in named.items() if k not in ("key", "value")}
        options |= {"key": None, "value": None}

        def run(m: Any, xs: Any, run: Any = run) -> Any:  # type: ignore[no-redef]
            options.update(key=m.ones(5, 2, 4, dtype=getattr(m, dtype)), value=m.ones(5, 2, 4, dtype=getattr(m, dtype)))
            return run(m, xs)

    compare(run, dtype, list(named.values()))


@pytest.mark.parametrize("p", [0.0, 0.5])
def test_dropout_between_layers_takes_the_same_numbers(p: float) -> None:
    """The random numbers of a network are PyTorch's, one draw per layer but the last."""
    ours, theirs = both("float32", (16, 8, 3), (3, 8, 4), *[s for n in (3, 4, 4) for s in ((12, n), (12, 4))])
    seen = []
    for m, xs in ((rt, ours), (torch, theirs)):
        m.manual_seed(5)
        seen.append(m.gru(xs[0], xs[1], xs[2:], False, 3, p, True, False, False)[0])
    same(*seen, "float32", "outputs")


def test_grouped_queries() -> None:
    def run(m: Any, xs: Any) -> Any:
        f = m.nn.functional.scaled_dot_product_attention
        return [f(*xs, enable_gqa=True), f(*xs, enable_gqa=True, is_causal=True, scale=0.3)]

    compare(run, "float64", [(2, 4, 3, 2), (2, 2, 5, 2), (2, 2, 5, 2)])
