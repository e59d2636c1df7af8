"""`nn.utils` and `nn.init`."""

from __future__ import annotations

import copy
import math
import warnings
from typing import Any

import numpy as np
import pytest

import rustorch as rt
from rustorch import nn
from rustorch.nn import init, utils


def arr(t: Any) -> Any:
    return np.asarray(t.detach().tolist())


def model() -> Any:
    rt.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))
    net(rt.randn(5, 3)).pow(2).sum().backward()
    return net


@pytest.mark.parametrize("p", [1.0, 2.0, math.inf])
def test_clip_grad_norm(p: float) -> None:
    net = model()
    before = np.concatenate([arr(q.grad).ravel() for q in net.parameters()])
    total = utils.clip_grad_norm_(net.parameters(), 0.5, norm_type=p)
    want = np.linalg.norm(before, p)
    assert np.isclose(total.item(), want, rtol=1e-5)
    after = np.concatenate([arr(q.grad).ravel() for q in net.parameters()])
    assert np.allclose(after, before * min(1, 0.5 / (want + 1e-6)), atol=1e-7)
    utils.clip_grad_norm_(net.parameters(), 100.0)
    assert np.allclose(np.concatenate([arr(q.grad).ravel() for q in net.parameters()]), after)


@pytest.mark.parametrize(
    ("p", "one", "several"),
    # of [3, -4, 0], and of that with [0, 0] and [1]: what PyTorch gives, by hand
    [(0, 1, 2), (1, 7, 8), (2, 5, 26**0.5), (math.inf, 4, 4), (-math.inf, 0, 0), (0.5, 7 + 2 * 12**0.5, 22.3923)],
)
def test_norms_of_gradients(p: float, one: float, several: float) -> None:
    def leaves(*grads: list[float]) -> list[rt.Tensor]:
        out = []
        for g in grads:
            out.append(rt.zeros(len(g), requires_grad=True))
            out[-1].grad = rt.tensor(g)
        return out

    def near(a: rt.Tensor, b: float) -> bool:
        return a.ndim == 0 and np.isclose(a.item(), b, rtol=1e-4)

    single, all_of_them = leaves([3.0, -4.0, 0.0]), leaves([3.0, -4.0], [0.0, 0.0], [1.0])
    assert near(utils.get_total_norm([q.grad for q in single], p), one)
    assert near(utils.get_total_norm(single[0].grad, p), one)
    assert near(utils.clip_grad_norm_(iter(single), 0.5, p), one) and near(
        utils.clip_grad_norm_(all_of_them, 0.5, p), several
    )
    scale = min(1, 0.5 / (one + 1e-6))
    assert np.allclose(arr(single[0].grad), np.array([3, -4, 0]) * scale)
    assert utils.get_total_norm([], p).item() == 0 and utils.clip_grad_norm_([], 1.0, p).item() == 0
    mixed = utils.get_total_norm([rt.ones(2, dtype=rt.float64), rt.ones(2)], 2)
    assert mixed.dtype is rt.float64 and near(mixed, 2)


def test_clip_grad_of_what_is_not_finite() -> None:
    for value in (math.nan, math.inf):
        q = rt.zeros(2, requires_grad=True)
        q.grad = rt.tensor([value, 1.0])
        with pytest.raises(RuntimeError, match="non-finite"):
            utils.clip_grad_norm_(q, 1.0, error_if_nonfinite=True)
        assert arr(q.grad)[1] == 1  # nothing has been changed
        utils.clip_grad_norm_(q, 1.0)
        assert math.isnan(q.grad[0].item())
    q.grad = rt.tensor([-5.0, 0.25])
    utils.clip_grad_value_(iter([q]), 0.5)
    assert q.grad.tolist() == [-0.5, 0.25]


def test_clip_grad_other() -> None:
    net = model()
    utils.clip_grad_value_(net.parameters(), 0.1)
    assert max(abs(arr(p.grad)).max() for p in net.parameters()) <= 0.1 + 1e-7
    assert utils.clip_grad_norm_([], 1.0).item() == 0
    single = rt.ones(3, requires_grad=True)
    assert utils.clip_grad_norm_(single, 1.0).item() == 0
    (single * 2).sum().backward()
    assert np.isclose(utils.clip_grad_norm_(single, 1.0).item(), math.sqrt(12))
    with pytest.warns(FutureWarning):
        utils.clip_grad_norm(single, 1.0)
    single.grad.fill_(math.nan)
    with pytest.raises(RuntimeError, match="non-finite"):
        utils.clip_grad_norm_(single, 1.0, error_if_nonfinite=True)


