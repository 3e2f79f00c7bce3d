"""Full disks, limits of a process, many arrays: an error in one sentence, and nothing left behind."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import posix_ipc
import pytest
import SharedArray

from pydsm.core import names
from pydsm.errors import NoRoomError
from pydsm.ipc import segment, semaphore, shm
from tests.ipc.disks import new_name, own_shm

INT = np.dtype(np.int64)
TORTURE = bool(os.environ.get("PYDSM_TORTURE"))

LIFE = """
import gc, os, resource, sys
import pydsm

def live(namespace, now_let_go=lambda: None):
    '''Do one of everything, from the first name to the last.'''
    team = pydsm.Team(2, namespace=namespace)
    try:
        A, L = team.array("A", 100), team.lock("L")
        B = pydsm.attach(f"{namespace}/A", readonly=True)
        with A.locked(3), L:
            A[3] += 1
        team._namespace.parking.semaphore(3).post()
        big = team.array("big", 1 << 20, "u1")
        big[:] = 1
    finally:
        A = B = L = big = None
        now_let_go()
        team.terminate()

def descriptors():
    return len(os.listdir("/proc/self/fd"))

def mappings():
    with open("/proc/self/maps") as lines:
        return sum("/dev/shm/" in line for line in lines)

def names(namespace):
    return [file for file in os.listdir("/dev/shm") if namespace in file]
"""


def run(program: str, *arguments: object, before: Iterable[str] = ()) -> list[str]:
    """Run a Python program, which a signal would end, and return the lines that it prints."""
    command = [*before, sys.executable, "-c", LIFE + program, *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert ended.returncode == 0, f"{ended.returncode}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout.splitlines()


@pytest.fixture
def on_disk() -> Callable[..., list[str]]:
    """Run a program in whose /dev/shm there is just so much room."""
    return lambda options, program: run(program, before=own_shm(options))


@pytest.fixture
def namespace() -> str:
    return names.new_namespace()


@pytest.fixture
def name() -> Iterator[str]:
    """Return a name for a segment or a semaphore."""
    name = new_name()
    yield name
    for file in (name, f"sem.{name}"):
        shm.unlink(file)


# -- a full disk -----------------------------------------------------------------------


def test_what_fits_is_made_and_can_be_touched_and_the_rest_is_refused(on_disk: Callable[..., list[str]]) -> None:
    said = on_disk(
        "size=2m",
        """
team, made = pydsm.Team(1, namespace="full"), {}
for kib in (4000, 1500, *[100] * 10, *[1] * 200):
    try:
        made[f"A{len(made)}"] = A = team.array(f"A{len(made)}", kib << 10, "u1")
    except MemoryError as error:
        assert error.wanted > 0 and error.free >= 0, (error.wanted, error.free)
        print(error)
assert len(made) > 2
with open("/dev/shm/filler", "wb", buffering=0) as filler:
    for size in (1 << 16, 1 << 12):
        try:
            while True:
                filler.write(bytes(size))
        except OSError:
            pass
for A in made.values():
    A[:] = 7
for slot in range(2):
    try:
        team._namespace.parking.semaphore(slot)
    except MemoryError as error:
        print(error)
assert all((A == 7).all() for A in made.values())
team.terminate()
assert os.listdir("/dev/shm") == ["filler"]
os.unlink("/dev/shm/filler")
del A, team
made.clear()
gc.collect()
live("again")
""",
    )
    assert said[0].startswith("an array of 4096548 bytes does not fit: /dev/shm and memory have ")
    assert said[1].startswith("no room for ")
    assert said[-1] == "no room for 32 bytes in /dev/shm: No space left on device"


@pytest.mark.parametrize(
    "disks",
    [[f"size={kib}k" for kib in range(4, 1500, 36)], [f"size=8m,nr_inodes={names}" for names in range(1, 30)]],
    ids=["bytes", "names"],
)
def test_at_whatever_point_the_disk_is_full_nothing_is_left(
    on_disk: Callable[..., list[str]], disks: list[str]
) -> None:
    outcomes = on_disk(
        disks[0],
        f"""
