"""Losses and gradients of float16."""

from __future__ import annotations

import warnings
from collections import defaultdict

from ..dtypes import BY_NAME

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..optim import Optimizer

__all__ = ["GradScaler"]


class GradScaler:
    """Scales losses, so that small gradients are not lost in float16, and takes the scale out again before a step.

    A step of which a gradient is infinite or NaN is left out, and the scale reduced (Micikevicius et al. 2018).

    Args:
        device: "cpu"; for "cuda", which is the default as in PyTorch, it is switched off, with a warning.
        init_scale: The scale at first.
        growth_factor: What the scale is multiplied with after `growth_interval` steps in a row without such a gradient.
        backoff_factor: What it is multiplied with after a step that was left out.
        growth_interval: See `growth_factor`.
        enabled: False: losses and gradients stay as they are.
    """

    def __init__(
        self,
        device: str = "cuda",
        init_scale: float = 2.0**16,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        if enabled and device != "cpu":
            warnings.warn(
                f"torch.{device}.amp.GradScaler is enabled, but {device.upper()} is not available.  Disabling.",
                stacklevel=2,
            )
            enabled = False
        if enabled and growth_factor <= 1.0:
            raise AssertionError("The growth factor must be > 1.0.")
        if enabled and backoff_factor >= 1.0:
            raise AssertionError("The backoff factor must be < 1.0.")
        self._device, self._enabled = device, enabled
        self._scale, self._tracker = float(init_scale), 0
        self._growth_factor, self._backoff_factor, self._growth_interval = (
            growth_factor,
            backoff_factor,
            growth_interval,
        )
        # Of each optimizer: what was done since the last `update`, and whether a gradient was not finite.
        self._stages: dict[int, str] = defaultdict(lambda: "ready")
        self._found: dict[int, bool] = {}

    def scale(self, outputs: Any) -> Any:
        """A tensor, or several in lists and tuples, times the scale."""
        if not self._enabled:
            return outputs
        if hasattr(outputs, "_h"):
            return outputs * self._scale
        if isinstance(outputs, (list, tuple)):
            scaled = [self.scale(o) for o in outputs]
            return type(outputs)(*scaled) if hasattr(outputs, "_fields") else type(outputs)(scaled)
        if hasattr(outputs, "__iter__"):
            return map(self.scale, outputs)
        raise ValueError("outputs must be a Tensor or an iterable of Tensors")

    def unscale_(self, optimizer: Optimizer) -> None:
        """Divides the gradients of an optimizer's parameters by the scale, as for clipping; `step` then does not."""
        if not self._enabled:
            return
        stage = self._stages[id(optimizer)]
        if stage == "unscaled":
            raise RuntimeError("unscale_() has already been called on this optimizer since the last update().")
        if stage == "stepped":
            raise RuntimeError("unscale_() is being called after step().")
        self._unscale(optimizer, allow_fp16=False)
        self._stages[id(optimizer)] = "unscaled"

    def _unscale(self, optimizer: Optimizer, allow_fp16: bool) -> None:
        from ..autograd import no_grad

        found = None
        with no_grad():
            for p in (p for group in optimizer.param_groups for p in group["params"] if p.grad is not None):
                if not allow_fp16 and p.grad.dtype is BY_NAME["float16"]:
                    raise ValueError("Attempting to unscale FP16 gradients.")
                found = bool(found) or not p.grad.isfinite().all().item()
                p.grad.mul_(1.0 / self._scale)
        if found is not None:
            self._found[id(optimizer)] = found

    def step(self, optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        """Takes the scale out of the gradients, if `unscale_` has not, and calls `optimizer.step()` if all are finite.

        Returns:
            What that gives; None if the step was left out.
        """
        if not self._enabled:
            return optimizer.step(*args, **kwargs)
        if "closure" in kwargs:
            raise RuntimeError("Closure use is not currently supported if GradScaler is enabled.")
        stage = self._stages[id(optimizer)]
        if stage == "stepped":
            raise RuntimeError("step() has already been called since the last update().")
        if stage == "ready":
            self._unscale(optimizer, allow_fp16=True)
        if id(optimizer) not in self._found:
            raise AssertionError("No inf checks were recorded for this optimizer.")
        self._stages[id(optimizer)] = "stepped"
        return None if self._found[id(optimizer)] else optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Sets the scale for the next iteration: by what was found since the last one, or to `new_scale`."""
        if not self._enabled:
            return
        if new_scale is not None:
            if hasattr(new_scale, "_h") and (new_scale.numel() != 1 or new_scale.requires_grad):
                raise AssertionError("new_scale should be a float or a tensor of one element that requires no grad")
            self._scale = float(new_scale)
        elif not self._found:
            raise AssertionError("No inf checks were recorded prior to update.")
        elif any(self._found.values()):
            self._scale, self._tracker = self._scale * self._backoff_factor, 0
        else:
            self._tracker += 1
            if self._tracker == self._growth_interval:
                self._scale, self._tracker = self._scale * self._growth_factor, 0
        self._stages.clear()
        self._found.clear()

    def get_scale(self) -> float:
        """The scale; 1 if switched off."""
        return self._scale if self._enabled else 1.0

    def get_growth_factor(self) -> float:
        """What the scale grows by."""
        return self._growth_factor

    def set_growth_factor(self, new_factor: float) -> None:
        """Sets what the scale grows by."""
        self._growth_factor = new_factor

    def get_backoff_factor(self) -> float:
        """What the scale is reduced by."""
        return self._backoff_factor

    def set_backoff_factor(self, new_factor: float) -> None:
        """Sets what the scale is reduced by."""
        self._backoff_factor = new_factor

    def get_growth_interval(self) -> int:
        """The number of good steps in a row after which the scale grows."""
        return self._growth_interval

    def set_growth_interval(self, new_interval: int) -> None:
        """Sets that number."""
        self._growth_interval = new_interval

    def is_enabled(self) -> bool:
        """False if it changes nothing."""
        return self._enabled

    def state_dict(self) -> dict[str, Any]:
        """The scale, what changes it, and the good steps so far; empty if switched off."""
        if not self._enabled:
            return {}
        return {
            "scale": self._scale,
            "growth_factor": self._growth_factor,
            "backoff_factor": self._backoff_factor,
            "growth_interval": self._growth_interval,
            "_growth_tracker": self._tracker,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes over what `state_dict` gave."""
        if not self._enabled:
            return
        if not state_dict:
            raise RuntimeError(
                "The source state dict is empty, possibly because it was saved from a disabled instance of GradScaler."
            )
        self._scale = state_dict["scale"]
        self._growth_factor = state_dict["growth_factor"]
        self._backoff_factor = state_dict["backoff_factor"]
        self._growth_interval = state_dict["growth_interval"]
        self._tracker = state_dict["_growth_tracker"]

    def __getstate__(self) -> dict[str, Any]:
        if self._found:
            raise AssertionError(
                "A GradScaler instance may only be pickled at the beginning of an iteration, or at the end after "
                "update()."
            )
        return {**self.__dict__, "_stages": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state, _stages=defaultdict(lambda: "ready"))
