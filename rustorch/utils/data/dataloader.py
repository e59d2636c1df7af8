"""DataLoader: batches of a dataset, from this process or from worker processes."""

from __future__ import annotations

import os
from itertools import cycle, repeat

import rustorch as rt

from ...errors import InvalidArgumentError
from .collate import default_collate, default_convert
from .dataset import IterableDataset
from .sampler import BatchSampler, RandomSampler, Sampler, SequentialSampler, draw_seed
from .worker import Ended, Fetcher, WorkerError, get_worker_info, worker_loop

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

__all__ = ["DataLoader", "default_collate", "default_convert", "get_worker_info"]

#: How long workers are given to end by themselves, in seconds.
_JOIN_TIMEOUT = 5.0


class _EndlessSampler(Sampler):
    """Sampler of an iterable dataset, which has no indices."""

    def __iter__(self) -> Iterator[None]:
        return repeat(None)


class DataLoader:
    """Iterates over the batches of a dataset.

    Args:
        dataset: a map-style dataset (anything with ``__getitem__`` and ``__len__``) or an :class:`IterableDataset`.
        batch_size: samples to a batch; None for single samples.
        shuffle: whether to read in random order, a new one in each epoch.
        sampler: the order, an iterable of indices.
        batch_sampler: the batches, an iterable of lists of indices.
        num_workers: number of worker processes; 0 to load in this process.
        collate_fn: makes a batch of a list of samples; :func:`default_collate` if None.
        pin_memory, pin_memory_device: accepted for PyTorch's sake, no effect on the CPU.
        drop_last: whether to leave out a last batch that is not full.
        timeout: seconds to wait for a batch of a worker, 0 for any time.
        worker_init_fn: called in each worker with its number, after seeding.
        multiprocessing_context: a start method (``"fork"``, ``"spawn"``, ``"forkserver"``) or a context of
            multiprocessing.
        generator: source of randomness for ``shuffle`` and the base seed of the workers.
        prefetch_factor: batches that each worker loads ahead (2 if None).
        persistent_workers: whether the workers live on from epoch to epoch.
        in_order: whether batches come in the order of the sampler even if a later one is ready first.

    For one seed the order of the samples is PyTorch's. Worker ``i`` is seeded with a base seed plus ``i``; the base
    seed is drawn anew in each epoch (but not for persistent workers).

    Raises:
        InvalidArgumentError: options that contradict each other.
        RuntimeError: while iterating, when a worker died or timed out. An exception in a worker is raised here, with
            the worker's traceback in its message.
    """

    _fixed = ("batch_size", "batch_sampler", "sampler", "drop_last", "dataset", "persistent_workers")
    _ready = False

    def __class_getitem__(cls, item: Any) -> type[DataLoader]:
        return cls

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[Any] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[[Any], Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], Any] | None = None,
        multiprocessing_context: Any = None,
        generator: rt.Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
        in_order: bool = True,
    ) -> None:
        def need(good: bool, message: str) -> None:
            if not good:
                raise InvalidArgumentError(f"DataLoader: {message}")

        need(num_workers >= 0, f"num_workers option should be non-negative, got {num_workers}")
        need(timeout >= 0, f"timeout option should be non-negative, got {timeout}")
        need(num_workers > 0 or timeout == 0, "timeout option needs num_workers > 0")
        need(num_workers > 0 or prefetch_factor is None, "prefetch_factor option needs num_workers > 0")
        need(
            prefetch_factor is None or prefetch_factor > 0, f"prefetch_factor should be positive, got {prefetch_factor}"
        )
        need(num_workers > 0 or not persistent_workers, "persistent_workers option needs num_workers > 0")
        need(num_workers > 0 or multiprocessing_context is None, "multiprocessing_context option needs num_workers > 0")
        self._iterable = isinstance(dataset, IterableDataset)
        if self._iterable:
            options = {"shuffle": shuffle or None, "sampler": sampler, "batch_sampler": batch_sampler}
            for name, value in options.items():
                need(value is None, f"with IterableDataset: expected unspecified {name} option, but got {name}={value}")
        need(sampler is None or not shuffle, "sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            need(
                batch_size == 1 and not shuffle and sampler is None and not drop_last,
                "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last",
            )
            batch_size = None
        else:
            need(
                batch_size is not None or not drop_last,
                "batch_size=None option disables auto-batching and is mutually exclusive with drop_last",
            )
        if sampler is None:
            if self._iterable:
                sampler = _EndlessSampler()
            elif shuffle:
                sampler = RandomSampler(dataset, generator=generator)
            else:
                sampler = SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate

        self.dataset = dataset
        self.batch_size = batch_size
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.pin_memory = pin_memory
        self.pin_memory_device = pin_memory_device
        self.drop_last = drop_last
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = _context(multiprocessing_context)
        self.generator = generator
        self.prefetch_factor: Any = 2 if num_workers > 0 and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.in_order = in_order
        self._iterator: _WorkerIterator | None = None
        self._reported_length: int | None = None
        self._ready = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._ready and name in self._fixed:
            raise InvalidArgumentError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def _index_sampler(self) -> Any:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> _Iterator:
        if self.num_workers == 0:
            return _LocalIterator(self)
        if not self.persistent_workers:
            return _WorkerIterator(self)
        if self._iterator is None:
            self._iterator = _WorkerIterator(self)
        else:
            self._iterator.restart(self)
        return self._iterator

    def __len__(self) -> int:
        """Number of batches; of an iterable dataset what its own length suggests."""
        if not self._iterable:
            return len(self._index_sampler)
        n = self._reported_length = len(self.dataset)
        if self.batch_size is None:
            return n
        return n // self.batch_size if self.drop_last else (n + self.batch_size - 1) // self.batch_size


