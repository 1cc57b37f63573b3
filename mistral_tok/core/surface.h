/* Ids to strings without passing through UTF-8: each piece lies in a slot of 16 bytes the way Python's strings hold it,
 * and is written by one store of the whole slot, whose rest the next piece overwrites. */
#ifndef MISTRAL_TOK_SURFACE_H
#define MISTRAL_TOK_SURFACE_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "fast.h"

/* The characters of a piece, as bytes where all are below U+0100 and as two bytes each otherwise. The last byte is the
 * shape: the number of characters in its low four bits, and flags. A long piece has its place in `rest` and its number
 * of characters as two uint32 instead; an odd one (a control id, the unknown piece, bytes that are no characters of
 * their own, characters beyond U+FFFF) is not written from here. */
typedef struct {
    uint8_t b[16];
} mt_surface;

#define MT_NOT_ASCII 0x10
#define MT_TWO_BYTES 0x20
#define MT_LONG 0x40
#define MT_ODD 0x80
#define MT_UNITS 0x0F

/* What a text will be: its characters, the flags of all its pieces, and the steps that write it: an id, or -1 minus
 * the number of characters that are taken from a list instead. */
typedef struct {
    int32_t *steps;
    Py_ssize_t n_steps, length;
    uint32_t flags;
} mt_plan;

/* The size of the well-formed character at `p`, of which `room` bytes may be read, or 0. */
static inline uint32_t mt_valid_size(const uint8_t *p, uint64_t room) {
    uint32_t a = p[0], size = a < 0x80 ? 1 : a < 0xE0 ? 2 : a < 0xF0 ? 3 : 4, same;
    if (size == 1) return 1;
    if (a < 0xC2 || a > 0xF4 || size > room) return 0;
    for (uint32_t i = 1; i < size; i++) {
        if ((p[i] & 0xC0) != 0x80) return 0;
    }
    uint32_t c = mt_char(p, &same);
    if (size == 3 && (c < 0x800 || (c >= 0xD800 && c < 0xE000))) return 0;
    return size == 4 && (c < 0x10000 || c > 0x10FFFF) ? 0 : size;
}

static inline uint32_t mt_load32(const uint8_t *p) { uint32_t v; memcpy(&v, p, 4); return v; }

/* An int of one digit as it is, anything else as a number that is no id. */
static inline int64_t mt_small_int(PyObject *o) {
    if (!mt_likely(PyLong_CheckExact(o))) return -1;
#if defined(PYPY_VERSION) || defined(GRAALVM_PYTHON)
    int over;
    return PyLong_AsLongLongAndOverflow(o, &over);
#elif PY_VERSION_HEX >= 0x030C0000
    return PyUnstable_Long_IsCompact((PyLongObject *)o) ? PyUnstable_Long_CompactValue((PyLongObject *)o) : -1;
#else
    Py_ssize_t size = Py_SIZE(o);
    return (size_t)size <= 1 ? (int64_t)(size * ((PyLongObject *)o)->ob_digit[0]) : -1;
#endif
}

static inline Py_ssize_t mt_unpack_part(PyObject **items, Py_ssize_t i, Py_ssize_t stop, Py_ssize_t ahead,
                                        uint32_t limit, int32_t *out) {
    for (; i < stop; i++) {
        mt_prefetch(items[i + ahead]);
        int64_t value = mt_small_int(items[i]);
        if (!mt_likely((uint64_t)value < limit)) break;
        out[i] = (int32_t)value;
    }
    return i;
}

/* Copies ids from int objects as far as they are plain ints below `limit`, and says how far. The objects lie anywhere
 * (those of an encoded text in one large table), so they are asked for ahead. */
static inline Py_ssize_t mt_unpack(PyObject **items, Py_ssize_t n, uint32_t limit, int32_t *out) {
    Py_ssize_t most = n > 24 ? n - 24 : 0, i = mt_unpack_part(items, 0, most, 24, limit, out);
    return i < most ? i : mt_unpack_part(items, i, n, 0, limit, out);
}

