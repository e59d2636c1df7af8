"""`__torch_function__`: classes and modes that answer calls."""

from __future__ import annotations

import copy
import pickle
import threading
from typing import Any

import pytest

import rustorch as rt
import rustorch.nn.functional as F
from rustorch import nn, overrides
from rustorch._C import DisableTorchFunction, DisableTorchFunctionSubclass
from rustorch.overrides import TorchFunctionMode


class Kept(rt.Tensor):
    """Derived without a word."""


class Heard(rt.Tensor):
    """Notes what it is asked."""

    calls: list[Any] = []

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        Heard.calls.append((func, types, args, kwargs))
        return super().__torch_function__(func, types, args, kwargs)


class Foreign:
    """No tensor at all: 2.5 times the identity."""

    handled: dict[Any, Any] = {}

    def __init__(self, n: int, value: float) -> None:
        self.n, self.value = n, value

    def dense(self) -> rt.Tensor:
        return self.value * rt.eye(self.n)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func not in cls.handled or not all(issubclass(t, (rt.Tensor, Foreign)) for t in types):
            return NotImplemented
        return cls.handled[func](*args, **(kwargs or {}))


Foreign.handled = {
    rt.mean: lambda x: x.value / x.n,
    rt.matmul: lambda a, b: (a.dense() if isinstance(a, Foreign) else a) @ (b.dense() if isinstance(b, Foreign) else b),
    rt.add: lambda a, b, alpha=1: ("add", a, b, alpha),
    rt.cat: lambda ts, dim=0: rt.cat([t.dense() if isinstance(t, Foreign) else t for t in ts], dim),
    F.linear: lambda x, w, b=None: ("linear", x, w, b),
    rt.sum: lambda x, *args, **kwargs: ("sum", args, kwargs),
}


def names() -> list[str]:
    found = [getattr(c[0], "__name__", "") for c in Heard.calls]
    Heard.calls.clear()
    return found


def heard(*data: float) -> Any:
    t = rt.tensor(data).as_subclass(Heard)
    Heard.calls.clear()
    return t


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x + 1, lambda x: 1 + x, lambda x: rt.ones(2) + x, lambda x: x + rt.ones(2), lambda x: rt.ones(2) - x,
        lambda x: 1 - x, lambda x: 2 / x, lambda x: -x, lambda x: abs(x), lambda x: ~(x > 0), lambda x: x**2,
        lambda x: x @ x, lambda x: x == x, lambda x: x[0], lambda x: x[x > 0], lambda x: x[None], lambda x: x.T,
        lambda x: x.data, lambda x: x.exp(), lambda x: rt.exp(x), lambda x: rt.cat([rt.ones(1), x]),
        lambda x: x.clone(),
        lambda x: x.to(rt.float64), lambda x: x.view(2, 1), lambda x: x.reshape(2, 1), lambda x: F.softmax(x, dim=0),
        lambda x: F.relu(x), lambda x: nn.Linear(2, 3)(x), lambda x: rt.einsum("i->i", x), lambda x: x.sum(),
        lambda x: rt.where(x > 0, x, rt.zeros(2)), lambda x: x.detach(), lambda x: x.new_zeros(3), lambda x: x.float(),
        lambda x: x.contiguous(), lambda x: x.max(), lambda x: rt.stack([x, x]), lambda x: rt.zeros_like(x),
        lambda x: copy.copy(x), lambda x: copy.deepcopy(x), lambda x: pickle.loads(pickle.dumps(x)),
        lambda x: x.requires_grad_(False), lambda x: x.unbind()[0], lambda x: next(iter(x)),
        lambda x: rt.split(x, 1)[1],
        lambda x: x.max(0).values, lambda x: x.add_(1), lambda x: x.__iadd__(1), lambda x: rt.clamp(x, max=1),
    ],
)  # fmt: skip
def test_results_are_of_the_derived_class(call: Any) -> None:
    plain = rt.tensor([1.0, 2.0])
    kept = plain.clone().as_subclass(Kept)
    rt.manual_seed(0)
    result = call(kept)
    assert type(result) is Kept
    rt.manual_seed(0)
    wanted = call(plain)
    assert type(wanted) is rt.Tensor
    assert result.tolist() == wanted.tolist() and result.dtype is wanted.dtype and result.shape == wanted.shape


