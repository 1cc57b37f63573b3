# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Ids to text and bytes.

How bytes become characters differs between the reference implementations, and a `Decoder` is told which rule holds.
In SentencePiece only byte pieces can be invalid, every bad byte of a run of them counts as one U+FFFD, and a control
id ends a run. The `tokenizers` package replaces a whole run that is not valid, and leaves out control ids before it
joins. At the byte level bytes join between control ids (Tekken) or across them (`tokenizers`), with Python's rule for
what is not valid.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.libc.stdint import int32_t, uint32_t, uint64_t
from cython.cimports.libc.string import memcpy
from cython.cimports.mistral_tok.core.fast import bytes_p, ids_p, mt_char, mt_lookup
from cython.cimports.mistral_tok.core.pieces import Pieces, Text
from cython.cimports.mistral_tok.core.surface import (
    MT_LONG,
    MT_ODD,
    mt_measure,
    mt_plan,
    mt_string,
    mt_strip,
    mt_valid_size,
    surface_p,
)
from cython.cimports.mistral_tok.core.unpack import Ids, out_of_range, unpack

UNKNOWN = cython.declare(cython.int, 2)
CONTROL = cython.declare(cython.int, 3)
BYTE = cython.declare(cython.int, 6)

KEEP = cython.declare(cython.int, 1)
RAISE = cython.declare(cython.int, 2)


@cython.cclass
class Decoder:
    """Decodes ids with the tables of an image.

    `strip`: 0 nothing is dropped, 1 a leading space of the first piece that yields text, 2 a leading space of the
    text. `joins`: control ids do not interrupt bytes. `whole_runs`: a run of byte pieces that is not valid is
    replaced as a whole. `unknown` is the text of the unknown piece.
    """

    def __init__(self, image, strip: int, joins: bool, whole_runs: bool, unknown: str):
        self.tables = image.tables
        self.strip = strip
        self.joins = joins
        self.whole_runs = whole_runs
        self.unknown = unknown.encode()
        self.limit = image.n_ids
        self.marked = self.tables.t.marked

    def checked(self, ids, special: cython.int) -> list:
        """Return ids as a list of ints that are in range and, with `special` 2, no control ids."""
        unpacked = unpack(ids, self.limit)
        i: cython.Py_ssize_t
        result: list = []
        for i in range(unpacked.n):
            if special == RAISE and self.tables.t.kinds[unpacked.data[i]] == CONTROL:
                raise self.refused(unpacked.data[i], i)
            result.append(unpacked.data[i])
        return result

    def surface(self, id: cython.int) -> tuple:
        """Return the kind of a piece and the bytes that it stands for in text."""
        if not 0 <= id < self.limit:
            raise out_of_range(id, 0, self.limit)
        t = cython.address(self.tables.t)
        if t.kinds[id] == UNKNOWN and t.marked:
            return 2, self.unknown
        p = cython.cast(cython.p_char, t.blob)
        return t.kinds[id], PyBytes_FromStringAndSize(p + t.offsets[id], t.offsets[id + 1] - t.offsets[id])

    def find(self, piece: bytes) -> int:
        """Return the id of the ordinary piece with these bytes, or −1."""
        if not piece:
            return -1
        found: uint32_t = mt_lookup(
            cython.address(self.tables.t),
            cython.cast(bytes_p, cython.cast(cython.p_char, piece)),
            len(piece),
        )
        return -1 if found >= self.limit else found

    def text(self, ids, special: cython.int, strict: bool) -> str:
        """Return the text of ids; control ids are left out (0), named (1) or refused with ValueError (2)."""
        if self.pieces is None:
            self.pieces = Pieces(self.tables, self.whole_runs)
        unpacked = unpack(ids, self.limit)
        plan: mt_plan = mt_plan(unpacked.data + unpacked.n, 0, 0, 0)
        i: cython.Py_ssize_t = mt_measure(self.pieces.slots, unpacked.data, 0, unpacked.n, cython.address(plan))
        first: uint32_t[16]
        if i < unpacked.n or (self.strip and plan.flags & MT_LONG):
            return self.composed(unpacked, special, strict)
        if self.strip and i > 0:
            mt_strip(self.pieces.slots, self.pieces.rest.data, cython.address(plan), 0, first)
        return mt_string(self.pieces.slots, self.pieces.rest.data, cython.address(plan), first, 0)

    @cython.cfunc
    def composed(self, ids: Ids, special: cython.int, strict: cython.bint) -> str:
        """Return the text of ids of which some need more than their slots."""
        made: Composer = Composer.__new__(Composer)
        made.by = self
        made.ids = ids
        made.special = special
        made.strict = strict
        made.open_ = self.strip == 1
        made.plan.steps = ids.data + ids.n
        made.extra = Text()
        made.run = Text()
        made.compose()
        text: str = mt_string(
            self.pieces.slots,
            self.pieces.rest.data,
            cython.address(made.plan),
            cython.cast(cython.pointer(uint32_t), made.extra.data),
            made.top,
        )
        return text[1:] if self.strip == 2 and text.startswith(" ") else text

    def bytes(self, ids, special: cython.int) -> bytes:
        """Return the bytes of ids, valid UTF-8 or not; the leading-space rule is that of `text`."""
        unpacked = unpack(ids, self.limit)
        text = Text()
        t = cython.address(self.tables.t)
        i: cython.Py_ssize_t
        open_: cython.bint = self.strip == 1
        for i in range(unpacked.n):
            kind: cython.int = t.kinds[unpacked.data[i]]
            if kind == CONTROL:
                if special == RAISE:
                    raise self.refused(unpacked.data[i], i)
                if special == KEEP:
                    self.piece(text, unpacked.data[i], False)
            elif kind == UNKNOWN and t.marked:
                text.add(self.unknown, len(self.unknown))
                open_ = False
            else:
                open_ = self.piece(text, unpacked.data[i], open_ and kind != BYTE)
        if text.used == 0:
            return b""
        start: uint64_t = 1 if self.strip == 2 and text.data[0] == 32 else 0
        return PyBytes_FromStringAndSize(cython.cast(cython.p_char, text.data) + start, text.used - start)

    @cython.cfunc
    def refused(self, id: int32_t, place: cython.Py_ssize_t) -> object:
        """Make the error for a control id."""
        name = self.surface(id)[1].decode("utf-8", "replace")
        return ValueError(
            f"ids[{place}] is {id}, the control token {name!r}; "
            "decode with special='ignore' or special='keep' to allow it."
        )

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1)
    def piece(self, text: Text, id: int32_t, strip: cython.bint) -> cython.int:
        """Append a piece; drop its leading space if asked to. Returns 0: what follows is no longer the start."""
        t = cython.address(self.tables.t)
        start: uint32_t = t.offsets[id]
        size: uint32_t = t.offsets[id + 1] - start
        if strip and size > 0 and t.blob[start] == 32:
            start += 1
            size -= 1
        if text.used + size + 32 > text.room:
            text.grow(size)
        if size <= 16:
            memcpy(text.data + text.used, t.blob + start, 16)
        else:
            memcpy(text.data + text.used, t.blob + start, size)
        text.used += size
        return 0


