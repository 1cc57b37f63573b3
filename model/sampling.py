"""From logits to the id of a token: the greedy choice, or a draw that a seed reproduces."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .processors import Processor, TopK

BLOCK = 64
"""Random numbers made at once for each row."""

FEW = 8
"""Times that what `TopK` keeps must fit into the vocabulary to be looked at by itself."""

NO_IDS = torch.empty(0, 0, dtype=torch.long)
"""What warpers are called with, for they do not look at the ids."""

INVALID = -1
"""Stands for a token where the logits are no numbers or leave no choice."""


def greedy(logits: Tensor) -> tuple[Tensor, list[int]]:
    """The largest of each row (rows, vocabulary), the first of equals, as a tensor and as a list.

    In the list, INVALID stands where it is not finite. On the CPU, few operations are what counts here, for each costs
    tens of microseconds after a pass over the weights; and NumPy's search is vectorised, where PyTorch's is not.
    """
    if logits.device.type == "cpu":
        table = logits.float().numpy()
        found = table.argmax(-1)  # the place of a NaN, if there is any
        listed = [t if math.isfinite(table.item(row, t)) else INVALID for row, t in enumerate(found.tolist())]
        return torch.from_numpy(found), listed
    tokens = largest(logits)
    return tokens, tokens.tolist()


def largest(logits: Tensor) -> Tensor:
    """What `greedy` does on a GPU: (rows,) ids found without waiting for anything."""
    found = logits.max(-1)
    return torch.where(found.values.isfinite(), found.indices, INVALID)


def sample(logits: Tensor, numbers: Tensor, warpers: Sequence[Processor]) -> tuple[Tensor, list[int]]:
    """Let `warpers` shape the distributions (rows, vocabulary), and draw by `numbers` as `draw` does.

    Where one of them keeps few tokens, only those are looked at from there on: on the CPU, going through the whole
    vocabulary is what drawing costs.
    """
    for i, warper in enumerate(warpers):
        if isinstance(warper, TopK) and logits.device.type == "cpu" and FEW * warper.k < logits.shape[1]:
            found = _sample_few(logits, numbers, warpers[:i], warper.k, warpers[i + 1 :])
            if found is not None:
                return found
    for warper in warpers:
        logits = warper(NO_IDS, logits)
    return draw(logits, numbers)


def _sample_few(
    logits: Tensor, numbers: Tensor, before: Sequence[Processor], k: int, after: Sequence[Processor]
) -> tuple[Tensor, list[int]] | None:
    """`sample` among the `k` likeliest tokens; None if the next one is as likely, and so would be kept as well.

    `before` changes logits one by one and keeps their sequence.
    """
    values, places = logits.topk(k + 1)
    for warper in before:
        values = warper(NO_IDS, values)
    if not bool((values[:, -2] > values[:, -1]).all()):
        return None
    places, turned = places[:, :-1].sort()  # in the vocabulary's sequence, as `draw` goes through it
    values = values.gather(1, turned)
    for warper in after:
        values = warper(NO_IDS, values)
    chosen = draw(values, numbers)[1]
    rows = zip(places.numpy(), chosen, strict=True)
    tokens = [INVALID if place == INVALID else row.item(place) for row, place in rows]
    return torch.tensor(tokens), tokens


def draw(logits: Tensor, numbers: Tensor) -> tuple[Tensor, list[int]]:
    """One token per row of (rows, vocabulary), by numbers (rows,) in [0, 1), as `greedy` returns them.

    The number falls into one of the intervals into which the probabilities cut [0, 1). They are added up in double
    precision, so that rare tokens of a large vocabulary keep their share.
    """
    edges = logits.float().softmax(-1).cumsum(-1, dtype=torch.float64)
    if logits.device.type == "cpu":
        listed = [_interval(*row) for row in zip(edges.numpy(), numbers.tolist(), strict=True)]
        return torch.tensor(listed), listed
    tokens = intervals(edges, numbers)
    return tokens, tokens.tolist()


def intervals(edges: Tensor, numbers: Tensor) -> Tensor:
    """What `draw` does on a GPU: the interval of each row (rows, vocabulary) into which its number falls."""
    total = edges[:, -1:]
    point = torch.minimum(numbers[:, None] * total, torch.nextafter(total, torch.zeros_like(total)))
    places = torch.searchsorted(edges, point, right=True)  # a token without probability has no interval
    return torch.where(total.isfinite(), places, INVALID)[:, 0]


def _interval(edges: Any, number: float) -> int:
    """The same for one row, a NumPy array (vocabulary,)."""
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

    def __call__(self, index: int) -> Tensor:
        """(rows,) numbers in [0, 1) for new token `index`."""
        while index >= self._numbers.shape[1]:
            block = torch.stack([torch.rand(BLOCK, generator=g, dtype=torch.float64) for g in self._generators])
            self._numbers = torch.cat((self._numbers, block.to(self._device)), dim=1)
        return self._numbers[:, index]

    def keep(self, rows: Sequence[int]) -> None:
        """Forget all but these rows."""
        self._generators = [self._generators[row] for row in rows]
        self._numbers = self._numbers[list(rows)]


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
