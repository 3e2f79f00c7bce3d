/* Twins and diffs of an array's bytes, stripe by stripe.
 *
 * `data` is a node's replica, which its workers write at any time; `twin` is what was last
 * told or heard.  Where the bits of a unit differ, it has been written here and nobody knows.
 * All comparing and copying is of whole units (Carter, Bennett and Zwaenepoel, Munin, 1991);
 * what comes in goes into the replica only where that has no change of its own (Stets and
 * others, Cashmere-2L, 1997).
 *
 * A diff is a row of records: the number of the first unit and how many there are (8 bytes
 * each), their bits.  A block is a row of records, too: the stripe's number, its version
 * (8 bytes each), its elements.
 *
 * What others may write or read meanwhile is copied unit by unit: memcpy aligns itself to where it
 * writes, and reads an element in two pieces if that lies otherwise; and a processor's string
 * instructions, which it uses for much at a time, may do so at the end of a page.
 */
#ifndef PYDSM_TWINS_H
#define PYDSM_TWINS_H

#include <sched.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "atomic.h"

typedef struct {
    char *data, *twin;
    uint64_t *versions, *pushed;
    int64_t unit, stripe, size; /* bytes */
} dsm_twins;

enum { DSM_COARSE = 4096, DSM_FINE = 64, DSM_RECORD = 16, DSM_BLOCK_RECORD = 16 };

/* --- the latch of what a node has of one home ------------------------------------------
 *
 * It is held for a microsecond, in native code that neither calls Python nor waits.
 */
static inline void dsm_latch(uint64_t *word) {
    for (int turn = 0; !dsm_cas(word, 0, 1); turn++) {
        if (turn < 100) dsm_pause();
        else if (turn < 200) sched_yield();
        else nanosleep(&(struct timespec){0, 20000}, NULL);
    }
}
static inline void dsm_unlatch(uint64_t *word) { dsm_store_release(word, 0); }

/* --- bytes that grow --------------------------------------------------------------------- */
typedef struct {
    char *bytes;
    int64_t used, room;
} dsm_bytes;

/* Make room for more behind what is there; NULL if there is no memory. */
static inline char *dsm_more(dsm_bytes *to, int64_t count) {
    if (to->used + count > to->room) {
        int64_t room = 2 * (to->used + count) + 64;
        char *bytes = realloc(to->bytes, (size_t)room);
        if (!bytes) return NULL;
        to->bytes = bytes;
        to->room = room;
    }
    to->used += count;
    return to->bytes + to->used - count;
}

/* --- comparing ------------------------------------------------------------------------------ */
static inline int dsm_unlike(const char *a, const char *b, int64_t unit) {
    uint64_t x, y;
    uint32_t v, w;
    switch (unit) {
    case 8: memcpy(&x, a, 8); memcpy(&y, b, 8); return x != y;
    case 4: memcpy(&v, a, 4); memcpy(&w, b, 4); return v != w;
    case 1: return *a != *b;
    default: return memcmp(a, b, (size_t)unit) != 0;
    }
}

static inline int64_t dsm_whole_units(int64_t bytes, int64_t unit) { return bytes < unit ? unit : bytes / unit * unit; }

/* Return where the first unit begins, from `at` on, whose bits differ; `stop` if there is none. */
static inline int64_t dsm_first_unlike(const char *a, const char *b, int64_t at, int64_t stop, int64_t unit) {
    int64_t coarse = dsm_whole_units(DSM_COARSE, unit), fine = dsm_whole_units(DSM_FINE, unit);
    while (at < stop) {
        while (stop - at > coarse && memcmp(a + at, b + at, (size_t)coarse) == 0) at += coarse;
        int64_t end = stop - at > coarse ? at + coarse : stop; /* it is before this, unless somebody writes */
        while (end - at > fine && memcmp(a + at, b + at, (size_t)fine) == 0) at += fine;
        while (at < end && !dsm_unlike(a + at, b + at, unit)) at += unit;
        if (at < end) break;
    }
    return at;
}

static inline int64_t dsm_first_alike(const char *a, const char *b, int64_t at, int64_t stop, int64_t unit) {
    while (at < stop && dsm_unlike(a + at, b + at, unit)) at += unit;
    return at;
}

/* Copy units that others may write, or read: each is what it was at one moment, if a processor can do that at once. */
#define DSM_READ_UNITS(type) \
    for (int64_t i = 0; i < bytes; i += (int64_t)sizeof(type)) { \
        type unit = __atomic_load_n((const type *)(from + i), __ATOMIC_RELAXED); \
        memcpy(to + i, &unit, sizeof(type)); \
    }
