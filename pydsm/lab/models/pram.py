"""PRAM, pipelined RAM: the writes of each worker arrive in their order, and nothing else is promised.

Lipton and Sandberg, *PRAM: a scalable shared memory* (1988): writes of one worker are seen by all in the
order in which they were issued; writes of different workers may be seen in different orders.  A message
waits for the earlier ones of its sender.

A fence speaks for the writes of its own worker, not for those that it has seen.
"""

from __future__ import annotations

from pydsm.lab.models.replicas import Replicas
from pydsm.lab.program import Instruction

__all__ = ["PRAM"]


class PRAM(Replicas):
    """Pipelined RAM."""

    name = "pram"
    title = "pipelined RAM"
    source = "Lipton and Sandberg, PRAM: a scalable shared memory, 1988"

    def waits_for(self, arrived: int, write: Instruction, worker: int) -> int:
        """Return the worker's earlier writes."""
        return arrived & self.of_worker[worker]
