/* Byte-pair merging of short segments, one step at a time and without a branch on what the text holds.
 *
 * A symbol stays at the place of its first unit (a byte, or a character where there is a space mark). `key` is the rank
 * of the rule for it and the symbol after it, with its place below; that of a place without a rule, or of one that was
 * merged into another, is larger than any. The least key is the next merge: the best rank, the leftmost among equals.
 * Neighbours are found by where symbols begin and end, so that nothing moves.
 *
 * What takes the time is waiting for the table of pairs, which is larger than the caches. So a step asks for the two
 * rules that its merge makes possible, and the next one reads them; `mt_learn` lets several segments take their steps in
 * turn, so that each waits while the others work. */
#ifndef MISTRAL_TOK_WORDS_H
#define MISTRAL_TOK_WORDS_H

#include "trie.h"

#define MT_SHORT 48   /* units at most */
#define MT_NOWHERE 55 /* a place whose key is never read */
#define MT_GROUP 128  /* segments that are worked out together */

typedef struct {
    uint32_t sym[MT_SHORT], key[MT_SHORT + 8], rule[MT_NOWHERE + 1];
    uint8_t begin[MT_SHORT + 1], end[MT_SHORT + 1]; /* where the symbol begins that ends here, and the reverse */
    uint8_t at[MT_SHORT + 1];                       /* where marked: the first byte of each unit */
    uint32_t n;
    uint32_t place[2]; /* whose rule was asked for */
    uint64_t pair[2];
    const uint8_t *p;
} mt_word;

MT_INLINE uint32_t mt_less(uint32_t a, uint32_t b) { return a < b ? a : b; }

/* The least of `n` keys, of which there are whole groups of eight. */
MT_INLINE uint32_t mt_least(const uint32_t *key, uint32_t n) {
    uint32_t low = UINT32_MAX;
    for (uint32_t i = 0; i < n; i += 8) {
        const uint32_t *k = key + i;
        low = mt_less(low, mt_less(mt_less(mt_less(k[0], k[1]), mt_less(k[2], k[3])),
                                   mt_less(mt_less(k[4], k[5]), mt_less(k[6], k[7]))));
    }
    return low;
}

MT_INLINE void mt_set_rule(const mt_tables *t, mt_word *w, uint32_t place, uint32_t rule) {
    const uint32_t none = 0u - (uint32_t)(rule == MT_NO_RULE); /* no branch: half of all pairs have no rule */
    const uint32_t rank = mt_likely(!t->ties) ? rule : t->rule_rank[none ? 0 : rule];
    w->rule[place] = rule;
    w->key[place] = none | rank << 6 | place;
}

MT_INLINE void mt_ask(const mt_tables *t, mt_word *w, int which, uint32_t place, uint32_t left, uint32_t right) {
    w->place[which] = place;
    w->pair[which] = (uint64_t)left << 21 | right;
    mt_prefetch(t->pairs + (mt_pair_start(w->pair[which]) & t->pair_mask));
}

/* Begin with a segment of 1 to 48 bytes. */
static inline void mt_word_start(const mt_tables *t, mt_word *w, const uint8_t *p, uint32_t bytes) {
    uint32_t n = 0;
    w->p = p;
    if (!t->marked) {
        n = bytes;
        for (uint32_t i = 0; i < n; i++) w->sym[i] = t->byte_symbols[p[i]];
        for (uint32_t i = 0; i + 1 < n; i++) mt_set_rule(t, w, i, t->first_rules[(uint32_t)p[i] << 8 | p[i + 1]]);
    } else {
        uint32_t before = 128, size;
        for (uint32_t i = 0; i < bytes; i += size, n++) {
            const uint32_t c = mt_char(p + i, &size);
            w->at[n] = (uint8_t)i;
            w->sym[n] = c < MT_DIRECT ? t->char_symbols[c] : mt_lookup(t, p + i, size);
            if (n > 0 && c < 128 && before < 128) mt_set_rule(t, w, n - 1, t->first_rules[before << 7 | c]);
            else if (n > 0) mt_set_rule(t, w, n - 1, mt_rule(t, w->sym[n - 1], w->sym[n]));
            before = c;
        }
        w->at[n] = (uint8_t)bytes;
    }
    for (uint32_t i = n - 1; i < n + 7; i++) w->key[i] = UINT32_MAX;
    for (uint32_t i = 0; i < n; i++) w->end[i] = (uint8_t)(i + 1), w->begin[i + 1] = (uint8_t)i;
    w->n = n;
    w->place[0] = w->place[1] = MT_NOWHERE;
    w->pair[0] = w->pair[1] = 0;
}

