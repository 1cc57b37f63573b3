"""Prompt lookup: what followed the last time the same few tokens stood there is a draft of what follows now."""

from __future__ import annotations

LENGTHS = (3, 2)
"""Numbers of tokens that must agree, tried in this order; one alone is mostly chance."""


class Lookup:
    """The ids of one row and where its runs of tokens occurred last. Adding and finding take no time that grows.

    >>> text = Lookup([5, 6, 7, 8, 9, 5, 6])
    >>> text.draft(3)
    [7, 8, 9]
    """

    def __init__(self, ids: list[int]) -> None:
        self.ids: list[int] = []
        self._after: dict[tuple[int, ...], int] = {}  # a run of tokens and where the token after it stands
        for token in ids:
            self.append(token)

    def append(self, token: int) -> None:
        """Add a token; runs that end before it can be found from now on."""
        end = len(self.ids)
        for length in LENGTHS:
            if end >= length:
                self._after[tuple(self.ids[end - length :])] = end
        self.ids.append(token)

    def draft(self, count: int) -> list[int]:
        """`count` tokens that may come next, repeated where the text ends too soon; none if its last ones are new."""
        for length in LENGTHS:
            place = self._after.get(tuple(self.ids[-length:]))
            if place is not None:
                found = self.ids[place : place + count]
                return (found * (count // len(found) + 1))[:count]
        return []
