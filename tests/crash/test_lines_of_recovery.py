"""Death at every line of undoing, of recovering from a death, and of the burial of the dead."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
from collections.abc import Callable
from typing import Any

import pytest

import pydsm
from pydsm.ipc import segment
from tests.crash.children import SECONDS, fork
from tests.crash.lines import PATIENCE, Point, crash_at_every_line
from tests.crash.scenes import AfterADeath, Scene

pytestmark = pytest.mark.timeout(PATIENCE)


class _Undo(Scene):
    """The update stands as a whole or not at all, wherever the victim dies."""

    undo = True

    def operate(self) -> None:
        with self.A.locked(self.rows, undo=True):
            self.count()


class _UndoRowsOfAList(_Undo):
    stride = 3
    rows = range(0, 3, 2)


class _UndoMore(_Undo):
    """A record that is too small for the rows makes way for a larger one."""

    stride = 2
    shape = (4, 300)
    rows = slice(0, 3)

    def approach(self) -> None:
        with self.A.locked(3, undo=True):
            pass


class _UndoAndLeave(_Undo):
    """The thread ends, and with it the place where its records were."""

    before = 1

    def approach(self) -> None:
        with self.A.locked(0, undo=True):
            self.count()

    def operate(self) -> None:
        self.namespace._seat.taken.leave()


class _UndoTwice(_Undo):
    """A region within a region; the inner one is complete or undone by itself."""

    stride = 2
    after = 2

    def operate(self) -> None:
        with self.A.locked(0, undo=True):
            self.count()
            with self.A.locked(0, undo=True):
                self.count()
            self.A.fence()


class _UndoTwoArrays(_Undo):
    """All or nothing over two arrays, of which the other has a field that is no number to NumPy."""

    stride = 2

    def prepare(self) -> None:
        super().prepare()
        self.B = self.team.array("B", 3, [("when", "M8[s]"), ("what", "S3")])

    def operate(self) -> None:
        with pydsm.locked((self.B, 1), (self.A, 0), undo=True):
            self.B[1] = (7, b"abc")
            self.count()

    def check_count(self, died: bool) -> None:
        super().check_count(died)
        both = self.A[0, 0] - self.entered
        assert self.B.tobytes().count(b"abc") == both

    def put_right(self) -> None:
        with self.B.locked(recover=True):
            pass


class _UndoOfAnError(_Undo):
    """The body raises: the rows are put back by the victim, or by who buries it."""

    stride = 3
    after = 0

    def operate(self) -> None:
        with pytest.raises(ZeroDivisionError), self.A.locked(0, undo=True):
            self.count()
            raise ZeroDivisionError


@pytest.mark.parametrize(
    "scene", [_Undo, _UndoRowsOfAList, _UndoMore, _UndoAndLeave, _UndoTwice, _UndoTwoArrays, _UndoOfAnError]
)
def test_an_update_with_undo_is_whole_or_was_never(scene: type[Scene]) -> None:
    assert len(crash_at_every_line(scene())) > 20


class _Recover(AfterADeath):
    def operate(self) -> None:
        with self.A.locked(0, timeout=SECONDS, recover=True) as row:
            row[1:] = row[0]
            self.A.fence()
            self.count()


class _RecoverAndUndo(_Recover):
    """The half update of the first is what the second's undo puts back."""

    stride = 3

    def operate(self) -> None:
        with self.A.locked(0, timeout=SECONDS, recover=True, undo=True) as row:
            row[1:] = row[0]
            self.A.fence()
            self.count()


class _RecoverInVain(AfterADeath):
    """The recoverer's body raises: the row is abandoned again, as it was."""

    before = after = 1

    def operate(self) -> None:
        with pytest.raises(ZeroDivisionError), self.A.locked(0, timeout=SECONDS, recover=True):
            self.A.fence()
            raise ZeroDivisionError

    def check(self, died: bool) -> None:
        assert self.A.tolist()[0] == [1, 0]
        assert self.survive()  # who has to recover
        self.check_count(died)
        self.check_cleared(died)


class _Refused(_RecoverInVain):
    """The victim does not recover: it is told of the death and holds nothing."""

    stride = 2

    def operate(self) -> None:
        with pytest.raises(pydsm.OwnerDiedError):
            self.A.locked(slice(0, 2), timeout=SECONDS).__enter__()


@pytest.mark.parametrize("scene", [_Recover, _RecoverAndUndo, _RecoverInVain, _Refused])
def test_who_dies_recovering_leaves_the_rows_to_the_next(scene: type[Scene]) -> None:
    assert len(crash_at_every_line(scene())) > 10


class _Bury(AfterADeath):
    """The burier dies too; two survivors come at the same time, and no update of theirs is lost."""

    stride = 3
    first_undo = True
    is_buried = False
    before = after = 0
    undo = True

    def operate(self) -> None:
        self.namespace.bury_all()

    def check(self, died: bool) -> None:
        with fork(lambda say: say(self.survive())) as third:
            self.dead.append(third.pid)  # for whom it may be no death, but no error either
            self.survive()
            assert third.hear() is not None
        self.entered += 1
        self.check_count(died)
        self.check_cleared(died)


class _WaitAndBury(_Bury):
    """It buries because it waits for the row."""

    stride = 5

    def operate(self) -> None:
        with pytest.raises(pydsm.OwnerDiedError):
            self.A.locked(self.rows, timeout=SECONDS).__enter__()


class _BuryWithoutUndo(_Bury):
    stride = 5
    first_undo = undo = False
    before = after = 1


@pytest.mark.parametrize("scene", [_Bury, _WaitAndBury, _BuryWithoutUndo])
def test_the_next_burier_finishes_what_a_dead_one_began(scene: type[Scene]) -> None:
    assert len(crash_at_every_line(scene())) > 20


class _PoorBurier(_Bury):
    """The burier does not die: once the system refuses it a descriptor or memory, and it goes away."""

    stride = 1

    def attempt(self, count: int) -> Point | None:
        with fork(lambda say: self.be_poor(count, say)) as burier:
            self.meanwhile(burier)
            return burier.hear()  # type: ignore[no-any-return]

    def be_poor(self, count: int, say: Callable[[Any], None]) -> None:
        wishes = itertools.count(1)

        def refuse(call: Callable[..., Any], number: int) -> Callable[..., Any]:
            def refused(*args: Any, **options: Any) -> Any:
                if next(wishes) == count:
                    say(Point(call.__name__, count))
                    raise OSError(number, os.strerror(number))
                return call(*args, **options)

            return refused

        os.open = refuse(os.open, errno.EMFILE)
        segment.SharedArray.attach = refuse(segment.SharedArray.attach, errno.ENOMEM)
        with contextlib.suppress(OSError, MemoryError):
            self.operate()


def test_a_burier_that_is_refused_something_leaves_it_all_to_the_next() -> None:
    assert len(crash_at_every_line(_PoorBurier())) > 5
