"""One vocabulary, one version, one mode: request → plan → ids, with truncation and reuse."""

from __future__ import annotations

from dataclasses import replace
from itertools import compress, pairwise, takewhile
from typing import TYPE_CHECKING, Any, Literal

from mistral_tok.chat.formats import FORMATS
from mistral_tok.chat.instruct import InstructRequest, conversation_of
from mistral_tok.chat.layout import Layout
from mistral_tok.chat.mediaids import ALL, MediaAccess, MediaIds
from mistral_tok.chat.normalise import Conversation, normalise
from mistral_tok.chat.refusals import ForbiddenTextException
from mistral_tok.chat.requests import ChatFields
from mistral_tok.chat.segments import Plan, Segment, encode_rows, same
from mistral_tok.chat.settings import settings_text
from mistral_tok.chat.tokenized import Tokenized
from mistral_tok.chat.toolblock import ToolBlocks
from mistral_tok.chat.truncate import exchanges, kept_as_reference, messages_of
from mistral_tok.chat.validate import refuse_audio, validate
from mistral_tok.errors import InvalidRequestException, TokenizerException

if TYPE_CHECKING:
    from mistral_tok.tokenizer import Tokenizer

Truncation = Literal["messages", "turns"]

SETTINGS_KEPT = 64
"""Texts of model settings that one tokenizer remembers."""


