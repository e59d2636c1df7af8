"""`torch.hub`: files of weights from the net, and models of directories with a `hubconf.py`."""

from __future__ import annotations

import os
import re
import sys
from typing import Any
from urllib.parse import urlparse

from .errors import UnsupportedError
from .serialization import load as _load_file

__all__ = ["download_url_to_file", "get_dir", "help", "list", "load", "load_state_dict_from_url", "set_dir"]

#: The part of a file's name that begins the SHA-256 of its contents.
HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")
_dir: str | None = None


class _Quiet:
    """What `tqdm` is where the package is not installed: it shows nothing."""

    def __init__(self, iterable: Any = (), *args: Any, **kwargs: Any) -> None:
        self._iterable = iterable
        self.n = 0

    def __iter__(self) -> Any:
        return iter(self._iterable)

    def update(self, n: int = 1) -> None:
        """Counts."""
        self.n += n

    def close(self) -> None:
        """Nothing to close."""

    def __enter__(self) -> _Quiet:
        return self

    def __exit__(self, *error: object) -> None:
        pass


def __getattr__(name: str) -> Any:
    if name == "tqdm":
        try:
            from tqdm.auto import tqdm  # type: ignore[import-untyped]
        except ImportError:
            return _Quiet
        return tqdm
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _get_torch_home() -> str:
    cache = os.path.join(os.getenv("XDG_CACHE_HOME", "~/.cache"), "torch")
    return os.path.expanduser(os.getenv("TORCH_HOME", cache))


def get_dir() -> str:
    """Where files are kept: what `set_dir` said, or ``$TORCH_HOME/hub``, or ``~/.cache/torch/hub``."""
    return _dir if _dir is not None else os.path.join(_get_torch_home(), "hub")


def set_dir(d: str | os.PathLike[str]) -> None:
    """Says where files are kept."""
    global _dir
    _dir = os.path.expanduser(d)


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> None:
    """Fetches a file. It appears as a whole, and only if its SHA-256 begins with `hash_prefix`. Nothing is printed."""
    import hashlib
    import urllib.request
    import uuid

    dst = os.path.expanduser(dst)
    request = urllib.request.Request(url, headers={"User-Agent": "rustorch.hub"})
    digest = hashlib.sha256()
    part = open(f"{dst}.{uuid.uuid4().hex}.partial", "xb")
    try:
        with part, urllib.request.urlopen(request) as source:
            while chunk := source.read(1 << 20):
                part.write(chunk)
                digest.update(chunk)
        if hash_prefix is not None and not digest.hexdigest().startswith(hash_prefix):
            raise RuntimeError(f'invalid hash value (expected "{hash_prefix}", got "{digest.hexdigest()}")')
        os.replace(part.name, dst)
    finally:
        if os.path.exists(part.name):
            os.remove(part.name)


def load_state_dict_from_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = False,
    file_name: str | None = None,
    weights_only: bool = False,
) -> Any:
    """What the file at a URL holds; it is fetched if it is not yet in `model_dir` (``hub/checkpoints``)."""
    place = os.path.join(get_dir(), "checkpoints") if model_dir is None else model_dir
    os.makedirs(place, exist_ok=True)
    name = os.path.basename(urlparse(url).path) if file_name is None else file_name
    path = os.path.join(place, name)
    if not os.path.exists(path):
        found = HASH_REGEX.search(name) if check_hash else None
        download_url_to_file(url, path, found[1] if found else None, progress)
    return _load_file(path, map_location=map_location)


def _conf(repo_or_dir: str, source: str, op: str) -> Any:
    """The `hubconf.py` of a directory, as a module."""
    if source != "local":
        raise UnsupportedError(f"hub.{op}: only directories (source='local'); fetch {repo_or_dir} and give its place")
    import importlib.util as util

    spec = util.spec_from_file_location("hubconf", os.path.join(repo_or_dir, "hubconf.py"))
    assert spec is not None and spec.loader is not None
    module = util.module_from_spec(spec)
    sys.path.insert(0, repo_or_dir)
    try:
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(repo_or_dir)
    return module


def _entry(module: Any, model: str) -> Any:
    f = getattr(module, model, None)
    if not callable(f):
        raise RuntimeError(f"Cannot find callable {model} in hubconf")
    return f


def load(repo_or_dir: str, model: str, *args: Any, source: str = "github", **kwargs: Any) -> Any:
    """Calls a function of the `hubconf.py` in a directory.

    Raises:
        UnsupportedError: `source` is not "local".
    """
    return _entry(_conf(repo_or_dir, source, "load"), model)(*args, **kwargs)


def list(github: str, *, source: str = "github", **_: Any) -> Any:
    """Names of the functions of a `hubconf.py`."""
    module = _conf(github, source, "list")
    return [name for name, f in vars(module).items() if callable(f) and not name.startswith("_")]


def help(github: str, model: str, *, source: str = "github", **_: Any) -> str | None:
    """The documentation of such a function."""
    return _entry(_conf(github, source, "help"), model).__doc__  # type: ignore[no-any-return]
