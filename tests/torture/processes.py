"""Children of the driver: forked, watched, ended, always by a handle that cannot mean another process."""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import os
import resource
import select
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from pydsm.native import die_with_parent

__all__ = ["Child", "Program", "eventually", "fork", "names_with", "quiet_parts", "sweep_temporaries"]

_DIRECTORY = "/dev/shm"
_CREATION_SECONDS = 3.0


class Child:
    """A forked child that is not reaped yet, so its pid is its own."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.status: int | None = None

    def poll(self) -> int | None:
        """Return the exit code (negative: the signal) if it has ended."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.status is None:
            os.kill(self.pid, number)

    def wait(self, seconds: float) -> int | None:
        """Wait for its end, so long at most."""
        eventually(lambda: self.poll() is not None, seconds, pause=0.0005)
        return self.status

    def end(self) -> None:
        """Kill and reap it."""
        if self.poll() is None:
            self.send(signal.SIGKILL)
            _, status = os.waitpid(self.pid, 0)
            self.status = os.waitstatus_to_exitcode(status)


class Program(Child):
    """A child that leads a process group of its own, as a program started from a shell does.

    `ended` is a pipe that every process of it inherits; it turns readable when all have ended.
    """

    def __init__(self, main: Callable[[], Any]) -> None:
        self.ended, writer = os.pipe()

        def lead() -> None:
            os.setpgid(0, 0)
            os.close(self.ended)
            os.set_inheritable(writer, True)
            main()

        super().__init__(fork(lead).pid)
        os.close(writer)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.setpgid(self.pid, self.pid)  # both do it, so that it is done whoever comes first

    def poll(self) -> int | None:
        """Return the leader's exit code if it has ended; it is not reaped, so that the group stays its own."""
        found = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        if found is None:
            return None
        return found.si_status if found.si_code == os.CLD_EXITED else -found.si_status

    def kill_all(self) -> None:
        """Kill every process of it at once; the leader is not reaped yet, so the group is its own."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)

    def all_ended(self, seconds: float) -> bool:
        """Wait until no process of it is left; False if that takes longer."""
        return bool(select.select([self.ended], [], [], seconds)[0])

    def close(self) -> None:
        """End what is left of it."""
        if self.ended < 0:
            return
        self.kill_all()
        os.waitpid(self.pid, 0)
        os.close(self.ended)
        self.ended = -1


def fork(main: Callable[[], Any]) -> Child:
    """Run `main` in a child, which ends with 0 if it returns and with 1 if it raises."""
    parent = os.getpid()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of threads: none of them matters to the child
        pid = os.fork()
    if pid:
        return Child(pid)
    code = 1
    try:
        gc.freeze()
        faulthandler.disable()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
        die_with_parent(signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        main()
        code = 0
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(code)


def eventually(condition: Callable[[], bool], seconds: float, pause: float = 0.002) -> bool:
    """Look again and again; say whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(pause)
    return True


def names_with(part: str) -> list[str]:
    """Return the names in shared memory that have `part` in them."""
    return sorted(name for name in os.listdir(_DIRECTORY) if part in name)


def _temporaries() -> set[str]:
    return {name for name in os.listdir(_DIRECTORY) if len(name) == 10 and name.startswith("sem.")}


@contextlib.contextmanager
def sweep_temporaries() -> Iterator[Callable[[], int]]:
    """Count and remove what the C library leaves of a semaphore whose creator was killed half-way.

    Those names are no program's own, so they count only if they appeared meanwhile, belong to
    us, and are older than any creation takes.
    """
    before, swept = _temporaries(), 0

    def count() -> int:
        return swept

    try:
        yield count
    finally:
        for name in _temporaries() - before:
            path = f"{_DIRECTORY}/{name}"
            with contextlib.suppress(FileNotFoundError):
                found = os.stat(path)
                if found.st_uid == os.geteuid():
                    time.sleep(max(0.0, found.st_mtime + _CREATION_SECONDS - time.time()))
                    os.unlink(path)  # gone by itself meanwhile if its creator was alive
                    swept += 1


def quiet_parts(*, stderr: bool = True) -> None:
    """In a child that is meant to crash: leave no core file, and say nothing unless asked to."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if stderr:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
