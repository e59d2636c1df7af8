"""The layers as functions: `import rustorch.nn.functional as F`.

Most are one call of the op table; the rest are compositions of ops, so gradients of any order come by themselves.
Shapes in the docstrings: N batch, C channels, L / H, W length / height, width; `*` any number of dimensions.
"""

# Functions of the package that are looked up when first used are not typed.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import rustorch as rt
from rustorch import Tensor, _ops
from rustorch._arguments import flags, into, ints, whole
from rustorch.errors import DTypeError, InvalidArgumentError, ShapeMismatchError

from ._losses import *  # noqa: F403

if TYPE_CHECKING:
    Ints = int | Sequence[int]
    Floats = float | Sequence[float]

# ---- helpers ----------------------------------------------------------------------------------------------------


def _inplace(name: str, input: Tensor, *args: Any, **attributes: Any) -> Tensor:
    """Op `name` in place: by its twin, or where backward will need the old values, computed from a copy of them."""
    twin = getattr(_ops, name + "_", None)
    if twin is None or (input.requires_grad and rt.is_grad_enabled()):
        return input.copy_(getattr(_ops, name)(input.clone(), *args, **attributes))
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
        _ops.embedding_renorm_(weight, rows, max_norm, norm_type)


def _dense_only(name: str, scale_grad_by_freq: bool, sparse: bool) -> None:
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


