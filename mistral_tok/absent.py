"""Encoding with a vocabulary that lacks some bytes: what they stand for is left out of the ids."""

from __future__ import annotations

from array import array
from itertools import pairwise
from typing import Protocol


class Encodes(Protocol):
    """What a `Tokenizer` asks of its encoder; `head` and `tail` are ids to put around, or −1."""

    def encode(self, text: str, head: int = -1, tail: int = -1) -> list[int]:
        """Return ids."""

    def array(self, text: str, head: int = -1, tail: int = -1) -> bytearray:
        """Return ids as int32."""

    def count(self, text: str) -> int:
        """Return the number of ids."""

    def lists(self, texts: list[str], start: int, stop: int, head: int, tail: int) -> list[list[int]]:
        """Return the ids of each of some texts."""

    def ragged(
        self, texts: list[str] | list[bytes], start: int, stop: int, head: int, tail: int
    ) -> tuple[bytearray, list[int]]:
        """Return the ids of some texts as int32 in a row, and where those of each end."""

    def counts(self, texts: list[str], start: int, stop: int) -> list[int]:
        """Return the number of ids of each of some texts."""


class WithoutAbsent:
    """An encoder that drops the ids from `limit` on, which stand for bytes that the vocabulary lacks.

    They are dropped from the result, not from the text, so that their neighbours never merge: llama.cpp's rule.
    """

    def __init__(self, whole: Encodes, limit: int) -> None:
        self.whole = whole
        self._limit = limit

    def encode(self, text: str, head: int = -1, tail: int = -1) -> list[int]:
        """Return ids."""
        return self._kept(self.whole.encode(text, head, tail))

    def array(self, text: str, head: int = -1, tail: int = -1) -> bytearray:
        """Return ids as int32."""
        return bytearray(array("i", self.encode(text, head, tail)).tobytes())

    def count(self, text: str) -> int:
        """Return the number of ids."""
        return len(self.encode(text))

    def lists(self, texts: list[str], start: int, stop: int, head: int, tail: int) -> list[list[int]]:
        """Return the ids of each of some texts."""
        return [self._kept(row) for row in self.whole.lists(texts, start, stop, head, tail)]

    def ragged(
        self, texts: list[str] | list[bytes], start: int, stop: int, head: int, tail: int
    ) -> tuple[bytearray, list[int]]:
        """Return the ids of some texts as int32 in a row, and where those of each end."""
        data, whole_ends = self.whole.ragged(texts, start, stop, head, tail)
        whole, ids, ends = memoryview(data).cast("i"), array("i"), []
        for begin, end in pairwise([0, *whole_ends]):
            ids.extend(self._kept(whole[begin:end].tolist()))
            ends.append(len(ids))
        return bytearray(ids.tobytes()), ends

    def counts(self, texts: list[str], start: int, stop: int) -> list[int]:
        """Return the number of ids of each of some texts."""
        return [len(row) for row in self.lists(texts, start, stop, -1, -1)]

    def _kept(self, ids: list[int]) -> list[int]:
        limit = self._limit
        return [i for i in ids if i < limit]
