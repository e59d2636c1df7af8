"""Adagrad."""

from __future__ import annotations

import rustorch as rt

from .. import _ops
from .optimizer import Optimizer, as_real, buffers, nonnegative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .optimizer import Group, Params


class Adagrad(Optimizer):
    """Adagrad: the gradient divided by the root of the sum of its squares so far.

    With gradient ``g`` (``-g`` if ``maximize``) and step number ``t``: ``g += weight_decay * p``; ``s += g**2``;
    ``p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(s) + eps)``.
    Source: Duchi et al., Adaptive subgradient methods for online learning and stochastic optimization (2011).

    Args:
        params: tensors, named tensors or parameter groups.
        lr: step size.
        lr_decay, weight_decay, eps, maximize: see above.
        initial_accumulator_value: where ``s`` begins.
        foreach, fused: accepted for PyTorch's sake; each step is one fused call.

    Raises:
        InvalidArgumentError: a negative option.
    """

    _scalars: tuple[str, ...] = ("step",)

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 1e-2,
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        nonnegative("learning rate", lr)
        nonnegative("lr_decay value", lr_decay)
        nonnegative("weight_decay value", weight_decay)
        nonnegative("initial_accumulator_value value", initial_accumulator_value)
        nonnegative("epsilon value", eps)
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)
        for group in self.param_groups:  # as in PyTorch, the state is there before the first step
            states = [self.state[p] for p in group["params"]]
            self._sums(as_real(group["params"]), states)
            for state in states:
                state["step"] = 0.0

    def _sums(self, params: list[rt.Tensor], states: list[dict[str, Any]]) -> list[rt.Tensor]:
        return buffers("sum", params, states, self.defaults["initial_accumulator_value"])

    def _update(self, group: Group) -> None:
        """Calls ``adagrad_step(params, grads, state_sums, lr, lr_decay, weight_decay, eps, step, maximize)``.

        ``step`` is the number of this step, from 1.
        """
        for step, params, grads, states in self._next_step(group):
            _ops.adagrad_step(
                params,
                grads,
                self._sums(params, states),
                float(group["lr"]),
                group["lr_decay"],
                group["weight_decay"],
                group["eps"],
                step,
                group["maximize"],
            )
