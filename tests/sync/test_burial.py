"""What is left of a participant that died, and what the next one in its slot gets."""

from __future__ import annotations

import ctypes
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import pydsm
from pydsm.core import names
from pydsm.core.layout import Participant, Slot, slot_word
from pydsm.ipc import catalog, shm
from pydsm.ipc.lockfile import LockFile
from pydsm.native import region as native_region
from pydsm.sync import datasegment, locktable
from pydsm.sync import namespace as namespaces
from pydsm.sync.locktable import LockTable
from pydsm.sync.lockwords import LockWords
from pydsm.sync.parking import Parking
from pydsm.sync.slots import EXCLUSIVE, RECOVERING, SHARED, SlotTable
from tests.sync.test_waits import fork, until
from tests.test_locked import Holder, is_free


@pytest.fixture
def A() -> Iterator[pydsm.GlobalArray]:
    yield pydsm.create("A", 4, int)
    pydsm.unlink("A")


class Mortal:
    """A thread that ends wherever it is, which is a death to everybody else."""

    def __init__(self, body: Callable[[Mortal], None]) -> None:
        self.regions: list[Any] = []
        self.slot = -1
        self.failure: BaseException | None = None
        thread = threading.Thread(target=self._live, args=(body,))
        thread.start()
        thread.join()
        if self.failure is not None:
            raise self.failure

    def _live(self, body: Callable[[Mortal], None]) -> None:
        try:
            body(self)
        except BaseException as error:
            self.failure = error

    def enter(self, region: Any) -> Any:
        """Enter a region and never leave it."""
        self.regions.append(region)
        view = region.__enter__()
        self.slot = region.locks.me() - 1 if hasattr(region, "locks") else -1
        return view


def died_in(A: pydsm.GlobalArray, row: int) -> bool:
    try:
        with A.locked(row, timeout=20):
            return False
    except pydsm.OwnerDiedError:
        return True


def records() -> list[str]:
    """Return the undo records there are in the default namespace."""
    return [file for file in catalog.files_of(os.environ["PYDSM_NAMESPACE"]) if ".undo." in file]


# -- stripes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "stripe", "is_parked", "is_abandoned"),
    [
        (EXCLUSIVE, 1, True, False),  # it had word 0, and waited for the sharers to leave
        (EXCLUSIVE, 1, False, True),  # a wait that was interrupted before it could say that it is over
        (EXCLUSIVE, 0, True, True),  # it was inside, and waited for another one
        (SHARED, 1, True, True),
        (RECOVERING, 1, True, True),  # what it took over nobody has put right
        (0, 0, False, True),
    ],
)
def test_a_stripe_is_just_free_only_of_who_still_waited_for_it(
    kind: int, stripe: int, is_parked: bool, is_abandoned: bool
) -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 2, int, stripes=2)
        table, slots, dead = A._table, team._namespace.slots, 7
        slots.set(dead, Slot.STATE, 1)
        slots.set(dead, Slot.PID, 4711 << 32)
        if kind:
            slots.begin_wait(dead, kind, table.array_id << 32 | stripe)
        table.lines[8] = dead + 1
        if is_parked:
            table.lots[8 * stripe] = 1 << dead
        team._namespace.bury(dead)
        assert [(stripe, who.pid) for stripe, who in table.abandoned().items()] == [(1, 4711)] * is_abandoned
        assert (table.lines[8] == 0) == (not is_abandoned)
        assert not table.lots.any()
        assert (slots.get(dead, Slot.STATE), slots.get(dead, Slot.WAIT)) == (0, 0)


@pytest.mark.parametrize("recover", [False, True])
@pytest.mark.parametrize("left", ["before", "after"])
def test_who_dies_waiting_for_sharers_leaves_the_row_as_it_was(A: pydsm.GlobalArray, left: str, recover: bool) -> None:
    slots, locks = A._table.namespace.slots, A.locked(0).locks
    with Holder(A.locked(0, shared=True)) as sharer:
        if recover:
            A._table.lines[0] = Participant(slot=9, pid=4711, rank=None).abandoned()
        pid = fork()
        if pid == 0:
            try:
                A.locked(0, recover=recover).__enter__()
            finally:
                os._exit(1)
        until(lambda: A._table.waiting() and slots.get(A._table.waiting()[0], Slot.WAIT))
        assert locks.holder(0) == A._table.waiting()[0] + 1  # newcomers stand back
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        if left == "before":  # who leaves sees that the waiter is dead, and takes nothing from its burial
            sharer.leave.set()
            sharer.thread.join()
        A._table.namespace.bury_all()
        assert [who.pid for who in A._table.abandoned().values()] == [pid] * recover
    with A.locked(0, recover=recover, timeout=20):
        pass


