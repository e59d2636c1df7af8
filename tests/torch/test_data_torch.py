"""utils.data against torch.utils.data: orders for one seed, batches, collating, worker seeds."""

import collections
import random

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import rustorch as rt  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore")
LIBS = (rt, torch)
Point = collections.namedtuple("Point", "x y")


def plain(x):
    """Lists and numbers, with dtypes and container types kept visible."""
    if isinstance(x, (rt.Tensor, torch.Tensor)):
        return (str(x.dtype).split(".")[1], tuple(x.shape), x.tolist())
    if isinstance(x, collections.abc.Mapping):
        return (type(x).__name__, {k: plain(v) for k, v in x.items()})
    if isinstance(x, (list, tuple)):
        return (type(x).__name__, [plain(v) for v in x])
    return x


def compare(play):
    ours, theirs = [plain(play(lib)) for lib in LIBS]
    assert ours == theirs


def generator(lib, seed):
    g = lib.Generator()
    g.manual_seed(seed)
    return g


def data(lib, n=23):
    return lib.utils.data.TensorDataset(lib.arange(n * 3).reshape(n, 3) * 0.5, lib.arange(n))


LOADERS = [
    {},
    {"batch_size": 4},
    {"batch_size": 4, "shuffle": True},
    {"batch_size": 5, "shuffle": True, "drop_last": True},
    {"batch_size": None, "shuffle": True},
    {"batch_size": 23, "shuffle": True},
    {"batch_size": 100},
    {"batch_sampler": [[1, 2], [3], [4, 5, 6]]},
    {"batch_size": 3, "sampler": [5, 2, 8, 1, 0, 7, 7]},
]
WORKERS = [{}, {"num_workers": 1}, {"num_workers": 2, "prefetch_factor": 3}]
WORKERS += [{"num_workers": 2, "persistent_workers": True}]


@pytest.mark.parametrize("workers", WORKERS, ids=str)
@pytest.mark.parametrize("own_generator", [False, True])
@pytest.mark.parametrize("options", LOADERS, ids=str)
def test_loader_orders(options, own_generator, workers):
    def play(lib):
        lib.manual_seed(7)
        extra = {"generator": generator(lib, 5)} if own_generator else {}
        loader = lib.utils.data.DataLoader(data(lib), **options, **extra, **workers)
        epochs = []
        for _ in range(3):
            epochs.append(list(loader))
            epochs.append(lib.rand(2).tolist())  # as much of the stream was used
            if own_generator:
                epochs.append(lib.rand(2, generator=extra["generator"]).tolist())
        return [len(loader), *epochs]

    compare(play)


@pytest.mark.parametrize("n", [1, 7, 32, 65])
def test_samplers(n):
    def play(lib):
        u = lib.utils.data
        lib.manual_seed(n)
        g = generator(lib, 3)
        samplers = [
            u.SequentialSampler(range(n)),
            u.RandomSampler(range(n)),
            u.RandomSampler(range(n), generator=g),
            u.RandomSampler(range(n), num_samples=2 * n + 1, generator=g),
            u.RandomSampler(range(n), num_samples=n * 2, generator=g),
            u.RandomSampler(range(n), replacement=True),
            u.RandomSampler(range(n), replacement=True, num_samples=70, generator=g),
            u.SubsetRandomSampler(range(100, 100 + n)),
            u.SubsetRandomSampler(range(100, 100 + n), generator=g),
            u.BatchSampler(u.RandomSampler(range(n), generator=g), 3, False),
            u.BatchSampler(u.RandomSampler(range(n), generator=g), 3, True),
        ]
        return [[len(s), list(s), list(s)] for s in samplers] + [
            lib.rand(1).tolist(),
            lib.rand(1, generator=g).tolist(),
        ]

    compare(play)


@pytest.mark.parametrize("replacement", [False, True])
def test_weighted_sampler(replacement):
    def play(lib):
        lib.manual_seed(3)
        weights = [0.1, 2.0, 0.0, 3.0, 0.7, 1.1]
        sampler = lib.utils.data.WeightedRandomSampler(weights, 5, replacement)
        return [list(sampler), list(sampler), len(sampler)]

    compare(play)


@pytest.mark.parametrize("n", [1, 5, 16, 17])
@pytest.mark.parametrize("drop_last", [False, True])
@pytest.mark.parametrize("shuffle", [False, True])
def test_distributed_sampler(n, drop_last, shuffle):
    def play(lib):
        seen = []
        for replicas in (1, 2, 3, 8):
            if drop_last and replicas > n:
                continue
            for rank in range(replicas):
                kwargs = {"num_replicas": replicas, "rank": rank, "shuffle": shuffle, "drop_last": drop_last}
                sampler = lib.utils.data.DistributedSampler(range(n), **kwargs, seed=4)
                sampler.set_epoch(2)
                seen.append([len(sampler), list(sampler)])
        return seen

    compare(play)


@pytest.mark.parametrize("lengths", [[20, 3], [0.5, 0.5], [0.3, 0.3, 0.4], [1.0], [23], [0.9, 0.1]], ids=str)
def test_random_split(lengths):
    def play(lib):
        lib.manual_seed(1)
        u = lib.utils.data
        parts = u.random_split(range(23), lengths)
        again = u.random_split(data(lib), lengths, generator=generator(lib, 9))
        loader = u.DataLoader(again[0], batch_size=4, shuffle=True)
        return [list(parts[0]), [p.indices for p in parts], [p.indices for p in again], list(loader)]

    compare(play)


