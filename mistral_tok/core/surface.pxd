# Declarations of surface.h for the modules that turn ids into text.
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from cpython.object cimport PyObject

cdef extern from "surface.h":
    ctypedef struct mt_surface:
        uint8_t b[16]

    ctypedef struct mt_plan:
        int32_t *steps
        Py_ssize_t n_steps
        Py_ssize_t length
        uint32_t flags

    ctypedef mt_surface *surface_p "mt_surface *"
    int MT_NOT_ASCII
    int MT_TWO_BYTES
    int MT_LONG
    int MT_ODD
    int MT_UNITS
    uint32_t mt_valid_size(const uint8_t *p, uint64_t room)
    Py_ssize_t mt_unpack(PyObject **items, Py_ssize_t n, uint32_t limit, int32_t *out)
    Py_ssize_t mt_unpack32(const int32_t *ids, Py_ssize_t n, uint32_t limit, int32_t *out)
    Py_ssize_t mt_unpack64(const int64_t *ids, Py_ssize_t n, uint32_t limit, int32_t *out)
    Py_ssize_t mt_measure(const mt_surface *table, const int32_t *ids, Py_ssize_t i, Py_ssize_t n, mt_plan *plan)
    Py_ssize_t mt_strip(const mt_surface *table, const uint8_t *rest, mt_plan *plan, Py_ssize_t step, uint32_t *extra)
    object mt_string(const mt_surface *table, const uint8_t *rest, const mt_plan *plan, const uint32_t *extra, uint32_t top)
