"""NAdam."""

from __future__ import annotations

import rustorch as rt

from .optimizer import ComposedOptimizer, checked_betas, moving_average, nonnegative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from .optimizer import Group, Params, State


class NAdam(ComposedOptimizer):
    """NAdam: Adam with Nesterov's look-ahead.

    With gradient ``g`` (``-g`` if ``maximize``) and step number ``t``: weight decay as in Adam; ``m`` and ``v`` the
    running means of ``g`` and ``g**2``; ``mu(t) = beta1 * (1 - 0.96**(t * momentum_decay) / 2)``, ``c(t)`` the product
    of ``mu(1) .. mu(t)``; ``d = sqrt(v / (1 - beta2**t)) + eps``;
    ``p -= lr * (1 - mu(t)) / (1 - c(t)) * g / d + lr * mu(t + 1) / (1 - c(t + 1)) * m / d``.
    Source: Dozat, Incorporating Nesterov momentum into Adam (2016).

    Args:
        params: tensors, named tensors or parameter groups.
        lr: step size.
        betas: decay rates, each in [0, 1).
        eps, weight_decay, momentum_decay, decoupled_weight_decay, maximize: see above.
        foreach, capturable: accepted for PyTorch's sake.

    Raises:
        InvalidArgumentError: a negative option, or a beta outside [0, 1).
    """

    _scalars: tuple[str, ...] = ("step", "mu_product")

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 2e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum_decay: float = 4e-3,
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
        nonnegative("momentum_decay value", momentum_decay)
        defaults = {
            "lr": lr,
            "betas": checked_betas(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "momentum_decay": momentum_decay,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update_one(self, p: rt.Tensor, grad: rt.Tensor, state: State, group: Group, lr: float) -> None:
        beta1, beta2 = group["betas"]
        step, decay = state["step"], group["momentum_decay"]
        mu = beta1 * (1.0 - 0.5 * 0.96 ** (step * decay))
        mu_next = beta1 * (1.0 - 0.5 * 0.96 ** ((step + 1) * decay))
        product = state["mu_product"] = state.get("mu_product", 1.0) * mu
        mean = moving_average("exp_avg", state, grad, beta1)
        square = moving_average("exp_avg_sq", state, grad * grad, beta2)
        denom = (square / (1 - beta2**step)).sqrt_().add_(group["eps"])
        p.add_(grad / denom, alpha=-lr * (1.0 - mu) / (1.0 - product))
        p.add_(mean / denom, alpha=-lr * mu_next / (1.0 - product * mu_next))
