# `A.locked(rows)`: a key made into a region.


def locked(self, rows=None, *, bint shared=False, timeout=None, bint fence=False, bint undo=False, bint recover=False):
    """Hold rows while inside ``with``; nobody else is in an overlapping region meanwhile.

    Parameters
    ----------
    rows : int, slice, sequence of int, boolean mask, None or ...
        An index of axis 0; None and ``...`` mean all rows.
    shared : bool
        Let other shared holders in, but no exclusive one; the view is read-only.
    timeout : float, optional
        Seconds to wait for all the rows together; 0 tries once, None waits for ever.
    fence : bool
        Also make everything I wrote before, to any array, visible to whoever enters next.
    undo : bool
        All or nothing: if the body raises, or this process dies in it, the rows are put
        back, bit for bit, to what they were at the enter.
    recover : bool
        Take the rows over from a holder that died inside, instead of an OwnerDiedError.
        If the body raises, they count as abandoned again.

    Returns
    -------
    Region
        A context manager.  ``as`` gives a writable view of the rows for an int (0-d if
        the array has one axis) or a slice, and the array itself otherwise.  The view
        turns read-only at the exit.

    Raises
    ------
    IndexError, TypeError
        At once, if `rows` are no rows of this array.
    LockTimeoutError, DeadlockError
        At the enter; nothing is held then.
    OwnerDiedError
        At the enter, if a holder died inside and `recover` is not given: without `undo` the
        rows may be half-written.  They stay abandoned until somebody enters with `recover`.
    ValueError
        `shared` with `undo` or `recover`: a shared region writes nothing.

    Notes
    -----
    At the enter, everything that earlier holders wrote to these rows is visible.  Nothing
    is promised of other rows or arrays (entry consistency, as in Midway: Bershad,
    Zekauskas and Sawdon, 1993).

    Examples
    --------
    >>> import pydsm
    >>> with pydsm.Team(1) as team:
    ...     A = team.array("A", 5, int)
    ...     with A.locked(2) as row:
    ...         row += 1
    ...     with A.locked([0, 4]):
    ...         A[[0, 4]] = 7
    ...     A.tolist()
    [7, 0, 1, 0, 7]
    """
    cdef PyObject *found = dsm_rows(self)
    cdef Rows map = <Rows> found if found != NULL and (<Rows> found).fits(<cnp.ndarray> self) else <Rows?> rows_of(self)
    cdef Region region
    cdef Py_ssize_t index
    if shared and (undo or recover):
        raise ValueError(f"a shared region of array {self.name!r} writes nothing: undo and recover need an exclusive one")
    if map.step and (PyLong_CheckExact(rows) or is_row(rows)):
        index = PyNumber_AsSsize_t(rows, IndexError)
        if index < 0:
            index += map.count
        if index < 0 or index >= map.count:
            raise IndexError(f"row {rows} is out of range for array {self.name!r} with {map.count} rows")
        region = map.last
        if region is None or Py_REFCNT(<PyObject *> region) != 2 or region.entered:
            region = Region.__new__(Region)
            region.rows = map
            map.last = region
        region.index = index
        region.start = (map.origin + index * map.step) // map.block
        region.stop = region.start + 1
        region.kind = ROW
        dsm_will_write(map.locks.line(region.start))
        dsm_will_write(<char *> cnp.PyArray_DATA(<cnp.ndarray> self) + index * map.stride)
    else:
        region = Region.__new__(Region)
        region.rows = map
        if PySlice_Check(rows) and cnp.PyArray_NDIM(self) == 0:
            raise IndexError(f"this view of array {self.name!r} has no axis to slice")
        region.kind = SLICE if PySlice_Check(rows) else SELF
        read_key(self, region, map, rows)
        if is_row(rows):
            if cnp.PyArray_NDIM(self) == 0:
                raise IndexError(f"this view of array {self.name!r} has no axis to take row {rows} of")
            region.kind = ROW
            region.index = PyNumber_AsSsize_t(rows, IndexError)
            if region.index < 0:
                region.index += map.count
    region.array = self
    region.key = rows
    region.shared = shared
    region.fence = fence
    region.undo, region.recover = undo, recover
    region.timeout = timeout
    return region


cdef inline bint is_row(object rows):
    """Say whether `rows` is one row: an int of Python's or NumPy's, but no bool, no array."""
    return PyIndex_Check(rows) and not PyBool_Check(rows) and not cnp.PyArray_Check(rows)
