"""RAdam."""

from __future__ import annotations

import rustorch as rt

from .optimizer import ComposedOptimizer, checked_betas, moving_average, nonnegative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .optimizer import Group, Params, State


class RAdam(ComposedOptimizer):
    """RAdam: Adam whose scaling sets in only when the running mean square has become reliable.

    With ``m``, ``v`` and weight decay as in Adam, ``t`` the step number, ``r0 = 2 / (1 - beta2) - 1`` and
    ``r = r0 - 2 * t * beta2**t / (1 - beta2**t)``: ``p -= lr * m / (1 - beta1**t) * s``, where ``s = 1`` while
    ``r <= 5``, and after that
    ``s = sqrt((r - 4) (r - 2) r0 / ((r0 - 4) (r0 - 2) r)) * sqrt(1 - beta2**t) / (sqrt(v) + eps)``. Source: Liu et al.,
    arXiv:1908.03265.

    Args:
        params: tensors, named tensors or parameter groups.
        lr: step size.
        betas: decay rates, each in [0, 1).
        eps, weight_decay, decoupled_weight_decay, maximize: as for Adam.
        foreach, capturable: accepted for PyTorch's sake.

    Raises:
        InvalidArgumentError: a negative option, or a beta outside [0, 1).
    """

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        decoupled_weight_decay: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
    ) -> None:
        nonnegative("learning rate", lr)
        nonnegative("epsilon value", eps)
        nonnegative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": checked_betas(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "decoupled_weight_decay": decoupled_weight_decay,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update_one(self, p: rt.Tensor, grad: rt.Tensor, state: State, group: Group, lr: float) -> None:
        beta1, beta2 = group["betas"]
        step = state["step"]
        mean = moving_average("exp_avg", state, grad, beta1)
        square = moving_average("exp_avg_sq", state, grad * grad, beta2)
        size, correction = lr / (1 - beta1**step), 1 - beta2**step
        limit = 2 / (1 - beta2) - 1
        length = limit - 2 * step * beta2**step / correction
        if length > 5.0:
            rectified = (length - 4) * (length - 2) * limit / ((limit - 4) * (limit - 2) * length)
            p.add_(mean / square.sqrt().add_(group["eps"]), alpha=-size * (rectified * correction) ** 0.5)
        else:
            p.add_(mean, alpha=-size)
