"""Python's collector sees through tensors: hooks and contexts that lead back to their tensor go with it, not before."""

from __future__ import annotations

import copy
import gc
import pickle
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import rustorch as rt
from rustorch import _door, nn
from rustorch.errors import RustorchError


class Twice(rt.autograd.Function):
    """2 x, whose context keeps whatever `keep` makes of it and the output."""

    keep: Callable[[Any, Any], None] = staticmethod(lambda ctx, y: None)

    @staticmethod
    def forward(ctx: Any, x: Any, keep: Callable[[Any, Any], None] | None = None) -> Any:
        y = x * 2
        (keep or Twice.keep)(ctx, y)
        return y

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        return g * 2, None


class Box:
    def __init__(self, content: Any = None) -> None:
        self.content = content


@pytest.fixture(autouse=True)
def all_handles_come_back() -> Iterator[None]:
    gc.collect()
    before = rt.live_tensors()
    yield
    gc.collect()
    assert rt.live_tensors() == before


def leaf(n: int = 3) -> rt.Tensor:
    return rt.ones(n, requires_grad=True)


def hook_of_a_leaf() -> Any:
    x = leaf()
    x.register_hook(lambda g: g * x.sum())
    return x


def hook_of_a_result() -> Any:
    y = leaf() * 2
    y.register_hook(lambda g: g * y.sum())
    return y


def hook_after_accumulation() -> Any:
    x = leaf()
    x.register_post_accumulate_grad_hook(lambda p: x.detach())
    return x


def hook_of_a_parameter() -> Any:
    m = nn.Linear(2, 2)
    m.weight.register_hook(lambda g: g * len(list(m.parameters())))
    m.bias.register_post_accumulate_grad_hook(lambda p: m.zero_grad())
    return m


def hook_that_is_a_method() -> Any:
    class Owner(Box):
        def __call__(self, g: Any) -> None:
            self.content.sum()

    owner = Owner(leaf())
    owner.content.register_hook(owner)
    return owner.content


def output_on_the_context() -> Any:
    return Twice.apply(leaf(), lambda ctx, y: setattr(ctx, "y", y))


def holder_on_the_context() -> Any:
    return Twice.apply(leaf(), lambda ctx, y: setattr(ctx, "box", Box([{"y": y}])))


def later_result_on_the_context() -> Any:
    box = Box()
    z = (Twice.apply(leaf(), lambda ctx, y: setattr(ctx, "box", box)) + 1).exp()
    box.content = z
    return z


def node_on_the_context() -> Any:
    box = Box()
    box.content = Twice.apply(leaf(), lambda ctx, y: setattr(ctx, "box", box)).grad_fn
    return box


def retained_gradient_with_a_hook() -> Any:
    y = leaf() * 2
    y.retain_grad()
    y.register_hook(lambda g: g + y.detach())
    y.sum().backward()
    return y


def hook_of_a_saved_input() -> Any:
    h = leaf() * 3
    y = h * h
    y.register_hook(lambda g: g * y)
    return y


def hook_of_a_shared_input() -> Any:
    """Several edges of one graph lead to the leaf, and to a result in between."""
    x = leaf()
    h = x * x + x
    y = (h * h).exp() * h
    x.register_hook(lambda g: g * y.detach())
    h.register_hook(lambda g: g + y.detach())
    return y


def deep_in_a_graph() -> Any:
    box = Box()
    z = Twice.apply(leaf(), lambda ctx, y: setattr(ctx, "box", box))
    for _ in range(3000):
        z = z * 1.0 + z * 0.0
    box.content = z
    return z


def hook_of_a_node() -> Any:
    y = leaf() * 2
    y.grad_fn.register_hook(lambda i, o: (y.detach(), None)[1])
    y.grad_fn.register_prehook(lambda o: (y.detach(), None)[1])
    return y


def hook_of_a_leafs_node() -> Any:
    x = leaf()
    rt.autograd.graph.get_gradient_edge(x).node.register_hook(lambda i, o: (x.detach(), None)[1])
    return x


def packed_saved_tensors() -> Any:
    box = Box()
    with rt.autograd.graph.saved_tensors_hooks(lambda t: (box, t), lambda p: p[1]):
        y = leaf() * leaf()
    box.content = y
    return y


def packed_outputs() -> Any:
    """A hook that keeps the tensor itself is no cycle of its own."""
    with rt.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        return leaf().exp()


CYCLES = [
    hook_of_a_leaf,
    hook_of_a_shared_input,
    deep_in_a_graph,
    hook_of_a_node,
    hook_of_a_leafs_node,
    packed_saved_tensors,
    packed_outputs,
    hook_of_a_result,
    hook_after_accumulation,
    hook_of_a_parameter,
    hook_that_is_a_method,
    output_on_the_context,
    holder_on_the_context,
    later_result_on_the_context,
    node_on_the_context,
    retained_gradient_with_a_hook,
    hook_of_a_saved_input,
]


