"""Copies in bulk: `get` and `put`, whose elements go from memory to memory, a piece at a time.

Nothing is compared to find what is to be sent, and nothing is pickled.  A few pieces are under way at once, so that
their ends overlap: while one is in the network, the next is copied into a buffer, and the last one looked through.

**Get** asks the homes for elements as they are, after all that this node has told them, and receives them in the
result.  What this node has written and told nobody is newer than that, so it goes over it: elements that differ from
their twins.  If a sibling tells the home of such an element meanwhile, replica and twin agree, and the answer may be
from before: then `pushed` is more than what the home had, and these pieces are fetched again after everything is told.
The replica stays as it is.

**Put** draws a number for each piece, as all that is told a home has one (`pydsm.mpi.node`), and in the same step
writes replica and twin: the worker sees its own writes, nobody tells the home of them once more, and an answer of the
home from before cannot undo them.  A piece is small enough that what siblings tell the home behind it is not kept
waiting.  When the answer to the last piece is here the home has all, since it takes them in order.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from pydsm.core.diff import units
from pydsm.mpi.client import Client
from pydsm.mpi.messages import Request
from pydsm.mpi.parcels import INLINE
from pydsm.mpi.pieces import HEAD, Piece, Selection
from pydsm.mpi.replica import Replica, Some
from pydsm.mpi.stopping import whole
from pydsm.mpi.values import Values
from pydsm.mpi.world import SERVER, Transfer
from pydsm.native import next_ticket

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["get", "put"]

_WINDOW: Final = 4
"""Pieces under way to or from a home."""
_STORED: Final = 1 << 20
"""Bytes of a piece that is put: so many are copied twice while siblings that tell the same home something wait."""


# -- get -------------------------------------------------------------------------------------


class _Fetch(NamedTuple):
    """A piece that is under way."""

    home: int
    piece: Piece
    memory: NDArray[Any]
    ticket: int
    coming: Transfer | None


def get(
    client: Client, replica: Replica, chosen: Selection, dtype: np.dtype[Any], out: NDArray[Any] | None = None
) -> NDArray[Any]:
    """Return a copy of rows as they are at home; in `out`, if that is given."""
    direct = out is not None and chosen.order is None and out.flags.c_contiguous and _is_private(out)
    shape = chosen.length, *chosen.row
    result: NDArray[Any] = out.view(np.ndarray).reshape(shape) if out is not None and direct else np.empty(shape, dtype)
    if result.size and not _get_at_once(client, replica, chosen, result):
        wanted = _wanted(replica, chosen, units(result.reshape(-1).view(np.uint8), replica.item))
        late = _fetch_all(client, replica, wanted, own=True)
        if late:  # a sibling has told the home of something meanwhile that may be mine
            client.publish(_by_home(replica, late))
            _fetch_all(client, replica, late, own=False)
    found = (result if chosen.order is None else result[chosen.order]).reshape(chosen.shape)
    if out is None or direct:
        return found if out is None else out
    out[...] = found
    return out


def _is_private(array: NDArray[Any]) -> bool:
    """Say whether an array has memory of NumPy's: others may look at any other, and a network cuts where it likes."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return bool(array.flags.owndata)


def _at_once(client: Client, replica: Replica, chosen: Selection) -> tuple[int, int, int] | None:
    """Return home, first element and first stripe of a few neighbours of another home, which fit in a message."""
    rows = chosen.rows
    if not isinstance(rows, slice) or chosen.width != 1 or rows.step != 1:
        return None
    unit, homes = replica.stripe_bytes // replica.item, replica.homes
    first, stop = rows.start // unit, (rows.stop - 1) // unit + 1
    home = homes.node_of(first)
    small = rows.start < rows.stop and (rows.stop - rows.start) * replica.item <= INLINE
    return (home, rows.start, first) if small and home != client.node.index and stop <= homes.bounds[home + 1] else None


