/* What a worker remembers of segments that it has met, and how it looks many of them up at once.
 *
 * A segment of up to 15 bytes has an entry of 20 bytes: its text, and its id, or where its ids lie if it has several. Three
 * entries share a cache line; a hash chooses the line, and another one where the first is full. Longer segments have
 * records in an arena, text and ids together, and an index of eight bytes for each.
 *
 * Tables begin small and double while they fill up, so that a small number of different words lies in few cache lines: what
 * lookups cost is waiting for these lines. At their full size they are emptied, and what is met is learnt again. Addresses
 * for the full size are taken at once, memory only as it is touched, in huge pages where there are any.
 *
 * Segments are looked up in groups of up to 1,024, in passes: make all keys and ask for their places; look there and ask for
 * the ids; learn those that are not known; copy the ids. No pass has a branch that could be predicted wrongly often. */
#ifndef MISTRAL_TOK_MEMORY_H
#define MISTRAL_TOK_MEMORY_H

#include "fast.h"

#define MT_GROUP 1024 /* segments that are looked up at once: a power of two, as many as 2,000 characters of code have, and more */
#define MT_ENTRY 15  /* bytes of the longest segment that has an entry */
#define MT_WIDE 31   /* bytes of the longest segment that is looked up with others */
#define MT_SOME 8    /* ids that are copied at once */
#define MT_ROOM (8 + 32 + 4 * MT_SOME) /* bytes of the arena that a segment takes at most, usually */

#define MT_PLACES ((uint64_t)1 << 29)

typedef struct {
    mt_line *lines;
    uint64_t *spilt; /* a bit for each line: whether an entry that belongs there lies in its other line */
    uint64_t *index; /* upper half of the hash, and the place of the record in the arena, in words of eight bytes; ends at `lines` */
    uint8_t *arena;  /* records: size, number of ids, text filled up to words of eight bytes, ids; and ids of entries */
    uint64_t line_mask, index_mask, arena_size, arena_used, entries, records;
    uint64_t most_lines, most_index;
    void *front; /* memory before all that */
    void *block;
    size_t block_size;
} mt_memory;

/* A group of segments. The second half of the key is 0 for those that have no entry. */
typedef struct {
    uint64_t key[MT_GROUP][2]; /* the key; or the hash, and 0 */
    const void *at[MT_GROUP];  /* the line or the cell of the index; the record, then, or NULL */
    uint32_t entry[MT_GROUP];  /* the value of an entry; 0 while it is not known, or has none */
    uint16_t miss[MT_GROUP];
    int misses;
} mt_group;

/* The hash of a segment of 8 to 31 bytes: two words from its start and two from its end, which may overlap. */
MT_INLINE uint64_t mt_wide_hash(const uint8_t *p, uint64_t n) {
    const uint64_t by = n > 16 ? 8 : 0;
    return mt_fold(mt_load64(p) ^ 0x9E3779B97F4A7C15u, mt_load64(p + n - 8) ^ 0xC2B2AE3D27D4EB4Fu) ^
           mt_fold(mt_load64(p + by) ^ 0x165667B19E3779F9u ^ n, mt_load64(p + n - 8 - by) ^ 0xD6E8FEB86659FD93u);
}

/* The same for any of more than 8 bytes. */
static inline uint64_t mt_record_hash(const uint8_t *p, uint64_t n) {
    uint64_t h = MT_HASH_SEED ^ n;
    if (n <= MT_WIDE) return mt_wide_hash(p, n);
    for (uint64_t i = 0; i + 8 < n; i += 8) h = mt_fold(h ^ mt_load64(p + i), 0x9E3779B97F4A7C15u);
    return mt_fold(h ^ mt_load64(p + n - 8), 0xC2B2AE3D27D4EB4Fu);
}

/* Forget everything and be small again: what comes back most lies close together then. */
static inline void mt_forget(mt_memory *m) {
    m->line_mask = (m->most_lines < 1024 ? m->most_lines : 1024) - 1;
    m->index_mask = (m->most_index < 1024 ? m->most_index : 1024) - 1;
    m->index = (uint64_t *)m->lines - (m->index_mask + 1);
    memset(m->lines, 0, 64 * (m->line_mask + 1));
    memset(m->spilt, 0, 8 * (m->line_mask / 64 + 1));
    memset(m->index, 0, 8 * (m->index_mask + 1));
    m->arena_used = 8;
    m->entries = m->records = 0;
}

