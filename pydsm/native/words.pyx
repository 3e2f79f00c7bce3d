# cython: language_level=3, boundscheck=False, wraparound=False, embedsignature=True
"""64-bit atomic words in shared memory."""

cimport cython
cimport numpy as cnp
from cpython.exc cimport PyErr_CheckSignals
from libc.errno cimport errno
from libc.stdint cimport int64_t, uint64_t

cdef extern from "<fcntl.h>" nogil:
    """
    /* Lock or unlock one byte for this open file description; 0 or errno. */
    static int dsm_lock_byte(int descriptor, int kind, long long byte, int wait) {
        struct flock request = {.l_type = kind, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
        return fcntl(descriptor, wait ? F_OFD_SETLKW : F_OFD_SETLK, &request) ? errno : 0;
    }
    """
    int dsm_lock_byte(int descriptor, int kind, long long byte, int wait)
    enum: F_WRLCK, F_UNLCK

cdef extern from "<errno.h>":
    enum: EINTR, EAGAIN, EACCES

cdef extern from "<sys/mman.h>" nogil:
    """
    /* Map a file's first bytes, in place of what is at an address unless that is 0; MAP_FAILED and errno as mmap. */
    static void *dsm_map(size_t address, size_t length, int protection, int flags, int descriptor) {
        return mmap((void *) address, length, protection, flags | (address ? MAP_FIXED : 0), descriptor, 0);
    }
    """
    void *dsm_map(size_t address, size_t length, int protection, int flags, int descriptor)
    void *MAP_FAILED

cdef extern from "atomic.h" nogil:
    uint64_t dsm_load(const uint64_t *p)
    void dsm_store(uint64_t *p, uint64_t v)
    uint64_t dsm_exchange(uint64_t *p, uint64_t v)
    uint64_t dsm_add(uint64_t *p, uint64_t v)
    uint64_t dsm_or(uint64_t *p, uint64_t v)
    uint64_t dsm_and(uint64_t *p, uint64_t v)
    int dsm_cas(uint64_t *p, uint64_t expected, uint64_t desired)
    void dsm_fence()
    void dsm_pause()
    void dsm_hold_signals()
    void dsm_restore_signals()
    int dsm_die_with_parent(int signal)

cnp.import_array()


def fence():
    """Order all earlier loads and stores of this thread before all later ones."""
    dsm_fence()


def hold_signals():
    """Hold back all signals from this thread until `restore_signals`."""
    dsm_hold_signals()


def restore_signals():
    """Let signals through as before `hold_signals`; does nothing without it."""
    dsm_restore_signals()


def die_with_parent(int signal):
    """Let the kernel send this process a signal when the thread that forked it ends."""
    dsm_die_with_parent(signal)


def map_pages(size_t address, size_t length, int protection, int flags, int descriptor):
    """Map a file from its beginning, as mmap(2), and return where.

    Parameters
    ----------
    address : int
        Replace the pages there, which must be mapped and nobody else's; 0: where there is room.
    length, protection, flags, descriptor : int

    Raises
    ------
    OSError
    """
    cdef void *place = dsm_map(address, length, protection, flags, descriptor)
    if place == MAP_FAILED:
        raise OSError(errno, "a file cannot be mapped")
    return <size_t> place


cdef class ByteLock:
    """An exclusive kernel lock on one byte of a file, held inside ``with``.

    Native, so that no signal's handler can come between the lock and the block, nor keep
    the lock from being given back.

    Parameters
    ----------
    descriptor : int
    byte : int
    guard : threading.RLock
        Keeps this process's other threads out, whom the kernel does not.
    wait : bool
        Wait until others have given it back; else ``as`` says whether it was had.
    """

    cdef int descriptor
    cdef long long byte
    cdef object guard
    cdef bint wait, mine

    def __cinit__(self, int descriptor, long long byte, guard, *, bint wait):
        self.descriptor, self.byte, self.guard, self.wait = descriptor, byte, guard, wait

    def __enter__(self):
        cdef int problem
        self.guard.acquire()
        try:
            while True:
                with nogil:
                    problem = dsm_lock_byte(self.descriptor, F_WRLCK, self.byte, self.wait)
                if problem != EINTR:
                    break
                PyErr_CheckSignals()
            if problem and (self.wait or problem != EAGAIN and problem != EACCES):
                raise OSError(problem, "a byte of a lock file cannot be locked")
        except BaseException:
            self.guard.release()
            raise
        self.mine = problem == 0
        return bool(self.mine)

    def __exit__(self, kind, error, trace):
        if self.mine:
            self.mine = False
            dsm_lock_byte(self.descriptor, F_UNLCK, self.byte, 0)
        self.guard.release()


