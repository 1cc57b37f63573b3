"""Encoding with a vocabulary that lacks some bytes: what they stand for is left out of the ids."""

from __future__ import annotations

from array import array
from typing import Protocol

from mistral_tok.core.block import Small


class Encodes(Protocol):
    """What a `Tokenizer` asks of its encoder; `head` and `tail` are ids to put around, or −1."""

    def encode(self, text: str, head: int = -1, tail: int = -1) -> list[int]:
        """Return ids."""

    def array(self, text: str, head: int = -1, tail: int = -1) -> bytearray | Small | memoryview:
        """Return ids as int32."""

    def count(self, text: str) -> int:
        """Return the number of ids."""


class WithoutAbsent:
    """An encoder that drops the ids from `limit` on, which stand for bytes that the vocabulary lacks.

    They are dropped from the result, not from the text, so that their neighbours never merge: llama.cpp's rule.
    """

    def __init__(self, whole: Encodes, limit: int) -> None:
        self.whole = whole
        self._limit = limit

    def encode(self, text: str, head: int = -1, tail: int = -1) -> list[int]:
        """Return ids."""
        return self.kept(self.whole.encode(text, head, tail))

    def array(self, text: str, head: int = -1, tail: int = -1) -> bytearray:
        """Return ids as int32."""
        return bytearray(array("i", self.encode(text, head, tail)).tobytes())

    def count(self, text: str) -> int:
        """Return the number of ids."""
        return len(self.encode(text))

    def kept(self, ids: list[int]) -> list[int]:
        """Return ids without those that are dropped."""
        limit = self._limit
        return [i for i in ids if i < limit]
