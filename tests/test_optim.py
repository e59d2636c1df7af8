"""Optimizers against a transcription of their formulas in NumPy, and everything around the formulas."""

import copy
import itertools
import math
import pickle

import numpy as np
import pytest

import rustorch as rt
from rustorch import _ops
from rustorch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

SHAPES = [(3, 2), (4,), ()]
STEPS = 6

# Each reference takes parameter, gradient (weight decay and sign applied), state, step number and options.


def sgd(p, g, s, t, o):
    if o["momentum"]:
        s["b"] = g if t == 1 else o["momentum"] * s["b"] + (1 - o["dampening"]) * g
        g = g + o["momentum"] * s["b"] if o["nesterov"] else s["b"]
    return p - o["lr"] * g


def adam_means(g, s, o):
    beta1, beta2 = o["betas"]
    s["m"] = beta1 * s.get("m", 0) + (1 - beta1) * g
    s["v"] = beta2 * s.get("v", 0) + (1 - beta2) * g * g
    return s["m"], s["v"]


def adam(p, g, s, t, o):
    (m, v), (beta1, beta2) = adam_means(g, s, o), o["betas"]
    if o["amsgrad"]:
        v = s["max"] = np.maximum(s.get("max", 0), v)
    return p - o["lr"] / (1 - beta1**t) * m / (np.sqrt(v) / math.sqrt(1 - beta2**t) + o["eps"])


def rmsprop(p, g, s, t, o):
    s["v"] = o["alpha"] * s.get("v", 0) + (1 - o["alpha"]) * g * g
    v = s["v"]
    if o["centered"]:
        s["a"] = o["alpha"] * s.get("a", 0) + (1 - o["alpha"]) * g
        v = v - s["a"] ** 2
    update = g / (np.sqrt(v) + o["eps"])
    if o["momentum"]:
        update = s["b"] = o["momentum"] * s.get("b", 0) + update
    return p - o["lr"] * update


def adagrad(p, g, s, t, o):
    s["s"] = s.get("s", o["initial_accumulator_value"]) + g * g
    return p - o["lr"] / (1 + (t - 1) * o["lr_decay"]) * g / (np.sqrt(s["s"]) + o["eps"])


def adadelta(p, g, s, t, o):
    s["v"] = o["rho"] * s.get("v", 0) + (1 - o["rho"]) * g * g
    x = np.sqrt(s.get("u", 0) + o["eps"]) / np.sqrt(s["v"] + o["eps"]) * g
    s["u"] = o["rho"] * s.get("u", 0) + (1 - o["rho"]) * x * x
    return p - o["lr"] * x


def adamax(p, g, s, t, o):
    beta1, beta2 = o["betas"]
    s["m"] = beta1 * s.get("m", 0) + (1 - beta1) * g
    s["u"] = np.maximum(beta2 * s.get("u", 0), np.abs(g) + o["eps"])
    return p - o["lr"] / (1 - beta1**t) * s["m"] / s["u"]


def nadam(p, g, s, t, o):
    (m, v), (beta1, beta2) = adam_means(g, s, o), o["betas"]
    mus = [beta1 * (1 - 0.5 * 0.96 ** (i * o["momentum_decay"])) for i in range(1, t + 2)]
    d = np.sqrt(v / (1 - beta2**t)) + o["eps"]
    p = p - o["lr"] * (1 - mus[-2]) / (1 - math.prod(mus[:-1])) * g / d
    return p - o["lr"] * mus[-1] / (1 - math.prod(mus)) * m / d


def radam(p, g, s, t, o):
    (m, v), (beta1, beta2) = adam_means(g, s, o), o["betas"]
    m = m / (1 - beta1**t)
    r0 = 2 / (1 - beta2) - 1
    r = r0 - 2 * t * beta2**t / (1 - beta2**t)
    if r <= 5:
        return p - o["lr"] * m
    scale = math.sqrt((r - 4) * (r - 2) * r0 / ((r0 - 4) * (r0 - 2) * r)) * math.sqrt(1 - beta2**t)
    return p - o["lr"] * m * scale / (np.sqrt(v) + o["eps"])


def rprop(p, g, s, t, o):
    (shrink, grow), (least, greatest) = o["etas"], o["step_sizes"]
    turn = g * s.get("g", 0)
    factor = np.where(turn > 0, grow, np.where(turn < 0, shrink, 1.0))
    s["size"] = np.clip(s.get("size", o["lr"]) * factor, least, greatest)
    s["g"] = np.where(turn < 0, 0.0, g)
    return p - np.sign(s["g"]) * s["size"]


def asgd(p, g, s, t, o):
    eta = o["lr"] / (1 + o["lambd"] * o["lr"] * (t - 1)) ** o["alpha"]
    return p * (1 - o["lambd"] * eta) - eta * g