/* Take the next merge; 0 when there is none any more. */
MT_INLINE int mt_word_step(const mt_tables *t, mt_word *w) {
    for (int x = 0; x < 2; x++) mt_set_rule(t, w, w->place[x], mt_rule_of(t, w->pair[x]));
    const uint32_t low = mt_least(w->key, w->n);
    if (low == UINT32_MAX) return 0;
    const uint32_t i = low & 63, j = w->end[i], e = w->end[j], b = w->begin[i];
    const uint32_t made = t->rule_base ? t->rule_base + w->rule[i] : t->rule_result[w->rule[i]];
    w->sym[i] = made;
    w->end[i] = (uint8_t)e;
    w->begin[e] = (uint8_t)i;
    w->key[i] = w->key[j] = UINT32_MAX;
    mt_ask(t, w, 0, e < w->n ? i : MT_NOWHERE, made, w->sym[e < w->n ? e : i]);
    mt_ask(t, w, 1, i > 0 ? b : MT_NOWHERE, w->sym[i > 0 ? b : i], made);
    return 1;
}

/* Write the ids of a merged segment and return their number. A character that is no piece becomes its bytes. */
MT_INLINE int64_t mt_word_ids(const mt_tables *t, const mt_word *w, int32_t *out) {
    int64_t k = 0;
    for (uint32_t i = 0; i < w->n; i = w->end[i]) {
        if (mt_likely(w->sym[i] < t->n_pieces)) {
            out[k++] = (int32_t)w->sym[i];
        } else {
            for (uint32_t b = w->at[i]; b < w->at[i + 1]; b++) out[k++] = (int32_t)t->byte_symbols[w->p[b]];
        }
    }
    return k;
}

/* Encode a segment of 1 to 48 bytes into `out`, which has room for as many ids; returns their number. */
static inline int64_t mt_merge_short(const mt_tables *t, const uint8_t *p, uint32_t bytes, int32_t *out) {
    mt_word w;
    mt_word_start(t, &w, p, bytes);
    while (mt_word_step(t, &w)) {}
    return mt_word_ids(t, &w, out);
}

/* The tables in which a worker remembers segments of up to 31 bytes. `spilt` has a bit for every set of the slots, and
 * after them for every set of the wide ones: whether a segment that belongs there lies elsewhere. It is small enough to
 * stay in the cache, so that a new segment is known to be new without a look at all other places. */
typedef struct {
    mt_slot *slots;
    mt_wide *wides;
    uint64_t *spilt;
    uint64_t set_mask, wide_mask;
} mt_memory;

/* A segment that is looked for: its key (`k[2]` and `k[3]` are 0 up to 15 bytes), and the hashes of key and text. */
typedef struct {
    const uint8_t *p;
    uint32_t size, piece;
    uint64_t k[4], h, text;
} mt_seen;

/* Look at a segment of 1 to 31 bytes of which `room` bytes may be read. */
MT_INLINE void mt_look(mt_seen *s, const uint8_t *p, uint32_t size, uint64_t room) {
    s->p = p;
    s->size = size;
    s->k[2] = s->k[3] = 0;
    if (size <= 15) mt_key(p, size, room, s->k, s->k + 1), s->h = mt_key_hash(s->k[0], s->k[1]);
    else mt_wide_key(p, size, room, s->k), s->h = mt_wide_hash(s->k);
}

MT_INLINE uint64_t mt_spill_bit(const mt_memory *m, const mt_seen *s) {
    return s->size <= 15 ? s->h & m->set_mask : m->set_mask + 1 + (s->h & m->wide_mask);
}

MT_INLINE int mt_spilt(const mt_memory *m, const mt_seen *s) {
    const uint64_t i = mt_spill_bit(m, s);
    return (int)(m->spilt[i >> 6] >> (i & 63) & 1);
}

MT_INLINE void mt_spill(const mt_memory *m, const mt_seen *s) {
    const uint64_t i = mt_spill_bit(m, s);
    m->spilt[i >> 6] |= (uint64_t)1 << (i & 63);
}

