"""Learning-rate schedulers against torch.optim.lr_scheduler: sequences of rates and momenta, states, errors."""

import warnings

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

CASES = {
    "LambdaLR": [{"lr_lambda": lambda e: 0.95**e}, {"lr_lambda": [lambda e: 0.9**e, lambda e: 1 / (e + 1)]}],
    "MultiplicativeLR": [{"lr_lambda": lambda e: 0.95}, {"lr_lambda": [lambda e: 0.9, lambda e: 1 - 1 / (e + 2)]}],
    "StepLR": [{"step_size": 3}, {"step_size": 1, "gamma": 0.5}],
    "MultiStepLR": [{"milestones": [2, 5, 5, 9]}, {"milestones": [1, 30], "gamma": 0.5}],
    "ConstantLR": [{}, {"factor": 0.5, "total_iters": 3}, {"factor": 1.0}],
    "LinearLR": [
        {},
        {"start_factor": 0.1, "end_factor": 0.7, "total_iters": 8},
        {"start_factor": 1.0, "end_factor": 0.2},
    ],
    "ExponentialLR": [{"gamma": 0.9}],
    "PolynomialLR": [{}, {"total_iters": 9, "power": 2.0}],
    "CosineAnnealingLR": [{"T_max": 5}, {"T_max": 7, "eta_min": 0.01}, {"T_max": 100}],
    "CosineAnnealingWarmRestarts": [{"T_0": 3}, {"T_0": 2, "T_mult": 2, "eta_min": 0.01}, {"T_0": 1, "T_mult": 3}],
    "OneCycleLR": [
        {"max_lr": 0.5, "total_steps": 41},
        {"max_lr": [0.5, 0.1], "epochs": 6, "steps_per_epoch": 7, "anneal_strategy": "linear"},
        {"max_lr": 0.5, "total_steps": 50, "three_phase": True, "pct_start": 0.4},
        {"max_lr": 0.5, "total_steps": 41, "cycle_momentum": False, "div_factor": 5.0, "final_div_factor": 10.0},
    ],
    "CyclicLR": [
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4},
        {"base_lr": 0.01, "max_lr": [0.1, 0.2], "step_size_up": 3, "step_size_down": 7, "mode": "triangular2"},
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "mode": "exp_range", "gamma": 0.9},
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "scale_fn": lambda x: 0.9**x, "scale_mode": "iterations"},
        {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "scale_fn": lambda x: 0.9**x, "cycle_momentum": False},
    ],
}
ALL = [(name, options) for name, sets in CASES.items() for options in sets]
IDS = [f"{name}-{i}" for name, sets in CASES.items() for i in range(len(sets))]
EPOCHS = 40


def optimizer(lib, name="SGD"):
    params = [lib.ones(1, requires_grad=True) for _ in range(2)]
    options = {"momentum": 0.9} if name == "SGD" else {}
    opt = getattr(lib.optim, name)([{"params": params[:1]}, {"params": params[1:], "lr": 0.3}], lr=0.05, **options)
    for p in params:
        p.grad = lib.zeros(1)
    return opt


def state_of(opt):
    return [(g["lr"], g.get("momentum"), g.get("betas")) for g in opt.param_groups]


def run(scheduler, opt, epochs=EPOCHS, **kwargs):
    seen = [(scheduler.get_last_lr(), state_of(opt))]
    for _ in range(epochs):
        opt.step()
        scheduler.step(**kwargs)
        seen.append((scheduler.get_last_lr(), state_of(opt)))
    return seen


def compare(play):
    """``play(lib)`` gives nested numbers; they must be the same in both libraries."""
    ours, theirs = flat(play(rt)), flat(play(torch))
    assert ours == pytest.approx(theirs, rel=1e-12, abs=1e-15)


def flat(x):
    if isinstance(x, (list, tuple)):
        return [v for item in x for v in flat(item)]
    return [-1.0 if x is None else float(x)]


