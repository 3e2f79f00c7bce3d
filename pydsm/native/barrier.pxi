cdef extern from "barrier.h" nogil:
    ctypedef struct dsm_patience:
        int64_t spins
    uint64_t dsm_announce(uint64_t *bell)
    void dsm_ring(uint64_t *bell)
    void dsm_alarm(uint64_t *bell)
    void dsm_step(uint64_t *generation, uint64_t value, uint64_t *bell)
    int dsm_sleep(uint64_t *bell, uint64_t value, double seconds)
    bint dsm_watch(const uint64_t *word, uint64_t value, dsm_patience *patience)
    enum: ETIMEDOUT


THROUGH, REFUSED = -1, -2


cdef class Meeting:
    """The steps of a barrier that never leave native code.

    Where the barrier's words are and what they mean is said in `pydsm.sync.barrier`.

    Parameters
    ----------
    words : Words
    size : int
        How many workers meet.
    arrived, generation, broken, finished, dead, bell : int
        Indices of words.
    spins : int
        How often a worker looks before it sleeps.
    """

    cdef Words words
    cdef uint64_t size
    cdef uint64_t *arrived
    cdef uint64_t *generation
    cdef uint64_t *broken
    cdef uint64_t *finished
    cdef uint64_t *dead
    cdef uint64_t *bell
    cdef dsm_patience patience

    def __cinit__(self, Words words not None, uint64_t size, *, Py_ssize_t arrived, Py_ssize_t generation,
                  Py_ssize_t broken, Py_ssize_t finished, Py_ssize_t dead, Py_ssize_t bell, int64_t spins):
        self.words, self.size = words, size
        self.arrived, self.generation = words.at(arrived), words.at(generation)
        self.broken, self.finished, self.dead = words.at(broken), words.at(finished), words.at(dead)
        self.bell = words.at(bell)
        self.patience.spins = spins

    def come(self, Py_ssize_t mine, double seconds):
        """Come to the barrier, and wait for the others for at most `seconds` seconds of sleep.

        Parameters
        ----------
        mine : int
            Index of the word that says which generation this worker has come to.
        seconds : float

        Returns
        -------
        int
            THROUGH, REFUSED if it is broken already, or the generation to wait for the end
            of: the time went by, a signal came, or there is something to look at.
        """
        cdef uint64_t *came = self.words.at(mine)
        cdef uint64_t generation, bell
        cdef bint through
        if dsm_load(self.broken):
            return REFUSED
        generation = dsm_load(self.generation)
        dsm_store(came, generation + 1)
        if dsm_add(self.arrived, 1) + 1 == self.size * (generation + 1):
            if dsm_load(self.broken):          # somebody was counted who was interrupted
                return REFUSED
            dsm_step(self.generation, generation, self.bell)
            return THROUGH
        if dsm_load(self.dead):
            return generation
        with nogil:
            through = dsm_watch(self.generation, generation, &self.patience)
            if not through:
                bell = dsm_announce(self.bell)
                if dsm_load(self.generation) == generation and not dsm_load(self.broken) and not dsm_load(self.finished):
                    dsm_sleep(self.bell, bell, seconds)
                through = dsm_load(self.generation) != generation
        return THROUGH if through else generation

    def complete(self, uint64_t generation):
        """End a generation, unless that was done already, and wake who sleeps."""
        dsm_step(self.generation, generation, self.bell)

    def alarm(self):
        """Wake all who sleep, even if somebody who is dead by now was about to."""
        dsm_alarm(self.bell)

    def announce(self):
        """Say that this thread is about to sleep; return the value of the bell to sleep on."""
        return dsm_announce(self.bell)

    def sleep(self, uint64_t bell, double seconds):
        """Sleep unless it was rung since `announce`; False if `seconds` went by."""
        cdef int problem
        with nogil:
            problem = dsm_sleep(self.bell, bell, seconds)
        return problem != ETIMEDOUT
