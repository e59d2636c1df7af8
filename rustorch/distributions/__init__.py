"""Probability distributions with sampling, log-probabilities and gradients through samples.

Parameters broadcast to the batch shape. `sample(shape)` and `rsample(shape)` give `shape + batch_shape + event_shape`;
`rsample` is differentiable. The random streams are PyTorch's.
"""

from __future__ import annotations

import sys

from . import (
    classes,
    compound,
    constraint_registry,
    constraints,
    continuous,
    counts,
    distribution,
    gamma,
    kl,
    multivariate,
    transformed,
    transforms,
    utils,
)
from .classes import Categorical, Multinomial, OneHotCategorical, OneHotCategoricalStraightThrough
from .compound import Independent, MixtureSameFamily, TransformedDistribution
from .constraint_registry import biject_to, transform_to
from .continuous import (
    Cauchy,
    ContinuousBernoulli,
    Exponential,
    GeneralizedPareto,
    Laplace,
    Normal,
    StudentT,
    Uniform,
    VonMises,
)
from .counts import Bernoulli, Binomial, Geometric, NegativeBinomial, Poisson
from .distribution import Distribution, ExponentialFamily
from .gamma import Beta, Chi2, Dirichlet, FisherSnedecor, Gamma
from .kl import kl_divergence, register_kl
from .multivariate import LKJCholesky, LowRankMultivariateNormal, MultivariateNormal, Wishart
from .transformed import (
    Gumbel,
    HalfCauchy,
    HalfNormal,
    InverseGamma,
    Kumaraswamy,
    LogisticNormal,
    LogNormal,
    Pareto,
    RelaxedBernoulli,
    RelaxedOneHotCategorical,
    Weibull,
)
from .transforms import (
    AbsTransform,
    AffineTransform,
    CatTransform,
    ComposeTransform,
    CorrCholeskyTransform,
    CumulativeDistributionTransform,
    ExpTransform,
    IndependentTransform,
    LowerCholeskyTransform,
    PositiveDefiniteTransform,
    PowerTransform,
    ReshapeTransform,
    SigmoidTransform,
    SoftmaxTransform,
    SoftplusTransform,
    StackTransform,
    StickBreakingTransform,
    TanhTransform,
    Transform,
    identity_transform,
)

__all__ = [
    "AbsTransform", "AffineTransform", "Bernoulli", "Beta", "Binomial", "CatTransform", "Categorical", "Cauchy", "Chi2",
    "ComposeTransform", "ContinuousBernoulli", "CorrCholeskyTransform", "CumulativeDistributionTransform", "Dirichlet",
    "Distribution", "ExpTransform", "Exponential", "ExponentialFamily", "FisherSnedecor", "Gamma", "GeneralizedPareto",
    "Geometric", "Gumbel", "HalfCauchy", "HalfNormal", "Independent", "IndependentTransform", "InverseGamma",
    "Kumaraswamy", "LKJCholesky", "Laplace", "LogNormal", "LogisticNormal", "LowRankMultivariateNormal",
    "LowerCholeskyTransform",
    "MixtureSameFamily", "Multinomial", "MultivariateNormal", "NegativeBinomial", "Normal", "OneHotCategorical",
    "OneHotCategoricalStraightThrough", "Pareto", "Poisson", "PositiveDefiniteTransform", "PowerTransform",
    "RelaxedBernoulli", "RelaxedOneHotCategorical", "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform",
    "SoftplusTransform", "StackTransform", "StickBreakingTransform", "StudentT", "TanhTransform", "Transform",
    "TransformedDistribution", "Uniform", "VonMises", "Weibull", "Wishart", "biject_to", "constraint_registry",
    "constraints", "identity_transform", "kl", "kl_divergence", "register_kl", "transform_to", "transforms", "utils",
]  # fmt: skip

# PyTorch has a module for each: `from rustorch.distributions.normal import Normal`.
for _module, _names in {
    classes: ("categorical", "multinomial", "one_hot_categorical"),
    compound: ("independent", "mixture_same_family", "transformed_distribution"),
    continuous: (
        "cauchy", "continuous_bernoulli", "exponential", "generalized_pareto", "laplace", "normal", "studentT",
        "uniform", "von_mises",
    ),
    counts: ("bernoulli", "binomial", "geometric", "negative_binomial", "poisson"),
    distribution: ("exp_family",),
    gamma: ("beta", "chi2", "dirichlet", "fishersnedecor"),
    multivariate: ("lkj_cholesky", "lowrank_multivariate_normal", "multivariate_normal", "wishart"),
    transformed: (
        "gumbel", "half_cauchy", "half_normal", "inverse_gamma", "kumaraswamy", "log_normal", "logistic_normal",
        "pareto", "relaxed_bernoulli", "relaxed_categorical", "weibull",
    ),
}.items():  # fmt: skip
    for _name in _names:
        sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _module
del _module, _names, _name
