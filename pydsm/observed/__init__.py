"""Arrays, locks and barriers that tell observers what a worker does with them.

They are what a team has that was asked for more than results (see `pydsm.core.events`).  Each call
does what the plain one does, and calls the process's observers around it; where there are
none, as in the parent, it is the plain call.

With a scheduler nothing here sleeps: what would wait is tried, and the scheduler lets
others run until it succeeds.
"""

from __future__ import annotations

import os

from pydsm.core.events import observe
from pydsm.observed.array import ObservedArray
from pydsm.observed.holds import RegionHold
from pydsm.observed.lock import ObservedLock
from pydsm.observed.region import ObservedRegion
from pydsm.observed.together import ObservedBarrier, observed_pieces

__all__ = ["ObservedArray", "ObservedBarrier", "ObservedLock", "ObservedRegion", "RegionHold", "observed_pieces"]

# A child that a worker forks is no worker: nobody observes it.
os.register_at_fork(after_in_child=lambda: observe(()))
