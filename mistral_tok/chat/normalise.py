"""Validated messages → turns: neighbours of one role merged, texts joined, results ordered, arguments rewritten."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from mistral_tok.chat import jsontext
from mistral_tok.chat.formats import Format
from mistral_tok.errors import TokenizerException

if TYPE_CHECKING:
    from mistral_tok.chat.segments import Segment

JOIN = "\n\n"
"""What joins texts of different messages."""


class Source(msgspec.Struct, gc=False, frozen=True):
    """Where characters `start:stop` of a text come from: characters from `own` on in a part of a message.

    `nth` counts the chunks of a message's content (None where the content is one string), or its calls.
    """

    start: int
    stop: int
    message: int | None
    nth: int | None
    own: int = 0
    part: str = "text"
    role: str | None = None

    def moved(self, by: int, role: str | None = None) -> Source:
        """The same origin in a text that has `by` more characters in front."""
        return Source(self.start + by, self.stop + by, self.message, self.nth, self.own, self.part, role or self.role)


class Text(msgspec.Struct, gc=False, frozen=True):
    """A text joined from several places."""

    text: str
    sources: tuple[Source, ...]


class Call(msgspec.Struct, gc=False, frozen=True):
    """One tool call with its arguments in the usual form."""

    name: str
    arguments: str
    id: str
    message: int


class Media(msgspec.Struct, gc=False, frozen=True):
    """An image or audio chunk, or a thought, and where it stands."""

    chunk: Any
    message: int
    nth: int


class Turn(msgspec.Struct, gc=False, eq=False):
    """One message after normalisation, made from messages `message:after`.

    `content` is one text, or a list of texts and chunks; `message` is None for a turn that nobody sent.
    """

    role: str
    content: str | list[Text | Media]
    message: int | None
    after: int = 0
    sources: tuple[Source, ...] | None = None
    calls: list[Call] | None = None
    prefix: bool = False
    weight: float | None = None
    call_id: str | None = None
    name: str | None = None


class Conversation(msgspec.Struct, gc=False, eq=False):
    """The turns, the system text where it is no turn of its own, and the places of the first and last user turn.

    `tools` and `settings` are what stands in front of one of these two.
    """

    turns: list[Turn]
    system: Text | None
    first_user: int
    last_user: int
    tools: Segment | None = None
    settings: Segment | None = None

    def without(self, gone: Collection[int]) -> Conversation:
        """The conversation without some of its turns."""
        left = conversation([turn for i, turn in enumerate(self.turns) if i not in gone], self.system)
        left.tools, left.settings = self.tools, self.settings
        return left


def normalise(messages: Sequence[Any], roles: list[str], row: Format) -> Conversation:
    """The turns of a conversation that is valid for `row`."""
    turns: list[Turn] = []
    in_place = row.system == "in place"
    system = _system_text(messages, roles, row) if not in_place and "system" in roles else None
    call_ids: list[str] = []
    first_user = last_user = -1
    first, count = 0, len(roles)
    while first < count:
        role, content = roles[first], messages[first].content
        after = first + 1
        if role == "assistant":
            weight = messages[first].weight
            while after < count and roles[after] == role and messages[after].weight == weight:
                after += 1
            turn = _assistant(messages, first, after, row)
            turns.append(turn)
            if turn.calls is not None:
                call_ids += [call.id for call in turn.calls]
        else:
            while after < count and roles[after] == role:
                after += 1
            if role == "user":
                last_user = len(turns)
                if first_user < 0:
                    first_user = last_user
                if after == first + 1 and type(content) is str:
                    turns.append(Turn(role, content, first, after))
                else:
                    turns.append(_merged(messages, first, after, row))
            elif role == "tool":
                turns += _results(messages, first, after, row, call_ids)
                call_ids = []
            elif in_place:
                turns += [_merged(messages, i, i + 1, row) for i in range(first, after)]
        first = after
    if not turns or (not in_place and turns[0].role != "user"):
        return conversation([Turn("user", "", None), *turns], system)
    return Conversation(turns, system, first_user, last_user)


def conversation(turns: list[Turn], system: Text | None) -> Conversation:
    """The conversation of these turns."""
    users = [i for i, turn in enumerate(turns) if turn.role == "user"] or [-1]
    return Conversation(turns, system, users[0], users[-1])


def as_they_stand(messages: Sequence[Any], system: Text | None, row: Format) -> Conversation:
    """The conversation with a turn for each message, in the order given."""
    turns: list[Turn] = []
    for i, m in enumerate(messages):
        if m.role == "assistant":
            turns.append(_assistant(messages, i, i + 1, row))
        elif m.role == "tool":
            turns += _results(messages, i, i + 1, row, [])
        else:
            turns.append(_merged(messages, i, i + 1, row))
    return conversation(turns, system)


def _merged(messages: Sequence[Any], first: int, after: int, row: Format) -> Turn:
    content = messages[first].content
    if after == first + 1 and type(content) is str:
        return Turn(messages[first].role, content, first, after)
    content, sources = join([(i, messages[i].content) for i in range(first, after)], row.glue)
    return Turn(messages[first].role, content, first, after, sources)


def _assistant(messages: Sequence[Any], first: int, after: int, row: Format) -> Turn:
    m = messages[first]
    if after == first + 1 and (m.content is None or type(m.content) is str):
        turn = Turn("assistant", m.content or "", first, after, None, None, m.prefix, m.weight)
        if not m.tool_calls:
            return turn
    else:
        turn = _merged(messages, first, after, row)
        turn.weight = m.weight
    for i in range(first, after):
        m = messages[i]
        if m.prefix:
            turn.prefix = True
        if m.tool_calls:
            if turn.calls is None:
                turn.calls = []
            for call in m.tool_calls:
                function = call.function
                turn.calls.append(Call(function.name, jsontext.rewrite(function.arguments), call.id, i))
    return turn


def _results(messages: Sequence[Any], first: int, after: int, row: Format, call_ids: list[str]) -> list[Turn]:
    turns = []
    for i in range(first, after):
        m = messages[i]
        turn = _merged(messages, i, i + 1, row)
        turn.call_id, turn.name = m.tool_call_id, m.name
        turns.append(turn)
    if row.call_order and len(turns) > 1:
        place = {call_id: k for k, call_id in enumerate(call_ids)}
        turns.sort(key=lambda turn: place.get(turn.call_id or "null", len(place)))
    return turns


def _system_text(messages: Sequence[Any], roles: Sequence[str], row: Format) -> Text | None:
    """The contents of all system messages in one text, or None if there are none."""
    if roles.count("system") == 1:
        i = roles.index("system")
        content = messages[i].content
        if type(content) is str:
            return Text(content, (Source(0, len(content), i, None, 0, "text", "system"),)) if content else None
    text = ""
    sources: list[Source] = []
    found = False
    for i, role in enumerate(roles):
        if role == "system" and messages[i].content:
            part, own = join([(i, messages[i].content)], row.glue)
            if not isinstance(part, str):
                raise TokenizerException(f"Only text can stand in a system message (at $.messages[{i}]).")
            text += JOIN if found else ""
            sources += [source.moved(len(text), "system") for source in own or ()]
            text += part
            found = True
    return Text(text, tuple(sources)) if found else None


Joined = tuple[str | list[Text | Media], tuple[Source, ...] | None]


def join(contents: Sequence[tuple[int, Any]], glue: str) -> Joined:
    """The contents of one or more messages as one text, or as texts and chunks in order.

    Empty texts vanish. Texts of one message are joined by `glue`, of different messages by two newlines.
    """
    out: list[Text | Media] = []
    text = ""
    sources: list[Source] = []
    for message, content in contents:
        new_message = bool(text)
        parts = [(None, content)] if isinstance(content, str) else list(enumerate(content or ()))
        for index, part in parts:
            kind = "text" if isinstance(part, str) else part.type
            if kind != "text":
                if text:
                    out.append(Text(text, tuple(sources)))
                    text, sources = "", []
                out.append(Media(part, message, index or 0))
                continue
            own = part if isinstance(part, str) else part.text
            if not own:
                continue
            if text:
                text += JOIN if new_message else glue
            new_message = False
            sources.append(Source(len(text), len(text) + len(own), message, index))
            text += own
    if not out:
        return text, tuple(sources)
    if text:
        out.append(Text(text, tuple(sources)))
    return out, None
