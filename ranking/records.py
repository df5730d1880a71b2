"""What the ranking works on and what it says. Plain numbers and indices: it knows no branch and no task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Candidate:
    """One thing to be ranked."""

    passed: bool | None  #: None: unknown; tiered with the failures, and can never win
    score: float | None = None  #: graded objective in [0, 1], higher is better
    costs: tuple[float, ...] = ()  #: secondary, lower is better, compared in order (steps, then cost, ...)


@dataclass(frozen=True)
class Comparison:
    """One comparison of two candidates by index. `weight` below 1 for averaged repeats."""

    first: int
    second: int
    outcome: Literal["first", "second", "tie", "invalid"]
    source: str = "objective"
    weight: float = 1.0


@dataclass(frozen=True)
class RankedCandidate:
    """One line of a ranking."""

    index: int
    rank: int  #: 1 is best; equal ranks are ties
    tier: int  #: 0 is the passing tier
    theta: float | None  #: Bradley-Terry strength inside its tier (logits, centred); None: nothing to compare
    se: float | None
    component: int  #: connected component of the comparison graph inside the tier
    p_best: float | None = None  #: probability of being the strongest of its tier; None: nothing tells
    rank_low: int | None = None  #: 95 % interval of the rank; None: nothing was compared
    rank_high: int | None = None


@dataclass(frozen=True)
class Power:
    """How much a group of n outcomes can show. Field names and rules are the predecessor's, kept for its users."""

    n: int
    passes: int
    pass_rate: float | None
    ci_low: float | None  #: Wilson, 95 %
    ci_high: float | None
    powered: bool  #: n >= 10 and half-width < 30 pp (the predecessor's rule; it says little)
    min_detectable_delta_pp: (
        float | None
    )  #: two halves, Fisher exact, 80 % power; None: unattainable at this n
    mcnemar_p: float | None
    mcnemar_basis: Literal["heldout", "in_sample", "none"]  #: only "heldout" counts as evidence
    mcnemar_attainable: bool  #: whether p < 0.05 is possible at all at this n


@dataclass(frozen=True)
class Ranking:
    """The ranking of one group."""

    order: tuple[RankedCandidate, ...]  #: best first; every candidate that is not missing, once
    missing: tuple[int, ...]  #: candidates without an outcome; not ranked
    winner: int | None  #: None when nothing passed, or when the top cannot be told apart
    winner_reason: str
    power: Power
    comparisons: int  #: how many were used
    invalid: int
    converged: bool
    components: int  #: over 1: order across components is not supported by any comparison
