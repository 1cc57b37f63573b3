"""The decoding loop with drafts: one forward pass runs several tokens of every row and keeps those that were right.

A token counts only if it is the one that is chosen after all before it, so the result is that of decoding one by one,
drawn tokens included. Columns are taken back where the row with the fewest right ones ends; rows that got further
bring their tokens along as the beginning of the next pass, where they are sure to be right.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from .decoding import Step, Steps
from .lookup import Lookup
from .processors import Processor
from .sampling import logprobs


class LookupSteps(Steps):
    """Steps whose drafts are found in the text itself."""

    _texts: Sequence[Lookup] = ()
    """One for each row of the batch, padding left out; none before the first step."""
    _row_processors: Sequence[list[Processor]] = ()
    """Those of each row by itself, for rows are not equally long here; none where the largest logit is taken as is."""

    def _prepare(self) -> None:
        if not self._argmax:
            starts = [None if self._start is None else self._start[i : i + 1] for i in range(len(self._rows))]
            self._row_processors = [self._processors_of(start) for start in starts]

    def _advance(self) -> Step:
        if self._texts:
            return self._several()
        step = super()._advance()
        copies, texts = self.options.num_return_sequences, []
        for row, new in enumerate(step.tokens):
            ids = self.prompt.ids[row // copies, -self.prompt.lengths[row // copies] :].tolist()
            texts.append(Lookup([*ids, *new]))
        self._texts = texts
        self._prepare()
        return step

    def _several(self) -> Step:
        """One token or more for every row."""
        known = [max(self._ends(i) - self._run, 0) for i in range(len(self._rows))]
        feed = self._feed(known)
        width, going = len(feed[0]), [i for i, row in enumerate(self._rows) if self.finished[row] is None]
        new, kept = torch.tensor(feed, device=self._device), width + 1 - min(known[i] for i in going)
        if self._ids is not None:
            self._ids[:, self._run : self._run + width] = new
        logits = self._forward(new, self._run + width, kept)
        chosen = self._choose(logits.flatten(0, 1)[:, None]) if self._argmax else []
        step = self._step()
        for i in going:
            own = chosen[i * kept : (i + 1) * kept]
            self._verify(i, feed[i], known[i], logits[i], own, step)
        self._run = min(self._ends(i) for i in going) - 1
        if self._cache is not None:
            self._cache.crop(self._run)
        step.finished = list(self.finished)
        return step

    def _verify(self, i: int, feed: list[int], known: int, logits: Tensor, chosen: list[int], step: Step) -> None:
        """Give row i the tokens that come after what is known of its feed, as long as the feed had the same ones.

        `logits` (columns, vocabulary), and `chosen` if the largest is taken, are those of the feed's last columns.
        """
        for at in range(known - 1 - len(feed), 0):  # from the end, as in `logits`
            token = chosen[at] if chosen else self._choose_one(i, logits[at], self._run + len(feed) + at + 1)
            self._add(i, token, step)
            if step.logprobs is not None:
                chance = logprobs(logits[at], torch.tensor(token, device=self._device))
                step.logprobs[self._rows[i]].append(float(chance))
            if self.finished[self._rows[i]] is not None or at == -1 or feed[at + 1] != token:
                return

    def _ends(self, i: int) -> int:
        """The column after the last token of row i of the batch."""
        return self.prompt.columns + self._made[self._rows[i]]

    def _feed(self, known: list[int]) -> list[list[int]]:
        """The next columns of every row: what it has already, then its draft, then whatever makes rows equally long."""
        feed, width = [], 0
        for text, row, count in zip(self._texts, self._rows, known, strict=True):
            tokens = text.ids[len(text.ids) - count :]
            if self.finished[row] is None:
                room = min(self.options.prompt_lookup + 1 - count, self._limits[row] - self._made[row] - 1)
                tokens += text.draft(room) if room > 0 else []
                width = max(width, len(tokens))
            feed.append(tokens)
        return [(tokens + [self.options.pad_token_id] * (width - len(tokens)))[:width] for tokens in feed]

    def _choose_one(self, i: int, logits: Tensor, column: int) -> int:
        """The token for a column of row i, through processors or by drawing."""
        numbers = None if self._draws is None else self._draws(column - self.prompt.columns)[i : i + 1]
        logits = logits[None]
        if self._row_processors[i] and self._ids is not None:
            logits = self._process(self._ids[i : i + 1, :column], logits, self._row_processors[i])
        return self._choose(logits[:, None], numbers)[0]

    def _add(self, i: int, token: int, step: Step) -> None:
        super()._add(i, token, step)
        if self._texts:
            self._texts[i].append(token)

    def _keep(self, kept: list[int]) -> None:
        super()._keep(kept)
        self._texts = [self._texts[i] for i in kept]
        self._prepare()
