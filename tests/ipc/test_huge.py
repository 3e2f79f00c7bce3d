"""Huge pages: had where the kernel gives them, said where it does not, and the room reserved either way."""

from __future__ import annotations

import ctypes
import errno
import functools
import gc
import os
import subprocess
import sys
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
import SharedArray

import pydsm
from pydsm.ipc import huge, segment, shm
from tests.ipc.disks import new_name, own_shm
from tests.ipc.pages import address_of, seen_huge

EXTENT = huge.page_size() or 2 << 20
BYTE = np.dtype(np.uint8)


@functools.cache
def is_granted() -> bool:
    """Say whether this kernel collapses shared memory, and has what it takes."""
    with warnings.catch_warnings(record=True) as refused:
        warnings.simplefilter("always")
        os.close(segment.make((4 * EXTENT,), BYTE, huge_pages=True)[0])
    return not refused


@pytest.fixture
def needs_huge_pages() -> None:
    if not is_granted():
        pytest.skip("this kernel gives no huge pages for shared memory on request")


@pytest.fixture
def name() -> Iterator[str]:
    name = new_name()
    yield name
    shm.unlink(name)


def refuse(number: int):
    """Be a kernel that does not collapse."""

    def advise(start: int, length: int, advice: int) -> int:
        ctypes.set_errno(number)
        return -1

    return advise


def address_space() -> int:
    """Return how many bytes of address space this process has taken."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[0]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.usefixtures("needs_huge_pages")
def test_the_creator_a_worker_and_another_program_see_huge_pages() -> None:
    def look(worker: pydsm.Worker) -> int:
        worker["A"].sum()
        return seen_huge(worker["A"])

    program = """
import sys, pydsm
from tests.ipc.pages import seen_huge
for readonly in False, True:
    A = pydsm.attach(sys.argv[1], readonly=readonly)
    A.sum()
    print(seen_huge(A))
"""
    with pydsm.Team(1) as team:
        A = team.array("A", (4 * EXTENT // 8 + 5,), float, huge=True)
        A[:] = 1
        assert seen_huge(A) == 4 * EXTENT
        assert team.run(look) == [4 * EXTENT]
        command = [sys.executable, "-c", program, f"{team.namespace}/A"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert done.stdout.split() == [str(4 * EXTENT)] * 2


def test_without_asking_they_are_small() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 4 * EXTENT, "u1")
        A[:] = 1
        if seen_huge(A):
            pytest.skip("here the kernel makes huge pages of its own accord")


@pytest.mark.usefixtures("needs_huge_pages")
@pytest.mark.parametrize("more", [0, 1, 4096, EXTENT - 1, EXTENT - 1000])
def test_an_array_of_any_length_is_zero_and_in_the_same_format(name: str, more: int) -> None:
    ours = segment.create(name, (3 * EXTENT + more,), BYTE, huge_pages=True)
    assert not ours.any()
    ours[-1] = 7
    theirs = SharedArray.attach(f"shm://{name}")
    assert (theirs.shape, theirs.dtype, theirs[-1]) == ((3 * EXTENT + more,), BYTE, 7)
    assert segment.attach(name, BYTE, (3 * EXTENT + more,))[-1] == 7


@pytest.mark.parametrize("number", [0, errno.ENOMEM, errno.EINVAL, errno.EAGAIN])
def test_all_room_is_reserved_whether_huge_pages_are_granted_or_not(
    monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    if number:
        monkeypatch.setattr(huge, "_advise", refuse(number))
    size = 3 * EXTENT + 5000
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        segment.create(name, (size,), BYTE, huge_pages=True)
    assert shm.status(name).st_blocks * 512 >= size


def test_what_is_not_granted_is_said_and_the_array_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge, "_advise", refuse(errno.EINVAL))
    with pydsm.Team(1) as team:
        with pytest.warns(RuntimeWarning, match="huge pages were not granted for .* small ones: Invalid") as caught:
            A = team.array("A", 2 * EXTENT, "u1", huge=True)
        assert caught[0].filename == __file__
        A[:] = 1
        assert A.sum() == 2 * EXTENT


def test_a_kernel_without_huge_pages_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge, "page_size", lambda: 0)
    with pytest.warns(RuntimeWarning, match="not supported"):
        A = pydsm.create("A", 2 * EXTENT, "u1", huge=True)
    assert not A.any()
    pydsm.unlink("A")


def test_a_warning_that_is_an_error_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huge, "_advise", refuse(errno.ENOMEM))
    with pytest.raises(RuntimeWarning):  # as pytest is set up here
        pydsm.create("A", 2 * EXTENT, "u1", huge=True)
    with pytest.raises(pydsm.UnknownNameError):
        pydsm.attach("A")


def test_small_arrays_have_small_pages_and_nothing_is_said() -> None:
    A = pydsm.create("A", 1000, float, huge=True)
    assert seen_huge(A) == 0
    pydsm.unlink("A")


def test_a_file_of_the_users_has_no_huge_pages(tmp_path) -> None:
    with pytest.raises(ValueError, match="'A' cannot have huge pages: it is in a file"):
        pydsm.create("A", EXTENT, file=tmp_path / "elements", huge=True)


@pytest.mark.parametrize("extents", [1, 2, 3])
def test_a_full_disk_is_a_memory_error_and_never_a_signal(extents: int) -> None:
    program = f"""
import os, sys, warnings, pydsm
from pydsm.ipc import shm
warnings.simplefilter("ignore")
shm.check_room = lambda size: None  # as if the room went just after it was looked at
with pydsm.Team(1) as team:
    try:
        A = team.array("A", {4 * EXTENT}, "u1", huge=True)
    except MemoryError as error:
        print(type(error).__name__)
    B = team.array("B", {EXTENT // 2}, "u1", huge=True)
    B[:] = 1
print(os.listdir("/dev/shm"))
"""
    command = [*own_shm(f"size={extents * EXTENT}"), sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines() == ["NoRoomError", "[]"]


# -- where it is mapped ----------------------------------------------------------------


def test_they_are_mapped_at_a_boundary_and_leave_no_address_space(name: str) -> None:
    segment.create(name, (EXTENT + 1,), BYTE)
    kept = [segment.attach(name, BYTE, (EXTENT + 1,), huge_pages=True) for _ in range(20)]
    assert [address_of(array) % EXTENT for array in kept] == [0] * 20
    del kept
    gc.collect()
    before = address_space()
    for _ in range(50):
        segment.attach(name, BYTE, (EXTENT + 1,), huge_pages=True)
    assert address_space() - before < 10 * EXTENT


@pytest.mark.parametrize("missing", ["_map", "_unmap"])
def test_without_address_space_to_spare_it_is_mapped_anywhere(
    monkeypatch: pytest.MonkeyPatch, name: str, missing: str
) -> None:
    segment.create(name, (EXTENT,), BYTE)[0] = 5
    honest, calls = getattr(huge, missing), []

    def refuse_the_first(*args):
        calls.append(args)
        return (None if missing == "_map" else False) if len(calls) % 2 else honest(*args)

    monkeypatch.setattr(huge, missing, refuse_the_first)
    before = address_space()
    for _ in range(50):
        assert segment.attach(name, BYTE, (EXTENT,), huge_pages=True)[0] == 5
    assert calls
    assert address_space() - before < 10 * EXTENT
