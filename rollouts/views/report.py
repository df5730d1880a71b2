"""`report.html`: a run as one self-contained page. No script or style is loaded from anywhere.

The page holds a line per task; what a task opens to is drawn from a JSON block by the page's own script,
which only ever sets text, never markup: everything an agent wrote stays text.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from envs.trajectory import Trajectory
from verifiers import Verdict

from ..records import BranchRecord, RankingRecord
from ..store import RunStore
from .pictures import Pictures
from .summary import TaskLine, figures, judge_bill
from .tables import (
    confirmation_words,
    early_words,
    flake_words,
    judge_words,
    power_words,
    stopping_words,
    winner_words,
)

#: Characters of one observation, argument list or log that the page shows; the record has the whole.
SHOWN = 1500
SHOWN_DIFF = 12_000
#: Characters that turn a line round or hide in it; they are written out.
_UNSEEN = re.compile(r"[\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]")


def write_report(store: RunStore, target: Path | None = None) -> Path:
    """Write the page (by default into the run directory) and return its path."""
    target = target or store.path / "report.html"
    run = figures(store)
    rate, low, high = run.pass_rate()
    some, tasks = run.any_solved()
    counted = [b for b in run.branches if not b.missing]
    costs = [b.cost_usd for b in run.branches if b.cost_usd is not None]
    environment = Environment(
        loader=PackageLoader("rollouts", "views"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["embed"] = embed
    template = environment.get_template("report.html.j2")
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    with part.open("w", encoding="utf-8", errors="replace") as out:
        stream = template.stream(
            run=run,
            written=time.strftime("%Y-%m-%d %H:%M", time.localtime()),
            rate=rate,
            low=low,
            high=high,
            some=some,
            tasks_counted=tasks,
            counted=len(counted),
            solved=sum(b.ending == "solved" for b in counted),
            missing=len(run.branches) - len(counted),
            agent_seconds=sum(b.seconds for b in run.branches),
            cost=sum(costs) if costs else None,
            judged=judge_bill(store.path),
            notes=[words for words in (early_words(run), winner_words(run), flake_words(run)) if words],
            rows=[_row(task) for task in run.tasks],
            details=_details(store, {t.rollout_id: t for t in run.tasks}),
        )
        stream.enable_buffering(50)
        out.writelines(stream)
    part.replace(target)
    return target


def embed(value: Any) -> str:
    """JSON that may stand inside a script element: no character of it can end the element."""
    from markupsafe import Markup

    text = json.dumps(value, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))


def _row(task: TaskLine) -> dict[str, Any]:
    counted = task.counted
    order = {line["branch_id"]: line["rank"] for line in task.ranking.order} if task.ranking else {}
    return {
        "id": task.rollout_id,
        "task_id": task.task_id,
        "difficulty": task.difficulty,
        "language": task.language,
        "solved": sum(task.sample),
        "counted": len(task.sample),
        "forks": len(task.forks),
        "forks_solved": sum(task.forks),
        "missing": len(task.branches) - len(counted),
        "rate": sum(task.sample) / len(task.sample) if task.sample else None,
        "interval": task.interval,
        "winner": task.winner,
        "steps": sum(b.steps for b in counted) / len(counted) if counted else None,
        "seconds": sum(b.seconds for b in task.branches),
        "cells": sorted(
            ({"id": b.branch_id, "ending": b.ending, "tests": b.tests} for b in task.branches),
            key=lambda c: (order.get(str(c["id"]), 10**6), str(c["id"])),
        ),
    }


def _details(store: RunStore, tasks: dict[str, TaskLine]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Per rollout: ranking, what it can show, and every branch. One rollout is in memory at a time."""
    pictures = Pictures(store.path)
    for records in store.rollouts():
        task = tasks[records[0].lineage.rollout_id]
        ranking = task.ranking
        yield (
            task.rollout_id,
            {
                "instruction": _shown(records[0].task.instruction),
                "notes": records[0].environment.notes,
                "backend": records[0].environment.backend,
                "winner": task.winner,
                "winner_reason": ranking.winner_reason if ranking else "not ranked",
                "order": ranking.order if ranking else [],
                "power": power_words(ranking.power) if ranking else "",
                "notes_on_ranking": list(_notes(ranking)) if ranking else [],
                "branches": [_branch(record, pictures) for record in records],
            },
        )


