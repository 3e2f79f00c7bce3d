# Atomic operations on the elements of a shared array: one at a time, and many in one call.
#
# They take no lock and look at none.  After a change, the lot of the element's stripe is
# read: who waits there for the element (`wait_until`) is woken.  The change comes before
# the look, and a waiter's bit is in the lot before it looks at the element, so one of the
# two sees the other, as for the lock words.

from cpython.float cimport PyFloat_AsDouble, PyFloat_FromDouble
from libc.stdint cimport int64_t, uintptr_t

cdef extern from "Python.h":
    long long PyLong_AsLongLongAndOverflow(object o, int *overflow) except? -1
    unsigned long long PyLong_AsUnsignedLongLong(object o) except? <unsigned long long> -1

cdef extern from "element.h" nogil:
    enum: DSM_B1, DSM_I1, DSM_I2, DSM_I4, DSM_I8, DSM_U1, DSM_U2, DSM_U4, DSM_U8, DSM_F4, DSM_F8
    enum: DSM_ADD, DSM_MUL, DSM_MIN, DSM_MAX, DSM_AND, DSM_OR, DSM_XOR, DSM_SWAP
    ctypedef struct dsm_updates:
        char *base
        Py_ssize_t stride
        Py_ssize_t rows
        Py_ssize_t *index
        Py_ssize_t first
        Py_ssize_t step
        Py_ssize_t count
        Py_ssize_t columns
        Py_ssize_t *offset
        char *value
        Py_ssize_t value_stride
        Py_ssize_t *value_offset
    uint64_t dsm_bits_of_float(int kind, double value)
    double dsm_float_of_bits(int kind, uint64_t bits)
    void *dsm_scratch(size_t size)
    uint64_t dsm_fetch(int kind, int op, void *p, uint64_t value)
    uint64_t dsm_element_load(int kind, const void *p)
    int dsm_element_cas(int kind, void *p, uint64_t expected, uint64_t desired)
    int dsm_element_compare(int kind, uint64_t a, uint64_t b)
    Py_ssize_t dsm_update(int kind, int op, const dsm_updates *u, void *own, Py_ssize_t start)

cdef dict OPS = {"add": DSM_ADD, "mul": DSM_MUL, "min": DSM_MIN, "max": DSM_MAX,
                 "and": DSM_AND, "or": DSM_OR, "xor": DSM_XOR}
cdef int[11] SIZES = [1, 1, 2, 4, 8, 1, 2, 4, 8, 4, 8]      # bytes of each kind


cdef enum:
    MAX_AXES = 64


cdef struct Element:
    char *place
    int kind, axes
    Py_ssize_t stripe
    Py_ssize_t[MAX_AXES] index


cdef inline int kind_of(cnp.ndarray array) except -1:
    """Return which kind of element the array has; TypeError if it cannot be atomic."""
    cdef int number = cnp.PyArray_TYPE(array)
    if cnp.PyArray_ISNOTSWAPPED(array):
        if number == cnp.NPY_LONG or number == cnp.NPY_LONGLONG:
            return DSM_I8 if cnp.PyArray_ITEMSIZE(array) == 8 else DSM_I4
        if number == cnp.NPY_DOUBLE:
            return DSM_F8
        if number == cnp.NPY_ULONG or number == cnp.NPY_ULONGLONG:
            return DSM_U8 if cnp.PyArray_ITEMSIZE(array) == 8 else DSM_U4
        if number == cnp.NPY_INT:
            return DSM_I4
        if number == cnp.NPY_UINT:
            return DSM_U4
        if number == cnp.NPY_FLOAT:
            return DSM_F4
        if number == cnp.NPY_SHORT:
            return DSM_I2
        if number == cnp.NPY_USHORT:
            return DSM_U2
        if number == cnp.NPY_BYTE:
            return DSM_I1
        if number == cnp.NPY_UBYTE:
            return DSM_U1
        if number == cnp.NPY_BOOL:
            return DSM_B1
    raise TypeError(
        f"elements of array {array.name!r} cannot be atomic: dtype {array.dtype} is none of bool, the integers of "
        "1, 2, 4 or 8 bytes, float32 and float64 in this machine's byte order"
    )


