"""Causal memory: a write is seen only after everything that its writer had seen.

Ahamad, Neiger, Burns, Kohli and Hutto, *Causal memory: definitions, implementation, and programming* (1995):
each worker sees all writes in an order that keeps causality (program order, and from a write to who
reads it, together); workers may disagree on the order of writes that are not related.  The rules here are
their implementation, with masks for vector clocks: a message waits for all that its sender had.

A fence waits until all that the worker has seen, its own writes among it, has arrived everywhere; else a
lock could be handed on before what its holder knew.
"""

from __future__ import annotations

from pydsm.lab.models.replicas import Replicas
from pydsm.lab.program import Instruction

__all__ = ["Causal"]


class Causal(Replicas):
    """Causal memory."""

    name = "causal"
    title = "causal memory"
    source = "Ahamad, Neiger, Burns, Kohli and Hutto, Causal memory, 1995"

    def waits_for(self, arrived: int, write: Instruction, worker: int) -> int:
        """Return everything."""
        return arrived

    def owes(self, arrived: int, worker: int) -> int:
        """Return everything."""
        return arrived
