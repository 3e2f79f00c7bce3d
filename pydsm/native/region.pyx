# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""Region locks: the steps that never leave native code.

`StripeLocks` are the lock words of one array as this process sees them, `Rows` says where
the rows of one array object (the array or a view of it) lie among them, and `Region` is
what ``with A.locked(rows):`` enters and leaves.  An uncontended one-stripe region is a
compare-and-swap and seven loads to enter, an exchange and eight loads to leave.

No policy lives here.  The Python object `policy` is asked who I am (`join`), how to wait
(`wait`), whom to wake (`wake`), what to say of an upgrade (`refuse_upgrade`) or of a stripe
whose holder died (`refuse_abandoned`), and to copy rows that may have to be put back
(`save`); two hooks of `bind` read irregular rows.

One rule makes a failed enter safe: whatever word carries my identity and was not mine
before is cleared, or, if it was taken over from a dead holder, made abandoned again.  So an
exception out of `wait`, a KeyboardInterrupt at any of its bytecodes included, leaves nothing
held.  The native steps themselves cannot be interrupted.
"""

cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport uint64_t

import sys
import weakref

import numpy as np

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(PyObject *o)
    void Py_XDECREF(PyObject *o)
    PyTypeObject *Py_TYPE(object o)
    bint PyLong_CheckExact(object o)
    bint PyBool_Check(object o)
    bint PyIndex_Check(object o)
    bint PySlice_Check(object o)
    object PyNumber_Index(object o)
    Py_ssize_t PyNumber_AsSsize_t(object o, object error) except? -1
    int PySlice_Unpack(object s, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t *step) except -1
    Py_ssize_t PySlice_AdjustIndices(Py_ssize_t n, Py_ssize_t *start, Py_ssize_t *stop, Py_ssize_t step)

cdef extern from "numpy/arrayobject.h":
    ctypedef struct PyArrayObject_fields:
        char *data
        PyObject *base
        PyObject *weakreflist
    void PyArray_UpdateFlags(cnp.ndarray a, int flags)
    void PyArray_CLEARFLAGS(cnp.ndarray a, int flags)
    void PyArray_ENABLEFLAGS(cnp.ndarray a, int flags)
    object PyArray_NewFromDescr(PyTypeObject *subtype, cnp.dtype descr, int nd, cnp.npy_intp *dims,
                                cnp.npy_intp *strides, void *data, int flags, PyObject *obj)
    int PyArray_SetBaseObject(cnp.ndarray a, object base) except -1
    int NPY_ARRAY_WRITEABLE
    int NPY_ARRAY_UPDATE_ALL

cdef extern from "atomic.h" nogil:
    ctypedef struct dsm_identity:
        uint64_t space
        uint64_t me
        uint64_t held
        uint64_t waits
    dsm_identity dsm_self
    uint64_t dsm_incarnation
    uint64_t dsm_thread()
    int dsm_cas(uint64_t *p, uint64_t expected, uint64_t desired)
    uint64_t DSM_ABANDONED
    enum: DSM_LINE_WORDS, DSM_BUSY, DSM_TAKEN, DSM_OWN, DSM_UPGRADE, DSM_DEAD
    uint64_t dsm_load(const uint64_t *p)
    uint64_t dsm_or(uint64_t *p, uint64_t v)
    uint64_t dsm_and(uint64_t *p, uint64_t v)
    uint64_t dsm_bit(uint64_t me)
    int dsm_try_exclusive(uint64_t *line, uint64_t me, int waiting)
    int dsm_try_shared(uint64_t *line, uint64_t me)
    uint64_t dsm_take_over(uint64_t *line, uint64_t me)
    void dsm_store(uint64_t *p, uint64_t v)
    void dsm_release_exclusive(uint64_t *line)
    void dsm_release_shared(uint64_t *line, uint64_t me)
    int dsm_holds(uint64_t *line, uint64_t me)
    void dsm_fence()
    void dsm_pause()
    void dsm_will_write(const void *p)
    void dsm_watch_forks()

# The array class keeps its `Rows` in a __slots__ member; reading it at its offset saves the
# attribute machinery, a tenth of the cost of an uncontended region.
cdef extern from *:
    """
    #include <structmember.h>
    static Py_ssize_t dsm_rows_offset;
    static PyTypeObject *dsm_array_type;
    static int dsm_bind(PyObject *type, PyObject *member) {
        if (Py_TYPE(member) != &PyMemberDescr_Type) {
            PyErr_SetString(PyExc_TypeError, "the array class keeps its rows in a __slots__ member");
            return -1;
        }
        Py_INCREF(type);
        Py_INCREF(member);
        dsm_rows_offset = ((PyMemberDescrObject *) member)->d_member->offset;
        dsm_array_type = (PyTypeObject *) type;
        return 0;
    }
    static inline PyObject *dsm_rows(PyObject *array) {
        if (Py_TYPE(array) != dsm_array_type && !PyType_IsSubtype(Py_TYPE(array), dsm_array_type)) return NULL;
        return *(PyObject **) ((char *) array + dsm_rows_offset);
    }
    /* Say whether `view`, which nobody else has, still is what a row of `array` looks like. */
    static inline int dsm_is_row(PyArrayObject *view, PyArrayObject *array) {
        int nd = PyArray_NDIM(view);
        if (Py_TYPE(view) != Py_TYPE(array) || nd != PyArray_NDIM(array) - 1 || PyArray_DESCR(view) != PyArray_DESCR(array))
            return 0;
        for (int i = 0; i < nd; i++)
            if (PyArray_DIM(view, i) != PyArray_DIM(array, i + 1) || PyArray_STRIDE(view, i) != PyArray_STRIDE(array, i + 1))
                return 0;
        return 1;
    }
    """
    int dsm_bind(object type, object member) except -1
    PyObject *dsm_rows(object array)
    bint dsm_is_row(cnp.ndarray view, cnp.ndarray array)

cnp.import_array()
dsm_watch_forks()

# CPython 3.14 may raise a KeyboardInterrupt between the enter and the body (python/cpython
# issue 148874): there a region that is dropped while it is entered is left.
cdef bint leave_dropped = sys.version_info >= (3, 14)

cdef set counting = set()      # StripeLocks with counts, which must outlive the objects that people have
cdef object rows_of = None
cdef object read_rows = None

cdef enum:
    ROW, SLICE, SELF


def bind(type array_class, member, find_rows, read_irregular):
    """Name the array class and its hooks.

    ``find_rows(array)`` returns the `Rows` of an array seen for the first time and stores
    it in `member`; ``read_irregular(array, rows, key)`` returns the stripes of a key that
    native code does not read: ``(start, stop, None)`` or ``(0, n, ascending intp array)``.
    """
    global rows_of, read_rows
    dsm_bind(array_class, member)
    rows_of, read_rows = find_rows, read_irregular


def waits():
    """Return how many waits for stripes this thread is in the middle of."""
    return dsm_self.waits


def set_leave_dropped(bint wanted):
    """Say whether a region that is dropped while it is entered is left; return what was so before."""
    global leave_dropped
    was, leave_dropped = leave_dropped, wanted
    return was


def forget_identity():
    """Make this thread ask for its slot again: the one it had is given back."""
    dsm_self.space = 0


def held():
    """Return how many stripes this thread holds, of all arrays together."""
    return dsm_self.held


@cython.final
cdef class StripeLocks:
    """The lock words of one array, as this process sees them.

    Parameters
    ----------
    stripes, lots : ndarray of uint64
        The stripe lines and the lot lines in shared memory, eight words each; the number
        of lots is a power of two.  Bit s of a lot line says that slot s waits for one of
        the lot's stripes.
    space : int
        Identity of the namespace in this process, never 0.
    policy : object
        See the module's text.
    spins : int
        Tries before a thread parks.
    """

    cdef uint64_t *words
    cdef uint64_t *lots
    cdef Py_ssize_t lot_mask
    cdef uint64_t space
    cdef object keep
    cdef dict nested                   # (thread, stripe): how often entered again
    cdef dict pending                  # (thread, stripe): waited for at this moment, shared or not
    cdef dict recovered                # (thread, stripe): the abandoned word it was
    cdef Py_ssize_t unusual            # counts of `nested` and entries of `recovered`
    cdef uint64_t incarnation
    cdef uint64_t lock_thread, lock_me, lock_incarnation    # who acquired it last, where it is one lock
    cdef object __weakref__
    cdef readonly object policy
    cdef readonly Py_ssize_t stripes
    cdef readonly Py_ssize_t spins
    cdef public uint64_t acquisitions
    cdef public uint64_t contended

    def __cinit__(self, cnp.ndarray stripes not None, cnp.ndarray lots not None, *, uint64_t space,
                  object policy, Py_ssize_t spins):
        self.words = <uint64_t *> cnp.PyArray_DATA(stripes)
        self.lots = <uint64_t *> cnp.PyArray_DATA(lots)
        self.stripes = stripes.shape[0] // DSM_LINE_WORDS
        self.lot_mask = lots.shape[0] // DSM_LINE_WORDS - 1
        self.keep = (stripes, lots)
        self.space = space
        self.policy = policy
        self.spins = spins
        self.nested, self.pending, self.recovered = {}, {}, {}
        self.incarnation = dsm_incarnation

    cdef void own_counts(self):
        """In a forked child: begin with counts of one's own."""
        if self.incarnation != dsm_incarnation:
            self.incarnation = dsm_incarnation
            self.nested, self.pending, self.recovered = {}, {}, {}
            self.count(-self.unusual)

    cdef inline object key(self, Py_ssize_t stripe):
        return dsm_thread() << 32 | <uint64_t> stripe

    cdef void count(self, Py_ssize_t by) noexcept:
        self.unusual += by
        if self.unusual:
            counting.add(self)
        else:
            counting.discard(self)

    cdef inline uint64_t *line(self, Py_ssize_t stripe) noexcept:
        return self.words + stripe * DSM_LINE_WORDS

    cdef inline uint64_t *lot(self, Py_ssize_t stripe) noexcept:
        return self.lots + (stripe & self.lot_mask) * DSM_LINE_WORDS

    cdef inline uint64_t identity(self) except 0:
        if dsm_self.space == self.space:
            return dsm_self.me
        cdef uint64_t me = self.policy.join()
        dsm_self.me = me
        dsm_self.space = self.space
        return me

    cdef inline bint awaited(self, Py_ssize_t stripe) noexcept:
        cdef uint64_t *lot = self.lot(stripe)
        cdef uint64_t bits = 0
        cdef int i
        for i in range(DSM_LINE_WORDS):
            bits |= dsm_load(lot + i)
        return bits != 0

    cdef inline int take(self, object owner, Py_ssize_t stripe, uint64_t me, bint shared, bint recover,
                         object deadline) except -1:
        cdef int outcome
        if shared:
            outcome = dsm_try_shared(self.line(stripe), me)
        else:
            outcome = dsm_try_exclusive(self.line(stripe), me, False)
        if outcome == DSM_TAKEN:
            dsm_self.held += 1
            return 0
        return self.take_slowly(owner, stripe, me, shared, recover, deadline, outcome)

    cdef int take_slowly(self, object owner, Py_ssize_t stripe, uint64_t me, bint shared, bint recover,
                         object deadline, int outcome) except -1:
        cdef Py_ssize_t turn
        key = self.key(stripe)
        self.own_counts()
        if key in self.pending:            # a signal handler or finalizer, in the middle of our own wait
            if self.pending[key]:
                self.back_out(stripe, me, shared)     # that one wants to share: word 0 is of this try
                self.wake(stripe, me)
            raise RuntimeError(f"{owner!r} cannot be entered here: this very thread is waiting for it")
        if outcome == DSM_OWN:
            self.nested[key] = self.nested.get(key, 0) + 1
            self.count(1)
            return 0
        if shared:
            self.wake(stripe, me)          # our bit, set for a moment, may have stopped a writer
        if outcome == DSM_UPGRADE or not shared and dsm_holds(self.line(stripe), me) == 1:
            self.wake(stripe, me)
            self.policy.refuse_upgrade(owner, self, stripe)
        if outcome == DSM_DEAD and self.attempt(owner, stripe, me, shared, recover):
            dsm_self.held += 1
            return 0
        self.contended += 1
        for turn in range(self.spins):
            dsm_pause()
            if self.attempt(owner, stripe, me, shared, recover):
                dsm_self.held += 1
                return 0
        cdef uint64_t *word = self.lot(stripe) + ((me - 1) >> 6)
        cdef uint64_t incarnation = dsm_incarnation
        if dsm_self.waits == 0:
            self.policy.forget_wait(me)    # an interrupted one; before our lot bit could seem to be its
        self.pending[key] = shared
        dsm_self.waits += 1
        dsm_or(word, dsm_bit(me))
        try:
            self.policy.wait(owner, self, stripe, me, shared, recover, deadline)
        except BaseException:
            if incarnation != dsm_incarnation:       # forked by a signal handler: all this is the parent's
                raise
            self.pending.pop(key, None)
            dsm_self.waits -= 1
            dsm_and(word, ~dsm_bit(me))
            self.back_out(stripe, me, shared)
            self.wake(stripe, me)          # a wake-up meant for us goes to the next
            raise
        self.pending.pop(key, None)
        dsm_self.waits -= 1
        dsm_and(word, ~dsm_bit(me))
        dsm_self.held += 1
        return 0

    cdef inline bint attempt(self, object owner, Py_ssize_t stripe, uint64_t me, bint shared,
                             bint recover) except -1:
        """Take the stripe if it is free, or, to recover, abandoned; say whether it is ours."""
        cdef uint64_t holder = dsm_load(self.line(stripe))
        if holder & DSM_ABANDONED:
            if not recover:
                self.policy.refuse_abandoned(owner, self, stripe, holder)
            self.take_over(stripe, me)
        if not shared:
            return dsm_try_exclusive(self.line(stripe), me, True) == DSM_TAKEN
        if holder:
            return False                   # look before setting a bit that would stop a writer
        if dsm_try_shared(self.line(stripe), me) == DSM_TAKEN:
            return True
        self.wake(stripe, me)              # as above
        return False

    cdef int take_over(self, Py_ssize_t stripe, uint64_t me) except -1:
        """Make an abandoned stripe ours, and remember whose it was."""
        key = self.key(stripe)
        self.recovered[key] = 0            # room for it first: nothing may fail once it is ours
        cdef uint64_t dead = dsm_take_over(self.line(stripe), me)
        if dead:
            self.recovered[key] = dead
            self.count(1)
        else:
            del self.recovered[key]
        return 0

    cdef inline void clear(self, Py_ssize_t stripe, uint64_t me, bint failed) noexcept:
        """Give word 0 up; what was taken over and not put right is abandoned again."""
        if self.unusual:
            dead = self.recovered.pop(self.key(stripe), 0)
            if dead:
                self.count(-1)
                if failed:
                    dsm_store(self.line(stripe), dead)
                    return
        dsm_release_exclusive(self.line(stripe))

    cdef void back_out(self, Py_ssize_t stripe, uint64_t me, bint shared) noexcept:
        cdef int mode = dsm_holds(self.line(stripe), me)
        if shared and mode == 1:
            dsm_release_shared(self.line(stripe), me)
        elif not shared and mode == 2:
            self.clear(stripe, me, True)

    cdef inline int give(self, Py_ssize_t stripe, uint64_t me, bint shared, bint failed) except -1:
        """Release the stripe; 1 if somebody waits in its lot."""
        if self.unusual:
            self.own_counts()
        if self.unusual:
            key = self.key(stripe)
            count = self.nested.pop(key, 0)
            if count:
                self.count(-1)
                if count > 1:
                    self.nested[key] = count - 1
                return 0
        if shared and dsm_holds(self.line(stripe), me) == 1:
            dsm_release_shared(self.line(stripe), me)
        else:                              # shared inside exclusive left last: the word is the hold
            self.clear(stripe, me, failed)
        dsm_self.held -= 1
        return self.awaited(stripe)

    cdef inline int wake(self, Py_ssize_t stripe, uint64_t me) except -1:
        if self.awaited(stripe):
            self.policy.wake(self, stripe, me)
        return 0

    cdef int check(self, Py_ssize_t stripe) except -1:
        if stripe < 0 or stripe >= self.stripes:
            raise IndexError(f"stripe {stripe} is outside 0..{self.stripes - 1}")
        return 0

    cdef object bits(self, uint64_t *words, int count):
        cdef int i
        found = 0
        for i in range(count):
            found |= (<object> dsm_load(words + i)) << (64 * i)
        return found

    def me(self):
        """Return this thread's identity here: its slot + 1."""
        return self.identity()

    def try_take(self, object owner, Py_ssize_t stripe, uint64_t me, bint shared, bint recover):
        """Take the stripe if it can be had now (for `policy.wait`); say whether it is ours."""
        self.check(stripe)
        if self.identity() != me:
            raise RuntimeError(f"{owner!r} cannot be entered: this process was forked in the middle of the enter")
        return bool(self.attempt(owner, stripe, me, shared, recover))

    def taken_over(self, Py_ssize_t stripe):
        """Return the abandoned word that the stripe had before this thread took it over, or 0."""
        return self.recovered.get(self.key(stripe), 0)

    def holder(self, Py_ssize_t stripe):
        """Return word 0: the exclusive holder's slot + 1, or 0."""
        self.check(stripe)
        return dsm_load(self.line(stripe))

    def sharers(self, Py_ssize_t stripe):
        """Return who holds the stripe shared, as an int with one bit for each slot."""
        self.check(stripe)
        return self.bits(self.line(stripe) + 1, DSM_LINE_WORDS - 1)

    def waiters(self, Py_ssize_t stripe):
        """Return who is parked in the stripe's lot, as an int with one bit for each slot."""
        self.check(stripe)
        return self.bits(self.lot(stripe), DSM_LINE_WORDS)

    def withdraw(self, Py_ssize_t stripe, uint64_t me):
        """Take a participant that has died out of the stripe's lot."""
        self.check(stripe)
        dsm_and(self.lot(stripe) + ((me - 1) >> 6), ~dsm_bit(me))

    def evict(self, Py_ssize_t stripe, uint64_t me):
        """Take the stripe away from a participant that has ended, and wake who waits."""
        self.check(stripe)
        dsm_release_shared(self.line(stripe), me)
        dsm_cas(self.line(stripe), me, self.recovered.pop(self.key(stripe), 0))
        self.wake(stripe, me)


