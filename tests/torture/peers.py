"""The same deaths for others: what a lock, a barrier and a pool do when a process is killed in them.

Each case runs in a program of its own, which prints what came of it, or nothing if it hangs.
"""

from __future__ import annotations

import importlib.util
import json
import mmap
import os
import secrets
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.torture.processes import fork

__all__ = ["CASES", "Outcome", "run_cases"]

DEADLINE = 3.0
_CLOCK = "TORTURE_CLOCK"
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """What a peer did; `milliseconds` from the kill, None if it did nothing until the deadline."""

    peer: str
    fault: str
    outcome: str
    milliseconds: float | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


class _Row:
    """Two numbers in shared memory that belong together: x and -x."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, 32)

    def write_half(self) -> None:
        struct.pack_into("q", self._memory, 0, 1)
        struct.pack_into("q", self._memory, 16, 1)  # the holder is inside

    def wait_for_holder(self) -> None:
        while not struct.unpack_from("q", self._memory, 16)[0]:
            time.sleep(0.001)

    def is_torn(self) -> bool:
        one, other = struct.unpack_from("qq", self._memory, 0)
        return bool(one != -other)


def _lock(acquire: Callable[[], Any]) -> str:
    """Kill the holder of a lock in the middle of an update while this process waits for it."""
    row = _Row()

    def hold() -> None:
        kept = acquire()
        row.write_half()
        time.sleep(0.1)
        _die()
        del kept

    fork(hold)
    row.wait_for_holder()
    acquire()
    return "goes on with torn data, told nothing" if row.is_torn() else "goes on"


def _die() -> None:
    """Be killed, and leave word of when."""
    with open(os.environ[_CLOCK], "w", encoding="ascii") as file:
        file.write(repr(time.monotonic()))
    os.kill(os.getpid(), signal.SIGKILL)


def _since_death() -> float | None:
    """Return how many milliseconds ago somebody died."""
    with suppress(OSError, ValueError), open(os.environ[_CLOCK], encoding="ascii") as file:
        return (time.monotonic() - float(file.read())) * 1e3
    return None


def _multiprocessing_lock() -> str:
    import multiprocessing

    return _lock(multiprocessing.Lock().acquire)


def _posix_ipc_semaphore() -> str:
    import posix_ipc

    semaphore = posix_ipc.Semaphore(f"/torture-{secrets.token_hex(4)}", posix_ipc.O_CREX, initial_value=1)
    semaphore.unlink()
    return _lock(semaphore.acquire)


def _filelock() -> str:
    import filelock

    with tempfile.TemporaryDirectory() as directory:
        return _lock(lambda: filelock.FileLock(f"{directory}/lock", poll_interval=0.01).acquire())


def _fasteners() -> str:
    import fasteners

    kept = []
    with tempfile.TemporaryDirectory() as directory:

        def acquire() -> None:
            kept.append(fasteners.InterProcessLock(f"{directory}/lock"))
            kept[-1].acquire()

        return _lock(acquire)


def _pydsm_lock(*, recover: bool) -> str:
    import pydsm

    with pydsm.Team(1) as team:
        A = team.array("A", (1, 2), int)
        entered = mmap.mmap(-1, 1)

        def hold() -> None:
            with A.locked(0, undo=recover) as row:
                row[0] = 1
                entered[0] = 1
                time.sleep(0.1)
                _die()

        holder = fork(hold)
        while not entered[0]:
            time.sleep(0.001)
        region = A.locked(0, recover=recover)
        try:
            with region as row:
                state = "torn data" if row[0] != -row[1] else "whole data"
                return f"goes on with {state}, told of {', '.join(region.recovered) or 'nothing'}"
        finally:
            holder.end()


def _pydsm_owner_died() -> str:
    return _pydsm_lock(recover=False)


def _pydsm_undo() -> str:
    return _pydsm_lock(recover=True)


def _multiprocessing_barrier() -> str:
    import multiprocessing

    barrier = multiprocessing.Barrier(3)

    def die() -> None:
        time.sleep(0.1)
        _die()

    fork(barrier.wait)
    fork(die)
    barrier.wait()
    return "goes on"


def _pydsm_barrier(on_death: str) -> str:
    import pydsm

    def program(worker: pydsm.Worker) -> int:
        if worker.rank == 0:
            time.sleep(0.1)
            _die()
        worker.barrier()
        return worker.rank

    with pydsm.Team(3, on_death=on_death) as team:
        results = team.run(program)
    return f"goes on: {results!r}"


def _pydsm_barrier_abort() -> str:
    return _pydsm_barrier("abort")


def _pydsm_barrier_continue() -> str:
    return _pydsm_barrier("continue")


def _die_or_square(number: int) -> int:
    if number == 2:
        _die()
    return number * number


def _multiprocessing_pool() -> str:
    import multiprocessing

    with multiprocessing.get_context("fork").Pool(2) as pool:
        return f"goes on: {pool.map(_die_or_square, range(4), chunksize=1)}"


def _executor() -> str:
    from concurrent.futures import ProcessPoolExecutor

    with ProcessPoolExecutor(2) as pool:
        return f"goes on: {list(pool.map(_die_or_square, range(4)))}"


def _joblib() -> str:
    import joblib

    return f"goes on: {joblib.Parallel(2)(joblib.delayed(_die_or_square)(number) for number in range(4))}"


def _pydsm_pool(on_death: str) -> str:
    import pydsm

    with pydsm.Team(4, on_death=on_death) as team:
        results = team.run(lambda worker: _die_or_square(worker.rank))
    shown = [type(result).__name__ if isinstance(result, Exception) else result for result in results]
    return f"goes on: {shown}"


def _pydsm_run_abort() -> str:
    return _pydsm_pool("abort")


def _pydsm_run_continue() -> str:
    return _pydsm_pool("continue")


_LOCK = "a holder is killed, another waits"
_BARRIER = "one is killed, the others are in the barrier"
_POOL = "a worker is killed"

CASES: dict[str, tuple[str, str, str | None, Callable[[], str]]] = {
    "mp-lock": ("multiprocessing.Lock", _LOCK, None, _multiprocessing_lock),
    "posix-ipc": ("posix_ipc.Semaphore", _LOCK, "posix_ipc", _posix_ipc_semaphore),
    "filelock": ("filelock.FileLock", _LOCK, "filelock", _filelock),
    "fasteners": ("fasteners.InterProcessLock", _LOCK, "fasteners", _fasteners),
    "pydsm-lock": ("pydsm A.locked(0)", _LOCK, None, _pydsm_owner_died),
    "pydsm-undo": ("pydsm undo=True, then recover=True", _LOCK, None, _pydsm_undo),
    "mp-barrier": ("multiprocessing.Barrier", _BARRIER, None, _multiprocessing_barrier),
    "pydsm-barrier-abort": ("pydsm on_death='abort'", _BARRIER, None, _pydsm_barrier_abort),
    "pydsm-barrier-continue": ("pydsm on_death='continue'", _BARRIER, None, _pydsm_barrier_continue),
    "mp-pool": ("multiprocessing.Pool", _POOL, None, _multiprocessing_pool),
    "executor": ("concurrent.futures.ProcessPoolExecutor", _POOL, None, _executor),
    "joblib": ("joblib (loky)", _POOL, "joblib", _joblib),
    "pydsm-run-abort": ("pydsm on_death='abort'", _POOL, None, _pydsm_run_abort),
    "pydsm-run-continue": ("pydsm on_death='continue'", _POOL, None, _pydsm_run_continue),
}
"""By key: the peer, what happens to it, the module it needs, and the case itself."""


def run_cases(keys: Iterable[str] = CASES) -> Iterator[Outcome]:
    """Run each case in a program of its own, and end what hangs."""
    for key in keys:
        peer, fault, module, _ = CASES[key]
        if module is not None and importlib.util.find_spec(module) is None:
            yield Outcome(peer, fault, f"skipped: {module} is not installed")
            continue
        with tempfile.TemporaryDirectory() as directory:
            yield Outcome(peer, fault, *_run(key, f"{directory}/clock"))


def _run(key: str, clock: str) -> tuple[str, float | None]:
    program = subprocess.Popen(
        [sys.executable, "-m", "tests.torture.peers", key],
        cwd=_ROOT,
        env=os.environ | {_CLOCK: clock},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert program.stdout is not None
    try:
        if not select.select([program.stdout], [], [], DEADLINE)[0]:
            return f"hangs (nothing in {DEADLINE:g} s)", None
        line = program.stdout.readline()
        if not line:
            return f"ended with exit code {program.wait()}", None
        outcome, milliseconds = json.loads(line)
        time.sleep(0.5)  # it may have somebody who cleans up
        return outcome, milliseconds
    finally:
        with suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.wait()
        program.stdout.close()


def main(key: str) -> None:
    """Be the program of one case."""
    try:
        outcome = CASES[key][3]()
        milliseconds = _since_death()
    except Exception as error:
        milliseconds = _since_death()
        first = str(error).splitlines()[0] if str(error) else ""
        outcome = f"{type(error).__name__}: {first}"
    print(json.dumps([outcome, milliseconds]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
