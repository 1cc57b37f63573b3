/* Words, hashes and table probes of the core: what Cython has no words for. Everything here is inline and free of
 * allocation. Tables are read-only memory that core/image.py checked; What a worker remembers (memory.h) alone is written to. */
#ifndef MISTRAL_TOK_FAST_H
#define MISTRAL_TOK_FAST_H

#include <Python.h>
#include <stdint.h>
#include <string.h>

#include <stdlib.h>

#include "simd.h"

#if defined(__linux__)
#include <sys/mman.h>
#endif

#if defined(__GNUC__) || defined(__clang__)
#define mt_likely(x) __builtin_expect(!!(x), 1)
#define mt_prefetch(p) __builtin_prefetch(p)
#else
#define mt_likely(x) (x)
#define mt_prefetch(p) ((void)(p))
#endif

#define MT_NO_RULE 0x3FFFFFu /* largest value of the 22 bits that a pair slot has for its rule */
#define MT_NO_SYMBOL 0x1FFFFFu
#define MT_EMPTY UINT64_MAX
#define MT_DIRECT 0x800u /* characters of one and two bytes */

/* Pairs that share a cache line: a mark of each, 0 for a free place, and its rank. The last place has no mark: its rank is that
 * of every other pair, MT_UNRANKED as long as all that belong here had room. */
typedef struct {
    uint16_t mark[16], rank[16];
} mt_ranks;
#define MT_UNRANKED 0xFFFFu

/* Keys of three segments, and what they encode to: the number of ids (3 bits) and the id, or the place of the ids in the
 * arena, in words of four bytes. The fourth value is always 0: that of a segment that is not there. */
typedef struct {
    uint64_t key[3][2];
    uint32_t value[4];
} mt_line;

/* The sections of a table image; see core/image.py for what each holds. */
typedef struct {
    const uint32_t *offsets;       /* symbols + 1: where each symbol's bytes start in `blob` */
    const uint8_t *blob;
    const uint8_t *kinds;          /* pieces */
    const uint16_t *chars;         /* symbols: characters in the piece (families with a space mark) */
    const uint8_t *itself;         /* symbols: 1 where merging the piece's own bytes gives the piece */
    const uint32_t *piece_hash;    /* twelve bits of the hash, and symbol + 1; or 0 */
    uint64_t piece_mask;
    const uint64_t *pairs;         /* left << 43 | right << 22 | rule */
    uint64_t pair_mask;
    const uint32_t *rule_result;
    const uint32_t *rule_rank;
    const uint8_t *ascii_joins;    /* 128 x 128 */
    const uint64_t *joins;         /* hashed bitmap over pairs of characters */
    uint32_t joins_shift;
    const uint64_t *fragment_joins; /* 256 x 256 bits: last byte of a character, first byte of the next */
    const uint32_t *byte_symbols;  /* 256 */
    const uint16_t *class_index;   /* code point >> 7 -> block */
    const uint8_t *classes;        /* blocks of 128 */
    const uint32_t *trie;          /* see trie.h; NULL where words are merged */
    const uint32_t *shorter;       /* symbols: `size << 21 | piece` of the longest other piece that each begins with, or 0 */
    const uint32_t *trie_pieces;   /* the piece of each cell, and more: see MT_CELL_SIZE */
    const mt_ranks *pair_ranks;    /* the ranks of pairs once more, less exactly, in one cache line for each */
    uint64_t rank_lines;
    uint32_t rank_shift;           /* what they are divided by, as a power of two */
    const mt_line *known;          /* pieces of up to 15 bytes that their own text encodes to; NULL while an image is made */
    uint64_t known_mask;
    const uint64_t *halves;        /* symbols: what each was merged from last, and its order */
    uint32_t n_pieces, n_symbols, n_rules, longest;
    uint32_t window;               /* symbols that a long segment is merged at a time at first */
    uint8_t marked;                /* SentencePiece: symbols start as characters, U+2581 equals a space */
    uint8_t ties;                  /* rules of equal rank exist */
    uint8_t words;                 /* the class rule of simd.h never cuts where a piece joins: 1 in ASCII, 2 in all it knows */
    uint8_t simd;                  /* level of instructions for masks */
    const uint32_t *first_rules;   /* rules of two bytes (256 x 256), or of two ASCII characters (128 x 128) where marked */
    const uint32_t *char_symbols;  /* where marked: symbols of the characters below MT_DIRECT */
    uint32_t rule_base;            /* every rule's result is this and the rule; 0 where it is not */
    uint8_t scans;                 /* the masks of simd.h are right for Tekken's pattern with these classes */
    uint8_t split_spaces;          /* a space always starts a segment */
    uint8_t recall;                /* whole texts are remembered, too */
} mt_tables;

