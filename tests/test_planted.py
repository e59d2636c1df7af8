"""What small faults have shown to be untested: planted into the library, no other test noticed them.

Hooks of modules (global ones first, each sees what the one before has made), names of their parts, several
parametrisations of one tensor, options that layers pass on, parameters as a vector; options of parameter groups, state
dicts, how often L-BFGS asks for the loss; rates of epochs that are jumped to, states of schedulers; who draws what in
loaders, samplers for more processes than samples, daemons.
"""

import copy
import inspect
import math

import pytest

import rustorch as rt
from rustorch import nn
from rustorch.nn.modules import module as hooks

# ---- hooks of modules ----


@pytest.mark.parametrize("prepend", [False, True])
def test_global_hooks_come_before_those_of_a_module(prepend):
    net, called = nn.Linear(1, 1), []

    def note(name, result=None):
        def hook(module, *rest):
            called.append((name, rest))
            return result

        return hook

    def names():
        return [name for name, _ in called]

    kinds = ("forward_pre_hook", "forward_hook", "full_backward_pre_hook", "full_backward_hook")
    handles = []
    for kind in kinds:
        handles.append(getattr(net, f"register_{kind}")(note(f"own {kind}"), prepend=prepend))
        handles.append(getattr(hooks, f"register_module_{kind}")(note(f"global {kind}")))
    try:
        net(rt.ones(1, 1, requires_grad=True)).sum().backward()
    finally:
        for handle in handles:
            handle.remove()
    assert names() == [f"{whose} {kind}" for kind in kinds for whose in ("global", "own")]
    called.clear()
    net(rt.ones(1, 1)).sum().backward()
    assert called == []


def test_a_hook_gets_what_the_global_one_has_made():
    net = nn.Identity()
    handles = [
        net.register_forward_pre_hook(lambda m, args: (args[0] * 10,)),
        hooks.register_module_forward_pre_hook(lambda m, args: (args[0] + 1,)),
        net.register_forward_hook(lambda m, args, out: out * 2),
        hooks.register_module_forward_hook(lambda m, args, out: out - 5),
    ]
    try:
        # (2 + 1) * 10, then (30 - 5) * 2
        assert net(rt.tensor(2.0)).item() == 50
    finally:
        for handle in handles:
            handle.remove()
    assert net(rt.tensor(2.0)).item() == 2


@pytest.mark.parametrize("own_first", [False, True])
def test_hooks_that_always_run_have_the_same_order(own_first):
    class Broken(nn.Module):
        def forward(self, x):
            raise ValueError("broken")

    net, called = Broken(), []
    register = [
        lambda: hooks.register_module_forward_hook(lambda m, a, out: called.append(("global", out)), always_call=True),
        lambda: net.register_forward_hook(lambda m, a, out: called.append(("own", out)), always_call=True),
        lambda: net.register_forward_hook(lambda m, a, out: called.append(("never", out))),
    ]
    handles = [r() for r in (reversed(register) if own_first else register)]
    try:
        with pytest.raises(ValueError, match="broken"):
            net(rt.ones(1))
    finally:
        for handle in handles:
            handle.remove()
    assert called == [("global", None), ("own", None)]


# ---- backward hooks of modules ----


def test_backward_hooks_see_what_those_before_them_return():
    net, seen = nn.Linear(1, 1, bias=False), []
    with rt.no_grad():
        net.weight.fill_(3.0)

    def before(name, factor):
        def hook(module, grads):
            seen.append((name, grads[0].item()))
            return (grads[0] * factor,)

        return hook

    def after(name, factor):
        def hook(module, grads, outputs):
            seen.append((name, grads[0].item(), outputs[0].item()))
            return None if factor is None else (grads[0] * factor,)

        return hook

    net.register_full_backward_pre_hook(before("p1", 2.0))
    net.register_full_backward_pre_hook(before("p2", 5.0))
    net.register_full_backward_hook(after("h1", 7.0))
    net.register_full_backward_hook(after("h2", None))
    net.register_full_backward_hook(after("h3", 11.0))
    handle = hooks.register_module_full_backward_hook(after("global", 13.0))
    try:
        x = rt.ones(1, 1, requires_grad=True)
        net(x).sum().backward()
    finally:
        handle.remove()
    # 1, 1 * 2, then 2 * 5 comes to the output; 10 * 3 goes to the input.
    want = [("p1", 1.0), ("p2", 2.0), ("global", 30.0, 10.0), ("h1", 390.0, 10.0), ("h2", 2730.0, 10.0)]
    assert seen == [*want, ("h3", 2730.0, 10.0)]
    assert x.grad.item() == 2730 * 11
    assert net.weight.grad.item() == 10


