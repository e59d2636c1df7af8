"""PyTorch's own error inputs, of modules, ops and optimizers, are refused here too, by an error of the same family."""

from __future__ import annotations

import copy
import inspect
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from test_opinfo import ADAPTED, Unsupported, convert, resolve  # noqa: E402
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402
from torch.testing._internal.common_modules import ModuleErrorEnum, module_db  # noqa: E402
from torch.testing._internal.common_optimizers import OptimizerErrorEnum, optim_db  # noqa: E402

import rustorch as rt  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")

# What a program may catch where torch raises the first: our own errors are RuntimeErrors and what their name says.
# A failed assertion of torch is an argument that is not allowed.
FAMILY: dict[type, tuple[type, ...]] = {
    RuntimeError: (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError),
    TypeError: (TypeError, rt.errors.NullError),
    AssertionError: (AssertionError, ValueError, RuntimeError),
    NotImplementedError: (RuntimeError,),
}


def refused(error_type: Any, f: Any, *args: Any, **kwargs: Any) -> str | None:
    """None if the call fails as it should, else what it did."""
    types = error_type if isinstance(error_type, tuple) else (error_type,)
    allowed = tuple(t for e in types for t in (*FAMILY.get(e, ()), e))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error" if any(issubclass(e, Warning) for e in types) else "ignore")
            f(*args, **kwargs)
    except rt.errors.InternalError as e:
        return f"internal error: {e}"
    except allowed:
        return None
    except Exception as e:
        return f"{type(e).__name__} instead of {error_type}: {e}"
    return "accepted"


def translated(v: Any) -> Any:
    """As samples are, but what no rustorch argument takes is left as it is."""
    return v if isinstance(v, complex) else convert(v, [])


def sharing(v: Any, storages: dict[int, Any]) -> Any:
    """Translated, and what shares memory still does; one tensor stays one."""
    if isinstance(v, torch.Tensor):
        key = v.untyped_storage().data_ptr()
        if not key:
            return storages.setdefault(id(v), convert(v, []))
        if key in storages and storages[key][0] is v.dtype:
            return storages[key][1].as_strided(tuple(v.shape), v.stride(), v.storage_offset())
        n = v.untyped_storage().nbytes() // v.element_size()
        whole = convert(v.detach().as_strided((n,), (1,), 0), [])
        storages[key] = v.dtype, whole
        return whole.as_strided(tuple(v.shape), v.stride(), v.storage_offset())
    if isinstance(v, (list, tuple)):
        return type(v)(sharing(x, storages) for x in v)
    if isinstance(v, dict):
        return {k: sharing(x, storages) for k, x in v.items()}
    return convert(v, [])


# ---- ops --------------------------------------------------------------------------------------------------------

OP_CASES = sorted({(op.name, op.variant_test_name): op for op in op_db if op.error_inputs_func}.items())


@pytest.mark.parametrize("key,op", OP_CASES, ids=[f"{n}{'-' + v if v else ''}" for (n, v), _ in OP_CASES])
def test_ops_refuse(key: tuple[str, str], op: Any) -> None:
    f = ADAPTED.get(".".join(k for k in key if k)) or resolve(op.name)
    if key == ("normal", "in_place"):
        f = rt.Tensor.normal_
    if f is None:
        pytest.skip(f"rustorch has no {op.name}")
    torch.manual_seed(0)
    done, failures = 0, []
    for n, error in enumerate(op.error_inputs("cpu")):
        sample = error.sample_input
        try:
            given, kwargs = sharing((list((sample.input, *sample.args)), sample.kwargs), {})
        except (Unsupported, TypeError, rt.errors.InvalidArgumentError):
            continue
        if refused(error.error_type, op, sample.input, *sample.args, **sample.kwargs):
            continue  # torch itself does not refuse it any more
        done += 1
        what = refused(error.error_type, f, *given, **kwargs)
        if what:
            failures.append(f"{op.name}[{n}] {str(sample.summary())[:300]} ({error.error_regex}): {what}")
    assert not failures, f"{len(failures)} of {done}:\n" + "\n".join(failures)


