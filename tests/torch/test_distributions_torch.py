"""Distributions beside PyTorch's: samples, log-probabilities, moments, quantiles, divergences, gradients, errors."""

from __future__ import annotations

import copy
import math
import pickle
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402
import rustorch.distributions  # noqa: E402

LOC, SCALE, SHAPE = [0.5, -0.3, 2.0], [0.6, 1.2, 2.5], [0.4, 2.5, 7.0]
ROWS = [[0.1, -0.5, 2.0, 0.3], [1.0, 0.0, -1.0, 0.5]]
WEIGHTS = [[0.1, 0.5, 2.0, 0.3], [1.0, 0.0, 0.4, 0.5]]
SPD = [[2.0, 0.5, 0.1], [0.5, 1.5, -0.3], [0.1, -0.3, 1.0]]
TRIL = [[1.2, 0.0, 0.0], [0.5, 0.8, 0.0], [-0.4, 0.3, 1.5]]
FACTOR = [[0.5, -0.2], [1.0, 0.3], [0.1, 0.8]]


def lifted(t: Any, values: Any, lib: Any) -> Any:
    """A batch of two matrices."""
    return lib.stack([t(values), 1.5 * t(values)])


# Name -> a function of the library, its distributions and a maker of leaves.
CASES = {
    "normal": lambda lib, d, t: d.Normal(t(LOC), t(SCALE)),
    "normal of numbers": lambda lib, d, t: d.Normal(0.0, 1.0),
    "normal, broadcast": lambda lib, d, t: d.Normal(t([[0.5], [1.0]]), t(SCALE)),
    "log-normal": lambda lib, d, t: d.LogNormal(t(LOC), t(SCALE)),
    "laplace": lambda lib, d, t: d.Laplace(t(LOC), t(SCALE)),
    "cauchy": lambda lib, d, t: d.Cauchy(t(LOC), t(SCALE)),
    "uniform": lambda lib, d, t: d.Uniform(t(LOC) - 5, t(LOC)),
    "exponential": lambda lib, d, t: d.Exponential(t(SCALE)),
    "gamma": lambda lib, d, t: d.Gamma(t(SHAPE), t(SCALE)),
    "gamma, broadcast": lambda lib, d, t: d.Gamma(t([[0.7], [30.0]]), t(SCALE)),
    "chi2": lambda lib, d, t: d.Chi2(t([1.5, 4.0])),
    "student": lambda lib, d, t: d.StudentT(t([0.8, 1.5, 5.0]), t(LOC), t(SCALE)),
    "student of df": lambda lib, d, t: d.StudentT(t([3.0, 7.0])),
    "f": lambda lib, d, t: d.FisherSnedecor(t([1.5, 4.0, 6.0]), t([1.0, 3.0, 9.0])),
    "beta": lambda lib, d, t: d.Beta(t([0.5, 2.0, 4.0]), t([0.7, 1.0, 2.5])),
    "dirichlet": lambda lib, d, t: d.Dirichlet(t([[0.5, 0.7, 0.2], [2.0, 1.0, 5.0]])),
    "gumbel": lambda lib, d, t: d.Gumbel(t(LOC), t(SCALE)),
    "half-cauchy": lambda lib, d, t: d.HalfCauchy(t(SCALE)),
    "half-normal": lambda lib, d, t: d.HalfNormal(t(SCALE)),
    "inverse gamma": lambda lib, d, t: d.InverseGamma(t([0.5, 1.5, 6.0]), t(SCALE)),
    "kumaraswamy": lambda lib, d, t: d.Kumaraswamy(t([0.5, 2.0, 4.0]), t([0.7, 1.5, 2.5])),
    "pareto": lambda lib, d, t: d.Pareto(t(SCALE), t([0.7, 1.5, 4.0])),
    "generalized pareto": lambda lib, d, t: d.GeneralizedPareto(
        t([*LOC, *LOC]), t([*SCALE, *SCALE]), t([-0.6, -0.1, 0.0, 0.2, 0.7, 1.0])
    ),
    "weibull": lambda lib, d, t: d.Weibull(t(SCALE), t([1.5, 2.0, 3.5])),
    "von mises": lambda lib, d, t: d.VonMises(t(LOC), t([0.5, 4.0, 20.0])),
    "continuous bernoulli": lambda lib, d, t: d.ContinuousBernoulli(t([0.1, 0.4995, 0.5, 0.8])),
    "continuous bernoulli by logits": lambda lib, d, t: d.ContinuousBernoulli(logits=t(LOC)),
    "bernoulli": lambda lib, d, t: d.Bernoulli(t([0.1, 0.9])),
    "bernoulli by logits": lambda lib, d, t: d.Bernoulli(logits=t(LOC)),
    "binomial": lambda lib, d, t: d.Binomial(7, t([0.1, 0.6, 0.9])),
    "binomial by logits": lambda lib, d, t: d.Binomial(60, logits=t(LOC)),
    "binomials": lambda lib, d, t: d.Binomial(t([3, 100, 9]).detach().round(), t([0.5, 0.3, 0.9])),
    "geometric": lambda lib, d, t: d.Geometric(t([0.1, 0.6, 1.0])),
    "geometric by logits": lambda lib, d, t: d.Geometric(logits=t(LOC)),
    "negative binomial": lambda lib, d, t: d.NegativeBinomial(t([3.0, 2.5, 9.0]), t([0.1, 0.6, 0.9])),
    "negative binomial by logits": lambda lib, d, t: d.NegativeBinomial(5, logits=t(LOC)),
    "poisson": lambda lib, d, t: d.Poisson(t([0.3, 4.0, 60.0])),
    "categorical": lambda lib, d, t: d.Categorical(t(WEIGHTS)),
    "categorical by logits": lambda lib, d, t: d.Categorical(logits=t(ROWS)),
    "one-hot": lambda lib, d, t: d.OneHotCategorical(logits=t(ROWS)),
    "one-hot by probs": lambda lib, d, t: d.OneHotCategorical(t(WEIGHTS)),
    "one-hot, straight through": lambda lib, d, t: d.OneHotCategoricalStraightThrough(logits=t(ROWS)),
    "multinomial": lambda lib, d, t: d.Multinomial(6, logits=t(ROWS)),
    "multinomial by probs": lambda lib, d, t: d.Multinomial(3, t(WEIGHTS)),
    "relaxed bernoulli": lambda lib, d, t: d.RelaxedBernoulli(t([0.7]), t([0.1, 0.9])),
    "relaxed bernoulli by logits": lambda lib, d, t: d.RelaxedBernoulli(t(2.0), logits=t(LOC)),
    "relaxed one-hot": lambda lib, d, t: d.RelaxedOneHotCategorical(t(0.7), logits=t(ROWS)),
    "relaxed one-hot by probs": lambda lib, d, t: d.RelaxedOneHotCategorical(t(1.7), t([0.1, 0.3, 0.6])),
    "logistic normal": lambda lib, d, t: d.LogisticNormal(t([[0.5, -0.3, 1.0], [0.0, 0.1, 0.2]]), t(SCALE)),
    "multivariate normal": lambda lib, d, t: d.MultivariateNormal(t(LOC), t(SPD)),
    "multivariate normal by tril": lambda lib, d, t: d.MultivariateNormal(t(LOC), scale_tril=t(TRIL).tril()),
    "multivariate normal by precision": lambda lib, d, t: d.MultivariateNormal(t(LOC), precision_matrix=t(SPD)),
    "multivariate normals": lambda lib, d, t: d.MultivariateNormal(t([[0.5, 1.0, 2.0]] * 2), lifted(t, SPD, lib)),
    "multivariate normals of one matrix": lambda lib, d, t: d.MultivariateNormal(t([LOC, SCALE]), t(SPD)),
    "low rank": lambda lib, d, t: d.LowRankMultivariateNormal(t(LOC), t(FACTOR), t(SCALE)),
    "low ranks": lambda lib, d, t: d.LowRankMultivariateNormal(t([LOC, SCALE]), lifted(t, FACTOR, lib), t(SCALE)),
    "wishart": lambda lib, d, t: d.Wishart(t(5.5), t(SPD)),
    "wishart by tril": lambda lib, d, t: d.Wishart(t([4.5, 7.0]), scale_tril=t(TRIL).tril()),
    "wishart by precision": lambda lib, d, t: d.Wishart(t(6.0), precision_matrix=t(SPD)),
    "lkj": lambda lib, d, t: d.LKJCholesky(3, t([0.5, 2.0])),
    "lkj of number": lambda lib, d, t: d.LKJCholesky(4),
    "independent": lambda lib, d, t: d.Independent(d.Normal(t(LOC), t(SCALE)), 1),
    "independent, twice": lambda lib, d, t: d.Independent(d.Independent(d.Gamma(t([[0.7], [3.0]]), t(SCALE)), 1), 1),
    "mixture": lambda lib, d, t: d.MixtureSameFamily(d.Categorical(t([0.2, 0.5, 0.3])), d.Normal(t(LOC), t(SCALE))),
    "mixture of vectors": lambda lib, d, t: d.MixtureSameFamily(
        d.Categorical(logits=t(ROWS)), d.Independent(d.Normal(t([[LOC] * 4, [SCALE] * 4]), t(SCALE)), 1)
    ),
    "transformed": lambda lib, d, t: d.TransformedDistribution(
        d.Normal(t(LOC), t(SCALE)), [d.AffineTransform(t(1.0), t(-2.0)), d.SigmoidTransform()]
    ),
    "logistic": lambda lib, d, t: d.TransformedDistribution(
        d.Uniform(t([0.0, 0.0]), t([1.0, 1.0])), [d.SigmoidTransform().inv, d.AffineTransform(t(1.0), t(2.0))]
    ),
    "transformed vector": lambda lib, d, t: d.TransformedDistribution(
        d.Independent(d.Normal(t(LOC), t(SCALE)), 1), d.StickBreakingTransform()
    ),
    "transformed, reshaped": lambda lib, d, t: d.TransformedDistribution(
        d.Normal(t([[0.5, 1.0]] * 3), t([2.0, 1.0])), d.ReshapeTransform((3, 2), (6,))
    ),
}  # fmt: skip
DTYPES = ["float32", "float64"]
# Where PyTorch's approximations are rougher than the comparison.
ROUGH = {"rsample grad": 2e-2}


