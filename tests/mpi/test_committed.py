"""What of a large array takes memory, and that nothing else is looked at."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pydsm.core import names
from pydsm.core.diff import changes, units
from pydsm.core.layout import Description, Team
from pydsm.ipc import segment, shm
from pydsm.mpi.committed import SMALL, Committed, promised
from pydsm.mpi.homes import Homes
from pydsm.mpi.replica import Replica
from pydsm.sync import datasegment
from pydsm.sync.namespace import Namespace

PAGE = os.sysconf("SC_PAGE_SIZE")
BYTE = np.dtype(np.uint8)


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    namespace = Namespace.create(size=1)
    yield namespace
    namespace.close()


def taken(*files: str) -> int:
    """Return how many bytes of memory files have."""
    return sum(512 * shm.status(file).st_blocks for file in files)


def make(namespace: Namespace, rows: int) -> tuple[Any, Replica]:
    """Return a new array of numbers of 8 bytes, and its replica."""
    description = Description("A", (rows,), "'<f8'", max(1, rows // 512))
    with namespace.creating():
        namespace.words.store(Team.NEXT_ID, 7)
        A = datasegment.create(namespace.name, description, namespace.permissions, lazy=True)
        Replica.make(namespace, description, A.nbytes, 512)
    return A, Replica(namespace, description, 7, Homes(512, (1, 1)), 0)


ranges = st.lists(st.tuples(st.integers(0, 60 * PAGE), st.integers(1, 3 * PAGE)), max_size=8)


@settings(max_examples=40)
@given(
    itemsize=st.sampled_from([1, 8, 12, 24]),
    steps=st.lists(st.tuples(ranges, ranges), min_size=1, max_size=4),
)
def test_what_exists_has_all_that_was_written_and_little_else(
    itemsize: int, steps: list[tuple[list[tuple[int, int]], list[tuple[int, int]]]]
) -> None:
    count = 64 * PAGE // itemsize
    name = f"pydsm.t{os.getpid()}-committed.data.A"
    memory = segment.create(name, (count * itemsize,), BYTE, lazy=True)
    committed = Committed(name, count * itemsize, itemsize)
    shm.unlink(name)
    plain = np.zeros(count * itemsize, np.uint8)
    pages = np.zeros(-(-count * itemsize // PAGE) + 1, bool)
    pages[count * itemsize // PAGE :] = True  # what is behind the elements
    for number, (writes, looks) in enumerate(steps, 1):
        for at, length in writes:
            memory[at : at + length] = number
            plain[at : at + length] = number
            pages[at // PAGE : -(-min(at + length, len(plain)) // PAGE)] = True
        edges = sorted({min(count, edge // itemsize) for at, length in looks for edge in (at, at + length)})
        spans = list(zip(edges[::2], edges[1::2], strict=False))
        for wanted in (None, spans):
            found = committed.within(wanted)
            assert all(a < b for a, b in found if wanted is None)
            assert all(one[1] <= other[0] for one, other in itertools.pairwise(found))
            expected = changes(units(plain, itemsize), units(np.zeros_like(plain), itemsize), wanted)
            seen = changes(units(plain, itemsize), units(np.zeros_like(plain), itemsize), found)
            assert np.array_equal(seen.positions, expected.positions)
        touched = np.zeros(len(pages) * PAGE, bool)
        for start, stop in committed.within(None):
            touched[start * itemsize : stop * itemsize] = True
        needless = touched.reshape(-1, PAGE)[~pages].sum(axis=1)
        assert (needless <= 2 * itemsize).all(), "a page that nobody wrote is looked at"
    del memory, committed


def test_a_large_array_of_which_little_is_touched_takes_little(namespace: Namespace) -> None:
    A, replica = make(namespace, 1 << 22)  # 32 MB, stripes of 64 kB
    assert replica.committed is not None
    files = [names.data_name(namespace.name, "A"), *Replica.files(namespace, "A")]
    assert replica.committed.within([(0, 512)]) == []
    assert taken(*files) < 16 * PAGE
    A[[5, 1 << 20, -1]] = 1.0
    found = replica.committed.within([(0, 100), (128, 512)])
    assert found == [(0, 1), (128, 129), (511, 512)]
    assert [run for span in found for run in replica.twins.changed(*span)] == found
    assert taken(*files) < 3 * 3 * 16 * PAGE
    assert promised(files) > 2 * A.nbytes - 3 * 3 * 16 * PAGE


def test_small_arrays_have_all_their_memory_from_the_beginning(namespace: Namespace) -> None:
    description = Description("A", (100,), "'<f8'", 1)
    with namespace.creating():
        Replica.make(namespace, description, 800, 512)
    assert promised(Replica.files(namespace, "A")) == 0
    assert SMALL > 800


def test_what_is_gone_promises_nothing() -> None:
    assert promised(["pydsm.nobody.data.A"]) == 0
