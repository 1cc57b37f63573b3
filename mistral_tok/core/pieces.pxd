from libc.stdint cimport uint8_t, uint32_t, uint64_t
from mistral_tok.core.surface cimport mt_surface
from mistral_tok.core.tables cimport Tables

cdef class Text:
    cdef uint8_t *data
    cdef uint64_t used, room
    cdef int grow(self, uint64_t need) except? -1
    cdef int add(self, const uint8_t *p, uint64_t n) except? -1
    cdef int add_char(self, uint32_t c) except? -1

cdef class Pieces:
    cdef mt_surface *slots
    cdef void *block
    cdef size_t size
    cdef Text rest
    cdef int fill(self, Tables tables, bint whole_runs) except? -1
    cdef int put(self, mt_surface *slot, const uint8_t *p, uint32_t n) except? -1
