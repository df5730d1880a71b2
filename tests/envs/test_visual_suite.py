"""The bundled visual tasks: each is broken as shipped and mended by its solution, for a real browser."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from envs import Task, lint, load_tasks
from kernel_pool import ReadOnlyMount
from kernel_pool.pool import KernelPool
from verifiers import Submission
from verifiers.build import BuildVerifier
from verifiers.visual import VisualVerifier

TASKS = load_tasks("suite:visual")
each_task = pytest.mark.parametrize("task", TASKS.tasks, ids=lambda task: task.id)


def test_there_are_visual_tasks_of_every_kind_beside_the_suite_and_not_in_it() -> None:
    assert not TASKS.problems
    assert len(TASKS.tasks) >= 6
    assert len({task.group for task in TASKS.tasks}) >= 5
    assert not {task.id for task in TASKS.tasks} & {task.id for task in load_tasks("suite").tasks}
    tables = [task.metadata["rollout_fork"]["visual"] for task in TASKS.tasks]
    assert any("serve" in table for table in tables) and any("images" in table for table in tables)


@each_task
def test_a_task_says_what_it_wants_and_brings_its_solution(task: Task) -> None:
    assert task.solution is not None and (task.solution / "solve.sh").read_text().startswith("#!/bin/bash\n")
    assert task.tests is not None and task.tests.command == "python -m pytest /tests"
    lines = task.instruction.splitlines()
    assert lines[0].startswith("# ") and 5 <= len(lines) <= 25 and max(map(len, lines)) <= 130
    assert lint(task) == []


@each_task
@pytest.mark.asyncio(loop_scope="module")
async def test_a_task_fails_as_shipped_and_passes_with_its_solution(
    task: Task, sandboxes: KernelPool
) -> None:
    assert task.solution is not None
    shipped = await sandboxes.prepare(task.base)
    async with sandboxes.lease(shipped, mounts=[ReadOnlyMount(task.solution, "/solution")]) as kernel:
        solved = await kernel.run("bash /solution/solve.sh")
        assert solved.ok, solved.stderr.decode()
        mended = await kernel.snapshot()
    extras = task.metadata["rollout_fork"]
    before, after = (
        Submission(task.instruction, state, task.tests, base=shipped, extras=extras)
        for state in (shipped, mended)
    )
    looked = VisualVerifier()
    seen_before, seen_after, tests = await asyncio.gather(
        looked.verify(before, sandboxes),
        looked.verify(after, sandboxes),
        BuildVerifier().verify(after, sandboxes),
    )
    assert seen_before.outcome == "fail" and seen_before.score is not None and seen_before.score < 1
    assert seen_after.passed, seen_after
    assert seen_after.evidence and tests.passed, tests.log


def test_a_tests_directory_may_hold_nothing_but_the_references_of_visual_checks(tmp_path: Path) -> None:
    source = next(
        task.path for task in TASKS.tasks if task.path and list((task.path / "tests").glob("*.png"))
    )
    copy = tmp_path / source.name
    shutil.copytree(source, copy)
    for test in (copy / "tests").glob("test*"):
        test.unlink()
    toml = copy / "task.toml"
    toml.write_text("".join(line for line in toml.read_text().splitlines(True) if "hidden_tests" not in line))
    (found,) = load_tasks(str(copy)).tasks
    assert found.tests is not None and found.tests.command == "" and lint(found) == []
