# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Messages: sending them, looking for them, and the steps of a region that has its home on another node.

It is compiled because these are the steps that each such region takes, at both ends, and because whoever waits takes
the processor from who is to answer.  MPI is known by the methods it is given.  Nothing in here runs code of Python's
between a number that is drawn and its message: no signal can stop a worker in between.

A packed message begins with a `Head`; what follows is read and written by `pydsm.native.twins`.  `pydsm.mpi.messages`
knows the same messages for all that is not done here.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_FromStringAndSize, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

from pydsm.native.twins cimport Lines, Twins, dsm_bytes, dsm_more

cdef extern from "sched.h" nogil:
    int sched_yield()

cdef extern from "Python.h":
    ctypedef struct PyThreadState
    ctypedef struct PyInterpreterState
    PyInterpreterState *PyInterpreterState_Get()
    PyThreadState *PyInterpreterState_ThreadHead(PyInterpreterState *interpreter)
    PyThreadState *PyThreadState_Next(PyThreadState *state)
    unsigned long PyThread_get_thread_ident()

cdef packed struct Head:
    uint8_t kind, flags
    uint16_t node
    uint32_t team, who
    uint64_t number, more

cdef enum:
    LOOKS = 3                  # between two yields: each yield is a turn that others get first
    PART = 16                  # before each part of what was written: the array's id, its length
    GIVEN = 16                 # before stripes that are given back: the array's id, how many
    ONE = 24                   # a wish for one stripe: the first, how many, its version

cdef enum:
    ACQUIRE = 1
    GRANT = 2
    RELEASE = 3
    SHARED = 1
    TAGS = 2

MESSAGE_KINDS = ACQUIRE, GRANT, RELEASE
"""What a packed message is, by its first byte."""
MESSAGE_FLAGS = SHARED, TAGS
"""In its second byte: that a region is shared; and the bit from which on the tag of the answer is."""


cdef inline double now() noexcept nogil:
    cdef timespec time
    clock_gettime(CLOCK_MONOTONIC, &time)
    return time.tv_sec + 1e-9 * time.tv_nsec


cdef inline bint alone() noexcept:
    """Say whether no other thread of this process runs Python."""
    return PyThreadState_Next(PyInterpreterState_ThreadHead(PyInterpreterState_Get())) == NULL


cdef uint32_t tickets = 0


def next_ticket():
    """Return the number of a request; never one of another run, whose answers may still come."""
    global tickets
    tickets += 1
    return tickets


cdef inline bytes message(dsm_bytes *to):
    return PyBytes_FromStringAndSize(to.bytes, to.used)


