"""What a team may be asked for: its options, read and refused."""

from __future__ import annotations

import operator
import os
import pickle
from collections.abc import Callable
from typing import Any, Final, Literal, get_args

from pydsm.core.layout import MAX_SLOTS
from pydsm.ipc.child import START_METHODS
from pydsm.ipc.cpus import available_cpus

__all__ = ["OnDeath", "check_options", "check_picklable", "exact_seed", "exact_size"]

OnDeath = Literal["abort", "continue"]
_SPARE_SLOTS: Final = 16


def check_options(start: str, on_death: str, mode: int) -> None:
    """Refuse options that there are not."""
    if start not in START_METHODS:
        raise ValueError(f"start is one of {', '.join(START_METHODS)}, not {start!r}")
    if on_death not in get_args(OnDeath):
        raise ValueError(f"on_death is one of {', '.join(map(repr, get_args(OnDeath)))}, not {on_death!r}")
    if mode not in (0o600, 0o660):
        shown = oct(mode) if isinstance(mode, int) else repr(mode)
        raise ValueError(f"mode is 0o600 (private) or 0o660 (for the group), not {shown}")


def exact_size(size: int | None, most: int | None = MAX_SLOTS - _SPARE_SLOTS) -> int:
    """Return how many workers are meant, no more than one machine can have unless `most` says otherwise."""
    if size is None:
        size = _wished_size() or available_cpus()
    try:
        exact = operator.index(size)
    except TypeError:
        raise TypeError(f"the number of workers is an int, not {size!r}") from None
    if exact < 1:
        raise ValueError(f"a team needs at least one worker, not {exact}")
    if most is not None and exact > most:
        raise ValueError(f"a team can have {most} workers at most, not {exact}")
    return exact


def exact_seed(seed: int) -> int:
    """Return the seed as an int."""
    if not hasattr(seed, "__index__") or operator.index(seed) < 0:
        raise TypeError(f"seed is an int from 0, not {seed!r}")
    return operator.index(seed)


def _wished_size() -> int | None:
    wish = os.environ.get("PYDSM_WORKERS")
    if not wish:
        return None
    if not wish.isdecimal() or int(wish) < 1:
        raise ValueError(f"PYDSM_WORKERS (pydsm run -n) is a number of workers from 1, not {wish!r}")
    return int(wish)


def check_picklable(function: Callable[..., Any], args: tuple[Any, ...], start: str) -> None:
    """Refuse what cannot travel to a worker that is not forked."""
    try:
        pickle.dumps((function, args))
    except Exception as error:
        raise TypeError(
            f"under start={start!r} the function and its arguments must pickle, but {error}; "
            "define the function at the top of a module, or use start='fork'"
        ) from None
