"""Rows of ids → batches: truncation, windows over what does not fit, and padding into one array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Literal

import numpy as np

Side = Literal["left", "right"]


def check_side(side: object, name: str) -> Side:
    """Return a side; ValueError unless it is `left` or `right`."""
    if side == "left" or side == "right":
        return side
    raise ValueError(f"{name} is {side!r}; expected 'left' or 'right'.")


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows of a batch as cuts of one flat array: row `i` is `flat[starts[i]:stops[i]]` between a head and a tail.

    `starts`, `stops` and `samples` (which input a row was cut from) are int64 arrays of one length. `head` and `tail`
    are ids that every row begins and ends with, or None: they are no part of the flat array, and truncation keeps
    them.
    """

    starts: np.ndarray
    stops: np.ndarray
    samples: np.ndarray
    head: int | None = None
    tail: int | None = None

    @classmethod
    def of(cls, splits: np.ndarray, head: int | None = None, tail: int | None = None) -> Rows:
        """One row for each part of a flat array between neighbouring `splits`."""
        return cls(splits[:-1], splits[1:], np.arange(len(splits) - 1), head, tail)

    def __len__(self) -> int:
        return len(self.starts)

    @property
    def extra(self) -> int:
        """How many ids head and tail add to a row."""
        return (self.head is not None) + (self.tail is not None)

    @property
    def lengths(self) -> np.ndarray:
        """Ids of each row, head and tail included: int64 (rows,)."""
        return np.asarray(self.stops - self.starts + self.extra)

    def truncated(self, limit: int, side: Side) -> Rows:
        """Cut rows on `side` until each has at most `limit` ids; ValueError where head and tail alone have more."""
        room = self._room(limit)
        if side == "right":
            return replace(self, stops=np.minimum(self.stops, self.starts + room))
        return replace(self, starts=np.maximum(self.starts, self.stops - room))

    def windows(self, limit: int, side: Side, stride: int) -> Rows:
        """Cut rows into windows of at most `limit` ids, each repeating `stride` ids of the one before it.

        With `side="left"` the first window is the end of the row, and the others follow towards its beginning.
        """
        room = self._room(limit)
        if not 0 <= stride < room:
            raise ValueError(
                f"stride is {stride}; expected 0 to {room - 1}, for a row has room for {room} ids of text."
            )
        sizes, step = self.stops - self.starts, room - stride
        counts = 1 + np.maximum(sizes - room + step - 1, 0) // step
        rows = np.repeat(np.arange(len(self)), counts)
        moved = (np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)) * step
        if side == "right":
            starts = self.starts[rows] + moved
            stops = np.minimum(starts + room, self.stops[rows])
        else:
            stops = self.stops[rows] - moved
            starts = np.maximum(stops - room, self.starts[rows])
        return replace(self, starts=starts, stops=stops, samples=self.samples[rows])

    def _room(self, limit: int) -> int:
        if limit < max(1, self.extra):
            raise ValueError(f"max_length is {limit}; expected {max(1, self.extra)} or more.")
        return limit - self.extra

    def lists(self, flat: np.ndarray, head: Any = None, tail: Any = None) -> list[list[Any]]:
        """The rows as lists of Python numbers; `head` and `tail` stand for the ids of the same name."""
        values = flat.tolist()
        first = [head] if self.head is not None else []
        last = [tail] if self.tail is not None else []
        bounds = zip(self.starts.tolist(), self.stops.tolist(), strict=True)
        if not first and not last:
            return [values[a:b] for a, b in bounds]
        return [[*first, *values[a:b], *last] for a, b in bounds]

    def places(self, width: int, side: Side) -> np.ndarray:
        """Where ids stand in a batch padded on `side`: bool (rows, width)."""
        return places(self.lengths, width, side)

    def array(self, flat: np.ndarray, taken: np.ndarray, side: Side, pad: int, ends: tuple[int, int]) -> np.ndarray:
        """The rows as one padded array: int64 (rows, width), or (rows, width, n) of a `flat` of shape (total, n).

        `taken` is what `places` gave, `ends` are the values for head and tail.
        """
        batch = np.full((*taken.shape, *flat.shape[1:]), pad, np.int64)
        body, width, rows = taken, taken.shape[1], np.arange(len(self))
        if self.extra:
            body, lengths = taken.copy(), self.lengths
            first = width - lengths if side == "left" else np.zeros_like(lengths)
            for there, at, value in (
                (self.head, first, ends[0]),
                (self.tail, first + lengths - 1, ends[1]),
            ):
                if there is not None:
                    body[rows, at] = False
                    batch[rows, at] = value
        batch[body] = self._gathered(flat)
        return batch

    def _gathered(self, flat: np.ndarray) -> np.ndarray:
        """The parts of a flat array that the rows show, one after the other."""
        starts, stops = self.starts, self.stops
        whole = len(self) and starts[0] == 0 and stops[-1] == len(flat) and np.array_equal(starts[1:], stops[:-1])
        if whole:
            return flat
        sizes = stops - starts
        before = np.cumsum(sizes) - sizes
        return np.asarray(flat[np.arange(sizes.sum()) + np.repeat(starts - before, sizes)])


def places(lengths: np.ndarray, width: int, side: Side) -> np.ndarray:
    """Where values stand in rows padded on `side` to `width`: bool (rows, width)."""
    columns = np.arange(width)
    if side == "left":
        return np.asarray(columns >= (width - lengths)[:, None])
    return np.asarray(columns < lengths[:, None])


def splits_of(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Where each row begins among the values of all, and where the last ends: int64 (rows + 1,)."""
    splits = np.zeros(len(rows) + 1, np.int64)
    np.cumsum([len(row) for row in rows], out=splits[1:])
    return splits


def flat_ids(rows: Sequence[Sequence[int]]) -> np.ndarray:
    """Rows as one flat array, int64 (total,); what they hold is known to be ids or a mask and is not checked."""
    return np.fromiter(chain.from_iterable(rows), np.int64, sum(map(len, rows)))


def ragged(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Rows of ids as one flat array and the splits between them: int64 (total,), int64 (rows + 1,).

    TypeError for what is no integer.
    """
    splits = splits_of(rows)
    flat = np.array(list(chain.from_iterable(rows)))
    if flat.size == 0:
        return np.zeros(0, np.int64), splits
    if flat.ndim != 1 or flat.dtype.kind not in "iu":
        raise TypeError(
            f"ids are numbers of type int; these make an array of {flat.dtype} with {flat.ndim} dimensions."
        )
    return flat.astype(np.int64, copy=False), splits


def width_of(lengths: np.ndarray | Sequence[int], longest: bool, limit: int | None, multiple: int | None) -> int:
    """How wide a padded batch is: its longest row or `limit`, rounded up to a multiple."""
    width = int(max(lengths, default=0)) if longest or limit is None else limit
    return width if multiple is None else -(-width // multiple) * multiple