static inline void dsm_read_units(char *to, const char *from, int64_t bytes, int64_t unit) {
    if (unit % 8 == 0) DSM_READ_UNITS(uint64_t)
    else if (unit % 4 == 0) DSM_READ_UNITS(uint32_t)
    else if (unit % 2 == 0) DSM_READ_UNITS(uint16_t)
    else memcpy(to, from, (size_t)bytes);
}

#define DSM_WRITE_UNITS(type) \
    for (int64_t i = 0; i < bytes; i += (int64_t)sizeof(type)) { \
        type unit; \
        memcpy(&unit, from + i, sizeof(type)); \
        __atomic_store_n((type *)(to + i), unit, __ATOMIC_RELAXED); \
    }
static inline void dsm_write_units(char *to, const char *from, int64_t bytes, int64_t unit) {
    if (unit % 8 == 0) DSM_WRITE_UNITS(uint64_t)
    else if (unit % 4 == 0) DSM_WRITE_UNITS(uint32_t)
    else if (unit % 2 == 0) DSM_WRITE_UNITS(uint16_t)
    else memcpy(to, from, (size_t)bytes);
}

/* --- telling ---------------------------------------------------------------------------------- */

/* Give each stripe of some bytes one new version, but none twice in one message. */
static inline void dsm_count(const dsm_twins *t, int64_t start, int64_t stop, uint64_t number, int64_t *last) {
    int64_t stripe = start / t->stripe;
    for (stripe = stripe > *last ? stripe : *last + 1; stripe * t->stripe < stop; stripe++) {
        if (number > t->pushed[stripe]) dsm_store(t->pushed + stripe, number);
        dsm_store(t->versions + stripe, t->versions[stripe] + 1);
        *last = stripe;
    }
}

/* Know what differs in some bytes as told; write it down as a diff if `to` is given.
 *
 * Only inside the latch.  `sent` becomes `number` before anybody can find the twin alike, if anything differs.
 * Returns 0 if there is no memory.
 */
static int dsm_take(const dsm_twins *t, int64_t start, int64_t stop, uint64_t number, uint64_t *sent, dsm_bytes *to,
                    int64_t *last) {
    while ((start = dsm_first_unlike(t->data, t->twin, start, stop, t->unit)) < stop) {
        int64_t end = dsm_first_alike(t->data, t->twin, start, stop, t->unit);
        char *record = NULL;
        if (to) {
            uint64_t first = (uint64_t)(start / t->unit), count = (uint64_t)((end - start) / t->unit);
            record = dsm_more(to, DSM_RECORD + end - start);
            if (!record) return 0;
            memcpy(record, &first, 8);
            memcpy(record + 8, &count, 8);
            dsm_read_units(record + DSM_RECORD, t->data + start, end - start, t->unit);
            dsm_store(sent, number);
        }
        dsm_count(t, start, end, number, last);
        if (record) memcpy(t->twin + start, record + DSM_RECORD, (size_t)(end - start)); /* as told, whatever it is by now */
        else dsm_read_units(t->twin + start, t->data + start, end - start, t->unit);
        start = end;
    }
    return 1;
}

/* Say whether a record is of this array, and as long as it says. */
static inline int dsm_fits(const dsm_twins *t, uint64_t first, uint64_t count, int64_t left) {
    uint64_t units = (uint64_t)(t->size / t->unit);
    return count <= (uint64_t)(left / t->unit) && count <= units && first <= units - count;
}

/* Write a diff here, and know it as told by the next message to its home; 0 if it is none of this array.
 *
 * The number is drawn in the same step as all is written: nobody can tell the home behind it what was there before.
 */
static int dsm_put(const dsm_twins *t, const char *from, const char *stop, uint64_t *line, uint64_t *number) {
    for (int writing = 0; writing <= 1; writing++) {
        const char *at = from;
        int64_t last = -1;
        while (stop - at >= DSM_RECORD) {
            uint64_t first, count;
            memcpy(&first, at, 8);
            memcpy(&count, at + 8, 8);
            at += DSM_RECORD;
            int64_t start = (int64_t)first * t->unit, bytes = (int64_t)count * t->unit;
            if (!writing) {
                if (!dsm_fits(t, first, count, stop - at)) return 0;
            } else {
                dsm_count(t, start, start + bytes, *number, &last);
                dsm_write_units(t->data + start, at, bytes, t->unit);
                memcpy(t->twin + start, at, (size_t)bytes);
            }
            at += bytes;
        }
        if (at != stop) return 0;
        if (!writing) {
            dsm_latch(line);
            *number = line[1] + 1;
            dsm_store(line + 1, *number);
        }
    }
    dsm_unlatch(line);
    return 1;
}