MT_INLINE uint32_t mt_find_wide(const mt_memory *m, uint64_t h, const uint64_t *k, int32_t *out) {
    return mt_wide_recall(m->wides + 2 * (h & m->wide_mask), k, out);
}

/* Write the ids of a remembered segment, wherever it is but in the arena, and say how many; 0 when it is not known. A short
 * segment with more ids than its slot holds lies where longer ones do. */
MT_INLINE uint32_t mt_find(const mt_memory *m, const mt_seen *s, int32_t *out) {
    const int wide = s->size > 15;
    uint32_t n = wide ? mt_find_wide(m, s->h, s->k, out)
                      : mt_recall(m->slots + 2 * (s->h & m->set_mask), s->k[0], s->k[1], out);
    if (n || !mt_spilt(m, s)) return n;
    if (wide) return mt_find_wide(m, mt_other_place(s->h), s->k, out);
    n = mt_recall(m->slots + 2 * (mt_other_place(s->h) & m->set_mask), s->k[0], s->k[1], out);
    if (n) return n;
    const uint64_t h = mt_wide_hash(s->k);
    n = mt_find_wide(m, h, s->k, out);
    return n ? n : mt_find_wide(m, mt_other_place(h), s->k, out);
}

/* Remember a segment that is not remembered; 0 when it has too many ids. */
MT_INLINE int mt_keep_ids(const mt_memory *m, const mt_seen *s, const int32_t *ids, int64_t n) {
    if (n > 7) return 0;
    if (s->size <= 15 && n <= 4) {
        mt_slot *set = mt_place(m->slots, s->h, m->set_mask);
        if (set != m->slots + 2 * (s->h & m->set_mask)) mt_spill(m, s);
        mt_remember(set, s->k[0], s->k[1], ids, (uint32_t)n);
    } else {
        const uint64_t h = s->size <= 15 ? mt_wide_hash(s->k) : s->h;
        mt_wide *set = mt_wide_place(m->wides, h, m->wide_mask);
        if (s->size <= 15 || set != m->wides + 2 * (h & m->wide_mask)) mt_spill(m, s);
        mt_wide_remember(set, s->k, ids, (uint32_t)n);
    }
    return 1;
}

/* Make the keys of segments, the first from `start` on, and ask for their sets. A segment of more than 15 bytes gets a key
 * that no slot has; one of up to 31 has a wide set. */
static inline void mt_ask_sets(const mt_memory *m, const uint8_t *p, uint64_t n, uint64_t start, const uint64_t *ends,
                               int count, uint64_t *keys, const void **sets) {
    for (int i = 0; i < count; i++) {
        const uint64_t size = ends[i] - start;
        uint64_t *k = keys + 2 * i;
        if (mt_likely(size <= 15)) {
            if (mt_likely(start + 16 <= n)) {
                k[0] = mt_load64(p + start) & mt_keep[size][0];
                k[1] = (mt_load64(p + start + 8) & mt_keep[size][1]) | size << 56;
            } else {
                mt_key(p + start, (uint32_t)size, n - start, k, k + 1);
            }
            sets[i] = m->slots + 2 * (mt_key_hash(k[0], k[1]) & m->set_mask);
        } else {
            uint64_t wide[4];
            k[0] = 1, k[1] = 0;
            sets[i] = m->slots;
            if (size <= 31) {
                mt_wide_key(p + start, (uint32_t)size, n - start, wide);
                sets[i] = m->wides + 2 * (mt_wide_hash(wide) & m->wide_mask);
            }
        }
        mt_prefetch(sets[i]);
        start = ends[i];
    }
}

/* Recall segments one after the other until one is not known in its set. Writes their ids to `out`, adds their number to
 * `k[0]`, moves `start[0]` to the end of the last, and returns how many segments that were. */
