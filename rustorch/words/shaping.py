"""Words that split, join, repeat, and see in another shape."""

from __future__ import annotations

from .. import _ops
from .._arguments import operand
from .._tensor import Size
from ..dtypes import from_python, is_word
from ..errors import InvalidArgumentError, ShapeMismatchError
from .common import _is_tensor, _none_for_all, _numpy_names
from .creation import tensor

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from .._tensor import Tensor


roll = _none_for_all(_ops.roll, "dims", 2)


def split(input: Tensor, split_size_or_sections: Any, dim: int = 0, *, split_size: Any = None) -> Any:
    """Views of `input` along `dim`: pieces of one size, or of the given sizes."""
    s = split_size if split_size is not None else split_size_or_sections
    if _is_tensor(s) and s.numel() == 1:
        s = int(s)
    return _ops.split(input, s, dim) if isinstance(s, int) else _ops.split_with_sizes(input, s, dim)


@_numpy_names
def tensor_split(input: Tensor, indices_or_sections: Any, dim: int = 0) -> Any:
    """Views of `input` along `dim`: so many nearly equal ones, or cut at the given indices."""
    s = indices_or_sections.tolist() if _is_tensor(indices_or_sections) else indices_or_sections
    if isinstance(s, int):
        return _ops.tensor_split_sections(input, s, dim)
    return _ops.tensor_split_indices(input, s, dim)


def _split_along(name: str, least: int, dim: int) -> Any:
    def f(input: Tensor, indices_or_sections: Any) -> Any:
        if input.ndim < least:
            raise ShapeMismatchError(
                f"{name}: requires a tensor with at least {least} dimension{'s'[: least - 1]}, got {input.ndim}"
            )
        d = 0 if input.ndim == 1 else dim
        n = indices_or_sections
        if isinstance(n, int) and (n <= 0 or input.shape[d] % n):
            raise InvalidArgumentError(
                f"{name}: dimension {d} of size {input.shape[d]} is not divisible by the split_size {n}"
            )
        return tensor_split(input, n, d)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"Views of `input` along dimension {dim}: so many equal ones, or cut at the given indices."
    return f


hsplit = _split_along("hsplit", 1, 1)
hsplit.__doc__ = "Views of `input` along dimension 1 (0 of a vector): so many equal ones, or cut at the given indices."
vsplit = _split_along("vsplit", 2, 0)
dsplit = _split_along("dsplit", 3, 2)


def unsafe_split(input: Tensor, split_size: Any, dim: int = 0) -> Any:
    """`split`. In-place changes of the parts are recorded, so there is nothing unsafe about it here."""
    return split(input, split_size, dim)


def unsafe_chunk(input: Tensor, chunks: int, dim: int = 0) -> Any:
    """`chunk`. In-place changes of the parts are recorded, so there is nothing unsafe about it here."""
    return _ops.chunk(input, chunks, dim)


@_numpy_names
def repeat_interleave(input: Tensor, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Tensor:
    """Each element repeated, by one number or one per element; a lone tensor gives each index as often as it says."""
    if repeats is None:
        return _ops.repeat_interleave_indices(input, output_size)
    if isinstance(repeats, int):
        return _ops.repeat_interleave_int(input, repeats, dim, output_size)
    if not _is_tensor(repeats):
        repeats = tensor(repeats, device=input.device)
    return _ops.repeat_interleave_tensor(input, repeats, dim, output_size)


def _atleast(k: int) -> Any:
    def f(*tensors: Any) -> Any:
        op = getattr(_ops, f"atleast_{k}d")
        if len(tensors) == 1:
            ts = tensors[0]
            return op(ts) if _is_tensor(ts) else tuple(op(t) for t in ts)
        return tuple(op(t) for t in tensors)

    f.__name__ = f.__qualname__ = f"atleast_{k}d"
    f.__doc__ = f"Each tensor with at least {k} dimensions."
    return f


atleast_1d = _atleast(1)
atleast_2d = _atleast(2)
atleast_3d = _atleast(3)


def block_diag(*tensors: Tensor) -> Tensor:
    """Matrices along the diagonal of a larger one."""
    return _ops.block_diag(list(tensors))


def view(input: Tensor, *sizes: Any, size: Any = None, dtype: Any = None) -> Tensor:
    """The same memory with another shape; or, given a dtype, with its bytes read as that."""
    if dtype is None and len(sizes) == 1 and is_word(sizes[0]):
        dtype = sizes[0]
    if dtype is None:
        return _ops.view(input, *sizes, size=size)
    return _ops.view_dtype(input, from_python(dtype))


def view_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` viewed with the shape of `other`."""
    return _ops.view(input, other.shape)


def reshape_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` reshaped to the shape of `other`."""
    return _ops.reshape(input, other.shape)


def expand_as(input: Tensor, other: Tensor) -> Tensor:
    """`input` expanded to the shape of `other`."""
    return _ops.expand(input, other.shape)


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that all of them broadcast to."""
    out: list[int] = []
    for s in shapes:
        s = (s,) if isinstance(s, int) else tuple(s)
        for d in s:
            if not isinstance(d, int) or d < 0:
                raise ShapeMismatchError(f"broadcast_shapes: sizes are ints from 0 on, got {d!r}")
        s = tuple(map(int, s))
        out = [1] * (len(s) - len(out)) + out
        for i, d in enumerate(reversed(s), 1):
            if out[-i] == 1:
                out[-i] = d
            elif d not in (1, out[-i]):
                e = ShapeMismatchError(f"broadcast_shapes: shapes {shapes} do not broadcast")
                raise e
    return Size(out)


def broadcast_tensors(*tensors: Any) -> tuple[Tensor, ...]:
    """Views of all tensors, expanded to their common shape."""
    ts = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    return _ops.broadcast_tensors(ts)


def meshgrid(*tensors: Any, indexing: str = "ij") -> tuple[Tensor, ...]:
    """Grids of coordinates from 1-d tensors; `indexing` is "ij" (rows first) or "xy"."""
    ts = list(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else list(tensors)
    return _ops.meshgrid(ts, "ij" if indexing is None else indexing)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All combinations of the elements of 1-d tensors, one row each."""
    return _ops.cartesian_prod(list(tensors))


def _T(input: Tensor) -> Tensor:
    return _ops.permute(input, tuple(range(input.ndim - 1, -1, -1)))


def _H(input: Tensor) -> Tensor:
    if input.ndim not in (0, 2):
        raise ShapeMismatchError(f"H: wanted a matrix, got {input.ndim} dimensions; mH is for batches of matrices")
    return _ops.conj(_T(input))


def _mT(input: Tensor) -> Tensor:
    return _ops.transpose(input, -2, -1)


def _mH(input: Tensor) -> Tensor:
    return _ops.conj(_mT(input))


def adjoint(input: Tensor) -> Tensor:
    """The conjugates, the last two dimensions exchanged."""
    return _mH(input)


def _set_real(input: Tensor, values: Any) -> None:
    _ops.real(input).copy_(operand(values))


def _set_imag(input: Tensor, values: Any) -> None:
    _ops.imag(input).copy_(operand(values))


@_numpy_names
def unflatten(input: Tensor, dim: int, sizes: Any) -> Tensor:
    """Dimension `dim` as several, of the given sizes (one may be -1)."""
    return _ops.unflatten(input, dim, sizes)
