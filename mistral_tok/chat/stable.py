"""How many ids two conversations share from the start, and which rules moved the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from mistral_tok.chat.segments import Laid, Plan, Segment


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
    for old, new in zip(a, b, strict=False):
        if not old.same(new):
            yield from _differences(old, new)


def _differences(old: Laid, new: Laid) -> Iterator[str]:
    if old.turn.message != new.turn.message:
        yield DROPPED
        return
    if old.turn.after != new.turn.after:
        yield MERGED
    if _part(old, "tools") != _part(new, "tools"):
        yield TOOLS
    if _has_system(old) != _has_system(new):
        yield SYSTEM
    if bool(old.items) != bool(new.items):
        yield OLD_CALLS
    if old.turn.prefix != new.turn.prefix:
        yield CONTINUED
    if old.turn.content != new.turn.content and old.turn.after == new.turn.after:
        yield DIFFERENT


def _part(laid: Laid, part: str) -> str | None:
    return next((item.text for item in laid.items if isinstance(item, Segment) and item.part == part), None)


def _has_system(laid: Laid) -> bool:
    return any(
        source.role == "system" for item in laid.items if isinstance(item, Segment) for source in item.sources or ()
    )