@pytest.mark.parametrize("make", CYCLES)
@pytest.mark.parametrize("walked", [False, True])
def test_cycles_are_collected(make: Callable[[], Any], walked: bool) -> None:
    gone = []
    for _ in range(20):
        made = make()
        if walked and isinstance(made, rt.Tensor) and made.requires_grad and make is not retained_gradient_with_a_hook:
            (made * 1).sum().backward()
        gone.append(weakref.ref(made))
        del made
    gc.collect()
    assert [g() for g in gone] == [None] * 20


def test_what_is_needed_stays() -> None:
    """A hook that only a graph needs is called after any number of collections, with all that it refers to."""
    seen = []

    def graph() -> rt.Tensor:
        x = leaf()
        x.register_hook(lambda g: seen.append((x * g).tolist()))
        return (x * 2).sum()

    y = graph()
    gc.collect()
    gc.collect()
    y.backward()
    assert seen == [[2.0, 2.0, 2.0]]


def test_a_context_that_only_a_graph_needs_stays() -> None:
    z = (Twice.apply(leaf(), lambda ctx, y: setattr(ctx, "y", y)) + 1).sum()
    kept = z.grad_fn
    gc.collect()
    z.backward()
    assert kept.name() == "SumBackward0"
    del kept


def test_hooks_run_when_the_object_is_gone() -> None:
    seen = []
    x = leaf()
    x.register_hook(lambda g: seen.append(g.tolist()))
    y = x * 2
    del x
    y.sum().backward()
    assert seen == [[2.0, 2.0, 2.0]]


def test_a_removed_hook_is_released() -> None:
    x, box = leaf(), Box()
    y = x * 2
    hooks = [x.register_hook(lambda g, box=box: None), y.register_hook(lambda g, box=box: None)]
    gone = weakref.ref(box)
    del box
    for h in hooks:
        h.remove()
    assert gone() is None


def test_two_objects_of_one_tensor() -> None:
    """The cycle goes with the last of them."""
    x = hook_of_a_leaf()
    other = x.as_subclass(rt.Tensor)
    first, second = weakref.ref(x), weakref.ref(other)
    del x
    gc.collect()
    assert first() is not None  # the other one's hook refers to it
    other.sum().backward()
    assert other.grad.tolist() == [3.0, 3.0, 3.0]
    del other
    gc.collect()
    assert first() is None and second() is None


def test_collections_while_other_threads_work() -> None:
    """The collector takes nothing from a walk that another thread has just begun."""
    errors: list[BaseException] = []
    over = threading.Event()

    def work() -> None:
        try:
            while not over.is_set():
                x = leaf()
                x.register_hook(lambda g, x=x: g + 0 * x.detach())
                y = Twice.apply(x, lambda ctx, y: setattr(ctx, "y", y))
                y.register_hook(lambda g, y=y: g + 0 * y.detach())
                y.sum().backward()
                assert x.grad.tolist() == [2.0, 2.0, 2.0]
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=work) for _ in range(3)]
    [t.start() for t in threads]
    for _ in range(200):
        gc.collect()
    over.set()
    [t.join() for t in threads]
    assert not errors
    # The leaf's own cycle is seen when the graph, which holds the leaf too, has gone in a collection before.
    gc.collect()


def test_classes_and_copies() -> None:
    ended = []

    class Named(rt.Tensor):
        def __del__(self) -> None:
            ended.append(self.name)

    t = rt.ones(3).as_subclass(Named)
    t.name = "first"
    u, v = copy.copy(t), copy.deepcopy(t)
    assert type(u) is type(v) is Named and u.name == v.name == "first"
    u.name, v.name = "second", "third"
    t.me = t  # a cycle through the instance's own dictionary
    del t, u, v
    gc.collect()
    assert sorted(ended) == ["first", "second", "third"]
    p = nn.Parameter(rt.arange(3.0))
    assert pickle.loads(pickle.dumps(p)).tolist() == [0.0, 1.0, 2.0]
    ref = weakref.ref(p)
    del p
    assert ref() is None


def test_long_chains_of_packed_tensors() -> None:
    """Tensors that a hook keeps, and that keep the graph before them, are taken apart without overflowing the stack."""
    w = leaf()
    x = leaf()
    with rt.autograd.graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        for _ in range(20_000):
            x = x * w
    del x


def test_long_chains_through_leaves_that_changed() -> None:
    """A leaf whose graph lives becomes a result, whose graph holds the next leaf, and so on."""
    kept = leaf()
    for _ in range(100_000):
        x = leaf()
        y = x * 1
        x.requires_grad_(False)
        x.mul_(kept)
        kept = y
    del x, y, kept


