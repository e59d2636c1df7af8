"""Options of optimizers, schedulers, averages, clipping, parametrisations, padding and the functions of autograd, each
against numbers that are worked out here."""

import copy
import inspect
import itertools
import math
from collections import Counter

import numpy as np
import pytest
from test_optim import CASES, array, assert_same, numbers, parameters, set_grads, tensor

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import nn
from rustorch.autograd import functional as A
from rustorch.nn.utils import clip_grad, parametrizations, parametrize, rnn
from rustorch.nn.utils import spectral_norm as old_spectral_norm
from rustorch.optim import lr_scheduler as s
from rustorch.optim import swa_utils

# ---- optimizers ----


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("option", ["foreach", "fused", "capturable"])
def test_options_for_other_devices_change_nothing(name, option):
    cls = getattr(rt.optim, name)
    if option not in inspect.signature(cls.__init__).parameters:
        return
    plain, with_option = parameters(), parameters()
    options = {"weight_decay": 0.1} if name != "Rprop" else {}
    both = cls(plain, lr=0.1, **options), cls(with_option, lr=0.1, **options, **{option: True})
    start = [array(p) for p in plain]
    for t in range(3):
        for params, opt in zip((plain, with_option), both):
            set_grads(params, t)
            opt.step()
    assert_same(with_option, [array(p) for p in plain])
    assert not np.allclose(start[0], array(plain[0]))
    assert both[1].param_groups[0][option] is True and both[0].param_groups[0][option] in (None, False)


def test_the_options_of_every_optimizer_are_in_the_table():
    free = {"self", "params", "foreach", "fused", "capturable", "differentiable"}
    for name in rt.optim.__all__:
        cls = getattr(rt.optim, name)
        if not isinstance(cls, type) or name in ("Optimizer", "LBFGS"):
            continue
        tried = {k for k, values in CASES[name][1].items() if len(values) > 1 or k == "lr"}
        tried |= {"rho", "alpha", "eps", "t0", "momentum_decay", "lambd"} & set(CASES[name][1]) | {"t0"}
        assert set(inspect.signature(cls.__init__).parameters) - free <= tried, name


@pytest.mark.parametrize(
    ("name", "option", "values"),
    [
        ("RMSprop", "alpha", (0.99, 0.5)),
        ("RMSprop", "eps", (1e-8, 0.3)),
        ("Adagrad", "eps", (1e-10, 0.3)),
        ("Adadelta", "eps", (1e-6, 0.3)),
        ("NAdam", "momentum_decay", (4e-3, 0.5)),
        ("ASGD", "lambd", (1e-4, 0.5)),
        ("Adam", "eps", (1e-8, 0.3)),
    ],
)
def test_option_against_the_formula(name, option, values):
    """Where the table has one value only: the formula with another, and that it makes a difference."""
    reference, seen = CASES[name][0], []
    for value in values:
        params = parameters()
        opt = getattr(rt.optim, name)(params, lr=0.1, **{option: value})
        full = {**opt.defaults, option: value}
        values_, states = [array(p) for p in params], [{} for _ in params]
        for t in range(1, 5):
            set_grads(params, t)
            opt.step()
            for i, p in enumerate(params):
                values_[i] = reference(values_[i], array(p.grad), states[i], t, full)
        assert_same(params, values_)
        seen.append(array(params[0]))
    assert not np.allclose(*seen)


@pytest.mark.parametrize("t0", [0, 2, 1e6])
@pytest.mark.parametrize("maximize", [False, True])
def test_asgd_averages(t0, maximize):
    p = tensor([1.0, -2.0], requires_grad=True)
    opt = rt.optim.ASGD([p], lr=0.1, lambd=0.3, alpha=0.5, t0=t0, weight_decay=0.2, maximize=maximize)
    value, mean, eta, mu = array(p), np.zeros(2), 0.1, 1.0
    for t in range(1, 7):
        grad = numbers(t, (2,))
        p.grad = tensor(grad)
        opt.step()
        g = (-grad if maximize else grad) + 0.2 * value
        value = value * (1 - 0.3 * eta) - eta * g
        mean = mean + mu * (value - mean)
        eta, mu = 0.1 / (1 + 0.3 * 0.1 * t) ** 0.5, 1 / max(1, t - t0)
        np.testing.assert_allclose(array(opt.state[p]["ax"]), mean, rtol=1e-12)
    np.testing.assert_allclose(array(p), value, rtol=1e-12)
    state = opt.state_dict()["state"][0]
    assert state["eta"].item() == pytest.approx(eta) and state["mu"].item() == pytest.approx(mu)


def bfgs(gradient, x, lr, max_iter, history):
    """L-BFGS with fixed steps: the inverse Hessian as a matrix, made of the last pairs. All points that it visits."""
    pairs, points, g = [], [], gradient(x)
    for k in range(max_iter):
        h = np.eye(len(x))
        if pairs:
            step, change = pairs[-1]
            h = h * (change @ step) / (change @ change)
        for step, change in pairs:
            rho = 1 / (change @ step)
            left = np.eye(len(x)) - rho * np.outer(step, change)
            h = left @ h @ left.T + rho * np.outer(step, step)
        d = -h @ g
        t = min(1.0, 1 / abs(g).sum()) * lr if k == 0 else lr
        x = x + t * d
        points.append(x)
        new = gradient(x)
        pairs = [*pairs, (t * d, new - g)][-history:]
        g = new
    return points


CURVES = np.array([1.0, 3.0, 10.0, 30.0])


def quadratic(opt, x):
    scale = tensor(CURVES)

    def closure():
        opt.zero_grad()
        loss = (scale * x * x).sum() / 2 + (x**4).sum() / 4
        loss.backward()
        return loss

    return closure


