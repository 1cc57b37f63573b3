# cython: language_level=3, boundscheck=True, wraparound=False
"""Checks that make a table image safe to read whatever it holds."""

import cython
from cython.cimports.libc.stdint import uint16_t, uint32_t, uint64_t
from cython.cimports.mistral_tok.core.fast import MT_CELL_SYMBOL, MT_EMPTY, MT_NO_RULE, mt_size_of, mt_tables
from cython.cimports.mistral_tok.core.tables import Tables

from mistral_tok.core.known import known_fits
from mistral_tok.core.trie import trie_fits
from mistral_tok.errors import VocabularyError


def verify(tables: Tables, sections: dict) -> None:
    """Raise unless every size fits every other, every index is in bounds, and every table has a gap."""
    n: uint32_t = tables.t.n_pieces
    total: uint32_t = tables.t.n_symbols
    sizes = {
        "itself": total,
        "ascii_joins": 128 * 128,
        "fragment_joins": 8192,
        "byte_symbols": 1024,
        "chars": 2 * total if tables.t.marked else 0,
        "rule_rank": 4 * tables.t.n_rules if tables.t.ties else 0,
    }
    for name, size in sizes.items():
        need(len(sections[name]) == size, name)
    for name in ("piece_hash", "pairs", "joins"):
        size = len(sections[name])
        need(size >= 8 and size & (size - 1) == 0, name)
    need(0 < n <= total and 0 < tables.t.longest < 1 << 20 and tables.t.joins_shift < 32, "sizes")
    need(offsets_fit(tables, len(sections["blob"])), "offsets")
    need(below(sections["byte_symbols"], n) and below(sections["rule_result"], n), "symbols")
    need(below(sections["user_defined"], n), "user_defined")
    need(hash_fits(sections["piece_hash"], total), "piece_hash")
    need(pairs_fit(tables, sections["pairs"]), "pairs")
    trie = ("pair_ranks", "halves", "trie", "trie_pieces", "shorter")
    need(any(len(sections[name]) for name in trie) == all(len(sections[name]) for name in trie), "trie")
    if sections["trie"]:
        need(len(sections["halves"]) == 8 * total, "halves")
        need(len(sections["shorter"]) == 4 * total, "shorter")
        need(len(sections["pair_ranks"]) % 64 == 0, "pair_ranks")
        need(trie_fits(tables, sections["trie"], sections["trie_pieces"]), "trie")
    need(known_fits(sections["known"], n), "known")
    need(classes_fit(sections["class_index"], len(sections["classes"])), "classes")


def need(ok: bool, name: str) -> None:
    """Raise unless `ok`."""
    if not ok:
        raise VocabularyError(f"A table image is damaged: section {name} is not right.")


@cython.cfunc
def offsets_fit(tables: Tables, blob: uint64_t) -> cython.bint:
    """Tell whether pieces lie side by side, none longer than the longest, with room behind the last."""
    i: uint32_t
    if tables.t.offsets[0] != 0 or tables.t.offsets[tables.t.n_symbols] + 64 > blob:
        return False
    for i in range(tables.t.n_symbols):
        if (
            tables.t.offsets[i + 1] < tables.t.offsets[i]
            or tables.t.offsets[i + 1] - tables.t.offsets[i] > tables.t.longest
        ):
            return False
    return True


@cython.cfunc
def below(section: object, limit: uint32_t) -> cython.bint:
    """Tell whether all numbers of a section are below a limit."""
    if len(section) % 4:
        return False
    values: cython.const[uint32_t][::1] = memoryview(section).cast("B").cast("I")
    i: cython.Py_ssize_t
    ok: cython.bint = True
    for i in range(values.shape[0]):
        ok &= values[i] < limit
    return ok


@cython.cfunc
def hash_fits(section: object, total: uint32_t) -> cython.bint:
    """Tell whether all cells are free or name a symbol, and one is free, or a search would not end."""
    values: cython.const[uint32_t][::1] = memoryview(section).cast("B").cast("I")
    gap: cython.bint = False
    i: cython.Py_ssize_t
    for i in range(values.shape[0]):
        if values[i] & MT_CELL_SYMBOL > total or (values[i] and not values[i] & MT_CELL_SYMBOL):
            return False
        gap |= values[i] == 0
    return gap


@cython.cfunc
def pairs_fit(tables: Tables, section: object) -> cython.bint:
    """Check the pairs. What two symbols merge into is as long as they are together, or writing would go astray."""
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    values: cython.const[uint64_t][::1] = memoryview(section).cast("B").cast("Q")
    gap: cython.bint = False
    i: cython.Py_ssize_t
    left: uint64_t
    right: uint64_t
    rule: uint64_t
    for i in range(values.shape[0]):
        if values[i] == MT_EMPTY:
            gap = True
            continue
        left = values[i] >> 43
        right = (values[i] >> 22) & 0x1FFFFF
        rule = values[i] & MT_NO_RULE
        if left >= tables.t.n_symbols or right >= tables.t.n_symbols or rule >= tables.t.n_rules:
            return False
        if mt_size_of(t, left) + mt_size_of(t, right) != mt_size_of(t, tables.t.rule_result[rule]):
            return False
    return gap


@cython.cfunc
def classes_fit(section: object, size: uint32_t) -> cython.bint:
    """Tell whether every 128 code points name a block of classes that is there, if there are any."""
    if len(section) == 0:
        return True
    if len(section) != 2 * 8704 or size % 128:
        return False
    values: cython.const[uint16_t][::1] = memoryview(section).cast("B").cast("H")
    i: cython.Py_ssize_t
    ok: cython.bint = True
    for i in range(8704):
        ok &= values[i] < size // 128
    return ok
