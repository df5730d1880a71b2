"""Demands that no text can meet together, as far as that can be proved.

Only what is certain is told. A JSON answer may well have a title or stand in quotation marks (a JSON string
may hold anything), so that is no contradiction; a JSON answer that begins with "Write a poem" is one. The one
liberty taken: a keyword that is both required and forbidden, although "category" contains a required "cat"
without being a forbidden "cat"; nobody means that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, permutations
from typing import TYPE_CHECKING

from .check import Bounds, Check

if TYPE_CHECKING:
    from .record import Constraint

_JSON_STARTS = '{["-0123456789tfn`'


def contradictions(pairs: Sequence[tuple[Constraint, Check]]) -> list[tuple[int, str]]:
    """(index of the later constraint, why it cannot hold) for each pair about the same text."""
    found: list[tuple[int, str]] = []
    for index, (_, check) in enumerate(pairs):
        found += [
            (index, f"no text has {_range(b)} {what}") for what, b in check.counts().items() if b[0] > b[1]
        ]
    for first, second in combinations(range(len(pairs)), 2):
        (one, a), (other, b) = pairs[first], pairs[second]
        if one.path == other.path and (reason := next(_reasons(a, b), None)):
            found.append((second, f"contradicts {one.id}: {reason}"))
    return found


def _reasons(a: Check, b: Check) -> Iterator[str]:
    yield from _counts(a, b)
    yield from _facts(a, b)
    for one, other in permutations((a, b)):
        yield from (
            f"{text!r} is both asked for and forbidden" for text in one.contains() if other.forbids(text)
        )
        yield from _case(one, other)
        yield from _json_opening(one, other)


def _counts(a: Check, b: Check) -> Iterator[str]:
    theirs = b.counts()
    for what, mine in a.counts().items():
        other = theirs.get(what, mine)
        if max(mine[0], other[0]) > min(mine[1], other[1]):
            yield f"{_range(mine)} and {_range(other)} {what}"


def _facts(a: Check, b: Check) -> Iterator[str]:
    theirs = b.facts()
    for what, mine in a.facts().items():
        other = theirs.get(what, mine)
        if what == "opening":
            fits = mine.startswith(other) or other.startswith(mine)
        elif what == "ending":
            fits = mine.endswith(other) or other.endswith(mine)
        else:
            fits = mine == other
        if not fits:
            yield f"{what} {mine[:60]!r} and {other[:60]!r}"


def _case(a: Check, b: Check) -> Iterator[str]:
    """A text of one case that has to spell something of the other."""
    case = a.facts().get("case")
    options = b.spells()
    if case == "small" and options and all(text != text.lower() for text in options):
        yield f"small letters only, and {options[0][:60]!r} has capital ones"
    if case == "capital" and options and all(text != text.upper() for text in options):
        yield f"capital letters only, and {options[0][:60]!r} has small ones"


def _json_opening(a: Check, b: Check) -> Iterator[str]:
    opening = b.facts().get("opening", "")
    if "json" in a.facts() and opening and opening[0] not in _JSON_STARTS:
        yield f"JSON does not begin with {opening[:60]!r}"


def _range(bounds: Bounds) -> str:
    low, high = bounds
    if high == float("inf"):
        return f"at least {low:g}"
    return f"exactly {low:g}" if low == high else f"{low:g} to {high:g}"