/* Zeroed memory, at the start of a cache line, that takes pages only as they are touched: huge ones where there are any, or
 * page faults would be a tenth of a first pass over a few hundred kilobytes. `block` is what mt_release wants. */
static inline void *mt_reserve(size_t size, void **block) {
#if defined(__linux__) && defined(MAP_ANONYMOUS)
    const size_t huge = (size_t)1 << 21;
    void *p = mmap(NULL, size + huge, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    *block = p == MAP_FAILED ? NULL : p;
    if (p == MAP_FAILED) return NULL;
    if (size >= huge) p = (void *)(((uintptr_t)p + huge - 1) / huge * huge);
#if defined(MADV_HUGEPAGE)
    if (size >= huge) (void)madvise(p, size / huge * huge, MADV_HUGEPAGE);
#endif
    return p;
#else
    *block = calloc(size + 64, 1);
    return *block == NULL ? NULL : (void *)(((uintptr_t)*block + 63) / 64 * 64);
#endif
}

static inline void mt_release(void *block, size_t size) {
    if (block == NULL) return;
#if defined(__linux__) && defined(MAP_ANONYMOUS)
    (void)munmap(block, size + ((size_t)1 << 21));
#else
    (void)size;
    free(block);
#endif
}

/* Ask for huge pages before memory of some megabytes is written for the first time: a page of 2 MB costs what 75 of 4 kB do. */
static inline void mt_huge(void *memory, size_t size) {
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    const uintptr_t huge = (uintptr_t)1 << 21, start = ((uintptr_t)memory + huge - 1) / huge * huge;
    const uintptr_t end = ((uintptr_t)memory + size) / huge * huge;
    if (start < end) (void)madvise((void *)start, end - start, MADV_HUGEPAGE);
#else
    (void)memory, (void)size;
#endif
}

/* Memory that is kept between calls. What it holds is lost when it grows. */
typedef struct {
    uint8_t *data;
    uint64_t room;
} mt_buffer;

/* Make room; 0 without memory. */
static inline int mt_buffer_fits(mt_buffer *b, uint64_t n) {
    if (n > b->room) {
        free(b->data);
        b->data = (uint8_t *)malloc(2 * n);
        b->room = b->data != NULL ? 2 * n : 0;
    }
    return b->data != NULL;
}

/* Give back what is larger than `most`. */
static inline void mt_buffer_trim(mt_buffer *b, uint64_t most) {
    if (b->room <= most) return;
    free(b->data);
    b->data = NULL;
    b->room = 0;
}

static inline uint64_t mt_load64(const uint8_t *p) { uint64_t v; memcpy(&v, p, 8); return v; }

static inline uint64_t mt_mix(uint64_t h) { h ^= h >> 32; h *= 0x9E3779B97F4A7C15u; return h ^ (h >> 29); }

/* The hash of pieces is taken byte by byte, so that all prefixes of a text are hashed in one pass. */
static inline uint64_t mt_hash_step(uint64_t h, uint8_t byte) { return (h ^ byte) * 0x100000001B3u; }
#define MT_HASH_SEED 0xCBF29CE484222325u

/* A cell of the table from text to symbols: what of the hash does not say where it lies tells most texts apart. */
#define MT_CELL_SYMBOL 0xFFFFFu
static inline uint32_t mt_cell(uint64_t mixed, uint32_t symbol) { return (uint32_t)(mixed >> 52) << 20 | (symbol + 1); }

static inline uint32_t mt_find_piece(const mt_tables *t, const uint8_t *p, uint32_t n, uint64_t h) {
    const uint64_t mixed = mt_mix(h);
    for (uint64_t i = mixed & t->piece_mask;; i = (i + 1) & t->piece_mask) {
        const uint32_t cell = t->piece_hash[i], s = (cell & MT_CELL_SYMBOL) - 1;
        if (cell == 0) return MT_NO_SYMBOL;
        if ((cell ^ mt_cell(mixed, 0)) & ~MT_CELL_SYMBOL) continue;
        const uint32_t at = t->offsets[s];
        if (t->offsets[s + 1] - at == n && memcmp(t->blob + at, p, n) == 0) return s;
    }
}

static inline uint32_t mt_lookup(const mt_tables *t, const uint8_t *p, uint32_t n) {
    uint64_t h = MT_HASH_SEED;
    for (uint32_t i = 0; i < n; i++) h = mt_hash_step(h, p[i]);
    return mt_find_piece(t, p, n, h);
}

static inline uint64_t mt_pair_start(uint64_t key) { return key * 0xD6E8FEB86659FD93u >> 32; }

/* Bytes of a symbol. */
MT_INLINE uint32_t mt_size_of(const mt_tables *t, uint64_t symbol) { return t->offsets[symbol + 1] - t->offsets[symbol]; }

/* The number of the line in which a pair has its rank, and its mark there. */
MT_INLINE uint64_t mt_rank_line(uint64_t key, uint64_t lines) { return mt_pair_start(key) * lines >> 32; }
MT_INLINE uint16_t mt_pair_mark(uint64_t key) { return (uint16_t)(key * 0xC2B2AE3D27D4EB4Fu >> 48 | 1); }

/* The place of a mark in a line, or the last one. */
MT_INLINE uint32_t mt_rank_place(const mt_ranks *line, uint16_t mark) {
    return (uint32_t)mt_trailing(mt_equal_marks(line->mark, mark) | 0x8000u);
}

/* Add a pair to the lines of ranks. */
static inline void mt_rank_add(mt_ranks *lines, uint64_t count, uint64_t key, uint32_t rank) {
    mt_ranks *line = lines + mt_rank_line(key, count);
    const uint16_t mark = mt_pair_mark(key);
    uint32_t i = mt_rank_place(line, mark);
    if (i == 15) i = mt_rank_place(line, 0);
    line->mark[i] = i < 15 ? mark : 0;
    if (rank < line->rank[i]) line->rank[i] = (uint16_t)rank;
}

/* The rule for a pair, `left << 21 | right`. Two symbols that are none have no rule either: they equal an empty slot. */
static inline uint32_t mt_rule_of(const mt_tables *t, uint64_t key) {
    for (uint64_t i = mt_pair_start(key) & t->pair_mask;; i = (i + 1) & t->pair_mask) {
        const uint64_t slot = t->pairs[i];
        if (mt_likely((slot >> 22 == key) | (slot == MT_EMPTY))) return (uint32_t)slot & MT_NO_RULE;
    }
}

/* The rank of the rule for a pair; MT_NO_RULE where there is none. */
static inline uint32_t mt_rank_of(const mt_tables *t, uint64_t key) {
    const uint32_t rule = mt_rule_of(t, key);
    return mt_likely(!t->ties) || rule == MT_NO_RULE ? rule : t->rule_rank[rule];
}

static inline uint32_t mt_rule(const mt_tables *t, uint32_t left, uint32_t right) {
    return mt_rule_of(t, (uint64_t)left << 21 | right);
}

/* Decodes one character of valid UTF-8 and says how many bytes it has. */
static inline uint32_t mt_char(const uint8_t *p, uint32_t *size) {
    uint32_t c = p[0];
    if (c < 0x80) { *size = 1; return c; }
    if (c < 0xE0) { *size = 2; return (c & 31) << 6 | (p[1] & 63); }
    if (c < 0xF0) { *size = 3; return (c & 15) << 12 | (p[1] & 63) << 6 | (p[2] & 63); }
    *size = 4;
    return (c & 7) << 18 | (p[1] & 63) << 12 | (p[2] & 63) << 6 | (p[3] & 63);
}

static inline uint32_t mt_join_hash(uint32_t a, uint32_t b) { return (a * 0x9E3779B1u) ^ (b * 0x85EBCA6Bu + 0x27D4EB2Fu); }

static inline int mt_joins_hashed(const mt_tables *t, uint32_t a, uint32_t b) {
    uint32_t h = (mt_join_hash(a, b) * 0xC2B2AE35u) >> t->joins_shift;
    return (int)(t->joins[h >> 6] >> (h & 63) & 1);
}

/* Could a merge ever cross from character `a` (last byte `last`) into `b` (first byte `first`)? Never wrongly no. */
static inline int mt_may_join(const mt_tables *t, uint32_t a, uint32_t b, uint8_t last, uint8_t first) {
    if (a < 128 && b < 128) return t->ascii_joins[a << 7 | b];
    if (mt_joins_hashed(t, a, b)) return 1;
    uint32_t f = (uint32_t)last << 8 | first;
    return (int)(t->fragment_joins[f >> 6] >> (f & 63) & 1);
}

MT_INLINE uint32_t mt_char3(const uint8_t *p) { return (uint32_t)(p[0] & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63); }

/* Cut a run of up to 64 characters of three bytes, from `at[0]` on where a segment begins. Writes the ends of segments, moves
 * `at[0]` to the last, and returns their number. What is not certain is left: the segment at the end of the run, unless
 * that is the end of the text. There is no branch for a boundary: it could not be predicted. */
static inline int mt_cut_threes(const mt_tables *t, const uint8_t *p, uint64_t n, uint64_t *at, uint64_t *ends) {
    const uint8_t *q = p + *at;
    const uint64_t most = (n - *at) / 3 < 63 ? (n - *at) / 3 : 63;
    uint32_t before = mt_char3(q);
    uint64_t cuts = 0, j = 1;
    int count = 0;
    for (; j < most && (q[3 * j] & 0xF0) == 0xE0; j++) {
        const uint32_t c = mt_char3(q + 3 * j), f = (uint32_t)q[3 * j - 1] << 8 | q[3 * j];
        const int join = mt_joins_hashed(t, before, c) | (int)(t->fragment_joins[f >> 6] >> (f & 63) & 1);
        cuts |= (uint64_t)(join ^ 1) << j;
        before = c;
    }
    if (*at + 3 * j == n) cuts |= (uint64_t)1 << j;
    for (uint64_t i = *at; cuts; cuts &= cuts - 1) ends[count++] = *at = i + 3 * mt_trailing(cuts);
    return count;
}

/* What the masks of simd.h take a character for, as a class of presplit.py; 0 where they do not know it. */
static inline int mt_mask_class(uint32_t c) {
    if (c < 128) {
        if (c - 'A' < 26u) return 1;
        if (c - 'a' < 26u) return 2;
        if (c - '0' < 10u) return 4;
        if (c == 10 || c == 13) return 8 | 16;
        return c == ' ' || c - 9 < 5u ? 8 | 64 : 32 | 64;
    }
    if ((c - 0xC0 < 31u && c != 0xD7) || c - 0x400 < 48u) return 1;
    if ((c - 0xDF < 33u && c != 0xF7) || c - 0x430 < 48u) return 2;
    if (c - 0x3041 < 86u || c - 0x30A1 < 90u || c - 0x30FC < 4u || c - 0x3400 < 0x19C0u || c - 0x4E00 < 0x51C0u) return 3;
    if (c - 0xAC00 < 0x2B80u) return 3;
    if (c - 0x2010 < 24u || c - 0x2030 < 16u || c - 0x3001 < 3u || c - 0x3008 < 20u || c - 0xFF01 < 15u) return 32 | 64;
    return c - 0xFF1A < 7u ? 32 | 64 : 0;
}

/* The class rule of mt_word_starts, for characters below U+0460 that the masks know. */
static inline int mt_class_joins(uint32_t a, uint32_t b) {
    int left = mt_mask_class(a), right = mt_mask_class(b);
    if (left == 4 || right == 4) return 0;
    if (b == ' ') return a == ' ';
    return a == ' ' || (left < 3) == (right < 3);
}

/* Does a scan by masks pay here? Not where it would stop at once: at a character that it does not know, one of `leads`
 * bytes or more, or before one of three within 16 bytes where these are not known. */
static inline int mt_scannable(const uint8_t *p, uint64_t n, uint32_t leads) {
    static const uint8_t known[32] = {[24] = 8, [26] = 3, [28] = 0xFC, [29] = 0xBF}; /* leads C3 D0 D1 E2-ED EF */
    uint8_t c = p[p[0] == ' ' && n > 1];
    if (c >= 128 && !(known[c >> 3] >> (c & 7) & 1 && (c < 0xE0 ? leads > 1 : leads > 2))) return 0;
    if (leads > 2 || n < 16) return 1;
    uint64_t a = mt_load64(p), b = mt_load64(p + 8);
    if (leads > 1) a &= a << 1 & a << 2, b &= b << 1 & b << 2;
    return ((a | b) & 0x8080808080808080u) == 0;
}

static inline uint8_t mt_class(const mt_tables *t, uint32_t c) {
    return t->classes[(uint32_t)t->class_index[c >> 7] << 7 | (c & 127)];
}

/* What the first and the second eight bytes keep of a segment of that many bytes. */
#define MT_LOW(n) ((n) >= 8 ? UINT64_MAX : ((uint64_t)1 << 8 * ((n) & 7)) - 1)
#define MT_KEEP(n) {MT_LOW(n), (n) > 8 ? MT_LOW((n) - 8) : 0}
static const uint64_t mt_keep[17][2] = {MT_KEEP(0),  MT_KEEP(1),  MT_KEEP(2),  MT_KEEP(3),  MT_KEEP(4),  MT_KEEP(5),
                                        MT_KEEP(6),  MT_KEEP(7),  MT_KEEP(8),  MT_KEEP(9),  MT_KEEP(10), MT_KEEP(11),
                                        MT_KEEP(12), MT_KEEP(13), MT_KEEP(14), MT_KEEP(15), MT_KEEP(16)};

/* The key of a segment of 1 to 15 bytes of which `room` bytes may be read. */
static inline void mt_key(const uint8_t *p, uint32_t n, uint64_t room, uint64_t *k0, uint64_t *k1) {
    uint8_t tail[16];
    if (!mt_likely(room >= 16)) {
        memset(tail, 0, 16);
        memcpy(tail, p, n);
        p = tail;
    }
    *k0 = mt_load64(p) & mt_keep[n][0];
    *k1 = (mt_load64(p + 8) & mt_keep[n][1]) | (uint64_t)n << 56;
}

/* Both halves of a product of 128 bits: every byte of the key changes every bit of the place. */
static inline uint64_t mt_fold(uint64_t a, uint64_t b) {
#if defined(__SIZEOF_INT128__)
    unsigned __int128 m = (unsigned __int128)a * b;
    return (uint64_t)m ^ (uint64_t)(m >> 64);
#else
    return mt_mix(a ^ mt_mix(b));
#endif
}

static inline uint64_t mt_key_hash(uint64_t k0, uint64_t k1) {
    return mt_fold(k0 ^ 0x9E3779B97F4A7C15u, k1 ^ 0xC2B2AE3D27D4EB4Fu);
}

/* The other place where an entry may lie. */
static inline uint64_t mt_other_place(uint64_t h) { return h >> 32 | h << 32; }

static inline uint64_t mt_turn(uint64_t h) { return h << 29 | h >> 35; }

/* A checksum that finds damage, not malice: four lanes of eight bytes; `n` is a multiple of 32. */
static inline uint64_t mt_checksum(const uint8_t *p, uint64_t n) {
    uint64_t a = 1, b = 2, c = 3, d = 4;
    for (uint64_t i = 0; i < n; i += 32) {
        a = mt_turn((a ^ mt_load64(p + i)) * 0x9E3779B97F4A7C15u);
        b = mt_turn((b ^ mt_load64(p + i + 8)) * 0xC2B2AE3D27D4EB4Fu);
        c = mt_turn((c ^ mt_load64(p + i + 16)) * 0x165667B19E3779F9u);
        d = mt_turn((d ^ mt_load64(p + i + 24)) * 0xD6E8FEB86659FD93u);
    }
    return mt_mix(a) ^ mt_mix(b + 1) ^ mt_mix(c + 2) ^ mt_mix(d + 3) ^ n;
}
#endif
