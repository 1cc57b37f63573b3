# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The expensive parts of making a table image: hash tables, merge pairs, cut tables, reachability."""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memset
from cython.cimports.mistral_tok.core.fast import (
    MT_EMPTY,
    MT_HASH_SEED,
    MT_NO_RULE,
    MT_NO_SYMBOL,
    bytes_p,
    mt_cell,
    mt_char,
    mt_checksum,
    mt_find_piece,
    mt_hash_step,
    mt_join_hash,
    mt_mix,
    mt_pair_start,
    mt_tables,
)
from cython.cimports.mistral_tok.core.tables import Tables


def checksum(data: cython.const[uint8_t][::1]) -> int:
    """Sum up `data`, whose length is a multiple of 32; finds damage, not malice."""
    if data.shape[0] == 0:
        return 0
    return mt_checksum(cython.address(data[0]), data.shape[0])


def table_bits(items: int, least: int = 4) -> int:
    """Return the logarithm of a table's size that leaves at least three sevenths of it empty."""
    return max(least, (7 * max(1, items) // 4).bit_length())


def piece_hash(
    blob: cython.const[uint8_t][::1], offsets: cython.const[uint32_t][::1], take: cython.const[uint8_t][::1]
) -> bytearray:
    """Build the table from bytes to symbols for the symbols that `take` marks."""
    n: cython.Py_ssize_t = take.shape[0]
    bits: int = table_bits(n)
    mask: uint64_t = (cython.cast(uint64_t, 1) << bits) - 1
    result = bytearray(4 << bits)
    table: cython.pointer(uint32_t) = cython.cast(cython.pointer(uint32_t), PyByteArray_AS_STRING(result))
    i: cython.Py_ssize_t
    j: uint32_t
    h: uint64_t
    mixed: uint64_t
    for i in range(n):
        if not take[i]:
            continue
        h = MT_HASH_SEED
        for j in range(offsets[i], offsets[i + 1]):
            h = mt_hash_step(h, blob[j])
        mixed = mt_mix(h)
        h = mixed & mask
        while table[h]:
            h = (h + 1) & mask
        table[h] = mt_cell(mixed, cython.cast(uint32_t, i))
    return result


@cython.cfunc
def insert_pair(
    table: cython.pointer(uint64_t), mask: uint64_t, left: uint64_t, right: uint64_t, rule: uint64_t
) -> cython.int:
    """Add a pair; of two rules for it the first stays."""
    key: uint64_t = (left << 21) | right
    i: uint64_t = mt_pair_start(key) & mask
    while table[i] != MT_EMPTY:
        if table[i] >> 22 == key:
            return 0
        i = (i + 1) & mask
    table[i] = (key << 22) | rule
    return 1


def pair_table(pairs: object) -> bytearray:
    """Build the pair table of pairs as it holds them."""
    values: cython.const[uint64_t][::1] = memoryview(pairs).cast("B").cast("Q")
    bits: int = table_bits(values.shape[0])
    result = bytearray(8 << bits)
    table: cython.pointer(uint64_t) = cython.cast(cython.pointer(uint64_t), PyByteArray_AS_STRING(result))
    mask: uint64_t = (cython.cast(uint64_t, 1) << bits) - 1
    i: cython.Py_ssize_t
    memset(table, 0xFF, len(result))
    for i in range(values.shape[0]):
        insert_pair(table, mask, values[i] >> 43, (values[i] >> 22) & MT_NO_SYMBOL, values[i] & MT_NO_RULE)
    return result


def explicit_pairs(left: cython.const[uint32_t][::1], right: cython.const[uint32_t][::1]) -> bytearray:
    """Build the pair table of listed merges; the rule is the place in the list."""
    n: cython.Py_ssize_t = left.shape[0]
    bits: int = table_bits(n)
    result = bytearray(8 << bits)
    table: cython.pointer(uint64_t) = cython.cast(cython.pointer(uint64_t), PyByteArray_AS_STRING(result))
    i: cython.Py_ssize_t
    memset(table, 0xFF, len(result))
    for i in range(n):
        insert_pair(table, (cython.cast(uint64_t, 1) << bits) - 1, left[i], right[i], i)
    return result


def implicit_pairs(tables: Tables, rule_of: cython.const[uint32_t][::1]) -> bytearray:
    """Build the pair table of a vocabulary in which any two symbols merge whose bytes together are a piece with a rule.

    `rule_of` gives each symbol's rule, or 2**32 − 1.
    """
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    found = bytearray(0)
    count: uint64_t = 0
    bits: int
    table: cython.pointer(uint64_t)
    mask: uint64_t
    work: cython.uint
    s: uint32_t
    at: uint32_t
    size: uint32_t
    i: uint32_t
    h: uint64_t
    left: uint32_t
    right: uint32_t
    for work in range(2):  # count, then fill
        bits = table_bits(count)
        found = bytearray(8 << bits)
        table = cython.cast(cython.pointer(uint64_t), PyByteArray_AS_STRING(found))
        memset(table, 0xFF, len(found))
        mask = (cython.cast(uint64_t, 1) << bits) - 1
        for s in range(t.n_symbols):
            if rule_of[s] == 0xFFFFFFFF:
                continue
            at = t.offsets[s]
            size = t.offsets[s + 1] - at
            h = MT_HASH_SEED
            for i in range(1, size):
                h = mt_hash_step(h, t.blob[at + i - 1])
                if t.marked and t.blob[at + i] & 0xC0 == 0x80:
                    continue
                left = mt_find_piece(t, t.blob + at, i, h)
                if left == MT_NO_SYMBOL:
                    continue
                right = suffix(t, at + i, size - i)
                if right == MT_NO_SYMBOL:
                    continue
                if work == 0:
                    count += 1
                else:
                    insert_pair(table, mask, left, right, rule_of[s])
    return found


@cython.cfunc
@cython.inline
def suffix(t: cython.pointer(mt_tables), at: uint32_t, size: uint32_t) -> uint32_t:
    h: uint64_t = MT_HASH_SEED
    i: uint32_t
    for i in range(size):
        h = mt_hash_step(h, t.blob[at + i])
    return mt_find_piece(t, t.blob + at, size, h)


def joins(
    tables: Tables, take: cython.const[uint8_t][::1], bits: int, split_spaces: bool
) -> tuple[bytearray, bytearray, bytearray]:
    """Collect which characters stand side by side in a piece: ASCII table, hashed bitmap of `2**bits`, fragment bits.

    A byte-level piece may begin or end inside a character. For a neighbour that is not whole, the last byte of the
    left and the first byte of the right character are taken, which covers every character that the fragment could
    belong to.
    """
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    ascii_joins = bytearray(128 * 128)
    hashed = bytearray(1 << (bits - 3))
    fragments = bytearray(8192)
    bitmap: cython.pointer(uint64_t) = cython.cast(cython.pointer(uint64_t), PyByteArray_AS_STRING(hashed))
    shift: uint32_t = 32 - bits
    s: uint32_t
    at: uint32_t
    end: uint32_t
    size: uint32_t
    previous: uint32_t
    whole: cython.bint
    c: uint32_t
    h: uint32_t
    i: uint32_t
    for s in range(t.n_symbols):
        if not take[s]:
            continue
        at = t.offsets[s]
        end = t.offsets[s + 1]
        size = unit(t.blob + at, end - at, cython.address(previous))
        i = at + size
        while i < end:
            whole = previous != 0xFFFFFFFF
            size = unit(t.blob + i, end - i, cython.address(c))
            if c == 0xFFFFFFFF and t.blob[i] & 0xC0 == 0x80:
                pass  # inside the same character
            elif c == 0xFFFFFFFF or not whole:
                h = (cython.cast(uint32_t, t.blob[i - 1]) << 8) | t.blob[i]
                fragments[h >> 3] |= 1 << (h & 7)
            elif c == 32 and split_spaces:
                pass
            elif c < 128 and previous < 128:
                ascii_joins[(previous << 7) | c] = 1
            else:
                h = (mt_join_hash(previous, c) * cython.cast(uint32_t, 0xC2B2AE35)) >> shift
                bitmap[h >> 6] |= cython.cast(uint64_t, 1) << (h & 63)
            previous = c
            i += size
    return ascii_joins, hashed, fragments


@cython.cfunc
def unit(p: bytes_p, room: uint32_t, c: cython.pointer(uint32_t)) -> uint32_t:
    """Take a whole character, or the part of one (then `c` is 2**32 − 1); return its size."""
    size: uint32_t = 1 if p[0] < 0xC2 else 2 if p[0] < 0xE0 else 3 if p[0] < 0xF0 else 4
    i: uint32_t = 1
    while i < size and i < room and p[i] & 0xC0 == 0x80:
        i += 1
    if i < size or 0x80 <= p[0] < 0xC2 or p[0] > 0xF4:
        c[0] = 0xFFFFFFFF
        return i
    c[0] = mt_char(p, cython.address(size))
    return size
