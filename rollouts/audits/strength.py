"""`rollouts audit verifier`: every task against known hacks and mutants of its solution, told as counts."""

from __future__ import annotations

import asyncio
import difflib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from envs import Task
from kernel_pool import KernelError
from kernel_pool.pool import KernelPool
from ranking.cluster import mean_ci_by_task
from verifiers import Submission, Verifier
from verifiers.exploits import Exploit, load_exploits
from verifiers.strength import AuditedWork, StrengthReport, audit_verifier

from ..errors import ConfigError

#: Tasks at work at once: the end of one overlaps with the start of the next.
_AT_ONCE = 2


@dataclass(frozen=True)
class StrengthAudit:
    """What every task's audit found."""

    reports: tuple[StrengthReport, ...]

    @property
    def exploits_tried(self) -> int:
        """Hacks tried, over all tasks."""
        return sum(len(report.exploits) for report in self.reports)

    @property
    def exploits_passed(self) -> int:
        """Hacks that got through, over all tasks."""
        return sum(len(report.exploits_passed) for report in self.reports)

    @property
    def holds(self) -> bool:
        """Hacks were tried and none got through."""
        return self.exploits_tried > 0 and self.exploits_passed == 0

    def as_dict(self) -> dict[str, Any]:
        """For `--json`."""
        return {
            "exploits_tried": self.exploits_tried,
            "exploits_passed": self.exploits_passed,
            "exploits_unknown": sum(len(report.exploits_unknown) for report in self.reports),
            "mutants": sum(len(report.mutants) for report in self.reports),
            "mutants_killed": sum(report.mutants_killed for report in self.reports),
            "mutants_unknown": sum(report.mutants_unknown for report in self.reports),
            "kill_rate": self.kill_rate(),
            "passed_by_name": dict(Counter(n for report in self.reports for n in report.exploits_passed)),
            "problems": {report.name: report.problem for report in self.reports if report.problem},
            "tasks": [_task(report) for report in self.reports],
        }

    def kill_rate(self) -> dict[str, float | None]:
        """Mean over tasks of the share of mutants killed, with a 95 % interval over tasks."""
        shares = [
            [float(tried.outcome == "fail") for tried in report.mutants if tried.outcome != "unknown"]
            for report in self.reports
        ]
        found = mean_ci_by_task([share for share in shares if share])
        mean, low, high = found if found is not None else (None, None, None)
        return {"mean": mean, "low": low, "high": high}


async def audit_tasks(
    tasks: Sequence[Task],
    verifier: Verifier,
    pool: KernelPool,
    *,
    mutants: int = 10,
    seed: int = 0,
    exploits: Sequence[str] = (),
    on_task: Callable[[StrengthReport], None] = lambda report: None,
) -> StrengthAudit:
    """Audit the verifier on each task, two tasks at a time; `on_task` is called as each ends.

    `exploits` are names; none: all that are known. A task that has no tests or no solution, or whose set-up
    fails, is reported with its problem. Raises `ConfigError` for an unknown name.
    """
    hacks = _named(exploits)
    places = asyncio.Semaphore(_AT_ONCE)

    async def one(task: Task) -> StrengthReport:
        async with places:
            report = await _audit(task, verifier, pool, mutants, seed, hacks)
        on_task(report)
        return report

    return StrengthAudit(tuple(await asyncio.gather(*map(one, tasks))))


def print_strength(audit: StrengthAudit, console: Console) -> None:
    """A line per task, the hacks that got through, the mutants that survived, and the totals."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("task", no_wrap=True)
    for name in ("hacks", "passed", "unknown", "mutants", "killed"):
        table.add_column(name, justify="right")
    for report in audit.reports:
        table.add_row(*_row(report))
    console.print(table)
    for report in audit.reports:
        if report.problem:
            console.print(f"[yellow]problem[/] {escape(report.name)}: {escape(report.problem)}")
        for name in report.exploits_passed:
            console.print(f"[red]passed[/] {escape(report.name)}: {escape(name)}")
        for tried in report.survivors:
            place = escape(f"{report.name}: {tried.path}:{tried.line}: {tried.what}")
            console.print(f"[dim]survived[/] {place}", highlight=False)
    console.print(_totals(audit), highlight=False)


def _named(names: Sequence[str]) -> Sequence[Exploit]:
    known = {exploit.name: exploit for exploit in load_exploits()}
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
            raise ConfigError(f"--exploit {name}: no such exploit; {hint}")
    return [known[name] for name in names] or list(known.values())


async def _audit(
    task: Task, verifier: Verifier, pool: KernelPool, mutants: int, seed: int, hacks: Sequence[Exploit]
) -> StrengthReport:
    if task.tests is None or not task.tests.command or task.solution is None:
        lacks = "solution" if task.tests is not None and task.tests.command else "tests"
        return StrengthReport(name=task.id, problem=f"the task has no {lacks}: nothing to audit with")
    try:
        base = await pool.prepare(task.base)
        template = Submission(task.instruction, base, task.tests, base=base)
        work = AuditedWork(task.id, base, template, task.solution)
        return await audit_verifier(work, verifier, pool, mutants=mutants, seed=seed, exploits=hacks)
    except KernelError as error:
        return StrengthReport(name=task.id, problem=str(error))


def _task(report: StrengthReport) -> dict[str, Any]:
    return {
        "task_id": report.name,
        "problem": report.problem,
        "exploits_tried": len(report.exploits),
        "exploits_passed": report.exploits_passed,
        "exploits_unknown": report.exploits_unknown,
        "reasons": {tried.name: tried.reason for tried in report.exploits if tried.outcome != "fail"},
        "mutants": len(report.mutants),
        "mutants_killed": report.mutants_killed,
        "mutants_unknown": report.mutants_unknown,
        "survivors": [tried.model_dump(exclude={"outcome"}) for tried in report.survivors],
    }


def _row(report: StrengthReport) -> list[str]:
    passed = len(report.exploits_passed)
    shown = f"[red]{passed}[/]" if passed else "0"
    counts = [str(len(report.exploits)), shown, str(len(report.exploits_unknown))]
    return [escape(report.name), *counts, str(len(report.mutants)), str(report.mutants_killed)]


def _totals(audit: StrengthAudit) -> str:
    figures = audit.as_dict()
    rate = figures["kill_rate"]
    killed = f"{figures['mutants_killed']} of {figures['mutants']} mutants killed"
    if rate["mean"] is not None:
        killed += f", {rate['mean']:.0%} per task"
    if rate["low"] is not None:
        killed += f" (95 % interval over tasks {rate['low']:.0%} to {rate['high']:.0%})"
    return f"{len(audit.reports)} tasks, {audit.exploits_tried} hacks tried, {audit.exploits_passed} passed; {killed}"
