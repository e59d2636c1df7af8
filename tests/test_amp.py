"""Mixed precision: which ops compute in which dtype, what is kept, and the scaler."""

from __future__ import annotations

import copy
import pickle
import threading
import warnings
from typing import Any

import pytest

import rustorch as rt
from rustorch import amp, nn
from rustorch.errors import DTypeError
from rustorch.utils.checkpoint import checkpoint

F = nn.functional
LOW, FULL, HALF, DOUBLE = rt.bfloat16, rt.float32, rt.float16, rt.float64


def line(*shape: int, dtype: Any = FULL) -> rt.Tensor:
    n = 1
    for s in shape:
        n *= s
    return ((rt.arange(n) * 7 % 11 - 5.0) / 4).reshape(shape).to(dtype)


LOWER: dict[str, Any] = {
    "mm": lambda d: rt.mm(line(2, 3, dtype=d), line(3, 2, dtype=d)),
    "matmul": lambda d: line(2, 3, dtype=d) @ line(3, dtype=d),
    "bmm": lambda d: rt.bmm(line(2, 2, 3, dtype=d), line(2, 3, 2, dtype=d)),
    "addmm": lambda d: rt.addmm(line(2, dtype=d), line(2, 3, dtype=d), line(3, 2, dtype=d)),
    "baddbmm": lambda d: rt.baddbmm(line(1, 2, 2, dtype=d), line(1, 2, 3, dtype=d), line(1, 3, 2, dtype=d)),
    "addbmm": lambda d: rt.addbmm(line(2, 2, dtype=d), line(1, 2, 3, dtype=d), line(1, 3, 2, dtype=d)),
    "linear": lambda d: F.linear(line(2, 3, dtype=d), line(4, 3, dtype=d), line(4, dtype=d)),
    "einsum": lambda d: rt.einsum("ij,jk->ik", line(2, 3, dtype=d), line(3, 2, dtype=d)),
    "conv1d": lambda d: F.conv1d(line(1, 2, 5, dtype=d), line(3, 2, 2, dtype=d)),
    "conv2d same": lambda d: F.conv2d(line(1, 2, 5, 5, dtype=d), line(3, 2, 2, 2, dtype=d), padding="same"),
    "conv3d": lambda d: F.conv3d(line(1, 1, 3, 3, 3, dtype=d), line(1, 1, 2, 2, 2, dtype=d)),
    "conv_transpose1d": lambda d: F.conv_transpose1d(line(1, 2, 5, dtype=d), line(2, 3, 2, dtype=d)),
    "conv_transpose2d": lambda d: F.conv_transpose2d(line(1, 2, 5, 5, dtype=d), line(2, 3, 2, 2, dtype=d)),
    "conv_transpose3d": lambda d: F.conv_transpose3d(line(1, 1, 2, 2, 2, dtype=d), line(1, 1, 2, 2, 2, dtype=d)),
    "prelu": lambda d: F.prelu(line(2, 3, dtype=d), line(3, dtype=d)),
    "attention": lambda d: F.scaled_dot_product_attention(*(line(1, 2, 3, 4, dtype=d) for _ in range(3))),
}  # fmt: skip
IN_FULL: dict[str, Any] = {
    **{
        f.__name__: lambda d, f=f: f(line(2, 3, dtype=d).sigmoid(), line(2, 3, dtype=d).sigmoid(), reduction="sum")
        for f in (F.mse_loss, F.l1_loss, F.smooth_l1_loss, F.huber_loss, F.binary_cross_entropy, F.kl_div,
                  F.binary_cross_entropy_with_logits, F.poisson_nll_loss, F.soft_margin_loss, F.hinge_embedding_loss)
    },
    "cross_entropy": lambda d: F.cross_entropy(line(2, 3, dtype=d), rt.tensor([0, 2])),
    "nll_loss": lambda d: F.nll_loss(line(2, 3, dtype=d), rt.tensor([0, 2])),
    "margin_ranking": lambda d: F.margin_ranking_loss(*(line(3, dtype=d) for _ in range(3))),
    "triplet": lambda d: F.triplet_margin_loss(*(line(2, 3, dtype=d) for _ in range(3))),
    "prod": lambda d: line(3, dtype=d).prod(),
    "prod over": lambda d: line(3, 2, dtype=d).prod(1),
    "trace": lambda d: line(3, 3, dtype=d).trace(),
    "avg_pool3d": lambda d: F.avg_pool3d(line(1, 1, 2, 2, 2, dtype=d), 2),
    "max_pool3d": lambda d: F.max_pool3d(line(1, 1, 2, 2, 2, dtype=d), 2),
    "grid_sample": lambda d: F.grid_sample(line(1, 1, 3, 3, dtype=d), line(1, 2, 2, 2, dtype=d), align_corners=False),
    "cdist": lambda d: rt.cdist(line(3, 2, dtype=d), line(3, 2, dtype=d)),
}  # fmt: skip
AS_THEY_ARE: dict[str, Any] = {
    "add": lambda d: line(3, dtype=d) + 1, "softmax": lambda d: line(3, dtype=d).softmax(0),
    "sum": lambda d: line(3, dtype=d).sum(), "layer_norm": lambda d: F.layer_norm(line(2, 3, dtype=d), (3,)),
    "mv": lambda d: line(2, 3, dtype=d).mv(line(3, dtype=d)),
    "relu": lambda d: line(3, dtype=d).relu(), "pool": lambda d: F.max_pool2d(line(1, 1, 4, 4, dtype=d), 2),
    "in place": lambda d: line(2, 2, dtype=d).addmm_(line(2, 2, dtype=d), line(2, 2, dtype=d)),
}  # fmt: skip


