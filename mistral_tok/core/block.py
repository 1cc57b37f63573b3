# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Memory that results are written to: none that can be resized, for an array that is made of it does not know."""

import cython
from cython.cimports.cpython.buffer import PyBuffer_FillInfo
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.libc.stdlib import free, malloc


@cython.cclass
class Small:
    """Bytes of a small result; made by `result`."""

    def __cinit__(self):
        self.held = cython.NULL
        self.size = 0

    def __dealloc__(self):
        free(self.held)

    def __len__(self) -> int:
        return self.size

    def __getbuffer__(self, buffer: cython.pointer(Py_buffer), flags: cython.int):
        PyBuffer_FillInfo(buffer, self, self.held, self.size, False, flags)


@cython.cclass
class Block:
    """Memory of a large result (see block.h): bytes that may be read and written.

    They are what they were before until they are written. Of `size` bytes about `used` will be needed, all where
    it is not given; those that are never written cost no memory.
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
        small: Small = Small.__new__(Small)
        small.held = cython.cast(cython.pointer(uint8_t), malloc(max(size, 1)))
        if small.held == cython.NULL:
            raise MemoryError(f"No memory for a result of {size} bytes.")
        small.size = size
        data[0] = small.held
        return small
    large: Block = Block(size)
    data[0] = large.data()
    return memoryview(large)
