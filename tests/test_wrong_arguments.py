"""Arguments of the wrong dtype, shape or kind are refused, not read as something else; odd ones have their answer."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import _ops
from rustorch.errors import RustorchError

NAN = math.nan


def ones(*shape: int, dtype: Any = None) -> rt.Tensor:
    return rt.ones(*shape, dtype=dtype)


# ---- kinds ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [np.float32(2.9), np.float64(2.0), 2.0, "2", None])
def test_sizes_are_not_cut_off(size: Any) -> None:
    x = ones(6)
    for f in (
        lambda: rt.zeros((size, 3)),
        lambda: x.reshape((size, 3)),
        lambda: x.softmax(size),
        lambda: x.sum((size,)) if size is not None else x.softmax("0"),  # type: ignore[arg-type]
        lambda: x.roll((size,), (0,)),
        lambda: F.max_pool1d(x.reshape(1, 6), (size,)),
    ):
        with pytest.raises(TypeError):
            f()


def test_truth_values_are_no_numbers_and_numbers_no_truth_values() -> None:
    x = ones(2, 2)
    for f in (
        lambda: x.softmax(True),
        lambda: x.sum(0, keepdim=1),  # type: ignore[arg-type]
        lambda: x.sort(0, descending=1),  # type: ignore[arg-type]
        lambda: x.cumsum(False),
        lambda: F.avg_pool1d(x, True),
    ):
        with pytest.raises(TypeError):
            f()
    assert x.sum(np.int64(0), keepdim=np.bool_(True)).tolist() == [[2.0, 2.0]]
    assert x.softmax(rt.tensor(1)).tolist() == [[0.5, 0.5]] * 2  # type: ignore[arg-type]


# ---- dtypes and shapes -------------------------------------------------------------------------------------------

I64, I32, U8, F64 = rt.int64, rt.int32, rt.uint8, rt.float64
HALF = rt.bfloat16

REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "one_hot of int32": (lambda: F.one_hot(ones(2, dtype=I32)), "int64"),
    "one running statistic": (lambda: F.batch_norm(ones(3, 4), ones(4), None, training=True), "neither be None"),
    "the other one": (lambda: F.instance_norm(ones(2, 4, 3), None, ones(4)), "neither be None"),
    "statistics": (lambda: F.batch_norm(ones(3, 4), ones(4, dtype=F64), ones(4, dtype=F64)), "dtype float32"),
    "moved statistics": (
        lambda: F.batch_norm(ones(3, 4), ones(4, dtype=HALF), ones(4, dtype=HALF), training=True),
        "dtype float32",
    ),
    "batch weight": (lambda: F.batch_norm(ones(3, 4), ones(4), ones(4), ones(4, dtype=F64)), "dtype float32"),
    "layer weight": (lambda: F.layer_norm(ones(3, 4), (4,), ones(4, dtype=I64)), "dtype float32"),
    "layer bias": (lambda: F.layer_norm(ones(3, 4), (4,), None, ones(4, dtype=HALF)), "dtype float32"),
    "group weight": (lambda: F.group_norm(ones(3, 4), 2, ones(4, dtype=F64)), "dtype float32"),
    "group of one value": (lambda: F.group_norm(ones(1, 2, 1), 2), "more than 1 value"),
    "bce target dtype": (lambda: F.binary_cross_entropy(ones(2) / 2, ones(2, dtype=I64)), "float32"),
    "bce target": (lambda: F.binary_cross_entropy(ones(2) / 2, ones(2) * 2), "between 0 and 1"),
    "bce weight": (lambda: F.binary_cross_entropy(ones(2) / 2, ones(2), ones(3, 2)), "does not broadcast"),
    "logits' target": (lambda: F.binary_cross_entropy_with_logits(ones(2), ones(2, dtype=rt.bool)), "floating"),
    "logits' weight": (lambda: F.binary_cross_entropy_with_logits(ones(2), ones(2), ones(3, 1)), "broadcast"),
    "pos_weight": (lambda: F.binary_cross_entropy_with_logits(ones(2), ones(2), pos_weight=ones(3, 1)), "broadcast"),
    "kl_div": (lambda: F.kl_div(ones(2), ones(2, dtype=I64), reduction="sum"), "floating"),
    "huber": (lambda: F.huber_loss(ones(2, dtype=I64), ones(2)), "floating"),
    "soft margin": (lambda: F.soft_margin_loss(ones(2, dtype=I64), ones(2)), "floating"),
    "soft margin's target": (lambda: F.soft_margin_loss(ones(2), ones(3, 2)), "broadcast"),
    "hinge": (lambda: F.hinge_embedding_loss(ones(2, dtype=I64), ones(2)), "floating"),
    "variance": (lambda: F.gaussian_nll_loss(ones(2), ones(2), ones(2, dtype=I64)), "floating"),
    "classes": (lambda: F.nll_loss(ones(2, 3, 2), ones(2, 2, dtype=U8)), "int64"),
    "cosine_similarity": (lambda: F.cosine_similarity(ones(2, 2, dtype=I64), ones(2, 2, dtype=I64)), "floating"),
    "its eps": (lambda: F.cosine_similarity(ones(2, 2), ones(2, 2), eps=-1.0), "non-negative"),
    "embeddings": (lambda: F.cosine_embedding_loss(ones(2, 3), ones(2, 3, 1), ones(2)), "expected inputs"),
    "bilinear batch": (lambda: F.bilinear(ones(3, 4), ones(1, 5), ones(2, 4, 5)), "do not fit"),
    "bilinear bias": (lambda: F.bilinear(ones(3, 4), ones(3, 5), ones(2, 4, 5), ones(1)), "bias"),
    "bilinear bias dtype": (lambda: F.bilinear(ones(3, 4), ones(3, 5), ones(2, 4, 5), ones(2, dtype=F64)), "bias"),
    "transposed bias": (lambda: F.conv_transpose1d(ones(1, 2, 3), ones(2, 2, 2), ones(2, dtype=F64)), "one dtype"),
    "no channels": (lambda: F.conv1d(ones(1, 2, 3), ones(0, 2, 2)), "output channel"),
    "bag offsets": (lambda: F.embedding_bag(rt.tensor([0, 1]), ones(2, 2), rt.tensor([0, 2, 1])), "ascend"),
    "interpolate": (lambda: F.interpolate(ones(1, 1, 4), size=(2.5,)), "int"),
    "align_corners": (lambda: F.interpolate(ones(1, 1, 4), 2, mode="linear", align_corners="yes"), "bool"),
    "ctc of whole numbers": (lambda: F.ctc_loss(ones(2, 1, 3, dtype=I64), ones(1, 1, dtype=I64), [2], [1]), "floating"),
    "gather": (lambda: rt.gather(ones(3), 0, ones(1, dtype=U8)), "int64 or int32"),
    "index_select": (lambda: rt.index_select(ones(3), 0, ones(1, dtype=U8)), "int64 or int32"),
    "index_fill": (lambda: rt.index_fill(ones(3), 0, ones(1, dtype=I32), 0.0), "int64"),
    "index_copy": (lambda: rt.index_copy(ones(3), 0, ones(1, dtype=I32), ones(1)), "int64"),
    "index_add": (lambda: rt.index_add(ones(1), 0, rt.tensor([0]), rt.tensor(1.0)), "source"),
    "take_along_dim": (lambda: rt.take_along_dim(ones(3), rt.tensor([-1])), "out of bounds"),
    "inner": (lambda: rt.inner(ones(5, 1), ones(5)), "last dimension"),
    "cross": (lambda: rt.cross(ones(2, 3), ones(2, 3, dtype=F64), 1), "same dtype"),
    "vecdot": (lambda: rt.linalg.vecdot(ones(3), ones(3, dtype=I64)), "one dtype"),
    "matrix_norm": (lambda: rt.linalg.matrix_norm(ones(2, 2), 1, dim=(0, -2)), "two different dimensions"),
    "diff": (lambda: rt.diff(ones(2, 3), prepend=ones(2)), "prepend"),
    "meshgrid": (lambda: rt.meshgrid(ones(2), ones(2, dtype=I64)), "one dtype"),
    "cartesian_prod": (lambda: rt.cartesian_prod(ones(2, 2)), "1-d"),
    "broadcast_shapes": (lambda: rt.broadcast_shapes((-1, 2)), "from 0 on"),
    "narrow": (lambda: rt.narrow(ones(3), 0, rt.tensor(0.5), 1), "integral"),
    "argmax": (lambda: rt.argmax(ones(2, dtype=rt.bool)), "bool"),
    "resize_": (lambda: rt.zeros(1, 2, 3, 4).resize_(1, 2, 3, 2, memory_format=rt.channels_last), "contiguously"),
    "no layers": (
        lambda: rt.nn.TransformerEncoder(rt.nn.TransformerEncoderLayer(4, 2, 4), 0)(ones(2, 1, 4)),
        "no layers",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_is_refused(case: str) -> None:
    call, text = REFUSED[case]
    with pytest.raises((RuntimeError, ValueError, TypeError, IndexError), match=text) as e:
        call()
    assert not isinstance(e.value, rt.errors.InternalError)


def test_float32_parameters_go_with_halves() -> None:
    x = rt.randn(4, 3, dtype=HALF)
    y = F.batch_norm(x, rt.zeros(3), ones(3), ones(3), rt.zeros(3), training=True)
    assert y.dtype is HALF and F.layer_norm(x, (3,), ones(3)).dtype is HALF


def test_losses_keep_the_dtype_of_their_input() -> None:
    x, wide = ones(3) / 2, ones(3, dtype=F64) / 2
    assert F.huber_loss(x, wide).dtype is rt.float32
    assert F.soft_margin_loss(x, wide).dtype is rt.float32
    assert F.binary_cross_entropy(x, x, wide).dtype is rt.float32
    assert F.soft_margin_loss(x, ones(3, dtype=U8)).item() == pytest.approx(math.log1p(math.exp(-0.5)))


# ---- values ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3])
def test_a_window_in_the_padding_has_no_place(n: int) -> None:
    x = rt.arange(2.0**n).reshape(1, 1, *(2,) * n).requires_grad_()
    pool = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
    y, at = pool(x, 2, padding=1, dilation=3, return_indices=True)
    assert y.flatten().tolist() == [-math.inf] and at.flatten().tolist() == [-1]
    y.sum().backward()
    assert x.grad is not None and x.grad.count_nonzero().item() == 0
    # Beside windows that have elements, whose gradients come as ever.
    x = rt.arange(6.0).reshape(1, 1, 6, *(1,) * (n - 1)).requires_grad_()
    kernel = (2, *(1,) * (n - 1))
    y, at = pool(x, kernel, stride=kernel, padding=(1, *(0,) * (n - 1)), dilation=kernel[:1] + (1,) * (n - 1),
                 return_indices=True)  # fmt: skip
    assert -1 not in at.flatten().tolist()
    y.sum().backward()
    assert x.grad is not None and x.grad.sum().item() == y.numel()


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", ["border", "reflection"])
def test_a_place_that_is_none_is_seen_at_the_border(mode: str, padding: str) -> None:
    x = rt.arange(9.0).reshape(1, 1, 3, 3)
    grid = rt.tensor([[[[NAN, 0.0], [0.0, NAN], [NAN, NAN]]]])
    y = F.grid_sample(x, grid, mode, padding, align_corners=True)
    assert y.flatten().tolist() == [3.0, 1.0, 0.0]


def test_boundaries_that_are_no_numbers_are_passed_over() -> None:
    for right in (False, True):
        assert rt.searchsorted(rt.tensor([1.0, 2.0, NAN]), rt.tensor([1.5, NAN]), right=right).tolist() == [1, 3]
        assert rt.bucketize(rt.tensor([NAN, 9.0]), rt.tensor([1.0, 2.0]), right=right).tolist() == [2, 2]


def test_distances_of_what_is_no_number() -> None:
    x = rt.tensor([[0.0, NAN], [0.0, 1.0], [2.0, 1.0]])
    d = rt.cdist(x, x, p=0.0)
    assert d[1:, 1:].tolist() == [[0.0, 1.0], [1.0, 0.0]] and d[0].isnan().all().item()
    assert F.pdist(x, 0.0).isnan().tolist() == [True, True, False]
    assert F.pdist(rt.ones(1, 3)).shape == (0,)


def test_sums_of_products_of_whole_numbers() -> None:
    x = rt.full((3, 3), 100, dtype=rt.int8)
    for equation, dtype in [("ij->", I64), ("ij->i", I64), ("ii->", I64), ("ij->ji", rt.int8), ("ij,jk->ik", rt.int8)]:
        operands = [x] * (1 + equation.count(","))
        assert rt.einsum(equation, *operands).dtype is dtype, equation
    assert rt.einsum("ij->", x).item() == 900
    assert rt.einsum("ij,k->k", x, rt.ones(3, dtype=rt.int8)).tolist() == [900] * 3


def test_margins_without_end() -> None:
    assert F.multi_margin_loss(rt.tensor([[1.0, 2.0]]), rt.tensor([0]), margin=math.inf).item() == math.inf


def test_differences_of_any_order_end() -> None:
    assert rt.diff(rt.ones(3), n=2**62).shape == (0,)
    assert rt.diff(rt.tensor([1, 3, 7]), n=2).tolist() == [2]


# ---- numbers whose squares are not in their type ------------------------------------------------------------------

NORMS: dict[str, tuple[tuple[int, ...], tuple[int, ...], Callable[[rt.Tensor], rt.Tensor]]] = {
    "batch": ((6, 3), (0,), lambda x: F.batch_norm(x, None, None, training=True, eps=1e-30)),
    "batch of long runs": ((2, 3, 20), (0, 2), lambda x: F.batch_norm(x, None, None, training=True, eps=1e-30)),
    "statistics": ((6, 3), (0,), lambda x: F.batch_norm(x, rt.zeros(3), rt.ones(3), training=True, eps=1e-30)),
    "instance": ((2, 3, 5), (2,), lambda x: F.instance_norm(x, eps=1e-30)),
    "layer": ((4, 5), (1,), lambda x: F.layer_norm(x, (5,), eps=1e-30)),
    "group": ((2, 4, 3), (2,), lambda x: F.group_norm(x, 4, eps=1e-30)),
}


@pytest.mark.parametrize("size", [1e30, 1.0, 1e-12])
@pytest.mark.parametrize("name", NORMS)
def test_norms_of_large_and_small_numbers(name: str, size: float) -> None:
    shape, dims, norm = NORMS[name]
    generator = rt.Generator().manual_seed(3)
    x = rt.randn(*shape, generator=generator)
    seed = rt.randn(*shape, generator=generator)
    given = (x * size).requires_grad_()
    y = norm(given)
    y.backward(seed)
    # In units of `size` and in float64, by the formula.
    wide = (given.detach().double() / size).requires_grad_()
    d = wide - wide.mean(dims, keepdim=True)
    want = d / ((d * d).mean(dims, keepdim=True) + 1e-30 / size**2).sqrt()
    want.backward(seed.double())
    assert rt.allclose(y.double(), want, rtol=1e-4, atol=1e-5)
    assert given.grad is not None and wide.grad is not None
    assert rt.allclose(given.grad.double() * size, wide.grad, rtol=1e-3, atol=1e-4)


def test_truth_values_are_no_dimensions_and_no_sizes() -> None:
    t = rt.ones(2, 2)
    for call in (
        lambda v: t.sum(v), lambda v: t.mean(v), lambda v: t.flip(v), lambda v: t.amax(v), lambda v: t.unsqueeze(v),
        lambda v: t.select(0, v), lambda v: t.narrow(0, 0, v), lambda v: t.chunk(v), lambda v: t.softmax(v),
        lambda v: t.transpose(0, v), lambda v: rt.stack([t, t], v), lambda v: t.cumsum(v), lambda v: t.unbind(v),
        lambda v: t.sum((v,)), lambda v: t.view(v, -1), lambda v: t.permute(v, 0), lambda v: rt.zeros(v, 2),
        lambda v: rt.zeros((v, 2)), lambda v: t.repeat(v, 2), lambda v: rt.empty([v]),
    ):  # fmt: skip
        call(1)
        for wrong in (True, 1.0, "1"):
            with pytest.raises(TypeError):
                call(wrong)


GRADIENTS_OF_POOLS = [
    "avg_pool_grad: (1, 2, 2), (1, 2, 4), (2,), (2,), (0,), False, True, None, 1",
    "avg_pool_grad: (2, 3), (2, 5), (2,), (2,), (1,), True, False, None, 1",
    "avg_pool_grad: (1, 2, 5, 3), (1, 2, 4, 5), (2, 3), (1, 2), (1, 1), False, False, None, 2",
    "avg_pool_grad: (2, 3, 3), (2, 4, 4), (2, 2), (2, 2), (1, 1), False, True, 3, 2",
    "adaptive_avg_pool_grad: (1, 2, 2), (1, 2, 5), 1",
    "adaptive_avg_pool_grad: (2, 2, 3), (2, 3, 4), 2",
    "max_pool_grad: (1, 2, 3), {}, (1, 2, 4), 1",
    "max_pool_grad: (2, 1, 2), {}, (2, 2, 2), 2",
    "avg_pool_grad: (1, 2, 2, 2, 1), (1, 2, 4, 5, 3), (2, 2, 2), (2, 2, 2), (0, 0, 0), False, True, None, 3",
    "adaptive_avg_pool_grad: (2, 2, 3, 1), (2, 3, 4, 2), 3",
    "max_pool_grad: (1, 2, 3, 1, 2), {}, (1, 2, 4, 2, 2), 3",
]


@pytest.mark.parametrize("line", GRADIENTS_OF_POOLS)
def test_gradients_of_pools_have_the_shape_of_their_results(line: str) -> None:
    name, source = line.split(": ")
    free = not name.startswith("avg")  # they take any number of windows

    def call(shape: tuple[int, ...], places: tuple[int, ...] | None = None, size: tuple[int, ...] | None = None) -> Any:
        own, *rest = eval(f"({source.replace('{}', 'None')},)")
        at = rt.zeros(own if places is None else places, dtype=rt.int64)
        rest = [at if i == 0 and name == "max_pool_grad" else v for i, v in enumerate(rest)]
        where = 1 if name == "max_pool_grad" else 0
        rest[where] = rest[where] if size is None else size
        return getattr(_ops, name)(rt.ones(shape), *rest)

    own, first, *others = eval(f"({source.replace('{}', 'None')},)")
    size = first or others[0]
    assert tuple(call(own).shape) == size
    planes = len(own) - int(source[-1])
    for i, n in enumerate(own):
        for other in (n - 1, n + 1):
            wrong = (*own[:i], other, *own[i + 1 :])
            if not free or i < planes:
                with pytest.raises(RustorchError, match=name):
                    call(wrong, places=wrong)
            if name == "max_pool_grad":
                for a, b in ((wrong, own), (own, wrong)):
                    with pytest.raises(RustorchError, match=name):
                        call(a, places=b)
    for wrong in (own[1:], (1, *own), (1, 1, *own), ()):
        with pytest.raises(RustorchError, match=name):
            call(wrong, places=wrong)
    for i, n in enumerate(size[:planes]):
        with pytest.raises(RustorchError, match=name):
            call(own, size=(*size[:i], n + 1, *size[i + 1 :]))
    for odd in (size[1:], (1, *size), (*size[:-1], -1)):
        with pytest.raises(RustorchError, match=name):
            call(own, size=odd)


# ---- what is taken for what --------------------------------------------------------------------------------------

ONE = rt.tensor([1])  # one element, but no number
BOOLS = rt.tensor([True, False])
LOG_PROBS = rt.full((3, 2, 3), -math.log(3.0))
LABELS = rt.ones(2, 1, dtype=I64)
LENGTHS = ([3, 3], [1, 1])

TYPES: dict[str, Callable[[], Any]] = {
    # numbers and truth values as others
    "keepdim of a norm": lambda: rt.linalg.norm(ones(2, 2), "nuc", keepdim="x"),
    "keepdim of a matrix norm": lambda: rt.linalg.matrix_norm(ones(2, 2), 1, keepdim=1),
    "stable sort": lambda: rt.sort(ones(2), stable="x"),
    "stable argsort": lambda: ones(2).argsort(stable=1),
    "unbiased std": lambda: rt.std(ones(2), unbiased="x"),
    "unbiased var": lambda: ones(2).var(0, unbiased=0),
    "unbiased var_mean": lambda: rt.var_mean(ones(2), unbiased=1),
    "unbiased std_mean": lambda: rt.std_mean(ones(2), 0, "x"),
    "unbiased and correction": lambda: rt.std(ones(2), 0, unbiased=True, correction=1),
    "requires_grad of zeros": lambda: rt.zeros(2, requires_grad="x"),
    "requires_grad of tensor": lambda: rt.tensor(2.0, requires_grad=1),
    "requires_grad of randn": lambda: rt.randn(2, requires_grad="x"),
    "requires_grad of normal": lambda: rt.normal(0.0, 1.0, (2,), requires_grad="x"),
    "requires_grad_": lambda: ones(2).requires_grad_(1),
    "requires_grad =": lambda: setattr(ones(2), "requires_grad", "x"),
    "requires_grad of a parameter": lambda: rt.nn.Parameter(ones(2), "x"),
    "dropout1d": lambda: F.dropout1d(ones(2, 2), training="x"),
    "dropout2d": lambda: F.dropout2d(ones(2, 2, 2, 2), training=1),
    "dropout3d": lambda: F.dropout3d(ones(2, 2, 2, 2), training="x"),
    "alpha_dropout": lambda: F.alpha_dropout(ones(2), training="x"),
    "feature_alpha_dropout": lambda: F.feature_alpha_dropout(ones(2, 2), training=None),
    "rrelu": lambda: F.rrelu(ones(2), training="x"),
    "corners of a sample": lambda: F.grid_sample(ones(1, 1, 2, 2), ones(1, 1, 1, 2), align_corners="x"),
    "corners of a grid": lambda: F.affine_grid(ones(1, 2, 3), (1, 1, 2, 2), align_corners=1),
    "zero_infinity": lambda: F.ctc_loss(LOG_PROBS, LABELS, *LENGTHS, zero_infinity="x"),
    "enable_gqa": lambda: F.scaled_dot_product_attention(*[ones(1, 1, 2, 2)] * 3, enable_gqa=1),
    "scale_grad_by_freq": lambda: F.embedding(rt.tensor([0]), ones(1, 2), scale_grad_by_freq=""),
    "sparse": lambda: F.embedding_bag(rt.tensor([[0]]), ones(1, 2), sparse=0),
    "include_last_offset": lambda: F.embedding_bag(rt.tensor([0]), ones(1, 2), rt.tensor([0]), include_last_offset="x"),
    "bidirectional": lambda: rt.nn.RNN(2, 2, bidirectional="x"),
    "batch_first": lambda: rt.nn.LSTM(2, 2, batch_first=1),
    "return_counts": lambda: rt.unique(ones(2), return_counts=1, dim=0),
    "return_inverse": lambda: rt.unique_consecutive(ones(2), return_inverse="x", dim=0),
    "as_tuple": lambda: rt.nonzero(ones(2), as_tuple=1),
    "wrap": lambda: ones(2, 2).fill_diagonal_(1, wrap="x"),
    "copy": lambda: ones(2).to(rt.float32, copy="x"),
    "log_input": lambda: F.poisson_nll_loss(ones(2), ones(2), log_input=0),
    "swap": lambda: F.triplet_margin_loss(*[ones(1, 2)] * 3, swap=1),
    # floats and truth values as whole numbers
    "blank": lambda: F.ctc_loss(LOG_PROBS, LABELS, *LENGTHS, blank=0.0),
    "true blank": lambda: F.ctc_loss(LOG_PROBS, LABELS * 0, *LENGTHS, blank=True),
    "float lengths": lambda: F.ctc_loss(LOG_PROBS, LABELS, [rt.tensor(3.0), 3], [1, 1]),
    "randint to a float": lambda: rt.randint(10.0, (2,)),
    "randint from None": lambda: rt.randint(None, 10, (2,)),
    "randint_like to a float": lambda: rt.randint_like(ones(2), 0, 10.0),
    "no differences": lambda: rt.diff(ones(3), n=0.0),
    "true differences": lambda: rt.diff(ones(3), n=True),
    "unpool": lambda: F.max_unpool1d(ones(1, 1, 2), rt.tensor([[[0, 2]]]), 2.0),
    "unpool to a float": lambda: F.max_unpool1d(ones(1, 1, 2), rt.tensor([[[0, 2]]]), 2, output_size=(4.0,)),
    "padding_idx": lambda: F.embedding(rt.tensor([0]), ones(1, 2), padding_idx=False),
    "groups": lambda: F.channel_shuffle(ones(1, 4, 2), True),
    "combinations": lambda: rt.combinations(ones(2), r=True),
    "output_size": lambda: rt.repeat_interleave(ones(2), 2, output_size=4.0),
    "zeros": lambda: rt.zeros((True, 2)),
    "ones": lambda: rt.ones(True),
    "rand": lambda: rt.rand([True, 2]),
    "reshape": lambda: ones(4).reshape(True, 4),
    "view": lambda: ones(4).view(True, 4),
    "expand": lambda: ones(4).expand((True, 4)),
    "broadcast_to": lambda: rt.broadcast_to(ones(4), (True, 4)),
    "as_strided": lambda: rt.as_strided(ones(4), (4,), (True,)),
    "split": lambda: rt.split(ones(4), [True, 3]),
    "flip": lambda: rt.flip(ones(2, 2), (True,)),
    "max_pool1d": lambda: F.max_pool1d(ones(1, 1, 4), (True,)),
    "max_pool3d": lambda: F.max_pool3d(ones(1, 4, 4, 4), True),
    "avg_pool3d": lambda: F.avg_pool3d(ones(1, 4, 4, 4), 2, (True, 1, 1)),
    "adaptive_avg_pool2d": lambda: F.adaptive_avg_pool2d(ones(1, 4, 4), True),
    "conv1d": lambda: F.conv1d(ones(1, 1, 4), ones(1, 1, 2), stride=(True,)),
    "Linear": lambda: rt.nn.Linear(2, True),
    "Conv1d": lambda: rt.nn.Conv1d(1, True, 2),
    "num_layers": lambda: rt.nn.RNN(2, 2, num_layers=True),
    "proj_size": lambda: rt.nn.LSTM(2, 2, proj_size=True),
    "set_num_threads": lambda: rt.set_num_threads(True),
    # tensors that are no numbers
    "alpha": lambda: rt.add(ones(2), ones(2), alpha=ONE),
    "alpha with a gradient": lambda: rt.add(ones(2), ones(2), alpha=rt.tensor(2.0, requires_grad=True)),
    "full": lambda: rt.full((2,), ONE),
    "arange": lambda: rt.arange(0, ONE),
    "linspace": lambda: rt.linspace(ONE, 2, 3),
    "several sizes": lambda: rt.ones(rt.tensor([2, 3])),
    "dim of aminmax": lambda: rt.aminmax(ones(2), dim=rt.tensor([0])),
    # None and lists in place of one
    "vecdot over None": lambda: rt.linalg.vecdot(ones(2, 2), ones(2, 2), dim=None),
    "vecdot over nothing": lambda: rt.linalg.vecdot(ones(2, 2), ones(2, 2), dim=()),
    "vecdot over two": lambda: rt.linalg.vecdot(ones(2, 2), ones(2, 2), dim=[0, 1]),
    "aminmax over two": lambda: rt.aminmax(ones(2, 2), dim=[0, 1]),
    "cross over None": lambda: rt.linalg.cross(ones(3), ones(3), dim=None),
    "median over None": lambda: rt.median(ones(2), dim=None),
    "max over None": lambda: rt.max(ones(2), None),
    "min over None": lambda: ones(2).min(dim=None),
    "prod over None": lambda: rt.prod(ones(2), None),
    "prod method": lambda: ones(2).prod(dim=None),
    "arange from None": lambda: rt.arange(None, 2, 2),
    "arange by None": lambda: rt.arange(0, 2, None),
    "arange by step=None": lambda: rt.arange(0, 2, step=None),
    "arange to None": lambda: rt.arange(0, end=None),
    "arange of four": lambda: rt.arange(0, 2, 1, 1),
    "gumbel_softmax": lambda: F.gumbel_softmax(ones(2), dim=None),
    "pairwise_distance": lambda: F.pairwise_distance(ones(1, 2), ones(1, 2), p=None),
    "pairwise_distance by a word": lambda: F.pairwise_distance(ones(1, 2), ones(1, 2), p="fro"),
    "tensordot": lambda: rt.tensordot(ones(2, 2), ones(2, 2), dims=(1, 1)),
    "multi_dot": lambda: rt.linalg.multi_dot(ones(2, 2, 2)),
    # dtypes
    "l1_loss": lambda: F.l1_loss(BOOLS, ones(2)),
    "smooth_l1_loss": lambda: F.smooth_l1_loss(BOOLS, BOOLS, beta=0),
    "isin": lambda: rt.isin(BOOLS, rt.tensor([1])),
    "isin of a bool": lambda: rt.isin(rt.tensor([1]), True),
    "float_power_": lambda: ones(2).float_power_(2),
    "cumsum_": lambda: ones(2).cumsum_(0, dtype=rt.float64),
    "cumprod_": lambda: ones(2, dtype=F64).cumprod_(0, dtype=rt.float32),
    "clamp_": lambda: ones(2, dtype=I64).clamp_(rt.tensor(0.5)),
    "clamp_max_": lambda: ones(2, dtype=I64).clamp_max_(rt.tensor([0.5, 2.0])),
    "normal with a size": lambda: rt.normal(ones(2), 1.0, (2,)),
    "normal with a dtype": lambda: rt.normal(ones(2), 1.0, dtype=rt.float64),
    "float tensors as ints": lambda: rt.tensor([rt.tensor(1.5)], dtype=I64),
    "NumPy's floats as ints": lambda: rt.tensor([np.float32(1.5), 1], dtype=I32),
    "seed of a Generator": lambda: rt.Generator().manual_seed("a"),  # type: ignore[arg-type]
    "float seed": lambda: rt.Generator().manual_seed(1.5),  # type: ignore[arg-type]
    "seed": lambda: rt.manual_seed("a"),  # type: ignore[arg-type]
}

VALUES: dict[str, Callable[[], Any]] = {
    "scatter": lambda: rt.scatter(ones(2), 0, rt.tensor([0]), 2.0, reduce="sum"),
    "scatter_": lambda: ones(2).scatter_(0, rt.tensor([0]), 2.0, reduce=""),
    "searchsorted": lambda: rt.searchsorted(ones(2), ones(1), side=""),
    "div": lambda: rt.div(ones(2), 2, rounding_mode=""),
    "norm of three dimensions": lambda: rt.linalg.norm(ones(2, 2, 2), "fro"),
    "nuclear norm of three": lambda: rt.linalg.norm(ones(2, 2, 2), "nuc"),
    "norm over three": lambda: rt.linalg.norm(ones(2, 2, 2), 2, dim=(0, 1, 2)),
    "H": lambda: ones(2).H,
    "rtol": lambda: rt.isclose(ones(2), ones(2), rtol=NAN),
    "atol": lambda: rt.allclose(ones(2), ones(2), atol=NAN),
    "beta": lambda: F.smooth_l1_loss(ones(2), ones(2), beta=NAN),
    "output_size": lambda: rt.repeat_interleave(ones(2), 2, output_size=3),
    "output_size of repeats": lambda: rt.repeat_interleave(ones(2), rt.tensor([1, 2]), output_size=4),
    "output_size of indices": lambda: rt.repeat_interleave(rt.tensor([1, 2]), output_size=4),
    "own gradient": lambda: setattr(x := ones(2), "grad", x),
    "gradients at once": lambda: rt.autograd.grad(
        (x := ones(2).requires_grad_()) * 1, x, ones(3, 2), is_grads_batched=True
    ),
    "tensors in a list": lambda: rt.tensor([ones(2), ones(2)]),
}


@pytest.mark.parametrize("case", TYPES)
def test_type_is_refused(case: str) -> None:
    with pytest.raises(TypeError) as e:
        TYPES[case]()
    assert str(e.value)


@pytest.mark.parametrize("case", VALUES)
def test_value_is_refused(case: str) -> None:
    with pytest.raises(RuntimeError) as e:
        VALUES[case]()
    assert str(e.value)


def test_what_is_taken() -> None:
    """As PyTorch does: truth values behind the first of several sizes, tensors without dimensions, NumPy's None."""
    x = rt.tensor([[1.0, 4.0], [2.0, 3.0]])
    assert rt.zeros(2, True).shape == (2, 1) and x.reshape((4, True)).shape == (4, 1)
    assert rt.ones(rt.tensor(2)).shape == (2,) and rt.full((1,), rt.tensor(3)).tolist() == [3]
    assert x.topk(rt.tensor([1])).values.tolist() == [[4.0], [3.0]]  # type: ignore[arg-type]
    assert rt.linspace(rt.tensor(0.0, requires_grad=True), 1, 3).tolist() == [0.0, 0.5, 1.0]
    assert np.max(x) == 4 and x.prod(axis=None) == 24 and x.prod(1, dtype=rt.float64).tolist() == [4.0, 6.0]
    assert x.sort(stable=None).values.tolist() == [[1.0, 4.0], [2.0, 3.0]]
    assert [t.tolist() for t in x[0].split(rt.tensor(1))] == [[1.0], [4.0]]
    assert rt.repeat_interleave(rt.tensor([7, 8]), rt.tensor([1, 2]), output_size=3).tolist() == [7, 8, 8]
    assert rt.normal(rt.tensor(5.0), rt.tensor(0.0), (2, 2)).tolist() == [[5.0, 5.0]] * 2
    assert rt.normal(rt.tensor(5.0), 0.0).dtype is rt.float32
    assert rt.tensordot(x, x, dims=rt.tensor([1])).tolist() == (x @ x).tolist()
    assert rt.einsum("", rt.tensor(2.0)).item() == 2


