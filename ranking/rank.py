"""Rank the branches of one group: objective tiers first, Bradley-Terry inside a tier."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from .bradley_terry import Fit, fit
from .checks import flag, number, whole
from .errors import EmptyGroup, NonFiniteScore, UnknownCandidate
from .places import places
from .power import report_power
from .records import Candidate, Comparison, RankedCandidate, Ranking
from .tiers import PASSING, tiers
from .wins import check

_EQUAL = 1e-9  # strengths closer than this are a tie; the fit is exact to about 1e-12


def rank(
    candidates: Sequence[Candidate | None],
    comparisons: Iterable[Comparison] | None = None,
    *,
    prior_sd: float = 1.0,
    heldout: Sequence[bool | None] | None = None,
    seed: int = 0,
    repeat_correlation: float = 1.0,
    equal: Sequence[int] | None = None,
) -> Ranking:
    """Rank one group; None is a candidate without an outcome, which is listed as missing and not ranked.

    `comparisons` default to `objective_comparisons(candidates)`. Those that cross tiers or touch a missing
    candidate are not used: nothing lifts a failing candidate above a passing one. The result does not depend
    on the order of candidates or comparisons (equal ranks are listed by index).

    A rank counts the candidates known to be better: those of better tiers, and those with a higher strength
    in the same tier and connected component. The winner is the single strongest passing candidate; without
    one, or when the top is tied or not connected by comparisons, there is none.

    `heldout`: for each candidate an outcome that had no part in the ranking; it makes `power.mcnemar_p`
    evidence. `seed`: of the draws behind `p_best` and the rank intervals. `repeat_correlation`: see `win_matrix`.

    `equal`: a label for each candidate; those of one label and tier are one and the same thing, and what is said of
    one holds for all: they have one strength, and only their own scores and costs order them. When nothing does, the
    first of them wins for all. Raises `EmptyGroup`, `UnknownCandidate`, `NonFiniteScore`, `NotConverged`.
    """
    if not candidates:
        raise EmptyGroup("a group of 0 candidates has no ranking; missing candidates are given as None")
    _check(candidates)
    whole(seed, "seed")
    if heldout is not None and len(heldout) != len(candidates):
        raise UnknownCandidate(f"{len(heldout)} held-out outcomes for {len(candidates)} candidates")
    labels = list(range(len(candidates))) if equal is None else list(equal)
    if len(labels) != len(candidates):
        raise UnknownCandidate(f"{len(labels)} labels of equal things for {len(candidates)} candidates")
    given = objective_comparisons(candidates) if comparisons is None else list(comparisons)
    for comparison in given:
        check(len(candidates), comparison)
    tally = _Tally()
    lines: list[RankedCandidate] = []
    for level, members in tiers(candidates).items():
        lines += _rank_tier(
            level,
            members,
            given,
            _Rules(candidates, labels, prior_sd, repeat_correlation, seed),
            len(lines),
            tally,
        )
    lines.sort(key=lambda line: (line.tier, line.rank, line.index))
    winner, reason = _winner([line for line in lines if line.tier == PASSING], labels, ranked=len(lines))
    in_order = [_passed(candidates[line.index]) for line in lines]
    second = None if heldout is None else [_held(heldout[line.index]) for line in lines]
    return Ranking(
        order=tuple(lines),
        missing=tuple(i for i, candidate in enumerate(candidates) if candidate is None),
        winner=winner,
        winner_reason=reason,
        power=report_power(in_order, ranked=True, heldout=second),
        comparisons=tally.used,
        invalid=sum(comparison.outcome == "invalid" for comparison in given),
        converged=tally.converged,
        components=tally.components,
    )


def objective_comparisons(candidates: Sequence[Candidate | None]) -> list[Comparison]:
    """Every pair inside a tier, decided by score, then by each cost in turn; equal throughout is a tie.

    A pair in which only one side has a score is left out: a missing score is not a low one.
    """
    _check(candidates)
    found: list[Comparison] = []
    for members in tiers(candidates).values():
        for i, j in combinations(members, 2):
            sign = _compare(candidates[i], candidates[j])
            if sign is not None:
                found.append(Comparison(i, j, "first" if sign > 0 else "second" if sign < 0 else "tie"))
    return found


@dataclass(frozen=True)
class _Rules:
    candidates: Sequence[Candidate | None]
    labels: Sequence[int]
    prior_sd: float
    repeat_correlation: float
    seed: int


@dataclass
class _Tally:
    used: int = 0
    components: int = 1
    converged: bool = True


def _rank_tier(
    level: int,
    members: Sequence[int],
    comparisons: Iterable[Comparison],
    rules: _Rules,
    better: int,
    tally: _Tally,
) -> list[RankedCandidate]:
    fitted = _fit_tier(members, comparisons, rules)
    tally.used += fitted.used
    tally.components = max(tally.components, max(fitted.components) + 1)
    tally.converged = tally.converged and fitted.converged
    where = places(fitted, seed=rules.seed)
    lines = []
    for position, index in enumerate(members):
        own = [k for k, label in enumerate(fitted.components) if label == fitted.components[position]]
        ahead = sum(fitted.theta[k] > fitted.theta[position] + _EQUAL for k in own)
        twins = [k for k in members if k != index and rules.labels[k] == rules.labels[index]]
        ahead += sum(_compare(rules.candidates[k], rules.candidates[index]) == 1 for k in twins)
        compared = len(own) > 1
        lines.append(
            RankedCandidate(
                index=index,
                rank=1 + better + int(ahead),
                tier=level,
                theta=float(fitted.theta[position]) if compared else None,
                se=float(fitted.se[position]) if compared else None,
                component=fitted.components[position],
                p_best=where.p_best[position],
                rank_low=better + where.low[position] if compared else None,
                rank_high=better + where.high[position] if compared else None,
            )
        )
    return lines


def _fit_tier(members: Sequence[int], comparisons: Iterable[Comparison], rules: _Rules) -> Fit:
    """One strength for each label, as a fit of all members."""
    distinct = sorted({rules.labels[index] for index in members})
    place = {index: distinct.index(rules.labels[index]) for index in members}
    inside = [
        replace(c, first=place[c.first], second=place[c.second])
        for c in comparisons
        if c.first in place and c.second in place and place[c.first] != place[c.second]
    ]
    fitted = fit(len(distinct), inside, rules.prior_sd, repeat_correlation=rules.repeat_correlation)
    at = [place[index] for index in members]
    return replace(
        fitted,
        theta=fitted.theta[at],
        cov=fitted.cov[np.ix_(at, at)],
        se=fitted.se[at],
        components=tuple(fitted.components[k] for k in at),
    )


def _winner(
    passing: Sequence[RankedCandidate], labels: Sequence[int], *, ranked: int
) -> tuple[int | None, str]:
    if not ranked:
        return None, "no candidate has an outcome"
    if not passing:
        return None, f"none of {ranked} passed"
    if len(passing) == 1:
        return passing[0].index, f"the only one of {ranked} that passed"
    parts = {line.component for line in passing}
    if len(parts) > 1:
        return None, f"the {len(passing)} that passed fall into {len(parts)} groups never compared"
    top = [line for line in passing if line.rank == 1]
    if len({labels[line.index] for line in top}) > 1:
        return None, f"tie of {len(top)} at the top of {len(passing)} that passed"
    if len(top) > 1:
        return top[0].index, f"strongest of {len(passing)} that passed, for {len(top)} that are the same"
    return top[0].index, f"strongest of {len(passing)} that passed"


def _compare(first: Candidate | None, second: Candidate | None) -> int | None:
    """1: the first is better, -1: the second, 0: equal, None: cannot be compared."""
    if first is None or second is None or (first.score is None) != (second.score is None):
        return None
    if first.score is not None and second.score is not None and first.score != second.score:
        return 1 if first.score > second.score else -1
    for mine, other in zip(first.costs, second.costs, strict=False):
        if mine != other:
            return 1 if mine < other else -1
    return 0


def _passed(candidate: Candidate | None) -> bool:
    """Unknown counts as not passed in the rate too: work that hides its result gains nothing by it."""
    return candidate is not None and candidate.passed is True


def _held(outcome: bool | None) -> bool:
    return outcome is not None and flag(outcome, "held-out outcome")


def _check(candidates: Sequence[Candidate | None]) -> None:
    for index, candidate in enumerate(candidates):
        if candidate is None:
            continue
        if candidate.passed is not None:
            flag(candidate.passed, f"candidate {index}")
            if not isinstance(candidate.passed, bool):  # tiers take nothing but True for a pass
                raise NonFiniteScore(
                    f"candidate {index}: passed is True, False or None, not {candidate.passed!r}"
                )
        for value in (candidate.score, *candidate.costs):
            if value is not None:
                number(value, f"candidate {index} (None is a missing score)")
