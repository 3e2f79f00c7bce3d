"""What goes from rank to rank.

=============  =====================================================  ===========================================
kind           what it brings                                         answer
=============  =====================================================  ===========================================
``push``       diffs                                                  none
``release``    diffs, and stripes that are given back                 none
``update``     diffs, and values to be combined into elements         none
``acquire``    stripes that are wanted, and which versions are known  newer ones, when the stripes are the asker's
``cancel``     which request is to be given up                        that of the request
``pull``       which versions are known                               newer ones
``fetch``      which piece of an array is wanted (`pydsm.mpi.bulk`)    its elements
``store``      diffs of one array, or how large they are              that they are there, if that is asked for
``atomic``     an operation on elements                               its result, and newer versions
``wait``       an element, and what is waited for                     the element, when it is so
``meet``       which versions are known                               newer ones, when all nodes have come
``gather``     a worker's value                                       all values, when all workers have given one
``share``      which piece of work is wanted                          the piece
``make``       an array or lock that is to be made                    when it is there on all nodes
``drop``       one that is to be removed                              when it is gone
=============  =====================================================  ===========================================

Those of runs (`pydsm.mpi.serve`) are ``open``, ``run``, ``task``, ``left``, ``done``, ``ended``, ``fail``, ``halt``
and ``bye``, and ``ask`` and ``told`` for what rank 0 lets all nodes do.

What is sent for every region (``acquire`` and its answer, ``release``, ``push``) and ``update`` is packed; everything
else is pickled, and a pickle's first byte is none of the packed ones.
"""

from __future__ import annotations

import pickle
import sys
from collections.abc import Mapping
from struct import Struct
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from pydsm.native import MESSAGE_FLAGS, MESSAGE_KINDS

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Answer",
    "Request",
    "given_in",
    "grant",
    "read",
    "release",
    "update",
    "wish",
]


class Request(NamedTuple):
    """What a process asks of a server, or tells it.

    Attributes
    ----------
    kind : str
    team : int
    node : int
        The asker's node.
    number : int
        Its place among what this node has told this home, or 0 if it is not numbered.
    needs : mapping of int to int
        How many messages of which nodes the home must have had before.
    asker : tuple of int
        Rank and tag that the answer goes to.
    ticket : int
        Which of the asker's requests it is.
    body : tuple
    """

    kind: str
    team: int
    node: int
    number: int
    needs: Mapping[int, int]
    asker: tuple[int, int]
    ticket: int
    body: tuple[Any, ...]


class Answer(NamedTuple):
    """What a server answers.

    Attributes
    ----------
    kind : str
        ``"answer"``.
    ticket : int
    applied : int
        How many messages of the asker's node the home has had.
    error : bool
        Whether `content` is an exception.
    content : object
    """

    kind: str
    ticket: int
    applied: int
    error: bool
    content: Any


_REQUESTS: Final = frozenset(
    ("push", "release", "acquire", "cancel", "pull", "fetch", "store", "atomic", "wait", "meet", "gather", "share")
) | {"make", "drop"}
ACQUIRE, GRANT, RELEASE, FETCH, ELEMENTS, STORE = (
    MESSAGE_KINDS[kind] for kind in ("acquire", "grant", "release", "fetch", "elements", "store")
)
SHARED, TAGS = MESSAGE_FLAGS
_PUSH: Final = 4
_UPDATE: Final = 5
_PICKLED: Final = 128  # the first byte of a pickle
_HEAD: Final = Struct("=BBHIIQQ")  # kind, flags or tag, node, team, rank or ticket, number, length or array
_GIVEN: Final = Struct("=QQ")  # an array, how many of its stripes
_VALUES: Final = Struct("=QQqQ")  # lengths of diff and positions, the first one, the length of the operation's name
_ONCE: Final = 2
_NOTHING: Final[Mapping[int, int]] = {}


def wish(
    team: int, node: int, asker: tuple[int, int], ticket: int, needs: int, array_id: int, known: bytes, options: int
) -> bytes:
    """Return a request for stripes; `options`: 1 shared, 2 once."""
    return _HEAD.pack(ACQUIRE, options | asker[1] << TAGS, node, team, ticket, needs, array_id) + known


