# Waiting until an element is as wanted.

# What `wait_until` compares, and with which outcomes of dsm_element_compare it is content.
cdef enum:
    LESS = 1
    EQUAL = 2
    GREATER = 4
    UNORDERED = 8
cdef dict RELATIONS = {"<": LESS, "<=": LESS | EQUAL, "==": EQUAL, ">=": GREATER | EQUAL, ">": GREATER,
                       "!=": LESS | GREATER | UNORDERED}


@cython.final
cdef class Watch:
    """One element and what it should become: what `wait_until` waits for."""

    cdef readonly object array
    cdef Rows rows
    cdef Element element
    cdef uint64_t value
    cdef int wanted, entered       # 0 no, 1 yes, 2: it was in the lot before
    cdef readonly str relation
    cdef readonly object index, goal

    def holds(self):
        """Say whether the element is as wanted, and with which value: None if it is not."""
        cdef uint64_t seen = dsm_element_load(self.element.kind, self.element.place)
        cdef int outcome = dsm_element_compare(self.element.kind, seen, self.value)
        if self.wanted & (UNORDERED if outcome == 2 else EQUAL if outcome == 0 else LESS if outcome < 0 else GREATER):
            return value_of_bits(self.element.kind, seen)
        return None

    def enter_lot(self):
        """Put this thread into the lot of the element's stripe."""
        cdef StripeLocks locks = self.rows.locks
        cdef uint64_t me = locks.identity()
        cdef uint64_t before = dsm_or(locks.lot(self.element.stripe) + ((me - 1) >> 6), dsm_bit(me))
        if self.entered == 0:
            self.entered = 2 if before & dsm_bit(me) else 1

    def leave_lot(self):
        """Take this thread out of it, unless a wait that this one is in the middle of put it there."""
        cdef StripeLocks locks = self.rows.locks
        cdef uint64_t me = locks.identity()
        if self.entered == 1:
            dsm_and(locks.lot(self.element.stripe) + ((me - 1) >> 6), ~dsm_bit(me))

    @property
    def stripe(self):
        """The stripe of the element."""
        return self.element.stripe

    def __repr__(self):
        return f"element {self.index} of array {self.array.name!r} {self.relation} {self.goal!r}"


def wait_until(self, index, op, value, timeout=None):
    """Wait, asleep, until one element compares with a value as asked; return what it is then.

    Parameters
    ----------
    index : int or tuple of int
    op : {"==", "!=", "<", "<=", ">", ">="}
    value : int or float
    timeout : float, optional
        Seconds; 0 looks once, None waits for ever.

    Returns
    -------
    int, float or bool
        The element.  What its writer wrote before it is visible.

    Raises
    ------
    WaitTimeoutError
        A TimeoutError.
    IndexError, TypeError, ValueError, OverflowError

    Notes
    -----
    Atomic operations, `store_release`, `accumulate` and the end of a `locked` region over the
    row wake who waits.  A plain write without any of them is found too, but only a tenth of a
    second later.  Nobody can prove that the value will never come, so this is no part of
    the detection of deadlocks: give a timeout where it may fail to.

    Examples
    --------
    >>> import pydsm
    >>> with pydsm.Team(1) as team:
    ...     A = team.array("A", 3, int)
    ...     before = A.fetch_add(2, 5)
    ...     A.wait_until(2, ">=", 5)
    5
    """
    cdef Watch watch = watch_element(self, index, op, value)
    cdef StripeLocks locks = watch.rows.locks
    cdef Py_ssize_t turn
    deadline = locks.policy.deadline(timeout)
    find_element(&watch.element, watch.rows, self)
    found = watch.holds()
    for turn in range(locks.spins):
        if found is not None:
            break
        dsm_pause()
        found = watch.holds()
    return found if found is not None else wait_asleep(watch, watch, deadline)


cpdef Watch watch_element(array, index, op, value):
    """Return what `wait_until` waits for; IndexError, TypeError, ValueError or OverflowError if that cannot be."""
    cdef Watch watch = Watch.__new__(Watch)
    if not isinstance(op, str) or op not in RELATIONS:
        error = ValueError if isinstance(op, str) else TypeError
        raise error(f"op is one of {', '.join(map(repr, RELATIONS))}, not {op!r}")
    watch.rows = rows_of_array(array)
    watch.element.kind = kind_of(array)
    read_index(&watch.element, array, index)
    watch.value = bits_of_value(watch.element.kind, array, value)
    watch.wanted, watch.relation = RELATIONS[op], op
    watch.array, watch.index, watch.goal = array, index, value
    find_element(&watch.element, watch.rows, array)
    return watch


cpdef object wait_asleep(Watch watch, object watched, object deadline):
    """Sleep until ``watched.holds()`` is not None, and return that; `watch` says where to sleep."""
    cdef StripeLocks locks = watch.rows.locks
    cdef uint64_t incarnation = dsm_incarnation
    cdef bint nested = dsm_self.waits > 0
    locks.identity()
    dsm_self.waits += 1
    try:
        return locks.policy.watch(watched, deadline, nested)
    finally:
        if incarnation == dsm_incarnation:           # else forked by a signal handler: that count is the parent's
            dsm_self.waits -= 1
        watch.leave_lot()
