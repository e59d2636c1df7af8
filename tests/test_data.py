"""Datasets, samplers, collating and the DataLoader, in this process and with workers."""

import collections
import gc
import multiprocessing
import os
import pickle
import random
import time

import numpy as np
import pytest

import rustorch as rt
from rustorch.utils import data as d

Point = collections.namedtuple("Point", "x y")


def numbers(n=10):
    return d.TensorDataset(rt.arange(n * 2).reshape(n, 2), rt.arange(n))


def indices(batches):
    """The second column of all batches, in order."""
    return [i for _, column in batches for i in column.tolist()]


def seeded(seed):
    generator = rt.Generator()
    generator.manual_seed(seed)
    return generator


class Squares(d.Dataset):
    """Each sample shows in which process it was made."""

    def __init__(self, n=12):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        info = d.get_worker_info()
        return i * i, -1 if info is None else info.id


class Bad(Squares):
    """Fails in a way of choice at one index."""

    def __init__(self, how):
        super().__init__(6)
        self.how = how

    def __getitem__(self, i):
        if i == 3:
            self.how()
        return i


class Stream(d.IterableDataset):
    def __init__(self, n, shared=True):
        self.n = n
        self.shared = shared

    def __iter__(self):
        info = d.get_worker_info()
        if info is None or not self.shared:
            return iter(range(self.n))
        return iter(range(info.id, self.n, info.num_workers))


class SizedStream(Stream):
    def __len__(self):
        return self.n


class OwnError(Exception):
    def __init__(self, code, text):
        super().__init__(code, text)


def fail(kind, *args):
    def how():
        raise kind(*args)

    return how


def no_children():
    gc.collect()
    deadline = time.monotonic() + 10
    while multiprocessing.active_children() and time.monotonic() < deadline:
        time.sleep(0.01)
    return not multiprocessing.active_children()


# Datasets


def test_tensor_dataset():
    ds = numbers()
    assert len(ds) == 10
    row, i = ds[3]
    assert row.tolist() == [6, 7] and i.item() == 3
    with pytest.raises(ValueError, match=r"Size mismatch between tensors, first sizes are \[2, 3\]"):
        d.TensorDataset(rt.ones(2), rt.ones(3))


def test_bases_are_abstract():
    for call in (lambda: d.Dataset()[0], lambda: iter(d.IterableDataset()), lambda: iter(d.Sampler())):
        with pytest.raises(NotImplementedError):
            call()
    assert d.Dataset[int] is d.Dataset and d.Sampler[int] is d.Sampler and d.DataLoader[int] is d.DataLoader


def test_concat_and_subset():
    both = numbers(4) + Squares(3)
    assert isinstance(both, d.ConcatDataset)
    assert len(both) == 7 and both.cumulative_sizes == [4, 7]
    assert both[3][1].item() == 3 and both[4] == (0, -1) and both[-1] == (4, -1)
    with pytest.raises(ValueError, match="should not exceed dataset length"):
        both[-8]
    with pytest.raises(ValueError, match="empty iterable"):
        d.ConcatDataset([])
    with pytest.raises(ValueError, match="does not support IterableDataset"):
        d.ConcatDataset([Stream(2)])
    part = d.Subset(both, [5, 0])
    assert len(part) == 2 and part[0] == (1, -1)
    assert d.Subset(np.arange(10), [3, 4])[[0, 1]].tolist() == [3, 4]


def test_subclass_of_subset_must_override_both():
    class Half(d.Subset):
        def __getitem__(self, i):
            return 0

    with pytest.raises(NotImplementedError, match="override both"):
        Half(Squares(), [0])


def test_stack():
    assert d.StackDataset(Squares(3), [7, 8, 9])[1] == ((1, -1), 8)
    named = d.StackDataset(a=Squares(3), b=d.Subset([7, 8, 9], [2, 1, 0]))
    assert named[0] == {"a": (0, -1), "b": 9} and len(named) == 3
    assert named.__getitems__([2, 0]) == [{"a": (4, -1), "b": 7}, {"a": (0, -1), "b": 9}]
    for make in (lambda: d.StackDataset(), lambda: d.StackDataset([1], [1, 2]), lambda: d.StackDataset([1], a=[1])):
        with pytest.raises(ValueError):
            make()

    class Short(Squares):
        def __getitems__(self, where):
            return [0]

    with pytest.raises(ValueError, match="Expected 2, got 1"):
        d.StackDataset(Short(3)).__getitems__([0, 1])


def test_chain():
    chain = Stream(3) + SizedStream(2)
    assert list(chain) == [0, 1, 2, 0, 1]
    assert len(d.ChainDataset([SizedStream(2), SizedStream(5)])) == 7
    with pytest.raises(ValueError, match="only supports IterableDataset, got list"):
        list(d.ChainDataset([[1, 2]]))


def test_random_split():
    parts = d.random_split(range(100), [60, 40], generator=seeded(1))
    assert [len(p) for p in parts] == [60, 40]
    assert sorted([*parts[0], *parts[1]]) == list(range(100))
    again = d.random_split(range(100), [0.6, 0.4], generator=seeded(1))
    assert [p.indices for p in again] == [p.indices for p in parts]
    assert [len(p) for p in d.random_split(range(11), [0.5, 0.25, 0.25])] == [6, 3, 2]
    with pytest.raises(ValueError, match=r"lengths are \[3, 4\], the dataset has 8 samples"):
        d.random_split(range(8), [3, 4])
    with pytest.raises(ValueError, match="Fraction at index 0"):
        d.random_split(range(8), [1.5, -0.5])
    with pytest.warns(UserWarning, match="split at index 1 is 0"):
        d.random_split(range(3), [0.9, 0.1])


