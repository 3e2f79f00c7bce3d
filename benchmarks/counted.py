"""What `benchmarks.instructions` counts: runs under callgrind, as ``python -m benchmarks.counted LIBRARY``.

Each statement is repeated N times and then 2 N times, and callgrind writes down what each
of the two took; the difference is that of N repetitions alone, with no start and no end.
"""

from __future__ import annotations

import ctypes
import gc
import multiprocessing
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

import pydsm

__all__ = ["STATEMENTS", "repetitions"]

STATEMENTS = {
    "with A.locked(i): pass": "with A.locked(i): pass",
    "with A.locked(i): A[i] += 1": "with A.locked(i): A[i] += 1",
    "A.fetch_add(i, 1)": "A.fetch_add(i, 1)",
    "A.accumulate(rows, 1), 100 rows": "A.accumulate(rows, 1)",
    "worker.barrier(), one worker": "wait(0)",
    "pydsm.attach(name)": "attach(name)",
    "multiprocessing: with lock: pass": "with lock: pass",
    "multiprocessing: with value.get_lock(): value.value += 1": "with value.get_lock(): value.value += 1",
    "NumPy: B[i] += 1": "B[i] += 1",
    "Python: pass": "pass",
}
"""What it is called, and the code."""
_FEWER = {"pydsm.attach(name)": 40}
_REPETITIONS = 400
_WARM_UP = 20


def repetitions(name: str) -> int:
    """Return N."""
    return _FEWER.get(name, _REPETITIONS)


def main(library: str) -> None:
    """Count each statement."""
    callgrind = ctypes.CDLL(library)
    if not callgrind.is_running():
        raise RuntimeError("this counts only under valgrind --tool=callgrind")
    gc.disable()  # when it runs depends on what ran before
    with pydsm.Team(1) as team:
        A = team.array("A", 1000, int)
        names: dict[str, Any] = {
            "A": A,
            "B": np.zeros(1000, int),
            "i": 500,
            "rows": np.arange(100),
            "wait": team._barrier.wait,
            "attach": pydsm.attach,
            "name": f"{team.namespace}/A",
            "lock": multiprocessing.Lock(),
            "value": multiprocessing.Value("q", 0),
        }
        for name, code in STATEMENTS.items():
            loop, count = _loop(code, names), repetitions(name)
            loop(_WARM_UP)
            callgrind.dump(b"between")
            loop(count)
            callgrind.dump(f"once {name}".encode())
            loop(2 * count)
            callgrind.dump(f"twice {name}".encode())


def _loop(code: str, names: dict[str, Any]) -> Callable[[int], None]:
    """Return a function with the statement in a loop; the names are its locals."""
    found: dict[str, Any] = {}
    given = ", ".join(f"{name}=_names[{name!r}]" for name in names)
    exec(f"def loop(count, {given}):\n for _ in range(count):\n  {code}\n", {"_names": names}, found)
    made: Callable[[int], None] = found["loop"]
    return made


if __name__ == "__main__":
    main(sys.argv[1])
