"""Ids of a model's output → assistant message."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from mistral_tok.chat.chunks import TextChunk, ThinkChunk
from mistral_tok.chat.decoder import Decoder
from mistral_tok.chat.events import ParsedMessage, join
from mistral_tok.chat.parse_stream import StreamParser


def parse(tokenizer: Decoder, ids: Iterable[int], *, version: str | None = None) -> ParsedMessage:
    """Read one output of a model, as a StreamParser's events joined.

    The message has its text, its thoughts as ThinkChunks, and its tool calls with their arguments as written (`values`
    has them as JSON values). An id that the format lacks is made up from the call itself, so that equal outputs have
    equal ids. What is malformed is text, and named in `problems`.
    """
    parser = StreamParser(tokenizer, version=version)
    return join([*parser.push(ids), *parser.finish()])


def parse_report(tokenizer: Decoder, ids: Iterable[int], *, version: str | None = None) -> dict[str, Any]:
    """What `parse` says, as plain data for printing or JSON.

    Keys: `message` (as OpenAI's clients write it), `values`, `ended`, and `problems` (fault, message, position, call).
    """
    message = parse(tokenizer, ids, version=version)
    return {
        "message": message.to_openai(),
        "values": message.values,
        "ended": message.ended,
        "problems": [msgspec.to_builtins(problem) for problem in message.problems],
    }


def parse_lines(message: ParsedMessage) -> list[tuple[str, str]]:
    """A message as rows for a terminal: what a part is (thinking, text, call, problem) and what it says.

    >>> parse_lines(ParsedMessage(content="Hello"))
    [('text', 'Hello')]
    """
    rows: list[tuple[str, str]] = []
    chunks = [TextChunk(text=message.content)] if isinstance(message.content, str) else message.content or []
    for chunk in chunks:
        rows.append(("thinking", chunk.thinking) if isinstance(chunk, ThinkChunk) else ("text", chunk.text))
    for call in message.tool_calls or []:
        rows.append((f"call {call.id}", f"{call.function.name} {call.function.arguments}"))
    for problem in message.problems:
        rows.append((f"problem {problem.fault}", f"{problem.message} (at id {problem.position})"))
    return rows