def test_parameters_to_vector() -> None:
    net = model()
    v = utils.parameters_to_vector(net.parameters())
    assert list(v.shape) == [26]
    utils.vector_to_parameters(rt.arange(26, dtype=rt.float32), net.parameters())
    assert arr(net[0].weight).tolist()[0] == [0, 1, 2] and net[2].bias.tolist() == [24, 25]
    assert net[0].weight.requires_grad
    with pytest.raises(TypeError):
        utils.vector_to_parameters([1.0], net.parameters())


@pytest.mark.parametrize("dim", [0, 1, None])
def test_weight_norm(dim: int | None) -> None:
    rt.manual_seed(0)
    layer = nn.Linear(3, 4)
    x = rt.randn(2, 3)
    want = arr(layer(x))
    assert utils.weight_norm(layer, dim=dim) is layer
    assert [n for n, _ in layer.named_parameters()] == ["bias", "weight_g", "weight_v"]
    assert np.allclose(arr(layer(x)), want, atol=1e-6)
    with rt.no_grad():
        layer.weight_g.mul_(2)
    assert np.allclose(arr(layer(x) - layer.bias), 2 * (want - arr(layer.bias)), atol=1e-5)
    layer(x).sum().backward()
    assert layer.weight_g.grad is not None and layer.weight_v.grad is not None
    with pytest.raises(RuntimeError, match="two weight_norm"):
        utils.weight_norm(layer)
    utils.remove_weight_norm(layer)
    assert [n for n, _ in layer.named_parameters()] == ["bias", "weight"]
    assert np.allclose(arr(layer(x) - layer.bias), 2 * (want - arr(layer.bias)), atol=1e-5)
    with pytest.raises(ValueError, match="not found"):
        utils.remove_weight_norm(layer)


def test_weight_norm_of_a_convolution() -> None:
    rt.manual_seed(0)
    layer = utils.weight_norm(nn.Conv2d(2, 3, 3))
    assert list(layer.weight_g.shape) == [3, 1, 1, 1]
    norms = np.sqrt((arr(layer.weight_v) ** 2).sum((1, 2, 3)))
    assert np.allclose(arr(layer.weight_g).ravel(), norms, atol=1e-6)
    twin = nn.Conv2d(2, 3, 3)
    utils.weight_norm(twin).load_state_dict(layer.state_dict())
    x = rt.randn(1, 2, 5, 5)
    assert np.allclose(arr(twin(x)), arr(layer(x)), atol=1e-6)


def test_spectral_norm() -> None:
    rt.manual_seed(0)
    layer = utils.spectral_norm(nn.Linear(5, 4), n_power_iterations=20)
    layer(rt.randn(2, 5)).sum().backward()
    assert np.isclose(np.linalg.norm(arr(layer.weight), 2), 1, atol=1e-3)
    assert [n for n, _ in layer.named_parameters()] == ["bias", "weight_orig"] and layer.weight_orig.grad is not None
    layer.eval()
    w = arr(layer.weight)
    with pytest.raises(RuntimeError, match="two spectral_norm"):
        utils.spectral_norm(layer)
    utils.remove_spectral_norm(layer)
    assert np.allclose(arr(layer.weight), w, atol=1e-5) and isinstance(layer.weight, nn.Parameter)
    with pytest.raises(ValueError, match="not found"):
        utils.remove_spectral_norm(layer)
    assert list(utils.spectral_norm(nn.ConvTranspose2d(3, 4, 2)).weight_u.shape) == [4]
    with pytest.raises(ValueError, match="None"):
        utils.spectral_norm(nn.Linear(1, 1, bias=False), "bias")
    with pytest.raises(ValueError, match="positive"):
        utils.spectral_norm(nn.Linear(1, 1), n_power_iterations=0)


# ---- init ----


def test_distributions() -> None:
    rt.manual_seed(0)
    w = rt.empty(200, 300)
    for call, std in (
        (lambda: init.uniform_(w, -1, 1), 1 / math.sqrt(3)),
        (lambda: init.normal_(w, 0, 0.3), 0.3),
        (lambda: init.xavier_uniform_(w), math.sqrt(2 / 500)),
        (lambda: init.xavier_normal_(w, gain=2), 2 * math.sqrt(2 / 500)),
        (lambda: init.kaiming_uniform_(w, nonlinearity="relu"), math.sqrt(2 / 300)),
        (lambda: init.kaiming_normal_(w, mode="fan_out", nonlinearity="linear"), math.sqrt(1 / 200)),
    ):
        assert call() is w
        assert np.isclose(arr(w).std(), std, rtol=0.02) and abs(arr(w).mean()) < 0.02 * max(std, 0.1)
    for a, b in ((-2.0, 2.0), (1.0, 1.5), (-0.5, 3.0)):
        values = arr(init.trunc_normal_(w, a=a, b=b))
        assert values.min() >= a and values.max() <= b
    with pytest.warns(UserWarning, match="more than 2 std"):
        init.trunc_normal_(w, mean=10.0, a=0.0, b=5.0)


