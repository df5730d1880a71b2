"""What a check is: typed arguments, and a look at one artifact."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import regex  # type: ignore[import-untyped]
from pydantic import BaseModel, ConfigDict

#: A text longer than this is not looked at and has not passed.
MAX_CHARS = 100_000
#: Places kept as evidence for one check.
MAX_SPANS = 20

#: Something to see: no white space, no control, format or unassigned character, no mark without width, and none
#: of the letters and symbols that are drawn as nothing (the Hangul fillers, the empty braille cell).
_VISIBLE = regex.compile(r"[^\s\p{Z}\p{C}\p{Mn}\p{Me}\p{Default_Ignorable_Code_Point}\u2800]")

Span = tuple[int, int]  #: [start, end) in characters
Bounds = tuple[float, float]  #: lowest and highest count that satisfies, both included
Relation = Literal["less than", "at least"]


@dataclass(frozen=True)
class Artifact:
    """What is checked: an answer, or one file of the finished work. Untrusted."""

    text: str = ""
    size: int = 0  #: bytes
    problem: str = ""  #: why there is no text: "absent", "not a file", "too large", "no UTF-8 text"

    @classmethod
    def of(cls, text: str) -> Artifact:
        """An answer."""
        return cls(text, len(text.encode("utf-8", "replace")))

    @property
    def empty(self) -> bool:
        """Whether there is nothing: no file, or a text without anything to see in it."""
        return is_empty(self.text) if not self.problem else self.problem in ("absent", "not a file")


@dataclass(frozen=True)
class Finding:
    """What one look gave."""

    passed: bool
    message: str
    spans: tuple[Span, ...] = ()  #: what satisfies when it passed, else what violates; may be empty


#: What every check says of a text without anything to see.
EMPTY = Finding(False, "is empty, and nothing passes then")


class Check(BaseModel):
    """One method with its arguments. The fields of a subclass are the arguments."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    needs_file: ClassVar[bool] = False  #: whether it makes sense for a file only
    #: Whether the task brings a pattern. One that does not end is the task's fault, and nothing is told of the
    #: text then; where all patterns are ours, only a text made to do so can keep them busy, and it fails.
    has_pattern: ClassVar[bool] = False

    def describe(self) -> str:
        """The demand, as one sentence to the writer of the text."""
        raise TypeError(f"{type(self).__name__} describes nothing")

    def look(self, artifact: Artifact) -> Finding:
        """Whether the artifact does what is asked. Raises `PatternTimeout`."""
        if artifact.problem:
            return Finding(False, f"there is no text to check: {artifact.problem}")
        if len(artifact.text) > MAX_CHARS:
            return Finding(False, f"has {len(artifact.text)} characters, more than the {MAX_CHARS} checked")
        if artifact.empty:
            return EMPTY
        return self.read(artifact.text)

    def read(self, text: str) -> Finding:
        """The same for a text that is not empty."""
        raise TypeError(f"{type(self).__name__} reads no text")

    # What the demand implies, for `contradictions.py`; silence is always right.

    def counts(self) -> Mapping[str, Bounds]:
        """Countable things of the text, and how many of them satisfy."""
        return {}

    def facts(self) -> Mapping[str, str]:
        """Things a text has one value of: its language, its case."""
        return {}

    def contains(self) -> tuple[str, ...]:
        """Texts that must occur, in any case."""
        return ()

    def spells(self) -> tuple[str, ...]:
        """Texts of which one must occur exactly as it stands."""
        return ()

    def forbids(self, literal: str) -> bool:
        """Whether a text that contains this one cannot pass."""
        return False


def is_empty(text: str) -> bool:
    """Whether a text has no visible character: a text of zero-width spaces or control characters is empty."""
    return _VISIBLE.search(text) is None


def related(count: int, relation: Relation, wanted: int, what: str, spans: Iterable[Span] = ()) -> Finding:
    """The finding of a count: "less than" or "at least" `wanted`."""
    passed = count < wanted if relation == "less than" else count >= wanted
    return Finding(passed, f"has {count} {what}, {relation} {wanted} asked for", kept(spans))


def exactly(count: int, wanted: int, what: str, spans: Iterable[Span] = ()) -> Finding:
    """The finding of a count that must be met."""
    return Finding(count == wanted, f"has {count} {what}, exactly {wanted} asked for", kept(spans))


def bounds(relation: Relation, wanted: int) -> Bounds:
    """The counts that satisfy a relation."""
    return (0, wanted - 1) if relation == "less than" else (wanted, math.inf)


def kept(spans: Iterable[Span]) -> tuple[Span, ...]:
    """The first few places."""
    found: list[Span] = []
    for span in spans:
        if len(found) == MAX_SPANS:
            break
        found.append(span)
    return tuple(found)


def given(args: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments without those that are None: IFEval's data lists every argument of every method."""
    return {key: value for key, value in args.items() if value is not None}
