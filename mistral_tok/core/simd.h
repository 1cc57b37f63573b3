/* Where a text is cut, 64 bytes at a time: what each byte is goes into masks of 64 bits, and bit algebra finds the
 * boundaries. There is no branch for a byte or a segment that could be predicted wrongly.
 *
 * The masks are made with the widest instructions that the machine has: AVX-512, AVX2, SSE2 or NEON. All give the same
 * masks; `level` 0 is a machine without any, for which the scanners of presplit.py do all the work. Characters beyond
 * those below, and the rare places where bits cannot decide, are left to these scanners as well: a mask function stops
 * at the last boundary before them. */
#ifndef MISTRAL_TOK_SIMD_H
#define MISTRAL_TOK_SIMD_H

#include <stdint.h>
#include <string.h>

#if (defined(__GNUC__) || defined(__clang__)) && defined(__x86_64__)
#include <immintrin.h>
#define MT_X86 1
#elif (defined(__GNUC__) || defined(__clang__)) && defined(__aarch64__)
#include <arm_neon.h>
#define MT_NEON 1
#endif

#if defined(__GNUC__) || defined(__clang__)
#define MT_INLINE static inline __attribute__((always_inline))
#else
#define MT_INLINE static inline
#endif

/* What the 64 bytes of a block are. Of a character of several bytes, all bytes are what the character is. */
typedef struct {
    uint64_t upper, lower; /* \p{Lu} and \p{Ll}: ASCII, Latin-1, and Cyrillic from U+0400 to U+045F */
    uint64_t both;         /* \p{Lo}, \p{Lm}: kana, CJK ideographs, Hangul */
    uint64_t digit, space; /* 0 to 9; U+0020 */
    uint64_t blank;        /* spaces that end no line, U+0020 among them */
    uint64_t newline, slash;
    uint64_t other;        /* [^\s\p{L}\p{N}]: ASCII, U+2010-2027, U+2030-203F, U+3001-3003, U+3008-301B, fullwidth marks */
    uint64_t other3;       /* where such a character of three bytes begins */
    uint64_t unknown;      /* everything else */
    uint64_t high;         /* bytes beyond ASCII */
} mt_masks;

/* Classify with two operations on a block: which bytes equal `x`, and which are among the `n` from `lo` on. */
#define MT_CLASSIFY(EQ, IN, m)                                                                                        \
    do {                                                                                                              \
        const uint64_t high = IN(0x80, 128);                                                                          \
        (m)->high = high;                                                                                             \
        (m)->upper = IN('A', 26), (m)->lower = IN('a', 26), (m)->digit = IN('0', 10);                                 \
        (m)->space = EQ(' '), (m)->slash = EQ('/'), (m)->newline = EQ(10) | EQ(13);                                   \
        (m)->blank = (m)->space | (IN(9, 5) & ~(m)->newline);                                                         \
        (m)->both = (m)->other3 = (m)->unknown = 0;                                                                   \
        (m)->other = ~(high | (m)->upper | (m)->lower | (m)->digit | (m)->blank | (m)->newline);                      \
        if (high) {                                                                                                   \
            uint64_t c3 = EQ(0xC3) << 1, d0 = EQ(0xD0) << 1, d1 = EQ(0xD1) << 1;                                      \
            uint64_t low31 = IN(0x80, 31), low32 = IN(0x80, 32), low48 = IN(0x80, 48), follows = IN(0x80, 64);        \
            uint64_t up = (c3 & low31 & ~EQ(0x97)) | (d0 & low48);                                                    \
            uint64_t down = (c3 & follows & ~low31 & ~EQ(0xB7)) | (d0 & follows & ~low48) | (d1 & low32);             \
            uint64_t both = 0, other3 = 0;                                                     \
            up |= up >> 1, down |= down >> 1;                                                                         \
            if (IN(0xE2, 14)) {                                                                                           \
                uint64_t e2 = EQ(0xE2) << 1, e3 = EQ(0xE3) << 1, ef = EQ(0xEF) << 1, third = follows;                   \
                uint64_t kana = e3 & IN(0x81, 3);                                                                     \
                uint64_t spoilt = ((e3 & EQ(0x82)) << 1 & IN(0x97, 10)) | ((e3 & EQ(0x83)) << 1 & EQ(0xBB)) | \
                                  ((e3 & EQ(0x81)) << 1 & EQ(0x80));                                                  \
                uint64_t second = kana | (e3 & IN(0x90, 48)) | ((EQ(0xE4) << 1) & (IN(0x80, 55) | IN(0xB8, 8))) |     \
                                  ((IN(0xE5, 4) | IN(0xEB, 2)) << 1 & follows) | ((EQ(0xE9) << 1) & IN(0x80, 63)) |   \
                                  ((EQ(0xEA) << 1) & IN(0xB0, 16)) | ((EQ(0xED) << 1) & IN(0x80, 30));                \
                both = second << 1 & third & ~spoilt;                                                                 \
                other3 = ((e2 & EQ(0x80)) << 1 & (IN(0x90, 24) | IN(0xB0, 16))) |                                     \
                         ((e3 & EQ(0x80)) << 1 & (IN(0x81, 3) | IN(0x88, 20))) |                                      \
                         ((ef & EQ(0xBC)) << 1 & (IN(0x81, 15) | IN(0x9A, 7)));                                       \
                both |= both >> 1 | both >> 2;                                                                        \
                (m)->other3 = other3 >> 2;                                                                            \
                other3 |= other3 >> 1 | other3 >> 2;                                                                  \
            }                                                                                                         \
            (m)->upper |= up, (m)->lower |= down, (m)->both = both, (m)->other |= other3;                             \
            (m)->unknown = high & ~(up | down | both | other3);                                                       \
        }                                                                                                             \
    } while (0)

