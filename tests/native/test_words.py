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
