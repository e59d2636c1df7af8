"""Averaged SGD."""

from __future__ import annotations

import rustorch as rt

from .optimizer import ComposedOptimizer, nonnegative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .optimizer import Group, Params, State


class ASGD(ComposedOptimizer):
    """SGD with a decaying rate that also keeps the running mean of the parameters, ``state[p]["ax"]``.

    With gradient ``g`` (``-g`` if ``maximize``) and step number ``t``: ``g += weight_decay * p``;
    ``p = (1 - lambd * eta) * p - eta * g``; ``ax += mu * (p - ax)``; then ``eta = lr / (1 + lambd * lr * t)**alpha``
    and ``mu = 1 / max(1, t - t0)``.
    Source: Polyak & Juditsky, Acceleration of stochastic approximation by averaging (1992).

    Args:
        params: tensors, named tensors or parameter groups.
        lr: step size.
        lambd, alpha, weight_decay, maximize: see above.
        t0: the step at which averaging begins.
        capturable, foreach: accepted for PyTorch's sake.

    Raises:
        InvalidArgumentError: a negative learning rate or weight decay.
    """

    _scalars: tuple[str, ...] = ("step", "eta", "mu")

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 1e-2,
        lambd: float = 1e-4,
        alpha: float = 0.75,
        t0: float = 1e6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
        capturable: bool = False,
    ) -> None:
        nonnegative("learning rate", lr)
        nonnegative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "lambd": lambd,
            "alpha": alpha,
            "t0": t0,
            "weight_decay": weight_decay,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "capturable": capturable,
        }
        super().__init__(params, defaults)

    def _update_one(self, p: rt.Tensor, grad: rt.Tensor, state: State, group: Group, lr: float) -> None:
        if "ax" not in state:
            state.update(eta=lr, mu=1.0, ax=rt.zeros_like(p))
        step, eta, lambd = state["step"], float(state["eta"]), group["lambd"]
        p.mul_(1 - lambd * eta).add_(grad, alpha=-eta)
        state["ax"].lerp_(p, float(state["mu"]))
        state["eta"] = lr / (1 + lambd * lr * step) ** group["alpha"]
        state["mu"] = 1 / max(1, step - group["t0"])