COMMON = {"lr": [0.1], "weight_decay": [0, 0.2], "maximize": [False, True]}
BETAS = {"betas": [(0.9, 0.999), [0.5, 0.9]], "eps": [1e-8, 0.1]}
CASES = {
    "SGD": (sgd, {**COMMON, "momentum": [0, 0.9], "dampening": [0, 0.3], "nesterov": [False, True]}),
    "Adam": (adam, {**COMMON, **BETAS, "amsgrad": [False, True], "decoupled_weight_decay": [False, True]}),
    "AdamW": (adam, {**COMMON, **BETAS, "amsgrad": [False, True]}),
    "RMSprop": (rmsprop, {**COMMON, "alpha": [0.9], "eps": [0.01], "momentum": [0, 0.9], "centered": [False, True]}),
    "Adagrad": (adagrad, {**COMMON, "lr_decay": [0, 0.1], "initial_accumulator_value": [0, 0.5], "eps": [1e-10]}),
    "Adadelta": (adadelta, {**COMMON, "rho": [0.9, 0.5], "eps": [1e-6]}),
    "Adamax": (adamax, {**COMMON, **BETAS}),
    "NAdam": (nadam, {**COMMON, **BETAS, "momentum_decay": [4e-3], "decoupled_weight_decay": [False, True]}),
    "RAdam": (radam, {**COMMON, **BETAS, "decoupled_weight_decay": [False, True]}),
    "Rprop": (
        rprop,
        {
            "lr": [0.1],
            "maximize": [False, True],
            "etas": [(0.5, 1.2), (0.3, 2)],
            "step_sizes": [(1e-6, 50), (0.05, 0.2)],
        },
    ),
    "ASGD": (asgd, {**COMMON, "lambd": [1e-4, 0.1], "alpha": [0.75, 0.5]}),
}


def combinations(name):
    grid = CASES[name][1]
    for values in itertools.product(*grid.values()):
        options = dict(zip(grid, values))
        if not (options.get("nesterov") and (not options["momentum"] or options["dampening"])):
            yield options


def numbers(seed, shape):
    return np.random.default_rng(seed).normal(size=shape)


def tensor(values, **kwargs):
    kwargs.setdefault("dtype", rt.float64)
    return rt.tensor(np.asarray(values).tolist(), **kwargs)


def parameters():
    return [tensor(numbers(i, shape), requires_grad=True) for i, shape in enumerate(SHAPES)]


def set_grads(params, seed):
    for i, p in enumerate(params):
        p.grad = tensor(numbers(1000 + 10 * seed + i, tuple(p.shape)))


def array(t):
    return np.array(t.detach().tolist())


def assert_same(params, values, rtol=1e-10):
    for p, value in zip(params, values):
        np.testing.assert_allclose(array(p), value, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("name", CASES)
def test_formula(name):
    reference = CASES[name][0]
    for options in combinations(name):
        params = parameters()
        opt = getattr(rt.optim, name)(params, **options)
        full = opt.defaults
        values, states = [array(p) for p in params], [{} for _ in params]
        for t in range(1, STEPS + 1):
            set_grads(params, t)
            assert opt.step() is None
            for i, p in enumerate(params):
                g = array(p.grad) * (-1 if full["maximize"] else 1)
                if full.get("decoupled_weight_decay"):
                    values[i] = values[i] * (1 - full["lr"] * full["weight_decay"])
                else:
                    g = g + full.get("weight_decay", 0) * values[i]
                values[i] = reference(values[i], g, states[i], t, full)
        assert_same(params, values)


@pytest.mark.parametrize("name", CASES)
def test_learns(name):
    x = tensor([3.0, -2.0], requires_grad=True)
    opt = getattr(rt.optim, name)([x], lr=20.0 if name == "Adadelta" else 0.5 if name == "Adagrad" else 0.1)
    for _ in range(200):
        opt.zero_grad()
        (x * x).sum().backward()
        opt.step()
    assert (x * x).sum().item() < 0.05


@pytest.mark.parametrize("search", [None, "strong_wolfe"])
def test_lbfgs_finds_the_minimum(search):
    x = tensor([-1.2, 1.0], requires_grad=True)
    opt = rt.optim.LBFGS([x], lr=1.0 if search else 0.002, max_iter=60, line_search_fn=search)

    def closure():
        opt.zero_grad()
        loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        loss.backward()
        return loss

    losses = [opt.step(closure).item() for _ in range(20)]
    if search:
        assert_same([x], [[1.0, 1.0]], 1e-4)
    assert losses[-1] < losses[0]
    state = opt.state_dict()["state"][0]
    assert state["n_iter"] > 20 and state["func_evals"] > state["n_iter"] / 2


def test_lbfgs_solves_a_quadratic_in_a_few_iterations():
    scale = tensor([1.0, 10.0, 100.0])
    x, y = tensor([1.0, 1.0, 1.0], requires_grad=True), tensor(2.0, requires_grad=True)
    opt = rt.optim.LBFGS([x, y], max_iter=25, line_search_fn="strong_wolfe", history_size=5)

    def closure():
        opt.zero_grad()
        loss = (scale * x * x).sum() + (y - 3) ** 2
        loss.backward()
        return loss

    opt.step(closure)
    assert_same([x, y], [[0, 0, 0], 3.0], 1e-5)


def test_lbfgs_errors():
    x = tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="line_search_fn must be 'strong_wolfe' or None, got 'guess'"):
        rt.optim.LBFGS([x], line_search_fn="guess")
    with pytest.raises(ValueError, match="per-parameter options"):
        rt.optim.LBFGS([{"params": [x]}, {"params": [tensor(1.0, requires_grad=True)]}])