#if defined(MT_X86)
#define MT_TARGET_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi2,avx2,bmi,bmi2,lzcnt,popcnt")))
#define MT_TARGET_AVX2 __attribute__((target("avx2,bmi,bmi2,lzcnt,popcnt")))

MT_TARGET_AVX512 static inline void mt_classify_avx512(const uint8_t *p, mt_masks *m) {
    const __m512i v = _mm512_loadu_si512((const void *)p);
#define EQ(x) ((uint64_t)_mm512_cmpeq_epi8_mask(v, _mm512_set1_epi8((char)(x))))
#define IN(lo, n) ((uint64_t)_mm512_cmplt_epu8_mask(_mm512_sub_epi8(v, _mm512_set1_epi8((char)(lo))), _mm512_set1_epi8((char)(n))))
    MT_CLASSIFY(EQ, IN, m);
#undef EQ
#undef IN
}

MT_TARGET_AVX2 static inline uint64_t mt_equal_avx2(const __m256i *v, char x) {
    const __m256i c = _mm256_set1_epi8(x);
    return (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v[0], c)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(v[1], c)) << 32;
}

MT_TARGET_AVX2 static inline uint64_t mt_within_avx2(const __m256i *v, char lo, char most) {
    const __m256i a = _mm256_sub_epi8(v[0], _mm256_set1_epi8(lo)), b = _mm256_sub_epi8(v[1], _mm256_set1_epi8(lo));
    const __m256i c = _mm256_set1_epi8(most);
    return (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(a, c), a)) |
           (uint64_t)(uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_min_epu8(b, c), b)) << 32;
}

MT_TARGET_AVX2 static inline void mt_classify_avx2(const uint8_t *p, mt_masks *m) {
    __m256i v[2];
    v[0] = _mm256_loadu_si256((const __m256i *)p);
    v[1] = _mm256_loadu_si256((const __m256i *)(p + 32));
#define EQ(x) mt_equal_avx2(v, (char)(x))
#define IN(lo, n) mt_within_avx2(v, (char)(lo), (char)((n) - 1))
    MT_CLASSIFY(EQ, IN, m);
#undef EQ
#undef IN
}

static inline uint64_t mt_equal_128(const __m128i *v, char x) {
    uint64_t mask = 0;
    for (int i = 0; i < 4; i++)
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(v[i], _mm_set1_epi8(x))) << 16 * i;
    return mask;
}

static inline uint64_t mt_within_128(const __m128i *v, char lo, char most) {
    uint64_t mask = 0;
    for (int i = 0; i < 4; i++) {
        const __m128i a = _mm_sub_epi8(v[i], _mm_set1_epi8(lo));
        mask |= (uint64_t)(uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(_mm_min_epu8(a, _mm_set1_epi8(most)), a)) << 16 * i;
    }
    return mask;
}