import subprocess
for options in {disks}:
    subprocess.run(["mount", "-o", "remount," + options, "tmpfs", "/dev/shm"], check=True)
    try:
        live("full")
        print("lived")
    except MemoryError:
        print("full")
    assert os.listdir("/dev/shm") == [], options
    gc.collect()
""",
    )
    assert outcomes == sorted(outcomes)
    assert set(outcomes) == {"full", "lived"}


def test_a_disk_without_a_limit_is_not_taken_for_a_full_one(on_disk: Callable[..., list[str]]) -> None:
    assert on_disk("size=0", 'print(len(pydsm.create("endless/A", 1 << 22, "u1")))') == [str(1 << 22)]


# -- memory and cgroups ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "free"),
    [
        ({"/proc/meminfo": "MemTotal: 9 kB\nMemAvailable:   2000 kB\n"}, 2000 << 10),
        # A container: its own cgroup is at the root, whatever the path is elsewhere.
        ({"/proc/self/cgroup": "0::/\n", "memory.max": "5000\n", "memory.current": "2000\n", "memory.stat": ""}, 3000),
        ({"/proc/self/cgroup": "0::/x\n", "memory.max": "5000\n", "memory.current": "7\n", "memory.stat": ""}, 4993),
        # File cache is as good as free.
        (
            {
                "/proc/self/cgroup": "0::/a.slice/b.scope\n",
                "a.slice/memory.max": "5000\n",
                "a.slice/memory.current": "4900\n",
                "a.slice/memory.stat": "anon 500\nfile 4000\ninactive_file 2000\nactive_file 1000\n",
            },
            3100,
        ),
        # The tightest level counts, here the one above.
        (
            {
                "/proc/self/cgroup": "0::/a/b:c\n",
                "a/b:c/memory.max": "9000\n",
                "a/b:c/memory.current": "1000\n",
                "a/b:c/memory.stat": "anon 1000\n",
                "a/memory.max": "9000\n",
                "a/memory.current": "8000\n",
                "a/memory.stat": "anon 8000\n",
            },
            1000,
        ),
        # Version 1.
        (
            {
                "/proc/self/cgroup": "9:cpu:/x\n4:memory:/job\n0::/\n",
                "memory/job/memory.limit_in_bytes": "7000",
                "memory/job/memory.usage_in_bytes": "6500",
                "memory/job/memory.stat": "inactive_file 3\ntotal_inactive_file 300\ntotal_active_file 0\n",
            },
            800,
        ),
        # The limit was lowered below what is in use.
        ({"/proc/self/cgroup": "0::/\n", "memory.max": "5000\n", "memory.current": "7000\n", "memory.stat": ""}, 0),
    ],
)
def test_what_disk_memory_or_a_cgroup_has_no_room_for_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, str], free: int
) -> None:
    pretend(monkeypatch, files)
    with pytest.raises(NoRoomError, match=f"does not fit: /dev/shm and memory have {free} bytes free") as caught:
        segment.create(name, (1 << 20,), INT)
    assert caught.value.wanted > 1 << 23
    assert caught.value.free == free


@pytest.mark.parametrize(
    "files",
    [{}, {"/proc/self/cgroup": "0::/\n", "memory.max": "max\n", "memory.current": "2000\n"}],
    ids=["no cgroup", "no limit"],
)
def test_where_there_is_no_limit_there_is_room(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    pretend(monkeypatch, files)
    descriptor, array = segment.make((1 << 18,), INT)
    os.close(descriptor)
    assert array.nbytes == 1 << 21


def pretend(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """Let there be these files of the kernel's, in /sys/fs/cgroup unless the path says otherwise."""
    known = {os.path.join("/sys/fs/cgroup", path): text for path, text in files.items()}

    def read(path: str) -> str:
        try:
            return known[os.path.normpath(path)]
        except KeyError:
            raise FileNotFoundError(path) from None

    monkeypatch.setattr(shm, "_read", read)


# -- limits of a process ---------------------------------------------------------------

