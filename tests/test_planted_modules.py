"""What small faults have shown to be untested in layers' helpers, dtypes, generators, arrays and files.

Pruning, fusion, parametrisations, normalisation; limits of dtypes; `assert_close`, `make_tensor`; arrays, buffers.
"""

from __future__ import annotations

import copy
import io
import json
import math
import pickle
import sys
import types
import warnings
from collections import OrderedDict, namedtuple
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import errors, nn
from rustorch.nn.utils import fusion, parametrizations, prune, rnn


def weighted(values: Any, bias: Any = (0.0, 0.0)) -> Any:
    """A linear layer with these weights."""
    values = rt.tensor(values)
    m = nn.Linear(values.shape[1], values.shape[0])
    with rt.no_grad():
        m.weight.copy_(values)
        m.bias.copy_(rt.tensor(bias))
    return m


# ---- pruning ----

WEIGHT = [[3.0, -1.0, 4.0], [-2.0, 6.0, -5.0]]


@pytest.mark.parametrize(
    ("cut", "kept"),
    [
        (lambda m: prune.l1_unstructured(m, "weight", 2), [[1, 0, 1], [0, 1, 1]]),
        (lambda m: prune.l1_unstructured(m, "weight", 0.5), [[0, 0, 1], [0, 1, 1]]),
        (lambda m: prune.l1_unstructured(m, "weight", 0), [[1, 1, 1], [1, 1, 1]]),
        (lambda m: prune.l1_unstructured(m, "weight", 0.0), [[1, 1, 1], [1, 1, 1]]),
        (lambda m: prune.l1_unstructured(m, "weight", 6), [[0, 0, 0], [0, 0, 0]]),
        (lambda m: prune.l1_unstructured(m, "weight", 1.0), [[0, 0, 0], [0, 0, 0]]),
        (lambda m: prune.l1_unstructured(m, "weight", 1), [[1, 0, 1], [1, 1, 1]]),
        (
            lambda m: prune.l1_unstructured(m, "weight", 2, importance_scores=rt.arange(6.0).reshape(2, 3)),
            [[0, 0, 1], [1, 1, 1]],
        ),
        (lambda m: prune.ln_structured(m, "weight", 1, 2, 0), [[0, 0, 0], [1, 1, 1]]),
        (lambda m: prune.ln_structured(m, "weight", 1, 1, 1), [[0, 1, 1], [0, 1, 1]]),
        (lambda m: prune.ln_structured(m, "weight", 1, float("inf"), -1), [[0, 1, 1], [0, 1, 1]]),
        (lambda m: prune.ln_structured(m, "weight", 0.67, 2, -2), [[0, 0, 0], [1, 1, 1]]),
        (lambda m: prune.ln_structured(m, "weight", 0, 2, 0), [[1, 1, 1], [1, 1, 1]]),
        (lambda m: prune.LnStructured.apply(m, "weight", 1, 2), [[0, 1, 1], [0, 1, 1]]),
        (
            lambda m: prune.ln_structured(m, "weight", 1, 2, 0, importance_scores=-rt.tensor(WEIGHT).flip(0)),
            [[1, 1, 1], [0, 0, 0]],
        ),
        (lambda m: prune.custom_from_mask(m, "weight", rt.tensor([[1, 0, 1], [0, 1, 0]])), [[1, 0, 1], [0, 1, 0]]),
        (lambda m: prune.identity(m, "weight"), [[1, 1, 1], [1, 1, 1]]),
        # The second way only sees what the first has left.
        (
            lambda m: prune.l1_unstructured(prune.l1_unstructured(m, "weight", 1), "weight", 2),
            [[0, 0, 1], [0, 1, 1]],
        ),
        (
            lambda m: prune.l1_unstructured(prune.ln_structured(m, "weight", 1, 2, 0), "weight", 1 / 3),
            [[0, 0, 0], [0, 1, 1]],
        ),
        (
            lambda m: prune.ln_structured(prune.l1_unstructured(m, "weight", 1), "weight", 1, 1, 1),
            [[0, 0, 1], [0, 1, 1]],
        ),
        (
            lambda m: prune.ln_structured(prune.ln_structured(m, "weight", 1, 1, 1), "weight", 1, 1, -1),
            [[0, 0, 1], [0, 0, 1]],
        ),
        (
            lambda m: prune.custom_from_mask(prune.identity(m, "weight"), "weight", rt.eye(2, 3)),
            [[1, 0, 0], [0, 1, 0]],
        ),
    ],
)
def test_what_is_pruned(cut: Any, kept: Any) -> None:
    m = weighted(WEIGHT)
    done = cut(m)
    assert done is m or isinstance(done, prune.BasePruningMethod)
    assert m.weight_mask.tolist() == kept and m.weight_mask.dtype is rt.float32
    assert m.weight.tolist() == (np.array(WEIGHT) * kept).tolist() and m.weight_orig.tolist() == WEIGHT
    assert list(m.state_dict()) == ["bias", "weight_orig", "weight_mask"] and len(m._forward_pre_hooks) == 1
    assert isinstance(m.weight_orig, nn.Parameter) and m.weight_orig.requires_grad and not m.weight_mask.requires_grad
    assert prune.is_pruned(m) is prune.is_pruned(nn.Sequential(m)) is True
    with rt.no_grad():
        m.weight_orig.mul_(2)
    assert m(rt.ones(1, 3)).tolist() == [(2 * np.array(WEIGHT) * kept).sum(1).tolist()]  # computed once more
    assert prune.remove(m, "weight") is m and prune.is_pruned(m) is False
    assert list(m.state_dict()) == ["bias", "weight"] and m.weight.tolist() == (2 * np.array(WEIGHT) * kept).tolist()
    assert not m._forward_pre_hooks and m.weight.is_leaf and m.weight.requires_grad


def test_pruning_at_random() -> None:
    m = weighted(np.ones((4, 6)).tolist(), [1.0] * 4)
    rt.manual_seed(0)
    prune.random_unstructured(m, "weight", 5)
    assert (m.weight_mask == 0).sum() == 5
    prune.random_unstructured(m, "weight", 0.5)  # of the 19 that are left: 9.5 is rounded to an even number
    assert (m.weight_mask == 0).sum() == 5 + 10
    prune.random_unstructured(m, "bias", 0)
    assert m.bias_mask.tolist() == [1.0] * 4
    for dim, size in ((0, 4), (1, 6), (-1, 6), (-2, 4)):
        seen = set()
        for _ in range(12):
            n = weighted(np.ones((4, 6)).tolist(), [1.0] * 4)
            prune.random_structured(n, "weight", 2, dim)
            gone = (n.weight_mask.sum(dim=1 - dim % 2) == 0).nonzero().flatten().tolist()
            assert len(gone) == 2 and n.weight_mask.sum() == 24 - 2 * 24 / size
            seen.add(tuple(gone))
        assert len(seen) > 1
    n = weighted(np.ones((4, 6)).tolist(), [1.0] * 4)
    prune.RandomStructured.apply(n, "weight", 1)
    assert (n.weight_mask.sum(0) == 0).sum() == 1
    prune.random_structured(n, "weight", 0, 0)
    assert n.weight_mask.sum() == 20


def test_pruning_of_several_parameters() -> None:
    a, b = weighted(WEIGHT), weighted(WEIGHT, (0.5, 9.0))
    with rt.no_grad():
        b.weight.mul_(10)
    prune.global_unstructured([(a, "weight"), (b, "weight"), (b, "bias")], prune.L1Unstructured, amount=3)
    assert (
        a.weight_mask.tolist() == [[1, 0, 1], [0, 1, 1]] and b.weight_mask.sum() == 6 and b.bias_mask.tolist() == [0, 1]
    )
    prune.global_unstructured(iter([(a, "weight"), (b, "bias")]), prune.L1Unstructured, amount=1)
    assert a.weight_mask.tolist() == [[0, 0, 1], [0, 1, 1]] and b.bias_mask.tolist() == [0, 1]
    c, d = weighted(WEIGHT), weighted(WEIGHT)
    scores = {(d, "weight"): rt.tensor([[1.0, 2.0, 0.5], [9.0, 9.0, 9.0]])}
    prune.global_unstructured([(c, "weight"), (d, "weight")], prune.L1Unstructured, scores, amount=2)
    assert c.weight_mask.sum() + d.weight_mask.sum() == 10 and d.weight_mask[0, 2] == 0
    with pytest.raises(TypeError, match='Only "unstructured"'):
        prune.global_unstructured([(c, "weight")], prune.LnStructured, amount=1, n=2)


def test_ways_of_pruning_by_themselves() -> None:
    t = rt.tensor(WEIGHT)
    way = prune.L1Unstructured(2)
    assert way.prune(t).tolist() == [[3, 0, 4], [0, 6, -5]] and way.amount == 2
    assert way.prune(t, importance_scores=rt.tensor([[0.0, 1.0, 9.0], [9.0, 9.0, 9.0]])).tolist()[0] == [0, 0, 4]
    assert way.prune(t, default_mask=rt.tensor([[1.0, 1.0, 0.0], [1.0, 1.0, 1.0]])).tolist() == [[3, 0, 0], [0, 6, -5]]
    assert prune.Identity().compute_mask(t, 7) == 7
    given = rt.ones(2, 3)
    for other in (way, prune.RandomUnstructured(2)):
        other.compute_mask(t, given)
        assert given.sum() == 6  # it is not changed
    assert prune.CustomFromMask(rt.eye(2, 3)).compute_mask(t, rt.ones(2, 3, dtype=rt.float64)).dtype is rt.float64
    with pytest.raises(ValueError, match="importance_scores must have the shape"):
        way.prune(t, importance_scores=rt.ones(2))
    one, two, bias = prune.Identity(), prune.L1Unstructured(1), prune.Identity()
    one._tensor_name = two._tensor_name = "weight"
    bias._tensor_name = "bias"
    held = prune.PruningContainer(one)
    held.add_pruning_method(two)
    assert len(held) == 2 and list(held) == [one, two] and held[1] is two and held[:1] == (one,)
    assert held._tensor_name == "weight" and len(prune.PruningContainer()) == 0
    with pytest.raises(ValueError, match="named 'weight', found 'bias'"):
        held.add_pruning_method(bias)
    with pytest.raises(TypeError, match="not a BasePruningMethod"):
        held.add_pruning_method("l1")
    with pytest.raises(TypeError, match="abstract"):
        prune.BasePruningMethod()

    class Odd(prune.Identity):
        PRUNING_TYPE = "odd"

    m = weighted(WEIGHT)
    prune.identity(m, "weight")
    with pytest.raises(ValueError, match="Unrecognized PRUNING_TYPE odd"):
        Odd.apply(m, "weight")
    assert m.weight_orig.tolist() == WEIGHT and m.weight_mask.sum() == 6


@pytest.mark.parametrize(
    ("cut", "error", "text"),
    [
        (lambda m: prune.l1_unstructured(m, "weight", 7), ValueError, "amount=7 should be smaller than .*=6"),
        (lambda m: prune.random_unstructured(m, "weight", -1), ValueError, "amount=-1 should either be"),
        (lambda m: prune.random_unstructured(m, "weight", 1.01), ValueError, "amount=1.01"),
        (lambda m: prune.random_structured(m, "weight", -0.5, 0), ValueError, "amount=-0.5"),
        (lambda m: prune.ln_structured(m, "weight", True, 2, 0), TypeError, "Invalid type for amount: True"),
        (lambda m: prune.l1_unstructured(m, "weight", "1"), TypeError, "Invalid type for amount: 1"),
        (lambda m: prune.ln_structured(m, "weight", 3, 2, 0), ValueError, "=2"),
        (lambda m: prune.random_structured(m, "weight", 4, 1), ValueError, "=3"),
        (lambda m: prune.ln_structured(m, "bias", 1, 2, 0), ValueError, "multidimensional tensors, got 1"),
        (lambda m: prune.random_structured(m, "bias", 1, 0), ValueError, "multidimensional tensors, got 1"),
        (lambda m: prune.ln_structured(m, "weight", 1, 2, 2), IndexError, "Invalid index 2"),
        (lambda m: prune.random_structured(m, "weight", 1, -3), IndexError, "Invalid index -3"),
        (
            lambda m: prune.l1_unstructured(m, "weight", 1, importance_scores=rt.ones(6)),
            ValueError,
            "importance_scores must have the shape of parameter weight of Linear",
        ),
        (lambda m: prune.remove(m, "weight"), ValueError, "'weight' of module .* has to be pruned"),
        (lambda m: prune.remove(prune.identity(m, "bias"), "weight"), ValueError, "'weight' of module"),
    ],
)
def test_what_pruning_refuses(cut: Any, error: Any, text: str) -> None:
    m = weighted(WEIGHT)
    with pytest.raises(error, match=text):
        cut(m)
    assert (
        set(dict(m.named_parameters())) in ({"weight", "bias"}, {"weight", "bias_orig"}) and m.weight.tolist() == WEIGHT
    )
    m(rt.ones(1, 3))


# ---- fusion ----


