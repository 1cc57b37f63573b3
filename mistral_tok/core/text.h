/* UTF-8 of a Python string that is not all ASCII, several characters at a time.
 *
 * Python makes it a character at a time and keeps it in the string, which doubles the memory of a text that is encoded
 * once. Only short strings are left to it: they come back more often, and are faster then. */
#ifndef MISTRAL_TOK_TEXT_H
#define MISTRAL_TOK_TEXT_H

#include "fast.h"

#define MT_TEXT_SHORT 32 /* characters up to which Python's UTF-8 is taken */

/* A string: its characters, of 1, 2 or 4 bytes each; or its UTF-8, of which `kind` is 0. */
typedef struct {
    const void *data;
    Py_ssize_t size;
    int kind;
} mt_text;

/* Is this string to be converted here, for there is no UTF-8 of it? Then `text` says what it holds. */
static inline int mt_text_look(PyObject *held, mt_text *text) {
#if PY_VERSION_HEX < 0x030C0000
    if (!PyUnicode_IS_READY(held)) return 0;
#endif
    if (PyUnicode_IS_ASCII(held) || PyUnicode_GET_LENGTH(held) <= MT_TEXT_SHORT) return 0;
    if (((PyCompactUnicodeObject *)held)->utf8 != NULL) return 0;
    text->data = PyUnicode_DATA(held);
    text->size = PyUnicode_GET_LENGTH(held);
    text->kind = (int)PyUnicode_KIND(held);
    return 1;
}

/* Most bytes of its UTF-8, and what is written beyond. */
MT_INLINE uint64_t mt_text_room(const mt_text *text) { return (uint64_t)text->size * (text->kind == 4 ? 4u : text->kind + 1u) + 32; }

/* The character at a place. */
MT_INLINE uint32_t mt_text_at(const void *from, int kind, Py_ssize_t i) {
    return kind == 1 ? ((const uint8_t *)from)[i] : kind == 2 ? ((const uint16_t *)from)[i] : ((const uint32_t *)from)[i];
}

/* Write four bytes, the least first, the last of which may be overwritten by what follows. */
MT_INLINE void mt_text_put_word(uint32_t word, uint8_t *out) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
    memcpy(out, &word, 4);
#else
    for (int i = 0; i < 4; i++) out[i] = (uint8_t)(word >> 8 * i);
#endif
}

/* Write a character of up to two bytes in a string, without a branch; returns its size. Surrogates set `bad`. */
MT_INLINE uint32_t mt_text_put(uint32_t c, uint8_t *out, uint32_t *bad) {
    const uint32_t two = (0xC0 | c >> 6) | (0x80 | (c & 63)) << 8;
    const uint32_t three = (0xE0 | c >> 12) | (0x80 | (c >> 6 & 63)) << 8 | (0x80 | (c & 63)) << 16;
    const uint32_t over1 = 0u - (uint32_t)(c >= 0x80), over2 = 0u - (uint32_t)(c >= 0x800);
    *bad |= c - 0xD800 < 0x800;
    mt_text_put_word((c & ~over1) | (two & over1 & ~over2) | (three & over2), out);
    return 1u - over1 - over2;
}

/* Write any one. */
MT_INLINE uint32_t mt_text_put_any(uint32_t c, uint8_t *out, uint32_t *bad) {
    if (c <= 0xFFFF) return mt_text_put(c, out, bad);
    mt_text_put_word((0xF0 | c >> 18) | (0x80 | (c >> 12 & 63)) << 8 | (0x80 | (c >> 6 & 63)) << 16 | (0x80 | (c & 63)) << 24, out);
    return 4;
}

/* What eight characters are: all ASCII, all below U+0800, all from there to U+FFFF, all up to there, or anything. */
enum { MT_ASCII, MT_TWO, MT_THREE, MT_MIXED, MT_LARGE };

#if defined(MT_X86)
typedef __m128i mt_eight;

/* Eight characters, of 16 bits each, and what they are; nothing but that where some are larger. */
MT_INLINE int mt_text_eight(const void *from, int kind, __m128i *eight) {
    const __m128i none = _mm_setzero_si128();
    __m128i c;
    if (kind == 1) {
        c = _mm_unpacklo_epi8(_mm_loadl_epi64((const __m128i *)from), none);
    } else {
        c = _mm_loadu_si128((const __m128i *)from);
        if (kind == 4) {
            const __m128i b = _mm_loadu_si128((const __m128i *)from + 1), over = _mm_srli_epi32(_mm_or_si128(c, b), 16);
            if (_mm_movemask_epi8(_mm_cmpeq_epi32(over, none)) != 0xFFFF) return MT_LARGE;
            c = _mm_packs_epi32(_mm_srai_epi32(_mm_slli_epi32(c, 16), 16), _mm_srai_epi32(_mm_slli_epi32(b, 16), 16));
        }
    }
    *eight = c;
    const int one = _mm_movemask_epi8(_mm_cmpeq_epi16(_mm_and_si128(c, _mm_set1_epi16((short)0xFF80)), none));
    const int two = _mm_movemask_epi8(_mm_cmpeq_epi16(_mm_and_si128(c, _mm_set1_epi16((short)0xF800)), none));
    return one == 0xFFFF ? MT_ASCII : two == 0xFFFF ? MT_TWO : two == 0 ? MT_THREE : MT_MIXED;
}

MT_INLINE void mt_text_put_ascii(const void *from, int kind, __m128i eight, uint8_t *out) {
    (void)from, (void)kind;
    _mm_storel_epi64((__m128i *)out, _mm_packus_epi16(eight, eight));
}

