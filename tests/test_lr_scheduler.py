"""Learning-rate schedulers against their closed formulas."""

import math

import pytest

import rustorch as rt
from rustorch.optim import lr_scheduler as s


def optimizer(lr=0.5, **options):
    a, b = rt.ones(1, requires_grad=True), rt.ones(1, requires_grad=True)
    return rt.optim.SGD([{"params": [a]}, {"params": [b], "lr": 2 * lr}], lr=lr, **options)


def rates(scheduler, steps=30):
    """The first group's rate in each epoch; the second group's must keep in proportion."""
    opt, seen = scheduler.optimizer, []
    for _ in range(steps):
        low, high = scheduler.get_last_lr()
        assert [g["lr"] for g in opt.param_groups] == [low, high]
        seen.append(low)
        opt.step()
        scheduler.step()
    return seen


FORMULAS = {
    "StepLR": (lambda o: s.StepLR(o, 4, gamma=0.5), lambda e: 0.5 * 0.5 ** (e // 4)),
    "MultiStepLR": (
        lambda o: s.MultiStepLR(o, [3, 7, 7], gamma=0.1),
        lambda e: 0.5 * 0.1 ** ((e >= 3) + 2 * (e >= 7)),
    ),
    "ExponentialLR": (lambda o: s.ExponentialLR(o, 0.9), lambda e: 0.5 * 0.9**e),
    "LambdaLR": (lambda o: s.LambdaLR(o, lambda e: 1 / (1 + e)), lambda e: 0.5 / (1 + e)),
    "LambdaLR list": (lambda o: s.LambdaLR(o, [lambda e: 0.7**e, lambda e: 1.0]), lambda e: 0.5 * 0.7**e),
    "MultiplicativeLR": (lambda o: s.MultiplicativeLR(o, lambda e: 0.8), lambda e: 0.5 * 0.8**e),
    "ConstantLR": (lambda o: s.ConstantLR(o, 0.25, 6), lambda e: 0.5 * (0.25 if e < 6 else 1)),
    "LinearLR": (lambda o: s.LinearLR(o, 0.2, 0.6, 10), lambda e: 0.5 * (0.2 + 0.4 * min(e, 10) / 10)),
    "PolynomialLR": (lambda o: s.PolynomialLR(o, 12, 2.0), lambda e: 0.5 * (1 - min(e, 12) / 12) ** 2),
    "CosineAnnealingLR": (
        lambda o: s.CosineAnnealingLR(o, 8, 0.01),
        lambda e: 0.01 + 0.49 * (1 + math.cos(math.pi * e / 8)) / 2,
    ),
    "CosineAnnealingWarmRestarts": (
        lambda o: s.CosineAnnealingWarmRestarts(o, 6, eta_min=0.01),
        lambda e: 0.01 + 0.49 * (1 + math.cos(math.pi * (e % 6) / 6)) / 2,
    ),
    "CyclicLR": (
        lambda o: s.CyclicLR(o, 0.1, 0.5, 5, cycle_momentum=False),
        lambda e: 0.1 + 0.4 * (1 - abs(e % 10 / 5 - 1)),
    ),
    "OneCycleLR": (
        lambda o: s.OneCycleLR(o, 1.0, 41, pct_start=0.5, anneal_strategy="linear", cycle_momentum=False),
        lambda e: 0.04 + 0.96 * e / 19.5 if e <= 19.5 else 1 + (4e-6 - 1) * (e - 19.5) / 20.5,
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_formula(name):
    make, formula = FORMULAS[name]
    assert rates(make(optimizer())) == pytest.approx([formula(e) for e in range(30)], rel=1e-9)


def test_restarts_with_growing_cycles():
    scheduler = s.CosineAnnealingWarmRestarts(optimizer(), 2, T_mult=2)
    seen = rates(scheduler, 15)
    assert [e for e, lr in enumerate(seen) if lr == 0.5] == [0, 2, 6, 14]
    scheduler.step(2.5)
    assert scheduler.get_last_lr()[0] == pytest.approx(0.25 * (1 + math.cos(math.pi * 0.5 / 4)))


def test_momentum_moves_against_the_rate():
    for make in (
        lambda o: s.OneCycleLR(o, 1.0, 21, pct_start=0.5),
        lambda o: s.CyclicLR(o, 0.1, 1.0, 10, base_momentum=0.85, max_momentum=0.95),
    ):
        for opt in (optimizer(momentum=0.9), rt.optim.Adam([rt.ones(1, requires_grad=True)])):
            scheduler = make(opt)
            group, pairs = opt.param_groups[0], []
            for _ in range(20):
                opt.step()
                scheduler.step()
                pairs.append((group["lr"], group["betas"][0] if "betas" in group else group["momentum"]))
            momenta = [m for _, m in sorted(pairs)]
            assert momenta == sorted(momenta, reverse=True)
            assert 0.85 <= momenta[-1] < momenta[0] <= 0.95


def test_plateau():
    opt = optimizer()
    scheduler = s.ReduceLROnPlateau(opt, patience=1, factor=0.5, cooldown=1, min_lr=0.1)
    seen = []
    for figure in [3, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1]:
        scheduler.step(figure)
        seen.append(opt.param_groups[0]["lr"])
    assert seen == [0.5] * 3 + [0.25] * 3 + [0.125] * 4 + [0.1] * 6
    assert scheduler.best == 1 and scheduler.get_last_lr()[0] == 0.1


def test_plateau_with_a_figure_to_be_maximised():
    opt = optimizer()
    scheduler = s.ReduceLROnPlateau(opt, "max", patience=0, threshold=0.5, threshold_mode="abs")
    for figure, lr in [(1, 0.5), (1.4, 0.05), (2, 0.05), (2.2, 0.005)]:
        scheduler.step(rt.tensor(figure))
        assert opt.param_groups[0]["lr"] == pytest.approx(lr)


def test_plateau_and_added_groups():
    opt = optimizer()
    scheduler = s.ReduceLROnPlateau(opt, patience=0, min_lr=0.3)
    fixed = s.ReduceLROnPlateau(opt, patience=0, min_lr=[0.3, 0.3])
    opt.add_param_group({"params": [rt.ones(1, requires_grad=True)]})
    for _ in range(3):
        scheduler.step(1.0)
    assert [g["lr"] for g in opt.param_groups] == [0.3] * 3
    fixed.step(1.0)
    with pytest.raises(RuntimeError, match="has 3 param groups, min_lrs has 2"):
        fixed.step(1.0)


def test_sequential_warms_up_then_decays():
    opt = optimizer()
    scheduler = s.SequentialLR(opt, [s.LinearLR(opt, 0.1, total_iters=4), s.ExponentialLR(opt, 0.5)], [4])
    expected = [0.05, 0.1625, 0.275, 0.3875] + [0.5 * 0.5**e for e in range(6)]
    assert rates(scheduler, 10) == pytest.approx(expected)


def test_chained_effects_multiply():
    opt = optimizer()
    scheduler = s.ChainedScheduler([s.ConstantLR(opt, 0.1, 3), s.ExponentialLR(opt, 0.9)])
    assert rates(scheduler, 8) == pytest.approx([0.5 * 0.9**e * (0.1 if e < 3 else 1) for e in range(8)])


@pytest.mark.parametrize("name", FORMULAS)
def test_saving_and_loading(name):
    make, formula = FORMULAS[name]
    opt = optimizer()
    scheduler = make(opt)
    rates(scheduler, 9)
    again = optimizer()
    other = make(again)
    again.load_state_dict(opt.state_dict())
    other.load_state_dict(scheduler.state_dict())
    assert rates(other, 10) == pytest.approx([formula(e) for e in range(9, 19)], rel=1e-9)


def test_saving_combined_schedulers():
    def build():
        opt = optimizer()
        parts = [s.ConstantLR(opt, 0.1, 2), s.ChainedScheduler([s.StepLR(opt, 2), s.ExponentialLR(opt, 0.9)])]
        return opt, s.ChainedScheduler(parts)

    opt, scheduler = build()
    rates(scheduler, 5)
    state = scheduler.state_dict()
    assert "optimizer" not in state and len(state["_schedulers"]) == 2
    again, other = build()
    again.load_state_dict(opt.state_dict())
    other.load_state_dict(state)
    assert rates(other, 6) == rates(scheduler, 6)


class Scaled:
    def __init__(self, by):
        self.by = by

    def __call__(self, epoch):
        return self.by


def test_state_of_callable_objects_is_saved():
    for kind in (s.LambdaLR, s.MultiplicativeLR):
        state = kind(optimizer(), [Scaled(0.5), lambda e: 1.0]).state_dict()
        assert state["lr_lambdas"] == [{"by": 0.5}, None]
        loaded = Scaled(0.9)
        kind(optimizer(), [loaded, lambda e: 1.0]).load_state_dict(state)
        assert loaded.by == 0.5
        loaded.by = 0.7  # what was loaded is not the state itself
        assert state["lr_lambdas"] == [{"by": 0.5}, None]
        loaded.more = 1
        kind(optimizer(), [loaded, lambda e: 1.0]).load_state_dict(state)
        assert (loaded.by, loaded.more) == (0.5, 1)


def test_resuming_needs_the_first_rate():
    with pytest.raises(KeyError, match="initial_lr"):
        s.StepLR(optimizer(), 3, last_epoch=5)
    opt = optimizer()
    rates(s.ExponentialLR(opt, 0.9), 6)
    assert rates(s.ExponentialLR(opt, 0.9, last_epoch=5), 3) == pytest.approx([0.5 * 0.9**e for e in (6, 7, 8)])


@pytest.mark.parametrize("name", ["StepLR", "MultiStepLR", "ExponentialLR", "ConstantLR", "LinearLR", "PolynomialLR"])
def test_given_epoch(name):
    make, formula = FORMULAS[name]
    opt = optimizer()
    scheduler = make(opt)
    opt.step()
    with pytest.warns(UserWarning, match="epoch parameter"):
        scheduler.step(8)
    assert scheduler.last_epoch == 8
    assert scheduler.get_last_lr()[0] == pytest.approx(formula(8))


def test_own_scheduler():
    class Halving(s.LRScheduler):
        def get_lr(self):
            return [lr / (self.last_epoch + 1) for lr in self.base_lrs]

    assert rates(Halving(optimizer()), 3) == [0.5, 0.25, 0.5 / 3]
    with pytest.raises(NotImplementedError, match="LRScheduler does not implement get_lr"):
        s.LRScheduler(optimizer())


def test_order_of_steps_is_checked():
    scheduler = s.StepLR(optimizer(), 3)
    with pytest.warns(UserWarning, match=r"`lr_scheduler.step\(\)` before `optimizer.step\(\)`"):
        scheduler.step()


def test_rate_as_tensor_stays_the_same_tensor():
    rate = rt.tensor(0.5)
    opt = rt.optim.SGD([rt.ones(1, requires_grad=True)], lr=rate)
    scheduler = s.ExponentialLR(opt, 0.5)
    opt.step()
    scheduler.step()
    assert opt.param_groups[0]["lr"] is rate and rate.item() == 0.25
    assert scheduler.get_last_lr()[0] is not rate


ERRORS = [
    (lambda o: s.ConstantLR(o, 1.5), "between 0 and 1, got 1.5"),
    (lambda o: s.LinearLR(o, 0.0), "greater than 0 and less or equal to 1, got 0.0"),
    (lambda o: s.LinearLR(o, end_factor=2.0), "between 0 and 1, got 2.0"),
    (lambda o: s.LambdaLR(o, [abs]), "Expected 2 lr_lambdas, but got 1"),
    (lambda o: s.CosineAnnealingWarmRestarts(o, 0), "Expected positive integer T_0, but got 0"),
    (lambda o: s.CosineAnnealingWarmRestarts(o, 2, 0), "Expected integer T_mult >= 1, but got 0"),
    (lambda o: s.CosineAnnealingWarmRestarts(o, 2, 1, "low"), "Expected float or int eta_min"),
    (lambda o: s.OneCycleLR(o, 1.0), "You must define either total_steps"),
    (lambda o: s.OneCycleLR(o, 1.0, 0), "Expected positive integer total_steps, but got 0"),
    (lambda o: s.OneCycleLR(o, 1.0, 9, pct_start=2.0), "Expected float between 0 and 1 pct_start, but got 2.0"),
    (lambda o: s.OneCycleLR(o, 1.0, 9, anneal_strategy="no"), "instead got no"),
    (lambda o: s.OneCycleLR(rt.optim.Adagrad([rt.ones(1, requires_grad=True)]), 1.0, 9), "must support momentum"),
    (lambda o: s.CyclicLR(o, 0.1, 1.0, mode="square"), "mode is invalid and scale_fn is None: got mode 'square'"),
    (lambda o: s.CyclicLR(o, [0.1], 1.0), "base_lr has 1 values, param_groups has 2"),
    (lambda o: s.ReduceLROnPlateau(o, factor=1.0), "Factor should be < 1.0, got 1.0"),
    (lambda o: s.ReduceLROnPlateau(o, "middle"), "mode middle is unknown"),
    (lambda o: s.ReduceLROnPlateau(o, threshold_mode="x"), "threshold mode x is unknown"),
    (lambda o: s.SequentialLR(o, [], []), "at least one scheduler"),
    (lambda o: s.SequentialLR(o, [s.StepLR(o, 1)], [3]), "got 1 schedulers and 1 milestones"),
    (lambda o: s.SequentialLR(o, [s.StepLR(optimizer(), 1)], []), "belong to the same optimizer"),
    (lambda o: s.ChainedScheduler([s.ReduceLROnPlateau(o)]), "does not support `ReduceLROnPlateau`"),
    (lambda o: s.ChainedScheduler([]), "at least one scheduler"),
]


@pytest.mark.parametrize(("make", "message"), ERRORS, ids=[e[1] for e in ERRORS])
def test_errors(make, message):
    with pytest.raises(rt.errors.InvalidArgumentError) as error:
        make(optimizer())
    assert message in str(error.value)


def test_type_errors():
    with pytest.raises(TypeError, match="int is not an Optimizer"):
        s.StepLR(3, 1)
    with pytest.raises(TypeError, match="lr_lambda should be a function, but got float"):
        s.MultiplicativeLR(optimizer(), 0.5)
    with pytest.raises(TypeError, match="should have `optimizer` as its attribute"):
        s.ChainedScheduler([3], optimizer())


def test_one_cycle_ends():
    opt = optimizer()
    scheduler = s.OneCycleLR(opt, 1.0, epochs=2, steps_per_epoch=3, cycle_momentum=False)
    rates(scheduler, 6)
    with pytest.raises(ValueError, match=r"Tried to step 7 times\. The specified number of total steps is 6"):
        scheduler.step()


def test_warm_restarts_at_any_epoch():
    """Cycles of 4, 8, 16 ... epochs: forwards, backwards, in fractions, and from there on."""
    opt = optimizer()
    scheduler = s.CosineAnnealingWarmRestarts(opt, 4, 2, eta_min=0.1)
    epoch = 0.0
    for step in (None, 3, 5, 13, 27, 30, 2.5, 3.5, 4, 11, 12, None, 0.5, None, None, None):
        opt.step()
        # Without a number it goes on by one from where it is in its cycle.
        epoch = epoch + 1 if step is None else step
        start, length = 0, 4
        while epoch >= start + length:
            start, length = start + length, 2 * length
        scheduler.step(step)
        assert (scheduler.T_cur, scheduler.T_i) == (epoch - start, length)
        share = (1 + math.cos(math.pi * (epoch - start) / length)) / 2
        assert scheduler.get_last_lr()[0] == pytest.approx(0.1 + (0.5 - 0.1) * share)


@pytest.mark.parametrize(("eps", "want"), [(0.0, 0.25), (0.2, 0.25), (0.25, 0.5), (0.3, 0.5)])
def test_changes_that_are_too_small_are_not_made(eps, want):
    opt = rt.optim.SGD([rt.ones(1, requires_grad=True)], lr=0.5)
    plateau = s.ReduceLROnPlateau(opt, factor=0.5, patience=0, eps=eps)
    plateau.step(1.0)
    plateau.step(1.0)
    assert opt.param_groups[0]["lr"] == want
