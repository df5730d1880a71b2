"""Does a claimed difference between two sets of results hold up? One outcome per item and side, paired by item.

A difference of two pass rates can come from the models, from chance, or from the way it was measured: outputs
of one side that were cut off by a token limit, answers of one side that the scorer did not recognise, items
that one side never finished. `audit` looks at all of these and gives one verdict with its reason.

Throughout, `b` counts the items only A has right, `c` those only B has right, and differences are B - A in
percentage points.

The verdict: the first line that applies. "Shown" is an exact McNemar p below alpha; "clean" are the items that
neither side's output was cut off in; "truncation differs" is an exact McNemar p below alpha on the flags.

    1  no difference is shown on all items                                                  inconclusive
       (whatever the truncation: equality is not claimed by a large p, see `mdd_pp`)
    2  the clean items show the opposite difference                                         artefact
    3  truncation differs, to the loser's harm, and the clean items do not show the
       difference                                                                           artefact
    4  reading the answers again changes one side more than the other (McNemar on the
       changed items), and then the difference is not shown                                 artefact
    4a reading them again changes one side more, and the difference is shown all the same  inconclusive
    5  truncation differs otherwise (the clean items still show it, or the winner was hit)  inconclusive
    6  whether an output was cut off is not known for every item                            inconclusive
    7  truncation is balanced, and the clean items do not show the difference               inconclusive
    8  read again, the difference is not shown                                              inconclusive
    9  items without an outcome, all decided against the difference, would undo it          inconclusive
    10 none of these                                                                        ok

So `ok` needs a difference on all items and on the clean ones, and truncation that is known and does not differ.
Measured with equal policies, n = 200, A and B cut off in 15 and 5, 25 and 10, 25 and 0 % of the items: the naive
test finds a difference in 22, 45 and 90 % of cases, `ok` is said in 0.2, 0.0 and 0.0 % (`scripts/bench_claim.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from .calibration import Rate
from .claim_tables import (
    Bound,
    Flags,
    PairedTable,
    Reread,
    Truncation,
    bound_over,
    opened,
    paired_table,
    read_again,
    sign,
    truncation_of,
)
from .errors import EmptyGroup
from .paired import attainable
from .paired_power import mcnemar_mdd

ClaimVerdict = Literal["ok", "inconclusive", "artefact"]


@dataclass(frozen=True)
class ClaimAudit:
    """What the outcomes show. `clean` is None when truncation is unknown for every item of a side."""

    alpha: float
    table: PairedTable
    rate_a: Rate
    rate_b: Rate
    mdd_pp: float | None
    missing_a: int
    missing_b: int
    truncation: Truncation
    clean: PairedTable | None
    reread: Reread | None
    missing_bound: Bound
    worst_case: Bound
    verdict: ClaimVerdict
    reason: str


def audit(
    correct_a: Flags,
    correct_b: Flags,
    truncated_a: Flags,
    truncated_b: Flags,
    *,
    reread_a: Flags | None = None,
    reread_b: Flags | None = None,
    alpha: float = 0.05,
    names: tuple[str, str] = ("A", "B"),
) -> ClaimAudit:
    """Audit one outcome per item and side; position i of every array is the same item.

    `correct_*`: None is an item without an outcome (an error of the run): it is left out of the tests, counted
    as missing, and bounded. `truncated_*`: whether the output was cut off by a limit; None is not known.
    `reread_*`: the outcome by a second reading of the same output, None where there is none (the first one
    then stands). `worst_case` bounds the difference over missing outcomes and over outputs that were cut off
    and scored wrong. Raises `EmptyGroup` when no item has an outcome on both sides, and `ValueError` for
    arrays of different lengths or an alpha outside (0, 1).
    """
    _check([correct_a, correct_b, truncated_a, truncated_b, reread_a, reread_b], alpha)
    paired = [i for i, pair in enumerate(zip(correct_a, correct_b, strict=True)) if None not in pair]
    if not paired:
        raise EmptyGroup("no item has an outcome on both sides")
    table = paired_table(correct_a, correct_b, paired, alpha)
    truncation = truncation_of([truncated_a[i] for i in paired], [truncated_b[i] for i in paired])
    clean = None
    if truncation.p_exact is not None:
        whole = [i for i in paired if truncated_a[i] is False and truncated_b[i] is False]
        clean = paired_table(correct_a, correct_b, whole, alpha)
    reread = read_again(correct_a, correct_b, reread_a, reread_b, paired, alpha)
    missing = bound_over(correct_a, correct_b, sign(table))
    verdict, reason = _verdict(table, truncation, clean, reread, missing, alpha, names)
    return ClaimAudit(
        alpha=alpha,
        table=table,
        rate_a=Rate.of(sum(correct_a[i] is True for i in paired), len(paired)),
        rate_b=Rate.of(sum(correct_b[i] is True for i in paired), len(paired)),
        mdd_pp=_mdd(table, alpha),
        missing_a=missing.open_a,
        missing_b=missing.open_b,
        truncation=truncation,
        clean=clean,
        reread=reread,
        missing_bound=missing,
        worst_case=bound_over(opened(correct_a, truncated_a), opened(correct_b, truncated_b), sign(table)),
        verdict=verdict,
        reason=reason,
    )


def _check(arrays: Sequence[Flags | None], alpha: float) -> None:
    lengths = [len(each) for each in arrays if each is not None]
    if len(set(lengths)) != 1:
        raise ValueError(f"one entry per item in every array, not {lengths}")
    if not 0.0 < alpha < 1.0:
        raise ValueError(f"alpha lies between 0 and 1, not {alpha}")


def _verdict(
    table: PairedTable,
    truncation: Truncation,
    clean: PairedTable | None,
    reread: Reread | None,
    missing: Bound,
    alpha: float,
    names: tuple[str, str],
) -> tuple[ClaimVerdict, str]:
    """The table of this module's docstring, line by line."""
    way = sign(table)
    differs = truncation.p_exact is not None and truncation.p_exact < alpha
    cut = _shares(truncation, names)
    if table.p_exact >= alpha:
        nothing = _nothing_shown(table, alpha)
        aside = f"; truncation differs ({cut}), so the two are not alike either" if differs else ""
        return "inconclusive", nothing + aside

    winner, loser = names if way < 0 else (names[1], names[0])
    claim = _difference(table, names)
    left = "" if clean is None else f"on the {clean.n} items cut off in neither {_difference(clean, names)}"
    clean_shows = clean is not None and clean.shows(alpha, way)
    if clean is not None and clean.shows(alpha, -way):
        return "artefact", f"{claim}, but {left}, the opposite"

    loser_hit = differs and (truncation.only_a > truncation.only_b) == (way > 0)
    if loser_hit and not clean_shows:
        return "artefact", f"{claim}, but {loser} was cut off more often ({cut}), and {left}"

    again = "" if reread is None else f"with every answer read again {_difference(reread.table, names)}"
    holds_again = reread is None or reread.table.shows(alpha, way)
    if reread is not None and reread.p_exact < alpha:
        changed = f"{reread.changed_a} outcomes of {names[0]} and {reread.changed_b} of {names[1]} change"
        if not holds_again:
            return "artefact", f"{claim}, but {again}: {changed}, so the scorer made the difference"
        return "inconclusive", f"{claim}, but {again}: {changed}, so its size is open"

    if differs:
        hit = loser if loser_hit else winner
        return (
            "inconclusive",
            f"{claim}, but {hit} was cut off more often ({cut}), so its size is open; {left}",
        )
    if not truncation.known:
        return (
            "inconclusive",
            f"{claim}, but truncation is unknown for {_unknown(truncation, table.n, names)}",
        )
    if not clean_shows:
        return "inconclusive", f"{claim}, but {left}"
    if not holds_again:
        return "inconclusive", f"{claim}, but {again}"
    if missing.undoes(alpha):
        lost = f"{missing.open_a} of {names[0]}, {missing.open_b} of {names[1]}"
        return "inconclusive", f"{claim}, but the outcomes that are missing ({lost}) could undo it"
    return "ok", f"{claim}, truncation does not differ ({cut}), and {left}"


