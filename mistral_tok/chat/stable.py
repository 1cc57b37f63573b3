"""How many ids two conversations share from the start, and which rules moved the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mistral_tok.chat.normalise import Turn
from mistral_tok.chat.segments import Plan, Row, Segment, same


class StablePrefix(NamedTuple):
    """`length` ids are the same from the start; `rules` say what moved or changed the others."""

    length: int
    rules: tuple[str, ...]


TOOLS = "the tool list stands before the last user message"
SYSTEM = "the system text stands in the last user message"
OLD_CALLS = "calls and results before the last user message are not written"
CONTINUED = "a continued assistant message has no end of sequence"
MERGED = "neighbouring messages of one role are merged"
DIFFERENT = "the messages differ"
DROPPED = "truncation dropped messages"


def shared(a: list[int], b: list[int]) -> int:
    """How many ids two lists share from the start."""
    size = min(len(a), len(b))
    if a[:size] == b[:size]:
        return size
    low, high = 0, size  # a[:low] == b[:low], a[:high] != b[:high]
    while high - low > 1:
        middle = (low + high) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle
    return low


def moved(a: Plan, b: Plan) -> Iterator[str]:
    """The rules by which the turns of `a` are not the turns that `b` begins with."""
    for (old, was), (new, row) in zip(a, b, strict=False):
        if not same(was, row):
            yield from _differences(old, was, new, row)


def _differences(old: Turn, was: Row, new: Turn, row: Row) -> Iterator[str]:
    if old.message != new.message:
        yield DROPPED
        return
    if old.after != new.after:
        yield MERGED
    if _part(was, "tools") != _part(row, "tools"):
        yield TOOLS
    if _has_system(was) != _has_system(row):
        yield SYSTEM
    if bool(was) != bool(row):
        yield OLD_CALLS
    if old.prefix != new.prefix:
        yield CONTINUED
    if old.content != new.content and old.after == new.after:
        yield DIFFERENT


def _part(row: Row, part: str) -> str | None:
    return next((item.text for item in row if isinstance(item, Segment) and item.part == part), None)


def _has_system(row: Row) -> bool:
    return any(source.role == "system" for item in row if isinstance(item, Segment) for source in item.sources or ())
