"""Weights in the blocked order in which oneDNN's kernels for the CPU read them fastest.

A plain product copies its weight into that order on every call, which costs as much as reading it. Measured on one core
of a Zen 5 beside the plain product, bandwidth for one row: 1.5 times in float32, 3.5 times in bfloat16; eight rows 2
to 4 times; 512 rows 2 to 3 times in float32 and the same in bfloat16.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from .errors import ModelError

ROWS = 8
"""Rows of input for which the order is chosen; it was no worse than any other for 1 to 512."""


def packable(weight: Tensor) -> bool:
    """Whether this machine has kernels for the packed form of a matrix."""
    if weight.device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    if weight.dtype == torch.bfloat16:
        return bool(_ops()._is_mkldnn_bf16_supported())
    return weight.dtype == torch.float32


@dataclass(frozen=True)
class Packed:
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
        return product(x, self.block)[..., self.start : self.stop]


def pack(weights: Tensor, sizes: list[int]) -> list[Packed]:
    """Copy a matrix into the blocked order, all of it in one block, and name its parts of so many rows."""
    block: Tensor = _ops()._reorder_linear_weight(weights.detach(), ROWS)
    ends = list(accumulate(sizes))
    return [Packed(block, end - size, end) for size, end in zip(sizes, ends, strict=True)]


def stand_in(weight: Tensor) -> Tensor:
    """NaN in the shape of a matrix, without its memory: it takes the place of numbers that are packed."""
    return weight.new_full((1, 1), torch.nan).expand(weight.shape)


def product(x: Tensor, block: Tensor) -> Tensor:
    """Map the last axis, x @ block.T; raises ModelError where a gradient would be needed."""
    if x.requires_grad and torch.is_grad_enabled():
        raise ModelError(
            "the weights are packed for inference and have no gradients; use torch.inference_mode(), or call "
            "unpack() on the model first."
        )
    result: Tensor = _linear()(x, block, None, "none", [], "")
    return result


@functools.cache
def _linear() -> Callable[..., Any]:
    found: Callable[..., Any] = _ops()._linear_pointwise.default
    return found


def _ops() -> Any:
    return torch.ops.mkldnn
