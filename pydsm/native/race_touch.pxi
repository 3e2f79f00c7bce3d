# One access of an array: from its elements to the words of its shadow, and from those to a report.

cdef object report = None       # (shadow, kind, site, clashes) -> None; set by `report_to`


def report_to(function):
    """Name who is told of clashes."""
    global report
    report = function


cdef inline Shadow shadow_of(cnp.ndarray array):
    """Return the shadow of an array or a view; None if it is a private copy, or nobody's."""
    cdef PyObject **at = race_shadow_at(array)
    cdef PyObject *found
    if at[0] != NULL:
        return <Shadow> at[0]
    base = cnp.PyArray_BASE(array)
    while base != NULL and race_is_checked(<object> base):
        found = race_shadow_at(<object> base)[0]
        if found != NULL:
            Py_INCREF(<object> found)
            at[0] = found
            return <Shadow> found
        base = cnp.PyArray_BASE(<cnp.ndarray> base)
    return None


def set_shadow(cnp.ndarray root not None, Shadow shadow not None):
    """Give a whole array its shadow."""
    cdef PyObject **at = race_shadow_at(root)
    cdef PyObject *was = at[0]
    Py_INCREF(shadow)
    at[0] = <PyObject *> shadow
    Py_XDECREF(was)


def is_tracked(cnp.ndarray array not None):
    """Say whether accesses of an array are seen in this process."""
    return race_is_checked(array) and active is not None and shadow_of(array) is not None


cdef inline int begin(race_access *access, race_found *found, Shadow shadow, int kind, bint held) except -1:
    """Fill in an access of now."""
    cdef int site = here()
    active.dirty = True
    found.count = 0
    access.planes, access.kind, access.found = &shadow.planes, kind, found
    access.limit = active.strict_limit if active.predict else active.limit
    access.word = active.clock << 32 | <uint64_t> site << 17 | (RACE_HELD if held else 0)
    access.excuse = RACE_HELD if held and active.predict and kind <= RACE_WRITE else 0
    return site


cdef int tell_of(Shadow shadow, int kind, int site, race_found *found) except -1:
    """Report what an access clashes with."""
    cdef int i
    cdef list clashes = []
    for i in range(found.count):
        clashes.append((found.clash[i].worker, found.clash[i].kind, found.clash[i].first, found.clash[i].last,
                        found.clash[i].word, found.clash[i].word >= active.limit[found.clash[i].worker]))
    report(shadow, kind, site, clashes)
    return 0