@cython.freelist(8)
@cython.cclass
class Composer:
    """Makes the plan of a text: slots as far as pieces have them, and for the other ids what the rules say."""

    @cython.cfunc
    @cython.exceptval(-1)
    def compose(self) -> cython.int:
        """Plan all ids."""
        ids: ids_p = self.ids.data
        slots: surface_p = self.by.pieces.slots
        i: cython.Py_ssize_t = 0
        first: cython.Py_ssize_t
        while i < self.ids.n:
            if slots[ids[i]].b[15] & MT_ODD:
                i = self.odd(i)
                continue
            self.settle(i)
            first = self.plan.n_steps
            i = mt_measure(slots, ids, i, self.ids.n, cython.address(self.plan))
            if self.open_:
                self.begin(first)
        return self.settle(i)

    @cython.cfunc
    @cython.exceptval(-1)
    def begin(self, step: cython.Py_ssize_t) -> cython.int:
        """Drop the leading space of the first step that yields text."""
        pieces: Pieces = self.by.pieces
        self.open_ = False
        self.extra.grow(4 * self.by.tables.t.longest)
        self.extra.used += 4 * mt_strip(
            pieces.slots,
            pieces.rest.data,
            cython.address(self.plan),
            step,
            cython.cast(cython.pointer(uint32_t), self.extra.data + self.extra.used),
        )
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def odd(self, place: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Plan an id that has no slot, or all the bytes that stand together; return the place behind."""
        t = cython.address(self.by.tables.t)
        id: int32_t = self.ids.data[place]
        kind: cython.int = t.kinds[id]
        if kind == CONTROL:
            self.control(id, place)
            return place + 1
        if t.marked and kind != BYTE:
            self.settle(place)
            text: str = self.by.surface(id)[1].decode()
            self.add(text[1:] if self.open_ and kind != UNKNOWN and text.startswith(" ") else text)
            self.open_ = False
            return place + 1
        self.open_ = False
        while self.by.pieces.slots[id].b[15] & MT_ODD and (kind == BYTE or (not t.marked and kind != CONTROL)):
            self.by.piece(self.run, id, False)
            place += 1
            if place == self.ids.n:
                break
            id = self.ids.data[place]
            kind = t.kinds[id]
        return place

    @cython.cfunc
    @cython.exceptval(-1)
    def control(self, id: int32_t, place: cython.Py_ssize_t) -> cython.int:
        """Leave a control id out, plan its name, or refuse it."""
        if not self.by.joins or self.special == KEEP:
            self.settle(place)
            self.part = place + 1
        if self.special == RAISE:
            raise self.by.refused(id, place)
        if self.special == KEEP:
            self.add(self.by.surface(id)[1].decode("utf-8", "replace"))
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def add(self, text: str) -> cython.int:
        """Plan a step of other characters."""
        c: cython.Py_UCS4
        for c in text:
            self.extra.add_char(c)
            self.top |= cython.cast(uint32_t, c)
        self.step(len(text))
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def step(self, count: cython.Py_ssize_t) -> cython.void:
        self.plan.steps[self.plan.n_steps] = cython.cast(int32_t, -1 - count)
        self.plan.n_steps += 1
        self.plan.length += count

    @cython.cfunc
    @cython.inline
    @cython.exceptval(-1)
    def settle(self, place: cython.Py_ssize_t) -> cython.int:
        """Plan the run of bytes that ends before the id at `place`."""
        p: bytes_p = self.run.data
        n: uint64_t = self.run.used
        at: uint64_t = 0
        size: uint32_t = 0
        top: uint32_t = 0
        count: cython.Py_ssize_t = 0
        if n == 0:
            return 0
        self.extra.grow(4 * n)
        out = cython.cast(cython.pointer(uint32_t), self.extra.data + self.extra.used)
        while at < n:
            if not mt_valid_size(p + at, n - at):
                return self.mend(place)
            out[count] = mt_char(p + at, cython.address(size))
            top |= out[count]
            at += size
            count += 1
        self.top |= top
        self.extra.used += 4 * count
        self.run.used = 0
        self.step(count)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def mend(self, place: cython.Py_ssize_t) -> cython.int:
        """Plan a run of bytes that is not valid."""
        raw: bytes = PyBytes_FromStringAndSize(cython.cast(cython.p_char, self.run.data), self.run.used)
        self.run.used = 0
        if self.strict:
            return self.refuse(place)
        if not self.by.marked:
            return self.add(raw.decode("utf-8", "replace"))
        return self.add("\ufffd" * len(raw) if self.by.whole_runs else single_bytes(raw))

    @cython.cfunc
    @cython.exceptval(-1)
    def refuse(self, place: cython.Py_ssize_t) -> cython.int:
        """Raise for a run that is not valid and ends before `place`, unless a refused control id comes first."""
        i: cython.Py_ssize_t = place if self.by.marked else self.part
        part: list = []
        while i < self.ids.n:
            kind, piece = self.by.surface(self.ids.data[i])
            if kind == CONTROL:
                if not self.by.joins or self.special == KEEP:
                    break
                if self.special == RAISE:
                    raise self.by.refused(self.ids.data[i], i)
            elif self.by.marked and kind != BYTE:
                break
            else:
                part.append(piece)
            i += 1
        if self.by.marked:
            raise ValueError(
                f"The byte pieces before ids[{i}] are not valid UTF-8; decode with errors='replace' to allow it."
            )
        b"".join(part).decode()  # Python says why
        return 0


@cython.cfunc
def single_bytes(raw: bytes) -> str:
    """Decode bytes; each that belongs to no character becomes U+FFFD."""
    p: bytes_p = cython.cast(bytes_p, cython.cast(cython.p_char, raw))
    n: cython.Py_ssize_t = len(raw)
    at: cython.Py_ssize_t = 0
    size: cython.Py_ssize_t
    found: list = []
    while at < n:
        size = mt_valid_size(p + at, n - at)
        found.append(raw[at : at + size].decode() if size else "\ufffd")
        at += max(size, 1)
    return "".join(found)
