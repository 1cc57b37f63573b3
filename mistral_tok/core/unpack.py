# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Ids out of whatever Python holds them in, checked."""

import operator

import cython
from cython.cimports.cpython.buffer import Py_buffer, PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cython.cimports.cpython.list import PyList_CheckExact
from cython.cimports.cpython.sequence import PySequence_Fast_ITEMS
from cython.cimports.cpython.tuple import PyTuple_CheckExact
from cython.cimports.libc.stdint import int64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.mistral_tok.core.fast import ids_p
from cython.cimports.mistral_tok.core.surface import mt_unpack, mt_unpack32, mt_unpack64


@cython.freelist(8)
@cython.cclass
class Ids:
    """Ids, every one at least 0 and below a limit. Behind them lies as much room again, for the steps of a plan."""

    def __dealloc__(self):
        free(self.data)

    @cython.cfunc
    @cython.exceptval(-1)
    def reserve(self, n: cython.Py_ssize_t) -> cython.int:
        free(self.data)
        self.n = n
        self.data = cython.cast(ids_p, malloc(8 * n + 8))
        if self.data == cython.NULL:
            raise MemoryError("No memory for ids.")
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def block(self, ids: object, limit: cython.int) -> cython.int:
        """Unpack a block of int32 or int64."""
        view: Py_buffer
        at: cython.Py_ssize_t
        PyObject_GetBuffer(ids, cython.address(view), PyBUF_SIMPLE)
        try:
            self.reserve(view.len // view.itemsize)
            if view.itemsize == 4:
                at = mt_unpack32(cython.cast(ids_p, view.buf), self.n, limit, self.data)
            else:
                at = mt_unpack64(cython.cast(cython.pointer(int64_t), view.buf), self.n, limit, self.data)
        finally:
            PyBuffer_Release(cython.address(view))
        if at < self.n:
            raise out_of_range(ids[at], at, limit)
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def general(self, items: tuple, limit: object) -> cython.int:
        """Unpack any integers, or raise for the first that is none or out of range."""
        i: cython.Py_ssize_t
        self.reserve(len(items))
        for i in range(self.n):
            value = index_of(items[i], i)
            if not 0 <= value < limit:
                raise out_of_range(value, i, limit)
            self.data[i] = value
        return 0


@cython.cfunc
def unpack(ids: object, limit: cython.int) -> Ids:
    """Take a list or tuple of integers, or an int32 or int64 buffer."""
    made: Ids = Ids.__new__(Ids)
    if PyList_CheckExact(ids) or PyTuple_CheckExact(ids):
        made.reserve(len(ids))
        # No Python code runs meanwhile that could change a list.
        if mt_unpack(PySequence_Fast_ITEMS(ids), made.n, limit, made.data) < made.n:
            made.general(tuple(ids), limit)
    elif isinstance(ids, (list, tuple)):
        made.general(tuple(ids), limit)
    else:
        made.block(ids, limit)
    return made


def index_of(item: object, place: int) -> int:
    """Return an id given as any integer type; nothing else is coerced."""
    if isinstance(item, bool) or not hasattr(item, "__index__"):
        raise TypeError(f"ids[{place}] is {item!r:.60} of type {type(item).__name__}; an id is an int.")
    return operator.index(item)


@cython.ccall
def out_of_range(value: object, place: object, limit: object) -> object:
    """Make the error for an id that the vocabulary does not have."""
    return ValueError(f"ids[{place}] is {value}; this vocabulary has the ids 0 to {limit - 1}.")
