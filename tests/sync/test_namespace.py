from __future__ import annotations

import gc
import os
import subprocess
import sys
import threading

import pytest

import pydsm
from pydsm.core import names
from pydsm.core.layout import Slot
from pydsm.sync.namespace import Namespace


def test_a_thread_gives_its_slot_back_when_it_ends() -> None:
    A = pydsm.create("A", 3)
    namespace = A._table.namespace
    seen = []

    def lock() -> None:
        with A.locked(0):
            seen.append(namespace.join() - 1)

    for _ in range(5):
        thread = threading.Thread(target=lock)
        thread.start()
        thread.join()
    assert len(set(seen)) == 1
    assert namespace.slots.get(seen[0], Slot.STATE) == 0
    pydsm.unlink("A")


def test_a_thread_that_ends_holding_a_lock_keeps_its_slot_from_others() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 3)
        slots = []

        def take(row: int) -> None:
            A.locked(row).__enter__()
            slots.append(A._table.namespace.join())

        for row in range(2):
            thread = threading.Thread(target=take, args=(row,))
            thread.start()
            thread.join()
        assert len(set(slots)) == 2


def test_more_threads_than_slots_is_an_error_with_a_sentence() -> None:
    namespace = Namespace.create(size=0)
    try:
        namespace._taken.update(range(448))  # as if a living thread of ours sat in each
        with pytest.raises(RuntimeError, match="all 448 slots"):
            namespace.join()
    finally:
        namespace.close()


def test_slots_of_the_dead_are_taken_after_their_burial() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 3)
        namespace = A._table.namespace
        for slot in range(1, 448):
            namespace.slots.set(slot, Slot.STATE, 1)  # nobody holds the byte of any: all dead
        A._table.lines[8] = 1 + 1  # slot 1 holds row 1
        A._table.lines[16 + 1] = 1 << 2  # slot 2 shares row 2
        assert namespace.join() - 1 == 1
        with A.locked(2, timeout=0):
            pass
        with pytest.raises(pydsm.OwnerDiedError), A.locked(1):
            pass
        A._table.lines[:] = 0


def test_the_last_process_to_leave_removes_a_shared_namespace() -> None:
    name = names.new_namespace()
    program = f"""
import pydsm, sys
A = pydsm.create("{name}/A", 3, int)
A[1] = 7
print("made", flush=True)
sys.stdin.readline()
"""
    maker = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert maker.stdout is not None
    assert maker.stdout.readline() == "made\n"
    A = pydsm.attach(f"{name}/A")
    maker.communicate("\n", timeout=20)
    assert pydsm.attach(f"{name}/A")[1] == 7  # we are still there
    assert [file for file in os.listdir("/dev/shm") if name in file]
    del A
    gc.collect()
    assert not [file for file in os.listdir("/dev/shm") if name in file]


def test_attaching_and_exiting_does_not_delete() -> None:
    A = pydsm.create("A", 3, int)
    program = f"import pydsm; A = pydsm.attach('{A.namespace}/A'); A[0] = 5"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert pydsm.attach("A")[0] == 5
    pydsm.unlink("A")


def test_a_forked_child_does_not_remove_its_parents_names() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 3, int)
        pid = os.fork()
        if pid == 0:
            team.terminate()
            os._exit(0)
        os.waitpid(pid, 0)
        assert pydsm.attach(f"{team.namespace}/A").name == "A"
        assert A.sum() == 0


def test_a_name_that_is_no_namespace_is_refused() -> None:
    with pytest.raises(KeyError, match="no namespace"):
        Namespace.open("nobody")
