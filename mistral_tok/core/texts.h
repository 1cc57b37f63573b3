/* What a worker remembers of whole texts: the same prompts, messages and documents are encoded again and again.
 *
 * A text that is met for the first time leaves its hash only; the second time the text and its ids are kept, and from then
 * on they are copied. So text that never comes back costs one hash. A hash is never believed: the texts are compared.
 * Where Python's characters are converted by us (text.h), they are compared, and no UTF-8 is made of what is known. */
#ifndef MISTRAL_TOK_TEXTS_H
#define MISTRAL_TOK_TEXTS_H

#include "text.h"

#define MT_TEXT_LEAST 128 /* bytes; segments of shorter texts are looked up as fast */
#define MT_TEXT_WIDE 96   /* the same where characters have two bytes or four: in UTF-8 they may have three */

/* A text that is kept, followed by its bytes, filled up to words of eight, and its ids. */
typedef struct {
    uint64_t size; /* in bytes */
    uint32_t count, kind;
} mt_kept;

/* The last text that was met of those that share this cell, and where it is kept, in words of eight bytes; or 0. */
typedef struct {
    uint64_t hash, place;
} mt_met;

typedef struct {
    mt_met *cells;
    uint8_t *arena;
    uint64_t mask, size, used;
    void *block;
} mt_texts;

MT_INLINE uint64_t mt_text_bytes(const mt_text *text) { return (uint64_t)text->size * (text->kind ? (uint64_t)text->kind : 1u); }

/* Forget everything. */
static inline void mt_texts_forget(mt_texts *m) {
    memset(m->cells, 0, sizeof(mt_met) * (m->mask + 1));
    m->used = 8;
}

/* Bytes of the cells for 2^log2 bytes of texts. */
MT_INLINE size_t mt_texts_cells(int log2) { return sizeof(mt_met) * ((size_t)1 << log2) / 128; }

/* Keep up to 2^log2 bytes; the memory of the cells is given, and 0 everywhere. Returns 0 without memory. */
static inline int mt_texts_start(mt_texts *m, int log2, void *cells) {
    m->size = (uint64_t)1 << log2;
    m->mask = m->size / 128 - 1;
    m->cells = (mt_met *)cells;
    m->arena = (uint8_t *)mt_reserve(m->size, &m->block);
    m->used = 8;
    return m->arena != NULL;
}

static inline void mt_texts_end(mt_texts *m) { mt_release(m->block, m->size); }

/* The hash of a text of MT_TEXT_LEAST bytes and more; 0 for one that is not looked for: too short, or too long to be kept. */
static inline uint64_t mt_text_hash(const mt_texts *m, const mt_text *text) {
    const uint8_t *p = (const uint8_t *)text->data;
    const uint64_t n = mt_text_bytes(text);
    uint64_t a = n, b = (uint64_t)text->kind, c = 1, d = 2;
    if (n < (text->kind < 2 ? MT_TEXT_LEAST : MT_TEXT_WIDE) || n > m->size / 2) return 0;
    for (uint64_t i = 0; i < n; i += 64) {
        const uint8_t *q = i + 64 <= n ? p + i : p + n - 64;
        a = mt_fold(a ^ mt_load64(q), mt_load64(q + 8) ^ 0x9E3779B97F4A7C15u);
        b = mt_fold(b ^ mt_load64(q + 16), mt_load64(q + 24) ^ 0xC2B2AE3D27D4EB4Fu);
        c = mt_fold(c ^ mt_load64(q + 32), mt_load64(q + 40) ^ 0x165667B19E3779F9u);
        d = mt_fold(d ^ mt_load64(q + 48), mt_load64(q + 56) ^ 0xD6E8FEB86659FD93u);
    }
    return mt_fold(a ^ c ^ 0x9E3779B97F4A7C15u, b ^ d ^ 0xC2B2AE3D27D4EB4Fu) | 1;
}

MT_INLINE const uint8_t *mt_kept_ids(const mt_kept *kept) { return (const uint8_t *)(kept + 1) + (kept->size + 7) / 8 * 8; }

/* The text, if it is kept; NULL otherwise. */
static inline const mt_kept *mt_text_find(const mt_texts *m, const mt_text *text, uint64_t h) {
    const mt_met *cell = m->cells + (h >> 1 & m->mask);
    const mt_kept *kept = (const mt_kept *)(const void *)(m->arena + 8 * cell->place);
    if (cell->hash != h || cell->place == 0 || kept->size != mt_text_bytes(text) || kept->kind != (uint32_t)text->kind) return NULL;
    return memcmp(kept + 1, text->data, kept->size) == 0 ? kept : NULL;
}

/* Note that a text was met, or keep it if it was met before. */
static inline void mt_text_met(mt_texts *m, const mt_text *text, uint64_t h, const int32_t *ids, int64_t n) {
    mt_met *cell = m->cells + (h >> 1 & m->mask);
    const uint64_t size = mt_text_bytes(text), words = (size + 7) / 8 * 8;
    const uint64_t need = sizeof(mt_kept) + words + (4 * (uint64_t)n + 7) / 8 * 8;
    const mt_kept head = {size, (uint32_t)n, (uint32_t)text->kind};
    uint8_t *p;
    if (cell->hash != h) {
        cell->hash = h;
        cell->place = 0;
        return;
    }
    if (need > m->size / 2 || mt_text_find(m, text, h) != NULL) return; /* among texts looked up together it may come again */
    if (m->used + need > m->size) mt_texts_forget(m);
    p = m->arena + m->used;
    memcpy(p, &head, sizeof head);
    memcpy(p + sizeof head, text->data, size);
    memcpy(p + sizeof head + words, ids, 4 * (size_t)n);
    cell->hash = h;
    cell->place = m->used / 8;
    m->used += need;
}
#endif
