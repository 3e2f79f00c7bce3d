from __future__ import annotations

import os
import signal
import threading
import time
import warnings
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

import pydsm


@pytest.fixture
def A() -> Iterator[pydsm.GlobalArray]:
    yield pydsm.create("A", (10, 3), int)
    pydsm.unlink("A")


class Holder:
    """A thread that holds a region until told to leave it."""

    def __init__(self, region: object) -> None:
        self.inside, self.leave = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self._hold, args=(region,))

    def _hold(self, region: object) -> None:
        with region:
            self.inside.set()
            self.leave.wait(30)

    def __enter__(self) -> Holder:
        self.thread.start()
        assert self.inside.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self.leave.set()
        self.thread.join()


def is_free(A: pydsm.GlobalArray, rows: object = None, **mode: bool) -> bool:
    """Ask from a thread of its own, so that nothing is re-entrant."""
    answer = []

    def ask() -> None:
        try:
            with A.locked(rows, timeout=0, **mode):
                answer.append(True)
        except pydsm.LockTimeoutError:
            answer.append(False)

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return answer[0]


@pytest.mark.parametrize(
    ("key", "rows"),
    [
        (3, {3}),
        (-1, {9}),
        (np.int32(4), {4}),
        (slice(2, 5), {2, 3, 4}),
        (slice(None, None, 4), {0, 4, 8}),
        (slice(7, 2, -2), {3, 5, 7}),
        ([1, 8, 1], {1, 8}),
        (np.array([0, -1]), {0, 9}),
        (np.arange(10) % 5 == 0, {0, 5}),
        (None, set(range(10))),
        (..., set(range(10))),
        ([], set()),
        (slice(4, 4), set()),
    ],
    ids=str,
)
def test_exactly_the_rows_asked_for_are_held(A: pydsm.GlobalArray, key: object, rows: set[int]) -> None:
    with A.locked(key):
        assert {row for row in range(10) if not is_free(A, row)} == rows
        assert {row for row in range(10) if A.holds(row)} == rows
    assert is_free(A)


def test_a_shared_region_admits_sharers_and_no_exclusive_one(A: pydsm.GlobalArray) -> None:
    with A.locked(2, shared=True) as row:
        assert is_free(A, 2, shared=True)
        assert not is_free(A, 2)
        assert A.holds(2, shared=True)
        assert not A.holds(2)
        with pytest.raises(ValueError, match="read-only"):
            row[0] = 1
    with A.locked(2):
        assert not is_free(A, 2, shared=True)
        assert A.holds(2, shared=True)


def test_the_view_is_of_the_rows_and_ends_with_the_region(A: pydsm.GlobalArray) -> None:
    with A.locked(4) as row:
        assert row.shape == (3,)
        row[:] = 5
    with A.locked(slice(4, 6)) as rows:
        assert rows.shape == (2, 3)
        rows += 1
    assert A[4].tolist() == [6, 6, 6]
    for view in (row, rows):
        with pytest.raises(ValueError, match="read-only"):
            view[...] = 0
    with A.locked([1, 2]) as whole:
        assert whole is A


def test_the_view_of_one_row_of_one_axis_has_no_axis() -> None:
    A = pydsm.create("one", 4, int)
    with A.locked(2) as row:
        assert (row.shape, isinstance(row, pydsm.GlobalArray)) == ((), True)
        row += 3
    assert A.tolist() == [0, 0, 3, 0]
    pydsm.unlink("one")


def test_a_kept_row_view_is_not_moved_to_another_row(A: pydsm.GlobalArray) -> None:
    kept = []
    for i in range(3):
        with A.locked(i) as row:
            row[:] = i + 1
            kept.append(row)
    assert [row.tolist() for row in kept] == [[1] * 3, [2] * 3, [3] * 3]
    with A.locked(5) as five, A.locked(6) as six:
        five[:], six[:] = 5, 6
    assert (A[5].tolist(), A[6].tolist()) == ([5] * 3, [6] * 3)


