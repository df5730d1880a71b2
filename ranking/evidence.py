"""What counts as evidence that a ranking means something.

A p-value computed on the outcomes that made the ranking is circular: with equal branches the predecessor's
number falls below 0.05 in 23 % of groups of 12, and always in groups of 32. Two things are evidence. A judge
that did not see the outcomes can be tested against them (`judge_validity`); and two verifiers, or two runs of
one, can each rank for the other to test (`cross_fit`). Both are exact permutation tests with the task as the
stratum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .calibration import Rate
from .errors import EmptyGroup, LeakError, UnknownCandidate
from .intervals import Z95
from .mann_whitney import MannWhitney, Stratum, mann_whitney
from .paired import mcnemar_exact
from .roots import boundary

Basis = Literal["heldout", "circular", "none"]


@dataclass(frozen=True)
class JudgeValidity:
    """Whether a judge's scores tell passing from failing candidates."""

    auc: float | None  #: P(passing above failing), ties one half, mean over tasks; None: nothing to tell
    auc_low: float | None  #: 95 %
    auc_high: float | None
    discrimination_p: float | None  #: one-sided; None unless the basis is "heldout"
    method: Literal["exact", "normal", "none"]
    basis: Basis  #: only "heldout" is evidence; "none": no task has both outcomes
    tasks: int  #: with both outcomes
    one_sided: int  #: tasks in which all passed, or all failed: they say nothing
    pairs: int
    mcnemar_p_insample: (
        float | None
    )  #: the predecessor's own number, by outcome first; circular, never evidence


def judge_validity(
    tasks: Sequence[Stratum], *, blind: bool, basis: Literal["heldout", "circular"] = "heldout"
) -> JudgeValidity:
    """Test a judge's scores (strengths, wins) against outcomes that it did not see, stratified by task.

    `blind`: nothing in the judge's prompts told how a candidate fared in the verifier. `basis="heldout"` asks
    for evidence, and raises `LeakError` when the judge was not blind; `basis="circular"` describes (the AUC)
    and gives no p. The interval of the AUC is over tasks (`mean_ci_by_task`), and for a single task
    Newcombe's method 5 (Stat. Med. 25 (2006) 559). Also raises `EmptyGroup`, `UnknownCandidate`,
    `NonFiniteScore`, and `ValueError` for another basis.
    """
    if basis not in ("heldout", "circular"):
        raise ValueError(f'the basis is "heldout" or "circular", not {basis!r}')
    if not tasks:
        raise EmptyGroup("no tasks, so nothing to test the judge on")
    if basis == "heldout" and not blind:
        raise LeakError(
            "the judge saw the outcomes it is to be tested against: judge without the verifier's output, or "
            'ask with basis="circular", which gives no p-value'
        )
    test = mann_whitney(tasks)
    auc, low, high = _auc(test, tasks)
    return JudgeValidity(
        auc=auc,
        auc_low=low,
        auc_high=high,
        discrimination_p=test.p if basis == "heldout" else None,
        method=test.method if basis == "heldout" else "none",
        basis=basis if test.strata else "none",
        tasks=test.strata,
        one_sided=test.one_sided,
        pairs=test.pairs,
        mcnemar_p_insample=_predecessors_p(tasks),
    )


@dataclass(frozen=True)
class CrossFit:
    """Two verifiers (or two runs of one), each ranking for the other to test."""

    first_ranks: MannWhitney  #: the first one's scores against the second one's outcomes
    second_ranks: MannWhitney
    p: float | None  #: of both together; None: neither says anything
    rule: Literal["one test", "twice the smaller", "the only one", "none"]


def cross_fit(first: Sequence[Stratum], second: Sequence[Stratum]) -> CrossFit:
    """Whether what one verifier ranks high passes another that had no part in it, and the other way round.

    `first[t]` and `second[t]` are the same candidates of task t in the same order. Valid when the two err
    independently of each other on equal candidates, for any dependence of the two p-values: together they are
    twice the smaller (Bonferroni). Where both only pass or fail, the two directions are one and the same test
    (Fisher's, in strata), and its p stands as it is; which of the two holds is fixed by the margins that the
    test conditions on. Raises `EmptyGroup`, `UnknownCandidate`, `NonFiniteScore`.
    """
    if not first:
        raise EmptyGroup("no tasks, so nothing to cross-fit")
    if len(first) != len(second) or any(
        len(a.passed) != len(b.passed) for a, b in zip(first, second, strict=True)
    ):
        raise UnknownCandidate(
            "the two verifiers judged different candidates: give both the same tasks and candidates, None for "
            "a missing outcome"
        )
    kept = [_known_to_both(a, b) for a, b in zip(first, second, strict=True)]
    one = mann_whitney([Stratum(a.scores, b.passed) for a, b in kept])
    two = mann_whitney([Stratum(b.scores, a.passed) for a, b in kept])
    known = [test.p for test in (one, two) if test.p is not None]
    if not known:
        return CrossFit(one, two, None, "none")
    if len(known) == 1:
        return CrossFit(one, two, known[0], "the only one")
    if all(_binary(stratum) for pair in kept for stratum in pair):
        return CrossFit(one, two, max(known), "one test")
    return CrossFit(one, two, min(1.0, 2.0 * min(known)), "twice the smaller")


def _auc(test: MannWhitney, tasks: Sequence[Stratum]) -> tuple[float | None, float | None, float | None]:
    if test.strata != 1:
        rate = Rate.over_tasks([[auc] for auc in test.aucs])
        return rate.value, rate.low, rate.high
    (sizes,) = ((len(p), len(f)) for p, f in (task.known() for task in tasks) if p and f)
    return test.aucs[0], *_newcombe(test.aucs[0], *sizes)


def _newcombe(auc: float, m: int, n: int) -> tuple[float, float]:
    """All t with |auc - t| <= z sqrt(V(t)), V the variance of the AUC of two exponential distributions."""
    spare = (m + n) / 2.0 - 1.0

    def holds(t: float) -> bool:
        variance = t * (1 - t) * (1 + spare * (1 - t) / (2 - t) + spare * t / (1 + t)) / (m * n)
        return (auc - t) ** 2 <= Z95**2 * variance

    return boundary(holds, auc, 0.0), boundary(holds, auc, 1.0)


def _predecessors_p(tasks: Sequence[Stratum]) -> float | None:
    """McNemar of the upper against the lower half of each ranking by outcome and then score, pairs pooled."""
    b = c = 0
    counted = False
    for task in tasks:
        passing, failing = task.known()
        n = len(passing) + len(failing)
        if n < 4:
            continue
        counted = True
        half = n // 2
        best_first = [True] * len(passing) + [False] * len(failing)
        for upper, lower in zip(best_first[:half], best_first[n - half :], strict=True):
            b += upper and not lower
            c += lower and not upper
    return mcnemar_exact(b, c) if counted else None


def _known_to_both(a: Stratum, b: Stratum) -> tuple[Stratum, Stratum]:
    """Without the candidates that one of the two knows nothing of."""
    for stratum in (a, b):
        stratum.known()
    rows = zip(a.scores, a.passed, b.scores, b.passed, strict=True)
    kept = [row for row in rows if None not in row]
    return (
        Stratum([row[0] for row in kept], [row[1] for row in kept]),
        Stratum([row[2] for row in kept], [row[3] for row in kept]),
    )


def _binary(stratum: Stratum) -> bool:
    return all(
        score == float(bool(passed)) for score, passed in zip(stratum.scores, stratum.passed, strict=True)
    )
