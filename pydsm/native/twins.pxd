# What the other native modules need of twins: see `twins.pyx`.
from libc.stdint cimport int64_t, uint64_t

cdef extern from "twins.h" nogil:
    ctypedef struct dsm_twins:
        char *data
        char *twin
        uint64_t *versions
        uint64_t *pushed
        int64_t unit, stripe, size
    ctypedef struct dsm_bytes:
        char *bytes
        int64_t used, room
    char *dsm_more(dsm_bytes *to, int64_t count)

cdef class Lines:
    cdef uint64_t *words
    cdef readonly Py_ssize_t homes
    cdef object keep

    cdef uint64_t *line(self, Py_ssize_t home) except NULL
    cdef uint64_t number_sent(self, Py_ssize_t home) except? 0
    cdef int know_heard(self, Py_ssize_t home, uint64_t number) except -1
    cdef uint64_t write(self, Py_ssize_t home, list parts, bint always, dsm_bytes *to) except? 0
    cdef int foresee(self, list runs) except -1

cdef class Twins:
    cdef dsm_twins of
    cdef readonly uint64_t array_id
    cdef readonly Py_ssize_t stripes
    cdef object keep

    cdef int check(self, int64_t first, int64_t stop) except -1
    cdef list runs(self, tuple part)
    cdef int64_t at_once(self) noexcept
    cdef int64_t byte(self, int64_t stripe) noexcept
    cdef bint take(self, list runs, uint64_t number, uint64_t *sent, dsm_bytes *to) noexcept
    cdef void note_run(self, int64_t first, int64_t stop) noexcept
    cdef int write_known(self, int64_t first, int64_t stop, dsm_bytes *to) except -1
    cdef int write_newer(self, Lines lines, Py_ssize_t home, const char *at, int64_t length, dsm_bytes *to) except -1
    cdef int64_t start_of(self, int64_t first, int64_t length) except -1
    cdef int write_elements(self, const char *run, dsm_bytes *to) except -1
    cdef uint64_t write_here(self, Lines lines, Py_ssize_t home, const char *at, int64_t length) except 0
    cdef int bring_in(self, Lines lines, Py_ssize_t home, const char *at, int64_t length, bint at_once) except -1
    cdef list merge_block(self, Lines lines, Py_ssize_t home, const char *at, int64_t length, uint64_t applied)
