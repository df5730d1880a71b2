"""Tables for a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from ..errors import ConfigError
from ..rankings import EQUAL
from ..records import Confirmation, JudgeSaid, RankingRecord
from ..store import RunStore
from .summary import BranchLine, RunFigures, TaskLine, figures

MARKS = {
    "solved": "[green]●[/]",
    "failed": "[red]○[/]",
    "truncated": "[yellow]◐[/]",
    "policy_error": "[magenta]×[/]",
    "infra_error": "[magenta]×[/]",
    "cancelled": "[dim]–[/]",
}
LEGEND = "● solved  ○ failed  ◐ truncated  × missing (machinery, not counted)"


def print_run(store: RunStore, console: Console, *, brief: bool = False) -> RunFigures:
    """A line per task, then the totals; returns the figures. Brief: the totals only."""
    run = figures(store)
    if not brief:
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("task", no_wrap=True, ratio=1, overflow="ellipsis")
        for name, least in (("level", 6), ("branches", 8), ("solved", 6), ("95 % int.", 9), ("winner", 6)):
            table.add_column(name, no_wrap=True, min_width=least)
        for name in ("steps", "seconds"):
            table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
        for task in run.tasks:
            table.add_row(*_task_row(task))
        console.print(table)
        forked = "  +n/m: of its forks, which are in no rate" if any(task.forks for task in run.tasks) else ""
        console.print(f"[dim]{LEGEND}{forked}[/]")
    console.print(totals(run), highlight=False)
    for task_id, why in run.skipped.items():
        console.print(f"[yellow]skipped[/] {escape(task_id)}: {escape(why[:200])}", highlight=False)
    for problem in run.problems:
        console.print(f"[yellow]problem[/] {escape(problem)}", highlight=False)
    return run


def totals(run: RunFigures) -> str:
    """The run in one line."""
    rate, low, high = run.pass_rate()
    counted = [b for b in run.branches if not b.missing]
    missing = len(run.branches) - len(counted)
    solved = sum(b.ending == "solved" for b in counted)
    some, tasks = run.any_solved()
    interval = f" (95 % interval over tasks {low:.0%} to {high:.0%})" if low is not None else ""
    mean = "no outcome" if rate is None else f"{rate:.0%} of branches per task solved{interval}"
    forks = sum(len(task.forks) for task in run.tasks)
    mean += f", its {forks} forks left out" if forks else ""
    missed = f"; {missing} missing" if missing else ""
    best = f"; {some} of {tasks} tasks solved by at least one branch" if tasks else ""
    told = (early_words(run), winner_words(run), flake_words(run))
    more = "".join(f"; {words}" for words in told if words)
    return f"{len(run.tasks)} tasks, {len(counted)} branches, {solved} solved: {mean}{best}{missed}{more}"


def early_words(run: RunFigures) -> str:
    """A warning about rates of rollouts that a rule ended early; "" when none was."""
    rules = [task.ranking.stopping for task in run.tasks if task.ranking and task.ranking.stopping]
    early = sum(rule["stop"] and not rule["reason"].startswith("cap") for rule in rules)
    if not early:
        return ""
    return f"{early} rollouts were ended early by a rule that looks at outcomes, which biases these rates"


def winner_words(run: RunFigures) -> str:
    """How many of the chosen branches held when they were verified again; "" when none was."""
    found = run.false_winners()
    if found is None or found.rate.value is None or found.rate.low is None or found.rate.high is None:
        return "" if found is None else f"none of {found.unverified} winners could be verified again"
    held = found.rate.n - found.failed
    untold = f", {found.unverified} could not be told" if found.unverified else ""
    return (
        f"{held} of {found.rate.n} winners held when verified again{untold} (false winners: "
        f"95 % interval {found.rate.low:.0%} to {found.rate.high:.0%})"
    )


def confirmation_words(found: Confirmation) -> str:
    """What became of the chosen branch when it was verified again."""
    if not found.runs:
        return f"{found.branch_id} was not verified again: {found.reason}"
    how = "held-out checks" if found.heldout else "the same checks"
    told = f"{found.branch_id} verified again by {how}: {found.passes} of {found.runs} passed"
    if found.raw is not None and found.corrected is not None and found.basis == "heldout":
        told += (
            f"; pass rate {found.raw:.0%} when chosen from {found.chosen_from}, {found.corrected:.0%} since "
            f"(95 % interval {found.low:.0%} to {found.high:.0%})"
        )
    return told + (f"; {found.reason}" if found.reason else "")


def stopping_words(decision: Mapping[str, Any]) -> str:
    """Why a rollout ended, and what its pass rate is after such an end."""
    rule = decision["rule"]
    if not decision["stop"]:
        return f"stopping rule: at most {rule['cap']} branches, not reached"
    unbiased = decision["rate_unbiased"]
    rate = "" if unbiased is None else f"; pass rate {unbiased:.0%} without the bias of stopping, "
    rate += "" if unbiased is None else f"between {decision['rate_low']:.0%} and {decision['rate_high']:.0%}"
    return f"stopped after {decision['used']} outcomes: {decision['reason']}{rate}"


def flake_words(run: RunFigures) -> str:
    """How often repeated verification disagreed with itself; "" when nothing was repeated."""
    rate, low, high, branches = run.flake_rate()
    if rate is None:
        return ""
    interval = f" (95 % interval over tasks {low:.0%} to {high:.0%})" if low is not None else ""
    return f"repeated verification disagreed in {rate:.0%} of {branches} branches{interval}"


def judge_words(said: JudgeSaid) -> str:
    """What a judge had to say in a ranking, at what price."""
    votes = [line for tier in said.tiers for line in tier.comparisons if line[3] != EQUAL]
    ties = sum(outcome == "tie" for *_, outcome, _cause in votes)
    swayed = sum(cause == "swayed" for *_, cause in votes)
    invalid = sum(outcome == "invalid" for *_, outcome, _cause in votes)
    stops = "; ".join(dict.fromkeys(tier.stop for tier in said.tiers if tier.stop)) or "nothing to ask"
    cost = f", ${said.cost_usd:.4f}" if said.cost_usd else ""
    return (
        f"judge {said.judge} {'decides' if said.may_decide else 'decides nothing'} ({said.why}); "
        f"{'blind' if said.blind else 'NOT blind: it was shown what a verifier said'}; {said.schedule}: "
        f"{said.calls} calls and {said.cached} known answers, a full round robin takes {said.calls_round_robin}{cost}; "
        f"{len(votes)} pairs, {ties} ties ({swayed} only by the order), {invalid} invalid; ended: {stops}"
    )


def print_task(store: RunStore, task: str, console: Console) -> None:
    """The fork tree of one rollout and its ranking. Raises `ConfigError` for an unknown task."""
    run = figures(store)
    line = next((t for t in run.tasks if task in (t.task_id, t.rollout_id)), None)
    if line is None:
        raise ConfigError(
            f"--task {task}: not in this run; it has {', '.join(t.task_id for t in run.tasks[:5])} …"
        )
    console.print(_tree(line))
    if line.ranking:
        ranking_tables([line.ranking], console)


def ranking_tables(rankings: Sequence[RankingRecord], console: Console) -> None:
    """Each ranking as a table, with what its numbers can show."""
    for ranking in rankings:
        table = Table(box=None, pad_edge=False, title=escape(ranking.task_id), title_justify="left")
        for name in ("rank", "branch", "tier", "strength", "±"):
            table.add_column(name)
        for entry in ranking.order:
            table.add_row(
                str(entry["rank"]),
                entry["branch_id"],
                "passing" if entry["tier"] == 0 else "failing",
                _number(entry["theta"]),
                _number(entry["se"]),
            )
        console.print(table)
        console.print(
            f"winner: {ranking.winner or 'none'} ({escape(ranking.winner_reason)})", highlight=False
        )
        console.print(f"[dim]{escape(power_words(ranking.power))}[/]", highlight=False)
        if ranking.confirmation is not None:
            console.print(f"[dim]{escape(confirmation_words(ranking.confirmation))}[/]", highlight=False)
        if ranking.stopping is not None:
            console.print(f"[dim]{escape(stopping_words(ranking.stopping))}[/]", highlight=False)
        if ranking.judge is not None:
            console.print(f"[dim]{escape(judge_words(ranking.judge))}[/]", highlight=False)


def power_words(power: dict[str, Any]) -> str:
    """What a group of this size can show, in a sentence."""
    if not power.get("n"):
        return "no outcomes"
    low, high = power["ci_low"], power["ci_high"]
    mdd = power["min_detectable_delta_pp"]
    smallest = f"{mdd:.0f} pp" if mdd is not None else "none at this size"
    p = power["mcnemar_p"]
    basis = power["mcnemar_basis"]
    shown = (
        "no p-value"
        if p is None
        else f"p = {p:.3g} ({basis}: no evidence)"
        if basis != "heldout"
        else f"p = {p:.3g}"
    )
    return (
        f"{power['passes']}/{power['n']} solved, 95 % interval {low:.0%} to {high:.0%}; "
        f"{'powered' if power['powered'] else 'not powered'}; smallest difference two halves could show: "
        f"{smallest}; {shown}"
    )


def print_memories(memories: Sequence[Any], total: int, console: Console) -> None:
    """Memory entries, best first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name, least in (("match", 5), ("task", 20), ("branch", 6), ("steps", 5), ("change", 20)):
        table.add_column(name, no_wrap=True, overflow="ellipsis", min_width=least)
    for memory in memories:
        relevance = "" if memory.relevance is None else f"{memory.relevance:.2f}"
        cells = memory.task_id, memory.branch_id, str(memory.steps), _added(memory.diff)
        table.add_row(relevance, *map(escape, cells))
    console.print(table)
    console.print(f"{total} entries in this namespace")


