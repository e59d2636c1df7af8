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
from typing import TYPE_CHECKING, Any

import rustorch as rt
from rustorch import Tensor, _ops
from rustorch._door import _fits, flags, into, ints, refused, whole
from rustorch.errors import DTypeError

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


def _legacy_reduction(size_average: bool | None, reduce: bool | None) -> str:
    """The `reduction` that the two arguments of old stood for."""
    each, total = reduce is not None and not reduce, size_average is not None and not size_average
    name = "none" if each else "sum" if total else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{name}' instead.", stacklevel=3
    )
    return name


def _reduction(reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    if size_average is not None or reduce is not None:
        return _legacy_reduction(size_average, reduce)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    return reduction


def _reduce(loss: Tensor, reduction: str) -> Tensor:
    if reduction == "mean":
        return loss.mean()
    if reduction == "sum":
        return loss.sum()
    if reduction == "none":
        return loss
    raise ValueError(f"{reduction} is not a valid value for reduction")


def _warn_size(input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). "
            "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )


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
pixel_shuffle = _ops.pixel_shuffle
pixel_unshuffle = _ops.pixel_unshuffle


# ---- linear and embedding ---------------------------------------------------------------------------------------


def _renormalize(weight: Tensor, rows: Tensor, max_norm: float, norm_type: float) -> None:
    """Scale those `rows` of `weight` down, in place, whose norm is above `max_norm`."""
    with rt.no_grad():
        _ops.embedding_renorm_(weight, rows, max_norm, norm_type)


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
    return _ops.softmax(-input, dim, dtype=dtype)


def log_softmax(input: Tensor, dim: int | None = None, _stacklevel: int = 3, dtype: rt.dtype | None = None) -> Tensor:
    """log(softmax(x)), stable."""
    if dim is None:
        dim = _softmax_dim("log_softmax", input.dim())
    return _ops.log_softmax(input, dim, dtype=dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """A differentiable sample of the categorical distribution; one-hot with `hard` (Jang et al. 2016)."""
    dim = whole("gumbel_softmax", "dim", dim)
    return _ops.gumbel_softmax(logits, tau, hard, dim)


# ---- distances --------------------------------------------------------------------------------------------------


def pairwise_distance(x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Tensor:
    """|x1 - x2 + eps|_p along the last dimension."""
    if not (isinstance(x1, Tensor) and isinstance(x2, Tensor)):
        raise TypeError(f"pairwise_distance: expected two Tensors, got {type(x1).__name__} and {type(x2).__name__}")
    if not _fits("Float", p):
        raise refused("pairwise_distance", "p", "Float", p)
    return _ops.pairwise_distance(x1, x2, p, eps, keepdim)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """p-norm distances between all pairs of rows of [n, d] -> [n (n - 1) / 2]."""
    return _ops.pdist(input, p)


# ---- losses -----------------------------------------------------------------------------------------------------


def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """-log softmax(input)[target]; input [N, C, *], target [N, *] of classes, or [N, C, *] of probabilities."""
    if size_average is not None or reduce is not None:
        reduction = _legacy_reduction(size_average, reduce)
    return _ops.cross_entropy(
        input, target, weight, ignore_index=ignore_index, label_smoothing=label_smoothing, reduction=reduction
    )


def nll_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-weight[target] * input[target]; input [N, C, *] of log-probabilities, target [N, *]."""
    if size_average is not None or reduce is not None:
        reduction = _legacy_reduction(size_average, reduce)
    return _ops.nll_loss(input, target, weight, ignore_index=ignore_index, reduction=reduction)


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """(input - target)^2; with `weight`, mean is the weighted one."""
    _warn_size(input, target)
    if size_average is not None or reduce is not None:
        reduction = _legacy_reduction(size_average, reduce)
    if weight is None:
        return _ops.mse_loss(input, target, reduction=reduction)
    return _weighted(_ops.mse_loss(input, target, reduction="none"), weight, reduction, normalised=True)


def l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """|input - target|; with `weight`, mean is the weighted one."""
    _warn_size(input, target)
    if size_average is not None or reduce is not None:
        reduction = _legacy_reduction(size_average, reduce)
    if weight is None:
        return _l1(input, target, reduction)
    return _weighted(_l1(input, target, "none"), weight, reduction, normalised=True)


def _l1(input: Tensor, target: Tensor, reduction: str) -> Tensor:
    """|input - target|, also of whole numbers."""
    if input.dtype.is_floating_point and target.dtype.is_floating_point:
        return _ops.l1_loss(input, target, reduction=reduction)
    if rt.bool in (input.dtype, target.dtype):
        raise DTypeError(f"l1_loss: not implemented for dtype bool, got {input.dtype} and {target.dtype}")
    return _reduce((input - target).abs(), reduction)


def _weighted(loss: Tensor, weight: Tensor, reduction: str, normalised: bool) -> Tensor:
    if weight.shape != loss.shape:
        raise ValueError(f"Weights and input must have the same size, got {list(weight.shape)} and {list(loss.shape)}")
    if normalised and reduction == "mean":
        return (loss * weight).sum() / weight.sum()
    return _reduce(loss * weight, reduction)


def smooth_l1_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Tensor:
    """d^2 / (2 beta) where d = |input - target| < beta, else d - beta / 2 (Girshick 2015)."""
    _warn_size(input, target)
    if size_average is not None or reduce is not None:
        reduction = _legacy_reduction(size_average, reduce)
    if not beta >= 0:  # NaN is not either
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, got {beta}")
    if beta == 0.0:
        return _l1(input, target, reduction)
    return _ops.smooth_l1_loss(input, target, beta=beta, reduction=reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """d^2 / 2 where d = |input - target| <= delta, else delta (d - delta / 2) (Huber 1964)."""
    _warn_size(input, target)
    if weight is None:
        return _ops.huber_loss(input, target, delta=delta, reduction=reduction)
    return _weighted(_ops.huber_loss(input, target, delta=delta, reduction="none"), weight, reduction, normalised=False)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log x + (1 - t) log(1 - x)), the logs clamped at -100; x and t of one shape, x in [0, 1]."""
    if size_average is not None or reduce is not None:
        reduction = _legacy_reduction(size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}) is deprecated. "
            "Please ensure they have the same size."
        )
    return _ops.binary_cross_entropy(input, target, weight, reduction=reduction)


def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """`binary_cross_entropy` of sigmoid(input), stable."""
    if size_average is not None or reduce is not None:
        reduction = _legacy_reduction(size_average, reduce)
    if target.shape != input.shape:
        raise ValueError(f"Target size ({target.shape}) must be the same as input size ({input.shape})")
    return _ops.binary_cross_entropy_with_logits(input, target, weight, pos_weight, reduction=reduction)


def kl_div(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Tensor:
    """t (log t - input), input of log-probabilities; reduction "batchmean" divides the sum by the batch size."""
    if size_average is not None or reduce is not None:
        reduction = _legacy_reduction(size_average, reduce)
    elif reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    if reduction == "batchmean":
        total = _ops.kl_div(input, target, log_target=log_target, reduction="sum")
        return total / input.size(0) if input.dim() else total
    return _ops.kl_div(input, target, log_target=log_target, reduction=reduction)


def poisson_nll_loss(
    input: Tensor,
    target: Tensor,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """exp(x) - t x (log_input) or x - t log(x + eps); `full` adds Stirling's approximation of log(t!)."""
    reduction = _reduction(reduction, size_average, reduce)
    flags("poisson_nll_loss", log_input=log_input, full=full)
    if not isinstance(target, Tensor) or not isinstance(eps, (int, float)):
        raise TypeError(f"poisson_nll_loss: expected a Tensor as target and a float as eps, got {target} and {eps}")
    loss = input.exp() - target * input if log_input else input - target * (input + eps).log()
    if full:
        stirling = target * target.log() - target + 0.5 * (2 * math.pi * target).log()
        loss = loss + rt.where(target.gt(1), stirling, rt.zeros_like(stirling))
    return _reduce(loss, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log var + (x - t)^2 / var) / 2, var at least `eps` (Nix & Weigend 1994); `full` adds log(2 pi) / 2."""
    reduction = _reduction(reduction, None, None)
    v: Tensor = var if isinstance(var, Tensor) else rt.full_like(input, var)
    if not v.is_floating_point():
        raise DTypeError(f"gaussian_nll_loss: var must have a floating point dtype, got {v.dtype}")
    if bool(v.lt(0).any()):
        raise ValueError("var has negative entry/entries")
    if v.shape != input.shape:
        if input.shape[:-1] == v.shape:
            v = v.unsqueeze(-1)
        elif v.dim() != input.dim() or sum(b for a, b in zip(input.shape, v.shape) if a != b) != 1:
            raise ValueError(f"var is of incorrect size: input is {list(input.shape)}, var is {list(v.shape)}")
    # The clamp is not part of the gradient.
    v = v + (v.detach().clamp(min=eps) - v.detach())
    loss = 0.5 * (v.log() + (input - target).pow(2) / v)
    return _reduce(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where t = 1, max(0, margin - x) where t = -1."""
    x = _wide(input)
    zero = rt.zeros_like(x)
    reduction = _reduction(reduction, size_average, reduce)
    if not input.is_floating_point() and reduction == "mean":
        raise DTypeError(f"hinge_embedding_loss: the mean needs an input of a floating point dtype, got {input.dtype}")
    far = rt.where(target.ne(1), (margin - x).clamp(min=0), zero)
    near = rt.where(target.ne(-1), x, zero)
    loss = _reduce(far + near, reduction)
    return loss if x.dtype == input.dtype else loss.to(input.dtype)


def cosine_embedding_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """1 - cos(x1, x2) where t = 1, max(0, cos - margin) where t = -1; x1, x2 [N, d], t [N]."""
    reduction = _reduction(reduction, size_average, reduce)
    if target.dim() + 1 != input1.dim() or input1.dim() != input2.dim() or target.dim() > 1:
        raise RuntimeError(
            f"cosine_embedding_loss: expected inputs [N, d] with target [N], or [d] with a scalar target, "
            f"got {list(input1.shape)}, {list(input2.shape)} and {list(target.shape)}"
        )
    eps = 1e-12
    dot = (input1 * input2).sum(-1)
    cos = dot / (((input1 * input1).sum(-1) + eps) * ((input2 * input2).sum(-1) + eps)).sqrt()
    zero = rt.zeros_like(cos)
    loss = rt.where(target.eq(1), 1 - cos, zero) + rt.where(target.eq(-1), (cos - margin).clamp(min=0), zero)
    return _reduce(loss, reduction)


def margin_ranking_loss(
    input1: Tensor,
    input2: Tensor,
    target: Tensor,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, -t (x1 - x2) + margin)."""
    reduction = _reduction(reduction, size_average, reduce)
    if input1.dim() != input2.dim() or input1.dim() != target.dim():
        raise RuntimeError(
            f"margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {input1.shape}, input2: {input2.shape}, target: {target.shape} "
        )
    margin = float(margin) if isinstance(margin, int) else margin  # with which whole numbers become floats
    return _reduce((-target * (input1 - input2) + margin).clamp(min=0), reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-t x)), of the input's shape and dtype."""
    reduction = _reduction(reduction, size_average, reduce)
    if not isinstance(target, Tensor) or not input.is_floating_point():
        raise DTypeError("soft_margin_loss: expected an input of a floating point dtype and a target that is a Tensor")
    if rt.broadcast_shapes(input.shape, target.shape) != input.shape:
        raise RuntimeError(
            f"soft_margin_loss: target of shape {list(target.shape)} does not broadcast to the input's "
            f"{list(input.shape)}"
        )
    return _reduce(softplus(-(target.to(input.dtype) * input)), reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over classes of the binary cross entropy of sigmoid(x); input and target [N, C]."""
    reduction = _reduction(reduction, size_average, reduce)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    # Over the classes of the input, to which target and weight broadcast.
    return _reduce(loss.sum(input.dim() - 1) / input.size(-1), reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Sum over i != t of max(0, margin - x[t] + x[i])^p / C; input [N, C], [C] or a number, target [N] or a number."""
    reduction = _reduction(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError("only p == 1 and p == 2 supported")
    if weight is not None and weight.dim() != 1:
        raise ValueError(f"multi_margin_loss: weight must be one-dimensional, got {weight.dim()}D")
    classes = _class_targets("multi_margin_loss", input, target, input.shape[:1] if input.dim() == 2 else None)
    if weight is not None and (weight.size(0) != classes or weight.dtype != input.dtype):
        raise RuntimeError(
            f"multi_margin_loss: expected weight of shape [{classes}] and dtype {input.dtype}, "
            f"got {list(weight.shape)} and {weight.dtype}"
        )
    x, t = (input, target) if input.dim() == 2 else (input.reshape(1, -1), target.reshape(1))
    loss = relu(margin - x.gather(1, t.unsqueeze(1)) + x).pow(p)  # without a slope where the margin is just kept
    if weight is not None:
        loss = loss * weight.index_select(0, t).unsqueeze(1)
    loss = loss.masked_fill(one_hot(t, x.size(1)).bool(), 0.0).sum(1) / x.size(1)
    return _reduce(loss.reshape(target.shape), reduction)


def _class_targets(name: str, input: Tensor, target: Tensor, shape: Any) -> int:
    """The number of classes of input [N, C], [C] or a number; target must be int64 and of `shape`, or a number."""
    if input.dim() > 2 or input.shape[-1:] == (0,):
        raise RuntimeError(f"{name}: expected input [N, C] or [C], got shape {list(input.shape)}")
    if target.dtype != rt.int64:
        raise RuntimeError(f"{name}: target must be int64, got {target.dtype}")
    if (target.numel() != 1) if shape is None else (target.shape != shape):
        raise RuntimeError(
            f"{name}: inconsistent target size, got {list(target.shape)} for input of size {list(input.shape)}"
        )
    return input.size(-1) if input.dim() else 1


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Sum over targets t, other classes i of max(0, 1 - x[t] + x[i]) / C; target lists classes up to the first -1."""
    reduction = _reduction(reduction, size_average, reduce)
    classes = _class_targets("multilabel_margin_loss", input, target, input.shape)
    if bool((target.lt(-1) | target.ge(classes)).any()):
        raise RuntimeError(f"multilabel_margin_loss: target must hold classes below {classes}, or -1")
    batched = input.dim() == 2
    x, t = (input, target) if batched else (input.reshape(1, -1), target.reshape(1, -1))
    listed = t.lt(0).long().cumsum(1).eq(0).to(x.dtype)
    t = t.clamp(min=0)
    is_target = (one_hot(t, classes) * listed.unsqueeze(2)).sum(1).clamp(max=1)
    hinge = relu(1 - x.gather(1, t).unsqueeze(2) + x.unsqueeze(1))
    loss = (hinge * listed.unsqueeze(2) * (1 - is_target).unsqueeze(1)).sum((1, 2)) / classes
    return _reduce(loss if batched else loss.squeeze(0), reduction)


def triplet_margin_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """max(0, d(a, p) - d(a, n) + margin), d the p-norm distance (Balntas et al. 2016 for `swap`)."""

    def distance(x: Tensor, y: Tensor) -> Tensor:
        return pairwise_distance(x, y, p, eps)

    return triplet_margin_with_distance_loss(
        anchor,
        positive,
        negative,
        distance_function=distance,
        margin=margin,
        swap=swap,
        reduction=_reduction(reduction, size_average, reduce),
    )


def triplet_margin_with_distance_loss(
    anchor: Tensor,
    positive: Tensor,
    negative: Tensor,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Tensor:
    """`triplet_margin_loss` with a distance of your own."""
    flags("triplet_margin_loss", swap=swap)
    reduction = _reduction(reduction, None, None)
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.dim()}D, positive {positive.dim()}D, and negative {negative.dim()}D inputs"
        )
    distance = pairwise_distance if distance_function is None else distance_function
    far = distance(anchor, negative)
    if swap:
        far = rt.minimum(far, distance(positive, negative))
    return _reduce((margin + distance(anchor, positive) - far).clamp(min=0), reduction)


def ctc_loss(
    log_probs: Tensor,
    targets: Tensor,
    input_lengths: Any,
    target_lengths: Any,
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Tensor:
    """Connectionist temporal classification (Graves et al. 2006).

    log_probs [T, N, C] or [T, C]; targets [N, S] or concatenated; the lengths say how much of T and S counts. A target
    that does not fit into its input costs infinity (and the gradient is NaN), or nothing with `zero_infinity`. As in
    PyTorch the gradient is that of log-probabilities whose exponentials add up to 1.
    """
    blank = whole("ctc_loss", "blank", blank)
    flags("ctc_loss", zero_infinity=zero_infinity)
    if not log_probs.is_floating_point():
        raise DTypeError(f"ctc_loss: log_probs must have a floating point dtype, got {log_probs.dtype}")
    batched = log_probs.dim() == 3
    x = _wide(log_probs if batched else log_probs.unsqueeze(1)).clone()
    if x.numel() == 0:
        raise RuntimeError(f"ctc_loss: log_probs must not be empty, got shape {list(log_probs.shape)}")
    times, batch, classes = x.shape
    in_len = _lengths("input_lengths", input_lengths, batch)
    t_len = _lengths("target_lengths", target_lengths, batch)
    if max(in_len) > times:
        raise RuntimeError(f"ctc_loss: input_lengths must be at most {times}, got {max(in_len)}")
    if not 0 <= blank < classes:
        raise RuntimeError(f"ctc_loss: blank must be a class, from 0 to {classes - 1}, got {blank}")
    if targets.dtype.is_floating_point or targets.dtype == rt.bool:
        raise TypeError(f"ctc_loss: targets must be whole numbers, got {targets.dtype}")
    if targets.dim() == 2:
        if targets.size(0) != batch or targets.size(1) < max(t_len):
            raise RuntimeError(
                f"ctc_loss: targets must have shape [{batch}, {max(t_len)} or more], got {list(targets.shape)}"
            )
        labels = [row[:n] for row, n in zip(targets.tolist(), t_len)]
    else:
        if targets.dim() != 1 or targets.size(0) != sum(t_len):
            raise RuntimeError(
                f"ctc_loss: targets must be {sum(t_len)} labels, as target_lengths say, got shape {list(targets.shape)}"
            )
        flat, ends = targets.tolist(), [sum(t_len[: i + 1]) for i in range(batch)]
        labels = [flat[e - n : e] for e, n in zip(ends, t_len)]
    for label in (v for row in labels for v in row):
        if not 0 <= label < classes:
            raise RuntimeError(f"ctc_loss: targets must be classes, from 0 to {classes - 1}, got {label}")
    # Labels with blanks around: state 2i + 1 is label i. A state may be skipped if the two labels beside it differ.
    states = 2 * max(t_len, default=0) + 1
    path = [[blank] * states for _ in range(batch)]
    for row, label in zip(path, labels):
        row[1 : 2 * len(label) : 2] = label
    skip = [[s > 1 and row[s] != blank and row[s] != row[s - 2] for s in range(states)] for row in path]
    tiny = -1e30  # in place of -inf, whose differences would be nan in the gradient
    emitted = x.gather(2, x.new_tensor(path, dtype=rt.int64).unsqueeze(0).expand(times, batch, states)).clamp(min=tiny)
    may_skip = x.new_tensor(skip, dtype=rt.bool)
    start = x.new_tensor([[s < 2 for s in range(states)]] * batch, dtype=rt.bool)
    floor = rt.full((batch, states), tiny, dtype=x.dtype, device=x.device)
    alpha = rt.where(start, emitted[0], floor)
    for t in range(1, times):
        one = pad(alpha, (1, 0), value=tiny)[:, :states]
        two = rt.where(may_skip, pad(alpha, (2, 0), value=tiny)[:, :states], floor)
        new = rt.stack([alpha, one, two]).logsumexp(0) + emitted[t]
        alive = x.new_tensor([[t < n] for n in in_len], dtype=rt.bool)
        alpha = rt.where(alive, new, alpha)
    last = x.new_tensor([[2 * n, max(2 * n - 1, 0)] for n in t_len], dtype=rt.int64)
    ends_at = alpha.gather(1, last)
    no_label = x.new_tensor([[False, n == 0] for n in t_len], dtype=rt.bool)
    loss = -rt.where(no_label, rt.full((batch, 2), tiny, dtype=x.dtype, device=x.device), ends_at).logsumexp(1)
    # No input at all fits no labels and nothing else.
    none = x.new_tensor([n == 0 for n in in_len], dtype=rt.bool)
    nothing = none.logical_and(x.new_tensor([n == 0 for n in t_len], dtype=rt.bool))
    loss = rt.where(nothing, rt.zeros((batch,), dtype=x.dtype, device=x.device), loss)
    impossible = rt.where(none, nothing.logical_not(), loss > -tiny / 2)
    # The sum of all probabilities is fixed: it adds nothing but its gradient.
    counts = rt.arange(times, device=x.device).unsqueeze(1) < x.new_tensor(in_len, dtype=rt.int64)
    total = (x.exp() * counts.unsqueeze(2)).sum((0, 2))
    loss = loss + (total - total.detach())
    if x.requires_grad and not zero_infinity:
        x.register_hook(lambda g: g.masked_fill((counts & impossible).unsqueeze(2), math.nan))
    loss = rt.where(impossible, x.new_full((batch,), 0.0 if zero_infinity else math.inf), loss)
    if reduction == "mean":
        return (loss / x.new_tensor([float(max(n, 1)) for n in t_len])).mean().to(log_probs.dtype)
    return _reduce(loss if batched else loss.squeeze(0), reduction).to(log_probs.dtype)


def _lengths(name: str, lengths: Any, batch: int) -> list[int]:
    """`batch` lengths as whole numbers that are not negative."""
    if isinstance(lengths, Tensor):
        if lengths.dtype.is_floating_point or lengths.dtype == rt.bool:
            raise RuntimeError(f"ctc_loss: {name} must be integral, got {lengths.dtype}")
        values = lengths.reshape(-1).tolist()
    else:
        values = list(lengths) if isinstance(lengths, (list, tuple)) else [lengths]
        for v in values:
            if not _fits("Int", v) or (isinstance(v, Tensor) and v.is_floating_point()):
                raise TypeError(f"ctc_loss: {name} must be integral, got {v!r}")
    if len(values) != batch:
        raise RuntimeError(f"ctc_loss: expected {batch} {name}, got {len(values)}")
    if min(values) < 0:
        raise RuntimeError(f"ctc_loss: {name} must be at least 0, got {min(values)}")
    return [int(v) for v in values]


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
    if enable_gqa is not False:
        flags("scaled_dot_product_attention", enable_gqa=enable_gqa)
    if enable_gqa:
        heads = query.size(-3)
        if any(t.size(-3) == 0 or heads % t.size(-3) for t in (key, value)):
            raise RuntimeError(
                "scaled_dot_product_attention: the number of heads in key and value must divide that in query, "
                f"got {key.size(-3)}, {value.size(-3)} and {heads}"
            )
        key, value = (t.repeat_interleave(heads // t.size(-3), -3) for t in (key, value))
    return _ops.scaled_dot_product_attention(
        query, key, value, attn_mask, dropout_p=dropout_p, is_causal=is_causal, scale=scale
    )


def _additive_mask(name: str, mask: Tensor | None, dtype: Any) -> Tensor | None:
    """A boolean mask, True where attention may not go, as numbers to add."""
    if mask is None or mask.is_floating_point():
        if mask is not None and mask.dtype != dtype:
            raise DTypeError(f"{name} must be bool or have the query's dtype {dtype}, got {mask.dtype}")
        return mask
    if mask.dtype != rt.bool:
        raise AssertionError(f"only bool and floating types of {name} are supported, got {mask.dtype}")
    return rt.zeros(mask.shape, dtype=dtype).masked_fill(mask, -math.inf)


def _check_attention(query: Tensor, key: Tensor, value: Tensor, padding: Tensor | None, mask: Tensor | None) -> None:
    """Refuse what has not the number of dimensions that the query asks for."""
    n = query.dim()
    if n not in (2, 3):
        raise AssertionError(f"query should be unbatched 2D or batched 3D tensor but received {n}-D query tensor")
    if key.dim() != n or value.dim() != n:
        raise AssertionError(
            f"for a {n}-D `query`, expected `key` and `value` to be {n}-D, got {key.dim()}-D and {value.dim()}-D"
        )
    if padding is not None and padding.dim() != n - 1:
        raise AssertionError(
            f"for a {n}-D `query`, expected `key_padding_mask` to be None or {n - 1}-D, got {padding.dim()}-D"
        )
    if mask is not None and mask.dim() not in (2, 3):
        raise AssertionError(f"expected `attn_mask` to be None, 2-D or 3-D, got {mask.dim()}-D")


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
    _check_attention(query, key, value, key_padding_mask, attn_mask)
    batched = query.dim() == 3
    if not batched:
        query, key, value = (t.unsqueeze(1) for t in (query, key, value))
        if key_padding_mask is not None:
            key_padding_mask = key_padding_mask.unsqueeze(0)
    length, batch, embed = query.shape
    if embed != embed_dim_to_check:
        raise AssertionError(f"was expecting embedding dimension of {embed_dim_to_check}, but got {embed}")
    head = embed // num_heads
    if head * num_heads != embed:
        raise AssertionError(f"embed_dim {embed} not divisible by num_heads {num_heads}")
    if is_causal and attn_mask is None:
        raise RuntimeError("Need attn_mask if specifying the is_causal hint.")
    if (bias_k is None) != (bias_v is None):
        raise AssertionError("bias_k and bias_v must both be None or both be given")
    if in_proj_weight is None and not use_separate_proj_weight:
        raise AssertionError("use_separate_proj_weight is False but in_proj_weight is None")
    if in_proj_bias is not None and tuple(in_proj_bias.shape) != (3 * embed,):
        raise RuntimeError(f"expected in_proj_bias of shape {[3 * embed]}, got {list(in_proj_bias.shape)}")
    compared = slice(0, 2 if use_separate_proj_weight else None)
    if key.shape[compared] != value.shape[compared]:
        raise AssertionError(f"key shape {list(key.shape)} does not match value shape {list(value.shape)}")
    if key.size(1) != batch:
        raise RuntimeError(f"query has a batch of {batch}, key and value have one of {key.size(1)}")
    source = key.size(0) if static_k is None else static_k.size(1)
    if key_padding_mask is not None and tuple(key_padding_mask.shape) != (batch, source):
        raise AssertionError(
            f"expected key_padding_mask of shape {[batch, source]}, got {list(key_padding_mask.shape)}"
        )

    if in_proj_weight is not None and not use_separate_proj_weight and query is key and key is value:
        q, k, v = _ops.linear(query, in_proj_weight, in_proj_bias).chunk(3, -1)
    else:
        weights: Sequence[Any] = (q_proj_weight, k_proj_weight, v_proj_weight)
        if in_proj_weight is not None and not use_separate_proj_weight:
            weights = in_proj_weight.chunk(3)
        biases: Sequence[Any] = (None,) * 3 if in_proj_bias is None else in_proj_bias.chunk(3)
        q, k, v = (_ops.linear(t, w, b) for t, w, b in zip((query, key, value), weights, biases))

    mask = _additive_mask("attn_mask", attn_mask, q.dtype)
    padding = _additive_mask("key_padding_mask", key_padding_mask, q.dtype)
    if attn_mask is not None and key_padding_mask is not None and attn_mask.dtype != key_padding_mask.dtype:
        warnings.warn(
            "Support for mismatched key_padding_mask and attn_mask is deprecated. Use same type for both instead.",
            stacklevel=2,
        )
    if mask is not None:
        allowed = (length, source) if mask.dim() == 2 else (batch * num_heads, length, source)
        if tuple(mask.shape) != allowed:
            raise RuntimeError(f"The shape of the attn_mask is {list(mask.shape)}, but should be {list(allowed)}.")
        if mask.dim() == 3:
            mask = mask.reshape(batch, num_heads, length, -1)
    if bias_k is not None and bias_v is not None:
        k = rt.cat([k, bias_k.repeat(1, batch, 1)])
        v = rt.cat([v, bias_v.repeat(1, batch, 1)])
        mask = None if mask is None else pad(mask, (0, 1))
        padding = None if padding is None else pad(padding, (0, 1))

    def heads(t: Tensor) -> Tensor:  # [S, N, E] -> [N, heads, S, head]
        return t.reshape(t.size(0), batch, num_heads, head).permute(1, 2, 0, 3)

    def static(name: str, t: Tensor) -> Tensor:  # [N heads, S, head] -> [N, heads, S, head]
        if t.dim() != 3 or (t.size(0), t.size(2)) != (batch * num_heads, head):
            raise AssertionError(f"expecting {name} of shape [{batch * num_heads}, S, {head}], got {list(t.shape)}")
        return t.reshape(batch, num_heads, -1, head)

    q = heads(q)
    k = heads(k) if static_k is None else static("static_k", static_k)
    v = heads(v) if static_v is None else static("static_v", static_v)
    if add_zero_attn:
        k, v = pad(k, (0, 0, 0, 1)), pad(v, (0, 0, 0, 1))
        mask = None if mask is None else pad(mask, (0, 1))
        padding = None if padding is None else pad(padding, (0, 1))
    if padding is not None:
        padding = padding.reshape(batch, 1, 1, -1)
        mask = padding if mask is None else mask + padding

    p = dropout_p if training else 0.0
    if need_weights:
        scores = (q * math.sqrt(1.0 / head)).matmul(k.transpose(-2, -1))
        attention = softmax(scores if mask is None else scores + mask, -1)
        if p > 0.0:
            attention = dropout(attention, p)
        out = attention.matmul(v)
    else:
        attention = None
        out = scaled_dot_product_attention(q, k, v, mask, p)
    out = _ops.linear(out.permute(2, 0, 1, 3).reshape(length, batch, embed), out_proj_weight, out_proj_bias)
    if attention is not None and average_attn_weights:
        attention = attention.mean(1)
    if not batched:
        out = out.squeeze(1)
        attention = None if attention is None else attention.squeeze(0)
    return out, attention
