"""Whatever lies under a name: an error of pydsm's or harmless use, never a crash.

A *victim*, a process of its own, uses namespaces as it is told.  The files of each are
copies of good ones, of which something was damaged or replaced.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import pydsm
from pydsm.core import names
from pydsm.core.layout import LOCK_MAGIC, VERSION
from pydsm.errors import SegmentError
from pydsm.ipc import segment, semaphore, shm
from pydsm.ipc.lockfile import LockFile
from pydsm.sync.lock import attach_lock
from pydsm.sync.namespace import Namespace
from tests.ipc.disks import new_name

INT = np.dtype(np.int64)
MUTATIONS = 20_000 if os.environ.get("PYDSM_TORTURE") else 1_500
SHM = Path("/dev/shm")

VICTIM = """
import json, sys
import pydsm
from pydsm.cli import inventory
from pydsm.errors import PydsmError
from pydsm.sync.lock import attach_lock
from pydsm.sync.namespace import Namespace

def bury(namespace):
    Namespace.open(namespace).bury_all()

def use_an_array(namespace):
    A = pydsm.attach(f"{namespace}/A")
    A.tolist(), A.statistics(), A.holds()
    A[-1] += 1
    for rows in 0, -1, None:
        for shared in False, True:
            with A.locked(rows, shared=shared, timeout=0):
                pass
    pydsm.attach(f"{namespace}/A", readonly=True).sum()

def use_a_lock(namespace):
    lock = attach_lock(namespace, "L")
    if lock.acquire(timeout=0):
        lock.release()

def take_over(namespace):
    U = pydsm.attach(f"{namespace}/U")
    with U.locked(timeout=0, recover=True):
        U.sum()

def look(namespace):
    files = [f"pydsm.{namespace}.{part}" for part in ("team", "lock.A", "data.A", "lock.L")]
    inventory._namespace(namespace, files)

for line in sys.stdin:
    outcomes = {}
    for use in bury, use_an_array, use_a_lock, take_over, look:
        try:
            use(line.strip())
            outcome = "fine"
        except PydsmError as error:
            outcome = type(error).__name__ if str(error) else "!an error without a word"
        except RuntimeError as error:  # all slots taken, a lock held shared by a thread like this one
            outcome = "RuntimeError" if "slots" in str(error) or "shared already" in str(error) else f"!{error}"
        except BaseException as error:
            outcome = f"!{type(error).__name__} {str(error)[:100]}"
        outcomes[use.__name__] = outcome
    print(json.dumps(outcomes), flush=True)
    try:
        Namespace.open(line.strip()).close()
    except OSError:
        pass
"""


class Victim:
    """A process that uses namespaces; another one if it dies."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None

    def use(self, namespace: str) -> dict[str, str]:
        """Return what came of each use: "fine" or an error; after a ! what must not be."""
        if self._process is None:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen([sys.executable, "-c", VICTIM], stdin=pipe, stdout=pipe, text=True)
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{namespace}\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], 20)[0]:
            process.kill()
            self.end()
            return {"all": "!it hangs"}
        answer = process.stdout.readline()
        outcomes: dict[str, str] = json.loads(answer) if answer else {"all": f"!{self.end()}"}
        return outcomes

    def end(self) -> str:
        """Let it end; return how it ended."""
        process, self._process = self._process, None
        if process is None:
            return "not begun"
        with contextlib.suppress(BrokenPipeError):
            process.communicate()
        return signal.Signals(-process.returncode).name if process.returncode < 0 else f"exit {process.returncode}"


@pytest.fixture
def victim() -> Iterator[Victim]:
    victim = Victim()
    yield victim
    victim.end()


@pytest.fixture
def good() -> dict[str, bytes]:
    """Return the files of a namespace with an array, a lock, and a dead one's update, by the ends of their names."""
    return good_files()


@functools.cache
def good_files() -> dict[str, bytes]:
    with pydsm.Team(1) as team:
        A, _, U = team.array("A", (6, 2), int, stripes=3), team.lock("L"), team.array("U", (4, 2), int)
        A[:] = U[:] = 1
        pid = os.fork()
        if pid == 0:
            with U.locked([0, 2], undo=True):
                U[[0, 2]] = 9
                os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        prefix = f"pydsm.{team.namespace}."
        return {path.name.removeprefix(prefix): path.read_bytes() for path in SHM.glob(f"{prefix}*")}


def outcomes(failing: str = "", error: str = "SegmentError") -> dict[str, str]:
    """Return what comes of all uses if those named fail."""
    uses = ("bury", "use_an_array", "use_a_lock", "take_over", "look")
    return {use: error if use in failing.split() else "fine" for use in uses}