/* Begin small; the logarithms say how many lines and cells and how much arena there may be, `front` how much memory the caller
 * wants for itself. Returns 0 without memory. What is touched first lies together, for the sake of huge pages: the end of
 * `front`, the bits and the start of the arena; and the index, which grows downwards, below the lines. */
static inline int mt_memory_start(mt_memory *m, int lines_log2, int index_log2, int arena_log2, size_t front) {
    const uint64_t before = (front + 63) / 64 * 64;
    uint64_t bits;
    uint8_t *p;
    m->most_lines = (uint64_t)1 << lines_log2;
    m->most_index = (uint64_t)1 << index_log2;
    m->arena_size = (uint64_t)1 << arena_log2;
    bits = (8 * (m->most_lines / 64 + 1) + 63) / 64 * 64;
    m->block_size = before + bits + m->arena_size + 64 + 8 * m->most_index + 64 * m->most_lines;
    p = (uint8_t *)mt_reserve(m->block_size, &m->block);
    if (p == NULL) return 0;
    m->front = p;
    m->spilt = (uint64_t *)(void *)(p + before);
    m->arena = p + before + bits;
    m->lines = (mt_line *)(void *)(m->arena + m->arena_size + 64 + 8 * m->most_index);
    mt_forget(m);
    return 1;
}

static inline void mt_memory_end(mt_memory *m) { mt_release(m->block, m->block_size); }

MT_INLINE int mt_spilt(const mt_memory *m, uint64_t h) {
    const uint64_t home = h & m->line_mask;
    return (int)(m->spilt[home >> 6] >> (home & 63) & 1);
}

MT_INLINE void mt_spill(mt_memory *m, uint64_t h) {
    const uint64_t home = h & m->line_mask;
    m->spilt[home >> 6] |= (uint64_t)1 << (home & 63);
}

MT_INLINE int mt_free_place(const mt_line *line) {
    int i = 0;
    while (i < 3 && line->key[i][1]) i++;
    return i;
}

/* Put an entry into its line, its other line if there is no room, or in the place of another one. */
static inline void mt_entry_add(mt_memory *m, const uint64_t *key, uint32_t value) {
    const uint64_t h = mt_key_hash(key[0], key[1]);
    mt_line *line = m->lines + (h & m->line_mask);
    int i = mt_free_place(line);
    if (i == 3) {
        mt_line *other = m->lines + (mt_other_place(h) & m->line_mask);
        i = mt_free_place(other);
        if (i < 3) {
            mt_spill(m, h);
            line = other;
        } else {
            i = (int)((h >> 32) % 3);
            m->entries--;
        }
    }
    memcpy(line->key[i], key, 16);
    line->value[i] = value;
    m->entries++;
}

/* Add a piece to lines that are never changed afterwards, where its line has room. */
static inline void mt_known_add(mt_line *lines, uint64_t mask, const uint8_t *p, uint32_t n, uint32_t piece) {
    uint64_t key[2];
    mt_key(p, n, 16, key, key + 1);
    mt_line *line = lines + (mt_key_hash(key[0], key[1]) & mask);
    const int i = mt_free_place(line);
    if (i == 3) return;
    memcpy(line->key[i], key, 16);
    line->value[i] = (uint32_t)1 << 29 | piece;
}

/* Double the lines. Entries are taken out and put in again one line after the other; few of them may get lost. */
static inline int mt_more_lines(mt_memory *m) {
    const uint64_t old = m->line_mask + 1;
    if (2 * old > m->most_lines) return 0;
    m->line_mask = 2 * old - 1;
    memset(m->lines + old, 0, 64 * old);
    memset(m->spilt, 0, 8 * (m->line_mask / 64 + 1));
    for (uint64_t i = 0; i < old; i++) {
        const mt_line line = m->lines[i];
        memset(m->lines + i, 0, 64);
        for (int j = 0; j < 3; j++) {
            if (line.key[j][1] == 0) continue;
            m->entries--;
            mt_entry_add(m, line.key[j], line.value[j]);
        }
    }
    return 1;
}

static inline void mt_index_add(mt_memory *m, uint64_t h, uint64_t place) {
    uint64_t i = h & m->index_mask;
    while (m->index[i]) i = (i + 1) & m->index_mask;
    m->index[i] = (h >> 32 << 32) | place;
}