def test_fixed_values() -> None:
    w = rt.empty(2, 3)
    assert arr(init.constant_(w, 0.5)).tolist() == [[0.5] * 3] * 2
    assert arr(init.ones_(w)).sum() == 6 and arr(init.zeros_(w)).sum() == 0
    assert arr(init.eye_(w)).tolist() == [[1, 0, 0], [0, 1, 0]]
    kernel = init.dirac_(rt.empty(4, 2, 3, 3), groups=2)
    x = rt.randn(1, 4, 5, 5)
    assert np.allclose(arr(nn.functional.conv2d(x, kernel, padding=1, groups=2)), arr(x))
    rt.manual_seed(0)
    sparse = arr(init.sparse_(rt.empty(10, 6), 0.3))
    assert ((sparse == 0).sum(0) == 3).all()
    p = nn.Parameter(rt.empty(3, 3))
    assert init.normal_(p) is p and p.requires_grad and p.grad_fn is None


def has_qr() -> bool:
    try:
        return callable(rt.linalg.qr)
    except (ImportError, AttributeError):
        return False


def test_orthogonal() -> None:
    if not has_qr():
        with pytest.raises(NotImplementedError, match="qr"):
            init.orthogonal_(rt.empty(3, 4))
    else:
        for shape in ((3, 4), (5, 2, 2), (4, 4)):
            w = arr(init.orthogonal_(rt.empty(*shape), gain=2.0)).reshape(shape[0], -1)
            gram = w @ w.T if w.shape[0] <= w.shape[1] else w.T @ w
            assert np.allclose(gram, 4 * np.eye(len(gram)), atol=1e-5)
    assert init.orthogonal_(rt.empty(0, 3)).numel() == 0


def test_init_refuses() -> None:
    line = rt.empty(3)
    for call in (
        lambda: init.eye_(line),
        lambda: init.dirac_(line),
        lambda: init.dirac_(rt.empty(3, 2, 1), groups=2),
        lambda: init.sparse_(line, 0.1),
        lambda: init.orthogonal_(line),
        lambda: init.xavier_uniform_(line),
        lambda: init.kaiming_uniform_(rt.empty(2, 2), mode="fan"),
        lambda: init.kaiming_normal_(rt.empty(2, 2), nonlinearity="sin"),
        lambda: init.calculate_gain("leaky_relu", True),
    ):
        with pytest.raises(ValueError):
            call()
    for call in (init.kaiming_uniform_, init.kaiming_normal_):
        with pytest.warns(UserWarning, match="no-op"):
            call(rt.empty(0, 2))
    with pytest.warns(FutureWarning, match="uniform_"):
        init.uniform(line)
    assert init.calculate_gain("leaky_relu") == math.sqrt(2 / (1 + 0.01**2))


def test_training_makes_progress() -> None:
    """Layers, loss and hooks together: a small net learns exclusive or, from a plain gradient step."""
    rt.manual_seed(1)
    net = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Dropout(0.0), nn.Linear(8, 2))
    x = rt.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    y = rt.tensor([0, 1, 1, 0])
    loss_of = nn.CrossEntropyLoss()
    for _ in range(300):
        net.zero_grad()
        loss = loss_of(net(x), y)
        loss.backward()
        with rt.no_grad():
            for p in net.parameters():
                p -= 0.3 * p.grad
    assert loss.item() < 0.05
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        twin = copy.deepcopy(net).eval()
    assert np.isfinite(arr(twin(x))).all()


class Doubled(nn.Module):
    def forward(self, x):
        return x * 2

    def right_inverse(self, x):
        return x / 2


