"""The benchmarks over MPI: every act runs on both sides and is exact, whatever it takes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks.measure import Comparison
from benchmarks.rankjobs import Pair, Place, place
from benchmarks.ranks import ACTS
from benchmarks.section import Section
from tests.mpi.jobs import needs_mpi

pytestmark = needs_mpi
BIG = 64 << 20
LONG = bool(os.environ.get("PYDSM_LONG"))


def test_every_act_is_done_by_pydsm_and_by_all_its_peers() -> None:
    applications = [("plate", 40, "plate"), ("plate", 40, "edges"), ("clusters", 2000)]
    with place() as here, Pair(here) as pair:
        orders = [(pair.pydsm, act.ours) for act in ACTS]
        orders += [(pair.raw, order) for act in ACTS for order, _ in act.peers.values()]
        orders += [(remote, order) for remote in (pair.pydsm, pair.raw) for order in applications]
        for remote, order in orders:
            if BIG not in order or LONG:
                assert remote(2, *order) > 0, order
        for load in ("idle", "NumPy", "interpreter"):
            taken = pair.pydsm.ask(0.2, "delays", load)
            assert taken
            assert min(taken) > 0
        for how in ("barrier", "lock", "element"):
            assert len(pair.pydsm.ask(0.05, "waiting", how)) == 4
        assert len(pair.raw.ask(0.05, "waiting", "barrier")) == 3


def test_jobs_that_failed_can_be_started_anew() -> None:
    with place() as here, Pair(here) as pair:
        with pytest.raises(RuntimeError, match="KeyError"):
            pair.pydsm(1, "no such act")
        with pytest.raises(RuntimeError):
            pair.raw(1, "no such act")
        pair.renew()
        assert pair.pydsm(1, "barrier", 1 << 16) > 0
        assert pair.raw(1, "barrier", 0) > 0


@pytest.mark.skipif(not LONG, reason="a longer form: PYDSM_LONG=1")
def test_jobs_run_on_pretended_hosts_too() -> None:
    with Pair(Place(None, "pretended")) as pair:
        assert pair.pydsm(2, "locked", "random") > 0
        assert pair.raw(2, "get", 8) > 0


def test_a_section_measured_again_takes_the_place_of_the_old_one_in_the_page(tmp_path: Path) -> None:
    rankpage = pytest.importorskip("benchmarks.rankpage", reason="the bench extra is not installed")

    def section(title: str, what: str) -> Section:
        return Section(title, comparisons=[Comparison(what, "a peer", "time", [1.0], [2.0])])

    for title, what in (("operations", "first"), ("applications", "second"), ("operations", "third")):
        rankpage.write(tmp_path, section(title, what), {"cpu": "one"})
    page = (tmp_path / "ranks.md").read_text()
    assert page.index("| third |") < page.index("| second |")
    assert "first" not in page.partition("## operations")[2]
    (tmp_path / "ranks.md").unlink()
    rankpage.write(tmp_path)
    assert (tmp_path / "ranks.md").read_text() == page