/* Every character as if it had two bytes, and then as many of them as it has. */
MT_INLINE uint8_t *mt_text_put_twos(const void *from, int kind, __m128i c, uint8_t *out) {
    const __m128i ascii = _mm_cmpeq_epi16(_mm_and_si128(c, _mm_set1_epi16((short)0xFF80)), _mm_setzero_si128());
    const __m128i tail = _mm_slli_epi16(_mm_or_si128(_mm_and_si128(c, _mm_set1_epi16(0x3F)), _mm_set1_epi16(0x80)), 8);
    const __m128i two = _mm_or_si128(_mm_or_si128(_mm_srli_epi16(c, 6), _mm_set1_epi16(0xC0)), tail);
    const uint32_t one = (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(ascii, ascii));
    uint16_t words[8];
    (void)from, (void)kind;
    _mm_storeu_si128((__m128i *)words, _mm_or_si128(_mm_and_si128(ascii, c), _mm_andnot_si128(ascii, two)));
    for (int j = 0; j < 8; j++) {
        memcpy(out, words + j, 2);
        out += 2 - (one >> j & 1);
    }
    return out;
}

/* Two characters in eight bytes, the last two of which are overwritten by the next. */
MT_INLINE void mt_text_put_pair(uint64_t v, uint8_t *out) {
    v = (v & 0xFFFFFFu) | (v >> 8 & 0xFFFFFF000000u);
    memcpy(out, &v, 8);
}

MT_INLINE void mt_text_put_threes(__m128i c, uint8_t *out, uint32_t *bad) {
    const __m128i tail = _mm_set1_epi16(0x3F), mark = _mm_set1_epi16(0x80);
    const __m128i half = _mm_cmpeq_epi16(_mm_and_si128(c, _mm_set1_epi16((short)0xF800)), _mm_set1_epi16((short)0xD800));
    const __m128i first = _mm_or_si128(_mm_srli_epi16(c, 12), _mm_set1_epi16(0xE0));
    const __m128i second = _mm_or_si128(_mm_and_si128(_mm_srli_epi16(c, 6), tail), mark);
    const __m128i third = _mm_or_si128(_mm_and_si128(c, tail), mark), both = _mm_or_si128(first, _mm_slli_epi16(second, 8));
    uint64_t pairs[4];
    *bad |= (uint32_t)_mm_movemask_epi8(half);
    _mm_storeu_si128((__m128i *)pairs, _mm_unpacklo_epi16(both, third));
    _mm_storeu_si128((__m128i *)pairs + 1, _mm_unpackhi_epi16(both, third));
    for (int j = 0; j < 4; j++) mt_text_put_pair(pairs[j], out + 6 * j);
}
#else
typedef int mt_eight;
MT_INLINE int mt_text_eight(const void *from, int kind, mt_eight *eight) {
    uint32_t any = 0;
    (void)eight;
    for (int j = 0; j < 8; j++) any |= mt_text_at(from, kind, j);
    return any < 0x80 ? MT_ASCII : any < 0x800 ? MT_TWO : any <= 0xFFFF ? MT_MIXED : MT_LARGE;
}

MT_INLINE void mt_text_put_ascii(const void *from, int kind, mt_eight eight, uint8_t *out) {
    (void)eight;
    for (int j = 0; j < 8; j++) out[j] = (uint8_t)mt_text_at(from, kind, j);
}

MT_INLINE uint8_t *mt_text_put_twos(const void *from, int kind, mt_eight eight, uint8_t *out) {
    uint32_t bad = 0;
    (void)eight;
    for (int j = 0; j < 8; j++) out += mt_text_put(mt_text_at(from, kind, j), out, &bad);
    return out;
}

MT_INLINE void mt_text_put_threes(mt_eight eight, uint8_t *out, uint32_t *bad) { (void)eight, (void)out, (void)bad; }
#endif

/* Write characters of one kind, and return the end of their UTF-8. */
MT_INLINE uint8_t *mt_text_write(const uint8_t *p, Py_ssize_t n, int kind, uint8_t *out, uint32_t *bad) {
    Py_ssize_t i = 0;
    for (; i + 8 <= n; i += 8) {
        const uint8_t *from = p + kind * i;
        mt_eight eight;
        const int what = mt_text_eight(from, kind, &eight);
        if (mt_likely(what == MT_ASCII)) {
            mt_text_put_ascii(from, kind, eight, out);
            out += 8;
        } else if (what == MT_THREE) {
            mt_text_put_threes(eight, out, bad);
            out += 24;
        } else if (what == MT_TWO) {
            out = mt_text_put_twos(from, kind, eight, out);
        } else if (what == MT_MIXED) {
            for (int j = 0; j < 8; j++) out += mt_text_put(mt_text_at(from, kind, j), out, bad);
        } else {
            for (int j = 0; j < 8; j++) out += mt_text_put_any(mt_text_at(from, kind, j), out, bad);
        }
    }
    for (; i < n; i++) out += mt_text_put_any(mt_text_at(p, kind, i), out, bad);
    return out;
}

/* Write UTF-8 and return its size; -1 for a string with half a surrogate pair. */
static inline int64_t mt_text_utf8(const mt_text *text, uint8_t *out) {
    const uint8_t *p = (const uint8_t *)text->data, *end;
    uint32_t bad = 0;
    end = text->kind == 1   ? mt_text_write(p, text->size, 1, out, &bad)
          : text->kind == 2 ? mt_text_write(p, text->size, 2, out, &bad)
                            : mt_text_write(p, text->size, 4, out, &bad);
    return bad ? -1 : end - out;
}
#endif
