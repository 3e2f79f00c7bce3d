# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Messages: sending them and looking for them.

It is compiled, as are `pydsm.native.caller` and `pydsm.native.desk`, because these are the steps that each region of
another node takes, at both ends, and because whoever waits takes the processor from who is to answer.  MPI is known by
the methods it is given.

A packed message begins with a `Head`; what follows is read and written by `pydsm.native.twins`.  `pydsm.mpi.messages`
knows the same messages for all that is not done in native code.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_FromStringAndSize
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from pydsm.native.twins cimport dsm_bytes, dsm_more

cdef extern from "sched.h" nogil:
    int sched_yield()

cdef enum:
    LOOKS = 3                  # between two yields: each yield is a turn that others get first

MESSAGE_KINDS = {
    "acquire": ACQUIRE, "grant": GRANT, "release": RELEASE, "fetch": FETCH, "elements": ELEMENTS, "store": STORE,
}
"""What a packed message is, by its first byte."""
MESSAGE_FLAGS = SHARED, TAGS
"""In its second byte: that a region is shared; and the bit from which on the tag of the answer is."""


cdef inline double now() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec + 1e-9 * time.tv_nsec


cdef bytes message(dsm_bytes *to):
    """Return what was written down."""
    return PyBytes_FromStringAndSize(to.bytes, to.used)


cdef Head *begin(dsm_bytes *to) except NULL:
    """Begin to write a message down, with an empty head; what is written next may move it."""
    to.bytes, to.used, to.room = NULL, 0, 0
    cdef Head *head = <Head *> dsm_more(to, sizeof(Head))
    if head == NULL:
        raise MemoryError("there is no memory for a message")
    head.kind, head.flags, head.node, head.team, head.who, head.number, head.more = 0, 0, 0, 0, 0, 0, 0
    return head


cdef int head_of(bytearray content, Head *head) except -1:
    """Read the head of a message; what is none, because it is too short, is a pickle."""
    if PyByteArray_GET_SIZE(content) < <Py_ssize_t> sizeof(Head):
        head.kind = PICKLED
    else:
        memcpy(head, PyByteArray_AS_STRING(content), sizeof(Head))
    return 0


cdef class Post:
    """Messages of bytes from and to any rank.

    Parameters
    ----------
    isend, improbe : callable
        Of MPI's communicator.
    any_source, byte, status : object
        MPI's.
    guard : RLock
        Of all that is done with the communicator.

    Attributes
    ----------
    messages, sizes : dict of str to int
        How many messages of each kind were sent, and how many bytes.
    pending : list
        What was sent and is not gone yet.
    """

    def __init__(self, isend, improbe, any_source, byte, status, guard):
        self.isend, self.improbe, self.any_source, self.byte, self.status = isend, improbe, any_source, byte, status
        self.guard, self.pending = guard, []
        self.messages, self.sizes = {}, {}

    cpdef int count(self, str kind, Py_ssize_t size) except -1:
        """Count a message of a kind, and its bytes."""
        self.messages[kind] = self.messages.get(kind, 0) + 1
        self.sizes[kind] = self.sizes.get(kind, 0) + size
        return 0

    def take_rounds(self):
        """Return how often something has come after something was sent, since this was called before."""
        rounds, self.rounds, self.has_sent = self.rounds, 0, False
        return rounds

    cpdef int send(self, rank, tag, str kind, bytes content) except -1:
        """Send bytes; a large message may be still under way on return: it is in `pending`."""
        with self.guard:
            self.has_sent = True
            self.count(kind, len(content))
            request = self.isend((content, self.byte), rank, tag)
            if not request.Test():
                self.pending.append((request, content))
        return 0

    cpdef bint flush(self) except -1:
        """Push on with what is being sent; say whether all of it is gone."""
        if self.pending:
            with self.guard:
                self.pending[:] = [sent for sent in self.pending if not sent[0].Test()]
        return not self.pending

    cpdef tuple take(self, tag, double eager=0):
        """Return who sent a message, and its bytes, if one is there or comes within some seconds of yielding."""
        cdef double until = now() + eager if eager else 0
        cdef int turn = 0
        with self.guard:
            if self.pending and not self.flush():
                eager = 0
            while True:
                found = self.improbe(self.any_source, tag, self.status)
                if found is not None:
                    content = PyByteArray_FromStringAndSize(NULL, self.status.Get_count(self.byte))
                    source = self.status.Get_source()
                    found.Recv((content, self.byte))
                    self.rounds += self.has_sent
                    self.has_sent = False
                    return source, content
                if not eager or now() >= until:
                    return None
                turn += 1
                if turn % LOOKS == 0:
                    with nogil:
                        sched_yield()

    def serve(self, tag, double eager, double until, dict desks):
        """Take messages and have them done, as long as they are of a kind that a desk does at once.

        Parameters
        ----------
        tag : int
        eager : float
            Seconds to look for each.
        until : float
            When to come back, on the monotonic clock.
        desks : dict of int to Desk
            By team.

        Returns
        -------
        done : int
            How many messages.
        found : tuple or None
            One that is for somebody else.
        """
        cdef Py_ssize_t done = 0
        cdef Head head
        cdef bytearray content
        while True:
            found = self.take(tag, eager)
            if found is None:
                return done, None
            content = found[1]
            head_of(content, &head)
            desk = desks.get(head.team) if head.kind < PICKLED else None
            if desk is None or not desk.take(found[0], content):
                return done, found
            done += 1
            if now() >= until:
                return done, None
