"""What a paired comparison can find: power, smallest difference, and how many tasks a wanted one needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .checks import inner, number, whole

ALPHA = 0.05
POWER = 0.8
MOST_TASKS = 10_000_000
_FEWEST = 6  #: tasks below which a test over tasks cannot reach p < 0.05 (`clustered.sign_flip`)


@dataclass(frozen=True)
class Spread:
    """How the differences of single pairs (one task, one seed: -1, 0 or 1, or of scores) vary."""

    variance: float  #: of a pair's difference around the mean over all
    icc: float  #: share of it that lies between tasks, 0 to 1: more seeds do not help against that part
    discordance: float | None = None  #: share of pairs with different outcomes; None for scores

    def __post_init__(self) -> None:
        number(self.variance, "variance of a pair's difference", 0.0)
        number(self.icc, "share of the variance between tasks", 0.0, 1.0)
        if self.discordance is not None:
            number(self.discordance, "share of discordant pairs", 0.0, 1.0)

    @classmethod
    def assumed(cls, discordance: float, icc: float) -> Spread:
        """Pass or fail with this share of discordant pairs. Raises `ValueError` outside (0, 1] and [0, 1]."""
        if not 0.0 < number(discordance, "share of discordant pairs") <= 1.0:
            raise ValueError(f"a share of discordant pairs above 0 and at most 1, not {discordance}")
        if not 0.0 <= icc <= 1.0:
            raise ValueError(f"a share of the variance between tasks from 0 to 1, not {icc}")
        return cls(discordance, icc, discordance)

    @classmethod
    def seen(cls, groups: Sequence[Sequence[float]], binary: bool) -> Spread | None:
        """From the differences of the pairs of each task, by one-way analysis of variance.

        None when no task has two pairs, or there is one task, or nothing varies: the two parts cannot be told.
        """
        groups = [group for group in groups if group]
        n, tasks = sum(map(len, groups)), len(groups)
        if tasks < 2 or n == tasks:
            return None
        grand = math.fsum(d for group in groups for d in group) / n
        means = [math.fsum(group) / len(group) for group in groups]
        inside = math.fsum(
            (d - mean) ** 2 for group, mean in zip(groups, means, strict=True) for d in group
        ) / (n - tasks)
        outside = math.fsum(
            len(group) * (mean - grand) ** 2 for group, mean in zip(groups, means, strict=True)
        ) / (tasks - 1)
        size = (n - sum(len(group) ** 2 for group in groups) / n) / (tasks - 1)
        between = max(0.0, (outside - inside) / size)
        if between + inside <= 0.0:
            return None
        share = sum(d != 0.0 for group in groups for d in group) / n if binary else None
        return cls(between + inside, between / (between + inside), share)

    def of_task_mean(self, seeds: int, delta: float = 0.0) -> float:
        """Variance of one task's mean difference over so many seeds, when the true difference is delta."""
        whole(seeds, "seeds", 1)
        number(delta, "difference", -1.0, 1.0)
        total = self.variance if self.discordance is None else max(0.0, self.discordance - delta * delta)
        return total * (self.icc + (1.0 - self.icc) / seeds)


def discordance_at(rate: float, delta: float) -> float:
    """Share of discordant pairs when both sides pass independently, one at this rate, the other delta higher.

    An upper bound for real policies, which agree on easy and on hard tasks. Raises `NonFiniteScore`.
    """
    rate, delta = number(rate, "rate", 0.0, 1.0), number(delta, "difference", -1.0, 1.0)
    other = min(1.0, max(0.0, rate + delta))
    return rate * (1.0 - other) + other * (1.0 - rate)


def mcnemar_power(
    n: int, delta: float, discordance: float, alpha: float = ALPHA, mid_p: bool = True
) -> float:
    """Probability that n pairs give p < alpha, when a share `discordance` differs and the rates by delta.

    Exact: the sum over the discordant counts m of Bin(m; n, discordance) times the probability of the
    rejected tables given m. Raises `ValueError` where |delta| > discordance, which no pairs can have.
    """
    n, alpha = whole(n, "pairs"), inner(alpha, "alpha")
    if not 0.0 <= number(discordance, "share of discordant pairs") <= 1.0 or (
        abs(number(delta, "difference")) > discordance
    ):
        raise ValueError(f"a difference of {delta} with a share of {discordance} discordant pairs cannot be")
    return _McNemar(n, discordance, alpha, mid_p).power(delta)


def mcnemar_mdd(
    n: int, discordance: float, alpha: float = ALPHA, power: float = POWER, mid_p: bool = True
) -> float | None:
    """Smallest difference of rates that n pairs find with this power; None: even the largest is missed."""
    n, discordance = whole(n, "pairs"), number(discordance, "share of discordant pairs", 0.0, 1.0)
    alpha, power = inner(alpha, "alpha"), inner(power, "power")
    if n < 1 or discordance <= 0.0:
        return None
    table = _McNemar(n, min(1.0, discordance), alpha, mid_p)
    return _smallest(lambda delta: table.power(delta) >= power, table.discordance)


