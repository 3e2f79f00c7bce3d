"""Every code block of the README and of docs/ runs, and prints what the page says it prints."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN_HERE = re.compile(r"(PYDSM_LONG=1 )?make |nox|pip install|\.venv/bin/|python -m benchmarks")
"""Commands that set up a machine or take long: CI runs them itself."""


def blocks() -> list[object]:
    found = []
    for page in PAGES:
        listed = BLOCK.findall(page.read_text())
        for position, (language, code) in enumerate(listed):
            following = listed[position + 1] if position + 1 < len(listed) else ("", "")
            expected = following[1] if following[0] == "text" else None
            name = f"{page.name}-{position}"
            if language == "python":
                found.append(pytest.param([sys.executable, "-c", code], expected, id=name))
            elif language == "sh":
                for command in code.splitlines():
                    if not NOT_RUN_HERE.match(command):
                        found.append(pytest.param(["sh", "-c", command], None, id=f"{name}-{command}"))
    return found


@pytest.mark.parametrize(("command", "expected"), blocks())
def test_the_block_runs_and_prints_what_the_page_says(command: list[str], expected: str | None) -> None:
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, cwd=ROOT, env={"PATH": path, "PYDSM_NAMESPACE": "docs"}
    )
    assert (done.returncode, done.stderr) == (0, "")
    if expected is not None:
        assert done.stdout == expected


def test_blocks_are_of_known_languages() -> None:
    for page in PAGES:
        assert {language for language, _ in BLOCK.findall(page.read_text())} <= {"python", "text", "sh"}, page


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
            if "://" not in target:
                assert (page.parent / target).exists(), f"{page.name} links to {target}"