static inline void mt_classify_128(const uint8_t *p, mt_masks *m) {
    __m128i v[4];
    for (int i = 0; i < 4; i++) v[i] = _mm_loadu_si128((const __m128i *)(p + 16 * i));
#define EQ(x) mt_equal_128(v, (char)(x))
#define IN(lo, n) mt_within_128(v, (char)(lo), (char)((n) - 1))
    MT_CLASSIFY(EQ, IN, m);
#undef EQ
#undef IN
}
#elif defined(MT_NEON)
/* One bit for each byte that is all ones. */
static inline uint64_t mt_bits_neon(uint8x16_t a, uint8x16_t b, uint8x16_t c, uint8x16_t d) {
    static const uint8_t weights[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    const uint8x16_t w = vld1q_u8(weights);
    uint8x16_t x = vpaddq_u8(vandq_u8(a, w), vandq_u8(b, w)), y = vpaddq_u8(vandq_u8(c, w), vandq_u8(d, w));
    x = vpaddq_u8(x, y);
    return vgetq_lane_u64(vreinterpretq_u64_u8(vpaddq_u8(x, x)), 0);
}

static inline uint64_t mt_equal_128(const uint8x16_t *v, uint8_t x) {
    const uint8x16_t c = vdupq_n_u8(x);
    return mt_bits_neon(vceqq_u8(v[0], c), vceqq_u8(v[1], c), vceqq_u8(v[2], c), vceqq_u8(v[3], c));
}

static inline uint64_t mt_within_128(const uint8x16_t *v, uint8_t lo, uint8_t most) {
    const uint8x16_t l = vdupq_n_u8(lo), c = vdupq_n_u8(most);
    return mt_bits_neon(vcleq_u8(vsubq_u8(v[0], l), c), vcleq_u8(vsubq_u8(v[1], l), c),
                        vcleq_u8(vsubq_u8(v[2], l), c), vcleq_u8(vsubq_u8(v[3], l), c));
}

static inline void mt_classify_128(const uint8_t *p, mt_masks *m) {
    uint8x16_t v[4];
    for (int i = 0; i < 4; i++) v[i] = vld1q_u8(p + 16 * i);
#define EQ(x) mt_equal_128(v, (uint8_t)(x))
#define IN(lo, n) mt_within_128(v, (uint8_t)(lo), (uint8_t)((n) - 1))
    MT_CLASSIFY(EQ, IN, m);
#undef EQ
#undef IN
}
#endif

/* Levels: 0 none, 1 128 bits (SSE2, NEON), 2 AVX2, 3 AVX-512 with VBMI2 (Ice Lake, Zen 4). */
static inline int mt_simd_best(void) {
#if defined(MT_X86)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
        __builtin_cpu_supports("avx512vbmi2") && __builtin_cpu_supports("bmi2"))
        return 3;
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2") ? 2 : 1;
#elif defined(MT_NEON)
    return 1;
#else
    return 0;
#endif
}

