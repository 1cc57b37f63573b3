from libc.stdint cimport uint32_t
from mistral_tok.core.fast cimport mt_tables

cdef class Tables:
    cdef mt_tables t
    cdef object keep
    cdef uint32_t *memory
