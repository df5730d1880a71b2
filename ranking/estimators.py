"""What k attempts would give, estimated from n: without bias, with the task as the unit of intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .calibration import Rate
from .checks import number, numbers, whole
from .errors import EmptyGroup, NonFiniteScore, UnknownCandidate


def pass_at_k(n: int, c: int, k: int) -> float:
    """P(at least one of k attempts passes), from n attempts of which c passed: 1 - C(n - c, k) / C(n, k).

    Unbiased for independent attempts, as 1 - (1 - c / n)^k is not. Computed as a product of shares in log
    space, so large n and tiny results keep their digits. Chen et al., "Evaluating Large Language Models
    Trained on Code" (2021), section 2.1. Raises `NonFiniteScore` unless 0 <= c <= n and 1 <= k <= n.
    """
    n, c, k = whole(n, "attempts"), whole(c, "passes"), whole(k, "k")
    if not 0 <= c <= n:
        raise NonFiniteScore(f"{c} passes of {n} attempts: passes lie between 0 and n")
    if not 1 <= k <= n:
        raise NonFiniteScore(f"pass@{k} from {n} attempts: k lies between 1 and n; make more attempts")
    if n - c < k:
        return 1.0
    return float(-np.expm1(np.log1p(-k / np.arange(n - c + 1, n + 1)).sum()))


@dataclass(frozen=True)
class PassAtK:
    """pass@k over tasks."""

    k: int
    rate: Rate  #: mean over tasks with a 95 % interval over tasks; `rate.n` counts tasks
    too_few: int  #: tasks with fewer than k attempts: not in the mean


def pass_at_k_by_task(counts: Sequence[tuple[int, int]], k: int) -> PassAtK:
    """pass@k of each task from its (attempts, passes), and the mean over tasks with its interval.

    Attempts of one task are no independent samples of the benchmark: the interval is over tasks
    (`mean_ci_by_task`). Attempts without an outcome are in neither number. Raises `EmptyGroup` without any
    task, `NonFiniteScore`.
    """
    if not counts:
        raise EmptyGroup("no tasks, so no pass@k")
    whole(k, "k", 1)
    for n, c in counts:
        whole(c, "passes")
        number(c, f"passes of {n} attempts", 0, whole(n, "attempts"))
    found = [pass_at_k(n, c, k) for n, c in counts if n >= k]
    return PassAtK(k, Rate.over_tasks([[each] for each in found]), len(counts) - len(found))


def best_of_k(scores: Sequence[float], values: Sequence[float], k: int) -> float:
    """The mean value of the candidate with the highest score among k drawn from these n, over all draws.

    With ascending scores it is sum_i C(i - 1, k - 1) / C(n, k) value_i, the unbiased estimate of what
    choosing by this score gives; candidates of equal score share their weight, as if one of them were taken
    by lot. Raises `EmptyGroup`, `UnknownCandidate` for unequal lengths, `NonFiniteScore` for NaN, infinity,
    or k outside 1 to n.
    """
    n = len(scores)
    if n == 0:
        raise EmptyGroup("nobody to choose from")
    if n != len(values):
        raise UnknownCandidate(f"{n} scores for {len(values)} values: one each, in the same order")
    scores, values = numbers(scores, "score"), numbers(values, "value")
    k = whole(k, "k")
    if not 1 <= k <= n:
        raise NonFiniteScore(f"the best of {k} from {n}: k lies between 1 and n")
    terms = []
    done = 0
    for score in sorted(set(scores)):
        block = [value for each, value in zip(scores, values, strict=True) if each == score]
        weight = _all_below(done + len(block), n, k) - _all_below(done, n, k)
        terms.append(weight * math.fsum(block) / len(block))
        done += len(block)
    return math.fsum(terms)


def _all_below(rank: int, n: int, k: int) -> float:
    """P(all k drawn are among the `rank` lowest of n)."""
    return math.comb(rank, k) / math.comb(n, k)