@pytest.mark.parametrize("custom", [False, True])
def test_long_chains_through_what_was_saved_before_it_had_a_history(custom: bool) -> None:
    class Times(rt.autograd.Function):
        @staticmethod
        def forward(ctx: Any, w: rt.Tensor, t: rt.Tensor) -> rt.Tensor:
            ctx.save_for_backward(w, t)
            return w * t

        @staticmethod
        def backward(ctx: Any, g: rt.Tensor) -> Any:
            w, t = ctx.saved_tensors
            return g * t, g * w

    w = rt.ones(1, requires_grad=True)
    previous = None
    for _ in range(20_000 if not custom else 5_000):
        t = rt.zeros(1)
        out = Times.apply(w, t) if custom else w * t
        if previous is not None:
            t.mul_(previous)
        previous = out
    del t, out, previous
    gc.collect()


def test_long_chains_of_contexts() -> None:
    """Contexts that hold tensors of the call before them are taken apart without overflowing the stack."""
    x = leaf()
    for _ in range(20_000):
        x = Twice.apply(x, lambda ctx, y, x=x: setattr(ctx, "x", x))
    del x


@pytest.mark.parametrize(
    "code",
    [
        "x = rt.ones(3, requires_grad=True); x.register_hook(lambda g: x); y = (x * 2).sum()",
        "g = rt.Generator(); t = rt.ones(3); t.me = t; n = (rt.ones(1, requires_grad=True) * 2).grad_fn",
        "import sys; sys.keep = rt.ones(1 << 20)",
        "import builtins; builtins.x = rt.ones(3, requires_grad=True); builtins.x.register_hook(lambda g: g)",
    ],
)
def test_tensors_at_the_end(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", f"import rustorch as rt\n{code}"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# ---- lists of tensors, and handles that are replaced ----


class Replaces:
    """A number that, when it is asked for its value, gives a tensor other elements."""

    def __init__(self, t: rt.Tensor) -> None:
        self.t = t

    def __float__(self) -> float:
        self.t.data = rt.zeros(3)
        self.kept = [rt.ones(3) for _ in range(50)]
        return 2.0


REFUSED_LISTS = {
    "entry": lambda x: rt.cat([x, 1]),
    "later entry of many": lambda x: rt.stack([x] * 200 + [None, "a"]),
    "shape": lambda x: rt.cat([x, rt.ones(2, 2)]),
    "dim": lambda x: rt.cat([x], dim=2**70),
    "float": lambda x: rt._ops.sgd_step([x], [x], [None], "a"),
    "second list": lambda x: rt._ops.adam_step([x], [1], [x], [x], [None], 0.1),
    "no sequence": lambda x: rt.block_diag(x, 3),
    "indices": lambda x: x.index_put_([x, "a"], x),
}


@pytest.mark.parametrize("call", REFUSED_LISTS.values(), ids=REFUSED_LISTS)
def test_what_is_refused_is_not_kept(call):
    x = rt.ones(4)
    before = sys.getrefcount(x)
    for _ in range(20):
        with pytest.raises((RustorchError, TypeError)):
            call(x)
    assert sys.getrefcount(x) == before


def test_lists_are_not_kept():
    x = rt.ones(4)
    before = sys.getrefcount(x)
    for n in (0, 1, 3, 1000):
        rt.cat([x] * n + [x])
        rt.stack((x,) * n + (x,))
        rt.cat(t for t in [x] * n + [x])
    rt._ops.sgd_step([x, x.clone()], [None, x.clone()], [], 0.1)
    assert sys.getrefcount(x) == before


@pytest.mark.parametrize(
    "call",
    [
        lambda x, v: rt.add(x, 1, alpha=v),
        lambda x, v: rt.clamp(x, 0, v),
        lambda x, v: rt.nn.functional.leaky_relu(x, v),
        lambda x, v: x.mul(v),
    ],
)
def test_a_handle_that_is_replaced_lives_until_the_call_is_over(call):
    x = rt.ones(1000)
    assert call(x, Replaces(x)).shape in ((1000,), (3,))
    assert x.tolist() == [0.0] * 3


def test_a_handle_that_is_replaced_by_another_thread():
    x, parts, stop = rt.ones(1000), [rt.ones(n) for n in (1000, 10)], threading.Event()

    def replace():
        while not stop.is_set():
            for p in parts:
                x.data = p.clone()

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        for _ in range(300):
            assert rt.cat([x.detach()] * 2 + [x]).sum().item() in {a + b for a in (20, 2000) for b in (10, 1000)}
            assert (x + 1.0).shape[0] in (10, 1000)
    finally:
        stop.set()
        thread.join()


def test_pointers_that_are_held_are_freed_later():
    live = rt.live_tensors()
    x = rt.ones(5)
    pointer = x._h
    del x
    assert rt.live_tensors() == live + 1
    assert _door.lib.rt_tensor_numel(pointer) == 5
    del pointer
    assert rt.live_tensors() == live


def test_a_tensor_that_was_never_made_is_no_tensor():
    class Bare(rt.Tensor):
        def __init__(self):
            pass

    with pytest.raises(RustorchError, match=r"never initialised|Tensor"):
        rt.ones(4).index_put_([Bare()], rt.ones(1))