# ---- L-BFGS ----


def valley(**options):
    """An optimizer of a function that is far from its minimum for long, and a closure that counts its calls."""
    x = rt.tensor([-1.5, 2.0], dtype=rt.float64, requires_grad=True)
    opt, losses = rt.optim.LBFGS([x], **options), []

    def closure():
        opt.zero_grad()
        loss = (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2
        loss.backward()
        losses.append(loss.item())
        return loss

    return x, opt, closure, losses


@pytest.mark.parametrize("max_iter", [1, 2, 5])
def test_lbfgs_without_a_search_asks_once_an_iteration(max_iter):
    x, opt, closure, losses = valley(lr=0.01, max_iter=max_iter, max_eval=100)
    for steps in (1, 2, 3):
        before = x.tolist()
        first = opt.step(closure)
        # The loss at the start, and one after each iteration but the last: nobody would look at that.
        assert len(losses) == steps * max_iter
        assert first.item() == losses[-max_iter]
        assert x.tolist() != before
        state = opt.state[x]
        assert (state["n_iter"], state["func_evals"]) == (steps * max_iter, steps * max_iter)


@pytest.mark.parametrize("max_eval", [1, 2, 4])
def test_lbfgs_keeps_to_its_number_of_evaluations(max_eval):
    x, opt, closure, losses = valley(lr=0.01, max_iter=50, max_eval=max_eval)
    opt.step(closure)
    # The number is looked at after an iteration, which has evaluated once.
    assert len(losses) == max(max_eval, 2)
    assert opt.state[x]["n_iter"] == len(losses) - 1


def test_lbfgs_evaluates_once_where_there_is_no_slope():
    x = rt.zeros(2, requires_grad=True)
    opt, calls = rt.optim.LBFGS([x]), []

    def closure():
        opt.zero_grad()
        calls.append(1)
        loss = (x * x).sum()
        loss.backward()
        return loss

    assert opt.step(closure).item() == 0
    assert len(calls) == 1 and x.tolist() == [0, 0]


# ---- options of parameter groups ----

GRADS = [[3.0, -0.2, 0.5], [0.1, -0.3, -2.0], [-0.2, -0.1, 1.5], [0.4, 2.5, 0.3]] * 2
BETAS = {"betas": (0.5, 0.7), "eps": 0.3}
COMMON = {"lr": 0.25, "weight_decay": 0.3, "maximize": True}
OPTIONS = {  # options that all groups share, and others that one of them may have
    "SGD": ({"momentum": 0.9}, {**COMMON, "momentum": 0.4, "dampening": 0.3, "nesterov": True}),
    "Adam": (
        {"weight_decay": 0.1, "betas": (0.9, 0.6)},
        {**COMMON, **BETAS, "amsgrad": True, "decoupled_weight_decay": True},
    ),
    "AdamW": ({"betas": (0.9, 0.6)}, {**COMMON, **BETAS, "amsgrad": True}),
    "RMSprop": ({"momentum": 0.5}, {**COMMON, "alpha": 0.6, "eps": 0.2, "momentum": 0.8, "centered": True}),
    "Adagrad": ({}, {**COMMON, "lr_decay": 0.2, "eps": 0.3}),
    "Adadelta": ({}, {**COMMON, "rho": 0.5, "eps": 0.1}),
    "Adamax": ({}, {**COMMON, **BETAS}),
    "NAdam": ({"weight_decay": 0.1}, {**COMMON, **BETAS, "momentum_decay": 0.3, "decoupled_weight_decay": True}),
    "RAdam": ({"weight_decay": 0.1}, {**COMMON, **BETAS, "decoupled_weight_decay": True}),
    "Rprop": ({}, {"lr": 0.25, "maximize": True, "etas": (0.3, 1.5), "step_sizes": (0.05, 0.12)}),
    "ASGD": ({"lambd": 0.1}, {**COMMON, "lambd": 0.4, "alpha": 0.5, "t0": 1.0}),
}


def start():
    return rt.tensor([1.0, -2.0, 0.5], dtype=rt.float64, requires_grad=True)


def run(opt):
    """Steps with the same gradients for all parameters; gives parameters and what an average of them has become."""
    params = [p for group in opt.param_groups for p in group["params"]]
    for grad in GRADS:
        for p in params:
            p.grad = rt.tensor(grad, dtype=rt.float64)
        opt.step()
    return [p.tolist() + (opt.state[p]["ax"].tolist() if "ax" in opt.state[p] else []) for p in params]


@pytest.mark.parametrize(("name", "option"), [(name, option) for name in OPTIONS for option in OPTIONS[name][1]])
def test_a_group_has_its_own_options(name, option):
    cls, (shared, others) = getattr(rt.optim, name), OPTIONS[name]
    base, other = {"lr": 0.1, **shared}, {option: others[option]}
    ((plain,), (changed,)) = run(cls([start()], **base)), run(cls([start()], **{**base, **other}))
    assert plain != pytest.approx(changed)
    # The group that has it comes first or last; the default has it and a group has not; it is set later.
    assert run(cls([{"params": [start()]}, {"params": [start()], **other}], **base)) == [
        pytest.approx(plain),
        pytest.approx(changed),
    ]
    usual = cls([start()], **base).param_groups[0][option]
    assert run(cls([{"params": [start()], option: usual}, {"params": [start()]}], **{**base, **other})) == [
        pytest.approx(plain),
        pytest.approx(changed),
    ]
    opt = cls([start()], **base)
    opt.param_groups[0].update(other)
    assert run(opt) == [pytest.approx(changed)]
    opt = cls([start()], **base)
    opt.add_param_group({"params": start(), **other})
    assert run(opt) == [pytest.approx(plain), pytest.approx(changed)]


def test_every_option_has_been_a_group_s_own():
    elsewhere = {"foreach", "fused", "capturable", "differentiable", "params", "self", "initial_accumulator_value"}
    for name, (_, others) in OPTIONS.items():
        assert set(inspect.signature(getattr(rt.optim, name).__init__).parameters) - elsewhere == set(others), name


# ---- state dicts of optimizers ----

STATES = {
    "SGD": {"momentum_buffer"},
    "Adam": {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
    "AdamW": {"step", "exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
    "RMSprop": {"step", "square_avg", "momentum_buffer", "grad_avg"},
    "Adagrad": {"step", "sum"},
    "Adadelta": {"step", "square_avg", "acc_delta"},
    "Adamax": {"step", "exp_avg", "exp_inf"},
    "NAdam": {"step", "exp_avg", "exp_avg_sq", "mu_product"},
    "RAdam": {"step", "exp_avg", "exp_avg_sq"},
    "Rprop": {"step", "prev", "step_size"},
    "ASGD": {"step", "ax", "eta", "mu"},
}


@pytest.mark.parametrize("name", STATES)
def test_states_hold_tensors_and_only_tensors(name):
    options = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9, "centered": True}}.get(name, {})
    options |= {"amsgrad": True} if name in ("Adam", "AdamW") else {}
    p = start()
    opt = getattr(rt.optim, name)([p], lr=0.1, **options)
    for grad in GRADS[:3]:
        p.grad = rt.tensor(grad, dtype=rt.float64)
        opt.step()
    (state,) = opt.state_dict()["state"].values()
    assert set(state) == STATES[name]
    scalars = {"step", "mu_product", "eta", "mu"}
    for key, value in state.items():
        assert isinstance(value, rt.Tensor), key
        assert tuple(value.shape) == (() if key in scalars else (3,)), key
        assert value.dtype == (rt.float32 if key in scalars else rt.float64), key
    if "step" in state:
        assert state["step"].item() == 3
    # It goes on from there as if nothing had happened.
    copied = p.detach().clone().requires_grad_()
    other = getattr(rt.optim, name)([copied], lr=0.7)
    other.load_state_dict(copy.deepcopy(opt.state_dict()))
    for grad in GRADS[3:]:
        for q, o in ((p, opt), (copied, other)):
            q.grad = rt.tensor(grad, dtype=rt.float64)
            o.step()
    assert copied.tolist() == pytest.approx(p.tolist(), rel=1e-6)


# ---- schedulers ----


def cosine(part):
    return 0.1 + 0.9 * (1 + math.cos(math.pi * part)) / 2


def restarted(epoch):
    length = 2
    while epoch >= length:
        epoch, length = epoch - length, 2 * length
    return cosine(epoch / length)


# Options, and the rate of an epoch where the base rate is 1 (eta_min is the same for all groups).
SCHEDULES = {
    "StepLR": ({"step_size": 3, "gamma": 0.5}, lambda e: 0.5 ** (e // 3)),
    "MultiStepLR": ({"milestones": [2, 5, 5], "gamma": 0.5}, lambda e: 0.5 ** ((e >= 2) + 2 * (e >= 5))),
    "ConstantLR": ({"factor": 0.25, "total_iters": 4}, lambda e: 0.25 if e < 4 else 1.0),
    "LinearLR": (
        {"start_factor": 0.25, "end_factor": 0.75, "total_iters": 4},
        lambda e: 0.25 + 0.5 * min(e, 4) / 4,
    ),
    "ExponentialLR": ({"gamma": 0.8}, lambda e: 0.8**e),
    "PolynomialLR": ({"total_iters": 5, "power": 2.0}, lambda e: (1 - min(e, 5) / 5) ** 2),
    "CosineAnnealingLR": ({"T_max": 4, "eta_min": 0.1}, lambda e: cosine(e / 4)),
    "CosineAnnealingWarmRestarts": ({"T_0": 2, "T_mult": 2, "eta_min": 0.1}, restarted),
    "LambdaLR": ({"lr_lambda": lambda e: 1 / (1 + e)}, lambda e: 1 / (1 + e)),
}


def scheduled(name):
    opt = rt.optim.SGD([start()], lr=1.0)
    opt.step()
    return opt, getattr(rt.optim.lr_scheduler, name)(opt, **SCHEDULES[name][0])


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.filterwarnings("ignore:The epoch parameter")
def test_the_rate_of_an_epoch_is_the_same_on_every_way_to_it(name):
    rate = SCHEDULES[name][1]
    opt, walking = scheduled(name)
    for epoch in range(14):
        assert walking.get_last_lr() == [opt.param_groups[0]["lr"]] == [pytest.approx(rate(epoch))], epoch
        walking.step()
    opt, jumping = scheduled(name)
    for epoch in (3, 4, 5, 13, 1, 0, 12, 2, 7, 6, 4):  # past the end, and back
        jumping.step(epoch)
        assert jumping.get_last_lr() == [opt.param_groups[0]["lr"]] == [pytest.approx(rate(epoch))], epoch
        assert jumping.last_epoch == epoch


def plain(value):
    """True of what a file can hold."""
    if isinstance(value, dict):
        return all(map(plain, value)) and all(map(plain, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(plain, value))
    return value is None or isinstance(value, (bool, int, float, str))


def with_momentum(lr=1.0):
    opt = rt.optim.SGD([start()], lr=lr, momentum=0.9)
    opt.step()
    return opt


CYCLES = {
    "CyclicLR": {"base_lr": 0.1, "max_lr": 1.0, "step_size_up": 3, "scale_fn": lambda x: 1 / x},
    "OneCycleLR": {"max_lr": 1.0, "total_steps": 20},
    "MultiplicativeLR": {"lr_lambda": lambda e: 0.9},
    "ReduceLROnPlateau": {},
}


@pytest.mark.parametrize("name", [*SCHEDULES, *CYCLES])
def test_states_of_schedulers_are_plain_values(name):
    options = CYCLES[name] if name in CYCLES else SCHEDULES[name][0]

    def made():
        return getattr(rt.optim.lr_scheduler, name)(with_momentum(), **options)

    scheduler = made()
    metrics = (1.0,) if name == "ReduceLROnPlateau" else ()
    scheduler.step(*metrics)
    scheduler.step(*metrics)
    state = scheduler.state_dict()
    assert "optimizer" not in state and state["last_epoch"] == 2
    assert plain(state)
    other = made()
    other.load_state_dict(state)
    other.optimizer.load_state_dict(scheduler.optimizer.state_dict())
    scheduler.step(*metrics)
    other.step(*metrics)
    assert other.get_last_lr() == scheduler.get_last_lr() and other.last_epoch == 3


def test_a_cycle_keeps_the_function_that_it_was_made_with():
    def made(scale):
        return rt.optim.lr_scheduler.CyclicLR(
            with_momentum(), 0.0, 1.0, step_size_up=2, scale_fn=scale, scale_mode="iterations", cycle_momentum=False
        )

    one, two = made(lambda x: 1.0), made(lambda x: 0.5)
    one.step()
    two.load_state_dict(one.state_dict())
    one.step()
    two.step()
    assert one.get_last_lr() == [1.0] and two.get_last_lr() == [0.5]


# ---- options that a layer passes on ----

SMALL = {"d_model": 4, "nhead": 2, "dim_feedforward": 6}


def transformers(**options):
    both = {**SMALL, **options}
    yield nn.TransformerEncoderLayer(**both)
    yield nn.TransformerDecoderLayer(**both)
    yield nn.Transformer(**both, num_encoder_layers=2, num_decoder_layers=2)


def test_transformers_without_bias_have_none_at_all():
    for with_bias, without in zip(transformers(), transformers(bias=False)):
        weights = {name for name, _ in with_bias.named_parameters() if not name.endswith("bias")}
        biases = {name for name, _ in with_bias.named_parameters()} - weights
        assert {name for name, _ in without.named_parameters()} == weights
        norms = [m for m in without.modules() if isinstance(m, nn.LayerNorm)]
        linears = [m for m in without.modules() if isinstance(m, nn.Linear)]
        assert norms and all(m.bias is None for m in (*norms, *linears))
        attentions = [m for m in without.modules() if isinstance(m, nn.MultiheadAttention)]
        assert len(biases) == len(norms) + len(linears) + len(attentions)


def test_every_part_of_a_transformer_gets_its_options():
    options = {"dropout": 0.25, "layer_norm_eps": 0.5, "batch_first": True, "norm_first": True, "activation": "gelu"}
    for net in transformers(**options, dtype=rt.float64):
        parts = list(net.modules())
        assert {m.eps for m in parts if isinstance(m, nn.LayerNorm)} == {0.5}
        assert {m.p for m in parts if isinstance(m, nn.Dropout)} == {0.25}
        attentions = [m for m in parts if isinstance(m, nn.MultiheadAttention)]
        assert {(m.dropout, m.batch_first, m.num_heads, m.embed_dim) for m in attentions} == {(0.25, True, 2, 4)}
        layers = [m for m in parts if isinstance(m, (nn.TransformerEncoderLayer, nn.TransformerDecoderLayer))]
        assert {(m.norm_first, m.activation) for m in layers} == {(True, nn.functional.gelu)}
        assert {(m.linear1.in_features, m.linear1.out_features, m.linear2.out_features) for m in layers} == {(4, 6, 4)}
        assert {p.dtype for p in net.parameters()} == {rt.float64}


# ---- parameters as a vector ----


def test_parameters_look_into_the_vector_that_they_are_set_from():
    net = nn.Linear(2, 3)
    vector = rt.arange(9.0)
    nn.utils.vector_to_parameters(vector, net.parameters())
    assert net.weight.tolist() == [[0, 1], [2, 3], [4, 5]] and net.bias.tolist() == [6, 7, 8]
    vector[1] = 10
    vector[8] = 20
    assert net.weight[0, 1].item() == 10 and net.bias[2].item() == 20
    with rt.no_grad():
        net.bias.mul_(2)
    assert vector.tolist() == [0, 10, 2, 3, 4, 5, 12, 14, 40]
    assert all(p.requires_grad and p.is_leaf for p in net.parameters())
    # The other way is a copy, with a history.
    made = nn.utils.parameters_to_vector(net.parameters())
    assert made.tolist() == vector.tolist()
    (made * vector).sum().backward()
    assert net.weight.grad.tolist() == [[0, 10], [2, 3], [4, 5]] and net.bias.grad.tolist() == [12, 14, 40]
    with rt.no_grad():
        made.zero_()
    assert net.bias.tolist() == [12, 14, 40]


# ---- splitting a dataset over processes ----


@pytest.mark.parametrize("replicas", [1, 2, 3, 7, 20])
@pytest.mark.parametrize("shuffle", [False, True])
def test_all_processes_get_as_many_samples_however_few_there_are(replicas, shuffle):
    sampler = rt.utils.data.DistributedSampler
    for n in (1, 2, 3, 6, 7, 13):

        def parts(drop_last, epoch=0, n=n):
            found = [sampler(range(n), replicas, rank, shuffle, 5, drop_last) for rank in range(replicas)]
            for part in found:
                part.set_epoch(epoch)
            assert [len(list(part)) for part in found] == [len(part) for part in found]
            return [list(part) for part in found]

        order = list(range(n))
        if shuffle:
            order = rt.randperm(n, generator=rt.Generator().manual_seed(5 + 2)).tolist()
        each = math.ceil(n / replicas)
        # The order from its beginning again, as often as it takes; dealt out like cards.
        dealt = [order[i % n] for i in range(each * replicas)]
        assert parts(False, 2) == [dealt[rank::replicas] for rank in range(replicas)]
        each = n // replicas
        assert parts(True, 2) == [order[: each * replicas][rank::replicas] for rank in range(replicas)]


class Shuffled:
    """A sampler that draws its order as soon as it is asked for it."""

    def __init__(self, n):
        self.n = n

    def __iter__(self):
        return iter(rt.randperm(self.n).tolist())

    def __len__(self):
        return self.n


def drawn(generator=None):
    """A seed, as the loaders draw it."""
    return rt.empty((), dtype=rt.int64).random_(generator=generator).item()


def test_the_sampler_draws_before_the_loader_does():
    loader = rt.utils.data.DataLoader(list(range(10)), sampler=Shuffled(10), batch_size=None)
    rt.manual_seed(3)
    got, after = list(loader), rt.rand(2).tolist()
    rt.manual_seed(3)
    assert got == rt.randperm(10).tolist()
    drawn()
    assert after == rt.rand(2).tolist()


def test_a_loader_s_own_sampler_draws_with_the_first_batch():
    loader = rt.utils.data.DataLoader(list(range(10)), shuffle=True, batch_size=4)
    rt.manual_seed(3)
    got, after = [i for batch in loader for i in batch.tolist()], rt.rand(2).tolist()
    rt.manual_seed(3)
    drawn()
    generator = rt.Generator().manual_seed(drawn())
    assert got == rt.randperm(10, generator=generator).tolist()
    assert after == rt.rand(2).tolist()


def test_a_loader_with_a_generator_leaves_the_default_one_alone():
    generator = rt.Generator().manual_seed(4)
    loader = rt.utils.data.DataLoader(list(range(10)), shuffle=True, batch_size=None, generator=generator)
    before = rt.get_rng_state().tolist()
    got = [list(loader), list(loader)]
    assert rt.get_rng_state().tolist() == before
    same, want = rt.Generator().manual_seed(4), []
    for _ in got:
        drawn(same)
        want.append(rt.randperm(10, generator=same).tolist())
        rt.randperm(10, generator=same)  # one more, of which nothing is needed
    assert got == want


class Seeds:
    def __len__(self):
        return 3

    def __getitem__(self, i):
        info = rt.utils.data.get_worker_info()
        return [i, info.id, info.seed]


def test_the_seed_of_workers_comes_after_the_order():
    # The sampler is asked once for the iterator and once for its first epoch.
    loader = rt.utils.data.DataLoader(
        Seeds(), sampler=Shuffled(3), batch_size=None, num_workers=1, multiprocessing_context="fork"
    )
    rt.manual_seed(3)
    got = list(loader)
    rt.manual_seed(3)
    rt.randperm(3)
    seed = drawn()
    assert got == [[i, 0, seed] for i in rt.randperm(3).tolist()]


# ---- processes ----


def nothing(i):
    pass


@pytest.mark.parametrize("daemon", [False, True])
def test_spawned_processes_are_daemons_if_so_wanted(daemon):
    processes = rt.multiprocessing.spawn(nothing, nprocs=2, join=False, daemon=daemon, start_method="fork")
    try:
        assert [p.daemon for p in processes] == [daemon] * 2
    finally:
        for p in processes:
            p.join()
    assert [p.exitcode for p in processes] == [0, 0]


# ---- one name for one thing ----

KINDS = {
    "parameter": lambda m: setattr(m, "x", nn.Parameter(rt.zeros(1))),
    "no parameter": lambda m: m.register_parameter("x", None),
    "buffer": lambda m: m.register_buffer("x", rt.zeros(1)),
    "passing buffer": lambda m: m.register_buffer("x", rt.zeros(1), persistent=False),
    "module": lambda m: setattr(m, "x", nn.Linear(1, 1)),
    "attribute": lambda m: setattr(m, "x", 5),
}


TAKEN = [("parameter", old) for old in KINDS] + [("module", old) for old in KINDS if "parameter" not in old]


@pytest.mark.parametrize(("new", "old"), TAKEN)
def test_an_assigned_part_takes_the_place_of_what_had_its_name(new, old):
    net = nn.Module()
    KINDS[old](net)
    part = nn.Parameter(rt.ones(2)) if new == "parameter" else nn.Linear(2, 2, bias=False)
    net.x = part
    assert net.x is part and "x" not in vars(net)
    assert [name for name, _ in net.named_parameters()] == ["x" if new == "parameter" else "x.weight"]
    assert list(net.buffers()) == []
    assert [name for name, _ in net.named_children()] == ([] if new == "parameter" else ["x"])
    assert list(net.state_dict()) == ["x" if new == "parameter" else "x.weight"]
    # What was said about the old one is not remembered either.
    del net.x
    assert not hasattr(net, "x") and list(net.state_dict()) == []
    net.register_buffer("x", rt.zeros(1))
    assert list(net.state_dict()) == ["x"]


# ---- several parametrisations of one tensor ----


class Step(nn.Module):
    def __init__(self, forward, inverse=None):
        super().__init__()
        self.forward = forward
        if inverse is not None:
            self.right_inverse = inverse


def test_inverses_of_parametrisations_run_backwards():
    parametrize = nn.utils.parametrize
    net = nn.Linear(1, 2, bias=False)
    parametrize.register_parametrization(net, "weight", Step(lambda x: 2 * x, lambda x: x / 2))
    parametrize.register_parametrization(net, "weight", Step(lambda x: x + 3, lambda x: x - 3))
    parametrize.register_parametrization(net, "weight", Step(lambda x: -x, lambda x: -x))
    net.weight = rt.tensor([[5.0], [-7.0]])
    # -(2 x + 3), so x = (-w - 3) / 2
    assert net.parametrizations.weight.original.tolist() == [[-4], [2]]
    assert net.weight.tolist() == [[5], [-7]]
    steps = [Step(lambda x: 2 * x, lambda x: x / 2), Step(lambda x: x + 3, lambda x: x - 3)]
    both = parametrize.ParametrizationList(steps, nn.Parameter(rt.tensor([9.0])))
    assert both.original.tolist() == [3] and both().tolist() == [9]


# ---- the rest ----


@pytest.mark.parametrize("name", ["CyclicLR", "OneCycleLR"])
def test_cycles_of_momentum_move_the_first_beta_alone(name):
    opt = rt.optim.Adam([{"params": [start()]}, {"params": [start()], "betas": (0.2, 0.7)}], betas=(0.1, 0.5))
    opt.step()
    momentum = {"base_momentum": [0.8, 0.4], "max_momentum": [0.9, 0.6]}
    if name == "CyclicLR":
        scheduler = rt.optim.lr_scheduler.CyclicLR(opt, 0.1, 1.0, step_size_up=2, step_size_down=4, **momentum)
        heights = [0, 1 / 2, 1, 3 / 4, 1 / 2, 1 / 4, 0, 1 / 2]
        rates = [0.1 + 0.9 * h for h in heights]
    else:
        scheduler = rt.optim.lr_scheduler.OneCycleLR(
            opt, 1.0, total_steps=6, pct_start=0.5, anneal_strategy="linear", div_factor=4, **momentum
        )
        heights = [0, 1 / 2, 1, 2 / 3, 1 / 3, 0]
        last = 0.25 / 1e4
        rates = [0.25, 0.625, 1.0, 1 - (1 - last) / 3, 1 - (1 - last) * 2 / 3, last]
    for step, (height, rate) in enumerate(zip(heights, rates), 1):
        assert [group["betas"] for group in opt.param_groups] == [
            (pytest.approx(0.9 - 0.1 * height), 0.5),
            (pytest.approx(0.6 - 0.2 * height), 0.7),
        ]
        assert scheduler.get_last_lr() == [pytest.approx(rate)] * 2
        if step < len(rates):
            scheduler.step()


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
@pytest.mark.filterwarnings("ignore:.*is deprecated")
def test_a_norm_leaves_the_weight_that_was_used_last(norm):
    rt.manual_seed(0)
    net = nn.Linear(4, 3)
    was = {name: p.tolist() for name, p in net.named_parameters()}
    getattr(nn.utils, norm)(net)
    assert set(net.state_dict()) > {"bias"} and "weight" not in net.state_dict()
    net(rt.ones(1, 4))
    net.eval()
    net(rt.ones(1, 4))
    used = net.weight.tolist()
    vectors = {name: b.tolist() for name, b in net.named_buffers()}
    net.train()
    getattr(nn.utils, f"remove_{norm}")(net)
    assert net.weight.tolist() == [pytest.approx(row, rel=1e-6) for row in used]
    if norm == "spectral_norm":  # one step of power iteration has not come to its end
        u, v = (rt.tensor(vectors[f"weight_{name}"]) for name in "uv")
        sigma = u.dot(rt.tensor(was["weight"]).mv(v)).item()
        assert used == [pytest.approx([w / sigma for w in row], rel=1e-5) for row in was["weight"]]
        # The singular value itself is larger.
        assert sigma < rt.linalg.svdvals(rt.tensor(was["weight"]))[0].item() * (1 - 1e-6)
    assert [name for name, _ in net.named_parameters()] == ["bias", "weight"] and list(net.buffers()) == []
    assert net.bias.tolist() == was["bias"] and isinstance(net.weight, nn.Parameter) and net.weight.requires_grad
    net(rt.ones(1, 4)).sum().backward()
    assert net.weight.grad.tolist() == [[1] * 4] * 3


def test_a_product_can_be_differentiated_by_its_vector():
    x = rt.tensor([3.0, -2.0])
    value, product = rt.func.vjp(lambda t: t**3, x)
    assert not value.requires_grad
    v = rt.tensor([1.0, 10.0], requires_grad=True)
    (g,) = product(v)
    assert g.tolist() == [27, 120] and g.requires_grad
    g.sum().backward()
    assert v.grad.tolist() == [27, 12]
    (g,) = product(v.detach())
    assert g.tolist() == [27, 120] and not g.requires_grad
    with rt.no_grad():
        (g,) = product(v)
    assert g.tolist() == [27, 120] and not g.requires_grad


@pytest.mark.parametrize("recurse", [False, True])
def test_fresh_memory_goes_as_deep_as_was_asked(recurse):
    net = nn.BatchNorm1d(2)
    net.part = nn.Linear(2, 3)
    net.part.deeper = nn.Linear(1, 1)
    parts, places = dict(net.named_parameters()), {k: t.data_ptr() for k, t in net.state_dict().items()}
    shapes = {k: (tuple(t.shape), t.dtype) for k, t in net.state_dict().items()}
    assert net.to_empty(device="cpu", recurse=recurse) is net
    moved = {k for k, t in net.state_dict().items() if t.data_ptr() != places[k]}
    assert moved == {k for k in places if recurse or "part" not in k}
    assert {k: (tuple(t.shape), t.dtype) for k, t in net.state_dict().items()} == shapes
    assert all(p is parts[name] and p.requires_grad for name, p in net.named_parameters())


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.filterwarnings("ignore:Using backward")
def test_gradients_with_a_history_become_zeros_without_one(recorded):
    net = nn.Linear(2, 2, bias=False)
    net.unused = nn.Parameter(rt.ones(1))
    (net(rt.ones(1, 2)) ** 2).sum().backward(create_graph=recorded)
    grad = net.weight.grad
    assert grad.requires_grad is recorded and any(v != 0 for row in grad.tolist() for v in row)
    net.zero_grad(set_to_none=False)
    now = net.weight.grad
    assert now.tolist() == [[0, 0], [0, 0]] and now.data_ptr() == grad.data_ptr()
    assert not now.requires_grad and now.grad_fn is None and net.unused.grad is None
    net(rt.ones(1, 2)).sum().backward()
    assert net.weight.grad.tolist() == [[1, 1], [1, 1]] and not net.weight.grad.requires_grad
    net.zero_grad()
    assert net.weight.grad is None
