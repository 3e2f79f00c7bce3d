# What the table of participants says of those who wait, as native code reads it.


@cython.final
cdef class Sleepers:
    """Who waits for what, and who is being woken.

    Parameters
    ----------
    slots : ndarray of uint64
        The slots of all participants, one behind the other.
    size, wait, target, kind, permit : int
        Words of a slot, and which of them say that it waits, for what, how, and that a
        wake-up is under way.
    exclusive : tuple of int
        The two kinds of waits for a stripe that let nobody else in.
    """

    cdef uint64_t *slots
    cdef Py_ssize_t count, size, wait, target, kind, permit
    cdef uint64_t exclusive, recovering
    cdef object keep

    def __cinit__(self, cnp.ndarray slots not None, *, Py_ssize_t size, Py_ssize_t wait, Py_ssize_t target,
                  Py_ssize_t kind, Py_ssize_t permit, tuple exclusive not None):
        self.slots, self.keep = <uint64_t *> cnp.PyArray_DATA(slots), slots
        self.count = slots.shape[0] // size
        self.size, self.wait, self.target, self.kind, self.permit = size, wait, target, kind, permit
        self.exclusive, self.recovering = exclusive

    cdef bint is_one_up(self, const uint64_t *line, const uint64_t *lot, uint64_t target) noexcept:
        """Say whether nobody has to be woken for a stripe that was held exclusively until now.

        So it is if all who wait for it want it for themselves and one of them has a permit:
        it clears that before it looks, so it has not looked since the release.  (The
        permit of somebody who died in its sleep costs the others a delay.)  And so it is if
        somebody who does not wait was faster: it wakes the next when it leaves.
        """
        cdef const uint64_t *slot
        cdef uint64_t bits, kind, holder
        cdef Py_ssize_t word, number
        cdef bint up = False
        for word in range(DSM_LINE_WORDS):
            bits = dsm_load(lot + word)
            while bits:
                number = 64 * word + dsm_lowest(bits)
                bits &= bits - 1
                slot = self.slots + number * self.size
                if number >= self.count or dsm_load(slot + self.wait) == 0 or dsm_load(slot + self.target) != target:
                    continue
                kind = dsm_load(slot + self.kind)
                if kind != self.exclusive and kind != self.recovering:
                    return False
                up = up or dsm_load(slot + self.permit) == 1
        holder = dsm_load(line)
        if holder == 0:
            return up
        if holder > <uint64_t> self.count:           # abandoned: they all have to know
            return False
        return not dsm_load(lot + ((holder - 1) >> 6)) & dsm_bit(holder)
