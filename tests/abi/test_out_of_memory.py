"""A failing allocation is an error: never the end of the process, a changed input or a lost block.

The trace of `calls` is replayed by `oom.c`, which makes every allocation of every call fail, one after the other."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from abi_tools import link_flags, run, run_python, tool
from test_replay import SEED, recording

import rustorch as rt
from rustorch import _ops
from rustorch.errors import RustorchError

TABLE = {op["name"]: op for op in rt.ops.table()}


def real(*shape: int) -> rt.Tensor:
    return rt.randn(*shape, dtype=rt.float64)


def positive(*shape: int) -> rt.Tensor:
    return rt.rand(*shape, dtype=rt.float64) * 0.8 + 0.1


def index(*values: Any) -> rt.Tensor:
    return rt.tensor(values)


def definite(n: int) -> rt.Tensor:
    a = real(n, n)
    return a @ a.T + 3 * rt.eye(n, dtype=rt.float64)


F = rt.nn.functional
I33 = [[0, 1, 2], [2, 1, 0], [1, 1, 1]]

# Calls that need inputs of their own making: name, function, inputs.
SPECIAL: list[tuple[Callable[..., Any], list[rt.Tensor]]] = [
    (lambda x: x.sort(), [real(300)]),
    (lambda x: x.sort(0), [real(40, 7)]),
    (lambda x: x.argsort(stable=True), [rt.randint(0, 9, (300,))]),
    (lambda x: x.topk(5), [real(300)]),
    (lambda x: x.kthvalue(5), [real(3, 90)]),
    (lambda x: x.median(), [real(90)]),
    (lambda x: x.median(0), [real(9, 7)]),
    (lambda x: x.mode(), [rt.randint(0, 4, (3, 20))]),
    (lambda x: rt.unique(x, return_inverse=True, return_counts=True), [rt.randint(0, 9, (90,))]),
    (lambda x: rt.unique(x, dim=0), [rt.randint(0, 2, (20, 2))]),
    (lambda x: rt.unique_consecutive(x), [rt.randint(0, 2, (90,))]),
    (lambda x, q: rt.quantile(x, q, dim=1), [real(3, 40), positive(3)]),
    (lambda x: rt.nonzero(x), [rt.randint(0, 2, (9, 9))]),
    (lambda x: rt.nonzero(x, as_tuple=True), [rt.randint(0, 2, (9, 9))]),
    (lambda x, y: rt.isin(x, y), [rt.randint(0, 9, (50,)), rt.randint(0, 9, (9,))]),
    (lambda x, y: rt.searchsorted(x, y), [real(30).sort()[0], real(9)]),
    (lambda x: rt.histc(x, 5), [real(30)]),
    (lambda x: rt.bincount(x), [rt.randint(0, 9, (50,))]),
    (lambda x, i: x[i], [real(9, 4), index(1, 8, 3, 3)]),
    (lambda x, i, j: x[i, :, j], [real(5, 3, 4), index(1, 4), index(0, 3)]),
    (lambda x, m: x[m], [real(9, 4), rt.randint(0, 2, (9, 4)).bool()]),
    (lambda x, i, v: x.index_put((i,), v, accumulate=True), [real(9, 4), index(1, 1), real(2, 4)]),
    (lambda x, i, v: x.index_put_((i,), v), [real(9, 4), index(1, 2), real(2, 4)]),
    (lambda x, i, s: x.index_add(0, i, s), [real(9, 4), index(1, 1), real(2, 4)]),
    (lambda x, i, s: x.index_copy_(0, i, s), [real(9, 4), index(1, 2), real(2, 4)]),
    (lambda x, i: x.index_fill(0, i, 2), [real(9, 4), index(1, 2)]),
    (lambda x, i: x.index_select(0, i), [real(9, 4), index(1, 2)]),
    (lambda x, i: x.gather(1, i), [real(3, 3), index(*I33)]),
    (lambda x, i, s: x.scatter(1, i, s), [real(3, 3), index(*I33), real(3, 3)]),
    (lambda x, i, s: x.scatter_add_(1, i, s), [real(3, 3), index(*I33), real(3, 3)]),
    (lambda x, i, s: x.scatter_reduce(1, i, s, "prod"), [real(3, 3), index(*I33), real(3, 3)]),
    (lambda x, m: x.masked_fill(m, 1.0), [real(3, 9), rt.randint(0, 2, (3, 9)).bool()]),
    (lambda x, m: x.masked_select(m), [real(3, 9), rt.randint(0, 2, (3, 9)).bool()]),
    (lambda x, m, s: x.masked_scatter(m, s), [real(3, 9), rt.randint(0, 2, (3, 9)).bool(), real(27)]),
    (lambda x, i: x.take(i), [real(3, 9), index(1, 20)]),
    (lambda x, i, v: x.put_(i, v), [real(3, 9), index(1, 20), real(2)]),
    (lambda i, w: F.embedding(i, w), [index(1, 3, 3), real(9, 8)]),
    (lambda x: x.cumsum(0), [real(9, 9)]),
    (lambda x: x.cumprod(1), [real(9, 9)]),
    (lambda x: x.cummax(0), [real(9, 9)]),
    (lambda x: x.logcumsumexp(0), [real(9, 9)]),
    (lambda x: x.sum((0, 2)), [real(5, 6, 7)]),
    (lambda x: x.sum(), [rt.randn(300, 300)]),
    (lambda x: x.var(0), [real(9, 9)]),
    (lambda x: x.prod(1), [real(3, 9)]),
    (lambda x: x.norm(3, 1), [real(3, 9)]),
    (lambda x: x.logsumexp((0, 1)), [real(3, 9)]),
    (lambda x, y: rt.cdist(x, y), [real(30, 3), real(28, 3)]),
    (lambda x, y: x @ y, [rt.randn(70, 80), rt.randn(80, 90)]),
    (lambda x, y: x @ y, [rt.randint(0, 9, (9, 9)), rt.randint(0, 9, (9, 9))]),
    (lambda x, y: x.bmm(y), [real(3, 4, 5), real(3, 5, 6)]),
    (lambda x, y: x.to(rt.float16) @ y, [rt.randn(9, 9), rt.randn(9, 9).half()]),
    (lambda a, x, y: rt.addmm(a, x, y), [real(4, 6), real(4, 5), real(5, 6)]),
    (lambda x, y: rt.einsum("bij,bjk->bk", x, y), [real(3, 4, 5), real(3, 5, 6)]),
    (lambda x, y: rt.tensordot(x, y, 2), [real(3, 4, 5), real(4, 5, 6)]),
    (lambda x, y, z: rt.linalg.multi_dot([x, y, z]), [real(3, 4), real(4, 5), real(5, 6)]),
    (lambda x, y: rt.kron(x, y), [real(3, 4), real(4, 5)]),
    (lambda x, w, b: F.linear(x, w, b), [real(3, 4), real(5, 4), real(5)]),
    (lambda x, y, w: F.bilinear(x, y, w), [real(3, 4), real(3, 5), real(2, 4, 5)]),
    (lambda x: rt.linalg.svd(x), [real(2, 5, 4)]),
    (lambda x: rt.linalg.svd(x, full_matrices=False), [real(5, 4)]),
    (lambda x: rt.linalg.qr(x), [real(5, 4)]),
    (lambda x: rt.linalg.eigh(x), [definite(4)]),
    (lambda x: rt.linalg.svd(x), [real(100, 80)]),
    (lambda x: rt.linalg.svdvals(x), [real(2, 9, 12)]),
    (lambda x: rt.linalg.qr(x), [real(100, 80)]),
    (lambda x: rt.linalg.eigh(x), [definite(100)]),
    (lambda x: rt.linalg.eigvalsh(x), [definite(12)]),
    (lambda x: rt.linalg.det(x), [definite(100)]),
    (lambda x, y: rt.linalg.lstsq(x, y)[0], [real(100, 80), real(100, 2)]),
    (lambda x, y: rt.linalg.solve_triangular(x, y, upper=True), [definite(40), real(40, 3)]),
    (lambda x: rt.linalg.det(x), [definite(4)]),
    (lambda x: rt.linalg.slogdet(x), [definite(4)]),
    (lambda x: rt.linalg.inv(x), [definite(4)]),
    (lambda x: rt.linalg.pinv(x), [real(5, 4)]),
    (lambda x: rt.linalg.cholesky(x), [definite(4)]),
    (lambda x, y: rt.linalg.solve(x, y), [definite(4), real(4, 2)]),
    (lambda x, y: rt.linalg.lstsq(x, y)[0], [real(6, 4), real(6, 2)]),
    (lambda x: rt.linalg.matrix_power(x, 5), [definite(4)]),
    (lambda x: rt.fft.fftn(x), [real(4, 9, 15)]),
    (lambda x: rt.fft.rfft(x), [real(3, 5000)]),
    (lambda x: rt.fft.irfft(x, dim=0), [real(1010, 3)]),
    (lambda x: rt.fft.fft(x), [rt.randn(70000)]),
    (lambda x, w: rt.stft(x, 16, window=w, return_complex=True), [real(2, 90), positive(16)]),
    (lambda x, w: rt.istft(rt.complex(x, x), 16, window=w), [real(2, 9, 12), positive(16)]),
    (lambda x, w, b: F.conv1d(x, w, b, padding=1), [real(2, 3, 9), real(4, 3, 3), real(4)]),
    (lambda x, w: F.conv2d(x, w, stride=2), [rt.randn(2, 3, 9, 9), rt.randn(4, 3, 3, 3)]),
    (lambda x, w: F.conv2d(x, w, groups=4, padding=1), [real(2, 4, 9, 9), real(4, 1, 3, 3)]),
    (lambda x, w: F.conv3d(x, w), [real(1, 2, 5, 5, 5), real(2, 2, 2, 2, 2)]),
    (lambda x, w: F.conv_transpose2d(x, w, stride=2), [real(1, 2, 5, 5), real(2, 3, 3, 3)]),
    (lambda x: F.max_pool2d(x, 2, return_indices=True), [real(1, 2, 8, 8)]),
    (lambda x: F.avg_pool2d(x, 3, padding=1), [real(1, 2, 8, 8)]),
    (lambda x: F.adaptive_avg_pool2d(x, (3, 3)), [real(1, 2, 8, 8)]),
    (lambda x: F.adaptive_max_pool2d(x, (3, 3)), [real(1, 2, 8, 8)]),
    (lambda x: F.interpolate(x, size=(12, 5), mode="bilinear"), [real(1, 2, 8, 8)]),
    (lambda x: F.interpolate(x, size=(12, 5)), [real(1, 2, 8, 8)]),
    (lambda x: F.unfold(x, 3), [real(1, 2, 8, 8)]),
    (lambda x: F.fold(x, (8, 8), 3), [real(1, 18, 36)]),
    (lambda x: F.pixel_shuffle(x, 2), [real(1, 8, 3, 3)]),
    (
        lambda x, m, v, w, b: F.batch_norm(x, m, v, w, b, training=True),
        [real(4, 8, 5), rt.zeros(8, dtype=rt.float64), rt.ones(8, dtype=rt.float64), real(8), real(8)],
    ),
    (lambda x, w, b: F.layer_norm(x, (8,), w, b), [real(4, 8), real(8), real(8)]),
    (lambda x, w, b: F.group_norm(x, 2, w, b), [real(3, 8, 5), real(8), real(8)]),
    (lambda x, w: F.rms_norm(x, (8,), w), [real(3, 8), real(8)]),
    (lambda x: F.instance_norm(x), [real(3, 8, 5)]),
    (lambda x: F.softmax(x, 1), [real(3, 8)]),
    (lambda x: F.log_softmax(x, 0), [rt.randn(30, 8).half()]),
    (lambda x: F.gelu(x), [rt.randn(30, 8).bfloat16()]),
    (lambda x: F.normalize(x), [real(3, 8)]),
    (lambda x, y: F.cross_entropy(x, y, label_smoothing=0.1), [real(5, 8), rt.randint(0, 8, (5,))]),
    (lambda x, y: F.nll_loss(x, y), [real(5, 8), rt.randint(0, 8, (5,))]),
    (lambda x, y: F.mse_loss(x, y), [real(5, 8), real(5, 8)]),
    (lambda x, y: F.kl_div(x, y, reduction="batchmean"), [real(5, 8), positive(5, 8)]),
    (lambda x, y: F.binary_cross_entropy_with_logits(x, y), [real(5, 8), positive(5, 8)]),
    (
        lambda x, t, n, m: F.ctc_loss(x, t, n, m),
        [F.log_softmax(real(9, 2, 5), 2), rt.randint(1, 5, (2, 3)), index(9, 9), index(3, 2)],
    ),
    (lambda q, k, v: F.scaled_dot_product_attention(q, k, v), [real(2, 2, 5, 4), real(2, 2, 6, 4), real(2, 2, 6, 4)]),
    (lambda x: F.dropout(x, 0.5), [real(5, 8)]),
    (lambda x: x.bernoulli(), [positive(5, 8)]),
    (lambda x: x.normal_(), [real(5, 8)]),
    (lambda x: x.uniform_(), [real(5, 8)]),
    (lambda x: x.exponential_(), [real(5, 8)]),
    (lambda x: rt.multinomial(x, 4), [positive(5, 8)]),
    (lambda: rt.randperm(300), []),
    (lambda: rt.randn(5, 8), []),
    (lambda: rt.randint(0, 9, (5, 8)), []),
    (lambda: rt.linspace(0, 1, 100), []),
    (lambda: rt.arange(100), []),
    (lambda x, y: rt.cat([x, y, x], 1), [real(5, 8), real(5, 3)]),
    (lambda x, y: rt.stack([x, y]), [real(5, 8), real(5, 8)]),
    (lambda x: x.split(2), [real(9, 8)]),
    (lambda x: x.chunk(3, 1), [real(9, 8)]),
    (lambda x: x.unbind(1), [real(9, 8)]),
    (lambda x: rt.tensor_split(x, 4), [real(9, 8)]),
    (lambda x, y: rt.meshgrid(x, y, indexing="ij"), [real(9), real(8)]),
    (lambda x, y: rt.cartesian_prod(x, y), [real(9), real(8)]),
    (lambda x, y: rt.block_diag(x, y), [real(3, 4), real(2, 2)]),
    (lambda x: x.flip(0, 1), [real(9, 8)]),
    (lambda x: x.roll(2, 0), [real(9, 8)]),
    (lambda x: x.rot90(), [real(9, 8)]),
    (lambda x: x.repeat(2, 3), [real(3, 4)]),
    (lambda x: x.repeat_interleave(3, 0), [real(3, 4)]),
    (lambda x, r: x.repeat_interleave(r, 0), [real(3, 4), index(1, 0, 4)]),
    (lambda x: F.pad(x, (1, 2, 3, 4), mode="reflect"), [real(1, 2, 8, 8)]),
    (lambda x: F.pad(x, (1, 2), value=3), [real(5, 8)]),
    (lambda x: x.as_strided((3, 3), (1, 2)), [real(30)]),
    (lambda x, y: x.as_strided_scatter(y, (3, 3), (1, 3)), [real(30), real(3, 3)]),
    (lambda x, y: x.slice_scatter(y, 0, 1, 3), [real(5, 4), real(2, 4)]),
    (lambda x: x.unfold(0, 3, 1), [real(9)]),
    (lambda x: x.diagonal(), [real(5, 8)]),
    (lambda x: x.expand(4, 5, 8).contiguous(), [real(5, 8)]),
    (lambda x: x.permute(2, 0, 1).reshape(-1), [real(3, 5, 8)]),
    (lambda x: x.to(rt.int32), [real(5, 8)]),
    (lambda x: x.clamp(-0.5, 0.5), [real(5, 8)]),
    (lambda x, y: x.add_(y, alpha=2), [real(5, 8), real(8)]),
    (lambda x, y: x.T.add_(y), [real(5, 8), real(5)]),
    (lambda x, y: rt.where(x > 0, x, y), [real(5, 8), real(8)]),
    (lambda x, y: rt.addcmul(x, x, y), [real(5, 8), real(8)]),
    (lambda x: x.fill_(2), [real(5, 8)]),
    (lambda x, y: x.copy_(y), [real(5, 8), rt.randn(8)]),
]


def domain_input(domain: str, shape: tuple[int, ...]) -> rt.Tensor:
    if domain == "Integer":
        return rt.randint(0, 8, shape)
    return rt.randint(0, 2, shape).bool() if domain == "Boolean" else positive(*shape)


def table_calls() -> Iterator[tuple[str, list[rt.Tensor]]]:
    """Ops that are content with plain tensors."""
    for name, op in TABLE.items():
        needs = [a for a in op["args"] if a["default"] is None and not a["form"].startswith("Opt")]
        if op["domain"] == "Special" or not needs:
            continue
        if not all((a["holds"], a["form"]) == ("Tensor", "One") for a in needs):
            continue
        shape = (3, 3) if op["module"] in ("matmul", "linalg") else (2, 3, 7)
        yield name, [domain_input(op["domain"], shape) for _ in needs]


def optimizers() -> Iterator[tuple[Callable[..., Any], list[rt.Tensor]]]:
    """Steps of two parameters, from fresh state and then again."""
    for make in (
        lambda p: rt.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
        lambda p: rt.optim.Adam(p, lr=0.1, amsgrad=True),
        lambda p: rt.optim.AdamW(p, lr=0.1),
        lambda p: rt.optim.RMSprop(p, lr=0.1, centered=True, momentum=0.9),
        lambda p: rt.optim.Adagrad(p, lr=0.1),
    ):
        params = [rt.nn.Parameter(rt.randn(9, 8)), rt.nn.Parameter(rt.randn(300))]
        for p in params:
            p.grad = rt.randn(*p.shape)
        opt = make(params)
        opt.step()
        state = [v for s in opt.state.values() for v in s.values() if isinstance(v, rt.Tensor)]
        yield lambda *_, step=opt.step: step(), [*params, *(p.grad for p in params if p.grad is not None), *state]


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if platform.libc_ver()[0] != "glibc":
        pytest.skip("the program replaces glibc's malloc")
    program = tmp_path_factory.mktemp("oom") / "oom"
    flags = ["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-O1"]
    run(tool("gcc"), *flags, Path(__file__).with_name("oom.c"), *link_flags(), "-o", program)
    return program


def replayed(driver: Path, folder: Path, calls: list[tuple[Callable[..., Any], list[rt.Tensor]]]) -> str:
    rt.manual_seed(SEED)
    with recording(*(t for _, inputs in calls for t in inputs), whole=True) as trace:
        for f, inputs in calls:
            f(*inputs)
    trace.write(folder / "trace")
    printed = run(driver, folder / "trace", folder, os.environ.get("RUSTORCH_OOM", "some"))
    print(printed)
    return printed


@pytest.mark.parametrize("part", range(4))
def test_every_allocation_of_special_calls_may_fail(driver: Path, tmp_path: Path, part: int) -> None:
    rt.manual_seed(1)
    replayed(driver, tmp_path, SPECIAL[part::4])


@pytest.mark.parametrize("part", range(4))
def test_every_allocation_of_the_tables_calls_may_fail(driver: Path, tmp_path: Path, part: int) -> None:
    rt.manual_seed(1)
    calls = []
    for name, inputs in list(table_calls())[part::4]:
        try:
            getattr(_ops, name)(*inputs)
        except (RustorchError, TypeError):
            continue
        calls.append((getattr(_ops, name), inputs))
    assert len(calls) > 40
    replayed(driver, tmp_path, calls)


def test_every_allocation_of_an_optimizer_may_fail(driver: Path, tmp_path: Path) -> None:
    rt.manual_seed(1)
    replayed(driver, tmp_path, list(optimizers()))


# Work that goes with sizes: refused or cheap. Each of these ended the process or took for ever.
SIZES = """
import rustorch as rt
e = rt.empty(0, 1 << 40)
assert e.fliplr().shape == e.shape == e.roll(3, 1).shape == e.flip(0).shape
for call in (
    lambda: e.unbind(1),
    lambda: e.split(1, 1),
    lambda: rt.tensor_split(e, 1 << 40, 1),
    lambda: rt.cat([rt.zeros(1).expand(1 << 61)] * 4),
    lambda: rt.cat([rt.zeros(1).expand(1 << 62)] * 4),
    lambda: rt.zeros(1).expand(1 << 50).flip(0),
    lambda: rt.randperm(1 << 50),
    lambda: rt.linalg.svd(rt.empty(1 << 40, 0, 3)),
    lambda: rt.linalg.svd(rt.empty(1 << 40, 0)),
    lambda: rt.linalg.qr(rt.empty(1 << 40, 3, 0), mode="complete"),
):
    try:
        call()
    except (MemoryError, rt.errors.RustorchError):
        continue
    raise AssertionError("was not refused")