def _notes(ranking: RankingRecord) -> Iterator[str]:
    if ranking.confirmation is not None:
        yield _shown(confirmation_words(ranking.confirmation))
    if ranking.stopping is not None:
        yield stopping_words(ranking.stopping)
    if ranking.judge is not None:
        yield judge_words(ranking.judge)


def _branch(record: BranchRecord, pictures: Pictures) -> dict[str, Any]:
    r, verdict = record.result, record.result.verdict
    checks = [c for v in ((verdict, *verdict.parts) if verdict else ()) for c in v.checks]
    return {
        "id": record.lineage.branch_id,
        "parent": record.lineage.parent,
        "fork": record.lineage.fork_step,
        "ending": r.ending,
        "reward": r.reward,
        "seconds": round(r.seconds, 2),
        "cost": r.cost_usd,
        "stop": record.trajectory.stop,
        "policy": " ".join(filter(None, (record.sampling.policy, record.sampling.model))),
        "sampling": record.sampling.requested.model_dump(exclude_none=True, exclude={"prompt_text"}),
        "memories": len(record.sampling.memories),
        "error": _shown(r.error),
        "answer": _shown(record.trajectory.answer or ""),
        "diff": _shown(r.diff, SHOWN_DIFF),
        "verdict": verdict
        and {
            "outcome": verdict.outcome,
            "score": verdict.score,
            "reason": _shown(verdict.reason),
            "command": _shown(verdict.command or next((p.command for p in verdict.parts), "")),
            "log": _shown(verdict.log or next((p.log for p in verdict.parts), ""), 4000),
            "cause": verdict.cause
            or next((p.cause for p in verdict.parts if p.cause and p.outcome == verdict.outcome), ""),
            "parts": [[p.verifier, p.outcome, p.score, _shown(p.reason, 400)] for p in _kinds(verdict)],
            "checks": [[c.id[:200], c.outcome, _shown(c.message, 400)] for c in checks[:200]],
            "pictures": pictures.of(verdict),
        },
        "steps": list(_steps(record.trajectory)),
    }


def _kinds(verdict: Verdict) -> tuple[Verdict, ...]:
    """The verdicts of different verifiers; a single one has said it all in the verdict itself."""
    return verdict.parts if len({part.verifier for part in verdict.parts}) > 1 else ()


def _steps(trajectory: Trajectory) -> Iterator[dict[str, Any]]:
    for step in trajectory.steps:
        message = trajectory.messages[step.message]
        call = message.tool_calls[step.call] if step.call < len(message.tool_calls) else None
        arguments = (call.arguments if call.arguments is not None else {"": call.raw}) if call else {}
        yield {
            "tool": step.tool,
            "say": _shown(message.content, 400) if step.call == 0 else "",
            "args": {
                k: _shown(v if isinstance(v, str) else json.dumps(v), 800) for k, v in arguments.items()
            },
            "out": _shown(step.observation.text),
            "error": step.observation.is_error,
            "exit": step.observation.exit_code,
            "ended": step.observation.ended,
            "seconds": round(step.seconds, 3),
            "state": (step.state or "")[:12],
            "shared": step.index < trajectory.prefix_steps,
        }


def _shown(text: str, limit: int = SHOWN) -> str:
    text = _UNSEEN.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
    if len(text) <= limit:
        return text
    head, tail = limit * 2 // 3, limit // 3
    return f"{text[:head]}\n… {len(text) - head - tail} characters more …\n{text[-tail:]}"
