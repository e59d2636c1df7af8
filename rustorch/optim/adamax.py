"""Adamax."""

from __future__ import annotations

import rustorch as rt

from .optimizer import ComposedOptimizer, checked_betas, moving_average, nonnegative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .optimizer import Group, Params, State


class Adamax(ComposedOptimizer):
    """Adamax: Adam with the largest recent gradient in place of the root of the mean square.

    With gradient ``g`` (``-g`` if ``maximize``) and step number ``t``: ``g += weight_decay * p``;
    ``m = beta1 * m + (1 - beta1) * g``; ``u = max(beta2 * u, |g| + eps)``; ``p -= lr / (1 - beta1**t) * m / u``.
    Source: Kingma & Ba, arXiv:1412.6980, section 7.1.

    Args:
        params: tensors, named tensors or parameter groups.
        lr: step size.
        betas: decay rates, each in [0, 1).
        eps, weight_decay, maximize: see above.
        foreach, capturable: accepted for PyTorch's sake.

    Raises:
        InvalidArgumentError: a negative option, or a beta outside [0, 1).
    """

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 2e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        nonnegative("learning rate", lr)
        nonnegative("epsilon value", eps)
        nonnegative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": checked_betas(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update_one(self, p: rt.Tensor, grad: rt.Tensor, state: State, group: Group, lr: float) -> None:
        beta1, beta2 = group["betas"]
        mean = moving_average("exp_avg", state, grad, beta1)
        largest = grad.abs().add_(group["eps"])
        if "exp_inf" in state:
            largest = rt.maximum(state["exp_inf"] * beta2, largest)
        state["exp_inf"] = largest
        p.add_(mean / largest, alpha=-lr / (1 - beta1 ** state["step"]))