def _context(given: Any) -> Any:
    """The multiprocessing context for a start method's name; None for the default one."""
    if given is None:
        return None
    import multiprocessing
    from multiprocessing.context import BaseContext

    if isinstance(given, str):
        methods = multiprocessing.get_all_start_methods()
        if given not in methods:
            raise InvalidArgumentError(
                f"multiprocessing_context option should specify a valid start method in {methods}, "
                f"but got multiprocessing_context={given!r}"
            )
        return multiprocessing.get_context(given)
    if not isinstance(given, BaseContext):
        raise TypeError(
            "multiprocessing_context option should be a valid context object or a string specifying the start method, "
            f"but got multiprocessing_context={given!r}"
        )
    return given


class _Iterator:
    """One pass over a loader. It does not keep the loader, which may keep it."""

    def __init__(self, loader: DataLoader) -> None:
        self._fetcher_args = (loader.dataset, loader.batch_sampler is not None, loader.collate_fn, loader.drop_last)
        self._begin(loader)
        # Drawn after the sampler was asked for its iterator, whether or not there are workers: as PyTorch does.
        self._base_seed = draw_seed(loader.generator)

    def _begin(self, loader: DataLoader) -> None:
        self._sampler = loader._index_sampler
        self._indices = iter(self._sampler)
        self._reported_length = loader._reported_length
        self._given = 0

    def __iter__(self) -> _Iterator:
        return self

    def __len__(self) -> int:
        return len(self._sampler)

    def __next__(self) -> Any:
        data = self._next()
        self._given += 1
        if self._reported_length is not None and self._given > self._reported_length:
            import warnings

            warnings.warn(
                f"DataLoader: the IterableDataset reported a length of {self._reported_length}, "
                f"but {self._given} batches have been fetched; with several workers each must give a part of its own",
                stacklevel=2,
            )
        return data

    def _next(self) -> Any:
        raise NotImplementedError

    def __getstate__(self) -> Any:
        raise TypeError(f"{type(self).__name__} cannot be pickled")


class _LocalIterator(_Iterator):
    """Loads in this process."""

    def __init__(self, loader: DataLoader) -> None:
        super().__init__(loader)
        self._fetch = Fetcher(*self._fetcher_args)

    def _next(self) -> Any:
        return self._fetch(next(self._indices))