def _nothing_shown(table: PairedTable, alpha: float) -> str:
    differing = table.b + table.c
    if differing == 0:
        return f"no difference is shown: the two agree on all {table.n} items"
    if not attainable(differing, alpha):
        few = f"only {differing} of {table.n} items came out differently, too few for p < {alpha:g}"
        return f"no difference is shown, and none could be: {few}"
    mdd = _mdd(table, alpha)
    found = "no difference" if mdd is None else f"only differences from {mdd:.1f} pp on"
    figures = f"{table.delta_pp:+.1f} pp, {_p(table.p_exact)}, n={table.n}"
    return f"no difference is shown ({figures}); {found} would be found in four of five cases"


def _difference(table: PairedTable, names: tuple[str, str]) -> str:
    """In words: who is ahead there, by how much, and the p."""
    if table.delta_pp is None:
        return "nothing is left to compare"
    if table.b == table.c:
        return f"the two are equal ({_p(table.p_exact)})"
    ahead = names[1] if table.c > table.b else names[0]
    return f"{ahead} is ahead by {abs(table.delta_pp):.1f} pp ({_p(table.p_exact)})"


def _shares(truncation: Truncation, names: tuple[str, str]) -> str:
    told = [
        f"{name} {'unknown' if rate.value is None else f'{100 * rate.value:.1f} %'}"
        for name, rate in zip(names, (truncation.a, truncation.b), strict=True)
    ]
    return ", ".join([*told, *([] if truncation.p_exact is None else [_p(truncation.p_exact)])])


def _unknown(truncation: Truncation, n: int, names: tuple[str, str]) -> str:
    counts = zip(names, (truncation.unknown_a, truncation.unknown_b), strict=True)
    return " and ".join(f"{count} of {n} items of {name}" for name, count in counts if count)


def _mdd(table: PairedTable, alpha: float) -> float | None:
    found = mcnemar_mdd(table.n, (table.b + table.c) / table.n, alpha, mid_p=False)
    return None if found is None else 100.0 * found


def _p(p: float) -> str:
    return f"p={p:.4f}" if p >= 0.0001 else f"p={p:.1e}"
