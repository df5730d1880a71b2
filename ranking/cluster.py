"""Means over tasks: the task is the unit, because branches of one task are no independent samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from .checks import inner, numbers, whole
from .intervals import tango, wilson

_DIFFERENCE = "difference of a task"


def mean_ci_by_task(
    groups: Sequence[Sequence[float]], confidence: float = 0.95
) -> tuple[float | None, float | None, float | None]:
    """(mean, low, high) of the task means, for values in [0, 1] grouped by task.

    Wilson's interval for as many independent samples as would spread like these task means, with the t
    quantile of T - 1 (Korn and Graubard, Surv. Methodol. 24 (1998) 193; Franco et al., J. Surv. Stat.
    Methodol. 7 (2019) 334). Measured coverage 0.935 to 0.975 from 20 tasks on, where tasks differ in
    difficulty; a t interval falls to 0.88 at rates near 1, a pooled Wilson interval to 0.65. Tasks without
    values are left out; (None, None, None) without any. One task has a mean and no interval. When all task
    means are equal the spread says nothing, and the interval is that of one sample a task, which is wide
    enough. Raises `NonFiniteScore` for values outside [0, 1].
    """
    from scipy.special import ndtri, stdtrit

    inner(confidence, "confidence")
    values = numbers((value for group in groups for value in group), "value of a task", 0.0, 1.0)
    means = [math.fsum(group) / len(group) for group in groups if group]
    n = len(means)
    if n == 0:
        return None, None, None
    mean = min(1.0, math.fsum(means) / n)
    if n == 1:
        return mean, None, None
    spread = _spread(means)
    tail = (1.0 + confidence) / 2.0
    if spread < 1e-12:
        samples, z = float(n), float(ndtri(tail))
    else:
        samples, z = n * mean * (1.0 - mean) / spread**2, float(stdtrit(n - 1, tail))
        if all(value in (0.0, 1.0) for value in values):  # passes and fails are no more than they are
            samples = min(samples, len(values))
        samples = max(1.0, samples)
    interval = wilson(mean * samples, samples, z=z)
    return (mean, *interval) if interval else (mean, None, None)


def difference_ci_by_task(
    differences: Sequence[float], confidence: float = 0.95
) -> tuple[float, float] | None:
    """t interval for the mean of one difference a task, each in [-1, 1]; cut to [-1, 1]. None below 2 tasks.

    Coverage 0.94 to 0.97 from 10 tasks on, with seeds that share a task and effects that differ between
    tasks. Where all tasks show the same difference there is no spread to go by, and the interval is Tango's
    for one pair a task. Raises `NonFiniteScore`, also for a difference outside [-1, 1].
    """
    from scipy.special import ndtri, stdtrit

    inner(confidence, "confidence")
    differences = numbers(differences, _DIFFERENCE, -1.0, 1.0)
    n = len(differences)
    if n < 2:
        return None
    mean, spread, tail = math.fsum(differences) / n, _spread(differences), (1.0 + confidence) / 2.0
    if spread < 1e-12:
        return tango(n, n * max(0.0, -mean), n * max(0.0, mean), z=float(ndtri(tail)))
    half = float(stdtrit(n - 1, tail)) * spread / math.sqrt(n)
    return max(-1.0, mean - half), min(1.0, mean + half)


def obuchowski_interval(differences: Sequence[float], confidence: float = 0.95) -> tuple[float, float] | None:
    """The mean differences that `obuchowski` would not reject, cut to [-1, 1]; None below 2 tasks.

    So it excludes 0 exactly when that test's p is below 1 - confidence. A little wider than the t interval:
    z sqrt((T - 1) / (T - 1 - z^2)) standard errors instead of t. Coverage 0.95 to 0.97 at 20 tasks, 0.95 to
    0.96 from 50 on. Everything where T - 1 <= z^2; Tango's for one pair a task where there is no spread.
    Raises `NonFiniteScore`, also for a difference outside [-1, 1].
    """
    from scipy.special import ndtri

    inner(confidence, "confidence")
    differences = numbers(differences, _DIFFERENCE, -1.0, 1.0)
    n = len(differences)
    if n < 2:
        return None
    z = float(ndtri((1.0 + confidence) / 2.0))
    mean, spread = math.fsum(differences) / n, _spread(differences)
    if spread < 1e-12:
        return tango(n, n * max(0.0, -mean), n * max(0.0, mean), z=z)
    if n - 1 <= z * z:
        return -1.0, 1.0
    half = z * spread / math.sqrt(n) * math.sqrt((n - 1) / (n - 1 - z * z))
    return max(-1.0, mean - half), min(1.0, mean + half)


def bootstrap_t_interval(
    differences: Sequence[float], seed: int = 0, confidence: float = 0.95, resamples: int = 4000
) -> tuple[float, float] | None:
    """Studentised bootstrap over tasks for a mean of differences in [-1, 1]; None below 2 tasks.

    The second opinion where differences are skewed: it takes the shape of the error from the data. Measured
    beside the t interval in `scripts/bench_compare.py`. Efron and Tibshirani, An Introduction to the
    Bootstrap (1993), ch. 12. Resamples without spread say nothing and are left out; without any other, the
    interval is that of `difference_ci_by_task`. Raises `NonFiniteScore`, also for a difference outside [-1, 1].
    """
    inner(confidence, "confidence")
    whole(seed, "seed")
    resamples = whole(resamples, "resamples", 1)
    differences = numbers(differences, _DIFFERENCE, -1.0, 1.0)
    n = len(differences)
    if n < 2:
        return None
    values = np.sort(np.asarray(differences, dtype=np.float64))  # the order of tasks is nothing
    mean, error = float(values.mean()), float(values.std(ddof=1)) / math.sqrt(n)
    drawn = values[np.random.default_rng(seed).integers(0, n, size=(resamples, n))]
    errors = drawn.std(axis=1, ddof=1) / math.sqrt(n)
    useful = errors > 1e-12
    if error < 1e-12 or not useful.any():
        return difference_ci_by_task(differences, confidence)
    ratios = (drawn.mean(axis=1)[useful] - mean) / errors[useful]
    low, high = np.quantile(ratios, [(1.0 - confidence) / 2.0, (1.0 + confidence) / 2.0])
    return max(-1.0, mean - float(high) * error), min(1.0, mean - float(low) * error)


def _spread(values: Sequence[float]) -> float:
    """Standard deviation with n - 1."""
    mean = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))
