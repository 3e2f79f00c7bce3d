from __future__ import annotations

import pytest

from tests.model.explore import explore
from tests.model.shares import FLAWS, Model

PROGRAMS = [("w", 9), ("ww", 6), ("wb", 6), ("bb", 6), ("br", 5), ("dd", 3), ("wd", 5), ("bd", 3), ("www", 3)]
PROGRAMS += [("wwb", 2), ("wbb", 2), ("bwr", 2), ("wwd", 2), ("bbr", 2), ("bwd", 3)]
CAUGHT_IN = {
    "place first": ("wb", 6),
    "no wait": ("wb", 6),
    "wait for those inside": ("wb", 6),
    "blind length": ("ww", 6),
    "blind place": ("ww", 6),
    "blind take": ("ww", 6),
    "no wait for the far": ("ww", 6),
    "no tag": ("ww", 6),
    "unsigned tags": ("ww", 6),
    "wait for the dead": ("bd", 3),
    "silent return": ("br", 5),
    "length unseen": ("ww", 6),
}


@pytest.mark.parametrize(("workers", "shares"), PROGRAMS)
@pytest.mark.parametrize(("length", "chunk"), [(2, 1), (1, 1), (3, 2), (0, 1)])
def test_every_interleaving_gives_everything_once(workers: str, shares: int, length: int, chunk: int) -> None:
    states, finding = explore(Model(workers, shares, length, chunk))
    assert finding is None, f"{finding}"
    assert states > 10


@pytest.mark.parametrize("workers", ["ww", "wb", "www", "wd"])
def test_who_disagrees_on_the_length_is_told(workers: str) -> None:
    _, finding = explore(Model(workers, 1, odd=0))
    assert finding is None, f"{finding}"


@pytest.mark.parametrize("flaw", FLAWS)
def test_every_flaw_is_caught(flaw: str) -> None:
    workers, shares = CAUGHT_IN[flaw]
    _, finding = explore(Model(workers, shares, flaw=flaw, odd=0 if flaw == "length unseen" else None))
    assert finding is not None, FLAWS[flaw]


def test_flaws_are_caught_where_nothing_is_wrong_without_them() -> None:
    assert set(CAUGHT_IN.values()) <= set(PROGRAMS)
