"""What a conversation is laid out as: control ids, texts and media, turn by turn."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from mistral_tok.chat.normalise import Source, Turn


class Segment(msgspec.Struct, gc=False, eq=False):
    """A text that is not simply its turn's own, or the ids of an image or a recording.

    `sources` say where its characters come from (None: from no message). `ids` may be known already; a medium
    has only ids, `medium` is what the model receives beside them, and `chunk` what it was made from.
    """

    text: str
    part: str
    sources: tuple[Source, ...] | None = None
    ids: list[int] | None = None
    medium: Any = None
    chunk: Any = None


Item = int | str | Segment
"""A control id, the text of the turn itself, or something else."""

Row = tuple[Item, ...]
"""What one turn is written as; nothing where the version leaves it out."""


class Plan(msgspec.Struct, gc=False, eq=False):
    """The turns of a request, and the row of each."""

    turns: list[Turn]
    rows: list[Row]

    def __iter__(self) -> Iterator[tuple[Turn, Row]]:
        return zip(self.turns, self.rows, strict=True)

    def segments(self) -> Iterator[Segment]:
        """All segments in order."""
        return (item for row in self.rows for item in row if isinstance(item, Segment))


def same(a: Row, b: Row) -> bool:
    """Whether two rows are written with the same ids."""
    return len(a) == len(b) and all(map(_same, a, b))


def _same(a: Item, b: Item) -> bool:
    if isinstance(a, Segment) and isinstance(b, Segment):
        return a.ids == b.ids if a.ids is not None else a.text == b.text and b.ids is None
    return type(a) is type(b) and a == b


def encode_rows(rows: Iterable[Row], head: int, ends: list[int], encode: Callable[[str], list[int]]) -> list[int]:
    """`head` and the ids of all rows, each text encoded by `encode`; `ends` receives where the ids of each row end.

    The core's `Encoder.rows` does the same for texts that need nothing but the core.
    """
    ids = [head]
    for row in rows:
        for item in row:
            if isinstance(item, int):
                ids.append(item)
            elif isinstance(item, str):
                ids += encode(item)
            else:
                ids += encode(item.text) if item.ids is None else item.ids
        ends.append(len(ids))
    return ids
