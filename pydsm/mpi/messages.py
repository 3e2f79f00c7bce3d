"""What goes from rank to rank.

=============  =====================================================  ===========================================
kind           what it brings                                         answer
=============  =====================================================  ===========================================
``push``       diffs                                                  none
``release``    diffs, and stripes that are given back                 none
``acquire``    stripes that are wanted, and which versions are known  newer ones, when the stripes are the asker's
``cancel``     which request is to be given up                        that of the request
``pull``       which versions are known                               newer ones
``fetch``      which piece of an array is wanted (`pydsm.mpi.bulk`)    its elements
``store``      a piece of an array                                    that it is there, if that is asked for
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
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

__all__ = ["Answer", "Request", "read"]


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


_REQUESTS = frozenset(
    (
        "push",
        "release",
        "acquire",
        "cancel",
        "pull",
        "fetch",
        "store",
        "atomic",
        "wait",
        "meet",
        "gather",
        "share",
        "make",
        "drop",
    )
)


def read(message: tuple[Any, ...]) -> Request | Answer | tuple[Any, ...]:
    """Return a message that has come as what it is: a request, an answer, or one of those of runs."""
    if message[0] in _REQUESTS:
        return Request(*message)
    return Answer(*message) if message[0] == "answer" else message
