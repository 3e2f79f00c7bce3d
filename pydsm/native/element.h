/* Atomic operations on one array element, and on many.
 *
 * An element is a bool, an integer of 1, 2, 4 or 8 bytes, or a float of 4 or 8; a value
 * travels as the low bits of a uint64_t.  What the processor has an instruction for (add,
 * and, or, xor, exchange on integers) is that instruction; everything else is the usual loop
 * around compare-and-swap, for floats on their bits.  element_type.h has the code for one
 * type; here it is compiled for each.
 */
#ifndef PYDSM_ELEMENT_H
#define PYDSM_ELEMENT_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "atomic.h"

enum { DSM_B1, DSM_I1, DSM_I2, DSM_I4, DSM_I8, DSM_U1, DSM_U2, DSM_U4, DSM_U8, DSM_F4, DSM_F8 };
enum { DSM_ADD, DSM_MUL, DSM_MIN, DSM_MAX, DSM_AND, DSM_OR, DSM_XOR, DSM_SWAP };

/* Many updates: value i goes to element (row i, column j) for all j.
 *
 * Row i is `index[i]`, or `first + i * step` where there is no index.  Columns are the
 * elements of a row; an offset table says where they are if they do not follow one another.
 */
typedef struct {
    char *base;               /* element 0 of row 0 */
    ptrdiff_t stride;         /* bytes from row to row */
    ptrdiff_t rows;           /* how many rows the array has */
    const ptrdiff_t *index;   /* NULL: a slice */
    ptrdiff_t first, step;    /* of the slice */
    ptrdiff_t count;          /* how many updates of rows */
    ptrdiff_t columns;
    const ptrdiff_t *offset;  /* of each column; NULL: they follow one another */
    const char *value;        /* already of the array's type */
    ptrdiff_t value_stride;   /* bytes from update to update; 0: the same for all */
    const ptrdiff_t *value_offset; /* of each column */
} dsm_updates;

static inline ptrdiff_t dsm_row(const dsm_updates *u, ptrdiff_t i) {
    if (!u->index) return u->first + i * u->step;
    ptrdiff_t row = ((const volatile ptrdiff_t *) u->index)[i]; /* read once: another thread may change it */
    return row < 0 ? row + u->rows : row;
}

static inline int dsm_has_row(const dsm_updates *u, ptrdiff_t row) { return (size_t) row < (size_t) u->rows; }

static inline ptrdiff_t dsm_find_bad_row(const dsm_updates *u) {
    if (u->index)
        for (ptrdiff_t i = 0; i < u->count; i++)
            if (!dsm_has_row(u, dsm_row(u, i))) return i;
    return -1;
}

/* Room for a private copy, in huge pages where it is large: it is filled, hit at random, and read. */
static inline void *dsm_scratch(size_t size) {
    enum { HUGE = 1 << 21 };
    void *room = NULL;
    if (size < 2 * HUGE) return malloc(size);
    if (posix_memalign(&room, HUGE, size)) return NULL;
#ifdef MADV_HUGEPAGE
    madvise(room, size, MADV_HUGEPAGE);
#endif
    return room;
}

/* Column j, from where its row or its update's values begin. */
#define DSM_PLACE(type, start, offset, j) ((offset) ? (type *) ((start) + (offset)[j]) : (type *) (start) + (j))
enum { DSM_BLOCK = 64, DSM_WAITING = 512 };

#define DSM_PASTE_(a, b, c) a##b##_##c
#define DSM_PASTE(a, b, c) DSM_PASTE_(a, b, c)
#define DSM_NAME(what) DSM_PASTE(dsm_, KIND, what)

#define DSM_INTEGER 0
#define DSM_FLOAT 1

#define KIND i1
#define T int8_t
#define BITS uint8_t
#define CLASS DSM_INTEGER
#include "element_type.h"
#define KIND i2
#define T int16_t
#define BITS uint16_t
#define CLASS DSM_INTEGER
#include "element_type.h"
#define KIND i4
#define T int32_t
#define BITS uint32_t
#define CLASS DSM_INTEGER
#include "element_type.h"
#define KIND i8
#define T int64_t
#define BITS uint64_t
#define CLASS DSM_INTEGER
#include "element_type.h"
#define KIND u1
#define T uint8_t
#define BITS uint8_t
#define CLASS DSM_INTEGER
#include "element_type.h"
#define KIND u2
#define T uint16_t
#define BITS uint16_t
#define CLASS DSM_INTEGER
#include "element_type.h"
#define KIND u4
#define T uint32_t
#define BITS uint32_t
#define CLASS DSM_INTEGER
#include "element_type.h"
#define KIND u8
#define T uint64_t
#define BITS uint64_t
#define CLASS DSM_INTEGER
#include "element_type.h"
#define KIND f4
#define T float
#define BITS uint32_t
#define CLASS DSM_FLOAT
#include "element_type.h"
#define KIND f8
#define T double
#define BITS uint64_t
#define CLASS DSM_FLOAT
#include "element_type.h"

/* A bool is a byte that is 0 or 1: min, max, and, or, xor and swap keep it so. */
#define DSM_EACH_KIND(call)                              \
    switch (kind) {                                      \
    case DSM_B1: case DSM_U1: return dsm_u1_##call;      \
    case DSM_I1: return dsm_i1_##call;                   \
    case DSM_I2: return dsm_i2_##call;                   \
    case DSM_I4: return dsm_i4_##call;                   \
    case DSM_I8: return dsm_i8_##call;                   \
    case DSM_U2: return dsm_u2_##call;                   \
    case DSM_U4: return dsm_u4_##call;                   \
    case DSM_U8: return dsm_u8_##call;                   \
    case DSM_F4: return dsm_f4_##call;                   \
    default: return dsm_f8_##call;                       \
    }

static inline uint64_t dsm_bits_of_float(int kind, double value) {
    return kind == DSM_F4 ? dsm_f4_bits((float) value) : dsm_f8_bits(value);
}
static inline double dsm_float_of_bits(int kind, uint64_t bits) {
    return kind == DSM_F4 ? dsm_f4_value(bits) : dsm_f8_value(bits);
}

/* Change one element; return what it was. */
static inline uint64_t dsm_fetch(int kind, int op, void *p, uint64_t value) { DSM_EACH_KIND(fetch(op, p, value)) }
static inline uint64_t dsm_element_load(int kind, const void *p) { DSM_EACH_KIND(load(p)) }
static inline int dsm_element_cas(int kind, void *p, uint64_t expected, uint64_t desired) {
    DSM_EACH_KIND(cas(p, expected, desired))
}
/* Compare as numbers: -1, 0, 1, or 2 if one is no number. */
static inline int dsm_element_compare(int kind, uint64_t a, uint64_t b) { DSM_EACH_KIND(compare(a, b)) }
/* Do many updates; -1, or the position of a row that does not exist, and then nothing was changed.
 * `own` is room for all elements, to combine updates in first, or NULL: then each is an atomic
 * operation by itself.  Merging begins at row `start`, so that workers who do the same seldom meet. */
static inline ptrdiff_t dsm_update(int kind, int op, const dsm_updates *u, void *own, ptrdiff_t start) {
    DSM_EACH_KIND(update(op, u, own, start))
}

#endif
