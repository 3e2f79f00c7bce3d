# Keys of rows, read into the stripes that guard them.
#
# `pydsm.core.region` has the rules, and reads every key; here are those that programs use
# in their loops.  What is not read here, for whatever reason, is left to those rules, so
# there is one place that knows what is wrong with a key.  While a key is read here no
# Python code runs: only exact ints and NumPy's own are read out of a list.

cdef extern from "row_reader.h" nogil:
    ctypedef struct dsm_stripe_set:
        pass
    ctypedef struct dsm_reader:
        dsm_stripe_set set
    enum: DSM_NO_MEMORY, DSM_UNREAD, DSM_READ
    void dsm_reader_begin(dsm_reader *reader, int64_t count, int64_t origin, int64_t step, int64_t block,
                          int64_t stripes)
    int dsm_read_row(dsm_reader *reader, int64_t row)
    int dsm_read_array(dsm_reader *reader, int bytes, bint is_signed, const char *data, Py_ssize_t length,
                       Py_ssize_t stride)
    int dsm_read_mask(dsm_reader *reader, const char *mask, Py_ssize_t stride)
    int64_t dsm_set_count(const dsm_stripe_set *set, int64_t *first, int64_t *last)
    void dsm_set_copy(const dsm_stripe_set *set, int64_t *to)
    void dsm_set_end(dsm_stripe_set *set)

cdef extern from *:
    """
    #include <numpy/arrayscalars.h>
    /* Say whether an element of a list is an int of Python's or the usual one of NumPy's, without running any code. */
    static inline int dsm_int_of(PyObject *o, int64_t *value) {
        int overflow = 0;
        if (PyLong_CheckExact(o)) {
            *value = PyLong_AsLongLongAndOverflow(o, &overflow);
            return !overflow;
        }
        if (Py_TYPE(o) != &PyLongArrType_Type) return 0;
        *value = PyArrayScalar_VAL(o, Long);
        return 1;
    }
    """
    bint dsm_int_of(PyObject *o, int64_t *value)
    PyObject *PyList_GET_ITEM(object o, Py_ssize_t i)
    Py_ssize_t PyList_GET_SIZE(object o)
    PyObject *Py_True
    PyObject *Py_False


cdef inline int read_key(object array, Region region, Rows map, object key) except -1:
    """Set the stripes of a region to those that guard the rows that `key` means."""
    cdef Py_ssize_t start, stop, step
    if key is None or key is Ellipsis:
        set_progression(region, map, 0, map.count, 1)
    elif PySlice_Check(key):
        PySlice_Unpack(key, &start, &stop, &step)
        stop = PySlice_AdjustIndices(map.count, &start, &stop, step)
        set_progression(region, map, start, stop, step)
    elif not (set_range(region, map, key) if type(key) is range else set_scattered(region, map, key)):
        region.start, region.stop, region.irregular = read_rows(array, map, key)
    return 0


cdef inline int set_progression(Region region, Rows map, Py_ssize_t first, Py_ssize_t length, Py_ssize_t step) except -1:
    """Take the stripes of the rows first, first + step ..., of which all exist."""
    if length == 0:
        return 0
    if map.step == 0:
        return set_span(region, map)
    cdef Py_ssize_t apart = step * map.step if length > 1 else 1
    cdef Py_ssize_t low = map.origin + first * map.step
    cdef Py_ssize_t high = low + (length - 1) * apart
    if low > high:
        low, high, apart = high, low, -apart
    if apart <= map.block:
        region.start, region.stop = low // map.block, high // map.block + 1
        return 0
    cdef cnp.npy_intp count = length
    cdef cnp.ndarray stripes = cnp.PyArray_EMPTY(1, &count, cnp.NPY_INTP, 0)
    cdef cnp.npy_intp *to = <cnp.npy_intp *> cnp.PyArray_DATA(stripes)
    cdef Py_ssize_t i
    for i in range(length):
        to[i] = (low + i * apart) // map.block
    return set_ascending(region, stripes, to[0], to[length - 1], length)


cdef int set_span(Region region, Rows map) noexcept:
    """Take what the memory of a view touches whose rows are no rows of the shared array."""
    if map.span:
        region.start = map.origin // map.block
        region.stop = (map.origin + map.span - 1) // map.block + 1
    return 0


