"""What a group of n outcomes can show at all.

The field names and rules are the predecessor's, kept for its users; what they are worth:
- `powered` is n >= 10 and a Wilson half-width below 30 pp. The second clause never binds: at n = 10 the
  half-width is at most 26.3 pp. It says little.
- `min_detectable_delta_pp` is about two halves of the group: the smallest difference in pass rate, around
  50 %, that Fisher's exact test at 0.05 finds in 80 % of cases with n // 2 outcomes in each.
- `mcnemar_p` pairs the i-th of the upper half of the ranking with the i-th of the lower half; b counts the
  pairs in which only the upper one passed, c those in which only the lower one did. Computed from the same
  outcomes that made the ranking it is circular ("in_sample": under equal branches it falls below 0.05 far
  too often) and is no evidence. Only outcomes that had no part in the ranking make it "heldout".
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from .checks import flag, whole
from .intervals import Z95, wilson
from .paired import attainable, mcnemar_exact
from .records import Power

_ALPHA = 0.05
_POWER = 0.8
_Z_POWER = 0.8416212335729143  # 80 % point of the standard normal
_EXACT_UP_TO = 512  # outcomes; above it the normal approximation, which is within 0.2 pp by then


def report_power(
    outcomes: Sequence[bool],
    *,
    ranked: bool = False,
    heldout: Sequence[bool] | None = None,
) -> Power:
    """What these pass/fail outcomes can show.

    `ranked`: the outcomes stand in rank order, best first, and had a part in it. `heldout`: outcomes of the
    same candidates in the same order that had none (a second verifier, a repeat). Neither: there is no
    ranking to test, and no p. For n < 4 the p is None. Raises `ValueError` when the lengths differ.
    """
    n = len(outcomes)
    if heldout is not None and len(heldout) != n:
        raise ValueError(f"{len(heldout)} held-out outcomes for {n} candidates: give one each, in rank order")
    outcomes = [flag(outcome, "outcome") for outcome in outcomes]
    heldout = None if heldout is None else [flag(outcome, "held-out outcome") for outcome in heldout]
    passes = sum(outcomes)
    interval = wilson(passes, n)
    tested = heldout if heldout is not None else outcomes if ranked else None
    testable = tested is not None and n >= 4
    return Power(
        n=n,
        passes=passes,
        pass_rate=passes / n if n else None,
        ci_low=interval[0] if interval else None,
        ci_high=interval[1] if interval else None,
        powered=n >= 10 and interval is not None and (interval[1] - interval[0]) / 2 < 0.30,
        min_detectable_delta_pp=min_detectable_delta_pp(n),
        mcnemar_p=_halves_p(tested) if tested is not None and testable else None,
        mcnemar_basis="none" if not testable else "heldout" if heldout is not None else "in_sample",
        mcnemar_attainable=attainable(n // 2, _ALPHA),
    )


def min_detectable_delta_pp(n: int) -> float | None:
    """Percentage points between two halves of n // 2 outcomes each, at 80 % power; None: unattainable.

    Exact over all tables up to n = 512; above, (z_0.975 + z_0.8) sqrt(1 / (2 m)), m in each half.
    """
    n = whole(n, "outcomes")
    half = n // 2
    if half < 1:
        return None
    if n > _EXACT_UP_TO:
        return 100.0 * min(1.0, (Z95 + _Z_POWER) * math.sqrt(0.5 / half))
    return _fisher_delta_pp(half)


def _halves_p(best_first: Sequence[bool]) -> float:
    """Upper against lower half, position by position; of an odd number the middle one stays out."""
    half = len(best_first) // 2
    upper, lower = best_first[:half], best_first[len(best_first) - half :]
    pairs = list(zip(upper, lower, strict=True))
    return mcnemar_exact(sum(u and not v for u, v in pairs), sum(v and not u for u, v in pairs))


@lru_cache(maxsize=512)
def _fisher_delta_pp(m: int) -> float | None:
    rejects = _fisher_rejections(m)
    if not rejects[0, m] or _fisher_power(rejects, 1.0) < _POWER:
        return None
    low, high = 0.0, 1.0
    while high - low > 1e-5:
        middle = (low + high) / 2
        low, high = (low, middle) if _fisher_power(rejects, middle) >= _POWER else (middle, high)
    return 100.0 * high


def _fisher_rejections(m: int) -> NDArray[np.bool_]:
    """[x, y]: whether Fisher's two-sided exact test rejects x of m against y of m at 0.05."""
    from scipy.special import gammaln

    k = np.arange(m + 1)
    log_choose = gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1)
    rejects = np.zeros((m + 1, m + 1), dtype=bool)
    for total in range(2 * m + 1):
        x = np.arange(max(0, total - m), min(m, total) + 1)
        log_p = log_choose[x] + log_choose[total - x]
        p = np.exp(log_p - np.logaddexp.reduce(log_p))
        ascending = np.sort(p)
        # All tables as likely as the observed one, or less (with scipy's allowance for rounding).
        count = np.searchsorted(ascending, p * (1 + 1e-7), side="right")
        rejects[x, total - x] = np.cumsum(ascending)[count - 1] < _ALPHA
    return rejects


def _fisher_power(rejects: NDArray[np.bool_], delta: float) -> float:
    m = len(rejects) - 1
    return float(_binomial(m, 0.5 + delta / 2) @ rejects @ _binomial(m, 0.5 - delta / 2))


def _binomial(m: int, p: float) -> NDArray[np.float64]:
    from scipy.special import gammaln, xlog1py, xlogy

    k = np.arange(m + 1)
    log_choose = gammaln(m + 1) - gammaln(k + 1) - gammaln(m - k + 1)
    return np.asarray(np.exp(log_choose + xlogy(k, p) + xlog1py(m - k, -p)), dtype=np.float64)
