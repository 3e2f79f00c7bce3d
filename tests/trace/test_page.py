"""The page, in a real browser: what is drawn, and what mouse and keys do."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import pydsm
from pydsm.trace import Event, Part, Timeline
from pydsm.trace.page import page_of
from tests.trace.browser import Browser, find_browser
from tests.trace.programs import ROWS, die_inside, everything, give_way, lock_row_0, team

PROGRAM = find_browser()
pytestmark = pytest.mark.skipif(PROGRAM is None, reason="there is no Chromium here to show the page in")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    assert PROGRAM is not None
    made = Browser(PROGRAM)
    yield made
    made.close()


@pytest.fixture(scope="module")
def timeline() -> Timeline:
    with team(3) as crew:
        crew.run(everything, 6)
        crew.run(everything, 2)
        found: Timeline = crew.timeline
    return found


@pytest.fixture(scope="module")
def page(timeline: Timeline, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = tmp_path_factory.mktemp("page") / "timeline.html"
    timeline.title = "a <b>program</b>"
    timeline.save(path)
    return path


def with_replicas(timeline: Timeline) -> Timeline:
    """Return a timeline with what a memory of replicas would have told."""
    made = Timeline.joined([timeline])
    (run,) = {event.run for event in made.events if event.kind == "run" and event.rank == 0 and event.run == 0}
    start = next(event.begin for event in made.events if event.kind == "run" and event.rank == 0)
    told = [
        ("push", 0, {"rows": [[1, 3]], "elements": 2, "interval": 1, "clock": [1, 0, 0], "values": [0, 7, 8, 0]}),
        (
            "pull",
            1,
            {"rows": [[1, 2]], "elements": 1, "interval": 1, "clock": [1, 0, 0], "rank": 0, "values": [0, 7, 0, 0]},
        ),
        ("push", 2, {"rows": [[3, 4]], "elements": 1, "interval": 1, "clock": [0, 0, 1], "values": None}),
    ]
    notes = [
        Event(kind, run, rank, 0, at, at, at, (Part("A", ()),), details={"array": "A", **details})
        for at, (kind, rank, details) in enumerate(told, start + 1000)
    ]
    race = Event(
        "race", run, 1, 0, start + 5000, start + 5000, start + 5000, details={"first": "a.py:3", "second": "a.py:9"}
    )
    made._take([], [*notes, race])
    return made


# -- what is drawn ------------------------------------------------------------------


@pytest.mark.parametrize("dark", [False, True])
def test_the_page_shows_everything_without_complaints(
    browser: Browser, page: Path, timeline: Timeline, dark: bool
) -> None:
    browser.open(page, dark=dark, height=2400)
    state = browser.evaluate(
        "JSON.parse(JSON.stringify({...timeline.drawn, events: timeline.events, cells: timeline.heat.cells}))"
    )
    assert state["events"] == len(timeline.events)
    assert state["slices"] > 5
    assert state["arrows"] > 5
    assert state["cells"] > 5
    assert browser.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    for canvas in ("canvas", "overview", "heat"):
        assert colours(browser, canvas) > 4, canvas
    assert browser.complaints == []


def colours(browser: Browser, canvas: str) -> int:
    """Return how many colours there are in a canvas."""
    found: int = browser.evaluate(f"""(() => {{
        const canvas = document.getElementById('{canvas}');
        const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data, seen = new Set();
        for (let k = 0; k < data.length; k += 4) seen.add(data[k] << 16 | data[k + 1] << 8 | data[k + 2]);
        return seen.size;
    }})()""")
    return found


def test_every_kind_of_event_is_painted_in_its_colour(browser: Browser, page: Path) -> None:
    browser.open(page)
    for kind, style in (("lock", "--hold"), ("atomic", "--atomic"), ("run", "--run")):
        found = browser.evaluate(f"""(() => {{
            for (let i = 0; i < timeline.events; i++) {{
                if (timeline.kind(i) !== '{kind}') continue;
                timeline.zoomTo(i);
                timeline.drawAll();
                const wanted = getComputedStyle(document.documentElement).getPropertyValue('{style}').trim();
                const pen = document.getElementById('canvas').getContext('2d'), box = timeline.boxOf(i);
                const canvas = document.getElementById('canvas').getBoundingClientRect();
                const [x, y] = [box[0] - canvas.left + 2, box[1] - canvas.top + 3];
                const data = pen.getImageData(x, y, box[2] - 4, box[3] - 5).data;
                for (let k = 0; k < data.length; k += 4) {{
                    const hex = '#' + [0, 1, 2].map((c) => data[k + c].toString(16).padStart(2, '0')).join('');
                    if (hex === wanted) return true;
                }}
            }}
            return false;
        }})()""")
        assert found, kind
    assert browser.complaints == []


def test_the_text_says_what_the_summary_says(browser: Browser, page: Path, timeline: Timeline) -> None:
    browser.open(page)
    summary = timeline.summary()
    assert browser.evaluate("document.querySelector('h1').textContent") == "a <b>program</b>"
    assert browser.evaluate("document.querySelectorAll('#waits tbody tr').length") == len(summary.waits)
    rows = browser.evaluate("[...document.querySelectorAll('#rows tbody tr code')].map((cell) => cell.textContent)")
    assert rows == [str(row) for row in summary.rows][:8]
    bars = "[...document.querySelectorAll('#shares rect[data-share]')]"
    widths = browser.evaluate(f"{bars}.map((bar) => [bar.dataset.share, bar.getBoundingClientRect().width])")
    longest = max(worker.shares.total for worker in summary.workers)
    scale = sum(width for _, width in widths) / sum(worker.shares.total for worker in summary.workers)
    expected = [share * scale for worker in summary.workers for share in worker.shares if share]
    assert [width for _, width in widths] == pytest.approx(expected, abs=0.02 * longest * scale)


def test_the_heat_map_adds_up_to_the_waits(browser: Browser, page: Path, timeline: Timeline) -> None:
    browser.open(page)
    for what, expected in (("waited", "waited"), ("held", "held")):
        browser.evaluate(
            f"choose_ = document.getElementById('heat-what'), choose_.value = '{what}', choose_.onchange(), 1"
        )
        for across in ("time", "worker"):
            total = browser.evaluate(
                f"across_ = document.getElementById('heat-across'), across_.value = '{across}', across_.onchange(),"
                "timeline.heat.values.reduce((all, line) => all + line.reduce((a, b) => a + b, 0), 0)"
            )
            name = browser.evaluate("document.getElementById('heat-array').selectedOptions[0].textContent")
            rows = sum(
                getattr(event, expected) * sum(stop - start for start, stop in part.rows or ((0, 1),))
                for event in timeline.events
                if event.kind == "lock"
                for part in event.parts
                if part.array == name
            )
            assert total == pytest.approx(rows, rel=1e-6)


# -- what mouse and keys do -----------------------------------------------------------


def span(browser: Browser) -> tuple[float, float]:
    shown = browser.evaluate("[timeline.view.begin, timeline.view.end]")
    return shown[0], shown[1]


def middle(browser: Browser) -> tuple[float, float]:
    box = browser.evaluate(
        "(({left, top, width, height}) => [left, top, width, height])"
        "(document.getElementById('canvas').getBoundingClientRect())"
    )
    return box[0] + box[2] / 2, box[1] + box[3] / 2


def test_the_wheel_zooms_around_the_pointer_and_shift_moves(browser: Browser, page: Path) -> None:
    browser.open(page)
    x, y = middle(browser)
    before = span(browser)
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-200)
    begin, end = span(browser)
    assert end - begin < before[1] - before[0]
    assert before[0] < begin < end < before[1]
    browser.mouse("mouseWheel", x, y, deltaX=200, deltaY=0)
    assert span(browser)[0] > begin
    for _ in range(12):
        browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=400)
    assert span(browser) == pytest.approx(before)


def test_dragging_moves_and_with_shift_zooms(browser: Browser, page: Path) -> None:
    browser.open(page)
    x, y = middle(browser)
    browser.evaluate("timeline.show(timeline.full.end * 0.4, timeline.full.end * 0.6), 1")
    before = span(browser)
    browser.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1)
    browser.mouse("mouseMoved", x - 100, y, button="left", buttons=1)
    browser.mouse("mouseReleased", x - 100, y, button="left", clickCount=1)
    moved = span(browser)
    assert moved[0] > before[0]
    assert moved[1] - moved[0] == pytest.approx(before[1] - before[0])
    browser.mouse("mousePressed", x, y, button="left", buttons=1, clickCount=1, modifiers=8)
    browser.mouse("mouseMoved", x + 120, y, button="left", buttons=1, modifiers=8)
    browser.mouse("mouseReleased", x + 120, y, button="left", clickCount=1, modifiers=8)
    zoomed = span(browser)
    assert moved[0] < zoomed[0] < zoomed[1] < moved[1]


def a_lock(browser: Browser, part: str = "true") -> tuple[int, float, float]:
    """Zoom to a region and return its number and where it is."""
    found = browser.evaluate(f"""(() => {{
        for (let i = 0; i < timeline.events; i++)
            if (timeline.kind(i) === 'lock' && ({part})) {{
                timeline.zoomTo(i);
                timeline.drawAll();
                const [x, y, width, height] = timeline.boxOf(i);
                return [i, x + width * 0.9, y + height / 2];
            }}
    }})()""")
    return found[0], found[1], found[2]


def test_hovering_tells_about_an_event_and_clicking_chooses_it(
    browser: Browser, page: Path, timeline: Timeline
) -> None:
    browser.open(page)
    number, x, y = a_lock(browser)
    browser.mouse("mouseMoved", x, y)
    assert browser.evaluate("timeline.hover.event") == number
    told = browser.evaluate("document.getElementById('tip').textContent")
    assert str(timeline.events[number].parts[0]) in told
    assert not browser.evaluate("document.getElementById('tip').hidden")
    browser.click(x, y)
    assert browser.evaluate("timeline.chosen.event") == number
    details = browser.evaluate("document.getElementById('details').textContent")
    assert timeline.events[number].where in details
    browser.key("Escape")
    assert browser.evaluate("timeline.chosen.event") == -1
    assert browser.evaluate("document.getElementById('details').hidden")
    assert browser.complaints == []


def test_a_double_click_zooms_to_an_event(browser: Browser, page: Path, timeline: Timeline) -> None:
    browser.open(page)
    number = a_lock(browser)[0]
    event = timeline.events[number]
    browser.evaluate("timeline.show(timeline.view.begin - 1e5, timeline.view.end + 1e5), timeline.drawAll(), 1")
    box = browser.evaluate(f"timeline.boxOf({number})")
    browser.click(box[0] + box[2] / 2, box[1] + box[3] / 2, count=2)
    begin, end = span(browser)
    chosen = timeline.events[browser.evaluate("timeline.chosen.event")]
    assert begin < chosen.begin <= chosen.end < end
    assert end - begin < 2.3 * max(50, chosen.end - chosen.begin)
    assert chosen.rank == event.rank


def test_keys_zoom_move_and_go_from_event_to_event(browser: Browser, page: Path, timeline: Timeline) -> None:
    browser.open(page)
    browser.evaluate("document.getElementById('canvas').focus(), 1")
    whole = span(browser)
    browser.key("+")
    zoomed = span(browser)
    assert zoomed[1] - zoomed[0] == pytest.approx(0.6 * (whole[1] - whole[0]), rel=0.01)
    browser.key("ArrowRight")
    assert span(browser)[0] > zoomed[0]
    browser.key("0")
    assert span(browser) == pytest.approx(whole)
    seen = []
    for _ in range(4):
        browser.key("n")
        seen.append(browser.evaluate("timeline.chosen.event"))
    mine = [number for number, event in enumerate(timeline.events) if event.rank == timeline.events[seen[0]].rank]
    assert seen == mine[mine.index(seen[0]) :][:4]
    browser.key("p")
    assert browser.evaluate("timeline.chosen.event") == seen[2]
    browser.key("ArrowDown")
    assert timeline.events[browser.evaluate("timeline.chosen.event")].rank == timeline.events[seen[0]].rank + 1


def test_a_wait_is_explained_by_who_had_the_rows(browser: Browser, timeline: Timeline, tmp_path: Path) -> None:
    with team(2) as crew:
        crew.run(give_way)
        told = crew.timeline
    told.save(tmp_path / "wait.html")
    browser.open(tmp_path / "wait.html")
    (wait,) = (number for number, event in enumerate(told.events) if (event.kind, event.rank) == ("lock", 1))
    assert browser.evaluate(f"reasonOf({wait})") == "worker 0 had A[4]"
    browser.evaluate(f"timeline.choose({wait}), 1")
    assert "worker 0: gave back A[2:5]" in browser.evaluate("document.getElementById('details').textContent")


def test_g_goes_to_what_had_to_happen_first(browser: Browser, page: Path, timeline: Timeline) -> None:
    browser.open(page)
    arrow = next(arrow for arrow in reversed(timeline.arrows) if arrow.kind == "barrier")
    browser.evaluate(f"document.getElementById('canvas').focus(), timeline.choose({arrow.target}), 1")
    browser.key("g")
    assert browser.evaluate("timeline.chosen.event") == arrow.source
    browser.key("h")
    assert browser.evaluate("timeline.chosen.event") in {
        each.target for each in timeline.arrows if each.source == arrow.source
    }


def test_tables_lead_to_the_timeline(browser: Browser, page: Path, timeline: Timeline) -> None:
    browser.open(page)
    browser.evaluate("document.querySelector('#waits button').click(), 1")
    browser.settle()
    longest = timeline.summary().waits[0]
    assert browser.evaluate("timeline.chosen.event") == longest
    begin, end = span(browser)
    assert begin < timeline.events[longest].begin < timeline.events[longest].end < end


def test_theme_and_size_can_be_changed(browser: Browser, page: Path) -> None:
    browser.open(page)
    height = browser.evaluate("document.getElementById('canvas').clientHeight")
    browser.evaluate("document.getElementById('larger').click(), 1")
    assert browser.evaluate("document.getElementById('canvas').clientHeight") > height
    browser.evaluate("document.getElementById('theme').click(), 1")
    assert browser.evaluate("document.documentElement.dataset.theme") == "dark"
    assert colours(browser, "canvas") > 4
    assert browser.complaints == []


def test_no_width_makes_the_page_scroll_sideways(browser: Browser, page: Path) -> None:
    for width in (420, 800, 1920):
        browser.open(page, width=width)
        assert browser.evaluate("document.documentElement.scrollWidth") <= width
        assert browser.evaluate("timeline.drawn.slices") > 5


# -- memories, races, deaths, many events -------------------------------------------------


def test_replicas_are_shown_step_by_step(browser: Browser, timeline: Timeline, tmp_path: Path) -> None:
    path = tmp_path / "replicas.html"
    with_replicas(timeline).save(path)
    browser.open(path)
    assert browser.evaluate("timeline.memory.steps") == 3
    assert "worker 0 pushes 2 elements of A (rows 1:3)" in browser.evaluate(
        "document.getElementById('memory-text').textContent"
    )
    browser.evaluate("document.getElementById('memory-on').click(), 1")
    said = browser.evaluate("document.getElementById('memory-text').textContent")
    assert "worker 1 pulls 1 element of A (rows 1) that worker 0 pushed" in said
    assert browser.evaluate("timeline.memory.differs") == 2  # element 2, in both replicas
    assert browser.evaluate("[...document.querySelectorAll('.cells .pull')].map((cell) => cell.textContent)") == ["7"]
    assert not browser.evaluate("document.getElementById('s-races').hidden")
    assert "a.py:9" in browser.evaluate("document.getElementById('races').textContent")
    assert browser.evaluate("timeline.drawn.marks") >= 1
    assert browser.complaints == []


def test_who_was_killed_is_said(browser: Browser, tmp_path: Path) -> None:
    with team(2, on_death="continue") as crew:
        crew.run(die_inside, 0)
        crew.timeline.save(tmp_path / "death.html")
    browser.open(tmp_path / "death.html")
    assert "Worker 0 did not live to the end" in browser.evaluate("document.getElementById('banner').textContent")
    assert browser.complaints == []


def test_a_hundred_thousand_events_are_drawn_and_zoomed_into(browser: Browser, large: Timeline, tmp_path: Path) -> None:
    large.save(tmp_path / "large.html")
    browser.open(tmp_path / "large.html")
    assert browser.evaluate("timeline.events") == 100_003
    assert browser.evaluate("timeline.drawn.columns") > 100
    number, x, y = a_lock(browser, "i > 50000")
    assert browser.evaluate("timeline.drawn.slices") < 1000
    browser.mouse("mouseMoved", x, y)
    assert browser.evaluate("timeline.hover.event") == number
    assert browser.complaints == []


def test_teams_without_runs_locks_or_events_make_a_page(browser: Browser, tmp_path: Path) -> None:
    Timeline().save(tmp_path / "empty.html")
    with pydsm.Team(1, trace=tmp_path / "idle.html") as crew:
        crew.run(lambda worker: None)
    for name in ("empty.html", "idle.html"):
        browser.open(tmp_path / name)
        assert browser.complaints == []


def test_names_cannot_break_the_page(browser: Browser, tmp_path: Path) -> None:
    name = "<!--<script>alert(1)<b>&amp;@DATA@"
    with pydsm.Team(1, trace=True) as crew:
        crew.array(name, ROWS)
        crew.run(lock_row_0, name)
        crew.timeline.title = "</title><script>alert(2)</script>/*@STYLE@*/"
        crew.timeline.save(tmp_path / "odd.html")
    browser.open(tmp_path / "odd.html")
    assert f"{name}[0]" in browser.evaluate("document.getElementById('rows').textContent")
    assert browser.evaluate("document.querySelector('h1').textContent").startswith("</title><script>alert(2)")
    assert browser.complaints == []


def test_in_a_notebook_the_page_is_in_a_frame(timeline: Timeline) -> None:
    shown: Any = timeline._repr_html_()
    assert shown.startswith('<iframe srcdoc="')
    assert "<script" not in shown


def test_the_page_names_no_other_address(timeline: Timeline) -> None:
    assert set(re.findall(r"(?:https?:)?//[a-z][^\s\"'<>]*", page_of(timeline))) <= set()