@pytest.mark.parametrize("name", CASES)
def test_parameters_without_a_gradient_rest(name):
    """A gradient that is missing in some steps leaves the parameter's own step count behind."""
    reference = CASES[name][0]
    options = {"momentum": 0.9} if name in ("SGD", "RMSprop") else {}
    params = parameters()
    opt = getattr(rt.optim, name)(params, lr=0.1, **options)
    opt.param_groups[0]["weight_decay"] = opt.defaults["weight_decay"] = 0
    values, states, counts = [array(p) for p in params], [{} for _ in params], [0] * len(params)
    for t, missing in enumerate([(0,), (), (1, 2), (0, 1, 2), ()]):
        set_grads(params, t)
        for i in missing:
            params[i].grad = None
        opt.step()
        for i, p in enumerate(params):
            if i not in missing:
                counts[i] += 1
                values[i] = reference(values[i], array(p.grad), states[i], counts[i], opt.defaults)
    assert_same(params, values)


@pytest.mark.parametrize("dtype", [rt.float32, rt.float64, rt.float16])
@pytest.mark.parametrize(
    "make",
    [
        lambda p: rt.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: rt.optim.Adam(p, lr=0.1),
        lambda p: rt.optim.Adam(p, lr=0.1, amsgrad=True),
        lambda p: rt.optim.AdamW(p, lr=0.1, amsgrad=True),
        lambda p: rt.optim.RMSprop(p, lr=0.1, momentum=0.9, centered=True),
        lambda p: rt.optim.Adagrad(p, lr=0.1),
    ],
)
def test_what_is_no_number_stays(make, dtype):
    """One gradient that is NaN: its element is NaN from then on, in every state that has seen it; no other one is."""
    for at in (0, 5, 39):
        p = rt.ones(40, dtype=dtype, requires_grad=True)
        opt = make([p])
        for step in range(4):
            p.grad = rt.full((40,), 0.5, dtype=dtype)
            if step == 1:
                p.grad[at] = rt.nan
            opt.step()
        states = [v for v in opt.state[p].values() if isinstance(v, rt.Tensor) and v.ndim]
        assert states or isinstance(opt, rt.optim.Adagrad)
        for t in (p.detach(), *states):
            assert t.isnan().nonzero().flatten().tolist() == [at]


def test_steps_count_the_changes_of_all_they_change():
    for make in (
        lambda p: rt.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: rt.optim.Adam(p, lr=0.1, amsgrad=True),
        lambda p: rt.optim.RMSprop(p, lr=0.1, momentum=0.9, centered=True),
        lambda p: rt.optim.Adagrad(p, lr=0.1),
    ):
        params = [rt.ones(n, requires_grad=True) for n in (3, 40)]
        opt = make(params)
        for p in params:
            p.grad = rt.ones_like(p)
        opt.step()
        changed = [
            t for p in params for t in (p, *(v for v in opt.state[p].values() if isinstance(v, rt.Tensor) and v.ndim))
        ]
        before, grads = [t._version for t in changed], [p.grad._version for p in params]
        opt.step()
        assert [t._version for t in changed] == [v + 1 for v in before]
        assert [p.grad._version for p in params] == grads


def test_what_a_step_writes_to_lies_apart():
    """A parameter, its gradient and its states: no two of them at one place, whole or in part."""
    block = rt.ones(20)
    overlapping = [
        (block[:5], block[:5]),
        (block[:5], block[4:9]),
        (block[::2], block[1:11]),
        (block[:5], block[:5].flip(0)),
    ]

    def own():
        return rt.zeros(overlapping[0][0].numel())

    for a, b in (*overlapping[:2], (block[:10].view(2, 5), block[5:15].view(2, 5))):
        other = [rt.zeros_like(a) for _ in range(3)]
        before = block.tolist()
        for call in (
            lambda a=a, b=b: _ops.sgd_step([a], [b], [], 0.1),
            lambda a=a, b=b, o=other: _ops.sgd_step([a], [o[0]], [b], 0.1, 0.9),
            lambda a=a, b=b, o=other: _ops.adam_step([a], [o[0]], [b], [o[1]], [], 0.1, 0.9, 0.99, 1e-8, 0.0, 1),
            lambda a=a, b=b, o=other: _ops.adam_step([o[0]], [o[1]], [a], [b], [], 0.1, 0.9, 0.99, 1e-8, 0.0, 1),
            lambda a=a, b=b, o=other: _ops.adagrad_step([o[0]], [a], [b], 0.1),
        ):
            with pytest.raises(rt.errors.RustorchError, match="refer to a single memory location"):
                call()
        assert block.tolist() == before and not any(t.any() for t in other)
    _ops.sgd_step([block[:5]], [block[5:10]], [], 0.5)
    assert block.tolist() == [0.5] * 5 + [1.0] * 15


