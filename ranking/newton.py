"""Newton's method for this package's strictly convex objectives. Converges from any start, or says so."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .errors import NotConverged

Array = NDArray[np.float64]

_GRADIENT_TOLERANCE = 1e-10  # relative to `scale`
_MAX_STEPS = 100


def minimise(
    start: Array,
    objective: Callable[[Array], float],
    gradient: Callable[[Array], Array],
    hessian: Callable[[Array], Array],
    *,
    scale: float,
    what: str,
) -> Array:
    """The minimum, by damped Newton steps until the gradient is 1e-10 of `scale`. Raises `NotConverged`.

    `what` names the fit in the error.
    """
    x, value, tolerance = start, objective(start), _GRADIENT_TOLERANCE * scale
    for _ in range(_MAX_STEPS):
        slope = gradient(x)
        step = np.linalg.solve(hessian(x), slope)
        if float(np.abs(slope).max()) <= tolerance:
            # One last full step: quadratic convergence makes equal candidates equal to rounding.
            last: Array = x - step
            return last
        length = 1.0
        while True:
            tried = x - length * step
            tried_value = objective(tried)
            if tried_value <= value + 1e-12 * abs(value) or length < 1e-6:
                break
            length /= 2.0
        x, value = tried, tried_value
    raise NotConverged(
        f"{what}: gradient {float(np.abs(gradient(x)).max()):.2g} after {_MAX_STEPS} steps (wanted "
        f"{tolerance:.2g}); weights of very different size or a very wide prior do this: bring the weights near "
        "1 and prior_sd below 100"
    )