def test_a_row_view_that_was_changed_or_watched_is_not_used_again(A: pydsm.GlobalArray) -> None:
    def touch(row: int, how: str) -> object:
        with A.locked(row) as view:
            if how == "name":
                return view.name
            if how == "weakref":
                return weakref.ref(view)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                if how == "shape":
                    view.shape = (3, 1)
                else:
                    view.dtype = np.float64
        return None

    for how in ("name", "weakref", "shape", "dtype"):
        watch = touch(0, how)
        with A.locked(5) as row:
            assert (row.shape, row.dtype, row.base is not None) == ((3,), A.dtype, True)
            row[:] = 5
        with row.locked():
            assert [r for r in range(10) if not is_free(A, r)] == [5]
        if how == "weakref":
            assert watch() is None
    assert A[5].tolist() == [5, 5, 5]


def test_a_region_cannot_be_entered_after_the_shape_was_set(A: pydsm.GlobalArray) -> None:
    B = pydsm.attach("A")
    region = B.locked(9)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        B.shape = (30,)
    with pytest.raises(RuntimeError, match="another shape"), region:
        pass
    assert is_free(A)


def test_a_view_that_cannot_be_made_leaves_nothing_held(A: pydsm.GlobalArray) -> None:
    with pytest.raises(IndexError, match="no axis"):
        A[3, 1, ...].locked(slice(None))
    with pytest.raises(IndexError, match="no axis"):
        A[3, 1, ...].locked(0)
    assert is_free(A)


def test_a_handler_cannot_enter_what_its_thread_waits_for(A: pydsm.GlobalArray) -> None:
    caught = []

    def handler(*_: object) -> None:
        try:
            with A.locked(0, timeout=0.1):
                pass
        except RuntimeError as error:
            caught.append(str(error))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with Holder(A.locked(0, shared=True)) as holder:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            timer = threading.Timer(0.3, holder.leave.set)
            timer.start()
            with A.locked(0):
                pass
            timer.join()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert "this very thread is waiting for it" in caught[0]
    assert is_free(A)