static inline int mt_more_index(mt_memory *m) {
    const uint64_t old = m->index_mask + 1;
    uint64_t *cells;
    if (2 * old > m->most_index || (cells = (uint64_t *)malloc(8 * old)) == NULL) return 0;
    memcpy(cells, m->index, 8 * old);
    m->index -= old;
    m->index_mask = 2 * old - 1;
    memset(m->index, 0, 16 * old);
    for (uint64_t i = 0; i < old; i++) {
        if (cells[i] == 0) continue;
        const uint8_t *record = m->arena + 8 * (cells[i] & UINT32_MAX);
        uint32_t size;
        memcpy(&size, record, 4);
        mt_index_add(m, mt_record_hash(record + 8, size), cells[i] & UINT32_MAX);
    }
    free(cells);
    return 1;
}

/* Make room for what a group of that many segments adds. What is remembered stays where it is until the next call. Tables grow
 * while the largest group would not fit; where they cannot, they last as long as this one does. */
static inline void mt_make_room(mt_memory *m, uint64_t count) {
    if (3 * (m->line_mask + 1) < 2 * (m->entries + MT_GROUP)) mt_more_lines(m);
    if (m->index_mask + 1 < 2 * (m->records + MT_GROUP)) mt_more_index(m);
    if (3 * (m->line_mask + 1) < 2 * (m->entries + count) || m->index_mask + 1 < 2 * (m->records + count) ||
        m->arena_used + count * MT_ROOM > m->arena_size)
        mt_forget(m);
}

/* Take a place in the arena; 0 where there is no room. */
static inline uint64_t mt_take(mt_memory *m, uint64_t size) {
    const uint64_t place = m->arena_used, need = (size + 7) / 8 * 8;
    if (place + need > m->arena_size) return 0;
    m->arena_used = place + need;
    return place;
}

/* Remember a short segment with up to seven ids; returns the value of its entry, 0 where there is no room. */
static inline uint32_t mt_entry_keep(mt_memory *m, uint64_t k0, uint64_t k1, const int32_t *ids, int64_t n) {
    const uint64_t key[2] = {k0, k1};
    uint32_t value = (uint32_t)ids[0];
    if (n > 1) {
        const uint64_t place = mt_take(m, 4 * (uint64_t)n);
        if (place == 0 || place / 4 >= MT_PLACES) return 0;
        memcpy(m->arena + place, ids, 4 * (size_t)n);
        value = (uint32_t)(place / 4);
    }
    value |= (uint32_t)n << 29;
    mt_entry_add(m, key, value);
    return value;
}

/* The ids of a record. */
MT_INLINE const uint8_t *mt_record_ids(const uint8_t *record, uint64_t size) { return record + 8 + (size + 7) / 8 * 8; }

/* Remember a longer one; returns the record, NULL where there is no room. */
static inline const uint8_t *mt_record_keep(mt_memory *m, const uint8_t *p, uint32_t size, uint64_t h, const int32_t *ids, int64_t n) {
    const uint64_t text = (size + 7u) / 8 * 8;
    const uint64_t place = 2 * m->records <= m->index_mask ? mt_take(m, 8 + text + 4 * (uint64_t)n) : 0;
    const uint32_t count = (uint32_t)n;
    uint8_t *record = m->arena + place;
    if (place == 0) return NULL;
    memcpy(record, &size, 4);
    memcpy(record + 4, &count, 4);
    memset(record + 8 + text - 8, 0, 8);
    memcpy(record + 8, p, size);
    memcpy(record + 8 + text, ids, 4 * (size_t)n);
    mt_index_add(m, h, place / 8);
    m->records++;
    return record;
}

/* The value of an entry of a line that has this key; 0 for none. */
MT_INLINE uint32_t mt_match(const mt_line *line, uint64_t k0, uint64_t k1) {
    uint32_t found = 0;
    for (int j = 0; j < 3; j++) found |= line->value[j] & (0u - (uint32_t)(((line->key[j][0] ^ k0) | (line->key[j][1] ^ k1)) == 0));
    return found;
}

/* The value of the entry of a short segment, whichever line it lies in; 0 for none. */
static inline uint32_t mt_entry_find(const mt_memory *m, uint64_t k0, uint64_t k1) {
    const uint64_t h = mt_key_hash(k0, k1);
    const uint32_t found = mt_match(m->lines + (h & m->line_mask), k0, k1);
    return found || !mt_spilt(m, h) ? found : mt_match(m->lines + (mt_other_place(h) & m->line_mask), k0, k1);
}

