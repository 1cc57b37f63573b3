cimport cython
from libc.stdint cimport uint8_t

cdef enum:
    BLOCK_LEAST = 1 << 18 # bytes of the smallest block that costs little beside the ids in it

cdef extern from "block.h":
    ctypedef struct mt_block:
        pass
    mt_block *mt_block_take(size_t size, size_t used)
    void mt_block_give(mt_block *b)
    uint8_t *mt_block_data(mt_block *b)

@cython.final
@cython.freelist(64)
cdef class Small:
    cdef uint8_t *held
    cdef Py_ssize_t size

cdef class Block:
    cdef mt_block *held
    cdef Py_ssize_t size
    cdef uint8_t *data(self) noexcept
    cdef object begin(self, Py_ssize_t size)

cdef object result(Py_ssize_t size, uint8_t **data)
