"""Make notebooks of the lessons: ``python docs/lessons/notebooks.py FOLDER``.

Each page becomes one.  After a question there is a cell for the prediction, after an exercise one to work in; what a
program prints is folded away until it is asked for, and so are solutions.  Needs the package nbformat:
``pip install '.[lessons]'``.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
PAGES = [*sorted(HERE.glob("[0-9][0-9]-*.md")), HERE / "project" / "README.md"]
_PART = re.compile(r"^(?:## (?P<heading>[^\n]+)\n|```(?P<language>\w*)\n(?P<code>.*?)^```\n)", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?P<target>[^)#:]+)(?P<place>#[^)]*)?\)")
_PREDICTION = "**My prediction:**\n\n*(double-click, and write it down before you run the program)*"
_RUN = "*Run the cells under **Program** now, and compare.*"
_FOLDED = "<details><summary>What the page prints</summary>\n\n```text\n{}```\n\n</details>"
_HIDDEN = {"jupyter": {"source_hidden": True}, "tags": ["solution"]}


def parts(text: str) -> Iterator[tuple[str, str]]:
    """Yield what a page consists of: kind ("heading", "prose", or a language) and text."""
    end = 0
    for found in _PART.finditer(text):
        yield "prose", text[end : found.start()]
        end = found.end()
        if found["heading"]:
            yield "heading", found["heading"]
        else:
            yield found["language"] or "fence", found["code"]
    yield "prose", text[end:]


class Notebook:
    """One page as cells."""

    def __init__(self, page: Path, folder: Path, *, solutions: bool) -> None:
        from nbformat import v4

        self._v4, self._page, self._folder, self._solutions = v4, page, folder, solutions
        self.name = f"{page.stem if page.parent == HERE else page.parent.name}.ipynb"
        self._root = shlex.quote(os.path.relpath(HERE.parents[1], folder))  # where commands of the pages are run
        self._cells: list[Any] = []
        self._section = ""
        self._after_code = False  # whether a text block says what a program prints
        for kind, text in parts(page.read_text()):
            self._add(kind, text)
        self._end_section()

    def _add(self, kind: str, text: str) -> None:
        if kind == "heading":
            self._end_section()
            self._section = text
        if self._section == "Solution" and not self._solutions:
            return
        if kind == "heading":
            self._markdown(f"## {text}" + (f"\n\n{_RUN}" if text == "Run" else ""))
        elif kind in ("python", "sh"):
            self._code(text if kind == "python" else f"%%sh\ncd {self._root}\n{text}")
            self._after_code = True
        elif kind == "text" and self._after_code:
            self._markdown(_FOLDED.format(text))
            self._after_code = False
        elif kind in ("text", "fence"):
            self._markdown(f"```text\n{text}```")
        elif text.strip():
            self._markdown(_LINK.sub(self._link, text.strip()))

    def _end_section(self) -> None:
        if self._section == "Predict":
            self._markdown(_PREDICTION)
        elif self._section == "Exercise":
            self._code("# your program\n")

    def _markdown(self, text: str) -> None:
        self._cells.append(self._v4.new_markdown_cell(text, id=self._id()))

    def _code(self, text: str) -> None:
        metadata = _HIDDEN if self._section == "Solution" else {}
        self._cells.append(self._v4.new_code_cell(text.rstrip("\n"), id=self._id(), metadata=metadata))

    def _id(self) -> str:
        return f"cell-{len(self._cells)}"  # the same each time, for those who keep notebooks under version control

    def _link(self, found: re.Match[str]) -> str:
        """Let a link to a lesson lead to its notebook, and any other to where the page is."""
        target = (self._page.parent / found["target"]).resolve()
        if target in PAGES:
            name = target.stem if target.parent == HERE else target.parent.name
            return f"]({name}.ipynb)"
        return f"]({os.path.relpath(target, self._folder)}{found['place'] or ''})"

    def write(self) -> Path:
        """Write it into its folder."""
        import nbformat

        kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
        notebook = self._v4.new_notebook(cells=self._cells, metadata={"kernelspec": kernel})
        nbformat.validate(notebook)
        path = self._folder / self.name
        nbformat.write(notebook, path)
        return path


def main(arguments: list[str] | None = None) -> int:
    """Write a notebook for each page."""
    parser = argparse.ArgumentParser(prog="notebooks.py", description="Make notebooks of the lessons.")
    parser.add_argument("folder", type=Path, help="where to write them; it is made if it is not there")
    parser.add_argument("--without-solutions", action="store_true", help="for students")
    options = parser.parse_args(arguments)
    try:
        import nbformat  # noqa: F401
    except ImportError:
        print("notebooks.py needs nbformat: pip install '.[lessons]', or pip install nbformat", file=sys.stderr)
        return 2
    options.folder.mkdir(parents=True, exist_ok=True)
    for page in PAGES:
        print(Notebook(page, options.folder.resolve(), solutions=not options.without_solutions).write())
    return 0


if __name__ == "__main__":
    sys.exit(main())
