"""What attaching costs and what it never skips: no element is copied or read, no check is lost the second time."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

import pydsm
from pydsm.core import names
from pydsm.ipc import segment, shm
from pydsm.sync import datasegment
from pydsm.sync.namespace import Namespace

LARGE = 256 << 20


@pytest.fixture
def A() -> Iterator[pydsm.GlobalArray]:
    A = pydsm.create("A", (6, 2), int)
    A[:] = 1
    yield A
    for name in names.lock_name(A.namespace, "A"), names.data_name(A.namespace, "A"):
        shm.unlink(name)


@pytest.fixture
def mappings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names that are mapped from now on."""
    seen: list[str] = []
    honest = segment.attach

    def attach(name, *args, **kwargs):
        seen.append(name)
        return honest(name, *args, **kwargs)

    monkeypatch.setattr(segment, "attach", attach)
    return seen


def address(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


# -- the second time -------------------------------------------------------------------


@pytest.mark.parametrize("readonly", [False, True])
@pytest.mark.parametrize("named", ["A", "{namespace}/A"])
def test_what_is_mapped_already_is_not_mapped_again(
    A: pydsm.GlobalArray, mappings: list[str], named: str, readonly: bool
) -> None:
    first = pydsm.attach(named.format(namespace=A.namespace), readonly=readonly)
    del mappings[:]
    second = pydsm.attach(named.format(namespace=A.namespace), readonly=readonly)
    assert mappings == []
    assert address(first) == address(second)
    assert first is not second
    assert (address(first) == address(A)) is not readonly
    assert second.flags.writeable is not readonly
    with second.locked(0), A.locked(0, timeout=0):  # one count of re-entrance
        pass


def test_each_attachment_has_its_own_flags_and_shape(A: pydsm.GlobalArray) -> None:
    first = pydsm.attach("A")
    first.flags.writeable = False
    second = pydsm.attach("A")
    assert second.flags.writeable
    assert second.shape == A.shape
    second[5, 1] = 9
    assert (A[5, 1], first[5, 1]) == (9, 9)


def test_an_array_that_was_made_anew_is_found_and_not_the_old_one(A: pydsm.GlobalArray) -> None:
    pydsm.unlink("A")
    with pytest.raises(pydsm.UnknownNameError):
        pydsm.attach("A")
    pydsm.create("A", 3, float)
    new = pydsm.attach("A")
    assert (new.shape, new.dtype) == ((3,), float)
    assert A.tolist() == [[1, 1]] * 6


def test_an_array_that_another_process_made_anew_is_found(A: pydsm.GlobalArray) -> None:
    program = f"import pydsm; pydsm.unlink('{A.namespace}/A'); pydsm.create('{A.namespace}/A', 3, float)[:] = 5"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
    assert pydsm.attach("A").tolist() == [5, 5, 5]


def test_a_namespace_that_was_left_and_made_anew_is_another_one() -> None:
    name = names.new_namespace()
    old = pydsm.create(f"{name}/A", 3, int)
    old[:] = 1
    Namespace.open(name).close()
    pydsm.create(f"{name}/A", 3, int)
    new = pydsm.attach(f"{name}/A")
    assert new.tolist() == [0, 0, 0]
    with new.locked(0):
        pass
    Namespace.open(name).close()
    with pytest.raises(pydsm.UnknownNameError):
        pydsm.attach(f"{name}/A")


def test_a_forked_child_need_not_map_it_again(A: pydsm.GlobalArray, mappings: list[str]) -> None:
    pid = os.fork()
    if pid == 0:
        B = pydsm.attach("A")
        with B.locked(0) as row:
            row[:] = 7
        os._exit(len(mappings))
    assert os.waitpid(pid, 0)[1] == 0
    assert A[0].tolist() == [7, 7]


@pytest.mark.parametrize("when", ["before", "after"])
def test_locks_and_elements_are_of_one_array_whatever_is_made_anew_in_between(
    monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    pydsm.create("A", 3, int)[:] = 1
    honest, new = datasegment.attach, []

    def attach(*args, **kwargs):
        def make_anew() -> None:
            if not new:
                pydsm.unlink("A")
                new.append(pydsm.create("A", 3, int))
                new[0][:] = 2

        if when == "before":
            make_anew()
        found = honest(*args, **kwargs)
        make_anew()
        return found

    monkeypatch.setattr(datasegment, "attach", attach)
    A = pydsm.attach("A")
    assert A.tolist() == [2, 2, 2]
    assert A._table.array_id == new[0]._table.array_id
    pydsm.unlink("A")


def lose(path: str) -> None:
    os.unlink(path)


def cut(path: str) -> None:
    os.truncate(path, 4096)


def grow(path: str) -> None:
    os.truncate(path, 1 << 20)


def give_away(path: str) -> None:
    os.chown(path, 12345, -1)


def replace(path: str) -> None:
    Path(f"{path}.new").write_bytes(bytes(Path(path).stat().st_size))
    os.rename(f"{path}.new", path)


def link(path: str) -> None:
    os.rename(path, f"{path}.gone")
    os.symlink(f"{path}.gone", path)


def scribble(path: str) -> None:
    with open(path, "r+b") as file:
        file.seek(140)  # in the description
        file.write(b"?")


DAMAGES = [
    *((kind, damage) for kind in ("lock", "data") for damage in (lose, cut, grow, give_away, replace, link)),
    ("lock", scribble),
]


@pytest.mark.parametrize(("kind", "damage"), DAMAGES, ids=lambda part: getattr(part, "__name__", part))
def test_what_was_damaged_since_is_refused_as_the_first_time(
    A: pydsm.GlobalArray, kind: str, damage: Callable[[str], None]
) -> None:
    if damage is give_away and os.geteuid() != 0:
        pytest.skip("only root can give a file away")
    pydsm.attach("A")
    path = shm.path_of(f"pydsm.{A.namespace}.{kind}.A")
    damage(path)
    try:
        error = pydsm.UnknownNameError if (kind, damage) == ("lock", lose) else pydsm.SegmentError
        with pytest.raises(error):
            pydsm.attach("A")
    finally:
        Path(f"{path}.gone").unlink(missing_ok=True)


def test_elements_in_a_file_that_was_replaced_are_not_taken_for_the_old_ones(tmp_path) -> None:
    path = str(tmp_path / "elements")
    A = pydsm.create("A", 3, int, file=path)
    A[:] = 1
    os.unlink(path)
    segment.create_file(path, (3,), np.dtype(int))[:] = 2
    assert pydsm.attach("A").tolist() == [2, 2, 2]
    pydsm.unlink("A")


# -- nothing is copied -----------------------------------------------------------------


def peak(action: Callable[[], object]) -> int:
    """Return how much memory of NumPy's and Python's an action took at its height."""
    tracemalloc.start()
    try:
        result = action()
        return tracemalloc.get_traced_memory()[1] + 0 * id(result)
    finally:
        tracemalloc.stop()


def locked_sum(A: pydsm.GlobalArray) -> float:
    with A.locked(slice(3, None), shared=True) as rows:
        return rows.sum()


def test_nothing_copies_the_elements(mappings: list[str]) -> None:
    assert peak(lambda: np.ones(LARGE // 8)) >= LARGE  # that is how a copy would show
    A = pydsm.create("A", LARGE // 8, float)
    uses: dict[str, Callable[[], object]] = {
        "create": lambda: pydsm.create("B", LARGE // 8, float),
        "attach": lambda: pydsm.attach("A"),
        "attach for reading": lambda: pydsm.attach("A", readonly=True),
        "pickle": lambda: pickle.dumps(A),
        "pickle and back": lambda: pickle.loads(pickle.dumps(A[::2])),
        "asarray": lambda: np.asarray(A),
        "array without copy": lambda: np.array(A, copy=None) if np.lib.NumpyVersion(np.__version__) >= "2.0.0" else A,
        "view": lambda: A.view(np.ndarray),
        "locked": lambda: locked_sum(A),
    }
    try:
        taken = {use: peak(action) for use, action in uses.items()}
        assert {use: size for use, size in taken.items() if size > 1 << 20} == {}
        assert len(pickle.dumps(A)) < 1000
        same = [pydsm.attach("A"), np.asarray(A), A.view(np.ndarray), pickle.loads(pickle.dumps(A))]
        assert {address(each) for each in same} == {address(A)}
    finally:
        pydsm.unlink("A")
        pydsm.unlink("B")


def test_a_file_is_mapped_and_not_read(tmp_path) -> None:
    path = tmp_path / "elements"
    segment.create_file(str(path), (LARGE // 32,), np.dtype(float))[-1] = 7
    kept = []
    assert peak(lambda: kept.append(pydsm.create("A", LARGE // 32, float, file=path))) < 1 << 20
    kept[0][0] = 3
    assert np.fromfile(path, float, 1).tolist() == [3]
    assert kept[0][-1] == 7
    pydsm.unlink("A")


# -- attaching is O(1) -----------------------------------------------------------------

ATTACHER = """
import sys, pydsm

def read():
    return int(open("/proc/self/io").readline().split()[1])

def resident(name):
    lines = iter(open("/proc/self/smaps"))
    return [next(line for line in lines if line.startswith("Rss:")).split()[1] for entry in lines if name in entry]

kept = [pydsm.attach(sys.argv[1] + "/warm-up")]
for name in "small", "large":
    read()
    before = read()
    kept.append(pydsm.attach(sys.argv[1] + "/" + name))
    print(read() - before, *resident(".data." + name))
"""


def test_attaching_reads_the_same_few_bytes_however_large_the_array_is() -> None:
    with pydsm.Team(1) as team:
        team.array("warm-up", 8, float)
        small, large = team.array("small", 8, float, stripes=1), team.array("large", LARGE // 8, float, stripes=1)
        small[:] = large[:] = 1
        command = [sys.executable, "-c", ATTACHER, team.namespace]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    (few, touched), (as_few, as_touched) = (map(int, line.split()) for line in done.stdout.splitlines())
    assert abs(as_few - few) < 64  # numbers in a description have other lengths
    assert few < 10_000
    around = 64  # KiB: the kernel maps the neighbours of the one page, the footer's, that SharedArray reads
    assert touched <= 4
    assert as_touched <= around
