"""What `rt_op_infer` says is what an op gives: a listener hears every call and asks, with the same arguments, what
would come out. And tensors of the device meta give the same, through Python, at no cost."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from abi_tools import asking, dynamic

import rustorch as rt
from rustorch import _ops, nn
from rustorch.errors import RustorchError, UnsupportedError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from test_values import CALLS, NAMES, Arguments

TABLE = {op["name"]: op for op in rt.ops.table()}
DYNAMIC = dynamic()
# What refusals are about that look at elements.
OF_ELEMENTS = [
    "expected p in [0, 1]",
    "expected rate to be non-negative",
    "positive-definite",
    "singular",
    "number of ones in mask",
    "out of bounds",
    "offsets must ascend",
    "ZeroDivisionError",
    "negative integer powers",
    "from 1 to",
    "non-finite",
    "is zero",
    "no pivots",
    "batch_sizes must be positive",
    "cannot be negative",
    "offsets must ascend",
    "windows do not overlap",
    "overlap",
]


@pytest.mark.parametrize("name", NAMES)
def test_inferred_is_what_comes_out(name):
    for source in CALLS[name]:
        for grad in (False, True):

            def leaf(a, grad=grad):
                t = rt.from_numpy(np.array(a))
                wants = grad and t.dtype.is_floating_point and TABLE[name]["differentiable"]
                return t.requires_grad_() if wants else t

            names = {**Arguments(leaf).names(True), "f": getattr(_ops, name)}
            with asking() as asked:
                try:
                    out = eval(f"f({source})".replace("f32(", "single("), names)
                    roots = [o for o in (out if isinstance(out, (list, tuple)) else [out]) if o.requires_grad]
                    if roots:
                        rt.autograd.backward(roots, [rt.ones_like(o) for o in roots])
                except RustorchError as e:
                    assert any(w in str(e) for w in ("leaf Variable", "not implemented when mode", "is singular")), e
            assert not asked.wrong, asked.wrong
            assert not asked.refused, (source, asked.refused)
            assert asked.count or name in DYNAMIC or grad, source


def test_dynamic_ops_say_so():
    expected = {"nonzero", "masked_select", "unique_flat", "bincount", "one_hot", "repeat_interleave_tensor"}
    assert expected <= DYNAMIC
    x = rt.ones(3, device="meta", dtype=rt.int64)
    for call in (x.nonzero, lambda: x[x > 0], x.unique, x.bincount):
        with pytest.raises(UnsupportedError, match="meta"):
            call()


def test_a_training_step_is_inferred():
    rt.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 9, 10),
        nn.LayerNorm(10),
    )  # fmt: skip
    optimizer = rt.optim.Adam(net.parameters())
    with asking() as asked:
        loss = nn.functional.cross_entropy(net(rt.randn(5, 1, 8, 8)), rt.tensor([1, 2, 3, 4, 5]))
        loss.backward()
        optimizer.step()
    assert not asked.wrong, asked.wrong
    assert not asked.refused, asked.refused
    assert asked.count > 20


def test_bad_input_is_refused_alike():
    """By inference with the message of the computation."""
    for name, op in TABLE.items():
        for call, message in op["refuses"]:
            if name in DYNAMIC:
                continue

            def moved(v):
                return v.to("meta") if isinstance(v, rt.Tensor) else [moved(e) for e in v] if isinstance(v, list) else v

            def asked(*args, name=name, **kwargs):
                return getattr(_ops, name)(*map(moved, args), **{k: moved(v) for k, v in kwargs.items()})

            try:
                eval(f"f({call})", {"rt": rt, "f": asked, "inf": rt.inf, "nan": rt.nan})
            except (RustorchError, TypeError, ValueError) as e:
                assert message in str(e), (name, call, e)
            else:
                assert any(word in message for word in OF_ELEMENTS), f"{name}({call}) was inferred: {message!r}"


# ---- the device meta ----


def test_meta_costs_nothing():
    a, b = rt.empty(10**6, 10**6, device="meta"), rt.empty((10**6, 10), device="meta", dtype=rt.float64)
    assert (a @ a).shape == (10**6, 10**6)
    assert (a.double() @ b).shape == (10**6, 10)
    assert (a + 1).sum(0).softmax(0).shape == (10**6,)
    assert rt.zeros(10**12, device="meta").view(10**6, 10**6).t().contiguous().stride() == (10**6, 1)
    big = nn.Linear(10**6, 10**6, device="meta")
    y = big(rt.empty(7, 10**6, device="meta"))
    assert (y.shape, y.device.type, y.is_meta) == ((7, 10**6), "meta", True)
    y.sum().backward()
    assert (big.weight.grad.shape, big.weight.grad.device.type) == ((10**6, 10**6), "meta")


def test_meta_has_no_elements():
    x = rt.ones(2, 3, device="meta")
    for read in (
        x.tolist,
        x.numpy,
        lambda: x[0, 0].item(),
        lambda: bool(x.sum()),
        x.cpu,
        lambda: rt.zeros(2, 3).copy_(x),
    ):
        with pytest.raises((UnsupportedError, TypeError), match=r"meta|elements"):
            read()
    assert x.data_ptr() == 0
    assert repr(x) == "tensor(..., device='meta', size=(2, 3))"
    with pytest.raises(UnsupportedError, match="same device"):
        x + rt.ones(2, 3)
    assert (x + rt.tensor(2.0)).is_meta
    assert x.copy_(rt.zeros(2, 3)) is x
    assert rt.zeros_like(x, device="cpu").tolist() == [[0.0] * 3] * 2
    assert rt.ones(2, 2).to("meta").is_meta
    assert rt.ones_like(rt.ones(2), device="meta").is_meta


def test_where_tensors_are_made():
    assert rt.get_default_device() == rt.device("cpu")
    with rt.device("meta"):
        made = [
            rt.zeros(2),
            rt.tensor([1, 2]),
            rt.arange(5),
            rt.randn(2, 2),
            rt.full((2,), 1.0),
            nn.Conv2d(1, 2, 3).weight,
        ]
        assert rt.get_default_device().type == "meta"
        with rt.device("cpu"):
            assert rt.zeros(2).tolist() == [0.0, 0.0]
        assert rt.zeros(2, device="cpu").tolist() == [0.0, 0.0]
        # What is computed from other tensors stays where they are.
        assert (
            nn.functional.cross_entropy(made[0].new_zeros(1, 2, device="cpu"), rt.tensor([1], device="cpu")).item() > 0
        )
    assert all(t.device == rt.device("meta") for t in made)
    assert rt.ones(1).item() == 1.0
    rt.set_default_device("meta")
    try:
        assert rt.ones(1).is_meta
    finally:
        rt.set_default_device(None)
    assert not rt.ones(1).is_meta
    net = nn.Sequential(nn.Linear(3, 4, device="meta"), nn.BatchNorm1d(4, device="meta"))
    with pytest.raises(UnsupportedError, match="to_empty"):
        net.to("cpu")
    net.to_empty(device="cpu")
    assert net(rt.ones(2, 3)).shape == (2, 4)


META_MODULES = {
    "lstm": (lambda: nn.LSTM(3, 4, 2, bidirectional=True), (5, 2, 3)),
    "gru": (lambda: nn.GRU(3, 4, batch_first=True), (5, 2, 3)),
    "cell": (lambda: nn.LSTMCell(3, 4), (2, 3)),
    "dropout": (lambda: nn.Dropout2d(0.5), (2, 3, 4, 4)),
    "attention": (lambda: nn.TransformerEncoderLayer(8, 2, batch_first=True), (2, 3, 8)),
    "upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (1, 2, 3, 3)),
    "nearest": (lambda: nn.Upsample(size=(5, 5)), (1, 2, 3, 3)),
    "norms": (lambda: nn.Sequential(nn.GroupNorm(1, 2), nn.InstanceNorm2d(2), nn.BatchNorm2d(2)), (3, 2, 4, 4)),
    "transposed": (lambda: nn.ConvTranspose2d(2, 3, 3, 2, 1, 1), (1, 2, 4, 4)),
}


@pytest.mark.parametrize("make, shape", META_MODULES.values(), ids=META_MODULES)
def test_modules_on_meta(make, shape):
    """Forward and backward give the shapes that they give on the CPU; a context leaves CPU modules alone."""

    def run(net, device):
        x = rt.zeros(shape, device=device, requires_grad=True)
        y = net(x)
        y = y[0] if isinstance(y, tuple) else y
        y.sum().backward()
        return [y.shape, y.dtype, x.grad.shape, *(p.grad.shape for p in net.parameters())]

    with rt.device("meta"):
        meta = make()
    expected = run(make(), "cpu")
    assert run(meta, "meta") == expected
    net = make()
    with rt.device("meta"):
        assert run(net, "cpu") == expected
    assert all(p.grad.device.type == "cpu" for p in net.parameters())


def test_devices_are_not_mixed():
    a, b = rt.ones(2, requires_grad=True), rt.ones(2, device="meta", requires_grad=True)
    mixed = [
        lambda: setattr(a, "grad", rt.ones(2, device="meta")),
        lambda: setattr(a, "data", rt.ones(2, device="meta")),
        lambda: (a * 2).backward(rt.ones(2, device="meta")),
        lambda: (b * 2).backward(rt.ones(2)),
        lambda: rt.stack([b, rt.tensor(1.0)]),
        lambda: rt.ones(2).set_(rt.ones(2, device="meta")),
        lambda: nn.Linear(2, 3, device="meta").cpu(),
    ]
    for call in mixed:
        with pytest.raises(RustorchError, match=r"device|meta"):
            call()
    a.register_hook(lambda g: g.to("meta"))
    with pytest.raises(RustorchError, match="device"):
        a.sum().backward()
    # A step is taken by all parameters or by none.
    number = rt.tensor(1.0, requires_grad=True)
    number.grad, b.grad = rt.tensor(1.0), rt.ones(2, device="meta")
    with pytest.raises(RustorchError, match="same device"):
        rt.optim.SGD([number, b], lr=0.1).step()
    assert number.item() == 1.0


def test_gradients_on_both_devices():
    a, b = rt.ones(3, requires_grad=True), rt.ones(2, device="meta", requires_grad=True)
    grads = rt.autograd.grad([(b * b).sum(), a[1:].sum()], [a, b])
    assert [g.device.type for g in grads] == ["cpu", "meta"]
    assert grads[0].tolist() == [0.0, 1.0, 1.0]
    seen = []
    b.register_hook(lambda g: seen.append(rt.zeros(1).tolist()))
    b.sum().backward(rt.tensor(1.0))
    assert seen == [[0.0]]
    assert b.grad.is_meta


def test_what_follows_the_device_of_another():
    m, c = rt.ones(2, device="meta"), rt.ones(2)
    made = [m.new_zeros(2), m.new_full((2,), 1.0), m.new_tensor([1.0]), rt.randint_like(m, 5), c.type_as(m)]
    made += [rt.randint(0, 5, (3,), device="meta"), rt.empty(0, device="meta").resize_(3, 4)]
    assert all(t.is_meta for t in made)
    with rt.device("meta"):
        kept = [c.new_zeros(2), rt.tensor(3.0, device="cpu"), rt.randint(0, 5, (3,), device="cpu"), rt.zeros_like(c)]
        assert not any(t.is_meta for t in kept)
        assert nn.BatchNorm1d(3, device="cpu").running_mean.tolist() == [0.0] * 3
    layer = nn.Linear(2, 3)
    weight = layer.weight
    layer.to("meta")
    assert (weight.is_meta, layer.weight.is_meta, type(layer.weight)) == (False, True, nn.Parameter)


def test_meta_follows_torch_in_small_things():
    m, c = rt.ones(3, device="meta"), rt.ones(3)
    assert [m[[0, 1]].shape, m[rt.tensor([[0, 2]])].shape, m[np.array([0])].shape] == [(2,), (1, 2), (1,)]
    assert f"{m.sum()}" == "tensor(..., device='meta', size=())"
    assert m.is_set_to(m) and not m.is_set_to(rt.ones(3, device="meta"))
    with pytest.raises(ValueError, match="meta"):
        m.__dlpack_device__()
    with pytest.raises(UnsupportedError, match="legacy constructor"):
        rt.Tensor(2, 3, device="meta")
    with rt.device("meta"):
        assert not rt.Tensor(2, 3).is_meta
    with pytest.raises(RustorchError, match="out"):
        rt.add(c, c, out=m)
    for bad in (lambda: rt.device("cuda:²"), lambda: rt.device("cuda:0", 1)):
        with pytest.raises(RustorchError, match="device"):
            bad()


def test_a_gradient_does_not_come_back_from_meta():
    w = rt.ones(2, requires_grad=True)
    there = w.to("meta")
    assert (there.is_meta, there.is_leaf, there.requires_grad) == (True, False, True)
    with pytest.raises(RustorchError, match="meta"):
        there.sum().backward()
    with rt.no_grad():
        assert not w.to("meta").requires_grad


def test_functions_of_the_program_see_its_device():
    """Whatever devices the op works on that calls them."""
    seen = []

    def pack(t):
        seen.append(rt.zeros(1).is_meta)
        return t

    def run(device):
        x = rt.zeros(4, 3, device=device, requires_grad=True)
        target = rt.zeros(4, dtype=rt.int64, device=device)
        x.register_hook(lambda g: (pack(g), None)[1])
        with rt.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            nn.functional.cross_entropy(x, target, label_smoothing=0.1).backward()

    def hook(g):
        rt.set_default_device("meta")

    run("meta")
    assert seen and not any(seen)
    seen.clear()
    with rt.device("meta"):
        run("cpu")
    assert seen and all(seen)
    x = rt.ones(2, device="meta", requires_grad=True)
    x.register_hook(hook)
    try:
        x.sum().backward()
        assert rt.get_default_device().type == "meta"
    finally:
        rt.set_default_device(None)


def test_composed_functions_on_meta_and_in_its_context():
    f = nn.functional
    calls = {
        "ctc": lambda d: f.ctc_loss(
            rt.zeros(5, 2, 3, device=d).log_softmax(-1), rt.tensor([[1, 2], [1, 1]], device="cpu"), (5, 4), (2, 1)
        ),
        "embedding_bag": lambda d: f.embedding_bag(
            rt.zeros(2, 3, dtype=rt.int64, device=d), rt.zeros(4, 2, device=d), mode="sum"
        ),
        "pdist": lambda d: f.pdist(rt.zeros(4, 3, device=d)),
        "interpolate": lambda d: f.interpolate(rt.zeros(1, 1, 4, 4, device=d), scale_factor=2, mode="bicubic"),
    }
    for name, call in calls.items():
        expected = call("cpu").shape
        assert call("meta").shape == expected, name
        with rt.device("meta"):
            assert not call("cpu").is_meta, name
    with rt.device("meta"):
        w = rt.empty(3, 4, device="cpu")
        for init in (nn.init.orthogonal_, nn.init.trunc_normal_, lambda t: nn.init.sparse_(t, 0.5)):
            assert rt.isfinite(init(w)).all()
        assert not f.rrelu(rt.ones(3, device="cpu"), training=True).is_meta
        assert rt.autograd.gradcheck(rt.sin, rt.ones(2, dtype=rt.float64, device="cpu").requires_grad_())
