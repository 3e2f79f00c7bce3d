/* The code for one element type; element.h includes it with KIND, T, BITS and CLASS set. */

#if CLASS == DSM_INTEGER
#define DSM_EACH_OP(CASE) \
    CASE(DSM_ADD) CASE(DSM_MUL) CASE(DSM_MIN) CASE(DSM_MAX) CASE(DSM_AND) CASE(DSM_OR) CASE(DSM_XOR)
#else
#define DSM_EACH_OP(CASE) CASE(DSM_ADD) CASE(DSM_MUL) CASE(DSM_MIN) CASE(DSM_MAX)
#endif

static inline int DSM_NAME(is_nan)(T a) {
#if CLASS == DSM_FLOAT
    return a != a;
#else
    (void) a;
    return 0;
#endif
}

/* Integers wrap, so they are added and multiplied without a sign. */
static inline __attribute__((always_inline)) T DSM_NAME(combine)(int op, T a, T b) {
    switch (op) {
#if CLASS == DSM_INTEGER
    case DSM_ADD: return (T) ((uint64_t) a + (uint64_t) b);
    case DSM_MUL: return (T) ((uint64_t) a * (uint64_t) b);
    case DSM_AND: return a & b;
    case DSM_OR: return a | b;
    case DSM_XOR: return a ^ b;
#else
    case DSM_ADD: return a + b;
    case DSM_MUL: return a * b;
#endif
    case DSM_MIN: return a <= b || DSM_NAME(is_nan)(a) ? a : b; /* as np.minimum: NaN wins */
    case DSM_MAX: return a >= b || DSM_NAME(is_nan)(a) ? a : b;
    default: return b;
    }
}

static inline T DSM_NAME(value)(uint64_t bits) {
    BITS low = (BITS) bits;
    T value;
    memcpy(&value, &low, sizeof value);
    return value;
}

static inline uint64_t DSM_NAME(bits)(T value) {
    BITS low;
    memcpy(&low, &value, sizeof low);
    return low;
}

/* The loop around compare-and-swap.  With `lazy` what does not change is not written, so a
 * minimum that stands costs a load; but that is no fence, as an operation of its own has to be. */
static inline __attribute__((always_inline)) T DSM_NAME(loop)(int op, T *p, T v, int lazy) {
    BITS seen = __atomic_load_n((BITS *) p, __ATOMIC_SEQ_CST);
    for (;;) {
        T old = DSM_NAME(value)(seen);
        BITS next = (BITS) DSM_NAME(bits)(DSM_NAME(combine)(op, old, v));
        if (lazy && next == seen) return old;
        if (__atomic_compare_exchange_n((BITS *) p, &seen, next, 1, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) return old;
    }
}

static inline __attribute__((always_inline)) T DSM_NAME(change)(int op, T *p, T v, int lazy) {
#if CLASS == DSM_INTEGER
    switch (op) {
    case DSM_ADD: return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);
    case DSM_AND: return __atomic_fetch_and(p, v, __ATOMIC_SEQ_CST);
    case DSM_OR: return __atomic_fetch_or(p, v, __ATOMIC_SEQ_CST);
    case DSM_XOR: return __atomic_fetch_xor(p, v, __ATOMIC_SEQ_CST);
    }
#endif
    if (op == DSM_SWAP)
        return DSM_NAME(value)(__atomic_exchange_n((BITS *) p, (BITS) DSM_NAME(bits)(v), __ATOMIC_SEQ_CST));
    return DSM_NAME(loop)(op, p, v, lazy);
}

static inline __attribute__((always_inline)) void DSM_NAME(atomic)(int op, T *p, T v) {
    DSM_NAME(change)(op, p, v, op == DSM_MIN || op == DSM_MAX);
}

static uint64_t DSM_NAME(fetch)(int op, void *p, uint64_t bits) {
    T v = DSM_NAME(value)(bits);
#define DSM_CASE(op) case op: return DSM_NAME(bits)(DSM_NAME(change)(op, (T *) p, v, 0));
    switch (op) { DSM_EACH_OP(DSM_CASE) }
    return DSM_NAME(bits)(DSM_NAME(change)(DSM_SWAP, (T *) p, v, 0));
#undef DSM_CASE
}

