# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Memory that results are written to: a bytearray, or where that would be large, a block of its own (see block.h)."""

import cython
from cython.cimports.cpython.buffer import PyBuffer_FillInfo
from cython.cimports.cpython.bytearray import PyByteArray_AS_STRING, PyByteArray_FromStringAndSize
from cython.cimports.libc.stdint import uint8_t


@cython.cclass
class Block:
    """Bytes that may be read and written, and are what they were before until they are written.

    Of `size` bytes about `used` will be needed, all where it is not given; those that are never written cost no memory.
    """

    def __cinit__(self, size: cython.Py_ssize_t, used: cython.Py_ssize_t = -1):
        if size < 0:
            raise ValueError(f"A block has at least 0 bytes, not {size}.")
        self.held = mt_block_take(size, used if 0 <= used < size else size)
        if self.held == cython.NULL:
            raise MemoryError(f"No memory for a result of {size} bytes.")
        self.size = size

    def __dealloc__(self):
        if self.held != cython.NULL:
            mt_block_give(self.held)

    def __len__(self) -> int:
        return self.size

    def __getbuffer__(self, buffer: cython.pointer(Py_buffer), flags: cython.int):
        PyBuffer_FillInfo(buffer, self, self.data(), self.size, False, flags)

    @cython.cfunc
    @cython.exceptval(check=False)
    def data(self) -> cython.pointer(uint8_t):
        return mt_block_data(self.held)

    @cython.cfunc
    def begin(self, size: cython.Py_ssize_t) -> object:
        """Return the first bytes."""
        return memoryview(self)[:size]


@cython.cfunc
def result(size: cython.Py_ssize_t, data: cython.pointer(cython.pointer(uint8_t))) -> object:
    """Return memory for `size` bytes, all of which are to be written, and where it lies."""
    if size < BLOCK_LEAST:
        small: bytearray = PyByteArray_FromStringAndSize(cython.NULL, size)
        data[0] = cython.cast(cython.pointer(uint8_t), PyByteArray_AS_STRING(small))
        return small
    large: Block = Block(size)
    data[0] = large.data()
    return memoryview(large)
