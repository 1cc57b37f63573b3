/* Encoding a word by its longest pieces instead of by merging.
 *
 * Call two pieces a valid pair if their text together encodes to just these two. A sequence of pieces, each of which its
 * own text encodes to and each two neighbours a valid pair, is what the whole text encodes to, and there is one only
 * (the proof is in merge.py; it assumes nothing of the vocabulary). So any search that finds such a sequence has found
 * the ids: take the longest piece that the text begins with and that is valid after the one before it, and go back to
 * shorter ones where there is none. Nearly always the first or the second try is right.
 *
 * Whether a pair is valid is read off the last merges of both pieces, in the reverse of the order in which they would
 * happen: a rule between the two symbols that touch, at any of these states, that is better than the merge undone last,
 * would have come first. This does assume something: that a piece is merged by a rule of higher rank than its halves were.
 * Pieces for which that is not so are not in the trie, nor are those that their own text does not encode to; words that
 * need one find no sequence and are merged. */
#ifndef MISTRAL_TOK_TRIE_H
#define MISTRAL_TOK_TRIE_H

#include "fast.h"

#define MT_TRIE_LABEL 0x1FFu /* the byte that leads to a cell, or 256 where it is free */
#define MT_TRIE_PIECE 0x200u
#define MT_TRIE_SHIFT 10     /* above it, where the cells of the next bytes lie: at this number xor the byte */
#define MT_TRIE_ROOT 256u    /* the first 256 cells are free: those after a piece that no longer one begins with */
#define MT_TRIE_STEPS 96     /* tries after which a word is merged instead */

/* Halves of a piece: `left << 43 | right << 22 | order`; the order is 1 and the rank of the rule that merges them, or 0. */
#define MT_ORDER(half) ((uint32_t)(half) & MT_NO_RULE)

/* Find the longest piece that a text begins with, of `most` bytes at most. Returns its size, 0 for none. */
MT_INLINE uint32_t mt_trie_longest(const mt_tables *t, const uint8_t *p, uint32_t most, uint32_t *piece) {
    uint32_t at = MT_TRIE_ROOT, size = 0, cell = 0;
    for (uint32_t i = 0; i < most; i++) {
        const uint32_t c = at ^ p[i], unit = t->trie[c];
        if ((unit & MT_TRIE_LABEL) != p[i]) break;
        at = unit >> MT_TRIE_SHIFT;
        if (unit & MT_TRIE_PIECE) size = i + 1, cell = c;
    }
    *piece = t->trie_pieces[cell];
    return size;
}

/* Are two pieces of the trie a valid pair? */
MT_INLINE int mt_valid_pair(const mt_tables *t, uint32_t left, uint32_t right) {
    uint64_t a = t->halves[left], b = t->halves[right];
    uint32_t limit = MT_NO_RULE;
    for (;;) {
        if (mt_rank_of(t, (uint64_t)left << 21 | right) < limit) return 0;
        const uint32_t first = MT_ORDER(a), second = MT_ORDER(b);
        if (first > second) { /* of equal ranks the leftmost comes first */
            limit = first - 1;
            left = (uint32_t)(a >> 22) & MT_NO_SYMBOL;
            a = t->halves[left];
        } else if (second > 0) {
            limit = second;
            right = (uint32_t)(b >> 43);
            b = t->halves[right];
        } else {
            return 1;
        }
    }
}

/* Encode `n` bytes into `out`, which has room for as many ids; returns their number, or 0 for a word to be merged. */
static inline uint32_t mt_trie_word(const mt_tables *t, const uint8_t *p, uint32_t n, int32_t *out) {
    uint8_t sizes[MT_TRIE_STEPS];
    uint32_t at = 0, k = 0, most = n;
    for (uint32_t step = 0; step < MT_TRIE_STEPS; step++) {
        uint32_t piece;
        const uint32_t size = mt_trie_longest(t, p + at, most, &piece);
        if (size == 0) {
            if (k == 0) return 0;
            at -= sizes[--k];
            most = sizes[k] - 1u;
            continue;
        }
        if (k > 0 && !mt_valid_pair(t, (uint32_t)out[k - 1], piece)) {
            most = size - 1;
            continue;
        }
        out[k] = (int32_t)piece;
        sizes[k++] = (uint8_t)size;
        at += size;
        if (at == n) return k;
        most = n - at;
    }
    return 0;
}

