from libc.stdint cimport int32_t, int64_t, uint64_t
from mistral_tok.core.block cimport Block
from mistral_tok.core.encode cimport Encoder
from mistral_tok.core.fast cimport mt_batch
from mistral_tok.core.worker cimport Worker

cdef class Batch:
    cdef Encoder encoder
    cdef list texts, workers, rows
    cdef readonly Py_ssize_t start, stop
    cdef int32_t head, tail
    cdef bint strings
    cdef int form
    cdef Block block
    cdef uint64_t room
    cdef int64_t total # characters, or bytes where they are known: about four for each id
    cdef int64_t n_listed # parts of which there are lists
    cdef mt_batch b

    cdef int split(self, int64_t parts) except? -1
    cdef Worker begun(self)
    cdef Worker direct(self)
    cdef int64_t part(self, Worker worker, int64_t part, int64_t k) noexcept nogil
    cdef int listed(self) except? -1
    cdef int check(self) except? -1