def dist(lib: Any, name: str, dtype: str) -> tuple[Any, list[Any]]:
    leaves: list[Any] = []

    def t(values: Any) -> Any:
        leaves.append(lib.tensor(values, dtype=getattr(lib, dtype), requires_grad=True))
        return leaves[-1]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return CASES[name](lib, lib.distributions, t), leaves


def outcome(f: Any) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return f()
    except (NotImplementedError, ValueError) as e:
        return "not there" if isinstance(e, NotImplementedError) else "refused"


def listed(v: Any) -> Any:
    return v if isinstance(v, str) else (str(v.dtype).split(".")[-1], tuple(v.shape), v.detach().tolist())


def slopes(lib: Any, v: Any, leaves: list[Any]) -> Any:
    """Gradients of the finite elements, each with a weight of its own."""
    if isinstance(v, str) or not v.requires_grad:
        return None
    weights = lib.arange(v.numel(), dtype=v.dtype).reshape(v.shape).add(1.0).cos()
    total = (lib.where(v.isfinite(), v, lib.zeros_like(v)) * weights).sum()
    try:
        found = lib.autograd.grad(total, leaves, allow_unused=True, retain_graph=True)
    except NotImplementedError:  # PyTorch's incomplete gamma function has no gradient by the concentration
        return "no gradient"
    return [lib.zeros_like(x).tolist() if g is None else g.tolist() for g, x in zip(found, leaves)]