cdef inline int check_alignment(object array, int kind, uintptr_t place) except -1:
    if place & <uintptr_t> (SIZES[kind] - 1):
        raise TypeError(f"elements of array {array.name!r} cannot be atomic: they are not aligned")
    return 0


cdef inline Rows rows_of_array(object array):
    cdef PyObject *found = dsm_rows(array)
    if found != NULL and (<Rows> found).fits(<cnp.ndarray> array):
        return <Rows> found
    return <Rows?> rows_of(array)


def locks_of(array):
    """Return the lock words of an array, the same for all views and mappings; TypeError for a private copy."""
    return rows_of_array(array).locks


cdef int refuse_index(object array, object index) except -1:
    axes = array.ndim
    wanted = "an int" if axes == 1 else f"a tuple of {axes} ints"
    raise TypeError(f"an element of array {array.name!r} of shape {array.shape} is named by {wanted}, not {index!r}")


cdef inline int read_index(Element *element, cnp.ndarray array, object index) except -1:
    """Read which element is meant; an __index__ may run, and do what it likes with the array."""
    cdef int axis
    element.axes = 0
    if PyLong_CheckExact(index) or is_row(index):
        element.axes = 1
        element.index[0] = PyNumber_AsSsize_t(index, IndexError)
    elif type(index) is tuple and len(<tuple> index) <= MAX_AXES:
        element.axes = len(<tuple> index)
        for axis in range(element.axes):
            if not PyLong_CheckExact((<tuple> index)[axis]) and not is_row((<tuple> index)[axis]):
                refuse_index(array, index)
            element.index[axis] = PyNumber_AsSsize_t((<tuple> index)[axis], IndexError)
    else:
        refuse_index(array, index)
    if element.axes != cnp.PyArray_NDIM(array):
        refuse_index(array, index)
    return 0


cdef inline int find_element(Element *element, Rows rows, cnp.ndarray array) except -1:
    """Find out where an element is; no Python runs in between."""
    cdef int axis
    cdef Py_ssize_t place, count
    if element.axes != cnp.PyArray_NDIM(array) or element.kind != kind_of(array):
        raise RuntimeError(f"array {array.name!r} got another shape or dtype while its index or value was read")
    element.place = <char *> cnp.PyArray_DATA(array)
    for axis in range(element.axes):
        place, count = element.index[axis], cnp.PyArray_DIM(array, axis)
        if place < 0:
            place += count
        if place < 0 or place >= count:
            raise IndexError(
                f"index {element.index[axis]} is out of range for axis {axis} of array {array.name!r} with {count} elements"
            )
        element.place += place * cnp.PyArray_STRIDE(array, axis)
    check_alignment(array, element.kind, <uintptr_t> element.place)
    if rows.stripe_shift >= 0:
        element.stripe = (element.place - rows.home) >> rows.stripe_shift
    else:
        element.stripe = (element.place - rows.home) // rows.stripe_bytes
    return 0


def refuse_readonly(array):
    """Say that an array cannot be changed here, and how it can if it is guarded."""
    guarded = "; it is guarded: change it through the view that locked(rows) gives" if rows_of_array(array).guarded else ""
    raise ValueError(f"array {array.name!r} is read-only here{guarded}")


cdef inline int find_writable(Element *element, Rows rows, cnp.ndarray array) except -1:
    find_element(element, rows, array)
    if not cnp.PyArray_ISWRITEABLE(array):
        refuse_readonly(array)
    return 0