def test_factors_of_fused_layers() -> None:
    """w * g / sqrt(v + eps), and (b - mean) * g / sqrt(v + eps) + shift."""
    w, mean, var = rt.tensor([[1.0], [2.0]]), rt.tensor([0.5, -1.0]), rt.tensor([3.0, 8.0])
    gain, shift, bias = rt.tensor([2.0, 3.0]), rt.tensor([0.25, 0.75]), rt.tensor([4.0, 5.0])
    for b, g, s, weights, biases in (
        (bias, gain, shift, [[1.0], [2.0]], [3.5 + 0.25, 6.0 + 0.75]),
        (bias, None, shift, [[0.5], [2 / 3]], [1.75 + 0.25, 2.0 + 0.75]),
        (bias, gain, None, [[1.0], [2.0]], [3.5, 6.0]),
        (None, gain, shift, [[1.0], [2.0]], [-0.5 + 0.25, 1.0 + 0.75]),
        (None, None, None, [[0.5], [2 / 3]], [-0.25, 1 / 3]),
    ):
        got = fusion.fuse_linear_bn_weights(w, b, mean, var, 1.0, g, s)
        assert [type(t) for t in got] == [nn.Parameter] * 2 and not got[0].requires_grad and not got[1].requires_grad
        np.testing.assert_allclose(got[0].numpy(), weights, rtol=1e-6)
        np.testing.assert_allclose(got[1].numpy(), biases, rtol=1e-6)
    asking = fusion.fuse_linear_bn_weights(nn.Parameter(w), None, mean, var, 1.0, None, None)
    assert all(t.requires_grad and t.is_leaf for t in asking)
    half = fusion.fuse_linear_bn_weights(w.half(), bias.double(), mean, var, 1.0, gain, shift)
    assert (half[0].dtype, half[1].dtype) == (rt.float16, rt.float64)
    assert fusion.fuse_linear_bn_weights(w.half(), None, mean, var, 1.0, gain, shift)[1].dtype is rt.float16
    kernel = rt.ones(3, 2, 1)  # in, out, size of a transposed convolution
    got, _ = fusion.fuse_conv_bn_weights(kernel, None, mean, var, 1.0, gain, shift, True)
    assert got.tolist() == [[[1.0], [1.0]]] * 3
    got, _ = fusion.fuse_conv_bn_weights(rt.ones(2, 3, 1), None, mean, var, 1.0, gain, shift)
    assert got.tolist() == [[[1.0]] * 3, [[1.0]] * 3]


def test_fused_layers() -> None:
    rt.manual_seed(0)
    for layer, bn, x, transpose in (
        (nn.Conv1d(2, 3, 2), nn.BatchNorm1d(3, eps=0.5), rt.randn(2, 2, 5), False),
        (nn.ConvTranspose1d(2, 3, 2), nn.BatchNorm1d(3, affine=False), rt.randn(2, 2, 5), True),
        (nn.Linear(2, 3, bias=False), nn.BatchNorm1d(3), rt.randn(4, 2), None),
    ):
        for _ in range(3):
            bn(layer(rt.randn_like(x) * 2 + 1))
        if bn.affine:
            with rt.no_grad():
                bn.weight.uniform_(0.5, 2), bn.bias.uniform_(-1, 1)
        layer.eval()
        fuse = (
            fusion.fuse_linear_bn_eval
            if transpose is None
            else lambda a, b, transpose=transpose: fusion.fuse_conv_bn_eval(a, b, transpose)
        )
        with pytest.raises(AssertionError, match="Fusion only for eval"):
            fuse(layer, bn)
        bn.eval()
        layer.train()
        with pytest.raises(AssertionError, match="Fusion only for eval"):
            fuse(layer, bn)
        before = copy.deepcopy(layer.eval())
        fused = fuse(layer, bn)
        assert type(fused) is type(layer) and fused is not layer and fused.bias is not None
        np.testing.assert_allclose(fused(x).detach().numpy(), bn(layer(x)).detach().numpy(), rtol=1e-4, atol=1e-5)
        assert before.weight.tolist() == layer.weight.tolist() and (layer.bias is None) is (before.bias is None)


# ---- parametrisations ----


@pytest.mark.parametrize("name", ["weight", "bias"])
@pytest.mark.parametrize("dim", [0, 1, -1, None])
def test_weight_norm_by_parametrisation(name: str, dim: int | None) -> None:
    if name == "bias" and dim == 1:
        dim = 0
    m = weighted(WEIGHT, (3.0, -4.0))
    value = getattr(m, name).detach().clone()
    assert parametrizations.weight_norm(m, name, dim) is m
    parts = m.parametrizations[name]
    axes = None if dim is None else tuple(d for d in range(value.ndim) if d != dim % value.ndim)
    norms = np.sqrt((value.numpy() ** 2).sum(axis=axes, keepdims=dim is not None))
    np.testing.assert_allclose(parts.original0.detach().numpy(), norms.reshape(parts.original0.shape), rtol=1e-6)
    assert parts.original1.tolist() == value.tolist()
    np.testing.assert_allclose(getattr(m, name).detach().numpy(), value.numpy(), rtol=1e-6)
    with rt.no_grad():
        parts.original0.mul_(2)
        parts.original1.mul_(5)
    np.testing.assert_allclose(getattr(m, name).detach().numpy(), 2 * value.numpy(), rtol=1e-6)


def test_weight_norm_is_of_rows_and_of_weight() -> None:
    m = parametrizations.weight_norm(nn.Linear(3, 2))
    assert list(m.parametrizations) == ["weight"] and m.parametrizations.weight.original0.shape == (2, 1)
    assert parametrizations.weight_norm(nn.Linear(3, 2), dim=None).parametrizations.weight.original0.ndim == 0


def test_spectral_norm_by_parametrisation() -> None:
    rt.manual_seed(0)
    m = weighted(WEIGHT)
    sigma = np.linalg.svd(np.array(WEIGHT), compute_uv=False)[0]
    assert parametrizations.spectral_norm(m, n_power_iterations=30) is m
    np.testing.assert_allclose(m.weight.detach().numpy(), np.array(WEIGHT) / sigma, rtol=1e-4)
    way = m.parametrizations.weight[0]
    assert (way.n_power_iterations, way.eps, way.dim) == (30, 1e-12, 0)
    assert way._u.shape == (2,) and way._v.shape == (3,) and set(dict(m.named_buffers())) == {
        "parametrizations.weight.0._u", "parametrizations.weight.0._v",
    }  # fmt: skip
    plain = parametrizations.spectral_norm(nn.Linear(3, 2)).parametrizations.weight[0]
    assert (plain.n_power_iterations, plain.eps, plain.dim) == (1, 1e-12, 0)
    # In training each read goes on with the iteration; in evaluation nothing moves.
    far = parametrizations.spectral_norm(nn.Linear(20, 20), eps=1e-6)
    before = far.parametrizations.weight[0]._u.clone()
    far.weight  # noqa: B018
    after = far.parametrizations.weight[0]._u.clone()
    assert not rt.equal(before, after)
    far.eval().weight  # noqa: B018
    assert rt.equal(after, far.parametrizations.weight[0]._u) and far.parametrizations.weight[0].eps == 1e-6
    # The rows of a transposed convolution are along its second dimension; others may be chosen.
    for layer, options, rows in (
        (nn.ConvTranspose1d(4, 2, 3), {}, 2), (nn.Conv1d(4, 2, 3), {}, 2), (nn.Conv1d(4, 2, 3), {"dim": 1}, 4),
        (nn.Conv1d(4, 2, 3), {"dim": -1}, 3), (nn.ConvTranspose1d(4, 2, 3), {"dim": 0}, 4),
    ):  # fmt: skip
        original = layer.weight.detach().numpy().copy()
        parametrizations.spectral_norm(layer, n_power_iterations=50, **options)
        way = layer.parametrizations.weight[0]
        assert way._u.shape == (rows,)
        d = way.dim
        matrix = np.moveaxis(original, d, 0).reshape(rows, -1)
        np.testing.assert_allclose(
            layer.weight.detach().numpy(), original / np.linalg.svd(matrix, compute_uv=False)[0], rtol=2e-3
        )
    v = weighted(WEIGHT, (3.0, -4.0))
    parametrizations.spectral_norm(v, "bias")
    np.testing.assert_allclose(v.bias.detach().numpy(), [0.6, -0.8], rtol=1e-6)
    assert not list(v.parametrizations.bias[0].buffers())
    with pytest.raises(errors.InvalidArgumentError, match="n_power_iterations=0"):
        parametrizations.spectral_norm(weighted(WEIGHT), n_power_iterations=0)
    # Two reads and a backward, double precision.
    d = weighted(WEIGHT).double()
    parametrizations.spectral_norm(d, n_power_iterations=20)
    assert d.parametrizations.weight[0]._u.dtype is rt.float64
    a, b = d.weight, d.weight
    (a.sum() + b.sum()).backward()
    assert d.parametrizations.weight.original.grad.shape == (2, 3)
    with rt.no_grad():
        d.weight = rt.tensor(WEIGHT, dtype=rt.float64) * 3
    assert d.parametrizations.weight.original.tolist() == (3 * np.array(WEIGHT)).tolist()


# ---- sequences in one batch ----


def test_sequences_in_one_batch() -> None:
    a, b, c = rt.tensor([1.0, 2.0]), rt.tensor([3.0]), rt.tensor([4.0, 5.0, 6.0])
    assert rnn.pad_sequence([a, b]).tolist() == [[1, 3], [2, 0]]
    assert rnn.pad_sequence(iter([a, b]), True, -1.0).tolist() == [[1, 2], [3, -1]]
    assert rnn.pad_sequence([a, b], True, 7.0, "left").tolist() == [[1, 2], [7, 3]]
    for first in (False, True):
        padded = rnn.pad_sequence([a, b, c], batch_first=first)
        parts = rnn.unpad_sequence(padded, rt.tensor([2, 1, 3]), batch_first=first)
        assert [p.tolist() for p in parts] == [[1, 2], [3], [4, 5, 6]]
    assert [p.tolist() for p in rnn.unpad_sequence(rnn.pad_sequence([a, b]), rt.tensor([2, 1]))] == [[1, 2], [3]]
    packed = rnn.pack_sequence([a, b, c], enforce_sorted=False)
    assert packed.data.tolist() == [4, 1, 3, 5, 2, 6] and packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices.tolist() == [2, 0, 1] and packed.unsorted_indices.tolist() == [1, 2, 0]
    assert [p.tolist() for p in rnn.unpack_sequence(packed)] == [[1, 2], [3], [4, 5, 6]]
    ordered = rnn.pack_sequence([c, a, b])
    assert ordered.sorted_indices is ordered.unsorted_indices is None
    for bad in ([a, b, c], [b, a]):
        with pytest.raises(RuntimeError, match="sorted"):
            rnn.pack_sequence(bad)
        with pytest.raises(RuntimeError, match="sorted"):
            rnn.pack_padded_sequence(rnn.pad_sequence(bad), [len(s) for s in bad])
    for first in (False, True):
        padded = rnn.pad_sequence([a, b, c], batch_first=first)
        for lengths in ([2, 1, 3], rt.tensor([2, 1, 3]), rt.tensor([2, 1, 3], dtype=rt.int32), (2.0, 1, 3)):
            got = rnn.pack_padded_sequence(padded, lengths, first, enforce_sorted=False)
            assert got.data.tolist() == packed.data.tolist()
        back, lengths = rnn.pad_packed_sequence(packed, batch_first=first, padding_value=9.0)
        want = np.array([[1, 2, 9], [3, 9, 9], [4, 5, 6]])
        assert back.tolist() == (want if first else want.T).tolist() and lengths.tolist() == [2, 1, 3]
        for total in (3, 5):
            wide, lengths = rnn.pad_packed_sequence(ordered, first, total_length=total)
            assert wide.shape == ((3, total) if first else (total, 3)) and lengths.tolist() == [3, 2, 1]
            assert wide.sum() == 21
    assert rnn.pad_packed_sequence(packed)[0].shape == (3, 3) and rnn.pad_packed_sequence(packed)[0][1, 1] == 0
    with pytest.raises(ValueError, match="total_length=2 and max sequence length being 3"):
        rnn.pad_packed_sequence(packed, total_length=2)
    equal = rnn.pack_sequence([rt.tensor([1.0]), rt.tensor([2.0]), rt.tensor([3.0])], False)
    assert equal.data.tolist() == [1, 2, 3]  # those of one length keep their order
    assert rnn.invert_permutation(None) is None and rnn.invert_permutation(rt.tensor([2, 0, 1])).tolist() == [1, 2, 0]


# ---- normalisation ----


def test_batch_norm_that_tracks_or_does_not() -> None:
    x = rt.tensor([[1.0, 10.0], [3.0, 30.0]])
    average = nn.BatchNorm1d(2, momentum=None)
    for n, mean in ((1, [2.0, 20.0]), (2, [3.0, 30.0])):
        average(x * n if n == 1 else x * 2)
        assert average.num_batches_tracked == n and average.running_mean.tolist() == pytest.approx(mean)
    m = nn.BatchNorm1d(2, momentum=0.5)
    m(x)
    assert m.running_mean.tolist() == [1.0, 10.0] and m.running_var.tolist() == [0.5 + 1.0, 0.5 + 100.0]
    m.eval()
    want = (x.numpy() - [1.0, 10.0]) / np.sqrt(np.array([1.5, 100.5]) + 1e-5)
    np.testing.assert_allclose(m(x).detach().numpy(), want, rtol=1e-5)
    assert m.num_batches_tracked == 1
    # Switched off afterwards, the batch's own statistics count, and the buffers stay as they are.
    m.train()
    m.track_running_stats = False
    np.testing.assert_allclose(m(x).detach().numpy(), [[-1, -1], [1, 1]], rtol=1e-4)
    assert m.running_mean.tolist() == [1.0, 10.0] and m.num_batches_tracked == 1
    untracked = nn.BatchNorm1d(2, track_running_stats=False).eval()
    assert untracked.running_mean is untracked.running_var is untracked.num_batches_tracked is None
    np.testing.assert_allclose(untracked(x).detach().numpy(), [[-1, -1], [1, 1]], rtol=1e-4)
    untracked.reset_running_stats()
    with rt.no_grad():
        m.weight.fill_(5), m.bias.fill_(6)
    m.reset_running_stats()  # not tracked any more
    assert m.running_mean.tolist() == [1.0, 10.0]
    m.track_running_stats = True
    m.reset_running_stats()
    assert m.running_mean.tolist() == [0, 0] and m.running_var.tolist() == [1, 1] and m.num_batches_tracked == 0
    assert m.weight.tolist() == [5, 5]
    m.running_mean.fill_(3)
    m.reset_parameters()
    assert (m.weight.tolist(), m.bias.tolist(), m.running_mean.tolist()) == ([1, 1], [0, 0], [0, 0])
    for kind, dims in ((nn.BatchNorm1d, (2, 3)), (nn.BatchNorm2d, (4,)), (nn.BatchNorm3d, (5,))):
        for d in range(1, 7):
            if d in dims:
                assert kind(2)(rt.randn(2, 2, *[2] * (d - 2))).ndim == d
            else:
                with pytest.raises(ValueError, match=f"expected {' or '.join(f'{n}D' for n in dims)} input .got {d}D"):
                    kind(2)(rt.ones([2] * d))
    for bias, affine in ((True, True), (False, True), (True, False)):
        for kind in (nn.BatchNorm1d, nn.InstanceNorm1d, nn.SyncBatchNorm):
            layer = kind(2, affine=affine, bias=bias)
            assert (layer.weight is not None, layer.bias is not None) == (affine, affine and bias)
            assert layer.affine is affine
    plain = nn.InstanceNorm1d(2)
    assert plain.weight is plain.bias is plain.running_mean is None and (plain.eps, plain.momentum) == (1e-5, 0.1)
    assert plain.affine is plain.track_running_stats is False


