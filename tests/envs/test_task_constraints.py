"""Constraints of a task: read with it, and refused with it when they are broken."""

from __future__ import annotations

import json
from pathlib import Path

from envs.load import load_tasks
from envs.task_lint import lint

GOOD = """
[metadata.rollout_fork]
language = "prose"

[[metadata.rollout_fork.constraints]]
id = "short"
method = "length_constraints:number_words"
args = { num_words = 40, relation = "less than" }

[[metadata.rollout_fork.constraints]]
id = "calm"
level = "soft"
method = "keywords:forbidden_words"
[metadata.rollout_fork.constraints.args]
forbidden_words = ["urgent"]
"""


def task_dir(root: Path, toml: str) -> Path:
    home = root / "notice"
    (home / "environment").mkdir(parents=True)
    (home / "instruction.md").write_text("Write a notice.\n")
    (home / "task.toml").write_text(toml)
    return home


def problems(path: Path) -> list[str]:
    found = load_tasks(path)
    assert not found.tasks
    return [str(problem) for problem in found.problems]


def test_constraints_arrive_in_the_task_and_stand_in_for_tests(tmp_path: Path) -> None:
    (task,) = load_tasks(task_dir(tmp_path, GOOD))
    assert [table["id"] for table in task.metadata["rollout_fork"]["constraints"]] == ["short", "calm"]
    assert lint(task) == []


def test_a_broken_constraint_is_told_with_the_line_of_its_own_table(tmp_path: Path) -> None:
    broken = GOOD.replace("keywords:forbidden_words", "keywords:forbiden_words")
    home = task_dir(tmp_path, broken)
    (told,) = problems(home)
    assert told.startswith(f"{home / 'task.toml'}:10: constraint 2 (calm): no constraint method")
    assert told.endswith("did you mean keywords:forbidden_words?")


def test_contradictions_and_double_ids_refuse_the_task(tmp_path: Path) -> None:
    doubled = GOOD.replace('id = "calm"', 'id = "short"')
    assert "the id is taken by constraint 1" in problems(task_dir(tmp_path / "a", doubled))[0]
    silent = GOOD + '[[metadata.rollout_fork.constraints]]\nid = "loud"\nmethod = "keywords:existence"\n'
    silent += 'args = { keywords = ["urgent"] }\n'
    (told,) = problems(task_dir(tmp_path / "b", silent))
    assert "task.toml:16: constraint 3 (loud): contradicts calm: 'urgent' is both asked for" in told


def test_constraints_must_be_a_list_of_tables(tmp_path: Path) -> None:
    (told,) = problems(task_dir(tmp_path, '[metadata.rollout_fork.constraints]\nid = "a"\n'))
    assert "must be a list of tables" in told


def test_a_list_of_tasks_refuses_broken_constraints_with_the_line(tmp_path: Path) -> None:
    table = {"id": "w", "method": "length_constraints:number_words", "args": {"num_words": 3}}
    line = {"id": "a", "instruction": "x", "rollout_fork": {"constraints": [table]}}
    path = tmp_path / "tasks.jsonl"
    path.write_text(json.dumps(line) + "\n")
    (told,) = problems(path)
    assert told == f"{path}:1: rollout_fork.constraint 1 (w): args.relation: Field required"
