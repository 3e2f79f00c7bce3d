"""What a thread does while it waits, and what may happen to it meanwhile."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator

import pytest

import pydsm
from pydsm import supervise
from pydsm.core.layout import Slot
from pydsm.native import held
from pydsm.sync import barrier, deadlock, locktable
from pydsm.sync.lock import attach_lock, create_lock
from pydsm.sync.locktable import LockTable
from pydsm.sync.parking import Parking
from pydsm.sync.slots import EXCLUSIVE
from tests.test_locked import Holder, is_free

Steps = list[Callable[[], object]]


@pytest.fixture
def A() -> Iterator[pydsm.GlobalArray]:
    yield pydsm.create("A", 4, int)
    pydsm.unlink("A")


@pytest.fixture
def parks(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """Give the steps that the main thread takes instead of its next sleeps, as if a handler ran just then."""
    real, me, steps = Parking.park, threading.get_ident(), Steps()

    def park(self: Parking, slot: int, seconds: float) -> bool:
        if not steps or threading.get_ident() != me:
            return real(self, slot, seconds)
        steps.pop(0)()
        return True

    monkeypatch.setattr(Parking, "park", park)
    return steps


@pytest.fixture
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let who waits look for the dead and for deadlocks all the time."""
    for module in (locktable, barrier):
        monkeypatch.setattr(module, "_FIRST_PARK", 0.001)
        monkeypatch.setattr(module, "_LAST_PARK", 0.001)


@contextlib.contextmanager
def handling(number: signal.Signals, handler: Callable[..., object]) -> Iterator[None]:
    before = signal.signal(number, handler)
    try:
        yield
    finally:
        signal.signal(number, before)


def fork() -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # there are threads, says Python from 3.12 on
        return os.fork()


