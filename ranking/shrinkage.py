"""What a member of a group is probably worth, by a model of how much the group really differs.

The models assume that the members come from one distribution, of unknown mean and spread; both are summed
over a grid, so that a group that tells little about its spread gives wide intervals. Groups of any size; no
evidence. Gelman et al., Bayesian Data Analysis, 3rd ed., sections 5.3 and 5.4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .intervals import Z95
from .roots import boundary

Array = NDArray[np.float64]

_TAIL = 0.025
_POINTS = 40  # of each unknown of the beta distribution
_SPREADS = 400


def beta_binomial(passes: Sequence[int], repeats: Sequence[int], member: int) -> tuple[float, float, float]:
    """(mean, low, high) of the posterior of a member's pass rate, 95 %.

    The rates come from a beta distribution with a uniform mean and a concentration k with 1 / (1 + k)
    uniform.
    """
    from scipy.special import betainc, betaln

    points = (np.arange(_POINTS) + 0.5) / _POINTS
    mean, share = (grid.ravel() for grid in np.meshgrid(points, points))
    k = (1.0 - share) / share
    a, b = mean * k, (1.0 - mean) * k
    log_weight = np.zeros_like(a)
    for c, m in sorted(zip(passes, repeats, strict=True)):
        log_weight += betaln(a + c, b + m - c) - betaln(a, b)
    weight = np.exp(log_weight - log_weight.max())
    counts = weight > 1e-9  # the rest of the grid together is below 1e-5
    a, b, weight = a[counts], b[counts], weight[counts] / weight[counts].sum()
    a, b = a + passes[member], b + repeats[member] - passes[member]
    centre = float((weight * a / (a + b)).sum())
    return centre, *_interval(lambda x: float((weight * betainc(a, b, x)).sum()), 0.0, centre, 1.0)


def normal_normal(scores: Sequence[float], ses: Sequence[float], member: int) -> tuple[float, float, float]:
    """(mean, low, high) of the posterior of a member's true score, 95 %; a group of one is not shrunk.

    True scores are normal with a flat mean and a half-Cauchy spread, of the scale of the median standard
    error.
    """
    from scipy.special import ndtr

    y, error = float(scores[member]), float(ses[member])
    if len(scores) == 1:
        return y, y - Z95 * error, y + Z95 * error
    pairs = np.array(sorted(zip(scores, ses, strict=True)), dtype=np.float64)
    spread = float(np.median(pairs[:, 1])) * np.tan(np.pi / 2.0 * (np.arange(_SPREADS) + 0.5) / _SPREADS)
    variance = spread[:, None] ** 2 + pairs[None, :, 1] ** 2
    v_mean = 1.0 / (1.0 / variance).sum(axis=1)
    mean = v_mean * (pairs[None, :, 0] / variance).sum(axis=1)
    misfit = (pairs[None, :, 0] - mean[:, None]) ** 2 / variance
    log_weight = 0.5 * (np.log(v_mean) - np.log(variance).sum(axis=1) - misfit.sum(axis=1))
    weight = np.exp(log_weight - log_weight.max())
    weight /= weight.sum()
    pull = error**2 / (error**2 + spread**2)  # towards the group's mean
    centre = pull * mean + (1.0 - pull) * y
    sd = np.sqrt((1.0 - pull) * error**2 + pull**2 * v_mean)
    middle = float((weight * centre).sum())
    reach = float(np.abs(centre - middle).max() + 10.0 * sd.max())
    low, high = _interval(
        lambda x: float((weight * ndtr((x - centre) / sd)).sum()), middle - reach, middle, middle + reach
    )
    return middle, low, high


def _interval(
    below: Callable[[float], float], least: float, middle: float, most: float
) -> tuple[float, float]:
    low = boundary(lambda x: below(x) >= _TAIL, middle, least)
    high = boundary(lambda x: below(x) <= 1.0 - _TAIL, middle, most)
    return low, high
