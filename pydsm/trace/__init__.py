"""Timelines: what the workers of a team did when, waited for, and held.

``Team(4, trace=True)`` records; `Team.timeline` is what came of it.  In a worker, `recorder` writes
events down, as `records` lays them out, into `files`.  In the parent, `merge` makes
events of them, `arrows` finds what happened before what, `lanes`, `shares`, `hot` and
`summary` say what it comes to, and `chrome` and `page` write it for a browser.
"""

from __future__ import annotations

import os
from typing import Any

from pydsm.core.events import Instrument, observers
from pydsm.trace.books import collect
from pydsm.trace.events import ArrayInfo, Event, Part, Run
from pydsm.trace.summary import Summary
from pydsm.trace.timeline import Timeline, check_path
from pydsm.trace.tracer import Tracer, limit_wished

__all__ = ["ArrayInfo", "Event", "Part", "Run", "Summary", "Timeline", "check_path", "collect", "instrument"]


def instrument(wanted: Any) -> Instrument:
    """Return what records a team's timeline.

    Parameters
    ----------
    wanted : True, ``"1"`` or path
        A path, of a .html or a .json file: the timeline is written there when the team ends.
    """
    if wanted is True or wanted == "1":
        return Tracer(None, limit_wished())
    if not isinstance(wanted, str | os.PathLike):
        raise TypeError(f"trace is True or the path of a .html or a .json file, not {wanted!r}")
    path = os.path.abspath(check_path(wanted))
    # A team that a worker makes for itself would write over its own team's timeline.
    return Tracer(None if observers() else path, limit_wished())
