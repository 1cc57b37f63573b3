"""What was changed or dropped between a request as it came and the ids: one line an edit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mistral_tok.chat import openai
from mistral_tok.chat.normalise import Turn
from mistral_tok.chat.strict import convert, unknown_keys

if TYPE_CHECKING:
    from mistral_tok.chat.tokenized import Tokenized


NO_EFFECT = "this key has no effect"
NO_KEYS = {"role": "user", "content": ""}
"""Stands for a message that is an object."""


class Edit(NamedTuple):
    """One change: its kind, where (a path into the request), and what happened.

    `kind` is one of: dropped key, moved, merged, skipped, reordered, rewritten, inserted, truncated, id changed, role
    fixed.
    """

    kind: str
    path: str
    detail: str

    def __str__(self) -> str:
        return f"{self.kind} at {self.path}: {self.detail}"


def dropped_keys(data: Any, tools: Sequence[Any] | None = None, weights: bool = False) -> Iterator[Edit]:
    """Keys of an accepted request in OpenAI's format, and of its tools, that have no effect; objects have no keys.

    `weights`: the key `weight` of assistant messages was read.
    """
    for i, tool in enumerate(tools or ()):
        if isinstance(tool, Mapping):
            for path in unknown_keys(tool, convert(tool, openai.OpenAIToolSpec), f"$.tools[{i}]"):
                yield Edit("dropped key", path, NO_EFFECT)
    if isinstance(data, str | bytes | bytearray):
        data = openai.parse_json(data)
    if isinstance(data, Sequence):
        data = {"messages": data}
    if not isinstance(data, Mapping):
        return
    messages = [m if isinstance(m, Mapping) else NO_KEYS for m in data["messages"]]
    record = convert({**data, "messages": messages}, openai.OpenAIRequest)
    for path in unknown_keys(data, record):
        yield Edit("dropped key", path, NO_EFFECT)
    for i, m in enumerate(record.messages):
        if not isinstance(m, openai.OpenAIAssistant):
            continue
        if m.given_weight is not None and not weights:
            yield Edit("dropped key", f"$.messages[{i}].weight", NO_EFFECT)
        if m.reasoning is not None or m.reasoning_content is not None:
            yield Edit("moved", f"$.messages[{i}]", "the reasoning became a thinking chunk in front of the content")


def turn_edits(messages: Sequence[Any], done: Tokenized) -> Iterator[Edit]:
    """Messages merged, calls rewritten, results reordered, turns inserted or left out."""
    highest = -1
    for turn, row in done.plan:
        if turn.message is None:
            yield Edit("inserted", "$.messages[0]", "an empty user message stands in front of the first message")
            continue
        path = f"$.messages[{turn.message}]"
        for later in range(turn.message + 1, turn.after):
            yield Edit("merged", f"$.messages[{later}]", f"joined with the {turn.role} message at {path}")
        if turn.message < highest:
            yield Edit("reordered", path, "this result moved into the order of the calls")
        highest = max(highest, turn.message)
        if not row:
            yield Edit("skipped", path, "this version writes no calls and results before the last user message")
        yield from _rewritten(messages, turn)
    for i in done.dropped:
        yield Edit("truncated", f"$.messages[{i}]", "left out so that the rest fits")


def _rewritten(messages: Sequence[Any], turn: Turn) -> Iterator[Edit]:
    given = [
        (i, k, call.function.arguments)
        for i in range(turn.message or 0, turn.after if turn.calls else 0)
        for k, call in enumerate(messages[i].tool_calls or ())
    ]
    for (i, k, arguments), call in zip(given, turn.calls or (), strict=True):
        if call.arguments != arguments:
            path = f"$.messages[{i}].tool_calls[{k}].function.arguments"
            yield Edit("rewritten", path, "the arguments are written in the usual form of JSON")
