"""Words that run recurrent networks: which of their forms is meant."""

from __future__ import annotations

from .. import _ops
from ..errors import InvalidArgumentError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .._tensor import Tensor


def _network(name: str) -> Callable[..., Any]:
    op, cells = getattr(_ops, name), name == "lstm"

    def states(hx: Any) -> Any:
        if cells and len(hx) != 2:
            raise InvalidArgumentError(f"{name}: expects two hidden states, got {len(hx)}")
        return hx if cells else (hx,)

    def whole(
        input: Tensor, hx: Any, params: Any, has_biases: bool, num_layers: int, dropout: float, train: bool,
        bidirectional: bool, batch_first: bool,
    ) -> Any:  # fmt: skip
        rest = params, has_biases, num_layers, dropout, train, bidirectional, batch_first
        return op(input, *states(hx), None, *rest)

    def packed(
        data: Tensor, batch_sizes: Tensor, hx: Any, params: Any, has_biases: bool, num_layers: int, dropout: float,
        train: bool, bidirectional: bool,
    ) -> Any:  # fmt: skip
        return op(data, *states(hx), batch_sizes, params, has_biases, num_layers, dropout, train, bidirectional)

    def f(*args: Any, **kwargs: Any) -> Any:
        # Fourth comes whether there are biases, or what the parameters are.
        rows = "batch_sizes" in kwargs or (len(args) > 3 and not isinstance(args[3], bool))
        return (packed if rows else whole)(*args, **kwargs)

    f.__name__ = f.__qualname__ = name
    f.__doc__ = f"""The op `{name}`, its states together as `hx`; of `input, hx, params, ...` or, of a packed sequence,
    `data, batch_sizes, hx, params, ...` without `batch_first`."""
    return f


lstm = _network("lstm")
gru = _network("gru")
rnn_tanh = _network("rnn_tanh")
rnn_relu = _network("rnn_relu")


def lstm_cell(
    input: Tensor, hx: Any, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor | None = None, b_hh: Tensor | None = None
) -> Any:
    """One step of an LSTM layer, `hx` being the state and the cells: the new ones."""
    if len(hx) != 2:
        raise InvalidArgumentError(f"lstm_cell: expects two hidden states, got {len(hx)}")
    return _ops.lstm_cell(input, hx[0], hx[1], w_ih, w_hh, b_ih, b_hh)
