"""Saving and loading tensors and state dicts as safetensors files. Nothing in a file is ever executed.

A file holds every tensor under a name of its own, row-major, so that any reader of safetensors finds it. Two texts in
its metadata say the rest: `rustorch` how the tensors were nested, in which order and with which other values;
`rustorch.memory` which of them look at the same memory, and how tensors that were not row-major lay in it.
"""

from __future__ import annotations

import os
import stat
import sys
from typing import Any

from . import _ops
from ._device import check as check_device
from ._door import NULL, check, error, ffi, lib, made, pending, text
from ._tensor import Tensor
from .errors import (
    DTypeError,
    InvalidArgumentError,
    OutOfMemoryError,
    RustorchError,
    SerializationError,
    UnsupportedError,
)

__all__ = ["load", "save"]

_KEY = "rustorch"
_MEMORY = "rustorch.memory"
# What the values of a file may take in memory besides its tensors, in bytes, roughly.
_ROOM = 40 << 20


# ---- what is saved ----


class _Contents:
    """Splits an object into named tensors and a skeleton of plain data that says where they belong."""

    def __init__(self) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.names: dict[int, str] = {}
        self.repeated = False

    def name(self, wanted: str) -> str:
        """The name under which a file can hold a tensor that is called `wanted`."""
        # JSON has no lone surrogates and C no NULs; the skeleton knows the key as it was.
        name = wanted.encode("utf-8", "replace").decode().replace("\0", "\ufffd")
        while name in self.tensors or name == "__metadata__":
            name += "_"
        return name

    def split(self, obj: Any, prefix: str, root: bool = False) -> Any:
        if isinstance(obj, Tensor):
            name = self.name("tensor" if root else prefix)
            self.tensors[name] = obj
            first = self.names.setdefault(id(obj), name)
            self.repeated |= first != name
            return {"t": first, "g": True} if obj.requires_grad else {"t": first}
        if obj is None or isinstance(obj, (bool, int, str)):
            return obj
        if isinstance(obj, float):
            return float(obj) if obj - obj == 0 else {"f": str(float(obj))}
        if getattr(obj, "ndim", None) == 0 and hasattr(obj, "item"):  # a NumPy number
            return self.split(obj.item(), prefix)
        dot = "" if root else f"{prefix}."
        if isinstance(obj, dict):
            return {"d": [[_key(k), self.split(v, f"{dot}{k}")] for k, v in obj.items()]}
        if isinstance(obj, (list, tuple)):
            kind = "l" if isinstance(obj, list) else "u"
            return {kind: [self.split(v, f"{dot}{i}") for i, v in enumerate(obj)]}
        raise DTypeError(
            f"save: cannot save a {type(obj).__name__} at '{prefix}'; tensors, numbers, strings, None, lists, tuples "
            "and dicts can be saved (for a module, save its state_dict())"
        )


def _key(k: Any) -> Any:
    if isinstance(k, (str, bool, int)) or k is None:
        return k
    raise DTypeError(f"save: keys of dicts must be str or int, got {type(k).__name__}")


def _core(t: Tensor) -> Tensor:
    """An expanded tensor before it was expanded: what there is of it in memory, and no more than once."""
    for d, (n, step) in enumerate(zip(t.shape, t.stride())):
        if step == 0 and n:
            t = t.narrow(d, 0, 1)
    return t


def _row_major(sizes: Any) -> tuple[int, ...]:
    """Strides of a tensor that lies in memory row by row."""
    steps: list[int] = []
    step = 1
    for n in reversed(sizes):
        steps.append(step)
        step *= n
    return tuple(reversed(steps))


def _span(sizes: Any, steps: Any) -> int:
    """Elements from the first to the last one, of which there is one at least."""
    beyond: int = sum((n - 1) * s for n, s in zip(sizes, steps))
    return 1 + beyond


def _apart(sizes: Any, steps: Any) -> bool:
    """True if each element has a place of its own."""
    reach = 0
    for step, n in sorted((s, n) for n, s in zip(sizes, steps) if n != 1):
        if step <= reach:
            return False
        reach += (n - 1) * step
    return True


def _roomy(span: int, elements: int) -> bool:
    """True if tensors of so many elements may lie in a block of `span`: a file cannot ask for gaps of any size."""
    return span <= 4 * elements + 1024


