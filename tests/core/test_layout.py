from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pydsm.core import layout
from pydsm.core.layout import Description, lock_segment, read_lock_header
from pydsm.errors import SegmentError

FLOAT = np.dtype(float)


def make(shape: tuple[int, ...] = (5, 2), dtype: np.dtype = FLOAT, stripes: int = 5) -> np.ndarray:
    content, words = lock_segment(Description("H", shape, Description.text_of(dtype), 1), stripes, 7, 1000)
    segment = np.zeros(words, np.uint64)
    segment.view(np.uint8)[: len(content)] = np.frombuffer(content, np.uint8)
    return segment


dtypes = st.one_of(
    hnp.scalar_dtypes(),
    hnp.array_dtypes(max_size=4),
    hnp.nested_dtypes(max_leaves=5),
).filter(lambda dtype: dtype.itemsize and dtype.subdtype is None)


@given(dtypes)
def test_a_dtype_survives_as_text(dtype: np.dtype) -> None:
    assert read_lock_header(make(dtype=dtype), "H").description.numpy_dtype() == dtype


@given(st.integers(1, 300))
def test_a_header_says_how_long_its_segment_is(stripes: int) -> None:
    segment = make(shape=(stripes,), stripes=stripes)
    header = read_lock_header(segment, "H")
    assert header.total_words() == len(segment)
    assert header.lots & (header.lots - 1) == 0
    assert header.words % layout.LINE == 0


@given(st.integers(0, 60 * 8 - 1), st.integers(0, 255))
def test_a_mutated_header_is_refused_or_harmless(position: int, value: int) -> None:
    segment = make()
    segment.view(np.uint8)[position] = value
    try:
        header = read_lock_header(segment, "H")
    except SegmentError:
        return
    assert header.total_words() == len(segment)
    assert header.description.numpy_dtype().itemsize >= 0


@pytest.mark.parametrize("length", [0, 1, 15, 16, 30])
def test_a_truncated_header_is_refused(length: int) -> None:
    with pytest.raises(SegmentError):
        read_lock_header(make()[:length], "H")


def test_another_version_is_named() -> None:
    segment = make()
    segment[1] = 99
    with pytest.raises(SegmentError, match="version 99"):
        read_lock_header(segment, "H")


def test_slots_do_not_overlap_the_header_or_each_other() -> None:
    assert layout.Team.BELL + layout.LINE <= layout.Team.SCRATCH < layout.Team.SHARES
    assert layout.slot_word(0, layout.Slot.STATE) >= layout.Team.SHARES + layout.RING * layout.LINE
    assert layout.slot_word(1, layout.Slot.STATE) - layout.slot_word(0, layout.Slot.STATE) > layout.Slot.DIGEST + 1
    assert layout.slot_word(layout.MAX_SLOTS - 1, layout.Slot.DIGEST + 1) < layout.TEAM_WORDS