def _get_at_once(client: Client, replica: Replica, chosen: Selection, result: NDArray[Any]) -> bool:
    """Get a few elements in native code; say whether they are what the home had, and what is newer here."""
    found = _at_once(client, replica, chosen)
    if found is None:
        return False
    home, first, stripe = found
    memory = result.reshape(-1).view(np.uint8)
    applied = client.caller.fetch(home, replica.twins, first, memory)
    if applied is None:
        return False
    _lay_run_over(replica, first, memory)
    stop = (first * replica.item + len(memory) - 1) // replica.stripe_bytes + 1
    return not (replica.pushed[stripe:stop] > np.uint64(applied)).any()


def _by_home(replica: Replica, wanted: Sequence[_Wanted]) -> dict[int, list[Some]]:
    """Return stripes by their home, for `Node.publish`."""
    unit = replica.stripe_bytes // replica.item
    found: dict[int, list[NDArray[Any]]] = {}
    for home, piece, _ in wanted:
        found.setdefault(home, []).append(piece.stripes(unit))
    return {home: [(replica.twins, np.unique(np.concatenate(stripes)))] for home, stripes in found.items()}


_Wanted = tuple[int, Piece, "NDArray[Any]"]


def _wanted(replica: Replica, chosen: Selection, elements: NDArray[Any]) -> list[_Wanted]:
    """Return which pieces are wanted of which home, and where they go."""
    found, place = [], 0
    for home, piece in chosen.pieces(replica):
        count = piece.length * piece.width
        found.append((home, piece, elements[place : place + count]))
        place += count
    return found


def _fetch_all(client: Client, replica: Replica, wanted: Sequence[_Wanted], *, own: bool) -> list[_Wanted]:
    """Fetch pieces, from all homes at once; return those that may lack what this node has told their home meanwhile."""
    late: list[_Wanted] = []
    under_way: deque[_Fetch] = deque()
    homes = len({home for home, _, _ in wanted})
    try:
        for home, piece, memory in _in_turn(wanted):
            if home == client.node.index:
                if isinstance(piece.rows, slice) and piece.rows.step == 1:
                    replica.read(piece.rows.start * piece.width, memory.reshape(-1).view(np.uint8))
                else:
                    memory[...] = piece.of(replica.data).reshape(memory.shape)
                continue
            if len(under_way) >= _WINDOW * homes:
                _finish(client, replica, under_way, late, own=own)
            under_way.append(_ask(client, replica, home, piece, memory))
        while under_way:
            _finish(client, replica, under_way, late, own=own)
    except BaseException:
        for fetch in under_way:
            with contextlib.suppress(Exception):  # what comes still is not to come when the memory is somebody else's
                client.wait(fetch.coming, fetch.ticket)
            client.give_up(fetch.ticket)
        raise
    return late


def _in_turn(wanted: Sequence[_Wanted]) -> Iterator[_Wanted]:
    """Yield pieces so that each home has something to do."""
    by_home: dict[int, list[_Wanted]] = {}
    for each in wanted:
        by_home.setdefault(each[0], []).append(each)
    for row in zip_longest(*by_home.values()):
        yield from (each for each in row if each is not None)


def _ask(client: Client, replica: Replica, home: int, piece: Piece, memory: NDArray[Any]) -> _Fetch:
    tag, coming = 0, None
    if memory.nbytes > INLINE:
        tag = client.world.fresh_tag()
        coming = client.world.expect(client.node.crew.servers[home], tag, memory)
    ticket = client.ask(home, "fetch", replica.array_id, piece.wire(), tag)
    return _Fetch(home, piece, memory, ticket, coming)


