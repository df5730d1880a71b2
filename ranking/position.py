"""Bradley-Terry with a parameter for the place: how much a judge favours whoever is shown first.

P(i, shown first, beats j) = 1 / (1 + exp(-(theta_i - theta_j + b))), with normal priors on each theta and on b.
Where every pair is asked once in a random order, this costs about no accuracy and takes the bias out of the strengths;
always asking in the same order does not. Davidson and Beaver, Biometrics 33 (1977) 693, for the order effect.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .bradley_terry import Array, Fit, centring, checked, fit, sigmoid
from .errors import NonFiniteScore
from .newton import minimise
from .records import Comparison
from .wins import OrderedWins, components, ordered_wins


@dataclass(frozen=True)
class PositionFit:
    """Strengths with the bias for the first place taken out, and that bias."""

    strengths: Fit
    bias: float  #: logits in favour of whoever is shown first; below 0 for the second
    se: float

    @property
    def first_wins(self) -> float:
        """How often the one shown first wins between equals."""
        return 1.0 / (1.0 + math.exp(-self.bias))


def fit_position(
    n: int,
    comparisons: Iterable[Comparison] | OrderedWins,
    prior_sd: float = 1.0,
    position_sd: float = 1.0,
) -> PositionFit:
    """Fit n candidates and the bias of the first place, from comparisons with `first` shown first.

    `prior_sd` and `position_sd`: standard deviations of a strength and of the bias before any comparison, in
    logits. Covariances are the inverse Hessian (Laplace). Raises `EmptyGroup`, `UnknownCandidate`,
    `NonFiniteScore`, `NotConverged`.
    """
    if not (math.isfinite(position_sd) and position_sd > 0):
        raise NonFiniteScore(f"position_sd must be a finite number above 0, not {position_sd}")
    wins = comparisons if isinstance(comparisons, OrderedWins) else ordered_wins(n, comparisons)
    first, second = checked(n, wins.first), checked(n, wins.second)
    begin = np.append(fit(n, wins.matrix, prior_sd).theta, 0.0)
    precision = np.append(np.full(n, 1.0 / prior_sd**2), 1.0 / position_sd**2)
    shown = first + second

    def lead(x: Array) -> Array:
        return np.asarray(x[:n, None] - x[None, :n] + x[n], dtype=np.float64)

    def objective(x: Array) -> float:
        likelihood = first * np.logaddexp(0.0, -lead(x)) + second * np.logaddexp(0.0, lead(x))
        return float(likelihood.sum() + (precision * x * x).sum() / 2.0)

    def gradient(x: Array) -> Array:
        excess = shown * sigmoid(lead(x)) - first
        return np.append(excess.sum(axis=1) - excess.sum(axis=0), excess.sum()) + precision * x

    def hessian(x: Array) -> Array:
        p = sigmoid(lead(x))
        curvature = shown * p * (1.0 - p)
        both = curvature + curvature.T
        found = np.diag(precision)
        found[:n, :n] += np.diag(both.sum(axis=1)) - both
        found[:n, n] = found[n, :n] = curvature.sum(axis=1) - curvature.sum(axis=0)
        found[n, n] += curvature.sum()
        return found

    best = minimise(
        begin,
        objective,
        gradient,
        hessian,
        scale=1.0 + float(shown.sum()),
        what=f"Bradley-Terry fit of {n} candidates with a position",
    )
    cov = np.linalg.inv(hessian(best))
    label = components(shown)
    centre = centring(label)
    theta_cov = centre @ cov[:n, :n] @ centre.T
    se = np.sqrt(np.clip(np.diag(theta_cov), 0.0, None))
    strengths = Fit(centre @ best[:n], theta_cov, se, label, True, wins.used, wins.invalid)
    return PositionFit(strengths, float(best[n]), math.sqrt(float(cov[n, n])))
