# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, embedsignature=True
"""The race detector's native half: clocks, shadow memory, and the hooks of array accesses.

`races.h` has the theory of the shadow memory, `pydsm.races` says what is a race and what is
said of it.  An access of one element is: find the shadow of the array (a slot of the
object), the place in the program (the caller's code and instruction, looked up in a small
table), one word to publish, a fence, and four words of each other worker to look at.

Nothing is checked in a process that has no `Watcher`, as the parent of a team.
"""

cimport cython
cimport numpy as cnp
from cpython.object cimport PyObject, PyTypeObject
from cpython.ref cimport Py_INCREF
from libc.stdint cimport int64_t, intptr_t, uint64_t, uintptr_t
from libc.stdlib cimport calloc, free

import os

import numpy as np

cdef extern from "Python.h":
    bint PyLong_CheckExact(object o)
    bint PyBool_Check(object o)
    bint PyIndex_Check(object o)
    bint PySlice_Check(object o)
    bint PyUnicode_Check(object o)
    bint PyObject_TypeCheck(object o, PyTypeObject *type)
    Py_ssize_t PyNumber_AsSsize_t(object o, object error) except? -1
    void Py_XDECREF(PyObject *o)
    PyTypeObject *Py_TYPE(object o)

cdef extern from "numpy/arrayobject.h":
    void PyArray_ENABLEFLAGS(cnp.ndarray a, int flags)
    int NPY_ARRAY_WRITEABLE

cdef extern from "races.h" nogil:
    enum: RACE_READ, RACE_WRITE, RACE_ATOMIC_READ, RACE_ATOMIC_WRITE
    enum: RACE_NEWEST, RACE_AXES, RACE_FOUND
    uint64_t RACE_HELD
    ctypedef struct race_planes:
        uint64_t *cells
        uint64_t *cover
        uint64_t *summary
        uint64_t *atomics
        uint64_t *newest
        int64_t ncells, nblocks, slots, units
        int shift, workers, me
    ctypedef struct race_clash:
        int worker, kind
        int64_t first, last
        uint64_t word
    ctypedef struct race_found:
        int count
        race_clash *clash
    ctypedef struct race_access:
        race_planes *planes
        const uint64_t *limit
        uint64_t word, excuse
        int kind
        race_found *found
    ctypedef struct race_shape:
        int axes
        int64_t offset, item, unit
        int64_t *extent
        int64_t *stride
    int race_normalize(race_shape *s, int axes, int64_t offset, const intptr_t *extents, const intptr_t *strides)
    void race_touch(const race_access *a, const race_shape *s)
    void race_touch_many(const race_access *a, const race_shape *s, const int64_t *offsets, int64_t count)
    void race_step(const race_access *a, int look, int64_t first, int64_t last)
    void race_join(uint64_t *mine, const uint64_t *theirs, int count)
    void race_raise(uint64_t *theirs, const uint64_t *mine, int count)
    void dsm_fence()
    void dsm_store(uint64_t *p, uint64_t v)
    uint64_t dsm_load(const uint64_t *p)
    int dsm_cas(uint64_t *p, uint64_t expected, uint64_t desired)

# The class of checked arrays keeps an array's shadow in a __slots__ member.
cdef extern from *:
    """
    #include <structmember.h>
    static Py_ssize_t race_slot;
    static PyTypeObject *race_type;
    static int race_bind(PyObject *type, PyObject *member) {
        if (Py_TYPE(member) != &PyMemberDescr_Type) {
            PyErr_SetString(PyExc_TypeError, "the class of checked arrays keeps their shadow in a __slots__ member");
            return -1;
        }
        Py_INCREF(type);
        Py_INCREF(member);
        race_slot = ((PyMemberDescrObject *) member)->d_member->offset;
        race_type = (PyTypeObject *) type;
        return 0;
    }
    static inline int race_is_checked(PyObject *o) { return race_type != NULL && PyObject_TypeCheck(o, race_type); }
    static inline PyObject **race_shadow_at(PyObject *array) { return (PyObject **) ((char *) array + race_slot); }
    static inline PyObject *race_get_item(PyObject *array, PyObject *key) {
        return PyArray_Type.tp_as_mapping->mp_subscript(array, key);
    }
    static inline int race_set_item(PyObject *array, PyObject *key, PyObject *value) {
        return PyArray_Type.tp_as_mapping->mp_ass_subscript(array, key, value);
    }
    static inline PyObject *race_view(PyObject *array) {
        return PyArray_View((PyArrayObject *) array, NULL, &PyArray_Type);
    }
    """
    PyTypeObject *race_type
    object race_view(object array)
    int race_bind(object type, object member) except -1
    bint race_is_checked(object o)
    PyObject **race_shadow_at(object array)
    object race_get_item(object array, object key)
    int race_set_item(object array, object key, object value) except -1

cnp.import_array()

READ, WRITE, ATOMIC_READ, ATOMIC_WRITE = RACE_READ, RACE_WRITE, RACE_ATOMIC_READ, RACE_ATOMIC_WRITE
NEWEST = RACE_NEWEST

cdef Watcher active = None      # of the worker that this process is
cdef int quiet = 0              # how many `racy` blocks are open
cdef tuple listeners = ()       # who wants to know of accesses before they are made; None: not asked yet
cdef tuple EMPTY = ()
cdef object find_listeners = None


def bind(type array_class, member):
    """Name the class of checked arrays, and its slot for their shadow."""
    race_bind(array_class, member)


def watch(Watcher watcher, find):
    """Set who checks this process's accesses from now on (None: nobody), and who says who else is told of them."""
    global active, listeners, find_listeners
    active, find_listeners = watcher, find
    listeners = EMPTY if find is None else None


def hush(int step):
    """Leave accesses out (1), or no longer (-1)."""
    global quiet
    quiet += step


def claim(cnp.ndarray words not None, uint64_t key):
    """Say whether `key` was not in this shared table yet, and put it there; False too if the table is full."""
    cdef uint64_t *table = <uint64_t *> cnp.PyArray_DATA(words)
    cdef uint64_t length = cnp.PyArray_DIM(words, 0), i
    key = key or 1
    for i in range(length):
        if dsm_cas(table + (key + i) % length, 0, key):
            return True
        if dsm_load(table + (key + i) % length) == key:
            return False
    return False


# The parts are compiled into this one module, so that what one does in another is inlined.
include "race_shadow.pxi"
include "race_clocks.pxi"
include "race_holds.pxi"
include "race_sites.pxi"
include "race_touch.pxi"
include "race_hooks.pxi"
include "race_ufunc.pxi"

os.register_at_fork(after_in_child=lambda: watch(None, None))   # a child that a worker forks is no worker
