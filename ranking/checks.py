"""What a number must be before anything is computed from it: one place, so that nothing passes in silence.

All raise `NonFiniteScore`, a `ValueError`, which names the number and what it is for.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

import numpy as np

from .errors import NonFiniteScore


def number(value: Any, what: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number from low to high, both included. Text is none, also where it reads as one."""
    if not _finite(value):
        raise NonFiniteScore(f"{what}: {_shown(value)} is not a finite number")
    if not low <= value <= high:
        raise NonFiniteScore(f"{what}: {_shown(value)} is not between {low:g} and {high:g}")
    return float(value)


def numbers(values: Iterable[Any], what: str, low: float = -math.inf, high: float = math.inf) -> list[float]:
    """Each of them a `number`."""
    return [number(value, what, low, high) for value in values]


def positive(value: Any, what: str) -> float:
    """A finite number above 0."""
    if not (_finite(value) and value > 0):
        raise NonFiniteScore(f"{what} must be a finite number above 0, not {_shown(value)}")
    return float(value)


def inner(value: Any, what: str) -> float:
    """A share strictly between 0 and 1: a confidence, a level, a power."""
    if not (_finite(value) and 0.0 < value < 1.0):
        raise NonFiniteScore(f"{what} lies between 0 and 1, not {_shown(value)}")
    return float(value)


def whole(value: Any, what: str, least: int = 0) -> int:
    """A count: a whole number (2 or 2.0) of at least `least`."""
    if not _finite(value) or value != int(value) or value < least:
        raise NonFiniteScore(f"{what}: a whole number of at least {least}, not {_shown(value)}")
    return int(value)


def flag(value: Any, what: str) -> bool:
    """Passed or not: True, False, 1 or 0. Anything else would count by its truth value."""
    if not (_finite(value) and value in (0, 1)):
        raise NonFiniteScore(f"{what}: {_shown(value)} is neither a pass (True) nor a fail (False)")
    return bool(value)


def _finite(value: Any) -> bool:
    if not isinstance(value, (Real, np.bool_)):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond floats
        return False


def _shown(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 200:
        return "a number beyond floats"
    return repr(value)[:80] if isinstance(value, str) else str(value)[:80]
