# Messages as the native modules know them: see `post.pyx`.
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from pydsm.native.twins cimport dsm_bytes

cdef packed struct Head:
    uint8_t kind, flags
    uint16_t node
    uint32_t team, who
    uint64_t number, more

cdef enum:
    ACQUIRE = 1                # a wish for stripes; more: the array
    GRANT = 2                  # the answer to that, or to a store
    RELEASE = 3                # what was written, and stripes that are given back; more: bytes of the first
    FETCH = 6                  # a wish for elements; more: the array
    ELEMENTS = 7               # the answer to that
    STORE = 8                  # elements, as a diff; more: the array
    PICKLED = 128              # what is no packed message is a pickle
    SHARED = 1                 # flags of a wish
    TAGS = 2                   # from this bit on, the tag that the answer has
    PART = 16                  # bytes before each part of what was written: the array's id, its length
    GIVEN = 16                 # before stripes that are given back: the array's id, how many
    ONE = 24                   # of a wish for one stripe: the first, how many, its version
    RUN = 16                   # of a wish for elements: the first unit, how many

cdef class Post:
    cdef object isend, improbe, any_source, byte, status
    cdef object guard
    cdef readonly dict messages, sizes
    cdef readonly list pending
    cdef Py_ssize_t rounds
    cdef bint has_sent

    cpdef int count(self, str kind, Py_ssize_t size) except -1
    cpdef int send(self, rank, tag, str kind, bytes content) except -1
    cpdef bint flush(self) except -1
    cpdef tuple take(self, tag, double eager=*)

cdef Head *begin(dsm_bytes *to) except NULL
cdef bytes message(dsm_bytes *to)
cdef int head_of(bytearray content, Head *head) except -1
