# Regions of several arrays, entered and left as one.


@cython.final
cdef class RegionGroup:
    """Regions of several arrays that are entered and left as one, with no bytecode in between.

    Parameters
    ----------
    parts : list of Region
        Whose views are given, in this order; they are not entered themselves.
    ordered : list of Region
        What is locked: one region for each array, in the global order.
    """

    cdef list parts, ordered
    cdef public object timeout
    cdef bint entered, undo
    cdef object record

    def __cinit__(self, list parts not None, list ordered not None, timeout, *, bint undo=False):
        self.parts, self.ordered, self.timeout, self.undo = parts, ordered, timeout, undo

    @cython.binding(False)
    def __enter__(self):
        cdef Region region
        cdef list taken = []
        if self.entered:
            raise RuntimeError("these regions are entered already: call locked() for each with")
        deadline = None
        if self.timeout is not None and self.ordered:
            deadline = (<Region> self.ordered[0]).rows.locks.policy.deadline(self.timeout)
        try:
            for region in self.ordered:
                region.take_all(deadline)
                taken.append(region)
            if self.undo and self.ordered:
                record = (<Region> self.ordered[0]).rows.locks.policy.save(self.parts)
            views = tuple([(<Region> part).open_view() for part in self.parts])
        except BaseException:
            self.give(taken, True)
            raise
        if self.undo and self.ordered:
            record.arm()
            self.record = record
        self.entered = True
        return views

    @cython.binding(False)
    def __exit__(self, kind, error, trace):
        if not self.entered:
            raise RuntimeError("these regions were left without being entered")
        cdef Region region
        for region in self.ordered:
            if region.incarnation == dsm_incarnation and dsm_thread() != region.thread:
                raise RuntimeError("these regions were entered by another thread, which still holds them")
        self.entered = False
        record, self.record = self.record, None
        try:
            if record is not None and (<Region> self.ordered[0]).incarnation == dsm_incarnation:
                record.end(kind is not None)
        finally:
            self.give(self.ordered, kind is not None)

    def __del__(self):
        if leave_dropped and self.entered and (not self.ordered or (<Region> self.ordered[0]).thread == dsm_thread()):
            self.__exit__(RuntimeError, None, None)

    @property
    def recovered(self):
        """Who died inside the rows that these regions have taken over."""
        return [who for region in self.ordered for who in region.recovered]

    cdef int give(self, list regions, bint failed) except -1:
        cdef Region region
        for region in self.parts:
            region.end_view()
        problem = None
        for region in reversed(regions):
            try:
                if region.incarnation == dsm_incarnation:
                    region.give_all(failed)
                else:
                    region.entered = False
            except BaseException as error:     # an interrupt while waking: the others must still come free
                problem = error
        if problem is not None:
            raise problem
        return 0
