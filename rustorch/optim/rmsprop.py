"""RMSprop."""

from __future__ import annotations

import rustorch as rt

from .. import _ops
from .optimizer import Optimizer, buffers, nonnegative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .optimizer import Group, Params


class RMSprop(Optimizer):
    """RMSprop: the gradient divided by the root of the running mean of its square.

    With gradient ``g`` (``-g`` if ``maximize``): ``g += weight_decay * p``; ``v = alpha * v + (1 - alpha) * g**2``;
    ``d = sqrt(v) + eps``, or if ``centered`` ``a = alpha * a + (1 - alpha) * g`` and ``d = sqrt(v - a**2) + eps``;
    with momentum ``b = momentum * b + g / d`` and ``p -= lr * b``, else ``p -= lr * g / d``.
    Sources: Hinton, Neural networks for machine learning, lecture 6e (2012); Graves, arXiv:1308.0850, for ``centered``.

    Args:
        params: tensors, named tensors or parameter groups.
        lr: step size.
        alpha: decay rate of the running means.
        eps, weight_decay, momentum, centered, maximize: see above.
        capturable, foreach: accepted for PyTorch's sake; each step is one fused call.

    Raises:
        InvalidArgumentError: a negative option.
    """

    _scalars: tuple[str, ...] = ("step",)

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        nonnegative("learning rate", lr)
        nonnegative("epsilon value", eps)
        nonnegative("momentum value", momentum)
        nonnegative("weight_decay value", weight_decay)
        nonnegative("alpha value", alpha)
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group) -> None:
        """Calls ``rmsprop_step(params, grads, square_avgs, grad_avgs, momentum_buffers, lr, alpha, eps, weight_decay,
        momentum, centered, maximize)``.

        ``grad_avgs`` is empty unless ``centered``, ``momentum_buffers`` if ``momentum`` is 0; all of them begin at
        zero.
        """
        momentum, centered = group["momentum"], group["centered"]
        for _, params, grads, states in self._next_step(group):
            _ops.rmsprop_step(
                params,
                grads,
                buffers("square_avg", params, states),
                buffers("grad_avg", params, states) if centered else [],
                buffers("momentum_buffer", params, states) if momentum else [],
                float(group["lr"]),
                group["alpha"],
                group["eps"],
                group["weight_decay"],
                momentum,
                centered,
                group["maximize"],
            )