def test_what_is_no_tensor_stays_what_it_is() -> None:
    x = rt.ones(2, 3).as_subclass(Kept)
    assert (
        x.shape == (2, 3) and x.size(0) == 2 and x.tolist() == [[1.0] * 3] * 2 and len(x) == 2 and x.dtype is rt.float32
    )
    assert x.numpy().sum() == 6 and bool((x == 1).all()) and float(x[0, 0]) == 1 and isinstance(x.max(0), tuple)
    assert 1.0 in x and repr(x).startswith("Kept(") and rt.equal(x, rt.ones(2, 3)) and x.requires_grad is False
    assert hash(x) == id(x) // 16 or isinstance(hash(x), int)


def test_gradients_through_a_derived_class() -> None:
    x = rt.tensor([1.0, 2.0]).as_subclass(Kept).requires_grad_()
    y = (x * x).sum()
    assert type(y) is Kept
    y.backward()
    assert x.grad.tolist() == [2, 4] and type(x.grad) is rt.Tensor and x.grad_fn is None and y.grad_fn is not None


def test_what_is_asked() -> None:
    x = heard(1.0, 2.0)
    x + 1
    x.sum(0, keepdim=True)
    rt.add(rt.ones(2), x, alpha=2)
    (add, types, args, kwargs), (_, _, of_sum, by_name), (_, _, added, alpha) = Heard.calls
    assert add is rt.Tensor.add and types == (Heard,) and args[0] is x and args[1] == 1 and not kwargs
    assert (
        of_sum[1] in (0, (0,)) and (len(of_sum) == 3 or by_name["keepdim"]) and added[1] is x and alpha == {"alpha": 2}
    )
    names()
    x.shape, x.grad, x[0], 3 - x, rt.ones(2) - x, x.view(-1), rt.reshape(x, (1, 2)), rt.cat([rt.ones(1), x])
    assert names() == ["__get__", "__get__", "__getitem__", "__rsub__", "sub", "view", "reshape", "cat"]
    x.requires_grad = True
    assert names() == ["__set__"] and x.requires_grad
    assert Heard.calls[0][0] == rt.Tensor.requires_grad.__get__
    with rt.no_grad():
        x += 1
    assert x.tolist() == [2, 3] and names()[-2:] == ["add_", "tolist"]
    F.linear(x, rt.ones(3, 2))
    assert Heard.calls[0][0] is F.linear


def test_defaults_are_left_out() -> None:
    x = heard(1.0, 2.0)
    rt.sub(x, 1, alpha=1)
    rt.softmax(x, -1)
    assert [(c[2][1:], c[3]) for c in Heard.calls] == [((1,), {}), ((-1,), {})]


def test_the_most_derived_answers_first() -> None:
    class More(Heard):
        @classmethod
        def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            return ("more", types)

    class Other(rt.Tensor):
        pass

    x, more, other = heard(1.0), rt.ones(1).as_subclass(More), rt.ones(1).as_subclass(Other)
    assert rt.add(x, more) == ("more", (More, Heard)) == x + more and not Heard.calls
    assert rt.add(more, x)[1] == (More, Heard)
    with pytest.raises(TypeError, match=r"no implementation found for '.*add'.*Heard.*Other"):
        rt.add(x, other)  # neither is derived from the other
    assert type(rt.add(other, rt.ones(1))) is Other


def test_objects_that_are_no_tensors() -> None:
    e, x = Foreign(2, 2.5), rt.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert rt.mean(e) == 1.25
    assert rt.equal(rt.matmul(x, e), 2.5 * x) and rt.equal(rt.matmul(e, x), 2.5 * x) and rt.equal(x @ e, 2.5 * x)
    assert rt.add(x, e, alpha=3) == ("add", x, e, 3) and x.add(e)[2] is e and (x + e)[2] is e
    assert rt.cat([x, e], 1).shape == (2, 4) and F.linear(x, e) == ("linear", x, e, None)
    assert rt.sum(e, 1)[1] in ((1,), ((1,),))
    with pytest.raises(TypeError, match=r"no implementation found for 'rustorch.exp' on types .*Foreign"):
        rt.exp(e)
    with DisableTorchFunctionSubclass(), pytest.raises(TypeError, match=r"add.*other.*Foreign"):
        rt.add(x, e)
    with pytest.raises(TypeError, match=r"add.*other"):
        rt.add(x, object())


