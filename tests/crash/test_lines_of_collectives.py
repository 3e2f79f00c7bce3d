"""Death at every line of a share of work, and of a reduction of numbers and of arrays."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import pydsm
from pydsm.core.layout import RING
from tests.crash.lines import PATIENCE, crash_at_every_line
from tests.crash.test_lines_of_runs import _VICTIM, _Worker

pytestmark = pytest.mark.timeout(PATIENCE)

_SHARES = RING + 2
_CHUNK = 2


class _Share(_Worker):
    """All take pieces of several shares, and of the first entries of the ring twice."""

    def prepare(self) -> None:
        super().prepare()
        self.given = self.team.array("given", (_SHARES, 12), int)

    def work(self, worker: pydsm.Worker) -> str:
        given = np.asarray(self.given)
        worker.barrier()
        if worker.rank == _VICTIM:
            self.set_trap()
        for mine in given:
            for part in worker.share(len(mine), _CHUNK):
                mine[part.start : part.stop] += 1
                if self.breaks_off(worker.rank):
                    break
        sys.settrace(None)
        worker.barrier()
        return "through"

    def breaks_off(self, rank: int) -> bool:
        return False

    def check_results(self, died: bool) -> None:
        super().check_results(died)
        missing = np.argwhere(self.given == 0)
        assert self.given.max() == 1
        assert len(missing) in ((0, _CHUNK) if died else (0,))  # what the victim had just taken
        assert len({share for share, _ in missing.tolist()}) <= 1


class _BrokenShare(_Share):
    """Who breaks off has to wait for the one who is to find the rest, until that one is dead."""

    size = 2

    def breaks_off(self, rank: int) -> bool:
        return rank != _VICTIM

    def check_results(self, died: bool) -> None:
        if died:
            assert self.given.max() <= 1
            assert (self.given == 1).any(1).all()  # the survivor had something of each share, or the victim all
        _Worker.check_results(self, died)
        assert died or (self.given == 1).all()


class _Reduction(_Worker):
    """All reduce numbers and arrays, which need larger rows twice."""

    stride = 2

    def work(self, worker: pydsm.Worker) -> Any:
        worker.barrier()
        if worker.rank == _VICTIM:
            self.set_trap()
        found = []
        for n in (1, 100, 10_000, 100, 30_000, 1, 10_000):
            total = worker.allreduce(np.full(n, 10**worker.rank))
            assert (total == total[0]).all()
            found.append(int(total[0]))
        for root in range(self.size):
            found.append(worker.reduce(10**worker.rank, root=root) or 0)
        sys.settrace(None)
        worker.barrier()
        return found

    def check_results(self, died: bool) -> None:
        left = [found for rank, found in enumerate(self.results) if rank != _VICTIM]
        assert left[0][:7] == left[1][:7]
        assert set(left[0][:7]) <= {111, 101}
        assert sorted(left[0][:7], reverse=True) == left[0][:7]  # who is dead stays out
        assert died or left[0][:7] == [111] * 7
        for rank, found in zip((0, 2), left, strict=True):
            assert [bool(number) for number in found[7:]] == [root == rank for root in range(self.size)]
        self.results = [found if rank == _VICTIM and died else "through" for rank, found in enumerate(self.results)]
        super().check_results(died)


@pytest.mark.parametrize("scene", [_Share, _BrokenShare])
def test_survivors_do_all_but_what_a_dead_worker_had_in_its_hands(scene: type[_Worker]) -> None:
    assert len(crash_at_every_line(scene())) > 20


def test_survivors_agree_on_whether_a_dead_worker_gave_something() -> None:
    assert len(crash_at_every_line(_Reduction())) > 30
