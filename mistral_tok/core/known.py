# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Ranks of pairs and short pieces in lines of the cache, for new words: made once, kept in the table image."""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.mistral_tok.core.fast import (
    MT_EMPTY,
    MT_ENTRY,
    MT_NO_RULE,
    mt_known_add,
    mt_line,
    mt_lookup,
    mt_rank_add,
    mt_ranks,
    mt_size_of,
    mt_tables,
)
from cython.cimports.mistral_tok.core.tables import Tables

ONE_ID = cython.declare(uint32_t, 1 << 29)  # in the value of an entry


def pair_ranks(tables: Tables, pairs: object) -> bytearray:
    """Return the ranks of pairs, a cache line for all that share one, as checks of trie.h read them."""
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    values: cython.const[uint64_t][::1] = memoryview(pairs).cast("B").cast("Q")
    i: cython.Py_ssize_t
    used: uint64_t = 0
    rule: uint32_t
    for i in range(values.shape[0]):
        used += values[i] != MT_EMPTY
    count: uint64_t = used // 6 + 1  # of fifteen places
    result = bytearray((bytes(32) + b"\xff" * 32) * count)
    lines: cython.pointer(mt_ranks) = cython.cast(cython.pointer(mt_ranks), PyByteArray_AS_STRING(result))
    for i in range(values.shape[0]):
        if values[i] != MT_EMPTY:
            rule = cython.cast(uint32_t, values[i]) & MT_NO_RULE
            rule = t.rule_rank[rule] if t.ties else rule
            mt_rank_add(lines, count, values[i] >> 22, rule >> t.rank_shift)
    return result


def known(tables: Tables, itself: cython.const[uint8_t][::1]) -> bytearray:
    """Return the short pieces that `itself` marks, as memory.h looks segments up."""
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    s: uint32_t
    used: uint64_t = 0
    for s in range(t.n_pieces):
        used += itself[s] and mt_size_of(t, s) <= MT_ENTRY
    mask: uint64_t = 1
    while 2 * mask < used:
        mask *= 2
    result = bytearray(64 * mask)
    lines: cython.pointer(mt_line) = cython.cast(cython.pointer(mt_line), PyByteArray_AS_STRING(result))
    for s in range(1, t.n_pieces):  # an id of 0 would look like none
        if (
            itself[s]
            and 0 < mt_size_of(t, s) <= MT_ENTRY
            and mt_lookup(t, t.blob + t.offsets[s], mt_size_of(t, s)) == s
        ):
            mt_known_add(lines, mask - 1, t.blob + t.offsets[s], mt_size_of(t, s), s)
    return result


def known_fits(section: object, n_pieces: uint32_t) -> bool:
    """Tell whether each value of a line is that of one id, or free, and the fourth one of none."""
    if len(section) < 64 or len(section) & (len(section) - 1):
        return False
    values: cython.const[uint32_t][::1] = memoryview(section).cast("B").cast("I")
    i: cython.Py_ssize_t
    j: cython.Py_ssize_t
    ok: cython.bint = True
    for i in range(0, values.shape[0], 16):
        for j in range(12, 15):
            ok &= values[i + j] == 0 or (values[i + j] ^ ONE_ID) < n_pieces
        ok &= values[i + 15] == 0
    return ok
