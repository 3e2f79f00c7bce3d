"""Whole applications: the same steps on the same numbers by everybody, checked against serial NumPy.

The time is that of the work, with everything set up: processes and pools of the peers are
there, data lies in memory where workers can read it without a copy.  Only pydsm and the
original start their workers anew in every run.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.attempts import Note, Row, absent, attempt, has, problem_of
from benchmarks.figure import Figure, Role, Series, table_of
from benchmarks.measure import Comparison, Run, interleave
from benchmarks.mpicrew import mpi_remote
from benchmarks.numbacrew import KNOWS
from benchmarks.oldpython import environment_of
from benchmarks.originals import refuse_two_at_once
from benchmarks.programs.problems import ALL, Problem
from benchmarks.remote import Remote
from benchmarks.settings import Settings

__all__ = ["TITLE", "crew", "rows"]

TITLE = "Whole applications"
_WORKERS = 2
_PROGRAM = Path(__file__).parent / "programs" / "application.py"
_SERIAL, _OURS, _OLD = "serial NumPy", "pydsm", "py-dsm 1.1.1"
_POOL, _JOBLIB, _RAY = "multiprocessing.Pool, SharedMemory, Barrier", "joblib, memory maps", "Ray, object store"
_MPI, _NUMBA, _BLAS = "MPI, shared window (reference)", "numba, threads (reference)", "NumPy, BLAS's own threads"
_REFERENCES = (_MPI, _NUMBA, _BLAS)
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
_PATIENCE = 120

Crews = dict[str, Callable[[Problem, int], Run]]
"""For each name, what makes a run of a problem of a size."""
Samples = dict[str, dict[str, list[float]]]
"""For each problem the seconds of each crew."""


def rows(settings: Settings) -> Iterator[Row]:
    """Yield each application beside serial NumPy and all peers, then a plot and a table."""
    yield from absent("joblib", "ray", "numba", "mpi4py")
    samples: Samples = {}
    with ExitStack() as stack:
        settings.say("starting the crews ...")
        crews: Crews = {}
        yield from _crews(crews, stack, settings)
        for problem in ALL.values():
            yield from attempt(problem.name, settings, partial(_measure, problem, crews, samples, settings))
    if samples:
        yield from _show(samples)


def crew(module: str, function: str, *arguments: object) -> Remote:
    """Return a crew in a process of its own, in which BLAS has one thread, as a worker has."""
    layer = {"NUMBA_THREADING_LAYER": "workqueue"}
    return Remote(f"benchmarks.{module}", function, *arguments, environment={**_ONE_THREAD, **layer})


def _crews(crews: Crews, stack: ExitStack, settings: Settings) -> Iterator[Note]:
    """Start everybody; who does not start is left out, and yielded."""
    remotes: dict[str, Callable[[], Remote]] = {
        _SERIAL: partial(crew, "crews", "serial_crew"),
        _OURS: partial(crew, "crews", "pydsm_crew"),
        _POOL: partial(crew, "crews", "pool_crew"),
    }
    if has("joblib"):
        remotes[_JOBLIB] = partial(crew, "crews", "joblib_crew")
    if has("ray"):
        remotes[_RAY] = partial(crew, "raycrew", "ray_crew", _WORKERS)
    if has("mpi4py"):
        remotes[_MPI] = partial(mpi_remote, stack, _WORKERS)
    if has("numba"):
        remotes[_NUMBA] = partial(crew, "numbacrew", "numba_crew", _WORKERS)
    remotes[_BLAS] = partial(Remote, "benchmarks.crews", "serial_crew")
    started: dict[str, Remote] = {}
    for name, make in remotes.items():
        try:
            started[name] = stack.enter_context(make())
        except OSError as error:
            yield problem_of(error, name)
    for name, remote in started.items():
        try:
            remote.ready()
        except RuntimeError as error:
            yield problem_of(error, name)
        else:
            crews[name] = partial(_run_of, remote)
    if settings.old_python is not None:
        crews[_OLD] = partial(_old_run, settings.old_python)


def _run_of(remote: Remote, problem: Problem, size: int) -> Run:
    return remote.bound(problem.name, size, _WORKERS)


def _old_run(python: str, problem: Problem, size: int) -> Run:
    command = [python, str(_PROGRAM), problem.name, str(_WORKERS), str(size)]

    def run(count: int) -> float:
        seconds = 0.0
        for _ in range(count):
            refuse_two_at_once()
            with tempfile.TemporaryDirectory() as folder:
                done = subprocess.run(
                    command, cwd=folder, capture_output=True, text=True, timeout=_PATIENCE, env=environment_of(python)
                )
            if done.returncode:
                raise RuntimeError(f"{problem.name} failed under {_OLD}: {done.stderr.strip().splitlines()[-1]}")
            seconds += float(done.stdout)
        return seconds

    return run


def _measure(problem: Problem, crews: Crews, samples: Samples, settings: Settings) -> Iterator[Row]:
    size = problem.quick_size if settings.quick else problem.size
    runs: dict[str, Run] = {}
    for name, run_of in crews.items():
        if (name == _NUMBA and problem.name not in KNOWS) or (name == _BLAS and problem.name != "matrix product"):
            continue
        run = run_of(problem, size)
        try:
            run(1)  # sets it up
        except Exception as error:
            yield problem_of(error, f"{problem.name}, {name}")
        else:
            runs[name] = run
    seconds = interleave(runs, rounds=settings.curve_rounds, seconds=0)
    samples[problem.name] = seconds
    what = f"{problem.name}: {problem.what.format(*[size] * problem.what.count('{}'))}, {_WORKERS} workers"
    for name, each in seconds.items():
        if name != _OURS and name not in _REFERENCES:  # those are in the plot and in the table below
            yield Comparison(what, name, "time", seconds[_OURS], each)


def _show(samples: Samples) -> Iterator[Row]:
    names = list(dict.fromkeys(name for seconds in samples.values() for name in seconds if name != _SERIAL))
    gains: dict[str, list[tuple[float, list[float]]]] = {name: [] for name in names}
    for place, seconds in enumerate(samples.values()):
        for name in names:
            if name in seconds:
                pairs = zip(seconds[_SERIAL], seconds[name], strict=True)
                gains[name].append((place, [alone / each for alone, each in pairs]))
    series = [Series.of(name, points, _role(name)) for name, points in gains.items()]
    ours = [point.median for each in series if each.name == _OURS for point in each.y]
    figure = Figure(
        "applications",
        f"Whole applications by {_WORKERS} workers: pydsm is {min(ours):.1f} to {max(ours):.1f} times as fast "
        "as serial NumPy",
        "application",
        "times as fast as serial NumPy (one BLAS thread)",
        "ratio",
        series,
        "rows",
        list(samples),
        limit=("serial NumPy", 1.0),
    )
    yield figure
    yield table_of(figure, f"Times as fast as serial NumPy, {_WORKERS} workers")


def _role(name: str) -> Role:
    return "pydsm" if name == _OURS else "peer"
