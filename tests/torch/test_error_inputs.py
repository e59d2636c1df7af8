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
