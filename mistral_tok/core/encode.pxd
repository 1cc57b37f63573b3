from libc.stdint cimport int32_t, int64_t, uint8_t
from mistral_tok.core.fast cimport ids_p, mt_text
from mistral_tok.core.reader cimport Reader
from mistral_tok.core.spans cimport Spans
from mistral_tok.core.tables cimport Tables
from mistral_tok.core.worker cimport Worker

cdef enum:
    SLACK = 4096 # ids that a worker may reserve beyond those that there are

cdef int look(object held, mt_text *text) except? -1

cdef class Encoder:
    cdef Tables tables
    cdef int scanner
    cdef Reader reader
    cdef object splitter
    cdef list pool
    cdef bint cuts
    cdef bint together # short texts of a batch are looked up together
    cdef object table_bytes

    cdef tuple spanned(self, str text, ids_p ids, Py_ssize_t n, int head, int tail, Spans spans)
    cdef int64_t in_steps(self, Worker worker, str text, int head, int tail, list ids, bytearray data) except? -1
    cdef const uint8_t *ints(self) except *
    cdef Worker take(self)
    cdef void give(self, Worker worker)
    cdef int64_t append(self, Worker worker, str text, int32_t head, int32_t tail, int64_t k) except? -1
    cdef int fail(self, object held) except? -1
    cdef int64_t append_split(self, Worker worker, str text, int32_t head, int32_t tail, int64_t k) except? -1
    cdef int64_t put(self, Worker worker, int32_t token, int64_t k) except? -1
