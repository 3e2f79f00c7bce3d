/* Shadow memory of the race detector: publishing accesses, and looking for those of others.
 *
 * The memory of an array is counted in *units* (an item of its dtype, or the largest part that
 * divides all its fields); a *cell* is 2^shift neighbouring units, and a *block* BLOCK cells.
 * For each worker and each kind of access there is a plane with one word for each cell:
 *
 *     clock : 32 | site : 15 | held : 1 | units : 16
 *
 * which says when (the worker's own clock), where in the program, whether inside of a region
 * of that row, and which units of the cell.  Only its own worker writes a plane, so no access
 * is lost however many happen at once.  A whole block is one word more, its *cover*, and the
 * newest clock of a block's cells is its *summary*: operations on many rows look at these.
 * `newest` is the same for a whole plane: whoever has not been here since I last heard of it
 * costs one comparison, whatever the size of the array.
 *
 * An access is first published in all its cells; then comes a fence; then the planes of the
 * others are read.  Of two accesses at the same time at least one so sees the other (Dekker).
 *
 * A word is concurrent if its clock is greater than what I have heard of its worker's: one
 * comparison with `limit[worker]`, the clock that I have heard of, plus one, in the clock's place.
 *
 * Atomic operations have a table for each worker: element e lies at e modulo its length, and a
 * newer one takes the place.  That forgets, but it never invents.
 */
#ifndef PYDSM_RACES_H
#define PYDSM_RACES_H

#include <stdint.h>
#include <string.h>
#include "atomic.h"

enum { RACE_READ = 0, RACE_WRITE = 1, RACE_ATOMIC_READ = 2, RACE_ATOMIC_WRITE = 3 };
enum { RACE_BLOCK_SHIFT = 10, RACE_BLOCK = 1 << RACE_BLOCK_SHIFT, RACE_FOUND = 16, RACE_AXES = 64 };
enum { RACE_CELLS = 0, RACE_COVER = 2, RACE_ATOMICS = 4, RACE_NEWEST = 8 };
#define RACE_UNITS ((uint64_t)0xFFFF)
#define RACE_HELD ((uint64_t)1 << 16)

typedef struct {
    uint64_t *cells, *cover, *summary; /* [worker][read, write][...] */
    uint64_t *atomics;                 /* [worker][read, write][slot][element + 1, word] */
    uint64_t *newest;                  /* [worker][RACE_NEWEST]: of cells, cover, atomics, each read, write */
    int64_t ncells, nblocks, slots, units;
    int shift, workers, me;
} race_planes;

typedef struct {
    int worker, kind;
    int64_t first, last; /* units */
    uint64_t word;
} race_clash;

typedef struct {
    int count;
    race_clash clash[RACE_FOUND];
} race_found;

/* One access: what is published, and what others' words are compared with. */
typedef struct {
    race_planes *planes;
    const uint64_t *limit;
    uint64_t word;   /* without units */
    uint64_t excuse; /* RACE_HELD: who held the row too is no race */
    int kind;
    race_found *found;
} race_access;

/* Which kinds conflict with a kind, as bits. */
static const int race_against[4] = {
    1 << RACE_WRITE | 1 << RACE_ATOMIC_WRITE,
    1 << RACE_READ | 1 << RACE_WRITE | 1 << RACE_ATOMIC_READ | 1 << RACE_ATOMIC_WRITE,
    1 << RACE_WRITE,
    1 << RACE_READ | 1 << RACE_WRITE,
};

static inline uint64_t race_get(const uint64_t *p) { return __atomic_load_n(p, __ATOMIC_RELAXED); }
static inline void race_put(uint64_t *p, uint64_t v) { __atomic_store_n(p, v, __ATOMIC_RELAXED); }
static inline int race_differs(uint64_t a, uint64_t b) { return (a ^ b) >> 32 != 0; }

static inline uint64_t *race_plane(uint64_t *base, int64_t length, int worker, int kind) {
    return base + ((int64_t)worker * 2 + kind) * length;
}

static inline void race_renew(const race_planes *p, int which, uint64_t word) {
    uint64_t *newest = p->newest + p->me * RACE_NEWEST + which;
    if (race_differs(race_get(newest), word)) race_put(newest, word);
}

/* --- publishing ---------------------------------------------------------------- */

static inline void race_put_cell(uint64_t *cell, uint64_t word, uint64_t units) {
    uint64_t was = race_get(cell);
    if (!race_differs(was, word)) units |= was & (RACE_UNITS | RACE_HELD); /* both are of now */
    race_put(cell, word | units);
}

