"""Bradley-Terry strengths with uncertainty, fitted through choix.

P(i beats j) = 1 / (1 + exp(theta_j - theta_i)), with an independent normal prior on each theta. The estimate
is the maximum of

    sum_ij W_ij log sigmoid(theta_i - theta_j)  -  |theta|^2 / (2 prior_sd^2)

and its covariance the inverse Hessian there (Laplace). See Caron and Doucet, "Efficient Bayesian inference
for generalized Bradley-Terry models", JCGS 2012, and choix's documentation for the optimiser.

What is wrapped, and why (choix 0.4.1):
- `opt_pairwise` penalises alpha * |theta|^2, so that alpha is 1 / (2 variance); its documentation says
  1 / variance.
- Its data are lists of whole wins. A tie is half a win for both; fractions go in by repeating every
  comparison m times. The likelihood is then m times as large, and with m * alpha the maximum is the same.
- It drops the optimiser's success flag and stops at a step of 1e-5. We go on with Newton steps on the exact
  (fractional) objective until the gradient vanishes, so that equals come out equal to the last digits, and
  raise `NotConverged` otherwise.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .checks import number, positive, whole
from .errors import EmptyGroup, NonFiniteScore, UnknownCandidate
from .newton import minimise
from .records import Comparison
from .wins import components, win_matrix

Array = NDArray[np.float64]

_MAX_LIST = 5000  # choix walks its lists in Python: above this many entries its dense routine gives the start


@dataclass(frozen=True)
class Fit:
    """Strengths of n candidates. Only differences inside one component mean anything."""

    theta: Array  #: (n,) logits, centred in each component
    cov: Array  #: (n, n) covariance of the centred strengths
    se: Array  #: (n,) standard errors; 0 for a candidate that was compared with nobody
    components: tuple[int, ...]  #: connected component of each candidate
    converged: bool
    used: int = 0
    invalid: int = 0

    def difference(self, i: int, j: int) -> tuple[float, float]:
        """(theta_i - theta_j, its standard error). NaN across components: nothing was observed about it."""
        for index in (i, j):
            if not 0 <= whole(index, "candidate", -len(self.theta)) < len(self.theta):
                raise UnknownCandidate(f"candidate {index} is not one of the {len(self.theta)} of this fit")
        if self.components[i] != self.components[j]:
            return math.nan, math.nan
        variance = self.cov[i, i] + self.cov[j, j] - 2 * self.cov[i, j]
        return float(self.theta[i] - self.theta[j]), math.sqrt(max(0.0, float(variance)))


def fit(
    n: int,
    comparisons: Iterable[Comparison] | Array,
    prior_sd: float = 1.0,
    *,
    start: Sequence[float] | Array | None = None,
    repeat_correlation: float = 1.0,
) -> Fit:
    """Fit n candidates from comparisons, or from a win matrix of shape (n, n).

    `prior_sd` is the standard deviation of each strength before any comparison, in logits. `start`, shape
    (n,): strengths of an earlier fit to begin from instead of choix's estimate; the result is the same,
    sooner. `repeat_correlation`: how repeated comparisons of one pair count (`win_matrix`). Raises
    `EmptyGroup`, `UnknownCandidate`, `NonFiniteScore`, `NotConverged`.
    """
    n = whole(n, "candidates")
    if n < 1:
        raise EmptyGroup("a group of 0 candidates has no strengths")
    prior_sd = positive(prior_sd, "prior_sd")
    number(repeat_correlation, "repeat_correlation", 0.0, 1.0)
    used = invalid = 0
    if isinstance(comparisons, np.ndarray):
        wins = checked(n, comparisons)
        used = int(np.count_nonzero(np.triu(wins + wins.T)))
    else:
        collected = win_matrix(n, comparisons, repeat_correlation)
        wins, used, invalid = collected.matrix, collected.used, collected.invalid
    precision = 1.0 / prior_sd**2
    begin = _start(wins, precision) if start is None else _given(n, start)
    theta = minimise(
        begin,
        lambda theta: _objective(wins, precision, theta),
        lambda theta: _gradient(wins, precision, theta),
        lambda theta: _hessian(wins, precision, theta),
        scale=1.0 + float((wins + wins.T).sum(axis=1).max()),
        what=f"Bradley-Terry fit of {n} candidates",
    )
    label = components(wins)
    centre = centring(label)
    cov = centre @ np.linalg.inv(_hessian(wins, precision, theta)) @ centre.T
    return Fit(centre @ theta, cov, np.sqrt(np.clip(np.diag(cov), 0.0, None)), label, True, used, invalid)


def _given(n: int, start: Sequence[float] | Array) -> Array:
    begin = np.asarray([number(value, "strength to start from") for value in start], dtype=np.float64)
    if len(begin) != n:
        raise UnknownCandidate(f"{len(begin)} strengths to start from for {n} candidates: one each")
    return begin


def _start(wins: Array, precision: float) -> Array:
    """choix's estimate. Exact (to its tolerance) for small groups, near enough for large ones."""
    import choix  # imports scipy.stats: over a second that nothing else here needs

    n = len(wins)
    if not wins.any():
        return np.zeros(n)
    repeat, counts = _whole_wins(wins)
    if 0 < counts.sum() <= _MAX_LIST:
        data = [(i, j) for i, j in np.argwhere(counts > 0).tolist() for _ in range(counts[i, j])]
        return np.asarray(choix.opt_pairwise(n, data, alpha=repeat * precision / 2.0), dtype=np.float64)
    # Spectral, takes fractions. Its alpha is a transition rate, no prior, so it can only be a start.
    start = np.asarray(choix.lsr_pairwise_dense(wins, alpha=0.01), dtype=np.float64)
    clipped: Array = np.clip(start - start.mean(), -10.0, 10.0)
    return clipped