/* Which of sixteen marks are this one. */
#if defined(MT_X86)
MT_INLINE uint32_t mt_equal_marks(const uint16_t *marks, uint16_t mark) {
    const __m128i m = _mm_set1_epi16((short)mark);
    const __m128i a = _mm_cmpeq_epi16(_mm_loadu_si128((const __m128i *)marks), m);
    const __m128i b = _mm_cmpeq_epi16(_mm_loadu_si128((const __m128i *)(marks + 8)), m);
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(a, b));
}
#elif defined(MT_NEON)
MT_INLINE uint32_t mt_equal_marks(const uint16_t *marks, uint16_t mark) {
    static const uint16_t weights[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    const uint16x8_t m = vdupq_n_u16(mark), w = vld1q_u16(weights);
    const uint16x8_t a = vandq_u16(vceqq_u16(vld1q_u16(marks), m), w);
    const uint16x8_t b = vandq_u16(vceqq_u16(vld1q_u16(marks + 8), m), w);
    return (uint32_t)vaddvq_u16(a) | (uint32_t)vaddvq_u16(b) << 8;
}
#else
MT_INLINE uint32_t mt_equal_marks(const uint16_t *marks, uint16_t mark) {
    uint32_t same = 0;
    for (int i = 0; i < 16; i++) same |= (uint32_t)(marks[i] == mark) << i;
    return same;
}
#endif

/* Which of sixteen numbers are zero. */
#if defined(MT_X86)
MT_INLINE uint32_t mt_zeros(const uint32_t *numbers) {
    const __m128i none = _mm_setzero_si128(), *p = (const __m128i *)numbers;
    const __m128i a = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_loadu_si128(p), none), _mm_cmpeq_epi32(_mm_loadu_si128(p + 1), none));
    const __m128i b = _mm_packs_epi32(_mm_cmpeq_epi32(_mm_loadu_si128(p + 2), none), _mm_cmpeq_epi32(_mm_loadu_si128(p + 3), none));
    return (uint32_t)_mm_movemask_epi8(_mm_packs_epi16(a, b));
}
#else
MT_INLINE uint32_t mt_zeros(const uint32_t *numbers) {
    uint32_t none = 0;
    for (int i = 0; i < 16; i++) none |= (uint32_t)(numbers[i] == 0) << i;
    return none;
}
#endif

/* The bits below position `i`, all of them from 64 on. */
MT_INLINE uint64_t mt_below(uint64_t i) { return i < 64 ? ((uint64_t)1 << i) - 1 : UINT64_MAX; }

MT_INLINE uint64_t mt_trailing(uint64_t x) { return (uint64_t)__builtin_ctzll(x); }

/* Where matches of Tekken's pattern begin in a block whose first byte begins one. Bit 0 is never set.
 *
 * Every rule looks at a byte and its neighbours. A letter begins a match after a digit or the end of a line, after
 * other characters unless it is a single one that begins a match itself, and where upper case follows lower. A digit
 * is a match. Other characters begin one after anything but a space or their like. The end of a line begins one after
 * a letter or a digit; it belongs to what stands before it otherwise. Of blanks in a row, the first begins one, and
 * the last unless the end of a line or of the text follows. Not decided here: a slash after the end of a line that
 * belongs to other characters before it (it belongs to them, too), blanks between two ends of lines, and upper case
 * after letters without case, which may or may not go on.
 *
 * The text ends at `size` if that is less than 64, and so does the last match, if what stands before is decided: where blanks and
 * ends of lines stand there it is only for blanks. */
MT_INLINE uint64_t mt_tekken_starts(const mt_masks *m, uint64_t size) {
    const uint64_t letter = m->upper | m->lower | m->both, solid = letter | m->digit | m->other;
    const uint64_t s = m->blank | m->newline;
    const uint64_t other = m->other & ~((m->other | m->space) << 1);
    const uint64_t led = (other & ~m->other3) << 1 | (other & m->other3) << 3;
    uint64_t starts = letter & ((m->digit | m->newline) << 1 | (m->other << 1 & ~led));
    starts |= (m->upper & m->lower << 1) | m->digit | other | (m->newline & (letter | m->digit) << 1);
    starts |= m->blank & (solid << 1 | (m->blank << 1 & solid >> 1) | m->newline << 1);

    uint64_t stop = m->unknown | (m->upper & m->both << 1);
    const uint64_t tail = m->newline & m->other << 1;
    stop |= m->slash & (tail + m->newline) & ~m->newline;
    uint64_t end = stop ? mt_trailing(stop) : 64;
    const uint64_t indent = m->blank & m->newline << 1;
    const uint64_t again = (indent + m->blank) & ~m->blank & m->newline & mt_below(end);
    if (again) {
        const uint64_t before = ~m->blank & mt_below(mt_trailing(again));
        end = before ? 64 - (uint64_t)__builtin_clzll(before) : 0;
    }
    /* Blanks at the end may go on beyond it: only the first of them is certain. */
    const uint64_t firm = ~s & mt_below(end);
    const uint64_t last = firm ? 64 - (uint64_t)__builtin_clzll(firm) : 0;
    const uint64_t closed = (uint64_t)((size == end) & ((m->newline & mt_below(end) & ~mt_below(last)) == 0)) << (size & 63);
    return (starts & mt_below(last < end ? last + 1 : end) & ~(uint64_t)1) | (size < 64 ? closed : 0);
}

