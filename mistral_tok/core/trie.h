/* Encoding a word by its longest pieces instead of by merging.
 *
 * Call two pieces a valid pair if their text together encodes to just these two. A sequence of pieces, each of which its
 * own text encodes to and each two neighbours a valid pair, is what the whole text encodes to, and there is one only
 * (the proof is in merge.py; it assumes nothing of the vocabulary). So any search that finds such a sequence has found
 * the ids: take the longest piece that the text begins with and that is valid after the one before it, and go back to
 * shorter ones where there is none. Nearly always the first or the second try is right.
 * (What it leaves out, the search may miss: such words are merged.)
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

/* What a cell holds of its piece: the piece, its size, and whether it can be merged with one behind it to what is not in the trie. */
#define MT_CELL_SIZE(found) ((found) >> 21 & 63)
#define MT_CELL_OPEN 31

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
    *piece = t->trie_pieces[cell] & MT_NO_SYMBOL;
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
#endif
