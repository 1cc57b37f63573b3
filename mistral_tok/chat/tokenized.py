"""The result of encoding: ids, and on demand where each of them comes from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from mistral_tok.chat.spans import Span, offsets_of, spans_of

if TYPE_CHECKING:
    from mistral_tok.chat.engine import Collected, Encoded
    from mistral_tok.chat.report import Edit
    from mistral_tok.chat.requests import ChatCompletionRequest
    from mistral_tok.mistral import MistralTokenizer


class Tokenized(msgspec.Struct, gc=False, eq=False):
    """Ids of a request.

    `tokens` are the ids, `prefix_ids` those of a final message that the assistant is to continue (or None), `images`
    float32 arrays of shape (3, height, width), `audios` the prepared recordings, `report` the edits made to the request
    (asked for with `report=True`), `request` the checked copy of the conversation that was encoded.
    """

    tokens: list[int]
    prefix_ids: list[int] | None
    images: list[Any]
    audios: list[Any]
    encoded: Encoded
    request: ChatCompletionRequest | None
    media: Collected | None
    tokenizer: MistralTokenizer
    report: list[Edit] = []
    found_spans: list[Span] | None = None
    found_offsets: list[tuple[int, int, int] | None] | None = None

    @property
    def dropped(self) -> tuple[int, ...]:
        """Indices of the messages that truncation left out."""
        return self.encoded.dropped

    def __len__(self) -> int:
        return len(self.tokens)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tokenized):
            return NotImplemented
        return self.tokens == other.tokens and self.prefix_ids == other.prefix_ids

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Tokenized({len(self.tokens)} ids, text={self.text[:60]!r})"

    @property
    def text(self) -> str:
        """The ids as text, control tokens shown; made when asked for."""
        return self.tokenizer.decode(self.tokens, special_token_policy="keep")

    @property
    def spans(self) -> list[Span]:
        """What each run of ids stands for, in order and without gaps; made when first asked for."""
        if self.found_spans is None:
            first = self._first
            head = [Span(0, first, None, "", "control")] if first else []
            self.found_spans = head + list(spans_of(self.encoded.plan, first, self.tokenizer.text_offsets))
        return self.found_spans

    @property
    def offsets(self) -> list[tuple[int, int, int] | None]:
        """For each id `(message, start, stop)`: the characters that it covers in that message's text; None for others.

        The text is the content, a chunk of it, or a part of a tool call, as `spans` tell.
        """
        if self.found_offsets is None:
            self.found_offsets = offsets_of(self.encoded.plan, self._first, self.tokenizer.text_offsets)
        return self.found_offsets

    @property
    def assistant_mask(self) -> list[int]:
        """1 for each id that the assistant wrote and must learn, its end of sequence included; 0 for the others.

        Messages of weight 0 are not learnt.
        """
        mask = [0] * len(self.tokens)
        start = self._first
        for laid, end in zip(self.encoded.plan, self.encoded.ends, strict=True):
            turn = laid.turn
            if turn.role == "assistant" and turn.weight != 0:
                mask[start:end] = [1] * (end - start)
            start = end
        return mask

    @property
    def _first(self) -> int:
        """How many ids stand before the first turn."""
        return min(1, len(self.tokens))
