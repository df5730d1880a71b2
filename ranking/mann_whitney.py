"""The exact one-sided Mann-Whitney test in strata: do the scores put passing candidates above failing ones?

U counts, over all pairs of a passing and a failing candidate of one stratum, how often the passing one has
the higher score, a tie one half; the statistic is the sum of U over strata. Under the null the outcomes of a
stratum are exchangeable: every choice of the same number of passing candidates is equally likely. That
distribution is counted out exactly for each stratum, ties included, and the strata are convolved. Mann and
Whitney, Ann. Math. Stat. 18 (1947) 50; van Elteren, Bull. Int. Stat. Inst. 37 (1960) 351, for strata;
Streitberg and Röhmel, Stat. Softw. Newsl. 12 (1986) 10, for the counting.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from .checks import flag, number
from .errors import UnknownCandidate

Array = NDArray[np.float64]

_MAX_STRATUM = 10**8  # additions for one stratum's distribution: some tenths of a second
_MAX_CONVOLVED = 3 * 10**8


@dataclass(frozen=True)
class Stratum:
    """One task: a score and a pass or fail for each candidate; one with a None is left out of the test."""

    scores: Sequence[float | None]  #: higher is better
    passed: Sequence[bool | None]

    @classmethod
    def of_passes(cls, passed: Sequence[bool | None]) -> Stratum:
        """A verifier that only passes or fails: its outcomes are its scores."""
        return cls([None if each is None else float(each) for each in passed], passed)

    def known(self) -> tuple[list[float], list[float]]:
        """Scores of the passing, scores of the failing. Raises `UnknownCandidate`, `NonFiniteScore`."""
        if len(self.scores) != len(self.passed):
            raise UnknownCandidate(
                f"{len(self.scores)} scores for {len(self.passed)} outcomes: one each, in the same order, "
                "None where there is none"
            )
        passing: list[float] = []
        failing: list[float] = []
        for score, passed in zip(self.scores, self.passed, strict=True):
            if score is None or passed is None:
                continue
            known = passing if flag(passed, "outcome (None is a missing one)") else failing
            known.append(number(score, "score (None is a missing one)"))
        return passing, failing


@dataclass(frozen=True)
class MannWhitney:
    """What the strata say together."""

    u: float  #: pairs of a passing and a failing candidate of one stratum that stand right, ties one half
    pairs: int
    p: float | None  #: one-sided; None: no stratum has both outcomes
    method: Literal["exact", "normal", "none"]  #: "normal": too large to count; tie and continuity corrected
    strata: int  #: with both outcomes; the others say nothing
    one_sided: int  #: strata with one outcome only, or with none
    aucs: tuple[float, ...]  #: u / pairs of each stratum with both outcomes


def mann_whitney(strata: Iterable[Stratum]) -> MannWhitney:
    """One-sided p for "passing candidates have higher scores", conditional on the outcomes of each stratum.

    Valid for any number and size of strata, also one; it does not depend on the order of strata or
    candidates. Raises `UnknownCandidate`, `NonFiniteScore`.
    """
    given = [stratum.known() for stratum in strata]
    both = [(np.sort(passing), np.sort(failing)) for passing, failing in given if passing and failing]
    if not both:
        return MannWhitney(0.0, 0, None, "none", 0, len(given), ())
    doubled = [_doubled_u(passing, failing) for passing, failing in both]
    pairs = [len(passing) * len(failing) for passing, failing in both]
    p = _exact(both, sum(doubled))
    return MannWhitney(
        u=sum(doubled) / 2.0,
        pairs=sum(pairs),
        p=_normal(both, sum(doubled)) if p is None else p,
        method="normal" if p is None else "exact",
        strata=len(both),
        one_sided=len(given) - len(both),
        aucs=tuple(u / (2.0 * each) for u, each in zip(doubled, pairs, strict=True)),
    )


def _doubled_u(passing: Array, failing: Array) -> int:
    below = np.searchsorted(failing, passing, side="left")
    up_to = np.searchsorted(failing, passing, side="right")
    return int((below + up_to).sum())


def _exact(both: Sequence[tuple[Array, Array]], observed: int) -> float | None:
    """P(sum of doubled U >= observed), or None when counting takes too long."""
    parts = []
    for passing, failing in both:
        ranks = _doubled_ranks(np.concatenate([passing, failing]))
        small = min(len(passing), len(failing))
        step = max(1, math.gcd(*(ranks - ranks[0]).tolist()))
        scaled = tuple(((ranks - ranks[0]) // step).tolist())
        if len(scaled) * small * sum(scaled[-small:]) > _MAX_STRATUM:
            return None
        pmf = _pmf(scaled, small)
        lowest = small * int(ranks[0]) + step * sum(scaled[:small]) - small * (small + 1)
        if len(failing) < len(passing):  # counted for the failing ones, whose U is what is left of all pairs
            pmf = pmf[::-1]
            lowest = 2 * len(passing) * len(failing) - lowest - step * (len(pmf) - 1)
        parts.append((pmf, step, lowest))
    common = math.gcd(*(step for _, step, _ in parts))
    sizes = sorted(len(pmf) * step // common for pmf, step, _ in parts)
    if (
        sum(size * total for size, total in zip(sizes, np.cumsum(sizes).tolist(), strict=True))
        > _MAX_CONVOLVED
    ):
        return None
    whole = np.ones(1)
    for pmf, step, _ in sorted(parts, key=lambda part: (len(part[0]), part[1], part[2], part[0].tobytes())):
        spread = np.zeros((len(pmf) - 1) * (step // common) + 1)
        spread[:: step // common] = pmf
        whole = np.convolve(whole, spread)
    place = (observed - sum(lowest for _, _, lowest in parts)) // common
    return min(1.0, math.fsum(whole[place:].tolist()))


def _doubled_ranks(values: Array) -> NDArray[np.int64]:
    """Twice the mean ranks, ascending: whole numbers with ties, too."""
    _, counts = np.unique(values, return_counts=True)
    last = np.cumsum(counts)
    doubled: NDArray[np.int64] = np.repeat(2 * last - counts + 1, counts).astype(np.int64)
    return doubled


@lru_cache(maxsize=512)
def _pmf(ranks: tuple[int, ...], size: int) -> Array:
    """Probability of each sum of `size` of these ascending ranks, drawn without replacement."""
    top = sum(ranks[-size:])
    ways = np.zeros((size + 1, top + 1))
    ways[0, 0] = 1.0
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, : top + 1 - rank].copy()
    least = sum(ranks[:size])
    counts: Array = ways[size, least:] / ways[size].sum()
    counts.setflags(write=False)
    return counts


def _normal(both: Sequence[tuple[Array, Array]], observed: int) -> float:
    """The normal approximation with ties and continuity corrected (half a step of U)."""
    from scipy.special import ndtr

    mean = variance = 0.0
    for passing, failing in both:
        m, n = len(passing), len(failing)
        _, counts = np.unique(np.concatenate([passing, failing]), return_counts=True)
        ties = float((counts.astype(float) ** 3 - counts).sum()) / ((m + n) * (m + n - 1))
        mean += m * n / 2.0
        variance += m * n / 12.0 * (m + n + 1 - ties)
    if variance <= 0.0:
        return 1.0
    return float(ndtr(-(observed / 2.0 - mean - 0.5) / math.sqrt(variance)))