@cython.final
cdef class Rows:
    """Where the rows of one array object lie among the rows that the stripes guard.

    Row r of the object is row ``origin + r * step`` of the shared array.  Where that is
    not so (a transpose, a reshape), `step` is 0 and any region of it counts as the rows
    ``origin`` to ``origin + span``, all that its memory touches.

    Parameters
    ----------
    locks : StripeLocks
    array : ndarray
        The array object; only a weak reference is kept.
    origin, step, span : int
    block : int
        Rows of the shared array that share a stripe.
    guarded : bool
        Only the view that a region gives may be written.
    whole : Rows, optional
        Of the array that this is a view of.
    """

    cdef readonly StripeLocks locks
    cdef readonly Py_ssize_t count, stride, origin, step, span, block
    cdef readonly bint guarded
    cdef bint scalar            # no axis at all
    cdef bint recyclable        # all rows are aligned, or none is
    cdef char *home             # where the whole array begins
    cdef object array
    cdef cnp.ndarray spare      # the last row view, without its base, if nobody kept it
    cdef Region last            # the last region, to be used again if nobody kept it

    def __cinit__(self, StripeLocks locks not None, cnp.ndarray array not None, *, Py_ssize_t origin,
                  Py_ssize_t step, Py_ssize_t span, Py_ssize_t block, bint guarded, Rows whole=None):
        self.locks = locks
        self.home = <char *> cnp.PyArray_DATA(array) if whole is None else whole.home
        self.array = weakref.ref(array)
        self.count = cnp.PyArray_DIM(array, 0) if cnp.PyArray_NDIM(array) else 1
        self.stride = cnp.PyArray_STRIDE(array, 0) if cnp.PyArray_NDIM(array) else 0
        self.scalar = cnp.PyArray_NDIM(array) == 0
        self.recyclable = self.stride % max(1, array.dtype.alignment) == 0
        self.origin, self.step, self.span = origin, step, span
        self.block, self.guarded = block, guarded

    cdef inline bint fits(self, cnp.ndarray array) noexcept:
        """Say whether the array still has the axis it had: NumPy lets one set a shape in place."""
        if self.scalar:
            return cnp.PyArray_NDIM(array) == 0
        return cnp.PyArray_NDIM(array) and cnp.PyArray_DIM(array, 0) == self.count \
            and cnp.PyArray_STRIDE(array, 0) == self.stride