static inline void race_publish_cell(const race_access *a, int64_t cell, uint64_t units) {
    const race_planes *p = a->planes;
    uint64_t *summary = race_plane(p->summary, p->nblocks, p->me, a->kind) + (cell >> RACE_BLOCK_SHIFT);
    race_put_cell(race_plane(p->cells, p->ncells, p->me, a->kind) + cell, a->word, units);
    if (race_differs(race_get(summary), a->word)) race_put(summary, a->word);
    race_renew(p, RACE_CELLS + a->kind, a->word);
}

static inline uint64_t race_units_from(const race_planes *p, int64_t unit) {
    return (RACE_UNITS << (unit & (((int64_t)1 << p->shift) - 1))) & RACE_UNITS;
}

/* Units of the cell of `unit` up to and with it. */
static inline uint64_t race_units_to(const race_planes *p, int64_t unit) {
    return ((uint64_t)2 << (unit & (((int64_t)1 << p->shift) - 1))) - 1;
}

static void race_publish_cells(const race_access *a, int64_t begin, int64_t end, uint64_t first, uint64_t last) {
    const race_planes *p = a->planes;
    uint64_t *cells = race_plane(p->cells, p->ncells, p->me, a->kind);
    uint64_t *summary = race_plane(p->summary, p->nblocks, p->me, a->kind) + (begin >> RACE_BLOCK_SHIFT);
    if (end - begin == 1) {
        race_put_cell(cells + begin, a->word, first & last);
    } else {
        race_put_cell(cells + begin, a->word, first);
        if (p->shift == 0) {
            uint64_t word = a->word | 1;
            for (int64_t i = begin + 1; i < end - 1; i++) cells[i] = word; /* one store each, so whole */
        } else {
            for (int64_t i = begin + 1; i < end - 1; i++) cells[i] = a->word | RACE_UNITS;
        }
        race_put_cell(cells + end - 1, a->word, last);
    }
    race_put(summary, a->word);
    race_renew(p, RACE_CELLS + a->kind, a->word);
}

/* Units first ... last, both inclusive. */
static void race_publish_range(const race_access *a, int64_t first, int64_t last) {
    const race_planes *p = a->planes;
    int64_t begin = first >> p->shift, end = (last >> p->shift) + 1;
    uint64_t head = race_units_from(p, first);
    uint64_t tail = last == p->units - 1 ? RACE_UNITS : race_units_to(p, last);
    uint64_t *cover = race_plane(p->cover, p->nblocks, p->me, a->kind);
    while (begin < end) {
        int64_t block = begin >> RACE_BLOCK_SHIFT, stop = (block + 1) << RACE_BLOCK_SHIFT;
        if (stop > p->ncells) stop = p->ncells;
        int whole = begin == block << RACE_BLOCK_SHIFT && end >= stop && stop - begin > 16 && head == RACE_UNITS &&
                    (end > stop || tail == RACE_UNITS || p->shift == 0);
        if (stop > end) stop = end;
        if (p->shift == 0) head = tail = 1;
        if (whole) {
            race_put(cover + block, a->word | RACE_UNITS);
            race_renew(p, RACE_COVER + a->kind, a->word);
        } else {
            race_publish_cells(a, begin, stop, head, stop == end ? tail : RACE_UNITS);
        }
        head = RACE_UNITS;
        begin = stop;
    }
}

/* --- looking ------------------------------------------------------------------- */

static void race_note(race_found *found, int worker, int kind, uint64_t word, int64_t first, int64_t last) {
    for (int i = 0; i < found->count; i++) {
        race_clash *c = found->clash + i;
        /* the same place of the program, in the same state: one more row of the same race */
        if (c->worker == worker && c->kind == kind && (c->word >> 16 & 0xFFFF) == (word >> 16 & 0xFFFF)) {
            if (first < c->first) c->first = first;
            if (last > c->last) c->last = last;
            if (word > c->word) c->word = word;
            return;
        }
    }
    if (found->count < RACE_FOUND) {
        race_clash c = {worker, kind, first, last, word};
        found->clash[found->count++] = c;
    }
}

static inline int race_is_late(const race_access *a, int worker, uint64_t word) {
    return word >= a->limit[worker] && !(word & a->excuse);
}