/* Return how many bytes `dsm_take` would write down now. */
static int64_t dsm_measure(const dsm_twins *t, int64_t start, int64_t stop) {
    int64_t bytes = 0;
    while ((start = dsm_first_unlike(t->data, t->twin, start, stop, t->unit)) < stop) {
        int64_t end = dsm_first_alike(t->data, t->twin, start, stop, t->unit);
        bytes += DSM_RECORD + end - start;
        start = end;
    }
    return bytes;
}

/* --- hearing ------------------------------------------------------------------------------------ */

static inline void dsm_write_new(char *to, const char *from, int64_t count, int64_t unit) {
    if (memcmp(to, from, (size_t)count) != 0) dsm_write_units(to, from, count, unit); /* untouched pages stay so */
}

/* At home: bring in a diff; 0 if it is none of this array.
 *
 * A stripe gets one new version for all of it.  So who may be overtaken by a collector, which is the
 * server, has to bring everything in `at_once`; the server itself lets others in between records. */
static int dsm_receive(const dsm_twins *t, const char *at, const char *stop, uint64_t *latch, int at_once) {
    int64_t last = -1;
    if (at_once) dsm_latch(latch);
    while (stop - at >= DSM_RECORD) {
        uint64_t first, count;
        memcpy(&first, at, 8);
        memcpy(&count, at + 8, 8);
        at += DSM_RECORD;
        int64_t start = (int64_t)first * t->unit, bytes = (int64_t)count * t->unit;
        if (!dsm_fits(t, first, count, stop - at)) {
            at = NULL;
            break;
        }
        if (!at_once) dsm_latch(latch);
        dsm_write_new(t->data + start, at, bytes, t->unit);
        dsm_write_new(t->twin + start, at, bytes, t->unit);
        dsm_count(t, start, start + bytes, 0, &last);
        if (!at_once) dsm_unlatch(latch);
        at += bytes;
    }
    if (at_once) dsm_unlatch(latch);
    return at == stop;
}

/* Bring in what a home has of some bytes: only where it is news, and in the replica only where that is unchanged. */
static void dsm_merge(const dsm_twins *t, const char *news, int64_t start, int64_t stop) {
    const char *from = news - start; /* as the replica is counted */
    int64_t unit = t->unit, at = start;
    while ((at = dsm_first_unlike(from, t->twin, at, stop, unit)) < stop) {
        int64_t end = dsm_first_alike(from, t->twin, at, stop, unit);
        if (memcmp(t->data + at, t->twin + at, (size_t)(end - at)) == 0) {
            dsm_write_units(t->data + at, from + at, end - at, unit);
        } else {
            for (int64_t one = at; one < end; one += unit)
                if (!dsm_unlike(t->data + one, t->twin + one, unit)) dsm_write_units(t->data + one, from + one, unit, unit);
        }
        memcpy(t->twin + at, from + at, (size_t)(end - at));
        at = end;
    }
}

/* Put what was written here, and told nobody, over news that somebody is given a copy of.
 *
 * Where the news are what is here, only they are read, which are in the cache. */
static void dsm_lay_over(const dsm_twins *t, char *news, int64_t start, int64_t stop) {
    const char *from = news - start;
    int64_t unit = t->unit, coarse = dsm_whole_units(DSM_COARSE, unit);
    for (int64_t at = start; at < stop; at += coarse) {
        int64_t part = stop - at < coarse ? stop : at + coarse, own = at;
        if (memcmp(from + at, t->data + at, (size_t)(part - at)) == 0) continue;
        while ((own = dsm_first_unlike(t->data, t->twin, own, part, unit)) < part) {
            int64_t end = dsm_first_alike(t->data, t->twin, own, part, unit);
            dsm_read_units(news - start + own, t->data + own, end - own, unit);
            own = end;
        }
    }
}

static inline int64_t dsm_stripe_bytes(const dsm_twins *t, int64_t stripe) {
    int64_t left = t->size - stripe * t->stripe;
    return left < t->stripe ? left : t->stripe;
}

#endif
