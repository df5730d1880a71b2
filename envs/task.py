"""What is to be solved."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kernel_pool import BaseSpec
from verifiers import TestPlan

from .errors import TaskProblem


@dataclass(frozen=True)
class Task:
    """One task: what the agent is told, where it works, and how the result is checked.

    Read from a directory in Harbor's layout (`task_dir.py`) or from a JSONL list; plain data either way.
    """

    id: str
    instruction: str
    base: BaseSpec
    tests: TestPlan | None
    digest: str  #: sha256 over everything the task consists of; equal digests are the same task
    visible_tests: str | None = None  #: command behind the `run_tests` tool
    agent_timeout_s: float | None = None
    language: str = ""
    difficulty: str = ""
    group: str = ""  #: for train and evaluation splits
    solution: Path | None = None  #: directory with solve.sh; never shown to an agent
    path: Path | None = None  #: where it was read from
    metadata: Mapping[str, Any] = field(default_factory=dict)  #: unknown keys, kept as they are
    environment_notes: tuple[str, ...] = ()  #: how the declared environment is honoured here, for the record


@dataclass(frozen=True)
class TaskSet:
    """Tasks that could be read, in order, and what was wrong with the others."""

    tasks: tuple[Task, ...]
    problems: tuple[TaskProblem, ...] = ()

    def __iter__(self) -> Iterator[Task]:
        return iter(self.tasks)

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, task_id: str) -> Task:
        """The task with an id. Raises `KeyError`."""
        for task in self.tasks:
            if task.id == task_id:
                return task
        raise KeyError(task_id)
