# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""What a text that is encoded in parts is asked: is it UTF-8, and can it be cut between two characters?"""

import cython
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.mistral_tok.core.fast import bytes_p, mt_may_join
from cython.cimports.mistral_tok.core.tables import Tables

HIGH = cython.declare(uint64_t, 0x8080808080808080)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def follows(byte: uint8_t) -> cython.bint:
    return byte & 0xC0 == 0x80


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def size_at(p: bytes_p, room: uint64_t) -> uint64_t:
    """Return the size of the character beyond ASCII at `p`; 0 for what is none, or not all there."""
    a: uint8_t = p[0]
    if a < 0xC2 or a > 0xF4 or room < 2 or not follows(p[1]):
        return 0
    if a < 0xE0:
        return 2
    if room < 3 or not follows(p[2]) or (a == 0xE0 and p[1] < 0xA0) or (a == 0xED and p[1] > 0x9F):
        return 0  # overlong, or a surrogate
    if a < 0xF0:
        return 3
    if room < 4 or not follows(p[3]) or (a == 0xF0 and p[1] < 0x90) or (a == 0xF4 and p[1] > 0x8F):
        return 0  # overlong, or beyond the last code point
    return 4


def valid_size(data: bytes) -> int:
    r"""Return how many bytes from the start on are whole characters in UTF-8: the core reads past the end of others.

    >>> valid_size("aé".encode() + b"\xe6\x97")
    3
    """
    p: bytes_p = cython.cast(bytes_p, cython.cast(cython.p_char, data))
    n: uint64_t = len(data)
    i: uint64_t = 0
    size: uint64_t
    words: uint64_t[2]
    with cython.nogil:
        while i < n:
            if p[i] < 0x80:
                while i + 16 <= n:
                    memcpy(words, p + i, 16)
                    if (words[0] | words[1]) & HIGH:
                        break
                    i += 16
                while i < n and p[i] < 0x80:
                    i += 1
                continue
            size = size_at(p + i, n - i)
            if size == 0:
                break
            i += size
    return i


def may_join(tables: Tables, left: str, right: str) -> bool:
    """Tell whether a merge could ever cross between two characters; a space mark counts as a space."""
    a: uint32_t = ord(left)
    b: uint32_t = ord(right)
    before: bytes = left.encode()
    after: bytes = right.encode()
    if tables.t.marked:
        a = 32 if a == 0x2581 else a
        b = 32 if b == 0x2581 else b
    return mt_may_join(cython.address(tables.t), a, b, before[len(before) - 1], after[0])
