# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The last merges of pieces, and what follows: the pairs that a text can merge, the pieces that suit the trie."""

from array import array

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memset
from cython.cimports.mistral_tok.core.fast import (
    MT_EMPTY,
    MT_NO_RULE,
    MT_NO_SYMBOL,
    MT_ORDER,
    MT_SHORT,
    ids_p,
    mt_rank_of,
    mt_size_of,
    mt_tables,
    mt_word,
    mt_word_start,
    mt_word_step,
)
from cython.cimports.mistral_tok.core.merge import merge
from cython.cimports.mistral_tok.core.tables import Tables

from mistral_tok.core.build import pair_table


@cython.cfunc
def last_merge(t: cython.pointer(mt_tables), piece: uint32_t, halves: cython.pointer(uint64_t)) -> cython.bint:
    """Merge a piece's own bytes and tell whether they become it; note its halves and the order of their rule."""
    w: mt_word
    middle: uint32_t = 0
    left: uint32_t = 0
    pair: uint64_t
    mt_word_start(t, cython.address(w), t.blob + t.offsets[piece], mt_size_of(t, piece))
    while w.end[0] < w.n:
        middle = w.end[0]
        left = w.sym[0]
        if not mt_word_step(t, cython.address(w)):
            return False
    if w.sym[0] != piece:
        return False
    if middle:
        pair = cython.cast(uint64_t, left) << 21 | w.sym[middle]
        halves[0] = pair << 22 | (mt_rank_of(t, pair) + 1)
    return True


def last_merges(tables: Tables, take: cython.const[uint8_t][::1]) -> tuple[bytearray, bytearray]:
    """Mark the pieces, of those that `take` marks, whose own bytes merge into themselves; and return their halves.

    Long pieces have none, like those that are single symbols.
    """
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    marks = bytearray(t.n_symbols)
    result = bytearray(8 * t.n_symbols)
    ids = bytearray(4 * (t.longest + 8))
    out: ids_p = cython.cast(ids_p, PyByteArray_AS_STRING(ids))
    found: cython.pointer(uint64_t) = cython.cast(cython.pointer(uint64_t), PyByteArray_AS_STRING(result))
    s: uint32_t
    for s in range(t.n_pieces):
        if not take[s] or mt_size_of(t, s) == 0:
            continue
        if mt_size_of(t, s) <= MT_SHORT:
            marks[s] = last_merge(t, s, found + s)
        else:
            marks[s] = (
                merge(t, t.blob + t.offsets[s], mt_size_of(t, s), out) == 1 and cython.cast(uint32_t, out[0]) == s
            )
    return marks, result


def used_pairs(tables: Tables, pairs: object, merges: object) -> bytearray:
    """Return a table of those pairs that a text can ever merge.

    A piece that stands in a text was merged there as its own text is, so only one pair ever becomes it: that of its
    last merge. The other pairs that it could be made of, and those of pieces that their own text does not become, are
    never the best ones when their turn comes.
    """
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    values: cython.const[uint64_t][::1] = memoryview(pairs).cast("B").cast("Q")
    last: cython.const[uint64_t][::1] = memoryview(merges).cast("B").cast("Q")
    kept = bytearray(8 * values.shape[0])
    used: cython.pointer(uint64_t) = cython.cast(cython.pointer(uint64_t), PyByteArray_AS_STRING(kept))
    i: cython.Py_ssize_t
    count: cython.Py_ssize_t = 0
    piece: uint32_t
    for i in range(values.shape[0]):
        if values[i] == MT_EMPTY:
            continue
        piece = t.rule_result[values[i] & MT_NO_RULE]
        if mt_size_of(t, piece) > MT_SHORT or values[i] >> 22 == last[piece] >> 22:
            used[count] = values[i]
            count += 1
    return pair_table(memoryview(kept)[: 8 * count])


def halves(tables: Tables, reached: cython.const[uint8_t][::1], merges: object) -> tuple[bytearray, bytearray]:
    """Return the halves of all symbols, and marks for the pieces that the trie may hold.

    These are the pieces that `reached` marks, the merges of which rise in rank up to the last.
    """
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    result = bytearray(merges)
    marks = bytearray(t.n_symbols)
    found: cython.pointer(uint64_t) = cython.cast(cython.pointer(uint64_t), PyByteArray_AS_STRING(result))
    order: cython.const[uint32_t][::1] = by_size(t)
    i: cython.Py_ssize_t
    s: uint32_t
    left: uint32_t
    right: uint32_t
    for i in range(order.shape[0]):
        s = order[i]
        left = cython.cast(uint32_t, found[s] >> 43)
        right = cython.cast(uint32_t, found[s] >> 22) & MT_NO_SYMBOL
        marks[s] = (s >= t.n_pieces or reached[s]) and (
            found[s] == 0
            or (
                marks[left]
                and marks[right]
                and MT_ORDER(found[left]) < MT_ORDER(found[s])
                and MT_ORDER(found[right]) < MT_ORDER(found[s])
            )
        )
        if not marks[s]:
            found[s] = 0
    memset(PyByteArray_AS_STRING(marks) + t.n_pieces, 0, t.n_symbols - t.n_pieces)
    return result, marks


@cython.cfunc
def by_size(t: cython.pointer(mt_tables)) -> object:
    """Return the symbols that are not long, the shortest first: halves are shorter than what they make."""
    ends: uint32_t[64]  # for sizes up to MT_SHORT, and more
    size: uint32_t
    s: uint32_t
    memset(ends, 0, cython.sizeof(ends))
    for s in range(t.n_symbols):
        if 0 < mt_size_of(t, s) <= MT_SHORT:
            ends[mt_size_of(t, s)] += 1
    for size in range(1, MT_SHORT + 1):
        ends[size] += ends[size - 1]
    result = array("I", bytes(4 * ends[MT_SHORT]))
    order: uint32_t[::1] = result
    for s in range(t.n_symbols):
        if 0 < mt_size_of(t, s) <= MT_SHORT:
            order[ends[mt_size_of(t, s) - 1]] = s
            ends[mt_size_of(t, s) - 1] += 1
    return result
