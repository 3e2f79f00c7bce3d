from __future__ import annotations

import os
import struct

import numpy as np
import pytest
import SharedArray
from hypothesis import given
from hypothesis import strategies as st

from pydsm.errors import NoRoomError, SegmentError
from pydsm.ipc import segment, shm

NAME = f"alone.pydsm.t{os.getpid()}-segment"
INT = np.dtype(np.int64)


@pytest.fixture(autouse=True)
def _clean():
    yield
    shm.unlink(NAME)


def test_any_program_can_attach_a_typed_segment_with_shared_array() -> None:
    ours = segment.create(NAME, (3, 4), np.dtype(np.float32))
    theirs = SharedArray.attach(f"shm://{NAME}")
    theirs[1, 2] = 5
    assert ours[1, 2] == 5
    assert (theirs.shape, theirs.dtype) == ((3, 4), np.float32)


def test_we_can_attach_what_shared_array_made() -> None:
    theirs = SharedArray.create(f"shm://{NAME}", (3, 4), np.int64)
    os.chmod(f"/dev/shm/{NAME}", 0o600)
    theirs[:] = 7
    assert (segment.attach(NAME, INT, (3, 4)) == 7).all()


@pytest.mark.parametrize("shape", [(0,), (3, 0, 2), (1,), (7, 3)])
def test_a_new_segment_is_zero_private_and_not_half_made(shape: tuple[int, ...]) -> None:
    before = os.umask(0)
    try:
        array = segment.create(NAME, shape, INT)
    finally:
        os.umask(before)
    assert array.shape == shape
    assert not array.any()
    assert os.stat(f"/dev/shm/{NAME}").st_mode & 0o777 == 0o600


@pytest.mark.parametrize("umask", [0, 0o022, 0o777], ids=oct)
def test_its_mode_is_what_was_asked_for_whatever_the_umask(umask: int) -> None:
    before = os.umask(umask)
    try:
        segment.create(NAME, (3,), INT, mode=0o660)
        descriptor, _ = segment.make((3,), INT, mode=0o640)
    finally:
        os.umask(before)
    assert os.stat(f"/dev/shm/{NAME}").st_mode & 0o777 == 0o660
    assert os.fstat(descriptor).st_mode & 0o777 == 0o640
    os.close(descriptor)


def test_a_taken_name_is_an_error_and_keeps_its_owner() -> None:
    first = segment.create(NAME, (2,), INT)
    first[:] = 3
    with pytest.raises(FileExistsError):
        segment.create(NAME, (5,), INT)
    assert segment.attach(NAME, INT, (2,)).tolist() == [3, 3]


def test_a_segment_outlives_its_name_as_long_as_it_is_mapped() -> None:
    array = segment.create(NAME, (2,), INT)
    shm.unlink(NAME)
    array[:] = 4
    assert array.tolist() == [4, 4]


def test_a_readonly_attachment_cannot_be_written() -> None:
    segment.create(NAME, (2,), INT)
    array = segment.attach(NAME, INT, (2,), readonly=True)
    with pytest.raises(ValueError, match="read-only"):
        array[0] = 1
    with pytest.raises(ValueError, match="WRITEABLE"):
        array.flags.writeable = True


@pytest.mark.parametrize("size", [0, 1, 16, 291, 547, 548, 4096])
def test_a_file_of_the_wrong_size_is_refused(size: int) -> None:
    with open(f"/dev/shm/{NAME}", "wb") as file:
        file.truncate(size)
    with pytest.raises(SegmentError):
        segment.attach(NAME, INT, (3,))


@given(st.integers(0, 547), st.integers(0, 255))
def test_every_other_footer_is_refused(position: int, value: int) -> None:
    shm.unlink(NAME)
    segment.create(NAME, (3,), INT)
    with open(f"/dev/shm/{NAME}", "r+b") as file:
        file.seek(24 + position)
        old = file.read(1)[0]
        file.seek(24 + position)
        file.write(bytes([value]))
    if value == old:
        assert segment.attach(NAME, INT, (3,)).tolist() == [0, 0, 0]
    else:
        with pytest.raises(SegmentError):
            segment.attach(NAME, INT, (3,))


