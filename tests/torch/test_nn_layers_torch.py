"""Every layer against PyTorch's: the same seed must give the same state_dict, outputs and gradients.

The cases are PyTorch's own (its module database: constructor and forward arguments of every module).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

import rustorch as rt

torch = pytest.importorskip("torch")
module_db = pytest.importorskip("torch.testing._internal.common_modules").module_db

# Not built.
ABSENT = {"LinearCrossEntropyLoss"}


def convert(value: Any) -> Any:
    """A torch argument as rustorch's: tensors copied, containers walked, functions looked up by name."""
    if isinstance(value, torch.nn.utils.rnn.PackedSequence):
        return rt.nn.utils.rnn.PackedSequence(*(convert(t) for t in value))
    if isinstance(value, torch.nn.TransformerEncoderLayer):
        return encoder_layer(value)
    if isinstance(value, torch.Tensor):
        out = rt.tensor(value.detach().tolist(), dtype=getattr(rt, str(value.dtype).split(".")[1]))
        return out.reshape(tuple(value.shape)).requires_grad_(value.requires_grad)
    if isinstance(value, (list, tuple)):
        return type(value)(convert(v) for v in value)
    if isinstance(value, dict):
        return {k: convert(v) for k, v in value.items()}
    if isinstance(value, torch.dtype):
        return getattr(rt, str(value).split(".")[1])
    if callable(value) and hasattr(rt.nn.functional, getattr(value, "__name__", "")):
        return getattr(rt.nn.functional, value.__name__)
    return value


def encoder_layer(theirs: Any) -> Any:
    """Our twin of a TransformerEncoderLayer, the same weights in it."""
    ours = rt.nn.TransformerEncoderLayer(
        theirs.self_attn.embed_dim,
        theirs.self_attn.num_heads,
        theirs.linear1.out_features,
        theirs.dropout.p,
        convert(theirs.activation),
        theirs.norm1.eps,
        theirs.self_attn.batch_first,
        theirs.norm_first,
        theirs.linear1.bias is not None,
    )
    ours.load_state_dict({k: convert(v) for k, v in theirs.state_dict().items()})
    return ours


def tensors(value: Any, kind: type) -> list[Any]:
    """The tensors in nested containers, in order."""
    if isinstance(value, kind):
        return [value]
    if isinstance(value, (list, tuple)):
        return [t for v in value for t in tensors(v, kind)]
    return []


def assert_close(ours: Any, theirs: Any, what: str) -> None:
    assert tuple(ours.shape) == tuple(theirs.shape), f"{what}: shape {ours.shape} against {theirs.shape}"
    assert str(ours.dtype).split(".")[-1] == str(theirs.dtype).split(".")[-1], what
    a, b = np.asarray(ours.detach().tolist()), np.asarray(theirs.detach().tolist())
    finite = np.abs(b[np.isfinite(b)]) if b.dtype.kind == "f" else np.zeros(0)
    scale = max(1.0, float(finite.max())) if finite.size else 1.0
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=1e-5 * scale, err_msg=what)


CASES = [
    pytest.param(info, training, id=f"{info.module_cls.__name__}-{'train' if training else 'eval'}")
    for info in module_db
    if info.module_cls.__name__ not in ABSENT
    for training in (True, False)
]


@pytest.mark.parametrize(("info", "training"), CASES)
def test_module(info: Any, training: bool) -> None:
    ours_cls = getattr(rt.nn, info.module_cls.__name__)
    if ours_cls.__name__.startswith("FractionalMaxPool"):
        pytest.skip("its samples bring random numbers of another dtype; tests/test_nn_adaptive.py has it")
    torch.manual_seed(1)
    inputs = info.module_inputs_func(info, device="cpu", dtype=torch.float32, requires_grad=True, training=training)
    count = 0
    for case in inputs:
        if case.forward_input is None:
            continue
        try:
            args, kwargs = case.constructor_input.args, case.constructor_input.kwargs
            args, kwargs = tuple(args), {k: v for k, v in kwargs.items() if k not in ("device", "dtype")}
            ours_args, ours_kwargs = convert(args), convert(kwargs)
        except (TypeError, RuntimeError) as e:
            pytest.skip(f"cannot translate the arguments: {e}")
        run_case(info.module_cls, ours_cls, (args, kwargs), (ours_args, ours_kwargs), case, training)
        count += 1
    assert count


def run_case(theirs_cls: Any, ours_cls: Any, theirs_make: Any, ours_make: Any, case: Any, training: bool) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(7)
        theirs = theirs_cls(*theirs_make[0], **theirs_make[1])
        rt.manual_seed(7)
        ours = ours_cls(*ours_make[0], **ours_make[1])
    theirs.train(training)
    ours.train(training)
    what = f"{ours}: {case.desc}"
    lazy = theirs_cls.__name__.startswith("Lazy")
    if not lazy:
        assert repr(ours).replace("rustorch.", "torch.") == repr(theirs), what
        compare_state(ours, theirs, what)

    theirs_in, theirs_kw = case.forward_input.args, case.forward_input.kwargs
    ours_in, ours_kw = convert(tuple(theirs_in)), convert(dict(theirs_kw))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(11)
        theirs_out = theirs(*theirs_in, **theirs_kw)
        rt.manual_seed(11)
        ours_out = ours(*ours_in, **ours_kw)
    compare_state(ours, theirs, what)

    outs = list(zip(tensors(ours_out, rt.Tensor), tensors(theirs_out, torch.Tensor), strict=True))
    for a, b in outs:
        assert_close(a, b, what)
    graph = [(a, b) for a, b in outs if b.requires_grad]
    if not graph:
        return
    torch.manual_seed(13)
    cotangents = [torch.randn_like(b) for _, b in graph]
    torch.autograd.backward([b for _, b in graph], cotangents)
    rt.autograd.backward([a for a, _ in graph], [convert(c) for c in cotangents])
    pairs = zip(
        tensors((ours_in, list(ours_kw.values())), rt.Tensor),
        tensors((theirs_in, list(theirs_kw.values())), torch.Tensor),
        strict=True,
    )
    for a, b in pairs:
        if b.requires_grad and b.is_leaf and b.grad is not None:
            assert a.grad is not None, what
            assert_close(a.grad, b.grad, what + ", gradient of an input")
    for (name, a), (_, b) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        if b.grad is None:
            assert a.grad is None or not a.grad.any(), f"{what}, gradient of {name}"
        else:
            assert_close(a.grad, b.grad, f"{what}, gradient of {name}")


def compare_state(ours: Any, theirs: Any, what: str) -> None:
    mine, other = ours.state_dict(), theirs.state_dict()
    assert list(mine) == list(other), what
    for name, value in other.items():
        assert_close(mine[name], value, f"{what}, {name}")


def test_absent_list_is_exact() -> None:
    assert {info.module_cls.__name__ for info in module_db if not hasattr(rt.nn, info.module_cls.__name__)} == ABSENT
