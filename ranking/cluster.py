"""Rates over tasks: branches of one task are not independent, so the task is the unit."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy import stats


def mean_ci_by_task(
    groups: Sequence[Sequence[float]], confidence: float = 0.95
) -> tuple[float | None, float | None, float | None]:
    """Mean over tasks of the task means, with its t-interval over tasks: (mean, low, high).

    `groups` holds one sequence of outcomes in [0, 1] a task; empty ones are left out (missing is not zero).
    With fewer than two tasks there is a mean and no interval. The interval is cut at 0 and 1. A pooled
    binomial interval would be too narrow: samples of one task share its difficulty.
    """
    means = np.array([float(np.mean(g)) for g in groups if len(g)])
    if means.size == 0:
        return None, None, None
    mean = float(means.mean())
    if means.size < 2:
        return mean, None, None
    half = float(
        stats.t.ppf((1 + confidence) / 2, means.size - 1) * means.std(ddof=1) / math.sqrt(means.size)
    )
    return mean, max(0.0, mean - half), min(1.0, mean + half)