@pytest.fixture(autouse=True)
def _first_try(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch's Wishart takes samples for singular that are not, warns, and draws them again, without gradients."""
    draw = torch.distributions.Wishart.rsample

    def first(d: Any, shape: Any = ()) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return draw(d, torch.Size(shape), max_try_correction=0)

    monkeypatch.setattr(torch.distributions.Wishart, "rsample", first)


def facts(lib: Any, name: str, dtype: str) -> tuple[list[Any], dict[str, Any]]:
    d, leaves = dist(lib, name, dtype)
    values: dict[str, Any] = {}
    lib.manual_seed(3)
    values["one"] = d.sample()
    values["several"] = several = outcome(lambda: d.sample((5,)))
    lib.manual_seed(4)
    values["rsample"] = outcome(lambda: d.rsample((2, 3))) if d.has_rsample else "not there"
    values["log_prob"] = outcome(lambda: d.log_prob(several))
    for moment in ("mean", "mode", "variance", "stddev"):
        values[moment] = outcome(lambda m=moment: getattr(d, m))
    values["entropy"] = outcome(d.entropy)
    values["perplexity"] = outcome(d.perplexity)
    values["cdf"] = outcome(lambda: d.cdf(several))
    values["enumerate"] = outcome(d.enumerate_support)
    values["enumerate, not expanded"] = outcome(lambda: d.enumerate_support(expand=False))
    u = lib.tensor([0.15, 0.5, 0.9], dtype=getattr(lib, dtype)).reshape((3, *[1] * len(d.batch_shape)))
    values["icdf"] = outcome(lambda: d.icdf(u)) if not d.event_shape else "not there"
    # Properties that follow from parameters.
    for p in ("logits", "probs", "covariance_matrix", "precision_matrix", "scale_tril", "param_shape", "df"):
        if hasattr(d, p) and hasattr(getattr(d, p), "requires_grad"):
            values[p] = getattr(d, p)
    shapes = [tuple(d.batch_shape), tuple(d.event_shape), d.has_rsample, d.has_enumerate_support]
    shapes += [values["one"].requires_grad, repr(d.support).split("(")[0], str(d)]
    grads = {f"{k} grad": slopes(lib, v, leaves) for k, v in values.items()}
    return shapes, {k: listed(v) for k, v in values.items()} | grads


def same(ours: Any, theirs: Any, what: str, dtype: str, tolerance: float | None = None) -> None:
    assert (ours is None) == (theirs is None), (what, ours, theirs)
    grads = isinstance(ours, list)
    if isinstance(ours, (str, type(None))) or isinstance(theirs, str):
        assert ours == theirs, what
        return
    if isinstance(ours, tuple):
        assert ours[:2] == theirs[:2], what
        ours, theirs = [ours[2]], [theirs[2]]
    tolerance = tolerance or ROUGH.get(what) or (5e-4 if dtype == "float32" else 1e-6)
    for a, b in zip(ours, theirs, strict=True):
        x, y = torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64)
        if grads:  # some of PyTorch's pass what was masked
            x = x.where(~y.isnan(), y)
        torch.testing.assert_close(
            x, y, rtol=tolerance, atol=tolerance, equal_nan=True, msg=lambda m, w=what: f"{w}: {m}"
        )


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CASES)
def test_facts(name: str, dtype: str) -> None:
    if name == "generalized pareto" and dtype == "float64":
        pytest.skip("PyTorch's own mixes dtypes there, and raises")
    (shapes, ours), (their_shapes, theirs) = facts(rt, name, dtype), facts(torch, name, dtype)
    if name == "kumaraswamy":  # PyTorch's mode is NaN everywhere; test_distributions.py has the right one
        for f in (ours, theirs):
            del f["mode"], f["mode grad"]
    shapes[-1] = shapes[-1].replace("rustorch.", "torch.")
    assert shapes == their_shapes and list(ours) == list(theirs)
    for k in ours:
        if not (k == "cdf grad" and theirs[k] == "no gradient"):
            same(ours[k], theirs[k], k, dtype)