/* The same from blocks. All are copied before anything is said of them, for loops without a way out are vectorized. */
static inline Py_ssize_t mt_unpack32(const int32_t *ids, Py_ssize_t n, uint32_t limit, int32_t *out) {
    uint32_t most = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        out[i] = ids[i];
        most = (uint32_t)ids[i] > most ? (uint32_t)ids[i] : most;
    }
    if (most < limit) return n;
    Py_ssize_t i = 0;
    while ((uint32_t)ids[i] < limit) i++;
    return i;
}

static inline Py_ssize_t mt_unpack64(const int64_t *ids, Py_ssize_t n, uint32_t limit, int32_t *out) {
    int bad = 0;
    for (Py_ssize_t i = 0; i < n; i++) {
        out[i] = (int32_t)ids[i];
        bad |= (uint64_t)ids[i] >= limit;
    }
    if (!bad) return n;
    Py_ssize_t i = 0;
    while ((uint64_t)ids[i] < limit) i++;
    return i;
}

/* Adds ids from `i` on to the plan up to the next odd one; returns the place of that. */
static inline Py_ssize_t mt_measure(const mt_surface *table, const int32_t *ids, Py_ssize_t i, Py_ssize_t n,
                                    mt_plan *plan) {
    int32_t *steps = plan->steps + plan->n_steps - i;
    Py_ssize_t start = i, length = 0;
    uint32_t flags = 0;
    for (; i < n; i++) {
        const mt_surface *s = table + ids[i];
        uint32_t shape = s->b[15];
        if (!mt_likely(shape < MT_LONG)) {
            if (shape & MT_ODD) break;
            length += mt_load32(s->b + 4);
        }
        length += shape & MT_UNITS;
        flags |= shape;
        steps[i] = ids[i];
    }
    plan->n_steps += i - start;
    plan->length += length;
    plan->flags |= flags;
    return i;
}

/* Drops the space that the piece of a step starts with: the rest of the piece goes to `extra`, which has room for it.
 * Returns how many characters that are. */
static inline Py_ssize_t mt_strip(const mt_surface *table, const uint8_t *rest, mt_plan *plan, Py_ssize_t step,
                                  uint32_t *extra) {
    const uint8_t *b = table[plan->steps[step]].b;
    uint32_t shape = b[15], units = shape & MT_UNITS, wide = (shape & MT_TWO_BYTES) != 0;
    if (shape & MT_LONG) {
        units = mt_load32(b + 4);
        b = rest + mt_load32(b);
    }
    for (uint32_t k = 0; k < units; k++) {
        uint16_t c = b[k];
        if (wide) memcpy(&c, b + 2 * k, 2);
        if (k > 0) extra[k - 1] = c;
        else if (c != ' ') return 0;
    }
    plan->steps[step] = -(int32_t)units;
    plan->length -= 1;
    return (Py_ssize_t)units - 1;
}

/* The three widths of a string. A slot is written whole while there is room for one. */
static inline void mt_fill1(const mt_surface *table, const uint8_t *rest, const mt_plan *plan, const uint32_t *extra,
                            uint8_t *out) {
    const uint8_t *end = out + plan->length;
    const int32_t *steps = plan->steps, *last = steps + plan->n_steps;
    for (; steps < last; steps++) {
        int32_t step = *steps;
        if (!mt_likely(step >= 0)) {
            for (; step < -1; step++) *out++ = (uint8_t)*extra++;
            continue;
        }
        const uint8_t *b = table[step].b;
        uint32_t shape = b[15], units = shape & MT_UNITS;
        if (mt_likely(shape < MT_LONG && end - out >= 16)) {
            memcpy(out, b, 16);
        } else {
            if (shape & MT_LONG) {
                units = mt_load32(b + 4);
                b = rest + mt_load32(b);
            }
            memcpy(out, b, units);
        }
        out += units;
    }
}

static inline void mt_widen2(const uint8_t *b, uint32_t units, uint16_t *out) {
    for (uint32_t k = 0; k < units; k++) out[k] = b[k];
}

/* A whole slot as characters of two bytes; `out` has room for 16. Pieces of one and of two bytes take turns in texts
 * beyond Latin, which is why the choice between them is no branch where that can be helped. */
