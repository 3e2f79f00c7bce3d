"""What every memory does for an array.

A *memory* decides where the one home value of each element lives and what a worker sees of
it.  On the coherent memory both are the same bytes; a memory with replicas brings them in
step at the points that the contract names (docs/memory-model.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from pydsm.core.layout import Description
from pydsm.native import StripeLocks
from pydsm.sync.namespace import Namespace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Backing", "Memory", "Place"]

Place = tuple[object, ...] | None
"""What an array's names meant when it was mapped; None: nothing that could be told again."""


@dataclass(frozen=True, slots=True, eq=False)
class Backing:
    """What stands behind one array in this process."""

    description: Description
    data: NDArray[Any]
    locks: StripeLocks
    place: Place = None


class Memory(Protocol):
    """The operations that tell one memory from another."""

    name: str

    def create(self, namespace: Namespace, description: Description, stripes: int) -> Backing:
        """Make an array of zeros."""

    def attach(self, namespace: Namespace, name: str, *, readonly: bool) -> Backing:
        """Map an existing array."""

    def is_at(self, namespace: Namespace, description: Description, place: Place) -> bool:
        """Say whether an array's names still mean what was mapped, so that it need not be attached again."""

    def unlink(self, namespace: Namespace, name: str) -> None:
        """Remove an array's names; who has it mapped keeps it."""

    def fence(self) -> None:
        """Complete my earlier writes at home, and show me what was complete before."""
