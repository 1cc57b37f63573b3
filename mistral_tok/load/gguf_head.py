"""The head of a GGUF file: its metadata, without the tensors behind it, which are neither read nor mapped.

Versions 2 and 3, little endian. No length is believed: each is compared with the size of the file, and with what a
vocabulary may take, before anything is read or sliced.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from mistral_tok.load.source import GGUF_MAGIC, MAX_FILE_BYTES, damaged, refused

CHUNK = 1 << 24
"""Bytes to read at a time: more than the metadata of most files, and a moment's work."""

MAX_KEYS = 1 << 16
MAX_KEY_BYTES = 1 << 16

_STRING, _ARRAY, _BOOL = 8, 9, 7
_LENGTH = struct.Struct("<Q").unpack_from
_KIND = struct.Struct("<I").unpack_from
_FORMATS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_SIZES = {kind: struct.calcsize("<" + code) for kind, code in _FORMATS.items()}
_INTEGERS = frozenset([0, 1, 2, 3, 4, 5, 10, 11])
_FLOATS = frozenset([6, 12])


class _Walk:
    """Passes over the metadata and notes where each value lies, asking `more` for bytes as they are needed."""

    def __init__(self, name: str, data: bytes | bytearray, size: int, more: Callable[[int], bytes]) -> None:
        self.name, self.data, self.size, self.more = name, data, size, more
        self.place = "header"

    def need(self, end: int) -> None:
        """Have the bytes up to `end`, or say why that cannot be."""
        if end <= len(self.data):
            return
        if end > self.size:
            raise damaged(self.name, self.place, f"reaches up to byte {end} of a file of {self.size}")
        if end > MAX_FILE_BYTES:
            raise refused(self.name, self.place, f"reaches up to byte {end}", f"At most {MAX_FILE_BYTES} are read.")
        self.data += self.more(min(max(CHUNK, end - len(self.data)), self.size - len(self.data)))
        if end > len(self.data):
            raise damaged(self.name, self.place, f"the file ends at byte {len(self.data)}")

    def length(self, at: int) -> int:
        self.need(at + 8)
        return int(_LENGTH(self.data, at)[0])

    def kind(self, at: int) -> int:
        self.need(at + 4)
        return int(_KIND(self.data, at)[0])

    def run(self) -> tuple[dict[str, tuple[int, int]], int]:
        """Places of all values, as (type, position) by key, and the end of the metadata."""
        self.need(24)
        version = self.kind(4)
        if self.data[:4] != GGUF_MAGIC or version not in (2, 3):
            problem = f"version {version}, not 2 or 3, little endian"
            raise refused(self.name, self.place, problem, "Convert the file anew with a current converter.")
        count, at = self.length(16), 24
        if count > MAX_KEYS:
            raise damaged(self.name, self.place, f"{count} metadata keys are announced; at most {MAX_KEYS} are read")
        places: dict[str, tuple[int, int]] = {}
        for i in range(count):
            self.place = f"metadata key {i}"
            size = self.length(at)
            if size > MAX_KEY_BYTES:
                raise damaged(self.name, self.place, f"a name of {size} bytes")
            self.need(at + 8 + size)
            key = self.data[at + 8 : at + 8 + size].decode("utf-8", "backslashreplace")
            self.place = key[:80]
            if key in places:
                raise damaged(self.name, self.place, "is listed twice")
            kind = self.kind(at + 8 + size)
            places[key] = kind, at + 12 + size
            at = self.skip(kind, at + 12 + size)
        return places, at

    def skip(self, kind: int, at: int) -> int:
        """The end of a value."""
        if kind == _STRING:
            end = at + 8 + self.length(at)
        elif kind == _ARRAY:
            inner, count = self.kind(at), self.length(at + 4)
            if inner == _STRING:
                return self.skip_strings(at + 12, count)
            if inner not in _SIZES:
                raise damaged(self.name, self.place, f"an array of type {inner}, which does not exist or cannot nest")
            end = at + 12 + count * _SIZES[inner]
        elif kind in _SIZES:
            end = at + _SIZES[kind]
        else:
            raise damaged(self.name, self.place, f"type {kind} does not exist")
        self.need(end)
        return end

    def skip_strings(self, at: int, count: int) -> int:
        """The end of strings that follow one another; there may be hundreds of thousands."""
        if at + 8 * count > self.size:
            raise damaged(self.name, self.place, f"{count} strings are announced, more than fit the file")
        known = len(self.data)
        for _ in range(count):
            if at + 8 > known:
                self.need(at + 8)
                known = len(self.data)
            at += 8 + _LENGTH(self.data, at)[0]
        self.need(at)
        return at