@pytest.mark.parametrize("dtype", [object, ">i8", "M8[s]", "i4,f8", "V3", "S0"])
def test_a_dtype_that_a_footer_cannot_say_is_refused(dtype: str) -> None:
    with pytest.raises(ValueError, match="no segment can hold"):
        segment.create(NAME, (3,), np.dtype(dtype))
    assert not shm.exists(NAME)
    segment.create(NAME, (3,), INT)
    with pytest.raises(SegmentError, match="no segment can hold"):
        segment.attach(NAME, np.dtype(dtype), (3,))


def test_a_planted_object_dtype_is_refused() -> None:
    """Its elements would be taken for addresses."""
    segment.create(NAME, (3,), INT)
    with open(f"/dev/shm/{NAME}", "r+b") as file:
        file.seek(24 + 24)
        file.write(struct.pack("i", np.dtype(object).num))
    for dtype in (INT, np.dtype(object)):
        with pytest.raises(SegmentError):
            segment.attach(NAME, dtype, (3,))


@pytest.mark.parametrize("shape", [(-1,), (-2, -3), (0, 1 << 40, 1 << 40), (1 << 40, 0, 1 << 40), (1,) * 65])
def test_a_shape_that_numpy_refuses_is_refused(shape: tuple[int, ...]) -> None:
    """SharedArray does not look whether NumPy did, and dies."""
    with pytest.raises(ValueError, match=r"no segment can hold|too big"):
        segment.create(NAME, shape, INT)
    assert not shm.exists(NAME)
    segment.create(NAME, (0,), INT)
    with pytest.raises(SegmentError, match=r"no segment can hold|too big"):
        segment.attach(NAME, INT, shape)


def test_a_footer_that_promises_more_than_the_file_has_is_refused() -> None:
    segment.create(NAME, (3,), INT)
    with open(f"/dev/shm/{NAME}", "r+b") as file:
        file.seek(24 + 36)
        file.write(struct.pack("q", 1 << 40))
    with pytest.raises(SegmentError):
        segment.attach(NAME, INT, (1 << 40,))


def test_links_fifos_and_directories_are_refused(tmp_path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"x" * 600)
    for make in (
        lambda path: os.symlink(target, path),
        os.mkfifo,
        os.mkdir,
    ):
        make(f"/dev/shm/{NAME}")
        try:
            with pytest.raises(SegmentError):
                segment.attach(NAME, INT, (3,))
        finally:
            os.rmdir(f"/dev/shm/{NAME}") if make is os.mkdir else os.unlink(f"/dev/shm/{NAME}")


def test_another_users_file_is_refused() -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make another user's file")
    segment.create(NAME, (3,), INT)
    os.chown(f"/dev/shm/{NAME}", 12345, 12345)
    with pytest.raises(SegmentError, match="no regular file of user 0"):
        segment.attach(NAME, INT, (3,))


def test_what_does_not_fit_is_refused_before_anything_is_made() -> None:
    with pytest.raises(NoRoomError) as caught:
        segment.create(NAME, (1 << 50,), INT)
    assert caught.value.wanted > caught.value.free > 0
    assert not shm.exists(NAME)


def test_a_full_file_system_is_a_memory_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(MemoryError, match="No space left"):
        segment.create(NAME, (3,), INT)
    assert not shm.exists(NAME)


# -- files of the user's -----------------------------------------------------------------


def test_a_file_keeps_its_elements(tmp_path) -> None:
    path = str(tmp_path / "elements")
    segment.create_file(path, (3,), INT)[:] = 5
    assert segment.create_file(path, (3,), INT).tolist() == [5, 5, 5]
    assert segment.attach_file(path, (3,), INT, readonly=True).tolist() == [5, 5, 5]
    with pytest.raises(SegmentError, match="bytes where"):
        segment.create_file(path, (4,), INT)


def test_what_is_no_file_is_refused_at_once(tmp_path) -> None:
    fifo = str(tmp_path / "fifo")
    os.mkfifo(fifo)
    for path in (fifo, str(tmp_path), "/dev/zero", "/dev/null"):
        for readonly in (True, False):  # to open a FIFO for reading only would wait for a writer
            with pytest.raises(SegmentError):
                segment.attach_file(path, (3,), INT, readonly=readonly)


def test_a_file_that_does_not_fit_is_a_memory_error_and_does_not_stay(tmp_path, monkeypatch) -> None:
    def full(descriptor: int, start: int, size: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(NoRoomError, match=f"no room for 24 bytes in {tmp_path}: No space left"):
        segment.create_file(str(tmp_path / "elements"), (3,), INT)
    assert os.listdir(tmp_path) == []
