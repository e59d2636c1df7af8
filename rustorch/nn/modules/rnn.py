"""Recurrent layers, composed of one linear per time step (the input's part is one linear for all steps)."""

# Functions of the package that are looked up when first used are not typed.
# mypy: disable-error-code="no-any-return"

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import rustorch as rt
from rustorch import Tensor, _ops

from .. import functional as F
from .. import init
from ..parameter import Parameter
from ..utils.rnn import PackedSequence
from .module import Module

if TYPE_CHECKING:
    from ..common_types import Device, DType

    State = tuple[Tensor, ...]
    Cell = Callable[[Tensor, State], State]

__all__ = ["GRU", "LSTM", "RNN", "GRUCell", "LSTMCell", "RNNBase", "RNNCell", "RNNCellBase"]


# Each step takes the input's part of the gates [N, G] and the state, and gives the new state, the output first.


def _rnn_step(x: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None, relu: bool) -> State:
    """h' = tanh(x + W h + b), or relu (Elman 1990)."""
    gates = x + _ops.linear(state[0], w_hh, b_hh)
    return (_ops.relu(gates) if relu else gates.tanh(),)


def _lstm_step(x: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None, w_hr: Tensor | None) -> State:
    """Hochreiter & Schmidhuber 1997 with forget gates; `w_hr` projects the output (Sak et al. 2014)."""
    h, c = state
    i, f, g, o = (x + _ops.linear(h, w_hh, b_hh)).chunk(4, -1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * c.tanh()
    return h if w_hr is None else _ops.linear(h, w_hr), c


def _gru_step(x: Tensor, state: State, w_hh: Tensor, b_hh: Tensor | None) -> State:
    """Cho et al. 2014, the reset gate applied after the matrix product."""
    (h,) = state
    xr, xz, xn = x.chunk(3, -1)
    hr, hz, hn = _ops.linear(h, w_hh, b_hh).chunk(3, -1)
    n = (xn + (xr + hr).sigmoid() * hn).tanh()
    return (n + (xz + hz).sigmoid() * (h - n),)


def _run(cell: Cell, x: Tensor, sizes: Sequence[int], state: State, reverse: bool) -> tuple[Tensor, State]:
    """Run `cell` over x [sum of sizes, G], `sizes` the batch size of each step, never growing; outputs like x.

    Sequences that end early leave the batch at its end (in reverse: join it), as in a PackedSequence.
    """
    steps = x.split(list(sizes))
    outputs = []
    if reverse:
        start, state = state, tuple(s[: sizes[-1]] for s in state)
        for part in reversed(steps):
            have, want = state[0].size(0), part.size(0)
            if want > have:
                state = tuple(rt.cat([s, s0[have:want]]) for s, s0 in zip(state, start))
            state = cell(part, state)
            outputs.append(state[0])
        outputs.reverse()
        return rt.cat(outputs), state
    ended: list[State] = []
    for part in steps:
        have, want = state[0].size(0), part.size(0)
        if want < have:
            ended.append(tuple(s[want:] for s in state))
            state = tuple(s[:want] for s in state)
        state = cell(part, state)
        outputs.append(state[0])
    if ended:
        parts = [state, *reversed(ended)]
        state = tuple(rt.cat([part[i] for part in parts]) for i in range(len(state)))
    return rt.cat(outputs), state


_GATES = {"RNN_TANH": 1, "RNN_RELU": 1, "LSTM": 4, "GRU": 3}


class RNNBase(Module):
    """What RNN, LSTM and GRU share.

    Parameters per layer k and direction (suffix _reverse): weight_ih_l{k} [G, in], weight_hh_l{k} [G, hidden],
    bias_ih_l{k}, bias_hh_l{k} [G] and with a projection weight_hr_l{k} [proj, hidden], all from
    U(-1/sqrt(hidden), 1/sqrt(hidden)); G is 1, 4 or 3 times the hidden size.
    """

    def __init__(
        self,
        mode: str,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Device = None,
        dtype: DType = None,
    ) -> None:
        super().__init__()
        if isinstance(dropout, bool) or not isinstance(dropout, (int, float)) or not 0 <= dropout <= 1:
            raise ValueError(
                "dropout should be a number in range [0, 1] representing the probability of an element being zeroed"
            )
        if dropout > 0 and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        for name, flag in (("bias", bias), ("batch_first", batch_first), ("bidirectional", bidirectional)):
            if not isinstance(flag, bool):
                raise TypeError(f"{name} should be of type bool, got: {type(flag).__name__}")
        for name, value in (("input_size", input_size), ("hidden_size", hidden_size), ("num_layers", num_layers)):
            if not isinstance(value, int) or isinstance(value, bool):
                raise TypeError(f"{name} should be of type int, got: {type(value).__name__}")
            if value <= 0:
                raise ValueError(f"{name} must be greater than zero")
        if num_layers <= 0:
            raise ValueError("num_layers must be greater than zero")
        if not isinstance(proj_size, int) or isinstance(proj_size, bool):
            raise TypeError(f"proj_size should be of type int, got: {type(proj_size).__name__}")
        if proj_size < 0:
            raise ValueError("proj_size should be a positive integer or zero to disable projections")
        if proj_size >= hidden_size:
            raise ValueError("proj_size has to be smaller than hidden_size")
        if mode not in _GATES:
            raise ValueError("Unrecognized RNN mode: " + mode)
        self.mode = mode
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bias = bias
        self.batch_first = batch_first
        self.dropout = float(dropout)
        self.bidirectional = bidirectional
        self.proj_size = proj_size
        gates, out = _GATES[mode] * hidden_size, proj_size or hidden_size
        directions = 2 if bidirectional else 1
        self._all_weights: list[list[str]] = []
        for layer in range(num_layers):
            inner = input_size if layer == 0 else out * directions
            for suffix in ("", "_reverse")[:directions]:
                shapes = {"weight_ih": (gates, inner), "weight_hh": (gates, out)}
                if bias:
                    shapes |= {"bias_ih": (gates,), "bias_hh": (gates,)}  # type: ignore[dict-item]
                if proj_size:
                    shapes["weight_hr"] = (proj_size, hidden_size)
                names = []
                for kind, shape in shapes.items():
                    names.append(f"{kind}_l{layer}{suffix}")
                    setattr(self, names[-1], Parameter(rt.empty(shape, device=device, dtype=dtype)))
                self._all_weights.append(names)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size)
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    @property
    def all_weights(self) -> list[list[Parameter]]:
        """The parameters by layer and direction."""
        return [[getattr(self, name) for name in names] for names in self._all_weights]

    def flatten_parameters(self) -> None:
        """Nothing: parameters have no packed form here."""

    def extra_repr(self) -> str:
        """The constructor's arguments, those at their default left out."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.proj_size != 0:
            text += f", proj_size={self.proj_size}"
        if self.num_layers != 1:
            text += f", num_layers={self.num_layers}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        if self.batch_first is not False:
            text += f", batch_first={self.batch_first}"
        if self.dropout != 0:
            text += f", dropout={self.dropout}"
        if self.bidirectional is not False:
            text += f", bidirectional={self.bidirectional}"
        return text

    def _cell(self, weights: dict[str, Any]) -> Cell:
        """One step of one layer and direction."""
        w_hh, b_hh = weights["weight_hh"], weights.get("bias_hh")
        if self.mode == "LSTM":
            w_hr = weights.get("weight_hr")
            return lambda x, state: _lstm_step(x, state, w_hh, b_hh, w_hr)
        if self.mode == "GRU":
            return lambda x, state: _gru_step(x, state, w_hh, b_hh)
        relu = self.mode == "RNN_RELU"
        return lambda x, state: _rnn_step(x, state, w_hh, b_hh, relu)

    def _state_shapes(self, batch: int) -> list[tuple[int, int, int]]:
        rows = self.num_layers * (2 if self.bidirectional else 1)
        h = (rows, batch, self.proj_size or self.hidden_size)
        return [h, (rows, batch, self.hidden_size)] if self.mode == "LSTM" else [h]

    def forward(self, input: Any, hx: Any = None) -> Any:
        """input [L, N, in] ([N, L, in] with batch_first), [L, in] or PackedSequence; hx the state, zeros if None.

        Gives the last layer's outputs [L, N, D * out] and the final state(s) [layers * D, N, out].
        """
        packed = isinstance(input, PackedSequence)
        if packed:
            x = input.data
            sizes = input.batch_sizes.tolist()
            batched, batch = True, sizes[0]
        else:
            if input.dim() not in (2, 3):
                raise ValueError(f"{type(self).__name__}: Expected input to be 2D or 3D, got {input.dim()}D instead")
            batched = input.dim() == 3
            x = input if batched else input.unsqueeze(1)
            if batched and self.batch_first:
                x = x.transpose(0, 1)
            length, batch = x.size(0), x.size(1)
            sizes = [batch] * length
            x = x.reshape(length * batch, x.size(2))
        if x.size(-1) != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {x.size(-1)}"
            )
        weight = getattr(self, self._all_weights[0][0])
        if x.dtype != weight.dtype:
            raise ValueError(
                f"{type(self).__name__}: input dtype ({x.dtype}) does not match weight dtype ({weight.dtype}). "
                f"Convert input: input.to({weight.dtype}), or convert model: model.to({x.dtype})"
            )
        if not sizes:
            raise RuntimeError(f"{type(self).__name__}: Expected sequence length to be larger than 0")
        states = self._initial(input, hx, batched, batch, x.dtype, x.device)

        final: list[State] = []
        for layer in range(self.num_layers):
            outs = []
            for direction in range(2 if self.bidirectional else 1):
                k = len(final)
                # "weight_ih_l0_reverse" -> "weight_ih"
                weights = {name.rsplit("_l", 1)[0]: getattr(self, name) for name in self._all_weights[k]}
                gates = _ops.linear(x, weights["weight_ih"], weights.get("bias_ih"))
                out, state = _run(self._cell(weights), gates, sizes, tuple(s[k] for s in states), direction == 1)
                outs.append(out)
                final.append(state)
            x = outs[0] if len(outs) == 1 else rt.cat(outs, -1)
            if self.dropout and layer + 1 < self.num_layers:
                x = F.dropout(x, self.dropout, self.training)

        hidden: Any = tuple(rt.stack([state[i] for state in final]) for i in range(len(states)))
        if packed:
            output: Any = PackedSequence(x, input.batch_sizes, input.sorted_indices, input.unsorted_indices)
            if input.unsorted_indices is not None:
                hidden = tuple(h.index_select(1, input.unsorted_indices) for h in hidden)
        else:
            output = x.reshape(length, batch, x.size(-1))
            if not batched:
                output, hidden = output.squeeze(1), tuple(h.squeeze(1) for h in hidden)
            elif self.batch_first:
                output = output.transpose(0, 1)
        return output, hidden if self.mode == "LSTM" else hidden[0]

    def _initial(self, input: Any, hx: Any, batched: bool, batch: int, dtype: Any, device: Any = None) -> list[Tensor]:
        """The initial state(s), checked, each [layers * D, N, *]."""
        shapes = self._state_shapes(batch)
        if hx is None:
            return [rt.zeros(shape, dtype=dtype, device=device) for shape in shapes]
        states = list(hx) if self.mode == "LSTM" else [hx]
        if len(states) != len(shapes):
            raise RuntimeError(f"{type(self).__name__}: hx must be (h_0, c_0), got {len(states)} tensors")
        for i, (state, shape) in enumerate(zip(states, shapes)):
            want = shape if batched else (shape[0], shape[2])
            if tuple(state.shape) != want:
                raise RuntimeError(f"Expected hidden[{i}] size {want}, got {list(state.shape)}")
        if not batched:
            states = [state.unsqueeze(1) for state in states]
        if isinstance(input, PackedSequence) and input.sorted_indices is not None:
            states = [state.index_select(1, input.sorted_indices) for state in states]
        return states


class RNN(RNNBase):
    """h' = tanh(W_ih x + b_ih + W_hh h + b_hh), or relu with nonlinearity="relu" (Elman 1990)."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Device = None,
        dtype: DType = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.__dict__["nonlinearity"] = nonlinearity  # before Module.__init__, which keeps it
        super().__init__(
            "RNN_" + nonlinearity.upper(), input_size, hidden_size, num_layers, bias, batch_first, dropout,
            bidirectional, 0, device, dtype,
        )  # fmt: skip


