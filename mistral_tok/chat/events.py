"""What a model's output says, piece by piece; and the message that the pieces add up to."""

from __future__ import annotations

import hashlib
import json
import string
from collections.abc import Iterable
from typing import Any, ClassVar, Literal

import msgspec

from mistral_tok.chat.calls import FunctionCall, ToolCall
from mistral_tok.chat.chunks import TextChunk, ThinkChunk
from mistral_tok.chat.messages import AssistantMessage

Fault = Literal[
    "after_end",
    "arguments_cut_off",
    "arguments_invalid",
    "arguments_not_json",
    "bad_id",
    "bad_name",
    "calls_cut_off",
    "calls_not_a_list",
    "control_out_of_place",
    "nested_thinking",
    "no_arguments",
    "no_name",
    "repeated_id",
    "repeated_key",
    "stray_thinking_end",
    "text_after_calls",
    "thinking_not_closed",
    "unknown_id",
    "unknown_key",
    "unknown_tool",
]
"""Names of what can be wrong with an output."""

SPOILT: dict[Fault, str] = {
    "arguments_cut_off": "The output ends within the arguments of a tool call; it is kept as text.",
    "arguments_not_json": "The arguments of a tool call are not JSON; it is kept as text.",
    "calls_cut_off": "The output ends within a list of tool calls; what is not a whole call is kept as text.",
    "calls_not_a_list": "Tool calls are a JSON list of objects in this version; this is not, and is kept as text.",
    "no_arguments": "A tool call has no arguments; it is kept as text.",
    "no_name": "A tool call has no name; it is kept as text.",
    "repeated_key": "A tool call names a key twice; it is kept as text.",
    "text_after_calls": "Text follows the list of tool calls.",
    "control_out_of_place": "A control token stands within a tool call; the call is kept as text.",
}
"""What is said of a call that is none."""

_SYMBOLS = string.digits + string.ascii_letters
ID_LENGTH = 9
"""Length of the ids that v3 to v11 ask for."""


class Event(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    """Base of all events."""


class TextDelta(Event, frozen=True, kw_only=True, tag="text"):
    """More of the answer."""

    text: str


class ThinkingDelta(Event, frozen=True, kw_only=True, tag="thinking"):
    """More of a thought; `begins` with its first piece and `closed` with its last, which are empty."""

    text: str
    begins: bool = False
    closed: bool = False


class CallBegun(Event, frozen=True, kw_only=True, tag="call_begun"):
    """A tool call whose name is known. `id` is None where the format has none, or has it later."""

    index: int
    name: str
    id: str | None = None


class ArgumentsDelta(Event, frozen=True, kw_only=True, tag="arguments"):
    """More of a call's arguments, as the model wrote them."""

    index: int
    text: str


class CallComplete(Event, frozen=True, kw_only=True, tag="call_complete"):
    """A whole call: `arguments` as written (the deltas, joined), `value` what they mean as JSON."""

    index: int
    name: str
    id: str
    arguments: str
    value: Any


class Problem(Event, frozen=True, kw_only=True, tag="problem"):
    """Something is wrong with the output. `position` counts the ids; `call` is a begun call that does not count.

    What the model wrote there comes as text in the next event.
    """

    fault: Fault
    message: str
    position: int
    call: int | None = None


class End(Event, frozen=True, kw_only=True, tag="end"):
    """The end-of-sequence id: the output is whole, not cut short."""


class CallResult(Event, frozen=True, kw_only=True, tag="call_result"):
    """What a tool answered to call `index`; `failed` where the content is an error that was told to the model."""

    index: int
    name: str
    id: str
    content: str
    failed: bool = False


class Finish(Event, frozen=True, kw_only=True, tag="finish"):
    """One output of the model is over; its last event.

    `reason`: `stop` (an end-of-sequence id, or the stop string `stop`), `tool_calls` (the same, and there are calls to
    be answered), `length` (as many ids as were allowed). `cached_tokens` of the prompt's ids were not run again.
    """

    reason: Literal["stop", "length", "tool_calls"]
    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    stop: str | None = None


class ParsedMessage(AssistantMessage, kw_only=True, tag_field="role", tag="assistant", eq=False):
    """An assistant message read from ids; equal to an AssistantMessage that says the same.

    `values` are the calls' arguments as JSON values, `ended` tells whether the end-of-sequence id was there.
    """

    checked: ClassVar[bool] = False
    values: list[Any] = msgspec.field(default_factory=list)
    problems: list[Problem] = msgspec.field(default_factory=list)
    ended: bool = False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, AssistantMessage):
            return NotImplemented
        if isinstance(other, ParsedMessage) and (self.problems, self.ended) != (other.problems, other.ended):
            return False
        mine, its = (self.content, self.tool_calls, self.prefix), (other.content, other.tool_calls, other.prefix)
        return mine == its

    def __ne__(self, other: object) -> bool:
        return not self == other  # the record's own comparison, which would be inherited, is by identity

    __hash__ = None  # type: ignore[assignment]