cdef class Words:
    """Atomic view of a one-dimensional, contiguous uint64 array.

    Every operation is sequentially consistent.  The array is kept alive.
    """

    cdef uint64_t *words
    cdef readonly Py_ssize_t size
    cdef object keep

    def __cinit__(self, cnp.ndarray array not None):
        if array.dtype.str != "<u8" and array.dtype.str != ">u8" or not array.dtype.isnative:
            raise TypeError(f"atomic words need native uint64, not {array.dtype}")
        if array.ndim != 1 or not array.flags.c_contiguous or not array.flags.writeable:
            raise ValueError("atomic words need a contiguous writable 1-D array")
        self.words = <uint64_t *> cnp.PyArray_DATA(array)
        self.size = array.shape[0]
        self.keep = array

    cdef inline uint64_t *at(self, Py_ssize_t index) except NULL:
        if index < 0 or index >= self.size:
            raise IndexError(f"word {index} is outside the {self.size} words of this block")
        return self.words + index

    def __len__(self):
        return self.size

    def load(self, Py_ssize_t index):
        """Return the word."""
        return dsm_load(self.at(index))

    def store(self, Py_ssize_t index, uint64_t value):
        """Set the word."""
        dsm_store(self.at(index), value)

    def exchange(self, Py_ssize_t index, uint64_t value):
        """Set the word and return what it was."""
        return dsm_exchange(self.at(index), value)

    def add(self, Py_ssize_t index, uint64_t value):
        """Add modulo 2**64 and return what the word was."""
        return dsm_add(self.at(index), value)

    def or_(self, Py_ssize_t index, uint64_t value):
        """Set the bits of `value` and return what the word was."""
        return dsm_or(self.at(index), value)

    def and_(self, Py_ssize_t index, uint64_t value):
        """Keep the bits of `value` and return what the word was."""
        return dsm_and(self.at(index), value)

    def compare_and_swap(self, Py_ssize_t index, uint64_t expected, uint64_t desired):
        """Set the word if it is `expected`; say whether it was."""
        return bool(dsm_cas(self.at(index), expected, desired))

    def advance(self, Py_ssize_t index, uint64_t base, uint64_t length, uint64_t parts, uint64_t chunk):
        """Take the next of `length` things from a word that counts from `base` on; None if all are taken.

        Parameters
        ----------
        index, base, length : int
        parts : int
            Without a chunk, take this part of what is left, but not less than one thing.
        chunk : int
            How many to take, or 0.

        Returns
        -------
        range, optional
            What this call alone has; None too if the word was made another count's.
        """
        cdef uint64_t *word = self.at(index)
        cdef uint64_t place, start, count
        while True:
            place = dsm_load(word)
            start = place - base  # modulo 2**64: of another count it is too much, not less than nothing
            if start >= length:
                return None
            count = min(chunk, length - start) if chunk else max(<uint64_t> 1, (length - start) // parts)
            if dsm_cas(word, place, place + count):
                return range(start, start + count)

    def spin_while(self, Py_ssize_t index, uint64_t value, Py_ssize_t turns):
        """Watch the word for at most `turns` turns; say whether it still is `value`.

        The interpreter lock is released meanwhile.
        """
        cdef uint64_t *word = self.at(index)
        cdef bint same = True
        cdef Py_ssize_t turn
        with nogil:
            for turn in range(turns):
                same = dsm_load(word) == value
                if not same:
                    break
                dsm_pause()
        return same


include "barrier.pxi"
include "bell.pxi"
