/* Threads that run a call and then stay for a few milliseconds, for the next one: waking one takes a third of the time of starting
 * one, and the pages of its stack are there. None of them knows the interpreter or takes its lock. */
#ifndef MISTRAL_TOK_POOL_H
#define MISTRAL_TOK_POOL_H

#include "batch.h"
#include "pythread.h"

#if defined(__unix__) || defined(__APPLE__)
#include <pthread.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>
#define MT_FORKS 1
#endif
#if defined(__linux__) && !defined(__ANDROID__)
#include <sys/syscall.h>
#define MT_LINUX 1
#endif

#define MT_POOL 256   /* threads at most, of all batches of the process together */
#define MT_STAY 10000 /* microseconds for which a thread stays */
#define MT_PAUSES 30  /* of 20 µs and what the system adds: a fork waits no longer for it to end threads that have left */

typedef void (*mt_call)(void *);
enum { MT_NONE, MT_IDLE, MT_BUSY, MT_LEAVING }; /* no thread, one that waits, one that runs a call or is about to, one that is to end */

/* A place for a thread. `bell` is locked; whoever has made the state MT_BUSY or MT_LEAVING unlocks it once. In lines of its own. */
typedef struct {
    int state;
    int known; /* whether `thread` is written: it does not end before that */
    unsigned long thread;
    long number; /* of the thread in the system */
    PyThread_type_lock bell;
    mt_call call;
    void *given;
    uint64_t apart[2];
} mt_place;

static mt_place mt_pool[MT_POOL] __attribute__((aligned(64)));
static int mt_pool_stays; /* whether threads may stay: not where they could not be ended before a fork */

MT_INLINE int mt_place_turn(mt_place *place, int from, int to) {
    return __atomic_load_n(&place->state, __ATOMIC_RELAXED) == from &&
           __atomic_compare_exchange_n(&place->state, &from, to, 0, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED);
}

/* Keep a thread off the processor of the calling one, if that may use others: Linux lets both take turns on one for whole batches
 * while others idle. */
static void mt_place_apart(const mt_place *place) {
#ifdef MT_LINUX
    cpu_set_t mine;
    const int here = sched_getcpu();
    if (here < 0 || here >= CPU_SETSIZE || pthread_getaffinity_np(pthread_self(), sizeof mine, &mine)) return;
    CPU_CLR(here, &mine);
    if (!CPU_COUNT(&mine)) CPU_SET(here, &mine);
    pthread_setaffinity_np((pthread_t)place->thread, sizeof mine, &mine);
#else
    (void)place;
#endif
}

static void mt_place_know(const mt_place *place) {
    while (!__atomic_load_n(&place->known, __ATOMIC_ACQUIRE)) mt_yield();
}

/* Leave, if the state is still `from`. */
static int mt_place_left(mt_place *place, int from) {
    mt_place_know(place);
    return mt_place_turn(place, from, MT_NONE);
}

/* What each thread of the pool runs. */
static void mt_pool_run(void *given) {
    mt_place *place = (mt_place *)given;
#ifdef MT_LINUX
    place->number = syscall(SYS_gettid);
#endif
    for (;;) {
        place->call(place->given);
        if (!mt_pool_stays && mt_place_left(place, MT_BUSY)) return;
        __atomic_store_n(&place->state, MT_IDLE, __ATOMIC_RELEASE);
        if (PyThread_acquire_lock_timed(place->bell, MT_STAY, 0) != PY_LOCK_ACQUIRED) {
            if (mt_place_left(place, MT_IDLE)) return;
            PyThread_acquire_lock(place->bell, WAIT_LOCK); /* taken at the last moment */
        }
        if (mt_place_left(place, MT_LEAVING)) return;
    }
}

