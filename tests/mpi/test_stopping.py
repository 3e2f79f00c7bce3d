"""SIGTERM in a worker: in a run it unwinds, just behind one it is late, and otherwise it ends the process."""

from __future__ import annotations

import signal
import subprocess
import sys

PROGRAM = """
import os, signal
from pydsm.mpi import stopping
try:
    with stopping.stop_on_sigterm():
        os.kill(os.getpid(), signal.SIGTERM)
        print("not stopped")
except stopping.Stopped:
    print("stopped")
os.kill(os.getpid(), signal.SIGTERM)
print("late", flush=True)
stopping._late_until = 0.0
os.kill(os.getpid(), signal.SIGTERM)
print("not ended")
"""


def test_a_stop_that_comes_behind_its_run_does_not_end_the_worker() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (ended.stdout, ended.returncode) == ("stopped\nlate\n", -signal.SIGTERM), ended.stderr
