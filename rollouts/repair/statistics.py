"""How the modes compare, with the task as the unit: records of one task are no independent samples."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

from ranking import mean_ci_by_task

from .records import MODES, ComplianceRecord, Mode


@dataclass(frozen=True)
class Rate:
    """A mean over task means; None where nothing is known."""

    mean: float | None
    low: float | None  #: 95 % interval over tasks
    high: float | None


@dataclass(frozen=True)
class ModeFigures:
    """One mode."""

    mode: Mode
    tasks: int  #: with at least one record that is not missing
    records: int
    missing: int  #: neither pass nor fail; in no rate
    passes: int
    checker_edit_passes: int  #: passes that owe something to a string edit that pleases the checker
    pass_rate: Rate
    own_pass_rate: Rate  #: the same with those passes counted as fails
    calls: float  #: replies of the policy per record, on average
    output_tokens: int | None  #: of all records; None when no back-end said


@dataclass(frozen=True)
class ModeDifference:
    """`first` minus `second`, on tasks that both have."""

    first: Mode
    second: Mode
    tasks: int
    better: int  #: tasks on which `first` passes more often
    worse: int
    equal: int
    difference: Rate  #: of pass rates, in [-1, 1]
    own_difference: Rate  #: with passes by checker edits counted as fails


@dataclass(frozen=True)
class ComplianceFigures:
    """All modes, and each pair of them."""

    modes: tuple[ModeFigures, ...]
    differences: tuple[ModeDifference, ...]


def figures(records: Iterable[ComplianceRecord]) -> ComplianceFigures:
    """Pass rates by mode and paired differences by task, each with its interval over tasks.

    Tasks are told apart by id, digest and constraints. Missing records are counted and in no rate.
    """
    by_mode: dict[Mode, list[ComplianceRecord]] = {}
    for record in records:
        by_mode.setdefault(record.mode, []).append(record)
    present = [mode for mode in MODES if mode in by_mode]
    return ComplianceFigures(
        modes=tuple(_figures(mode, by_mode[mode]) for mode in present),
        differences=tuple(
            _difference(second, first, by_mode[second], by_mode[first])
            for first, second in combinations(present, 2)
        ),
    )


def _figures(mode: Mode, records: Sequence[ComplianceRecord]) -> ModeFigures:
    passes, own = _by_task(records), _by_task(records, own=True)
    tokens = [record.output_tokens for record in records if record.output_tokens is not None]
    return ModeFigures(
        mode=mode,
        tasks=len(passes),
        records=len(records),
        missing=sum(record.final_pass is None for record in records),
        passes=sum(record.final_pass is True for record in records),
        checker_edit_passes=sum(record.final_pass is True and record.checker_edit for record in records),
        pass_rate=Rate(*mean_ci_by_task(list(passes.values()))),
        own_pass_rate=Rate(*mean_ci_by_task(list(own.values()))),
        calls=sum(a.strategy != "patch" for record in records for a in record.attempts) / len(records),
        output_tokens=sum(tokens) if tokens else None,
    )


def _difference(
    first: Mode, second: Mode, ours: Sequence[ComplianceRecord], theirs: Sequence[ComplianceRecord]
) -> ModeDifference:
    deltas = _deltas(_by_task(ours), _by_task(theirs))
    return ModeDifference(
        first=first,
        second=second,
        tasks=len(deltas),
        better=sum(delta > 0 for delta in deltas),
        worse=sum(delta < 0 for delta in deltas),
        equal=sum(delta == 0 for delta in deltas),
        difference=_over_tasks(deltas),
        own_difference=_over_tasks(_deltas(_by_task(ours, own=True), _by_task(theirs, own=True))),
    )


def _by_task(records: Sequence[ComplianceRecord], *, own: bool = False) -> dict[tuple[str, ...], list[float]]:
    """Passes as 1 and fails as 0, by task. `own`: passes by checker edits are fails."""
    found: dict[tuple[str, ...], list[float]] = {}
    for record in records:
        if record.final_pass is not None:
            key = (record.task.task_id, record.task.digest, record.constraints_digest)
            passed = record.final_pass and not (own and record.checker_edit)
            found.setdefault(key, []).append(float(passed))
    return found


def _deltas(
    ours: Mapping[tuple[str, ...], Sequence[float]], theirs: Mapping[tuple[str, ...], Sequence[float]]
) -> list[float]:
    return [
        sum(ours[key]) / len(ours[key]) - sum(theirs[key]) / len(theirs[key]) for key in ours if key in theirs
    ]


def _over_tasks(deltas: Sequence[float]) -> Rate:
    """The interval of `mean_ci_by_task`, which takes values in [0, 1], for values in [-1, 1]."""
    ends = mean_ci_by_task([[(delta + 1.0) / 2.0] for delta in deltas])
    return Rate(*(None if end is None else 2.0 * end - 1.0 for end in ends))
