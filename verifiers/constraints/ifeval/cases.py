"""Case and language: change_case:english_capital, :english_lowercase, :capital_word_frequency,
language:response_language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator

from ..check import Bounds, Check, Finding, Relation, Span, bounds, kept, related
from ..language import language_of, languages
from ..patterns import find
from ..sentences import word_tokens
from .keywords import Count


def _known(code: str) -> str:
    if code not in languages():
        raise ValueError(f"{code!r} is no language it can be told from; known: {', '.join(languages())}")
    return code


class ResponseLanguage(Check):
    """The text as a whole is in one language, by its ISO 639-1 code (Chinese: zh-cn, zh-tw)."""

    language: Annotated[str, AfterValidator(_known)]

    def describe(self) -> str:
        return f"Write the whole response in the language {self.language!r} (ISO 639-1)."

    def read(self, text: str) -> Finding:
        return _in_language(text, self.language)

    def facts(self) -> Mapping[str, str]:
        return {"language": self.language}


class EnglishCapital(Check):
    """English, and no small letter."""

    def describe(self) -> str:
        return "Write in English and in capital letters only."

    def read(self, text: str) -> Finding:
        if not text.isupper():
            return Finding(False, "has small letters, or none at all", _runs(text, r"\p{Ll}+"))
        return _in_language(text, "en")

    def facts(self) -> Mapping[str, str]:
        return {"case": "capital", "language": "en"}

    def counts(self) -> Mapping[str, Bounds]:
        return {"words in capital letters": bounds("at least", 1)}


class EnglishLowercase(Check):
    """English, and no capital letter."""

    def describe(self) -> str:
        return "Write in English and in small letters only."

    def read(self, text: str) -> Finding:
        if not text.islower():
            return Finding(False, "has capital letters, or no letters at all", _runs(text, r"\p{Lu}+"))
        return _in_language(text, "en")

    def facts(self) -> Mapping[str, str]:
        return {"case": "small", "language": "en"}

    def counts(self) -> Mapping[str, Bounds]:
        return {"words in capital letters": (0, 0)}


class CapitalWordFrequency(Check):
    """So many words in capital letters, "I" and "A" included."""

    capital_frequency: Count
    capital_relation: Relation

    def describe(self) -> str:
        return f"Use {self.capital_relation} {self.capital_frequency} words in capital letters."

    def read(self, text: str) -> Finding:
        words = sum(word.isupper() for word in word_tokens(text))
        places = _runs(text, r"\b\p{Lu}[\p{Lu}\p{N}\-]*\b")
        return related(words, self.capital_relation, self.capital_frequency, "capital words", places)

    def counts(self) -> Mapping[str, Bounds]:
        return {"words in capital letters": bounds(self.capital_relation, self.capital_frequency)}


def _in_language(text: str, wanted: str) -> Finding:
    found = language_of(text)
    if found is None:
        return Finding(False, "has no words from which a language could be told")
    return Finding(found == wanted, f"reads as {found!r}, asked for {wanted!r}")


def _runs(text: str, pattern: str) -> tuple[Span, ...]:
    return kept(find(pattern, text))
