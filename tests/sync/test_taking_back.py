"""A name that a killed program left is free for the next one, whoever else is at it just then."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, Pipe

import pytest

import pydsm
from pydsm.core import names
from pydsm.ipc import catalog, shm
from pydsm.ipc.lockfile import LockFile
from pydsm.sync.namespace import Namespace

PATIENCE = 20


class Child:
    """A forked process that answers with what a function returns, and lives until told to end."""

    def __init__(self, function: Callable[[Connection], object]) -> None:
        self.pipe, theirs = Pipe()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                theirs.send(function(theirs))
                theirs.recv()
            except EOFError:
                pass
            finally:
                os._exit(0)
        theirs.close()

    def answer(self) -> object:
        assert self.pipe.poll(PATIENCE), "the child says nothing"
        return self.pipe.recv()

    def end(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)
        os.waitpid(self.pid, 0)
        self.pipe.close()


@pytest.fixture
def children() -> Iterator[Callable[[Callable[[Connection], object]], Child]]:
    started: list[Child] = []

    def start(function: Callable[[Connection], object]) -> Child:
        started.append(Child(function))
        return started[-1]

    yield start
    for child in started:
        child.end()
    catalog.reclaim()


def leave_behind(namespace: str) -> LockFile:
    """Have a program killed in a namespace; return its lock file, on which nobody holds anything."""
    while True:
        child = Child(lambda pipe: pydsm.create(f"{namespace}/A", 3, int).fill(7))
        child.answer()
        file = LockFile(shm.open_checked(names.team_name(namespace)), names.team_name(namespace))
        child.end()
        if file.has_name():  # else some other program took it back already
            return file
        file.close()


def made_by(make: Callable[[], object]) -> str:
    """Return what came of it: "made", or the error's name."""
    try:
        made_by.kept = make()  # type: ignore[attr-defined]
    except pydsm.PydsmError as error:
        return type(error).__name__
    return "made"


def make_a_team(namespace: str) -> object:
    return pydsm.Team(1, namespace=namespace)


def make_an_array(namespace: str) -> object:
    return pydsm.create(f"{namespace}/A", 3, int)


@pytest.fixture
def namespace() -> str:
    return names.new_namespace()


