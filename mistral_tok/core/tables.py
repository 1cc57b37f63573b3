# cython: language_level=3
"""The sections of a table image as C pointers."""

import cython
from cython.cimports.libc.stdint import uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.mistral_tok.core.fast import (
    MT_DIRECT,
    MT_NO_RULE,
    MT_NO_SYMBOL,
    MT_UNRANKED,
    bytes_p,
    mt_class,
    mt_class_joins,
    mt_line,
    mt_lookup,
    mt_mask_class,
    mt_may_join,
    mt_ranks,
    mt_rule,
    mt_simd_best,
    mt_tables,
)


@cython.cfunc
def start(section: object) -> bytes_p:
    view: cython.const[uint8_t][::1] = section
    if view.shape[0] == 0:
        return cython.NULL
    return cython.address(view[0])


@cython.cfunc
def words(t: cython.pointer(mt_tables)) -> cython.int:
    """Tell for which characters the class rule joins whatever the vocabulary joins: 0 none, 1 ASCII, 2 all letters."""
    a: uint32_t
    b: uint32_t
    size: cython.int = 2
    for a in range(0x460):
        if not mt_mask_class(a):
            continue
        for b in range(0x460):
            if not mt_mask_class(b) or mt_class_joins(a, b):
                continue
            if mt_may_join(t, a, b, a if a < 128 else 0x80 | (a & 63), b if b < 128 else 0xC0 | (b >> 6)):
                if a < 128 and b < 128:
                    return 0
                size = 1
    return size


@cython.cfunc
def scans(t: cython.pointer(mt_tables)) -> cython.bint:
    """Tell whether the masks take every character that they know for what the classes of Tekken's pattern say."""
    c: uint32_t
    same: cython.bint = True
    for c in range(0x10000):
        same &= not mt_mask_class(c) or mt_mask_class(c) == mt_class(t, c)
    return same


@cython.cfunc
def symbols_of_characters(t: cython.pointer(mt_tables), found: cython.pointer(uint32_t)) -> cython.pointer(
    cython.const[uint32_t]
):
    """Fill in the symbol of each character of one or two bytes, where symbols are characters."""
    text: uint8_t[2]
    c: uint32_t
    for c in range(MT_DIRECT if t.marked else 0):
        text[0] = c if c < 128 else 0xC0 | (c >> 6)
        text[1] = 0x80 | (c & 63)
        found[c] = mt_lookup(t, text, 1 if c < 128 else 2)
    return found


@cython.cfunc
def rules_of_two(t: cython.pointer(mt_tables), side: uint32_t, found: cython.pointer(uint32_t)) -> cython.pointer(
    cython.const[uint32_t]
):
    """Fill in the rule for each two bytes, or for each two ASCII characters."""
    symbols: cython.pointer(cython.const[uint32_t]) = t.char_symbols if t.marked else t.byte_symbols
    a: uint32_t
    b: uint32_t
    for a in range(side):
        for b in range(side):
            if symbols[a] == MT_NO_SYMBOL or symbols[b] == MT_NO_SYMBOL:
                found[side * a + b] = MT_NO_RULE
            else:
                found[side * a + b] = mt_rule(t, symbols[a], symbols[b])
    return found


@cython.cfunc
def rule_base(t: cython.pointer(mt_tables)) -> uint32_t:
    """Tell what the result of each rule is, less the rule, if that is the same for all; 0 otherwise."""
    i: uint32_t
    base: uint32_t = t.rule_result[0] if t.n_rules else 0
    same: cython.bint = True
    for i in range(t.n_rules):
        same &= t.rule_result[i] == base + i
    return base if same else 0


def simd_levels() -> range:
    """Return the levels of instructions that this machine has for masks: 0 none, 1 of 128 bits, 2 AVX2, 3 AVX-512."""
    return range(mt_simd_best() + 1)


