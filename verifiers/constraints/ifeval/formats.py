"""Shapes: detectable_format:number_bullet_lists, :constrained_response, :number_highlighted_sections,
:multiple_sections, :json_format, :title."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, ClassVar

from pydantic import StringConstraints

from ..check import Bounds, Check, Finding, bounds, exactly, kept, related
from ..patterns import SPACE, Pattern, find, is_plain
from .keywords import Count

OPTIONS = ("My answer is yes.", "My answer is no.", "My answer is maybe.")
_FENCES = ("```json", "```Json", "```JSON", "```")


class NumberBulletLists(Check):
    """Exactly so many lines that begin with "*" (and one more character, no "*") or with "-"."""

    num_bullets: Count

    def describe(self) -> str:
        return f"Use exactly {self.num_bullets} bullet points, each on a line that begins with an asterisk."

    def read(self, text: str) -> Finding:
        places = find(rf"^{SPACE}*\*[^\*].*$", text, lines=True)
        places += find(rf"^{SPACE}*-.*$", text, lines=True)
        return exactly(len(places), self.num_bullets, "bullet points", sorted(places))

    def counts(self) -> Mapping[str, Bounds]:
        return {"bullet points": (self.num_bullets, self.num_bullets)}


class ConstrainedResponse(Check):
    """One of three fixed answers stands in the text."""

    def describe(self) -> str:
        return f"Answer with one of: {' '.join(OPTIONS)}"

    def read(self, text: str) -> Finding:
        for option in OPTIONS:
            at = text.find(option)
            if at >= 0:
                return Finding(True, f"says {option!r}", ((at, at + len(option)),))
        return Finding(False, "has none of the three answers")

    def spells(self) -> tuple[str, ...]:
        return OPTIONS


class NumberHighlightedSections(Check):
    """At least so many passages between asterisks. A double pair counts twice, as *a* and as **a**, where
    the reference's two patterns both find it."""

    num_highlights: Count

    def describe(self) -> str:
        return f"Highlight at least {self.num_highlights} passages with markdown, as in *this*."

    def read(self, text: str) -> Finding:
        single = [s for s in find(r"\*[^\n\*]*\*", text) if text[s[0] : s[1]].strip("*").strip()]
        double = [s for s in find(r"\*\*[^\n\*]*\*\*", text) if text[s[0] + 2 : s[1] - 2].strip()]
        places = sorted(single + double)
        return related(len(places), "at least", self.num_highlights, "highlighted passages", places)

    def counts(self) -> Mapping[str, Bounds]:
        return {"highlighted passages": bounds("at least", self.num_highlights)}


class MultipleSections(Check):
    """At least so many sections, each begun by the splitter and a number."""

    has_pattern: ClassVar[bool] = True

    section_spliter: Annotated[Pattern, StringConstraints(strip_whitespace=True)]
    num_sections: Count

    def describe(self) -> str:
        return f"Write {self.num_sections} sections, beginning them {self.section_spliter} 1, and so on."

    def read(self, text: str) -> Finding:
        places = find(rf"{SPACE}?{self.section_spliter}{SPACE}?\d+{SPACE}?", text)
        return related(len(places), "at least", self.num_sections, "sections", places)

    def counts(self) -> Mapping[str, Bounds]:
        return {f"sections {self.section_spliter!r}": bounds("at least", self.num_sections)}

    def spells(self) -> tuple[str, ...]:
        return (self.section_spliter,) if self.num_sections and is_plain(self.section_spliter) else ()


class JsonFormat(Check):
    """The whole text is JSON, in a markdown fence or without one."""

    def describe(self) -> str:
        return "Give the whole output as JSON; a markdown fence around it is allowed."

    def read(self, text: str) -> Finding:
        inner = text.strip()
        for fence in _FENCES:
            inner = inner.removeprefix(fence)
        inner = inner.removesuffix("```").strip()
        try:
            json.loads(inner)
        except (ValueError, RecursionError) as error:
            return Finding(False, f"is no JSON: {str(error)[:100]}")
        return Finding(True, "is JSON")

    def facts(self) -> Mapping[str, str]:
        return {"json": "yes"}


class Title(Check):
    """A title in double angular brackets stands somewhere."""

    def describe(self) -> str:
        return "Give a title in double angular brackets, as in <<a day at sea>>."

    def read(self, text: str) -> Finding:
        places = [s for s in find(r"<<[^\n]+>>", text) if text[s[0] : s[1]].lstrip("<").rstrip(">").strip()]
        if places:
            return Finding(True, "has a title", kept(places))
        return Finding(False, "has no title in double angular brackets")