class _Pool:
    """The worker processes of an iterator: each takes tasks from a queue of its own, all answer over one queue."""

    def __init__(self, context: Any, size: int, *args: Any) -> None:
        self._process = os.getpid()
        self._results = context.Queue()
        self._stop = context.Event()
        self.tasks = [context.Queue() for _ in range(size)]
        self._workers: list[Any] = []
        try:
            for i, tasks in enumerate(self.tasks):
                tasks.cancel_join_thread()
                worker = context.Process(
                    target=worker_loop, args=(tasks, self._results, self._stop, i, size, *args), daemon=True
                )
                worker.start()
                self._workers.append(worker)
        except BaseException:
            self.shut_down()
            raise

    def receive(self, timeout: float | None) -> Any:
        """The next answer of a worker. Raises RuntimeError when none comes in time, or a worker has died."""
        import pickle
        from multiprocessing.connection import wait

        if not self._workers:
            raise RuntimeError("DataLoader: the workers of this iterator have been shut down")
        answers = self._results._reader
        ready = wait([answers, *(worker.sentinel for worker in self._workers)], timeout)
        if answers in ready:
            return pickle.loads(self._results.get())
        for worker in self._workers:
            if worker.sentinel in ready:
                worker.join()  # it has ended; this fetches its exit code
        dead = [f"pid {w.pid} with exit code {w.exitcode}" for w in self._workers if w.exitcode is not None]
        self.shut_down()
        if ready:
            raise RuntimeError(f"DataLoader worker exited unexpectedly: {', '.join(dead)}")
        raise RuntimeError(f"DataLoader timed out after {timeout} seconds")

    def shut_down(self) -> None:
        """Ends the workers; those that do not end by themselves within some seconds are killed."""
        workers, self._workers = self._workers, []
        if not workers or os.getpid() != self._process:
            return  # a copy in a forked process owns no workers
        self._stop.set()
        for tasks in self.tasks:
            tasks.put(None)
        for worker in workers:
            worker.join(_JOIN_TIMEOUT)
            if worker.exitcode is None:
                worker.terminate()
                worker.join(_JOIN_TIMEOUT)
        for queue in (*self.tasks, self._results):
            queue.close()


class _WorkerIterator(_Iterator):
    """Loads in worker processes.

    Tasks are numbered and go to the workers in turn; each is answered exactly once. Answers that come too early wait in
    ``_arrived``. Numbers begin anew in each epoch, and answers to an earlier epoch's tasks are dropped.
    """

    def __init__(self, loader: DataLoader) -> None:
        import multiprocessing
        import weakref

        super().__init__(loader)
        self._timeout = loader.timeout or None
        self._in_order = loader.in_order
        self._size = loader.num_workers
        self._ahead = loader.prefetch_factor * self._size
        context = loader.multiprocessing_context or multiprocessing.get_context()
        self._pool = _Pool(context, self._size, self._base_seed, loader.worker_init_fn, self._fetcher_args)
        # Not __del__: the collector of cycles would finalize the queues before it.
        self._finalizer = weakref.finalize(self, self._pool.shut_down)
        self._persistent = loader.persistent_workers
        self._epoch = -1
        self.restart(loader)

    def restart(self, loader: DataLoader) -> None:
        """Begins the next epoch with the same workers."""
        self._begin(loader)
        self._epoch += 1
        self._sent = self._taken = 0
        self._owner: dict[int, int] = {}  # worker of each task whose answer has not been taken
        self._arrived: dict[int, Any] = {}
        self._active = [True] * self._size
        self._turn = cycle(range(self._size))
        for _ in range(self._ahead):
            self._send()

    def _send(self) -> None:
        """Gives the next index to the next worker that has not ended."""
        if not any(self._active):
            return
        try:
            index = next(self._indices)
        except StopIteration:
            return
        worker = next(i for i in self._turn if self._active[i])
        self._pool.tasks[worker].put((self._epoch, self._sent, index))
        self._owner[self._sent] = worker
        self._sent += 1

    def _next(self) -> Any:
        while self._owner:
            number = self._taken if self._in_order else next(iter(self._arrived), -1)
            if number not in self._arrived:
                epoch, answered, data = self._pool.receive(self._timeout)
                if epoch == self._epoch:
                    self._arrived[answered] = data
                continue
            data, worker = self._arrived.pop(number), self._owner.pop(number)
            self._taken += 1
            if isinstance(data, Ended):
                self._active[worker] = False
            self._send()
            if isinstance(data, WorkerError):
                data.raise_again()
            if not isinstance(data, Ended):
                return data
        if not self._persistent:
            self._finalizer()
        raise StopIteration
