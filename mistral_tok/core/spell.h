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
    const uint64_t k0 = g->key[i][0], k1 = g->key[i][1];
    if (k1 && n < MT_SOME) {
        g->entry[i] = mt_entry_keep(m, k0, k1, ids, n);
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
    uint32_t longest;  /* a bit for each piece that is merged with nothing that begins behind it: the longest that there is */
    uint8_t sizes[MT_PIECES];
    int32_t ids[MT_PIECES + 1];
} mt_spelling;

typedef struct {
    mt_spelling *word;
    const uint8_t *p, *end; /* next byte; end of the word */
    uint32_t state, cell;   /* cells of what has been read; cell of the longest piece so far */
} mt_walk;

typedef struct {
    mt_spelling *word;
    const mt_ranks *line; /* of the two symbols that touch */
    uint32_t left, right, limit;
    uint16_t mark;
} mt_check;

/* A walk that has ended: the cell of the longest piece. */
typedef struct {
    mt_spelling *word;
    uint32_t cell;
} mt_found;

/* Follow up to `most` bytes; 0 at the end. */
MT_INLINE int mt_walk_on(const uint32_t *trie, mt_walk *x, int most) {
    const uint8_t *p = x->p;
    uint32_t state = x->state, longest = x->cell;
    int more;
    do {
        const uint32_t byte = *p++, cell = state ^ byte, unit = trie[cell];
        const int same = (unit & MT_TRIE_LABEL) == byte;
        if (same & (int)(unit >> 9)) longest = cell;
        state = unit >> MT_TRIE_SHIFT;
        more = same & (state != 0) & (p != x->end);
    } while (more && --most);
    x->p = p, x->state = state, x->cell = longest;
    if (more) mt_prefetch(trie + (state ^ *p));
    return more;
}

/* Begin a walk; 0 where it is over at once. The cells of the first bytes are few, and in the cache. */
MT_INLINE int mt_walk_start(const uint32_t *trie, mt_walk *x, mt_spelling *word) {
    x->word = word;
    x->p = word->p + word->at;
    x->end = word->p + word->n;
    x->state = MT_TRIE_ROOT;
    x->cell = 0;
    return mt_walk_on(trie, x, 3);
}

/* Ask for what the next step reads: the rank of the two symbols that touch, and the halves of one of them. */
MT_INLINE void mt_check_ask(const mt_ranks *ranks, uint64_t lines, mt_check *x) {
    const uint64_t key = (uint64_t)x->left << 21 | x->right;
    x->line = ranks + mt_rank_line(key, lines);
    x->mark = mt_pair_mark(key);
    mt_prefetch(x->line);
}

/* Take the steps up to the first that undoes the left piece. Before it, nothing can be wrong if that piece is the longest that its
 * text begins with: what it is merged with would make a longer one. Returns 1 for a valid pair, 0 when it is not known yet. */
MT_INLINE int mt_check_start(const mt_tables *t, mt_check *x, mt_spelling *word) {
    const uint64_t *const halves = t->halves;
    const uint64_t a = halves[x->left = (uint32_t)word->ids[word->k - 1]];
    const uint32_t first = MT_ORDER(a);
    x->word = word;
    x->right = (uint32_t)word->ids[word->k];
    x->limit = MT_UNRANKED << t->rank_shift;
    if (word->longest >> (word->k - 1) & 1) {
        uint64_t b = halves[x->right];
        if (first == 0) return 1;
        while (MT_ORDER(b) >= first) b = halves[x->right = (uint32_t)(b >> 43)];
        x->limit = first - 1;
        x->left = (uint32_t)(a >> 22) & MT_NO_SYMBOL;
        mt_prefetch(halves + x->left);
    }
    mt_check_ask(t->pair_ranks, t->rank_lines, x);
    return 0;
}

