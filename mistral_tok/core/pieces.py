# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Every piece of a vocabulary the way Python's strings hold it; see surface.h."""

import cython
from cython.cimports.libc.stdint import uint8_t, uint16_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memcpy
from cython.cimports.mistral_tok.core.fast import bytes_p, mt_char, mt_release, mt_reserve
from cython.cimports.mistral_tok.core.surface import (
    MT_LONG,
    MT_NOT_ASCII,
    MT_ODD,
    MT_TWO_BYTES,
    mt_surface,
    mt_valid_size,
    surface_p,
)
from cython.cimports.mistral_tok.core.tables import Tables

UNKNOWN = cython.declare(cython.int, 2)
CONTROL = cython.declare(cython.int, 3)
BYTE = cython.declare(cython.int, 6)


@cython.cclass
class Text:
    """A growing block: of UTF-8, or of characters."""

    def __dealloc__(self):
        free(self.data)

    @cython.cfunc
    @cython.exceptval(-1)
    def grow(self, need: uint64_t) -> cython.int:
        """Make room for `need` more bytes and for the 16 that a copy writes at once."""
        room: uint64_t = self.used + need + 32
        data: cython.pointer(cython.void)
        if room > self.room:
            room = 2 * room
            data = realloc(self.data, room)
            if data == cython.NULL:
                raise MemoryError("No memory to decode.")
            self.data = cython.cast(cython.pointer(uint8_t), data)
            self.room = room
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def add(self, p: bytes_p, n: uint64_t) -> cython.int:
        self.grow(n)
        memcpy(self.data + self.used, p, n)
        self.used += n
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def add_char(self, c: uint32_t) -> cython.int:
        if self.used + 4 > self.room:
            self.grow(4)
        memcpy(self.data + self.used, cython.address(c), 4)
        self.used += 4
        return 0


@cython.cclass
class Pieces:
    """The slots of all ids, and the long pieces that no slot holds."""

    def __cinit__(self, tables: Tables, whole_runs: cython.bint):
        self.rest = Text()
        self.size = 16 * cython.cast(cython.size_t, tables.t.n_pieces)
        self.slots = cython.cast(surface_p, mt_reserve(self.size, cython.address(self.block)))
        if self.slots == cython.NULL:
            raise MemoryError("No memory for the pieces of a vocabulary.")
        self.fill(tables, whole_runs)

    def __dealloc__(self):
        mt_release(self.block, self.size)

    @cython.cfunc
    @cython.exceptval(-1)
    def fill(self, tables: Tables, whole_runs: cython.bint) -> cython.int:
        """Fill all slots. A byte piece that is a character has one where its neighbours do not matter, except a space:
        that of a byte piece is never dropped.
        """
        t = cython.address(tables.t)
        i: uint32_t
        kind: cython.int
        slot: cython.bint
        for i in range(t.n_pieces):
            kind = t.kinds[i]
            slot = kind != CONTROL
            if t.marked and kind in (UNKNOWN, BYTE):
                slot = kind == BYTE and not whole_runs and t.blob[t.offsets[i]] != 32
            self.slots[i].b[15] = MT_ODD
            if slot:
                self.put(self.slots + i, t.blob + t.offsets[i], t.offsets[i + 1] - t.offsets[i])
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def put(self, slot: cython.pointer(mt_surface), p: bytes_p, n: uint32_t) -> cython.int:
        """Fill a slot, unless the piece is no sequence of one or more characters up to U+FFFF."""
        units: uint32_t = 0
        top: uint32_t = 0
        size: uint32_t = 0
        at: uint32_t = 0
        place: uint32_t = 0
        while at < n:
            size = mt_valid_size(p + at, n - at)
            if size == 0 or size == 4:
                return 0
            top |= mt_char(p + at, cython.address(size))
            at += size
            units += 1
        if units == 0:
            return 0
        shape: uint32_t = (MT_TWO_BYTES if top > 0xFF else 0) | (MT_NOT_ASCII if top > 0x7F else 0)
        out: cython.pointer(uint8_t) = slot.b
        if units > (7 if top > 0xFF else 15):
            self.rest.grow(2 * units)
            place = cython.cast(uint32_t, self.rest.used)
            memcpy(slot.b, cython.address(place), 4)
            memcpy(slot.b + 4, cython.address(units), 4)
            out = self.rest.data + place
            self.rest.used += 2 * units
            units = MT_LONG
        slot.b[15] = cython.cast(uint8_t, shape | units)
        write(p, n, top > 0xFF, out)
        return 0


@cython.cfunc
@cython.exceptval(check=False)
def write(p: bytes_p, n: uint32_t, wide: cython.bint, out: cython.pointer(uint8_t)) -> cython.void:
    """Write valid UTF-8 as characters of one or two bytes."""
    size: uint32_t = 0
    at: uint32_t = 0
    c: uint16_t
    while at < n:
        c = cython.cast(uint16_t, mt_char(p + at, cython.address(size)))
        at += size
        if wide:
            memcpy(out, cython.address(c), 2)
            out += 2
        else:
            out[0] = cython.cast(uint8_t, c)
            out += 1
