from libc.stdint cimport int32_t, uint32_t, uint64_t
from mistral_tok.core.pieces cimport Pieces, Text
from mistral_tok.core.surface cimport mt_plan
from mistral_tok.core.tables cimport Tables
from mistral_tok.core.unpack cimport Ids

cdef class Decoder:
    cdef Tables tables
    cdef readonly int strip
    cdef readonly bint joins, whole_runs, marked
    cdef bytes unknown
    cdef int limit
    cdef Pieces pieces

    cdef str composed(self, Ids ids, int special, bint strict)
    cdef object refused(self, int32_t id, Py_ssize_t place)
    cdef int piece(self, Text text, int32_t id, bint strip) except? -1

cdef class Composer:
    cdef Decoder by
    cdef Ids ids
    cdef mt_plan plan
    cdef int special
    cdef bint strict
    cdef bint open_           # a leading space of the next piece is to be dropped
    cdef Text run             # bytes that may be no characters of their own, until an id ends them
    cdef Text extra           # the characters of steps that are no ids
    cdef uint32_t top         # their bits
    cdef Py_ssize_t part      # the first of the ids whose bytes are decoded together with the present ones

    cdef int compose(self) except? -1
    cdef int begin(self, Py_ssize_t step) except? -1
    cdef Py_ssize_t odd(self, Py_ssize_t place) except? -1
    cdef int control(self, int32_t id, Py_ssize_t place) except? -1
    cdef int add(self, str text) except? -1
    cdef void step(self, Py_ssize_t count) noexcept
    cdef int settle(self, Py_ssize_t place) except? -1
    cdef int mend(self, Py_ssize_t place) except? -1
    cdef int refuse(self, Py_ssize_t place) except? -1
