from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import pydsm


@pytest.mark.parametrize(("rows", "size", "stripes"), [(10, 3, None), (2, 4, None), (0, 2, None), (100, 3, 7)])
def test_blocks_cover_every_row_once_in_the_order_of_ranks(rows: int, size: int, stripes: int | None) -> None:
    with pydsm.Team(size) as team:
        A = team.array("A", rows, int, stripes=stripes)
        parts = [A.distribution(rank) for rank in range(size)]
        assert [row for part in parts for row in range(rows)[part]] == list(range(rows))
        assert A.distribution(-1) == parts[-1]
        block = -(-rows // stripes) if stripes else 1
        assert all(part.start % block == 0 for part in parts if part.start < rows)  # a stripe has one home


def test_blocks_are_of_whole_arrays_and_of_workers() -> None:
    with pydsm.Team(2) as team:
        A = team.array("A", (6, 2))
        with pytest.raises(IndexError, match="team of 2 workers, which has no rank 2"):
            A.distribution(2)
        with pytest.raises(ValueError, match="view of array 'A'"):
            A[1:3].distribution(0)
        for call in (A.local, A.halo):
            with pytest.raises(RuntimeError, match="needs a worker"):
                call()
        with pytest.raises(ValueError, match="0 rows wide or more"):
            A.halo(-1)


def test_an_array_without_a_team_is_one_block() -> None:
    A = pydsm.create("alone", 5)
    assert A.distribution(0) == slice(0, 5)
    pydsm.unlink("alone")


def test_get_gives_a_private_copy_and_put_writes() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", (4, 2), int)
        A.put(slice(1, 3), [[1, 2], [3, 4]])
        copy = A.get([2, 1])
        assert copy.tolist() == [[3, 4], [1, 2]]
        assert type(copy) is np.ndarray
        copy[:] = 9
        assert A.get().sum() == 10
        guarded = team.array("guarded", 3, access="guarded")
        with pytest.raises(ValueError, match="read-only"):
            guarded.put(0, 1)


def test_one_row_keeps_the_dtype_of_its_array() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", 3, "U5")
        A[0] = "ab"
        assert (A.get(0).dtype, A.get(0).shape, A.get(0)[()]) == (A.dtype, (), "ab")
        out = np.empty((), A.dtype)
        assert A.get(0, out=out) is out
        assert out[()] == "ab"


def test_get_copies_into_an_array_that_is_given() -> None:
    with pydsm.Team(1) as team:
        A = team.array("A", (4, 2), int)
        A[:] = np.arange(8).reshape(4, 2)
        out = np.zeros((2, 2), A.dtype)
        assert A.get([3, 0], out=out) is out
        assert out.tolist() == [[6, 7], [0, 1]]
        assert A.get(1, out[0]).tolist() == [2, 3]
        wide = np.zeros((4, 4), A.dtype)
        A.get(out=wide[:, ::2])
        assert wide[3].tolist() == [6, 0, 7, 0]
        for wrong, problem in ((np.zeros(3, A.dtype), "shape"), (np.zeros((4, 2), "f4"), "float32")):
            with pytest.raises(ValueError, match=problem):
                A.get(out=wrong)
        out.flags.writeable = False
        with pytest.raises(ValueError, match="read-only"):
            A.get([0, 1], out=out)
        with pytest.raises(TypeError, match="not list"):
            A.get(out=[1])


def test_arrays_come_back_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "saved.npz"
    dtype = np.dtype([("x", "<f8"), ("n", ">i2")])
    with pydsm.Team(1) as team:
        A, G = team.array("A", 3, dtype), team.array("G", (2, 2), "f4", access="guarded")
        A["x"], A["n"] = [1.5, -0.0, np.nan], [1, 2, 3]
        with G.locked() as rows:
            rows[:] = 7
        before = np.array(A).tobytes()
        team.save(file)
        A["n"] = 0
        with G.locked() as rows:
            rows[:] = 0
        team.load(file)
        assert np.array(A).tobytes() == before
        assert (G == 7).all()
        with pytest.raises(ValueError, match="read-only"):
            G[0] = 1


def test_a_file_that_does_not_fit_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "saved.npz"
    with pydsm.Team(1) as team:
        team.array("A", 3, int)[:] = 5
        team.array("B", 3, int)
        team.save(file)
    with pydsm.Team(1) as team:
        A = team.array("A", 3, int)
        team.array("B", 4, int)
        with pytest.raises(ValueError, match="array 'B' of shape"):
            team.load(file)
        assert A.tolist() == [0, 0, 0]
        team.array("C", 1)
        team.delete("B")
        with pytest.raises(ValueError, match="has no array 'C'"):
            team.load(file)
        (tmp_path / "other").write_bytes(b"nothing")
        with pytest.raises(ValueError, match="has no saved arrays"):
            team.load(tmp_path / "other")
        assert A.tolist() == [0, 0, 0]