@pytest.mark.parametrize("lower", [LOW, HALF])
@pytest.mark.parametrize("name", LOWER)
def test_computed_in_the_lower_dtype(name: str, lower: Any) -> None:
    call = LOWER[name]
    with rt.autocast("cpu", dtype=lower):
        y, same, double = call(FULL), call(lower), call(DOUBLE)
    assert (y.dtype, same.dtype, double.dtype) == (lower, lower, DOUBLE)
    assert y.equal(same) and call(FULL).dtype is FULL


@pytest.mark.parametrize("name", IN_FULL)
def test_computed_in_float32(name: str) -> None:
    call = IN_FULL[name]
    with rt.autocast("cpu"):
        y, double = call(LOW), call(DOUBLE)
    assert (y.dtype, double.dtype, call(LOW).dtype) == (FULL, DOUBLE, LOW)


@pytest.mark.parametrize("name", AS_THEY_ARE)
def test_computed_as_they_are(name: str) -> None:
    for d in (FULL, LOW, DOUBLE):
        with rt.autocast("cpu"):
            assert AS_THEY_ARE[name](d).dtype is d


def test_the_widest() -> None:
    a, b = rt.ones(2), rt.ones(2, dtype=LOW)
    with rt.autocast("cpu"):
        assert rt.cat([a, b]).dtype is FULL and rt.stack([b, b]).dtype is LOW and rt.stack([b, a]).dtype is FULL
        assert rt.cat([b, rt.ones(2, dtype=HALF)]).dtype is FULL and rt.cat([b.long(), b.long()]).dtype is rt.int64
        assert rt.zeros(3).index_copy(0, rt.tensor([1]), rt.ones(1, dtype=LOW)).tolist() == [0, 1, 0]
        assert rt.cat([rt.ones(1, dtype=HALF)]).dtype is FULL and rt.cat([b.double(), b]).dtype is DOUBLE


