"""Words and letters: keywords:existence, :frequency, :forbidden_words, :letter_frequency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import Field, StringConstraints

from ..check import Bounds, Check, Finding, Relation, Span, bounds, kept, related
from ..patterns import Pattern, PatternTimeout, find, is_plain

Count = Annotated[int, Field(ge=0)]
Words = Annotated[list[Pattern], Field(min_length=1, max_length=50)]


class Existence(Check):
    """Every keyword occurs: a pattern, found anywhere, also inside a word, in any case."""

    has_pattern: ClassVar[bool] = True

    keywords: Words

    def describe(self) -> str:
        return f"Use each of these words: {', '.join(self.keywords)}."

    def read(self, text: str) -> Finding:
        found: list[Span] = []
        absent = []
        for keyword in self.keywords:
            places = find(keyword, text, ignore_case=True)
            found += places[:1]
            if not places:
                absent.append(keyword)
        if absent:
            return Finding(False, f"lacks {', '.join(absent)}")
        return Finding(True, "has every keyword", kept(found))

    def counts(self) -> Mapping[str, Bounds]:
        return {f"the word {keyword.lower()!r}": bounds("at least", 1) for keyword in self.keywords}

    def contains(self) -> tuple[str, ...]:
        return tuple(keyword for keyword in self.keywords if is_plain(keyword))


class Frequency(Check):
    """A keyword occurs so often."""

    has_pattern: ClassVar[bool] = True

    keyword: Annotated[Pattern, StringConstraints(strip_whitespace=True)]
    frequency: Count
    relation: Relation

    def describe(self) -> str:
        return f"Use the word {self.keyword} {self.relation} {self.frequency} times."

    def read(self, text: str) -> Finding:
        places = find(self.keyword, text, ignore_case=True)
        return related(len(places), self.relation, self.frequency, f"times {self.keyword!r}", places)

    def counts(self) -> Mapping[str, Bounds]:
        return {f"the word {self.keyword.lower()!r}": bounds(self.relation, self.frequency)}

    def contains(self) -> tuple[str, ...]:
        needed = self.relation == "at least" and self.frequency > 0 and is_plain(self.keyword)
        return (self.keyword,) if needed else ()


class ForbiddenWords(Check):
    """None of the words occurs as a whole word, in any case."""

    has_pattern: ClassVar[bool] = True

    forbidden_words: Words

    def describe(self) -> str:
        return f"Do not use these words: {', '.join(self.forbidden_words)}."

    def read(self, text: str) -> Finding:
        found: list[Span] = []
        for word in self.forbidden_words:
            found += find(rf"\b{word}\b", text, ignore_case=True)
        if found:
            said = sorted({text[a:b].lower() for a, b in found})
            return Finding(False, f"uses {', '.join(said[:5])}", kept(sorted(found)))
        return Finding(True, "uses none of the forbidden words")

    def forbids(self, literal: str) -> bool:
        try:
            return any(find(rf"\b{word}\b", literal, ignore_case=True) for word in self.forbidden_words)
        except PatternTimeout:
            return False  # nothing is proved


class LetterFrequency(Check):
    """A character occurs so often, counted in small letters."""

    letter: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1)]
    let_frequency: Count
    let_relation: Relation

    def describe(self) -> str:
        return f"Use the letter {self.letter} {self.let_relation} {self.let_frequency} times."

    def read(self, text: str) -> Finding:
        small, letter = text.lower(), self.letter.lower()
        count = small.count(letter)
        places = _places(small, letter) if len(small) == len(text) else []
        return related(count, self.let_relation, self.let_frequency, f"times {letter!r}", places)

    def counts(self) -> Mapping[str, Bounds]:
        return {f"the letter {self.letter.lower()!r}": bounds(self.let_relation, self.let_frequency)}


def _places(text: str, letter: str) -> list[Span]:
    found: list[Span] = []
    at = text.find(letter)
    while at >= 0 and len(found) < 20:
        found.append((at, at + 1))
        at = text.find(letter, at + 1)
    return found