def test_old_state_dicts_of_batch_norms() -> None:
    m = nn.BatchNorm1d(2)
    m.num_batches_tracked.fill_(7)
    old = m.state_dict()
    assert old._metadata[""]["version"] == 2
    del old["num_batches_tracked"]
    for version in (None, 1):
        old._metadata[""] = {} if version is None else {"version": version}
        assert not any(m.load_state_dict(old))
        assert m.num_batches_tracked == 7
    old._metadata[""] = {"version": 2}
    with pytest.raises(RuntimeError, match=r"Missing key.*num_batches_tracked"):
        m.load_state_dict(old)
    plain = nn.BatchNorm1d(2, track_running_stats=False)
    assert not any(plain.load_state_dict({"weight": rt.ones(2), "bias": rt.ones(2)}))
    nothing = nn.BatchNorm1d(2)
    nothing.num_batches_tracked = None
    state = {k: v for k, v in nothing.state_dict().items() if k != "num_batches_tracked"}
    nothing.load_state_dict(state, strict=False)


def test_instance_norms() -> None:
    for kind, dims in ((nn.InstanceNorm1d, 2), (nn.InstanceNorm2d, 3), (nn.InstanceNorm3d, 4)):
        x = rt.randn(3, *[4] * (dims - 1))
        layer = kind(3)
        np.testing.assert_allclose(layer(x).numpy(), layer(x.unsqueeze(0))[0].numpy(), rtol=1e-5)
        np.testing.assert_allclose(layer(x).numpy().reshape(3, -1).mean(1), 0, atol=1e-5)
        for wrong in (dims - 1, dims + 2):
            with pytest.raises(ValueError, match=f"expected {dims}D or {dims + 1}D input"):
                layer(rt.ones([3] * wrong))
        kind(2)(x)  # without weights the number of channels is no matter
        with pytest.raises(ValueError, match=r"match num_features \(2\), but got: 3"):
            kind(2, affine=True)(x)
    m = nn.InstanceNorm1d(2, track_running_stats=True, momentum=0.5)
    x = rt.tensor([[[1.0, 3.0], [10.0, 30.0]]])
    m(x)
    assert m.running_mean.tolist() == [1.0, 10.0]
    m.eval()
    np.testing.assert_allclose(m(x)[0, :, 0].numpy(), [0, 0], atol=1e-6)
    assert m.running_mean.tolist() == [1.0, 10.0]
    frozen = nn.InstanceNorm1d(2, track_running_stats=True, momentum=None)
    frozen(x)
    assert frozen.running_mean.tolist() == [0.0, 0.0]
    wide = nn.InstanceNorm1d(2, eps=3.0, affine=True)
    with rt.no_grad():
        wide.weight.fill_(2), wide.bias.fill_(1)
    np.testing.assert_allclose(wide(x)[0, 0].detach().numpy(), [0, 2], rtol=1e-6)  # 1 -+ 2 * 1 / sqrt(1 + 3)


def test_conversion_to_synchronised_norms() -> None:
    inner = nn.BatchNorm2d(3, eps=0.5, momentum=0.25, affine=False, track_running_stats=False).eval()
    net = nn.Sequential(nn.BatchNorm1d(2), nn.Sequential(inner, nn.ReLU()), nn.InstanceNorm1d(2))
    net[0].num_batches_tracked.fill_(5)
    old = list(net)
    made = nn.SyncBatchNorm.convert_sync_batchnorm(net, "group")
    assert made is net and made[0] is not old[0] and made[2] is old[2] and type(made[1][1]) is nn.ReLU
    first, second = made[0], made[1][0]
    assert type(first) is type(second) is nn.SyncBatchNorm and first.process_group == second.process_group == "group"
    for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked"):
        assert getattr(first, name) is getattr(old[0], name) and getattr(second, name) is None
    assert (second.num_features, second.eps, second.momentum, second.affine) == (3, 0.5, 0.25, False)
    assert second.track_running_stats is False and first.training is True and second.training is False
    alone = nn.SyncBatchNorm.convert_sync_batchnorm(nn.BatchNorm1d(2))
    assert type(alone) is nn.SyncBatchNorm and alone.process_group is None
    assert nn.SyncBatchNorm.convert_sync_batchnorm(alone) is alone
    with pytest.raises(errors.UnsupportedError, match="process groups"):
        alone(rt.ones(2, 2))
    assert alone.eval()(rt.ones(2, 2)).shape == (2, 2)
    default = nn.SyncBatchNorm(2)
    assert (default.eps, default.momentum, default.affine, default.track_running_stats) == (1e-5, 0.1, True, True)
    with pytest.raises(errors.ShapeMismatchError, match="at least 2D input, got 1D"):
        default.eval()(rt.ones(2))
    some = nn.SyncBatchNorm(2, 0.5, 0.25, True, True, None, "cpu", rt.float64)
    assert some.weight.dtype is some.running_var.dtype is rt.float64 and some.eps == 0.5


def test_other_norms() -> None:
    x = rt.tensor([[1.0, 3.0, 5.0, 9.0]])
    np.testing.assert_allclose(
        nn.LayerNorm(4, eps=1.0)(x).detach().numpy(), (x.numpy() - 4.5) / math.sqrt(9.75), rtol=1e-6
    )
    assert nn.LayerNorm([2, 3]).weight.shape == (2, 3) and nn.LayerNorm(3).normalized_shape == (3,)
    assert nn.LayerNorm((2, 3)).normalized_shape == (2, 3) and nn.LayerNorm(3).eps == 1e-5
    for affine, bias in ((True, True), (True, False), (False, True)):
        m = nn.LayerNorm(4, elementwise_affine=affine, bias=bias)
        assert (m.weight is not None, m.bias is not None) == (affine, affine and bias)
        g = nn.GroupNorm(2, 4, affine=affine, bias=bias)
        assert (g.weight is not None, g.bias is not None) == (affine, affine and bias)
    for m in (nn.LayerNorm(4), nn.GroupNorm(2, 4), nn.RMSNorm(4)):
        with rt.no_grad():
            for p in m.parameters():
                p.fill_(7)
        m.reset_parameters()
        assert m.weight.tolist() == [1] * 4 and (isinstance(m, nn.RMSNorm) or m.bias.tolist() == [0] * 4)
    np.testing.assert_allclose(
        nn.GroupNorm(2, 4, eps=3.0, affine=False)(x).numpy(),
        [[-0.5, 0.5, -2 / math.sqrt(7), 2 / math.sqrt(7)]],
        rtol=1e-6,
    )
    assert nn.GroupNorm(4, 4).eps == 1e-5
    with pytest.raises(ValueError, match=r"num_channels \(4\) must be divisible by num_groups \(3\)"):
        nn.GroupNorm(3, 4)
    np.testing.assert_allclose(nn.RMSNorm(4, eps=7.0)(x).detach().numpy(), x.numpy() / math.sqrt(29 + 7), rtol=1e-6)
    tiny = rt.full((1, 2), 1e-4)
    eps = np.finfo(np.float32).eps
    np.testing.assert_allclose(nn.RMSNorm(2)(tiny).detach().numpy(), 1e-4 / math.sqrt(1e-8 + eps), rtol=1e-5)
    assert nn.RMSNorm([1, 2], elementwise_affine=False).weight is None and nn.RMSNorm([1, 2]).weight.shape == (1, 2)
    lrn = nn.LocalResponseNorm(2)
    assert (lrn.size, lrn.alpha, lrn.beta, lrn.k) == (2, 1e-4, 0.75, 1.0)
    y = nn.LocalResponseNorm(2, alpha=2.0, beta=0.5, k=3.0)(rt.tensor([[[1.0], [2.0]]]))
    np.testing.assert_allclose(y.flatten().numpy(), [1 / 2, 2 / math.sqrt(3 + 5)], rtol=1e-6)


# ---- dtypes ----


@pytest.mark.parametrize(
    ("name", "bits", "eps", "largest", "tiny", "resolution"),
    [
        ("float16", 16, 2**-10, 65504.0, 2**-14, 1e-3),
        ("bfloat16", 16, 2**-7, (2 - 2**-7) * 2.0**127, 2**-126, 1e-2),
        ("float32", 32, 2**-23, (2 - 2**-23) * 2.0**127, 2**-126, 1e-6),
        ("float64", 64, 2**-52, sys.float_info.max, sys.float_info.min, 1e-15),
        ("complex64", 32, 2**-23, (2 - 2**-23) * 2.0**127, 2**-126, 1e-6),
        ("complex128", 64, 2**-52, sys.float_info.max, sys.float_info.min, 1e-15),
        ("float8_e4m3fn", 8, 2**-3, 448.0, 2**-6, 1.0),
        ("float8_e4m3fnuz", 8, 2**-3, 240.0, 2**-7, 1.0),
        ("float8_e5m2", 8, 2**-2, 57344.0, 2**-14, 1.0),
        ("float8_e5m2fnuz", 8, 2**-3, 57344.0, 2**-15, 1.0),
        ("float8_e8m0fnu", 8, 1.0, 2.0**127, 2.0**-127, 1.0),
    ],
)
def test_limits_of_floating_types(
    name: str, bits: int, eps: float, largest: float, tiny: float, resolution: float
) -> None:
    info = rt.finfo(getattr(rt, name))
    assert (info.bits, info.eps, info.max, info.tiny, info.smallest_normal) == (bits, eps, largest, tiny, tiny)
    assert info.min == (tiny if name == "float8_e8m0fnu" else -largest) and info.resolution == pytest.approx(resolution)
    assert info.dtype == name.replace("complex64", "float32").replace("complex128", "float64")


def test_limits_of_whole_number_types() -> None:
    for name in ("uint8", "int8", "int16", "int32", "int64", "uint16", "uint32", "uint64"):
        info, want = rt.iinfo(getattr(rt, name)), np.iinfo(name)
        assert (info.min, info.max, info.bits, info.dtype) == (want.min, want.max, want.bits, name)
    assert rt.iinfo(int).bits == 64 and repr(rt.iinfo(rt.int8)) == "iinfo(min=-128, max=127, dtype=int8)"
    for wrong in (rt.float32, rt.bool, rt.complex64, bool, float):
        with pytest.raises(errors.DTypeError, match="iinfo: wanted a whole-number dtype"):
            rt.iinfo(wrong)
    for wrong in (rt.int32, rt.bool, int, rt.uint8):
        with pytest.raises(errors.DTypeError, match="finfo: wanted a floating-point dtype"):
            rt.finfo(wrong)
    assert rt.finfo().dtype == "float32" and rt.finfo(float).dtype == "float64" and rt.finfo(complex).bits == 64
    rt.set_default_dtype(rt.float64)
    try:
        assert rt.finfo().bits == 64
    finally:
        rt.set_default_dtype(rt.float32)


def test_properties_of_dtypes() -> None:
    from rustorch import dtypes

    sizes = {"bool": 1, "uint8": 1, "int8": 1, "int16": 2, "float16": 2, "bfloat16": 2, "int32": 4, "float32": 4,
             "int64": 8, "float64": 8, "complex64": 8, "complex128": 16, "uint16": 2, "uint32": 4,
             "uint64": 8}  # fmt: skip
    for name, size in sizes.items():
        d = getattr(rt, name)
        assert d.itemsize == size and d.is_complex is name.startswith("complex")
        assert d.is_floating_point is ("float" in name)
        assert d.is_complex or d.is_signed is not (name == "bool" or name.startswith("uint"))
        assert pickle.loads(pickle.dumps(d)) is copy.copy(d) is copy.deepcopy(d) is d
    for name, real, wide in (
        ("float16", "float16", "complex64"), ("float32", "float32", "complex64"), ("float64", "float64", "complex128"),
        ("complex64", "float32", "complex64"), ("complex128", "float64", "complex128"), ("int64", "int64", "complex64"),
    ):  # fmt: skip
        assert getattr(rt, name).to_real() is getattr(rt, real) and getattr(rt, name).to_complex() is getattr(rt, wide)
    for short, long in (("half", "float16"), ("float", "float32"), ("double", "float64"), ("short", "int16"),
                        ("int", "int32"), ("long", "int64"), ("cfloat", "complex64"),
                        ("cdouble", "complex128")):  # fmt: skip
        assert getattr(rt, short) is getattr(rt, long)
    for name, size in (("float8_e4m3fn", 1), ("float8_e8m0fnu", 1), ("float4_e2m1fn_x2", 1), ("complex32", 4)):
        d = getattr(rt, name)
        assert (
            d.itemsize == size
            and d.is_complex is (name == "complex32")
            and d.is_floating_point is (name != "complex32")
        )
        assert pickle.loads(pickle.dumps(d)) is copy.deepcopy(d) is d and repr(d) == f"rustorch.{name}"
        with pytest.raises(errors.UnsupportedError, match=f"no tensors of dtype rustorch.{name}"):
            rt.zeros(1, dtype=d)
    for given, want in ((int, rt.int64), (float, rt.float64), (bool, rt.bool), (complex, rt.complex128),
                        (np.float32, rt.float32), (np.bool_, rt.bool), (np.dtype("int16"), rt.int16),
                        (rt.half, rt.float16)):  # fmt: skip
        assert dtypes.from_python(given) is want and dtypes.is_word(given)
    for given, text in ((np.number, "expected a dtype, got"), (np.floating, "expected a dtype, got"),
                        (np.integer, "got"),
                        (np.dtype("datetime64[s]"), "there is no datetime64.s. dtype"), (np.longdouble, "there is no"),
                        ("float32", "expected a dtype, got 'float32'"), (str, "expected a dtype"),
                        (3, "got 3")):  # fmt: skip
        with pytest.raises(errors.DTypeError, match=text):
            dtypes.from_python(given)
    for given, word in ((np.number, True), (np.dtype("datetime64[s]"), True), (str, False), ("int", False), (3, False)):
        assert dtypes.is_word(given) is word
    order = [rt.bool, rt.int64, rt.float16, rt.complex64]
    for i, d in enumerate(order):
        for k, target in enumerate(order):
            assert dtypes.castable(d, target) is rt.can_cast(d, target) is (i <= k)
    assert rt.promote_types(int, rt.float16) is rt.float16 and rt.promote_types(rt.uint8, rt.int8) is rt.int16


