# The shadow of one array: where its planes and clocks lie, and which of its rows this worker holds.


@cython.final
cdef class Held:
    """Rows that this worker holds: one interval, or several."""

    cdef readonly Py_ssize_t start, stop
    cdef readonly bint shared
    cdef readonly object array_id
    cdef readonly cnp.ndarray rows      # intervals, if they are several
    cdef object stripes

    def __cinit__(self, array_id, Py_ssize_t start, Py_ssize_t stop, bint shared, cnp.ndarray rows=None):
        self.array_id, self.start, self.stop, self.shared, self.rows = array_id, start, stop, shared, rows


@cython.final
cdef class Shadow:
    """Planes, clocks and held rows of one array, as one worker has them.

    Parameters
    ----------
    array_id : int
    home : int
        Address of the array's first byte.
    unit : int
        Bytes of a unit.
    row : int
        Bytes of a row.
    block : int
        Rows that share a stripe.
    parts : dict of str to ndarray of uint64
        ``cells``, ``cover``, ``summary``, ``newest``, ``atomics``, ``locks``, ``elements``; see
        `pydsm.races.layout`.
    units, units_of_item, shift, workers, me : int
    """

    cdef race_planes planes
    cdef char *home
    cdef readonly object array_id
    cdef readonly Py_ssize_t unit, row, block, units_of_item
    cdef Py_ssize_t stripes, slots, nbytes
    cdef uint64_t *locks                # [stripe][exclusive, shared][known, fenced][worker]
    cdef uint64_t *elements             # [slot][known, fenced][worker]
    cdef list held
    cdef object merged_any, merged_own  # intervals of all of them, and of those held exclusively
    cdef object keep

    def __cinit__(self, array_id, uintptr_t home, Py_ssize_t unit, Py_ssize_t row, Py_ssize_t block, dict parts,
                  *, Py_ssize_t units, Py_ssize_t units_of_item, int shift, int workers, int me):
        self.array_id, self.home, self.unit, self.row, self.block = array_id, <char *> home, unit, row, block
        self.units_of_item, self.nbytes = units_of_item, units * unit
        self.keep = parts
        self.held = []
        cdef race_planes *planes = &self.planes
        planes.units, planes.shift, planes.workers, planes.me = units, shift, workers, me
        planes.cells, planes.ncells = words_of(parts["cells"]), parts["cells"].shape[2]
        planes.summary, planes.nblocks = words_of(parts["summary"]), parts["summary"].shape[2]
        planes.cover = words_of(parts["cover"])
        planes.newest = words_of(parts["newest"])
        planes.atomics, planes.slots = words_of(parts["atomics"]), parts["atomics"].shape[2]
        self.locks, self.stripes = words_of(parts["locks"]), parts["locks"].shape[0]
        self.elements, self.slots = words_of(parts["elements"]), parts["elements"].shape[0]

    cdef inline uint64_t *lock(self, Py_ssize_t stripe, bint shared) noexcept:
        return self.locks + ((stripe % self.stripes) * 2 + shared) * 2 * self.planes.workers

    cdef inline uint64_t *element(self, Py_ssize_t element) noexcept:
        return self.elements + (element % self.slots) * 2 * self.planes.workers

    cdef inline bint covers(self, Py_ssize_t first, Py_ssize_t last, bint write) except -1:
        """Say whether this worker holds all the rows first ... last, exclusively if it writes."""
        cdef Held held
        if not self.held:
            return False
        for held in self.held:
            if held.rows is None and held.start <= first and last < held.stop and not (write and held.shared):
                return True
        if len(self.held) == 1 and (<Held> self.held[0]).rows is None:
            return False
        return self.are_covered(first, last, write)

    cdef bint are_covered(self, Py_ssize_t first, Py_ssize_t last, bint write) except -1:
        rows = self.merged(write)
        at = np.searchsorted(rows[:, 0], first, "right") - 1
        return at >= 0 and bool(last < rows[at, 1])

    cdef object merged(self, bint write):
        """Return the rows held as sorted intervals that do not touch."""
        cdef Held held
        known = self.merged_own if write else self.merged_any
        if known is None:
            parts = [held.rows if held.rows is not None else [[held.start, held.stop]]
                     for held in self.held if not (write and held.shared)]
            known = merge(np.concatenate(parts)) if parts else np.zeros((0, 2), np.intp)
            if write:
                self.merged_own = known
            else:
                self.merged_any = known
        return known

    cdef int hold(self, Held held) except -1:
        self.held.append(held)
        self.merged_any = self.merged_own = None
        return 0

    cdef int leave(self, Held held) except -1:
        if held in self.held:
            self.held.remove(held)
        self.merged_any = self.merged_own = None
        return 0


cdef uint64_t *words_of(cnp.ndarray array) except NULL:
    if cnp.PyArray_TYPE(array) != cnp.NPY_UINT64 or not cnp.PyArray_IS_C_CONTIGUOUS(array):
        raise TypeError("planes are contiguous arrays of uint64")
    return <uint64_t *> cnp.PyArray_DATA(array)


cdef object merge(object intervals):
    ordered = intervals[np.argsort(intervals[:, 0], kind="stable")]
    reach = np.maximum.accumulate(ordered[:, 1])
    first = np.ones(len(ordered), bool)
    first[1:] = ordered[1:, 0] > reach[:len(ordered) - 1]
    last = np.append(first[1:], True)
    return np.stack((ordered[first, 0], reach[last]), axis=1)
