/* How threads share the texts of a batch without a lock: each takes the next part by counting up. */
#ifndef MISTRAL_TOK_BATCH_H
#define MISTRAL_TOK_BATCH_H

#include "text.h"

#if defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#define mt_yield() (void)sched_yield()
#else
#define mt_yield() ((void)0)
#endif

#if defined(MT_X86)
#define mt_pause() _mm_pause()
#else
#define mt_pause() ((void)0)
#endif

#define MT_PATIENCE 512 /* times that a thread looks again, for about a millisecond, before it sleeps: waking takes 50 µs and more */
#define MT_PARTING 1000 /* pauses in which a thread that has returned can end: 18 µs, where 5 are too few and 30 no better */

/* Texts from `first` up to that of the next part. `ids` is NULL until they are encoded: where their ids lie, one text after the
 * other. The number of ids of each text takes the place of its size. */
typedef struct {
    int64_t first;
    const int32_t *ids;
} mt_part;

typedef struct {
    mt_text *texts;
    mt_part *parts;
    int64_t n_texts, n_parts;
    int64_t next, idle, gone; /* the part that is taken next; other threads that have found none; those that have returned */
    int failed;               /* no more parts are taken */
    int over;                 /* the thread that leads has found none, too */
} mt_batch;

MT_INLINE int64_t mt_batch_take(mt_batch *b) {
    if (__atomic_load_n(&b->failed, __ATOMIC_RELAXED)) return -1;
    const int64_t i = __atomic_fetch_add(&b->next, 1, __ATOMIC_RELAXED);
    return i < b->n_parts ? i : -1;
}

MT_INLINE void mt_batch_done(mt_batch *b, int64_t part, const int32_t *ids) { __atomic_store_n(&b->parts[part].ids, ids, __ATOMIC_RELEASE); }
MT_INLINE const int32_t *mt_batch_ids(const mt_batch *b, int64_t part) { return __atomic_load_n(&b->parts[part].ids, __ATOMIC_ACQUIRE); }
MT_INLINE void mt_batch_fail(mt_batch *b) { __atomic_store_n(&b->failed, 1, __ATOMIC_RELAXED); }

/* Wait a while for a number to be reached. */
static inline void mt_batch_wait(const int64_t *value, int64_t least) {
    for (int i = 0; i < MT_PATIENCE && __atomic_load_n(value, __ATOMIC_ACQUIRE) < least; i++) {
        for (int j = 0; j < 64 && __atomic_load_n(value, __ATOMIC_ACQUIRE) < least; j++) mt_pause();
        mt_yield();
    }
}

/* What another thread does when there are no parts left. To return it needs the interpreter lock, which the one that leads must not
 * find taken: it would sleep. */
static inline void mt_batch_idle(mt_batch *b) {
    __atomic_fetch_add(&b->idle, 1, __ATOMIC_RELEASE);
    for (int i = 0; i < 64 * MT_PATIENCE && !__atomic_load_n(&b->over, __ATOMIC_ACQUIRE); i++) mt_pause();
}

MT_INLINE void mt_batch_return(mt_batch *b) { __atomic_fetch_add(&b->gone, 1, __ATOMIC_RELEASE); }

/* What the thread that leads does then, without the interpreter lock. */
static inline void mt_batch_part(mt_batch *b, int64_t others) {
    mt_batch_wait(&b->idle, others);
    __atomic_store_n(&b->over, 1, __ATOMIC_RELEASE);
    mt_batch_wait(&b->gone, others);
    for (int j = 0; j < MT_PARTING; j++) mt_pause();
}
#endif