# ---- generators ----


def test_generators() -> None:
    g = rt.Generator("cpu")
    assert g.initial_seed() == 67280421310721 and g.device == rt.device("cpu") and g.manual_seed(5) is g
    for seed, kept in ((5, 5), (-1, 2**64 - 1), (2**64 - 1, 2**64 - 1), (-(2**63), 2**63), (0, 0)):
        assert g.manual_seed(seed).initial_seed() == kept
        assert rt.manual_seed(seed) is rt.default_generator and rt.initial_seed() == kept
    for wrong in (2**64, -(2**63) - 1):
        with pytest.raises(errors.InvalidArgumentError, match=r"must lie in \[-2\*\*63, 2\*\*64\)"):
            g.manual_seed(wrong)
        with pytest.raises(errors.InvalidArgumentError):
            rt.manual_seed(wrong)
    for wrong in ("x", None, [1]):
        with pytest.raises((TypeError, errors.RustorchError), match="seed"):
            rt.manual_seed(wrong)
    state = g.manual_seed(3).get_state()
    assert state.dtype is rt.uint8 and state.shape == (5056,)
    first = rt.rand(3, generator=g).tolist()
    other = rt.Generator()
    assert other.set_state(state) is other and rt.rand(3, generator=other).tolist() == first
    same = g.clone_state()
    assert same is not g and rt.rand(2, generator=same).tolist() == rt.rand(2, generator=g).tolist()
    assert rt.rand(2, generator=pickle.loads(pickle.dumps(g))).tolist() == rt.rand(2, generator=g).tolist()
    assert g.seed() == g.initial_seed() != g.seed() and rt.seed() == rt.initial_seed()
    with pytest.raises(errors.RustorchError):
        g.set_state(rt.zeros(3, dtype=rt.uint8))
    rt.manual_seed(1)
    kept = rt.get_rng_state()
    with rt.random.fork_rng():
        rt.rand(1)
    assert rt.equal(kept, rt.get_rng_state())
    with rt.random.fork_rng([0], False):
        rt.rand(1)
    assert not rt.equal(kept, rt.get_rng_state())
    before = rt.get_rng_state()
    with pytest.raises(KeyError), rt.random.fork_rng(devices=[]):
        rt.rand(1)
        raise KeyError
    assert rt.equal(before, rt.get_rng_state())
    assert rt.set_rng_state(kept) is None and rt.equal(kept, rt.get_rng_state())
    with pytest.raises((errors.RustorchError, NotImplementedError)):
        rt.Generator("cuda")


# ---- the first names ----


def test_the_first_names() -> None:
    T, V = rt.PyTensor, rt.PyVariable
    t = T([1, 2, 3, 4, 5, 6], [2, 3])
    assert type(t) is T and t.tolist() == [[1, 2, 3], [4, 5, 6]] and t.dtype is rt.float32 and T([1]).shape == (1,)
    assert T(rt.ones(2, dtype=rt.int32)).dtype is rt.int32
    with pytest.raises(errors.ShapeMismatchError, match=r"6 numbers do not fill the shape \[4\]") as e:
        T([1, 2, 3, 4, 5, 6], (4,))
    assert (e.value.op, e.value.shape1, e.value.shape2) == ("PyTensor", (6,), (4,))
    for wrong, text in (([], "must not be empty"), ([0], "must be positive, got"), ([2, -3], "positive")):
        with pytest.raises(errors.InvalidArgumentError, match=text):
            rt.classic.validate_dimensions(wrong)
    assert rt.classic.validate_dimensions([1, "2"]) == (1, 2)
    a = np.ones(2, dtype=np.float32)
    shared = T.from_numpy(a)
    a[0] = 5
    assert type(shared) is T and shared.tolist() == [5, 1]
    v = V([1.0, 2.0], requires_grad=True)
    assert v.requires_grad and not V([1]).requires_grad and V([1]).dtype is rt.float32 and v.grad is None
    (v * v).sum().backward()
    assert v.grad.tolist() == v.grad().tolist() == [2, 4] and type(v.grad()) is rt.Tensor
    v.grad = None
    assert v.grad is None
    V.from_data([1, 2, 3, 4], [2, 2], True).backward()
    w = V.from_data([1, 2, 3, 4], [2, 2], True)
    w.backward()
    assert w.grad.tolist() == [[1, 1], [1, 1]]
    w.backward(rt.full((2, 2), 3.0))
    assert w.grad.tolist() == [[4, 4], [4, 4]] and not V.from_data([1], [1]).requires_grad
    base = rt.zeros(2)
    V(base).fill_(1)
    assert base.tolist() == [1, 1]


# ---- comparing and making ----


def differs(actual: Any, expected: Any, **options: Any) -> str:
    with pytest.raises(AssertionError) as e:
        rt.testing.assert_close(actual, expected, **options)
    return str(e.value)


@pytest.mark.parametrize(
    ("dtype", "rtol", "atol"),
    [("float16", 1e-3, 1e-5), ("bfloat16", 1.6e-2, 1e-5), ("float32", 1.3e-6, 1e-5), ("float64", 1e-7, 1e-7),
     ("complex64", 1.3e-6, 1e-5), ("complex128", 1e-7, 1e-7)],
)  # fmt: skip
def test_tolerances_follow_from_dtypes(dtype: str, rtol: float, atol: float) -> None:
    d = getattr(rt, dtype)
    text = differs(rt.zeros(2, dtype=d), rt.ones(2, dtype=d))
    assert f"(up to {atol} allowed)" in text and f"(up to {rtol} allowed)" in text
    if dtype.endswith(("64", "128", "32")):
        kind = rt.float64 if dtype == "float64" else d
        for value, tolerance in ((0.0, atol), (1000.0, atol + 1000 * rtol)):
            expected = rt.tensor([value], dtype=kind)
            near, far = (rt.tensor([value + f * tolerance], dtype=kind) for f in (0.9, 1.2))
            rt.testing.assert_close(near, expected)
            differs(far, expected)


def test_what_assert_close_says() -> None:
    close = rt.testing.assert_close
    text = differs(rt.tensor([[1.0, 2.0], [3.0, 4.0]]), rt.tensor([[1.0, 2.5], [7.0, 4.0]]))
    assert text == (
        "Tensor-likes are not close!\n\nMismatched elements: 2 / 4 (50.0%)\n"
        "Greatest absolute difference: 4.0 at index (1, 0) (up to 1e-05 allowed)\n"
        f"Greatest relative difference: {rt.tensor(4.0 / 7.0).item()} at index (1, 0) (up to 1.3e-06 allowed)"
    )
    assert differs(1.0, 1.5) == (
        "Scalars are not close!\n\nExpected 1.5 but got 1.0.\nAbsolute difference: 0.5 (up to 1e-07 allowed)\n"
        f"Relative difference: {0.5 / 1.5} (up to 1e-07 allowed)"
    )
    assert differs(rt.tensor([1]), rt.tensor([3])).startswith("Tensor-likes are not equal!")
    assert "difference: 2.0 at index (0,) (up to 0.0" in differs(rt.tensor([1]), rt.tensor([3]))
    assert differs([rt.ones(1)], [rt.ones(1)] * 2) == "The length of the sequences mismatch: 1 != 2"
    assert differs({"a": [1, 2]}, {"a": [1, 3]}).startswith("Scalars are not equal at ['a'][1]!")
    assert differs({"a": 1, "c": 2}, {"b": 1, "a": 1}).endswith("do not match: missing ['b'], not expected ['c']")
    assert differs([{"a": 1}], [{}]) == "The keys of the mappings do not match[0]: missing [], not expected ['a']"
    assert "None mismatch at [0]: None is not 1" in differs([None], [1]) and "is not None" in differs(rt.ones(1), None)
    close(None, None)
    assert "Booleans mismatch: True is not False" in differs(True, False)
    assert "'shape' do not match" in differs(rt.ones(1), rt.ones(1, 1))
    assert "'device' do not match" in differs(rt.ones(1), rt.ones(1, device="meta"))
    close(rt.ones(1, device="meta"), rt.zeros(1, device="meta"))
    assert "'dtype' do not match: rustorch.float32" in differs(rt.ones(1), rt.ones(1).double())
    close(rt.ones(1), rt.ones(1, dtype=rt.int64), check_dtype=False)
    a, b = rt.ones(2, 3), rt.ones(3, 2).T
    close(a, b)
    assert "'stride()' do not match: (3, 1) != (1, 2)" in differs(a, b, check_stride=True)
    close(a, rt.ones(2, 3), check_stride=True)
    # One tolerance for all, or none at all.
    close(rt.tensor([1.0]), rt.tensor([1.4]), rtol=0.0, atol=0.5)
    close(rt.tensor([1.0]), rt.tensor([1.4]), rtol=0.3, atol=0.0)
    differs(rt.tensor([1.0]), rt.tensor([1.4]), rtol=0.2, atol=0.0)
    assert differs(rt.tensor([1.0]), rt.tensor([2.0]), rtol=0.0, atol=0.0).startswith("Tensor-likes are not equal!")
    # Of two dtypes the wider tolerance counts, and numbers are compared in the wider dtype.
    close(rt.tensor([1.0], dtype=rt.float16), rt.tensor([1.0009], dtype=rt.float64), check_dtype=False)
    nan = float("nan")
    close([nan, rt.tensor([nan])], [nan, rt.tensor([nan])], equal_nan=True)
    assert "Scalars are not close" in differs(nan, nan)
    assert "absolute difference: nan at index (1,)" in differs(rt.tensor([0.0, nan, 1.0]), rt.tensor([0.0, 1.0, 2.0]))
    inf = float("inf")
    close(rt.tensor([inf, -inf]), rt.tensor([inf, -inf]))
    differs(rt.tensor([inf]), rt.tensor([-inf]))
    assert "2 / 3 (66.7%)" in differs(rt.tensor([True, False, True]), rt.tensor([False, True, True]))
    close(np.ones(2), np.ones(2))
    assert "Mismatched elements: 1 / 2" in differs(np.array([1.0, 2.0]), np.array([1.0, 3.0]))
    close(np.float64(1.0), 1.0)
    close(np.int64(1), 1)
    assert "(d)types do not match" in differs(np.float32(1.0), 1) and "Booleans" in differs(np.bool_(True), False)
    close((1, [2.0]), (1, [2.0]))
    close([1, 2], (1, 2))
    close("abc", "abc")
    assert "'abc' is not 'abd'" in differs("abc", "abd") and "'a' is not 'b'" in differs(["a"], ["b"])
    close(OrderedDict(a=1), {"a": 1})
    close(rt.tensor(1.0), rt.tensor(1.0, requires_grad=True))
    close(rt.ones(1), nn.Parameter(rt.ones(1)))
    assert differs(1, 2, msg=lambda m: f"<{m[:7]}>") == "<Scalars>" and differs(1, 2, msg="own") == "own"
    close(rt.ones(0), rt.ones(0))
    for values in ((1 + 2j, 1 + 2j), (rt.tensor([1 + 2j]), rt.tensor([1 + 2j]))):
        close(*values)
    assert "absolute difference: 5.0 at index (0,)" in differs(rt.tensor([1 + 2j]), rt.tensor([4 + 6j]))
    differs(rt.tensor([2**62 + 1]), rt.tensor([2**62]))
    # Numbers are compared with all their digits.
    close(1.0, 1.0 + 1e-8)
    differs(1.0, 1.0 + 5e-7)
    differs(2**62 + 1, 2**62)
    close(2**70, 2**70)
    differs(2**70, 2**71)
    differs(1 + 1e-6j, 1 + 2e-6j)
    assert differs(1, 2).startswith("Scalars are not equal!\n\nExpected 2 but got 1.")
    differs(rt.tensor([200], dtype=rt.uint8), rt.tensor([100], dtype=rt.uint8))


def test_the_old_form_of_assert_close() -> None:
    near = rt.testing.assert_allclose
    near(rt.ones(2), [1.0, 1.0])
    near([1.0, float("nan")], rt.tensor([1.0, float("nan")]))
    near(rt.ones(2), rt.ones(2, dtype=rt.float64))
    near(rt.ones(1), rt.tensor([1.2]), 0.0, 0.3)
    for arguments, options in (
        ((rt.ones(1), rt.tensor([1.2])), {}), (([float("nan")], [float("nan")]), {"equal_nan": False}),
        ((rt.ones(1), [1.2], 0.0, 0.1), {}), ((rt.ones(1), rt.tensor([1.2])), {"rtol": 0.1, "atol": 0.0}),
    ):  # fmt: skip
        with pytest.raises(AssertionError):
            near(*arguments, **options)


