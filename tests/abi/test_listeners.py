"""Listeners: what they are told, by which thread, and that gradients change nothing about it."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from abi_tools import elements, ffi, lib, listening

import rustorch as rt
from rustorch import _ops, nn
from rustorch.errors import RustorchError

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from test_gradients import TABLE, Inputs, samples

CALL, BEGIN, END, FAIL = lib.RT_EVENT_CALL, lib.RT_EVENT_BEGIN, lib.RT_EVENT_END, lib.RT_EVENT_FAIL
F = nn.functional


@dataclass
class Seen:
    """One event."""

    phase: int
    depth: int
    name: str
    inputs: list
    flags: list[int]
    outputs: list
    generators: list = field(default_factory=list)

    def __init__(self, e) -> None:
        assert e.size == ffi.sizeof("rt_event")
        self.phase, self.depth, self.name = e.phase, e.depth, ffi.string(e.name).decode()
        self.inputs, self.outputs = ffi.unpack(e.inputs, e.inputs_len), ffi.unpack(e.outputs, e.outputs_len)
        self.flags = ffi.unpack(e.input_flags, e.inputs_len)
        attrs = elements(e.attrs, e.attrs_len)
        assert all(a.size == ffi.sizeof("rt_attr") for a in attrs)
        self.generators = [a.generator for a in attrs if a.kind == lib.RT_ATTR_GENERATOR]


def seen(call, *args, **options) -> list[Seen]:
    """What a call tells; it may fail."""
    events: list[Seen] = []
    with listening(lambda e: events.append(Seen(e))):
        try:
            call(*args, **options)
        except (RustorchError, TypeError, ValueError, IndexError, ZeroDivisionError):
            pass
    check_balance(events)
    return events


def check_balance(events: list[Seen]) -> None:
    """Every begin has its end, at its depth, and what is between lies deeper."""
    open: list[Seen] = []
    for e in events:
        if e.phase in (END, FAIL):
            begin = open.pop()
            assert (begin.name, begin.inputs, begin.flags) == (e.name, e.inputs, e.flags)
        assert e.depth == len(open), (e, open)
        assert bool(e.outputs) <= (e.phase in (CALL, END)), e
        if e.phase == BEGIN:
            open.append(e)
    assert not open


def shape_of(events: list[Seen]) -> list[tuple[int, int, str]]:
    return [(e.phase, e.depth, e.name) for e in events]


def names(events: list[Seen]) -> list[str]:
    return [e.name for e in events]


# ---- whose calls ----


def test_a_thread_hears_its_own_calls_only():
    both, found = threading.Barrier(2), {}

    def work(word, f):
        x, one = rt.rand(3, requires_grad=True), rt.ones(3)

        def calls():
            for _ in range(50):
                both.wait(60)
                f(x).backward(one)

        found[word] = seen(calls)

    threads = [threading.Thread(target=work, args=pair) for pair in (("exp", rt.exp), ("tanh", rt.tanh))]
    rt.ones(3).sin()  # nobody listens here
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    for word, other in (("exp", "tanh"), ("tanh", "exp")):
        heard = names(found[word])
        assert heard.count(word) == 50 and len(heard) > 50, "backward is heard too"
        assert not [n for n in heard if n.startswith(other) or n == "sin"]


def test_another_threads_listener_changes_nothing_here():
    x, w = rt.rand(2, 3), rt.rand(3, 3, requires_grad=True)
    before = F.cross_entropy(x @ w, rt.tensor([0, 2])).item()
    start, stop = threading.Event(), threading.Event()

    def listen():
        with listening(lambda e: None):
            start.set()
            stop.wait(60)

    t = threading.Thread(target=listen)
    t.start()
    start.wait(60)
    try:
        assert F.cross_entropy(x @ w, rt.tensor([0, 2])).item() == before
    finally:
        stop.set()
        t.join(60)


def test_a_thread_may_end_with_listeners():
    def work():
        for _ in range(3):
            assert lib.rt_listener_push(lib.py_on_call, handle) == lib.RT_OK
        rt.ones(2) + 1

    heard = []
    handle = ffi.new_handle(lambda e: heard.append(e.depth))
    for _ in range(3):
        t = threading.Thread(target=work)
        t.start()
        t.join(60)
    n = len(heard)
    assert n and n % 9 == 0
    rt.ones(2) + 1
    assert len(heard) == n
    assert lib.rt_listener_pop() == lib.RT_ERR_STATE


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_keeps_its_threads_listeners():
    x, heard = rt.ones(2), []
    with listening(lambda e: heard.append(ffi.string(e.name))):
        child = os.fork()
        if child == 0:
            x.exp()
            done = lib.rt_listener_pop() == lib.RT_OK
            x.tanh()
            os._exit(0 if done and heard == [b"exp"] else 1)
        assert os.waitpid(child, 0)[1] == 0
        assert heard == []


# ---- the stack ----


def test_all_hear_the_innermost_first():
    x, order = rt.ones(2), []
    with listening(lambda e: order.append("outer")):
        x.exp()
        with listening(lambda e: order.append("inner")):
            x.exp()
        x.exp()
    x.exp()
    assert order == ["outer", "inner", "outer", "outer"]


def test_errors_of_the_stack():
    assert lib.rt_listener_pop() == lib.RT_ERR_STATE
    assert "no listener" in ffi.string(lib.rt_last_error()).decode()
    assert lib.rt_listener_push(ffi.NULL, ffi.NULL) == lib.RT_ERR_NULL
    assert lib.rt_listener_pop() == lib.RT_ERR_STATE


def test_a_listener_may_call_ops_and_change_the_stack():
    x, y, classes = rt.ones(2), rt.rand(2, 3), rt.tensor([0, 2])
    outer, inner = [], []

    def calls(e):
        outer.append(ffi.string(e.name))
        F.cross_entropy(y, classes)  # of many parts, and not heard

    with listening(calls):
        x.exp()
    assert outer == [b"exp"]

    handle = ffi.new_handle(lambda e: inner.append((e.phase, e.depth)))

    def pushes(e):
        if e.phase == BEGIN and e.depth == 0:
            assert lib.rt_listener_push(lib.py_on_call, handle) == lib.RT_OK

    # It hears the parts of what is under way, and not its end; then whole calls.
    with listening(pushes):
        F.cross_entropy(y, classes)
        assert inner and (END, 0) not in inner and inner[0][1] == 1
        assert sum(p == BEGIN for p, _ in inner) == sum(p == END for p, _ in inner)
        inner.clear()
        x.exp()
        assert inner == [(CALL, 0)]
        assert lib.rt_listener_pop() == lib.RT_OK

    def leaves(e):
        inner.append("once")
        assert lib.rt_listener_pop() == lib.RT_OK

    inner.clear()
    last = ffi.new_handle(leaves)
    with listening(lambda e: inner.append("stays")):
        assert lib.rt_listener_push(lib.py_on_call, last) == lib.RT_OK
        x.exp()
        x.exp()
    assert inner == ["once", "stays", "stays"]


# ---- what is told ----


def net():
    rt.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Dropout(0.2), nn.Flatten(),
        nn.Linear(36, 10), nn.LayerNorm(10), nn.GELU(), nn.Linear(10, 10), nn.Softplus(),
    )  # fmt: skip


def forward(grad: bool):
    model = net().requires_grad_(grad)
    x, y = rt.rand(5, 1, 8, 8), rt.tensor([1, 2, 3, 4, 5])
    return lambda: F.cross_entropy(model(x), y, label_smoothing=0.1)


def attention(grad: bool):
    q, k, v = (rt.rand(2, 4, 5, 8, requires_grad=grad) for _ in range(3))
    return lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True)


def smoothed(grad: bool):
    x, y = rt.rand(4, 3, requires_grad=grad), rt.tensor([0, 2, 1, 1])
    return lambda: F.cross_entropy(x, y, label_smoothing=0.2)


@pytest.mark.parametrize("make", [attention, smoothed, forward])
def test_the_same_events_with_and_without_gradients(make):
    plain, recorded = seen(make(False)), seen(make(True))
    assert shape_of(plain) == shape_of(recorded)
    assert {BEGIN, END, CALL} == {e.phase for e in plain}
    with rt.no_grad():
        assert shape_of(seen(make(True))) == shape_of(plain)
    with rt.inference_mode():
        assert shape_of(seen(make(False))) == shape_of(plain)


def test_attention_and_cross_entropy_are_told_with_their_parts():
    events = seen(attention(True))
    whole = [e for e in events if e.name == "scaled_dot_product_attention"]
    assert [(e.phase, e.depth) for e in whole] == [(BEGIN, 0), (END, 0)]
    assert len(whole[1].outputs) == 1 and {e.depth for e in events} >= {0, 1}
    events = seen(smoothed(False))
    assert [e.phase for e in events if e.name == "cross_entropy"] == [BEGIN, END]


def test_a_whole_step_is_balanced():
    model = net()
    optimizer = rt.optim.Adam(model.parameters())
    x, y = rt.rand(5, 1, 8, 8), rt.tensor([1, 2, 3, 4, 5])

    def step():
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()

    events = seen(step)
    assert names(events)[-1] == "adam_step" and len(events) > 40
    assert names(events).index("max_pool2d") < names(events).index("adam_step")


@pytest.mark.parametrize("name", sorted(n for n, op in TABLE.items() if samples(op)))
def test_gradients_change_no_event(name):
    """Each op with each of its samples: with gradients recorded and without, and in parts if it is made of some."""
    op, f = TABLE[name], getattr(_ops, name)
    for source in samples(op):
        given = {**Inputs(name + source).names(), "given": lambda *a, **k: (a, k)}
        args, options = eval(f"given({source})", given)
        recorded = seen(f, *args, **options)
        with rt.no_grad():
            plain = seen(f, *args, **options)
        assert shape_of(recorded) == shape_of(plain), source
        # "Dynamic" says that the result depends on elements; it may have parts.
        if op["class"] == "Composite" or (op["class"] == "Dynamic" and plain[0].phase == BEGIN):
            assert shape_of(plain)[0] == (BEGIN, 0, name) and shape_of(plain)[-1] == (END, 0, name), source
        else:
            assert shape_of(plain) == [(CALL, 0, name)], source


def test_in_place_twins_of_composites():
    assert TABLE["addr"]["class"] == "Composite" and TABLE["addr"]["inplace"]
    a, b = rt.rand(2), rt.rand(3)
    for grad in (False, True):
        x = rt.rand(2, 3, requires_grad=grad) * 1
        events = seen(x.addr_, a, b)
        assert shape_of(events)[0] == (BEGIN, 0, "addr_") and shape_of(events)[-1] == (END, 0, "addr_")
        assert [e for e in shape_of(events) if e[0] == CALL][-1] == (CALL, 1, "copy_")
        assert "addr" not in names(events)
        assert events[0].flags == events[-1].flags == [lib.RT_INPUT_WRITTEN, 0, 0]
        assert events[-1].outputs == [x._h] and len(events) > 3
    # What does not fit is noticed by the last part.
    events = seen(rt.rand(1, 3).addr_, a, b)
    assert shape_of(events)[-1] == (FAIL, 0, "addr_") and "copy_" not in names(events)


def test_refused_calls_are_balanced():
    failed = 0
    for name, op in TABLE.items():
        for call, _ in op["refuses"]:
            events = seen(
                lambda name=name, call=call: eval(
                    f"f({call})", {"rt": rt, "f": getattr(_ops, name), "inf": rt.inf, "nan": rt.nan}
                )
            )
            outer = [e for e in events if e.depth == 0]
            if events and op["class"] == "Composite" and outer[-1].name == name:
                assert outer[-1].phase == FAIL, (name, call)
                failed += 1
            assert all(e.phase != CALL for e in outer if e.name == name), (name, call)
    assert failed > 5


def test_a_part_that_fails():
    events = seen(F.cross_entropy, rt.rand(2, 3), rt.tensor([0, 7]), label_smoothing=0.1)
    assert shape_of(events)[0] == (BEGIN, 0, "cross_entropy")
    assert shape_of(events)[-1] == (FAIL, 0, "cross_entropy")
    assert len(events) > 2


# ---- flags and generators ----


def test_flags():
    x, y = rt.rand(3), rt.rand(3)
    number, written = lib.RT_INPUT_NUMBER, lib.RT_INPUT_WRITTEN
    assert [e.flags for e in seen(lambda: x * 2)] == [[0, number]]
    assert [e.flags for e in seen(lambda: x + 2.5)] == [[0, number]]
    assert [e.flags for e in seen(lambda: x * rt.tensor(2.0))][-1] == [0, 0]
    assert [e.flags for e in seen(lambda: x * y)] == [[0, 0]]
    assert [e.flags for e in seen(lambda: x.mul_(2))] == [[written, number]]
    assert [e.flags for e in seen(lambda: x.copy_(y))] == [[written, 0]]
    p, q = rt.rand(3, requires_grad=True), rt.rand(2, requires_grad=True)
    p.grad, q.grad = rt.rand(3), rt.rand(2)
    optimizer = rt.optim.SGD([p, q], lr=0.1, momentum=0.9)
    for _ in range(2):  # at the second there is a state
        (step,) = (e for e in seen(optimizer.step) if e.name == "sgd_step")
        grads = [i for i, h in enumerate(step.inputs) if h in (p.grad._h, q.grad._h)]
        assert grads == [2, 3], "parameters, gradients, states"
        wanted = [written if h and i not in grads else step.flags[i] if not h else 0 for i, h in enumerate(step.inputs)]
        assert step.flags == wanted


def test_generators_are_who_they_are():
    g, other, x = rt.Generator(), rt.Generator(), rt.full((3,), 0.5)
    for use in (g, other, None):
        (event,) = (e for e in seen(lambda use=use: rt.bernoulli(x, generator=use)) if e.generators)
        assert event.generators == [use._h if use else ffi.NULL]
    parts = seen(lambda: rt.randn(3, generator=g))
    assert {g._h} == {h for e in parts for h in e.generators}


def test_a_call_with_the_generator_that_was_heard_draws_from_it():
    g, x, again = rt.Generator().manual_seed(3), rt.full((64,), 0.5), []

    def repeat(e):
        state = g.get_state()
        out, n = ffi.new("rt_tensor *[1]"), ffi.new("size_t *")
        assert lib.rt_op_call(e.name, e.inputs, e.inputs_len, e.attrs, e.attrs_len, out, 1, n) == lib.RT_OK
        lib.rt_tensor_free(out[0])
        again.append(not rt.equal(state, g.get_state()))

    with listening(repeat):
        rt.bernoulli(x, generator=g)
    assert again == [True]