# ---- modules ----------------------------------------------------------------------------------------------------

MODULE_CASES = [m for m in module_db if m.module_error_inputs_func and hasattr(rt.nn, m.module_cls.__name__)]


@pytest.mark.parametrize("info", MODULE_CASES, ids=[m.name for m in MODULE_CASES])
@pytest.mark.parametrize("training", [False, True])
def test_modules_refuse(info: Any, training: bool) -> None:
    ours = getattr(rt.nn, info.module_cls.__name__)
    failures = []
    inputs = info.module_error_inputs_func(
        info, device="cpu", dtype=torch.float32, requires_grad=False, training=training
    )
    for n, error in enumerate(inputs):
        made, given = error.module_error_input.constructor_input, error.module_error_input.forward_input
        args = [translated(v) for v in made.args]
        kwargs = {k: translated(v) for k, v in made.kwargs.items()}
        if error.error_on is ModuleErrorEnum.CONSTRUCTION_ERROR:
            what = refused(error.error_type, ours, *args, **kwargs)
        else:
            what = refused(
                error.error_type, ours(*args, **kwargs), *convert(tuple(given.args), []), **convert(given.kwargs, [])
            )
        if what:
            failures.append(f"{info.name}[{n}] {made.args} {made.kwargs} ({error.error_regex}): {what}")
    assert not failures, "\n".join(failures)


# ---- optimizers -------------------------------------------------------------------------------------------------

OPTIM_CASES = [o for o in optim_db if hasattr(rt.optim, o.optim_cls.__name__)]


def copied(params: Any) -> Any:
    """The parameters, each converted once however often it occurs."""
    made: dict[int, Any] = {}

    def one(v: Any) -> Any:
        if isinstance(v, torch.Tensor):
            return made.setdefault(id(v), convert(v, []))
        if isinstance(v, dict):
            return {k: one(x) for k, x in v.items()}
        return type(v)(one(x) for x in v) if isinstance(v, (list, tuple)) else convert(v, [])

    return one(params)


@pytest.mark.parametrize("info", OPTIM_CASES, ids=[o.name for o in OPTIM_CASES])
def test_optimizers_refuse(info: Any) -> None:
    ours = getattr(rt.optim, info.optim_cls.__name__)
    failures = []
    for n, error in enumerate(info.optim_error_inputs_func(device="cpu", dtype=torch.float32)):
        given = error.optimizer_error_input
        # An iterator is read once, by torch or by us.
        params = list(given.params) if inspect.isgenerator(given.params) else given.params
        if params is None:
            params = (torch.nn.Parameter(torch.randn(1)),)
        kwargs = convert(copy.deepcopy(given.kwargs), [])
        if error.error_on is OptimizerErrorEnum.CONSTRUCTION_ERROR:
            what = refused(error.error_type, ours, copied(params), **kwargs)
        else:
            what = refused(error.error_type, ours(copied(params), **kwargs).step)
        if what:
            failures.append(f"{info.name}[{n}] {given.desc} {given.kwargs} ({error.error_regex}): {what}")
    assert not failures, "\n".join(failures)


# ---- calls of our own ------------------------------------------------------------------------------------------