@pytest.mark.parametrize(
    ("name", "least", "most"),
    [("bool", 0, 1), ("uint8", 0, 9), ("int8", -9, 9), ("int64", -9, 9), ("float32", -9, 9), ("float16", -9, 9),
     ("complex64", -9, 9), ("uint16", 0, 9)],
)  # fmt: skip
def test_numbers_that_make_tensor_draws(name: str, least: int, most: int) -> None:
    rt.manual_seed(0)
    d = getattr(rt, name)
    t = rt.testing.make_tensor((500,), dtype=d)
    parts = rt.view_as_real(t) if d.is_complex else t.to(rt.int64) if not d.is_floating_point else t.float()
    if d.is_floating_point or d.is_complex:
        assert least <= parts.min() < least + 0.5 and most - 0.5 < parts.max() <= most
    else:
        assert (parts.min(), parts.max()) == (least, most)
    assert not t.requires_grad and t.is_contiguous()


def test_options_of_make_tensor() -> None:
    make = rt.testing.make_tensor
    rt.manual_seed(0)
    assert make([2, 3], dtype=rt.float32).shape == make((2, 3), dtype=rt.bool).shape == (2, 3)
    assert make(dtype=rt.float32).shape == () and make(4, dtype=rt.int32).shape == (4,)
    t = make(100, dtype=rt.float64, low=2, high=3)
    assert 2 <= t.min() <= t.max() < 3 and set(make(50, dtype=rt.int64, low=1.5, high=4).tolist()) == {2, 3}
    assert make(2, dtype=rt.float32, device="meta").is_meta and make(2, dtype=rt.int64, device="meta").is_meta
    assert make(2, dtype=rt.complex64, device="meta").is_meta and make(3, dtype=rt.float32, high=-8, low=-9).max() <= -8
    spread = make(2, 3, dtype=rt.float32, noncontiguous=True)
    assert spread.shape == (2, 3) and spread.stride() == (6, 2) and spread.storage_offset() == 1
    assert make(1, dtype=rt.float32, noncontiguous=True).is_contiguous()
    assert make(2, dtype=rt.float32, noncontiguous=True).stride() == (2,)
    without = make(200, dtype=rt.int64, low=0, high=2, exclude_zero=True)
    assert set(without.tolist()) == {1} and set(make(50, dtype=rt.bool, exclude_zero=True).tolist()) == {True}
    assert 0 not in make(200, dtype=rt.uint8, exclude_zero=True).tolist()
    asking = make(2, dtype=rt.float32, requires_grad=True)
    assert asking.requires_grad and asking.is_leaf


# ---- arrays and buffers ----


def test_arrays_and_tensors() -> None:
    t = rt.arange(6.0).reshape(2, 3)
    face = t.T.__array_interface__
    assert (face["shape"], face["typestr"], face["strides"], face["version"]) == ((3, 2), "<f4", (4, 12), 3)
    assert face["data"] == (t.data_ptr(), False)
    asking = rt.ones(2, requires_grad=True)
    for call in (lambda: asking.numpy(), lambda: np.asarray(asking)):
        with pytest.raises(RuntimeError, match="requires grad"):
            call()
    forced = asking.numpy(force=True)
    forced[0] = 5
    assert asking[0] == 5
    assert np.asarray(t).dtype == np.float32 and np.shares_memory(np.asarray(t), t.numpy())
    assert not np.shares_memory(np.array(t), t.numpy()) and np.asarray(t, dtype=np.float64).dtype == np.float64
    assert t.__array__(np.float32) is not None and np.shares_memory(t.__array__(np.float32, False), t.numpy())
    assert not np.shares_memory(t.__array__(None, True), t.numpy()) and t.__array__(np.int32).dtype == np.int32
    with pytest.raises(errors.InvalidArgumentError, match="a copy is needed to convert float32 to float64"):
        t.__array__(np.float64, copy=False)
    with pytest.raises(errors.DTypeError, match="NumPy has no bfloat16"):
        rt.ones(1, dtype=rt.bfloat16).numpy()
    with pytest.raises(errors.DTypeError, match="meta"):
        rt.ones(1, device="meta").numpy()
    a = np.arange(6.0).reshape(2, 3)
    for view in (a, a.T, a[:, ::2], a[1:], np.broadcast_to(a, (2, 2, 3)), a[:1, ::-3], np.zeros((0, 3))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            got = rt.from_numpy(view)
        assert got.tolist() == view.tolist() and got.dtype is rt.float64
        assert np.shares_memory(got.numpy(), a) is (view.flags.writeable and view.size > 0)
    for wrong, text in (
        (a[::-1], "negative strides"), (a[:, ::-1], "negative strides"),
        (np.zeros(3, dtype=[("a", "i1"), ("b", "<f8")])["b"], "strides must be whole elements"),
    ):  # fmt: skip
        with pytest.raises(errors.InvalidArgumentError, match=text):
            rt.from_numpy(wrong)
    for wrong, text in (
        (np.float64(1), "expected np.ndarray .got float64"), ([1], "got list"), (np.array(["a"]), "np.ndarray of type"),
    ):  # fmt: skip
        with pytest.raises(errors.DTypeError, match=text):
            rt.from_numpy(wrong)
    fixed = np.ones(2)
    fixed.flags.writeable = False
    with pytest.warns(UserWarning, match="read-only"):
        mine = rt.from_numpy(fixed)
    mine[0] = 2
    assert fixed[0] == 1
    assert (
        rt.tensor(np.arange(3, dtype=">i4")).tolist() == [0, 1, 2] and rt.tensor(a[::-1]).tolist() == a[::-1].tolist()
    )
    for data, shared in ((a, True), (a[::-1], False), (a[:, 1:], True), (np.float64(3), False), (fixed, False)):
        got = rt.as_tensor(data)
        assert got.tolist() == data.tolist() and (got.dtype is rt.float64)
        assert (got.ndim > 0 and np.shares_memory(got.numpy(), data)) is shared
    odd = np.zeros(3, dtype=[("a", "i1"), ("b", "<f8")])["b"]
    assert rt.as_tensor(odd).tolist() == [0, 0, 0]
    assert rt.as_tensor(a, dtype=rt.float32).dtype is rt.float32 and rt.as_tensor(a, device="meta").is_meta
    assert rt.as_tensor(t) is t and rt.as_tensor(t, dtype=rt.int64).dtype is rt.int64
    assert rt.as_tensor(t, device="meta").is_meta and rt.as_tensor([1, 2], rt.float64).dtype is rt.float64
    with rt.device("meta"):
        assert rt.as_tensor([1.0]).is_meta


def test_asarray() -> None:
    a, t = np.arange(3.0), rt.arange(3.0)
    assert rt.asarray(t) is t and rt.asarray(t, copy=False) is t and rt.asarray(t, copy=True) is not t
    assert rt.asarray(t, copy=True).data_ptr() != t.data_ptr() and rt.asarray(t, dtype=rt.int64).tolist() == [0, 1, 2]
    assert np.shares_memory(rt.asarray(a).numpy(), a) and not np.shares_memory(rt.asarray(a, copy=True).numpy(), a)
    assert np.shares_memory(rt.asarray(a, copy=False).numpy(), a)
    for wrong, kind in (([1.0], "list"), (3, "int")):
        with pytest.raises(errors.InvalidArgumentError, match=f"a {kind} cannot be made a tensor"):
            rt.asarray(wrong, copy=False)
    for given in (a, t):
        with pytest.raises(errors.InvalidArgumentError, match="int64 without a copy"):
            rt.asarray(given, dtype=rt.int64, copy=False)
    assert rt.asarray([], copy=False).shape == (0,) and rt.asarray(rt.ones(0), copy=True).shape == (0,)
    asking = rt.ones(2, requires_grad=True)
    assert rt.asarray(asking) is asking and not rt.asarray(asking, requires_grad=False).requires_grad
    assert rt.asarray(asking * 2).grad_fn is not None and rt.asarray(asking, requires_grad=True) is asking
    assert rt.asarray([1.0], requires_grad=True).requires_grad and not rt.asarray([1.0]).requires_grad
    assert rt.asarray(asking * 2, requires_grad=True).grad_fn is not None
    for options in ({}, {"copy": True}, {"requires_grad": True, "dtype": rt.float64}):
        got = rt.asarray([1.0, 2.0], device="meta", **options)
        assert got.is_meta and got.requires_grad is ("requires_grad" in options)
        assert got.dtype is options.get("dtype", rt.float32) and rt.asarray(t, device="meta").is_meta
    assert rt.asarray(t, device="cpu") is t


def test_buffers() -> None:
    b = bytearray(range(16))
    t = rt.frombuffer(b, dtype=rt.int16)
    assert t.shape == (8,) and t.dtype is rt.int16
    t[0] = 99
    assert b[0] == 99
    assert rt.frombuffer(b, dtype=rt.uint8, count=3, offset=4).tolist() == [4, 5, 6]
    assert rt.frombuffer(b, dtype=rt.uint8, offset=15).tolist() == [15]
    assert rt.frombuffer(b, dtype=rt.int32, count=4).shape == (4,) and rt.frombuffer(
        b, dtype=rt.int32, count=1
    ).shape == (1,)
    assert rt.frombuffer(b, dtype=rt.int32, count=-5).shape == (4,)
    assert rt.frombuffer(memoryview(bytearray(20))[1:], dtype=rt.int32, offset=3).shape == (
        4,
    )  # it lies on a whole place
    assert rt.frombuffer(bytearray(8), dtype=rt.float32, requires_grad=True).requires_grad
    assert not rt.frombuffer(bytearray(8), dtype=rt.float32).requires_grad
    assert rt.frombuffer(np.zeros((2, 2), dtype=np.float32), dtype=rt.float32).shape == (4,)
    for options, text in (
        ({"count": 0}, "must not be 0"), ({"offset": 16}, "minus 1"), ({"offset": -1}, "non-negative"),
        ({"dtype": rt.int32, "offset": 2}, "must be a multiple of element size .4."),
        ({"dtype": rt.int32, "count": 5}, "5 . 4 bytes"),
        ({"dtype": rt.int32, "count": 4, "offset": 4}, "after offset .4 bytes"),
        ({"dtype": rt.int32, "count": 1, "offset": 2}, "not aligned for rustorch.int32"),
    ):  # fmt: skip
        with pytest.raises(errors.InvalidArgumentError, match=text):
            rt.frombuffer(b, **{"dtype": rt.uint8, **options})
    with pytest.raises(errors.InvalidArgumentError, match=r"length .0. and count .-1."):
        rt.frombuffer(bytearray(), dtype=rt.uint8)
    for wrong in ([1], np.zeros((2, 2))[:, :1]):
        with pytest.raises(errors.DTypeError, match="wanted a buffer with its bytes in a row"):
            rt.frombuffer(wrong, dtype=rt.uint8)
    with pytest.warns(UserWarning, match="read-only"):
        t = rt.frombuffer(bytes(range(12)), dtype=rt.int16, count=2, offset=4)
    assert t.tolist() == [4 + 5 * 256, 6 + 7 * 256]


def test_capsules() -> None:
    class Old:
        """Of before versions."""

        def __init__(self, t: Any) -> None:
            self.t = t

        def __dlpack__(self) -> Any:
            return self.t.__dlpack__()

    t = rt.arange(3.0)
    for source in (
        t,
        t.numpy(),
        Old(t),
        t.__dlpack__(),
        t.__dlpack__(max_version=(1, 0)),
        t.__dlpack__(max_version=(0, 8)),
    ):
        got = rt.from_dlpack(source)
        assert got.tolist() == [0, 1, 2] and got.data_ptr() == t.data_ptr() and not got.requires_grad
    assert "dltensor_versioned" in repr(t.__dlpack__(max_version=(1, 0)))
    for capsule in (t.__dlpack__(), t.__dlpack__(max_version=(0, 9))):
        assert '"dltensor"' in repr(capsule)
    assert rt.from_dlpack(t.__dlpack__(copy=True)).data_ptr() != t.data_ptr()
    assert t.__dlpack__(dl_device=(1, 0)) is not None and t.__dlpack_device__() == (1, 0)
    used = t.__dlpack__()
    rt.from_dlpack(used)
    with pytest.raises(errors.InvalidArgumentError, match="consumed already"):
        rt.from_dlpack(used)
    with pytest.raises(errors.DTypeError, match="with __dlpack__, got list"):
        rt.from_dlpack([1])
    with pytest.raises(errors.InvalidArgumentError, match=r"only the CPU .1, 0. can be exported to, got \(2, 0\)"):
        t.__dlpack__(dl_device=(2, 0))
    asking = rt.ones(2, requires_grad=True)
    with pytest.raises(errors.AutogradError, match="require gradient"):
        asking.__dlpack__()
    assert not rt.from_dlpack(asking).requires_grad
    with pytest.raises(ValueError, match="meta"):
        rt.ones(1, device="meta").__dlpack_device__()


# ---- TensorBoard ----


def test_events_get_arrays(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib

    calls: list[Any] = []

    class Writer:
        def __getattribute__(self, name: str) -> Any:
            return object.__getattribute__(self, name)

    def method(name: str) -> Any:
        def f(self: Any, *args: Any, **kwargs: Any) -> Any:
            """Adds."""
            calls.append((name, args, kwargs))
            return name

        return f

    names = ("add_scalar", "add_scalars", "add_histogram", "add_image", "add_images", "add_video", "add_audio",
             "add_embedding", "add_pr_curve", "add_mesh", "add_hparams", "add_text", "add_graph")  # fmt: skip
    for name in names:
        setattr(Writer, name, method(name))
    package: Any = types.ModuleType("tensorboardX")
    package.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "tensorboardX", package)
    monkeypatch.delitem(sys.modules, "rustorch.utils.tensorboard", raising=False)
    try:
        w = importlib.import_module("rustorch.utils.tensorboard").SummaryWriter()
        assert isinstance(w, Writer)
        t = rt.ones(2, requires_grad=True)
        for name in names[:-2]:
            assert (
                getattr(w, name)("tag", t, {"a": [t, (t, 3)]}, k=t) == name
                and getattr(type(w), name).__doc__ == "Adds."
            )
            called, (tag, plain, nested), options = calls[-1]
            assert called == name == getattr(type(w), name).__name__ and tag == "tag" and type(plain) is np.ndarray
            assert type(nested["a"]) is list and type(nested["a"][1]) is tuple and nested["a"][1][1] == 3
            assert type(nested["a"][0]) is type(nested["a"][1][0]) is type(options["k"]) is np.ndarray
        with pytest.raises(errors.UnsupportedError, match="add_graph"):
            w.add_graph(nn.ReLU())
    finally:
        sys.modules.pop("rustorch.utils.tensorboard", None)
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ModuleNotFoundError, match="package tensorboardX, which is not installed") as e:
        importlib.import_module("rustorch.utils.tensorboard")
    assert e.value.name == "tensorboardX" and e.value.__suppress_context__