def test_single_precision_and_half():
    for dtype, tolerance in ((rt.float32, 1e-5), (rt.float16, 1e-2), (rt.bfloat16, 5e-2)):
        for name in CASES:
            params = [tensor(numbers(1, (5,)), dtype=dtype, requires_grad=True)]
            exact = [tensor(array(params[0]), requires_grad=True)]
            options = {"SGD": {"momentum": 0.9}, "Rprop": {}, "ASGD": {}}.get(name, {"eps": 1e-3})
            both = [getattr(rt.optim, name)(p, lr=0.01, **options) for p in (params, exact)]
            for seed in range(3):
                grad = numbers(seed, (5,))
                params[0].grad, exact[0].grad = tensor(grad, dtype=dtype), tensor(grad)
                for opt in both:
                    opt.step()
            assert params[0].dtype == dtype
            np.testing.assert_allclose(array(params[0]), array(exact[0]), atol=tolerance, rtol=tolerance)


def test_parameters_of_different_dtypes():
    params = [rt.ones(2, requires_grad=True), tensor([1.0, 1.0], requires_grad=True)]
    for p in params:
        p.grad = rt.ones_like(p).detach() * 0.5
    rt.optim.Adam(params, lr=0.1).step()
    assert_same(params, [[0.9, 0.9], [0.9, 0.9]], 1e-6)


def test_views_and_transposed_parameters():
    base = tensor(numbers(0, (3, 4)))
    p = base.t().requires_grad_()
    before, grad = array(p), numbers(1, (4, 3))
    p.grad = tensor(grad)
    rt.optim.SGD([p], lr=0.5, momentum=0.9).step()
    assert_same([p, base], [before - 0.5 * grad, (before - 0.5 * grad).T])


def test_step_leaves_no_trace_in_autograd():
    for name in CASES:
        p = rt.ones(2, requires_grad=True)
        opt = getattr(rt.optim, name)([p], lr=0.1)
        (p * p).sum().backward()
        opt.step()
        assert p.is_leaf and p.requires_grad and p.grad_fn is None
        assert all(not v.requires_grad for v in opt.state[p].values() if isinstance(v, rt.Tensor))
        (p * p).sum().backward()


def test_step_is_noticed_by_backward():
    p = rt.ones(2, requires_grad=True)
    loss = (p * p).sum()
    loss.backward(retain_graph=True)
    rt.optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError):
        loss.backward()


def test_closure():
    p = rt.ones(1, requires_grad=True)
    opt = rt.optim.SGD([p], lr=0.1)

    def closure():
        opt.zero_grad()
        loss = (p * 3).sum()
        loss.backward()
        return loss

    with rt.no_grad():
        assert opt.step(closure).item() == 3.0
    assert_same([p], [[0.7]], 1e-6)


def test_zero_grad():
    p = rt.ones(2, requires_grad=True)
    opt = rt.optim.SGD([p, rt.ones(1, requires_grad=True)], lr=0.1)
    (p * p).sum().backward()
    grad = p.grad
    opt.zero_grad(set_to_none=False)
    assert p.grad is grad or p.grad.tolist() == [0.0, 0.0]
    assert grad.tolist() == [0.0, 0.0]
    opt.zero_grad()
    assert p.grad is None
    opt.zero_grad()


@pytest.mark.filterwarnings("ignore")
def test_zero_grad_detaches_a_gradient_with_a_history():
    p = tensor([2.0], requires_grad=True)
    (p * p * p).sum().backward(create_graph=True)
    assert p.grad.requires_grad
    rt.optim.SGD([p], lr=0.1).zero_grad(set_to_none=False)
    assert p.grad.tolist() == [0.0] and not p.grad.requires_grad


def test_groups():
    a, b, c = parameters()
    opt = rt.optim.SGD([{"params": a, "lr": 0.5}, {"params": [b]}], lr=0.1, momentum=0.0)
    opt.add_param_group({"params": iter([c]), "weight_decay": 0.1})
    assert [g["lr"] for g in opt.param_groups] == [0.5, 0.1, 0.1]
    assert [g["weight_decay"] for g in opt.param_groups] == [0, 0, 0.1]
    values = [array(p) for p in (a, b, c)]
    set_grads([a, b, c], 0)
    grads = [array(p.grad) for p in (a, b, c)]
    opt.step()
    grads[2] = grads[2] + 0.1 * values[2]
    assert_same([a, b, c], [v - lr * g for v, lr, g in zip(values, (0.5, 0.1, 0.1), grads)])


