"""Who may attend to whom, in one number per token.

Every token has an *order*: its rank among the real tokens of its row. A query sees a key if the query's order is ahead
of the key's by at least 0 and less than the window. Everything else is expressed by orders that are far apart:

    padding         PAD, far behind every real token (padding sees padding, so that no row of the softmax is empty)
    empty slots     EMPTY, ahead of every query
    next document   begins DOCUMENT further on

For two rows, `1 1 1 1` and, padded on the left, `0 1 1 1`, a window of 2 gives

    orders   0 1 2 3      sees   x . . .        orders   P 0 1 2      sees   P . . .
                                 x x . .                                     . x . .
                                 . x x .                                     . x x .
                                 . . x x                                     . . x x

Orders survive every storage: a rolling cache keeps its slots in any sequence and still masks rightly.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

DOCUMENT = 1 << 32
"""Distance between the first tokens of neighbouring documents; no document is longer than half of it."""

UNLIMITED = 1 << 31
"""The window of a model that has none: all of one document, nothing of another."""

PAD = -(1 << 60)
EMPTY = 1 << 60


@dataclass
class Layout:
    """Orders of the queries and of the keys of one forward pass, and what can be told without looking at them.

    `queries` is (batch or 1, new tokens) and `keys` (batch or 1, keys). `plain`: no padding and no documents, and no
    key comes after the last query. Then `free` tells that every query sees all keys, and `causal` that the keys are the
    queries, each seeing itself and all before it.
    """

    queries: Tensor
    keys: Tensor
    window: int
    plain: bool = False

    @property
    def free(self) -> bool:
        return self.plain and self.queries.shape[1] == 1 and self.keys.shape[1] <= self.window

    @property
    def causal(self) -> bool:
        length = self.keys.shape[1]
        return self.plain and self.queries.shape[1] == length and length <= self.window

    def allowed(self) -> Tensor:
        """Boolean mask (batch or 1, 1, queries, keys)."""
        return allowed(self.queries[:, None, :, None], self.keys[:, None, None, :], self.window)


def allowed(query: Tensor, key: Tensor, window: int) -> Tensor:
    """Whether the query of one order sees the key of another; broadcasts."""
    ahead = query - key
    return (ahead >= 0) & (ahead < window)


def orders_of(real: Tensor, start: Tensor, documents: Tensor | None = None) -> Tensor:
    """Orders of new tokens, (batch, length).

    `real` (batch, length) is False for padding; `start` (batch,) is the order that the next real token of each row
    takes; `documents` (batch, length) changes from one token to the next where a document ends.
    """
    before = real.long().cumsum(1) - real.long()
    if documents is None:
        return torch.where(real, start[:, None] + before, PAD)
    begins = torch.zeros_like(real)
    begins[:, 1:] = documents[:, 1:] != documents[:, :-1]
    first = torch.where(begins, before, 0).cummax(1).values  # real tokens before the own document
    return torch.where(real, start[:, None] + before - first + begins.long().cumsum(1) * DOCUMENT, PAD)


def documents_of(position_ids: Tensor) -> Tensor:
    """Number the documents of a packed batch: one begins wherever a position does not follow the one before.

    >>> documents_of(torch.tensor([[0, 1, 2, 0, 1, 0]])).tolist()
    [[0, 0, 0, 1, 1, 2]]
    """
    begins = torch.zeros_like(position_ids, dtype=torch.long)
    begins[:, 1:] = position_ids.diff(dim=1) != 1
    return begins.cumsum(1)


def positions_of(orders: Tensor) -> Tensor:
    """Rotary positions when the caller gives none: the rank within the own document, 0 for padding."""
    return torch.where(orders < 0, 0, orders % DOCUMENT)
