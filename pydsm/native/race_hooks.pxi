# What arrays of a checked team do besides: items, operators, and the parts of other hooks.

cdef object fancy = None        # (array, key, kind) -> None: see an access by an index that only NumPy reads


def read_fancy_with(function):
    """Name who sees accesses by keys that are not read here."""
    global fancy
    fancy = function


cdef inline cnp.ndarray plain(cnp.ndarray array, bint writes):
    """Return a plain ndarray on the same memory; writable where a strict array is read-only for others alone."""
    cdef cnp.ndarray view = view_of(array)
    if writes and is_strict(array) and cnp.PyArray_ISWRITEABLE(root_of(array)):
        PyArray_ENABLEFLAGS(view, NPY_ARRAY_WRITEABLE)
    return view


cdef inline bint is_strict(cnp.ndarray array) noexcept:
    return Py_TYPE(array) != race_type


cdef inline cnp.ndarray root_of(cnp.ndarray array):
    """Return the whole array, which only the detector has."""
    cdef PyObject *base = cnp.PyArray_BASE(array)
    while base != NULL and race_is_checked(<object> base):
        array = <cnp.ndarray> base
        base = cnp.PyArray_BASE(array)
    return array


def writable(cnp.ndarray array not None):
    """Return an array of the same class on the same memory, writable as `bare` is."""
    cdef cnp.ndarray view = array.view()
    if is_strict(array) and cnp.PyArray_ISWRITEABLE(root_of(array)):
        PyArray_ENABLEFLAGS(view, NPY_ARRAY_WRITEABLE)
    return view


cdef inline cnp.ndarray view_of(cnp.ndarray array):
    """Return a plain ndarray on the same memory."""
    return race_view(array)


cdef int inform(array, key, bint write) except -1:
    """Tell those who want to know of accesses before they are made."""
    global listeners
    if listeners is None:
        listeners = find_listeners()
    for listener in listeners:
        listener.accessed(array, key, write=write)
    return 0


cdef inline bint is_one_item(object key, cnp.ndarray array, Py_ssize_t *offset) except -1:
    """Find the one element that ints mean; False if the key is another, or out of range."""
    cdef Py_ssize_t index, count
    cdef int axis
    if PyLong_CheckExact(key):
        if cnp.PyArray_NDIM(array) != 1:
            return False
        index, count = PyNumber_AsSsize_t(key, None), cnp.PyArray_DIM(array, 0)
        if index < 0:
            index += count
        offset[0] = index * cnp.PyArray_STRIDE(array, 0)
        return 0 <= index < count
    if type(key) is tuple:
        if len(<tuple> key) != cnp.PyArray_NDIM(array):
            return False
        offset[0] = 0
        for axis in range(cnp.PyArray_NDIM(array)):
            part = (<tuple> key)[axis]
            if not is_int(part):
                return False
            index, count = PyNumber_AsSsize_t(part, None), cnp.PyArray_DIM(array, axis)
            if index < 0:
                index += count
            if not 0 <= index < count:
                return False
            offset[0] += index * cnp.PyArray_STRIDE(array, axis)
        return True
    if is_int(key) and cnp.PyArray_NDIM(array) == 1:
        return is_one_item(int(key), array, offset)
    return False


cdef inline bint is_int(object key):
    return PyLong_CheckExact(key) or (PyIndex_Check(key) and not PyBool_Check(key) and not cnp.PyArray_Check(key))


cdef inline bint is_basic(object key):
    """Say whether a key means a view or one element."""
    if type(key) is tuple:
        for part in <tuple> key:
            if not (PySlice_Check(part) or part is None or part is Ellipsis or is_int(part)):
                return False
        return True
    return PySlice_Check(key) or key is None or key is Ellipsis or is_int(key) or is_field(key)


cdef bint is_field(object key):
    return PyUnicode_Check(key) or (type(key) is list and key and PyUnicode_Check((<list> key)[0]))


cdef int touch_key(Shadow shadow, cnp.ndarray array, object key, int kind) except -1:
    """See an access of what a key means."""
    cdef Py_ssize_t offset = 0
    cdef cnp.ndarray target
    if is_one_item(key, array, &offset):
        return touch_bytes(shadow, <char *> cnp.PyArray_DATA(array) - shadow.home + offset,
                           cnp.PyArray_ITEMSIZE(array), kind)
    if is_basic(key):
        target = <cnp.ndarray?> view_of(array)[as_view(key)]
        return touch(shadow, target, kind)
    if touch_index(shadow, array, key, kind):
        return 0
    fancy(array, key, kind)
    return 0