@pytest.mark.parametrize("name", CASES)
def test_expanded(name: str) -> None:
    found = []
    for lib in (rt, torch):
        d, _ = dist(lib, name, "float32")
        lib.manual_seed(5)
        value = d.sample()
        e = d.expand((4, *d.batch_shape))
        assert tuple(e.batch_shape) == (4, *d.batch_shape) and e.event_shape == d.event_shape
        assert type(e) is type(d) and e._validate_args == d._validate_args
        lib.manual_seed(6)
        sample = e.sample((2,))
        facts = [e.log_prob(value), e.log_prob(sample), sample]
        moments = ("mean", "variance", "mode")[: 2 if name == "kumaraswamy" else 3]
        facts += [outcome(lambda k=k, e=e: getattr(e, k)) for k in moments]
        if "multinomial" not in name:  # PyTorch's loses what its entropy needs
            facts += [outcome(e.entropy), outcome(e.expand((2, 4, *d.batch_shape)).entropy)]
        found.append([listed(f) for f in facts])
    for k, (a, b) in enumerate(zip(*found)):
        same(a, b, str(k), "float32")


@pytest.mark.parametrize("name", CASES)
def test_copies(name: str) -> None:
    with rt.no_grad():
        leaves: list[Any] = []

        def t(values: Any) -> Any:
            leaves.append(rt.tensor(values))
            return leaves[-1]

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            d = CASES[name](rt, rt.distributions, t)
        rt.manual_seed(0)
        value = d.sample((3,))
        d.log_prob(value)  # keeps what it makes
        for other in (copy.deepcopy(d), pickle.loads(pickle.dumps(d)), copy.copy(d)):
            assert repr(other) == repr(d)
            rt.manual_seed(0)
            assert other.sample((3,)).tolist() == value.tolist()
            assert other.log_prob(value).tolist() == d.log_prob(value).tolist()


