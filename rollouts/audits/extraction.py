"""Why an answer was scored wrong, as far as its text tells: one channel an item, the first that applies.

    A_truncated            the output was cut off before it stated an answer
    A_extract              the text states the expected answer, and the scorer did not see it
    B_stepwise             its own steps, calculated again, end in the expected answer
    B_selfcorrect_regress  it had the expected answer, corrected itself, and ended elsewhere
    C_token                the digits of the expected answer, read apart by a separator (1.234 for 1,234)
    class2                 none of these: the model's own mistake, as far as the text tells
    unknown                there is no text, or nothing to compare it with

Every channel is a fixed rule on the text, the expected answer and the truncation flag; nothing is executed.
Names and order are those of T0v2 triage ("Silent Contamination in LLM Merging Evaluation"), whose `A_extract_v2`
is `A_extract` here. Two rules are stricter: a number counts only whole ("3" is not in "13"), and where a text
states an answer explicitly, a number in its last sentence is not taken for another one.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal, get_args

from ranking.calibration import Rate

from .answers import MOST_CHARS, first_number, gold, implied, number, same, says, stated, statements, value
from .arithmetic import equations, recalculated
from .claim_items import Item

Channel = Literal[
    "A_truncated", "A_extract", "B_stepwise", "B_selfcorrect_regress", "C_token", "class2", "unknown"
]
CHANNELS: tuple[Channel, ...] = get_args(Channel)

_CUE = re.compile(
    r"\b(?:wait|hold on|let me (?:re|check|correct|try)|let's (?:re|correct|try)|on second thought|correction"
    r"|i made (?:a|an) (?:mistake|error)|(?:that|this) is (?:wrong|incorrect|not right)|actually)",
    re.IGNORECASE,
)
_GAP = r"[. \u00a0\u202f'’]"
_TOKEN = re.compile(rf"\d{{1,40}}(?:(?:,|{_GAP})\d{{1,40}}){{0,12}}")
#: 1.234 or 1 234 for a thousand and more, 1,5 for one and a half
_CONTINENTAL = re.compile(rf"\d{{1,3}}(?:{_GAP}\d{{3}}){{0,12}}(?:,\d{{1,40}})?")
_EXAMPLES = 3


@dataclass(frozen=True)
class Triage:
    """The channels of one side's wrong answers.

    `case` is the predecessor's advice from the same numbers, for information: "beta" (vote over several
    samples) when at least 30 % of the wrong items tested are a lottery, "alpha" (repair the measurement) when
    the channels but `class2` make up at least 15 % of all items, else "gamma" (the model's limit). None when
    no wrong answer could be looked at.
    """

    items: int
    wrong: int
    counts: dict[Channel, int]
    examples: dict[Channel, tuple[str, ...]]
    case: Literal["alpha", "beta", "gamma"] | None


@dataclass(frozen=True)
class Lottery:
    """Of the wrong items with repeated answers, the share whose repeats vote for the right one."""

    rate: Rate
    won: int
    tested: int


def triage(items: Iterable[Item], lottery: Lottery) -> Triage:
    """Every wrong item's channel, counted."""
    items = list(items)
    found: dict[Channel, list[str]] = {channel: [] for channel in CHANNELS}
    for item in items:
        if item.correct is False:
            found[channel(item)].append(item.id)
    counts = {name: len(ids) for name, ids in found.items()}
    wrong = sum(counts.values())
    looked_at = wrong - counts["unknown"]
    repairable = looked_at - counts["class2"]
    case: Literal["alpha", "beta", "gamma"] | None = None
    if lottery.tested and lottery.won / lottery.tested >= 0.30:
        case = "beta"
    elif looked_at:
        case = "alpha" if repairable / len(items) >= 0.15 else "gamma"
    examples = {name: tuple(sorted(ids)[:_EXAMPLES]) for name, ids in found.items() if ids}
    return Triage(len(items), wrong, counts, examples, case)


def channel(item: Item) -> Channel:
    """The first channel that applies to an item that was scored wrong."""
    text = item.text
    if item.truncated and (text is None or stated(text) is None):
        return "A_truncated"
    if not text or item.expected is None:
        return "unknown"
    expected = gold(item.expected)
    if not expected:
        return "unknown"
    if _states(text, expected) or (item.predicted is not None and same(item.predicted, expected)):
        return "A_extract"
    wanted = number(expected)
    if wanted is not None:
        if _steps_give(text, wanted):
            return "B_stepwise"
        if _had_it(text, wanted):
            return "B_selfcorrect_regress"
        if _same_digits(text, wanted):
            return "C_token"
    return "class2"


def reread(item: Item) -> bool | None:
    """The outcome by the answer the text states explicitly; None when it states none that can be compared.

    For a number both directions: a stated 13 that was scored right for an expected 3 becomes wrong. For
    words only a stated answer that was not seen; a differently worded one may well have been right.
    """
    if item.correct is None or not item.text or item.expected is None:
        return None
    last, expected = stated(item.text), gold(item.expected)
    if last is None or not expected:
        return None
    if says(last.text, expected):
        return True
    comparable = number(expected) is not None and first_number(last.text) is not None
    return False if comparable else None


def lottery(items: Iterable[Item]) -> Lottery:
    """The vote of the repeats of every wrong item; items without repeats are not tested.

    Repeats that are flags win by more than half of them; repeats that are answers win when the expected one is
    the most frequent, empty ones not counted. A tie wins nothing.
    """
    outcomes = [
        _vote(item.samples, item.expected) for item in items if item.correct is False and item.samples
    ]
    known = [each for each in outcomes if each is not None]
    return Lottery(Rate.of(sum(known), len(known)), sum(known), len(known))


def _vote(samples: Sequence[str | bool], expected: str | None) -> bool | None:
    flags = [each for each in samples if isinstance(each, bool)]
    if flags:
        return 2 * sum(flags) > len(flags)
    answers = [gold(each) for each in samples if isinstance(each, str) and each.strip()]
    if expected is None or not gold(expected):
        return None
    ballots = Counter(_ballot(each) for each in answers).most_common(2)
    if not ballots or (len(ballots) == 2 and ballots[0][1] == ballots[1][1]):
        return False
    return ballots[0][0] == _ballot(gold(expected))


def _ballot(answer: str) -> str | Fraction:
    exact = number(answer)
    return " ".join(answer.casefold().split()).strip(" .()") if exact is None else exact


def _states(text: str, expected: str) -> bool:
    last = stated(text)
    if last is not None:
        return says(last.text, expected)
    return number(expected) is not None and any(says(each.text, expected) for each in implied(text))


def _steps_give(text: str, wanted: Fraction) -> bool:
    chain = equations(text)
    return bool(chain) and recalculated(chain) == wanted


def _had_it(text: str, wanted: Fraction) -> bool:
    """A result or a stated answer had the value, a correction follows, and no later result has it."""
    tail = text[-MOST_CHARS:]
    results: list[tuple[int, Fraction | None]] = [(each.at, each.claimed) for each in equations(tail)]
    results += [(each.at, first_number(each.text)) for each in statements(tail)]
    right = [at for at, found in results if found == wanted]
    if not right:
        return False
    later = [at for at, found in results if at > max(right) and found is not None]
    return any(
        cue.start() > max(right) and any(at > cue.start() for at in later) for cue in _CUE.finditer(tail)
    )


def _same_digits(text: str, wanted: Fraction) -> bool:
    """The final value is the expected one, with the other signs for thousands and decimals."""
    last = stated(text)
    tokens = _TOKEN.findall(last.text if last is not None else text[-200:])
    if not tokens:
        return False
    final = tokens[0] if last is not None else tokens[-1]
    if not _CONTINENTAL.fullmatch(final):
        return False
    return value(re.sub(r"[^\d,]", "", final).replace(",", ".")) == wanted