/* Where a SentencePiece vocabulary may be cut: the class rule. Letters join letters, other characters that are no digit
 * join each other, a space joins both and another space, and nothing else joins. It may join more than a vocabulary
 * does, never less where Tables found it to hold: for ASCII, and with `wide` for the letters beyond. Bit 0 is never set. The end
 * of the text, at `size` if that is less than 64, is the end of a segment. */
MT_INLINE uint64_t mt_word_starts(const mt_masks *m, int wide, uint64_t size) {
    const uint64_t letter = m->upper | m->lower, space = m->space;
    const uint64_t other = m->other | m->newline | (m->blank & ~space);
    const uint64_t joined = (letter & (letter | space) << 1) | (space & space << 1) | (other & (other | space) << 1);
    const uint64_t stop = wide ? m->unknown | m->both | m->other3 : m->high;
    const uint64_t end = stop ? mt_trailing(stop) : 64;
    return (~joined & ~(uint64_t)1 & mt_below(end)) | (size < 64 ? (uint64_t)(size == end) << size : 0);
}

/* Is a segment longer than 15 bytes, or, if all is ASCII, than 31? `starts` are the ends of all but the first, which begins at
 * bit 0. */
MT_INLINE int mt_any_over(uint64_t starts, uint64_t last, int ascii) {
    uint64_t near = starts | 1; /* the 15 places from each start on, or 31 */
    near |= near << 1, near |= near << 2, near |= near << 4, near |= near << 7;
    if (ascii) near |= near << 8 | near << 16;
    return (~near & mt_below(last)) != 0;
}

#define MT_SCAN_ROOM 64 /* places for ends that a block may write to */

/* Write where the bits of a mask are, `i` added. Sixteen are written at once, and then eight, whether there are so many or
 * not: how many there are could not be predicted. */
MT_INLINE void mt_write_ends(uint64_t starts, uint64_t i, uint64_t *ends) {
    const int n = __builtin_popcountll(starts);
    int done = 0;
    do {
        for (int j = 0; j < 8; j++, starts &= starts - 1) ends[done + j] = i + mt_trailing(starts | (uint64_t)1 << 63);
        done += 8;
    } while (done < 16 || done < n);
}

#if defined(MT_X86)
/* The same with one instruction that puts the places of all bits side by side. */
MT_TARGET_AVX512 static inline void mt_write_ends_avx512(uint64_t starts, uint64_t i, uint64_t *ends) {
    static const uint8_t places[64] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21,
                                       22, 23, 24, 25, 26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42, 43,
                                       44, 45, 46, 47, 48, 49, 50, 51, 52, 53, 54, 55, 56, 57, 58, 59, 60, 61, 62, 63};
    const __m512i found = _mm512_maskz_compress_epi8(starts, _mm512_loadu_si512((const void *)places));
    const __m512i by = _mm512_set1_epi64((long long)i);
    const __m128i first = _mm512_castsi512_si128(found);
    const int n = __builtin_popcountll(starts);
    _mm512_storeu_si512((void *)ends, _mm512_add_epi64(by, _mm512_cvtepu8_epi64(first)));
    _mm512_storeu_si512((void *)(ends + 8), _mm512_add_epi64(by, _mm512_cvtepu8_epi64(_mm_srli_si128(first, 8))));
    if (n > 16) {
        uint8_t rest[64];
        _mm512_storeu_si512((void *)rest, found);
        for (int j = 16; j < n; j += 8)
            _mm512_storeu_si512((void *)(ends + j), _mm512_add_epi64(by, _mm512_cvtepu8_epi64(_mm_loadl_epi64((const __m128i *)(rest + j)))));
    }
}
#endif

/* Scan from `at[0]`, where a segment begins, and write the ends of segments to `ends`, as long as there is room for those of
 * a block; stop where a block has no boundary. Text beyond `n` is not read. `over` becomes 1 when a segment has more than
 * 15 bytes, or, in a block of ASCII, than 31. */
