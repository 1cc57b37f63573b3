# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Batches of texts: encoded by one or more threads, which take the interpreter lock once and share parts without it."""

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.stdint import int32_t, int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.mistral_tok.core.block import BLOCK_LEAST, Block, result
from cython.cimports.mistral_tok.core.encode import SLACK, Encoder, look
from cython.cimports.mistral_tok.core.fast import (
    PyObject_GC_UnTrack,
    ids_p,
    mt_batch,
    mt_batch_done,
    mt_batch_fail,
    mt_batch_idle,
    mt_batch_ids,
    mt_batch_part,
    mt_batch_return,
    mt_batch_take,
    mt_list_fill,
    mt_list_room,
    mt_part,
    mt_text,
    mt_text_room,
)
from cython.cimports.mistral_tok.core.short import encode_short
from cython.cimports.mistral_tok.core.worker import Worker

ROUND = cython.declare(uint64_t, 6 << 20)  # ids for which a worker has room: as many as it keeps between calls
MANY = cython.declare(cython.Py_ssize_t, 1 << 18)  # texts of a batch
LEAST = cython.declare(int64_t, 1 << 12)  # characters of a part: few enough that threads end together
COUNTS = cython.declare(cython.int, 0)  # what is made of a batch
LISTS = cython.declare(cython.int, 1)
IDS = cython.declare(cython.int, 2)
MOST = cython.declare(int64_t, 1 << 17)  # few enough that lists are made while ids are in the cache


