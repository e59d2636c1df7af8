"""Stochastic gradient descent."""

from __future__ import annotations

import rustorch as rt

from .. import _ops
from ..errors import InvalidArgumentError
from .optimizer import Optimizer, buffers, nonnegative, split

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from .optimizer import Group, Params


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum and Nesterov's look-ahead if wanted.

    With gradient ``g`` (``-g`` if ``maximize``), ``g += weight_decay * p``; with momentum, the buffer ``b = g`` in the
    first step and ``b = momentum * b + (1 - dampening) * g`` after it, and ``g = g + momentum * b`` (Nesterov) or
    ``g = b``; ``p -= lr * g``. Source: Sutskever et al., On the importance of initialization and momentum in deep
    learning (2013), in the form in which PyTorch writes it.

    Args:
        params: tensors, named tensors or parameter groups.
        lr: step size.
        momentum, dampening, weight_decay, nesterov, maximize: see above.
        foreach, fused: accepted for PyTorch's sake; each step is one fused call.

    Raises:
        InvalidArgumentError: a negative option, or Nesterov without momentum or with dampening.
    """

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        nonnegative("learning rate", lr)
        nonnegative("momentum value", momentum)
        nonnegative("weight_decay value", weight_decay)
        if nesterov and (momentum <= 0 or dampening != 0):
            raise InvalidArgumentError("Nesterov momentum requires a momentum and zero dampening")
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _update(self, group: Group) -> None:
        """Calls ``sgd_step(params, grads, momentum_buffers, lr, momentum, dampening, weight_decay, nesterov, maximize,
        first)``.

        ``momentum_buffers`` is empty if ``momentum`` is 0. ``first`` is true in the first step of these buffers: they
        are then written (``b = g``) without being read.
        """
        momentum = group["momentum"]
        # Without states the step finds the gradients itself.
        batches: Iterable[tuple[Any, ...]] = [(False, group["params"], [], [])]
        if momentum or self._complex:
            states, params, grads = self._active(group)
            batches = split(["momentum_buffer" not in state for state in states], params, grads, states)
        for first, params, grads, states in batches:
            _ops.sgd_step(
                params,
                grads,
                buffers("momentum_buffer", params, states) if momentum else [],
                float(group["lr"]),
                momentum,
                group["dampening"],
                group["weight_decay"],
                group["nesterov"],
                group["maximize"],
                first,
            )
