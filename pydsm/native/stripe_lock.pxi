# A lock that is one stripe.


cdef class StripeLock:
    """A lock that is one stripe, at native speed; `pydsm.sync.lock` gives it its manners."""

    cdef StripeLocks locks

    def __cinit__(self, StripeLocks locks not None):
        self.locks = locks

    @property
    def words(self):
        """The lock words."""
        return self.locks

    cdef inline int take(self, bint recover, object deadline) except -1:
        cdef StripeLocks locks = self.locks
        cdef uint64_t me = locks.identity()
        locks.take(self, 0, me, False, recover, deadline)
        locks.acquisitions += 1
        locks.lock_thread, locks.lock_me, locks.lock_incarnation = dsm_thread(), me, dsm_incarnation
        return 0

    def acquire_until(self, deadline, bint recover=False):
        """Take the lock, waiting until `deadline` on the monotonic clock (None: for ever)."""
        self.take(recover, deadline)

    cdef inline int give(self, bint failed) except -1:
        cdef StripeLocks locks = self.locks
        cdef uint64_t me
        if locks.lock_thread == dsm_thread() and locks.lock_incarnation == dsm_incarnation:
            me = locks.lock_me
        else:
            me = locks.identity()
        if dsm_holds(locks.line(0), me) != 2:
            locks.policy.refuse_release(self, locks)
        if locks.give(0, me, False, failed):
            locks.policy.wake(locks, 0, me)
        return 0

    def release(self):
        """Give the lock back; RuntimeError if this thread does not hold it."""
        self.give(False)

    def held(self):
        """Say whether this thread holds the lock."""
        return dsm_holds(self.locks.line(0), self.locks.identity()) == 2

    @cython.binding(False)
    def __enter__(self):
        self.take(False, None)
        return self

    @cython.binding(False)
    def __exit__(self, kind, error, trace):
        if self.locks.lock_incarnation != dsm_incarnation and self.locks.lock_incarnation:
            return                                   # a fork inside: the parent holds it
        self.give(kind is not None)
