"""The lessons of docs/lessons as what they are made of: sections, and blocks with what they print."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "docs" / "lessons").glob("[0-9][0-9]-*.md"))
SECTIONS = ["Program", "Predict", "Run", "Explanation", "Exercise", "Solution"]
_HEADING = re.compile(r"^## (.+)$", re.MULTILINE)
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TOGETHER = """
import contextlib, io, json, sys

printed = []
for code in json.load(sys.stdin):
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(code, "lesson", "exec"), globals())
    printed.append(said.getvalue())
print(json.dumps(printed))
"""


@dataclass(frozen=True)
class Block:
    """A program of a lesson; `prints` is None where the page does not say it."""

    section: str
    code: str
    prints: str | None


def headings(page: Path) -> list[str]:
    return _HEADING.findall(page.read_text())


def sections(page: Path) -> dict[str, str]:
    parts = _HEADING.split(page.read_text())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def blocks(page: Path) -> list[Block]:
    """Return the Python blocks of a page; a text block after one is what it prints, if in a later section."""
    text = page.read_text()
    places = [(found.start(), found.group(1)) for found in _HEADING.finditer(text)]
    listed = list(_BLOCK.finditer(text))
    made = []
    for number, found in enumerate(listed):
        if found.group(1) != "python":
            continue
        following = listed[number + 1] if number + 1 < len(listed) else None
        prints = following.group(2) if following is not None and following.group(1) == "text" else None
        section = [name for start, name in places if start < found.start()][-1:]
        made.append(Block(section[0] if section else "", found.group(2), prints))
    return made


def run_again(code: str, times: int) -> set[str]:
    """Run a program several times in one new process; return all that it printed, without repetitions."""
    return {printed for _, printed in run_together([code] * times)}


def run_together(programs: list[str]) -> list[tuple[str, str]]:
    """Run programs one after the other in one namespace of a new process; return each with what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", _TOGETHER],
        input=json.dumps(programs),
        capture_output=True,
        text=True,
        timeout=500,
        cwd=ROOT,
        env={"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "PYDSM_NAMESPACE": "lessons"},
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return list(zip(programs, json.loads(done.stdout), strict=True))
