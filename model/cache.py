"""Keys and values of the tokens seen so far, in three ways of storing them behind one interface.

    GrowingCache    keeps everything; memory grows with the text
    StaticCache     keeps everything in buffers made once; for compiled decoding
    RollingCache    keeps what the sliding window can still see; for endless text

The model calls `begin` once per forward pass and `update` once per layer. All give the logits that the model gives
without a cache, for any split of the text into chunks and any padding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .errors import CacheError
from .masking import EMPTY, UNLIMITED, Layout, orders_of

if TYPE_CHECKING:
    from .config import MistralConfig


class Cache(ABC):
    """What all caches share: the orders of the tokens seen (see `masking`), and the bookkeeping of rows.

    `plain` holds as long as no row has padding or several documents; nothing needs to be looked up then.
    """

    def __init__(self, config: MistralConfig) -> None:
        self.window = config.sliding_window or UNLIMITED
        self.reset()

    def reset(self) -> None:
        """Forget everything; the cache is as new."""
        self.seen = 0
        self.plain = True
        self._next: Tensor | None = None  # (batch,) order of the next real token
        self._keys: list[Tensor] = []  # per layer (batch, kv_heads, slots, head_dim)
        self._values: list[Tensor] = []

    def get_seq_length(self) -> int:
        """Number of tokens seen, padding included."""
        return self.seen

    @property
    def rows(self) -> int | None:
        """Number of rows; None while nothing has been seen."""
        return len(self._keys[0]) if self._keys else None

    @property
    def inference(self) -> bool:
        """Whether the tensors were made in PyTorch's inference mode, and so can be written to there only."""
        return bool(self._keys) and self._keys[0].is_inference()

    def begin(
        self, like: Tensor, real: Tensor | None = None, documents: Tensor | None = None, slots: Tensor | None = None
    ) -> Layout:
        """Announce new tokens, shaped and placed as `like` (batch, length), and learn who sees whom.

        `real` is None or False for padding, `documents` None or different for each packed document; `slots` (length,)
        says where they go in a StaticCache and is not needed otherwise.
        """
        batch, length = like.shape[:2]
        if self._keys and len(self._keys[0]) != batch:
            raise CacheError(
                f"the cache holds {len(self._keys[0])} rows, the input {batch}; use reorder_cache or reset."
            )
        if documents is not None and self.seen:
            raise CacheError(
                "document_ids can only be given to an empty cache; later tokens continue the last document."
            )
        plain = self.plain and real is None and documents is None
        if self._next is None:
            self._next = torch.zeros(batch, dtype=torch.long, device=like.device)
        if plain and slots is None:
            orders = torch.arange(self.seen, self.seen + length, device=like.device)[None]
            self._next = self._next + length
        else:
            real = torch.ones(batch, length, dtype=torch.bool, device=like.device) if real is None else real
            orders = orders_of(real, self._next, documents)
            self._next = torch.maximum(self._next, orders.amax(1) + 1)
        if self.plain and not plain:
            self._leave_plain()
        self.plain = plain
        layout = self._place(orders, slots)
        self.seen += length
        return layout

    def _leave_plain(self) -> None:  # noqa: B027  # most caches keep every row's orders anyway
        """The first padding arrives: from here on, every row's orders are told apart."""

    @abstractmethod
    def _place(self, orders: Tensor, slots: Tensor | None) -> Layout:
        """Find room for tokens of these orders; `seen` is still the number of tokens before them."""

    @abstractmethod
    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Store (batch, kv_heads, length, head_dim) and return all keys and values in the sequence of the layout."""

    @abstractmethod
    def crop(self, length: int) -> None:
        """Forget all but the first `length` tokens; a negative number forgets that many at the end."""

    def _crop_target(self, length: int) -> int:
        target = length if length >= 0 else max(self.seen + length, 0)
        return min(target, self.seen)

    def reorder_cache(self, rows: Tensor) -> None:
        """Row i becomes what row `rows[i]` was; rows may be repeated or left out."""
        self._keys = [k.index_select(0, rows) for k in self._keys]
        self._values = [v.index_select(0, rows) for v in self._values]
        if self._next is not None:
            self._next = self._next.index_select(0, rows)


class GrowingCache(Cache):
    """Keeps everything. Buffers grow by half, so that a token costs no copy of all before it."""

    def reset(self) -> None:
        super().reset()
        self._orders: Tensor | None = None  # (batch, seen), only while not plain
        self._room = slice(0, 0)
        self._first = 0

    def _leave_plain(self) -> None:
        if self._next is not None:
            self._orders = torch.arange(self.seen, device=self._next.device).expand(len(self._next), -1)

    def _place(self, orders: Tensor, slots: Tensor | None) -> Layout:
        length = orders.shape[1]
        total = self.seen + length
        self._room = slice(self.seen, total)
        if self.plain:
            self._first = max(0, total - length - self.window + 1)  # the oldest key that the first query sees
            keys = torch.arange(self._first, total, device=orders.device)[None]
            return Layout(orders, keys, self.window, plain=True)
        self._first = 0
        self._orders = orders if self._orders is None else torch.cat((self._orders, orders), dim=1)
        return Layout(orders, self._orders, self.window)

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """The first pass gets back what it gave; later ones all from the oldest key on that their first query sees."""
        if layer == len(self._keys):
            # No room for more yet: a single forward pass pays little for its cache. The copies let go of the memory
            # that keys and values share with the queries.
            self._keys.append(keys.contiguous())
            self._values.append(values.contiguous())
            return keys, values
        self._keys[layer] = self._append(self._keys[layer], keys)
        self._values[layer] = self._append(self._values[layer], values)
        seen = slice(self._first, self._room.stop)
        return self._keys[layer][:, :, seen], self._values[layer][:, :, seen]

    def _append(self, buffer: Tensor, new: Tensor) -> Tensor:
        start, stop = self._room.start, self._room.stop
        if torch.is_grad_enabled() and (buffer.requires_grad or new.requires_grad):
            return torch.cat((buffer[:, :, :start], new), dim=2)  # gradients forbid writing in place
        if stop > buffer.shape[2]:
            batch, heads, _, size = buffer.shape
            larger = buffer.new_zeros(batch, heads, stop + max(stop // 2, 64), size)
            larger[:, :, :start] = buffer[:, :, :start]
            buffer = larger
        buffer[:, :, start:stop] = new
        return buffer

    def crop(self, length: int) -> None:
        """The buffers keep their size, unless nothing is left; what comes next takes the place of what is forgotten."""
        target = self._crop_target(length)
        if target == 0:
            return self.reset()
        self.seen = target
        if self._orders is None:
            self._next = None if self._next is None else torch.full_like(self._next, target)
        else:
            self._orders = self._orders[:, :target]
            self._next = (self._orders.amax(1) + 1).clamp(min=0)
        return None

    def reorder_cache(self, rows: Tensor) -> None:
        super().reorder_cache(rows)
        if self._orders is not None:
            self._orders = self._orders.index_select(0, rows)


class StaticCache(Cache):
    """Keeps up to `max_length` tokens in buffers that never move.

    With `cache_position` given to the model, no shape depends on the number of tokens seen, and a compiled decoding
    step is compiled once. Raises CacheError when the text outgrows the buffers.
    """

    def __init__(self, config: MistralConfig, max_length: int) -> None:
        if type(max_length) is not int or max_length < 1:
            raise CacheError(f"max_length is {max_length!r}; it must be a positive integer.")
        self.max_length = max_length
        super().__init__(config)

    def reset(self) -> None:
        super().reset()
        self._orders: Tensor | None = None  # (batch, max_length)
        self._room: slice | Tensor = slice(0, 0)
        self._read = slice(0, 0)

    def _place(self, orders: Tensor, slots: Tensor | None) -> Layout:
        total = self.seen + orders.shape[1]
        if total > self.max_length:
            raise CacheError(f"{total} tokens do not fit a static cache of {self.max_length}; make it longer, or roll.")
        if self._orders is None:
            rows = 1 if self._next is None else len(self._next)
            self._orders = torch.full((rows, self.max_length), EMPTY, device=orders.device)
        if slots is not None:
            self._check_slots(slots)
            self._room, self._read = slots, slice(None)
            self._orders = self._orders.index_copy(1, slots, orders.expand(len(self._orders), -1))
            return Layout(orders, self._orders, self.window)
        self._room = slice(self.seen, total)
        self._orders[:, self.seen : total] = orders
        first = max(0, self.seen - self.window + 1) if self.plain else 0
        self._read = slice(first, total)
        return Layout(orders, self._orders[:, first:total], self.window, plain=self.plain)

    def _check_slots(self, slots: Tensor) -> None:
        if not torch.compiler.is_compiling() and int(slots[0]) != self.seen:
            raise CacheError(f"cache_position begins at {int(slots[0])}, but the cache holds {self.seen} tokens.")

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        """Write in place; return every slot where `slots` were given, else those that a query may see."""
        if layer == len(self._keys):
            batch, heads, _, size = keys.shape
            self._keys.append(keys.new_zeros(batch, heads, self.max_length, size))
            self._values.append(values.new_zeros(batch, heads, self.max_length, size))
        for buffer, new in ((self._keys[layer], keys), (self._values[layer], values)):
            if isinstance(self._room, Tensor):
                buffer.index_copy_(2, self._room, new)
            else:
                buffer[:, :, self._room] = new
        return self._keys[layer][:, :, self._read], self._values[layer][:, :, self._read]

    def crop(self, length: int) -> None:
        """The slots behind are marked as empty, so that no query sees what they still hold."""
        target = self._crop_target(length)
        if target == 0:
            return self.reset()
        self.seen = target
        if self._orders is not None:
            self._orders[:, target:] = EMPTY
            self._next = (self._orders[:, :target].amax(1) + 1).clamp(min=0)
        return None

    def reorder_cache(self, rows: Tensor) -> None:
        super().reorder_cache(rows)
        if self._orders is not None:
            self._orders = self._orders.index_select(0, rows)


class RollingCache(Cache):
    """Keeps the tokens that a sliding window can still see: a token of order n lies in slot n modulo the capacity.

    With a window of 4, after six tokens, slots hold orders `4 5 2 3`. Padding is not stored at all, so that rows of
    different lengths keep a full window each. `slack` more tokens are kept so that `crop` can take as many back.

    Raises CacheError for a model without a window, and when `crop` wants back what has been overwritten.
    """

    def __init__(self, config: MistralConfig, slack: int = 0) -> None:
        if config.sliding_window is None:
            raise CacheError(
                "a rolling cache needs a sliding_window, and this configuration has none; use GrowingCache."
            )
        if type(slack) is not int or slack < 0:
            raise CacheError(f"slack is {slack!r}; it must be an integer of at least 0.")
        self.capacity = config.sliding_window + slack
        super().__init__(config)

    def reset(self) -> None:
        super().reset()
        self._orders: Tensor | None = None  # (batch, capacity + 1); the last slot takes what is not kept
        self._recent: Tensor | None = None  # (batch, up to capacity) which of the last tokens were real
        self._mode = "first"
        self._slots: Tensor | int = 0

    def _place(self, orders: Tensor, slots: Tensor | None) -> Layout:
        if self._next is None:  # begin() has set it; this tells the type checker
            raise CacheError("begin() must be called before tokens are placed.")
        rows, length = len(self._next), orders.shape[1]
        if self._orders is None:
            self._orders = torch.full((rows, self.capacity + 1), EMPTY, device=orders.device)
        orders = orders.expand(rows, -1)
        self._remember(orders >= 0)
        if self.plain and length == 1 and self.seen:
            return self._place_one(orders)
        old = self._orders[:, : self.capacity].clone()
        keep = (orders >= 0) & (orders >= self._next[:, None] - self.capacity)
        self._slots = torch.where(keep, orders % self.capacity, self.capacity)
        self._orders = self._orders.scatter(1, self._slots, orders)
        self._mode = "chunk" if self.seen else "first"
        if self._mode == "first":
            return Layout(orders, orders, self.window, plain=self.plain)
        return Layout(orders, torch.cat((old, orders), dim=1), self.window)

    def _place_one(self, orders: Tensor) -> Layout:
        """One more token in every row, nothing padded: it replaces the oldest one, and all slots are visible."""
        self._mode, self._slots = "one", self.seen % self.capacity
        self._orders[:, self._slots] = orders[:, 0]  # type: ignore[index]
        keys = self._orders[:, : min(self.seen + 1, self.capacity)]  # type: ignore[index]
        return Layout(orders, keys, self.window, plain=self.capacity == self.window)

    def _remember(self, real: Tensor) -> None:
        recent = real if self._recent is None else torch.cat((self._recent, real), dim=1)
        self._recent = recent[:, -self.capacity :]

    def update(self, keys: Tensor, values: Tensor, layer: int) -> tuple[Tensor, Tensor]:
        if layer == len(self._keys):
            batch, heads, _, size = keys.shape
            self._keys.append(keys.new_zeros(batch, heads, self.capacity + 1, size))
            self._values.append(values.new_zeros(batch, heads, self.capacity + 1, size))
        return self._write(self._keys[layer], keys), self._write(self._values[layer], values)

    def _write(self, ring: Tensor, new: Tensor) -> Tensor:
        if not isinstance(self._slots, Tensor):
            ring[:, :, self._slots] = new[:, :, 0]
            return ring[:, :, : min(self.seen, self.capacity)]
        visible = new if self._mode == "first" else torch.cat((ring[:, :, : self.capacity], new), dim=2)
        ring.scatter_(2, self._slots[:, None, :, None].expand_as(new), new)
        return visible

    def crop(self, length: int) -> None:
        """Up to `slack` tokens can always be taken back, and so can all. Raises CacheError, with nothing changed,
        where what the next token must see is overwritten.
        """
        target = self._crop_target(length)
        removed = self.seen - target
        if target == 0:
            return self.reset()
        if removed == 0 or self._recent is None or self._orders is None or self._next is None:
            return None
        taken = self._recent[:, -removed:].sum(1)
        lost = (self._next > self.capacity) & (taken > self.capacity - self.window)
        if removed > self._recent.shape[1] or bool(lost.any()):
            raise CacheError(
                f"cannot take back {removed} of {self.seen} tokens: the rolling cache has overwritten what they saw; "
                f"make it with slack={removed} or more."
            )
        self._next = self._next - taken
        self._orders = torch.where(self._orders >= self._next[:, None], EMPTY, self._orders)
        self._recent = self._recent[:, :-removed]
        self.seen = target
        return None

    def reorder_cache(self, rows: Tensor) -> None:
        super().reorder_cache(rows)
        if self._orders is not None and self._recent is not None:
            self._orders, self._recent = self._orders.index_select(0, rows), self._recent.index_select(0, rows)
