"""Bradley-Terry with a parameter for the place: how much a judge favours whoever is shown first.

P(i, shown first, beats j) = 1 / (1 + exp(-(theta_i - theta_j + b))), with normal priors on each theta and on
b. Where every pair is asked once in a random order, this costs about no accuracy and takes the bias out of
the strengths; always asking in the same order does not. Davidson and Beaver, Biometrics 33 (1977) 693, for
the order effect.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from .bradley_terry import Array, Fit, centring, checked, fit, sigmoid
from .checks import positive, whole
from .errors import EmptyGroup
from .newton import minimise
from .records import Comparison
from .wins import OrderedWins, components, ordered_wins

_POINTS = 13  # of the grid for the bias, four standard errors to either side


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
    logits. Strengths are the joint maximum, their covariance the inverse Hessian (Laplace). The bias is its
    posterior mean, with the strengths integrated out (Tierney and Kadane, JASA 81 (1986) 82): at the joint
    maximum it is off by more and more of its error as n grows. Raises `EmptyGroup`, `UnknownCandidate`,
    `NonFiniteScore`, `NotConverged`.
    """
    if whole(n, "candidates") < 1:
        raise EmptyGroup("a group of 0 candidates has no strengths")
    prior_sd, position_sd = positive(prior_sd, "prior_sd"), positive(position_sd, "position_sd")
    wins = comparisons if isinstance(comparisons, OrderedWins) else ordered_wins(n, comparisons)
    model = _Model(
        n,
        checked(n, wins.first),
        checked(n, wins.second),
        np.append(np.full(n, 1.0 / prior_sd**2), 1.0 / position_sd**2),
    )
    best = model.minimum(np.append(fit(n, wins.matrix, prior_sd).theta, 0.0))
    cov = np.linalg.inv(model.hessian(best))
    label = components(model.shown)
    centre = centring(label)
    theta_cov = centre @ cov[:n, :n] @ centre.T
    se = np.sqrt(np.clip(np.diag(theta_cov), 0.0, None))
    strengths = Fit(centre @ best[:n], theta_cov, se, label, True, wins.used, wins.invalid)
    return PositionFit(strengths, *model.marginal_bias(best, math.sqrt(float(cov[n, n]))))


@dataclass(frozen=True)
class _Model:
    """The objective in n strengths and, last, the bias."""

    n: int
    first: Array
    second: Array
    precision: Array

    @property
    def shown(self) -> Array:
        return self.first + self.second

    def minimum(self, start: Array) -> Array:
        return minimise(
            start,
            self.objective,
            self.gradient,
            self.hessian,
            scale=1.0 + float(self.shown.sum()),
            what=f"Bradley-Terry fit of {self.n} candidates with a position",
        )

    def marginal_bias(self, best: Array, se: float) -> tuple[float, float]:
        """Mean and standard deviation of the bias, the strengths integrated out at a grid of its values."""
        n, points = self.n, best[-1] + se * np.linspace(-4.0, 4.0, _POINTS)
        log_density = []
        for point in points.tolist():
            at = np.append(self.strengths_at(point, best[:n]), point)
            log_density.append(-self.objective(at) - np.linalg.slogdet(self.hessian(at)[:n, :n])[1] / 2.0)
        weight = np.exp(np.array(log_density) - max(log_density))
        weight /= weight.sum()
        mean = float(weight @ points)
        return mean, math.sqrt(float(weight @ (points - mean) ** 2))

    def strengths_at(self, bias: float, start: Array) -> Array:
        def x(theta: Array) -> Array:
            return np.append(theta, bias)

        return minimise(
            start,
            lambda theta: self.objective(x(theta)),
            lambda theta: self.gradient(x(theta))[: self.n],
            lambda theta: self.hessian(x(theta))[: self.n, : self.n],
            scale=1.0 + float(self.shown.sum()),
            what=f"Bradley-Terry fit of {self.n} candidates with a bias of {bias:.2g}",
        )

    def lead(self, x: Array) -> Array:
        return np.asarray(x[: self.n, None] - x[None, : self.n] + x[self.n], dtype=np.float64)

    def objective(self, x: Array) -> float:
        lead = self.lead(x)
        likelihood = self.first * np.logaddexp(0.0, -lead) + self.second * np.logaddexp(0.0, lead)
        return float(likelihood.sum() + (self.precision * x * x).sum() / 2.0)

    def gradient(self, x: Array) -> Array:
        excess = self.shown * sigmoid(self.lead(x)) - self.first
        return np.append(excess.sum(axis=1) - excess.sum(axis=0), excess.sum()) + self.precision * x

    def hessian(self, x: Array) -> Array:
        p, n = sigmoid(self.lead(x)), self.n
        curvature = self.shown * p * (1.0 - p)
        both = curvature + curvature.T
        found = np.diag(self.precision)
        found[:n, :n] += np.diag(both.sum(axis=1)) - both
        found[:n, n] = found[n, :n] = curvature.sum(axis=1) - curvature.sum(axis=0)
        found[n, n] += curvature.sum()
        return found