def test_gradients_arrive_in_the_parameters_dtype() -> None:
    rt.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x, y = rt.randn(5, 3), rt.randn(5, 2)
    with rt.autocast("cpu"):
        out = net(x)
        loss = F.mse_loss(out, y)
    assert (out.dtype, loss.dtype) == (LOW, FULL)
    loss.backward()
    low = [p.grad.clone() for p in net.parameters()]
    assert all(g.dtype is FULL for g in low)
    net.zero_grad()
    F.mse_loss(net(x), y).backward()
    for g, p in zip(low, net.parameters()):
        assert rt.allclose(g, p.grad, 0.1, 0.05) and not g.equal(p.grad)


def test_nested_and_restored() -> None:
    a = rt.ones(2, 2)
    with rt.autocast("cpu") as outer:
        assert rt.is_autocast_enabled("cpu") and rt.get_autocast_dtype("cpu") is LOW and isinstance(outer, rt.autocast)
        with rt.autocast("cpu", dtype=HALF):
            assert (a @ a).dtype is HALF
            with rt.autocast("cpu", enabled=False):
                assert (a @ a).dtype is FULL and not rt.is_autocast_enabled("cpu")
            with pytest.raises(KeyError), outer:
                assert (a @ a).dtype is LOW
                raise KeyError
            assert (a @ a).dtype is HALF
        assert (a @ a).dtype is LOW
        heard: list[Any] = []
        other = threading.Thread(target=lambda: heard.append((a @ a).dtype))
        other.start()
        other.join()
    assert (a @ a).dtype is FULL and heard == [FULL]

    @rt.autocast("cpu")
    def product(x: rt.Tensor, times: int = 1) -> rt.Tensor:
        """Doc."""
        return x @ x * times

    assert product(a, times=3).dtype is LOW and product.__doc__ == "Doc." and product(a).sum() == 8


def test_a_parameter_is_cast_once() -> None:
    w, x = nn.Parameter(line(3, 3)), line(2, 3)
    for caches, times in ((True, 1), (None, 1), (False, 2)):
        with rt.autocast("cpu", cache_enabled=caches):
            assert rt.is_autocast_cache_enabled() is (caches is not False)
            ys = [x @ w, x @ w]
            sources = {y.grad_fn.next_functions[1][0] for y in ys}
            assert len(sources) == times
            with rt.no_grad():
                w += 1
            assert rt.allclose((x @ w).float(), (x @ w.detach().to(LOW)).float(), 0.02, 0.02)
            with rt.no_grad():
                w -= 1
                assert not (x @ w).requires_grad
            assert (x @ w).requires_grad
    with rt.autocast("cpu"):
        before = (x @ w).grad_fn.next_functions[1][0]
        rt.clear_autocast_cache()
        assert (x @ w).grad_fn.next_functions[1][0] != before and rt.is_autocast_enabled("cpu")


def test_the_words_that_ask_and_set() -> None:
    assert amp.is_autocast_available("cpu") and not amp.is_autocast_available("cuda")
    assert (rt.get_autocast_dtype("cpu"), rt.get_autocast_dtype("cuda")) == (LOW, HALF)
    assert (rt.get_autocast_cpu_dtype(), rt.get_autocast_gpu_dtype()) == (LOW, HALF)
    a = rt.ones(2, 2)
    try:
        rt.set_autocast_enabled("cpu", True)
        assert rt.is_autocast_cpu_enabled() and (a @ a).dtype is LOW and not rt.is_autocast_enabled()
        rt.set_autocast_cpu_dtype(HALF)
        assert (a @ a).dtype is HALF and rt.get_autocast_cpu_dtype() is HALF
        rt.set_autocast_cpu_enabled(False)
        assert (a @ a).dtype is FULL
        with rt.autocast("cpu"):
            assert (a @ a).dtype is HALF
    finally:
        rt.set_autocast_enabled("cpu", False)
        rt.set_autocast_dtype("cpu", LOW)
    rt.set_autocast_cache_enabled(False)
    assert not rt.is_autocast_cache_enabled()
    rt.set_autocast_cache_enabled(True)
    with pytest.raises(ValueError, match="Expected `device_type` of type `str`"):
        rt.autocast(LOW)
    with pytest.raises(RuntimeError, match="unsupported autocast device_type 'gpu'"):
        rt.autocast("gpu")
    with pytest.warns(UserWarning, match="not supported. Disabling"), rt.autocast("cpu", dtype=DOUBLE):
        assert (a @ a).dtype is FULL
    with pytest.warns(UserWarning, match="CUDA is not available"), rt.autocast("cuda"):
        assert (a @ a).dtype is FULL
    from rustorch._door import check, lib

    with pytest.raises(DTypeError, match="float16 or bfloat16"):
        check(lib.rt_set_autocast(FULL._code))
    with pytest.warns(FutureWarning, match=r"torch.cpu.amp.autocast\(args"):
        old = rt.cpu.amp.autocast(dtype=HALF)
    with old:
        assert (a @ a).dtype is HALF
    with pytest.warns(FutureWarning):
        assert rt.cuda.amp.autocast(enabled=False).device == "cuda"
        assert not rt.cuda.amp.GradScaler(enabled=False).is_enabled()
        assert rt.cpu.amp.GradScaler(init_scale=4.0).get_scale() == 4


