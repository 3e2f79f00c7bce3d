"""The scratch segment of a namespace: a row of bytes for each worker, and one for what comes of them.

It is made when it is first needed, whole before it has its name, and again when it is too
small; its name says how large the rows are.  Who is first makes it, everybody else attaches
it, and the name of a smaller one is removed by all.  It goes with the namespace.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.core import names
from pydsm.core.layout import Team
from pydsm.ipc import segment, shm
from pydsm.sync.namespace import Namespace

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Scratch"]

_BYTE: Final = np.dtype(np.uint8)
_PAGE: Final = 4096
_EIGHTH: Final = 3  # a row has at most an eighth more than is needed


class Scratch:
    """The rows as this process has them mapped."""

    def __init__(self, rows: NDArray[Any]) -> None:
        self._rows = rows

    @classmethod
    def join(cls, namespace: Namespace, count: int, nbytes: int) -> Scratch:
        """Attach rows of at least `nbytes` bytes, or make them.

        Raises
        ------
        NoRoomError
        """
        row = max(_rounded(nbytes), namespace.words.load(Team.SCRATCH))
        name = names.scratch_name(namespace.name, row)
        with namespace.creating():
            try:
                rows = segment.attach(name, _BYTE, (count, row), shared=namespace.is_shared)
            except FileNotFoundError:
                rows = segment.create(name, (count, row), _BYTE, **namespace.permissions)
        return cls(rows)

    @property
    def room(self) -> int:
        """Bytes of a row."""
        return int(self._rows.shape[1])

    def row(self, number: int, first: int, dtype: np.dtype[Any], count: int) -> NDArray[Any]:
        """Return the bytes of a row from `first` on as elements."""
        return self._rows[number, first : first + count * dtype.itemsize].view(dtype)

    def announce(self, namespace: Namespace) -> None:
        """Say that everybody has these rows, and remove the name of those before."""
        before = namespace.words.exchange(Team.SCRATCH, self.room)
        if before not in (0, self.room):
            shm.unlink(names.scratch_name(namespace.name, before))


def _rounded(nbytes: int) -> int:
    """Return a few bytes more, so that what grows slowly is not made anew each time."""
    step = max(_PAGE, 1 << max(0, nbytes.bit_length() - _EIGHTH))
    return -(-nbytes // step) * step
