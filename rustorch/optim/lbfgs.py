"""L-BFGS with a strong Wolfe line search."""

from __future__ import annotations

import math

import rustorch as rt

from ..errors import InvalidArgumentError
from .optimizer import Optimizer, nonnegative

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from .optimizer import Params

    #: A point of the line search: step length, loss, gradient, slope along the direction.
    Point: TypeAlias = tuple[float, float, rt.Tensor, float]

_ARMIJO, _CURVATURE = 1e-4, 0.9  # c1 and c2 of the Wolfe conditions


def _cubic_minimum(a: Point, b: Point, low: float, high: float) -> float:
    """Where the cubic through two points and their slopes has its minimum, kept within [low, high]."""
    (x1, f1, _, g1), (x2, f2, _, g2) = (a, b) if a[0] <= b[0] else (b, a)
    d1 = g1 + g2 - 3 * (f1 - f2) / (x1 - x2) if x1 != x2 else 0.0
    square = d1 * d1 - g1 * g2
    if square >= 0:
        d2 = math.sqrt(square)
        below = g2 - g1 + 2 * d2
        if below != 0:
            return min(max(x2 - (x2 - x1) * ((g2 + d2 - d1) / below), low), high)
    return (low + high) / 2


def _line_search(
    evaluate: Callable[[float], Point], start: Point, t: float, size: float, tolerance: float, limit: int
) -> tuple[Point, int]:
    """A step length that meets the strong Wolfe conditions, and the number of evaluations it took.

    ``start`` is the point at length 0, ``t`` the first length to try, ``size`` the largest entry of the direction,
    ``limit`` the number of further trials allowed. Source: Nocedal & Wright, Numerical optimization, algorithms 3.5 and
    3.6, with the safeguards of Schmidt's minFunc.
    """
    _, f0, _, slope0 = start

    def too_high(p: Point) -> bool:
        return p[1] > f0 + _ARMIJO * p[0] * slope0

    def flat(p: Point) -> bool:
        return abs(p[3]) <= -_CURVATURE * slope0

    # Lengthen the step until a suitable point lies between the last two.
    last, new, trials = start, evaluate(t), 0
    while trials < limit:
        if too_high(new) or (trials > 1 and new[1] >= last[1]):
            break
        if flat(new):
            return new, trials + 1
        if new[3] >= 0:
            break
        length = _cubic_minimum(last, new, new[0] + 0.01 * (new[0] - last[0]), new[0] * 10)
        last, new, trials = new, evaluate(length), trials + 1
    else:
        last = start

    # Narrow the bracket, of which `low` is the better end.
    ends = [last, new]
    low = 0 if ends[0][1] <= ends[1][1] else 1
    stuck = False
    while trials < limit:
        left, right = min(ends[0][0], ends[1][0]), max(ends[0][0], ends[1][0])
        if (right - left) * size < tolerance:
            break
        t = _cubic_minimum(ends[0], ends[1], left, right)
        margin = 0.1 * (right - left)
        if min(right - t, t - left) < margin:
            # Near an end twice in a row, or on it: step inside.
            if stuck or t >= right or t <= left:
                t = right - margin if abs(t - right) < abs(t - left) else left + margin
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        new, trials = evaluate(t), trials + 1
        if too_high(new) or new[1] >= ends[low][1]:
            ends[1 - low] = new
            low = 0 if ends[0][1] <= ends[1][1] else 1
            continue
        done = flat(new)
        if not done and new[3] * (ends[1 - low][0] - ends[low][0]) >= 0:
            ends[1 - low] = ends[low]
        ends[low] = new
        if done:
            break
    return ends[low], trials + 1