def test_switched_off() -> None:
    x = heard(1.0)
    with DisableTorchFunctionSubclass():
        assert type(x + 1) is type(rt.exp(x)) is type(x[0]) is type(rt.cat([x])) is rt.Tensor
        assert not overrides.has_torch_function((x,))
    assert not Heard.calls and overrides.has_torch_function((1, x)) and overrides.has_torch_function_unary(x)
    assert not overrides.has_torch_function_variadic(1, rt.ones(1), nn.Parameter(rt.ones(1)))

    class Plain(rt.Tensor):
        __torch_function__ = rt._C._disabled_torch_function_impl

    assert type(rt.ones(1).as_subclass(Plain) + 1) is rt.Tensor
    assert type(nn.Parameter(rt.ones(1)) * 2) is type(nn.Parameter(rt.ones(1))[0]) is rt.Tensor


class Noting(TorchFunctionMode):
    def __init__(self, log: list[str], instead: Any = None) -> None:
        self.log, self.instead = log, instead

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.log.append(func.__name__)
        return func(*args, **(kwargs or {})) if self.instead is None else self.instead


def test_modes() -> None:
    x, log, outer = rt.ones(2, 2), [], []
    with Noting(outer), Noting(log) as mode:
        assert overrides._get_current_function_mode() is mode and overrides._len_torch_function_stack() == 2
        y = rt.zeros(2) + x
        assert type(y) is rt.Tensor and y.sum().item() == 4 and x[0].tolist() == [1, 1]
        z = rt.empty(2, 2)
        rt.mul(x, 3, out=z)
        heard_elsewhere: list[Any] = []
        thread = threading.Thread(target=lambda: heard_elsewhere.append((x + 1).sum().item()))
        thread.start()
        thread.join()
        with DisableTorchFunction():
            x.exp()
    wanted = ["zeros", "add", "sum", "item", "__getitem__", "tolist", "empty", "mul"]
    assert log == wanted == outer and heard_elsewhere == [8] and z.tolist() == [[3, 3], [3, 3]]
    assert (x + 1).tolist() == [[2, 2], [2, 2]] and log == wanted
    with Noting(log, instead=7):
        assert rt.exp(x) == 7 and x.exp() == 7 and x + 1 == 7 and rt.cat([x, x]) == 7
    with pytest.raises(KeyError), Noting(log):
        raise KeyError
    with pytest.raises(RuntimeError, match="innermost"):
        mode.__exit__()
    assert type(rt.exp(x)) is type(x + 1) is rt.Tensor and rt.Tensor.__add__.__name__ == "operator"
    with Noting(log := []):
        heard(1.0) + 1
    assert log[-1] == "add" and Heard.calls[0][0].__name__ == "add"


def test_own_functions() -> None:
    @overrides.wrap_torch_function(lambda a, b=None: (a, b))
    def mine(a: Any, b: Any = None) -> Any:
        """Doc."""
        return ("plain", a, b)

    x = heard(1.0)
    assert mine(1, b=2) == ("plain", 1, 2) and mine.__doc__ == "Doc." and not Heard.calls
    assert mine(x) == ("plain", x, None) and Heard.calls[0][0] is mine
    with pytest.raises(TypeError, match="no implementation"):
        mine(Foreign(1, 1.0))
    assert (
        overrides.resolve_name(rt.add) == "rustorch.add"
        and overrides.resolve_name(rt.Tensor.__len__) == "rustorch.Tensor.__len__"
    )
    assert (
        overrides.resolve_name(F.cross_entropy) == "rustorch.nn.functional.cross_entropy"
        and overrides.resolve_name(mine) is None
    )
    assert overrides.is_tensor_method_or_property(rt.Tensor.add) and not overrides.is_tensor_method_or_property(mine)
    assert overrides.is_tensor_method_or_property(rt.Tensor.shape.__get__)
    assert overrides.is_tensor_like(x) and overrides.is_tensor_like(Foreign(1, 1.0)) and not overrides.is_tensor_like(1)
    functions = overrides.get_overridable_functions()
    assert rt.add in functions[rt] and rt.Tensor.__getitem__ in functions[rt.Tensor]