@cython.final
cdef class Region:
    """Rows of an array that a worker holds while inside ``with``.

    Made by ``A.locked(rows)``; may be entered again after it was left.
    """

    cdef object array
    cdef Rows rows
    cdef readonly object key
    cdef public object timeout
    cdef cnp.ndarray irregular
    cdef cnp.ndarray view
    cdef Py_ssize_t index, start, stop
    cdef uint64_t me, thread, incarnation
    cdef readonly bint shared
    cdef bint fence, undo, recover, entered
    cdef int kind
    cdef object record                 # of what the rows were, to put them back

    @cython.binding(False)
    def __enter__(self):
        cdef StripeLocks locks = self.rows.locks
        self.take_all(None if self.timeout is None else locks.policy.deadline(self.timeout))
        if self.kind == ROW and not self.undo and self.reuse_row():
            return self.view
        return self.open_view_or_leave()

    cdef object open_view_or_leave(self):
        try:
            if self.undo:
                record = self.rows.locks.policy.save([self])
            view = self.open_view()
        except BaseException:
            self.give_all(True)
            raise
        if self.undo:
            record.arm()
            self.record = record
        return view

    @cython.binding(False)
    def __exit__(self, kind, error, trace):
        cdef StripeLocks locks = self.rows.locks
        if not self.entered:
            raise RuntimeError(f"{self!r} was left without being entered")
        if self.incarnation != dsm_incarnation:      # a fork inside the region: the parent holds it
            self.entered = False
            self.record = None
            return
        if dsm_thread() != self.thread:
            raise RuntimeError(f"{self!r} was entered by another thread, which still holds it")
        self.end_view()
        if self.record is not None:
            self.end_undo(kind is not None)
        else:
            self.give_all(kind is not None)

    cdef int end_undo(self, bint failed) except -1:
        record, self.record = self.record, None
        try:
            record.end(failed)
        finally:
            self.give_all(failed)
        return 0

    def __del__(self):
        if leave_dropped and self.entered and self.incarnation == dsm_incarnation and self.thread == dsm_thread():
            self.kind = SELF                         # not to be used again
            self.__exit__(RuntimeError, None, None)

    cdef int find_array(self) except -1:
        self.array = self.rows.array()
        if self.array is None:
            raise RuntimeError("the array of this region is gone")
        return 0

    cdef inline Py_ssize_t stripe(self, Py_ssize_t position) noexcept:
        if self.irregular is None:
            return self.start + position
        return (<cnp.npy_intp *> cnp.PyArray_DATA(self.irregular))[position]

    cdef inline int take_all(self, object deadline) except -1:
        """Take every stripe, or none."""
        cdef StripeLocks locks = self.rows.locks
        cdef uint64_t me = locks.identity()
        if self.entered:
            raise RuntimeError(f"{self!r} is entered already: call locked() for each with")
        if self.array is None:
            self.find_array()
        if not self.rows.fits(<cnp.ndarray> self.array):
            raise RuntimeError(f"{self!r} cannot be entered: the array has got another shape since locked() was called")
        if self.stop - self.start == 1:
            locks.take(self, self.stripe(0), me, self.shared, self.recover, deadline)
        else:
            self.take_many(locks, me, deadline)
        if self.entered:                             # while this thread waited
            self.give_first(locks, me, self.stop - self.start, True)
            raise RuntimeError(f"{self!r} was entered by another thread meanwhile: call locked() for each with")
        locks.acquisitions += 1
        self.me, self.thread = me, dsm_thread()
        self.incarnation = dsm_incarnation
        self.entered = True
        if leave_dropped and self.rows.last is self:
            self.rows.last = None                    # so that `__del__` comes at once
        if self.fence:
            dsm_fence()
        return 0

    cdef int take_many(self, StripeLocks locks, uint64_t me, object deadline) except -1:
        cdef Py_ssize_t taken = 0
        try:
            while taken < self.stop - self.start:
                locks.take(self, self.stripe(taken), me, self.shared, self.recover, deadline)
                taken += 1
        except BaseException:
            self.give_first(locks, me, taken, True)
            raise
        return 0

    cdef inline int give_all(self, bint failed) except -1:
        """Give every stripe back; `failed`: the rows were not put right."""
        cdef StripeLocks locks = self.rows.locks
        self.entered = False
        if leave_dropped and self.kind == ROW and self.irregular is None and self.rows.last is None:
            self.rows.last = self                    # only one row: nothing but `locked` sets is left in it
        self.array = None                            # no cycle through rows.last
        if self.fence:
            dsm_fence()
        if self.stop - self.start == 1:
            if locks.give(self.stripe(0), self.me, self.shared, failed):
                locks.policy.wake(locks, self.stripe(0), self.me)
        else:
            self.give_first(locks, self.me, self.stop - self.start, failed)
        return 0

    cdef int give_first(self, StripeLocks locks, uint64_t me, Py_ssize_t count, bint failed) except -1:
        """Release the first `count` stripes in descending order, then wake who waits."""
        cdef Py_ssize_t position
        awaited = None
        for position in range(count - 1, -1, -1):
            if locks.give(self.stripe(position), me, self.shared, failed):
                if awaited is None:
                    awaited = []
                awaited.append(self.stripe(position))
        if awaited is not None:
            for position in awaited:
                locks.policy.wake(locks, position, me)
        return 0

    def open_view(self):
        """Return what ``as`` gives: a view of the rows, or the array itself."""
        if self.array is None:
            self.find_array()
        cdef cnp.ndarray array = <cnp.ndarray> self.array
        if self.kind == ROW and cnp.PyArray_NDIM(array) == 0:
            raise RuntimeError(f"{self!r} has no row to give: the array has got another shape meanwhile")
        cdef bint writable = not self.shared and (self.rows.guarded or cnp.PyArray_ISWRITEABLE(array))
        cdef cnp.ndarray view
        if self.kind == ROW:
            if self.reuse_row():
                return self.view
            view = new_row(array, self.row_data(array))
        elif self.kind == SELF and writable and not self.rows.guarded:
            return array
        else:
            view = array[self.key] if self.kind == SLICE else array[...]
        if writable:
            PyArray_ENABLEFLAGS(view, NPY_ARRAY_WRITEABLE)
        else:
            PyArray_CLEARFLAGS(view, NPY_ARRAY_WRITEABLE)
        self.view = view
        return view

    def close_view(self):
        """Make the view read-only: the rows are no longer ours."""
        self.end_view()

    cdef inline void end_view(self) noexcept:
        if self.view is None:
            return
        PyArray_CLEARFLAGS(self.view, NPY_ARRAY_WRITEABLE)
        cdef PyArrayObject_fields *fields = <PyArrayObject_fields *> self.view
        if self.kind == ROW and self.rows.recyclable and Py_REFCNT(<PyObject *> self.view) == 1 and fields.weakreflist == NULL \
                and dsm_rows(self.view) == NULL:
            # Nobody kept it: the next row can have it.  Without its base, or it and the
            # array would keep each other alive.
            Py_XDECREF(fields.base)
            fields.base = NULL
            self.rows.spare = self.view
        self.view = None

    cdef inline char *row_data(self, cnp.ndarray array) noexcept:
        return <char *> cnp.PyArray_DATA(array) + self.index * cnp.PyArray_STRIDE(array, 0)

    cdef inline bint reuse_row(self) noexcept:
        """Move the last row's view here, if nobody kept it; say whether that is done."""
        cdef cnp.ndarray view = self.rows.spare
        if view is None:
            return False
        cdef cnp.ndarray array = <cnp.ndarray> self.array
        if Py_REFCNT(<PyObject *> view) != 2 or not dsm_is_row(view, array):
            return False
        self.rows.spare = None
        Py_INCREF(array)
        (<PyArrayObject_fields *> view).base = <PyObject *> array
        (<PyArrayObject_fields *> view).data = self.row_data(array)
        if not self.shared and (self.rows.guarded or cnp.PyArray_ISWRITEABLE(array)):
            PyArray_ENABLEFLAGS(view, NPY_ARRAY_WRITEABLE)
        self.view = view
        return True

    def stripes(self):
        """Return the ascending numbers of the stripes that guard the rows."""
        if self.irregular is not None:
            return self.irregular
        return np.arange(self.start, self.stop)

    def elements(self):
        """Return the elements that the region is of, for a copy of their bits.

        Returns
        -------
        offset : int
            Bytes from the beginning of the whole array.
        part : ndarray of void
            A writable view; not of the rows alone if `rows` is given.
        rows : int, slice, sequence or mask, optional
            Which rows of `part` are meant; None for all.
        """
        if self.array is None:
            self.find_array()
        cdef cnp.ndarray array = <cnp.ndarray> self.array
        if not self.rows.guarded and not cnp.PyArray_ISWRITEABLE(array):
            raise ValueError(f"{self!r} has nothing to undo: the array is read-only here")
        cdef cnp.ndarray part = array.view(np.ndarray)
        PyArray_ENABLEFLAGS(part, NPY_ARRAY_WRITEABLE)
        rows = None
        if self.kind == ROW:
            part = part[self.index:self.index + 1]
        elif self.kind == SLICE:
            part = part[self.key]
        elif self.key is not None and self.key is not Ellipsis:
            rows = self.key
        return <char *> cnp.PyArray_DATA(part) - self.rows.home, part.view(f"V{array.itemsize}"), rows

    @property
    def recovered(self):
        """Who died inside the rows that this region has taken over; empty unless ``recover=True``."""
        cdef StripeLocks locks = self.rows.locks
        cdef Py_ssize_t position
        if not self.recover or not self.entered or not locks.unusual:
            return []
        words = {locks.taken_over(self.stripe(position)): None for position in range(self.stop - self.start)}
        return [locks.policy.name_of_dead(word) for word in words if word]

    def held(self):
        """Say whether this thread holds all the rows, in this mode or a stronger one."""
        cdef StripeLocks locks = self.rows.locks
        cdef uint64_t me = locks.identity()
        cdef Py_ssize_t position
        cdef int mode
        for position in range(self.stop - self.start):
            mode = dsm_holds(locks.line(self.stripe(position)), me)
            if mode == 0 or mode == 1 and not self.shared:
                break
        else:
            position = self.stop - self.start
        if not self.entered:
            self.array = None                        # no cycle through rows.last
        return position == self.stop - self.start

    def widened(self, stripes):
        """Return a region of the same array over the given ascending stripes."""
        cdef Region region = Region.__new__(Region)
        if self.array is None:
            self.find_array()
        region.array, region.rows, region.key = self.array, self.rows, self.key
        region.shared, region.fence = self.shared, self.fence
        region.timeout, region.recover = self.timeout, self.recover
        region.irregular = np.ascontiguousarray(stripes, dtype=np.intp)
        region.start, region.stop = 0, len(stripes)
        region.kind = SELF
        return region

    @property
    def locks(self):
        """The lock words."""
        return self.rows.locks

    def __repr__(self):
        array = self.array if self.array is not None else self.rows.array()
        rows = "..." if self.key is None else repr(self.key)
        return f"{'shared' if self.shared else 'exclusive'} region {rows} of array {getattr(array, 'name', None)!r}"


