"""Figures of simulated runs, each with its Monte Carlo error and the limit that it is held to."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

ALPHA = 0.05
BAND = (0.93, 0.97)  #: in which the coverage of a 95 % interval lies

Limit = float | tuple[float, float] | None


@dataclass(frozen=True)
class Measured:
    """One figure. A limit is an upper bound, or the two ends that it lies between; None only tells."""

    measure: str
    value: float
    limit: Limit = None
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Whether it keeps its limit; None without one."""
        if self.limit is None:
            return None
        low, high = self.limit if isinstance(self.limit, tuple) else (-math.inf, self.limit)
        return low <= self.value <= high


def false_positives(measure: str, found: Sequence[float | None], *, limited: bool = True) -> Measured:
    """The share of p-values below 0.05; None is no claim. At most 0.05 plus two standard errors of it."""
    row = share(measure, [p is not None and p < ALPHA for p in found])
    limit = round(ALPHA + 2.0 * math.sqrt(ALPHA * (1.0 - ALPHA) / len(found)), 4)
    return Measured(row.measure, row.value, limit if limited else None, row.note)


def share(measure: str, hits: Sequence[bool], limit: Limit = None) -> Measured:
    """The share of runs in which something was so."""
    value, n = float(np.mean(hits)), len(hits)
    return Measured(measure, round(value, 4), limit, _error(math.sqrt(value * (1.0 - value) / n), n))


def mean(measure: str, values: Iterable[float], limit: Limit = None) -> Measured:
    """A mean over runs; also of shares within a run, which is then the unit of the error."""
    found = np.asarray(list(values), dtype=np.float64)
    error = float(found.std()) / math.sqrt(len(found))
    return Measured(measure, round(float(found.mean()), 4), limit, _error(error, len(found)))


def coverage(
    measure: str, intervals: Iterable[tuple[float | None, float | None]], truth: float, limit: Limit = BAND
) -> Measured:
    """How often intervals hold the truth; one that could not be told does not."""
    hits = [low is not None and high is not None and low <= truth <= high for low, high in intervals]
    return share(measure, hits, limit)


def _error(error: float, runs: int) -> str:
    return f"±{error:.4f}, {runs} runs"
