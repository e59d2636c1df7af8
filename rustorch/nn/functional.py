"""The layers as functions: `import rustorch.nn.functional as F`.

Most are one call of the op table; the rest are compositions of ops, so gradients of any order come by themselves.
Shapes in the docstrings: N batch, C channels, L / H, W length / height, width; `*` any number of dimensions.
"""

# Functions of the package that are looked up when first used are not typed.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import rustorch as rt
from rustorch import Tensor, _ops
from rustorch._door import flags, into, ints, whole
from rustorch.errors import DTypeError, InvalidArgumentError, ShapeMismatchError

from ._losses import *  # noqa: F403
from ._losses import _legacy_reduction as _legacy_reduction

if TYPE_CHECKING:
    Ints = int | Sequence[int]
    Floats = float | Sequence[float]

# ---- helpers ----------------------------------------------------------------------------------------------------


def _table(name: str) -> Callable[..., Any]:
    """The op `name`, or a clear error if the table has no such entry."""
    op: Callable[..., Any] | None = getattr(_ops, name, None)
    if op is None:
        raise NotImplementedError(f"{name}: this version of rustorch has no such op")
    return op


def _inplace(name: str, input: Tensor, *args: Any, **attributes: Any) -> Tensor:
    """Op `name` in place: by its twin, or where backward will need the old values, computed from a copy of them."""
    twin = getattr(_ops, name + "_", None)
    if twin is None or (input.requires_grad and rt.is_grad_enabled()):
        return input.copy_(_table(name)(input.clone(), *args, **attributes))
    return twin(input, *args, **attributes)


def _tuple(value: Any, n: int, op: str = "") -> tuple[Any, ...]:
    """`value` once per spatial dimension; a shorter sequence of one element is spread too."""
    if isinstance(value, (int, float)):
        value = (value,) * n
    value = tuple(value)
    if value and isinstance(value[0], bool):
        raise DTypeError(f"{op and op + ': '}expected an int or {n} of them, one per spatial dimension, got {value[0]}")
    if len(value) not in (1, n):
        raise ValueError(f"{op and op + ': '}expected a number or {n} of them, one per spatial dimension, got {value}")
    return value * n if len(value) == 1 else value


def _wide(t: Tensor) -> Tensor:
    """Half floats as float32, in which sums of several terms are computed."""
    return t.float() if t.dtype in (rt.float16, rt.bfloat16) else t


def _probability(p: float) -> None:
    if not 0.0 <= p <= 1.0:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")


# ---- ops as they are --------------------------------------------------------------------------------------------

linear = _ops.linear
bilinear = _ops.bilinear
one_hot = _ops.one_hot
conv_transpose1d = _ops.conv_transpose1d
conv_transpose2d = _ops.conv_transpose2d
conv_transpose3d = _ops.conv_transpose3d
layer_norm = _ops.layer_norm
rms_norm = _ops.rms_norm
prelu = _ops.prelu
gelu = _ops.gelu
softplus = _ops.softplus
softsign = _ops.softsign
logsigmoid = _ops.logsigmoid
tanhshrink = _ops.tanhshrink
hardshrink = _ops.hardshrink
softshrink = _ops.softshrink
cosine_similarity = _ops.cosine_similarity
pairwise_distance = _ops.pairwise_distance
pdist = _ops.pdist
pixel_shuffle = _ops.pixel_shuffle
pixel_unshuffle = _ops.pixel_unshuffle


# ---- linear and embedding ---------------------------------------------------------------------------------------


