"""Where we answer otherwise than mistral-common 1.13.1, and why; and its oddities that we follow.

Each row has a request, what mistral-common makes of it, and what we make of it: ids, text, or the class of an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One difference; `ours` None: we do the same."""

    topic: str
    why: str
    variant: str
    reference: Any
    ours: Any = None
    kind: str = "chat"
    request: dict[str, Any] = field(default_factory=dict)


def user(content: Any, **more: Any) -> dict[str, Any]:
    """A request of one user message."""
    return {"messages": [{"role": "user", "content": content}], **more}


def called(arguments: Any, call_id: str = "abcdefghi", name: str = "f") -> dict[str, Any]:
    """A request with one tool call and its result."""
    call = {"id": call_id, "function": {"name": name, "arguments": arguments}}
    return {
        "messages": [
            {"role": "user", "content": "a"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": call_id, "content": "r"},
        ]
    }


PICTURE = [{"type": "x_png", "size": [20, 20]}]
SOUND = [{"type": "x_wav", "wav": [1600, 16000, 1]}]
THOUGHT = [{"type": "thinking", "thinking": "t"}]
LONG = {"messages": [{"role": r, "content": c} for r, c in (("user", "u1"), ("assistant", "a1"), ("user", "u2"))]}

CRASHES = (
    Row(
        "image without images",
        "an assertion",
        "v3",
        "AssertionError",
        "UnsupportedTokenizerFeatureException",
        request=user(PICTURE),
    ),
    Row(
        "audio without audio",
        "an assertion",
        "v7",
        "AssertionError",
        "UnsupportedTokenizerFeatureException",
        request=user(SOUND),
    ),
    Row(
        "thinking without its tokens",
        "an assertion",
        "v13",
        "AssertionError",
        "UnsupportedTokenizerFeatureException",
        request={
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": THOUGHT},
                {"role": "user", "content": "b"},
            ]
        },
    ),
    Row(
        "chunk type image",
        "an assertion",
        "v3",
        "AssertionError",
        "InvalidShapeException",
        request=user([{"type": "image", "image": "x"}]),
    ),
    Row(
        "text instead of a chunk",
        "an AttributeError",
        "v3",
        "AttributeError",
        "InvalidShapeException",
        request=user(["x"]),
    ),
    Row(
        "messages that are text",
        "an AttributeError",
        "v3",
        "AttributeError",
        "InvalidShapeException",
        request={"messages": "x"},
    ),
    Row(
        "arguments nested too deeply",
        "a RecursionError",
        "v3",
        "RecursionError",
        "UnreadableJsonException",
        request=called("[" * 9999 + "]" * 9999),
    ),
    Row(
        "a number of 5,000 digits",
        "Python's limit; the same ValueError",
        "v3",
        "ValueError",
        "UnreadableJsonException",
        request=called("9" * 5000),
    ),
    Row(
        "lone surrogate in SentencePiece",
        "a RuntimeError",
        "v7",
        "RuntimeError",
        "ForbiddenTextException",
        request=user("a\ud800"),
    ),
    Row(
        "negative ids",
        "ids count from the end of a list",
        "v13",
        {"text": "<SPECIAL_999>"},
        "UnknownTokenIdException",
        kind="decode",
        request={"ids": [-1], "policy": "keep"},
    ),
    Row(
        "a number given as text",
        "pydantic reads it; we name the place",
        "v3",
        {"ids": [1, 3, 1032, 4]},
        "InvalidShapeException",
        request=user("a", temperature="0.5"),
    ),
    Row(
        "a flag given as text",
        "pydantic reads it; we name the place",
        "v3",
        {"ids": [1, 3, 1032, 4]},
        "InvalidShapeException",
        request=user("a", parallel_tool_calls="yes"),
    ),
    Row(
        "a tuple of chunks",
        "a tuple is as good as a list",
        "v3",
        "ValueError",
        {"ids": [1, 3, 1032, 4]},
        request=user(({"type": "text", "text": "a"},)),
    ),
)
"""Where the reference crashes or is laxer than it should be."""

FOLLOWED = (
    Row(
        "names and ids may end in a newline",
        "patterns end in $",
        "v3",
        {"error": None},
        request=called("{}", "abcdefghi\n", "ok\n"),
    ),
    Row(
        "FIM with v2",
        "the file lacks the tokens: unknown ids",
        "v2",
        {"ids": [1, 0, 0, 1032]},
        kind="fim",
        request={"prompt": "a"},
    ),
    Row(
        "FIM suffix is encoded behind another character",
        "the split differs",
        "v3-tekken",
        {"ids": [1, 16, 1039, 1115, 14, 1097]},
        kind="fim",
        request={"prompt": "a", "suffix": "'s"},
    ),
    Row(
        "user-defined pieces in text",
        "SentencePiece matches them",
        "v7",
        {"ids": [1, 3, 2086, 750, 29492, 4]},
        request=user("x[REF]y"),
    ),
    Row(
        "v11: system message and inline audio",
        "checked twice",
        "v11-audio",
        "ValueError",
        request={"messages": [{"role": "system", "content": "S"}, {"role": "user", "content": SOUND}]},
    ),
    Row(
        "v15 with efforts cannot transcribe",
        "no settings are built",
        "v15-audio",
        "InvalidRequestException",
        kind="transcription",
        request={"audio": {"wav": [1600, 16000, 1]}},
    ),
    Row(
        "v15 without a builder",
        "nothing says which settings there are",
        "v15-nobuilder",
        "InvalidRequestException",
        request=user("a"),
    ),
    Row(
        "truncation drops tools with the first user message",
        "they belong to it",
        "v13",
        {"error": None},
        request={
            **LONG,
            "truncate_for_context_length": True,
            "tools": [{"type": "function", "function": {"name": "f"}}],
        },
    ),
    Row(
        "neighbouring assistant messages with text and calls",
        "each alone is valid",
        "v3",
        "ValueError",
        request={
            "messages": [
                called("{}")["messages"][0],
                {"role": "assistant", "content": "x"},
                *called("{}")["messages"][1:],
            ]
        },
    ),
    Row(
        "an empty assistant message",
        "validation allows it from v7 on",
        "v7",
        "TokenizerException",
        request={
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": ""},
                {"role": "user", "content": "b"},
            ]
        },
    ),
    Row(
        "only texts lose their trailing spaces",
        "chunks do not",
        "v13-think-mm",
        {"error": None},
        request={
            "messages": [
                {"role": "user", "content": "a"},
                {"role": "assistant", "content": [*THOUGHT, {"type": "text", "text": "b "}]},
                {"role": "user", "content": "c"},
            ]
        },
    ),
    Row(
        "v15 joins chunks without glue",
        "since v15",
        "v15",
        {"error": None},
        request=user([{"type": "text", "text": "s"}, {"type": "text", "text": "u"}]),
    ),
)
"""Oddities of the reference that we follow, for models were trained with them or callers expect them."""
