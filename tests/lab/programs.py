"""Random small litmus tests."""

from __future__ import annotations

from hypothesis import strategies as st

from pydsm import lab

__all__ = ["any_programs", "plain_programs", "rendered"]


def rendered(columns: list[list[str]], condition: str = "exists (x=0 /\\ y=0)") -> lab.Test:
    """Return columns of instructions as a test; it asks for x and y, so that outcomes tell them."""
    rows = [" | ".join(f"P{worker}" for worker in range(len(columns))) + " ;"]
    for place in range(max(map(len, columns))):
        rows.append(" | ".join(column[place] if place < len(column) else "" for column in columns) + " ;")
    table = "\n".join(rows)
    return lab.parse(f'DSM random\n"made by chance"\n{{ x=0; y=0; }}\n{table}\n{condition}\n')


@st.composite
def plain_programs(draw: st.DrawFn, workers: int = 2, steps: int = 3, *, fences: bool = True) -> lab.Test:
    """Draw programs of reads, writes (each of its own value, or of a register) and fences."""
    kinds = ["read", "write", "pass on", *(["fence"] if fences else [])]
    columns: list[list[str]] = []
    value = 0
    for _ in range(workers):
        column: list[str] = []
        registers = 0
        for kind in draw(st.lists(st.sampled_from(kinds), min_size=1, max_size=steps)):
            location = draw(st.sampled_from("xy"))
            if kind == "read":
                column.append(f"r{registers} = {location}")
                registers += 1
            elif kind == "fence":
                column.append("fence")
            elif kind == "pass on" and registers:
                value += 10
                column.append(f"{location} = r{draw(st.integers(0, registers - 1))} + {value}")
            else:
                value += 1
                column.append(f"{location} = {value}")
        columns.append(column)
    return rendered(columns)


@st.composite
def any_programs(draw: st.DrawFn) -> lab.Test:
    """Draw two workers' programs of anything: accesses, fences, locks, atomic operations, a barrier."""
    columns: list[list[str]] = [[], []]
    for _ in range(1 + draw(st.booleans())):
        for worker, column in enumerate(columns):
            for _ in range(draw(st.integers(0, 2))):
                x, number = draw(st.sampled_from("xy")), len(column)
                steps = {
                    "write": [f"{x} = {worker + 1}{number}"],
                    "read": [f"r{number} = {x}"],
                    "fence": ["fence"],
                    "add": [f"fetch_add {x} 100"],
                    "swap": [f"r{number} = swap {x} {worker + 3}{number}"],
                    "store": [f"store_release {x} {worker + 5}{number}"],
                    "load": [f"r{number} = load_acquire {x}"],
                    "locked write": [f"lock {x}", f"{x} = {worker + 7}{number}", f"unlock {x}"],
                    "locked read": [f"lock {x}", f"r{number} = {x}", f"unlock {x}"],
                }
                column += steps[draw(st.sampled_from(sorted(steps)))]
        for column in columns:
            column.append("barrier")
    return rendered([column[:-1] for column in columns] if all(len(column) > 1 for column in columns) else columns)
