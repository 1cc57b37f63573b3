"""The result of encoding: ids, and on demand where each of them comes from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import msgspec

from mistral_tok.chat.decoding import decode
from mistral_tok.chat.mediaids import ALL, MediaAccess
from mistral_tok.chat.openai import public
from mistral_tok.chat.segments import Plan, Segment
from mistral_tok.chat.spans import Span, offsets_of, spans_of

if TYPE_CHECKING:
    from mistral_tok.chat.report import Edit
    from mistral_tok.chat.requests import ChatCompletionRequest, ChatFields
    from mistral_tok.tokenizer import Tokenizer


class Tokenized(msgspec.Struct, gc=False, eq=False):
    """Ids of a request; everything beside them is made when asked for.

    `tokens` are the ids, `prefix_ids` those of a final message that the assistant is to continue (or None), `dropped`
    the indices of the messages that truncation left out.
    """

    tokens: list[int]
    plan: Plan
    ends: list[int]
    tokenizer: Tokenizer
    prefix_ids: list[int] | None = None
    dropped: tuple[int, ...] = ()
    accepted: ChatFields | None = None
    access: MediaAccess = ALL
    found_report: list[Edit] | None = None
    found_images: list[Any] | None = None
    found_audios: list[Any] | None = None
    found_spans: list[Span] | None = None
    found_offsets: list[tuple[int, int, int] | None] | None = None

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
        """The ids as text, control tokens shown."""
        return decode(self.tokenizer, self.tokens, "keep")

    @property
    def request(self) -> ChatCompletionRequest | None:
        """The checked copy of the conversation that was encoded; None for other requests."""
        if self.accepted is None:
            return None
        self.accepted = request = public(self.accepted)
        return request

    @property
    def report(self) -> list[Edit]:
        """The edits made to the request, where `report=True` asked for them."""
        if self.found_report is None:
            self.found_report = []
        return self.found_report

    @property
    def images(self) -> list[Any]:
        """The images that the model receives, float32 arrays of shape (3, height, width)."""
        if self.found_images is None:
            self.found_images = self._media("image")
        return self.found_images

    @property
    def audios(self) -> list[Any]:
        """The recordings that the model receives."""
        if self.found_audios is None:
            self.found_audios = self._media("audio")
        return self.found_audios

    def _media(self, part: str) -> list[Any]:
        """What the model receives of one kind: it stands in turns whose content is not simply a text."""
        if self.tokenizer.config.get(part) is None:  # the vocabulary has none
            return []
        rows = [row for turn, row in self.plan if type(turn.content) is not str]
        return [item.medium for row in rows for item in row if isinstance(item, Segment) and item.part == part]

    @property
    def spans(self) -> list[Span]:
        """What each run of ids stands for, in order and without gaps."""
        if self.found_spans is None:
            first = self._first
            head = [Span(0, first, None, "", "control")] if first else []
            self.found_spans = head + list(spans_of(self.plan, first, self._text_offsets))
        return self.found_spans

    @property
    def offsets(self) -> list[tuple[int, int, int] | None]:
        """For each id `(message, start, stop)`: the characters that it covers in that message's text; None for others.

        The text is the content, a chunk of it, or a part of a tool call, as `spans` tell.
        """
        if self.found_offsets is None:
            self.found_offsets = offsets_of(self.plan, self._first, self._text_offsets)
        return self.found_offsets

    def _text_offsets(self, text: str) -> Sequence[Sequence[int]]:
        offsets = self.tokenizer.encode_with_offsets(text, errors="replace").offsets
        return cast("Sequence[Sequence[int]]", offsets.tolist())

    @property
    def assistant_mask(self) -> list[int]:
        """1 for each id that the assistant wrote and must learn, its end of sequence included; 0 for the others.

        Messages of weight 0 are not learnt.
        """
        mask = [0] * len(self.tokens)
        start = self._first
        for turn, end in zip(self.plan.turns, self.ends, strict=True):
            if turn.role == "assistant" and turn.weight != 0:
                mask[start:end] = [1] * (end - start)
            start = end
        return mask

    @property
    def _first(self) -> int:
        """How many ids stand before the first turn."""
        return min(1, len(self.tokens))
