"""How a worker's function, or its wait for a lock, came to an end that is no success.

An observer is told that something failed while the error is on its way, so the error is what
Python is handling then.  A worker that is told to end because another failed gets SIGTERM, which
is raised in it as a subclass of SystemExit with a shell's exit code for it.
"""

from __future__ import annotations

import signal
import sys
from typing import Any, Final

from pydsm.errors import DeadlockError, LockTimeoutError
from pydsm.trace.records import Flag

__all__ = ["RAISED", "STOPPED", "end_of", "reason_flag", "reason_of"]

RAISED: Final = "failed"
STOPPED: Final = "stopped"
_LONGEST: Final = 500
_REASONS: Final = {Flag.DEADLOCK: "deadlock", Flag.TIMED_OUT: "timed out", Flag.STOPPED: "told to stop"}
_ALL: Final = int(Flag.DEADLOCK | Flag.TIMED_OUT | Flag.STOPPED)


def end_of() -> dict[str, Any]:
    """Return how the function ended whose error is handled right now, as a remark."""
    error = sys.exc_info()[1]
    if _tells_to_stop(error):
        return {"ended": STOPPED, "error": ""}
    if error is None:
        return {"ended": RAISED, "error": ""}
    first = next(iter(str(error).splitlines()), "")
    return {"ended": RAISED, "error": f"{type(error).__qualname__}: {first}".removesuffix(": ")[:_LONGEST]}


def reason_flag() -> int:
    """Return what the error that is handled right now says of a wait, as a flag; 0 if that is nothing special."""
    error = sys.exc_info()[1]
    if isinstance(error, DeadlockError):
        return int(Flag.DEADLOCK)
    if isinstance(error, LockTimeoutError | TimeoutError):
        return int(Flag.TIMED_OUT)
    return int(Flag.STOPPED) if _tells_to_stop(error) else 0


def reason_of(head: int) -> str:
    """Return in words what the flags of a record say."""
    return _REASONS[Flag(head & _ALL)] if head & _ALL else ""


def _tells_to_stop(error: BaseException | None) -> bool:
    return isinstance(error, SystemExit) and type(error) is not SystemExit and error.code == 128 + signal.SIGTERM
