"""Rows of ids through the model: one with the cache of the conversation before, or several side by side."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from mistral_tok.chat.stable import shared
from mistral_tok.pipelines.answer import Finished

if TYPE_CHECKING:
    from mistral_tok.model import MistralForCausalLM
    from mistral_tok.model.cache import Cache

Said = tuple[list[int], Finished]
"""New ids of a row, and why the last of them is the last."""


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
        self, ids: list[int], options: dict[str, Any], cached: Callable[[int], None] = lambda count: None
    ) -> Generator[Said, None, None]:
        """The new ids of one row, as they come; `cached` is told how many of `ids` need not be run.

        The iterator may be closed at any time: what has been run by then is kept.
        """
        from mistral_tok.model.generate import generate_steps

        kind = options.get("cache") or "growing"
        cache = self._take(ids, kind)
        cached(0 if cache is None else cache.seen)
        said: list[int] = []
        steps = generate_steps(self.model, self._rows([ids])[0], **{**options, "cache": cache or kind})
        try:
            with closing(steps):
                for step in steps:
                    said += step.tokens[0]
                    yield step.tokens[0], step.finished[0]
        except GeneratorExit:
            self._keep(cache, [*ids, *said])
            raise
        self._keep(cache, [*ids, *said])  # not after an error, in the middle of which the cache may be of no use

    def together(self, rows: Sequence[list[int]], options: dict[str, Any]) -> Generator[list[Said], None, None]:
        """The new ids of each row, step by step; rows of different lengths are padded on the left."""
        from mistral_tok.model.generate import generate_steps

        ids, mask = self._rows(rows)
        options = {"cache": "growing", **options, "pad_token_id": self._pad_id}
        with closing(generate_steps(self.model, ids, mask, **options)) as steps:
            for step in steps:
                yield list(zip(step.tokens, step.finished, strict=True))

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

    def _take(self, ids: list[int], kind: Any) -> Cache | None:
        """A cache that holds the first ids, the kept one if it can; None where the cache is not of a kind to be kept.

        It is the caller's alone until it is kept again.
        """
        from mistral_tok.model import CacheError, GrowingCache, RollingCache

        if kind not in ("growing", "rolling"):
            return None
        wanted = GrowingCache if kind == "growing" else RollingCache
        with self._lock:
            kept, self._kept = self._kept, None
        if kept is not None and isinstance(kept[0], wanted):
            cache, before = kept
            try:
                cache.crop(min(shared(before, ids), len(ids) - 1))
                return cache
            except CacheError:
                cache.reset()  # a rolling cache has overwritten what the ids share
                return cache
        return wanted(self.model.config)

    def _keep(self, cache: Cache | None, ids: list[int]) -> None:
        if cache is not None:
            with self._lock:
                self._kept = cache, ids[: cache.seen]
