"""`SummaryWriter`, which writes events for TensorBoard: that of the package tensorboardX, given arrays."""

from __future__ import annotations

from typing import Any

import rustorch as rt

try:
    from tensorboardX import SummaryWriter as _Writer  # type: ignore[import-not-found, unused-ignore]
except ModuleNotFoundError as e:
    raise ModuleNotFoundError(
        "utils.tensorboard writes through the package tensorboardX, which is not installed", name=e.name
    ) from None

__all__ = ["SummaryWriter"]


def _plain(v: Any) -> Any:
    """Tensors as arrays, in lists and dicts too."""
    if isinstance(v, rt.Tensor):
        return v.detach().numpy()
    if isinstance(v, (list, tuple)):
        return type(v)(_plain(x) for x in v)
    if isinstance(v, dict):
        return {k: _plain(x) for k, x in v.items()}
    return v


def _taking_tensors(name: str) -> Any:
    method = getattr(_Writer, name)

    def add(self: Any, *args: Any, **kwargs: Any) -> Any:
        return method(self, *map(_plain, args), **{k: _plain(v) for k, v in kwargs.items()})

    add.__name__, add.__doc__ = name, method.__doc__
    return add


class SummaryWriter(_Writer):  # type: ignore[misc, valid-type, unused-ignore]
    """Writes scalars, histograms, pictures and others into event files."""

    def add_graph(self, *args: Any, **kwargs: Any) -> None:
        """Raises: graphs of programs are not built."""
        raise rt.errors.UnsupportedError("SummaryWriter.add_graph: graphs of programs are not built in rustorch")


for _name in (
    "add_scalar", "add_scalars", "add_histogram", "add_image", "add_images", "add_video", "add_audio", "add_embedding",
    "add_pr_curve", "add_mesh", "add_hparams",
):  # fmt: skip
    setattr(SummaryWriter, _name, _taking_tensors(_name))
