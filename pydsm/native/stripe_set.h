/* A set of stripe numbers that is filled in any order and emptied in ascending order.
 *
 * One bit a stripe.  The usual array has 512 stripes, whose bits need no memory of their
 * own; of an array with very many stripes, the first few members are kept in a sorted
 * list, so that two rows out of a million stripes cost as little as two out of ten.
 */
#ifndef PYDSM_STRIPE_SET_H
#define PYDSM_STRIPE_SET_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DSM_FEW = 32 };

typedef struct {
    int64_t words;  /* of the bits */
    int64_t listed; /* members of the list, while there are no bits */
    uint64_t *bits; /* NULL: the list counts */
    union {
        uint64_t bits[DSM_FEW];
        int64_t list[DSM_FEW];
    } own;
} dsm_stripe_set;

static inline void dsm_set_begin(dsm_stripe_set *set, int64_t stripes) {
    set->words = (stripes + 63) >> 6;
    set->listed = 0;
    set->bits = NULL;
    if (set->words <= DSM_FEW) {
        set->bits = set->own.bits;
        for (int64_t i = 0; i < set->words; i++) set->bits[i] = 0;
    }
}

static inline void dsm_set_end(dsm_stripe_set *set) {
    if (set->bits != set->own.bits) free(set->bits);
}

static inline void dsm_set_bit(dsm_stripe_set *set, int64_t stripe) {
    set->bits[stripe >> 6] |= (uint64_t)1 << (stripe & 63);
}

/* Give every member of the full list its bit; 0 if there is no memory. */
static int dsm_set_unlist(dsm_stripe_set *set) {
    set->bits = calloc((size_t)set->words, sizeof *set->bits);
    if (!set->bits) return 0;
    for (int64_t i = 0; i < set->listed; i++) dsm_set_bit(set, set->own.list[i]);
    return 1;
}

static int dsm_set_list(dsm_stripe_set *set, int64_t stripe) {
    int64_t *list = set->own.list, at = set->listed;
    while (at && list[at - 1] > stripe) at--;
    if (at && list[at - 1] == stripe) return 1;
    if (set->listed == DSM_FEW) {
        if (!dsm_set_unlist(set)) return 0;
        dsm_set_bit(set, stripe);
        return 1;
    }
    for (int64_t i = set->listed++; i > at; i--) list[i] = list[i - 1];
    list[at] = stripe;
    return 1;
}

/* Add a member; 0 if there is no memory. */
static inline int dsm_set_add(dsm_stripe_set *set, int64_t stripe) {
    if (__builtin_expect(set->bits == NULL, 0)) return dsm_set_list(set, stripe);
    dsm_set_bit(set, stripe);
    return 1;
}

/* Return how many members there are, and, if there are any, the first and the last. */
static int64_t dsm_set_count(const dsm_stripe_set *set, int64_t *first, int64_t *last) {
    int64_t count = 0;
    if (!set->bits) {
        if (set->listed) *first = set->own.list[0], *last = set->own.list[set->listed - 1];
        return set->listed;
    }
    for (int64_t i = 0; i < set->words; i++) {
        uint64_t bits = set->bits[i];
        if (!bits) continue;
        if (!count) *first = i * 64 + __builtin_ctzll(bits);
        *last = i * 64 + 63 - __builtin_clzll(bits);
        count += __builtin_popcountll(bits);
    }
    return count;
}

/* Write the members to `to`, in ascending order. */
static void dsm_set_copy(const dsm_stripe_set *set, int64_t *to) {
    if (!set->bits) {
        memcpy(to, set->own.list, (size_t)set->listed * sizeof *to);
        return;
    }
    for (int64_t i = 0; i < set->words; i++)
        for (uint64_t bits = set->bits[i]; bits; bits &= bits - 1) *to++ = i * 64 + __builtin_ctzll(bits);
}

#endif