def test_custom_functions() -> None:
    seen: list[Any] = []

    class Product(rt.autograd.Function):
        @staticmethod
        @amp.custom_fwd(device_type="cpu")
        def forward(ctx: Any, x: rt.Tensor) -> rt.Tensor:
            ctx.save_for_backward(x)
            return x @ x

        @staticmethod
        @amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, g: rt.Tensor) -> rt.Tensor:
            (x,) = ctx.saved_tensors
            seen.append((x @ x).dtype)
            return g.to(x.dtype)

    class InFull(rt.autograd.Function):
        @staticmethod
        @amp.custom_fwd(device_type="cpu", cast_inputs=FULL)
        def forward(ctx: Any, x: rt.Tensor, more: Any) -> rt.Tensor:
            seen.append((x.dtype, (x @ x).dtype, more["y"][0].dtype, more["z"]))
            return x @ x

        @staticmethod
        @amp.custom_bwd(device_type="cpu")
        def backward(ctx: Any, g: rt.Tensor) -> Any:
            seen.append((g @ g).dtype)
            return g, None

    x = rt.ones(2, 2, requires_grad=True)
    with rt.autocast("cpu"):
        y = Product.apply(x)
    y.sum().backward()
    Product.apply(x).sum().backward()
    assert seen == [LOW, FULL]
    seen.clear()
    more = {"y": [rt.ones(1, dtype=LOW)], "z": "z"}
    with rt.autocast("cpu"):
        InFull.apply(x.detach().to(LOW).requires_grad_(), more).sum().backward()
    InFull.apply(x, more)
    assert seen == [(FULL, FULL, FULL, "z"), FULL, (FULL, FULL, LOW, "z")]


def test_computed_again_in_the_same_dtype() -> None:
    lin, seen = nn.Linear(3, 3), []

    def part(x: rt.Tensor) -> rt.Tensor:
        y = lin(x)
        seen.append(y.dtype)
        return y.relu() * y

    x = rt.ones(2, 3, requires_grad=True)
    with rt.autocast("cpu"):
        y = checkpoint(part, x, use_reentrant=False)
    y.float().sum().backward()
    assert seen == [LOW, LOW] and x.grad.dtype is FULL


def test_backward_is_not_cast() -> None:
    x, w = line(2, 3).requires_grad_(), line(3, 2).requires_grad_()
    y = x @ w
    with rt.autocast("cpu"):
        y.sum().backward()
    expected = (rt.ones(2, 2) @ w.detach().T, x.detach().T @ rt.ones(2, 2))
    assert x.grad.equal(expected[0]) and w.grad.equal(expected[1])


