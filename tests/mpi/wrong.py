"""A program for ranks that asks for what cannot be, and then ends as its first argument says."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import Any

import pydsm


def attempt(what: str, call: Callable[[], Any]) -> None:
    """Say how a call fails, in one line."""
    try:
        print(f"{what}: {call()}", flush=True)
    except Exception as error:
        print(f"{what}: {type(error).__name__}: {str(error).splitlines()[0]}", flush=True)


def rank_and_size(worker: pydsm.Worker) -> tuple[int, int]:
    return worker.rank, worker.size


def unpicklable(worker: pydsm.Worker) -> Any:
    return threading.Lock()


if __name__ == "__main__":
    with pydsm.Team() as team:
        attempt("team", lambda: team.run(rank_and_size))
        attempt("result", lambda: team.run(unpicklable))
        attempt("again", lambda: team.run(rank_and_size))
        attempt("arguments", lambda: team.run(lambda worker: sys.argv[1:]))
    attempt("crowd", lambda: pydsm.Team(500))
    attempt("cluster", lambda: type(pydsm.Cluster(7)).__name__)
    attempt("small cluster", lambda: type(pydsm.Cluster(1)).__name__)
    if sys.argv[1] == "raise":
        raise LookupError("on purpose")
    sys.exit(int(sys.argv[1]) if sys.argv[1].isdigit() else sys.argv[1])
