# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""A worker's side of what is asked of homes all the time: one stripe, a few elements; and what is given back.

Nothing in here runs code of Python's between a number that is drawn and its message: no signal can stop a worker in
between.  What needs more steps is done by `pydsm.mpi.client` and `pydsm.mpi.engine`.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from pydsm.native.post cimport (
    ACQUIRE, ELEMENTS, FETCH, GIVEN, GRANT, RELEASE, RUN, SHARED, STORE, TAGS, Head, Post, begin, head_of, message,
)
from pydsm.native.twins cimport Lines, Twins, dsm_bytes, dsm_more

cdef extern from "unistd.h" nogil:
    int getpid()

cdef extern from "Python.h":
    ctypedef struct PyThreadState
    ctypedef struct PyInterpreterState
    PyInterpreterState *PyInterpreterState_Get()
    PyThreadState *PyInterpreterState_ThreadHead(PyInterpreterState *interpreter)
    PyThreadState *PyThreadState_Next(PyThreadState *state)
    unsigned long PyThread_get_thread_ident()


cdef int threads(int most) noexcept:
    """Return how many threads of this process run Python, if there are no more than so many."""
    cdef PyThreadState *state = PyInterpreterState_ThreadHead(PyInterpreterState_Get())
    cdef int count = 0
    while state != NULL and count <= most:
        count += 1
        state = PyThreadState_Next(state)
    return count


cdef enum:
    MOST = 1000                # threads that are counted

cdef uint32_t tickets = 0


def next_ticket():
    """Return the number of a request; never one of another run, whose answers may still come."""
    global tickets
    tickets = tickets + 1 or 1                       # 0 is none
    return tickets


