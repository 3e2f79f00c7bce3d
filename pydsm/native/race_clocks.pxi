# What a worker has heard of the others: vector clocks, joined and published at each synchronisation.
#
# A worker's clock counts its epochs, which end where others may hear of them.  `known[w]` is the
# last epoch of worker w that happens before now (Lamport; Fidge and Mattern), through any lock.
# Fences need two clocks more, because of the contract's "one after the first access happens
# before one before the second": `fenced` is what was followed by its worker's fence, and
# travels with `known`; `visible` is that part of it that had come before my own last fence.
# Barriers, atomic operations and named locks are fences on both sides.

cdef enum:
    HISTORY_WORDS = 16          # clock, number of holds, up to four holds of three words
    HISTORY_HOLDS = 4


cdef class Watcher:
    """What one worker knows of the others.

    Parameters
    ----------
    me, workers : int
    base : ndarray
        The clocks with which all workers start.
    live, history, arrivals, locks : ndarray of uint64
        Shared words: the clock of each worker, ``[worker][8]``; what it held in its last epochs,
        ``[worker][epoch][16]``; what it came to the barrier with, ``[2][worker]``; and the
        clocks of named locks, ``[lock][known, fenced][worker]``.
    slots : ndarray of uint64, optional
        Two words of each worker's slot, ``[2][worker]`` with strides: whether it has one, and
        which barrier it has come to last; so that the dead are known.
    predict : bool
        Whether only what the contract says orders rows.
    """

    cdef readonly int me, workers
    cdef readonly bint predict
    cdef uint64_t clock
    cdef bint dirty             # something was accessed in this epoch
    cdef uint64_t *known
    cdef uint64_t *fenced
    cdef uint64_t *visible
    cdef uint64_t *begun        # with which clocks the run began
    cdef uint64_t *limit        # of `known`
    cdef uint64_t *strict_limit     # of `visible`
    cdef uint64_t *live
    cdef uint64_t *history
    cdef uint64_t *arrivals
    cdef uint64_t *locks
    cdef Py_ssize_t epochs, named
    cdef cnp.ndarray slots
    cdef uint64_t buried        # one bit for each of the first 64 workers: it is dead, and all it did was heard of
    cdef int meetings
    cdef dict shadows           # by array id
    cdef list holding           # what this worker holds now
    cdef readonly dict lock_names       # of the named locks it has held, by id
    cdef object atomic          # the operation it is in the middle of, and its elements
    cdef tuple elements
    cdef object keep

    def __cinit__(self, int me, int workers, cnp.ndarray base not None, cnp.ndarray live not None,
                  cnp.ndarray history not None, cnp.ndarray arrivals not None, cnp.ndarray locks not None,
                  cnp.ndarray slots=None, *, bint predict):
        cdef int worker
        self.me, self.workers, self.predict = me, workers, predict
        self.known = <uint64_t *> calloc(6 * workers, sizeof(uint64_t))
        if self.known == NULL:
            raise MemoryError
        self.fenced, self.visible = self.known + workers, self.known + 2 * workers
        self.limit, self.strict_limit = self.known + 3 * workers, self.known + 4 * workers
        self.begun = self.known + 5 * workers
        self.live, self.history = words_of(live), words_of(history)
        self.arrivals, self.locks = words_of(arrivals), words_of(locks)
        self.epochs, self.named = history.shape[1], locks.shape[0]
        self.keep = (live, history, arrivals, locks)
        self.shadows, self.holding, self.lock_names = {}, [], {}
        for worker in range(workers):
            self.known[worker] = self.fenced[worker] = self.visible[worker] = self.begun[worker] = base[worker]
        self.slots = slots
        self.clock = self.known[me] + 1
        self.refresh()
        self.note_holds()
        dsm_store(self.live + 8 * me, self.clock)

    def __dealloc__(self):
        free(self.known)

    # -- epochs --------------------------------------------------------------------

    cdef inline void refresh(self) noexcept:
        cdef int worker
        for worker in range(self.workers):
            self.limit[worker] = (self.known[worker] + 1) << 32
            self.strict_limit[worker] = (self.visible[worker] + 1) << 32

    cdef inline int step(self) except -1:
        """End an epoch in which something was accessed; others may hear of all up to it."""
        if not self.dirty:
            return 0
        if self.clock >= 0xFFFFFFFE:
            raise OverflowError(f"rank {self.me} has synchronised four thousand million times: "
                                "its accesses cannot be told apart any more")
        self.clock += 1
        self.dirty = False
        dsm_store(self.live + 8 * self.me, self.clock)
        self.known[self.me] = self.clock - 1
        self.note_holds()
        return 0

    cdef inline void note_holds(self) noexcept:
        """Write down what this worker holds in this epoch."""
        cdef uint64_t *entry = self.history + (self.me * self.epochs + self.clock % self.epochs) * HISTORY_WORDS
        cdef Py_ssize_t count = len(self.holding), i
        cdef Held held
        entry[0] = 0
        entry[1] = count
        for i in range(min(count, HISTORY_HOLDS)):
            held = <Held> self.holding[i]
            entry[2 + 3 * i] = <uint64_t> held.array_id | (<uint64_t> held.shared << 63)
            entry[3 + 3 * i], entry[4 + 3 * i] = held.start, held.stop
        dsm_store(entry, self.clock)

    cdef inline void hear(self, const uint64_t *clocks) noexcept:
        race_join(self.known, clocks, self.workers)
        race_join(self.fenced, clocks + self.workers, self.workers)

    cdef inline void tell(self, uint64_t *clocks) noexcept:
        race_raise(clocks, self.known, self.workers)
        race_raise(clocks + self.workers, self.fenced, self.workers)

    cdef inline void fence_here(self) noexcept:
        """What I did is out; what was out of what I have heard of is in."""
        cdef int worker
        self.fenced[self.me] = self.known[self.me]
        for worker in range(self.workers):
            if self.fenced[worker] > self.visible[worker]:
                self.visible[worker] = self.fenced[worker]

    @property
    def now(self):
        """The clock of this worker."""
        return self.clock

    def heard_of(self, int worker):
        """Return the last epoch of a worker that happens before now."""
        return self.known[worker]

    def add(self, Shadow shadow not None):
        """Let an array be checked."""
        self.shadows[shadow.array_id] = shadow

    # -- locks ---------------------------------------------------------------------

    cdef int change_holds(self, Shadow shadow, Held held, bint enter) except -1:
        if shadow is not None:
            if enter:
                shadow.hold(held)
            else:
                shadow.leave(held)
        if enter:
            self.holding.append(held)
        elif held in self.holding:
            self.holding.remove(held)
        return 0

    def acquired(self, holds):
        """See an acquire have all it wanted."""
        cdef Shadow shadow
        cdef Held held
        cdef Py_ssize_t stripe
        self.step()
        for hold in holds:
            shadow = None
            if hold.array is None:
                self.hear(self.locks + (<Py_ssize_t> (hold.array_id % self.named)) * 2 * self.workers)
                self.fence_here()
                held = Held(hold.array_id, 0, 0, False)
                self.lock_names[held.array_id] = hold.name
            else:
                shadow = self.shadow(hold)
                held = read_hold(shadow, hold)
                if held.stripes is None:
                    self.hear_stripe(shadow, held.start // shadow.block, held.shared)
                else:
                    for stripe in held.stripes:
                        self.hear_stripe(shadow, stripe, held.shared)
                if hold.fence:
                    self.fence_here()
            self.change_holds(shadow, held, True)
        self.hear_of_the_dead()
        self.note_holds()
        self.refresh()

    cdef inline void hear_of_the_dead(self) noexcept:
        """Hear of everything that workers did who died: they were buried before anybody got what they held."""
        cdef int worker
        if self.slots is None:
            return
        for worker in range(min(self.workers, 64)):
            if worker != self.me and not self.buried >> worker & 1 and self.is_dead(worker):
                self.buried |= <uint64_t> 1 << worker
                self.known[worker] = dsm_load(self.live + 8 * worker)
                self.fenced[worker] = self.visible[worker] = self.known[worker]

    cdef inline bint is_dead(self, int worker) noexcept:
        """Say whether a worker has had a slot in this run, has none any more, and never said that it had finished."""
        return not dsm_load(<uint64_t *> cnp.PyArray_GETPTR2(self.slots, 0, worker)) \
            and dsm_load(self.live + 8 * worker) > self.begun[worker] \
            and dsm_load(<uint64_t *> cnp.PyArray_GETPTR2(self.slots, 1, worker)) != <uint64_t> 1 << 63

    cdef inline int hear_stripe(self, Shadow shadow, Py_ssize_t stripe, bint shared) noexcept:
        self.hear(shadow.lock(stripe, False))
        if not shared:
            self.hear(shadow.lock(stripe, True))
        return 0

    def releasing(self, holds, *, failed):
        """See a release before others can enter."""
        cdef Shadow shadow
        cdef Held held
        cdef Py_ssize_t stripe
        self.step()
        for hold in holds:
            shadow = None
            if hold.array is None:
                self.fence_here()
                self.tell(self.locks + (<Py_ssize_t> (hold.array_id % self.named)) * 2 * self.workers)
                held = self.find_held(hold.array_id, 0, 0, False)
            else:
                if hold.fence:
                    self.fence_here()
                shadow = self.shadow(hold)
                held = read_hold(shadow, hold)
                if held.stripes is None:
                    self.tell(shadow.lock(held.start // shadow.block, held.shared))
                else:
                    for stripe in held.stripes:
                        self.tell(shadow.lock(stripe, held.shared))
                held = self.find_held(held.array_id, held.start, held.stop, held.shared)
            if held is not None:
                self.change_holds(shadow, held, False)
        self.note_holds()
        self.refresh()

    cdef Held find_held(self, array_id, Py_ssize_t start, Py_ssize_t stop, bint shared):
        cdef Held held
        cdef Py_ssize_t i
        for i in range(len(self.holding) - 1, -1, -1):
            held = <Held> self.holding[i]
            if held.array_id == array_id and held.start == start and held.stop == stop and held.shared == shared:
                return held
        return None

    cdef Shadow shadow(self, hold):
        found = self.shadows.get(hold.array_id)
        if found is None:
            raise RuntimeError(f"array {hold.name!r} is not known to the detector of rank {self.me}")
        return <Shadow> found

    # -- fences, atomic operations, barriers ---------------------------------------

    def fencing(self, array, array_id, rows):
        """See a fence."""
        self.step()
        self.fence_here()
        self.refresh()

    def atomic_begins(self, atomic):
        """Publish an atomic operation, and what came before it.

        What it may see is heard of first: who is ordered before it is so already when it
        is looked for; looking later would find those who were ordered after it.
        """
        cdef Shadow shadow = self.shadow(atomic)
        cdef tuple elements = elements_of(shadow, atomic)
        cdef Py_ssize_t units = shadow.units_of_item, element
        cdef bint writes = atomic.writes
        self.atomic, self.elements = atomic, elements
        if atomic.op != "store_release":
            self.hear_elements(shadow, elements)
        if listeners is not EMPTY:
            inform(atomic.array, atomic.key, writes)
        for element in elements:
            touch_units(shadow, element * units, element * units + units - 1,
                        RACE_ATOMIC_WRITE if writes else RACE_ATOMIC_READ)
        if writes:
            self.step()
            self.fence_here()
            for element in elements:
                self.tell(shadow.element(element))

    def atomic_ended(self, atomic, *, failed):
        """Hear of what came before the operations that this one saw."""
        cdef Shadow shadow
        if not failed and atomic.op != "store_release":
            shadow = self.shadow(atomic)
            self.hear_elements(shadow, self.elements if atomic is self.atomic else elements_of(shadow, atomic))
        self.atomic = None

    cdef int hear_elements(self, Shadow shadow, tuple elements) except -1:
        cdef Py_ssize_t element
        for element in elements:
            self.hear(shadow.element(element))
        self.hear_of_the_dead()
        self.step()
        self.fence_here()
        self.refresh()
        return 0

    def arriving(self):
        """See the worker come to a barrier."""
        self.step()
        dsm_store(self.arrivals + (self.meetings & 1) * self.workers + self.me, self.known[self.me])

    def met(self):
        """See all workers there."""
        cdef int worker
        cdef uint64_t clock
        for worker in range(self.workers):
            clock = dsm_load(self.arrivals + (self.meetings & 1) * self.workers + worker)
            if clock > self.known[worker]:
                self.known[worker] = clock
            self.fenced[worker] = self.visible[worker] = self.known[worker]
        self.meetings += 1
        self.hear_of_the_dead()
        self.refresh()
