"""Several threads on one tensor: success or RT_ERR_STATE, never a crash, never an endless wait."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
from abi_tools import ffi, lib, run_python

import rustorch as rt
from rustorch._door import BY_STATUS

BUSY = BY_STATUS[lib.RT_ERR_STATE]


@pytest.fixture
def timeout():
    yield lib.rt_set_lock_timeout
    lib.rt_set_lock_timeout(30_000)


def together(*works, seconds=0.6):
    """Runs each function again and again on a thread of its own; gives how often each had success and was refused."""
    stop = time.monotonic() + seconds
    counts = [[0, 0] for _ in works]
    trouble = []

    def loop(work, count):
        try:
            while time.monotonic() < stop:
                try:
                    work()
                    count[0] += 1
                except BUSY:
                    count[1] += 1
        except BaseException as e:
            trouble.append(e)

    threads = [threading.Thread(target=loop, args=pair) for pair in zip(works, counts)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
        assert not t.is_alive(), "a thread hangs"
    assert trouble == []
    return counts


@pytest.mark.parametrize("size", [3, 500, 70_000])
@pytest.mark.parametrize("milliseconds", [0, 30_000])
def test_readers_and_writers(size, milliseconds, timeout):
    timeout(milliseconds)
    x, y = rt.zeros(size), rt.ones(size)

    def uniform():
        # An op sees all of a write or nothing of it.
        now = x.clone()
        assert now.min().item() == now.max().item()

    counts = together(
        lambda: x.add_(y), lambda: x.mul_(0), lambda: x + y, uniform, lambda: x.copy_(y), lambda: x.numpy()
    )
    if milliseconds:
        assert all(refused == 0 for _, refused in counts)
    assert sum(done for done, _ in counts) > 0


def test_views_of_one_storage(timeout):
    x = rt.zeros(200, 100)
    views = [x[i::4] for i in range(4)]
    together(*[lambda v=v: v.add_(1) for v in views], lambda: x.sum(), lambda: x.t().contiguous())
    for v in views:
        assert len(set(v.flatten().tolist())) == 1


def test_ops_that_lock_in_opposite_order():
    a, b = rt.zeros(5000), rt.zeros(5000)
    counts = together(lambda: a.copy_(b), lambda: b.copy_(a), lambda: a.add_(b), lambda: b.sub_(a))
    assert all(refused == 0 for _, refused in counts)


def test_backward_of_graphs_that_share_leaves():
    w = rt.ones(50, requires_grad=True)
    done = []

    def step():
        (w * 2).sum().backward()
        done.append(1)

    together(step, step, step)
    assert w.grad[0].item() == w.grad[49].item() == 2.0 * len(done)


def test_one_graph_walked_by_many():
    x = rt.randn(40, requires_grad=True)
    y = (x.sin() * x.exp()).sum()
    want = rt.autograd.grad(y, x, retain_graph=True)[0]

    def walk():
        assert rt.equal(rt.autograd.grad(y, x, retain_graph=True)[0], want)

    together(walk, walk, walk)


def test_hooks_come_and_go():
    x = rt.ones(10, requires_grad=True)

    def hook():
        handle = x.register_hook(lambda g: g * 1)
        (x * 3).sum().backward()
        handle.remove()

    together(hook, hook, lambda: (x * 3).sum().backward(), lambda: setattr(x, "grad", None))


def test_modes_belong_to_threads():
    x = rt.ones(3, requires_grad=True)

    def without():
        with rt.no_grad():
            assert not (x * 2).requires_grad

    def within():
        assert (x * 2).requires_grad

    together(without, within, seconds=0.2)


def test_generators_are_shared_safely():
    g = rt.Generator().manual_seed(3)
    together(
        lambda: rt.rand(100, generator=g), lambda: rt.randn(100, generator=g), lambda: g.get_state(), lambda: rt.rand(9)
    )


@contextlib.contextmanager
def writing(t):
    """Another thread writes to `t` all the time."""
    stop = threading.Event()

    def write():
        while not stop.is_set():
            with contextlib.suppress(BUSY):
                t.cumsum_(0)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        yield
    finally:
        stop.set()
        writer.join()


def test_a_wait_ends_with_an_error(timeout):
    """One thread writes for long; another one does not wait longer than it was told."""
    timeout(1)
    big, seen = rt.zeros(4_000_000), []
    out, limit = ffi.new("rt_tensor **"), time.monotonic() + 60
    with writing(big):
        while not seen and time.monotonic() < limit:
            status = lib.rt_neg(big._h, out)
            if status == lib.RT_OK:
                lib.rt_tensor_free(out[0])
            else:
                assert status == lib.RT_ERR_STATE
                seen.append(ffi.string(lib.rt_last_error()).decode())
    assert seen and seen[0].startswith("neg: ") and "another thread" in seen[0]


def test_what_is_refused_leaves_nothing_locked(timeout):
    """An op takes its locks one after the other; when one is not to be had, those before it are given back."""
    timeout(1)
    big = rt.zeros(4_000_000)
    # Storages on both sides of the busy one, wherever that lies.
    small = [rt.ones(5) for _ in range(40)]

    def read(t):
        return lambda: rt.cat([*small[:20], t, *small[20:]])

    calls = {"read": read(big), "write": lambda: big.index_copy_(0, rt.arange(5), small[3])}
    calls |= {f"{i}": lambda x=x: x.copy_(big[:5]) for i, x in enumerate(small)}
    refused, limit = set(), time.monotonic() + 60
    with writing(big):
        while len(refused) < len(calls) and time.monotonic() < limit:
            for name in calls.keys() - refused:
                try:
                    calls[name]()
                except BUSY:
                    refused.add(name)
                    for x in small:
                        x.add_(1)  # neither a reader nor a writer is left behind
    assert refused == calls.keys()
    timeout(0)
    big.add_(1)
    for x in small:
        x.add_(1)


def test_handles_are_counted_right():
    before = lib.rt_live_tensors()

    def workload(x):
        def work():
            h = lib.rt_tensor_retain(x._h)
            lib.rt_tensor_free(h)

        together(work, work, work, lambda: x * 2, seconds=0.3)

    workload(rt.ones(4))
    assert lib.rt_live_tensors() == before


FORK = """
import os, sys, warnings
warnings.simplefilter("ignore")
import rustorch as rt