def clustered_power(tasks: int, delta: float, variance: float, alpha: float = ALPHA) -> float:
    """Power of a test over task means: that of the t test, for one difference a task with this variance.

    0 below 6 tasks, whose signs give no p below 0.05.
    """
    from scipy.special import nctdtr, stdtrit

    number(variance, "variance", 0.0)
    number(delta, "difference")
    inner(alpha, "alpha")
    if whole(tasks, "tasks") < _FEWEST:
        return 0.0
    if variance <= 0.0:
        return float(delta != 0.0)
    away = abs(delta) / math.sqrt(variance / tasks)
    if away > 30.0:  # the power is 1, and the function near the end of its range
        return 1.0
    edge = float(stdtrit(tasks - 1, 1.0 - alpha / 2.0))
    below = float(nctdtr(tasks - 1, away, edge))
    beyond = float(nctdtr(tasks - 1, away, -edge))
    return min(1.0, 1.0 - below + (0.0 if math.isnan(beyond) else beyond))


def clustered_mdd(tasks: int, variance: float, alpha: float = ALPHA, power: float = POWER) -> float | None:
    """Smallest mean difference that so many tasks find with this power; None: unattainable or no spread."""
    inner(power, "power")
    if whole(tasks, "tasks") < _FEWEST or number(variance, "variance", 0.0) <= 0.0:
        return None
    return _smallest(lambda delta: clustered_power(tasks, delta, variance, alpha) >= power, 1.0)


def tasks_needed(
    delta: float, spread: Spread, seeds: int = 1, alpha: float = ALPHA, power: float = POWER
) -> int | None:
    """How many tasks, with so many seeds each, find a difference of delta (in rates) with this power.

    One seed of pass or fail is McNemar's mid-p test, exactly (power rises in saw teeth with the number of
    pairs: it is reached here and at the next ones); more are a test over task means. None: impossible, for
    pairs cannot differ by more than the share of them that is discordant, or beyond `MOST_TASKS`.
    Raises `ValueError` unless 0 < |delta| <= 1 and seeds >= 1.
    """
    seeds, alpha, power = whole(seeds, "seeds"), inner(alpha, "alpha"), inner(power, "power")
    if not 0.0 < abs(number(delta, "difference")) <= 1.0 or seeds < 1:
        raise ValueError(f"a difference above 0 and at most 1 and at least one seed, not {delta} and {seeds}")
    share = spread.discordance
    if share is not None and abs(delta) > share:
        return None
    if seeds == 1 and share is not None:
        return _first(lambda n: _McNemar(n, share, alpha, True).power(delta) >= power, ahead=4)
    variance = spread.of_task_mean(seeds, delta)
    return _first(lambda n: clustered_power(n, delta, variance, alpha) >= power)


class _McNemar:
    """The rejected tables of n pairs, by discordant count; the same for every difference."""

    def __init__(self, n: int, discordance: float, alpha: float, mid_p: bool) -> None:
        from scipy.special import bdtr, gammaln, xlog1py, xlogy

        self.discordance = discordance
        mean = n * discordance
        reach = 9.0 * math.sqrt(mean * (1.0 - discordance)) + 9.0
        m = np.arange(max(0, math.floor(mean - reach)), min(n, math.ceil(mean + reach)) + 1)
        choose = gammaln(n + 1) - gammaln(m + 1) - gammaln(n - m + 1)
        self._weight = np.exp(choose + xlogy(m, discordance) + xlog1py(n - m, -discordance))
        self._m = m
        low, high = np.full(len(m), -1), m // 2  # the largest k that is rejected, by bisection; -1: none
        while np.any(low < high):
            k = (low + high + 1) // 2
            tail = bdtr(np.maximum(k, 0), m, 0.5)
            p = tail + np.where(k > 0, bdtr(np.maximum(k - 1, 0), m, 0.5), 0.0) if mid_p else 2.0 * tail
            rejected = (p < alpha) & (2 * k < m)
            low, high = np.where(rejected, k, low), np.where(rejected, high, k - 1)
        self._k = low

    def power(self, delta: float) -> float:
        share = 0.5 if self.discordance == 0.0 else (self.discordance + delta) / (2.0 * self.discordance)
        return float(self._weight @ (self._tail(share) + self._tail(1.0 - share)))

    def _tail(self, share: float) -> NDArray[np.float64]:
        """P(X <= k) for X ~ Bin(m, share), and 0 where no k is rejected."""
        from scipy.special import bdtr

        found = bdtr(np.maximum(self._k, 0), self._m, min(1.0, max(0.0, share)))
        return np.asarray(np.where(self._k >= 0, found, 0.0), dtype=np.float64)


def _smallest(enough: Callable[[float], bool], most: float) -> float | None:
    """The smallest value up to `most` that is enough, to 1e-5."""
    if not enough(most):
        return None
    low, high = 0.0, most
    while high - low > 1e-5:
        middle = (low + high) / 2.0
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def _first(enough: Callable[[int], bool], ahead: int = 0) -> int | None:
    """The first n that is enough, together with the next `ahead`, past the last one found that is not."""
    low, high = 0, 1
    while not enough(high):
        low, high = high, 2 * high
        if high > MOST_TASKS:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    while not all(enough(high + step) for step in range(ahead + 1)):
        high += 1
    return high
