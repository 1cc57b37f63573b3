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

#include "spell.h"

#define MT_SHORT 48   /* units at most */
#define MT_NOWHERE 55 /* a place whose key is never read */

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

MT_INLINE void mt_ask_rule(const mt_tables *t, mt_word *w, int which, uint32_t place, uint32_t left, uint32_t right) {
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
    mt_ask_rule(t, w, 0, e < w->n ? i : MT_NOWHERE, made, w->sym[e < w->n ? e : i]);
    mt_ask_rule(t, w, 1, i > 0 ? b : MT_NOWHERE, w->sym[i > 0 ? b : i], made);
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

/* The new segments of a group that have keys, each once: a name that code has just introduced soon comes again. */
typedef struct {
    uint16_t slot[2 * MT_GROUP];               /* 1 and the place in the group of each, by its hash; 0 for none */
    uint32_t mask;                             /* of the slots that are used */
    uint16_t again[MT_GROUP], first[MT_GROUP]; /* one that came again, and where it came first */
    int count;
} mt_twins;

/* Is it there already? If not, it is from now on. */
MT_INLINE int mt_twin(mt_twins *x, const mt_group *g, int i, uint64_t h) {
    uint32_t s = (uint32_t)(h >> 32) & x->mask;
    for (; x->slot[s]; s = (s + 1) & x->mask) {
        const int j = x->slot[s] - 1;
        if (g->key[j][0] != g->key[i][0] || g->key[j][1] != g->key[i][1]) continue;
        x->again[x->count] = (uint16_t)i;
        x->first[x->count++] = (uint16_t)j;
        return 1;
    }
    x->slot[s] = (uint16_t)(i + 1);
    return 0;
}

/* Collect the segments of a group that are new: neither in another place, nor with a space mark, nor long. */
static inline int mt_collect(const mt_tables *t, const mt_memory *m, mt_group *g, const uint8_t *p, uint64_t start, const uint64_t *ends, mt_new *seen, mt_twins *twins) {
    int left = 0;
    twins->mask = 15;
    while (twins->mask + 1 < 2 * (uint32_t)g->misses) twins->mask = 2 * twins->mask + 1;
    memset(twins->slot, 0, 2 * (twins->mask + 1));
    twins->count = 0;
    for (int x = 0; x < g->misses; x++) {
        const int i = g->miss[x];
        const uint64_t begin = i ? ends[i - 1] : start, size = ends[i] - begin, k0 = g->key[i][0], k1 = g->key[i][1];
        const uint64_t h = mt_key_hash(k0, k1);
        mt_new *s = seen + left;
        if (size == 0 || size > MT_WIDE || (t->marked && memchr(p + begin, 0xE2, size))) continue;
        s->p = p + begin;
        s->size = (uint32_t)size;
        s->whose = (uint16_t)i;
        if (k1 && mt_spilt(m, h)) {
            g->entry[i] = mt_entry_find(m, k0, k1);
            if (g->entry[i] || (size >= MT_SOME && mt_record_find(m, s->p, s->size, mt_record_hash(s->p, size)))) continue;
        }
        if (k1 && mt_twin(twins, g, i, h)) continue;
        if (t->known && k1) mt_prefetch(t->known + (h & t->known_mask));
        left++;
    }
    return left;
}

/* Settle segments that are pieces which their own text encodes to, and return how many are left, at the front. */
static inline int mt_learn_known(const mt_tables *t, mt_memory *m, mt_group *g, mt_new *seen, int count) {
    int left = 0;
    for (int i = 0; i < count; i++) {
        const uint64_t k0 = g->key[seen[i].whose][0], k1 = g->key[seen[i].whose][1];
        const int32_t id = (int32_t)(k1 ? mt_match(t->known + (mt_key_hash(k0, k1) & t->known_mask), k0, k1) & (MT_PLACES - 1) : 0);
        if (id) mt_know(m, g, seen + i, &id, 1);
        else seen[left++] = seen[i];
    }
    return left;
}

/* Work out the segments of a group that are not known, and remember them; those that are left the caller encodes itself. */
static inline void mt_learn(const mt_tables *t, mt_memory *m, mt_group *g, const uint8_t *p, uint64_t start, const uint64_t *ends) {
    mt_word words[MT_TURNS];
    mt_new seen[MT_GROUP];
    mt_twins twins;
    uint16_t whose[MT_TURNS];
    int32_t ids[MT_SHORT + 8];
    int left = mt_collect(t, m, g, p, start, ends, seen, &twins), active = 0, next = 0;
    if (t->known) left = mt_learn_known(t, m, g, seen, left);
    if (t->trie) left = mt_spell(t, m, g, seen, left);
    for (int i = 0; i < left; i++) {
        mt_new *s = seen + i;
        s->text = MT_HASH_SEED;
        for (uint32_t j = 0; j < s->size; j++) s->text = mt_hash_step(s->text, s->p[j]);
        mt_prefetch(t->piece_hash + (mt_mix(s->text) & t->piece_mask));
    }
    for (int i = 0; i < left; i++) { /* where the text of the piece lies that may be meant */
        const uint64_t mixed = mt_mix(seen[i].text);
        const uint32_t cell = t->piece_hash[mixed & t->piece_mask];
        seen[i].piece = cell && ((cell ^ mt_cell(mixed, 0)) & ~MT_CELL_SYMBOL) == 0 ? (cell & MT_CELL_SYMBOL) - 1 : 0;
        mt_prefetch(t->offsets + seen[i].piece);
        mt_prefetch(t->itself + seen[i].piece);
    }
    for (int i = 0; i < left; i++) mt_prefetch(t->blob + t->offsets[seen[i].piece]);
    while (next < left || active > 0) {
        for (; active < MT_TURNS && next < left; next++) {
            const mt_new *s = seen + next;
            const uint32_t piece = s->size <= t->longest ? mt_find_piece(t, s->p, s->size, s->text) : MT_NO_SYMBOL;
            if (piece != MT_NO_SYMBOL && t->itself[piece]) {
                ids[0] = (int32_t)piece;
                mt_know(m, g, s, ids, 1);
                continue;
            }
            mt_word_start(t, words + active, s->p, s->size);
            whose[active++] = (uint16_t)next;
        }
        for (int i = 0; i < active;) {
            if (mt_word_step(t, words + i)) {
                i++;
                continue;
            }
            mt_know(m, g, seen + whose[i], ids, mt_word_ids(t, words + i, ids));
            active--;
            if (i < active) words[i] = words[active], whose[i] = whose[active];
        }
    }
    for (int i = 0; i < twins.count; i++) g->entry[twins.again[i]] = g->entry[twins.first[i]];
}
#endif