# ---- devices ----


def test_devices() -> None:
    d = rt.device
    for given, kind, index, text in (
        (("cpu",), "cpu", None, "cpu"), ((), "cpu", None, "cpu"), (("cuda:10",), "cuda", 10, "cuda:10"),
        ((3,), "cuda", 3, "cuda:3"),
        (("cuda", 1), "cuda", 1, "cuda:1"), ((d("cuda:1"),), "cuda", 1, "cuda:1"),
        ((d("cuda:1"), 2), "cuda", 2, "cuda:2"),
        (("meta", 0), "meta", 0, "meta:0"), ((d("cpu"), 0), "cpu", 0, "cpu:0"),
    ):  # fmt: skip
        it = d(*given)
        assert (it.type, it.index, str(it)) == (kind, index, text) and it == d(text) and hash(it) == hash(d(text))
        assert repr(it) == f"device(type='{kind}'" + (")" if index is None else f", index={index})")
        assert pickle.loads(pickle.dumps(it)) == copy.deepcopy(it) == it
    assert (
        d("cuda", index=1) == d(type="cuda:1")
        and d("cuda") != d("cuda:0")
        and d("cpu") != "cpu"
        and d("cpu") != d("meta")
    )
    for name in ("mps", "xpu", "mtia", "hpu", "xla", "privateuseone"):
        assert d(name).type == name
    for wrong in ("cuda:", "cuda:-1", "cuda:x", "cuda:²", "cuda:1:1"):
        with pytest.raises(errors.RustorchError, match="Invalid device string"):
            d(wrong)
    with pytest.raises(errors.RustorchError, match="Invalid device string"):
        d("cuda:1", 1)
    with pytest.raises(errors.RustorchError, match=r"Expected one of cpu, cuda, .* string: gpu"):
        d("gpu")
    for wrong in (None, 1.5, ["cpu"]):
        with pytest.raises(errors.DTypeError, match="wanted a name such as 'cpu'"):
            d(wrong)
    with pytest.raises(errors.UnsupportedError, match="there is no device 'cuda:1' here"), d("cuda:1"):
        pass
    with d("meta") as outer:
        assert outer == d("meta") and rt.ones(1).is_meta
        with d("cpu"):
            assert not rt.ones(1).is_meta
            with outer:
                assert rt.ones(1).is_meta
            assert not rt.ones(1).is_meta
        assert rt.ones(1).is_meta
    assert not rt.ones(1).is_meta
    for given, place in (("meta", "meta"), (d("cpu"), "cpu"), ("meta", "meta"), (None, "cpu")):
        rt.set_default_device(given)
        try:
            assert rt.zeros(1).device.type == rt.get_default_device().type == rt.tensor([1.0]).device.type == place
        finally:
            rt.set_default_device(None)
    t = rt.ones(2)
    assert t.to("cpu") is t and t.to("meta").is_meta and t.to("meta").to("meta").shape == (2,)
    with pytest.raises(NotImplementedError, match=r"Cannot copy out of meta tensor; no data"):
        t.to("meta").to("cpu")
    asking = rt.ones(2, 3, requires_grad=True)
    gone = (asking * 2).to("meta")
    assert gone.is_meta and gone.requires_grad and gone.shape == (2, 3)
    with rt.no_grad():
        assert not asking.to("meta").requires_grad
    with pytest.raises(errors.UnsupportedError, match="no elements that could go back"):
        gone.backward(rt.ones(2, 3, device="meta"))


def test_modules_on_other_devices() -> None:
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    weight = net[0].weight
    weight.requires_grad_(False)
    net[0].bias.grad = rt.ones(3)
    assert net.to("meta") is net and net[0].weight is not weight and not weight.is_meta
    assert all(t.is_meta for t in net.state_dict().values()) and type(net[0].weight) is nn.Parameter
    assert not net[0].weight.requires_grad and net[0].bias.requires_grad and net[0].bias.grad.is_meta
    assert len(list(net.parameters())) == 4 and net[0](rt.ones(5, 2, device="meta")).shape == (5, 3)
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        net.to("cpu")
    with pytest.raises(NotImplementedError, match="Cannot copy out of meta tensor"):
        net.cpu()
    net.to_empty(device="cpu", recurse=False)
    assert net[0].weight.is_meta
    net.to_empty(device="cpu")
    assert not any(t.is_meta for t in net.state_dict().values()) and net[0].weight.shape == (3, 2)
    lazy = nn.LazyLinear(3).to("meta")
    assert isinstance(lazy.weight, nn.UninitializedParameter) and lazy.weight.is_meta and lazy.weight.requires_grad
    assert nn.LazyLinear(3).requires_grad_(False).to("meta").weight.requires_grad is False
    c = nn.Linear(1, 1).to(rt.complex64)
    assert c.weight.dtype is c.bias.dtype is rt.complex64 and c.to(rt.complex128).weight.dtype is rt.complex128
    for wrong in (rt.int64, rt.bool):
        with pytest.raises(TypeError, match="floating point or complex dtypes, but got desired dtype=rustorch"):
            c.to(wrong)
    norm = nn.BatchNorm1d(2).to("meta", rt.float64)
    assert norm.weight.dtype is rt.float64 and norm.num_batches_tracked.dtype is rt.int64 and norm.weight.is_meta
    assert norm.num_batches_tracked.is_meta
    plain = nn.Linear(1, 1)
    before = plain.weight.data_ptr()
    assert plain.to("cpu").weight.data_ptr() == plain.cpu().weight.data_ptr() == before
    typed = nn.BatchNorm1d(2).type(rt.float64)
    assert {t.dtype for t in typed.state_dict().values()} == {rt.float64}


def test_indices_of_other_kinds() -> None:
    far = rt.zeros(3, 4, device="meta")
    whole, mask = rt.tensor([0, 2]), rt.tensor([True, False, True])
    assert far[whole].shape == far[whole.to("meta")].shape == (2, 4) and far[:, whole].shape == (3, 2)
    assert far[mask].shape == far[mask.to(rt.uint8)].shape == (2, 4) and far[None, 1, ..., 1:].shape == (1, 3)
    assert far[rt.ones(3, 4, dtype=rt.bool)].shape == (12,) and far[:, [True, False, False, True], None].shape == (
        3,
        2,
        1,
    )
    assert far[whole].is_meta and far[1].is_meta and far[mask].is_meta
    for wrong in (rt.tensor(1.0), rt.tensor(1j), rt.tensor([1j])):
        with pytest.raises(errors.IndexOutOfRangeError, match="long, int, byte or bool tensors, got rustorch"):
            rt.zeros(3)[wrong]
    c = rt.zeros(3, dtype=rt.complex64)
    c[0], c[rt.tensor([1, 2])], c[mask] = 1j, 2 + 1j, 5j
    assert c.tolist() == [5j, 2 + 1j, 5j]
    f = rt.zeros(3)
    f[whole] = 2
    f[1] = True
    assert f.tolist() == [2, 1, 2]
    f[rt.tensor([0, 1])] = [7, 8]
    assert f.tolist() == [7, 8, 2]
    wide = rt.zeros(2, 2, dtype=rt.float64)
    wide[rt.tensor([True, False])] = rt.tensor(1.5)
    wide[rt.tensor([[False, False], [False, True]])] = rt.tensor([[2.5]])
    assert wide.tolist() == [[1.5, 1.5], [0, 2.5]]
    for text, index in (("too many indices for tensor of dimension 1", (0, 0)), ("a single ellipsis", (..., ...)),
                        ("index 7 out of range for tensor of size", 7),
                        (f"index {10**30} is out of bounds for dimension 0 with size 3", 10**30),
                        (f"index {10**30} is out of bounds for dimension 1 with size 3", (None, 10**30))):  # fmt: skip
        with pytest.raises(errors.IndexOutOfRangeError, match=text):
            f[index]
    with pytest.raises(errors.DTypeError, match="got str"):
        f["a"]
    assert f[[]].shape == (0,) and f[rt.tensor([], dtype=rt.int64)].shape == (0,)
    with pytest.raises(errors.IndexOutOfRangeError):
        f[rt.tensor([])]
    holds_itself: list[Any] = []
    holds_itself.append(holds_itself)
    with pytest.raises(errors.RustorchError):
        f[holds_itself]


# ---- gradients ----


def test_numbers_of_parts_are_checked() -> None:
    check, twice = rt.autograd.gradcheck, rt.autograd.gradgradcheck
    z = rt.tensor([1 + 2j, 0.5 - 1j], dtype=rt.complex128, requires_grad=True)
    x = rt.tensor([1.0, 2.0], dtype=rt.float64, requires_grad=True)
    assert check(lambda a: a * a, z) is True and check(lambda a, b: (a * b, a.abs()), (z, x)) is True
    assert check(lambda a: rt.view_as_real(a), (z,)) and check(lambda a: rt.complex(a, a * a), x)
    assert twice(lambda a: a**3, x) is True and twice(
        lambda a: a**3, x, rt.ones(2, dtype=rt.float64, requires_grad=True)
    )

    class Wrong(rt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, a: Any) -> Any:
            return a * a

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            return g * 3

    for given in (z, x):
        with pytest.raises(errors.AutogradError, match="Jacobian mismatch for output 0 with respect to input 0"):
            check(Wrong.apply, given)
        assert check(Wrong.apply, (given,), raise_exception=False) is False
    assert check(lambda a: a * a.detach(), x, raise_exception=False) is False
    assert check(lambda a: (a.sum(), a > 0), x) is True  # what has no gradient is passed over
    assert check(lambda a, n: a * n, (x, 3)) is True
    # |analytic - numeric| <= atol + rtol * |numeric|: here 3 and 2, then 3 and 4.
    for atol, rtol, fine in (
        (1.01, 0.0, True),
        (0.99, 0.0, False),
        (0.0, 0.51, True),
        (0.0, 0.4, False),
        (0.5, 0.26, True),
    ):
        assert check(Wrong.apply, x, atol=atol, rtol=rtol, raise_exception=False) is fine
    steep = rt.tensor([0.0], dtype=rt.float64, requires_grad=True)
    assert check(lambda a: (a - 0.01).abs(), steep) and not check(
        lambda a: (a - 0.01).abs(), steep, eps=0.1, raise_exception=False
    )
    with pytest.raises(errors.UnsupportedError, match="is_grads_batched is not supported"):
        rt.autograd.grad(x.sum(), x, is_grads_batched=True)
    assert x.grad is None and z.grad is None


def test_grad_and_its_errors() -> None:
    grad = rt.autograd.grad
    x, y = rt.tensor([1.0, 2.0], requires_grad=True), rt.tensor([3.0], requires_grad=True)
    with pytest.raises(errors.AutogradError, match="non-empty inputs"):
        grad(x.sum(), [])
    with pytest.raises(errors.AutogradError, match="got 1 tensors and 2 gradients"):
        grad([x], [x], [rt.ones(2), rt.ones(2)])
    with pytest.raises(errors.AutogradError, match="backward: got 2 tensors and 1 gradients"):
        rt.autograd.backward([x.sum(), y.sum()], [rt.ones(())])
    for options in ({}, {"allow_unused": False}):
        with pytest.raises(errors.AutogradError, match="not have been used in the graph"):
            grad(x.sum(), [x, y], **options)
    assert grad(x.sum(), [x, y], allow_unused=True)[1] is None
    for allowed in (None, True):
        assert grad(x.sum(), [x, y], allow_unused=allowed, materialize_grads=True)[1].tolist() == [0.0]
    rt.autograd.backward([x.sum(), y.sum()], [rt.tensor(2.0), rt.tensor(5.0)], inputs=[y])
    assert x.grad is None and y.grad.tolist() == [5]
    rt.autograd.backward(x * 1, rt.tensor([1.0, 7.0]), inputs=x)
    assert x.grad.tolist() == [1, 7]
    v = rt.autograd.Variable(rt.ones(1))
    assert not v.requires_grad and rt.autograd.Variable(rt.ones(1), True).requires_grad
    with pytest.raises(errors.DTypeError, match="must be a Tensor, not list"):
        rt.autograd.Variable([1.0])
    assert rt.autograd.profiler.record_function is rt.profiler.record_function
    with pytest.raises(AttributeError, match=r"module .rustorch.autograd. has no attribute 'nothing'"):
        rt.autograd.nothing  # noqa: B018


