"""Means over tasks: the task is the unit, because branches of one task are no independent samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .errors import NonFiniteScore
from .intervals import wilson


def mean_ci_by_task(
    groups: Sequence[Sequence[float]], confidence: float = 0.95
) -> tuple[float | None, float | None, float | None]:
    """(mean, low, high) of the task means, for values in [0, 1] grouped by task.

    A t interval over task means, cut to [0, 1]; it covers the truth from about 10 tasks on, where pooling all
    samples into one Wilson interval covers it in two cases of three. Tasks without values are left out;
    (None, None, None) without any. One task has a mean and no interval. When all task means are equal the
    spread says nothing, and the interval is Wilson's for one sample a task, which is wide enough.
    Raises `NonFiniteScore` for values outside [0, 1].
    """
    from scipy.special import ndtri, stdtrit

    for value in (value for group in groups for value in group):
        if not 0.0 <= value <= 1.0:  # false for NaN, too
            raise NonFiniteScore(f"{value} is not a value between 0 and 1")
    means = [math.fsum(group) / len(group) for group in groups if group]
    n = len(means)
    if n == 0:
        return None, None, None
    mean = math.fsum(means) / n
    if n == 1:
        return mean, None, None
    spread = math.sqrt(math.fsum((each - mean) ** 2 for each in means) / (n - 1))
    tail = (1.0 + confidence) / 2.0
    if spread < 1e-12:
        interval = wilson(mean * n, n, z=float(ndtri(tail)))
        return (mean, *interval) if interval else (mean, None, None)
    half = float(stdtrit(n - 1, tail)) * spread / math.sqrt(n)
    return mean, max(0.0, mean - half), min(1.0, mean + half)
