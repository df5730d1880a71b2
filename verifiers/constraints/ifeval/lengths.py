"""Lengths: length_constraints:number_sentences, :number_words, :number_paragraphs, :nth_paragraph_first_word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import Field, StringConstraints, model_validator

from ..check import Bounds, Check, Finding, Relation, bounds, exactly, related
from ..patterns import SPACE, find, split
from ..sentences import sentences
from .keywords import Count


class NumberSentences(Check):
    """So many sentences."""

    num_sentences: Count
    relation: Relation

    def describe(self) -> str:
        return f"Write {self.relation} {self.num_sentences} sentences."

    def read(self, text: str) -> Finding:
        places = sentences(text)
        return related(len(places), self.relation, self.num_sentences, "sentences", places)

    def counts(self) -> Mapping[str, Bounds]:
        low, high = bounds(self.relation, self.num_sentences)
        return {"sentences": (max(1, low), high)}


class NumberWords(Check):
    """So many words: runs of letters, digits and underscores."""

    num_words: Count
    relation: Relation

    def describe(self) -> str:
        return f"Write {self.relation} {self.num_words} words."

    def read(self, text: str) -> Finding:
        places = find(r"\w+", text)
        return related(len(places), self.relation, self.num_words, "words")

    def counts(self) -> Mapping[str, Bounds]:
        return {"words": bounds(self.relation, self.num_words)}


class NumberParagraphs(Check):
    """Exactly so many paragraphs with *** between them; an empty one is allowed at the start and the end."""

    num_paragraphs: Count

    def describe(self) -> str:
        return f"Write exactly {self.num_paragraphs} paragraphs with a line of *** between them."

    def read(self, text: str) -> Finding:
        parts = split(rf"{SPACE}?\*\*\*{SPACE}?", text)
        full = [(a, b) for a, b in parts if text[a:b].strip()]
        empty = [(a, b) for a, b in parts[1:-1] if not text[a:b].strip()]
        if empty:
            return Finding(False, "has an empty paragraph", ((empty[0][0], empty[0][1]),))
        return exactly(len(full), self.num_paragraphs, "paragraphs between ***", full)

    def counts(self) -> Mapping[str, Bounds]:
        return {"paragraphs between ***": (max(1, self.num_paragraphs), self.num_paragraphs)}


class NthParagraphFirstWord(Check):
    """Exactly so many paragraphs with an empty line between them, the nth beginning with a word."""

    num_paragraphs: Annotated[int, Field(ge=1)]
    nth_paragraph: Annotated[int, Field(ge=1)]
    first_word: Annotated[str, StringConstraints(min_length=1)]

    @model_validator(mode="after")
    def _within(self) -> NthParagraphFirstWord:
        if self.nth_paragraph > self.num_paragraphs:
            raise ValueError(f"there is no paragraph {self.nth_paragraph} of {self.num_paragraphs}")
        return self

    def describe(self) -> str:
        return (
            f"Write exactly {self.num_paragraphs} paragraphs with an empty line between them; paragraph "
            f"{self.nth_paragraph} begins with the word {self.first_word}."
        )

    def read(self, text: str) -> Finding:
        parts = split(r"\n\n", text)
        count = sum(bool(text[a:b].strip()) for a, b in parts)
        if self.nth_paragraph > count:
            return Finding(False, f"has {count} paragraphs, and no paragraph {self.nth_paragraph}")
        # The reference counts full paragraphs, and looks for the nth among all of them.
        start, stop = parts[self.nth_paragraph - 1]
        said = _first_word(text[start:stop])
        if said != self.first_word.lower():
            return Finding(
                False, f"paragraph {self.nth_paragraph} begins with {said[:40]!r}", ((start, stop),)
            )
        return exactly(count, self.num_paragraphs, "paragraphs", ((start, stop),))

    def counts(self) -> Mapping[str, Bounds]:
        return {"paragraphs": (self.num_paragraphs, self.num_paragraphs)}

    def facts(self) -> Mapping[str, str]:
        return {f"first word of paragraph {self.nth_paragraph}": self.first_word.lower()}


def _first_word(paragraph: str) -> str:
    """In small letters, without quotation marks before it and anything from its first punctuation mark on."""
    words = paragraph.split()
    word = words[0].lstrip("'").lstrip('"') if words else ""
    return _up_to(word, ".,?!'\"").lower()


def _up_to(word: str, stops: str) -> str:
    """The part of a word before the first of these characters."""
    for index, letter in enumerate(word):
        if letter in stops:
            return word[:index]
    return word
