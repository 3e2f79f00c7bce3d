# cython: language_level=3, embedsignature=True
"""Looking for messages: the loop that a process is in while it waits for one.

It is compiled because whoever waits takes the processor from who is to answer: a look costs a third of what it
costs in Python.  It knows MPI by the methods it is given.
"""

from cpython.bytearray cimport PyByteArray_FromStringAndSize
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cdef extern from "sched.h" nogil:
    int sched_yield()

cdef enum:
    LOOKS = 3                  # between two yields: each yield is a turn that others get first


cdef inline double now() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec + 1e-9 * time.tv_nsec


cdef class Mailbox:
    """Messages of bytes from any rank.

    Parameters
    ----------
    improbe : callable
        ``Comm.Improbe``.
    any_source, byte, status : object
        MPI's, for it.
    """

    cdef object improbe, any_source, byte, status

    def __init__(self, improbe, any_source, byte, status):
        self.improbe, self.any_source, self.byte, self.status = improbe, any_source, byte, status

    def take(self, tag, double eager=0):
        """Return who sent a message, and its bytes, if one is there or comes within some seconds of yielding."""
        cdef double until = now() + eager if eager else 0
        cdef int turn = 0
        while True:
            found = self.improbe(self.any_source, tag, self.status)
            if found is not None:
                content = PyByteArray_FromStringAndSize(NULL, self.status.Get_count(self.byte))
                source = self.status.Get_source()
                found.Recv([content, self.byte])
                return source, content
            if not eager or now() >= until:
                return None
            turn += 1
            if turn % LOOKS == 0:
                with nogil:
                    sched_yield()