def test_counts_of_re_entrance_are_not_inherited_over_a_fork(A: pydsm.GlobalArray) -> None:
    inside, leave = threading.Event(), threading.Event()

    def nest() -> None:
        with A.locked(3), A.locked(3):
            inside.set()
            leave.wait(20)

    thread = threading.Thread(target=nest)
    thread.start()
    inside.wait(10)
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.read(ready, 1)
            with A.locked(3, timeout=10):
                pass
            code = int(A.holds(3))
        finally:
            os._exit(code)
    leave.set()
    thread.join()
    os.write(go, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert is_free(A)
    os.close(ready)
    os.close(go)


def test_a_waiter_that_was_killed_does_not_keep_wake_ups(A: pydsm.GlobalArray) -> None:
    with A.locked(0):
        pid = os.fork()
        if pid == 0:
            A.locked(0).__enter__()
            os._exit(0)
        while not A._table.waiting():
            time.sleep(0.001)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    assert A._table.waiting() == []  # the release found it dead
    assert is_free(A)


def test_regions_of_one_thread_nest_in_any_order(A: pydsm.GlobalArray) -> None:
    outer, inner = A.locked(slice(0, 5)), A.locked([4, 5])
    outer.__enter__()
    inner.__enter__()
    outer.__exit__(None, None, None)  # not the last in: row 4 stays held
    assert not is_free(A, 4)
    assert is_free(A, 0)
    inner.__exit__(None, None, None)
    assert is_free(A)


def test_the_same_row_may_be_entered_again_in_the_same_mode(A: pydsm.GlobalArray) -> None:
    for mode in (False, True):
        with A.locked(1, shared=mode), A.locked(1, shared=mode), A.locked(slice(0, 3), shared=mode):
            assert not is_free(A, 1)
        assert is_free(A)
    with A.locked(1), A.locked(1, shared=True):
        pass
    assert is_free(A)


def test_a_shared_hold_cannot_become_exclusive(A: pydsm.GlobalArray) -> None:
    with A.locked(1, shared=True):
        with pytest.raises(RuntimeError, match="holds row 1 of it shared already"), A.locked():
            pass
        assert is_free(A, 2)
    assert is_free(A)


def test_a_timeout_names_rows_and_holder_and_leaves_nothing_held(A: pydsm.GlobalArray) -> None:
    with Holder(A.locked(6)):
        for rows in (6, slice(3, 8), None):
            sentence = f"array 'A'.*row 6 held by pid {os.getpid()}"
            with pytest.raises(TimeoutError, match=sentence), A.locked(rows, timeout=0.03):
                pass
        assert is_free(A, slice(0, 6))
        assert is_free(A, slice(7, 10))
    assert is_free(A)


def test_a_timeout_covers_all_stripes_together(A: pydsm.GlobalArray) -> None:
    with Holder(A.locked([2])), Holder(A.locked([5])):
        start = time.monotonic()
        with pytest.raises(pydsm.LockTimeoutError), A.locked(timeout=0.1):
            pass
        assert time.monotonic() - start < 5


@pytest.mark.parametrize(("timeout", "error"), [(-1, ValueError), (float("nan"), ValueError), ("1", TypeError)])
def test_a_timeout_is_a_number_of_seconds(A: pydsm.GlobalArray, timeout: object, error: type[Exception]) -> None:
    with pytest.raises(error, match="timeout is a number"), A.locked(1, timeout=timeout):
        pass


def test_a_waiter_gets_the_row_when_it_is_left(A: pydsm.GlobalArray) -> None:
    order = []

    def wait() -> None:
        with A.locked(3):
            order.append("waiter")

    with Holder(A.locked(3)) as holder:
        thread = threading.Thread(target=wait)
        thread.start()
        while not any(A._table.waiting()):
            time.sleep(0.001)
        order.append("holder")
        holder.leave.set()
        thread.join(10)
    assert order == ["holder", "waiter"]


def test_a_writer_is_not_starved_by_readers(A: pydsm.GlobalArray) -> None:
    stop = threading.Event()

    def read() -> None:
        while not stop.is_set():
            with A.locked(3, shared=True):
                pass

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    try:
        for _ in range(20):
            with A.locked(3, timeout=20):
                pass
    finally:
        stop.set()
        for reader in readers:
            reader.join()


def test_an_exception_leaves_the_region(A: pydsm.GlobalArray) -> None:
    with pytest.raises(ZeroDivisionError), A.locked([1, 5]):
        _ = 1 / 0
    assert is_free(A)


def test_misuse_of_a_region_is_an_error_that_keeps_the_locks_right(A: pydsm.GlobalArray) -> None:
    region = A.locked(1)
    with pytest.raises(RuntimeError, match="without being entered"):
        region.__exit__(None, None, None)
    with region, pytest.raises(RuntimeError, match="entered already"):
        region.__enter__()
    assert is_free(A)
    with region:  # it may be used again after it was left
        assert not is_free(A, 1)
    with Holder(A.locked(2)) as holder:
        pass
    foreign = A.locked(4)
    foreign.__enter__()
    caught = []

    def leave() -> None:
        try:
            foreign.__exit__(None, None, None)
        except RuntimeError as error:
            caught.append(str(error))

    holder.thread = threading.Thread(target=leave)
    holder.thread.start()
    holder.thread.join()
    assert "another thread" in caught[0]
    foreign.__exit__(None, None, None)
    assert is_free(A)


def test_a_dropped_region_does_not_keep_the_array_alive() -> None:
    import gc

    A = pydsm.create("gone", 4, int)
    with A.locked(1):
        pass
    A.locked(2)
    watch = weakref.ref(A)
    pydsm.unlink("gone")
    del A
    gc.collect()
    assert watch() is None


def test_private_copies_have_no_locks(A: pydsm.GlobalArray) -> None:
    for private in (A[[1, 2]], A[A[:, 0] == 0]):
        with pytest.raises(TypeError, match="private copy"):
            private.locked()
        assert private.name is None


def test_rows_of_views_are_rows_of_the_array(A: pydsm.GlobalArray) -> None:
    cases = [
        (A[2:8], 1, {3}),
        (A[2:8][::2], 1, {4}),
        (A[::-1], 0, {9}),
        (A[8:2:-3], slice(None), {8, 5}),
        (A[:, 1], 4, {4}),
        (A[5], 1, {5}),
        (A[5, 1:], None, {5}),
        (A.T, 0, set(range(10))),
        (A.reshape(30), 4, set(range(10))),
        (A.reshape(5, 6), 1, set(range(10))),
        (A.view(np.uint8), 3, {3}),
        (A[4:5].reshape(3), 0, {4}),
        (A[3:5, None], -1, {4}),
        (A[0:0], None, set()),
    ]
    for view, key, rows in cases:
        with view.locked(key):
            assert {row for row in range(10) if not is_free(A, row)} == rows, (view.shape, key)


def test_deadlock_between_threads_names_the_cycle(A: pydsm.GlobalArray) -> None:
    both = threading.Barrier(2)
    errors: list[pydsm.DeadlockError] = []

    def cross(first: int, second: int) -> None:
        try:
            with A.locked(first):
                both.wait()
                with A.locked(second):
                    pass
        except pydsm.DeadlockError as error:
            errors.append(error)

    threads = [threading.Thread(target=cross, args=pair) for pair in ((0, 1), (1, 0))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(errors) == 1  # one gives up, the other goes on
    assert len(errors[0].cycle) == 2
    assert str(errors[0]).count("waits at row") == 2
    assert is_free(A)


def test_a_ring_of_three_shared_and_exclusive_waits_is_a_deadlock(A: pydsm.GlobalArray) -> None:
    three = threading.Barrier(3)
    errors: list[pydsm.DeadlockError] = []

    def ring(me: int) -> None:
        try:
            with A.locked(me, shared=me == 1):
                three.wait()
                with A.locked((me + 1) % 3):
                    pass
        except pydsm.DeadlockError as error:
            errors.append(error)

    threads = [threading.Thread(target=ring, args=(me,)) for me in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(errors) == 1
    assert len(errors[0].cycle) == 3
    assert is_free(A)


def test_a_holder_that_was_killed_is_reported_instead_of_waited_for(A: pydsm.GlobalArray) -> None:
    ready, go = os.pipe()
    pid = os.fork()
    if pid == 0:
        A.locked([2, 4]).__enter__()
        os.write(go, b"x")
        signal.pause()
    assert os.read(ready, 1) == b"x"
    with pytest.raises(pydsm.LockTimeoutError), A.locked(4, timeout=0.2):  # alive: we wait
        pass
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    for rows in (4, None):
        with pytest.raises(pydsm.OwnerDiedError, match=rf"pid {pid} died holding row [24]") as caught, A.locked(rows):
            pass
        assert (caught.value.pid, caught.value.rank, caught.value.name) == (pid, None, "A")
    assert is_free(A, 3)
    os.close(ready)
    os.close(go)


def test_a_thread_that_died_holding_is_reported_too(A: pydsm.GlobalArray) -> None:
    thread = threading.Thread(target=lambda: A.locked(1).__enter__())
    thread.start()
    thread.join()
    with pytest.raises(pydsm.OwnerDiedError, match="row 1"), A.locked(1):
        pass


def test_re_entrance_is_counted_over_all_attachments(A: pydsm.GlobalArray) -> None:
    B, C = pydsm.attach("A"), pydsm.attach("A", readonly=True)
    regions = [array.locked(3) for array in (A, B, C)]
    for region in regions:
        region.__enter__()
    for region in regions:
        assert not is_free(A, 3)
        region.__exit__(None, None, None)
    assert is_free(A, 3)


def test_a_shape_set_in_place_moves_the_rows_with_it(A: pydsm.GlobalArray) -> None:
    B = pydsm.attach("A")
    with B.locked(9):
        pass
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        B.shape = (5, 6)
    with B.locked(4) as row:
        assert row.shape == (6,)
        assert not is_free(A, 9)
    with pytest.raises(IndexError):
        B.locked(9)
    assert A.locked(9).stripes().tolist() == [9]


def test_waiting_in_a_row_without_a_cycle_is_no_deadlock(A: pydsm.GlobalArray) -> None:
    def pass_on() -> None:
        with A.locked([1, 2]):
            time.sleep(0.05)

    with Holder(A.locked(2)) as holder:
        threads = [threading.Thread(target=pass_on) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.4)  # several looks for a cycle
        holder.leave.set()
        for thread in threads:
            thread.join(20)
    assert is_free(A)


def test_an_interrupt_while_waiting_leaves_nothing_held(A: pydsm.GlobalArray) -> None:
    with Holder(A.locked(5)):
        timer = threading.Timer(0.05, lambda: signal.pthread_kill(threading.main_thread().ident, signal.SIGINT))
        timer.start()
        with pytest.raises(KeyboardInterrupt), A.locked():
            pass
        timer.join()
        assert is_free(A, slice(0, 5))
        assert A._table.waiting() == []
    assert is_free(A)


def test_an_exception_of_a_signal_handler_arrives_from_a_wait(A: pydsm.GlobalArray) -> None:
    class Alarm(Exception):
        pass

    def handler(*_: object) -> None:
        raise Alarm

    before = signal.signal(signal.SIGALRM, handler)
    try:
        with Holder(A.locked(5)):
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(Alarm), A.locked(5):
                pass
    finally:
        signal.signal(signal.SIGALRM, before)
    assert is_free(A)


def test_a_handled_signal_does_not_end_a_wait(A: pydsm.GlobalArray) -> None:
    seen = []
    before = signal.signal(signal.SIGALRM, lambda *_: seen.append(1))
    try:
        with Holder(A.locked(5)) as holder:
            signal.setitimer(signal.ITIMER_REAL, 0.03)
            timer = threading.Timer(0.15, holder.leave.set)
            timer.start()
            with A.locked(5, timeout=20):
                assert seen == [1]
            timer.join()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_fork_inside_a_region_holds_nothing_and_releases_nothing(A: pydsm.GlobalArray) -> None:
    with A.locked(7):
        pid = os.fork()
        if pid == 0:
            code = 1
            try:
                code = 0 if not A.holds(7) else 2
            finally:
                break_out = code
        else:
            assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
            assert A.holds(7)
            assert not is_free(A, 7)
    if pid == 0:  # the child has left the with block too
        os._exit(break_out)
    assert is_free(A)


def test_statistics_count_what_happened(A: pydsm.GlobalArray) -> None:
    for _ in range(5):
        with A.locked(1):
            pass
    with Holder(A.locked(2)), pytest.raises(pydsm.LockTimeoutError), A.locked(2, timeout=0.01):
        pass
    with A.locked([3, 4]):
        seen = A.statistics()
    assert (seen.name, seen.stripes, seen.acquisitions, seen.contended) == ("A", 10, 7, 1)
    assert seen.parks >= 1
    assert seen.waited_seconds > 0
    assert (seen.held_exclusive, seen.held_shared) == (2, 0)


@pytest.mark.parametrize(("rows", "stripes", "expected"), [(10, 1, 1), (10, 4, 4), (10, None, 10), (5000, None, 500)])
def test_stripes_are_settable_and_bounded(rows: int, stripes: int | None, expected: int) -> None:
    A = pydsm.create("striped", rows, stripes=stripes)
    assert A.stripes == expected
    with A.locked(rows - 1):
        assert not is_free(A, rows - 1)
    pydsm.unlink("striped")


def test_a_guarded_array_is_written_through_regions_only() -> None:
    A = pydsm.create("guarded", (4, 2), int, access="guarded")
    with pytest.raises(ValueError, match="read-only"):
        A[0] = 1
    with A.locked(1) as row:
        row[:] = 2
    with A.locked(slice(2, 4)) as rows:
        rows[:] = 3
    with A.locked([0]) as whole:
        whole[0] = 1
    with A[1:].locked(0) as row:
        row += 5
    assert A.tolist() == [[1, 1], [7, 7], [3, 3], [3, 3]]
    for view in (row, rows, whole, A[1:]):
        assert not view.flags.writeable
    other = pydsm.attach("guarded")
    assert not other.flags.writeable
    pydsm.unlink("guarded")


def test_a_readonly_attachment_can_lock_but_never_write() -> None:
    A = pydsm.create("ro", 4, int, access="guarded")
    view = pydsm.attach("ro", readonly=True)
    with view.locked(1) as row:
        assert not row.flags.writeable
        assert not is_free(A, 1)
    with view.locked() as rows:
        assert not rows.flags.writeable
    pydsm.unlink("ro")