def test_parametrised_parameters():
    from rustorch.nn.utils import parametrize

    m = nn.Linear(2, 3)
    assert parametrize.type_before_parametrizations(m) is nn.Linear
    weight = m.weight.detach().clone()
    parametrize.register_parametrization(m, "weight", Doubled())
    assert type(m).__name__ == "ParametrizedLinear" and parametrize.type_before_parametrizations(m) is nn.Linear
    assert rt.equal(m.weight, weight) and rt.equal(m.parametrizations.weight.original, weight / 2)
    parametrize.register_parametrization(m, "weight", Doubled())
    assert rt.equal(m.weight, weight * 2)
    m.weight = rt.ones(3, 2)
    assert m.weight.eq(1).all() and m.parametrizations.weight.original.eq(0.25).all()
    with parametrize.cached():
        assert m.weight is m.weight
    assert m.weight is not m.weight
    m(rt.ones(1, 2)).sum().backward()
    assert m.parametrizations.weight.original.grad.eq(4).all()
    parametrize.remove_parametrizations(m, "weight", leave_parametrized=False)
    assert type(m) is nn.Linear and m.weight.eq(0.25).all() and not parametrize.is_parametrized(m, "weight")
    for wrong in (
        lambda: parametrize.register_parametrization(m, "nothing", Doubled()),
        lambda: parametrize.register_parametrization(m, "weight", nn.Flatten(0)),
        lambda: parametrize.remove_parametrizations(m, "weight"),
    ):
        with pytest.raises(ValueError):
            wrong()


def test_norms_as_parametrisations():
    from rustorch.nn.utils import parametrizations, parametrize

    m = parametrizations.weight_norm(nn.Linear(3, 2))
    m.parametrizations.weight.original0.data.fill_(2)
    assert rt.allclose(m.weight.norm(dim=1), rt.full((2,), 2.0))
    with pytest.raises(ValueError, match="several"):
        parametrize.remove_parametrizations(m, "weight", leave_parametrized=False)
    m = parametrizations.spectral_norm(nn.ConvTranspose1d(3, 2, 2), n_power_iterations=5)
    for _ in range(10):
        weight = m.weight
    largest = rt.linalg.svd(weight.transpose(0, 1).flatten(1))[1][0]
    assert rt.allclose(largest, rt.tensor(1.0), atol=1e-4)
    before = m.parametrizations.weight[0]._u.clone()
    m.eval().weight  # noqa: B018
    assert rt.equal(m.parametrizations.weight[0]._u, before)
    m = parametrizations.spectral_norm(nn.Linear(3, 2), "bias")
    assert rt.allclose(m.bias.norm(), rt.tensor(1.0))
    m.bias = rt.tensor([3.0, 4.0])
    assert rt.allclose(m.bias, rt.tensor([0.6, 0.8]))
    with pytest.raises(ValueError, match="n_power_iterations"):
        parametrizations.spectral_norm(nn.Linear(1, 1), n_power_iterations=0)


DRAWN = {
    "uniform_": (), "normal_": (), "trunc_normal_": (), "xavier_uniform_": (), "xavier_normal_": (),
    "kaiming_uniform_": (), "kaiming_normal_": (), "orthogonal_": (), "trunc_normal_ rare": (0.0, 1.0, 1.0, 2.0),
    "trunc_normal_ often": (0.0, 1.0, -0.6, 0.6), "orthogonal_ wide": (2.0,),
}  # fmt: skip


@pytest.mark.parametrize("name", DRAWN)
def test_initial_values_come_from_the_given_generator(name: str) -> None:
    draw = getattr(init, name.partition(" ")[0])
    shape = (3, 40) if name.endswith("wide") else (40, 3)
    rt.manual_seed(5)
    want = draw(rt.empty(shape), *DRAWN[name])
    after = rt.get_rng_state()
    rt.manual_seed(0)
    before = rt.get_rng_state()
    generator = rt.Generator().manual_seed(5)
    given = nn.Parameter(rt.empty(shape))
    assert draw(given, *DRAWN[name], generator=generator) is given and rt.equal(given, want)
    assert rt.equal(rt.get_rng_state(), before) and rt.equal(generator.get_state(), after)


def test_parametrisations_leave_frozen_what_was_frozen() -> None:
    from rustorch.nn.utils import parametrize

    for frozen in (True, False):
        m = nn.Linear(2, 3)
        m.weight.requires_grad_(not frozen)
        for make in (
            lambda m=m: parametrize.register_parametrization(m, "weight", Doubled()),
            lambda m=m: utils.parametrizations.weight_norm(m),
        ):
            make()
            originals = [p for name, p in m.named_parameters() if "original" in name]
            assert originals and all(p.requires_grad is not frozen for p in originals)
            assert m.weight.requires_grad is not frozen
            assert type(parametrize.remove_parametrizations(m, "weight").weight) is nn.Parameter
            assert m.weight.requires_grad is not frozen and m.weight.is_leaf