/* The record of a longer one; NULL for none. */
static inline const uint8_t *mt_record_find(const mt_memory *m, const uint8_t *p, uint32_t size, uint64_t h) {
    for (uint64_t i = h & m->index_mask; m->index[i]; i = (i + 1) & m->index_mask) {
        const uint8_t *record = m->arena + 8 * (m->index[i] & UINT32_MAX);
        uint32_t found;
        if (m->index[i] >> 32 != h >> 32) continue;
        memcpy(&found, record, 4);
        if (found == size && memcmp(record + 8, p, size) == 0) return record;
    }
    return NULL;
}

/* Copy the ids of an entry and return their number. There is room for eight. */
MT_INLINE uint32_t mt_entry_copy(const mt_memory *m, uint32_t entry, int32_t *out) {
    const uint32_t n = entry >> 29, value = entry & (uint32_t)(MT_PLACES - 1);
    const uint32_t many = 0u - (uint32_t)(n != 1); /* no branch: it could not be predicted */
    const uint8_t *ids = m->arena + 4 * (uint64_t)(value & many);
    uint32_t first;
    memcpy(&first, ids, 4);
    memcpy(out, ids, 16);
    memcpy(out + 4, ids + 16, 16);
    out[0] = (int32_t)((first & many) | (value & ~many));
    return n;
}

/* First pass: make keys and ask for lines and cells. `room` bytes may be read from `p` on. */
static inline void mt_ask(const mt_memory *m, mt_group *g, const uint8_t *p, uint64_t room, uint64_t start, const uint64_t *ends, int count) {
    for (int i = 0; i < count; i++) {
        const uint64_t size = ends[i] - start;
        if (mt_likely(size <= MT_ENTRY)) {
            uint64_t k0, k1;
            if (mt_likely(start + 16 <= room)) {
                k0 = mt_load64(p + start) & mt_keep[size][0];
                k1 = (mt_load64(p + start + 8) & mt_keep[size][1]) | size << 56;
            } else {
                mt_key(p + start, (uint32_t)size, room - start, &k0, &k1);
            }
            g->key[i][0] = k0, g->key[i][1] = k1;
            g->at[i] = m->lines + (mt_key_hash(k0, k1) & m->line_mask);
        } else {
            const uint64_t h = size <= MT_WIDE ? mt_wide_hash(p + start, size) : 0;
            g->key[i][0] = h, g->key[i][1] = 0;
            g->at[i] = m->index + (h & m->index_mask);
        }
        mt_prefetch(g->at[i]);
        start = ends[i];
    }
}

#if defined(MT_X86)
/* The same at once: the two halves of a key are two bits beside each other, and where none is found, the value is the fourth. */
MT_INLINE uint32_t mt_matched(const mt_line *line, uint32_t same) {
    return line->value[__builtin_ctz((same & same >> 1 & 0x15u) | 0x40u) >> 1];
}

MT_TARGET_AVX512 static inline uint32_t mt_match_avx512(const mt_line *line, const uint64_t *key) {
    const __m512i k = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)key));
    return mt_matched(line, _mm512_cmpeq_epi64_mask(_mm512_load_si512((const void *)line), k));
}

MT_TARGET_AVX2 static inline uint32_t mt_match_avx2(const mt_line *line, const uint64_t *key) {
    const __m128i k = _mm_loadu_si128((const __m128i *)key);
    const __m256i a = _mm256_cmpeq_epi64(_mm256_load_si256((const __m256i *)line), _mm256_broadcastsi128_si256(k));
    const __m128i b = _mm_cmpeq_epi64(_mm_load_si128((const __m128i *)line->key[2]), k);
    return mt_matched(line, (uint32_t)_mm256_movemask_pd(_mm256_castsi256_pd(a)) |
                                (uint32_t)_mm_movemask_pd(_mm_castsi128_pd(b)) << 4);
}
#endif