# Samplers


def test_samplers():
    assert list(d.SequentialSampler(range(4))) == [0, 1, 2, 3]
    sampler = d.RandomSampler(range(50), generator=seeded(2))
    first, second = list(sampler), list(sampler)
    assert sorted(first) == sorted(second) == list(range(50)) and first != second
    assert list(d.RandomSampler(range(50), generator=seeded(2))) == first
    assert len(list(d.RandomSampler(range(5), num_samples=13))) == 13
    drawn = list(d.RandomSampler(range(5), replacement=True, num_samples=70))
    assert len(drawn) == 70 and set(drawn) == set(range(5))
    assert sorted(d.SubsetRandomSampler([3, 5, 9])) == [3, 5, 9] and len(d.SubsetRandomSampler([3, 5])) == 2


def test_default_generator_decides_without_another():
    orders = []
    for _ in range(2):
        rt.manual_seed(5)
        orders.append([list(d.RandomSampler(range(20))) for _ in range(2)])
    assert orders[0] == orders[1] and orders[0][0] != orders[0][1]


def test_weighted_sampler():
    sampler = d.WeightedRandomSampler([0.0, 3.0, 1.0], 4000, generator=seeded(0))
    counts = collections.Counter(sampler)
    assert len(sampler) == 4000 and set(counts) == {1, 2}
    assert 0.7 < counts[1] / 4000 < 0.8
    assert sorted(d.WeightedRandomSampler([1.0, 2.0, 3.0], 3, replacement=False)) == [0, 1, 2]


