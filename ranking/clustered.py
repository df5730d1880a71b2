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

#: Tasks with a difference up to which every pattern of signs is looked at: 2^19 sums, some 10 ms.
EXACT_UP_TO = 20
_FLIPS = 19_999
_CHUNK = 1 << 22  # signs drawn at once


def obuchowski(differences: Sequence[float]) -> float:
    """Two-sided p of the clustered McNemar test; 1.0 when no task shows a difference, and never 0.

    z = sum d / sqrt(T / (T - 1) sum d^2) over T tasks, the spread taken under the null. Obuchowski, Stat.
    Med. 17 (1998) 1495, for d = c - b; with d = (c - b) / pairs it weighs tasks equally, as Durkalski et al.,
    Stat. Med. 22 (2003) 2417. Holds its level from about 20 tasks on; below, take `sign_flip`.
    Raises `ValueError` for fewer than 2 tasks.
    """
    from scipy.special import ndtr

    tasks = len(differences)
    if tasks < 2:
        raise ValueError(f"{tasks} task(s): a test over tasks needs at least 2")
    squares = math.fsum(d * d for d in differences)
    if squares == 0.0:
        return 1.0
    z = math.fsum(differences) / math.sqrt(tasks / (tasks - 1) * squares)
    return min(1.0, max(2.0 * float(ndtr(-abs(z))), sys.float_info.min))


def sign_flip(differences: Sequence[float], seed: int = 0) -> float:
    """Two-sided p of the permutation test that exchanges the two policies task by task.

    Exact for up to `EXACT_UP_TO` tasks with a difference: the share of sign patterns whose sum is at least
    as far from 0. Above, (k + 1) / (n + 1) over n = 19,999 drawn patterns, which is never 0. At least
    2^(1 - T) for T tasks, so 6 are needed for p < 0.05; 1.0 when no task shows a difference.
    """
    sizes = np.sort(np.abs([d for d in differences if d != 0.0]))  # by size: the order of tasks is nothing
    if not len(sizes):
        return 1.0
    far = abs(math.fsum(differences)) - 1e-9 * float(sizes.sum())  # sums that differ by rounding are equal
    if len(sizes) <= EXACT_UP_TO:
        sums = sizes[:1]
        for size in sizes[1:]:
            sums = np.concatenate([sums + size, sums - size])
        return float(np.mean(np.abs(sums) >= far))
    rng = np.random.default_rng(seed)
    reached = done = 0
    while done < _FLIPS:
        rows = min(_FLIPS - done, max(1, _CHUNK // len(sizes)))
        signs = rng.integers(0, 2, size=(rows, len(sizes)), dtype=np.int8)
        sums = 2.0 * (signs @ sizes) - sizes.sum()
        reached += int(np.count_nonzero(np.abs(sums) >= far))
        done += rows
    return (reached + 1) / (_FLIPS + 1)