def grant(ticket: int, applied: int, block: bytes) -> bytes:
    """Return the answer to a request for stripes that were had."""
    return _HEAD.pack(GRANT, 0, 0, 0, ticket, applied, 0) + block


def release(
    team: int, node: int, rank: int, number: int, content: bytes, given: list[tuple[int, list[int]]] | None = None
) -> bytes:
    """Return a message of what was written, and of stripes that are given back."""
    head = _HEAD.pack(_PUSH if given is None else RELEASE, 0, node, team, rank, number, len(content))
    if not given:
        return head + content
    tail = [_GIVEN.pack(array_id, len(stripes)) + _stripes(stripes) for array_id, stripes in given]
    return b"".join((head, content, *tail))


def _stripes(stripes: list[int]) -> bytes:
    return stripes[0].to_bytes(8, sys.byteorder) if len(stripes) == 1 else Struct(f"={len(stripes)}Q").pack(*stripes)


def given_in(content: memoryview) -> list[tuple[int, list[int]]]:
    """Return the stripes that are given back at the end of a release, by array."""
    given, at = [], 0
    while at < len(content):
        array_id, count = _GIVEN.unpack_from(content, at)
        at += _GIVEN.size
        given.append((array_id, memoryview(content[at : at + 8 * count]).cast("Q").tolist()))
        at += 8 * count
    return given


def update(
    team: int,
    node: int,
    number: int,
    array_id: int,
    content: bytes,
    positions: NDArray[np.intp],
    values: NDArray[Any],
    op: str,
) -> bytes:
    """Return a message of values to be combined into elements; neighbours need no positions."""
    first, count, name = int(positions[0]), len(positions), op.encode()
    is_run = int(positions[-1]) - first == count - 1 and bool((positions[1:] > positions[:-1]).all())
    where = b"" if is_run else positions.tobytes()
    head = _HEAD.pack(_UPDATE, 0, node, team, count, number, array_id)
    return b"".join((head, _VALUES.pack(len(content), len(where), first, len(name)), name, content, where, values.data))


def _update(node: int, team: int, count: int, number: int, array_id: int, rest: memoryview) -> Request:
    written, placed, first, named = _VALUES.unpack_from(rest)
    at = _VALUES.size + named
    op = bytes(rest[_VALUES.size : at]).decode()
    content, where, values = rest[at : at + written], rest[at + written :][:placed], rest[at + written + placed :]
    positions = np.frombuffer(where, np.intp) if placed else np.arange(first, first + count)
    return Request("update", team, node, number, _NOTHING, (0, 0), 0, (array_id, op, content, positions, values))


def read(source: int, content: bytearray) -> Request | Answer | tuple[Any, ...]:
    """Return a message that has come as what it is: a request, an answer, or one of those of runs."""
    kind = content[0]
    if kind >= _PICKLED:
        message = pickle.loads(content)
        if message[0] in _REQUESTS:
            return Request(*message)
        return Answer(*message) if message[0] == "answer" else message
    _, flags, node, team, who, number, length = _HEAD.unpack_from(content)
    rest = memoryview(content)[_HEAD.size :]
    if kind == _UPDATE:
        return _update(node, team, who, number, length, rest)
    if kind in (GRANT, ELEMENTS):
        return Answer("answer", who, number, False, (True, rest) if kind == GRANT else rest)
    asker, needs = (source, flags >> TAGS), {node: number} if number else _NOTHING
    body: tuple[Any, ...]
    if kind == ACQUIRE:
        body = (length, rest, bool(flags & SHARED), bool(flags & _ONCE))
        return Request("acquire", team, node, 0, needs, asker, who, body)
    if kind == FETCH:
        first, count = _GIVEN.unpack(rest)
        return Request("fetch", team, node, 0, needs, asker, who, (length, (1, first, first + count, 1), 0))
    if kind == STORE:
        return Request("store", team, node, number, _NOTHING, asker, who, (length, rest))
    body = (rest[:length], who, given_in(rest[length:]))
    return Request("push" if kind == _PUSH else "release", team, node, number, _NOTHING, (who, 0), 0, body)
