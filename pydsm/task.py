"""The worker's side of a run: sit down, call the function, report, leave."""

from __future__ import annotations

import contextlib
import dataclasses
import faulthandler
import os
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType
from typing import Any, NoReturn

from pydsm.array import GlobalArray
from pydsm.core.events import scheduler
from pydsm.handles import use_namespace
from pydsm.instruments import Instruments, Observers
from pydsm.ipc.blas import limit_threads
from pydsm.ipc.cpus import available_cpus
from pydsm.native import StripeLocks, held
from pydsm.observed import ObservedBarrier
from pydsm.supervise import Report
from pydsm.sync import locksegment
from pydsm.sync.barrier import Barrier
from pydsm.sync.lock import Lock
from pydsm.sync.namespace import Namespace
from pydsm.worker import Worker, enter_worker

__all__ = ["Task", "work"]


@dataclasses.dataclass(frozen=True, slots=True)
class Task:
    """What a worker has to know; under spawn it travels pickled, arrays as handles."""

    namespace: str
    rank: int
    size: int
    seed: list[int]
    resources: Mapping[str, GlobalArray | Lock]
    function: Callable[..., Any]
    args: tuple[Any, ...]
    instruments: Instruments


def work(descriptor: int, task: Task, restore: Callable[[], None] | None) -> None:
    """Be a worker: run the function, report, leave."""
    if restore is not None:
        restore()  # the handlers that the parent has put aside for the run
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends us
    signal.signal(signal.SIGTERM, _unwind)
    faulthandler.enable(descriptor, all_threads=False)  # a crash says there where it was
    namespace = Namespace.open(task.namespace)
    namespace.sit(task.rank)
    use_namespace(namespace)
    limit_threads(max(1, available_cpus() // task.size))
    barrier = ObservedBarrier(namespace) if task.instruments else Barrier(namespace)
    worker = Worker(namespace, task.rank, task.size, task.resources, task.seed, barrier)
    enter_worker(worker)
    report, observed = _call(task, worker, barrier, namespace)
    leftovers = []
    namespace.put_back(task.rank)
    for locks in _locks_to_leave(namespace):
        locks.policy.settle(locks)
        leftovers += locks.policy.evict(locks, task.rank.__eq__)
    report = dataclasses.replace(report, leftovers=tuple(leftovers))
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    namespace.stand_up(task.rank)
    if observed is not None:
        observed.leave()
    report.send(descriptor)


def _call(task: Task, worker: Worker, barrier: Barrier, namespace: Namespace) -> tuple[Report, Observers | None]:
    """Call the function, with whoever observes it; return what came of it, and them."""
    observed: Observers | None = None
    try:
        observed = task.instruments.enter(namespace, task.rank, task.size)
        report = _result(task, worker)
        barrier.finish(task.rank)
        ended, observed = observed, None
        ended.end(failed=False)
        observed = ended
    except _Terminated:
        _end_quietly(observed)
        _die_of_sigterm()
    except BaseException as error:
        report = _failed(error, barrier)
        _end_quietly(observed)
        observed = None
    return report, observed


def _result(task: Task, worker: Worker) -> Report:
    try:
        return Report(task.function(worker, *task.args))
    except SystemExit as request:
        if isinstance(request, _Terminated) or request.code not in (None, 0):
            raise
        return Report()


def _end_quietly(observed: Observers | None) -> None:
    """Tell observers of a failed worker's end; what they cannot do for it is no news."""
    if observed is not None:
        with contextlib.suppress(Exception):
            observed.end(failed=True)


def _locks_to_leave(namespace: Namespace) -> list[StripeLocks]:
    """Return the locks that this worker has used; all that there are if it still holds something."""
    if held() == 0:
        return list(namespace.lock_words.values())
    found = []
    for name in namespace.known():
        with contextlib.suppress(OSError, KeyError):
            found.append(locksegment.attach(namespace, name)[1])
    return found


def _failed(error: BaseException, barrier: Barrier) -> Report:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # the report is on its way; who waits is told after
    report = Report.of_exception(error)
    if not report.is_consequence:
        barrier.fail()
    return report


class _Terminated(SystemExit):
    """SIGTERM came: leave all blocks, then die of it."""


def _die_of_sigterm() -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.raise_signal(signal.SIGTERM)
    os._exit(128 + signal.SIGTERM)  # it was blocked


def _unwind(number: int, frame: FrameType | None) -> None:
    decides = scheduler()
    if decides is not None:
        decides.release()
    raise _Terminated(128 + number)
