"""Instructions for one operation, counted by callgrind.

Times on a busy machine differ from one minute to the next; instructions in user space do not.
So this is where a regression shows first.  What the kernel does is not in it, and neither is
waiting: for these operations alone there is none of both, but for `attach`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.attempts import Note, Record, Row, attempt
from benchmarks.counted import STATEMENTS, repetitions
from benchmarks.measure import Spread, Table, spread
from benchmarks.settings import Settings

__all__ = ["RECORDED", "TITLE", "compared", "read_dumps", "rows"]

TITLE = "Instructions"
RECORDED = Path(__file__).parent.parent / "docs" / "benchmarks" / "instructions.json"
_ROOT = Path(__file__).parent.parent
_SHIM = Path(__file__).with_name("callgrind.c")
_WORSE = 1.02
_PATIENCE = 300


def rows(settings: Settings) -> Iterator[Row]:
    """Yield one table, beside what was recorded last."""
    missing = [tool for tool in ("valgrind", "gcc") if shutil.which(tool) is None]
    if missing:
        yield Note(f"skipped: {' and '.join(missing)} is not installed, and callgrind counts instructions")
        return
    yield from attempt("under callgrind, some ten seconds", settings, _count)


def _count() -> Iterator[Row]:
    with tempfile.TemporaryDirectory() as folder:
        counts = read_dumps(_run(Path(folder)))
    recorded = json.loads(RECORDED.read_text(encoding="utf-8")) if RECORDED.exists() else {}
    yield from compared(counts, recorded)
    yield Record("instructions", counts)


def compared(counts: dict[str, float], recorded: dict[str, float]) -> Iterator[Row]:
    """Yield a table of the counts beside those recorded, and a note for each that has grown."""
    yield Table(
        "Instructions in user space for one repetition, loop included",
        [("operation", None), ("now", "count"), ("recorded last", "count"), ("now / recorded", None)],
        [[name, _exactly(now), *_beside(now, recorded.get(name))] for name, now in counts.items()],
    )
    for name, now in counts.items():
        if name in recorded and now > _WORSE * recorded[name]:
            yield Note(f"{name} takes {now / recorded[name] - 1:.0%} more instructions than recorded")


def _beside(now: float, recorded: float | None) -> tuple[str | Spread, str]:
    return ("-", "-") if recorded is None else (_exactly(recorded), f"{now / recorded:.3f}")


def _exactly(count: float) -> Spread:
    return spread([count])


def _run(folder: Path) -> list[str]:
    """Run the statements under callgrind and return what it has written."""
    library = folder / "callgrind.so"
    compiled = subprocess.run(
        ["gcc", "-O2", "-shared", "-fPIC", "-o", str(library), str(_SHIM)], capture_output=True, text=True, check=False
    )
    if compiled.returncode:
        raise RuntimeError(f"valgrind's header is not there (Debian, Ubuntu: in valgrind): {compiled.stderr.strip()}")
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/dump", sys.executable]
    done = subprocess.run(
        [*command, "-m", "benchmarks.counted", str(library)],
        cwd=_ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0", "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=_PATIENCE,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"it failed under callgrind: {done.stderr.strip().splitlines()[-1]}")
    return [path.read_text(encoding="utf-8") for path in folder.glob("dump*")]


def read_dumps(dumps: list[str]) -> dict[str, float]:
    """Return for each statement the instructions of one repetition."""
    totals: dict[str, int] = {}
    for dump in dumps:
        reason = re.search(r"^desc: Trigger: Client Request: (.*)$", dump, re.MULTILINE)
        total = re.search(r"^(?:summary|totals): (\d+)", dump, re.MULTILINE)
        if reason and total:
            totals[reason[1]] = int(total[1])
    return {
        name: (totals[f"twice {name}"] - totals[f"once {name}"]) / repetitions(name)
        for name in STATEMENTS
        if f"twice {name}" in totals
    }