def until(condition: Callable[[], object]) -> None:
    """Wait for something that is sure to come, and fail if it does not."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline, "it never came"
        os.sched_yield()


def ends(holder: Holder) -> None:
    """Let a holder leave its region, and its thread end."""
    holder.leave.set()
    holder.thread.join()


class Puppets:
    """Participants without a thread: what they hold and wait for is what the test writes down."""

    def __init__(self, A: pydsm.GlobalArray) -> None:
        self.table = A._table
        self.slots = self.table.namespace.slots

    def __enter__(self) -> Puppets:
        self.table.namespace._taken |= {0, 1}  # alive
        return self

    def __exit__(self, *_: object) -> None:
        self.table.namespace._taken -= {0, 1}
        for slot in (0, 1):
            self.slots.vacate(slot)
        self.table.lines[:] = 0

    def hold(self, slot: int, row: int) -> None:
        self.table.lines[8 * row] = slot + 1

    def wait(self, slot: int, row: int, blocker: int) -> None:
        self.slots.begin_wait(slot, EXCLUSIVE, self.table.array_id << 32 | row)
        self.look(slot, blocker)

    def look(self, slot: int, blocker: int) -> None:
        self.slots.block_on(slot, 1 << blocker)


# -- waits inside waits --------------------------------------------------------------


def test_after_a_wait_inside_a_wait_the_outer_one_is_announced_again(A: pydsm.GlobalArray, parks: Steps) -> None:
    slots, slot = A._table.namespace.slots, A._table.namespace.join() - 1
    announced = []

    def handler() -> None:
        with A.locked(1, timeout=20):
            pass

    def look() -> None:
        announced.append((slots.get(slot, Slot.WAIT) > 0, slots.get(slot, Slot.KIND), slots.get(slot, Slot.TARGET)))
        ends(outer)

    with Holder(A.locked(0)) as outer, Holder(A.locked(1)) as inner:
        parks += [handler, lambda: ends(inner), look]
        with A.locked(0, timeout=20):
            assert slots.get(slot, Slot.WAIT) == 0
    assert announced == [(True, EXCLUSIVE, A._table.array_id << 32)]


@pytest.mark.usefixtures("_soon")
def test_a_deadlock_is_found_though_a_handler_waited_meanwhile(A: pydsm.GlobalArray, parks: Steps) -> None:
    crossing, errors = threading.Event(), []

    def enter(row: int) -> None:
        try:
            with A.locked(row, timeout=20):
                pass
        except pydsm.DeadlockError as error:
            errors.append(error)

    def cross() -> None:
        with A.locked(1):
            crossing.set()
            enter(0)

    with Holder(A.locked(2)) as holder:
        parks += [lambda: enter(2), lambda: ends(holder)]
        thread = threading.Thread(target=cross)
        with A.locked(0):
            thread.start()
            assert crossing.wait(20)
            enter(1)
        thread.join()
    assert parks == []
    assert len(errors) == 1


@pytest.mark.usefixtures("_soon")
def test_a_handler_that_waits_in_the_parent_of_a_run_does_not_hide_a_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "_TICK_SECONDS", 0.001)
    handled = []

    def handler(*_: object) -> None:
        with A.locked(1, timeout=20):
            handled.append(True)

    def work(worker: pydsm.Worker) -> str:
        A = worker["A"]
        with A.locked(1):
            os.kill(os.getppid(), signal.SIGUSR1)
            until(A._table.waiting)
        with pytest.raises(pydsm.DeadlockError) as caught, A.locked(0, timeout=20):
            pass
        return str(caught.value)

    with pydsm.Team(1) as team, handling(signal.SIGUSR1, handler):
        A = team.array("A", 2, int)
        with A.locked(0):
            assert "waits for the end of the run" in team.run(work)[0]
    assert handled == [True]


def test_a_handler_that_may_not_enter_leaves_the_row_to_its_sharers(A: pydsm.GlobalArray, parks: Steps) -> None:
    locks = A.locked(0).locks
    caught = []

    def handler() -> None:
        ends(writer)
        with Holder(A.locked(0, shared=True)) as sharer:  # so the handler's try wins word 0 and has to wait
            with pytest.raises(RuntimeError, match="this very thread is waiting for it") as error, A.locked(0):
                pass
            caught.append(error)
            assert locks.holder(0) == 0
            assert is_free(A, 0, shared=True)
            ends(sharer)

    with Holder(A.locked(0)) as writer:
        parks.append(handler)
        with A.locked(0, shared=True, timeout=20):
            assert locks.holder(0) == 0
    assert len(caught) == 1
    assert is_free(A)


# -- forks and threads inside waits --------------------------------------------------


def test_a_child_forked_in_the_middle_of_a_wait_does_not_go_on_with_it(A: pydsm.GlobalArray, parks: Steps) -> None:
    child = [-1]
    codes = []

    def handler() -> None:
        ends(holder)  # the row is there for the child to take
        child[0] = fork()
        if child[0]:
            codes.append(os.waitstatus_to_exitcode(os.waitpid(child[0], 0)[1]))
            assert A._table.waiting() == [A._table.namespace.join() - 1]  # still: the child takes nobody out

    with Holder(A.locked(0)) as holder:
        parks.append(handler)
        try:
            with A.locked(0, timeout=20):
                if child[0] == 0:
                    os._exit(1)
        except BaseException as error:
            if child[0] == 0:
                os._exit(0 if "forked in the middle" in str(error) else 2)
            raise
    assert codes == [0]
    assert is_free(A)


def test_a_region_that_another_thread_entered_meanwhile_is_refused_to_who_waited(
    A: pydsm.GlobalArray, parks: Steps
) -> None:
    region = A.locked(slice(0, 2), shared=True)
    with contextlib.ExitStack() as stack:
        writer = stack.enter_context(Holder(A.locked(0)))

        def overtake() -> None:
            ends(writer)
            stack.enter_context(Holder(region))

        parks.append(overtake)
        with pytest.raises(RuntimeError, match="entered by another thread meanwhile"):
            region.__enter__()
        assert held() == 0
    assert is_free(A)  # the other thread could leave it


@pytest.mark.usefixtures("_soon")
def test_a_barrier_in_one_thread_does_not_make_a_deadlock_of_what_another_holds() -> None:
    def work(worker: pydsm.Worker) -> None:
        A = worker["A"]
        if worker.rank == 0:
            other = threading.Thread(target=worker.barrier)
            with A.locked(0):
                other.start()
                A[1] = 1
                until(lambda: sum(has_looked_often(A, slot) for slot in range(4)) == 2)  # other and rank 1
            other.join()
        else:
            until(lambda: A[1])
            with A.locked(0, timeout=20):
                pass
            worker.barrier()

    def has_looked_often(A: pydsm.GlobalArray, slot: int) -> bool:
        slots = A._table.namespace.slots
        return slots.get(slot, Slot.WAIT) > 0 and slots.get(slot, Slot.CHECKED) > 5

    with pydsm.Team(2) as team:
        team.array("A", 2, int)
        team.run(work)


def test_threads_that_attach_at_once_get_the_same_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    with pydsm.Team(1) as team:
        lock = create_lock(team._namespace, "L")
        del lock  # nobody here has it mapped any more
        found, threads = [], []
        real = LockTable.open_locks

        def attach() -> None:
            found.append(attach_lock(team.namespace, "L"))

        def open_locks(self: LockTable) -> object:
            if not threads:  # another thread comes by just now
                threads.append(threading.Thread(target=attach))
                threads[0].start()
                threads[0].join(0.05)
            return real(self)

        monkeypatch.setattr(LockTable, "open_locks", open_locks)
        attach()
        threads[0].join()
        assert found[0].words is found[1].words


def test_re_entrance_of_a_lock_outlives_the_object_that_it_was_counted_in() -> None:
    with pydsm.Team(1) as team:
        lock = create_lock(team._namespace, "L")
        del lock
        for _ in range(2):
            attach_lock(team.namespace, "L").acquire()
        attach_lock(team.namespace, "L").release()
        assert attach_lock(team.namespace, "L").held()
        attach_lock(team.namespace, "L").release()
        assert not attach_lock(team.namespace, "L").held()
        with pytest.raises(RuntimeError, match="held by nobody"):
            attach_lock(team.namespace, "L").release()


# -- looking for the dead and for deadlocks ------------------------------------------


@pytest.mark.usefixtures("_soon")
def test_a_suspicion_that_fell_gives_way_to_the_deadlock_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    suspicions = []
    real = deadlock.suspect

    def suspect(*args: object) -> object:
        suspicions.append(real(*args))
        return suspicions[-1]

    with pydsm.Team(2) as team, Puppets(team.array("A", 3, int)) as puppets:
        A, me = team["A"], team._namespace.join() - 1
        assert me == 2  # the highest of the cycle: it has to give up

        def park(*_: object) -> bool:
            if len(suspicions) == 1:
                puppets.wait(1, row=2, blocker=me)
            if suspicions:  # puppet 0 wakes up and finds that another one has the row now
                puppets.look(0, blocker=1)
                puppets.look(1, blocker=me)
            return True

        monkeypatch.setattr(deadlock, "suspect", suspect)
        monkeypatch.setattr(Parking, "park", park)
        puppets.hold(0, row=1)
        puppets.wait(0, row=0, blocker=me)  # of the past: it sleeps and does not know
        with A.locked(2), pytest.raises(pydsm.DeadlockError) as caught, A.locked(1, timeout=20):
            pass
        assert len(caught.value.cycle) == 3
        assert len(suspicions[0].cycle) == 2


@pytest.mark.usefixtures("_soon")
def test_who_is_woken_in_vain_over_and_over_finds_the_deadlock(monkeypatch: pytest.MonkeyPatch) -> None:
    with pydsm.Team(2) as team, Puppets(team.array("A", 3, int)) as puppets:
        A, me = team["A"], team._namespace.join() - 1

        def park(*_: object) -> bool:
            puppets.look(0, blocker=me)
            return True

        monkeypatch.setattr(Parking, "park", park)
        puppets.hold(0, row=1)
        puppets.wait(0, row=0, blocker=me)
        with A.locked(0), pytest.raises(pydsm.DeadlockError), A.locked(1, timeout=20):
            pass


@pytest.mark.usefixtures("_soon")
def test_who_is_woken_in_vain_over_and_over_finds_the_dead(
    A: pydsm.GlobalArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    region = A.locked(0, shared=True)
    thread = threading.Thread(target=region.__enter__)
    thread.start()
    thread.join()
    deadline = time.monotonic() + 20

    def park(*_: object) -> bool:
        assert time.monotonic() < deadline, "it never looked"
        return True

    monkeypatch.setattr(Parking, "park", park)
    with A.locked(0):
        pass


def test_a_holder_that_leaves_and_ends_between_two_looks_did_not_die(
    A: pydsm.GlobalArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locktable, "_FIRST_PARK", 0)
    real = LockTable._blockers
    successor = Holder(A.locked(3))

    def blockers(self: LockTable, *args: object) -> int:
        found = real(self, *args)
        if not holder.leave.is_set():
            ends(holder)
            successor.__enter__()  # in the slot that was just seen to block
            assert found == 1 << A.locked(3).locks.holder(3) - 1
        return found

    with Holder(A.locked(0)) as holder:
        monkeypatch.setattr(LockTable, "_blockers", blockers)
        with A.locked(0, timeout=20):
            pass
        assert not is_free(A, 3)
        ends(successor)
    assert is_free(A)


# -- the end of a team ---------------------------------------------------------------


def test_a_region_may_be_left_after_the_end_of_its_team() -> None:
    with pydsm.Team(1) as one, pydsm.Team(1) as two:
        A, B, lock = one.array("A", 4, int), two.array("B", 4, int), one.lock("L")
        regions = [A.locked(0), A.locked(slice(1, 3)), pydsm.locked((A, 3), (B, 1)), lock]
        locks = [A.locked(0).locks, lock.words]
        for slot, words in enumerate(locks, 9):  # somebody in another process waits
            words.policy.lots[:] = 1 << slot
            one._namespace.slots.begin_wait(slot, EXCLUSIVE, words.policy.array_id << 32)
        for region in regions:
            region.__enter__()
        one.terminate()
        with B.locked(2):  # the thread is another participant in between
            pass
        for region in reversed(regions):
            region.__exit__(None, None, None)
        assert [words.holder(stripe) for words in locks for stripe in range(words.stripes)] == [0] * 5
        assert held() == 0


@pytest.mark.parametrize("workers", [2, 4, 8])
def test_no_wake_up_is_lost_where_all_want_the_same_rows(workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sleeps that end by themselves only after the test's time is over hide nothing."""
    monkeypatch.setattr(locktable, "_FIRST_PARK", 300.0)
    monkeypatch.setattr(locktable, "_LAST_PARK", 300.0)

    def program(worker: pydsm.Worker) -> int:
        A, mine = worker["A"], 0
        for turn in range(3000):
            row = (turn + worker.rank) % 3
            shared = turn % 5 == worker.rank % 5
            with A.locked(row if turn % 7 else None, shared=shared):
                if not shared:
                    A[row] += 1
                    mine += 1
        return mine

    with pydsm.Team(workers) as team:
        A = team.array("A", 3, int)
        assert sum(team.run(program)) == A.sum()
