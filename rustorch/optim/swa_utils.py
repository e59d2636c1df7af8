"""Averages of weights over training: stochastic weight averaging (Izmailov et al. 2018) and moving averages."""

from __future__ import annotations

import copy
import math

import rustorch as rt
from rustorch import nn

from ..errors import InvalidArgumentError
from .lr_scheduler import LRScheduler, _per_group

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Any

    from .optimizer import Optimizer

    Average = Callable[[rt.Tensor, rt.Tensor, rt.Tensor], rt.Tensor]
    Averages = Callable[[list[rt.Tensor], list[rt.Tensor], rt.Tensor], None]

__all__ = ["SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "update_bn"]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """For `avg_fn`: ``decay * averaged + (1 - decay) * current``."""
    if not 0.0 <= decay <= 1.0:
        raise InvalidArgumentError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")

    def average(averaged: rt.Tensor, current: rt.Tensor, count: rt.Tensor) -> rt.Tensor:
        return decay * averaged + (1 - decay) * current

    return average


def get_ema_multi_avg_fn(decay: float = 0.999) -> Averages:
    """For `multi_avg_fn`: the same on lists, in place."""
    one = get_ema_avg_fn(decay)

    def average(averaged: list[rt.Tensor], current: list[rt.Tensor], count: rt.Tensor) -> None:
        for a, c in zip(averaged, current):
            a.copy_(one(a, c, count))

    return average


def get_swa_avg_fn() -> Average:
    """For `avg_fn`: the mean of all models so far."""

    def average(averaged: rt.Tensor, current: rt.Tensor, count: rt.Tensor) -> rt.Tensor:
        return averaged + (current - averaged) / (count + 1)

    return average


class AveragedModel(nn.Module):
    """A copy of `model` (at `module`) whose parameters are the average over the calls of `update_parameters`.

    Args:
        model: what is copied.
        device: the CPU.
        avg_fn: ``avg_fn(averaged, current, count)`` gives the new average; the mean of all if None.
        multi_avg_fn: the same on lists of tensors, in place.
        use_buffers: average buffers too; otherwise those of the latest model are taken.
    """

    n_averaged: rt.Tensor

    def __init__(
        self,
        model: nn.Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Averages | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", rt.tensor(0))
        self.avg_fn = avg_fn
        self.multi_avg_fn = multi_avg_fn
        self.use_buffers = use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The averaged model's output."""
        return self.module(*args, **kwargs)

    def _averaged(self, model: nn.Module) -> list[rt.Tensor]:
        return [t.detach() for t in (*model.parameters(), *(model.buffers() if self.use_buffers else ()))]

    def update_parameters(self, model: nn.Module) -> None:
        """Takes the parameters of `model` into the average."""
        ours, theirs = self._averaged(self.module), self._averaged(model)
        with rt.no_grad():
            if self.n_averaged == 0:
                for a, c in zip(ours, theirs):
                    a.copy_(c)
            elif self.multi_avg_fn is not None:
                self.multi_avg_fn(ours, theirs, self.n_averaged)
            else:
                average = self.avg_fn or get_swa_avg_fn()
                for a, c in zip(ours, theirs):
                    a.copy_(average(a, c, self.n_averaged))
            if not self.use_buffers:
                for a, c in zip(self.module.buffers(), model.buffers()):
                    a.copy_(c)
            self.n_averaged += 1


def update_bn(loader: Iterable[Any], model: nn.Module, device: Any = None) -> None:
    """Computes the running statistics of the model's batch norms anew, from one pass over `loader`.

    Batches may be lists or tuples, whose first element is the input.
    """
    norms = [m for m in model.modules() if isinstance(m, nn.modules.norm._BatchNorm)]
    if not norms:
        return
    was_training, momenta = model.training, [m.momentum for m in norms]
    model.train()
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # the mean over all batches
    with rt.no_grad():
        for batch in loader:
            model(batch[0] if isinstance(batch, (list, tuple)) else batch)
    for m, momentum in zip(norms, momenta):
        m.momentum = momentum
    model.train(was_training)


class SWALR(LRScheduler):
    """Anneals the rate of each group to `swa_lr` within `anneal_epochs`, along a cosine or a line, and keeps it there.

    Args:
        optimizer: whose learning rates are set.
        swa_lr: the last rate, or one per group.
        anneal_epochs: how many steps that takes.
        anneal_strategy: "cos" or "linear".
        last_epoch: the last finished epoch when training is resumed.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: Any,
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise InvalidArgumentError(
                f'anneal_strategy must by one of "cos" or "linear", instead got {anneal_strategy}'
            )
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise InvalidArgumentError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        for group, rate in zip(optimizer.param_groups, _per_group("swa_lr", optimizer, swa_lr)):
            group["swa_lr"] = rate
        self.anneal_epochs = anneal_epochs
        self.anneal_strategy = anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, step: int) -> float:
        """How far the annealing has come after `step` steps: 0 at first, then 1."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self.anneal_strategy == "cos" else t

    def get_lr(self) -> list[Any]:
        """The rate before annealing is worked out from the current one, so other schedulers may have set it."""
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in self.optimizer.param_groups:
            last = group["swa_lr"]
            first = last if before == 1 else (group["lr"] - before * last) / (1 - before)
            rates.append(last * now + first * (1 - now))
        return rates
