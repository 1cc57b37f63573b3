# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The trie of pieces, as trie.h reads it: made once, kept in the table image.

The trie is a double array. The bytes that may follow a prefix lie in one block of 256 cells, at the block's number xor
the byte; no two prefixes have the same number, so the byte alone tells whose cell it is.
"""

from array import array

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_Resize
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcmp, memcpy, memset
from cython.cimports.mistral_tok.core.fast import (
    MT_CELL_OPEN,
    MT_CELL_SIZE,
    MT_EMPTY,
    MT_NO_RULE,
    MT_NO_SYMBOL,
    MT_ORDER,
    MT_SHORT,
    MT_TRIE_PIECE,
    MT_TRIE_ROOT,
    MT_TRIE_SHIFT,
    mt_size_of,
    mt_tables,
)
from cython.cimports.mistral_tok.core.tables import Tables

FREE = cython.declare(uint32_t, 256)
BEHIND = cython.declare(uint32_t, 4096)  # cells behind the last one that are tried for what follows a prefix
FEW = cython.declare(cython.Py_ssize_t, 24)  # pieces that are sorted by comparing them


def in_order(tables: Tables, marks: cython.const[uint8_t][::1]) -> array:
    """Return the pieces that `marks` marks in the order of their bytes. None is long, no two are the same."""
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    ids = bytearray(8 * t.n_pieces)
    order: cython.pointer(uint32_t) = cython.cast(cython.pointer(uint32_t), PyByteArray_AS_STRING(ids))
    count: cython.Py_ssize_t = 0
    s: uint32_t
    for s in range(t.n_pieces):
        order[count] = s
        count += marks[s] != 0
    sort(t, order, order + t.n_pieces, count, 0)
    return array("I", bytes(ids[: 4 * count]))


@cython.cfunc
@cython.exceptval(check=False)
def sort(
    t: cython.pointer(mt_tables),
    order: cython.pointer(uint32_t),
    room: cython.pointer(uint32_t),
    n: cython.Py_ssize_t,
    depth: uint32_t,
) -> cython.void:
    """Sort pieces that have their first `depth` bytes in common."""
    ends: cython.Py_ssize_t[257]
    i: cython.Py_ssize_t
    start: cython.Py_ssize_t = 0
    if n <= FEW:
        sort_few(t, order, n, depth)
        return
    memset(ends, 0, cython.sizeof(ends))
    for i in range(n):
        ends[byte_at(t, order[i], depth)] += 1
    for i in range(257):
        ends[i], start = start, start + ends[i]
    for i in range(n):
        room[ends[byte_at(t, order[i], depth)]] = order[i]
        ends[byte_at(t, order[i], depth)] += 1
    memcpy(order, room, 4 * n)
    for i in range(1, 257):
        if ends[i] - ends[i - 1] > 1:
            sort(t, order + ends[i - 1], room, ends[i] - ends[i - 1], depth + 1)


@cython.cfunc
@cython.exceptval(check=False)
def sort_few(
    t: cython.pointer(mt_tables), order: cython.pointer(uint32_t), n: cython.Py_ssize_t, depth: uint32_t
) -> cython.void:
    """Put each piece in its place among those before it."""
    i: cython.Py_ssize_t
    j: cython.Py_ssize_t
    piece: uint32_t
    for i in range(1, n):
        piece = order[i]
        j = i
        while j > 0 and is_less(t, piece, order[j - 1], depth):
            order[j] = order[j - 1]
            j -= 1
        order[j] = piece


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def is_less(t: cython.pointer(mt_tables), a: uint32_t, b: uint32_t, depth: uint32_t) -> cython.bint:
    """Compare the bytes of two pieces from `depth` on."""
    size: uint32_t = min(mt_size_of(t, a), mt_size_of(t, b)) - depth
    order: cython.int = memcmp(t.blob + t.offsets[a] + depth, t.blob + t.offsets[b] + depth, size)
    return order < 0 or (order == 0 and mt_size_of(t, a) < mt_size_of(t, b))


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def byte_at(t: cython.pointer(mt_tables), piece: uint32_t, depth: uint32_t) -> uint32_t:
    """Return one more than a piece's byte, or 0 behind its end."""
    return t.blob[t.offsets[piece] + depth] + 1 if depth < mt_size_of(t, piece) else 0


