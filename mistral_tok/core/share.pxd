from libc.stdint cimport uint64_t
from mistral_tok.core.fast cimport mt_batch

cdef Py_ssize_t look_at_texts(mt_batch *b, list texts, Py_ssize_t start, bint strings, uint64_t times) except? -1
cdef Py_ssize_t look_at_lines(mt_batch *b, list texts, Py_ssize_t start, uint64_t times) except? -1
cdef void cut_parts(mt_batch *b, int threads) noexcept
