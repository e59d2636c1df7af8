"""Every option of every module has its effect, which is computed here by loops in NumPy.

A case is a module, a reference, inputs and options. The module must give what the reference gives, and (so that the
case can fail) something else when one of the options is left out. `test_every_option_is_tried` walks the signatures.
"""

import ast
import inspect
import itertools
import math
import warnings
from pathlib import Path

import numpy as np
import pytest
from test_nn_recurrent import run as run_recurrent
from test_nn_recurrent import sigmoid, softmax
from test_nn_recurrent import step as recurrent_step

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import nn

# Options that are accepted for PyTorch's sake and change nothing, or that are refused.
NOTHING = {
    "TransformerEncoder": {"enable_nested_tensor", "mask_check"},
    "Embedding": {"sparse", "scale_grad_by_freq", "_freeze"},
    "EmbeddingBag": {"sparse", "scale_grad_by_freq"},
    **{f"{lazy}ConvTranspose{n}d": {"padding_mode"} for lazy in ("", "Lazy") for n in (1, 2, 3)},
}
TRIED: dict[str, set] = {}


def arr(t):
    return np.asarray(t.detach().tolist())


def tensor(a, dtype=None):
    a = np.asarray(a)
    kind = {"b": rt.bool, "i": rt.int64}.get(a.dtype.kind, rt.float64)
    return rt.tensor(a.tolist(), dtype=dtype or kind).reshape(a.shape)


def defaults():
    """Class and method -> argument -> PyTorch's default."""
    found = {}
    for line in (Path(__file__).parent / "signatures.txt").read_text().splitlines():
        name, _, rest = line.partition("(")
        if line.startswith("nn.") and name.endswith((".__init__", ".forward")):
            a = ast.parse(f"def f({rest}: pass").body[0].args
            names = [v.arg for v in a.args]
            pairs = list(zip(names[len(names) - len(a.defaults) :], a.defaults))
            pairs += [(v.arg, d) for v, d in zip(a.kwonlyargs, a.kw_defaults) if d is not None]
            key = tuple(name.split(".")[1:])
            found[key] = {n: ast.literal_eval(d) for n, d in pairs}
    recurrent = found[("RNNBase", "__init__")]
    for cls in ("LSTM", "GRU", "RNN"):
        found[(cls, "__init__")] = {**recurrent, "nonlinearity": "tanh"}
    return found


DEFAULTS = defaults()


def fill(m):
    """Parameters and running statistics with numbers that depend on their name and shape only; as arrays."""
    values = {}
    for name, t in itertools.chain(m.named_parameters(), m.named_buffers()):
        if isinstance(t, nn.Parameter) or "running" in name:
            rng = np.random.default_rng(len(name) * 1000 + t.numel())
            new = rng.uniform(0.2, 1, tuple(t.shape)) if name.endswith("var") else rng.normal(size=tuple(t.shape)) * 0.5
            with rt.no_grad():
                t.copy_(tensor(new))
        values[name] = arr(t)
    return values


def result(cls, inputs, options, call, training):
    rt.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        m = cls(**{k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}).double()
        m.train(training)
        values = fill(m)
        given = [tensor(x) if isinstance(x, np.ndarray) else x for x in inputs]
        out = m(*given, **{k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in call.items()})
    return m, values, out


def leaves(out):
    if out is None:
        return []
    if isinstance(out, (tuple, list)):
        return [leaf for part in out for leaf in leaves(part)]
    return [arr(out) if isinstance(out, rt.Tensor) else np.asarray(out)]


def agree(a, b):
    a, b = leaves(a), leaves(b)
    return len(a) == len(b) and all(
        x.shape == y.shape and np.allclose(x, y, rtol=1e-6, atol=1e-8, equal_nan=True) for x, y in zip(a, b)
    )


def check(cls, reference, inputs, options, call=(), training=True, same=()):
    call = dict(call)
    every = {**DEFAULTS.get((cls.__name__, "__init__"), {}), **options}
    every |= {**DEFAULTS.get((cls.__name__, "forward"), {}), **call}
    m, values, out = result(cls, inputs, options, call, training)
    want = reference(values, *inputs, **{k: v for k, v in every.items() if k not in ("device", "dtype")})
    for got, right in zip(leaves(out), leaves(want), strict=True):
        assert got.shape == right.shape, f"shape {got.shape}, right is {right.shape}"
        np.testing.assert_allclose(got, right, rtol=1e-6, atol=1e-8)
    optional = {p.name for p in inspect.signature(cls.__init__).parameters.values() if p.default is not p.empty}
    for given, name in [(options, n) for n in options if n in optional] + [(call, n) for n in call]:
        if name in same:  # the default in other words
            continue
        less = {k: v for k, v in given.items() if k != name}
        try:
            other = result(cls, inputs, *((less, call) if given is options else (options, less)), training)[2]
        except (RuntimeError, ValueError, TypeError, AssertionError):
            continue
        assert not agree(other, out), f"{name}={given[name]} changes nothing here"
    TRIED.setdefault(cls.__name__, set()).update(options, call)
    return m


CASES = []


def case(cls, reference, inputs, *options, **how):
    for o in options or ({},):
        CASES.append((cls, reference, inputs, o, how))


def numbers(*shape, seed=0, scale=1.0):
    return np.random.default_rng(seed).normal(size=shape) * scale


def spread(v, n):
    return (v,) * n if isinstance(v, (int, float)) else tuple(v)


# ---- activations ----


def elementwise(f):
    return lambda values, x, **o: f(x, **{k: v for k, v in o.items() if k != "inplace"})


X = numbers(3, 4, scale=2)
WIDE = np.array([[-30.0, -3.0, -0.4, 0.0, 0.3, 2.0, 5.9, 6.5, 25.0]])
ERF = np.vectorize(math.erf)
for cls, f, options in (
    (nn.ReLU, lambda x: np.maximum(x, 0), ()),
    (nn.ReLU6, lambda x: np.clip(x, 0, 6), ()),
    (nn.SELU, lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0))), ()),
    (nn.SiLU, lambda x: x * sigmoid(x), ()),
    (nn.Mish, lambda x: x * np.tanh(np.log1p(np.exp(x))), ()),
    (nn.Hardsigmoid, lambda x: np.clip(x / 6 + 0.5, 0, 1), ()),
    (nn.Hardswish, lambda x: x * np.clip(x / 6 + 0.5, 0, 1), ()),
    (nn.Sigmoid, sigmoid, ()),
    (nn.Tanh, np.tanh, ()),
    (nn.LogSigmoid, lambda x: -np.log1p(np.exp(-x)), ()),
    (nn.Softsign, lambda x: x / (1 + abs(x)), ()),
    (nn.Tanhshrink, lambda x: x - np.tanh(x), ()),
    (
        nn.Hardtanh,
        lambda x, min_val, max_val, min_value, max_value: np.clip(
            x, min_val if min_value is None else min_value, max_val if max_value is None else max_value
        ),
        ({"min_val": -0.5}, {"max_val": 0.7}, {"min_value": -2.0}, {"max_value": 3.0}),
    ),
    (nn.LeakyReLU, lambda x, negative_slope: np.where(x > 0, x, negative_slope * x), ({"negative_slope": 0.3},)),
    (nn.RReLU, lambda x, lower, upper: np.where(x > 0, x, x * (lower + upper) / 2), ({"lower": 0.3}, {"upper": 0.9})),
    (nn.ELU, lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0))), ({"alpha": 0.5},)),
    (nn.CELU, lambda x, alpha: np.maximum(x, 0) + np.minimum(0, alpha * np.expm1(x / alpha)), ({"alpha": 0.5},)),
    (
        nn.GELU,
        lambda x, approximate: (
            x * 0.5 * (1 + ERF(x / math.sqrt(2)))
            if approximate == "none"
            else 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        ),
        ({"approximate": "tanh"},),
    ),
    (
        nn.Softplus,
        lambda x, beta, threshold: np.where(beta * x > threshold, x, np.log1p(np.exp(beta * x)) / beta),
        ({"beta": 2.0}, {"threshold": 1.0}),
    ),
    (nn.Hardshrink, lambda x, lambd: np.where(abs(x) > lambd, x, 0), ({"lambd": 0.35},)),
    (nn.Softshrink, lambda x, lambd: np.sign(x) * np.maximum(abs(x) - lambd, 0), ({"lambd": 0.35},)),
):
    case(cls, elementwise(f), (WIDE,), {}, *options, training=False)
case(
    nn.Threshold,
    elementwise(lambda x, threshold, value: np.where(x > threshold, x, value)),
    (WIDE,),
    {"threshold": 0.3, "value": 7.0},
)
case(
    nn.PReLU,
    lambda p, x, num_parameters, init: np.where(x > 0, x, p["weight"] * x),
    (X,),
    {},
    {"num_parameters": 4},
)
case(
    nn.GLU,
    lambda p, x, dim: np.split(x, 2, dim)[0] * sigmoid(np.split(x, 2, dim)[1]),
    (numbers(4, 6),),
    {},
    {"dim": 0},
)
Y = numbers(2, 3, 4, 5)


def along(f):
    def reference(p, x, dim=-3):
        if dim is None:
            dim = 0 if x.ndim in (0, 1, 3) else 1
        return np.moveaxis(f(np.moveaxis(x, dim, -1)), -1, dim)

    return reference


for cls, f in (
    (nn.Softmax, softmax),
    (nn.Softmin, lambda x: softmax(-x)),
    (nn.LogSoftmax, lambda x: np.log(softmax(x))),
):
    case(cls, along(f), (Y,), {}, {"dim": -1}, {"dim": 2})
    case(cls, along(f), (Y[0],), {})
case(nn.Softmax2d, along(softmax), (Y,), {})
case(nn.Softmax2d, along(softmax), (Y[0],), {})

INPLACE = [
    nn.ReLU, nn.ReLU6, nn.SELU, nn.SiLU, nn.Mish, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU, nn.ELU,
    nn.CELU, nn.RReLU, nn.Threshold,
]  # fmt: skip


@pytest.mark.parametrize("cls", INPLACE)
@pytest.mark.parametrize("training", [False, True])
def test_inplace(cls, training):
    options = {"threshold": 0.3, "value": 7.0} if cls is nn.Threshold else {}
    x, leaf = tensor(WIDE), tensor(WIDE).requires_grad_()
    rt.manual_seed(3)
    want = cls(**options).train(training)(x)
    assert want is not x and (arr(x) == WIDE).all()
    version = x._version
    rt.manual_seed(3)
    got = cls(**options, inplace=True).train(training)(x)
    assert (arr(got) == arr(want)).all() and (arr(x) == arr(want)).all()
    assert got.data_ptr() == x.data_ptr() and x._version > version
    rt.manual_seed(3)
    inner = leaf * 1
    cls(**options, inplace=True).train(training)(inner).sum().backward()
    rt.manual_seed(3)
    again = tensor(WIDE).requires_grad_()
    cls(**options).train(training)(again).sum().backward()
    assert (arr(leaf.grad) == arr(again.grad)).all()
    TRIED.setdefault(cls.__name__, set()).add("inplace")


def test_rrelu_draws_slopes_in_training():
    x = -rt.ones(2000, dtype=rt.float64)
    slopes = -arr(nn.RReLU(0.2, 0.6)(x))
    assert slopes.min() >= 0.2 and slopes.max() <= 0.6 and slopes.min() < 0.21 and slopes.max() > 0.59
    assert abs(slopes.mean() - 0.4) < 0.02 and (arr(nn.RReLU(0.2, 0.6)(rt.ones(9))) == 1).all()


def test_prelu_starts_at_init():
    assert arr(nn.PReLU(3).weight).tolist() == [0.25] * 3 and arr(nn.PReLU(2, init=0.5).weight).tolist() == [0.5] * 2
    TRIED.setdefault("PReLU", set()).add("init")


# ---- linear ----


def linear(p, x, prefix="", bias=True, **_):
    return x @ p[prefix + "weight"].T + (p[prefix + "bias"] if bias else 0)


case(
    nn.Linear, linear, (numbers(2, 5, 4),), *({"in_features": 4, "out_features": 3, **o} for o in ({}, {"bias": False}))
)
case(
    nn.Bilinear,
    lambda p, a, b, bias, **_: np.einsum("ni,oij,nj->no", a, p["weight"], b) + (p["bias"] if bias else 0),
    (numbers(5, 2), numbers(5, 3, seed=1)),
    *({"in1_features": 2, "in2_features": 3, "out_features": 4, **o} for o in ({}, {"bias": False})),
)
case(nn.Identity, lambda p, x: x, (X,), {})


# ---- convolution ----


