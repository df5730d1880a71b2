"""The agent loop: how a branch ends, and what is recorded of replies that go wrong."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from small_tasks import EDIT, FAIL, SOLVE, call, write_task

from envs import Task, load_tasks
from kernel_pool import KernelPool
from kernel_pool.registry import backend
from rollouts.config import BudgetConfig, ObservationConfig
from rollouts.fork import BranchRunner, BranchSettings, Examples
from rollouts.plan import BranchSpec
from rollouts.policies.scripted import ScriptedPolicy
from rollouts.records import BranchRecord, Sampling
from verifiers.build import BuildVerifier


@pytest.fixture
def task(tmp_path: Path) -> Task:
    return load_tasks(str(write_task(tmp_path))).tasks[0]


@pytest.fixture
async def pool() -> AsyncIterator[KernelPool]:
    sandbox = backend("local")
    pool = KernelPool(sandbox, 2)
    yield pool
    await pool.close()
    await sandbox.close()


async def play(pool: KernelPool, task: Task, policy: Any, **settings: Any) -> BranchRecord:
    """One branch of a script (a list of replies, a function, or a policy)."""
    policy = policy if hasattr(policy, "act") else ScriptedPolicy.of(policy)
    examples = settings.pop("examples", None)
    verifier = BuildVerifier()
    runner = BranchRunner(pool, policy, lambda s: verifier.verify(s, pool), BranchSettings(**settings))
    spec = BranchSpec("r", "b000", 0, Sampling(seed=1))
    return await runner.run(task, await pool.prepare(task.base), spec, examples=examples)


async def test_a_branch_that_mends_the_program_is_solved_and_fully_recorded(
    pool: KernelPool, task: Task
) -> None:
    record = await play(pool, task, SOLVE)
    result = record.result
    assert (result.ending, result.reward, record.trajectory.stop) == ("solved", 1.0, "submitted")
    assert result.verdict is not None
    assert "-    return a + b + 1" in result.diff
    assert [s.tool for s in record.trajectory.steps] == ["run_tests", "edit_file", "run_tests", "submit"]
    states = [s.state for s in record.trajectory.steps]
    assert states[0] == record.environment.base != states[1] == result.final_state
    assert record.trajectory.answer == "mended"


async def test_a_branch_that_changes_nothing_has_failed_with_the_share_of_tests_it_passes(
    pool: KernelPool, task: Task
) -> None:
    record = await play(pool, task, FAIL)
    assert (record.result.ending, record.result.reward) == ("failed", 0.0)


async def test_running_out_of_steps_is_truncated_and_leaves_no_open_call(
    pool: KernelPool, task: Task
) -> None:
    several = [{"calls": [call("run_tests"), EDIT, call("run_tests")]}] if False else SOLVE
    record = await play(pool, task, several, budget=BudgetConfig(steps=2))
    assert (record.result.ending, record.trajectory.stop) == ("truncated", "steps")
    assert len(record.trajectory.steps) == 2
    calls = [c.id for m in record.trajectory.messages for c in m.tool_calls]
    answers = [m.tool_call_id for m in record.trajectory.messages if m.role == "tool"]
    assert calls == answers


async def test_a_truncated_branch_is_not_solved_although_its_work_passes(
    pool: KernelPool, task: Task
) -> None:
    record = await play(pool, task, SOLVE, budget=BudgetConfig(steps=3))
    assert record.result.verdict is not None
    assert record.result.verdict.passed
    assert record.result.ending == "truncated"


async def test_running_out_of_time_ends_a_command_in_flight(pool: KernelPool, task: Task) -> None:
    record = await play(pool, task, [call("bash", command="sleep 30")], budget=BudgetConfig(seconds=0.5))
    assert (record.result.ending, record.trajectory.stop) == ("truncated", "seconds")
    assert record.result.seconds < 10


async def test_a_policy_that_hangs_ends_with_its_budget(pool: KernelPool, task: Task) -> None:
    async def hang(*_: Any) -> str:
        await asyncio.sleep(3600)
        return ""

    record = await play(pool, task, hang, budget=BudgetConfig(seconds=0.3))
    assert record.trajectory.stop == "seconds"


async def test_words_without_a_tool_are_reminded_and_then_end_the_branch(
    pool: KernelPool, task: Task
) -> None:
    record = await play(pool, task, lambda *_: "I am thinking about it.")
    assert (record.result.ending, record.trajectory.stop) == ("failed", "stopped")
    assert [e["kind"] for e in record.trajectory.events] == ["no_tool_call", "no_tool_call"]


async def test_an_endpoint_that_fails_is_a_policy_error_without_reward(pool: KernelPool, task: Task) -> None:
    record = await play(pool, task, ScriptedPolicy.of(SOLVE, errors={1: "overloaded"}))
    assert (record.result.ending, record.result.reward) == ("policy_error", None)
    assert record.result.error.startswith("overloaded")
    assert len(record.trajectory.steps) == 1


async def test_a_bug_in_a_policy_is_an_infra_error_with_its_place(pool: KernelPool, task: Task) -> None:
    def broken(*_: Any) -> str:
        raise ZeroDivisionError("oops")

    record = await play(pool, task, broken)
    assert (record.result.ending, record.result.reward) == ("infra_error", None)
    assert "ZeroDivisionError: oops" in record.result.error


async def test_unknown_tools_and_bad_arguments_are_told_to_the_policy(pool: KernelPool, task: Task) -> None:
    record = await play(pool, task, [call("run_test"), call("bash", cmd="ls"), call("submit")])
    texts = [s.observation.text for s in record.trajectory.steps]
    assert record.trajectory.steps[0].observation.is_error
    assert "run_tests" in texts[0]
    assert "command" in texts[1]
    assert [e["kind"] for e in record.trajectory.events] == ["tool_error", "tool_error"]


async def test_long_output_is_shortened_once_for_policy_and_record_alike(
    pool: KernelPool, task: Task
) -> None:
    seen: list[str] = []

    def script(messages: Any, _: Any) -> Any:
        seen.extend(m.content for m in messages if m.role == "tool")
        return call("bash", command="seq 100000") if len(messages) == 2 else call("submit")

    record = await play(pool, task, script, observation=ObservationConfig(max_bytes=2000, max_lines=50))
    observation = record.trajectory.steps[0].observation
    assert seen[0] == observation.text == record.trajectory.messages[3].content
    assert len(observation.text.encode()) <= 2000
    assert observation.full_bytes > 500_000
    assert observation.shortened


async def test_examples_stand_in_the_user_turn_and_never_in_the_system_prompt(
    pool: KernelPool, task: Task
) -> None:
    record = await play(pool, task, FAIL, examples=Examples("EXAMPLE TEXT", ("m1",)))
    system, user = record.trajectory.messages[:2]
    assert "EXAMPLE TEXT" in user.content
    assert "EXAMPLE TEXT" not in system.content
    assert record.sampling.memories == ["m1"]
