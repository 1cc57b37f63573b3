"""What a conversation is laid out as: control ids, texts and media, turn by turn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from mistral_tok.chat.normalise import Source, Turn


class Segment(msgspec.Struct, gc=False, eq=False):
    """A text that is not simply its turn's own, or the ids of an image or a recording.

    `sources` say where its characters come from (None: from no message). `ids` may be known already; a medium
    has only ids, and `medium` is what the model receives beside them.
    """

    text: str
    part: str
    sources: tuple[Source, ...] | None = None
    ids: list[int] | None = None
    medium: Any = None


Item = int | str | Segment
"""A control id, the text of the turn itself, or something else."""


class Laid(msgspec.Struct, gc=False, eq=False):
    """A turn and what it is written as."""

    turn: Turn
    items: tuple[Item, ...]

    def same(self, other: Laid) -> bool:
        """Whether both are written with the same ids."""
        a, b = self.items, other.items
        return len(a) == len(b) and all(map(_same, a, b))


Plan = list[Laid]


def _same(a: Item, b: Item) -> bool:
    if isinstance(a, Segment) and isinstance(b, Segment):
        return a.ids == b.ids if a.ids is not None else a.text == b.text and b.ids is None
    return type(a) is type(b) and a == b


def encode_plan(plan: Plan, start: list[int], encode: Callable[[str], list[int]]) -> tuple[list[int], list[int]]:
    """All ids of a plan behind `start`, and for each turn where its ids end."""
    ids, ends = start, []
    for laid in plan:
        for item in laid.items:
            if type(item) is int:
                ids.append(item)
            elif type(item) is str:
                ids += encode(item)
            elif item.ids is not None:  # type: ignore[union-attr]
                ids += item.ids  # type: ignore[union-attr]
            else:
                ids += encode(item.text)  # type: ignore[union-attr]
        ends.append(len(ids))
    return ids, ends
