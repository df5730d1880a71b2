"""The errors of the ranking layer.

    RankingError                 the input cannot be ranked as it is; nothing was computed
    ├── EmptyGroup               a group without a single candidate
    ├── UnknownCandidate         a comparison names an index outside the group, or a candidate with itself
    ├── DuplicateCandidate       one candidate stands in its group twice
    ├── NonFiniteScore           a score, cost or weight that is NaN, infinite or out of its range
    ├── BudgetTooSmall           fewer questions than could compare every candidate with somebody
    ├── NotConverged             the Bradley-Terry fit did not reach its optimum
    ├── UnpairedKeys             two sides that are to be compared pair by pair have different keys
    ├── DuplicateKey             one side has two outcomes for one key
    └── LeakError                evidence was asked for, and the judge had seen the verdict

Not errors but results: nobody passed (`winner=None`), all ties, a single candidate, a comparison graph in
several components (`components > 1`).
"""

from __future__ import annotations


class RankingError(ValueError):
    """The input cannot be ranked. Says what, where, and what to do."""


class EmptyGroup(RankingError):
    """There is nobody to rank."""


class UnknownCandidate(RankingError):
    """A comparison names a candidate that is not in the group, or one candidate twice."""


class DuplicateCandidate(RankingError):
    """One candidate is in the group twice; it would be counted twice."""


class NonFiniteScore(RankingError):
    """A number that cannot be compared: NaN, infinite, or out of its range."""


class BudgetTooSmall(RankingError):
    """The calls do not suffice to compare everybody with somebody."""


class NotConverged(RankingError):
    """The fit stopped short of its optimum; its numbers would be wrong."""


class UnpairedKeys(RankingError):
    """What one side has and the other lacks; never an intersection in silence."""


class DuplicateKey(RankingError):
    """One key, two outcomes: which is meant?"""


class LeakError(RankingError):
    """The judge knew the outcome it is tested against: agreement would show nothing."""
