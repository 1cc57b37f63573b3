# cython: language_level=3
"""The sections of a table image as C pointers."""

import cython
from cython.cimports.libc.stdint import uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.mistral_tok.core.fast import bytes_p, mt_class_joins


@cython.cfunc
def start(section: object) -> bytes_p:
    view: cython.const[uint8_t][::1] = section
    if view.shape[0] == 0:
        return cython.NULL
    return cython.address(view[0])


@cython.cfunc
def words_only(joins: bytes_p) -> cython.bint:
    """Tell whether the class rule joins whatever the vocabulary joins among ASCII characters."""
    a: uint32_t
    b: uint32_t
    for a in range(128):
        for b in range(128):
            if joins[(a << 7) | b] and not mt_class_joins(a, b):
                return False
    return True


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
        self.t.n_pieces = n_pieces
        self.t.n_symbols = n_symbols
        self.t.n_rules = len(sections["rule_result"]) // 4
        self.t.longest = longest
        self.t.window = 4096
        self.t.marked = marked
        self.t.ties = ties
        self.t.split_spaces = split_spaces
        self.t.ascii_words = (
            not split_spaces and len(sections["ascii_joins"]) == 128 * 128 and words_only(self.t.ascii_joins)
        )

    def set_window(self, symbols: int) -> None:
        """Set how many symbols of a long segment are merged at a time at first, for tests that want many windows."""
        self.t.window = max(2, symbols)
