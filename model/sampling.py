"""From logits to the ids of tokens: the greedy choice on a GPU, and draws that a seed reproduces."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .processors import Processor

BLOCK = 64
"""Random numbers made at once for each row."""

NO_IDS = torch.empty(0, 0, dtype=torch.long)
"""What warpers are called with, for they do not look at the ids."""

INVALID = -1
"""Stands for a token where the logits are no numbers or leave no choice."""

Numbers = list[float] | Tensor
"""(rows,) random numbers in [0, 1): a list on the CPU, where Python needs them, elsewhere a tensor of the device."""


def largest(logits: Tensor) -> Tensor:
    """The largest of each row (rows, vocabulary), found without waiting for anything; INVALID if not finite."""
    found = logits.max(-1)
    return torch.where(found.values.isfinite(), found.indices, INVALID)


def drawn(logits: Tensor, numbers: Any, warpers: Sequence[Processor]) -> Tensor:
    """Ids (rows,), again without waiting: let `warpers` shape the distributions (rows, vocabulary), then as `draw`."""
    logits = logits.float()
    for warper in warpers:
        logits = warper(NO_IDS, logits)
    return intervals(logits.softmax(-1).cumsum(-1, dtype=torch.float64), numbers)


def draw(logits: Tensor, numbers: Sequence[float]) -> list[int]:
    """One token per row of logits (rows, vocabulary) on the CPU, by numbers (rows,) in [0, 1).

    The number falls into one of the intervals into which the probabilities cut [0, 1). They are added up in double
    precision, so that rare tokens of a large vocabulary keep their share.
    """
    edges = logits.softmax(-1).cumsum(-1, dtype=torch.float64).numpy()
    return [_interval(*row) for row in zip(edges, numbers, strict=True)]


def intervals(edges: Tensor, numbers: Tensor) -> Tensor:
    """The interval of each row (rows, vocabulary) into which its number falls; INVALID where there is none."""
    total = edges[:, -1:]
    point = torch.minimum(numbers[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    places = torch.searchsorted(edges, point, right=True)  # a token without probability has no interval
    return torch.where(total.isfinite(), places, INVALID)[:, 0]


def _interval(edges: Any, number: float) -> int:
    """The same for one row, an array (vocabulary,)."""
    total = edges.item(-1)
    if not math.isfinite(total):
        return INVALID
    return int(edges.searchsorted(min(number * total, math.nextafter(total, 0.0)), side="right"))


def logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """Logarithm of the probability of each token (...,) under raw logits (..., vocabulary), in float32."""
    logits = logits.float()
    return logits.gather(-1, tokens[..., None])[..., 0] - logits.logsumexp(-1)


class Draws:
    """Random numbers of every row, each a function of its seed and of which of its new tokens is drawn.

    So a row draws the same whatever lies beside it, in however many steps. Made on the CPU, for the same numbers on
    every device.
    """

    def __init__(self, seeds: Sequence[int], device: torch.device) -> None:
        self._generators = [torch.Generator().manual_seed(_mixed(seed)) for seed in seeds]
        self._device = device
        self._numbers = torch.empty(len(seeds), 0, dtype=torch.float64, device=device)
        self._columns: list[Any] = []  # the same, as they are given out

    def __call__(self, index: int) -> Numbers:
        """(rows,) numbers for new token `index`."""
        while index >= len(self._columns):
            block = torch.stack([torch.rand(BLOCK, generator=g, dtype=torch.float64) for g in self._generators])
            self._set(torch.cat((self._numbers, block.to(self._device)), dim=1))
        return self._columns[index]  # type: ignore[no-any-return]

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all but these rows."""
        self._generators = [self._generators[row] for row in rows]
        self._set(self._numbers[list(rows)])

    def _set(self, numbers: Tensor) -> None:
        self._numbers = numbers
        self._columns = numbers.T.tolist() if self._device.type == "cpu" else list(numbers.unbind(1))


def seeds_of(seed: int | Sequence[int] | None, rows: int) -> list[int]:
    """One seed a row: those given, or derived from one and the row's number, or taken from PyTorch's generator."""
    if seed is None:
        return [int(s) for s in torch.randint(0, 2**62, (rows,))]
    if isinstance(seed, int):
        return [_mixed(seed, row) for row in range(rows)]
    return list(seed)


def _mixed(*numbers: int) -> int:
    """Spread neighbouring seeds over all that a generator can tell apart (on the CPU, 32 bits)."""
    text = " ".join(map(str, numbers)).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=4).digest(), "little")
