"""What runs in a worker process of a :class:`DataLoader`, and what fetches batches in either kind of process."""

from __future__ import annotations

import rustorch as rt

from .collate import default_collate
from .dataset import IterableDataset, Subset, TensorDataset, _batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

#: How often an idle worker looks whether its parent is still there, in seconds.
_CHECK_INTERVAL = 5.0


class WorkerInfo:
    """What :func:`get_worker_info` tells a worker about itself.

    Attributes: ``id`` (from 0), ``num_workers``, ``seed`` (the loader's base seed plus ``id``), ``dataset`` (this
    process's copy).
    """

    __slots__ = ("dataset", "id", "num_workers", "seed")

    def __init__(self, id: int, num_workers: int, seed: int, dataset: Any) -> None:
        self.id = id
        self.num_workers = num_workers
        self.seed = seed
        self.dataset = dataset

    def __repr__(self) -> str:
        return f"WorkerInfo(id={self.id}, num_workers={self.num_workers}, seed={self.seed}, dataset={self.dataset})"


_worker_info: WorkerInfo | None = None


def get_worker_info() -> WorkerInfo | None:
    """In a worker process what it should know about itself; None in the main process."""
    return _worker_info


def _columns(dataset: Any) -> tuple[tuple[rt.Tensor, ...], list[Any]] | None:
    """The tensors of a plain TensorDataset, and the index lists of the subsets around it; None for anything else."""
    maps = []
    while type(dataset) is Subset:
        maps.append(dataset.indices)
        dataset = dataset.dataset
    return (dataset.tensors, maps) if type(dataset) is TensorDataset else None


class Fetcher:
    """Gives the batch for a list of indices, or the sample for an index if ``collate_fn`` takes single samples."""

    def __init__(self, dataset: Any, batched: bool, collate_fn: Callable[[Any], Any], drop_last: bool) -> None:
        self.dataset = dataset
        self.batched = batched
        self.collate_fn = collate_fn
        self.drop_last = drop_last
        self.samples = iter(dataset) if isinstance(dataset, IterableDataset) else None
        # Rows of tensors are gathered by one indexing op for each tensor, with the result of collating them.
        self.columns = _columns(dataset) if batched and collate_fn is default_collate else None

    def __call__(self, index: Any) -> Any:
        """Raises StopIteration when an iterable dataset has ended."""
        if self.samples is not None:
            return self._next(index)
        if not self.batched:
            return self.collate_fn(self.dataset[index])
        if self.columns is not None and type(index) is list and index:
            (tensors, maps), rows = self.columns, index
            for indices in maps:
                rows = [indices[i] for i in rows]
            if all(type(i) is int for i in rows):
                where = rt.tensor(rows)
                return [t[where] for t in tensors]
        return self.collate_fn(_batch(self.dataset, index))

    def _next(self, index: Any) -> Any:
        assert self.samples is not None
        if not self.batched:
            return self.collate_fn(next(self.samples))
        batch = []
        for _ in index:
            try:
                batch.append(next(self.samples))
            except StopIteration:
                self.samples = iter(())  # not asked again
                break
        if not batch or (self.drop_last and len(batch) < len(index)):
            raise StopIteration
        return self.collate_fn(batch)


class Ended:
    """Reply of a worker whose iterable dataset has no more samples."""


class _Message(str):
    """A message that ``KeyError``, which shows the repr of its argument, prints with its line breaks."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


class WorkerError:
    """An exception on its way from a worker to the main process."""

    def __init__(self, error: BaseException, worker_id: int) -> None:
        import pickle
        import traceback

        self.kind: type[BaseException] = type(error)
        self.message = (
            f"Caught {self.kind.__name__} in DataLoader worker process {worker_id}.\n"
            f"Original {''.join(traceback.format_exception(type(error), error, error.__traceback__))}"
        )
        try:
            pickle.dumps(self.kind)
        except Exception:
            self.kind = RuntimeError
        if issubclass(self.kind, StopIteration):  # it would end the loop over the loader
            self.kind = RuntimeError

    def raise_again(self) -> None:
        """Raises an exception of the same type, or a RuntimeError if that type takes more than a message."""
        try:
            error = self.kind(_Message(self.message))
        except Exception:
            error = RuntimeError(self.message)
        raise error


def _seed_everything(base_seed: int, worker_id: int) -> None:
    import random

    random.seed(base_seed + worker_id)
    rt.manual_seed(base_seed + worker_id)
    try:
        import numpy
    except ImportError:
        return
    words = [worker_id, base_seed & 0xFFFFFFFF, base_seed >> 32, 0]
    numpy.random.seed(numpy.random.SeedSequence(words).generate_state(4))


def worker_loop(
    tasks: Any,
    results: Any,
    stop: Any,
    worker_id: int,
    num_workers: int,
    base_seed: int,
    init_fn: Callable[[int], Any] | None,
    fetcher_args: tuple[Any, ...],
) -> None:
    """Answers each task ``(epoch, number, index)`` with a pickled ``(epoch, number, batch)`` until the task None.

    A new epoch begins with a new :class:`Fetcher`. In place of a batch there may be a :class:`WorkerError` or
    :class:`Ended`.
    """
    import os
    import pickle
    import queue

    global _worker_info
    dataset = fetcher_args[0]
    results.cancel_join_thread()  # at the end nobody reads what is still in the queue
    parent = os.getppid()
    try:
        rt.set_num_threads(1)
        _seed_everything(base_seed, worker_id)
        _worker_info = WorkerInfo(worker_id, num_workers, base_seed + worker_id, dataset)
        failure = None
        try:
            if init_fn is not None:
                init_fn(worker_id)
        except Exception as error:
            failure = WorkerError(error, worker_id)
        current, fetch = None, None
        while True:
            try:
                task = tasks.get(timeout=_CHECK_INTERVAL)
            except queue.Empty:
                if os.getppid() != parent:
                    return  # an orphan
                continue
            if task is None:
                return
            if stop.is_set():
                continue
            epoch, number, index = task
            data: Any
            try:
                if failure is not None:
                    data = failure
                else:
                    if epoch != current or fetch is None:
                        current, fetch = epoch, Fetcher(*fetcher_args)
                    data = fetch(index)
                message = pickle.dumps((epoch, number, data), protocol=pickle.HIGHEST_PROTOCOL)
            except Exception as error:
                ended = isinstance(error, StopIteration) and isinstance(dataset, IterableDataset)
                data = Ended() if ended else WorkerError(error, worker_id)
                message = pickle.dumps((epoch, number, data))
            results.put(message)
    except KeyboardInterrupt:
        pass  # the main process gets it, too
