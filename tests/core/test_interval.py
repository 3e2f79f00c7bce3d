"""Entries of the log are read as they were written."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pydsm.core.diff import Diff, units
from pydsm.core.interval import Interval, Kind, Pass, read_intervals

POSITIONS = st.sets(st.integers(0, 60)).map(lambda chosen: np.array(sorted(chosen), np.int64))


@st.composite
def intervals(draw: st.DrawFn) -> tuple[Interval, dict[int, int]]:
    size = draw(st.integers(1, 4))
    clock = np.array(draw(st.lists(st.integers(0, 1 << 40), min_size=size + 1, max_size=size + 1)))
    passes = draw(st.lists(st.builds(Pass, st.sampled_from(Kind), st.integers(0, 1 << 32), POSITIONS), max_size=3))
    diffs, itemsizes = {}, {}
    for array_id in draw(st.sets(st.integers(0, 1 << 32), max_size=3)):
        positions, itemsize = draw(POSITIONS), draw(st.sampled_from([1, 2, 3, 4, 8, 12, 16]))
        raw = np.frombuffer(
            draw(st.binary(min_size=len(positions) * itemsize, max_size=len(positions) * itemsize)), "u1"
        )
        diffs[array_id], itemsizes[array_id] = Diff(positions, units(raw, itemsize)), itemsize
    return Interval(draw(st.integers(0, size - 1)), draw(st.integers(0, 9)), clock, passes, diffs), itemsizes


@given(st.lists(intervals(), max_size=4))
def test_what_is_appended_is_what_is_read(written: list[tuple[Interval, dict[int, int]]]) -> None:
    content = b"".join(interval.to_bytes(itemsizes) for interval, itemsizes in written)
    read = list(read_intervals(content))
    assert len(read) == len(written)
    for (wrote, _), found in zip(written, read, strict=True):
        assert (found.rank, found.number, found.order) == (wrote.rank, wrote.number, wrote.order)
        assert found.clock.tolist() == wrote.clock.tolist()
        assert [(one.kind, one.array_id, one.which.tolist()) for one in found.passes] == [
            (one.kind, one.array_id, one.which.tolist()) for one in wrote.passes
        ]
        assert found.diffs.keys() == wrote.diffs.keys()
        for array_id, diff in wrote.diffs.items():
            assert found.diffs[array_id].positions.tolist() == diff.positions.tolist()
            assert found.diffs[array_id].values.tobytes() == diff.values.tobytes()
            assert found.diffs[array_id].values.dtype == diff.values.dtype