/* Undo one merge. Returns 1 for a valid pair, -1 for one that is not, or perhaps not, and 0 when it is not known yet. */
MT_INLINE int mt_check_step(const mt_ranks *ranks, uint64_t lines, uint32_t shift, const uint64_t *halves, mt_check *x) {
    const uint64_t a = halves[x->left], b = halves[x->right];
    const uint32_t first = MT_ORDER(a), second = MT_ORDER(b);
    const int undo = first > second; /* the left one's; of equal ranks the leftmost comes first */
    if ((uint32_t)x->line->rank[mt_rank_place(x->line, x->mark)] << shift < x->limit) return -1;
    if ((first | second) == 0) return 1;
    x->limit = undo ? first - 1 : second;
    x->left = undo ? (uint32_t)(a >> 22) & MT_NO_SYMBOL : x->left;
    x->right = undo ? x->right : (uint32_t)(b >> 43);
    mt_prefetch(halves + (undo ? x->left : x->right));
    mt_check_ask(ranks, lines, x);
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
        const uint32_t next = w->size ? t->shorter[w->ids[w->k]] : 0;
        if (next && (next >> 21 > 1 || w->p[w->at] < 128 || w->k == 0)) {
            w->ids[w->k] = (int32_t)(next & MT_NO_SYMBOL);
            w->size = next >> 21;
            w->longest &= ~((uint32_t)1 << w->k);
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

/* What is going on: words, each of which has a walk, a piece found by a walk that has ended, or a check that is to begin or has
 * begun; and what waits. */
typedef struct {
    mt_spelling words[MT_TURNS];
    mt_walk walks[MT_TURNS];
    mt_found found[MT_TURNS];
    mt_spelling *begun[MT_TURNS]; /* words whose next check has not taken a step */
    mt_check checks[MT_TURNS];
    int n_walks, n_found, n_begun, n_checks;
    mt_memory *m;
    mt_group *g;
    mt_new *seen;
    int count, next, left; /* of `seen`: all, those that have begun, and those to be merged, which are kept at the front */
} mt_turns;

MT_INLINE void mt_walk_end(const mt_tables *t, mt_turns *s, const mt_walk *x) {
    mt_found *f = s->found + s->n_found++;
    f->word = x->word;
    f->cell = x->cell;
    mt_prefetch(t->trie_pieces + x->cell);
}

MT_INLINE void mt_walk_begin(const mt_tables *t, mt_turns *s, mt_spelling *w) {
    mt_walk *x = s->walks + s->n_walks;
    if (mt_walk_start(t->trie, x, w)) s->n_walks++;
    else mt_walk_end(t, s, x);
}

/* Begin with the next word, in place of one that has ended, if there is one. */
MT_INLINE void mt_spell_begin(const mt_tables *t, mt_turns *s, mt_spelling *w) {
    if (s->next == s->count) return;
    w->what = s->seen[s->next++];
    w->p = w->what.p;
    w->n = w->what.size;
    w->at = w->k = w->tries = w->longest = 0;
    mt_walk_begin(t, s, w);
}

/* Settle the piece that was tried, if there is one, and look for the next, or end. */
MT_INLINE void mt_spell_settle(const mt_tables *t, mt_turns *s, mt_spelling *w) {
    if (w->n > 0 && mt_spell_take(w)) {
        mt_walk_begin(t, s, w);
        return;
    }
    if (w->n > 0) mt_know(s->m, s->g, &w->what, w->ids, w->k);
    else s->seen[s->left++] = w->what;
    mt_spell_begin(t, s, w);
}

/* Have the piece that is tried checked with the one before it, in the next turn. */
MT_INLINE void mt_check_begin(const mt_tables *t, mt_turns *s, mt_spelling *w) {
    mt_prefetch(t->halves + w->ids[w->k]);
    mt_prefetch(t->shorter + w->ids[w->k]);
    s->begun[s->n_begun++] = w;
}

MT_INLINE void mt_take_found(const mt_tables *t, mt_turns *s) {
    const int count = s->n_found;
    s->n_found = 0;
    for (int i = 0; i < count; i++) {
        const mt_found f = s->found[i];
        mt_spelling *w = f.word;
        const uint32_t found = t->trie_pieces[f.cell], bit = (uint32_t)1 << w->k;
        w->ids[w->k] = (int32_t)(found & MT_NO_SYMBOL);
        w->size = MT_CELL_SIZE(found);
        w->longest = (w->longest & ~bit) | (found >> MT_CELL_OPEN ? 0 : bit);
        if ((mt_likely(w->size) || mt_spell_shorter(t, w)) && w->k > 0) {
            mt_check_begin(t, s, w);
        } else {
            mt_prefetch(t->halves + w->ids[w->k]);
            mt_spell_settle(t, s, w);
        }
    }
}

MT_INLINE void mt_step_walks(const mt_tables *t, mt_turns *s) {
    const uint32_t *const trie = t->trie;
    for (int i = 0; i < s->n_walks;) {
        if (mt_walk_on(trie, s->walks + i, 1)) {
            i++;
            continue;
        }
        mt_walk_end(t, s, s->walks + i);
        s->walks[i] = s->walks[--s->n_walks];
    }
}

MT_INLINE void mt_step_checks(const mt_tables *t, mt_turns *s) {
    const mt_ranks *const ranks = t->pair_ranks;
    const uint64_t *const halves = t->halves, lines = t->rank_lines;
    const uint32_t shift = t->rank_shift;
    for (int i = 0; i < s->n_checks;) {
        const int valid = mt_check_step(ranks, lines, shift, halves, s->checks + i);
        mt_spelling *w = s->checks[i].word;
        if (valid == 0) {
            i++;
            continue;
        }
        /* What would merge across the boundary begins any piece that is not shorter than it. */
        if (valid < 0) w->ids[w->k] = (int32_t)s->checks[i].right;
        s->checks[i] = s->checks[--s->n_checks];
        if (valid < 0 && mt_spell_shorter(t, w) && w->k > 0) mt_check_begin(t, s, w);
        else mt_spell_settle(t, s, w);
    }
}

MT_INLINE void mt_step_begun(const mt_tables *t, mt_turns *s) {
    const int count = s->n_begun;
    s->n_begun = 0;
    for (int i = 0; i < count; i++) {
        mt_spelling *w = s->begun[i];
        if (mt_check_start(t, s->checks + s->n_checks, w)) mt_spell_settle(t, s, w);
        else s->n_checks++;
    }
}

/* Spell segments and remember them; returns how many are left to be merged, at the front. */
static inline int mt_spell(const mt_tables *t, mt_memory *m, mt_group *g, mt_new *seen, int count) {
    mt_turns s;
    s.n_walks = s.n_found = s.n_begun = s.n_checks = s.next = s.left = 0;
    s.m = m, s.g = g, s.seen = seen, s.count = count;
    for (int i = 0; i < MT_TURNS && i < count; i++) mt_spell_begin(t, &s, s.words + i);
    while (s.n_walks + s.n_found + s.n_begun + s.n_checks > 0) {
        mt_take_found(t, &s);
        mt_step_walks(t, &s);
        mt_step_checks(t, &s);
        mt_step_begun(t, &s);
    }
    return s.left;
}
#endif
