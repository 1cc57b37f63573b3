from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from mistral_tok.core.fast cimport mt_tables

cdef int64_t merge(const mt_tables *t, const uint8_t *p, uint64_t n, int32_t *out) noexcept nogil
