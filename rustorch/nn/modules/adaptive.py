"""The softmax over many classes of which few are frequent."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import rustorch as rt
from rustorch import Tensor
from rustorch.errors import InvalidArgumentError, ShapeMismatchError

from .. import functional as F
from .container import ModuleList, Sequential
from .linear import Linear
from .module import Module

__all__ = ["AdaptiveLogSoftmaxWithLoss"]

_ASMoutput = namedtuple("_ASMoutput", "output loss")


class AdaptiveLogSoftmaxWithLoss(Module):
    """A softmax in clusters (Grave et al., arXiv:1609.04309): the most frequent classes, up to the first of `cutoffs`,
    and one for each cluster stand in the head; a cluster's classes have `in_features / div_value ** (i + 1)` features.

    Args:
        in_features: Features of the input [N, in_features] (or [in_features]).
        n_classes: Classes, the frequent ones first.
        cutoffs: Where clusters begin, rising, below `n_classes`.
        div_value: By how much each cluster has fewer features than the one before.
        head_bias: Whether the head has a bias.

    Raises:
        InvalidArgumentError: the cutoffs do not rise, or do not lie between 0 and `n_classes`.
    """

    def __init__(
        self,
        in_features: int,
        n_classes: int,
        cutoffs: Sequence[int],
        div_value: float = 4.0,
        head_bias: bool = False,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        cutoffs = list(cutoffs)
        rising = all(a < b for a, b in pairwise(cutoffs))
        whole = all(int(c) == c for c in cutoffs)
        if not cutoffs or not rising or not whole or min(cutoffs) <= 0 or max(cutoffs) > n_classes - 1:
            raise InvalidArgumentError(
                "cutoffs should be a sequence of unique, positive integers sorted in an increasing order, where each "
                f"value is between 1 and n_classes-1, got {cutoffs}"
            )
        made = {"device": device, "dtype": dtype}
        self.in_features = in_features
        self.n_classes = n_classes
        self.cutoffs = [*cutoffs, n_classes]
        self.div_value = div_value
        self.head_bias = head_bias
        self.shortlist_size = self.cutoffs[0]
        self.n_clusters = len(self.cutoffs) - 1
        self.head_size = self.shortlist_size + self.n_clusters
        self.head = Linear(in_features, self.head_size, bias=head_bias, **made)
        self.tail = ModuleList()
        for i in range(self.n_clusters):
            features = int(in_features // div_value ** (i + 1))
            classes = self.cutoffs[i + 1] - self.cutoffs[i]
            self.tail.append(
                Sequential(
                    Linear(in_features, features, bias=False, **made), Linear(features, classes, bias=False, **made)
                )
            )

    def reset_parameters(self) -> None:
        """Draws all weights anew."""
        self.head.reset_parameters()
        for tail in self.tail:
            for layer in (tail[0], tail[1]):  # type: ignore[index]
                layer.reset_parameters()

    def forward(self, input: Tensor, target: Tensor) -> Any:
        """The logarithms of the targets' probabilities, and the mean of their negatives, as `output` and `loss`."""
        batched = target.dim() > 0
        if target.dim() > 1:
            raise ShapeMismatchError("0D or 1D target tensor expected, multi-target not supported")
        if input.dim() != target.dim() + 1:
            raise ShapeMismatchError(
                f"0D target tensor expects 1D input, 1D target tensor 2D input, got {list(input.shape)}"
            )
        if not batched:
            input, target = input.unsqueeze(0), target.unsqueeze(0)
        if input.shape[0] != target.shape[0]:
            raise ShapeMismatchError(f"Input and target should have the same size in the batch dimension, got "
                                     f"{input.shape[0]} and {target.shape[0]}")  # fmt: skip
        if target.numel() and not (0 <= int(target.min()) and int(target.max()) < self.n_classes):
            raise InvalidArgumentError(
                f"Target values should be in [0, {self.n_classes - 1}], but values in range "
                f"[{int(target.min())}, {int(target.max())}] were found."
            )
        # The class in the head, and what its cluster adds.
        head_target, output = target, input.new_zeros(target.shape[0])
        for i in range(self.n_clusters):
            low, high = self.cutoffs[i], self.cutoffs[i + 1]
            rows = ((target >= low) & (target < high)).nonzero().squeeze(1)
            if rows.numel() == 0:
                continue
            log = F.log_softmax(self.tail[i](input.index_select(0, rows)), dim=1)
            inside = (target[rows] - low).unsqueeze(1)
            output = output.index_copy(0, rows, log.gather(1, inside).squeeze(1))
            head_target = head_target.index_fill(0, rows, self.shortlist_size + i)
        head = F.log_softmax(self.head(input), dim=1)
        output = output + head.gather(1, head_target.unsqueeze(1)).squeeze(1)
        loss = (-output).mean()
        return _ASMoutput(output if batched else output.squeeze(0), loss)

    def log_prob(self, input: Tensor) -> Tensor:
        """The logarithms of the probabilities of all classes: [N, n_classes]."""
        head = F.log_softmax(self.head(input), dim=1)
        parts = [head[:, : self.shortlist_size]]
        for i, tail in enumerate(self.tail):
            cluster = head[:, self.shortlist_size + i].unsqueeze(1)
            parts.append(F.log_softmax(tail(input), dim=1) + cluster)
        return rt.cat(parts, dim=1)

    def predict(self, input: Tensor) -> Tensor:
        """The most probable class of each row: [N]."""
        head = self.head(input)
        output: Tensor = head.argmax(dim=1)
        rest = output >= self.shortlist_size
        if not rest.any():
            return output
        rows = rest.nonzero().squeeze(1)
        return output.index_copy(0, rows, self.log_prob(input[rows]).argmax(dim=1))