def make(lib, name, opt, options):
    return getattr(lib.optim.lr_scheduler, name)(opt, **options)


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize(("name", "options"), ALL, ids=IDS)
def test_sequences(name, options, kind):
    def play(lib):
        opt = optimizer(lib, kind)
        return run(make(lib, name, opt, options), opt)

    compare(play)


@pytest.mark.parametrize(("name", "options"), ALL, ids=IDS)
def test_given_epochs(name, options):
    def play(lib):
        opt = optimizer(lib)
        scheduler = make(lib, name, opt, options)
        seen = []
        for epoch in (3, 0, 7, 1, 12, None, 2):
            opt.step()
            scheduler.step(epoch) if epoch is not None else scheduler.step()
            seen.append(scheduler.get_last_lr())
        return seen

    compare(play)


@pytest.mark.parametrize(("name", "options"), ALL, ids=IDS)
def test_resume_from_state_dict(name, options):
    def play(lib):
        opt = optimizer(lib)
        scheduler = make(lib, name, opt, options)
        run(scheduler, opt, 9)
        state, saved = scheduler.state_dict(), opt.state_dict()
        assert "optimizer" not in state
        opt = optimizer(lib)
        scheduler = make(lib, name, opt, options)
        opt.load_state_dict(saved)
        scheduler.load_state_dict(state)
        return run(scheduler, opt, 20)

    compare(play)


@pytest.mark.parametrize(("name", "options"), ALL, ids=IDS)
def test_resume_from_last_epoch(name, options):
    def play(lib):
        opt = optimizer(lib)
        run(make(lib, name, opt, options), opt, 9)
        return run(make(lib, name, opt, {**options, "last_epoch": 8}), opt, 20)

    compare(play)


def test_warm_restarts_with_fractions():
    for options in CASES["CosineAnnealingWarmRestarts"]:

        def play(lib, options=options):
            opt = optimizer(lib)
            scheduler = make(lib, "CosineAnnealingWarmRestarts", opt, options)
            seen = []
            for i in range(60):
                opt.step()
                scheduler.step(i / 7)
                seen.append((scheduler.get_last_lr(), scheduler.T_cur, scheduler.T_i, scheduler.last_epoch))
            return seen

        compare(play)


PLATEAU = [
    {"patience": 2},
    {"patience": 0, "cooldown": 2, "factor": 0.5},
    {"mode": "max", "patience": 1},
    {"mode": "max", "threshold_mode": "abs", "threshold": 0.3, "patience": 1},
    {"threshold_mode": "abs", "threshold": 0.05, "patience": 1, "min_lr": [0.01, 0.02]},
    {"patience": 0, "min_lr": 0.04, "eps": 0.01},
]


@pytest.mark.parametrize("options", PLATEAU, ids=str)
def test_plateau(options):
    figures = [
        5,
        4,
        4.2,
        4.1,
        3.99,
        4,
        4,
        4,
        3,
        3.1,
        3.2,
        3.3,
        3.4,
        2.9,
        2.8,
        9,
        9,
        9,
        9,
        9,
        9,
        float("nan"),
        1,
        1,
        1,
        1,
    ]

    def play(lib):
        opt = optimizer(lib)
        scheduler = make(lib, "ReduceLROnPlateau", opt, options)
        seen = []
        for figure in figures:
            opt.step()
            scheduler.step(lib.tensor(figure))
            seen.append((scheduler.get_last_lr(), state_of(opt), scheduler.num_bad_epochs, scheduler.best))
        return seen

    compare(play)


def test_sequential():
    def play(lib):
        s, opt = lib.optim.lr_scheduler, optimizer(lib)
        parts = [
            s.LinearLR(opt, start_factor=0.1, total_iters=4),
            s.ExponentialLR(opt, gamma=0.9),
            s.CosineAnnealingLR(opt, T_max=6),
            s.CosineAnnealingWarmRestarts(opt, T_0=3),
        ]
        return run(s.SequentialLR(opt, parts, milestones=[5, 10, 20]), opt)

    compare(play)