# Pairs of those of `CASES` and these for each formula.
SMALL = {
    "Bernoulli": lambda lib, d, t: [d.Bernoulli(t([0.3, 0.0])), d.Bernoulli(t([0.6, 0.2]))],
    "Beta": lambda lib, d, t: [d.Beta(t([0.5, 2.0]), t([1.5, 3.0])), d.Beta(t([1.5, 4.0]), t([2.5, 0.7]))],
    "Binomial": lambda lib, d, t: [
        d.Binomial(5, t([0.3, 0.7])),
        d.Binomial(5, t([0.6, 0.2])),
        d.Binomial(3, t([0.6, 0.2])),
    ],
    "Categorical": lambda lib, d, t: [d.Categorical(t(WEIGHTS)), d.Categorical(logits=t(ROWS))],
    "Cauchy": lambda lib, d, t: [d.Cauchy(t(LOC), t(SCALE)), d.Cauchy(t(SCALE), t([1.0, 2.0, 3.0]))],
    "ContinuousBernoulli": lambda lib, d, t: [
        d.ContinuousBernoulli(t([0.3, 0.7])),
        d.ContinuousBernoulli(t([0.6, 0.5])),
    ],
    "Dirichlet": lambda lib, d, t: [d.Dirichlet(t([0.5, 2.0, 1.0])), d.Dirichlet(t([1.5, 4.0, 0.3]))],
    "Exponential": lambda lib, d, t: [d.Exponential(t([0.5, 2.0])), d.Exponential(t([1.5, 4.0]))],
    "Gamma": lambda lib, d, t: [
        d.Gamma(t([0.5, 2.0]), t([1.5, 3.0])),
        d.Gamma(t([1.5, 4.0]), t([2.5, 0.7])),
        d.Chi2(t([2.0, 3.0])),
    ],
    "Geometric": lambda lib, d, t: [d.Geometric(t([0.3, 0.7])), d.Geometric(t([0.6, 0.2]))],
    "Gumbel": lambda lib, d, t: [d.Gumbel(t([0.5, 2.0]), t([1.5, 3.0])), d.Gumbel(t([1.5, 4.0]), t([2.5, 0.7]))],
    "HalfNormal": lambda lib, d, t: [d.HalfNormal(t([0.5, 2.0])), d.HalfNormal(t([1.5, 4.0]))],
    "Independent": lambda lib, d, t: [
        d.Independent(d.Normal(t([[0.5, 2.0]]), t([[1.5, 3.0]])), 1),
        d.Independent(d.Normal(t([[1.5, 4.0]]), t([[2.5, 0.7]])), 1),
    ],
    "Laplace": lambda lib, d, t: [d.Laplace(t([0.5, 2.0]), t([1.5, 3.0])), d.Laplace(t([1.5, 4.0]), t([2.5, 0.7]))],
    "LogNormal": lambda lib, d, t: [
        d.LogNormal(t([0.5, 2.0]), t([1.5, 3.0])),
        d.LogNormal(t([1.5, 4.0]), t([2.5, 0.7])),
    ],
    "LowRankMultivariateNormal": lambda lib, d, t: [
        d.LowRankMultivariateNormal(t(LOC), t(FACTOR), t(SCALE)),
        d.LowRankMultivariateNormal(t([SCALE, LOC]), lifted(t, [[0.3], [0.7], [1.0]], lib), t([1.0, 2.0, 0.5])),
    ],
    "MultivariateNormal": lambda lib, d, t: [
        d.MultivariateNormal(t(LOC), t(SPD)),
        d.MultivariateNormal(t([SCALE, LOC]), scale_tril=lifted(t, TRIL, lib).tril()),
    ],
    "Normal": lambda lib, d, t: [d.Normal(t([0.5, 2.0]), t([1.5, 3.0])), d.Normal(t([1.5, 4.0]), t([2.5, 0.7]))],
    "OneHotCategorical": lambda lib, d, t: [
        d.OneHotCategorical(t(WEIGHTS)),
        d.OneHotCategoricalStraightThrough(logits=t(ROWS)),
    ],
    "Pareto": lambda lib, d, t: [d.Pareto(t([0.2, 2.0]), t([1.5, 3.0])), d.Pareto(t([0.1, 4.0]), t([2.5, 0.7]))],
    "Poisson": lambda lib, d, t: [d.Poisson(t([0.5, 2.0])), d.Poisson(t([1.5, 4.0]))],
    "TransformedDistribution": lambda lib, d, t: [
        d.TransformedDistribution(d.Normal(t([0.5]), t([1.5])), d.ExpTransform()),
        d.TransformedDistribution(d.Normal(t([1.5]), t([2.5])), d.ExpTransform()),
        d.TransformedDistribution(d.Normal(t([1.5]), t([2.5])), d.TanhTransform()),
    ],
    "Uniform": lambda lib, d, t: [
        d.Uniform(t([0.2, 2.0]), t([0.7, 3.0])),
        d.Uniform(t([0.1, 1.5]), t([0.9, 2.8])),
        d.Uniform(t([0.0, 0.0]), t([1.0, 1.0])),
    ],
}  # fmt: skip
FORMULAS = [
    (p.__name__, q.__name__) for p, q in torch.distributions.kl._KL_REGISTRY if p.__name__ != "ExponentialFamily"
]


