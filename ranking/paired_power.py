"""What a paired comparison of two binary outcomes can show: the interval of a difference, and the smallest to be found."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def paired_interval_pp(n: int, b: int, c: int, alpha: float = 0.05) -> tuple[float, float] | None:
    """1 - alpha interval of the difference (c - b) / n in percentage points; None for n = 0.

    Adjusted Wald: one pair is added to each of the two discordant cells. Bonett and Price, J. Educ. Behav.
    Stat. 37 (2012) 479. Raises `ValueError` unless b and c are at least 0 and fit into n.
    """
    from scipy.special import ndtri

    if b < 0 or c < 0 or b + c > n:
        raise ValueError(f"b={b} and c={c} do not fit into n={n} items")
    if n == 0:
        return None
    only_a, only_b = (b + 1) / (n + 2), (c + 1) / (n + 2)
    delta = only_b - only_a
    half = float(ndtri(1 - alpha / 2)) * math.sqrt((only_a + only_b - delta**2) / (n + 2))
    return 100.0 * max(-1.0, delta - half), 100.0 * min(1.0, delta + half)


def paired_power(n: int, discordance: float, delta: float, alpha: float = 0.05) -> float:
    """Probability that the exact McNemar test finds a true difference.

    `discordance` is the share of items that come out differently, `delta` the difference as a share, at most
    the discordance. Exact: the number of discordant pairs is Bin(n, discordance), and given it those won by one
    side are binomial; terms more than nine standard deviations away are left out.
    """
    if not 0.0 <= delta <= discordance <= 1.0:
        raise ValueError(f"a difference of {delta} does not fit into a discordance of {discordance}")
    return _Test(n, discordance, alpha).power(delta)


@lru_cache(maxsize=1024)
def min_detectable_paired_delta_pp(
    n: int, discordance: float, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Smallest difference in percentage points that the exact McNemar test finds with this power.

    None: not even one side winning every discordant pair would be found so often, or nothing is discordant.
    """
    test = _Test(n, discordance, alpha)
    if test.power(discordance) < power:
        return None
    low, high = 0.0, discordance
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (low, middle) if test.power(middle) >= power else (middle, high)
    return 100.0 * high


class _Test:
    """The exact test at n items: for every likely number of discordant pairs its weight and critical count."""

    def __init__(self, n: int, discordance: float, alpha: float) -> None:
        spread = 9.0 * math.sqrt(n * discordance * (1.0 - discordance)) + 9.0
        fewest = max(0, math.floor(n * discordance - spread))
        m = np.arange(fewest, min(n, math.ceil(n * discordance + spread)) + 1)
        critical = _critical(m, alpha)
        possible = critical >= 0
        self._discordance = discordance
        self._pairs, self._k = m[possible], critical[possible]
        self._weight = _binomial(n, discordance, self._pairs)

    def power(self, delta: float) -> float:
        from scipy.special import bdtr

        if self._discordance == 0.0:
            return 0.0
        share = (self._discordance + delta) / (2.0 * self._discordance)
        found = bdtr(self._k, self._pairs, share) + bdtr(self._k, self._pairs, 1.0 - share)
        return float(self._weight @ found)


def _critical(m: NDArray[np.int64], alpha: float) -> NDArray[np.int64]:
    """For each of these consecutive numbers of pairs the largest k with 2 P(X <= k) < alpha, X ~ Bin(m, 1/2).

    -1 where there is none. From one number to the next it grows by at most 1, so one pass finds all.
    """
    from scipy.special import bdtr, bdtrik

    critical = np.full(m.shape, -1)
    if not len(m):
        return critical
    start = bdtrik(alpha / 2, m[0], 0.5)
    k = -1 if math.isnan(start) else max(-1, math.floor(start) - 1)
    for i, pairs in enumerate(m):
        while k < pairs and 2.0 * bdtr(k + 1, pairs, 0.5) < alpha:
            k += 1
        critical[i] = k
    return critical


def _binomial(n: int, p: float, k: NDArray[np.int64]) -> NDArray[np.float64]:
    from scipy.special import gammaln, xlog1py, xlogy

    log_choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.asarray(np.exp(log_choose + xlogy(k, p) + xlog1py(n - k, -p)), dtype=np.float64)
