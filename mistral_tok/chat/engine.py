"""One vocabulary, one version, one mode: request → plan → ids, with truncation and reuse."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from mistral_tok.chat.formats import FORMATS
from mistral_tok.chat.layout import Layout
from mistral_tok.chat.mediaids import ALL, MediaAccess, MediaIds
from mistral_tok.chat.normalise import Conversation, Media, normalise
from mistral_tok.chat.refusals import ForbiddenTextException
from mistral_tok.chat.requests import ChatCompletionRequest
from mistral_tok.chat.segments import Plan, Segment, encode_plan
from mistral_tok.chat.settings import settings_text
from mistral_tok.chat.toolblock import ToolBlocks
from mistral_tok.chat.truncate import exchanges, kept_as_reference, messages_of, without
from mistral_tok.chat.validate import refuse_audio, validate
from mistral_tok.errors import InvalidRequestException, TokenizerException

if TYPE_CHECKING:
    from mistral_tok.tokenizer import Tokenizer

Truncation = Literal["messages", "turns"]

SETTINGS_KEPT = 64
"""Texts of model settings that one tokenizer remembers."""


class Collected(msgspec.Struct, gc=False, eq=False):
    """Makes the segments of media, once each, and collects what the model receives beside the ids."""

    maker: MediaIds
    access: MediaAccess
    known: dict[int, Segment] | None = None
    images: list[Any] = []
    audios: list[Any] = []

    def __call__(self, media: Media) -> Segment:
        if self.known is None:
            self.known = {}
        segment = self.known.get(id(media.chunk))
        if segment is None:
            segment = self.known[id(media.chunk)] = self.maker.segment(media, self.access)
        (self.images if segment.part == "image" else self.audios).append(segment.medium)
        return segment

    def restart(self) -> None:
        """Collect anew, for another plan of the same request."""
        self.images, self.audios = [], []


class Encoded(msgspec.Struct, gc=False, eq=False):
    """Ids of a conversation and the plan that they were made from."""

    ids: list[int]
    plan: Plan
    ends: list[int]
    prefix_ids: list[int] | None
    dropped: tuple[int, ...] = ()


class Engine:
    """Encodes checked requests; what it remembers never changes a result, and is bounded."""

    def __init__(self, tokenizer: Tokenizer, version: str, mode: str) -> None:
        self.tokenizer = tokenizer
        self._plain = tokenizer._encoder.encode  # one call less for each text than tokenizer.encode
        self.row = row = FORMATS[version]
        self.mode = mode
        config: Any = tokenizer.config
        self.builder = config.get("model_settings_builder")
        names = tokenizer.special_names
        think = (names["[THINK]"], names["[/THINK]"]) if {"[THINK]", "[/THINK]"} <= names.keys() else None
        self.bos, eos = self._end_id("bos_id"), self._end_id("eos_id")
        self.media = MediaIds(config.get("image"), config.get("audio"), self.control, names.get)
        self._layout = Layout(row, self.control, eos, think)
        self._tools = ToolBlocks(self.encode)
        self._settings: dict[str, Segment] = {}

    def _end_id(self, name: str) -> int:
        token = getattr(self.tokenizer, name)
        if token is None:
            raise TokenizerException(f"{self.tokenizer.name} has no {name}; conversations need it.")
        return int(token)

    def control(self, name: str) -> int:
        """The id of a control token. SentencePiece files that lack one give the id of `<unk>`, as the reference."""
        token = self.tokenizer.special_names.get(name)
        if token is not None:
            return token
        if self.tokenizer.family == "sentencepiece":
            return self.tokenizer.unk_id or 0
        raise TokenizerException(f"{self.tokenizer.name} has no control token {name}; {self.row.version} needs it.")

    def encode(self, text: str) -> list[int]:
        """The ids of a text. Lone surrogates are replaced in Tekken files; SentencePiece cannot write them.

        Raises:
            ForbiddenTextException: the text has a lone surrogate, and the file is a SentencePiece one.

        """
        try:
            return self.tokenizer.encode(text)
        except ValueError as error:
            if self.tokenizer.family == "sentencepiece":
                raise ForbiddenTextException(
                    f"The text has a lone surrogate, which UTF-8 cannot write: {error}"
                ) from None
            return self.tokenizer.encode(text, errors="replace")

    def plan(self, request: ChatCompletionRequest, media: Collected, *, bounded: bool = True) -> Plan:
        """The validated, normalised and laid out conversation.

        Raises:
            MistralCommonException: one of its subclasses; see `validate`.

        """
        conversation, tools, settings = self.prepare(request, bounded=bounded)
        return self._layout.plan(conversation, tools, settings, media)

    def prepare(
        self, request: ChatCompletionRequest, *, bounded: bool
    ) -> tuple[Conversation, Segment | None, Segment | None]:
        """The validated and normalised conversation, its tool list and its settings."""
        row = self.row
        validate(request, row, self.mode)
        tools = self._tools.segment(request.tools) if request.tools else None
        if request.reasoning_effort is not None and not row.settings:
            raise InvalidRequestException(
                f"reasoning_effort={request.reasoning_effort!r} is not supported before v15 (at $.reasoning_effort)."
            )
        if request.truncate_for_context_length and not bounded:
            raise TokenizerException("truncate_for_context_length is set; pass max_model_input_len to encoding, too.")
        conversation = normalise(request.messages, row)
        settings = self._settings_segment(settings_text(request, self.builder)) if row.settings else None
        if row.audio_beside_system == "by url":
            refuse_audio(request.messages, ("input_audio",))
        return conversation, tools, settings

    def _settings_segment(self, text: str | None) -> Segment | None:
        """The segment of settings; the first few texts are remembered, for there are as many as efforts."""
        if text is None:
            return None
        known = self._settings.get(text)
        if known is None:
            known = Segment(text, "settings", None, self.encode(text))
            if len(self._settings) < SETTINGS_KEPT and len(text) < 100:
                self._settings[text] = known
        return known

    def run(
        self, request: ChatCompletionRequest, media: Collected, budget: int | None, truncation: Truncation | None
    ) -> Encoded:
        """Ids of a request, cut to `budget` ids if that is asked for."""
        if truncation == "turns":
            return self._by_exchanges(request, media, budget)
        encoded = self.encoded(self.plan(request, media, bounded=budget is not None))
        wanted = request.truncate_for_context_length or truncation == "messages"
        if wanted and self.row.truncates:
            if budget is None:
                raise TokenizerException("truncation needs max_model_input_len.")
            _cut(encoded, budget)
        return encoded

    def encoded(self, plan: Plan) -> Encoded:
        """The ids of a plan."""
        try:
            ids, ends = encode_plan(plan, [self.bos], self._plain)
        except ValueError:  # a lone surrogate
            ids, ends = encode_plan(plan, [self.bos], self.encode)
        return _encoded(plan, ids, ends)

    def encoded_together(self, plans: Sequence[Plan], threads: int | None) -> list[Encoded]:
        """The ids of many plans; their texts are encoded as one batch."""
        texts = [text for plan in plans for text in texts_of(plan)]
        try:
            rows = iter(self.tokenizer.encode_batch(texts, threads=threads))
        except ValueError:  # a lone surrogate
            rows = iter([self.encode(text) for text in texts])
        return [_encoded(plan, *encode_plan(plan, [self.bos], lambda _: next(rows))) for plan in plans]

    def _by_exchanges(self, request: ChatCompletionRequest, media: Collected, budget: int | None) -> Encoded:
        """Drop the oldest exchanges until all ids fit, the beginning of the sequence included.

        The last exchange, system messages, the tool list and settings always stay.
        """
        if budget is None:
            raise TokenizerException('truncation="turns" needs max_model_input_len.')
        conversation, tools, settings = self.prepare(request, bounded=True)
        encoded = self.encoded(self._layout.plan(conversation, tools, settings, media))
        groups = exchanges(conversation.turns)
        lengths = [end - start for start, end in zip([1, *encoded.ends], encoded.ends, strict=False)]
        gone: set[int] = set()
        over = len(encoded.ids) - budget
        for group in groups[:-1]:
            if over <= 0:
                break
            gone.update(group)
            over -= sum(lengths[i] for i in group)
            if over <= 0 or group is groups[-2]:
                media.restart()
                encoded = self.encoded(self._layout.plan(without(conversation, gone), tools, settings, media))
                over = len(encoded.ids) - budget
        if over > 0:
            raise TokenizerException(
                f"The last exchange, system messages and tools take {len(encoded.ids)} ids, and {budget} are allowed."
            )
        encoded.dropped = tuple(sorted(messages_of([conversation.turns[i] for i in gone])))
        return encoded

    def extended(self, before: Encoded, plan: Plan) -> Encoded:
        """The ids of a plan, those of its longest stable beginning taken from an earlier one."""
        same = 0
        for old, new in zip(before.plan, plan, strict=False):
            if not old.same(new):
                break
            same += 1
        if not same:
            return self.encoded(plan)
        kept, ends = before.ends[same - 1], before.ends[:same]
        ids, more = encode_plan(plan[same:], before.ids[:kept], self.encode)
        return _encoded(plan, ids, ends + more)

    def collected(self, access: MediaAccess = ALL, known: dict[int, Segment] | None = None) -> Collected:
        """A fresh collector of media."""
        return Collected(self.media, access, known)


def _encoded(plan: Plan, ids: list[int], ends: list[int]) -> Encoded:
    prefix = None
    if plan and plan[-1].turn.prefix:
        prefix = ids[ends[-2] if len(ends) > 1 else 1 :]
    return Encoded(ids, plan, ends, prefix)


def texts_of(plan: Plan) -> Iterable[str]:
    """All texts of a plan that are still to be encoded."""
    for laid in plan:
        for item in laid.items:
            if isinstance(item, str):
                yield item
            elif isinstance(item, Segment) and item.ids is None:
                yield item.text


def _cut(encoded: Encoded, budget: int) -> None:
    """Drop turns as mistral-common does."""
    starts: Sequence[int] = [1, *encoded.ends]
    lengths = [end - start for start, end in zip(starts, encoded.ends, strict=False)]
    turns = [laid.turn for laid in encoded.plan]
    keep = kept_as_reference(turns, lengths, budget)
    if all(keep):
        return
    ids, ends, plan = encoded.ids[:1], [], []
    for i, laid in enumerate(encoded.plan):
        if keep[i]:
            ids += encoded.ids[starts[i] : encoded.ends[i]]
            ends.append(len(ids))
            plan.append(laid)
    gone = [turn for turn, stays in zip(turns, keep, strict=True) if not stays]
    encoded.ids, encoded.ends, encoded.plan = ids, ends, plan
    encoded.dropped = tuple(sorted(messages_of(gone)))
