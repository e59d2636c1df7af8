"""Saving and loading tensors and state dicts as safetensors files. Nothing in a file is ever executed."""

from __future__ import annotations

import os
from typing import Any

from ._door import NULL, check, error, ffi, lib, text, wrap
from ._tensor import Tensor
from .errors import DTypeError, InvalidArgumentError, SerializationError

__all__ = ["load", "save"]

_KEY = "rustorch"


def _flatten(obj: Any, prefix: str, out: dict[str, Tensor], plain: dict[str, Any]) -> Any:
    """Splits an object into named tensors and a skeleton of plain data that says where they belong."""
    if isinstance(obj, Tensor):
        name = prefix or "tensor"
        while name in out:
            name += "_"
        out[name] = obj
        return {"t": name, "g": True} if obj.requires_grad and obj.is_leaf else {"t": name}
    if obj is None or isinstance(obj, (bool, int, str)):
        return obj
    if isinstance(obj, float):
        return {"f": obj.hex()} if obj == obj and abs(obj) != float("inf") else {"f": str(obj)}
    if getattr(obj, "ndim", None) == 0 and hasattr(obj, "item"):  # a NumPy number
        return _flatten(obj.item(), prefix, out, plain)
    if isinstance(obj, dict):
        return {
            "d": [[_key(k), _flatten(v, f"{prefix}.{k}" if prefix else str(k), out, plain)] for k, v in obj.items()]
        }
    if isinstance(obj, (list, tuple)):
        kind = "l" if isinstance(obj, list) else "u"
        return {kind: [_flatten(v, f"{prefix}.{i}" if prefix else str(i), out, plain) for i, v in enumerate(obj)]}
    raise DTypeError(
        f"save: cannot save a {type(obj).__name__} at '{prefix}'; tensors, numbers, strings, None, lists, tuples and "
        "dicts can be saved (for a module, save its state_dict())"
    )


def _key(k: Any) -> Any:
    if isinstance(k, (str, bool, int)) or k is None:
        return k
    raise DTypeError(f"save: keys of dicts must be str or int, got {type(k).__name__}")


def _rebuild(s: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(s, dict):
        if "t" in s:
            t = tensors[s["t"]]
            return t.requires_grad_() if s.get("g") else t
        if "f" in s:
            return float.fromhex(s["f"]) if s["f"].lstrip("-").startswith("0x") else float(s["f"])
        if "d" in s:
            return {k: _rebuild(v, tensors) for k, v in s["d"]}
        if "l" in s:
            return [_rebuild(v, tensors) for v in s["l"]]
        return tuple(_rebuild(v, tensors) for v in s["u"])
    return s


def save(obj: Any, f: Any, **_: Any) -> None:
    """Saves tensors in (nested) dicts, lists and tuples, with numbers and strings, as one safetensors file.

    `f` is a path or a file object opened for writing bytes. A file at a path appears whole or not at all.
    """
    import json

    tensors: dict[str, Tensor] = {}
    skeleton = _flatten(obj, "", tensors, {})
    is_flat = isinstance(obj, dict) and len(obj) == len(tensors) and all(isinstance(v, Tensor) for v in obj.values())
    metadata = {} if is_flat and list(obj) == sorted(obj) else {_KEY: json.dumps(skeleton, separators=(",", ":"))}
    path = f
    own = None
    if hasattr(f, "write"):
        import tempfile

        own = tempfile.mkdtemp()
        path = os.path.join(own, "f")
    names = [ffi.new("char[]", n.encode()) for n in tensors]
    keys = [ffi.new("char[]", k.encode()) for k in metadata]
    values = [ffi.new("char[]", v.encode()) for v in metadata.values()]
    try:
        check(
            lib.rt_save(
                os.fsencode(path),
                names,
                [t._h for t in tensors.values()],
                len(names),
                keys or NULL,
                values or NULL,
                len(keys),
            )
        )
        if own:
            with open(path, "rb") as source:
                f.write(source.read())
    finally:
        if own:
            import shutil

            shutil.rmtree(own)


def load(
    f: Any, map_location: Any = None, *, weights_only: bool | None = None, mmap: bool | None = None, **_: Any
) -> Any:
    """Loads what `save` has written, or any safetensors file (as a dict of tensors).

    `f` is a path or a file object opened for reading bytes. Missing files raise `FileNotFoundError`, damaged ones
    `SerializationError`.
    """
    import json

    if map_location is not None and not callable(map_location) and not isinstance(map_location, dict):
        from ._device import check as check_device

        check_device(map_location)
    if hasattr(f, "read"):
        raw = f.read()
        if not isinstance(raw, (bytes, bytearray)):
            raise InvalidArgumentError("load: the file object must be opened for reading bytes")
        archive = lib.py_load_bytes(ffi.from_buffer("uint8_t[]", raw), len(raw))
    else:
        os.stat(f)  # raises FileNotFoundError and its like
        archive = lib.py_load(os.fsencode(f))
    if not archive:
        raise error()
    try:
        tensors = {
            text(lib.rt_archive_name(archive, i)): wrap(lib.py_archive_tensor(archive, i))
            for i in range(lib.rt_archive_len(archive))
        }
        metadata = {
            text(lib.rt_archive_metadata_key(archive, i)): text(lib.rt_archive_metadata_value(archive, i))
            for i in range(lib.rt_archive_metadata_len(archive))
        }
    finally:
        lib.rt_archive_free(archive)
    if _KEY not in metadata:
        return dict(sorted(tensors.items()))
    try:
        return _rebuild(json.loads(metadata[_KEY]), tensors)
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        raise SerializationError(f"load: the description of the contents is damaged ({e})") from None
