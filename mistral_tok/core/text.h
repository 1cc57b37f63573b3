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
    int kind;
    Py_ssize_t size, seen, others = 0;
#if PY_VERSION_HEX < 0x030C0000
    if (!PyUnicode_IS_READY(held)) return 0;
#endif
    kind = (int)PyUnicode_KIND(held);
    size = PyUnicode_GET_LENGTH(held);
    seen = size < MT_SAMPLE ? size : MT_SAMPLE;
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

/* Copy sixteen characters as if all were ASCII, and return which are not. */
#if defined(MT_X86)
MT_INLINE uint32_t mt_text_block(const void *from, int kind, uint8_t *out) {
    const __m128i a = _mm_loadu_si128((const __m128i *)from);
    if (kind == 1) {
        _mm_storeu_si128((__m128i *)out, a);
        return (uint32_t)_mm_movemask_epi8(a);
    }
    const __m128i b = _mm_loadu_si128((const __m128i *)from + 1), high = _mm_set1_epi16((short)0xFF80), zero = _mm_setzero_si128();
    const __m128i plain = _mm_packs_epi16(_mm_cmpeq_epi16(_mm_and_si128(a, high), zero), _mm_cmpeq_epi16(_mm_and_si128(b, high), zero));
    _mm_storeu_si128((__m128i *)out, _mm_packus_epi16(a, b));
    return ~(uint32_t)_mm_movemask_epi8(plain) & 0xFFFFu;
}
#else
MT_INLINE uint32_t mt_text_block(const void *from, int kind, uint8_t *out) {
    uint32_t others = 0;
    for (uint32_t i = 0; i < 16; i++) {
        const uint32_t c = kind == 1 ? ((const uint8_t *)from)[i] : ((const uint16_t *)from)[i];
        out[i] = (uint8_t)c;
        others |= (uint32_t)(c > 127) << i;
    }
    return others;
}
#endif

/* Write UTF-8 and return its size; -1 for a string with half a surrogate pair. */
static inline int64_t mt_text_utf8(const mt_text *text, uint8_t *out) {
    const uint8_t *p = (const uint8_t *)text->data;
    const Py_ssize_t n = text->size, kind = text->kind;
    uint8_t *at = out;
    uint32_t bad = 0;
    for (Py_ssize_t i = 0; i < n;) {
        if (i + 16 <= n) {
            const uint32_t others = kind == 1 ? mt_text_block(p + i, 1, at) : mt_text_block(p + 2 * i, 2, at);
            const Py_ssize_t plain = (Py_ssize_t)mt_trailing(others | 1u << 16);
            i += plain, at += plain;
            if (plain == 16) continue;
        }
        at += mt_text_put(kind == 1 ? p[i] : ((const uint16_t *)(const void *)p)[i], at, &bad);
        i++;
    }
    return bad ? -1 : at - out;
}
#endif
