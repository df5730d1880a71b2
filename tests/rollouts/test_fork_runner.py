"""Rollouts on one event loop: real forks, branches that never touch each other, nothing left behind."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from small_tasks import EDIT, FAIL, SOLVE, call, write_task

from envs import Task, load_tasks
from kernel_pool import KernelPool
from kernel_pool.registry import backend
from rollouts.errors import RunDirError
from rollouts.fork import BranchSettings, ForkRunner
from rollouts.plan import AtStep, ChosenStep, Forked, Independent
from rollouts.policies.scripted import ScriptedPolicy
from rollouts.records import BranchRecord
from rollouts.snapshots import SnapshotArchive
from verifiers.build import BuildVerifier


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return load_tasks(str(write_task(tmp_path))).tasks[0]


@pytest.fixture
async def pool() -> AsyncIterator[KernelPool]:
    sandbox = backend("local")
    pool = KernelPool(sandbox, 3)
    yield pool
    await pool.close()
    await sandbox.close()


def by_branch(**scripts: Any) -> Callable[..., Any]:
    """A script per order of arrival of the branches' seeds: keyed by the seed's rank is not known, so by name."""
    order: dict[int | None, int] = {}

    def script(messages: Any, sampling: Any) -> Any:
        index = order.setdefault(sampling.seed, len(order))
        lines = scripts[f"b{index}"]
        position = sum(m.role == "assistant" for m in messages)
        return lines(position) if callable(lines) else lines[position]

    return script


async def collect(runner: ForkRunner, task: Task, plan: Any, **kwargs: Any) -> list[BranchRecord]:
    return sorted([r async for r in runner.run(task, plan, **kwargs)], key=lambda r: r.lineage.index)


async def test_all_branches_of_a_rollout_start_from_one_state(pool: KernelPool, task: Task) -> None:
    records = await collect(ForkRunner(pool, ScriptedPolicy.of(SOLVE), BuildVerifier()), task, Independent(5))
    assert [r.result.ending for r in records] == ["solved"] * 5
    assert len({r.lineage.fork_state for r in records}) == 1
    assert len({r.sampling.requested.seed for r in records}) == 5
    assert pool.stats().peak <= 3


async def test_a_crash_a_hang_and_an_endless_command_touch_no_sibling(pool: KernelPool, task: Task) -> None:
    def crash(_: int) -> Any:
        raise RuntimeError("boom")

    script = by_branch(
        b0=crash, b1=[call("bash", command="kill -9 -1; sleep 60", timeout_s=1), *FAIL[1:]], b2=SOLVE
    )
    records = await collect(
        ForkRunner(pool, ScriptedPolicy.of(script), BuildVerifier()), task, Independent(3)
    )
    assert sorted(r.result.ending for r in records) == ["failed", "infra_error", "solved"]


async def test_leaving_the_loop_early_cancels_the_rest_and_frees_their_kernels(
    pool: KernelPool, task: Task
) -> None:
    asked: list[int] = []

    async def slow(messages: Any, _: Any) -> Any:
        asked.append(1)
        if len(asked) > 1:
            await asyncio.sleep(60)
        return call("submit")

    runner = ForkRunner(pool, ScriptedPolicy.of(slow), BuildVerifier())
    async with aclosing(runner.run(task, Independent(3))) as branches:
        async for _ in branches:
            break
    calls = len(asked)
    assert pool.stats().leased == 0
    await asyncio.sleep(0.1)
    assert len(asked) == calls


async def test_siblings_never_see_each_others_files(pool: KernelPool, task: Task) -> None:
    look = [
        call("bash", command="echo mine > mark; ls /app"),
        call("bash", command="cat mark other 2>&1"),
        call("submit"),
    ]
    records = await collect(ForkRunner(pool, ScriptedPolicy.of(look), BuildVerifier()), task, Independent(3))
    for record in records:
        assert "No such file" in record.trajectory.steps[1].observation.text


async def test_a_branch_forked_at_a_step_has_that_steps_files_shell_and_messages(
    pool: KernelPool, task: Task, tmp_path: Path
) -> None:
    first = [
        call("bash", command="cd tests; export SEEN=yes; f() { echo fun; }; echo one > ../one"),
        EDIT,
        *FAIL,
    ]
    archive = SnapshotArchive(tmp_path / "snapshots")
    runner = ForkRunner(pool, ScriptedPolicy.of(first), BuildVerifier(), BranchSettings(), archive)
    parent = (await collect(runner, task, Independent(1)))[0]

    def go_on(messages: Any, _: Any) -> Any:
        position = sum(m.role == "assistant" for m in messages)
        return [None, call("bash", command="pwd; echo $SEEN; f; cat ../one; cat ../calc.py"), call("submit")][
            position
        ]

    children = await collect(
        ForkRunner(pool, ScriptedPolicy.of(go_on), BuildVerifier(), archive=archive),
        task,
        AtStep("b000", 1, 2, first=1),
        done=[parent],
    )
    for child in children:
        assert (child.lineage.parent, child.lineage.fork_step) == ("b000", 1)
        assert child.trajectory.prefix_steps == 1
        assert child.trajectory.messages[: child.trajectory.prefix_messages] == parent.trajectory.messages[:4]
        seen = child.trajectory.steps[1].observation.text
        assert "/app/tests\nyes\nfun\none\n" in seen
        assert "a + b + 1" in seen, "the parent's later edit must not be there"
    assert children[0].result.steps == 2


async def test_a_tree_grows_by_its_plan_in_one_call(pool: KernelPool, task: Task) -> None:
    """Two branches, each forked after its edit, with the states at hand: no run directory is needed."""
    runner = ForkRunner(pool, ScriptedPolicy.of([EDIT, call("run_tests"), call("submit")]), BuildVerifier())
    records = await collect(runner, task, Forked(Independent(2), ChosenStep(1), branches=2))
    assert [(r.lineage.parent, r.lineage.fork_step) for r in records] == [
        (None, 0),
        (None, 0),
        *[("b000", 1)] * 2,
        *[("b001", 1)] * 2,
    ]
    assert [r.result.ending for r in records] == ["solved"] * 6
    assert [r.result.steps for r in records] == [3, 3, 2, 2, 2, 2]


async def test_a_fork_of_an_earlier_process_needs_its_archive(pool: KernelPool, task: Task) -> None:
    parent = (
        await collect(ForkRunner(pool, ScriptedPolicy.of(SOLVE), BuildVerifier()), task, Independent(1))
    )[0]
    runner = ForkRunner(pool, ScriptedPolicy.of(SOLVE), BuildVerifier())
    with pytest.raises(RunDirError, match="give the runner an archive"):
        await collect(runner, task, AtStep("b000", 2, 1, first=1), done=[parent])


def test_the_function_fork_keeps_its_name_when_the_module_is_loaded() -> None:
    import rollouts

    importlib.import_module("rollouts.fork")
    assert callable(rollouts.fork)