def test_sequential_state():
    def build(lib):
        s, opt = lib.optim.lr_scheduler, optimizer(lib)
        parts = [s.ConstantLR(opt, factor=0.1, total_iters=2), s.StepLR(opt, step_size=2)]
        return s.SequentialLR(opt, parts, milestones=[4]), opt

    def play(lib):
        scheduler, opt = build(lib)
        run(scheduler, opt, 6)
        again, other = build(lib)
        other.load_state_dict(opt.state_dict())
        again.load_state_dict(scheduler.state_dict())
        return run(again, other, 12)

    compare(play)


def test_nested_and_chained():
    def play(lib):
        s, opt = lib.optim.lr_scheduler, optimizer(lib)
        first = s.ChainedScheduler([s.ConstantLR(opt, factor=0.5, total_iters=3), s.ExponentialLR(opt, gamma=0.9)])
        return run(first, opt) + run(s.ChainedScheduler([first, s.StepLR(opt, step_size=4)], optimizer=opt), opt)

    compare(play)


def test_two_schedulers_on_one_optimizer():
    def play(lib):
        s, opt = lib.optim.lr_scheduler, optimizer(lib)
        one, two = s.StepLR(opt, step_size=3), s.PolynomialLR(opt, total_iters=30)
        seen = []
        for _ in range(EPOCHS):
            opt.step()
            one.step()
            two.step()
            seen.append(state_of(opt))
        return seen

    compare(play)


def test_tensor_rate():
    def play(lib):
        p = lib.ones(1, requires_grad=True)
        opt = lib.optim.SGD([p], lr=lib.tensor(0.1))
        rate = opt.param_groups[0]["lr"]
        scheduler = lib.optim.lr_scheduler.ExponentialLR(opt, gamma=0.5)
        opt.step()
        scheduler.step()
        assert opt.param_groups[0]["lr"] is rate
        return [float(rate), [float(v) for v in scheduler.get_last_lr()]]

    compare(play)


ERRORS = {
    "ConstantLR": [{"factor": 1.5}],
    "LinearLR": [{"start_factor": 0.0}, {"end_factor": 2.0}],
    "LambdaLR": [{"lr_lambda": [abs]}],
    "MultiplicativeLR": [{"lr_lambda": [abs]}, {"lr_lambda": 3}],
    "CosineAnnealingWarmRestarts": [{"T_0": 0}, {"T_0": 2, "T_mult": 0}, {"T_0": 2.5}],
    "OneCycleLR": [{"max_lr": 1}, {"max_lr": 1, "total_steps": -1}, {"max_lr": 1, "total_steps": 9, "pct_start": 2.0}],
    "CyclicLR": [{"base_lr": 1, "max_lr": 1, "mode": "no"}, {"base_lr": [1], "max_lr": 1}],
    "ReduceLROnPlateau": [{"factor": 1.0}, {"mode": "no"}, {"threshold_mode": "no"}, {"min_lr": [1]}],
    "SequentialLR": [{"schedulers": [], "milestones": []}],
    "StepLR": [{"step_size": 3, "last_epoch": 4}],
}


@pytest.mark.parametrize(("name", "options"), [(n, o) for n, sets in ERRORS.items() for o in sets], ids=str)
def test_errors(name, options):
    kinds = []
    for lib in (rt, torch):
        with pytest.raises((ValueError, TypeError, KeyError)) as error:
            make(lib, name, optimizer(lib), options)
        kinds.append(next(k for k in (ValueError, TypeError, KeyError) if isinstance(error.value, k)))
    assert kinds[0] is kinds[1]


def test_warning_about_the_order():
    for lib in (rt, torch):
        opt = optimizer(lib)
        scheduler = lib.optim.lr_scheduler.StepLR(opt, 2)
        with pytest.warns(UserWarning, match="before `optimizer.step"):
            scheduler.step()
        opt = optimizer(lib)
        scheduler = lib.optim.lr_scheduler.StepLR(opt, 2)
        opt.step()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            scheduler.step()
