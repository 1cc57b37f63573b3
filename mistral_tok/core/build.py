# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The expensive parts of making a table image: hash tables, merge pairs, cut tables, reachability."""

from array import array

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_Resize
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy, memset
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
    mt_prefetch,
    mt_tables,
)
from cython.cimports.mistral_tok.core.tables import Tables

AHEAD = cython.declare(cython.Py_ssize_t, 16)  # how many pairs before its turn a place in the table is asked for


def checksum(data: cython.const[uint8_t][::1]) -> int:
    """Sum up `data`, whose length is a multiple of 32; finds damage, not malice."""
    if data.shape[0] == 0:
        return 0
    return mt_checksum(cython.address(data[0]), data.shape[0])


def sealed(head: bytes, parts: list) -> bytes:
    """Return `head`, the checksum of `parts` in eight bytes, the least first, and `parts`."""
    views = [memoryview(whole).cast("B") for whole in parts]
    start: cython.Py_ssize_t = len(head) + 8
    result: bytes = PyBytes_FromStringAndSize(cython.NULL, start + sum([len(view) for view in views]))
    to: cython.pointer(uint8_t) = cython.cast(cython.pointer(uint8_t), PyBytes_AS_STRING(result))
    at: cython.Py_ssize_t = start
    part: cython.const[uint8_t][::1]
    i: cython.Py_ssize_t
    for part in views:
        if part.shape[0]:
            memcpy(to + at, cython.address(part[0]), part.shape[0])
        at += part.shape[0]
    total: uint64_t = mt_checksum(to + start, at - start)
    memcpy(to, cython.cast(bytes_p, cython.cast(cython.p_char, head)), start - 8)
    for i in range(8):
        to[start - 8 + i] = cython.cast(uint8_t, total >> 8 * i)
    return result


def table_bits(items: int, least: int = 4) -> int:
    """Return the logarithm of a table's size that leaves at least three sevenths of it empty."""
    return max(least, (7 * max(1, items) // 4).bit_length())


def offsets(symbols: list[bytes]) -> tuple[array, int]:
    """Return where each symbol begins that lies behind those before it, with the end; and the size of the longest."""
    result = array("I", bytes(4 * (len(symbols) + 1)))
    starts: uint32_t[::1] = result
    i: cython.Py_ssize_t
    size: cython.Py_ssize_t
    longest: cython.Py_ssize_t = 0
    at: uint64_t = 0
    for i in range(len(symbols)):
        size = len(cython.cast(bytes, symbols[i]))
        at += size
        longest = max(longest, size)
        if at > 0xFFFFFFFF:
            raise OverflowError(f"Symbol {i} ends at byte {at}; tables have room for 4 GB.")
        starts[i + 1] = cython.cast(uint32_t, at)
    return result, longest


def rules(
    ranks: cython.const[uint32_t][::1], take: cython.const[uint8_t][::1], n_symbols: int
) -> tuple[array, array, array]:
    """Number the pieces that `take` marks and that have a rank, by rank and then by id.

    Returns the piece of each rule, its rank with no rank left out, and each symbol's rule, or 2**32 − 1.
    """
    n: cython.Py_ssize_t = ranks.shape[0]
    found = array("Q", bytes(8 * n))
    keys: uint64_t[::1] = found
    i: cython.Py_ssize_t
    count: cython.Py_ssize_t = 0
    rises: cython.bint = True
    for i in range(n):
        if take[i] and ranks[i] != 0xFFFFFFFF:
            keys[count] = cython.cast(uint64_t, ranks[i]) << 32 | i
            rises &= count == 0 or keys[count - 1] < keys[count]
            count += 1
    if not rises:
        keys = array("Q", sorted(found[:count]))
    order, dense = array("I", bytes(4 * count)), array("I", bytes(4 * count))
    rule_of = array("I", b"\xff\xff\xff\xff" * n_symbols)
    number_rules(keys, order, dense, rule_of)
    return order, dense, rule_of


@cython.cfunc
def number_rules(
    keys: cython.const[uint64_t][::1], order: uint32_t[::1], dense: uint32_t[::1], rule_of: uint32_t[::1]
) -> cython.void:
    """Fill in what `rules` returns, from ranks with ids below them in rising order."""
    rank: uint32_t = 0
    i: cython.Py_ssize_t
    for i in range(order.shape[0]):
        order[i] = cython.cast(uint32_t, keys[i])
        rank += i > 0 and keys[i] >> 32 != keys[i - 1] >> 32
        dense[i] = rank
        rule_of[order[i]] = cython.cast(uint32_t, i)


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
@cython.exceptval(check=False)
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
        if i + AHEAD < values.shape[0]:
            mt_prefetch(table + (mt_pair_start(values[i + AHEAD] >> 22) & mask))
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
    found = bytearray(1 << 16)
    pairs: cython.pointer(uint64_t) = cython.cast(cython.pointer(uint64_t), PyByteArray_AS_STRING(found))
    count: cython.Py_ssize_t = 0
    s: uint32_t
    at: uint32_t
    size: uint32_t
    i: uint32_t
    h: uint64_t
    left: uint32_t
    right: uint32_t
    for s in range(t.n_symbols):
        if rule_of[s] == 0xFFFFFFFF:
            continue
        at = t.offsets[s]
        size = t.offsets[s + 1] - at
        if 8 * (count + size) > len(found):
            PyByteArray_Resize(found, 2 * len(found) + 8 * size)
            pairs = cython.cast(cython.pointer(uint64_t), PyByteArray_AS_STRING(found))
        h = MT_HASH_SEED
        for i in range(1, size):
            h = mt_hash_step(h, t.blob[at + i - 1])
            if t.marked and t.blob[at + i] & 0xC0 == 0x80:
                continue
            left = mt_find_piece(t, t.blob + at, i, h)
            if left == MT_NO_SYMBOL:
                continue
            right = suffix(t, at + i, size - i)
            if right != MT_NO_SYMBOL:
                pairs[count] = (cython.cast(uint64_t, left) << 21 | right) << 22 | rule_of[s]
                count += 1
    return pair_table(memoryview(found)[: 8 * count])


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
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
@cython.exceptval(check=False)
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
