"""The parts of a claim's audit, computed: paired tables, truncation, a second reading, bounds over what is open.

Arrays hold one entry per item, the same item at the same place; None is not known. `b` counts the items only A
has right, `c` those only B has right; differences are B - A in percentage points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .calibration import Rate
from .intervals import tango
from .paired import mcnemar_exact, mcnemar_mid_p

Flags = Sequence[bool | None]


@dataclass(frozen=True)
class PairedTable:
    """One paired comparison; intervals and differences in percentage points, None when n = 0."""

    n: int
    b: int
    c: int
    p_exact: float
    p_mid: float
    delta_pp: float | None
    ci_low_pp: float | None
    ci_high_pp: float | None

    @classmethod
    def of(cls, n: int, b: int, c: int, alpha: float = 0.05) -> PairedTable:
        """Tests, difference and its 1 - alpha interval for n items, b and c of them discordant."""
        from scipy.special import ndtri

        delta = 100.0 * (c - b) / n if n else None
        found = tango(n, b, c, z=float(ndtri(1.0 - alpha / 2.0)))
        low, high = (100.0 * found[0], 100.0 * found[1]) if found else (None, None)
        return cls(n, b, c, mcnemar_exact(b, c), mcnemar_mid_p(b, c), delta, low, high)

    def shows(self, alpha: float, ahead: int) -> bool:
        """Whether p < alpha with B ahead (1) or A ahead (-1)."""
        return self.p_exact < alpha and sign(self) == ahead


@dataclass(frozen=True)
class Bound:
    """What the open outcomes could make of the difference: each of them decided for the one side or the other.

    `p_exact` and `sign_kept` are those of the worst case, all of them against the observed difference.
    """

    open_a: int
    open_b: int
    low_pp: float
    high_pp: float
    p_exact: float
    sign_kept: bool

    def undoes(self, alpha: float) -> bool:
        """Whether the worst case no longer shows the difference."""
        return not (self.p_exact < alpha and self.sign_kept)


@dataclass(frozen=True)
class Truncation:
    """Outputs cut off, among the items with two outcomes.

    `a`, `b`: shares among those known. `only_a`, `only_b`, `p_exact`: items with one side cut off, and their
    exact McNemar p; None when no item is known on both sides. `unknown_a`, `unknown_b`: items not known.
    """

    a: Rate
    b: Rate
    unknown_a: int
    unknown_b: int
    only_a: int
    only_b: int
    p_exact: float | None

    @property
    def known(self) -> bool:
        """Known for every item of both sides."""
        return self.unknown_a == self.unknown_b == 0


@dataclass(frozen=True)
class Reread:
    """The same outputs scored again: the table, how many outcomes changed, and whether the sides differ in it."""

    table: PairedTable
    changed_a: int
    changed_b: int
    p_exact: float


def sign(table: PairedTable) -> int:
    """1 where B is ahead, -1 where A is, 0 where neither."""
    return (table.c > table.b) - (table.c < table.b)


def paired_table(first: Flags, second: Flags, items: Sequence[int], alpha: float) -> PairedTable:
    """The table of the items with these indices; all of them have an outcome on both sides."""
    b = sum(bool(first[i]) and not second[i] for i in items)
    c = sum(bool(second[i]) and not first[i] for i in items)
    return PairedTable.of(len(items), b, c, alpha)


def truncation_of(a: Flags, b: Flags) -> Truncation:
    """Of the flags of both sides."""
    known = [(x, y) for x, y in zip(a, b, strict=True) if x is not None and y is not None]
    only_a = sum(x and not y for x, y in known)
    only_b = sum(y and not x for x, y in known)
    return Truncation(
        a=Rate.of(sum(x is True for x in a), sum(x is not None for x in a)),
        b=Rate.of(sum(y is True for y in b), sum(y is not None for y in b)),
        unknown_a=sum(x is None for x in a),
        unknown_b=sum(y is None for y in b),
        only_a=only_a,
        only_b=only_b,
        p_exact=mcnemar_exact(only_a, only_b) if known else None,
    )


def read_again(
    correct_a: Flags,
    correct_b: Flags,
    again_a: Flags | None,
    again_b: Flags | None,
    items: list[int],
    alpha: float,
) -> Reread | None:
    """The table when the outcomes of a second reading stand where there is one; None without any."""
    if again_a is None and again_b is None:
        return None
    a, changed_a = _second_reading(correct_a, again_a)
    b, changed_b = _second_reading(correct_b, again_b)
    only_a = sum(changed_a[i] and not changed_b[i] for i in items)
    only_b = sum(changed_b[i] and not changed_a[i] for i in items)
    return Reread(
        table=paired_table(a, b, items, alpha),
        changed_a=sum(changed_a[i] for i in items),
        changed_b=sum(changed_b[i] for i in items),
        p_exact=mcnemar_exact(only_a, only_b),
    )


def _second_reading(first: Flags, again: Flags | None) -> tuple[list[bool | None], list[bool]]:
    if again is None:
        return list(first), [False] * len(first)
    stands = [old if new is None else new for old, new in zip(first, again, strict=True)]
    return stands, [old != new for old, new in zip(first, stands, strict=True)]


def opened(correct: Flags, truncated: Flags) -> list[bool | None]:
    """Outcomes, with those open that more room might have turned: cut off and scored wrong."""
    return [None if cut and not right else right for right, cut in zip(correct, truncated, strict=True)]


def bound_over(a: Flags, b: Flags, ahead: int) -> Bound:
    """Over all items, missing ones included. Without an observed difference there is nothing to undo."""
    n = len(a)
    low_b, low_c = _filled(a, b, for_a=True)
    high_b, high_c = _filled(a, b, for_a=False)
    worst_b, worst_c = (low_b, low_c) if ahead > 0 else (high_b, high_c)
    return Bound(
        open_a=sum(x is None for x in a),
        open_b=sum(y is None for y in b),
        low_pp=100.0 * (low_c - low_b) / n,
        high_pp=100.0 * (high_c - high_b) / n,
        p_exact=mcnemar_exact(worst_b, worst_c) if ahead else 1.0,
        sign_kept=(worst_c - worst_b) * ahead > 0,
    )


def _filled(a: Flags, b: Flags, *, for_a: bool) -> tuple[int, int]:
    first = [for_a if x is None else x for x in a]
    second = [not for_a if y is None else y for y in b]
    pairs = list(zip(first, second, strict=True))
    return sum(x and not y for x, y in pairs), sum(y and not x for x, y in pairs)
