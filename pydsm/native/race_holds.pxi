# From a hold or an atomic operation, as observers are told of it, to rows and elements of the whole array.


cdef tuple elements_of(Shadow shadow, atomic):
    """Return the positions of the elements of an atomic operation in the flattened whole array."""
    cdef Py_ssize_t offset = 0
    cdef cnp.ndarray array = <cnp.ndarray?> atomic.array
    if atomic.op != "accumulate" and is_one_item(atomic.key, array, &offset):
        return ((<char *> cnp.PyArray_DATA(array) - shadow.home + offset) // cnp.PyArray_ITEMSIZE(array),)
    return tuple(atomic.elements.tolist())


cdef Held read_hold(Shadow shadow, hold):
    """Return the rows of a hold, and its stripes if they are more than the first row's."""
    cdef Held held
    cdef cnp.ndarray array = <cnp.ndarray?> hold.array
    cdef Py_ssize_t place
    key = hold.key
    if PyLong_CheckExact(key) and cnp.PyArray_NDIM(array) and shadow.row:
        # A row of an array whose rows are rows of the whole one
        place = key
        if place < 0:
            place += cnp.PyArray_DIM(array, 0)
        place = <char *> cnp.PyArray_DATA(array) - shadow.home + place * cnp.PyArray_STRIDE(array, 0)
        if place % shadow.row == 0 and inner_bytes(array) <= shadow.row:
            return Held(shadow.array_id, place // shadow.row, place // shadow.row + 1, hold.shared)
    rows = hold.rows
    if len(rows) == 0:
        held = Held(shadow.array_id, 0, 0, hold.shared)
        held.stripes = ()
        return held
    held = Held(shadow.array_id, rows[0, 0], rows[-1, 1], hold.shared, rows if len(rows) > 1 else None)
    held.stripes = hold.stripes
    return held


cdef Py_ssize_t inner_bytes(cnp.ndarray array):
    """Return how far the elements of one row reach; too far if any stride goes back."""
    cdef Py_ssize_t reach = cnp.PyArray_ITEMSIZE(array)
    cdef int axis
    for axis in range(1, cnp.PyArray_NDIM(array)):
        if cnp.PyArray_STRIDE(array, axis) < 0:
            return 1 << 62
        reach += max(0, cnp.PyArray_DIM(array, axis) - 1) * cnp.PyArray_STRIDE(array, axis)
    return reach