static inline uint64_t DSM_NAME(load)(const void *p) { return __atomic_load_n((const BITS *) p, __ATOMIC_SEQ_CST); }

static inline int DSM_NAME(cas)(void *p, uint64_t expected, uint64_t desired) {
    BITS seen = (BITS) expected;
    return __atomic_compare_exchange_n((BITS *) p, &seen, (BITS) desired, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

static inline int DSM_NAME(compare)(uint64_t a, uint64_t b) {
    T x = DSM_NAME(value)(a), y = DSM_NAME(value)(b);
    return x < y ? -1 : x > y ? 1 : x == y ? 0 : 2;
}

/* What changes nothing when it is combined with anything. */
static inline __attribute__((always_inline)) T DSM_NAME(identity)(int op) {
    switch (op) {
#if CLASS == DSM_INTEGER
    case DSM_MIN: return (T) -1 > 0 ? (T) -1 : (T) (((BITS) -1) >> 1);
    case DSM_MAX: return (T) -1 > 0 ? 0 : (T) (((BITS) 1) << (8 * sizeof(T) - 1));
    case DSM_AND: return (T) -1;
#else
    case DSM_MIN: return (T) __builtin_inf();
    case DSM_MAX: return (T) -__builtin_inf();
    case DSM_ADD: return (T) -0.0; /* 0.0 would make 0.0 of -0.0 */
#endif
    case DSM_MUL: return 1;
    default: return 0;
    }
}

/* Updates of rows that are one element, through a table of a few elements that wait for their
 * update.  Those for an element that waits already are combined with it, which is what makes
 * a hot element cheap; one that needs its place sends it off.  By then its cache line, asked
 * for when it came, is here: a locked instruction lets nothing overlap with it. */
static inline __attribute__((always_inline)) void DSM_NAME(update_elements)(int op, const dsm_updates *given) {
    const dsm_updates u = *given; /* a copy: what is written below is none of it */
    struct { T *place; T value; } waiting[DSM_WAITING];
    const T same = *(const T *) u.value;
    const char *value = u.value;
    ptrdiff_t i, at;
    for (at = 0; at < DSM_WAITING; at++) waiting[at].place = NULL;
    for (i = 0; i < u.count; i++, value += u.value_stride) {
        const ptrdiff_t row = dsm_row(&u, i);
        if (!dsm_has_row(&u, row)) continue; /* changed meanwhile: left out */
        T *place = (T *) (u.base + row * u.stride);
        const T v = u.value_stride ? *(const T *) value : same;
        at = row % DSM_WAITING;
        if (waiting[at].place == place) {
            waiting[at].value = DSM_NAME(combine)(op, waiting[at].value, v);
            continue;
        }
        if (waiting[at].place) DSM_NAME(atomic)(op, waiting[at].place, waiting[at].value);
        waiting[at].place = place;
        waiting[at].value = v;
        dsm_will_write(place);
    }
    for (at = 0; at < DSM_WAITING; at++)
        if (waiting[at].place) DSM_NAME(atomic)(op, waiting[at].place, waiting[at].value);
}

/* The same for rows of several elements. */
static inline __attribute__((always_inline)) void DSM_NAME(update_rows)(int op, const dsm_updates *u) {
    ptrdiff_t i, j;
    for (i = 0; i < u->count; i++) {
        ptrdiff_t row = dsm_row(u, i);
        if (!dsm_has_row(u, row)) continue;
        char *element = u->base + row * u->stride;
        const char *value = u->value + i * u->value_stride;
        for (j = 0; j < u->columns; j++)
            DSM_NAME(atomic)(op, DSM_PLACE(T, element, u->offset, j), *DSM_PLACE(const T, value, u->value_offset, j));
    }
}

/* Rows are looked at first, all of them, so that a wrong one changes nothing. */
static inline __attribute__((always_inline)) ptrdiff_t DSM_NAME(update_each)(int op, const dsm_updates *u) {
    ptrdiff_t bad = dsm_find_bad_row(u);
    if (bad >= 0) return bad;
    if (u->columns == 1)
        DSM_NAME(update_elements)(op, u);
    else
        DSM_NAME(update_rows)(op, u);
    return -1;
}

/* Combine updates of rows that are one element in `own`.  Everything is in variables of its
 * own, or the compiler would have to think that `own[row] = ...` changes it. */
static inline __attribute__((always_inline)) ptrdiff_t
DSM_NAME(combine_elements)(int op, const dsm_updates *u, T *restrict own) {
    const volatile ptrdiff_t *index = u->index; /* read once: another thread may change it */
    const ptrdiff_t rows = u->rows, count = u->count, stride = u->value_stride;
    const char *value = u->value;
    const T same = *(const T *) value;
    for (ptrdiff_t i = 0; i < count; i++) {
        ptrdiff_t row = index[i];
        row += row < 0 ? rows : 0;
        if ((size_t) row >= (size_t) rows) return i;
        own[row] = DSM_NAME(combine)(op, own[row], stride ? *(const T *) value : same);
        value += stride;
    }
    return -1;
}

/* The same for rows of several elements. */
static inline __attribute__((always_inline)) ptrdiff_t
DSM_NAME(combine_rows)(int op, const dsm_updates *u, T *restrict own) {
    const ptrdiff_t *offset = u->value_offset, columns = u->columns;
    for (ptrdiff_t i = 0, j; i < u->count; i++) {
        const char *value = u->value + i * u->value_stride;
        ptrdiff_t row = dsm_row(u, i);
        if (!dsm_has_row(u, row)) return i;
        T *mine = own + row * columns;
        if (offset)
            for (j = 0; j < columns; j++) mine[j] = DSM_NAME(combine)(op, mine[j], *(const T *) (value + offset[j]));
        else
            for (j = 0; j < columns; j++) mine[j] = DSM_NAME(combine)(op, mine[j], ((const T *) value)[j]);
    }
    return -1;
}

/* Combine all updates in `own`, which is nobody else's. */
static inline __attribute__((always_inline)) ptrdiff_t
DSM_NAME(combine_privately)(int op, const dsm_updates *u, T *own) {
    const T nothing = DSM_NAME(identity)(op);
    for (ptrdiff_t i = 0; i < u->rows * u->columns; i++) own[i] = nothing;
    return u->columns == 1 ? DSM_NAME(combine_elements)(op, u, own) : DSM_NAME(combine_rows)(op, u, own);
}

/* Update each element that something was combined for, from row `from` to row `to`. */
static inline __attribute__((always_inline)) void
DSM_NAME(merge)(int op, const dsm_updates *u, const T *own, ptrdiff_t from, ptrdiff_t to) {
    const BITS nothing = (BITS) DSM_NAME(bits)(DSM_NAME(identity)(op));
    ptrdiff_t touched[DSM_BLOCK], i, j, count, found;
    for (; from < to; from += count) {
        if (u->columns > 1) {
            const T *mine = own + from * u->columns;
            char *element = u->base + from * u->stride;
            for (j = 0; j < u->columns; j++)
                if ((BITS) DSM_NAME(bits)(mine[j]) != nothing)
                    DSM_NAME(atomic)(op, DSM_PLACE(T, element, u->offset, j), mine[j]);
            count = 1;
            continue;
        }
        count = to - from < DSM_BLOCK ? to - from : DSM_BLOCK;
        for (i = found = 0; i < count; i++) { /* no branch: which rows were touched is anybody's guess */
            touched[found] = from + i;
            found += (BITS) DSM_NAME(bits)(own[from + i]) != nothing;
        }
        for (i = 0; i < found; i++)
            DSM_NAME(atomic)(op, (T *) (u->base + touched[i] * u->stride), own[touched[i]]);
    }
}

static ptrdiff_t DSM_NAME(update)(int op, const dsm_updates *u, void *own, ptrdiff_t start) {
    ptrdiff_t bad = -1;
    if (u->count == 0 || u->columns == 0) return dsm_find_bad_row(u);
#define DSM_CASE(op)                                                   \
    case op:                                                           \
        if (!own) return DSM_NAME(update_each)(op, u);                 \
        bad = DSM_NAME(combine_privately)(op, u, (T *) own);           \
        if (bad < 0) DSM_NAME(merge)(op, u, (T *) own, start, u->rows); \
        if (bad < 0) DSM_NAME(merge)(op, u, (T *) own, 0, start);      \
        break;
    switch (op) { DSM_EACH_OP(DSM_CASE) }
    return bad;
#undef DSM_CASE
}

#undef DSM_EACH_OP
#undef KIND
#undef T
#undef BITS
#undef CLASS
