/* Spelling many words at a time, as trie.h spells one.
 *
 * Each step of a walk or of a check waits for memory: so several words take their steps in turn, and each asks for what its
 * next step will read. When one ends, the next takes its place: there are always as many as there can be. */
#ifndef MISTRAL_TOK_SPELL_H
#define MISTRAL_TOK_SPELL_H

#include "memory.h"
#include "trie.h"

/* A segment that is worked out: its place in the group, and, where it is merged, the hash of its text and the
 * piece that it may be. */
typedef struct {
    const uint8_t *p;
    uint32_t size, piece;
    uint64_t text;
    uint16_t whose;
} mt_new;

/* Remember the ids of a segment of a group, for which there may be no room, and let the group know. */
static inline void mt_know(mt_memory *m, mt_group *g, const mt_new *s, const int32_t *ids, int64_t n) {
    const int i = s->whose;
    const uint64_t k0 = g->k0[i], k1 = g->k1[i];
    if (k1 && n < MT_SOME) {
        g->entry[i] = mt_entry_find(m, k0, k1); /* it may be met twice in a group */
        if (g->entry[i] == 0) g->entry[i] = mt_entry_keep(m, k0, k1, ids, n);
    } else {
        const uint64_t h = mt_record_hash(s->p, s->size);
        const uint8_t *record = mt_record_find(m, s->p, s->size, h);
        if (record == NULL) record = mt_record_keep(m, s->p, s->size, h, ids, n);
        if (k1) mt_spill(m, mt_key_hash(k0, k1));
        else g->at[i] = record;
    }
}

#define MT_TURNS 24  /* words that take their steps in turn */
#define MT_PIECES 16 /* of a word at most */

typedef struct {
    mt_new what;
    const uint8_t *p;
    uint32_t n, at, k; /* bytes in all, bytes and pieces that are settled; n is 0 for a word to be merged */
    uint32_t size;     /* of the piece that is tried next, `ids[k]`; 0 for none */
    uint32_t tries;
    uint8_t sizes[MT_PIECES];
    int32_t ids[MT_PIECES + 1];
} mt_spelling;

typedef struct {
    mt_spelling *word;
    const uint8_t *p, *end, *best; /* next byte; end of the word; end of the longest piece so far */
    uint32_t state, piece;         /* cells of what has been read; the longest piece */
    int over;
} mt_walk;

typedef struct {
    mt_spelling *word;
    const mt_ranks *line; /* of the two symbols that touch */
    uint32_t left, right, limit;
    uint16_t mark;
} mt_check;

/* Follow up to `most` bytes; 0 at the end. */
MT_INLINE int mt_walk_on(const uint64_t *trie, mt_walk *x, int most) {
    const uint8_t *p = x->p, *best = x->best;
    uint32_t state = x->state, piece = x->piece;
    int more;
    do {
        const uint32_t byte = *p++;
        const uint64_t cell = trie[state ^ byte];
        const int same = (cell & MT_TRIE_LABEL) == byte;
        if (same & (int)(cell >> 9)) best = p, piece = (uint32_t)(cell >> 32);
        state = (uint32_t)cell >> MT_TRIE_SHIFT;
        more = same & (state != 0) & (p != x->end);
    } while (more && --most);
    x->p = p, x->best = best, x->state = state, x->piece = piece;
    if (more) mt_prefetch(trie + (state ^ *p));
    return more;
}

/* Ask for what the next step reads: the rank of the two symbols that touch, and the origin of one of them. */
MT_INLINE void mt_check_ask(const mt_tables *t, mt_check *x) {
    const uint64_t key = (uint64_t)x->left << 21 | x->right;
    const int hot = x->limit <= MT_HOT;
    x->line = t->pair_ranks + (hot ? 0 : t->hot_lines) + mt_rank_line(key, hot ? t->hot_lines : t->rank_lines);
    x->mark = mt_pair_mark(key);
    mt_prefetch(x->line);
}

MT_INLINE void mt_check_start(const mt_tables *t, mt_check *x, mt_spelling *word) {
    x->word = word;
    x->left = (uint32_t)word->ids[word->k - 1];
    x->right = (uint32_t)word->ids[word->k];
    x->limit = MT_UNRANKED << t->rank_shift;
    mt_prefetch(t->origins + x->right);
    mt_check_ask(t, x);
}

/* Undo one merge. Returns 1 for a valid pair, -1 for one that is not, or perhaps not, and 0 when it is not known yet. */
MT_INLINE int mt_check_step(const mt_tables *t, mt_check *x) {
    const uint64_t a = t->origins[x->left].halves, b = t->origins[x->right].halves;
    const uint32_t first = MT_ORDER(a), second = MT_ORDER(b);
    const int undo = first > second; /* the left one's; of equal ranks the leftmost comes first */
    if ((uint32_t)x->line->rank[mt_rank_place(x->line, x->mark)] << t->rank_shift < x->limit) return -1;
    if ((first | second) == 0) return 1;
    x->limit = undo ? first - 1 : second;
    x->left = undo ? (uint32_t)(a >> 22) & MT_NO_SYMBOL : x->left;
    x->right = undo ? x->right : (uint32_t)(b >> 43);
    mt_prefetch(t->origins + (undo ? x->left : x->right));
    mt_check_ask(t, x);
    return 0;
}

