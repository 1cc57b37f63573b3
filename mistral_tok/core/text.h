/* UTF-8 of a Python string that is mostly ASCII but not all, at the speed of a copy.
 *
 * Python makes UTF-8 a character at a time and keeps it in the string, which doubles the memory of a text that is encoded
 * once. For a text with few other characters that is a tenth of a first pass. Other texts are left to Python: there the
 * time is the same, and a string that is encoded again has its UTF-8 already. */
#ifndef MISTRAL_TOK_TEXT_H
#define MISTRAL_TOK_TEXT_H

#include "fast.h"

#define MT_SAMPLE 256 /* characters that are looked at */

/* A string: its characters, of 1 or 2 bytes each; or its UTF-8, of which `kind` is 0. */
typedef struct {
    const void *data;
    Py_ssize_t size;
    int kind;
} mt_text;

/* Is this string to be converted here? Then `text` says what it holds. */
static inline int mt_text_mostly_ascii(PyObject *held, mt_text *text) {
    const int kind = (int)PyUnicode_KIND(held);
    const Py_ssize_t size = PyUnicode_GET_LENGTH(held), seen = size < MT_SAMPLE ? size : MT_SAMPLE;
    Py_ssize_t others = 0;
    if (PyUnicode_IS_ASCII(held) || kind > 2 || ((PyCompactUnicodeObject *)held)->utf8 != NULL) return 0;
    text->data = PyUnicode_DATA(held);
    text->size = size;
    text->kind = kind;
    if (kind == 1)
        for (Py_ssize_t i = 0; i < seen; i++) others += ((const uint8_t *)text->data)[i] > 127;
    else
        for (Py_ssize_t i = 0; i < seen; i++) others += ((const uint16_t *)text->data)[i] > 127;
    return 16 * others <= seen;
}

/* Most bytes of its UTF-8, and what is written beyond. */
MT_INLINE uint64_t mt_text_room(const mt_text *text) { return (uint64_t)text->size * (text->kind + 1u) + 32; }

/* Write one character of up to two bytes; returns its size in UTF-8. Surrogates set `bad`. */
MT_INLINE uint32_t mt_text_put(uint32_t c, uint8_t *out, uint32_t *bad) {
    const uint32_t two = (0xC0 | c >> 6) | (0x80 | (c & 63)) << 8;
    const uint32_t three = (0xE0 | c >> 12) | (0x80 | (c >> 6 & 63)) << 8 | (0x80 | (c & 63)) << 16;
    const uint32_t word = c < 0x80 ? c : c < 0x800 ? two : three;
    *bad |= c - 0xD800 < 0x800;
    out[0] = (uint8_t)word, out[1] = (uint8_t)(word >> 8), out[2] = (uint8_t)(word >> 16);
    return 1u + (c >= 0x80) + (c >= 0x800);
}

/* Write UTF-8 and return its size; -1 for a string with half a surrogate pair. */
static inline int64_t mt_text_utf8(const mt_text *text, uint8_t *out) {
    const uint8_t *p = (const uint8_t *)text->data;
    const Py_ssize_t n = text->size;
    uint8_t *at = out;
    uint32_t bad = 0;
    for (Py_ssize_t i = 0; i < n;) {
        if (text->kind == 1) {
            for (; i + 8 <= n && (mt_load64(p + i) & 0x8080808080808080u) == 0; i += 8, at += 8) memcpy(at, p + i, 8);
            for (int j = 0; j < 8 && i < n; i++, j++) at += mt_text_put(p[i], at, &bad);
        } else {
            const uint16_t *q = (const uint16_t *)text->data;
            for (; i + 8 <= n; i += 8, at += 8) {
                uint64_t a = mt_load64((const uint8_t *)(q + i)), b = mt_load64((const uint8_t *)(q + i + 4));
                if ((a | b) & 0xFF80FF80FF80FF80u) break;
                for (int j = 0; j < 8; j++) at[j] = (uint8_t)q[i + j];
            }
            for (int j = 0; j < 8 && i < n; i++, j++) at += mt_text_put(q[i], at, &bad);
        }
    }
    return bad ? -1 : at - out;
}
#endif