def test_changed_options_and_parameters_take_effect():
    a, b, _ = parameters()
    opt = rt.optim.SGD([a], lr=0.5)
    a.grad = rt.ones_like(a).detach()
    before = array(a)
    opt.step()
    opt.param_groups[0]["lr"] = 0.25
    a.grad = 2 * rt.ones_like(a).detach()
    opt.step()
    assert_same([a], [before - 0.5 - 0.5])
    opt.param_groups[0]["params"][0] = b
    b.grad = rt.ones_like(b).detach()
    before = array(b)
    opt.step()
    assert_same([b], [before - 0.25])


def test_cleared_state_begins_anew():
    p = tensor([1.0], requires_grad=True)
    opt = rt.optim.Adam([p], lr=0.1)
    for _ in range(3):
        p.grad = tensor([1.0])
        opt.step()
    opt.state.clear()
    opt.step()
    assert opt.state[p]["step"] == 1


def test_rate_as_tensor():
    p = tensor([1.0], requires_grad=True)
    opt = rt.optim.SGD([p], lr=rt.tensor(0.5))
    p.grad = tensor([1.0])
    opt.step()
    assert p.tolist() == [0.5]


def test_named_parameters():
    a, b, c = parameters()
    opt = rt.optim.SGD([("a", a), ("b", b)], lr=0.1)
    assert opt.param_groups[0]["param_names"] == ["a", "b"]
    assert opt.state_dict()["param_groups"][0]["param_names"] == ["a", "b"]
    with pytest.raises(ValueError, match="cannot add param group without names"):
        opt.add_param_group({"params": [c]})
    opt.add_param_group({"params": [("c", c)]})
    saved = opt.state_dict()
    saved["param_groups"][0]["param_names"] = ["x", "y"]
    del saved["param_groups"][1]["param_names"]
    opt.load_state_dict(saved)  # names that come along are taken over
    assert [group["param_names"] for group in opt.param_groups] == [["x", "y"], ["c"]]
    plain = rt.optim.SGD([a], lr=0.1)
    with pytest.raises(ValueError, match="cannot add param group with names"):
        plain.add_param_group({"params": [("b", b)]})
    with pytest.raises(ValueError, match="Some param names are missing"):
        rt.optim.SGD([("a", a), b], lr=0.1)


def test_state_dict_layout():
    a, b, c = parameters()
    opt = rt.optim.Adam([{"params": [a, b]}, {"params": [c], "lr": 0.3}], lr=0.1)
    a.grad = rt.ones_like(a).detach()
    opt.step()
    state = opt.state_dict()
    assert [g["params"] for g in state["param_groups"]] == [[0, 1], [2]]
    assert list(state["state"]) == [0]
    assert set(state["state"][0]) == {"step", "exp_avg", "exp_avg_sq"}
    step = state["state"][0]["step"]
    assert isinstance(step, rt.Tensor) and step.dtype == rt.float32 and step.item() == 1 and len(step.shape) == 0
    assert rt.optim.SGD([a], lr=0.1).state_dict()["state"] == {}


@pytest.mark.parametrize("way", ["state_dict", "pickle", "deepcopy"])
@pytest.mark.parametrize("name", CASES)
def test_resuming(name, way):
    options = {"momentum": 0.9} if name == "SGD" else {}

    def run(params, opt, seeds):
        for seed in seeds:
            set_grads(params, seed)
            opt.step()

    straight = parameters()
    run(straight, getattr(rt.optim, name)(straight, lr=0.05, **options), range(6))

    params = parameters()
    opt = getattr(rt.optim, name)(params, lr=0.05, **options)
    run(params, opt, range(3))
    if way == "state_dict":
        saved = opt.state_dict()
        opt = getattr(rt.optim, name)(params, lr=9.0, **options)
        opt.load_state_dict(saved)
    else:
        opt = pickle.loads(pickle.dumps(opt)) if way == "pickle" else copy.deepcopy(opt)
        params = opt.param_groups[0]["params"]
    run(params, opt, range(3, 6))
    assert_same(params, [array(p) for p in straight], 1e-6 if name in ("NAdam", "ASGD") else 1e-10)


def test_loading_copies_and_casts():
    p, q = tensor([1.0], requires_grad=True), rt.ones(1, requires_grad=True)
    one, two = rt.optim.Adam([p], lr=0.1), rt.optim.Adam([q], lr=0.2)
    p.grad = tensor([1.0])
    one.step()
    saved = one.state_dict()
    two.load_state_dict(saved)
    assert two.state[q]["exp_avg"].dtype == rt.float32
    assert two.param_groups[0]["lr"] == 0.1 and two.param_groups[0]["params"][0] is q
    again = rt.optim.Adam([p], lr=0.1)
    again.load_state_dict(saved)
    one.step()
    np.testing.assert_allclose(again.state[p]["exp_avg"].tolist(), [0.1])
    saved["param_groups"][0]["own"] = [1]
    again.load_state_dict(saved)
    again.param_groups[0]["own"].append(2)
    again.param_groups[0]["lr"] = 7.0
    assert saved["param_groups"][0]["own"] == [1] and saved["param_groups"][0]["lr"] == 0.1
    assert saved["param_groups"][0]["params"] == [0] and one.param_groups[0]["lr"] == 0.1


