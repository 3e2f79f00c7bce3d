/* Waiting in a barrier: for a moment on the cpu, then asleep on a futex.
 *
 * The bell is a word that sleepers sleep on.  Bit 0 says that somebody sleeps or is about
 * to; ringing clears it and changes the rest, and wakes all.  A sleeper sets the bit first
 * and looks at the truth (the generation, what is broken) after; who changes the truth
 * looks at the bit after; so one of the two sees the other, and the kernel lets nobody
 * sleep on a bell that has been rung since its value was read.  A sleeper that dies leaves
 * the bit, and somebody wakes nobody.  The kernel compares 32 bits: to be missed, a bell
 * would have to ring two thousand million times between two instructions.
 */
#ifndef PYDSM_BARRIER_H
#define PYDSM_BARRIER_H

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "atomic.h"

#define DSM_SLEEPERS ((uint64_t)1)

static inline uint32_t *dsm_futex_of(uint64_t *bell) {
    return (uint32_t *)bell + (__BYTE_ORDER__ == __ORDER_BIG_ENDIAN__);
}

static inline uint64_t dsm_announce(uint64_t *bell) { return dsm_or(bell, DSM_SLEEPERS) | DSM_SLEEPERS; }

static inline void dsm_ring(uint64_t *bell) {
    for (;;) {
        uint64_t value = dsm_load(bell);
        if (!(value & DSM_SLEEPERS)) return;
        if (dsm_cas(bell, value, value + 1)) break;
    }
    syscall(SYS_futex, dsm_futex_of(bell), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Ring whatever bit 0 says: who cleared it may have died before it could wake. */
static inline void dsm_alarm(uint64_t *bell) {
    dsm_add(bell, 2);
    syscall(SYS_futex, dsm_futex_of(bell), FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

static inline void dsm_step(uint64_t *generation, uint64_t value, uint64_t *bell) {
    dsm_cas(generation, value, value + 1);
    dsm_ring(bell);
}

/* Sleep on the bell while it has that value; 0, or EINTR after a signal, or ETIMEDOUT. */
static inline int dsm_sleep(uint64_t *bell, uint64_t value, double seconds) {
    struct timespec time = {.tv_sec = (time_t)seconds, .tv_nsec = (long)((seconds - (time_t)seconds) * 1e9)};
    if (syscall(SYS_futex, dsm_futex_of(bell), FUTEX_WAIT, (uint32_t)value, &time, NULL, 0) == 0) return 0;
    return errno == EAGAIN ? 0 : errno;
}

static inline int64_t dsm_now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* --- not sleeping yet -------------------------------------------------------------
 *
 * Falling asleep and being woken costs some ten times what a short wait lasts.  Where each
 * worker has a cpu the others come any moment, so we look for a while.  That is wrong while
 * other programs have the cpus, or while the others have more to do than we: then what was
 * spent in vain is not spent again for DSM_RESPITE times as long, in which we sleep at once;
 * and for twice as long as the last time if it did not go well in between for as long.
 *
 * Where workers share cpus they sleep at once.  To give up the cpu instead (sched_yield) is
 * several times as fast while nobody else wants it, and a hundred times as slow while
 * somebody does: the scheduler charges each yield as a whole time slice.
 */
#define DSM_RESPITE 32
#define DSM_LONGEST_RESPITE 100000000 /* ns */

typedef struct {
    int64_t spins;
    int64_t respite, not_before; /* ns on the monotonic clock */
} dsm_patience;

static inline int dsm_watch(const uint64_t *word, uint64_t value, dsm_patience *patience) {
    if (!patience->spins || dsm_load(word) != value) return dsm_load(word) != value;
    int64_t began = dsm_now(), now;
    if (began < patience->not_before) return 0;
    for (int64_t turn = 0; turn < patience->spins; turn++) {
        if (dsm_load(word) != value) return 1;
        dsm_pause();
    }
    now = dsm_now();
    int64_t respite = began - patience->not_before < patience->respite ? 2 * patience->respite : 0;
    if (respite < DSM_RESPITE * (now - began)) respite = DSM_RESPITE * (now - began);
    if (respite > DSM_LONGEST_RESPITE) respite = DSM_LONGEST_RESPITE;
    patience->respite = respite;
    patience->not_before = now + respite;
    return dsm_load(word) != value;
}

#endif
