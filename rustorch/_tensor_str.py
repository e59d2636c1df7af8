"""How a tensor is printed: the text of ``repr(tensor)``, laid out as PyTorch lays it out.

Only ``shape``, ``tolist()``, basic indexing, ``dtype``, ``requires_grad`` and ``grad_fn`` of the tensor are used. A
large tensor is summarised: only its edges are ever fetched.
"""

from __future__ import annotations

from ._tensor import Tensor, attach
from .dtypes import BY_NAME, get_default_dtype
from .errors import InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType
    from typing import Any

_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": float("inf"), "edgeitems": 3, "linewidth": 80},
}
_options: dict[str, Any] = {**_PROFILES["default"], "sci_mode": None}


def set_printoptions(
    precision: int | None = None,
    threshold: float | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """Sets how tensors are printed.

    Args:
        precision: digits after the point of floating values (4 at the start).
        threshold: number of elements above which only the edges are shown (1000).
        edgeitems: elements shown at each edge of each dimension in such a summary (3).
        linewidth: characters to a line (80).
        profile: ``"default"``, ``"short"`` or ``"full"``; the other arguments override it.
        sci_mode: scientific notation always (True), never (False), or where the values ask for it (None).
    """
    if profile is not None:
        if profile not in _PROFILES:
            raise InvalidArgumentError(
                f"set_printoptions: profile must be one of {', '.join(_PROFILES)}, got {profile!r}"
            )
        _options.update(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    _options.update({name: value for name, value in given.items() if value is not None})
    _options["sci_mode"] = sci_mode


def get_printoptions() -> dict[str, Any]:
    """The current options, as keyword arguments for :func:`set_printoptions`."""
    return dict(_options)


class printoptions:
    """Context manager: :func:`set_printoptions` with the same arguments, undone on leaving."""

    def __init__(self, **options: Any) -> None:
        self._new = options

    def __enter__(self) -> None:
        self._old = get_printoptions()
        set_printoptions(**self._new)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _options.update(self._old)


class _Format:
    """One style for all values of a tensor: integers, bools, whole floats, decimals or scientific notation."""

    def __init__(self, values: list[Any], floating: bool) -> None:
        self.spec = ""
        self.point = False  # whole floats end in a point: 4.
        if not floating:
            self.width = max(len(str(v)) for v in values)
            return
        # Zeros and non-finite values have no say in style and width.
        sizes = [v for v in values if v and v - v == 0]
        self.spec, self.point, self.width = ".0f", True, 1
        if not sizes:
            return
        low, high = min(map(abs, sizes)), max(map(abs, sizes))
        sci = _options["sci_mode"]
        if sci is None:
            sci = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
        whole = all(v == v // 1 for v in sizes)
        if sci or not whole:
            self.spec, self.point = f".{_options['precision']}{'e' if sci else 'f'}", False
        self.width = max(len(format(v, self.spec)) for v in sizes) + self.point

    def __call__(self, value: Any) -> str:
        text = format(value, self.spec) if self.spec else str(value)
        if self.point and value - value == 0:
            text += "."
        return text.rjust(self.width)


class _ComplexFormat:
    """One style for the real parts and one for the imaginary ones."""

    def __init__(self, values: list[complex]) -> None:
        self.real, self.imag = _Format([v.real for v in values], True), _Format([v.imag for v in values], True)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, value: complex) -> str:
        imag = (self.imag(value.imag) + "j").lstrip()
        return self.real(value.real) + ("" if imag[0] in "+-" else "+") + imag


def _edges(t: Tensor) -> Any:
    """``t.tolist()`` in which the middle of each long dimension is one ``...``."""
    size, edge = t.shape[0], int(_options["edgeitems"])
    if edge == 0:
        return [...]
    if size <= 2 * edge:
        return t.tolist() if len(t.shape) == 1 else [_edges(t[i]) for i in range(size)]
    if len(t.shape) == 1:
        return [*t[:edge].tolist(), ..., *t[size - edge :].tolist()]
    return [*(_edges(t[i]) for i in range(edge)), ..., *(_edges(t[i]) for i in range(size - edge, size))]


def _leaves(nested: Any) -> Iterator[Any]:
    if isinstance(nested, list):
        for item in nested:
            yield from _leaves(item)
    elif nested is not ...:
        yield nested


def _layout(nested: Any, dims: int, indent: int, fmt: _Format | _ComplexFormat) -> str:
    """The text of ``nested``, a value or lists ``dims`` deep, whose first bracket stands in column ``indent``."""
    if dims == 0:
        return fmt(nested)
    if nested == [...]:
        return "[...]"
    if dims > 1:
        parts = ["..." if item is ... else _layout(item, dims - 1, indent + 1, fmt) for item in nested]
        return "[" + ("," + "\n" * (dims - 1) + " " * (indent + 1)).join(parts) + "]"
    per_line = max(1, (_options["linewidth"] - indent) // (fmt.width + 2))
    words = [" ..." if item is ... else fmt(item) for item in nested]
    lines = [", ".join(words[i : i + per_line]) for i in range(0, len(words), per_line)]
    return "[" + (",\n" + " " * (indent + 1)).join(lines) + "]"


def tensor_str(t: Tensor) -> str:
    """The printed form of a tensor, e.g. ``tensor([1., 2.], grad_fn=<MulBackward0>)``.

    A :class:`Parameter` gets the line ``Parameter containing:`` in front; other subclasses of Tensor show their own
    name.
    """
    kind = type(t).__name__
    plain = kind in ("Tensor", "Parameter")
    prefix = "tensor(" if plain else kind + "("
    indent, dims, numel = len(prefix), len(t.shape), 1
    for size in t.shape:
        numel *= size
    default = t.dtype == get_default_dtype()
    notes = []
    if t.is_meta:
        body = "..."
        notes += ["device='meta'", f"size={tuple(t.shape)}"]
    elif numel == 0:
        body = "[]"
        if dims != 1:
            notes.append(f"size={tuple(t.shape)}")
    else:
        values = t.detach()
        nested = _edges(values) if dims and numel > _options["threshold"] else values.tolist()
        leaves = list(_leaves(nested)) or [0]
        fmt = _ComplexFormat(leaves) if t.dtype.is_complex else _Format(leaves, t.dtype.is_floating_point)
        body = _layout(nested, dims, indent, fmt)
        if not _options["edgeitems"]:
            notes.append(f"size={tuple(t.shape)}")
        default = default or t.dtype in (BY_NAME["int64"], BY_NAME["bool"], get_default_dtype().to_complex())
    if not default:
        notes.append(f"dtype={t.dtype}")
    if t.grad_fn is not None:
        notes.append(f"grad_fn=<{t.grad_fn.name()}>")
    elif t.requires_grad:
        notes.append("requires_grad=True")

    text = prefix + body
    column = len(text) - text.rfind("\n") + 1
    for note in notes:
        if column + len(note) + 2 > _options["linewidth"]:
            text += ",\n" + " " * indent + note
            column = indent + len(note)
        else:
            text += ", " + note
            column += len(note) + 2
    return f"Parameter containing:\n{text})" if kind == "Parameter" else text + ")"


@attach
class TensorPrinting:
    """The method of Tensor that prints it."""

    __slots__ = ()

    def __repr__(self: Any, *, tensor_contents: Any = None) -> str:
        return tensor_str(self)