def test_nodes_of_the_graph() -> None:
    x = rt.ones(2, requires_grad=True)
    y = (x * 3).sum()
    node = y.grad_fn
    assert x.grad_fn is None and type(node).__name__ == node.name() == "SumBackward0" and y.grad_fn is node
    product, place = node.next_functions[0]
    assert (
        place == 0 and product.name() == "MulBackward0" and [n for n, _ in product.next_functions][1:] in ([None], [])
    )
    leaf = product.next_functions[0][0]
    assert leaf.variable is x or leaf.variable.data_ptr() == x.data_ptr()
    with pytest.raises(AttributeError, match="'MulBackward0' object has no attribute 'variable'"):
        product.variable  # noqa: B018
    node.metadata["note"] = 1
    assert y.grad_fn.metadata == {"note": 1} and product.metadata == {}
    assert repr(node) == f"<SumBackward0 object at {hex(id(node))}>"
    log: list[Any] = []
    first = product.register_prehook(lambda outs: log.append([o.tolist() for o in outs]))
    second = product.register_hook(lambda ins, outs: (ins[0] * 10, *ins[1:]))
    assert second.id != first.id and isinstance(first.id, int)
    y.backward(retain_graph=True)
    assert x.grad.tolist() == [30, 30] and log == [[[1.0, 1.0]]]
    first.remove(), second.remove()
    y.backward(retain_graph=True)
    assert x.grad.tolist() == [33, 33] and len(log) == 1
    for bad, text in (
        (lambda ins, outs: [ins[0]], "expected tuple, but hook returned 'list'"),
        (lambda ins, outs: (None,) * 9, "got 9, but expected"),
        (lambda ins, outs: ("x", *ins[1:]), "expected Variable, but hook returned 'str'"),
    ):
        with product.register_hook(bad), pytest.raises(errors.RustorchError, match=text):
            y.backward(retain_graph=True)
    with x.register_hook(lambda g: 3), pytest.raises(errors.DTypeError, match="must return a Tensor or None, got int"):
        y.backward(retain_graph=True)
    assert x.grad.tolist() == [33, 33]


# ---- transforms ----


def test_refusals_of_vmap_and_jvp() -> None:
    a = rt.arange(6.0).reshape(3, 2)
    vmap, jvp, stack = rt.vmap, rt.func.jvp, rt.func.stack_module_state
    for call, error, text in (
        (lambda: vmap(rt.exp, chunk_size=0), ValueError, r"None or greater than 0. \(got 0\)"),
        (lambda: vmap(rt.exp, randomness="never"), errors.AutogradError, "got 'never'"),
        (lambda: vmap(rt.add, (0, 0))(a, 2.0), ValueError, "in_dim=0 for an input of type float"),
        (lambda: vmap(rt.add)(a, a[:2]), errors.AutogradError, r"one size along the mapped dimensions, got \[2, 3\]"),
        (lambda: vmap(rt.add, None)(a, a), errors.AutogradError, "an argument to map over"),
        (lambda: vmap(rt.exp)(a[:0]), errors.AutogradError, "has size 0"),
        (lambda: vmap(rt.rand_like)(a), errors.AutogradError, "drew random numbers"),
        (lambda: vmap(rt.exp, 2)(a), errors.AutogradError, "dimension 2 is out of range of a tensor with 2"),
        (lambda: vmap(rt.exp, -3)(a), errors.AutogradError, "dimension -3 is out of range"),
        (lambda: vmap(rt.add, (0,))(a, a), errors.AutogradError, "in_dims has 1 entries, wanted 2"),
        (lambda: vmap(lambda r: (r, r), out_dims=(0,))(a), errors.AutogradError, "out_dims has 1 entries, wanted 2"),
        (lambda: vmap(lambda r: r, out_dims=None)(a), ValueError, "differs from call to call"),
        (lambda: vmap(lambda r: 1)(a), ValueError, "must only return Tensors, got <class 'int'>"),
        (lambda: jvp(rt.exp, a, a), errors.AutogradError, "wanted two tuples of one length"),
        (lambda: jvp(rt.exp, (a,), [a]), errors.AutogradError, "wanted two tuples of one length"),
        (lambda: jvp(rt.exp, (a,), (a, a)), errors.AutogradError, "wanted two tuples of one length"),
        (lambda: stack([]), errors.AutogradError, "at least one module"),
        (lambda: stack([nn.Linear(1, 1), nn.ReLU()]), errors.AutogradError, "all be of one class"),
    ):
        with pytest.raises(error, match=text):
            call()
    two = vmap(lambda t, k: {"s": t["a"] + t["b"][0] * k}, ({"a": 0, "b": (1,)}, None), {"s": 1}, chunk_size=2)
    assert two({"a": a, "b": (a.T,)}, 2)["s"].tolist() == (3 * a).T.tolist()
    assert vmap(rt.add, [0, None])(a, a[0]).tolist() == (a + a[0]).tolist()
    assert vmap(lambda r, k=1: r * k, -1)(a, k=5).tolist() == (5 * a.T).tolist()
    assert vmap(rt.neg, out_dims=-1)(a).tolist() == (-a.T).tolist() and vmap(rt.neg, -2)(a).tolist() == (-a).tolist()
    nan = rt.tensor([1.0, math.nan])
    assert vmap(lambda r: nan * 1, out_dims=None)(a)[0] == 1
    with pytest.raises(ValueError, match="differs"):
        vmap(lambda r: rt.where(r[0] > 1, nan, nan + 1), out_dims=None)(a)
    rt.manual_seed(3)
    state = rt.get_rng_state()
    vmap(rt.neg)(a)
    assert rt.equal(state, rt.get_rng_state())
    same = vmap(lambda r: rt.rand(4), randomness="same")(a)
    rt.manual_seed(3)
    assert [r.tolist() for r in same] == [rt.rand(4).tolist()] * 3
    models = [nn.BatchNorm1d(2) for _ in range(3)]
    for i, m in enumerate(models):
        m.running_mean.fill_(i)
        m.bias.requires_grad_(False)
    params, buffers = stack(iter(models))
    assert buffers["running_mean"].tolist() == [[0, 0], [1, 1], [2, 2]] and not params["bias"].requires_grad
    assert params["weight"].requires_grad and params["weight"].is_leaf and list(params) == ["weight", "bias"]


def test_products_with_tangents() -> None:
    x, v = rt.tensor([1.0, 2.0]), rt.tensor([1.0, 10.0])
    Pair = namedtuple("Pair", "a b")
    value, product, aux = rt.func.jvp(lambda t: (t * t, Pair(t.sum(), [t, {"k": t * 2}, 3])), (x,), (v,), has_aux=True)
    assert value.tolist() == [1, 4] and product.tolist() == [2, 40] and type(aux) is Pair and aux.a == 3
    assert type(aux.b) is list and aux.b[2] == 3 and not any(t.requires_grad for t in (value, product, aux.a, aux.b[0]))
    assert not aux.b[1]["k"].requires_grad
    asking = v.clone().requires_grad_()
    got = rt.func.jvp(lambda t: t**3, (x,), (asking,))[1]
    assert rt.autograd.grad(got.sum(), asking)[0].tolist() == [3, 12]
    with rt.no_grad():
        assert not rt.func.jvp(lambda t: t**3, (x,), (asking,))[1].requires_grad
    assert rt.func.jvp(lambda a, b: a * b, (x, v), (rt.zeros(2), rt.ones(2)))[1].tolist() == [1, 2]
    assert rt.func.jacfwd(lambda a, b: a * b, 1)(x, v).tolist() == [[1, 0], [0, 2]]
    assert rt.func.jvp(lambda t: rt.ones(2), (x,), (v,))[1].tolist() == [0, 0]
    out, pull = rt.func.vjp(lambda t: t * asking, x)
    assert out.requires_grad and pull(rt.ones(2))[0].requires_grad and pull(rt.ones(2))[0].tolist() == [1, 10]
    seed = rt.ones(2, requires_grad=True)
    assert rt.func.vjp(lambda t: t * 2, x)[1](seed)[0].requires_grad


# ---- files ----


def test_what_was_given_to_be_made_from_files() -> None:
    s = rt.serialization
    s.clear_safe_globals()
    s.add_safe_globals([int, str])
    with s.safe_globals([str, list]):
        assert s.get_safe_globals() == [int, str, list]
        s.add_safe_globals([dict])
    got = s.get_safe_globals()
    assert got == [int, str]
    got.append(3)
    assert s.get_safe_globals() == [int, str]
    s.clear_safe_globals()
    assert s.get_safe_globals() == []


def test_where_files_are_loaded_to() -> None:
    f = io.BytesIO()
    rt.save({"a": rt.ones(1)}, f)
    for place in (None, "cpu", rt.device("cpu"), {"cuda:0": "cpu"}, lambda storage, place: storage):
        f.seek(0)
        assert (
            rt.load(f, place)["a"].tolist() == [1] and rt.load(io.BytesIO(f.getvalue()), map_location=place)["a"] == 1
        )
    for place in ("meta", rt.device("meta")):
        with pytest.raises(errors.UnsupportedError, match="map_location='meta' is not supported"):
            rt.load(io.BytesIO(f.getvalue()), place)
    with pytest.raises(errors.UnsupportedError, match="there is no device 'cuda'"):
        rt.load(io.BytesIO(f.getvalue()), "cuda")


# ---- optimizers, processes ----


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad", "RMSprop", "Adadelta"])
def test_complex_parameters_that_come_later(name: str) -> None:
    """In a group that is added, in a copy, and with a state that was loaded."""
    real, z = rt.ones(2, requires_grad=True), rt.tensor([1 + 2j, 3 - 1j], requires_grad=True)
    pair = rt.view_as_real(z.detach()).clone().requires_grad_()
    opts = [getattr(rt.optim, name)([real], lr=0.1) for _ in range(2)]
    assert opts[0]._patch_step_function() is None
    for opt, p in zip(opts, (z, pair)):
        opt.add_param_group({"params": p, "lr": 0.2})
    for i in range(3):
        for p in (z, pair):
            p.grad = None
        (z.real**2 + z.imag * 3).sum().backward()
        (pair[..., 0] ** 2 + pair[..., 1] * 3).sum().backward()
        for opt in opts:
            opt.step()
        np.testing.assert_allclose(rt.view_as_real(z.detach()).numpy(), pair.detach().numpy(), rtol=1e-6)
        if i == 1:
            opts[0] = pickle.loads(pickle.dumps(opts[0]))
            z = opts[0].param_groups[1]["params"][0]
            assert z.is_complex() and z.requires_grad


def sends(i: int, queue: Any, *more: Any) -> None:
    queue.put((i, *more))


def exits(i: int, codes: Any) -> None:
    sys.exit(codes[i])


def test_processes_of_a_function() -> None:
    mp = rt.multiprocessing
    queue = mp.get_context("fork").SimpleQueue()
    assert mp.spawn(sends, (queue, "a"), 2, start_method="fork") is None
    assert sorted(queue.get() for _ in range(2)) == [(0, "a"), (1, "a")]
    processes = mp.spawn(sends, (queue,), join=False, start_method="fork")
    assert len(processes) == 1 and queue.get() == (0,) and processes[0].join() is None
    for codes, text in (
        ((0, 3), "process 1 terminated with exit code 3"),
        ((2, 0), "process 0 terminated with exit code 2"),
    ):
        with pytest.raises(errors.RustorchError, match=text):
            mp.spawn(exits, (codes,), 2, start_method="fork")


# ---- at the bounds of what schedulers take ----


def two_groups(kind: Any = rt.optim.SGD, **options: Any) -> Any:
    a, b = (rt.ones(1, requires_grad=True) for _ in range(2))
    return kind([{"params": [a]}, {"params": [b], "lr": 1.0}], lr=0.5, **options)


