"""What a fit says about places: the probability of being best, and an interval for the rank.

Both come from draws of the strengths from their joint normal posterior (the Laplace approximation), which
keeps what a table of standard errors loses: strengths of one group are correlated. With truth drawn from the
prior, an interval holds the true rank as often as it says, on average over candidates; a truth far from the
prior is covered less well (`scripts/bench_statistics.py` measures both). Laird and Louis, J. Educ. Stat. 14
(1989) 29, and Goldstein and Spiegelhalter, JRSS A 159 (1996) 385, for ranks by the posterior of the
strengths.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .bradley_terry import Array, Fit
from .checks import inner, whole
from .errors import EmptyGroup, NonFiniteScore

_DRAWS = 10_000  # the error of a probability is below 0.005
_MAX_NUMBERS = 4_000_000  # draws times candidates, for large groups


@dataclass(frozen=True)
class Places:
    """Of n candidates, in the order of the fit."""

    p_best: tuple[float | None, ...]  #: None: several components, or a single candidate: nothing tells
    low: tuple[int, ...]  #: the rank's interval, 1 is best, both ends included
    high: tuple[int, ...]


def places(fitted: Fit, *, confidence: float = 0.95, seed: int = 0) -> Places:
    """Probability of being best and rank intervals of a fit's candidates.

    The interval is the run of ranks whose posterior share is nearest to `confidence`, widened to include the
    fitted rank: ranks are whole, and at least 0.95 for each would be 0.98 on average in a group of 8. Nothing
    orders candidates of different components: `p_best` is None for all, and each of the others widens an
    interval by one rank. Equal candidates get equal numbers, whatever their order. Raises `EmptyGroup`,
    `NonFiniteScore`.
    """
    inner(confidence, "confidence")
    whole(seed, "seed")
    n = len(fitted.theta)
    if n == 0:
        raise EmptyGroup("a fit of 0 candidates has no places")
    if not (np.isfinite(fitted.theta).all() and np.isfinite(fitted.cov).all()):
        raise NonFiniteScore("a fit whose strengths or covariances are not finite has no places")
    p_best: list[float | None] = [None] * n
    low, high = [1] * n, [n] * n
    labels = np.asarray(fitted.components)
    for label in sorted(set(fitted.components)):
        members = np.flatnonzero(labels == label)
        shares = _rank_shares(fitted.theta[members], fitted.cov[np.ix_(members, members)], seed)
        for position, index in enumerate(members.tolist()):
            rank = 1 + int((fitted.theta[members] > fitted.theta[index] + 1e-9).sum())
            first, last = _run_of_ranks(shares[position], confidence)
            low[index] = min(first, rank)
            high[index] = max(last, rank) + n - len(members)
            if len(members) == n > 1:
                p_best[index] = float(shares[position, 0])
    return Places(tuple(p_best), tuple(low), tuple(high))


def draw_strengths(theta: Array, cov: Array, draws: int, rng: np.random.Generator) -> Array:
    """Strengths from N(theta, cov), shape (draws, n); cov may be singular."""
    values, vectors = np.linalg.eigh(cov)
    root = (vectors * np.sqrt(np.clip(values, 0.0, None))) @ vectors.T
    drawn: Array = theta + rng.standard_normal((draws, len(theta))) @ root
    return drawn


def _rank_shares(theta: Array, cov: Array, seed: int) -> Array:
    """[i, r]: the share of draws in which i has rank r + 1. Drawn in an order of the candidates' own."""
    n = len(theta)
    keys = [(round(-float(theta[i]), 9), *sorted(np.round(cov[i], 9).tolist())) for i in range(n)]
    order = sorted(range(n), key=lambda i: keys[i])
    rng = np.random.default_rng(seed)
    draws = max(1000, min(_DRAWS, _MAX_NUMBERS // n))
    strengths = draw_strengths(theta[order], cov[np.ix_(order, order)], draws, rng)
    who = np.argsort(-strengths, axis=1)
    counts = np.bincount((who * n + np.arange(n)).ravel(), minlength=n * n).reshape(n, n)
    shares = np.empty((n, n))
    shares[order] = counts / draws
    for twins in _groups(keys):
        shares[twins] = shares[twins].mean(axis=0)  # equal candidates differ by the luck of the draw only
    return shares


def _groups(keys: Sequence[tuple[float, ...]]) -> list[NDArray[np.int64]]:
    groups: dict[tuple[float, ...], list[int]] = {}
    for index, key in enumerate(keys):
        groups.setdefault(key, []).append(index)
    return [np.asarray(group) for group in groups.values() if len(group) > 1]


def _run_of_ranks(shares: Array, confidence: float) -> tuple[int, int]:
    """For each length the run that holds most (of equals the better ranks); of these the nearest one."""
    below = np.concatenate([[0.0], np.cumsum(shares)])
    runs = []
    for length in range(1, len(shares) + 1):
        inside = below[length:] - below[:-length]
        first = int(np.argmax(inside))
        runs.append((abs(float(inside[first]) - confidence), length, first))
    _, length, first = min(runs)
    return first + 1, first + length
