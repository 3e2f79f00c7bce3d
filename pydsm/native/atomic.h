/* 64-bit atomics on shared memory, and the lock-word steps built from them.
 *
 * Every function is a few instructions of C11-style atomics (GCC and Clang
 * builtins); none blocks, allocates, or calls back.  Orders are sequentially
 * consistent unless the name says otherwise: a seq_cst read-modify-write on
 * x86-64 costs the same as a weaker one, and the protocol below needs the
 * store-load order that only seq_cst gives.
 */
#ifndef PYDSM_ATOMIC_H
#define PYDSM_ATOMIC_H

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define DSM_LINE_WORDS 8 /* one 64-byte cache line */
#define DSM_SHARED_WORDS 7 /* words 1..7 of a stripe line: shared bits */

static inline uint64_t dsm_load(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_SEQ_CST); }
static inline uint64_t dsm_load_acquire(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_ACQUIRE); }
static inline void dsm_store(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_SEQ_CST); }
static inline void dsm_store_release(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELEASE); }
static inline uint64_t dsm_exchange(uint64_t *p, uint64_t v) { return __atomic_exchange_n(p, v, __ATOMIC_SEQ_CST); }
static inline uint64_t dsm_add(uint64_t *p, uint64_t v) { return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST); }
static inline uint64_t dsm_or(uint64_t *p, uint64_t v) { return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST); }
static inline uint64_t dsm_and(uint64_t *p, uint64_t v) { return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST); }
static inline int dsm_cas(uint64_t *p, uint64_t expected, uint64_t desired) {
    return __atomic_compare_exchange_n(p, &expected, desired, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}
static inline void dsm_fence(void) { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
static inline void dsm_pause(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* --- one stripe line ------------------------------------------------------
 *
 *   word 0      0 free, slot + 1 held exclusive, with bit 63 set: abandoned, its
 *               holder died inside (the other bits say who, see core/layout.py)
 *   words 1-7   bit s of word 1 + s / 64: slot s holds the stripe shared
 *
 * Dekker's argument makes the two modes exclude each other: an exclusive
 * acquirer writes word 0 and then reads the shared bits, a shared acquirer
 * writes its bit and then reads word 0; under sequential consistency at least
 * one of the two sees the other.
 *
 * An abandoned stripe is neither mode's until somebody takes it over.
 */
#define DSM_ABANDONED ((uint64_t)1 << 63)
enum { DSM_BUSY = 0, DSM_TAKEN = 1, DSM_OWN = 2, DSM_UPGRADE = 3, DSM_DEAD = 4 };

static inline uint64_t *dsm_bit_word(uint64_t *line, uint64_t me) { return line + 1 + ((me - 1) >> 6); }
static inline uint64_t dsm_bit(uint64_t me) { return (uint64_t)1 << ((me - 1) & 63); }

static inline int dsm_lowest(uint64_t bits) { return __builtin_ctzll(bits); }

static inline uint64_t dsm_any_shared(const uint64_t *line) {
    uint64_t any = 0;
    for (int i = 1; i <= DSM_SHARED_WORDS; i++) any |= dsm_load(line + i);
    return any;
}

/* Take the stripe for `me`, or say why not.  BUSY after word 0 was won but
 * sharers remain leaves word 0 ours: newcomers stand back while they drain,
 * so a writer cannot starve; the caller tries again until TAKEN, or gives up
 * through dsm_release_exclusive.  `waiting` says that the caller has failed
 * before and may therefore already own word 0. */
static inline int dsm_try_exclusive(uint64_t *line, uint64_t me, int waiting) {
    if (!dsm_cas(line, 0, me)) {
        uint64_t holder = dsm_load(line);
        if (holder != me) return holder & DSM_ABANDONED ? DSM_DEAD : DSM_BUSY;
        if (!waiting) return DSM_OWN;
    }
    uint64_t any = dsm_any_shared(line);
    if (__builtin_expect(any == 0, 1)) return DSM_TAKEN;
    if (dsm_load(dsm_bit_word(line, me)) & dsm_bit(me)) {
        dsm_store(line, 0);
        return DSM_UPGRADE;
    }
    return DSM_BUSY;
}

static inline int dsm_try_shared(uint64_t *line, uint64_t me) {
    uint64_t *word = dsm_bit_word(line, me), bit = dsm_bit(me), holder;
    if (dsm_load(word) & bit) return DSM_OWN;
    holder = dsm_load(line);
    if (holder == me) return DSM_OWN; /* exclusive covers shared */
    if (holder) return holder & DSM_ABANDONED ? DSM_DEAD : DSM_BUSY;
    dsm_or(word, bit);
    if (__builtin_expect(dsm_load(line) == 0, 1)) return DSM_TAKEN;
    dsm_and(word, ~bit);
    return DSM_BUSY; /* the caller wakes: a writer may wait for our bit */
}

/* Make word 0 of an abandoned stripe ours; return what it was, or 0 if somebody else was faster. */
static inline uint64_t dsm_take_over(uint64_t *line, uint64_t me) {
    uint64_t dead = dsm_load(line);
    return dead & DSM_ABANDONED && dsm_cas(line, dead, me) ? dead : 0;
}

static inline void dsm_release_exclusive(uint64_t *line) { dsm_exchange(line, 0); }
/* One of many that are given back together: nobody may look for waiters before a dsm_fence behind the last.
 * The fence orders all the stores before all the looks, as the exchange orders one before one. */
static inline void dsm_clear_exclusive(uint64_t *line) { dsm_store_release(line, 0); }
static inline void dsm_release_shared(uint64_t *line, uint64_t me) { dsm_and(dsm_bit_word(line, me), ~dsm_bit(me)); }

static inline int dsm_holds(uint64_t *line, uint64_t me) {
    if (dsm_load(line) == me) return 2;
    return (dsm_load(dsm_bit_word(line, me)) & dsm_bit(me)) != 0;
}

/* --- who am I -------------------------------------------------------------
 *
 * A thread's identity (slot + 1) in the namespace it used last, so that the hot
 * path needs no dictionary, how many stripes it holds in all, how many waits it is in
 * the middle of (a signal handler may wait inside a wait), and a number that no other
 * thread of this process ever has (a slot may be somebody else's next).
 * `dsm_incarnation` counts forks: a region entered before a fork belongs to the
 * parent, and a child must neither release nor count it.
 */
typedef struct { uint64_t space, me, held, waits, thread; } dsm_identity;
static __thread dsm_identity dsm_self __attribute__((tls_model("initial-exec")));
static uint64_t dsm_incarnation = 1; /* of this process: one more than its parent's */

static inline uint64_t dsm_thread(void) {
    static uint64_t threads;
    if (__builtin_expect(!dsm_self.thread, 0)) dsm_self.thread = dsm_add(&threads, 1) + 1;
    return dsm_self.thread;
}

static void dsm_after_fork(void) {
    dsm_self.space = dsm_self.me = dsm_self.held = dsm_self.waits = 0;
    dsm_incarnation++;
}
static inline void dsm_watch_forks(void) { pthread_atfork(NULL, NULL, dsm_after_fork); }

/* --- signals held back while a thread is parked ---------------------------- */
static __thread sigset_t dsm_signals;
static __thread int dsm_signals_held;

static inline void dsm_hold_signals(void) {
    sigset_t all;
    sigfillset(&all);
    if (!dsm_signals_held && pthread_sigmask(SIG_BLOCK, &all, &dsm_signals) == 0) dsm_signals_held = 1;
}
static inline void dsm_restore_signals(void) {
    if (dsm_signals_held) {
        dsm_signals_held = 0;
        pthread_sigmask(SIG_SETMASK, &dsm_signals, NULL);
    }
}

/* --- orphans (Linux) --------------------------------------------------------- */
static inline int dsm_die_with_parent(int signal) {
#ifdef __linux__
    return prctl(PR_SET_PDEATHSIG, signal);
#else
    return signal * 0;
#endif
}

/* --- the line that a region is about to write ------------------------------------
 * Asked for as soon as the rows are known, so that it travels from the other core's
 * cache while the interpreter is on its way to __enter__. */
static inline void dsm_will_write(const void *p) {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)p));
#else
    __builtin_prefetch(p, 1);
#endif
}

#endif
