"""Adam and AdamW."""

from __future__ import annotations

import rustorch as rt

from .. import _ops
from ..errors import InvalidArgumentError
from .optimizer import Optimizer, buffers, checked_betas, nonnegative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from .optimizer import Group, Params


class Adam(Optimizer):
    """Adam: steps scaled by running means of the gradient and of its square.

    With gradient ``g`` (``-g`` if ``maximize``) and step number ``t``: ``g += weight_decay * p``, or
    ``p *= 1 - lr * weight_decay`` if ``decoupled_weight_decay``; ``m = beta1 * m + (1 - beta1) * g``;
    ``v = beta2 * v + (1 - beta2) * g**2``; with ``amsgrad`` ``v`` is from here on the largest ``v`` so far;
    ``p -= lr / (1 - beta1**t) * m / (sqrt(v) / sqrt(1 - beta2**t) + eps)``.
    Sources: Kingma & Ba, arXiv:1412.6980; Reddi et al., On the convergence of Adam and beyond (2018), for amsgrad.

    Args:
        params: tensors, named tensors or parameter groups.
        lr: step size.
        betas: decay rates of the two running means, each in [0, 1).
        eps, weight_decay, amsgrad, maximize, decoupled_weight_decay: see above.
        foreach, fused, capturable: accepted for PyTorch's sake; each step is one fused call.

    Raises:
        InvalidArgumentError: a negative option, or a beta outside [0, 1).
    """

    _scalars: tuple[str, ...] = ("step",)

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 0,
        amsgrad: bool = False,
        *,
        foreach: bool | None = None,
        maximize: bool = False,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
        decoupled_weight_decay: bool = False,
    ) -> None:
        nonnegative("learning rate", lr)
        given = [isinstance(value, rt.Tensor) for value in betas]
        if any(given) and not all(given):
            raise InvalidArgumentError("betas must be either both floats or both Tensors")
        if foreach and not capturable and (isinstance(lr, rt.Tensor) or any(given)):
            raise InvalidArgumentError(
                "lr and betas as Tensors are not supported for capturable=False and foreach=True"
            )
        nonnegative("epsilon value", eps)
        nonnegative("weight_decay value", weight_decay)
        defaults = {
            "lr": lr,
            "betas": checked_betas(betas),
            "eps": eps,
            "weight_decay": weight_decay,
            "amsgrad": amsgrad,
            "maximize": maximize,
            "foreach": foreach,
            "capturable": capturable,
            "differentiable": differentiable,
            "fused": fused,
            "decoupled_weight_decay": decoupled_weight_decay,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group) -> None:
        """Calls
        ``adam_step(params, grads, exp_avgs, exp_avg_sqs, max_exp_avg_sqs, lr, beta1, beta2, eps, weight_decay, step,
        amsgrad, maximize, decoupled)``.

        ``max_exp_avg_sqs`` is empty unless ``amsgrad``. ``step`` is the number of this step, from 1.
        """
        beta1, beta2 = group["betas"]
        amsgrad = group["amsgrad"]
        for step, params, grads, states in self._next_step(group):
            _ops.adam_step(
                params,
                grads,
                buffers("exp_avg", params, states),
                buffers("exp_avg_sq", params, states),
                buffers("max_exp_avg_sq", params, states) if amsgrad else [],
                float(group["lr"]),
                beta1,
                beta2,
                group["eps"],
                group["weight_decay"],
                step,
                amsgrad,
                group["maximize"],
                group["decoupled_weight_decay"],
            )


class AdamW(Adam):
    """Adam with weight decay apart from the gradient: ``p *= 1 - lr * weight_decay`` before each step.

    Source: Loshchilov & Hutter, arXiv:1711.05101. Arguments as for :class:`Adam`.
    """

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 1e-3,
        betas: Sequence[float] = (0.9, 0.999),
        eps: float = 1e-8,
        weight_decay: float = 1e-2,
        amsgrad: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        capturable: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        super().__init__(
            params,
            lr,
            betas,
            eps,
            weight_decay,
            amsgrad,
            foreach=foreach,
            maximize=maximize,
            capturable=capturable,
            differentiable=differentiable,
            fused=fused,
            decoupled_weight_decay=True,
        )

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:  # a state saved by Adam does not turn this into Adam
            group["decoupled_weight_decay"] = True