# An expanded tensor with more elements than these is written as what there is of it in memory.
_REPEATED = 1 << 20


def _memory(tensors: dict[str, Tensor]) -> tuple[dict[str, Tensor], list[Any]]:
    """What to write for each tensor, and how those that share memory or are not row-major lie in it.

    A group is a list of [name, offset, sizes, strides] of tensors whose ranges in memory overlap.
    """
    written = {name: t.detach() for name, t in tensors.items()}
    ranges = []
    for name, t in written.items():
        core = _core(t)
        if t.numel():
            begin = t.data_ptr()
            ranges.append((begin, begin + _span(core.shape, core.stride()) * t.itemsize, name, core))
    groups: list[Any] = []
    lost: list[str] = []
    repeated: list[str] = []
    ranges.sort(key=lambda r: r[0])
    at = 0
    while at < len(ranges):
        begin, end, name, first = ranges[at]
        stop = at + 1
        while stop < len(ranges) and ranges[stop][0] < end:
            end = max(end, ranges[stop][1])
            stop += 1
        members, at = ranges[at:stop], stop
        if len(members) == 1 and written[name].stride() == _row_major(written[name].shape):
            continue
        size = first.itemsize
        fits = all(
            c.dtype is first.dtype and (b - begin) % size == 0 and _apart(c.shape, c.stride()) for b, _, _, c in members
        )
        if not fits or not _roomy((end - begin) // size, sum(c.numel() for *_, c in members)):
            lost.extend(m[2] for m in members)
            continue
        group = []
        for b, _, name, c in members:
            t = written[name]
            group.append([name, (b - begin) // size, list(t.shape), list(t.stride())])
            if t.numel() > _REPEATED and t.numel() > c.numel():
                written[name] = c
                repeated.append(name)
        groups.append(group)
    for names, what in (
        (
            lost,
            "will come back row-major, with memory of their own: they overlap in a way, or lie in memory with gaps of "
            "a size, that a file does not keep",
        ),
        (repeated, "repeat so much that only what is repeated is written: only rustorch gives them back as they were"),
    ):
        if names:
            import warnings

            shown = f"{', '.join(repr(n) for n in sorted(names)[:5])}{' and others' if len(names) > 5 else ''}"
            warnings.warn(f"save: {shown} {what}", UserWarning, stacklevel=4)
    return written, groups


def _contents(obj: Any) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of the file that holds `obj`."""
    import json

    contents = _Contents()
    try:
        skeleton = contents.split(obj, "", root=True)
        tensors = contents.tensors
        # A dict of tensors under its own names needs no description: its order is that of the file.
        plain = isinstance(obj, dict) and list(obj) == list(tensors) and all(isinstance(k, str) for k in obj)
        plain = plain and not contents.repeated and not any(t.requires_grad for t in tensors.values())
        metadata = {} if plain else {_KEY: json.dumps(skeleton, separators=(",", ":"))}
    except RecursionError:
        raise InvalidArgumentError("save: the object is nested too deeply, or holds itself") from None
    except ValueError as e:
        if isinstance(e, RustorchError):
            raise
        raise InvalidArgumentError(f"save: {e}") from None
    if _cost(metadata.get(_KEY, "")) > _ROOM:
        raise InvalidArgumentError("save: too many values besides the tensors; make tensors of long lists of numbers")
    tensors, groups = _memory(tensors)
    if groups:
        metadata[_MEMORY] = json.dumps(groups, separators=(",", ":"))
    return tensors, metadata


def _cost(description: str) -> int:
    """Bytes, roughly, that the values of a description take at most."""
    return 64 * (description.count(",") + description.count("[")) + 200 * description.count("{")


# ---- where to ----


def _path(f: Any, op: str) -> bytes:
    try:
        raw = os.fsencode(f)
    except TypeError:
        raise DTypeError(f"{op}: wanted a path or a file object, got {type(f).__name__}") from None
    except UnicodeError as e:
        raise InvalidArgumentError(f"{op}: {e}") from None
    if b"\0" in raw:
        raise InvalidArgumentError(f"{op}: the path {f!r} has a NUL in it")
    return raw


def _special(path: bytes) -> bool:
    """True for devices and pipes. Python opens them itself, as that can be interrupted."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _failed(exc_type: Any, exc: BaseException, tb: Any) -> int:
    """An exception of the file object waits until the C call that ran it has returned, and is raised there."""
    import threading

    pending[threading.get_ident()] = exc.with_traceback(tb)
    return 11


@ffi.def_extern(error=11, onerror=_failed)  # type: ignore[untyped-decorator]
def py_on_write(ctx: Any, data: Any, n: int) -> int:
    f = ffi.from_handle(ctx)
    piece = ffi.buffer(data, n)[:]  # a copy: the file object may keep it
    while piece:
        done = f.write(piece)
        if done is None and not _is_raw(f):
            return 0  # a writer that does not count
        if not isinstance(done, int) or not 0 < done <= len(piece):
            raise SerializationError(f"save: the file object took {done!r} of {len(piece)} bytes")
        piece = piece[done:]
    return 0


def _is_raw(f: Any) -> bool:
    import io

    return isinstance(f, io.RawIOBase)


@ffi.def_extern(error=11, onerror=_failed)  # type: ignore[untyped-decorator]
def py_on_read(ctx: Any, data: Any, n: int) -> int:
    f = ffi.from_handle(ctx)
    at = 0
    while at < n:
        piece = f.read(min(n - at, 1 << 20))
        if not isinstance(piece, (bytes, bytearray)):
            raise InvalidArgumentError("load: the file object must be opened for reading bytes")
        piece = memoryview(piece)  # its length is true, whatever a subclass says
        if not 0 < len(piece) <= n - at:
            raise SerializationError("not a valid safetensors file: it ends too early")
        ffi.memmove(data + at, piece, len(piece))
        at += len(piece)
    return 0


def save(obj: Any, f: Any, **_: Any) -> None:
    """Saves tensors in (nested) dicts, lists and tuples, with numbers and strings, as one safetensors file.

    `f` is a path or a file object opened for writing bytes. A file at a path appears whole or not at all, even if
    several processes save to it at once or are killed; a link is followed, an existing file keeps its permissions and,
    where the system allows it, its owner; a device or pipe is written to.

    Order, `requires_grad`, the identity of repeated tensors, memory that tensors share, and strides are kept; a warning
    names tensors for which memory and strides are not (they overlap with themselves or with tensors of other dtypes, or
    there are wide gaps between their elements). A tensor that shares memory is in the file under each of its names.
    `Parameter`s and other subclasses come back as tensors. A file holds up to 65,536 tensors and 16 MiB of names,
    shapes and other values; more is refused.
    """
    tensors, metadata = _contents(obj)
    names = [ffi.new("char[]", n.encode()) for n in tensors]
    keys = [ffi.new("char[]", k.encode()) for k in metadata]
    values = [ffi.new("char[]", v.encode()) for v in metadata.values()]
    what = [names, [t._h for t in tensors.values()], len(names), keys or NULL, values or NULL, len(keys)]
    if hasattr(f, "write"):
        handle = ffi.new_handle(f)
        check(lib.rt_save_to(lib.py_on_write, handle, *what))
        return
    path = _path(f, "save")
    if _special(path):
        with open(f, "wb", buffering=0) as special:
            save(obj, special)
        return
    check(lib.rt_save(path, *what))


# ---- what is loaded ----


def _rebuild(s: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(s, dict):
        if isinstance(s, list):
            raise ValueError("a list without its kind")
        return s
    if "t" in s:
        t = tensors[s["t"]]
        return t.requires_grad_() if s.get("g") is True else t
    if "f" in s:
        number = s["f"]
        return float.fromhex(number) if "x" in number else float(number)
    if "d" in s:
        # Of small numbers no two have one hash; many large ones might all have.
        if sum(type(k) is int and abs(k) >= sys.hash_info.modulus for k, _ in s["d"]) > 1000:
            raise ValueError("too many large numbers as keys")
        return {k: _rebuild(v, tensors) for k, v in s["d"]}
    if "l" in s:
        return [_rebuild(v, tensors) for v in s["l"]]
    return tuple([_rebuild(v, tensors) for v in s["u"]])


def _arrange(groups: Any, tensors: dict[str, Tensor]) -> None:
    """Puts tensors into shared blocks of memory, as they lay when they were saved."""
    done: set[str] = set()
    for group in groups:
        span = elements = 0
        for name, offset, sizes, steps in group:
            t = tensors[name]
            whole = all(type(i) is int and 0 <= i < 1 << 62 for i in [offset, *sizes, *steps])
            if not whole or 0 in sizes or len(sizes) != len(steps) or name in done:
                raise ValueError("sizes, strides or offset of a tensor")
            core = [1 if s == 0 and n > 1 else n for n, s in zip(sizes, steps)]
            if list(t.shape) not in (core, sizes) or not _apart(core, steps):
                raise ValueError("sizes or strides of a tensor")
            for d, (n, s) in enumerate(zip(t.shape, steps)):
                if s == 0 and n > 1:  # written in full
                    t = t.narrow(d, 0, 1)
            tensors[name] = t
            done.add(name)
            span = max(span, offset + _span(core, steps))
            elements += t.numel()
        if not _roomy(span, elements):
            raise ValueError("a block of memory with gaps")
        block = _ops.zeros(span, dtype=tensors[group[0][0]].dtype)
        for name, offset, sizes, steps in group:
            t = tensors[name]
            if t.dtype is not block.dtype:
                raise ValueError("dtypes of tensors that share memory")
            _ops.as_strided(block, t.shape, steps, offset).copy_(t)
            tensors[name] = _ops.as_strided(block, sizes, steps, offset).detach()


def load(
    f: Any, map_location: Any = None, *, weights_only: bool | None = None, mmap: bool | None = None, **_: Any
) -> Any:
    """Loads what `save` has written, or any safetensors file (as a dict of tensors in the order of its header).

    `f` is a path or a file object opened for reading bytes, of which no more is read than the file. Missing files raise
    `FileNotFoundError`, damaged ones `SerializationError`.
    """
    import json

    if map_location is not None and not callable(map_location) and not isinstance(map_location, dict):
        if check_device(map_location).type != "cpu":
            raise UnsupportedError(f"load: map_location={str(map_location)!r} is not supported, only 'cpu'")
    if hasattr(f, "read"):
        handle = ffi.new_handle(f)
        out = ffi.new("rt_archive *[1]")
        check(lib.rt_load_from(lib.py_on_read, handle, out))
        archive = out[0]
    else:
        path = _path(f, "load")
        os.stat(f)  # raises FileNotFoundError and its like
        if _special(path):
            with open(f, "rb") as special:
                return load(special)
        archive = lib.py_load(path)
        if not archive:
            raise error()
    try:
        tensors = {
            text(lib.rt_archive_name(archive, i)): made(lib.py_archive_tensor(archive, i))
            for i in range(lib.rt_archive_len(archive))
        }
        described: dict[str, str] = {}
        for i in range(lib.rt_archive_metadata_len(archive)):
            key = text(lib.rt_archive_metadata_key(archive, i))
            if key in (_KEY, _MEMORY):
                described[key] = text(lib.rt_archive_metadata_value(archive, i))
    finally:
        lib.rt_archive_free(archive)
    try:
        for description in described.values():
            if not description.isascii() or _cost(description) > _ROOM:
                raise ValueError("more than a file holds")
        if _MEMORY in described:
            _arrange(json.loads(described[_MEMORY]), tensors)
        return _rebuild(json.loads(described[_KEY]), tensors) if _KEY in described else tensors
    except (OutOfMemoryError, MemoryError):
        raise
    except (ArithmeticError, AttributeError, LookupError, RecursionError, RustorchError, TypeError, ValueError) as e:
        raise SerializationError(f"load: the description of the contents is damaged ({str(e)[:200]})") from None


_safe_globals: list[Any] = []


def add_safe_globals(safe_globals: list[Any]) -> None:
    """Keeps what PyTorch's `load` may make from a pickle. Nothing needs it here: no pickle is ever executed."""
    _safe_globals.extend(v for v in safe_globals if v not in _safe_globals)


def get_safe_globals() -> list[Any]:
    """What `add_safe_globals` has been given."""
    return list(_safe_globals)


def clear_safe_globals() -> None:
    """Forgets what `add_safe_globals` has been given."""
    _safe_globals.clear()


class safe_globals:
    """Inside, these are kept too."""

    def __init__(self, safe_globals: list[Any]) -> None:
        self._given = list(safe_globals)

    def __enter__(self) -> None:
        self._before = get_safe_globals()
        add_safe_globals(self._given)

    def __exit__(self, *args: object) -> None:
        _safe_globals[:] = self._before