def read_head(file: BinaryIO, size: int, name: str) -> bytes:
    """The bytes of an open file up to the end of its metadata; no more than a chunk beyond them is read."""
    walk = _Walk(name, bytearray(), size, file.read)
    _, end = walk.run()
    return bytes(memoryview(walk.data)[:end])


@dataclass(frozen=True, slots=True)
class Metadata:
    """The metadata of a file: where each value lies. Values are decoded when they are asked for.

    Every reader raises VocabularyError for a value of another type, and returns `default` or nothing for no value.
    """

    name: str
    data: bytes
    places: Mapping[str, tuple[int, int]]

    def __contains__(self, key: str) -> bool:
        return key in self.places

    def text(self, key: str) -> str | None:
        """A string."""
        at = self._place(key, self._kind(key, _STRING) == _STRING, "a string")
        return None if at is None else self._decoded(self.data[at + 8 : at + 8 + _LENGTH(self.data, at)[0]], key)

    def flag(self, key: str, default: bool) -> bool:
        """A truth value."""
        at = self._place(key, self._kind(key, _BOOL) == _BOOL, "a truth value")
        return default if at is None else bool(self.data[at])

    def integer(self, key: str) -> int | None:
        """A whole number of any width."""
        kind = self._kind(key, 4)
        at = self._place(key, kind in _INTEGERS, "a whole number")
        return None if at is None else int(struct.unpack_from("<" + _FORMATS[kind], self.data, at)[0])

    def integers(self, key: str) -> array[int]:
        """An array of whole numbers."""
        return self._numbers(key, _INTEGERS, "an array of whole numbers")

    def floats(self, key: str) -> array[float]:
        """An array of floating-point numbers."""
        return self._numbers(key, _FLOATS, "an array of floating-point numbers")

    def byte_strings(self, key: str, most: int) -> list[bytes]:
        """An array of strings, as bytes; one of more than `most` is refused."""
        _, count, at = self._array(key, frozenset([_STRING]), "an array of strings")
        if count > most:
            raise refused(self.name, key, f"{count} entries", f"At most {most} are read.")
        data, found = self.data, []
        for _ in range(count):
            end = at + 8 + _LENGTH(data, at)[0]
            found.append(data[at + 8 : end])
            at = end
        return found

    def strings(self, key: str, most: int) -> list[str]:
        """An array of strings; one of more than `most` is refused."""
        found = self.byte_strings(key, most)
        try:
            return [raw.decode() for raw in found]
        except UnicodeDecodeError:
            return [self._decoded(raw, f"{key}[{i}]") for i, raw in enumerate(found)]

    def _decoded(self, raw: bytes, place: str) -> str:
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise damaged(self.name, place, f"{raw[:40]!r} is not UTF-8") from error

    def _kind(self, key: str, absent: int) -> int:
        return self.places[key][0] if key in self.places else absent

    def _place(self, key: str, fits: bool, wanted: str) -> int | None:
        if not fits:
            raise damaged(self.name, key, f"is not {wanted}")
        return self.places[key][1] if key in self.places else None

    def _array(self, key: str, kinds: frozenset[int], wanted: str) -> tuple[int, int, int]:
        """Type, number and first place of the elements; none where there is no such key."""
        if key not in self.places:
            return min(kinds), 0, 0
        kind, at = self.places[key]
        inner = _KIND(self.data, at)[0] if kind == _ARRAY else -1
        if inner not in kinds:
            raise damaged(self.name, key, f"is not {wanted}")
        return inner, _LENGTH(self.data, at + 4)[0], at + 12

    def _numbers(self, key: str, kinds: frozenset[int], wanted: str) -> array[Any]:
        kind, count, at = self._array(key, kinds, wanted)
        found = array(_FORMATS[kind])
        found.frombytes(self.data[at : at + count * _SIZES[kind]])
        if sys.byteorder == "big":
            found.byteswap()
        return found


def metadata(data: bytes, name: str) -> Metadata:
    """The metadata of a file, or of its head, in memory."""
    walk = _Walk(name, data, len(data), lambda size: b"")
    return Metadata(name, data, walk.run()[0])