def batches(lib):
    t = lib.tensor
    return [
        [t([1.0, 2.0]), t([3.0, 4.0])],
        [1, 2, 3],
        [1.5, 2.5],
        [True, False],
        ["a", "b"],
        [b"a", b"b"],
        [(1, 2.0), (3, 4.0)],
        [[1, t(2)], [3, t(4)]],
        [{"a": 1, "b": [1, 2]}, {"a": 3, "b": [4, 5]}],
        [collections.OrderedDict(z=1, a=2), collections.OrderedDict(z=3, a=4)],
        [Point(1, 2.0), Point(3, 4.0)],
        [(t([1]), {"k": ("x", 1.0)}), (t([2]), {"k": ("y", 2.0)})],
        [np.ones((2, 2), dtype=np.float32), np.zeros((2, 2), dtype=np.float32)],
        [np.float64(1.5), np.float64(2.5)],
        [np.float32(1.5), np.float32(2.5)],
        [np.int16(3), np.int16(4)],
        [np.bool_(True), np.bool_(False)],
        [np.array(3), np.array(4)],
    ]


def test_default_collate():
    for i in range(len(batches(rt))):
        compare(lambda lib, i=i: lib.utils.data.default_collate(batches(lib)[i]))


def test_default_collate_errors():
    bad = [[None, None], [object()], [np.array(["a"])], [[1, 2], [1]], [{1, 2}]]
    for batch in bad:
        kinds = []
        for lib in LIBS:
            with pytest.raises((TypeError, RuntimeError)) as error:
                lib.utils.data.default_collate(batch)
            kinds.append(error.type)
        assert kinds[0] is kinds[1]


def test_default_convert():
    values = [
        np.ones(2),
        np.float32(2),
        [np.ones(1), "a"],
        {"a": np.ones(1)},
        (np.ones(1), 3),
        Point(np.ones(1), 2),
        "s",
        4,
    ]
    values += [np.array(["a"])]
    for value in values[:-1]:
        compare(lambda lib, value=value: lib.utils.data.default_convert(value))
    assert rt.utils.data.default_convert(values[-1]) is values[-1]


class Noise:
    """Samples that show how a worker is seeded."""

    def __init__(self, lib):
        self.lib = lib

    def __len__(self):
        return 8

    def __getitem__(self, i):
        info = self.lib.utils.data.get_worker_info()
        own = [info.id, info.num_workers, info.seed % 1000] if info else [-1, -1, -1]
        return [self.lib.rand(1).item(), random.random(), np.random.rand(), *own]


@pytest.mark.parametrize("workers", [1, 2])
def test_worker_seeds(workers):
    def play(lib):
        lib.manual_seed(11)
        return list(lib.utils.data.DataLoader(Noise(lib), batch_size=2, num_workers=workers))

    compare(play)


def make_stream(lib):
    class Stream(lib.utils.data.IterableDataset):
        def __init__(self, n):
            self.n = n

        def __iter__(self):
            info = lib.utils.data.get_worker_info()
            start, step = (info.id, info.num_workers) if info else (0, 1)
            return iter(range(start, self.n, step))

        def __len__(self):
            return self.n

    return Stream


@pytest.mark.parametrize("workers", WORKERS, ids=str)
@pytest.mark.parametrize(
    "options", [{"batch_size": 4}, {"batch_size": None}, {"batch_size": 4, "drop_last": True}], ids=str
)
def test_iterable(options, workers):
    def play(lib):
        stream = make_stream(lib)(21)
        loader = lib.utils.data.DataLoader(stream, **options, **workers)
        chain = lib.utils.data.DataLoader(stream + make_stream(lib)(5), **options, **workers)
        return [len(loader), list(loader), list(loader), list(chain)]

    compare(play)


def test_datasets():
    def play(lib):
        u = lib.utils.data
        a, b = data(lib), data(lib, 4)
        both = a + b
        stack, named = u.StackDataset(a, a), u.StackDataset(one=a, two=range(23))
        part = u.Subset(both, [0, 25, 3])
        seen = [len(both), both[-1], both[22], both[23], len(stack), stack[2], named[3]]
        seen += [named.__getitems__([1, 2]), len(part), part[1], part.__getitems__([2, 0])]
        return seen + list(u.DataLoader(stack, 5)) + list(u.DataLoader(named, 6)) + list(u.DataLoader(part, 2))

    compare(play)


OPTION_ERRORS = [
    {"num_workers": -1},
    {"timeout": -1},
    {"prefetch_factor": 2},
    {"persistent_workers": True},
    {"sampler": [1], "shuffle": True},
    {"batch_sampler": [[1]], "batch_size": 2},
    {"batch_size": None, "drop_last": True},
    {"batch_size": 0},
    {"batch_size": 2.5},
    {"multiprocessing_context": "fork"},
    {"multiprocessing_context": "teleport", "num_workers": 1},
]


@pytest.mark.parametrize("options", OPTION_ERRORS, ids=str)
def test_option_errors(options):
    for lib in LIBS:
        with pytest.raises(ValueError):
            lib.utils.data.DataLoader(range(4), **options)
