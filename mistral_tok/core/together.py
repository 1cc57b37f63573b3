# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Batches of texts: encoded by one or more threads, of which only the calling one ever takes the interpreter lock."""

import time

import cython
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cython.cimports.cpython.object import PyObject
from cython.cimports.libc.stdint import int32_t, int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc
from cython.cimports.libc.string import memcpy, memset
from cython.cimports.mistral_tok.core.block import BLOCK_LEAST, Block, result
from cython.cimports.mistral_tok.core.encode import SLACK, Encoder
from cython.cimports.mistral_tok.core.fast import (
    ids_p,
    mt_batch,
    mt_batch_done,
    mt_batch_fail,
    mt_batch_gone,
    mt_batch_ids,
    mt_batch_log,
    mt_batch_logged,
    mt_batch_return,
    mt_batch_take,
    mt_batch_wait,
    mt_list_fill,
    mt_list_room,
    mt_thread,
)
from cython.cimports.mistral_tok.core.share import cut_parts, look_at_lines, look_at_texts
from cython.cimports.mistral_tok.core.short import encode_short
from cython.cimports.mistral_tok.core.worker import Worker

NO_MEMORY = "No memory to encode a batch."
TICK = 1e-4  # seconds between two looks at threads that take longer than can be waited for without sleeping
COUNTS = cython.declare(cython.int, 0)  # what is made of a batch
LISTS = cython.declare(cython.int, 1)
IDS = cython.declare(cython.int, 2)


