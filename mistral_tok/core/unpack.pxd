from libc.stdint cimport int32_t

cdef class Ids:
    cdef int32_t *data
    cdef Py_ssize_t n
    cdef int reserve(self, Py_ssize_t n) except? -1
    cdef int general(self, tuple items, object limit) except? -1
    cdef int block(self, object ids, int limit) except? -1

cdef Ids unpack(object ids, int limit)
cpdef object out_of_range(object value, object place, object limit)
