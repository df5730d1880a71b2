"""Several comparisons at once."""

from __future__ import annotations

from collections.abc import Sequence

from .checks import numbers


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjusted p-values in the order given: below alpha for none that is true with probability 1 - alpha.

    Holm's step-down, Scand. J. Stat. 6 (1979) 65: the k-th smallest of m is multiplied by m - k + 1, never
    falls below a smaller one's, and ends at 1. Valid whatever the dependence, so also for several policies
    against one. Raises `ValueError` for a value outside [0, 1].
    """
    p_values = numbers(p_values, "p-value", 0.0, 1.0)
    adjusted = [0.0] * len(p_values)
    reached = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        reached = max(reached, min(1.0, p_values[index] * (len(p_values) - rank)))
        adjusted[index] = reached
    return adjusted