def test_step_counts_have_the_default_dtype():
    p = tensor([1.0], requires_grad=True)
    opt = rt.optim.Adam([p], lr=0.1)
    p.grad = tensor([1.0])
    opt.step()
    for default, kind in ((rt.float32, rt.float32), (rt.float64, rt.float64), (rt.float16, rt.float32)):
        rt.set_default_dtype(default)
        try:
            assert opt.state_dict()["state"][0]["step"].dtype is kind
        finally:
            rt.set_default_dtype(rt.float32)


def test_loading_what_does_not_fit():
    a, b, c = parameters()
    saved = rt.optim.SGD([a, b], lr=0.1).state_dict()
    with pytest.raises(ValueError, match=r"different number of parameter groups: expected 2, got 1"):
        rt.optim.SGD([{"params": [a]}, {"params": [b]}], lr=0.1).load_state_dict(saved)
    with pytest.raises(
        ValueError, match=r"doesn't match the size of optimizer's group: group 0 has 3 parameters, got 2"
    ):
        rt.optim.SGD([a, b, c], lr=0.1).load_state_dict(saved)


def test_loading_fills_in_options_that_are_missing():
    p = tensor([1.0], requires_grad=True)
    opt = rt.optim.AdamW([p], lr=0.1)
    saved = opt.state_dict()
    saved["param_groups"][0].pop("amsgrad")
    saved["param_groups"][0]["decoupled_weight_decay"] = False
    opt.load_state_dict(saved)
    assert opt.param_groups[0]["amsgrad"] is False
    assert opt.param_groups[0]["decoupled_weight_decay"] is True


def test_repr():
    text = repr(rt.optim.SGD(parameters(), lr=0.1))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n") and text.endswith("    weight_decay: 0\n)")


def test_step_hooks():
    p = rt.ones(1, requires_grad=True)
    opt = rt.optim.SGD([p], lr=0.1)
    seen = []
    handles = [
        opt.register_step_pre_hook(lambda o, args, kwargs: seen.append("pre")),
        opt.register_step_post_hook(lambda o, args, kwargs: seen.append("post")),
        register_optimizer_step_pre_hook(lambda o, args, kwargs: seen.append("global pre")),
        register_optimizer_step_post_hook(lambda o, args, kwargs: seen.append("global post")),
    ]
    opt.step()
    assert seen == ["global pre", "pre", "post", "global post"]
    for handle in handles:
        handle.remove()
        handle.remove()
    opt.step()
    assert len(seen) == 4


def test_step_hook_changes_arguments():
    p = rt.ones(1, requires_grad=True)
    opt = rt.optim.SGD([p], lr=0.1)
    with opt.register_step_pre_hook(lambda o, args, kwargs: ((lambda: 7.0,), {})):
        assert opt.step() == 7.0
    with (
        opt.register_step_pre_hook(lambda o, args, kwargs: 3),
        pytest.raises(RuntimeError, match="pre-hook must return"),
    ):
        opt.step()
    assert opt.step() is None


def test_state_dict_hooks():
    p = rt.ones(1, requires_grad=True)
    opt = rt.optim.SGD([p], lr=0.1)
    seen = []
    opt.register_state_dict_pre_hook(lambda o: seen.append("second"))
    opt.register_state_dict_pre_hook(lambda o: seen.append("first"), prepend=True)
    opt.register_state_dict_post_hook(lambda o, s: {**s, "extra": 1})
    opt.register_load_state_dict_pre_hook(lambda o, s: seen.append(s["extra"]))
    opt.register_load_state_dict_post_hook(lambda o: seen.append("loaded"))
    opt.load_state_dict(opt.state_dict())
    assert seen == ["first", "second", 1, "loaded"]


def test_own_optimizers():
    class Sign(rt.optim.Optimizer):
        def __init__(self, params, lr=0.1):
            super().__init__(params, {"lr": lr})

        def step(self, closure=None):
            """Goes by the sign."""
            with rt.no_grad():
                for group in self.param_groups:
                    for p in group["params"]:
                        p.add_(p.grad.sign(), alpha=-group["lr"])

    class Twice(Sign):
        def step(self, closure=None):
            super().step()
            super().step()

    p = tensor([1.0], requires_grad=True)
    p.grad = tensor([3.0])
    opt, seen = Twice([p], lr=0.25), []
    opt.register_step_post_hook(lambda o, args, kwargs: seen.append(1))
    opt.step()
    assert p.tolist() == [0.5] and seen == [1]
    assert Sign.step.__doc__ == "Goes by the sign."

    class Nothing(rt.optim.Optimizer):
        pass

    with pytest.raises(NotImplementedError, match="Nothing"):
        Nothing([p], {}).step()