def _renormalize(weight: Tensor, rows: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale those `rows` of `weight` down, in place, whose norm is above `max_norm`."""
    with rt.no_grad():
        rows = rows.reshape(-1)
        picked = weight.index_select(0, rows)
        norm = picked.norm(norm_type, dim=1, keepdim=True)
        weight[rows] = rt.where(norm.gt(max_norm), picked * (max_norm / (norm + 1e-7)), picked)


def _dense_only(name: str, scale_grad_by_freq: bool, sparse: bool) -> None:
    if scale_grad_by_freq is not False or sparse is not False:
        flags(name, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)
    if scale_grad_by_freq:
        raise NotImplementedError(f"{name}: scale_grad_by_freq=True is not supported")
    if sparse:
        raise NotImplementedError(f"{name}: sparse gradients are not supported, use sparse=False")


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Rows of weight [n, d] by integer input [*] -> [*, d]; row `padding_idx` gets no gradient."""
    _dense_only("embedding", scale_grad_by_freq, sparse)
    if input.dtype not in (rt.int64, rt.int32):
        raise DTypeError(f"embedding: indices must be int64 or int32, got {input.dtype}")
    if padding_idx is not None:
        n, padding_idx = weight.size(0), whole("embedding", "padding_idx", padding_idx)
        if not -n <= padding_idx < n:
            raise AssertionError(f"embedding: padding_idx must be within num_embeddings ({n}), got {padding_idx}")
        padding_idx %= n
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    return _ops.embedding(input, weight, padding_idx=padding_idx)


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Sum, mean or max of embeddings per bag: input [B, n], or flat [n] with bag starts `offsets` [B] -> [B, d]."""
    _dense_only("embedding_bag", scale_grad_by_freq, sparse)
    padding_idx = None if padding_idx is None else whole("embedding_bag", "padding_idx", padding_idx)
    if mode not in ("sum", "mean", "max"):
        raise ValueError("mode has to be one of sum, mean or max")
    if per_sample_weights is not None and per_sample_weights.shape != input.shape:
        raise ValueError(
            f"embedding_bag: per_sample_weights must have the input's shape {list(input.shape)}, "
            f"got {list(per_sample_weights.shape)}"
        )
    if per_sample_weights is not None and per_sample_weights.dtype != weight.dtype:
        raise DTypeError(
            f"embedding_bag: per_sample_weights must have the weight's dtype {weight.dtype}, "
            f"got {per_sample_weights.dtype}"
        )
    if padding_idx is not None and not -weight.size(0) <= padding_idx < weight.size(0):
        n = weight.size(0)
        raise RuntimeError(
            f"embedding_bag: padding_idx must be within the number of embeddings, {-n} through {n - 1}, "
            f"but got {padding_idx}"
        )
    if per_sample_weights is not None and mode != "sum":
        raise NotImplementedError(f"embedding_bag: per_sample_weights needs mode='sum', got mode='{mode}'")
    if input.dim() == 2:
        if offsets is not None:
            raise ValueError("if input is 2D, then offsets has to be None, as input is treated is a mini-batch")
        bounds = list(range(0, input.numel() + 1, input.size(1))) if input.size(1) else [0] * (input.size(0) + 1)
        input = input.reshape(-1)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights.reshape(-1)
    elif input.dim() == 1:
        flags("embedding_bag", include_last_offset=include_last_offset)
        if offsets is None:
            raise ValueError("offsets has to be a 1D Tensor but got None")
        bounds = offsets.tolist()
        if any(j < i for i, j in pairwise(bounds)) or (bounds and bounds[-1] > input.numel()):
            raise RuntimeError(
                f"embedding_bag: offsets must ascend up to the number of indices, {input.numel()}, got {bounds}"
            )
        if bounds and bounds[0] != 0:
            raise ValueError(
                f"offsets[0] has to be 0, i.e., the first sequence starts from position 0, got {bounds[0]}"
            )
        if not include_last_offset:
            bounds.append(input.numel())
        elif bounds and 0 <= bounds[-1] < input.numel():  # what lies behind the last bag belongs to none
            input = input[: bounds[-1]]
            per_sample_weights = None if per_sample_weights is None else per_sample_weights[: bounds[-1]]
    else:
        raise ValueError(f"input has to be 1D or 2D Tensor, but got Tensor of dimension {input.dim()}")
    if padding_idx is not None:
        padding_idx %= weight.size(0)
    rows = _wide(embedding(input, weight, padding_idx, max_norm, norm_type))
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    bag = weight.new_tensor([b for b, (i, j) in enumerate(pairwise(bounds)) for _ in range(i, j)], dtype=rt.int64)
    if padding_idx is not None:  # padded entries count nowhere
        keep = input.ne(padding_idx).nonzero().reshape(-1)
        rows, bag = rows.index_select(0, keep), bag.index_select(0, keep)
    bags = len(bounds) - 1
    zeros = rt.zeros(bags, weight.size(1), dtype=rows.dtype, device=rows.device)
    if mode == "max":
        groups = bag.tolist()
        members = [[i for i, g in enumerate(groups) if g == b] for b in range(bags)]
        return rt.stack([rows[m].amax(0) if m else zeros[b] for b, m in enumerate(members)]).to(weight.dtype)
    total = zeros.index_add(0, bag, rows)
    if mode == "mean":
        total = total / bag.bincount(minlength=bags).clamp(min=1).unsqueeze(-1)
    return total.to(weight.dtype)


# ---- convolution ------------------------------------------------------------------------------------------------


def conv1d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """input [N, C, L], weight [O, C / groups, k] -> [N, O, (L + 2 padding - dilation (k - 1) - 1) / stride + 1]."""
    if isinstance(padding, str):
        input, padding = _same_padding("conv1d", input, weight, stride, padding, dilation)
    return _ops.conv1d(input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """input [N, C, H, W], weight [O, C / groups, kh, kw] -> [N, O, H', W']; `padding` may be "same" or "valid"."""
    if isinstance(padding, str):
        input, padding = _same_padding("conv2d", input, weight, stride, padding, dilation)
    return _ops.conv2d(input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv3d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Ints = 1,
    padding: Ints | str = 0,
    dilation: Ints = 1,
    groups: int = 1,
) -> Tensor:
    """input [N, C, D, H, W], weight [O, C / groups, kd, kh, kw] -> [N, O, D', H', W']."""
    if isinstance(padding, str):
        input, padding = _same_padding("conv3d", input, weight, stride, padding, dilation)
    return _ops.conv3d(input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def _same_padding(
    name: str, input: Tensor, weight: Tensor, stride: Ints, padding: str, dilation: Ints
) -> tuple[Tensor, Ints]:
    """The (perhaps padded) input and the numbers that "same" or "valid" stand for."""
    if padding not in ("same", "valid"):
        raise ValueError(f"{name}: padding must be 'same', 'valid' or ints, got '{padding}'")
    if padding == "valid":
        return input, 0
    n = weight.dim() - 2
    if any(s != 1 for s in _tuple(stride, n)):
        raise RuntimeError(f"{name}: padding='same' is not supported for strided convolutions")
    around = [d * (k - 1) for d, k in zip(_tuple(dilation, n), weight.shape[2:])]
    if any(a % 2 for a in around):  # the op pads both sides alike: pad here, the odd one behind
        return pad(input, [side for a in reversed(around) for side in (a // 2, a - a // 2)]), 0
    return input, [a // 2 for a in around]


def unfold(input: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Tensor:
    """Sliding patches as columns: input [N, C, H, W] -> [N, C * kh * kw, number of patches]."""
    if 0 in input.shape[-3:]:
        raise RuntimeError(f"unfold: only the batch may be empty, got input of shape {list(input.shape)}")
    x = input.unsqueeze(0) if input.dim() == 3 else input
    cols = _ops.im2col(x, kernel_size, dilation=dilation, padding=padding, stride=stride)
    return cols.squeeze(0) if input.dim() == 3 else cols


def fold(
    input: Tensor,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Tensor:
    """Sum of patches, the transpose of `unfold`: input [N, C * kh * kw, patches] -> [N, C, *output_size]."""
    x = input.unsqueeze(0) if input.dim() == 2 else input
    out = _ops.col2im(x, output_size, kernel_size, dilation=dilation, padding=padding, stride=stride)
    return out.squeeze(0) if input.dim() == 2 else out


# ---- pooling ----------------------------------------------------------------------------------------------------


def _stride(stride: Ints | None) -> Ints:
    """The table's word for "as large as the kernel" is an empty list."""
    return () if stride is None else stride


def max_pool1d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """Maximum over windows of [N, C, L], and where it was (index along L)."""
    return _ops.max_pool1d_with_indices(
        input, kernel_size, stride=_stride(stride), padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )


def max_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows of [N, C, L]; stride defaults to the kernel size."""
    if return_indices:
        return max_pool1d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _ops.max_pool1d(
        input, kernel_size, stride=_stride(stride), padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )


def max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """Maximum over windows of [N, C, H, W], and where it was (flat index into H * W)."""
    return _ops.max_pool2d_with_indices(
        input, kernel_size, stride=_stride(stride), padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )


def max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows of [N, C, H, W]; stride defaults to the kernel size."""
    if return_indices:
        return max_pool2d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _ops.max_pool2d(
        input, kernel_size, stride=_stride(stride), padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )


def _planes(input: Tensor) -> Tensor:
    """[N, C, D, H, W] or [C, D, H, W] as [M, D, H, W]."""
    shape = tuple(input.shape)
    if len(shape) not in (4, 5):
        raise ValueError(f"pooling over three dimensions: expected 4D or 5D input, got shape {shape}")
    if 0 in shape[-4:]:
        raise ValueError(f"pooling over three dimensions: only the batch may be empty, got shape {shape}")
    return input.flatten(0, -4)


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """Maximum over windows of [N, C, D, H, W], and its flat index: max over H, W, then over D, as maxima nest."""
    kernel, gaps, pads = (_tuple(v, 3, "max_pool3d") for v in (kernel_size, dilation, padding))
    steps = kernel if stride is None else _tuple(stride, 3, "max_pool3d")
    *lead, _, height, width = input.shape
    flat, at = max_pool2d_with_indices(_planes(input), kernel[1:], steps[1:], pads[1:], gaps[1:], ceil_mode)
    return _over_depth(
        (flat, at), lead, height * width,
        lambda x: max_pool2d_with_indices(
            x, (kernel[0], 1), (steps[0], 1), (pads[0], 0), (gaps[0], 1), ceil_mode
        ),
    )  # fmt: skip


def _over_depth(
    planes: tuple[Tensor, Tensor], lead: Sequence[int], area: int, pool: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """Pool planes [M, D, h, w] (with indices into their own `area`) along D: both as [*lead, D', h, w]."""
    values, at = planes
    h, w = values.shape[-2:]
    out, rows = (t.squeeze(1) for t in pool(values.flatten(2).unsqueeze(1)))  # a batch of planes, which may be empty
    within = at.flatten(1).gather(1, rows.clamp(min=0).flatten(1)).reshape(rows.shape)
    # A window that lies wholly in the padding has no place.
    index = (rows // (h * w) * area + within).masked_fill(rows.lt(0) | within.lt(0), -1)
    shape = (*lead, out.shape[1], h, w)
    return out.reshape(shape), index.reshape(shape)


def max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """Maximum over windows of [N, C, D, H, W]; stride defaults to the kernel size."""
    both = max_pool3d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return both if return_indices else both[0]


def avg_pool1d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Tensor:
    """Mean over windows of [N, C, L]; stride defaults to the kernel size."""
    return _ops.avg_pool1d(
        input,
        kernel_size,
        stride=_stride(stride),
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
    )


def avg_pool2d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Mean over windows of [N, C, H, W]; stride defaults to the kernel size."""
    return _ops.avg_pool2d(
        input,
        kernel_size,
        stride=_stride(stride),
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


def avg_pool3d(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Tensor:
    """Mean over windows of [N, C, D, H, W]: mean over H, W, then over D, as means over full windows nest."""
    kernel, pads = _tuple(kernel_size, 3, "avg_pool3d"), _tuple(padding, 3, "avg_pool3d")
    steps = kernel if stride is None else _tuple(stride, 3, "avg_pool3d")
    if divisor_override is not None and divisor_override == 0:
        raise RuntimeError("avg_pool3d: divisor_override must not be zero")
    if divisor_override is None and not input.is_floating_point():
        # Means of rounded means would be wrong: exact sums, and the numbers of elements that their windows count.
        def sums(x: Tensor, divisor: int | None = 1) -> Tensor:
            return avg_pool3d(x, kernel, steps, pads, ceil_mode, count_include_pad, divisor)

        ones = rt.ones(1, *input.shape[-3:], dtype=rt.float64)
        return rt.div(sums(input), (sums(ones) / sums(ones, None)).round().long(), rounding_mode="trunc")
    each = None if divisor_override is None else 1
    out = avg_pool2d(_wide(_planes(input)), kernel[1:], steps[1:], pads[1:], ceil_mode, count_include_pad, each)
    h, w = out.shape[-2:]
    out = out.flatten(2).unsqueeze(1)  # a batch of planes, which may be empty
    out = avg_pool2d(
        out, (kernel[0], 1), (steps[0], 1), (pads[0], 0), ceil_mode, count_include_pad, divisor_override
    ).squeeze(1)
    return out.reshape(*input.shape[:-3], out.shape[1], h, w).to(input.dtype)


def _target_size(input: Tensor, output_size: Any, n: int) -> list[int]:
    """`output_size` with None replaced by the input's own size."""
    if output_size is None:
        raise TypeError("adaptive pooling: output_size must be a number or numbers, not None")
    if isinstance(output_size, bool):
        raise DTypeError(f"adaptive pooling: output_size must be an int or ints, not {output_size}")
    sizes = (output_size,) * n if isinstance(output_size, int) else tuple(output_size)
    if n == 1 and sizes == (None,):
        raise TypeError("adaptive pooling: output_size must be a number, not None")
    if len(sizes) != n:
        raise ValueError(f"adaptive pooling: output_size must have {n} entries, got {output_size}")
    return [have if want is None else want for have, want in zip(input.shape[-n:], sizes)]


def adaptive_avg_pool1d(input: Tensor, output_size: Ints) -> Tensor:
    """[N, C, L] -> [N, C, output_size], each output the mean of its share of L."""
    return _ops.adaptive_avg_pool1d(input, _target_size(input, output_size, 1))


def adaptive_avg_pool2d(input: Tensor, output_size: Any) -> Tensor:
    """[N, C, H, W] -> [N, C, *output_size]; None keeps that dimension."""
    return _ops.adaptive_avg_pool2d(input, _target_size(input, output_size, 2))


def adaptive_avg_pool3d(input: Tensor, output_size: Any) -> Tensor:
    """[N, C, D, H, W] -> [N, C, *output_size]: H, W first, then D, as such means nest."""
    d, h, w = _target_size(input, output_size, 3)
    plane = _ops.adaptive_avg_pool2d(_wide(_planes(input)), [h, w])
    out = _ops.adaptive_avg_pool2d(plane.flatten(2), [d, h * w])
    return out.reshape(*input.shape[:-3], d, h, w).to(input.dtype)


def adaptive_max_pool2d_with_indices(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """[N, C, H, W] -> [N, C, *output_size] of maxima, and their flat indices into H * W."""
    return _ops.adaptive_max_pool2d(input, _target_size(input, output_size, 2))


def adaptive_max_pool2d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """[N, C, H, W] -> [N, C, *output_size], each output the maximum of its share."""
    both = adaptive_max_pool2d_with_indices(input, output_size)
    return both if return_indices else both[0]


def adaptive_max_pool1d_with_indices(
    input: Tensor, output_size: Ints, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """[N, C, L] -> [N, C, output_size] of maxima, and their indices along L."""
    return _ops.adaptive_max_pool1d(input, _target_size(input, output_size, 1))


def adaptive_max_pool1d(input: Tensor, output_size: Ints, return_indices: bool = False) -> Any:
    """[N, C, L] -> [N, C, output_size], each output the maximum of its share."""
    both = adaptive_max_pool1d_with_indices(input, output_size)
    return both if return_indices else both[0]


def adaptive_max_pool3d_with_indices(
    input: Tensor, output_size: Any, return_indices: bool = False
) -> tuple[Tensor, Tensor]:
    """[N, C, D, H, W] -> [N, C, *output_size] of maxima, and their flat indices into D * H * W."""
    d, h, w = _target_size(input, output_size, 3)
    *lead, _, height, width = input.shape
    planes = adaptive_max_pool2d_with_indices(_planes(input), (h, w))
    return _over_depth(planes, lead, height * width, lambda x: adaptive_max_pool2d_with_indices(x, (d, h * w)))


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """[N, C, D, H, W] -> [N, C, *output_size], each output the maximum of its share."""
    both = adaptive_max_pool3d_with_indices(input, output_size)
    return both if return_indices else both[0]


def _unpool(
    name: str, n: int, input: Tensor, indices: Tensor, kernel: Any, stride: Any, padding: Any, size: Any
) -> Tensor:
    kernel, pads = _tuple(kernel, n, name), _tuple(padding, n, name)
    steps = kernel if stride is None else _tuple(stride, n, name)
    shape = list(input.shape)
    if len(shape) not in (n + 1, n + 2):
        raise ValueError(f"{name}: expected {n + 1}D or {n + 2}D input, got shape {shape}")
    if indices.shape != input.shape:
        raise ValueError(f"{name}: indices must have the input's shape {shape}, got {list(indices.shape)}")
    if indices.dtype != rt.int64:
        raise DTypeError(f"{name}: elements in indices should be type int64 but got: {indices.dtype}")
    if size is not None and len(size) not in (n, n + 2):
        raise ValueError(f"{name}: output_size must have {n} or {n + 2} elements, got {list(size)}")
    if 0 in shape[-n - 1 :]:
        raise ValueError(f"{name}: only the batch may be empty, got shape {shape}")
    default = [(i - 1) * s - 2 * p + k for i, s, p, k in zip(shape[-n:], steps, pads, kernel)]
    want = [whole(name, "output_size", w) for w in (default if size is None else list(size)[-n:])]
    if any(not d - s < w < d + s for d, s, w in zip(default, steps, want)):
        raise ValueError(f"{name}: invalid output_size {list(want)}, it must be within a stride of {default}")
    flat = rt.zeros(*shape[:-n], math.prod(want), dtype=input.dtype, device=input.device)
    return flat.scatter(-1, indices.flatten(-n), input.flatten(-n)).reshape(*shape[:-n], *want)


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The maxima of `max_pool1d` put back where they were, zeros elsewhere."""
    return _unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The maxima of `max_pool2d` put back where they were, zeros elsewhere."""
    return _unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The maxima of `max_pool3d` put back where they were, zeros elsewhere."""
    return _unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: int, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum over the window of x^p)^(1/p) over [N, C, L]."""
    if math.isinf(norm_type):
        sign = 1 if norm_type > 0 else -1
        return sign * max_pool1d(sign * input.abs(), kernel_size, stride, ceil_mode=ceil_mode)
    return _lp(avg_pool1d(input.pow(norm_type), kernel_size, stride, 0, ceil_mode), norm_type, _tuple(kernel_size, 1))


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum over the window of x^p)^(1/p) over [N, C, H, W]."""
    if math.isinf(norm_type):
        sign = 1 if norm_type > 0 else -1
        return sign * max_pool2d(sign * input.abs(), kernel_size, stride, ceil_mode=ceil_mode)
    return _lp(avg_pool2d(input.pow(norm_type), kernel_size, stride, 0, ceil_mode), norm_type, _tuple(kernel_size, 2))


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum over the window of x^p)^(1/p) over [N, C, D, H, W]."""
    if math.isinf(norm_type):
        sign = 1 if norm_type > 0 else -1
        return sign * max_pool3d(sign * input.abs(), kernel_size, stride, ceil_mode=ceil_mode)
    return _lp(avg_pool3d(input.pow(norm_type), kernel_size, stride, 0, ceil_mode), norm_type, _tuple(kernel_size, 3))


def _lp(mean: Tensor, norm_type: float, kernel: Sequence[int]) -> Tensor:
    return (mean.sign() * relu(mean.abs()) * math.prod(kernel)).pow(1.0 / norm_type)


# ---- normalisation ----------------------------------------------------------------------------------------------


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """(x - mean) / sqrt(var + eps) * weight + bias per channel of [N, C, *] (Ioffe & Szegedy 2015)."""
    if training:
        shape = input.shape
        if shape[0] == 1 and math.prod(shape[2:]) == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")
        if eps <= 0.0:
            raise ValueError(f"batch_norm eps must be positive during training, but got {eps}")
    elif eps < 0.0:
        raise ValueError(f"batch_norm eps must be non-negative, but got {eps}")
    return _ops.batch_norm(
        input, running_mean, running_var, weight, bias, training=training, momentum=momentum, eps=eps
    )


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-05
) -> Tensor:
    """Normalise [N, C, *] over each of `num_groups` groups of channels (Wu & He 2018)."""
    if input.dim() < 2:
        raise RuntimeError(f"Expected at least 2 dimensions for input tensor but received {input.dim()}")
    if num_groups > 0 and input.size(0) * (input.size(1) // num_groups) * math.prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {list(input.shape)}")
    return _ops.group_norm(input, num_groups, weight, bias, eps=eps)


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-05,
) -> Tensor:
    """Normalise each channel of each sample of [N, C, *] (Ulyanov et al. 2016)."""
    if use_input_stats and math.prod(input.shape[2:]) == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {input.shape}")
    return _ops.instance_norm(
        input,
        running_mean,
        running_var,
        weight,
        bias,
        use_input_stats=use_input_stats,
        momentum=momentum,
        eps=eps,
    )


def local_response_norm(input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Tensor:
    """x / (k + alpha * mean of x^2 over `size` neighbouring channels)^beta (Krizhevsky et al. 2012)."""
    if input.dim() < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.dim()} dimensions)")
    if input.numel() == 0:
        return input
    square = input.pow(2).reshape(input.size(0), 1, input.size(1), -1)
    mean = avg_pool2d(pad(square, (0, 0, size // 2, (size - 1) // 2)), (size, 1), stride=1)
    return input / (mean * alpha + k).pow(beta).reshape(input.shape)


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """x / max(|x|_p, eps) along `dim`."""
    result = input / input.norm(p, dim, keepdim=True).clamp(min=eps)
    return result if out is None else into(out, result, "normalize", input)


# ---- dropout ----------------------------------------------------------------------------------------------------


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability `p`, scale the rest by 1 / (1 - p) (Srivastava et al. 2014)."""
    _probability(p)
    if inplace:
        return _inplace("dropout", input, p=p, training=training)
    return _ops.dropout(input, p=p, training=training)


def _noise(input: Tensor, p: float, per_channel: bool) -> Tensor:
    """1 with probability 1 - p: for each element, or for each channel of [N, C, *]."""
    if per_channel and input.dim() < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    shape = (*input.shape[:2], *(1,) * (input.dim() - 2)) if per_channel else tuple(input.shape)
    return rt.empty(shape, dtype=input.dtype, device=input.device).bernoulli_(1 - p)


def _dropped(
    name: str, input: Tensor, p: float, training: bool, inplace: bool, per_channel: bool, alpha: bool
) -> Tensor:
    flags(name, training=training)
    _probability(p)
    if not isinstance(input, Tensor):
        raise TypeError(f"dropout: input must be a Tensor, not {type(input).__name__}")
    if p == 0 or not training or input.numel() == 0:
        return input
    if p == 1:
        return input.mul_(0) if inplace else input * 0
    noise = _noise(input, p, per_channel)
    if not alpha:
        noise = noise.div_(1 - p)
        return input.mul_(noise) if inplace else input * noise
    # Klambauer et al. 2017: dropped units go to -alpha', then an affine map restores mean and variance.
    low = 1.7580993408473766
    a = 1.0 / math.sqrt((low * low * p + 1) * (1 - p))
    b = (noise - 1).mul_(low * a).add_(low * a * p)
    noise = noise.mul_(a)
    return input.mul_(noise).add_(b) if inplace else input * noise + b


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of [N, C, L] or [C, L]."""
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input.")
    if input.dim() == 2:
        result = _dropped("dropout1d", input.unsqueeze(0), p, training, inplace, True, False)
        return input if inplace else result.squeeze(0)
    return _dropped("dropout1d", input, p, training, inplace, True, False)


def dropout2d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of [N, C, H, W] (Tompson et al. 2015); a 3D input is read as [N, C, L]."""
    if input.dim() not in (3, 4):
        warnings.warn(
            f"dropout2d: Received a {input.dim()}-D input to dropout2d, which is deprecated and will result in an "
            "error in a future release.",
            stacklevel=2,
        )
    elif input.dim() == 3:
        warnings.warn(
            "dropout2d: Received a 3D input to dropout2d and assuming that channel-wise 1D dropout behavior is "
            "desired - input is interpreted as shape (N, C, L).",
            stacklevel=2,
        )
    return _dropped("dropout2d", input, p, training, inplace, True, False)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of [N, C, D, H, W] or [C, D, H, W]."""
    if input.dim() not in (4, 5):
        warnings.warn(f"dropout3d: Received a {input.dim()}-D input to dropout3d, which is deprecated.", stacklevel=2)
    if input.dim() == 4:
        result = _dropped("dropout3d", input.unsqueeze(0), p, training, inplace, True, False)
        return input if inplace else result.squeeze(0)
    return _dropped("dropout3d", input, p, training, inplace, True, False)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps the mean and variance of SELU networks (Klambauer et al. 2017)."""
    return _dropped("alpha_dropout", input, p, training, inplace, False, True)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels of [N, C, *]."""
    return _dropped("feature_alpha_dropout", input, p, training, inplace, True, True)


# ---- activations ------------------------------------------------------------------------------------------------


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """max(x, 0)."""
    return _ops.relu_(input) if inplace else _ops.relu(input)


def relu6(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x, 0), 6)."""
    return _inplace("relu6", input) if inplace else _ops.relu6(input)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """x if x > 0 else negative_slope * x."""
    if inplace:
        return _inplace("leaky_relu", input, negative_slope=negative_slope)
    return _ops.leaky_relu(input, negative_slope=negative_slope)


def rrelu(
    input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False, inplace: bool = False
) -> Tensor:
    """Leaky ReLU, its slope from U(lower, upper) per element in training, their mean otherwise (Xu et al. 2015)."""
    flags("rrelu", training=training)
    if not lower <= upper:
        raise RuntimeError(f"rrelu: the lower bound must be less than or equal to the upper, got {lower} and {upper}")
    if not training:
        return leaky_relu(input, (lower + upper) / 2, inplace)
    with rt.no_grad():
        negative = input.le(0)
        count = int(negative.sum().item())
        slope = rt.ones_like(input)
        slope[negative] = input.new_empty(count, dtype=rt.float64).uniform_(lower, upper).to(input.dtype)
    return input.mul_(slope) if inplace else input * slope


def elu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """x if x > 0 else alpha * (exp(x) - 1) (Clevert et al. 2015)."""
    return _inplace("elu", input, alpha=alpha) if inplace else _ops.elu(input, alpha=alpha)


def selu(input: Tensor, inplace: bool = False) -> Tensor:
    """ELU scaled to keep mean 0 and variance 1 (Klambauer et al. 2017)."""
    return _inplace("selu", input) if inplace else _ops.selu(input)


def celu(input: Tensor, alpha: float = 1.0, inplace: bool = False) -> Tensor:
    """max(0, x) + min(0, alpha * (exp(x / alpha) - 1)) (Barron 2017)."""
    return _inplace("celu", input, alpha=alpha) if inplace else _ops.celu(input, alpha=alpha)


def silu(input: Tensor, inplace: bool = False) -> Tensor:
    """x * sigmoid(x)."""
    return _inplace("silu", input) if inplace else _ops.silu(input)


def mish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * tanh(softplus(x)) (Misra 2019)."""
    return _inplace("mish", input) if inplace else _ops.mish(input)


def sigmoid(input: Tensor) -> Tensor:
    """1 / (1 + exp(-x))."""
    return input.sigmoid()


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent."""
    return input.tanh()


def hardtanh(input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Tensor:
    """x clamped to [min_val, max_val]."""
    if min_val > max_val:
        raise ValueError("min_val cannot be greater than max_val")
    if inplace:
        return _inplace("hardtanh", input, min_val=min_val, max_val=max_val)
    return _ops.hardtanh(input, min_val=min_val, max_val=max_val)


def hardsigmoid(input: Tensor, inplace: bool = False) -> Tensor:
    """min(max(x / 6 + 1 / 2, 0), 1)."""
    return _inplace("hardsigmoid", input) if inplace else _ops.hardsigmoid(input)


def hardswish(input: Tensor, inplace: bool = False) -> Tensor:
    """x * hardsigmoid(x) (Howard et al. 2019)."""
    return _inplace("hardswish", input) if inplace else _ops.hardswish(input)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Tensor:
    """x where x > threshold, else value."""
    if inplace:
        return _inplace("threshold", input, threshold, value)
    return _ops.threshold(input, threshold, value)


def glu(input: Tensor, dim: int = -1) -> Tensor:
    """a * sigmoid(b), a and b the halves of x along `dim` (Dauphin et al. 2016)."""
    if input.dim() == 0:
        raise RuntimeError("glu does not support scalars because halving size must be even")
    return _ops.glu(input, dim=dim)


def relu_(input: Tensor) -> Tensor:
    """`relu` in place."""
    return relu(input, True)


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """`leaky_relu` in place."""
    return leaky_relu(input, negative_slope, True)


def elu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`elu` in place."""
    return elu(input, alpha, True)


def selu_(input: Tensor) -> Tensor:
    """`selu` in place."""
    return selu(input, True)


def celu_(input: Tensor, alpha: float = 1.0) -> Tensor:
    """`celu` in place."""
    return celu(input, alpha, True)


def rrelu_(input: Tensor, lower: float = 1.0 / 8, upper: float = 1.0 / 3, training: bool = False) -> Tensor:
    """`rrelu` in place."""
    return rrelu(input, lower, upper, training, True)


def hardtanh_(input: Tensor, min_val: float = -1.0, max_val: float = 1.0) -> Tensor:
    """`hardtanh` in place."""
    return hardtanh(input, min_val, max_val, True)


def threshold_(input: Tensor, threshold: float, value: float) -> Tensor:
    """`threshold` in place."""
    return _inplace("threshold", input, threshold, value)


def _softmax_dim(name: str, ndim: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=3,
    )
    return 0 if ndim in (0, 1, 3) else 1


def softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: rt.dtype | None = None) -> Tensor:
    """exp(x) / sum of exp(x) along `dim`."""
    if dim is None:
        dim = _softmax_dim("softmax", input.dim())
    return _ops.softmax(input, dim, dtype=dtype)


def softmin(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: rt.dtype | None = None) -> Tensor:
    """softmax(-x)."""
    if dim is None:
        dim = _softmax_dim("softmin", input.dim())
    return _ops.softmin(input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: rt.dtype | None = None) -> Tensor:
    """log(softmax(x)), stable."""
    if dim is None:
        dim = _softmax_dim("log_softmax", input.dim())
    return _ops.log_softmax(input, dim, dtype=dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A differentiable sample of the categorical distribution; one-hot with `hard` (Jang et al. 2016)."""
    dim = whole("gumbel_softmax", "dim", dim)
    gumbels = -rt.empty_like(logits).exponential_().log()
    soft = softmax((logits + gumbels) / tau, dim)
    if not hard:
        return soft
    index = soft.max(dim, keepdim=True)[1]
    return rt.zeros_like(logits).scatter(dim, index, 1.0) - soft.detach() + soft


# ---- padding and resizing ---------------------------------------------------------------------------------------


def pad(input: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Tensor:
    """Pad (or with negative numbers crop): (before, after) of the last dimension first, then of the one before it.

    Modes: "constant" (with `value`, 0 by default), "reflect", "replicate", "circular".
    """
    if mode == "constant":
        return _ops.pad(input, pad, mode=mode, value=0.0 if value is None else value)
    if value:
        raise NotImplementedError(f'Padding mode "{mode}" doesn\'t take in value argument')
    if mode in ("reflect", "replicate") and 0 in input.shape[-(len(pad) // 2) - 1 :]:
        raise RuntimeError(f"pad: only the batch may be empty, got input of shape {list(input.shape)}")
    return _ops.pad(input, pad, mode=mode)


def channel_shuffle(input: Tensor, groups: int) -> Tensor:
    """[N, C, *] with channel g * (C / groups) + c moved to c * groups + g (Zhang et al. 2017)."""
    if input.dim() < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got {input.dim()}")
    groups = whole("channel_shuffle", "groups", groups)
    n, c, *rest = input.shape
    if groups <= 0 or c % groups:
        raise RuntimeError(f"channel_shuffle: channels must be divisible by groups, got {c} and {groups}")
    return input.reshape(n, groups, c // groups, *rest).transpose(1, 2).clone().reshape(n, c, *rest)


_MODES = {1: ("linear",), 2: ("bilinear", "bicubic"), 3: ("trilinear",)}


def interpolate(
    input: Tensor,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Tensor:
    """Resize the spatial dimensions of [N, C, *] to `size`, or by `scale_factor`.

    Modes: nearest, nearest-exact, area, linear (3D), bilinear and bicubic (4D), trilinear (5D).
    """
    n = input.dim() - 2
    if n not in _MODES:
        raise NotImplementedError(f"interpolate: only 3D, 4D and 5D inputs are supported, got {input.dim()}D")
    smooth = mode not in ("nearest", "nearest-exact", "area")
    if not smooth and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    if smooth and mode not in _MODES[n]:
        raise NotImplementedError(f"interpolate: mode '{mode}' does not go with a {n + 2}D input, use {_MODES[n]}")
    if antialias:
        raise NotImplementedError("interpolate: antialias=True is not supported")
    if (size is None) == (scale_factor is None):
        raise ValueError(
            "either size or scale_factor should be defined"
            if size is None
            else "only one of size or scale_factor should be defined"
        )
    given = scale_factor if size is None else size
    given = (given,) * n if isinstance(given, (int, float)) else tuple(given)
    if size is not None and any(isinstance(v, (bool, float)) for v in given):
        raise TypeError(f"expected size to be an int or {n} of them, got {size}")
    if align_corners is not None and not isinstance(align_corners, bool):
        raise TypeError(f"interpolate: align_corners must be a bool or None, got {align_corners!r}")
    if input.size(1) == 0:
        raise RuntimeError(f"interpolate: only the batch may be empty, got input of shape {list(input.shape)}")
    if len(given) != n:
        raise ValueError(f"Input and output must have the same number of spatial dimensions, got {list(given)} for {n}")
    scales: tuple[float | None, ...] = (None,) * n
    if size is None:
        size = [math.floor(have * factor) for have, factor in zip(input.shape[2:], given)]
        if not recompute_scale_factor and mode != "area":
            scales = given
    elif recompute_scale_factor:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    else:
        size = list(given)
    if min(*size, *input.shape[2:]) <= 0:
        raise RuntimeError(
            f"interpolate: input and output sizes should be greater than 0, got {list(input.shape[2:])} and {size}"
        )
    whole = not input.is_floating_point()
    if smooth and whole and (input.dtype != rt.uint8 or n != 2):
        raise NotImplementedError(f"interpolate: mode '{mode}' is not implemented for {n + 2}D inputs of {input.dtype}")
    copied = mode.endswith("linear") or mode == "area" or (mode == "nearest" and n == 2)
    if copied and list(size) == list(input.shape[2:]):
        return input.clone()
    if copied:  # a dimension that keeps its size is copied, and exactly doubled in 2-D, whatever the scale
        twice = 2 if mode == "nearest" else 1
        scales = tuple(
            None if new in (have, twice * have) else f for f, have, new in zip(scales, input.shape[2:], size)
        )
    if mode == "area":
        return (adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_avg_pool3d)[n - 1](input, size)
    # The table's ops take the ratio of the sizes as the scale.
    if (
        n == 2
        and not whole
        and all(f is None or f * have == new for f, have, new in zip(scales, input.shape[2:], size))
    ):
        if mode == "nearest":
            return _ops.upsample_nearest2d(input, size)
        if mode == "bilinear":
            return _ops.upsample_bilinear2d(input, size, align_corners=bool(align_corners))
    out = input.float() if whole and smooth else _wide(input)
    # Bytes are rounded after each dimension, the last of which comes first.
    for dim in range(n + 1, 1, -1) if whole else range(2, n + 2):
        out = _resize(out, dim, size[dim - 2], scales[dim - 2], mode, bool(align_corners))
        if whole and smooth:
            out = (out + 0.5).floor().clamp(0, 255)
    return out.to(input.dtype)


def _resize(x: Tensor, dim: int, new: int, factor: float | None, mode: str, align_corners: bool) -> Tensor:
    """One dimension of a separable resize, as sums of `index_select`s."""
    old = x.size(dim)
    ratio = 1.0 / factor if factor else old / new
    exact = mode.startswith("nearest") or x.dtype != rt.float64
    at = rt.arange(new, dtype=rt.float32 if exact else rt.float64, device=x.device)
    if mode == "nearest":
        return x.index_select(dim, (at * ratio).floor().clamp(max=old - 1).long())
    if mode == "nearest-exact":
        return x.index_select(dim, ((at + 0.5) * ratio).floor().clamp(max=old - 1).long())
    if align_corners:
        at = at * ((old - 1) / (new - 1) if new > 1 else 0.0)
    else:
        at = (at + 0.5) * ratio - 0.5
    if mode == "bicubic":
        low = at.floor()
        f = at - low
        a = -0.75  # Keys 1981
        far, near, step = _cubic_far, _cubic_near, ((-1, f + 1), (0, f), (1, 1 - f), (2, 2 - f))
        taps = [(low + o, (far if abs(2 * o - 1) == 3 else near)(d, a)) for o, d in step]
    else:
        at = at.clamp(min=0)
        low = at.floor().clamp(max=old - 1)
        f = (at - low).clamp(max=1)
        taps = [(low, 1 - f), (low + 1, f)]
    shape = (-1,) + (1,) * (x.dim() - 1 - dim)
    terms = [x.index_select(dim, i.clamp(0, old - 1).long()) * w.to(x.dtype).reshape(shape) for i, w in taps]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _cubic_near(d: Tensor, a: float) -> Tensor:
    return ((a + 2) * d - (a + 3)) * d * d + 1


def _cubic_far(d: Tensor, a: float) -> Tensor:
    return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a


def upsample(
    input: Tensor, size: Any = None, scale_factor: Any = None, mode: str = "nearest", align_corners: bool | None = None
) -> Tensor:
    """The old name of `interpolate`."""
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode "nearest"."""
    return interpolate(input, size, scale_factor, "nearest")


def upsample_bilinear(input: Tensor, size: Any = None, scale_factor: Any = None) -> Tensor:
    """`interpolate` with mode "bilinear" and aligned corners."""
    return interpolate(input, size, scale_factor, "bilinear", True)


def affine_grid(theta: Tensor, size: Sequence[int], align_corners: bool | None = None) -> Tensor:
    """Sampling grid of 2D affine maps: theta [N, 2, 3], size (N, C, H, W) -> [N, H, W, 2], coordinates in [-1, 1]."""
    if len(size) != 4 or tuple(theta.shape) != (size[0], 2, 3):
        raise NotImplementedError(
            f"affine_grid: expected theta [N, 2, 3] and size (N, C, H, W), got {list(theta.shape)} and {tuple(size)}"
        )
    if min(size) <= 0:
        raise ValueError(f"affine_grid: expected non-zero, positive output size, got {tuple(size)}")

    if align_corners is not None:
        flags("affine_grid", align_corners=align_corners)

    def axis(n: int) -> Tensor:
        if n <= 1:
            return rt.zeros(n, dtype=theta.dtype, device=theta.device)
        line = rt.linspace(-1, 1, n, dtype=theta.dtype, device=theta.device)
        return line if align_corners else line * ((n - 1) / n)

    n, _, h, w = ints(tuple(size))
    x, y = axis(w).reshape(1, w).expand(h, w), axis(h).reshape(h, 1).expand(h, w)
    base = rt.stack([x, y, rt.ones(h, w, dtype=theta.dtype, device=theta.device)], dim=-1).reshape(1, h * w, 3)
    return base.matmul(theta.transpose(1, 2)).reshape(n, h, w, 2)


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """input [N, C, H, W] read at grid [N, h, w, 2] of (x, y) in [-1, 1] -> [N, C, h, w] (Jaderberg et al. 2015)."""
    if input.dim() != 4 or grid.dim() != 4 or grid.size(-1) != 2 or grid.size(0) != input.size(0):
        raise NotImplementedError(
            f"grid_sample: expected input [N, C, H, W] and grid [N, h, w, 2], "
            f"got {list(input.shape)} and {list(grid.shape)}"
        )
    if not input.is_floating_point() or input.dtype != grid.dtype:
        raise DTypeError(f"grid_sample: input and grid must have one float dtype, got {input.dtype} and {grid.dtype}")
    if mode not in ("bilinear", "nearest"):
        raise NotImplementedError(f"grid_sample: mode must be 'bilinear' or 'nearest', got '{mode}'")
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(f"grid_sample: padding_mode must be zeros, border or reflection, got '{padding_mode}'")
    if align_corners is not None:
        flags("grid_sample", align_corners=align_corners)
    n, c, h, w = input.shape
    if h == 0 or w == 0:
        raise RuntimeError(f"grid_sample: expected non-empty spatial dimensions, got input {list(input.shape)}")

    def locate(v: Tensor, size: int) -> Tensor:
        at = place(v, size)
        # What is nowhere is seen at the border, if anything is.
        return at if padding_mode == "zeros" else rt.where(at.isnan(), rt.zeros_like(at), at)

    def place(v: Tensor, size: int) -> Tensor:
        at = (v + 1) / 2 * (size - 1) if align_corners else ((v + 1) * size - 1) / 2
        if padding_mode == "reflection":
            low, span = (0.0, size - 1) if align_corners else (-0.5, size)
            if span == 0:
                return at * 0
            off = (at - low).abs()
            turns = (off / span).floor().detach()
            rest = off - turns * span
            at = rt.where(turns.remainder(2).eq(0), rest + low, span - rest + low)
        return at if padding_mode == "zeros" else at.clamp(0, size - 1)

    x, y = locate(grid[..., 0], w), locate(grid[..., 1], h)
    pixels = input.reshape(n, c, h * w)

    def read(ix: Tensor, iy: Tensor) -> Tensor:
        cx, cy = ix.clamp(0, w - 1), iy.clamp(0, h - 1)
        inside = cx.eq(ix).logical_and(cy.eq(iy))
        count = ix.size(1) * ix.size(2)
        index = (cy * w + cx).long().reshape(n, 1, count).expand(n, c, count)
        return pixels.gather(2, index).reshape(n, c, *ix.shape[1:]) * inside.unsqueeze(1).to(input.dtype)

    if mode == "nearest":
        out = read(x.detach().round(), y.detach().round())
        if grid.requires_grad:  # whose gradient is zero, not missing
            out = rt.where(rt.ones((), dtype=rt.bool), out, grid.sum(-1).unsqueeze(1).expand(out.shape))
        return out
    left, top = x.detach().floor(), y.detach().floor()
    fx, fy = (x - left).unsqueeze(1), (y - top).unsqueeze(1)
    upper = read(left, top) * (1 - fx) + read(left + 1, top) * fx
    lower = read(left, top + 1) * (1 - fx) + read(left + 1, top + 1) * fx
    return upper * (1 - fy) + lower * fy


# ---- attention --------------------------------------------------------------------------------------------------


def scaled_dot_product_attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """softmax(q k^T scale + mask) v; q [*, L, E], k [*, S, E], v [*, S, Ev] -> [*, L, Ev] (Vaswani et al. 2017).

    A boolean mask [*, L, S] is True where attention may go; a float one is added.
    """
    return _ops.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa
    )


class _Unfit(InvalidArgumentError, AssertionError):
    """Arguments of attention that do not fit together: PyTorch asserts that they do."""


def multi_head_attention_forward(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    embed_dim_to_check: int,
    num_heads: int,
    in_proj_weight: Tensor | None,
    in_proj_bias: Tensor | None,
    bias_k: Tensor | None,
    bias_v: Tensor | None,
    add_zero_attn: bool,
    dropout_p: float,
    out_proj_weight: Tensor,
    out_proj_bias: Tensor | None,
    training: bool = True,
    key_padding_mask: Tensor | None = None,
    need_weights: bool = True,
    attn_mask: Tensor | None = None,
    use_separate_proj_weight: bool = False,
    q_proj_weight: Tensor | None = None,
    k_proj_weight: Tensor | None = None,
    v_proj_weight: Tensor | None = None,
    static_k: Tensor | None = None,
    static_v: Tensor | None = None,
    average_attn_weights: bool = True,
    is_causal: bool = False,
) -> tuple[Tensor, Tensor | None]:
    """Multi-head attention (Vaswani et al. 2017).

    query [L, N, E], key and value [S, N, *] -> [L, N, E] and, if needed, the weights [N, L, S].
    """
    if attn_mask is not None and key_padding_mask is not None and attn_mask.dtype != key_padding_mask.dtype:
        warnings.warn(
            "Support for mismatched key_padding_mask and attn_mask is deprecated. Use same type for both instead.",
            stacklevel=2,
        )
    try:
        output, *weights = _ops.multi_head_attention_forward(
            query, key, value, embed_dim_to_check, num_heads, in_proj_weight, in_proj_bias, bias_k, bias_v,
            add_zero_attn, dropout_p, out_proj_weight, out_proj_bias, training, key_padding_mask, need_weights,
            attn_mask, use_separate_proj_weight, q_proj_weight, k_proj_weight, v_proj_weight, static_k, static_v,
            average_attn_weights, is_causal,
        )  # fmt: skip
    except (ShapeMismatchError, InvalidArgumentError) as e:
        unfit = _Unfit(*e.args)
        unfit.op = e.op
        raise unfit from None
    return output, weights[0] if weights else None
