from libc.stdint cimport int32_t, int64_t, uint64_t
from mistral_tok.core.block cimport Block
from mistral_tok.core.encode cimport Encoder
from mistral_tok.core.fast cimport mt_batch, mt_thread
from mistral_tok.core.worker cimport Worker

cdef extern from "pool.h":
    void mt_pool_begin()
    bint mt_pool_call(void (*call)(void *) noexcept nogil, void *given)

cdef class Batch:
    cdef Encoder encoder
    cdef list texts, workers, rows
    cdef readonly Py_ssize_t start, stop
    cdef int32_t head, tail
    cdef bint strings, lines_of
    cdef int form
    cdef Block block
    cdef int64_t others # threads that were started
    cdef int64_t n_listed # parts of the log of which there are lists
    cdef mt_batch b

    cdef int split(self) except? -1
    cdef Worker begun(self)
    cdef int clear(self, Worker worker) except? -1
    cdef int begin(self, int64_t threads) except? -1
    cdef int64_t part(self, Worker worker, int64_t part, int64_t k) noexcept nogil
    cdef void work(self, mt_thread *me) noexcept nogil
    cdef int lead(self) except? -1
    cdef int64_t step(self, Worker worker, int64_t *after, int64_t *k) noexcept nogil
    cdef int wait(self) except? -1
    cdef int listed(self, int64_t part) except? -1
    cdef int others_listed(self) except? -1
    cdef int check(self) except? -1
