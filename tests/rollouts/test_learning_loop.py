"""Learning from end to end, in real sandboxes, on a very small scale."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest

from envs import load_tasks
from kernel_pool import KernelPool
from kernel_pool.backends.local import LocalBackend
from rollouts.errors import ConfigError
from rollouts.learning.loop import Settings, collect, learn, task_lists
from rollouts.learning.report import write_report
from rollouts.learning.tasks import read_programs, split, task_line, write_tasks
from rollouts.learning.update import scores_of, update
from rollouts.policies.mutation.weights import vector

TINY = Settings(
    rounds=1,
    training=2,
    held_out=2,
    tries=2,
    seeds=1,
    branches={"tree": 1, "group": 2},
    fork={"at": "recovery", "branches": 1},
)


@pytest.fixture
async def pool() -> AsyncIterator[KernelPool]:
    backend = LocalBackend()
    pool = KernelPool(backend, 2)
    yield pool
    await pool.close()
    await backend.close()


async def test_every_check_of_every_program_holds(pool: KernelPool, tmp_path: Path) -> None:
    programs = read_programs()
    files: dict[str, str] = {}
    for program in programs:
        line = task_line(program, program.code, program.name)
        files |= {**line["files"], **{f"hidden/{name}": text for name, text in line["tests"].items()}}
    path = tmp_path / "all.jsonl"
    path.write_text(json.dumps({"id": "all", "instruction": "-", "files": files}))
    async with pool.lease(await pool.prepare(load_tasks(path, cache=tmp_path).tasks[0].base)) as kernel:
        result = await kernel.run(["python", "-m", "pytest", "-q", "tests", "hidden"], cwd="/app")
    count = len(programs) + sum(len(program.visible) for program in programs)
    assert f"{count} passed" in result.stdout.decode(), result.stdout.decode()[-2000:]


async def test_a_task_is_one_mutation_that_the_visible_tests_notice(pool: KernelPool, tmp_path: Path) -> None:
    programs = read_programs()[:2]
    ids = await write_tasks(tmp_path / "a.jsonl", programs, 2, 3, pool)
    assert ids == await write_tasks(tmp_path / "b.jsonl", programs, 2, 3, pool)
    assert (tmp_path / "a.jsonl").read_bytes() == (tmp_path / "b.jsonl").read_bytes()
    for task in load_tasks(tmp_path / "a.jsonl", cache=tmp_path).tasks:
        async with pool.lease(await pool.prepare(task.base)) as kernel:
            result = await kernel.run(["python", "-m", "pytest", "-q", "tests"], cwd="/app")
            assert (result.exit_code, task.group in {p.name for p in programs}) == (1, True)


def test_programs_are_trained_on_or_held_out_and_never_both() -> None:
    programs = read_programs()
    first, second = split(programs)
    assert sorted(p.name for p in (*first, *second)) == [p.name for p in programs]
    assert split(programs[::-1]) == (first, second)


@pytest.mark.slow
def test_the_loop_learns_compares_resumes_and_gives_the_same_again(tmp_path: Path) -> None:
    learned = learn(tmp_path / "a", TINY, lambda text: None)
    weights = tmp_path / "a" / "tree" / "weights-1.json"
    assert vector(weights).shape == vector(None).shape
    assert {arm: found.result.n_tasks for arm, found in learned.against_base.items()} == {
        "tree": 2,
        "group": 2,
    }
    tree, group = learned.rounds
    assert (tree.branches, group.branches) == (4, 4)  # of two tasks: one branch and its fork, two branches
    assert max(tree.learned_steps, group.learned_steps) <= min(tree.steps, group.steps)
    report, *pictures = write_report(learned, tmp_path / "a")
    assert json.loads(report.read_text())["result"]["n_tasks"] == 2
    assert all(path.stat().st_size > 1000 for path in pictures)

    said: list[str] = []
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("branches/*.jsonl")}
    again = learn(tmp_path / "a", TINY, said.append)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "a").rglob("branches/*.jsonl")} == before
    assert [r.steps for r in again.rounds] == [r.steps for r in learned.rounds]
    with pytest.raises(ConfigError, match="belongs to other settings"):
        learn(tmp_path / "a", Settings(), said.append)

    tasks, _ = task_lists(tmp_path / "b", TINY, said.append)
    start = tmp_path / "a" / "tree" / "weights-0.json"
    rollouts = collect(TINY, tasks, start, "tree", 0, tmp_path / "b" / "round-0")
    made = update(vector(start), vector(start), scores_of(rollouts, "tree"), TINY.step)
    assert np.array_equal(made.weights, vector(weights))
