"""A program for ranks in which something goes wrong: what, is its first argument."""

from __future__ import annotations

import ctypes
import faulthandler
import os
import re
import signal
import sys
import threading
import time
from pathlib import Path

import pydsm


def pid_of_rank(rank: int, namespace: str) -> int:
    """Return a rank's process: one of this program whose launcher has told it that number."""
    told = re.compile(rb"\0(?:PMI|OMPI_COMM_WORLD)_RANK=%d\0" % rank)
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            command, environment = Path(f"/proc/{pid}/cmdline").read_bytes(), Path(f"/proc/{pid}/environ").read_bytes()
        except OSError:
            continue
        if namespace.encode() in command and b"failing.py" in command and told.search(environment):
            return int(pid)
    raise LookupError(f"there is no rank {rank}")


def say_what_is_used() -> None:
    """Name what the MPI library has in shared memory."""
    with open("/proc/self/maps") as maps:
        for file in set(re.findall(r"/dev/shm/(?!pydsm|sem)\S+", maps.read())):
            print(f"uses {file}", flush=True)


def go_on(worker: pydsm.Worker, how: str, namespace: str, folder: str = "") -> None:
    A = worker["A"]
    say_what_is_used()
    if how == "later" and worker.rank == worker.size - 1:
        threading.Timer(0.5, os._exit, (7,)).start()
    if how in ("nothing", "later"):
        return
    if worker.rank == worker.size - 1:
        if how == "raise":
            A.wait_until(3, "==", 1)  # the other one has something to unwind
        with A.locked(0):
            if how == "raise":
                raise KeyError("on purpose")
            if how == "exit":
                os._exit(7)
            if how == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if how == "fault":
                faulthandler.disable()
                ctypes.string_at(0)
            if how == "parent":
                os.kill(int(A[1]), signal.SIGKILL)
            if how == "server":
                os.kill(pid_of_rank(worker.size // 2 + 1, namespace), signal.SIGKILL)
    if how == "stuck":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        worker.barrier()  # nobody is stopped before that
        if worker.rank == worker.size - 1:
            raise KeyError("on purpose")
        time.sleep(1000)
    try:
        if worker.rank == 0:
            A.store_release(3, 1)
        if how == "interrupt":
            worker.barrier()
            print("running" if worker.rank == 0 else "", flush=True)
        while True:
            with A.locked(slice(None)):
                A[2] += 1
    finally:
        if folder:  # what is printed now may be lost when the launcher sees the program fail
            Path(folder, f"worker {worker.rank} unwound").touch()


if __name__ == "__main__":
    try:
        with pydsm.Team(namespace=sys.argv[2]) as team:
            A = team.array("A", 6, int)
            A[1] = os.getpid()
            print(f"program {os.getpid()}", flush=True)
            say_what_is_used()
            team.run(go_on, *sys.argv[1:])
            if sys.argv[1] == "later":
                time.sleep(1000)  # nobody looks after the workers now
    except KeyboardInterrupt:
        print("interrupted", flush=True)
        sys.exit(5)