class LSTM(RNNBase):
    """Long short-term memory (Hochreiter & Schmidhuber 1997); the state is (h, c), gates in the order i, f, g, o."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Device = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(
            "LSTM", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size,
            device, dtype,
        )  # fmt: skip


class GRU(RNNBase):
    """Gated recurrent unit (Cho et al. 2014), gates in the order r, z, n."""

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Device = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(
            "GRU", input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, 0, device, dtype
        )


class RNNCellBase(Module):
    """One step of one layer: weight_ih [G, in], weight_hh [G, hidden], bias_ih, bias_hh [G]."""

    weight_ih: Tensor
    weight_hh: Tensor
    bias_ih: Tensor | None
    bias_hh: Tensor | None

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool,
        num_chunks: int,
        device: Device = None,
        dtype: DType = None,
    ) -> None:
        super().__init__()
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.bias = bias
        gates = num_chunks * hidden_size
        self.weight_ih = Parameter(rt.empty((gates, input_size), device=device, dtype=dtype))
        self.weight_hh = Parameter(rt.empty((gates, hidden_size), device=device, dtype=dtype))
        for name in ("bias_ih", "bias_hh"):
            self.register_parameter(name, Parameter(rt.empty(gates, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the parameters anew."""
        bound = 1.0 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for weight in self.parameters():
            init.uniform_(weight, -bound, bound)

    def extra_repr(self) -> str:
        """The constructor's arguments, those at their default left out."""
        text = f"{self.input_size}, {self.hidden_size}"
        if self.bias is not True:
            text += f", bias={self.bias}"
        nonlinearity = self.__dict__.get("nonlinearity", "tanh")
        return text if nonlinearity == "tanh" else text + f", nonlinearity={nonlinearity}"

    def _gates(self, input: Tensor) -> Tensor:
        if input.dim() not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected input to be 1D or 2D, got {input.dim()}D instead")
        return _ops.linear(input, self.weight_ih, self.bias_ih)

    def _state(self, input: Tensor, hx: Tensor | None) -> Tensor:
        if hx is None:
            return rt.zeros(*input.shape[:-1], self.hidden_size, dtype=input.dtype, device=input.device)
        if hx.dim() not in (1, 2):
            raise ValueError(f"{type(self).__name__}: Expected hidden to be 1D or 2D, got {hx.dim()}D instead")
        want = (*input.shape[:-1], self.hidden_size)
        if tuple(hx.shape) != want:
            raise RuntimeError(f"{type(self).__name__}: Expected hidden of shape {want}, got {tuple(hx.shape)}")
        return hx


