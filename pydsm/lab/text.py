"""The words of a litmus file, each with its place, and the error that shows one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NoReturn

from pydsm.errors import PydsmError

__all__ = ["LitmusError", "Source", "Token", "Words"]

_TOKEN: Final = re.compile(
    r"""(?P<space>\s+|\#[^\n]*)
      | (?P<string>"[^"]*")
      | (?P<number>-?\d+)
      | (?P<name>[A-Za-z_]\w*)
      | (?P<symbol>/\\|\\/|[=|;{}()~:+])
    """,
    re.VERBOSE,
)


class LitmusError(PydsmError, ValueError):
    """A litmus test has a mistake.  Facts as of a SyntaxError: ``filename``, ``lineno``, ``offset``, ``text``."""

    filename: str
    lineno: int
    offset: int
    text: str


@dataclass(frozen=True, slots=True)
class Token:
    """One word: its kind (``"end"`` after the last), its text, and where it begins."""

    kind: str
    text: str
    start: int

    def __str__(self) -> str:
        return repr(self.text) if self.text else "the end of the file"


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a litmus file and its name."""

    text: str
    filename: str

    def tokens(self, start: int) -> Iterator[Token]:
        """Yield the words from a place on, without spaces and comments, then the end.

        Raises
        ------
        LitmusError
            There is a character that begins no word.
        """
        while start < len(self.text):
            match = _TOKEN.match(self.text, start)
            if match is None:
                raise self.error(start, f"{self.text[start]!r} begins no word of a litmus test")
            kind = match.lastgroup
            assert kind is not None
            if kind != "space":
                yield Token(kind, match.group(), start)
            start = match.end()
        yield Token("end", "", len(self.text.rstrip()))

    def error(self, start: int, sentence: str) -> LitmusError:
        """Return the error that shows a place of the text."""
        before = self.text[:start]
        number, column = before.count("\n") + 1, start - (before.rfind("\n") + 1) + 1
        line = (self.text.splitlines() or [""])[number - 1] if self.text else ""
        caret = re.sub(r"[^\t]", " ", line[: column - 1]) + "^"  # a tab stays one, so that the caret is below
        return LitmusError(
            f"{self.filename}, line {number}, column {column}: {sentence}\n    {line}\n    {caret}",
            filename=self.filename,
            lineno=number,
            offset=column,
            text=line,
        )


class Words:
    """The words of a source, taken one after the other."""

    def __init__(self, source: Source, start: int) -> None:
        self.source = source
        self.tokens = list(source.tokens(start))
        self.position = 0

    @property
    def next(self) -> Token:
        """The next word."""
        return self.tokens[self.position]

    def take(self) -> Token:
        """Take the next word."""
        token = self.next
        self.position += 1
        return token

    def skip(self, text: str) -> bool:
        """Take the next word if it is this one."""
        if self.next.text != text:
            return False
        self.position += 1
        return True

    def expect(self, text: str, where: str) -> Token:
        """Take the next word, which must be this one."""
        if self.next.text != text:
            self.fail(f"expected {text!r} {where}, not {self.next}")
        return self.take()

    def kind(self, kind: str, what: str) -> Token:
        """Take the next word, which must be of this kind."""
        if self.next.kind != kind:
            self.fail(f"expected {what}, not {self.next}")
        return self.take()

    def fail(self, sentence: str, token: Token | None = None) -> NoReturn:
        """Raise the error that shows a word, the next one unless another is given."""
        raise self.source.error((token or self.next).start, sentence)