USERS = {
    "team": "bury use_an_array use_a_lock take_over",
    "lock.A": "use_an_array",
    "data.A": "use_an_array",
    "lock.L": "use_a_lock",
    "lock.U": "take_over",
    "data.U": "take_over",
    "undo.1-0": "",
}
"""What cannot be done without a file."""


@contextlib.contextmanager
def planted(files: dict[str, bytes | Callable[[str], object]]) -> Iterator[str]:
    """Let these files, or what these functions make, be a living namespace; give its name."""
    namespace = names.new_namespace()
    member = None
    try:
        for part, content in sorted(files.items(), key=lambda file: file[0] != "team"):
            name = f"pydsm.{namespace}.{part}"
            if callable(content):
                content(f"/dev/shm/{name}")
                continue
            descriptor = shm.new_file(0)
            os.pwrite(descriptor, content, 0)
            if part == "team":  # else others take the names back
                member = LockFile.born_locked(descriptor, name)
            shm.link(descriptor, name)
            if part != "team":
                os.close(descriptor)
        yield namespace
    finally:
        for path in SHM.glob(f"*pydsm.{namespace}.*"):
            path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)
        if member is not None:
            member.close()


def test_the_good_files_themselves_are_fine(victim: Victim, good: dict[str, bytes]) -> None:
    assert set(good) == set(USERS)
    with planted(good) as namespace:
        assert victim.use(namespace) == outcomes()
        assert (SHM / f"pydsm.{namespace}.data.U").read_bytes()[: 8 * 8] == np.ones(8, INT).tobytes()


# -- things that are no segments -------------------------------------------------------


def a_socket(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path)


def another_users(path: str) -> None:
    part = path.split(".", 2)[2]
    Path(path).write_bytes(good_files()[part])
    os.chown(path, 12345, os.getegid())


THINGS: dict[str, Callable[[str], object]] = {
    "link to nothing": lambda path: os.symlink("/dev/shm/nothing", path),
    "link to a file": lambda path: os.symlink("/etc/passwd", path),
    "link to itself": lambda path: os.symlink(path, path),
    "FIFO": os.mkfifo,
    "directory": os.mkdir,
    "socket": a_socket,
    "empty file": lambda path: Path(path).touch(),
    "one byte": lambda path: Path(path).write_bytes(b"x"),
    "text": lambda path: Path(path).write_text("This is somebody else's.\n" * 100),
    "zeros": lambda path: Path(path).write_bytes(bytes(4096)),
}
if os.geteuid() == 0:  # nobody else can make it
    THINGS["another user's"] = another_users


@pytest.mark.parametrize("part", USERS)
def test_what_is_no_segment_is_refused(victim: Victim, good: dict[str, bytes], part: str) -> None:
    seen = {}
    for thing, make in THINGS.items():
        with planted({**good, part: make}) as namespace:
            seen[thing] = victim.use(namespace)
            assert (SHM / f"pydsm.{namespace}.{part}").lstat()  # it is left alone
    assert seen == {thing: outcomes(USERS[part]) for thing in THINGS}


@pytest.mark.parametrize("thing", sorted({*THINGS} - {"another user's"}))
def test_what_is_no_semaphore_is_refused(thing: str) -> None:
    name = f"/{new_name()}"
    path = f"/dev/shm/sem.{name[1:]}"
    THINGS[thing](path)
    try:
        with pytest.raises(SegmentError):
            semaphore.Semaphore.open(name)
        with pytest.raises(FileExistsError):
            semaphore.Semaphore.create(name)
    finally:
        os.rmdir(path) if thing == "directory" else os.unlink(path)


@pytest.mark.parametrize("part", USERS)
def test_what_is_gone_is_an_error_that_says_so(victim: Victim, good: dict[str, bytes], part: str) -> None:
    with planted({other: content for other, content in good.items() if other != part}) as namespace:
        error = "SegmentError" if part.startswith("data") else "UnknownNameError"
        assert victim.use(namespace) == outcomes(USERS[part], error)


# -- headers that lie ------------------------------------------------------------------


def with_words(raw: bytes, words: dict[int, int]) -> bytes:
    changed = bytearray(raw)
    for word, value in words.items():
        struct.pack_into("=Q", changed, 8 * word, value)
    return bytes(changed)


def with_description(raw: bytes, fields: dict[str, Any]) -> bytes:
    """Put other fields into the description; ... takes one away."""
    (length,) = struct.unpack_from("=Q", raw, 56)
    changed = {**json.loads(raw[128 : 128 + length]), **fields}
    return with_text(raw, json.dumps({field: value for field, value in changed.items() if value is not ...}))


