"""The log keeps what was appended whole, in one order, and nothing of who died in the middle."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator

import pytest

import pydsm
from pydsm.errors import NoRoomError
from pydsm.ipc.child import start_child
from pydsm.memory import log as logs
from pydsm.memory.log import EventLog
from pydsm.sync.namespace import Namespace


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    made = Namespace.create(size=2)
    yield made
    made.close()


@pytest.fixture
def log(namespace: Namespace) -> Iterator[EventLog]:
    made = EventLog.create(namespace)
    yield made
    made.close()


def append(log: EventLog, content: bytes) -> None:
    with log:
        log.append(content)


def test_entries_are_read_in_the_order_in_which_they_were_appended(namespace: Namespace, log: EventLog) -> None:
    other = EventLog(namespace)
    append(log, b"one ")
    append(other, b"two ")
    append(log, b"three")
    assert log.read(0) == other.read(0) == b"one two three"
    assert other.read(0, 4) == b"two three"
    assert other.read(0, 13) == b""
    other.close()


def test_a_closed_epoch_can_be_read_until_the_next_one_is_closed(log: EventLog) -> None:
    append(log, b"first")
    with log:
        log.close_epoch()
    append(log, b"second")
    assert (log.epoch, log.read(0), log.read(1)) == (1, b"first", b"second")
    with log:
        log.close_epoch()
    assert (log.epoch, log.read(1), log.read(2)) == (2, b"second", b"")
    log.reset()
    assert (log.epoch, log.read(0), log.read(1)) == (0, b"", b"")


@pytest.mark.parametrize("step", [1, 2])
def test_who_dies_while_it_appends_leaves_nothing_and_no_lock(namespace: Namespace, log: EventLog, step: int) -> None:
    """It has written all of the entry, or a part of it, but not the end."""
    append(log, b"before ")

    def die(descriptor: int) -> None:
        mine = EventLog(namespace)
        mine.__enter__()
        logs._write(mine._descriptors[1], b"half of it"[:: step + 1], 7)
        os.kill(os.getpid(), signal.SIGKILL)

    child, pipe = start_child("fork", "dies", die)
    os.close(pipe)
    assert child.reap() == -signal.SIGKILL
    append(log, b"after")
    assert log.read(0) == b"before after"


def test_a_full_disk_is_an_error_and_leaves_the_log_as_it_was(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    append(log, b"before ")
    honest, calls = os.pwrite, []

    def fill(descriptor: int, content: memoryview, place: int) -> int:
        calls.append(place)
        if len(calls) > 1:
            raise OSError(28, "No space left on device")
        return honest(descriptor, content[:2], place)

    monkeypatch.setattr(os, "pwrite", fill)
    with pytest.raises(NoRoomError, match="no room for 5 bytes"):
        append(log, b"after")
    monkeypatch.undo()
    assert calls == [7, 9]
    append(log, b"later")
    assert log.read(0) == b"before later"


def test_threads_and_nested_blocks_take_turns(log: EventLog) -> None:
    def write(letter: bytes) -> None:
        for _ in range(50):
            with log, log:
                log.append(letter)
                log.append(letter)

    threads = [threading.Thread(target=write, args=(letter,)) for letter in (b"a", b"b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    content = log.read(0)
    assert len(content) == 200
    assert {content[place : place + 2] for place in range(0, 200, 2)} == {b"aa", b"bb"}


def test_the_names_of_a_team_s_log_go_with_the_team() -> None:
    with pydsm.Team(1, memory="release") as team:
        mine = [name for name in os.listdir("/dev/shm") if f"pydsm.{team.namespace}.observe" in name]
        assert len(mine) == 3
    assert not [name for name in os.listdir("/dev/shm") if team.namespace in name]
