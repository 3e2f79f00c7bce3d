"""Starting workers, and ending them: one child process behind one interface.

`fork` is done here, because a run of a small function is mostly start and join and
multiprocessing's own start costs half as much again; spawn and forkserver are
multiprocessing's.  A child dies with the thread that started it (PR_SET_PDEATHSIG), so no
worker outlives a killed parent.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol, get_args

from pydsm.native import die_with_parent

__all__ = ["START_METHODS", "Child", "StartMethod", "start_child"]

StartMethod = Literal["fork", "spawn", "forkserver"]
_FORK_WARNS: Final[bool] = sys.version_info >= (3, 12)
START_METHODS: Final[tuple[str, ...]] = get_args(StartMethod)


class Child(Protocol):
    """A child process; `sentinel` is a descriptor that turns readable when it has ended."""

    pid: int
    sentinel: int

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""

    def reap(self) -> int:
        """Return the exit code (negative: the signal), waiting for the end if need be."""


class _Forked:
    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.sentinel = os.pidfd_open(pid)

    def send(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.sentinel, number)

    def reap(self) -> int:
        try:
            _, status = os.waitpid(self.pid, 0)
        except ChildProcessError:  # somebody else's wait() was faster
            return 0
        finally:
            os.close(self.sentinel)
        return os.waitstatus_to_exitcode(status)


class _Spawned:
    def __init__(self, process: Any) -> None:
        self._process = process
        self.pid = process.pid or 0
        self.sentinel: int = process.sentinel

    def send(self, number: int) -> None:
        if self._process.exitcode is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def reap(self) -> int:
        self._process.join()
        code = self._process.exitcode or 0
        self._process.close()
        return code


def start_child(method: StartMethod, name: str, main: Callable[..., None], *args: Any) -> tuple[Child, int]:
    """Run ``main(descriptor, *args)`` in a child; return it and where to read what it writes there."""
    if method == "fork":
        return _fork(main, args)
    import multiprocessing  # a tenth of pydsm's import time, for nothing under fork

    context = multiprocessing.get_context(method)
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(  # type: ignore[attr-defined]
        target=_spawned, name=name, args=(os.getpid(), writer, main, args)
    )
    try:
        process.start()
    finally:
        writer.close()
    descriptor = os.dup(reader.fileno())
    reader.close()
    return _Spawned(process), descriptor


def _fork(main: Callable[..., None], args: tuple[Any, ...]) -> tuple[Child, int]:
    parent = os.getpid()
    reader, writer = os.pipe()
    _flush()  # or the child would print it again
    try:
        pid = _fork_quietly()
    except OSError:
        os.close(reader)
        os.close(writer)
        raise
    if pid:
        os.close(writer)
        try:
            return _Forked(pid), reader
        except OSError:  # no descriptor to watch it by
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            os.close(reader)
            raise
    code = 1
    try:
        gc.freeze()  # a collection would touch, and so copy, every page of the parent's objects
        os.close(reader)
        _die_with(parent)
        _call("multiprocessing.util", "_run_after_forkers")  # queues and locks made by the parent
        main(writer, *args)
        code = 0
    except SystemExit as request:
        code = request.code if isinstance(request.code, int) else 1
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        _leave(code)
    return _Forked(pid), reader  # never reached


def _fork_quietly() -> int:
    if not _FORK_WARNS:
        return os.fork()
    with warnings.catch_warnings():
        # It warns of threads in the parent; BLAS pools are such, and reset themselves.
        warnings.simplefilter("ignore", DeprecationWarning)
        return os.fork()


def _spawned(parent: int, writer: Any, main: Callable[..., None], args: tuple[Any, ...]) -> None:
    if os.getppid() == parent:
        _die_with(parent)
    else:  # the fork server started us, and outlives the parent
        threading.Thread(target=_watch_parent, daemon=True).start()
    main(writer.fileno(), *args)


def _watch_parent() -> None:
    from multiprocessing import connection, parent_process

    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)


def _leave(code: int) -> None:
    """End a forked child: wait for its threads, flush, and skip what belongs to the parent."""
    with contextlib.suppress(BaseException):
        for thread in threading.enumerate():
            if not thread.daemon and thread is not threading.current_thread():
                thread.join()
        _call("multiprocessing.util", "_exit_function")  # feeder threads of queues used here
    _flush()
    os._exit(code)


def _call(module: str, function: str) -> None:
    if module in sys.modules:
        getattr(sys.modules[module], function, lambda: None)()


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()


def _die_with(parent: int) -> None:
    die_with_parent(signal.SIGKILL)
    if os.getppid() != parent:  # it died before we asked
        os._exit(1)
