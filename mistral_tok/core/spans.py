# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Which characters of the text an id stands for, worked out from the ids.

A piece begins some characters, and its first byte may belong to one that an earlier piece began: that is all there is
to know of it, so the text itself is read only where a space that is not its own depends on it.
"""

import cython
from cython.cimports.libc.stdint import int32_t, uint8_t, uint32_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.mistral_tok.core.fast import bytes_p, ids_p
from cython.cimports.mistral_tok.core.tables import Tables

CONTROL = cython.declare(cython.int, 3)
USER_DEFINED = cython.declare(cython.int, 4)
BYTE = cython.declare(cython.int, 6)
MANY = cython.declare(uint32_t, 127)  # characters that a step does not hold


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def inside(byte: uint8_t) -> cython.bint:
    """Tell whether a byte belongs to a character that began before it."""
    return byte & 0xC0 == 0x80


@cython.cfunc
@cython.inline
@cython.exceptval(check=False)
def starts_with_space(text: str, at: cython.Py_ssize_t) -> cython.bint:
    return at < len(text) and (text[at] == " " or text[at] == "\u2581")


@cython.cclass
class Spans:
    """Spans of ids under one vocabulary.

    `prefix`: a space that is not its own stands before every text (1), or one that does not start with a space (2).
    `every`: the same holds for the text after each user-defined piece.
    """

    def __cinit__(self, tables: Tables, prefix: cython.int, every: cython.bint):
        t = cython.address(tables.t)
        i: uint32_t
        start: uint8_t
        self.tables = tables
        self.prefix = prefix
        self.every = every and prefix > 0
        self.steps = cython.cast(cython.pointer(uint8_t), malloc(t.n_pieces))
        if self.steps == cython.NULL:
            raise MemoryError("No memory for the steps of spans.")
        for i in range(t.n_pieces):
            start = t.blob[t.offsets[i]]
            self.steps[i] = cython.cast(uint8_t, 2 * min(self.begun(i), MANY))
            if t.kinds[i] != CONTROL and (not t.marked or t.kinds[i] == BYTE) and inside(start):
                self.steps[i] += 1

    def __dealloc__(self):
        free(self.steps)

    @cython.cfunc
    @cython.exceptval(check=False)
    def begun(self, id: uint32_t) -> uint32_t:
        """Return how many characters begin in a piece; a control id is none of the text."""
        t = cython.address(self.tables.t)
        i: uint32_t
        count: uint32_t = 0
        if t.kinds[id] == CONTROL:
            return 0
        if t.marked and t.kinds[id] != BYTE:
            return t.chars[id]
        for i in range(t.offsets[id], t.offsets[id + 1]):
            count += not inside(t.blob[i])
        return count

    @cython.cfunc
    @cython.exceptval(-1)
    def pairs(
        self, text: str, ids: ids_p, n: cython.Py_ssize_t, out: ids_p, head: cython.bint, tail: cython.bint
    ) -> cython.int:
        """Write pairs (start, end), half open, in characters of `text`, for the ids that it was encoded to.

        `out` has room for two numbers for each id. Bytes of one character that fall in several ids share its span;
        the space before the text that is not its own has no width. The first id with `head` and the last with `tail`
        were put around the text, whatever kind they are, and have none either.
        """
        if head:
            out[0] = out[1] = 0
        if tail:
            out[2 * n - 2] = out[2 * n - 1] = len(text)
        return self.fill(text, ids + head, n - head - tail, out + 2 * head)

    @cython.cfunc
    @cython.exceptval(-1)
    def fill(self, text: str, ids: ids_p, n: cython.Py_ssize_t, out: ids_p) -> cython.int:
        """Write the spans of all ids, part by part where a space stands before each."""
        i: cython.Py_ssize_t = 0
        stop: cython.Py_ssize_t = n
        chars: int32_t = 0
        lead: cython.bint = self.prefix == 1 or (self.prefix == 2 and not starts_with_space(text, 0))
        while i < n:
            if self.every:
                stop = self.after_mark(ids, i, n)
            if lead:
                i = self.led(ids, i, stop, cython.address(chars), out)
            chars = self.walk(ids, i, stop, chars, out)
            i = stop
            lead = chars < len(text) and (self.prefix == 1 or not starts_with_space(text, chars))
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def walk(
        self, ids: ids_p, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, chars: int32_t, out: ids_p
    ) -> int32_t:
        """Write the spans of `ids[start:stop]`; return how many characters begin before the end of them."""
        steps: bytes_p = self.steps
        step: uint32_t
        i: cython.Py_ssize_t
        for i in range(start, stop):
            step = steps[ids[i]]
            out[2 * i] = chars - cython.cast(int32_t, step & 1)
            chars += step >> 1 if step < 2 * MANY else self.begun(ids[i])
            out[2 * i + 1] = chars
        return chars

    @cython.cfunc
    @cython.exceptval(check=False)
    def led(
        self,
        ids: ids_p,
        i: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
        chars: cython.pointer(int32_t),
        out: ids_p,
    ) -> cython.Py_ssize_t:
        """Write spans up to the first piece that may hold the space before the text; return the place behind it."""
        kind: cython.int = BYTE
        while i < stop and kind in (BYTE, CONTROL):
            kind = self.tables.t.kinds[ids[i]]
            chars[0] = self.walk(ids, i, i + 1, chars[0], out)
            if kind not in (BYTE, CONTROL, USER_DEFINED):
                chars[0] -= 1
                out[2 * i + 1] -= 1
            i += 1
        return i

    @cython.cfunc
    @cython.exceptval(check=False)
    def after_mark(self, ids: ids_p, i: cython.Py_ssize_t, n: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Return the place behind the next user-defined piece."""
        while i < n and self.tables.t.kinds[ids[i]] != USER_DEFINED:
            i += 1
        return min(i + 1, n)
