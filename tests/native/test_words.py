from __future__ import annotations

import signal
import threading

import numpy as np
import pytest

from pydsm import native


def words(count: int = 4) -> native.Words:
    return native.Words(np.zeros(count, np.uint64))


def test_each_operation_returns_what_was_there() -> None:
    w = words()
    assert w.add(0, 5) == 0
    assert w.exchange(0, 7) == 5
    assert w.or_(0, 8) == 7
    assert w.and_(0, 9) == 15
    assert w.load(0) == 9
    assert w.compare_and_swap(0, 9, 1)
    assert not w.compare_and_swap(0, 9, 2)
    assert w.load(0) == 1


def test_addition_wraps_at_64_bits() -> None:
    w = words()
    w.store(1, 2**64 - 1)
    w.add(1, 2)
    assert w.load(1) == 1


def test_advancing_gives_parts_of_what_is_left_and_single_things_at_the_end() -> None:
    w, base = words(), 7 << 48
    w.store(0, base)
    given = []
    while (piece := w.advance(0, base, 10, 4, 0)) is not None:
        given.append(piece)
    assert given == [range(2), range(2, 4), *(range(i, i + 1) for i in range(4, 10))]
    assert w.load(0) == base + 10


def test_advancing_by_a_chunk_ends_with_what_is_left() -> None:
    w = words()
    assert [w.advance(0, 0, 5, 1, 3) for _ in range(3)] == [range(3), range(3, 5), None]
    assert w.advance(1, 0, 5, 1, 2**63) == range(5)


@pytest.mark.parametrize("base", [6 << 48, 8 << 48, 2**64 - 1])
def test_nothing_is_taken_from_a_word_of_another_count(base: int) -> None:
    w = words()
    w.store(0, 7 << 48)
    assert w.advance(0, base, 2**48 - 1, 1, 1) is None
    assert w.load(0) == 7 << 48


def test_what_threads_take_is_everything_once() -> None:
    w, taken = words(), []

    def take() -> None:
        while (piece := w.advance(0, 0, 20_000, 8, 3)) is not None:
            taken.extend(piece)

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == list(range(20_000))


@pytest.mark.parametrize("index", [-1, 4, 2**40])
def test_a_word_outside_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match="outside"):
        words().load(index)


@pytest.mark.parametrize("array", [np.zeros(4), np.zeros(4, ">u8"), np.zeros(4, np.int64)])
def test_other_dtypes_are_refused(array: np.ndarray) -> None:
    with pytest.raises(TypeError, match="uint64"):
        native.Words(array)


def test_strided_and_readonly_arrays_are_refused() -> None:
    with pytest.raises(ValueError, match="contiguous"):
        native.Words(np.zeros(8, np.uint64)[::2])
    frozen = np.zeros(8, np.uint64)
    frozen.flags.writeable = False
    with pytest.raises(ValueError, match="writable"):
        native.Words(frozen)


def test_additions_of_threads_all_arrive() -> None:
    w = words()
    threads = [threading.Thread(target=lambda: [w.add(0, 1) for _ in range(20_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert w.load(0) == 80_000


def test_spinning_ends_when_the_word_changes_or_the_turns_are_over() -> None:
    w = words()
    assert w.spin_while(0, 0, 10)
    assert not w.spin_while(0, 1, 10)
    timer = threading.Timer(0.05, w.store, (0, 3))
    timer.start()
    while w.spin_while(0, 0, 10_000):
        pass
    timer.join()


def test_signals_held_back_come_through_afterwards() -> None:
    seen = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
    try:
        native.hold_signals()
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)  # to this thread, not to any
        for _ in range(100):
            assert not seen
        native.restore_signals()
        for _ in range(100):
            pass
        assert seen == [1]
        native.restore_signals()  # without a hold it does nothing
    finally:
        signal.signal(signal.SIGUSR1, before)
