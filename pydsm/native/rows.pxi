# Where rows lie among those that the stripes guard.


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
    cdef Py_ssize_t stripe_bytes    # of its memory that one stripe guards
    cdef int stripe_shift           # its logarithm, or -1: a division is a tenth of an atomic operation
    cdef object array
    cdef cnp.ndarray spare      # the last row view, without its base, if nobody kept it
    cdef Region last            # the last region, to be used again if nobody kept it

    def __cinit__(self, StripeLocks locks not None, cnp.ndarray array not None, *, Py_ssize_t origin,
                  Py_ssize_t step, Py_ssize_t span, Py_ssize_t block, bint guarded, Rows whole=None):
        self.locks = locks
        if whole is None:
            self.home = <char *> cnp.PyArray_DATA(array)
            self.stripe_bytes = max(1, block * (cnp.PyArray_NBYTES(array) // max(1, cnp.PyArray_DIM(array, 0))))
        else:
            self.home, self.stripe_bytes = whole.home, whole.stripe_bytes
        self.stripe_shift = -1
        if self.stripe_bytes & (self.stripe_bytes - 1) == 0:
            self.stripe_shift = self.stripe_bytes.bit_length() - 1
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
