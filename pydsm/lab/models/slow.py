"""Slow memory: only the writes of one worker to one location arrive in their order.

Hutto and Ahamad, *Slow memory: weakening consistency to enhance concurrency in distributed shared memories*
(1990).  A message waits for the earlier ones of its sender to the same location.
"""

from __future__ import annotations

from pydsm.lab.models.replicas import Replicas
from pydsm.lab.program import Instruction

__all__ = ["Slow"]


class Slow(Replicas):
    """Slow memory."""

    name = "slow"
    title = "slow memory"
    source = "Hutto and Ahamad, Slow memory, 1990"

    def waits_for(self, arrived: int, write: Instruction, worker: int) -> int:
        """Return the worker's earlier writes to this location."""
        return arrived & self.of_worker[worker] & self.of_location[write.location]
