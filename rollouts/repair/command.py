"""What the command `rollouts comply` does: tasks and a policy by name, into a directory, and the figures."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from envs import load_tasks

from ..errors import ConfigError
from ..policies import COMMAND, check_converses, make_policy
from ..store import Problems
from .batch import ComplyResult, comply, read_records
from .records import MODES, ComplianceRecord, Mode
from .statistics import ComplianceFigures, Rate, figures
from .training import write_run
from .workshop import RepairSettings

_HEADER = (
    "mode",
    "tasks",
    "pass rate (95 %)",
    "without checker edits",
    "missing",
    "replies",
    "output tokens",
)


@dataclass(frozen=True)
class ComplyReport:
    """The figures of everything in the directory, after this call."""

    result: ComplyResult
    figures: ComplianceFigures
    unreadable: tuple[str, ...]  #: lines of compliance.jsonl that are no records
    branches: int  #: written to DIR/run by this call, for `rollouts export`
    #: why records are missing, each reason with its number of records, the most frequent first; untrusted
    reasons: tuple[tuple[str, int], ...]

    @property
    def counted(self) -> bool:
        """Whether any record has an outcome."""
        return any(mode.tasks for mode in self.figures.modes)

    def as_dict(self) -> dict[str, Any]:
        """Plain data for --json."""
        return {
            "path": str(self.result.path),
            "written": self.result.written,
            "resumed": self.result.resumed,
            "missing": self.result.missing,
            "missing_reasons": dict(self.reasons),
            "unreadable": list(self.unreadable),
            "branches": self.branches,
            **asdict(self.figures),
        }

    def lines(self) -> list[str]:
        """The same for a reader: a row for each mode, a sentence for each pair of modes."""
        rows = [_HEADER]
        rows += [
            (
                mode.mode,
                str(mode.tasks),
                _told(mode.pass_rate),
                _told(mode.own_pass_rate),
                str(mode.missing),
                f"{mode.calls:.1f}",
                "-" if mode.output_tokens is None else str(mode.output_tokens),
            )
            for mode in self.figures.modes
        ]
        widths = [max(len(row[i]) for row in rows) for i in range(len(_HEADER))]
        lines = [
            "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows
        ]
        for d in self.figures.differences:
            lines.append(
                f"{d.first} against {d.second} on {d.tasks} tasks: {d.better} better, {d.worse} worse, "
                f"{d.equal} equal; difference {_told(d.difference)}, without checker edits "
                f"{_told(d.own_difference)}"
            )
        if self.reasons:
            reason, count = self.reasons[0]
            others = sum(more for _, more in self.reasons[1:])
            lines.append(
                f"missing: {count} x {reason}" + (f" (and {others} for other reasons)" if others else "")
            )
        return lines


async def run_comply(
    tasks: str,
    out: Path,
    *,
    modes: Sequence[str] = ("full_pcl",),
    policy: str = "openai",
    options: Mapping[str, Any] | None = None,
    ids: Sequence[str] | None = None,
    seeds: Sequence[int] = (0,),
    settings: RepairSettings | None = None,
    concurrency: int = 4,
    on_record: Callable[[ComplianceRecord], None] | None = None,
) -> ComplyReport:
    """Run every task of a path; the same call again finishes it. The passing and failing texts, without those
    of checker edits, also become a run in `out`/run.

    Raises `ConfigError` for an unknown mode or policy, `TaskError` for tasks that cannot be read, and what
    `comply` raises.
    """
    wanted = [known_mode(mode) for mode in modes]
    found = load_tasks(tasks, ids)
    if found.problems:
        raise ConfigError("\n".join(map(str, found.problems)))
    made = make_policy(policy, options, COMMAND)
    check_converses(made, COMMAND)
    try:
        result = await comply(
            found.tasks,
            made,
            out,
            modes=wanted,
            seeds=seeds,
            settings=settings,
            concurrency=concurrency,
            on_record=on_record,
        )
    finally:
        await made.close()
    problems = Problems()
    records = list(read_records(result.path, problems))
    return ComplyReport(
        result,
        figures(records),
        tuple(map(str, problems)),
        write_run(records, out / "run"),
        _reasons(records),
    )


def known_mode(name: str) -> Mode:
    """A mode by name. Raises `ConfigError`."""
    for mode in MODES:
        if mode == name:
            return mode
    raise ConfigError(f"mode {name!r}: unknown; known: {', '.join(MODES)}")


def settings_of(**given: Any) -> RepairSettings:
    """`RepairSettings` from the options of the command with the same names. Raises `ConfigError`."""
    try:
        return RepairSettings(**given)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise ConfigError(f"--{first['loc'][0]} {first['input']}: {first['msg']}") from None


def _reasons(records: Iterable[ComplianceRecord]) -> tuple[tuple[str, int], ...]:
    """What missing records say of themselves: part of it comes from an endpoint, so it may be anything."""
    told = (record.error or record.ending for record in records if record.missing)
    shown = ("".join(c if c.isprintable() else " " for c in text[:300]) for text in told)
    return tuple(Counter(shown).most_common())


def _told(rate: Rate) -> str:
    if rate.mean is None:
        return "-"
    if rate.low is None or rate.high is None:
        return f"{rate.mean:.2f} (one task, no interval)"
    return f"{rate.mean:.2f} [{rate.low:.2f}, {rate.high:.2f}]"