@cython.final
cdef class RegionGroup:
    """Regions of several arrays that are entered and left as one, with no bytecode in between.

    Parameters
    ----------
    parts : list of Region
        Whose views are given, in this order; they are not entered themselves.
    ordered : list of Region
        What is locked: one region for each array, in the global order.
    """

    cdef list parts, ordered
    cdef public object timeout
    cdef bint entered, undo
    cdef object record

    def __cinit__(self, list parts not None, list ordered not None, timeout, *, bint undo=False):
        self.parts, self.ordered, self.timeout, self.undo = parts, ordered, timeout, undo

    @cython.binding(False)
    def __enter__(self):
        cdef Region region
        cdef list taken = []
        if self.entered:
            raise RuntimeError("these regions are entered already: call locked() for each with")
        deadline = None
        if self.timeout is not None and self.ordered:
            deadline = (<Region> self.ordered[0]).rows.locks.policy.deadline(self.timeout)
        try:
            for region in self.ordered:
                region.take_all(deadline)
                taken.append(region)
            if self.undo and self.ordered:
                record = (<Region> self.ordered[0]).rows.locks.policy.save(self.parts)
            views = tuple([(<Region> part).open_view() for part in self.parts])
        except BaseException:
            self.give(taken, True)
            raise
        if self.undo and self.ordered:
            record.arm()
            self.record = record
        self.entered = True
        return views

    @cython.binding(False)
    def __exit__(self, kind, error, trace):
        if not self.entered:
            raise RuntimeError("these regions were left without being entered")
        cdef Region region
        for region in self.ordered:
            if region.incarnation == dsm_incarnation and dsm_thread() != region.thread:
                raise RuntimeError("these regions were entered by another thread, which still holds them")
        self.entered = False
        record, self.record = self.record, None
        try:
            if record is not None and (<Region> self.ordered[0]).incarnation == dsm_incarnation:
                record.end(kind is not None)
        finally:
            self.give(self.ordered, kind is not None)

    def __del__(self):
        if leave_dropped and self.entered and (not self.ordered or (<Region> self.ordered[0]).thread == dsm_thread()):
            self.__exit__(RuntimeError, None, None)

    @property
    def recovered(self):
        """Who died inside the rows that these regions have taken over."""
        return [who for region in self.ordered for who in region.recovered]

    cdef int give(self, list regions, bint failed) except -1:
        cdef Region region
        for region in self.parts:
            region.end_view()
        problem = None
        for region in reversed(regions):
            try:
                if region.incarnation == dsm_incarnation:
                    region.give_all(failed)
                else:
                    region.entered = False
            except BaseException as error:     # an interrupt while waking: the others must still come free
                problem = error
        if problem is not None:
            raise problem
        return 0


