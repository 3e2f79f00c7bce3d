"""Numbers as text, in the unit that suits them."""

from __future__ import annotations

from benchmarks.measure import Cost, Spread

__all__ = ["UNITS", "show", "show_spread", "three_digits"]

UNITS: dict[Cost, tuple[tuple[float, str], ...]] = {
    "time": ((1, " s"), (1e3, " ms"), (1e6, " us"), (1e9, " ns")),
    "rate": ((1e-6, " M/s"), (1e-3, " k/s"), (1, " /s")),
    "bytes": ((2**-30, " GiB"), (2**-20, " MiB"), (2**-10, " KiB"), (1, " B")),
    "bandwidth": ((1e-9, " GB/s"), (1e-6, " MB/s")),
    "ratio": ((1, " x"),),
    "share": ((100, " %"),),
    "count": ((1, ""),),  # exact, and shown so
}
"""For each kind of number the factors and units, largest unit first."""


def show(value: float, cost: Cost) -> str:
    """Return one number with its unit."""
    if cost == "count":
        return f"{value:,.0f}"
    factor, unit = _unit(value, cost)
    if (cost, factor) == ("bytes", 1):
        return f"{value:.0f}{unit}"
    return f"{three_digits(factor * value)}{unit}"


def show_spread(values: Spread, cost: Cost) -> str:
    """Return the median and the quartiles in the unit that suits the median."""
    if cost == "count" or values.low == values.high == values.median:
        return show(values.median, cost)
    factor, unit = _unit(values.median, cost)
    low, median, high = (three_digits(factor * value) for value in (values.low, values.median, values.high))
    return f"{median}{unit} ({low} - {high})"


def three_digits(value: float) -> str:
    """Return a number with the digits that a measurement has."""
    return f"{value:.0f}" if abs(value) >= 100 or value == 0 else f"{value:#.3g}".rstrip(".")


def _unit(value: float, cost: Cost) -> tuple[float, str]:
    units = UNITS[cost]
    return next((each for each in units if abs(value) * each[0] >= 1), units[-1])
