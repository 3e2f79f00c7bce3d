"""Over MPI, on ranks that pretend to be on two nodes, beside mpi4py's one-sided calls: ``python -m benchmarks.ranks``.

One machine cannot say what a network costs; it says what pydsm's own work and its messages cost.  Everything is
printed as it was measured, with the load of the machine, because ranks that share cpus wait for one another.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "programs" / "ranks.py"
COUNT = 400


def main() -> int:
    """Measure and print a table."""
    from tests.mpi.jobs import ROOT, launcher

    if not launcher():
        print("there is no mpiexec: pip install '.[mpi]' brings MPICH", file=sys.stderr)
        return 1
    apart = {"PYDSM_MPI_NODES": "0,1,2|3,4,5", "MPIR_CVAR_NOLOCAL": "1"}
    network = {"MPIR_CVAR_NOLOCAL": "1"}
    columns = {
        "pydsm, 2 nodes": _run(
            [*launcher(), "-n", "6", sys.executable, "-m", "pydsm", str(PROGRAM), "pydsm"], ROOT, apart
        ),
        "raw, network": _run([*launcher(), "-n", "4", sys.executable, str(PROGRAM), "raw"], ROOT, network),
        "raw, one memory": _run([*launcher(), "-n", "4", sys.executable, str(PROGRAM), "raw"], ROOT, {}),
    }
    print(f"microseconds a call, 4 workers at once, {os.cpu_count()} cpus, load {os.getloadavg()[0]:.1f}")
    print(f"{'':30}" + "".join(f"{name:>18}" for name in columns))
    for what in {what: None for taken in columns.values() for what in taken}:
        cells = (f"{taken[what]:18.0f}" if what in taken else f"{'-':>18}" for taken in columns.values())
        print(f"{what:30}" + "".join(cells))
    return 0


def _run(command: list[str], folder: Path, more: dict[str, str]) -> dict[str, float]:
    """Run the program on ranks; return what it printed, or nothing if it did not end in time."""
    environment = {**os.environ, "PYTHONPATH": str(folder), **more}
    try:
        done = subprocess.run(
            [*command, str(COUNT)], cwd=folder, env=environment, capture_output=True, text=True, timeout=100
        )
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        found: dict[str, float] = json.loads(lines[-1])
    except (subprocess.TimeoutExpired, IndexError):
        return {}
    return found


if __name__ == "__main__":
    raise SystemExit(main())