class LBFGS(Optimizer):
    """L-BFGS: a quasi-Newton method that keeps the last ``history_size`` steps and gradient differences.

    One :meth:`step` makes up to ``max_iter`` iterations and calls the closure several times. All parameters form one
    vector; there is one parameter group. Memory: ``2 * history_size`` times that of the parameters.
    Source: Nocedal & Wright, Numerical optimization, algorithm 7.4.

    Args:
        params: tensors.
        lr: step length, or the first one that the line search tries.
        max_iter: iterations per step.
        max_eval: closure calls per step (``max_iter * 5 // 4`` if None).
        tolerance_grad: stop when no entry of the gradient is larger.
        tolerance_change: stop when neither parameters nor loss change by more.
        history_size: number of past steps kept.
        line_search_fn: ``"strong_wolfe"`` or None for steps of the fixed length ``lr``.

    Raises:
        InvalidArgumentError: a negative ``lr``, an unknown line search or more than one parameter group.
    """

    def __init__(
        self,
        params: Params,
        lr: float | rt.Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        nonnegative("learning rate", lr)
        if line_search_fn not in (None, "strong_wolfe"):
            raise InvalidArgumentError(f"LBFGS: line_search_fn must be 'strong_wolfe' or None, got {line_search_fn!r}")
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise InvalidArgumentError("LBFGS doesn't support per-parameter options (parameter groups)")

    def _flat_grad(self) -> rt.Tensor:
        params = self.param_groups[0]["params"]
        flat: rt.Tensor = rt.cat([(rt.zeros_like(p) if p.grad is None else p.grad).reshape(-1) for p in params])
        return flat

    def _move(self, length: float, direction: rt.Tensor) -> None:
        """Adds ``length * direction`` to the parameters."""
        offset = 0
        for p in self.param_groups[0]["params"]:
            end = offset + p.numel()
            p.add_(direction[offset:end].reshape(p.shape), alpha=length)
            offset = end

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Minimises the loss for up to ``max_iter`` iterations.

        Args:
            closure: clears the gradients, evaluates the model, computes the gradients and returns the loss.

        Returns:
            The loss before the step.
        """
        with rt.no_grad():
            return self._minimise(closure)

    def _minimise(self, closure: Callable[[], Any]) -> Any:
        group = self.param_groups[0]
        params, state = group["params"], self.state[group["params"][0]]
        lr, max_iter, max_eval = float(group["lr"]), group["max_iter"], group["max_eval"]
        tolerance_grad, tolerance_change = group["tolerance_grad"], group["tolerance_change"]

        def evaluate() -> tuple[Any, rt.Tensor]:
            with rt.enable_grad():
                loss = closure()
            state["func_evals"] = state.get("func_evals", 0) + 1
            return loss, self._flat_grad()

        first_loss, grad = evaluate()
        loss, evals = float(first_loss), 1
        if _largest(grad) <= tolerance_grad:
            return first_loss

        direction, t, last_grad = state.get("d"), float(state.get("t", 0.0)), state.get("prev_flat_grad")
        changes: list[rt.Tensor] = state.get("old_dirs", [])  # gradient differences
        steps: list[rt.Tensor] = state.get("old_stps", [])
        inverses = [float(r) for r in state.get("ro", [])]  # 1 / (change . step)
        scale = float(state.get("H_diag", 1.0))
        last_loss = loss

        for iteration in range(1, max_iter + 1):
            state["n_iter"] = state.get("n_iter", 0) + 1
            if direction is None:
                direction = -grad
            else:
                change, step = grad - last_grad, direction * t
                product = change.dot(step).item()
                if product > 1e-10:
                    if len(changes) == group["history_size"]:
                        del changes[0], steps[0], inverses[0]
                    changes.append(change)
                    steps.append(step)
                    inverses.append(1.0 / product)
                    scale = product / change.dot(change).item()
                # The two loops: direction = -(approximate inverse Hessian) @ grad.
                direction, weights = -grad, []
                for change, step, inverse in zip(reversed(changes), reversed(steps), reversed(inverses)):
                    weights.append(step.dot(direction).item() * inverse)
                    direction.add_(change, alpha=-weights[-1])
                direction.mul_(scale)
                for change, step, inverse in zip(changes, steps, inverses):
                    direction.add_(step, alpha=weights.pop() - change.dot(direction).item() * inverse)

            last_grad, last_loss = grad, loss
            t = min(1.0, 1.0 / grad.abs().sum().item()) * lr if state["n_iter"] == 1 else lr
            slope = grad.dot(direction).item()
            if slope > -tolerance_change:
                break
            size = _largest(direction)
            if group["line_search_fn"] is not None:
                origin = [p.clone() for p in params]

                def at(length: float, direction: rt.Tensor = direction, origin: list[rt.Tensor] = origin) -> Point:
                    self._move(length, direction)
                    value, slopes = evaluate()
                    for p, saved in zip(params, origin):
                        p.copy_(saved)
                    return length, float(value), slopes, slopes.dot(direction).item()

                found, used = _line_search(at, (0.0, loss, grad, slope), t, size, tolerance_change, max_eval - evals)
                t, loss, grad, _ = found
                evals += used
                self._move(t, direction)
            else:
                self._move(t, direction)
                if iteration < max_iter:
                    value, grad = evaluate()
                    loss = float(value)
                    evals += 1
            if evals >= max_eval or _largest(grad) <= tolerance_grad:
                break
            if abs(t) * size <= tolerance_change or abs(loss - last_loss) < tolerance_change:
                break

        state.update(d=direction, t=t, old_dirs=changes, old_stps=steps, ro=inverses, H_diag=scale)
        state.update(prev_flat_grad=last_grad, prev_loss=last_loss)
        return first_loss


def _largest(x: rt.Tensor) -> float:
    return float(x.abs().max().item())
