"""Tests of a difference between two policies when tasks have several pairs: the task is the unit.

Pairs of one task share its difficulty and the policies' liking for it; a pooled McNemar test takes them for
independent and rejects three times too often at 8 seeds (`scripts/bench_compare.py`). All take one number a task:
the mean difference of its pairs, or its c - b (the same when tasks have equally many pairs).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from .checks import inner, numbers, whole
from .intervals import tango

Array = NDArray[np.float64]

#: Tasks up to which every pattern of signs is looked at: 2^19 sums, some 10 ms.
EXACT_UP_TO = 20
_FLIPS = 19_999
_EQUAL = 1e-9  # relative: sums closer than this differ by rounding
_CHUNK = 1 << 22  # signs drawn at once


def obuchowski(differences: Sequence[float]) -> float:
    """Two-sided p of the clustered McNemar test; 1.0 when no task shows a difference, and never 0.

    z = sum d / sqrt(T / (T - 1) sum d^2) over T tasks, the spread taken under the null. Obuchowski, Stat.
    Med. 17 (1998) 1495, for d = c - b; with d = (c - b) / pairs it weighs tasks equally, as Durkalski et al.,
    Stat. Med. 22 (2003) 2417. Holds its level from about 20 tasks on; below, take `sign_flip`.
    Raises `ValueError` for fewer than 2 tasks, `NonFiniteScore`.
    """
    from scipy.special import ndtr

    values = _scaled(differences)
    tasks = len(values)
    if tasks < 2:
        raise ValueError(f"{tasks} task(s): a test over tasks needs at least 2")
    squares = math.fsum(d * d for d in values)
    if squares == 0.0:
        return 1.0
    z = math.fsum(values) / math.sqrt(tasks / (tasks - 1) * squares)
    return min(1.0, max(2.0 * float(ndtr(-abs(z))), sys.float_info.min))


def sign_flip(differences: Sequence[float], seed: int = 0) -> float:
    """Two-sided p of the permutation test that exchanges the two policies task by task.

    Exact for up to `EXACT_UP_TO` tasks with a difference: the share of sign patterns whose sum is at least
    as far from 0. Above, (k + 1) / (n + 1) over n = 19,999 drawn patterns, which is never 0. At least
    2^(1 - T) for T tasks, so 6 are needed for p < 0.05; 1.0 when no task shows a difference, and without
    tasks. Raises `NonFiniteScore`.
    """
    whole(seed, "seed")
    values = _scaled(differences)
    sizes = np.sort(np.abs([d for d in values if d != 0.0]))  # by size: the order of tasks is nothing
    if not len(sizes):
        return 1.0
    if len(sizes) > EXACT_UP_TO:
        low, high = _ends(values, seed)
        return float(np.mean(low <= _EQUAL) if math.fsum(values) >= 0.0 else np.mean(high >= -_EQUAL))
    far = abs(math.fsum(values)) - _EQUAL * float(sizes.sum())  # sums that differ by rounding are equal
    sums = sizes[:1]
    for size in sizes[1:]:
        sums = np.concatenate([sums + size, sums - size])
    return float(np.mean(np.abs(sums) >= far))


def sign_flip_interval(
    differences: Sequence[float], confidence: float = 0.95, seed: int = 0
) -> tuple[float, float] | None:
    """All d, cut to [-1, 1], for which `sign_flip` of the differences minus d is not below 1 - confidence.

    So it excludes 0 exactly when that test rejects. With some tasks F exchanged, the sum is as far from 0 as
    the observed one from the mean of F on: the ends are order statistics of the means of sets of tasks
    (Hartigan, JASA 64 (1969) 1303). Exact for up to `EXACT_UP_TO` tasks, from the drawn patterns above. Where all
    differences are equal it is Tango's for one pair a task, which has a width. None below 2 tasks; everything where no pattern of signs could reject (`sign_flip_attainable`). Raises
    `NonFiniteScore` for differences outside [-1, 1].
    """
    alpha = 1.0 - inner(confidence, "confidence")
    values = numbers(differences, "difference of a task", -1.0, 1.0)
    if len(values) < 2:
        return None
    lows, highs = _ends(values, whole(seed, "seed"))
    if max(values) - min(values) < _EQUAL and sign_flip_attainable(len(values), alpha):
        return _of_equals(len(values), values[0], confidence)
    place = math.ceil(alpha * len(lows) - 1e-9) - 1  # so many patterns beyond an end are too few
    low, high = float(np.sort(lows)[place]), float(np.sort(-highs)[place]) * -1.0
    if len(values) > EXACT_UP_TO:  # there the test may be exact where the interval is drawn
        rejected = sign_flip(values, seed) < alpha
        if not rejected:
            low, high = min(low, 0.0), max(high, 0.0)
        elif math.fsum(values) > 0.0:
            low = max(low, float(np.min(lows, where=lows > _EQUAL, initial=1.0)))
        else:
            high = min(high, float(np.max(highs, where=highs < -_EQUAL, initial=-1.0)))
    return max(-1.0, _no_rounding(low)), min(1.0, _no_rounding(high))


def sign_flip_attainable(tasks: int, alpha: float = 0.05) -> bool:
    """Whether any differences of so many tasks have p < alpha: from 6 tasks on for 0.05."""
    least = 2.0 ** (1 - min(whole(tasks, "tasks"), 64))
    return (least if tasks <= EXACT_UP_TO else max(least, 1.0 / (_FLIPS + 1))) < inner(alpha, "alpha")


def _ends(values: Sequence[float], seed: int) -> tuple[Array, Array]:
    """For every pattern of signs, complements being one, the means of its two sides: the lower, the higher.

    A difference d at or below the lower one (at or above the higher) makes the pattern's sum as far from 0
    as the observed. The pattern that exchanges nobody always is: its means are -inf and inf.
    """
    ordered, mirrored = sorted(values), sorted(-d for d in values)
    if mirrored > ordered:  # one way round, so that exchanging the policies draws the same signs
        low, high = _ends(mirrored, seed)
        return -high, -low
    x = np.asarray(ordered)
    n, total = len(x), math.fsum(ordered)
    sums, counts = [np.zeros(1)], [np.zeros(1)]
    if n <= EXACT_UP_TO:
        for d in x[1:]:  # the first task stays: the others' patterns are all, complements left out
            sums, counts = (
                [np.concatenate([sums[0], sums[0] + d])],
                [np.concatenate([counts[0], counts[0] + 1])],
            )
    else:
        rng, done = np.random.default_rng(seed), 0
        while done < _FLIPS:
            rows = min(_FLIPS - done, max(1, _CHUNK // n))
            signs = rng.integers(0, 2, size=(rows, n), dtype=np.int8)
            sums.append(signs @ x)
            counts.append(signs.sum(axis=1, dtype=np.float64))
            done += rows
    part, size = np.concatenate(sums), np.concatenate(counts)
    nobody = (size == 0) | (size == n)
    one = np.where(nobody, -np.inf, part / np.maximum(size, 1))
    other = np.where(nobody, np.inf, (total - part) / np.maximum(n - size, 1))
    return np.minimum(one, other), np.maximum(one, other)


def _of_equals(tasks: int, difference: float, confidence: float) -> tuple[float, float]:
    """Equal differences have no spread to go by: Tango's for one pair a task, on its side of 0."""
    from scipy.special import ndtri

    b, c = tasks * max(0.0, -difference), tasks * max(0.0, difference)
    found = tango(tasks, b, c, z=float(ndtri((1.0 + confidence) / 2.0)))
    low, high = found if found else (-1.0, 1.0)
    if abs(difference) < _EQUAL:
        return low, high
    return (max(low, _EQUAL), high) if difference > 0.0 else (low, min(high, -_EQUAL))


def _scaled(differences: Sequence[float]) -> list[float]:
    """In units of the largest, in which no square and no sum leaves the floats."""
    values = numbers(differences, "difference of a task")
    largest = max(map(abs, values), default=0.0)
    return [value / largest for value in values] if largest else values


def _no_rounding(end: float) -> float:
    return 0.0 if abs(end) < _EQUAL else end
