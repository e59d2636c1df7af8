"""Distributions beside PyTorch's: samples, log-probabilities, moments, divergences, gradients, printing, errors."""

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402
import rustorch.distributions  # noqa: E402

LOC, SCALE = [0.5, -0.3, 2.0], [0.6, 1.2, 2.5]
LOGITS = [[0.1, -0.5, 2.0, 0.3], [1.0, 0.0, -1.0, 0.5]]
CASES = {
    "normal": lambda lib, d, p: d.Normal(p, lib.tensor(SCALE)),
    "normal of numbers": lambda lib, d, p: d.Normal(0.0, 1.0),
    "normal, broadcast": lambda lib, d, p: d.Normal(p, 2),
    "log-normal": lambda lib, d, p: d.LogNormal(p, lib.tensor(SCALE)),
    "laplace": lambda lib, d, p: d.Laplace(p, lib.tensor(SCALE)),
    "uniform": lambda lib, d, p: d.Uniform(p - 5, p),
    "exponential": lambda lib, d, p: d.Exponential(p.exp()),
    "bernoulli": lambda lib, d, p: d.Bernoulli(lib.tensor([0.1, 0.9])),
    "bernoulli by logits": lambda lib, d, p: d.Bernoulli(logits=p),
    "categorical": lambda lib, d, p: d.Categorical(lib.tensor([1.0, 2.0, 0.0, 3.0])),
    "categorical by logits": lambda lib, d, p: d.Categorical(logits=lib.tensor(LOGITS) + p[0]),
    "one-hot": lambda lib, d, p: d.OneHotCategorical(logits=lib.tensor(LOGITS) * p[0]),
    "independent": lambda lib, d, p: d.Independent(d.Normal(p, lib.tensor(SCALE)), 1),
}


def facts(lib, name):
    p = lib.tensor(LOC, requires_grad=True)
    d = CASES[name](lib, lib.distributions, p)
    lib.manual_seed(3)
    one, several = d.sample(), d.sample((5,))
    log_prob, entropy = d.log_prob(several), None
    values = {"one": one, "several": several, "log_prob": log_prob}
    shapes = [tuple(d.batch_shape), tuple(d.event_shape), d.has_rsample, one.requires_grad]
    values["entropy"] = entropy = d.entropy()
    for moment in ("mean", "variance", "stddev"):
        values[moment] = getattr(d, moment)
    total = log_prob.sum() + entropy.sum()
    if d.has_rsample:
        values["rsample"] = d.rsample((2,))
        total = total + values["rsample"].sum()
    if total.requires_grad:
        total.backward()
        values["grad"] = p.grad
    return shapes, str(d), {k: v.tolist() for k, v in values.items()}


@pytest.mark.parametrize("name", CASES)
def test_facts(name):
    (shapes, shown, ours), (their_shapes, their_shown, theirs) = facts(rt, name), facts(torch, name)
    assert shapes == their_shapes and list(ours) == list(theirs)
    assert shown.replace("rustorch.", "torch.") == their_shown
    for k in ours:
        a, b = torch.tensor(ours[k]), torch.tensor(theirs[k])
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-6, equal_nan=True, msg=lambda m, k=k: f"{k}: {m}")


@pytest.mark.parametrize(
    "name", ["normal", "laplace", "exponential", "bernoulli by logits", "categorical", "independent"]
)
def test_divergences(name):
    found = []
    for lib in (rt, torch):
        d = lib.distributions
        p = CASES[name](lib, d, lib.tensor(LOC))
        q = CASES[name](lib, d, lib.tensor(LOC) * 0.5 + 1)
        found.append([d.kl_divergence(p, q).tolist(), d.kl_divergence(p, p).tolist()])
    torch.testing.assert_close(torch.tensor(found[0]), torch.tensor(found[1]), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda lib, d: d.Normal(0.0, -1.0),
        lambda lib, d: d.Normal(lib.tensor(float("nan")), 1.0),
        lambda lib, d: d.Uniform(1.0, 0.0),
        lambda lib, d: d.Exponential(0.0),
        lambda lib, d: d.Bernoulli(lib.tensor(1.5)),
        lambda lib, d: d.Categorical(),
        lambda lib, d: d.Categorical(lib.tensor([-1.0, 2.0])),
        lambda lib, d: d.Categorical(lib.tensor(1.0)),
        lambda lib, d: d.Bernoulli(lib.tensor([0.5])).log_prob(lib.tensor([0.5])),
        lambda lib, d: d.Categorical(lib.tensor([1.0, 1.0])).log_prob(lib.tensor(7)),
        lambda lib, d: d.LogNormal(0.0, 1.0).log_prob(lib.tensor(-1.0)),
        lambda lib, d: d.Independent(d.Normal(0.0, 1.0), 2),
    ],
)
def test_what_is_outside_is_refused(wrong):
    for lib in (rt, torch):
        with pytest.raises(ValueError):
            wrong(lib, lib.distributions)


def test_what_is_not_there_says_so():
    d = rt.distributions
    with pytest.raises(NotImplementedError, match="Bernoulli has no rsample"):
        d.Bernoulli(0.5).rsample()
    with pytest.raises(NotImplementedError, match="no formula for Normal and Uniform"):
        d.kl_divergence(d.Normal(0.0, 1.0), d.Uniform(0.0, 1.0))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = d.Categorical(rt.ones(2)).nothing
    n = d.Normal(rt.tensor(LOC), 2.0)
    torch.testing.assert_close(n.icdf(n.cdf(rt.tensor(SCALE))).tolist(), SCALE, rtol=1e-5, atol=1e-5)


def test_distributions_are_found_where_pytorch_has_them():
    from rustorch.distributions.categorical import Categorical
    from rustorch.distributions.normal import Normal

    assert Normal is rt.distributions.Normal and rt.distributions.categorical.Categorical is Categorical