def test_batch_sampler():
    assert list(d.BatchSampler(range(7), 3, False)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(d.BatchSampler(range(7), 3, True)) == [[0, 1, 2], [3, 4, 5]]
    assert len(d.BatchSampler(range(7), 3, False)) == 3 and len(d.BatchSampler(range(7), 3, True)) == 2


def test_sampler_errors():
    for make in (
        lambda: d.RandomSampler([]),
        lambda: d.RandomSampler([1], num_samples=0),
        lambda: d.WeightedRandomSampler([1.0], True),
        lambda: d.WeightedRandomSampler([1.0], 1, replacement=1),
        lambda: d.WeightedRandomSampler([[1.0]], 1),
        lambda: d.BatchSampler([1], 0, False),
        lambda: d.BatchSampler([1], 1, None),
    ):
        with pytest.raises(rt.errors.InvalidArgumentError):
            make()
    with pytest.raises(TypeError, match="replacement should be a boolean"):
        d.RandomSampler([1], replacement=1)


@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("n", [1, 7, 16])
def test_distributed_sampler(n, drop_last):
    replicas = min(n, 4)
    samplers = [d.DistributedSampler(range(n), replicas, r, drop_last=drop_last) for r in range(replicas)]
    orders = []
    for epoch in range(2):
        for sampler in samplers:
            sampler.set_epoch(epoch)
        parts = [list(s) for s in samplers]
        assert {len(p) for p in parts} == {len(samplers[0])}
        seen = [i for p in parts for i in p]
        assert len(set(seen)) == (n // replicas * replicas if drop_last else n)
        orders.append(seen)
    assert n == 1 or orders[0] != orders[1]
    plain = d.DistributedSampler(range(5), 2, 1, shuffle=False)
    assert list(plain) == [1, 3, 0]


def test_distributed_sampler_errors():
    with pytest.raises(ValueError, match="Invalid rank 2"):
        d.DistributedSampler(range(5), 2, 2)
    with pytest.raises(ValueError, match="must be given"):
        d.DistributedSampler(range(5))


# Collating


def test_default_collate():
    collate = d.default_collate
    assert collate([rt.ones(2), rt.zeros(2)]).tolist() == [[1, 1], [0, 0]]
    assert collate([1, 2]).dtype == rt.int64 and collate([1.0, 2.0]).dtype == rt.float64
    assert collate([True, False]).dtype == rt.bool
    assert collate(["a", "b"]) == ["a", "b"]
    batch = collate([{"a": 1, "b": (1.0, "x")}, {"a": 2, "b": (2.0, "y")}])
    assert batch["a"].tolist() == [1, 2] and batch["b"][0].tolist() == [1.0, 2.0] and batch["b"][1] == ("x", "y")
    point = collate([Point(1, 2), Point(3, 4)])
    assert type(point) is Point and point.x.tolist() == [1, 3]
    ordered = collate([collections.OrderedDict(z=1, a=2)])
    assert type(ordered) is collections.OrderedDict and list(ordered) == ["z", "a"]
    assert [c.tolist() for c in collate([[1, 2], [3, 4]])] == [[1, 3], [2, 4]]


@pytest.mark.parametrize("kind", ["float32", "float64", "int16", "uint8", "bool"])
def test_collate_numpy(kind):
    values = np.array([[1, 0], [0, 1]], dtype=kind)
    batch = d.default_collate(list(values))
    assert batch.dtype == getattr(rt, kind) and batch.tolist() == values.tolist()
    scalars = d.default_collate(list(values[0]))
    assert scalars.dtype == getattr(rt, kind) and scalars.tolist() == values[0].tolist()


def test_collate_errors():
    for bad in ([None], [object()], [{1, 2}], [np.array(["a"])]):
        with pytest.raises(TypeError, match="batch must contain tensors"):
            d.default_collate(bad)
    with pytest.raises(RuntimeError, match=r"equal size, got sizes \[1, 2\]"):
        d.default_collate([[1, 2], [1]])


def test_collate_of_mappings_and_sequences_that_cannot_be_rebuilt():
    class Fixed(collections.abc.Mapping):
        def __init__(self):
            self._d = {"a": 1}

        def __getitem__(self, key):
            return self._d[key]

        def __iter__(self):
            return iter(self._d)

        def __len__(self):
            return 1

    assert d.default_collate([Fixed(), Fixed()])["a"].tolist() == [1, 1]
    assert [c.tolist() for c in d.default_collate([range(2), range(2)])] == [[0, 0], [1, 1]]


def test_default_convert():
    out = d.default_convert({"a": np.ones(2), "b": (np.float32(1), "s"), "c": Point(np.zeros(1), 2), "d": [np.ones(1)]})
    assert out["a"].tolist() == [1, 1] and out["b"][0].item() == 1 and out["b"][1] == "s"
    assert out["c"].x.tolist() == [0] and out["c"].y == 2 and out["d"][0].tolist() == [1]
    text = np.array(["a"])
    assert d.default_convert(text) is text
    t = rt.ones(1)
    assert d.default_convert(t) is t


# The loader in this process


def test_batches():
    loader = d.DataLoader(numbers(), batch_size=4)
    assert len(loader) == 3 and len(iter(loader)) == 3
    got = list(loader)
    assert [b[0].shape[0] for b in got] == [4, 4, 2]
    assert got[1][0].tolist() == [[8, 9], [10, 11], [12, 13], [14, 15]]
    assert [len(b[1]) for b in d.DataLoader(numbers(), batch_size=4, drop_last=True)] == [4, 4]


def test_gathering_equals_collating():
    """A plain TensorDataset is read by one indexing op for each tensor: the same batches as one sample at a time."""
    ds = d.Subset(d.Subset(numbers(20), list(range(19, 0, -1))), list(range(0, 18, 2)))
    slow = d.DataLoader(ds, 4, collate_fn=lambda samples: d.default_collate(samples))
    assert len(slow) == 3
    for fast, one_by_one in zip(d.DataLoader(ds, 4), slow, strict=True):
        assert [(c.dtype, c.tolist()) for c in fast] == [(c.dtype, c.tolist()) for c in one_by_one]


def test_odd_indices():
    ds = numbers()
    assert indices(d.DataLoader(ds, batch_sampler=[[1, -1], [0]])) == [1, 9, 0]
    assert indices(d.DataLoader(ds, batch_sampler=[[np.int64(3)], [rt.tensor(4)]])) == [3, 4]
    assert indices(d.DataLoader(d.Subset(ds, np.array([7, 8])), 2)) == [7, 8]
    with pytest.raises(IndexError):
        list(d.DataLoader(ds, batch_sampler=[[10]]))


def test_subclass_of_tensor_dataset_is_asked_for_samples():
    class Doubled(d.TensorDataset):
        def __getitem__(self, i):
            return [2 * t for t in super().__getitem__(i)]

    assert next(iter(d.DataLoader(Doubled(rt.arange(4)), 4)))[0].tolist() == [0, 2, 4, 6]


def test_shuffle():
    loader = d.DataLoader(numbers(50), batch_size=7, shuffle=True, generator=seeded(3))
    first, second = indices(loader), indices(loader)
    assert sorted(first) == sorted(second) == list(range(50)) and first != second
    assert indices(d.DataLoader(numbers(50), batch_size=7, shuffle=True, generator=seeded(3))) == first


def test_single_samples_and_own_collate():
    assert [i.item() for _, i in d.DataLoader(numbers(3), batch_size=None)] == [0, 1, 2]
    assert next(iter(d.DataLoader([np.ones(2)], batch_size=None))).tolist() == [1, 1]
    assert list(d.DataLoader(range(5), batch_size=2, collate_fn=sum)) == [1, 5, 4]
    assert list(d.DataLoader("abc", batch_size=2)) == [["a", "b"], ["c"]]


def test_getitems_is_used():
    class Many(Squares):
        def __getitems__(self, where):
            return [i + 0.5 for i in where]

    assert next(iter(d.DataLoader(Many(), 3))).tolist() == [0.5, 1.5, 2.5]


def test_iterable():
    assert [b.tolist() for b in d.DataLoader(Stream(5), 2)] == [[0, 1], [2, 3], [4]]
    assert [b.tolist() for b in d.DataLoader(Stream(5), 2, drop_last=True)] == [[0, 1], [2, 3]]
    assert list(d.DataLoader(Stream(3), batch_size=None)) == [0, 1, 2]
    assert len(d.DataLoader(SizedStream(5), 2)) == 3 and len(d.DataLoader(SizedStream(5), 2, drop_last=True)) == 2
    assert len(d.DataLoader(SizedStream(5), None)) == 5


def test_iterable_longer_than_it_said():
    class Liar(Stream):
        def __len__(self):
            return 2

    loader = d.DataLoader(Liar(3), batch_size=None)
    len(loader)
    with pytest.warns(UserWarning, match="reported a length of 2, but 3 batches"):
        list(loader)


OPTION_ERRORS = [
    ({"num_workers": -1}, "num_workers option should be non-negative, got -1"),
    ({"timeout": -1}, "timeout option should be non-negative, got -1"),
    ({"timeout": 1}, "timeout option needs num_workers > 0"),
    ({"prefetch_factor": 2}, "prefetch_factor option needs num_workers > 0"),
    ({"prefetch_factor": 0, "num_workers": 1}, "prefetch_factor should be positive, got 0"),
    ({"persistent_workers": True}, "persistent_workers option needs num_workers > 0"),
    ({"multiprocessing_context": "fork"}, "multiprocessing_context option needs num_workers > 0"),
    ({"multiprocessing_context": "teleport", "num_workers": 1}, "should specify a valid start method"),
    ({"sampler": [1], "shuffle": True}, "sampler option is mutually exclusive with shuffle"),
    ({"batch_sampler": [[1]], "batch_size": 2}, "batch_sampler option is mutually exclusive with"),
    ({"batch_size": None, "drop_last": True}, "mutually exclusive with drop_last"),
    ({"batch_size": 0}, "batch_size should be a positive integer value"),
]


@pytest.mark.parametrize(("options", "message"), OPTION_ERRORS, ids=[e[1] for e in OPTION_ERRORS])
def test_option_errors(options, message):
    with pytest.raises(rt.errors.InvalidArgumentError) as error:
        d.DataLoader(range(4), **options)
    assert message in str(error.value)


def test_more_option_errors():
    for options in ({"shuffle": True}, {"sampler": [1]}, {"batch_sampler": [[1]]}):
        with pytest.raises(ValueError, match="with IterableDataset: expected unspecified"):
            d.DataLoader(Stream(3), **options)
    d.DataLoader(Stream(3), shuffle=False)
    with pytest.raises(TypeError, match="multiprocessing_context option"):
        d.DataLoader(range(3), num_workers=1, multiprocessing_context=3)
    loader = d.DataLoader(range(3))
    with pytest.raises(ValueError, match="batch_size attribute should not be set after"):
        loader.batch_size = 2
    loader.num_workers = 0


def test_iterators_cannot_be_pickled():
    with pytest.raises(TypeError, match="cannot be pickled"):
        pickle.dumps(iter(d.DataLoader(range(3))))


# Workers


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_workers_give_the_same_batches(workers):
    for options in ({"batch_size": 3}, {"batch_size": 3, "shuffle": True}, {"batch_size": None}):
        plain = d.DataLoader(numbers(11), **options, generator=seeded(4))
        parallel = d.DataLoader(numbers(11), **options, generator=seeded(4), num_workers=workers)
        for _ in range(2):
            ours = [[c.tolist() for c in batch] for batch in parallel]
            assert ours == [[c.tolist() for c in batch] for batch in plain]
    assert no_children()


def test_tasks_go_round():
    batches = list(d.DataLoader(Squares(12), batch_size=2, num_workers=3))
    assert [b[1].tolist() for b in batches] == [[i % 3] * 2 for i in range(6)]


def test_worker_info_and_init():
    def init(worker_id):
        info = d.get_worker_info()
        assert info.id == worker_id and info.num_workers == 2 and "num_workers=2" in repr(info)
        info.dataset.offset = 100 * (worker_id + 1) + info.seed % 2 - (info.seed % 2)

    class Offset(Squares):
        def __getitem__(self, i):
            return i + self.offset

    assert d.get_worker_info() is None
    batches = list(d.DataLoader(Offset(4), num_workers=2, worker_init_fn=init))
    assert [b.item() for b in batches] == [100, 201, 102, 203]


class Random(Squares):
    def __getitem__(self, i):
        return rt.rand(1).item(), np.random.rand(), d.get_worker_info().seed % 2**32


def test_workers_are_seeded():
    def run():
        rt.manual_seed(9)
        loader = d.DataLoader(Random(4), num_workers=2)
        return [[c.item() for c in batch] for _ in range(2) for batch in loader]

    first = run()
    assert run() == first
    assert len({tuple(sample) for sample in first}) == 8
    assert first[1][2] == (first[0][2] + 1) % 2**32


class Threads(Squares):
    def __getitem__(self, i):
        return i * i, rt.get_num_threads()


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_start_methods(method):
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {method} on this system")
    loader = d.DataLoader(Threads(6), batch_size=2, num_workers=2, multiprocessing_context=method)
    # Workers share the machine: each computes with one thread.
    assert [[c.tolist() for c in b] for b in loader] == [[[0, 1], [1, 1]], [[4, 9], [1, 1]], [[16, 25], [1, 1]]]
    context = multiprocessing.get_context(method)
    assert d.DataLoader(Squares(6), num_workers=1, multiprocessing_context=context).multiprocessing_context is context


def test_unpicklable_dataset_for_spawn():
    class Local(Squares):
        pass

    loader = d.DataLoader(Local(), num_workers=1, multiprocessing_context="spawn")
    with pytest.raises((AttributeError, pickle.PicklingError)):
        iter(loader)
    assert no_children()


@pytest.mark.parametrize("shared", [True, False])
def test_iterable_with_workers(shared):
    loader = d.DataLoader(Stream(7, shared), batch_size=2, num_workers=2)
    batches = [b.tolist() for b in loader]
    if shared:
        assert batches == [[0, 2], [1, 3], [4, 6], [5]]
    else:
        assert batches == [[0, 1], [0, 1], [2, 3], [2, 3], [4, 5], [4, 5], [6], [6]]
    assert sorted(d.DataLoader(Stream(40), batch_size=None, num_workers=3)) == list(range(40))


def test_persistent_workers():
    class Pid(Squares):
        def __getitem__(self, i):
            return os.getpid()

    loader = d.DataLoader(Pid(8), num_workers=2, persistent_workers=True)
    epochs = [{b.item() for b in loader} for _ in range(3)]
    assert len(epochs[0]) == 2 and epochs[0] == epochs[1] == epochs[2]
    assert len(multiprocessing.active_children()) == 2
    del loader
    assert no_children()


def test_persistent_workers_after_an_epoch_broken_off():
    loader = d.DataLoader(numbers(20), batch_size=2, num_workers=2, persistent_workers=True, prefetch_factor=4)
    for _ in range(3):
        next(iter(loader))
    assert indices(loader) == list(range(20))
    stream = d.DataLoader(Stream(9), batch_size=2, num_workers=2, persistent_workers=True)
    next(iter(stream))
    for _ in range(2):
        assert sorted(i for b in stream for i in b.tolist()) == list(range(9))


def test_workers_end_with_the_loop():
    for batch in d.DataLoader(numbers(100), num_workers=2):
        assert batch[1].item() == 0
        break
    assert no_children()


def test_workers_end_with_a_cycle():
    iterator = iter(d.DataLoader(numbers(100), num_workers=2, persistent_workers=True))
    next(iterator)
    cycle = [iterator]
    cycle.append(cycle)
    start = time.monotonic()
    del iterator, cycle
    gc.collect()
    assert no_children() and time.monotonic() - start < 4


def test_in_any_order():
    class Slow(Squares):
        def __getitem__(self, i):
            time.sleep(0.3 if i == 0 else 0)
            return i

    options = {"batch_size": None, "num_workers": 2}
    loose = list(d.DataLoader(Slow(6), **options, in_order=False))
    assert sorted(loose) == list(range(6)) and loose[0] != 0
    assert list(d.DataLoader(Slow(6), **options)) == list(range(6))


ERRORS = [
    (ValueError, ("odd",), ValueError, "odd"),
    (KeyError, ("key",), KeyError, "'key'"),
    (OwnError, (3, "own"), RuntimeError, "own"),  # cannot be made from a message
    (StopIteration, ("enough",), RuntimeError, "enough"),
]


@pytest.mark.parametrize(("kind", "args", "expected", "text"), ERRORS, ids=[e[0].__name__ for e in ERRORS])
def test_errors_in_a_worker(kind, args, expected, text):
    loader = d.DataLoader(Bad(fail(kind, *args)), num_workers=2)
    got = []
    with pytest.raises(expected) as error:
        for batch in loader:
            got.append(batch.item())
    assert got == [0, 1, 2]
    message = str(error.value)
    del error  # its traceback holds the iterator
    assert message.startswith(f"Caught {kind.__name__} in DataLoader worker process 1.\nOriginal Traceback")
    assert text in message and "in how" in message
    assert no_children()


def test_error_does_not_end_the_iteration():
    iterator = iter(d.DataLoader(Bad(fail(ValueError, "odd")), num_workers=2))
    got = []
    while len(got) < 6:
        try:
            got.append(next(iterator).item())
        except ValueError:
            got.append("error")
    assert got == [0, 1, 2, "error", 4, 5]
    with pytest.raises(StopIteration):
        next(iterator)


def test_local_exception_types_and_batches_that_cannot_be_pickled():
    class Hidden(Exception):
        pass

    with pytest.raises(RuntimeError, match="Caught Hidden"):
        list(d.DataLoader(Bad(fail(Hidden)), num_workers=1))
    with pytest.raises((AttributeError, pickle.PicklingError), match="in DataLoader worker process 0"):
        list(d.DataLoader([lambda: 0], batch_size=None, num_workers=1))


def test_error_in_init():
    def init(worker_id):
        raise ValueError("no start")

    with pytest.raises(ValueError, match=r"(?s)Caught ValueError in DataLoader worker process 0.*no start"):
        list(d.DataLoader(Squares(), num_workers=2, worker_init_fn=init))


def test_dead_worker():
    start = time.monotonic()
    with pytest.raises(RuntimeError, match=r"worker exited unexpectedly: pid \d+ with exit code 7"):
        list(d.DataLoader(Bad(lambda: os._exit(7)), num_workers=2))
    assert time.monotonic() - start < 4
    assert no_children()


def test_timeout():
    loader = d.DataLoader(Bad(lambda: time.sleep(1)), num_workers=1, timeout=0.2)
    iterator = iter(loader)
    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0\.2 seconds"):
        for _ in iterator:
            pass
    with pytest.raises(RuntimeError, match="have been shut down"):
        next(iterator)
    assert no_children()


def test_stubborn_worker_is_killed(monkeypatch):
    monkeypatch.setattr("rustorch.utils.data.dataloader._JOIN_TIMEOUT", 0.2)
    iterator = iter(d.DataLoader(Bad(lambda: time.sleep(60)), num_workers=1, timeout=0.2))
    with pytest.raises(RuntimeError, match="timed out"):
        list(iterator)
    assert no_children()


def test_loader_inside_of_a_training_step():
    """Batches go through a model and back, from workers as well as from here."""
    for workers in (0, 2):
        rt.manual_seed(0)
        weight = rt.zeros(2, 1, requires_grad=True)
        x = rt.arange(40).reshape(20, 2) * 0.05
        y = x.matmul(rt.tensor([[1.0], [-2.0]]))
        opt = rt.optim.SGD([weight], lr=0.2)
        for _ in range(30):
            for inputs, targets in d.DataLoader(d.TensorDataset(x, y), 5, shuffle=True, num_workers=workers and 1):
                opt.zero_grad()
                ((inputs.matmul(weight) - targets) ** 2).mean().backward()
                opt.step()
            if workers:
                break
        assert ((x.matmul(weight) - y) ** 2).mean().item() < (0.5 if workers else 0.05)


# Every option against values that were written down once (orders and seeds are PyTorch's)

WEIGHTS = [1.0, 2.0, 3.0, 4.0]
ORDERS = {
    "random": (lambda g: d.RandomSampler(range(7), generator=g), [5, 3, 4, 6, 0, 2, 1]),
    "replacement": (
        lambda g: d.RandomSampler(range(7), replacement=True, num_samples=40, generator=g),
        [
            5,
            3,
            3,
            4,
            0,
            6,
            2,
            4,
            5,
            0,
            6,
            6,
            0,
            6,
            6,
            2,
            6,
            5,
            6,
            5,
            6,
            6,
            5,
            0,
            2,
            2,
            4,
            5,
            5,
            2,
            4,
            1,
            2,
            5,
            3,
            5,
            6,
            2,
            4,
            4,
        ],
    ),
    "num_samples": (lambda g: d.RandomSampler(range(4), num_samples=10, generator=g), [2, 3, 1, 0, 3, 2, 1, 0, 0, 3]),
    "subset": (lambda g: d.SubsetRandomSampler([10, 20, 30, 40, 50], generator=g), [20, 10, 40, 50, 30]),
    "weighted": (lambda g: d.WeightedRandomSampler(WEIGHTS, 6, generator=g), [0, 1, 3, 1, 3, 3]),
    "weighted, each once": (
        lambda g: d.WeightedRandomSampler(WEIGHTS, 3, replacement=False, generator=g),
        [0, 3, 1],
    ),
    "split": (
        lambda g: [i for p in d.random_split(range(7), [4, 3], generator=g) for i in p.indices],
        [5, 3, 4, 6, 0, 2, 1],
    ),
    "loader": (lambda g: [i for b in loader_of(range(6), g) for i in b.tolist()], [1, 3, 2, 0, 4, 5]),
}


def loader_of(values, generator):
    return d.DataLoader(list(values), batch_size=4, shuffle=True, generator=generator)


@pytest.mark.parametrize("name", ORDERS)
def test_orders_come_from_the_generator(name):
    make, expected = ORDERS[name]
    for _ in range(2):
        rt.manual_seed(11)
        before = rt.get_rng_state().tolist()
        assert list(make(seeded(3))) == expected
        # The default generator has nothing to do with it (a shuffled loader seeds its workers from its own, too).
        assert rt.get_rng_state().tolist() == before
    generator = seeded(3)
    assert list(make(generator)) != list(make(generator)) or name == "weighted, each once"


def test_orders_come_from_the_default_generator_otherwise():
    for make, expected in (
        (lambda: d.RandomSampler(range(6)), [1, 5, 0, 4, 3, 2]),
        (lambda: d.WeightedRandomSampler(WEIGHTS, 6), [3, 1, 2, 2, 1, 3]),
        (lambda: d.SubsetRandomSampler(range(6)), [5, 0, 1, 3, 4, 2]),
        (lambda: [i for p in d.random_split(range(7), [0.5, 0.5]) for i in p.indices], [1, 0, 4, 2, 6, 5, 3]),
        (lambda: [i for b in loader_of(range(6), None) for i in b.tolist()], [2, 3, 4, 5, 1, 0]),
    ):
        rt.manual_seed(5)
        assert list(make()) == expected


def test_a_sampler_goes_on_with_its_generator():
    sampler = d.RandomSampler(range(7), generator=seeded(3))
    assert [list(sampler), list(sampler)] == [[5, 3, 4, 6, 0, 2, 1], [0, 6, 3, 4, 2, 5, 1]]
    loader = loader_of(range(6), seeded(3))
    assert [[b.tolist() for b in loader] for _ in range(2)] == [[[1, 3, 2, 0], [4, 5]], [[0, 5, 1, 3], [4, 2]]]


def test_distributed_sampler_by_seed_and_epoch():
    for seed, epoch, expected in (
        (0, 0, [[4, 1, 2], [0, 3, 4]]),
        (0, 1, [[0, 2, 1], [4, 3, 0]]),
        (9, 0, [[0, 2, 3], [1, 4, 0]]),
        (9, 1, [[2, 1, 3], [0, 4, 2]]),
    ):
        for rank in range(2):
            sampler = d.DistributedSampler(range(5), 2, rank, seed=seed)
            sampler.set_epoch(epoch)
            assert list(sampler) == expected[rank]
            short = d.DistributedSampler(range(5), 2, rank, seed=seed, drop_last=True)
            short.set_epoch(epoch)
            assert list(short) == expected[rank][:2] and len(short) == 2


class Draws(Squares):
    def __getitem__(self, i):
        return rt.randint(1000, (1,)).item(), d.get_worker_info().seed


def test_workers_are_seeded_by_the_loaders_generator():
    batches = [[c.item() for c in b] for b in d.DataLoader(Draws(4), num_workers=2, generator=seeded(3))]
    seed = 937055941807507096
    assert batches == [[967, seed], [91, seed + 1], [628, seed], [933, seed + 1]]


def test_batch_sampler_passes_the_generator_on_and_keeps_the_rest():
    batches = list(d.BatchSampler(d.RandomSampler(range(7), generator=seeded(3)), 3, False))
    assert batches == [[5, 3, 4], [6, 0, 2], [1]]
    assert list(d.BatchSampler(d.RandomSampler(range(7), generator=seeded(3)), 3, True)) == batches[:2]
    assert indices(d.DataLoader(numbers(), batch_sampler=d.BatchSampler([9, 2, 2, 0], 3, True))) == [9, 2, 2]
    assert indices(d.DataLoader(numbers(), sampler=[9, 2, 2, 0], batch_size=3, drop_last=True)) == [9, 2, 2]


class Counter(Squares):
    """Counts in shared memory how many samples have been made."""

    def __init__(self, n, made):
        super().__init__(n)
        self.made = made

    def __getitem__(self, i):
        with self.made.get_lock():
            self.made.value += 1
        return i


@pytest.mark.parametrize(("workers", "ahead"), [(1, 1), (1, 4), (2, 1), (2, 3)])
def test_workers_load_ahead_as_many_batches_as_asked_for(workers, ahead):
    made = multiprocessing.Value("i", 0)
    iterator = iter(d.DataLoader(Counter(40, made), batch_size=2, num_workers=workers, prefetch_factor=ahead))
    for taken in (0, 1, 5):
        for _ in range(taken):
            next(iterator)
        expected = 2 * (workers * ahead + {0: 0, 1: 1, 5: 6}[taken])
        deadline = time.monotonic() + 20
        while made.value < expected and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)  # nothing more comes
        assert made.value == expected
    default = multiprocessing.Value("i", 0)
    iterator = iter(d.DataLoader(Counter(40, default), num_workers=1))
    deadline = time.monotonic() + 20
    while default.value < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    time.sleep(0.1)
    assert default.value == 2 and iterator


class Epochs(Squares):
    """A sample tells in which epoch it was made: the main process changes it between epochs."""

    def __init__(self, n, epoch, wait=0.0):
        super().__init__(n)
        self.epoch = epoch
        self.wait = wait

    def __getitem__(self, i):
        time.sleep(self.wait)
        return self.epoch.value * 100 + i


def test_persistent_workers_give_nothing_of_an_epoch_broken_off():
    """Batches that were loaded ahead, or were being loaded, when an epoch ended early are not seen in the next."""
    for wait in (0.0, 0.02):
        epoch = multiprocessing.Value("i", 1)
        loader = d.DataLoader(Epochs(12, epoch, wait), num_workers=2, persistent_workers=True, prefetch_factor=3)
        first = iter(loader)
        assert [next(first).item() for _ in range(2)] == [100, 101]
        time.sleep(0.0 if wait else 0.3)  # the batches that were asked for are there, or are not
        epoch.value = 2
        assert [b.item() for b in loader] == [200 + i for i in range(12)]
        epoch.value = 3
        assert [b.item() for b in loader] == [300 + i for i in range(12)]
        del loader, first
    assert no_children()


def test_workers_that_do_not_persist_are_new_in_each_epoch():
    class Pid(Squares):
        def __getitem__(self, i):
            return os.getpid()

    loader = d.DataLoader(Pid(4), num_workers=2)
    first, second = ({b.item() for b in loader} for _ in range(2))
    assert len(first) == len(second) == 2 and not first & second and os.getpid() not in first


def test_init_runs_once_in_each_worker_after_seeding():
    calls = multiprocessing.Array("q", 4)

    def init(worker_id):
        calls[worker_id] += 1
        calls[2 + worker_id] = rt.initial_seed() % 2**31

    loader = d.DataLoader(Draws(8), num_workers=2, worker_init_fn=init, persistent_workers=True, generator=seeded(3))
    for _ in range(3):
        list(loader)
    assert calls[:2] == [1, 1] and calls[2:] == [(937055941807507096 + i) % 2**31 for i in range(2)]


def test_what_pinning_leaves_as_it_is():
    batches = list(d.DataLoader(numbers(), batch_size=4, pin_memory=True, pin_memory_device="cuda"))
    assert indices(batches) == list(range(10)) and not batches[0][0].is_pinned()


def test_no_timeout_waits():
    loader = d.DataLoader(Bad(lambda: time.sleep(0.3)), num_workers=1, timeout=0)
    assert [b.item() for b in loader] == list(range(6))
    assert [
        b.item() for b in d.DataLoader(Squares(3), num_workers=1, timeout=60, collate_fn=lambda s: rt.tensor(s[0][0]))
    ] == [0, 1, 4]


def test_collate_gets_lists_and_its_result_is_the_batch():
    seen = []

    def collate(samples):
        seen.append(samples)
        return len(samples)

    assert list(d.DataLoader([5, 6, 7], batch_size=2, collate_fn=collate)) == [2, 1] and seen == [[5, 6], [7]]
    assert list(d.DataLoader([5, 6], batch_size=None, collate_fn=lambda s: -s)) == [-5, -6]


def test_collating_makes_new_memory():
    rows = [rt.zeros(2), rt.zeros(2)]
    batch = d.default_collate(rows)
    batch.add_(1)
    assert rows[0].tolist() == [0, 0]
    data = rt.zeros(4, 2)
    for batch in (next(iter(d.DataLoader(d.TensorDataset(data), 4)))[0], next(iter(d.DataLoader(data, 4)))):
        batch.add_(1)
        assert not data.any()


def test_lengths_of_loaders():
    for options, expected in (
        ({"batch_size": 3}, 4), ({"batch_size": 3, "drop_last": True}, 3), ({"batch_size": None}, 10),
        ({"sampler": [1, 2], "batch_size": 1}, 2), ({"batch_sampler": [[1], [2], [3]]}, 3), ({"batch_size": 20}, 1),
        ({"batch_size": 20, "drop_last": True}, 0),
    ):  # fmt: skip
        for workers in (0, 2):
            loader = d.DataLoader(numbers(), **options, num_workers=workers)
            assert len(loader) == expected
        assert len(list(d.DataLoader(numbers(), **options))) == expected


class Within(Squares):
    """What a worker knows and draws."""

    def __getitem__(self, i):
        info = d.get_worker_info()
        return {
            "drawn": (random.random(), np.random.rand(), rt.rand(1).item()),
            "seed": info.seed, "id": info.id, "num_workers": info.num_workers, "threads": rt.get_num_threads(),
            "own": info.dataset is self, "initial": rt.initial_seed(), "epoch": i,
        }  # fmt: skip


def test_what_each_worker_is_and_draws():
    """All three generators begin anew in each worker and epoch, by the base seed and the worker's number."""

    def run(seed, **options):
        loader = d.DataLoader(
            Within(6), batch_size=None, num_workers=3, generator=seeded(seed), collate_fn=lambda s: s, **options
        )
        return [list(loader) for _ in range(2)]

    threads = rt.get_num_threads()
    rt.set_num_threads(2)
    first, again, other, kept = run(1), run(1), run(2), run(1, persistent_workers=True)
    rt.set_num_threads(threads)
    assert first == again and first != other
    for epoch in (*first, *kept):
        assert [s["id"] for s in epoch] == [0, 1, 2] * 2 and {s["num_workers"] for s in epoch} == {3}
        assert [s["seed"] - epoch[0]["seed"] for s in epoch] == [0, 1, 2] * 2
        assert all(s["own"] and s["threads"] == 1 and s["initial"] == s["seed"] for s in epoch)
        for kind in range(3):
            assert len({s["drawn"][kind] for s in epoch}) == 6
        for s in epoch[:3] if epoch is not kept[1] else []:
            assert random.Random(s["seed"]).random() == s["drawn"][0]
            words = [s["id"], (s["seed"] - s["id"]) & 0xFFFFFFFF, (s["seed"] - s["id"]) >> 32, 0]
            state = np.random.RandomState(np.random.SeedSequence(words).generate_state(4))
            assert state.rand() == s["drawn"][1]
            assert rt.rand(1, generator=seeded(s["seed"])).item() == s["drawn"][2]
    assert first[0][0]["seed"] != first[1][0]["seed"] and kept[0][0]["seed"] == kept[1][0]["seed"]


def test_containers_keep_their_kind():
    class Bag(dict):
        pass

    class Row(list):
        pass

    batch = d.default_collate([Bag(a=1, b=[1.0, 2.0]), Bag(a=2, b=[3.0, 4.0])])
    assert type(batch) is Bag and batch["a"].tolist() == [1, 2] and [c.tolist() for c in batch["b"]] == [[1, 3], [2, 4]]
    rows = d.default_collate([Row([1, 2]), Row([3, 4])])
    assert type(rows) is Row and [c.tolist() for c in rows] == [[1, 3], [2, 4]]
    given = Bag(a=np.ones(1))
    made = d.default_convert(given)
    assert type(made) is Bag and isinstance(made["a"], rt.Tensor) and isinstance(given["a"], np.ndarray)
    assert type(d.default_convert(Row([np.ones(1)]))) is Row and type(d.default_collate([(1, 2)])) is list
    assert d.default_collate([1.5, 2.5]).dtype is rt.float64 and d.default_collate([b"x", b"y"]) == [b"x", b"y"]
    assert d.default_collate([np.int16(1), np.int16(2)]).dtype is rt.int16
    defaults = collections.defaultdict(list, a=1)
    assert d.default_collate([defaults, defaults]).default_factory is list


def test_how_many_indices_a_random_sampler_gives():
    for n, wanted in ((5, 1), (5, 4), (5, 5), (5, 6), (5, 10), (5, 13), (1, 3), (40, 33), (3, 64), (3, 65)):
        for replacement in (False, True):
            order = list(d.RandomSampler(range(n), replacement, wanted, seeded(1)))
            assert len(order) == wanted and set(order) <= set(range(n))
            if not replacement:  # whole rounds, in each of which every index comes once
                for start in range(0, wanted, n):
                    assert len(set(order[start : start + n])) == min(n, wanted - start)


class Anything:
    """Has a length, and takes any index."""

    def __init__(self, name, n):
        self.name, self.n = name, n

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        return self.name, i


def test_joined_datasets_of_any_length():
    sizes = {"a": 0, "b": 2, "c": 0, "d": 1, "e": 0}
    joined = d.ConcatDataset([Anything(name, n) for name, n in sizes.items()])
    want = [("b", 0), ("b", 1), ("d", 0)]
    assert [joined[i] for i in range(3)] == want and [joined[i] for i in range(-3, 0)] == want
    for wrong in (3, 4, -4, -9):
        with pytest.raises((IndexError, ValueError)):
            joined[wrong]
