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
        lambda v: t.sum((v,)), lambda v: t.view(v, -1), lambda v: t.permute(0, v), lambda v: rt.zeros(v, 2),
        lambda v: rt.zeros((2, v)), lambda v: t.repeat(v, 2), lambda v: rt.empty([v]),
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
    "upsample_grad: (1, 2, 4, 5), (1, 2, 2, 3), 'nearest', False",
    "upsample_grad: (1, 2, 4, 5), (1, 2, 2, 3), 'bilinear', True",
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
    planes = len(own) - (1 if "1" == source[-1] else 2)
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
