/* Memory for large results: huge pages for the largest, and the last block that was given up is kept for the next.
 *
 * malloc gives half a megabyte and more back to the system as soon as it is freed, if that was what it took last, and
 * taking it again costs a page fault for each 4 kB: as long as encoding the ids that it is for. */
#ifndef MISTRAL_TOK_BLOCK_H
#define MISTRAL_TOK_BLOCK_H

#include "fast.h"

#define MT_HUGE ((size_t)1 << 21)   /* a block of which half of that or more is used takes huge pages, and wastes as much at most */
#define MT_SMALL ((size_t)1 << 16)  /* what others are rounded up to */
#define MT_SPARE ((size_t)32 << 20) /* bytes of the largest block that is kept */

typedef struct {
    void *memory; /* what mt_release wants */
    size_t size;  /* bytes, these before the data included */
    char pad[64 - sizeof(void *) - sizeof(size_t)];
} mt_block;

static mt_block *mt_spare = NULL; /* taken and left in one step, with or without the interpreter lock */

/* A block with room for `size` bytes, which are not zeroed, of which about `used` will be written; NULL without memory. */
static inline mt_block *mt_block_take(size_t size, size_t used) {
    const size_t page = used < MT_HUGE / 2 ? MT_SMALL : MT_HUGE, whole = (size + sizeof(mt_block) + page - 1) / page * page;
    mt_block *b = __atomic_exchange_n(&mt_spare, NULL, __ATOMIC_ACQ_REL);
    void *memory;
    if (b != NULL && b->size >= whole && b->size <= 2 * whole) return b;
    if (b != NULL) mt_release(b->memory, b->size);
    if (size > SIZE_MAX / 2 || (b = (mt_block *)mt_reserve(whole, &memory)) == NULL) return NULL;
#if defined(__linux__) && defined(MADV_NOHUGEPAGE)
    if (page == MT_SMALL && whole >= MT_HUGE) (void)madvise(b, whole, MADV_NOHUGEPAGE);
#endif
    b->memory = memory;
    b->size = whole;
    return b;
}

static inline void mt_block_give(mt_block *b) {
    if (b->size <= MT_SPARE) b = __atomic_exchange_n(&mt_spare, b, __ATOMIC_ACQ_REL);
    if (b != NULL) mt_release(b->memory, b->size);
}

static inline uint8_t *mt_block_data(mt_block *b) { return (uint8_t *)(b + 1); }
#endif