def convolved(x, w, stride, dilation, groups):
    """Cross-correlation of [N, C, *] with [O, C / groups, *], no padding."""
    n = x.ndim - 2
    k = w.shape[2:]
    size = [(x.shape[2 + d] - dilation[d] * (k[d] - 1) - 1) // stride[d] + 1 for d in range(n)]
    y = np.zeros((x.shape[0], w.shape[0], *size))
    per, each = w.shape[1], w.shape[0] // groups
    for o in range(w.shape[0]):
        part = x[:, o // each * per : (o // each + 1) * per]
        for at in np.ndindex(*size):
            where = tuple(
                slice(at[d] * stride[d], at[d] * stride[d] + dilation[d] * (k[d] - 1) + 1, dilation[d])
                for d in range(n)
            )
            y[(slice(None), o, *at)] = (part[(slice(None), slice(None), *where)] * w[o]).reshape(len(x), -1).sum(1)
    return y


MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}


def conv(p, x, stride, padding, dilation, groups, bias, padding_mode, **_):
    n = p["weight"].ndim - 2
    batched = x.ndim == n + 2
    stride, dilation = spread(stride, n), spread(dilation, n)
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(dilation, p["weight"].shape[2:])]
        sides = [(t // 2, t - t // 2) for t in total]
    else:
        sides = [(q, q) for q in spread(0 if padding == "valid" else padding, n)]
    x = np.pad(x if batched else x[None], [(0, 0), (0, 0), *sides], mode=MODES[padding_mode])
    y = convolved(x, p["weight"], stride, dilation, groups)
    if bias:
        y = y + p["bias"].reshape(-1, *(1,) * n)
    return y if batched else y[0]


def conv_transpose(p, x, stride, padding, output_padding, groups, bias, dilation, output_size, **_):
    w = p["weight"]
    n = w.ndim - 2
    stride, padding, dilation, extra = (spread(v, n) for v in (stride, padding, dilation, output_padding))
    k = w.shape[2:]
    if output_size is not None:
        least = [(x.shape[2 + d] - 1) * stride[d] - 2 * padding[d] + dilation[d] * (k[d] - 1) + 1 for d in range(n)]
        extra = [want - low for want, low in zip(output_size[-n:], least)]
    size = [(x.shape[2 + d] - 1) * stride[d] + dilation[d] * (k[d] - 1) + 1 + extra[d] for d in range(n)]
    each = w.shape[1]
    y = np.zeros((x.shape[0], each * groups, *size))
    for c in range(x.shape[1]):
        first = c // (x.shape[1] // groups) * each
        for at in np.ndindex(*x.shape[2:]):
            for tap in np.ndindex(*k):
                to = tuple(at[d] * stride[d] + tap[d] * dilation[d] for d in range(n))
                y[(slice(None), slice(first, first + each), *to)] += np.outer(
                    x[(slice(None), c, *at)], w[(c, slice(None), *tap)]
                )
    y = y[(slice(None), slice(None), *(slice(q, s - q) for q, s in zip(padding, size)))]
    return y + p["bias"].reshape(-1, *(1,) * n) if bias else y


FIRST = {"padding": 0, "output_padding": 0, "groups": 1, "bias": False, "dilation": 1, "output_size": None}
for n, cls, back, size in (
    (1, nn.Conv1d, nn.ConvTranspose1d, (7,)),
    (2, nn.Conv2d, nn.ConvTranspose2d, (7, 6)),
    (3, nn.Conv3d, nn.ConvTranspose3d, (4, 5, 4)),
):
    base = {"in_channels": 4, "out_channels": 6, "kernel_size": tuple(range(2, 2 + n))}
    x = numbers(2, 4, *size)
    case(
        cls,
        conv,
        (x,),
        *(
            {**base, **o}
            for o in (
                {},
                {"kernel_size": 2},
                {"stride": 2},
                {"stride": tuple(range(1, n + 1))[::-1]} if n > 1 else {"stride": (3,)},
                {"padding": 1},
                {"padding": tuple(range(1, n + 1))},
                {"padding": "same"},
                {"padding": "same", "dilation": (3, 1, 1)[:n]},
                {"dilation": (2, 1, 1)[:n]},
                {"groups": 2},
                {"bias": False},
                {"padding": 1, "padding_mode": "reflect"},
                {"padding": (1, 2, 1)[:n], "padding_mode": "replicate"},
                {"padding": "same", "padding_mode": "circular"},
                {"stride": 2, "padding": 1, "dilation": (2, 1, 1)[:n], "groups": 2},
                {"stride": 2, "padding": 1, "dilation": (2, 1, 1)[:n], "groups": 2, "padding_mode": "reflect"},
            )
        ),
    )
    case(cls, conv, (x[0],), base)
    case(cls, conv, (x,), {**base, "stride": 2, "padding": "valid"}, same=("padding",))
    x = numbers(2, 4, *(3, 4, 3)[:n])
    base = {"in_channels": 4, "out_channels": 6, "kernel_size": tuple(range(2, 2 + n))}
    case(
        back,
        conv_transpose,
        (x,),
        *(
            {**base, **o}
            for o in (
                {},
                {"stride": 2},
                {"stride": (3, 2, 1)[:n]},
                {"padding": 1},
                {"stride": 2, "output_padding": 1},
                {"dilation": (1, 2, 2)[3 - n :], "output_padding": (0, 1, 1)[3 - n :]},
                {"groups": 2},
                {"bias": False},
                {"dilation": (2, 1, 1)[:n]},
                {"stride": 2, "padding": 1, "dilation": 2, "output_padding": 1, "groups": 2},
            )
        ),
    )
    for o in ({"stride": 2}, {"stride": 3, "dilation": 2, "padding": 1}):
        least = conv_transpose({"weight": np.zeros((4, 6, *range(2, 2 + n)))}, x, **{**FIRST, **o}).shape[2:]
        for want in (tuple(v + o["stride"] - 1 for v in least), tuple(v + d % 2 for d, v in enumerate(least, 1))):
            case(back, conv_transpose, (x,), {**base, **o}, call={"output_size": want})
        case(back, conv_transpose, (x,), {**base, **o}, call={"output_size": (2, 6, *want)})


# ---- pooling ----


def pooled(x, n, how, kernel, stride, padding, dilation, ceil):
    """`how(window [..., elements], its flat places, count with padding)` over windows of the last `n` dimensions."""
    size, lead = x.shape[-n:], x.shape[:-n]
    counts = []
    for d in range(n):
        room = size[d] + 2 * padding[d] - dilation[d] * (kernel[d] - 1) - 1
        count = -(-room // stride[d]) + 1 if ceil else room // stride[d] + 1
        # A window must begin inside the input or the padding before it.
        counts.append(count - 1 if (count - 1) * stride[d] >= size[d] + padding[d] else count)
    outs = []
    flat = np.arange(math.prod(size)).reshape(size)
    for at in np.ndindex(*counts):
        starts = [a * s - q for a, s, q in zip(at, stride, padding)]
        rows = [[p for p in range(b, b + g * k, g) if 0 <= p < m] for b, g, k, m in zip(starts, dilation, kernel, size)]
        padded = math.prod(min(b + k, m + q) - b for b, k, m, q in zip(starts, kernel, size, padding))
        places = flat[np.ix_(*rows)].ravel()
        outs.append(how(x.reshape(*lead, -1)[..., places], places, padded))
    return [np.stack(part, -1).reshape(*lead, *counts) for part in zip(*outs)]


def max_pool(n):
    def reference(p, x, kernel_size, stride, padding, dilation, return_indices, ceil_mode):
        k = spread(kernel_size, n)
        s = k if stride is None else spread(stride, n)
        best = lambda w, places, _: (w.max(-1), places[w.argmax(-1)])  # noqa: E731
        values, at = pooled(x, n, best, k, s, spread(padding, n), spread(dilation, n), ceil_mode)
        return (values, at) if return_indices else values

    return reference


def avg_pool(n):
    def reference(p, x, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override=None):
        k = spread(kernel_size, n)
        s = k if stride is None else spread(stride, n)

        def mean(w, places, padded):
            return (w.sum(-1) / (divisor_override or (padded if count_include_pad else len(places))),)

        return pooled(x, n, mean, k, s, spread(padding, n), (1,) * n, ceil_mode)[0]

    return reference


def lp_pool(n):
    def reference(p, x, norm_type, kernel_size, stride, ceil_mode):
        k = spread(kernel_size, n)
        s = k if stride is None else spread(stride, n)

        def norm(w, places, padded):
            # As in PyTorch, the mean times the number of elements of a whole window.
            return (((w**norm_type).mean(-1) * math.prod(k)) ** (1 / norm_type),)

        return pooled(x, n, norm, k, s, (0,) * n, (1,) * n, ceil_mode)[0]

    return reference


def adaptive(kind, n):
    def reference(p, x, output_size, return_indices=False):
        size = x.shape[-n:]
        wanted = [m if w is None else w for w, m in zip(spread(output_size, n), size)]
        flat = np.arange(math.prod(size)).reshape(size)
        values, places = [], []
        for at in np.ndindex(*wanted):
            rows = [range(a * m // w, -(-(a + 1) * m // w)) for a, m, w in zip(at, size, wanted)]
            where = flat[np.ix_(*rows)].ravel()
            part = x.reshape(*x.shape[:-n], -1)[..., where]
            values.append(part.mean(-1) if kind == "avg" else part.max(-1))
            places.append(where[part.argmax(-1)])
        both = [np.stack(v, -1).reshape(*x.shape[:-n], *wanted) for v in (values, places)]
        return both if return_indices else both[0]

    return reference


for n in (1, 2, 3):
    x = numbers(2, 3, *(8, 6, 5)[:n])
    cls = getattr(nn, f"MaxPool{n}d")
    case(
        cls,
        max_pool(n),
        (x,),
        {"kernel_size": 2},
        {"kernel_size": (3, 2, 2)[:n], "stride": (2, 1, 2)[:n]},
        {"kernel_size": 2, "padding": 1},
        {"kernel_size": 3, "padding": (1, 0, 1)[:n], "stride": 2},
        {"kernel_size": 2, "dilation": 2},
        {"kernel_size": 3, "ceil_mode": True},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "dilation": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1, "return_indices": True},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "dilation": 2, "return_indices": True},
    )
    case(cls, max_pool(n), (x[0],), {"kernel_size": 2})
    # The last window would begin outside.
    case(cls, max_pool(n), (x,), {"kernel_size": 1, "stride": 8, "ceil_mode": True}, same=("ceil_mode",))
    cls = getattr(nn, f"AvgPool{n}d")
    case(
        cls,
        avg_pool(n),
        (x,),
        {"kernel_size": 2},
        {"kernel_size": (3, 2, 2)[:n], "stride": (2, 1, 2)[:n]},
        {"kernel_size": 3, "padding": 1},
        {"kernel_size": 3, "padding": 1, "count_include_pad": False},
        {"kernel_size": 3, "ceil_mode": True},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True, "count_include_pad": False},
        *([{"kernel_size": 3, "padding": 1, "divisor_override": 5}] if n > 1 else []),
    )
    case(
        getattr(nn, f"LPPool{n}d"),
        lp_pool(n),
        (abs(x),),
        {"norm_type": 2, "kernel_size": 2},
        {"norm_type": 3.0, "kernel_size": 3, "stride": 2},
        {"norm_type": 1, "kernel_size": (2, 3, 2)[:n], "stride": 2, "ceil_mode": True}
        if n > 1
        else {"norm_type": 1, "kernel_size": 3, "ceil_mode": True},
    )

    sizes = [{"output_size": 3}, {"output_size": (2, 4, 3)[:n]}]
    if n > 1:
        sizes.append({"output_size": (None, 2, None)[:n]})
    case(getattr(nn, f"AdaptiveAvgPool{n}d"), adaptive("avg", n), (x,), *sizes)
    case(
        getattr(nn, f"AdaptiveMaxPool{n}d"),
        adaptive("max", n),
        (x,),
        *sizes,
        {"output_size": 3, "return_indices": True},
    )

    def unpool(p, x, indices, kernel_size, stride, padding, output_size, n=n):
        k = spread(kernel_size, n)
        s, q = (k if stride is None else spread(stride, n)), spread(padding, n)
        size = [(m - 1) * a - 2 * b + c for m, a, b, c in zip(x.shape[-n:], s, q, k)]
        size = list(output_size)[-n:] if output_size is not None else size
        y = np.zeros((*x.shape[:-n], math.prod(size)))
        for lead in np.ndindex(*x.shape[:-n]):
            y[lead][indices[lead].ravel()] = x[lead].ravel()
        return y.reshape(*x.shape[:-n], *size)

    small = numbers(2, 3, *(3, 2, 2)[:n])
    # Places that every size here has, each once: the numbers of the elements themselves, backwards.
    places = np.broadcast_to(np.arange(math.prod(small.shape[2:]))[::-1].reshape(small.shape[2:]), small.shape).copy()
    cls = getattr(nn, f"MaxUnpool{n}d")
    case(
        cls,
        unpool,
        (small, places),
        {"kernel_size": 2},
        {"kernel_size": (3, 2, 2)[:n], "stride": (2, 3, 2)[:n]},
        {"kernel_size": 3, "padding": 1, "stride": 2},
    )
    case(cls, unpool, (small, places), {"kernel_size": 2}, call={"output_size": [m * 2 + 1 for m in small.shape[2:]]})
    case(
        cls,
        unpool,
        (small, places),
        {"kernel_size": 2},
        call={"output_size": [2, 3, *(m * 2 - 1 for m in small.shape[2:])]},
    )


# ---- normalisation ----


def scaled(p, y, shape):
    for name, f in (("weight", np.multiply), ("bias", np.add)):
        if name in p:
            y = f(y, p[name].reshape(shape))
    return y


def batch_norm(training):
    def reference(p, x, eps, track_running_stats, **_):
        axes = tuple(d for d in range(x.ndim) if d != 1)
        shape = (1, -1, *(1,) * (x.ndim - 2))
        mean, var = x.mean(axes), x.var(axes)
        if not training and track_running_stats:
            mean, var = p["running_mean"], p["running_var"]
        return scaled(p, (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps), shape)

    return reference


def instance_norm(training):
    def reference(p, x, eps, track_running_stats, **_):
        axes = tuple(range(2, x.ndim))
        shape = (1, -1, *(1,) * (x.ndim - 2))
        mean, var = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
        if not training and track_running_stats:
            mean, var = p["running_mean"].reshape(shape), p["running_var"].reshape(shape)
        return scaled(p, (x - mean) / np.sqrt(var + eps), shape)

    return reference


for n in (1, 2, 3):
    x = numbers(4, 3, *(5, 4, 2)[:n]) * 0.1 + 1
    for training in (True, False):
        base = {"num_features": 3}
        case(
            getattr(nn, f"BatchNorm{n}d"),
            batch_norm(training),
            (x,),
            base,
            {**base, "eps": 0.1},
            {**base, "affine": False},
            {**base, "bias": False},
            *([] if training else [{**base, "track_running_stats": False}]),
            training=training,
        )
        case(
            getattr(nn, f"InstanceNorm{n}d"),
            instance_norm(training),
            (x,),
            base,
            {**base, "eps": 0.1},
            {**base, "affine": True},
            {**base, "affine": True, "bias": False},
            *([] if training else [{**base, "track_running_stats": True}]),
            training=training,
        )
case(nn.BatchNorm1d, batch_norm(True), (numbers(5, 3),), {"num_features": 3})


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("kind", ["Batch", "Instance"])
def test_running_statistics(n, kind):
    cls = getattr(nn, f"{kind}Norm{n}d")
    x = [numbers(4, 3, *(5, 4, 2)[:n], seed=i) + i for i in range(3)]
    axes = tuple(d for d in range(n + 2) if d != 1)
    count = x[0].size / 3
    for momentum in (0.1, 0.3, 1.0, None):
        if momentum is None and kind == "Instance":
            continue
        m = (
            cls(3, momentum=momentum, track_running_stats=True).double()
            if momentum != 0.1
            else (cls(3, track_running_stats=True).double())
        )
        mean, var = np.zeros(3), np.ones(3)
        for t, v in enumerate(x, 1):
            m(tensor(v))
            share = 1 / t if momentum is None else momentum
            if kind == "Batch":
                new = v.var(axes) * count / (count - 1)
            else:
                inner = tuple(range(2, n + 2))
                new = v.var(inner, ddof=1).mean(0)
            mean, var = (1 - share) * mean + share * v.mean(axes), (1 - share) * var + share * new
        np.testing.assert_allclose(arr(m.running_mean), mean, rtol=1e-9)
        np.testing.assert_allclose(arr(m.running_var), var, rtol=1e-9)
        if kind == "Batch":
            assert m.num_batches_tracked.item() == 3
        m.eval()(tensor(x[0]))
        np.testing.assert_allclose(arr(m.running_mean), mean, rtol=1e-9)
        m.reset_running_stats()
        assert arr(m.running_mean).tolist() == [0] * 3 and arr(m.running_var).tolist() == [1] * 3
    off = cls(3, track_running_stats=False)
    assert off.running_mean is off.running_var is off.num_batches_tracked is None
    TRIED.setdefault(cls.__name__, set()).update(("momentum", "track_running_stats"))


def over(axes_of):
    def reference(p, x, eps, **o):
        axes, shape = axes_of(x, o)
        y = (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + eps)
        return scaled(p, y, shape)

    return reference


def last(x, o):
    s = spread(o["normalized_shape"], 1)
    return tuple(range(-len(s), 0)), s


for shape in (5, (4, 5)):
    base = {"normalized_shape": shape}
    case(
        nn.LayerNorm,
        over(last),
        (numbers(3, 4, 5) * 0.1,),
        base,
        {**base, "eps": 0.1},
        {**base, "elementwise_affine": False},
        {**base, "bias": False},
    )
    case(
        nn.RMSNorm,
        lambda p, x, eps, **o: scaled(
            p,
            x / np.sqrt((x**2).mean(last(x, o)[0], keepdims=True) + (np.finfo(float).eps if eps is None else eps)),
            spread(o["normalized_shape"], 1),
        ),
        (numbers(3, 4, 5) * 1e-7,),
        base,
        {**base, "eps": 1e-14},
        {**base, "elementwise_affine": False},
    )


def group_norm(p, x, num_groups, num_channels, eps, **_):
    g = x.reshape(len(x), num_groups, -1)
    y = (g - g.mean(2, keepdims=True)) / np.sqrt(g.var(2, keepdims=True) + eps)
    return scaled(p, y.reshape(x.shape), (1, -1, *(1,) * (x.ndim - 2)))


base = {"num_groups": 3, "num_channels": 6}
case(
    nn.GroupNorm,
    group_norm,
    (numbers(2, 6, 3, 2) * 0.1,),
    base,
    {**base, "eps": 0.1},
    {**base, "affine": False},
    {**base, "bias": False},
    {**base, "num_groups": 6},
)


def response_norm(p, x, size, alpha, beta, k):
    y = np.empty_like(x)
    for c in range(x.shape[1]):
        near = x[:, max(0, c - size // 2) : c + (size - 1) // 2 + 1]
        y[:, c] = x[:, c] / (k + alpha * (near**2).sum(1) / size) ** beta
    return y


for size in (2, 3):
    base = {"size": size}
    case(
        nn.LocalResponseNorm,
        response_norm,
        (numbers(2, 5, 3, 2),),
        base,
        {**base, "alpha": 0.5},
        {**base, "beta": 0.3},
        {**base, "k": 2.0},
    )


# ---- padding, resizing, shapes ----

for n in (1, 2, 3):
    x = numbers(2, 3, *(5, 4, 4)[:n])
    uneven = tuple(range(1, 2 * n + 1)) if n == 1 else (1, 2, 3, 0, 2, 1)[: 2 * n]
    for kind in ("Constant", "Zero", "Reflection", "Replication", "Circular"):
        mode = {"Reflection": "reflect", "Replication": "edge", "Circular": "wrap"}.get(kind)

        def padded(p, x, padding, value=0.0, n=n, mode=mode):
            sides = [padding] * 2 * n if isinstance(padding, int) else list(padding)
            width = [(0, 0)] * (x.ndim - n) + list(zip(sides[::2], sides[1::2]))[::-1]
            return np.pad(x, width, mode=mode) if mode else np.pad(x, width, constant_values=value)

        extra = {"value": 3.5} if kind == "Constant" else {}
        cls = getattr(nn, f"{kind}Pad{n}d")
        case(cls, padded, (x,), {"padding": 2, **extra}, {"padding": uneven, **extra})
        case(cls, padded, (x[0],), {"padding": 1, **extra})


def along_line(x, new, ratio, mode, corners):
    """Resizes the last dimension. `ratio` is old elements per new one."""
    old = x.shape[-1]
    out = []
    for i in range(new):
        if mode == "nearest":
            out.append(x[..., min(int(i * ratio), old - 1)])
            continue
        if mode == "nearest-exact":
            out.append(x[..., min(int((i + 0.5) * ratio), old - 1)])
            continue
        at = i * (old - 1) / (new - 1) if corners and new > 1 else 0.0 if corners else (i + 0.5) * ratio - 0.5
        if mode == "bicubic":
            low = math.floor(at)
            total = 0
            for j in range(low - 1, low + 3):
                d, a = abs(at - j), -0.75
                weight = (a + 2) * d**3 - (a + 3) * d**2 + 1 if d <= 1 else a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a
                total = total + weight * x[..., min(max(j, 0), old - 1)]
            out.append(total)
            continue
        at = max(at, 0.0)
        low = min(int(at), old - 1)
        high = min(low + 1, old - 1)
        out.append(x[..., low] * (1 - (at - low)) + x[..., high] * (at - low))
    return np.stack(out, -1)


def resized(p, x, size, scale_factor, mode, align_corners, recompute_scale_factor):
    n = x.ndim - 2
    for d in range(n):
        old = x.shape[2 + d]
        if size is not None:
            new = spread(size, n)[d]
            ratio = old / new
        else:
            factor = spread(scale_factor, n)[d]
            new = math.floor(old * factor)
            ratio = old / new if recompute_scale_factor else 1 / factor
        x = np.moveaxis(along_line(np.moveaxis(x, 2 + d, -1), new, ratio, mode, align_corners), -1, 2 + d)
    return x


for n, smooth in ((1, ["linear"]), (2, ["bilinear", "bicubic"]), (3, ["trilinear"])):
    x = numbers(2, 3, *(5, 4, 3)[:n])
    sizes = [{"size": 7}, {"size": (7, 3, 4)[:n]}, {"scale_factor": 1.7}, {"scale_factor": (2.4, 0.6, 1.5)[:n]}]
    recomputed = {"scale_factor": 1.7, "recompute_scale_factor": True}
    case(nn.Upsample, resized, (x,), *sizes)
    case(nn.Upsample, resized, (x,), recomputed, same=("recompute_scale_factor",))
    case(nn.Upsample, resized, (x,), *({**s, "mode": "nearest-exact"} for s in sizes))
    for mode in smooth:
        case(
            nn.Upsample,
            resized,
            (x,),
            *({**s, "mode": mode} for s in [*sizes, recomputed]),
            *({**s, "mode": mode, "align_corners": True} for s in sizes[:2]),
        )
x = numbers(2, 3, 4, 3)
UP = {"size": None, "scale_factor": None, "recompute_scale_factor": None}
near = lambda p, x, **o: resized(p, x, **{**UP, **o, "mode": "nearest", "align_corners": None})  # noqa: E731
corners = lambda p, x, **o: resized(p, x, **{**UP, **o, "mode": "bilinear", "align_corners": True})  # noqa: E731
for cls, f in ((nn.UpsamplingNearest2d, near), (nn.UpsamplingBilinear2d, corners)):
    case(cls, f, (x,), {"size": (7, 5)}, {"scale_factor": 2}, {"scale_factor": (3, 2)})

x = numbers(2, 3, 4, 5)
case(
    nn.Flatten,
    lambda p, x, start_dim, end_dim: x.reshape(
        *x.shape[:start_dim], -1, *x.shape[end_dim + 1 + (x.ndim if end_dim < 0 else 0) :]
    ),
    (x,),
    {},
    {"start_dim": 2},
    {"end_dim": 2},
    {"start_dim": 0, "end_dim": -2},
)
case(
    nn.Unflatten,
    lambda p, x, dim, unflattened_size: x.reshape(*x.shape[:dim], *unflattened_size, *x.shape[dim + 1 :]),
    (x,),
    {"dim": 2, "unflattened_size": (2, 2)},
)
case(
    nn.PixelShuffle,
    lambda p, x, upscale_factor: np.stack(
        [
            [[[x[b, c * 4 + i % 2 * 2 + j % 2, i // 2, j // 2] for j in range(10)] for i in range(8)] for c in range(3)]
            for b in range(2)
        ]
    ),
    (numbers(2, 12, 4, 5),),
    {"upscale_factor": 2},
)
case(
    nn.PixelUnshuffle,
    lambda p, x, downscale_factor: np.stack([x[:, c // 4, c % 4 // 2 :: 2, c % 2 :: 2] for c in range(12)], 1),
    (numbers(2, 3, 8, 10),),
    {"downscale_factor": 2},
)
case(
    nn.ChannelShuffle,
    lambda p, x, groups: np.stack([x[:, c % groups * 2 + c // groups] for c in range(6)], 1),
    (numbers(2, 6, 3, 2),),
    {"groups": 3},
)


def columns(p, x, kernel_size, dilation, padding, stride):
    k, g, q, s = (spread(v, 2) for v in (kernel_size, dilation, padding, stride))
    x = np.pad(x, [(0, 0), (0, 0), *((v, v) for v in q)])
    size = [(x.shape[2 + d] - g[d] * (k[d] - 1) - 1) // s[d] + 1 for d in range(2)]
    y = np.zeros((len(x), x.shape[1], *k, *size))
    for a, b, i, j in np.ndindex(*k, *size):
        y[:, :, a, b, i, j] = x[:, :, i * s[0] + a * g[0], j * s[1] + b * g[1]]
    return y.reshape(len(x), -1, size[0] * size[1])


def folded(p, x, output_size, kernel_size, dilation, padding, stride):
    # The transpose of `columns`, by what it does to each unit vector.
    size = spread(output_size, 2)
    units = np.eye(size[0] * size[1]).reshape(-1, 1, *size)
    m = columns({}, units, kernel_size, dilation, padding, stride)
    k = spread(kernel_size, 2)
    y = x.reshape(len(x), -1, k[0] * k[1], x.shape[2])
    return np.einsum("nckp,ukp->ncu", y, m).reshape(len(x), -1, *size)


x = numbers(2, 3, 6, 7)
geometries = (
    {"kernel_size": 2},
    {"kernel_size": (2, 3), "stride": (2, 1)},
    {"kernel_size": 2, "dilation": (2, 3)},
    {"kernel_size": 3, "padding": (1, 2)},
    {"kernel_size": (3, 2), "padding": 1, "stride": 2, "dilation": 2},
)
case(nn.Unfold, columns, (x,), *geometries)
for o in geometries:
    full = {"dilation": 1, "padding": 0, "stride": 1, **o}
    count = columns({}, x, **full).shape[2]
    case(
        nn.Fold, folded, (numbers(2, 3 * math.prod(spread(o["kernel_size"], 2)), count),), {"output_size": (6, 7), **o}
    )


# ---- distances ----

A, B = numbers(3, 4, 5), numbers(3, 4, 5, seed=1)
case(
    nn.PairwiseDistance,
    lambda q, a, b, p, eps, keepdim: (abs(a - b + eps) ** p).sum(-1, keepdims=keepdim) ** (1 / p),
    (A, B),
    {},
    {"p": 3.0},
    {"eps": 0.1},
    {"keepdim": True},
)


def cosine(p, a, b, dim, eps):
    size = [np.maximum(np.sqrt((v * v).sum(dim)), eps) for v in (a, b)]
    return (a * b).sum(dim) / size[0] / size[1]


case(nn.CosineSimilarity, cosine, (A, B), {}, {"dim": 2}, {"eps": 50.0}, {"eps": 1.8})


# ---- look-up tables ----

IDS = np.array([[0, 4, 2], [2, 2, 1]])


def embedded(p, x, norm_type=2.0, max_norm=None, **_):
    table = p["weight"].copy()
    if max_norm is not None:
        size = (abs(table) ** norm_type).sum(1, keepdims=True) ** (1 / norm_type)
        table = np.where(size > max_norm, table * max_norm / size, table)
    return table[x]


base = {"num_embeddings": 5, "embedding_dim": 3}
case(nn.Embedding, embedded, (IDS,), base, {**base, "max_norm": 0.3}, {**base, "max_norm": 0.4, "norm_type": 1.0})


def bagged(p, x, offsets, per_sample_weights, mode, include_last_offset, padding_idx, max_norm, norm_type, **_):
    if x.ndim == 2:
        bags = [list(zip(row, range(i * x.shape[1], (i + 1) * x.shape[1]))) for i, row in enumerate(x)]
    else:
        ends = [*offsets] if include_last_offset else [*offsets, len(x)]
        bags = [[(x[i], i) for i in range(a, b)] for a, b in itertools.pairwise(ends)]
    weights = np.ones(x.size) if per_sample_weights is None else per_sample_weights.ravel()
    out = []
    for bag in bags:
        rows = [embedded(p, int(k), norm_type, max_norm).reshape(-1) * weights[i] for k, i in bag if k != padding_idx]
        how = {"sum": np.sum, "mean": np.mean, "max": np.max}[mode]
        out.append(how(rows, 0) if rows else np.zeros(p["weight"].shape[1]))
    return np.stack(out)


FLAT, STARTS = np.array([0, 4, 2, 2, 1]), np.array([0, 2, 2])
case(
    nn.EmbeddingBag,
    bagged,
    (IDS,),
    base,
    *({**base, "mode": mode} for mode in ("sum", "max")),
    {**base, "max_norm": 0.3},
    {**base, "max_norm": 0.4, "norm_type": 1.0},
    {**base, "padding_idx": 2},
    {**base, "padding_idx": 2, "mode": "max"},
)
case(nn.EmbeddingBag, bagged, (IDS,), {**base, "mode": "sum"}, call={"per_sample_weights": numbers(2, 3, seed=5)})
for mode in ("sum", "mean", "max"):
    case(nn.EmbeddingBag, bagged, (FLAT,), {**base, "mode": mode}, call={"offsets": STARTS}, same=("mode",))
    case(
        nn.EmbeddingBag,
        bagged,
        (FLAT,),
        {**base, "mode": mode, "include_last_offset": True, "padding_idx": 4},
        call={"offsets": np.array([0, 2, 2, 5])},
        same=("mode",),
    )


def test_tables():
    weight = tensor(numbers(5, 3))
    m = nn.Embedding(5, 3, padding_idx=1)
    assert arr(m.weight)[1].tolist() == [0] * 3 and (arr(m.weight) != 0).any(1).tolist() == [True, False] + [True] * 3
    m(rt.tensor([1, 1, 2])).sum().backward()
    assert arr(m.weight.grad).tolist() == [[0] * 3, [0] * 3, [1] * 3, [0] * 3, [0] * 3]
    assert nn.Embedding(5, 3, padding_idx=-2).padding_idx == 3
    own = nn.Embedding(5, 3, _weight=weight)
    assert (arr(own.weight) == arr(weight)).all() and own.weight.requires_grad
    for cls in (nn.Embedding, nn.EmbeddingBag):
        options = {"max_norm": 0.3, "norm_type": 1.0, "padding_idx": 2}
        assert not cls.from_pretrained(weight).weight.requires_grad
        made = cls.from_pretrained(weight.clone(), freeze=False, **options)
        assert made.weight.requires_grad and (made.max_norm, made.norm_type, made.padding_idx) == (0.3, 1.0, 2)
        assert (arr(made.weight) == arr(weight)).all()
        ids = rt.tensor([[0, 1]])
        size = abs(arr(weight)).sum(1, keepdims=True)
        short = np.where(size > 0.3, arr(weight) * 0.3 / size, arr(weight))
        got = arr(made(ids))
        np.testing.assert_allclose(
            got, short[[[0, 1]]] if cls is nn.Embedding else short[[0, 1]].mean(0)[None], rtol=1e-5
        )
    bag = nn.EmbeddingBag.from_pretrained(weight, mode="sum", include_last_offset=True)
    np.testing.assert_allclose(
        arr(bag(rt.tensor([0, 1, 2]), rt.tensor([0, 3]))), arr(weight)[:3].sum(0)[None], rtol=1e-9
    )
    own = nn.EmbeddingBag(5, 3, _weight=weight)
    assert (arr(own.weight) == arr(weight)).all()
    TRIED.setdefault("Embedding", set()).update(("padding_idx", "_weight"))
    TRIED.setdefault("EmbeddingBag", set()).update(("padding_idx", "_weight"))


# ---- dropout ----


@pytest.mark.parametrize(
    ("cls", "shape"),
    [
        (nn.Dropout, (40, 50)),
        (nn.AlphaDropout, (40, 50)),
        (nn.Dropout1d, (40, 50, 3)),
        (nn.Dropout2d, (40, 50, 2, 2)),
        (nn.Dropout3d, (40, 50, 2, 2, 1)),
        (nn.FeatureAlphaDropout, (40, 50, 3)),
    ],
)
def test_dropout_options(cls, shape):
    for p in (None, 0.2, 0.9):
        options, share = ({}, 0.5) if p is None else ({"p": p}, p)
        x = rt.ones(*shape, dtype=rt.float64)
        y = arr(cls(**options)(x))
        if "Alpha" in cls.__name__:
            low = -1.0507009873554805 * 1.6732632423543772  # SELU far to the left
            a = ((1 - share) * (1 + share * low**2)) ** -0.5
            kept, gone = a - a * share * low, a * low - a * share * low
        else:
            kept, gone = 1 / (1 - share), 0.0
        out = np.isclose(y, gone)
        assert (out | np.isclose(y, kept)).all()
        if len(shape) > 2:
            whole = out.reshape(40, 50, -1)
            assert (whole == whole[:, :, :1]).all()
        assert abs(out.mean() - share) < 0.05
        assert (arr(x) == 1).all() and (arr(cls(**options).eval()(x)) == 1).all()
        z = cls(**options, inplace=True)(x)
        assert z.data_ptr() == x.data_ptr()
        out = np.isclose(arr(x), gone)
        assert (out | np.isclose(arr(x), kept)).all() and abs(out.mean() - share) < 0.05
        if len(shape) > 2:
            assert (out.reshape(40, 50, -1) == out.reshape(40, 50, -1)[:, :, :1]).all()
    TRIED.setdefault(cls.__name__, set()).update(("p", "inplace"))


# ---- losses ----


def loss(each, mean=None):
    """A reference from the losses of the elements; `mean` where it is not the mean of them."""

    def reference(values, /, *inputs, size_average=None, reduce=None, reduction, **o):
        if size_average is not None or reduce is not None:
            reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
        losses = np.asarray(each(*inputs, **o))
        if reduction == "none":
            return losses
        if reduction == "sum":
            return losses.sum()
        if reduction == "batchmean":
            return losses.sum() / len(losses)
        return losses.mean() if mean is None else mean(losses, *inputs, **o)

    return reference


P, T, V = numbers(4, 3), numbers(4, 3, seed=1), numbers(4, 3, seed=2)
Q, R = sigmoid(P), sigmoid(T)
LOGP = np.log(softmax(P))
SIGN = np.where(V > 0, 1.0, -1.0)
CLASS = np.array([0, 2, 1, 1])
W3 = np.array([1.0, 2.0, 0.5])
EACH = ({"reduction": "none"}, {"reduction": "sum"})
OLD = ({"size_average": False}, {"reduce": False})


def losses(cls, reference, inputs, *options):
    old = OLD if "size_average" in inspect.signature(cls.__init__).parameters else ()
    case(cls, reference, inputs, {}, *EACH, *old, *options, *({**o, "reduction": "none"} for o in options))


def huber(x, t, delta):
    d = abs(x - t)
    return np.where(d <= delta, d * d / 2, delta * (d - delta / 2))


def cross(x, t, weight, ignore_index, label_smoothing):
    logp = np.log(along(softmax)({}, x, 1))
    if t.dtype.kind == "f":
        soft = t * (1 - label_smoothing) + label_smoothing / x.shape[1]
        shape = (1, -1, *(1,) * (x.ndim - 2))
        return -(soft * logp * (1 if weight is None else weight.reshape(shape))).sum(1)
    w = np.ones(x.shape[1]) if weight is None else weight
    out = np.zeros(t.shape)
    for at in np.ndindex(*t.shape):
        c = t[at]
        if c != ignore_index:
            row = logp[(at[0], slice(None), *at[1:])]
            out[at] = -(1 - label_smoothing) * w[c] * row[c] - label_smoothing / len(row) * (w * row).sum()
    return out


def cross_mean(each, x, t, weight, ignore_index, label_smoothing=0.0):
    if t.dtype.kind == "f":
        return each.sum() / (x.size / x.shape[1])
    w = np.ones(x.shape[1]) if weight is None else weight
    return each.sum() / sum(w[c] for c in t.ravel() if c != ignore_index)


def nll(x, t, weight, ignore_index):
    w = np.ones(x.shape[1]) if weight is None else weight
    out = np.zeros(t.shape)
    for at in np.ndindex(*t.shape):
        if t[at] != ignore_index:
            out[at] = -w[t[at]] * x[(at[0], t[at], *at[1:])]
    return out


def bce(x, t, weight, pos_weight=None):
    ones = 1 if pos_weight is None else pos_weight
    return -(ones * t * np.log(x) + (1 - t) * np.log(1 - x)) * (1 if weight is None else weight)


def stirling(t):
    return np.where(t > 1, t * np.log(np.maximum(t, 1)) - t + 0.5 * np.log(2 * np.pi * np.maximum(t, 1)), 0)


losses(nn.L1Loss, loss(lambda x, t: abs(x - t)), (P, T))
losses(nn.MSELoss, loss(lambda x, t: (x - t) ** 2), (P, T))
losses(
    nn.SmoothL1Loss,
    loss(lambda x, t, beta: np.where(abs(x - t) < beta, (x - t) ** 2 / (2 * beta or 1), abs(x - t) - beta / 2)),
    (P, T),
    {"beta": 0.3},
    {"beta": 2.0},
    {"beta": 0.0},
)
losses(nn.HuberLoss, loss(huber), (P, T), {"delta": 0.3}, {"delta": 2.0})
for x, t in ((P, CLASS), (numbers(2, 3, 4), np.array([[0, 1, 2, 1], [2, 2, 0, 1]]))):
    losses(
        nn.CrossEntropyLoss,
        loss(cross, cross_mean),
        (x, t),
        {"weight": W3},
        {"ignore_index": 1},
        {"label_smoothing": 0.3},
        {"weight": W3, "ignore_index": 1},
        {"weight": W3, "ignore_index": 2, "label_smoothing": 0.3},
    )
    losses(
        nn.NLLLoss,
        loss(nll, cross_mean),
        (x, t),
        {"weight": W3},
        {"ignore_index": 1},
        {"weight": W3, "ignore_index": 2},
    )
losses(
    nn.CrossEntropyLoss,
    loss(cross, cross_mean),
    (P, softmax(T)),
    {"weight": W3},
    {"label_smoothing": 0.3},
    {"weight": W3, "label_smoothing": 0.3},
)
losses(nn.BCELoss, loss(bce), (Q, R), {"weight": W3})
losses(
    nn.BCEWithLogitsLoss,
    loss(lambda x, t, **o: bce(sigmoid(x), t, **o)),
    (P, R),
    {"weight": W3},
    {"pos_weight": W3},
    {"weight": W3[::-1].copy(), "pos_weight": W3},
)
losses(
    nn.KLDivLoss,
    loss(lambda x, t, log_target: np.exp(t) * (t - x) if log_target else t * (np.log(t) - x)),
    (LOGP, R),
    {"log_target": True},
    {"reduction": "batchmean"},
)
losses(
    nn.PoissonNLLLoss,
    loss(
        lambda x, t, log_input, full, eps: (
            (np.exp(x) - t * x if log_input else x - t * np.log(x + eps)) + (stirling(t) if full else 0)
        )
    ),
    (Q, R * 4),
    {"log_input": False},
    {"full": True},
    {"log_input": False, "eps": 0.5},
)
losses(
    nn.GaussianNLLLoss,
    loss(
        lambda x, t, v, full, eps: (
            0.5 * (np.log(np.maximum(v, eps)) + (x - t) ** 2 / np.maximum(v, eps)) + full * 0.5 * np.log(2 * np.pi)
        )
    ),
    (P, T, R),
    {"full": True},
    {"eps": 0.5},
)
losses(
    nn.HingeEmbeddingLoss,
    loss(lambda x, t, margin: np.where(t == 1, x, np.maximum(0, margin - x))),
    (P, SIGN),
    {"margin": 0.3},
)
losses(
    nn.CosineEmbeddingLoss,
    loss(
        lambda a, b, t, margin: np.where(
            t == 1, 1 - cosine({}, a, b, 1, 0), np.maximum(0, cosine({}, a, b, 1, 0) - margin)
        )
    ),
    (P, P + 0.3 * T, np.array([1.0, -1, -1, 1])),
    {"margin": 0.4},
)
losses(
    nn.MarginRankingLoss,
    loss(lambda a, b, t, margin: np.maximum(0, -t * (a - b) + margin)),
    (P, T, SIGN),
    {"margin": 0.4},
)
losses(nn.SoftMarginLoss, loss(lambda x, t: np.log1p(np.exp(-t * x))), (P, SIGN))
losses(
    nn.MultiLabelSoftMarginLoss,
    loss(lambda x, t, weight: bce(sigmoid(x), t, weight).mean(-1)),
    (P, (SIGN + 1) / 2),
    {"weight": W3},
)


def multi_margin(x, t, p, margin, weight):
    w = np.ones(x.shape[1]) if weight is None else weight
    return [
        sum(w[c] * max(0, margin - row[c] + v) ** p for i, v in enumerate(row) if i != c) / len(row)
        for row, c in zip(x, t)
    ]


losses(nn.MultiMarginLoss, loss(multi_margin), (P, CLASS), {"p": 2}, {"margin": 0.3}, {"weight": W3})


def multi_label(x, t):
    out = []
    for row, listed in zip(x, t):
        targets = list(itertools.takewhile(lambda c: c >= 0, listed))
        others = [i for i in range(len(row)) if i not in targets]
        out.append(sum(max(0, 1 - row[c] + row[i]) for c in targets for i in others) / len(row))
    return out


losses(nn.MultiLabelMarginLoss, loss(multi_label), (P, np.array([[2, -1, 0], [1, 0, -1], [-1, 1, 1], [0, 1, 2]])))


def triplet(a, b, c, margin, p, eps, swap):
    def distance(u, v):
        return (abs(u - v + eps) ** p).sum(-1) ** (1 / p)

    far = np.minimum(distance(a, c), distance(b, c)) if swap else distance(a, c)
    return np.maximum(0, margin + distance(a, b) - far)


TRIPLE = (numbers(6, 3), numbers(6, 3, seed=1), numbers(6, 3, seed=2))
losses(nn.TripletMarginLoss, loss(triplet), TRIPLE, {"margin": 0.3}, {"p": 3.0}, {"eps": 0.2}, {"swap": True})
losses(
    nn.TripletMarginWithDistanceLoss,
    loss(
        lambda a, b, c, distance_function, margin, swap: triplet(
            a, b, c, margin, 2.0 if distance_function is None else 1.0, 1e-6 if distance_function is None else 0.0, swap
        )
    ),
    TRIPLE,
    {"margin": 0.3},
    {"swap": True},
    {"distance_function": lambda u, v: (u - v).abs().sum(-1)},
)


def alignments(logp, t_in, labels, blank):
    """Cost of `labels`: all paths of `t_in` steps that become them when repeats and blanks are taken away."""
    total = 0.0
    for path in itertools.product(range(logp.shape[1]), repeat=t_in):
        kept = [c for i, c in enumerate(path) if i == 0 or path[i - 1] != c]
        if [c for c in kept if c != blank] == list(labels):
            total += math.exp(sum(logp[t, c] for t, c in enumerate(path)))
    return -math.log(total) if total else math.inf


def ctc(values, x, targets, t_in, t_out, blank, reduction, zero_infinity):
    each = [alignments(x[:, i], t_in[i], targets[i, : t_out[i]], blank) for i in range(x.shape[1])]
    each = np.array([0.0 if zero_infinity and math.isinf(v) else v for v in each])
    if reduction == "mean":
        return (each / np.maximum(t_out, 1)).mean()
    return each.sum() if reduction == "sum" else each


STEPS = np.log(softmax(numbers(4, 3, 3)))
case(
    nn.CTCLoss,
    ctc,
    (STEPS, np.array([[1, 2, 1], [1, 1, 1], [2, 0, 0]]), np.array([4, 3, 2]), np.array([2, 2, 1])),
    {},
    {"reduction": "sum"},
    {"reduction": "none"},
)
case(
    nn.CTCLoss,
    ctc,
    (STEPS, np.array([[1, 0, 1], [1, 1, 1], [0, 0, 0]]), np.array([4, 3, 2]), np.array([2, 2, 1])),
    {"blank": 2},
    {"blank": 2, "reduction": "none"},
)
case(
    nn.CTCLoss,
    ctc,
    (STEPS, np.array([[1, 2, 1], [1, 1, 1], [2, 0, 0]]), np.array([4, 2, 2]), np.array([3, 2, 1])),
    {"zero_infinity": True},
    {"zero_infinity": True, "reduction": "none"},
)


# ---- recurrent ----


class _Net:
    """What the loops of test_nn_recurrent read of a net."""

    def __init__(self, p, names, num_layers, bidirectional):
        self.num_layers, self.bidirectional = num_layers, bidirectional
        self.all_weights = [[rt.tensor(p[n].tolist(), dtype=rt.float64) for n in layer] for layer in names]


def recurrent(kind):
    def reference(
        p,
        x,
        hidden_size,
        num_layers,
        bias,
        batch_first,
        dropout,
        bidirectional,
        proj_size,
        hx,
        nonlinearity="tanh",
        **_,
    ):
        name = "RELU" if kind == "RNN" and nonlinearity == "relu" else kind
        batched = x.ndim == 3
        x = x if batched else x[:, None]
        x = x.swapaxes(0, 1) if batched and batch_first else x
        sides = ("", "_reverse") if bidirectional else ("",)
        layers = []
        for layer, side in itertools.product(range(num_layers), sides):
            gates = p[f"weight_hh_l{layer}{side}"].shape[0]
            for b in ("bias_ih", "bias_hh"):
                p.setdefault(f"{b}_l{layer}{side}", np.zeros(gates))
            names = [f"{k}_l{layer}{side}" for k in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
            layers.append(names + [f"weight_hr_l{layer}{side}"] * bool(proj_size))
        sizes = (proj_size or hidden_size, hidden_size)[: 2 if kind == "LSTM" else 1]
        rows = num_layers * len(sides)
        state = tuple(np.zeros((rows, x.shape[1], s)) for s in sizes)
        if hx is not None:
            state = tuple(arr(h) for h in (hx if kind == "LSTM" else (hx,)))
        final = []
        for layer in range(num_layers):  # with dropout of everything between the layers
            k = layer * len(sides)
            one = _Net(p, layers[k : k + len(sides)], 1, bidirectional)
            x = x * 0 if layer and dropout else x
            x, last = run_recurrent(name, one, x, tuple(s[k : k + len(sides)] for s in state))
            final.append(last)
        hidden = [np.concatenate([f[i] for f in final]) for i in range(len(sizes))]
        if not batched:
            x, hidden = x[:, 0], [h[:, 0] for h in hidden]
        elif batch_first:
            x = x.swapaxes(0, 1)
        return x, tuple(hidden) if kind == "LSTM" else hidden[0]

    return reference


SEQUENCE = numbers(5, 2, 3)
for kind, cls in (("RNN", nn.RNN), ("LSTM", nn.LSTM), ("GRU", nn.GRU)):
    base = {"input_size": 3, "hidden_size": 4}
    options = [
        {},
        {"num_layers": 2},
        {"bias": False},
        {"batch_first": True},
        {"bidirectional": True},
        {"num_layers": 3, "bidirectional": True, "bias": False},
        {"num_layers": 3, "dropout": 1.0},
        {"num_layers": 2, "dropout": 1.0, "bidirectional": True},
        *(
            {
                "RNN": [{"nonlinearity": "relu"}],
                "LSTM": [{"proj_size": 2}, {"proj_size": 3, "bidirectional": True}],
            }.get(kind, ())
        ),
    ]
    case(cls, recurrent(kind), (SEQUENCE,), *({**base, **o} for o in options))
    case(cls, recurrent(kind), (SEQUENCE[:, 0],), base)
    h = tensor(numbers(2, 2, 4, seed=3))
    c = tensor(numbers(2, 2, 4, seed=4))
    case(cls, recurrent(kind), (SEQUENCE,), {**base, "num_layers": 2}, call={"hx": (h, c) if kind == "LSTM" else h})
    f = recurrent(kind)
    whole = lambda *a, f=f, **o: f(*a, **{**o, "dropout": 0})  # noqa: E731
    case(cls, whole, (SEQUENCE,), {**base, "num_layers": 2, "dropout": 1.0}, training=False, same=("dropout",))


def recurrent_cell(kind):
    def reference(p, x, bias, hx, hidden_size, nonlinearity="tanh", **_):
        zero = np.zeros((len(x), hidden_size))
        state = (zero, zero) if hx is None else tuple(arr(h) for h in (hx if kind == "LSTM" else (hx,)))
        gates = len(p["weight_hh"])
        w = [p["weight_ih"], p["weight_hh"], *(p[b] if bias else np.zeros(gates) for b in ("bias_ih", "bias_hh"))]
        out = recurrent_step("RELU" if kind == "RNN" and nonlinearity == "relu" else kind, x, state, w)
        return out if kind == "LSTM" else out[0]

    return reference


for kind, cls in (("RNN", nn.RNNCell), ("LSTM", nn.LSTMCell), ("GRU", nn.GRUCell)):
    base = {"input_size": 3, "hidden_size": 4}
    h, c = tensor(numbers(2, 4, seed=3)), tensor(numbers(2, 4, seed=4))
    case(
        cls,
        recurrent_cell(kind),
        (SEQUENCE[0],),
        base,
        {**base, "bias": False},
        *([{**base, "nonlinearity": "relu"}] if kind == "RNN" else []),
    )
    case(cls, recurrent_cell(kind), (SEQUENCE[0],), base, call={"hx": (h, c) if kind == "LSTM" else h})


# ---- attention ----


def additive(mask):
    mask = np.asarray(mask)
    return np.where(mask, -np.inf, 0.0) if mask.dtype == bool else mask


def attention(p, q, k, v, heads, prefix="", batch_first=False, padding=None, mask=None, drop=False):
    """Output and weights [N, heads, L, S] of multi-head attention."""
    p = {n[len(prefix) :]: w for n, w in p.items() if n.startswith(prefix)}
    batched = q.ndim == 3
    if not batched:
        q, k, v = q[:, None], k[:, None], v[:, None]
        padding = None if padding is None else np.asarray(padding)[None]
    elif batch_first:
        q, k, v = (t.swapaxes(0, 1) for t in (q, k, v))
    e = q.shape[2]
    ws = np.split(p["in_proj_weight"], 3) if "in_proj_weight" in p else [p[f"{c}_proj_weight"] for c in "qkv"]
    bs = np.split(p["in_proj_bias"], 3) if "in_proj_bias" in p else (0, 0, 0)
    q, k, v = (t @ w.T + b for t, w, b in zip((q, k, v), ws, bs))
    length, batch, source = q.shape[0], q.shape[1], k.shape[0]
    extra = 0
    if "bias_k" in p:
        k, v = (np.concatenate([t, np.broadcast_to(p[n], (1, batch, e))]) for t, n in ((k, "bias_k"), (v, "bias_v")))
        extra += 1
    if p.get("add_zero_attn"):
        k, v = (np.concatenate([t, np.zeros((1, batch, e))]) for t in (k, v))
        extra += 1
    out, weights = np.zeros((length, batch, e)), np.zeros((batch, heads, length, source + extra))
    size = e // heads
    for n, h in np.ndindex(batch, heads):
        part = slice(h * size, (h + 1) * size)
        scores = q[:, n, part] @ k[:, n, part].T / math.sqrt(size)
        if mask is not None:
            m = additive(mask)
            scores[:, :source] += m if m.ndim == 2 else m[n * heads + h]
        if padding is not None:
            scores[:, :source] += additive(padding)[n]
        weights[n, h] = softmax(scores) * (0 if drop else 1)
        out[:, n, part] = weights[n, h] @ v[:, n, part]
    out = out @ p["out_proj.weight"].T + p.get("out_proj.bias", 0)
    if not batched:
        return out[:, 0], weights[0]
    return (out.swapaxes(0, 1) if batch_first else out), weights


def multihead(p, q, k, v, num_heads, dropout, batch_first, add_zero_attn, key_padding_mask, need_weights, attn_mask,
              average_attn_weights, **_):  # fmt: skip
    p = {**p, "add_zero_attn": add_zero_attn}
    out, weights = attention(p, q, k, v, num_heads, "", batch_first, key_padding_mask, attn_mask, dropout == 1.0)
    if not need_weights:
        return out, None
    return out, weights.mean(-3) if average_attn_weights else weights


E, H = 6, 2
q, k, v = numbers(4, 3, E), numbers(5, 3, E, seed=1), numbers(5, 3, E, seed=2)
HIDE = np.array([[False, False, True, False, True], [False, True, False, False, False], [False] * 5])
LATER = np.triu(np.ones((4, 5), bool), 2)
BIAS = numbers(4, 5, seed=7)
PER_HEAD = np.random.default_rng(0).random((3 * H, 4, 5)) > 0.6
PER_HEAD[:, :, 0] = False
base = {"embed_dim": E, "num_heads": H}
case(
    nn.MultiheadAttention,
    multihead,
    (q, k, v),
    base,
    {**base, "dropout": 1.0},
    {**base, "bias": False},
    {**base, "add_bias_kv": True},
    {**base, "add_zero_attn": True},
)
case(nn.MultiheadAttention, multihead, (q, numbers(5, 3, 2), v), {**base, "kdim": 2})
case(nn.MultiheadAttention, multihead, (q, k, numbers(5, 3, 4)), {**base, "vdim": 4})
case(nn.MultiheadAttention, multihead, [t.swapaxes(0, 1).copy() for t in (q, k, v)], {**base, "batch_first": True})
case(nn.MultiheadAttention, multihead, (q[:, 0], k[:, 0], v[:, 0]), base)
case(nn.MultiheadAttention, multihead, (q[:, 0], k[:, 0], v[:, 0]), base, call={"key_padding_mask": HIDE[0]})
for weights in ({}, {"need_weights": False}, {"average_attn_weights": False}):
    for masks in (
        {},
        {"key_padding_mask": HIDE},
        {"attn_mask": LATER},
        {"attn_mask": BIAS},
        {"attn_mask": PER_HEAD},
        {"key_padding_mask": np.where(HIDE, -np.inf, 0.0) + 0.1 * numbers(3, 5, seed=3)},
        {"key_padding_mask": HIDE, "attn_mask": LATER},
        {"key_padding_mask": HIDE, "attn_mask": PER_HEAD},
    ):
        case(nn.MultiheadAttention, multihead, (q, k, v), base, call={**weights, **masks})
for extra in ({"add_bias_kv": True}, {"add_zero_attn": True}, {"add_bias_kv": True, "add_zero_attn": True}):
    case(
        nn.MultiheadAttention,
        multihead,
        (q, k, v),
        {**base, **extra},
        call={"key_padding_mask": HIDE, "attn_mask": LATER},
    )
case(
    nn.MultiheadAttention, multihead, (q, k, v), base, call={"attn_mask": LATER, "is_causal": True}, same=("is_causal",)
)


def layer_norm(p, x, name, eps):
    y = (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)
    return y * p[name + ".weight"] + p.get(name + ".bias", 0)


def transformer_layer(p, x, memory, prefix, o, masks):
    """Encoder layer, or with a memory decoder layer. `masks` holds (mask, padding) of each attention."""
    p = {n[len(prefix) :]: w for n, w in p.items() if n.startswith(prefix)}
    drop, eps = o["dropout"] == 1.0, o["layer_norm_eps"]
    act = o["activation"]
    act = {
        "relu": lambda t: np.maximum(t, 0),
        "gelu": lambda t: t * 0.5 * (1 + ERF(t / math.sqrt(2))),
    }.get(act, np.tanh)

    def attend(name, mask):
        def part(t):
            source = t if name == "self_attn." else memory
            return attention(p, t, source, source, o["nhead"], name, o["batch_first"], mask[1], mask[0], drop)[0]

        return part

    def feed(t):
        hidden = act(linear(p, t, "linear1.", "linear1.bias" in p)) * (0 if drop else 1)
        return linear(p, hidden, "linear2.", "linear2.bias" in p)

    parts = [attend("self_attn.", masks[0])]
    if memory is not None:
        parts.append(attend("multihead_attn.", masks[1]))
    for i, part in enumerate([*parts, feed], 1):
        if o["norm_first"]:
            x = x + part(layer_norm(p, x, f"norm{i}", eps)) * (0 if drop else 1)
        else:
            x = layer_norm(p, x + part(x) * (0 if drop else 1), f"norm{i}", eps)
    return x


def encoder_layer(p, x, src_mask, src_key_padding_mask, **o):
    return transformer_layer(p, x, None, "", o, [(src_mask, src_key_padding_mask)])


def decoder_layer(p, x, memory, tgt_mask, memory_mask, tgt_key_padding_mask, memory_key_padding_mask, **o):
    masks = [(tgt_mask, tgt_key_padding_mask), (memory_mask, memory_key_padding_mask)]
    return transformer_layer(p, x, memory, "", o, masks)


SRC, TGT = numbers(5, 3, E) * 0.3, numbers(4, 3, E, seed=1) * 0.3
PAD_T = np.array([[False, False, True, True], [False, True, False, False], [False] * 4])
CAUSAL_S, CAUSAL_T = np.triu(np.ones((5, 5), bool), 1), np.triu(np.ones((4, 4), bool), 1)
base = {"d_model": E, "nhead": H, "dim_feedforward": 7, "dropout": 0.0}
LAYER = [
    {},
    {"dim_feedforward": 9},
    {"activation": "gelu"},
    {"activation": lambda t: t.tanh()},
    {"layer_norm_eps": 0.5},
    {"norm_first": True},
    {"bias": False},
]
WORD = {"activation": "relu"}  # the default in a word
FLIPPED = [t.swapaxes(0, 1).copy() for t in (SRC, TGT)]
same = ("dropout",)  # 0.0 in all of them, so that the result is not random
case(nn.TransformerEncoderLayer, encoder_layer, (SRC,), *({**base, **o} for o in LAYER), same=same)
GONE = [{"dropout": 1.0}, {"dropout": 1.0, "norm_first": True}]
for cls, f, given in (
    (nn.TransformerEncoderLayer, encoder_layer, (SRC,)),
    (nn.TransformerDecoderLayer, decoder_layer, (TGT, SRC)),
):
    case(cls, f, given, *({**base, **o} for o in GONE), same=("dim_feedforward",))
    rest = lambda *a, f=f, **o: f(*a, **{**o, "dropout": 0})  # noqa: E731
    case(cls, rest, given, {**base, "dropout": 1.0}, same=same, training=False)
for cls, f, given in (
    (nn.TransformerEncoderLayer, encoder_layer, (SRC,)),
    (nn.TransformerDecoderLayer, decoder_layer, (TGT, SRC)),
):
    case(cls, f, given, {**base, **WORD}, same=(*same, "activation"))
case(nn.TransformerEncoderLayer, encoder_layer, (FLIPPED[0],), {**base, "batch_first": True}, same=same)
case(nn.TransformerEncoderLayer, encoder_layer, (SRC[:, 0],), base, same=same)
for call in (
    {"src_mask": CAUSAL_S},
    {"src_key_padding_mask": HIDE},
    {"src_mask": CAUSAL_S.T * 1.5},
    {"src_mask": CAUSAL_S, "src_key_padding_mask": HIDE},
):
    case(nn.TransformerEncoderLayer, encoder_layer, (SRC,), base, call=call, same=same)
    case(nn.TransformerEncoderLayer, encoder_layer, (SRC,), base, call=call, same=same, training=False)
case(
    nn.TransformerEncoderLayer,
    encoder_layer,
    (SRC,),
    base,
    call={"src_mask": CAUSAL_S, "is_causal": True},
    same=(*same, "is_causal"),
)
case(nn.TransformerDecoderLayer, decoder_layer, (TGT, SRC), *({**base, **o} for o in LAYER), same=same)
case(nn.TransformerDecoderLayer, decoder_layer, FLIPPED[::-1], {**base, "batch_first": True}, same=same)
CROSS = np.random.default_rng(1).random((4, 5)) > 0.6
CROSS[:, 0] = False
DECODING = (
    {"tgt_mask": CAUSAL_T},
    {"memory_mask": CROSS},
    {"tgt_key_padding_mask": PAD_T},
    {"memory_key_padding_mask": HIDE},
    {"tgt_mask": CAUSAL_T, "memory_mask": CROSS, "tgt_key_padding_mask": PAD_T, "memory_key_padding_mask": HIDE},
)
for call in DECODING:
    case(nn.TransformerDecoderLayer, decoder_layer, (TGT, SRC), base, call=call, same=same)
hints = {"tgt_mask": CAUSAL_T, "tgt_is_causal": True, "memory_mask": CROSS, "memory_is_causal": True}
case(
    nn.TransformerDecoderLayer,
    decoder_layer,
    (TGT, SRC),
    base,
    call=hints,
    same=(*same, "tgt_is_causal", "memory_is_causal"),
)


STACK = {
    "nhead": H,
    "dropout": 0.0,
    "batch_first": False,
    "norm_first": False,
    "layer_norm_eps": 1e-5,
    "activation": "relu",
}


def encoder(p, x, encoder_layer, num_layers, norm, mask, src_key_padding_mask, prefix="", o=STACK, **_):
    for i in range(num_layers):
        x = transformer_layer(p, x, None, f"{prefix}layers.{i}.", o, [(mask, src_key_padding_mask)])
    return x if norm is None else layer_norm(p, x, prefix + "norm", o["layer_norm_eps"])


def decoder(p, x, memory, decoder_layer, num_layers, norm, tgt_mask, memory_mask, tgt_key_padding_mask,
            memory_key_padding_mask, prefix="", o=STACK, **_):  # fmt: skip
    masks = [(tgt_mask, tgt_key_padding_mask), (memory_mask, memory_key_padding_mask)]
    for i in range(num_layers):
        x = transformer_layer(p, x, memory, f"{prefix}layers.{i}.", o, masks)
    return x if norm is None else layer_norm(p, x, prefix + "norm", o["layer_norm_eps"])


def transformer(p, src, tgt, num_encoder_layers, num_decoder_layers, src_mask, src_key_padding_mask, **o):
    memory = encoder(
        p, src, None, num_encoder_layers, True, src_mask, src_key_padding_mask, "encoder.", o
    )  # fmt: skip
    names = ("tgt_mask", "memory_mask", "tgt_key_padding_mask", "memory_key_padding_mask")
    return decoder(p, tgt, memory, None, num_decoder_layers, True, *(o[n] for n in names), "decoder.", o)


def made(cls, options=base):
    return cls(**options)


stack = {"encoder_layer": made(nn.TransformerEncoderLayer), "num_layers": 2}
case(nn.TransformerEncoder, encoder, (SRC,), stack, {**stack, "num_layers": 1}, {**stack, "norm": nn.LayerNorm(E)})
for call in ({"mask": CAUSAL_S}, {"src_key_padding_mask": HIDE}, {"mask": CAUSAL_S, "src_key_padding_mask": HIDE}):
    case(nn.TransformerEncoder, encoder, (SRC,), stack, call=call)
    case(nn.TransformerEncoder, encoder, (SRC,), stack, call=call, training=False)
case(nn.TransformerEncoder, encoder, (SRC,), stack, call={"mask": CAUSAL_S, "is_causal": True}, same=("is_causal",))
stack = {"decoder_layer": made(nn.TransformerDecoderLayer), "num_layers": 2}
case(nn.TransformerDecoder, decoder, (TGT, SRC), stack, {**stack, "norm": nn.LayerNorm(E)})
for call in DECODING:
    case(nn.TransformerDecoder, decoder, (TGT, SRC), stack, call=call)
case(nn.TransformerDecoder, decoder, (TGT, SRC), stack, call=hints, same=("tgt_is_causal", "memory_is_causal"))
# Sizes are left as they are: without them the net is PyTorch's large one.
net = {**base, "num_encoder_layers": 2, "num_decoder_layers": 1}
case(nn.Transformer, transformer, (SRC, TGT), *({**net, **o} for o in LAYER), same=net)
case(nn.Transformer, transformer, (SRC, TGT), {**net, "num_encoder_layers": 1, "num_decoder_layers": 2}, same=net)
case(nn.Transformer, transformer, (SRC, TGT), *({**net, **o} for o in GONE), same=net)
case(nn.Transformer, transformer, FLIPPED, {**net, "batch_first": True}, same=net)
for call in (*DECODING, {"src_mask": CAUSAL_S}, {"src_key_padding_mask": HIDE}):
    case(nn.Transformer, transformer, (SRC, TGT), net, call=call, same=net)
case(
    nn.Transformer,
    transformer,
    (SRC, TGT),
    net,
    call={**hints, "src_mask": CAUSAL_S, "src_is_causal": True},
    same=(*net, "tgt_is_causal", "memory_is_causal", "src_is_causal"),
)


class Sum(nn.Module):
    def forward(self, src, **_):
        return src.sum(0, keepdim=True) + 1


class Mix(nn.Module):
    def forward(self, tgt, memory, **_):
        return tgt + 2 * memory


case(
    nn.Transformer,
    lambda p, src, tgt, **o: tgt + 2 * (src.sum(0, keepdims=True) + 1),
    (SRC, TGT),
    {**base, "custom_encoder": Sum(), "custom_decoder": Mix()},
    same=(*net, "custom_encoder", "custom_decoder"),
)


# ---- all of them ----

LAZY = {
    **{getattr(nn, f"{k}{n}d"): "in_channels" for k in ("Conv", "ConvTranspose") for n in (1, 2, 3)},
    **{getattr(nn, f"{k}Norm{n}d"): "num_features" for k in ("Batch", "Instance") for n in (1, 2, 3)},
    nn.Linear: "in_features",
}


@pytest.mark.parametrize("cls", list(dict.fromkeys(c[0] for c in CASES)), ids=lambda c: c.__name__)
def test_options(cls):
    for which, reference, inputs, options, how in CASES:
        if which is cls:
            try:
                check(cls, reference, inputs, options, **how)
            except AssertionError as e:
                shapes = [getattr(x, "shape", x) for x in inputs]
                raise AssertionError(f"{cls.__name__} {options} {how} of {shapes}: {e}") from None


@pytest.mark.parametrize("cls", LAZY, ids=lambda c: c.__name__)
def test_lazy_modules_take_the_same_options(cls):
    lazy = getattr(nn, "Lazy" + cls.__name__)
    for which, reference, inputs, options, how in CASES:
        if which is not cls or inputs[0].ndim < reference_ndim(cls):
            continue
        given = {k: v for k, v in options.items() if k != LAZY[cls]}
        m = lazy(**given)
        m(rt.zeros(*inputs[0].shape) + rt.arange(inputs[0].shape[-1]))
        assert type(m) is cls
        m = m.double().train(how.get("training", True))
        values = fill(m)
        every = {**DEFAULTS[(lazy.__name__, "__init__")], **options, **DEFAULTS.get((cls.__name__, "forward"), {})}
        every |= how.get("call", {})
        out = m(tensor(inputs[0]), **how.get("call", {}))
        want = reference(values, *inputs, **{k: v for k, v in every.items() if k not in ("device", "dtype")})
        np.testing.assert_allclose(arr(out), want, rtol=1e-6, atol=1e-8)
        TRIED.setdefault(lazy.__name__, set()).update(options, how.get("call", {}), ("momentum", "track_running_stats"))


def reference_ndim(cls):
    """The number of dimensions of a batch."""
    return {"1": 3, "2": 4, "3": 5}.get(cls.__name__[-2], 2)


MADE = {
    cls: next(o for c, _, _, o, _ in CASES if c is cls)
    for cls in dict.fromkeys(c[0] for c in CASES)
    if "dtype" in inspect.signature(cls.__init__).parameters
}


@pytest.mark.parametrize("cls", MADE, ids=lambda c: c.__name__)
def test_dtype_and_device(cls):
    m = cls(**MADE[cls], dtype=rt.float64, device="cpu")
    assert all(t.dtype == rt.float64 for t in m.state_dict().values() if t.is_floating_point())
    assert any(t.dtype == rt.float64 for t in m.state_dict().values()) or cls.__name__.startswith("InstanceNorm")
    with pytest.raises((RuntimeError, ValueError)):
        m = cls(**{**MADE[cls], **({"affine": True} if "Norm" in cls.__name__ and "affine" in
                                   inspect.signature(cls.__init__).parameters else {})}, device="cuda")  # fmt: skip


# Tested elsewhere: containers in test_nn_containers, clusters and random pools in test_nn_adaptive; bases have
# no options of their own.
ELSEWHERE = {"Module", "Sequential", "ModuleList", "ModuleDict", "ParameterList", "ParameterDict", "Container",
             "RNNBase", "RNNCellBase", "DataParallel", "AdaptiveLogSoftmaxWithLoss", "FractionalMaxPool2d",
             "FractionalMaxPool3d", "NonDynamicallyQuantizableLinear", "SyncBatchNorm"}  # fmt: skip


def test_every_option_is_tried():
    """Runs the cases that other processes may have run, and names the options that no case has."""
    tried = {}
    for cls, _, _, options, how in CASES:
        tried.setdefault(cls.__name__, set()).update(options, how.get("call", {}))
    for cls in INPLACE:
        tried[cls.__name__].add("inplace")
    for name in ("Dropout", "AlphaDropout", "Dropout1d", "Dropout2d", "Dropout3d", "FeatureAlphaDropout"):
        tried[name] = {"p", "inplace"}
    for kind, n in itertools.product(("Batch", "Instance"), (1, 2, 3)):
        tried[f"{kind}Norm{n}d"] |= {"momentum", "track_running_stats"}
    for name in ("Embedding", "EmbeddingBag"):
        tried[name] |= {"padding_idx", "_weight"}
    tried["PReLU"].add("init")
    for cls in LAZY:
        tried["Lazy" + cls.__name__] = tried[cls.__name__] | {"call"}
    missing, walked = [], 0
    for name in sorted(n for n in dir(nn) if n[0].isupper() and n not in ELSEWHERE):
        cls = getattr(nn, name)
        if not (inspect.isclass(cls) and issubclass(cls, nn.Module)):
            continue
        walked += 1
        wanted = set(inspect.signature(cls.__init__).parameters)
        wanted |= {p.name for p in inspect.signature(cls.forward).parameters.values() if p.default is not p.empty}
        wanted -= {"self", "args", "kwargs", "device", "dtype"} | NOTHING.get(name, set())
        missing += [f"{name}.{option}" for option in sorted(wanted - tried.get(name, set()))]
    assert walked >= 100
    assert not missing, f"options that no case tries: {missing}"


# ---- functions ----

FUNCTIONS = {
    "ReLU": "relu", "ReLU6": "relu6", "SELU": "selu", "SiLU": "silu", "Mish": "mish", "Hardsigmoid": "hardsigmoid",
    "Hardswish": "hardswish", "Sigmoid": "sigmoid", "Tanh": "tanh", "LogSigmoid": "logsigmoid", "Softsign": "softsign",
    "Tanhshrink": "tanhshrink", "Hardtanh": "hardtanh", "LeakyReLU": "leaky_relu", "RReLU": "rrelu", "ELU": "elu",
    "CELU": "celu", "GELU": "gelu", "Softplus": "softplus", "Hardshrink": "hardshrink", "Softshrink": "softshrink",
    "Threshold": "threshold", "GLU": "glu", "CosineSimilarity": "cosine_similarity",
    "PairwiseDistance": "pairwise_distance", "PixelShuffle": "pixel_shuffle", "PixelUnshuffle": "pixel_unshuffle",
    "ChannelShuffle": "channel_shuffle", "LocalResponseNorm": "local_response_norm", "Fold": "fold", "Unfold": "unfold",
    "Upsample": "interpolate", "UpsamplingNearest2d": "upsample_nearest", "UpsamplingBilinear2d": "upsample_bilinear",
    **{f"{kind}Pool{n}d": f"{word}_pool{n}d" for kind, word in (
        ("Max", "max"), ("Avg", "avg"), ("LP", "lp"), ("AdaptiveAvg", "adaptive_avg"), ("AdaptiveMax", "adaptive_max"))
       for n in (1, 2, 3)},
    "L1Loss": "l1_loss", "MSELoss": "mse_loss", "SmoothL1Loss": "smooth_l1_loss", "HuberLoss": "huber_loss",
    "NLLLoss": "nll_loss", "CrossEntropyLoss": "cross_entropy", "BCELoss": "binary_cross_entropy",
    "BCEWithLogitsLoss": "binary_cross_entropy_with_logits", "KLDivLoss": "kl_div",
    "PoissonNLLLoss": "poisson_nll_loss", "GaussianNLLLoss": "gaussian_nll_loss",
    "HingeEmbeddingLoss": "hinge_embedding_loss",
    "CosineEmbeddingLoss": "cosine_embedding_loss", "MarginRankingLoss": "margin_ranking_loss",
    "SoftMarginLoss": "soft_margin_loss", "MultiLabelSoftMarginLoss": "multilabel_soft_margin_loss",
    "MultiMarginLoss": "multi_margin_loss", "MultiLabelMarginLoss": "multilabel_margin_loss",
    "TripletMarginLoss": "triplet_margin_loss", "TripletMarginWithDistanceLoss": "triplet_margin_with_distance_loss",
    "CTCLoss": "ctc_loss",
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_have_the_options_of_their_modules(name):
    f = getattr(F, FUNCTIONS[name])
    known = set(inspect.signature(f).parameters)
    tried = 0
    for cls, reference, inputs, options, how in CASES:
        given = {**options, **how.get("call", {})}
        if cls.__name__ != name or not set(given) <= known:
            continue
        every = {**DEFAULTS.get((name, "__init__"), {}), **DEFAULTS.get((name, "forward"), {}), **given}
        want = reference({}, *inputs, **{k: v for k, v in every.items() if k not in ("device", "dtype")})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            made = {k: tensor(v) if isinstance(v, np.ndarray) else v for k, v in given.items()}
            out = f(*(tensor(x) if isinstance(x, np.ndarray) else x for x in inputs), **made)
        for got, right in zip(leaves(out), leaves(want), strict=True):
            np.testing.assert_allclose(got, right, rtol=1e-6, atol=1e-8, err_msg=f"{options} {how}")
        tried += 1
    assert tried


@pytest.mark.parametrize(
    ("name", "args", "want"),
    [
        ("relu", (), lambda x: np.maximum(x, 0)),
        ("leaky_relu", (), lambda x: np.where(x > 0, x, 0.01 * x)),
        ("leaky_relu", (0.3,), lambda x: np.where(x > 0, x, 0.3 * x)),
        ("elu", (), lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
        ("elu", (0.5,), lambda x: np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0)))),
        ("selu", (), lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x.clip(None, 0)))),
        ("celu", (), lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0)))),
        ("celu", (0.5,), lambda x: np.where(x > 0, x, 0.5 * np.expm1(np.minimum(x, 0) / 0.5))),
        ("rrelu", (), lambda x: np.where(x > 0, x, x * (1 / 8 + 1 / 3) / 2)),
        ("rrelu", (0.2, 0.6), lambda x: np.where(x > 0, x, x * 0.4)),
        ("rrelu", (0.2, 0.2, True), lambda x: np.where(x > 0, x, x * 0.2)),
        ("hardtanh", (), lambda x: x.clip(-1, 1)),
        ("hardtanh", (-0.5, 2.0), lambda x: x.clip(-0.5, 2)),
        ("threshold", (0.3, 7.0), lambda x: np.where(x > 0.3, x, 7.0)),
    ],
)  # fmt: skip
def test_functions_in_place(name, args, want):
    want = want(WIDE)
    x = tensor(WIDE)
    out = getattr(F, name + "_")(x, *args)
    assert out is x and np.allclose(arr(x), want)
    x = tensor(WIDE)
    assert np.allclose(arr(getattr(F, name)(x, *args)), want) and (arr(x) == WIDE).all()
    out = getattr(F, name)(x, *args, inplace=True)
    assert out.data_ptr() == x.data_ptr() and np.allclose(arr(x), want)


def test_padding_rows_of_embeddings_from_either_end():
    rows = rt.tensor([[0, 3], [3, 1]])
    for padding, zero in ((3, 3), (-1, 3), (0, 0), (-4, 0), (None, None)):
        for bag in (False, True):
            w = tensor(numbers(4, 2)).requires_grad_()
            out = F.embedding_bag(rows, w, mode="sum", padding_idx=padding) if bag else F.embedding(rows, w, padding)
            out.sum().backward()
            counts = np.array([1.0, 1.0, 0.0, 2.0])
            if zero is not None:
                counts[zero] = 0
            assert arr(w.grad).tolist() == [[c, c] for c in counts]
    for wrong in (4, -5):
        with pytest.raises((AssertionError, RuntimeError), match="padding_idx must be within"):
            F.embedding(rows, w, wrong)
        with pytest.raises(RuntimeError, match="padding_idx must be within"):
            F.embedding_bag(rows, w, padding_idx=wrong)


# ---- initial values ----


INITIAL = [
    (lambda: nn.Linear(50, 40), {"weight": 1 / 50**0.5, "bias": 1 / 50**0.5}),
    (lambda: nn.Bilinear(30, 20, 10), {"weight": 1 / 30**0.5, "bias": 1 / 30**0.5}),
    (lambda: nn.Conv1d(8, 60, 5, groups=2), {"weight": 1 / 20**0.5, "bias": 1 / 20**0.5}),
    (lambda: nn.Conv2d(4, 60, (3, 5)), {"weight": 1 / 60**0.5, "bias": 1 / 60**0.5}),
    (lambda: nn.Conv3d(4, 20, 3), {"weight": 1 / 108**0.5, "bias": 1 / 108**0.5}),
    (lambda: nn.ConvTranspose1d(40, 12, 5, groups=2), {"weight": 1 / 30**0.5, "bias": 1 / 30**0.5}),
    (lambda: nn.ConvTranspose2d(20, 6, 3), {"weight": 1 / 54**0.5, "bias": 1 / 54**0.5}),
    (lambda: nn.ConvTranspose3d(20, 6, 2), {"weight": 1 / 48**0.5, "bias": 1 / 48**0.5}),
    *(
        (
            lambda c=c: c(7, 36),
            {n + s: 1 / 6 for n in ("weight_ih", "weight_hh", "bias_ih", "bias_hh") for s in (
                ("_l0",) if c in (nn.RNN, nn.LSTM, nn.GRU) else ("",))},
        )
        for c in (nn.RNN, nn.LSTM, nn.GRU, nn.RNNCell, nn.LSTMCell, nn.GRUCell)
    ),
    (lambda: nn.MultiheadAttention(24, 2), {"in_proj_weight": (6 / 96) ** 0.5, "in_proj_bias": 0,
                                            "out_proj.weight": 1 / 24**0.5, "out_proj.bias": 0}),
    (lambda: nn.MultiheadAttention(24, 2, kdim=12, vdim=36), {
        "q_proj_weight": (6 / 48) ** 0.5, "k_proj_weight": (6 / 36) ** 0.5, "v_proj_weight": (6 / 60) ** 0.5,
        "in_proj_bias": 0, "out_proj.weight": 1 / 24**0.5, "out_proj.bias": 0}),
    *((lambda c=c: c(9), {"weight": None, "bias": 0}) for c in (nn.BatchNorm1d, nn.BatchNorm2d, nn.LayerNorm)),
    (lambda: nn.GroupNorm(3, 9), {"weight": None, "bias": 0}),
    (lambda: nn.InstanceNorm2d(9, affine=True), {"weight": None, "bias": 0}),
    (lambda: nn.RMSNorm(9), {"weight": None}),
]  # fmt: skip


@pytest.mark.parametrize(("make", "bounds"), INITIAL)
def test_parameters_begin_within_their_bounds(make, bounds):
    """Uniform within a bound; 0; None: one."""
    rt.manual_seed(0)
    drawn = {n: [] for n in bounds}
    for _ in range(30):
        m = make()
        for again in (False, True) if hasattr(m, "reset_parameters") else (False,):
            if again:
                with rt.no_grad():
                    for p in m.parameters():
                        p.fill_(77)
                m.reset_parameters()
            assert {n for n, _ in m.named_parameters()} == set(bounds)
            for n, p in m.named_parameters():
                drawn[n].append(arr(p).ravel())
    for n, bound in bounds.items():
        values = np.concatenate(drawn[n])
        if bound is None or bound == 0:
            assert (values == (1 if bound is None else 0)).all(), n
        else:
            assert 0.97 * bound < abs(values).max() <= bound * (1 + 1e-6), n
            assert abs(values).mean() == pytest.approx(bound / 2, rel=0.1), n


def test_other_parameters_begin_as_they_should():
    rt.manual_seed(0)
    for m in (nn.Embedding(200, 50), nn.EmbeddingBag(200, 50)):
        assert arr(m.weight).std() == pytest.approx(1, rel=0.02) and abs(arr(m.weight).mean()) < 0.03
    for m in (
        nn.Embedding(20, 5, padding_idx=3),
        nn.Embedding(20, 5, padding_idx=-17),
        nn.EmbeddingBag(20, 5, padding_idx=3),
    ):
        assert not arr(m.weight)[3].any() and arr(m.weight)[[2, 4]].all()
    m = nn.MultiheadAttention(300, 2, add_bias_kv=True)
    for p in (m.bias_k, m.bias_v):
        assert p.shape == (1, 1, 300) and arr(p).std() == pytest.approx((2 / 600) ** 0.5, rel=0.15)
    net = nn.Transformer(16, 2, 1, 1, 24)
    for n, p in net.named_parameters():
        if p.dim() > 1:
            bound = (6 / (p.shape[0] + p.shape[1])) ** 0.5
            assert 0.9 * bound < abs(arr(p)).max() <= bound * (1 + 1e-6), n
    norm = nn.BatchNorm1d(3)
    norm(rt.randn(5, 3))
    assert norm.num_batches_tracked.item() == 1 and arr(norm.running_mean).any()
    norm.reset_parameters()
    assert (
        norm.num_batches_tracked.item() == 0 and not arr(norm.running_mean).any() and (arr(norm.running_var) == 1).all()
    )


def test_given_keys_and_values_of_attention():
    """`static_k` and `static_v` take the place of what the projections would give."""
    m = nn.MultiheadAttention(E, H).double()
    p = fill(m)
    head = E // H
    k, v = numbers(3 * H, 7, head, seed=5), numbers(3 * H, 7, head, seed=6)
    hide = np.zeros((3, 7), bool)
    hide[1, 2:] = True

    def attend(**options):
        return F.multi_head_attention_forward(
            tensor(q0), tensor(k0), tensor(k0), E, H, m.in_proj_weight, m.in_proj_bias, None, None, False, 0.0,
            m.out_proj.weight, m.out_proj.bias, **options,
        )  # fmt: skip

    q0, k0 = numbers(4, 3, E), numbers(5, 3, E, seed=1)
    w, b = np.split(p["in_proj_weight"], 3), np.split(p["in_proj_bias"], 3)

    def by_heads(t):
        return t.reshape(len(t), 3 * H, head).swapaxes(0, 1)

    ours = [by_heads(x @ w[i].T + b[i]) for i, x in enumerate((q0, k0, k0))]
    for options, keys, values in (
        ({}, ours[1], ours[2]),
        ({"static_k": k, "static_v": v}, k, v),
        ({"static_k": k, "static_v": v, "key_padding_mask": hide}, k, v),
        ({"static_v": v[:, :5]}, ours[1], v[:, :5]),
        ({"static_k": k[:, :5]}, k[:, :5], ours[2]),
    ):
        out, weights = attend(**{n: tensor(x) for n, x in options.items()})
        scores = ours[0] @ keys.swapaxes(1, 2) / head**0.5
        if "key_padding_mask" in options:
            scores = np.where(hide.repeat(H, 0)[:, None], -np.inf, scores)
        share = softmax(scores)
        mixed = (share @ values).swapaxes(0, 1).reshape(4, 3, E)
        np.testing.assert_allclose(arr(out), mixed @ p["out_proj.weight"].T + p["out_proj.bias"], rtol=1e-6)
        np.testing.assert_allclose(arr(weights), share.reshape(3, H, 4, -1).mean(1), rtol=1e-6)
    for name in ("static_k", "static_v"):
        for wrong in (k[1:], k[..., :1], k[0]):
            with pytest.raises(AssertionError, match=f"expecting {name} of shape"):
                attend(**{name: tensor(wrong)})


def test_means_of_whole_numbers_over_three_dimensions():
    x = np.random.default_rng(0).integers(-50, 50, (1, 2, 4, 5, 6))
    for options in (
        {},
        {"padding": 1},
        {"padding": 1, "count_include_pad": False},
        {"divisor_override": 3},
        {"stride": 2},
    ):
        o = {"padding": 0, "count_include_pad": True, "stride": 3, **options}
        at = np.pad(x, [(0, 0)] * 2 + [(o["padding"],) * 2] * 3)
        real = np.pad(np.ones_like(x), [(0, 0)] * 2 + [(o["padding"],) * 2] * 3)
        got = arr(F.avg_pool3d(rt.tensor(x.tolist()), 3, **options)).astype(int)
        for place in np.ndindex(*got.shape):
            where = place[:2] + tuple(slice(i * o["stride"], i * o["stride"] + 3) for i in place[2:])
            n = o.get("divisor_override") or (27 if o["count_include_pad"] else real[where].sum())
            assert got[place] == int(at[where].sum() / n)  # towards zero


def test_heads_that_share_keys_and_values():
    q, k, v = numbers(2, 6, 4, 3), numbers(2, 2, 5, 3, seed=1), numbers(2, 2, 5, 3, seed=2)
    out = F.scaled_dot_product_attention(tensor(q), tensor(k), tensor(v), enable_gqa=True)
    k, v = k.repeat(3, 1), v.repeat(3, 1)  # three heads in a row have one of keys
    share = softmax(q @ k.swapaxes(2, 3) / 3**0.5)
    np.testing.assert_allclose(arr(out), share @ v, rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize(("norm", "pick"), [(math.inf, np.max), (-math.inf, np.min)])
@pytest.mark.parametrize(("stride", "ceil"), [(None, False), (2, False), (2, True)])
def test_pools_by_infinite_norms(n, norm, pick, stride, ceil):
    x = numbers(2, 3, *(8, 6, 5)[:n])
    steps = (stride or 3,) * n
    (want,) = pooled(x, n, lambda w, *_: (pick(abs(w), -1),), (3,) * n, steps, (0,) * n, (1,) * n, ceil)
    np.testing.assert_array_equal(arr(getattr(F, f"lp_pool{n}d")(tensor(x), norm, 3, stride, ceil)), want)


def test_losses_where_their_formulas_switch():
    """The values just at the points where another formula begins, and beyond the usual ones."""
    zeros = rt.zeros(4, dtype=rt.float64)
    counts = np.array([0.0, 0.5, 1.0, 2.0])  # Stirling's approximation serves above 1
    loss = F.poisson_nll_loss(zeros, tensor(counts), full=True, reduction="none")
    np.testing.assert_allclose(arr(loss), [1, 1, 1, 1 + 2 * math.log(2) - 2 + 0.5 * math.log(4 * math.pi)], rtol=1e-9)
    x, kind = tensor([0.25, 0.25, 0.25]), tensor([1.0, -1.0, 0.0])
    assert arr(F.hinge_embedding_loss(x, kind, reduction="none")).tolist() == [0.25, 0.75, 1.0]
    pair = tensor([[1.0, 0.0]] * 3)
    loss = F.cosine_embedding_loss(pair, pair, kind, 0.25, reduction="none")
    np.testing.assert_allclose(arr(loss), [0, 0.75, 0], atol=1e-9)
    # Labels count up to the first -1, not those behind it.
    scores = tensor([[0.1, 0.2, 0.4, 0.8]])
    for labels in ([3, 0, -1, -1], [3, 0, -1, 1]):
        loss = F.multilabel_margin_loss(scores, rt.tensor([labels]))
        want = sum(1 - scores[0, t].item() + scores[0, i].item() for t in (3, 0) for i in (1, 2)) / 4
        assert loss.item() == pytest.approx(want)
    # The least variance bounds the loss, and its slope is that of the bound all the same.
    v = tensor([0.01, 0.5]).requires_grad_()
    F.gaussian_nll_loss(tensor([1.0, 1.0]), zeros[:2], v, eps=0.1, reduction="sum").backward()
    np.testing.assert_allclose(arr(v.grad), [0.5 * (1 / s - 1 / s**2) for s in (0.1, 0.5)], rtol=1e-9)
    for size_average, reduce, want in (
        (None, False, [1.0, 4.0]), (False, False, [1.0, 4.0]), (True, False, [1.0, 4.0]),
        (False, None, 5.0), (False, True, 5.0), (True, None, 2.5), (None, True, 2.5), (True, True, 2.5),
    ):  # fmt: skip
        with pytest.warns(UserWarning, match="size_average and reduce"):
            old = F.mse_loss(tensor([1.0, 2.0]), zeros[:2], size_average, reduce)
        with pytest.warns(UserWarning, match="size_average and reduce"):
            module = nn.MSELoss(size_average, reduce)
        assert arr(old).tolist() == want == arr(module(tensor([1.0, 2.0]), zeros[:2])).tolist()


def test_means_in_half_precision_are_rounded_once():
    """What is composed of several sums is computed in single precision, and rounded at the end."""
    x = np.random.default_rng(0).uniform(1, 2, (1, 3, 8, 6, 4)).astype(np.float16)
    t = rt.tensor(x.tolist(), dtype=rt.float16)
    want = x.astype(np.float64).reshape(1, 3, 4, 2, 3, 2, 2, 2).mean((3, 5, 7)).astype(np.float16)
    for got in (F.avg_pool3d(t, 2), F.adaptive_avg_pool3d(t, (4, 3, 2))):
        assert got.dtype is rt.float16
        np.testing.assert_array_equal(arr(got).astype(np.float16), want)
    table = rt.tensor(x.reshape(-1, 4).tolist(), dtype=rt.float16)
    rows = rt.arange(144)
    for mode, how in (("sum", np.sum), ("mean", np.mean)):
        got = F.embedding_bag(rows, table, rt.tensor([0, 50]), mode=mode)
        bags = x.reshape(-1, 4).astype(np.float64)
        want = np.stack([how(bags[:50], 0), how(bags[50:], 0)]).astype(np.float16)
        np.testing.assert_array_equal(arr(got).astype(np.float16), want)
        assert got.dtype is rt.float16


@pytest.mark.parametrize("need_weights", [True, False])
def test_dropout_of_attention(need_weights):
    """All of it dropped, only the bias is left; none outside of training."""
    attend = nn.MultiheadAttention(4, 2, dropout=1.0)
    nn.init.constant_(attend.out_proj.bias, 3.0)
    x = tensor(numbers(3, 1, 4), rt.float32)
    assert arr(attend(x, x, x, need_weights=need_weights)[0]).tolist() == [[[3.0] * 4]] * 3
    attend.eval()
    assert (arr(attend(x, x, x, need_weights=need_weights)[0]) != 3.0).all()