LIMITED = """
namespace, kind, step, count = sys.argv[1], getattr(resource, sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
hard = resource.getrlimit(kind)[1]

def used():
    if kind == resource.RLIMIT_NOFILE:
        lowest = os.dup(0)
        os.close(lowest)
        return lowest
    if kind == resource.RLIMIT_AS:
        return int(open("/proc/self/statm").read().split()[0]) * 4096
    return 0

def let_go():
    resource.setrlimit(kind, (hard, hard))

live(namespace)
gc.collect()
before = descriptors(), mappings()
for number in range(count):
    resource.setrlimit(kind, (used() + number * step, hard))
    try:
        live(namespace, let_go)
        print("lived")
    except (OSError, MemoryError) as error:
        print(type(error).__name__, error)
    let_go()
    gc.collect()
    assert (descriptors(), mappings()) == before, number
    assert names(namespace) == [], number
"""


def test_without_descriptors_it_is_an_error_that_says_so(namespace: str) -> None:
    said = run(LIMITED, namespace, "RLIMIT_NOFILE", 1, 12)
    assert said[0].startswith("OSError [Errno 24] Too many open files (this process may have ")
    assert said[-1] == "lived"
    assert all(line == "lived" or line.startswith("OSError [Errno 24]") for line in said)


def test_without_address_space_it_is_a_memory_error(namespace: str) -> None:
    said = run(LIMITED, namespace, "RLIMIT_AS", 1 << 15, 60)
    assert any(line.startswith("NoRoomError no room for") and "address space" in line for line in said)
    assert said[-1] == "lived"
    assert all(line == "lived" or line.startswith(("NoRoomError", "MemoryError")) for line in said)


def test_a_file_size_limit_is_a_memory_error(namespace: str) -> None:
    said = run(LIMITED, namespace, "RLIMIT_FSIZE", 1 << 15, 40)
    assert said[0].startswith("NoRoomError no room for")
    assert said[0].endswith("in /dev/shm: File too large")
    assert said[-1] == "lived"
    assert all(line == "lived" or line.startswith("NoRoomError") for line in said)


def test_without_mappings_it_is_a_memory_error_that_names_their_limit(namespace: str) -> None:
    limit = int(Path("/proc/sys/vm/max_map_count").read_text())
    if limit > 300_000:
        pytest.skip(f"a process may have {limit} mappings here, too many to use up in a test")
    said = run(
        """
import mmap
namespace = sys.argv[1]
live(namespace)
gc.collect()
before = descriptors(), mappings()
kinds = [mmap.PROT_READ, mmap.PROT_READ | mmap.PROT_WRITE]  # in turns, or the kernel joins neighbours
fill = []

def use_up():
    try:
        while True:
            fill.append(mmap.mmap(-1, 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, kinds[len(fill) % 2]))
    except OSError:
        pass

def let_go():
    del fill[-100:]

for spare in range(1, 16):
    use_up()
    del fill[-spare:]
    try:
        live(namespace, let_go)
        print("lived")
    except MemoryError as error:
        print(error)
    gc.collect()
    assert names(namespace) == []
fill.clear()
gc.collect()
assert (descriptors(), mappings()) == before
""",
        namespace,
    )
    assert "mappings (vm.max_map_count) of this process: Cannot allocate memory" in said[0]
    assert said[-1] == "lived"


def our_names(part: str) -> list[str]:
    return [file for file in os.listdir("/dev/shm") if part in file]


# -- every call that can fail ----------------------------------------------------------

CALLS = [
    (os, "open"),
    (os, "fchmod"),
    (os, "fstat"),
    (os, "posix_fallocate"),
    (os, "pwrite"),
    (os, "pread"),
    (os, "link"),
    (SharedArray, "attach"),
    (posix_ipc, "Semaphore"),
]
OPERATIONS = {
    "create a segment": lambda name: segment.create(name, (5,), INT, b"12345678"),
    "attach a segment": lambda name: segment.attach(name, INT, (5,)),
    "create a semaphore": lambda name: semaphore.Semaphore.create(f"/{name}").close(),
    "open a semaphore": lambda name: semaphore.Semaphore.open(f"/{name}").close(),
}


