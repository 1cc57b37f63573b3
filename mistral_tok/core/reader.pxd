from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from mistral_tok.core.fast cimport mt_kept, mt_text
from mistral_tok.core.tables cimport Tables
from mistral_tok.core.worker cimport Worker

# How far a text is encoded: a part between user-defined pieces, what of it is done, and the piece that follows or -1.
cdef struct Place:
    uint64_t start, size, done
    int mark

cdef int64_t recalled(Worker worker, const mt_kept *kept, int32_t head, int32_t tail, int64_t k) noexcept nogil

cdef class Reader:
    cdef Tables tables
    cdef int prefix
    cdef bint every
    cdef uint32_t *marks
    cdef int mark_count, mark_first

    cdef int64_t one(self, Worker worker, mt_text *text, int32_t head, int32_t tail, int64_t k) noexcept nogil
    cdef int64_t fresh(self, Worker worker, mt_text *text, int64_t k) noexcept nogil
    cdef void begin(self, const uint8_t *p, uint64_t n, Place *place) noexcept nogil
    cdef void next_span(self, const uint8_t *p, uint64_t n, Place *place) noexcept nogil
    cdef bint wants_prefix(self, const uint8_t *p, uint64_t n) noexcept nogil
    cdef int64_t advance(self, Worker worker, const uint8_t *p, uint64_t n, Place *place, int64_t limit, int64_t k) noexcept nogil
    cdef int find_mark(self, const uint8_t *p, uint64_t n, uint64_t *at) noexcept nogil
