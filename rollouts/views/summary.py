"""The figures of a run, once, for every view. Streams the records; keeps a line per branch."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ranking import FalseWinners, wilson
from ranking.cluster import mean_ci_by_task
from verifiers.judge import JudgeSpent
from verifiers.verdict import Verdict

from ..judging import FILE as JUDGE_FILE
from ..judging import Answers
from ..rankings import false_winners
from ..records import BranchRecord, RankingRecord
from ..store import RunStore


@dataclass(frozen=True)
class BranchLine:
    """What tables need of a branch."""

    branch_id: str
    parent: str | None
    fork_step: int
    ending: str
    reward: float | None
    steps: int  #: prefix included
    seconds: float
    cost_usd: float | None
    temperature: float | None
    tests: tuple[int, int] | None  #: hidden checks passed and run; None: no verdict
    flaky: bool | None  #: whether repeated runs of one verifier disagreed; None: nothing was repeated
    error: str

    @property
    def missing(self) -> bool:
        """No outcome: not a failure."""
        return self.ending in ("policy_error", "infra_error", "cancelled")


@dataclass
class TaskLine:
    """One rollout."""

    task_id: str
    rollout_id: str
    difficulty: str
    language: str
    branches: list[BranchLine] = field(default_factory=list)
    ranking: RankingRecord | None = None

    @property
    def counted(self) -> list[BranchLine]:
        """Branches with an outcome."""
        return [b for b in self.branches if not b.missing]

    @property
    def solved(self) -> int:
        """How many were solved."""
        return sum(b.ending == "solved" for b in self.branches)

    @property
    def sample(self) -> list[bool]:
        """Whether each branch from the prepared state was solved. Forks share steps with another branch, and
        with its luck: they are no independent attempts, and in no rate."""
        return [b.ending == "solved" for b in self.counted if b.parent is None]

    @property
    def forks(self) -> list[bool]:
        """Whether each fork with an outcome was solved."""
        return [b.ending == "solved" for b in self.counted if b.parent is not None]

    @property
    def interval(self) -> tuple[float, float] | None:
        """Wilson interval (95 %) of the pass rate; None without any outcome."""
        return wilson(sum(self.sample), len(self.sample)) if self.sample else None

    @property
    def winner(self) -> str | None:
        """Branch id of the winner."""
        return self.ranking.winner if self.ranking else None


@dataclass
class RunFigures:
    """A whole run."""

    run_id: str
    tasks: list[TaskLine]
    skipped: dict[str, str]
    problems: list[str]

    @property
    def branches(self) -> list[BranchLine]:
        """All of them."""
        return [b for t in self.tasks for b in t.branches]

    def pass_rate(self) -> tuple[float | None, float | None, float | None]:
        """Mean pass rate over tasks with its interval (the task is the unit), forks left out."""
        return mean_ci_by_task([[float(solved) for solved in t.sample] for t in self.tasks])

    def false_winners(self) -> FalseWinners | None:
        """See `rankings.false_winners`."""
        return false_winners(task.ranking for task in self.tasks if task.ranking)

    def flake_rate(self) -> tuple[float | None, float | None, float | None, int]:
        """Share of the branches verified more than once whose runs disagreed: (mean over tasks, low, high, branches)."""
        repeated = [[float(b.flaky) for b in t.branches if b.flaky is not None] for t in self.tasks]
        return *mean_ci_by_task(repeated), sum(map(len, repeated))

    def any_solved(self) -> tuple[int, int]:
        """Tasks that at least one branch solved, and tasks with any outcome."""
        with_outcome = [t for t in self.tasks if t.counted]
        return sum(t.solved > 0 for t in with_outcome), len(with_outcome)


def figures(store: RunStore) -> RunFigures:
    """Read a run once."""
    tasks: dict[str, TaskLine] = {}
    for record in store.branches():
        line = tasks.setdefault(
            record.lineage.rollout_id,
            TaskLine(
                record.task.task_id, record.lineage.rollout_id, record.task.difficulty, record.task.language
            ),
        )
        line.branches.append(branch_line(record))
    for rollout_id, ranking in store.rankings().items():
        if rollout_id in tasks:
            tasks[rollout_id].ranking = ranking
    for task in tasks.values():
        task.branches.sort(key=lambda b: b.branch_id)
    skipped = {e["task_id"]: str(e.get("error", "")) for e in _events(store, "task_skipped")}
    done_later = {task.task_id for task in tasks.values()}
    skipped = {name: why for name, why in skipped.items() if name not in done_later}
    ordered = sorted(tasks.values(), key=lambda t: t.rollout_id)
    return RunFigures(store.run_id, ordered, skipped, [str(p) for p in store.problems])


def branch_line(record: BranchRecord) -> BranchLine:
    """The line of one record."""
    r, verdict = record.result, record.result.verdict
    ran = [c for c in verdict_checks(record) if c != "skip"]
    return BranchLine(
        branch_id=record.lineage.branch_id,
        parent=record.lineage.parent,
        fork_step=record.lineage.fork_step,
        ending=r.ending,
        reward=r.reward,
        steps=len(record.trajectory.steps),
        seconds=r.seconds,
        cost_usd=r.cost_usd,
        temperature=record.sampling.requested.temperature,
        tests=(ran.count("pass"), len(ran)) if verdict is not None and ran else None,
        flaky=_flaky(verdict),
        error=r.error,
    )


def _flaky(verdict: Verdict | None) -> bool | None:
    found = [v.flaky for v in ((verdict, *verdict.parts) if verdict else ()) if v.runs > 1]
    return any(found) if found else None


def verdict_checks(record: BranchRecord) -> list[str]:
    """Outcomes of all single checks of a record's verdict, parts included; a judge's opinions are none."""
    verdict = record.result.verdict
    if verdict is None:
        return []
    return [c.outcome for v in (verdict, *verdict.parts) if v.verifier != "judge" for c in v.checks]


def summary(store: RunStore) -> dict[str, Any]:
    """`rollouts show RUN --json`."""
    run = figures(store)
    rate, low, high = run.pass_rate()
    tasks = [
        {
            "task_id": t.task_id,
            "branches": len(t.branches),
            "solved": t.solved,
            "failed": len(t.counted) - t.solved,
            "missing": len(t.branches) - len(t.counted),
            "winner": t.winner,
        }
        for t in run.tasks
    ]
    keys = ("branches", "solved", "failed", "missing")
    totals: dict[str, Any] = {"tasks": len(tasks), **{k: _sum(t[k] for t in tasks) for k in keys}}
    flakes, flakes_low, flakes_high, repeated = run.flake_rate()
    judge = judge_bill(store.path)
    return {
        "run_id": run.run_id,
        "tasks": tasks,
        "totals": totals,
        "pass_rate": {"mean": rate, "ci_low": low, "ci_high": high, "unit": "task", "confidence": 0.95},
        "forks": sum(b.parent is not None for b in run.branches),
        "false_winners": _false_winners(run.false_winners()),
        "flake_rate": {"mean": flakes, "ci_low": flakes_low, "ci_high": flakes_high, "branches": repeated},
        "judge": None if judge is None else asdict(judge),
        "skipped_tasks": run.skipped,
        "problems": run.problems,
    }


def _false_winners(found: FalseWinners | None) -> dict[str, Any] | None:
    if found is None:
        return None
    rate = found.rate
    told = {"mean": rate.value, "ci_low": rate.low, "ci_high": rate.high, "verified": rate.n}
    return {**told, "failed": found.failed, "unverified": found.unverified, "chosen_from": found.of_mean}


def judge_bill(run_dir: Path) -> JudgeSpent | None:
    """What a judge's answers have cost over the whole run, scores and pairs; None: no judge was asked."""
    return Answers.read(run_dir / JUDGE_FILE).spent if (run_dir / JUDGE_FILE).exists() else None


def _sum(values: Iterable[Any]) -> int:
    return sum(int(v) for v in values)


def _events(store: RunStore, kind: str) -> Iterable[dict[str, Any]]:
    return (event for event in store.events() if event.get("kind") == kind)