static void race_look_at_cells(const race_access *a, int worker, int kind, int64_t begin, int64_t end,
                               int64_t first, int64_t last) {
    const race_planes *p = a->planes;
    const uint64_t *cells = race_plane(p->cells, p->ncells, worker, kind);
    for (int64_t cell = begin; cell < end; cell++) {
        uint64_t word = race_get(cells + cell);
        if (word < a->limit[worker]) continue;
        uint64_t units = RACE_UNITS;
        if (cell == first >> p->shift) units &= race_units_from(p, first);
        if (cell == last >> p->shift) units &= race_units_to(p, last);
        units &= word;
        if (units && race_is_late(a, worker, word)) {
            int64_t unit = cell << p->shift;
            race_note(a->found, worker, kind, word, unit + __builtin_ctzll(units), unit + 63 - __builtin_clzll(units));
        }
    }
}

static void race_look_at_atomics(const race_access *a, int worker, int kind, int64_t first, int64_t last) {
    const race_planes *p = a->planes;
    const uint64_t *table = p->atomics + ((int64_t)worker * 2 + kind) * p->slots * 2;
    int64_t begin = first, end = last + 1;
    if (end - begin >= p->slots) begin = 0, end = p->slots;
    for (int64_t i = begin; i < end; i++) {
        const uint64_t *slot = table + (i % p->slots) * 2;
        uint64_t word = dsm_load_acquire(slot + 1);
        if (word < a->limit[worker]) continue;
        int64_t unit = (int64_t)dsm_load_acquire(slot) - 1;
        if (race_get(slot + 1) != word || unit < first || unit > last) continue; /* being changed: it looks itself */
        if (race_is_late(a, worker, word)) race_note(a->found, worker, kind + RACE_ATOMIC_READ, word, unit, unit);
    }
}

static void race_look_at_plane(const race_access *a, int worker, int kind, int64_t first, int64_t last) {
    const race_planes *p = a->planes;
    const uint64_t *newest = p->newest + worker * RACE_NEWEST;
    uint64_t limit = a->limit[worker];
    int in_cells = race_get(newest + RACE_CELLS + kind) >= limit, in_cover = race_get(newest + RACE_COVER + kind) >= limit;
    if (!in_cells && !in_cover) return;
    int64_t begin = first >> p->shift, end = (last >> p->shift) + 1;
    const uint64_t *cover = race_plane(p->cover, p->nblocks, worker, kind);
    const uint64_t *summary = race_plane(p->summary, p->nblocks, worker, kind);
    while (begin < end) {
        int64_t block = begin >> RACE_BLOCK_SHIFT, stop = (block + 1) << RACE_BLOCK_SHIFT;
        if (stop > end) stop = end;
        if (in_cover) {
            uint64_t word = race_get(cover + block);
            if (race_is_late(a, worker, word)) {
                int64_t low = begin << p->shift, high = (stop << p->shift) - 1;
                race_note(a->found, worker, kind, word, low < first ? first : low, high > last ? last : high);
            }
        }
        if (in_cells && (stop - begin == 1 || race_get(summary + block) >= limit))
            race_look_at_cells(a, worker, kind, begin, stop, first, last);
        begin = stop;
    }
}

static void race_look(const race_access *a, int64_t first, int64_t last) {
    const race_planes *p = a->planes;
    int against = race_against[a->kind];
    for (int worker = 0; worker < p->workers; worker++) {
        if (worker == p->me) continue;
        const uint64_t *newest = p->newest + worker * RACE_NEWEST;
        for (int kind = RACE_READ; kind <= RACE_WRITE; kind++) {
            if (against & 1 << kind) race_look_at_plane(a, worker, kind, first, last);
            if (against & 1 << (kind + RACE_ATOMIC_READ) && race_get(newest + RACE_ATOMICS + kind) >= a->limit[worker])
                race_look_at_atomics(a, worker, kind, first, last);
        }
    }
}

static inline void race_publish_atomic(const race_access *a, int64_t first, int64_t last) {
    const race_planes *p = a->planes;
    int kind = a->kind - RACE_ATOMIC_READ;
    uint64_t *table = p->atomics + ((int64_t)p->me * 2 + kind) * p->slots * 2;
    for (int64_t unit = first; unit <= last; unit++) {
        uint64_t *slot = table + (unit % p->slots) * 2;
        dsm_store_release(slot + 1, 0);
        dsm_store_release(slot, unit + 1);
        dsm_store_release(slot + 1, a->word | RACE_UNITS);
    }
    race_renew(p, RACE_ATOMICS + kind, a->word);
}

