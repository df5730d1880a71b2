"""Intervals for rates."""

from __future__ import annotations

import math

Z95 = 1.959963984540054  # 97.5 % point of the standard normal


def wilson(passes: float, n: int, z: float = Z95) -> tuple[float, float] | None:
    """Wilson score interval for a rate, (low, high) in [0, 1]; None for n = 0, where nothing is known.

    Wilson, JASA 22 (1927) 209. Equal to `scipy.stats.binomtest(passes, n).proportion_ci(method="wilson")`,
    which raises for n = 0. `passes` may be a fraction, the mean of repeats. Raises `ValueError` unless 0 <= passes <= n.
    """
    if not 0 <= passes <= n:
        raise ValueError(f"{passes} passes of {n}: passes lie between 0 and n")
    if n == 0:
        return None
    rate = passes / n
    centre = (rate + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * math.sqrt(rate * (1 - rate) / n + z * z / (4 * n * n))
    low = 0.0 if passes == 0 else max(0.0, centre - half)
    high = 1.0 if passes == n else min(1.0, centre + half)
    return low, high