/* Second pass: look at lines and cells, and ask for records. Nothing that one segment does depends on what came of another. */
#define MT_RESOLVE(MATCH)                                                                             \
    do {                                                                                              \
        for (int i = 0; i < count; i++) {                                                             \
            if (mt_likely(g->key[i][1] != 0)) {                                                       \
                g->entry[i] = MATCH((const mt_line *)g->at[i], g->key[i]);                            \
            } else {                                                                                  \
                g->entry[i] = 0;                                                                      \
                g->at[i] = mt_record_of(m, (const uint64_t *)g->at[i], g->key[i][0]);                 \
                mt_prefetch(g->at[i]);                                                                \
            }                                                                                         \
        }                                                                                             \
    } while (0)

/* The first record that has this hash, or at least its upper half; NULL for none. */
MT_INLINE const uint8_t *mt_record_of(const mt_memory *m, const uint64_t *cell, uint64_t h) {
    while (*cell && *cell >> 32 != h >> 32) cell = cell == m->index + m->index_mask ? m->index : cell + 1;
    return *cell ? m->arena + 8 * (*cell & UINT32_MAX) : NULL;
}

MT_INLINE uint32_t mt_match_plain(const mt_line *line, const uint64_t *key) { return mt_match(line, key[0], key[1]); }

static void mt_resolve_plain(const mt_memory *m, mt_group *g, int count) { MT_RESOLVE(mt_match_plain); }
#if defined(MT_X86)
MT_TARGET_AVX512 static void mt_resolve_avx512(const mt_memory *m, mt_group *g, int count) { MT_RESOLVE(mt_match_avx512); }
MT_TARGET_AVX2 static void mt_resolve_avx2(const mt_memory *m, mt_group *g, int count) { MT_RESOLVE(mt_match_avx2); }
#endif

/* Note which segments are not known. */
static inline void mt_note_misses(mt_group *g, int count) {
    g->misses = 0;
    for (int base = 0; base < count; base += 16) {
        uint64_t none = mt_zeros(g->entry + base);
        if (count - base < 16) none &= mt_below((uint64_t)(count - base));
        for (; none; none &= none - 1) {
            const int i = base + (int)mt_trailing(none);
            if (g->key[i][1] != 0 || g->at[i] == NULL) g->miss[g->misses++] = (uint16_t)i;
        }
    }
}

/* The same with the instructions of a level. */
static inline void mt_resolve(int level, const mt_memory *m, mt_group *g, int count) {
#if defined(MT_X86)
    if (level >= 3) mt_resolve_avx512(m, g, count);
    else if (level == 2) mt_resolve_avx2(m, g, count);
    else
#endif
        mt_resolve_plain(m, g, count);
    mt_note_misses(g, count);
}

/* Is this the record of a segment of 8 to 31 bytes? */
MT_INLINE int mt_record_is(const uint8_t *record, const uint8_t *p, uint64_t n) {
    const uint64_t by = n > 16 ? 8 : 0;
    const uint8_t *q = record + 8;
    uint32_t size;
    memcpy(&size, record, 4);
    return (size == n) & (((mt_load64(q) ^ mt_load64(p)) | (mt_load64(q + n - 8) ^ mt_load64(p + n - 8)) |
                           (mt_load64(q + by) ^ mt_load64(p + by)) |
                           (mt_load64(q + n - 8 - by) ^ mt_load64(p + n - 8 - by))) == 0);
}

/* Last pass: copy the ids of segments from `i` on until one is not known. Adds their number to `k[0]` and returns where it
 * stopped. `out` has room for eight ids more than there are. */
static inline int mt_copy(const mt_memory *m, const mt_group *g, const uint8_t *p, uint64_t start, const uint64_t *ends, int i, int count, int32_t *out, int64_t *k) {
    int32_t *at = out + *k;
    for (; i < count; i++) {
        const uint32_t entry = g->entry[i];
        uint32_t n;
        if (mt_likely(entry != 0)) {
            n = mt_entry_copy(m, entry, at);
        } else {
            const uint64_t begin = i ? ends[i - 1] : start, size = ends[i] - begin;
            const uint8_t *record = (const uint8_t *)g->at[i], *ids;
            if (g->key[i][1] || record == NULL || size > MT_WIDE || !mt_record_is(record, p + begin, size)) break;
            memcpy(&n, record + 4, 4);
            if (n > MT_SOME) break;
            ids = mt_record_ids(record, size);
            memcpy(at, ids, 16);
            memcpy(at + 4, ids + 16, 16);
        }
        at += n;
    }
    *k = at - out;
    return i;
}
#endif
