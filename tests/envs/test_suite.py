"""The bundled suite: every task reads well, is broken as shipped, and is mended by its solution."""

from __future__ import annotations

import ast
import asyncio
import shlex
import tomllib
from collections import Counter
from pathlib import Path

import pytest

from envs import Task, lint, load_tasks
from kernel_pool import Kernel, ReadOnlyMount
from kernel_pool.pool import KernelPool
from verifiers import Submission
from verifiers.build import BuildVerifier

TASKS = load_tasks("suite")
each_task = pytest.mark.parametrize("task", TASKS.tasks, ids=lambda task: task.id)

FORBIDDEN_IMPORTS = {"time", "socket", "asyncio", "threading", "urllib", "requests", "numpy", "unittest"}


def test_the_suite_is_large_mixed_and_without_a_problem() -> None:
    assert not TASKS.problems
    assert len(TASKS.tasks) >= 30
    assert {task.language for task in TASKS.tasks} == {"python", "shell", "c"}
    levels = Counter(task.difficulty for task in TASKS.tasks)
    assert set(levels) == {"easy", "medium", "hard"} and min(levels.values()) >= 8
    assert len({task.group for task in TASKS.tasks}) >= 10
    assert len({task.digest for task in TASKS.tasks}) == len(TASKS.tasks)


@each_task
def test_a_task_has_everything_a_task_has(task: Task) -> None:
    assert task.path is not None and task.solution is not None and task.tests is not None
    assert (task.solution / "solve.sh").read_text().startswith("#!/bin/bash\n")
    assert "/logs/verifier/reward.txt" in (task.tests.directory / "test.sh").read_text()
    assert task.visible_tests == "python -m pytest -q tests"
    assert task.tests.command == "python -m pytest /tests" and task.tests.workdir == "/app"
    toml = tomllib.loads((task.path / "task.toml").read_text())
    assert toml["schema_version"] == "1.4"
    assert toml["task"]["name"] == f"rollout-fork/{task.id}" and toml["task"]["keywords"]
    assert toml["environment"]["network_mode"] == "no-network"
    assert not any(path.suffix == ".pyc" for path in task.path.rglob("*"))
    assert lint(task) == []


@each_task
def test_an_instruction_is_short_and_says_something(task: Task) -> None:
    lines = task.instruction.splitlines()
    assert lines[0].startswith("# ")
    assert 5 <= len(lines) <= 25
    assert max(map(len, lines)) <= 130


@each_task
def test_the_hidden_tests_differ_from_the_visible_ones_and_need_nothing_but_pytest(task: Task) -> None:
    assert task.path is not None and task.tests is not None
    visible = functions(sorted((task.path / "environment/app/tests").glob("test_*.py")))
    hidden = functions(sorted(task.tests.directory.glob("test_*.py")))
    assert 4 <= len(visible) <= 10
    assert 6 <= len(hidden) <= 16
    assert not set(visible.values()) & set(hidden.values())


@each_task
@pytest.mark.asyncio(loop_scope="module")
async def test_a_task_is_broken_as_shipped_and_mended_by_its_solution(
    task: Task, sandboxes: KernelPool
) -> None:
    assert task.solution is not None
    shipped = await sandboxes.prepare(task.base)
    async with sandboxes.lease(shipped, mounts=[ReadOnlyMount(task.solution, "/solution")]) as kernel:
        assert await visible_tests(kernel, task) == 1
        solved = await kernel.run("bash /solution/solve.sh")
        assert solved.ok, solved.stderr.decode()
        assert await visible_tests(kernel, task) == 0
        mended = await kernel.snapshot()

    before, after = await asyncio.gather(
        *(
            BuildVerifier().verify(Submission(task.instruction, state, task.tests), sandboxes)
            for state in (shipped, mended)
        )
    )
    assert before.outcome == "fail", before.log
    assert before.score is not None and before.score < 1
    assert after.passed, after.log


async def visible_tests(kernel: Kernel, task: Task) -> int | None:
    """The exit code of the task's visible tests: 0 when all pass, 1 when some fail."""
    assert task.visible_tests is not None
    return (await kernel.run(shlex.split(task.visible_tests))).exit_code


def functions(files: list[Path]) -> dict[str, str]:
    """Test functions by name, as source without formatting; their imports are looked at on the way."""
    found = {}
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                assert not FORBIDDEN_IMPORTS & {alias.name for alias in node.names}, file
            elif isinstance(node, ast.ImportFrom):
                assert node.module not in FORBIDDEN_IMPORTS, file
            elif isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found[node.name] = ast.unparse(node)
    return found