#define MT_SCAN(CLASSIFY, STARTS, WRITE)                                                                                     \
    do {                                                                                                              \
        int count = 0;                                                                                                \
        uint64_t i = *at;                                                                                             \
        uint8_t tail[64];                                                                                             \
        while (i < n && room - count >= MT_SCAN_ROOM) {                                                                         \
            const uint8_t *q = p + i;                                                                                 \
            mt_masks m;                                                                                               \
            const uint64_t size = n - i < 64 ? n - i : 64;                                                            \
            if (size < 64) {                                                                                          \
                memset(tail, 0, 64);                                                                                  \
                memcpy(tail, q, size);                                                                                \
                q = tail;                                                                                             \
            }                                                                                                         \
            CLASSIFY(q, &m);                                                                                          \
            const int ascii = m.high == 0;                                                                            \
            if (size < 64) {                                                                                          \
                const uint64_t past = ~mt_below(size);                                                                \
                m.other &= ~past, m.unknown |= past, m.high |= past;                                                  \
            }                                                                                                         \
            uint64_t starts = STARTS;                                                                                 \
            if (starts == 0) break;                                                                                   \
            const uint64_t last = 63 - (uint64_t)__builtin_clzll(starts);                                             \
            *over |= mt_any_over(starts, last, ascii);                                                                          \
            WRITE(starts, i, ends + count);                                                                           \
            count += __builtin_popcountll(starts);                                                                    \
            i += last;                                                                                                \
        }                                                                                                             \
        *at = i;                                                                                                      \
        return count;                                                                                                 \
    } while (0)

#define MT_SCAN_ARGUMENTS const uint8_t *p, uint64_t n, uint64_t *at, uint64_t *ends, int room, int *over
#if defined(MT_X86)
MT_TARGET_AVX512 static int mt_tekken_avx512(MT_SCAN_ARGUMENTS) { MT_SCAN(mt_classify_avx512, mt_tekken_starts(&m, size), mt_write_ends_avx512); }
MT_TARGET_AVX2 static int mt_tekken_avx2(MT_SCAN_ARGUMENTS) { MT_SCAN(mt_classify_avx2, mt_tekken_starts(&m, size), mt_write_ends); }
MT_TARGET_AVX512 static int mt_words_avx512(MT_SCAN_ARGUMENTS, int wide) { MT_SCAN(mt_classify_avx512, mt_word_starts(&m, wide, size), mt_write_ends_avx512); }
MT_TARGET_AVX2 static int mt_words_avx2(MT_SCAN_ARGUMENTS, int wide) { MT_SCAN(mt_classify_avx2, mt_word_starts(&m, wide, size), mt_write_ends); }
#endif
#if defined(MT_X86) || defined(MT_NEON)
static int mt_tekken_128(MT_SCAN_ARGUMENTS) { MT_SCAN(mt_classify_128, mt_tekken_starts(&m, size), mt_write_ends); }
static int mt_words_128(MT_SCAN_ARGUMENTS, int wide) { MT_SCAN(mt_classify_128, mt_word_starts(&m, wide, size), mt_write_ends); }
#endif

/* Scan for the matches of Tekken's pattern with the instructions of a level. */
static inline int mt_scan_tekken(int level, MT_SCAN_ARGUMENTS) {
#if defined(MT_X86)
    if (level >= 3) return mt_tekken_avx512(p, n, at, ends, room, over);
    if (level == 2) return mt_tekken_avx2(p, n, at, ends, room, over);
#endif
#if defined(MT_X86) || defined(MT_NEON)
    if (level >= 1) return mt_tekken_128(p, n, at, ends, room, over);
#endif
    (void)level, (void)p, (void)n, (void)at, (void)ends, (void)room, (void)over;
    return 0;
}

/* The same by the class rule. */
static inline int mt_scan_words(int level, MT_SCAN_ARGUMENTS, int wide) {
#if defined(MT_X86)
    if (level >= 3) return mt_words_avx512(p, n, at, ends, room, over, wide);
    if (level == 2) return mt_words_avx2(p, n, at, ends, room, over, wide);
#endif
#if defined(MT_X86) || defined(MT_NEON)
    if (level >= 1) return mt_words_128(p, n, at, ends, room, over, wide);
#endif
    (void)level, (void)p, (void)n, (void)at, (void)ends, (void)room, (void)over, (void)wide;
    return 0;
}
#endif