def test_tensors_of_one_element_are_numbers_of_a_list() -> None:
    one, two = rt.tensor([1]), rt.tensor([[2.5]])
    assert rt.tensor([one, one]).tolist() == [1, 1] and rt.tensor([[one], [one]]).tolist() == [[1], [1]]
    assert rt.tensor([one, two, 3]).tolist() == [1.0, 2.5, 3.0] and rt.tensor([2, two]).dtype is rt.float32
    assert rt.tensor([rt.tensor([True]), one]).dtype is I64 and rt.tensor([[2], one]).tolist() == [[2], [1]]
    assert rt.tensor([np.array([1]), np.array([2])]).tolist() == [[1], [2]]


def test_losses_of_whole_numbers() -> None:
    a, b, sign = rt.tensor([1, 2]), rt.tensor([3, 1]), rt.tensor([1, -1])
    for reduction, want in (("none", [2, 1]), ("sum", 3)):
        loss = F.l1_loss(a, b, reduction=reduction)
        assert loss.tolist() == want and loss.dtype is I64
        loss = F.margin_ranking_loss(a, b, sign, reduction=reduction)
        assert loss.tolist() == want and loss.dtype is rt.float32
    assert F.margin_ranking_loss(a, b, sign, margin=1).item() == 2.5
    assert F.l1_loss(rt.tensor([1], dtype=U8), rt.tensor([3], dtype=U8), reduction="none").tolist() == [254]
    assert F.l1_loss(a, rt.tensor([3.0, 1.5])).item() == 1.25
    assert rt.combinations(a, r=0).shape == (0,) and rt.combinations(a, r=0).dtype is I64


