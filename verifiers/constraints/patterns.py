"""Regular expressions that end: every search has a time limit, whoever wrote the pattern or the text.

The syntax is that of `re`. Patterns that cannot run away go to `re` itself; all others to the library `regex`,
which can stop in the middle of a search. (The two differ in `\\w` and `\\b`: for `regex` an accent that stands on
its own, a vowel sign of Hindi for instance, belongs to a word.)
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Annotated, Any

import regex  # type: ignore[import-untyped]
from pydantic import AfterValidator

from .check import Span

#: For all searches of one call: seconds of CPU of the whole process, since `regex` asks the C clock. An ordinary
#: search takes milliseconds.
TIMEOUT_S = 2.0
MAX_PATTERN = 1000  #: characters
MAX_MATCHES = 100_000
#: What `\s` is for `re`; for `regex` the four separators of ASCII are no space.
SPACE = r"[\s\x1c-\x1f]"

#: A literal, a literal as a whole word, or a run of word characters: linear in the text.
_TAME = re.compile(r"(?:\\b)?[^\\^$.|?*+()\[\]{}]+(?:\\b)?|\\w\+")


class PatternTimeout(Exception):
    """A pattern did not come to an end on a text: nobody knows whether it matches."""


def find(pattern: str, text: str, *, ignore_case: bool = False, lines: bool = False) -> list[Span]:
    """Where a pattern matches, in order, not overlapping, as `re.finditer` finds it; at most 100,000.

    `lines`: ^ and $ also match at line ends. Raises `PatternTimeout` after some 2 s of searching, `ValueError`
    for a pattern that is none.
    """
    limit = {} if _TAME.fullmatch(pattern) else {"timeout": TIMEOUT_S, "concurrent": True}
    found: list[Span] = []
    try:
        for match in _compiled(pattern, ignore_case, lines).finditer(text, **limit):
            found.append(match.span())
            if len(found) == MAX_MATCHES:
                break
    except TimeoutError:
        shown = pattern if len(pattern) <= 80 else pattern[:80] + "..."
        raise PatternTimeout(f"the pattern {shown!r} was not done after {TIMEOUT_S:g} s") from None
    return found


def split(pattern: str, text: str) -> list[Span]:
    """The parts between the matches, as `re.split` gives them. Raises `PatternTimeout`."""
    return between(find(pattern, text), len(text))


def between(spans: list[Span], end: int) -> list[Span]:
    """The parts of [0, end) between spans; one more than there are spans."""
    starts = [0, *(stop for _, stop in spans)]
    stops = [*(start for start, _ in spans), end]
    return list(zip(starts, stops, strict=True))


def is_plain(pattern: str) -> bool:
    """Whether a pattern matches its own text and nothing else, case aside."""
    return re.search(r"[\\^$.|?*+()\[\]{}]", pattern) is None


def _usable(pattern: str) -> str:
    if len(pattern) > MAX_PATTERN:
        raise ValueError(f"has {len(pattern)} characters; a pattern has at most {MAX_PATTERN}")
    if not pattern.strip():
        raise ValueError("is empty")
    _compiled(pattern, True, False)
    return pattern


#: A pattern as an argument: compiled when it is read, so that a broken one is told then.
Pattern = Annotated[str, AfterValidator(_usable)]


@lru_cache(maxsize=512)
def _compiled(pattern: str, ignore_case: bool, lines: bool) -> Any:
    engine: Any = re if _TAME.fullmatch(pattern) else regex
    flags = (engine.IGNORECASE if ignore_case else 0) | (engine.MULTILINE if lines else 0)
    try:
        return engine.compile(pattern, flags)
    except (engine.error, RecursionError, OverflowError) as error:
        raise ValueError(f"is no regular expression ({error}); write \\ before special characters") from None