/* Many words at a time. Each step of a walk or of a check waits for memory: so several take their steps in turn, and each
 * asks for what its next step will read. */
#define MT_WORDS 256 /* at most */
#define MT_TURNS 12  /* walks or checks that take their steps in turn */

#define MT_PIECES 16 /* of a word at most */

typedef struct {
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
    uint32_t state, cell;          /* cells of what has been read; cell of the longest piece */
} mt_walk;

typedef struct {
    mt_spelling *word;
    uint32_t left, right, limit;
    int asked; /* for the rule of left and right */
} mt_check;

MT_INLINE void mt_spell_start(mt_spelling *w, const uint8_t *p, uint32_t n) {
    w->p = p;
    w->n = n;
    w->at = w->k = w->tries = 0;
}

/* Follow up to `most` bytes; 0 at the end. */
MT_INLINE int mt_walk_on(const uint32_t *trie, mt_walk *x, int most) {
    const uint8_t *p = x->p, *best = x->best;
    uint32_t state = x->state, best_cell = x->cell;
    int more;
    do {
        const uint32_t byte = *p++, cell = state ^ byte, unit = trie[cell];
        const int same = (unit & MT_TRIE_LABEL) == byte;
        if (same & (int)(unit >> 9)) best = p, best_cell = cell;
        state = unit >> MT_TRIE_SHIFT;
        more = same & (state != 0) & (p != x->end);
    } while (more && --most);
    x->p = p, x->best = best, x->state = state, x->cell = best_cell;
    if (more) mt_prefetch(trie + (state ^ *p));
    return more;
}

/* Begin a walk; 0 where it is over at once. The cells of the first bytes are few, and in the cache. */
MT_INLINE int mt_walk_start(const uint32_t *trie, mt_walk *x, mt_spelling *word) {
    x->word = word;
    x->p = x->best = word->p + word->at;
    x->end = word->p + word->n;
    x->state = MT_TRIE_ROOT;
    x->cell = 0;
    return mt_walk_on(trie, x, 3);
}

MT_INLINE void mt_check_ask(const mt_tables *t, const mt_check *x) {
    uint32_t word;
    (void)mt_pair_bits((uint64_t)x->left << 21 | x->right, &word);
    mt_prefetch(t->pair_bits + word);
}

MT_INLINE void mt_check_start(const mt_tables *t, mt_check *x, mt_spelling *word) {
    x->word = word;
    x->left = (uint32_t)word->ids[word->k - 1];
    x->right = (uint32_t)word->ids[word->k];
    x->limit = MT_NO_RULE;
    x->asked = 0;
    mt_prefetch(t->halves + x->right);
    mt_prefetch(t->shorter + x->right);
    mt_check_ask(t, x);
}