def test_a_death_inside_is_one_though_an_interrupted_wait_is_still_published(
    A: pydsm.GlobalArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupt(Exception):
        pass

    real = SlotTable.end_wait

    def end_wait(self: SlotTable, slot: int, *args: Any) -> None:
        if self.get(slot, Slot.WAIT):
            monkeypatch.setattr(SlotTable, "end_wait", real)
            raise Interrupt

    def body(mortal: Mortal) -> None:
        with Holder(A.locked(0)) as holder:
            monkeypatch.setattr(SlotTable, "end_wait", end_wait)
            with pytest.raises(Interrupt), A.locked(0, timeout=0):
                pass
            holder.leave.set()
        mortal.enter(A.locked(0))
        assert A._table.namespace.slots.get(mortal.slot, Slot.WAIT)

    Mortal(body)
    assert died_in(A, 0)


def test_a_run_gives_nobodys_abandoned_rows_away() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 2, int)
        mortal = Mortal(lambda mortal: mortal.enter(A.locked(0)))
        assert team._namespace.slots.get(mortal.slot, Slot.STATE) == 1
        team.run(lambda worker: None)
        assert team._namespace.slots.get(mortal.slot, Slot.STATE) == 0
        assert died_in(A, 0)
        assert is_free(A, 1)


