# Where in the program an access is: the innermost frame that is neither pydsm's nor NumPy's.
#
# A frame's code and instruction are looked up in a small table; what is not there, or has left it,
# is asked of Python (`pydsm.races.sites`), which gives each place a number for good.

cdef extern from "Python.h":
    ctypedef struct PyFrameObject
    ctypedef struct PyCodeObject
    PyFrameObject *PyEval_GetFrame()
    PyFrameObject *PyFrame_GetBack(PyFrameObject *frame)      # a new reference, or NULL
    PyCodeObject *PyFrame_GetCode(PyFrameObject *frame)       # a new reference
    int PyFrame_GetLasti(PyFrameObject *frame)
    void Py_DECREF_RAW "Py_DECREF" (void *o)
    void Py_INCREF_RAW "Py_INCREF" (void *o)

cdef enum:
    PLACES = 4096
    INSIDE = -1                 # a frame of pydsm's or NumPy's: look at its caller
    NOWHERE = 0

cdef struct Place:
    PyCodeObject *code
    int instruction, site

cdef Place[PLACES] places
cdef object intern_place = None     # (code, instruction) -> number of the place, or INSIDE
cdef dict kept_codes = {}           # so that no other code gets the address of one in the table


def intern_with(intern):
    """Name who gives places numbers; what was known is forgotten."""
    global intern_place
    intern_place = intern
    for i in range(PLACES):
        places[i].code = NULL
    kept_codes.clear()


cdef int site_of(PyFrameObject *frame) except -2:
    """Return the number of the place where a frame is."""
    cdef PyCodeObject *code = PyFrame_GetCode(frame)
    Py_DECREF_RAW(code)                                  # the frame keeps it
    cdef int instruction = PyFrame_GetLasti(frame)
    cdef Place *place = &places[((<uintptr_t> code >> 4) ^ <uintptr_t> instruction * 31) % PLACES]
    if place.code != code or place.instruction != instruction:
        owner = <object> <PyObject *> code
        number = intern_place(owner, instruction)
        kept_codes[id(owner)] = owner
        place.code, place.instruction, place.site = code, instruction, number
    return place.site


cdef int here() except -2:
    """Return the number of the place in the user's program that is being executed."""
    cdef PyFrameObject *frame = PyEval_GetFrame()
    cdef PyFrameObject *back
    cdef int site
    if frame == NULL:
        return NOWHERE
    site = site_of(frame)
    if site != INSIDE:
        return site
    Py_INCREF_RAW(frame)
    try:
        while site == INSIDE:
            back = PyFrame_GetBack(frame)
            Py_DECREF_RAW(frame)
            frame = back
            if frame == NULL:
                return NOWHERE
            site = site_of(frame)
    finally:
        if frame != NULL:
            Py_DECREF_RAW(frame)
    return site