/* Start a thread that gets no signal but those of its own faults: one that the program has blocked would find it otherwise. */
static unsigned long mt_place_start(mt_place *place) {
    unsigned long thread;
#ifdef MT_FORKS
    static const int own[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP};
    sigset_t all, before;
    sigfillset(&all);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) sigdelset(&all, own[i]);
    if (pthread_sigmask(SIG_SETMASK, &all, &before)) return PYTHREAD_INVALID_THREAD_ID;
    thread = PyThread_start_new_thread(mt_pool_run, place);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
#else
    thread = PyThread_start_new_thread(mt_pool_run, place);
#endif
    return thread;
}

#ifdef MT_FORKS
static pid_t mt_pool_of; /* the process whose threads they are */

/* In a new process: it has none of the threads, and locks that some of them may hold. */
static void mt_pool_forget(void) {
    for (int i = 0; i < MT_POOL; i++) {
        mt_pool[i].state = MT_NONE;
        mt_pool[i].bell = NULL;
    }
    mt_pool_of = getpid();
}
#endif

/* Let a thread that waits make the call, or a new one; 0 where there is neither. */
static int mt_pool_call(mt_call call, void *given) {
#ifdef MT_FORKS
    if (getpid() != mt_pool_of) mt_pool_forget(); /* a process that was made without the handlers below */
#endif
    for (int i = 0; i < MT_POOL; i++) {
        mt_place *place = mt_pool + i;
        if (!mt_place_turn(place, MT_IDLE, MT_BUSY)) continue;
        place->call = call;
        place->given = given;
        mt_place_know(place);
        mt_place_apart(place);
        PyThread_release_lock(place->bell);
        return 1;
    }
    for (int i = 0; i < MT_POOL; i++) {
        mt_place *place = mt_pool + i;
        if (!mt_place_turn(place, MT_NONE, MT_BUSY)) continue;
        if (!place->bell && (place->bell = PyThread_allocate_lock())) PyThread_acquire_lock(place->bell, NOWAIT_LOCK);
        place->call = call;
        place->given = given;
        place->known = 0;
        place->thread = place->bell ? mt_place_start(place) : PYTHREAD_INVALID_THREAD_ID;
        if (place->thread == PYTHREAD_INVALID_THREAD_ID) {
            __atomic_store_n(&place->state, MT_NONE, __ATOMIC_RELEASE);
            return 0;
        }
        mt_place_apart(place);
        __atomic_store_n(&place->known, 1, __ATOMIC_RELEASE);
        return 1;
    }
    return 0;
}

#ifdef MT_FORKS
/* Sleep for a moment. */
static void mt_pool_pause(void) {
    const struct timespec pause = {0, 20000};
    nanosleep(&pause, NULL);
}

/* Before a fork: end the threads that wait, so that the process that is forked has no others of ours. One that has left takes the
 * system some 20 µs to end, and Python, which warns of threads there, counts those of the system. */
static void mt_pool_leave(void) {
    long number[MT_POOL];
    int n = 0, pauses = 0;
    for (int i = 0; i < MT_POOL; i++) {
        if (!mt_place_turn(mt_pool + i, MT_IDLE, MT_LEAVING)) continue;
        number[n++] = mt_pool[i].number; /* another thread may have the place as soon as this one has left */
        PyThread_release_lock(mt_pool[i].bell);
    }
    for (int i = 0; i < MT_POOL && n; i++)
        while (__atomic_load_n(&mt_pool[i].state, __ATOMIC_ACQUIRE) == MT_LEAVING) mt_pool_pause();
    for (int i = 0; i < n; i++) {
#ifdef MT_LINUX
        while (pauses++ < MT_PAUSES && syscall(SYS_tgkill, getpid(), number[i], 0) == 0) mt_pool_pause();
#else
        (void)number;
        (void)pauses;
#endif
    }
}

/* To be called once, before any thread is started. */
static void mt_pool_begin(void) {
    mt_pool_of = getpid();
    mt_pool_stays = pthread_atfork(mt_pool_leave, NULL, mt_pool_forget) == 0;
}
#else
static void mt_pool_begin(void) { mt_pool_stays = 1; }
#endif
#endif
