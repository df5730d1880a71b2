"""`rollouts audit claim`: two files of per-item results, paired by id, audited, told as tables and one sentence.

The statistics and the verdict's rules are in `ranking/claims.py`, the readers in `claim_readers.py`, the channels
of wrong answers in `extraction.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ranking.calibration import Rate
from ranking.claim_tables import PairedTable
from ranking.claims import ClaimAudit, audit
from ranking.errors import EmptyGroup

from ..errors import ConfigError
from .answers import gold, same
from .claim_items import Item
from .claim_readers import Results
from .claim_scoring import heeded, scoring_differs
from .extraction import CHANNELS, Lottery, Triage, channel, lottery, reread, triage

SIDES = ("A", "B")
_COLOURS = {"ok": "green", "inconclusive": "yellow", "artefact": "red"}


@dataclass(frozen=True)
class Side:
    """What one file says about itself: its wrong answers, its lottery, and how truncation was known."""

    path: str
    format: str
    metric: str
    filter: str
    left_out: int
    cut_by: dict[str, int]
    limits: tuple[int, ...]
    triage: Triage
    lottery: Lottery


@dataclass(frozen=True)
class ClaimReport:
    """The audit of a claim with everything that is told about it."""

    audit: ClaimAudit
    a: Side
    b: Side
    reason: str
    notes: tuple[str, ...]

    @property
    def artefact(self) -> bool:
        """Whether a problem was found."""
        return self.audit.verdict == "artefact"

    def as_dict(self) -> dict[str, Any]:
        """For `--json`: differences are B - A in percentage points, b are the items only A has right."""
        found, table = self.audit, self.audit.table
        cut = found.truncation
        return {
            **asdict(table),
            "mdd_pp": found.mdd_pp,
            "rate_a": asdict(found.rate_a),
            "rate_b": asdict(found.rate_b),
            "missing_a": found.missing_a,
            "missing_b": found.missing_b,
            "left_out_a": self.a.left_out,
            "left_out_b": self.b.left_out,
            "truncated_a": _count(cut.a),
            "truncated_b": _count(cut.b),
            "truncation_p": cut.p_exact,
            "truncation": {
                "rate_a": asdict(cut.a),
                "rate_b": asdict(cut.b),
                "unknown_a": cut.unknown_a,
                "unknown_b": cut.unknown_b,
                "only_a": cut.only_a,
                "only_b": cut.only_b,
                "known_by_a": self.a.cut_by,
                "known_by_b": self.b.cut_by,
                "limits_a": list(self.a.limits),
                "limits_b": list(self.b.limits),
            },
            "clean": None if found.clean is None else asdict(found.clean),
            "reread": None if found.reread is None else _reread(found),
            "missing_bound": asdict(found.missing_bound),
            "worst_case": asdict(found.worst_case),
            "extraction": {"a": _triage(self.a.triage), "b": _triage(self.b.triage)},
            "lottery": {"a": _lottery(self.a.lottery), "b": _lottery(self.b.lottery)},
            "alpha": found.alpha,
            "verdict": found.verdict,
            "reason": self.reason,
            "notes": list(self.notes),
            "sources": [
                {"path": side.path, "format": side.format, "metric": side.metric, "filter": side.filter}
                for side in (self.a, self.b)
            ],
        }


def audit_claim(
    a: Results,
    b: Results,
    *,
    common: bool = False,
    complete: Collection[str] = (),
    alpha: float = 0.05,
) -> ClaimReport:
    """Audit the difference between two files of results, paired by id.

    `common`: items that only one file has are left out, which is told; otherwise they are an error. `complete`:
    the sides ("A", "B") whose outputs are declared not to have been cut off where nothing tells. Raises
    `ConfigError` for ids that do not pair, for items that are not the same on both sides, and when no item has
    an outcome on both, and for metrics or filters that differ though one could be chosen for both.
    """
    if not 0.0 < alpha < 1.0:  # also refuses NaN
        raise ConfigError(f"--alpha {alpha}: between 0 and 1")
    differs = scoring_differs(a, b)
    shared, only_a, only_b = _paired(a, b, common)
    first, second = (
        [_declared(side.items[name], name_of in complete) for name in shared]
        for side, name_of in ((a, "A"), (b, "B"))
    )
    for x, y in zip(first, second, strict=True):
        _same_item(x, y)
    again_a, again_b = [_again(item) for item in first], [_again(item) for item in second]
    texts = any(each is not None for each in (*again_a, *again_b))
    try:
        found = audit(
            [item.correct for item in first],
            [item.correct for item in second],
            [item.truncated for item in first],
            [item.truncated for item in second],
            reread_a=again_a if texts else None,
            reread_b=again_b if texts else None,
            alpha=alpha,
        )
    except EmptyGroup as error:
        raise ConfigError(f"{a.path} and {b.path}: {error}") from None
    found = heeded(found, first, second, differs)
    sides = _side(a, first, len(only_a)), _side(b, second, len(only_b))
    reason = found.reason
    if only_a or only_b:
        reason += f"; {len(only_a)} items only A has and {len(only_b)} only B has were left out"
    return ClaimReport(found, *sides, reason, tuple(_notes(sides)))


def print_claim(report: ClaimReport, console: Console) -> None:
    """The tables, what is to be known about them, and the verdict in one sentence."""
    found = report.audit
    for name, side in zip(SIDES, (report.a, report.b), strict=True):
        metric = f", metric {side.metric}" if side.metric else ""
        metric += f", filter {side.filter}" if side.filter else ""
        console.print(
            f"{name}: {escape(side.path)} ({side.format}{escape(metric)})", highlight=False, soft_wrap=True
        )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in (
        "items",
        "n",
        "only A",
        "only B",
        "B - A",
        "95 % interval" if found.alpha == 0.05 else "interval",
    ):
        table.add_column(heading, justify="left" if heading == "items" else "right")
    table.add_column("p exact", justify="right")
    table.add_row("all", *_cells(found.table))
    table.add_row("cut off in neither", *(["?"] * 6 if found.clean is None else _cells(found.clean)))
    if found.reread is not None:
        table.add_row("all, answers read again", *_cells(found.reread.table))
    console.print(table)
    for line in _lines(report):
        console.print(line, highlight=False, soft_wrap=True)
    if report.a.triage.wrong or report.b.triage.wrong:
        console.print(_channels(report))
    for note in report.notes:
        console.print(f"[dim]note[/] {escape(note)}", highlight=False, soft_wrap=True)
    colour = _COLOURS[found.verdict]
    console.print(f"[{colour}]{found.verdict}[/] {escape(report.reason)}", highlight=False, soft_wrap=True)


def _paired(a: Results, b: Results, common: bool) -> tuple[list[str], list[str], list[str]]:
    only_a, only_b = sorted(a.items.keys() - b.items.keys()), sorted(b.items.keys() - a.items.keys())
    shared = sorted(a.items.keys() & b.items.keys())
    if not shared:
        raise ConfigError(
            f"{a.path} and {b.path} have no item in common: A has {_some(only_a)}, B has {_some(only_b)}"
        )
    if (only_a or only_b) and not common:
        told = [
            f"{len(ids)} of {side.path} ({_some(ids)}) are not in {other.path}"
            for ids, side, other in ((only_a, a, b), (only_b, b, a))
            if ids
        ]
        raise ConfigError(
            f"the items differ: {'; '.join(told)}; --common compares the {len(shared)} that both have"
        )
    return shared, only_a, only_b


def _same_item(x: Item, y: Item) -> None:
    """Raise when the two files mean different things by an id."""
    if x.fingerprint is not None and y.fingerprint is not None and x.fingerprint != y.fingerprint:
        raise ConfigError(
            f"{x.where} and {y.where}: item {x.id[:40]!r} is not the same document (doc_hash differs)"
        )
    if x.expected is not None and y.expected is not None and not _agree(gold(x.expected), gold(y.expected)):
        expected = f"{gold(x.expected)[:40]!r} against {gold(y.expected)[:40]!r}"
        raise ConfigError(
            f"{x.where} and {y.where}: item {x.id[:40]!r} is not the same one: it expects {expected}"
        )


def _agree(first: str, second: str) -> bool:
    return first == second or same(first, second)


def _again(item: Item) -> bool | None:
    """The outcome read again; an answer the scorer did not see is there wherever the triage finds it."""
    return True if item.correct is False and channel(item) == "A_extract" else reread(item)


def _declared(item: Item, complete: bool) -> Item:
    return replace(item, truncated=False, cut_by="declared") if complete and item.truncated is None else item


def _side(results: Results, items: Sequence[Item], left_out: int) -> Side:
    found = lottery(items)
    return Side(
        path=results.path,
        format=results.format,
        metric=results.metric,
        filter=results.filter,
        left_out=left_out,
        cut_by=dict(sorted(Counter(item.cut_by for item in items if item.truncated is not None).items())),
        limits=tuple(sorted({item.limit for item in items if item.limit is not None})),
        triage=triage(items, found),
        lottery=found,
    )


def _notes(sides: tuple[Side, Side]) -> list[str]:
    notes = []
    for name, side in zip(SIDES, sides, strict=True):
        if clipped := side.cut_by.get("clipped text", 0):
            notes.append(
                f"{clipped} outputs of {name} count as cut off because they end at one and the same length (a heuristic)"
            )
        if declared := side.cut_by.get("declared", 0):
            notes.append(f"that {declared} outputs of {name} were not cut off was declared in the call")
    if sides[0].limits and sides[1].limits and sides[0].limits != sides[1].limits:
        told = [", ".join(map(str, side.limits[:4])) for side in sides]
        notes.append(f"A was run with {told[0]} tokens, B with {told[1]}")
    return notes


def _lines(report: ClaimReport) -> list[str]:
    found, cut = report.audit, report.audit.truncation
    lines = []
    for name, rate, side, unknown, missing in (
        ("A", found.rate_a, report.a, cut.unknown_a, found.missing_a),
        ("B", found.rate_b, report.b, cut.unknown_b, found.missing_b),
    ):
        share = cut.a if name == "A" else cut.b
        parts = [f"right {_percent(rate)}", f"cut off {_percent(share)}"]
        parts += [f"{unknown} not known to be cut off or not"] if unknown else []
        parts += [f"{missing} without an outcome"] if missing else []
        tested = side.lottery.tested
        parts += (
            [f"lottery {_percent(side.lottery.rate)} of {tested} wrong items with repeats"] if tested else []
        )
        lines.append(f"{name}: {', '.join(parts)}")
    worst = found.worst_case
    bound = f"with what is missing or was cut off decided either way, B - A lies in {worst.low_pp:+.1f} to {worst.high_pp:+.1f} pp"
    found_from = "none" if found.mdd_pp is None else f"{found.mdd_pp:.1f} pp"
    return [*lines, bound, f"smallest difference found in four of five cases: {found_from}"]


def _channels(report: ClaimReport) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("wrong answers")
    table.add_column("A", justify="right")
    table.add_column("B", justify="right")
    for name in CHANNELS:
        table.add_row(name, str(report.a.triage.counts[name]), str(report.b.triage.counts[name]))
    if report.a.triage.case or report.b.triage.case:
        table.add_row("case", report.a.triage.case or "", report.b.triage.case or "")
    return table


def _cells(table: PairedTable) -> list[str]:
    if table.delta_pp is None:
        return ["0", "", "", "", "", ""]
    interval = f"{table.ci_low_pp:+.1f} to {table.ci_high_pp:+.1f}"
    return [
        str(table.n),
        str(table.b),
        str(table.c),
        f"{table.delta_pp:+.1f} pp",
        interval,
        f"{table.p_exact:.4g}",
    ]


def _percent(rate: Rate) -> str:
    if rate.value is None or rate.low is None or rate.high is None:
        return "unknown"
    return f"{100 * rate.value:.1f} % ({100 * rate.low:.1f} to {100 * rate.high:.1f})"


def _count(rate: Rate) -> int | None:
    return None if rate.value is None else round(rate.value * rate.n)


def _reread(found: ClaimAudit) -> dict[str, Any]:
    again = found.reread
    assert again is not None
    changes = {"changed_a": again.changed_a, "changed_b": again.changed_b, "changed_p": again.p_exact}
    return {**asdict(again.table), **changes}


def _triage(triage: Triage) -> dict[str, Any]:
    return {
        "wrong": triage.wrong,
        "channels": triage.counts,
        "examples": {name: list(ids) for name, ids in triage.examples.items()},
        "case": triage.case,
    }


def _lottery(lottery: Lottery) -> dict[str, Any]:
    return {"tested": lottery.tested, "won": lottery.won, **asdict(lottery.rate)}


def _some(ids: Sequence[str]) -> str:
    shown = ", ".join(repr(each if len(each) <= 40 else each[:37] + "...") for each in ids[:3])
    return shown + (", ..." if len(ids) > 3 else "")