cdef class Caller:
    """What a worker asks of homes in few steps.

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
    eager : float
        Seconds to look for an answer before somebody else waits for it.
    take : callable, optional
        Does what another message wants that came meanwhile; without it nothing is asked here.
    answer, wait, withdraw, pull, settle : callable
        Waits for the answer of a home to a ticket, however long it takes; the same, without giving it up when that is
        interrupted; gives stripes up or back, whether they have been granted or not; brings in what is new at homes;
        waits until all that was sent is gone.
    """

    cdef Post post
    cdef readonly Lines lines
    cdef list servers
    cdef object server_tag, tag, other, answer, wait, withdraw, pull, settle
    cdef uint32_t team, rank
    cdef uint16_t node
    cdef uint8_t flags
    cdef double eager
    cdef int others
    cdef readonly dict depths
    """How often a thread is in a stripe of another home: by thread, array and stripe; -1 while it waits for it."""

    def __init__(self, Post post not None, Lines lines not None, servers, server_tag, tag, team, node, rank, eager, *,
                 take, answer, wait, withdraw, pull, settle):
        self.post, self.lines, self.servers, self.server_tag, self.tag = post, lines, list(servers), server_tag, tag
        self.team, self.node, self.rank, self.flags, self.eager = team, node, rank, tag << TAGS, eager
        self.other, self.answer, self.wait, self.withdraw, self.pull = take, answer, wait, withdraw, pull
        self.settle = settle
        self.depths = {}
        self.others = threads(MOST)                  # that there are before the run begins: they receive nothing

    cdef inline bint may_ask(self) noexcept:
        """Say whether what comes here is for this thread, as far as one can see.

        If it is not, nothing is lost: who gets another's answer delivers it, which takes longer.
        """
        return self.other is not None and threads(self.others) <= self.others

    cdef bytearray await_answer(self, uint8_t kind, uint32_t ticket, Head *head):
        """Return the answer to a ticket, with its head read, if it comes soon; None if not."""
        cdef bytearray content
        while True:
            found = self.post.take(self.tag, self.eager)
            if found is None:
                return None
            content = found[1]
            head_of(content, head)
            if head.kind == kind and head.who == ticket:
                return content
            self.other(found[0], content)

    # -- stripes ------------------------------------------------------------------------------

    cpdef bint enter(self, Py_ssize_t home, Twins twins, Py_ssize_t stripe, bint shared) except -1:
        """Have one stripe of another home for this thread, and its rows; False if this thread is not alone."""
        key = PyThread_get_thread_ident(), twins.array_id, stripe
        depth = self.depths.get(key, 0)
        if depth < 0:                                # a signal's handler, in the middle of our own wait
            raise RuntimeError(f"stripe {stripe} cannot be had here: this very thread is waiting for it")
        if not depth:
            if not self.may_ask():
                return False
            self.depths[key] = -1
            try:
                self.have(home, twins, stripe, shared)
            except BaseException:
                del self.depths[key]
                raise
        self.depths[key] = depth + 1
        return True

    cdef int have(self, Py_ssize_t home, Twins twins, Py_ssize_t stripe, bint shared) except -1:
        cdef Head head
        cdef uint32_t ticket = next_ticket()
        cdef bint refused = False
        self.ask_for_stripe(home, twins, stripe, shared, ticket)
        try:
            content = self.await_answer(GRANT, ticket, &head)
            if content is None:
                answer = self.wait(home, ticket)
                refused = answer.error
                if refused:
                    raise answer.content
                self.lines.hear(home, answer.applied)
                old = twins.merge(self.lines, home, answer.content[1], answer.applied)
            else:
                self.lines.know_heard(home, head.number)
                old = twins.merge_block(self.lines, home, PyByteArray_AS_STRING(content) + sizeof(Head),
                                        PyByteArray_GET_SIZE(content) - sizeof(Head), head.number)
            if old:
                self.pull([home])                    # the answer was too old
        except BaseException:                        # a signal's handler, say; the grant may have been lost with it
            if not refused:
                self.withdraw(home, ticket, twins.array_id, [stripe], shared)
            raise
        return 0

    cdef int ask_for_stripe(self, Py_ssize_t home, Twins twins, Py_ssize_t stripe, bint shared,
                            uint32_t ticket) except -1:
        """Ask for one stripe, behind all that the home was told."""
        cdef dsm_bytes to
        twins.check(stripe, stripe + 1)
        begin(&to)
        try:
            twins.write_known(stripe, stripe + 1, &to)
            self.fill(<Head *> to.bytes, ACQUIRE, ticket, self.lines.number_sent(home), twins.array_id)
            (<Head *> to.bytes).flags |= SHARED if shared else 0
            content = message(&to)
        finally:
            free(to.bytes)
        return self.post.send(self.servers[home], self.server_tag, "acquire", content)

    cdef void fill(self, Head *head, uint8_t kind, uint32_t who, uint64_t number, uint64_t more) noexcept:
        head.kind, head.flags, head.node, head.team = kind, self.flags, self.node, self.team
        head.who, head.number, head.more = who, number, more

    cpdef int leave(self, Py_ssize_t home, Twins twins, Py_ssize_t first, Py_ssize_t stop, bint written) except -1:
        """Take home what was written in neighbouring stripes, and give back those that this thread has no more.

        Whatever is raised, they are given back.
        """
        cdef list given
        problem = self.take_guard()
        try:
            given = [stripe for stripe in range(first, stop) if self.count_left(twins.array_id, stripe)]
            try:
                self.tell(home, twins, first, stop, written, given)
            except MemoryError:                      # what was written is told when there is memory again
                self.tell(home, twins, first, stop, False, given)
                raise
        finally:
            self.post.guard.release()
        if self.post.pending:
            self.settle()
        if problem is not None:
            raise problem
        return 0

    cdef object take_guard(self):
        """Have the post for this thread; return what a signal's handler has raised meanwhile."""
        problem = None
        while True:
            try:
                self.post.guard.acquire()
                return problem
            except BaseException as error:
                problem = error

    cpdef bint count_left(self, array_id, stripe) except -1:
        """Count that this thread leaves a stripe; say whether it has it no more."""
        key = PyThread_get_thread_ident(), array_id, stripe
        depth = self.depths.pop(key, 0) - 1
        if depth > 0:
            self.depths[key] = depth
        return not depth

    cdef int tell(self, Py_ssize_t home, Twins twins, Py_ssize_t first, Py_ssize_t stop, bint written,
                  list given) except -1:
        cdef dsm_bytes to
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
            self.fill(<Head *> to.bytes, RELEASE, self.rank, number, length)
            content = message(&to)
        finally:
            free(to.bytes)
        return self.post.send(self.servers[home], self.server_tag, "release", content)

    # -- elements -----------------------------------------------------------------------------

    def fetch(self, Py_ssize_t home, Twins twins not None, uint64_t first, unsigned char[::1] memory not None):
        """Copy elements as they are at another home, after all that it was told, into memory.

        Parameters
        ----------
        home : int
        twins : Twins
        first : int
            The first unit.
        memory : buffer
            Of as many bytes as are wanted.

        Returns
        -------
        int or None
            How many messages of this node the home had had; None if this thread is not alone, and nothing was asked.
        """
        cdef dsm_bytes to
        cdef Head head
        cdef uint64_t run[2]
        cdef uint32_t ticket = next_ticket()
        cdef char *at
        if not self.may_ask():
            return None
        begin(&to)
        try:
            at = dsm_more(&to, RUN)
            if at == NULL:
                raise MemoryError("there is no memory for a message")
            run[0], run[1] = first, memory.shape[0] // twins.of.unit
            memcpy(at, run, RUN)
            self.fill(<Head *> to.bytes, FETCH, ticket, self.lines.number_sent(home), twins.array_id)
            content = message(&to)
        finally:
            free(to.bytes)
        self.post.send(self.servers[home], self.server_tag, "fetch", content)
        found = self.await_answer(ELEMENTS, ticket, &head)
        if found is None:
            answer = self.answer(home, ticket)
            applied, elements = answer.applied, answer.content
        else:
            applied, elements = head.number, found[sizeof(Head):]
        cdef const unsigned char[::1] news = elements
        if news.shape[0] != memory.shape[0]:
            raise ValueError(f"home {home} answers with {news.shape[0]} bytes where {memory.shape[0]} are wanted")
        memory[:] = news
        return applied

    def store(self, Py_ssize_t home, Twins twins not None, uint64_t first, const unsigned char[::1] memory not None):
        """Write elements here and at their home; return whether it was done: not if this thread is not alone."""
        cdef dsm_bytes to
        cdef Head head
        cdef uint64_t run[2]
        cdef uint32_t ticket = next_ticket()
        cdef char *at
        if not self.may_ask():
            return False
        begin(&to)
        try:
            at = dsm_more(&to, RUN + memory.shape[0])
            if at == NULL:
                raise MemoryError(f"there is no memory for a message of {memory.shape[0]} bytes")
            run[0], run[1] = first, memory.shape[0] // twins.of.unit
            memcpy(at, run, RUN)
            if memory.shape[0]:
                memcpy(at + RUN, &memory[0], memory.shape[0])
            content = message(&to)                   # while nothing is written: from here on nothing may fail
        finally:
            free(to.bytes)
        at = PyBytes_AS_STRING(content)
        with self.post.guard:
            number = twins.write_here(self.lines, home, at + sizeof(Head), RUN + memory.shape[0])
            self.fill(<Head *> at, STORE, ticket, number, twins.array_id)
            self.post.send(self.servers[home], self.server_tag, "store", content)
        if self.post.pending:
            self.settle()
        found = self.await_answer(GRANT, ticket, &head)
        if found is not None:
            self.lines.know_heard(home, head.number)
            return True
        answer = self.wait(home, ticket)             # it is on its way, and not to be given up
        if answer.error:
            raise answer.content
        self.lines.hear(home, answer.applied)
        return True


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
    """

    cdef readonly object region
    cdef object engine
    cdef Caller caller
    cdef Twins twins
    cdef Py_ssize_t home, first, stop
    cdef bint here
    cdef unsigned long thread
    cdef int process

    def __init__(self, region, engine, Caller caller not None, Twins twins not None, home, first, stop, here):
        self.region, self.engine, self.caller, self.twins = region, engine, caller, twins
        self.home, self.first, self.stop, self.here = home, first, stop, here

    def __enter__(self):
        region = self.region
        if self.here or region.entered:
            return region.__enter__()
        if self.stop - self.first > 1 or region.timeout is not None                 or not self.caller.enter(self.home, self.twins, self.first, region.shared):
            self.engine.enter(self.home, region, range(self.first, self.stop))
        try:
            view = region.__enter__()
        except BaseException:
            self.caller.leave(self.home, self.twins, self.first, self.stop, False)
            raise
        self.thread, self.process = PyThread_get_thread_ident(), getpid()
        return view

    def __exit__(self, kind, error, trace):
        region = self.region
        try:
            if self.here:
                if not region.shared:
                    self.caller.lines.note(self.home, [(self.twins, self.first, self.stop)])
            elif region.entered and self.thread == PyThread_get_thread_ident() and self.process == getpid():
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