/* Undo one merge. Returns 1 for a valid pair, -1 for one that is not, and 0 when it is not known yet. */
MT_INLINE int mt_check_step(const mt_tables *t, mt_check *x) {
    const uint64_t key = (uint64_t)x->left << 21 | x->right;
    if (x->asked) {
        if (mt_rank_of(t, key) < x->limit) return -1;
        x->asked = 0;
    } else {
        uint32_t word;
        const uint64_t bits = mt_pair_bits(key, &word);
        if ((t->pair_bits[word] & bits) == bits) {
            mt_prefetch(t->pairs + (mt_pair_start(key) & t->pair_mask));
            x->asked = 1;
            return 0;
        }
    }
    const uint64_t a = t->halves[x->left], b = t->halves[x->right];
    const uint32_t first = MT_ORDER(a), second = MT_ORDER(b);
    if ((first | second) == 0) return 1;
    const int undo = first > second; /* the left one's; of equal ranks the leftmost comes first */
    x->limit = undo ? first - 1 : second;
    x->left = undo ? (uint32_t)(a >> 22) & MT_NO_SYMBOL : x->left;
    x->right = undo ? x->right : (uint32_t)(b >> 43);
    mt_prefetch(t->halves + (undo ? x->left : x->right));
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

/* Try a shorter piece, in place of one before where there is none; 0 for a word to be merged. */
MT_INLINE int mt_spell_shorter(const mt_tables *t, mt_spelling *w) {
    for (;;) {
        const uint32_t next = w->size ? t->shorter[w->ids[w->k]] : 0;
        if (next) {
            w->ids[w->k] = (int32_t)(next & MT_NO_SYMBOL);
            w->size = next >> 21;
            if (++w->tries < MT_TRIE_STEPS) return 1;
        }
        if (next || w->k == 0) {
            w->n = 0;
            return 0;
        }
        w->size = w->sizes[--w->k];
        w->at -= w->size;
    }
}

MT_INLINE void mt_walk_end(const mt_tables *t, const mt_walk *x, mt_spelling **queue, uint32_t *cells, int i) {
    x->word->size = (uint32_t)(x->best - (x->word->p + x->word->at));
    cells[i] = x->cell;
    queue[i] = x->word;
    mt_prefetch(t->trie_pieces + x->cell);
}

/* Find the longest piece for each word; returns those that have one, or that go back to a shorter one, at the front. */
MT_INLINE int mt_spell_walk(const mt_tables *t, mt_spelling **queue, int count) {
    mt_walk walks[MT_TURNS + 1];
    uint32_t cells[MT_WORDS];
    int active = 0, next = 0, left = 0;
    const uint32_t *const trie = t->trie;
    while (next < count || active > 0) {
        while (active < MT_TURNS && next < count) {
            if (mt_walk_start(trie, walks + active, queue[next++])) active++;
            else mt_walk_end(t, walks + active, queue, cells, left++);
        }
        for (int i = 0; i < active;) {
            if (mt_walk_on(trie, walks + i, 1)) {
                i++;
                continue;
            }
            mt_walk_end(t, walks + i, queue, cells, left++);
            walks[i] = walks[--active];
        }
    }
    next = 0;
    for (int i = 0; i < left; i++) {
        mt_spelling *w = queue[i];
        w->ids[w->k] = (int32_t)t->trie_pieces[cells[i]];
        if (mt_likely(w->size) || mt_spell_shorter(t, w)) queue[next++] = w;
    }
    return next;
}

/* Settle a piece for each word, and return those that have more, at the front. */
MT_INLINE int mt_spell_check(const mt_tables *t, mt_spelling **queue, int count) {
    mt_check checks[MT_TURNS];
    int active = 0, next = 0, left = 0;
    while (next < count || active > 0) {
        while (active < MT_TURNS && next < count) {
            mt_spelling *w = queue[next++];
            if (w->k > 0) mt_check_start(t, checks + active++, w);
            else if (mt_spell_take(w)) queue[left++] = w;
        }
        for (int i = 0; i < active;) {
            const int valid = mt_check_step(t, checks + i);
            mt_spelling *w = checks[i].word;
            if (valid == 0) {
                i++;
            } else if (valid < 0 && mt_spell_shorter(t, w) && w->k > 0) {
                mt_check_start(t, checks + i++, w);
            } else {
                if (w->n > 0 && mt_spell_take(w)) queue[left++] = w;
                checks[i] = checks[--active];
            }
        }
    }
    return left;
}

/* Spell words. Afterwards, `n` is 0 for those that are to be merged. */
static inline void mt_spell(const mt_tables *t, mt_spelling *words, int count) {
    mt_spelling *queue[MT_WORDS];
    for (int i = 0; i < count; i++) queue[i] = words + i;
    while (count > 0) count = mt_spell_check(t, queue, mt_spell_walk(t, queue, count));
}
#endif
