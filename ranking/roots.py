"""Where a condition begins to fail: the ends of intervals that are defined by a test."""

from __future__ import annotations

from collections.abc import Callable


def boundary(holds: Callable[[float], bool], inside: float, end: float) -> float:
    """The last value from `inside` towards `end` for which `holds`, to the precision of floats.

    `holds(inside)` is taken for granted, and that there is a single change.
    """
    if holds(end):
        return end
    while True:
        middle = inside + (end - inside) / 2.0
        if middle in (inside, end):
            return inside
        inside, end = (middle, end) if holds(middle) else (inside, middle)