def _finish(client: Client, replica: Replica, under_way: deque[_Fetch], late: list[_Wanted], *, own: bool) -> None:
    """Take the piece that was asked for first."""
    fetch = under_way[0]
    client.wait(fetch.coming, fetch.ticket)
    under_way.popleft()  # there is nothing to wait for any more
    answer = client.answer(fetch.home, fetch.ticket)
    if fetch.coming is None:
        fetch.memory[...] = np.frombuffer(answer.content, fetch.memory.dtype).reshape(fetch.memory.shape)
    if own:
        _lay_over(replica, fetch.piece, fetch.memory)
        if (
            replica.pushed[fetch.piece.stripes(replica.stripe_bytes // replica.item)] > np.uint64(answer.applied)
        ).any():
            late.append((fetch.home, fetch.piece, fetch.memory))


def _lay_over(replica: Replica, piece: Piece, memory: NDArray[Any]) -> None:
    """Put what was written here, and told nobody, over what the home has."""
    rows = piece.rows
    if isinstance(rows, slice) and rows.step == 1:
        _lay_run_over(replica, rows.start * piece.width, memory.reshape(-1).view(np.uint8))
        return
    here = piece.of(replica.data)
    if np.array_equal(here, memory.reshape(here.shape)):  # as in step as it may be, and memory is in the cache yet
        return
    differ = here != piece.of(replica.twin)
    if differ.any():
        if replica.data.ndim == 2:
            differ = differ.any(axis=-1)
        memory.reshape(here.shape)[differ] = here[differ]


def _lay_run_over(replica: Replica, first: int, news: NDArray[np.uint8]) -> None:
    """Do so for neighbouring elements."""
    item = replica.item
    for start, stop in replica.existing(first, first + len(news) // item):
        replica.twins.lay_over(start, news[(start - first) * item : (stop - first) * item])


# -- put -------------------------------------------------------------------------------------


def put(client: Client, replica: Replica, chosen: Selection, values: Values) -> None:
    """Write rows; they are complete at home when this returns."""
    values.rewind()
    found = _at_once(client, replica, chosen)
    if found is not None:
        content = np.empty(chosen.length * chosen.elements * replica.item, np.uint8)
        values.read(content)
        if client.caller.store(found[0], replica.twins, found[1], content):
            return
    under_way: deque[tuple[Transfer, NDArray[Any]]] = deque()
    asked: dict[int, int] = {}
    buffers = client.world.buffers
    pieces = list(chosen.pieces(replica, _STORED, HEAD))
    last = {home: number for number, (home, _) in enumerate(pieces)}
    values.rewind()
    for number, (home, piece) in enumerate(pieces):
        while len(under_way) >= _WINDOW:
            _settle(client, under_way)
        content = buffers.take(piece.diff_size(replica.item))
        piece.write_diff(replica.item, values.read, content)
        gone = None
        if home == client.node.index:
            replica.twins.receive(client.node.lines, home, content, at_once=True)
        else:
            if last[home] == number:
                asked[home] = next_ticket()
            gone = _store(client, replica, home, content, asked.get(home, 0))
        if gone is None:
            buffers.give_back(content)
        else:
            under_way.append((gone, content))
    while under_way:
        _settle(client, under_way)
    for home, ticket in asked.items():
        client.wait(None, ticket)
        client.node.lines.hear(home, client.answer(home, ticket).applied)


def _settle(client: Client, under_way: deque[tuple[Transfer, NDArray[Any]]]) -> None:
    """Wait until the piece that was sent first is gone."""
    leaving, content = under_way.popleft()
    client.wait(leaving, 0)
    client.world.buffers.give_back(content)


def _store(client: Client, replica: Replica, home: int, content: NDArray[Any], ticket: int) -> Transfer | None:
    """Write a piece here, and tell its home; return the transfer of its elements if they do not fit in a message."""
    node, world = client.node, client.world
    small = content.nbytes <= INLINE
    with whole():
        number = replica.twins.put(node.lines, home, content)
        body = replica.array_id, content.tobytes() if small else content.nbytes
        request = Request("store", client.team, node.index, number, {}, client.asker, ticket, body)
        return world.send_with(node.crew.servers[home], SERVER, request, None if small else content)
