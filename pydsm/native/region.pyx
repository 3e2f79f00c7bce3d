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
from libc.stdint cimport int64_t, uint64_t

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
    int dsm_lowest(uint64_t bits)
    int dsm_try_exclusive(uint64_t *line, uint64_t me, int waiting)
    int dsm_try_shared(uint64_t *line, uint64_t me)
    uint64_t dsm_take_over(uint64_t *line, uint64_t me)
    void dsm_store(uint64_t *p, uint64_t v)
    void dsm_release_exclusive(uint64_t *line)
    void dsm_clear_exclusive(uint64_t *line)
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


# The parts are compiled into this one module, so that what one does in another is inlined.
include "sleepers.pxi"
include "stripe_locks.pxi"
include "rows.pxi"
include "row_region.pxi"
include "region_group.pxi"
include "row_keys.pxi"
include "locked.pxi"
include "stripe_lock.pxi"
include "elements.pxi"
include "watch.pxi"
include "updates.pxi"