static inline void mt_slot2(const uint8_t *b, uint32_t shape, uint16_t *out) {
#if defined(__SSE2__)
    __m128i slot = _mm_loadu_si128((const __m128i *)b);
    __m128i two = _mm_set1_epi32(-(int32_t)(shape >> 5 & 1));
    __m128i low = _mm_unpacklo_epi8(slot, _mm_setzero_si128());
    low = _mm_xor_si128(low, _mm_and_si128(two, _mm_xor_si128(low, slot)));
    _mm_storeu_si128((__m128i *)out, low);
    _mm_storeu_si128((__m128i *)(out + 8), _mm_unpackhi_epi8(slot, _mm_setzero_si128()));
#else
    uint8_t whole[16]; /* of its own, so that compilers see that `out` does not change it */
    memcpy(whole, b, 16);
    if (shape & MT_TWO_BYTES) memcpy(out, whole, 16);
    else mt_widen2(whole, 16, out);
#endif
}

static inline void mt_fill2(const mt_surface *table, const uint8_t *rest, const mt_plan *plan, const uint32_t *extra,
                            uint16_t *out) {
    const uint16_t *end = out + plan->length;
    const int32_t *steps = plan->steps, *last = steps + plan->n_steps;
    for (; steps < last; steps++) {
        int32_t step = *steps;
        if (!mt_likely(step >= 0)) {
            for (; step < -1; step++) *out++ = (uint16_t)*extra++;
            continue;
        }
        const uint8_t *b = table[step].b;
        uint32_t shape = b[15], units = shape & MT_UNITS;
        if (mt_likely(shape < MT_LONG && end - out >= 16)) {
            mt_slot2(b, shape, out);
        } else {
            if (shape & MT_LONG) {
                units = mt_load32(b + 4);
                b = rest + mt_load32(b);
            }
            if (shape & MT_TWO_BYTES) memcpy(out, b, 2 * (size_t)units);
            else mt_widen2(b, units, out);
        }
        out += units;
    }
}

static inline void mt_widen4(const uint16_t *from, uint32_t units, uint32_t *out) {
    for (uint32_t k = 0; k < units; k++) out[k] = from[k];
}

static inline void mt_fill4(const mt_surface *table, const uint8_t *rest, const mt_plan *plan, const uint32_t *extra,
                            uint32_t *out) {
    const uint32_t *end = out + plan->length;
    const int32_t *steps = plan->steps, *last = steps + plan->n_steps;
    for (; steps < last; steps++) {
        int32_t step = *steps;
        if (!mt_likely(step >= 0)) {
            for (; step < -1; step++) *out++ = *extra++;
            continue;
        }
        const uint8_t *b = table[step].b;
        uint32_t shape = b[15], units = shape & MT_UNITS;
        uint16_t whole[16];
        if (mt_likely(shape < MT_LONG && end - out >= 16)) {
            mt_slot2(b, shape, whole);
            mt_widen4(whole, 16, out);
            out += units;
            continue;
        }
        if (shape & MT_LONG) {
            units = mt_load32(b + 4);
            b = rest + mt_load32(b);
        }
        for (uint32_t k = 0; k < units; k++) {
            if (shape & MT_TWO_BYTES) memcpy(whole, b + 2 * k, 2);
            else whole[0] = b[k];
            *out++ = whole[0];
        }
    }
}

/* The string of a plan; `top` has the bits of all characters in `extra`. */
static inline PyObject *mt_string(const mt_surface *table, const uint8_t *rest, const mt_plan *plan,
                                  const uint32_t *extra, uint32_t top) {
    Py_UCS4 most = top > 0xFFFF                                     ? 0x10FFFF
                   : (top > 0xFF || (plan->flags & MT_TWO_BYTES))   ? 0xFFFF
                   : (top > 0x7F || (plan->flags & MT_NOT_ASCII))   ? 0xFF
                                                                    : 0x7F;
    PyObject *made = PyUnicode_New(plan->length, most);
    if (made == NULL || plan->length == 0) return made;
    if (most < 0x100) mt_fill1(table, rest, plan, extra, PyUnicode_1BYTE_DATA(made));
    else if (most == 0xFFFF) mt_fill2(table, rest, plan, extra, PyUnicode_2BYTE_DATA(made));
    else mt_fill4(table, rest, plan, extra, PyUnicode_4BYTE_DATA(made));
    return made;
}
#endif