def test_all_formulas() -> None:
    ours = {
        (p.__name__, q.__name__)
        for p, q in rt.distributions.kl._KL_REGISTRY
        if p.__module__.startswith("rustorch.") and q.__module__.startswith("rustorch.")  # other tests add some
    }
    theirs = {(p.__name__, q.__name__) for p, q in torch.distributions.kl._KL_REGISTRY}
    assert ours == theirs and {n for pair in FORMULAS for n in pair} <= set(SMALL)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("pair", [*FORMULAS, ("LogNormal", "LogNormal")], ids="-".join)
def test_divergences(pair: tuple[str, str], dtype: str) -> None:
    found = []
    for lib in (rt, torch):
        leaves: list[Any] = []

        def t(values: Any, lib: Any = lib, leaves: list[Any] = leaves) -> Any:
            leaves.append(lib.tensor(values, dtype=getattr(lib, dtype), requires_grad=True))
            return leaves[-1]

        firsts, seconds = (SMALL[name](lib, lib.distributions, t) for name in pair)
        if set(pair) == {"ContinuousBernoulli", "Uniform"}:  # PyTorch's is infinite for equal supports
            firsts, seconds = firsts[:2], seconds[:2]
        one = []
        for p in firsts:
            for q in seconds:
                value = outcome(lambda p=p, q=q, lib=lib: lib.distributions.kl_divergence(p, q))
                one += [listed(value), slopes(lib, value, leaves)]
        found.append(one)
    assert any(v is not None and v not in ("not there", "refused") for v in found[0])
    for k, (a, b) in enumerate(zip(*found, strict=True)):
        same(a, b, f"{pair} {k}", dtype)


def test_divergences_of_exponential_families() -> None:
    """By natural parameters, as if there were no formula of their own."""
    for name in ("Bernoulli", "Beta", "ContinuousBernoulli", "Dirichlet", "Exponential", "Gamma", "Normal", "Poisson"):
        found = []
        for lib in (rt, torch):
            p, q, *_ = SMALL[name](
                lib, lib.distributions, lambda v, lib=lib: lib.tensor(v, dtype=lib.float64) * 0.99 + 0.001
            )
            general = lib.distributions.kl._kl_expfamily_expfamily
            found.append([listed(general(p, q)), listed(lib.distributions.kl_divergence(p, q))])
            entropy = lib.distributions.ExponentialFamily.entropy
            found[-1].append(listed(outcome(lambda p=p, entropy=entropy: entropy(p))))
        for a, b in zip(*found):
            same(a, b, name, "float64")
        if name != "ContinuousBernoulli":
            same(found[0][0], found[0][1], name, "float64")


