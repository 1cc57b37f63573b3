from libc.stdint cimport int32_t, uint8_t, uint32_t
from mistral_tok.core.fast cimport ids_p
from mistral_tok.core.tables cimport Tables

cdef class Spans:
    cdef Tables tables
    cdef int prefix
    cdef bint every
    cdef uint8_t *steps # of each id: twice the characters that it begins, and 1 where it begins inside one

    cdef int pairs(self, str text, ids_p ids, Py_ssize_t n, ids_p out, bint head, bint tail) except? -1
    cdef uint32_t begun(self, uint32_t id) noexcept
    cdef int fill(self, str text, ids_p ids, Py_ssize_t n, ids_p out) except? -1
    cdef int32_t walk(self, ids_p ids, Py_ssize_t start, Py_ssize_t stop, int32_t chars, ids_p out) noexcept
    cdef Py_ssize_t led(self, ids_p ids, Py_ssize_t i, Py_ssize_t stop, int32_t *chars, ids_p out) noexcept
    cdef Py_ssize_t after_mark(self, ids_p ids, Py_ssize_t i, Py_ssize_t n) noexcept
