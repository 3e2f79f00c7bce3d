/* Rows, read one after the other into the set of the stripes that guard them.
 *
 * Row r of an array object is row origin + r * step of the shared array, and stripe
 * (origin + r * step) / block guards it.  What is read may be memory that others write
 * meanwhile: each number is loaded once, so that what was checked is what is used.
 */
#ifndef PYDSM_ROW_READER_H
#define PYDSM_ROW_READER_H

#include "stripe_set.h"

typedef struct {
    int64_t count, origin, step, block;
    int64_t from; /* where the rows of the stripe that was added last begin: neighbours need no division */
    dsm_stripe_set set;
} dsm_reader;

/* What becomes of a key: read, or left to others, who know what to say of it, or no memory. */
enum { DSM_NO_MEMORY = -1, DSM_UNREAD = 0, DSM_READ = 1 };

static inline void dsm_reader_begin(dsm_reader *reader, int64_t count, int64_t origin, int64_t step, int64_t block,
                                    int64_t stripes) {
    reader->count = count, reader->origin = origin, reader->step = step, reader->block = block;
    reader->from = -((int64_t)1 << 62); /* far from any row */
    dsm_set_begin(&reader->set, stripes);
}

static inline int64_t dsm_divide(int64_t place, int64_t block) {
    if ((place | block) >> 32 == 0) return (uint32_t)place / (uint32_t)block; /* several times as fast */
    return place / block;
}

static inline int dsm_read_row(dsm_reader *reader, int64_t row) {
    if (row < 0) row += reader->count;
    if ((uint64_t)row >= (uint64_t)reader->count) return DSM_UNREAD;
    int64_t place = reader->origin + row * reader->step;
    if ((uint64_t)(place - reader->from) < (uint64_t)reader->block) return DSM_READ;
    int64_t stripe = dsm_divide(place, reader->block);
    reader->from = stripe * reader->block;
    return dsm_set_add(&reader->set, stripe) ? DSM_READ : DSM_NO_MEMORY;
}

/* Read `length` aligned numbers, `stride` bytes from one to the next. */
#define DSM_READ_ARRAY(type)                                                                                      \
    static int dsm_read_##type(dsm_reader *reader, const char *data, ptrdiff_t length, ptrdiff_t stride) {        \
        int outcome = DSM_READ;                                                                                   \
        for (; length > 0 && outcome == DSM_READ; length--, data += stride) {                                     \
            type##_t row = __atomic_load_n((const type##_t *)data, __ATOMIC_RELAXED);                             \
            if ((type##_t)-1 > 0 && (uint64_t)row > INT64_MAX) return DSM_UNREAD;                                 \
            outcome = dsm_read_row(reader, (int64_t)row);                                                         \
        }                                                                                                         \
        return outcome;                                                                                           \
    }
DSM_READ_ARRAY(int8)
DSM_READ_ARRAY(int16)
DSM_READ_ARRAY(int32)
DSM_READ_ARRAY(int64)
DSM_READ_ARRAY(uint8)
DSM_READ_ARRAY(uint16)
DSM_READ_ARRAY(uint32)
DSM_READ_ARRAY(uint64)

static int dsm_read_array(dsm_reader *reader, int bytes, int is_signed, const char *data, ptrdiff_t length,
                          ptrdiff_t stride) {
    switch (is_signed ? -bytes : bytes) {
        case -1: return dsm_read_int8(reader, data, length, stride);
        case -2: return dsm_read_int16(reader, data, length, stride);
        case -4: return dsm_read_int32(reader, data, length, stride);
        case -8: return dsm_read_int64(reader, data, length, stride);
        case 1: return dsm_read_uint8(reader, data, length, stride);
        case 2: return dsm_read_uint16(reader, data, length, stride);
        case 4: return dsm_read_uint32(reader, data, length, stride);
        case 8: return dsm_read_uint64(reader, data, length, stride);
    }
    return DSM_UNREAD;
}

/* Return the first row from `row` on that the mask is true of, or the count. */
static inline int64_t dsm_next_true(const char *mask, ptrdiff_t stride, int64_t row, int64_t count) {
    uint64_t eight;
    while (row < count) {
        if (stride == 1 && count - row >= 8) {
            memcpy(&eight, mask + row, sizeof eight);
            if (!eight) {
                row += 8;
                continue;
            }
        }
        if (mask[row * stride]) return row;
        row++;
    }
    return count;
}

/* Return the first row that lies in another stripe than `row`, which lies in `stripe`. */
static inline int64_t dsm_next_stripe(const dsm_reader *reader, int64_t stripe) {
    int64_t step = reader->step, rest = stripe * reader->block - reader->origin;
    if (step == 0) return reader->count;
    if (step == 1) return rest + reader->block;
    return step > 0 ? (rest + reader->block + step - 1) / step : -rest / -step + 1;
}

/* Read a mask with one byte for each row: one look at most for the rows of a stripe behind a true one. */
static int dsm_read_mask(dsm_reader *reader, const char *mask, ptrdiff_t stride) {
    int64_t row = 0, stripe;
    while ((row = dsm_next_true(mask, stride, row, reader->count)) < reader->count) {
        stripe = dsm_divide(reader->origin + row * reader->step, reader->block);
        if (!dsm_set_add(&reader->set, stripe)) return DSM_NO_MEMORY;
        row = dsm_next_stripe(reader, stripe);
    }
    return DSM_READ;
}

#endif
