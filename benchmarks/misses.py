"""Why known misses are missed: texts that the page shows only while the row does miss."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.section import Section

__all__ = ["Explanation", "known", "needed", "unexplained"]

_FILE = Path(__file__).with_name("misses.toml")


@dataclass(frozen=True, slots=True)
class Explanation:
    """A text for all rows whose name begins so, beside peers whose name begins so."""

    what: str
    beside: str
    why: str

    def fits(self, what: str, beside: str) -> bool:
        """Say whether the text is about this row."""
        return what.startswith(self.what) and beside.startswith(self.beside)


def known() -> list[Explanation]:
    """Return the texts of misses.toml."""
    entries = tomllib.loads(_FILE.read_text(encoding="utf-8"))["miss"]
    return [Explanation(each["what"], each.get("beside", ""), each["why"].strip()) for each in entries]


def needed(sections: Sequence[Section], texts: Sequence[Explanation]) -> Iterator[tuple[str, str]]:
    """Yield the rows missed, as one phrase, and the text, for each text that is needed; the first that fits counts."""
    rows: dict[Explanation, list[str]] = {}
    for row in (row for section in sections for row in section.missed()):
        for text in texts:
            if text.fits(row.what, row.beside):
                rows.setdefault(text, []).append(row.what)
                break
    for text in texts:
        if text in rows:
            yield "; ".join(f"`{what}`" for what in dict.fromkeys(rows[text])), text.why


def unexplained(sections: Sequence[Section], texts: Sequence[Explanation]) -> list[str]:
    """Return the rows that are missed and that no text is about."""
    return [
        f"`{row.what}` beside {row.beside}"
        for section in sections
        for row in section.missed()
        if not any(text.fits(row.what, row.beside) for text in texts)
    ]