def test_own_state_is_kept_as_it_is():
    """Also entries that other optimizers keep as numbers."""

    class Counting(rt.optim.Optimizer):
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    state = self.state[p]
                    state["step"] = state.get("step", 0) + 1
                    state["mean"] = rt.ones(2, dtype=rt.float64)

    p = rt.nn.Parameter(rt.ones(2))
    optimizer = Counting([p], {})
    optimizer.step()
    optimizer.step()
    state = optimizer.state_dict()["state"][0]
    assert state["step"] == 2 and type(state["step"]) is int
    optimizer.load_state_dict(optimizer.state_dict())
    assert optimizer.state[p]["step"] == 2 and type(optimizer.state[p]["step"]) is int
    assert optimizer.state[p]["mean"].dtype == rt.float32


def test_required_option():
    from rustorch.optim.optimizer import required

    p = tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="required optimization parameter lr"):
        rt.optim.Optimizer([p], {"lr": required})
    rt.optim.Optimizer([{"params": p, "lr": 1}], {"lr": required})
    assert repr(required) == "<required parameter>"


MESSAGES = [
    ("SGD", {"lr": -1}, "Invalid learning rate: -1"),
    ("SGD", {"lr": float("nan")}, "Invalid learning rate: nan"),
    ("SGD", {"momentum": -0.5}, "Invalid momentum value: -0.5"),
    ("SGD", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ("SGD", {"nesterov": True}, "Nesterov momentum requires a momentum and zero dampening"),
    ("SGD", {"differentiable": True}, "SGD: differentiable=True is not supported"),
    ("Adam", {"betas": (1.5, 0.9)}, "Invalid beta parameter at index 0: 1.5"),
    ("Adam", {"betas": [0.9, -0.1]}, "Invalid beta parameter at index 1: -0.1"),
    ("Adam", {"betas": [0.9]}, "Invalid betas: expected 2 values, got 1"),
    ("Adam", {"eps": -1e-8}, "Invalid epsilon value: -1e-08"),
    ("AdamW", {"weight_decay": -1}, "Invalid weight_decay value: -1"),
    ("RMSprop", {"alpha": -1}, "Invalid alpha value: -1"),
    ("Adagrad", {"lr_decay": -1}, "Invalid lr_decay value: -1"),
    ("Adagrad", {"initial_accumulator_value": -1}, "Invalid initial_accumulator_value value: -1"),
    ("Adadelta", {"rho": 1.5}, "Invalid rho value: 1.5"),
    ("NAdam", {"momentum_decay": -1}, "Invalid momentum_decay value: -1"),
    ("Rprop", {"etas": (1.5, 2)}, "Invalid eta values: 1.5, 2"),
    ("ASGD", {"lr": -1}, "Invalid learning rate: -1"),
    ("RAdam", {"lr": -2}, "Invalid learning rate: -2"),
    ("LBFGS", {"lr": -2}, "Invalid learning rate: -2"),
]


@pytest.mark.parametrize(("name", "options", "message"), MESSAGES, ids=[m[2] for m in MESSAGES])
def test_bad_options(name, options, message):
    with pytest.raises(rt.errors.RustorchError) as error:
        getattr(rt.optim, name)(parameters(), **options)
    assert str(error.value) == message and isinstance(error.value, ValueError)


def test_bad_types():
    with pytest.raises(TypeError, match="Invalid learning rate: expected a number, got str"):
        rt.optim.SGD(parameters(), lr="fast")
    with pytest.raises(ValueError, match=r"a tensor must have 1 element, got shape \[2\]"):
        rt.optim.SGD(parameters(), lr=rt.ones(2))
    with pytest.raises(RuntimeError, match="cannot be `True` together"):
        rt.optim.SGD(parameters(), lr=0.1, fused=True, foreach=True)


def test_bad_parameters():
    p = tensor([1.0], requires_grad=True)
    with pytest.raises(ValueError, match="empty parameter list"):
        rt.optim.SGD([], lr=0.1)
    with pytest.raises(TypeError, match="iterable of Tensors or dicts"):
        rt.optim.SGD(p, lr=0.1)
    with pytest.raises(TypeError, match="can only optimize Tensors, but one of the params is float"):
        rt.optim.SGD([p, 1.0], lr=0.1)
    with pytest.raises(TypeError, match="ordered collection"):
        rt.optim.SGD([{"params": {p}}], lr=0.1)
    with pytest.raises(ValueError, match="can't optimize a non-leaf Tensor"):
        rt.optim.SGD([p * 2], lr=0.1)
    with pytest.raises(ValueError, match="more than one parameter group"):
        rt.optim.SGD([{"params": [p]}, {"params": [p]}], lr=0.1)
    with pytest.raises(TypeError, match="param_group must be a dict"):
        rt.optim.SGD([p], lr=0.1).add_param_group([p])
    with pytest.warns(UserWarning, match="duplicate parameters"):
        rt.optim.SGD([p, p], lr=0.1)


def test_a_step_takes_the_collected_gradients_where_none_are_given():
    from rustorch import _ops

    with_grad, without = tensor([1.0, 2.0], requires_grad=True), tensor([3.0], requires_grad=True)
    (with_grad * tensor([10.0, 20.0])).sum().backward()
    version = with_grad.grad._version
    _ops.sgd_step([with_grad, without], [], [], 0.1)
    assert with_grad.tolist() == [0.0, 0.0] and without.tolist() == [3.0]
    assert with_grad.grad._version == version and with_grad._version == 1 and without._version == 0
    means = [rt.zeros(2), rt.zeros(1)]
    _ops.adam_step([with_grad, without], [], means, [rt.zeros(2), rt.zeros(1)], [], 0.5)
    assert [t.tolist() for t in means] == [pytest.approx([1.0, 2.0]), [0.0]]
    assert with_grad.tolist() == pytest.approx([-0.5, -0.5])
    given = tensor([1.0])
    _ops.sgd_step([without, with_grad], [given, None], [], 1.0)
    assert without.tolist() == [2.0] and with_grad.tolist() == pytest.approx([-10.5, -20.5])
    _ops.sgd_step([tensor([1.0])], [], [], 0.1)  # nothing to do


def test_averaged_weights():
    from rustorch.optim import swa_utils

    model = rt.nn.Sequential(rt.nn.Linear(1, 2), rt.nn.BatchNorm1d(2))
    mean = swa_utils.AveragedModel(model)
    decayed = swa_utils.AveragedModel(model, multi_avg_fn=swa_utils.get_ema_multi_avg_fn(0.5), use_buffers=True)
    for value in (1.0, 2.0, 6.0):
        model[0].weight.data.fill_(value)
        model[1].running_mean.fill_(value)
        for average in (mean, decayed):
            average.update_parameters(model)
    assert mean.module[0].weight.eq(3).all() and mean.n_averaged == 3 and mean.module[1].running_mean.eq(6).all()
    assert decayed.module[0].weight.eq(3.75).all() and decayed.module[1].running_mean.eq(3.75).all()
    x = rt.randn(64, 1)
    swa_utils.update_bn([x[:32], (x[32:],)], mean)
    expected = mean.module[0](x).view(2, 32, 2).mean(1).mean(0)
    assert rt.allclose(mean.module[1].running_mean, expected, atol=1e-5)
    assert mean(x).shape == (64, 2)
    opt = rt.optim.SGD(model.parameters(), lr=1.0)
    scheduler = swa_utils.SWALR(opt, 0.5, anneal_epochs=2, anneal_strategy="linear")
    rates = []
    for _ in range(3):
        opt.step()
        scheduler.step()
        rates += scheduler.get_last_lr()
    assert rates == pytest.approx([0.75, 0.5, 0.5])
    for wrong in (
        lambda: swa_utils.SWALR(opt, 0.1, anneal_strategy="bad"),
        lambda: swa_utils.SWALR(opt, 0.1, -1),
        lambda: swa_utils.get_ema_avg_fn(2.0),
    ):
        with pytest.raises(ValueError):
            wrong()


@pytest.mark.parametrize("name", CASES)
def test_options_that_an_old_state_lacks(name):
    """They come from the optimizer that loads it, also those that are zero or False."""
    make = getattr(rt.optim, name)
    saved = make(parameters()).state_dict()
    opt = make(parameters(), lr=0.25)
    for key in opt.defaults:
        state = copy.deepcopy(saved)
        del state["param_groups"][0][key]
        opt.load_state_dict(state)
        assert {*opt.param_groups[0]} == {"params", *opt.defaults}
        assert opt.param_groups[0][key] == opt.defaults[key]
        other = "lr" if key != "lr" else "maximize"
        assert opt.param_groups[0][other] == saved["param_groups"][0][other]


def test_nesterov_wants_momentum_without_dampening():
    for momentum, dampening in itertools.product((0, 0.9), (0, 0.1)):
        rt.optim.SGD(parameters(), momentum=momentum, dampening=dampening)
        if momentum and not dampening:
            rt.optim.SGD(parameters(), momentum=momentum, dampening=dampening, nesterov=True)
        else:
            with pytest.raises(ValueError, match="Nesterov"):
                rt.optim.SGD(parameters(), momentum=momentum, dampening=dampening, nesterov=True)


def test_gradients_that_record_are_emptied():
    """In place, and they record no longer."""
    for make in (lambda g: g, lambda g: g.requires_grad_(), lambda g: g.requires_grad_() * 1):
        p = tensor([1.0, 2.0], requires_grad=True)
        p.grad = make(tensor([3.0, 4.0]))
        before = p.grad
        rt.optim.SGD([p], lr=0.1).zero_grad(set_to_none=False)
        assert before.tolist() == p.grad.tolist() == [0, 0] and before.data_ptr() == p.grad.data_ptr()
        assert not p.grad.requires_grad and p.grad.grad_fn is None


def test_handles_of_hooks_may_be_used_again():
    for register in (
        register_optimizer_step_pre_hook,
        register_optimizer_step_post_hook,
        rt.optim.SGD(parameters(), lr=0.1).register_step_pre_hook,
        rt.nn.Linear(1, 1).register_forward_hook,
        rt.nn.modules.module.register_module_forward_hook,
    ):
        with register(lambda *_: None) as handle:
            handle.remove()
        handle.remove()
