"""What was changed or dropped between a request as it came and the ids: one line an edit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from mistral_tok.chat import openai
from mistral_tok.chat.normalise import Turn
from mistral_tok.chat.strict import unknown_keys

if TYPE_CHECKING:
    from mistral_tok.chat.tokenized import Tokenized


class Edit(NamedTuple):
    """One change: its kind, where (a path into the request), and what happened.

    `kind` is one of: dropped key, moved, merged, skipped, reordered, rewritten, inserted, truncated, id changed, role
    fixed.
    """

    kind: str
    path: str
    detail: str


def dropped_keys(data: Any) -> Iterator[Edit]:
    """Keys of a request in OpenAI's format that have no effect."""
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        data = {"messages": data}
    if not isinstance(data, Mapping):
        return
    try:
        record = msgspec.convert(data, openai.OpenAIRequest)
    except msgspec.ValidationError:
        return
    for path in unknown_keys(data, record):
        yield Edit("dropped key", path, "this key has no effect")
    for i, m in enumerate(record.messages):
        if isinstance(m, openai.OpenAIAssistant) and (m.reasoning is not None or m.reasoning_content is not None):
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
