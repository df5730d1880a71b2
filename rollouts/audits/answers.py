"""Final answers in free text: what a text states as its answer, and when two answers are the same.

Everything here is reading: nothing a model wrote is executed, patterns are linear, lengths are bounded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

#: Answers stand at the end; of a longer text only so many characters are read.
MOST_CHARS = 50_000
_MOST_DIGITS = 40
_MOST_BOXES = 100  # the last ones

#: A number as people write it: sign, currency, thousands with commas, decimals.
NUMBER = r"(?:\$[-+]?|[-+]\$?)?\d{1,40}(?:,\d{3}){0,12}(?:\.\d{1,40})?"
_NUMBER = re.compile(rf"(?<![\w.,])({NUMBER})(?![\d])")
_WHOLE = re.compile(rf"({NUMBER})\s*%?")
_MARKER = re.compile(r"####[ \t]{0,9}([^\n]{0,200})")
_ANSWER_IS = re.compile(
    r"\b(?:final\s{1,3})?answer\s{0,3}(?:is\b|:|=)\s{0,3}(?::\s{0,3})?([^\n]{1,200})", re.IGNORECASE
)
_THEREFORE = re.compile(r"\b(?:therefore|thus|hence|so)\b,?\s{0,3}([^\n]{1,300})", re.IGNORECASE)
_WRAPPING = " \t\r\n.,;:!?*_`'\"“”‘’()[]{}$\\"


@dataclass(frozen=True)
class Statement:
    """An answer a text states: which way, what it says, and where (characters from the start)."""

    way: str
    text: str
    at: int


def number(text: str) -> Fraction | None:
    """The value of a text that is a number and nothing else (currency, percent sign, thousands allowed)."""
    stripped = text.strip().strip("*_`").rstrip(".").strip()
    found = _WHOLE.fullmatch(stripped)
    return None if found is None else value(found.group(1))


def value(token: str) -> Fraction | None:
    """The value of a NUMBER token, commas as thousands; None beyond 40 digits."""
    plain = token.replace(",", "").replace("$", "")
    return None if len(plain) > _MOST_DIGITS else Fraction(plain)


def same(first: str, second: str) -> bool:
    """Whether two answers say the same: equal numbers, or equal words but for case and wrapping signs."""
    a, b = number(first), number(second)
    if a is not None or b is not None:
        return a == b
    return bool(_bare(first)) and _bare(first) == _bare(second)


def says(statement: str, expected: str) -> bool:
    """Whether a statement gives the expected answer: the same, or beginning with it (a number with its unit)."""
    if same(statement, expected):
        return True
    wanted = number(expected)
    if wanted is not None:
        return first_number(statement) == wanted
    return bool(_bare(expected)) and _bare(statement).startswith(_bare(expected) + " ")


def first_number(statement: str) -> Fraction | None:
    """The number a statement gives: behind its last equals sign ("3 + 5 = 8"), else the first one."""
    found = _NUMBER.search(statement.rpartition("=")[2]) or _NUMBER.search(statement)
    return None if found is None else value(found.group(1))


def gold(expected: str) -> str:
    """The final value of a reference answer: what stands behind its last `####`, or all of it."""
    marked = _MARKER.findall(expected[-MOST_CHARS:])
    return marked[-1].strip() if marked else expected.strip()


def stated(text: str) -> Statement | None:
    """The last answer that a text states explicitly: `#### x`, `\\boxed{x}` or "the answer is x"."""
    return max(statements(text), key=lambda each: each.at, default=None)


def statements(text: str) -> list[Statement]:
    """Every explicit statement of an answer, in the order of the text."""
    tail = text[-MOST_CHARS:]
    found = [Statement("gsm_marker", m.group(1).strip(), m.start()) for m in _MARKER.finditer(tail)]
    found += [Statement("answer_is", m.group(1).strip(), m.start()) for m in _ANSWER_IS.finditer(tail)]
    found += _boxed(tail)
    return sorted((each for each in found if each.text), key=lambda each: each.at)


def implied(text: str) -> list[Statement]:
    """Where a text that states no answer leaves one: behind the last "therefore", and in its last sentence."""
    tail = text[-MOST_CHARS:].rstrip()
    found = []
    for match in list(_THEREFORE.finditer(tail))[-1:]:
        if numbers := _NUMBER.findall(match.group(1)):
            found.append(Statement("after_therefore", numbers[-1], match.start()))
    sentences = [each for each in re.split(r"(?<=[.!?])\s|\n", tail[-2_000:]) if each.strip()]
    if sentences and (numbers := _NUMBER.findall(sentences[-1])):
        found.append(Statement("last_sentence", numbers[-1], len(tail)))
    return found


def _boxed(text: str) -> list[Statement]:
    found = []
    for match in list(re.finditer(r"\\boxed\s{0,2}\{", text))[-_MOST_BOXES:]:
        depth, end = 1, match.end()
        while end < min(len(text), match.end() + 200) and depth:
            depth += {"{": 1, "}": -1}.get(text[end], 0)
            end += 1
        if not depth:
            found.append(Statement("latex_boxed", text[match.end() : end - 1].strip(), match.start()))
    return found


def _bare(text: str) -> str:
    return " ".join(text.casefold().strip(_WRAPPING).split())