cdef object as_view(object key):
    """Return the key so that it gives a view even where it means one element."""
    if is_field(key):
        return key
    if type(key) is not tuple:
        return key if key is Ellipsis else (key, Ellipsis)
    for part in <tuple> key:
        if part is Ellipsis:
            return key
    return <tuple> key + (Ellipsis,)


cdef bint touch_index(Shadow shadow, cnp.ndarray array, object key, int kind) except -1:
    """See an access by a list, an array or a mask of axis 0; False if the key is another."""
    cdef cnp.ndarray rows
    if cnp.PyArray_NDIM(array) == 0 or not (type(key) is list or cnp.PyArray_Check(key)):
        return False
    rows = np.asarray(key)
    if cnp.PyArray_NDIM(rows) != 1:
        return False
    if rows.dtype == bool:
        rows = np.flatnonzero(rows)
    elif rows.dtype.kind not in "iu":
        return rows.size == 0
    touch_rows(shadow, array, rows, kind)
    return True


cdef int touch_operand(object value) except -1:
    """See a value be read, if it is of a checked array."""
    cdef Shadow shadow
    if race_is_checked(value):
        shadow = shadow_of(<cnp.ndarray> value)
        if shadow is not None:
            touch(shadow, <cnp.ndarray> value, RACE_READ)
    elif type(value) is list or type(value) is tuple:
        for part in value:
            if cnp.PyArray_Check(part) or type(part) is list or type(part) is tuple:
                touch_operand(part)
    return 0


def getitem(cnp.ndarray self not None, key):
    """Return ``self[key]``."""
    cdef Shadow shadow
    cdef Py_ssize_t offset = 0
    if active is None or quiet:
        return race_get_item(self, key)
    shadow = shadow_of(self)
    if shadow is None:
        return race_get_item(self, key)
    if listeners is not EMPTY:
        inform(self, key, False)
    if is_one_item(key, self, &offset):
        touch_bytes(shadow, <char *> cnp.PyArray_DATA(self) - shadow.home + offset, cnp.PyArray_ITEMSIZE(self), RACE_READ)
        return race_get_item(self, key)
    if not is_basic(key):
        touch_operand(key)
        result = race_get_item(self, key)
        touch_key(shadow, self, key, RACE_READ)
        return result
    result = race_get_item(self, key)
    if not cnp.PyArray_Check(result):
        touch_key(shadow, self, key, RACE_READ)
    return result


def setitem(cnp.ndarray self not None, key, value):
    """Set ``self[key] = value``."""
    cdef Shadow shadow
    if active is None or quiet:
        return set_item(self, key, value)
    touch_operand(value)
    shadow = shadow_of(self)
    if shadow is None:
        return set_item(self, key, value)
    if listeners is not EMPTY:
        inform(self, key, True)
    if not is_itself(self, key, value):
        touch_operand(key)
        touch_key(shadow, self, key, RACE_WRITE)
    return set_item(self, key, value)


cdef object set_item(cnp.ndarray self, object key, object value):
    race_set_item(plain(self, True) if is_strict(self) else self, key, value)
    return None


cdef bint is_itself(cnp.ndarray array, object key, object value) except -1:
    """Say whether a part is set to itself, as the last step of ``A[a:b] += 1``: NumPy writes nothing then."""
    cdef cnp.ndarray target, given
    if not race_is_checked(value) or not is_basic(key):
        return False
    given = <cnp.ndarray> value
    target = <cnp.ndarray?> view_of(array)[as_view(key)]
    return (cnp.PyArray_DATA(target) == cnp.PyArray_DATA(given) and target.dtype == given.dtype
            and target.shape == given.shape and target.strides == given.strides)


def access(array, int kind, key=...):
    """See an access of all of an array, or of what a key of it means; nothing for arrays that are not checked."""
    cdef Shadow shadow
    if active is None or quiet or not race_is_checked(array):
        return
    shadow = shadow_of(<cnp.ndarray> array)
    if shadow is None:
        return
    if listeners is not EMPTY:
        inform(array, key, kind == RACE_WRITE)
    if key is Ellipsis:
        touch(shadow, <cnp.ndarray> array, kind)
    else:
        touch_key(shadow, <cnp.ndarray> array, key, kind)


def bare(array, bint writes=False):
    """Return a checked array as a plain one on the same memory, and anything else as it is."""
    return plain(<cnp.ndarray> array, writes) if race_is_checked(array) else array
