"""What somebody may have meant by a name that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["meant"]


def meant(name: str, known: Iterable[str]) -> str:
    """Return ``" (did you mean ...?)"``, or nothing if no known name is like it.

    Examples
    --------
    >>> meant("TSO", ["sc", "tso"]), meant("power", ["sc", "tso"])
    (" (did you mean 'tso'?)", '')
    """
    folded = {other.casefold(): other for other in known}
    close = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f" (did you mean {folded[close[0]]!r}?)" if close else ""
