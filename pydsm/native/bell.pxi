@cython.final
cdef class Bell:
    """A word that threads sleep on until somebody rings it; `barrier.h` has the theory.

    Parameters
    ----------
    words : Words
    index : int
        The bell's word.
    """

    cdef Words words
    cdef uint64_t *bell

    def __cinit__(self, Words words not None, Py_ssize_t index):
        self.words, self.bell = words, words.at(index)

    def ring(self):
        """Wake who sleeps, or is about to."""
        dsm_ring(self.bell)

    def alarm(self):
        """Wake who sleeps, even if somebody who is dead by now was about to."""
        dsm_alarm(self.bell)

    def sleep_unless(self, Py_ssize_t index, uint64_t value, double seconds):
        """Sleep until a ring, or for `seconds` seconds, unless a word of the block is `value`; say whether it is then.

        A signal ends the sleep too.
        """
        cdef uint64_t *word = self.words.at(index)
        cdef uint64_t bell
        cdef bint same
        with nogil:
            bell = dsm_announce(self.bell)
            same = dsm_load(word) == value       # who changes it rings after
            if not same:
                dsm_sleep(self.bell, bell, seconds)
                same = dsm_load(word) == value
        return same
