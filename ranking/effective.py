"""An interval for a mean of shares over tasks that respects the ends of the scale.

Wilson's interval for the number of independent coins that would have shown the same spread over tasks (the
effective sample size), with the t quantile of that spread's degrees of freedom. Near 0 and 1 a t interval
over task means is symmetric where the mean's error is not, and covers too little: 0.85 at 10 tasks with a
mean pass@4 of 0.86, where this one is a tenth wider and covers 0.96 (`scripts/bench_statistics.py` measures
more). Where nearly all tasks stand at one end (a mean of 0.98 from a few tasks), both cover too little. Korn
and Graubard, Surv. Methodol. 24 (1998) 193, for effective sizes in binomial intervals; Franco et al., J.
Surv. Stat. Methodol. 7 (2019) 334, for Wilson's among them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from .calibration import Rate
from .errors import NonFiniteScore


def rate_over_tasks(means: Sequence[float], confidence: float = 0.95) -> Rate:
    """Mean of one value in [0, 1] a task, with its interval over tasks; `n` counts tasks.

    The variance over tasks gets one task's worth of a coin's added, which keeps a few equal tasks from
    looking certain. All equal says nothing about the spread: then it is Wilson's for one coin a task. One
    task has no interval, none has no mean. Raises `NonFiniteScore` for values outside [0, 1].
    """
    from scipy.special import ndtri, stdtrit

    for value in means:
        if not 0.0 <= value <= 1.0:  # false for NaN, too
            raise NonFiniteScore(f"{value} is not a value between 0 and 1")
    n = len(means)
    if n == 0:
        return Rate(None, None, None, 0)
    mean = min(1.0, math.fsum(means) / n)
    if n == 1:
        return Rate(mean, None, None, 1)
    tail = (1.0 + confidence) / 2.0
    squares = math.fsum((each - mean) ** 2 for each in means)
    coin = mean * (1.0 - mean)
    if squares < 1e-24 or coin <= 0.0:
        effective, z = float(n), float(ndtri(tail))
    else:
        effective, z = n * coin / ((squares + coin) / n), float(stdtrit(n, tail))
    return Rate(mean, *_wilson(mean, effective, z), n)


def _wilson(mean: float, n: float, z: float) -> tuple[float, float]:
    """`intervals.wilson` for a number of coins that need not be whole."""
    centre = (mean + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(mean * (1 - mean) / n + z * z / (4 * n * n))
    return 0.0 if mean == 0.0 else max(0.0, centre - half), 1.0 if mean == 1.0 else min(1.0, centre + half)
