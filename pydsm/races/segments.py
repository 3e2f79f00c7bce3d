"""The detector's segments: made once, by whoever needs them first, and attached by everybody else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core import names
from pydsm.core.layout import SLOT, Slot, slot_word
from pydsm.errors import NoRoomError
from pydsm.ipc import segment, shm
from pydsm.races.layout import ArrayPlan, TeamPlan, carve, length_of, unit_of
from pydsm.sync.namespace import Namespace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["TEXT_BYTES", "array_parts", "join", "plan_of", "remove_array", "slots", "team_parts", "texts"]

TEXT_BYTES: Final = 1 << 19
"""Bytes of each worker for the places it names, and as many for its reports."""
_WORD: Final = np.dtype(np.uint64)
_BYTE: Final = np.dtype(np.uint8)


def join(namespace: Namespace, what: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Attach a segment, or make it.

    Raises
    ------
    NoRoomError
    """
    name = names.observe_name(namespace.name, what)
    with namespace.creating():
        try:
            return segment.attach(name, dtype, shape, shared=namespace.is_shared)
        except FileNotFoundError:
            return segment.create(name, shape, dtype, **namespace.permissions)


def team_parts(namespace: Namespace, workers: int) -> dict[str, NDArray[Any]]:
    """Return the parts that there are once for a team."""
    shapes = TeamPlan(workers).shapes()
    return carve(join(namespace, "race.team", (length_of(shapes),), _WORD), shapes)


def texts(namespace: Namespace, workers: int) -> NDArray[Any]:
    """Return the bytes for places and reports, ``[worker][places, reports][...]``."""
    return join(namespace, "race.texts", (workers, 2, TEXT_BYTES), _BYTE)


def slots(namespace: Namespace, workers: int) -> NDArray[Any]:
    """Return two words of each worker's slot: whether it is taken, and the barrier."""
    words = segment.attach(names.team_name(namespace.name), _WORD, shared=namespace.is_shared)
    start = slot_word(0, 0)
    table = words[start : start + workers * SLOT].reshape(workers, SLOT)
    return table.T[Slot.STATE : Slot.BARRIER + 1 : Slot.BARRIER - Slot.STATE]


def plan_of(root: Any, workers: int) -> ArrayPlan:
    """Return how the shadow of a whole array is laid out."""
    return ArrayPlan(workers, root.nbytes // unit_of(root.dtype), root.stripes)


def array_parts(namespace: Namespace, name: str, array_id: int, plan: ArrayPlan) -> dict[str, NDArray[Any]]:
    """Return the shadow of an array.

    Raises
    ------
    NoRoomError
    """
    shapes = plan.shapes()
    try:
        return carve(join(namespace, f"race.{array_id}", (length_of(shapes),), _WORD), shapes)
    except NoRoomError as error:
        raise NoRoomError(
            f"array {name!r} cannot be checked for races, its shadow has no room: {error}",
            wanted=8 * length_of(shapes),
            free=error.free,
        ) from None


def remove_array(namespace: Namespace, array_id: int) -> None:
    """Remove the name of an array's shadow."""
    shm.unlink(names.observe_name(namespace.name, f"race.{array_id}"))
