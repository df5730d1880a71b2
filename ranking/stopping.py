"""When a batch of branches of one task has been long enough, and what its pass rate is after such a stop.

A rule is part of the result: the rate of passes after a stop that depended on them is biased (a batch that
stops at its fourth pass ends on a pass). So a decision carries its rule, and in place of the raw rate an
estimate without bias and an interval that hold under the rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

from .checks import flag, inner, whole
from .errors import NonFiniteScore
from .sequential import ALPHA, against_at_least, against_at_most, confidence_sequence


@dataclass(frozen=True)
class Futility:
    """Stop when the pass rate is shown to be below `low` or above `high`: too little to learn from.

    Each side is an e-process with error `alpha`; at a rate of exactly `low` or `high`, or between, either
    stops wrongly with probability `alpha` at most, however long the batch.
    """

    low: float = 0.10
    high: float = 0.90
    alpha: float = ALPHA

    def __post_init__(self) -> None:
        inner(self.alpha, "alpha")
        if inner(self.low, "low") > inner(self.high, "high"):
            raise NonFiniteScore(f"{self}: 0 < low <= high < 1 and 0 < alpha < 1")

    def reason(self, passes: int, fails: int) -> str:
        """Why to stop; "" to go on."""
        if against_at_least(passes, fails, self.low) >= 1.0 / self.alpha:
            return f"futility: pass rate below {self.low:g}"
        if against_at_most(passes, fails, self.high) >= 1.0 / self.alpha:
            return f"futility: pass rate above {self.high:g}"
        return ""


@dataclass(frozen=True)
class Contrast:
    """Stop when there are enough of both: `passes` to choose from and `fails` to set against them."""

    passes: int = 4
    fails: int = 4

    def __post_init__(self) -> None:
        for count in (self.passes, self.fails):  # without one of each nothing is set against anything
            whole(count, "contrast: passes or fails", 1)

    def reason(self, passes: int, fails: int) -> str:
        """Why to stop; "" to go on."""
        passes, fails = whole(passes, "passes"), whole(fails, "fails")
        enough = passes >= self.passes and fails >= self.fails
        return f"contrast: at least {self.passes} passes and {self.fails} fails" if enough else ""


@dataclass(frozen=True)
class Decision:
    """What a stopping rule says about the outcomes so far. `asdict` of it is what a run record keeps."""

    rule: dict[str, object]  #: the names of the rules with their parameters, and the cap
    stop: bool
    reason: str  #: "" while it goes on
    used: int  #: outcomes until the stop, without the missing; later ones had no part in it
    passes: int
    fails: int
    missing: int  #: until the stop
    e_low: float | None  #: against "the pass rate is at least `low`"; None without a futility rule
    e_high: float | None  #: against "the pass rate is at most `high`"
    rate_raw: float | None  #: passes / used: biased by the stop
    rate_unbiased: float | None  #: None while it goes on
    rate_low: float  #: 95 % confidence sequence: holds at this stop as at any other
    rate_high: float


@dataclass(frozen=True)
class StopRule:
    """For the branches of one task: at most `cap`, fewer when a rule says so. None: without that rule."""

    cap: int = 64
    contrast: Contrast | None = Contrast()
    futility: Futility | None = Futility()

    def __post_init__(self) -> None:
        whole(self.cap, "cap: branches of a batch", 1)

    def decide(self, outcomes: Sequence[bool | None]) -> Decision:
        """Decide on the outcomes so far, in the order in which they were started; None is a missing one.

        The rules are asked after every outcome, so that a stop stands at the first point that called for it,
        also when more branches were in flight. A missing outcome counts towards the cap (a broken machine
        must not run on) and towards nothing else.
        """
        passes = fails = missing = 0
        reason = ""
        for outcome in [None if each is None else flag(each, "outcome (None: missing)") for each in outcomes]:
            missing += outcome is None
            passes += outcome is True
            fails += outcome is False
            reason = self._reason(passes, fails, missing)
            if reason:
                break
        used = passes + fails
        low, high = confidence_sequence(passes, fails)
        return Decision(
            rule=self.parameters(),
            stop=bool(reason),
            reason=reason,
            used=used,
            passes=passes,
            fails=fails,
            missing=missing,
            e_low=None if self.futility is None else against_at_least(passes, fails, self.futility.low),
            e_high=None if self.futility is None else against_at_most(passes, fails, self.futility.high),
            rate_raw=passes / used if used else None,
            rate_unbiased=unbiased_rate(self, passes, fails, missing) if reason and used else None,
            rate_low=low,
            rate_high=high,
        )

    def parameters(self) -> dict[str, object]:
        """The rule as plain values."""
        return {
            "cap": self.cap,
            "contrast": None if self.contrast is None else asdict(self.contrast),
            "futility": None if self.futility is None else asdict(self.futility),
        }

    def _reason(self, passes: int, fails: int, missing: int) -> str:
        for rule in (self.contrast, self.futility):
            reason = rule.reason(passes, fails) if rule is not None else ""
            if reason:
                return reason
        return f"cap: {self.cap} branches" if passes + fails + missing >= self.cap else ""


def unbiased_rate(rule: StopRule, passes: int, fails: int, missing: int = 0) -> float:
    """The pass rate without bias after a stop at this point: the share of ways there that begin with a pass.

    All orders of outcomes that lead to one stopping point without stopping before are equally likely,
    whatever the rate, and the first outcome is unbiased; this is its mean given the stopping point. Girshick,
    Mosteller and Savage, Ann. Math. Stat. 17 (1946) 13. Missing outcomes are taken as independent of what
    they would have been. Raises `NonFiniteScore` when the rule does not stop there, or stops on every way
    there.
    """
    passes, fails, missing = whole(passes, "passes"), whole(fails, "fails"), whole(missing, "missing")
    if passes + fails == 0:
        raise NonFiniteScore("no outcomes, so no pass rate")
    if not _stops(rule, passes, fails, missing):
        raise NonFiniteScore(f"{rule} does not stop at {passes} passes and {fails} fails")
    every = _ways(rule, missing, (0, 0), passes, fails)
    if every == 0:
        raise NonFiniteScore(f"{rule} never gets to {passes} passes and {fails} fails: it stops before")
    begun = 0 if passes == 0 else _ways(rule, missing, (1, 0), passes, fails)
    return begun / every


def _ways(rule: StopRule, missing: int, start: tuple[int, int], passes: int, fails: int) -> int:
    """In how many orders the outcomes lead from `start` to the end without a stop on the way."""
    ways = {start: 1}
    for w in range(start[0], passes + 1):
        for lost in range(start[1], fails + 1):
            here = (w, lost)
            if here != start:
                ways[here] = sum(
                    ways[before]
                    for before in ((w - 1, lost), (w, lost - 1))
                    if before in ways and not _stops(rule, *before, missing)
                )
    return ways[passes, fails]


@lru_cache(maxsize=1 << 16)
def _stops(rule: StopRule, passes: int, fails: int, missing: int) -> bool:
    return passes + fails > 0 and bool(rule._reason(passes, fails, missing))
