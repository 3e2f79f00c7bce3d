from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pydsm.core.region import intervals_of
from pydsm.core.stripes import DEFAULT_STRIPES, block_size, stripes_of


@given(st.lists(st.integers(0, 99)), st.integers(1, 40))
def test_stripes_are_those_of_the_rows_in_ascending_order(rows: list[int], block: int) -> None:
    stripes = stripes_of(intervals_of(rows, 100), block)
    assert stripes.tolist() == sorted({row // block for row in rows})


@given(st.integers(0, 10**9), st.none() | st.integers(1, 5000))
def test_blocks_cover_the_rows_with_no_more_stripes_than_asked(rows: int, stripes: int | None) -> None:
    block = block_size(rows, stripes)
    assert block >= 1
    assert -(-rows // block) <= (stripes or DEFAULT_STRIPES)


def test_few_rows_have_a_stripe_each() -> None:
    assert block_size(DEFAULT_STRIPES, None) == 1


def test_distant_intervals_leave_out_the_stripes_between() -> None:
    assert stripes_of(np.array([[0, 2], [95, 100]]), 10).tolist() == [0, 9]