def _added(diff: str) -> str:
    """The first line that a diff adds."""
    lines = (line[1:].strip() for line in diff.splitlines() if line[:1] == "+" and line[:3] != "+++")
    return next(filter(None, lines), "")[:100]


def _task_row(task: TaskLine) -> list[str]:
    interval = task.interval
    cells = "".join(MARKS.get(b.ending, "?") for b in task.branches[:32])
    more = f" +{len(task.branches) - 32}" if len(task.branches) > 32 else ""
    counted = task.counted
    return [
        escape(task.task_id),
        escape(task.difficulty),
        cells + more,
        _solved(task.sample) + (f" +{_solved(task.forks)}" if task.forks else ""),
        f"{100 * interval[0]:.0f}–{100 * interval[1]:.0f} %" if interval else "–",
        task.winner or "–",
        f"{sum(b.steps for b in counted) / len(counted):.0f}" if counted else "–",
        f"{sum(b.seconds for b in task.branches):.1f}",
    ]


def _solved(outcomes: Sequence[bool]) -> str:
    return f"{sum(outcomes)}/{len(outcomes)}"


def _tree(task: TaskLine) -> Tree:
    root = Tree(f"[bold]{escape(task.task_id)}[/]")
    nodes: dict[str | None, Tree] = {None: root}
    # A child always comes after its parent: branches are numbered as they are planned.
    for branch in task.branches:
        at = nodes.get(branch.parent, root)
        nodes[branch.branch_id] = at.add(_branch_words(branch))
    return root


def _branch_words(b: BranchLine) -> str:
    parts = [f"{MARKS.get(b.ending, '?')} {b.branch_id}"]
    parts += [f"from step {b.fork_step}"] if b.parent else []
    parts += [f"{b.ending}, {b.steps} steps, {b.seconds:.1f} s"]
    parts += [f"hidden tests {b.tests[0]}/{b.tests[1]}"] if b.tests else []
    parts += [f"temperature {b.temperature:g}"] if b.temperature is not None else []
    parts += [f"${b.cost_usd:.4f}"] if b.cost_usd is not None else []
    parts += [f"[magenta]{escape(b.error[:120])}[/]"] if b.error else []
    return "  ".join(parts)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{round(value, 2) + 0.0:+.2f}"  # never -0.00
