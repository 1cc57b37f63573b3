# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Ids out of whatever Python holds them in, checked."""

import operator

import cython
from cython.cimports.cpython.list import PyList_CheckExact
from cython.cimports.cpython.sequence import PySequence_Fast_ITEMS
from cython.cimports.cpython.tuple import PyTuple_CheckExact
from cython.cimports.libc.stdint import int32_t, int64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.mistral_tok.core.fast import ids_p
from cython.cimports.mistral_tok.core.surface import mt_unpack


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
    def narrow(self, ids: object, limit: cython.int) -> cython.int:
        """Unpack an int32 buffer."""
        view: cython.const[int32_t][::1] = ids
        i: cython.Py_ssize_t
        self.reserve(view.shape[0])
        for i in range(self.n):
            if not 0 <= view[i] < limit:
                raise out_of_range(view[i], i, limit)
            self.data[i] = view[i]
        return 0

    @cython.cfunc
    @cython.exceptval(-1)
    def wide(self, ids: object, limit: cython.int) -> cython.int:
        """Unpack an int64 buffer."""
        view: cython.const[int64_t][::1] = ids
        i: cython.Py_ssize_t
        self.reserve(view.shape[0])
        for i in range(self.n):
            if not 0 <= view[i] < limit:
                raise out_of_range(view[i], i, limit)
            self.data[i] = cython.cast(int32_t, view[i])
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
    elif ids.itemsize == 4:
        made.narrow(ids, limit)
    else:
        made.wide(ids, limit)
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