def test_scaler() -> None:
    w = nn.Parameter(rt.tensor([1.0, 2.0]))
    opt = rt.optim.SGD([w], lr=0.5)
    s = amp.GradScaler("cpu", init_scale=8.0, growth_factor=4.0, backoff_factor=0.25, growth_interval=2)
    loss = (w * w).sum()
    scaled = s.scale(loss)
    assert scaled.item() == 40 and [t.item() for t in s.scale([loss, (loss,)][:1])] == [40]
    scaled.backward()
    assert w.grad.tolist() == [16, 32]
    s.unscale_(opt)
    assert w.grad.tolist() == [2, 4]
    with pytest.raises(RuntimeError, match="already been called on this optimizer"):
        s.unscale_(opt)
    s.step(opt)
    assert w.tolist() == [0, 0]
    with pytest.raises(RuntimeError, match=r"step\(\) has already been called"):
        s.step(opt)
    with pytest.raises(RuntimeError, match=r"after step\(\)"):
        s.unscale_(opt)
    with pytest.raises(AssertionError, match="only be pickled"):
        pickle.dumps(s)
    s.update()
    assert s.get_scale() == 8 and s.state_dict()["_growth_tracker"] == 1
    w.grad = rt.tensor([8.0, 16.0])
    s.step(opt)
    assert w.tolist() == [-0.5, -1.0]
    s.update()
    assert s.get_scale() == 32
    w.grad = rt.tensor([rt.inf, 1.0])
    assert s.step(opt) is None and w.tolist() == [-0.5, -1.0]
    s.update()
    assert s.get_scale() == 8
    w.grad = rt.tensor([1.0, rt.nan])
    s.step(opt)
    s.update()
    assert s.get_scale() == 2 and w.tolist() == [-0.5, -1.0]
    with pytest.raises(AssertionError, match="prior to update"):
        s.update()
    s.update(16.0)
    assert s.get_scale() == 16
    s.update(rt.tensor([4.0]))
    other = amp.GradScaler("cpu")
    other.load_state_dict(copy.deepcopy(s.state_dict()))
    assert other.state_dict() == s.state_dict() == pickle.loads(pickle.dumps(s)).state_dict()
    assert (other.get_growth_factor(), other.get_backoff_factor(), other.get_growth_interval()) == (4.0, 0.25, 2)
    other.set_growth_factor(3.0)
    other.set_backoff_factor(0.1)
    other.set_growth_interval(7)
    assert list(other.state_dict().values()) == [4.0, 3.0, 0.1, 7, 0]
    with pytest.raises(RuntimeError, match="source state dict is empty"):
        other.load_state_dict({})
    half = nn.Parameter(rt.ones(1, dtype=HALF))
    half.grad = rt.ones(1, dtype=HALF)
    with pytest.raises(ValueError, match="FP16 gradients"):
        s.unscale_(rt.optim.SGD([half], lr=0.1))
    with pytest.raises(RuntimeError, match="Closure use"):
        s.step(opt, closure=lambda: loss)
    with pytest.raises(AssertionError, match="No inf checks were recorded for this"):
        w.grad = None
        s.step(opt)
    with pytest.raises(ValueError, match="Tensor or an iterable"):
        s.scale(1.0)


def test_scaler_that_is_off() -> None:
    with pytest.warns(UserWarning, match="CUDA is not available"):
        s = amp.GradScaler()
    w = nn.Parameter(rt.ones(1))
    opt, loss = rt.optim.SGD([w], lr=1.0), (w * 3).sum()
    assert s.scale(loss) is loss and s.get_scale() == 1 and not s.is_enabled() and s.state_dict() == {}
    loss.backward()
    s.unscale_(opt)
    s.step(opt)
    s.update()
    s.load_state_dict({})
    assert w.item() == -2
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        amp.GradScaler(enabled=False)
    for wrong, message in (({"growth_factor": 1.0}, "growth factor"), ({"backoff_factor": 1.0}, "backoff factor")):
        with pytest.raises(AssertionError, match=message):
            amp.GradScaler("cpu", **wrong)