cdef cnp.ndarray new_row(cnp.ndarray array, char *data):
    cdef cnp.dtype descr = array.descr
    Py_INCREF(descr)                       # NewFromDescr steals it, as SetBaseObject steals the base
    cdef cnp.ndarray view = PyArray_NewFromDescr(
        Py_TYPE(array), descr, cnp.PyArray_NDIM(array) - 1, cnp.PyArray_DIMS(array) + 1,
        cnp.PyArray_STRIDES(array) + 1, data, 0, <PyObject *> array)
    Py_INCREF(array)
    PyArray_SetBaseObject(view, array)
    PyArray_UpdateFlags(view, NPY_ARRAY_UPDATE_ALL)
    return view


def locked(self, rows=None, *, bint shared=False, timeout=None, bint fence=False, bint undo=False, bint recover=False):
    """Hold rows while inside ``with``; nobody else is in an overlapping region meanwhile.

    Parameters
    ----------
    rows : int, slice, sequence of int, boolean mask, None or ...
        An index of axis 0; None and ``...`` mean all rows.
    shared : bool
        Let other shared holders in, but no exclusive one; the view is read-only.
    timeout : float, optional
        Seconds to wait for all the rows together; 0 tries once, None waits for ever.
    fence : bool
        Also make everything I wrote before, to any array, visible to whoever enters next.
    undo : bool
        All or nothing: if the body raises, or this process dies in it, the rows are put
        back, bit for bit, to what they were at the enter.
    recover : bool
        Take the rows over from a holder that died inside, instead of an OwnerDiedError.
        If the body raises, they count as abandoned again.

    Returns
    -------
    Region
        A context manager.  ``as`` gives a writable view of the rows for an int (0-d if
        the array has one axis) or a slice, and the array itself otherwise.  The view
        turns read-only at the exit.

    Raises
    ------
    IndexError, TypeError
        At once, if `rows` are no rows of this array.
    LockTimeoutError, DeadlockError
        At the enter; nothing is held then.
    OwnerDiedError
        At the enter, if a holder died inside and `recover` is not given: without `undo` the
        rows may be half-written.  They stay abandoned until somebody enters with `recover`.
    ValueError
        `shared` with `undo` or `recover`: a shared region writes nothing.

    Notes
    -----
    At the enter, everything that earlier holders wrote to these rows is visible.  Nothing
    is promised of other rows or arrays (entry consistency, as in Midway: Bershad,
    Zekauskas and Sawdon, 1993).

    Examples
    --------
    >>> import pydsm
    >>> with pydsm.Team(1) as team:
    ...     A = team.array("A", 5, int)
    ...     with A.locked(2) as row:
    ...         row += 1
    ...     with A.locked([0, 4]):
    ...         A[[0, 4]] = 7
    ...     A.tolist()
    [7, 0, 1, 0, 7]
    """
    cdef PyObject *found = dsm_rows(self)
    cdef Rows map = <Rows> found if found != NULL and (<Rows> found).fits(<cnp.ndarray> self) else <Rows?> rows_of(self)
    cdef Region region
    cdef Py_ssize_t index, start, stop, step
    if shared and (undo or recover):
        raise ValueError(f"a shared region of array {self.name!r} writes nothing: undo and recover need an exclusive one")
    if map.step and (PyLong_CheckExact(rows) or is_row(rows)):
        index = PyNumber_AsSsize_t(rows, IndexError)
        if index < 0:
            index += map.count
        if index < 0 or index >= map.count:
            raise IndexError(f"row {rows} is out of range for array {self.name!r} with {map.count} rows")
        region = map.last
        if region is None or Py_REFCNT(<PyObject *> region) != 2 or region.entered:
            region = Region.__new__(Region)
            region.rows = map
            map.last = region
        region.index = index
        region.start = (map.origin + index * map.step) // map.block
        region.stop = region.start + 1
        region.kind = ROW
        dsm_will_write(map.locks.line(region.start))
        dsm_will_write(<char *> cnp.PyArray_DATA(<cnp.ndarray> self) + index * map.stride)
    else:
        region = Region.__new__(Region)
        region.rows = map
        if PySlice_Check(rows) and cnp.PyArray_NDIM(self) == 0:
            raise IndexError(f"this view of array {self.name!r} has no axis to slice")
        region.kind = SLICE if PySlice_Check(rows) else SELF
        if map.step == 1 and (rows is None or rows is Ellipsis):
            if map.count:
                region.start = map.origin // map.block
                region.stop = (map.origin + map.count - 1) // map.block + 1
        elif map.step == 1 and PySlice_Check(rows):
            PySlice_Unpack(rows, &start, &stop, &step)
            PySlice_AdjustIndices(map.count, &start, &stop, step)
            if step == 1:
                if stop > start:
                    region.start = (map.origin + start) // map.block
                    region.stop = (map.origin + stop - 1) // map.block + 1
            else:
                region.start, region.stop, region.irregular = read_rows(self, map, rows)
        else:
            region.start, region.stop, region.irregular = read_rows(self, map, rows)
            if is_row(rows):
                if cnp.PyArray_NDIM(self) == 0:
                    raise IndexError(f"this view of array {self.name!r} has no axis to take row {rows} of")
                region.kind = ROW
                region.index = PyNumber_AsSsize_t(rows, IndexError)
                if region.index < 0:
                    region.index += map.count
    region.array = self
    region.key = rows
    region.shared = shared
    region.fence = fence
    region.undo, region.recover = undo, recover
    region.timeout = timeout
    return region