def join(events: Iterable[Event]) -> ParsedMessage:
    """The message that events add up to, however the output was split.

    >>> join([TextDelta(text="a"), TextDelta(text="b")]).content
    'ab'
    """
    parts: list[tuple[type, list[str], bool]] = []
    calls: list[CallComplete] = []
    problems: list[Problem] = []
    ended = False
    for event in events:
        if isinstance(event, TextDelta | ThinkingDelta):
            _extend(parts, event)
        elif isinstance(event, CallComplete):
            calls.append(event)
        elif isinstance(event, Problem):
            problems.append(event)
        elif isinstance(event, End):
            ended = True
    return ParsedMessage(
        content=_content(parts, bool(calls)),
        tool_calls=[_tool_call(call) for call in calls] or None,
        values=[call.value for call in calls],
        problems=problems,
        ended=ended,
    )


def _extend(parts: list[tuple[type, list[str], bool]], event: TextDelta | ThinkingDelta) -> None:
    """Add a piece to the chunk it continues: the last one, if it is of the same kind and open."""
    begins, closed = (event.begins, event.closed) if isinstance(event, ThinkingDelta) else (False, False)
    if parts and parts[-1][0] is type(event) and not parts[-1][2] and not begins:
        kind, pieces, _ = parts[-1]
        pieces.append(event.text)
        parts[-1] = (kind, pieces, closed)
    else:
        parts.append((type(event), [event.text], closed))


def _content(parts: list[tuple[type, list[str], bool]], has_calls: bool) -> str | list[TextChunk | ThinkChunk] | None:
    if all(kind is TextDelta for kind, _, _ in parts):
        text = "".join(piece for _, pieces, _ in parts for piece in pieces)
        return text or (None if has_calls else "")
    chunks: list[TextChunk | ThinkChunk] = []
    for kind, pieces, closed in parts:
        text = "".join(pieces)
        if kind is ThinkingDelta:
            chunks.append(ThinkChunk(thinking=text, closed=closed))
        elif text:
            chunks.append(TextChunk(text=text))
    return chunks


def _tool_call(call: CallComplete) -> ToolCall:
    return ToolCall(id=call.id, function=FunctionCall(name=call.name, arguments=call.arguments))


def made_id(index: int, name: str, arguments: str, taken: Iterable[str] = ()) -> str:
    """A call id of nine letters and digits that depends only on the call, and is none of `taken`.

    >>> made_id(0, "now", "{}") == made_id(0, "now", "{}") != made_id(1, "now", "{}")
    True
    """
    for attempt in range(1 << 20):
        key = json.dumps([index, name, arguments, attempt]).encode()
        number = int.from_bytes(hashlib.sha256(key).digest(), "big")
        symbols = []
        for _ in range(ID_LENGTH):
            number, rest = divmod(number, len(_SYMBOLS))
            symbols.append(_SYMBOLS[rest])
        if (made := "".join(symbols)) not in taken:
            return made
    raise RuntimeError("unreachable: a million hashes in a row were taken")
