"""Plain checks of a file, or of an answer: it is there, its size, what it contains."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from .check import EMPTY, Artifact, Bounds, Check, Finding, bounds, kept, related
from .patterns import Pattern, find

Count = Annotated[int, Field(ge=0)]

#: One Chinese, Japanese or Korean character, or a run of other letters and digits.
_WORD = r"[\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]|[^\W\p{Han}\p{Hiragana}\p{Katakana}\p{Hangul}]+"


class FileExists(Check):
    """The file is there and not empty: a text has something to see, other bytes are enough as they are."""

    needs_file: ClassVar[bool] = True

    def describe(self) -> str:
        return "Write the file."

    def look(self, artifact: Artifact) -> Finding:
        if artifact.problem in ("absent", "not a file"):
            return Finding(False, f"the file is {artifact.problem}")
        if artifact.empty:
            return EMPTY
        return Finding(artifact.size > 0, f"the file has {artifact.size} bytes")


class FileSizeMin(Check):
    """At least so many bytes."""

    bytes: Annotated[int, Field(ge=1)]

    def describe(self) -> str:
        return f"Write at least {self.bytes} bytes."

    def look(self, artifact: Artifact) -> Finding:
        return _size(artifact, artifact.size >= self.bytes, f"at least {self.bytes}")

    def counts(self) -> Mapping[str, Bounds]:
        return {"bytes": (self.bytes, math.inf)}


class FileSizeMax(Check):
    """At most so many bytes, and not empty."""

    bytes: Annotated[int, Field(ge=1)]

    def describe(self) -> str:
        return f"Write at most {self.bytes} bytes."

    def look(self, artifact: Artifact) -> Finding:
        return _size(artifact, artifact.size <= self.bytes, f"at most {self.bytes}")

    def counts(self) -> Mapping[str, Bounds]:
        return {"bytes": (1, self.bytes)}


class FileContains(Check):
    """A text occurs exactly as it stands."""

    text: Annotated[str, StringConstraints(min_length=1)]

    def describe(self) -> str:
        return f"Include this text exactly: {self.text}"

    def read(self, text: str) -> Finding:
        at = text.find(self.text)
        if at < 0:
            return Finding(False, f"does not contain {self.text[:80]!r}")
        return Finding(True, "contains the text", ((at, at + len(self.text)),))

    def contains(self) -> tuple[str, ...]:
        return (self.text,)

    def spells(self) -> tuple[str, ...]:
        return (self.text,)


class FileMatches(Check):
    """A regular expression (the syntax of `re`; ^ and $ at line ends) matches somewhere."""

    has_pattern: ClassVar[bool] = True

    pattern: Pattern

    def describe(self) -> str:
        return f"Include a passage that matches the regular expression {self.pattern}"

    def read(self, text: str) -> Finding:
        places = find(self.pattern, text, lines=True)
        if not places:
            return Finding(False, f"nothing matches {self.pattern[:80]!r}")
        return Finding(True, "the pattern matches", kept(places))


class HeadingsCountMin(Check):
    """At least so many markdown headings: one to six # and a space or the line's end."""

    count: Annotated[int, Field(ge=1)]

    def describe(self) -> str:
        return f"Use at least {self.count} markdown headings."

    def read(self, text: str) -> Finding:
        places = find(r"^#{1,6}(?:[ \t].*)?$", text, lines=True)
        return related(len(places), "at least", self.count, "headings", places)

    def counts(self) -> Mapping[str, Bounds]:
        return {"headings": bounds("at least", self.count)}


class WordCountMin(Check):
    """At least so many words; each Chinese, Japanese or Korean character is one."""

    count: Annotated[int, Field(ge=1)]

    def describe(self) -> str:
        return f"Write at least {self.count} words."

    def read(self, text: str) -> Finding:
        return related(len(find(_WORD, text)), "at least", self.count, "words")


def _size(artifact: Artifact, holds: bool, asked: str) -> Finding:
    if artifact.problem and artifact.problem != "no UTF-8 text":
        return Finding(False, f"there is no file to measure: {artifact.problem}")
    if artifact.empty:
        return EMPTY
    return Finding(holds and artifact.size > 0, f"has {artifact.size} bytes, {asked} asked for")
