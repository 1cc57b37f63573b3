# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Ids to text, bytes and character spans.

How bytes become characters differs between the reference implementations, and a `Decoder` is told which rule holds.
In SentencePiece only byte pieces can be invalid, every bad byte of a run of them counts as one U+FFFD, and a control
id ends a run. The `tokenizers` package replaces a whole run that is not valid, and leaves out control ids before it
joins. At the byte level bytes join between control ids (Tekken) or across them (`tokenizers`), with Python's rule for
what is not valid.
"""

import operator

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.cpython.list import PyList_CheckExact, PyList_GET_ITEM
from cython.cimports.cpython.long import PyLong_AsLongAndOverflow, PyLong_CheckExact
from cython.cimports.cpython.unicode import PyUnicode_DecodeUTF8
from cython.cimports.libc.stdint import int32_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc, realloc
from cython.cimports.libc.string import memcpy
from cython.cimports.mistral_tok.core.fast import (
    bytes_p,
    ids_p,
    mt_char,
    mt_lookup,
)
from cython.cimports.mistral_tok.core.tables import Tables

NORMAL = cython.declare(cython.int, 1)
UNKNOWN = cython.declare(cython.int, 2)
CONTROL = cython.declare(cython.int, 3)
BYTE = cython.declare(cython.int, 6)

IGNORE = cython.declare(cython.int, 0)
KEEP = cython.declare(cython.int, 1)
RAISE = cython.declare(cython.int, 2)


@cython.cclass
class Text:
    """A growing block of UTF-8."""

    data: cython.pointer(uint8_t)
    used: uint64_t
    room: uint64_t

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
@cython.inline
@cython.exceptval(check=False)
def valid_size(p: bytes_p, room: uint64_t) -> uint32_t:
    """Return the size of the well-formed character at `p`, or 0."""
    a: uint32_t = p[0]
    size: uint32_t
    i: uint32_t
    c: uint32_t
    if a < 0x80:
        return 1
    if a < 0xC2 or a > 0xF4:
        return 0
    size = 2 if a < 0xE0 else 3 if a < 0xF0 else 4
    if size > room:
        return 0
    for i in range(1, size):
        if p[i] & 0xC0 != 0x80:
            return 0
    c = mt_char(p, cython.address(i))
    if (size == 3 and (c < 0x800 or 0xD800 <= c < 0xE000)) or (size == 4 and not 0x10000 <= c < 0x110000):
        return 0
    return size


@cython.cclass
class Ids:
    """Ids checked and unpacked: every one is at least 0 and below `limit`."""

    data: ids_p
    n: cython.Py_ssize_t

    def __init__(self, ids, limit: int):
        """Take a list or tuple of ints, or an int32 buffer."""
        i: cython.Py_ssize_t
        top: cython.long = limit
        self.n = len(ids)
        self.data = cython.cast(ids_p, malloc(4 * (self.n + 1)))
        if self.data == cython.NULL:
            raise MemoryError("No memory for ids.")
        if not isinstance(ids, (list, tuple)):
            view: cython.const[int32_t][::1] = ids
            for i in range(self.n):
                if not 0 <= view[i] < top:
                    raise out_of_range(view[i], i, limit)
                self.data[i] = view[i]
        elif not PyList_CheckExact(ids) or not self.plain(ids, top):
            self.general(tuple(ids), limit)

    @cython.cfunc
    @cython.exceptval(-1)
    def plain(self, items: list, top: cython.long) -> cython.int:
        """Unpack a list of nothing but ints in range, during which no Python code runs that could change it."""
        i: cython.Py_ssize_t
        value: cython.long
        over: cython.int = 0
        for i in range(self.n):
            item = cython.cast(object, PyList_GET_ITEM(items, i))
            if not PyLong_CheckExact(item):
                return 0
            value = PyLong_AsLongAndOverflow(item, cython.address(over))
            if over or not 0 <= value < top:
                return 0
            self.data[i] = cython.cast(int32_t, value)
        return 1

    @cython.cfunc
    @cython.exceptval(-1)
    def general(self, items: tuple, limit: object) -> cython.int:
        """Unpack any integers, or raise for the first that is none or out of range."""
        i: cython.Py_ssize_t
        self.n = len(items)
        free(self.data)
        self.data = cython.cast(ids_p, malloc(4 * (self.n + 1)))
        if self.data == cython.NULL:
            raise MemoryError("No memory for ids.")
        for i in range(self.n):
            value = index_of(items[i], i)
            if not 0 <= value < limit:
                raise out_of_range(value, i, limit)
            self.data[i] = value
        return 0

    def __dealloc__(self):
        free(self.data)


def index_of(item: object, place: int) -> int:
    """Return an id given as any integer type; nothing else is coerced."""
    if isinstance(item, bool) or not hasattr(item, "__index__"):
        raise TypeError(f"ids[{place}] is {item!r:.60} of type {type(item).__name__}; an id is an int.")
    return operator.index(item)


def out_of_range(value: int, place: int, limit: int) -> ValueError:
    """Make the error for an id that the vocabulary does not have."""
    return ValueError(f"ids[{place}] is {value}; this vocabulary has the ids 0 to {limit - 1}.")


@cython.cclass
class Decoder:
    """Decodes ids with the tables of an image.

    `strip`: 0 nothing is dropped, 1 a leading space of the first piece that yields text, 2 a leading space of the
    text. `joins`: control ids do not interrupt bytes. `whole_runs`: a run of byte pieces that is not valid is
    replaced as a whole. `unknown` is the text of the unknown piece.
    """

    tables: Tables
    strip = cython.declare(cython.int, visibility="readonly")
    joins = cython.declare(cython.bint, visibility="readonly")
    whole_runs = cython.declare(cython.bint, visibility="readonly")
    marked = cython.declare(cython.bint, visibility="readonly")
    unknown: bytes
    limit: int

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
        unpacked = Ids(ids, self.limit)
        i: cython.Py_ssize_t
        result: list = []
        for i in range(unpacked.n):
            if special == RAISE and self.tables.t.kinds[unpacked.data[i]] == CONTROL:
                self.control(unpacked.data[i], i, special, Text())
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
        unpacked = Ids(ids, self.limit)
        if self.tables.t.marked:
            return self.marked_text(unpacked, special, strict)
        return self.byte_text(unpacked, special, strict)

    def bytes(self, ids, special: cython.int) -> bytes:
        """Return the bytes of ids, valid UTF-8 or not; the leading-space rule is that of `text`."""
        unpacked = Ids(ids, self.limit)
        text = Text()
        t = cython.address(self.tables.t)
        i: cython.Py_ssize_t
        open_: cython.bint = self.strip == 1
        for i in range(unpacked.n):
            kind: cython.int = t.kinds[unpacked.data[i]]
            if kind == CONTROL:
                self.control(unpacked.data[i], i, special, text)
            elif kind == UNKNOWN and t.marked:
                text.add(self.unknown, len(self.unknown))
                open_ = False
            else:
                open_ = self.piece(text, unpacked.data[i], open_ and kind != BYTE)
        start: uint64_t = 1 if self.strip == 2 and text.used > 0 and text.data[0] == 32 else 0
        return PyBytes_FromStringAndSize(cython.cast(cython.p_char, text.data) + start, text.used - start)

    @cython.cfunc
    @cython.exceptval(-1)
    def control(self, id: int32_t, place: cython.Py_ssize_t, special: cython.int, text: Text) -> cython.int:
        """Leave a control id out, write its name, or refuse it."""
        t = cython.address(self.tables.t)
        start: uint32_t = t.offsets[id]
        size: uint32_t = t.offsets[id + 1] - start
        if special == RAISE:
            name = PyBytes_FromStringAndSize(cython.cast(cython.p_char, t.blob) + start, size).decode(
                "utf-8", "replace"
            )
            raise ValueError(
                f"ids[{place}] is {id}, the control token {name!r}; "
                "decode with special='ignore' or special='keep' to allow it."
            )
        if special == KEEP:
            text.add(t.blob + start, size)
        return 0

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

    @cython.cfunc
    def byte_text(self, ids: Ids, special: cython.int, strict: bool) -> str:
        """Decode where pieces are bytes: parts between control ids are decoded one by one unless bytes join across."""
        t = cython.address(self.tables.t)
        text = Text()
        parts: list = []
        i: cython.Py_ssize_t
        start: uint64_t = 0
        for i in range(ids.n):
            if t.kinds[ids.data[i]] != CONTROL:
                self.piece(text, ids.data[i], False)
                continue
            if not self.joins or special == KEEP:
                if text.used > start:
                    parts.append(self.utf8(text, start, strict))
                start = text.used
            self.control(ids.data[i], i, special, text)
            if special == KEEP and text.used > start:
                parts.append(self.utf8(text, start, False))
                start = text.used
        if not parts:
            return self.utf8(text, 0, strict)
        parts.append(self.utf8(text, start, strict))
        return "".join(parts)

    @cython.cfunc
    def utf8(self, text: Text, start: uint64_t, strict: bool) -> str:
        if text.used == start:
            return ""
        return PyUnicode_DecodeUTF8(
            cython.cast(cython.p_char, text.data) + start, text.used - start, b"strict" if strict else b"replace"
        )

    @cython.cfunc
    def marked_text(self, ids: Ids, special: cython.int, strict: bool) -> str:
        """Decode where pieces are characters and only byte pieces can be incomplete."""
        t = cython.address(self.tables.t)
        text = Text()
        i: cython.Py_ssize_t
        kind: cython.int
        run: uint64_t = 0  # bytes at the end of `text` that came from byte pieces
        open_: cython.bint = self.strip == 1
        for i in range(ids.n):
            kind = t.kinds[ids.data[i]]
            if kind == BYTE:
                self.piece(text, ids.data[i], False)
                run += 1
                open_ = False
                continue
            if kind == CONTROL and self.joins and special != KEEP:
                self.control(ids.data[i], i, special, text)
                continue
            if run:
                self.settle(text, run, strict, i)
                run = 0
            if kind == CONTROL:
                self.control(ids.data[i], i, special, text)
            elif kind == UNKNOWN:
                text.add(self.unknown, len(self.unknown))
                open_ = False
            else:
                open_ = self.piece(text, ids.data[i], open_)
        if run:
            self.settle(text, run, strict, ids.n)
        return self.utf8(text, 1 if self.strip == 2 and text.used > 0 and text.data[0] == 32 else 0, True)

    @cython.cfunc
    @cython.exceptval(-1)
    def settle(self, text: Text, run: uint64_t, strict: bool, place: cython.Py_ssize_t) -> cython.int:
        """Replace what is not valid among the last `run` bytes."""
        at: uint64_t = text.used - run
        size: uint32_t
        bad: cython.bint = False
        while at < text.used and not bad:
            size = valid_size(text.data + at, text.used - at)
            bad = size == 0
            at += size
        if not bad:
            return 0
        if strict:
            raise ValueError(
                f"The byte pieces before ids[{place}] are not valid UTF-8; decode with errors='replace' to allow it."
            )
        at = text.used - run
        raw: bytes = PyBytes_FromStringAndSize(cython.cast(cython.p_char, text.data) + at, run)
        source: bytes_p = cython.cast(bytes_p, cython.cast(cython.p_char, raw))
        text.used = at
        at = 0
        while at < run:
            size = 0 if self.whole_runs else valid_size(source + at, run - at)
            if size:
                text.add(source + at, size)
                at += size
            else:
                text.add(cython.cast(bytes_p, cython.cast(cython.p_char, b"\xef\xbf\xbd")), 3)
                at += 1
        return 0
