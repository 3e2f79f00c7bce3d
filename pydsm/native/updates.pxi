# Many atomic updates in one call.

from libc.stdlib cimport free
from posix.unistd cimport getpid

def update_elements(cnp.ndarray array not None, index, Py_ssize_t first, Py_ssize_t step, Py_ssize_t count,
                    Py_ssize_t columns, cnp.ndarray offsets, cnp.ndarray values not None, Py_ssize_t value_stride,
                    cnp.ndarray value_offsets, str op not None, bint merge):
    """Do many atomic updates, with the interpreter lock released; for `pydsm.accumulate`.

    Parameters
    ----------
    array : GlobalArray
    index : ndarray of intp, contiguous, or None
        The rows; else ``first + i * step`` for i below `count`.
    columns : int
        Elements of a row.
    offsets, value_offsets : ndarray of intp, or None
        Bytes from the beginning of a row, and of an update's values, to each element.
    values : ndarray
        Aligned, of the array's dtype.
    value_stride : int
        Bytes from the values of one update to those of the next.
    op : str
    merge : bool
        Combine in private memory first.

    Returns
    -------
    int
        -1, or the position in `index` of a row that there is not; nothing was changed then.
    """
    cdef Rows rows = rows_of_array(array)
    cdef dsm_updates updates
    cdef int kind = kind_of(array)
    cdef int number = OPS[op]
    cdef int axis
    cdef uintptr_t places = <uintptr_t> cnp.PyArray_DATA(array)
    cdef Py_ssize_t bad, start, stripe, size
    cdef void *own = NULL
    for axis in range(cnp.PyArray_NDIM(array)):
        if cnp.PyArray_DIM(array, axis) > 1:
            places |= <uintptr_t> cnp.PyArray_STRIDE(array, axis)
    check_alignment(array, kind, places)
    updates.base, updates.stride, updates.rows = <char *> cnp.PyArray_DATA(array), rows.stride, rows.count
    updates.index = NULL if index is None else <Py_ssize_t *> cnp.PyArray_DATA(<cnp.ndarray> index)
    updates.first, updates.step, updates.count = first, step, count
    updates.columns = columns
    if (
        columns != cnp.PyArray_SIZE(array) // max(1, rows.count) and rows.count
        or cnp.PyArray_TYPE(values) != cnp.PyArray_TYPE(array)
        or kind >= DSM_F4 and DSM_AND <= number <= DSM_XOR
        or kind == DSM_B1 and (number == DSM_ADD or number == DSM_MUL)
    ):
        raise RuntimeError(f"array {array.name!r} got another shape or dtype while its values were read")
    if not cnp.PyArray_ISWRITEABLE(array):
        refuse_readonly(array)
    updates.offset = NULL if offsets is None else <Py_ssize_t *> cnp.PyArray_DATA(offsets)
    updates.value, updates.value_stride = <char *> cnp.PyArray_DATA(values), value_stride
    updates.value_offset = NULL if value_offsets is None else <Py_ssize_t *> cnp.PyArray_DATA(value_offsets)
    size = rows.count * updates.columns * SIZES[kind]
    if merge and size:
        own = dsm_scratch(size)                # without it every update is one by itself
    start = (<uint64_t> getpid() * <uint64_t> 0x9E3779B97F4A7C15 >> 11) % max(1, rows.count)
    with nogil:
        dsm_fence()
        bad = dsm_update(kind, number, &updates, own, start)
        dsm_fence()
    free(own)
    if bad < 0:
        for stripe in range(min(rows.locks.stripes, rows.locks.lot_mask + 1)):
            if rows.locks.awaited(stripe):
                rows.locks.policy.wake_watchers(rows.locks, None)
                break
    return bad
