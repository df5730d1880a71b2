"""What is doubtful about a task that can be read: advice for its author, not errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

from kernel_pool import CopyIn

from .task import Task

_COMPARED_BYTES = 8 * 1024 * 1024  # larger files are not compared


def lint(task: Task) -> list[str]:
    """Sentences on what is doubtful; empty when nothing is."""
    findings = []
    if not task.instruction.strip():
        findings.append("instruction.md is empty: the agent is told nothing")
    findings += _about_tests(task)
    findings += _about_answers(task)
    if task.solution and not (task.solution / "solve.sh").is_file():
        findings.append("solution/ has no solve.sh, so the reference solution cannot be run")
    return findings


def _about_tests(task: Task) -> Iterator[str]:
    plan = task.tests
    if plan is None or not any(_files(plan.directory)):
        own = task.metadata.get("rollout_fork", {})
        if own.get("constraints") or own.get("visual"):
            return  # these decide
        yield "there are no hidden tests: nothing can be verified"
        return
    if task.visible_tests and task.visible_tests.strip() == plan.command.strip():
        yield "visible_tests is the same command as the hidden tests"
    if task.visible_tests and plan.target in task.visible_tests:
        yield f"visible_tests names {plan.target}, which an agent does not have"
    if task.agent_timeout_s is not None and task.agent_timeout_s < 1:
        yield f"the agent has only {task.agent_timeout_s:g} s"


def _about_answers(task: Task) -> Iterator[str]:
    """Hidden tests or the reference solution that the environment gives away."""
    secrets: dict[str, str] = {}
    if task.tests:
        secrets |= {key: f"tests/{name}" for name, key in _digests(task.tests.directory)}
    if task.solution:
        secrets |= {key: f"solution/{name}" for name, key in _digests(task.solution)}
    for step in task.base.steps:
        if not isinstance(step, CopyIn):
            continue
        for name, key in _digests(step.source):
            if key in secrets:
                yield f"{step.source.name}/{name} has the same content as {secrets[key]}: an agent can read it"
            if Path(name).name in ("solve.sh", "solution.patch"):
                yield f"{step.source.name}/{name} looks like a solution that an agent can read"


def _digests(root: Path) -> Iterator[tuple[str, str]]:
    """(relative name, sha256) of every file worth comparing: no trifles, which coincide by nature."""
    for path in _files(root):
        if 16 < path.stat().st_size <= _COMPARED_BYTES:
            yield (
                str(path.relative_to(root)) if root.is_dir() else root.name,
                sha256(path.read_bytes()).hexdigest(),
            )


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
    for parent, _, names in os.walk(root):
        yield from (p for name in sorted(names) if (p := Path(parent, name)).is_file() and not p.is_symlink())
