"""Which ids came from where: derived from a plan when somebody asks."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from mistral_tok.chat.normalise import Source, Turn
from mistral_tok.chat.segments import Item, Plan, Segment


class Span(NamedTuple):
    """Ids `start:stop` and what they stand for.

    `part` is one of control, text, glue, thinking, call name, call id, arguments, tool calls, tool result, result,
    tools, settings, image, audio, prompt, suffix. `message` is the index of the message in the request (None for what
    belongs to none), `role` its role. `chars` are characters of that part's own text: of the message's content, or
    of its chunk `nth`; of the name, the id or the rewritten arguments of its call `nth`.
    """

    start: int
    stop: int
    message: int | None
    role: str
    part: str
    chars: tuple[int, int] | None = None
    nth: int | None = None


Offset = tuple[int, int]
Offsets = Callable[[str], Sequence[Sequence[int]]]
"""Text → for each of its ids, the characters that it covers."""


def spans_of(plan: Plan, start: int, offsets: Offsets) -> Iterator[Span]:
    """The spans of a plan whose first id has the number `start`."""
    at = start
    for turn, row in plan:
        for item in row:
            for span in _item_spans(turn, item, at, offsets):
                yield span
                at = span.stop


def offsets_of(plan: Plan, start: int, offsets: Offsets) -> list[tuple[int, int, int] | None]:
    """For each id, message and characters `(message, start, stop)` of the text that it was made from, or None."""
    found: list[tuple[int, int, int] | None] = [None] * start
    for turn, row in plan:
        for item in row:
            if isinstance(item, int):
                found.append(None)
            elif isinstance(item, Segment) and item.ids is not None:
                found += [None] * len(item.ids)
            else:
                found += _text_offsets(turn, item, offsets)
    return found


def _text_offsets(turn: Turn, item: Item, offsets: Offsets) -> Iterator[tuple[int, int, int] | None]:
    text, _, sources = _text_parts(turn, item)
    for a, b in offsets(text):
        source = _origin(sources, a, b)
        if source is None or source.message is None:
            yield None
        else:
            yield (source.message, *_own(source, a, b))


def _text_parts(turn: Turn, item: Item) -> tuple[str, str, tuple[Source, ...]]:
    """The text of an item, its part, and where its characters come from."""
    if isinstance(item, Segment):
        return item.text, item.part, item.sources or ()
    text = str(item)
    part = "result" if turn.role == "tool" else "text"
    return text, part, turn.sources or (Source(0, len(text), turn.message, None, 0, part),)


def _item_spans(turn: Turn, item: Item, at: int, offsets: Offsets) -> Iterator[Span]:
    if isinstance(item, int):
        yield Span(at, at + 1, turn.message, turn.role, "control")
        return
    if isinstance(item, Segment) and item.ids is not None:
        if not item.ids:
            return
        source = item.sources[0] if item.sources else None
        message, nth = (source.message, source.nth) if source else (None, None)
        yield Span(at, at + len(item.ids), message, turn.role, item.part, None, nth)
        return
    text, part, sources = _text_parts(turn, item)
    pairs = [(int(a), int(b)) for a, b in offsets(text)]
    origins = [_origin(sources, a, b) for a, b in pairs]
    first = 0
    for i in range(1, len(pairs) + 1):
        if i == len(pairs) or origins[i] is not origins[first]:
            yield _span(turn, part, origins[first], at + first, at + i, pairs[first][0], pairs[i - 1][1])
            first = i


def _span(turn: Turn, part: str, source: Source | None, start: int, stop: int, a: int, b: int) -> Span:
    if source is None:
        between = "glue" if part == "text" else part
        return Span(start, stop, turn.message, turn.role, between)
    part = source.part if part != "result" else part
    return Span(start, stop, source.message, source.role or turn.role, part, _own(source, a, b), source.nth)


def _own(source: Source, a: int, b: int) -> tuple[int, int]:
    """Characters `a:b` of the whole text, within the source's own text."""
    return (
        source.own + min(max(a, source.start), source.stop) - source.start,
        source.own + max(min(b, source.stop), source.start) - source.start,
    )


def _origin(sources: Sequence[Source], a: int, b: int) -> Source | None:
    """The first source of which `a:b` has a character; for an empty range, the one that it stands in front of."""
    for source in sources:
        if a < source.stop and (b > source.start or a == b == source.start):
            return source
    return None