static inline int mt_recall_sets(const uint8_t *p, uint64_t n, uint64_t *start, const uint64_t *ends, const uint64_t *keys,
                                 const void *const *sets, int count, int32_t *out, int64_t *k) {
    int32_t *at = out + *k;
    int i = 0;
    for (; i < count; i++) {
        uint32_t known;
        if (mt_likely(keys[2 * i + 1])) {
            known = mt_recall((const mt_slot *)sets[i], keys[2 * i], keys[2 * i + 1], at);
        } else {
            const uint64_t begin = i > 0 ? ends[i - 1] : *start;
            uint64_t wide[4];
            if (ends[i] - begin > 31) break;
            mt_wide_key(p + begin, (uint32_t)(ends[i] - begin), n - begin, wide);
            known = mt_wide_recall((const mt_wide *)sets[i], wide, at);
        }
        if (!mt_likely(known)) break;
        at += known;
    }
    if (i > 0) *start = ends[i - 1];
    *k = at - out;
    return i;
}

/* Spell words and remember them, but for those that are to be merged. */
static inline void mt_learn_pieces(const mt_tables *t, const mt_memory *m, const mt_seen *seen, int count) {
    mt_spelling words[MT_WORDS];
    int32_t ids[8];
    for (int i = 0; i < count; i++) mt_spell_start(words + i, seen[i].p, seen[i].size);
    mt_spell(t, words, count);
    for (int i = 0; i < count; i++) { /* it may be met twice */
        if (words[i].n > 0 && mt_find(m, seen + i, ids) == 0) mt_keep_ids(m, seen + i, words[i].ids, words[i].k);
    }
}

/* Work out those of up to 128 segments that are not remembered, and remember them. The caller looks for them again: it
 * encodes what was driven out in between, or has too many ids, by itself. Segments with a space mark are left to it. */
static inline void mt_learn(const mt_tables *t, const mt_memory *m, const uint8_t *p, uint64_t n, uint64_t start,
                            const uint64_t *ends, const uint64_t *keys, const void *const *sets, int count) {
    mt_word words[MT_TURNS];
    mt_seen seen[MT_GROUP];
    uint8_t whose[MT_TURNS];
    int32_t ids[MT_SHORT + 8];
    int left = 0, active = 0, next = 0;
    for (int i = 0; i < count; start = ends[i], i++) {
        const uint64_t size = ends[i] - start, *k = keys + 2 * i;
        mt_seen *s = seen + left;
        if (size > 31 || size == 0) continue;
        if (mt_likely(size <= 15 && mt_recall((const mt_slot *)sets[i], k[0], k[1], ids))) continue;
        mt_look(s, p + start, (uint32_t)size, n - start);
        if (mt_find(m, s, ids) || (t->marked && memchr(s->p, 0xE2, s->size))) continue;
        left++;
        if (t->trie) continue;
        s->text = MT_HASH_SEED;
        for (uint32_t j = 0; j < s->size; j++) s->text = mt_hash_step(s->text, s->p[j]);
        mt_prefetch(t->piece_hash + (mt_mix(s->text) & t->piece_mask));
    }
    if (t->trie) {
        mt_learn_pieces(t, m, seen, left);
        return;
    }
    for (int i = 0; i < left; i++) { /* where the text of the piece lies that may be meant */
        const uint32_t piece = t->piece_hash[mt_mix(seen[i].text) & t->piece_mask];
        seen[i].piece = piece ? piece - 1 : 0;
        mt_prefetch(t->offsets + seen[i].piece);
        mt_prefetch(t->itself + seen[i].piece);
    }
    for (int i = 0; i < left; i++) mt_prefetch(t->blob + t->offsets[seen[i].piece]);
    while (next < left || active > 0) {
        for (; active < MT_TURNS && next < left; next++) {
            const mt_seen *s = seen + next;
            const uint32_t piece = s->size <= t->longest ? mt_find_piece(t, s->p, s->size, s->text) : MT_NO_SYMBOL;
            if (piece != MT_NO_SYMBOL && t->itself[piece]) {
                ids[0] = (int32_t)piece;
                if (mt_find(m, s, ids + 1) == 0) mt_keep_ids(m, s, ids, 1); /* it may be met twice */
                continue;
            }
            mt_word_start(t, words + active, s->p, s->size);
            whose[active++] = (uint8_t)next;
        }
        for (int i = 0; i < active;) {
            if (mt_word_step(t, words + i)) {
                i++;
                continue;
            }
            const int64_t n = mt_word_ids(t, words + i, ids);
            if (mt_find(m, seen + whose[i], ids + n) == 0) mt_keep_ids(m, seen + whose[i], ids, n);
            active--;
            if (i < active) words[i] = words[active], whose[i] = whose[active];
        }
    }
}
#endif
