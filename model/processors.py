"""What changes the logits before a token is chosen, in the order in which Hugging Face transformers applies it.

    repetition penalty    over prompt and new tokens
    frequency, presence   over new tokens only, as the OpenAI API defines them
    min_new_tokens        no stop token before
    the caller's own
    temperature, top_k, top_p, min_p    only when sampling

Every one is called with the ids so far (rows, tokens) and logits (rows, vocabulary) in float32, and returns new logits;
it keeps nothing from one call to the next. Objects of Hugging Face's `LogitsProcessor` kind can stand among them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Processor = Callable[[Tensor, Tensor], Tensor]

COLDEST = 1e-6
"""Logits divided by less may be beyond all numbers."""

LEAST = 1e-38
"""Less is 0 in float32."""

HEAD = 256
"""Largest logits that `TopP` looks at first: they hold the nucleus of nearly every distribution."""

MARGIN = 1e-5
"""Closer than this to `top_p`, rounding could decide, and the whole vocabulary is sorted."""


@dataclass(frozen=True)
class RepetitionPenalty:
    """Divides positive logits of tokens that have occurred by `penalty` and multiplies negative ones.

    `start` (rows, 1) is the column of the first token that is no padding; None if there is no padding.
    """

    penalty: float
    start: Tensor | None = None

    def __call__(self, ids: Tensor, logits: Tensor) -> Tensor:
        if self.start is not None:
            columns = torch.arange(ids.shape[1], device=ids.device)
            ids = torch.where(columns < self.start, ids[:, -1:], ids)  # the last token has occurred anyway
        seen = logits.gather(1, ids)
        return logits.scatter(1, ids, torch.where(seen < 0, seen * self.penalty, seen / self.penalty))


@dataclass(frozen=True)
class CountPenalty:
    """Subtracts `frequency` for every time that a token has been generated, and `presence` once if it ever was."""

    frequency: float
    presence: float
    prompt: int
    """Number of columns before the first generated token."""

    def __call__(self, ids: Tensor, logits: Tensor) -> Tensor:
        new = ids[:, self.prompt :]
        counts = torch.zeros_like(logits).scatter_add_(1, new, torch.ones_like(new, dtype=logits.dtype))
        return logits - self.frequency * counts - self.presence * (counts > 0)


@dataclass(frozen=True)
class MinNewTokens:
    """Forbids the `stops` until `count` tokens have been generated."""

    count: int
    prompt: int
    stops: Tensor
    """(stops,) ids."""

    def __call__(self, ids: Tensor, logits: Tensor) -> Tensor:
        if ids.shape[1] - self.prompt >= self.count:
            return logits
        return logits.index_fill(1, self.stops, float("-inf"))


@dataclass(frozen=True)
class Temperature:
    """Divides all logits."""

    temperature: float

    def __call__(self, ids: Tensor, logits: Tensor) -> Tensor:
        if self.temperature > COLDEST:
            return logits / self.temperature
        # Relative to the largest logit, they stay numbers where the others are beyond all.
        return (logits - logits.amax(-1, keepdim=True)) / max(self.temperature, LEAST)


@dataclass(frozen=True)
class TopK:
    """Keeps the `k` largest logits, and all that are equal to the least of them."""

    k: int

    def __call__(self, ids: Tensor, logits: Tensor) -> Tensor:
        least = logits.topk(min(self.k, logits.shape[1])).values[:, -1:]
        return logits.masked_fill(logits < least, float("-inf"))


@dataclass(frozen=True)
class TopP:
    """Keeps the likeliest tokens until their probabilities add up to `p`, at least one."""

    p: float

    def __call__(self, ids: Tensor, logits: Tensor) -> Tensor:
        least = self._least(logits)
        if least is not None:
            return logits.masked_fill(logits < least, float("-inf"))
        ordered, places = logits.sort()
        removed = ordered.softmax(-1).cumsum(-1) <= 1 - self.p
        removed[:, -1] = False
        return logits.masked_fill(removed.scatter(1, places, removed), float("-inf"))

    def _least(self, logits: Tensor) -> Tensor | None:
        """The smallest logit kept (rows, 1), found without sorting the vocabulary; None if that cannot tell.

        Elsewhere than on the CPU sorting is cheap, and waiting for an answer is not.
        """
        if logits.device.type != "cpu" or logits.shape[1] <= 2 * HEAD:
            return None
        head = logits.topk(HEAD).values
        chances = np.exp(head.double().numpy() - logits.logsumexp(-1, keepdim=True).numpy())
        before = chances.cumsum(1) - chances  # mass of the likelier ones
        rows, count = np.arange(len(before)), (before < self.p).sum(1).clip(1, HEAD - 1)
        least, following = head.numpy()[rows, count - 1], head.numpy()[rows, count]
        sure = (least > following) & (before[:, -1] >= self.p) & (abs(before - self.p) > MARGIN).all(1)
        return torch.from_numpy(least)[:, None] if sure.all() else None


@dataclass(frozen=True)
class MinP:
    """Keeps tokens at least `p` times as likely as the likeliest one."""

    p: float

    def __call__(self, ids: Tensor, logits: Tensor) -> Tensor:
        probabilities = logits.softmax(-1)
        return logits.masked_fill(probabilities < self.p * probabilities.amax(-1, keepdim=True), float("-inf"))
