"""The home's side of copies in bulk (`pydsm.mpi.bulk`): pieces of arrays that are fetched and stored.

Elements of more than a few kilobytes are not part of a message: they come behind it, or go behind the answer, as
memory that MPI need not look at.  They go through a buffer and not from replica to replica, because a
network cuts where it likes, in the middle of an element, and takes its time in between; a buffer that was just used is
in the processor's cache, and costs little.  A store counts as come when its elements are here: until then it is
not due, and what was told behind it waits for it (`pydsm.mpi.node`, order).

The server never waits for any of this: a transfer is looked at in turn with everything else.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from pydsm.mpi.messages import Request
from pydsm.mpi.node import Node
from pydsm.mpi.pieces import Piece
from pydsm.mpi.world import BULK, Transfer, World

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["INLINE", "Parcels"]

INLINE: Final = 1 << 14
"""Bytes of elements that are part of a message, at most."""
_SPIN: Final = 0.002  # seconds: memory moves only while both sides look after it
_MOST: Final = 8  # transfers of a kind at a time: what waits for its turn is with who sent it


class Parcels:
    """Transfers of one home.

    Parameters
    ----------
    world : World
    node : Node
    answer, refuse : callable
        Answer a request, with elements or with an error.
    come : callable
        Takes a store whose elements are here.
    """

    def __init__(
        self,
        world: World,
        node: Node,
        answer: Callable[[Request, Any], None],
        refuse: Callable[[Request, Exception], None],
        come: Callable[[Request], None],
    ) -> None:
        self._world, self._node, self._answer, self._refuse, self._come = world, node, answer, refuse, come
        self._wanted: deque[Request] = deque()
        self._announced: deque[Request] = deque()
        self._leaving: list[tuple[Transfer, NDArray[Any]]] = []
        self._coming: list[tuple[Transfer, Request, NDArray[Any]]] = []
        self._moved = 0.0

    def __len__(self) -> int:
        return len(self._wanted) + len(self._announced) + len(self._leaving) + len(self._coming)

    # -- stores --------------------------------------------------------------------------

    def is_here(self, request: Request) -> bool:
        """Say whether a request is complete; if not, it comes again when it is."""
        if request.kind != "store" or not isinstance(request.body[1], int):
            return True
        self._announced.append(request)
        self._begin()
        return False

    def store(self, request: Request) -> None:
        """Bring in what another node puts here."""
        array_id, content = request.body
        replica = self._node.replicas.get(array_id)
        if replica is not None:
            replica.twins.receive(self._node.lines, self._node.index, content)
        if isinstance(content, np.ndarray):
            self._world.buffers.give_back(content)

    # -- fetches -------------------------------------------------------------------------

    def fetch(self, request: Request) -> None:
        """Answer with elements, when it is their turn."""
        self._wanted.append(request)
        self._begin()

    def _send(self, request: Request) -> None:
        array_id, wire, tag = request.body
        replica = self._node.replicas.get(array_id)
        if replica is None:
            self._refuse(request, RuntimeError("an array was removed while its rows were fetched"))
            return
        piece = Piece.read(wire)
        elements = piece.of(replica.data)
        if not tag:
            self._answer(request, elements.tobytes())
            return
        buffer = self._world.buffers.take(elements.nbytes)
        if isinstance(piece.rows, slice) and piece.rows.step == 1:
            replica.read(piece.rows.start * piece.width, buffer)
        else:
            np.copyto(buffer.view(replica.data.dtype).reshape(elements.shape), elements)
        self._answer(request, None)
        self._leaving.append((self._world.post(request.asker[0], tag, buffer), buffer))

    # -- in turn -------------------------------------------------------------------------

    def turn(self) -> bool:
        """Go on with what is on its way; say whether anything is."""
        if not len(self):
            return False
        come = [each for each in self._coming if each[0].done()]
        if come:
            self._coming = [each for each in self._coming if each not in come]
        gone = [each for each in self._leaving if each[0].done()]
        if gone:
            self._leaving = [each for each in self._leaving if each not in gone]
            for _, buffer in gone:
                self._world.buffers.give_back(buffer)
        self._begin()
        for _, request, buffer in come:
            self._come(request._replace(body=(request.body[0], buffer)))
        now = time.monotonic()
        if come or gone:
            self._moved = now
        elif now > self._moved + _SPIN:
            os.sched_yield()
        return True

    def _begin(self) -> None:
        """Begin what has waited for its turn."""
        while self._announced and len(self._coming) < _MOST:
            request = self._announced.popleft()
            buffer = self._world.buffers.take(request.body[1])
            self._coming.append((self._world.expect(request.asker[0], BULK, buffer), request, buffer))
        while self._wanted and len(self._leaving) < _MOST:
            self._send(self._wanted.popleft())
