# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Twins and diffs of the replica that a node of several has: finding, telling, hearing what was written.

`twins.h` has the rules of bits, `pydsm.mpi.replica` what twins and versions mean.  Everything that changes a
twin or a version is done in here, inside the latch of the home it is about; everything that goes into a
message is written down here and read here.
"""

cimport numpy as cnp
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.stdint cimport int64_t, uint32_t, uint64_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

cdef extern from "twins.h" nogil:
    enum: DSM_BLOCK_RECORD
    uint64_t dsm_load(const uint64_t *p)
    void dsm_store(uint64_t *p, uint64_t v)
    void dsm_fence()
    void dsm_latch(uint64_t *word)
    void dsm_unlatch(uint64_t *word)
    int64_t dsm_first_unlike(const char *a, const char *b, int64_t at, int64_t stop, int64_t unit)
    int dsm_take(const dsm_twins *t, int64_t start, int64_t stop, uint64_t number, uint64_t *sent, dsm_bytes *to,
                 int64_t *last)
    int dsm_put(const dsm_twins *t, const char *at, const char *stop, uint64_t *line, uint64_t *number)
    int dsm_receive(const dsm_twins *t, const char *at, const char *stop, uint64_t *latch, int at_once)
    int64_t dsm_measure(const dsm_twins *t, int64_t start, int64_t stop)
    uint64_t dsm_add(uint64_t *p, uint64_t v)
    void dsm_merge(const dsm_twins *t, const char *news, int64_t start, int64_t stop)
    void dsm_read_units(char *to, const char *source, int64_t bytes, int64_t unit)
    void dsm_lay_over(const dsm_twins *t, char *news, int64_t start, int64_t stop)
    int64_t dsm_stripe_bytes(const dsm_twins *t, int64_t stripe)

cdef extern from "element.h" nogil:
    enum: DSM_B1, DSM_I1, DSM_I2, DSM_I4, DSM_I8, DSM_U1, DSM_U2, DSM_U4, DSM_U8, DSM_F4, DSM_F8
    enum: DSM_ADD, DSM_MUL, DSM_MIN, DSM_MAX, DSM_AND, DSM_OR, DSM_XOR
    ctypedef struct dsm_updates:
        char *base
        Py_ssize_t stride, rows
        const Py_ssize_t *index
        Py_ssize_t first, step, count, columns
        const Py_ssize_t *offset
        const char *value
        Py_ssize_t value_stride
        const Py_ssize_t *value_offset
    Py_ssize_t dsm_update(int kind, int op, const dsm_updates *u, void *own, Py_ssize_t start)

cnp.import_array()

cdef dict KINDS = {
    "b1": DSM_B1, "i1": DSM_I1, "i2": DSM_I2, "i4": DSM_I4, "i8": DSM_I8, "u1": DSM_U1, "u2": DSM_U2, "u4": DSM_U4,
    "u8": DSM_U8, "f4": DSM_F4, "f8": DSM_F8,
}
cdef dict OPS = {
    "add": DSM_ADD, "mul": DSM_MUL, "min": DSM_MIN, "max": DSM_MAX, "and": DSM_AND, "or": DSM_OR, "xor": DSM_XOR,
}

cdef enum:
    LINE = 8                   # words that a node keeps of each home: latch, sent, heard, held back
    PART = 16                  # before each part of a message: the array's id and the length
    MOST = 1 << 18
    COPIES = 6                 # of a message: as it grows, as bytes, with its head, and MPI's

HELD = MOST
"""Bytes that are compared while others wait for the latch."""


def lines_for(Py_ssize_t homes):
    """Return how many words a node keeps of so many homes."""
    return homes * LINE


cdef class Lines:
    """What the processes of a node share of each home: a latch, and the numbers of messages.

    Parameters
    ----------
    words : ndarray of uint64
        `lines_for` of them, in shared memory.
    """

    def __cinit__(self, cnp.ndarray words not None):
        self.words = <uint64_t *> cnp.PyArray_DATA(words)
        self.homes = words.shape[0] // LINE
        self.keep = words

    cdef uint64_t *line(self, Py_ssize_t home) except NULL:
        if home < 0 or home >= self.homes:
            raise IndexError(f"home {home} is none of {self.homes}")
        return self.words + home * LINE

    def sent(self, Py_ssize_t home):
        """Return the number of the last message that this node has told the home."""
        return self.number_sent(home)

    cdef uint64_t number_sent(self, Py_ssize_t home) except? 0:
        return dsm_load(self.line(home) + 1)

    def heard(self, Py_ssize_t home):
        """Return the number of the last message that the home is known to have had."""
        return dsm_load(self.line(home) + 2)

    def hear(self, Py_ssize_t home, uint64_t number):
        """Know that the home has had a message, and those before it."""
        self.know_heard(home, number)

    cdef int know_heard(self, Py_ssize_t home, uint64_t number) except -1:
        cdef uint64_t *line = self.line(home)
        if number > dsm_load(line + 2):              # who is overtaken here asks once more than it must
            dsm_store(line + 2, number)
        return 0

    def tell(self, Py_ssize_t home, list parts not None, bint always=False):
        """Write down what differs from its twin in some stripes as the next message to a home.

        Parameters
        ----------
        home : int
        parts : list of tuple
            (Twins, first stripe, stripe behind the last); or with an array of the stripes instead of the two.
        always : bool
            There is a message though nothing differs.

        Returns
        -------
        number : int
            Of the message; 0 if there is none.
        content : bytes
            For `Twins.receive`: parts, each with the array's id and its length before it.
        """
        cdef dsm_bytes to
        cdef uint64_t number
        to.bytes, to.used, to.room = NULL, 0, 0
        try:
            number = self.write(home, parts, always, &to)
            return number, PyBytes_FromStringAndSize(to.bytes, to.used)
        finally:
            free(to.bytes)

    cdef uint64_t write(self, Py_ssize_t home, list parts, bint always, dsm_bytes *to) except? 0:
        """Do what `tell` does, behind what is written already; return the number."""
        cdef uint64_t *line = self.line(home)
        cdef uint64_t number
        cdef bint done = True
        cdef list runs = [((<Twins?> part[0]), (<Twins> part[0]).runs(part)) for part in parts]
        self.foresee(runs)                           # a number that was drawn has to be sent
        dsm_latch(line)                              # until it is given up, nothing here can fail or run Python code
        number = line[1] + 1
        if always:
            dsm_store(line + 1, number)
        for twins, stripes in runs:
            done = done and (<Twins> twins).take(<list> stripes, number, line + 1, to)
        if line[1] != number:
            number = 0
        dsm_unlatch(line)
        if not done:
            raise MemoryError(f"there is no memory for a message of what was written, {to.used} bytes so far")
        return number

    cdef int foresee(self, list runs) except -1:
        """Raise MemoryError unless there is the memory that a message takes, with all copies of it."""
        cdef int64_t first, stop, size = 0
        cdef Twins twins
        for twins, stripes in runs:
            for first, stop in stripes:
                if (stop - first) * twins.of.stripe > MOST:
                    size += dsm_measure(&twins.of, twins.byte(first), twins.byte(stop))
        if size:
            room = malloc(COPIES * size)
            if room == NULL:
                raise MemoryError(f"there is no memory for a message of {size} bytes that were written")
            free(room)
        return 0

    def hold_back(self, Py_ssize_t home, int by):
        """Ask the others of this node, or no more, to stand back from telling a home: answers would always be too old."""
        dsm_add(self.line(home) + 3, <uint64_t> by)

    def stands_back(self, Py_ssize_t home):
        """Say whether somebody has asked for that."""
        return dsm_load(self.line(home) + 3) != 0

    def note(self, Py_ssize_t home, list parts not None):
        """At home: give the stripes in which something was written here a new version; parts as for `tell`."""
        cdef uint64_t *line = self.line(home)
        cdef int64_t first, stop, until
        cdef Twins twins
        for part in parts:
            twins = part[0]
            for first, stop in twins.runs(part):
                while first < stop:
                    until = min(stop, first + twins.at_once())
                    dsm_latch(line)
                    twins.note_run(first, until)
                    dsm_unlatch(line)
                    first = until


cdef class Twins:
    """The replica of one array and its twin, with the versions of its stripes.

    Parameters
    ----------
    array_id : int
    data, twin : ndarray of uint8
        All its bytes.
    versions, pushed : ndarray of uint64
        A word for each stripe.
    unit, stripe : int
        Bytes that are compared as one; bytes of a stripe.
    """

    def __cinit__(self, uint64_t array_id, cnp.ndarray data not None, cnp.ndarray twin not None,
                  cnp.ndarray versions not None, cnp.ndarray pushed not None, Py_ssize_t unit, Py_ssize_t stripe):
        if unit < 1 or stripe < 1 or stripe % unit or data.shape[0] != twin.shape[0]:
            raise ValueError(f"{data.shape[0]} and {twin.shape[0]} bytes have no stripes of {stripe} and units of {unit}")
        self.array_id, self.stripes = array_id, versions.shape[0]
        self.of.data, self.of.twin = <char *> cnp.PyArray_DATA(data), <char *> cnp.PyArray_DATA(twin)
        self.of.versions = <uint64_t *> cnp.PyArray_DATA(versions)
        self.of.pushed = <uint64_t *> cnp.PyArray_DATA(pushed)
        self.of.unit, self.of.stripe, self.of.size = unit, stripe, data.shape[0]
        self.keep = data, twin, versions, pushed

    # -- stripes ---------------------------------------------------------------------------

    cdef int check(self, int64_t first, int64_t stop) except -1:
        if first < 0 or first > stop or stop > self.stripes:
            raise IndexError(f"stripes {first} to {stop} are not among {self.stripes}")
        return 0

    cdef list runs(self, tuple part):
        """Return neighbouring stripes of a part as (first, stop)."""
        if len(part) == 3:
            self.check(part[1], part[2])
            return [(part[1], part[2])]
        found = []
        cdef int64_t first = -1, stop = -1, stripe
        for stripe in part[1]:
            if stripe != stop:
                if stop > first:
                    found.append((first, stop))
                first = stripe
            stop = stripe + 1
        if stop > first:
            found.append((first, stop))
        for first, stop in found:
            self.check(first, stop)
        return found

    cdef int64_t at_once(self) noexcept:
        return max(<int64_t> 1, MOST // self.of.stripe)

    cdef int64_t byte(self, int64_t stripe) noexcept:
        return min(self.of.size, stripe * self.of.stripe)

    def held(self, first, stop=None):
        """Return how many bytes are compared when some stripes are told."""
        return (len(first) if stop is None else stop - first) * self.of.stripe

    def version(self, Py_ssize_t stripe):
        """Return which version of a stripe is here."""
        self.check(stripe, stripe + 1)
        return dsm_load(self.of.versions + stripe)

    # -- out ---------------------------------------------------------------------------------

    def changed(self, Py_ssize_t first, Py_ssize_t stop):
        """Return which of the stripes differ from their twins now, as neighbours (first, stop); without the latch.

        No run is so long that to tell it would keep others waiting.
        """
        self.check(first, stop)
        cdef list found = []
        cdef int64_t at = self.byte(first), end = self.byte(stop), one, most = self.at_once()
        cdef int64_t begun = -1, last = -1
        while True:
            with nogil:
                at = dsm_first_unlike(self.of.data, self.of.twin, at, end, self.of.unit)
            if at >= end:
                if last > begun:
                    found.append((begun, last))
                dsm_fence()                          # what is read next is not older than this look
                return found
            one = at // self.of.stripe
            if one != last or one - begun >= most:
                if last > begun:
                    found.append((begun, last))
                begun = one
            last = one + 1
            at = self.byte(last)

    cdef bint take(self, list runs, uint64_t number, uint64_t *sent, dsm_bytes *to) noexcept:
        """Write one part of a message; False if there is no memory."""
        cdef int64_t begun = to.used, last = -1, first, stop
        cdef uint64_t length
        cdef char *head
        if dsm_more(to, PART) == NULL:
            return False
        for first, stop in runs:
            if not dsm_take(&self.of, self.byte(first), self.byte(stop), number, sent, to, &last):
                return False
        length = to.used - begun - PART
        if length == 0:
            to.used = begun
            return True
        head = to.bytes + begun
        memcpy(head, &self.array_id, 8)
        memcpy(head + 8, &length, 8)
        return True

    cdef void note_run(self, int64_t first, int64_t stop) noexcept:
        cdef int64_t last = -1
        dsm_take(&self.of, self.byte(first), self.byte(stop), 0, NULL, NULL, &last)

    # -- updates -----------------------------------------------------------------------------

    def update(self, Lines lines not None, Py_ssize_t home, cnp.ndarray stripes not None,
               cnp.ndarray positions not None, cnp.ndarray values not None, str op, bint numbered):
        """Combine values into elements, one after the other, and know what comes of it as told.

        Parameters
        ----------
        lines : Lines
        home : int
            Of all the elements.
        stripes : ndarray of intp
            Theirs, ascending, none twice.
        positions : ndarray of intp, contiguous
            Of the elements in the flattened array.
        values : ndarray, contiguous
            One for each element, or one for all, of the array's dtype.
        op : str
        numbered : bool
            This is to be told to the home; what was written to the stripes before goes with it.

        Returns
        -------
        number : int
            Of the message.
        content : bytes
            What was written before, as of `Lines.tell`.
        """
        cdef uint64_t *line = lines.line(home)
        cdef uint64_t number = 0
        cdef dsm_bytes to
        cdef dsm_updates u
        cdef bint done = True
        cdef Py_ssize_t i, item = values.itemsize
        cdef int kind = KINDS[f"{values.dtype.kind}{item}"], what = OPS[op]
        cdef list runs = self.runs((self, stripes))
        cdef cnp.npy_intp *which = <cnp.npy_intp *> cnp.PyArray_DATA(stripes)
        cdef cnp.npy_intp *place = <cnp.npy_intp *> cnp.PyArray_DATA(positions)
        cdef Py_ssize_t count = positions.shape[0], elements = self.of.size // item
        if values.shape[0] not in (1, count):
            raise ValueError(f"{values.shape[0]} values are not for {count} elements")
        for i in range(count):
            if place[i] < 0 or place[i] >= elements:
                raise IndexError(f"element {place[i]} is none of {elements}")
        u.base, u.stride, u.rows = self.of.data, item, elements
        u.index, u.first, u.step, u.count, u.columns = <Py_ssize_t *> place, 0, 1, count, 1
        u.offset, u.value_offset = NULL, NULL
        u.value, u.value_stride = <char *> cnp.PyArray_DATA(values), item if values.shape[0] == count else 0
        to.bytes, to.used, to.room = NULL, 0, 0
        dsm_latch(line)
        if numbered:
            number = line[1] + 1
            dsm_store(line + 1, number)
            done = self.take(runs, number, line + 1, &to)
        if done:
            dsm_update(kind, what, &u, NULL, 0)
            u.base = self.of.twin                    # not a copy: a worker's own update, not noted yet, stays unlike
            dsm_update(kind, what, &u, NULL, 0)
        for i in range(stripes.shape[0]):
            if number > self.of.pushed[which[i]]:
                dsm_store(self.of.pushed + which[i], number)
            dsm_store(self.of.versions + which[i], self.of.versions[which[i]] + 1)
        dsm_unlatch(line)
        try:
            if not done:
                raise MemoryError(f"there is no memory for a message of what was written, {to.used} bytes so far")
            return number, PyBytes_FromStringAndSize(to.bytes, to.used)
        finally:
            free(to.bytes)

    def put(self, Lines lines not None, Py_ssize_t home, const unsigned char[::1] diff not None):
        """Write a diff here that the home is told by a message; return the number of that."""
        return self.write_here(lines, home, <const char *> &diff[0] if diff.shape[0] else NULL, diff.shape[0])

    cdef uint64_t write_here(self, Lines lines, Py_ssize_t home, const char *at, int64_t length) except 0:
        cdef uint64_t number = 0
        if not dsm_put(&self.of, at, at + length, lines.line(home), &number):
            raise ValueError(f"a message of {length} bytes is no diff of array {self.array_id}")
        return number

    # -- in ----------------------------------------------------------------------------------

    cdef int64_t start_of(self, int64_t first, int64_t length) except -1:
        """Return at which byte a unit begins, from which on so many bytes are wanted."""
        if first < 0 or length % self.of.unit or first > (self.of.size - length) // self.of.unit or length > self.of.size:
            raise IndexError(f"{length} bytes from element {first} on are not in array {self.array_id}")
        return first * self.of.unit

    def read(self, int64_t first, unsigned char[::1] to not None):
        """At home: copy the elements from the unit `first` on as they are, each in one piece."""
        cdef int64_t start = self.start_of(first, to.shape[0]), length = to.shape[0]
        if length:
            with nogil:
                dsm_read_units(<char *> &to[0], self.of.data + start, length, self.of.unit)

    def lay_over(self, int64_t first, unsigned char[::1] news not None):
        """Put what was written here, and told nobody, over what a home has of the elements from the unit `first` on."""
        cdef int64_t start = self.start_of(first, news.shape[0]), length = news.shape[0]
        if length:
            with nogil:
                dsm_lay_over(&self.of, <char *> &news[0], start, start + length)

    def receive(self, Lines lines not None, Py_ssize_t home, const unsigned char[::1] diff not None,
                bint at_once=False):
        """At home: bring in what another node told; or, `at_once`, what a worker of this node puts."""
        self.bring_in(lines, home, <const char *> &diff[0] if diff.shape[0] else NULL, diff.shape[0], at_once)

    cdef int bring_in(self, Lines lines, Py_ssize_t home, const char *at, int64_t length, bint at_once) except -1:
        if not dsm_receive(&self.of, at, at + length, lines.line(home), at_once):
            raise ValueError(f"a message of {length} bytes is no diff of array {self.array_id}")
        return 0

    def wish(self, first, stop=None):
        """Return which versions of stripes are here, to ask a home for newer ones.

        Parameters
        ----------
        first, stop : int
            Neighbouring stripes; or, without `stop`, an array of stripes.
        """
        cdef int64_t one, end
        cdef dsm_bytes to
        to.bytes, to.used, to.room = NULL, 0, 0
        try:
            for one, end in self.runs((self, first) if stop is None else (self, first, stop)):
                self.write_known(one, end, &to)
            return PyBytes_FromStringAndSize(to.bytes, to.used)
        finally:
            free(to.bytes)

    cdef int write_known(self, int64_t first, int64_t stop, dsm_bytes *to) except -1:
        cdef int64_t run[2]
        cdef char *at = dsm_more(to, 16 + 8 * (stop - first))
        if at == NULL:
            raise MemoryError(f"there is no memory for a request for {stop - first} stripes")
        run[0], run[1] = first, stop - first
        memcpy(at, run, 16)
        memcpy(at + 16, self.of.versions + first, 8 * (stop - first))
        return 0

    @staticmethod
    def stripes_in(const unsigned char[::1] wish not None):
        """Return which stripes a wish is for, ascending."""
        cdef const char *at = <const char *> &wish[0] if wish.shape[0] else NULL
        cdef const char *end = at + wish.shape[0]
        cdef int64_t run[2]
        cdef list found = []
        while end - at >= 16:
            memcpy(run, at, 16)
            if run[0] < 0 or run[1] < 0 or run[1] > (end - at - 16) // 8:
                raise ValueError(f"a message of {wish.shape[0]} bytes is no wish for stripes")
            found.extend(range(run[0], run[0] + run[1]))
            at += 16 + 8 * run[1]
        return found

    def collect(self, Lines lines not None, Py_ssize_t home, const unsigned char[::1] wish not None):
        """At home: return what is newer than in a wish, for `merge`; empty if nothing is."""
        cdef dsm_bytes to
        to.bytes, to.used, to.room = NULL, 0, 0
        try:
            self.write_newer(lines, home, <const char *> &wish[0] if wish.shape[0] else NULL, wish.shape[0], &to)
            return PyBytes_FromStringAndSize(to.bytes, to.used)
        finally:
            free(to.bytes)

    cdef int write_newer(self, Lines lines, Py_ssize_t home, const char *at, int64_t length, dsm_bytes *to) except -1:
        cdef uint64_t *line = lines.line(home)
        cdef const char *end = at + length
        cdef int64_t run[2]
        cdef int64_t stripe, count
        cdef uint64_t known, version
        cdef char *room
        while end - at >= 16:
            memcpy(run, at, 16)
            at += 16
            if run[1] < 0 or run[1] > (end - at) // 8:
                raise ValueError(f"a message of {length} bytes is no wish for stripes")
            self.check(run[0], run[0] + run[1])
            for stripe in range(run[0], run[0] + run[1]):
                memcpy(&known, at, 8)
                at += 8
                if dsm_load(self.of.versions + stripe) == known:
                    continue
                count = dsm_stripe_bytes(&self.of, stripe)
                room = dsm_more(to, DSM_BLOCK_RECORD + count)
                if room == NULL:
                    raise MemoryError(f"there is no memory for an answer of {to.used + count} bytes")
                memcpy(room, &stripe, 8)
                dsm_latch(line)                      # a write that is noted after this has a newer version
                version = dsm_load(self.of.versions + stripe)
                # Not the replica: what is written there and not noted may be taken back, and no version would say so.
                memcpy(room + DSM_BLOCK_RECORD, self.of.twin + stripe * self.of.stripe, count)
                dsm_unlatch(line)
                memcpy(room + 8, &version, 8)
        return 0

    cdef int write_elements(self, const char *run, dsm_bytes *to) except -1:
        """At home: write down neighbouring units as they are, of a wish for the first and how many."""
        cdef uint64_t words[2]
        cdef uint64_t units = self.of.size // self.of.unit
        cdef char *room
        memcpy(words, run, 16)
        if words[1] > units or words[0] > units - words[1]:
            raise IndexError(f"{words[1]} elements from {words[0]} on are not in array {self.array_id}")
        room = dsm_more(to, words[1] * self.of.unit)
        if room == NULL:
            raise MemoryError(f"there is no memory for an answer with {words[1]} elements")
        dsm_read_units(room, self.of.data + words[0] * self.of.unit, words[1] * self.of.unit, self.of.unit)
        return 0

    def merge(self, Lines lines not None, Py_ssize_t home, const unsigned char[::1] block not None, uint64_t applied):
        """Bring in what a home has collected; return the stripes of which that is too old.

        Parameters
        ----------
        lines : Lines
        home : int
        block : bytes
        applied : int
            Number of the last message of this node that the home had had by then.
        """
        return self.merge_block(lines, home, <const char *> &block[0] if block.shape[0] else NULL, block.shape[0],
                                applied)

    cdef list merge_block(self, Lines lines, Py_ssize_t home, const char *at, int64_t length, uint64_t applied):
        cdef uint64_t *line = lines.line(home)
        cdef const char *end = at + length
        cdef int64_t stripe, count
        cdef uint64_t version
        cdef list old = []
        while at < end:
            if end - at < DSM_BLOCK_RECORD:
                raise ValueError(f"a message of {length} bytes is no block of array {self.array_id}")
            memcpy(&stripe, at, 8)
            memcpy(&version, at + 8, 8)
            at += DSM_BLOCK_RECORD
            self.check(stripe, stripe + 1)
            count = dsm_stripe_bytes(&self.of, stripe)
            if count > end - at:
                raise ValueError(f"a message of {length} bytes is no block of array {self.array_id}")
            dsm_latch(line)
            if self.of.pushed[stripe] > applied:
                old.append(stripe)
            elif version > self.of.versions[stripe]:  # else a sibling has brought in what is newer
                dsm_merge(&self.of, at, stripe * self.of.stripe, stripe * self.of.stripe + count)
                dsm_store(self.of.versions + stripe, version)
            dsm_unlatch(line)
            at += count
        return old
