"""How well a judge agrees with what is known: agreement, rates, and what it goes by instead of the work."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from .cluster import mean_ci_by_task
from .errors import EmptyGroup
from .intervals import wilson


@dataclass(frozen=True)
class Rate:
    """A share with its 95 % interval; all None when there was nothing to count."""

    value: float | None
    low: float | None
    high: float | None
    n: int

    @classmethod
    def of(cls, hits: int, n: int) -> Rate:
        """Wilson's interval."""
        found = wilson(hits, n)
        return cls(None, None, None, 0) if found is None else cls(hits / n, *found, n)

    @classmethod
    def over_tasks(cls, groups: Sequence[Sequence[float]]) -> Rate:
        """Mean over tasks of values in [0, 1], with the interval of `mean_ci_by_task`; `n` counts the values."""
        return cls(*mean_ci_by_task(groups), sum(map(len, groups)))


def auc_by_task(groups: Sequence[Sequence[float]]) -> Rate:
    """P(the better of a pair is preferred), ties one half: the area under the ROC curve of the judge's order.

    `groups`: for each task the outcomes of its pairs, 1 right, 0 wrong, 0.5 a tie. The task is the unit of the
    interval. Bamber, J. Math. Psych. 12 (1975) 387, for the identity.
    """
    return Rate.over_tasks(groups)


def cohen_kappa(first: Sequence[Hashable], second: Sequence[Hashable]) -> float | None:
    """Agreement of two raters beyond chance; None where chance alone gives full agreement.

    Cohen, Educ. Psychol. Meas. 20 (1960) 37. Raises `EmptyGroup`, and `ValueError` for unequal lengths.
    """
    if len(first) != len(second):
        raise ValueError(f"{len(first)} ratings against {len(second)}")
    n = len(first)
    if n == 0:
        raise EmptyGroup("no ratings, no agreement")
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n
    ours, theirs = Counter(first), Counter(second)
    expected = sum(ours[label] * theirs[label] for label in ours) / n**2
    return None if expected >= 1.0 else (observed - expected) / (1.0 - expected)
