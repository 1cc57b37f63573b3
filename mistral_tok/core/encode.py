# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Text to ids: takes strings apart into UTF-8, hands them to a worker, and makes lists or arrays of the result.

An `Encoder` does not change after construction. Workers, which remember segments, are taken from a pool for the time
of a call, so that any number of threads may encode at once; the interpreter lock is released while long texts and
batches are encoded.
"""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_Resize
from cython.cimports.cpython.object import PyObject
from cython.cimports.cpython.unicode import PyUnicode_AsUTF8AndSize
from cython.cimports.libc.stdint import int32_t, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free
from cython.cimports.libc.string import memcpy
from cython.cimports.mistral_tok.core.block import BLOCK_LEAST, Block, result
from cython.cimports.mistral_tok.core.fast import (
    bytes_p,
    ids_p,
    mt_buffer_trim,
    mt_huge,
    mt_ints,
    mt_list,
    mt_list_extend,
    mt_list_fit,
    mt_list_room,
    mt_text,
    mt_text_look,
)
from cython.cimports.mistral_tok.core.reader import Place, Reader
from cython.cimports.mistral_tok.core.spans import Spans
from cython.cimports.mistral_tok.core.worker import Worker

COMPILED: bool = cython.compiled

LONG = cython.declare(cython.Py_ssize_t, 1 << 20)  # characters from which a text is encoded step by step
UNLOCK = cython.declare(cython.Py_ssize_t, 8192)  # bytes of text from which the interpreter lock is released
STEP = cython.declare(int64_t, 1 << 18)  # ids that a long text is encoded at a time, so that they stay in the cache
KEPT_IDS = cython.declare(uint64_t, 1 << 23)  # ids that a worker's buffer may keep between calls


@cython.cfunc
@cython.exceptval(check=True)
def utf8(held: object, size: cython.pointer(cython.Py_ssize_t)) -> bytes_p:
    """Return the UTF-8 of a str, or what bytes hold."""
    if isinstance(held, str):
        return cython.cast(bytes_p, PyUnicode_AsUTF8AndSize(held, size))
    size[0] = len(held)
    return cython.cast(bytes_p, cython.cast(cython.p_char, held))


@cython.cfunc
@cython.exceptval(-1)
def look(held: object, text: cython.pointer(mt_text)) -> cython.int:
    """Note the UTF-8 of a str or of bytes, or the characters of a str that a worker converts."""
    if isinstance(held, str) and mt_text_look(held, text):
        return 0
    text.kind = 0
    text.data = utf8(held, cython.address(text.size))
    return 0


@cython.cfunc
def block(ids: ids_p, n: cython.Py_ssize_t) -> object:
    """Return ids in memory of their own."""
    data: cython.pointer(uint8_t) = cython.NULL
    made = result(4 * n, cython.address(data))
    memcpy(data, ids, 4 * n)
    return made


@cython.cfunc
@cython.exceptval(check=False)
def expected(ids: int64_t, done: uint64_t, size: uint64_t) -> int64_t:
    """Return how many ids a text will have, and a little more, if the first `done` of its bytes made so many."""
    rate: cython.double = cython.cast(cython.double, ids) / cython.cast(cython.double, max(done, 1))
    return ids + cython.cast(int64_t, rate * cython.cast(cython.double, size - done) * 1.02) + ids // 8


@cython.cclass
class Encoder:
    """Encodes strings with the tables of an image.

    `scanner` is 0 where segments are cut by the vocabulary alone, 1 for Tekken's pattern, 2 when `splitter` gives the
    segments: a function from a string to (ends in UTF-8 bytes as array('Q')). `prefix`: 0 none, 1 a space before
    every text, 2 unless it starts with one; `every`: the parts between user-defined pieces count as texts.
    """

    def __init__(self, image, scanner: int, prefix: int, splitter: object, every: bool, table_bytes: int):
        self.tables = image.tables
        self.scanner = scanner
        self.splitter = splitter
        self.cuts = scanner != 0 and not image.meta["whole_pieces"]
        self.table_bytes = table_bytes
        self.pool = []
        defined = list(memoryview(image.sections["user_defined"]).cast("B").cast("I"))
        self.reader = Reader(self.tables, defined, prefix, every)
        self.together = scanner == 1 and not defined and prefix == 0

    def encode(self, text: str, head: cython.int = -1, tail: cython.int = -1) -> list:
        """Return the ids of a text as a list, `head` before and `tail` after it where they are not negative."""
        worker: Worker = self.take()
        k: int64_t
        try:
            if len(text) > LONG and self.scanner != 2:
                row: list = mt_list_room(0)
                self.in_steps(worker, text, head, tail, row, None)
                return row
            k = self.append(worker, text, head, tail, 0)
            return mt_list(self.ints(), worker.ids, k)
        finally:
            self.give(worker)

    def array(self, text: str, head: cython.int = -1, tail: cython.int = -1) -> object:
        """Return the ids of a text as int32 in the machine's byte order, in memory of core/block.py or a bytearray."""
        worker: Worker = self.take()
        k: int64_t
        try:
            if len(text) > LONG and self.scanner != 2:
                grown: bytearray = bytearray()
                self.in_steps(worker, text, head, tail, None, grown)
                return grown
            size: cython.Py_ssize_t = len(text) if text.isascii() else 3 * len(text)
            if size < BLOCK_LEAST or self.scanner == 2:
                k = self.append(worker, text, head, tail, 0)
                return block(worker.ids, k)
            lent: Block = Block(4 * (size + SLACK), len(text))
            worker.lend(cython.cast(ids_p, lent.data()), size + SLACK)
            k = self.append(worker, text, head, tail, 0)
            return lent.begin(4 * k) if worker.regain() else block(worker.ids, k)
        finally:
            self.give(worker)

    def with_spans(self, text: str, head: cython.int, tail: cython.int, spans: Spans) -> tuple:
        """Return the ids of a text as a list, and their spans: pairs of int32 in a block (see core/spans.py)."""
        worker: Worker
        k: int64_t
        if len(text) > LONG and self.scanner != 2:
            data: bytearray = self.array(text, head, tail)
            return self.spanned(
                text, cython.cast(ids_p, PyByteArray_AS_STRING(data)), len(data) // 4, head, tail, spans
            )
        worker = self.take()
        try:
            k = self.append(worker, text, head, tail, 0)
            return self.spanned(text, worker.ids, k, head, tail, spans)
        finally:
            self.give(worker)

    @cython.cfunc
    def spanned(
        self, text: str, ids: ids_p, n: cython.Py_ssize_t, head: cython.int, tail: cython.int, spans: Spans
    ) -> tuple:
        data: cython.pointer(uint8_t) = cython.NULL
        pairs = result(8 * n, cython.address(data))
        spans.pairs(text, ids, n, cython.cast(ids_p, data), head >= 0, tail >= 0)
        return mt_list(self.ints(), ids, n), pairs

    def count(self, text: str) -> int:
        """Return the number of ids of a text."""
        worker: Worker = self.take()
        try:
            if len(text) > LONG and self.scanner != 2:
                return self.in_steps(worker, text, -1, -1, None, None)
            return self.append(worker, text, -1, -1, 0)
        finally:
            self.give(worker)

    @cython.cfunc
    @cython.exceptval(-1)
    def in_steps(
        self, worker: Worker, text: str, head: cython.int, tail: cython.int, ids: list | None, data: bytearray | None
    ) -> int64_t:
        """Encode a long text step by step into an empty list or block; return the number of its ids.

        Room is made for as many as the text will have if it goes on as it began.
        """
        n: cython.Py_ssize_t = 0
        total: int64_t = 0
        room: int64_t = 0
        place: Place
        over: cython.bint = False
        held = text if text.isascii() else text.encode()  # UTF-8 that is not left in the string for good
        p: bytes_p = utf8(held, cython.address(n))
        self.reader.begin(p, n, cython.address(place))
        k: int64_t = 0 if head < 0 else self.put(worker, head, 0)
        while not over:
            with cython.nogil:
                k = self.reader.advance(worker, p, n, cython.address(place), STEP, k)
            if k < 0:
                raise MemoryError(f"No memory to encode a text of {n} bytes.")
            if k == 0:
                over = True
                k = 0 if tail < 0 else self.put(worker, tail, 0)
            if total + k > room:
                room = expected(total + k, place.start + place.done, n)
            if ids is not None:
                mt_list_extend(cython.cast(cython.pointer(PyObject), ids), self.ints(), worker.ids, k, room)
            elif data is not None:
                if len(data) < 4 * room:
                    PyByteArray_Resize(data, 4 * room)
                    mt_huge(PyByteArray_AS_STRING(data) + 4 * total, 4 * (room - total))
                memcpy(PyByteArray_AS_STRING(data) + 4 * total, worker.ids, 4 * k)
            total += k
            k = 0
        if ids is not None:
            mt_list_fit(cython.cast(cython.pointer(PyObject), ids))
        elif data is not None:
            PyByteArray_Resize(data, 4 * total)
        return total

    @cython.cfunc
    @cython.exceptval(check=True)
    def ints(self) -> bytes_p:
        """Return the int objects of all ids, made when first needed."""
        return mt_ints(self.tables.t.n_pieces)

    @cython.cfunc
    def take(self) -> Worker:
        if self.pool:
            return self.pool.pop()
        return Worker(self.tables, self.scanner, self.cuts, self.table_bytes)

    @cython.cfunc
    def give(self, worker: Worker) -> cython.void:
        """Take a worker back, without what is too large to be kept."""
        worker.regain()
        if worker.ids_room > KEPT_IDS:
            free(worker.ids)
            worker.ids = cython.NULL
            worker.ids_room = 0
        mt_buffer_trim(cython.address(worker.utf8), KEPT_IDS)
        mt_buffer_trim(cython.address(worker.text), KEPT_IDS)
        self.pool.append(worker)

    @cython.cfunc
    @cython.exceptval(-1)
    def append(self, worker: Worker, text: str, head: int32_t, tail: int32_t, k: int64_t) -> int64_t:
        """Append the ids of one text to the worker's buffer."""
        found: mt_text
        if text is None:
            raise TypeError("Expected str, got None.")
        if self.scanner == 2:
            return self.append_split(worker, text, head, tail, k)
        look(text, cython.address(found))
        if found.size < UNLOCK:
            k = self.reader.one(worker, cython.address(found), head, tail, k)
        else:
            with cython.nogil:
                k = self.reader.one(worker, cython.address(found), head, tail, k)
        if k < 0:
            self.fail(text)
        return k

    @cython.cfunc
    @cython.exceptval(-1)
    def fail(self, held: object) -> cython.int:
        """Raise for a text that was not encoded."""
        n: cython.Py_ssize_t = 0
        utf8(held, cython.address(n))  # raises where half a surrogate pair was the reason
        raise MemoryError(f"No memory to encode a text of {n} bytes.")

    @cython.cfunc
    @cython.exceptval(-1)
    def append_split(self, worker: Worker, text: str, head: int32_t, tail: int32_t, k: int64_t) -> int64_t:
        """Append the ids of a text that a function cuts: strings with their segments' ends, or bare ids."""
        n: cython.Py_ssize_t = 0
        p: bytes_p
        if not worker.reserve(k + 2):
            raise MemoryError("No memory to encode a text.")
        if head >= 0:
            worker.ids[k] = head
            k += 1
        for part, ends in self.splitter(text):
            if ends is None:
                if not worker.reserve(k + 2):
                    raise MemoryError("No memory to encode a text.")
                worker.ids[k] = part
                k += 1
                continue
            view: uint64_t[::1] = ends
            p = cython.cast(bytes_p, PyUnicode_AsUTF8AndSize(part, cython.address(n)))
            if view.shape[0]:
                k = worker.encode_spans(p, n, cython.address(view[0]), view.shape[0], k)
            if k < 0:
                raise MemoryError("No memory to encode a text.")
        if tail >= 0:
            if not worker.reserve(k + 2):
                raise MemoryError("No memory to encode a text.")
            worker.ids[k] = tail
            k += 1
        return k

    def rows(self, rows: list, head: cython.int, ends: list) -> list:
        """Return `head` and the ids of all rows as one list; add to `ends` where the ids of each row end.

        The parts of a row are ids, texts, and objects that have `ids`, or a `text` where these are None.
        """
        worker: Worker = self.take()
        row: tuple
        k: int64_t = 0
        try:
            k = self.put(worker, head, k)
            for row in rows:
                for part in row:
                    if isinstance(part, int):
                        k = self.put(worker, part, k)
                    elif isinstance(part, str):
                        k = self.append(worker, part, -1, -1, k)
                    elif part.ids is None:
                        k = self.append(worker, part.text, -1, -1, k)
                    else:
                        for token in part.ids:
                            k = self.put(worker, token, k)
                ends.append(k)
            return mt_list(self.ints(), worker.ids, k)
        finally:
            self.give(worker)

    @cython.cfunc
    @cython.exceptval(-1)
    def put(self, worker: Worker, token: int32_t, k: int64_t) -> int64_t:
        """Append one id, which is one of the vocabulary, to the worker's buffer."""
        if token < 0 or cython.cast(uint32_t, token) >= self.tables.t.n_pieces:
            raise ValueError(f"Id {token} is not in the vocabulary, which has {self.tables.t.n_pieces}.")
        if not worker.reserve(k + 1):
            raise MemoryError("No memory for an id.")
        worker.ids[k] = token
        return k + 1
