"""Two policies on the same tasks: the difference, its interval, and the test that fits the design."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .checks import inner, whole
from .cluster import obuchowski_interval
from .clustered import obuchowski, sign_flip, sign_flip_attainable, sign_flip_interval
from .errors import EmptyGroup
from .intervals import tango
from .paired import mcnemar_exact, mcnemar_mid_p
from .paired_power import Spread, clustered_mdd, mcnemar_mdd
from .pairing import By, PairedTask, Side, pair

Test = Literal["mcnemar_mid_p", "obuchowski", "sign_flip"]

#: Tasks from which on the clustered z test holds its level; below, signs are flipped task by task.
FEW_TASKS = 20
_INTERVALS = {"mcnemar_mid_p": "tango", "obuchowski": "obuchowski_score", "sign_flip": "sign_flip"}


@dataclass(frozen=True)
class TaskDifference:
    """One task. Rates and scores lie in [0, 1]; differences are second minus first."""

    task: str
    pairs: int  #: with both outcomes; paired by task only: 1 or 0
    mean_a: float | None  #: over the outcomes that the difference is about
    mean_b: float | None
    delta_pp: float | None  #: percentage points; None: no pair has both outcomes
    b: int | None  #: pairs that only the first won (or won by score); None when only tasks are paired
    c: int | None  #: pairs that only the second won
    missing_a: int
    missing_b: int


@dataclass(frozen=True)
class PairedComparison:
    """The second side against the first. Each task counts the same, whatever its number of pairs."""

    n_pairs: int  #: pairs with both outcomes; paired by task only: tasks
    n_tasks: int  #: with at least one such pair
    seeds: int  #: most pairs of any task; paired by task only: most outcomes of any task on one side
    mean_a: float  #: mean over tasks
    mean_b: float
    delta_pp: float  #: percentage points, second minus first
    ci_low_pp: float | None  #: None for a single task with several seeds: nothing is known of other tasks
    ci_high_pp: float | None
    confidence: float
    interval: str  #: "tango", "obuchowski_score" or "sign_flip"
    simultaneous_pp: tuple[float, float] | None  #: that all `comparisons` hold together (Bonferroni)
    p: float
    attainable: bool  #: whether any outcomes of so many tasks could have p < 1 - confidence
    test: Test
    b: int | None  #: pairs that only the first won; None when only tasks are paired
    c: int | None
    p_exact_pooled: float | None  #: McNemar over all pairs; with several seeds it is NOT the test
    mdd_pp: float | None  #: found in 80 % of cases by this design and spread; None: no difference is
    spread: Spread | None  #: for planning; None: one pair a task, or nothing varies
    n_missing_a: int
    n_missing_b: int
    delta_low_worst_pp: float  #: if all missing of the first had won and all of the second lost
    delta_high_worst_pp: float  #: the reverse
    tasks: tuple[TaskDifference, ...]  #: all, by name

    @property
    def sign_survives(self) -> bool:
        """The difference keeps its sign whatever the missing outcomes would have been."""
        return (self.delta_pp > 0 and self.delta_low_worst_pp > 0) or (
            self.delta_pp < 0 and self.delta_high_worst_pp < 0
        )


def compare(
    a: Side, b: Side, *, by: By = "seed", confidence: float = 0.95, comparisons: int = 1, seed: int = 0
) -> PairedComparison:
    """Compare two policies' outcomes, keyed by (task, seed): 1 or 0, a score in [0, 1], or None for missing.

    The test follows from the design. Pass or fail with one pair a task: McNemar's mid-p (size at most 0.065
    at a nominal 0.05) and Tango's interval. Several pairs a task: Obuchowski's test and the interval it
    gives, from 20 tasks on; sign flips task by task and the interval they give below, for scores, and when
    only tasks are paired (`by="task"`: seeds do not correspond, numbers may differ). Of fewer than 6 tasks no
    signs reject at 0.05: `attainable` is False, and the interval is everything. Equal outcomes throughout
    have p = 1 and an interval with a width. Pairs that lack an outcome are in no rate: they are
    counted, and the worst-case bounds say what they could change.

    `comparisons`: how many are made together, for `simultaneous_pp`; their p-values go through `holm`.
    `seed` draws the signs beyond `clustered.EXACT_UP_TO` tasks. Raises `UnpairedKeys`, `DuplicateKey`,
    `NonFiniteScore`, and `EmptyGroup` when no pair has both outcomes.
    """
    inner(confidence, "confidence")
    whole(comparisons, "comparisons", 1)
    whole(seed, "seed")
    tasks = pair(a, b, by)
    told = [(task, difference) for task in tasks if (difference := task.difference) is not None]
    if not told:
        raise EmptyGroup("no pair has an outcome on both sides: there is nothing to compare")
    known = [task for task, _ in told]
    design = _Design.of(known, [difference for _, difference in told], by)
    low_high = design.interval(confidence, seed)
    together = design.interval(1 - (1 - confidence) / comparisons, seed) if comparisons > 1 else None
    lines = tuple(map(_line, tasks))
    delta = _mean(design.differences)
    return PairedComparison(
        n_pairs=len(design.pairs),
        n_tasks=len(known),
        seeds=_seeds(known, by),
        mean_a=_mean([_mean(task.outcomes[0]) for task in known]),
        mean_b=_mean([_mean(task.outcomes[1]) for task in known]),
        delta_pp=100.0 * delta,
        ci_low_pp=100.0 * low_high[0] if low_high else None,
        ci_high_pp=100.0 * low_high[1] if low_high else None,
        confidence=confidence,
        interval=_INTERVALS[design.test],
        simultaneous_pp=(100.0 * together[0], 100.0 * together[1]) if together else None,
        p=design.p(seed),
        attainable=design.attainable(1.0 - confidence),
        test=design.test,
        b=design.b if by == "seed" else None,
        c=design.c if by == "seed" else None,
        p_exact_pooled=mcnemar_exact(design.b, design.c) if design.binary else None,
        mdd_pp=design.mdd_pp(delta),
        spread=Spread.seen([task.differences for task in known], design.binary) if by == "seed" else None,
        n_missing_a=sum(line.missing_a for line in lines),
        n_missing_b=sum(line.missing_b for line in lines),
        delta_low_worst_pp=100.0 * _mean([task.worst(1.0, 0.0) for task in tasks]),
        delta_high_worst_pp=100.0 * _mean([task.worst(0.0, 1.0) for task in tasks]),
        tasks=lines,
    )


@dataclass(frozen=True)
class _Design:
    """What the data are, and so which test and which interval."""

    test: Test
    binary: bool  #: pass or fail, pair by pair
    differences: list[float]  #: one a task
    pairs: list[float]
    b: int
    c: int

    @classmethod
    def of(cls, tasks: Sequence[PairedTask], differences: list[float], by: By) -> _Design:
        pairs = [each for task in tasks for each in task.differences]
        binary = by == "seed" and all(
            value in (0.0, 1.0) for task in tasks for side in task.outcomes for value in side
        )
        single = len(pairs) == len(tasks)
        test: Test = "sign_flip"
        if binary and single:
            test = "mcnemar_mid_p"
        elif binary and len(tasks) >= FEW_TASKS:
            test = "obuchowski"
        return cls(test, binary, differences, pairs, b=sum(d < 0 for d in pairs), c=sum(d > 0 for d in pairs))

    def p(self, seed: int) -> float:
        if self.test == "mcnemar_mid_p":
            return mcnemar_mid_p(self.b, self.c)
        return (
            obuchowski(self.differences) if self.test == "obuchowski" else sign_flip(self.differences, seed)
        )

    def attainable(self, alpha: float) -> bool:
        if self.test == "mcnemar_mid_p":
            return mcnemar_mid_p(len(self.pairs), 0) < alpha
        tasks = len(self.differences)
        if self.test == "obuchowski":
            return obuchowski([1.0] * tasks) < alpha
        return sign_flip_attainable(tasks, alpha)

    def interval(self, confidence: float, seed: int) -> tuple[float, float] | None:
        from scipy.special import ndtri

        if self.test == "mcnemar_mid_p":
            return tango(len(self.pairs), self.b, self.c, z=float(ndtri((1.0 + confidence) / 2.0)))
        if self.test == "obuchowski":
            return obuchowski_interval(self.differences, confidence)
        return sign_flip_interval(self.differences, confidence, seed)

    def mdd_pp(self, delta: float) -> float | None:
        if self.test == "mcnemar_mid_p":
            found = mcnemar_mdd(len(self.pairs), (self.b + self.c) / len(self.pairs))
        else:
            n = len(self.differences)
            spread = math.fsum((d - delta) ** 2 for d in self.differences) / max(1, n - 1)
            found = clustered_mdd(n, spread)
        return None if found is None else 100.0 * found


def _line(task: PairedTask) -> TaskDifference:
    differences, (a, b), difference = task.differences, task.outcomes, task.difference
    seeded = task.by == "seed"
    return TaskDifference(
        task=task.task,
        pairs=len(differences),
        mean_a=_mean(a) if a else None,
        mean_b=_mean(b) if b else None,
        delta_pp=None if difference is None else 100.0 * difference,
        b=sum(d < 0 for d in differences) if seeded else None,
        c=sum(d > 0 for d in differences) if seeded else None,
        missing_a=task.a.count(None),
        missing_b=task.b.count(None),
    )


def _seeds(tasks: Sequence[PairedTask], by: By) -> int:
    if by == "seed":
        return max(len(task.differences) for task in tasks)
    return max(len(side) for task in tasks for side in task.outcomes)


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
