# A region of one array: entering, the view it gives, leaving.

cdef enum:
    AHEAD = 8                  # lines that are on their way while a region of many stripes takes one


@cython.final
cdef class Region:
    """Rows of an array that a worker holds while inside ``with``.

    Made by ``A.locked(rows)``; may be entered again after it was left.
    """

    cdef object array
    cdef Rows rows
    cdef readonly object key
    cdef public object timeout
    cdef cnp.ndarray irregular
    cdef cnp.ndarray view
    cdef Py_ssize_t index, start, stop
    cdef uint64_t me, thread, incarnation
    cdef readonly bint shared
    cdef bint fence, undo, recover
    cdef readonly bint entered
    cdef int kind
    cdef object record                 # of what the rows were, to put them back

    @cython.binding(False)
    def __enter__(self):
        cdef StripeLocks locks = self.rows.locks
        self.take_all(None if self.timeout is None else locks.policy.deadline(self.timeout))
        if self.kind == ROW and not self.undo and self.reuse_row():
            return self.view
        return self.open_view_or_leave()

    cdef object open_view_or_leave(self):
        try:
            if self.undo:
                record = self.rows.locks.policy.save([self])
            view = self.open_view()
        except BaseException:
            self.give_all(True)
            raise
        if self.undo:
            record.arm()
            self.record = record
        return view

    @cython.binding(False)
    def __exit__(self, kind, error, trace):
        cdef StripeLocks locks = self.rows.locks
        if not self.entered:
            raise RuntimeError(f"{self!r} was left without being entered")
        if self.incarnation != dsm_incarnation:      # a fork inside the region: the parent holds it
            self.entered = False
            self.record = None
            return
        if dsm_thread() != self.thread:
            raise RuntimeError(f"{self!r} was entered by another thread, which still holds it")
        self.end_view()
        if self.record is not None:
            self.end_undo(kind is not None)
        else:
            self.give_all(kind is not None)

    cdef int end_undo(self, bint failed) except -1:
        record, self.record = self.record, None
        try:
            record.end(failed)
        finally:
            self.give_all(failed)
        return 0

    def __del__(self):
        if leave_dropped and self.entered and self.incarnation == dsm_incarnation and self.thread == dsm_thread():
            self.kind = SELF                         # not to be used again
            self.__exit__(RuntimeError, None, None)

    cdef int find_array(self) except -1:
        self.array = self.rows.array()
        if self.array is None:
            raise RuntimeError("the array of this region is gone")
        return 0

    cdef inline Py_ssize_t stripe(self, Py_ssize_t position) noexcept:
        if self.irregular is None:
            return self.start + position
        return (<cnp.npy_intp *> cnp.PyArray_DATA(self.irregular))[position]

    cdef inline int take_all(self, object deadline) except -1:
        """Take every stripe, or none."""
        cdef StripeLocks locks = self.rows.locks
        cdef uint64_t me = locks.identity()
        if self.entered:
            raise RuntimeError(f"{self!r} is entered already: call locked() for each with")
        if self.array is None:
            self.find_array()
        if not self.rows.fits(<cnp.ndarray> self.array):
            raise RuntimeError(f"{self!r} cannot be entered: the array has got another shape since locked() was called")
        if self.stop - self.start == 1:
            locks.take(self, self.stripe(0), me, self.shared, self.recover, deadline)
        else:
            self.take_many(locks, me, deadline)
        if self.entered:                             # while this thread waited
            self.give_first(locks, me, self.stop - self.start, True)
            raise RuntimeError(f"{self!r} was entered by another thread meanwhile: call locked() for each with")
        locks.acquisitions += 1
        self.me, self.thread = me, dsm_thread()
        self.incarnation = dsm_incarnation
        self.entered = True
        if leave_dropped and self.rows.last is self:
            self.rows.last = None                    # so that `__del__` comes at once
        if self.fence:
            dsm_fence()
        return 0

    cdef int take_many(self, StripeLocks locks, uint64_t me, object deadline) except -1:
        cdef Py_ssize_t taken = 0
        try:
            while taken < self.stop - self.start:
                if taken + AHEAD < self.stop - self.start:
                    dsm_will_write(locks.line(self.stripe(taken + AHEAD)))
                locks.take(self, self.stripe(taken), me, self.shared, self.recover, deadline)
                taken += 1
        except BaseException:
            self.give_first(locks, me, taken, True)
            raise
        return 0

    cdef inline int give_all(self, bint failed) except -1:
        """Give every stripe back; `failed`: the rows were not put right."""
        cdef StripeLocks locks = self.rows.locks
        self.entered = False
        if leave_dropped and self.kind == ROW and self.irregular is None and self.rows.last is None:
            self.rows.last = self                    # only one row: nothing but `locked` sets is left in it
        self.array = None                            # no cycle through rows.last
        if self.fence:
            dsm_fence()
        if self.stop - self.start == 1:
            if locks.give(self.stripe(0), self.me, self.shared, failed):
                locks.policy.wake(locks, self.stripe(0), self.me)
        else:
            self.give_first(locks, self.me, self.stop - self.start, failed)
        return 0

    cdef int give_first(self, StripeLocks locks, uint64_t me, Py_ssize_t count, bint failed) except -1:
        """Release the first `count` stripes in descending order, then wake who waits."""
        cdef Py_ssize_t position
        cdef list awaited
        if not locks.unusual:
            self.clear_first(locks, me, count)
            awaited = self.awaited_first(locks, count) if self.is_awaited(locks, count) else []
        else:
            awaited = []
            for position in range(count - 1, -1, -1):
                if locks.give(self.stripe(position), me, self.shared, failed):
                    awaited.append(self.stripe(position))
        for stripe in awaited:
            locks.policy.wake(locks, stripe, me)
        return 0

    cdef int clear_first(self, StripeLocks locks, uint64_t me, Py_ssize_t count) noexcept:
        """Give words up of which each is one hold and nothing else; whoever waits is to be looked for behind this."""
        cdef Py_ssize_t position
        cdef uint64_t *line
        for position in range(count - 1, -1, -1):
            line = locks.line(self.stripe(position))
            if self.shared and dsm_holds(line, me) == 1:
                dsm_release_shared(line, me)
            else:                          # shared inside exclusive left last: the word is the hold
                dsm_clear_exclusive(line)
        dsm_self.held -= count
        dsm_fence()
        return 0

    cdef bint is_awaited(self, StripeLocks locks, Py_ssize_t count) noexcept:
        """Say whether anybody waits in the lots of the first `count` stripes; each lot is read once."""
        cdef Py_ssize_t lots = locks.lot_mask + 1
        cdef Py_ssize_t position
        for position in range(min(count, lots)):
            if locks.awaited(position if count > lots else self.stripe(position)):
                return True
        return False

    cdef list awaited_first(self, StripeLocks locks, Py_ssize_t count):
        cdef Py_ssize_t position
        return [self.stripe(position) for position in range(count - 1, -1, -1) if locks.awaited(self.stripe(position))]

    def open_view(self):
        """Return what ``as`` gives: a view of the rows, or the array itself."""
        if self.array is None:
            self.find_array()
        cdef cnp.ndarray array = <cnp.ndarray> self.array
        if self.kind == ROW and cnp.PyArray_NDIM(array) == 0:
            raise RuntimeError(f"{self!r} has no row to give: the array has got another shape meanwhile")
        cdef bint writable = not self.shared and (self.rows.guarded or cnp.PyArray_ISWRITEABLE(array))
        cdef cnp.ndarray view
        if self.kind == ROW:
            if self.reuse_row():
                return self.view
            view = new_row(array, self.row_data(array))
        elif self.kind == SELF and writable and not self.rows.guarded:
            return array
        else:
            view = array[self.key] if self.kind == SLICE else array[...]
        if writable:
            PyArray_ENABLEFLAGS(view, NPY_ARRAY_WRITEABLE)
        else:
            PyArray_CLEARFLAGS(view, NPY_ARRAY_WRITEABLE)
        self.view = view
        return view

    cdef inline void end_view(self) noexcept:
        if self.view is None:
            return
        PyArray_CLEARFLAGS(self.view, NPY_ARRAY_WRITEABLE)
        cdef PyArrayObject_fields *fields = <PyArrayObject_fields *> self.view
        if self.kind == ROW and self.rows.recyclable and Py_REFCNT(<PyObject *> self.view) == 1 and fields.weakreflist == NULL \
                and dsm_rows(self.view) == NULL:
            # Nobody kept it: the next row can have it.  Without its base, or it and the
            # array would keep each other alive.
            Py_XDECREF(fields.base)
            fields.base = NULL
            self.rows.spare = self.view
        self.view = None

    cdef inline char *row_data(self, cnp.ndarray array) noexcept:
        return <char *> cnp.PyArray_DATA(array) + self.index * cnp.PyArray_STRIDE(array, 0)

    cdef inline bint reuse_row(self) noexcept:
        """Move the last row's view here, if nobody kept it; say whether that is done."""
        cdef cnp.ndarray view = self.rows.spare
        if view is None:
            return False
        cdef cnp.ndarray array = <cnp.ndarray> self.array
        if Py_REFCNT(<PyObject *> view) != 2 or not dsm_is_row(view, array):
            return False
        self.rows.spare = None
        Py_INCREF(array)
        (<PyArrayObject_fields *> view).base = <PyObject *> array
        (<PyArrayObject_fields *> view).data = self.row_data(array)
        if not self.shared and (self.rows.guarded or cnp.PyArray_ISWRITEABLE(array)):
            PyArray_ENABLEFLAGS(view, NPY_ARRAY_WRITEABLE)
        self.view = view
        return True

    def stripes(self):
        """Return the ascending numbers of the stripes that guard the rows."""
        if self.irregular is not None:
            return self.irregular
        return np.arange(self.start, self.stop)

    def neighbours(self):
        """Return the stripes that guard the rows as (first, behind the last), or None if they are not neighbours."""
        if self.irregular is not None:
            return None
        return self.start, self.stop

    def elements(self):
        """Return the elements that the region is of, for a copy of their bits.

        Returns
        -------
        offset : int
            Bytes from the beginning of the whole array.
        part : ndarray of void
            A writable view; not of the rows alone if `rows` is given.
        rows : int, slice, sequence or mask, optional
            Which rows of `part` are meant; None for all.
        """
        if self.array is None:
            self.find_array()
        cdef cnp.ndarray array = <cnp.ndarray> self.array
        if not self.rows.guarded and not cnp.PyArray_ISWRITEABLE(array):
            raise ValueError(f"{self!r} has nothing to undo: the array is read-only here")
        cdef cnp.ndarray part = array.view(np.ndarray)
        PyArray_ENABLEFLAGS(part, NPY_ARRAY_WRITEABLE)
        rows = None
        if self.kind == ROW:
            part = part[self.index:self.index + 1]
        elif self.kind == SLICE:
            part = part[self.key]
        elif self.key is not None and self.key is not Ellipsis:
            rows = self.key
        return <char *> cnp.PyArray_DATA(part) - self.rows.home, part.view(f"V{array.itemsize}"), rows

    @property
    def recovered(self):
        """Who died inside the rows that this region has taken over; empty unless ``recover=True``."""
        cdef StripeLocks locks = self.rows.locks
        cdef Py_ssize_t position
        if not self.recover or not self.entered or not locks.unusual:
            return []
        words = {locks.taken_over(self.stripe(position)): None for position in range(self.stop - self.start)}
        return [locks.policy.name_of_dead(word) for word in words if word]

    def held(self):
        """Say whether this thread holds all the rows, in this mode or a stronger one."""
        cdef StripeLocks locks = self.rows.locks
        cdef uint64_t me = locks.identity()
        cdef Py_ssize_t position
        cdef int mode
        for position in range(self.stop - self.start):
            mode = dsm_holds(locks.line(self.stripe(position)), me)
            if mode == 0 or mode == 1 and not self.shared:
                break
        else:
            position = self.stop - self.start
        if not self.entered:
            self.array = None                        # no cycle through rows.last
        return position == self.stop - self.start

    def widened(self, stripes):
        """Return a region of the same array over the given ascending stripes."""
        cdef Region region = Region.__new__(Region)
        if self.array is None:
            self.find_array()
        region.array, region.rows, region.key = self.array, self.rows, self.key
        region.shared, region.fence = self.shared, self.fence
        region.timeout, region.recover = self.timeout, self.recover
        region.irregular = np.ascontiguousarray(stripes, dtype=np.intp)
        region.start, region.stop = 0, len(stripes)
        region.kind = SELF
        return region

    @property
    def locks(self):
        """The lock words."""
        return self.rows.locks

    def __repr__(self):
        array = self.array if self.array is not None else self.rows.array()
        rows = "..." if self.key is None else repr(self.key)
        return f"{'shared' if self.shared else 'exclusive'} region {rows} of array {getattr(array, 'name', None)!r}"


cdef cnp.ndarray new_row(cnp.ndarray array, char *data):
    cdef cnp.dtype descr = array.descr
    Py_INCREF(descr)                       # NewFromDescr steals it, as SetBaseObject steals the base
    cdef cnp.ndarray view = PyArray_NewFromDescr(
        Py_TYPE(array), descr, cnp.PyArray_NDIM(array) - 1, cnp.PyArray_DIMS(array) + 1,
        cnp.PyArray_STRIDES(array) + 1, data, 0, <PyObject *> array)
    Py_INCREF(array)
    PyArray_SetBaseObject(view, array)
    PyArray_UpdateFlags(view, NPY_ARRAY_UPDATE_ALL)
    return view