cdef int begin(dsm_bytes *to) except -1:
    """Make room for a head."""
    to.bytes, to.used, to.room = NULL, 0, 0
    if dsm_more(to, sizeof(Head)) == NULL:
        raise MemoryError("there is no memory for a message")
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
    """

    cdef object isend, improbe, any_source, byte, status, guard
    cdef readonly dict messages, sizes
    """How many messages of each kind were sent, and how many bytes."""
    cdef readonly list pending
    cdef Py_ssize_t rounds
    cdef bint has_sent

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
            if PyByteArray_GET_SIZE(content) < <Py_ssize_t> sizeof(Head):
                return done, found
            memcpy(&head, PyByteArray_AS_STRING(content), sizeof(Head))
            desk = desks.get(head.team) if head.kind == ACQUIRE or head.kind == RELEASE else None
            if desk is None or not (<Desk> desk).take(found[0], content):
                return done, found
            done += 1
            if now() >= until:
                return done, None


cdef class Caller:
    """What a worker asks of homes in few steps: one stripe; and what it gives back.

    Parameters
    ----------
    post : Post
    lines : Lines
    servers : list of int
        The rank that serves each node.
    server_tag, tag : int
        Of what goes there, and of answers.
    team, node, rank : int
        Who asks.
    take : callable, optional
        Does what another message wants that came meanwhile; without it nothing is asked here.
    wait, pull, settle : callable
        Waits for the answer to a ticket and brings it in, however long it takes; brings in what is new at a home;
        waits until all that was sent is gone.
    """

    cdef Post post
    cdef Lines lines
    cdef list servers
    cdef object server_tag, tag, other, wait, pull, settle
    cdef uint32_t team, rank
    cdef uint16_t node
    cdef uint8_t flags
    cdef readonly dict depths
    """How often a thread is in a stripe of another home: by thread, array and stripe."""

    def __init__(self, Post post not None, Lines lines not None, servers, server_tag, tag, team, node, rank, *, take,
                 wait, pull, settle):
        self.post, self.lines, self.servers, self.server_tag, self.tag = post, lines, list(servers), server_tag, tag
        self.team, self.node, self.rank, self.flags = team, node, rank, tag << TAGS
        self.other, self.wait, self.pull, self.settle = take, wait, pull, settle
        self.depths = {}

    cpdef bint enter(self, Py_ssize_t home, Twins twins, Py_ssize_t stripe, bint shared, double eager) except -1:
        """Have one stripe of another home for this thread, and its rows; False if this thread is not alone."""
        key = PyThread_get_thread_ident(), twins.array_id, stripe
        depth = self.depths.get(key, 0)
        if not depth:
            if self.other is None or not alone():
                return False
            self.have(home, twins, stripe, shared, eager)
        self.depths[key] = depth + 1
        return True

    cdef int have(self, Py_ssize_t home, Twins twins, Py_ssize_t stripe, bint shared, double eager) except -1:
        ticket = next_ticket()
        self.ask(home, twins, stripe, shared, ticket)
        found = self.grant(home, twins, ticket, eager)
        while isinstance(found, tuple):
            self.other(found[0], found[1])
            found = self.grant(home, twins, ticket, eager)
        if found is None:
            self.wait(home, twins, ticket)
        elif found:
            self.pull([home])                        # the answer was too old
        return 0

    cdef int ask(self, Py_ssize_t home, Twins twins, Py_ssize_t stripe, bint shared, uint32_t ticket) except -1:
        """Ask for one stripe, behind all that the home was told."""
        cdef dsm_bytes to
        cdef Head *head
        twins.check(stripe, stripe + 1)
        begin(&to)
        try:
            twins.write_known(stripe, stripe + 1, &to)
            head = <Head *> to.bytes
            head.kind, head.flags, head.node, head.team = ACQUIRE, self.flags | (SHARED if shared else 0), self.node, self.team
            head.who, head.number, head.more = ticket, self.lines.number_sent(home), twins.array_id
            content = message(&to)
        finally:
            free(to.bytes)
        return self.post.send(self.servers[home], self.server_tag, "acquire", content)

    cdef object grant(self, Py_ssize_t home, Twins twins, uint32_t ticket, double eager):
        """Wait some seconds for the grant of a stripe, and bring in what is new of it.

        Returns another message that has come as a tuple, the stripes of which the grant was too old as a list, or None.
        """
        cdef Head head
        cdef bytearray content
        cdef const char *at
        found = self.post.take(self.tag, eager)
        if found is None:
            return None
        content = found[1]
        if PyByteArray_GET_SIZE(content) < <Py_ssize_t> sizeof(Head):
            return found
        at = PyByteArray_AS_STRING(content)
        memcpy(&head, at, sizeof(Head))
        if head.kind != GRANT or head.who != ticket:
            return found
        self.lines.know_heard(home, head.number)
        return twins.merge_block(self.lines, home, at + sizeof(Head), PyByteArray_GET_SIZE(content) - sizeof(Head),
                                 head.number)

    cpdef int leave(self, Py_ssize_t home, Twins twins, Py_ssize_t first, Py_ssize_t stop, bint written) except -1:
        """Take home what was written in neighbouring stripes, and give back those that this thread has no more."""
        cdef list given = [stripe for stripe in range(first, stop) if self.count_left(twins.array_id, stripe)]
        with self.post.guard:                        # whoever waits for it may run a signal's handler
            self.tell(home, twins, first, stop, written, given)
        if self.post.pending:
            self.settle()
        return 0

    cpdef bint count_left(self, array_id, stripe) except -1:
        """Count that this thread leaves a stripe; say whether it has it no more."""
        key = PyThread_get_thread_ident(), array_id, stripe
        depth = self.depths.pop(key) - 1
        if depth:
            self.depths[key] = depth
        return not depth

    cdef int tell(self, Py_ssize_t home, Twins twins, Py_ssize_t first, Py_ssize_t stop, bint written,
                  list given) except -1:
        cdef dsm_bytes to
        cdef Head *head
        cdef uint64_t number, length
        cdef uint64_t words[2]
        cdef int64_t stripe
        cdef char *at
        begin(&to)
        try:
            number = self.lines.write(home, [(twins, first, stop)] if written else [], bool(given), &to)
            if not number:
                return 0
            length = to.used - sizeof(Head)
            if given:
                at = dsm_more(&to, GIVEN + 8 * len(given))
                if at == NULL:
                    raise MemoryError(f"there is no memory for a message of {to.used} bytes")
                words[0], words[1] = twins.array_id, len(given)
                memcpy(at, words, GIVEN)
                at += GIVEN
                for stripe in given:
                    memcpy(at, &stripe, 8)
                    at += 8
            head = <Head *> to.bytes
            head.kind, head.flags, head.node, head.team = RELEASE, 0, self.node, self.team
            head.who, head.number, head.more = self.rank, number, length
            content = message(&to)
        finally:
            free(to.bytes)
        return self.post.send(self.servers[home], self.server_tag, "release", content)


cdef class HomedRegion:
    """Neighbouring stripes of one home, as a worker of several nodes enters them.

    At home it is the native region, and at its end its stripes get a new version if anything was written.  Elsewhere
    one message asks for the stripes and one takes what was written; the native lock word of this node, which is free
    once the home has granted the stripes, says to nested regions and to people who has them.

    Parameters
    ----------
    region : Region
    engine : pydsm.mpi.engine.Engine
    caller : Caller
    twins : Twins
    home, first, stop : int
        Of the stripes.
    here : bool
        Whether this is their home.
    eager : float
        Seconds to yield while a stripe's grant is awaited.
    """

    cdef readonly object region
    cdef object engine
    cdef Caller caller
    cdef Twins twins
    cdef Py_ssize_t home, first, stop
    cdef bint here
    cdef double eager
    cdef unsigned long thread

    def __init__(self, region, engine, Caller caller not None, Twins twins not None, home, first, stop, here, eager):
        self.region, self.engine, self.caller, self.twins = region, engine, caller, twins
        self.home, self.first, self.stop, self.here, self.eager = home, first, stop, here, eager

    def __enter__(self):
        region = self.region
        if self.here or region.entered:
            return region.__enter__()
        if self.stop - self.first > 1 or region.timeout is not None                 or not self.caller.enter(self.home, self.twins, self.first, region.shared, self.eager):
            self.engine.enter(self.home, region, range(self.first, self.stop))
        try:
            view = region.__enter__()
        except BaseException:
            self.caller.leave(self.home, self.twins, self.first, self.stop, False)
            raise
        self.thread = PyThread_get_thread_ident()
        return view

    def __exit__(self, kind, error, trace):
        region = self.region
        try:
            if self.here:
                if not region.shared:
                    self.caller.lines.note(self.home, [(self.twins, self.first, self.stop)])
            elif region.entered and self.thread == PyThread_get_thread_ident():
                self.caller.leave(self.home, self.twins, self.first, self.stop, not region.shared)
        finally:
            region.__exit__(kind, error, trace)

    def held(self):
        """Say whether this thread holds all the rows, in this mode or a stronger one."""
        return self.region.held()

    @property
    def timeout(self):
        """Seconds that entering may wait."""
        return self.region.timeout

    @timeout.setter
    def timeout(self, timeout):
        self.region.timeout = timeout

    def __getattr__(self, name):
        return getattr(self.region, name)

    def __repr__(self):
        return repr(self.region)


cdef class Desk:
    """What a home does at once: stripes that are free, and stripes that are given back in their turn.

    Parameters
    ----------
    post : Post
    lines : Lines
    home : int
        This node.
    applied : list of int
        The number of the last message of each node that was done.
    locks : dict of int to StripeLocks
        By array.
    twins : dict of int to Twins
        By array.
    held : dict
        Who has a stripe of an array: a rank, or how often which ranks share it.
    lines_of : dict
        Who waits for a stripe of an array.
    early : list
        Messages that came before what they need.
    give, share, go_on : callable
        Take back what a rank shares; note that it shares a stripe; do what came too early.
    """

    cdef Post post
    cdef Lines lines
    cdef Py_ssize_t home
    cdef list applied, early
    cdef dict locks, twins, held, waited
    cdef object give, share, go_on

    def __init__(self, Post post not None, Lines lines not None, home, applied, locks, twins, held, waited, early, *,
                 give, share, go_on):
        self.post, self.lines, self.home, self.applied = post, lines, home, applied
        self.locks, self.twins, self.held, self.waited, self.early = locks, twins, held, waited, early
        self.give, self.share, self.go_on = give, share, go_on

    cpdef bint take(self, source, bytearray content) except -1:
        """Do what a message wants, if that can be done at once; say so."""
        cdef Head head
        cdef const char *at = PyByteArray_AS_STRING(content)
        cdef Py_ssize_t length = PyByteArray_GET_SIZE(content) - sizeof(Head)
        memcpy(&head, at, sizeof(Head))
        at += sizeof(Head)
        if head.node >= len(self.applied):
            return False
        if head.kind == ACQUIRE:
            return length == ONE and self.grant(source, &head, at)
        if head.kind != RELEASE or head.number != <uint64_t> self.applied[head.node] + 1:
            return False
        if head.more > <uint64_t> length:
            raise ValueError(f"a message of {length} bytes cannot bring {head.more}")
        self.bring_in(at, head.more)
        self.take_back(head.who, at + head.more, length - head.more)
        self.applied[head.node] = head.number
        if self.early:
            self.go_on()
        return True

    cdef bint grant(self, source, Head *head, const char *at) except -1:
        """Grant a stripe that nobody has or waits for; say whether it was."""
        cdef uint64_t stripe
        cdef dsm_bytes to
        cdef Head *answer
        cdef bint shared = head.flags & SHARED
        locks = self.locks.get(head.more)
        if locks is None or <uint64_t> self.applied[head.node] < head.number:
            return False
        memcpy(&stripe, at, 8)
        key = head.more, stripe
        if key in self.held or key in self.waited:
            return False
        if not locks.try_take(self, stripe, locks.me(), shared, False):
            return False
        if shared:
            self.share(key, source)
        else:
            self.held[key] = source
        begin(&to)
        try:
            twins = self.twins.get(head.more)
            if twins is not None:
                (<Twins?> twins).write_newer(self.lines, self.home, at, ONE, &to)
            answer = <Head *> to.bytes
            answer.kind, answer.flags, answer.node, answer.team = GRANT, 0, 0, 0
            answer.who, answer.number, answer.more = head.who, self.applied[head.node], 0
            content = message(&to)
        finally:
            free(to.bytes)
        self.post.send(source, head.flags >> TAGS, "answer", content)
        return True

    cdef int bring_in(self, const char *at, int64_t length) except -1:
        """Bring in what was written: parts, each of one array."""
        cdef uint64_t part[2]
        while length >= PART:
            memcpy(part, at, PART)
            at += PART
            length -= PART
            if part[1] > <uint64_t> length:
                raise ValueError(f"a message of what was written has {length} bytes left where {part[1]} should be")
            twins = self.twins.get(part[0])
            if twins is not None:
                (<Twins?> twins).bring_in(self.lines, self.home, at, part[1], False)
            at += part[1]
            length -= part[1]
        if length:
            raise ValueError(f"a message of what was written has {length} bytes too many")
        return 0

    cdef int take_back(self, rank, const char *at, int64_t length) except -1:
        """Take stripes back from a rank."""
        cdef uint64_t words[2]
        cdef uint64_t stripe
        while length >= GIVEN:
            memcpy(words, at, GIVEN)
            at += GIVEN
            length -= GIVEN
            if words[1] > <uint64_t> length // 8:
                raise ValueError(f"a message of what is given back has {length} bytes left for {words[1]} stripes")
            locks = self.locks[words[0]]
            for _ in range(words[1]):
                memcpy(&stripe, at, 8)
                at += 8
                length -= 8
                key = words[0], stripe
                holder = self.held.get(key)
                if isinstance(holder, int):
                    del self.held[key]
                    locks.evict(stripe, locks.me())
                elif holder is not None:
                    self.give(rank, words[0], (stripe,))
        if length:
            raise ValueError(f"a message of what is given back has {length} bytes too many")
        return 0
