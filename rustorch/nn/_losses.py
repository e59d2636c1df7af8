"""The losses of `rustorch.nn.functional`: which op is called with what, by today's arguments and those of old."""

# Functions of the package that are looked up when first used are not typed.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import rustorch as rt
from rustorch import Tensor, _ops
from rustorch._arguments import _fits, flags, refused
from rustorch._device import put

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "cross_entropy",
    "ctc_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "mse_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _reduction(size_average: bool | None, reduce: bool | None, reduction: str) -> str:
    """`reduction`, or what the two arguments of old stand for if one is given."""
    if size_average is None and reduce is None:
        return reduction
    each, total = reduce is not None and not reduce, size_average is not None and not size_average
    name = "none" if each else "sum" if total else "mean"
    warnings.warn(
        f"size_average and reduce args will be deprecated, please use reduction='{name}' instead.", stacklevel=3
    )
    return name


def _warn_size(input: Tensor, target: Tensor) -> None:
    if input.shape != target.shape:
        warnings.warn(
            f"Using a target size ({target.shape}) that is different to the input size ({input.shape}). "
            "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size.",
            stacklevel=3,
        )


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
    reduction = _reduction(size_average, reduce, reduction)
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
    reduction = _reduction(size_average, reduce, reduction)
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
    reduction = _reduction(size_average, reduce, reduction)
    if weight is None:
        return _ops.mse_loss(input, target, reduction=reduction)
    return _ops.mse_loss_weighted(input, target, weight, reduction=reduction)


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
    reduction = _reduction(size_average, reduce, reduction)
    if weight is None:
        return _ops.l1_loss(input, target, reduction=reduction)
    return _ops.l1_loss_weighted(input, target, weight, reduction=reduction)


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
    reduction = _reduction(size_average, reduce, reduction)
    if beta == 0.0:  # which whole numbers have too
        return _ops.l1_loss(input, target, reduction=reduction)
    return _ops.smooth_l1_loss(input, target, beta=beta, reduction=reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """d^2 / 2 where d = |input - target| <= delta, else delta (d - delta / 2) (Huber 1964)."""
    _warn_size(input, target)
    if weight is None:
        return _ops.huber_loss(input, target, delta=delta, reduction=reduction)
    return _ops.huber_loss_weighted(input, target, weight, delta=delta, reduction=reduction)


def binary_cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """-(t log x + (1 - t) log(1 - x)), the logs clamped at -100; x and t of one shape, x in [0, 1]."""
    reduction = _reduction(size_average, reduce, reduction)
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
    reduction = _reduction(size_average, reduce, reduction)
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
    if size_average is None and reduce is None and reduction == "mean":
        warnings.warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size."
            "'batchmean' divides only by the batch size, and aligns with the KL div math definition."
            "'mean' will be changed to behave the same as 'batchmean' in the next major release.",
            stacklevel=2,
        )
    reduction = _reduction(size_average, reduce, reduction)
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
    reduction = _reduction(size_average, reduce, reduction)
    if not isinstance(eps, (int, float)):
        raise refused("poisson_nll_loss", "eps", "Float", eps)
    return _ops.poisson_nll_loss(input, target, log_input, full, eps, reduction)


def gaussian_nll_loss(
    input: Tensor,
    target: Tensor,
    var: Tensor | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Tensor:
    """(log var + (x - t)^2 / var) / 2, var at least `eps` (Nix & Weigend 1994); `full` adds log(2 pi) / 2."""
    return _ops.gaussian_nll_loss(input, target, var, full, eps, reduction)


def hinge_embedding_loss(
    input: Tensor,
    target: Tensor,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """x where t = 1, max(0, margin - x) where t = -1."""
    reduction = _reduction(size_average, reduce, reduction)
    return _ops.hinge_embedding_loss(input, target, margin, reduction)


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
    reduction = _reduction(size_average, reduce, reduction)
    return _ops.cosine_embedding_loss(input1, input2, target, margin, reduction)


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
    reduction = _reduction(size_average, reduce, reduction)
    return _ops.margin_ranking_loss(input1, input2, target, margin, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """log(1 + exp(-t x)), of the input's shape and dtype."""
    reduction = _reduction(size_average, reduce, reduction)
    return _ops.soft_margin_loss(input, target, reduction)


def multilabel_soft_margin_loss(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Mean over classes of the binary cross entropy of sigmoid(x); input and target [N, C]."""
    reduction = _reduction(size_average, reduce, reduction)
    return _ops.multilabel_soft_margin_loss(input, target, weight, reduction)


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
    reduction = _reduction(size_average, reduce, reduction)
    return _ops.multi_margin_loss(input, target, p, margin, weight, reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Sum over targets t, other classes i of max(0, 1 - x[t] + x[i]) / C; target lists classes up to the first -1."""
    reduction = _reduction(size_average, reduce, reduction)
    return _ops.multilabel_margin_loss(input, target, reduction)


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
    reduction = _reduction(size_average, reduce, reduction)
    return _ops.triplet_margin_loss(anchor, positive, negative, margin, p, eps, swap, reduction)


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
    if distance_function is None:
        return _ops.triplet_margin_loss(anchor, positive, negative, margin, swap=swap, reduction=reduction)
    flags("triplet_margin_loss", swap=swap)
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction} is not a valid value for reduction")
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.dim() == positive.dim() == negative.dim():
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.dim()}D, positive {positive.dim()}D, and negative {negative.dim()}D inputs"
        )
    far = distance_function(anchor, negative)
    if swap:
        far = rt.minimum(far, distance_function(positive, negative))
    loss = (margin + distance_function(anchor, positive) - far).clamp(min=0)
    return loss.mean() if reduction == "mean" else loss.sum() if reduction == "sum" else loss


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
    place = log_probs.device
    return _ops.ctc_loss(
        log_probs,
        put(targets, place),
        _lengths("input_lengths", input_lengths, place),
        _lengths("target_lengths", target_lengths, place),
        blank,
        reduction,
        zero_infinity,
    )


def _lengths(name: str, lengths: Any, place: Any) -> Tensor:
    """Lengths as a tensor."""
    if isinstance(lengths, Tensor):
        return put(lengths, place)
    values = list(lengths) if isinstance(lengths, (list, tuple)) else [lengths]
    for v in values:
        if not _fits("Int", v) or (isinstance(v, Tensor) and v.is_floating_point()):
            raise TypeError(f"ctc_loss: {name} must be integral, got {v!r}")
    return rt.tensor([int(v) for v in values], dtype=rt.int64, device=place)
