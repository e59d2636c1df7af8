"""Adadelta."""

from __future__ import annotations

import rustorch as rt

from ..errors import InvalidArgumentError
from .optimizer import ComposedOptimizer, moving_average, nonnegative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .optimizer import Group, Params, State


class Adadelta(ComposedOptimizer):
    """Adadelta: the gradient scaled by the ratio of the running sizes of past updates and past gradients.

    With gradient ``g`` (``-g`` if ``maximize``): ``g += weight_decay * p``; ``v = rho * v + (1 - rho) * g**2``;
    ``x = sqrt(u + eps) / sqrt(v + eps) * g``; ``u = rho * u + (1 - rho) * x**2``; ``p -= lr * x``.
    Source: Zeiler, arXiv:1212.5701.

    Args:
        params: tensors, named tensors or parameter groups.
        lr: factor on the update.
        rho: decay rate of the running means, in [0, 1].
        eps, weight_decay, maximize: see above.
        foreach, capturable: accepted for PyTorch's sake.

    Raises:
        InvalidArgumentError: a negative option, or ``rho`` above 1.
    """

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        nonnegative("learning rate", lr)
        if not 0.0 <= rho <= 1.0:
            raise InvalidArgumentError(f"Invalid rho value: {rho}")
        nonnegative("epsilon value", eps)
        nonnegative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update_one(self, p: rt.Tensor, grad: rt.Tensor, state: State, group: Group, lr: float) -> None:
        rho, eps = group["rho"], group["eps"]
        square = moving_average("square_avg", state, grad * grad, rho)
        if "acc_delta" not in state:
            state["acc_delta"] = rt.zeros_like(p)
        delta = (state["acc_delta"] + eps).sqrt_().div_((square + eps).sqrt_()).mul_(grad)
        moving_average("acc_delta", state, delta * delta, rho)
        p.add_(delta, alpha=-lr)