cdef inline bint is_row(object rows):
    """Say whether `rows` is one row: an int of Python's or NumPy's, but no bool, no array."""
    return PyIndex_Check(rows) and not PyBool_Check(rows) and not cnp.PyArray_Check(rows)


cdef class StripeLock:
    """A lock that is one stripe, at native speed; `pydsm.sync.lock` gives it its manners."""

    cdef StripeLocks locks

    def __cinit__(self, StripeLocks locks not None):
        self.locks = locks

    @property
    def words(self):
        """The lock words."""
        return self.locks

    cdef inline int take(self, bint recover, object deadline) except -1:
        cdef StripeLocks locks = self.locks
        cdef uint64_t me = locks.identity()
        locks.take(self, 0, me, False, recover, deadline)
        locks.acquisitions += 1
        locks.lock_thread, locks.lock_me, locks.lock_incarnation = dsm_thread(), me, dsm_incarnation
        return 0

    def acquire_until(self, deadline, bint recover=False):
        """Take the lock, waiting until `deadline` on the monotonic clock (None: for ever)."""
        self.take(recover, deadline)

    cdef inline int give(self, bint failed) except -1:
        cdef StripeLocks locks = self.locks
        cdef uint64_t me
        if locks.lock_thread == dsm_thread() and locks.lock_incarnation == dsm_incarnation:
            me = locks.lock_me
        else:
            me = locks.identity()
        if dsm_holds(locks.line(0), me) != 2:
            locks.policy.refuse_release(self, locks)
        if locks.give(0, me, False, failed):
            locks.policy.wake(locks, 0, me)
        return 0

    def release(self):
        """Give the lock back; RuntimeError if this thread does not hold it."""
        self.give(False)

    def held(self):
        """Say whether this thread holds the lock."""
        return dsm_holds(self.locks.line(0), self.locks.identity()) == 2

    @cython.binding(False)
    def __enter__(self):
        self.take(False, None)
        return self

    @cython.binding(False)
    def __exit__(self, kind, error, trace):
        if self.locks.lock_incarnation != dsm_incarnation and self.locks.lock_incarnation:
            return                                   # a fork inside: the parent holds it
        self.give(kind is not None)