@pytest.mark.parametrize("old", [False, True])
def test_spectral_norms_may_be_read_again_before_backward(old: bool) -> None:
    m = (utils.spectral_norm if old else utils.parametrizations.spectral_norm)(nn.Linear(3, 2, bias=False))
    x = rt.rand(4, 3)
    first = m(x).square().sum()
    (first + m(x).square().sum()).backward()
    (gradient,) = [p.grad for p in m.parameters()]
    assert gradient is not None and gradient.isfinite().all()


def test_orthogonal_matrices_are_those_of_the_positive_diagonal() -> None:
    for shape in ((4, 3), (3, 4), (3, 3), (2, 3, 2)):
        rt.manual_seed(3)
        got = init.orthogonal_(rt.empty(shape, dtype=rt.float64), gain=2.0)
        rows, columns = shape[0], math.prod(shape[1:])
        rt.manual_seed(3)
        flat = arr(rt.empty(rows, columns, dtype=rt.float64).normal_())
        q, r = np.linalg.qr(flat.T if rows < columns else flat)
        q = q * np.sign(np.diagonal(r))
        np.testing.assert_allclose(arr(got), 2 * (q.T if rows < columns else q).reshape(shape), atol=1e-9)


def test_parametrised_values_are_kept_as_long_as_they_may_be() -> None:
    from rustorch.nn.utils import parametrize

    count: list[int] = []

    class Counts(nn.Module):
        def forward(self, x: Any) -> Any:
            count.append(1)
            return x * 2

    m = nn.Linear(2, 2)
    parametrize.register_parametrization(m, "weight", Counts())
    count.clear()
    with parametrize.cached():
        outer = m.weight
        with parametrize.cached():
            assert m.weight is outer
        assert m.weight is outer and len(count) == 1
    assert m.weight is not outer and m.weight is not m.weight and len(count) == 4
    with pytest.raises(KeyError), parametrize.cached():
        raise KeyError
    assert m.weight is not m.weight


@pytest.mark.parametrize("old", [False, True])
def test_spectral_norms_follow_in_training_only(old: bool) -> None:
    rt.manual_seed(0)
    m = nn.Linear(4, 4, bias=False)
    m = utils.spectral_norm(m) if old else utils.parametrizations.spectral_norm(m)
    x = rt.ones(1, 4)
    state = {k: v.clone() for k, v in m.state_dict().items()}
    m.eval()
    assert rt.equal(m(x), m(x)) and all(rt.equal(v, state[k]) for k, v in m.state_dict().items())
    m.train()
    m(x)
    changed = [k for k, v in m.state_dict().items() if not rt.equal(v, state[k])]
    assert [k.rpartition("_")[2] for k in sorted(changed)] == ["u", "v"]


def test_zeros_of_sparse_initial_values() -> None:
    for rows in (1, 4, 10):
        for sparsity in (0.0, 0.1, 0.25, 0.5, 0.99, 1.0):
            values = arr(init.sparse_(rt.empty(rows, 5), sparsity, std=2.0))
            assert ((values == 0).sum(0) == math.ceil(sparsity * rows)).all()


@pytest.mark.parametrize("lengths", [(2, 3, 2, 3), (1, 1, 1), (3, 1, 3, 2, 2, 3)])
def test_sequences_of_one_length_keep_their_order(lengths: tuple[int, ...]) -> None:
    rnn = utils.rnn
    order = sorted(range(len(lengths)), key=lambda i: -lengths[i])
    packed = rnn.pack_sequence([rt.full((n,), float(i)) for i, n in enumerate(lengths)], enforce_sorted=False)
    assert packed.sorted_indices.tolist() == order
    assert packed.unsorted_indices.tolist() == [order.index(i) for i in range(len(lengths))]
    assert packed.data.tolist() == [i for t in range(max(lengths)) for i in order if lengths[i] > t]
    assert [s.tolist() for s in rnn.unpack_sequence(packed)] == [[i] * n for i, n in enumerate(lengths)]


@pytest.mark.parametrize(("out", "inner", "groups"), [(6, 2, 2), (4, 4, 2), (6, 3, 1), (2, 3, 2), (6, 1, 3)])
def test_dirac_passes_each_group_on(out: int, inner: int, groups: int) -> None:
    x = np.random.default_rng(0).normal(size=(2, inner * groups, 7))
    weight = init.dirac_(rt.empty(out, inner, 3, dtype=rt.float64), groups)
    y = arr(nn.functional.conv1d(rt.tensor(x.tolist(), dtype=rt.float64), weight, padding=1, groups=groups))
    each = out // groups
    for o in range(out):
        g, d = divmod(o, each)
        np.testing.assert_array_equal(y[:, o], x[:, g * inner + d] if d < inner else np.zeros((2, 7)))
