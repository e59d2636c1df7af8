"""Rprop."""

from __future__ import annotations

import rustorch as rt

from ..errors import InvalidArgumentError
from .optimizer import ComposedOptimizer, nonnegative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .optimizer import Group, Params, State


class Rprop(ComposedOptimizer):
    """Resilient backpropagation: each element has a step size of its own, and only the sign of its gradient counts.

    The step size, ``lr`` at first, is multiplied by ``etas[1]`` while the sign stays and by ``etas[0]`` when it turns
    (that step is left out), within ``step_sizes``.
    Source: Riedmiller & Braun, A direct adaptive method for faster backpropagation learning (1993).

    Args:
        params: tensors, named tensors or parameter groups.
        lr: first step size.
        etas: factors that shrink and grow the step sizes.
        step_sizes: their least and greatest value.
        maximize: climb instead of descend.
        capturable, foreach: accepted for PyTorch's sake.

    Raises:
        InvalidArgumentError: a negative learning rate, or etas that are not 0 < shrink < 1 < grow.
    """

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 1e-2,
        etas: tuple[float, float] = (0.5, 1.2),
        step_sizes: tuple[float, float] = (1e-6, 50),
        *,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        nonnegative("learning rate", lr)
        if not 0.0 < etas[0] < 1.0 < etas[1]:
            raise InvalidArgumentError(f"Invalid eta values: {etas[0]}, {etas[1]}")
        defaults = {
            "lr": lr,
            "etas": etas,
            "step_sizes": step_sizes,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group) -> None:
        super()._update({**group, "weight_decay": 0})

    def _update_one(self, p: rt.Tensor, grad: rt.Tensor, state: State, group: Group, lr: float) -> None:
        if "prev" not in state:
            state["prev"] = rt.zeros_like(p)
            state["step_size"] = rt.full_like(p, lr)
        (shrink, grow), (least, greatest) = group["etas"], group["step_sizes"]
        product, size = grad * state["prev"], state["step_size"]
        factor = rt.ones_like(p).masked_fill_(product > 0, grow).masked_fill_(product < 0, shrink)
        size.mul_(factor).clamp_(least, greatest)
        grad = grad.masked_fill(product < 0, 0.0)
        p.sub_(grad.sign() * size)
        state["prev"].copy_(grad)