/* Publish (`look` false) or look for units first ... last. */
static inline void race_step(const race_access *a, int look, int64_t first, int64_t last) {
    if (look) {
        race_look(a, first, last);
    } else if (a->kind >= RACE_ATOMIC_READ) {
        race_publish_atomic(a, first, last);
    } else if (first == last) {
        race_publish_cell(a, first >> a->planes->shift, race_units_from(a->planes, first) & race_units_to(a->planes, first));
    } else {
        race_publish_range(a, first, last);
    }
}

/* --- the shape of an access ---------------------------------------------------- */

typedef struct {
    int axes;
    int64_t offset; /* bytes from the beginning of the array */
    int64_t item, unit;
    int64_t extent[RACE_AXES], stride[RACE_AXES];
} race_shape;

/* Bring axes into the order of memory, join those that follow one another; 0 if nothing is in it. */
static int race_normalize(race_shape *s, int axes, int64_t offset, const intptr_t *extents, const intptr_t *strides) {
    s->axes = 0;
    s->offset = offset;
    for (int i = 0; i < axes; i++) {
        int64_t extent = extents[i], stride = strides[i];
        if (extent == 0) return 0;
        if (extent == 1 || stride == 0) continue;
        if (stride < 0) s->offset += (extent - 1) * stride, stride = -stride;
        int at = s->axes++;
        for (; at > 0 && s->stride[at - 1] < stride; at--)
            s->extent[at] = s->extent[at - 1], s->stride[at] = s->stride[at - 1];
        s->extent[at] = extent, s->stride[at] = stride;
    }
    int kept = 0;
    for (int i = 0; i < s->axes; i++) {
        if (kept && s->stride[kept - 1] == s->extent[i] * s->stride[i]) {
            s->extent[kept - 1] *= s->extent[i];
            s->stride[kept - 1] = s->stride[i];
        } else {
            s->extent[kept] = s->extent[i], s->stride[kept] = s->stride[i];
            kept++;
        }
    }
    s->axes = kept;
    return 1;
}

static inline void race_bytes(const race_access *a, int look, const race_shape *s, int64_t begin, int64_t end) {
    if (begin < 0 || (end - 1) / s->unit >= a->planes->units) return; /* as_strided past the end */
    race_step(a, look, begin / s->unit, (end - 1) / s->unit);
}

static void race_run(const race_access *a, int look, const race_shape *s, int64_t offset) {
    int last = s->axes - 1;
    if (last < 0) {
        race_bytes(a, look, s, offset, offset + s->item);
        return;
    }
    int64_t extent = s->extent[last], stride = s->stride[last];
    if (stride <= s->item) {
        race_bytes(a, look, s, offset, offset + (extent - 1) * stride + s->item);
        return;
    }
    for (int64_t i = 0; i < extent; i++, offset += stride) race_bytes(a, look, s, offset, offset + s->item);
}

static void race_visit(const race_access *a, int look, const race_shape *s, int64_t offset) {
    int64_t at[RACE_AXES] = {0};
    while (1) {
        race_run(a, look, s, offset);
        int axis = s->axes - 2;
        for (; axis >= 0; axis--) {
            offset += s->stride[axis];
            if (++at[axis] < s->extent[axis]) break;
            offset -= at[axis] * s->stride[axis];
            at[axis] = 0;
        }
        if (axis < 0) return;
    }
}

/* The whole access: publish, fence, look. */
static void race_touch(const race_access *a, const race_shape *s) {
    race_visit(a, 0, s, s->offset);
    dsm_fence();
    race_visit(a, 1, s, s->offset);
}

/* The same shape at many offsets. */
static void race_touch_many(const race_access *a, const race_shape *s, const int64_t *offsets, int64_t count) {
    for (int64_t i = 0; i < count; i++) race_visit(a, 0, s, s->offset + offsets[i]);
    dsm_fence();
    for (int64_t i = 0; i < count; i++) race_visit(a, 1, s, s->offset + offsets[i]);
}

/* --- clocks -------------------------------------------------------------------- */

static inline void race_join(uint64_t *mine, const uint64_t *theirs, int count) {
    for (int i = 0; i < count; i++) {
        uint64_t clock = dsm_load_acquire(theirs + i);
        if (clock > mine[i]) mine[i] = clock;
    }
}

/* Raise shared clocks to mine; others may do the same meanwhile. */
static inline void race_raise(uint64_t *theirs, const uint64_t *mine, int count) {
    for (int i = 0; i < count; i++) {
        uint64_t clock = race_get(theirs + i);
        while (clock < mine[i] &&
               !__atomic_compare_exchange_n(theirs + i, &clock, mine[i], 0, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {
        }
    }
}

#endif