def _whole_wins(wins: Array) -> tuple[int, NDArray[np.int64]]:
    """The smallest repetition (at most 12) that makes every entry whole, and the repeated wins."""
    for repeat in range(1, 13):
        counts = np.rint(wins * repeat)
        if np.allclose(counts, wins * repeat, rtol=0.0, atol=1e-9):
            break
    return repeat, counts.astype(np.int64)


def _objective(wins: Array, precision: float, theta: Array) -> float:
    gap = theta[:, None] - theta[None, :]
    return float((wins * np.logaddexp(0.0, -gap)).sum() + precision / 2.0 * (theta @ theta))


def _gradient(wins: Array, precision: float, theta: Array) -> Array:
    lost = wins * sigmoid(theta[None, :] - theta[:, None])
    gradient: Array = lost.sum(axis=0) - lost.sum(axis=1) + precision * theta
    return gradient


def _hessian(wins: Array, precision: float, theta: Array) -> Array:
    p = sigmoid(theta[:, None] - theta[None, :])
    curvature = (wins + wins.T) * p * (1.0 - p)
    hessian: Array = np.diag(curvature.sum(axis=1) + precision) - curvature
    return hessian


def sigmoid(x: Array) -> Array:
    """1 / (1 + exp(-x))."""
    from scipy.special import expit

    return np.asarray(expit(x), dtype=np.float64)


def centring(label: tuple[int, ...]) -> Array:
    """The projection that subtracts the mean of each component: the data say nothing about those means."""
    same = np.equal.outer(label, label).astype(np.float64)
    projection: Array = np.eye(len(label)) - same / same.sum(axis=1, keepdims=True)
    return projection


def checked(n: int, wins: Array) -> Array:
    """The win matrix of n candidates as floats, or `NonFiniteScore`."""
    wins = np.asarray(wins, dtype=np.float64)
    if wins.shape != (n, n):
        raise NonFiniteScore(f"the win matrix of {n} candidates has shape ({n}, {n}), not {wins.shape}")
    if not np.isfinite(wins).all() or (wins < 0).any() or np.diag(wins).any():
        raise NonFiniteScore("a win matrix holds finite numbers of at least 0, and 0 on its diagonal")
    return wins
