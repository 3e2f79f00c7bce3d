# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""A home's side of what is asked all the time, and done at once: stripes that are free, messages in their turn.

What cannot be done at once, or is asked seldom, is left to `pydsm.mpi.home`.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from pydsm.native.post cimport (
    ACQUIRE, ELEMENTS, FETCH, GIVEN, GRANT, ONE, PART, RELEASE, RUN, SHARED, STORE, TAGS, Head, Post, begin, head_of,
    message,
)
from pydsm.native.twins cimport Lines, Twins, dsm_bytes


cdef class Desk:
    """What a home does at once.

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
        Who has a stripe of an array: a rank and, in the lower 32 bits, by which ticket; or how often which ranks share it.
    waited : dict
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
        cdef const char *at = PyByteArray_AS_STRING(content) + sizeof(Head)
        cdef Py_ssize_t length = PyByteArray_GET_SIZE(content) - sizeof(Head)
        head_of(content, &head)
        if head.kind == ACQUIRE:
            return length == ONE and self.has_had(&head) and self.grant(source, &head, at)
        if head.kind == FETCH:
            return length == RUN and self.has_had(&head) and self.fetch(source, &head, at)
        if head.kind != RELEASE and head.kind != STORE or head.node >= len(self.applied) \
                or head.number != <uint64_t> self.applied[head.node] + 1:
            return False
        if head.kind == RELEASE:
            if head.more > <uint64_t> length:
                raise ValueError(f"a message of {length} bytes cannot bring {head.more}")
            self.bring_in(at, head.more)
            self.take_back(head.who, at + head.more, length - head.more)
        else:
            twins = self.twins.get(head.more)
            if twins is not None:
                (<Twins?> twins).bring_in(self.lines, self.home, at, length, False)
        self.applied[head.node] = head.number
        if head.kind == STORE:
            self.say(source, &head, GRANT, None, NULL, 0)
        if self.early:
            self.go_on()
        return True

    cdef inline bint has_had(self, Head *head) except -1:
        """Say whether this home has had all that the asker's node told it before."""
        return head.node < len(self.applied) and <uint64_t> self.applied[head.node] >= head.number

    cdef int say(self, source, Head *asked, int kind, Twins twins, const char *wish, int64_t length) except -1:
        """Answer a message, with what its wish is for."""
        cdef dsm_bytes to
        cdef Head *head
        begin(&to)
        try:
            if twins is None:
                pass
            elif kind == GRANT:
                twins.write_newer(self.lines, self.home, wish, length, &to)
            else:
                twins.write_elements(wish, &to)
            head = <Head *> to.bytes
            head.kind, head.who, head.number = kind, asked.who, self.applied[asked.node]
            content = message(&to)
        finally:
            free(to.bytes)
        return self.post.send(source, asked.flags >> TAGS, "answer", content)

    cdef bint fetch(self, source, Head *head, const char *at) except -1:
        """Answer with elements; say whether there are any."""
        twins = self.twins.get(head.more)
        if twins is None:
            return False
        self.say(source, head, ELEMENTS, twins, at, RUN)
        return True

    cdef bint grant(self, source, Head *head, const char *at) except -1:
        """Grant a stripe that nobody has or waits for; say whether it was."""
        cdef uint64_t stripe
        cdef bint shared = head.flags & SHARED
        locks = self.locks.get(head.more)
        if locks is None:
            return False
        memcpy(&stripe, at, 8)
        key = head.more, stripe
        if key in self.held or key in self.waited:
            return False
        try:
            if not locks.try_take(self, stripe, locks.me(), shared, False):
                return False
        except Exception:                            # an abandoned stripe, say: who asks is told so
            return False
        if shared:
            self.share(key, source, head.who)
        else:
            self.held[key] = (<uint64_t> source) << 32 | head.who
        try:
            self.say(source, head, GRANT, self.twins.get(head.more), at, ONE)
        except Exception:                            # no memory, say
            self.give(source, head.more, (stripe,))
            return False
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
                    if <uint64_t> holder >> 32 == <uint64_t> rank:
                        del self.held[key]
                        locks.evict(stripe, locks.me())
                elif holder is not None:
                    self.give(rank, words[0], (stripe,))
        if length:
            raise ValueError(f"a message of what is given back has {length} bytes too many")
        return 0