@cython.final
@cython.cclass
class Builder:
    """A trie that grows."""

    cells: bytearray
    pieces: bytearray
    taken: bytearray  # numbers that belong to a prefix
    after: bytearray  # of a free cell its own place; of another one a later place up to which none is free
    size: uint32_t
    low: uint32_t  # below it no place is looked for
    open_: bytearray  # of each symbol, see `opens`

    def __init__(self, open_: bytearray) -> None:
        self.open_ = open_
        self.cells = bytearray()
        self.pieces = bytearray()
        self.taken = bytearray()
        self.after = bytearray()
        self.size = 0
        self.low = MT_TRIE_ROOT
        self.grow(2 * MT_TRIE_ROOT)

    @cython.cfunc
    def grow(self, size: uint32_t) -> cython.void:
        """Add free cells, up to that many in all."""
        i: uint32_t
        PyByteArray_Resize(self.cells, 4 * size)
        PyByteArray_Resize(self.pieces, 4 * size)
        PyByteArray_Resize(self.taken, size)
        PyByteArray_Resize(self.after, 4 * size)
        for i in range(self.size, size):
            self.value(self.cells, i, FREE)
            self.value(self.after, i, i)
        memset(PyByteArray_AS_STRING(self.pieces) + 4 * self.size, 0, 4 * (size - self.size))
        memset(PyByteArray_AS_STRING(self.taken) + self.size, 0, size - self.size)
        self.size = size

    @cython.cfunc
    def place(self, bytes_: cython.pointer(uint8_t), count: uint32_t) -> uint32_t:
        """Take cells for the bytes that follow a prefix, and return the number for them."""
        cells: cython.pointer(uint32_t) = cython.cast(cython.pointer(uint32_t), PyByteArray_AS_STRING(self.cells))
        taken: cython.pointer(uint8_t) = cython.cast(cython.pointer(uint8_t), PyByteArray_AS_STRING(self.taken))
        i: uint32_t
        at: uint32_t
        cell: uint32_t
        self.low = self.free_from(self.low)
        if self.low + BEHIND < self.size:
            self.low = self.size - BEHIND
        cell = self.low
        while True:
            cell = self.free_from(cell)
            if cell == self.size:
                self.grow(self.size + MT_TRIE_ROOT)
                cells = cython.cast(cython.pointer(uint32_t), PyByteArray_AS_STRING(self.cells))
                taken = cython.cast(cython.pointer(uint8_t), PyByteArray_AS_STRING(self.taken))
            at = cell ^ bytes_[0]
            i = count if taken[at] else 1
            while i < count and cells[at ^ bytes_[i]] == FREE:
                i += 1
            if not taken[at] and i == count:
                break
            cell += 1
        taken[at] = 1
        for i in range(count):
            self.take(at, bytes_[i])
        return at

    @cython.cfunc
    @cython.exceptval(check=False)
    def take(self, at: uint32_t, byte: uint32_t) -> cython.void:
        """Take the cell for a byte that follows the prefix with that number."""
        self.value(self.cells, at ^ byte, byte)
        self.value(self.after, at ^ byte, (at ^ byte) + 1)

    @cython.cfunc
    @cython.exceptval(check=False)
    def free_from(self, cell: uint32_t) -> uint32_t:
        """Return the first free cell from `cell` on, or how many cells there are."""
        after: cython.pointer(uint32_t) = cython.cast(cython.pointer(uint32_t), PyByteArray_AS_STRING(self.after))
        while cell < self.size and after[cell] != cell:
            if after[cell] < self.size:
                after[cell] = after[after[cell]]  # the next search takes half as many steps
            cell = after[cell]
        return cell

    @cython.cfunc
    def add(
        self,
        t: cython.pointer(mt_tables),
        order: cython.pointer(cython.const[uint32_t]),
        start: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
        depth: uint32_t,
        at: uint32_t,
        cell: uint32_t,
    ) -> cython.void:
        """Add the sorted pieces that share a prefix, which leads to `cell`."""
        labels: uint8_t[256]
        firsts: cython.Py_ssize_t[257]
        count: uint32_t = 0
        i: cython.Py_ssize_t
        byte: uint8_t
        piece: uint32_t = order[start]
        if t.offsets[piece + 1] - t.offsets[piece] == depth:
            self.value(self.cells, cell, self.get(cell) | MT_TRIE_PIECE)
            found: uint32_t = piece | depth << 21 | cython.cast(uint32_t, self.open_[piece]) << MT_CELL_OPEN
            self.value(self.pieces, cell, found)
            start += 1
        for i in range(start, stop):
            byte = t.blob[t.offsets[order[i]] + depth]
            if count == 0 or byte != labels[count - 1]:
                labels[count] = byte
                firsts[count] = i
                count += 1
        firsts[count] = stop
        if count and cell:
            at = self.place(labels, count)
            self.value(self.cells, cell, self.get(cell) | at << MT_TRIE_SHIFT)
        elif count:
            for i in range(count):
                self.take(at, labels[i])
        for i in range(count):
            self.add(t, order, firsts[i], firsts[i + 1], depth + 1, 0, at ^ labels[i])

    @cython.cfunc
    @cython.exceptval(check=False)
    def get(self, cell: uint32_t) -> uint32_t:
        return cython.cast(cython.pointer(uint32_t), PyByteArray_AS_STRING(self.cells))[cell]

    @cython.cfunc
    @cython.exceptval(check=False)
    def value(self, column: bytearray, cell: uint32_t, value: uint32_t) -> cython.void:
        cython.cast(cython.pointer(uint32_t), PyByteArray_AS_STRING(column))[cell] = value


