# The lock words of one array, and the steps that take and give one stripe.


@cython.final
cdef class StripeLocks:
    """The lock words of one array, as this process sees them.

    Parameters
    ----------
    stripes, lots : ndarray of uint64
        The stripe lines and the lot lines in shared memory, eight words each; the number
        of lots is a power of two.  Bit s of a lot line says that slot s waits for one of
        the lot's stripes.
    space : int
        Identity of the namespace in this process, never 0.
    policy : object
        See the module's text.
    spins : int
        Tries before a thread parks.
    sleepers : Sleepers
        Of the namespace.
    target : int
        What those who wait for stripe 0 say they wait for; one more for stripe 1, and so on.
    """

    cdef uint64_t *words
    cdef uint64_t *lot_lines
    cdef Py_ssize_t lot_mask
    cdef uint64_t space, target
    cdef Sleepers sleepers
    cdef object keep
    cdef dict nested                   # (thread, stripe): how often entered again
    cdef dict pending                  # (thread, stripe): waited for at this moment, shared or not
    cdef dict recovered                # (thread, stripe): the abandoned word it was
    cdef Py_ssize_t unusual            # counts of `nested` and entries of `recovered`
    cdef uint64_t incarnation
    cdef uint64_t lock_thread, lock_me, lock_incarnation    # who acquired it last, where it is one lock
    cdef object __weakref__
    cdef readonly object policy
    cdef readonly Py_ssize_t stripes
    cdef readonly Py_ssize_t spins
    cdef public uint64_t acquisitions
    cdef public uint64_t contended

    def __cinit__(self, cnp.ndarray stripes not None, cnp.ndarray lots not None, *, uint64_t space,
                  object policy, Py_ssize_t spins, Sleepers sleepers not None, uint64_t target):
        self.words = <uint64_t *> cnp.PyArray_DATA(stripes)
        self.lot_lines = <uint64_t *> cnp.PyArray_DATA(lots)
        self.stripes = stripes.shape[0] // DSM_LINE_WORDS
        self.lot_mask = lots.shape[0] // DSM_LINE_WORDS - 1
        self.keep = (stripes, lots)
        self.space = space
        self.policy = policy
        self.spins = spins
        self.sleepers, self.target = sleepers, target
        self.nested, self.pending, self.recovered = {}, {}, {}
        self.incarnation = dsm_incarnation

    cdef void own_counts(self):
        """In a forked child: begin with counts of one's own."""
        if self.incarnation != dsm_incarnation:
            self.incarnation = dsm_incarnation
            self.nested, self.pending, self.recovered = {}, {}, {}
            self.count(-self.unusual)

    cdef inline object key(self, Py_ssize_t stripe):
        return dsm_thread() << 32 | <uint64_t> stripe

    cdef void count(self, Py_ssize_t by) noexcept:
        self.unusual += by
        if self.unusual:
            counting.add(self)
        else:
            counting.discard(self)

    cdef inline uint64_t *line(self, Py_ssize_t stripe) noexcept:
        return self.words + stripe * DSM_LINE_WORDS

    cdef inline uint64_t *lot(self, Py_ssize_t stripe) noexcept:
        return self.lot_lines + (stripe & self.lot_mask) * DSM_LINE_WORDS

    cdef inline uint64_t identity(self) except 0:
        if dsm_self.space == self.space:
            return dsm_self.me
        cdef uint64_t me = self.policy.join()
        dsm_self.me = me
        dsm_self.space = self.space
        return me

    cdef inline bint awaited(self, Py_ssize_t stripe) noexcept:
        cdef uint64_t *lot = self.lot(stripe)
        cdef uint64_t bits = 0
        cdef int i
        for i in range(DSM_LINE_WORDS):
            bits |= dsm_load(lot + i)
        return bits != 0

    cdef inline int take(self, object owner, Py_ssize_t stripe, uint64_t me, bint shared, bint recover,
                         object deadline) except -1:
        cdef int outcome
        if shared:
            outcome = dsm_try_shared(self.line(stripe), me)
        else:
            outcome = dsm_try_exclusive(self.line(stripe), me, False)
        if outcome == DSM_TAKEN:
            dsm_self.held += 1
            return 0
        return self.take_slowly(owner, stripe, me, shared, recover, deadline, outcome)

    cdef int take_slowly(self, object owner, Py_ssize_t stripe, uint64_t me, bint shared, bint recover,
                         object deadline, int outcome) except -1:
        cdef Py_ssize_t turn
        key = self.key(stripe)
        self.own_counts()
        if key in self.pending:            # a signal handler or finalizer, in the middle of our own wait
            if self.pending[key]:
                self.back_out(stripe, me, shared)     # that one wants to share: word 0 is of this try
                self.wake(stripe, me)
            raise RuntimeError(f"{owner!r} cannot be entered here: this very thread is waiting for it")
        if outcome == DSM_OWN:
            self.nested[key] = self.nested.get(key, 0) + 1
            self.count(1)
            return 0
        if shared:
            self.wake(stripe, me)          # our bit, set for a moment, may have stopped a writer
        if outcome == DSM_UPGRADE or not shared and dsm_holds(self.line(stripe), me) == 1:
            self.wake(stripe, me)
            self.policy.refuse_upgrade(owner, self, stripe)
        if outcome == DSM_DEAD and self.attempt(owner, stripe, me, shared, recover):
            dsm_self.held += 1
            return 0
        self.contended += 1
        for turn in range(self.spins):
            dsm_pause()
            if self.attempt(owner, stripe, me, shared, recover):
                dsm_self.held += 1
                return 0
        cdef uint64_t *word = self.lot(stripe) + ((me - 1) >> 6)
        cdef uint64_t incarnation = dsm_incarnation
        if dsm_self.waits == 0:
            self.policy.forget_wait(me)    # an interrupted one; before our lot bit could seem to be its
        self.pending[key] = shared
        dsm_self.waits += 1
        dsm_or(word, dsm_bit(me))
        try:
            self.policy.wait(owner, self, stripe, me, shared, recover, deadline)
        except BaseException:
            if incarnation != dsm_incarnation:       # forked by a signal handler: all this is the parent's
                raise
            self.pending.pop(key, None)
            dsm_self.waits -= 1
            dsm_and(word, ~dsm_bit(me))
            self.back_out(stripe, me, shared)
            self.wake(stripe, me)          # a wake-up meant for us goes to the next
            raise
        self.pending.pop(key, None)
        dsm_self.waits -= 1
        dsm_and(word, ~dsm_bit(me))
        dsm_self.held += 1
        return 0

    cdef inline bint attempt(self, object owner, Py_ssize_t stripe, uint64_t me, bint shared,
                             bint recover) except -1:
        """Take the stripe if it is free, or, to recover, abandoned; say whether it is ours."""
        cdef uint64_t holder = dsm_load(self.line(stripe))
        if holder & DSM_ABANDONED:
            if not recover:
                self.policy.refuse_abandoned(owner, self, stripe, holder)
            self.take_over(stripe, me)
        if not shared:
            return dsm_try_exclusive(self.line(stripe), me, True) == DSM_TAKEN
        if holder:
            return False                   # look before setting a bit that would stop a writer
        if dsm_try_shared(self.line(stripe), me) == DSM_TAKEN:
            return True
        self.wake(stripe, me)              # as above
        return False

    cdef int take_over(self, Py_ssize_t stripe, uint64_t me) except -1:
        """Make an abandoned stripe ours, and remember whose it was."""
        key = self.key(stripe)
        self.recovered[key] = 0            # room for it first: nothing may fail once it is ours
        cdef uint64_t dead = dsm_take_over(self.line(stripe), me)
        if dead:
            self.recovered[key] = dead
            self.count(1)
        else:
            del self.recovered[key]
        return 0

    cdef inline void clear(self, Py_ssize_t stripe, uint64_t me, bint failed) noexcept:
        """Give word 0 up; what was taken over and not put right is abandoned again."""
        if self.unusual:
            dead = self.recovered.pop(self.key(stripe), 0)
            if dead:
                self.count(-1)
                if failed:
                    dsm_store(self.line(stripe), dead)
                    return
        dsm_release_exclusive(self.line(stripe))

    cdef void back_out(self, Py_ssize_t stripe, uint64_t me, bint shared) noexcept:
        cdef int mode = dsm_holds(self.line(stripe), me)
        if shared and mode == 1:
            dsm_release_shared(self.line(stripe), me)
        elif not shared and mode == 2:
            self.clear(stripe, me, True)

    cdef inline int give(self, Py_ssize_t stripe, uint64_t me, bint shared, bint failed) except -1:
        """Release the stripe; 1 if somebody waits in its lot who may have to be woken."""
        if self.unusual:
            self.own_counts()
        if self.unusual:
            key = self.key(stripe)
            count = self.nested.pop(key, 0)
            if count:
                self.count(-1)
                if count > 1:
                    self.nested[key] = count - 1
                return 0
        if shared and dsm_holds(self.line(stripe), me) == 1:
            dsm_release_shared(self.line(stripe), me)
            dsm_self.held -= 1
            return self.awaited(stripe)
        self.clear(stripe, me, failed)     # or shared inside exclusive left last: the word is the hold
        dsm_self.held -= 1
        return self.awaited(stripe) \
            and not self.sleepers.is_one_up(self.line(stripe), self.lot(stripe), self.target + <uint64_t> stripe)

    cdef inline int wake(self, Py_ssize_t stripe, uint64_t me) except -1:
        if self.awaited(stripe):
            self.policy.wake(self, stripe, me)
        return 0

    cdef int check(self, Py_ssize_t stripe) except -1:
        if stripe < 0 or stripe >= self.stripes:
            raise IndexError(f"stripe {stripe} is outside 0..{self.stripes - 1}")
        return 0

    cdef object bits(self, uint64_t *words, int count):
        cdef int i
        found = 0
        for i in range(count):
            found |= (<object> dsm_load(words + i)) << (64 * i)
        return found

    def me(self):
        """Return this thread's identity here: its slot + 1."""
        return self.identity()

    def try_take(self, object owner, Py_ssize_t stripe, uint64_t me, bint shared, bint recover):
        """Take the stripe if it can be had now (for `policy.wait`); say whether it is ours."""
        self.check(stripe)
        if self.identity() != me:
            raise RuntimeError(f"{owner!r} cannot be entered: this process was forked in the middle of the enter")
        return bool(self.attempt(owner, stripe, me, shared, recover))

    def taken_over(self, Py_ssize_t stripe):
        """Return the abandoned word that the stripe had before this thread took it over, or 0."""
        return self.recovered.get(self.key(stripe), 0)

    def holder(self, Py_ssize_t stripe):
        """Return word 0: the exclusive holder's slot + 1, or 0."""
        self.check(stripe)
        return dsm_load(self.line(stripe))

    def sharers(self, Py_ssize_t stripe):
        """Return who holds the stripe shared, as an int with one bit for each slot."""
        self.check(stripe)
        return self.bits(self.line(stripe) + 1, DSM_LINE_WORDS - 1)

    def waiters(self, Py_ssize_t stripe):
        """Return who is parked in the stripe's lot, as an int with one bit for each slot."""
        self.check(stripe)
        return self.bits(self.lot(stripe), DSM_LINE_WORDS)

    @property
    def lots(self):
        """How many parking lots the stripes share; stripe s has lot ``s % lots``."""
        return self.lot_mask + 1

    def withdraw(self, Py_ssize_t stripe, uint64_t me):
        """Take a participant that has died out of the stripe's lot."""
        self.check(stripe)
        dsm_and(self.lot(stripe) + ((me - 1) >> 6), ~dsm_bit(me))

    def evict(self, Py_ssize_t stripe, uint64_t me):
        """Take the stripe away from a participant that has ended, and wake who waits."""
        self.check(stripe)
        dsm_release_shared(self.line(stripe), me)
        dsm_cas(self.line(stripe), me, self.recovered.pop(self.key(stripe), 0))
        self.wake(stripe, me)
