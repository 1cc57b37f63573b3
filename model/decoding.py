"""The decoding loop: one forward pass, one choice for every row, one transfer to Python.

Columns are counted from the left edge of the prompt, padding included, and are the same for all rows. `_run` of them
have gone through the model, and the ids of a row reach one column further.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from .arguments import Options, Prompt
from .cache import Cache
from .choosing import Chooser
from .errors import CacheError, GenerateError
from .processors import Processor
from .sampling import INVALID, Draws, logprobs

if TYPE_CHECKING:
    from .modeling import MistralForCausalLM


Reason = Literal["stop", "length"]

WORTHWHILE = 0.25
"""Share of finished rows from which on the others are copied into a smaller batch."""


@dataclass(slots=True)
class Step:
    """What one forward pass added, for every row of the output."""

    tokens: list[list[int]]
    """New ids of each row: one, none if the row had finished, several with prompt lookup."""
    finished: list[Reason | None]
    """Why each row has ended, "stop" or "length"; None while it has not."""
    logprobs: list[list[float]] | None = None
    """Of the new ids, under the logits of the model; None unless asked for."""


class Steps(Iterator[Step]):
    """The steps of one generation; between them, the cache holds a prefix of the ids, and nothing is under way.

    After an exception too, Ctrl-C included: what the cache could not take back it has forgotten altogether.
    """

    def __init__(
        self,
        model: MistralForCausalLM,
        prompt: Prompt,
        options: Options,
        limits: list[int],
        cache: Cache | None,
        seeds: list[int],
    ) -> None:
        copies, rows = options.num_return_sequences, len(prompt.ids) * options.num_return_sequences
        self.prompt = prompt
        self.options = options
        self.finished: list[Reason | None] = [None] * rows  # why each row of the output has ended
        self._model, self._cache = model, cache
        self._limits = [limit for limit in limits for _ in range(copies)]
        self._made = [0] * rows
        self._going = rows
        self._changed = False  # rows have finished since the last look
        self._rows = list(range(rows))  # what each row of the batch is in the output
        self._run = cache.seen if cache is not None else 0
        self._device = prompt.ids.device
        self._start = None if prompt.start is None else prompt.start.repeat_interleave(copies, 0)
        self._mask: Tensor | None = None  # (rows, columns) where every pass needs one
        if cache is None and prompt.mask is not None:
            self._mask = _spread(prompt.mask, copies, max(limits), True)
        owned = cache is None or cache is not options.cache
        # A processor of the caller may remember something of each row, and so may whoever goes on with the cache.
        self._droppable = owned and not options.logits_processors
        self._padded = not owned and rows > 1
        self._inference = owned or (cache is not None and cache.inference)
        self._draws = Draws(seeds, self._device) if options.do_sample else None
        self._choose = Chooser(self._device, options.warpers())
        self._done: Tensor | None = None  # (rows, 1) of the batch, while a finished row is among them
        self._processors = self._processors_of(self._start)
        self._argmax = not self._processors and self._draws is None
        self._last = prompt.ids  # (rows, 1) after the first step: the column that is to be run
        self._ids: Tensor | None = None  # (rows, columns) where more than the last column is needed
        if cache is None or self._processors:
            self._ids = _spread(prompt.ids, copies, max(limits), options.pad_token_id)

    def _processors_of(self, start: Tensor | None) -> list[Processor]:
        return self.options.processors(self.prompt.columns, start, self._device)

    def close(self) -> None:
        """End here; further steps are none."""
        self._going = 0

    def finish(self, row: int) -> None:
        """End one row of the output, as if its last token had been a stop token."""
        if self.finished[row] is None:
            self._finish(row, "stop")

    def _finish(self, row: int, reason: Reason) -> None:
        self.finished[row] = reason
        self._going -= 1
        self._changed = True

    def __next__(self) -> Step:
        if self._going <= 0:
            raise StopIteration
        if not torch.is_grad_enabled() and (torch.is_inference_mode_enabled() or not self._inference):
            return self._next()
        with self.mode():
            return self._next()

    def mode(self) -> AbstractContextManager[None]:
        """What a step enters unless it is in it; whoever takes many saves time by entering it once."""
        # A cache made in inference mode can be changed only there, and one that the caller made is changed elsewhere.
        return torch.inference_mode() if self._inference else torch.no_grad()

    def _next(self) -> Step:
        try:
            if self._changed and self._run >= self.prompt.columns:
                self._leave()
            return self._advance()
        except BaseException:
            self.close()
            self._undo()
            raise

    def _undo(self) -> None:
        """Make the cache forget a pass that was broken off."""
        if self._cache is not None and self._cache.seen != self._run:
            try:
                self._cache.crop(self._run)
            except CacheError:
                self._cache.reset()

    def _advance(self) -> Step:
        """One token for every row."""
        column = max(self._run + 1, self.prompt.columns)  # of the new token
        logits = self._prefill() if self._run < self.prompt.columns else self._forward(self._last, column, 1)
        numbers = None if self._draws is None else self._draws(column - self.prompt.columns)
        shaped = logits
        if self._processors and self._ids is not None:
            shaped = self._process(self._ids[:, :column], logits[:, -1], self._processors)[:, None]
        listed = self._choose(shaped, numbers)
        self._last = self._choose.tokens
        step, chances = self._step(), None
        if step.logprobs is not None:
            chances = logprobs(logits[:, -1], self._last[:, 0].clamp(min=0)).tolist()
        if self._done is not None:
            self._last = self._last.masked_fill(self._done, self.options.pad_token_id)
        if self._ids is not None:
            self._ids[:, column] = self._last[:, 0]
        for i, token in enumerate(listed):
            if self.finished[self._rows[i]] is None:
                self._add(i, token, step)
                if chances is not None and step.logprobs is not None:
                    step.logprobs[self._rows[i]].append(chances[i])
        self._run = column
        step.finished = list(self.finished)
        return step

    def _prefill(self) -> Tensor:
        """Logits (rows, 1, vocabulary) after the prompt, which is run once however often it is continued."""
        ids, mask = self.prompt.ids[:, self._run :], self.prompt.mask
        logits = self._pass(ids, None if mask is None else mask[:, self._run :], 1)
        copies = self.options.num_return_sequences
        if copies == 1:
            return logits
        rows = torch.arange(len(logits), device=logits.device).repeat_interleave(copies)
        if self._cache is not None:
            self._cache.reorder_cache(rows)
        return logits.index_select(0, rows)

    def _forward(self, new: Tensor, stop: int, keep: int) -> Tensor:
        """Logits (rows, keep, vocabulary) of the last columns before `stop`; the cache has those before `new`."""
        if self._cache is None and self._ids is not None:
            return self._pass(self._ids[:, :stop], None if self._mask is None else self._mask[:, :stop], keep)
        return self._pass(new, self._unfinished(stop) if self._padded and self._done is not None else None, keep)

    def _pass(self, ids: Tensor, mask: Tensor | None, keep: int) -> Tensor:
        caching = self._cache is not None
        out = self._model(ids, mask, past_key_values=self._cache, use_cache=caching, logits_to_keep=keep)
        return out.logits  # type: ignore[no-any-return]  # PyTorch types calls of modules as Any

    def _unfinished(self, stop: int) -> Tensor:
        """The mask (rows, columns) of what is run next, up to `stop`: 0 after the last token of a finished row."""
        ended = zip(self.finished, self._made, strict=True)
        ends = [stop if reason is None else self.prompt.columns + made for reason, made in ended]
        columns = torch.arange(self._run, stop, device=self._device)
        return columns < torch.tensor(ends, device=self._device)[:, None]

    def _process(self, ids: Tensor, logits: Tensor, processors: list[Processor]) -> Tensor:
        """Let processors change logits (rows, vocabulary) after these ids."""
        # Those of the caller may write into what they get.
        logits = logits.to(torch.float32, copy=bool(self.options.logits_processors))
        for processor in processors:
            shape, logits = logits.shape, processor(ids, logits)
            if not isinstance(logits, Tensor) or logits.shape != shape:
                raise GenerateError(f"{processor!r} did not return logits of shape {tuple(shape)}.")
        return logits

    def _step(self) -> Step:
        rows = len(self._made)
        empty: list[list[float]] | None = [[] for _ in range(rows)] if self.options.return_logprobs else None
        return Step([[] for _ in range(rows)], [], empty)

    def _add(self, i: int, token: int, step: Step) -> None:
        """Give a new token to row i of the batch."""
        row = self._rows[i]
        if token == INVALID:
            raise GenerateError(
                f"after {self._made[row]} new tokens, the logits of row {row} are not finite, or processors have "
                "forbidden every token; look for NaN in the weights, and compute in bfloat16 or float32, not float16."
            )
        step.tokens[row].append(token)
        self._made[row] += 1
        if token in self.options.stop_token_ids:
            self._finish(row, "stop")
        elif self._made[row] >= self._limits[row]:
            self._finish(row, "length")

    def _leave(self) -> None:
        """Take finished rows out of the batch if enough of them have gathered to pay for copying the others."""
        self._changed = False
        done = [self.finished[row] is not None for row in self._rows]
        if self._droppable and sum(done) >= len(done) * WORTHWHILE:
            self._keep([i for i, ended in enumerate(done) if not ended])
        else:
            self._done = torch.tensor(done, device=self._device)[:, None]

    def _keep(self, kept: list[int]) -> None:
        """Make these rows the batch."""
        index = torch.tensor(kept, device=self._device)
        self._rows = [self._rows[i] for i in kept]
        self._done = None
        self._last = self._last.index_select(0, index)
        self._ids = None if self._ids is None else self._ids.index_select(0, index)
        self._start = None if self._start is None else self._start.index_select(0, index)
        self._mask = None if self._mask is None else self._mask.index_select(0, index)
        self._processors = self._processors_of(self._start)
        if self._cache is not None:
            self._cache.reorder_cache(index)
        if self._draws is not None:
            self._draws.keep(kept)


def _spread(rows: Tensor, copies: int, more: int, fill: int | bool) -> Tensor:
    """Each row (rows, columns) repeated, with so many more columns of `fill`."""
    repeated = rows.repeat_interleave(copies, 0)
    return torch.cat((repeated, repeated.new_full((len(repeated), more), fill)), dim=1)
