"""The timeline as one page for a browser: everything is in it, and it fetches nothing.

The page's text, style and scripts are the files of the folder ``page``; scripts are joined in
the order given here and run as one.
"""

from __future__ import annotations

import html
import json
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final

from pydsm.trace.columns import columns_of

if TYPE_CHECKING:
    from pydsm.trace.timeline import Timeline

__all__ = ["page_of"]

_SCRIPTS: Final = (
    "data.js",
    "paint.js",
    "view.js",
    "slices.js",
    "arrows.js",
    "overview.js",
    "details.js",
    "control.js",
    "shares.js",
    "tables.js",
    "heat.js",
    "memory.js",
    "main.js",
)


def page_of(timeline: Timeline) -> str:
    """Return the page of a timeline."""
    title = timeline.title or "Timeline"
    page = _part("page.html")
    for mark, content in (
        ("@TITLE@", html.escape(title)),
        ("/*@STYLE@*/", _part("style.css")),
        ("/*@SCRIPT@*/", "\n".join(map(_part, _SCRIPTS))),
        ("@DATA@", _embedded(columns_of(timeline))),  # last: what a program calls its arrays is not looked into
    ):
        page = page.replace(mark, content)
    return page


def _embedded(data: Any) -> str:
    """Return JSON that cannot end the element that it stands in."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True)
    return text.replace("<", "\\u003c")


@cache
def _part(name: str) -> str:
    return files("pydsm.trace").joinpath("page", name).read_text(encoding="utf-8")