def with_text(raw: bytes, text: str) -> bytes:
    """Put another description in, the header grown as it needs."""
    _, _, _, words, stripes, lots, _, _ = struct.unpack_from("=8Q", raw, 0)
    content = text.encode(errors="surrogateescape")
    grown = -(-(128 + len(content)) // 64) * 8
    head = with_words(raw[:128], {3: grown, 7: len(content)}) + content.ljust(grown * 8 - 128, b"\0")
    body = raw[words * 8 : (words + (stripes + lots) * 8) * 8]
    size = (len(head) + len(body)) // 8
    descriptor, _ = segment.make((size,), np.dtype(np.uint64), head + body)
    try:
        return os.pread(descriptor, 1 << 20, 0)
    finally:
        os.close(descriptor)


WORDS: dict[str, dict[int, int]] = {
    "magic": {0: LOCK_MAGIC ^ 1},
    "older version": {1: VERSION - 1},
    "newer version": {1: VERSION + 1},
    "no header": {3: 0},
    "header to the end": {3: 1 << 40},
    "header beyond 64 bits": {3: (1 << 64) - 1},
    "no stripes": {4: 0},
    "one stripe too many": {4: 4},
    "one stripe and one lot moved": {4: 4, 5: 3},
    "huge stripes": {4: 1 << 63},
    "no lots": {5: 0},
    "huge lots": {5: 1 << 63},
    "an id beyond 32 bits": {6: 1 << 32},
    "description too long": {7: 1 << 20},
    "description beyond 64 bits": {7: (1 << 64) - 128},
    "no description": {7: 0},
    "half a description": {7: 50},
}
FIELDS: dict[str, dict[str, Any]] = {
    "another name": {"name": "B"},
    "a name that is a number": {"name": 5},
    "no name": {"name": ...},
    "a field too many": {"more": 1},
    "block 0": {"block": 0},
    "block -1": {"block": -1},
    "block 1, for which there are too few stripes": {"block": 1},
    "block 7, for which there are too many": {"block": 7},
    "block beyond 64 bits": {"block": 1 << 70},
    "block text": {"block": "2"},
    "block float": {"block": 2.0},
    "block null": {"block": None},
    "shape of another size": {"shape": [6, 3]},
    "shape of the same size": {"shape": [2, 6]},
    "shape of another number of axes": {"shape": [12]},
    "shape of a lock": {"shape": []},
    "shape negative": {"shape": [-6, -2]},
    "shape huge": {"shape": [1 << 62, 1 << 62]},
    "shape huge but empty": {"shape": [0, 1 << 62, 1 << 62]},
    "shape huge but empty, of bytes": {"shape": [0, 1 << 62, 1 << 62], "typed": False},
    "shape of floats": {"shape": [6.0, 2.0]},
    "shape text": {"shape": "62"},
    "shape of lists": {"shape": [[6], 2]},
    "shape null": {"shape": None},
    "shape of 70 axes": {"shape": [6, 2] + [1] * 68},
    "shape of 70 axes, of bytes": {"shape": [6, 2] + [1] * 68, "typed": False},
    "dtype object": {"dtype": "'|O'"},
    "dtype object, of bytes": {"dtype": "'|O'", "typed": False},
    "dtype with an object field": {"dtype": "[('a', '|O')]", "typed": False},
    "dtype nothing": {"dtype": "'|V0'"},
    "dtype nothing, of bytes": {"dtype": "'|V0'", "typed": False},
    "dtype other byte order": {"dtype": "'>i8'"},
    "dtype other kind": {"dtype": "'<f8'"},
    "dtype other size": {"dtype": "'<i4'"},
    "dtype huge": {"dtype": "'|S2147483647'"},
    "dtype beyond any size": {"dtype": "'|S99999999999999999999'"},
    "dtype a call": {"dtype": "__import__('os')"},
    "dtype a number": {"dtype": "1"},
    "dtype a number in JSON": {"dtype": 1},
    "dtype empty": {"dtype": ""},
    "dtype NUL": {"dtype": "'\0'"},
    "dtype nested": {"dtype": "(" * 300},
    "dtype nested deeper": {"dtype": "[" * 3000 + "]" * 3000},
    "dtype null": {"dtype": None},
    "not typed": {"typed": False},
    "typed null": {"typed": None},
    "guarded text": {"guarded": "yes"},
    "huge a number": {"huge": 1},
    "file of another kind": {"file": "/etc/passwd"},
    "file a device": {"file": "/dev/zero"},
    "file a directory": {"file": "/tmp"},
    "file gone": {"file": "/nowhere/at/all"},
    "file with NUL": {"file": "/tmp/\0"},
    "file a number": {"file": 0},
    "file a list": {"file": []},
    "file empty": {"file": ""},
}
TEXTS = {
    "nothing": "",
    "null": "null",
    "a list": "[]",
    "a number": "1e999",
    "cut off": '{"name": "A", "shape": [6',
    "not UTF-8": "\udcff",
    "nested": "[" * 100_000,
    "nested in a field": '{"name": ' + "[" * 5_000,
    "a huge number": '{"shape": [' + "9" * 5_000 + "]}",
}
LIES: dict[str, Callable[[bytes], bytes]] = {
    **{name: functools.partial(with_words, words=words) for name, words in WORDS.items()},
    **{name: functools.partial(with_description, fields=fields) for name, fields in FIELDS.items()},
    **{f"description {name}": functools.partial(with_text, text=text) for name, text in TEXTS.items()},
}


def test_a_lock_segment_that_lies_is_refused(victim: Victim, good: dict[str, bytes]) -> None:
    seen = {}
    for lie, tell in LIES.items():
        with planted({**good, "lock.A": tell(good["lock.A"])}) as namespace:
            seen[lie] = victim.use(namespace)
    assert {lie: found for lie, found in seen.items() if found != outcomes("use_an_array")} == {}


def test_the_damage_done_is_the_damage_meant(victim: Victim, good: dict[str, bytes]) -> None:
    for same in (with_description(good["lock.A"], {}), with_words(good["lock.A"], {1: VERSION})):
        with planted({**good, "lock.A": same}) as namespace:
            assert victim.use(namespace) == outcomes()


def test_two_segments_with_one_id_do_not_share_their_locks(good: dict[str, bytes]) -> None:
    (array_id,) = struct.unpack_from("=Q", good["lock.A"], 48)
    with planted({**good, "lock.L": with_words(good["lock.L"], {6: array_id})}) as namespace:
        A = pydsm.attach(f"{namespace}/A")
        with pytest.raises(SegmentError, match="has the id of 'A'"):
            attach_lock(namespace, "L")
        Namespace.open(namespace).close()
    assert A.sum() == 12


# -- anything ---------------------------------------------------------------------------


def mutate(raw: bytes, dice: random.Random) -> bytes:
    """Damage a file, mostly in its header or in its footer."""
    changed = bytearray(raw)
    kind = dice.choice(["bits", "words", "words", "letter", "noise", "cut", "grow"])
    if kind == "bits":
        for _ in range(dice.choice([1, 1, 2, 8])):
            changed[_place(raw, dice)] ^= 1 << dice.randrange(8)
    elif kind == "words":
        for _ in range(dice.choice([1, 1, 2, 4])):
            at = min(_place(raw, dice) // 8 * 8 + dice.choice([0, 4]), len(raw) - 8)
            word = dice.choice([0, 1, 2, 448, 449, 1 << 31, 1 << 63, (1 << 64) - 1, dice.getrandbits(64)])
            struct.pack_into("=Q", changed, at, word >> dice.choice([0, 0, 32, 50]))
    elif kind == "letter":
        changed[_place(raw, dice)] = dice.choice(b"0123456789-.,:[]{}()\"'|<>OVSUifTF \\")
    elif kind == "noise":
        at = _place(raw, dice)
        changed[at : at + 32] = dice.randbytes(min(32, len(raw) - at))
    elif kind == "cut":
        del changed[_place(raw, dice) :]
    else:
        changed += dice.randbytes(dice.choice([1, 8, 64, 4096]))
    return bytes(changed)


def _place(raw: bytes, dice: random.Random) -> int:
    near_start, near_end = range(min(len(raw), 320)), range(max(0, len(raw) - 560), len(raw))
    return dice.choice(dice.choice([near_start, near_start, near_end, range(len(raw))]))


def test_random_damage_is_an_error_or_harmless(victim: Victim, good: dict[str, bytes]) -> None:
    seen: Counter[str] = Counter()
    first: dict[str, tuple[int, str]] = {}
    for seed in range(MUTATIONS):
        dice = random.Random(seed)
        part = dice.choice(sorted(good))
        with planted({**good, part: mutate(good[part], dice)}) as namespace:
            for use, outcome in victim.use(namespace).items():
                seen[outcome] += 1
                first.setdefault(f"{use}: {outcome}", (seed, part))
    assert {outcome: where for outcome, where in first.items() if ": !" in outcome} == {}
    assert min(seen["fine"], seen["SegmentError"]) > MUTATIONS // 4  # neither blind nor beside the mark
