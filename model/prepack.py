"""Weights in the blocked order in which oneDNN's kernels for the CPU read them fastest.

A plain product copies its weight into that order on every call, which costs as much as reading it. Gigabytes of weights
a second with two threads of a Zen 5, whose memory gives 45:

    rows    float32 plain, prepacked    bfloat16 plain, prepacked
    1              18         42                26          40
    8              13         36                22          36

512 rows take half the time in float32 and two thirds in bfloat16. What is left of a bfloat16 token is bound by memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from .errors import ModelError

_OPS: Any = torch.ops.mkldnn
_LINEAR: Any = getattr(_OPS, "_linear_pointwise", None)

ROWS = 8
"""Rows of input for which the order is chosen; it was no worse than any other for 1 to 512."""


def prepackable(weight: Tensor) -> bool:
    """Whether this machine has kernels for the packed form of a matrix."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if weight.dtype == torch.bfloat16:
        return bool(_OPS._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


@dataclass(frozen=True)
class Prepacked:
    """Rows `start` to `stop` of a matrix in the blocked order."""

    block: Tensor
    start: int
    stop: int

    def dense(self) -> Tensor:
        """The rows as an ordinary matrix: the very numbers that were packed."""
        rows = self.block.to_dense()
        return rows if self.stop - self.start == len(rows) else rows[self.start : self.stop].clone()

    def product(self, x: Tensor) -> Tensor:
        """Map the last axis, x @ rows.T."""
        result = product(x, self.block)
        return result if self.stop - self.start == result.shape[-1] else result[..., self.start : self.stop]


def blocked(weights: Tensor, sizes: list[int]) -> list[Prepacked]:
    """Copy a matrix into the blocked order, all of it in one block, and name its parts of so many rows."""
    block: Tensor = _OPS._reorder_linear_weight(weights.detach(), ROWS)
    ends = list(accumulate(sizes))
    return [Prepacked(block, end - size, end) for size, end in zip(sizes, ends, strict=True)]


def stand_in(weight: Tensor) -> Tensor:
    """NaN in the shape of a matrix, without its memory: it takes the place of numbers that are packed."""
    return weight.new_full((1, 1), torch.nan).expand(weight.shape)


def product(x: Tensor, block: Tensor) -> Tensor:
    """Map the last axis, x @ block.T; raises ModelError where a gradient would be needed."""
    if x.requires_grad and torch.is_grad_enabled():
        raise ModelError(
            "the weights are prepacked for inference and have no gradients; use torch.inference_mode(), or call "
            "restore() on the model first."
        )
    result: Tensor = _LINEAR.default(x, block, None, "none", [], "")
    return result
