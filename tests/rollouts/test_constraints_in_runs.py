"""Constraints in a run: those that the config asks of every task, those of a task, and work without a text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_tasks import EDIT, call, write_task

from rollouts.batch import run_batch
from rollouts.config import RunConfig
from rollouts.errors import ConfigError
from rollouts.records import BranchRecord
from rollouts.store import RunStore

LONG = {
    "id": "long",
    "method": "length_constraints:number_words",
    "args": {"num_words": 20, "relation": "at least"},
}
NO_COMMA = {"id": "no-comma", "method": "punctuation:no_comma"}
ANSWERS = ("ok", "word " * 20, "word, " * 20)


async def branches(
    tmp_path: Path, tasks: Path, *answers: str, parts: list[dict[str, Any]] | None = None
) -> list[BranchRecord]:
    """One branch for each answer, in their order."""
    scripts = {f"v{i}": [EDIT, call("submit", answer=answer)] for i, answer in enumerate(answers)}
    config = {
        "tasks": str(tasks),
        "branches": len(scripts),
        "policy": {"name": "scripted", "options": {"variants": scripts}},
        "sampling": {"prompt_variants": {name: name for name in scripts}},
        "engine": {"kind": "inline"},
        "memory": {"enabled": False},
        "verify": {"parts": parts or []},
        "report": False,
    }
    await run_batch(RunConfig.model_validate(config), tmp_path / "run")
    with RunStore.open(tmp_path / "run") as store:
        return sorted(store.branches(), key=lambda record: record.lineage.index)


def endings(records: list[BranchRecord]) -> list[str]:
    return [record.result.ending for record in records]


def with_parts(*constraints: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"name": "build"}, {"name": "constraints", "options": {"constraints": list(constraints)}}]


def ask(task: Path, *constraints: dict[str, Any]) -> Path:
    """The task with constraints of its own."""
    lines = []
    for each in constraints:
        lines.append("[[metadata.rollout_fork.constraints]]")
        lines += [f"{key} = {json.dumps(value)}" for key, value in each.items() if key != "args"]
        lines += [f"args.{key} = {json.dumps(value)}" for key, value in each.get("args", {}).items()]
    toml = task / "task.toml"
    toml.write_text(toml.read_text() + "\n".join(lines) + "\n")
    return task


def listed(path: Path, *constraints: dict[str, Any]) -> Path:
    """A task list with one task, about a text alone."""
    own = {"constraints": list(constraints)}
    line = {"id": "text", "instruction": "Write.", "files": {}, "rollout_fork": own}
    path.write_text(json.dumps(line) + "\n")
    return path


async def test_constraints_of_the_config_are_asked_of_a_task_that_brings_none(tmp_path: Path) -> None:
    write_task(tmp_path / "tasks")
    found = await branches(tmp_path, tmp_path / "tasks", *ANSWERS, parts=with_parts(LONG))
    assert endings(found) == ["failed", "solved", "solved"]
    parts = [
        {part.verifier for part in record.result.verdict.parts} for record in found if record.result.verdict
    ]
    assert parts == [{"build", "constraints"}] * 3


async def test_constraints_of_the_config_come_beside_those_of_a_task(tmp_path: Path) -> None:
    ask(write_task(tmp_path / "tasks"), NO_COMMA)
    found = await branches(tmp_path, tmp_path / "tasks", *ANSWERS, parts=with_parts(LONG))
    assert endings(found) == ["failed", "solved", "failed"]


@pytest.mark.parametrize("level", ["hard", "soft"])
async def test_an_answer_without_a_visible_character_is_never_solved(tmp_path: Path, level: str) -> None:
    tasks = listed(tmp_path / "tasks.jsonl", {**NO_COMMA, "level": level})
    empty = ("", "\u200b\u200b", "\x00 \x07")
    found = await branches(tmp_path, tasks, *empty, "words")
    assert endings(found) == ["failed"] * 3 + ["solved"]
    assert [record.result.reward for record in found] == [0.0] * 3 + [1.0]


async def test_a_clash_between_the_configs_and_a_tasks_constraints_is_told_before_anything_starts(
    tmp_path: Path,
) -> None:
    ask(write_task(tmp_path / "tasks"), LONG)
    with pytest.raises(ConfigError, match=r"constraints and task adder: .*long"):
        await branches(tmp_path, tmp_path / "tasks", "x", parts=with_parts(LONG))
    assert not (tmp_path / "run").exists()
