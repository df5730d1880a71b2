"""Intervals for rates and for differences of paired rates."""

from __future__ import annotations

import math
from collections.abc import Callable

from .checks import number, positive

Z95 = 1.959963984540054  # 97.5 % point of the standard normal


def wilson(passes: float, n: float, z: float = Z95) -> tuple[float, float] | None:
    """Wilson score interval for a rate, (low, high) in [0, 1]; None for n = 0, where nothing is known.

    Wilson, JASA 22 (1927) 209. Equal to `scipy.stats.binomtest(passes, n).proportion_ci(method="wilson")`,
    which raises for n = 0. Both may be fractions: the mean of repeats, an effective number of samples.
    Raises `ValueError` unless 0 <= passes <= n, all finite and z above 0.
    """
    passes, n, z = number(passes, "passes"), number(n, "n"), positive(z, "z")
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


def tango(n: float, b: float, c: float, z: float = Z95) -> tuple[float, float] | None:
    """Score interval of (c - b) / n, the difference of two rates on the same n items; None for n = 0.

    b items are won by the first only, c by the second only; fractions are allowed. Tango, Stat. Med. 17
    (1998) 891: all differences D that the score test does not reject, with the rates at their likeliest under
    D. It excludes 0 exactly when McNemar's uncorrected test rejects, and is no point when b = c = 0.

    Exact coverage at a nominal 0.95, over discordant shares of 0.2 to 0.5 and differences up to 3/4 of them:
    0.945 to 0.978 at n = 20, 0.946 to 0.957 at 50, 0.949 to 0.951 at 200. Rarer discordant items make it
    wider, where a t interval falls to 0.64; Newcombe's tenth method goes below it (0.931 at n = 50), and the
    adjusted Wald interval of Bonett and Price stays above (0.95 to 0.99). `scripts/bench_compare.py`.
    Raises `ValueError` unless 0 <= b, 0 <= c and b + c <= n, all finite and z above 0.
    """
    n, b, c, z = number(n, "n"), number(b, "b"), number(c, "c"), positive(z, "z")
    if b < 0 or c < 0 or b + c > n * (1 + 1e-12):
        raise ValueError(f"b={b} and c={c} of {n} items: counts are at least 0, and together at most n")
    if n == 0:
        return None
    difference = (c - b) / n
    low = _crossing(-1.0, difference, lambda d: _tango_score(n, b, c, d) <= z)
    high = _crossing(1.0, difference, lambda d: _tango_score(n, b, c, d) >= -z)
    return low, high


def _crossing(outside: float, inside: float, accepted: Callable[[float], bool]) -> float:
    """The end of the accepted values between one that may be rejected and one that is accepted."""
    if accepted(outside):
        return outside
    for _ in range(60):
        middle = (outside + inside) / 2
        outside, inside = (outside, middle) if accepted(middle) else (middle, inside)
    return inside


def _tango_score(n: float, b: float, c: float, difference: float) -> float:
    """How many standard errors the observed difference lies above this one."""
    linear = difference * (2 * n - (c - b)) - (b + c)
    constant = -b * difference * (1 - difference)
    only_first = (-linear + math.sqrt(max(0.0, linear * linear - 8 * n * constant))) / (4 * n)
    variance = n * (2 * only_first + difference * (1 - difference))
    gap = (c - b) - n * difference
    if variance <= 0:
        return 0.0 if gap == 0 else math.copysign(math.inf, gap)
    return gap / math.sqrt(variance)