@pytest.mark.parametrize("make", [make_a_team, make_an_array])
@pytest.mark.parametrize("ends", ["removes", "is killed"])
def test_who_makes_a_name_waits_for_whoever_takes_it_back(
    namespace: str, make: Callable[[str], object], ends: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reclaimer = leave_behind(namespace)
    assert reclaimer.prove_alone()
    waits, honest = threading.Event(), LockFile.let_pass

    def let_pass(file: LockFile) -> None:
        waits.set()
        honest(file)

    monkeypatch.setattr(LockFile, "let_pass", let_pass)
    seen: list[str] = []
    maker = threading.Thread(target=lambda: seen.append(made_by(lambda: make(namespace))))
    maker.start()
    assert waits.wait(PATIENCE)
    assert seen == []
    if ends == "removes":
        catalog.remove_names(catalog.files_of(namespace))
    reclaimer.close()
    maker.join(PATIENCE)
    assert seen == ["made"]
    Namespace.open(namespace).close()
    del made_by.kept  # type: ignore[attr-defined]


def test_an_array_takes_back_what_a_killed_program_left(namespace: str) -> None:
    leave_behind(namespace).close()
    A = pydsm.create(f"{namespace}/A", 5, float)
    assert A.tolist() == [0.0] * 5
    Namespace.open(namespace).close()


def test_the_default_namespace_is_taken_back_as_well() -> None:
    leave_behind(os.environ["PYDSM_NAMESPACE"]).close()
    assert pydsm.create("A", 5, float).tolist() == [0.0] * 5


def test_attaching_still_finds_what_a_killed_program_left(namespace: str) -> None:
    leave_behind(namespace).close()
    assert pydsm.attach(f"{namespace}/A").tolist() == [7, 7, 7]
    leave_behind(os.environ["PYDSM_NAMESPACE"]).close()
    assert pydsm.attach("A").tolist() == [7, 7, 7]


def test_what_is_open_here_is_not_taken_back(namespace: str) -> None:
    leave_behind(namespace).close()
    A = pydsm.attach(f"{namespace}/A")
    with pytest.raises(pydsm.NameExistsError, match="taken already"):
        pydsm.create(f"{namespace}/A", 3)
    assert pydsm.create(f"{namespace}/B", 3).namespace == A.namespace
    assert A.tolist() == [7, 7, 7]
    Namespace.open(namespace).close()


def test_what_is_open_elsewhere_is_not_taken_back(namespace: str, children: Callable[..., Child]) -> None:
    leave_behind(namespace).close()
    assert children(lambda pipe: made_by(lambda: pydsm.attach(f"{namespace}/A"))).answer() == "made"
    with pytest.raises(pydsm.NameExistsError, match="taken already"):
        pydsm.create(f"{namespace}/A", 3)
    Namespace.open(namespace).close()


def hesitate(pipe: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process say when it is about to remove names, and when it waits for another; then go on if told."""
    remove, wait = catalog.remove_names, LockFile.let_pass

    def remove_names(files: list[str]) -> list[str]:
        pipe.send("removes")
        assert pipe.recv() == "go on"
        return remove(files)

    def let_pass(file: LockFile) -> None:
        pipe.send("waits")
        wait(file)

    monkeypatch.setattr(catalog, "remove_names", remove_names)
    monkeypatch.setattr(LockFile, "let_pass", let_pass)


@pytest.mark.parametrize("make", [make_a_team, make_an_array])
def test_of_two_programs_that_take_one_name_back_exactly_one_has_it(
    namespace: str,
    make: Callable[[str], object],
    children: Callable[..., Child],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave_behind(namespace).close()
    monkeypatch.setattr(catalog, "reclaim", lambda *wanted: [])  # the sweep through all of them comes first

    def run(pipe: Connection) -> str:
        hesitate(pipe, monkeypatch)
        return made_by(lambda: make(namespace))

    first = children(run)
    assert first.answer() == "removes"
    second = children(run)
    assert second.answer() == "waits"
    first.pipe.send("go on")
    assert sorted([first.answer(), second.answer()]) == ["NameExistsError", "made"]
    monkeypatch.undo()


@pytest.mark.parametrize("attempt", range(10))
def test_programs_that_make_other_arrays_in_it_at_once_all_get_them(
    namespace: str, attempt: int, children: Callable[..., Child]
) -> None:
    leave_behind(namespace).close()

    def make(pipe: Connection, name: str) -> str:
        pipe.recv()
        return made_by(lambda: pydsm.create(f"{namespace}/{name}", 3, int))

    crowd = [children(lambda pipe, name=name: make(pipe, name)) for name in ("A", "B", "C")]
    for child in crowd:
        child.pipe.send("go")
    assert [child.answer() for child in crowd] == ["made"] * 3
    assert Namespace.open(namespace).known() == ["A", "B", "C"]


def test_another_users_name_is_not_waited_for(namespace: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make another user's file")
    leave_behind(namespace).close()
    path = shm.path_of(names.team_name(namespace))
    os.chown(path, 12345, -1)
    try:
        with pytest.raises(pydsm.NameExistsError, match="or by another user"):
            pydsm.Team(1, namespace=namespace)
        assert os.path.exists(path)
    finally:
        catalog.remove_names(catalog.files_of(namespace))


def test_a_name_that_cannot_be_removed_is_taken(namespace: str, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_behind(namespace).close()
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "remove_names", lambda files: [])
        with pytest.raises(pydsm.NameExistsError, match="in use"):
            pydsm.Team(1, namespace=namespace)
    catalog.reclaim(namespace)