@pytest.mark.parametrize(
    ("size_average", "reduce", "want"),
    [(0, None, 8.0), (None, 0, [4.0, 4.0]), ("", 1, 8.0), (1, "", [4.0, 4.0]), (1, 1, 4.0), (0, 0, [4.0, 4.0])],
)
def test_old_words_for_reductions(size_average: Any, reduce: Any, want: Any) -> None:
    x, y = ones(2) * 3, ones(2)
    with pytest.warns(UserWarning):
        assert F.mse_loss(x, y, size_average=size_average, reduce=reduce).tolist() == want
    with pytest.warns(UserWarning):
        assert rt.nn.MSELoss(size_average, reduce)(x, y).tolist() == want


def test_resizing_copies_dimensions_that_keep_their_size() -> None:
    x = rt.arange(9.0).reshape(1, 1, 3, 3)
    wide, high = (F.interpolate(x, scale_factor=f, mode="bilinear") for f in ((1.1, 1.4), (1.4, 1.1)))
    row = np.clip((np.arange(4) + 0.5) / 1.4 - 0.5, 0, 2)
    assert np.allclose(wide[0, 0].numpy(), row + 3 * np.arange(3)[:, None], atol=1e-6)
    assert np.allclose(high[0, 0].numpy(), 3 * row[:, None] + np.arange(3), atol=1e-6)
    cube = rt.arange(8.0).reshape(1, 1, 2, 2, 2)
    line = np.clip((np.arange(4) + 0.5) / 2.4 - 0.5, 0, 1)
    want = line + 2 * np.arange(2)[:, None] + 4 * np.arange(2)[:, None, None]
    assert np.allclose(F.interpolate(cube, scale_factor=(1.1, 1.1, 2.4), mode="trilinear")[0, 0].numpy(), want)
    for dtype in (rt.float32, U8):  # in two dimensions what is doubled exactly is doubled, whatever the scale
        five = rt.arange(5, dtype=dtype).reshape(1, 1, 1, 5)
        assert F.interpolate(five, scale_factor=(1.1, 2.15)).tolist() == [[[[i // 2 for i in range(10)]]]]
    one = F.interpolate(rt.arange(5.0).reshape(1, 1, 5), scale_factor=2.15)
    assert one.tolist() == [[[int(i / 2.15) for i in range(10)]]]


def test_the_nearest_place_has_a_gradient_of_zero() -> None:
    x, grid = rt.arange(4.0).reshape(1, 1, 2, 2), rt.full((1, 1, 1, 2), -1.0, requires_grad=True)
    y = F.grid_sample(x, grid, mode="nearest", align_corners=True)
    assert y.tolist() == [[[[0.0]]]]
    y.sum().backward()
    assert grid.grad is not None and grid.grad.tolist() == [[[[0.0, 0.0]]]]


def test_bounds_in_place() -> None:
    x = rt.ones(2, requires_grad=True)
    y = x * 2
    assert y.clamp_min_(rt.tensor([3.0, 0.0])) is y and y.tolist() == [3.0, 2.0]
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 2.0]
    low, high = rt.tensor([3.0, 0.0]), rt.tensor([2.0, 0.0])
    assert ones(2).clamp_max_(high).tolist() == rt.clamp_max_(ones(2), high).tolist() == [1.0, 0.0]
    assert rt.clamp_(ones(2), low).tolist() == rt.clip_(ones(2), low).tolist() == [3.0, 1.0]
    assert ones(2, dtype=F64).float_power_(2).dtype is F64 and ones(2, dtype=I32).cumsum_(0).tolist() == [1, 2]


@pytest.mark.parametrize(
    ("driver", "rcond", "small", "rank"),
    [
        ("gelsd", -1.0, 5.9e-8, 1), ("gelsd", -1.0, 6.1e-8, 2), ("gelsd", 0.0, 5.9e-8, 1), ("gelsd", 2.0, 6.1e-8, 2),
        ("gelss", -1.0, 1.1e-7, 1), ("gelss", -1.0, 1.3e-7, 2), ("gelss", 0.0, 1e-9, 2), ("gelsy", -1.0, 1e-9, 2),
    ],
)  # fmt: skip
def test_least_squares_to_the_precision_of_the_machine(driver: str, rcond: float, small: float, rank: int) -> None:
    found = rt.linalg.lstsq(rt.diag(rt.tensor([1.0, small])), ones(2, 1), rcond, driver=driver)
    assert found.rank.item() == rank
    assert np.allclose(found.solution.reshape(-1).numpy(), [1.0, 1 / small if rank == 2 else 0.0], rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: ones(2).max(3), "max"), (lambda: rt.min(ones(0)), "min"), (lambda: ones(2).median("x"), "median"),
        (lambda: rt.unique(ones(2), dim=4), "unique"), (lambda: rt.repeat_interleave(ones(2), -1), "repeat_interleave"),
        (lambda: rt.scatter(ones(2), 0, rt.tensor([5]), 1.0), "scatter"), (lambda: ones(2).clamp(ones(3)), "clamp"),
        (lambda: rt.tensor_split(ones(4), 0), "tensor_split"),
        (lambda: rt.Generator().manual_seed("a"), "manual_seed"),  # type: ignore[arg-type]
    ],
)  # fmt: skip
def test_errors_name_the_word_that_was_called(call: Callable[[], Any], word: str) -> None:
    with pytest.raises(rt.errors.RustorchError) as e:
        call()
    assert e.value.op == word and str(e.value).removeprefix(word)[0] in ":("
