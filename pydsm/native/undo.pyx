# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""What elements were when a region was entered, kept where it outlives the process.

The copy counts from the store that arms it to the one that disarms it.  Both are single
stores, and nothing here runs Python code, so neither death nor a KeyboardInterrupt can
come in between: an update is undone as a whole or stands as a whole.
"""

cimport numpy as cnp
from libc.stdint cimport uint64_t

cdef extern from "atomic.h" nogil:
    void dsm_store(uint64_t *p, uint64_t v)

cnp.import_array()


cdef class UndoRecord:
    """A copy of elements, and the word that says whether it counts.

    Parameters
    ----------
    word : ndarray of uint64
        In shared memory: 0 while disarmed, else the record's number.
    number : int
        Higher than that of every record armed before it.
    pieces : list of tuple
        (elements, rows or None for all of them, copy).
    """

    cdef uint64_t *word
    cdef uint64_t number
    cdef object keep
    cdef list pieces
    cdef object __weakref__

    def __cinit__(self, cnp.ndarray word not None, uint64_t number, list pieces not None):
        self.word = <uint64_t *> cnp.PyArray_DATA(word)
        self.number, self.keep, self.pieces = number, word, pieces

    def arm(self):
        """From now on, whoever finds this process dead puts the elements back."""
        dsm_store(self.word, self.number)

    def end(self, bint failed):
        """Put the elements back if the update failed; then the copy counts no more."""
        try:
            if failed:
                for elements, rows, copy in self.pieces:
                    elements[... if rows is None else rows] = copy
        finally:
            dsm_store(self.word, 0)