/* Settle the piece that was tried, and say whether there is more of the word. */
MT_INLINE int mt_spell_take(mt_spelling *w) {
    w->at += w->size;
    w->sizes[w->k++] = (uint8_t)w->size;
    if (w->at < w->n && w->k == MT_PIECES) w->n = 0;
    return w->at < w->n;
}

/* Try a shorter piece, in place of one before where there is none; 0 for a word to be merged. Half a character is not
 * worth a try behind another piece. */
MT_INLINE int mt_spell_shorter(const mt_tables *t, mt_spelling *w) {
    for (;;) {
        const uint32_t next = w->size ? t->origins[w->ids[w->k]].shorter : 0;
        if (next && (next >> 21 > 1 || w->p[w->at] < 128 || w->k == 0)) {
            w->ids[w->k] = (int32_t)(next & MT_NO_SYMBOL);
            w->size = next >> 21;
            if (++w->tries < MT_TRIE_STEPS) return 1;
        }
        if (w->tries == MT_TRIE_STEPS || w->k == 0) {
            w->n = 0;
            return 0;
        }
        w->size = w->sizes[--w->k];
        w->at -= w->size;
    }
}

/* What is going on: words, each of which has a walk or a check; and what waits. */
typedef struct {
    mt_spelling words[MT_TURNS];
    mt_walk walks[MT_TURNS];
    mt_check checks[MT_TURNS];
    int n_walks, n_checks;
    mt_memory *m;
    mt_group *g;
    mt_new *seen;
    int count, next, left; /* of `seen`: all, those that have begun, and those to be merged, which are kept at the front */
} mt_turns;

/* Begin a walk. The cells of the first bytes are few, and in the cache. */
MT_INLINE void mt_walk_start(const mt_tables *t, mt_turns *s, mt_spelling *w) {
    mt_walk *x = s->walks + s->n_walks++;
    x->word = w;
    x->p = x->best = w->p + w->at;
    x->end = w->p + w->n;
    x->state = MT_TRIE_ROOT;
    x->piece = 0;
    x->over = !mt_walk_on(t->trie, x, 3);
}

/* Begin with the next word, in place of one that has ended, if there is one. */
MT_INLINE void mt_spell_begin(const mt_tables *t, mt_turns *s, mt_spelling *w) {
    if (s->next == s->count) return;
    w->what = s->seen[s->next++];
    w->p = w->what.p;
    w->n = w->what.size;
    w->at = w->k = w->tries = 0;
    mt_walk_start(t, s, w);
}

/* Settle the piece that was tried, if there is one, and look for the next, or end. */
MT_INLINE void mt_spell_settle(const mt_tables *t, mt_turns *s, mt_spelling *w) {
    if (w->n > 0 && mt_spell_take(w)) {
        mt_walk_start(t, s, w);
        return;
    }
    if (w->n > 0) mt_know(s->m, s->g, &w->what, w->ids, w->k);
    else s->seen[s->left++] = w->what;
    mt_spell_begin(t, s, w);
}

MT_INLINE void mt_step_walks(const mt_tables *t, mt_turns *s) {
    for (int i = 0; i < s->n_walks;) {
        mt_walk *x = s->walks + i;
        mt_spelling *w = x->word;
        if (!x->over && mt_walk_on(t->trie, x, 1)) {
            i++;
            continue;
        }
        w->size = (uint32_t)(x->best - (w->p + w->at));
        w->ids[w->k] = (int32_t)x->piece;
        *x = s->walks[--s->n_walks];
        if ((mt_likely(w->size) || mt_spell_shorter(t, w)) && w->k > 0) mt_check_start(t, s->checks + s->n_checks++, w);
        else mt_spell_settle(t, s, w);
    }
}

MT_INLINE void mt_step_checks(const mt_tables *t, mt_turns *s) {
    for (int i = 0; i < s->n_checks;) {
        const int valid = mt_check_step(t, s->checks + i);
        mt_spelling *w = s->checks[i].word;
        if (valid == 0) {
            i++;
            continue;
        }
        /* What would merge across the boundary begins any piece that is not shorter than it. */
        if (valid < 0) w->ids[w->k] = (int32_t)s->checks[i].right;
        if (valid < 0 && mt_spell_shorter(t, w) && w->k > 0) {
            mt_check_start(t, s->checks + i++, w);
        } else {
            s->checks[i] = s->checks[--s->n_checks];
            mt_spell_settle(t, s, w);
        }
    }
}

/* Spell segments and remember them; returns how many are left to be merged, at the front. */
static inline int mt_spell(const mt_tables *t, mt_memory *m, mt_group *g, mt_new *seen, int count) {
    mt_turns s;
    s.n_walks = s.n_checks = s.next = s.left = 0;
    s.m = m, s.g = g, s.seen = seen, s.count = count;
    for (int i = 0; i < MT_TURNS && i < count; i++) mt_spell_begin(t, &s, s.words + i);
    while (s.n_walks + s.n_checks > 0) {
        mt_step_walks(t, &s);
        mt_step_checks(t, &s);
    }
    return s.left;
}
#endif
