# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Which characters of the text an id stands for, worked out from the ids and the text alone."""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.cpython.unicode import PyUnicode_AsUTF8AndSize
from cython.cimports.libc.stdint import int32_t, uint8_t
from cython.cimports.mistral_tok.core.fast import bytes_p, ids_p
from cython.cimports.mistral_tok.core.tables import Tables

USER_DEFINED = cython.declare(cython.int, 4)
BYTE = cython.declare(cython.int, 6)


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def size_of(first: uint8_t) -> cython.int:
    return 1 if first < 0x80 else 2 if first < 0xE0 else 3 if first < 0xF0 else 4


def spans(tables: Tables, text: str, ids: cython.const[int32_t][::1], prefixed: bool, every: int) -> bytearray:
    """Return int32 pairs (start, end), half open, in characters of `text`, for ids that `text` was encoded to.

    Bytes of one character that fall in several ids share its span. `prefixed`: a space stands before the text that is
    not its own; it has no width. `every`: the same holds for the text after each user-defined piece (1), or only
    where that does not start with a space (2).
    """
    n: cython.Py_ssize_t = 0
    p: bytes_p = cython.cast(bytes_p, PyUnicode_AsUTF8AndSize(text, cython.address(n)))
    result = bytearray(8 * ids.shape[0])
    out: ids_p = cython.cast(ids_p, PyByteArray_AS_STRING(result))
    if tables.t.marked:
        marked_spans(tables, p, n, ids, prefixed, every, out)
    else:
        byte_spans(tables, p, n, ids, out)
    return result


@cython.cfunc
def marked_spans(
    tables: Tables,
    p: bytes_p,
    n: cython.Py_ssize_t,
    ids: cython.const[int32_t][::1],
    prefixed: cython.bint,
    every: cython.int,
    out: ids_p,
):
    """Walk by characters; byte pieces move on when all bytes of their character have been seen."""
    t = cython.address(tables.t)
    at: cython.Py_ssize_t = 0
    char: int32_t = 0
    seen: cython.int = 0
    i: cython.Py_ssize_t
    width: cython.int
    lead: cython.int = 1 if prefixed else 0
    for i in range(ids.shape[0]):
        out[2 * i] = char
        if t.kinds[ids[i]] == BYTE:
            out[2 * i + 1] = char + 1
            seen += 1
            if at < n and seen == size_of(p[at]):
                at += seen
                char += 1
                seen = 0
            continue
        if t.kinds[ids[i]] == USER_DEFINED:
            lead = 0
        width = t.chars[ids[i]] - lead
        lead = 0
        char += width
        while width > 0 and at < n:
            at += size_of(p[at])
            width -= 1
        if every and t.kinds[ids[i]] == USER_DEFINED and at < n:
            lead = every == 1 or not (
                p[at] == 32 or (at + 2 < n and p[at] == 0xE2 and p[at + 1] == 0x96 and p[at + 2] == 0x81)
            )
        out[2 * i + 1] = char


@cython.cfunc
def byte_spans(
    tables: Tables,
    p: bytes_p,
    n: cython.Py_ssize_t,
    ids: cython.const[int32_t][::1],
    out: ids_p,
):
    """Walk by bytes; a span runs from the character of an id's first byte to the one of its last."""
    t = cython.address(tables.t)
    at: cython.Py_ssize_t = 0
    chars: int32_t = 0  # characters that begin before `at`
    i: cython.Py_ssize_t
    end: cython.Py_ssize_t
    for i in range(ids.shape[0]):
        end = at + t.offsets[ids[i] + 1] - t.offsets[ids[i]]
        if end > n:
            end = n
        out[2 * i] = chars - (1 if at < n and p[at] & 0xC0 == 0x80 else 0)
        while at < end:
            chars += p[at] & 0xC0 != 0x80
            at += 1
        out[2 * i + 1] = chars