@pytest.mark.parametrize(
    ("make", "text"),
    [
        ("S.ConstantLR(o, -0.01)", "between 0 and 1, got -0.01"), ("S.ConstantLR(o, 1.01)", "got 1.01"),
        ("S.ConstantLR(o, 0.0)", ""), ("S.ConstantLR(o, 1.0)", ""),
        ("S.LinearLR(o, 1.01)", "greater than 0 and less or equal to 1, got 1.01"), ("S.LinearLR(o, 0)", "got 0"),
        ("S.LinearLR(o, 1.0, 0.0)", ""), ("S.LinearLR(o, 0.01, 1.0)", ""),
        ("S.LinearLR(o, 0.5, -0.01)", "between 0 and 1, got -0.01"), ("S.LinearLR(o, 0.5, 1.01)", "got 1.01"),
        ("S.CosineAnnealingWarmRestarts(o, 1.0)", "Expected positive integer T_0, but got 1.0"),
        ("S.CosineAnnealingWarmRestarts(o, 1)", ""), ("S.CosineAnnealingWarmRestarts(o, -1)", "but got -1"),
        ("S.CosineAnnealingWarmRestarts(o, 1, 1.5)", "Expected integer T_mult >= 1, but got 1.5"),
        ("S.CosineAnnealingWarmRestarts(o, 1, 1, 2)", ""),
        ("S.CosineAnnealingWarmRestarts(o, 1, 1, None)", "but got None of type <class 'NoneType'>"),
        ("S.CosineAnnealingWarmRestarts(o, 3).step(-0.5)", "Expected non-negative epoch, but got -0.5"),
        ("S.CosineAnnealingWarmRestarts(o, 3).step(0)", ""),
        ("S.OneCycleLR(o, 1.0, 5.0)", "Expected positive integer total_steps, but got 5.0"),
        ("S.OneCycleLR(o, 1.0, None, 2)", "You must define either total_steps"),
        ("S.OneCycleLR(o, 1.0, None, None, 2)", "You must define either total_steps"),
        ("S.OneCycleLR(o, 1.0, None, 0, 2)", "positive integer epochs, but got 0"),
        ("S.OneCycleLR(o, 1.0, None, 2, 0)", "positive integer steps_per_epoch, but got 0"),
        ("S.OneCycleLR(o, 1.0, None, 2, 2.0)", "positive integer steps_per_epoch, but got 2.0"),
        ("S.OneCycleLR(o, 1.0, 5, pct_start=1)", "Expected float between 0 and 1 pct_start, but got 1"),
        ("S.OneCycleLR(o, 1.0, 5, pct_start=-0.1)", "but got -0.1"),
        ("S.OneCycleLR(o, 1.0, 5, pct_start=1.1)", "got 1.1"),
        ("S.OneCycleLR(o, 1.0, 5, pct_start=1.0)", ""), ("S.OneCycleLR(o, 1.0, 5, pct_start=0.0)", ""),
        ("S.OneCycleLR(o, (1.0, 2.0), 5)", ""),
        ("S.OneCycleLR(o, (1.0,), 5)", "max_lr has 1 values, param_groups has 2"),
        ("S.OneCycleLR(o, 1.0, 5, base_momentum=[0.1])", "base_momentum has 1 values"),
        ("S.OneCycleLR(o, 1.0, 5, max_momentum=[0.1])", "max_momentum has 1 values"),
        ("S.CyclicLR(o, 0.1, [1.0])", "max_lr has 1 values"), ("S.CyclicLR(o, 0.1, 1.0, mode='no', scale_fn=abs)", ""),
        ("S.CyclicLR(no_momentum(), 0.1, 1.0)", "must support momentum or beta1"),
        ("S.CyclicLR(no_momentum(), 0.1, 1.0, cycle_momentum=False)", ""),
        ("S.ReduceLROnPlateau(o, factor=1.0)", "Factor should be < 1.0, got 1.0"),
        ("S.ReduceLROnPlateau(o, factor=0.99)", ""),
        ("S.ReduceLROnPlateau(o, min_lr=(0.1, 0.2, 0.3))", "min_lr has 3 values, param_groups has 2"),
        ("S.SequentialLR(o, [S.StepLR(o, 1), S.StepLR(o, 1)], [])", "got 2 schedulers and 0 milestones"),
        ("S.SequentialLR(o, [S.StepLR(o, 1), S.ReduceLROnPlateau(o)], [1])", "but got one at index 1"),
        ("S.ChainedScheduler([S.StepLR(o, 1), S.StepLR(two_groups(), 1)])", "StepLR at index 1 has a different one"),
        ("S.ChainedScheduler([S.StepLR(o, 1)], two_groups())", "at index 0 has a different one"),
        ("S.ChainedScheduler((S.StepLR(o, 1), S.StepLR(o, 1)), o)", ""), ("S.LambdaLR(o, (abs, abs))", ""),
    ],
)  # fmt: skip
def test_bounds_of_what_schedulers_take(make: str, text: str) -> None:
    def no_momentum() -> Any:
        return two_groups(rt.optim.Adagrad)

    names = {
        "S": rt.optim.lr_scheduler,
        "o": two_groups(momentum=0.5),
        "two_groups": two_groups,
        "no_momentum": no_momentum,
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if text:
            with pytest.raises(errors.InvalidArgumentError, match=text):
                eval(make, names)
        else:
            eval(make, names)


def test_what_schedulers_leave_alone() -> None:
    S = rt.optim.lr_scheduler
    opt = two_groups()
    opt.param_groups[1]["initial_lr"] = 3.0
    assert S.LambdaLR(opt, lambda e: 0.5).base_lrs == [0.5, 3.0] and [g["lr"] for g in opt.param_groups] == [0.25, 1.5]
    rate = rt.tensor(0.5)
    held = rt.optim.SGD([rt.ones(1, requires_grad=True)], lr=rate)
    for make in (
        lambda: S.MultiplicativeLR(held, lambda e: 0.5), lambda: S.CosineAnnealingLR(held, 3), lambda: S.LinearLR(held),
    ):  # fmt: skip
        scheduler = make()
        kept = scheduler.get_last_lr()[0]
        before = kept.item()
        held.step(), scheduler.step()
        assert held.param_groups[0]["lr"] is rate and kept.item() == before != rate.item()
        assert held.param_groups[0]["initial_lr"] is not rate and scheduler.base_lrs[0].item() == 0.5
    cyclic = rt.optim.SGD([rt.ones(1, requires_grad=True)], lr=rate, momentum=0.5)
    S.CyclicLR(cyclic, 0.125, 1.0)
    assert cyclic.param_groups[0]["lr"] is rate and rate.item() == 0.125
    state = S.StepLR(two_groups(), 3).state_dict()
    assert "optimizer" not in state and state["last_epoch"] == 0 and state["_step_count"] == 1
    loaded = S.StepLR(two_groups(), 5)
    own = loaded.optimizer
    loaded.load_state_dict({**state, "optimizer": None, "last_epoch": 7})
    assert loaded.optimizer is own and (loaded.last_epoch, loaded.step_size) == (7, 3)
    for twice in (False, True):  # the warning comes with the first step only
        opt = two_groups()
        scheduler = S.StepLR(opt, 1)
        opt.step()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scheduler.step()
            if twice:
                scheduler.step()
    # A fractional epoch is kept as a whole one; with one length of all cycles too.
    r = S.CosineAnnealingWarmRestarts(two_groups(), 4)
    for epoch, cur in ((3, 3), (4, 0), (9, 1), (9.5, 1.5), (3.5, 3.5)):
        r.step(epoch)
        assert (r.T_cur, r.T_i, r.last_epoch) == (cur, 4, math.floor(epoch))
    r.step()
    assert (r.T_cur, r.last_epoch) == (0.5, 4)


def test_figures_at_the_threshold() -> None:
    S = rt.optim.lr_scheduler
    for mode, kind, first, same, better in (
        ("min", "abs", 3.0, 2.5, 2.49), ("max", "abs", 3.0, 3.5, 3.51),
        ("min", "rel", 4.0, 2.0, 1.99), ("max", "rel", 4.0, 6.0, 6.01),
    ):  # fmt: skip
        for value, want in ((same, 0.25), (better, 0.5)):
            p = S.ReduceLROnPlateau(two_groups(), mode, 0.5, 0, 0.5, kind)
            p.step(first)
            p.step(rt.tensor(value))
            assert p.optimizer.param_groups[0]["lr"] == want == p.get_last_lr()[0] and p.last_epoch == 2
            assert p.best == pytest.approx(first if want == 0.25 else value)
    p = S.ReduceLROnPlateau(two_groups(), patience=0, cooldown=1)
    assert p.in_cooldown is False and p.get_last_lr() == [0.5, 1.0] and p.last_epoch == 0
    p.step(1.0), p.step(1.0)
    assert p.in_cooldown is True and p.num_bad_epochs == 0
    with pytest.warns(UserWarning, match="epoch parameter"):
        p.step(1.0, 7)
    assert p.in_cooldown is False and p.last_epoch == 7


# ---- what single faults have shown ----


@pytest.mark.parametrize(
    ("sizes", "steps", "apart"),
    [((2, 3), (3, 1), True), ((2, 3), (2, 1), False), ((3, 2), (1, 2), False), ((3, 2), (1, 3), True),
     ((2,), (0,), False), ((1, 4), (0, 1), True), ((), (), True), ((2, 2, 2), (1, 2, 4), True),
     ((2, 2, 2), (1, 2, 3), False)],
)  # fmt: skip
def test_places_of_their_own_in_files(sizes: Any, steps: Any, apart: bool) -> None:
    t = rt.arange(20.0).as_strided(sizes, steps)
    f = io.BytesIO()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rt.save([t, rt.arange(3)], f)
    f.seek(0)
    got = rt.load(f)[0]
    kept = apart or steps == (0,)  # one element that is repeated is kept as such
    assert got.tolist() == t.tolist() and (len(said) == 0) is kept and not got._is_view()
    assert got.stride() == (t.stride() if kept else rt.ones(sizes).stride())


def test_hooks_after_a_failure_see_the_last_result() -> None:
    net, seen = nn.Identity(), []

    def fails(*args: Any) -> None:
        raise KeyError

    net.register_forward_hook(fails)
    net.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    net.register_forward_hook(lambda m, args, out: out + 1, always_call=True)
    net.register_forward_hook(lambda m, args, out: seen.append(out), always_call=True)
    with pytest.raises(KeyError):
        net(5)
    assert seen == [5, 6]


def test_what_does_not_meet_in_memory_is_apart_in_files() -> None:
    base = rt.arange(20.0)
    f = io.BytesIO()
    rt.save([base[:4], base[2:6], base[5:7], base[10:12], base[14:16], base[15:18]], f)
    f.seek(0)
    got = rt.load(f)
    assert [t.untyped_storage().nbytes() // 4 for t in got] == [7, 7, 7, 2, 4, 4]
    assert [t.storage_offset() for t in got] == [0, 2, 5, 0, 0, 1] and got[2].tolist() == [5, 6]
    f = io.BytesIO()
    rt.save([base[:10], base[2:4], base[6:8], base[10:14], base[14:16]], f)  # within the first, and side by side
    f.seek(0)
    assert [t.untyped_storage().nbytes() // 4 for t in rt.load(f)] == [10, 10, 10, 4, 2]
    f = io.BytesIO()
    rt.save([base[:4], base[2:6], base[8:10]], f)
    f.seek(0)
    assert [t.untyped_storage().nbytes() // 4 for t in rt.load(f)] == [6, 6, 2]


def saved(value: Any) -> Any:
    """What comes back, the warnings, and how long the file is."""
    f = io.BytesIO()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        rt.save(value, f)
    assert all(w.category is UserWarning and w.filename == __file__ for w in said)
    f.seek(0)
    return rt.load(f), [str(w.message) for w in said], len(f.getvalue())


def test_what_files_do_not_keep() -> None:
    wide = rt.arange(1100.0)
    for step, kept in ((1031, True), (1032, False)):  # up to four times as much as there is, and 1024
        t = wide[: step + 1 : step]
        got, said, _ = saved([t])
        assert got[0].tolist() == t.tolist() and got[0].stride() == ((step,) if kept else (1,)) and (not said) is kept
    # What is repeated often is written once; a large tensor that only lies otherwise is written in full.
    for n, once in ((1 << 20, False), ((1 << 20) + 1, True)):
        got, said, size = saved({"a": rt.full((1,), 3.0).expand(n)})
        assert got["a"].shape == (n,) and got["a"].stride() == (0,) and got["a"][n - 1] == 3
        assert (size < 1000) is once and (len(said) == 1 and "'a' repeat so much" in said[0]) is once
    turned = rt.zeros(1025, 1024).T
    got, said, _ = saved(turned)
    assert got.stride() == (1, 1024) and not said
    twice = [rt.arange(8.0).as_strided((2, 3), (2, 1)) for _ in range(6)]
    for n, more in ((5, False), (6, True)):
        (said,) = saved(twice[:n])[1]
        assert said.startswith("save: '0', '1', '2', '3', '4' ") is True and ("and others" in said) is more
    overlapping = np.arange(5.0)
    one, two = (rt.from_numpy(a.view(np.complex128)) for a in (overlapping[:4], overlapping[1:]))
    got, said, _ = saved([one, two])
    assert [t.tolist() for t in got] == [one.tolist(), two.tolist()] and "'0', '1' will come back row-major" in said[0]
    assert saved([rt.ones(2), rt.ones(0), rt.ones(2, 0).T, rt.ones(())])[1] == []


def test_groups_of_files_that_were_changed() -> None:
    """Of the sizes, strides and places in a file's description nothing is believed."""
    import struct

    def written(groups: Any, **shapes: Any) -> io.BytesIO:
        header: dict[str, Any] = {"__metadata__": {"rustorch.memory": json.dumps(groups)}}
        at = 0
        for name, shape in shapes.items():
            n = 4 * math.prod(shape)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + n]}
            at += n
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        values = np.arange(at // 4, dtype=np.float32).tobytes()
        return io.BytesIO(struct.pack("<Q", len(text)) + text + values)

    got = rt.load(written([[["a", 1, [2, 2], [1, 2]], ["b", 0, [3], [1]]]], a=[2, 2], b=[3]))
    assert got["a"].stride() == (1, 2) and got["a"].storage_offset() == 1 and got["b"].tolist()[0] == 4
    assert got["a"].untyped_storage().nbytes() == got["b"].untyped_storage().nbytes() == 20
    got = rt.load(written([[["a", 0, [3, 2], [0, 1]]]], a=[1, 2]))
    assert got["a"].tolist() == [[0, 1]] * 3 and got["a"].untyped_storage().nbytes() == 8
    for entry in (
        ["a", -1, [2], [1]], ["a", 0, [2], [-1]], ["a", 0, [2], [1, 1]], ["a", 0, [2.0], [1]], ["a", 0, [3], [1]],
        ["a", 0, [2], [1 << 62]], ["a", 2000, [2], [1]], ["a", True, [2], [1]], ["a", 0, [2, 0], [1, 1]],
        ["x", 0, [2], [1]],
    ):  # fmt: skip
        with pytest.raises(errors.SerializationError, match="description of the contents is damaged"):
            rt.load(written([[entry]], a=[2]))
    for entries in ([["a", 0, [2], [1]], ["a", 0, [2], [1]]], [["e", 0, [0], [1]], ["a", 0, [2], [1]]]):
        with pytest.raises(errors.SerializationError, match="damaged"):
            rt.load(written([entries], a=[2], e=[0]))
    with pytest.raises(errors.SerializationError, match="sizes or strides"):
        rt.load(written([[["a", 0, [2, 2], [1, 1]]]], a=[2, 2]))
    assert rt.load(written([[["a", 1028 + 2, [2], [1]]]], a=[2]))["a"].storage_offset() == 1030
    with pytest.raises(errors.SerializationError, match="a block of memory with gaps"):
        rt.load(written([[["a", 1031, [2], [1]]]], a=[2]))


def test_cosines_go_on_from_the_present_rate() -> None:
    S = rt.optim.lr_scheduler
    opt = two_groups()
    chained = S.ChainedScheduler([S.CosineAnnealingLR(opt, 8), S.ExponentialLR(opt, 0.9)])
    for e in range(1, 7):
        opt.step(), chained.step()
        assert chained.get_last_lr()[0] == pytest.approx(0.5 * (1 + math.cos(math.pi * e / 8)) / 2 * 0.9**e)
