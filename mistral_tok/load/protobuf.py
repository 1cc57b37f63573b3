"""Protocol-buffer wire format: the few rules that reading a SentencePiece model needs, hardened."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from mistral_tok.errors import VocabularyError
from mistral_tok.load.source import damaged

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5

Field = tuple[int, int, int | bytes]
"""Field number, wire type, value: an int for VARINT, bytes otherwise."""


def fields(data: bytes, name: str, place: str) -> Iterator[Field]:
    """Yield the fields of one message in order; nested messages come as bytes.

    No length is believed: each is compared with what is left before anything is sliced, so a file that claims
    2**63 bytes costs nothing. `name` and `place` are for errors.
    """
    position, end = 0, len(data)
    while position < end:
        start = position
        # Nearly all tags and lengths have one byte; calling a function for each would double the time.
        tag = data[position]
        position += 1
        if tag > 0x7F:
            tag, position = varint(data, start, name, place)
        number, wire = tag >> 3, tag & 7
        if not 0 < number < 1 << 29:
            raise damaged(name, f"{place}, byte {start}", f"field number {number} is not valid")
        if wire == VARINT:
            value, position = varint(data, position, name, place)
            yield number, wire, value
            continue
        if wire == BYTES:
            if position < end and data[position] < 0x80:
                size, position = data[position], position + 1
            else:
                size, position = varint(data, position, name, place)
        elif wire in (FIXED32, FIXED64):
            size = 4 if wire == FIXED32 else 8
        else:
            raise damaged(name, f"{place}, byte {start}", f"wire type {wire} is not used by SentencePiece models")
        if size > end - position:
            raise _overrun(name, f"{place}, byte {start}", size, end - position)
        yield number, wire, data[position : position + size]
        position += size


def varint(data: bytes, position: int, name: str, place: str) -> tuple[int, int]:
    """The unsigned 64-bit varint at `position`, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        if position + shift // 7 >= len(data):
            raise damaged(name, f"{place}, byte {position}", "a number is cut off")
        byte = data[position + shift // 7]
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, position + shift // 7 + 1
    raise damaged(name, f"{place}, byte {position}", "a number is longer than 10 bytes")


def expect_bytes(field: Field, name: str, place: str) -> bytes:
    """The value of a string, bytes or message field."""
    number, wire, value = field
    if wire != BYTES or isinstance(value, int):
        raise damaged(name, place, f"field {number} has wire type {wire} instead of {BYTES}")
    return value


def expect_int(field: Field, name: str, place: str) -> int:
    """The value of an int32, bool or enum field, sign restored."""
    number, wire, value = field
    if wire != VARINT or not isinstance(value, int):
        raise damaged(name, place, f"field {number} has wire type {wire} instead of {VARINT}")
    value &= 0xFFFF_FFFF
    return value - (1 << 32) if value >= 1 << 31 else value


def expect_float(field: Field, name: str, place: str) -> float:
    """The value of a float field."""
    number, wire, value = field
    if wire != FIXED32 or isinstance(value, int):
        raise damaged(name, place, f"field {number} has wire type {wire} instead of {FIXED32}")
    result: float = struct.unpack("<f", value)[0]
    return result


def _overrun(name: str, place: str, claimed: int, left: int) -> VocabularyError:
    return damaged(name, place, f"a field claims {claimed} bytes where {left} are left")
