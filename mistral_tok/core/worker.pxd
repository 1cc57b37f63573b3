from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from mistral_tok.core.fast cimport mt_buffer, mt_group, mt_memory, mt_tables, mt_texts

cdef class Worker:
    cdef object keep
    cdef const mt_tables *t
    cdef int scanner
    cdef bint cuts
    cdef mt_memory m
    cdef mt_texts texts
    cdef uint32_t *singles
    cdef mt_buffer text, utf8
    cdef int32_t *ids
    cdef uint64_t ids_room
    cdef int32_t *own_ids # while `ids` is lent
    cdef uint64_t own_room
    cdef bint lent

    cdef void lend(self, int32_t *ids, uint64_t room) noexcept nogil
    cdef bint regain(self) noexcept nogil
    cdef bint reserve(self, uint64_t ids) noexcept nogil
    cdef bint restart(self, uint64_t ids) noexcept nogil
    cdef int64_t encode(self, const uint8_t *p, uint64_t n, uint64_t *at, bint prefix, int64_t limit, int64_t k) noexcept nogil
    cdef int64_t encode_spans(self, const uint8_t *p, uint64_t n, uint64_t *ends, int64_t count, int64_t k) noexcept nogil
    cdef int64_t first(self, const uint8_t *p, uint64_t n, uint64_t room, int64_t k) noexcept nogil
    cdef int64_t alone(self, const uint8_t *p, uint64_t n, uint64_t *at, int64_t k) noexcept nogil
    cdef int64_t segments(self, const uint8_t *p, uint64_t *ends, int count, uint64_t at, uint64_t n, int64_t k) noexcept nogil
    cdef void look_up(self, mt_group *g, const uint8_t *p, uint64_t *ends, int count, uint64_t at, uint64_t n) noexcept nogil
    cdef int64_t copied(self, mt_group *g, const uint8_t *p, uint64_t *ends, int i, int count, uint64_t at, uint64_t n, int64_t k) noexcept nogil
    cdef int64_t segment(self, const uint8_t *p, uint64_t n, uint64_t room, int64_t k) noexcept nogil
    cdef int64_t miss(self, const uint8_t *p, uint64_t n, int64_t k) noexcept nogil
    cdef int64_t short_segment(self, const uint8_t *p, uint64_t n, uint64_t room, int64_t k) noexcept nogil
    cdef bint recall(self, const uint8_t *p, uint64_t n, uint64_t h, int64_t *k) noexcept nogil
    cdef int64_t long_segment(self, const uint8_t *p, uint64_t n, int64_t k) noexcept nogil
