/* Lists of ids without reading or counting a single int object.
 *
 * The int objects of all ids lie side by side in memory that is never given back, 32 bytes each, and never die: so the
 * object of an id is found by arithmetic, and making a list is writing its pointers. (Else each id costs a cache line of
 * four megabytes of objects, whose references are counted with the interpreter lock.) Objects are copies of Python's own,
 * as far as they have one digit. From Python 3.12 on an immortal object has a count of its own; before, they begin with a
 * count that would take ten thousand years of decoding to use up. */
#ifndef MISTRAL_TOK_INTS_H
#define MISTRAL_TOK_INTS_H

#include "fast.h"

#define MT_INT 32 /* bytes from one object to the next */
#if PY_VERSION_HEX >= 0x030C0000
#define MT_FOREVER UINT32_MAX
#else
#define MT_FOREVER (PY_SSIZE_T_MAX >> 2)
#endif

typedef char mt_int_fits[sizeof(PyLongObject) <= MT_INT ? 1 : -1];

/* The objects of 0 up to `most`: of all tokenizers, made again only for one with a larger vocabulary. NULL with an error set. */
static inline const uint8_t *mt_ints(Py_ssize_t most) {
    static uint8_t *made = NULL;
    static Py_ssize_t size = 0;
    uint8_t *objects;
    void *block;
    const size_t one = (size_t)(PyLong_Type.tp_basicsize + PyLong_Type.tp_itemsize); /* an int of one digit */
    if (most <= size) return made;
    objects = (uint8_t *)mt_reserve((size_t)most * MT_INT, &block);
    if (objects == NULL) {
        PyErr_NoMemory();
        return NULL;
    }
    for (Py_ssize_t i = 0; i < most; i++) {
        PyObject *copy = (PyObject *)(void *)(objects + MT_INT * i), *own = PyLong_FromSsize_t(i);
        if (own == NULL) {
            mt_release(block, (size_t)most * MT_INT);
            return NULL;
        }
        memcpy(copy, own, one);
        Py_DECREF(own);
#if defined(Py_GIL_DISABLED)
        copy->ob_tid = 0;
        copy->ob_ref_local = UINT32_MAX;
        copy->ob_ref_shared = 0;
#else
        Py_SET_REFCNT(copy, (Py_ssize_t)MT_FOREVER);
#endif
    }
    made = objects;
    size = most;
    return made;
}

/* A list with room for `n` objects, of which the garbage collector does not know. Ints refer to nothing, so there is nothing to
 * find, and looking took as long as encoding: each collection visits all ids of the lists that were made since the last one, and
 * those of all lists whenever a quarter of them is new. What it means: a list to which somebody adds an object that leads back to
 * that list is not freed with it. */
static inline PyObject *mt_list_room(Py_ssize_t n) {
#if defined(Py_GIL_DISABLED)
    PyObject *list = PyList_New(n);
    if (list != NULL) PyObject_GC_UnTrack(list);
    return list;
#else
    PyObject *list = PyList_New(0), **items;
    if (list == NULL) return list;
    PyObject_GC_UnTrack(list);
    if (n == 0) return list;
    items = (PyObject **)PyMem_Malloc((size_t)n * sizeof(PyObject *));
    if (items == NULL) {
        Py_DECREF(list);
        return PyErr_NoMemory();
    }
    mt_huge(items, (size_t)n * sizeof(PyObject *));
    ((PyListObject *)list)->ob_item = items;
    ((PyListObject *)list)->allocated = n;
    return list;
#endif
}

MT_INLINE void mt_list_put(PyObject **out, const uint8_t *ints, const int32_t *ids, Py_ssize_t n) {
    for (Py_ssize_t i = 0; i < n; i++) out[i] = (PyObject *)(void *)(uintptr_t)(ints + (size_t)MT_INT * (uint32_t)ids[i]);
}

/* Fill it, which needs no lock: nobody else has it yet. */
static inline void mt_list_fill(PyObject *list, const uint8_t *ints, const int32_t *ids, Py_ssize_t n) {
    mt_list_put(((PyListObject *)list)->ob_item, ints, ids, n);
#if !defined(Py_GIL_DISABLED)
    Py_SET_SIZE((PyVarObject *)list, n);
#endif
}

/* Add the ids' objects to a list that nobody else has yet, which will have about `expected` in the end: memory that grew in
 * small steps would be copied again and again, and each time its pages are new. -1 with an error set. */
static inline int mt_list_extend(PyObject *list, const uint8_t *ints, const int32_t *ids, Py_ssize_t n, Py_ssize_t expected) {
    const Py_ssize_t size = PyList_GET_SIZE(list);
#if defined(Py_GIL_DISABLED)
    PyObject *more = PyList_New(n);
    int failed;
    (void)expected;
    if (more == NULL) return -1;
    mt_list_fill(more, ints, ids, n);
    failed = PyList_SetSlice(list, size, size, more);
    Py_DECREF(more);
    return failed;
#else
    PyListObject *l = (PyListObject *)list;
    if (size + n > l->allocated) {
        const Py_ssize_t least = size + n + (size + n) / 8;
        const size_t room = (size_t)(least > expected ? least : expected);
        PyObject **items = (PyObject **)PyMem_Realloc(l->ob_item, room * sizeof(PyObject *));
        if (items == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        mt_huge(items + size, (room - (size_t)size) * sizeof(PyObject *));
        l->ob_item = items;
        l->allocated = (Py_ssize_t)room;
    }
    mt_list_put(l->ob_item + size, ints, ids, n);
    Py_SET_SIZE((PyVarObject *)list, size + n);
    return 0;
#endif
}

/* Give back what a list that nobody else has yet did not need. */
static inline void mt_list_fit(PyObject *list) {
#if defined(Py_GIL_DISABLED)
    (void)list;
#else
    PyListObject *l = (PyListObject *)list;
    const Py_ssize_t size = PyList_GET_SIZE(list);
    PyObject **items;
    if (size == 0 || size == l->allocated) return;
    items = (PyObject **)PyMem_Realloc(l->ob_item, (size_t)size * sizeof(PyObject *));
    if (items == NULL) return;
    l->ob_item = items;
    l->allocated = size;
#endif
}

/* A list of the ids' objects. */
static inline PyObject *mt_list(const uint8_t *ints, const int32_t *ids, Py_ssize_t n) {
    PyObject *list = mt_list_room(n);
    if (list != NULL) mt_list_fill(list, ints, ids, n);
    return list;
}
#endif