class Engine:
    """Encodes checked requests; what it remembers never changes a result, and is bounded."""

    def __init__(self, tokenizer: Tokenizer, version: str, mode: str) -> None:
        self.tokenizer = tokenizer
        if tokenizer._encoder is not tokenizer._whole:
            raise TokenizerException(f"{tokenizer.name} lacks pieces for some bytes; conversations need them all.")
        self._rows = tokenizer._whole.rows
        self.row = row = FORMATS[version]
        self.mode = mode
        config: Any = tokenizer.config
        self.builder = config.get("model_settings_builder")
        names = tokenizer.special_names
        think = (names["[THINK]"], names["[/THINK]"]) if {"[THINK]", "[/THINK]"} <= names.keys() else None
        self.bos, eos = self._end_id("bos_id"), self._end_id("eos_id")
        self.media = MediaIds(config.get("image"), config.get("audio"), self.control, names.get)
        self._layout = Layout(row, self.control, eos, think, self.media)
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
                place = str(error).partition(";")[0]
                raise ForbiddenTextException(
                    f"UTF-8 cannot write half of a surrogate pair: {place}; take it out."
                ) from None
            return self.tokenizer.encode(text, errors="replace")

    def plan(self, request: ChatFields, access: MediaAccess = ALL, bounded: bool = True) -> Plan:
        """The validated, normalised and laid out conversation.

        Raises:
            MistralCommonException: one of its subclasses; see `validate`.

        """
        return self._layout.plan(self._conversation(request, bounded), access)

    def _conversation(self, request: ChatFields, bounded: bool) -> Conversation:
        """The validated and normalised conversation with its tool list and its settings."""
        row, messages = self.row, request.messages
        roles: list[str] = [m.role for m in messages]
        validate(request, roles, row, self.mode)
        tools = self._tools.segment(request.tools) if request.tools else None
        if request.reasoning_effort is not None and not row.settings:
            raise InvalidRequestException(
                f"reasoning_effort={request.reasoning_effort!r} is not supported before v15 (at $.reasoning_effort)."
            )
        if request.truncate_for_context_length and not bounded:
            raise TokenizerException("truncate_for_context_length is set; pass max_model_input_len to encoding, too.")
        done = normalise(messages, roles, row)
        if tools is not None:
            done.tools = tools
        if row.settings:
            done.settings = self._settings_segment(settings_text(request, self.builder))
        if row.audio_beside_system == "by url":
            refuse_audio(messages, roles, ("input_audio",))
        return done

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
        self,
        request: ChatFields,
        access: MediaAccess = ALL,
        budget: int | None = None,
        truncation: Truncation | None = None,
    ) -> Tokenized:
        """Ids of a request, cut to `budget` ids if that is asked for."""
        if truncation == "turns":
            return self._by_exchanges(request, access, budget)
        conversation = self._conversation(request, budget is not None)
        done = self.encoded(self._layout.plan(conversation, access), request, access)
        if (truncation is not None or request.truncate_for_context_length) and self.row.truncates:
            if budget is None:
                raise TokenizerException("truncation needs max_model_input_len.")
            _cut(done, budget)
        return done

    def encoded(self, plan: Plan, request: ChatFields | None = None, access: MediaAccess = ALL) -> Tokenized:
        """The ids of a plan."""
        ends: list[int] = []
        try:
            ids = self._rows(plan.rows, self.bos, ends)
        except ValueError:  # a lone surrogate
            ends = []
            ids = encode_rows(plan.rows, self.bos, ends, self.encode)
        return self._tokenized(plan, ids, ends, request, access)

    def _tokenized(
        self, plan: Plan, ids: list[int], ends: list[int], request: ChatFields | None, access: MediaAccess
    ) -> Tokenized:
        prefix = None
        if plan.turns[-1].prefix:
            prefix = ids[ends[-2] if len(ends) > 1 else 1 :]
        return Tokenized(ids, plan, ends, self.tokenizer, prefix, (), request, access)

    def instruct(self, request: InstructRequest) -> Tokenized:
        """Ids of a request that is normalised already."""
        found = conversation_of(request, self.row, self._tools.segment, self.builder, self.encode)
        done = self.encoded(self._layout.plan(found, ALL))
        if request.truncate_at_max_tokens is not None and self.row.truncates:
            _cut(done, request.truncate_at_max_tokens)
        return done

    def _by_exchanges(self, request: ChatFields, access: MediaAccess, budget: int | None) -> Tokenized:
        """Drop the oldest exchanges until all ids fit, the beginning of the sequence included.

        The last exchange, system messages, the tool list and settings always stay.
        """
        if budget is None:
            raise TokenizerException('truncation="turns" needs max_model_input_len.')
        access = replace(access, known={})
        whole = self._conversation(request, True)
        done = self.encoded(self._layout.plan(whole, access), request, access)
        groups = exchanges(whole.turns)
        lengths = [end - start for start, end in pairwise([1, *done.ends])]
        gone: set[int] = set()
        over = len(done.tokens) - budget
        for group in groups[:-1]:
            if over <= 0:
                break
            gone.update(group)
            over -= sum(lengths[i] for i in group)
            if over <= 0 or group is groups[-2]:
                done = self.encoded(self._layout.plan(whole.without(gone), access), request, access)
                over = len(done.tokens) - budget
        if over > 0:
            raise TokenizerException(
                f"The last exchange, system messages and tools take {len(done.tokens)} ids, and {budget} are allowed."
            )
        done.dropped = tuple(sorted(messages_of([whole.turns[i] for i in gone])))
        return done

    def extended(self, before: Tokenized, request: ChatFields) -> Tokenized:
        """The ids of a longer request, those of its longest stable beginning taken from an earlier one."""
        known = dict(before.access.known or {})
        known |= {id(segment.chunk): segment for segment in before.plan.segments() if segment.chunk is not None}
        access = replace(before.access, known=known)
        plan = self.plan(request, access)
        stays = sum(1 for _ in takewhile(bool, map(same, before.plan.rows, plan.rows)))
        if not stays:
            return self.encoded(plan, request, access)
        kept = before.ends[stays - 1]
        ends: list[int] = []
        more = encode_rows(plan.rows[stays:], self.bos, ends, self.encode)[1:]
        ends = before.ends[:stays] + [end + kept - 1 for end in ends]
        return self._tokenized(plan, before.tokens[:kept] + more, ends, request, access)


def _cut(done: Tokenized, budget: int) -> None:
    """Drop turns as mistral-common does; their images and recordings stay."""
    starts = [1, *done.ends]
    lengths = [end - start for start, end in pairwise(starts)]
    turns = done.plan.turns
    keep = kept_as_reference(turns, lengths, budget)
    if all(keep):
        return
    done.found_images, done.found_audios = done.images, done.audios
    ids, ends = done.tokens[:1], []
    for i in compress(range(len(turns)), keep):
        ids += done.tokens[starts[i] : done.ends[i]]
        ends.append(len(ids))
    gone = [turn for turn, stays in zip(turns, keep, strict=True) if not stays]
    done.tokens, done.ends = ids, ends
    done.plan = Plan(list(compress(turns, keep)), list(compress(done.plan.rows, keep)))
    done.dropped = tuple(sorted(messages_of(gone)))
