"""A comparison in words and tables."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ranking.compare import PairedComparison, TaskDifference

from .compare import DesignPlan, RunComparison

ALPHA = 0.05
_SHOWN_TASKS = 30

_DESIGNS = {
    "mcnemar_mid_p": "one seed a task, mid-p McNemar",
    "obuchowski": "task-clustered (Obuchowski)",
    "sign_flip": "task-clustered (sign flips)",
}


def headline(found: RunComparison) -> str:
    """The comparison in one sentence."""
    r = found.result
    verb, unit = (
        ("solves", "pp") if found.metric == "solved" else ("has a mean reward that is", "pp of the scale")
    )
    if round(r.delta_pp, 1) == 0:
        said = (
            f"{found.name_b} solves as much as {found.name_a}"
            if found.metric == "solved"
            else f"{found.name_b} and {found.name_a} have the same mean reward"
        )
    else:
        more = "more" if r.delta_pp > 0 else "less"
        direction = more if found.metric == "solved" else {"more": "higher", "less": "lower"}[more]
        than = "than" if found.metric == "solved" else "than that of"
        said = f"{found.name_b} {verb} {abs(r.delta_pp):.1f} {unit} {direction} {than} {found.name_a}"
    interval = "one task tells nothing of others"
    if r.ci_low_pp is not None and r.ci_high_pp is not None:
        interval = f"{r.confidence:.0%} interval {_pp(r.ci_low_pp)} to {_pp(r.ci_high_pp)}".replace("%", " %")
    p = f"p {_equals(r.p)}"
    if found.p_adjusted != r.p:
        p += f", corrected {_equals(found.p_adjusted)}"
    return f"{said} ({interval}; {p}, {_DESIGNS[r.test]}): {_verdict(found)}"


def print_comparisons(comparisons: Sequence[RunComparison], console: Console) -> None:
    """A sentence and the figures of each comparison, then its tasks."""
    for found in comparisons:
        console.print(escape(headline(found)), highlight=False, style="bold")
    console.print(_figures(comparisons))
    for line in _notes(comparisons):
        console.print(escape(line), highlight=False, style="dim")
    for found in comparisons:
        _print_tasks(found, console)


def print_plan(plan: DesignPlan, console: Console) -> None:
    """How many tasks each number of seeds needs."""
    spread = plan.spread
    discordant = "" if spread.discordance is None else f"{spread.discordance:.0%} of pairs discordant, "
    console.print(
        f"To find {plan.delta_pp:g} pp in 80 % of cases at p < {ALPHA:g} ({discordant}"
        f"{spread.icc:.0%} of the variance between tasks; {escape(plan.basis)}):",
        highlight=False,
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("seeds a task", "tasks", "branches of each run"):
        table.add_column(name, justify="right")
    for row in plan.rows:
        tasks = "not by any number" if row.tasks is None else f"{row.tasks:,}"
        table.add_row(str(row.seeds), tasks, "–" if row.branches is None else f"{row.branches:,}")
    console.print(table)
    if spread.discordance is not None and plan.delta_pp > 100.0 * spread.discordance:
        console.print(
            "[dim]impossible: the difference is larger than the share of pairs that differ at all[/]",
            highlight=False,
        )


def _verdict(found: RunComparison) -> str:
    r = found.result
    could = (
        "with this design and spread no difference would have been found in 80 % of cases"
        if r.mdd_pp is None
        else f"with this design {r.mdd_pp:.1f} pp would have been found in 80 % of cases"
    )
    if not r.attainable:
        return f"inconclusive: with {r.n_tasks} tasks no p below {ALPHA:g} is possible"
    if found.p_adjusted >= ALPHA:
        return f"inconclusive; {could}"
    missing = r.n_missing_a + r.n_missing_b
    if missing and not r.sign_survives:
        return f"a difference, but the {missing} missing outcomes could undo it"
    return "a difference"


def _figures(comparisons: Sequence[RunComparison]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for found in comparisons:
        table.add_column(escape(f"{found.name_b} - {found.name_a}"), justify="right", overflow="fold")
    for name, cells in _rows(comparisons):
        table.add_row(name, *cells)
    return table


def _rows(comparisons: Sequence[RunComparison]) -> list[tuple[str, list[str]]]:
    results = [found.result for found in comparisons]
    several = len(comparisons) > 1
    rows = [
        ("mean of each, over tasks", [f"{r.mean_b:.1%} - {r.mean_a:.1%}" for r in results]),
        ("difference", [f"{_pp(r.delta_pp)} pp" for r in results]),
        ("95 % interval", [_range(r.ci_low_pp, r.ci_high_pp) for r in results]),
    ]
    if several:
        together = [r.simultaneous_pp or (None, None) for r in results]
        rows += [("95 % interval, all together", [_range(*each) for each in together])]
    rows += [("p", [_p(r.p) for r in results])]
    if several:
        rows += [("p, corrected (Holm)", [_p(found.p_adjusted) for found in comparisons])]
    rows += [
        ("test", [_DESIGNS[r.test] for r in results]),
        ("interval by", [r.interval for r in results]),
        ("tasks, seeds, pairs", [f"{r.n_tasks}, {r.seeds}, {r.n_pairs}" for r in results]),
    ]
    if results[0].b is not None:
        rows += [("only the first, only the second (b, c)", [f"{r.b}, {r.c}" for r in results])]
    if any(r.p_exact_pooled is not None and r.test != "mcnemar_mid_p" for r in results):
        rows += [
            ("pooled exact p (not the test: seeds of a task hang together)", [_pooled(r) for r in results])
        ]
    rows += [("found in 80 % of cases", [_mdd(r) for r in results])]
    if any(r.n_missing_a or r.n_missing_b for r in results):
        rows += [
            ("missing of the first, of the second", [f"{r.n_missing_a}, {r.n_missing_b}" for r in results]),
            ("difference, whatever was missing", [_worst(r) for r in results]),
        ]
    return rows


def _notes(comparisons: Sequence[RunComparison]) -> list[str]:
    notes = []
    for run in dict.fromkeys([comparisons[0].first.path, *(found.second.path for found in comparisons)]):
        told = next(r for found in comparisons for r in (found.first, found.second) if r.path == run)
        if told.forked:
            notes.append(f"{run}: {told.forked} branches forked from others left out: no independent seeds")
        if told.truncated and comparisons[0].metric == "solved":
            notes.append(f"{run}: {told.truncated} branches cut off by their budget count as not solved")
        notes += [f"{run}: {problem}" for problem in told.problems[:5]]
    return notes


def _print_tasks(found: RunComparison, console: Console) -> None:
    """Tasks with a difference or something missing, largest first."""
    lines = [t for t in found.result.tasks if t.delta_pp or t.missing_a or t.missing_b]
    lines.sort(key=lambda t: (t.delta_pp is None, -abs(t.delta_pp or 0.0), t.task))
    equal = len(found.result.tasks) - len(lines)
    if lines:
        table = Table(box=None, pad_edge=False, header_style="bold", title_justify="left")
        table.add_column("task", no_wrap=True, ratio=1, overflow="ellipsis")
        for name in (found.name_a, found.name_b, "difference", "b, c", "missing"):
            table.add_column(escape(name), justify="right", no_wrap=True)
        for line in lines[:_SHOWN_TASKS]:
            table.add_row(*_task_row(line))
        console.print(table)
    more = f"{len(lines) - _SHOWN_TASKS} more with a difference; " if len(lines) > _SHOWN_TASKS else ""
    console.print(f"[dim]{more}{equal} of {len(found.result.tasks)} tasks are equal on both sides[/]")


def _task_row(line: TaskDifference) -> list[str]:
    delta = line.delta_pp
    colour = "dim" if not delta else "green" if delta > 0 else "red"
    return [
        escape(line.task),
        "–" if line.mean_a is None else f"{line.mean_a:.2f}",
        "–" if line.mean_b is None else f"{line.mean_b:.2f}",
        "–" if delta is None else f"[{colour}]{_pp(delta)} pp[/]",
        "–" if line.b is None else f"{line.b}, {line.c}",
        f"{line.missing_a}, {line.missing_b}" if line.missing_a or line.missing_b else "",
    ]


def _pooled(r: PairedComparison) -> str:
    return "–" if r.p_exact_pooled is None else _p(r.p_exact_pooled)


def _mdd(r: PairedComparison) -> str:
    return "none" if r.mdd_pp is None else f"{r.mdd_pp:.1f} pp"


def _worst(r: PairedComparison) -> str:
    kept = "sign kept" if r.sign_survives else "sign not kept"
    return f"{_pp(r.delta_low_worst_pp)} to {_pp(r.delta_high_worst_pp)} ({kept})"


def _range(low: float | None, high: float | None) -> str:
    return "–" if low is None or high is None else f"{_pp(low)} to {_pp(high)}"


def _pp(value: float) -> str:
    return f"{round(value, 1) + 0.0:+.1f}"  # never -0.0


def _p(value: float) -> str:
    """Two digits; three where 0.05 is near."""
    if value < 1e-4:
        return "< 0.0001"
    return f"{value:.3g}" if value < 0.1 else f"{value:.2g}"


def _equals(p: float) -> str:
    return _p(p) if p < 1e-4 else f"= {_p(p)}"