cdef uint64_t bits_of_value(int kind, cnp.ndarray array, object value) except? 0xDEADBEEF:
    """Return a value as an element's bits; OverflowError or TypeError if it is none."""
    cdef int overflow = 0
    cdef int width
    cdef int64_t signed
    cdef uint64_t unsigned
    if kind >= DSM_F4:
        try:
            return dsm_bits_of_float(kind, PyFloat_AsDouble(value))
        except TypeError:
            raise TypeError(f"an element of array {array.name!r} is a real number, not {value!r}") from None
        except OverflowError:
            raise OverflowError(f"this int does not fit array {array.name!r} of dtype {array.dtype}") from None
    if kind == DSM_B1:
        if isinstance(value, (bool, np.bool_)) or PyIndex_Check(value) and value in (0, 1):
            return 1 if value else 0
        raise TypeError(f"an element of array {array.name!r} is True or False, not {value!r}")
    if kind == DSM_I8 and PyLong_CheckExact(value):
        signed = PyLong_AsLongLongAndOverflow(value, &overflow)
        if not overflow:
            return <uint64_t> signed
    if not PyIndex_Check(value) or cnp.PyArray_Check(value) and value.ndim:
        raise TypeError(f"an element of array {array.name!r} is an int of dtype {array.dtype}, not {value!r}")
    value = PyNumber_Index(value)
    width = 8 * SIZES[kind]
    if kind <= DSM_I8:
        signed = PyLong_AsLongLongAndOverflow(value, &overflow)
        if not overflow and (width == 64 or -1 <= signed >> (width - 1) <= 0):
            return <uint64_t> signed
    else:
        try:
            unsigned = PyLong_AsUnsignedLongLong(value)
            if width == 64 or not unsigned >> width:
                return unsigned
        except OverflowError:
            pass
    raise OverflowError(f"{value} does not fit array {array.name!r} of dtype {array.dtype}")


cdef inline object value_of_bits(int kind, uint64_t bits):
    """Return an element's bits as an int, a float or a bool of Python's."""
    if kind == DSM_I8:
        return <int64_t> bits
    if kind >= DSM_F4:
        return PyFloat_FromDouble(dsm_float_of_bits(kind, bits))
    if kind == DSM_I4:
        return <int> bits
    if kind == DSM_I2:
        return <short> bits
    if kind == DSM_I1:
        return <signed char> bits
    if kind == DSM_B1:
        return bits != 0
    return bits                                      # unsigned; the rest is zero


cdef inline int wake_watchers(StripeLocks locks, Py_ssize_t stripe) except -1:
    if locks.awaited(stripe):
        locks.policy.wake_watchers(locks, stripe)
    return 0


cdef object fetch(cnp.ndarray array, object index, object value, int op):
    cdef Rows rows = rows_of_array(array)
    cdef Element element
    cdef uint64_t bits
    element.kind = kind_of(array)
    if op == DSM_ADD:
        if element.kind == DSM_B1:
            raise TypeError(f"array {array.name!r} of dtype bool has nothing to add: fetch_or sets an element")
    elif DSM_AND <= op <= DSM_XOR and element.kind >= DSM_F4:
        raise TypeError(f"array {array.name!r} of dtype {array.dtype} has no bits to combine: its elements are floats")
    read_index(&element, array, index)
    bits = bits_of_value(element.kind, array, value)
    find_writable(&element, rows, array)
    bits = dsm_fetch(element.kind, op, element.place, bits)
    wake_watchers(rows.locks, element.stripe)
    return value_of_bits(element.kind, bits)


def fetch_add(self, index, value):
    """Add to one element atomically, and return what it was.

    Parameters
    ----------
    index : int or tuple of int
        Of one element: an int for each axis.
    value : int or float
        Must fit the dtype, so count down with a signed one.  Sums wrap around, as in NumPy.

    Returns
    -------
    int or float

    Raises
    ------
    IndexError, OverflowError
    TypeError
        The dtype is not a bool, an integer or a float of at most 8 bytes, or the value is
        not of its kind.
    ValueError
        The array is read-only here.

    Notes
    -----
    No lock is taken and none is looked at: what several workers update atomically they must
    not update in `locked` regions at the same time.  All atomic operations are sequentially
    consistent: what a worker wrote before its operation, to any array, is visible to who
    sees that operation's result with one of its own (Lamport, 1979; Boehm and Adve, 2008).

    Examples
    --------
    >>> import pydsm
    >>> with pydsm.Team(2) as team:
    ...     tickets = team.array("tickets", 1, int)
    ...     sorted(team.run(lambda worker: tickets.fetch_add(0, 1)))
    [0, 1]
    """
    return fetch(self, index, value, DSM_ADD)


