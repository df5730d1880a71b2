"""Paired comparison of two binary outcomes on the same items (McNemar)."""

from __future__ import annotations

import math
import sys

import numpy as np

from .checks import whole

_LOG2 = math.log(2.0)


def mcnemar_exact(b: int, c: int) -> float:
    """Two-sided exact p for b items won by the first only and c by the second only; 1.0 when b + c = 0.

    Under the null each discordant pair is a fair coin: p = min(1, 2 P(X <= min(b, c))), X ~ Bin(b + c, 1/2).
    Summed in log space, so that a million pairs are no trouble; never 0 (it ends at the smallest float).
    Raises `ValueError` for counts below 0 or no whole numbers.
    """
    low, n = _discordant(b, c)
    if b == c:
        return 1.0
    return _probability(_LOG2 + _log_cdf(low, n))


def mcnemar_mid_p(b: int, c: int) -> float:
    """Mid-p version: half the probability of the observed table, on either side. 1.0 when b = c.

    Less conservative; worst-case size about 0.065 at a nominal 0.05. Fagerland, Lydersen and Laake,
    BMC Med. Res. Methodol. 13 (2013) 91. Raises as `mcnemar_exact`.
    """
    low, n = _discordant(b, c)
    if b == c:
        return 1.0
    point = _log_pmf(np.array([low]), n)[0]
    below = _log_cdf(low - 1, n) if low > 0 else -math.inf
    return _probability(float(np.logaddexp(_LOG2 + below, point)))


def attainable(pairs: int, alpha: float = 0.05) -> bool:
    """Whether any table of this many pairs has an exact p below alpha: 2^(1 - pairs) < alpha, so 6 for 0.05."""
    return pairs > 0 and mcnemar_exact(pairs, 0) < alpha


def _discordant(b: int, c: int) -> tuple[int, int]:
    b, c = whole(b, "pairs b"), whole(c, "pairs c")
    return min(b, c), b + c


def _log_pmf(k: np.ndarray, n: int) -> np.ndarray:
    from scipy.special import gammaln

    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1) - n * _LOG2)


def _log_cdf(k: int, n: int) -> float:
    return float(np.logaddexp.reduce(np.sort(_log_pmf(np.arange(k + 1), n))))


def _probability(log_p: float) -> float:
    return min(1.0, max(math.exp(min(0.0, log_p)), sys.float_info.min))
