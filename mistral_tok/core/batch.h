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

#define MT_PATIENCE 512 /* times that the thread that leads looks again, for about a millisecond, before it sleeps */

/* Texts from `first` up to that of the next part. `ids` is NULL until they are encoded: where their ids lie, one text after the
 * other. The number of ids of each text takes the place of its size. */
typedef struct {
    int64_t first;
    const int32_t *ids;
} mt_part;

/* A thread, and the parts that it takes first: those from the lower half of `left` up to the upper half. In a line of its own. */
typedef struct {
    uint64_t left;
    int64_t number;
    void *batch, *worker;
    uint64_t apart[4];
} mt_thread;

typedef struct {
    mt_text *texts;
    mt_part *parts;
    mt_thread *threads; /* the first one leads */
    int64_t *log;       /* parts that others have done, plus 1, in the order in which they did them; 0 where that is not written yet */
    int64_t n_texts, n_parts, n_threads;
    uint64_t room; /* ids that there are at most */
    int64_t total; /* characters, or bytes where they are known: about four for each id */
    int64_t logged, gone; /* parts in the log; threads that touch nothing of the batch any more */
    int failed;           /* no more parts are taken */
} mt_batch;

/* Take the first or the last part of what is left to a thread; −1 where there is none. */
MT_INLINE int64_t mt_thread_take(mt_thread *from, int last) {
    uint64_t left = __atomic_load_n(&from->left, __ATOMIC_RELAXED);
    for (;;) {
        const uint64_t first = (uint32_t)left, end = left >> 32;
        if (first == end) return -1;
        if (__atomic_compare_exchange_n(&from->left, &left, last ? left - ((uint64_t)1 << 32) : left + 1, 1, __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return (int64_t)(last ? end - 1 : first);
    }
}

/* Parts are taken from one end, and from the other end of what is left to another thread. So every thread takes much the same
 * parts of the same batch again, whose segments it has met; and of two threads, the one that leads takes the first ones. */
MT_INLINE int64_t mt_batch_take(mt_batch *b, int64_t number) {
    int64_t part = -1;
    if (__atomic_load_n(&b->failed, __ATOMIC_RELAXED)) return -1;
    for (int64_t i = 0; i < b->n_threads && part < 0; i++) {
        const int64_t from = (number + i) % b->n_threads;
        part = mt_thread_take(b->threads + from, (int)(from & 1) != (i > 0));
    }
    return part;
}

MT_INLINE void mt_batch_done(mt_batch *b, int64_t part, const int32_t *ids) { __atomic_store_n(&b->parts[part].ids, ids, __ATOMIC_RELEASE); }
MT_INLINE const int32_t *mt_batch_ids(const mt_batch *b, int64_t part) { return __atomic_load_n(&b->parts[part].ids, __ATOMIC_ACQUIRE); }
MT_INLINE void mt_batch_fail(mt_batch *b) { __atomic_store_n(&b->failed, 1, __ATOMIC_RELAXED); }

/* Tell the thread that leads of a part that is done. */
MT_INLINE void mt_batch_log(mt_batch *b, int64_t part) {
    const int64_t at = __atomic_fetch_add(&b->logged, 1, __ATOMIC_RELAXED);
    __atomic_store_n(&b->log[at], part + 1, __ATOMIC_RELEASE);
}

/* The part at a place of the log; −1 where there is none yet. */
MT_INLINE int64_t mt_batch_logged(const mt_batch *b, int64_t at) { return __atomic_load_n(&b->log[at], __ATOMIC_ACQUIRE) - 1; }

MT_INLINE void mt_batch_return(mt_batch *b) { __atomic_fetch_add(&b->gone, 1, __ATOMIC_RELEASE); }
MT_INLINE int64_t mt_batch_gone(const mt_batch *b) { return __atomic_load_n(&b->gone, __ATOMIC_ACQUIRE); }

/* Wait a while for other threads to return. */
static inline void mt_batch_wait(const mt_batch *b, int64_t others) {
    for (int i = 0; i < MT_PATIENCE && mt_batch_gone(b) < others; i++) {
        for (int j = 0; j < 64 && mt_batch_gone(b) < others; j++) mt_pause();
        mt_yield();
    }
}
#endif