cdef int set_ascending(Region region, cnp.ndarray stripes, Py_ssize_t first, Py_ssize_t last,
                       Py_ssize_t count) noexcept:
    """Take these stripes; neighbours need no list."""
    if last - first == count - 1:
        region.start, region.stop = first, last + 1
    else:
        region.start, region.stop, region.irregular = 0, count, stripes
    return 0


cdef bint set_range(Region region, Rows map, object rows) except -1:
    """Take the stripes of the rows in a `range`; False if it is left to the rules."""
    cdef Py_ssize_t length, first, last, step
    try:
        length = len(rows)
        if length == 0:
            return True
        first, last, step = rows.start, rows[length - 1], rows.step
    except OverflowError:
        return False
    if min(first, last) < -map.count or max(first, last) >= map.count or (first < 0) != (last < 0):
        return False
    set_progression(region, map, first + map.count if first < 0 else first, length, step)
    return True


cdef bint set_scattered(Region region, Rows map, object key) except -1:
    """Take the stripes of the rows in a list, an array of ints or a mask; False if it is left to the rules."""
    cdef dsm_reader reader
    cdef int64_t first = 0, last = 0
    cdef cnp.npy_intp count
    cdef cnp.ndarray stripes = None
    dsm_reader_begin(&reader, map.count, map.origin, map.step, map.block, map.locks.stripes)
    try:
        if not (read_array(&reader, map, <cnp.ndarray> key) if cnp.PyArray_Check(key) else read_list(&reader, map, key)):
            return False
        count = dsm_set_count(&reader.set, &first, &last)
        if count and map.step == 0:
            set_span(region, map)
        elif count:
            if last - first != count - 1:
                stripes = cnp.PyArray_EMPTY(1, &count, cnp.NPY_INTP, 0)
                dsm_set_copy(&reader.set, <int64_t *> cnp.PyArray_DATA(stripes))
            set_ascending(region, stripes, first, last, count)
    finally:
        dsm_set_end(&reader.set)
    return True


cdef bint read_array(dsm_reader *reader, Rows map, cnp.ndarray key) except -1:
    """Read an array of ints or a mask; False if it is neither, or not wholly right."""
    cdef cnp.dtype descr = key.descr
    cdef int outcome = DSM_UNREAD
    if cnp.PyArray_NDIM(key) == 1 and cnp.PyArray_ISALIGNED(key) and cnp.PyArray_ISNOTSWAPPED(key):
        if cnp.PyArray_ISBOOL(key):
            if cnp.PyArray_DIM(key, 0) == map.count:
                outcome = dsm_read_mask(reader, <char *> cnp.PyArray_DATA(key), cnp.PyArray_STRIDE(key, 0))
        elif cnp.PyArray_ISINTEGER(key):
            outcome = dsm_read_array(reader, descr.itemsize, cnp.PyArray_ISSIGNED(key),
                                     <char *> cnp.PyArray_DATA(key), cnp.PyArray_DIM(key, 0),
                                     cnp.PyArray_STRIDE(key, 0))
    return was_read(outcome)


cdef bint read_list(dsm_reader *reader, Rows map, object key) except -1:
    """Read a list of ints or of bools; False if it is neither, or not wholly right."""
    cdef int64_t row = 0
    cdef int outcome = DSM_READ
    cdef Py_ssize_t i, length
    if type(key) is not list:
        return False
    length = PyList_GET_SIZE(key)
    if length and PyBool_Check(<object> PyList_GET_ITEM(key, 0)):
        return length == map.count and read_bools(reader, key, length)
    for i in range(length):
        if not dsm_int_of(PyList_GET_ITEM(key, i), &row):
            return False
        outcome = dsm_read_row(reader, row)
        if outcome != DSM_READ:
            break
    return was_read(outcome)


cdef bint read_bools(dsm_reader *reader, object key, Py_ssize_t length) except -1:
    """Read a mask that is a list."""
    cdef int outcome = DSM_READ
    cdef Py_ssize_t i
    cdef PyObject *item
    for i in range(length):
        item = PyList_GET_ITEM(key, i)
        if item == Py_True:
            outcome = dsm_read_row(reader, i)
            if outcome != DSM_READ:
                break
        elif item != Py_False:
            return False
    return was_read(outcome)


cdef inline bint was_read(int outcome) except -1:
    if outcome == DSM_NO_MEMORY:
        raise MemoryError
    return outcome == DSM_READ
