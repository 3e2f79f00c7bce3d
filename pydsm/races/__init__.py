"""Data races, found while a program runs: ``Team(4, check="happens-before")``.

A *data race* is two accesses of one element by different workers, at least one of them a
write and not both atomic, which nothing orders.  Each access is written into a shadow of
the array, with the worker's clock; who comes next compares clocks.

**Clocks.**  A worker's clock counts its epochs, which end at each release of a lock, atomic
operation, fence and barrier.  With these it publishes what it has heard of everybody
(a vector clock), and who acquires afterwards joins it: so the access at clock c of worker w
happens before mine if I have heard of w up to c (Lamport; Fidge; Mattern).  That one number
is enough for each worker and row is the observation of FastTrack (Flanagan and Freund,
*FastTrack: efficient and precise dynamic race detection*, PLDI 2009); here the last access
of every worker is kept, because processes that write one common word at the same time lose
one another's, and nothing is lost where everybody writes a word of its own.

**Modes.**  ``"happens-before"`` lets every lock order everything, as ThreadSanitizer does: what it
reports is a race in every reading, but a lock that two workers happen to take one after the
other hides a race.  ``"predict"`` lets only that order two accesses which the contract says
does: barriers, atomic operations, fences on both sides, named locks, or regions of the very
row around both.  The last is Eraser's lockset (Savage et al., *Eraser: a dynamic data race
detector for multithreaded programs*, 1997), and because a region's lock belongs to rows it is
one bit.  What only `predict` finds is labelled *possible*.  ``"strict"`` is ``"happens-before"`` with
arrays that are read-only to everything that the detector does not see.

Perkovic and Keleher (*Online data-race detection via coherency guarantees*, OSDI 1996) found
races in a distributed shared memory with what lazy release consistency keeps anyway.

**Known limits.**  What is not seen is listed, and tested, in tests/races/test_escapes.py: reads
through ``np.asarray``, and everything through a memoryview or a C extension.  Of one worker's
accesses of one element the last read and the last write are remembered; in large arrays
(`layout`) up to 16 neighbours share the memory of the last epoch.  Threads of one worker are
one worker.  Locks that share a stripe or a clock with another one may hide a race; nothing invents one.
"""

from typing import Any

from pydsm.races.marks import racy
from pydsm.races.report import Place, Race, Side

__all__ = ["Place", "Race", "Side", "instrument", "racy"]


def instrument(check: Any) -> Any:
    """Return what checks the runs of a team that was made with ``check=check``."""
    from pydsm.races.check import RaceCheck  # a program that only marks its races needs none of it
    from pydsm.races.options import read_options

    return RaceCheck(read_options(check))
