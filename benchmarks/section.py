"""What one group has measured."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from benchmarks.attempts import Note, Record, Row
from benchmarks.figure import Figure
from benchmarks.measure import Comparison, Table

__all__ = ["Section"]


@dataclass(slots=True)
class Section:
    """The rows of one module, and how many cpus others kept busy meanwhile."""

    title: str
    comparisons: list[Comparison] = field(default_factory=list)
    tables: list[Table] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    others: float = 0.0
    took: float = 0.0

    def add(self, row: Row) -> None:
        """Put a row where its kind belongs."""
        if isinstance(row, Comparison):
            self.comparisons.append(row)
        elif isinstance(row, Table):
            self.tables.append(row)
        elif isinstance(row, Figure):
            self.figures.append(row)
        elif isinstance(row, Record):
            self.records.append(row)
        else:
            self.notes.append(row)

    def missed(self) -> Iterator[Comparison]:
        """Yield the comparisons that do not reach their targets."""
        return (row for row in self.comparisons if row.reached is False)

    @property
    def failed(self) -> bool:
        """Whether something broke; a missed target is not that."""
        return any(note.is_failure for note in self.notes)
