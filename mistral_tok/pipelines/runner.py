"""Rows of ids through the model: one with the cache of the conversation before, or several side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from typing import TYPE_CHECKING, Any

from mistral_tok.chat.stable import shared
from mistral_tok.pipelines.answer import Finished

if TYPE_CHECKING:
    from mistral_tok.model import MistralForCausalLM
    from mistral_tok.model.cache import Cache
    from mistral_tok.model.generate import Steps

KEPT = ("growing", "rolling")
"""Kinds of caches that can be kept for a conversation that goes on; the others are as long as one answer needs."""


class Runner:
    """Runs a model. The KV cache of the last row that was run alone is kept, and used for one that begins alike."""

    def __init__(self, model: MistralForCausalLM, pad_id: int) -> None:
        self.model = model
        self._pad_id = pad_id
        self._kept: tuple[Cache, list[int]] | None = None
        self._lock = threading.Lock()

    def forget(self) -> None:
        """Give back the memory of the kept cache."""
        self._kept = None

    def alone(
        self, ids: list[int], options: dict[str, Any], begin: Callable[[int], None]
    ) -> Generator[tuple[list[int], Finished], None, None]:
        """The new ids of one row as they come, and why the last of them is the last.

        `begin` is told how many of `ids` need not be run. The generator may be closed at any time: what has been run
        by then is kept.
        """
        from mistral_tok.model.generate import generate_steps

        options = {"cache": "growing", **options}
        cache = self._take(ids, options)
        said: list[int] = []
        try:
            begin(0 if cache is None else cache.seen)
            if cache is not None:
                options["cache"] = cache
            for step in generate_steps(self.model, self._rows([ids])[0], **options):
                said += step.tokens[0]
                yield step.tokens[0], step.finished[0]
        finally:
            if cache is not None:  # which holds a prefix of the ids, also after an error
                with self._lock:
                    self._kept = cache, [*ids, *said][: cache.seen]

    def together(self, rows: Sequence[list[int]], options: dict[str, Any]) -> Steps:
        """Steps for all rows; those of different lengths are padded on the left."""
        from mistral_tok.model.generate import generate_steps

        ids, mask = self._rows(rows)
        return generate_steps(self.model, ids, mask, **{"cache": "growing", **options, "pad_token_id": self._pad_id})

    def _rows(self, rows: Sequence[list[int]]) -> tuple[Any, Any]:
        """Ids (rows, length), and a mask where there is padding."""
        import torch

        length = max(map(len, rows))
        padded = [[self._pad_id] * (length - len(row)) + row for row in rows]
        ids = torch.tensor(padded, dtype=torch.long, device=self.model.device).reshape(len(rows), length)
        if all(len(row) == length for row in rows):
            return ids, None
        mask = [[0] * (length - len(row)) + [1] * len(row) for row in rows]
        return ids, torch.tensor(mask, dtype=torch.long, device=self.model.device)

    def _take(self, ids: list[int], options: dict[str, Any]) -> Cache | None:
        """A cache that holds the first ids, the kept one if it can; None where the cache is not of a kind to be kept.

        It is the caller's alone until it is kept again.
        """
        from mistral_tok.model import CacheError, GrowingCache, RollingCache

        kind = options["cache"]
        if not isinstance(kind, str) or kind not in KEPT:
            return None
        slack = options.get("prompt_lookup", 0) if kind == "rolling" else 0
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is not None and isinstance(kept[0], GrowingCache if kind == "growing" else RollingCache):
            cache, before = kept
            if not isinstance(cache, RollingCache) or cache.capacity - cache.window >= slack:
                try:
                    cache.crop(max(0, min(shared(before, ids), len(ids) - 1)))
                except CacheError:  # a rolling cache has overwritten what the ids share
                    cache.reset()
                return cache
        return GrowingCache(self.model.config) if kind == "growing" else RollingCache(self.model.config, slack)
