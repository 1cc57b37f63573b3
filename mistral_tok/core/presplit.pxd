from libc.stdint cimport int32_t, uint8_t, uint64_t
from mistral_tok.core.fast cimport mt_tables

cdef int cut(const mt_tables *t, const uint8_t *p, uint64_t n, uint64_t *at, uint64_t *ends, int room) noexcept nogil
cdef int split_tekken(
    const mt_tables *t, const uint8_t *p, uint64_t n, uint64_t *at, uint64_t *ends, int room, bint cuts
) noexcept nogil
