"""What a text holds: placeholders, a postscript, a repeated prompt, two responses, its end, quotation marks,
no commas. detectable_content:*, combination:*, startend:*, punctuation:no_comma."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import StringConstraints

from ..check import Bounds, Check, Finding, bounds, kept, related
from ..patterns import SPACE, Pattern, between, find
from .keywords import Count

#: A text that says something, without space around it.
Phrase = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
_POSTSCRIPTS = {
    "P.P.S": rf"{SPACE}*p\.{SPACE}?p\.{SPACE}?s.*$",
    "P.S.": rf"{SPACE}*p\.{SPACE}?s\..*$",
}


class NumberPlaceholders(Check):
    """At least so many placeholders in square brackets."""

    num_placeholders: Count

    def describe(self) -> str:
        return f"Use at least {self.num_placeholders} placeholders in square brackets, such as [address]."

    def read(self, text: str) -> Finding:
        places = find(r"\[.*?\]", text)
        return related(len(places), "at least", self.num_placeholders, "placeholders", places)

    def counts(self) -> Mapping[str, Bounds]:
        return {"placeholders": bounds("at least", self.num_placeholders)}


class Postscript(Check):
    """A postscript: its marker somewhere, in any case; "P.S." and "P.P.S" may have spaces between."""

    has_pattern: ClassVar[bool] = True

    postscript_marker: Annotated[Pattern, StringConstraints(strip_whitespace=True)]

    def describe(self) -> str:
        return f"Add a postscript at the end that starts with {self.postscript_marker}."

    def read(self, text: str) -> Finding:
        marker, small = self.postscript_marker, text.lower()
        places = find(_POSTSCRIPTS.get(marker, rf"{SPACE}*{marker.lower()}.*$"), small, lines=True)
        if not places:
            return Finding(False, f"has no postscript {marker}")
        return Finding(True, "has a postscript", kept(places) if len(small) == len(text) else ())


class RepeatPrompt(Check):
    """The text begins with the prompt, compared without case and without space around it."""

    prompt_to_repeat: Phrase

    def describe(self) -> str:
        return f"First repeat this word for word, then answer: {self.prompt_to_repeat}"

    def read(self, text: str) -> Finding:
        if text.strip().lower().startswith(self.prompt_to_repeat.strip().lower()):
            start = len(text) - len(text.lstrip())
            end = min(len(text), start + len(self.prompt_to_repeat))
            return Finding(True, "begins with the prompt", ((start, end),))
        return Finding(False, "does not begin with the prompt as it was given")

    def facts(self) -> Mapping[str, str]:
        return {"opening": self.prompt_to_repeat.lower()}

    def contains(self) -> tuple[str, ...]:
        return (self.prompt_to_repeat,)


class TwoResponses(Check):
    """Two different responses with ****** between them."""

    def describe(self) -> str:
        return "Give two different responses with ****** between them."

    def read(self, text: str) -> Finding:
        parts = between(find(r"\*{6}", text), len(text))
        full = [(a, b) for a, b in parts if text[a:b].strip()]
        if any(not text[a:b].strip() for a, b in parts[1:-1]):
            return Finding(False, "has an empty response between ******")
        if len(full) != 2:
            return Finding(False, f"has {len(full)} responses, two asked for", kept(full))
        if len({text[a:b].strip() for a, b in full}) == 1:
            return Finding(False, "says the same twice", kept(full))
        return Finding(True, "has two different responses", kept(full))

    def counts(self) -> Mapping[str, Bounds]:
        return {"responses": (2, 2)}


class EndChecker(Check):
    """The text ends with a phrase, compared without case; quotation marks around the text do not count."""

    end_phrase: Phrase

    def describe(self) -> str:
        return f"End with exactly this, and nothing after it: {self.end_phrase}"

    def read(self, text: str) -> Finding:
        if text.strip().strip('"').lower().endswith(self.end_phrase.lower()):
            return Finding(True, "ends with the phrase")
        end = len(text.rstrip())
        return Finding(False, "does not end with the phrase", ((max(0, end - 40), end),))

    def facts(self) -> Mapping[str, str]:
        return {"ending": self.end_phrase.lower()}

    def contains(self) -> tuple[str, ...]:
        return (self.end_phrase,)


class Quotation(Check):
    """The whole text stands in double quotation marks."""

    def describe(self) -> str:
        return "Put the whole response in double quotation marks."

    def read(self, text: str) -> Finding:
        whole = text.strip()
        if len(whole) > 1 and whole[0] == whole[-1] == '"':
            return Finding(True, "stands in quotation marks")
        return Finding(False, "does not stand in double quotation marks as a whole")

    def facts(self) -> Mapping[str, str]:
        return {"opening": '"'}


class NoComma(Check):
    """No comma anywhere."""

    def describe(self) -> str:
        return "Use no commas at all."

    def read(self, text: str) -> Finding:
        places = find(",", text)
        if places:
            return Finding(False, f"has {len(places)} commas", kept(places))
        return Finding(True, "has no comma")

    def forbids(self, literal: str) -> bool:
        return "," in literal

    def counts(self) -> Mapping[str, Bounds]:
        return {"the letter ','": (0, 0)}