WRONG = {
    "scale": lambda lib, d: d.Normal(0.0, -1.0),
    "nan": lambda lib, d: d.Normal(lib.tensor(float("nan")), 1.0),
    "text": lambda lib, d: d.Normal("a", 1.0),
    "uniform": lambda lib, d: d.Uniform(1.0, 0.0),
    "rate": lambda lib, d: d.Exponential(0.0),
    "p": lambda lib, d: d.Bernoulli(lib.tensor(1.5)),
    "neither": lambda lib, d: d.Categorical(),
    "both": lambda lib, d: d.Categorical(lib.ones(2), lib.ones(2)),
    "both odds": lambda lib, d: d.Binomial(3, lib.ones(2), lib.ones(2)),
    "negative": lambda lib, d: d.Categorical(lib.tensor([-1.0, 2.0])),
    "scalar": lambda lib, d: d.Categorical(lib.tensor(1.0)),
    "half": lambda lib, d: d.Bernoulli(lib.tensor([0.5])).log_prob(lib.tensor([0.5])),
    "class": lambda lib, d: d.Categorical(lib.tensor([1.0, 1.0])).log_prob(lib.tensor(7)),
    "below": lambda lib, d: d.LogNormal(0.0, 1.0).log_prob(lib.tensor(-1.0)),
    "dimensions": lambda lib, d: d.Independent(d.Normal(0.0, 1.0), 2),
    "number": lambda lib, d: d.Normal(0.0, 1.0).log_prob(1.0),
    "shape": lambda lib, d: d.Normal(lib.zeros(3), 1.0).log_prob(lib.zeros(2)),
    "event": lambda lib, d: d.MultivariateNormal(lib.zeros(3), lib.eye(3)).log_prob(lib.zeros(2)),
    "geometric": lambda lib, d: d.Geometric(0.0),
    "matrices": lambda lib, d: d.MultivariateNormal(lib.zeros(3)),
    "vector": lambda lib, d: d.MultivariateNormal(lib.zeros(3), lib.ones(3)),
    "loc": lambda lib, d: d.MultivariateNormal(lib.tensor(1.0), lib.eye(1)),
    "definite": lambda lib, d: d.MultivariateNormal(lib.zeros(3), -lib.eye(3)),
    "asymmetric": lambda lib, d: d.MultivariateNormal(lib.zeros(2), lib.tensor([[1.0, 0.5], [0.0, 1.0]])),
    "tril": lambda lib, d: d.MultivariateNormal(lib.zeros(2), scale_tril=lib.ones(2, 2)),
    "factor": lambda lib, d: d.LowRankMultivariateNormal(lib.zeros(3), lib.ones(2, 1), lib.ones(3)),
    "diagonal": lambda lib, d: d.LowRankMultivariateNormal(lib.zeros(3), lib.ones(3, 1), lib.ones(2)),
    "factor vector": lambda lib, d: d.LowRankMultivariateNormal(lib.zeros(3), lib.ones(3), lib.ones(3)),
    "df": lambda lib, d: d.Wishart(lib.tensor(1.0), lib.eye(3)),
    "lkj": lambda lib, d: d.LKJCholesky(1),
    "concentration": lambda lib, d: d.Dirichlet(lib.tensor(1.0)),
    "simplex": lambda lib, d: d.Dirichlet(lib.ones(2)).log_prob(lib.tensor([0.5, 0.6])),
    "counts": lambda lib, d: d.Multinomial(3, lib.ones(2)).log_prob(lib.tensor([2.0, 2.0])),
    "trials": lambda lib, d: d.Binomial(-1, lib.tensor([0.5])),
    "poisson": lambda lib, d: d.Poisson(1.0).log_prob(lib.tensor(0.5)),
    "transform": lambda lib, d: d.TransformedDistribution(d.Normal(0.0, 1.0), 3),
    "transforms": lambda lib, d: d.TransformedDistribution(d.Normal(0.0, 1.0), [3]),
    "too few": lambda lib, d: d.TransformedDistribution(d.Normal(0.0, 1.0), d.StickBreakingTransform()),
    "no mixture": lambda lib, d: d.MixtureSameFamily(d.Normal(0.0, 1.0), d.Normal(lib.zeros(2), 1.0)),
    "no component": lambda lib, d: d.MixtureSameFamily(d.Categorical(lib.ones(2)), 3),
    "components": lambda lib, d: d.MixtureSameFamily(d.Categorical(lib.ones(2)), d.Normal(lib.zeros(3), 1.0)),
    "mixtures": lambda lib, d: d.MixtureSameFamily(d.Categorical(lib.ones(3, 2)), d.Normal(lib.zeros(4, 2), 1.0)),
    "pareto": lambda lib, d: d.Pareto(lib.tensor(1.0), lib.tensor(1.0)).log_prob(lib.tensor(0.5)),
    "tail": lambda lib, d: d.GeneralizedPareto(0.0, 1.0, -0.5).log_prob(lib.tensor(3.0)),
    "cache": lambda lib, d: d.ExpTransform(cache_size=2),
    "default": lambda lib, d: d.Distribution.set_default_validate_args(3),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_outside_is_refused(name: str) -> None:
    messages = []
    for lib in (rt, torch):
        with pytest.raises(ValueError) as e:
            WRONG[name](lib, lib.distributions)
        messages.append(str(e.value).replace("rustorch.", "torch.").replace("torch.", ""))
    if name not in ("text", "dimensions", "default", "no mixture", "no component"):
        assert messages[0] == messages[1].replace("Parameter of shape", "Tensor of shape")


@pytest.mark.parametrize(
    "missing",
    [
        lambda lib, d: d.Bernoulli(0.5).rsample(),
        lambda lib, d: d.kl_divergence(d.Normal(0.0, 1.0), d.StudentT(1.0)),
        lambda lib, d: d.Binomial(lib.tensor([3.0, 4.0]), lib.tensor([0.5, 0.5])).entropy(),
        lambda lib, d: d.Binomial(lib.tensor([3.0, 4.0]), lib.tensor([0.5, 0.5])).enumerate_support(),
        lambda lib, d: d.Multinomial(lib.tensor([1, 2]), lib.ones(2)),
        lambda lib, d: d.Independent(d.Bernoulli(lib.ones(2) / 2), 1).enumerate_support(),
        lambda lib, d: d.Poisson(1.0).entropy(),
        lambda lib, d: d.ContinuousBernoulli(0.3).mode,
        lambda lib, d: d.AbsTransform().log_abs_det_jacobian(lib.ones(1), lib.ones(1)),
        lambda lib, d: d.SoftmaxTransform().sign,
        lambda lib, d: d.biject_to(d.constraints.lower_cholesky),
        lambda lib, d: d.kl_divergence(d.Binomial(3, lib.tensor(0.5)), d.Binomial(4, lib.tensor(0.5))),
        lambda lib, d: d.kl_divergence(d.Exponential(1.0), d.Poisson(1.0)),
    ],
)
def test_what_is_not_there_says_so(missing: Any) -> None:
    for lib in (rt, torch):
        with pytest.raises(NotImplementedError):
            missing(lib, lib.distributions)


def test_unchecked() -> None:
    """Without checks values outside give numbers."""
    for make, value in [
        (lambda d: d.Normal(0.0, -1.0, validate_args=False), 0.5),
        (lambda d: d.Uniform(0.0, 1.0, validate_args=False), 2.0),
        (lambda d: d.HalfNormal(1.0, validate_args=False), -2.0),
        (lambda d: d.Bernoulli(0.5, validate_args=False), 0.25),
        (lambda d: d.Exponential(2.0, validate_args=False), -1.0),
    ]:
        ours = make(rt.distributions).log_prob(rt.tensor(value)).item()
        theirs = make(torch.distributions).log_prob(torch.tensor(value)).item()
        assert ours == pytest.approx(theirs, nan_ok=True) or (ours == theirs == -math.inf)


# ---- names ----


def test_names() -> None:
    ours, theirs = rt.distributions, torch.distributions
    assert set(theirs.__all__) <= set(ours.__all__)
    for name in ("utils", "transforms", "constraints", "constraint_registry", "kl"):
        mine, its = getattr(ours, name), getattr(theirs, name)
        assert [n for n in its.__all__ if not hasattr(mine, n)] == []
    private = [n for n in vars(theirs.constraints) if n[0] == "_" and n[1].isupper()]
    assert len(private) > 20 and [n for n in private if not hasattr(ours.constraints, n)] == []
    for name in ("_sum_rightmost", "_standard_normal"):
        assert hasattr(ours.utils, name), name


def test_modules() -> None:
    import importlib
    import pkgutil

    for module in pkgutil.iter_modules(torch.distributions.__path__):
        theirs = importlib.import_module(f"torch.distributions.{module.name}")
        ours = importlib.import_module(f"rustorch.distributions.{module.name}")
        for name in getattr(theirs, "__all__", ()):
            if name != "identity_transform":
                assert hasattr(ours, name), (module.name, name)
    from rustorch.distributions.lowrank_multivariate_normal import _batch_lowrank_mahalanobis
    from rustorch.distributions.multivariate_normal import _batch_mahalanobis, _precision_to_scale_tril

    assert _batch_lowrank_mahalanobis and _batch_mahalanobis and _precision_to_scale_tril
    assert rt.distributions.categorical.Categorical is rt.distributions.Categorical


def test_members() -> None:
    """All that a class of PyTorch's has under a public name."""
    for name in torch.distributions.__all__:
        theirs, ours = getattr(torch.distributions, name), getattr(rt.distributions, name)
        if isinstance(theirs, type):
            lacking = [n for n in dir(theirs) if not n.startswith("_") and not hasattr(ours, n)]
            assert [n for n in lacking if n not in ("domain", "codomain")] == [], name