@cython.cclass
class Batch:
    """Texts that are encoded together: those of `texts` from `start` up to `stop`, as many as fit into one.

    `run`, then `lists`, `ids` or `counts`, as `form` says, and `end`. `head` and `tail` are ids to put around every
    text, or −1. Texts that are no `strings` are bytes of UTF-8 that was checked (see core/parts.py); with `lines` each
    line of these is a text, and only the newline between two of them is part of neither.
    """

    def __cinit__(
        self,
        encoder: Encoder,
        texts: list,
        start: cython.Py_ssize_t,
        head: int32_t,
        tail: int32_t,
        strings: cython.bint,
        lines: cython.bint,
        form: cython.int,
    ):
        self.encoder = encoder
        self.texts = texts
        self.start = self.stop = start
        self.head = head
        self.tail = tail
        self.strings = strings
        self.lines_of = lines
        self.form = form
        self.workers = []
        memset(cython.address(self.b), 0, cython.sizeof(mt_batch))

    def __dealloc__(self):
        free(self.b.texts)
        free(self.b.parts)
        free(self.b.threads)
        free(self.b.log)

    def run(self, threads: cython.int) -> None:
        """Encode all texts, in up to that many threads. UnicodeEncodeError for half a surrogate pair.

        All other threads have returned when this does, whatever happens.
        """
        times: uint64_t = 2 if self.encoder.reader.every and self.encoder.reader.mark_count else 1
        if self.lines_of:
            self.stop = look_at_lines(cython.address(self.b), self.texts, self.start, times)
        else:
            self.stop = look_at_texts(cython.address(self.b), self.texts, self.start, self.strings, times)
        cut_parts(cython.address(self.b), threads)
        if self.form == LISTS:
            self.rows = [None] * self.b.n_texts
        if self.encoder.scanner == 2:
            self.split()
            return
        self.begin(max(1, min(threads, self.b.n_parts)))
        try:
            self.lead()
        except BaseException:
            mt_batch_fail(cython.address(self.b))
            raise
        finally:
            self.wait()

    @cython.cfunc
    @cython.exceptval(-1)
    def split(self) -> cython.int:
        """Encode all texts here: a function of Python's splits them."""
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
        for part in range(self.b.n_parts):
            mt_batch_done(cython.address(self.b), part, worker.ids + k)
            for i in range(self.b.parts[part].first, self.b.parts[part + 1].first):
                k += self.b.texts[i].size
            if self.form == LISTS:
                self.listed(part)
        return 0

    @cython.cfunc
    def begun(self) -> Worker:
        """Return a worker whose ids stay where they are until `end`: it has room for all of the batch."""
        worker: Worker = self.encoder.take()
        self.workers.append(worker)
        self.clear(worker)
        return worker

    @cython.cfunc
    @cython.exceptval(-1)
    def clear(self, worker: Worker) -> cython.int:
        """Let a worker begin with no ids, and room for those of all texts."""
        if not worker.restart(self.b.room + SLACK):
            raise MemoryError(NO_MEMORY)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def begin(self, threads: int64_t) -> cython.int:
        """Share the parts among threads and start all but the one that leads.

        The others are those of pool.h: they have nothing to do with the interpreter. Where the system starts none,
        those that run take the parts.
        """
        worker: Worker
        i: int64_t
        self.b.threads = cython.cast(cython.pointer(mt_thread), malloc((threads + 1) * cython.sizeof(mt_thread)))
        self.b.log = cython.cast(cython.pointer(int64_t), calloc(self.b.n_parts + 1, 8))
        if self.b.threads == cython.NULL or self.b.log == cython.NULL:
            raise MemoryError(NO_MEMORY)
        for i in range(threads):
            worker = self.encoder.take()
            self.workers.append(worker)
            self.b.threads[i].number = i
            self.b.threads[i].batch = cython.cast(cython.p_void, self)
            self.b.threads[i].worker = cython.cast(cython.p_void, worker)
            self.b.threads[i].left = cython.cast(uint64_t, self.b.n_parts * (i + 1) // threads) << 32
            self.b.threads[i].left |= self.b.n_parts * i // threads
        self.b.n_threads = threads
        for i in range(1, threads):
            if not mt_pool_call(helper, self.b.threads + i):
                break
            self.others += 1
        return 0

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

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def work(self, me: cython.pointer(mt_thread)) -> cython.void:
        """Encode parts until none is left, in a thread that knows nothing of the interpreter."""
        part: int64_t = 0
        k: int64_t = 0
        if not cython.cast(Worker, me.worker).restart(self.b.room + SLACK):
            mt_batch_fail(cython.address(self.b))
        while part >= 0 and k >= 0:
            part = mt_batch_take(cython.address(self.b), me.number)
            if part >= 0:
                k = self.part(cython.cast(Worker, me.worker), part, k)
                if k >= 0 and self.form == LISTS:
                    mt_batch_log(cython.address(self.b), part)
                if k >= 0 and self.form == COUNTS:
                    k = 0
        mt_batch_return(cython.address(self.b))

    @cython.cfunc
    @cython.exceptval(-1)
    def lead(self) -> cython.int:
        """Encode parts until none is left.

        Lists are made of the parts that are done, by this and the other threads. Ids are written where those of all
        texts are to be, as long as parts follow each other.
        """
        worker: Worker = self.workers[0]
        part: int64_t = 0
        after: int64_t = 0
        k: int64_t = 0
        if self.form == IDS and self.b.room >= BLOCK_LEAST:
            self.block = Block(4 * (self.b.room + SLACK), self.b.total)
            worker.lend(cython.cast(ids_p, self.block.data()), self.b.room + SLACK)
        else:
            self.clear(worker)
        while part >= 0 and k >= 0:
            with cython.nogil:  # a thread that reads files holds the lock meanwhile: it is taken for lists only
                part = self.step(worker, cython.address(after), cython.address(k))
                while part >= 0 and k >= 0 and self.form != LISTS:
                    part = self.step(worker, cython.address(after), cython.address(k))
            if part >= 0 and k >= 0:
                self.listed(part)
                self.others_listed()
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def step(self, worker: Worker, after: cython.pointer(int64_t), k: cython.pointer(int64_t)) -> int64_t:
        """Encode the next part in the thread that leads and return it; −1 if there is none.

        `after[0]` is the part that follows the one before, `k[0]` how many ids are there, or −1 where that fails.
        """
        part: int64_t = mt_batch_take(cython.address(self.b), 0)
        if part < 0:
            return part
        if self.form != IDS:
            k[0] = 0  # nothing that is in this buffer is still needed
        if part != after[0] and worker.regain():
            k[0] = 0
            if not worker.restart(self.b.room + SLACK):
                mt_batch_fail(cython.address(self.b))
                return -1
        after[0] = part + 1
        k[0] = self.part(worker, part, k[0])
        return part

    @cython.cfunc
    @cython.exceptval(-1)
    def wait(self) -> cython.int:
        """Wait until the other threads have returned; what interrupts that is raised then."""
        stopped: object = None
        with cython.nogil:
            mt_batch_wait(cython.address(self.b), self.others)
        while mt_batch_gone(cython.address(self.b)) < self.others:
            try:
                time.sleep(TICK)
            except BaseException as error:
                mt_batch_fail(cython.address(self.b))
                stopped = error
        if stopped is not None:
            raise stopped
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def listed(self, part: int64_t) -> cython.int:
        """Make lists of a part that is done."""
        ints = self.encoder.ints()
        ids = cython.cast(ids_p, mt_batch_ids(cython.address(self.b), part))
        i: int64_t
        for i in range(self.b.parts[part].first, self.b.parts[part + 1].first):
            row: list = mt_list_room(self.b.texts[i].size)
            mt_list_fill(cython.cast(cython.pointer(PyObject), row), ints, ids, self.b.texts[i].size)
            self.rows[i] = row
            ids += self.b.texts[i].size
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def others_listed(self) -> cython.int:
        """Make lists of what other threads have done meanwhile."""
        part: int64_t = mt_batch_logged(cython.address(self.b), self.n_listed)
        while part >= 0:
            self.listed(part)
            self.n_listed += 1
            part = mt_batch_logged(cython.address(self.b), self.n_listed)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def check(self) -> cython.int:
        """Raise for what was not encoded."""
        i: int64_t
        if self.b.failed:
            for i in range(0 if self.lines_of else self.b.n_texts):
                if self.b.texts[i].size < 0:
                    self.encoder.fail(self.texts[self.start + i])
            raise MemoryError(NO_MEMORY)
        return 0

    def lists(self) -> list:
        """Return the ids of each text as lists."""
        self.check()
        if self.b.log != cython.NULL:
            self.others_listed()
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
        memory: cython.pointer(uint8_t) = cython.NULL
        if self.block is not None and k <= self.b.room + SLACK:
            data = self.block.begin(4 * k)
            memory = self.block.data()
        else:
            data = result(4 * k, cython.address(memory))
        out = cython.cast(ids_p, memory)
        for part in range(self.b.n_parts):
            k = end[self.b.parts[part + 1].first]
            ids = mt_batch_ids(cython.address(self.b), part)
            if ids != out + before:
                memcpy(out + before, ids, 4 * (k - before))
            before = k
        return data, ends

    def counts(self) -> list:
        """Return how many ids each text has."""
        self.check()
        return [self.b.texts[i].size for i in range(self.b.n_texts)]

    def end(self) -> None:
        """Let the workers be used again."""
        for worker in reversed(self.workers):  # the same thread takes the same one next time, which knows its texts
            self.encoder.give(worker)
        self.workers = []


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def helper(me: cython.p_void) -> cython.void:
    """What a thread runs that does not lead."""
    thread: cython.pointer(mt_thread) = cython.cast(cython.pointer(mt_thread), me)
    cython.cast(Batch, thread.batch).work(thread)


mt_pool_begin()
FORMS: dict[object, int] = {Batch.counts: COUNTS, Batch.lists: LISTS, Batch.ids: IDS}  # what each method needs
