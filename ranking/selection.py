"""The winner's curse: what the chosen candidate is worth, when it was chosen because its number was high.

The best of several noisy numbers is too high on average. Held-out repeats of the chosen one, which had no
part in the choice, are unbiased: they are evidence. Without them the number can only be shrunk towards its
group by a model of how much the candidates really differ; that is labelled as a model, and is no evidence.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .calibration import Rate
from .checks import flag, number, positive, whole
from .errors import EmptyGroup, NonFiniteScore, UnknownCandidate
from .intervals import Z95, wilson
from .shrinkage import beta_binomial, normal_normal


@dataclass(frozen=True)
class Chosen:
    """The value of the chosen candidate: as it looked, and corrected."""

    raw: float  #: in the numbers that chose it: too high on average
    corrected: float
    low: float  #: 95 %, of the corrected value
    high: float
    basis: Literal["heldout", "model"]  #: only "heldout" is evidence
    of: int  #: how many candidates it was chosen from


def chosen_rate(
    passes: Sequence[int], repeats: Sequence[int], chosen: int, heldout: tuple[int, int] | None = None
) -> Chosen:
    """The pass rate of a candidate that was chosen by its passes, `passes[i]` of `repeats[i]` runs.

    `heldout`: (passes, runs) of the chosen one that had no part in the choice; the corrected value is their
    rate with Wilson's interval. Without any, they are `shrinkage.beta_binomial`'s. Raises `EmptyGroup`,
    `UnknownCandidate`, `NonFiniteScore`.
    """
    _check_group(len(passes), len(repeats), chosen)
    for c, m in zip(passes, repeats, strict=True):
        if whole(c, "passes") > whole(m, "runs"):
            raise NonFiniteScore(f"{c} passes of {m} runs: passes lie between 0 and the runs")
    if repeats[chosen] == 0:
        raise EmptyGroup(f"candidate {chosen} was chosen and has no run")
    raw = passes[chosen] / repeats[chosen]
    if heldout is not None and whole(heldout[1], "held-out runs") + whole(heldout[0], "held-out passes") > 0:
        if heldout[0] > heldout[1]:
            raise NonFiniteScore(f"{heldout[0]} passes of {heldout[1]} held-out runs")
        interval = wilson(*heldout) or (0.0, 1.0)
        return Chosen(raw, heldout[0] / heldout[1], *interval, "heldout", len(passes))
    return Chosen(raw, *beta_binomial(passes, repeats, chosen), "model", len(passes))


def chosen_score(
    scores: Sequence[float],
    ses: Sequence[float],
    chosen: int,
    heldout: tuple[float, float] | None = None,
) -> Chosen:
    """The score of a candidate that was chosen by its score, each with its standard error (above 0).

    `heldout`: (score, standard error) of the chosen one from runs that had no part in the choice. Without,
    the corrected value and its interval are `shrinkage.normal_normal`'s. Raises `EmptyGroup`,
    `UnknownCandidate`, `NonFiniteScore`.
    """
    _check_group(len(scores), len(ses), chosen)
    for score, se in (*zip(scores, ses, strict=True), *([heldout] if heldout else [])):
        number(score, "score")
        positive(se, f"standard error of the score {score}")
    raw = float(scores[chosen])
    if heldout is not None:
        half = Z95 * heldout[1]
        return Chosen(raw, heldout[0], heldout[0] - half, heldout[0] + half, "heldout", len(scores))
    return Chosen(raw, *normal_normal(scores, ses, chosen), "model", len(scores))


@dataclass(frozen=True)
class FalseWinners:
    """How many chosen candidates failed when they were verified again on something held out."""

    rate: Rate  #: share of those verified again that failed, 95 % interval over tasks
    failed: int
    unverified: int  #: chosen, and the second verification told nothing: in no rate
    tasks: int
    of_mean: float  #: candidates that a winner was chosen from, on average


def false_winner_rate(
    verified: Sequence[Sequence[bool | None]], candidates: Sequence[Sequence[int]]
) -> FalseWinners:
    """`verified[t]`: for each winner of task t whether it passed again, None if that could not be told.

    `candidates[t]`: how many each was chosen from. With one winner a task the interval is Wilson's, otherwise
    `mean_ci_by_task`'s. Raises `EmptyGroup` without any winner, `UnknownCandidate` when the two do not match.
    """
    if [len(task) for task in verified] != [len(task) for task in candidates]:
        raise UnknownCandidate(
            "for each winner, in the same order, the number of candidates it was chosen from"
        )
    sizes = [size for task in candidates for size in task]
    if not sizes:
        raise EmptyGroup("nobody was chosen, so there are no false winners")
    for size in sizes:
        whole(size, "candidates that a winner was chosen from", 1)
    failed = [
        [not flag(passed, "winner verified again") for passed in task if passed is not None]
        for task in verified
    ]
    told = [[float(each) for each in task] for task in failed if task]
    n = sum(map(len, told))
    rate = Rate.over_tasks(told) if n > len(told) else Rate.of(sum(map(sum, failed)), n)
    return FalseWinners(rate, sum(map(sum, failed)), len(sizes) - n, len(told), math.fsum(sizes) / len(sizes))


def _check_group(n: int, errors: int, chosen: int) -> None:
    if n == 0:
        raise EmptyGroup("nobody to choose from")
    if n != errors:
        raise UnknownCandidate(f"{n} candidates, and {errors} numbers of runs or errors: one for each")
    if not 0 <= whole(chosen, "chosen candidate", -n) < n:
        raise UnknownCandidate(f"candidate {chosen} was chosen and is not one of the {n} (0 to {n - 1})")
