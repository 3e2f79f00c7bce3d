"""Times as people read them."""

from __future__ import annotations

from typing import Final

__all__ = ["time_text"]

_UNITS: Final = (("s", 1_000_000_000), ("ms", 1_000_000), ("µs", 1_000))


def time_text(nanoseconds: float) -> str:
    """Return a time to three digits.

    Examples
    --------
    >>> time_text(1_234_567), time_text(999.9), time_text(0)
    ('1.23 ms', '1 µs', '0')
    """
    rounded = float(f"{nanoseconds:.3g}")
    for unit, size in _UNITS:
        if rounded >= size:
            amount = rounded / size
            return f"{amount:.0f} {unit}" if amount >= 100 else f"{amount:.3g} {unit}"
    return f"{rounded:.3g} ns" if rounded else "0"
