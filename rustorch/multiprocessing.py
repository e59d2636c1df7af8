"""Python's `multiprocessing`, with PyTorch's `spawn`. Tensors are copied between processes; memory is not shared."""

from __future__ import annotations

from multiprocessing import *  # noqa: F403
from multiprocessing import get_context
from typing import Any

from .errors import RustorchError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def spawn(
    fn: Callable[..., Any],
    args: tuple[Any, ...] = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
) -> list[Any] | None:
    """Runs `fn(i, *args)` in `nprocs` processes, i from 0. Waits for them if `join`, else gives them.

    Raises:
        RustorchError: one of them failed.
    """
    context: Any = get_context(start_method)
    processes = [context.Process(target=fn, args=(i, *args), daemon=daemon) for i in range(nprocs)]
    for process in processes:
        process.start()
    if not join:
        return processes
    for process in processes:
        process.join()
    for i, process in enumerate(processes):
        if process.exitcode:
            raise RustorchError(f"spawn: process {i} terminated with exit code {process.exitcode}")
    return None
