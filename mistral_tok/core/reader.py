# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""One text and a worker: what stands around it, its parts between user-defined pieces, and the space before them."""

import cython
from cython.cimports.libc.stdint import int32_t, int64_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memchr, memcmp, memcpy
from cython.cimports.mistral_tok.core.fast import (
    bytes_p,
    mt_buffer_fits,
    mt_kept,
    mt_kept_ids,
    mt_text,
    mt_text_find,
    mt_text_hash,
    mt_text_met,
    mt_text_room,
    mt_text_utf8,
)
from cython.cimports.mistral_tok.core.tables import Tables
from cython.cimports.mistral_tok.core.worker import Worker

NO_LIMIT = cython.declare(int64_t, 1 << 62)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def recalled(
    worker: Worker, kept: cython.pointer(cython.const[mt_kept]), head: int32_t, tail: int32_t, k: int64_t
) -> int64_t:
    """Append the ids of a text that is remembered as a whole; −1 without memory."""
    if not worker.reserve(k + kept.count + 2):
        return -1
    if head >= 0:
        worker.ids[k] = head
        k += 1
    memcpy(worker.ids + k, mt_kept_ids(kept), 4 * cython.cast(uint64_t, kept.count))
    k += kept.count
    if tail >= 0:
        worker.ids[k] = tail
        k += 1
    return k


@cython.cclass
class Reader:
    """Reads texts in UTF-8 under one vocabulary.

    `prefix`: 0 none, 1 a space before every text, 2 unless it starts with one; `every`: the parts between user-defined
    pieces count as texts.
    """

    def __cinit__(self, tables: Tables, defined: list, prefix: cython.int, every: cython.bint):
        i: cython.int
        self.tables = tables
        self.prefix = prefix
        self.every = every
        self.mark_count = len(defined)
        self.marks = cython.cast(cython.pointer(uint32_t), malloc(4 * (self.mark_count + 1)))
        if self.marks == cython.NULL:
            raise MemoryError("No memory for the list of user-defined pieces.")
        firsts = set()
        for i in range(self.mark_count):
            self.marks[i] = defined[i]
            firsts.add(tables.t.blob[tables.t.offsets[self.marks[i]]])
        self.mark_first = firsts.pop() if len(firsts) == 1 else -1

    def __dealloc__(self):
        free(self.marks)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def one(
        self,
        worker: Worker,
        text: cython.pointer(mt_text),
        head: int32_t,
        tail: int32_t,
        k: int64_t,
    ) -> int64_t:
        """Append the ids of one text; −1 without memory, or for half a surrogate pair."""
        kept: cython.pointer(cython.const[mt_kept]) = cython.NULL
        h: uint64_t = mt_text_hash(cython.address(worker.texts), text) if self.tables.t.recall else 0
        start: int64_t
        if h:
            kept = mt_text_find(cython.address(worker.texts), text, h)
        if kept != cython.NULL:
            return recalled(worker, kept, head, tail, k)
        if not worker.reserve(k + 1):
            return -1
        if head >= 0:
            worker.ids[k] = head
            k += 1
        start = k
        k = self.fresh(worker, text, k)
        if k >= 0 and h:
            mt_text_met(cython.address(worker.texts), text, h, worker.ids + start, k - start)
        if k >= 0 and tail >= 0:
            if not worker.reserve(k + 1):
                return -1
            worker.ids[k] = tail
            k += 1
        return k

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def fresh(self, worker: Worker, text: cython.pointer(mt_text), k: int64_t) -> int64_t:
        """Append the ids of one text that is not remembered as a whole."""
        place: Place
        p: bytes_p = cython.cast(bytes_p, text.data)
        size: int64_t = text.size
        if text.kind:
            if not mt_buffer_fits(cython.address(worker.utf8), mt_text_room(text)):
                return -1
            size = mt_text_utf8(text, worker.utf8.data)
            if size < 0:
                return -1
            p = worker.utf8.data
        self.begin(p, size, cython.address(place))
        return self.advance(worker, p, size, cython.address(place), NO_LIMIT, k)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def begin(self, p: bytes_p, n: uint64_t, place: cython.pointer(Place)) -> cython.void:
        place.start = 0
        self.next_span(p, n, place)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def next_span(self, p: bytes_p, n: uint64_t, place: cython.pointer(Place)) -> cython.void:
        """Find where the text from `place.start` on meets a user-defined piece."""
        place.done = 0
        place.size = n - place.start
        place.mark = -1
        if self.mark_count:
            place.mark = self.find_mark(p + place.start, n - place.start, cython.address(place.size))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def wants_prefix(self, p: bytes_p, n: uint64_t) -> cython.bint:
        if self.prefix == 2 and n > 0:
            return p[0] != 32 and not (n > 2 and p[0] == 0xE2 and p[1] == 0x96 and p[2] == 0x81)
        return self.prefix == 1

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def advance(
        self, worker: Worker, p: bytes_p, n: uint64_t, place: cython.pointer(Place), limit: int64_t, k: int64_t
    ) -> int64_t:
        """Append ids from `place` on until there are about `limit`; user-defined pieces stand between the texts."""
        prefix: cython.bint
        end: uint64_t
        while 0 <= k < limit:
            if place.done < place.size:
                prefix = place.done == 0 and (place.start == 0 or self.every)
                prefix = prefix and self.wants_prefix(p + place.start, place.size)
                k = worker.encode(p + place.start, place.size, cython.address(place.done), prefix, limit, k)
                continue
            if place.mark < 0:
                break
            if place.start == 0 and place.size == 0 and self.prefix == 1 and not self.every:
                end = 0
                k = worker.encode(
                    cython.cast(bytes_p, cython.cast(cython.p_char, b" ")), 1, cython.address(end), False, limit, k
                )
            if k < 0 or not worker.reserve(cython.cast(uint64_t, k) + 1):
                return -1
            worker.ids[k] = cython.cast(int32_t, self.marks[place.mark])
            k += 1
            end = self.tables.t.offsets[self.marks[place.mark] + 1] - self.tables.t.offsets[self.marks[place.mark]]
            place.start += place.size + end
            self.next_span(p, n, place)
        return k

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def find_mark(self, p: bytes_p, n: uint64_t, at: cython.pointer(uint64_t)) -> cython.int:
        """Find the first user-defined piece and set `at[0]` to its place; −1 and the end of the text for none."""
        i: cython.int
        offset: uint32_t
        size: uint32_t
        found: cython.pointer(cython.void)
        at[0] = 0
        while at[0] < n:
            if self.mark_first >= 0:
                found = cython.cast(cython.pointer(cython.void), memchr(p + at[0], self.mark_first, n - at[0]))
                if found == cython.NULL:
                    break
                at[0] = cython.cast(bytes_p, found) - p
            for i in range(self.mark_count):
                offset = self.tables.t.offsets[self.marks[i]]
                size = self.tables.t.offsets[self.marks[i] + 1] - offset
                if size <= n - at[0] and memcmp(self.tables.t.blob + offset, p + at[0], size) == 0:
                    return i
            at[0] += 1
        at[0] = n
        return -1