def fetch_min(self, index, value):
    """Make one element the smaller of itself and `value`, and return what it was; see `fetch_add`.

    NaN is smaller than everything, as for np.minimum.
    """
    return fetch(self, index, value, DSM_MIN)


def fetch_max(self, index, value):
    """Make one element the larger of itself and `value`, and return what it was; see `fetch_add`.

    NaN is larger than everything, as for np.maximum.
    """
    return fetch(self, index, value, DSM_MAX)


def fetch_and(self, index, value):
    """Clear the bits of one integer or bool that `value` has not, and return what it was; see `fetch_add`."""
    return fetch(self, index, value, DSM_AND)


def fetch_or(self, index, value):
    """Set the bits of `value` in one integer or bool, and return what it was; see `fetch_add`."""
    return fetch(self, index, value, DSM_OR)


def fetch_xor(self, index, value):
    """Flip the bits of `value` in one integer or bool, and return what it was; see `fetch_add`."""
    return fetch(self, index, value, DSM_XOR)


def swap(self, index, value):
    """Set one element, and return what it was; see `fetch_add`."""
    return fetch(self, index, value, DSM_SWAP)


def compare_and_swap(self, index, expected, new):
    """Set one element to `new` if it is `expected`; say whether it was.

    Bits are compared: 0.0 is not -0.0, and a NaN is itself.  Other parameters and errors as
    of `fetch_add`.

    Returns
    -------
    bool

    Examples
    --------
    >>> import pydsm
    >>> with pydsm.Team(1) as team:
    ...     A = team.array("A", 3)
    ...     while not A.compare_and_swap(0, old := A.load_acquire(0), 2 * old + 1):
    ...         pass
    ...     A.tolist()
    [1.0, 0.0, 0.0]
    """
    cdef Rows rows = rows_of_array(self)
    cdef Element element
    cdef uint64_t wanted, bits
    cdef bint swapped
    element.kind = kind_of(self)
    read_index(&element, self, index)
    wanted, bits = bits_of_value(element.kind, self, expected), bits_of_value(element.kind, self, new)
    find_writable(&element, rows, self)
    swapped = dsm_element_cas(element.kind, element.place, wanted, bits)
    if swapped:
        wake_watchers(rows.locks, element.stripe)
    return swapped


def load_acquire(self, index):
    """Return one element; what its writer wrote before `store_release` is visible from now on.

    Parameters and errors as of `fetch_add`.
    """
    cdef Rows rows = rows_of_array(self)
    cdef Element element
    element.kind = kind_of(self)
    read_index(&element, self, index)
    find_element(&element, rows, self)
    return value_of_bits(element.kind, dsm_element_load(element.kind, element.place))


def store_release(self, index, value):
    """Set one element, after everything that I wrote before, to any array.

    Who sees it by `load_acquire`, `wait_until` or another atomic operation sees all that,
    too.  Parameters and errors as of `fetch_add`.

    Examples
    --------
    >>> import pydsm
    >>> def pass_on(worker):
    ...     A, ready = worker["A"], worker["ready"]
    ...     if worker.rank == 0:
    ...         A[:] = 7
    ...         ready.store_release(0, 1)
    ...     else:
    ...         ready.wait_until(0, "==", 1)
    ...     return A.sum().item()
    >>> with pydsm.Team(2) as team:
    ...     A, ready = team.array("A", 3, int), team.array("ready", 1, "u1")
    ...     team.run(pass_on)
    [21, 21]
    """
    # An exchange, not a store: the look at the lot must not be made before the element is set.
    fetch(self, index, value, DSM_SWAP)