def opens(tables: Tables, pairs: object, marks: cython.const[uint8_t][::1]) -> bytearray:
    """Return 1 for each symbol that can be merged with one behind it to what `marks` does not mark as in the trie.

    Of the others it is known: the longest piece in the trie that a text begins with is merged with nothing behind it.
    """
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    slots: cython.const[uint64_t][::1] = memoryview(pairs).cast("B").cast("Q")
    result = bytearray(t.n_symbols)
    slot: uint64_t
    made: uint32_t
    i: cython.Py_ssize_t
    for i in range(slots.shape[0]):
        slot = slots[i]
        if slot != MT_EMPTY:
            made = t.rule_result[slot & MT_NO_RULE]
            if made >= t.n_pieces or not marks[made]:
                result[slot >> 43] = 1
    return result


def trie(
    tables: Tables, order: cython.const[uint32_t][::1], pairs: object, marks: cython.const[uint8_t][::1]
) -> tuple[bytearray, bytearray]:
    """Build the cells and their pieces: those that are marked, in the order of their bytes. `pairs` are all rules."""
    builder = Builder(opens(tables, pairs, marks))
    cython.cast(cython.pointer(uint8_t), PyByteArray_AS_STRING(builder.taken))[MT_TRIE_ROOT] = 1
    if order.shape[0]:
        builder.add(cython.address(tables.t), cython.address(order[0]), 0, order.shape[0], 0, MT_TRIE_ROOT, 0)
    return builder.cells, builder.pieces


def shorter(tables: Tables, order: cython.const[uint32_t][::1]) -> bytearray:
    """Return for each symbol the longest of the pieces, which are in the order of their bytes, that it begins with."""
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    result = bytearray(4 * t.n_symbols)
    found: cython.pointer(uint32_t) = cython.cast(cython.pointer(uint32_t), PyByteArray_AS_STRING(result))
    above: uint32_t[MT_SHORT]  # pieces that begin the last one, each beginning the next; none is longer
    count: uint32_t = 0
    i: cython.Py_ssize_t
    piece: uint32_t
    size: uint32_t
    for i in range(order.shape[0]):
        piece = order[i]
        while count:
            size = mt_size_of(t, above[count - 1])
            if (
                size < mt_size_of(t, piece)
                and memcmp(t.blob + t.offsets[above[count - 1]], t.blob + t.offsets[piece], size) == 0
            ):
                found[piece] = size << 21 | above[count - 1]
                break
            count -= 1
        above[count] = piece
        count += 1
    return result


def trie_fits(tables: Tables, cells: object, pieces: object) -> bool:
    """Tell whether cells lead inside the trie, pieces are pieces, and halves are of lower order than the whole."""
    t: cython.pointer(mt_tables) = cython.address(tables.t)
    if len(cells) % 1024 or len(cells) < 2048 or len(cells) != len(pieces):
        return False
    units: cython.const[uint32_t][::1] = memoryview(cells).cast("B").cast("I")
    named: cython.const[uint32_t][::1] = memoryview(pieces).cast("B").cast("I")
    n: cython.Py_ssize_t = units.shape[0]
    i: cython.Py_ssize_t
    left: uint64_t
    right: uint64_t
    begins: uint32_t
    piece: uint32_t
    ok: cython.bint = named[0] == 0
    for i in range(n):
        ok &= (units[i] >> MT_TRIE_SHIFT) < n
        piece = named[i] & MT_NO_SYMBOL
        if piece >= t.n_pieces:
            return False
        ok &= MT_CELL_SIZE(named[i]) == (mt_size_of(t, piece) if units[i] & MT_TRIE_PIECE else 0)
    for i in range(t.n_symbols):
        left = t.halves[i] >> 43
        right = (t.halves[i] >> 22) & MT_NO_SYMBOL
        begins = t.shorter[i] & MT_NO_SYMBOL
        if not ok or left >= t.n_symbols or right >= t.n_symbols or begins >= t.n_pieces:
            return False
        if t.shorter[i]:
            ok &= t.shorter[i] >> 21 == mt_size_of(t, begins) and mt_size_of(t, begins) < mt_size_of(t, i)
        if MT_ORDER(t.halves[i]):
            ok &= MT_ORDER(t.halves[left]) < MT_ORDER(t.halves[i]) and MT_ORDER(t.halves[right]) < MT_ORDER(t.halves[i])
    return ok