@pytest.mark.parametrize("history", [1, 2, 3, 100])
@pytest.mark.parametrize("lr", [1.0, 0.3])
def test_lbfgs_keeps_history_size_pairs(history, lr):
    start = np.array([1.0, -0.5, 0.7, 0.2])
    points = bfgs(lambda x: CURVES * x + x**3, start, lr, 9, history)
    for n in (1, 4, 9):
        x = tensor(start, requires_grad=True)
        opt = rt.optim.LBFGS([x], lr=lr, max_iter=n, history_size=history, tolerance_change=0, tolerance_grad=0)
        opt.step(quadratic(opt, x))
        np.testing.assert_allclose(array(x), points[n - 1], rtol=1e-7, atol=1e-9)
    assert len(opt.state[x]["old_dirs"]) == min(history, 8)
    # Two steps of the optimizer go on where the first ended.
    x = tensor(start, requires_grad=True)
    opt = rt.optim.LBFGS(
        [x], lr=lr, max_iter=3, max_eval=99, history_size=history, tolerance_change=0, tolerance_grad=0
    )
    for _ in range(3):
        opt.step(quadratic(opt, x))
    np.testing.assert_allclose(array(x), points[8], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_stops(search):
    def run(**options):
        x = tensor([1.0, -0.5, 0.7, 0.2], requires_grad=True)
        opt = rt.optim.LBFGS([x], line_search_fn=search, **{"tolerance_change": 0, "tolerance_grad": 0, **options})
        loss = opt.step(quadratic(opt, x))
        return opt.state[x], array(x), loss

    state, _, first = run(max_iter=7, max_eval=100)
    assert state["n_iter"] == 7
    assert first.item() == pytest.approx(0.5 + 0.375 + 2.45 + 0.6 + (1 + 0.0625 + 0.2401 + 0.0016) / 4)
    assert run(max_iter=8)[0]["func_evals"] <= 8 * 5 // 4 + (25 if search else 0)
    assert run(max_iter=50, max_eval=4)[0]["func_evals"] in ((4,) if search is None else range(4, 9))
    state, x, _ = run(max_iter=50, max_eval=500, tolerance_grad=0.05)
    assert abs(CURVES * x + x**3).max() <= 0.05 and state["n_iter"] < 30
    state, x, _ = run(max_iter=50, max_eval=500, tolerance_grad=0.5)
    assert 1e-4 < abs(CURVES * x + x**3).max() <= 0.5
    early, late = (run(max_iter=50, max_eval=500, tolerance_change=c)[0]["n_iter"] for c in (0.1, 1e-9))
    assert early < late < 50
    assert run(tolerance_grad=1e3)[0]["func_evals"] == 1


def test_strong_wolfe_conditions_hold():
    def value(x):
        return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2

    def slope(x):
        return np.array([-400 * x[0] * (x[1] - x[0] ** 2) - 2 * (1 - x[0]), 200 * (x[1] - x[0] ** 2)])

    x = tensor([-1.2, 1.0], requires_grad=True)
    opt = rt.optim.LBFGS([x], max_iter=1, max_eval=25, line_search_fn="strong_wolfe")

    def closure():
        opt.zero_grad()
        loss = 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2
        loss.backward()
        return loss

    for _ in range(12):
        before = array(x)
        opt.step(closure)
        move = array(x) - before
        along = slope(before) @ move
        assert value(array(x)) <= value(before) + 1e-4 * along
        assert abs(slope(array(x)) @ move) <= 0.9 * abs(along)


# ---- schedulers ----


def sgd(lr=0.5, **options):
    a, b = rt.ones(1, requires_grad=True), rt.ones(1, requires_grad=True)
    return rt.optim.SGD([{"params": [a]}, {"params": [b], "lr": 2 * lr}], lr=lr, **options)


def course(scheduler, steps, key="lr"):
    seen = []
    for _ in range(steps):
        seen.append([group[key] for group in scheduler.optimizer.param_groups])
        scheduler.optimizer.step()
        scheduler.step()
    return seen


def cosine(low, high, part):
    return low + (high - low) * (1 + math.cos(math.pi * part)) / 2


def one_cycle(e, top, steps, pct, div, final, between, three):
    first, last = top / div, top / div / final
    turn, end = pct * steps - 1, steps - 1
    if e <= turn:
        return between(first, top, e / turn)
    if not three:
        return between(top, last, (e - turn) / (end - turn))
    back = 2 * pct * steps - 2
    if e <= back:
        return between(top, first, (e - turn) / (back - turn))
    return between(first, last, (e - back) / (end - back))


def line(a, b, part):
    return a + (b - a) * part


def curve(a, b, part):
    return cosine(b, a, part)


def restarts(e, t0, mult):
    length = t0
    while e >= length:
        e -= length
        length *= mult
    return e / length


def triangle(e, up, down):
    e %= up + down
    return e / up if e <= up else (up + down - e) / down


# Scheduler, options, the rate of the first group in each epoch (base rate 0.5), and whether the second has double.
SCHEDULES = [
    (s.StepLR, {"step_size": 3}, lambda e: 0.5 * 0.1 ** (e // 3)),
    (s.StepLR, {"step_size": 1, "gamma": 0.5}, lambda e: 0.5 * 0.5**e),
    (s.MultiStepLR, {"milestones": [2, 5, 5, 6]}, lambda e: 0.5 * 0.1 ** sum(m <= e for m in (2, 5, 5, 6))),
    (s.MultiStepLR, {"milestones": [6, 1], "gamma": 0.7}, lambda e: 0.5 * 0.7 ** sum(m <= e for m in (1, 6))),
    (s.ConstantLR, {}, lambda e: 0.5 / 3 if e < 5 else 0.5),
    (s.ConstantLR, {"factor": 0.2, "total_iters": 3}, lambda e: 0.1 if e < 3 else 0.5),
    (s.LinearLR, {}, lambda e: 0.5 * (1 / 3 + 2 / 3 * min(e, 5) / 5)),
    (
        s.LinearLR,
        {"start_factor": 0.8, "end_factor": 0.2, "total_iters": 4},
        lambda e: 0.5 * (0.8 - 0.6 * min(e, 4) / 4),
    ),
    (s.ExponentialLR, {"gamma": 0.8}, lambda e: 0.5 * 0.8**e),
    (s.PolynomialLR, {}, lambda e: 0.5 * (1 - min(e, 5) / 5)),
    (s.PolynomialLR, {"total_iters": 8, "power": 2.5}, lambda e: 0.5 * (1 - min(e, 8) / 8) ** 2.5),
    (s.LambdaLR, {"lr_lambda": lambda e: 1 / (1 + e * e)}, lambda e: 0.5 / (1 + e * e)),
    (
        s.MultiplicativeLR,
        {"lr_lambda": lambda e: 1 / (1 + e)},
        lambda e: 0.5 / math.factorial(e + 1),
    ),
    (s.CosineAnnealingLR, {"T_max": 4}, lambda e: cosine(0, 0.5, e / 4)),
    (s.CosineAnnealingLR, {"T_max": 5, "eta_min": 0.1}, lambda e: cosine(0.1, 0.5, e / 5), None),
    (s.CosineAnnealingWarmRestarts, {"T_0": 3}, lambda e: cosine(0, 0.5, restarts(e, 3, 1))),
    (
        s.CosineAnnealingWarmRestarts,
        {"T_0": 2, "T_mult": 3, "eta_min": 0.1},
        lambda e: cosine(0.1, 0.5, restarts(e, 2, 3)),
        None,
    ),
    *(
        (
            s.OneCycleLR,
            {"max_lr": 2.0, "total_steps": 13, "cycle_momentum": False, **o},
            lambda e, o=o: one_cycle(
                e,
                2.0,
                13,
                o.get("pct_start", 0.3),
                o.get("div_factor", 25.0),
                o.get("final_div_factor", 1e4),
                line if "anneal_strategy" in o else curve,
                o.get("three_phase", False),
            ),
            1,
        )
        for o in (
            {},
            {"pct_start": 0.6},
            {"anneal_strategy": "linear"},
            {"div_factor": 5.0},
            {"final_div_factor": 10.0},
            {"three_phase": True},
            {"three_phase": True, "anneal_strategy": "linear", "pct_start": 0.4},
        )
    ),
    (
        s.OneCycleLR,
        {"max_lr": [2.0, 3.0], "epochs": 3, "steps_per_epoch": 5, "cycle_momentum": False},
        lambda e: one_cycle(min(e, 14), 2.0, 15, 0.3, 25, 1e4, curve, False),
        1.5,
    ),
    *(
        (s.CyclicLR, {"base_lr": 0.1, "max_lr": 0.5, "step_size_up": 3, "cycle_momentum": False, **o}, f, 1)
        for o, f in (
            ({}, lambda e: 0.1 + 0.4 * triangle(e, 3, 3)),
            ({"step_size_down": 5}, lambda e: 0.1 + 0.4 * triangle(e, 3, 5)),
            ({"mode": "triangular2"}, lambda e: 0.1 + 0.4 * triangle(e, 3, 3) / 2 ** (e // 6)),
            ({"mode": "exp_range", "gamma": 0.9}, lambda e: 0.1 + 0.4 * triangle(e, 3, 3) * 0.9**e),
            ({"scale_fn": lambda c: 1 / (c + 1)}, lambda e: 0.1 + 0.4 * triangle(e, 3, 3) / (e // 6 + 2)),
            (
                {"scale_fn": lambda c: 1 / (c + 1), "scale_mode": "iterations"},
                lambda e: 0.1 + 0.4 * triangle(e, 3, 3) / (e + 1),
            ),
            ({"max_lr": [0.5, 0.5], "base_lr": [0.1, 0.1]}, lambda e: 0.1 + 0.4 * triangle(e, 3, 3)),
        )
    ),
    (swa_utils.SWALR, {"swa_lr": 0.1}, lambda e: cosine(0.1, 0.5, min(e, 10) / 10), None),
    (swa_utils.SWALR, {"swa_lr": 0.1, "anneal_epochs": 4}, lambda e: cosine(0.1, 0.5, min(e, 4) / 4), None),
    (
        swa_utils.SWALR,
        {"swa_lr": [0.1, 0.2], "anneal_epochs": 4, "anneal_strategy": "linear"},
        lambda e: line(0.5, 0.1, min(e, 4) / 4),
    ),
    (swa_utils.SWALR, {"swa_lr": 0.1, "anneal_epochs": 0}, lambda e: 0.1, None),
]


@pytest.mark.parametrize("case", SCHEDULES, ids=[f"{c[0].__name__}-{n}" for n, c in enumerate(SCHEDULES)])
def test_schedule(case):
    cls, options, rate, *second = case
    opt = sgd()
    steps = 13
    seen = course(cls(opt, **options), steps)
    want = [rate(e) for e in range(steps)]
    assert [r[0] for r in seen] == pytest.approx(want, rel=1e-9, abs=1e-12)
    by = second[0] if second else 2
    if by is not None:
        assert [r[1] for r in seen] == pytest.approx([w * by for w in want], rel=1e-9, abs=1e-12)


def test_every_option_of_every_scheduler_is_tried():
    tried = {}
    for cls, options, *_ in SCHEDULES:
        tried.setdefault(cls.__name__, set()).update(options)
    momenta = {"cycle_momentum", "base_momentum", "max_momentum"}
    others = {"OneCycleLR": momenta, "CyclicLR": momenta}
    own = {"ReduceLROnPlateau", "SequentialLR", "ChainedScheduler", "LRScheduler"}
    for name in s.__all__:
        if name not in own:
            wanted = set(inspect.signature(getattr(s, name).__init__).parameters)
            assert wanted - {"self", "optimizer", "last_epoch"} <= tried[name] | others.get(name, set()), name


@pytest.mark.parametrize("adam", [False, True])
def test_momentum_of_cycles(adam):
    def optimizer():
        p = [rt.ones(1, requires_grad=True)]
        return rt.optim.Adam(p, lr=0.1) if adam else rt.optim.SGD(p, lr=0.1, momentum=0.5)

    def momenta(scheduler, steps):
        seen = course(scheduler, steps, "betas" if adam else "momentum")
        return [m[0][0] if adam else m[0] for m in seen]

    turn = 0.3 * 11 - 1
    for options, low, high in (({}, 0.85, 0.95), ({"base_momentum": 0.6, "max_momentum": [0.7]}, 0.6, 0.7)):
        got = momenta(s.OneCycleLR(optimizer(), 1.0, 11, **options), 11)
        want = [
            curve(high, low, e / turn) if e <= turn else curve(low, high, (e - turn) / (10 - turn)) for e in range(11)
        ]
        assert got == pytest.approx(want)
    for options, low, high in (({}, 0.8, 0.9), ({"base_momentum": 0.6, "max_momentum": 0.7}, 0.6, 0.7)):
        got = momenta(s.CyclicLR(optimizer(), 0.1, 1.0, 3, **options), 9)
        assert got == pytest.approx([high - (high - low) * triangle(e, 3, 3) for e in range(9)])
    for make in (
        lambda o: s.OneCycleLR(o, 1.0, 11, cycle_momentum=False),
        lambda o: s.CyclicLR(o, 0.1, 1.0, 3, cycle_momentum=False),
    ):
        assert set(momenta(make(optimizer()), 5)) == {0.9 if adam else 0.5}
    three = momenta(s.OneCycleLR(optimizer(), 1.0, 11, three_phase=True), 11)
    assert three[-1] == pytest.approx(0.95) and min(three) < 0.87 and three[5:] == pytest.approx([0.95] * 6, abs=0.02)


# Options and figures, and the rates after each: 0.5 at first, halved or as the option says.
PLATEAUS = [
    ({"patience": 1}, [3, 3, 3, 3, 3], [0.5, 0.5, 0.05, 0.05, 0.005]),
    ({"patience": 0, "factor": 0.5}, [3, 3, 2, 2], [0.5, 0.25, 0.25, 0.125]),
    ({"patience": 0, "factor": 0.5}, [3, 2.9998, 2.9990], [0.5, 0.25, 0.25]),
    ({"patience": 0, "factor": 0.5, "threshold": 0.1}, [3, 2.71, 2.69], [0.5, 0.25, 0.25]),
    ({"patience": 0, "factor": 0.5, "threshold": 0.5, "threshold_mode": "abs"}, [3, 2.6, 2.4], [0.5, 0.25, 0.25]),
    ({"patience": 0, "factor": 0.5, "mode": "max"}, [3, 2, 4, 4.0003, 4.0005], [0.5, 0.25, 0.25, 0.125, 0.125]),
    (
        {"patience": 0, "factor": 0.5, "mode": "max", "threshold": 1.0, "threshold_mode": "abs"},
        [3, 3.9, 4.1],
        [0.5, 0.25, 0.25],
    ),
    ({"patience": 0, "factor": 0.5, "cooldown": 2}, [3] * 6, [0.5, 0.25, 0.25, 0.25, 0.125, 0.125]),
    ({"patience": 0, "factor": 0.5, "min_lr": 0.2}, [3] * 4, [0.5, 0.25, 0.2, 0.2]),
    ({"patience": 0, "factor": 0.5, "min_lr": [0.3, 0.1]}, [3] * 4, [0.5, 0.3, 0.3, 0.3]),
    ({"patience": 0, "factor": 0.5, "eps": 0.2}, [3] * 4, [0.5, 0.25, 0.25, 0.25]),
    ({}, [3] * 13, [0.5] * 11 + [0.05] * 2),
    ({"patience": 0}, [3, math.nan, 3], [0.5, 0.05, 0.005]),
]


@pytest.mark.parametrize(("options", "figures", "rates"), PLATEAUS)
def test_plateau(options, figures, rates):
    opt = sgd()
    scheduler = s.ReduceLROnPlateau(opt, **options)
    seen = []
    for figure in figures:
        scheduler.step(figure)
        seen.append(opt.param_groups[0]["lr"])
    assert seen == pytest.approx(rates)
    tried = set().union(*(o for o, _, _ in PLATEAUS))
    assert set(inspect.signature(s.ReduceLROnPlateau.__init__).parameters) - {"self", "optimizer"} <= tried


def test_sequences_switch_at_their_milestones():
    for milestones in ([1, 2], [2, 5], [3, 4], [1, 6]):
        opt = sgd()
        parts = [
            s.ConstantLR(opt, 0.1, 99),
            s.LinearLR(opt, 0.5, 1.0, total_iters=2),
            s.ExponentialLR(opt, 0.5),
        ]
        first, second = milestones
        rate = [
            0.05 if e < first else 0.5 * min(1, 0.5 + 0.25 * (e - first)) if e < second else 0.5 * 0.5 ** (e - second)
            for e in range(9)
        ]
        scheduler = s.SequentialLR(opt, parts, milestones)
        seen = course(scheduler, 9)
        assert [r[0] for r in seen] == pytest.approx(rate), milestones
        assert [r[1] for r in seen] == pytest.approx([2 * r for r in rate])
        assert scheduler.last_epoch == 9 and scheduler.get_last_lr()[0] == opt.param_groups[0]["lr"]
    # Of schedulers that have closed forms, each begins with its own first epoch.
    opt = sgd()
    parts = [s.StepLR(opt, 2, 0.5), s.CosineAnnealingLR(opt, 4), s.StepLR(opt, 1, 0.1)]
    rates = [r[0] for r in course(s.SequentialLR(opt, parts, [3, 6]), 8)]
    assert rates == pytest.approx([0.5, 0.5, 0.25, *(cosine(0, 0.5, e / 4) for e in range(3)), 0.5, 0.05])


# ---- averages ----


def test_averages_of_models():
    def values(average, use_buffers=False):
        model = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1d(1))
        mean = swa_utils.AveragedModel(model, device="cpu", **average, use_buffers=use_buffers)
        assert mean.module is not model
        seen = []
        for v in (1.0, 3.0, 8.0):
            model[0].weight.data.fill_(v)
            model[1].running_mean.fill_(v)
            mean.update_parameters(model)
            seen.append((mean.module[0].weight.item(), mean.module[1].running_mean.item()))
        model[0].weight.data.fill_(99.0)
        assert mean.module[0].weight.item() == seen[-1][0] and mean.n_averaged.item() == 3
        return seen

    def same(average, weights, means, use_buffers=False):
        got = values(average, use_buffers)
        assert [w for w, _ in got] == pytest.approx(weights, rel=1e-5)
        assert [m for _, m in got] == pytest.approx(means, rel=1e-5)

    latest = [1, 3, 8]
    for average in ({}, {"avg_fn": swa_utils.get_swa_avg_fn()}):
        same(average, [1, 2, 4], latest)
        same(average, [1, 2, 4], [1, 2, 4], True)
    decayed = [1.0, 0.25 * 1 + 0.75 * 3, 0.25 * 2.5 + 0.75 * 8]
    for average in ({"avg_fn": swa_utils.get_ema_avg_fn(0.25)}, {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.25)}):
        same(average, decayed, latest)
        same(average, decayed, decayed, True)
    slow = [1.0, 0.999 + 0.003, 0.999 * 1.002 + 0.008]
    for average in ({"avg_fn": swa_utils.get_ema_avg_fn()}, {"multi_avg_fn": swa_utils.get_ema_multi_avg_fn()}):
        same(average, slow, latest)
    same({"avg_fn": lambda old, new, n: old * 10 + new + n}, [1, 14, 150], latest)
    # Whole numbers are averaged, too, and cut off.
    for average, counts in (
        ({}, [4, 6, 14]),
        ({"avg_fn": swa_utils.get_ema_avg_fn(0.25)}, [4, 7, 24]),
        ({"multi_avg_fn": swa_utils.get_ema_multi_avg_fn(0.25)}, [4, 7, 24]),
    ):
        model = nn.BatchNorm1d(1)
        mean = swa_utils.AveragedModel(model, **average, use_buffers=True)
        for v, count in zip((4, 9, 30), counts):
            model.num_batches_tracked.fill_(v)
            mean.update_parameters(model)
            assert mean.module.num_batches_tracked.item() == count
    with pytest.raises(AssertionError, match="Only one"):
        swa_utils.AveragedModel(nn.Linear(1, 1), avg_fn=lambda *_: 0, multi_avg_fn=lambda *_: 0)


@pytest.mark.parametrize("training", [False, True])
def test_update_bn(training):
    model = nn.Sequential(
        nn.Dropout(0.0), nn.BatchNorm1d(2, momentum=0.4), nn.Linear(2, 2), nn.BatchNorm1d(2, momentum=None)
    )
    seen = []
    model.register_forward_pre_hook(lambda m, _: seen.append((m.training, [q.training for q in m])))
    model.train(training)
    model[1].running_mean.fill_(50.0)
    batches = [rt.tensor(numbers(i, (6, 2)).tolist()) + i for i in range(4)]
    loader = [batches[0], (batches[1], "label"), [batches[2]], batches[3]]
    swa_utils.update_bn(loader, model)
    assert seen == [(True, [True] * 4)] * 4
    assert [m.training for m in model.modules()] == [training] * 5
    assert (model[1].momentum, model[3].momentum) == (0.4, None)
    means = np.mean([array(b).mean(0) for b in batches], 0)
    squares = np.mean([array(b).var(0, ddof=1) for b in batches], 0)
    np.testing.assert_allclose(array(model[1].running_mean), means, rtol=1e-5)
    np.testing.assert_allclose(array(model[1].running_var), squares, rtol=1e-5)
    assert model[1].num_batches_tracked.item() == 4
    plain = nn.Linear(2, 2).train(training)
    swa_utils.update_bn(iter(()), plain)
    assert plain.training is training


# ---- clipping ----


def leaves():
    params = [tensor(numbers(i, shape), requires_grad=True) for i, shape in enumerate(((3, 2), (4,), ()))]
    grads = [numbers(10 + i, tuple(p.shape)) for i, p in enumerate(params)]
    for p, g in zip(params, grads):
        p.grad = tensor(g)
    return [*params, tensor(1.0, requires_grad=True)], grads


@pytest.mark.parametrize("p", [None, 1, 2.0, 3.5, math.inf, 0])
@pytest.mark.parametrize("foreach", [{}, {"foreach": True}])
def test_clipping_of_norms(p, foreach):
    options = {} if p is None else {"norm_type": p}
    params, grads = leaves()
    whole = np.concatenate([g.ravel() for g in grads])
    # The norm of the norms; that of order 0 counts the tensors.
    total = 3.0 if p == 0 else np.linalg.norm(whole, 2 if p is None else p)
    got = clip_grad.get_total_norm([q.grad for q in params[:3]], **options, **foreach)
    assert got.item() == pytest.approx(total)
    for limit in (total * 2, total / 3):
        params, grads = leaves()
        versions = [q.grad.data_ptr() for q in params[:3]]
        assert clip_grad.clip_grad_norm_(params, limit, **options, **foreach).item() == pytest.approx(total)
        scale = min(1.0, limit / (total + 1e-6))
        for q, g in zip(params, grads):
            np.testing.assert_allclose(array(q.grad), g * scale, rtol=1e-10)
        assert [q.grad.data_ptr() for q in params[:3]] == versions and params[3].grad is None
    params, grads = leaves()
    clip_grad.clip_grads_with_norm_(params, 3.0, rt.tensor(12.0, dtype=rt.float64), **foreach)
    for q, g in zip(params, grads):
        np.testing.assert_allclose(array(q.grad), g * 3 / (12 + 1e-6), rtol=1e-10)
    params, grads = leaves()
    clip_grad.clip_grad_value_(params, 0.4, **foreach)
    for q, g in zip(params, grads):
        np.testing.assert_allclose(array(q.grad), np.clip(g, -0.4, 0.4))


@pytest.mark.parametrize("bad", [math.inf, math.nan])
def test_clipping_of_numbers_that_are_not_finite(bad):
    for strict in (False, True):
        params, _ = leaves()
        params[1].grad[0] = bad
        before = [array(q.grad) for q in params[:3]]
        for call in (
            lambda params=params: clip_grad.clip_grad_norm_(params, 1.0, error_if_nonfinite=True),
            lambda params=params: clip_grad.get_total_norm([q.grad for q in params[:3]], error_if_nonfinite=True),
        ):
            with pytest.raises(RuntimeError, match="non-finite"):
                call()
        assert all(np.array_equal(array(q.grad), b, equal_nan=True) for q, b in zip(params, before))
        if not strict:
            assert not math.isfinite(clip_grad.clip_grad_norm_(params, 1.0).item())


# ---- parametrisations ----


@pytest.mark.parametrize("dim", [None, 0, 1, -1])
def test_weight_norm_along_a_dimension(dim):
    for make in (nn.utils.weight_norm, parametrizations.weight_norm):
        m = nn.Conv1d(3, 4, 2).double()
        w = array(m.weight)
        make(m, "weight", dim)
        axes = tuple(range(3)) if dim is None else tuple(d for d in range(3) if d != dim % 3)
        size = np.sqrt((w**2).sum(axes, keepdims=True))
        if make is nn.utils.weight_norm:
            g, v = m.weight_g, m.weight_v
        else:
            g, v = m.parametrizations.weight.original0, m.parametrizations.weight.original1
        np.testing.assert_allclose(array(g).ravel(), size.ravel())
        np.testing.assert_allclose(array(v), w)
        with rt.no_grad():
            g.mul_(3)
            v.mul_(7)
        m(rt.zeros(1, 3, 5, dtype=rt.float64))
        np.testing.assert_allclose(array(m.weight), 3 * w)
    m = nn.Linear(3, 2)
    nn.utils.weight_norm(m, "bias")
    assert [n for n, _ in m.named_parameters()] == ["weight", "bias_g", "bias_v"]
    assert nn.utils.weight_norm(nn.Linear(3, 2)).weight_g.shape == (2, 1)


def test_spectral_norm_options():
    rt.manual_seed(0)
    for dim in (None, 0, 1):
        m = nn.Conv1d(3, 4, 2).double()
        w = array(m.weight)
        matrix = w.swapaxes(0, dim or 0).reshape(w.shape[dim or 0], -1)
        parametrizations.spectral_norm(m, n_power_iterations=1, dim=dim)
        u, v = (array(t) for t in (m.parametrizations.weight[0]._u, m.parametrizations.weight[0]._v))
        got = array(m.weight)  # one more iteration
        u = matrix @ v / np.linalg.norm(matrix @ v)
        v = matrix.T @ u / np.linalg.norm(matrix.T @ u)
        np.testing.assert_allclose(array(m.parametrizations.weight[0]._u), u, rtol=1e-9)
        np.testing.assert_allclose(got, w / (u @ matrix @ v), rtol=1e-9)
        m.eval()
        first = array(m.weight)
        np.testing.assert_allclose(array(m.parametrizations.weight[0]._u), u, rtol=1e-12)
        np.testing.assert_allclose(first, got, rtol=1e-9)
    # Of a transposed module the second dimension counts.
    m = parametrizations.spectral_norm(nn.ConvTranspose1d(3, 4, 2))
    assert m.parametrizations.weight[0]._u.shape == (4,)
    # `eps` keeps the vectors finite where the matrix is zero.
    m = nn.Linear(3, 2).double()
    m.bias.data.copy_(tensor([3e-3, 4e-3]))
    parametrizations.spectral_norm(m, "bias", eps=1.0)
    np.testing.assert_allclose(array(m.bias), [3e-3, 4e-3])
    for n in (1, 3):
        m = nn.Linear(5, 4).double()
        w = array(m.weight)
        old_spectral_norm(m, "weight", n_power_iterations=n, eps=1e-12)
        u = array(m.weight_u)
        m(rt.zeros(1, 5, dtype=rt.float64))
        for _ in range(n):
            v = w.T @ u / np.linalg.norm(w.T @ u)
            u = w @ v / np.linalg.norm(w @ v)
        np.testing.assert_allclose(array(m.weight_u), u, rtol=1e-9)
        np.testing.assert_allclose(array(m.weight), w / (u @ w @ v), rtol=1e-9)
        m.eval()(rt.zeros(1, 5, dtype=rt.float64))
        np.testing.assert_allclose(array(m.weight_u), u, rtol=1e-12)
    assert old_spectral_norm(nn.Linear(5, 4), dim=1).weight_u.shape == (5,)
    m = nn.Linear(3, 2).double()
    with rt.no_grad():
        m.weight.mul_(1e-3)
    w = array(m.weight)
    old_spectral_norm(m, eps=10.0)
    u = array(m.weight_u)
    m(rt.zeros(1, 3, dtype=rt.float64))
    v = w.T @ u / 10
    np.testing.assert_allclose(array(m.weight_u), w @ v / 10, rtol=1e-9)


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2

    def right_inverse(self, x):
        return x / 2


class Short(nn.Module):
    def forward(self, x):
        return x[:1].double()


def test_parametrisation_options():
    m = nn.Linear(2, 2)
    parametrize.register_parametrization(m, "weight", Doubled())
    assert parametrize.is_parametrized(m) and parametrize.is_parametrized(m, "weight")
    assert not parametrize.is_parametrized(m, "bias") and not parametrize.is_parametrized(nn.Linear(1, 1))
    left = array(m.weight)
    original = array(m.parametrizations.weight.original)
    np.testing.assert_allclose(left, 2 * original)
    parametrize.remove_parametrizations(m, "weight")
    np.testing.assert_allclose(array(m.weight), left)
    parametrize.register_parametrization(m, "weight", Doubled())
    parametrize.remove_parametrizations(m, "weight", leave_parametrized=False)
    np.testing.assert_allclose(array(m.weight), original * 1.0)
    with pytest.raises(ValueError):
        parametrize.register_parametrization(nn.Linear(2, 2), "weight", Short())
    free = nn.Linear(2, 2)
    parametrize.register_parametrization(free, "weight", Short(), unsafe=True)
    assert free.weight.shape == (1, 2) and free.weight.dtype == rt.float64
    calls = []

    class Counted(nn.Module):
        def forward(self, x):
            calls.append(1)
            return x

    m = nn.Linear(2, 2)
    parametrize.register_parametrization(m, "weight", Counted())
    calls.clear()
    with parametrize.cached():
        assert m.weight is m.weight and len(calls) == 1
    m.weight, m.weight  # noqa: B018
    assert len(calls) == 3


# ---- padding and packing ----


def test_padding_options():
    parts = [tensor(numbers(i, (n, 2))) for i, n in enumerate((2, 4, 1))]
    for batch_first, value, side in itertools.product((False, True), (0.0, -7.5), ("right", "left")):
        want = np.full((3, 4, 2), value)
        for i, part in enumerate(parts):
            n = len(array(part))
            want[i, slice(0, n) if side == "right" else slice(4 - n, 4)] = array(part)
        want = want if batch_first else want.swapaxes(0, 1)
        got = rnn.pad_sequence(parts, batch_first=batch_first, padding_value=value, padding_side=side)
        np.testing.assert_array_equal(array(got), want)
        if side == "right":
            for a, b in zip(rnn.unpad_sequence(got, rt.tensor([2, 4, 1]), batch_first), parts, strict=True):
                np.testing.assert_array_equal(array(a), array(b))
            packed = rnn.pack_padded_sequence(got, [2, 4, 1], batch_first, enforce_sorted=False)
            # Step by step, the longest first.
            steps = [array(parts[i])[t] for t in range(4) for i in (1, 0, 2) if t < len(array(parts[i]))]
            np.testing.assert_array_equal(array(packed.data), np.stack(steps))
            assert array(packed.batch_sizes).tolist() == [3, 2, 1, 1]
            assert array(packed.sorted_indices).tolist() == [1, 0, 2]
            assert array(packed.unsorted_indices).tolist() == [1, 0, 2]
            for total in (None, 4, 6):
                out, lengths = rnn.pad_packed_sequence(packed, batch_first, value, total)
                more = np.full((3, (total or 4), 2), value)
                more[:, :4] = want if batch_first else want.swapaxes(0, 1)
                np.testing.assert_array_equal(array(out), more if batch_first else more.swapaxes(0, 1))
                assert array(lengths).tolist() == [2, 4, 1]
    ordered = [parts[1], parts[0], parts[2]]
    packed = rnn.pack_sequence(ordered)
    assert packed.sorted_indices is None and packed.unsorted_indices is None
    assert rnn.pack_sequence(ordered, enforce_sorted=False).sorted_indices.tolist() == [0, 1, 2]
    with pytest.raises(RuntimeError, match="sorted"):
        rnn.pack_sequence(parts, enforce_sorted=True)
    assert rnn.invert_permutation(rt.tensor([2, 0, 1])).tolist() == [1, 2, 0]


# ---- initial values ----


def drawn(f, *args, shape=(300, 200), **options):
    rt.manual_seed(1)
    w = rt.empty(*shape, dtype=rt.float64)
    assert f(w, *args, **options) is w
    return array(w)


@pytest.mark.parametrize(
    ("name", "options", "std", "bound"),
    [
        ("uniform_", {}, 1 / math.sqrt(12), (0, 1)),
        ("uniform_", {"a": -1.0, "b": 3.0}, 4 / math.sqrt(12), (-1, 3)),
        ("normal_", {}, 1.0, None),
        ("normal_", {"mean": 2.0, "std": 0.3}, 0.3, None),
        ("xavier_uniform_", {}, math.sqrt(2 / 500), math.sqrt(6 / 500)),
        ("xavier_uniform_", {"gain": 2.0}, 2 * math.sqrt(2 / 500), 2 * math.sqrt(6 / 500)),
        ("xavier_normal_", {}, math.sqrt(2 / 500), None),
        ("xavier_normal_", {"gain": 2.0}, 2 * math.sqrt(2 / 500), None),
        *(
            (f"kaiming_{kind}_", options, math.sqrt(square), math.sqrt(3 * square) if kind == "uniform" else None)
            for kind in ("uniform", "normal")
            for options, square in (
                ({}, 2 / 200),
                ({"a": 2.0}, 2 / (1 + 4) / 200),
                ({"mode": "fan_out"}, 2 / 300),
                ({"nonlinearity": "relu"}, 2 / 200),
                ({"nonlinearity": "linear"}, 1 / 200),
                ({"nonlinearity": "tanh", "mode": "fan_out"}, 25 / 9 / 300),
            )
        ),
        ("trunc_normal_", {}, 0.8796, (-2, 2)),
        ("trunc_normal_", {"mean": 1.0, "std": 0.5, "a": 1.0, "b": 9.0}, 0.5 * math.sqrt(1 - 2 / math.pi), (1, 9)),
    ],
)
def test_random_initial_values(name, options, std, bound):
    w = drawn(getattr(nn.init, name), **options)
    assert w.std() == pytest.approx(std, rel=0.02)
    if bound is not None:
        low, high = (-bound, bound) if not isinstance(bound, tuple) else bound
        assert low <= w.min() < low + 0.05 * std * 3 + 0.1 * (name == "trunc_normal_")
        assert w.max() <= high and (w.max() > high - 0.05 * std * 3 or name == "trunc_normal_")
    mean = {"uniform_": (options.get("a", 0) + options.get("b", 1)) / 2, "normal_": options.get("mean", 0)}.get(name, 0)
    if name != "trunc_normal_":
        assert w.mean() == pytest.approx(mean, abs=0.02 * std)
    generators = [rt.Generator().manual_seed(5), rt.Generator().manual_seed(5), rt.Generator().manual_seed(6)]
    a, b, c = (drawn(getattr(nn.init, name), **options, generator=g) for g in generators)
    assert (a == b).all() and (a != c).any() and (a != w).any()


def test_other_initial_values():
    sparse = drawn(nn.init.sparse_, 0.25)
    assert ((sparse == 0).sum(0) == 75).all() and sparse[sparse != 0].std() == pytest.approx(0.01, rel=0.02)
    assert drawn(nn.init.sparse_, 0.1, std=2.0)[:, 0].std() == pytest.approx(2.0 * math.sqrt(0.9), rel=0.2)
    for shape, gain in (((4, 6), 1), ((6, 2, 2), 3.0)):
        w = drawn(nn.init.orthogonal_, shape=shape, gain=gain).reshape(shape[0], -1)
        gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
        np.testing.assert_allclose(gram, gain**2 * np.eye(len(gram)), atol=1e-9)
    for groups in (1, 2):
        kernel = drawn(nn.init.dirac_, shape=(4, 3, 3), groups=groups)
        want = np.zeros((4, 3, 3))
        for g in range(groups):
            for c in range(min(4 // groups, 3)):
                want[g * (4 // groups) + c, c, 1] = 1
        np.testing.assert_array_equal(kernel, want)
    gains = {"linear": 1, "conv2d": 1, "sigmoid": 1, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
    for name, gain in gains.items():
        assert nn.init.calculate_gain(name) == pytest.approx(gain)
    assert nn.init.calculate_gain("leaky_relu") == pytest.approx(math.sqrt(2 / 1.0001))
    assert nn.init.calculate_gain("leaky_relu", 0.5) == pytest.approx(math.sqrt(2 / 1.25))


# ---- functions that are no modules ----


def read(image, x, y, mode, padding, corners):
    """The pixel at (x, y) in [-1, 1] of an image [C, H, W]."""
    _, h, w = image.shape

    def place(v, n):
        at = (v + 1) / 2 * (n - 1) if corners else ((v + 1) * n - 1) / 2
        if padding == "border":
            return min(max(at, 0), n - 1)
        if padding == "reflection":
            low, high = (0, n - 1) if corners else (-0.5, n - 0.5)
            while not low <= at <= high:
                at = 2 * low - at if at < low else 2 * high - at
            return min(max(at, 0), n - 1)
        return at

    def pixel(i, j):
        return image[:, int(i), int(j)] if 0 <= i < h and 0 <= j < w else image[:, 0, 0] * 0

    px, py = place(x, w), place(y, h)
    if mode == "nearest":
        return pixel(round(py), round(px))
    j, i = math.floor(px), math.floor(py)
    fx, fy = px - j, py - i
    return (
        pixel(i, j) * (1 - fy) * (1 - fx)
        + pixel(i, j + 1) * (1 - fy) * fx
        + pixel(i + 1, j) * fy * (1 - fx)
        + pixel(i + 1, j + 1) * fy * fx
    )


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [False, True])
def test_grid_sample(mode, padding, corners):
    image, grid = numbers(0, (2, 3, 4, 5)), numbers(1, (2, 3, 6, 2)) * 1.3
    want = np.stack(
        [
            np.stack([[read(image[n], *grid[n, i, j], mode, padding, corners) for j in range(6)] for i in range(3)])
            for n in range(2)
        ]
    ).transpose(0, 3, 1, 2)
    got = F.grid_sample(tensor(image), tensor(grid), mode, padding, corners)
    np.testing.assert_allclose(array(got), want, rtol=1e-9, atol=1e-12)
    if (mode, padding, corners) == ("bilinear", "zeros", False):
        np.testing.assert_allclose(array(F.grid_sample(tensor(image), tensor(grid))), want, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("corners", [None, False, True])
def test_affine_grid(corners):
    theta = numbers(0, (2, 2, 3))
    got = array(F.affine_grid(tensor(theta), (2, 1, 3, 4), corners))
    for n, i, j in np.ndindex(2, 3, 4):
        y, x = (2 * i / 2 - 1, 2 * j / 3 - 1) if corners else ((2 * i + 1) / 3 - 1, (2 * j + 1) / 4 - 1)
        np.testing.assert_allclose(got[n, i, j], theta[n] @ [x, y, 1], rtol=1e-9)


def test_functions_without_a_module():
    x, w = numbers(0, (3, 4)), np.abs(numbers(1, (3, 4)))
    t = numbers(2, (3, 4))
    for p, dim, eps in ((2.0, 1, 1e-12), (1.0, 0, 1e-12), (2.0, 1, 5.0), (3.0, -1, 1e-12)):
        size = np.maximum((abs(x) ** p).sum(dim, keepdims=True) ** (1 / p), eps)
        np.testing.assert_allclose(array(F.normalize(tensor(x), p, dim, eps)), x / size, rtol=1e-9)
    out = tensor(x * 0)
    F.normalize(tensor(x), out=out)
    np.testing.assert_allclose(array(out), x / np.linalg.norm(x, axis=1, keepdims=True), rtol=1e-9)
    assert F.one_hot(rt.tensor([0, 2]), 4).tolist() == [[1, 0, 0, 0], [0, 0, 1, 0]]
    assert F.one_hot(rt.tensor([0, 2])).shape == (2, 3)
    for p in (1.0, 2.0, 3.0):
        pairs = [(abs(x[i] - x[j]) ** p).sum() ** (1 / p) for i, j in itertools.combinations(range(3), 2)]
        np.testing.assert_allclose(array(F.pdist(tensor(x), p)), pairs, rtol=1e-9)
    d = abs(x - t)
    for f, each in (
        (F.mse_loss, d**2),
        (F.l1_loss, d),
        (F.huber_loss, np.where(d < 1, d**2 / 2, d - 0.5)),
    ):
        got = {r: array(f(tensor(x), tensor(t), weight=tensor(w), reduction=r)) for r in ("none", "sum", "mean")}
        np.testing.assert_allclose(got["none"], each * w, rtol=1e-9)
        np.testing.assert_allclose(got["sum"], (each * w).sum(), rtol=1e-9)
        mean = (each * w).mean() if f is F.huber_loss else (each * w).sum() / w.sum()
        np.testing.assert_allclose(got["mean"], mean, rtol=1e-9)
    for f in (F.softmax, F.log_softmax, F.softmin):
        assert f(rt.ones(2, 3), 1, dtype=rt.float64).dtype == rt.float64
    assert F.pad(tensor(x), (1, 0), value=7.0)[:, 0].tolist() == [7.0] * 3
    np.testing.assert_array_equal(array(F.pad(tensor(x), (1, 2, 0, 1))), np.pad(x, ((0, 1), (1, 2))))
    np.testing.assert_array_equal(array(F.pad(tensor(x), (2, 1), "reflect")), np.pad(x, ((0, 0), (2, 1)), "reflect"))


def test_gumbel_softmax():
    logits = rt.tensor([0.0, 1.0, 2.0], dtype=rt.float64).expand(4000, 3).clone().requires_grad_()
    rt.manual_seed(0)
    hard = F.gumbel_softmax(logits, hard=True)
    share = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
    np.testing.assert_allclose(array(hard).mean(0), share, atol=0.03)
    assert Counter(array(hard).round(9).ravel().tolist()) == {0.0: 8000, 1.0: 4000}
    spread = []
    for tau in (0.1, 1.0, 10.0):
        rt.manual_seed(0)
        soft = F.gumbel_softmax(logits, tau)
        np.testing.assert_allclose(array(soft).sum(1), 1, rtol=1e-9)
        assert (array(soft).argmax(1) == array(hard).argmax(1)).all()
        spread.append(array(soft).max(1).mean())
    assert spread[0] > 0.95 > spread[1] > 0.5 > spread[2]
    rt.manual_seed(0)
    np.testing.assert_allclose(
        array(F.gumbel_softmax(logits)), array(F.gumbel_softmax(logits, 1.0)) * 0 + array(soft_again(logits))
    )
    assert array(F.gumbel_softmax(rt.zeros(5, 4), dim=0)).sum(0).tolist() == pytest.approx([1] * 4, rel=1e-6)
    (hard * tensor([1.0, 2.0, 3.0])).sum().backward()
    assert logits.grad.abs().sum() > 0


def soft_again(logits):
    """By the same random numbers: softmax of logits plus noise."""
    rt.manual_seed(0)
    noise = -np.log(array(rt.empty_like(logits).exponential_()))
    scores = array(logits) + noise
    e = np.exp(scores - scores.max(1, keepdims=True))
    return tensor(e / e.sum(1, keepdims=True))


# ---- autograd ----


def cubes(x, y):
    return (x**3).sum() + (x * x).sum() * y.sum()


X, Y = np.array([1.0, -2.0]), np.array([3.0])
ROWS = np.array([[2.0, 3.0], [5.0, 7.0], [11.0, 13.0]])


def test_jacobian_and_hessian():
    m = tensor(ROWS)
    for options in ({}, {"vectorize": True}, {"strategy": "reverse-mode"}):
        got = A.jacobian(lambda x: m.mv(x) * x.sum(), tensor(X), **options)
        np.testing.assert_allclose(array(got), ROWS * X.sum() + np.outer(ROWS @ X, [1, 1]))
        assert not got.requires_grad
    for options in ({}, {"vectorize": True}, {"outer_jacobian_strategy": "reverse-mode"}):
        (xx, xy), (yx, yy) = A.hessian(cubes, (tensor(X), tensor(Y)), **options)
        np.testing.assert_allclose(array(xx), np.diag(6 * X + 2 * Y[0]))
        np.testing.assert_allclose(array(xy), 2 * X[:, None])
        np.testing.assert_allclose(array(yx), 2 * X[None])
        assert array(yy).tolist() == [[0.0]] and not xx.requires_grad
    x = tensor(X, requires_grad=True)
    h = A.hessian(lambda v: (v**4).sum(), x, create_graph=True)
    assert h.requires_grad
    np.testing.assert_allclose(array(rt.autograd.grad(h.sum(), x)[0]), 24 * X)
    j = A.jacobian(lambda v: v**3, x, create_graph=True)
    np.testing.assert_allclose(array(rt.autograd.grad(j.sum(), x)[0]), 6 * X)
    for free in (A.hessian(lambda v: (v**4).sum(), x), A.jacobian(lambda v: v**3, x)):
        assert not free.requires_grad
    assert x.grad is None


def test_products():
    m = tensor(ROWS)
    v, u = np.array([0.5, 2.0]), np.array([1.0, -1.0, 2.0])
    x = tensor(X, requires_grad=True)
    jac = ROWS * 2 * X
    for create_graph in (False, True):
        y, product = A.jvp(lambda t: m.mv(t * t), x, tensor(v), create_graph=create_graph)
        np.testing.assert_allclose(array(y), ROWS @ X**2)
        np.testing.assert_allclose(array(product), jac @ v)
        y, back = A.vjp(lambda t: m.mv(t * t), x, tensor(u), create_graph=create_graph)
        np.testing.assert_allclose(array(back), u @ jac)
        value, hv = A.hvp(lambda t: (t**4).sum(), x, tensor(v), create_graph=create_graph)
        assert value.item() == 17.0
        np.testing.assert_allclose(array(hv), 12 * X**2 * v)
        value, vh = A.vhp(lambda t: (t**4).sum(), x, tensor(v), create_graph=create_graph)
        np.testing.assert_allclose(array(vh), 12 * X**2 * v)
        assert {t.requires_grad for t in (y, product, back, value, hv, vh)} == {create_graph}
    np.testing.assert_allclose(array(rt.autograd.grad(product.sum(), x)[0]), (ROWS * 2 * v).sum(0))
    np.testing.assert_allclose(array(rt.autograd.grad(back.sum(), x)[0]), 2 * u @ ROWS)
    np.testing.assert_allclose(array(rt.autograd.grad(hv.sum(), x)[0]), 24 * X * v)
    assert array(A.vjp(lambda t: (t * t).sum(), tensor(X))[1]).tolist() == [2.0, -4.0]
    assert array(A.jvp(lambda t: t**3, tensor([2.0]))[1]).tolist() == [12.0]


def test_strict():
    x, y = tensor(X), tensor(Y)
    for f, call in (
        (A.jacobian, ()),
        (A.vjp, (None,)),
        (A.jvp, ((tensor(X), tensor(Y)),)),
        (A.hessian, ()),
        (A.vhp, ((tensor(X), tensor(Y)),)),
        (A.hvp, ((tensor(X), tensor(Y)),)),
    ):
        f(lambda a, b: (a**3).sum(), (x, y), *call)
        f(cubes, (x, y), *call, **({"strict": True} if f is not A.hessian else {}))
        with pytest.raises(RuntimeError, match="strict"):
            f(lambda a, b: (a**3).sum(), (x, y), *call, strict=True)
    assert array(A.jacobian(lambda a, b: a * 2, (x, y))[1]).tolist() == [[0.0], [0.0]]


class Both(rt.autograd.Function):
    """Two results; remembers what backward was handed."""

    seen = None
    materialize = None
    wanted = None

    @staticmethod
    def forward(ctx, a, b, number):
        if Both.materialize is not None:
            ctx.set_materialize_grads(Both.materialize)
        ctx.save_for_backward(a, b)
        ctx.number = number
        return a * b, a + b

    @staticmethod
    def backward(ctx, g, h):
        Both.seen, Both.wanted = (g, h), ctx.needs_input_grad
        a, b = ctx.saved_tensors
        g = 0 if g is None else g
        h = 0 if h is None else h
        return g * b + h, g * a + h, None


@pytest.mark.parametrize("materialize", [None, True, False])
def test_set_materialize_grads(materialize):
    Both.materialize = materialize
    for used in (0, 1):
        a, b = tensor([2.0], requires_grad=True), tensor([5.0], requires_grad=True)
        Both.apply(a, b, 3)[used].sum().backward()
        other = Both.seen[1 - used]
        assert Both.seen[used].tolist() == [1.0]
        if materialize is False:
            assert other is None
        else:
            assert other.tolist() == [0.0] and other.shape == (1,) and other.dtype == rt.float64
        assert (a.grad.item(), b.grad.item()) == ((5.0, 2.0) if used == 0 else (1.0, 1.0))
    Both.materialize = None


def test_needs_input_grad():
    for wants in ((True, False), (False, True), (True, True)):
        a, b = (tensor([2.0], requires_grad=w) for w in wants)
        Both.apply(a, b, 3)[0].sum().backward()
        assert Both.wanted == (*wants, False)
        assert (a.grad is not None, b.grad is not None) == wants
    y, _ = Both.apply(tensor([1.0]), tensor([1.0]), 3)
    assert not y.requires_grad


class Doubling(rt.autograd.Function):
    dirty = True

    @staticmethod
    def forward(ctx, x):
        if Doubling.dirty:
            ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, g):
        return g * 2


def test_mark_dirty():
    leaf = tensor([3.0], requires_grad=True)
    x = leaf * 1
    version = x._version
    y = Doubling.apply(x)
    assert y is x and x.item() == 6.0 and x._version > version
    (y * y).sum().backward()
    assert leaf.grad.item() == 24.0
    # What was saved before is noticed to have changed.
    x = leaf * 1
    square = x * x
    Doubling.apply(x)
    with pytest.raises(RuntimeError, match="modified"):
        square.sum().backward()
    with pytest.raises(RuntimeError):
        Doubling.apply(leaf)


class Sorting(rt.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        values, at = x.sort()
        floats = at.to(x.dtype)
        ctx.mark_non_differentiable(at, floats)
        ctx.save_for_backward(at)
        return values, at, floats

    @staticmethod
    def backward(ctx, g, *rest):
        (at,) = ctx.saved_tensors
        Sorting.rest = rest
        return rt.zeros_like(g).scatter(0, at, g)


def test_mark_non_differentiable():
    x = tensor([3.0, 1.0, 2.0], requires_grad=True)
    values, at, floats = Sorting.apply(x)
    assert values.requires_grad and not at.requires_grad and not floats.requires_grad and floats.grad_fn is None
    (values * tensor([1.0, 10.0, 100.0]) * floats.detach()).sum().backward()
    assert x.grad.tolist() == [0.0 * 100, 1.0, 20.0]


class Cube(rt.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @rt.autograd.function.once_differentiable
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


class CubeTwice(Cube):
    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g * 3 * x**2


def test_once_differentiable():
    x = tensor([2.0], requires_grad=True)
    (g,) = rt.autograd.grad(CubeTwice.apply(x), x, create_graph=True)
    assert g.item() == 12.0 and rt.autograd.grad(g, x)[0].item() == 12.0
    (g,) = rt.autograd.grad(Cube.apply(x), x, create_graph=True)
    assert g.item() == 12.0
    with pytest.raises(RuntimeError):
        rt.autograd.grad(g, x)


# ---- what copies share ----


def test_copies_share_what_they_should():
    m = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    tied = nn.ModuleList([m[0], m[0]])
    twin = copy.deepcopy(m)
    live, kept = m.state_dict(), m.state_dict(keep_vars=True)
    again = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    again.load_state_dict(live)
    assigned = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    assigned.load_state_dict(live, assign=True)
    before = array(m[0].weight)
    with rt.no_grad():
        m[0].weight.fill_(7.0)
        m[1].running_mean.fill_(7.0)
    for other in (twin, again):
        np.testing.assert_array_equal(array(other[0].weight), before)
        assert array(other[1].running_mean).tolist() == [0, 0]
    assert array(live["0.weight"]).tolist() == [[7, 7]] * 2 and array(live["1.running_mean"]).tolist() == [7, 7]
    assert kept["0.weight"] is m[0].weight and live["0.weight"] is not m[0].weight
    assert not live["0.weight"].requires_grad
    assert array(assigned[0].weight).tolist() == [[7, 7]] * 2
    deep = copy.deepcopy(tied)
    assert deep[0] is deep[1] and deep[0] is not m[0]
    with rt.no_grad():
        deep[0].weight.fill_(1.0)
    assert array(m[0].weight).tolist() == [[7, 7]] * 2

    x = tensor([1.0, 2.0])
    shared = {
        "detach": x.detach(),
        "view": x.view(2),
        "data": x.data,
        "parameter": nn.Parameter(x),
        "copy": copy.copy(x),
    }
    own = {
        "clone": x.clone(),
        "deepcopy": copy.deepcopy(x),
        "tensor": rt.tensor(x.tolist(), dtype=x.dtype),
        "to": x.to(rt.float32),
    }
    x.fill_(9.0)
    assert {k: v.tolist() for k, v in shared.items()} == {k: [9.0, 9.0] for k in shared}
    assert {k: v.tolist() for k, v in own.items()} == {k: [1.0, 2.0] for k in own}


def test_copies_of_optimizers():
    p = tensor([1.0], requires_grad=True)
    opt = rt.optim.Adam([p], lr=0.1)
    p.grad = tensor([1.0])
    opt.step()
    twin = copy.deepcopy(opt)
    loaded = rt.optim.Adam([tensor([1.0], requires_grad=True)], lr=0.1)
    loaded.load_state_dict(opt.state_dict())
    (q,), (r,) = twin.param_groups[0]["params"], loaded.param_groups[0]["params"]
    p.grad = tensor([5.0])
    opt.step()
    assert array(opt.state[p]["exp_avg"])[0] == pytest.approx(0.9 * 0.1 + 0.5)
    for other, param in ((twin, q), (loaded, r)):
        assert array(other.state[param]["exp_avg"])[0] == pytest.approx(0.1) and other.state[param]["step"] == 1
    assert q.item() == pytest.approx(0.9) and p.item() != q.item()


# ---- modes ----


def state():
    return rt.is_grad_enabled(), rt.is_inference_mode_enabled()


MODES = {
    "no_grad": (rt.no_grad, (False, False)),
    "enable_grad": (rt.enable_grad, (True, False)),
    "inference_mode": (rt.inference_mode, (False, True)),
    "inference_mode(True)": (lambda: rt.inference_mode(True), (False, True)),
    "inference_mode(False)": (lambda: rt.inference_mode(False), (True, False)),
    "set_grad_enabled(False)": (lambda: rt.set_grad_enabled(False), (False, False)),
    "set_grad_enabled(True)": (lambda: rt.set_grad_enabled(True), (True, False)),
}


@pytest.mark.parametrize("name", MODES)
@pytest.mark.parametrize("outside", [(True, False), (False, False)])
def test_modes_end_however_their_block_ends(name, outside):
    make, inside = MODES[name]
    with rt.enable_grad() if outside[0] else rt.no_grad():
        with make() as given:
            assert state() == inside and given is None
        assert state() == outside
        with pytest.raises(KeyError), make():
            with rt.no_grad(), rt.enable_grad():
                assert rt.is_grad_enabled()
            assert state() == inside
            raise KeyError
        assert state() == outside

        @make()
        def f(a, b=2):
            """Adds."""
            assert state() == inside
            if a is None:
                raise KeyError
            return a + b

        assert state() == outside
        assert f(1) == 3 and f(1, b=5) == 6 and f.__doc__ == "Adds." and f.__name__ == "f"
        assert state() == outside
        with pytest.raises(KeyError):
            f(None)
        assert state() == outside

        @make()
        def steps(n):
            for i in range(n):
                assert state() == inside
                got = yield i
                assert state() == inside and got == (None if i else "sent")
            return "end"

        def drain():
            result = yield from steps(3)
            assert result == "end"

        g = drain()
        assert next(g) == 0 and state() == outside
        assert g.send("sent") == 1 and list(g) == [2] and state() == outside

        @make()
        class Made:
            def __init__(self):
                assert state() == inside

            def ask(self):
                return state()

        assert Made().ask() == outside
    assert state() == (True, False)


def test_modes_without_brackets_and_again():
    for cls in (rt.no_grad, rt.enable_grad, rt.inference_mode):
        inside = (cls is rt.enable_grad, cls is rt.inference_mode)
        assert cls(state)() == inside and state() == (True, False)
        mode = cls()
        for _ in range(2):  # one object may be entered again, also inside of itself
            with mode, mode:
                assert state() == inside
            assert state() == (True, False)
        f = mode(state)
        assert f() == f() == inside
    rt.set_grad_enabled(False)
    assert state() == (False, False)
    rt.set_grad_enabled(True)
    assert state() == (True, False)
    again = rt.set_grad_enabled(False)
    assert not rt.is_grad_enabled()
    with again:
        assert not rt.is_grad_enabled()
    assert rt.is_grad_enabled()


def test_anomaly_modes_end_however_their_block_ends():
    def found():
        try:
            tensor([-1.0], requires_grad=True).sqrt().sum().backward()
        except RuntimeError:
            return True
        return False

    for make, inside in (
        (rt.autograd.detect_anomaly, True),
        (lambda: rt.autograd.detect_anomaly(check_nan=False), False),
        (lambda: rt.autograd.set_detect_anomaly(True), True),
        (lambda: rt.autograd.set_detect_anomaly(False), False),
        (lambda: rt.autograd.set_detect_anomaly(True, False), False),
    ):
        with make():
            assert found() is inside
        assert not found()
        with rt.autograd.detect_anomaly():
            with make():
                assert found() is inside
            assert found()
        with pytest.raises(KeyError), make():
            raise KeyError
        assert not found()


# ---- grad and backward ----


def test_options_of_grad_and_backward():
    def leaf():
        return tensor([2.0, 3.0], requires_grad=True)

    x = leaf()
    y = x * x * x
    (g,) = rt.autograd.grad(y, x, tensor([1.0, 10.0]), retain_graph=True)
    assert g.tolist() == [12.0, 270.0] and not g.requires_grad and x.grad is None
    (g,) = rt.autograd.grad(y, x, [tensor([1.0, 1.0])], create_graph=True)
    assert g.requires_grad
    assert rt.autograd.grad(g.sum(), x)[0].tolist() == [12.0, 18.0]  # create_graph kept it
    for call in (
        lambda y: rt.autograd.grad(y.sum(), x),
        lambda y: y.sum().backward(),
        lambda y: rt.autograd.backward(y.sum()),
        lambda y: rt.autograd.backward([y], [rt.ones(2, dtype=rt.float64)]),
    ):
        y = x * x
        call(y)
        with pytest.raises(RuntimeError, match="second time"):
            call(y)
    for call in (
        lambda y: rt.autograd.grad(y, x, retain_graph=True),
        lambda y: y.backward(retain_graph=True),
        lambda y: rt.autograd.backward(y, retain_graph=True),
    ):
        y = (x * x).sum()
        assert call(y) is None or True
        call(y)
    a, b = leaf(), leaf()
    y = a * b
    y.backward(tensor([1.0, 2.0]), inputs=[a], retain_graph=True)
    assert a.grad.tolist() == [2.0, 6.0] and b.grad is None
    rt.autograd.backward(y, tensor([1.0, 1.0]), inputs=b, retain_graph=True)
    assert b.grad.tolist() == [2.0, 3.0] and a.grad.tolist() == [2.0, 6.0]
    y.backward(tensor([1.0, 1.0]), create_graph=True)
    assert a.grad.tolist() == [4.0, 9.0] and a.grad.requires_grad
    y.backward(tensor([1.0, 1.0]))  # create_graph kept the graph
    found = rt.autograd.grad([a * 2, b * 3], [a, b], [rt.ones_like(a), rt.ones_like(b)])
    assert [f.tolist() for f in found] == [[2.0, 2.0], [3.0, 3.0]]
    a, c = leaf(), leaf()
    assert rt.autograd.grad((a * a).sum(), [a, c], allow_unused=True)[1] is None
    zero = rt.autograd.grad((a * a).sum(), [a, c], materialize_grads=True)[1]
    assert zero.tolist() == [0.0, 0.0] and zero.dtype is rt.float64
    for options in ({}, {"allow_unused": False}):
        with pytest.raises(RuntimeError, match="not have been used"):
            rt.autograd.grad((a * a).sum(), [a, c], **options)
    for wrong in (
        lambda: rt.autograd.grad((a * a).sum(), []),
        lambda: rt.autograd.grad([a.sum(), c.sum()], a, [tensor(1.0)]),
        lambda: rt.autograd.grad(a * a, a),
        lambda: (a * a).backward(),
        lambda: (a * a).sum().backward(inputs=[]),
        lambda: rt.ones(1).backward(),
    ):
        with pytest.raises((RuntimeError, ValueError)):
            wrong()
    with pytest.raises(TypeError, match="gradient"):
        (a * a).backward([1.0, 1.0])
    assert a.grad is None and c.grad is None


def test_gradcheck_options():
    x = tensor([1.0, 2.0], requires_grad=True)

    class Off(rt.autograd.Function):
        """The square, with a gradient that is a little wrong."""

        by = 0.0

        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * (2 * x + Off.by)

    check = rt.autograd.gradcheck
    Off.by = math.nan
    assert not check(Off.apply, (x,), raise_exception=False)
    Off.by = 0.0
    seen = []
    check(lambda t, u: (seen.append((t.tolist(), u.tolist())), (t * u).sum())[1], (x, x.detach()), eps=0.5, atol=1e-9)
    steps = [[0.5, 2], [1, 2.5], [1.5, 2], [1, 1.5]]  # one element at a time, the others as they were
    assert sorted(t for t, _ in seen) == sorted([[1, 2], *steps]) and all(u == [1, 2] for _, u in seen)
    assert check(Off.apply, x) and check(Off.apply, [x]) and check(lambda a, n: Off.apply(a) * n, (x, 3.0))
    Off.by = 0.01
    with pytest.raises(RuntimeError, match="Jacobian mismatch for output 0 with respect to input 0"):
        check(Off.apply, (x,))
    assert check(Off.apply, (x,), raise_exception=False) is False
    assert check(Off.apply, (x,), atol=0.011) and check(Off.apply, (x,), rtol=0.0051, atol=0.0)
    assert not check(Off.apply, (x,), atol=0.009, rtol=0.0, raise_exception=False)
    assert not check(Off.apply, (x,), rtol=0.0049, atol=0.0, raise_exception=False)
    # A step of 1 is far from the limit: of x^3 the difference is 3 x^2 + 1.
    assert not check(lambda t: t**3, (x,), eps=1.0, raise_exception=False)
    assert check(lambda t: t**3, (x,), eps=1.0, atol=1.01) and check(lambda t: t**3, (x,))
    Off.by = 0.0
    twice = rt.autograd.gradgradcheck
    assert twice(lambda t: t**3, (x,)) and twice(lambda t: (t**3, t.exp()), x)
    assert twice(lambda t: t**3, (x,), tensor([1.0, 2.0], requires_grad=True))

    class Flat(Off):
        @staticmethod
        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 2 * x.detach()

    assert check(Flat.apply, (x,))
    with pytest.raises(RuntimeError, match="Jacobian mismatch"):
        twice(Flat.apply, (x,))


# ---- line search ----


def wiggles(x):
    return (x**4 / 4 - x**2 + 0.3 * (8 * x).sin()).sum()


def valley(x):
    return 100 * (x[1] - x[0] ** 2) ** 2 + (1 - x[0]) ** 2


def well(x):
    return (-(-(x * x)).exp()).sum() + 0.01 * (x * x).sum()


def kink(x):
    return (x.abs() ** 1.5).sum()


# Function, start, options, the points at which PyTorch's L-BFGS evaluates it, and how many iterations that are.
SEARCHES = [
    (wiggles, [2.5], {"lr": 1.0}, [2.5, 1.5, 1.239221, 1.382962, 1.380854, 1.381107], 5),
    (
        wiggles,
        [2.5],
        {"lr": 0.05},
        [
            2.5,
            2.45,
            2.0,
            1.995704,
            1.976352,
            1.971287,
            1.948471,
            1.942517,
            1.915694,
            1.90474,
            1.855393,
            1.583793,
            1.128204,
            1.39451,
            1.382521,
            1.38245,
            1.381813,
        ],
        7,
    ),
    (
        wiggles,
        [0.9, -1.7],
        {"lr": 20.0},
        [
            0.9,
            -1.7,
            -6.880863,
            3.998208,
            -2.493884,
            0.7854642,
            -0.9718323,
            -0.3291893,
            0.7352287,
            -1.579332,
            -2.446902,
            -0.4060941,
            -0.7389898,
            -1.035794,
            0.6419951,
            -1.544957,
            0.6859119,
            -1.561149,
            0.4753313,
            -2.670552,
            0.652931,
            -1.734903,
            0.2376429,
            -0.3085536,
            0.6124862,
            -1.595991,
            0.6395564,
            -1.688966,
            0.7839751,
            -1.64902,
            0.6438086,
            -1.68779,
        ],
        5,
    ),
    (
        wiggles,
        [3.0, 1.0],
        {"lr": 3.0, "history_size": 1},
        [
            3.0,
            1.0,
            0.1732169,
            1.173217,
            -0.03923592,
            2.396916,
            0.09875174,
            1.602126,
            0.1358342,
            1.388536,
            -0.02496316,
            1.420496,
            -0.1945928,
            1.454212,
            -1.516343,
            1.121883,
            -1.52956,
            1.118559,
            -1.657156,
            1.086478,
            -3.960761,
            1.040751,
            -1.717448,
            1.085281,
            -1.684939,
            1.085926,
            -1.680558,
            1.48325,
            -1.712623,
            0.954061,
            -1.685371,
            1.403826,
        ],
        7,
    ),
    (
        valley,
        [-1.2, 1.0],
        {},
        [
            -1.2,
            1.0,
            -0.4898551,
            1.289855,
            -1.024532,
            1.07162,
            -1.028457,
            1.068187,
            -1.02888,
            1.065503,
            -1.027618,
            1.058412,
            -1.020308,
            1.035277,
            -0.997031,
            0.9755914,
            -0.9431278,
            0.8529663,
            -0.8802132,
            0.7274772,
        ],
        8,
    ),
    (
        valley,
        [2.0, -3.0],
        {"lr": 0.3},
        [
            2.0,
            -3.0,
            1.759983,
            -2.940017,
            1.53007,
            -2.849166,
            1.318827,
            -2.72797,
            1.124388,
            -2.573373,
            0.9464927,
            -2.38251,
            0.7855335,
            -2.152879,
            0.6431194,
            -1.88426,
            0.5223702,
            -1.582318,
        ],
        8,
    ),
    (
        well,
        [2.2],
        {"lr": 0.01},
        [
            2.2,
            2.199212,
            2.195663,
            2.176126,
            2.068597,
            1.476746,
            -1.780859,
            0.2668696,
            0.000452028,
            0.000194137,
            0.000192196,
            0.000174724,
            0.000172977,
            0.000157251,
            0.000155679,
            0.000141526,
        ],
        5,
    ),
    (
        well,
        [2.0, 0.5],
        {"lr": 100.0},
        [
            2.0,
            0.5,
            -9.326256,
            -78.38008,
            -0.08094162,
            -13.99242,
            1.36845,
            -3.898336,
            1.852398,
            -0.5279497,
            1.926972,
            -0.008593772,
            -6.622132,
            -0.3191874,
            -0.2859941,
            -0.08899204,
            0.02122498,
            -0.0778306,
            -94.13571,
            9.728099,
            -2.44575,
            0.1790913,
            -0.2254725,
            -0.05213841,
            -0.007198919,
            -0.07487041,
            1.14349,
            11.70683,
            0.1109729,
            1.13507,
            -0.000884812,
            -0.01022137,
        ],
        4,
    ),
    (
        kink,
        [1.0, -2.0],
        {"lr": 1.0, "tolerance_change": 0.001},
        [
            1.0,
            -2.0,
            0.5857864,
            -1.414214,
            -0.7365548,
            1.711838,
            0.005951193,
            -0.04346698,
            -0.04745573,
            0.2560664,
            -0.002410839,
            0.003431571,
            0.00456823,
            -0.005093668,
            6.6737e-05,
            0.000405103,
        ],
        4,
    ),
    (
        kink,
        [0.3],
        {"lr": 30.0},
        [
            0.3,
            -24.34752,
            -0.874745,
            0.01932492,
            -2.844658,
            -0.08531094,
            -8.8522e-05,
            0.03683044,
            0.000749336,
            2.162e-05,
            -0.001071239,
            -4.3103e-05,
            1.603e-06,
            -0.000223086,
            -6.816e-06,
            7e-09,
        ],
        5,
    ),
]


@pytest.mark.parametrize(("f", "start", "options", "points", "iterations"), SEARCHES)
def test_line_search_goes_the_known_way(f, start, options, points, iterations):
    x = tensor(start, requires_grad=True)
    opt = rt.optim.LBFGS([x], max_iter=8, max_eval=16, line_search_fn="strong_wolfe", **options)
    seen = []

    def closure():
        opt.zero_grad()
        seen.extend(x.tolist())
        loss = f(x)
        loss.backward()
        return loss

    loss = opt.step(closure)
    assert seen == pytest.approx(points, rel=1e-4, abs=1e-6)
    assert opt.state[x]["n_iter"] == iterations and opt.state[x]["func_evals"] == len(seen) // len(start)
    assert loss.item() == f(tensor(start)).item()


@pytest.mark.parametrize(
    ("points", "bounds", "minimum"),
    [
        # x^3 / 3 - x, whose minimum is at 1: between the points, beyond them, in either order, and cut off.
        ((0, 2), (0, 2), 1),
        ((2, 0), (0, 2), 1),
        ((0.5, 3), (0, 9), 1),
        ((2, 3), (0, 9), 1),
        ((2, 3), (1.5, 9), 1.5),
        ((-0.5, 0.5), (-1, 0.75), 0.75),
        ((-3, -2), (-9, 9), 1),
    ],
)
def test_minimum_of_a_cubic(points, bounds, minimum):
    from rustorch.optim.lbfgs import _cubic_minimum

    a, b = ((x, x**3 / 3 - x, None, x * x - 1.0) for x in points)
    assert _cubic_minimum(a, b, *bounds) == pytest.approx(minimum)
    a, b = ((x, float(x), None, 1.0) for x in points)  # a line has none: the middle
    assert _cubic_minimum(a, b, *bounds) == pytest.approx(sum(bounds) / 2)
    a, b = ((x, x**3 / 3 + x, None, x * x + 1.0) for x in points)  # nor has this
    assert _cubic_minimum(a, b, *bounds) == pytest.approx(sum(bounds) / 2)


# ---- functions of functions ----


def test_functional_call_options():
    from rustorch.func import functional_call

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(1, 1, bias=False)
            self.b = nn.Linear(1, 1, bias=False)
            self.b.weight = self.a.weight
            self.register_buffer("shift", rt.zeros(1))

        def forward(self, x, *, times=1.0):
            if times is None:
                raise KeyError
            return self.b(self.a(x)) * times + self.shift

    m = Scaled().double()
    m.a.weight.data.fill_(2.0)
    own, x, new = m.a.weight, tensor([[1.0]]), {"a.weight": tensor([[5.0]])}
    assert m(x).item() == 4.0
    assert functional_call(m, new, x).item() == functional_call(m, new, (x,)).item() == 25.0  # both names of one tensor
    assert functional_call(m, new, (x,), tie_weights=False).item() == 10.0
    assert functional_call(m, new, (x,), {"times": 3.0}).item() == 75.0
    assert functional_call(m, [new, {"shift": tensor([1.0])}], (x,)).item() == 26.0
    assert functional_call(m, {**new, "b.weight": tensor([[7.0]])}, (x,)).item() == 35.0
    every = {"a.weight": own, "b.weight": own, "shift": tensor([9.0])}
    assert functional_call(m, every, (x,), strict=True).item() == 13.0
    for wrong in (new, {**every, "c": x}):
        with pytest.raises(RuntimeError, match="functional_call: missing"):
            functional_call(m, wrong, (x,), strict=True)
    assert functional_call(m, {"a.nothing": x}, (x,)).item() == 4.0
    with pytest.raises(KeyError):
        functional_call(m, every | new, (x,), {"times": None})
    assert m.a.weight is own and m.b.weight is own and m.shift.item() == 0 and m(x).item() == 4.0


def test_transforms_of_functions():
    from rustorch import func

    def f(a, b, scale=1.0):
        return (a**3 * b).sum() * scale

    a, b = tensor([1.0, 2.0]), tensor([3.0, 5.0])
    by_a, by_b = [9.0, 60.0], [1.0, 8.0]
    assert func.grad(f)(a, b).tolist() == by_a and func.grad(f, 1)(a, b).tolist() == by_b
    assert func.grad(f)(a, b, scale=2.0).tolist() == [18.0, 120.0]
    assert [g.tolist() for g in func.grad(f, (1, 0))(a, b)] == [by_b, by_a]
    assert isinstance(func.grad(f, (0,))(a, b), tuple)
    g, value = func.grad_and_value(f)(a, b)
    assert g.tolist() == by_a and value.item() == 43.0 and not g.requires_grad and not value.requires_grad
    g, (value, aux) = func.grad_and_value(lambda *v: (f(*v), "aux"), has_aux=True)(a, b)
    assert g.tolist() == by_a and value.item() == 43.0 and aux == "aux"
    tree = {"a": [a, (b,)]}
    g = func.grad(lambda t: f(t["a"][0], t["a"][1][0]))(tree)
    assert g["a"][0].tolist() == by_a and g["a"][1][0].tolist() == by_b and isinstance(g["a"][1], tuple)
    assert func.grad(lambda t: f(t, b))(a).tolist() == by_a and not a.requires_grad
    with rt.no_grad():
        assert func.grad(f)(a, b).tolist() == by_a
    leaf = a.clone().requires_grad_()
    g = func.grad(f)(leaf, b)
    assert rt.autograd.grad(g.sum(), leaf)[0].tolist() == [18.0, 60.0] and leaf.grad is None
    assert func.grad(lambda v, w: (w * w).sum())(a, b).tolist() == [0.0, 0.0]
    fixed, product = func.vjp(lambda v: (v * 2, b), a)
    assert fixed[1] is not b and product(tensor([1.0, 1.0]), tensor([5.0, 5.0]))[0].tolist() == [2.0, 2.0]
    assert func.vjp(lambda v: b, a)[1](b)[0].tolist() == [0.0, 0.0]
    with pytest.raises(RuntimeError, match="2 results and 1 vectors"):
        product(tensor([1.0, 1.0]))
    square, product = func.vjp(lambda v: (v * v, v.sum()), a)
    assert square[0].tolist() == [1.0, 4.0] and not square[0].requires_grad
    for _ in range(2):
        assert product(tensor([1.0, 10.0]), tensor(100.0))[0].tolist() == [102.0, 140.0]
    for argnums, want in ((0, [[3.0, 0.0], [0.0, 5.0]]), (1, [[1.0, 0.0], [0.0, 2.0]])):
        assert func.jacrev(lambda v, w: v * w, argnums)(a, b).tolist() == want
    assert func.hessian(f)(a, b).tolist() == [[18.0, 0.0], [0.0, 60.0]]
    assert func.hessian(lambda v, w: (v * w**2).sum(), 1)(a, b).tolist() == [[2.0, 0.0], [0.0, 4.0]]
    h = func.hessian(f)(leaf, b)
    assert rt.autograd.grad(h.sum(), leaf)[0].tolist() == [18.0, 30.0]
    assert not func.hessian(f)(a, b).requires_grad and not func.jacrev(lambda v: v * v)(a).requires_grad
    for wrong in (lambda: func.grad(lambda v: v)(a), lambda: func.grad(lambda v: 3.0)(a)):
        with pytest.raises(RuntimeError, match="without dimensions"):
            wrong()
    with pytest.raises(TypeError, match="wanted tensors"):
        func.grad(f)(3.0, b)


def test_graphs_are_kept_only_on_demand():
    """`retain_graph` decides, and stands for `create_graph` where it is not given."""
    for run in (
        lambda y, x, o: y.backward(**o),
        lambda y, x, o: rt.autograd.backward(y, **o),
        lambda y, x, o: rt.autograd.grad(y, x, **o),
    ):
        for retain, create in itertools.product((None, False, True), (False, True)):
            x = tensor([3.0]).requires_grad_()
            y = (x * x).sum()
            run(y, x, {"retain_graph": retain, "create_graph": create})
            if retain or (retain is None and create):
                run(y, x, {})
            else:
                with pytest.raises(RuntimeError, match="second time"):
                    run(y, x, {})


def test_modes_of_generators_hand_values_through():
    """What is sent in, thrown in and returned, with the mode only while they run."""
    log = []

    @rt.no_grad()
    def echo(n):
        got = []
        for i in range(n):
            log.append(rt.is_grad_enabled())
            got.append((yield i * 10))
        return got

    def outer():
        result = yield from echo(3)
        log.append(result)

    g = outer()
    assert next(g) == 0 and rt.is_grad_enabled() and g.send("a") == 10 and g.send("b") == 20
    with pytest.raises(StopIteration):
        g.send("c")
    assert log == [False, False, False, ["a", "b", "c"]] and rt.is_grad_enabled()


def test_switches_as_decorators():
    """`set_grad_enabled` as a decorator holds inside of the function only, as a statement from then on."""
    for outside in (True, False):
        with rt.set_grad_enabled(outside):
            for on in (True, False):
                inside = rt.set_grad_enabled(on)(rt.is_grad_enabled)
                assert rt.is_grad_enabled() is outside and inside() is on and rt.is_grad_enabled() is outside
                rt.set_grad_enabled(on)
                assert rt.is_grad_enabled() is on
                rt.set_grad_enabled(outside)
    assert rt.is_grad_enabled()


def test_functions_of_inference_mode_record_nothing():
    class Twice(rt.autograd.Function):
        @staticmethod
        def forward(ctx, x, times):
            ctx.times = times
            return x * times

        @staticmethod
        def backward(ctx, g):
            return g * ctx.times, None, None  # more than there are arguments, but nothing

    x = tensor([2.0], requires_grad=True)
    with rt.inference_mode():
        for inside in (rt.enable_grad, rt.no_grad):
            with inside():
                y = Twice.apply(x, 3.0)
                assert not y.requires_grad and y.grad_fn is None and y.is_inference()
    with rt.no_grad():
        assert not Twice.apply(x, 3.0).requires_grad
    Twice.apply(x, 3.0).backward()
    assert x.grad.tolist() == [3.0]


def test_derivatives_of_functions_that_give_their_argument_back():
    x, y = tensor([1.0, 2.0]), tensor([3.0])
    assert A.jacobian(lambda t: t, x).tolist() == [[1, 0], [0, 1]]
    (a, b), (c, d) = A.jacobian(lambda s, t: (s, t), (x, y))
    assert (a.tolist(), b.tolist()) == ([[1, 0], [0, 1]], [[0], [0]]) and (c.tolist(), d.tolist()) == ([[0, 0]], [[1]])
    assert A.vjp(lambda t: t, x, tensor([5.0, 6.0]))[1].tolist() == [5, 6]
    assert A.jvp(lambda t: t, x, tensor([5.0, 6.0]))[1].tolist() == [5, 6]
    assert A.hessian(lambda t: t, y).tolist() == [[0]]
