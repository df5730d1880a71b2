"""What a paired comparison of two binary outcomes can show: the interval of a difference, and the smallest to be found."""

from __future__ import annotations

import math

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
    from scipy.special import bdtr

    if not 0.0 <= delta <= discordance <= 1.0:
        raise ValueError(f"a difference of {delta} does not fit into a discordance of {discordance}")
    if n == 0 or discordance == 0.0:
        return 0.0
    spread = 9.0 * math.sqrt(n * discordance * (1.0 - discordance)) + 9.0
    first = max(0, math.floor(n * discordance - spread))
    m = np.arange(first, min(n, math.ceil(n * discordance + spread)) + 1)
    critical = _critical(m, alpha)
    possible = critical >= 0
    share = (discordance + delta) / (2.0 * discordance)
    k, pairs = critical[possible], m[possible]
    found = bdtr(k, pairs, share) + bdtr(k, pairs, 1.0 - share)
    return float(_binomial(n, discordance, pairs) @ found)


def min_detectable_paired_delta_pp(
    n: int, discordance: float, alpha: float = 0.05, power: float = 0.8
) -> float | None:
    """Smallest difference in percentage points that the exact McNemar test finds with this power.

    None: not even one side winning every discordant pair would be found so often, or nothing is discordant.
    """
    if n == 0 or discordance <= 0.0 or paired_power(n, discordance, discordance, alpha) < power:
        return None
    low, high = 0.0, discordance
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (low, middle) if paired_power(n, discordance, middle, alpha) >= power else (middle, high)
    return 100.0 * high


def _critical(m: NDArray[np.int64], alpha: float) -> NDArray[np.float64]:
    """For each number of pairs the largest k with 2 P(X <= k) < alpha, X ~ Bin(m, 1/2); -1 where there is none."""
    from scipy.special import bdtr, bdtrik

    guess = np.floor(np.nan_to_num(bdtrik(alpha / 2, m, 0.5), nan=-1.0))
    # The inverse is a real number; the integer below it may miss by one on either side.
    best = np.full(m.shape, -1.0)
    for k in (guess - 1, guess, guess + 1):
        fits = (k >= 0) & (k <= m)
        below = np.where(fits, bdtr(np.where(fits, k, 0), m, 0.5), 1.0)
        best = np.where(fits & (2.0 * below < alpha), k, best)
    return best


def _binomial(n: int, p: float, k: NDArray[np.int64]) -> NDArray[np.float64]:
    from scipy.special import gammaln, xlog1py, xlogy

    log_choose = gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1)
    return np.asarray(np.exp(log_choose + xlogy(k, p) + xlog1py(n - k, -p)), dtype=np.float64)