def test_a_burial_wakes_even_who_is_said_to_be_woken_already(
    A: pydsm.GlobalArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = A._table.namespace
    mortal = Mortal(lambda mortal: mortal.enter(A.locked(0)))
    real, caught = Parking.clear_permit, []

    def clear_permit(self: Parking, slot: int) -> None:
        real(self, slot)
        self._words.store(slot_word(slot, Slot.PERMIT), 1)  # a waker took it, and died before it could post

    def wait() -> None:
        with pytest.raises(pydsm.OwnerDiedError) as error, A.locked(0):
            pass
        caught.append(error)

    monkeypatch.setattr(locktable, "_FIRST_PARK", 1000.0)
    monkeypatch.setattr(Parking, "clear_permit", clear_permit)
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    until(A._table.waiting)
    [waiter] = A._table.waiting()
    until(lambda: waiter in namespace.parking._semaphores)  # from now on a post is kept
    namespace.bury(mortal.slot)
    thread.join(20)
    assert len(caught) == 1


def test_while_another_process_buries_nobody_else_does(A: pydsm.GlobalArray) -> None:
    mortal = Mortal(lambda mortal: mortal.enter(A.locked(0, undo=True)))
    A[0] = 5
    other = LockFile.open(names.team_name(A.namespace))
    assert other is not None
    with other.burying() as alone:
        assert alone
        with pytest.raises(pydsm.LockTimeoutError), A.locked(0, timeout=0.05):
            pass
        A._table.namespace.bury(mortal.slot)
        assert A[0] == 5
    other.close()
    with A.locked(0, recover=True):
        assert A[0] == 0


# -- undo records --------------------------------------------------------------------


def test_rows_are_put_back_before_anybody_can_have_them(A: pydsm.GlobalArray, monkeypatch: pytest.MonkeyPatch) -> None:
    def body(mortal: Mortal) -> None:
        mortal.enter(A.locked(0, undo=True))
        A[0] = 99

    mortal = Mortal(body)
    real, seen = LockWords.bury, []

    def bury(self: LockWords, *args: Any) -> None:
        seen.append(A[0].item())
        real(self, *args)

    monkeypatch.setattr(LockWords, "bury", bury)
    A._table.namespace.bury(mortal.slot)
    assert seen == [0]
    assert records() == []
    assert died_in(A, 0)


@pytest.mark.parametrize("rows", [4, 8])
@pytest.mark.parametrize("when", ["before the burial", "while its elements are mapped"])
def test_nothing_is_put_back_into_a_newer_array_of_the_same_name(
    rows: int, when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = pydsm.create("A", 4, int)

    def body(mortal: Mortal) -> None:
        mortal.enter(old.locked(0, undo=True))
        old[0] = 99

    mortal = Mortal(body)
    namespace, newer = old._table.namespace, []
    real = datasegment.attach

    def replace() -> None:
        pydsm.unlink("A")
        newer.append(pydsm.create("A", rows, int))
        newer[0][0] = 7

    def attach(*args: Any, **options: Any) -> Any:
        if not newer:
            replace()
        return real(*args, **options)

    if when == "before the burial":
        replace()
    else:
        monkeypatch.setattr(datasegment, "attach", attach)
    namespace.bury(mortal.slot)
    assert newer[0].tolist() == [7] + [0] * (rows - 1)
    assert died_in(old, 0)
    assert is_free(newer[0])
    pydsm.unlink("A")


def test_a_group_that_is_dropped_where_python_may_lose_it_is_undone_as_one() -> None:
    before = native_region.set_leave_dropped(True)
    try:
        with pydsm.Team(1) as team:
            A, B = team.array("A", 2, int), team.array("B", 2, int)
            group = pydsm.locked((A, 0), (B, 1), undo=True)
            group.__enter__()
            A[0] = B[1] = 9
            del group
            assert (A[0], B[1]) == (0, 0)
            assert is_free(A)
            assert is_free(B)
            A[0] = 7  # nothing is armed that would put it back
            slot = team._namespace.join() - 1
            team._namespace.put_back(slot)
            assert A[0] == 7
    finally:
        native_region.set_leave_dropped(before)


def test_the_record_of_a_region_that_is_lost_still_counts(A: pydsm.GlobalArray) -> None:
    def body(mortal: Mortal) -> None:
        region = A.locked(0, undo=True)
        region.__enter__()
        A[0] = 99
        del region
        with A.locked(1, undo=True):
            A[1] = 5

    Mortal(body)
    with A.locked(recover=True):
        assert A.tolist() == [0, 5, 0, 0]


def test_what_a_worker_never_came_to_the_end_of_is_put_back_before_its_rows_are_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept = []
    real = LockTable.evict

    def evict(self: LockTable, *args: Any) -> list[str]:
        A[1] = A[0]  # what the next one could see
        return real(self, *args)

    def work(worker: pydsm.Worker) -> None:
        kept.append(A.locked(0, undo=True))
        kept[0].__enter__()
        A[0] = 3

    monkeypatch.setattr(LockTable, "evict", evict)
    with pydsm.Team(1) as team:
        A = team.array("A", 2, int)
        A[:] = 1
        with pytest.warns(RuntimeWarning, match="ended holding row 0"):
            team.run(work)
        assert A.tolist() == [1, 1]
        assert is_free(A)
        A[:] = 7
        team.run(lambda worker: None)  # has the slot now
        assert A[0] == 7


def test_what_a_worker_took_over_and_never_left_stays_abandoned() -> None:
    kept = []

    def work(worker: pydsm.Worker) -> None:
        kept.append(A.locked(0, recover=True))
        kept[0].__enter__()

    with pydsm.Team(1) as team:
        A = team.array("A", 2, int)
        Mortal(lambda mortal: mortal.enter(A.locked(0)))
        with pytest.warns(RuntimeWarning, match="ended holding row 0"):
            team.run(work)
        assert died_in(A, 0)


# -- successors in a slot --------------------------------------------------------------


def successor_of(first: Callable[[Mortal], None], A: pydsm.GlobalArray, second: Callable[[Mortal], None]) -> None:
    """Let one thread die in row 1, put that right, and let the second one have its slot."""
    one = Mortal(first)
    with A.locked(1, recover=True):
        pass
    two = Mortal(second)
    assert one.slot == two.slot >= 0


def test_a_threads_undo_records_are_not_its_successors(A: pydsm.GlobalArray) -> None:
    def first(mortal: Mortal) -> None:
        with A.locked(0, undo=True):
            A[0] = 1
        mortal.enter(A.locked(1))

    def second(mortal: Mortal) -> None:
        mortal.enter(A.locked(0, undo=True))
        A[0] = 99

    successor_of(first, A, second)
    with A.locked(0, recover=True):
        assert A[0] == 1
    assert records() == []


def test_a_threads_counts_of_re_entrance_are_not_its_successors(A: pydsm.GlobalArray) -> None:
    def first(mortal: Mortal) -> None:
        for _ in range(3):
            mortal.enter(A.locked(1))

    def second(mortal: Mortal) -> None:
        with A.locked(1):
            pass
        assert not A.holds(1)
        mortal.slot = A.locked(1).locks.me() - 1

    successor_of(first, A, second)
    assert is_free(A)


def test_what_a_thread_took_over_is_not_its_successors_to_abandon(A: pydsm.GlobalArray) -> None:
    Mortal(lambda mortal: mortal.enter(A.locked(1)))
    A._table.namespace.bury_all()

    def first(mortal: Mortal) -> None:
        mortal.enter(A.locked(1, recover=True))

    def second(mortal: Mortal) -> None:
        region = A.locked(1, recover=True)
        with pytest.raises(ZeroDivisionError), region:
            assert region.recovered == []
            raise ZeroDivisionError
        mortal.slot = region.locks.me() - 1

    successor_of(first, A, second)
    assert is_free(A)


def test_the_slot_of_who_died_in_a_removed_array_is_nobodys_until_the_burial() -> None:
    A, B = pydsm.create("A", 2, int), pydsm.create("B", 2, int)
    mortal = Mortal(lambda mortal: mortal.enter(A.locked(0)))
    pydsm.unlink("A")

    def lives() -> None:
        with B.locked(0):
            assert B.locked(0).locks.me() - 1 != mortal.slot
        assert not A.holds(0)

    Mortal(lambda mortal: lives())
    assert died_in(A, 0)
    pydsm.unlink("B")


def test_a_slot_is_not_had_by_two_threads_one_of_which_is_leaving(
    A: pydsm.GlobalArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    namespace = A._table.namespace
    namespace.join()
    real, holder = SlotTable.vacate, Holder(A.locked(1))

    def vacate(self: SlotTable, slot: int) -> None:
        real(self, slot)
        if holder.thread.ident is None:  # another thread comes by just now
            holder.thread.start()
            holder.inside.wait(0.05)

    def body(mortal: Mortal) -> None:
        with A.locked(0):
            pass

    monkeypatch.setattr(SlotTable, "vacate", vacate)
    Mortal(body)
    assert holder.inside.wait(20)
    other = LockFile.open(names.team_name(A.namespace))  # as another process sees it
    assert other is not None
    assert other.is_held_elsewhere(A.locked(1).locks.holder(1) - 1)
    other.close()
    holder.leave.set()
    holder.thread.join()


def test_a_thread_that_calls_back_once_more_has_lost_its_slot(A: pydsm.GlobalArray) -> None:
    """To Python a thread of another language is a new one at each call; what it keeps in C is not."""
    libc = ctypes.CDLL(None)
    first, second = threading.Event(), threading.Event()
    key, thread, outcomes = ctypes.c_uint(), ctypes.c_ulong(), []

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)
    def call(_: object) -> int:
        with A.locked(0):
            outcomes.append(A.locked(0).locks.me())
        libc.pthread_setspecific(key, ctypes.c_void_p(1))  # so that the end of the thread calls again
        return 0

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def call_again(_: object) -> None:
        first.set()
        second.wait(20)
        outcomes.append(is_had(A))

    assert libc.pthread_key_create(ctypes.byref(key), call_again) == 0
    assert libc.pthread_create(ctypes.byref(thread), None, call, None) == 0
    assert first.wait(20)
    with Holder(A.locked(0)) as holder:
        assert A.locked(0).locks.holder(0) == outcomes[0]  # in the slot that the thread had
        second.set()
        assert libc.pthread_join(thread, None) == 0
        holder.leave.set()
    libc.pthread_key_delete(key)
    assert outcomes[1:] == [False]


def is_had(A: pydsm.GlobalArray) -> bool:
    try:
        with A.locked(0, timeout=0):
            return True
    except pydsm.LockTimeoutError:
        return False


# -- newer arrays and namespaces of the same name ---------------------------------------


def test_locks_and_elements_that_are_attached_are_of_one_array(
    A: pydsm.GlobalArray, monkeypatch: pytest.MonkeyPatch
) -> None:
    A[:] = 1
    real = datasegment.attach

    def attach(*args: Any, **options: Any) -> Any:
        monkeypatch.setattr(datasegment, "attach", real)
        pydsm.unlink("A")
        newer.append(pydsm.create("A", 4, int))
        newer[0][:] = 2
        return real(*args, **options)

    newer: list[pydsm.GlobalArray] = []
    monkeypatch.setattr(datasegment, "attach", attach)
    B = pydsm.attach("A", readonly=True)  # not what this process has mapped already
    assert B.tolist() == [2] * 4
    assert B._table.array_id == newer[0]._table.array_id


def lose_names(team: pydsm.Team) -> None:
    """Remove a team's names, as the next program does after its program was killed."""
    for file in catalog.files_of(team.namespace):
        shm.unlink(file)


def test_a_name_is_attached_in_the_namespace_that_has_the_name_now() -> None:
    namespace = names.new_namespace()
    with pydsm.Team(1, namespace=namespace) as old:
        A = old.array("A", 4, int)
        lose_names(old)
        with pydsm.Team(1, namespace=namespace) as new:
            new.array("A", 4, int)[:] = 2
            namespaces._open[namespace] = old._namespace  # as if the new one were another program's
            attached = pydsm.attach(f"{namespace}/A")
            assert attached.tolist() == [2] * 4
            with attached.locked(0):  # as a participant of the new one
                holder = new["A"].locked(0).locks.holder(0) - 1
                assert new._namespace.slots.get(holder, Slot.STATE) == 1
            with A.locked(0):  # the old one goes on as it is
                assert is_free(new["A"])