@pytest.mark.parametrize("failure", [errno.ENOSPC, errno.EMFILE, errno.ENOMEM, errno.EIO, KeyboardInterrupt])
@pytest.mark.parametrize("operation", OPERATIONS)
def test_whichever_call_fails_nothing_is_left(
    monkeypatch: pytest.MonkeyPatch, name: str, operation: str, failure: int | type[BaseException]
) -> None:
    do = OPERATIONS[operation]
    if "create" not in operation:
        OPERATIONS[operation.replace("attach", "create").replace("open", "create")](name)
    descriptors, before = os.listdir("/proc/self/fd"), our_names(name)
    failed: list[tuple[str, BaseException]] = []
    for number in range(100):
        with monkeypatch.context() as patch:
            called = fail_at(patch, number, failure)
            try:
                do(name)
            except (OSError, MemoryError, KeyboardInterrupt) as error:
                failed.append((called[number], error))
            else:
                break
        assert os.listdir("/proc/self/fd") == descriptors, called
        assert our_names(name) == before, called
    assert [call for call, _ in failed] == called[:number]  # each failed once, and the last time none did
    for call, error in failed:
        if failure is KeyboardInterrupt:
            assert type(error) is KeyboardInterrupt
        elif failure in (errno.ENOSPC, errno.ENOMEM) and call in ("open", "posix_fallocate", "link", "attach"):
            assert isinstance(error, NoRoomError), call
            assert str(error).startswith("no room for "), call


def fail_at(patch: pytest.MonkeyPatch, number: int, failure: int | type[BaseException]) -> list[str]:
    """Let the call of that number fail, of all in `CALLS`; return the list of those made."""
    called: list[str] = []

    def watch(module: object, name: str) -> None:
        original = getattr(module, name)

        def call(*args: object, **kwargs: object) -> object:
            called.append(name)
            if len(called) == number + 1:
                raise OSError(failure, os.strerror(failure)) if isinstance(failure, int) else failure()
            return original(*args, **kwargs)

        patch.setattr(module, name, call)

    for module, name in CALLS:
        watch(module, name)
    return called


# -- many ------------------------------------------------------------------------------


def test_three_thousand_arrays_are_open_at_once(namespace: str) -> None:
    run(
        """
before = descriptors()
with pydsm.Team(1, namespace=sys.argv[1]) as team:
    arrays = [team.array(f"A{i}", 2, int) for i in range(3000)]
    here = descriptors()
    assert here <= before + 1, (before, here)
    for i, A in enumerate(arrays):
        A[:] = i
    others = [pydsm.attach(f"{sys.argv[1]}/A{i}") for i in range(0, 3000, 100)]
    assert [int(B[1]) for B in others] == list(range(0, 3000, 100))
    assert descriptors() == here
    with pydsm.locked(*((A, 0) for A in arrays[:20])):
        pass
del arrays, others, A, team
gc.collect()
assert descriptors() == before
assert mappings() == 0
assert names(sys.argv[1]) == []
""",
        namespace,
    )


def test_arrays_one_after_another_use_up_nothing(namespace: str) -> None:
    run(
        """
with pydsm.Team(1, namespace=sys.argv[1]) as team:
    seen = set()
    for i in range(int(sys.argv[2])):
        A = team.array("A", 3)
        B = pydsm.attach(f"{sys.argv[1]}/A")
        with A.locked(1):
            B[1] = i
        team.delete("A")
        del A, B
        if i % 100 == 99:
            gc.collect()
            seen.add((descriptors(), sum(1 for line in open("/proc/self/maps") if "/dev/shm" in line)))
    assert len(seen) == 1, seen
""",
        namespace,
        70_000 if TORTURE else 2_000,
    )


def test_semaphores_one_after_another_use_up_nothing(name: str) -> None:
    seen = set()
    for number in range(70_000 if TORTURE else 2_000):
        ours = semaphore.Semaphore.create(f"/{name}")
        theirs = semaphore.Semaphore.open(f"/{name}")
        ours.close()
        theirs.close()
        semaphore.unlink(f"/{name}")
        if number % 500 == 499:
            maps = Path("/proc/self/maps").read_text()
            seen.add((len(os.listdir("/proc/self/fd")), maps.count("/dev/shm")))
    assert len(seen) == 1