_BAGS = ("sum", "mean", "max")


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
    flags("embedding_bag", include_last_offset=include_last_offset)
    if mode not in _BAGS:
        raise ValueError("mode has to be one of sum, mean or max")
    if max_norm is not None:
        _renormalize(weight, input, max_norm, norm_type)
    return _ops.embedding_bag(
        weight,
        input,
        offsets,
        _BAGS.index(mode),
        per_sample_weights,
        include_last_offset=include_last_offset and input.dim() == 1,
        padding_idx=padding_idx,
    )[0]


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
        return _ops.conv1d_padding(input, weight, bias, stride, padding, dilation, groups)
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
        return _ops.conv2d_padding(input, weight, bias, stride, padding, dilation, groups)
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
        return _ops.conv3d_padding(input, weight, bias, stride, padding, dilation, groups)
    return _ops.conv3d(input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def unfold(input: Tensor, kernel_size: Ints, dilation: Ints = 1, padding: Ints = 0, stride: Ints = 1) -> Tensor:
    """Sliding patches as columns: input [N, C, H, W] -> [N, C * kh * kw, number of patches]."""
    if 0 in input.shape[-3:]:
        raise RuntimeError(f"unfold: only the batch may be empty, got input of shape {list(input.shape)}")
    return _ops.im2col(input, kernel_size, dilation=dilation, padding=padding, stride=stride)


def fold(
    input: Tensor,
    output_size: Ints,
    kernel_size: Ints,
    dilation: Ints = 1,
    padding: Ints = 0,
    stride: Ints = 1,
) -> Tensor:
    """Sum of patches, the transpose of `unfold`: input [N, C * kh * kw, patches] -> [N, C, *output_size]."""
    return _ops.col2im(input, output_size, kernel_size, dilation=dilation, padding=padding, stride=stride)


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


def max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    dilation: Ints = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> tuple[Tensor, Tensor]:
    """Maximum over windows of [N, C, D, H, W], and where it was (flat index into D * H * W)."""
    return _ops.max_pool3d_with_indices(
        input, kernel_size, stride=_stride(stride), padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )


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
    if return_indices:
        return max_pool3d_with_indices(input, kernel_size, stride, padding, dilation, ceil_mode)
    return _ops.max_pool3d(
        input, kernel_size, stride=_stride(stride), padding=padding, dilation=dilation, ceil_mode=ceil_mode
    )


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
    """Mean over windows of [N, C, D, H, W]; stride defaults to the kernel size."""
    return _ops.avg_pool3d(
        input,
        kernel_size,
        stride=_stride(stride),
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


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
    """[N, C, D, H, W] -> [N, C, *output_size]; None keeps that dimension."""
    return _ops.adaptive_avg_pool3d(input, _target_size(input, output_size, 3))


def _fractional(
    n: int, input: Tensor, kernel_size: Ints, output_size: Any, output_ratio: Any, samples: Tensor | None
) -> tuple[Tensor, Tensor]:
    op = f"fractional_max_pool{n}d"
    if output_size is None and output_ratio is None:
        raise InvalidArgumentError(f"{op} requires specifying either an output_size or an output_ratio")
    if output_size is None:
        ratios = (output_ratio,) * n if isinstance(output_ratio, (int, float)) else tuple(output_ratio)
        if len(ratios) != n:
            raise InvalidArgumentError(f"{op} requires output_ratio to be a single number or {n} of them")
        output_size = [int(size * ratio) for size, ratio in zip(input.shape[-n:], ratios)]
    if samples is None:
        batch = 1 if input.dim() == n + 1 else input.size(0)
        samples = rt.rand(batch, input.size(-n - 1), n, dtype=input.dtype, device=input.device)
    return getattr(_ops, op)(input, kernel_size, output_size, samples)


def fractional_max_pool2d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Maximum over windows of [N, C, H, W] that begin at random distances, and where it was (flat index into H * W)."""
    return _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool2d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Maximum over windows of [N, C, H, W] that begin at random distances: so many, or so many for each element."""
    both = _fractional(2, input, kernel_size, output_size, output_ratio, _random_samples)
    return both if return_indices else both[0]


def fractional_max_pool3d_with_indices(
    input: Tensor,
    kernel_size: Ints,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Maximum over windows of [N, C, D, H, W] that begin at random distances, and where it was."""
    return _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)


def fractional_max_pool3d(
    input: Tensor,
    kernel_size: Ints,
    output_size: Any = None,
    output_ratio: Any = None,
    return_indices: bool = False,
    _random_samples: Tensor | None = None,
) -> Any:
    """Maximum over windows of [N, C, D, H, W] that begin at random distances: so many, or so many for each element."""
    both = _fractional(3, input, kernel_size, output_size, output_ratio, _random_samples)
    return both if return_indices else both[0]


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
    return _ops.adaptive_max_pool3d(input, _target_size(input, output_size, 3))


def adaptive_max_pool3d(input: Tensor, output_size: Any, return_indices: bool = False) -> Any:
    """[N, C, D, H, W] -> [N, C, *output_size], each output the maximum of its share."""
    both = adaptive_max_pool3d_with_indices(input, output_size)
    return both if return_indices else both[0]


def _unpooled_size(
    name: str, n: int, input: Tensor, kernel: Any, stride: Any, padding: Any, size: Any
) -> Sequence[int]:
    """The `output_size` that the windows ask for, or the one that is given, which may differ by less than a stride."""
    kernel, pads = _tuple(kernel, n, name), _tuple(padding, n, name)
    steps = kernel if stride is None else _tuple(stride, n, name)
    default = [(i - 1) * s - 2 * p + k for i, s, p, k in zip(input.shape[-n:], steps, pads, kernel)]
    if size is not None and len(size) not in (n, n + 2):
        raise ValueError(f"{name}: output_size must have {n} or {n + 2} elements, got {list(size)}")
    want = [whole(name, "output_size", w) for w in (default if size is None else list(size)[-n:])]
    if len(default) == n and any(not d - s < w < d + s for d, s, w in zip(default, steps, want)):
        raise ValueError(f"{name}: invalid output_size {list(want)}, it must be within a stride of {default}")
    return want


def max_unpool1d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The maxima of `max_pool1d` put back where they were, zeros elsewhere."""
    size = _unpooled_size("max_unpool1d", 1, input, kernel_size, stride, padding, output_size)
    return _ops.max_unpool1d(input, indices, size)


def max_unpool2d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The maxima of `max_pool2d` put back where they were, zeros elsewhere."""
    size = _unpooled_size("max_unpool2d", 2, input, kernel_size, stride, padding, output_size)
    return _ops.max_unpool2d(input, indices, size)


def max_unpool3d(
    input: Tensor,
    indices: Tensor,
    kernel_size: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    output_size: Sequence[int] | None = None,
) -> Tensor:
    """The maxima of `max_pool3d` put back where they were, zeros elsewhere."""
    size = _unpooled_size("max_unpool3d", 3, input, kernel_size, stride, padding, output_size)
    return _ops.max_unpool3d(input, indices, size)


def lp_pool1d(
    input: Tensor, norm_type: float, kernel_size: int, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum over the window of x^p)^(1/p) over [N, C, L]."""
    return _ops.lp_pool1d(input, norm_type, kernel_size, stride=_stride(stride), ceil_mode=ceil_mode)


def lp_pool2d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum over the window of x^p)^(1/p) over [N, C, H, W]."""
    return _ops.lp_pool2d(input, norm_type, kernel_size, stride=_stride(stride), ceil_mode=ceil_mode)


def lp_pool3d(
    input: Tensor, norm_type: float, kernel_size: Ints, stride: Ints | None = None, ceil_mode: bool = False
) -> Tensor:
    """(sum over the window of x^p)^(1/p) over [N, C, D, H, W]."""
    return _ops.lp_pool3d(input, norm_type, kernel_size, stride=_stride(stride), ceil_mode=ceil_mode)


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
    return _ops.local_response_norm(input, size, alpha=alpha, beta=beta, k=k)


def normalize(input: Tensor, p: float = 2.0, dim: Any = 1, eps: float = 1e-12, out: Tensor | None = None) -> Tensor:
    """x / max(|x|_p, eps) along `dim`."""
    result = _ops.normalize(input, p, dim, eps)
    return result if out is None else into(out, result, "normalize", input)


# ---- dropout ----------------------------------------------------------------------------------------------------


def dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero each element with probability `p`, scale the rest by 1 / (1 - p) (Srivastava et al. 2014)."""
    _probability(p)
    if inplace:
        return _inplace("dropout", input, p=p, training=training)
    return _ops.dropout(input, p=p, training=training)


def _dropped(op: str, name: str, input: Tensor, p: float, training: bool, inplace: bool) -> Tensor:
    flags(name, training=training)
    if not isinstance(input, Tensor):
        raise TypeError(f"{name}: input must be a Tensor, not {type(input).__name__}")
    _probability(p)
    if inplace and (p == 0 or not training):
        return input
    return getattr(_ops, op + "_" if inplace else op)(input, p=p, training=training)


def dropout1d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of [N, C, L] or [C, L]."""
    if input.dim() not in (2, 3):
        raise RuntimeError(f"dropout1d: Expected 2D or 3D input, but received a {input.dim()}D input.")
    if input.dim() == 2:
        result = _dropped("feature_dropout", "dropout1d", input.unsqueeze(0), p, training, inplace)
        return input if inplace else result.squeeze(0)
    return _dropped("feature_dropout", "dropout1d", input, p, training, inplace)


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
    return _dropped("feature_dropout", "dropout2d", input, p, training, inplace)


def dropout3d(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    """Zero whole channels of [N, C, D, H, W] or [C, D, H, W]."""
    if input.dim() not in (4, 5):
        warnings.warn(f"dropout3d: Received a {input.dim()}-D input to dropout3d, which is deprecated.", stacklevel=2)
    if input.dim() == 4:
        result = _dropped("feature_dropout", "dropout3d", input.unsqueeze(0), p, training, inplace)
        return input if inplace else result.squeeze(0)
    return _dropped("feature_dropout", "dropout3d", input, p, training, inplace)


def alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """Dropout that keeps the mean and variance of SELU networks (Klambauer et al. 2017)."""
    return _dropped("alpha_dropout", "alpha_dropout", input, p, training, inplace)


def feature_alpha_dropout(input: Tensor, p: float = 0.5, training: bool = False, inplace: bool = False) -> Tensor:
    """`alpha_dropout` of whole channels of [N, C, *]."""
    return _dropped("feature_alpha_dropout", "feature_alpha_dropout", input, p, training, inplace)


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
    if inplace:
        return _inplace("rrelu", input, lower=lower, upper=upper, training=training)
    return _ops.rrelu(input, lower=lower, upper=upper, training=training)


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
    return _ops.gumbel_softmax(logits, tau, hard, dim)


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
    return _ops.channel_shuffle(input, groups)


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
    if antialias and mode not in ("bilinear", "bicubic"):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor as input"
        )
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
    if mode == "area":
        return (_ops.adaptive_avg_pool1d, _ops.adaptive_avg_pool2d, _ops.adaptive_avg_pool3d)[n - 1](input, size)
    if not smooth:
        op = "upsample_nearest_exact" if mode == "nearest-exact" else "upsample_nearest"
        return getattr(_ops, f"{op}{n}d")(input, size, *scales)
    op = f"upsample_{mode}{n}d{'_aa' if antialias else ''}"
    return getattr(_ops, op)(input, size, bool(align_corners), *scales)


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
    """Sampling grid of affine maps: theta [N, 2, 3], size (N, C, H, W) -> [N, H, W, 2], coordinates in [-1, 1].

    Or theta [N, 3, 4], size (N, C, D, H, W) -> [N, D, H, W, 3].
    """
    if align_corners is not None:
        flags("affine_grid", align_corners=align_corners)
    return _ops.affine_grid_generator(theta, ints(tuple(size)), bool(align_corners))


_SAMPLING, _OUTSIDE = ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection")


def grid_sample(
    input: Tensor,
    grid: Tensor,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Tensor:
    """input [N, C, H, W] read at grid [N, h, w, 2] of (x, y) in [-1, 1] -> [N, C, h, w] (Jaderberg et al. 2015).

    Or input [N, C, D, H, W] at grid [N, d, h, w, 3] of (x, y, z). Modes: bilinear, nearest, bicubic (4D). Outside there
    are "zeros", the "border", or the "reflection" of the input.
    """
    if mode not in _SAMPLING:
        raise ValueError(f"grid_sample: mode must be 'bilinear', 'nearest' or 'bicubic', got '{mode}'")
    if padding_mode not in _OUTSIDE:
        raise ValueError(f"grid_sample: padding_mode must be zeros, border or reflection, got '{padding_mode}'")
    if align_corners is not None:
        flags("grid_sample", align_corners=align_corners)
    if input.dim() not in (4, 5) or grid.dim() != input.dim():
        raise NotImplementedError(
            f"grid_sample: expected input and grid of four or five dimensions, "
            f"got {list(input.shape)} and {list(grid.shape)}"
        )
    op = _ops.grid_sampler_2d if input.dim() == 4 else _ops.grid_sampler_3d
    return op(input, grid, _SAMPLING.index(mode), _OUTSIDE.index(padding_mode), bool(align_corners))


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