rt.set_num_threads(4)
a = rt.randn(300, 300)
want = (a @ a).sum().item(), a.exp().sum().item()  # the thread pool is running now
child = os.fork()
if child == 0:
    rt.manual_seed(1)
    same = ((a @ a).sum().item(), a.exp().sum().item()) == want
    x = rt.ones(100, 100, requires_grad=True)
    (x @ a[:100]).sum().backward()
    grandchild = os.fork()
    if grandchild == 0:
        os._exit(0 if (a @ a).sum().item() == want[0] else 1)
    rest = os.waitpid(grandchild, 0)[1]
    os._exit(0 if same and x.grad is not None and rest == 0 else 1)
status = os.waitpid(child, 0)[1]
assert ((a @ a).sum().item(), a.exp().sum().item()) == want  # the parent's pool lives on
print("status", status)
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork here")
def test_fork_with_a_running_pool():
    assert run_python(FORK).split() == ["status", "0"]


MANY = """
import rustorch as rt, threading
def work():
    a = rt.randn(120, 120)
    for _ in range(5):
        a = (a @ a).tanh()
for _ in range(20):
    threads = [threading.Thread(target=work) for _ in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
print(rt.live_tensors())
"""


def test_threads_that_end_give_their_memory_back():
    assert run_python(MANY).strip() == "0"


FORK_WHILE_DRAWING = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
import rustorch as rt
stop = False
def draw():
    while not stop:
        rt.randn(20_000)
threads = [threading.Thread(target=draw) for _ in range(2)]
for t in threads: t.start()
for _ in range(30):
    child = os.fork()
    if child == 0:
        os._exit(0 if rt.rand(3).shape == (3,) else 1)
    assert os.waitpid(child, 0)[1] == 0
stop = True
for t in threads: t.join()
"""


@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="there is no fork here")
def test_fork_while_another_thread_draws_numbers():
    run_python(FORK_WHILE_DRAWING)
