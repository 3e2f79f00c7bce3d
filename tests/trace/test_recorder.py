from __future__ import annotations

import errno
import os
import pickle
import signal
import threading
from collections.abc import Iterator
from time import perf_counter_ns as now

import pytest

from pydsm.trace import files
from pydsm.trace.events import Event
from pydsm.trace.files import Pad, Sheets
from pydsm.trace.merge import Sheet
from pydsm.trace.recorder import Recorder
from pydsm.trace.records import WORDS
from tests.trace.programs import holds, kinds


@pytest.fixture
def sheets() -> Iterator[Sheets]:
    made = Sheets(100)
    yield made
    made.close()


def events_of(sheets: Sheets, died: int | None = None) -> list[Event]:
    return list(Sheet(0, 3, *sheets.read(), died, now()).events(0))


def test_each_step_of_a_hold_is_a_moment_of_its_event(sheets: Sheets) -> None:
    recorder, asked = Recorder(sheets.place()), holds("L", "M")
    recorder.begin()
    moments = [now()]
    for step in (recorder.acquiring, recorder.acquired, lambda of: recorder.releasing(of, failed=False)):
        step(asked)
        moments.append(now())
    recorder.released(asked)
    recorder.end(failed=False)
    (run, lock) = sorted(events_of(sheets), reverse=True)
    assert (run.kind, lock.kind, lock.outcome) == ("run", "lock", "")
    assert [part.array for part in lock.parts] == ["L", "M"]
    assert moments[0] <= lock.begin <= moments[1] <= lock.had <= moments[2] <= lock.end <= moments[3]
    assert run.begin <= lock.begin
    assert lock.end <= run.end
    assert lock.rank == run.rank == 3
    assert lock.where.startswith(f"{os.path.relpath(__file__)}:")


def test_what_is_in_progress_when_the_worker_is_killed_is_unfinished(sheets: Sheets) -> None:
    place = sheets.place()
    child = os.fork()
    if child == 0:
        recorder = Recorder(place)
        recorder.begin()
        recorder.acquiring(first := holds("L"))
        recorder.acquired(first)
        recorder.acquiring(holds("M", "N"))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    died = now()
    found = {str(event.parts[0].array) if event.parts else event.kind: event for event in events_of(sheets, died)}
    assert set(found) == {"run", "L", "M", "death"}
    assert all(event.outcome == "unfinished" and event.end == died for event in found.values() if event.kind != "death")
    assert found["L"].had < died == found["M"].had  # one held, the other waited for to the end
    assert found["death"].begin == died


def test_nested_holds_of_the_same_object_end_in_their_order(sheets: Sheets) -> None:
    recorder, asked = Recorder(sheets.place()), holds("L")
    for step in (recorder.acquiring, recorder.acquired) * 2:
        step(asked)
    for _ in range(2):
        recorder.releasing(asked, failed=True)
        recorder.released(asked)
    outer, inner = sorted(events_of(sheets), key=lambda event: event.begin)
    assert outer.begin < outer.had < inner.begin < inner.had < inner.end < outer.end
    assert outer.outcome == inner.outcome == "failed"
    recorder.end(failed=False)


def test_threads_that_want_one_lock_are_told_apart(sheets: Sheets) -> None:
    recorder, asks, may_go = Recorder(sheets.place()), threading.Event(), threading.Event()

    def second() -> None:
        recorder.acquiring(holds("L"))
        asks.set()
        may_go.wait()
        recorder.acquired(holds("L"))
        recorder.releasing(holds("L"), failed=False)
        recorder.released(holds("L"))

    recorder.acquiring(holds("L"))
    recorder.acquired(holds("L"))
    thread = threading.Thread(target=second)
    thread.start()
    asks.wait()
    recorder.releasing(holds("L"), failed=False)
    recorder.released(holds("L"))
    may_go.set()
    thread.join()
    first, other = sorted(events_of(sheets), key=lambda event: event.begin)
    assert (first.thread, other.thread) == (0, 1)
    assert first.begin < first.had < other.begin < first.end < other.had < other.end
    recorder.end(failed=False)


def test_at_the_limit_recording_stops_and_what_is_missing_is_counted() -> None:
    sheets = Sheets(10)
    recorder, asked = Recorder(sheets.place()), holds("L")
    recorder.begin()
    for _ in range(30):
        recorder.acquiring(asked)
        recorder.acquired(asked)
        recorder.releasing(asked, failed=False)
        recorder.released(asked)
    recorder.note("race", {"a": 1})
    recorder.end(failed=False)
    sheet = Sheet(0, 0, *sheets.read(), None, now())
    assert kinds(sheet.events(0)) == {"run": 1, "lock": 9}
    assert sheet.lost == 22
    sheets.close()


def test_a_full_disk_ends_recording_and_nothing_else(sheets: Sheets, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no space")

    recorder, asked = Recorder(sheets.place()), holds("L")
    monkeypatch.setattr(files.os, "posix_fallocate", full)
    recorder.begin()
    recorder.acquiring(asked)
    recorder.acquired(asked)
    recorder.releasing(asked, failed=False)
    recorder.released(asked)
    recorder.arriving()
    recorder.met()
    recorder.departed()
    recorder.end(failed=False)
    assert events_of(sheets) == []
    assert Sheet(0, 0, *sheets.read(), None, now()).lost == 3


def test_a_half_written_remark_is_left_out(sheets: Sheets) -> None:
    pad = Pad(sheets.place())
    pad.remark({"lost": 7})
    os.write(pad._remarks, b'{"note": "ra')
    records, remarks = sheets.read()
    assert (records, remarks) == ([], [{"lost": 7}])
    pad.close()


def test_notes_keep_what_they_were_told(sheets: Sheets) -> None:
    recorder = Recorder(sheets.place())
    recorder.note("push", {"array": "A", "rows": [[0, 2], [5, 6]], "elements": 3, "replica": None})
    recorder.end(failed=False)
    (event,) = events_of(sheets)
    assert (event.kind, str(event.parts[0]), event.details["elements"]) == ("push", "A[0:2, 5]", 3)


def test_a_place_pickles_and_the_files_have_no_name(sheets: Sheets) -> None:
    place = pickle.loads(pickle.dumps(sheets.place()))
    assert place == sheets.place()
    assert " (deleted)" in os.readlink(place.records) or "#" in os.readlink(place.records)


def test_after_the_end_nothing_is_written(sheets: Sheets) -> None:
    recorder, asked = Recorder(sheets.place()), holds("L")
    recorder.acquiring(asked)
    recorder.end(failed=False)
    recorder.acquired(asked)
    recorder.releasing(asked, failed=True)
    recorder.released(asked)
    recorder.acquiring(asked)
    recorder.arriving()
    recorder.met()
    assert len(sheets.read()[0]) == 1
    assert WORDS == 8
