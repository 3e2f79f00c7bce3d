"""What the kernel can do, from C: `futex.c`, compiled when it is needed."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.measure import Run

__all__ = ["WITHOUT", "Futex"]

WITHOUT = "the futex rows need a C compiler: there is none (cc, or $CC)"
_SOURCE = Path(__file__).with_name("futex.c")
_SECONDS = 120  # nothing here takes so long: who does hangs


class Futex:
    """The compiled program."""

    def __init__(self, program: str) -> None:
        self._program = program

    @classmethod
    @contextmanager
    def compiled(cls) -> Iterator[Futex | None]:
        """Compile it for as long as the block lasts; None without a compiler."""
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            yield None
            return
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "futex")
            subprocess.run([compiler, "-O2", "-o", program, str(_SOURCE)], check=True)
            yield cls(program)

    def barrier(self, size: int, *, spins: int = 0) -> Run:
        """Return the run of a barrier of processes that look so often before they sleep."""
        return lambda count: self._seconds("barrier", size, count, spins)

    def pingpong(self) -> Run:
        """Return the run of a ping-pong of two processes, there and back."""
        return lambda count: self._seconds("pingpong", count)

    def _seconds(self, *arguments: str | int) -> float:
        command = [self._program, *map(str, arguments)]
        return float(subprocess.run(command, check=True, timeout=_SECONDS, capture_output=True, text=True).stdout)
