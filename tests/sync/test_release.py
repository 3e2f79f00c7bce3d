"""Whom the release of a region of many stripes looks for, and when."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest

import pydsm
from pydsm.native import StripeLocks, held
from pydsm.sync.locktable import LockTable

STRIPES = {"some": 5, "as many as lots": 64, "more": 200, "many": 512}


KEYS = [None, slice(1, 4), slice(None, None, 100), slice(130, 512), [3, 2, 70, 99], [1, 0, 511]]


@pytest.mark.parametrize("nested", [False, True], ids=["", "inside a row of it"])
@pytest.mark.parametrize("shared", [False, True], ids=["exclusive", "shared"])
@pytest.mark.parametrize("key", KEYS, ids=str)
@pytest.mark.parametrize("stripes", STRIPES.values(), ids=STRIPES)
def test_a_release_wakes_for_each_stripe_of_an_awaited_lot_when_all_words_are_clear(
    monkeypatch: pytest.MonkeyPatch, stripes: int, key: Any, shared: bool, nested: bool
) -> None:
    woken: list[int] = []

    def wake(table: LockTable, locks: StripeLocks, stripe: int, me: int) -> None:
        assert len(table.lines.nonzero()[0]) == held() == nested
        woken.append(stripe)

    with pydsm.Team(1) as team:
        A = team.array("A", 512, int, stripes=stripes)
        monkeypatch.setattr(LockTable, "wake", wake)
        lots = A._table.lots.reshape(-1, 8)
        mine = A.locked(key).stripes().tolist()
        given_back = mine[nested:]
        with A.locked(mine[0] * -(-512 // stripes), shared=shared) if nested else contextlib.nullcontext():
            for lot in {0, 1, mine[0] % len(lots), mine[-1] % len(lots), len(lots) - 1}:
                with A.locked(key, shared=shared):
                    lots[lot, 6] = np.uint64(1 << 63)  # the last slot, which nobody has
                assert woken == [stripe for stripe in reversed(given_back) if stripe % len(lots) == lot]
                woken.clear()
                lots[lot, 6] = 0


@pytest.mark.parametrize("rows", [1, 4, 512])
def test_an_enter_that_fails_gives_back_what_it_had(rows: int) -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 512, int)
        A._table.lines[8 * (rows - 1)] = 400  # a slot that nobody has
        with pytest.raises(pydsm.LockTimeoutError), A.locked(slice(0, rows), timeout=0):
            pass
        A._table.lines[8 * (rows - 1)] = 0
        assert not A._table.lines.any()
        assert held() == 0


def test_shared_rows_inside_exclusive_ones_that_are_left_first_stay_held_to_the_end() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 100, int)
        exclusive, shared = A.locked(slice(0, 50)), A.locked(slice(10, 90), shared=True)
        with contextlib.ExitStack() as stack:
            stack.enter_context(exclusive)
            stack.enter_context(shared)
            exclusive.__exit__(None, None, None)
            assert A.holds(slice(10, 50))
            assert not A.holds(slice(0, 10), shared=True)
            stack.pop_all()
        shared.__exit__(None, None, None)
        assert not A._table.lines.any()
        assert held() == 0