class RNNCell(RNNCellBase):
    """One step of an RNN: input [N, in], hx [N, hidden] -> [N, hidden]."""

    nonlinearity: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Device = None,
        dtype: DType = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 1, device, dtype)
        self.nonlinearity = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new hidden state."""
        if self.nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {self.nonlinearity}")
        state = (self._state(input, hx),)
        return _rnn_step(self._gates(input), state, self.weight_hh, self.bias_hh, self.nonlinearity == "relu")[0]


class LSTMCell(RNNCellBase):
    """One step of an LSTM: input [N, in], hx = (h, c) each [N, hidden] -> (h, c)."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Device = None, dtype: DType = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 4, device, dtype)

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> State:
        """The new hidden and cell state."""
        h, c = (None, None) if hx is None else hx
        state = self._state(input, h), self._state(input, c)
        return _lstm_step(self._gates(input), state, self.weight_hh, self.bias_hh, None)


class GRUCell(RNNCellBase):
    """One step of a GRU: input [N, in], hx [N, hidden] -> [N, hidden]."""

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Device = None, dtype: DType = None
    ) -> None:
        super().__init__(input_size, hidden_size, bias, 3, device, dtype)

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """The new hidden state."""
        return _gru_step(self._gates(input), (self._state(input, hx),), self.weight_hh, self.bias_hh)[0]