# What torch refuses of these is refused here, and the rest is not. `m` is torch or rustorch.
CALLS = """
F.l1_loss(m.ones(3,4), m.ones(3,4,dtype=m.int64))
F.mse_loss(m.ones(3,4), m.ones(5))
F.l1_loss(m.ones(3,4), m.ones(5))
F.binary_cross_entropy(m.ones(3,4)*.5, m.ones(3,4,dtype=m.int64))
F.binary_cross_entropy(m.ones(3,4)*2, m.ones(3,4))
F.binary_cross_entropy(m.ones(3,4)*.5, m.ones(3,4), weight=m.ones(5))
F.binary_cross_entropy(m.ones(3,4)*.5, m.ones(3,4), weight=m.ones(2,3,4))
F.binary_cross_entropy(m.ones(3,4)*.5, m.ones(3,4), weight=m.ones(4,dtype=m.float64))
F.binary_cross_entropy_with_logits(m.ones(3,4), m.ones(3,4), pos_weight=m.ones(3))
F.binary_cross_entropy_with_logits(m.ones(3,4), m.ones(3,4), pos_weight=m.ones(2,3,4))
F.binary_cross_entropy_with_logits(m.ones(3,4), m.ones(3,4), weight=m.ones(2,3,4))
F.binary_cross_entropy_with_logits(m.ones(3,4), m.ones(3,4,dtype=m.int64))
F.cross_entropy(m.ones(3,4), m.zeros(4,dtype=m.int64))
F.cross_entropy(m.ones(3,4), m.zeros(3,1,dtype=m.int64))
F.cross_entropy(m.ones(3,4), m.zeros(3,dtype=m.int32))
F.cross_entropy(m.ones(3,4), m.zeros(3,dtype=m.bool))
F.cross_entropy(m.ones(3,4), m.zeros(3,dtype=m.uint8))
F.cross_entropy(m.ones(3,4), m.zeros(3,4,dtype=m.int64))
F.cross_entropy(m.ones(3,4), m.zeros(3,4,dtype=m.float64))
F.cross_entropy(m.ones(3,4), m.zeros(3,4), weight=m.ones(3))
F.cross_entropy(m.ones(3,4), m.zeros(3,dtype=m.int64), weight=m.ones(4,dtype=m.float64))
F.cross_entropy(m.ones(3,4), m.zeros(3,dtype=m.int64), weight=m.ones(1))
F.cross_entropy(m.ones(3,4), m.full((3,),4,dtype=m.int64))
F.cross_entropy(m.ones(3,4,dtype=m.int64), m.zeros(3,dtype=m.int64))
F.nll_loss(m.ones(3,4), m.zeros(3,dtype=m.int64), weight=m.ones(4,1))
F.nll_loss(m.ones(3,4), m.zeros(3))
F.nll_loss(m.ones(3,4,dtype=m.int64), m.zeros(3,dtype=m.int64))
F.kl_div(m.ones(3,4), m.ones(5))
F.kl_div(m.ones(3,4), m.ones(3,4,dtype=m.int64))
F.poisson_nll_loss(m.ones(3,4), m.ones(5))
F.gaussian_nll_loss(m.ones(3,4), m.ones(3,4), m.ones(3,2))
F.gaussian_nll_loss(m.ones(3,4), m.ones(5), m.ones(3,4))
F.gaussian_nll_loss(m.ones(3,4), m.ones(3,4), m.ones(4))
F.gaussian_nll_loss(m.ones(3,4), m.ones(3,4), m.ones(2,3,4))
F.gaussian_nll_loss(m.ones(3,4), m.ones(3,4), m.ones(3,4), eps=-1.)
F.hinge_embedding_loss(m.ones(3,4), m.ones(5))
F.hinge_embedding_loss(m.ones(3,4), m.ones(3,4,dtype=m.int64))
F.cosine_embedding_loss(m.ones(3,4), m.ones(3,5), m.ones(3))
F.cosine_embedding_loss(m.ones(3,4), m.ones(3,4), m.ones(4))
F.cosine_embedding_loss(m.ones(3,4), m.ones(2,4), m.ones(3))
F.cosine_embedding_loss(m.ones(3,4), m.ones(1,4), m.ones(3))
F.margin_ranking_loss(m.ones(3), m.ones(4), m.ones(3))
F.margin_ranking_loss(m.ones(3), m.ones(3), m.ones(1))
F.soft_margin_loss(m.ones(3,4), m.ones(5))
F.multilabel_soft_margin_loss(m.ones(3,4), m.ones(3,5))
F.multilabel_soft_margin_loss(m.ones(3,4), m.ones(3,4), weight=m.ones(5))
F.multi_margin_loss(m.ones(3,4), m.zeros(4,dtype=m.int64))
F.multi_margin_loss(m.ones(3,4), m.zeros(3,1,dtype=m.int64))
F.multi_margin_loss(m.ones(3,4), m.zeros(2,dtype=m.int64))
F.multi_margin_loss(m.ones(3,4), m.full((3,),4,dtype=m.int64))
F.multi_margin_loss(m.ones(3,4), m.full((3,),-1,dtype=m.int64))
F.multi_margin_loss(m.ones(3,4), m.zeros(3,dtype=m.int64), weight=m.ones(3))
F.multi_margin_loss(m.ones(3,4), m.zeros(3,dtype=m.int64), weight=m.ones(4,dtype=m.float64))
F.multi_margin_loss(m.ones(3,4), m.zeros(3,dtype=m.int32))
F.multi_margin_loss(m.ones(2,3,4), m.zeros(24,dtype=m.int64))
F.multi_margin_loss(m.ones(2,3,4), m.zeros(1,dtype=m.int64))
F.multilabel_margin_loss(m.ones(3,4), m.zeros(3,3,dtype=m.int64))
F.multilabel_margin_loss(m.ones(3,4), m.zeros(4,dtype=m.int64))
F.multilabel_margin_loss(m.ones(3,4), m.full((3,4),4,dtype=m.int64))
F.multilabel_margin_loss(m.ones(3,4), m.full((3,4),-2,dtype=m.int64))
F.multilabel_margin_loss(m.ones(3,4), m.zeros(3,4,dtype=m.int32))
F.multilabel_margin_loss(m.ones(2,3,4), m.zeros(2,3,4,dtype=m.int64))
F.triplet_margin_loss(m.ones(3,4), m.ones(3,5), m.ones(3,4))
F.triplet_margin_loss(m.ones(3,4), m.ones(2,4), m.ones(3,4))
F.batch_norm(m.ones(3,4), m.ones(5), m.ones(5))
F.batch_norm(m.ones(3,4), m.ones(4), m.ones(4), weight=m.ones(5))
F.batch_norm(m.ones(3,4), m.ones(4), m.ones(4), weight=m.ones(1))
F.batch_norm(m.ones(3,4), m.ones(4), m.ones(4), bias=m.ones(1))
F.batch_norm(m.ones(3,4), m.ones(1), m.ones(1))
F.batch_norm(m.ones(3,4), None, None)
F.batch_norm(m.ones(3,4), m.ones(4), None)
F.batch_norm(m.ones(3,4), m.ones(4), None, training=True)
F.batch_norm(m.ones(3,4), m.ones(4,dtype=m.float64), m.ones(4,dtype=m.float64))
F.batch_norm(m.ones(3,4), m.ones(4), m.ones(4), weight=m.ones(4,dtype=m.float64))
F.batch_norm(m.ones(3,4,dtype=m.int64), m.ones(4), m.ones(4))
F.batch_norm(m.ones(4), m.ones(4), m.ones(4))
F.instance_norm(m.ones(3,4,5), weight=m.ones(5))
F.instance_norm(m.ones(3,4,5), weight=m.ones(1))
F.instance_norm(m.ones(3,4,5), m.ones(5), m.ones(5))
F.instance_norm(m.ones(3,4,5), None, None, use_input_stats=False)
F.instance_norm(m.ones(4), None, None)
F.layer_norm(m.ones(3,4), (5,))
F.layer_norm(m.ones(3,4), (4,), weight=m.ones(3))
F.layer_norm(m.ones(3,4), (4,), weight=m.ones(1))
F.layer_norm(m.ones(3,4), ())
F.layer_norm(m.ones(3,4), (4,), weight=m.ones(4,dtype=m.float64))
F.layer_norm(m.ones(3,4,dtype=m.int64), (4,))
F.rms_norm(m.ones(3,4), (3,))
F.rms_norm(m.ones(3,4), (4,), weight=m.ones(1))
F.rms_norm(m.ones(3,4,dtype=m.int64), (4,))
F.group_norm(m.ones(3,4), 3)
F.group_norm(m.ones(3,4), 0)
F.group_norm(m.ones(3,4), -2)
F.group_norm(m.ones(3,4), 2, weight=m.ones(2))
F.group_norm(m.ones(3,4), 2, weight=m.ones(1))
F.group_norm(m.ones(3,4), 2, weight=m.ones(4,dtype=m.float64))
F.local_response_norm(m.ones(2,3,4), 0)
F.embedding(m.ones(3), m.ones(4,2))
F.embedding(m.ones(3,dtype=m.bool), m.ones(4,2))
F.embedding(m.ones(3,dtype=m.int32), m.ones(4,2))
F.embedding(m.ones(3,dtype=m.uint8), m.ones(4,2))
F.embedding(m.ones(3,dtype=m.int64), m.ones(4))
F.embedding(m.ones(3,dtype=m.int64), m.ones(4,2,2))
F.embedding(m.full((3,),4,dtype=m.int64), m.ones(4,2))
F.embedding(m.full((3,),-1,dtype=m.int64), m.ones(4,2))
F.embedding_bag(m.ones(3), m.ones(4,2), m.zeros(1,dtype=m.int64))
F.embedding_bag(m.ones(3,dtype=m.int64), m.ones(4,2), m.zeros(1))
F.embedding_bag(m.ones(3,dtype=m.int64), m.ones(4,2), m.zeros(1,1,dtype=m.int64))
F.embedding_bag(m.ones(3,dtype=m.int64), m.ones(4,2), m.tensor([0,4]))
F.embedding_bag(m.ones(3,dtype=m.int64), m.ones(4,2), m.tensor([0,2,1]))
F.embedding_bag(m.ones(3,dtype=m.int64), m.ones(4,2), m.tensor([0,-1]))
F.embedding_bag(m.ones(3,dtype=m.int64), m.ones(4,2), m.tensor([0]), per_sample_weights=m.ones(2), mode='sum')
F.embedding_bag(m.ones(2,3,dtype=m.int64), m.ones(4,2), per_sample_weights=m.ones(3,2), mode='sum')
F.embedding_bag(m.ones(2,3,dtype=m.int64), m.ones(4,2), per_sample_weights=m.ones(6), mode='sum')
F.embedding_bag(m.ones(2,3,dtype=m.int64), m.ones(4,2), per_sample_weights=m.ones(2,3,dtype=m.float64), mode='sum')
F.embedding_bag(m.ones(2,3,dtype=m.int64), m.ones(4,2), padding_idx=4)
F.embedding_bag(m.ones(2,3,dtype=m.int64), m.ones(4,2), padding_idx=-5)
F.embedding_bag(m.ones(2,3,dtype=m.int64), m.ones(4,2), include_last_offset=True)
F.embedding_bag(m.ones(3,dtype=m.int64), m.ones(4,2), m.tensor([0,2]), include_last_offset=True)
F.linear(m.ones(3,4), m.ones(2,4), m.ones(3))
F.linear(m.ones(3,4), m.ones(2,4), m.ones(1))
F.linear(m.ones(3,4), m.ones(2,4), m.ones(3,2))
F.linear(m.ones(3,4), m.ones(2,4), m.ones(2,dtype=m.float64))
F.linear(m.ones(3,4), m.ones(2,2,4))
F.bilinear(m.ones(3,4), m.ones(3,5), m.ones(2,4,5), m.ones(3))
F.bilinear(m.ones(3,4), m.ones(3,5), m.ones(2,4,5), m.ones(1))
F.bilinear(m.ones(3,4), m.ones(2,5), m.ones(2,4,5))
F.bilinear(m.ones(3,4), m.ones(1,5), m.ones(2,4,5))
F.conv2d(m.ones(1,3,5,5), m.ones(2,3,3,3), m.ones(3))
F.conv2d(m.ones(1,3,5,5), m.ones(2,3,3,3), m.ones(1))
F.conv2d(m.ones(1,3,5,5), m.ones(2,3,3,3), padding=-1)
F.conv2d(m.ones(1,3,5,5), m.ones(2,3,3,3), stride=0)
F.conv2d(m.ones(1,3,5,5), m.ones(2,3,3,3), dilation=0)
F.conv2d(m.ones(1,3,5,5), m.ones(2,3,3,3), groups=0)
F.conv2d(m.ones(1,4,5,5), m.ones(3,2,3,3), groups=2)
F.conv2d(m.ones(1,3,5,5), m.ones(2,3,3,3,dtype=m.float64))
F.conv2d(m.ones(1,3,5,5), m.ones(2,3,3,3), stride=(1,1,1))
F.conv1d(m.ones(1,3,5), m.ones(2,3,3), padding=(1,1))
F.conv_transpose2d(m.ones(1,3,5,5), m.ones(3,2,3,3), m.ones(3))
F.conv_transpose2d(m.ones(1,3,5,5), m.ones(3,2,3,3), output_padding=1)
F.conv_transpose2d(m.ones(1,3,5,5), m.ones(3,2,3,3), groups=2)
F.prelu(m.ones(3,4), m.ones(3))
F.prelu(m.ones(3,4), m.ones(4,1))
F.prelu(m.ones(4), m.ones(4))
F.prelu(m.ones(3,4), m.ones(4,dtype=m.float64))
F.prelu(m.ones(3,4), m.ones(()))
F.glu(m.ones(3,3))
F.softmax(m.ones(3,4), 2)
F.softmax(m.ones(3,4,dtype=m.int64), 1)
F.dropout(m.ones(3,dtype=m.int64), 0.5)
F.dropout(m.ones(3), float('nan'))
F.alpha_dropout(m.ones(3,dtype=m.int64), 0.5, True)
F.pixel_shuffle(m.ones(1,4,2,2), 0)
F.pixel_shuffle(m.ones(1,4,2,2), -2)
F.pixel_unshuffle(m.ones(1,4,2,2), 0)
F.channel_shuffle(m.ones(1,4,2,2), 3)
F.unfold(m.ones(1,3,5,5), 6)
F.unfold(m.ones(1,3,5,5), 0)
F.unfold(m.ones(1,3,5,5), 2, padding=-1)
F.unfold(m.ones(1,3,5,5), 2, stride=0)
F.fold(m.ones(1,12,10), (4,4), 2)
F.fold(m.ones(1,11,9), (4,4), 2)
F.interpolate(m.ones(1,3,4,4), size=0)
F.interpolate(m.ones(1,3,4,4), size=-1)
F.interpolate(m.ones(1,3,4,4), size=(2,))
F.interpolate(m.ones(1,3,4,4), scale_factor=0.1)
F.interpolate(m.ones(1,3,4,4), scale_factor=-1.)
F.interpolate(m.ones(1,3,4,4), size=2.5)
F.interpolate(m.ones(1,3,4,4), size=2, mode='cubic')
F.interpolate(m.ones(1,3,4,4,dtype=m.int64), size=2, mode='bilinear')
F.pad(m.ones(3,4), (1,))
F.pad(m.ones(3,4), (1,1,1,1,1,1))
F.pad(m.ones(3,4), (4,0), 'reflect')
F.pad(m.ones(3,4), (-5,0))
F.pad(m.ones(3,4), (1,1), 'mirror')
F.pad(m.ones(1,3,4), (5,0), 'circular')
F.one_hot(m.tensor([-1]))
F.one_hot(m.tensor([3]), 3)
F.one_hot(m.tensor([1.]))
F.pairwise_distance(m.ones(3,4), m.ones(3,5))
F.cosine_similarity(m.ones(3,4), m.ones(3,5))
F.cosine_similarity(m.ones(3,4), m.ones(3,4), eps=-1.)
F.cosine_similarity(m.ones(3,4,dtype=m.int64), m.ones(3,4,dtype=m.int64))
F.pdist(m.ones(3,4), p=-1.)
F.max_pool2d(m.ones(1,3,4,4), 0)
F.max_pool2d(m.ones(1,3,4,4), 2, padding=2)
F.max_pool2d(m.ones(1,3,4,4), 2, stride=0)
F.max_pool2d(m.ones(1,3,4,4), 5)
F.max_pool2d(m.ones(4,4), 2)
F.max_pool2d(m.ones(1,3,4,4), 2, dilation=0)
F.max_pool3d(m.ones(1,3,4,4,4), 5)
F.max_pool3d(m.ones(1,3,4,4,4), 2, padding=2)
F.max_pool3d(m.ones(1,3,4,4,4), (2,2))
F.max_pool3d(m.ones(4,4,4), 2)
F.avg_pool2d(m.ones(1,3,4,4), 2, padding=2)
F.avg_pool2d(m.ones(1,3,4,4), 2, divisor_override=0)
F.avg_pool3d(m.ones(1,3,4,4,4), 2, padding=2)
F.avg_pool3d(m.ones(1,3,4,4,4), (2,2))
F.avg_pool1d(m.ones(1,3,4), 2, padding=2)
F.avg_pool2d(m.ones(1,3,4,4,dtype=m.bool), 2)
F.lp_pool2d(m.ones(1,3,4,4), 2., 5)
F.lp_pool2d(m.ones(1,3,4,4), 0., 2)
F.adaptive_avg_pool2d(m.ones(1,3,4,4), -1)
F.adaptive_avg_pool2d(m.ones(1,3,4,4), (2,2,2))
F.adaptive_avg_pool2d(m.ones(4,4), 2)
F.adaptive_max_pool2d(m.ones(1,3,4,4), (2,))
F.adaptive_max_pool1d(m.ones(4), 2)
F.max_unpool2d(m.ones(1,1,2,2), m.full((1,1,2,2),99,dtype=m.int64), 2)
F.max_unpool2d(m.ones(1,1,2,2), m.full((1,1,2,2),-1,dtype=m.int64), 2)
F.max_unpool2d(m.ones(1,1,2,2), m.zeros((1,1,2,2),dtype=m.int32), 2)
F.max_unpool2d(m.ones(1,1,2,2), m.zeros((1,1,2,2),dtype=m.int64), 2, output_size=(4,))
F.max_unpool2d(m.ones(1,1,2,2), m.zeros((1,1,2,2),dtype=m.int64), 2, output_size=(1,1,1,4,4))
F.affine_grid(m.ones(2,2,3), (3,1,4,4))
F.affine_grid(m.ones(2,2,3), (2,1,0,4))
F.affine_grid(m.ones(2,2,3,dtype=m.int64), (2,1,4,4))
F.grid_sample(m.ones(1,1,4,4), m.ones(1,2,2,2,dtype=m.float64))
F.grid_sample(m.ones(1,1,0,4), m.ones(1,2,2,2))
F.grid_sample(m.ones(1,1,4,4), m.ones(2,2,2,2))
F.grid_sample(m.ones(1,1,4,4,dtype=m.int64), m.ones(1,2,2,2,dtype=m.int64))
F.gumbel_softmax(m.ones(3,dtype=m.int64))
F.normalize(m.ones(3,dtype=m.int64), dim=0)
F.hardtanh(m.ones(3), 2., 1.)
F.threshold(m.ones(3), 'a', 1.)
F.celu(m.ones(3), 0.)
F.softplus(m.ones(3,dtype=m.int64))
F.softshrink(m.ones(3), -1.)
F.elu(m.ones(3,dtype=m.int64))
F.gelu(m.ones(3), approximate='exact')
F.gelu(m.ones(3,dtype=m.int64))
nn.LSTM(3,4)(m.ones(2,2,3), (m.ones(1,2,4,dtype=m.float64), m.ones(1,2,4,dtype=m.float64)))
nn.LSTM(3,4)(m.ones(2,2,3), m.ones(1,2,4))
nn.LSTM(3,4)(m.ones(2,3), (m.ones(1,1,4), m.ones(1,1,4)))
nn.GRU(3,4)(m.ones(2,2,3), (m.ones(1,2,4),))
nn.GRU(3,4)(m.ones(2,3), m.ones(1,1,4))
nn.LSTMCell(3,4)(m.ones(2,3), (m.ones(2,4), m.ones(2,5)))
nn.LSTMCell(3,4)(m.ones(2,3), (m.ones(1,4), m.ones(1,4)))
nn.GRUCell(3,4)(m.ones(2,3), m.ones(4))
nn.RNNCell(3,4)(m.ones(3), m.ones(1,4))
nn.Linear(-1,2)
nn.Linear(2,-1)
nn.Conv2d(3,4,0)
nn.Conv2d(3,4,3,stride=0)
nn.Conv2d(3,4,(3,3,3))(m.ones(1,3,5,5))
nn.Conv2d(3,4,3,padding=(1,1,1))(m.ones(1,3,5,5))
nn.Embedding(-1,2)
nn.LayerNorm(-1)
nn.GroupNorm(0,4)
nn.BatchNorm1d(0)
nn.Dropout(float('nan'))
nn.Softmax(5)(m.ones(2,3))
nn.PReLU(0)
nn.Upsample(size=2,scale_factor=2)(m.ones(1,1,4,4))
nn.AdaptiveAvgPool2d(-1)(m.ones(1,1,4,4))
nn.MaxPool2d(2,stride=(1,1,1))(m.ones(1,1,4,4))
nn.ZeroPad2d((1,1,1))(m.ones(1,1,4,4))
nn.ReflectionPad2d(4)(m.ones(1,1,4,4))
nn.ReflectionPad1d(1)(m.ones(1,1,4,4))
nn.ReplicationPad2d(1)(m.ones(4,4))
nn.Unflatten(1,(2,3))(m.ones(2,4))
nn.Flatten(3)(m.ones(2,4))
nn.PixelShuffle(2)(m.ones(4,2))
nn.CosineSimilarity(dim=3)(m.ones(2,2),m.ones(2,2))
nn.TripletMarginLoss(p=0)(m.ones(2,2),m.ones(2,2),m.ones(2,2))
nn.TransformerEncoder(nn.TransformerEncoderLayer(4,2,4),2)(m.ones(3,4,5))
nn.Transformer(4,2,1,1,4)(m.ones(3,2,4), m.ones(3,3,4))
nn.Transformer(4,2,1,1,4)(m.ones(3,2,4), m.ones(3,4))
nn.MultiheadAttention(4,2)(m.ones(3,2,4), m.ones(5,2,4), m.ones(5,2,3))
nn.MultiheadAttention(4,2,kdim=3)(m.ones(3,2,4), m.ones(5,2,4), m.ones(5,2,4))
nn.MultiheadAttention(4,2,dropout=1.5)
nn.utils.rnn.pad_sequence([m.ones(2,3), m.ones(2,4)])
nn.utils.rnn.pack_padded_sequence(m.ones(3,2,1), m.tensor([3.,2.]))
nn.utils.rnn.pack_padded_sequence(m.ones(3,2,1), m.tensor([[3,2]]))
nn.utils.rnn.pack_padded_sequence(m.ones(3,2,1), [3])
nn.utils.vector_to_parameters(m.ones(3), [m.ones(2)])
nn.utils.parameters_to_vector([m.ones(2), m.ones(2,dtype=m.float64)])
nn.init.trunc_normal_(m.ones(3), a=2., b=1.)
nn.init.uniform_(m.ones(3), 2., 1.)
nn.init.normal_(m.ones(3), std=-1.)
nn.init.constant_(m.ones(3,dtype=m.int64), 0.5)
nn.init.normal_(m.ones(3,dtype=m.int64))
nn.init.sparse_(m.ones(3,3), 2.)
""".strip().splitlines()


@pytest.mark.parametrize("call", CALLS)
def test_calls_are_refused_alike(call: str) -> None:
    done: list[Any] = []
    for m in (torch, rt):
        try:
            eval(call, {"m": m, "F": m.nn.functional, "nn": m.nn})
            done.append(None)
        except Exception as e:
            done.append(e)
    theirs, ours = done
    assert (theirs is None) == (ours is None), f"torch: {theirs!r}, rustorch: {ours!r}"
    assert not isinstance(ours, rt.errors.InternalError)