@cython.cclass
class Tables:
    """Points into buffers that it keeps alive.

    `image.open_image` makes sure beforehand that what they say is in bounds.
    """

    def __init__(
        self, sections: dict, n_pieces: int, n_symbols: int, longest: int, marked: bool, ties: bool, split_spaces: bool
    ):
        sections = {name: memoryview(part).cast("B") for name, part in sections.items()}
        self.keep = sections
        self.t.offsets = cython.cast(cython.pointer(cython.const[uint32_t]), start(sections["offsets"]))
        self.t.blob = start(sections["blob"])
        self.t.kinds = start(sections["kinds"])
        self.t.chars = cython.cast(cython.pointer(cython.const[uint16_t]), start(sections["chars"]))
        self.t.itself = start(sections["itself"])
        self.t.piece_hash = cython.cast(cython.pointer(cython.const[uint32_t]), start(sections["piece_hash"]))
        self.t.piece_mask = len(sections["piece_hash"]) // 4 - 1
        self.t.pairs = cython.cast(cython.pointer(cython.const[uint64_t]), start(sections["pairs"]))
        self.t.pair_mask = len(sections["pairs"]) // 8 - 1
        self.t.rule_result = cython.cast(cython.pointer(cython.const[uint32_t]), start(sections["rule_result"]))
        self.t.rule_rank = cython.cast(cython.pointer(cython.const[uint32_t]), start(sections["rule_rank"]))
        self.t.ascii_joins = start(sections["ascii_joins"])
        self.t.joins = cython.cast(cython.pointer(cython.const[uint64_t]), start(sections["joins"]))
        self.t.joins_shift = 32 - (len(sections["joins"]) * 8).bit_length() + 1
        self.t.fragment_joins = cython.cast(cython.pointer(cython.const[uint64_t]), start(sections["fragment_joins"]))
        self.t.byte_symbols = cython.cast(cython.pointer(cython.const[uint32_t]), start(sections["byte_symbols"]))
        self.t.class_index = cython.cast(cython.pointer(cython.const[uint16_t]), start(sections["class_index"]))
        self.t.classes = start(sections["classes"])
        if sections["trie"]:
            self.set_spelling(True)
            self.t.trie_pieces = cython.cast(cython.pointer(cython.const[uint32_t]), start(sections["trie_pieces"]))
            self.t.shorter = cython.cast(cython.pointer(cython.const[uint32_t]), start(sections["shorter"]))
            self.t.pair_ranks = cython.cast(cython.pointer(cython.const[mt_ranks]), start(sections["pair_ranks"]))
            self.t.rank_lines = len(sections["pair_ranks"]) // 64
            self.t.halves = cython.cast(cython.pointer(cython.const[uint64_t]), start(sections["halves"]))
        if sections["known"]:
            self.t.known = cython.cast(cython.pointer(cython.const[mt_line]), start(sections["known"]))
            self.t.known_mask = len(sections["known"]) // 64 - 1
        self.t.n_pieces = n_pieces
        self.t.n_symbols = n_symbols
        self.t.n_rules = len(sections["rule_result"]) // 4
        self.t.rank_shift = 0
        while self.t.n_rules >> self.t.rank_shift >= MT_UNRANKED:
            self.t.rank_shift += 1
        self.t.longest = longest
        self.t.window = 4096
        self.t.marked = marked
        self.t.ties = ties
        self.t.split_spaces = split_spaces
        self.t.simd = mt_simd_best()
        self.t.recall = True

    def __dealloc__(self):
        free(self.memory)

    def finish(self) -> None:
        """Work out what is not worth a section. Only for sections that were verified, or are being made."""
        side: uint32_t = 128 if self.t.marked else 256
        self.memory = cython.cast(cython.pointer(uint32_t), malloc(4 * (side * side + MT_DIRECT)))
        if self.memory == cython.NULL:
            raise MemoryError("No memory for the rules of two characters.")
        self.t.char_symbols = symbols_of_characters(cython.address(self.t), self.memory + side * side)
        self.t.first_rules = rules_of_two(cython.address(self.t), side, self.memory)
        self.t.rule_base = rule_base(cython.address(self.t))
        if self.t.fragment_joins != cython.NULL:
            self.t.words = 0 if self.t.split_spaces else words(cython.address(self.t))
        self.t.scans = self.t.classes != cython.NULL and scans(cython.address(self.t))

    def set_simd(self, level: int) -> None:
        """Choose a level of `simd_levels`, for tests; ValueError for one that this machine does not have."""
        if level not in simd_levels():
            raise ValueError(f"SIMD level {level!r} is not among {list(simd_levels())} of this machine.")
        self.t.simd = level

    def set_spelling(self, on: bool) -> None:
        """Choose whether words are spelt by their longest pieces, where the tables allow it, or merged, for tests."""
        self.t.trie = cython.NULL
        if on and self.keep["trie"]:
            self.t.trie = cython.cast(cython.pointer(cython.const[uint32_t]), start(self.keep["trie"]))

    def set_recall(self, on: bool) -> None:
        """Choose whether whole texts are remembered, for tests and measurements of what happens without."""
        self.t.recall = on

    def set_window(self, symbols: int) -> None:
        """Set how many symbols of a long segment are merged at a time at first, for tests that want many windows."""
        self.t.window = max(2, symbols)
