"""The choice of a token for every row, step after step, and its way to Python.

On the CPU, what a choice costs is not arithmetic: after a pass over the weights nothing is left in the processor's
caches, and every operation of PyTorch's costs some twenty microseconds there, whatever its size. NumPy's are lighter,
its searches are vectorised, and memory is used again. Microseconds at best on two threads of a Zen 5, warm, float32,
32,000 ids:

    rows    argmax of PyTorch, NumPy    51 largest by topk, by a bound    softmax and sum of all
    1               28,   2                      57,  23                           53
    8              108,  16                     180, 159 (one thread)             203

Tried in vain, after a pass over 50 million bfloat16 weights: the bits of bfloat16 numbers searched as integers, with a
second search for NaN (as long for 8 rows, and longer for one), and widening row by row (a third longer).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .processors import COLDEST, Processor, Temperature, TopK
from .sampling import INVALID, NO_IDS, Numbers, draw, drawn, largest

FEW = 8
"""Times that what `TopK` keeps must fit into the vocabulary to be looked at by itself."""

GROUPS = 256
"""Least number of groups whose largest logits bound what `TopK` keeps; there are four times as many as it keeps."""


class Chooser:
    """Chooses for the rows of a batch."""

    def __init__(self, device: torch.device, warpers: Sequence[Processor] = ()) -> None:
        self._warpers = warpers
        self._on_cpu = device.type == "cpu"
        self._wide = torch.empty(0)  # logits in float32, where the model's are not, and the same as an array
        self._wide_table: Any = None
        self._places: Any = np.empty((0, 1))  # the memory of `tokens`
        self.tokens = torch.empty(0, 1, dtype=torch.long)
        """(rows, 1) the last choice; on the CPU its memory is that of the next one, too."""

    def __call__(self, logits: Tensor, numbers: Numbers | None = None) -> list[int]:
        """The largest of logits (rows, 1, vocabulary), or draws by `numbers`, one a row, shaped by the warpers.

        INVALID stands where logits are no numbers or leave no choice.
        """
        if not self._on_cpu:
            logits = logits[:, -1]
            tokens = largest(logits) if numbers is None else drawn(logits, numbers, self._warpers)
            self.tokens = tokens[:, None]
            return tokens.tolist()
        table = self._table(logits)
        listed = greedy(table) if numbers is None else sample(table, numbers, self._warpers)
        if len(listed) != len(self._places):
            self.tokens = torch.empty(len(listed), 1, dtype=torch.long)
            self._places = self.tokens.numpy()
        for row, token in enumerate(listed):
            self._places[row, 0] = token
        return listed

    def _table(self, logits: Tensor) -> Any:
        """Logits (rows, 1, vocabulary) as a float32 array (rows, vocabulary)."""
        if logits.dtype == torch.float32:
            return logits.numpy()[:, -1]
        if self._wide.shape != logits.shape:
            self._wide = torch.empty(logits.shape)
            self._wide_table = self._wide.numpy()[:, -1]
        self._wide.copy_(logits)
        return self._wide_table


def greedy(table: Any) -> list[int]:
    """The place of the largest number of each row (rows, vocabulary), the first of equals; INVALID if not finite."""
    found = table.argmax(-1).tolist()  # the place of a NaN, if there is any
    return [token if math.isfinite(table.item(row, token)) else INVALID for row, token in enumerate(found)]


def sample(table: Any, numbers: Any, warpers: Sequence[Processor]) -> list[int]:
    """Let `warpers` shape the distributions (rows, vocabulary), and draw by `numbers` as `draw` does.

    Where one of them keeps few tokens, only those are looked at from there on: going through the whole vocabulary is
    what drawing costs.
    """
    temperature = 1.0
    for i, warper in enumerate(warpers):
        if isinstance(warper, Temperature) and warper.temperature > COLDEST:
            temperature = warper.temperature
            continue
        if isinstance(warper, TopK) and FEW * warper.k < table.shape[1]:
            found = sample_few(table, numbers, temperature, warper.k, warpers[i + 1 :])
            if found is not None:
                return found
        break
    logits = torch.from_numpy(table)
    for warper in warpers:
        logits = warper(NO_IDS, logits)
    return draw(logits, numbers)


def sample_few(
    table: Any, numbers: Sequence[float], temperature: float, k: int, after: Sequence[Processor]
) -> list[int] | None:
    """`sample` among the `k` likeliest tokens, and those as likely as the last of them, once divided by a temperature.

    None if that could be others too, or there are not so many, or a number is none. Few numbers are best left to
    Python, which is at work anyway.
    """
    bounds = lower_bounds(table, k)
    candidates = ~(table < bounds)  # NaN is one, to be found out
    found = []
    for row, (number, (bound,)) in enumerate(zip(numbers, (bounds / temperature).tolist(), strict=True)):
        places = candidates[row].nonzero()[0]
        values: list[float] = (table[row, places] / temperature).tolist()
        if not math.isfinite(sum(values)):
            return None
        least = sorted(values)[-k]
        if not least > bound:  # by now, some of those below the bound may be as likely
            return None
        kept = [i for i, value in enumerate(values) if value >= least]
        values = [values[i] for i in kept]
        for warper in after:
            values = warper(NO_IDS, torch.tensor([values]))[0].tolist()
        found.append(places.item(kept[_draw_few(values, number)]))
    return found


def _draw_few(values: list[float], number: float) -> int:
    """As `draw`, for finite logits of one row, or some that are minus infinity."""
    top = max(values)
    edges = list(accumulate(math.exp(value - top) for value in values))
    return bisect_right(edges, min(number * edges[-1], math.nextafter(edges[-1], 0.0)))


def lower_bounds(table: Any, k: int) -> Any:
    """Numbers (rows, 1) that at least `k` + 1 of each row reach, and seldom many more: no more than so many exceed it.

    The row is cut into groups; the largest of each is one of the row's, so the row's k + 1st largest is no less than
    the groups'.
    """
    rows, length = table.shape
    depth = max(1, length // max(GROUPS, 4 * k))
    groups = length // depth
    tops = np.maximum.reduce(table[:, : depth * groups].reshape(rows, depth, groups), axis=1)
    tops.partition(groups - k - 1, axis=1)
    return tops[:, groups - k - 1 : groups - k]