cdef inline int touch_units(Shadow shadow, int64_t first, int64_t last, int kind) except -1:
    """See an access of units first ... last."""
    cdef race_access access
    cdef race_found found
    cdef bint held = False
    cdef int site
    if shadow.held:
        held = shadow.covers(first * shadow.unit // shadow.row, last * shadow.unit // shadow.row, kind & 1)
    site = begin(&access, &found, shadow, kind, held)
    race_step(&access, 0, first, last)
    dsm_fence()
    race_step(&access, 1, first, last)
    if found.count:
        tell_of(shadow, kind, site, &found)
    return 0


cdef inline int touch_bytes(Shadow shadow, Py_ssize_t offset, Py_ssize_t size, int kind) except -1:
    """See an access of some bytes of the array."""
    if size <= 0 or offset < 0 or offset + size > shadow.nbytes:
        return 0
    return touch_units(shadow, offset // shadow.unit, (offset + size - 1) // shadow.unit, kind)


cdef inline int read_shape(race_shape *shape, Shadow shadow, cnp.ndarray array, int skip) noexcept:
    """Read the shape of an array, without its first `skip` axes; 0 if nothing is in it."""
    shape.item, shape.unit = cnp.PyArray_ITEMSIZE(array), shadow.unit
    return race_normalize(shape, cnp.PyArray_NDIM(array) - skip, <char *> cnp.PyArray_DATA(array) - shadow.home,
                          <intptr_t *> cnp.PyArray_DIMS(array) + skip, <intptr_t *> cnp.PyArray_STRIDES(array) + skip)


cdef int touch(Shadow shadow, cnp.ndarray array, int kind) except -1:
    """See an access of all elements of an array or a view."""
    cdef race_shape shape
    cdef race_access access
    cdef race_found found
    cdef int64_t low, high
    cdef int site, axis
    cdef bint held = False
    if not read_shape(&shape, shadow, array, 0):
        return 0
    if shape.axes == 0 or (shape.axes == 1 and shape.stride[0] == shape.item):
        return touch_bytes(shadow, shape.offset, shape.item * (shape.extent[0] if shape.axes else 1), kind)
    if shadow.held:
        low = high = shape.offset
        for axis in range(shape.axes):
            high += (shape.extent[axis] - 1) * shape.stride[axis]
        held = shadow.covers(low // shadow.row, (high + shape.item - 1) // shadow.row, kind & 1)
        if not held and shape.stride[0] % shadow.row == 0:
            rows = np.arange(shape.extent[0], dtype=np.int64) * shape.stride[0]
            shape.axes -= 1
            for axis in range(shape.axes):
                shape.extent[axis], shape.stride[axis] = shape.extent[axis + 1], shape.stride[axis + 1]
            return touch_parts(shadow, &shape, rows, kind)
    site = begin(&access, &found, shadow, kind, held)
    race_touch(&access, &shape)
    if found.count:
        tell_of(shadow, kind, site, &found)
    return 0


cdef int touch_parts(Shadow shadow, race_shape *shape, cnp.ndarray offsets, int kind) except -1:
    """See an access of the same shape at many offsets; rows that are held apart from those that are not."""
    if not shadow.held:
        return touch_offsets(shadow, shape, offsets, kind, False)
    rows = shadow.merged(kind & 1)
    which = (shape.offset + offsets) // shadow.row
    at = np.searchsorted(rows[:, 0], which, "right") - 1
    held = (at >= 0) & (which < rows[at, 1]) if len(rows) else np.zeros(len(which), bool)
    touch_offsets(shadow, shape, np.ascontiguousarray(offsets[held]), kind, True)
    return touch_offsets(shadow, shape, np.ascontiguousarray(offsets[~held]), kind, False)


cdef int touch_offsets(Shadow shadow, race_shape *shape, cnp.ndarray offsets, int kind, bint held) except -1:
    cdef race_access access
    cdef race_found found
    cdef int site
    if cnp.PyArray_DIM(offsets, 0) == 0:
        return 0
    site = begin(&access, &found, shadow, kind, held)
    race_touch_many(&access, shape, <int64_t *> cnp.PyArray_DATA(offsets), cnp.PyArray_DIM(offsets, 0))
    if found.count:
        tell_of(shadow, kind, site, &found)
    return 0


cdef int touch_rows(Shadow shadow, cnp.ndarray array, cnp.ndarray rows, int kind) except -1:
    """See an access of some indices of axis 0; none of them is out of range."""
    cdef race_shape shape
    if not read_shape(&shape, shadow, array, 1):
        return 0
    rows = rows.astype(np.int64)
    rows[rows < 0] += cnp.PyArray_DIM(array, 0)
    return touch_parts(shadow, &shape, rows * cnp.PyArray_STRIDE(array, 0), kind)


def touch_places(cnp.ndarray array not None, cnp.ndarray offsets not None, int kind):
    """See an access of single elements: `offsets` of int64 are in bytes, from the array's first element."""
    cdef race_shape shape
    cdef Shadow shadow = shadow_of(array)
    if active is None or quiet or shadow is None:
        return
    shape.axes, shape.offset = 0, <char *> cnp.PyArray_DATA(array) - shadow.home
    shape.item, shape.unit = cnp.PyArray_ITEMSIZE(array), shadow.unit
    touch_parts(shadow, &shape, np.ascontiguousarray(offsets, np.int64).reshape(-1), kind)