assert rt.linalg.det(rt.empty(0, 1 << 30, 1 << 30)).shape == (0,)
"""

# Under a limit that leaves no room for a workspace. `before` makes the inputs, `call` must raise MemoryError.
LIMITED = {
    "cat": "rt.cat([x, x, x])",
    "flip": "x.flip(0)",
    "sort": "x.sort()",
    "argsort": "x.argsort()",
    "nonzero": "x.nonzero()",
    "topk": "x.topk(x.numel())",
    "kthvalue": "x.kthvalue(7)",
    "median": "x.median()",
    "unique": "x.unique()",
    "quantile": "x.quantile(0.5)",
    "index": "x[i]",
    "index_put": "x.index_put((i,), x)",
    "index_put_": "x.index_put_((i,), y.detach())",
    "isin": "rt.isin(x, x)",
    "svd": "rt.linalg.svd(m)",
    "qr": "rt.linalg.qr(m)",
    "inv": "rt.linalg.inv(m)",
    "embedding": "rt.nn.functional.embedding(i, m)",
    "save": "rt.save({'x': x}, path)",
    "load": "rt.load(saved)",
    "tolist": "x.tolist()",
    "backward": "(y * y).sum().backward()",
    "conv2d": "rt.nn.functional.conv2d(picture, rt.ones(2, 3, 9, 9), padding=4)",
    "conv_weight_grad": "rt._ops.conv_weight_grad(picture[:, :2], picture, (2, 3, 9, 9), 1, 4)",
    "conv_input_grad": "rt._ops.conv_input_grad(picture[:, :2], rt.ones(2, 3, 9, 9), (1, 3, 1200, 1200), 1, 4)",
    "unfold": "rt.nn.functional.unfold(picture, 3)",
}


def test_sizes_without_elements_are_refused_or_cheap() -> None:
    run_python(SIZES)


@pytest.mark.skipif(platform.system() != "Linux", reason="wants RLIMIT_AS")
@pytest.mark.parametrize("name", LIMITED)
def test_a_limit_on_memory_is_a_memory_error(name: str, tmp_path: Path) -> None:
    saves = name == "save"  # streams its data: it may succeed
    run_python(
        f"""
import resource, sys
import rustorch as rt
rt.set_num_threads(2)
n = 3 << 20
path, saved = sys.argv[1] + "/new", sys.argv[1] + "/saved"
x = rt.arange(n, dtype=rt.float32)
i = rt.arange(n)
m = rt.eye(1500)
picture = rt.ones(1, 3, 1200, 1200)
y = x.clone().requires_grad_()
rt.save({{"x": x}}, saved)
(rt.ones(64, 64) @ rt.ones(64, 64)).sum()
pages = int(open("/proc/self/statm").read().split()[0])
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (pages * 4096 + (2 << 20), hard))
try:
    {LIMITED[name]}
except MemoryError:
    pass
else:
    assert {saves}, "was not refused"
resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
assert x[0] == 0 and x[-1] == n - 1 and x[1 << 20] == 1 << 20 and y.grad is None
assert rt.equal(x.flip(0).flip(0), x)
""",
        tmp_path,
    )