@cython.cclass
class Batch:
    """Texts that are encoded together: those of `texts` from `start` up to `stop`, as many as fit into one.

    `prepare`, then `lead` in one thread and `work` in any number of others; when all have `returned`, `lists`, `ids` or
    `counts`, as `form` says, and `end`. `head` and `tail` are ids to put around every text, or −1. Texts that are
    no `strings` are bytes of UTF-8 that was checked (see core/parts.py).
    """

    def __cinit__(
        self,
        encoder: Encoder,
        texts: list,
        start: cython.Py_ssize_t,
        head: int32_t,
        tail: int32_t,
        strings: cython.bint,
        form: cython.int,
    ):
        self.encoder = encoder
        self.texts = texts
        self.start = self.stop = start
        self.head = head
        self.tail = tail
        self.strings = strings
        self.form = form
        self.workers = []
        self.rows = []
        memset(cython.address(self.b), 0, cython.sizeof(mt_batch))

    def __dealloc__(self):
        free(self.b.texts)
        free(self.b.parts)

    def prepare(self, threads: cython.int) -> None:
        """Look at the texts and cut the batch into parts. UnicodeEncodeError for half a surrogate pair.

        Where a function of Python's splits the texts, they are encoded here.
        """
        n: cython.Py_ssize_t = min(len(self.texts) - self.start, MANY)
        i: cython.Py_ssize_t
        size: int64_t
        first: int64_t = 0
        done: int64_t = 0
        count: int64_t = 0
        self.b.texts = cython.cast(cython.pointer(mt_text), malloc((n + 1) * cython.sizeof(mt_text)))
        self.b.parts = cython.cast(cython.pointer(mt_part), malloc((n + 1) * cython.sizeof(mt_part)))
        if self.b.texts == cython.NULL or self.b.parts == cython.NULL:
            raise MemoryError("No memory to encode a batch.")
        for i in range(n):
            text = self.texts[self.start + i]
            if self.strings and not isinstance(text, str):
                raise TypeError(f"texts[{self.start + i}] is of type {type(text).__name__}; expected str.")
            look(text, self.b.texts + i)
            self.room += mt_text_room(self.b.texts + i)
            if self.room > ROUND and i > 0:
                self.room -= mt_text_room(self.b.texts + i)
                n = i
                break
            self.total += self.b.texts[i].size
        self.stop = self.start + n
        self.b.n_texts = n
        size = MOST if threads == 1 else min(max(self.total // (32 * threads), LEAST), MOST)
        for i in range(n):
            done += self.b.texts[i].size
            if done >= size or i == n - 1:
                self.b.parts[count].first = first
                self.b.parts[count].ids = cython.NULL
                first = i + 1
                count += 1
                done = 0
        self.b.parts[count].first = n
        if self.encoder.scanner == 2:
            self.split(count)
        self.b.n_parts = count  # last: from now on parts are taken

    @cython.cfunc
    @cython.exceptval(-1)
    def split(self, parts: int64_t) -> cython.int:
        """Encode all texts here."""
        worker: Worker = self.begun()
        i: int64_t
        part: int64_t
        k: int64_t = 0
        before: int64_t
        for i in range(self.b.n_texts):
            before = k
            text = self.texts[self.start + i]
            plain = text if type(text) is str else str.__str__(text)
            k = self.encoder.append(worker, plain, self.head, self.tail, k)
            self.b.texts[i].size = k - before
        k = 0
        for part in range(parts):
            mt_batch_done(cython.address(self.b), part, worker.ids + k)
            for i in range(self.b.parts[part].first, self.b.parts[part + 1].first):
                k += self.b.texts[i].size
        self.b.next = parts
        return 0

    @cython.cfunc
    def begun(self) -> Worker:
        """Return a worker whose ids stay where they are until `end`: it has room for all of the batch."""
        worker: Worker = self.encoder.take()
        self.workers.append(worker)
        if not worker.restart(self.room + SLACK):
            raise MemoryError("No memory to encode a batch.")
        return worker

    @cython.cfunc
    def direct(self) -> Worker:
        """Return a worker that writes where the ids of all texts are to be."""
        worker: Worker = self.encoder.take()
        self.workers.append(worker)
        self.block = Block(4 * (self.room + SLACK), self.total)
        worker.lend(cython.cast(ids_p, self.block.data()), self.room + SLACK)
        return worker

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def part(self, worker: Worker, part: int64_t, k: int64_t) -> int64_t:
        """Encode the texts of a part behind `k` ids and return how many there are then; −1 where that fails."""
        i: int64_t = self.b.parts[part].first
        end: int64_t = self.b.parts[part + 1].first
        after: int64_t
        before: int64_t = k
        done: int64_t = 0
        while i < end:
            if self.encoder.together:
                done = encode_short(worker, self.b.texts + i, end - i, self.head, self.tail, cython.address(k))
            if done == 0:
                after = self.encoder.reader.one(worker, self.b.texts + i, self.head, self.tail, k)
                done = -1 if after < 0 else 1
                if done > 0:
                    self.b.texts[i].size = after - k
                    k = after
            if done < 0:
                self.b.texts[i].size = -1
                mt_batch_fail(cython.address(self.b))
                return -1
            i += done
            done = 0
        mt_batch_done(cython.address(self.b), part, worker.ids + before)
        return k

    def work(self) -> None:
        """Encode parts until none is left, in a thread other than the one that leads."""
        worker: Worker
        part: int64_t
        k: int64_t = 0
        try:
            if self.b.next < self.b.n_parts:
                worker = self.begun()
                with cython.nogil:
                    part = mt_batch_take(cython.address(self.b))
                    while part >= 0 and k >= 0:
                        k = self.part(worker, part, k)
                        if self.form == COUNTS and k > 0:
                            k = 0
                        part = mt_batch_take(cython.address(self.b))
                    mt_batch_idle(cython.address(self.b))
        except MemoryError:
            mt_batch_fail(cython.address(self.b))
        finally:
            mt_batch_return(cython.address(self.b))

    def lead(self, others: cython.int) -> None:
        """Encode parts until none is left, and wait a while for the others to return.

        Lists are made of the parts that are done while the others go on.
        """
        worker: Worker
        part: int64_t = 0
        k: int64_t = 0
        try:
            if self.b.next < self.b.n_parts:
                worker = self.begun() if others or self.form != IDS or self.room < BLOCK_LEAST else self.direct()
                while part >= 0 and k >= 0:
                    with cython.nogil:
                        part = mt_batch_take(cython.address(self.b))
                        if part >= 0:
                            k = self.part(worker, part, k)
                    if part >= 0 and k > 0 and self.form != IDS:
                        if self.form == LISTS:
                            self.listed()
                        if self.form == COUNTS or self.n_listed > part:
                            k = 0  # nothing that is in this buffer is still needed
        except BaseException:
            mt_batch_fail(cython.address(self.b))
            raise
        if others:
            with cython.nogil:
                mt_batch_part(cython.address(self.b), others)

    def returned(self) -> int:
        """How many of the other threads have returned."""
        return self.b.gone

    @cython.cfunc
    @cython.exceptval(-1)
    def listed(self) -> cython.int:
        """Make lists of the next parts that are done."""
        ints = self.encoder.ints()
        ids: ids_p
        i: int64_t
        while self.n_listed < self.b.n_parts:
            ids = cython.cast(ids_p, mt_batch_ids(cython.address(self.b), self.n_listed))
            if ids == cython.NULL:
                break
            for i in range(self.b.parts[self.n_listed].first, self.b.parts[self.n_listed + 1].first):
                row: list = mt_list_room(self.b.texts[i].size)
                mt_list_fill(cython.cast(cython.pointer(PyObject), row), ints, ids, self.b.texts[i].size)
                PyObject_GC_UnTrack(row)
                self.rows.append(row)
                ids += self.b.texts[i].size
            self.n_listed += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def check(self) -> cython.int:
        """Raise for what was not encoded."""
        i: int64_t
        if self.b.failed:
            for i in range(self.b.n_texts):
                if self.b.texts[i].size < 0:
                    self.encoder.fail(self.texts[self.start + i])
            raise MemoryError("No memory to encode a batch.")
        return 0

    def lists(self) -> list:
        """Return the ids of each text as lists, which are to be given to `tracked`."""
        self.check()
        self.listed()
        return self.rows

    def ids(self) -> tuple:
        """Return the ids of all texts, one after the other as int32, and 0 and where each text's end, as int64."""
        n: int64_t = self.b.n_texts
        i: int64_t
        part: int64_t
        k: int64_t = 0
        before: int64_t = 0
        self.check()
        ends: bytearray = PyByteArray_FromStringAndSize(cython.NULL, 8 * (n + 1))
        end = cython.cast(cython.pointer(int64_t), PyByteArray_AS_STRING(ends))
        end[0] = 0
        for i in range(n):
            k += self.b.texts[i].size
            end[i + 1] = k
        if self.block is not None:
            worker: Worker = self.workers[0]
            if worker.regain():
                return self.block.begin(4 * k), ends
        memory: cython.pointer(uint8_t) = cython.NULL
        data = result(4 * k, cython.address(memory))
        out = cython.cast(ids_p, memory)
        for part in range(self.b.n_parts):
            k = end[self.b.parts[part + 1].first]
            memcpy(out + before, mt_batch_ids(cython.address(self.b), part), 4 * (k - before))
            before = k
        return data, ends

    def counts(self) -> list:
        """Return how many ids each text has."""
        self.check()
        return [self.b.texts[i].size for i in range(self.b.n_texts)]

    def end(self) -> None:
        """Let the workers be used again."""
        for worker in self.workers:
            self.encoder.give(worker)
        self.workers = []


FORMS: dict[object, int] = {Batch.counts: COUNTS, Batch.lists: LISTS, Batch.ids: IDS}  # what each method needs
